"""Values of coordinate variables: the two ends and the middle, read through zarr-python.

A store may declare anything, so nothing is opened before its shape, chunk and codecs have been looked at: a chunk of
at most 64 MiB, coded by codecs of a fixed list. No document is changed, and no fill value is made up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
import zarr.errors
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.abc.store import Store as ZarrStore

from conformance import values
from geozarr.errors import ChunkReadError, GeoZarrError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from conformance.context import Context
    from conformance.tree import Node
    from geozarr.store import Store

_MAX_CHUNK = 64 * 2**20  # bytes; the longest coordinate known has 8 MB
_CODECS = ("bytes", "blosc", "crc32c", "gzip", "zstd", "sharding_indexed")
# What zarr-python, numcodecs and a store raise for a document or a chunk that cannot be decoded.
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    RuntimeError,
    OSError,
    GeoZarrError,
    zarr.errors.BaseZarrError,
)


def positions(size: int) -> tuple[int, ...]:
    """List the indices that are looked at: both ends and the middle, each once."""
    return tuple(dict.fromkeys((0, size // 2, size - 1))) if size else ()


def ends_and_middle(context: Context, variable: Node) -> tuple[float, ...] | None:
    """Read the values of a one-dimensional number array at `positions`.

    Returns
    -------
    tuple of float or None
        None where the array is none that is read here, or where a chunk of it cannot be decoded.
    """
    try:
        return read(context, variable)
    except ChunkReadError:
        return None


def read(context: Context, variable: Node) -> tuple[float, ...] | None:
    """Read as `ends_and_middle` does.

    Raises
    ------
    ChunkReadError
        If a chunk cannot be decoded.
    """
    shape = context.shape(variable)
    array = opened(context, variable) if shape is not None and len(shape) == 1 else None
    if array is None or shape is None:
        return None
    try:
        found = [np.asarray(array[index], dtype=np.float64).item() for index in positions(shape[0])]
    except UNREADABLE as error:
        raise ChunkReadError(variable.path, "0", f"cannot be decoded: {type(error).__name__}") from error
    return tuple(found)


def opened(context: Context, array: Node) -> zarr.Array[Any] | None:
    """Open an array; None where its document is not whole, or says what is dangerous to obey.

    Raises
    ------
    ChunkReadError
        If zarr-python refuses the document.
    """
    if not _is_readable(context, array):
        return None
    try:
        return zarr.open_array(_Readable(context.store), path=array.path, mode="r", zarr_format=array.version)
    except UNREADABLE as error:
        raise ChunkReadError(array.path, "", f"cannot be opened: {type(error).__name__}") from error


class _Readable(ZarrStore):
    """A store for zarr-python to read from, on the thread that asks.

    zarr-python's own adapter of obstore gets its answers from threads of obstore's. One that is still telling Python's
    event loop so when the interpreter ends aborts the process (seen in 2 of 100 checks on a busy machine).
    """

    supports_writes = supports_deletes = supports_listing = False

    def __init__(self, store: Store) -> None:
        super().__init__(read_only=True)
        self._store = store

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Readable) and self._store is other._store

    __hash__ = None  # type: ignore[assignment] # as that of its base

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        if byte_range is None:
            found = self._store.get(key, most=_MAX_CHUNK)
        elif isinstance(byte_range, RangeByteRequest):
            length = byte_range.end - byte_range.start
            found = self._store.get(key, first=byte_range.start, length=length, most=_MAX_CHUNK)
        elif isinstance(byte_range, SuffixByteRequest):
            found = self._store.get(key, last=byte_range.suffix, most=_MAX_CHUNK)
        else:
            found = self._store.get(key, first=byte_range.offset, most=_MAX_CHUNK)
        return None if found is None else prototype.buffer.from_bytes(found.data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, wanted) for key, wanted in key_ranges]

    async def exists(self, key: str) -> bool:
        return self._store.get(key, length=1) is not None

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def list(self) -> AsyncIterator[str]:
        raise NotImplementedError
        yield ""

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError
        yield prefix

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError
        yield prefix


def _is_readable(context: Context, variable: Node) -> bool:
    """Tell whether a variable's own document is whole, and says nothing that is dangerous to obey."""
    shape = context.shape(variable)
    dtype = context.member(variable, "data_type", values.dtype)
    chunk = context.member(variable, "chunk_grid", values.chunk_shape)
    codecs = context.member(variable, "codecs", lambda found: found if isinstance(found, list) else None)
    if variable.fault or shape is None or dtype is None or chunk is None or codecs is None:
        return False
    if context.member(variable, "fill_value", lambda value: values.fill_value(value, dtype)) is None:
        return False
    return math.prod(chunk) * dtype.itemsize <= _MAX_CHUNK and _are_known(codecs, 2)


def _are_known(codecs: Any, depth: int) -> bool:
    if not isinstance(codecs, list):
        return False
    for codec in codecs:
        found = values.extension(codec)
        if found is None or found[0] not in _CODECS:
            return False
        if found[0] == "sharding_indexed" and not (depth and _are_known(found[1].get("codecs"), depth - 1)):
            return False
    return True
