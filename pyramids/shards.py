"""Values -> the bytes of one stored object, in memory.

An object is either one chunk or a shard of many. A chunk's bytes are little-endian values, shuffled and compressed by
blosc as one block (`codec_for`). A shard is its chunks one after the other, each followed by its crc32c, then the
index: offset and length of each chunk in C order, 2**64 - 1 twice for an absent one, and the index's crc32c (zarr v3
sharding_indexed, index_location "end"). Bytes depend on the values alone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numcodecs import blosc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

ABSENT = 2**64 - 1
_SHUFFLES = {"noshuffle": blosc.NOSHUFFLE, "shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}


@dataclass(frozen=True)
class Codec:
    """How chunks are compressed by blosc's zstd.

    Parameters
    ----------
    shuffle : str
        "noshuffle", "shuffle" (of bytes) or "bitshuffle".
    clevel : int
        Level of zstd.
    """

    shuffle: str
    clevel: int = 1


def codec_for(dtype: np.dtype[Any], *, is_classes: bool = False) -> Codec:
    """Choose the codec of a dtype.

    Measured on elevation, imagery and land cover, one core, chunks of 256 x 256 px (docs/design.md): one block a chunk
    packs tighter and is 1.4 times as fast as blosc's own choice of blocks. Floats and wide integers pack best with
    their bytes shuffled, imagery of 8 and 16 bits with its bits shuffled, and classes, whose bits mean nothing, as they
    are.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the array.
    is_classes : bool
        True where values are codes.
    """
    if dtype.kind == "f":
        return Codec("shuffle")
    if dtype.itemsize == 1 and is_classes:
        return Codec("noshuffle", clevel=3)
    if dtype.itemsize == 1 or (dtype.name == "uint16" and not is_classes):
        return Codec("bitshuffle")
    return Codec("shuffle")


def chunk_codecs(
    dtype: np.dtype[Any], *, checksum: bool, size: int = 0, codec: Codec | None = None
) -> list[dict[str, Any]]:
    """Return the codec chain of one chunk, as `zarr.json` names it.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the array.
    checksum : bool
        Append crc32c: inside shards only, since GDAL up to 3.12 cannot read it outside.
    size : int
        Bytes of a chunk, which are one block; 0 leaves the size of blocks to blosc.
    codec : Codec, optional
        By default the dtype's.
    """
    chosen = codec or codec_for(dtype)
    endian = {} if dtype.itemsize == 1 else {"configuration": {"endian": "little"}}
    configuration = {
        "typesize": dtype.itemsize,
        "cname": "zstd",
        "clevel": chosen.clevel,
        "shuffle": chosen.shuffle,
        "blocksize": size,
    }
    chain: list[dict[str, Any]] = [{"name": "bytes", **endian}, {"name": "blosc", "configuration": configuration}]
    if checksum:
        chain.append({"name": "crc32c"})
    return chain


def use_one_thread_a_chunk() -> None:
    """Make blosc compress each chunk on the calling thread.

    Its own threads would fight the workers for the cores, and put blocks into a chunk in the order in which they
    finish, which makes the bytes differ from run to run.
    """
    blosc.use_threads = False


def encode_chunk(values: NDArray[Any], codec: Codec | None = None) -> bytes:
    """Compress one chunk, given whole, in C order, as one block; by default with the codec of its dtype."""
    chosen = codec or codec_for(values.dtype)
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    shuffle = _SHUFFLES[chosen.shuffle]
    compressed: bytes = blosc.compress(little, b"zstd", chosen.clevel, shuffle, little.nbytes)
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


def _crc32c(data: bytes) -> bytes:
    return struct.pack("<I", google_crc32c.value(data))
