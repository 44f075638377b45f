"""Values of one grid brought onto another, by GDAL through rasterio.

Nearest values are never computed: GDAL warps the numbers of the cells, and the values are looked up by them, so that
every data type comes out as stored, 64-bit integers included, and one warp serves all bands. Every other method
runs in float64 with NaN for what is not valid, which GDAL leaves out of its sums, and is rounded half to even once.

Means of whole cells, which a coarser tile of the pyramid's own set is made of, are taken by numpy: GDAL counts a
neighbour in that rounding noise makes overlap by 1e-10 of a cell, and grows the data by a row.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS as RasterioCRS  # noqa: N811 - CRS is geozarr's everywhere else
from rasterio.enums import Resampling
from rasterio.warp import reproject

from geozarr.errors import ParameterError
from geozarr.grid import Grid
from geozarr.window import Window
from tiler.block import Block
from tiler.select import whole_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geozarr import CRS

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
    values = np.zeros((len(block.values), *target.shape), block.values.dtype)
    mask = np.zeros(values.shape, bool)
    for index, (band, valid) in enumerate(zip(block.values, block.mask, strict=True)):
        warped = _warp(np.where(valid, band.astype(np.float64), np.nan), source, target, method, missing=np.nan)
        mask[index] = ~np.isnan(warped)
        values[index] = _rounded(np.where(mask[index], warped, 0.0), band.dtype)
    return Block(values, mask)


def _nearest(block: Block, source: Grid, target: Grid) -> Block:
    cells = np.arange(source.height * source.width, dtype=np.int32).reshape(source.shape)
    chosen = _warp(cells, source, target, "nearest", missing=-1)
    inside = chosen >= 0
    chosen = np.where(inside, chosen, 0)
    flat = (len(block.values), source.height * source.width)
    return Block(block.values.reshape(flat)[:, chosen], block.mask.reshape(flat)[:, chosen] & inside)


def _whole_blocks(source: Grid, target: Grid) -> tuple[int, Window] | None:
    """Tell how many source cells make a side of a target cell, and which window of the target the source fills.

    Returns
    -------
    tuple of (int, Window), or None
        The window is the source's in cells of the source, counted from the target's corner. None where cells of the
        target are no whole blocks of cells of the source.
    """
    if not source.crs.is_same_place(target.crs):
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


def _warp(values: NDArray[Any], source: Grid, target: Grid, method: str, *, missing: float) -> NDArray[Any]:
    out = np.full(target.shape, missing, values.dtype)
    # Without the check, coordinates far outside a projection's domain can come back inside the source.
    with rasterio.Env(CHECK_WITH_INVERT_PROJ=True):
        reproject(
            values,
            out,
            src_transform=source.transform,
            src_crs=_rasterio_crs(source.crs),
            src_nodata=missing,
            dst_transform=target.transform,
            dst_crs=_rasterio_crs(target.crs),
            dst_nodata=missing,
            resampling=Resampling[method],
        )
    return out


def _rasterio_crs(crs: CRS) -> RasterioCRS:
    return _from_wkt(crs.wkt2)


@lru_cache(maxsize=64)
def _from_wkt(wkt2: str) -> RasterioCRS:
    return RasterioCRS.from_wkt(wkt2)
