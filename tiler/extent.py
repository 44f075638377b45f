"""Grids of pictures of a box, of everything, or of a geometry; and what of a grid a geometry covers. No pixel is read.

Sizes follow rio-tiler: both sides as given; or one, the other keeping the ratio; or the size at the resolution of the
finest level, the longer side at most as large as wished.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.features import rasterize

from geozarr.errors import LimitError, ParameterError
from geozarr.grid import Bounds, Grid
from geozarr.window import Window
from tiler import geometry as geometry_module
from tiler import projection
from tiler.footprint import footprint, pieces
from tiler.select import cell_size_in, grid_of_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geozarr import CRS, Levels
    from tiler.geometry import Part

MOST_CELLS = 2**26  # of a mask; as many as `tiler.source.ReadLimits` lets be read
PREVIEW_SIZE = 1024  # cells of the longer side, as rio-tiler's previews have
_BURNT = 2**24  # cells that are burnt at once, one byte each
_MOST_FACTOR = 100
_RING = 7 / 8  # of a turn; the image of what is longer is a disc or a square, whatever its cells are
_OFF = 0.125  # cells that the sides of a geometry may be off, as GDAL's warps are


def native_size(levels: Levels, box: Bounds, crs: CRS) -> tuple[float, float]:
    """Measure a box in cells of the finest level, where the two meet.

    Parameters
    ----------
    levels : Levels
        The pyramid.
    box : Bounds
        In units of `crs`.
    crs : CRS
        Any.

    Returns
    -------
    tuple of (float, float)
        Rows and columns; in another CRS of square cells, so that a diagonal has as many cells there as here, as
        GDAL's `GDALSuggestedWarpOutput2` has them. One of each where the two do not meet.

    Raises
    ------
    UnsupportedError
        If there is no transformation between the two CRS.
    """
    finest = levels.finest.grid
    inside = footprint(box, crs, finest.crs)
    found = () if inside is None else pieces(finest, inside)
    size = None
    if found and projection.is_same_place(crs, finest.crs):
        size = finest.cell_size
    elif found:
        size = _square_cells(finest.crop(max((piece.window for piece in found), key=lambda one: one.size)), crs)
    return (1.0, 1.0) if size is None else ((box.ymax - box.ymin) / size[1], (box.xmax - box.xmin) / size[0])


def _square_cells(part: Grid, crs: CRS) -> tuple[float, float] | None:
    """Sides of cells in another CRS that are as fine as those of a grid; None where that has no image."""
    cylinder = projection.cylinder_of(part.crs)
    is_ring = cylinder is not None and part.bounds.xmax - part.bounds.xmin > _RING * cylinder.turn
    if is_ring and not projection.is_separable(part.crs, crs):
        # The image is a disc, or all there is: its diagonal says nothing.
        size = cell_size_in(part.crop(Window(part.height // 2, part.width // 2, 1, 1)), crs)
        return None if size is None else (size, size)
    image = footprint(part.bounds, part.crs, crs)
    if image is None:
        return None
    side = math.hypot(image.xmax - image.xmin, image.ymax - image.ymin) / math.hypot(*part.shape)
    return (side, side) if side > 0 else None


def output_shape(
    rows: float, cols: float, *, height: int | None = None, width: int | None = None, max_size: int | None = None
) -> tuple[int, int]:
    """Choose the size of a picture as rio-tiler does (`rio_tiler.utils.output_size`).

    Parameters
    ----------
    rows, cols : float
        Its native size.
    height, width : int, optional
        Wished size; where one is given, the other keeps the ratio, rounded up.
    max_size : int, optional
        Cells of the longer side where neither is given and the native size is as large or larger.

    Returns
    -------
    tuple of (int, int)
        Height and width, at least 1. They may be huge: what is read has its own limits.

    Raises
    ------
    ParameterError
        If a wish is below 1, or the native size is no number above 0.
    """
    for name, wish in (("height", height), ("width", width), ("max_size", max_size)):
        if wish is not None and wish < 1:
            raise ParameterError(name, found=wish, expected="at least 1 cell")
    if not (0 < rows < math.inf and 0 < cols < math.inf):
        raise ParameterError("size", found=(rows, cols), expected="rows and columns above 0")
    if height is not None and width is not None:
        return height, width
    if width is not None:
        return max(1, math.ceil(width * (rows / cols))), width
    if height is not None:
        return height, max(1, math.ceil(height / (rows / cols)))
    shape = max(1, round(rows)), max(1, round(cols))
    if max_size is None or max(shape) < max_size:
        return shape
    ratio = shape[0] / shape[1]
    return (max_size, math.ceil(max_size / ratio)) if ratio > 1 else (math.ceil(max_size * ratio), max_size)


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
    """Make the grid of a picture of a box.

    Parameters
    ----------
    levels : Levels
        The pyramid.
    bounds : Bounds
        The box. In longitudes, a west above the east means that it lies across the antimeridian, and so does an east
        above 180 degrees.
    bounds_crs, crs : CRS
        Of the box, and of the picture.
    height, width, max_size : int, optional
        As in `output_shape`.

    Returns
    -------
    Grid
        North-up, around the image of the box; across the edge of the CRS, x counts on. A box that reaches to a pole
        ends on Mercator's map at its square (85.06 degrees).

    Raises
    ------
    ParameterError
        If the box is empty or has no image, or a size is below 1.
    UnsupportedError
        If there is no transformation between the CRS.
    """
    box = _image(_ordered(bounds, bounds_crs), bounds_crs, crs)
    if box is None or not (box.xmin < box.xmax and box.ymin < box.ymax):
        raise ParameterError("bbox", found=tuple(bounds), expected=f"a box that has an image in {crs}")
    rows, cols = native_size(levels, box, crs)
    rows, cols = output_shape(rows, cols, height=height, width=width, max_size=max_size)
    return grid_of_bounds(box, crs, height=rows, width=cols)


def preview_grid(
    levels: Levels,
    crs: CRS | None = None,
    *,
    height: int | None = None,
    width: int | None = None,
    max_size: int | None = PREVIEW_SIZE,
) -> Grid:
    """Make the grid of a picture of everything, in the pyramid's CRS or another one; raises as `part_grid` does."""
    extent = levels.finest.grid.bounds
    return part_grid(
        levels, extent, levels.crs, levels.crs if crs is None else crs, height=height, width=width, max_size=max_size
    )


def feature_grid(
    levels: Levels,
    geometry: dict[str, Any],
    geometry_crs: CRS,
    crs: CRS,
    *,
    height: int | None = None,
    width: int | None = None,
    max_size: int | None = None,
) -> Grid:
    """Make the grid of a picture of a geometry.

    Parameters
    ----------
    levels : Levels
        The pyramid.
    geometry : dict
        GeoJSON geometry or feature.
    geometry_crs, crs : CRS
        Of the geometry, and of the picture.
    height, width, max_size : int, optional
        As in `output_shape`.

    Returns
    -------
    Grid
        As `part_grid` makes it of `box_of`.

    Raises
    ------
    ParameterError
        If the geometry is none, is a single point or a line along an axis, or has no image; or a size is below 1.
    UnsupportedError
        If there is no transformation between the CRS.
    """
    box = box_of(geometry, geometry_crs)
    return part_grid(levels, box, geometry_crs, crs, height=height, width=width, max_size=max_size)


def box_of(geometry: dict[str, Any], crs: CRS | None = None) -> Bounds:
    """Box around a geometry; with its CRS, the narrower one that goes across the antimeridian where it is cut there.

    Raises
    ------
    ParameterError
        If it is no GeoJSON geometry or feature.
    """
    parts = geometry_module.parts_of(geometry)
    return geometry_module.bounds_of(parts, crs)


def geometry_mask(geometry: dict[str, Any], geometry_crs: CRS, grid: Grid) -> NDArray[np.bool_]:
    """Tell which cells of a grid a geometry touches.

    Parameters
    ----------
    geometry : dict
        GeoJSON geometry or feature: points, lines and polygons, or collections of these.
    geometry_crs : CRS
        What its coordinates mean. Its sides are straight there, and followed within 1/8 cell where `grid` is in
        another CRS.
    grid : Grid
        The cells.

    Returns
    -------
    ndarray of bool, shape `grid.shape`
        True where the cell is touched, as in rio-tiler, so that masks of different resolutions agree.

    Raises
    ------
    ParameterError
        If it is no such geometry, or has too many positions.
    LimitError
        If the grid has more cells than a read may have.
    UnsupportedError
        If there is no transformation between the CRS.
    """
    _require_cells(grid)
    return _burn(_there(geometry, geometry_crs, grid), grid).astype(bool)


def coverage(geometry: dict[str, Any], geometry_crs: CRS, grid: Grid, *, factor: int = 10) -> NDArray[np.float64]:
    """Tell which part of each cell lies within a geometry, as rio-tiler's `ImageData.get_coverage_array`.

    Parameters
    ----------
    geometry, geometry_crs, grid : dict, CRS, Grid
        As in `geometry_mask`.
    factor : int
        Each cell is cut into `factor` x `factor`, of which those count that the geometry touches.

    Returns
    -------
    ndarray of float64, shape `grid.shape`
        From 0 to 1.

    Raises
    ------
    ParameterError, LimitError, UnsupportedError
        As `geometry_mask` does, and if the factor is not 1 to 100.
    """
    if not 1 <= factor <= _MOST_FACTOR:
        raise ParameterError("factor", found=factor, expected=f"1 to {_MOST_FACTOR}")
    _require_cells(grid)
    parts = _there(geometry, geometry_crs, grid)
    found = np.empty(grid.shape)
    # Block by block, so that memory does not grow with the square of the factor.
    at_once = _BURNT // factor**2
    width = min(grid.width, at_once)
    for block in grid.window.split(height=at_once // width, width=width):
        cells = grid.crop(block)
        fine = Grid((cells.height * factor, cells.width * factor), cells.transform @ Affine.scale(1 / factor), grid.crs)
        burnt = _burn(parts, fine).reshape(cells.height, factor, cells.width, factor)
        found[block.slices] = burnt.sum(axis=(1, 3), dtype=np.int64) / factor**2
    return found


def grown(grid: Grid, cells: float) -> Grid:
    """Add whole or half cells on each side of a grid; half cells move all cells by half of one.

    Parameters
    ----------
    grid : Grid
        Any grid.
    cells : float
        A multiple of 0.5, at least 0; `buffer` in rio-tiler.

    Raises
    ------
    ParameterError
        If it is something else.
    """
    if not (0 <= cells < math.inf and float(2 * cells).is_integer()):
        raise ParameterError("buffer", found=cells, expected="a multiple of 0.5, at least 0")
    height, width = (side + int(2 * cells) for side in grid.shape)
    return Grid((height, width), grid.transform @ Affine.translation(-cells, -cells), grid.crs)


def _ordered(bounds: Bounds, crs: CRS) -> Bounds:
    """Bring an east that is below the west to the other side of the antimeridian."""
    if not all(map(math.isfinite, bounds)):
        raise ParameterError("bbox", found=tuple(bounds), expected="four finite numbers")
    cylinder = projection.cylinder_of(crs)
    if bounds.xmin > bounds.xmax and crs.is_geographic and cylinder is not None:
        return bounds._replace(xmax=bounds.xmax + cylinder.turn)
    return bounds


def _image(bounds: Bounds, source: CRS, target: CRS) -> Bounds | None:
    """Box in another CRS; on a map whose poles are infinitely far, within the square that it is drawn in."""
    if not (bounds.xmin < bounds.xmax and bounds.ymin < bounds.ymax):
        return None
    box = footprint(bounds, source, target)
    cylinder = projection.cylinder_of(target)
    if box is None or cylinder is None or projection.is_same_place(source, target):
        return box
    middle, half = (cylinder.south + cylinder.north) / 2, cylinder.turn / 2
    if cylinder.north - cylinder.south <= 2 * cylinder.turn:
        return box
    return box._replace(ymin=max(box.ymin, middle - half), ymax=min(box.ymax, middle + half))


def _there(geometry: dict[str, Any], geometry_crs: CRS, grid: Grid) -> list[dict[str, Any]]:
    """Parts of a geometry in the CRS of a grid, as often as the globe brings them there."""
    parts: Sequence[Part] = geometry_module.parts_of(geometry)
    parts = geometry_module.carried(parts, geometry_crs, grid.crs, tolerance=_OFF * min(grid.cell_size))
    near = geometry_module.repeated(parts, grid.bounds, grid.crs)
    documents = (geometry_module.to_document(part, grid.transform) for part in near)
    return [document for document in documents if document is not None]


def _burn(documents: Sequence[dict[str, Any]], grid: Grid) -> NDArray[np.uint8]:
    if not documents:
        return np.zeros(grid.shape, np.uint8)
    burnt: NDArray[np.uint8] = rasterize(
        documents, out_shape=grid.shape, transform=grid.transform, all_touched=True, dtype="uint8"
    )
    return burnt


def _require_cells(grid: Grid) -> None:
    cells = grid.height * grid.width
    if cells > MOST_CELLS:
        raise LimitError("cells of a mask", allowed=MOST_CELLS, found=cells)
