"""Stores and documents that others made: what is said of each, and why that is right.

A rule is named by its id, with `e`, `w` or `i` for error, warning or information.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from obstore.store import MemoryStore

from conformance import check
from geozarr import MetadataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conformance import Report

# Exit status and findings of whole stores, at depth geometry. 2: no node uses a convention of GeoZarr.
STORES: dict[str, tuple[int, set[str]]] = {
    "conformance/base.zarr": (0, set()),
    "gdal/array_dimensions.zarr": (2, set()),
    "gdal/blosc.zarr": (2, set()),
    # No Conventions attribute, and `spatial_ref` of GDAL's own wording.
    "gdal/byte_cf1.zarr": (1, {"w:CF-01", "i:CF-09"}),
    "gdal/byte_cf1.zr3": (1, {"w:CF-01", "e:ZARR-01"}),  # of a draft of Zarr v3: arrays without `codecs`
    "gdal/f2_le.zarr": (2, set()),
    "gdal/fixedscaleoffset_dtype_f8_astype_u2.zarr": (2, set()),
    "gdal/nczarr_v2.zarr": (2, set()),
    "gdal/poc_14543": (2, set()),  # a structured data type
    "gdal/uint16_imagecodecs_tiff_invalid_tiff.zarr": (2, set()),  # a codec that nobody registered, which v2 allows
    # `fill_value` 0 and no `_FillValue`: GDAL masks zeros, xarray does not.
    "gdal/v3_gzip.zarr": (2, {"i:ZARR-12"}),
    "gdal/v3_order_f_u2.zarr": (2, {"i:ZARR-12"}),
    "gdal/v3_sharding_fill_value.zarr": (2, {"i:ZARR-12"}),
    "gdal/v3_simple_sharding.zarr": (1, {"w:ZARR-12"}),
    "gdal/v3_sharing_too_small_data_file": (1, {"e:ZARR-10"}),  # `bytes` of two-byte values without their order
    "gdal/zarr_with_stac_proj_epsg.zarr": (1, {"w:PJ-12"}),  # keys of the STAC extension
    # NGFF of another version than 0.5, which is only told.
    "ome/custom_type_axes.zarr": (2, {"i:NG-03"}),
    "ome/duplicate_scale.zarr": (2, {"i:NG-03"}),
    "ome/missing_path.zarr": (2, {"i:NG-03"}),
    "rio-tiler_dataset_3d_v2.zarr": (2, set()),
    "titiler_pyramid_v2.zarr": (2, set()),  # groups 0, 1, 2 without any `multiscales`
    "written_by/gdal312_v2_southup.zarr": (2, set()),
    "written_by/gdal312_v3_image_171px.zarr": (1, {"e:ZARR-07"}),  # `fill_value` null, which zarr-python refuses
    # The list form; a packing that changes nothing.
    "written_by/ndpyramid_coarsen_elev.zarr": (0, {"i:GZ-25", "i:CF-21"}),
    "written_by/ndpyramid_reproject_au.zarr": (0, {"i:GZ-25", "i:CF-21"}),
    # `_FillValue` of floats as a number, NaN for missing coordinates, a method called "mean".
    "written_by/topozarr_elevation.zarr": (1, {"i:MS-17", "w:MS-18", "e:ZARR-13", "i:CF-21", "e:CF-13"}),
    "gdal_cf_nasa_4326.zarr.zip": (1, {"e:CF-18"}),  # a standard name that the table has not
}
NOT_STORES = ("stars_sic_daily_sample.zarr.zip",)  # packed with a folder around it
EOPF = {"e:CF-18", "e:CF-19", "e:CF-26", "e:PJ-03", "e:ZC-09", "w:PJ-12"}  # see docs/conformance.md
CONVERTED = EOPF | {"e:CF-13", "e:SP-04", "i:ZARR-12"}
CONVERTED |= {"w:CF-01", "w:CF-14", "w:CF-15", "w:MS-18", "w:PJ-06", "w:SP-14", "w:ZC-09", "w:ZC-16"}
TREES: dict[str, set[str]] = {
    "eopf_S1A_GRDH": {"e:CF-13"},  # `_FillValue` on coordinates
    "eopf_S2A_L2A": EOPF,
    "geozarr_S2A_L2A": CONVERTED | {"w:CF-18"},
    "optimized_geozarr_S2B_L1C": CONVERTED,
    # Documents without their arrays: the assets do not exist, and the URLs are those that were never published.
    "geoproj_epsg26711": {"e:ZARR-01", "w:PJ-12", "w:ZC-16"},
    "geoproj_multiscales": {"e:MS-05", "w:MS-15", "w:MS-18", "w:PJ-06", "w:ZC-16"},
    "zcm_array-based-pyramid": {"e:MS-05", "w:MS-15", "w:MS-18", "w:ZC-16"},
    "zcm_geospatial-pyramid": {"e:MS-05", "w:MS-18", "w:PJ-12", "w:ZC-16"},
    "zcm_sentinel-2-multiresolution": {"e:MS-05", "w:MS-18", "w:PJ-12", "w:ZC-16"},
}


def told(report: Report) -> set[str]:
    return {f"{found.severity[0]}:{found.rule}" for found in report.findings}


@pytest.fixture
def folder(data_dir: Path) -> Path:
    return data_dir / "zarr"


def test_no_store_is_left_out(folder: Path) -> None:
    documents = [*folder.rglob("zarr.json"), *folder.rglob(".zgroup"), *folder.rglob(".zarray")]
    folders = {document.parent for document in documents}
    roots = {str(path.relative_to(folder)) for path in folders if not folders & set(path.parents)}
    zips = {path.name for path in folder.glob("*.zip")}
    assert roots | zips == set(STORES) | set(NOT_STORES)
    assert {path.stem for path in (folder / "eopf").glob("*.json")} == set(TREES)


@pytest.mark.parametrize("name", STORES)
def test_stores_of_others(folder: Path, name: str) -> None:
    status, expected = STORES[name]
    report = check(folder / name)
    assert told(report) == expected, report.to_text()
    assert report.exit_status == status


@pytest.mark.parametrize("name", NOT_STORES)
def test_what_is_no_store_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(MetadataError):
        check(folder / name)


@pytest.mark.parametrize("name", TREES)
def test_trees_of_products(folder: Path, name: str) -> None:
    tree = json.loads((folder / "eopf" / f"{name}.json").read_text(encoding="utf-8"))
    report = check(_stored(tree), depth="metadata")
    assert told(report) == TREES[name], report.to_text()


def _stored(tree: dict[str, Any]) -> MemoryStore:
    """Store a tree of `members`, as pydantic-zarr writes it."""
    store = MemoryStore()
    for path, node in _nodes(tree, ""):
        if node.get("zarr_format") == 2:
            documents = {".zattrs": node.pop("attributes", {}), ".zarray" if "shape" in node else ".zgroup": node}
        else:
            documents = {"zarr.json": {"node_type": "array" if "shape" in node else "group"} | node}
        for name, document in documents.items():
            obstore.put(store, f"{path}/{name}".lstrip("/"), json.dumps(document).encode())
    return store


def _nodes(tree: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, {key: value for key, value in tree.items() if key != "members"}
    for name, child in (tree.get("members") or {}).items():
        yield from _nodes(child, f"{path}/{name}".lstrip("/"))
