"""Classes of a variable and their colours: `flag_values`, `flag_meanings`, `flag_colors`, and `color_table`.

`flag_values` and `flag_meanings` are CF's (CF 3.5). No convention has colours for them; `flag_colors`, a text of
`#rrggbb` with blanks between, one for each value, is what THREDDS, xcube and xpublish-tiles read. A colour that is not
opaque is written `#rrggbbaa`.

A table with more colours than a palette of a picture holds shades numbers rather than names classes. Where it is made
of few runs of one colour it is kept as `color_table`, a key of ours: `[first, last, colour]` of each run.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from geozarr import cf

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

Rgba: TypeAlias = "tuple[int, int, int, int]"

VALUES, MASKS, MEANINGS, COLORS, TABLE = "flag_values", "flag_masks", "flag_meanings", "flag_colors", "color_table"
# Of the 256 entries of a palette one is for what is not shown; all values of a byte have an entry each.
MOST = 255
_MOST_TEXT = 2**16  # characters of all meanings; a store of another hand may bring any number
_FILLERS = ((0, 0, 0, 255), (0, 0, 0, 0))  # what GDAL puts into entries that nobody has set
_NO_WORD = re.compile(r"[^A-Za-z0-9_\-.+@]+")  # what CF 3.5 does not allow in a word
_HEX = re.compile(r"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")


@dataclass(frozen=True)
class Flag:
    """A class.

    Parameters
    ----------
    value : int or float
        As stored.
    meaning : str
        One word of CF, in which underscores stand for blanks.
    color : tuple of (int, int, int, int) or None
        Red, green, blue and opacity, 0 to 255; None where it has none.
    """

    value: float
    meaning: str
    color: Rgba | None = None


@dataclass(frozen=True)
class Run:
    """Values of one colour.

    Parameters
    ----------
    first, last : int
        The least and the greatest of them.
    color : tuple of (int, int, int, int)
        Red, green, blue and opacity, 0 to 255.
    """

    first: int
    last: int
    color: Rgba


def is_palette(count: int, dtype: np.dtype[Any]) -> bool:
    """Tell whether so many classes of a data type have an entry each in the palette of a picture."""
    return count <= MOST or (dtype.name == "uint8" and count == MOST + 1)


def attributes_of_table(
    table: Mapping[int, Rgba], *, dtype: np.dtype[Any], nodata: float | None, names: Mapping[int, str]
) -> dict[str, Any]:
    """Describe a colour table as attributes.

    Tables of files have an entry for every value of the data type. Left out are that of the nodata value; those after
    the last one that anybody has set, all black or transparent; and black ones without a name where others have names.

    Parameters
    ----------
    table : mapping of int to tuple of (int, int, int, int)
        Red, green, blue and opacity by value.
    dtype : numpy.dtype
        Data type of the values.
    nodata : float or None
        The value that means "no data".
    names : mapping of int to str
        What values are called, of those that have a name.

    Returns
    -------
    dict
        `flag_values`, `flag_meanings` and `flag_colors` for as many classes as a palette holds; `color_table` for more
        of them in as few runs; else nothing, and a document stays small.

    References
    ----------
    CF conventions 1.12, 3.5: Flags.
    """
    entries = {value: color for value, color in sorted(table.items()) if value != nodata and cf.holds(value, dtype)}
    last = max((value for value, color in entries.items() if color not in _FILLERS or names.get(value)), default=-1)
    kept = {
        value: color
        for value, color in entries.items()
        if value <= last and not (names and color in _FILLERS and not names.get(value))
    }
    if is_palette(len(kept), dtype):
        return to_attributes(_flags(kept, names))
    runs = runs_of(kept)
    return {TABLE: [[run.first, run.last, _hexadecimal(run.color)] for run in runs]} if len(runs) <= MOST else {}


def to_attributes(flags: Sequence[Flag]) -> dict[str, Any]:
    """Return the attributes of classes, without colours unless each has one; nothing for no classes."""
    if not flags:
        return {}
    attributes = {VALUES: [flag.value for flag in flags], MEANINGS: " ".join(flag.meaning for flag in flags)}
    colors = [flag.color for flag in flags if flag.color is not None]
    if len(colors) == len(flags):
        attributes[COLORS] = " ".join(map(_hexadecimal, colors))
    return attributes


def from_attributes(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[Flag, ...]:
    """Read classes, the tolerant inverse of `to_attributes`: none where they are malformed, or bits (`flag_masks`).

    More than a palette holds are none either, nor are meanings that nobody could read. One value may stand without an
    array, colours may be an array of texts, and are left out where one is none.
    """
    values, meanings = attributes.get(VALUES), attributes.get(MEANINGS)
    values = values if isinstance(values, list) else [values]
    words = meanings.split() if isinstance(meanings, str) and len(meanings) <= _MOST_TEXT else []
    is_sound = MASKS not in attributes and len(values) == len(words) <= MOST + 1
    if not is_sound or not all(_is_held(value, dtype) for value in values) or len(set(values)) < len(values):
        return ()
    stated = attributes.get(COLORS)
    texts = stated.split() if isinstance(stated, str) else stated if isinstance(stated, list) else []
    found = [_color(text) for text in texts] if len(texts) == len(values) else [None]
    colors = [None] * len(values) if None in found else found
    return tuple(Flag(value, word, color) for value, word, color in zip(values, words, colors, strict=True))


def table_from_attributes(attributes: Mapping[str, Any]) -> tuple[Run, ...]:
    """Read `color_table`; none where it is malformed, or longer than a palette."""
    stated = attributes.get(TABLE)
    runs = []
    for item in stated if isinstance(stated, list) and len(stated) <= MOST else ():
        first, last, text = item if isinstance(item, list) and len(item) == 3 else (None, None, None)
        color = _color(text)
        if type(first) is not int or type(last) is not int or not -(2**63) <= first <= last < 2**64 or color is None:
            return ()
        runs.append(Run(first, last, color))
    return tuple(runs)


def runs_of(table: Mapping[int, Rgba]) -> list[Run]:
    """Put neighbouring values of one colour together."""
    runs: list[Run] = []
    for value, color in sorted(table.items()):
        before = runs[-1] if runs else None
        if before is not None and before.last == value - 1 and before.color == color:
            runs[-1] = Run(before.first, value, color)
        else:
            runs.append(Run(value, value, color))
    return runs


def word(text: str) -> str:
    """Make one word of CF of a name: letters lose their accents, and what CF does not allow becomes an underscore."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return _NO_WORD.sub("_", plain).strip("_")


def _flags(table: Mapping[int, Rgba], names: Mapping[int, str]) -> list[Flag]:
    """Give each value a meaning of its own: its name, that with its number where others have it, else `class_7`."""
    words = {value: word(names.get(value, "")) or f"class_{value}" for value in table}
    counts: dict[str, int] = {}
    for meaning in words.values():
        counts[meaning] = counts.get(meaning, 0) + 1
    return [
        Flag(value, meaning if counts[meaning] == 1 else f"{meaning}_{value}", table[value])
        for value, meaning in words.items()
    ]


def _is_held(value: Any, dtype: np.dtype[Any]) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and cf.holds(value, dtype) and math.isfinite(value)


def _hexadecimal(color: Iterable[int]) -> str:
    text = bytes(color).hex()
    return f"#{text[:6]}" if text[6:] == "ff" else f"#{text}"


def _color(text: Any) -> Rgba | None:
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        return None
    red, green, blue, opacity = bytes.fromhex((text[1:] + "ff")[:8])
    return red, green, blue, opacity
