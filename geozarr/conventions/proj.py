"""The proj convention v0.1: `proj:code`, `proj:wkt2`, `proj:projjson`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geozarr import crs as crs_module
from geozarr.errors import MetadataError

if TYPE_CHECKING:
    from geozarr.crs import CRS

KEYS = ("proj:code", "proj:wkt2", "proj:projjson")


def to_attributes(crs: CRS) -> dict[str, Any]:
    """Write a CRS: always `proj:wkt2`, and `proj:code` where an authority has it (PJ-06).

    The code stands beside the text because deck.gl, qgis-geozarr and GDAL's first choice is the code (D-14).
    """
    attributes: dict[str, Any] = {}
    if crs.code is not None:
        attributes["proj:code"] = crs.code
    attributes["proj:wkt2"] = crs.wkt2
    return attributes


def from_attributes(attributes: dict[str, Any], *, node: str) -> CRS | None:
    """Read the CRS of a node from its own attributes.

    `proj:wkt2` comes first, then the code, then PROJJSON (PJ-08). A null counts as absent, as the drafts allowed.

    Returns
    -------
    CRS or None
        None where the node has none of the keys.

    Raises
    ------
    MetadataError
        If a key is there but describes no CRS.
    """
    wkt2, code, projjson = (attributes.get(key) for key in ("proj:wkt2", "proj:code", "proj:projjson"))
    if wkt2 is not None:
        return crs_module.from_wkt2(wkt2, node=node)
    if code is not None:
        if not isinstance(code, str):
            raise MetadataError(node, "proj:code", found=code, expected="a string AUTHORITY:CODE")
        return crs_module.from_code(code, node=node)
    if projjson is not None:
        return crs_module.from_projjson(projjson, node=node)
    return None
