"""GeoTIFF files of what a picture shows as numbers: values, where they are, and which of them are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from geozarr.errors import ParameterError
from tiler.resample import rasterio_crs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geozarr import Grid
    from tiler.picture import Picture

_TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")


def encode_geotiff(values: NDArray[Any], mask: NDArray[np.bool_], picture: Picture, grid: Grid) -> bytes:
    """Write a GeoTIFF, deflated.

    Missing cells of floats are NaN, which is the nodata value; of stored values they have the nodata value that these
    have. All others get a last band that is 255 where a cell is valid, as rio-tiler writes it.

    Parameters
    ----------
    values : ndarray, shape (band, row, col)
        Numbers; booleans are written as bytes, and half floats as float32.
    mask : ndarray of bool, shape (row, col)
        True where a cell is valid.
    picture : Picture
        What they are.
    grid : Grid
        Where they are.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ParameterError
        If GeoTIFF has no such data type.
    """
    kinds = {"bool": np.uint8, "float16": np.float32}
    values = values.astype(kinds.get(values.dtype.name, values.dtype), copy=False)
    if values.dtype.name not in _TYPES:
        raise ParameterError("format", found="tif", expected=f"another one: GeoTIFF has no {values.dtype.name}")
    nodata = _nodata(values.dtype, picture)
    bands = values if nodata is None else np.where(mask, values, np.array(nodata, values.dtype))
    if nodata is None:
        bands = np.concatenate((values, np.where(mask, 255, 0).astype(values.dtype)[np.newaxis]))
    profile = {
        "driver": "GTiff",
        "count": len(bands),
        "height": grid.height,
        "width": grid.width,
        "dtype": bands.dtype.name,
        "crs": rasterio_crs(grid.crs),
        "transform": grid.transform,
        "nodata": nodata,
        "compress": "deflate",
        "predictor": 3 if bands.dtype.kind == "f" else 2,
        "tiled": grid.height > 256 and grid.width > 256,
    }
    with MemoryFile() as file:
        with file.open(**profile) as dataset:
            if nodata is None:  # before anything is written: the header says it
                dataset.colorinterp = [*dataset.colorinterp[:-1], ColorInterp.alpha]
            dataset.write(bands)
            for number, name in enumerate(_names(picture, len(values)), 1):
                dataset.set_band_description(number, name)
        return bytes(file.read())


def _nodata(dtype: np.dtype[Any], picture: Picture) -> float | int | None:
    """Value of missing cells; None where every number may be one of the data."""
    if dtype.kind == "f":
        return float("nan")
    if picture.is_computed or picture.is_unscaled or picture.ranges or picture.colors is not None:
        return None
    known = {None if band.variable.nodata is None else band.variable.nodata.item() for band in picture.bands}
    value: float | int | None = known.pop() if len(known) == 1 else None
    return value


def _names(picture: Picture, count: int) -> tuple[str, ...]:
    """Names of the bands, where they are those of the data."""
    is_theirs = not picture.is_computed and picture.colors is None and count == len(picture.bands)
    return tuple(band.name for band in picture.bands) if is_theirs else ()
