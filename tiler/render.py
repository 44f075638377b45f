"""Values and their mask become the bytes of an image; nothing is read here.

A single band becomes one byte a pixel that indexes a table of 256 colours, and a PNG of it holds those bytes and the
table: a quarter of the bytes of RGBA, and many times faster to write. Transparency needs an index of its own; it
takes one that no pixel of the tile uses, so that no colour is lost. Only where all 256 are in use is the PNG written
as RGBA.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from geozarr.errors import ParameterError
from tiler import png
from tiler.colors import Ramp
from tiler.geotiff import encode_geotiff
from tiler.picture import GREY
from tiler.stretch import stretch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from geozarr import Grid
    from tiler.block import Block
    from tiler.picture import Picture

MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "npy": "application/x-binary",  # as TiTiler names it
    "tif": "image/tiff; application=geotiff",
}
_QUALITY = 85  # JPEG and WebP; below it edges of land cover classes visibly fray
_WHITE = 255


@dataclass(frozen=True)
class Image8:
    """Pixels of 8 bits.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (1 or 3, row, col)
        Index into `table`, or red, green and blue.
    opaque : ndarray of bool, shape (row, col)
        False where nothing is shown.
    table : ndarray of uint8, shape (256, 4), or None
        Colours of a single band.
    is_smooth : bool
        True where neighbouring indexes are neighbouring colours.
    """

    pixels: NDArray[np.uint8]
    opaque: NDArray[np.bool_]
    table: NDArray[np.uint8] | None = None
    is_smooth: bool = True


def render(block: Block, picture: Picture, image_format: str | None, grid: Callable[[], Grid]) -> tuple[bytes, str]:
    """Encode what a picture shows as an image, or as numbers.

    Parameters
    ----------
    block : Block
        Values and mask of the picture, as `tiler.compute.compute` returns them.
    picture : Picture
        Ranges and colours.
    image_format : str or None
        A key of `MEDIA_TYPES`; None means JPEG where every pixel is valid, else PNG.
    grid : callable
        Tells where the pixels are, for formats that say so.

    Returns
    -------
    bytes
        The file.
    str
        Its media type.

    Raises
    ------
    ParameterError
        If there is no such format, or it cannot hold the data type.
    """
    if image_format is not None and image_format not in MEDIA_TYPES:
        raise ParameterError("format", found=image_format, expected=f"one of {', '.join(MEDIA_TYPES)}")
    if image_format in ("npy", "tif"):
        values, mask = to_numbers(block, picture)
        data = encode_npy(values, mask) if image_format == "npy" else encode_geotiff(values, mask, picture, grid())
        return data, MEDIA_TYPES[image_format]
    image = to_image(block, picture)
    chosen = image_format or ("jpeg" if _is_opaque(image) else "png")
    encode = {"png": _encode_png, "webp": _encode_webp}.get(chosen, _encode_jpeg)
    return encode(image), MEDIA_TYPES[chosen]


def to_image(block: Block, picture: Picture) -> Image8:
    """Scale values to 8 bits. A pixel of several bands is shown where any of them is valid, as in rio-tiler."""
    shown = _shown(block) if picture.is_masked else np.broadcast_to(np.True_, block.mask.shape[1:])
    if len(block.values) == 1:
        colors = picture.colors or GREY
        pixels, opaque = colors.pixels(block.values[0], shown, picture.ranges[0] if picture.ranges else None)
        return Image8(pixels[np.newaxis], opaque, colors.table, isinstance(colors, Ramp))
    pixels = to_bytes(block, picture.ranges)
    return Image8(pixels if picture.formula is None else picture.formula.apply(pixels), shown)


def to_numbers(block: Block, picture: Picture) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return values as they are; as bytes where there are ranges, and red, green and blue where there are colours.

    Returns
    -------
    values : ndarray, shape (band, row, col)
        Numbers.
    mask : ndarray of bool, shape (row, col)
        True where any band is valid.
    """
    mask = _shown(block)
    if picture.colors is not None:
        image = to_image(block, picture)
        colors = picture.colors.table[image.pixels[0]]
        return np.moveaxis(colors[..., :3], -1, 0), image.opaque & mask & (colors[..., 3] > 0)
    if picture.ranges or picture.formula is not None:
        values = to_bytes(block, picture.ranges)
        return values if picture.formula is None else picture.formula.apply(values), mask
    return block.values, mask


def _shown(block: Block) -> NDArray[np.bool_]:
    """Tell where any band is valid, shape (row, col)."""
    return block.mask[0] if len(block.mask) == 1 else np.asarray(block.mask.any(axis=0))


def to_bytes(block: Block, ranges: tuple[tuple[float, float], ...]) -> NDArray[np.uint8]:
    """Stretch values linearly so that a range becomes 0 to 255, rounded half up; values beyond it are clipped.

    Parameters
    ----------
    block : Block
        Values and mask.
    ranges : tuple of (float, float)
        For each band; empty where values are bytes already.

    Returns
    -------
    ndarray of uint8, shape (band, row, col)
        0 where a cell has no number.
    """
    if not ranges:
        return block.values.astype(np.uint8, copy=False)
    if len(set(ranges)) == 1:  # in one go, and nothing is put together
        return stretch(block.values, *ranges[0])
    return np.stack([stretch(values, *ends) for values, ends in zip(block.values, ranges, strict=True)])


def encode_npy(values: NDArray[Any], valid: NDArray[np.bool_]) -> bytes:
    """Write numbers as rio-tiler and TiTiler do: the bands, and after them one mask band of the same data type.

    The mask holds the greatest number of the data type where the cell is valid, and the least where it is not.
    """
    least, greatest = _extremes(values.dtype)
    mask = np.where(valid, greatest, least).astype(values.dtype)
    buffer = io.BytesIO()
    np.save(buffer, np.concatenate((values, mask[np.newaxis])))
    return buffer.getvalue()


def _extremes(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return info.min, info.max


def _is_opaque(image: Image8) -> bool:
    return bool(image.opaque.all()) and (image.table is None or bool((image.table[:, 3] == _WHITE).all()))


def _encode_png(image: Image8) -> bytes:
    if image.table is not None:
        indexed = _with_transparent_index(image, image.table)
        if indexed is not None:
            return png.encode_palette(*indexed, is_smooth=image.is_smooth)
        return png.encode_colors(np.moveaxis(_rgba(image), -1, 0))
    if image.opaque.all():
        return png.encode_colors(image.pixels)
    alpha = np.where(image.opaque, np.uint8(_WHITE), np.uint8(0))
    return png.encode_colors(np.concatenate((np.where(image.opaque, image.pixels, np.uint8(0)), alpha[np.newaxis])))


def _with_transparent_index(
    image: Image8, table: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Give pixels that are not shown an index of their own; None where all 256 are in use."""
    pixels = image.pixels[0]
    if image.opaque.all():
        return pixels, table
    used = np.bincount(pixels[image.opaque], minlength=256)
    free = int(used.argmin())
    if used[free]:
        return None
    colors = table.copy()
    colors[free] = 0
    return np.where(image.opaque, pixels, np.uint8(free)), colors


def _encode_webp(image: Image8) -> bytes:
    picture = Image.fromarray(_rgb(image) if _is_opaque(image) else _rgba(image))
    return _save(picture, "WEBP", quality=_QUALITY)


def _encode_jpeg(image: Image8) -> bytes:
    """JPEG has no transparency: what is not shown is white."""
    rgba = _rgba(image).astype(np.uint16)
    alpha = rgba[..., 3:]
    blended = (rgba[..., :3] * alpha + _WHITE * (_WHITE - alpha) + _WHITE // 2) // _WHITE
    return _save(Image.fromarray(blended.astype(np.uint8)), "JPEG", quality=_QUALITY)


def _rgb(image: Image8) -> NDArray[np.uint8]:
    """Colours of all pixels, shape (row, col, 3)."""
    if image.table is not None:
        return np.ascontiguousarray(image.table[image.pixels[0], :3])
    return np.ascontiguousarray(np.moveaxis(image.pixels, 0, -1))


def _rgba(image: Image8) -> NDArray[np.uint8]:
    """Colours and alpha of all pixels, shape (row, col, 4)."""
    if image.table is not None:
        colors = image.table[image.pixels[0]]
    else:
        colors = np.full((*image.opaque.shape, 4), _WHITE, np.uint8)
        colors[..., :3] = np.moveaxis(image.pixels, 0, -1)
    return np.where(image.opaque[..., np.newaxis], colors, np.uint8(0))


def _save(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
