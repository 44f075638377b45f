"""Accumulators of `mode` and `median`: each distinct finest value under a cell, and how often it occurs there.

Neither method can be told from results of the level below: the mode of modes is not the mode. So each cell carries a
run of pairs (value, count), sorted by value, and a parent's run is the merge of its four children's. Runs lie in one
pool, in the order in which they are made; a cell knows where its own starts and how long it is. So blocks may be
folded in any order, and a pool is copied as one piece when a quarter is pasted.

The pool doubles when it is full and is kept for the next block. A kernel stops before the first row of cells that might
not fit, and is called again when there is room. What is carried grows with depth where values are many: a median of
float data carries every finest value. Hence the bound, `most_pairs`.

Land cover is mostly windows of one class: those are found by comparing, without sorting or merging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from geozarr.errors import LimitError
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
)
from pyramids.kernels import jit

if TYPE_CHECKING:
    from collections.abc import Callable

POOL_LIMIT = 2**32 - 1  # pairs: starts are uint32; such a pool would take 20 GiB or more
COUNT_BYTES = 4
CELL_BYTES = 8  # start and length, uint32 each


class Runs:
    """Distinct values and counts of each cell.

    After a `LimitError` the contents are undefined until `clear`.

    Parameters
    ----------
    shape : tuple of int
        Cells, (row, col).
    dtype : numpy.dtype
        Of the finest values and of what is stored.
    is_median : bool
        True: the median is stored. False: the mode.
    most_pairs : int
        Pairs that the cells of the block may hold together.
    """

    STATE: ClassVar[tuple[str, ...]] = ("start", "length", "values", "counts")

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], *, is_median: bool, most_pairs: int) -> None:
        self.shape = shape
        self.dtype = dtype
        self.start = np.zeros(shape, np.uint32)
        self.length = np.zeros(shape, np.uint32)
        self.values = np.empty(0, dtype)
        self.counts = np.empty(0, np.uint32)
        self.used = 0
        self._is_median = is_median
        self._most_pairs = min(most_pairs, POOL_LIMIT)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes, with the room that is kept for growing."""
        return self.start.nbytes + self.length.nbytes + self.values.nbytes + self.counts.nbytes

    @property
    def held(self) -> int:
        """Cells under which there is any value."""
        return int(np.count_nonzero(self.length))

    def add_finest(self, values: Array, valid: Mask, *, row: int, col: int) -> None:
        """Count the values of 2 x 2 finest ones for each cell from (row, col) on.

        Raises
        ------
        LimitError
            If the block would hold more pairs than allowed.
        """
        check_finest(self, values, valid, row=row, col=col)
        rows, cols = (values.shape[0] + 1) // 2, (values.shape[1] + 1) // 2
        largest = np.inf if self.dtype.kind == "f" else np.iinfo(self.dtype).max
        given = (values, valid, self.dtype.type(largest), row, col)
        self._reserve(min(self.used + rows * cols, self._most_pairs))  # enough where each window is of one class
        self._fill(_count, given, rows)

    def add(self, child: Runs, *, row: int, col: int) -> None:
        """Merge the runs of 2 x 2 cells of a finished child for each cell from (row, col) on.

        Raises
        ------
        LimitError
            If the block would hold more pairs than allowed.
        """
        check_child(self, child, row=row, col=col)
        rows = (child.shape[0] + 1) // 2
        self._fill(_merge_children, (child.start, child.length, child.values, child.counts, row, col), rows)

    def paste(self, quarter: Runs, *, row: int, col: int) -> None:
        """Put cells that are counted already at their place.

        Raises
        ------
        LimitError
            If the block would hold more pairs than allowed.
        """
        where = quarter_slices(self, quarter, row=row, col=col)
        first, stop = self.used, self.used + quarter.used
        self._check(stop)
        self._reserve(stop)
        self.values[first:stop] = quarter.values[: quarter.used]
        self.counts[first:stop] = quarter.counts[: quarter.used]
        np.add(quarter.start, np.uint32(first), out=self.start[where])
        self.length[where] = quarter.length
        self.used = stop

    def rounded(self, values: Array, valid: Mask, *, nodata: float, is_nodata: bool) -> int:
        """Write what is stored: see `Accumulator.rounded`.

        Of classes that are equally frequent, the mode is the smallest. The median of an even number of values is the
        mean of the two in the middle: rounded half to even for integers, and no data for infinities of both signs.
        """
        check_stored(self, values, valid)
        runs = (self.start, self.length, self.values, self.counts)
        none = self.dtype.type(nodata)
        if not self._is_median:
            return _modes(*runs, values, valid, none)
        if self.dtype.kind == "f":
            return _float_medians(*runs, values, valid, none, is_nodata)
        info = np.iinfo(self.dtype)
        ends = self.dtype.type(info.min), self.dtype.type(info.max)
        return _integer_medians(*runs, values, valid, none, is_nodata, *ends)

    def trim(self) -> None:
        """Give back the room that is kept for growing."""
        self.values, self.counts = self.values[: self.used], self.counts[: self.used]

    def clear(self) -> None:
        """Become empty again, and keep the pool."""
        self.length.fill(0)
        self.used = 0

    def _fill(self, kernel: Callable[..., tuple[Number, Number, Number]], given: tuple[Any, ...], rows: int) -> None:
        done = 0
        while done < rows:
            pool = (self.start, self.length, self.values, self.counts)
            done, self.used, needed = kernel(*given, *pool, done, self.used)
            self._check(self.used)
            self._reserve(needed)

    def _check(self, pairs: int) -> None:
        if pairs > self._most_pairs:
            raise LimitError("distinct values under the cells of a block", allowed=self._most_pairs, found=pairs)

    def _reserve(self, pairs: int) -> None:
        """Make room for so many pairs; at least double, but beyond the bound only as far as needed."""
        if pairs <= self.values.size:
            return
        size = max(pairs, min(2 * self.values.size, self._most_pairs))
        values, counts = np.empty(size, self.dtype), np.empty(size, np.uint32)
        values[: self.used] = self.values[: self.used]
        counts[: self.used] = self.counts[: self.used]
        self.values, self.counts = values, counts


@jit
def _count(
    values: Array,
    valid: Array,
    largest: Number,
    row: Number,
    col: Number,
    start: Array,
    length: Array,
    pool: Array,
    counts: Array,
    done: Number,
    used: Number,
) -> tuple[Number, Number, Number]:
    """Make runs of 2 x 2 values, from a row of cells on; return (rows done, pairs used, pairs needed to go on)."""
    rows, cols = values.shape
    across = (cols + 1) // 2
    for i in range(done, (rows + 1) // 2):
        if used + 4 * across > pool.size:
            return i, used, used + 4 * across
        first = 2 * i
        second = min(first + 1, rows - 1)
        below = second > first
        for j in range(across):
            left = 2 * j
            right = min(left + 1, cols - 1)
            beside = right > left
            a, b, c, d = values[first, left], values[first, right], values[second, left], values[second, right]
            has_a, has_b = valid[first, left], valid[first, right] & beside
            has_c, has_d = valid[second, left] & below, valid[second, right] & below & beside
            start[row + i, col + j] = used
            if has_a & has_b & has_c & has_d & (a == b) & (a == c) & (a == d):
                pool[used], counts[used] = a, np.uint32(4)
                length[row + i, col + j] = 1
                used += 1
                continue
            found = np.int64(has_a) + np.int64(has_b) + np.int64(has_c) + np.int64(has_d)
            a = a if has_a else largest  # what is invalid goes to the end; only the first `found` are looked at
            b = b if has_b else largest
            c = c if has_c else largest
            d = d if has_d else largest
            distinct = _write_run(a, b, c, d, found, pool, counts, used)
            length[row + i, col + j] = distinct
            used += distinct
    return (rows + 1) // 2, used, used


@jit
def _write_run(
    a: Number, b: Number, c: Number, d: Number, found: Number, pool: Array, counts: Array, used: Number
) -> Number:
    """Sort four values, write the first `found` of them as a run, and return its length.

    All four places are written: what lies beyond the run is overwritten by the next one.
    """
    a, b = min(a, b), max(a, b)
    c, d = min(c, d), max(c, d)
    a, c = min(a, c), max(a, c)
    b, d = min(b, d), max(b, d)
    b, c = min(b, c), max(b, c)
    pool[used] = a
    counts[used] = np.uint32(1)
    at = used + np.int64((b != a) | (found == 1))
    pool[at] = b
    counts[at] = np.uint32(1) if at > used else np.uint32(2)
    distinct = np.int64(found > 0) + np.int64((found > 1) & (b != a))
    before = at
    at += np.int64((c != b) | (found == 2))
    pool[at] = c
    counts[at] = np.uint32(1) if at > before else counts[at] + np.uint32(1)
    distinct += np.int64((found > 2) & (c != b))
    before = at
    at += np.int64((d != c) | (found == 3))
    pool[at] = d
    counts[at] = np.uint32(1) if at > before else counts[at] + np.uint32(1)
    return distinct + np.int64((found > 3) & (d != c))


@jit
def _merge_children(
    child_start: Array,
    child_length: Array,
    child_pool: Array,
    child_counts: Array,
    row: Number,
    col: Number,
    start: Array,
    length: Array,
    pool: Array,
    counts: Array,
    done: Number,
    used: Number,
) -> tuple[Number, Number, Number]:
    """Merge the runs of 2 x 2 cells, from a row of cells on; return as `_count` does."""
    rows, cols = child_start.shape
    for i in range(done, (rows + 1) // 2):
        first = 2 * i
        second = min(first + 1, rows - 1)
        below = np.int64(second - first)
        at_most: Number = 0
        for j in range(cols):
            at_most += np.int64(child_length[first, j]) + np.int64(child_length[second, j]) * below
        # Half-merged runs lie in the pool too, beyond the run that is being made.
        if used + 2 * at_most > pool.size:
            return i, used, used + 2 * at_most
        for j in range((cols + 1) // 2):
            left = 2 * j
            right = min(left + 1, cols - 1)
            beside = np.int64(right - left)
            a, b = np.int64(child_start[first, left]), np.int64(child_start[first, right])
            c, d = np.int64(child_start[second, left]), np.int64(child_start[second, right])
            a_size, b_size = np.int64(child_length[first, left]), np.int64(child_length[first, right]) * beside
            c_size = np.int64(child_length[second, left]) * below
            d_size = np.int64(child_length[second, right]) * below * beside
            start[row + i, col + j] = used
            if (a_size == 1) & (b_size == 1) & (c_size == 1) & (d_size == 1):
                value = child_pool[a]
                if (child_pool[b] == value) & (child_pool[c] == value) & (child_pool[d] == value):
                    pool[used] = value
                    counts[used] = (child_counts[a] + child_counts[b]) + (child_counts[c] + child_counts[d])
                    length[row + i, col + j] = 1
                    used += 1
                    continue
            upper = used + a_size + b_size + c_size + d_size
            lower = _merge(child_pool, child_counts, a, a + a_size, b, b + b_size, pool, counts, upper)
            stop = _merge(child_pool, child_counts, c, c + c_size, d, d + d_size, pool, counts, lower)
            merged = _merge(pool, counts, upper, lower, lower, stop, pool, counts, used)
            length[row + i, col + j] = merged - used
            used = merged
    return (rows + 1) // 2, used, used


@jit
def _merge(
    pool: Array,
    counts: Array,
    a: Number,
    a_stop: Number,
    b: Number,
    b_stop: Number,
    merged_pool: Array,
    merged_counts: Array,
    at: Number,
) -> Number:
    """Merge two sorted runs, adding counts of equal values; return where the merged run ends."""
    while a < a_stop and b < b_stop:
        x, y = pool[a], pool[b]
        has_x, has_y = x <= y, y <= x
        merged_pool[at] = x if has_x else y
        merged_counts[at] = counts[a] * np.uint32(has_x) + counts[b] * np.uint32(has_y)
        a += np.int64(has_x)
        b += np.int64(has_y)
        at += 1
    for k in range(a, a_stop):
        merged_pool[at], merged_counts[at] = pool[k], counts[k]
        at += 1
    for k in range(b, b_stop):
        merged_pool[at], merged_counts[at] = pool[k], counts[k]
        at += 1
    return at


@jit
def _modes(start: Array, length: Array, pool: Array, counts: Array, values: Array, valid: Array, nodata: Number) -> int:
    found = 0
    for i in range(start.shape[0]):
        for j in range(start.shape[1]):
            size = np.int64(length[i, j])
            valid[i, j] = size > 0
            if size == 0:
                values[i, j] = nodata
                continue
            found += 1
            best: Number = np.int64(start[i, j])
            for k in range(best + 1, np.int64(start[i, j]) + size):
                if counts[k] > counts[best]:  # of equally frequent ones the first stays, which is the smallest
                    best = k
            values[i, j] = pool[best]
    return found


@jit
def _middle(first: Number, size: Number, pool: Array, counts: Array) -> tuple[Number, Number]:
    """Return the two values in the middle of a run; the same one twice where their number is odd."""
    total = np.int64(0)
    for k in range(first, first + size):
        total += np.int64(counts[k])
    lower, upper = first, first
    before = np.int64(counts[first])  # values up to and with `lower`
    while before <= (total - 1) // 2:
        lower += 1
        before += np.int64(counts[lower])
    upper = lower if before > total // 2 else lower + 1
    return pool[lower], pool[upper]


@jit
def _integer_medians(
    start: Array,
    length: Array,
    pool: Array,
    counts: Array,
    values: Array,
    valid: Array,
    nodata: Number,
    is_nodata: bool,
    smallest: Number,
    largest: Number,
) -> int:
    kind = values.dtype.type
    found = 0
    for i in range(start.shape[0]):
        for j in range(start.shape[1]):
            valid[i, j] = length[i, j] > 0
            if length[i, j] == 0:
                values[i, j] = nodata
                continue
            found += 1
            a, b = _middle(np.int64(start[i, j]), np.int64(length[i, j]), pool, counts)
            floor = kind((a & b) + (kind(a ^ b) >> kind(1)))  # of (a + b) / 2, which may not fit the dtype
            up = kind(kind(a ^ b) & floor & kind(1))  # a half beside an odd number
            value = kind(floor + up)
            if is_nodata and value == nodata:
                value = off_integer(nodata, up == 0, smallest, largest)
            values[i, j] = value
    return found


@jit
def _float_medians(
    start: Array,
    length: Array,
    pool: Array,
    counts: Array,
    values: Array,
    valid: Array,
    nodata: Number,
    is_nodata: bool,
) -> int:
    kind = values.dtype.type
    found = 0
    for i in range(start.shape[0]):
        for j in range(start.shape[1]):
            exact = np.nan
            if length[i, j] > 0:
                a, b = _middle(np.int64(start[i, j]), np.int64(length[i, j]), pool, counts)
                exact = (np.float64(a) + np.float64(b)) / 2.0
                if np.isinf(exact) and np.isfinite(a) and np.isfinite(b):
                    exact = np.float64(a) / 2.0 + np.float64(b) / 2.0  # their sum is beyond float64, their mean is not
            valid[i, j] = not np.isnan(exact)
            if np.isnan(exact):
                values[i, j] = nodata
                continue
            found += 1
            value = kind(exact)
            if is_nodata and value == nodata:
                value = off_float(nodata, exact)
            values[i, j] = value
    return found
