"""Values and mask -> the bytes of one stored object, in memory.

An object is either one chunk or a shard of many. A chunk's bytes are little-endian values compressed by blosc (zstd
level 1 after a bit shuffle: on an elevation model four times as fast as zstd 3 after a byte shuffle, and smaller). A
shard is its chunks one after the other, each followed by its crc32c, then the index: offset and length of each chunk in
C order, 2**64 - 1 twice for an absent one, and the index's crc32c (zarr v3 sharding_indexed, index_location "end").
Bytes depend on the values alone.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numcodecs import blosc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

CLEVEL = 1
ABSENT = 2**64 - 1
_CODEC = {"cname": "zstd", "clevel": CLEVEL, "shuffle": "bitshuffle", "blocksize": 0}


def chunk_codecs(dtype: np.dtype[Any], *, checksum: bool) -> list[dict[str, Any]]:
    """Return the codec chain of one chunk, as `zarr.json` names it.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the array.
    checksum : bool
        Append crc32c: inside shards only, since GDAL up to 3.12 cannot read it outside.
    """
    endian = {} if dtype.itemsize == 1 else {"configuration": {"endian": "little"}}
    chain: list[dict[str, Any]] = [
        {"name": "bytes", **endian},
        {"name": "blosc", "configuration": {"typesize": dtype.itemsize, **_CODEC}},
    ]
    if checksum:
        chain.append({"name": "crc32c"})
    return chain


def use_one_thread_a_chunk() -> None:
    """Make blosc compress each chunk on the calling thread.

    Its own threads would fight the workers for the cores, and put blocks into a chunk in the order in which they
    finish, which makes the bytes differ from run to run.
    """
    blosc.use_threads = False


def encode_chunk(values: NDArray[Any]) -> bytes:
    """Compress one chunk, given whole, in C order."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    compressed: bytes = blosc.compress(little, b"zstd", CLEVEL, blosc.BITSHUFFLE)
    return compressed


def encode_shard(chunks: Iterable[bytes | None]) -> bytes:
    """Put encoded chunks into one object.

    Parameters
    ----------
    chunks : iterable of bytes or None
        Encoded chunks in C order of their place in the shard; None where a chunk has no data.
    """
    parts: list[bytes] = []
    index: list[int] = []
    offset = 0
    for chunk in chunks:
        if chunk is None:
            index += [ABSENT, ABSENT]
            continue
        part = chunk + _crc32c(chunk)
        parts.append(part)
        index += [offset, len(part)]
        offset += len(part)
    table = struct.pack(f"<{len(index)}Q", *index)
    return b"".join((*parts, table, _crc32c(table)))


def cut(
    values: NDArray[Any], valid: NDArray[np.bool_], *, chunk: int, side: int, fill: float
) -> list[NDArray[Any] | None]:
    """Cut the pixels of an object into chunks.

    Parameters
    ----------
    values, valid : ndarray, shape (row, col)
        Pixels from the object's first one on; at the edge of an array they may be fewer than the object holds.
    chunk, side : int
        Pixels along a side of a chunk, and of the object.
    fill : float
        Written beyond the edge of the array.

    Returns
    -------
    list of ndarray or None
        Chunks in C order; None where no pixel is valid.
    """
    pieces: list[NDArray[Any] | None] = []
    for row in range(0, side, chunk):
        for col in range(0, side, chunk):
            where = np.s_[row : row + chunk, col : col + chunk]
            if not valid[where].any():
                pieces.append(None)
                continue
            piece = values[where]
            if piece.shape != (chunk, chunk):
                whole = np.full((chunk, chunk), fill, values.dtype)
                whole[: piece.shape[0], : piece.shape[1]] = piece
                piece = whole
            pieces.append(piece)
    return pieces


def _crc32c(data: bytes) -> bytes:
    return struct.pack("<I", google_crc32c.value(data))
