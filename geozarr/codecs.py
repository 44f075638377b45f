"""Codecs of a chunk: read from a document, and undone in bounded memory.

Only a fixed list is decoded, each by a function of this module; a name in a document is never looked up anywhere
else. Before anything is unpacked, the size that the frame states is compared with the size that the array
declares, and every decoder writes into a buffer of exactly that size, so that a few bytes cannot become gigabytes.
What is decoded is written once, straight into the values that are handed out.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import google_crc32c
import numpy as np
from numcodecs import blosc, zstd

from geozarr.errors import LimitError, MetadataError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numpy.typing import NDArray

    Data: TypeAlias = bytes | memoryview

MAX_CHUNK = 64 * 2**20  # bytes, decoded; readers of trusted arrays may allow more
MAX_INDEX = 16 * 2**20  # bytes, one shard index
MAX_CODECS = 8  # codecs in a chain
STORED_SLACK = 64 * 2**10  # bytes that a stored chunk may have above 9/8 of its decoded size: headers, checksums
ABSENT = 2**64 - 1  # offset and length of a chunk that a shard does not hold (sharding_indexed v1.0)

_CRC32C = "crc32c"
_MAX_MEMBERS = 16  # of a gzip stream (RFC 1952, 2.2); each costs a copy of what follows it
_CRC_BYTES = 4
# The crc32c of any bytes followed by their own crc32c, little-endian: what a division without remainder leaves.
_CRC_RESIDUE = 0x48674BC7
_BLOSC_HEADER = struct.Struct("<BBBBIII")  # versions, flags, typesize, nbytes, blocksize, cbytes (c-blosc 1, README)
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1


class DamagedChunkError(ValueError):
    """The bytes of a chunk are not what its codecs wrote; the reader adds where."""


@dataclass(frozen=True)
class CodecChain:
    """What turns the stored bytes of one chunk into values.

    Parameters
    ----------
    dtype : numpy.dtype
        In the byte order of the stored values.
    shape : tuple of int
        Shape of a chunk.
    packers : tuple of str
        Names of the bytes-to-bytes codecs, in the order in which the writer applied them.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    packers: tuple[str, ...]

    @property
    def decoded_bytes(self) -> int:
        """Size of the values of one chunk."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def most_stored_bytes(self) -> int:
        """Largest size that a stored chunk may have: no codec here enlarges incompressible data by 1/8."""
        return self.decoded_bytes + self.decoded_bytes // 8 + STORED_SLACK

    def decode(self, data: Data) -> NDArray[Any]:
        """Undo the codecs.

        Parameters
        ----------
        data : bytes or memoryview of bytes
            The stored chunk.

        Returns
        -------
        ndarray
            Read-only values of the shape and dtype of the chain, in the machine's byte order.

        Raises
        ------
        LimitError
            If the stored chunk, or what a frame says it unpacks to, is larger than declared.
        DamagedChunkError
            If a checksum does not agree, or the bytes do not unpack to the declared size.
        """
        values = np.empty(self.shape, self.dtype.newbyteorder("="))
        self.decode_into(data, values)
        values.flags.writeable = False
        return values

    def decode_into(self, data: Data, values: NDArray[Any]) -> None:
        """Undo the codecs, writing into an array.

        Parameters
        ----------
        data : bytes or memoryview of bytes
            The stored chunk.
        values : ndarray
            Of the shape of the chain and its dtype in the machine's byte order, in C order.
            Where this raises, it holds rubbish.

        Raises
        ------
        LimitError, DamagedChunkError
            As `decode`.
        """
        if len(data) > self.most_stored_bytes:
            raise LimitError("stored chunk in bytes", allowed=self.most_stored_bytes, found=len(data))
        target = values.reshape(-1).view(np.uint8).data
        for step, name in reversed(list(enumerate(self.packers))):
            # Only the first packer holds the values themselves; the size of what lies between two is not declared.
            data = _UNPACK[name](data, self.most_stored_bytes, target if step == 0 else None)
        if data is not target:
            if len(data) != self.decoded_bytes:
                raise DamagedChunkError(f"unpacks to {len(data)} bytes instead of {self.decoded_bytes}")
            target[:] = data
        if not self.dtype.isnative:
            values.byteswap(inplace=True)


@dataclass(frozen=True)
class ShardIndex:
    """Where the index of a shard is, and how it is checked.

    Parameters
    ----------
    shape : tuple of int
        Chunks of a shard along each axis.
    at_end : bool
        True where the index follows the chunks.
    has_checksum : bool
        True where a crc32c follows the index.
    """

    shape: tuple[int, ...]
    at_end: bool = True
    has_checksum: bool = True

    @property
    def stored_bytes(self) -> int:
        """Size of the stored index."""
        return 16 * math.prod(self.shape) + _CRC_BYTES * self.has_checksum

    def decode(self, data: Data) -> NDArray[np.uint64]:
        """Read an index.

        Returns
        -------
        ndarray of uint64, shape (*chunks along each axis, 2)
            Offset and length in bytes; `ABSENT` twice where there is no chunk.

        Raises
        ------
        DamagedChunkError
            If it is short or its checksum does not agree.
        """
        if len(data) != self.stored_bytes:
            raise DamagedChunkError(f"the shard holds {len(data)} bytes of an index of {self.stored_bytes}")
        if self.has_checksum:
            data = _check_crc32c(data, len(data), None)
        return np.frombuffer(data, dtype="<u8").reshape(*self.shape, 2)


@dataclass(frozen=True)
class Storage:
    """How the chunks of an array lie in its stored objects.

    Parameters
    ----------
    chain : CodecChain
        Codecs of one chunk.
    object_shape : tuple of int
        Cells of a stored object: of the chunk itself, or of a shard.
    index : ShardIndex or None
        None where each chunk is an object.
    """

    chain: CodecChain
    object_shape: tuple[int, ...]
    index: ShardIndex | None = None

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Cells of a chunk."""
        return self.chain.shape


def read_storage(
    codecs: Any, *, dtype: np.dtype[Any], object_shape: tuple[int, ...], node: str, max_chunk: int = MAX_CHUNK
) -> Storage:
    """Read the `codecs` of an array document.

    Parameters
    ----------
    codecs : object
        What stands in the document.
    dtype : numpy.dtype
        Data type of the array.
    object_shape : tuple of int
        `chunk_shape` of the chunk grid.
    node : str
        Path of the array, for messages.
    max_chunk : int
        Largest size of one chunk, decoded, in bytes.

    Raises
    ------
    MetadataError
        If the chain is malformed, or a shard is no multiple of its chunk.
    UnsupportedError
        If a codec is not one of those of this module, an index is big-endian, or shards hold shards.
    LimitError
        If a chunk, an index or the chain is larger than its limit.
    """
    steps = _steps(codecs, node)
    if steps[0][0] != "sharding_indexed":
        return Storage(_chain(steps, dtype, object_shape, node, max_chunk), object_shape)
    if len(steps) > 1:
        raise UnsupportedError(f"codec {steps[1][0]!r} after 'sharding_indexed' at {node}", "a shard is read in parts")
    configuration = steps[0][1]
    chunk_shape = _shape(configuration.get("chunk_shape"), len(object_shape), f"{node} sharding_indexed", "chunk_shape")
    if any(side % chunk for side, chunk in zip(object_shape, chunk_shape, strict=True)):
        expected = f"a divisor of the shard {object_shape}"
        raise MetadataError(node, "sharding_indexed.chunk_shape", found=chunk_shape, expected=expected)
    inner = _steps(configuration.get("codecs"), node)
    if inner[0][0] == "sharding_indexed":
        raise UnsupportedError(f"a shard of shards at {node}", "chunks lie in shards of one depth")
    location = configuration.get("index_location", "end")
    if location not in ("start", "end"):
        raise MetadataError(node, "sharding_indexed.index_location", found=location, expected="'start' or 'end'")
    counts = tuple(side // chunk for side, chunk in zip(object_shape, chunk_shape, strict=True))
    checked = _index_has_checksum(_steps(configuration.get("index_codecs"), node), node)
    index = ShardIndex(counts, at_end=location == "end", has_checksum=checked)
    if index.stored_bytes > MAX_INDEX:
        raise LimitError("shard index in bytes", allowed=MAX_INDEX, found=index.stored_bytes)
    return Storage(_chain(inner, dtype, chunk_shape, node, max_chunk), object_shape, index)


def _steps(codecs: Any, node: str) -> list[tuple[str, dict[str, Any]]]:
    """Split a codec chain into names and configurations."""
    if not isinstance(codecs, list) or not codecs:
        raise MetadataError(node, "codecs", found=codecs, expected="an array of at least one codec")
    if len(codecs) > MAX_CODECS:
        raise LimitError("codecs in a chain", allowed=MAX_CODECS, found=len(codecs))
    steps = []
    for item in codecs:
        document = {"name": item} if isinstance(item, str) else item  # the short form of Zarr core 3.1
        name = document.get("name") if isinstance(document, dict) else None
        configuration = document.get("configuration", {}) if isinstance(document, dict) else None
        if not isinstance(name, str) or not isinstance(configuration, dict):
            raise MetadataError(node, "codecs[]", found=item, expected="an object with a name and a configuration")
        steps.append((name, configuration))
    return steps


def _chain(
    steps: list[tuple[str, dict[str, Any]]], dtype: np.dtype[Any], shape: tuple[int, ...], node: str, max_chunk: int
) -> CodecChain:
    (first, configuration), *packers = steps
    if first != "bytes":
        raise UnsupportedError(f"codec {first!r} at {node}", "the first codec of a chunk is 'bytes'")
    order = _byte_order(configuration, dtype, node)
    for name, _ in packers:
        if name not in _UNPACK:
            raise UnsupportedError(f"codec {name!r} at {node}", f"known: {', '.join(sorted(_UNPACK))}")
    chain = CodecChain(dtype.newbyteorder(order), shape, tuple(name for name, _ in packers))
    if chain.decoded_bytes > max_chunk:
        raise LimitError("decoded chunk in bytes", allowed=max_chunk, found=chain.decoded_bytes)
    return chain


def _byte_order(configuration: dict[str, Any], dtype: np.dtype[Any], node: str) -> Literal["<", ">"]:
    endian = configuration.get("endian", "little" if dtype.itemsize == 1 else None)
    if endian not in ("little", "big"):
        raise MetadataError(node, "codecs[].configuration.endian", found=endian, expected="'little' or 'big'")
    return "<" if endian == "little" else ">"


def _index_has_checksum(steps: list[tuple[str, dict[str, Any]]], node: str) -> bool:
    names = [name for name, _ in steps]
    if names not in (["bytes"], ["bytes", _CRC32C]):
        raise UnsupportedError(
            f"index codecs {names} at {node}", "an index is 'bytes', and 'crc32c' where it is checked"
        )
    if _byte_order(steps[0][1], np.dtype("u8"), node) == ">":
        raise UnsupportedError(f"a big-endian index at {node}", "indexes are little-endian")
    return _CRC32C in names


def _shape(value: Any, count: int, node: str, key: str) -> tuple[int, ...]:
    sides = value if isinstance(value, list) else []
    if len(sides) != count or not all(type(side) is int and side >= 1 for side in sides):
        raise MetadataError(node, key, found=value, expected=f"{count} whole numbers of at least 1")
    return tuple(sides)


# Each of these undoes one packer. `most` bounds what comes out; where a `target` is given, exactly that many bytes must
# come out, and decoders that can write into it, and return it.


def _check_crc32c(data: Data, _most: int, _target: memoryview | None) -> Data:
    """Take off the checksum that follows the data (Zarr crc32c codec: four bytes, little-endian)."""
    whole = data if isinstance(data, bytes) else bytes(data)  # all that the library takes
    if len(whole) < _CRC_BYTES or google_crc32c.value(whole) != _CRC_RESIDUE:
        raise DamagedChunkError("fails its crc32c checksum")
    return memoryview(data)[:-_CRC_BYTES]


def _unpack_blosc(data: Data, most: int, target: memoryview | None) -> Data:
    if len(data) < _BLOSC_HEADER.size:
        raise DamagedChunkError("is shorter than a blosc header")
    *_, unpacked, _, packed = _BLOSC_HEADER.unpack_from(data)
    if packed != len(data):
        raise DamagedChunkError(f"holds {len(data)} of the {packed} bytes of its blosc frame")
    # numcodecs runs blosc's own threads only when called from the main thread, so requests, which run in a pool,
    # each use one core.
    return _into(blosc.decompress, data, _room("blosc", unpacked, most, target))


def _unpack_zstd(data: Data, most: int, target: memoryview | None) -> Data:
    unpacked = _zstd_content_size(data)
    if unpacked is None:
        # Streaming writers leave the size out; the buffer bounds what comes, and a wrong size is an error.
        if target is None:
            raise DamagedChunkError("has a zstd frame of unknown size below another codec")
        unpacked = len(target)
    return _into(zstd.decompress, data, _room("zstd", unpacked, most, target))


def _zstd_content_size(data: Data) -> int | None:
    """Content size that a zstd frame states (RFC 8878, 3.1.1.1); None where it states none."""
    if data[:4] != _ZSTD_MAGIC or len(data) < 6:
        raise DamagedChunkError("has no zstd frame")
    descriptor = data[4]
    is_single_segment = bool(descriptor & 0x20)
    width = (int(is_single_segment), 2, 4, 8)[descriptor >> 6]
    if width == 0:
        return None
    start = 5 + (0 if is_single_segment else 1) + (0, 1, 2, 4)[descriptor & 3]
    field = data[start : start + width]
    if len(field) < width:
        raise DamagedChunkError("ends within its zstd header")
    return int.from_bytes(field, "little") + (256 if width == 2 else 0)


def _unpack_gzip(data: Data, most: int, target: memoryview | None) -> Data:
    size = most if target is None else len(target)
    parts: list[bytes] = []
    unpacked, left = 0, data
    while not parts or left:
        if len(parts) == _MAX_MEMBERS:
            raise DamagedChunkError(f"has more after {_MAX_MEMBERS} members of a gzip stream")
        decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            # gzip states its size only at the end, and only modulo 2**32: the decoder is stopped one byte too late.
            parts.append(decoder.decompress(left, size - unpacked + 1))
        except zlib.error as error:
            raise DamagedChunkError("has bytes that are no gzip stream") from error
        unpacked += len(parts[-1])
        if unpacked > size:
            break
        if not decoder.eof:
            raise DamagedChunkError("is a gzip stream that is cut")
        left = decoder.unused_data
    _require_size("gzip", unpacked, most, target)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _room(codec: str, unpacked: int, most: int, target: memoryview | None) -> memoryview:
    """Return where a frame is unpacked to; the size that it states is compared before anything is allocated."""
    _require_size(codec, unpacked, most, target)
    return memoryview(bytearray(unpacked)) if target is None else target


def _require_size(codec: str, found: int, most: int, target: memoryview | None) -> None:
    size = most if target is None else len(target)
    if found > size:
        raise LimitError(f"bytes in a {codec} frame", allowed=size, found=found)
    if target is not None and found != size:
        raise DamagedChunkError(f"unpacks to {found} bytes instead of {size}")


def _into(decompress: Callable[[Data, memoryview], Any], data: Data, room: memoryview) -> memoryview:
    try:
        decompress(data, room)
    except (RuntimeError, ValueError) as error:
        raise DamagedChunkError("does not unpack") from error
    return room


_UNPACK = {_CRC32C: _check_crc32c, "blosc": _unpack_blosc, "gzip": _unpack_gzip, "zstd": _unpack_zstd}
