"""What a picture shows: bands, value ranges and colours, from what was asked for and what the pyramid says.

Without a wish the picture is the natural one: red, green and blue where they exist, else the first raster of the first
variable in grey. Values of 8 bits are shown as they are; others are stretched over the stored 2nd to 98th
percentile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geozarr.errors import ParameterError
from tiler import colormaps
from tiler.pyramid import ANYWHERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiler.dimensions import Selector
    from tiler.pyramid import Band, Pyramid

MAX_BANDS = 4


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
    colormap : str or None
        Name of a colormap, for a single band.
    selectors : tuple of Selector
        Steps of leading dimensions, one for a dimension.
    """

    variables: tuple[str, ...] = ()
    indexes: tuple[int, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()
    colormap: str | None = None
    selectors: tuple[Selector, ...] = ()


@dataclass(frozen=True)
class Picture:
    """What is shown.

    Parameters
    ----------
    bands : tuple of Band
        One, or red, green and blue.
    ranges : tuple of (float, float)
        For each band, values that become 0 and 255; empty where values are shown as they are.
    colormap : str or None
        For a single band, which is grey without one.
    """

    bands: tuple[Band, ...]
    ranges: tuple[tuple[float, float], ...] = ()
    colormap: str | None = None


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
    bands = pyramid.bands(wish.variables, wish.indexes, positions)
    if len(bands) > MAX_BANDS:
        raise ParameterError("variable", found=f"{len(bands)} bands", expected=f"at most {MAX_BANDS} bands")
    if len(wish.ranges) not in (0, 1, len(bands)):
        raise ParameterError("rescale", found=f"{len(wish.ranges)} ranges", expected=f"1 or {len(bands)} ranges")
    if wish.colormap is not None:
        if len(bands) != 1:
            raise ParameterError("colormap_name", found=f"{len(bands)} bands", expected="a single band")
        if wish.colormap not in colormaps.names():
            expected = "one of rio-tiler's colormaps, such as viridis"
            raise ParameterError("colormap_name", found=wish.colormap, expected=expected)
    ranges = wish.ranges * len(bands) if len(wish.ranges) == 1 else wish.ranges
    if wish.colormap is not None and not ranges:
        ranges = _shown_ranges(bands)
    return Picture(bands, ranges, wish.colormap)


def compose(pyramid: Pyramid, wish: Wish, positions: Mapping[str, int] = ANYWHERE) -> Picture:
    """Choose what an image shows; arguments are those of `values_of`.

    Raises
    ------
    ParameterError, UnknownNameError
        If the wish does not fit the pyramid, there are neither one nor three bands, or float data without stored
        statistics have no `rescale`.
    """
    chosen = values_of(pyramid, wish, positions)
    if len(chosen.bands) not in (1, 3):
        raise ParameterError("variable", found=f"{len(chosen.bands)} bands", expected="1 or 3 bands for an image")
    return Picture(chosen.bands, chosen.ranges or _shown_ranges(chosen.bands), chosen.colormap)


def _shown_ranges(bands: tuple[Band, ...]) -> tuple[tuple[float, float], ...]:
    """Ranges by default: none for bytes, which are shown as they are."""
    if all(band.variable.dtype == np.uint8 for band in bands):
        return ()
    return tuple(_stored_range(band) for band in bands)


def _stored_range(band: Band) -> tuple[float, float]:
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
