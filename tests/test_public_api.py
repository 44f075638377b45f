"""What users may import: a change here is a change for them, and stands in the changelog."""

from __future__ import annotations

import importlib

import pytest

GEOZARR = (
    "CRS Bounds BuildConflictError BuildIncompleteError ChunkReadError CommitConflictError GeoZarrError Grid "
    "GridMismatchError GroomingError Level Levels LimitError MetadataError ParameterError PlanChangedError Pyramid "
    "PyramidLevel SeveralGridsError SourceChangedError StoreError TargetExistsError TileLimits TileMatrix "
    "TileMatrixSet TileOutsideLimitsError UnknownNameError UnsupportedError Window cf conventions crs documents "
    "levels open_pyramid store tms"
)
# One line a package: its name, and the names in its `__all__`, blank separated and sorted.
PUBLIC = {
    "geozarr": GEOZARR,
    "geozarr.conventions": "multiscales proj registration spatial",
    "pyramids": (
        "ArraySource Axis Damage DatasetSource IcechunkTarget Mosaic Options Packed Pixels Plan Quirk RasterSource "
        "Report Slice Source SourceVariable Stack Survey build execute make_plan open_source pack survey"
    ),
    "conformance": "Depth Finding Report Rule Severity check",
    "conformance.readers": (
        "READERS Condition Loss Outcome Reader Reason Verdict predict report_readers rules to_json to_text"
    ),
    "tiler": "PyramidReader",
}


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_pinned(package: str) -> None:
    assert list(importlib.import_module(package).__all__) == PUBLIC[package].split()


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_exist(package: str) -> None:
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_every_error_of_geozarr_is_public() -> None:
    geozarr = importlib.import_module("geozarr")
    errors = importlib.import_module("geozarr.errors")
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert kinds <= set(geozarr.__all__)
