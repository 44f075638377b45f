"""CF metadata: the grid mapping variable, coordinate variables, missing values and packing.

CF conventions 1.12, chapters 4, 5.6, 8.1 and Appendix F; `GeoTransform` is GDAL's practice. What a float
`_FillValue` looks like in a Zarr v3 attribute is xarray's rule (SPEC ZARR-13), which no standard states: base64 of
the little-endian float64, whatever the array's own width. A JSON number there makes xarray refuse the store.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import pyproj.exceptions
from affine import Affine

from geozarr import crs as crs_module
from geozarr.errors import MetadataError

if TYPE_CHECKING:
    from geozarr.crs import CRS
    from geozarr.grid import Grid

CONVENTIONS = "CF-1.12"
GRID_MAPPING = "spatial_ref"  # the name that rioxarray, odc-geo and GDAL look for (SPEC CF-09)

_FIGURE = (  # what tells the figure of the Earth in a grid mapping (CF Table F.1)
    "horizontal_datum_name",
    "reference_ellipsoid_name",
    "semi_major_axis",
    "earth_radius",
    "geographic_crs_name",
)
_GRID_MAPPING_NAMES = (  # CF 1.12 Appendix F
    "albers_conical_equal_area",
    "azimuthal_equidistant",
    "geostationary",
    "lambert_azimuthal_equal_area",
    "lambert_conformal_conic",
    "lambert_cylindrical_equal_area",
    "latitude_longitude",
    "mercator",
    "oblique_mercator",
    "orthographic",
    "polar_stereographic",
    "rotated_latitude_longitude",
    "sinusoidal",
    "stereographic",
    "transverse_mercator",
    "vertical_perspective",
)


def grid_mapping_attributes(grid: Grid) -> dict[str, Any]:
    """Return the attributes of the grid mapping variable of one grid.

    Parameters
    ----------
    grid : Grid
        Its CRS gives the CF parameters and `crs_wkt`, its transform `GeoTransform`.

    Returns
    -------
    dict
        CF Appendix F parameters, `crs_wkt`, `spatial_ref` (the same text, for GDAL and rioxarray) and
        `GeoTransform`. A CRS that CF's parameters cannot describe to the letter (Robinson, the Swiss grid, a conic
        with a scale factor ...) has none of them and no `grid_mapping_name`; `crs_wkt` serves it.
    """
    return {
        **parameters(grid.crs),
        "crs_wkt": grid.crs.wkt2,
        "spatial_ref": grid.crs.wkt2,
        "GeoTransform": format_geotransform(grid.transform),
    }


def parameters(crs: CRS) -> dict[str, Any]:
    """Return the CF parameters of a CRS, `grid_mapping_name` among them; empty where CF cannot describe it.

    They are complete by Appendix F, and reading them back gives the CRS (but for Web Mercator, see `_web_mercator`).
    """
    return dict(_parameters(crs.wkt2))


def crs_from_grid_mapping(attributes: dict[str, Any], *, node: str = "grid mapping") -> CRS:
    """Read the CRS of a grid mapping variable: `crs_wkt`, else `spatial_ref`, else the CF parameters.

    Raises
    ------
    MetadataError
        If none of them describes a CRS, or the parameters leave the figure of the Earth open.
    """
    for key in ("crs_wkt", "spatial_ref"):
        if attributes.get(key):
            return crs_module.from_wkt2(attributes[key], node=node, key=key)
    figure = {key: attributes.get(key) for key in _FIGURE}
    if not any(value not in (None, "", "unknown", "undefined") for value in figure.values()):
        # pyproj would take WGS 84; a guess is off by hundreds of metres in many countries.
        raise MetadataError(node, "semi_major_axis", found=None, expected=f"one of {', '.join(_FIGURE)}, or crs_wkt")
    name = attributes.get("geographic_crs_name")
    if isinstance(name, str) and ("=" in name or "{" in name):  # a PROJ string, which pyproj would read
        raise MetadataError(node, "geographic_crs_name", found=name, expected="the name of a CRS")
    without_wkt = {key: value for key, value in attributes.items() if key not in ("crs_wkt", "spatial_ref")}
    try:
        crs = pyproj.CRS.from_cf(without_wkt)
    except (pyproj.exceptions.CRSError, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise MetadataError(
            node,
            "grid_mapping_name",
            found=attributes.get("grid_mapping_name"),
            expected="a CF grid mapping or crs_wkt",
        ) from error
    return crs_module.from_pyproj(crs, node=node, key="grid_mapping_name")


def format_geotransform(transform: Affine) -> str:
    """Write a transform as GDAL does: `c a b f d e`, blank separated, each number shortest that reads back equal."""
    return " ".join(repr(float(number)) for number in transform.to_gdal())


def parse_geotransform(text: Any, *, node: str) -> Affine:
    """Read `GeoTransform`.

    Raises
    ------
    MetadataError
        If it is not six finite numbers.
    """
    parts = text.split() if isinstance(text, str) else text
    try:
        numbers = [float(part) for part in parts]
    except (OverflowError, TypeError, ValueError):
        numbers = []
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        raise MetadataError(
            node,
            "GeoTransform",
            found=text,
            expected="six finite numbers in GDAL's order, c a b f d e",
        )
    return Affine.from_gdal(*numbers)


def x_attributes(crs: CRS) -> dict[str, Any]:
    """Attributes of the coordinate variable of the columns (CF 4.2, 5.6, Appendix F)."""
    if crs.is_geographic:
        return {"axis": "X", **_angle(crs, "longitude", "degrees_east")}
    return {
        "axis": "X",
        "standard_name": "projection_x_coordinate",
        "long_name": "x coordinate of projection",
        "units": crs.unit,
    }


def y_attributes(crs: CRS) -> dict[str, Any]:
    """Attributes of the coordinate variable of the rows (CF 4.1, 5.6, Appendix F)."""
    if crs.is_geographic:
        return {"axis": "Y", **_angle(crs, "latitude", "degrees_north")}
    return {
        "axis": "Y",
        "standard_name": "projection_y_coordinate",
        "long_name": "y coordinate of projection",
        "units": crs.unit,
    }


def _angle(crs: CRS, name: str, units: str) -> dict[str, Any]:
    """Name a longitude or latitude: one of a rotated pole has its own names, and no compass direction (CF 5.6)."""
    name = f"grid_{name}" if crs.is_rotated_pole else name
    units = units if crs.unit == "degree" and not crs.is_rotated_pole else crs.unit
    return {"standard_name": name, "long_name": name.replace("_", " "), "units": units}


def encode_fill_value(value: float | bool, dtype: np.dtype[Any]) -> Any:
    """Write a Zarr v3 `fill_value`: a number, or "NaN", "Infinity", "-Infinity" (SPEC ZARR-07).

    Raises
    ------
    MetadataError
        If the dtype does not hold the value.
    """
    _require_held(value, dtype, "fill_value")
    if dtype.kind == "b":
        return bool(value)
    if dtype.kind in "iu":
        return int(value)
    number = float(dtype.type(value))
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def decode_fill_value(value: Any, dtype: np.dtype[Any], *, node: str) -> Any:
    """Read a Zarr v3 `fill_value` as a numpy scalar of `dtype`.

    Raises
    ------
    MetadataError
        If it is not one of the forms of the specification, or does not fit the dtype.
    """
    error = MetadataError(node, "fill_value", found=value, expected=f"a value of data type {dtype}")
    if dtype.kind == "b":
        if not isinstance(value, bool):
            raise error
        return np.bool_(value)
    if isinstance(value, bool) or value is None:
        raise error
    if dtype.kind in "iu":
        if not isinstance(value, int | float) or not holds(value, dtype):
            raise error
        return dtype.type(int(value))
    if isinstance(value, str):
        named = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
        if value in named:
            return dtype.type(named[value])
        if not re.fullmatch(f"0x[0-9a-fA-F]{{{2 * dtype.itemsize}}}", value):
            raise error
        raw = bytes.fromhex(value[2:])
        return np.frombuffer(raw, dtype=dtype.newbyteorder(">"))[0].astype(dtype)
    if not isinstance(value, int | float) or not holds(value, dtype):
        raise error
    return dtype.type(value)


def encode_missing_value(value: float | bool, dtype: np.dtype[Any]) -> Any:
    """Write the CF `_FillValue` attribute for Zarr v3: base64 of a float64 for floats, else a JSON integer or boolean.

    Raises
    ------
    MetadataError
        If the dtype does not hold the value.
    """
    _require_held(value, dtype, "_FillValue")
    if dtype.kind == "f":
        return base64.b64encode(struct.pack("<d", float(dtype.type(value)))).decode("ascii")
    return bool(value) if dtype.kind == "b" else int(value)


def decode_missing_value(value: Any, dtype: np.dtype[Any], *, node: str) -> Any:
    """Read a CF `_FillValue` attribute as a numpy scalar; the tolerant inverse of `encode_missing_value`.

    A JSON number or "NaN" on a float array is read too, since the drafts of GeoZarr show it (SPEC D-09).

    Raises
    ------
    MetadataError
        If no reading gives a value of the dtype.
    """
    if dtype.kind == "f" and isinstance(value, str) and value not in ("NaN", "Infinity", "-Infinity"):
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        number = struct.unpack("<d", raw)[0] if len(raw) == 8 else None
        if number is not None and holds(number, dtype):
            return dtype.type(number)
        raise MetadataError(node, "_FillValue", found=value, expected="base64 of a little-endian float64")
    try:
        return decode_fill_value(value, dtype, node=node)
    except MetadataError as error:
        raise MetadataError(node, "_FillValue", found=value, expected=f"a value of data type {dtype}") from error


def holds(value: float, dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype can hold a value: exactly if an integer; if a float, without overflow to infinity."""
    if dtype.kind == "b":
        return value in (0, 1)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        # Compared as integers, since the largest int64 is no float64.
        return _is_finite(value) and bool(int(value) == value and info.min <= int(value) <= info.max)
    if not _is_finite(value):
        return not isinstance(value, int)
    with np.errstate(over="ignore"):
        return bool(np.isfinite(dtype.type(value)))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the float64 range, as JSON can hold
        return False


def _require_held(value: float | bool, dtype: np.dtype[Any], key: str) -> None:
    if not holds(value, dtype):
        raise MetadataError("array", key, found=value, expected=f"a value of data type {dtype}")


def _plain(value: Any) -> Any:
    """Turn numpy scalars and sequences of what pyproj returns into JSON."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


@lru_cache(maxsize=64)
def _parameters(wkt2: str) -> tuple[tuple[str, Any], ...]:
    """Return the CF parameters that describe a CRS to the letter, empty where there are none."""
    crs = pyproj.CRS.from_wkt(wkt2)
    method = crs.coordinate_operation
    numbers = {} if method is None else {parameter.name: float(parameter.value) for parameter in method.params}
    if method is not None and method.method_name == "Popular Visualisation Pseudo Mercator":
        return () if any(numbers.values()) or crs.ellipsoid is None else _web_mercator(crs.ellipsoid.semi_major_metre)
    if numbers.get("Angle from Rectified to Skew Grid"):
        return ()  # pyproj would warn and leave the angle out
    try:
        found: dict[str, Any] = {key: _plain(value) for key, value in crs.to_cf().items() if value is not None}
    except KeyError:  # pyproj misses a parameter that some definitions leave at its default
        return ()
    del found["crs_wkt"]
    if found.get("inverse_flattening") == 0:
        del found["inverse_flattening"]  # a sphere; its two axes say so
    if crs.prime_meridian is not None:  # in degrees, also where the CRS counts in grads
        radians = crs.prime_meridian.longitude * float(crs.prime_meridian.unit_conversion_factor)
        if crs.prime_meridian.unit_name != "degree":
            found["longitude_of_prime_meridian"] = math.degrees(radians)
    parallel = found.get("standard_parallel")
    if "latitude_of_projection_origin" not in found and isinstance(parallel, float):
        # Appendix F asks for what pyproj leaves to be understood: the pole that a parallel is nearest to, and the
        # parallel itself where a cone touches along one.
        if found["grid_mapping_name"] == "polar_stereographic":
            found["latitude_of_projection_origin"] = math.copysign(90.0, parallel)
        if found["grid_mapping_name"] == "lambert_conformal_conic":
            found["latitude_of_projection_origin"] = parallel
    return tuple(found.items()) if _describe(found, crs) else ()


def _web_mercator(radius: float) -> tuple[tuple[str, Any], ...]:
    """Return the parameters of a Mercator projection of a sphere.

    Web Mercator treats geodetic latitudes with the formulas of a sphere. CF has no name for that; a Mercator of the
    sphere gives the same x and y for the same angles, while one of the ellipsoid would be up to 40 km off.
    """
    return (
        ("grid_mapping_name", "mercator"),
        ("earth_radius", radius),
        ("longitude_of_projection_origin", 0.0),
        ("standard_parallel", 0.0),
        ("false_easting", 0.0),
        ("false_northing", 0.0),
    )


def _describe(found: dict[str, Any], crs: pyproj.CRS) -> bool:
    """Tell whether CF parameters, read back, give the same CRS on the same axes."""
    if found.get("grid_mapping_name") not in _GRID_MAPPING_NAMES:
        return False
    # CF counts false origins in the unit of the axes, pyproj reads them as metres.
    unit = 1.0 if crs.is_geographic else crs.axis_info[0].unit_conversion_factor
    offsets = {key: found[key] * unit for key in ("false_easting", "false_northing") if key in found}
    geographic = crs if crs.is_geographic else crs.geodetic_crs
    try:
        read = pyproj.CRS.from_cf(
            found | offsets,
            ellipsoidal_cs=geographic.coordinate_system if geographic is not None else None,
            cartesian_cs=None if crs.is_geographic else crs.coordinate_system,
        )
    except (pyproj.exceptions.CRSError, KeyError, TypeError, ValueError):
        return False
    return bool(read.equals(crs, ignore_axis_order=True))
