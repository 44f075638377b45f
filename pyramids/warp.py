"""Resampling: source values and mask -> target values and mask, at given source positions.

`nearest`, `bilinear`, `cubic` and `lanczos` look at the source around the centre of a target pixel
(pyramids/points.py), and a target pixel is valid exactly if the source pixel under its centre is: interpolation neither
grows nor erodes the data. The others look at all source pixels that a target pixel shares area with
(pyramids/areas.py), and a target pixel is valid where any valid pixel shares some.

A window of the source is enough to work on: positions are in pixels of the whole raster, and the window's offset is
taken off only after the neighbours are chosen, so that the same pixel gives the same bits from any window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from geozarr.errors import ParameterError
from pyramids import areas, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geozarr.window import Window
    from pyramids.control import Mapping, Positions

POINT_METHODS = ("nearest", "bilinear", "cubic", "lanczos")
AREA_METHODS = ("average", "sum", "min", "max", "mode", "median", "bit-or")
METHODS = (*POINT_METHODS, *AREA_METHODS)
MARGIN = {"nearest": 0, "bilinear": 1, "cubic": 2, "lanczos": 3}  # source pixels beyond the outermost position
AREA_MARGIN = 1

Array: TypeAlias = "NDArray[Any]"
Mask: TypeAlias = "NDArray[np.bool_]"

_WEIGHING = ("bilinear", "cubic", "lanczos", "average", "sum", "median")  # that add values up: infinities can meet
_EVERYWHERE = np.ones((1, 1, 1), np.bool_)  # stands for the mask of a window in which all is valid


def positions(mapping: Mapping, window: Window, method: str) -> Positions:
    """Where a method needs a window's pixels to lie: their centres, or for areas their corners."""
    return mapping.corners(window) if method in AREA_METHODS else mapping.centres(window)


def needed(where: Positions, method: str) -> Window:
    """Source pixels that a method needs for positions; not cut to the source, empty where there is none."""
    return where.source_window(margin=MARGIN.get(method, AREA_MARGIN))


def resample(
    values: Array,
    valid: Mask | None,
    *,
    window: Window,
    where: Positions,
    method: str,
    nodata: Sequence[float],
    is_nodata: bool = True,
    turn: tuple[float, float] = (0.0, 0.0),
    out: tuple[Array, Mask] | None = None,
    place: tuple[int, int] = (0, 0),
) -> tuple[Array, Mask]:
    """Resample slices of one dtype that share positions.

    Parameters
    ----------
    values : ndarray, shape (slice, row, col)
        Source values, C-contiguous, in any integer or float dtype.
    valid : ndarray of bool, shape (slice, row, col) or (1, row, col), or None
        True where the pixel holds data; one mask may serve all slices; None where all hold data.
    window : Window
        Where the values stand in the source, in pixels. What lies outside it is taken as missing, so it must hold
        all positions and `MARGIN` pixels around them, or reach to the edge of the source.
    where : Positions
        Source positions in pixels, (0, 0) being the outer corner of the first pixel: of the target pixels' centres,
        or for `AREA_METHODS` of their corners, one more along each axis.
    method : str
        One of `METHODS`.
    nodata : sequence of float
        Written where nothing is valid; one a slice.
    is_nodata : bool
        True where readers take `nodata` for missing: a valid result that would equal it is then moved by the smallest
        step of the dtype. False where an alpha variable tells what is missing.
    turn : tuple of (float, float)
        Source columns and rows after which positions begin anew, for longitudes; zeros where they never do. Areas
        need it: the corners of one target pixel may lie on both sides of that seam.
    out : tuple of ndarray, optional
        Values and mask to write into, shape (slice, row, col) or larger.
    place : tuple of (int, int)
        Row and column of `out` at which the result begins.

    Returns
    -------
    values : ndarray, shape (slice, row, col)
        In the dtype of the source; integers are rounded half to even and saturate. 64-bit integers pass through
        float64 where they are interpolated or averaged.
    valid : ndarray of bool, shape (slice, row, col)
        False where the source has no data, and where infinities of both signs met.

    Raises
    ------
    ParameterError
        If the method is none of `METHODS`, or `bit-or` of floats.
    """
    check_method(method, values.dtype)
    is_area = method in AREA_METHODS
    rows, cols = (side - is_area for side in where.shape)
    if out is None:
        shape = (values.shape[0], rows, cols)
        out = np.empty(shape, values.dtype), np.empty(shape, np.bool_)
    mask = _EVERYWHERE if valid is None else valid
    fill = np.asarray(nodata, values.dtype)
    low, high = _range(values.dtype)
    source = (values, mask, valid is not None, (window.row, window.col))
    target = (out[0], out[1], place, (rows, cols))
    rules = (low, high, values.dtype.kind != "f", is_nodata)
    if is_area:
        areas.resample(method, source, where.lattice, target, fill, rules, turn)
    else:
        points.resample(method, source, where.lattice, target, fill, rules)
    return out


def undefined(
    values: Array,
    valid: Mask | None,
    found: Mask,
    *,
    window: Window,
    where: Positions,
    method: str,
    turn: tuple[float, float] = (0.0, 0.0),
) -> int:
    """Count the target pixels that have no result because infinities met, whose mean is no number.

    They are told from pixels without data by resampling once more with zeros in place of the infinities; where there
    are none, as nearly always, nothing is resampled.

    Parameters
    ----------
    values, valid, window, where, method, turn
        As for `resample`.
    found : ndarray of bool, shape (slice, row, col)
        The mask that it has written.
    """
    if values.dtype.kind != "f" or method not in _WEIGHING:
        return 0
    count = 0
    for number, plane in enumerate(values):
        if found[number].all():
            continue
        is_infinite = np.isinf(plane)
        if not is_infinite.any():
            continue
        calm = np.where(is_infinite, values.dtype.type(0), plane)[np.newaxis]
        mask = None if valid is None else valid[min(number, len(valid) - 1)][np.newaxis]
        how: dict[str, Any] = {"window": window, "where": where, "method": method, "turn": turn}
        _, held = resample(calm, mask, nodata=[0], is_nodata=False, **how)
        count += int(np.count_nonzero(held[0] & ~found[number]))
    return count


def check_method(method: str, dtype: np.dtype[Any]) -> None:
    """Refuse a method that does not exist, or makes no sense for a dtype.

    Raises
    ------
    ParameterError
        Naming the method and what may be had.
    """
    if method not in METHODS:
        raise ParameterError("resampling", found=method, expected=f"one of {', '.join(METHODS)}")
    if method == "bit-or" and dtype.kind == "f":
        raise ParameterError("resampling", found=f"bit-or of {dtype.name}", expected="integers, which hold flags")


def _range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Lowest and highest float64 that a result may take before it saturates."""
    if dtype.kind == "f":
        return -np.inf, np.inf
    info = np.iinfo(dtype)
    # 2**63 - 1 and 2**64 - 1 are no float64: the next below is, and converts without overflow.
    high = float(info.max) if dtype.itemsize < 8 else float(np.nextafter(float(info.max), 0.0))
    return float(info.min), high
