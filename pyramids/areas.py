"""Kernels that look at all source pixels that a target pixel shares area with.

`average` and `sum` weigh each pixel by the part of it that the target pixel covers; `mode` takes the value that covers
most (of equal ones the smallest), `median` the value up to which half of the area is covered (the mean of two where
that is a tie, as numpy has it); `min`, `max` and `bit-or` take every pixel that is touched.

Where rows and columns stay rows and columns, shares are exact: the overlap of two intervals along each axis. A target
pixel that lies askew in the source is taken as 4 x 4 upright pieces of the same area.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyramids.control import fill_row
from pyramids.kernels import jit
from pyramids.points import _store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyramids.control import Lattice

NEGLIGIBLE = 1e-6  # of a pixel's side, or of a cell's area: less is rounding noise of the positions
ASKEW = 0.05  # of a side that may lean before a cell counts as askew
PIECES = 4  # along a side of a cell that lies askew
_FAR = float(2**30)  # pixels: beyond any block, and an int32
_MOST_BOXES = 3 * PIECES * PIECES  # a cell on the seam of longitudes is looked for on both sides of it


def resample(
    method: str,
    source: tuple[NDArray[Any], NDArray[np.bool_], bool, tuple[int, int]],
    lattice: Lattice,
    target: tuple[NDArray[Any], NDArray[np.bool_], tuple[int, int], tuple[int, int]],
    fill: NDArray[Any],
    rules: tuple[float, float, bool, bool],
    turn: tuple[float, float],
) -> None:
    """Run the kernel of a method; parameters as `points.resample`, the lattice being that of the pixels' corners."""
    values, mask, has_mask, offset = source
    if method in ("average", "sum"):
        _total(values, mask, has_mask, offset, lattice, *target, fill, rules, turn, method == "average")
    elif method in _TOUCHED:
        _TOUCHED[method](values, mask, has_mask, offset, lattice, *target, fill, turn)
    else:
        _ranked(values, mask, has_mask, offset, lattice, *target, fill, rules, turn, method == "median")


@jit
def _beside_first(x, y, first_x, first_y, turn, around):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba infers
    """Bring a corner to within half a turn of the cell's first corner."""
    if around > 0.0:
        k = np.rint(((x - first_x) * turn[0] + (y - first_y) * turn[1]) / around)
        return x - k * turn[0], y - k * turn[1]
    return x, y


@jit
def _boxes(cols, rows, j, offset, turn, boxes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Cut a cell into upright boxes (left, right, top, bottom) in pixels of the window; return their number and area.

    `cols` and `rows` hold the corners above and below, shape (2, col + 1). No box where a corner has no position.
    """
    around = turn[0] * turn[0] + turn[1] * turn[1]
    x00, y00 = cols[0, j], rows[0, j]
    x01, y01 = _beside_first(cols[0, j + 1], rows[0, j + 1], x00, y00, turn, around)
    x10, y10 = _beside_first(cols[1, j], rows[1, j], x00, y00, turn, around)
    x11, y11 = _beside_first(cols[1, j + 1], rows[1, j + 1], x00, y00, turn, around)
    # The middles of the four edges span the cell: exact where rows and columns stay rows and columns.
    left_x, left_y = (x00 + x10) / 2, (y00 + y10) / 2
    right_x, right_y = (x01 + x11) / 2, (y01 + y11) / 2
    top_x, top_y = (x00 + x01) / 2, (y00 + y01) / 2
    bottom_x, bottom_y = (x10 + x11) / 2, (y10 + y11) / 2
    ax, ay = right_x - left_x, right_y - left_y  # one target column on
    bx, by = bottom_x - top_x, bottom_y - top_y  # one target row on
    if np.isnan(ax + ay + bx + by):
        return 0, 0.0
    if ay == 0.0 and bx == 0.0 and around == 0.0:
        boxes[0, 0], boxes[0, 1] = min(left_x, right_x) - offset[1], max(left_x, right_x) - offset[1]
        boxes[0, 2], boxes[0, 3] = min(top_y, bottom_y) - offset[0], max(top_y, bottom_y) - offset[0]
        return 1, abs(ax * by)
    width, height = np.sqrt(ax * ax + bx * bx), np.sqrt(ay * ay + by * by)
    askew = min(abs(ay), abs(by)) > ASKEW * height or min(abs(ax), abs(bx)) > ASKEW * width
    pieces = PIECES if askew else 1
    area = abs(ax * by - ay * bx)
    if askew and width * height > 0.0:
        shrink = np.sqrt(area / (width * height))
        width, height = width * shrink, height * shrink
    else:
        width, height = max(abs(ax), abs(bx)), max(abs(ay), abs(by))
    middle_x, middle_y = (left_x + right_x) / 2, (top_y + bottom_y) / 2
    half_x, half_y = width / (2 * pieces), height / (2 * pieces)
    count = 0
    turns = 1 if around > 0.0 else 0  # a cell on the seam covers pixels a turn before or after its corners
    for k in range(-turns, turns + 1):
        for p in range(pieces):
            v = (p + 0.5) / pieces - 0.5
            for q in range(pieces):
                u = (q + 0.5) / pieces - 0.5
                x = middle_x + k * turn[0] + u * ax + v * bx - offset[1]
                y = middle_y + k * turn[1] + u * ay + v * by - offset[0]
                boxes[count, 0], boxes[count, 1] = x - half_x, x + half_x
                boxes[count, 2], boxes[count, 3] = y - half_y, y + half_y
                count += 1
    return count, area


@jit
def _upright(cols, rows, offset, turn, sides):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Make one box of each cell of a row, as `_boxes` does, where none lies askew; tell whether that is so.

    `sides` is left, right, top, bottom and area, shape (5, col): arithmetic without branches, so that it is vectorised.
    """
    if turn[0] != 0.0 or turn[1] != 0.0:
        return False
    count = sides.shape[1]
    is_askew = False
    for j in range(count):
        left_x, left_y = (cols[0, j] + cols[1, j]) / 2, (rows[0, j] + rows[1, j]) / 2
        right_x, right_y = (cols[0, j + 1] + cols[1, j + 1]) / 2, (rows[0, j + 1] + rows[1, j + 1]) / 2
        top_x, top_y = (cols[0, j] + cols[0, j + 1]) / 2, (rows[0, j] + rows[0, j + 1]) / 2
        bottom_x, bottom_y = (cols[1, j] + cols[1, j + 1]) / 2, (rows[1, j] + rows[1, j + 1]) / 2
        ax, ay = right_x - left_x, right_y - left_y
        bx, by = bottom_x - top_x, bottom_y - top_y
        width, height = np.sqrt(ax * ax + bx * bx), np.sqrt(ay * ay + by * by)
        # Not written as "greater than": a corner without a position makes NaN, which must count as askew.
        is_askew |= not ((min(abs(ay), abs(by)) <= ASKEW * height) & (min(abs(ax), abs(bx)) <= ASKEW * width))
        is_exact = (ay == 0.0) & (bx == 0.0)
        half_x, half_y = max(abs(ax), abs(bx)) / 2, max(abs(ay), abs(by)) / 2
        middle_x, middle_y = (left_x + right_x) / 2, (top_y + bottom_y) / 2
        sides[0, j] = min(left_x, right_x) - offset[1] if is_exact else middle_x - offset[1] - half_x
        sides[1, j] = max(left_x, right_x) - offset[1] if is_exact else middle_x - offset[1] + half_x
        sides[2, j] = min(top_y, bottom_y) - offset[0] if is_exact else middle_y - offset[0] - half_y
        sides[3, j] = max(top_y, bottom_y) - offset[0] if is_exact else middle_y - offset[0] + half_y
        sides[4, j] = abs(ax * by - ay * bx)
    return not is_askew


@jit
def _span(low, high, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """First pixel and the one after the last that an interval touches."""
    return max(0, np.int64(np.floor(low))), min(size, np.int64(np.ceil(high)))


@jit
def _share(low, high, pixel):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Part of a pixel's side that an interval covers."""
    return min(high, pixel + 1.0) - max(low, np.float64(pixel))


@jit
def _total(values, mask, has_mask, offset, lattice, out, out_valid, place, size, fill, rules, turn, is_mean):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    cols, rows = np.empty((2, size[1] + 1)), np.empty((2, size[1] + 1))
    exact = np.empty((values.shape[0], size[1]))
    boxes, sides = np.empty((_MOST_BOXES, 4)), np.empty((5, size[1]))
    height, width = values.shape[1:]
    for i in range(size[0]):
        fill_row(lattice, i, cols[0], rows[0])
        fill_row(lattice, i + 1, cols[1], rows[1])
        is_upright = _upright(cols, rows, offset, turn, sides)
        for j in range(size[1]):
            count, area = 1, sides[4, j]
            if is_upright:  # here and not in a function: a call with so many arrays takes 30 ns
                for k in range(4):
                    boxes[0, k] = sides[k, j]
            else:
                count, area = _boxes(cols, rows, j, offset, turn, boxes)
            for b in range(values.shape[0]):
                m = min(b, mask.shape[0] - 1)
                total = 0.0
                weights = 0.0
                for n in range(count):
                    left, right, top, bottom = boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3]
                    first, last = _span(left, right, width)
                    for r in range(*_span(top, bottom, height)):
                        along = _share(top, bottom, r)
                        if along <= NEGLIGIBLE:
                            continue
                        for c in range(first, last):
                            across = _share(left, right, c)
                            if across > NEGLIGIBLE and (not has_mask or mask[m, r, c]):
                                total += along * across * np.float64(values[b, r, c])
                                weights += along * across
                if weights > NEGLIGIBLE * area:
                    exact[b, j] = total / weights if is_mean else total
                else:
                    exact[b, j] = np.nan
        for b in range(values.shape[0]):
            _store(exact[b], rules, fill[b], out[b], out_valid[b], place[0] + i, place[1])


def _touched(method: str) -> Any:
    """Compile the kernel of a method that takes every touched pixel alike: the choice is a constant inside it."""
    is_least, is_union = method == "min", method == "bit-or"

    @jit
    def touched(values, mask, has_mask, offset, lattice, out, out_valid, place, size, fill, turn):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        cols, rows = np.empty((2, size[1] + 1)), np.empty((2, size[1] + 1))
        boxes, sides = np.empty((_MOST_BOXES, 4)), np.empty((5, size[1]))
        height, width = values.shape[1:]
        for i in range(size[0]):
            fill_row(lattice, i, cols[0], rows[0])
            fill_row(lattice, i + 1, cols[1], rows[1])
            is_upright = _upright(cols, rows, offset, turn, sides)
            for j in range(size[1]):
                count = 1
                if is_upright:  # here and not in a function: a call with so many arrays takes 30 ns
                    for k in range(4):
                        boxes[0, k] = sides[k, j]
                else:
                    count, _ = _boxes(cols, rows, j, offset, turn, boxes)
                for b in range(values.shape[0]):
                    m = min(b, mask.shape[0] - 1)
                    best = fill[b]
                    found = False
                    for n in range(count):
                        left, right, top, bottom = boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3]
                        first, last = _span(left, right, width)
                        for r in range(*_span(top, bottom, height)):
                            if _share(top, bottom, r) <= NEGLIGIBLE:
                                continue
                            for c in range(first, last):
                                if _share(left, right, c) <= NEGLIGIBLE or (has_mask and not mask[m, r, c]):
                                    continue
                                value = values[b, r, c]
                                if not found:
                                    best = value
                                elif is_union:
                                    best |= value
                                elif is_least:
                                    best = min(best, value)
                                else:
                                    best = max(best, value)
                                found = True
                    out[b, place[0] + i, place[1] + j] = best
                    out_valid[b, place[0] + i, place[1] + j] = found

    return touched


_TOUCHED = {method: _touched(method) for method in ("min", "max", "bit-or")}


@jit
def _ranked(values, mask, has_mask, offset, lattice, out, out_valid, place, size, fill, rules, turn, is_median):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    cols, rows = np.empty((2, size[1] + 1)), np.empty((2, size[1] + 1))
    boxes, sides = np.empty((_MOST_BOXES, 4)), np.empty((5, size[1]))
    found_values = np.empty(64, values.dtype)
    found_weights = np.empty(64, np.float64)
    spans, left_over = np.empty((4, size[1]), np.int32), np.empty(size[1], np.bool_)
    uniform = _uniform(values, mask, has_mask)
    middle = np.empty(1)
    height, width = values.shape[1:]
    for i in range(size[0]):
        fill_row(lattice, i, cols[0], rows[0])
        fill_row(lattice, i + 1, cols[1], rows[1])
        is_upright = _upright(cols, rows, offset, turn, sides)
        left_over.fill(not is_upright)
        if is_upright:
            _spans(sides, spans)
            for b in range(values.shape[0]):
                row = place[0] + i
                _single(values[b], uniform[b], spans, out[b, row], out_valid[b, row], place[1], left_over)
        for j in range(size[1]):
            if not left_over[j]:
                continue
            count, area = 1, sides[4, j]
            if is_upright:  # here and not in a function: a call with so many arrays takes 30 ns
                for k in range(4):
                    boxes[0, k] = sides[k, j]
            else:
                count, area = _boxes(cols, rows, j, offset, turn, boxes)
            for b in range(values.shape[0]):
                m = min(b, mask.shape[0] - 1)
                row, col = place[0] + i, place[1] + j
                used = 0
                last_k = 0
                total = 0.0
                for n in range(count):
                    left, right, top, bottom = boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3]
                    first, last = _span(left, right, width)
                    for r in range(*_span(top, bottom, height)):
                        along = _share(top, bottom, r)
                        if along <= NEGLIGIBLE:
                            continue
                        for c in range(first, last):
                            across = _share(left, right, c)
                            if across <= NEGLIGIBLE or (has_mask and not mask[m, r, c]):
                                continue
                            total += along * across
                            # Distinct values in ascending order, each with the area it covers.
                            value = values[b, r, c]
                            if last_k < used and found_values[last_k] == value:  # most are like the one before
                                found_weights[last_k] += along * across
                                continue
                            last_k = k = _search(found_values, used, value)
                            if k < used and found_values[k] == value:
                                found_weights[k] += along * across
                                continue
                            if used == found_values.shape[0]:
                                found_values, found_weights = _grown(found_values), _grown(found_weights)
                            for slot in range(used, k, -1):
                                found_values[slot] = found_values[slot - 1]
                                found_weights[slot] = found_weights[slot - 1]
                            found_values[k] = value
                            found_weights[k] = along * across
                            used += 1
                if not total > NEGLIGIBLE * area:
                    out[b, row, col] = fill[b]
                    out_valid[b, row, col] = False
                elif is_median:
                    k, is_tie = _middle(found_weights, used, total)
                    if is_tie:
                        middle[0] = np.float64(found_values[k]) / 2 + np.float64(found_values[k + 1]) / 2
                        _store(middle, rules, fill[b], out[b], out_valid[b], row, col)
                    else:
                        out[b, row, col] = found_values[k]
                        out_valid[b, row, col] = True
                else:
                    out[b, row, col] = found_values[_heaviest(found_weights, used)]
                    out_valid[b, row, col] = True


@jit
def _spans(sides, spans):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """First column that each cell of a row touches, the one after the last, and rows alike; shape (4, col)."""
    for k in range(2):
        for j in range(sides.shape[1]):
            low, high = sides[2 * k, j] + NEGLIGIBLE, sides[2 * k + 1, j] - NEGLIGIBLE
            spans[2 * k, j] = np.int32(np.floor(min(max(low, -1.0), _FAR)))
            spans[2 * k + 1, j] = np.int32(np.ceil(min(max(high, -1.0), _FAR)))


@jit
def _uniform(values, mask, has_mask):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Tell of how many pixels the squares of one value are that start at each pixel, less one: -1 (no data) to 2."""
    bands, height, width = values.shape
    found = np.zeros((bands, height, width), np.int8)
    for b in range(bands):
        m = min(b, mask.shape[0] - 1)
        if has_mask:
            for r in range(height):
                for c in range(width):
                    found[b, r, c] = 0 if mask[m, r, c] else -1
        for r in range(height - 1):
            upper, lower, here, below = values[b, r], values[b, r + 1], found[b, r], found[b, r + 1]
            for c in range(width - 1):
                is_one = (upper[c] == upper[c + 1]) & (upper[c] == lower[c]) & (upper[c] == lower[c + 1])
                is_one &= (here[c] == 0) & (here[c + 1] == 0) & (below[c] == 0) & (below[c + 1] == 0)
                here[c] += is_one
        for r in range(height - 2):
            here, below = found[b, r], found[b, r + 1]
            for c in range(width - 2):
                here[c] += (here[c] > 0) & (here[c + 1] > 0) & (below[c] > 0) & (below[c + 1] > 0)
    return found


@jit
def _single(values, uniform, spans, out, out_valid, first_col, left):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Write those cells of a row of one band that lie inside and touch nothing but one value; mark the others.

    That is most of a map of classes, where shares then need not be looked at. `left` is raised at the other cells.
    """
    height, width = values.shape
    for j in range(left.shape[0]):
        first, last, top, bottom = spans[0, j], spans[1, j] - 1, spans[2, j], spans[3, j] - 1
        is_inside = (first >= 0) & (last < width) & (top >= 0) & (bottom < height) & (first <= last) & (top <= bottom)
        if is_inside and max(last - first, bottom - top) <= uniform[np.uintp(top), np.uintp(first)]:
            out[first_col + j] = values[np.uintp(top), np.uintp(first)]
            out_valid[first_col + j] = True
        else:
            left[j] = True


@jit
def _search(values, used, value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """First of `used` ascending values that is not below a value."""
    low, high = 0, used
    while low < high:
        middle = (low + high) // 2
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def _grown(array):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    larger = np.empty(2 * array.shape[0], array.dtype)
    larger[: array.shape[0]] = array
    return larger


@jit
def _heaviest(weights, used):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """First of the largest weights; areas that differ by rounding noise only are equal."""
    best = 0
    for k in range(1, used):
        if weights[k] > weights[best] * (1.0 + NEGLIGIBLE):
            best = k
    return best


@jit
def _middle(weights, used, total):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Index up to which half of the weight lies, and whether that half ends exactly there."""
    half = total / 2
    below = 0.0
    for k in range(used):
        below += weights[k]
        if k + 1 < used and abs(below - half) <= NEGLIGIBLE * total:
            return k, True
        if below > half:
            return k, False
    return used - 1, False
