"""Rules on fill values, missing values and packing (Zarr v3 core; CF 2.5.1 and 8.1; xarray's encoding)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import values
from conformance.report import Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.report import Pointer
    from conformance.tree import Node

_FILL: Pointer = ("attributes", "_FillValue")
_RANGES = ("valid_min", "valid_max", "valid_range", "missing_value")
_PACKED = ("int8", "uint8", "int16", "uint16", "int32", "uint32")


def check_fill_value(context: Context) -> Iterator[Fault]:
    """Find fill values that are no value of the data type."""
    for array, dtype in _typed(context):
        found = array.document.get("fill_value")
        if found is None and array.version == 2:
            continue  # Zarr v2 allows null: what absent chunks hold is not said
        if "fill_value" in array.document and values.fill_value(found, dtype) is None:
            expected = f"a value of {dtype}, not null"
            shown = "null" if found is None else found
            yield Fault(array.path, ("fill_value",), "the fill value does not fit the data type", shown, expected)


def check_missing_encoding(context: Context) -> Iterator[Fault]:
    """Find `_FillValue` attributes that xarray cannot decode: on Zarr v3 floats are base64, on v2 numbers."""
    for array, dtype in _typed(context):
        float_form = "base64 of a little-endian float64" if array.version == 3 else "a JSON number"
        forms = {"f": float_form, "b": "true or false"}
        if "_FillValue" not in array.attributes or isinstance(array.attributes["_FillValue"], list):
            continue
        found = array.attributes["_FillValue"]
        is_whole = values.number(found) is not None and float(found).is_integer()
        good = is_whole if dtype.kind in "iu" else _missing(array, found, dtype) is not None
        if not good:
            message = "_FillValue is not encoded as xarray reads it; xarray cannot open the array"
            yield Fault(array.path, _FILL, message, found, forms.get(dtype.kind, "a JSON integer"))


def check_representable(context: Context) -> Iterator[Fault]:
    """Find missing values and valid ranges that the data type cannot hold."""
    for array, dtype in _typed(context):
        expected = f"a value of {dtype}"
        found = array.attributes.get("_FillValue")
        if found is not None and not context.is_void(array.path, *_FILL) and not isinstance(found, list):
            value = _missing(array, found, dtype)
            if value is None or (dtype.kind == "f" and np.isinf(value) and not _is_infinite(array, found)):
                yield Fault(array.path, _FILL, "_FillValue does not fit the data type", found, expected)
        for key in _RANGES:
            if key not in array.attributes:
                continue
            found = array.attributes[key]
            if any(_packed(item, dtype, array) is None for item in (found if isinstance(found, list) else [found])):
                yield Fault(array.path, ("attributes", key), f"{key} does not fit the data type", found, expected)


def check_outside_range(context: Context) -> Iterator[Fault]:
    """Find missing values inside the valid range, or that contradict each other."""
    for array, dtype in _typed(context):
        attributes = array.attributes
        if isinstance(attributes.get("_FillValue"), list):
            yield Fault(array.path, _FILL, "_FillValue is no scalar", attributes["_FillValue"], "one value")
            continue
        both = [key for key in ("valid_min", "valid_max") if key in attributes and "valid_range" in attributes]
        if both:
            message = f"valid_range and {both[0]} exclude each other"
            yield Fault(array.path, ("attributes", both[0]), message, attributes[both[0]], "one of the two")
            continue
        fill = context.attribute(array, "_FillValue", partial(_missing, array, dtype=dtype))
        if fill is None:
            continue
        missing = context.attribute(array, "missing_value", partial(_packed, dtype=dtype, array=array))
        if missing is not None and not values.same_scalar(missing, fill):
            message = "missing_value and _FillValue differ"
            pointer = ("attributes", "missing_value")
            yield Fault(array.path, pointer, message, attributes["missing_value"], f"{fill}", severity=Severity.WARNING)
        low, high = _valid_range(context, array, dtype)
        if (low is not None or high is not None) and (low is None or fill >= low) and (high is None or fill <= high):
            message = "_FillValue lies inside the valid range"
            expected = f"a value outside {low} to {high}"
            yield Fault(array.path, _FILL, message, attributes["_FillValue"], expected, severity=Severity.WARNING)


def check_packing(context: Context) -> Iterator[Fault]:
    """Find scale factors and offsets that are no numbers, or a scale of zero."""
    for array in context.tree.arrays:
        for key in ("scale_factor", "add_offset"):
            if key in array.attributes:
                found = values.number(array.attributes[key])
                if found is None or (key == "scale_factor" and found == 0):
                    expected = "a finite number" + (" other than 0" if key == "scale_factor" else "")
                    message = f"{key} unpacks nothing"
                    yield Fault(array.path, ("attributes", key), message, array.attributes[key], expected)


def check_packed_type(context: Context) -> Iterator[Fault]:
    """Find packed data whose type CF does not allow for packing."""
    for array, dtype in _typed(context):
        if ("scale_factor" in array.attributes or "add_offset" in array.attributes) and dtype.name not in _PACKED:
            message, expected = "packed data of another type", " ".join(_PACKED)
            scale, offset = (
                array.attributes.get(key, value) for key, value in (("scale_factor", 1), ("add_offset", 0))
            )
            # GDAL and what reads through it state a packing that changes nothing.
            severity = Severity.INFO if scale == 1 and offset == 0 else None
            yield Fault(array.path, ("data_type",), message, dtype.name, expected, severity=severity, keeps=True)


def check_equal(context: Context) -> Iterator[Fault]:
    """Find arrays whose `fill_value` and `_FillValue` differ: GDAL masks the one, xarray the other."""
    for array, dtype in _typed(context):
        fill = context.member(array, "fill_value", partial(values.fill_value, of=dtype))
        missing = context.attribute(array, "_FillValue", partial(_missing, array, dtype=dtype))
        if fill is not None and missing is not None and not values.same_scalar(fill, missing):
            message = "fill_value and _FillValue differ, so GDAL and xarray mask different pixels"
            yield Fault(array.path, ("fill_value",), message, fill.item(), f"{missing}", voids=((array.path, _FILL),))


def check_masked(context: Context) -> Iterator[Fault]:
    """Find rasters whose fill value reads as nodata in GDAL while xarray, without `_FillValue`, masks nothing."""
    for array in context.rasters(context.tree.arrays):
        dtype = context.member(array, "data_type", values.dtype)
        if dtype is None or "_FillValue" in array.attributes or _has_other_mask(array) or array.version == 2:
            continue
        fill = context.member(array, "fill_value", partial(values.fill_value, of=dtype))
        if fill is None or dtype.kind == "b" or (dtype.kind == "f" and np.isnan(fill)):
            continue
        # The largest or smallest integer is what writers put where every cell is valid.
        if dtype.kind in "iu" and fill in (np.iinfo(dtype).min if dtype.kind == "i" else None, np.iinfo(dtype).max):
            continue
        message = "there is no _FillValue: xarray masks nothing where GDAL takes fill_value for nodata"
        severity = Severity.WARNING if dtype.kind == "f" else Severity.INFO
        yield Fault(array.path, _FILL, message, None, f"the fill value {fill}, if it means nodata", severity=severity)


def _typed(context: Context) -> Iterator[tuple[Node, np.dtype[Any]]]:
    """Arrays of a data type that is known."""
    for array in context.tree.arrays:
        dtype = context.member(array, "data_type", values.dtype)
        if dtype is not None:
            yield array, dtype


def _missing(array: Node, value: Any, dtype: np.dtype[Any]) -> Any:
    """Read a `_FillValue`, which Zarr v2 writes as a number."""
    return values.missing_value(value, dtype, version=array.version)


def _packed(value: Any, dtype: np.dtype[Any], array: Node) -> Any:
    """Read a value in the packed type; floats may be JSON numbers, or encoded as `_FillValue` is."""
    if dtype.kind == "f" and isinstance(value, str) and (found := _missing(array, value, dtype)) is not None:
        return found
    found = values.fill_value(value, dtype)
    return None if found is not None and dtype.kind == "f" and np.isinf(found) and not isinstance(value, str) else found


def _is_infinite(array: Node, value: Any) -> bool:
    return bool(np.isinf(_missing(array, value, np.dtype("float64"))))


def _valid_range(context: Context, array: Node, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    stated = context.attribute(array, "valid_range", lambda value: value if isinstance(value, list) else None)
    if stated is not None and len(stated) == 2:
        return _packed(stated[0], dtype, array), _packed(stated[1], dtype, array)
    parse = partial(_packed, dtype=dtype, array=array)
    low, high = (context.attribute(array, key, parse) for key in ("valid_min", "valid_max"))
    return low, high


def _has_other_mask(array: Node) -> bool:
    """Tell whether validity is stated elsewhere: by a mask beside the array, or because it is one."""
    is_mask = array.attributes.get("color_interpretation") == "alpha"
    return is_mask or isinstance(array.attributes.get("ancillary_variables"), str)


RULES = (
    Rule("ZARR-07", "Zarr v3 core, fill_value", "The fill value is a value of the data type", check_fill_value),
    Rule("ZARR-13", "reader xarray", "_FillValue is encoded as xarray decodes it on Zarr v3", check_missing_encoding),
    Rule("CF-22", "CF 2.5.1, 8.1", "Missing values and valid ranges fit the packed type", check_representable),
    Rule("CF-23", "CF 2.5.1", "_FillValue is one value outside the valid range", check_outside_range),
    Rule("CF-20", "CF 8.1", "scale_factor and add_offset are finite, the scale not 0", check_packing),
    Rule("CF-21", "CF 8.1", "Packed data are of a packed type", check_packed_type),
    Rule("ZARR-11", "derived", "fill_value and _FillValue are one value", check_equal, Severity.WARNING),
    Rule("ZARR-12", "reader xarray", "What fill_value masks, _FillValue masks too", check_masked, Severity.WARNING),
)
