"""Which level and which window serve a tile, a box or a point: arithmetic and geometry, no pixel.

A tile of the pyramid's own TileMatrixSet needs no geometry at all. Its matrix is one large raster, a level is a window
of that raster, so the tile is a window of the level, which is one stored chunk. Tiles of matrices finer than the finest
level are parts of an ancestor's window, each cell repeated. Everything else (coarser matrices, other sets, other
CRS, any box) is a target grid: its footprint in the pyramid's CRS (`tiler.footprint`) gives the level by resolution
and the windows to read, and `tiler.resample` does the rest.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from affine import Affine

from geozarr import tms as tms_module
from geozarr.errors import ParameterError, TileOutsideLimitsError, UnsupportedError
from geozarr.grid import Bounds, Grid
from geozarr.window import Window
from tiler import projection
from tiler.footprint import STEPS, Piece, bring_into, footprint, lattice, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from geozarr import CRS, Levels
    from geozarr.tms import TileLimits, TileMatrix, TileMatrixSet

Strategy = Literal["nearest", "coarser", "finer"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

ALIGNED = 1e-3  # cells; a level this close to whole cells of its matrix is on them
MAX_ZOOM = 30  # matrices that are added to a set that ends with the stored levels
_EQUAL = 0.01  # cells whose sides differ by less are of one size; across CRS, sizes vary by more within a tile
_MARGIN = 4  # cells read around a footprint: half the widest kernel (cubic: 2) and the footprint's own error
_LARGER = 1.5  # times the extent of a level; targets from here on may hold it as a spot


@dataclass(frozen=True)
class Copy:
    """A target whose cells are cells of a level.

    Parameters
    ----------
    level : int
        Position of the level, 0 being the finest.
    window : Window
        Cells of the level that the target shows; it may reach outside the level.
    rows, cols : tuple of int, or None
        Row and column of the window for each row and column of the target; None where they are the same.
    """

    level: int
    window: Window
    rows: tuple[int, ...] | None = None
    cols: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Warp:
    """A target whose cells have to be resampled from a level.

    Parameters
    ----------
    level : int
        Position of the level.
    pieces : tuple of Piece
        Cells to read; empty where the level has none for the target.
    target : Grid
        The target.
    part : Window
        Cells of the target that the pieces reach; the others are not valid.
    shrink : float
        Side of a target cell in cells of the level.
    footprint : Bounds
        Box of the target in the pyramid's CRS.
    """

    level: int
    pieces: tuple[Piece, ...]
    target: Grid
    part: Window
    shrink: float
    footprint: Bounds


@dataclass(frozen=True)
class Tileset:
    """A TileMatrixSet as one pyramid serves it.

    Parameters
    ----------
    levels : Levels
        The pyramid's levels.
    tms : TileMatrixSet
        The pyramid's own set, or any other.

    Raises
    ------
    UnsupportedError
        If a matrix has rows of coalesced tiles, or the set is on another body than the pyramid.
    """

    levels: Levels
    tms: TileMatrixSet

    def __post_init__(self) -> None:
        if any(matrix.variableMatrixWidths for matrix in self.tms.tileMatrices):
            raise UnsupportedError(f"TileMatrixSet {self.tms.id}", "its rows of coalesced tiles have no single grid")
        if self.tms.crs.is_earth != self.levels.crs.is_earth:
            raise UnsupportedError(f"TileMatrixSet {self.tms.id}", "the pyramid is on another body")

    @cached_property
    def stored(self) -> dict[str, tuple[int, Window]]:
        """Aligned levels by matrix id: position, and window in the raster of the whole matrix."""
        found = {}
        if projection.is_same_place(self.tms.crs, self.levels.crs):
            for position, level in enumerate(self.levels.levels):
                window = _aligned_window(level.grid, self.tms, level.name) if level.name in self.tms.ids else None
                if window is not None:
                    found[level.name] = position, window
        return found

    @property
    def is_aligned(self) -> bool:
        """True where tiles are stored chunks, not warped."""
        return bool(self.stored)

    @cached_property
    def _nested(self) -> tuple[bool, ...]:
        """For each matrix but the last: whether the next finer one nests in it by 2."""
        return tuple(_is_halved(self.tms, coarser, finer) for coarser, finer in itertools.pairwise(self.tms.ids))

    @cached_property
    def minzoom(self) -> str:
        """Matrix of the coarsest level: the last stored one, else the nearest by cell size."""
        return self._matrix_of(len(self.levels.levels) - 1)

    @cached_property
    def maxzoom(self) -> str:
        """Matrix of the finest level: the first stored one, else the nearest by cell size."""
        return self._matrix_of(0)

    def _matrix_of(self, position: int) -> str:
        level = self.levels.levels[position]
        if level.name in self.stored:
            return level.name
        centre = level.grid.crop(Window(level.grid.height // 2, level.grid.width // 2, 1, 1))
        size = cell_size_in(centre, self.tms.crs)
        # Without a cell size at the pyramid's centre nothing can be shown there; any matrix does.
        return self.tms.ids[0] if size is None else tms_module.zoom_for_cell_size(self.tms, size)

    def limits_of_level(self, matrix_id: str) -> TileLimits:
        """Tiles that hold cells of a stored level."""
        position, window = self.stored[matrix_id]
        declared = self.levels.levels[position].limits
        return declared or self.tms.limits_of(matrix_id, self.tms.matrix_grid(matrix_id).bounds_of(window))

    def tile_grid(self, matrix_id: str, *, row: int, col: int) -> Grid:
        """Grid of a tile.

        Raises
        ------
        UnknownNameError
            If there is no such matrix.
        TileOutsideLimitsError
            If the matrix has no such tile.
        """
        return self.tms.matrix_grid(matrix_id).crop(self.tms.tile_window(matrix_id, row=row, col=col))

    def choose(
        self, matrix_id: str, *, row: int, col: int, available: frozenset[int], strategy: Strategy = "nearest"
    ) -> Copy | Warp:
        """Choose what a tile is read from.

        Parameters
        ----------
        matrix_id : str
            The matrix.
        row, col : int
            The tile, as the set counts it.
        available : frozenset of int
            Levels that hold what is asked for.
        strategy : str
            As in the function `choose`, for tiles that are not made of stored cells.

        Raises
        ------
        UnknownNameError
            If there is no such matrix.
        TileOutsideLimitsError
            If the matrix has no such tile, or the tile shows nothing of the pyramid.
        ParameterError
            If there is no such strategy.
        """
        tile = self.tms.tile_window(matrix_id, row=row, col=col)
        source = self._source_of(matrix_id, available)
        if source is None:
            target = self.tms.matrix_grid(matrix_id).crop(tile)
            choice = choose(self.levels, target, available=available, strategy=strategy)
            if choice is None:
                raise TileOutsideLimitsError((matrix_id, row, col), self.levels.finest.grid.bounds)
            return choice
        asset, steps = source
        limits = self.limits_of_level(asset)
        if not limits.contains(row >> steps, col >> steps):
            raise TileOutsideLimitsError((matrix_id, row, col), _refine(limits, matrix_id, steps))
        position, level_window = self.stored[asset]
        return (
            Copy(position, tile.relative_to(level_window))
            if steps == 0
            else _enlarged(position, tile, level_window, steps)
        )

    def _source_of(self, matrix_id: str, available: frozenset[int]) -> tuple[str, int] | None:
        """Return the stored matrix that serves a matrix, and how many times the cells have to be halved to it."""
        held = [asset for asset, (position, _) in self.stored.items() if position in available]
        if matrix_id in held:
            return matrix_id, 0
        if not held:
            return None
        finest = max(held, key=self.tms.index_of)
        first, last = self.tms.index_of(finest), self.tms.index_of(matrix_id)
        if last > first and all(self._nested[first:last]):
            return finest, last - first
        return None


def _enlarged(position: int, tile: Window, level_window: Window, steps: int) -> Copy:
    """Part of an ancestor's window that a tile shows, each cell as often as it takes to fill the tile."""
    factor = 2**steps
    ancestor = Window.from_bounds(
        row_start=tile.row // factor,
        row_stop=-(-tile.row_stop // factor),
        col_start=tile.col // factor,
        col_stop=-(-tile.col_stop // factor),
    )
    rows = tuple((tile.row + step) // factor - ancestor.row for step in range(tile.height))
    cols = tuple((tile.col + step) // factor - ancestor.col for step in range(tile.width))
    return Copy(position, ancestor.relative_to(level_window), rows, cols)


def own_tms(levels: Levels) -> TileMatrixSet | None:
    """Return the whole set that a pyramid is aligned with; None for a native pyramid."""
    return None if levels.tms is None else whole_set(levels.tms)


def whole_set(stored: TileMatrixSet) -> TileMatrixSet:
    """Return the set that some matrices are a part of, since a store names only those of its levels.

    A registered set of that name is taken where the matrices are its own; else the set goes on by halving and
    doubling, where its ids are numbers.
    """
    if stored.id in tms_module.known_ids():
        registered = tms_module.load(stored.id)
        if all(_is_same_matrix(matrix, registered) for matrix in stored.tileMatrices):
            return registered
    return _continued(stored)


def _is_halved(tms: TileMatrixSet, coarser: str, finer: str) -> bool:
    """Tell whether each cell of a matrix is 2 x 2 cells of the next, row and column 0 of both rasters meeting."""
    if tms.why_not_nested(finer=finer, coarser=coarser) is not None:
        return False
    # Row 0 of a raster is at the top; with tiles counted from below, the tops meet only where the heights double.
    coarse, fine = tms.matrix(coarser), tms.matrix(finer)
    return coarse.cornerOfOrigin == "topLeft" or fine.matrixHeight == 2 * coarse.matrixHeight


def _is_same_matrix(matrix: TileMatrix, registered: TileMatrixSet) -> bool:
    if matrix.id not in registered.ids:
        return False
    other = registered.matrix(matrix.id)
    same = (
        (matrix.tileWidth, matrix.tileHeight, matrix.matrixWidth, matrix.matrixHeight, matrix.cornerOfOrigin)
        == (other.tileWidth, other.tileHeight, other.matrixWidth, other.matrixHeight, other.cornerOfOrigin)
    )  # fmt: skip
    far = max(matrix.matrixWidth * matrix.tileWidth, matrix.matrixHeight * matrix.tileHeight)
    shift = max(abs(a - b) for a, b in zip(matrix.pointOfOrigin, other.pointOfOrigin, strict=True))
    drift = abs(matrix.cellSize / other.cellSize - 1) * far + shift / other.cellSize
    return same and drift < tms_module.NESTING_TOLERANCE


def _continued(tms: TileMatrixSet) -> TileMatrixSet:
    """Add coarser and finer matrices to a set whose ids are consecutive numbers and whose matrices nest."""
    if not all(re.fullmatch(r"0|[1-9][0-9]?", matrix_id) for matrix_id in tms.ids):
        return tms
    numbers = [int(matrix_id) for matrix_id in tms.ids]
    is_nested = all(_is_halved(tms, coarser, finer) for coarser, finer in itertools.pairwise(tms.ids))
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or not is_nested:
        return tms
    matrices = list(tms.tileMatrices)
    for number in range(numbers[0] - 1, -1, -1):
        matrices.insert(0, _scaled(matrices[0], str(number), 2.0))
    for number in range(numbers[-1] + 1, MAX_ZOOM + 1):
        matrices.append(_scaled(matrices[-1], str(number), 0.5))
    return replace(tms, tileMatrices=tuple(matrices))


def _scaled(matrix: TileMatrix, matrix_id: str, factor: float) -> TileMatrix:
    return replace(
        matrix,
        id=matrix_id,
        scaleDenominator=matrix.scaleDenominator * factor,
        cellSize=matrix.cellSize * factor,
        matrixWidth=math.ceil(matrix.matrixWidth / factor),
        matrixHeight=math.ceil(matrix.matrixHeight / factor),
    )


def _aligned_window(grid: Grid, tms: TileMatrixSet, matrix_id: str) -> Window | None:
    """Window of a grid in the raster of a matrix; None where cells do not coincide."""
    return whole_cells(grid, tms.matrix_grid(matrix_id))


def whole_cells(grid: Grid, other: Grid) -> Window | None:
    """Restate a grid as a window of another one of the same CRS; None where their cells do not coincide."""
    relative = ~other.transform @ grid.transform
    height, width = grid.shape
    drift = max(abs(relative.a - 1) * width, abs(relative.e - 1) * height, abs(relative.b) * height)
    col, row = round(relative.c), round(relative.f)
    shift = max(abs(relative.c - col), abs(relative.f - row), abs(relative.d) * width)
    return Window(row, col, height, width) if drift + shift < ALIGNED else None


def _refine(limits: TileLimits, matrix_id: str, steps: int) -> TileLimits:
    factor = 2**steps
    return replace(
        limits,
        tileMatrix=matrix_id,
        minTileRow=limits.minTileRow * factor,
        maxTileRow=(limits.maxTileRow + 1) * factor - 1,
        minTileCol=limits.minTileCol * factor,
        maxTileCol=(limits.maxTileCol + 1) * factor - 1,
    )


def choose(
    levels: Levels, target: Grid, *, available: frozenset[int], strategy: Strategy = "nearest"
) -> Copy | Warp | None:
    """Choose the level and the cells that a target grid is read from.

    Parameters
    ----------
    levels : Levels
        The pyramid.
    target : Grid
        Any grid in any CRS; across the edge of its CRS, x may count on (170 to 190 degrees).
    available : frozenset of int
        Levels that hold what is asked for; at least one.
    strategy : str
        "nearest": the level whose cells are nearest in size to the target's, by ratio, where the pyramid and the
        target meet; "coarser": the finest level whose cells are not smaller; "finer": the coarsest level whose cells
        are not larger. Sizes within a hundredth are equal, and where no level is as wished, the last one is taken.

    Returns
    -------
    Copy, Warp or None
        None where the target does not touch the pyramid.

    Raises
    ------
    ParameterError
        If there is no such strategy.
    UnsupportedError
        If there is no transformation between the two CRS.
    """
    if strategy not in STRATEGIES:
        raise ParameterError("level strategy", found=strategy, expected=f"one of {', '.join(STRATEGIES)}")
    box = footprint(target.bounds, target.crs, levels.crs)
    if box is None:
        return None
    finest = levels.finest.grid
    touched = pieces(finest, box)
    if not touched:
        return None
    size = _target_cell_size(finest, max((piece.window for piece in touched), key=lambda window: window.size), target)
    sizes = {index: _mean_cell_size(levels.levels[index].grid) for index in sorted(available)}
    position = max(available) if size is None else _level_of(sizes, size, strategy)
    grid = levels.levels[position].grid
    is_same = projection.is_same_place(target.crs, grid.crs)
    aligned = whole_cells(target, grid) if is_same else None
    # Cells that lie beyond the level's edge, around the globe, are no part of its raster.
    if aligned is not None and all(piece.turns == 0 for piece in pieces(grid, box)):
        return Copy(position, aligned)
    return _warp(levels, position, target, 1.0 if size is None else size / sizes[position], box)


def affordable(
    levels: Levels, choice: Warp, *, available: frozenset[int], is_affordable: Callable[[Warp], bool]
) -> Warp:
    """Change to the next coarser level whose cells are not too many to read.

    Near a pole a small target may take a whole ring of a geographic pyramid, most of which is thrown away: coarser
    cells show it as well.

    Parameters
    ----------
    levels : Levels
        The pyramid.
    choice : Warp
        From `choose`.
    available : frozenset of int
        Levels that hold what is asked for.
    is_affordable : callable
        Tells whether what a choice reads may be read.

    Returns
    -------
    Warp
        The first that may be read, else the last one of all.
    """
    size = choice.shrink * _mean_cell_size(levels.levels[choice.level].grid)
    for position in sorted(index for index in available if index > choice.level):
        if is_affordable(choice):
            return choice
        shrink = size / _mean_cell_size(levels.levels[position].grid)
        choice = _warp(levels, position, choice.target, shrink, choice.footprint)
    return choice


def _level_of(sizes: dict[int, float], size: float, strategy: Strategy) -> int:
    """Position of the level for a cell size, among those of some levels from fine to coarse."""
    if strategy == "coarser":
        return next((index for index in sizes if sizes[index] >= size * (1 - _EQUAL)), max(sizes))
    if strategy == "finer":
        return next((index for index in reversed(sizes) if sizes[index] <= size * (1 + _EQUAL)), min(sizes))
    return min(sizes, key=lambda index: abs(math.log(sizes[index] / size)))


def _warp(levels: Levels, position: int, target: Grid, shrink: float, box: Bounds) -> Warp:
    grid = levels.levels[position].grid
    x, y = grid.cell_size
    sag = max((box.xmax - box.xmin) / x, (box.ymax - box.ymin) / y) / STEPS**2
    margin = min(math.ceil(_MARGIN * max(1.0, shrink)) + int(sag), 2 * max(grid.shape))  # no more than all of it
    found = pieces(grid, box, margin=margin)
    return Warp(position, found, target, _reached(grid, box, found, target), shrink, box)


def _reached(grid: Grid, box: Bounds, found: Sequence[Piece], target: Grid) -> Window:
    """Part of a target that a much smaller level reaches; all of it where the level is not much smaller.

    GDAL looks for the source where the target's outline lies, and finds nothing if all of that has no image, as the
    world's outline has none in a UTM zone. An image that spans half the target may run across a pole or the
    antimeridian, where its sampled box is too small.
    """
    extent = grid.bounds
    is_large = (
        box.xmax - box.xmin > _LARGER * (extent.xmax - extent.xmin)
        or box.ymax - box.ymin > _LARGER * (extent.ymax - extent.ymin)
    )  # fmt: skip
    if not is_large or len(found) != 1:
        return target.window
    image = footprint(grid.crop(found[0].window).bounds, grid.crs, target.crs)
    places = () if image is None else pieces(target, image)
    if len(places) != 1:
        return target.window
    part = places[0].window.grow(2).intersect(target.window)
    is_small = 2 * part.height < target.height and 2 * part.width < target.width
    return part if is_small else target.window


def _target_cell_size(finest: Grid, touched: Window, target: Grid) -> float | None:
    """Side of a target cell in the pyramid's CRS, where the two meet; None where that cannot be told."""
    if projection.is_same_place(target.crs, finest.crs):
        return _mean_cell_size(target)
    cell = finest.crop(Window(touched.row + touched.height // 2, touched.col + touched.width // 2, 1, 1))
    in_target = cell_size_in(cell, target.crs)
    return None if in_target is None else _mean_cell_size(finest) * _mean_cell_size(target) / in_target


def _mean_cell_size(grid: Grid) -> float:
    """Geometric mean of the sides of a cell, in CRS units."""
    return math.sqrt(abs(grid.transform.determinant))


def cell_size_in(grid: Grid, crs: CRS) -> float | None:
    """Geometric mean of the sides of a grid's first cell in another CRS, in its units; None where it has no image."""
    transform = grid.transform
    corners = [transform @ corner for corner in ((0, 0), (1, 0), (0, 1))]
    xs, ys = projection.transform(np.array([x for x, _ in corners]), np.array([y for _, y in corners]), grid.crs, crs)
    if not np.isfinite([xs, ys]).all():
        return None
    cylinder = projection.cylinder_of(crs)
    if cylinder is not None:  # a cell may lie across the edge of the CRS
        xs = xs - np.round((xs - xs[0]) / cylinder.turn) * cylinder.turn
    area = abs((xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0]))
    return math.sqrt(area) if area > 0 else None


def transform_bounds(bounds: Bounds, source: CRS, target: CRS) -> Bounds | None:
    """Box around the image of a box in another CRS, within the range of x that PROJ answers with.

    Points inside count too, so that a pole within the box is covered; points that have no image are left out.

    Returns
    -------
    Bounds or None
        In units of `target`, a whole turn wide where the image lies across the edge of the CRS (`footprint` counts
        on); None where no point of the box has an image.
    """
    if projection.is_same_place(source, target):
        return bounds
    xs, ys = projection.transform(*lattice(bounds), source, target)
    has_image = np.isfinite(xs)
    if not has_image.any():
        return None
    xs, ys = xs[has_image], ys[has_image]
    return Bounds(float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max()))


def transform_point(x: float, y: float, source: CRS, target: CRS) -> tuple[float, float] | None:
    """Coordinates of a point in another CRS; None where it has no image."""
    xs, ys = projection.transform(np.array([x]), np.array([y]), source, target)
    return (float(xs[0]), float(ys[0])) if np.isfinite([xs[0], ys[0]]).all() else None


def cell_at(grid: Grid, x: float, y: float) -> tuple[int, int] | None:
    """Row and column of the cell that holds a point of the grid's CRS; None where it is outside.

    The last edges belong to the last cells, so that every point of the closed bounds has a cell. Around the globe, the
    point may be counted in another turn than the grid (-170 degrees in a grid from 0 to 360).
    """
    col, row = ~grid.transform @ (bring_into(grid, x), y)
    if not (0 <= col <= grid.width and 0 <= row <= grid.height):
        return None
    return min(math.floor(row), grid.height - 1), min(math.floor(col), grid.width - 1)


def grid_of_bounds(bounds: Bounds, crs: CRS, *, height: int, width: int) -> Grid:
    """North-up grid of `height` x `width` cells over a box."""
    cell = (bounds.xmax - bounds.xmin) / width, (bounds.ymax - bounds.ymin) / height
    return Grid((height, width), Affine(cell[0], 0.0, bounds.xmin, 0.0, -cell[1], bounds.ymax), crs)
