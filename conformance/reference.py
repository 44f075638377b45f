"""Slow, obvious resampling in float64, against which fast code is held. It shares no code with the builder.

A window of `factor` x `factor` finer cells makes one coarse cell, counted from the top left corner. Windows at the
far edges hold what is left and are never dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr.errors import GridMismatchError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Windows = NDArray[Any]
    Mask = NDArray[np.bool_]


def aggregate(
    values: NDArray[Any], valid: NDArray[np.bool_], factor: int | tuple[int, int], method: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Derive a coarse level from a finer one.

    Parameters
    ----------
    values : ndarray, shape (..., row, col)
        Finer values, unpacked.
    valid : ndarray of bool, shape (row, col) or that of `values`
        True where a cell holds data.
    factor : int or tuple of (int, int)
        Finer cells along a side of a coarse one, or along its rows and its columns; at least 1.
    method : str
        One of `METHODS`. Of the valid cells of a window, each weighing the same,
        "average" is the mean, "sum" the sum, "min" and "max" the extremes, "mode" the most frequent value and of
        equally frequent ones the smallest, "median" the middle value and of an even number the mean of the two in the
        middle, "bit-or" the union of their bits.
        "nearest" is the cell at `i * factor + factor // 2`, or at `i * factor` where that lies beyond the last row or
        column; it decides the validity too.

    Returns
    -------
    values : ndarray of float64, shape (..., ceil(row / factor), ceil(col / factor))
        Not rounded. NaN where invalid. Sums are made in float64, so integers beyond 2**53 lose digits.
    valid : ndarray of bool, of that shape
        A window without valid cells is not valid, nor one whose mean is undefined because it holds infinities of both
        signs.

    Raises
    ------
    ParameterError
        If the factor is below 1 or the method unknown.
    GridMismatchError
        If `valid` has another shape than the rows and columns of `values`.

    References
    ----------
    multiscales convention v0.1, resampling_method; GDAL's names of the methods.
    """
    if method not in METHODS:
        raise ParameterError("method", found=method, expected=" or ".join(METHODS))
    cells, mask = windows(values, valid, factor)
    if method == "nearest":
        sides = (factor, factor) if isinstance(factor, int) else factor
        position = sampled(sides, values.shape[-2:])
        cells = np.take_along_axis(cells, position[..., np.newaxis], axis=-1)
        mask = np.take_along_axis(mask, position[..., np.newaxis], axis=-1)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        found = np.asarray(_OF_WINDOWS[method](cells, mask), dtype=np.float64)
    result = np.where(mask.any(axis=-1), found, np.nan)
    return result, ~np.isnan(result)


def windows(
    values: NDArray[Any], valid: NDArray[np.bool_], factor: int | tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Line up the cells of each window.

    Returns
    -------
    values : ndarray, shape (..., coarse row, coarse col, cells of a window)
        Row by row; 0 where a window reaches beyond the edge.
    valid : ndarray of bool, of that shape
        False there.

    Raises
    ------
    ParameterError, GridMismatchError
        As `aggregate`.
    """
    sides = (factor, factor) if isinstance(factor, int) else factor
    if min(sides) < 1:
        raise ParameterError("factor", found=factor, expected="whole numbers of at least 1")
    if valid.shape not in (values.shape, values.shape[-2:]):
        raise GridMismatchError("shape of the mask", found=valid.shape, expected=values.shape[-2:])
    mask = np.broadcast_to(valid, values.shape)
    return _lined_up(values, sides), _lined_up(mask, sides)


def _lined_up(values: NDArray[Any], sides: tuple[int, int]) -> NDArray[Any]:
    counts = tuple(-(-size // side) for size, side in zip(values.shape[-2:], sides, strict=True))
    whole = np.zeros((*values.shape[:-2], counts[0] * sides[0], counts[1] * sides[1]), values.dtype)
    whole[..., : values.shape[-2], : values.shape[-1]] = values
    split = whole.reshape(*values.shape[:-2], counts[0], sides[0], counts[1], sides[1])
    return np.moveaxis(split, -3, -2).reshape(*values.shape[:-2], *counts, sides[0] * sides[1])


def sampled(sides: tuple[int, int], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Position, in each window, of the cell that stands for it: shape (coarse row, coarse col)."""
    lines = []
    for side, size in zip(sides, shape, strict=True):
        starts = np.arange(0, size, side)
        lines.append(np.where(starts + side // 2 < size, side // 2, 0))
    return np.asarray(lines[0][:, np.newaxis] * sides[1] + lines[1])


def _mean(cells: Windows, mask: Mask) -> NDArray[Any]:
    # Infinities are values; of both signs they have no mean.
    return np.asarray(np.where(mask, cells, 0).astype(np.float64).sum(axis=-1) / mask.sum(axis=-1))


def _sum(cells: Windows, mask: Mask) -> NDArray[Any]:
    return np.asarray(np.where(mask, cells, 0).astype(np.float64).sum(axis=-1))


def _least(cells: Windows, mask: Mask) -> NDArray[Any]:
    return np.asarray(np.where(mask, cells.astype(np.float64), np.inf).min(axis=-1))


def _greatest(cells: Windows, mask: Mask) -> NDArray[Any]:
    return np.asarray(np.where(mask, cells.astype(np.float64), -np.inf).max(axis=-1))


def _median(cells: Windows, mask: Mask) -> NDArray[Any]:
    lower, upper = medians(cells, mask)
    return np.asarray(lower + (upper - lower) / 2)


def medians(cells: NDArray[Any], mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two values in the middle of each window, as `windows` gives them; of an odd number the one, twice."""
    ordered = np.sort(np.where(mask, cells.astype(np.float64), np.inf), axis=-1)
    count = mask.sum(axis=-1)
    places = (np.maximum(count - 1, 0) // 2, np.minimum(count // 2, cells.shape[-1] - 1))
    lower, upper = (np.take_along_axis(ordered, place[..., np.newaxis], axis=-1)[..., 0] for place in places)
    return lower, upper


def _mode(cells: Windows, mask: Mask) -> NDArray[Any]:
    ordered = np.sort(np.where(mask, cells.astype(np.float64), np.inf), axis=-1)
    # The first of the greatest counts is that of the smallest value, since the values are in order.
    best = frequencies(ordered, np.sort(~mask, axis=-1) == 0).argmax(axis=-1)
    return np.asarray(np.take_along_axis(ordered, best[..., np.newaxis], axis=-1)[..., 0])


def frequencies(cells: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Count, for each cell of a window, the valid cells of that window that hold the same; 0 where it is not valid."""
    same = np.zeros(cells.shape, np.intp)
    for index in range(cells.shape[-1]):
        same += (cells == cells[..., index : index + 1]) & mask[..., index : index + 1]
    return np.asarray(np.where(mask, same, 0))


def _union(cells: Windows, mask: Mask) -> NDArray[Any]:
    if cells.dtype.kind not in "iub":
        raise ParameterError("method", found="bit-or", expected=f"another method for values of type {cells.dtype}")
    return np.asarray(np.bitwise_or.reduce(np.where(mask, cells, 0).astype(cells.dtype), axis=-1))


def _only(cells: Windows, mask: Mask) -> NDArray[Any]:  # noqa: ARG001 - called as the others
    return np.asarray(cells[..., 0])


_OF_WINDOWS: dict[str, Callable[[Windows, Mask], NDArray[Any]]] = {
    "average": _mean,
    "nearest": _only,
    "mode": _mode,
    "min": _least,
    "max": _greatest,
    "sum": _sum,
    "median": _median,
    "bit-or": _union,
}
METHODS = tuple(_OF_WINDOWS)
