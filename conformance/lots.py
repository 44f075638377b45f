"""Which blocks of an array are looked at: all of it, or some that are drawn by lot."""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geozarr.window import Window

if TYPE_CHECKING:
    from conformance.context import Context
    from conformance.pixels import Raster

BLOCKS = 4  # of each array, where not all is looked at
SIDE = 32  # cells along a side of a block
TRIES = 24  # blocks that are drawn to find some with data
MOST = 2048  # cells along a side of what is read at once


class Block(NamedTuple):
    """A window of one of the rasters of an array: `lead` is its index along each of the other axes."""

    lead: tuple[int, ...]
    window: Window


def blocks(context: Context, raster: Raster, factor: int = 1) -> list[Block]:
    """Choose what is looked at: the last corner and blocks with data, or all.

    Parameters
    ----------
    context : Context
        Whose sample says how much.
    raster : Raster
        Where.
    factor : int
        Finer cells along a side of each cell, which are read as well: blocks are smaller, the larger it is.
    """
    return _all(raster, factor) if context.sample.is_all else _drawn(context, raster, factor)


def _all(raster: Raster, factor: int) -> list[Block]:
    height, width = raster.shape
    tall, wide = (max(1, min(size, MOST // factor)) for size in raster.chunk)
    windows = [
        Window(row, col, tall, wide).intersect(Window(0, 0, height, width))
        for row, col in itertools.product(range(0, height, tall), range(0, width, wide))
    ]
    return [Block(lead, window) for lead in itertools.product(*map(range, raster.lead)) for window in windows]


def _drawn(context: Context, raster: Raster, factor: int) -> list[Block]:
    side = max(1, min(SIDE, MOST // factor))
    height, width = raster.shape
    lot = np.random.default_rng([context.sample.seed, zlib.crc32(raster.node.path.encode())])
    counts = (*raster.lead, *(-(-size // side) for size in (height, width)))
    drawn = {tuple(count - 1 for count in counts): None}  # the last corner of the last raster
    for _ in range(TRIES):
        drawn[tuple(int(lot.integers(count)) for count in counts)] = None
    found: list[Block] = []
    for *lead, row, col in drawn:
        # Blocks are counted from the end, so that the last one is as large as the others.
        window = Window(height - (counts[-2] - row) * side, width - (counts[-1] - col) * side, side, side)
        block = Block(tuple(lead), window.intersect(Window(0, 0, height, width)))
        # The corner counts whatever it holds, of others those with data.
        if not found or raster.read(context, block.window, block.lead).valid.any():
            found.append(block)
        if len(found) > BLOCKS:
            break
    return found
