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
from tiler import colormaps, png
from tiler.stretch import stretch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tiler.block import Block
    from tiler.picture import Picture

MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "npy": "application/x-binary",  # as TiTiler names it
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
    """

    pixels: NDArray[np.uint8]
    opaque: NDArray[np.bool_]
    table: NDArray[np.uint8] | None = None


def render(block: Block, picture: Picture, image_format: str | None) -> tuple[bytes, str]:
    """Encode a block as an image, or as numbers.

    Parameters
    ----------
    block : Block
        Values and mask of the picture's bands.
    picture : Picture
        Ranges and colours.
    image_format : str or None
        A key of `MEDIA_TYPES`; None means JPEG where every pixel is valid, else PNG.

    Returns
    -------
    bytes
        The file.
    str
        Its media type.

    Raises
    ------
    ParameterError
        If there is no such format.
    """
    if image_format is not None and image_format not in MEDIA_TYPES:
        raise ParameterError("format", found=image_format, expected=f"one of {', '.join(MEDIA_TYPES)}")
    if image_format == "npy":
        return encode_npy(block, picture), MEDIA_TYPES["npy"]
    image = to_image(block, picture)
    chosen = image_format or ("jpeg" if _is_opaque(image) else "png")
    encode = {"png": _encode_png, "webp": _encode_webp}.get(chosen, _encode_jpeg)
    return encode(image), MEDIA_TYPES[chosen]


def to_image(block: Block, picture: Picture) -> Image8:
    """Scale values to 8 bits. A pixel of several bands is shown where any of them is valid, as in rio-tiler."""
    pixels = to_bytes(block, picture.ranges)
    table = None if picture.colormap is None else colormaps.table(picture.colormap)
    if table is None and len(pixels) == 1:
        table = colormaps.grey()
    return Image8(pixels, _shown(block), table)


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
    if len(ranges) == 1:
        return stretch(block.values, *ranges[0])
    return np.stack([stretch(values, *ends) for values, ends in zip(block.values, ranges, strict=True)])


def encode_npy(block: Block, picture: Picture) -> bytes:
    """Write numbers as rio-tiler and TiTiler do: the bands, and after them one mask band of the same data type.

    The mask holds the greatest number of the data type where any band is valid, and the least where none is. Values
    are as stored, unless the picture has ranges (bytes) or a colormap (red, green, blue).
    """
    values, valid = block.values, _shown(block)
    if picture.colormap is not None:
        colors = colormaps.table(picture.colormap)[to_bytes(block, picture.ranges)[0]]
        values, valid = np.moveaxis(colors[..., :3], -1, 0), valid & (colors[..., 3] > 0)
    elif picture.ranges:
        values = to_bytes(block, picture.ranges)
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
            return png.encode_palette(*indexed)
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
