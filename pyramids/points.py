"""Kernels that look at the source around one point: nearest, bilinear, cubic and lanczos.

`nearest` takes the pixel a position falls in. `bilinear` weighs the four pixels around it; where some are missing, the
valid ones among them. `cubic` weighs 16: Catmull-Rom (Keys 1981, doi:10.1109/TASSP.1981.1163711, a = -1/2, as GDAL).
`lanczos` weighs 36: the sinc windowed by a sinc of three periods, its weights divided by their sum (as GDAL). Where one
pixel of the 16 or 36 is missing, both fall back to bilinear.

Rows of bilinear positions are turned into an index and two fractions a pixel, once for all slices; values are gathered
with these. Where a window holds nothing but data, no mask is looked at. Every way does the same arithmetic in the same
order, so which one was taken never shows in a pixel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pyramids.control import fill_row
from pyramids.fold_cells import off_float
from pyramids.kernels import jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyramids.control import Lattice


_UNKNOWN = 1.2345678e301  # stands for a result that is not known yet; such a result itself is computed twice
_TAPS = {"cubic": 4, "lanczos": 6}
_COSINES = tuple(math.cos(math.pi * k / 3) for k in range(-2, 4))
_SINES = tuple(math.sin(math.pi * k / 3) for k in range(-2, 4))


def resample(
    method: str,
    source: tuple[NDArray[Any], NDArray[np.bool_], bool, tuple[int, int]],
    lattice: Lattice,
    target: tuple[NDArray[Any], NDArray[np.bool_], tuple[int, int], tuple[int, int]],
    fill: NDArray[Any],
    rules: tuple[float, float, bool, bool],
) -> None:
    """Run the kernel of a method.

    Parameters
    ----------
    method : str
        nearest, bilinear, cubic or lanczos.
    source : tuple
        Values (slice, row, col), mask (slice or 1, row, col), whether the mask counts, row and column of the window.
    lattice : Lattice
        Positions of the pixels' centres.
    target : tuple
        Values and mask to write, the row and column at which to begin, rows and columns to write.
    fill : ndarray, shape (slice,)
        Written where nothing is valid.
    rules : tuple
        Lowest and highest value, whether they are integers, whether `fill` means missing.
    """
    values, mask, has_mask, offset = source
    if method == "nearest":
        _nearest(values, mask, has_mask, offset, lattice, *target, fill)
    elif method == "bilinear":
        _bilinear(values, mask, has_mask, offset, lattice, *target, fill, rules)
    else:
        _convolve(values, mask, has_mask, offset, lattice, *target, fill, rules, _TAPS[method])


@jit
def _nearest(values, mask, has_mask, offset, lattice, out, out_valid, place, size, fill):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba infers
    height, width = values.shape[1:]
    cols, rows = np.empty(size[1]), np.empty(size[1])
    index = np.empty(size[1], np.int64)
    for i in range(size[0]):
        fill_row(lattice, i, cols, rows)
        for j in range(size[1]):
            index[j] = -1
            if not (np.isnan(cols[j]) or np.isnan(rows[j])):
                r = np.int64(np.floor(rows[j])) - offset[0]
                c = np.int64(np.floor(cols[j])) - offset[1]
                if 0 <= r < height and 0 <= c < width:
                    index[j] = r * width + c
        for b in range(values.shape[0]):
            flat = values[b].ravel()
            valid = mask[min(b, mask.shape[0] - 1)].ravel()
            line = out[b, place[0] + i, place[1] : place[1] + size[1]]
            line_valid = out_valid[b, place[0] + i, place[1] : place[1] + size[1]]
            for j in range(size[1]):
                k = index[j]
                found = k >= 0 and (not has_mask or valid[k])
                line[j] = flat[k] if found else fill[b]
                line_valid[j] = found


@jit
def _split(cols, rows, offset, width, index, across, down):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Turn positions into the flat index of the pixel before each, and how far beyond its centre they are."""
    for j in range(index.shape[0]):
        x, y = cols[j] - 0.5, rows[j] - 0.5  # centres are at halves
        left, top = np.floor(x), np.floor(y)
        across[j] = x - left
        down[j] = y - top
        index[j] = np.int32(np.int32(np.int32(top) - np.int32(offset[0])) * width) + np.int32(
            np.int32(left) - np.int32(offset[1])
        )


@jit
def _between(a, b, c, d, across, down):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Bilinear value between a b above and c d below."""
    above = (1.0 - across) * np.float64(a) + across * np.float64(b)
    below = (1.0 - across) * np.float64(c) + across * np.float64(d)
    return (1.0 - down) * above + down * below


@jit
def _gather(flat, width, index, across, down, fill, is_integer, line):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Interpolate a row in which all is valid; tell whether all results are numbers other than nodata."""
    # Unsigned indexes spare numba's test for negative ones, which keeps the loop from being vectorised.
    one, below = np.uint64(1), np.uint64(width)
    is_odd = False
    for j in range(line.shape[0]):
        k = np.uint64(index[j])
        value = _between(flat[k], flat[k + one], flat[k + below], flat[k + below + one], across[j], down[j])
        is_odd |= np.isnan(value)
        stored = line.dtype.type(np.rint(value) if is_integer else value)
        is_odd |= stored == fill
        line[j] = stored
    return not is_odd


@jit
def _bilinear(values, mask, has_mask, offset, lattice, out, out_valid, place, size, fill, rules):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    height, width = values.shape[1:]
    cols, rows, exact = np.empty(size[1]), np.empty(size[1]), np.empty(size[1])
    across, down = np.empty(size[1]), np.empty(size[1])
    index = np.empty(size[1], np.int32)
    for i in range(size[0]):
        fill_row(lattice, i, cols, rows)
        is_inside = _lie_inside(cols, rows, offset, height, width)
        if is_inside:
            _split(cols, rows, offset, np.int32(width), index, across, down)
        for b in range(values.shape[0]):
            plane, valid = values[b], mask[min(b, mask.shape[0] - 1)]
            if is_inside and has_mask:
                _gather_valid(plane.ravel(), valid.ravel(), width, index, across, down, exact)
                for j in range(size[1]):
                    if exact[j] == _UNKNOWN:
                        exact[j] = _bilinear_at(plane, valid, has_mask, cols[j], rows[j], offset)
            elif is_inside:
                line = out[b, place[0] + i, place[1] : place[1] + size[1]]
                if _gather(plane.ravel(), width, index, across, down, fill[b], rules[2], line):
                    out_valid[b, place[0] + i, place[1] : place[1] + size[1]] = True
                    continue
                for j in range(size[1]):
                    exact[j] = _bilinear_at(plane, valid, has_mask, cols[j], rows[j], offset)
            else:
                _look(plane, valid, has_mask, cols, rows, offset, exact)
            _store(exact, rules, fill[b], out[b], out_valid[b], place[0] + i, place[1])


@jit
def _look(plane, valid, has_mask, cols, rows, offset, exact):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Interpolate a row that lies partly beyond the window."""
    height, width = plane.shape
    for j in range(exact.shape[0]):
        x, y = cols[j] - 0.5, rows[j] - 0.5
        left, top = np.floor(x), np.floor(y)
        r, c = np.int64(top) - offset[0], np.int64(left) - offset[1]
        exact[j] = np.nan
        if np.isnan(x) or np.isnan(y) or r < -1 or c < -1 or r >= height or c >= width:
            continue
        if r >= 0 and c >= 0 and r + 1 < height and c + 1 < width:
            p, q = np.uint64(r), np.uint64(c)
            one = np.uint64(1)
            count = 4
            if has_mask:
                upper, lower = valid[p], valid[p + one]
                count = np.int64(upper[q]) + upper[q + one] + lower[q] + lower[q + one]
                if count == 0:
                    continue
            if count == 4:
                above, below = plane[p], plane[p + one]
                exact[j] = _between(above[q], above[q + one], below[q], below[q + one], x - left, y - top)
                if not np.isnan(exact[j]):
                    continue
        exact[j] = _bilinear_at(plane, valid, has_mask, cols[j], rows[j], offset)


@jit
def _lie_inside(cols, rows, offset, height, width):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Tell whether the four pixels around each position of a row lie in the window; False where one has no position."""
    top, left = offset[0] + 0.5, offset[1] + 0.5
    bottom, right = offset[0] + height - 0.5, offset[1] + width - 0.5
    is_inside = True
    for j in range(cols.shape[0]):
        is_inside &= (cols[j] >= left) & (cols[j] < right) & (rows[j] >= top) & (rows[j] < bottom)
    return is_inside


@jit
def _gather_valid(flat, valid, width, index, across, down, exact):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Interpolate where all four pixels are valid; NaN where none is; `_UNKNOWN` where it takes a closer look."""
    one, below = np.uint64(1), np.uint64(width)
    for j in range(exact.shape[0]):
        k = np.uint64(index[j])
        count = np.int64(valid[k]) + valid[k + one] + valid[k + below] + valid[k + below + one]
        value = _UNKNOWN if count > 0 else np.nan
        if count == 4:
            value = _between(flat[k], flat[k + one], flat[k + below], flat[k + below + one], across[j], down[j])
            if np.isnan(value):
                value = _UNKNOWN
        exact[j] = value


@jit
def _bilinear_at(values, valid, has_mask, x, y, offset):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Bilinear value at a position where not all four pixels are there; NaN where the pixel under it is missing."""
    if np.isnan(x) or np.isnan(y):
        return np.nan
    left, top = np.floor(x - 0.5), np.floor(y - 0.5)
    across, down = (x - 0.5) - left, (y - 0.5) - top
    r, c = np.int64(top) - offset[0], np.int64(left) - offset[1]
    under_r, under_c = r + (down >= 0.5), c + (across >= 0.5)
    height, width = values.shape
    if not (0 <= under_r < height and 0 <= under_c < width):
        return np.nan
    if has_mask and not valid[under_r, under_c]:
        return np.nan
    is_inside = r >= 0 and c >= 0 and r + 1 < height and c + 1 < width
    if is_inside and (not has_mask or _all_valid(valid, r, c, 2)):
        value = _between(values[r, c], values[r, c + 1], values[r + 1, c], values[r + 1, c + 1], across, down)
        if not np.isnan(value):
            return value
    return _careful(values, valid, has_mask, r, c, across, down)


@jit
def _careful(values, valid, has_mask, r, c, across, down):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Bilinear value of those among four pixels that are there, are valid and weigh something.

    A pixel of weight 0 must not count: an infinity next door would turn into NaN.
    """
    height, width = values.shape
    total = 0.0
    weights = 0.0
    for k in range(2):
        if r + k < 0 or r + k >= height:
            continue
        for m in range(2):
            if c + m < 0 or c + m >= width:
                continue
            weight = (down if k == 1 else 1.0 - down) * (across if m == 1 else 1.0 - across)
            if weight != 0.0 and (not has_mask or valid[r + k, c + m]):
                total += weight * np.float64(values[r + k, c + m])
                weights += weight
    if weights > 0.0:
        return total if weights == 1.0 else total / weights
    return np.nan


@jit
def _convolve(values, mask, has_mask, offset, lattice, out, out_valid, place, size, fill, rules, taps):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    cols, rows, exact = np.empty(size[1]), np.empty(size[1]), np.empty(size[1])
    across, down = np.empty((size[1], taps)), np.empty((size[1], taps))
    first_rows, first_cols = np.empty(size[1], np.int64), np.empty(size[1], np.int64)
    before = taps // 2 - 1
    height, width = values.shape[1:]
    for i in range(size[0]):
        fill_row(lattice, i, cols, rows)
        for j in range(size[1]):
            first_rows[j] = -1
            left, top = np.floor(cols[j] - 0.5), np.floor(rows[j] - 0.5)
            if np.isnan(left) or np.isnan(top):
                continue
            r, c = np.int64(top) - offset[0] - before, np.int64(left) - offset[1] - before
            if r >= 0 and c >= 0 and r + taps <= height and c + taps <= width:
                first_rows[j], first_cols[j] = r, c
                _weigh(cols[j] - 0.5 - left, across, j)
                _weigh(rows[j] - 0.5 - top, down, j)
        for b in range(values.shape[0]):
            plane, valid = values[b], mask[min(b, mask.shape[0] - 1)]
            for j in range(size[1]):
                r, c = first_rows[j], first_cols[j]
                if r >= 0 and (not has_mask or _all_valid(valid, r, c, taps)):
                    total = 0.0
                    for k in range(taps):
                        line = 0.0
                        for m in range(taps):
                            line += across[j, m] * np.float64(plane[np.uint64(r + k), np.uint64(c + m)])
                        total += down[j, k] * line
                    exact[j] = total if not np.isnan(total) else _weighed(plane, r, c, across[j], down[j])
                else:
                    exact[j] = _bilinear_at(plane, valid, has_mask, cols[j], rows[j], offset)
            _store(exact, rules, fill[b], out[b], out_valid[b], place[0] + i, place[1])


@jit
def _all_valid(valid, r, c, taps):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for k in range(r, r + taps):
        for m in range(c, c + taps):
            if not valid[k, m]:
                return False
    return True


@jit
def _weighed(values, r, c, across, down):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Sum of pixels times weights; pixels of weight 0 do not count, be they infinite."""
    total = 0.0
    for k in range(down.shape[0]):
        if down[k] == 0.0:
            continue
        line = 0.0
        for m in range(across.shape[0]):
            if across[m] != 0.0:
                line += across[m] * np.float64(values[r + k, c + m])
        total += down[k] * line
    return total


@jit
def _weigh(t, weights, j):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Weights of 4 (cubic) or 6 (lanczos) pixels for a position `t` pixels beyond the middle one's centre."""
    if weights.shape[1] == 4:
        weights[j, 0] = ((-0.5 * t + 1.0) * t - 0.5) * t
        weights[j, 1] = (1.5 * t - 2.5) * t * t + 1.0
        weights[j, 2] = ((-1.5 * t + 2.0) * t + 0.5) * t
        weights[j, 3] = (0.5 * t - 0.5) * t * t
        return
    if t == 0.0:
        for m in range(6):
            weights[j, m] = 1.0 if m == 2 else 0.0
        return
    # sinc(x) sinc(x / 3) at x = t - k for k = -2 ... 3, by the addition theorems: sin(pi x) changes its sign only.
    sine, sine_third, cosine_third = np.sin(np.pi * t), np.sin(np.pi * t / 3.0), np.cos(np.pi * t / 3.0)
    total = 0.0
    for m in range(6):
        k = m - 2
        third = sine_third * _COSINES[m] - cosine_third * _SINES[m]
        weights[j, m] = (sine if k % 2 == 0 else -sine) * third / ((t - k) * (t - k))
        total += weights[j, m]
    for m in range(6):
        weights[j, m] /= total


@jit
def _store(exact, rules, fill, out, out_valid, row, first):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Round, saturate and store a row of float64 results; NaN is no data."""
    low, high, is_integer, is_nodata = rules
    line, line_valid = out[row, first : first + exact.shape[0]], out_valid[row, first : first + exact.shape[0]]
    hits = False
    if is_integer:
        for j in range(exact.shape[0]):
            found = not np.isnan(exact[j])
            stored = out.dtype.type(min(max(np.rint(exact[j] if found else 0.0), low), high))
            hits |= found and stored == fill
            line[j] = stored if found else fill
            line_valid[j] = found
    else:
        for j in range(exact.shape[0]):
            found = not np.isnan(exact[j])
            stored = out.dtype.type(exact[j])
            hits |= found and stored == fill
            line[j] = stored if found else fill
            line_valid[j] = found
    if hits and is_nodata:
        for j in range(exact.shape[0]):
            if line_valid[j] and line[j] == fill:
                line[j] = _beside(fill, exact[j], low, high, is_integer, out)


@jit
def _beside(fill, exact, low, high, is_integer, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return the value of the dtype next to nodata, on the side of the exact result where there is one."""
    value = np.float64(fill)
    up = min(max(exact, low), high) >= value
    if is_integer:
        if value >= high:
            up = False
        elif value <= low:
            up = True
        one = out.dtype.type(1)
        return out.dtype.type(fill + one) if up else out.dtype.type(fill - one)
    return off_float(fill, exact)
