"""Chunk, shard and block shapes from grids, dtypes and byte targets.

A *chunk* is compressed by itself and is one map tile; a *shard* is a stored object of many chunks; a *block* is what
the walk holds in memory at once, a whole number of objects.
"""

from __future__ import annotations

from geozarr.errors import LimitError, ParameterError

NATIVE_CHUNK = 512  # pixels; float32 makes 1 MiB, which browsers still fetch and decode at once (CLIENTS.md section 1)
SHARD = 2048  # pixels
MAX_PLAIN_CHUNKS = 10_000  # stored chunks up to which none is put into shards: GDAL up to 3.12 cannot read those
BLOCKS = (2048, 1024, 512, 256)  # pixels along a side, in order of preference
BASE_MEMORY = 300 * 2**20  # bytes: the interpreter with its libraries, GDAL's block cache, compiled kernels
SUM_BYTES = 12  # a cell of an accumulator: float64 or int64, and uint32
SOURCE_FACTOR = 4  # a block reads at most this many source pixels for each of its own at once


def shard_side(requested: int | str, *, chunk: int, chunk_count: int) -> int | None:
    """Decide the side of a shard in pixels; None for one object a chunk.

    Parameters
    ----------
    requested : int or str
        Pixels, "none", or "auto": none up to `MAX_PLAIN_CHUNKS` chunks, else `SHARD`.
    chunk : int
        Pixels along a side of a chunk.
    chunk_count : int
        Chunks that the whole pyramid can hold.

    Raises
    ------
    ParameterError
        If the shard is not a multiple of the chunk, or not a power of two times it, so that blocks would not nest.
    """
    if requested == "none":
        return None
    if requested == "auto":
        return None if chunk_count <= MAX_PLAIN_CHUNKS else max(chunk, SHARD // chunk * chunk)
    if isinstance(requested, str):
        raise ParameterError("shard", found=requested, expected="'auto', 'none' or a number of pixels")
    factor, remainder = divmod(requested, chunk)
    if remainder or factor < 1 or factor & (factor - 1):
        raise ParameterError("shard", found=requested, expected=f"{chunk} pixels times a power of two")
    return requested


def level_shard(shard: int | None, *, chunk: int, shape: tuple[int, int]) -> int | None:
    """Shrink a shard to a level that is smaller than it, so that no index lists chunks that cannot exist."""
    if shard is None:
        return None
    longest = -(-max(shape) // chunk) * chunk
    side = shard
    while side // 2 >= longest and (side // 2) % chunk == 0:
        side //= 2
    return side


def block_memory(block: int, *, itemsize: int, slices: int, levels: int, longest: int) -> int:
    """Bytes that one worker holds at most while it walks.

    Parameters
    ----------
    block : int
        Side in pixels.
    itemsize : int
        Bytes of a value.
    slices : int
        2-D slices that are walked together.
    levels : int
        Levels of the pyramid.
    longest : int
        Longer side of the finest level, in pixels; coarser levels need less than a block once they are smaller.
    """
    area = min(block, longest) ** 2
    source = SOURCE_FACTOR * area * (itemsize + 1) * slices
    warped = area * ((itemsize + 1) * slices + 16 + 8)  # values and mask, positions, exact results
    sums = 0
    for level in range(1, levels):
        sums += min(block, -(-longest // 2**level)) ** 2 * SUM_BYTES * slices
    encoded = area * itemsize
    return source + warped + sums * 5 // 4 + encoded  # a quarter more for the quarters handed on


def choose_block(
    *, chunk: int, shard: int | None, itemsize: int, slices: int, levels: int, longest: int, workers: int, memory: int
) -> tuple[int, int, int]:
    """Choose the largest block, and how many slices to walk together, that fit a memory.

    Returns
    -------
    block : int
        Side in pixels: `chunk`, or `shard`, times a power of two.
    together : int
        Slices walked together, at most `slices`.
    peak : int
        Predicted bytes of the whole process.

    Raises
    ------
    LimitError
        If not even the smallest block fits.
    """
    unit = shard or chunk
    sides = sorted({unit * 2**power for power in range(12) if unit * 2**power <= max(BLOCKS[0], unit)}, reverse=True)
    candidates = []
    together = slices
    while together >= 1:
        candidates += [(side, together) for side in sides]
        together = together // 2
    # Splitting the slices costs another pass over the source's blocks, small blocks cost overlap: prefer blocks of
    # at least 512 pixels with all slices together, then fewer slices, then smaller blocks.
    candidates.sort(key=lambda pick: (min(pick[0], 512), pick[1], pick[0]), reverse=True)
    for side, together in candidates:
        peak = BASE_MEMORY + workers * block_memory(
            side, itemsize=itemsize, slices=together, levels=levels, longest=longest
        )
        if peak <= memory:
            return side, together, peak
    smallest = BASE_MEMORY + workers * block_memory(
        sides[-1], itemsize=itemsize, slices=1, levels=levels, longest=longest
    )
    raise LimitError("memory in bytes", allowed=memory, found=smallest)
