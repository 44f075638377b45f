"""Coordinate reference systems: from code, WKT2 and PROJJSON and back, axis order, metres per unit.

Everything in this project that speaks of coordinates uses `(x, y)` = (easting, northing) or (longitude, latitude);
the order in which an authority lists the axes matters only where a standard's document asks for it (TileMatrixSet
`pointOfOrigin`, OGC 17-083r4 section 6.2). This module alone knows that order.

Definitions come from documents of strangers, so a CRS is read from an authority code, WKT or PROJJSON and from nothing
else: PROJ strings, `init` files and whatever names a grid file are refused, since they make PROJ open files.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import pyproj
import pyproj.exceptions

from geozarr.errors import MetadataError, UnsupportedError

_WKT2 = ("PROJCRS[", "GEOGCRS[", "GEODCRS[", "DERIVEDPROJCRS[")  # WKT1 begins PROJCS[ or GEOGCS[
_MAX_DOCUMENT = 2**16  # characters; the longest WKT2 in the EPSG register has about 9 000
_CODE = re.compile(
    r"[A-Za-z][A-Za-z0-9_]{0,31}:[A-Za-z0-9._-]{1,31}"
)  # stricter than proj v0.1, to keep PROJ strings out
_FILE = re.compile(r"PARAMETERFILE|(?:grids|file|init|catalog|model)\s*=\s*(?!@null\b)", re.IGNORECASE)
_NAMELESS = frozenset({"", "undefined", "unknown", "unnamed"})
_UNITS = {  # PROJ's names -> names of UDUNITS, which CF asks for (CF 3.1)
    "metre": "m",
    "meter": "m",
    "kilometre": "km",
    "foot": "foot",
    "international foot": "foot",
    "us survey foot": "US_survey_foot",
    "degree": "degree",
    "grad": "grade",
}


@dataclass(frozen=True, eq=False)
class CRS:
    """A horizontal coordinate reference system.

    Two CRS are equal when they describe the same system, whatever they were made from; axis order counts.

    Parameters
    ----------
    wkt2 : str
        WKT2:2019, which is what every other representation is derived from. Use `from_wkt2` for a text of unknown
        origin, which is restated and checked there.

    Raises
    ------
    MetadataError
        If the text does not parse.
    """

    wkt2: str

    def __post_init__(self) -> None:
        try:
            _parsed(self.wkt2)
        except pyproj.exceptions.CRSError as error:
            raise MetadataError("CRS", "wkt2", found=self.wkt2, expected="a CRS as WKT2:2019") from error

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
        """True where the coordinates are angles: longitude and latitude, also of a rotated pole."""
        return bool(self.proj.is_geographic)

    @property
    def is_rotated_pole(self) -> bool:
        """True where longitude and latitude are counted from another pole than the Earth's."""
        return self.is_geographic and bool(self.proj.is_derived)

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
        """True where the authority lists y before x, as EPSG:4326 and EPSG:3035 do.

        This is PROJ's rule (`proj_normalize_for_visualization`), which rasterio and `always_xy` follow: north then
        east are exchanged, as are a Northing and an Easting that point the same way, as in EPSG:5482 near the pole.
        All else keeps its order: the South and West axes of EPSG:5513 are x and y. Abbreviations do not count,
        since EPSG:31467 calls its northing X.
        """
        first, second = self.proj.axis_info[:2]
        if first.direction == second.direction:
            return first.name.lower().startswith("northing") and second.name.lower().startswith("easting")
        return (first.direction, second.direction) == ("north", "east")

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
        """Unit of the axes as UDUNITS reads it: `m`, `km`, `degree`, `US_survey_foot`, `0.9143917962 m` ..."""
        axis = self.proj.axis_info[0]
        base = "radian" if self.is_geographic else "m"
        return _UNITS.get(axis.unit_name.lower(), f"{axis.unit_conversion_factor!r} {base}")

    def to_projjson(self) -> dict[str, Any]:
        """Return the PROJJSON document."""
        document: dict[str, Any] = self.proj.to_json_dict()
        return document

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CRS):
            return NotImplemented
        return self.wkt2 == other.wkt2 or bool(self.proj == other.proj)

    def __hash__(self) -> int:
        # Equal systems can have different texts, and numbers that differ in the last digits, so little may count.
        return hash(self.is_geographic)

    def is_same_place(self, other: CRS) -> bool:
        """Tell whether coordinates `(x, y)` of one are those of the other: equal but for names and axis order."""
        return self == other or bool(self._x_first.equals(other._x_first, ignore_axis_order=True))

    @cached_property
    def _x_first(self) -> pyproj.CRS:
        """The same system with its axes as x and y; PROJ's own comparison ignores their order in degrees only."""
        if not self.is_northing_first:
            return self.proj
        document = self.to_projjson()
        document.pop("id", None)
        document["coordinate_system"]["axis"].reverse()
        return pyproj.CRS.from_json_dict(document)

    def __str__(self) -> str:
        if self.code is not None or self.name.lower() not in _NAMELESS:
            return self.code or self.name
        operation = self.proj.coordinate_operation
        return f"unnamed {operation.method_name if operation is not None else 'CRS'}"

    def __repr__(self) -> str:
        return f"<CRS {self}>"


def from_code(code: str, *, node: str = "CRS", key: str = "proj:code") -> CRS:
    """Look up an authority code such as `EPSG:3857`.

    Raises
    ------
    MetadataError
        If the text is not `AUTHORITY:CODE`, or the code is not known or no horizontal CRS. `node` and `key` say where
        it stood.
    """
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise MetadataError(node, key, found=code, expected="AUTHORITY:CODE such as EPSG:3857")
    authority, _, number = code.partition(":")
    try:
        crs = pyproj.CRS.from_authority(authority, number)
    except pyproj.exceptions.CRSError as error:
        raise MetadataError(node, key, found=code, expected="a code that PROJ knows") from error
    return from_pyproj(crs, node=node, key=key)


def from_wkt2(wkt: str, *, node: str = "CRS", key: str = "proj:wkt2") -> CRS:
    """Parse WKT. WKT1 is accepted, since sources carry it; the writer always writes WKT2:2019.

    Raises
    ------
    MetadataError
        If it is too long, does not parse, or is no horizontal CRS.
    """
    if not isinstance(wkt, str) or len(wkt) > _MAX_DOCUMENT:
        raise MetadataError(node, key, found=wkt, expected=f"WKT of at most {_MAX_DOCUMENT} characters")
    try:
        crs = pyproj.CRS.from_wkt(wkt)
    except (pyproj.exceptions.CRSError, UnicodeError) as error:
        raise MetadataError(node, key, found=wkt, expected="a CRS as WKT2:2019") from error
    horizontal = from_pyproj(crs, node=node, key=key)
    if wkt.startswith(_WKT2) and horizontal.proj == crs:
        # Kept to the letter: PROJ drops datum ensembles and names when it parses, so it would not write what it read.
        return CRS(wkt)
    return horizontal


def from_projjson(document: dict[str, Any], *, node: str = "CRS", key: str = "proj:projjson") -> CRS:
    """Parse a PROJJSON object that describes a CRS.

    Raises
    ------
    MetadataError
        If it is too long or too deep, or is no horizontal CRS.
    """
    expected = f"a CRS as PROJJSON of at most {_MAX_DOCUMENT} characters"
    # pyproj takes an object with one of these keys for the parameters of a PROJ string.
    if not isinstance(document, dict) or "proj" in document or "init" in document:
        raise MetadataError(node, key, found=document, expected=expected)
    try:
        text = json.dumps(document, allow_nan=False)
        if len(text) > _MAX_DOCUMENT:
            raise MetadataError(node, key, found=document, expected=expected)
        crs = pyproj.CRS.from_json(text)
    except (pyproj.exceptions.CRSError, RecursionError, TypeError, ValueError) as error:
        raise MetadataError(node, key, found=document, expected=expected) from error
    return from_pyproj(crs, node=node, key=key)


def from_pyproj(crs: pyproj.CRS, *, node: str = "CRS", key: str = "crs") -> CRS:
    """Wrap a pyproj CRS. Heights are dropped, alone or in a compound CRS, and a bound CRS is unwrapped.

    All of these are horizontal systems with something added; rasters are georeferenced by the horizontal part alone.

    Raises
    ------
    MetadataError
        If there is no horizontal part (geocentric, vertical, engineering ...), it has no WKT2 form, or it names a file.
    """
    horizontal = _horizontal(crs)
    if horizontal is None:
        found = f"{crs.name} ({crs.type_name})"
        raise MetadataError(node, key, found=found, expected="a geographic or projected CRS")
    try:
        wkt2 = horizontal.to_wkt("WKT2_2019")
    except pyproj.exceptions.CRSError as error:
        raise MetadataError(node, key, found=crs.name, expected="a CRS that WKT2:2019 can express") from error
    if _FILE.search(wkt2):
        raise MetadataError(node, key, found=wkt2, expected="a CRS that names no file")
    return CRS(wkt2)


def _horizontal(crs: pyproj.CRS) -> pyproj.CRS | None:
    if crs.is_bound:
        return _horizontal(crs.source_crs) if crs.source_crs is not None else None
    if crs.is_compound:
        return _horizontal(crs.sub_crs_list[0])
    if not (crs.is_geographic or crs.type_name.endswith("Projected CRS")):
        return None
    return crs if len(crs.axis_info) == 2 else crs.to_2d()


@lru_cache(maxsize=64)
def _parsed(wkt2: str) -> pyproj.CRS:
    return pyproj.CRS.from_wkt(wkt2)


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    # Thread-safe since pyproj 3.1: a Transformer makes its own PROJ context per thread.
    return pyproj.Transformer.from_crs(_parsed(source), _parsed(target), always_xy=True)


def transformer(source: CRS, target: CRS) -> pyproj.Transformer:
    """Return the transformation between two CRS in `(x, y)` order; parsed once a process, safe to share by threads.

    Raises
    ------
    UnsupportedError
        If there is none, as between the Earth and Mars.
    """
    try:
        return _transformer(source.wkt2, target.wkt2)
    except pyproj.exceptions.ProjError as error:
        raise UnsupportedError(f"a transformation from {source} to {target}", "PROJ knows none") from error


def full_turn(crs: CRS) -> float:
    """Length of one turn around the globe in the unit of a geographic CRS: 360 degrees, 400 grads."""
    return math.tau / float(crs.proj.axis_info[0].unit_conversion_factor)


def degrees_to_metres(degrees: float, *, radius: float = 6378137.0) -> float:
    """Length in metres of an arc along the equator."""
    return math.radians(degrees) * radius
