"""Values of arrays are what zarr-python reads, and no chunk, whatever it says of itself, takes more memory than it may.

FAULTS.md C1: hostile stores obey the limits.
"""

from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import blosc, zstd
from obstore.store import MemoryStore as Objects
from zarr.storage import MemoryStore

from conformance import check
from conformance.arrays import ArrayReader
from geozarr import Grid, crs, documents, levels
from geozarr.errors import ChunkReadError, LimitError
from geozarr.store import open_store
from geozarr.stored_array import read_stored_array
from pyramid_factory import Variable, write_pyramid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDE = 64  # cells of a chunk along a side
BOMB = 48 * 2**20  # bytes that a chunk of 4 KiB unpacks to
PEAK = 16 * 2**20


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Any]:
    rank = draw(st.integers(1, 3))
    chunks = draw(st.tuples(*[st.integers(1, 4)] * rank))
    sharded = draw(st.booleans())
    return {
        "shape": draw(st.tuples(*[st.integers(1, 11)] * rank)),
        "chunks": chunks,
        "shards": tuple(side * draw(st.integers(1, 3)) for side in chunks) if sharded else None,
        "dtype": draw(st.sampled_from(["uint8", "int16", "float32", "float64"])),
        "fill_value": draw(st.integers(0, 100)),
        "compressors": draw(
            st.sampled_from([None, zarr.codecs.GzipCodec(), zarr.codecs.ZstdCodec(), zarr.codecs.BloscCodec()])
        ),
        "serializer": zarr.codecs.BytesCodec(endian=draw(st.sampled_from(["little", "big"]))),
        "chunk_key_encoding": {"name": draw(st.sampled_from(["default", "v2"])), "separator": "/"},
    }


@settings(deadline=None, max_examples=60)
@given(layout=layouts(), data=st.data())
def test_any_window_is_what_zarr_python_reads(layout: dict[str, Any], data: st.DataObject) -> None:
    store = MemoryStore()
    array = zarr.create_array(store, **layout)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    array[...] = random.integers(0, 100, array.shape)
    lost = data.draw(st.booleans())  # a part that no chunk holds
    if lost:
        array[tuple(slice(0, chunk) for chunk in array.chunks)] = layout["fill_value"]
    window = []
    for size in array.shape:
        start = data.draw(st.integers(0, size - 1))
        window.append(range(start, data.draw(st.integers(start, size))))
    stored = {key: value.to_bytes() for key, value in store._store_dict.items()}
    reader = reader_of(stored)
    expected = array[tuple(slice(cells.start, cells.stop) for cells in window)]
    np.testing.assert_array_equal(reader.read(tuple(window)), expected, strict=True)


def reader_of(objects: dict[str, bytes]) -> ArrayReader:
    """A reader of the array at the root of a store."""
    store = Objects()
    for key, data in objects.items():
        store.put(key, data)
    document = json.loads(objects["zarr.json"])
    shape, dtype = tuple(document["shape"]), np.dtype(document["data_type"])
    return ArrayReader(read_stored_array(document, "", shape, dtype), open_store(store))


def zstd_frame() -> bytes:
    """A frame that says it has 2**40 bytes (RFC 8878, 3.1.1)."""
    whole = zstd.compress(bytes(300))
    assert whole[4] >> 6 == 1  # the size takes two bytes
    return whole[:4] + bytes([whole[4] | 0xC0]) + struct.pack("<Q", 2**40) + whole[7:]


def blosc_frame() -> bytes:
    """A frame that says it has 2 GB."""
    whole = bytearray(blosc.compress(bytes(300), b"zstd", 5))
    whole[4:8] = struct.pack("<I", 2**31 - 64)
    return bytes(whole)


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gzip": ("gzip", lambda: gzip.compress(bytes(BOMB))),
    "gzip of several members": ("gzip", lambda: b"".join([gzip.compress(bytes(4096))] * 2)),
    "gzip of many members": ("gzip", lambda: gzip.compress(b"") * 2000),
    "zstd": ("zstd", lambda: zstd.compress(bytes(BOMB))),
    "zstd without end": ("zstd", zstd_frame),
    "blosc": ("blosc", lambda: blosc.compress(bytes(BOMB), b"zstd", 9)),
    "blosc without end": ("blosc", blosc_frame),
}


@pytest.mark.parametrize("name", BOMBS)
def test_c1_a_chunk_that_swells_is_an_error_and_takes_no_memory(name: str) -> None:
    codec, bomb = BOMBS[name]
    document = documents.array_document(
        documents.ArrayLayout((SIDE, SIDE), np.dtype("uint8"), ("y", "x"), (SIDE, SIDE), None, 0),
        codecs=[{"name": "bytes"}, {"name": codec, "configuration": {}}],
        attributes={},
    )
    reader = reader_of({"zarr.json": json.dumps(document).encode(), "c/0/0": bomb()})
    tracemalloc.start()
    try:
        with pytest.raises((LimitError, ChunkReadError)):
            reader.read((range(SIDE), range(SIDE)))
        assert tracemalloc.get_traced_memory()[1] < PEAK
    finally:
        tracemalloc.stop()


def test_c1_a_pyramid_with_a_chunk_that_swells_is_reported(tmp_path: Path) -> None:
    grid = Grid((SIDE, SIDE), Affine(10, 0, 0, 0, -10, 0), crs.from_code("EPSG:32633"))
    layout = levels.from_halving(grid, count=2, resampling_method="average")
    path = write_pyramid(tmp_path / "p.zarr", layout, {"v": Variable(np.ones((SIDE, SIDE), "uint8"))}, chunk=SIDE)
    document = json.loads((path / "0/v/zarr.json").read_text())
    document["codecs"] = [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 5}}]
    (path / "0/v/zarr.json").write_text(json.dumps(document))
    root = json.loads((path / "zarr.json").read_text())
    root["consolidated_metadata"]["metadata"]["0/v"] = document
    (path / "zarr.json").write_text(json.dumps(root))
    chunk = path / "0/v/c/0/0"
    chunk.write_bytes(gzip.compress(np.ones((SIDE, SIDE), "uint8").tobytes()))
    assert not check(path, depth="pixels", all_pixels=True).findings
    chunk.write_bytes(gzip.compress(bytes(BOMB)))
    assert len(chunk.read_bytes()) < 2**17  # it is small enough to be read at all
    tracemalloc.start()
    report = check(path, depth="pixels", all_pixels=True)
    assert tracemalloc.get_traced_memory()[1] < PEAK
    tracemalloc.stop()
    assert [finding.node for finding in report.findings] == ["/0/v/c/0/0"]
    assert zlib.decompress(chunk.read_bytes(), 31) == bytes(BOMB)
