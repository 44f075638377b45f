"""Where a source lies in another CRS, and how large its pixels are there.

Both are estimated from samples, never from the corners alone: the extent from points along the outline and inside,
carried forward, and from points of the target's area carried back, which finds what an outline cannot show (a pole in
the middle of the raster, the far side of the antimeridian).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geozarr.crs import full_turn, transformer
from geozarr.errors import GridMismatchError, UnsupportedError
from geozarr.grid import Bounds, Grid
from pyramids.control import SNAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geozarr import CRS
    from pyramids.placement import AnyGrid

_OUTLINE = 513  # points along each edge of the source
_INSIDE = 65  # points along each side of the lattice inside it
_AREA = 129  # points along each side of the target's area
_MARGIN = 1.0  # source pixels added on each side: what may lie between two samples of a smooth outline


def extent(source: AnyGrid, crs: CRS, area: Bounds) -> Bounds:
    """Box in another CRS that holds every pixel of a source, cut to an area.

    Parameters
    ----------
    source : Grid or Placement
        The raster.
    crs : CRS
        CRS of the result.
    area : Bounds
        What can be covered at all, in units of `crs`: the extent of a tile matrix.

    Returns
    -------
    Bounds
        In units of `crs`. Exact where both CRS are the same; else up to `_MARGIN` source pixels too large.

    Raises
    ------
    UnsupportedError
        If one CRS is on the Earth and the other is not.
    GridMismatchError
        If no part of the source lies in the area.
    """
    if source.crs.is_earth != crs.is_earth:
        raise UnsupportedError(f"warping from {source.crs} to {crs}", "they are on different bodies")
    if isinstance(source, Grid) and source.crs.is_same_place(crs):
        box = _turned_box(source.bounds, crs, area, slack=SNAP * source.cell_size[0])
    else:
        xs, ys = _forward(source, crs)
        xs = _turned(xs, crs, area)
        back_xs, back_ys = _backward(source, crs, area)
        box = _box(np.concatenate([xs, back_xs]), np.concatenate([ys, back_ys]))
        x, y = cell_size(source, crs)
        box = Bounds(box.xmin - _MARGIN * x, box.ymin - _MARGIN * y, box.xmax + _MARGIN * x, box.ymax + _MARGIN * y)
    cut = Bounds(max(box.xmin, area.xmin), max(box.ymin, area.ymin), min(box.xmax, area.xmax), min(box.ymax, area.ymax))
    if not (cut.xmin < cut.xmax and cut.ymin < cut.ymax):
        raise GridMismatchError(f"extent of the source in {crs}", found=tuple(box), expected=f"a part of {tuple(area)}")
    return cut


def is_clipped(source: AnyGrid, crs: CRS, area: Bounds) -> bool:
    """Tell whether a part of the source lies outside an area, or nowhere in the CRS of that area."""
    x, y = _forward(source, crs)
    slack = 1e-9 * max(area.xmax - area.xmin, area.ymax - area.ymin)
    wide = Bounds(area.xmin - slack, area.ymin - slack, area.xmax + slack, area.ymax + slack)
    return not bool(_inside(_turned(x, crs, wide), y, wide).all())


def cell_size(source: AnyGrid, crs: CRS) -> tuple[float, float]:
    """Median side lengths of the source's pixels in another CRS.

    Returns
    -------
    tuple of (float, float)
        Along x and y, in units of `crs`; of the boxes around pixels, so a little more for a rotated source.

    Raises
    ------
    GridMismatchError
        If the transformation has no answer for any pixel sampled.
    """
    if isinstance(source, Grid) and source.crs.is_same_place(crs):
        return source.cell_size
    rows, cols = np.meshgrid(
        np.linspace(0, source.height - 1, _INSIDE), np.linspace(0, source.width - 1, _INSIDE), indexing="ij"
    )
    corners = [_at(source, crs, cols + right, rows + down) for right, down in ((0, 0), (1, 0), (0, 1))]
    (x0, y0), (x1, y1), (x2, y2) = corners
    with np.errstate(invalid="ignore"):
        wide, high = np.abs(x1 - x0) + np.abs(x2 - x0), np.abs(y1 - y0) + np.abs(y2 - y0)
    usable = np.isfinite(wide) & np.isfinite(high) & (wide > 0) & (high > 0)
    if not usable.any():
        raise GridMismatchError(f"position of the source in {crs}", found="no finite coordinate", expected="some")
    return float(np.median(wide[usable])), float(np.median(high[usable]))


def resolution(source: AnyGrid, crs: CRS, area: Bounds) -> float:
    """Side of a square target pixel that keeps the area of the source's pixels, the median over those in `area`.

    Raises
    ------
    GridMismatchError
        If no pixel sampled lies in the area.
    """
    rows, cols = np.meshgrid(
        np.linspace(0, source.height - 1, _INSIDE), np.linspace(0, source.width - 1, _INSIDE), indexing="ij"
    )
    (x0, y0), (x1, y1), (x2, y2) = (
        _at(source, crs, cols + right, rows + down) for right, down in ((0, 0), (1, 0), (0, 1))
    )
    with np.errstate(invalid="ignore", over="ignore"):
        areas = np.abs((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))
    usable = np.isfinite(areas) & (areas > 0) & _inside(_turned(x0, crs, area), y0, area)
    if not usable.any():
        raise GridMismatchError(f"extent of the source in {crs}", found="nothing", expected=f"a part of {tuple(area)}")
    return float(np.sqrt(np.median(areas[usable])))


def _at(
    source: AnyGrid, crs: CRS, cols: NDArray[np.float64], rows: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = source.coordinates(cols, rows)
    if source.crs.is_same_place(crs):
        return x, y
    found_x, found_y = transformer(source.crs, crs).transform(x, y, errcheck=False)
    return found_x, found_y


def _forward(source: AnyGrid, crs: CRS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Carry points of the source's outline and inside forward."""
    along_rows, along_cols = np.linspace(0, source.height, _OUTLINE), np.linspace(0, source.width, _OUTLINE)
    inner_rows, inner_cols = np.meshgrid(
        np.linspace(0, source.height, _INSIDE), np.linspace(0, source.width, _INSIDE), indexing="ij"
    )
    zeros, ends = np.zeros(_OUTLINE), np.ones(_OUTLINE)
    cols = np.concatenate([along_cols, along_cols, zeros, ends * source.width, inner_cols.ravel()])
    rows = np.concatenate([zeros, ends * source.height, along_rows, along_rows, inner_rows.ravel()])
    return _at(source, crs, cols, rows)


def _backward(source: AnyGrid, crs: CRS, area: Bounds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of the area that come from inside the source."""
    xs, ys = np.meshgrid(np.linspace(area.xmin, area.xmax, _AREA), np.linspace(area.ymin, area.ymax, _AREA))
    x, y = transformer(crs, source.crs).transform(xs, ys, errcheck=False)
    with np.errstate(invalid="ignore", over="ignore"):
        cols, rows = source.positions(x, y)
        inside = (cols >= 0) & (cols <= source.width) & (rows >= 0) & (rows <= source.height)
    return xs[inside], ys[inside]


def _turned(x: NDArray[np.float64], crs: CRS, area: Bounds) -> NDArray[np.float64]:
    """Bring longitudes into an area where one turn more or less does so: 190 degrees are -170 degrees."""
    if not crs.is_geographic:
        return x
    for turn in (full_turn(crs), -full_turn(crs)):
        lies_outside = (x < area.xmin) | (x > area.xmax)
        comes_inside = (x + turn >= area.xmin) & (x + turn <= area.xmax)
        x = np.where(lies_outside & comes_inside, x + turn, x)
    return x


def _turned_box(box: Bounds, crs: CRS, area: Bounds, *, slack: float) -> Bounds:
    """Box around the parts of a box that lie in an area, there or one turn on; the box itself where none does."""
    turn = full_turn(crs) if crs.is_geographic else 0.0
    spans = {(box.xmin + shift, box.xmax + shift) for shift in (-turn, 0.0, turn)}
    met = [(left, right) for left, right in spans if left < area.xmax - slack and right > area.xmin + slack]
    if not met:
        return box
    return Bounds(min(left for left, _ in met), box.ymin, max(right for _, right in met), box.ymax)


def _inside(x: NDArray[np.float64], y: NDArray[np.float64], area: Bounds) -> NDArray[np.bool_]:
    return (x >= area.xmin) & (x <= area.xmax) & (y >= area.ymin) & (y <= area.ymax)


def _box(x: NDArray[np.float64], y: NDArray[np.float64]) -> Bounds:
    """Box around the finite points."""
    usable = np.isfinite(x) & np.isfinite(y)
    if not usable.any():
        raise GridMismatchError("position of the source", found="no finite coordinate", expected="some")
    x, y = x[usable], y[usable]
    return Bounds(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
