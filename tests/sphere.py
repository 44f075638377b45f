"""A smooth field on the sphere, pyramids of it, and what a target must then hold at the centres of its cells.

Nothing here shares code with the tiler but `geozarr`: positions come from PROJ for each cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geozarr import crs, levels, store, tms
from pyramid_factory import Variable, write_pyramid
from tiler.chunks import chunk_cache
from tiler.pyramid import open_pyramid
from tiler.source import PyramidSource

if TYPE_CHECKING:
    from pathlib import Path

    from geozarr.grid import Grid

DEGREES, MERCATOR = crs.from_code("EPSG:4326"), crs.from_code("EPSG:3857")
TURN = 2 * np.pi * 6378137.0  # metres of Web Mercator around the globe
STEEPEST = 4.0  # of the field, per degree of a great circle: (100 + 2 * 70 + 40) * pi / 180 is 4.9, never at one place


def field(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Values at longitudes and latitudes in degrees: smooth on the sphere, so at the poles and the antimeridian too."""
    lon, lat = np.radians(lon), np.radians(lat)
    return 100 * np.cos(lat) * np.sin(lon) + 70 * np.cos(lat) ** 2 * np.cos(2 * lon) + 40 * np.sin(lat)


def degrees_at(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of the centre of each cell, by PROJ."""
    rows, cols = np.mgrid[0 : grid.height, 0 : grid.width] + 0.5
    x, y = grid.transform @ (cols, rows)
    if grid.crs == DEGREES:
        return x, y
    lon, lat = crs.transformer(grid.crs, DEGREES).transform(x, y)
    return np.asarray(lon), np.asarray(lat)


def is_on_map(grid: Grid) -> np.ndarray:
    """Tell which centres are somewhere: PROJ leads from there to a longitude and latitude, and back."""
    lon, lat = degrees_at(grid)
    rows, cols = np.mgrid[0 : grid.height, 0 : grid.width] + 0.5
    x, y = crs.transformer(DEGREES, grid.crs).transform(lon, lat)
    there = grid.transform @ (cols, rows)
    with np.errstate(invalid="ignore"):
        return np.hypot(np.asarray(x) - there[0], np.asarray(y) - there[1]) < 1e-3 * grid.cell_size[0]


def expected(grid: Grid) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return field(*degrees_at(grid))


def write(path: Path, grid: Grid, *, count: int = 3, chunk: int = 256, **options: float) -> PyramidSource:
    """Write a pyramid of the field and open it."""
    layout = levels.from_halving(grid, count=count, resampling_method="average")
    values = expected(grid).astype(np.float32)
    write_pyramid(path, layout, {"field": Variable(values, float("nan"))}, chunk=chunk)
    return reopened(path, **options)


def reopened(path: Path, **options: object) -> PyramidSource:
    opened = store.open_store(path)
    return PyramidSource(opened, open_pyramid(opened), cache=chunk_cache(2**26), **options)


def tile_at(name: str, matrix: int, lon: float, lat: float) -> Grid:
    """Tile of a registered set that holds a place."""
    found = tms.load(name)
    raster = found.matrix_grid(str(matrix))
    x, y = crs.transformer(DEGREES, found.crs).transform(lon, lat)
    col, row = ~raster.transform @ (x, y)
    of = found.matrix(str(matrix))
    return raster.crop(found.tile_window(str(matrix), row=int(row // of.tileHeight), col=int(col // of.tileWidth)))
