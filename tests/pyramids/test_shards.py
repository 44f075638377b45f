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
def test_numcodecs_decodes_a_chunk(dtype: str, order: str) -> None:
    """P-24, B14: little-endian, C order, whatever the byte order in memory."""
    values = noise(dtype, (16, 32))
    data = shards.encode_chunk(values.astype(values.dtype.newbyteorder(order)))
    plain = numcodecs.Blosc().decode(data)
    np.testing.assert_array_equal(np.frombuffer(plain, np.dtype(dtype).newbyteorder("<")).reshape(16, 32), values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_header_says_what_the_metadata_say(dtype: str) -> None:
    """Blosc's own header (its README): flags bit 2 bit shuffle, bits 5 to 7 the compressor, then the item size."""
    values = np.zeros((64, 64), dtype)
    _, _, flags, typesize, size, _, stored = struct.unpack("<BBBBIII", shards.encode_chunk(values)[:16])
    codecs = shards.chunk_codecs(values.dtype, checksum=False)
    configuration = codecs[1]["configuration"]
    assert codecs[0]["name"] == "bytes"
    assert ("configuration" in codecs[0]) == (values.dtype.itemsize > 1)
    assert configuration["typesize"] == typesize == values.dtype.itemsize
    assert (configuration["shuffle"], bool(flags & 4)) == ("bitshuffle", True)
    assert (configuration["cname"], flags >> 5) == ("zstd", 4)
    assert (size, stored) == (values.nbytes, len(shards.encode_chunk(values)))
    assert [codec["name"] for codec in shards.chunk_codecs(values.dtype, checksum=True)] == ["bytes", "blosc", "crc32c"]


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
            pieces = shards.cut(values[where], valid[where], chunk=chunk, side=step, fill=fill)
            assert len(pieces) == (step // chunk) ** 2
            encoded = [None if piece is None else shards.encode_chunk(piece) for piece in pieces]
            data = encoded[0] if side is None else shards.encode_shard(encoded)
            if any(piece is not None for piece in pieces):
                store.write_bytes(memory, f"a/{layout.object_key(row // step, col // step)}", data or b"")
    opened = zarr.open_array(zarr.storage.ObjectStore(memory, read_only=True), path="a", mode="r")
    np.testing.assert_array_equal(opened[...], values)
    for part in (np.s_[0:1, 0:1], np.s_[31:33, 30:70], np.s_[199:200, 149:150], np.s_[70:130, 60:140], np.s_[5, 3:9]):
        np.testing.assert_array_equal(opened[part], values[part])


def test_cut_pads_with_fill_and_leaves_out_what_holds_no_data() -> None:
    """P-23: the part of a chunk beyond the array's edge is fill; a chunk counts if one pixel of it is valid."""
    values = np.arange(5 * 7, dtype=np.int16).reshape(5, 7)
    valid = np.zeros((5, 7), bool)
    valid[4, 6] = valid[0, 0] = True
    pieces = shards.cut(values, valid, chunk=4, side=8, fill=-1)
    assert [piece is not None for piece in pieces] == [True, False, False, True]
    first, last = pieces[0], pieces[3]
    assert first is not None
    assert last is not None
    np.testing.assert_array_equal(first, values[:4, :4])
    np.testing.assert_array_equal(last[:1, :3], values[4:, 4:])
    assert (last[1:] == -1).all()
    assert (last[:, 3:] == -1).all()
    assert last.shape == (4, 4)
