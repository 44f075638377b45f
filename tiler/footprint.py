"""Where a box of one CRS lies in another, and which cells of a grid it takes: arithmetic, no pixel.

Around the globe x begins again somewhere: at 180 degrees, at the edge of the Mercator map. The image of a box may lie
across that place, or all around where a pole is in the box, and a grid may count on beyond it (0 to 360, 170 to 190).
So a footprint is one box whose x may count on too, and the cells that it takes are found turn by turn: each `Piece`
is a window of the grid and the turns by which it has to be moved to lie in the footprint. Where a turn is a whole
number of cells, pieces that meet are read as one raster, as if there were no edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine

from geozarr.grid import Bounds, Grid
from geozarr.window import Window
from tiler import projection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from geozarr import CRS
    from tiler.projection import Cylinder, Pole

STEPS = 32  # between points along a side: the sag of an edge between two of them is 1/1000 of the whole edge's
WHOLE = 1e-3  # cells; a turn this close to a whole number of them is one
_MOST_TURNS = 3  # that a grid or a box may go around; more is no map, and would have to be searched for ever


@dataclass(frozen=True)
class Piece:
    """Cells that a footprint takes.

    Parameters
    ----------
    window : Window
        Within the grid.
    turns : int
        How many turns around the globe east of where the grid has them the footprint takes them.
    """

    window: Window
    turns: int


@dataclass(frozen=True)
class Patch:
    """Pieces that make up one raster.

    Parameters
    ----------
    grid : Grid
        The raster; its x may count on beyond the edge of the CRS.
    parts : tuple of (Window, Window)
        Windows of the original grid, and where in the raster each belongs; they may overlap with equal values.
    """

    grid: Grid
    parts: tuple[tuple[Window, Window], ...]


def footprint(bounds: Bounds, source: CRS, target: CRS) -> Bounds | None:
    """Box around the image of a box in another CRS; across an edge of the CRS, or over a pole, x counts on.

    Parameters
    ----------
    bounds : Bounds
        In units of `source`.
    source, target : CRS
        Any two.

    Returns
    -------
    Bounds or None
        In units of `target`, at most one turn wide unless the CRS are the same. Points without an image are left out;
        None where no point has one.

    Raises
    ------
    UnsupportedError
        If there is no transformation between the two.
    """
    if projection.is_same_place(source, target):
        return bounds
    cylinder = projection.cylinder_of(source)
    if cylinder is not None:
        bounds = _on_globe(bounds, cylinder)
        if bounds.ymin > bounds.ymax:
            return None
    if projection.is_separable(source, target):
        return _stretched(bounds, source, target)
    around = projection.cylinder_of(target)
    held = poles_in(bounds, source, target)
    if not held:
        xs, ys = projection.transform(*_outline(bounds), source, target)
        if np.isfinite(xs).all():
            return _box(xs if around is None else np.unwrap(xs, period=around.turn), ys)
    xs, ys = projection.transform(*lattice(bounds), source, target)
    has_image = np.isfinite(xs)
    if not has_image.any():
        return None
    # Where some points have no image, there may be some on the way to them.
    across, down = (0.0, 0.0) if has_image.all() else _steps(xs, ys, around)
    xs, ys = xs[has_image], ys[has_image]
    ys = np.array([ys.min() - down, ys.max() + down])
    if around is None:
        return _box(np.array([xs.min() - across, xs.max() + across]), ys)
    ys = np.clip(ys, around.south, around.north)
    ys = np.append(ys, [around.north if pole.is_north else around.south for pole in held])
    if any(pole.is_point for pole in held):
        return _box(_whole_turn(around), ys)
    west, east = _shortest_arc(xs, around.turn)
    is_ring = east - west + 2 * across > around.turn
    return _box(_whole_turn(around) if is_ring else np.array([west - across, east + across]), ys)


def poles_in(bounds: Bounds, source: CRS, target: CRS) -> list[Pole]:
    """Poles within a box of one CRS, or hardly outside, around which x of another one turns."""
    cylinder = projection.cylinder_of(source)
    return [
        pole
        for pole in projection.poles(source, target)
        if any(_is_beside(*place, bounds, cylinder) for place in pole.places)
    ]


def pieces(grid: Grid, box: Bounds, *, margin: int = 0) -> tuple[Piece, ...]:
    """Find the cells of a grid that a footprint takes.

    Parameters
    ----------
    grid : Grid
        Of any size and place.
    box : Bounds
        In units of the grid's CRS, as `footprint` returns it.
    margin : int
        Cells to be added on every side.

    Returns
    -------
    tuple of Piece
        From west to east; empty where the two do not meet.
    """
    found = []
    for turns, moved in _turned(grid, box, margin * max(grid.cell_size)):
        window = grid.window_of(moved).grow(margin).intersect(grid.window)
        if not window.is_empty:
            found.append(Piece(window, turns))
    return tuple(found)


def patches(grid: Grid, found: Sequence[Piece]) -> tuple[Patch, ...]:
    """Put pieces together that meet; each remains alone where a turn is not a whole number of cells.

    Parameters
    ----------
    grid : Grid
        The grid that the pieces are of.
    found : sequence of Piece
        From `pieces`.
    """
    cylinder = projection.cylinder_of(grid.crs)
    if cylinder is None or not any(piece.turns for piece in found):
        return tuple(Patch(grid.crop(piece.window), ((piece.window, _from_corner(piece.window)),)) for piece in found)
    cells = cylinder.turn / grid.transform.a if grid.is_rectilinear else math.nan
    if not abs(cells - round(cells if math.isfinite(cells) else 0)) < WHOLE:
        shifts = [Affine.translation(piece.turns * cylinder.turn, 0.0) for piece in found]
        return tuple(
            Patch(_moved(grid.crop(piece.window), shift), ((piece.window, _from_corner(piece.window)),))
            for piece, shift in zip(found, shifts, strict=True)
        )
    placed = [(piece.window.shift(rows=0, cols=piece.turns * round(cells)), piece.window) for piece in found]
    return tuple(_joined(grid, group) for group in _touching(placed))


def lattice(bounds: Bounds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points all over a box, x and y, on its sides too."""
    x, y = np.meshgrid(
        np.linspace(bounds.xmin, bounds.xmax, STEPS + 1), np.linspace(bounds.ymin, bounds.ymax, STEPS + 1)
    )
    return x.ravel(), y.ravel()


def bring_into(grid: Grid, x: float) -> float:
    """Turn an x around the globe until it is in a grid that counts in other turns; unchanged where it cannot be."""
    cylinder = projection.cylinder_of(grid.crs)
    if cylinder is None:
        return x
    bounds = grid.bounds
    turned = x + math.ceil((bounds.xmin - x) / cylinder.turn) * cylinder.turn
    return x if bounds.xmin <= x <= bounds.xmax or turned > bounds.xmax else turned


def _turned(grid: Grid, box: Bounds, reach: float) -> Iterable[tuple[int, Bounds]]:
    """Find the turns that bring a grid over a box, and the box moved back by each."""
    cylinder = projection.cylinder_of(grid.crs)
    extent = grid.bounds
    if cylinder is None or not extent.xmax - extent.xmin <= _MOST_TURNS * cylinder.turn:
        yield 0, box
        return
    turn = cylinder.turn
    middle = (box.xmin + box.xmax) / 2
    xmin, xmax = max(box.xmin, middle - _MOST_TURNS / 2 * turn), min(box.xmax, middle + _MOST_TURNS / 2 * turn)
    first = math.ceil((xmin - reach - extent.xmax) / turn)
    last = math.floor((xmax + reach - extent.xmin) / turn)
    for turns in range(first, last + 1):
        yield turns, Bounds(xmin - turns * turn, box.ymin, xmax - turns * turn, box.ymax)


def _touching(placed: Iterable[tuple[Window, Window]]) -> list[list[tuple[Window, Window]]]:
    """Group windows whose columns meet, by their places."""
    groups: list[list[tuple[Window, Window]]] = []
    for place, window in sorted(placed, key=lambda pair: pair[0].col):
        if groups and place.col <= max(other.col_stop for other, _ in groups[-1]):
            groups[-1].append((place, window))
        else:
            groups.append([(place, window)])
    return groups


def _joined(grid: Grid, group: Sequence[tuple[Window, Window]]) -> Patch:
    hull = Window.from_bounds(
        row_start=min(place.row for place, _ in group),
        row_stop=max(place.row_stop for place, _ in group),
        col_start=min(place.col for place, _ in group),
        col_stop=max(place.col_stop for place, _ in group),
    )
    return Patch(grid.crop(hull), tuple((window, place.relative_to(hull)) for place, window in group))


def _from_corner(window: Window) -> Window:
    return Window(0, 0, *window.shape)


def _moved(grid: Grid, shift: Affine) -> Grid:
    return Grid(grid.shape, shift @ grid.transform, grid.crs)


def _on_globe(bounds: Bounds, cylinder: Cylinder) -> Bounds:
    """Cut off what is beyond the poles, and turn the box until its middle is where PROJ answers."""
    shift = round(((bounds.xmin + bounds.xmax) / 2 - cylinder.centre) / cylinder.turn) * cylinder.turn
    ymin, ymax = max(bounds.ymin, cylinder.south), min(bounds.ymax, cylinder.north)
    return Bounds(bounds.xmin - shift, ymin, bounds.xmax - shift, ymax)


def _stretched(bounds: Bounds, source: CRS, target: CRS) -> Bounds:
    """Image of a box between two cylinders, where x follows from x in proportion and y from y."""
    one, other = projection.cylinder_of(source), projection.cylinder_of(target)
    assert one is not None, "separable CRS are cylinders"
    assert other is not None, "separable CRS are cylinders"
    middle = (one.south + one.north) / 2  # any y that has an image
    xs, ys = projection.transform(np.full(3, bounds.xmin), np.array([bounds.ymin, bounds.ymax, middle]), source, target)
    south = float(ys[0]) if np.isfinite(ys[0]) else other.south
    north = float(ys[1]) if np.isfinite(ys[1]) else other.north
    west = float(xs[2])
    east = west + (bounds.xmax - bounds.xmin) / one.turn * other.turn
    return _box(_whole_turn(other) if east - west > other.turn else np.array([west, east]), np.array([south, north]))


def _is_beside(x: float, y: float, bounds: Bounds, cylinder: Cylinder | None) -> bool:
    """Tell whether a point is in a box, or so near to it that the points along its sides would not show it."""
    if cylinder is not None:
        x += round(((bounds.xmin + bounds.xmax) / 2 - x) / cylinder.turn) * cylinder.turn
    across, down = (bounds.xmax - bounds.xmin) / STEPS, (bounds.ymax - bounds.ymin) / STEPS
    return (
        bounds.xmin - across <= x <= bounds.xmax + across and bounds.ymin - down <= y <= bounds.ymax + down
    )  # fmt: skip


def _outline(bounds: Bounds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points along the sides of a box, all around and back to the first."""
    along = np.linspace(0.0, 1.0, STEPS + 1)
    still = np.zeros(STEPS)
    x = np.concatenate([along[:-1], still + 1, along[:0:-1], still, [0.0]])
    y = np.concatenate([still, along[:-1], still + 1, along[:0:-1], [0.0]])
    return bounds.xmin + x * (bounds.xmax - bounds.xmin), bounds.ymin + y * (bounds.ymax - bounds.ymin)


def _steps(xs: NDArray[np.float64], ys: NDArray[np.float64], cylinder: Cylinder | None) -> tuple[float, float]:
    """Greatest steps between the images of neighbours in a lattice, along x and y; 0 where no two have any."""
    found = []
    for values, turn in ((xs, None if cylinder is None else cylinder.turn), (ys, None)):
        square = values.reshape(STEPS + 1, STEPS + 1)
        with np.errstate(invalid="ignore"):
            steps = np.concatenate([np.diff(square, axis=0).ravel(), np.diff(square, axis=1).ravel()])
        steps = steps[np.isfinite(steps)]
        if turn is not None:
            steps = steps - np.round(steps / turn) * turn
        found.append(float(np.abs(steps).max(initial=0.0)))
    return found[0], found[1]


def _shortest_arc(xs: NDArray[np.float64], turn: float) -> NDArray[np.float64]:
    """First and last x of the shortest way around the globe that passes all of some points."""
    ordered = np.unique(np.mod(xs, turn))
    gaps = np.diff(ordered, append=ordered[0] + turn)
    after = int(np.argmax(gaps))
    first = ordered[(after + 1) % len(ordered)]
    return np.array([first, first + turn - gaps[after]])


def _whole_turn(cylinder: Cylinder) -> NDArray[np.float64]:
    return np.array([cylinder.centre - cylinder.turn / 2, cylinder.centre + cylinder.turn / 2])


def _box(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Bounds:
    return Bounds(float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max()))
