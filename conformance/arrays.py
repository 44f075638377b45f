"""Values of arrays: windows of any rank, read chunk by chunk in bounded memory.

Whatever a document or a chunk declares, no more is unpacked than a chunk of the array has (`geozarr.codecs`), and
nothing is allocated but the window and one chunk.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr import shards
from geozarr.codecs import DamagedChunkError
from geozarr.errors import ChunkReadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from geozarr.shards import Shard
    from geozarr.store import Store
    from geozarr.stored_array import StoredArray

_MOST_INDEXES = 4  # of shards, which are kept: as many as a window of a block mostly meets


@dataclass(frozen=True)
class ArrayReader:
    """An array whose values can be read.

    Parameters
    ----------
    stored : StoredArray
        What its document says.
    store : Store
        Where it is.
    """

    stored: StoredArray
    store: Store
    _indexes: dict[str, Shard | None] = field(default_factory=dict, repr=False)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values, in the machine's byte order."""
        return self.stored.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return self.stored.shape

    @property
    def chunks(self) -> tuple[int, ...]:
        """Cells of a chunk along each axis."""
        return self.stored.storage.chunk_shape

    @property
    def objects(self) -> tuple[int, ...]:
        """Cells of a stored object along each axis: of a chunk, or of a shard."""
        return self.stored.storage.object_shape

    def key(self, index: tuple[int, ...]) -> str:
        """Key of a stored object in the store, by its position in the grid of objects."""
        return self.stored.object_key(index)

    def read(self, window: tuple[range, ...]) -> NDArray[Any]:
        """Read a window.

        Parameters
        ----------
        window : tuple of range
            Cells along each axis, without steps, within the array.

        Returns
        -------
        ndarray
            Of the shape of the window; the fill value where no chunk is stored.

        Raises
        ------
        ChunkReadError
            If a chunk is damaged.
        LimitError
            If one is larger than the array declares.
        StoreError
            If the store fails.
        """
        found = np.full([len(cells) for cells in window], self.stored.fill_value, self.dtype)
        for index in self._met(window):
            values = self._chunk(index)
            if values is None:
                continue
            begins = [i * side for i, side in zip(index, self.chunks, strict=True)]
            from_, to = [], []
            for cells, begin, side in zip(window, begins, self.chunks, strict=True):
                first, stop = max(cells.start, begin), min(cells.stop, begin + side)
                from_.append(slice(first - begin, stop - begin))
                to.append(slice(first - cells.start, stop - cells.start))
            found[tuple(to)] = values[tuple(from_)]
        return found

    def is_stored(self, window: tuple[range, ...]) -> bool:
        """Tell whether all chunks that a window meets are stored; raises as `read` does."""
        return all(self._chunk(index) is not None for index in self._met(window))

    def _met(self, window: tuple[range, ...]) -> Iterator[tuple[int, ...]]:
        """List the chunks that a window meets."""
        sides = zip(window, self.chunks, strict=True)
        return itertools.product(*(range(cells.start // side, -(-cells.stop // side)) for cells, side in sides))

    def _chunk(self, index: tuple[int, ...]) -> NDArray[Any] | None:
        """Read a chunk; None where it is not stored."""
        storage = self.stored.storage
        try:
            data = self._stored_bytes(index)
            return None if data is None else storage.chain.decode(data)
        except DamagedChunkError as error:
            raise ChunkReadError(f"/{self.stored.path}", ".".join(map(str, index)), str(error)) from error

    def _stored_bytes(self, index: tuple[int, ...]) -> bytes | None:
        storage, most = self.stored.storage, self.stored.storage.chain.most_stored_bytes
        if storage.index is None:
            found = self.store.get(self.key(index), most=most)
            return None if found is None else found.data
        places = [divmod(i, count) for i, count in zip(index, storage.index.shape, strict=True)]
        key = self.key(tuple(place for place, _ in places))
        if key not in self._indexes:
            while len(self._indexes) >= _MOST_INDEXES:
                del self._indexes[next(iter(self._indexes))]
            self._indexes[key] = shards.read_index(self.store, key, storage.index)
        shard = self._indexes[key]
        inner = tuple(place for _, place in places)
        return None if shard is None else shards.read_chunk(self.store, key, shard, inner, most)
