"""Control grid: where each target pixel lies in the source, within 1/100 of a source pixel.

The inverse transformation is evaluated at the corners of cells of 64 x 64 target pixels and interpolated
bilinearly between them. Each cell is checked at its centre and at the middles of its edges, where the error of a
bilinear interpolation of a smooth function is largest; a cell that is off by more than `TOLERANCE` is cut into four,
down to single pixels, which are evaluated exactly. So are cells across a discontinuity (the antimeridian, a pole, the
edge of a projection).

Cells are counted from the corner of the target grid, not from the window asked for. A coordinate therefore depends on
the pixel alone: block size, tile size and the number of threads cannot change it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numba
import numpy as np

from geozarr.crs import transformer
from geozarr.window import Window

if TYPE_CHECKING:
    import pyproj
    from numpy.typing import NDArray

    from geozarr.crs import CRS
    from geozarr.grid import Grid

CELL = 64  # target pixels; at 64 a UTM to Mercator cell is off by about 1e-4 px, and 1 in 4096 pixels is evaluated
TOLERANCE = 0.005  # source pixels at the checked points; half of what is promised everywhere
SNAP = 1e-6  # source pixels; nearer than this to a pixel edge or centre is rounding noise, not geometry


@dataclass(frozen=True)
class Mapping:
    """From the pixels of a target grid to the pixels of a source grid.

    Parameters
    ----------
    target, source : Grid
        The finest level, and the raster.
    """

    target: Grid
    source: Grid

    @cached_property
    def _is_affine(self) -> bool:
        return self.target.crs.is_same_place(self.source.crs)

    @cached_property
    def _transformer(self) -> pyproj.Transformer:
        return transformer(self.target.crs, self.source.crs)

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
        if self.source.crs.is_geographic:
            x = self._wrapped(x)
        inverse = ~self.source.transform
        with np.errstate(invalid="ignore", over="ignore"):
            source_cols = inverse.a * x + inverse.b * y + inverse.c
            source_rows = inverse.d * x + inverse.e * y + inverse.f
        lost = ~(np.isfinite(source_cols) & np.isfinite(source_rows))
        source_cols[lost] = np.nan
        source_rows[lost] = np.nan
        return _snapped(source_cols), _snapped(source_rows)

    @cached_property
    def turn(self) -> tuple[float, float]:
        """Columns and rows of the source that one turn around the globe makes; zeros where it counts no longitudes."""
        if not self.source.crs.is_geographic:
            return 0.0, 0.0
        inverse = ~self.source.transform
        turn = full_turn(self.source.crs)
        return inverse.a * turn, inverse.d * turn

    def _wrapped(self, longitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring longitudes into the turn that starts at the western edge of the source (0 to 360, -180 to 180 ...)."""
        west = self.source.bounds.xmin - SNAP * self.source.cell_size[0]
        with np.errstate(invalid="ignore"):
            return west + np.mod(longitudes - west, full_turn(self.source.crs))

    def centres(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Source positions of the centres of the target pixels of a window.

        Returns
        -------
        cols, rows : ndarray of float64, shape `window.shape`
            In source pixels, NaN where there is no answer.
        """
        return self._positions(window, offset=0.5)

    def corners(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Source positions of the corners of the target pixels of a window, shape `(height + 1, width + 1)`."""
        around = Window(window.row, window.col, window.height + 1, window.width + 1)
        return self._positions(around, offset=0.0)

    def _positions(self, window: Window, *, offset: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        around = window.align(height=CELL, width=CELL)
        cols = np.empty(around.shape, np.float64)
        rows = np.empty(around.shape, np.float64)
        # First round: one lattice of corners and middles for all cells, each point evaluated once.
        half = CELL // 2
        lattice = (
            np.arange(around.row, around.row_stop + 1, half, dtype=np.float64) + offset,
            np.arange(around.col, around.col_stop + 1, half, dtype=np.float64) + offset,
        )
        grid_rows, grid_cols = np.meshgrid(*lattice, indexing="ij")
        found_cols, found_rows = self.exact(grid_cols, grid_rows)
        nodes_cols, nodes_rows = _nine_points(found_cols), _nine_points(found_rows)
        cell_rows, cell_cols = np.meshgrid(
            np.arange(0, around.height, CELL), np.arange(0, around.width, CELL), indexing="ij"
        )
        tops, lefts = cell_rows.ravel(), cell_cols.ravel()
        step = CELL
        while tops.size:
            good = _is_close(nodes_cols) & _is_close(nodes_rows)
            _interpolate(nodes_cols[good], tops[good], lefts[good], step, cols)
            _interpolate(nodes_rows[good], tops[good], lefts[good], step, rows)
            tops, lefts = tops[~good], lefts[~good]
            if not tops.size:
                break
            step //= 2
            tops = (tops[:, None] + np.array([0, 0, step, step])).ravel()
            lefts = (lefts[:, None] + np.array([0, step, 0, step])).ravel()
            if step == 1:
                cols[tops, lefts], rows[tops, lefts] = self.exact(
                    lefts + (around.col + offset), tops + (around.row + offset)
                )
                break
            third = np.array([0.0, step / 2, step])
            node_rows = np.broadcast_to(
                (tops + (around.row + offset))[:, None, None] + third[:, None], (tops.size, 3, 3)
            )
            node_cols = np.broadcast_to((lefts + (around.col + offset))[:, None, None] + third, (lefts.size, 3, 3))
            nodes_cols, nodes_rows = self.exact(np.array(node_cols), np.array(node_rows))
        cut = window.relative_to(around).slices
        return cols[cut], rows[cut]


def full_turn(crs: CRS) -> float:
    """Length of one turn around the globe in the unit of a geographic CRS: 360 degrees, 400 grads."""
    return math.tau / float(crs.proj.axis_info[0].unit_conversion_factor)


def _nine_points(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut a lattice of corners and middles into cells of 3 x 3 points, shape (cell, 3, 3)."""
    tops, lefts = range(0, lattice.shape[0] - 2, 2), range(0, lattice.shape[1] - 2, 2)
    return np.array([lattice[top : top + 3, left : left + 3] for top in tops for left in lefts])


def _is_close(nodes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell for each cell of 3 x 3 points whether its corners predict its other five points."""
    corners = nodes[:, ::2, ::2]
    centre = corners.mean(axis=(1, 2))
    rows = corners.mean(axis=2)
    cols = corners.mean(axis=1)
    errors = [
        nodes[:, 1, 1] - centre,
        nodes[:, 0, 1] - rows[:, 0],
        nodes[:, 2, 1] - rows[:, 1],
        nodes[:, 1, 0] - cols[:, 0],
        nodes[:, 1, 2] - cols[:, 1],
    ]
    worst = np.abs(np.stack(errors)).max(axis=0)
    return np.asarray(worst <= TOLERANCE)  # NaN compares false, so a cell with a lost point is cut


@numba.njit(nogil=True, cache=True)
def _interpolate(nodes, tops, lefts, step, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba infers
    """Fill cells of `step` x `step` positions bilinearly from their corners, with the snapping of `_snapped`."""
    for n in range(nodes.shape[0]):
        for i in range(step):
            down = i / step
            left = nodes[n, 0, 0] + (nodes[n, 2, 0] - nodes[n, 0, 0]) * down
            right = nodes[n, 0, 2] + (nodes[n, 2, 2] - nodes[n, 0, 2]) * down
            for j in range(step):
                position = left + (right - left) * (j / step)
                half = np.round(position * 2) / 2
                out[tops[n] + i, lefts[n] + j] = half if abs(position - half) < SNAP else position


def _snapped(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put positions that are within rounding noise of a pixel's edge or centre onto it."""
    halves = np.round(positions * 2) / 2
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(positions - halves) < SNAP, halves, positions)
