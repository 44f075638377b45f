"""Where the centres of a target's cells lie in another grid, without asking PROJ for each of them.

Between grids of one CRS, and between longitudes and Mercator, columns follow from columns and rows from rows: two
tables say it exactly. Else the transformation is a smooth function nearly everywhere, and a polynomial through 13 x 13
points of a block of cells is as good as PROJ itself: its error falls by a power with each point (Trefethen,
Approximation Theory and Approximation Practice, chapter 8). The points are Chebyshev's, of which every second makes up
a polynomial through 7 x 7; where that one is off by more than `TOLERANCE` at the other points, the block is cut into
four, and blocks of few cells are asked for cell by cell. So are those at a pole, or at the edge of a projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from geozarr.window import Window
from tiler import projection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from affine import Affine
    from numpy.typing import NDArray

    from geozarr.grid import Grid

TOLERANCE = 0.01  # source cells by which every second point may be off; all points together are off by far less
_DEGREE = 12  # of the polynomials; even, so that every second point is one of half the degree
_BLOCK = 256  # cells a side that one polynomial may describe
_STRIP = 64  # rows of a product of 256 columns: 64 x 256 x 13 is below the 2**18 from which OpenBLAS takes threads
_FEW = 256  # cells that are not worth the 169 points of a polynomial


@dataclass(frozen=True, eq=False)
class Positions:
    """Where cells of a target lie.

    Parameters
    ----------
    window : Window
        Which cells of the target.
    rows, cols : ndarray of float64
        Positions of their centres in cells of the source, counted from its corner; together of the window's shape, by
        broadcasting. Not finite where a centre has no image.
    """

    window: Window
    rows: NDArray[np.float64]
    cols: NDArray[np.float64]


def positions(source: Grid, target: Grid) -> Iterator[Positions]:
    """Find the centres of a target's cells in a source, block by block.

    Parameters
    ----------
    source, target : Grid
        Of any CRS. Around the globe, the turn of the source's middle counts, half of it on either side.

    Yields
    ------
    Positions
        All cells of the target once. Within 1/100 of a source cell of what PROJ says, and mostly within a millionth.

    Raises
    ------
    UnsupportedError
        If there is no transformation between the two CRS.
    """
    if source.is_rectilinear and target.is_rectilinear:
        if projection.is_same_place(source.crs, target.crs):
            yield _tables(source, target)
            return
        if projection.is_separable(source.crs, target.crs):
            yield _transformed_tables(source, target)
            return
    blocks = list(target.window.split(height=_BLOCK, width=_BLOCK))
    while blocks:
        few = [block for block in blocks if block.size <= _FEW]
        many = [block for block in blocks if block.size > _FEW]
        yield from _exact(source, target, few)
        blocks = []
        for block, found in zip(many, _interpolated(source, target, many), strict=True):
            if found is None:
                blocks += _quarters(block)
            else:
                yield found


def _tables(source: Grid, target: Grid) -> Positions:
    to_source = ~source.transform @ target.transform
    cols = to_source.c + to_source.a * (np.arange(target.width) + 0.5)
    rows = to_source.f + to_source.e * (np.arange(target.height) + 0.5)
    return Positions(target.window, rows[:, np.newaxis], cols[np.newaxis, :])


def _transformed_tables(source: Grid, target: Grid) -> Positions:
    cylinder = projection.cylinder_of(target.crs)
    assert cylinder is not None, "separable CRS are cylinders"
    x, y = target.x_centres(), target.y_centres()
    # In the range of PROJ; beyond it, x of some CRS have no image.
    x = x - np.round((x - cylinder.centre) / cylinder.turn) * cylinder.turn
    middle = (cylinder.south + cylinder.north) / 2  # any y that has an image
    xs, ys = projection.transform(
        np.concatenate([x, np.full(y.shape, cylinder.centre)]),
        np.concatenate([np.full(x.shape, middle), y]),
        target.crs,
        source.crs,
    )
    xs, ys = _in_turn(xs[: x.size], source), ys[x.size :]
    to_source = ~source.transform
    rows, cols = to_source.f + to_source.e * ys, to_source.c + to_source.a * xs
    return Positions(target.window, rows[:, np.newaxis], cols[np.newaxis, :])


def _exact(source: Grid, target: Grid, blocks: list[Window]) -> Iterator[Positions]:
    """Ask PROJ for each cell."""
    if not blocks:
        return
    centres = [np.mgrid[block.slices].reshape(2, -1) + 0.5 for block in blocks]
    rows, cols = np.concatenate(centres, axis=1)
    xs, ys = projection.transform(*_applied(target.transform, cols, rows), target.crs, source.crs)
    cols, rows = _applied(~source.transform, _in_turn(xs, source), ys)
    ends = np.cumsum([block.size for block in blocks])[:-1]
    for block, its_rows, its_cols in zip(blocks, np.split(rows, ends), np.split(cols, ends), strict=True):
        yield Positions(block, its_rows.reshape(block.shape), its_cols.reshape(block.shape))


def _interpolated(source: Grid, target: Grid, blocks: list[Window]) -> list[Positions | None]:
    """Describe blocks by polynomials; None for those that need to be cut."""
    if not blocks:
        return []
    nodes = _nodes(_DEGREE)
    # Of the centres of the outermost cells, since there may be nothing beyond.
    rows = np.stack([block.row + 0.5 + (block.height - 1) * nodes for block in blocks])[:, :, np.newaxis]
    cols = np.stack([block.col + 0.5 + (block.width - 1) * nodes for block in blocks])[:, np.newaxis, :]
    rows, cols = np.broadcast_arrays(rows, cols)
    xs, ys = projection.transform(*_applied(target.transform, cols.ravel(), rows.ravel()), target.crs, source.crs)
    cols, rows = _applied(~source.transform, _contiguous(xs.reshape(rows.shape), source), ys.reshape(rows.shape))
    with np.errstate(invalid="ignore"):
        is_smooth = np.maximum(_error(rows), _error(cols)) <= TOLERANCE  # NaN is not
    return [
        _evaluated(block, rows[index], cols[index]) if is_smooth[index] else None for index, block in enumerate(blocks)
    ]


def _applied(
    transform: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b, c, d, e, f = tuple(transform)[:6]
    with np.errstate(invalid="ignore"):  # infinities, of points without an image
        return a * x + b * y + c, d * x + e * y + f


def _evaluated(block: Window, rows: NDArray[np.float64], cols: NDArray[np.float64]) -> Positions:
    down, across = _centres_basis(block.height), _centres_basis(block.width)
    return Positions(block, _product(down @ rows, across.T), _product(down @ cols, across.T))


def _product(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix product in strips, since OpenBLAS starts threads for larger ones, which wait for busy cores."""
    product = np.empty((left.shape[0], right.shape[1]))
    for start in range(0, left.shape[0], _STRIP):
        np.matmul(left[start : start + _STRIP], right, out=product[start : start + _STRIP])
    return product


def _error(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the polynomials through every second point are off at the others, shape (block,)."""
    basis = _halves_basis()
    found: NDArray[np.float64] = np.abs(basis @ values[:, ::2, ::2] @ basis.T - values).max(axis=(1, 2))
    return found


def _in_turn(xs: NDArray[np.float64], source: Grid) -> NDArray[np.float64]:
    """Turn each x around the globe until it is within half a turn of the source's middle."""
    cylinder = projection.cylinder_of(source.crs)
    if cylinder is None:
        return xs
    with np.errstate(invalid="ignore"):
        turned: NDArray[np.float64] = xs - np.floor((xs - _middle(source)) / cylinder.turn + 0.5) * cylinder.turn
    return turned


def _contiguous(xs: NDArray[np.float64], source: Grid) -> NDArray[np.float64]:
    """Turn the points of each block, shape (block, row, col), to the side of its middle, and the middle as `_in_turn`.

    Points on both sides of where x begins again thereby come together. Blocks on the other side of the globe than the
    source may end beyond half a turn, where a source has nothing, unless it goes all around: then they are cut.
    """
    cylinder = projection.cylinder_of(source.crs)
    if cylinder is None:
        return xs
    turn, half = cylinder.turn, xs.shape[1] // 2
    with np.errstate(invalid="ignore"):
        middles = _in_turn(xs[:, half, half], source)[:, np.newaxis, np.newaxis]
        xs = xs - np.round((xs - middles) / turn) * turn
        if source.bounds.xmax - source.bounds.xmin < turn:
            return xs
        is_beyond = (np.abs(xs - _middle(source)) > turn / 2).any(axis=(1, 2), keepdims=True)
    return np.where(is_beyond, np.nan, xs)


def _middle(source: Grid) -> float:
    return (source.bounds.xmin + source.bounds.xmax) / 2


def _quarters(block: Window) -> Iterator[Window]:
    """Cut a block into four, or into two where it is a line."""
    parts = Window(0, 0, *block.shape).split(height=-(-block.height // 2), width=-(-block.width // 2))
    return (part.shift(rows=block.row, cols=block.col) for part in parts)


def _nodes(degree: int) -> NDArray[np.float64]:
    """Chebyshev points of a degree, from 0 to 1."""
    return (1 - np.cos(np.pi * np.arange(degree + 1) / degree)) / 2


@lru_cache(maxsize=1)
def _halves_basis() -> NDArray[np.float64]:
    return _basis(_nodes(_DEGREE // 2), _nodes(_DEGREE))


@lru_cache(maxsize=128)
def _centres_basis(size: int) -> NDArray[np.float64]:
    return _basis(_nodes(_DEGREE), np.arange(size) / max(1, size - 1))


def _basis(nodes: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lagrange polynomials through Chebyshev points, shape (place, node), by the barycentric formula.

    References
    ----------
    Berrut and Trefethen, Barycentric Lagrange Interpolation, SIAM Review 46 (2004), section 5.
    """
    weights = (-1.0) ** np.arange(nodes.size)
    weights[[0, -1]] /= 2
    apart = places[:, np.newaxis] - nodes
    at_node = apart == 0
    terms = weights / np.where(at_node, 1.0, apart)
    is_node = at_node.any(axis=1, keepdims=True)
    basis: NDArray[np.float64] = np.where(is_node, at_node, terms / terms.sum(axis=1, keepdims=True))
    return basis
