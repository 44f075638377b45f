"""Chunks in a shard: its index by one request, and then each chunk by one (sharding_indexed v1.0)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geozarr.codecs import ABSENT, DamagedChunkError
from geozarr.errors import LimitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geozarr.codecs import ShardIndex
    from geozarr.stores import Store


@dataclass(frozen=True)
class Shard:
    """Index of a stored shard.

    Parameters
    ----------
    entries : ndarray of uint64, shape (*chunks along each axis, 2)
        Offset and length in bytes.
    size : int
        Size of the shard in bytes.
    """

    entries: NDArray[np.uint64]
    size: int


def read_index(store: Store, key: str, layout: ShardIndex) -> Shard | None:
    """Read the index of a shard; None where there is no such object.

    Raises
    ------
    DamagedChunkError
        If it is short or its checksum does not agree.
    StoreError
        If the store fails.
    """
    size = layout.stored_bytes
    where = {"last": size} if layout.at_end else {"length": size}
    found = store.get(key, **where, most=size)
    return None if found is None else Shard(layout.decode(found.data), found.size)


def read_chunk(store: Store, key: str, shard: Shard, inner: tuple[int, ...], most: int) -> bytes | None:
    """Read the stored bytes of one chunk of a shard.

    Parameters
    ----------
    store : Store
        Where.
    key : str
        Of the shard.
    shard : Shard
        Its index.
    inner : tuple of int
        Position of the chunk among those of the shard.
    most : int
        Bytes that it may have.

    Returns
    -------
    bytes or None
        None where the shard does not hold it.

    Raises
    ------
    LimitError
        If it is larger.
    DamagedChunkError
        If the shard is shorter than its index says.
    StoreError
        If the store fails.
    """
    offset, length = (int(number) for number in shard.entries[inner])
    if offset == ABSENT and length == ABSENT:
        return None
    if length > most:
        raise LimitError("stored chunk in bytes", allowed=most, found=length)
    if offset + length > shard.size:
        raise DamagedChunkError(f"lies beyond its shard: bytes {offset} to {offset + length} of {shard.size}")
    found = store.get(key, first=offset, length=length, most=length)
    if found is None or len(found.data) != length:
        size = 0 if found is None else len(found.data)
        raise DamagedChunkError(f"is shorter than the index of its shard says: {size} of {length} bytes")
    return found.data
