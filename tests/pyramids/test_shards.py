"""The bytes of stored objects, decoded by numcodecs and by zarr-python's own codecs (P-17 basics, P-23, P-24)."""

from __future__ import annotations

import struct
import threading

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zarr
import zarr.storage
from obstore.store import MemoryStore

from geozarr import documents, store
from geozarr.documents import ArrayLayout
from pyramids import shards

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
ABSENT = (2**64 - 1, 2**64 - 1)


def noise(dtype: str, shape: tuple[int, ...], *, seed: int = 2) -> np.ndarray:
    """Bytes at random, NaN patterns of floats among them."""
    raw = np.random.default_rng(seed).integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
    values = raw.view(dtype)[..., 0]
    return np.nan_to_num(values) if values.dtype.kind == "f" else values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_b14_numcodecs_decodes_a_chunk(dtype: str, order: str) -> None:
    """P-24, B14: little-endian, C order, whatever the byte order in memory."""
    values = noise(dtype, (16, 32))
    data = shards.encode_chunk(values.astype(values.dtype.newbyteorder(order)))
    plain = numcodecs.Blosc().decode(data)
    np.testing.assert_array_equal(np.frombuffer(plain, np.dtype(dtype).newbyteorder("<")).reshape(16, 32), values)


@pytest.mark.parametrize("is_classes", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_header_says_what_the_metadata_say(dtype: str, is_classes: bool) -> None:
    """Blosc's own header (its README): flags bit 0 byte and bit 2 bit shuffle, bits 5 to 7 the compressor; sizes."""
    values = (np.arange(64 * 64) % 7).reshape(64, 64).astype(dtype)
    codec = shards.codec_for(values.dtype, is_classes=is_classes)
    data = shards.encode_chunk(values, codec)
    _, _, flags, typesize, size, blocksize, stored = struct.unpack("<BBBBIII", data[:16])
    codecs = shards.chunk_codecs(values.dtype, checksum=False, size=values.nbytes, codec=codec)
    configuration = codecs[1]["configuration"]
    assert codecs[0]["name"] == "bytes"
    assert ("configuration" in codecs[0]) == (values.dtype.itemsize > 1)
    assert configuration["typesize"] == typesize == values.dtype.itemsize
    shuffle = {0: "noshuffle", 1: "shuffle", 4: "bitshuffle"}[flags & 5]
    assert configuration["shuffle"] == shuffle
    assert (configuration["cname"], flags >> 5) == ("zstd", 4)
    assert configuration["blocksize"] == blocksize == size == values.nbytes
    assert stored == len(data)
    assert [item["name"] for item in shards.chunk_codecs(values.dtype, checksum=True)] == ["bytes", "blosc", "crc32c"]


def test_classes_are_not_shuffled_by_bits() -> None:
    """Bits of class codes mean nothing; those of imagery do, and floats pack best by bytes (docs/design.md)."""
    assert shards.codec_for(np.dtype("uint8"), is_classes=True).shuffle == "noshuffle"
    assert shards.codec_for(np.dtype("int32"), is_classes=True).shuffle == "shuffle"
    assert shards.codec_for(np.dtype("uint8")).shuffle == "bitshuffle"
    assert shards.codec_for(np.dtype("float32")).shuffle == "shuffle"


def test_bytes_do_not_depend_on_the_thread_or_the_memory_layout() -> None:
    """P-10, P-30: a view, a copy, Fortran order, and sixteen threads at once."""
    shards.use_one_thread_a_chunk()
    large = np.tile(np.arange(600, dtype=np.uint16), (600, 3))
    cut = large[10:522, 20:532]
    expected = shards.encode_chunk(cut.copy())
    assert shards.encode_chunk(cut) == expected
    assert shards.encode_chunk(np.asfortranarray(cut)) == expected
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(shards.encode_chunk(cut))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 16


def test_a_shard_is_its_chunks_with_checksums_and_an_index_at_the_end() -> None:
    """P-24: offsets, lengths and crc32c at the places that sharding_indexed names."""
    chunks = [b"first", None, b"", b"the fourth"]
    data = shards.encode_shard(chunks)
    size = 16 * len(chunks) + 4
    index, checksum = data[-size:-4], data[-4:]
    assert struct.unpack("<I", checksum)[0] == google_crc32c.value(index)
    entries = np.frombuffer(index, "<u8").reshape(-1, 2)
    assert tuple(entries[1]) == ABSENT
    offset = 0
    for chunk, (start, length) in zip(chunks, entries.tolist(), strict=True):
        if chunk is None:
            continue
        assert (start, length) == (offset, len(chunk) + 4)
        part = data[start : start + length]
        assert part[:-4] == chunk
        assert struct.unpack("<I", part[-4:])[0] == google_crc32c.value(chunk)
        offset += length
    assert offset + size == len(data)


def test_crc32c_is_castagnoli() -> None:
    """RFC 3720, B.4: 32 bytes of zeros have 8a9136aa."""
    data = shards.encode_shard([bytes(32)])
    assert data[32:36] == struct.pack("<I", 0x8A9136AA)


def pieces_of(values: np.ndarray, valid: np.ndarray, *, chunk: int, side: int, fill: float) -> list[np.ndarray | None]:
    """The chunks of one object, padded with fill, None where nothing is valid."""
    whole = np.full((side, side), fill, values.dtype)
    whole[: values.shape[0], : values.shape[1]] = values
    there = np.zeros((side, side), bool)
    there[: valid.shape[0], : valid.shape[1]] = valid
    places = [
        np.s_[row : row + chunk, col : col + chunk] for row in range(0, side, chunk) for col in range(0, side, chunk)
    ]
    return [whole[place] if there[place].any() else None for place in places]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("side", [None, 64, 128])
def test_zarr_python_reads_whole_and_in_part(dtype: str, side: int | None) -> None:
    """P-24: its own codec pipeline, on an array whose far objects are partial and some of whose chunks are absent."""
    shape, chunk, fill = (200, 150), 32, 7
    values = noise(dtype, shape)
    valid = np.ones(shape, bool)
    valid[:96, 64:128] = False  # 3 x 2 chunks
    values[~valid] = fill
    layout = ArrayLayout(
        shape, np.dtype(dtype), ("y", "x"), (chunk, chunk), None if side is None else (side, side), fill
    )
    memory = MemoryStore()
    codecs = shards.chunk_codecs(layout.dtype, checksum=side is not None)
    store.write_document(memory, "a", documents.array_document(layout, codecs=codecs, attributes={}))
    step = side or chunk
    for row in range(0, shape[0], step):
        for col in range(0, shape[1], step):
            where = np.s_[row : row + step, col : col + step]
            pieces = pieces_of(values[where], valid[where], chunk=chunk, side=step, fill=fill)
            encoded = [None if piece is None else shards.encode_chunk(piece) for piece in pieces]
            data = encoded[0] if side is None else shards.encode_shard(encoded)
            if any(piece is not None for piece in pieces):
                store.write_bytes(memory, f"a/{layout.object_key(row // step, col // step)}", data or b"")
    opened = zarr.open_array(zarr.storage.ObjectStore(memory, read_only=True), path="a", mode="r")
    np.testing.assert_array_equal(opened[...], values)
    for part in (np.s_[0:1, 0:1], np.s_[31:33, 30:70], np.s_[199:200, 149:150], np.s_[70:130, 60:140], np.s_[5, 3:9]):
        np.testing.assert_array_equal(opened[part], values[part])
