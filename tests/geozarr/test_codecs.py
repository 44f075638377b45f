from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib

import google_crc32c
import numpy as np
import pytest
from numcodecs import blosc, zstd

from geozarr.codecs import (
    ABSENT,
    MAX_CHUNK,
    STORED_SLACK,
    CodecChain,
    DamagedChunkError,
    ShardIndex,
    read_storage,
)
from geozarr.errors import LimitError, MetadataError, UnsupportedError

U2 = np.dtype("<u2")
VALUES = np.arange(64 * 64, dtype=U2).reshape(64, 64) * 7
RAW = VALUES.tobytes()
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
CRC = {"name": "crc32c"}
BLOSC = {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 1, "shuffle": "bitshuffle", "typesize": 2}}


def chain(*packers: str) -> CodecChain:
    return CodecChain(U2, (64, 64), packers)


def with_crc(data: bytes) -> bytes:
    return data + google_crc32c.value(data).to_bytes(4, "little")


def streamed_zstd(data: bytes) -> bytes:
    """One raw block (RFC 8878, 3.1.1.2) in a frame that leaves its content size out: window of 1 KiB x 2^16."""
    block = (len(data) << 3 | 0 << 1 | 1).to_bytes(3, "little") + data
    return b"\x28\xb5\x2f\xfd" + bytes([0x00, 0x58]) + block


PACKED = {
    (): RAW,
    ("blosc",): blosc.compress(RAW, b"zstd", 1, blosc.BITSHUFFLE),
    ("zstd",): zstd.compress(RAW, 1),
    ("gzip",): gzip.compress(RAW),
    ("crc32c",): with_crc(RAW),
    ("blosc", "crc32c"): with_crc(blosc.compress(RAW, b"lz4", 5, blosc.SHUFFLE)),
    ("gzip", "zstd"): zstd.compress(gzip.compress(RAW), 1),
    ("zstd", "blosc", "crc32c"): with_crc(blosc.compress(zstd.compress(RAW, 1), b"zstd", 1, blosc.NOSHUFFLE)),
}


@pytest.mark.parametrize("packers", PACKED)
def test_each_chain_gives_the_values_back(packers: tuple[str, ...]) -> None:
    found = chain(*packers).decode(PACKED[packers])
    assert found.dtype == U2
    assert np.array_equal(found, VALUES)
    assert not found.flags.writeable


@pytest.mark.parametrize("packers", PACKED)
def test_a_chunk_is_decoded_into_an_array_of_the_caller(packers: tuple[str, ...]) -> None:
    """The part of a larger buffer that holds it; from bytes, or from a view of them."""
    whole = np.zeros((3, 64, 64), U2)
    chain(*packers).decode_into(memoryview(b"--" + PACKED[packers])[2:], whole[1])
    assert np.array_equal(whole[1], VALUES)
    assert not whole[0].any()
    assert not whole[2].any()


@pytest.mark.parametrize("packers", PACKED)
@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f8"])
def test_big_endian_values_come_out_in_the_byte_order_of_the_machine(packers: tuple[str, ...], dtype: str) -> None:
    count = len(RAW) // np.dtype(dtype).itemsize
    big = CodecChain(np.dtype(dtype), (count,), packers)
    found = big.decode(PACKED[packers])
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    assert found.dtype.isnative
    assert np.array_equal(found, np.frombuffer(RAW, dtype), equal_nan=dtype == ">f8")


def test_the_residue_of_a_checksum_is_that_of_any_data() -> None:
    """Checked against the plain way: the checksum of what comes before it."""
    for size in (0, 1, 2, 3, 4, 100):
        assert CodecChain(np.dtype("u1"), (size,), ("crc32c",)).decode(with_crc(bytes(range(size)))).size == size


def test_a_zstd_frame_without_its_size_is_read() -> None:
    assert np.array_equal(chain("zstd").decode(streamed_zstd(RAW)), VALUES)


def test_a_zstd_frame_without_its_size_stops_at_the_declared_chunk() -> None:
    with pytest.raises(DamagedChunkError):
        chain("zstd").decode(streamed_zstd(RAW + b"\0\0"))


@pytest.mark.parametrize("packers", [packers for packers in PACKED if packers])
@pytest.mark.parametrize("keep", [0, 1, 3, 5, 15, 17, 0.5, -1])
def test_a_cut_chunk_is_damaged(packers: tuple[str, ...], keep: float) -> None:
    data = PACKED[packers]
    cut = data[: int(len(data) * keep)] if keep == 0.5 else data[: int(keep)]
    with pytest.raises(DamagedChunkError):
        chain(*packers).decode(cut)


@pytest.mark.parametrize("extra", [-2, 2])
def test_an_uncompressed_chunk_of_another_size_is_damaged(extra: int) -> None:
    with pytest.raises(DamagedChunkError):
        chain().decode((RAW + b"\0\0")[: len(RAW) + extra])


@pytest.mark.parametrize("packers", [("crc32c",), ("blosc", "crc32c"), ("zstd", "blosc", "crc32c")])
def test_every_flipped_bit_under_a_checksum_is_seen(packers: tuple[str, ...]) -> None:
    data = PACKED[packers]
    for position in np.random.default_rng(0).integers(0, 8 * len(data), 100):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << (position % 8)
        with pytest.raises(DamagedChunkError, match="crc32c"):
            chain(*packers).decode(bytes(flipped))


ZEROS = bytes(2**30 // 64)  # 16 MiB, 2000 times the declared chunk: enough to tell, little enough to make


@pytest.mark.parametrize(
    ("packer", "bomb"),
    [
        ("blosc", blosc.compress(ZEROS, b"zstd", 9, blosc.BITSHUFFLE)),
        ("zstd", zstd.compress(ZEROS, 9)),
        ("gzip", gzip.compress(ZEROS)),
    ],
)
def test_a_bomb_is_refused_by_the_size_it_unpacks_to(packer: str, bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(LimitError) as caught:
            chain(packer).decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2**20  # of the 16 MiB
    finally:
        tracemalloc.stop()
    assert caught.value.allowed == len(RAW)
    assert caught.value.found > len(RAW)


@pytest.mark.parametrize("packer", ["blosc", "zstd"])
def test_a_header_that_lies_allocates_nothing(packer: str) -> None:
    if packer == "blosc":
        lie = bytearray(PACKED[("blosc",)])
        struct.pack_into("<I", lie, 4, 2**31 - 17)
    else:
        lie = bytearray(b"\x28\xb5\x2f\xfd" + bytes([0xE0]) + (2**60).to_bytes(8, "little") + b"\x01\0\0")
    with pytest.raises(LimitError) as caught:
        chain(packer).decode(bytes(lie))
    assert caught.value.found in (2**31 - 17, 2**60)


def test_a_frame_that_unpacks_to_less_is_damaged() -> None:
    with pytest.raises(DamagedChunkError):
        chain("blosc").decode(blosc.compress(RAW[:-2], b"zstd", 1, blosc.BITSHUFFLE))


@pytest.mark.parametrize("packer", ["blosc", "gzip"])
def test_what_follows_a_frame_is_damage(packer: str) -> None:
    with pytest.raises(DamagedChunkError):
        chain(packer).decode(PACKED[(packer,)] + b"x")


def test_a_gzip_stream_may_have_members_but_not_without_end() -> None:
    """RFC 1952, 2.2, and what pigz and bgzip write."""
    parts = [gzip.compress(RAW[start : start + 4096]) for start in range(0, len(RAW), 4096)]
    few = [gzip.compress(RAW[:10]), gzip.compress(b""), gzip.compress(RAW[10:])]
    np.testing.assert_array_equal(chain("gzip").decode(b"".join(few)), chain("gzip").decode(gzip.compress(RAW)))
    with pytest.raises(DamagedChunkError):
        chain("gzip").decode(gzip.compress(RAW) + gzip.compress(b"") * 16)
    with pytest.raises(DamagedChunkError):
        chain("gzip").decode(b"".join(parts)[:-1])


def test_zlib_is_not_gzip() -> None:
    with pytest.raises(DamagedChunkError):
        chain("gzip").decode(zlib.compress(RAW))


def test_a_stored_chunk_may_be_an_eighth_larger_than_declared() -> None:
    most = len(RAW) + len(RAW) // 8 + STORED_SLACK
    assert chain().most_stored_bytes == most
    with pytest.raises(LimitError):
        chain("gzip").decode(bytes(most + 1))


def shard_document(**changes: object) -> list[object]:
    configuration = {
        "chunk_shape": [64, 64],
        "codecs": [BYTES, BLOSC, CRC],
        "index_codecs": [BYTES, CRC],
        "index_location": "end",
    }
    return [{"name": "sharding_indexed", "configuration": configuration | changes}]


def storage(codecs: object, shape: tuple[int, ...] = (128, 192), dtype: str = "u2") -> object:
    return read_storage(codecs, dtype=np.dtype(dtype), object_shape=shape, node="/9/count")


def test_a_shard_is_read_from_its_document() -> None:
    found = storage(shard_document())
    assert found.chunk_shape == (64, 64)
    assert found.object_shape == (128, 192)
    assert found.index == ShardIndex((2, 3), at_end=True, has_checksum=True)
    assert found.index.stored_bytes == 2 * 3 * 16 + 4
    assert found.chain.packers == ("blosc", "crc32c")


def test_an_index_without_checksum_at_the_start_is_read() -> None:
    found = storage(shard_document(index_codecs=[BYTES], index_location="start"))
    assert found.index == ShardIndex((2, 3), at_end=False, has_checksum=False)


@pytest.mark.parametrize(("endian", "order"), [("little", "<"), ("big", ">")])
def test_the_byte_order_is_that_of_the_document(endian: str, order: str) -> None:
    codecs = [{"name": "bytes", "configuration": {"endian": endian}}]
    assert storage(codecs).chain.dtype == np.dtype(f"{order}u2")
    assert storage(shard_document(codecs=codecs)).chain.dtype == np.dtype(f"{order}u2")


def test_codecs_may_be_written_by_name_alone() -> None:
    assert storage(["bytes", "crc32c"], dtype="u1").chain.packers == ("crc32c",)


@pytest.mark.parametrize(
    "codecs",
    [
        [BYTES, {"name": "numcodecs.pickle"}],
        [BYTES, {"name": "lzma"}],
        [{"name": "transpose", "configuration": {"order": [1, 0]}}, BYTES],
        [BLOSC],
        [*shard_document(), CRC],
        shard_document(codecs=shard_document()),
        shard_document(index_codecs=[BYTES, BLOSC]),
        shard_document(index_codecs=[{"name": "bytes", "configuration": {"endian": "big"}}]),
    ],
)
def test_other_codecs_are_not_supported(codecs: list[object]) -> None:
    with pytest.raises(UnsupportedError) as caught:
        storage(codecs)
    assert "/9/count" in caught.value.feature


@pytest.mark.parametrize(
    "codecs",
    [
        None,
        [],
        {"name": "bytes"},
        [1],
        [{"configuration": {}}],
        [{"name": "bytes", "configuration": []}],
        [{"name": "bytes"}],
        [{"name": "bytes", "configuration": {"endian": "middle"}}],
        shard_document(chunk_shape=[64]),
        shard_document(chunk_shape=[64, 100]),
        shard_document(chunk_shape=[64, True]),
        shard_document(chunk_shape=[64, 0]),
        shard_document(codecs=None),
        shard_document(index_location="middle"),
    ],
)
def test_a_malformed_chain_names_its_node(codecs: object) -> None:
    with pytest.raises(MetadataError) as caught:
        storage(codecs)
    assert caught.value.node.startswith("/9/count")


@pytest.mark.parametrize(
    ("codecs", "shape", "limit"),
    [
        ([BYTES], (2**62, 2**62), "decoded chunk in bytes"),
        ([BYTES], (MAX_CHUNK // 2 + 1, 1), "decoded chunk in bytes"),
        ([BYTES, *[CRC] * 8], (64, 64), "codecs in a chain"),
        (shard_document(chunk_shape=[1, 1]), (2**11, 2**10), "shard index in bytes"),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_allocated(
    codecs: list[object], shape: tuple[int, ...], limit: str
) -> None:
    with pytest.raises(LimitError) as caught:
        storage(codecs, shape)
    assert caught.value.limit == limit


def test_a_reader_may_allow_larger_chunks() -> None:
    """Or smaller ones: the limit is in bytes of a decoded chunk."""
    shape = (MAX_CHUNK // 2 + 1, 1)
    most = MAX_CHUNK + 2
    found = read_storage([BYTES], dtype=U2, object_shape=shape, node="x", max_chunk=most)
    assert found.chain.decoded_bytes == most
    with pytest.raises(LimitError) as caught:
        read_storage([BYTES], dtype=U2, object_shape=shape, node="x", max_chunk=most - 1)
    assert (caught.value.allowed, caught.value.found) == (most - 1, most)


def test_an_index_tells_where_chunks_are_and_which_are_absent() -> None:
    entries = np.array([[[0, 10], [10, 20]], [[ABSENT, ABSENT], [30, 5]]], dtype="<u8")
    index = ShardIndex((2, 2))
    assert np.array_equal(index.decode(with_crc(entries.tobytes())), entries)


@pytest.mark.parametrize("change", ["short", "flipped"])
def test_a_damaged_index_is_seen(change: str) -> None:
    data = with_crc(np.zeros((2, 2, 2), "<u8").tobytes())
    damaged = data[:-1] if change == "short" else b"\x01" + data[1:]
    with pytest.raises(DamagedChunkError):
        ShardIndex((2, 2)).decode(damaged)
