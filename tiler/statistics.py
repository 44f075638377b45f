"""Statistics of a block, with the keys and definitions of rio-tiler and TiTiler.

`count`, `sum`, `mean`, `std`, `median` and percentiles take into account how much of a cell counts, where that is
given; all else counts whole cells. A quantile is a value that occurs: the least one up to which there is the share
asked for. Results of whole numbers are whole and exact wherever they can be, 64-bit integers included.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr.errors import GridMismatchError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tiler.block import Block

MAX_PERCENTILES = 32
MAX_BINS = 1024
MAX_CATEGORIES = 1024
_LARGE = 1e307  # beyond it, the width of a range may be no float64


@dataclass(frozen=True)
class StatisticsOptions:
    """What is computed.

    Parameters
    ----------
    percentiles : tuple of int
        At most 32 from 0 to 100.
    bins : int or tuple of float
        Bins of the histogram, at most 1024, of equal width; or their edges, increasing.
    histogram_range : tuple of (float, float), or None
        First and last edge of bins of equal width; None: the least and the greatest value.
    categorical : bool
        Whether the histogram counts single values instead.
    categories : tuple of int or float
        Which values those are, at most 1024; empty: all that occur.

    Raises
    ------
    ParameterError
        If anything is out of its range; named as TiTiler's parameters are: `p`, `histogram_bins`, `histogram_range`,
        `c`.
    """

    percentiles: tuple[int, ...] = (2, 98)
    bins: int | tuple[float, ...] = 10
    histogram_range: tuple[float, float] | None = None
    categorical: bool = False
    categories: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check("p", self.percentiles, len(self.percentiles) <= MAX_PERCENTILES, f"at most {MAX_PERCENTILES}")
        is_whole = all(type(percent) is int and 0 <= percent <= 100 for percent in self.percentiles)
        _check("p", self.percentiles, is_whole, "whole numbers from 0 to 100")
        _check("p", self.percentiles, len(set(self.percentiles)) == len(self.percentiles), "each once")
        count = self.bins if isinstance(self.bins, int) else len(self.bins) - 1
        _check("histogram_bins", count, 1 <= count <= MAX_BINS, f"1 to {MAX_BINS} bins")
        if not isinstance(self.bins, int):
            _check("histogram_bins", self.bins, _is_increasing(self.bins), "finite edges that increase")
        if self.histogram_range is not None:
            _check(
                "histogram_range", self.histogram_range, _is_increasing(self.histogram_range), "min,max, min below max"
            )
        _check("c", len(self.categories), len(self.categories) <= MAX_CATEGORIES, f"at most {MAX_CATEGORIES} values")
        _check("c", self.categories, all(map(math.isfinite, self.categories)), "finite numbers")


def statistics(
    block: Block, options: StatisticsOptions | None = None, *, weights: NDArray[np.floating[Any]] | None = None
) -> list[dict[str, Any]]:
    """Compute statistics of each band.

    Parameters
    ----------
    block : Block
        Values and mask; what is no finite number is not valid either.
    options : StatisticsOptions or None
        What is computed; None: the defaults.
    weights : ndarray of float, shape (row, col), or None
        Share of each cell that counts, 0 to 1; None: all of each.

    Returns
    -------
    list of dict
        JSON for each band: `min`, `max`, `mean`, `count`, `sum`, `std` (of the population), `median`, `majority` and
        `minority` (the least of those that are as frequent), `unique` (how many values), `percentile_<p>`,
        `histogram` ([counts, edges], or [counts, values]), `valid_percent`, `masked_pixels`, `valid_pixels`. Null
        where there is no number.

    Raises
    ------
    GridMismatchError
        If the weights have another shape.
    ParameterError
        If more than 1024 different values are to be counted one by one.

    References
    ----------
    `rio_tiler.utils.get_array_statistics`.
    """
    options = options or StatisticsOptions()
    shape = block.values.shape[1:]
    if weights is not None and weights.shape != shape:
        raise GridMismatchError("shape of weights", found=weights.shape, expected=shape)
    covered = math.prod(shape) if weights is None else int(np.count_nonzero(weights))
    found = []
    for band, mask in zip(block.values, block.mask, strict=True):
        valid = mask & np.isfinite(band)
        values = band[valid] if band.dtype.kind != "b" else band[valid].astype(np.uint8)
        shares = None if weights is None else weights[valid].astype(np.float64)
        pixels = {
            "valid_percent": round(min(values.size / covered, 1.0) * 100, 2) if covered else 0.0,
            "masked_pixels": valid.size - values.size,
            "valid_pixels": values.size,
        }
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is null
            found.append({**_of_values(values, shares, options), **pixels})
    return found


def _of_values(values: NDArray[Any], weights: NDArray[np.float64] | None, options: StatisticsOptions) -> dict[str, Any]:
    """Compute statistics of valid values, shape (cell,)."""
    quantiles = _quantiles(values, weights, [percent / 100.0 for percent in (*options.percentiles, 50)])
    keys, counts = np.unique(values, return_counts=True)
    return {
        "min": _number(keys[0]) if keys.size else None,
        "max": _number(keys[-1]) if keys.size else None,
        **_moments(values, weights),
        "median": quantiles[-1],
        "majority": _number(keys[counts.argmax()]) if keys.size else None,
        "minority": _number(keys[counts.argmin()]) if keys.size else None,
        "unique": keys.size,
        **{f"percentile_{percent}": value for percent, value in zip(options.percentiles, quantiles, strict=False)},
        "histogram": _categories(keys, counts, options) if options.categorical else _histogram(values, options),
    }


def _moments(values: NDArray[Any], weights: NDArray[np.float64] | None) -> dict[str, Any]:
    if weights is None:
        count: float = values.size
        total = _exact_sum(values)
    else:
        count = float(weights.sum())
        total = float((values * weights).sum())
    if not count:
        return {"mean": None, "count": count, "sum": _number(total), "std": None}
    mean = total / count
    squares = np.square(values.astype(np.float64) - mean)
    variance = float(squares.mean()) if weights is None else float((squares * weights).sum()) / count
    return {"mean": _number(mean), "count": count, "sum": _number(total), "std": _number(math.sqrt(variance))}


def _exact_sum(values: NDArray[Any]) -> float:
    """Sum of values; exact, as an int, for whole numbers."""
    if values.dtype.kind == "f":
        return float(values.sum(dtype=np.float64))
    if values.dtype.itemsize < 8:
        return int(values.sum(dtype=np.int64))
    low, high = values & 0xFFFFFFFF, values >> 32  # halves, so that 2**31 of them cannot overflow
    return (int(high.sum()) << 32) + int(low.sum())


def _quantiles(values: NDArray[Any], weights: NDArray[np.float64] | None, shares: list[float]) -> list[Any]:
    """Least values up to which there are the shares of all cells; None where nothing counts."""
    if not values.size:
        return [None] * len(shares)
    if weights is None:
        ordered, cumulated = np.sort(values), np.arange(1.0, values.size + 1)
    else:
        order = np.argsort(values)
        ordered, cumulated = values[order], np.cumsum(weights[order])
    if not cumulated[-1] > 0:
        return [None] * len(shares)
    return [_number(ordered[place]) for place in np.searchsorted(cumulated, np.array(shares) * cumulated[-1])]


def _histogram(values: NDArray[Any], options: StatisticsOptions) -> list[list[Any]]:
    """Count values between edges; a bin holds its lower edge, and the last one its upper edge too."""
    numbers = values.astype(np.float64)
    if isinstance(options.bins, int):
        low, high = options.histogram_range or ((numbers.min(), numbers.max()) if numbers.size else (0.0, 1.0))
        edges = _edges(float(low), float(high), options.bins)
    else:
        edges = np.array(options.bins, np.float64)
    counts, _ = np.histogram(numbers, edges)
    return [counts.tolist(), edges.tolist()]


def _edges(low: float, high: float, bins: int) -> NDArray[np.float64]:
    """Edges of bins of equal width, made wider where there are not as many numbers between the two.

    Numpy widens a range by a half on either side where both ends are one number, and gives up where they are next to
    each other.
    """
    size = max(abs(low), abs(high))
    if size > _LARGE:
        return np.clip(_edges(low / 16, high / 16, bins) * 16, -sys.float_info.max, sys.float_info.max)
    edges = np.linspace(low, high, bins + 1)
    if (np.diff(edges) > 0).all():
        return edges
    pad = max(0.5, 2.0 * bins * math.ulp(size))
    return np.linspace(low - pad, high + pad, bins + 1)


def _categories(keys: NDArray[Any], counts: NDArray[np.int64], options: StatisticsOptions) -> list[list[Any]]:
    """Count values one by one."""
    if not options.categories:
        if keys.size > MAX_CATEGORIES:
            expected = f"at most {MAX_CATEGORIES} different values, or those to count named in c"
            raise ParameterError("categorical", found=f"{keys.size} different values", expected=expected)
        return [counts.tolist(), keys.tolist()]
    frequency = dict(zip(keys.tolist(), counts.tolist(), strict=True))
    # A category of floats means the float of the data's type that is written so.
    asked = np.array(options.categories, keys.dtype).tolist() if keys.dtype.kind == "f" else options.categories
    return [[frequency.get(value, 0) for value in asked], list(options.categories)]


def _number(value: Any) -> Any:
    """Python's number of one of numpy's; None for what JSON cannot say."""
    number = value.item() if isinstance(value, np.generic) else value
    return number if math.isfinite(number) else None


def _is_increasing(numbers: tuple[float, ...]) -> bool:
    return all(map(math.isfinite, numbers)) and all(a < b for a, b in pairwise(numbers))


def _check(parameter: str, found: object, is_right: bool, expected: str) -> None:
    if not is_right:
        raise ParameterError(parameter, found=found, expected=expected)
