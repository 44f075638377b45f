"""Chunks of blocks -> stored objects, each put once, as soon as it is complete.

A chunk that stands for itself is put at once. Chunks of a shard are kept, encoded, until the walk leaves the block that
holds the whole shard; what a worker cannot complete goes to whoever walks above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geozarr import manifest
from geozarr import store as store_module
from geozarr.manifest import ArrayObjects
from pyramids import shards

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geozarr.documents import ArrayLayout
    from geozarr.window import Window
    from pyramids.meter import Meter
    from pyramids.plan import Plan, PlannedVariable
    from pyramids.scratch import Scratch
    from pyramids.writers import Sink


@dataclass(frozen=True)
class Track:
    """One 2-D slice on its way up: which array it goes to, and where along the leading axes."""

    variable: PlannedVariable
    index: tuple[int, ...]


class ShardPlace(NamedTuple):
    """Which shard: level, number of the track, row and column among the shards of the level."""

    level: int
    track: int
    row: int
    col: int


class Record(NamedTuple):
    """An object that was stored.

    Parameters
    ----------
    array : int
        Number of the array: level times the number of variables, plus that of the variable.
    number : int
        Number of the object in the array, in C order.
    length, crc32 : int
        Of its bytes.
    """

    array: int
    number: int
    length: int
    crc32: int


Pending = dict[ShardPlace, dict[int, bytes]]  # encoded chunks by their number in the shard


class Objects:
    """Encodes and stores the chunks of some tracks.

    Parameters
    ----------
    plan : Plan
        What is built.
    tracks : tuple of Track
        The slices that are walked together.
    store : Sink
        Where objects go.
    meter : Meter
        Is told of objects stored and time spent.
    """

    def __init__(self, plan: Plan, tracks: tuple[Track, ...], store: Sink, meter: Meter) -> None:
        self._plan = plan
        self._tracks = tracks
        self._store = store
        self._meter = meter
        self._layouts: dict[tuple[int, int], ArrayLayout] = {}
        self._arrays: dict[tuple[int, int], tuple[int, ArrayObjects]] = {}
        self.pending: Pending = {}
        self.records: list[Record] = []

    def add(
        self,
        level: int,
        number: int,
        window: Window,
        values: NDArray[Any],
        valid: NDArray[np.bool_],
        *,
        is_whole: bool,
        scratch: Scratch,
    ) -> None:
        """Encode the chunks of one block of a track that hold data.

        Parameters
        ----------
        level, number : int
            Level, and number of the track.
        window : Window
            Pixels of the block that lie in the level; starts at a chunk.
        values, valid : ndarray, shape (row, col)
            Of the window.
        is_whole : bool
            True where all pixels are valid.
        scratch : Scratch
            Of the worker.
        """
        layout = self._layout(level, number)
        chunk = layout.chunk[-1]
        codec = self._tracks[number].variable.codec
        first_row, first_col = window.row // chunk, window.col // chunk
        with self._meter.stage("encode"):
            chunks = _chunks_of(values, chunk, layout.fill_value, scratch)
        for row in range(chunks.shape[0]):
            for col in range(chunks.shape[1]):
                where = np.s_[row * chunk : (row + 1) * chunk, col * chunk : (col + 1) * chunk]
                if not is_whole and not valid[where].any():
                    continue
                with self._meter.stage("encode"):
                    data = shards.encode_chunk(chunks[row, col], codec)
                self._take(layout, level, number, first_row + row, first_col + col, data)

    def _take(self, layout: ArrayLayout, level: int, number: int, row: int, col: int, data: bytes) -> None:
        if layout.shard is None:
            self._put(layout, level, number, row, col, data)
            return
        along = layout.shard[-1] // layout.chunk[-1]
        place = ShardPlace(level, number, row // along, col // along)
        self.pending.setdefault(place, {})[row % along * along + col % along] = data

    def take(self, pending: Pending) -> None:
        """Take over the chunks of shards that somebody else could not complete."""
        for place, chunks in pending.items():
            self.pending.setdefault(place, {}).update(chunks)

    def complete(self, level: int, row: int, col: int) -> None:
        """Store the shards that lie wholly in a block and below it."""
        for place in [place for place in self.pending if self._lies_in(place, level, row, col)]:
            self._store_shard(place)

    def complete_all(self) -> None:
        """Store what is left: nothing will be added."""
        for place in list(self.pending):
            self._store_shard(place)

    def _lies_in(self, place: ShardPlace, level: int, row: int, col: int) -> bool:
        if place.level > level:
            return False
        side = self._plan.block << (level - place.level)  # pixels of the block at the level of the shard
        shard = (self._layout(place.level, place.track).shard or (0,))[-1]
        return shard <= side and (place.row * shard // side, place.col * shard // side) == (row, col)

    def _store_shard(self, place: ShardPlace) -> None:
        layout = self._layout(place.level, place.track)
        chunks = self.pending.pop(place)
        count = ((layout.shard or layout.chunk)[-1] // layout.chunk[-1]) ** 2
        with self._meter.stage("encode"):
            data = shards.encode_shard(chunks.get(number) for number in range(count))
        self._put(layout, place.level, place.track, place.row, place.col, data)

    def _put(self, layout: ArrayLayout, level: int, number: int, row: int, col: int, data: bytes) -> None:
        track = self._tracks[number]
        place, array = self._array(level, number)
        with self._meter.stage("store"):
            self._store.put(f"{array.path}/{layout.object_key(*track.index, row, col)}", data)
            self.records.append(Record(place, array.number((*track.index, row, col)), *manifest.checksum(data)))
        self._meter.stored(len(data))

    def _array(self, level: int, number: int) -> tuple[int, ArrayObjects]:
        key = (level, number)
        if key not in self._arrays:
            variable = self._tracks[number].variable
            names = [item.name for item in self._plan.variables]
            place = level * len(names) + names.index(variable.name)
            self._arrays[key] = place, array_objects(self._plan, place)
        return self._arrays[key]

    def _layout(self, level: int, number: int) -> ArrayLayout:
        key = (level, number)
        if key not in self._layouts:
            self._layouts[key] = self._plan.layout(level, self._tracks[number].variable)
        return self._layouts[key]


def array_at(plan: Plan, place: int) -> tuple[int, PlannedVariable]:
    """Return level and variable of an array by its number, see `Record`."""
    level, index = divmod(place, len(plan.variables))
    return level, plan.variables[index]


def array_objects(plan: Plan, place: int) -> ArrayObjects:
    """Return the objects of an array by its number, see `Record`."""
    level, variable = array_at(plan, place)
    path = store_module.join(plan.levels.levels[level].asset, variable.name)
    layout = plan.layout(level, variable)
    return ArrayObjects(path, layout.object_grid, layout.keys)


def arrays_of(plan: Plan) -> tuple[ArrayObjects, ...]:
    """Return the objects of all arrays of data, in the order of their numbers."""
    return tuple(array_objects(plan, place) for place in range(len(plan.levels.levels) * len(plan.variables)))


def _chunks_of(values: NDArray[Any], chunk: int, fill: float, scratch: Scratch) -> NDArray[Any]:
    """Cut a block into chunks, shape (row, col, row in chunk, column in chunk); beside the array they are fill."""
    height, width = values.shape
    rows, cols = -(-height // chunk), -(-width // chunk)
    if values.shape == (chunk, chunk) and values.flags.c_contiguous:
        return values[None, None]
    chunks = scratch.array("chunks", (rows, cols, chunk, chunk), values.dtype)
    if (height, width) == (rows * chunk, cols * chunk):
        chunks.swapaxes(1, 2)[:] = values.reshape(rows, chunk, cols, chunk)
        return chunks
    chunks.fill(fill)
    for row in range(rows):
        for col in range(cols):
            piece = values[row * chunk : (row + 1) * chunk, col * chunk : (col + 1) * chunk]
            chunks[row, col, : piece.shape[0], : piece.shape[1]] = piece
    return chunks
