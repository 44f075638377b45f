"""Grids of pictures of a box, of everything, or of a geometry; and what of a grid a geometry covers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS as RasterioCRS  # noqa: N811 - CRS is geozarr's everywhere else
from rasterio.features import bounds as geometry_bounds
from rasterio.features import rasterize
from rasterio.warp import transform_geom

from geozarr.errors import ParameterError
from geozarr.grid import Bounds, Grid
from tiler import select

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geozarr import CRS, Levels


def native_size(levels: Levels, box: Bounds, crs: CRS) -> tuple[float, float]:
    """Rows and columns of a box at the resolution of the finest level where the two meet."""
    finest = levels.finest.grid
    inside = select.transform_bounds(box, crs, finest.crs)
    window = finest.window if inside is None else finest.window_of(inside).intersect(finest.window)
    if window.is_empty:
        return 1.0, 1.0
    size = select.cell_size_in(finest.crop(window), crs)
    x, y = finest.cell_size if crs.is_same_place(finest.crs) or size is None else (size, size)
    return (box.ymax - box.ymin) / y, (box.xmax - box.xmin) / x


def output_shape(
    rows: float, cols: float, *, height: int | None = None, width: int | None = None, max_size: int | None = None
) -> tuple[int, int]:
    """Choose the size of a picture, as rio-tiler does."""
    if height is not None and width is not None:
        return height, width
    if height is not None:
        return height, max(1, round(height * cols / rows))
    if width is not None:
        return max(1, round(width * rows / cols)), width
    scale = 1.0 if max_size is None else min(1.0, max_size / max(rows, cols))
    return max(1, math.ceil(rows * scale - 1e-6)), max(1, math.ceil(cols * scale - 1e-6))


def part_grid(
    levels: Levels,
    bounds: Bounds,
    bounds_crs: CRS,
    crs: CRS,
    *,
    height: int | None = None,
    width: int | None = None,
    max_size: int | None = None,
) -> Grid:
    """Grid of a picture of a box."""
    box = select.transform_bounds(bounds, bounds_crs, crs)
    if box is None or not (box.xmin < box.xmax and box.ymin < box.ymax):
        raise ParameterError("bbox", found=tuple(bounds), expected=f"a box that has an image in {crs}")
    rows, cols = native_size(levels, box, crs)
    shape = output_shape(rows, cols, height=height, width=width, max_size=max_size)
    return select.grid_of_bounds(box, crs, height=shape[0], width=shape[1])


def geometry_mask(geometry: dict[str, Any], geometry_crs: CRS, grid: Grid) -> NDArray[np.bool_]:
    """Tell which cells a geometry touches."""
    there = geometry
    if not geometry_crs.is_same_place(grid.crs):
        there = transform_geom(_rasterio(geometry_crs), _rasterio(grid.crs), geometry)
    burnt = rasterize([there], out_shape=grid.shape, transform=grid.transform, all_touched=True, dtype="uint8")
    return np.asarray(burnt, bool)


def coverage(geometry: dict[str, Any], geometry_crs: CRS, grid: Grid, *, factor: int = 10) -> NDArray[np.float64]:
    """Tell which part of each cell lies within a geometry, in steps of 1 / factor squared."""
    fine = Grid((grid.height * factor, grid.width * factor), grid.transform @ Affine.scale(1 / factor), grid.crs)
    there = geometry
    if not geometry_crs.is_same_place(grid.crs):
        there = transform_geom(_rasterio(geometry_crs), _rasterio(grid.crs), geometry)
    burnt = rasterize([there], out_shape=fine.shape, transform=fine.transform, dtype="uint8")
    return np.asarray(burnt.reshape(grid.height, factor, grid.width, factor).mean(axis=(1, 3)))


def box_of(geometry: dict[str, Any]) -> Bounds:
    """Box around a geometry."""
    return Bounds(*geometry_bounds(geometry))


def _rasterio(crs: CRS) -> RasterioCRS:
    return RasterioCRS.from_wkt(crs.wkt2)
