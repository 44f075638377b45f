"""What a pyramid must hold, worked out slowly and plainly.

It shares no code with the builder: numpy, exact fractions and one pyproj evaluation a pixel. Every level is derived
from the finest values directly, never from the level below.
"""

from __future__ import annotations

import functools
import math
import operator
from collections import Counter
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


def fold(
    values: Values, valid: Mask, factor: int, method: str, *, nodata: float, is_nodata: bool = True
) -> tuple[Values, Mask]:
    """What a level holds whose cells are windows of `factor` x `factor` finest values, partial ones at the far edges.

    nearest: the value at the centre. min, max, bit-or: of the valid values, as they are. average, sum, median, mode:
    see `aggregate`; rounded once, saturated, and moved off `nodata`.
    """
    if method == "nearest":
        chosen = sample(valid, factor)
        return np.where(chosen, sample(values, factor), _typed(nodata, values.dtype)), chosen
    if method == "average" and (values.dtype.kind == "f" or values.dtype.itemsize < 8):
        return mean(values, valid, factor, nodata=nodata, is_nodata=is_nodata)
    shape = tuple(-(-size // factor) for size in values.shape)
    found, found_valid = np.full(shape, _typed(nodata, values.dtype)), np.zeros(shape, bool)
    for row, col in np.ndindex(*shape):
        window = np.s_[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
        numbers = values[window][valid[window]]
        exact = aggregate(numbers.tolist(), method) if numbers.size else math.nan
        if exact == exact:  # noqa: PLR0124 - NaN differs from itself
            found[row, col] = _rounded(exact, values.dtype, nodata, is_nodata=is_nodata, is_picked=method in PICKED)
            found_valid[row, col] = True
    return found, found_valid


PICKED = ("min", "max", "mode", "bit-or")  # methods whose results are values of the source, or bits of them


def aggregate(numbers: list[Any], method: str) -> Any:
    """Exact aggregate of some numbers: integers and fractions for integers, floats for floats (NaN for none).

    mode: the most frequent, of equally frequent ones the smallest. median: the middle one, or the mean of two.
    """
    if method == "mode":
        counts = Counter(numbers)
        return min(number for number, count in counts.items() if count == max(counts.values()))
    if method == "bit-or":
        return functools.reduce(operator.or_, numbers)
    if method in ("min", "max"):
        return min(numbers) if method == "min" else max(numbers)
    if method == "median":
        ordered = sorted(numbers)
        numbers = [ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]]
    if isinstance(numbers[0], float):
        total = math.fsum(numbers) if np.isfinite(numbers).all() else sum(numbers)
        return total if method == "sum" else total / len(numbers)
    return sum(numbers) if method == "sum" else Fraction(sum(numbers), len(numbers))


def _typed(number: float, dtype: np.dtype[Any]) -> Any:
    return dtype.type(number)


def _rounded(exact: Any, dtype: np.dtype[Any], nodata: float, *, is_nodata: bool, is_picked: bool) -> Any:
    """Bring an exact result to a dtype: half to even, saturated; off `nodata` by a step, unless it was picked."""
    if is_picked:
        return exact
    if dtype.kind == "f":
        return stored(np.array(exact), dtype, nodata=nodata, is_nodata=is_nodata)[()]
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    whole = min(max(round(exact), low), high)
    if is_nodata and whole == nodata:
        up = exact >= whole if low < whole < high else whole == low
        whole += 1 if up else -1
    return whole


def interpolate(values: Values, valid: Mask, col: float, row: float, method: str) -> float:
    """Exact value at one position, as float64; NaN where the pixel under it holds no data.

    nearest: that pixel. bilinear: the four around, weighed and divided by the weights of the valid ones. cubic:
    Catmull-Rom over sixteen; lanczos: the windowed sinc over thirty-six, divided by the sum of its weights; both are
    bilinear where one of them is missing.
    """
    height, width = values.shape
    r, c = math.floor(row), math.floor(col)
    if not (0 <= r < height and 0 <= c < width and valid[r, c]):
        return math.nan
    if method == "nearest":
        return float(values[r, c])
    top, left = math.floor(row - 0.5), math.floor(col - 0.5)
    down, right = row - 0.5 - top, col - 0.5 - left
    reach = {"cubic": 2, "lanczos": 3}.get(method, 0)
    if reach and reach - 1 <= top < height - reach and reach - 1 <= left < width - reach:
        square = np.s_[top - reach + 1 : top + reach + 1, left - reach + 1 : left + reach + 1]
        if valid[square].all():
            weigh = _keys if method == "cubic" else _windowed_sinc
            with np.errstate(invalid="ignore"):
                return _weighed(weigh(down), weigh(right), values[square].astype(np.float64))
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
    for i in range(len(down)):
        for j in range(len(right)):
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


def _windowed_sinc(t: float) -> list[float]:
    """Weights sinc(x) sinc(x / 3) of the samples at -2 ... 3 for a position `t` between 0 and 1, divided by their sum.

    At a sample itself the sinc is exactly 0 or 1, which `sin(pi k)` in floating point is not.
    """
    if t == 0:
        return [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    weights = [float(np.sinc(t - k) * np.sinc((t - k) / 3)) for k in range(-2, 4)]
    return [weight / math.fsum(weights) for weight in weights]


def box(values: Values, valid: Mask, method: str, *, left: float, right: float, top: float, bottom: float) -> Any:
    """Aggregate over an upright box in pixels; NaN where it shares no area with a valid pixel.

    average, sum: each valid pixel counts by the area that it shares with the box. mode: the value that covers most, of
    equal ones the smallest. median: the value up to which half of the area is covered, or the mean of two where that
    is exactly half. min, max, bit-or: of all pixels that share area.
    """
    left, right = sorted((left, right))
    top, bottom = sorted((top, bottom))
    weights = np.where(
        valid, _overlap(values.shape[0], top, bottom)[:, None] * _overlap(values.shape[1], left, right), 0.0
    )
    inside = weights > 0
    if not inside.any():
        return math.nan
    numbers, shares = values[inside].tolist(), weights[inside].tolist()
    if method in ("min", "max", "bit-or"):
        return aggregate(numbers, method)
    if method in ("average", "sum"):
        total = math.fsum(float(number) * share for number, share in zip(numbers, shares, strict=True))
        return total if method == "sum" else total / math.fsum(shares)
    areas: dict[Any, float] = {}
    for number, share in zip(numbers, shares, strict=True):
        areas[number] = areas.get(number, 0.0) + share
    noise = 1e-9 * math.fsum(shares)  # areas are sums of products: equal ones may differ in their last bits
    ordered = sorted(areas)
    if method == "mode":
        return next(number for number in ordered if areas[number] >= max(areas.values()) - noise)
    half, below = math.fsum(shares) / 2, 0.0
    for number, following in zip(ordered, [*ordered[1:], ordered[-1]], strict=True):
        below += areas[number]
        if abs(below - half) <= noise:
            return (float(number) + float(following)) / 2
        if below > half:
            return number
    raise AssertionError("half of the area is reached before the last value")


def box_mean(values: Values, valid: Mask, *, left: float, right: float, top: float, bottom: float) -> float:
    """Mean over a box in pixels, each valid pixel weighed by the area it shares with the box; NaN where none does."""
    return float(box(values, valid, "average", left=left, right=right, top=top, bottom=bottom))


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
    low, high = float(info.min), float(info.max)
    if dtype.itemsize == 8:
        high = float(np.nextafter(high, 0.0))  # 2**63 - 1 and 2**64 - 1 are no float64, the next above overflows
    whole = np.clip(np.rint(np.where(missing, 0, exact)), low, high)
    if is_nodata:
        up = (exact >= whole) & (whole < high) | (whole <= low)
        whole = np.where(whole == nodata, whole + np.where(up, 1, -1), whole)
    return np.where(missing, dtype.type(nodata), whole.astype(dtype))
