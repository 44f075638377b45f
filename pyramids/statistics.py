"""One-pass statistics of the finest level: count, extremes, mean, deviation, percentiles.

Each block is summarised by itself and summaries are merged two by two in the order of the quadtree, so the result does
not depend on which thread was quicker. Mean and deviation merge by the formula of Chan, Golub and LeVeque (1983,
"Algorithms for computing the sample variance", The American Statistician 37). Percentiles come from a histogram whose
bins need no advance knowledge of the range: the upper 16 bits of the value written as an order-preserving float32,
which are one bin each for 8-bit integers and no wider than 1/128 of the value anywhere. Inside a bin values are taken
as evenly spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr.errors import ParameterError
from pyramids.kernels import jit, jit_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 1 << 16
_DIGITS = 10  # significant digits of mean and deviation: the last bits depend on the order of summation
_SAFE = 12  # digits counted from the values' size: a mean or deviation of 0 comes out as 1e-14 of it


@dataclass(frozen=True)
class Summary:
    """Statistics of some values.

    Parameters
    ----------
    count : int
        Valid values, infinities included.
    minimum, maximum : float
        Extremes, exact in the dtype of the data (int for integers).
    mean, squares : float
        Mean, and sum of squared deviations from it.
    histogram : ndarray of int64, shape (BINS,), or None
        Values a bin; None where they are counted elsewhere.
    """

    count: int
    minimum: float
    maximum: float
    mean: float
    squares: float
    histogram: NDArray[np.int64] | None

    def merge(self, other: Summary) -> Summary:
        """Summarise both."""
        count = self.count + other.count
        with np.errstate(invalid="ignore"):
            delta = np.float64(other.mean) - np.float64(self.mean)
            mean = self.mean + delta * (other.count / count)
            squares = self.squares + other.squares + delta * delta * (self.count * (other.count / count))
        return Summary(
            count,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            float(mean),
            float(squares),
            None if self.histogram is None or other.histogram is None else self.histogram + other.histogram,
        )

    def percentile(self, share: float) -> float:
        """Estimate the value below which a share (0 to 1) of the values lies, within the width of a bin."""
        if self.histogram is None:
            raise ParameterError("histogram", found=None, expected="the values' histogram")
        target = share * self.count
        below = np.cumsum(self.histogram)
        index = int(np.searchsorted(below, target))
        index = min(index, BINS - 1)
        before = below[index] - self.histogram[index]
        inside = (target - before) / max(1, self.histogram[index])
        low, high = _bin_edges(index)
        estimate = low + (high - low) * min(1.0, max(0.0, float(inside)))
        return float(min(max(estimate, self.minimum), self.maximum))

    def to_attributes(self) -> dict[str, Any]:
        """Return the JSON object written as `statistics`; numbers that are not finite are left out."""
        deviation = float(np.sqrt(self.squares / self.count))
        size = math.hypot(self.mean, deviation)  # root mean square: what the summation's own error is measured by
        numbers = {
            "count": self.count,
            "min": self.minimum,
            "max": self.maximum,
            "mean": _rounded(self.mean, size),
            "std": _rounded(deviation, size),
            "p2": self.percentile(0.02),
            "p98": self.percentile(0.98),
        }
        return {name: number for name, number in numbers.items() if np.isfinite(number)}


def summarise(
    values: NDArray[Any], valid: NDArray[np.bool_], histogram: NDArray[np.int64] | None = None
) -> Summary | None:
    """Summarise the valid values of one block.

    Parameters
    ----------
    values : ndarray, shape (row, col)
        As stored.
    valid : ndarray of bool, shape (row, col)
        True where the pixel holds data.
    histogram : ndarray of int64, shape (BINS,), optional
        Counts to add to, shared by many blocks; by default the summary has its own.

    Returns
    -------
    Summary or None
        None where nothing is valid.
    """
    counts = np.zeros(BINS, np.int64) if histogram is None else histogram
    count, shift, low, high, first, second = _moments(values, valid)
    if count == 0:
        return None
    _count_bins(values, valid, counts, count == values.size)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(np.float64(shift) + first / count)
        squares = max(0.0, float(second - first * (first / count)))
    is_integer = values.dtype.kind != "f"
    return Summary(
        int(count),
        int(low) if is_integer else float(low),
        int(high) if is_integer else float(high),
        mean,
        squares,
        counts if histogram is None else None,
    )


def merge(first: Summary | None, second: Summary | None) -> Summary | None:
    """Merge two summaries, either of which may be missing."""
    if first is None or second is None:
        return first or second
    return first.merge(second)


def _bin_edges(index: int) -> tuple[float, float]:
    """Lower and upper edge of a bin, the inverse of `_bin`."""
    return _from_key(index << 16), _from_key(min((index + 1) << 16, 0xFFFFFFFF))


def _from_key(key: int) -> float:
    bits = key ^ 0x80000000 if key & 0x80000000 else key ^ 0xFFFFFFFF
    value = float(np.array([bits], np.uint32).view(np.float32)[0])
    return value if np.isfinite(value) else float(np.finfo(np.float32).max) * (1 if key & 0x80000000 else -1)


def _rounded(value: float, size: float) -> float:
    """Keep the digits that do not depend on the order of summation, of a number derived from values of a size."""
    if not math.isfinite(value) or not math.isfinite(size) or value == 0:
        return value
    digits = min(_DIGITS - _exponent(value), _SAFE - _exponent(size))
    return round(value, digits - 1) + 0.0  # never -0.0


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)))


@jit
def _moments(values, valid):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba infers
    """Count, a shift, extremes, and sums of `value - shift` and of its square over the valid values.

    The shift is the first valid value: squares of differences from a value among them lose no digits.
    """
    shift = values[0, 0]
    found = False
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            if valid[i, j] and (not found or not np.isfinite(np.float64(shift))):
                shift = values[i, j]
                found = True
        if found and np.isfinite(np.float64(shift)):
            break
    low, high = shift, shift
    count = 0
    first, second = 0.0, 0.0
    middle = np.float64(shift) if np.isfinite(np.float64(shift)) else 0.0
    for i in range(values.shape[0]):
        row_count, row_low, row_high, row_first, row_second = _row_moments(values[i], valid[i], shift, middle)
        count += row_count
        low, high = min(low, row_low), max(high, row_high)
        first += row_first  # summing by rows keeps the rounding error of a million additions small
        second += row_second
    return count, middle, low, high, first, second


@jit_sums
def _row_moments(values, valid, shift, middle):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    low, high = shift, shift
    count = 0
    first, second = 0.0, 0.0
    for j in range(values.shape[0]):
        value = values[j] if valid[j] else shift
        count += 1 if valid[j] else 0
        low = min(low, value)
        high = max(high, value)
        delta = np.float64(value) - middle if valid[j] else 0.0
        first += delta
        second += delta * delta
    return count, low, high, first, second


@jit
def _count_bins(values, valid, histogram, is_whole):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    single = np.empty(values.shape[1], np.float32)
    bits = single.view(np.uint32)
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            single[j] = np.float32(values[i, j])
        for j in range(values.shape[1]):
            # Order-preserving: the sign bit is flipped, and of negative numbers all bits.
            key = np.int64(bits[j])
            key ^= np.int64(0xFFFFFFFF) if key & 0x80000000 else np.int64(0x80000000)
            bits[j] = np.uint32(key >> 16)
        for j in range(values.shape[1]):
            if is_whole or valid[i, j]:
                histogram[bits[j]] += 1
