"""Chunk, shard and block shapes from grids, dtypes and byte targets.

A *chunk* is compressed by itself and is one map tile; a *shard* is a stored object of many chunks; a *block* is what
the walk holds in memory at once, a whole number of objects.
"""

from __future__ import annotations

from dataclasses import dataclass

from geozarr.errors import LimitError, ParameterError

NATIVE_CHUNK = 512  # pixels; float32 makes 1 MiB, which browsers still fetch and decode at once (CLIENTS.md section 1)
SHARD = 2048  # pixels
MAX_PLAIN_CHUNKS = 10_000  # stored chunks up to which none is put into shards: GDAL up to 3.12 cannot read those
MAX_BLOCK = 2048  # pixels along a side; larger ones read no less and hold more
SMALL_BLOCK = 512  # pixels along a side, below which the overlap of what neighbouring blocks read begins to cost
WARP_TILE = 1024  # pixels along a side that are warped at once; bounds positions and source whatever the block
BLOCKS_ALONG = 4  # blocks along the longer side that a raster is cut into at least, to keep all workers busy
BASE_MEMORY = 384 * 2**20  # bytes: the interpreter with its libraries, GDAL's block cache, compiled kernels
CHUNK_OVERHEAD = 16  # bytes that blosc adds to what it cannot compress
INDEX_ENTRY = 24  # bytes a chunk in a shard: offset, length and crc32c, and its share of the index's own crc32c
SUM_BYTES = 12  # a cell of an accumulator: float64 or int64, and uint32
SOURCE_FACTOR = 4  # source pixels that are read at once for each pixel warped at once, at most
SUBTREES_A_WORKER = 8  # enough that the last one does not keep the others waiting for long
AHEAD = 2  # subtrees that may be finished and not yet folded on


def shard_sides(requested: int | str, *, chunk: int, chunk_count: int) -> tuple[int | None, ...]:
    """Decide which sides of a shard may be taken, in pixels and in order of preference; None is one object a chunk.

    Parameters
    ----------
    requested : int or str
        Pixels, "none", or "auto": none up to `MAX_PLAIN_CHUNKS` chunks, else `SHARD` or what of it fits the memory.
    chunk : int
        Pixels along a side of a chunk.
    chunk_count : int
        Chunks that the whole pyramid can hold.

    Raises
    ------
    ParameterError
        If the shard is not the chunk times a power of two, so that blocks would not nest.
    """
    if requested == "none" or (requested == "auto" and chunk_count <= MAX_PLAIN_CHUNKS):
        return (None,)
    if requested == "auto":
        return tuple(chunk << power for power in reversed(range(12)) if chunk << power <= max(chunk, SHARD))
    if isinstance(requested, str):
        raise ParameterError("shard", found=requested, expected="'auto', 'none' or a number of pixels")
    factor, remainder = divmod(requested, chunk)
    if remainder or factor < 1 or factor & (factor - 1):
        raise ParameterError("shard", found=requested, expected=f"{chunk} pixels times a power of two")
    return (requested,)


def level_shard(shard: int | None, *, chunk: int, shape: tuple[int, int]) -> int | None:
    """Shrink a shard to a level that is smaller than it, so that no index lists chunks that cannot exist."""
    if shard is None:
        return None
    longest = -(-max(shape) // chunk) * chunk
    side = shard
    while side // 2 >= longest and (side // 2) % chunk == 0:
        side //= 2
    return side


@dataclass(frozen=True)
class Workload:
    """What decides how much memory a walk takes.

    Parameters
    ----------
    reach : tuple of (int, int)
        Rows and columns of the finest level that the source can reach.
    levels : int
        Levels of the pyramid.
    itemsize : int
        Bytes of a value.
    slices : int
        2-D slices of all variables.
    workers : int
        Threads.
    """

    reach: tuple[int, int]
    levels: int
    itemsize: int
    slices: int
    workers: int

    def blocks(self, level: int, block: int) -> int:
        """Blocks of a level that the source can reach, about."""
        side = block << level
        return -(-self.reach[0] // side) * -(-self.reach[1] // side)

    def cut(self, block: int) -> int:
        """Level of the subtrees that workers take: the coarsest with `SUBTREES_A_WORKER` for each, else the finest."""
        enough = (
            level
            for level in reversed(range(self.levels))
            if self.blocks(level, block) >= self.workers * SUBTREES_A_WORKER
        )
        return next(enough, 0)

    def peak(self, block: int, slices: int) -> int:
        """Bytes that the process holds at most, with so many slices walked together."""
        tile = min(block, WARP_TILE) ** 2
        area = min(block, max(self.reach)) ** 2
        # A worker's finest block: values and mask, the part that is warped right now with its source, positions and
        # float64 results, one object being encoded.
        finest = area * (self.itemsize + 1) * slices
        finest += tile * (SOURCE_FACTOR * (self.itemsize + 1) * slices + 16 + 8)
        finest += area * self.itemsize
        cut = self.cut(block)
        below = sum(self._sums(level, block, slices) for level in range(1, cut + 1))
        above = sum(self._sums(level, block, slices) for level in range(cut + 1, self.levels))
        quarters = (self.workers + AHEAD) * self._sums(cut + 1, block, slices) // 4
        return BASE_MEMORY + self.workers * (finest + below * 5 // 4) + above * 5 // 4 + quarters

    def _sums(self, level: int, block: int, slices: int) -> int:
        """Bytes of the accumulators of one block; levels smaller than a block need less."""
        side = min(block, -(-max(self.reach) // (1 << level)))
        return side * side * SUM_BYTES * slices


@dataclass(frozen=True)
class Choice:
    """How a pyramid is stored and walked.

    Parameters
    ----------
    shard : int or None
        Pixels along a side of a shard.
    block : int
        Pixels along a side of a block: the chunk, or the shard, times a power of two.
    together : int
        Slices walked together.
    peak : int
        Predicted bytes of the whole process.
    """

    shard: int | None
    block: int
    together: int
    peak: int


def choose(work: Workload, *, chunk: int, shards: tuple[int | None, ...], memory: int) -> Choice:
    """Choose the first shard that fits a memory, with the largest block and the most slices walked together.

    Parameters
    ----------
    work : Workload
        What is walked.
    chunk : int
        Pixels along a side of a chunk.
    shards : tuple of int or None
        Shards to choose from, in order of preference.
    memory : int
        Bytes that the process may use.

    Raises
    ------
    LimitError
        If not even the smallest block of the last shard fits.
    """
    counts = sorted({max(1, work.slices >> power) for power in range(work.slices.bit_length())})
    for shard in shards:
        # Splitting the slices costs another pass over the source's blocks, small blocks cost overlap: prefer blocks
        # that are not small with all slices together, then fewer slices, then small blocks.
        candidates = sorted(
            ((side, count) for side in _block_sides(work, shard or chunk) for count in counts),
            key=lambda pick: (min(pick[0], SMALL_BLOCK), pick[1], pick[0]),
            reverse=True,
        )
        for side, together in candidates:
            peak = work.peak(side, together)
            if peak <= memory:
                return Choice(shard, side, together, peak)
    smallest = _block_sides(work, shards[-1] or chunk)[0]
    raise LimitError("memory in bytes", allowed=memory, found=work.peak(smallest, 1))


def _block_sides(work: Workload, unit: int) -> list[int]:
    """Sides that are a unit times a power of two, up to where all workers still have blocks to do.

    They are even, so that a quarter of the parent is a whole number of cells; one level alone has no parent.
    """
    largest = min(MAX_BLOCK, max(SMALL_BLOCK, max(work.reach) // BLOCKS_ALONG))
    least = unit if unit % 2 == 0 or work.levels == 1 else 2 * unit
    return [least << power for power in range(12) if power == 0 or least << power <= largest]
