"""Accumulators of `min`, `max` and `bit-or`, and of `nearest`: results in the dtype itself, never rounded.

The smallest of the smallest is the smallest of all, so a value and a mask a cell is all that goes up.

`nearest` is no such recursion. Level k shows the finest sample at the centre of its cell, index
`i * 2**k + 2**(k - 1)`. That is an index with exactly k - 1 trailing zero bits, so each finest row and column serves
one level only: the parent takes the odd rows and columns of what it is handed, and hands on the even ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyramids.fold_cells import Array, Mask, Number, bits, check_finest, check_stored, quarter_slices, select
from pyramids.kernels import jit

if TYPE_CHECKING:
    from collections.abc import Callable

_MIN, _MAX, _OR = 0, 1, 2


class Picks:
    """Smallest, largest or united value of each cell.

    A cell is valid where any finest value under it is. With `bit-or`, a result that equals `nodata` is stored as it
    is: no flag is invented to tell it from missing data. So a nodata value of flags must not be a union of flags.

    Parameters
    ----------
    shape : tuple of int
        Cells, (row, col).
    dtype : numpy.dtype
        Of the finest values and of what is stored.
    method : str
        "min", "max" or "bit-or".
    """

    STATE: ClassVar[tuple[str, ...]] = ("values", "valid")

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], *, method: str) -> None:
        self.shape = shape
        self.dtype = dtype
        self.values = np.zeros(shape, dtype)
        self.valid = np.zeros(shape, np.bool_)
        self._method = method
        self._is_bitwise = method == "bit-or"
        # What changes nothing: invalid cells count as this.
        self._identity = dtype.type(0) if self._is_bitwise else _end(dtype, is_largest=method == "min")

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return self.values.nbytes + self.valid.nbytes

    def add_finest(self, values: Array, valid: Mask, *, row: int, col: int) -> None:
        """Fold 2 x 2 finest values into each cell from (row, col) on."""
        check_finest(self, values, valid, row=row, col=col)
        identity = self._identity
        target = self.values
        if self._is_bitwise:
            values, target, identity = bits(values), bits(target), bits(np.asarray(identity))[()]
        _FOLDS[self._method](values, valid.view(np.uint8), target, self.valid.view(np.uint8), row, col, identity)

    def add(self, child: Picks, *, row: int, col: int) -> None:
        """Fold 2 x 2 cells of a finished child into each cell from (row, col) on."""
        self.add_finest(child.values, child.valid, row=row, col=col)

    def paste(self, quarter: Picks, *, row: int, col: int) -> None:
        """Put cells that are folded already at their place."""
        where = quarter_slices(self, quarter, row=row, col=col)
        self.values[where] = quarter.values
        self.valid[where] = quarter.valid

    def rounded(self, values: Array, valid: Mask, *, nodata: float, is_nodata: bool) -> int:  # noqa: ARG002 - nothing is rounded
        """Write the values, `nodata` where they are not valid: see `Accumulator.rounded`."""
        return _write(self, values, valid, nodata)

    def clear(self) -> None:
        """Become empty again."""
        self.valid.fill(False)


class Samples:
    """Centre samples of each cell, and the samples that coarser levels will need: the accumulator of `nearest`.

    Where a cell's centre lies beyond the last row or column of the raster, its first row or column stands in.

    Parameters
    ----------
    shape : tuple of int
        Cells, (row, col).
    dtype : numpy.dtype
        Of the finest values and of what is stored.
    """

    STATE: ClassVar[tuple[str, ...]] = ("values", "valid", "rest_values", "rest_valid")

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self.values = np.zeros(shape, dtype)
        self.valid = np.zeros(shape, np.bool_)
        self.rest_values = np.zeros(shape, dtype)  # finest samples at indexes that divide by the cell's size
        self.rest_valid = np.zeros(shape, np.bool_)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return 2 * (self.values.nbytes + self.valid.nbytes)

    def add_finest(self, values: Array, valid: Mask, *, row: int, col: int) -> None:
        """Take a sample of 2 x 2 finest values for each cell from (row, col) on."""
        check_finest(self, values, valid, row=row, col=col)
        _sample(bits(values), valid, bits(self.values), self.valid, bits(self.rest_values), self.rest_valid, row, col)

    def add(self, child: Samples, *, row: int, col: int) -> None:
        """Take a sample of 2 x 2 cells of a finished child for each cell from (row, col) on."""
        self.add_finest(child.rest_values, child.rest_valid, row=row, col=col)

    def paste(self, quarter: Samples, *, row: int, col: int) -> None:
        """Put cells that are sampled already at their place."""
        where = quarter_slices(self, quarter, row=row, col=col)
        self.values[where], self.valid[where] = quarter.values, quarter.valid
        self.rest_values[where], self.rest_valid[where] = quarter.rest_values, quarter.rest_valid

    def rounded(self, values: Array, valid: Mask, *, nodata: float, is_nodata: bool) -> int:  # noqa: ARG002 - samples are never rounded
        """Write the samples, `nodata` where they are not valid: see `Accumulator.rounded`."""
        return _write(self, values, valid, nodata)

    def clear(self) -> None:
        """Become empty again."""
        self.valid.fill(False)
        self.rest_valid.fill(False)


def _end(dtype: np.dtype[Any], *, is_largest: bool) -> Any:
    if dtype.kind == "f":
        return dtype.type(np.inf if is_largest else -np.inf)
    info = np.iinfo(dtype)
    return dtype.type(info.max if is_largest else info.min)


def _write(cells: Picks | Samples, values: Array, valid: Mask, nodata: float) -> int:
    check_stored(cells, values, valid)
    none = bits(np.asarray(cells.dtype.type(nodata)))[()]
    return _copy(bits(cells.values), cells.valid.view(np.uint8), bits(values), valid.view(np.uint8), none)


@jit
def _copy(values: Array, valid: Array, out: Array, out_valid: Array, nodata: Number) -> int:
    cells = np.uintp(values.shape[1])
    count = 0
    for i in range(values.shape[0]):
        given, mask, stored, stored_mask = values[i], valid[i], out[i], out_valid[i]
        for j in range(cells):
            stored[j] = select(mask[j], given[j], nodata)
            stored_mask[j] = mask[j]
            count += mask[j]
    return count


def _folding(method: int) -> Callable[..., None]:
    """Make the kernel of a method: a number that is a constant to the compiler, which drops the other branches.

    Three methods by one kernel that is told by an argument would have to choose for each cell. The number, unlike a
    function, leaves the compiled kernel fit for numba's cache.
    """

    @jit
    def fold(
        values: Array, valid: Array, out: Array, out_valid: Array, row: Number, col: Number, identity: Number
    ) -> None:
        rows, cols = values.shape
        one, two = np.uintp(1), np.uintp(2)
        pairs, odd = np.uintp(cols // 2), cols % 2 == 1
        for i in range((rows + 1) // 2):
            first = 2 * i
            second = min(first + 1, rows - 1)  # a row or column counted twice changes nothing
            upper, lower, mask, lower_mask = values[first], values[second], valid[first], valid[second]
            picked, any_valid = out[row + i, col:], out_valid[row + i, col:]
            for j in range(pairs):
                left, right = two * j, two * j + one
                a = select(mask[left], upper[left], identity)
                b = select(mask[right], upper[right], identity)
                c = select(lower_mask[left], lower[left], identity)
                d = select(lower_mask[right], lower[right], identity)
                if method == _MIN:
                    picked[j] = min(a, b, c, d)
                elif method == _MAX:
                    picked[j] = max(a, b, c, d)
                else:
                    picked[j] = (a | b) | (c | d)
                any_valid[j] = (mask[left] | mask[right]) | (lower_mask[left] | lower_mask[right])
            if odd:
                last = np.uintp(cols - 1)
                a = select(mask[last], upper[last], identity)
                b = select(lower_mask[last], lower[last], identity)
                if method == _MIN:
                    picked[pairs] = min(a, b)
                elif method == _MAX:
                    picked[pairs] = max(a, b)
                else:
                    picked[pairs] = a | b
                any_valid[pairs] = mask[last] | lower_mask[last]

    return fold


_FOLDS = {"min": _folding(_MIN), "max": _folding(_MAX), "bit-or": _folding(_OR)}


@jit
def _sample(
    values: Array, valid: Array, out: Array, out_valid: Array, rest: Array, rest_valid: Array, row: Number, col: Number
) -> None:
    """Take odd rows and columns, and hand on even ones."""
    rows, cols = values.shape
    one, two = np.uintp(1), np.uintp(2)
    pairs, odd = np.uintp(cols // 2), cols % 2 == 1
    for i in range((rows + 1) // 2):
        first = 2 * i
        second = min(first + 1, rows - 1)
        upper, lower, mask, lower_mask = values[first], values[second], valid[first], valid[second]
        picked, picked_mask = out[row + i, col:], out_valid[row + i, col:]
        left, left_mask = rest[row + i, col:], rest_valid[row + i, col:]
        for j in range(pairs):
            picked[j], picked_mask[j] = lower[two * j + one], lower_mask[two * j + one]
            left[j], left_mask[j] = upper[two * j], mask[two * j]
        if odd:
            last = np.uintp(cols - 1)
            picked[pairs], picked_mask[pairs] = lower[last], lower_mask[last]
            left[pairs], left_mask[pairs] = upper[last], mask[last]
