"""A small picture of a pyramid's pixels, as PNG.

Arrays are read by `pixels.raster`, which refuses documents that are dangerous to obey and leaves out damaged
objects; what is read for a picture is bounded beside that. Whatever goes wrong is told in a sentence.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from conformance import pixels, sites
from conformance.drawing import Preview
from conformance.formats.escaping import cut
from geozarr.errors import GeoZarrError
from geozarr.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from conformance.context import Context
    from conformance.layouts import Level
    from conformance.pixels import Raster

MOST_SIDE = 1024  # pixels; larger ones make a page of many megabytes
_LEAST_SIDE = 256  # pixels; of a coarser level nothing can be seen, where a finer one may be read
_MOST_TRIED = 4  # levels that are opened, until one can be
_MOST_CHUNKS = 1024  # of 64 x 64 pixels, in the largest picture with three bands: 768
_MOST_BYTES = 256 * 2**20  # of decoded chunks
_RGB = ("red", "green", "blue")
_STRETCH = (2.0, 98.0)  # percentiles of the valid values that become black and white


def of_pyramid(context: Context, levels: Sequence[Level]) -> tuple[Preview | None, str]:
    """Picture the pixels of a pyramid.

    Parameters
    ----------
    context : Context
        As the rules have left it.
    levels : list of Level
        Levels that exist.

    Returns
    -------
    Preview or None
        None where no level can be read.
    str
        Why there is none, or which part of it is missing; "" otherwise.
    """
    if not levels:
        return None, "There is no preview: no level of the layout exists."
    found = _found(context, levels)
    if found is None:
        return (
            None,
            f"There is no preview: no level of at most {MOST_SIDE} pixels a side is one that the checker reads.",
        )
    level, bands = found
    if not _is_small(bands):
        return None, "There is no preview: the chunks of the coarsest levels are too large, or too many."
    try:
        return _picture(context, level, bands)
    except (GeoZarrError, MemoryError) as error:
        return None, f"There is no preview: level {cut(level.asset, 80)} cannot be read ({type(error).__name__})."


def png(rgba: NDArray[np.uint8]) -> bytes:
    """Encode a picture as PNG (ISO/IEC 15948).

    Parameters
    ----------
    rgba : ndarray of uint8, shape (row, col, 4)
        Red, green, blue, opacity.
    """
    height, width, _ = rgba.shape
    before = np.pad(rgba, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    filtered = np.empty((height, 1 + width * 4), np.uint8)
    filtered[:, 0] = 1  # filter "Sub": each byte less that of the pixel to the left
    filtered[:, 1:] = (rgba - before).reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)  # 8 bits each of red, green, blue and alpha
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def _found(context: Context, levels: Sequence[Level]) -> tuple[Level, list[Raster]] | None:
    """Open the coarsest level that shows something; else, of those that are too coarse, the finest."""
    sides = [(_side(context, level), level) for level in levels]
    small = sorted((item for item in sides if 0 < item[0] <= MOST_SIDE), key=lambda item: item[0])
    large_enough = [level for side, level in small if side >= _LEAST_SIDE]
    others = [level for side, level in reversed(small) if side < _LEAST_SIDE]
    for level in (*large_enough, *others)[:_MOST_TRIED]:
        bands = _bands(context, level)
        if bands:
            return level, bands
    return None


def _side(context: Context, level: Level) -> int:
    """Longer side of a level's first raster; 0 where it has none."""
    rasters = context.rasters(level.arrays.values())
    shapes = (sites.spatial_shape(context, array, context.spatial_dimensions(array)) for array in rasters[:1])
    return max((max(shape) for shape in shapes if shape is not None), default=0)


def _bands(context: Context, level: Level) -> list[Raster]:
    """Open red, green and blue of a level, or its first raster that can be read."""
    by_name = {name.lower(): node for name, node in level.arrays.items()}
    if all(name in by_name for name in _RGB):
        bands = [pixels.raster(context, by_name[name]) for name in _RGB]
        opened = [band for band in bands if band is not None]
        if len(opened) == len(_RGB) and len({band.shape for band in opened}) == 1:
            return opened
    for node in context.rasters(level.arrays.values()):
        found = pixels.raster(context, node) if node.attributes.get("color_interpretation") != "alpha" else None
        if found is not None:
            return [found]
    return []


def _is_small(bands: list[Raster]) -> bool:
    chunks = [math.prod(-(-side // part) for side, part in zip(b.shape, b.chunk, strict=True)) for b in bands]
    sizes = [math.prod(band.array.chunks) * band.dtype.itemsize for band in bands]
    weights = itertools.starmap(int.__mul__, zip(chunks, sizes, strict=True))
    return sum(chunks) <= _MOST_CHUNKS and sum(weights) <= _MOST_BYTES


def _picture(context: Context, level: Level, bands: list[Raster]) -> tuple[Preview | None, str]:
    whole = Window(0, 0, *bands[0].shape)
    cells = [band.read(context, whole, (0,) * len(band.lead)) for band in bands]
    unpacked = [_unpacked(band, cell.values) for band, cell in zip(bands, cells, strict=True)]
    valid = np.logical_and.reduce([cell.valid & np.isfinite(v) for cell, v in zip(cells, unpacked, strict=True)])
    names = cut(", ".join(band.node.name for band in bands), 160)
    what = f"{names} of level {cut(level.asset, 80)}" + (" at the first step of the other axes" * bool(bands[0].lead))
    if not valid.any():
        return None, f"There is no preview: {what} has no valid data."
    low, high = np.percentile(np.concatenate([values[valid] for values in unpacked]), _STRETCH)
    shades = [_stretched(values, low, high) for values in unpacked]
    rgba = np.stack([*(shades * 3 if len(shades) == 1 else shades), valid.astype(np.uint8) * 255], axis=-1)
    rgba[~valid] = 0
    height, width = valid.shape
    about = f"{what}, {width} x {height} pixels; black is {low:.6g}, white {high:.6g}"
    missing = sum(len(band.unreadable) for band in bands)
    is_known = all(cell.known.all() for cell in cells)
    told = f"{missing} objects cannot be read" if missing else "objects are damaged"
    note = "" if is_known else f"Where the preview is empty, {told} or there is no data."
    return Preview(png(rgba), width, height, about), note


def _unpacked(band: Raster, values: NDArray[np.generic]) -> NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float64) * band.scale + band.offset


def _stretched(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        share = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return np.asarray(np.nan_to_num(np.clip(share, 0, 1)) * 255 + 0.5, np.uint8)
