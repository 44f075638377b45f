"""Coordinate reference systems: from code, WKT2 and PROJJSON and back, axis order, metres per unit.

Everything in this project that speaks of coordinates uses `(x, y)` = (easting, northing) or (longitude, latitude);
the order in which an authority lists the axes matters only where a standard's document asks for it (TileMatrixSet
`pointOfOrigin`, OGC 17-083r4 section 6.2). This module alone knows that order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import pyproj
import pyproj.exceptions

from geozarr.errors import MetadataError

_MAX_DOCUMENT = 200_000  # characters; the longest WKT2 in the EPSG register has about 9 000


@dataclass(frozen=True, eq=False)
class CRS:
    """A horizontal coordinate reference system.

    Two CRS are equal when they describe the same system, whatever they were made from; axis order counts.

    Parameters
    ----------
    wkt2 : str
        WKT2:2019, which is what every other representation is derived from.
    """

    wkt2: str

    @cached_property
    def proj(self) -> pyproj.CRS:
        """The pyproj object, parsed once."""
        return _parsed(self.wkt2)

    @cached_property
    def code(self) -> str | None:
        """`AUTHORITY:CODE` where the CRS is one of an authority's to the letter, else None."""
        authority = self.proj.to_authority(min_confidence=100)
        return f"{authority[0]}:{authority[1]}" if authority else None

    @property
    def is_geographic(self) -> bool:
        """True for longitude and latitude in degrees."""
        return bool(self.proj.is_geographic)

    @property
    def name(self) -> str:
        """The name in the definition."""
        return str(self.proj.name)

    @property
    def is_earth(self) -> bool:
        """True where the ellipsoid is the Earth's (within 1 % of its radius), so that Earth grids can hold it."""
        ellipsoid = self.proj.ellipsoid
        return ellipsoid is not None and abs(ellipsoid.semi_major_metre / 6_371_000 - 1) < 0.01

    @cached_property
    def is_northing_first(self) -> bool:
        """True where the authority lists the northing or latitude first, as EPSG:4326 and EPSG:3035 do.

        The axes' names decide, not their abbreviations or directions: EPSG:31467 abbreviates the northing as X, and
        both axes of a polar system point the same way.
        """
        axes = self.proj.axis_info
        return bool(axes) and any(word in axes[0].name.lower() for word in ("northing", "latitude", "southing"))

    @cached_property
    def metres_per_unit(self) -> float:
        """Metres in one unit of the axes; for degrees along the equator (OGC 17-083r4, 6.1.1: 2 pi a / 360)."""
        axis = self.proj.axis_info[0]
        if self.is_geographic:
            ellipsoid = self.proj.ellipsoid
            radius = ellipsoid.semi_major_metre if ellipsoid is not None else 6378137.0
            return float(axis.unit_conversion_factor * radius)  # the factor is radians in one unit
        return float(axis.unit_conversion_factor)

    @property
    def unit(self) -> str:
        """Unit of the axes as CF writes it: `m`, `km`, `degree`, `US_survey_foot` ..."""
        name = self.proj.axis_info[0].unit_name.lower()
        return {
            "metre": "m",
            "meter": "m",
            "kilometre": "km",
            "us survey foot": "US_survey_foot",
            "international foot": "foot",
        }.get(name, name)

    def to_projjson(self) -> dict[str, Any]:
        """Return the PROJJSON document (v0.7 without `$schema` alternatives)."""
        document: dict[str, Any] = self.proj.to_json_dict()
        return document

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CRS):
            return NotImplemented
        return self.wkt2 == other.wkt2 or bool(self.proj == other.proj)

    def __hash__(self) -> int:
        # Equal systems can have different texts, so only what all of them share may count.
        return hash((self.is_geographic, round(self.metres_per_unit, 6)))

    def is_same_place(self, other: CRS) -> bool:
        """Tell whether coordinates `(x, y)` of one are those of the other: equal but for names and axis order."""
        return self == other or bool(self.proj.equals(other.proj, ignore_axis_order=True))

    def __str__(self) -> str:
        return self.code or self.name


def from_code(code: str, *, node: str = "CRS") -> CRS:
    """Look up an authority code such as `EPSG:3857`.

    Raises
    ------
    MetadataError
        If the text is not `AUTHORITY:CODE` or the code is not known. `node` says where it stood.
    """
    authority, _, number = code.partition(":")
    if not authority or not number or len(code) > 64 or not code.isprintable():
        raise MetadataError(node, "proj:code", found=code, expected="AUTHORITY:CODE such as EPSG:3857")
    try:
        return from_pyproj(pyproj.CRS.from_authority(authority, number))
    except pyproj.exceptions.CRSError as error:
        raise MetadataError(node, "proj:code", found=code, expected="a code that PROJ knows") from error


def from_wkt2(wkt: str, *, node: str = "CRS", key: str = "proj:wkt2") -> CRS:
    """Parse WKT. WKT1 is accepted, since sources carry it; the writer always writes WKT2:2019.

    Raises
    ------
    MetadataError
        If it is too long or does not parse.
    """
    if not isinstance(wkt, str) or len(wkt) > _MAX_DOCUMENT:
        raise MetadataError(node, key, found=wkt, expected=f"WKT of at most {_MAX_DOCUMENT} characters")
    try:
        return from_pyproj(pyproj.CRS.from_wkt(wkt))
    except pyproj.exceptions.CRSError as error:
        raise MetadataError(node, key, found=wkt, expected="a CRS as WKT2:2019") from error


def from_projjson(document: dict[str, Any], *, node: str = "CRS") -> CRS:
    """Parse a PROJJSON object that describes a CRS.

    Raises
    ------
    MetadataError
        If it is not a CRS.
    """
    try:
        return from_pyproj(pyproj.CRS.from_json_dict(document))
    except (pyproj.exceptions.CRSError, TypeError, ValueError) as error:
        raise MetadataError(node, "proj:projjson", found=document, expected="a CRS as PROJJSON") from error


def from_pyproj(crs: pyproj.CRS) -> CRS:
    """Wrap a pyproj CRS. The vertical part of a compound CRS is dropped and a bound CRS is unwrapped.

    Both are horizontal systems with something added; rasters are georeferenced by the horizontal part alone.
    """
    while crs.is_bound and crs.source_crs is not None:
        crs = crs.source_crs
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    return CRS(crs.to_wkt("WKT2_2019"))


@lru_cache(maxsize=64)
def _parsed(wkt2: str) -> pyproj.CRS:
    return pyproj.CRS.from_wkt(wkt2)


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    # Thread-safe since pyproj 3.1: a Transformer makes its own PROJ context per thread.
    return pyproj.Transformer.from_crs(_parsed(source), _parsed(target), always_xy=True)


def transformer(source: CRS, target: CRS) -> pyproj.Transformer:
    """Return the transformation between two CRS in `(x, y)` order; parsed once a process."""
    return _transformer(source.wkt2, target.wkt2)


def degrees_to_metres(degrees: float, *, radius: float = 6378137.0) -> float:
    """Length in metres of an arc along the equator."""
    return math.radians(degrees) * radius
