"""Define a TileMatrixSet of 512 px tiles for Switzerland in EPSG:2056, and build a pyramid on it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401 - registers the `.rio` accessor
import xarray as xr

import pyramids
from geozarr import tms

ORIGIN = (2_420_000.0, 1_350_000.0)  # metres, top left corner of the national map's frame
COARSEST = 1000.0  # metres


def swiss_set(levels: int = 6) -> dict[str, object]:
    """Return the TMS 2.0 document: cells of 1000 m, 500 m ... in tiles of 512 px."""
    matrices = []
    for level in range(levels):
        cell = COARSEST / 2**level
        matrices.append(
            {
                "id": f"m{cell:g}",
                "cellSize": cell,
                "scaleDenominator": cell / tms.PIXEL_SIZE,
                "pointOfOrigin": list(ORIGIN),
                "tileWidth": 512,
                "tileHeight": 512,
                "matrixWidth": 2**level,
                "matrixHeight": 2**level,
            }
        )
    return {"id": "SwissGrid", "crs": "http://www.opengis.net/def/crs/EPSG/0/2056", "tileMatrices": matrices}


def main(folder: str) -> None:
    """Write the set and the pyramid to a folder."""
    document = Path(folder) / "swiss.json"
    document.write_text(json.dumps(swiss_set(), indent=2), encoding="utf-8")
    x, y = 2_600_000 + 60.0 * np.arange(900), 1_200_000 - 60.0 * np.arange(700)
    height = 1500 + 800 * np.sin(x / 9000) * np.cos(y[:, None] / 7000)
    field = xr.DataArray(height.astype("float32"), {"y": y, "x": x}, name="height").rio.write_crs("EPSG:2056")
    plan = pyramids.build(field, Path(folder) / "swiss.zarr", tms=str(document), overwrite=True)
    print(plan)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
