"""The post-order walk: the one place where reading, warping, folding and storing meet.

Levels nest by 2, so blocks form a quadtree. A finest block is read, warped and stored, and folded into a quarter of its
parent. When a parent has its four quarters it is rounded once, stored, and folded on. So each source pixel is decoded
once (but for cells that had to be forgotten), each object is written once, nothing that was written is read again, and
memory is one accumulator a level. Blocks that the source cannot reach or that its index says are empty are not visited,
and chunks without data are not stored.

A `Subtree` is a block with everything below it. `run` walks one, and hands on the quarter of the block above its root:
that is the unit of work for threads or anything else. `join` puts the quarters of a block together, stores it and
hands on a quarter in its turn: another unit of work. Above the coarsest level the tree goes on to one single block, the
apex, without levels of its own, so that statistics and the last shards come together there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from geozarr.window import Window
from pyramids import chunking, fold, statistics, warp
from pyramids.meter import Meter
from pyramids.objects import Objects, Track
from pyramids.plan import coarsened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from pyramids.control import Positions
    from pyramids.fold import Accumulator
    from pyramids.meter import Progress
    from pyramids.objects import Pending, Record
    from pyramids.plan import Plan
    from pyramids.scratch import Scratch
    from pyramids.sources import Slice
    from pyramids.sources.blocks import Blocks, Piece
    from pyramids.sources.damaged import Damage
    from pyramids.statistics import Summary
    from pyramids.writers import Sink


@dataclass(frozen=True)
class Subtree:
    """A block and everything below it.

    Parameters
    ----------
    level : int
        Level of the block, 0 being the finest.
    row, col : int
        Which block of that level.
    """

    level: int
    row: int
    col: int

    @property
    def parent(self) -> Subtree:
        """The block above."""
        return Subtree(self.level + 1, self.row // 2, self.col // 2)


@dataclass
class Outcome:
    """What a block hands to its parent.

    Parameters
    ----------
    quarters : list of Accumulator or None
        One a track; None where the block holds no data in that track.
    summaries : list of Summary or None
        Statistics of the finest values below, one a track, without histograms.
    histograms : list of (ndarray, ndarray)
        Bins that are not empty, and their counts, one a track.
    pending : dict
        Encoded chunks of shards that reach beyond the block.
    records : list of Record
        What was stored.
    damaged : tuple of Damage
        Blocks of the source that could not be read and were taken for missing.
    undefined : int
        Cells without a result though there are values under them, see `fold.undefined`.
    """

    quarters: list[Accumulator | None] = field(default_factory=list)
    summaries: list[Summary | None] = field(default_factory=list)
    histograms: list[tuple[NDArray[np.intp], NDArray[np.int64]]] = field(default_factory=list)
    pending: Pending = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    damaged: tuple[Damage, ...] = ()
    undefined: int = 0


@dataclass(frozen=True)
class Surroundings:
    """What a walk works with.

    Parameters
    ----------
    blocks : Blocks
        The source, through its LRU.
    store : Sink
        Where objects go, each in one put.
    progress : Progress
        Is told of each finest block and each object.
    """

    blocks: Blocks
    store: Sink
    progress: Progress


def run(
    plan: Plan, group: tuple[Slice, ...], subtree: Subtree, *, surroundings: Surroundings, scratch: Scratch
) -> Outcome:
    """Walk one subtree for one group of slices.

    Parameters
    ----------
    plan : Plan
        What to build.
    group : tuple of Slice
        Slices to walk, one of `plan.groups`.
    subtree : Subtree
        Where.
    surroundings : Surroundings
        Source, store and progress.
    scratch : Scratch
        Memory of this worker.

    Returns
    -------
    Outcome
        A quarter of the block above the subtree's root, statistics, and chunks of shards that are not complete.

    Raises
    ------
    ChunkReadError
        If the source cannot be read.
    StoreError
        If an object cannot be written.
    """
    return Walker(plan, group, surroundings=surroundings, scratch=scratch).walk(subtree)


@dataclass(frozen=True)
class Closed:
    """All subtrees below a block have been handed out.

    Parameters
    ----------
    block : Subtree
        A block above the subtrees.
    children : tuple of Subtree
        Those of its children that hold any.
    """

    block: Subtree
    children: tuple[Subtree, ...]


@dataclass(frozen=True)
class Passed:
    """A block that is done already, with everything below it."""

    block: Subtree


@dataclass(frozen=True)
class Skipped:
    """Pixels of the finest level that hold no data and are not visited."""

    pixels: int


Step: TypeAlias = Subtree | Closed | Passed | Skipped


def _nothing(_: Subtree) -> bool:
    return False


def itinerary(
    plan: Plan,
    *,
    may_hold: Callable[[Window], bool],
    is_done: Callable[[Subtree], bool] = _nothing,
    root: Subtree | None = None,
) -> Iterator[Step]:
    """Cut the quadtree into subtrees for workers, one after the other and without a list of them.

    Subtrees follow the quadtree, so that a parent is complete as early as can be; for sources whose blocks are as wide
    as the raster (`plan.in_rows`) they go row by row.

    Parameters
    ----------
    plan : Plan
        What to build.
    may_hold : callable
        Tells whether a window of the finest level can hold data; blocks where it cannot are left out.
    is_done : callable
        Tells whether a block is done already, with everything below it.
    root : Subtree, optional
        Where to begin; by default at the apex.

    Yields
    ------
    Subtree, Closed, Passed or Skipped
        What to do; that a block above is complete, once its last subtree was yielded; what was left out.
    """
    top = root or apex(plan)
    if plan.in_rows and top.level > plan.cut:
        return _in_rows(plan, top, may_hold, is_done)
    return _descend(plan, top, may_hold, is_done)


def _descend(
    plan: Plan, block: Subtree, may_hold: Callable[[Window], bool], is_done: Callable[[Subtree], bool]
) -> Iterator[Step]:
    if is_done(block):
        yield Passed(block)
        return
    window = finest_window(plan, block)
    if not may_hold(window):
        yield Skipped(window.size)
        return
    if block.level == plan.cut:
        yield block
        return
    found = []
    for child in children(plan, block):
        holds = False
        for step in _descend(plan, child, may_hold, is_done):
            holds = holds or not isinstance(step, Skipped)
            yield step
        if holds:
            found.append(child)
    if found:
        yield Closed(block, tuple(found))


def _in_rows(
    plan: Plan, top: Subtree, may_hold: Callable[[Window], bool], is_done: Callable[[Subtree], bool]
) -> Iterator[Step]:
    """Go through the subtrees row by row; each block above is closed after its last one."""
    below = blocks_of(plan, plan.cut)
    steps = 1 << (top.level - plan.cut)
    inside = Window(top.row * steps, top.col * steps, steps, steps).intersect(below)
    found: dict[Subtree, list[Subtree]] = {}
    known: dict[Subtree, bool] = {}  # of blocks above that reach into the row

    def holds(block: Subtree) -> bool:
        if block in known:
            return known[block]
        answer = (block == top or holds(block.parent)) and may_hold(finest_window(plan, block))
        if block.level > plan.cut:
            known[block] = answer
        return answer

    for row in range(inside.row, inside.row_stop):
        for col in range(inside.col, inside.col_stop):
            block = Subtree(plan.cut, row, col)
            if is_done(block):
                yield Passed(block)
            elif holds(block):
                yield block
            else:
                yield Skipped(finest_window(plan, block).size)
                continue
            found.setdefault(block.parent, []).append(block)
        for level in range(plan.cut + 1, top.level + 1):
            if (row + 1) % (1 << (level - plan.cut)) and row + 1 < inside.row_stop:
                break
            known = {block: answer for block, answer in known.items() if block.level != level}
            for closed in sorted((it for it in found if it.level == level), key=lambda it: it.col):
                held = tuple(sorted(found.pop(closed), key=lambda it: (it.row, it.col)))
                yield Passed(closed) if is_done(closed) else Closed(closed, held)
                if level < top.level:
                    found.setdefault(closed.parent, []).append(closed)


def blocks_of(plan: Plan, level: int) -> Window:
    """Blocks of a level that the source can reach; levels above the coarsest have blocks without pixels."""
    top = len(plan.levels.levels) - 1
    blocks = plan.blocks(min(level, top))
    factor = 1 << max(0, level - top)
    return blocks if factor == 1 else coarsened(blocks, factor)


def apex(plan: Plan) -> Subtree:
    """Return the one block under which all others lie."""
    level = len(plan.levels.levels) - 1
    while (blocks := blocks_of(plan, level)).size > 1:
        level += 1
    return Subtree(level, blocks.row, blocks.col)


def above(plan: Plan, block: Subtree) -> Iterator[Subtree]:
    """Go from a block up to the apex, the block itself left out."""
    top = apex(plan)
    while block.level < top.level:
        block = block.parent
        yield block


def children(plan: Plan, block: Subtree) -> list[Subtree]:
    """Blocks of the next finer level that lie in a block and that the source can reach."""
    reach = blocks_of(plan, block.level - 1)
    below = Window(2 * block.row, 2 * block.col, 2, 2).intersect(reach)
    return [Subtree(block.level - 1, row, col) for row, col in _cells(below)]


def owner(plan: Plan, level: int, *, side: int, row: int, col: int) -> Subtree:
    """Tell which unit of work stores an object: the smallest block that holds all of it, but no smaller than the cut.

    Parameters
    ----------
    plan : Plan
        What is built.
    level : int
        Level of the object.
    side : int
        Pixels along a side of it.
    row, col : int
        Where it stands among the objects of its level.
    """
    top = apex(plan)
    at = max(level, plan.cut)
    while at < top.level and side > plan.block << (at - level):
        at += 1
    cells = plan.block << (at - level)
    return top if at == top.level else Subtree(at, row * side // cells, col * side // cells)


def _first_blocks(plan: Plan, block: Subtree, first: int) -> list[Subtree]:
    """Blocks of a level below a block, in the order of the walk."""
    if block.level == first:
        return [block]
    return [found for child in children(plan, block) for found in _first_blocks(plan, child, first)]


def finest_window(plan: Plan, block: Subtree) -> Window:
    """Pixels of the finest level below a block, cut to the level and, by blocks, to what the source can reach."""
    side = plan.block << block.level
    return Window(block.row * side, block.col * side, side, side).intersect(plan.visited)


def _cells(window: Window) -> Iterator[tuple[int, int]]:
    for row in range(window.row, window.row_stop):
        for col in range(window.col, window.col_stop):
            yield row, col


def tracks_of(plan: Plan, group: tuple[Slice, ...]) -> tuple[Track, ...]:
    """Slices that are carried up: those of the group, and their `alpha` with the first group that speaks of it."""
    tracks = []
    for index, number in group:
        variable = plan.variables[index]
        tracks.append(Track(variable, variable.slice_index(number)))
    if _makes_alpha(plan, group):
        name = plan.variables[group[0].variable].alpha
        tracks.append(Track(next(item for item in plan.variables if item.name == name), ()))
    return tuple(tracks)


def _makes_alpha(plan: Plan, group: tuple[Slice, ...]) -> bool:
    """Tell whether `alpha` is made with the first slice of a group; all slices of a group have one `alpha`, or none."""
    name = plan.variables[group[0].variable].alpha
    first = next(other for other in plan.groups if plan.variables[other[0].variable].alpha == name)
    return name is not None and first == group


class _Climber:
    """What walking below and above a cut have in common: rounding and storing a block that has its four quarters."""

    def __init__(
        self, plan: Plan, group: tuple[Slice, ...], *, store: Sink, progress: Progress, scratch: Scratch
    ) -> None:
        self._plan = plan
        self._group = group
        self._scratch = scratch
        self._meter = Meter(progress)
        self.tracks = tracks_of(plan, group)
        self._first = self.tracks[0].variable.first
        self._objects = Objects(plan, self.tracks, store, self._meter)
        self._undefined = 0
        self._histograms = [
            scratch.array(f"histogram {number}", (statistics.BINS,), np.int64) for number in range(len(self.tracks))
        ]

    def _sparse_histograms(self) -> list[tuple[NDArray[np.intp], NDArray[np.int64]]]:
        found = []
        for histogram in self._histograms:
            bins = np.flatnonzero(histogram)
            found.append((bins, histogram[bins]))
        return found

    def _has_parent(self, level: int) -> bool:
        return level + 1 < len(self._plan.levels.levels)

    def _accumulator(self, block: Subtree, number: int) -> Accumulator:
        """Return the accumulator of a block that is being put together, empty; one a level is in use at a time."""
        shape = self._plan.block_window(block.level, block.row, block.col).shape
        variable = self.tracks[number].variable
        key = (self._use_of(block), number, variable.fold_method, variable.dtype)
        found: Accumulator = self._scratch.kept(key, shape, lambda: self._made(number, shape))
        found.clear()
        return found

    def _use_of(self, block: Subtree) -> object:
        """Tell accumulators apart that are in use at the same time."""
        return block.level

    def _quarter(self, block: Subtree, number: int) -> Accumulator:
        """Make a quarter of the block above, to be handed on."""
        rows, cols = self._plan.block_window(block.level, block.row, block.col).shape
        return self._made(number, (-(-rows // 2), -(-cols // 2)))

    def _made(self, number: int, shape: tuple[int, int]) -> Accumulator:
        variable = self.tracks[number].variable
        most = self._plan.block**2 * chunking.CLASSES if variable.fold_method == "mode" else None
        return fold.make(variable.fold_method, variable.dtype, shape, most_pairs=most)

    def _finish(self, block: Subtree, accumulators: list[Accumulator | None]) -> None:
        """Round and store a block above the finest level."""
        window = self._plan.block_window(block.level, block.row, block.col)
        for number, accumulator in enumerate(accumulators):
            if accumulator is None:
                continue
            variable = self.tracks[number].variable
            values = self._scratch.array("rounded values", window.shape, variable.dtype)
            valid = self._scratch.array("rounded mask", window.shape, np.bool_)
            with self._meter.stage("fold"):
                count = accumulator.rounded(
                    values, valid, nodata=variable.fill_value, is_nodata=not variable.uses_alpha
                )
                self._undefined += fold.undefined(accumulator, count)
            is_whole = count == window.size
            self._objects.add(block.level, number, window, values, valid, is_whole=is_whole, scratch=self._scratch)
        self._objects.complete(block.level, block.row, block.col)


class Walker(_Climber):
    """Walks subtrees for one group of slices.

    Parameters
    ----------
    plan, group, surroundings, scratch
        As for `run`.
    """

    def __init__(self, plan: Plan, group: tuple[Slice, ...], *, surroundings: Surroundings, scratch: Scratch) -> None:
        super().__init__(plan, group, store=surroundings.store, progress=surroundings.progress, scratch=scratch)
        self._blocks = surroundings.blocks
        self._damaged: set[Damage] = set()
        self._to_come: list[Subtree] = []  # blocks of the first level, the next one last
        self._ahead: tuple[Window, Positions, Window] | None = None

    def walk(self, subtree: Subtree) -> Outcome:
        """Walk a block with everything below it; store what is complete; return what its parent needs."""
        has_parent = self._has_parent(subtree.level)
        self._to_come = list(reversed(_first_blocks(self._plan, subtree, self._first)))
        for histogram in self._histograms:
            histogram.fill(0)
        quarters: list[Accumulator | None] = [None] * len(self.tracks)
        summaries = self._visit(
            subtree, quarters if has_parent else None, row=0, col=0, make=lambda number: self._quarter(subtree, number)
        )
        if not has_parent and subtree == apex(self._plan):
            self._objects.complete_all()
        self._meter.report()
        return Outcome(
            quarters,
            summaries,
            self._sparse_histograms(),
            self._objects.pending,
            self._objects.records,
            damaged=tuple(sorted(self._damaged)),
            undefined=self._undefined,
        )

    def _visit(
        self,
        block: Subtree,
        parents: list[Accumulator | None] | None,
        *,
        row: int,
        col: int,
        make: Callable[[int], Accumulator],
    ) -> list[Summary | None]:
        """Walk a block and fold it into its parents at a place; `make` gives a track's parent when first needed."""
        if block.level == self._first:
            return self._finest(block, parents, row=row, col=col, make=make)
        accumulators: list[Accumulator | None] = [None] * len(self.tracks)
        summaries: list[Summary | None] = [None] * len(self.tracks)
        half = self._plan.block // 2
        for child in children(self._plan, block):
            found = self._visit(
                child,
                accumulators,
                row=(child.row - 2 * block.row) * half,
                col=(child.col - 2 * block.col) * half,
                make=lambda number: self._accumulator(block, number),
            )
            summaries = [statistics.merge(before, now) for before, now in zip(summaries, found, strict=True)]
        self._finish(block, accumulators)
        if parents is not None:
            for number, accumulator in enumerate(accumulators):
                if accumulator is None:
                    continue
                parent = parents[number] = parents[number] or make(number)
                with self._meter.stage("fold"):
                    parent.add(accumulator, row=row, col=col)
        return summaries

    def _finest(
        self,
        block: Subtree,
        parents: list[Accumulator | None] | None,
        *,
        row: int,
        col: int,
        make: Callable[[int], Accumulator],
    ) -> list[Summary | None]:
        """Read, warp and store a block of the first level of the group."""
        window = self._plan.block_window(block.level, block.row, block.col)
        self._to_come.pop()
        summaries: list[Summary | None] = [None] * len(self.tracks)
        for number, (values, valid) in enumerate(self._pixels(window)):
            with self._meter.stage("fold"):
                summary = summaries[number] = statistics.summarise(values, valid, self._histograms[number])
            if summary is None:
                continue
            is_whole = summary.count == window.size
            self._objects.add(block.level, number, window, values, valid, is_whole=is_whole, scratch=self._scratch)
            if parents is not None:
                parent = parents[number] = parents[number] or make(number)
                with self._meter.stage("fold"):
                    parent.add_finest(values, valid, row=row, col=col)
        self._objects.complete(block.level, block.row, block.col)
        self._meter.computed(window.size * len(self._group))
        return summaries

    def _pixels(self, window: Window) -> Iterable[tuple[NDArray[Any], NDArray[np.bool_]]]:
        """Values and mask of each track in a window of its first level; nothing where all is empty."""
        planes = self._native(window) if self._plan.is_native else self._warped(window)
        if planes is None:
            return ()
        values, valid, alpha = planes
        found = [(values[number], valid[number]) for number in range(len(self._group))]
        if alpha is not None:
            found.append(alpha)
        return found

    def _block_arrays(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        shape = (len(self._group), *window.shape)
        values = self._scratch.array("finest values", shape, self.tracks[0].variable.dtype)
        return values, self._scratch.array("finest mask", shape, np.bool_)

    @property
    def _has_alpha(self) -> bool:
        return len(self.tracks) > len(self._group)

    def _native(self, window: Window) -> Any:
        self._read_ahead()
        piece = self._blocks.read(window, self._group, self._scratch, self._damaged)
        if piece is None:
            return None
        values, valid = self._block_arrays(window)
        alpha = self._alpha_arrays(window) if self._has_alpha else None
        inside = window.relative_to(piece.window).slices
        with self._meter.stage("warp"):
            if piece.valid is None:
                valid.fill(True)
                found = piece.values[(..., *inside)]
                if found.flags.c_contiguous:
                    values = found  # a cell is a block: nothing is copied
                else:
                    values[:] = found
            else:
                for number in range(len(self._group)):
                    valid[number] = piece.valid[min(number, len(piece.valid) - 1)][inside]
                    values[number] = piece.values[number][inside]
                    np.copyto(values[number], self.tracks[number].variable.fill_value, where=~valid[number])
            if alpha is not None:
                alpha[1][:] = valid[0]
                alpha[0][:] = 255 if piece.alpha is None else piece.alpha[inside]
                alpha[0][~alpha[1]] = 0
        return values, valid, alpha

    def _alpha_arrays(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        opacity = self._scratch.array("finest alpha", window.shape, np.uint8)
        return opacity, self._scratch.array("finest alpha mask", window.shape, np.bool_)

    def _warped(self, window: Window) -> Any:
        values, valid = self._block_arrays(window)
        alpha = self._alpha_arrays(window) if self._has_alpha else None
        is_filled = self._warp(window, window, values, valid, alpha, is_clear=False)
        return (values, valid, alpha) if is_filled else None

    def _warp(
        self,
        window: Window,
        block: Window,
        values: NDArray[Any],
        valid: NDArray[np.bool_],
        alpha: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None,
        *,
        is_clear: bool,
    ) -> bool:
        """Warp a window into its place in a block's arrays; one that needs too much of the source is cut in four.

        Returns whether anything was written: where the source holds nothing, arrays that are clear stay so.
        """
        method = self.tracks[0].variable.warp_method or ""
        with self._meter.stage("warp"):
            where, needed = self._where(window)
            self._read_ahead()
        if needed.size > chunking.SOURCE_FACTOR * self._plan.block**2 and window.size > 1:
            if not is_clear:
                self._clear(values, valid, alpha)
            side = -(-max(window.shape) // 2)
            parts = [
                part.shift(rows=window.row, cols=window.col)
                for part in window.relative_to(window).split(height=side, width=side)
            ]
            written = [self._warp(part, block, values, valid, alpha, is_clear=True) for part in parts]
            return any(written)
        piece = None
        if not needed.is_empty:
            piece = self._blocks.read(needed, self._group, self._scratch, self._damaged)
        if piece is None:
            return False
        with self._meter.stage("warp"):
            self._resample(piece, where, method, window.relative_to(block), values, valid, alpha)
        return True

    def _where(self, window: Window) -> tuple[Positions, Window]:
        """Where the pixels of a window lie, and the pixels of the source that they need."""
        if self._ahead is not None and self._ahead[0] == window:
            return self._ahead[1:]
        method = self.tracks[0].variable.warp_method or ""
        where = warp.positions(self._plan.mapping, window, method)
        return where, warp.needed(where, method).intersect(self._plan.source.grid.window)

    def _read_ahead(self) -> None:
        """Have the source of the next block decoded while this one is worked on."""
        self._ahead = None
        if not self._to_come:
            return
        block = self._to_come[-1]
        window = needed = self._plan.block_window(block.level, block.row, block.col)
        if not self._plan.is_native:
            where, needed = self._where(window)
            self._ahead = window, where, needed
        if needed.size <= chunking.SOURCE_FACTOR * self._plan.block**2:
            self._blocks.prefetch(needed, self._group)

    def _clear(
        self,
        values: NDArray[Any],
        valid: NDArray[np.bool_],
        alpha: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None,
    ) -> None:
        for number in range(len(self._group)):
            values[number] = self.tracks[number].variable.fill_value
        valid.fill(False)
        if alpha is not None:
            alpha[0].fill(0)
            alpha[1].fill(False)

    def _resample(
        self,
        piece: Piece,
        where: Positions,
        method: str,
        place: Window,
        values: NDArray[Any],
        valid: NDArray[np.bool_],
        alpha: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None,
    ) -> None:
        variables = [track.variable for track in self.tracks]
        common: dict[str, Any] = {
            "window": piece.window,
            "where": where,
            "turn": self._plan.mapping.turn,
        }
        start = (place.row, place.col)
        warp.resample(
            piece.values,
            piece.valid,
            method=method,
            nodata=[variable.fill_value for variable in variables[: len(self._group)]],
            is_nodata=not variables[0].uses_alpha,
            out=(values, valid),
            place=start,
            **common,
        )
        here = place.slices
        self._undefined += warp.undefined(piece.values, piece.valid, valid[(..., *here)], method=method, **common)
        if alpha is None:
            return
        if piece.alpha is None:
            alpha[1][here] = valid[0][here]
            alpha[0][here] = valid[0][here]
            alpha[0][here] *= np.uint8(255)
            return
        mask = None if piece.valid is None else piece.valid[:1]
        warp.resample(
            piece.alpha[None],
            mask,
            method=variables[-1].warp_method or "",
            nodata=[variables[-1].fill_value],
            is_nodata=False,
            out=(alpha[0][None], alpha[1][None]),
            place=start,
            **common,
        )


def join(
    plan: Plan,
    group: tuple[Slice, ...],
    block: Subtree,
    quarters: Mapping[Subtree, Outcome],
    *,
    store: Sink,
    progress: Progress,
    scratch: Scratch,
) -> Outcome:
    """Put a block together from what its children hand on, and store all that is complete with it.

    Parameters
    ----------
    plan, group, scratch
        As for `run`.
    block : Subtree
        Above the cut.
    quarters : mapping of Subtree to Outcome
        What its children hand on; of those that hold data.
    store, progress
        As in `Surroundings`.

    Returns
    -------
    Outcome
        As `run` does. That of the apex holds the statistics of all.

    Raises
    ------
    StoreError
        If an object cannot be written.
    """
    return Joiner(plan, group, store=store, progress=progress, scratch=scratch).join(block, quarters)


class Joiner(_Climber):
    """Puts blocks together; parameters as for `join`."""

    def _use_of(self, block: Subtree) -> object:  # noqa: ARG002 - one at a time, whatever its level
        return "joined"

    def join(self, block: Subtree, quarters: Mapping[Subtree, Outcome]) -> Outcome:
        """Put one block together."""
        order = sorted(quarters, key=lambda item: (item.row, item.col))
        for histogram in self._histograms:
            histogram.fill(0)
        summaries: list[Summary | None] = [None] * len(self.tracks)
        for child in order:
            found = quarters[child]
            self._objects.take(found.pending)
            for histogram, (bins, counts) in zip(self._histograms, found.histograms, strict=True):
                histogram[bins] += counts
            summaries = [statistics.merge(one, two) for one, two in zip(summaries, found.summaries, strict=True)]
        handed: list[Accumulator | None] = [None] * len(self.tracks)
        if block.level < len(self._plan.levels.levels):
            self._put_together(block, order, quarters, handed)
        self._objects.complete(block.level, block.row, block.col)
        if block == apex(self._plan):
            self._objects.complete_all()
        self._meter.report()
        return Outcome(
            handed,
            summaries,
            self._sparse_histograms(),
            self._objects.pending,
            self._objects.records,
            undefined=self._undefined,
        )

    def _put_together(
        self,
        block: Subtree,
        order: list[Subtree],
        quarters: Mapping[Subtree, Outcome],
        handed: list[Accumulator | None],
    ) -> None:
        half = self._plan.block // 2
        accumulators: list[Accumulator | None] = [None] * len(self.tracks)
        for child in order:
            at = {"row": (child.row - 2 * block.row) * half, "col": (child.col - 2 * block.col) * half}
            for number, quarter in enumerate(quarters[child].quarters):
                if quarter is not None:
                    parts = accumulators[number] = accumulators[number] or self._accumulator(block, number)
                    parts.paste(quarter, **at)
        self._finish(block, accumulators)
        for number, whole in enumerate(accumulators):
            if whole is not None and self._has_parent(block.level):
                quarter = handed[number] = self._quarter(block, number)
                quarter.add(whole, row=0, col=0)


def whole_summaries(outcome: Outcome) -> list[Summary | None]:
    """Return the statistics of each track with their histograms, from the outcome of the apex."""
    found: list[Summary | None] = []
    for summary, (bins, counts) in zip(outcome.summaries, outcome.histograms, strict=True):
        histogram = np.zeros(statistics.BINS, np.int64)
        histogram[bins] = counts
        found.append(summary and replace(summary, histogram=histogram))
    return found
