"""What a pyramid must hold, worked out slowly and plainly.

It shares no code with the builder: numpy, exact fractions and one pyproj evaluation a pixel. Every level is derived
from the finest values directly, never from the level below.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

Values = NDArray[Any]
Mask = NDArray[np.bool_]


def sums(values: Values, valid: Mask, factor: int) -> tuple[Values, NDArray[np.int64]]:
    """Sum and number of the valid values in windows of `factor` x `factor`, partial ones at the far edges included.

    Integers are added as int64, floats as float64.
    """
    kind = np.float64 if values.dtype.kind == "f" else np.int64
    kept = np.where(valid, values, 0).astype(kind)
    return _add(kept, factor), _add(valid.astype(np.int64), factor)


def _add(array: Values, factor: int) -> Values:
    rows, cols = array.shape[-2:]
    with np.errstate(invalid="ignore"):
        down = np.add.reduceat(array, np.arange(0, rows, factor), axis=-2)
        added: Values = np.add.reduceat(down, np.arange(0, cols, factor), axis=-1)
    return added


def mean(values: Values, valid: Mask, factor: int, *, nodata: float, is_nodata: bool = True) -> tuple[Values, Mask]:
    """Mean of the valid values in windows of `factor` x `factor`, rounded once to the dtype.

    Integers are rounded half to even. A mean that would be `nodata` is moved to the next value on the side of the exact
    mean (up where that is `nodata` itself), or inwards at the end of the dtype's range.
    """
    total, weight = sums(values, valid, factor)
    some = np.maximum(weight, 1)
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            exact = total / some
            rounded = exact.astype(values.dtype)
        has_data = (weight > 0) & ~np.isnan(exact)
        if is_nodata and not math.isnan(nodata):
            stands_for_none = has_data & (rounded == values.dtype.type(nodata))
            ends = np.where(exact >= nodata, np.inf, -np.inf).astype(values.dtype)
            rounded = np.where(stands_for_none, np.nextafter(rounded, ends), rounded)
        return np.where(has_data, rounded, values.dtype.type(nodata)), has_data
    quotient, rest = np.divmod(total, some)
    rounded = quotient + ((2 * rest > some) | ((2 * rest == some) & (quotient % 2 == 1)))
    has_data = weight > 0
    if is_nodata:
        info = np.iinfo(values.dtype)
        up = (total >= int(nodata) * weight) & (nodata != info.max) | (nodata == info.min)
        rounded = np.where(has_data & (rounded == int(nodata)), int(nodata) + np.where(up, 1, -1), rounded)
    return np.where(has_data, rounded, int(nodata)).astype(values.dtype), has_data


def exact_mean(numbers: list[Any]) -> Fraction:
    """Mean without any rounding."""
    return sum((Fraction(number) for number in numbers), Fraction(0)) / len(numbers)


def sample(values: Values, factor: int) -> Values:
    """Finest value at the centre of each window: index `i * factor + factor // 2`.

    Where that lies beyond the last row or column, the window's first stands in.
    """
    rows, cols = (_centres(size, factor) for size in values.shape[-2:])
    return values[..., rows[:, None], cols]


def _centres(size: int, factor: int) -> NDArray[np.int64]:
    starts = np.arange(0, size, factor)
    middles = starts + factor // 2
    return np.where(middles < size, middles, starts)


def centres(
    shape: tuple[int, int], transform: tuple[float, ...], *, crs: pyproj.CRS, source: pyproj.CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`(x, y)` in the source's CRS of each pixel's centre: one evaluation of the transformation a pixel.

    `transform` is (a, b, c, d, e, f): x = a col + b row + c, y = d col + e row + f.
    """
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    a, b, c, d, e, f = transform
    return carried(a * cols + b * rows + c, d * cols + e * rows + f, crs=crs, source=source)


def carried(
    x: NDArray[np.float64], y: NDArray[np.float64], *, crs: pyproj.CRS, source: pyproj.CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Carry coordinates to another CRS, one by one."""
    if crs == source:
        return x, y
    found_x, found_y = pyproj.Transformer.from_crs(crs, source, always_xy=True).transform(x, y)
    return np.asarray(found_x), np.asarray(found_y)


def in_pixels(
    x: NDArray[np.float64], y: NDArray[np.float64], transform: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`(col, row)` of coordinates in a raster, (0, 0) being the outer corner of its first pixel."""
    a, b, c, d, e, f = transform
    determinant = a * e - b * d
    with np.errstate(invalid="ignore"):
        return (e * (x - c) - b * (y - f)) / determinant, (a * (y - f) - d * (x - c)) / determinant


def interpolate(values: Values, valid: Mask, col: float, row: float, method: str) -> float:
    """Exact value at one position, as float64; NaN where the pixel under it holds no data.

    nearest: that pixel. bilinear: the four around, weighed and divided by the weights of the valid ones. cubic:
    Catmull-Rom over sixteen, or bilinear where one of them is missing.
    """
    height, width = values.shape
    r, c = math.floor(row), math.floor(col)
    if not (0 <= r < height and 0 <= c < width and valid[r, c]):
        return math.nan
    if method == "nearest":
        return float(values[r, c])
    top, left = math.floor(row - 0.5), math.floor(col - 0.5)
    down, right = row - 0.5 - top, col - 0.5 - left
    if method == "cubic" and 1 <= top < height - 2 and 1 <= left < width - 2:
        square = np.s_[top - 1 : top + 3, left - 1 : left + 3]
        if valid[square].all():
            with np.errstate(invalid="ignore"):
                return _weighed(_keys(down), _keys(right), values[square].astype(np.float64))
    total = weight = 0.0
    for i, share_down in ((top, 1 - down), (top + 1, down)):
        for j, share_right in ((left, 1 - right), (left + 1, right)):
            share = share_down * share_right
            if share > 0 and 0 <= i < height and 0 <= j < width and valid[i, j]:
                total += share * float(values[i, j])
                weight += share
    return total / weight


def _weighed(down: list[float], right: list[float], square: NDArray[np.float64]) -> float:
    total = 0.0
    for i in range(4):
        for j in range(4):
            if down[i] * right[j] != 0:
                total += down[i] * right[j] * square[i, j]
    return float(total)


def _keys(t: float) -> list[float]:
    """Catmull-Rom weights of the four samples at -1, 0, 1, 2 for a position `t` between 0 and 1, from the spline."""
    return [
        -t / 2 + t**2 - t**3 / 2,
        1 - 5 * t**2 / 2 + 3 * t**3 / 2,
        t / 2 + 2 * t**2 - 3 * t**3 / 2,
        -(t**2) / 2 + t**3 / 2,
    ]


def box_mean(values: Values, valid: Mask, *, left: float, right: float, top: float, bottom: float) -> float:
    """Mean over a box in pixels, each valid pixel weighed by the area it shares with the box; NaN where none does."""
    left, right = sorted((left, right))
    top, bottom = sorted((top, bottom))
    across = _overlap(values.shape[1], left, right)
    along = _overlap(values.shape[0], top, bottom)
    weights = np.where(valid, along[:, None] * across, 0.0)
    total = math.fsum((weights * np.where(valid, values, 0).astype(np.float64)).ravel())
    weight = math.fsum(weights.ravel())
    return total / weight if weight > 0 else math.nan


def _overlap(size: int, start: float, stop: float) -> NDArray[np.float64]:
    edges = np.arange(size + 1, dtype=np.float64)
    return np.maximum(0.0, np.minimum(stop, edges[1:]) - np.maximum(start, edges[:-1]))


def stored(exact: NDArray[np.float64], dtype: np.dtype[Any], *, nodata: float, is_nodata: bool = True) -> Values:
    """Round float64 results half to even, saturate and put `nodata` for NaN; a result equal to it moves a step."""
    missing = np.isnan(exact)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            out = exact.astype(dtype)
        if is_nodata and not math.isnan(nodata):
            hit = ~missing & (out == dtype.type(nodata))
            out = np.where(hit, np.nextafter(out, np.where(exact >= nodata, np.inf, -np.inf).astype(dtype)), out)
        return np.where(missing, dtype.type(nodata), out)
    info = np.iinfo(dtype)
    whole = np.clip(np.rint(np.where(missing, 0, exact)), float(info.min), float(info.max))
    if is_nodata:
        up = (exact >= whole) & (whole < info.max) | (whole <= info.min)
        whole = np.where(whole == nodata, whole + np.where(up, 1, -1), whole)
    return np.where(missing, nodata, whole).astype(dtype)
