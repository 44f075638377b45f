"""Source over a Zarr store: described by xarray, its pixels decoded straight from the stored objects.

xarray knows what the variables, coordinates and CRS are; its way to the pixels leads through an event loop and several
copies. So chunks of Zarr v3 arrays with common codecs are read here: one range of a file, decoded on the calling thread
into the values that are handed out, or copied there once. Anything else (Zarr v2, other codecs, other chunk grids, a
transposed array) is read through xarray, variable by variable.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geozarr import cf, codecs, documents
from geozarr import store as store_module
from geozarr.errors import (
    ChunkReadError,
    GeoZarrError,
    LimitError,
    MetadataError,
    UnsupportedError,
)
from geozarr.store import decode_document, join
from pyramids.sources import files, references
from pyramids.sources.array import ArraySource, Reading
from pyramids.sources.quirk import Quirk
from pyramids.sources.source import Pixels, largest_block, valid_where

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from geozarr import Window
    from pyramids.placement import AnyGrid
    from pyramids.sources.source import Slice, SourceVariable

MAX_CHUNK = 2**31  # bytes of one chunk, decoded; blosc frames hold no more
INDEX_CACHE = 4 * 2**20  # bytes of shard indexes that are kept
MOST_INDEXES = 4096  # shards whose indexes are read to tell which chunks are there: a tenth of a second


class ZarrSource:
    """Variables of a Zarr store that lie on one grid.

    Parameters
    ----------
    path : str or Path
        Folder of a group, a zip file, a URL, the address of an Icechunk repository, or kerchunk references in JSON.
    group : str
        Path of a group in it. Of a pyramid the finest level is taken.
    variables : sequence of str, optional
        Which variables; all on the grid by default.
    nodata : float or "none", optional
        Short for `reading` with that nodata.
    reading : Reading, optional
        What the user states.
    name : str, optional
        What it is called in messages and plans; by default its path.

    Raises
    ------
    StoreError
        If it cannot be opened.
    MetadataError, UnsupportedError, UnknownNameError
        As `ArraySource`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        group: str = "",
        variables: Sequence[str] | None = None,
        nodata: float | str | None = None,
        reading: Reading | None = None,
        name: str | None = None,
    ) -> None:
        reading = reading or Reading(nodata=nodata)
        self._opened_by = (str(path), group, variables, reading)
        found, inner, self._mended = open_dataset(path, group=group)
        self._name = name or (f"{path}/{inner}" if inner else str(path))
        described = ArraySource(found, variables=variables, reading=reading, name=self._name)
        self._described = described
        folder = Path(path) / inner
        self._arrays = tuple(
            _stored_array(folder, variable, described.stored_shape(index)) if described.is_stored(index) else None
            for index, variable in enumerate(described.variables)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the store itself, and may be at home in another folder.
        path, group, variables, reading = self._opened_by
        there = str(Path(path).absolute()) if Path(path).exists() else path
        opened_again = partial(ZarrSource, group=group, variables=variables, reading=reading, name=self._name)
        return opened_again, (there,)

    @property
    def name(self) -> str:
        """Path of the store."""
        return self._described.name

    @property
    def grid(self) -> AnyGrid:
        """The shared grid."""
        return self._described.grid

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """What was groomed."""
        return (*self._mended, *self._described.quirks)

    @property
    def variables(self) -> tuple[SourceVariable, ...]:
        """The variables chosen."""
        return self._described.variables

    @property
    def has_alpha(self) -> bool:
        """Always False: nodata values only."""
        return False

    @property
    def fingerprint(self) -> str:
        """A hash of the metadata."""
        return self._described.fingerprint

    @property
    def is_direct(self) -> tuple[bool, ...]:
        """For each variable, whether its chunks are decoded here and not through xarray."""
        return tuple(array is not None for array in self._arrays)

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of a chunk; of the chunk inside, where arrays have shards."""
        pairs = zip(self._arrays, self._described.block_shapes, strict=True)
        return largest_block([shape if array is None else array.block_shape for array, shape in pairs])

    @property
    def resident_bytes(self) -> int:
        """0: shard indexes are kept, which are small, but no pixels."""
        return 0

    def coverage(self) -> NDArray[np.bool_] | None:
        """List the chunks that are stored; see `Source.coverage`.

        None where a variable is not read directly, or where its fill value is data.
        """
        found: NDArray[np.bool_] | None = None
        for array, variable in zip(self._arrays, self.variables, strict=True):
            if array is None or valid_where(np.atleast_1d(array.fill), variable.nodata).any():
                return None
            covered = _in_blocks(array.coverage(), array.block_shape, self.block_shape, self.grid.shape)
            found = covered if found is None else found | covered
        return found

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:
        """Read slices; see `Source.read`. A chunk that holds several of them is decoded once."""
        dtype = self.variables[slices[0].variable].dtype
        values = np.empty((len(slices), *window.shape), dtype) if out is None else out
        for variable, group in itertools.groupby(enumerate(slices), key=lambda pair: pair[1].variable):
            array = self._arrays[variable]
            if array is None:
                for index, wanted in group:
                    values[index] = self._described.read_one(window, wanted)
                continue
            array.read(window, [_Target(self._described.place(wanted), values[index]) for index, wanted in group])
        return Pixels(values, self._described.valid(values, slices))


def open_zarr(
    path: str | Path,
    *,
    group: str = "",
    variables: Sequence[str] | None = None,
    nodata: float | str | None = None,
    reading: Reading | None = None,
) -> ZarrSource:
    """Open a Zarr store, lazily and packed, as a source; arguments and errors as `ZarrSource`."""
    return ZarrSource(path, group=group, variables=variables, nodata=nodata, reading=reading)


def open_dataset(path: str | Path, *, group: str = "") -> Found:
    """Open a group of a store as it is stored: packed, with times as numbers.

    Where the group is a pyramid, by whatever draft of `multiscales`, its finest level is opened.

    Parameters
    ----------
    path : str or Path
        A folder, a zip file, a URL, the address of an Icechunk repository, or a JSON document of kerchunk references.
    group : str
        Path of the group.

    Returns
    -------
    Found
        With the `proj:*` of the group above, where it has none (proj v0.1: one step).

    Raises
    ------
    StoreError
        If it cannot be opened.
    MetadataError
        If it holds groups alone, and none is said to be the finest.
    """
    is_references = "://" not in str(path) and references.is_references(Path(path))
    store = references.ReferenceStore(path) if is_references else store_module.open_store(path)
    folder = "" if any(store.get(key, length=1) is not None for key in _ROOTS) else _only(_groups(store, ""))
    if folder and group:
        group = group.removeprefix(folder).lstrip("/")
    where = f"{path}/{join(folder, group)}" if folder or group else str(path)
    _require_group(store, join(folder, group), where)
    dataset, quirks = _opened(store, folder, group, where)
    if folder:
        quirks = (Quirk("inner-group", str(path), f"a folder {folder}", "taken for the store"), *quirks)
    if any(variable.ndim > 1 for variable in dataset.variables.values()):
        return Found(dataset, join(folder, group), quirks)
    levels = _levels(dataset.attrs)
    if not levels:
        groups = _groups(store, join(folder, group))
        if not groups:
            return Found(dataset, join(folder, group), quirks)
        expected = "a group with rasters: choose one with group"
        raise MetadataError(where, "groups", found=groups, expected=expected)
    opened = []
    for name in levels:
        inner = join(group, name)
        level, more = _opened(store, folder, inner, f"{path}/{join(folder, inner)}")
        opened.append((max((variable.size for variable in level.variables.values()), default=0), level, inner, more))
    _, level, inner, more = max(opened, key=lambda item: item[0])
    for key, value in dataset.attrs.items():
        if key.startswith(("proj:", "spatial:dimensions")):
            level.attrs.setdefault(key, value)
    return Found(level, join(folder, inner), (*quirks, *more))


def _require_group(store: store_module.Store, path: str, where: str) -> None:
    """Refuse an array by itself, whose pixels nothing places; raises `MetadataError`."""
    found = store.get(join(path, documents.DOCUMENT), most=store_module.MAX_DOCUMENT)
    try:
        is_array = found is not None and decode_document(found.data, node=path).get("node_type") == "array"
    except GeoZarrError:
        return  # whoever opens it says what is wrong
    if is_array or store.get(join(path, ".zarray"), length=1) is not None:
        expected = "a group, whose arrays have coordinates"
        raise MetadataError(where, "node_type", found="an array by itself", expected=expected)


def _only(groups: tuple[str, ...]) -> str:
    return groups[0] if len(groups) == 1 else ""


def _opened(store: store_module.Store, folder: str, group: str, where: str) -> tuple[xr.Dataset, tuple[Quirk, ...]]:
    import xarray as xr  # noqa: PLC0415 - a quarter of a second, which builds from raster files need not pay

    from pyramids.sources.zarr_store import ReadableStore  # noqa: PLC0415 - imports zarr, which takes as long

    readable = ReadableStore(store, folder)
    with files.opening(where), warnings.catch_warnings():
        # Stores without consolidated metadata are read as well; that it takes longer is no news to the user.
        warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated", RuntimeWarning)
        warnings.filterwarnings("ignore", "Object at .* is not recognized as a component of a Zarr hierarchy")
        for consolidated in (None, False):
            # With "all" the grid mapping becomes a coordinate.
            found: xr.Dataset = xr.open_zarr(
                readable,
                group=group or None,
                chunks=None,
                mask_and_scale=False,
                decode_times=False,
                decode_coords="all",
                consolidated=consolidated,
            )
            if found.variables:
                break  # else the consolidated metadata may lack what is there
    return found, tuple(readable.quirks)


class Found(NamedTuple):
    """A group that was opened, its path, and what was put right in its documents."""

    dataset: xr.Dataset
    group: str
    quirks: tuple[Quirk, ...]


_ROOTS = (documents.DOCUMENT, ".zgroup", ".zarray", ".zmetadata")
_MOST_LEVELS = 40  # of a pyramid that are looked at for the finest


def _levels(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Name levels of `multiscales` of which one is the finest: of v0.1, of the drafts of 2025, or of ndpyramid's list.

    A level that is derived of another is not.
    """
    stated = attributes.get("multiscales")
    levels = stated.get("layout") if isinstance(stated, dict) else None
    if isinstance(stated, list) and stated and isinstance(stated[0], dict):
        levels = stated[0].get("datasets")
    known = [level for level in levels if isinstance(level, dict)] if isinstance(levels, list) else []
    found = [
        name
        for level in known
        for name in [next((level[key] for key in ("asset", "path", "id") if key in level), None)]
        if "derived_from" not in level and isinstance(name, str) and all(map(is_name, name.split("/")))
    ]
    return tuple(dict.fromkeys(found))[:_MOST_LEVELS]


def _groups(store: store_module.Store, group: str) -> tuple[str, ...]:
    """Names of the groups directly below one."""
    try:
        names = store.children(group)
    except UnsupportedError:
        return ()
    return tuple(name for name in names if is_name(name) and _is_group(store, join(group, name)))


def _is_group(store: store_module.Store, path: str) -> bool:
    if store.get(join(path, ".zgroup"), length=1) is not None:
        return True
    found = store.get(join(path, documents.DOCUMENT), most=store_module.MAX_DOCUMENT)
    try:
        return found is not None and decode_document(found.data, node=path).get("node_type") == "group"
    except GeoZarrError:
        return False


def is_name(name: str) -> bool:
    """Tell whether Zarr v3 allows a node of that name (core, "Node names")."""
    return bool(name) and set(name) != {"."} and name[:2] != "__" and name[:1] != "."


class _Target(NamedTuple):
    """Where one slice goes: its place along the leading axes, and an array of the window's shape."""

    place: tuple[int, ...]
    values: NDArray[Any]


@dataclass(frozen=True)
class _Index:
    """Index of a stored shard, and the size of the shard in bytes."""

    entries: NDArray[np.uint64]
    size: int


class _StoredArray:
    """Chunks of one Zarr v3 array in a folder.

    Parameters
    ----------
    folder : Path
        Of the array.
    name : str
        Of store and variable, for messages.
    shape : tuple of int
        Cells along each axis.
    storage : Storage
        Chunks, shards and codecs.
    separator, prefix : str
        Of the keys of objects: `prefix` followed by the index along each axis.
    fill : numpy scalar
        Value of absent chunks.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        shape: tuple[int, ...],
        storage: codecs.Storage,
        separator: str,
        prefix: str,
        fill: Any,
    ) -> None:
        self._folder = folder
        self._name = name
        self._shape = shape
        self._storage = storage
        self._separator = separator
        self._prefix = prefix
        self.fill = fill
        self._indexes: OrderedDict[str, _Index | None] = OrderedDict()
        self._lock = threading.Lock()  # on `_indexes` alone; nothing is read or decoded under it

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of a chunk."""
        rows, cols = self._storage.chunk_shape[-2:]
        return rows, cols

    def read(self, window: Window, targets: Sequence[_Target]) -> None:
        """Read a window of some slices into their targets.

        Raises
        ------
        ChunkReadError
            If a chunk is damaged or cannot be read.
        """
        depths = self._storage.chunk_shape[:-2]
        together: dict[tuple[int, ...], list[_Target]] = {}
        for place, values in targets:
            outer = tuple(number // depth for number, depth in zip(place, depths, strict=True))
            inner = tuple(number % depth for number, depth in zip(place, depths, strict=True))
            together.setdefault(outer, []).append(_Target(inner, values))
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
        self, index: tuple[int, ...], window: Window, targets: Sequence[_Target], scratch: NDArray[Any] | None
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
            scratch = np.empty(shape, self._storage.chain.dtype.newbyteorder("="))
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
            found = self._read_file(self._key(index), most=self._storage.chain.most_stored_bytes)
        except (codecs.DamagedChunkError, LimitError, OSError) as error:
            raise self._damaged(index, str(error)) from error
        return None if found is None else found[0]

    def _load_from_shard(self, index: tuple[int, ...], layout: codecs.ShardIndex) -> bytes | None:
        key = self._key(tuple(number // count for number, count in zip(index, layout.shape, strict=True)))
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

    def _index(self, key: str, layout: codecs.ShardIndex) -> _Index | None:
        """Return the index of a shard, read or kept; None where there is no such shard."""
        with self._lock:
            if key in self._indexes:
                self._indexes.move_to_end(key)
                return self._indexes[key]
        length = layout.stored_bytes
        found = self._read_file(key, offset=-length if layout.at_end else 0, length=length, most=length)
        index = None if found is None else _Index(layout.decode(found[0]), found[1])
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

    def _key(self, object_index: tuple[int, ...]) -> str:
        return self._prefix + self._separator.join(map(str, object_index))

    def coverage(self) -> NDArray[np.bool_]:
        """Tell which chunks are stored, whatever their place along the leading axes.

        Returns
        -------
        ndarray of bool, shape (rows of chunks, columns of chunks)
        """
        covered = np.zeros(_counts(self._shape[-2:], self.block_shape), np.bool_)
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
                shard = self._index(self._key(index), layout)
            except (codecs.DamagedChunkError, LimitError, OSError):
                place[...] = True  # whoever reads there is told what is wrong
                continue
            if shard is not None:
                present = (shard.entries != codecs.ABSENT).any(axis=-1).reshape(-1, rows, cols).any(axis=0)
                place |= present[: place.shape[0], : place.shape[1]]
        return covered

    def _stored_objects(self) -> Iterator[tuple[int, ...]]:
        """List the objects that belong to the array, as their index along each axis, by their names alone."""
        counts = _counts(self._shape, self._storage.object_shape)
        for folder, _, names in os.walk(self._folder):
            below = Path(folder).relative_to(self._folder).parts
            for name in names:
                key = "/".join((*below, name))
                numbers = key.removeprefix(self._prefix).split(self._separator)
                if not key.startswith(self._prefix) or not all(number.isdecimal() for number in numbers):
                    continue
                index = tuple(map(int, numbers))
                if len(index) == len(counts) and all(i < count for i, count in zip(index, counts, strict=True)):
                    yield index


def _stored_array(store: Path, variable: SourceVariable, full: tuple[int, ...]) -> _StoredArray | None:
    """Read how an array is stored; None where it is one that is left to xarray."""
    folder = store / variable.name
    node = f"{store} {variable.name}"
    try:
        document = decode_document((folder / documents.DOCUMENT).read_bytes(), node=node)
        if document.get("node_type") != "array" or document.get("storage_transformers"):
            return None
        if documents.dtype_of(document, node=node) != variable.dtype or document.get("shape") != list(full):
            return None
        object_shape = documents.object_shape_of(document, rank=len(full), node=node)
        separator, prefix = documents.key_encoding_of(document, node=node)
        storage = codecs.read_storage(
            document.get("codecs"), dtype=variable.dtype, object_shape=object_shape, node=node, max_chunk=MAX_CHUNK
        )
        fill = cf.decode_fill_value(document.get("fill_value"), variable.dtype, node=node)
    except (OSError, GeoZarrError):  # xarray has opened it, so it is for xarray to read it or to say what is wrong
        return None
    return _StoredArray(folder, node, shape=full, storage=storage, separator=separator, prefix=prefix, fill=fill)


def _counts(shape: tuple[int, ...], block: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-size // side) for size, side in zip(shape, block, strict=True))


def _in_blocks(
    covered: NDArray[np.bool_], chunk: tuple[int, int], block: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Tell which blocks meet a chunk that is covered.

    Parameters
    ----------
    covered : ndarray of bool, shape (rows of chunks, columns of chunks)
        Which chunks are.
    chunk, block, shape : tuple of (int, int)
        Rows and columns of a chunk, of a block, and of the grid.

    Returns
    -------
    ndarray of bool, shape (rows of blocks, columns of blocks)
    """
    if chunk == block:
        return covered
    sums = np.zeros((covered.shape[0] + 1, covered.shape[1] + 1), np.int64)
    sums[1:, 1:] = covered.cumsum(axis=0).cumsum(axis=1)
    (tops, bottoms), (lefts, rights) = (
        _reach(size, chunk_side, block_side) for size, chunk_side, block_side in zip(shape, chunk, block, strict=True)
    )
    found = sums[np.ix_(bottoms, rights)] - sums[np.ix_(tops, rights)]
    found += sums[np.ix_(tops, lefts)] - sums[np.ix_(bottoms, lefts)]
    return np.asarray(found > 0)


def _reach(size: int, chunk: int, block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First chunk that each block meets along an axis, and the one after the last."""
    starts = np.arange(0, size, block)
    stops = np.minimum(starts + block, size)
    return starts // chunk, -(-stops // chunk)
