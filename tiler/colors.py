"""How the numbers of a single band become colours.

A picture of one band is a palette of 256 colours and, for each pixel, an index into it. Three kinds of colours make
both: a `Ramp` of shades over a range, `Classes` with a colour for each value, `Intervals` with a colour for each run
of values. All are small, frozen and hashable, and their `repr` is stable, so that they can be part of a cache's key.

Colours are kept as bytes: red, green, blue and alpha, four for each entry.

Classes and intervals are one function of steps: the sorted ends of all runs of values, and the colour between any two
neighbours; a class is the run from its value to the next one of the data type. Values of 8 and 16 bits are looked up in
a table of that function, others are searched for among the ends.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr.errors import ParameterError
from tiler import colormaps
from tiler.json_text import parse_json
from tiler.stretch import WHITE, every_value, is_short, look_up, stretch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Rgba = tuple[int, int, int, int]
Number = int | float

TRANSPARENT: Rgba = (0, 0, 0, 0)
MAX_COLORS = 255  # of classes and of intervals: one of 256 indexes stands for what has no colour
MAX_TEXT = 4096  # characters of a colormap; a ramp of 256 colours as #rgb takes 3400
_NO_COLOR = 255
_SHADES = 253  # of a ramp with colours beyond its range: 253 + below + above + what is masked = 256
_BELOW, _ABOVE = 253, 254
_TABLES = 32  # of 64 KiB at most: 2 MiB
_DEPTH = 3  # [[[low, high], [red, green, blue]]]
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?")
_HEX = re.compile(r"#(?:[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")


@dataclass(frozen=True)
class Ramp:
    """Shades over a range of values.

    Without `below` and `above` all 256 shades are used, and values beyond the range have the first and the last one.
    With either, the palette has to hold those too, and an index for what is masked: the shades are then 253, evenly
    chosen from the 256.

    Parameters
    ----------
    shades : str or bytes
        Name of a colormap, or 256 colours.
    below, above : tuple of (int, int, int, int), or None
        Red, green, blue and alpha of values below and above the range; None: those of the range's ends.

    Raises
    ------
    UnknownNameError
        If there is no colormap of that name.
    ParameterError
        If there are not 256 shades, or a colour is none.
    """

    shades: str | bytes
    below: Rgba | None = None
    above: Rgba | None = None

    def __post_init__(self) -> None:
        if isinstance(self.shades, str):
            colormaps.table(self.shades)
        elif len(self.shades) != 4 * 256:
            raise _wrong(f"{len(self.shades)} bytes", "256 colours of 4 bytes")
        for color in (self.below, self.above):
            if color is not None:
                _rgba(color, color)

    @cached_property
    def table(self) -> NDArray[np.uint8]:
        """Palette, shape (256, 4)."""
        shades = colormaps.table(self.shades) if isinstance(self.shades, str) else _unpacked(self.shades)
        if not self._has_ends:
            return shades
        chosen = (np.arange(_SHADES) * 255 * 2 + _SHADES - 1) // (2 * (_SHADES - 1))  # rounded half up
        ends = np.array([self.below or TRANSPARENT, self.above or TRANSPARENT, TRANSPARENT], np.uint8)
        return _frozen(np.concatenate((shades[chosen], ends)))

    @property
    def _has_ends(self) -> bool:
        return self.below is not None or self.above is not None

    def pixels(
        self, values: NDArray[Any], mask: NDArray[np.bool_], value_range: tuple[float, float] | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Index the palette.

        Parameters
        ----------
        values : ndarray, shape (row, col)
            Real numbers.
        mask : ndarray of bool, shape (row, col)
            True where a value is valid.
        value_range : tuple of (float, float), or None
            Values of the first and of the last shade; None: 0 and 255.

        Returns
        -------
        pixels : ndarray of uint8, shape (row, col)
            Indexes into `table`; may share memory with `values`.
        opaque : ndarray of bool, shape (row, col)
            False where nothing is shown: `mask` itself.

        Raises
        ------
        ParameterError
            If the range is none, as `tiler.stretch.stretch` says.
        """
        low, high = value_range or (0.0, float(WHITE))
        if self._has_ends:
            if is_short(values.dtype):
                return look_up(_ramp_table(self, values.dtype.name, low, high), values), mask
            return self._with_ends(values, low, high), mask
        if value_range is None and values.dtype == np.uint8:
            return values, mask
        return stretch(values, low, high), mask

    def _with_ends(self, values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
        pixels = stretch(values, low, high, top=_SHADES - 1)
        # Compared in float64, as the stretch is: an end written in decimals is not rounded to the data's type.
        if self.below is not None:
            pixels[values < np.float64(low)] = _BELOW
        if self.above is not None:
            pixels[values > np.float64(high)] = _ABOVE
        return pixels


class _Steps:
    """What classes and intervals share; they say which runs of values have which colour."""

    colors: bytes

    def runs(self, dtype: np.dtype[Any]) -> list[tuple[Number, Number]]:
        """Return the values [start, end) of each colour, as numbers of a data type; the later wins where they meet."""
        raise NotImplementedError

    @cached_property
    def table(self) -> NDArray[np.uint8]:
        """Palette, shape (256, 4): colours in their order, transparent after them."""
        return _frozen(np.pad(_unpacked(self.colors), ((0, 256 - len(self.colors) // 4), (0, 0))))

    def pixels(
        self, values: NDArray[Any], mask: NDArray[np.bool_], value_range: tuple[float, float] | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Index the palette.

        Parameters
        ----------
        values : ndarray, shape (row, col)
            Real numbers.
        mask : ndarray of bool, shape (row, col)
            True where a value is valid.
        value_range : tuple of (float, float), or None
            Stretched over 0 to 255 before a colour is looked up, as TiTiler does with `rescale`; None: values are
            looked up as they are.

        Returns
        -------
        pixels : ndarray of uint8, shape (row, col)
            Indexes into `table`.
        opaque : ndarray of bool, shape (row, col)
            False where nothing is shown: the value is not valid, or has no colour.

        Raises
        ------
        ParameterError
            If the range is none, as `tiler.stretch.stretch` says.
        """
        shown = values if value_range is None else stretch(values, *value_range)
        pixels = look_up(_table(self, shown.dtype.name), shown) if is_short(shown.dtype) else _searched(self, shown)
        return pixels, mask & (pixels != _NO_COLOR)


@dataclass(frozen=True)
class Classes(_Steps):
    """A colour for each value; a value without one is not shown.

    Whole numbers are compared exactly, up to 64 bits. For floats, a class is first rounded to the data type: 0.1 means
    the float32 that is written 0.1.

    Parameters
    ----------
    values : tuple of int or float
        At most 255, each once.
    colors : bytes
        A colour for each.

    Raises
    ------
    ParameterError
        If there are none or too many, a value is not finite or stands twice, or colours are missing.
    """

    values: tuple[Number, ...]
    colors: bytes

    def __post_init__(self) -> None:
        _check(self.values, self.values, self.colors)
        if len(set(self.values)) != len(self.values):
            raise _wrong(self.values, "each value once")

    def runs(self, dtype: np.dtype[Any]) -> list[tuple[Number, Number]]:
        """Return runs of one value each, which are empty where the data type lacks it."""
        if dtype.kind == "f":
            rounded = [_rounded(value, dtype) for value in self.values]
            return [(value, float(np.nextafter(dtype.type(value), dtype.type(np.inf)))) for value in rounded]
        return [(math.ceil(value), math.floor(value) + 1) for value in self.values]


@dataclass(frozen=True)
class Intervals(_Steps):
    """A colour for each run of values: from its low end up to, and without, its high end, as rio-tiler has it.

    A value in none is not shown; in several, it has the colour of the last. Ends are compared exactly with whole
    numbers, and rounded to the data type for floats.

    Parameters
    ----------
    bounds : tuple of (float, float)
        Ends of at most 255 intervals, low before high.
    colors : bytes
        A colour for each.

    Raises
    ------
    ParameterError
        If there are none or too many, an interval is empty or not finite, or colours are missing.
    """

    bounds: tuple[tuple[Number, Number], ...]
    colors: bytes

    def __post_init__(self) -> None:
        _check(self.bounds, [end for pair in self.bounds for end in pair], self.colors)
        for low, high in self.bounds:
            if not low < high:
                raise _wrong([low, high], "[min, max] with min below max")

    def runs(self, dtype: np.dtype[Any]) -> list[tuple[Number, Number]]:
        """Return the intervals; whole numbers reach an end exactly where they reach the next whole number."""
        if dtype.kind == "f":
            return [(_rounded(low, dtype), _rounded(high, dtype)) for low, high in self.bounds]
        return [(math.ceil(low), math.ceil(high)) for low, high in self.bounds]


Colors = Ramp | Classes | Intervals


@lru_cache(maxsize=32)  # a map asks for many tiles with one colormap; 32 of the largest take about 1 MiB
def parse_colormap(text: str) -> Colors:
    """Read TiTiler's `colormap` parameter.

    Parameters
    ----------
    text : str
        JSON of at most 4096 characters. An object with a colour for each value: all of 0 to 255 make a ramp, others
        are classes. Or an array of `[[min, max], colour]`: intervals. A colour is `[red, green, blue]`, the same with
        alpha, `"#rgb"`, `"#rgba"`, `"#rrggbb"` or `"#rrggbbaa"`.

    Returns
    -------
    Ramp, Classes or Intervals
        What it says.

    Raises
    ------
    ParameterError
        If it says anything else.

    References
    ----------
    `titiler.core.dependencies.ColorMapParams`, `rio_tiler.colormap.apply_cmap`. Unlike there, what is repeated, not
    finite, or no number in plain digits is refused, and so is a colour outside 0 to 255; values may have fractions.
    """
    document = parse_json("colormap", text, max_characters=MAX_TEXT, max_depth=_DEPTH)
    if isinstance(document, dict):
        return _from_object(document)
    if isinstance(document, list):
        return _from_array(document)
    raise _wrong(text, "an object of colours, or an array of [[min, max], colour]")


def parse_color(parameter: str, text: str) -> Rgba:
    """Read a colour from a parameter: `transparent`, `#rgb`, `#rgba`, `#rrggbb` or `#rrggbbaa`.

    Returns
    -------
    tuple of (int, int, int, int)
        Red, green, blue and alpha, 0 to 255.

    Raises
    ------
    ParameterError
        If it is something else.
    """
    if text == "transparent":
        return TRANSPARENT
    if not _HEX.fullmatch(text[:10]):
        raise ParameterError(parameter, found=text[:40], expected="transparent, or #rrggbb with or without alpha")
    return _from_hex(text)


def _from_object(document: dict[str, Any]) -> Colors:
    colors = {_value(key): _color(color) for key, color in document.items()}
    if len(colors) != len(document):
        raise _wrong(list(document), "each value once")
    if set(colors) == set(range(256)):
        return Ramp(_packed(colors[index] for index in range(256)))
    return Classes(tuple(colors), _packed(colors.values()))


def _from_array(document: list[Any]) -> Intervals:
    pairs = []
    for item in document:
        if not (isinstance(item, list) and len(item) == 2 and isinstance(item[0], list) and len(item[0]) == 2):
            raise _wrong(item, "[[min, max], colour]")
        if any(type(end) not in (int, float) for end in item[0]):
            raise _wrong(item[0], "two numbers")
        pairs.append((tuple(item[0]), _color(item[1])))
    return Intervals(tuple(bounds for bounds, _ in pairs), _packed(color for _, color in pairs))


def _value(key: str) -> Number:
    if len(key) <= 70 and _NUMBER.fullmatch(key):
        return int(key) if _WHOLE.fullmatch(key) else float(key)
    raise _wrong(key, "a number as key")


def _color(found: Any) -> Rgba:
    if isinstance(found, str) and _HEX.fullmatch(found):
        return _from_hex(found)
    if isinstance(found, list) and len(found) in (3, 4):
        return _rgba((*found, WHITE)[:4], found)
    raise _wrong(found, 'a colour: [red, green, blue], with or without alpha, or "#rrggbb"')


def _from_hex(text: str) -> Rgba:
    digits = text[1:] if len(text) > 5 else "".join(2 * digit for digit in text[1:])
    red, green, blue, alpha = bytes.fromhex((digits + "ff")[:8])
    return red, green, blue, alpha


def _rgba(color: tuple[Any, ...], found: object) -> Rgba:
    if len(color) != 4 or not all(type(part) is int and 0 <= part <= WHITE for part in color):
        raise _wrong(found, "whole numbers from 0 to 255")
    return color


def _check(entries: tuple[Any, ...], numbers: Iterable[Number], colors: bytes) -> None:
    if not 1 <= len(entries) <= MAX_COLORS:
        raise _wrong(f"{len(entries)} colours", f"1 to {MAX_COLORS}, or 256 for the values 0 to 255")
    if len(colors) != 4 * len(entries):
        raise _wrong(f"{len(colors)} bytes of colours", f"4 for each of {len(entries)}")
    for number in numbers:
        if not -sys.float_info.max <= number <= sys.float_info.max:
            raise _wrong(number, "a finite number")


def _wrong(found: object, expected: str) -> ParameterError:
    return ParameterError("colormap", found=found, expected=expected)


def _packed(colors: Iterable[Rgba]) -> bytes:
    return b"".join(map(bytes, colors))


def _unpacked(colors: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(colors, np.uint8).reshape(-1, 4)


def _frozen(table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    table.flags.writeable = False
    return table


def _rounded(number: Number, dtype: np.dtype[Any]) -> float:
    with np.errstate(over="ignore"):
        return float(dtype.type(float(number)))


@lru_cache(maxsize=_TABLES)
def _ramp_table(ramp: Ramp, dtype_name: str, low: float, high: float) -> NDArray[np.uint8]:
    """Indexes of all values of a type of 8 or 16 bits."""
    return _frozen(ramp._with_ends(every_value(np.dtype(dtype_name)), low, high))


@lru_cache(maxsize=_TABLES)
def _table(steps: _Steps, dtype_name: str) -> NDArray[np.uint8]:
    """Colours of all values of a type of 8 or 16 bits."""
    return _frozen(_searched(steps, every_value(np.dtype(dtype_name))))


def _searched(steps: _Steps, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Find the run that each value is in; 255 where there is none."""
    ends, colors = _sorted_ends(steps, values.dtype.name)
    return colors.take(np.searchsorted(ends, values, side="right"))


@lru_cache(maxsize=_TABLES)
def _sorted_ends(steps: _Steps, dtype_name: str) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the ends of all runs, and the colours before, between and after them: one more."""
    dtype = np.dtype(dtype_name if dtype_name != "bool" else "uint8")
    runs = steps.runs(dtype)
    ends = sorted({end for run in runs for end in run})
    place = {end: index + 1 for index, end in enumerate(ends)}
    colors = np.full(len(ends) + 1, _NO_COLOR, np.uint8)
    for color, (start, end) in enumerate(runs):
        colors[place[start] : place[end]] = color
    if dtype.kind != "f":
        # Ends beyond the data type: none of its values reaches those above, all of them have reached those below.
        info = np.iinfo(dtype)
        ends = [max(end, int(info.min)) for end in ends if end <= info.max]
    return np.array(ends, dtype), colors
