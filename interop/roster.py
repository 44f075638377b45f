"""The readers that are run: their versions, what has to be installed, and which script asks them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROBES = Path(__file__).parent / "probes"


@dataclass(frozen=True)
class Environment:
    """What is installed together, apart from everything else.

    Parameters
    ----------
    name : str
        Of its folder.
    packages : tuple of str
        Pinned requirements for pip; for npm where `is_npm`.
    apart : tuple of str
        Requirements installed without their dependencies into a folder `apart` of their own, because a name in them
        would shadow another.
    python : (int, int)
        Least version of Python.
    is_npm : bool
        True for packages of npm, and a Chromium on the machine.
    """

    name: str
    packages: tuple[str, ...]
    apart: tuple[str, ...] = ()
    python: tuple[int, int] = (3, 12)
    is_npm: bool = False


@dataclass(frozen=True)
class Reader:
    """A reader.

    Parameters
    ----------
    name : str
        As `conformance.readers` has it.
    version : str
        Of what is installed.
    environment : Environment
        Where it runs.
    probe : str
        File in `probes`.
    limit : float
        Seconds that one store may take, start of the process included.
    given : dict
        What the probe is told beside the job.
    kinds : tuple of str or None
        Kinds of stores that it is tried on; None for all.
    """

    name: str
    version: str
    environment: Environment
    probe: str
    limit: float = 60.0
    given: dict[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] | None = None


_XARRAY = ("xarray==2026.9.0", "zarr==3.4.2")
GDAL_3_13 = Environment("gdal-3.13", ("numpy==2.5.5",), apart=("pyramids-core==0.72.0",))
GDAL_3_12 = Environment("gdal-3.12", ("rasterio==1.5.2",))
PYTHON = Environment(
    "python",
    (
        *_XARRAY,
        "rasterio==1.5.2",
        "rioxarray==0.23.0",
        "odc-geo==0.5.3",
        "dask==2026.7.1",
        "rasterix==0.2.4",
        "rio-tiler[zarr]==9.4.12",
        "titiler-xarray==2.4.0",
        "httpx==0.28.1",
    ),
)
XPUBLISH = Environment("xpublish-tiles", (*_XARRAY, "xpublish-tiles==0.12.0", "httpx==0.28.1"))
BROWSER = Environment(
    "browser",
    (
        "ol@10.11.0",
        "proj4@2.22.0",
        "@carbonplan/zarr-layer@0.5.0",
        "maplibre-gl@5.24.1",
        "esbuild@0.28.2",
        "puppeteer-core@25.16.0",
    ),
    is_npm=True,
)

ROSTER = (
    Reader("GDAL 3.12", "3.12.2 (rasterio 1.5.2)", GDAL_3_12, "gdal_3_12.py"),
    Reader("GDAL 3.13", "3.13.3 (pyramids-core 0.72.0)", GDAL_3_13, "gdal_3_13.py"),
    Reader("xarray", "2026.9.0 (zarr-python 3.4.2)", PYTHON, "xarray_tree.py"),
    Reader("rioxarray", "0.23.0", PYTHON, "rioxarray_levels.py"),
    Reader("odc-geo", "0.5.3", PYTHON, "odc_geo_levels.py"),
    Reader("rasterix", "0.2.4", PYTHON, "rasterix_levels.py"),
    Reader("rio-tiler", "9.4.12", PYTHON, "rio_tiler_group.py"),
    Reader("titiler-xarray", "2.4.0", PYTHON, "titiler_app.py"),
    Reader("xpublish-tiles", "0.12.0", XPUBLISH, "xpublish_tiles_app.py", limit=240.0),
    Reader("OpenLayers", "10.11.0", BROWSER, "openlayers.mjs"),
    Reader(
        "zarr-layer",
        "0.5.0 (MapLibre 5.24.1)",
        BROWSER,
        "zarr_layer.mjs",
        given={"proj4": ""},
        kinds=("matrix", "demo"),
    ),
    Reader("zarr-layer with proj4", "0.5.0 (MapLibre 5.24.1)", BROWSER, "zarr_layer.mjs"),
)

# Readers that are no package, or not one that runs without a screen, an account or a device.
NOT_RUN = {
    "QGIS": "no package brings it with GDAL 3.13",
    "ArcGIS": "needs a licence",
    "deck.gl-zarr": "not published",
    "zarr-layer 0.9": "the registry's newest is 0.5.0",
}
