"""What all accumulators share: how kernels choose without branching, and where 2 x 2 windows go.

A kernel walks windows row by row. The two rows of a window are taken as 1-D views and indexed by unsigned integers, so
that no index needs a check for wrapping around, and a value is chosen by `select` rather than by a branch: the
inner loop is then straight arithmetic, which LLVM turns into vector instructions. At a ragged end the last row or
column stands in for the one that is missing, with weight zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numba.core import types
from numba.extending import overload

from geozarr.errors import GridMismatchError
from pyramids.kernels import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
Mask: TypeAlias = "NDArray[np.bool_]"
Number: TypeAlias = Any  # a scalar inside a kernel, whose type numba infers


def select(weight: Number, value: Number, other: Number) -> Number:
    """Return `value` where `weight` is not zero, else `other`: for kernels only, without a branch."""
    return value if weight else other


@overload(select, strict=False)  # not strict: the lambdas carry no annotations
def _select(weight: Any, value: Any, other: Any) -> Any:  # noqa: ARG001 - numba matches arguments by name
    """Integers are chosen by masks: LLVM turns a conditional between integers back into a branch, 40 x slower."""
    if isinstance(value, types.Float):
        return lambda weight, value, other: value if weight else other
    # The result stays in the type of the value: uint64 with int64 would be taken for signed.
    kind = types.unliteral(value)  # type: ignore[no-untyped-call]  # numba annotates only a part
    return lambda weight, value, other: kind(other ^ kind((value ^ other) & kind(-np.int64(weight != 0))))


def bits(array: Array) -> Array:
    """View values as unsigned integers of their size: kernels that only move values need no other types."""
    return array.view(f"u{array.dtype.itemsize}")


class Cells(Protocol):
    """What the checks below need of an accumulator."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]


def check_finest(into: Cells, values: Array, valid: Mask, *, row: int, col: int) -> None:
    """Refuse finest values that do not go into the cells from (row, col) on.

    Raises
    ------
    GridMismatchError
        If the dtype is another, the mask has another shape, or the cells lie outside. Kernels check no index, so
        nothing else would tell.
    """
    _check_same("dtype of a folded block", values.dtype, into.dtype)
    _check_same("shape of a block's mask", valid.shape, values.shape)
    _check_inside(into, values.shape, row=row, col=col, step=2)


def check_child(into: Cells, child: Cells, *, row: int, col: int) -> None:
    """Refuse a child whose 2 x 2 cells do not go into the cells from (row, col) on.

    Raises
    ------
    GridMismatchError
        As `check_finest`.
    """
    _check_same("dtype of a child", child.dtype, into.dtype)
    _check_inside(into, child.shape, row=row, col=col, step=2)


def quarter_slices(into: Cells, quarter: Cells, *, row: int, col: int) -> tuple[slice, slice]:
    """Return the cells that a quarter is pasted to.

    Raises
    ------
    GridMismatchError
        As `check_finest`.
    """
    _check_same("dtype of a quarter", quarter.dtype, into.dtype)
    _check_inside(into, quarter.shape, row=row, col=col, step=1)
    rows, cols = quarter.shape
    return slice(row, row + rows), slice(col, col + cols)


def check_stored(cells: Cells, values: Array, valid: Mask) -> None:
    """Refuse arrays that cannot take what is stored.

    Raises
    ------
    GridMismatchError
        If the dtype or a shape is another.
    """
    _check_same("dtype of the stored values", values.dtype, cells.dtype)
    _check_same("shape of the stored values", (values.shape, valid.shape), (cells.shape, cells.shape))


def _check_same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise GridMismatchError(what, found=found, expected=expected)


def _check_inside(into: Cells, covered: tuple[int, ...], *, row: int, col: int, step: int) -> None:
    rows, cols = (-(-size // step) for size in covered)
    if not (0 <= row <= into.shape[0] - rows and 0 <= col <= into.shape[1] - cols):
        found = (row, col, rows, cols)
        raise GridMismatchError("cells folded into a block", found=found, expected=f"within {into.shape}")


@jit
def off_integer(nodata: Number, is_above: bool, smallest: Number, largest: Number) -> Number:
    """Return the integer next to `nodata`, above or below, but inwards at the ends of the dtype; for kernels."""
    kind = type(nodata)
    if (is_above or nodata == smallest) and nodata != largest:
        return kind(nodata + kind(1))
    return kind(nodata - kind(1))


@jit
def off_float(nodata: Number, exact: Number) -> Number:
    """Return the value next to `nodata`, on the side of the exact result, but never beyond the finite ones."""
    kind = type(nodata)
    above = np.nextafter(nodata, kind(np.inf))
    below = np.nextafter(nodata, kind(-np.inf))
    if (exact >= nodata and np.isfinite(above)) or not np.isfinite(below):
        return above
    return below
