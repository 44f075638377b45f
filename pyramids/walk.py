"""The post-order walk: the one place where reading, warping, folding and storing meet.

Levels nest by 2, so blocks form a quadtree. A finest block is read, warped and stored, and a quarter of its parent is
folded from it. When a parent has its four quarters it is rounded once, stored, and folded on. So each source pixel is
read once (but for the overlap of neighbouring blocks), each object is written once, nothing that was written is read
again, and memory is one accumulator a level. Blocks that the source cannot reach are not visited, and chunks without
data are not stored.

A `Subtree` is a block with everything below it. `run` walks one, and hands on the quarter of the block above its
root: that is the unit of work for threads or anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from geozarr import store as store_module
from geozarr.window import Window
from pyramids import chunking, shards, statistics, warp
from pyramids.control import Mapping
from pyramids.fold import ACCUMULATORS, Accumulator
from pyramids.plan import ALPHA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from geozarr.store import Store
    from pyramids.plan import Plan, PlannedVariable
    from pyramids.sources.source import Pixels, Slice, Source
    from pyramids.statistics import Summary

_NO_POSITIONS = Window(0, 0, 0, 0)


class Progress(Protocol):
    """Is told what has been done; called from many threads."""

    def computed(self, pixels: int) -> None:
        """Take note that pixels of the finest level are done."""
        ...

    def stored(self, size: int) -> None:
        """Take note that one object of so many bytes was written."""
        ...


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


@dataclass(frozen=True)
class Track:
    """One 2-D slice on its way up: which array it goes to, and where along the leading axes."""

    variable: PlannedVariable
    index: tuple[int, ...]


@dataclass
class Outcome:
    """What a block hands to its parent.

    Parameters
    ----------
    quarters : list of Accumulator or None
        One a track; None where the block holds no data in that track.
    summaries : list of Summary or None
        Statistics of the finest values below, one a track.
    """

    quarters: list[Accumulator | None] = field(default_factory=list)
    summaries: list[Summary | None] = field(default_factory=list)


def run(
    plan: Plan, group: tuple[Slice, ...], subtree: Subtree, *, source: Source, store: Store, progress: Progress
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
    source : Source
        What is read.
    store : obstore store
        Where objects go, each in one put.
    progress : Progress
        Is told of each finest block and each object.

    Returns
    -------
    Outcome
        A quarter of the block above the subtree's root, and statistics.

    Raises
    ------
    ChunkReadError
        If the source cannot be read.
    StoreError
        If an object cannot be written.
    """
    walker = Walker(plan, group, source=source, store=store, progress=progress)
    return walker.visit(subtree.level, subtree.row, subtree.col)


def subtrees(plan: Plan, *, at_least: int) -> tuple[int, list[Subtree]]:
    """Cut the quadtree into subtrees for workers.

    Parameters
    ----------
    plan : Plan
        What to build.
    at_least : int
        How many subtrees would keep the workers busy.

    Returns
    -------
    level : int
        Level of the subtrees' roots: the coarsest that has so many, else the finest.
    list of Subtree
        In the order of the walk, so that a parent is complete as early as can be.
    """
    for level in reversed(range(len(plan.levels.levels))):
        blocks = plan.blocks(level)
        if blocks.size >= at_least or level == 0:
            tops = plan.blocks(len(plan.levels.levels) - 1)
            roots = [(len(plan.levels.levels) - 1, row, col) for row, col in _cells(tops)]
            return level, [item for root in roots for item in _descend(plan, *root, stop=level)]
    raise AssertionError("a pyramid has at least one level")


def _descend(plan: Plan, level: int, row: int, col: int, *, stop: int) -> Iterator[Subtree]:
    if level == stop:
        yield Subtree(level, row, col)
        return
    for child_row, child_col in children(plan, level, row, col):
        yield from _descend(plan, level - 1, child_row, child_col, stop=stop)


def children(plan: Plan, level: int, row: int, col: int) -> list[tuple[int, int]]:
    """Blocks of the next finer level that lie in a block and that the source can reach."""
    reach = plan.blocks(level - 1)
    return list(_cells(Window(2 * row, 2 * col, 2, 2).intersect(reach)))


def _cells(window: Window) -> Iterator[tuple[int, int]]:
    for row in range(window.row, window.row_stop):
        for col in range(window.col, window.col_stop):
            yield row, col


class Walker:
    """Walks blocks of one group of slices.

    Parameters
    ----------
    plan, group, source, store, progress
        As for `run`.
    below : callable, optional
        Gives the outcome of a block of level `cut`, computed elsewhere; blocks below are not visited.
    cut : int
        Level at which `below` takes over; -1: none.
    """

    def __init__(
        self,
        plan: Plan,
        group: tuple[Slice, ...],
        *,
        source: Source,
        store: Store,
        progress: Progress,
        below: Callable[[int, int], Outcome] | None = None,
        cut: int = -1,
    ) -> None:
        self._plan = plan
        self._group = group
        self._source = source
        self._store = store
        self._progress = progress
        self._below = below
        self._cut = cut

    @cached_property
    def tracks(self) -> tuple[Track, ...]:
        """Slices that are carried up: those of the group, and `alpha` with the first group that speaks of it."""
        tracks = []
        for index, number in self._group:
            variable = self._plan.variables[index]
            tracks.append(Track(variable, variable.slice_index(number)))
        if self._alpha_from is not None:
            alpha = next(item for item in self._plan.variables if item.name == ALPHA)
            tracks.append(Track(alpha, ()))
        return tuple(tracks)

    @cached_property
    def _alpha_from(self) -> int | None:
        """The first slice that uses `alpha`, as its number in this group; None where another group has it."""
        for group in self._plan.groups:
            for number, wanted in enumerate(group):
                if self._plan.variables[wanted.variable].uses_alpha:
                    return number if group == self._group else None
        return None

    @cached_property
    def _mapping(self) -> Mapping:
        return Mapping(self._plan.levels.finest.grid, self._plan.source.grid)

    def visit(self, level: int, row: int, col: int) -> Outcome:
        """Walk one block with everything below it; store it; return what its parent needs."""
        if level == self._cut and self._below is not None:
            return self._below(row, col)
        window = self._plan.block_window(level, row, col)
        if level == 0:
            return self._finest(window)
        parents: list[Accumulator | None] = [None] * len(self.tracks)
        summaries: list[Summary | None] = [None] * len(self.tracks)
        for child_row, child_col in children(self._plan, level, row, col):
            outcome = self.visit(level - 1, child_row, child_col)
            half = self._plan.block // 2
            at = {"row": (child_row - 2 * row) * half, "col": (child_col - 2 * col) * half}
            for number, track in enumerate(self.tracks):
                summaries[number] = statistics.merge(summaries[number], outcome.summaries[number])
                quarter = outcome.quarters[number]
                if quarter is not None:
                    parent = parents[number] or self._accumulator.empty(window.shape, track.variable.dtype)
                    parent.paste(quarter, **at)
                    parents[number] = parent
            del outcome  # a quarter is as large as a child: free it before the next child is walked
        for number, track in enumerate(self.tracks):
            parent = parents[number]
            if parent is not None:
                self._put(level, window, track, *_rounded(parent, track.variable))
                parents[number] = parent.halved() if self._has_parent(level) else None
        return Outcome(parents, summaries)

    @property
    def _accumulator(self) -> Any:
        return ACCUMULATORS[self._plan.fold_method]

    def _has_parent(self, level: int) -> bool:
        return level + 1 < len(self._plan.levels.levels)

    def _finest(self, window: Window) -> Outcome:
        outcome = Outcome()
        for track, found in zip(self.tracks, self._pixels(window), strict=True):
            values, valid = found if found is not None else (None, None)
            if values is None or valid is None or not valid.any():
                outcome.quarters.append(None)
                outcome.summaries.append(None)
                continue
            self._put(0, window, track, values, valid)
            outcome.summaries.append(statistics.summarise(values, valid))
            quarter = self._accumulator.fold_finest(values, valid) if self._has_parent(0) else None
            outcome.quarters.append(quarter)
        self._progress.computed(window.size * len(self._group))
        return outcome

    def _pixels(self, window: Window) -> list[tuple[NDArray[Any], NDArray[np.bool_]] | None]:
        """Values and mask of each track in a window of the finest level; None where the source has nothing."""
        if self._plan.warp_method is None:
            pixels = self._source.read(window, self._group)
            return [
                (np.where(valid, values, values.dtype.type(track.variable.fill_value)), valid)
                for track, (values, valid) in zip(self.tracks, self._slices(pixels), strict=True)
            ]
        outputs: list[tuple[NDArray[Any], NDArray[np.bool_]] | None] = [None] * len(self.tracks)
        self._warp(window, window, outputs)
        return outputs

    def _warp(
        self, window: Window, block: Window, outputs: list[tuple[NDArray[Any], NDArray[np.bool_]] | None]
    ) -> None:
        """Warp a window into its place in a block's outputs; a window that needs too much source is cut in four."""
        method = self._plan.warp_method or ""
        if max(window.shape) > chunking.WARP_TILE:
            self._warp_parts(window, block, outputs, side=chunking.WARP_TILE)
            return
        corners = method == "average"
        cols, rows = self._mapping.corners(window) if corners else self._mapping.centres(window)
        needed = _source_window(cols, rows, margin=warp.MARGIN[method]).intersect(self._plan.source.grid.window)
        if needed.is_empty:
            return
        if needed.size > chunking.SOURCE_FACTOR * min(self._plan.block, chunking.WARP_TILE) ** 2 and window.size > 1:
            self._warp_parts(window, block, outputs, side=-(-max(window.shape) // 2))
            return
        pixels = self._source.read(needed, self._group)
        place = window.relative_to(block).slices
        for number, (values, valid) in enumerate(self._slices(pixels)):
            if not valid.any():
                continue
            variable = self.tracks[number].variable
            warped, warped_valid = warp.resample(
                values,
                valid,
                window=needed,
                cols=cols,
                rows=rows,
                method=method,
                nodata=variable.fill_value,
                is_nodata=not variable.uses_alpha,
                turn=self._mapping.turn,
            )
            if window == block:
                outputs[number] = warped, warped_valid
                continue
            whole = outputs[number] or (
                np.full(block.shape, variable.fill_value, variable.dtype),
                np.zeros(block.shape, np.bool_),
            )
            whole[0][place], whole[1][place] = warped, warped_valid
            outputs[number] = whole

    def _warp_parts(
        self, window: Window, block: Window, outputs: list[tuple[NDArray[Any], NDArray[np.bool_]] | None], *, side: int
    ) -> None:
        for part in window.relative_to(window).split(height=side, width=side):
            self._warp(part.shift(rows=window.row, cols=window.col), block, outputs)

    def _slices(self, pixels: Pixels) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
        """Values and mask of each track, `alpha` last: the source's own, else 255 where there is data."""
        for number, values in enumerate(pixels.values):
            yield values, pixels.valid[number if len(pixels.valid) > 1 else 0]
        if self._alpha_from is not None:
            valid = pixels.valid[self._alpha_from if len(pixels.valid) > 1 else 0]
            opaque = np.full(valid.shape, 255, np.uint8)
            yield (opaque if pixels.alpha is None else pixels.alpha), valid

    def _put(self, level: int, window: Window, track: Track, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Encode and store the objects of a block that hold data, each in one put."""
        layout = self._plan.layout(level, track.variable)
        side = layout.object_shape[-1]
        chunk = layout.chunk[-1]
        asset = self._plan.levels.levels[level].asset
        for part in window.split(height=side, width=side):
            where = part.relative_to(window).slices
            if not valid[where].any():
                continue
            pieces = shards.cut(values[where], valid[where], chunk=chunk, side=side, fill=layout.fill_value)
            encoded = (None if piece is None else shards.encode_chunk(piece) for piece in pieces)
            data = shards.encode_shard(encoded) if layout.shard is not None else next(encoded)
            key = layout.object_key(*track.index, part.row // side, part.col // side)
            store_module.write_bytes(self._store, store_module.join(asset, track.variable.name, key), data or b"")
            self._progress.stored(len(data or b""))


def _rounded(accumulator: Accumulator, variable: PlannedVariable) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    return accumulator.rounded(variable.dtype, nodata=variable.fill_value, is_nodata=not variable.uses_alpha)


def _source_window(cols: NDArray[np.float64], rows: NDArray[np.float64], *, margin: int) -> Window:
    """Source pixels that positions need, with a margin; empty where no position is finite."""
    if np.isnan(cols).all():
        return _NO_POSITIONS
    return Window.from_bounds(
        row_start=int(np.floor(np.nanmin(rows))) - margin,
        row_stop=int(np.floor(np.nanmax(rows))) + margin + 1,
        col_start=int(np.floor(np.nanmin(cols))) - margin,
        col_stop=int(np.floor(np.nanmax(cols))) + margin + 1,
    )
