"""Coordinates of leading axes, and times as CF has them clean: whole numbers since a date, in the calendar they are in.

The unit stays where all values are whole; else the coarsest finer one is taken in which they are, so that nothing is
lost and no reader has to round. Times that numpy or cftime have decoded are counted in seconds since 1970, or finer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr.errors import MetadataError, UnsupportedError
from pyramids.sources.cf_attributes import plain
from pyramids.sources.cf_words import in_words_of_cf
from pyramids.sources.quirk import Quirk
from pyramids.sources.source import Axis

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr
    from numpy.typing import NDArray

_UNITS = {"days": 86_400_000_000, "hours": 3_600_000_000, "minutes": 60_000_000, "seconds": 1_000_000}
_UNITS |= {"milliseconds": 1000, "microseconds": 1}  # in microseconds
_SPELLINGS = {
    **{name: name for name in _UNITS},
    **{name[:-1]: name for name in _UNITS},
    "d": "days",
    "h": "hours",
    "hr": "hours",
    "hrs": "hours",
    "min": "minutes",
    "mins": "minutes",
    "s": "seconds",
    "sec": "seconds",
    "secs": "seconds",
    "msec": "milliseconds",
    "msecs": "milliseconds",
    "ms": "milliseconds",
}
_SINCE = re.compile(r"\s*([A-Za-z]+)\s+since\s+(.+?)\s*", re.IGNORECASE)
_ROUNDING = 100  # microseconds: files count hours in sixths and thirds that were rounded more than once
_COARSE = 0.25  # of a unit: values that are known no better tell nothing of being whole
_EXACT = 2**53  # numbers up to here are exact for readers that use float64
_EPOCH = "1970-01-01T00:00:00"


def axis_of(array: xr.DataArray, dimension: Hashable, node: str) -> tuple[Axis, tuple[Quirk, ...]]:
    """Read a leading axis of a variable.

    Returns
    -------
    Axis
        Counted from 0 where it has no coordinate variable.
    tuple of Quirk
        What was groomed.

    Raises
    ------
    MetadataError
        If it has no length, or a coordinate is not finite.
    UnsupportedError
        If its coordinates are neither numbers, texts nor times.
    """
    size, name = array.sizes[dimension], str(dimension)
    if size < 1:
        raise MetadataError(node, name, found=size, expected="a length of at least 1")
    if dimension not in array.coords or array.coords[dimension].ndim != 1:
        return Axis(name, tuple(range(size))), ()
    coordinate = array.coords[dimension]
    attributes = {str(key): plain(value) for key, value in coordinate.attrs.items() if str(key) not in _DROPPED}
    quirks: list[Quirk] = []
    if attributes.get("calendar") == "gregorian":  # the name that CF 4.4.1 has retired
        attributes["calendar"] = "standard"
        quirks.append(Quirk("calendar-name", f"{node} {name}", "gregorian", "named standard"))
    values = coordinate.values
    where = f"{node}: coordinate {name}"
    if values.dtype.kind == "M":
        values, attributes = _of_datetimes(values, attributes, where)
    elif values.dtype.kind == "O" and hasattr(values.ravel()[0], "calendar"):
        values, attributes = _of_cftimes(values, attributes, where)
    elif values.dtype.kind in "OUST":
        values, attributes = _of_texts(values, attributes, where)
    if values.dtype.kind not in "iuf":
        raise UnsupportedError(f"{where} of type {values.dtype}", "numbers, texts and times are")
    if not np.isfinite(values).all():
        raise MetadataError(node, name, found="a value that is not finite", expected="finite coordinates")
    values, attributes = _clean(values, attributes, f"{node} {name}", quirks)
    attributes, more = in_words_of_cf(attributes, f"{node} {name}")
    quirks += more
    return Axis(name, tuple(value.item() for value in values), attributes), tuple(quirks)


_DROPPED = frozenset(
    {
        *("_FillValue", "missing_value", "valid_min", "valid_max", "valid_range", "actual_range"),
        *("bounds", "climatology", "_ARRAY_DIMENSIONS", "NAME", "CLASS"),
    }
)


def _of_datetimes(
    values: NDArray[Any], attributes: dict[str, Any], where: str
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Count numpy's times in microseconds since 1970."""
    micro = values.astype("datetime64[us]")
    if not np.array_equal(micro.astype(values.dtype), values):
        raise UnsupportedError(where, "times finer than a microsecond are not kept")
    told = {"units": f"microseconds since {_EPOCH}", "calendar": "proleptic_gregorian"}
    return micro.astype(np.int64), attributes | told | {"standard_name": "time", "axis": "T"}


def _of_cftimes(
    values: NDArray[Any], attributes: dict[str, Any], where: str
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Count cftime's times in microseconds since 1970 of their calendar."""
    import cftime  # type: ignore[import-untyped]  # noqa: PLC0415 - optional: whoever has such times has it

    calendar = str(values[0].calendar)
    try:
        found = cftime.date2num(list(values), f"microseconds since {_EPOCH}", calendar=calendar)
    except (ValueError, OverflowError) as error:
        raise UnsupportedError(where, f"times of the calendar {calendar} that can be counted are") from error
    told = {"units": f"microseconds since {_EPOCH}", "calendar": calendar}
    return np.asarray(found, np.int64), attributes | told | {"standard_name": "time", "axis": "T"}


def _of_texts(values: NDArray[Any], attributes: dict[str, Any], where: str) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Give labels numbers from 1, and name those as CF names flags (CF 3.5): Zarr's core has no type for texts."""
    words = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
    names = [re.sub(r"[^0-9A-Za-z_.+@-]+", "_", word.strip()) or "_" for word in words]
    if len(set(names)) < len(names):
        raise UnsupportedError(where, "labels that differ in letters and digits are")
    numbers = np.arange(1, len(names) + 1)
    told = {"flag_values": numbers.tolist(), "flag_meanings": " ".join(names)}
    return numbers, {"long_name": where.rpartition(" ")[2], **attributes} | told


def _clean(
    values: NDArray[Any], attributes: dict[str, Any], where: str, quirks: list[Quirk]
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Write times as whole numbers; those that are whole in no unit, and what is no time, stay as they are."""
    units = attributes.get("units")
    match = _SINCE.fullmatch(units) if isinstance(units, str) else None
    unit = _SPELLINGS.get(match[1].lower()) if match else None
    if match is None or unit is None:
        return values, attributes
    is_ours = match[2] == _EPOCH and unit == "microseconds"
    found = _in_whole(values, unit, "seconds" if is_ours else unit)
    if found is None:
        return values, attributes
    whole, finer = found
    if not any(key in attributes for key in ("standard_name", "axis")):
        attributes = {**attributes, "axis": "T"}  # CF 4.4: nothing but the units would say that this is time
    stated = f"{finer} since {match[2]}"
    if not is_ours and (stated != units or values.dtype.kind == "f"):
        quirks.append(Quirk("time-units", where, f"{units} in {values.dtype}", f"written as whole {stated}"))
    return whole, {**attributes, "units": stated, "calendar": attributes.get("calendar", "standard")}


def _in_whole(values: NDArray[Any], unit: str, coarsest: str) -> tuple[NDArray[np.int64], str] | None:
    """Bring values to the coarsest unit, from one on, in which they are whole but for rounding; None where in none."""
    # What the last digit of a value is worth: a time written in float64 days is off by half of it.
    noise = 0.0 if values.dtype.kind in "iu" else 2 * float(np.spacing(np.abs(values).astype(np.float64)).max())
    for name in list(_UNITS)[list(_UNITS).index(coarsest) :]:
        size = _UNITS[name]
        if values.dtype.kind in "iu":
            exact = [int(value) * _UNITS[unit] for value in values]
            is_whole, found = all(micro % size == 0 for micro in exact), [micro // size for micro in exact]
        else:
            scaled = values.astype(np.longdouble) * _UNITS[unit] / size
            slack = max(noise * _UNITS[unit] / size, min(_ROUNDING / size, _COARSE / 2))
            is_whole = slack < _COARSE and bool((np.abs(scaled - np.rint(scaled)) <= slack).all())
            found = [int(value) for value in np.rint(scaled)]
        if is_whole and max(map(abs, found)) < _EXACT:
            return np.array(found, np.int64), name
    return None
