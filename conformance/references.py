"""Coordinate reference systems out of documents: each text parsed once, never by raising, never from the network.

PROJ is given WKT, an authority's code or PROJJSON, in bounded size, and nothing that could name a file or a URL.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from affine import Affine

from geozarr import cf
from geozarr import crs as crs_module
from geozarr.crs import CRS
from geozarr.errors import MetadataError, UnsupportedError
from geozarr.grid import Grid

_WKT1 = re.compile(r"\s*(PROJCS|GEOGCS|GEOCCS|COMPD_CS|VERT_CS|LOCAL_CS|FITTED_CS)\s*[\[(]", re.IGNORECASE)
_CODE_URI = re.compile(r"https?://www\.opengis\.net/def/crs/([^/\s]+)/[^/\s]+/([^/\s]+)")
_CODE_URN = re.compile(r"urn:ogc:def:crs:([^:\s]+):[^:\s]*:([^:\s]+)")
_CODE_CURIE = re.compile(r"\[?([A-Za-z_0-9]+):(\w+)\]?")


def is_wkt1(text: str) -> bool:
    """Tell whether a text opens as WKT 1 does; proj v0.1 asks for WKT2:2019."""
    return _WKT1.match(text) is not None


@lru_cache(maxsize=512)
def from_wkt(text: str) -> CRS | None:
    """Parse WKT, whichever generation; None where it describes no horizontal CRS."""
    if not _is_encodable(text) or text.rstrip()[-1:] not in ("]", ")"):  # PROJ overlooks what follows the end
        return None
    try:
        return _horizontal(crs_module.from_wkt2(text))
    except (MetadataError, UnsupportedError):
        return None


@lru_cache(maxsize=512)
def from_code(code: str) -> CRS | None:
    """Look up `AUTHORITY:CODE`; None where PROJ knows no horizontal CRS of that code."""
    if not _is_encodable(code):
        return None
    try:
        return _horizontal(crs_module.from_code(code))
    except (MetadataError, UnsupportedError):
        return None


def from_projjson(document: Any) -> CRS | None:
    """Parse a PROJJSON object; None where it is no horizontal CRS."""
    if not isinstance(document, dict):
        return None
    return _from_projjson(json.dumps(document, sort_keys=True))


def from_uri(text: str) -> CRS | None:
    """Look up an OGC CRS URI, URN or CURIE without following it; None where PROJ does not know the code."""
    match = _CODE_URI.fullmatch(text) or _CODE_URN.fullmatch(text) or _CODE_CURIE.fullmatch(text)
    return from_code(f"{match[1]}:{match[2]}") if match else None


def are_same(a: CRS, b: CRS) -> bool:
    """Tell whether two CRS are one, axis order included, names left aside."""
    return a.wkt2 == b.wkt2 or _are_same(*sorted((a.wkt2, b.wkt2)))


def are_same_place(a: CRS, b: CRS) -> bool:
    """Tell whether two CRS are one but for axis order."""
    return a.wkt2 == b.wkt2 or _are_same_place(*sorted((a.wkt2, b.wkt2)))


@lru_cache(maxsize=512)
def cf_parameters(wkt2: str) -> dict[str, Any]:
    """CF grid mapping attributes of a CRS without its WKT; empty where CF cannot express the CRS to the letter."""
    attributes = cf.grid_mapping_attributes(Grid((1, 1), Affine.identity(), CRS(wkt2)))
    return {key: value for key, value in attributes.items() if key not in ("crs_wkt", "spatial_ref", "GeoTransform")}


@lru_cache(maxsize=512)
def _from_projjson(text: str) -> CRS | None:
    if not _is_encodable(text):
        return None
    try:
        return _horizontal(crs_module.from_projjson(json.loads(text)))
    except (MetadataError, UnsupportedError):
        return None


@lru_cache(maxsize=4096)
def _are_same(a: str, b: str) -> bool:
    return CRS(a) == CRS(b)


@lru_cache(maxsize=4096)
def _are_same_place(a: str, b: str) -> bool:
    return CRS(a).is_same_place(CRS(b))


def _horizontal(crs: CRS) -> CRS | None:
    """Keep what has two horizontal axes: a vertical, temporal or geocentric CRS places no raster."""
    return crs if len(crs.proj.axis_info) == 2 else None


def _is_encodable(text: str) -> bool:
    """JSON allows lone surrogates and NUL, PROJ neither."""
    return len(text) <= 200_000 and "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
