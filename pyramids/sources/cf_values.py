"""What stored values of a variable mean: missing ones, a valid range, bits taken as unsigned (CF 2.5.1, NUG).

Values stay as they are stored, packed or not. A value is missing where the file says so in any of its ways; one of
them becomes the `_FillValue` of the pyramid.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr import cf
from geozarr.errors import MetadataError
from pyramids.sources.cf_attributes import stated, text
from pyramids.sources.quirk import Quirk
from pyramids.sources.source import check_dtype, check_nodata, stated_nodata, valid_where

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Meaning:
    """How the values of a variable are read.

    Parameters
    ----------
    stored : numpy.dtype
        As the file has them, in native byte order.
    dtype : numpy.dtype
        As they are handed on.
    nodata : int, float or None
        The value that means "no data"; None where there is none.
    others : tuple of int or float
        More values that do.
    lowest, highest : int, float or None
        The range outside of which values are missing.
    scale, offset : float
        What floats that are packed are unpacked by; integers stay packed.
    quirks : tuple of Quirk
        What is groomed.
    """

    stored: np.dtype[Any]
    dtype: np.dtype[Any]
    nodata: float | None
    others: tuple[float, ...] = ()
    lowest: float | None = None
    highest: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    quirks: tuple[Quirk, ...] = ()

    def taken(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values as they are handed on, from values as the file has them."""
        if self.scale != 1.0 or self.offset != 0.0:
            return self._unpacked(np.asarray(values, self.stored))
        if self.stored == self.dtype:
            return np.asarray(values, self.dtype)
        native = np.ascontiguousarray(values, self.stored)
        is_view = self.stored.kind == "i" and self.dtype.kind == "u"
        return native.view(self.dtype) if is_view else native.astype(self.dtype)

    def _unpacked(self, values: NDArray[Any]) -> NDArray[Any]:
        """Unpack floats; what is missing becomes `nodata`, which is told from any value that is not packed."""
        packed = replace(self, scale=1.0, offset=0.0)
        found = (values.astype(np.float64) * self.scale + self.offset).astype(self.dtype)
        found[~packed.valid(values)] = math.nan if self.nodata is None else self.nodata
        return found

    def valid(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which values, as handed on, are data."""
        found = valid_where(values, self.nodata)
        if self.scale != 1.0 or self.offset != 0.0:
            return found
        with np.errstate(invalid="ignore"):
            for value in self.others:
                found &= values != self.dtype.type(value)
            if self.lowest is not None:
                found &= values >= self.dtype.type(self.lowest)
            if self.highest is not None:
                found &= values <= self.dtype.type(self.highest)
        return found


def meaning_of(array: xr.DataArray, node: str, *, nodata: float | str | None = None) -> Meaning:
    """Read what the values of a variable mean.

    Parameters
    ----------
    array : DataArray
        As stored, or decoded by xarray: then missing values are NaN already.
    node : str
        For messages.
    nodata : float or "none", optional
        What the user states, in place of what the attributes say.

    Raises
    ------
    MetadataError
        If a missing value or a range is no number, or none that the data type can hold.
    UnsupportedError
        If pyramids of the data type are not built.
    """
    stored, dtype, quirks = _dtypes(array, node)
    if nodata is not None:
        value = check_nodata(stated_nodata(nodata), dtype, node=node)
        return Meaning(stored, dtype, value, quirks=tuple(quirks))
    is_decoded = array.dtype.kind == "f" and "_FillValue" in array.encoding  # xarray has masked it
    missing: dict[str, list[float]] = {}
    for key in () if is_decoded else ("_FillValue", "missing_value", "nodata"):
        missing[key] = [_as_taken(value, stored, dtype, node, key) for value in _numbers(array, key, node)]
    if missing.get("_FillValue") or missing.get("missing_value"):
        missing.pop("nodata", None)
    values = _distinct([value for found in missing.values() for value in found])
    chosen, others = (values[0], tuple(values[1:])) if values else (None, ())
    if others:
        found = ", ".join(f"{key} {found}" for key, found in missing.items() if found)
        quirks.append(Quirk("missing-values", node, found, f"all are missing, _FillValue becomes {chosen}"))
    lowest, highest = (None, None) if is_decoded else _range(array, stored, dtype, node)
    if lowest is not None or highest is not None:
        bounds = f"{'' if lowest is None else lowest} to {'' if highest is None else highest}"
        if chosen is None and dtype.kind in "iu":
            chosen = _outside(dtype, lowest, highest)
        becomes = "NaN" if chosen is None else chosen
        quirks.append(Quirk("valid-range", node, bounds, f"what lies outside is missing and becomes {becomes}"))
    scale, offset = (1.0, 0.0) if is_decoded else _packing(array, dtype)
    if (scale, offset) != (1.0, 0.0):
        quirks.append(
            Quirk("packed-floats", node, f"{dtype} with scale_factor {scale}, add_offset {offset}", "unpacked")
        )
    return Meaning(stored, dtype, chosen, others, lowest, highest, scale, offset, tuple(quirks))


def _dtypes(array: xr.DataArray, node: str) -> tuple[np.dtype[Any], np.dtype[Any], list[Quirk]]:
    """Tell the data type as stored and as handed on."""
    stored = array.dtype.newbyteorder("=")
    if stored == np.bool_:
        return stored, np.dtype(np.uint8), [Quirk("bool", node, "booleans", "stored as 0 and 1 in uint8")]
    if stored == np.float16:
        return stored, np.dtype(np.float32), [Quirk("half-float", node, "float16", "stored as float32")]
    stored = check_dtype(stored, node=node)
    if text(array, "_Unsigned").lower() == "true" and stored.kind == "i":
        dtype = np.dtype(f"u{stored.itemsize}")
        return stored, dtype, [Quirk("unsigned", node, f"_Unsigned with {stored}", f"taken for {dtype}")]
    return stored, stored, []


def _numbers(array: xr.DataArray, key: str, node: str) -> list[float]:
    value = array.attrs.get(key)
    if value is None:
        return []
    found = [item.item() for item in np.asarray(value).ravel()]
    most = 1 if key in ("_FillValue", "nodata") else len(found)  # CF 2.5.1: missing_value may be several
    if not 0 < len(found) <= most or not all(isinstance(item, int | float) for item in found):
        raise MetadataError(node, key, found=value, expected="one number" if most == 1 else "one number, or several")
    return [item if isinstance(item, int) else float(item) for item in found]


def _as_taken(value: float, stored: np.dtype[Any], dtype: np.dtype[Any], node: str, key: str) -> float:
    """Return a missing value in the data type that is handed on; -1 of int16 that is unsigned is 65535."""
    if stored.kind == "i" and dtype.kind == "u" and value < 0 and cf.holds(value, stored):
        return int(np.array(value, stored).view(dtype))
    if not cf.holds(value, dtype):
        raise MetadataError(node, key, found=value, expected=f"a value that {dtype.name} can hold")
    found = check_nodata(value, dtype, node=node)
    assert found is not None, "a number was given"
    return found


def _distinct(values: list[float]) -> list[float]:
    found: list[float] = []
    for value in values:
        if not any(value == other or (math.isnan(value) and math.isnan(other)) for other in found):
            found.append(value)
    return found


def _range(
    array: xr.DataArray, stored: np.dtype[Any], dtype: np.dtype[Any], node: str
) -> tuple[float | None, float | None]:
    """Read `valid_range`, else `valid_min` and `valid_max`: packed, as the values are (CF 8.1).

    An end that the data type cannot hold, or that it reaches no further than, bounds nothing.
    """
    both = _numbers(array, "valid_range", node)
    if both and len(both) != 2:
        raise MetadataError(node, "valid_range", found=both, expected="two numbers")
    ends = both or [
        found[0] if (found := _numbers(array, key, node)) else math.nan for key in ("valid_min", "valid_max")
    ]
    low, high = (_end(value, stored, dtype, is_low=is_low) for value, is_low in zip(ends, (True, False), strict=True))
    if low is not None and high is not None and low > high:
        raise MetadataError(node, "valid_range", found=ends, expected="the lowest value first")
    return low, high


def _end(value: float, stored: np.dtype[Any], dtype: np.dtype[Any], *, is_low: bool) -> float | None:
    if not math.isfinite(value):
        return None
    if stored.kind == "i" and dtype.kind == "u" and value < 0 and cf.holds(value, stored):
        value = int(np.array(value, stored).view(dtype))
    if dtype.kind == "f":
        return float(value)
    info = np.iinfo(dtype)
    whole = math.ceil(value) if is_low else math.floor(value)
    return whole if info.min < whole < info.max else None


def _outside(dtype: np.dtype[Any], lowest: float | None, highest: float | None) -> int:
    """Choose the integer that stands for missing ones where a range alone tells them: an end of the type, outside it.

    Where both are, the one that is used most: the lowest of signed integers, the highest of unsigned ones.
    """
    info = np.iinfo(dtype)
    is_lowest = highest is None or (lowest is not None and dtype.kind == "i")
    return int(info.min if is_lowest else info.max)


def _packing(array: xr.DataArray, dtype: np.dtype[Any]) -> tuple[float, float]:
    """By what floats are packed, which CF 8.1 does not foresee; integers stay as they are."""
    if dtype.kind != "f":
        return 1.0, 0.0
    scale, offset = (_numbers(array, key, str(array.name)) for key in ("scale_factor", "add_offset"))
    return (float(scale[0]) if scale else 1.0), (float(offset[0]) if offset else 0.0)


def attributes_of(array: xr.DataArray, meaning: Meaning, kept: tuple[str, ...]) -> dict[str, Any]:
    """Attributes that go into the pyramid, of those that are kept.

    Packing stays where values stay packed; values and masks of flags are of the data type that is handed on.
    """
    packing = ("scale_factor", "add_offset")
    is_unpacked = any(key in array.encoding for key in packing) or meaning.dtype.kind == "f"
    wanted = [key for key in kept if not (is_unpacked and key in packing)]
    found = {key: value for key in wanted if (value := stated(array, key)) is not None}
    for key in ("flag_values", "flag_masks"):
        values = found.get(key)
        if isinstance(values, int | float):
            values = found[key] = [values]
        if isinstance(values, list) and meaning.stored.kind == "i" and meaning.dtype.kind == "u":
            with contextlib.suppress(OverflowError, ValueError, TypeError):
                found[key] = np.array(values, meaning.stored).view(meaning.dtype).tolist()
    return found
