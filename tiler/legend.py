"""Legends: which colour is which value, as JSON and as a picture.

A ramp is drawn with ticks at round numbers: multiples of 1, 2 or 5 times a power of ten, as many as its side has room
for. Classes are drawn as swatches with their labels, one below another, as many as there is room for.
"""

from __future__ import annotations

import io
import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from geozarr.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Rgba: TypeAlias = tuple[int, int, int, int]
    Orientation: TypeAlias = Literal["horizontal", "vertical"]
    Background: TypeAlias = Literal["white", "transparent"]

MAX_SIDE = 1024  # pixels of a picture
MIN_SIDE = 32
MAX_CLASSES = 256
_MAX_TEXT = 120  # characters of a text that is drawn; no side has room for more
_FONT = 12  # pixels
_LINE = 16  # pixels from one line of text to the next
_PAD = 6  # pixels around everything
_BAR = 16  # pixels across a ramp
_TICK = 4
_SWATCH = 12
_INK, _PAPER = (32, 33, 36, 255), (255, 255, 255, 255)
_CLEAR = (255, 255, 255, 0)
_HALO = 2  # pixels of white around text that has no background of its own
_HORIZONTAL, _VERTICAL = (320, 64), (120, 260)  # width and height where none are asked for
_TICKS = 12  # at most; more are no easier to read
_NEAR = 1e-9  # steps; the end of a range that is so near to a multiple is one
_GREATEST = 1e300  # of a range: its ticks have to be finite as well
_PLAIN_DIGITS = 6  # numbers of more digits than this before or after the point are written with an exponent


@dataclass(frozen=True, eq=False)
class Ramp:
    """A colormap over a range.

    Parameters
    ----------
    table : ndarray of uint8, shape (256, 4)
        Red, green, blue and alpha; the first colour is that of `low`, the last that of `high`.
    low, high : float
        The range, in units of the values.
    units : str or None
        CF units.
    title : str
        What the values are.

    Raises
    ------
    ParameterError
        If the table has another shape or type, or the range is not one that ticks can be found in: from the lesser to
        the greater, neither above 1e300, and 1e-300 apart.
    """

    table: NDArray[np.uint8]
    low: float
    high: float
    units: str | None = None
    title: str = ""

    def __post_init__(self) -> None:
        if self.table.shape != (256, 4) or self.table.dtype != np.uint8:
            raise ParameterError("colormap", found=self.table.shape, expected="256 colours of 4 bytes")
        if not (-_GREATEST <= self.low < self.high <= _GREATEST and self.high - self.low >= 1 / _GREATEST):
            raise ParameterError("rescale", found=(self.low, self.high), expected="two numbers, the lesser first")


@dataclass(frozen=True)
class Entry:
    """A class.

    Parameters
    ----------
    value : float, or tuple of (float, float)
        A value, or a run of values from the first to the second.
    color : tuple of (int, int, int, int)
        Red, green, blue and alpha.
    label : str or None
        Its meaning; the value itself where it has none.

    Raises
    ------
    ParameterError
        If a value is not finite, or the colour is none.
    """

    value: float | tuple[float, float]
    color: Rgba
    label: str | None = None

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self._values)):
            raise ParameterError("value of a class", found=self.value, expected="finite numbers")
        if len(self.color) != 4 or not all(0 <= part <= 255 for part in self.color):
            raise ParameterError("colour of a class", found=self.color, expected="four numbers of 0 to 255")

    @property
    def _values(self) -> tuple[float, ...]:
        return self.value if isinstance(self.value, tuple) else (self.value,)

    @property
    def text(self) -> str:
        """What is written beside its colour."""
        return self.label or " to ".join(f"{value:.6g}" for value in self._values)


@dataclass(frozen=True)
class Classes:
    """Colours of single values or of runs of values.

    Parameters
    ----------
    entries : tuple of Entry
        At least one, in the order in which they are shown.
    title : str
        What the values are.

    Raises
    ------
    ParameterError
        If there are none, or more than `MAX_CLASSES`.
    """

    entries: tuple[Entry, ...]
    title: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.entries) <= MAX_CLASSES:
            raise ParameterError("classes", found=len(self.entries), expected=f"1 to {MAX_CLASSES}")


@dataclass(frozen=True)
class Rgb:
    """Three bands shown as red, green and blue.

    Parameters
    ----------
    bands : tuple of (str, str, str)
        Their names.
    title : str
        What is shown.
    """

    bands: tuple[str, str, str]
    title: str = ""


Legend: TypeAlias = Ramp | Classes | Rgb


def from_flags(values: Sequence[float], meanings: str, colors: Sequence[Rgba], *, title: str = "") -> Classes:
    """Make classes of CF flags.

    Parameters
    ----------
    values : sequence of float
        `flag_values`.
    meanings : str
        `flag_meanings`: words parted by blanks, an underscore standing for a blank within one.
    colors : sequence of tuple of (int, int, int, int)
        Colour of each value.
    title : str
        What the values are.

    Raises
    ------
    ParameterError
        If there are not as many meanings and colours as values, or `Classes` has nothing to show.

    References
    ----------
    CF conventions 1.11, 3.5: Flags.
    """
    words = meanings.split()
    if not len(values) == len(words) == len(colors):
        found = f"{len(values)} values, {len(words)} meanings, {len(colors)} colours"
        raise ParameterError("flag_meanings", found=found, expected="one of each for every class")
    labels = [word.replace("_", " ") for word in words]
    return Classes(tuple(map(Entry, values, colors, labels)), title)


def document(legend: Legend) -> dict[str, Any]:
    """Describe a legend.

    Returns
    -------
    dict
        JSON. A "ramp" has `min`, `max`, `units` and 256 `stops`, each the middle of the values that its colour shows;
        "classes" have `entries`, each with `value` (a run of values as an array of two), `label` and `color`; "rgb"
        has the names of its `bands`. Colours are `#rrggbbaa`.
    """
    if isinstance(legend, Ramp):
        step = (legend.high - legend.low) / 255
        values = [legend.low + index * step for index in range(255)] + [legend.high]
        return {
            "type": "ramp",
            "title": legend.title,
            "min": legend.low,
            "max": legend.high,
            "units": legend.units,
            "stops": [
                {"value": value, "color": _hexadecimal(color)}
                for value, color in zip(values, legend.table.tolist(), strict=True)
            ],
        }
    if isinstance(legend, Classes):
        entries = [
            {"value": entry.value, "label": entry.text, "color": _hexadecimal(entry.color)} for entry in legend.entries
        ]
        return {"type": "classes", "title": legend.title, "entries": entries}
    return {"type": "rgb", "title": legend.title, "bands": list(legend.bands)}


def _hexadecimal(color: Sequence[int]) -> str:
    return "#" + bytes(color).hex()


def image(
    legend: Legend,
    *,
    width: int | None = None,
    height: int | None = None,
    orientation: Orientation = "horizontal",
    background: Background = "white",
) -> bytes:
    """Draw a legend.

    Parameters
    ----------
    legend : Ramp, Classes or Rgb
        What is drawn.
    width, height : int, optional
        Pixels, 32 to 1024; by default what suits a ramp's orientation, and room for all classes.
    orientation : {"horizontal", "vertical"}
        Of a ramp: least value left, or least value below.
    background : {"white", "transparent"}
        What is behind it; on a transparent one texts have a white rim, so that they can be read on any map.

    Returns
    -------
    bytes
        PNG.

    Raises
    ------
    ParameterError
        If a side is out of its limits, or an option is unknown.
    """
    if orientation not in ("horizontal", "vertical"):
        raise ParameterError("orientation", found=orientation, expected="horizontal or vertical")
    if background not in ("white", "transparent"):
        raise ParameterError("background", found=background, expected="white or transparent")
    for name, side in (("width", width), ("height", height)):
        if side is not None and not MIN_SIDE <= side <= MAX_SIDE:
            raise ParameterError(name, found=side, expected=f"{MIN_SIDE} to {MAX_SIDE} pixels")
    if isinstance(legend, Ramp):
        usual = _HORIZONTAL if orientation == "horizontal" else _VERTICAL
        canvas = _Canvas(width or usual[0], height or usual[1], background)
        draw = _draw_horizontal if orientation == "horizontal" else _draw_vertical
        draw(canvas, legend)
    else:
        swatches = _swatches(legend)
        usual = _size_of_swatches(legend.title, [text for _, text in swatches], height or MAX_SIDE)
        canvas = _Canvas(width or usual[0], height or usual[1], background)
        _draw_swatches(canvas, legend.title, swatches)
    return canvas.png()


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Choose round numbers within a range.

    Parameters
    ----------
    low, high : float
        The range, `low` below `high`, in units of the values.
    most : int
        Greatest number of ticks, at least 1.

    Returns
    -------
    list of float
        Multiples of the least step among 1, 2 and 5 times a power of ten that gives at most that many; the ends of
        the range are among them where they are multiples.
    """
    span = high - low
    exponent = math.floor(math.log10(span / max(most, 1))) - 1
    for power in range(exponent, exponent + 4):
        for factor in (1, 2, 5):
            step = factor * 10.0**power
            first, last = math.ceil(low / step - _NEAR), math.floor(high / step + _NEAR)
            if last - first + 1 <= most:
                # A whole number of tenths is one division away from the nearest float; products add up errors.
                scale = 10.0**-power
                found = [(factor * index) / scale if power < 0 else index * step for index in range(first, last + 1)]
                if all(before < after for before, after in itertools.pairwise(found)):
                    return found  # else the steps are finer than floats of that size are
    return []


def tick_labels(values: Sequence[float]) -> list[str]:
    """Write ticks with as many digits as tell them apart, all alike; with exponents where they are long."""
    if not values:
        return []
    step = min((after - before for before, after in itertools.pairwise(values)), default=abs(values[0]) or 1.0)
    largest = max(abs(value) for value in values) or 1.0
    decimals = max(0, -math.floor(math.log10(step) + _NEAR))
    if decimals > _PLAIN_DIGITS or largest >= 10**_PLAIN_DIGITS:
        digits = max(0, math.floor(math.log10(largest) + _NEAR) - math.floor(math.log10(step) + _NEAR))
        return [_exponential(value, digits) for value in values]
    return [f"{value:.{decimals}f}" if value else "0" for value in values]


def _exponential(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


class _Canvas:
    """A picture to draw on, with one size of text.

    Parameters
    ----------
    width, height : int
        Pixels.
    background : {"white", "transparent"}
        What is behind.
    """

    def __init__(self, width: int, height: int, background: Background) -> None:
        self.width = width
        self.height = height
        self._halo = _HALO if background == "transparent" else 0
        self._image = Image.new("RGBA", (width, height), _CLEAR if background == "transparent" else _PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def text(self, x: float, y: float, text: str, *, anchor: str, room: float) -> None:
        """Write a line, cut where it is wider than `room` pixels; Pillow's anchors: l, m, r and a, m, s."""
        line = _fitted(text, room)
        self._draw.text(
            (x, y), line, fill=_INK, font=_font(), anchor=anchor, stroke_width=self._halo, stroke_fill=_PAPER
        )

    def paste(self, colors: NDArray[np.uint8], x: int, y: int) -> None:
        """Lay colours, shape (row, col, 4), over the background, with a thin frame around them."""
        self._image.alpha_composite(Image.fromarray(np.ascontiguousarray(colors)), (x, y))
        height, width = colors.shape[:2]
        self._draw.rectangle((x - 1, y - 1, x + width, y + height), outline=_INK)

    def line(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Draw a thin line, both ends included."""
        self._draw.line((x0, y0, x1, y1), fill=_INK)

    def png(self) -> bytes:
        """Return the picture as PNG."""
        buffer = io.BytesIO()
        self._image.save(buffer, "PNG")
        return buffer.getvalue()


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT)


def _width_of(text: str) -> float:
    return float(_font().getlength(text))


def _fitted(text: str, room: float) -> str:
    """Bring a text on one line of a width, with dots where it had to be cut."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[:_MAX_TEXT]).split())
    if _width_of(line) <= room:
        return line
    while line and _width_of(f"{line}…") > room:
        line = line[:-1]
    return f"{line}…" if line else ""


def _titled(legend: Ramp) -> str:
    return " ".join(filter(None, (legend.title, f"({legend.units})" if legend.units else "")))


def _draw_horizontal(canvas: _Canvas, ramp: Ramp) -> None:
    """Title, bar, ticks and their numbers below."""
    title = _titled(ramp)
    if title:
        canvas.text(_PAD, _PAD, title, anchor="la", room=canvas.width - 2 * _PAD)
    left, right = _PAD + 1, canvas.width - _PAD - 1
    top = _PAD + (_LINE if title else 0) + 1
    bottom = max(top + 1, canvas.height - _PAD - _LINE - _TICK - 1)
    index = _indexes(right - left)
    canvas.paste(np.broadcast_to(ramp.table[index], (bottom - top, right - left, 4)), left, top)
    taken = -math.inf
    for value, label in _labelled(ramp, lambda widest: (right - left) // (widest + 2 * _PAD)):
        x = left + _position(ramp, value, right - left)
        canvas.line(x, bottom, x, bottom + _TICK)
        half = _width_of(label) / 2
        middle = min(max(x, _PAD + half), canvas.width - _PAD - half)  # numbers at the ends stay within the picture
        if middle - half > taken:
            canvas.text(middle, bottom + _TICK + 2, label, anchor="ma", room=canvas.width)
            taken = middle + half + _PAD


def _draw_vertical(canvas: _Canvas, ramp: Ramp) -> None:
    """Title, bar with the greatest value at its top, ticks and their numbers to the right."""
    title = _titled(ramp)
    if title:
        canvas.text(_PAD, _PAD, title, anchor="la", room=canvas.width - 2 * _PAD)
    top = _PAD + (_LINE + _PAD if title else _LINE // 2)
    bottom = max(top + 1, canvas.height - _PAD - _LINE // 2)
    left = _PAD + 1
    right = left + min(_BAR, canvas.width - 2 * _PAD - 2)
    index = _indexes(bottom - top)[::-1]
    canvas.paste(np.broadcast_to(ramp.table[index][:, np.newaxis], (bottom - top, right - left, 4)), left, top)
    start = right + _TICK + 4
    room = canvas.width - _PAD - start
    for value, label in _labelled(ramp, lambda widest: (bottom - top) // _LINE if widest <= room else 0):
        y = bottom - 1 - _position(ramp, value, bottom - top)
        canvas.line(right, y, right + _TICK, y)
        canvas.text(start, y, label, anchor="lm", room=room)


def _indexes(pixels: int) -> NDArray[np.intp]:
    """Entry of a table of 256 for each pixel along a bar: the first at its one end, the last at the other."""
    return np.rint(np.linspace(0, 255, pixels)).astype(np.intp)


def _position(ramp: Ramp, value: float, pixels: int) -> int:
    """Pixel along a bar that shows a value."""
    return round((value - ramp.low) / (ramp.high - ramp.low) * (pixels - 1))


def _labelled(ramp: Ramp, room: Callable[[float], float]) -> Iterable[tuple[float, str]]:
    """Choose ticks with their numbers: as many as there is room for, given the width of the widest one in pixels.

    A number is never cut: it would be another one.
    """
    for most in range(_TICKS, 0, -1):
        values = ticks(ramp.low, ramp.high, most=most)
        labels = tick_labels(values)
        if labels and len(labels) <= room(max(map(_width_of, labels))):
            return zip(values, labels, strict=True)
    return ()


def _swatches(legend: Classes | Rgb) -> list[tuple[Rgba, str]]:
    if isinstance(legend, Classes):
        return [(entry.color, entry.text) for entry in legend.entries]
    colors: tuple[Rgba, Rgba, Rgba] = ((255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255))
    return list(zip(colors, legend.bands, strict=True))


def _size_of_swatches(title: str, texts: Sequence[str], tallest: int) -> tuple[int, int]:
    """Width and height that hold the title and all texts, within the limits; of texts, as many as a height holds."""
    height = 2 * _PAD + (_LINE + 4 if title else 0) + len(texts) * _LINE
    lines = texts if height <= tallest else [*texts, _more(len(texts))]
    widest = max(_width_of(_fitted(line, MAX_SIDE)) for line in lines) + _SWATCH + 2 * _PAD
    width = max(widest, _width_of(_fitted(title, MAX_SIDE))) + 2 * _PAD
    return min(MAX_SIDE, max(MIN_SIDE, math.ceil(width))), min(MAX_SIDE, max(MIN_SIDE, height))


def _more(count: int) -> str:
    return f"and {count} more"


def _draw_swatches(canvas: _Canvas, title: str, swatches: Sequence[tuple[Rgba, str]]) -> None:
    """Title, then a line a class; the last line tells how many did not fit."""
    top = _PAD
    if title:
        canvas.text(_PAD, top, title, anchor="la", room=canvas.width - 2 * _PAD)
        top += _LINE + 4
    lines = max(1, (canvas.height - top - _PAD) // _LINE)
    shown = swatches if len(swatches) <= lines else swatches[: lines - 1]
    start = 2 * _PAD + _SWATCH + 2
    room = canvas.width - start - _PAD
    for line, (color, text) in enumerate(shown):
        y = top + line * _LINE
        square = np.broadcast_to(np.array(color, np.uint8), (_SWATCH - 2, _SWATCH - 2, 4))
        canvas.paste(square, _PAD + 1, y + 3)
        canvas.text(start, y + _LINE / 2, text, anchor="lm", room=room)
    if len(shown) < len(swatches):
        more = _more(len(swatches) - len(shown))
        canvas.text(start, top + len(shown) * _LINE + _LINE / 2, more, anchor="lm", room=room)
