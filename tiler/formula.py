"""TiTiler's `color_formula`: gamma, sigmoidal contrast and saturation of red, green and blue.

The library `color_operations`, which rio-tiler uses, does the arithmetic; here its little language is read strictly,
and its arguments are kept where its results are numbers. Gamma and contrast depend on one byte alone, so they are
computed for all 256 and looked up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from geozarr.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CHARACTERS = 256
MAX_OPERATIONS = 8  # a saturation takes 20 ms for a tile of 256 x 256
_NUMBER = re.compile(r"-?(?:[0-9]{1,4}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})")
_BANDS = {"r": "r", "g": "g", "b": "b", "1": "r", "2": "g", "3": "b"}
# Names of arguments, with the least and the greatest. Beyond these bounds the library overflows.
_ARGUMENTS = {
    "gamma": (("gamma", 0.01, 100.0),),
    "sigmoidal": (("contrast", -20.0, 20.0), ("bias", 0.0, 1.0)),
    "saturation": (("proportion", 0.0, 10.0),),
}
_LEAST_CONTRAST = 0.01  # below it the library divides 0 by 0; 0 itself changes nothing


@dataclass(frozen=True)
class Operation:
    """One step of a formula.

    Parameters
    ----------
    name : str
        "gamma", "sigmoidal" or "saturation".
    bands : str
        Which of "rgb" it changes, in this order; empty for saturation, which changes all.
    arguments : tuple of float
        Gamma; contrast and bias; proportion.
    """

    name: str
    bands: str
    arguments: tuple[float, ...]

    def __str__(self) -> str:
        parts = (self.name, self.bands, *(f"{argument:.12f}" for argument in self.arguments))
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Formula:
    """Steps that change colours, in their order.

    Parameters
    ----------
    operations : tuple of Operation
        The steps.
    """

    operations: tuple[Operation, ...]

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Change colours; after each step they are bytes again, as in rio-tiler.

        Parameters
        ----------
        rgb : ndarray of uint8, shape (3, row, col)
            Red, green and blue.

        Returns
        -------
        ndarray of uint8, shape (3, row, col)
            The same, changed.

        Raises
        ------
        ParameterError
            If there are not three bands of bytes.
        """
        if rgb.ndim != 3 or len(rgb) != 3 or rgb.dtype != np.uint8:
            found = f"{len(rgb)} bands of {rgb.dtype}"
            raise ParameterError("color_formula", found=found, expected="red, green and blue of 8 bits")
        for mixes_bands, steps in groupby(self.operations, lambda step: step.name == "saturation"):
            operations = tuple(steps)
            if mixes_bands:
                rgb = _computed(operations, rgb)
            else:
                rgb = np.stack([table.take(band) for table, band in zip(_tables(operations), rgb, strict=True)])
        return rgb


def parse_formula(text: str) -> Formula:
    """Read a formula such as `gamma rg 1.2, sigmoidal rgb 6 0.5, saturation 1.1`.

    Parameters
    ----------
    text : str
        At most 256 characters: one to eight steps, each a name, bands where it takes them (letters of `rgb`, or digits
        of 1 to 3) and its arguments, all separated by blanks or commas. `gamma` 0.01 to 100; `sigmoidal` contrast -20
        to 20 (0, or 0.01 at least) and bias 0 to 1; `saturation` 0 to 10, without bands.

    Returns
    -------
    Formula
        What it says.

    Raises
    ------
    ParameterError
        If it says anything else.

    References
    ----------
    `color_operations.parse_operations`; unlike there, nothing is left out or left over.
    """
    if len(text) > MAX_CHARACTERS:
        raise _wrong(f"{len(text)} characters", f"at most {MAX_CHARACTERS} characters")
    words = [word.lower() for word in text.replace(",", " ").split(" ") if word]
    starts = [place for place, word in enumerate(words) if word in _ARGUMENTS]
    if not 1 <= len(starts) <= MAX_OPERATIONS or starts[0] != 0:
        raise _wrong(text, f"1 to {MAX_OPERATIONS} of {', '.join(_ARGUMENTS)}")
    ends = (*starts[1:], len(words))
    return Formula(tuple(_operation(words[start:end]) for start, end in zip(starts, ends, strict=True)))


def _operation(words: list[str]) -> Operation:
    name, *rest = words
    expected = _ARGUMENTS[name]
    bands = "" if name == "saturation" else _bands(rest.pop(0) if rest else "")
    if len(rest) != len(expected):
        raise _wrong(" ".join(words), f"{name} with {', '.join(argument for argument, *_ in expected)}")
    arguments = tuple(_argument(word, *bounds) for word, bounds in zip(rest, expected, strict=True))
    if name == "sigmoidal" and 0 < abs(arguments[0]) < _LEAST_CONTRAST:
        raise _wrong(words[2], f"a contrast of 0, or of {_LEAST_CONTRAST} at least")
    return Operation(name, bands, arguments)


def _bands(word: str) -> str:
    if not word or any(letter not in _BANDS for letter in word):
        raise _wrong(word, "bands, as letters of rgb")
    chosen = {_BANDS[letter] for letter in word}
    return "".join(band for band in "rgb" if band in chosen)


def _argument(word: str, name: str, least: float, greatest: float) -> float:
    value = float(word) if _NUMBER.fullmatch(word) else None
    if value is None or not least <= value <= greatest:
        raise _wrong(word, f"a {name} from {least:g} to {greatest:g}")
    return value + 0.0  # -0 is 0


def _wrong(found: object, expected: str) -> ParameterError:
    return ParameterError("color_formula", found=found, expected=expected)


@lru_cache(maxsize=64)
def _tables(operations: tuple[Operation, ...]) -> NDArray[np.uint8]:
    """Return what becomes of each byte of red, green and blue, shape (3, 256)."""
    every_byte = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256))
    tables = _computed(operations, every_byte)[:, 0]
    tables.flags.writeable = False
    return tables


def _computed(operations: tuple[Operation, ...], rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # Imported when first asked for: few requests have a formula. The library has no types.
    from color_operations import (  # type: ignore[import-untyped]  # noqa: PLC0415 - the reason stands above
        parse_operations,
        scale_dtype,
        to_math_type,
    )

    with np.errstate(all="ignore"):  # the library sets numpy's handling of errors and does not restore it
        for step in parse_operations(" ".join(map(str, operations))):
            rgb = scale_dtype(step(to_math_type(rgb)), np.uint8)
    return rgb
