"""Read what contenders wrote, each in its own layout, through one small interface.

GeoTIFF with overviews goes through rasterio. In a Zarr store, levels are the groups that hold an array named as one of
the input's bands, whatever the groups are called; which is finest follows from the sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import zarr
from affine import Affine
from rasterio.windows import Window as RasterioWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from geozarr import Window


@dataclass(frozen=True)
class Level:
    """One level of an output.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    transform : Affine
        Pixel corner (col, row) to CRS (x, y).
    read : callable
        (window, band index from 0) -> values as stored, and a mask that is True where they are data.
    """

    shape: tuple[int, int]
    transform: Affine
    read: Callable[[Window, int], tuple[NDArray[Any], NDArray[np.bool_]]]


def open_levels(path: Path, *, bands: Sequence[str], nodata: float) -> list[Level]:
    """Open an output.

    Returns
    -------
    list of Level
        Finest first.

    Raises
    ------
    LookupError
        If a Zarr store holds no array of one of these names.
    """
    levels = _of_zarr(path, [band.lower() for band in bands], nodata) if path.is_dir() else _of_geotiff(path)
    return sorted(levels, key=lambda level: -level.shape[0])


def _of_geotiff(path: Path) -> list[Level]:
    with rasterio.open(path) as dataset:
        count = len(dataset.overviews(1))
    return [_geotiff_level(path, number) for number in range(count + 1)]


def _geotiff_level(path: Path, number: int) -> Level:
    options = {"overview_level": number - 1} if number else {}
    with rasterio.open(path, **options) as dataset:
        shape, transform = dataset.shape, dataset.transform

    def read(window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        where = RasterioWindow(window.col, window.row, window.width, window.height)
        with rasterio.open(path, **options) as dataset:
            return dataset.read(band + 1, window=where), dataset.read_masks(band + 1, window=where) > 0

    return Level(shape, transform, read)


def _of_zarr(path: Path, bands: list[str], nodata: float) -> list[Level]:
    root = zarr.open_group(path, mode="r", use_consolidated=False)
    groups = [root, *(member for _, member in root.members(max_depth=None) if isinstance(member, zarr.Group))]
    levels = []
    for group in groups:
        arrays = {name.lower(): array for name, array in group.arrays() if array.ndim == 2}
        if set(bands) <= set(arrays):
            levels.append(_zarr_level(group, [arrays[band] for band in bands], arrays.get("alpha"), nodata))
    if not levels:
        raise LookupError(f"{path.name}: no group with the arrays {bands}")
    return levels


def _zarr_level(group: Any, arrays: list[Any], alpha: Any, nodata: float) -> Level:
    def read(window: Window, band: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        values = np.asarray(arrays[band][window.slices])
        if alpha is not None:
            return values, np.asarray(alpha[window.slices]) > 0
        missing = np.asarray([nodata, *_declared(arrays[band])], values.dtype)
        return values, ~(np.isnan(values) | np.isin(values, missing))

    return Level(arrays[0].shape, _transform(group), read)


def _declared(array: Any) -> list[float]:
    """Return what an array itself calls missing: its fill value in Zarr format 2, where that is the convention."""
    return [array.fill_value] if array.metadata.zarr_format == 2 and array.fill_value is not None else []


def _transform(group: Any) -> Affine:
    """From the pixel centres in x and y, which all of these writers store."""
    x, y = (np.asarray(group[name][:], np.float64) for name in ("x", "y"))
    right, down = ((axis[-1] - axis[0]) / max(1, axis.size - 1) for axis in (x, y))
    return Affine(right, 0, x[0] - right / 2, 0, down, y[0] - down / 2)
