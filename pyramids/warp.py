"""Resampling kernels: source values and mask -> target values and mask, at given source positions.

`nearest` takes the pixel a position falls in. `bilinear` and `cubic` weigh the 4 or 16 pixels around it; `cubic` is
Catmull-Rom (a = -1/2, as GDAL), and where one of its 16 pixels is missing it falls back to `bilinear`, which weighs the
valid ones among its four. For all three a target pixel is valid exactly if the source pixel under its centre is:
interpolation neither grows nor erodes the data. `average` weighs every source pixel by the area it shares with the
target pixel, and is valid where any valid pixel shares some.

A window of the source is enough to work on: positions are in pixels of the whole raster, and the window's offset is
taken off only after the neighbours are chosen, so that the same pixel gives the same bits from any window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numba
import numpy as np

from geozarr.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geozarr.window import Window

METHODS = ("nearest", "bilinear", "cubic", "average")
MARGIN = {"nearest": 0, "bilinear": 1, "cubic": 2, "average": 1}  # source pixels beyond the outermost position
NEGLIGIBLE = 1e-6  # of a pixel's area: less is rounding noise of the positions

Array: TypeAlias = "NDArray[Any]"
Mask: TypeAlias = "NDArray[np.bool_]"
Positions: TypeAlias = "NDArray[np.float64]"

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


def resample(
    values: Array,
    valid: Mask,
    *,
    window: Window,
    cols: Positions,
    rows: Positions,
    method: str,
    nodata: float,
    is_nodata: bool = True,
    turn: tuple[float, float] = (0.0, 0.0),
) -> tuple[Array, Mask]:
    """Resample one 2-D slice.

    Parameters
    ----------
    values : ndarray, shape `window.shape`
        Source values, in any integer or float dtype.
    valid : ndarray of bool, shape `window.shape`
        True where the pixel holds data.
    window : Window
        Where the values stand in the source, in pixels. What lies outside it is taken as missing, so it must hold
        all positions and `MARGIN` pixels around them, or reach to the edge of the source.
    cols, rows : ndarray of float64
        Source positions in pixels, (0, 0) being the outer corner of the first pixel: of the target pixels' centres,
        shape (row, col); for `average` of their corners, shape (row + 1, col + 1). NaN has no source.
    method : str
        One of `METHODS`.
    nodata : float
        Written where nothing is valid.
    is_nodata : bool
        True where readers take `nodata` for missing: a valid result that would equal it is then moved by the smallest
        step of the dtype. False where an alpha variable tells what is missing.
    turn : tuple of (float, float)
        Source columns and rows after which positions begin anew, for longitudes; zeros where they never do. `average`
        needs it: the corners of one target pixel may lie on both sides of that seam.

    Returns
    -------
    values : ndarray, shape (row, col)
        In the dtype of the source; integers are rounded half to even and saturate.
    valid : ndarray of bool, shape (row, col)
        False where the source has no data, and where infinities of both signs met.

    Raises
    ------
    ParameterError
        If the method is none of `METHODS`.
    """
    if method not in METHODS:
        raise ParameterError("resampling", found=method, expected=f"one of {', '.join(METHODS)}")
    shape = cols.shape if method != "average" else (cols.shape[0] - 1, cols.shape[1] - 1)
    out = np.empty(shape, values.dtype)
    out_valid = np.empty(shape, np.bool_)
    offset = (window.row, window.col)
    if method == "nearest":
        _nearest(values, valid, offset, cols, rows, values.dtype.type(nodata), out, out_valid)
        return out, out_valid
    low, high = _range(values.dtype)
    exact = np.empty(shape, np.float64)
    if method == "average":
        _average(values, valid, offset, cols, rows, turn, exact)
    else:
        _interpolate(values, valid, offset, cols, rows, method == "cubic", exact)
    _store(exact, low, high, values.dtype.kind != "f", values.dtype.type(nodata), is_nodata, out, out_valid)
    return out, out_valid


def _range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Lowest and highest value that a result may take before it saturates."""
    if dtype.kind == "f":
        return -np.inf, np.inf
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


@_jit
def _nearest(values, valid, offset, cols, rows, nodata, out, out_valid):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba infers
    height, width = values.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = nodata
            out_valid[i, j] = False
            if np.isnan(cols[i, j]) or np.isnan(rows[i, j]):
                continue
            r = int(np.floor(rows[i, j])) - offset[0]
            c = int(np.floor(cols[i, j])) - offset[1]
            if 0 <= r < height and 0 <= c < width and valid[r, c]:
                out[i, j] = values[r, c]
                out_valid[i, j] = True


@_jit
def _interpolate(values, valid, offset, cols, rows, cubic, exact):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    height, width = values.shape
    for i in range(exact.shape[0]):
        for j in range(exact.shape[1]):
            exact[i, j] = np.nan
            x, y = cols[i, j], rows[i, j]
            if np.isnan(x) or np.isnan(y):
                continue
            r = int(np.floor(y)) - offset[0]
            c = int(np.floor(x)) - offset[1]
            if not (0 <= r < height and 0 <= c < width and valid[r, c]):
                continue
            # Centres are at halves: the pixel before the position, and how far beyond its centre the position is.
            r0 = int(np.floor(y - 0.5))
            c0 = int(np.floor(x - 0.5))
            dy = y - 0.5 - r0
            dx = x - 0.5 - c0
            r0 -= offset[0]
            c0 -= offset[1]
            if cubic and r0 >= 1 and c0 >= 1 and r0 + 2 < height and c0 + 2 < width:
                whole = True
                for k in range(-1, 3):
                    for m in range(-1, 3):
                        whole = whole and valid[r0 + k, c0 + m]
                if whole:
                    total = 0.0
                    for k in range(-1, 3):
                        wy = _catmull_rom(dy - k)
                        for m in range(-1, 3):
                            weight = wy * _catmull_rom(dx - m)
                            if weight != 0.0:
                                total += weight * np.float64(values[r0 + k, c0 + m])
                    exact[i, j] = total
                    continue
            total = 0.0
            weights = 0.0
            for k in range(2):
                rk = r0 + k
                if rk < 0 or rk >= height:
                    continue
                wy = dy if k == 1 else 1.0 - dy
                for m in range(2):
                    cm = c0 + m
                    if cm < 0 or cm >= width or not valid[rk, cm]:
                        continue
                    weight = wy * (dx if m == 1 else 1.0 - dx)
                    if weight != 0.0:  # an infinity next door must not turn into NaN
                        total += weight * np.float64(values[rk, cm])
                        weights += weight
            if weights > 0.0:
                exact[i, j] = total if weights == 1.0 else total / weights


@_jit
def _catmull_rom(t):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Cubic convolution with a = -1/2 (Keys 1981, doi:10.1109/TASSP.1981.1163711)."""
    t = abs(t)
    if t < 1.0:
        return (1.5 * t - 2.5) * t * t + 1.0
    if t < 2.0:
        return ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return 0.0


@_jit
def _average(values, valid, offset, cols, rows, turn, exact):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    around = turn[0] * turn[0] + turn[1] * turn[1]
    turns = 1 if around > 0.0 else 0  # a cell on the seam covers pixels a turn before or after its corners
    for i in range(exact.shape[0]):
        for j in range(exact.shape[1]):
            exact[i, j] = np.nan
            x00, y00 = cols[i, j], rows[i, j]
            x01, y01 = _beside_first(cols[i, j + 1], rows[i, j + 1], x00, y00, turn, around)
            x10, y10 = _beside_first(cols[i + 1, j], rows[i + 1, j], x00, y00, turn, around)
            x11, y11 = _beside_first(cols[i + 1, j + 1], rows[i + 1, j + 1], x00, y00, turn, around)
            # The middles of the four edges span the cell: exact where rows and columns stay rows and columns.
            left_x, left_y = (x00 + x10) / 2, (y00 + y10) / 2
            right_x, right_y = (x01 + x11) / 2, (y01 + y11) / 2
            top_x, top_y = (x00 + x01) / 2, (y00 + y01) / 2
            bottom_x, bottom_y = (x10 + x11) / 2, (y10 + y11) / 2
            ax, ay = right_x - left_x, right_y - left_y  # one target column on
            bx, by = bottom_x - top_x, bottom_y - top_y  # one target row on
            if np.isnan(ax + ay + bx + by):
                continue
            width, height = np.hypot(ax, bx), np.hypot(ay, by)
            # A cell that lies askew is taken as 4 x 4 upright pieces of the same area.
            pieces = 4 if min(abs(ay), abs(by)) > 0.05 * height or min(abs(ax), abs(bx)) > 0.05 * width else 1
            area = abs(ax * by - ay * bx)
            if pieces > 1 and width * height > 0.0:
                shrink = np.sqrt(area / (width * height))
                width, height = width * shrink, height * shrink
            else:
                width, height = max(abs(ax), abs(bx)), max(abs(ay), abs(by))
            middle_x, middle_y = (left_x + right_x) / 2, (top_y + bottom_y) / 2
            total = 0.0
            weights = 0.0
            for k in range(-turns, turns + 1):
                for p in range(pieces):
                    v = (p + 0.5) / pieces - 0.5
                    for q in range(pieces):
                        u = (q + 0.5) / pieces - 0.5
                        x = middle_x + k * turn[0] + u * ax + v * bx
                        y = middle_y + k * turn[1] + u * ay + v * by
                        part, weight = _box(
                            values,
                            valid,
                            x - width / (2 * pieces) - offset[1],
                            x + width / (2 * pieces) - offset[1],
                            y - height / (2 * pieces) - offset[0],
                            y + height / (2 * pieces) - offset[0],
                        )
                        total += part
                        weights += weight
            if weights > NEGLIGIBLE * area:
                exact[i, j] = total / weights


@_jit
def _beside_first(x, y, first_x, first_y, turn, around):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Bring a corner to within half a turn of the cell's first corner."""
    if around > 0.0:
        k = np.round(((x - first_x) * turn[0] + (y - first_y) * turn[1]) / around)
        return x - k * turn[0], y - k * turn[1]
    return x, y


@_jit
def _box(values, valid, left, right, top, bottom):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Sum of values x shared area, and the shared area, of a box in pixels of the window."""
    total = 0.0
    weights = 0.0
    for r in range(max(0, int(np.floor(top))), min(values.shape[0], int(np.ceil(bottom)))):
        wy = min(bottom, r + 1.0) - max(top, np.float64(r))
        if wy <= NEGLIGIBLE:
            continue
        for c in range(max(0, int(np.floor(left))), min(values.shape[1], int(np.ceil(right)))):
            wx = min(right, c + 1.0) - max(left, np.float64(c))
            if wx > NEGLIGIBLE and valid[r, c]:
                total += wy * wx * np.float64(values[r, c])
                weights += wy * wx
    return total, weights


@_jit
def _store(exact, low, high, is_integer, nodata, is_nodata, out, out_valid):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Round, saturate and store float64 results; NaN is no data."""
    for i in range(exact.shape[0]):
        for j in range(exact.shape[1]):
            value = exact[i, j]
            if np.isnan(value):
                out[i, j] = nodata
                out_valid[i, j] = False
                continue
            if is_integer:
                value = min(max(np.rint(value), low), high)
            stored = out.dtype.type(value)
            if is_nodata and stored == nodata:
                stored = _beside(stored, value, exact[i, j], low, high, is_integer, out)
            out[i, j] = stored
            out_valid[i, j] = True


@_jit
def _beside(stored, value, exact, low, high, is_integer, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return the value of the dtype next to `stored`, on the side of the exact result where there is one."""
    up = exact >= value
    if is_integer:
        if value >= high:
            up = False
        elif value <= low:
            up = True
        return out.dtype.type(value + 1.0 if up else value - 1.0)
    return np.nextafter(stored, out.dtype.type(np.inf if up else -np.inf))
