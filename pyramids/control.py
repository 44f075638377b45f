"""Positions: where each target pixel lies in the source, within 1/100 of a source pixel.

Between two cylindrical grids (same CRS, or longitude/latitude and Mercator) columns depend on columns alone and rows
on rows: two tables say it exactly. Else the inverse transformation is evaluated on a lattice and interpolated
bilinearly: cells of 128 x 128 target pixels are checked at their centre and at the middles of their edges, where the
error of a bilinear interpolation of a smooth function is largest. A cell that is off by more than `TOLERANCE` is cut
into four, down to single pixels, which are evaluated exactly. So are cells across a discontinuity (the antimeridian, a
pole, the edge of a projection). A cell that is good enough is interpolated between all its nine points, which leaves a
quarter of the error that was checked.

Cells are counted from the corner of the target grid, not from the window asked for. A position therefore depends on
the pixel alone: block size, tile size and the number of threads cannot change it. No array of positions is made for
the pixels of a block: kernels ask for them row by row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geozarr.crs import full_turn, transformer
from geozarr.grid import Grid
from geozarr.window import Window
from pyramids.kernels import jit
from pyramids.placement import Placement

if TYPE_CHECKING:
    import pyproj
    from numpy.typing import NDArray

    from geozarr.crs import CRS
    from pyramids.placement import AnyGrid

CELL = 128  # target pixels
SPACING = CELL // 2  # target pixels between the points of the lattice
QUARTERED = 3.0  # a cell that all nine points describe is off by a quarter of what its corners are; 3 leaves a margin
TOLERANCE = 0.005  # source pixels at the checked points; half of what is promised everywhere
SNAP = 1e-6  # source pixels; nearer than this to a pixel edge or centre is rounding noise, not geometry
SEPARABLE = 1e-7  # source pixels: two axes that are this independent are taken as two tables
_PROBES = 9  # points along each side of the target on which independence is tested
_CYLINDRICAL = frozenset(
    {
        "Popular Visualisation Pseudo Mercator",
        "Mercator (variant A)",
        "Mercator (variant B)",
        "Mercator (1SP)",
        "Mercator (2SP)",
        "Equidistant Cylindrical",
        "Equidistant Cylindrical (Spherical)",
        "Lambert Cylindrical Equal Area",
        "Lambert Cylindrical Equal Area (Spherical)",
        "Miller Cylindrical",
    }
)  # methods of projection by EPSG's names whose easting depends on the longitude alone, and northing on the latitude

LATTICE, TABLES, DENSE = 0, 1, 2


class Lattice(NamedTuple):
    """What kernels read positions from; see `fill_row`.

    Parameters
    ----------
    kind : int
        `LATTICE`, `TABLES` or `DENSE`.
    skip_row, skip_col : int
        Pixels from the first cell of the lattice to the window.
    node_cols, node_rows : ndarray of float64, shape (cell + 1, cell + 1)
        LATTICE: positions of the lattice's points, every `SPACING` pixels.
    which : ndarray of int32, shape (cell, cell)
        LATTICE: -1 where a cell is interpolated, else its number among the cells below.
    cell_cols, cell_rows : ndarray of float64, shape (number, SPACING, SPACING)
        LATTICE: positions in cells that are not interpolated.  DENSE: of all pixels, shape (1, row, col).
    table_cols, table_rows : ndarray of float64, shape (col,) and (row,)
        TABLES: positions of the window's columns and rows.
    """

    kind: int
    skip_row: int
    skip_col: int
    node_cols: NDArray[np.float64]
    node_rows: NDArray[np.float64]
    which: NDArray[np.int32]
    cell_cols: NDArray[np.float64]
    cell_rows: NDArray[np.float64]
    table_cols: NDArray[np.float64]
    table_rows: NDArray[np.float64]


@dataclass(frozen=True)
class Positions:
    """Source positions of the pixels of a window, or of their corners.

    Parameters
    ----------
    shape : tuple of (int, int)
        Rows and columns of positions.
    lattice : Lattice
        For kernels.
    bounds : tuple of (float, float, float, float) or None
        Lowest and highest row, lowest and highest column that a position takes, or a little more; None where no
        position is finite.
    is_complete : bool
        True where all positions are finite.
    """

    shape: tuple[int, int]
    lattice: Lattice
    bounds: tuple[float, float, float, float] | None
    is_complete: bool

    @staticmethod
    def from_arrays(cols: NDArray[np.float64], rows: NDArray[np.float64]) -> Positions:
        """Take positions as they are, shape (row, col) each; NaN where there is none."""
        all_cols, all_rows = _contiguous(cols[None], rows[None])
        dense = Lattice(DENSE, 0, 0, _NO_NODES, _NO_NODES, _NO_WHICH, all_cols, all_rows, _NO_TABLE, _NO_TABLE)
        return _positions_of((cols.shape[0], cols.shape[1]), dense)

    def to_arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return columns and rows of all positions, in source pixels, NaN where there is no answer."""
        cols, rows = np.empty(self.shape, np.float64), np.empty(self.shape, np.float64)
        _fill(self.lattice, cols, rows)
        return cols, rows

    def source_window(self, *, margin: int) -> Window:
        """Source pixels that the positions lie in, with a margin; empty where there are none. Not cut to the source."""
        if self.bounds is None:
            return Window(0, 0, 0, 0)
        row_low, row_high, col_low, col_high = self.bounds
        return Window.from_bounds(
            row_start=math.floor(row_low) - margin,
            row_stop=math.floor(row_high) + margin + 1,
            col_start=math.floor(col_low) - margin,
            col_stop=math.floor(col_high) + margin + 1,
        )


_NO_NODES = np.empty((0, 0), np.float64)
_NO_WHICH = np.empty((0, 0), np.int32)
_NO_CELLS = np.empty((0, 0, 0), np.float64)
_NO_TABLE = np.empty(0, np.float64)


@dataclass(frozen=True)
class Mapping:
    """From the pixels of a target grid to the pixels of a source.

    Parameters
    ----------
    target : Grid
        The finest level.
    source : Grid or Placement
        The raster.
    """

    target: Grid
    source: AnyGrid

    @cached_property
    def _is_affine(self) -> bool:
        return self.target.crs.is_same_place(self.source.crs)

    @cached_property
    def _transformer(self) -> pyproj.Transformer:
        return transformer(self.target.crs, self.source.crs)

    @cached_property
    def is_separable(self) -> bool:
        """True where source columns depend on target columns alone, and rows on rows."""
        if not (self.target.is_rectilinear and self.source.has_axes):
            return False
        if not self._is_affine and not (_is_cylindrical(self.target.crs) and _is_cylindrical(self.source.crs)):
            return False
        # The names say so; two datums with a shift between them do not. Ask the transformation.
        along = np.linspace(0, 1, _PROBES)
        rows, cols = np.meshgrid(along * self.target.height, along * self.target.width, indexing="ij")
        found_cols, found_rows = self.exact(cols, rows)
        table_cols, table_rows = self._tables(cols[0], rows[:, 0])
        with np.errstate(invalid="ignore"):
            off = np.abs(found_cols - table_cols) + np.abs(found_rows - table_rows[:, None])
        usable = np.isfinite(found_cols) & np.isfinite(found_rows)
        return bool(usable.any() and (off[usable] <= SEPARABLE).all())

    def _tables(
        self, cols: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Source columns of target columns along the middle row, and source rows of rows along the middle column."""
        middle_row, middle_col = self.target.height / 2, self.target.width / 2
        found_cols, _ = self.exact(cols, np.full(cols.shape, middle_row))
        _, found_rows = self.exact(np.full(rows.shape, middle_col), rows)
        return found_cols, found_rows

    def exact(self, cols: NDArray[np.float64], rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Transform positions one by one.

        Parameters
        ----------
        cols, rows : ndarray of float64, any equal shape
            Target positions in pixels; (0, 0) is the outer corner of the first pixel.

        Returns
        -------
        cols, rows : ndarray of float64
            Source positions in pixels; NaN where the transformation has no answer.
        """
        t = self.target.transform
        x, y = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
        if not self._is_affine:
            x, y = self._transformer.transform(x, y, errcheck=False)
        source_cols, source_rows = np.empty(cols.shape), np.empty(cols.shape)
        if isinstance(self.source, Placement):
            found = _contiguous(*self.source.positions(x, y))
            _take_positions(found[0].ravel(), found[1].ravel(), source_cols.ravel(), source_rows.ravel())
            return source_cols, source_rows
        if self.source.crs.is_geographic:
            x = self._wrapped(x)
        x, y = _contiguous(x, y)
        _to_pixels(x.ravel(), y.ravel(), self._to_source, source_cols.ravel(), source_rows.ravel())
        return source_cols, source_rows

    @cached_property
    def _to_source(self) -> tuple[float, ...]:
        """From coordinates of the source's CRS to its pixels."""
        assert isinstance(self.source, Grid), "a placement tells positions itself"
        return tuple(map(float, tuple(~self.source.transform)[:6]))

    @cached_property
    def turn(self) -> tuple[float, float]:
        """Columns and rows of the source that one turn around the globe makes; zeros where it counts no longitudes."""
        if isinstance(self.source, Placement):
            return self.source.turn
        if not self.source.crs.is_geographic:
            return 0.0, 0.0
        inverse = ~self.source.transform
        turn = full_turn(self.source.crs)
        return inverse.a * turn, inverse.d * turn

    def _wrapped(self, longitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring longitudes into the turn that starts at the western edge of the source (0 to 360, -180 to 180 ...)."""
        west, turn = self._west
        with np.errstate(invalid="ignore"):
            return west + np.mod(longitudes - west, turn)

    @cached_property
    def _west(self) -> tuple[float, float]:
        """Where the turn of the source begins, and how long it is."""
        return self.source.bounds.xmin - SNAP * self.source.cell_size[0], full_turn(self.source.crs)

    def centres(self, window: Window) -> Positions:
        """Source positions of the centres of the target pixels of a window, shape `window.shape`."""
        return self._positions(window, offset=0.5)

    def corners(self, window: Window) -> Positions:
        """Source positions of the corners of the target pixels of a window, shape `(height + 1, width + 1)`."""
        return self._positions(Window(window.row, window.col, window.height + 1, window.width + 1), offset=0.0)

    def _positions(self, window: Window, *, offset: float) -> Positions:
        if self.is_separable:
            cols, rows = self._tables(
                np.arange(window.col, window.col_stop, dtype=np.float64) + offset,
                np.arange(window.row, window.row_stop, dtype=np.float64) + offset,
            )
            cols, rows = _contiguous(cols, rows)
            lattice = Lattice(TABLES, 0, 0, _NO_NODES, _NO_NODES, _NO_WHICH, _NO_CELLS, _NO_CELLS, cols, rows)
            return _positions_of(window.shape, lattice)
        around = window.align(height=CELL, width=CELL)
        grid_rows, grid_cols = np.meshgrid(
            np.arange(around.row, around.row_stop + 1, SPACING, dtype=np.float64) + offset,
            np.arange(around.col, around.col_stop + 1, SPACING, dtype=np.float64) + offset,
            indexing="ij",
        )
        node_cols, node_rows = self.exact(grid_cols, grid_rows)
        worst = np.maximum(lattice_error(node_cols), lattice_error(node_rows))
        is_coarse = worst <= QUARTERED * TOLERANCE  # NaN is not, so that a cell with a lost point is cut
        which = np.full((around.height // SPACING, around.width // SPACING), -1, np.int32)
        cell_cols = cell_rows = _NO_CELLS
        if not is_coarse.all():
            bad = np.argwhere(~np.repeat(np.repeat(is_coarse, 2, axis=0), 2, axis=1))
            bad, cell_cols, cell_rows = self._refined(bad, around, offset=offset)
            which[bad[:, 0], bad[:, 1]] = np.arange(bad.shape[0])
        lattice = Lattice(
            LATTICE,
            window.row - around.row,
            window.col - around.col,
            node_cols,
            node_rows,
            which,
            cell_cols,
            cell_rows,
            _NO_TABLE,
            _NO_TABLE,
        )
        return _positions_of(window.shape, lattice)

    def _refined(
        self, cells: NDArray[np.intp], around: Window, *, offset: float
    ) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
        """Keep those cells of `SPACING` pixels that the lattice does not describe; positions in them, cutting them."""
        origin = np.array([around.row, around.col]) + offset
        cells = cells[~self._nine_points(cells * SPACING + origin, SPACING)[2]]
        count = cells.shape[0]
        cols = np.empty((count, SPACING, SPACING), np.float64)
        rows = np.empty((count, SPACING, SPACING), np.float64)
        step = SPACING // 2
        tops = np.tile(np.array([0, 0, step, step]), count)  # in pixels of the cell
        lefts = np.tile(np.array([0, step, 0, step]), count)
        numbers = np.repeat(np.arange(count), 4)
        while numbers.size:
            corners = cells[numbers] * SPACING + np.stack((tops, lefts), axis=1) + origin
            if step == 1:
                cols[numbers, tops, lefts], rows[numbers, tops, lefts] = self.exact(corners[:, 1], corners[:, 0])
                break
            found_cols, found_rows, good = self._nine_points(corners, step)
            _interpolate(found_cols[good], numbers[good], tops[good], lefts[good], step, cols)
            _interpolate(found_rows[good], numbers[good], tops[good], lefts[good], step, rows)
            numbers, tops, lefts = numbers[~good], tops[~good], lefts[~good]
            step //= 2
            tops = (tops[:, None] + np.array([0, 0, step, step])).ravel()
            lefts = (lefts[:, None] + np.array([0, step, 0, step])).ravel()
            numbers = np.repeat(numbers, 4)
        return cells, cols, rows

    def _nine_points(
        self, corners: NDArray[np.float64], side: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Transform corners and middles of square cells.

        Parameters
        ----------
        corners : ndarray of float64, shape (cell, 2)
            Row and column of each cell's first corner.
        side : int
            Pixels along a side of a cell.

        Returns
        -------
        cols, rows : ndarray of float64, shape (cell, 3, 3)
            Source positions.
        is_described : ndarray of bool, shape (cell,)
            True where the corners predict the other points within `TOLERANCE`.
        """
        thirds = np.array([0.0, side / 2, side])
        at_rows, at_cols = np.broadcast_arrays(
            corners[:, 0, None, None] + thirds[:, None], corners[:, 1, None, None] + thirds
        )
        cols, rows = self.exact(at_cols, at_rows)
        return cols, rows, np.maximum(_errors(cols), _errors(rows)) <= TOLERANCE


def _is_cylindrical(crs: CRS) -> bool:
    if crs.is_geographic:
        return True
    operation = crs.proj.coordinate_operation
    return operation is not None and operation.method_name in _CYLINDRICAL


def _contiguous(
    cols: NDArray[np.float64], rows: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.ascontiguousarray(cols, np.float64), np.ascontiguousarray(rows, np.float64)


def _positions_of(shape: tuple[int, int], lattice: Lattice) -> Positions:
    low_row, high_row, low_col, high_col, is_complete = _extremes(lattice, *shape)
    bounds = None if low_row > high_row or low_col > high_col else (low_row, high_row, low_col, high_col)
    return Positions(shape, lattice, bounds, is_complete)


def lattice_error(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tell how well every second point of a lattice, interpolated, predicts the points between.

    Parameters
    ----------
    lattice : ndarray of float64, shape (2 * row + 1, 2 * col + 1)
        Corners and middles of cells.

    Returns
    -------
    ndarray of float64, shape (row, col)
        Largest difference in each cell; NaN where a point is lost.
    """
    errors: NDArray[np.float64] = _lattice_errors(lattice)
    return errors


@jit
def _lattice_errors(lattice):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba infers
    errors = np.empty((lattice.shape[0] // 2, lattice.shape[1] // 2))
    for i in range(errors.shape[0]):
        for j in range(errors.shape[1]):
            errors[i, j] = _error(lattice[2 * i : 2 * i + 3, 2 * j : 2 * j + 3])
    return errors


@jit
def _errors(cells):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return the error of each cell of 3 x 3 points."""
    errors = np.empty(cells.shape[0])
    for n in range(cells.shape[0]):
        errors[n] = _error(cells[n])
    return errors


@jit
def _error(nodes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Tell how well the corners of a cell of 3 x 3 points predict its other five points; NaN where one is lost."""
    a, b, c, d = nodes[0, 0], nodes[0, 2], nodes[2, 0], nodes[2, 2]
    middle = abs(nodes[1, 1] - (a + b + c + d) / 4)
    level = max(abs(nodes[0, 1] - (a + b) / 2), abs(nodes[2, 1] - (c + d) / 2))
    plumb = max(abs(nodes[1, 0] - (a + c) / 2), abs(nodes[1, 2] - (b + d) / 2))
    worst = max(middle, level, plumb)
    return worst if np.isfinite(nodes.sum()) else np.nan


@jit
def _to_pixels(x, y, inverse, cols, rows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Turn coordinates into pixels; NaN in both where one is not finite."""
    a, b, c, d, e, f = inverse
    for k in range(x.shape[0]):
        col, row = a * x[k] + b * y[k] + c, d * x[k] + e * y[k] + f
        if np.isfinite(col) and np.isfinite(row):
            cols[k], rows[k] = _snap(col), _snap(row)
        else:
            cols[k], rows[k] = np.nan, np.nan


@jit
def _take_positions(found_cols, found_rows, cols, rows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Take positions over as `_to_pixels` makes them."""
    for k in range(found_cols.shape[0]):
        col, row = found_cols[k], found_rows[k]
        if np.isfinite(col) and np.isfinite(row):
            cols[k], rows[k] = _snap(col), _snap(row)
        else:
            cols[k], rows[k] = np.nan, np.nan


@jit
def _interpolate(nodes, numbers, tops, lefts, step, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Fill parts of `step` x `step` positions of numbered cells bilinearly from their corners."""
    for n in range(nodes.shape[0]):
        for i in range(step):
            down = i / step
            left = nodes[n, 0, 0] + (nodes[n, 2, 0] - nodes[n, 0, 0]) * down
            right = nodes[n, 0, 2] + (nodes[n, 2, 2] - nodes[n, 0, 2]) * down
            for j in range(step):
                out[numbers[n], tops[n] + i, lefts[n] + j] = _snap(left + (right - left) * (j / step))


@jit
def _snap(position):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    half = np.rint(position * 2) / 2
    return half if abs(position - half) < SNAP else position


@jit
def fill_row(lattice, i, cols, rows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write the source positions of row `i` of a window into two arrays of its width."""
    width = cols.shape[0]
    if lattice.kind == TABLES:
        row = lattice.table_rows[i]
        table = lattice.table_cols
        for j in range(width):
            cols[j] = table[j]
            rows[j] = row
        return
    cell_cols, cell_rows = lattice.cell_cols, lattice.cell_rows
    if lattice.kind == DENSE:
        for j in range(width):
            cols[j] = cell_cols[0, i, j]
            rows[j] = cell_rows[0, i, j]
        return
    # Arrays are taken out of the tuple once a row, and indexes are unsigned: both keep the inner loops vectorised.
    which, node_cols, node_rows = lattice.which, lattice.node_cols, lattice.node_rows
    cell_row, line = divmod(i + lattice.skip_row, SPACING)
    down = line / SPACING
    j = 0
    while j < width:
        cell_col, first = divmod(j + lattice.skip_col, SPACING)
        count = min(SPACING - first, width - j)
        number = which[cell_row, cell_col]
        if number >= 0:
            for k in range(count):
                cols[j + k] = cell_cols[number, line, first + k]
                rows[j + k] = cell_rows[number, line, first + k]
            j += count
            continue
        left_col = node_cols[cell_row, cell_col]
        left_col += (node_cols[cell_row + 1, cell_col] - left_col) * down
        right_col = node_cols[cell_row, cell_col + 1]
        right_col += (node_cols[cell_row + 1, cell_col + 1] - right_col) * down
        left_row = node_rows[cell_row, cell_col]
        left_row += (node_rows[cell_row + 1, cell_col] - left_row) * down
        right_row = node_rows[cell_row, cell_col + 1]
        right_row += (node_rows[cell_row + 1, cell_col + 1] - right_row) * down
        for k in range(count):
            along = (first + k) * (1.0 / SPACING)
            cols[np.uint64(j + k)] = _snap(left_col + (right_col - left_col) * along)
        for k in range(count):
            along = (first + k) * (1.0 / SPACING)
            rows[np.uint64(j + k)] = _snap(left_row + (right_row - left_row) * along)
        j += count


@jit
def _fill(lattice, cols, rows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for i in range(cols.shape[0]):
        fill_row(lattice, i, cols[i], rows[i])


@jit
def _extremes(lattice, height, width):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Lowest and highest row and column in a window, and whether all are finite.

    Where cells are interpolated, their corners inside the window are enough.
    """
    cols, rows = np.empty(width), np.empty(width)
    low_row, high_row, low_col, high_col = np.inf, -np.inf, np.inf, -np.inf
    is_complete = True
    has_cells = lattice.kind == LATTICE and (lattice.which >= 0).any()
    for i in range(height):
        if lattice.kind == TABLES and i > 0:
            rows[:] = lattice.table_rows[i]
        elif lattice.kind == LATTICE and not has_cells:
            line = (i + lattice.skip_row) % SPACING
            if line not in (0, SPACING - 1) and i not in (0, height - 1):
                continue
            fill_row(lattice, i, cols, rows)
        else:
            fill_row(lattice, i, cols, rows)
        for j in range(width):
            if np.isnan(cols[j]) or np.isnan(rows[j]):
                is_complete = False
                continue
            low_row, high_row = min(low_row, rows[j]), max(high_row, rows[j])
            low_col, high_col = min(low_col, cols[j]), max(high_col, cols[j])
            if lattice.kind == TABLES and i > 0:
                break
    return low_row, high_row, low_col, high_col, is_complete
