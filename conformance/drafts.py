"""`multiscales` of other drafts, told apart from the convention v0.1: what stands there, and whose it is.

v0.1 has an object with a `layout` whose levels have an `asset`. A node that registers v0.1 is judged by it, whatever it
holds; the forms below count where nothing is registered (SPEC GZ-24, GZ-25, NG-01).
"""

from __future__ import annotations

from typing import Any

from geozarr.conventions.multiscales import KEY

_OF_2025 = ("tile_matrix_ref", "variables")
_LEVEL_OF_2025 = ("id", "path")


def is_archives_2025(attributes: dict[str, Any]) -> bool:
    """Tell whether `multiscales` is that of GeoZarr's draft of 2025 (tag archives-2025, clause 7)."""
    found = attributes.get(KEY)
    layout = found.get("layout") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(layout, list):
        return False
    levels = [item for item in layout if isinstance(item, dict)]
    if any("asset" in item for item in levels):
        return False
    return any(key in found for key in _OF_2025) or any(key in item for item in levels for key in _LEVEL_OF_2025)


def list_of(attributes: dict[str, Any]) -> str | None:
    """Name what a list of `multiscales` is of: ndpyramid, OME-NGFF up to 0.4, or nothing known; None for no list."""
    found = attributes.get(KEY)
    if not isinstance(found, list):
        return None
    images = [item for item in found if isinstance(item, dict)]
    listed = [item.get("datasets") for item in images]
    levels = [level for datasets in listed if isinstance(datasets, list) for level in datasets]
    paths = [level for level in levels if isinstance(level, dict) and "path" in level]
    if any("axes" in item for item in images) or any("coordinateTransformations" in level for level in paths):
        return "OME-NGFF before 0.5"
    return "ndpyramid" if paths else "nothing known"
