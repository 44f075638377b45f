"""From stored values to the values of a picture: unpacked, by an expression, by an algorithm. Nothing is read here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tiler.block import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tiler.picture import Picture
    from tiler.pyramid import Band


def compute(block: Block, picture: Picture, cell_size: tuple[float, float]) -> Block:
    """Compute the values of a picture.

    Parameters
    ----------
    block : Block
        Values and mask of the picture's bands as stored, with the cells around that its algorithm needs.
    picture : Picture
        What is asked for.
    cell_size : tuple of (float, float)
        Width and height of a cell on the ground, metres; of importance to algorithms alone.

    Returns
    -------
    Block
        `picture.count` bands, without the cells around.

    Raises
    ------
    ParameterError
        If a cell has no size on the ground, where an algorithm needs one.
    """
    if picture.is_unscaled:
        block = unpack(block, picture.bands)
    if picture.expression is not None:
        operands = zip(picture.names, block.values, block.mask, strict=True)
        block = picture.expression.evaluate({name: (values, mask) for name, values, mask in operands})
    if picture.algorithm is not None:
        block = picture.algorithm(block, cell_size)
    return block


def unpack(block: Block, bands: tuple[Band, ...]) -> Block:
    """Apply scale and offset (CF 8.1); without any of them values stay as they are.

    Parameters
    ----------
    block : Block
        Values of some bands, as stored.
    bands : tuple of Band
        The bands.

    Returns
    -------
    Block
        float64 where a value of more than 24 bits is unpacked, else float32; computed in float64.
    """
    packing = [(band.variable.scale_factor, band.variable.add_offset) for band in bands]
    if all(pair == (1.0, 0.0) for pair in packing):
        return block
    is_wide = block.values.dtype.itemsize > 4 or (block.values.dtype.kind in "iu" and block.values.dtype.itemsize == 4)
    values: NDArray[Any] = np.empty(block.values.shape, np.float64 if is_wide else np.float32)
    for out, packed, (scale, offset) in zip(values, block.values, packing, strict=True):
        unpacked = packed.astype(np.float64)
        unpacked *= scale
        unpacked += offset
        out[...] = unpacked
    return Block(values, block.mask)
