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
BLOCK = 512  # pixels along a side: 1024 takes as long and four times the memory, 256 takes 10 % longer (measured)
BASE_MEMORY = 400 * 2**20  # bytes: the interpreter with its libraries, kernels while they are compiled, GDAL's caches
CHUNK_OVERHEAD = 16  # bytes that blosc adds to what it cannot compress
INDEX_ENTRY = 24  # bytes a chunk in a shard: offset, length and crc32c, and its share of the index's own crc32c
SOURCE_FACTOR = 4  # source pixels that are read at once for each pixel of a block, at most
SUBTREE = 2048  # pixels along a side; larger ones are no faster, and need more of the source in memory
SUBTREE_APART = 8192  # the same where workers are processes: seconds of work, which handing it out does not slow down
SUBTREES_A_WORKER = 16  # enough that the last one does not keep the others waiting for long
WORKERS_LEVELS = 2  # levels that workers should fold: what is left to the coordinator is 1/48 of the pixels then
AHEAD = 2  # subtrees that may be finished and not yet folded on
CLASSES = 24  # classes under a cell, on average over a block, that memory is planned for; a build with more is stopped
CELL_OVERHEAD = 512  # bytes that a decoded cell costs beside its pixels
HISTOGRAM = 2**19  # bytes of a slice's histogram


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
        Threads of each process.
    fold_bytes : tuple of int
        Bytes of a cell of an accumulator at each level; the last one stands for all coarser levels.
    source : tuple of (int, int)
        Rows and columns of the source.
    cell : tuple of (int, int)
        Rows and columns of the source that are decoded and kept together.
    ratio : float
        Source pixels along a pixel of the finest level.
    resident : int
        Bytes that the source keeps in memory itself.
    processes : int
        Processes that share the work.
    first : int
        Coarsest level at which a variable begins: subtrees reach at least as high.
    """

    reach: tuple[int, int]
    levels: int
    itemsize: int
    slices: int
    workers: int
    fold_bytes: tuple[int, ...] = (12,)
    source: tuple[int, int] = (2**20, 2**20)
    cell: tuple[int, int] = (512, 512)
    ratio: float = 1.0
    resident: int = 0
    processes: int = 1
    first: int = 0

    @property
    def in_rows(self) -> bool:
        """True where cells are as wide as the source, and wider than high: the walk goes row by row then."""
        return self.cell[1] >= self.source[1] and self.cell[1] > 2 * self.cell[0]

    def blocks(self, level: int, block: int) -> int:
        """Blocks of a level that the source can reach, about."""
        side = block << level
        return -(-self.reach[0] // side) * -(-self.reach[1] // side)

    def cut(self, block: int) -> int:
        """Level of the subtrees that workers take: of a bounded size, and so many that each has enough of them."""
        # Sources in strips have to be decoded for each row of subtrees, which must not be high.
        most = SUBTREE if self.processes == 1 or self.in_rows else SUBTREE_APART
        least = self.processes * self.workers * SUBTREES_A_WORKER
        enough = (
            level
            for level in reversed(range(self.levels))
            if self.blocks(level, block) >= least and block << level <= most
        )
        return max(self.first, next(enough, 0))

    def cells_wanted(self, block: int, slices: int, *, cut: int) -> int:
        """Bytes of decoded cells that, kept, spare the walk from decoding a cell twice."""
        # A subtree that is larger than that is walked in squares of that size, one after the other.
        side = int(self.ratio * min(block << cut, SUBTREE))
        rows, cols = -(-self.source[0] // self.cell[0]), -(-self.source[1] // self.cell[1])
        if self.in_rows:
            # The row of subtrees that is walked and the edge of the next; rows of the target may lie askew.
            return min(rows, 3 + int(1.25 * side) // self.cell[0]) * cols * self._cell_bytes(slices)
        one = (2 + side // self.cell[0]) * (2 + side // self.cell[1])
        return min(2 * self.workers * one, rows * cols) * self._cell_bytes(slices)

    def _cell_bytes(self, slices: int) -> int:
        return cell_bytes(self.cell, self.itemsize, slices)

    def cells_needed(self, slices: int) -> int:
        """Bytes of decoded cells without which workers would wait for each other."""
        return cells_at_hand(self.cell, self.itemsize, slices, workers=self.workers)

    def peak(self, block: int, slices: int, *, shard: int | None = None, cut: int | None = None) -> int:
        """Bytes that the process holds at most beside decoded cells, with so many slices walked together."""
        cut = self.cut(block) if cut is None else cut
        area = min(block, max(self.reach)) ** 2
        pixel = (self.itemsize + 1) * slices
        # A worker: the source of a block, the block, its parent rounded, one cut into chunks, a cell being decoded,
        # accumulators.
        worker = SOURCE_FACTOR * area * pixel + area * (pixel + 2) + area * (2 * self.itemsize + 1)
        worker += 2 * self._cell_bytes(slices) + slices * HISTOGRAM
        worker += sum(self._sums(level, block, slices) for level in range(1, cut + 1))
        above = sum(self._sums(level, block, slices) for level in range(cut + 1, self.levels))
        waiting = self.workers + AHEAD + (2 * self.source_columns(block, cut) if self.in_rows else 3 * self.levels)
        handed = self._sums(cut + 1, block, slices) // 4 + slices * HISTOGRAM // 8
        if shard is not None and shard > block:
            # Encoded chunks of shards that are not complete, at worst as large as their pixels; levels add a third.
            if shard <= block << cut:
                open_shards = self.workers
            else:  # the one that subtrees fill, and the one that those ahead have begun; a row of them
                open_shards = 1 + (-(-self.reach[1] // shard) if self.in_rows else 1)
            above += open_shards * shard * shard * self.itemsize * slices * 4 // 3
        return BASE_MEMORY + self.resident + self.workers * worker + above + waiting * handed

    def source_columns(self, block: int, cut: int) -> int:
        """Subtrees side by side."""
        return -(-self.reach[1] // (block << cut))

    def _sums(self, level: int, block: int, slices: int) -> int:
        """Bytes of the accumulators of one block; levels smaller than a block need less."""
        side = min(block, -(-max(self.reach) // (1 << level)))
        cells = side * side * self.fold_bytes[min(level, len(self.fold_bytes) - 1)]
        # Distinct values with their counts are no more than there are pixels.
        return min(cells, side * side * 24 + self.reach[0] * self.reach[1] * (self.itemsize + 4)) * slices


def cell_bytes(cell: tuple[int, int], itemsize: int, slices: int) -> int:
    """Bytes of a decoded cell that is kept: values and masks, opacity, and what it costs to know of it."""
    return cell[0] * cell[1] * ((itemsize + 1) * slices + 1) + CELL_OVERHEAD


def cells_at_hand(cell: tuple[int, int], itemsize: int, slices: int, *, workers: int) -> int:
    """Bytes of the decoded cells that workers use, and of those that are read ahead for them."""
    return 2 * workers * cell_bytes(cell, itemsize, slices)


@dataclass(frozen=True)
class Choice:
    """How a pyramid is stored and walked.

    Parameters
    ----------
    shard : int or None
        Pixels along a side of a shard.
    block : int
        Pixels along a side of a block: the chunk times a power of two.
    together : int
        Slices walked together.
    cut : int
        Level of the subtrees that workers take.
    cache : int
        Bytes of decoded cells that are kept.
    peak : int
        Predicted bytes of the whole process.
    """

    shard: int | None
    block: int
    together: int
    cut: int
    cache: int
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
    sides = _block_sides(work, chunk)
    for shard in shards:
        # Splitting the slices costs another pass over the source's blocks, small blocks cost calls: prefer large blocks
        # with all slices together, then fewer slices, then small blocks.
        candidates = sorted(((side, count) for side in sides for count in counts), reverse=True)
        fitting = [choice for pick in candidates if (choice := _fitted(work, *pick, shard=shard, memory=memory))]
        if fitting:
            return max(fitting, key=lambda choice: _merit(work, choice))  # the first of equal ones
    least = work.peak(sides[0], 1, shard=shards[-1], cut=work.first) + work.cells_needed(1)
    raise LimitError("memory in bytes", allowed=memory, found=least)


def _merit(work: Workload, choice: Choice) -> tuple[bool, bool]:
    """Rank choices: in the best no cell is decoded twice, and workers do most of the levels above the finest."""
    is_once = choice.cache >= work.cells_wanted(choice.block, choice.together, cut=choice.cut)
    return is_once, choice.cut >= min(WORKERS_LEVELS, work.cut(choice.block))


def _fitted(work: Workload, block: int, slices: int, *, shard: int | None, memory: int) -> Choice | None:
    """Fit a walk with such blocks into a memory: the coarsest subtrees whose cells can be kept, else the finest."""
    best = None
    for cut in reversed(range(work.first, work.cut(block) + 1)):
        fixed = work.peak(block, slices, shard=shard, cut=cut)
        wanted = work.cells_wanted(block, slices, cut=cut)
        cache = min(wanted, memory - fixed)
        if cache < work.cells_needed(slices):
            if wanted < work.cells_needed(slices) <= memory - fixed:
                cache = work.cells_needed(slices)
            else:
                continue
        choice = Choice(shard, block, slices, cut, cache, fixed + cache)
        if cache >= wanted:
            return choice
        best = best or choice
    return best


def _block_sides(work: Workload, chunk: int) -> list[int]:
    """Sides that are a chunk times a power of two, up to `BLOCK`; a chunk at least.

    They are even, so that a quarter of the parent is a whole number of cells; one level alone has no parent.
    """
    least = chunk if chunk % 2 == 0 or work.levels == 1 else 2 * chunk
    return [least << power for power in range(12) if power == 0 or least << power <= BLOCK]
