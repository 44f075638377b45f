"""CF metadata: the grid mapping variable, coordinate variables, missing values and packing.

CF conventions 1.12, chapters 4, 5.6, 8.1 and Appendix F; `GeoTransform` is GDAL's practice. What a float
`_FillValue` looks like in a Zarr v3 attribute is xarray's rule (SPEC ZARR-13), which no standard states: base64 of
the little-endian float64, whatever the array's own width. A JSON number there makes xarray refuse the store.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from geozarr import crs as crs_module
from geozarr.errors import MetadataError

if TYPE_CHECKING:
    from geozarr.crs import CRS
    from geozarr.grid import Grid

CONVENTIONS = "CF-1.12"
GRID_MAPPING = "spatial_ref"  # the name that rioxarray, odc-geo and GDAL look for (SPEC CF-09)


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
        `GeoTransform`. A projection that CF cannot express has no `grid_mapping_name`; `crs_wkt` serves it.
    """
    attributes = {key: _plain(value) for key, value in grid.crs.proj.to_cf().items() if value is not None}
    if attributes.get("grid_mapping_name") in (None, "unknown"):
        attributes.pop("grid_mapping_name", None)
    attributes["crs_wkt"] = grid.crs.wkt2
    attributes["spatial_ref"] = grid.crs.wkt2
    attributes["GeoTransform"] = format_geotransform(grid.transform)
    return attributes


def crs_from_grid_mapping(attributes: dict[str, Any], *, node: str = "grid mapping") -> CRS:
    """Read the CRS of a grid mapping variable: `crs_wkt`, else `spatial_ref`, else the CF parameters.

    Raises
    ------
    MetadataError
        If none of them describes a CRS.
    """
    for key in ("crs_wkt", "spatial_ref"):
        if attributes.get(key):
            return crs_module.from_wkt2(attributes[key], node=node, key=key)
    import pyproj  # noqa: PLC0415 - only this rare branch needs it by itself

    try:
        return crs_module.from_pyproj(pyproj.CRS.from_cf(attributes))
    except (pyproj.exceptions.CRSError, KeyError, ValueError, TypeError) as error:
        raise MetadataError(
            node,
            "grid_mapping_name",
            found=attributes.get("grid_mapping_name"),
            expected="a CF grid mapping or crs_wkt",
        ) from error


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
    except (TypeError, ValueError):
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
    """Attributes of the coordinate variable of the columns (CF 4.2, Appendix F)."""
    if crs.is_geographic:
        return {
            "axis": "X",
            "standard_name": "longitude",
            "long_name": "longitude",
            "units": "degrees_east",
        }
    return {
        "axis": "X",
        "standard_name": "projection_x_coordinate",
        "long_name": "x coordinate of projection",
        "units": crs.unit,
    }


def y_attributes(crs: CRS) -> dict[str, Any]:
    """Attributes of the coordinate variable of the rows (CF 4.1, Appendix F)."""
    if crs.is_geographic:
        return {
            "axis": "Y",
            "standard_name": "latitude",
            "long_name": "latitude",
            "units": "degrees_north",
        }
    return {
        "axis": "Y",
        "standard_name": "projection_y_coordinate",
        "long_name": "y coordinate of projection",
        "units": crs.unit,
    }


def encode_fill_value(value: float | bool, dtype: np.dtype[Any]) -> Any:
    """Write a Zarr v3 `fill_value`: a number, or "NaN", "Infinity", "-Infinity" (SPEC ZARR-07)."""
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
        if isinstance(value, float) and not value.is_integer():
            raise error
        if not isinstance(value, int | float) or not holds(int(value), dtype):
            raise error
        return dtype.type(int(value))
    if isinstance(value, str):
        named = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
        if value in named:
            return dtype.type(named[value])
        try:
            raw = bytes.fromhex(value.removeprefix("0x"))
        except ValueError:
            raise error from None
        if not value.startswith("0x") or len(raw) != dtype.itemsize:
            raise error
        return np.frombuffer(raw, dtype=dtype.newbyteorder(">"))[0].astype(dtype)
    if not isinstance(value, int | float):
        raise error
    return dtype.type(value)


def encode_missing_value(value: float, dtype: np.dtype[Any]) -> Any:
    """Write the CF `_FillValue` attribute for Zarr v3: base64 of a float64 for floats, a JSON integer for integers."""
    if dtype.kind == "f":
        return base64.b64encode(struct.pack("<d", float(dtype.type(value)))).decode("ascii")
    return int(value)


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
        if len(raw) == 8:
            return dtype.type(struct.unpack("<d", raw)[0])
        raise MetadataError(node, "_FillValue", found=value, expected="base64 of a little-endian float64")
    try:
        return decode_fill_value(value, dtype, node=node)
    except MetadataError as error:
        raise MetadataError(node, "_FillValue", found=value, expected=f"a value of data type {dtype}") from error


def holds(value: float, dtype: np.dtype[Any]) -> bool:
    """Tell whether a dtype can hold a value: exactly if an integer; if a float, without overflow to infinity."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return bool(math.isfinite(value) and float(value).is_integer() and info.min <= int(value) <= info.max)
    if dtype.kind == "b":
        return value in (0, 1)
    with np.errstate(over="ignore"):
        return bool(not math.isfinite(value) or np.isfinite(dtype.type(value)))


def _plain(value: Any) -> Any:
    """Turn numpy scalars and sequences of what pyproj returns into JSON."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
