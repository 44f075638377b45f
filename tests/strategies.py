"""Generated inputs: windows, grids, tiles, fill values, pyramids."""

from __future__ import annotations

import functools
import math

import numpy as np
from affine import Affine
from hypothesis import strategies as st

from geozarr import CRS, Grid, Levels, TileLimits, TileMatrixSet, Window, crs, levels, tms

# Metres, degrees and feet; x first and y first; cylindrical, conic, transverse, oblique and polar.
CODES = (
    "EPSG:3857",
    "EPSG:4326",
    "OGC:CRS84",
    "EPSG:32618",
    "EPSG:2056",
    "EPSG:3035",
    "EPSG:31467",
    "EPSG:3031",
    "EPSG:5041",
    "EPSG:27700",
    "EPSG:2263",
    "EPSG:32119",
)
DTYPES = tuple(
    np.dtype(name)
    for name in (
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
)


@functools.cache
def known_crs(code: str) -> CRS:
    """Look a CRS up once."""
    return crs.from_code(code)


@functools.cache
def known_tms(name: str) -> TileMatrixSet:
    """Load a registered set once."""
    return tms.load(name)


def _has_plain_rows(name: str) -> bool:
    return not any(matrix.variableMatrixWidths for matrix in known_tms(name).tileMatrices)


# Sets in which each tile is as wide as the next, so that a matrix is one raster.
PLAIN_SETS = tuple(name for name in tms.known_ids() if _has_plain_rows(name))


def windows(*, within: int = 200) -> st.SearchStrategy[Window]:
    """Windows about the origin, also empty ones and ones with negative corners."""
    corner = st.integers(-within, within)
    side = st.integers(0, within)
    return st.builds(Window, corner, corner, side, side)


def crss() -> st.SearchStrategy[CRS]:
    """CRS of several kinds."""
    return st.sampled_from(CODES).map(known_crs)


def sizes(*, least: int = 1, most: int = 2000) -> st.SearchStrategy[tuple[int, int]]:
    """Heights and widths; odd, prime and one-pixel ones among them."""
    side = st.integers(least, most) | st.sampled_from([1, 2, 3, 7, 13, 127, 256, 257, 997])
    return st.tuples(side, side)


@st.composite
def grids(draw: st.DrawFn, *, is_north_up: bool = False, most: int = 2000) -> Grid:
    """Grids in several CRS; unless told otherwise also south-up, mirrored, rotated and sheared ones."""
    cell_x, cell_y = draw(st.tuples(*[st.floats(1e-6, 1e4)] * 2))
    x, y = draw(st.tuples(*[st.floats(-1e7, 1e7)] * 2))
    transform = Affine.translation(x, y) @ Affine.scale(cell_x, -cell_y)
    if not is_north_up:
        flips = st.sampled_from([Affine.identity(), Affine.scale(-1, 1), Affine.scale(1, -1)])
        turns = st.sampled_from([0.0, 0.0, 1.5, 30.0, 45.0, 120.0]).map(Affine.rotation)
        shears = st.sampled_from([0.0, 0.0, 10.0]).map(lambda angle: Affine.shear(angle, 0))
        transform = transform @ draw(flips) @ draw(turns) @ draw(shears)
    return Grid(draw(sizes(most=most)), transform, draw(crss()))


@st.composite
def tiles(draw: st.DrawFn, *, sets: tuple[str, ...] = PLAIN_SETS) -> tuple[TileMatrixSet, str, int, int]:
    """A registered set, the id of one of its matrices, and the row and column of a tile in it."""
    tile_matrix_set = known_tms(draw(st.sampled_from(sets)))
    matrix = draw(st.sampled_from(tile_matrix_set.tileMatrices))
    row = draw(st.integers(0, matrix.matrixHeight - 1) | st.sampled_from([0, matrix.matrixHeight - 1]))
    col = draw(st.integers(0, matrix.matrixWidth - 1) | st.sampled_from([0, matrix.matrixWidth - 1]))
    return tile_matrix_set, matrix.id, row, col


def fill_values(dtype: np.dtype) -> st.SearchStrategy[float]:
    """Values that a dtype holds: extremes, NaN, infinities and negative zero among them."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return st.integers(int(info.min), int(info.max)) | st.sampled_from([int(info.min), int(info.max), 0])
    info = np.finfo(dtype)
    extremes = [info.min, info.max, info.tiny, info.smallest_subnormal, -0.0, math.nan, math.inf, -math.inf, -9999.0]
    return st.floats(width=8 * dtype.itemsize) | st.sampled_from([float(number) for number in extremes])


@st.composite
def native_levels(draw: st.DrawFn) -> Levels:
    """Native pyramids of any size."""
    grid = draw(grids(is_north_up=True))
    method = draw(st.sampled_from([None, "average", "mode"]))
    return levels.from_halving(grid, count=draw(st.integers(1, 8)), resampling_method=method)


@st.composite
def aligned_levels(draw: st.DrawFn) -> Levels:
    """Pyramids on sets that nest by 2 all the way."""
    nested = ("WebMercatorQuad", "WGS1984Quad", "WorldCRS84Quad", "EuropeanETRS89_LAEAQuad", "NZTM2000Quad")
    tile_matrix_set, matrix_id, row, col = draw(tiles(sets=nested))
    matrix = tile_matrix_set.matrix(matrix_id)
    limits = TileLimits(
        matrix_id,
        row,
        min(row + draw(st.integers(0, 3)), matrix.matrixHeight - 1),
        col,
        min(col + draw(st.integers(0, 3)), matrix.matrixWidth - 1),
    )
    left = len(tile_matrix_set.ids) - tile_matrix_set.index_of(matrix_id)
    return levels.from_tms(
        tile_matrix_set, limits, count=draw(st.integers(1, min(left, 7))), resampling_method="average"
    )
