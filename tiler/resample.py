"""Values of one grid brought onto another: nearest by position, every other method by GDAL through rasterio.

Nearest values are never computed: `tiler.positions` says which cell holds each centre, and the cell is copied, so that
every data type comes out as stored, 64-bit integers included. Every other method runs in GDAL, in float64 with NaN for
what is not valid, which GDAL leaves out of its sums, and is rounded half to even once.

Means of whole cells, which a coarser tile of the pyramid's own set is made of, are taken by numpy: GDAL counts a
neighbour in that rounding noise makes overlap by 1e-10 of a cell, and grows the data by a row.

GDAL follows PROJ, whose x begins again at the edge of a CRS, and does not see what lies across it. So a source that
counts on beyond that edge is described in a CRS that has its edge elsewhere, and one that goes all around is warped in
two halves, each with cells of the other beside it: cells of the target take the half that their centres lie in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS as RasterioCRS  # noqa: N811 - CRS is geozarr's everywhere else
from rasterio.enums import Resampling
from rasterio.errors import CRSError
from rasterio.warp import reproject

from geozarr.errors import ParameterError, UnsupportedError
from geozarr.grid import SNAP, Grid
from geozarr.window import Window
from tiler import projection
from tiler.block import Block
from tiler.footprint import poles_in
from tiler.positions import positions
from tiler.select import whole_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geozarr import CRS
    from tiler.positions import Positions

METHODS = (
    "nearest",
    "bilinear",
    "cubic",
    "cubic_spline",
    "lanczos",
    "average",
    "mode",
    "max",
    "min",
    "med",
    "q1",
    "q3",
)
_RING = 7 / 8  # of a turn; what is longer is warped in halves: an edge of `projection.around` is then beside all else
_SHRINKING = {
    "average": "average",
    "mean": "average",
    "bilinear": "average",
    "cubic": "average",
    "mode": "mode",
    "min": "min",
    "max": "max",
    "median": "med",
}


def shrinking_method(resampling_method: str | None) -> str:
    """Return the method that makes one cell of many, from the one that made the pyramid's levels.

    Cells of an unknown or categorical kind must not be averaged: they are sampled.
    """
    return _SHRINKING.get(resampling_method or "", "nearest")


def resample(block: Block, source: Grid, target: Grid, *, method: str) -> Block:
    """Bring values onto another grid.

    Parameters
    ----------
    block : Block
        Values and mask on `source`.
    source, target : Grid
        Grids of any CRS.
    method : str
        One of `METHODS`.

    Returns
    -------
    Block
        Values of the same data type and mask, of the shape of `target`. A cell that no valid source cell reaches is
        not valid.

    Raises
    ------
    ParameterError
        If there is no such method.
    """
    if method not in METHODS:
        raise ParameterError("resampling", found=method, expected=f"one of {', '.join(METHODS)}")
    if method == "nearest":
        return _nearest(block, source, target)
    if method == "average":
        place = _whole_blocks(source, target)
        if place is not None:
            return _average_blocks(block, target.shape, *place)
    sections = _sections(source, target)
    values = np.zeros((len(block.values), *target.shape), block.values.dtype)
    mask = np.zeros(values.shape, bool)
    for index, (band, valid) in enumerate(zip(block.values, block.mask, strict=True)):
        cells = np.where(valid, band.astype(np.float64), np.nan)
        for section in sections:
            warped = section.warp(cells, source, target, method)
            part = section.part.slices
            has_value = ~np.isnan(warped) & section.chosen
            np.copyto(values[index][part], _rounded(np.where(has_value, warped, 0.0), band.dtype), where=has_value)
            mask[index][part] |= has_value
    if not all(section.is_whole for section in sections) or poles_in(target.bounds, target.crs, source.crs):
        # GDAL finds no area of cells that have a corner nowhere, or a pole in a corner.
        nearest = _nearest(block, source, target)
        is_hole = ~mask & nearest.mask
        np.copyto(values, nearest.values, where=is_hole)
        mask |= is_hole
    return Block(values, mask)


def _nearest(block: Block, source: Grid, target: Grid) -> Block:
    found = positions(source, target)
    first = next(found)
    if first.window == target.window:
        return Block(*_taken(block, first))
    values = np.empty((len(block.values), *target.shape), block.values.dtype)
    mask = np.empty(values.shape, bool)
    for part in chain((first,), found):
        place = (slice(None), *part.window.slices)
        values[place], mask[place] = _taken(block, part)
    return Block(values, mask)


def _taken(block: Block, part: Positions) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Cells that hold the given positions, and whether they are valid."""
    rows, row_inside = _cells(part.rows, block.values.shape[1])
    cols, col_inside = _cells(part.cols, block.values.shape[2])
    if rows.shape[1] == cols.shape[0] == 1:
        values, mask = (array.take(rows[:, 0], axis=1).take(cols[0], axis=2) for array in (block.values, block.mask))
    else:
        chosen = rows * block.values.shape[2] + cols
        values, mask = (array.reshape(len(array), -1).take(chosen, axis=1) for array in (block.values, block.mask))
    for inside in (row_inside, col_inside):
        if not inside.all():
            mask &= inside
    return values, mask


def _cells(places: NDArray[np.float64], size: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Cells along an axis that hold some positions, and which positions are inside; 0 where they are not.

    What is within rounding noise of an edge belongs to the cell after it, as in GDAL's kernel.
    """
    numbers = np.floor(places + SNAP)
    inside = (numbers >= 0) & (numbers < size)
    return (numbers if inside.all() else np.where(inside, numbers, 0.0)).astype(np.intp), inside


def _whole_blocks(source: Grid, target: Grid) -> tuple[int, Window] | None:
    """Tell how many source cells make a side of a target cell, and which window of the target the source fills.

    Returns
    -------
    tuple of (int, Window), or None
        The window is the source's in cells of the source, counted from the target's corner. None where cells of the
        target are no whole blocks of cells of the source.
    """
    if not projection.is_same_place(source.crs, target.crs):
        return None
    factor = round(target.transform.a / source.transform.a)
    if factor < 1:
        return None
    fine = Grid(
        (target.height * factor, target.width * factor), target.transform @ Affine.scale(1 / factor), target.crs
    )
    window = whole_cells(source, fine)
    return None if window is None else (factor, window)


def _average_blocks(block: Block, shape: tuple[int, int], factor: int, window: Window) -> Block:
    """Average `factor` x `factor` cells, leaving out what is not valid."""
    whole = Window(0, 0, shape[0] * factor, shape[1] * factor)
    # Only the blocks that hold source cells are summed: the target may be a world that the source is a dot of.
    inside = window.intersect(whole).align(height=factor, width=factor)
    part = inside.intersect(window)
    cells, place = part.relative_to(window).slices, part.relative_to(inside).slices
    totals = np.zeros((len(block.values), *inside.shape))
    counts = np.zeros(totals.shape, np.int64)
    valid = block.mask[(slice(None), *cells)]
    totals[(slice(None), *place)] = np.where(valid, block.values[(slice(None), *cells)].astype(np.float64), 0.0)
    counts[(slice(None), *place)] = valid
    blocks = (len(totals), inside.height // factor, factor, inside.width // factor, factor)
    count = counts.reshape(blocks).sum(axis=(2, 4))
    mean = totals.reshape(blocks).sum(axis=(2, 4)) / np.maximum(count, 1)
    target = Window(inside.row // factor, inside.col // factor, *count.shape[1:]).slices
    values = np.zeros((len(totals), *shape), block.values.dtype)
    mask = np.zeros(values.shape, bool)
    values[(slice(None), *target)] = _rounded(mean, values.dtype)
    mask[(slice(None), *target)] = count > 0
    return Block(values, mask)


def _rounded(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return values.astype(dtype)
    info = np.iinfo(dtype)
    rounded = np.rint(values)
    # Bounds of 64-bit integers are no float64: what lies beyond is set in integers, after the cast of the rest.
    inside = np.clip(rounded, float(info.min), np.nextafter(float(info.max), 0.0)).astype(dtype)
    return np.where(rounded >= float(info.max), np.array(info.max, dtype), inside)


@dataclass(frozen=True, eq=False)
class _Section:
    """Part of a warp that GDAL can do.

    `window` are the cells of the source, `part` those of the target, and `chosen`, of the shape of `part` or just
    True, tells which of these take their value from here; `is_whole` that all cells of the target have an image.
    """

    window: Window
    part: Window
    chosen: NDArray[np.bool_] | np.bool_
    is_whole: bool

    def warp(self, values: NDArray[np.float64], source: Grid, target: Grid, method: str) -> NDArray[np.float64]:
        """Warp values of the whole source, shape `source.shape`; NaN where there is none, shape `part.shape`."""
        return _warp(values[self.window.slices], source.crop(self.window), target.crop(self.part), method)


def _sections(source: Grid, target: Grid) -> tuple[_Section, ...]:
    """Cut a warp so that no part of it goes around the globe, and tell what has an image at all."""
    cylinder = projection.cylinder_of(source.crs)
    is_same = projection.is_same_place(source.crs, target.crs)
    is_ring = cylinder is not None and source.bounds.xmax - source.bounds.xmin > _RING * cylinder.turn
    if is_same or (not is_ring and projection.is_separable(source.crs, target.crs)):
        return (_Section(source.window, target.window, np.bool_(True), is_whole=True),)
    is_west, has_image = np.zeros(target.shape, bool), np.zeros(target.shape, bool)
    for found in positions(source, target):
        place = found.window.slices
        has_image[place] = np.isfinite(found.rows) & np.isfinite(found.cols)
        is_west[place] = found.cols < source.width / 2
    is_whole = bool(has_image.all())
    if not is_ring:
        return (_Section(source.window, target.window, has_image, is_whole),)
    beyond, middle = source.width // 8, source.width // 2
    windows = (
        Window(0, 0, source.height, middle + beyond),
        Window(0, middle - beyond, source.height, source.width - middle + beyond),
    )
    halves = zip(windows, (has_image & is_west, has_image & ~is_west), strict=True)
    return tuple(_half(window, chosen, is_whole=is_whole) for window, chosen in halves if chosen.any())


def _half(window: Window, chosen: NDArray[np.bool_], *, is_whole: bool) -> _Section:
    """Section of the smallest part of the target that holds what is chosen."""
    rows, cols = (np.flatnonzero(chosen.any(axis=axis)) for axis in (1, 0))
    part = Window.from_bounds(
        row_start=int(rows[0]), row_stop=int(rows[-1]) + 1, col_start=int(cols[0]), col_stop=int(cols[-1]) + 1
    )
    return _Section(window, part, chosen[part.slices], is_whole)


def _warp(values: NDArray[np.float64], source: Grid, target: Grid, method: str) -> NDArray[np.float64]:
    out = np.full(target.shape, np.nan)
    is_same = projection.is_same_place(source.crs, target.crs)
    crs, shift = (target.crs, 0.0) if is_same else _frame(source)
    reproject(
        values,
        out,
        src_transform=Affine.translation(shift, 0.0) @ source.transform,
        src_crs=rasterio_crs(crs),
        src_nodata=np.nan,
        dst_transform=target.transform,
        dst_crs=rasterio_crs(target.crs),
        dst_nodata=np.nan,
        resampling=Resampling[method],
    )
    return out


def _frame(source: Grid) -> tuple[CRS, float]:
    """CRS in which a source does not reach beyond the edge, and what brings its x there."""
    cylinder = projection.cylinder_of(source.crs)
    bounds = source.bounds
    if cylinder is None or source.crs.is_geographic:  # GDAL turns longitudes itself (CENTER_LONG)
        return source.crs, 0.0
    noise = SNAP * source.cell_size[0]
    west, east = cylinder.centre - cylinder.turn / 2, cylinder.centre + cylinder.turn / 2
    if west - noise <= bounds.xmin and bounds.xmax <= east + noise:
        return source.crs, 0.0
    return projection.around(source.crs, (bounds.xmin + bounds.xmax) / 2)


def rasterio_crs(crs: CRS) -> RasterioCRS:
    """Return a CRS as rasterio has it, parsed once.

    Raises
    ------
    UnsupportedError
        If GDAL does not read its definition, though PROJ does.
    """
    return _from_wkt(crs.wkt2)


@lru_cache(maxsize=64)
def _from_wkt(wkt2: str) -> RasterioCRS:
    try:
        return RasterioCRS.from_wkt(wkt2)
    except CRSError as error:
        raise UnsupportedError("the CRS of the data", "GDAL, which warps them, does not read its definition") from error
