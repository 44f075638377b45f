"""Accumulators of `average` and `sum`: the sum of the valid finest values under each cell, and how many there are.

Floats are added in float64, integers of up to 32 bits in int64: both hold what 16 levels can bring together. 64-bit
integers would overflow, and float64 would drop their digits, so they are added as two limbs of 32 bits: a value is
`high * 2**32 + low`, and each limb's sum fits int64. All integer results are exact before they are rounded.

A level is rounded to the dtype in one pass that takes no notice of `nodata` but to count how many valid results of a
row equal it. Hardly any row has one; a second pass moves those results by one step.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from pyramids.fold_cells import (
    Array,
    Mask,
    Number,
    check_child,
    check_finest,
    check_stored,
    off_float,
    off_integer,
    quarter_slices,
    select,
)
from pyramids.kernels import jit

_LIMB = 32  # bits
_LOW = 2**_LIMB - 1
_EXACT = 2**52  # sums below: the float64 quotient, rounded half to even, is the exact one rounded half to even


class Sums:
    """Sum and weight of each cell, for floats and for integers of up to 32 bits.

    Parameters
    ----------
    shape : tuple of int
        Cells, (row, col).
    dtype : numpy.dtype
        Of the finest values and of what is stored.
    is_mean : bool
        True: the sum divided by the weight is stored. False: the sum.
    """

    STATE: ClassVar[tuple[str, ...]] = ("total", "weight")

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], *, is_mean: bool) -> None:
        self.shape = shape
        self.dtype = dtype
        self.total = np.zeros(shape, np.float64 if dtype.kind == "f" else np.int64)
        self.weight = np.zeros(shape, np.uint32)
        self._is_mean = is_mean

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return self.total.nbytes + self.weight.nbytes

    @property
    def held(self) -> int:
        """Cells under which there is any value."""
        return int(np.count_nonzero(self.weight))

    def add_finest(self, values: Array, valid: Mask, *, row: int, col: int) -> None:
        """Fold 2 x 2 finest values into each cell from (row, col) on."""
        check_finest(self, values, valid, row=row, col=col)
        _fold(values, valid.view(np.uint8), self.total, self.weight, row, col)

    def add(self, child: Sums, *, row: int, col: int) -> None:
        """Fold 2 x 2 cells of a finished child into each cell from (row, col) on."""
        check_child(self, child, row=row, col=col)
        _fold(child.total, child.weight, self.total, self.weight, row, col)

    def paste(self, quarter: Sums, *, row: int, col: int) -> None:
        """Put cells that are folded already at their place."""
        where = quarter_slices(self, quarter, row=row, col=col)
        self.total[where] = quarter.total
        self.weight[where] = quarter.weight

    def rounded(self, values: Array, valid: Mask, *, nodata: float, is_nodata: bool) -> int:
        """Write what is stored: see `Accumulator.rounded`.

        Integers are rounded half to even, and sums of integers saturate. Infinities of both signs under one cell give
        no data.
        """
        check_stored(self, values, valid)
        out = (values, valid.view(np.uint8), self.dtype.type(nodata), is_nodata)
        if self.dtype.kind == "f":
            return _round_floats(self.total, self.weight, *out, self._is_mean)
        info = np.iinfo(self.dtype)
        round_integers = _round_means if self._is_mean else _round_sums
        return round_integers(self.total, self.weight, *out, self.dtype.type(info.min), self.dtype.type(info.max))

    def clear(self) -> None:
        """Become empty again."""
        self.weight.fill(0)  # a sum without weight is not looked at


class WideSums:
    """Sum, as two limbs, and weight of each cell, for integers of 64 bits.

    Parameters
    ----------
    shape, dtype, is_mean
        As for `Sums`.
    """

    STATE: ClassVar[tuple[str, ...]] = ("high", "low", "weight")

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], *, is_mean: bool) -> None:
        self.shape = shape
        self.dtype = dtype
        self.high = np.zeros(shape, np.int64)
        self.low = np.zeros(shape, np.int64)
        self.weight = np.zeros(shape, np.uint32)
        self._is_mean = is_mean

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return self.high.nbytes + self.low.nbytes + self.weight.nbytes

    def add_finest(self, values: Array, valid: Mask, *, row: int, col: int) -> None:
        """Fold 2 x 2 finest values into each cell from (row, col) on."""
        check_finest(self, values, valid, row=row, col=col)
        _fold_limbs(values, valid.view(np.uint8), self.high, self.low, self.weight, row, col)

    def add(self, child: WideSums, *, row: int, col: int) -> None:
        """Fold 2 x 2 cells of a finished child into each cell from (row, col) on."""
        check_child(self, child, row=row, col=col)
        _fold(child.high, child.weight, self.high, self.weight, row, col)
        _fold(child.low, child.weight, self.low, self.weight, row, col)

    def paste(self, quarter: WideSums, *, row: int, col: int) -> None:
        """Put cells that are folded already at their place."""
        where = quarter_slices(self, quarter, row=row, col=col)
        self.high[where] = quarter.high
        self.low[where] = quarter.low
        self.weight[where] = quarter.weight

    def rounded(self, values: Array, valid: Mask, *, nodata: float, is_nodata: bool) -> int:
        """Write what is stored: see `Sums.rounded`."""
        check_stored(self, values, valid)
        round_limbs = _round_wide_means if self._is_mean else _round_wide_sums
        info = np.iinfo(self.dtype)
        ends = self.dtype.type(info.min), self.dtype.type(info.max)
        none = self.dtype.type(nodata)
        return round_limbs(self.high, self.low, self.weight, values, valid.view(np.uint8), none, is_nodata, *ends)

    def clear(self) -> None:
        """Become empty again."""
        self.weight.fill(0)


@jit
def _window(
    upper: Array,
    lower: Array,
    shares: Array,
    lower_shares: Array,
    left: Number,
    right: Number,
    below: Number,
    beside: Number,
    zero: Number,
) -> Number:
    """Add up one window: sum and weight. `below` and `beside` are 0 where its second row or column lacks, else 1."""
    a = np.uint32(shares[left])
    b = np.uint32(shares[right]) * beside
    c = np.uint32(lower_shares[left]) * below
    d = np.uint32(lower_shares[right]) * below * beside
    top = select(a, upper[left] + zero, zero) + select(b, upper[right] + zero, zero)
    bottom = select(c, lower[left] + zero, zero) + select(d, lower[right] + zero, zero)
    return top + bottom, (a + b) + (c + d)


@jit
def _fold(values: Array, share: Array, total: Array, weight: Array, row: Number, col: Number) -> None:
    """Add up windows: of values, whose share is 0 or 1, or of sums, whose share is their weight."""
    rows, cols = values.shape
    one, two, none = np.uintp(1), np.uintp(2), np.uint32(0)
    pairs, last = np.uintp(cols // 2), np.uintp(cols - 1)
    zero = total.dtype.type(0)
    for i in range((rows + 1) // 2):
        first = 2 * i
        second = min(first + 1, rows - 1)
        below = np.uint32(second - first)
        upper, lower, shares, lower_shares = values[first], values[second], share[first], share[second]
        sums, weights = total[row + i, col:], weight[row + i, col:]
        for j in range(pairs):
            left = two * j
            sums[j], weights[j] = _window(
                upper, lower, shares, lower_shares, left, left + one, below, np.uint32(1), zero
            )
        if cols % 2 == 1:
            sums[pairs], weights[pairs] = _window(upper, lower, shares, lower_shares, last, last, below, none, zero)


@jit
def _limbs(
    upper: Array,
    lower: Array,
    mask: Array,
    lower_mask: Array,
    left: Number,
    right: Number,
    below: Number,
    beside: Number,
) -> Number:
    """Add up the limbs, and the weight, of one window; `below` and `beside` as for `_window`."""
    kind = upper.dtype.type
    a, b = np.int64(mask[left]), np.int64(mask[right]) * beside
    c, d = np.int64(lower_mask[left]) * below, np.int64(lower_mask[right]) * below * beside
    p, q, r, s = upper[left], upper[right], lower[left], lower[right]
    limb, low = kind(_LIMB), kind(_LOW)
    above = np.int64(p >> limb) * a + np.int64(q >> limb) * b + np.int64(r >> limb) * c + np.int64(s >> limb) * d
    under = np.int64(p & low) * a + np.int64(q & low) * b + np.int64(r & low) * c + np.int64(s & low) * d
    return above, under, np.uint32((a + b) + (c + d))


@jit
def _fold_limbs(values: Array, valid: Array, high: Array, low: Array, weight: Array, row: Number, col: Number) -> None:
    """Add up windows of 64-bit values, limb by limb."""
    rows, cols = values.shape
    one, two, none = np.uintp(1), np.uintp(2), np.int64(0)
    pairs, last = np.uintp(cols // 2), np.uintp(cols - 1)
    for i in range((rows + 1) // 2):
        first = 2 * i
        second = min(first + 1, rows - 1)
        below = np.int64(second - first)
        upper, lower, mask, lower_mask = values[first], values[second], valid[first], valid[second]
        above, under, weights = high[row + i, col:], low[row + i, col:], weight[row + i, col:]
        for j in range(pairs):
            left = two * j
            above[j], under[j], weights[j] = _limbs(
                upper, lower, mask, lower_mask, left, left + one, below, np.int64(1)
            )
        if cols % 2 == 1:
            above[pairs], under[pairs], weights[pairs] = _limbs(upper, lower, mask, lower_mask, last, last, below, none)


@jit
def _round_floats(
    total: Array, weight: Array, values: Array, valid: Array, nodata: Number, is_nodata: bool, is_mean: bool
) -> int:
    """Divide, and round to the dtype. A sum of infinities of both signs is NaN, and no data."""
    cells = np.uintp(total.shape[1])
    kind = values.dtype.type
    count = 0
    for i in range(total.shape[0]):
        sums, weights, out, mask = total[i], weight[i], values[i], valid[i]
        hits = 0
        for j in range(cells):
            exact = sums[j] / np.float64(weights[j] if is_mean else min(weights[j], np.uint32(1)))
            value = kind(exact)
            is_valid = (weights[j] != 0) & (not np.isnan(exact))
            out[j] = select(is_valid, value, nodata)
            mask[j] = is_valid
            count += is_valid
            hits += is_valid & (value == nodata)
        if is_nodata and hits > 0:
            for j in range(cells):
                if mask[j] and out[j] == nodata:
                    exact = sums[j] / np.float64(weights[j] if is_mean else 1)
                    out[j] = off_float(nodata, exact)
    return count


@jit
def _round_means(
    total: Array,
    weight: Array,
    values: Array,
    valid: Array,
    nodata: Number,
    is_nodata: bool,
    smallest: Number,
    largest: Number,
) -> int:
    """Divide integers and round half to even."""
    cells = np.uintp(total.shape[1])
    kind = values.dtype.type
    count = 0
    for i in range(total.shape[0]):
        sums, weights, out, mask = total[i], weight[i], values[i], valid[i]
        reach = np.int64(0)
        for j in range(cells):
            reach = max(reach, abs(sums[j]))
        hits = 0
        if reach < _EXACT:
            # |total| < 2**52 makes the quotient's error smaller than 1 / (2 weight), the least distance from a half.
            for j in range(cells):
                is_valid = weights[j] != 0
                value = kind(np.int64(np.rint(np.float64(sums[j]) / np.float64(max(weights[j], np.uint32(1))))))
                out[j] = select(is_valid, value, nodata)
                mask[j] = is_valid
                count += is_valid
                hits += is_valid & (value == nodata)
        else:
            for j in range(cells):
                is_valid = weights[j] != 0
                value = kind(_mean(sums[j], max(np.int64(weights[j]), np.int64(1))))
                out[j] = select(is_valid, value, nodata)
                mask[j] = is_valid
                count += is_valid
                hits += is_valid & (value == nodata)
        if is_nodata and hits > 0:
            for j in range(cells):
                if mask[j] and out[j] == nodata:
                    out[j] = off_integer(nodata, sums[j] >= np.int64(nodata) * np.int64(weights[j]), smallest, largest)
    return count


@jit
def _mean(total: Number, weight: Number) -> Number:
    quotient = total // weight  # floor
    twice = 2 * (total - quotient * weight)
    return quotient + ((twice > weight) | ((twice == weight) & (quotient & 1 == 1)))


@jit
def _round_sums(
    total: Array,
    weight: Array,
    values: Array,
    valid: Array,
    nodata: Number,
    is_nodata: bool,
    smallest: Number,
    largest: Number,
) -> int:
    """Clip sums of integers to the dtype."""
    cells = np.uintp(total.shape[1])
    kind = values.dtype.type
    count = 0
    for i in range(total.shape[0]):
        sums, weights, out, mask = total[i], weight[i], values[i], valid[i]
        hits = 0
        for j in range(cells):
            is_valid = weights[j] != 0
            value = kind(min(max(sums[j], np.int64(smallest)), np.int64(largest)))
            out[j] = select(is_valid, value, nodata)
            mask[j] = is_valid
            count += is_valid
            hits += is_valid & (value == nodata)
        if is_nodata and hits > 0:
            for j in range(cells):
                if mask[j] and out[j] == nodata:
                    out[j] = off_integer(nodata, True, smallest, largest)
    return count


@jit
def _round_wide_means(
    high: Array,
    low: Array,
    weight: Array,
    values: Array,
    valid: Array,
    nodata: Number,
    is_nodata: bool,
    smallest: Number,
    largest: Number,
) -> int:
    """Divide limb by limb and round half to even.

    Weights stay below 2**31, so what the high limb leaves over, times 2**32, plus the low limb, fits int64.
    """
    kind = values.dtype.type
    count = 0
    for i in range(high.shape[0]):
        for j in range(high.shape[1]):
            divisor = np.int64(weight[i, j])
            valid[i, j] = divisor != 0
            if divisor == 0:
                values[i, j] = nodata
                continue
            count += 1
            quotient = high[i, j] // divisor
            left = ((high[i, j] - quotient * divisor) << _LIMB) + low[i, j]
            rest = left // divisor
            twice = 2 * (left - rest * divisor)
            up = (twice > divisor) | ((twice == divisor) & (rest & 1 == 1))
            value = kind((quotient << _LIMB) + rest + np.int64(up))  # modulo 2**64: right for uint64 too
            if is_nodata and value == nodata:
                value = off_integer(nodata, not up, smallest, largest)  # rounded up to it: the exact mean is below
            values[i, j] = value
    return count


@jit
def _round_wide_sums(
    high: Array,
    low: Array,
    weight: Array,
    values: Array,
    valid: Array,
    nodata: Number,
    is_nodata: bool,
    smallest: Number,
    largest: Number,
) -> int:
    """Put the limbs together, clipped to the dtype."""
    kind = values.dtype.type
    least, most = np.int64(smallest >> kind(_LIMB)), np.int64(largest >> kind(_LIMB))
    count = 0
    for i in range(high.shape[0]):
        for j in range(high.shape[1]):
            valid[i, j] = weight[i, j] != 0
            if weight[i, j] == 0:
                values[i, j] = nodata
                continue
            count += 1
            above = high[i, j] + (low[i, j] >> _LIMB)
            if above > most:
                value = largest
            elif above < least:
                value = smallest
            else:
                value = kind((above << _LIMB) + (low[i, j] & _LOW))
            if is_nodata and value == nodata:
                value = off_integer(nodata, True, smallest, largest)
            values[i, j] = value
    return count
