"""Axes before rows and columns as the OGC's documents tell them: their values, ends, and regular steps.

An axis comes with a text for each position, and these texts alone are looked at. So a span stands for a list, in
whatever calendar, where it unfolds to exactly that list.
"""

from __future__ import annotations

import itertools
import math
import re
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z)?")
_LONGEST = 64  # characters of a text that can be a time or a number
_FEWEST = 3  # values that are told as a span: any two are regular
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Axis(Protocol):
    """A dimension of a variable before rows and columns, with what its coordinate says."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def size(self) -> int:
        """Number of positions."""

    @property
    def kind(self) -> str:
        """What the labels are: "time", "number", "text", or "index" where they are the positions, from 0."""

    @property
    def labels(self) -> tuple[str | None, ...]:
        """Text of each position, ISO 8601 for times; None where it has none. Empty for an index that is too long."""

    @property
    def units(self) -> str | None:
        """CF units."""

    @property
    def long_name(self) -> str | None:
        """Name for people."""


class Span(NamedTuple):
    """Values from the first to the last, both included.

    Parameters
    ----------
    first, last : str
        The ends, as labels, in ascending order.
    step : str
        Distance of any two neighbours: an ISO 8601 duration, or a number.
    """

    first: str
    last: str
    step: str


def label_of(axis: Axis, position: int) -> str | None:
    """Text of a position; None where it has none."""
    return axis.labels[position] if axis.labels else str(position)


def values_of(axis: Axis, *, most: int) -> tuple[str, ...] | None:
    """Texts of all positions that have one, each once, in the axis's order; None where they are more than `most`."""
    if not axis.labels:
        return tuple(map(str, range(axis.size))) if axis.size <= most else None
    values = dict.fromkeys(filter(None, axis.labels))
    return tuple(values) if len(values) <= most else None


def interval_of(axis: Axis) -> tuple[str, str] | None:
    """Labels of the least and the greatest value, of texts the first and the last; None where there are none."""
    if not axis.labels:
        return ("0", str(axis.size - 1)) if axis.size else None
    ordered = _ordered(axis)
    labels = list(dict.fromkeys(filter(None, axis.labels))) if ordered is None else [label for _, label in ordered]
    return (labels[0], labels[-1]) if labels else None


def span_of(axis: Axis) -> Span | None:
    """Tell a regular axis by its ends and step; None where it has not at least three values at one distance."""
    if not axis.labels:
        return Span("0", str(axis.size - 1), "1") if axis.size >= _FEWEST else None
    ordered = _ordered(axis)
    if ordered is None or len(ordered) < _FEWEST:
        return None
    keys = [key for key, _ in ordered]
    step = _duration_between(keys) if axis.kind == "time" else _only(_differences(keys))
    return None if step is None else Span(ordered[0][1], ordered[-1][1], str(step))


def rough_span_of(axis: Axis) -> Span | None:
    """Tell an irregular axis by its ends, for services that find the nearest value themselves.

    Returns
    -------
    Span or None
        The step of times is their mean distance in whole days, or seconds if below a day; of numbers it is 0, which
        means any value between the ends (WMS 1.3, C.2). None for texts, and where there are no two values.
    """
    ordered = _ordered(axis)
    if ordered is None or len(ordered) < 2:
        return None
    (first, first_label), (last, last_label) = ordered[0], ordered[-1]
    if axis.kind != "time":
        return Span(first_label, last_label, "0")
    mean = (last - first) / (len(ordered) - 1)
    whole = mean // _DAY * _DAY or max(mean // _SECOND, 1) * _SECOND
    return Span(first_label, last_label, _duration(whole))


def instant(label: str) -> datetime | None:
    """Read a label of a Gregorian date or time in UTC; None for any other text."""
    if len(label) > _LONGEST or not _INSTANT.fullmatch(label):
        return None
    try:
        return datetime.fromisoformat(label.removesuffix("Z"))
    except ValueError:  # a day that the Gregorian calendar lacks
        return None


def _ordered(axis: Axis) -> list[tuple[Any, str]] | None:
    """Values and labels of times or numbers, ascending, equal ones once; None where a label is neither."""
    read = {"time": instant, "number": _number, "index": _number}.get(axis.kind)
    labels = [label for label in axis.labels if label]
    values = [read(label) for label in labels] if read is not None else []
    if not values or None in values:
        return None
    return sorted(dict(zip(values, labels, strict=True)).items(), key=lambda item: item[0])


def _number(label: str) -> Decimal | None:
    # Decimal, since the differences of 0.1, 0.2, 0.3 are equal in it and not in binary.
    try:
        value = Decimal(label) if len(label) <= _LONGEST else None
    except InvalidOperation:
        return None
    return value if value is not None and math.isfinite(value) else None


def _differences(values: Sequence[Any]) -> Iterable[Any]:
    return (after - before for before, after in itertools.pairwise(values))


def _only(values: Iterable[Any]) -> Any | None:
    """Return the value that all are equal to; None where they differ."""
    first, *others = values
    return first if all(other == first for other in others) else None


def _duration_between(times: Sequence[datetime]) -> str | None:
    """Distance of neighbours as ISO 8601: whole months where they all begin alike, else days and parts of them."""
    within = {(time.day, time.time()) for time in times}
    months = _only(_differences([time.year * 12 + time.month for time in times]))
    if len(within) == 1 and months:
        return f"P{months}M" if months % 12 else f"P{months // 12}Y"
    step = _only(_differences(times))
    return None if step is None else _duration(step)


def _duration(step: timedelta) -> str:
    """Write a distance in the largest unit that it is a whole number of."""
    if not step % _DAY:
        return f"P{step // _DAY}D"
    for seconds, unit in ((3600, "H"), (60, "M")):
        if not step % (seconds * _SECOND):
            return f"PT{step // (seconds * _SECOND)}{unit}"
    whole, rest = divmod(step, _SECOND)
    fraction = f".{rest.microseconds:06d}".rstrip("0") if rest else ""
    return f"PT{whole}{fraction}S"
