"""`multiscales` that are a list, which no draft of GeoZarr has: whose it is (SPEC GZ-25, NG-01)."""

from __future__ import annotations

from typing import Any

from geozarr.conventions.multiscales import KEY


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
