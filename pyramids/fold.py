"""Accumulators: what a block adds to its parent, and how a parent is rounded.

Levels nest by 2, so a parent cell is made of 2 x 2 cells of one single block. A block is folded by adding up, over
each 2 x 2 window, the *sum* of valid finest values and their *weight* (how many finest cells were valid). Sum and
weight go up the pyramid unrounded: integers in int64, floats in float64. A level is rounded once, when it is stored,
and never read again. So the mean at any level is the mean of the finest values under it, and means of means, drift
with depth and rounded sums of rounded sums cannot occur.

`nearest` goes another way. Level k shows the finest sample at the centre of its cell, index `i * 2**k + 2**(k - 1)`.
That is an index with exactly k - 1 trailing zero bits, so each finest row and column serves one level only: the parent
takes the odd rows and columns of what it is handed, and hands on the even ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numba
import numpy as np

from geozarr.errors import LimitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LEVELS = 16  # sums of 32-bit integers over 4**15 cells fit int64, their weights uint32

Array: TypeAlias = "NDArray[Any]"
Mask: TypeAlias = "NDArray[np.bool_]"

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


class Accumulator(Protocol):
    """One 2-D slice of one block above the finest level, unrounded.

    A block makes an accumulator of a quarter of its parent (`fold_finest`, `halved`), and the parent is put together
    from four of them (`empty`, `paste`).
    """

    def paste(self, quarter: Any, *, row: int, col: int) -> None:
        """Put a child's quarter at its place, in cells of this block."""
        ...

    def halved(self) -> Accumulator:
        """Fold 2 x 2 cells into one: the quarter of the parent. Odd sizes are rounded up."""
        ...

    def rounded(self, dtype: np.dtype[Any], *, nodata: float, is_nodata: bool) -> tuple[Array, Mask]:
        """Return what is stored.

        Parameters
        ----------
        dtype : numpy.dtype
            Of the stored values.
        nodata : float
            Written where nothing is valid.
        is_nodata : bool
            True where readers take `nodata` for missing: a valid mean that would round to it is then moved by the
            smallest step of the dtype towards the exact mean, so that data never turns into no data.

        Returns
        -------
        values : ndarray, shape (row, col)
            In `dtype`.
        valid : ndarray of bool, shape (row, col)
            True where there is data.
        """
        ...


@dataclass(frozen=True)
class Sums:
    """Sum and weight of each cell: the accumulator of `average`.

    Parameters
    ----------
    total : ndarray of int64 or float64, shape (row, col)
        Sum of the valid finest values under the cell.
    weight : ndarray of uint32, shape (row, col)
        How many finest cells were valid.
    """

    total: Array
    weight: NDArray[np.uint32]

    @classmethod
    def empty(cls, shape: tuple[int, int], dtype: np.dtype[Any]) -> Sums:
        """Make sums of nothing, for values of a dtype."""
        return cls(np.zeros(shape, np.float64 if dtype.kind == "f" else np.int64), np.zeros(shape, np.uint32))

    @classmethod
    def fold_finest(cls, values: Array, valid: Mask) -> Sums:
        """Fold a finest block, shape (row, col), into shape (ceil(row / 2), ceil(col / 2))."""
        folded = cls.empty(_half(values.shape), values.dtype)
        _add_values(values, valid, folded.total, folded.weight)
        return folded

    def paste(self, quarter: Sums, *, row: int, col: int) -> None:
        """Put a child's quarter at its place."""
        rows, cols = quarter.weight.shape
        self.total[row : row + rows, col : col + cols] = quarter.total
        self.weight[row : row + rows, col : col + cols] = quarter.weight

    def halved(self) -> Sums:
        """Fold 2 x 2 cells into one."""
        shape = _half(self.weight.shape)
        folded = Sums(np.empty(shape, self.total.dtype), np.empty(shape, np.uint32))
        _add_sums(self.total, self.weight, folded.total, folded.weight)
        return folded

    def rounded(self, dtype: np.dtype[Any], *, nodata: float, is_nodata: bool) -> tuple[Array, Mask]:
        """Divide sums by weights and round once, half to even for integers; see `Accumulator.rounded`.

        Infinities of both signs under one cell give no data.
        """
        values = np.empty(self.weight.shape, dtype)
        valid = np.empty(self.weight.shape, np.bool_)
        if dtype.kind == "f":
            _mean_float(self.total, self.weight, values, valid, dtype.type(nodata), is_nodata)
        else:
            info = np.iinfo(dtype)
            limits = (np.int64(info.min), np.int64(info.max))
            _mean_integer(self.total, self.weight, values, valid, np.int64(nodata), is_nodata, limits)
        return values, valid


@dataclass(frozen=True)
class Samples:
    """Centre samples of each cell, and the samples that coarser levels will need: the accumulator of `nearest`.

    Parameters
    ----------
    values, valid : ndarray, shape (row, col)
        This level's values and mask.
    rest_values, rest_valid : ndarray, shape (row, col)
        Finest samples at indexes that divide by the cell's size.
    """

    values: Array
    valid: Mask
    rest_values: Array
    rest_valid: Mask

    @classmethod
    def empty(cls, shape: tuple[int, int], dtype: np.dtype[Any]) -> Samples:
        """Make samples of nothing, for values of a dtype."""
        return cls(np.zeros(shape, dtype), np.zeros(shape, np.bool_), np.zeros(shape, dtype), np.zeros(shape, np.bool_))

    @classmethod
    def fold_finest(cls, values: Array, valid: Mask) -> Samples:
        """Take the first coarser level out of a finest block: shape (row, col) becomes (ceil(row / 2), ceil(col / 2)).

        Where a cell's centre lies beyond the last row or column of the raster, its first row or column stands in.
        """
        rows = np.minimum(np.arange(1, values.shape[0] + 1, 2), values.shape[0] - 1)
        cols = np.minimum(np.arange(1, values.shape[1] + 1, 2), values.shape[1] - 1)
        picked = np.ix_(rows, cols)
        return cls(values[picked], valid[picked], values[::2, ::2].copy(), valid[::2, ::2].copy())

    def paste(self, quarter: Samples, *, row: int, col: int) -> None:
        """Put a child's quarter at its place."""
        rows, cols = quarter.valid.shape
        where = np.s_[row : row + rows, col : col + cols]
        self.values[where], self.valid[where] = quarter.values, quarter.valid
        self.rest_values[where], self.rest_valid[where] = quarter.rest_values, quarter.rest_valid

    def halved(self) -> Samples:
        """Take the next coarser level out of the samples that are left."""
        return Samples.fold_finest(self.rest_values, self.rest_valid)

    def rounded(self, dtype: np.dtype[Any], *, nodata: float, is_nodata: bool) -> tuple[Array, Mask]:  # noqa: ARG002 - samples are never rounded
        """Return the samples, `nodata` where they are not valid."""
        return np.where(self.valid, self.values, dtype.type(nodata)), self.valid


ACCUMULATORS: dict[str, type[Sums] | type[Samples]] = {"average": Sums, "nearest": Samples}


def check_depth(levels: int) -> None:
    """Refuse pyramids so deep that a sum could overflow.

    Raises
    ------
    LimitError
        If there are more than `MAX_LEVELS` levels.
    """
    if levels > MAX_LEVELS:
        raise LimitError("levels of a pyramid", allowed=MAX_LEVELS, found=levels)


def _half(shape: tuple[int, ...]) -> tuple[int, int]:
    rows, cols = shape
    return -(-rows // 2), -(-cols // 2)


@_jit
def _add_values(values, valid, total, weight):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba infers
    rows, cols = values.shape
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            acc = total.dtype.type(0)
            count = np.uint32(0)
            for di in range(2):
                r = 2 * i + di
                if r >= rows:
                    break
                for dj in range(2):
                    c = 2 * j + dj
                    if c < cols and valid[r, c]:
                        acc += total.dtype.type(values[r, c])
                        count += np.uint32(1)
            total[i, j] = acc
            weight[i, j] = count


@_jit
def _add_sums(child_total, child_weight, total, weight):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    rows, cols = child_total.shape
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            acc = total.dtype.type(0)
            count = np.uint32(0)
            for di in range(2):
                r = 2 * i + di
                if r >= rows:
                    break
                for dj in range(2):
                    c = 2 * j + dj
                    if c < cols:
                        acc += child_total[r, c]
                        count += child_weight[r, c]
            total[i, j] = acc
            weight[i, j] = count


@_jit
def _mean_float(total, weight, values, valid, nodata, is_nodata):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            count = weight[i, j]
            exact = total[i, j] / np.float64(count) if count > 0 else np.nan
            if np.isnan(exact):
                values[i, j] = nodata
                valid[i, j] = False
                continue
            value = values.dtype.type(exact)
            if is_nodata and value == nodata:
                towards = np.inf if exact >= np.float64(nodata) else -np.inf
                value = np.nextafter(value, values.dtype.type(towards))
            values[i, j] = value
            valid[i, j] = True


@_jit
def _mean_integer(total, weight, values, valid, nodata, is_nodata, limits):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            count = np.int64(weight[i, j])
            if count == 0:
                values[i, j] = nodata
                valid[i, j] = False
                continue
            quotient = total[i, j] // count  # floor
            twice = 2 * (total[i, j] - quotient * count)
            if twice > count or (twice == count and quotient % 2 != 0):
                quotient += 1
            if is_nodata and quotient == nodata:
                up = total[i, j] >= nodata * count
                if nodata == limits[0]:
                    up = True
                elif nodata == limits[1]:
                    up = False
                quotient = nodata + 1 if up else nodata - 1
            values[i, j] = quotient
            valid[i, j] = True
