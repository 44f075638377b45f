"""Chunks of a store: from an index to values by one request, through a cache.

An unsharded chunk is an object and is read whole. A chunk in a shard is a range of an object: the shard's index is
read once, kept, and then each chunk costs one range request. A chunk that is not stored is None: no data, never
zeros.
"""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from geozarr import manifest, shards
from geozarr.codecs import DamagedChunkError
from geozarr.errors import ChunkReadError
from geozarr.manifest import Manifest
from geozarr.shards import Shard
from geozarr.store import open_store
from geozarr.window import Window
from tiler import meter
from tiler.cache import BoundedCache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from geozarr.codecs import ShardIndex
    from geozarr.manifest import Reference
    from geozarr.store import StoreLike
    from geozarr.stored_array import StoredArray

_ENTRY_BYTES = 256  # what an entry of the cache costs beside its values: key, array header, list node


Cached: TypeAlias = "NDArray[Any] | Shard | None"


def cached_bytes(value: Cached) -> int:
    """Memory that a cached chunk, index, or their absence takes."""
    if value is None:
        return _ENTRY_BYTES
    return _ENTRY_BYTES + (value.entries.nbytes if isinstance(value, Shard) else value.nbytes)


def chunk_cache(capacity: int) -> BoundedCache[Cached]:
    """Make the cache that a `ChunkReader` needs, bounded in bytes; many readers may share it."""
    return BoundedCache(capacity, cached_bytes)


class ChunkReader:
    """Reads chunks of one version of one store.

    Parameters
    ----------
    store : obstore store
        Where the pyramid is.
    cache : BoundedCache
        From `chunk_cache`.
    version : object
        Set apart from every other store and version that shares the cache.
    reference : Reference, optional
        Where the manifest lies, where there is one: it tells an object that is lost from one that was never
        stored, and what was stored from what is there now.
    """

    def __init__(
        self,
        store: StoreLike,
        cache: BoundedCache[Cached],
        version: object,
        reference: Reference | None = None,
    ) -> None:
        self._store = open_store(store)
        self._cache = cache
        self._version = version
        self._reference = reference

    def read(self, array: StoredArray, index: tuple[int, ...]) -> NDArray[Any] | None:
        """Read one chunk.

        Parameters
        ----------
        array : StoredArray
            The array.
        index : tuple of int
            Position in the grid of chunks (of inner chunks, where the array has shards).

        Returns
        -------
        ndarray or None
            Read-only values of a whole chunk, also where it reaches beyond the array; None where it is not stored.

        Raises
        ------
        ChunkReadError
            If it is damaged.
        LimitError
            If it is larger than declared.
        StoreError
            If the store fails.
        """
        key = (self._version, array.path, index)
        with meter.reading():
            value = self._cache.get(key, lambda: self._load(array, index))
        assert not isinstance(value, Shard), "chunk keys and shard keys differ in length"
        return value

    def _load(self, array: StoredArray, index: tuple[int, ...]) -> NDArray[Any] | None:
        storage = array.storage
        name = ".".join(map(str, index))
        if storage.index is None:
            found = self._store.get(array.object_key(index), most=storage.chain.most_stored_bytes)
            data = None if found is None else found.data
            if data is None:
                self._require_empty(array, index, name)
            else:
                self._require_as_stored(array, index, name, data)
        else:
            data = self._get_from_shard(array, index, storage.index, name)
        if data is None:
            return None
        try:
            return storage.chain.decode(data)
        except DamagedChunkError as error:
            raise ChunkReadError(f"/{array.path}", name, str(error)) from error

    def _get_from_shard(
        self, array: StoredArray, index: tuple[int, ...], layout: ShardIndex, name: str
    ) -> bytes | None:
        object_index = tuple(i // count for i, count in zip(index, layout.shape, strict=True))
        key = array.object_key(object_index)
        shard = self._cache.get((self._version, key), lambda: self._load_index(array, key, layout, name))
        assert not isinstance(shard, np.ndarray), "chunk keys and shard keys differ in length"
        if shard is None:
            self._require_empty(array, object_index, name)
            return None
        inner = tuple(i % count for i, count in zip(index, layout.shape, strict=True))
        try:
            return shards.read_chunk(self._store, key, shard, inner, array.storage.chain.most_stored_bytes)
        except DamagedChunkError as error:
            raise ChunkReadError(f"/{array.path}", name, str(error)) from error

    def prepare(self) -> None:
        """Read the head of the manifest now, rather than with the first chunk; raises as reading a manifest does."""
        _ = self._manifest

    @cached_property
    def _manifest(self) -> Manifest | None:
        """The manifest, read with the first object that it has to speak for."""
        return None if self._reference is None else Manifest(self._store, self._reference)

    def _require_empty(self, array: StoredArray, object_index: tuple[int, ...], name: str) -> None:
        """Refuse to take an object for empty that was stored and is not there."""
        if self._manifest is not None and self._manifest.entry(array.path, object_index) is not None:
            raise ChunkReadError(f"/{array.path}", name, "is lost") from FileNotFoundError(
                array.object_key(object_index)
            )

    def _require_as_stored(self, array: StoredArray, index: tuple[int, ...], name: str, data: bytes) -> None:
        """Refuse a chunk of its own that is not what was stored: no codec in it notices most flipped bits."""
        entry = None if self._manifest is None else self._manifest.entry(array.path, index)
        if entry is not None:
            manifest.check(data, entry, array=f"/{array.path}", chunk=name)

    def _load_index(self, array: StoredArray, key: str, layout: ShardIndex, name: str) -> Shard | None:
        try:
            return shards.read_index(self._store, key, layout)
        except DamagedChunkError as error:
            raise ChunkReadError(f"/{array.path}", name, str(error)) from error


def chunks_of(array: StoredArray, window: Window) -> Iterator[tuple[tuple[int, int], Window]]:
    """List the chunks that a window of rows and columns meets.

    Parameters
    ----------
    array : StoredArray
        The array.
    window : Window
        Cells, within the array.

    Yields
    ------
    tuple of (int, int)
        Row and column of the chunk in the grid of chunks.
    Window
        The cells of that chunk, which may reach beyond the array.
    """
    height, width = array.storage.chunk_shape[-2:]
    rows = range(window.row // height, -(-window.row_stop // height))
    cols = range(window.col // width, -(-window.col_stop // width))
    for row, col in itertools.product(rows, cols):
        yield (row, col), Window(row * height, col * width, height, width)
