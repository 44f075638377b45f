"""What a picture shows: bands, what is computed from them, value ranges and colours.

A `Wish` is what a request asks for, a `Picture` the same settled for one pyramid. Without a wish the picture is the
natural one: red, green and blue where they exist, else the first raster of the first variable, in the colours of its
classes or else in grey. Values of 8 bits are shown as they are; others are stretched over the stored 2nd to 98th
percentile.

Values are packed as stored unless they are asked for otherwise. What is computed, by an expression or an algorithm, is
computed from unpacked values: sums of packed ones, or slopes of them, mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from geozarr import cf
from geozarr.errors import ParameterError
from tiler import colormaps
from tiler.colors import Ramp
from tiler.pyramid import ANYWHERE, Band

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiler.algorithms import Algorithm
    from tiler.colors import Colors
    from tiler.dimensions import Selector
    from tiler.expression import Expression
    from tiler.formula import Formula
    from tiler.pyramid import Pyramid

MAX_BANDS = 4
MAX_OPERANDS = 8  # bands that an expression reads
GREY = Ramp(colormaps.grey().tobytes())


@dataclass(frozen=True)
class Wish:
    """What a request asks for; whatever is empty is chosen.

    Parameters
    ----------
    variables : tuple of str
        Names of variables.
    indexes : tuple of int
        1-based positions along the leading dimensions that selectors leave.
    ranges : tuple of (float, float)
        Values that become black and white; one for all bands or one for each.
    colors : Ramp, Classes, Intervals or None
        Colours of a single band.
    selectors : tuple of Selector
        Steps of leading dimensions, one for a dimension.
    expression : Expression or None
        Computed from bands: `b1`, `b2` ... are the rasters chosen above, other names are variables.
    algorithm : Algorithm or None
        Computed from what there is then.
    formula : Formula or None
        Applied to red, green and blue when they are bytes.
    nodata : float or None
        Takes the place of the stored nodata value.
    is_unscaled : bool
        True for values with scale and offset applied.
    is_masked : bool
        False where what is missing is shown like any other value.
    """

    variables: tuple[str, ...] = ()
    indexes: tuple[int, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()
    colors: Colors | None = None
    selectors: tuple[Selector, ...] = ()
    expression: Expression | None = None
    algorithm: Algorithm | None = None
    formula: Formula | None = None
    nodata: float | None = None
    is_unscaled: bool = False
    is_masked: bool = True


@dataclass(frozen=True)
class Picture:
    """What is shown.

    Parameters
    ----------
    bands : tuple of Band
        What is read.
    ranges : tuple of (float, float)
        For each band of the result, values that become 0 and 255; empty where values are shown as they are.
    colors : Ramp, Classes, Intervals or None
        For a single band, which is grey without.
    names : tuple of str
        For each of `bands`, its name in the expression.
    expression, algorithm, formula, is_unscaled, is_masked : optional
        As in `Wish`; unscaled also where something is computed.
    """

    bands: tuple[Band, ...]
    ranges: tuple[tuple[float, float], ...] = ()
    colors: Colors | None = None
    names: tuple[str, ...] = field(default=(), kw_only=True)
    expression: Expression | None = field(default=None, kw_only=True)
    algorithm: Algorithm | None = field(default=None, kw_only=True)
    formula: Formula | None = field(default=None, kw_only=True)
    is_unscaled: bool = field(default=False, kw_only=True)
    is_masked: bool = field(default=True, kw_only=True)

    @property
    def is_computed(self) -> bool:
        """True where the result is not what is stored."""
        return self.expression is not None or self.algorithm is not None

    @property
    def count(self) -> int:
        """Number of bands of the result."""
        if self.algorithm is not None:
            return self.algorithm.output_bands
        return len(self.bands) if self.expression is None else len(self.expression.outputs)


def values_of(pyramid: Pyramid, wish: Wish, positions: Mapping[str, int] = ANYWHERE) -> Picture:
    """Choose bands whose values are returned as numbers: only what was asked for is done to them.

    Parameters
    ----------
    pyramid : Pyramid
        What there is.
    wish : Wish
        What is asked for.
    positions : mapping of str to int
        What its selectors choose: index along a dimension by its name, from `PyramidSource.positions`.

    Raises
    ------
    ParameterError, UnknownNameError
        If the wish does not fit the pyramid.
    """
    operands = _operands(pyramid, wish, positions)
    bands = tuple(operands.values())
    if wish.nodata is not None:
        bands = tuple(_with_nodata(band, wish.nodata) for band in bands)
    picture = Picture(
        bands,
        names=tuple(operands),
        expression=wish.expression,
        algorithm=wish.algorithm,
        formula=wish.formula,
        is_unscaled=wish.is_unscaled or wish.expression is not None or wish.algorithm is not None,
        is_masked=wish.is_masked,
    )
    _require_inputs(picture)
    count = picture.count
    if len(wish.ranges) not in (0, 1, count):
        raise ParameterError("rescale", found=f"{len(wish.ranges)} ranges", expected=f"1 or {count} ranges")
    if wish.colors is not None and count != 1:
        raise ParameterError("colormap_name", found=f"{count} bands", expected="a single band")
    if wish.formula is not None and count != 3:
        raise ParameterError("color_formula", found=f"{count} bands", expected="red, green and blue")
    ranges = wish.ranges * count if len(wish.ranges) == 1 else wish.ranges
    if isinstance(wish.colors, Ramp) and not ranges:
        ranges = _shown_ranges(picture)
    return replace(picture, ranges=ranges, colors=wish.colors)


def compose(pyramid: Pyramid, wish: Wish, positions: Mapping[str, int] = ANYWHERE) -> Picture:
    """Choose what an image shows; arguments are those of `values_of`.

    Raises
    ------
    ParameterError, UnknownNameError
        If the wish does not fit the pyramid, there are neither one nor three bands, or float data without stored
        statistics have no `rescale`.
    """
    chosen = values_of(pyramid, wish, positions)
    if chosen.count not in (1, 3):
        raise ParameterError("variable", found=f"{chosen.count} bands", expected="1 or 3 bands for an image")
    own = _own_colors(chosen)
    if own is not None:
        return replace(chosen, colors=own)
    if chosen.ranges or not isinstance(chosen.colors, Ramp | None):
        return chosen
    return replace(chosen, ranges=_shown_ranges(chosen))


def _own_colors(picture: Picture) -> Colors | None:
    """Colours of a variable's own classes, where stored values of it are shown and nothing else is asked for."""
    if picture.colors is not None or picture.ranges or picture.is_computed or len(picture.bands) != 1:
        return None
    variable = picture.bands[0].variable
    is_as_stored = not picture.is_unscaled or (variable.scale_factor, variable.add_offset) == (1.0, 0.0)
    return variable.colors if is_as_stored else None


def _operands(pyramid: Pyramid, wish: Wish, positions: Mapping[str, int]) -> dict[str, Band]:
    """Rasters to read, by the name that an expression calls them."""
    if wish.expression is None:
        bands = pyramid.bands(wish.variables, wish.indexes, positions)
        if len(bands) > MAX_BANDS:
            raise ParameterError("variable", found=f"{len(bands)} bands", expected=f"at most {MAX_BANDS} bands")
        return {f"b{number}": band for number, band in enumerate(bands, 1)}
    if wish.indexes:
        raise ParameterError("bidx", found=wish.indexes, expected="no positions: an expression calls them b1, b2 ...")
    names = wish.expression.names
    if not names:
        raise ParameterError("expression", found=wish.expression.text, expected="a band in it")
    if len(names) > MAX_OPERANDS:
        raise ParameterError("expression", found=f"{len(names)} bands", expected=f"at most {MAX_OPERANDS} bands")
    known = {variable.name for variable in pyramid.variables}
    return {name: _operand(pyramid, wish.variables, name, positions, is_name=name in known) for name in names}


def _operand(
    pyramid: Pyramid, variables: tuple[str, ...], name: str, positions: Mapping[str, int], *, is_name: bool
) -> Band:
    """Raster that an expression means: a variable by its name, else the number after the b.

    Numbers count the variables where several were asked for, and the rasters of the one that was, or of the first.
    """
    if is_name:
        return pyramid.bands((name,), (), positions)[0]
    number = int(name[1:]) if name[0] == "b" and name[1:].isdecimal() else 0
    if number < 1:
        expected = "b1, b2 ... or names of variables"
        raise ParameterError("expression", found=name, expected=expected)
    if len(variables) > 1:
        if number > len(variables):
            raise ParameterError("expression", found=name, expected=f"b1 to b{len(variables)}")
        return pyramid.bands((variables[number - 1],), (), positions)[0]
    return pyramid.bands(variables, (number,), positions)[0]


def _require_inputs(picture: Picture) -> None:
    """Refuse an algorithm that takes another number of bands than there are."""
    if picture.algorithm is None:
        return
    given = len(picture.bands) if picture.expression is None else len(picture.expression.outputs)
    if given != picture.algorithm.bands:
        raise ParameterError("algorithm", found=f"{given} bands", expected=f"{picture.algorithm.bands} bands")


def _with_nodata(band: Band, nodata: float) -> Band:
    dtype = band.variable.dtype
    if not cf.holds(nodata, dtype):
        raise ParameterError("nodata", found=nodata, expected=f"a value of data type {dtype}")
    return replace(band, variable=replace(band.variable, nodata=dtype.type(nodata)))


def _shown_ranges(picture: Picture) -> tuple[tuple[float, float], ...]:
    """Ranges by default: none for bytes, which are shown as they are."""
    if picture.algorithm is not None:
        return () if picture.algorithm.output_range is None else (picture.algorithm.output_range,) * picture.count
    if picture.expression is not None:
        raise ParameterError("rescale", found=None, expected="min,max: nothing is known of what an expression gives")
    if not picture.is_unscaled and all(band.variable.dtype == np.uint8 for band in picture.bands):
        return ()
    return tuple(_stored_range(band, is_unscaled=picture.is_unscaled) for band in picture.bands)


def _stored_range(band: Band, *, is_unscaled: bool) -> tuple[float, float]:
    low, high = _packed_range(band)
    if not is_unscaled:
        return low, high
    variable = band.variable
    ends = (number * variable.scale_factor + variable.add_offset for number in (low, high))
    first, second = sorted(ends)
    return first, second


def _packed_range(band: Band) -> tuple[float, float]:
    dtype, statistics = band.variable.dtype, band.variable.statistics
    if dtype == np.uint8:
        return 0.0, 255.0
    if dtype.kind == "b":
        return 0.0, 1.0
    if statistics is not None:
        for low, high in ((statistics.low, statistics.high), (statistics.minimum, statistics.maximum)):
            if low < high:
                return low, high
        return statistics.minimum, statistics.minimum + 1.0  # a constant: any range shows it
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return float(info.min), float(info.max)
    name = band.variable.name
    raise ParameterError("rescale", found=None, expected=f"min,max: {name!r} has no stored statistics to stretch by")
