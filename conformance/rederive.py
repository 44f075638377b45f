"""Cells of a level beside what a method makes of finer ones, and by how much they may differ.

Values are compared as stored, so packed ones in packed units. A mean of whole numbers may be rounded either way, and a
float carries the rounding of its data type; all other methods pick a value that is there, and must pick just that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conformance.pixels import Cells

_ROUNDINGS = 16  # of the data type that a mean or sum of floats may be off by
_EXACT = 2.0**-50  # relative: what float64 loses of 64-bit integers


@dataclass(frozen=True)
class Verdict:
    """What a comparison has found, each of shape (row, col) of the coarse cells.

    Parameters
    ----------
    compared, wrong, tied : ndarray of bool
        Cells that are known with all of their footprint; those that are not as they should be; those of which several
        values would have been right.
    expected : ndarray of float64
        NaN where there should be no data.
    """

    compared: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    tied: NDArray[np.bool_]
    expected: NDArray[np.float64]


def compare(
    coarse: Cells, fine: Cells, factor: tuple[int, int], method: str, *, missing: tuple[Any, ...] = (), at: int = -1
) -> Verdict:
    """Derive cells anew and compare.

    Parameters
    ----------
    coarse : Cells, shape (row, col)
        What a level holds.
    fine : Cells, shape (row * factor, col * factor)
        Its footprint.
    factor : tuple of (int, int)
        Finer cells along rows and columns of a coarse one.
    method : str
        One of `reference.METHODS`.
    missing : tuple of scalar
        Stored values that mean "no data". A result that comes out as one of them has to be moved by one.
    at : int
        For `nearest`, the position within the window, row by row, of the cell that is taken; by default the centre.

    Raises
    ------
    ParameterError
        If the method is unknown, or not for values of this type.
    """
    cells, mask = reference.windows(fine.values, fine.valid, factor)
    unknown, _ = reference.windows(~fine.known, ~fine.known, factor)
    compared = coarse.known & ~unknown.any(axis=-1)
    if at >= 0:
        expected, has_data = cells[..., at].astype(np.float64), mask[..., at]
    else:
        expected, has_data = reference.aggregate(fine.values, fine.valid, factor, method)
    found = coarse.values.astype(np.float64)
    tied = np.zeros(found.shape, bool)
    if method == "mode":
        right, tied = _is_mode(found, cells, mask)
    elif method == "median":
        lower, upper = reference.medians(cells, mask)
        slack = _slack(cells, mask, coarse.values.dtype, method, expected, missing)
        right = (found >= lower - slack) & (found <= upper + slack)
    else:
        slack = _slack(cells, mask, coarse.values.dtype, method, expected, missing)
        with np.errstate(invalid="ignore"):
            right = (np.abs(found - expected) <= slack) | (found == expected)
    agrees = np.where(has_data, coarse.valid & right, ~coarse.valid)
    return Verdict(compared, compared & ~agrees, compared & tied, np.where(has_data, expected, np.nan))


def _slack(
    cells: NDArray[Any],
    mask: NDArray[np.bool_],
    dtype: np.dtype[Any],
    method: str,
    expected: NDArray[np.float64],
    missing: tuple[Any, ...],
) -> NDArray[np.float64]:
    """By how much a value may differ from the one that is expected."""
    with np.errstate(invalid="ignore", over="ignore"):
        sizes = np.abs(np.where(mask, cells, 0).astype(np.float64))
        scale = sizes.sum(axis=-1) if method == "sum" else sizes.max(axis=-1, initial=0)
        if dtype.kind == "f":
            info = np.finfo(dtype)
            roundings = _ROUNDINGS if method in ("average", "sum") else 1
            return np.asarray(roundings * float(info.eps) * scale + float(info.smallest_subnormal))
        slack = _EXACT * scale + (0.5 if method in ("average", "median") else 0.0)
        if method in ("average", "median", "sum", "bit-or"):
            for value in missing:
                slack = slack + (np.abs(expected - float(value)) <= slack)
        return np.asarray(slack)


def _is_mode(
    found: NDArray[np.float64], cells: NDArray[Any], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which values are as frequent as any in their window, and where several are."""
    counts = reference.frequencies(cells, mask)
    most = counts.max(axis=-1, initial=0)
    is_found = (cells.astype(np.float64) == found[..., np.newaxis]) & mask
    # Cells that hold a most frequent value: more than its count where there are several such values.
    tied = ((counts == most[..., np.newaxis]) & mask).sum(axis=-1) > most
    return (np.where(is_found, counts, 0).max(axis=-1, initial=0) == most), tied
