"""Positions along leading axes that a user chooses: `time=2001-01..2001-06`, `level=500,850`, `band=#0`.

A choice is a list of items with commas. An item is a value, two values with `..` between them (both count), or `#` and
a number, which counts positions from 0, from the end where it is below 0. Times are written as ISO 8601 has them, as
far as is needed: `2001-01` is all of that January, whatever the calendar.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from geozarr.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyramids.sources.source import Axis

_CLOSE = 1e-6  # relative: a value as it is printed is the value


def positions(axis: Axis, select: Mapping[str, str], node: str) -> tuple[int, ...]:
    """Find the chosen positions along an axis, growing; all where nothing is chosen.

    Raises
    ------
    ParameterError
        If an item is malformed, or nothing is there.
    """
    if axis.name not in select:
        return tuple(range(axis.size))
    choice = str(select[axis.name])
    labels = _times(axis)
    found: set[int] = set()
    for item in choice.split(","):
        met = _met(axis, item.strip(), labels)
        if not met:
            shown = [*(labels or axis.coordinates)[:2], "...", (labels or axis.coordinates)[-1]]
            expected = f"a position along it: {axis.size} from {' '.join(map(str, shown))}"
            raise ParameterError(f"select {axis.name} ({node})", found=item.strip(), expected=expected)
        found |= met
    return tuple(sorted(found))


def cut(axis: Axis, chosen: tuple[int, ...]) -> Axis:
    """Return the axis with the chosen positions alone."""
    return replace(axis, coordinates=tuple(axis.coordinates[at] for at in chosen))


def require_used(select: Mapping[str, str], leading: Sequence[Sequence[Axis]], name: str) -> None:
    """Refuse a choice along an axis that no variable has.

    Raises
    ------
    ParameterError
        Naming the axes that there are.
    """
    known = {axis.name for axes in leading for axis in axes}
    for key in select:
        if key not in known:
            expected = f"one of the leading axes: {', '.join(sorted(known)) or 'there is none'}"
            raise ParameterError(f"select ({name})", found=key, expected=expected)


def _met(axis: Axis, item: str, labels: tuple[str, ...] | None) -> set[int]:
    if item.startswith("#"):
        try:
            at = int(item[1:])
        except ValueError:
            return set()
        return {at % axis.size} if -axis.size <= at < axis.size else set()
    first, is_range, last = item.partition("..")
    if labels is not None:
        low, high = first.strip(), last.strip() if is_range else first.strip()
        return {at for at, label in enumerate(labels) if label >= low and (not high or label[: len(high)] <= high)}
    try:
        low_number = float(first) if first.strip() else -math.inf
        high_number = (float(last) if last.strip() else math.inf) if is_range else low_number
    except ValueError:
        return set()
    return {
        at
        for at, value in enumerate(axis.coordinates)
        if low_number <= value <= high_number or _is_close(value, low_number) or _is_close(value, high_number)
    }


def _is_close(value: float, wanted: float) -> bool:
    return math.isclose(value, wanted, rel_tol=_CLOSE, abs_tol=0.0)


def _times(axis: Axis) -> tuple[str, ...] | None:
    """Write the times of an axis as ISO 8601 in its calendar; None where it is none of time."""
    units, calendar = axis.attributes.get("units"), axis.attributes.get("calendar", "standard")
    if not isinstance(units, str) or " since " not in units:
        return None
    from xarray.coding.times import decode_cf_datetime  # noqa: PLC0415 - xarray takes a quarter of a second

    try:
        found = decode_cf_datetime(np.array(axis.coordinates), units, calendar)
    except (ValueError, OverflowError, ImportError):
        return None
    return tuple(value.isoformat() if hasattr(value, "isoformat") else str(value)[:26] for value in found)
