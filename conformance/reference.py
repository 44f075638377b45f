"""Slow, obvious resampling in float64, against which fast code is held. It shares no code with the builder.

A window of `factor` x `factor` finest cells makes one coarse cell, counted from the top left corner. Windows at the
far edges hold what is left and are never dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr.errors import GridMismatchError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

METHODS = ("average", "nearest")


def aggregate(
    values: NDArray[Any], valid: NDArray[np.bool_], factor: int, method: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Derive a coarse level from the finest one directly.

    Parameters
    ----------
    values : ndarray, shape (..., row, col)
        Finest values, unpacked.
    valid : ndarray of bool, shape (row, col) or that of `values`
        True where a cell holds data.
    factor : int
        Finest cells along a side of a coarse one, at least 1.
    method : str
        "average": the mean of the valid cells of the window, each weighing the same; no valid cell, no value.
        "nearest": the cell at `i * factor + factor // 2`, or at `i * factor` where that lies beyond the last row or
        column; it decides the validity too.

    Returns
    -------
    values : ndarray of float64, shape (..., ceil(row / factor), ceil(col / factor))
        Not rounded. NaN where invalid. Sums are made in float64, so integers beyond 2**53 lose digits.
    valid : ndarray of bool, of that shape
        A window whose mean is undefined, because it holds infinities of both signs, is not valid.

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
    if factor < 1:
        raise ParameterError("factor", found=factor, expected="a whole number of at least 1")
    if method not in METHODS:
        raise ParameterError("method", found=method, expected=" or ".join(METHODS))
    if valid.shape not in (values.shape, values.shape[-2:]):
        raise GridMismatchError("shape of the mask", found=valid.shape, expected=values.shape[-2:])
    mask = np.broadcast_to(valid, values.shape)
    rows, cols = (-(-size // factor) for size in values.shape[-2:])
    result = np.full((*values.shape[:-2], rows, cols), np.nan, dtype=np.float64)
    for row in range(rows):
        for col in range(cols):
            if method == "average":
                window = np.s_[..., row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
                result[..., row, col] = _mean(values[window], mask[window])
            else:
                i, j = (
                    _sampled(index, factor, size) for index, size in zip((row, col), values.shape[-2:], strict=True)
                )
                result[..., row, col] = np.where(mask[..., i, j], values[..., i, j].astype(np.float64), np.nan)
    return result, ~np.isnan(result)


def _mean(window: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the last two axes of what is valid; NaN where nothing is."""
    count = mask.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", over="ignore"):  # infinities are values; of both signs they have no mean
        total = np.where(mask, window, 0).astype(np.float64).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(count > 0, total / count, np.nan), dtype=np.float64)


def _sampled(index: int, factor: int, size: int) -> int:
    """Index of the finest cell that stands for a coarse one along an axis."""
    centre = index * factor + factor // 2
    return centre if centre < size else index * factor
