"""Chunks of a Zarr v3 array in a folder, decoded on the calling thread into the values that are handed out."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geozarr import codecs, documents
from geozarr.errors import ChunkReadError, GeoZarrError, LimitError
from geozarr.shards import Shard
from geozarr.store import decode_document
from geozarr.stored_array import read_stored_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from geozarr import Window
    from geozarr.stored_array import StoredArray
    from pyramids.sources.source import SourceVariable

MAX_CHUNK = 2**31  # bytes of one chunk, decoded; blosc frames hold no more
INDEX_CACHE = 4 * 2**20  # bytes of shard indexes that are kept
MOST_INDEXES = 4096  # shards whose indexes are read to tell which chunks are there: a tenth of a second


class Target(NamedTuple):
    """Where one slice goes: its place along the leading axes, and an array of the window's shape."""

    place: tuple[int, ...]
    values: NDArray[Any]


class Chunks:
    """Chunks of one Zarr v3 array in a folder.

    Parameters
    ----------
    folder : Path
        Of the array.
    name : str
        Of store and variable, for messages.
    array : StoredArray
        How it is stored.
    """

    def __init__(self, folder: Path, name: str, array: StoredArray) -> None:
        self._folder = folder
        self._name = name
        self._array = array
        self._storage = array.storage
        self._indexes: OrderedDict[str, Shard | None] = OrderedDict()
        self._lock = threading.Lock()  # on `_indexes` alone; nothing is read or decoded under it

    @property
    def fill(self) -> Any:
        """Value of absent chunks."""
        return self._array.fill_value

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of a chunk."""
        rows, cols = self._storage.chunk_shape[-2:]
        return rows, cols

    def read(self, window: Window, targets: Sequence[Target]) -> None:
        """Read a window of some slices into their targets.

        Raises
        ------
        ChunkReadError
            If a chunk is damaged or cannot be read.
        """
        depths = self._storage.chunk_shape[:-2]
        together: dict[tuple[int, ...], list[Target]] = {}
        for place, values in targets:
            outer = tuple(number // depth for number, depth in zip(place, depths, strict=True))
            inner = tuple(number % depth for number, depth in zip(place, depths, strict=True))
            together.setdefault(outer, []).append(Target(inner, values))
        scratch: NDArray[Any] | None = None
        for outer, group in together.items():
            for row, col in self._chunks_of(window):
                scratch = self._read_chunk((*outer, row, col), window, group, scratch)

    def _chunks_of(self, window: Window) -> Iterator[tuple[int, int]]:
        height, width = self.block_shape
        rows = range(window.row // height, -(-window.row_stop // height))
        cols = range(window.col // width, -(-window.col_stop // width))
        return itertools.product(rows, cols)

    def _read_chunk(
        self, index: tuple[int, ...], window: Window, targets: Sequence[Target], scratch: NDArray[Any] | None
    ) -> NDArray[Any] | None:
        """Put one chunk where it belongs; return memory that the next chunk can be decoded into."""
        height, width = self.block_shape
        top, left = index[-2] * height, index[-1] * width
        rows = slice(max(window.row, top), min(window.row_stop, top + height))
        cols = slice(max(window.col, left), min(window.col_stop, left + width))
        parts = [
            values[rows.start - window.row : rows.stop - window.row, cols.start - window.col : cols.stop - window.col]
            for _, values in targets
        ]
        data = self._load(index)
        if data is None:
            for part in parts:
                part[...] = self.fill
            return scratch
        shape = self._storage.chunk_shape
        if len(parts) == 1 and parts[0].size == math.prod(shape) and parts[0].flags.c_contiguous:
            self._decode(data, index, parts[0].reshape(shape))  # a whole chunk of one slice: nothing is copied
            return scratch
        if scratch is None:
            scratch = np.empty(shape, self._array.dtype)
        self._decode(data, index, scratch)
        within = np.s_[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]
        for part, (place, _) in zip(parts, targets, strict=True):
            part[...] = scratch[place][within]
        return scratch

    def _decode(self, data: bytes, index: tuple[int, ...], values: NDArray[Any]) -> None:
        try:
            self._storage.chain.decode_into(data, values)
        except (codecs.DamagedChunkError, LimitError) as error:
            raise self._damaged(index, str(error)) from error

    def _load(self, index: tuple[int, ...]) -> bytes | None:
        """Read the stored bytes of a chunk; None where it is not stored."""
        try:
            if self._storage.index is not None:
                return self._load_from_shard(index, self._storage.index)
            found = self._read_file(self._array.keys.key(index), most=self._storage.chain.most_stored_bytes)
        except (codecs.DamagedChunkError, LimitError, OSError) as error:
            raise self._damaged(index, str(error)) from error
        return None if found is None else found[0]

    def _load_from_shard(self, index: tuple[int, ...], layout: codecs.ShardIndex) -> bytes | None:
        key = self._array.keys.key(tuple(number // count for number, count in zip(index, layout.shape, strict=True)))
        shard = self._index(key, layout)
        if shard is None:
            return None
        inner = tuple(number % count for number, count in zip(index, layout.shape, strict=True))
        offset, length = map(int, shard.entries[inner])
        if offset == length == codecs.ABSENT:
            return None
        if offset + length > shard.size:
            raise codecs.DamagedChunkError(f"bytes {offset} to {offset + length} of {key}, which has {shard.size}")
        found = self._read_file(key, offset=offset, length=length, most=self._storage.chain.most_stored_bytes)
        if found is None:
            raise codecs.DamagedChunkError(f"{key} is gone since its index was read")
        return found[0]

    def _damaged(self, index: tuple[int, ...], reason: str) -> ChunkReadError:
        return ChunkReadError(self._name, ".".join(map(str, index)), f"cannot be read: {reason}")

    def _index(self, key: str, layout: codecs.ShardIndex) -> Shard | None:
        """Return the index of a shard, read or kept; None where there is no such shard."""
        with self._lock:
            if key in self._indexes:
                self._indexes.move_to_end(key)
                return self._indexes[key]
        length = layout.stored_bytes
        found = self._read_file(key, offset=-length if layout.at_end else 0, length=length, most=length)
        index = None if found is None else Shard(layout.decode(found[0]), found[1])
        with self._lock:
            self._indexes[key] = index
            while len(self._indexes) * length > INDEX_CACHE and len(self._indexes) > 1:
                self._indexes.popitem(last=False)
        return index

    def _read_file(
        self, key: str, *, most: int, offset: int = 0, length: int | None = None
    ) -> tuple[bytes, int] | None:
        """Read a range of an object, by default all of it; return it and the size of the object; None if there is none.

        A negative offset counts from the end.
        """
        try:
            with (self._folder / key).open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                wanted = size if length is None else length
                if wanted > most:
                    raise LimitError("stored chunk in bytes", allowed=most, found=wanted)
                file.seek(offset if offset >= 0 else max(0, size + offset))
                data = file.read(wanted)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if len(data) != wanted:
            raise codecs.DamagedChunkError(f"{key} gives {len(data)} of {wanted} bytes")
        return data, size

    def coverage(self) -> NDArray[np.bool_]:
        """Tell which chunks are stored, whatever their place along the leading axes.

        Returns
        -------
        ndarray of bool, shape (rows of chunks, columns of chunks)
        """
        covered = np.zeros(_counts(self._array.shape[-2:], self.block_shape), np.bool_)
        layout = self._storage.index
        objects = list(self._stored_objects())
        reads_indexes = layout is not None and len(objects) <= MOST_INDEXES
        rows, cols = (1, 1) if layout is None else layout.shape[-2:]
        for index in objects:
            place = covered[index[-2] * rows : (index[-2] + 1) * rows, index[-1] * cols : (index[-1] + 1) * cols]
            if layout is None or not reads_indexes:
                place[...] = True
                continue
            try:
                shard = self._index(self._array.keys.key(index), layout)
            except (codecs.DamagedChunkError, LimitError, OSError):
                place[...] = True  # whoever reads there is told what is wrong
                continue
            if shard is not None:
                present = (shard.entries != codecs.ABSENT).any(axis=-1).reshape(-1, rows, cols).any(axis=0)
                place |= present[: place.shape[0], : place.shape[1]]
        return covered

    def _stored_objects(self) -> Iterator[tuple[int, ...]]:
        """List the objects that belong to the array, as their index along each axis, by their names alone."""
        counts = _counts(self._array.shape, self._storage.object_shape)
        for folder, _, names in os.walk(self._folder):
            below = Path(folder).relative_to(self._folder).parts
            for name in names:
                index = self._array.keys.index_of("/".join((*below, name)), counts)
                if index is not None:
                    yield index


def open_chunks(store: Path, variable: SourceVariable, full: tuple[int, ...]) -> Chunks | None:
    """Read how an array is stored; None where it is one that is left to xarray."""
    folder = store / variable.name
    node = f"{store} {variable.name}"
    try:
        document = decode_document((folder / documents.DOCUMENT).read_bytes(), node=node)
        if document.get("node_type") != "array":
            return None
        if documents.dtype_of(document, node=node) != variable.dtype or document.get("shape") != list(full):
            return None
        if document.get("fill_value") is None:
            return None
        array = read_stored_array(document, "", full, variable.dtype, max_chunk=MAX_CHUNK)
    except (OSError, GeoZarrError):  # xarray has opened it, so it is for xarray to read it or to say what is wrong
        return None
    return Chunks(folder, node, array)


def _counts(shape: tuple[int, ...], block: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-size // side) for size, side in zip(shape, block, strict=True))
