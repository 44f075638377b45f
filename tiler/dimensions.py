"""Dimensions before rows and columns, and steps along them chosen by value: `sel=time=nearest::2024-01-02`.

A dimension is what its coordinate says: times, numbers or texts, in any order; without one its positions 0, 1, 2 ...
are its values. A value is looked for among the sorted ones by bisection, in exact arithmetic of Python's numbers.
The methods are those of xarray and TiTiler: "nearest" takes the greater of two that are equally near, "pad"
("ffill") the last at or before, "backfill" ("bfill") the first at or after, and without a method one has to match.
"""

from __future__ import annotations

import math
import re
import sys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from geozarr.errors import ParameterError
from tiler import calendars

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Kind: TypeAlias = Literal["time", "number", "text", "index"]
Value: TypeAlias = int | float | str

MAX_LABELS = 65_536  # positions; a longer dimension is told by position
MAX_SELECTORS = 8  # in a request; no variable has more dimensions
_MAX_TEXT = 256  # characters of a selector; a label that is a text has no more
_NAME = re.compile(r"[^/\\=\x00-\x1f\x7f\ud800-\udfff]{1,200}")
_VALUE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,256}")  # no control characters, no halves of surrogate pairs
NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_METHODS = {name: name for name in ("exact", "nearest", "pad", "backfill")} | {"ffill": "pad", "bfill": "backfill"}
_WANTED = {
    "time": "a year, month, date or time in ISO 8601, such as 2024-01-02 or 2024-01-02T06:00:00Z",
    "number": "a finite number",
    "index": "a position, counted from 0",
    "text": "a text",
}


@dataclass(frozen=True)
class CoordinateAttributes:
    """What the attributes of a coordinate say about its values.

    Parameters
    ----------
    nodata : numpy scalar or None
        `_FillValue`: stored values equal to it are missing.
    scale_factor, add_offset : float
        CF packing.
    units, calendar, long_name : object
        As they stand in the document; what is no text says nothing.
    """

    nodata: Any = None
    scale_factor: float = 1.0
    add_offset: float = 0.0
    units: Any = None
    calendar: Any = None
    long_name: Any = None


@dataclass(frozen=True)
class Dimension:
    """A dimension before rows and columns.

    Parameters
    ----------
    name : str
        Its name.
    size : int
        Number of positions.
    kind : {"time", "number", "text", "index"}
        What its values are; "index" where they are the positions themselves, from 0.
    values : sequence of (int, float, str or None)
        By position: microseconds since 1970 in `calendar`, numbers, or texts; None where missing.
    labels : tuple of (str or None)
        By position, one text each, which chooses it: ISO 8601, the shortest decimal, or the text itself; None where
        the value is missing. Empty for an "index" of more than `MAX_LABELS` positions.
    units, long_name : str or None
        CF attributes of the coordinate.
    calendar : str
        CF's name of the calendar of times.
    dtype : numpy.dtype or None
        Floats that are numbers: in which they are stored, and to which a number that is looked for is rounded.
    """

    name: str
    size: int
    kind: Kind
    values: Sequence[Value | None]
    labels: tuple[str | None, ...]
    units: str | None = None
    long_name: str | None = None
    calendar: str = "standard"
    dtype: np.dtype[Any] | None = None

    def label(self, position: int) -> str | None:
        """Text of a position; None where there is no value."""
        if not self.labels:
            return str(position)
        return self.labels[position] if position < self.size else None

    @cached_property
    def _ordered(self) -> tuple[Sequence[Any], Sequence[int]]:
        """Values in ascending order, and their positions; of equal ones the first comes first."""
        if self.kind == "index":
            return self.values, range(self.size)
        positions = [position for position in range(self.size) if self.values[position] is not None]
        positions.sort(key=self.values.__getitem__)  # type: ignore[arg-type] # values of one kind, none of them None
        return [self.values[position] for position in positions], positions


@dataclass(frozen=True)
class Selector:
    """A wish for a step along a dimension.

    Parameters
    ----------
    dimension : str
        Its name.
    method : {"exact", "nearest", "pad", "backfill"}
        How it is chosen.
    text : str
        The value that is looked for.
    """

    dimension: str
    method: str
    text: str

    def __str__(self) -> str:
        return f"{self.dimension}={self.method}::{self.text}"


def listed(names: Iterable[str]) -> str:
    """Name the dimensions that a selector can name, for a message; a document may hold any other name."""
    return ", ".join([name for name in names if _NAME.fullmatch(name)][:MAX_SELECTORS]) or "none"


def parse_selector(text: str) -> Selector:
    """Read `dimension=value` or `dimension=method::value`.

    Raises
    ------
    ParameterError
        If it is longer than 256 characters, or of another form.
    """
    name, _, rest = text[: _MAX_TEXT + 1].partition("=")
    method, colons, value = rest.partition("::")
    if not colons:
        method, value = "exact", rest
    if len(text) > _MAX_TEXT or not _NAME.fullmatch(name) or method not in _METHODS or not _VALUE.fullmatch(value):
        expected = f"dimension=value or dimension=method::value with one of {', '.join(_METHODS)}"
        raise ParameterError("sel", found=text[:80], expected=expected)
    return Selector(name, _METHODS[method], value)


def parse_selectors(texts: Sequence[str]) -> tuple[Selector, ...]:
    """Read selectors, in the order of their dimensions, so that equal wishes are equal.

    Raises
    ------
    ParameterError
        If there are more than `MAX_SELECTORS`, two of one dimension, or one is malformed.
    """
    if len(texts) > MAX_SELECTORS:
        raise ParameterError("sel", found=f"{len(texts)} selectors", expected=f"at most {MAX_SELECTORS}")
    selectors = sorted(map(parse_selector, texts), key=lambda selector: selector.dimension)
    names = [selector.dimension for selector in selectors]
    if len(set(names)) != len(names):
        raise ParameterError("sel", found=names, expected="one selector for a dimension")
    return tuple(selectors)


def index(name: str, size: int, names: tuple[str, ...] = ()) -> Dimension:
    """Make a dimension without a coordinate: one of positions, or of the names of its steps where there are any.

    Parameters
    ----------
    name : str
        Its name.
    size : int
        Number of positions.
    names : tuple of str
        One for each position, else they are passed over.
    """
    if len(names) == size and all(map(_VALUE.fullmatch, names)):
        return Dimension(name, size, "text", names, names)
    labels = tuple(map(str, range(size))) if size <= MAX_LABELS else ()
    return Dimension(name, size, "index", range(size), labels)


def from_coordinate(name: str, values: NDArray[Any], attributes: CoordinateAttributes) -> Dimension:
    """Describe a dimension by its coordinate.

    Parameters
    ----------
    name : str
        Its name.
    values : ndarray, shape (n,)
        As stored: booleans, integers, floats or texts, at most `MAX_LABELS`.
    attributes : CoordinateAttributes
        What they mean.

    Returns
    -------
    Dimension
        Times where `units` and `calendar` are understood, else numbers as they are; texts; positions where texts are
        malformed or too long to be told.
    """
    size = len(values)
    units, long_name = (text if isinstance(text, str) else None for text in (attributes.units, attributes.long_name))
    if values.dtype.kind == "U":
        is_unicode = bool((np.ascontiguousarray(values).view(np.uint32) <= sys.maxunicode).all())
        texts = tuple(text or None for text in values.tolist()) if is_unicode else ("",)
        if not all(text is None or _VALUE.fullmatch(text) for text in texts):
            return index(name, size)
        return Dimension(name, size, "text", texts, texts, units, long_name)
    present = np.ones(size, bool) if attributes.nodata is None else np.asarray(values != attributes.nodata)
    if (attributes.scale_factor, attributes.add_offset) != (1.0, 0.0):
        with np.errstate(over="ignore", invalid="ignore"):
            values = values * np.float64(attributes.scale_factor) + attributes.add_offset
    if values.dtype.kind == "f":
        present &= np.isfinite(values)
    time = calendars.parse_units(units, attributes.calendar)
    instants = None if time is None else calendars.instants(values, time)
    if time is not None and instants is not None:
        known = tuple(instant if there else None for instant, there in zip(instants, present, strict=True))
        labels = calendars.labels(known, time.calendar)
        return Dimension(name, size, "time", known, labels, units, long_name, time.calendar)
    numbers = tuple(number if there else None for number, there in zip(values.tolist(), present, strict=True))
    labels = tuple(_decimal(number) if there else None for number, there in zip(values, present, strict=True))
    dtype = values.dtype if values.dtype.kind == "f" else None
    return Dimension(name, size, "number", numbers, labels, units, long_name, dtype=dtype)


def _decimal(number: Any) -> str:
    """Shortest decimal that reads back as the number, without a plus sign, which is a blank in a query."""
    return str(number).removesuffix(".0").replace("e+", "e") if number.dtype.kind == "f" else str(int(number))


def choose(dimension: Dimension, selector: Selector) -> int:
    """Choose a step.

    Parameters
    ----------
    dimension : Dimension
        The dimension.
    selector : Selector
        What is looked for. A number is compared as rounded to the data type of the coordinate. "exact" takes a year,
        month or date for the one step within it; the other methods take its first instant.

    Returns
    -------
    int
        Its position, from 0; the first of equal values.

    Raises
    ------
    ParameterError
        If the text is no value of this kind of dimension, or no step or more than one matches. The message tells the
        labels beside.
    """
    values, positions = dimension._ordered
    start, stop = _sought(dimension, selector)
    first = bisect_left(values, start)
    if selector.method == "exact":
        after = bisect_right(values, start) if start == stop else bisect_left(values, stop)
        if after - first != 1:
            raise _no_single(dimension, selector, first, after)
        return positions[first]
    if dimension.kind == "text":
        raise ParameterError("sel", found=str(selector), expected=f"exact: the values of {dimension.name!r} are texts")
    last = bisect_right(values, start) - 1
    candidates = {"nearest": [last, first], "pad": [last], "backfill": [first]}[selector.method]
    candidates = [place for place in candidates if 0 <= place < len(values)]
    if not candidates:
        raise _no_single(dimension, selector, first, first)
    place = min(candidates, key=lambda place: (abs(values[place] - start), -values[place]))
    return positions[bisect_left(values, values[place])]


def _sought(dimension: Dimension, selector: Selector) -> tuple[Value, Value]:
    """First value that a text means, and the one after the last; twice the same if it means one."""
    text = selector.text
    if dimension.kind == "text":
        return text, text
    if dimension.kind == "time":
        span = calendars.parse_time(text, dimension.calendar)
        if span is not None:
            return span
    elif NUMBER.fullmatch(text):
        number: float = int(text) if _WHOLE.fullmatch(text) else float(text)
        if math.isfinite(number):
            if dimension.dtype is not None:
                with np.errstate(over="ignore"):  # what is too large becomes infinite, and so lies beyond all values
                    number = float(dimension.dtype.type(float(number)))
            return number, number
    calendar = f" of the calendar {dimension.calendar}" if dimension.kind == "time" else ""
    raise ParameterError("sel", found=str(selector), expected=_WANTED[dimension.kind] + calendar)


def _no_single(dimension: Dimension, selector: Selector, first: int, after: int) -> ParameterError:
    """Say that none, or more than one, of the sorted values matches: those from `first` to before `after`."""
    values, positions = dimension._ordered
    if after > first:
        ends = f"{dimension.label(positions[first])} to {dimension.label(positions[after - 1])}"
        expected = f"one step of {dimension.name!r}, not {after - first}: {ends}"
        return ParameterError("sel", found=str(selector), expected=expected)
    beside = [dimension.label(positions[place]) for place in (first - 1, first) if 0 <= place < len(values)]
    expected = f"one of the {len(values)} values of {dimension.name!r}, such as {' or '.join(map(str, beside))}"
    if not beside:
        expected = f"another dimension: {dimension.name!r} has no values"
    return ParameterError("sel", found=str(selector), expected=expected)
