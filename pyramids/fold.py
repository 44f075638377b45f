"""Accumulators: what a block adds to its parent, and how a parent is rounded.

Levels nest by 2, so a parent cell is made of 2 x 2 cells of one single block. What goes up the pyramid is never what
was stored but what the method needs of all finest values under the cell: the *sum* of the valid ones and their
*weight* (how many were valid), the smallest one, the samples of coarser levels, or how often each class occurs. A level
is rounded once, when it is stored, and never read again. So a value at any level is that of the finest values under it,
and means of means, modes of modes and rounded sums of rounded sums cannot occur.

| method | goes up | module |
| --- | --- | --- |
| average, sum | sum and weight, exact for integers | `fold_sums` |
| min, max, bit-or | value and mask | `fold_picks` |
| nearest | this level's samples, and those of coarser levels | `fold_picks` |
| mode, median | each distinct value, and how often it occurs | `fold_runs` |

An accumulator is memory that is used again and again: `add_finest`, `add` or `paste` fill each of its cells once, in
any order, `rounded` writes what is stored, the parent's `add` folds it on, and `clear` makes it ready for the next
block. Cells that nothing was put into hold no data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from geozarr.errors import GridMismatchError, LimitError, ParameterError
from pyramids.fold_picks import Picks, Samples
from pyramids.fold_runs import CELL_BYTES, COUNT_BYTES, POOL_LIMIT, Runs
from pyramids.fold_sums import Sums, WideSums

if TYPE_CHECKING:
    import numpy as np

    from pyramids.fold_cells import Array, Mask

METHODS = ("average", "nearest", "min", "max", "sum", "bit-or", "mode", "median")
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
MAX_LEVELS = 16  # sums of 32-bit integers over 4**15 cells fit int64, their weights uint32


class Accumulator(Protocol):
    """One 2-D slice of one block above the finest level, unrounded.

    Arrays that are contiguous along their rows are folded fastest. No method makes a temporary of a block's size.

    Attributes
    ----------
    shape : tuple of int
        Cells, (row, col).
    STATE : tuple of str
        Names of the arrays that it consists of.
    """

    shape: tuple[int, int]
    STATE: ClassVar[tuple[str, ...]]

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        ...

    def add_finest(self, values: Array, valid: Mask, *, row: int, col: int) -> None:
        """Fold 2 x 2 finest values into one cell.

        Parameters
        ----------
        values : ndarray, shape (r, c)
            Finest values, in the dtype of the accumulator. What stands where `valid` is False does not matter.
        valid : ndarray of bool, shape (r, c)
            True where there is data; a NaN is none.
        row, col : int
            First of the cells, (ceil(r / 2), ceil(c / 2)) of them, that are written. Odd sizes occur at the far
            edges of the raster only: the last row or column of cells is then made of what there is.

        Raises
        ------
        GridMismatchError
            If the dtype is another, shapes differ, or the cells lie outside of the block.
        """
        ...

    def add(self, child: Self, *, row: int, col: int) -> None:
        """Fold 2 x 2 cells of a finished accumulator, of the next finer level, into one cell.

        Parameters
        ----------
        child : Accumulator
            Of the same method and dtype.
        row, col : int
            First cell, as for `add_finest`.

        Raises
        ------
        GridMismatchError
            As for `add_finest`.
        """
        ...

    def paste(self, quarter: Self, *, row: int, col: int) -> None:
        """Put an accumulator of this same level at its place.

        Parameters
        ----------
        quarter : Accumulator
            Of the same method and dtype.
        row, col : int
            Where its first cell goes.

        Raises
        ------
        GridMismatchError
            If its cells lie outside of the block.
        """
        ...

    def rounded(self, values: Array, valid: Mask, *, nodata: float, is_nodata: bool) -> int:
        """Write what is stored.

        Parameters
        ----------
        values : ndarray, shape (row, col)
            Is overwritten with the stored values, in the accumulator's dtype.
        valid : ndarray of bool, shape (row, col)
            Is overwritten: True where there is data.
        nodata : float
            Written where nothing is valid. Integers are given as int, since float has not all of those of 64 bits.
        is_nodata : bool
            True where readers take `nodata` for missing: a valid result that would round to it is then moved by the
            smallest step of the dtype towards the exact result, so that data never turns into no data.

        Returns
        -------
        int
            How many cells are valid.

        Raises
        ------
        GridMismatchError
            If an array has another shape than the accumulator.
        """
        ...

    def clear(self) -> None:
        """Become empty again, and keep the memory."""
        ...


def make(method: str, dtype: np.dtype[Any], shape: tuple[int, int], *, most_pairs: int | None = None) -> Accumulator:
    """Make an empty accumulator.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    dtype : numpy.dtype
        Of the finest values and of what is stored, one of `DTYPES`.
    shape : tuple of int
        Cells of the block, (row, col).
    most_pairs : int, optional
        With `mode` and `median`: distinct values that all cells together may hold, each cell's counted by itself.
        Folding more raises LimitError. By default about what 32 bits can index.

    Returns
    -------
    Accumulator

    Raises
    ------
    ParameterError
        If there is no such method, or it does not go with the dtype: bits of floats are not united.
    """
    check_method(method, dtype)
    if method in {"average", "sum"}:
        kind = WideSums if dtype.itemsize == 8 and dtype.kind != "f" else Sums
        return kind(shape, dtype, is_mean=method == "average")
    if method == "nearest":
        return Samples(shape, dtype)
    if method in {"mode", "median"}:
        pairs = POOL_LIMIT if most_pairs is None else most_pairs
        return Runs(shape, dtype, is_median=method == "median", most_pairs=pairs)
    return Picks(shape, dtype, method=method)


def state(accumulator: Accumulator) -> dict[str, Array]:
    """Return the arrays that an accumulator consists of, by name; not copies."""
    if isinstance(accumulator, Runs):
        accumulator.trim()
    return {name: getattr(accumulator, name) for name in accumulator.STATE}


def restore(method: str, dtype: np.dtype[Any], shape: tuple[int, int], arrays: dict[str, Array]) -> Accumulator:
    """Make an accumulator of the arrays that `state` gave, to be folded on or pasted, not to be added to.

    Raises
    ------
    GridMismatchError
        If they are not those of such an accumulator.
    """
    found = make(method, dtype, shape)
    for name in found.STATE:
        before, now = getattr(found, name), arrays[name]
        is_pool = before.ndim == 1  # of whatever length
        if now.dtype != before.dtype or now.ndim != before.ndim or (not is_pool and now.shape != shape):
            expected = f"{before.dtype} {before.shape}"
            raise GridMismatchError(f"{name} of a quarter", found=f"{now.dtype} {now.shape}", expected=expected)
        setattr(found, name, now)
    if isinstance(found, Runs):
        found.used = found.values.size
    return found


def undefined(accumulator: Accumulator, valid: int) -> int:
    """Count the cells that have values but no result: infinities of both signs met, whose mean is no number.

    Parameters
    ----------
    accumulator : Accumulator
        Of any method.
    valid : int
        How many of its cells have a result, as `rounded` has told.
    """
    if isinstance(accumulator, Sums | Runs) and accumulator.dtype.kind == "f":
        return accumulator.held - valid
    return 0


def check_method(method: str, dtype: np.dtype[Any]) -> None:
    """Refuse a method that is not there, or that does not go with a dtype.

    Raises
    ------
    ParameterError
        See `make`.
    """
    if method not in METHODS:
        raise ParameterError("method", found=method, expected=f"one of {', '.join(METHODS)}")
    if dtype.name not in DTYPES or not dtype.isnative:
        raise ParameterError("dtype", found=str(dtype), expected=f"one of {', '.join(DTYPES)}, in native byte order")
    if method == "bit-or" and dtype.kind == "f":
        raise ParameterError("dtype", found=str(dtype), expected="an integer dtype, since bit-or unites flags")


def cell_bytes(method: str, dtype: np.dtype[Any], *, classes: int | None = None, level: int = 1) -> int:
    """Return how much memory a cell of an accumulator takes, in bytes.

    Parameters
    ----------
    method, dtype
        As for `make`.
    classes : int, optional
        With `mode` and `median`: how many different values the raster has, where that is known.
    level : int
        With `mode` and `median`: level of the block, at least 1. The number is that of a cell under which as many
        values differ as can, see `pairs_at_most`: an upper bound, which land cover stays far below. A pool that
        grows holds the old one too for a moment, and at most doubles.

    Returns
    -------
    int
        For all other methods the exact number, at any level.
    """
    check_method(method, dtype)
    if method in {"average", "sum"}:
        return 20 if dtype.itemsize == 8 and dtype.kind != "f" else 12  # int64 or float64, one or two; uint32
    if method == "nearest":
        return 2 * (int(dtype.itemsize) + 1)
    if method in {"mode", "median"}:
        return CELL_BYTES + pairs_at_most((1, 1), level, dtype, classes) * pair_bytes(dtype)
    return int(dtype.itemsize) + 1


def pair_bytes(dtype: np.dtype[Any]) -> int:
    """Return how much memory a distinct value with its count takes, in bytes."""
    return int(dtype.itemsize) + COUNT_BYTES


def pairs_at_most(shape: tuple[int, int], level: int, dtype: np.dtype[Any], classes: int | None = None) -> int:
    """Return how many distinct values the cells of a block can hold, each cell's counted by itself.

    Parameters
    ----------
    shape : tuple of int
        Cells, (row, col).
    level : int
        Level of the block: a cell covers `4**level` finest cells.
    dtype : numpy.dtype
        Of the values.
    classes : int, optional
        How many different values the raster has; by default what the dtype can tell apart.
    """
    covered: int = 4**level
    different: int = 2 ** (8 * dtype.itemsize) if classes is None else classes
    return shape[0] * shape[1] * min(covered, different)


def check_depth(levels: int) -> None:
    """Refuse pyramids so deep that a sum could overflow.

    Raises
    ------
    LimitError
        If there are more than `MAX_LEVELS` levels.
    """
    if levels > MAX_LEVELS:
        raise LimitError("levels of a pyramid", allowed=MAX_LEVELS, found=levels)
