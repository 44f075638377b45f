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
import zarr.storage
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from conformance import values
from geozarr.errors import ChunkReadError

if TYPE_CHECKING:
    from conformance.context import Context
    from conformance.tree import Node
    from geozarr.store import Store

_MAX_CHUNK = 64 * 2**20  # bytes; the longest coordinate known has 8 MB
_CODECS = ("bytes", "blosc", "crc32c", "gzip", "zstd", "sharding_indexed")
# What zarr-python, numcodecs and obstore raise for a document or a chunk that cannot be decoded.
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, RuntimeError, OSError, BaseError, zarr.errors.BaseZarrError)


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
    if not _is_readable(context, variable):
        return None
    shape = context.shape(variable) or (0,)
    try:
        array = zarr.open_array(_opened(context.store), path=variable.path, mode="r", zarr_format=3)
        found = [np.asarray(array[index], dtype=np.float64).item() for index in positions(shape[0])]
    except _UNREADABLE as error:
        raise ChunkReadError(variable.path, "0", f"cannot be decoded: {type(error).__name__}") from error
    return tuple(found)


def _opened(store: Store) -> Any:
    """Open a store for zarr-python; a folder without obstore.

    Asked asynchronously, as zarr-python does, obstore answers from threads of its own. One that is still telling
    Python's event loop so when the interpreter ends aborts the process (seen in 2 of 100 checks on a busy machine).
    """
    if isinstance(store, LocalStore) and store.prefix is not None:
        return zarr.storage.LocalStore(store.prefix, read_only=True)
    adapter: Any = zarr.storage.ObjectStore  # its type variable fits no union of stores
    return adapter(store, read_only=True)


def _is_readable(context: Context, variable: Node) -> bool:
    """Tell whether a variable's own document is whole, and says nothing that is dangerous to obey."""
    shape = context.shape(variable)
    dtype = context.member(variable, "data_type", values.dtype)
    chunk = context.member(variable, "chunk_grid", values.chunk_shape)
    codecs = context.member(variable, "codecs", lambda found: found if isinstance(found, list) else None)
    if variable.fault or shape is None or len(shape) != 1 or dtype is None or chunk is None or codecs is None:
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
