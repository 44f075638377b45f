"""Zarr stores as sources: chunks decoded directly, the rest through xarray, damage told (P-17, P-28, B9)."""

from __future__ import annotations

import json
import shutil
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)

import pyramids
from builds import data_array, scene
from geozarr import ChunkReadError, LimitError, Window, codecs
from pyramids import Slice
from pyramids.sources import ZarrSource, open_zarr, zarr_chunks
from pyramids.sources import zarr as zarr_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BLOSC = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")
CRC = Crc32cCodec()
SHAPE = (100, 90)  # neither is a multiple of a chunk
SHARDED = {"chunks": (32, 32), "shards": (64, 64), "compressors": [BLOSC, CRC]}


def written(
    path: Path,
    values: np.ndarray,
    *,
    name: str = "v",
    serializer: Any = "auto",
    attributes: dict[str, Any] | None = None,
    key_encoding: dict[str, Any] | None = None,
    fill_value: Any = 0,
    **layout: Any,
) -> Path:
    """Write a group with coordinates by xarray, and the array itself by zarr-python, laid out as told."""
    dims = ("t", "y", "x")[-values.ndim :]
    if not path.exists():
        whole = data_array(np.zeros(values.shape, "u1"), dims=dims, name="frame")
        whole.to_dataset().to_zarr(path, zarr_format=3, consolidated=False)
        shutil.rmtree(path / "frame")
    array = zarr.create_array(
        path,
        name=name,
        shape=values.shape,
        dtype=values.dtype,
        serializer=serializer,
        dimension_names=dims,
        chunk_key_encoding=key_encoding,
        fill_value=fill_value,
        attributes={"grid_mapping": "spatial_ref", "coordinates": "spatial_ref"} | (attributes or {}),
        **({"chunks": (*(1,) * (values.ndim - 2), 32, 32), "compressors": [BLOSC]} | layout),
    )
    array[...] = values
    return path


def assert_reads_like(source: ZarrSource, values: np.ndarray, *, variable: int = 0) -> None:
    """Windows of all kinds give what was written: within a chunk, exactly one, across many, at the edges, all."""
    assert source.variables[variable].dtype == values.dtype
    stack = values.reshape(-1, *values.shape[-2:])
    slices = [Slice(variable, number) for number in range(len(stack))]
    windows = [Window(3, 5, 7, 9), Window(32, 32, 32, 32), Window(10, 20, 70, 60), Window(96, 64, 4, 26)]
    for window in [*windows, Window(0, 0, *SHAPE), Window(99, 89, 1, 1), Window(64, 0, 32, 90)]:
        found = source.read(window, slices).values
        assert found.dtype == values.dtype
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, stack[(slice(None), *window.slices)])
        np.testing.assert_array_equal(source.read(window, slices[::-1][:1]).values[0], stack[-1][window.slices])


@pytest.mark.parametrize(
    "layout",
    [
        {"compressors": None},
        {"compressors": [BLOSC]},
        {"compressors": [BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")]},
        {"compressors": [ZstdCodec(level=1, checksum=True)]},
        {"compressors": [GzipCodec(level=1)]},
        {"compressors": [ZstdCodec(level=1), CRC]},
        {"serializer": BytesCodec(endian="big")},
        {"chunks": (17, 90)},
        {"chunks": (200, 300)},
        {"key_encoding": {"name": "default", "separator": "."}},
        {"key_encoding": {"name": "v2", "separator": "."}},
        {"key_encoding": {"name": "v2", "separator": "/"}},
        SHARDED,
        {"chunks": (16, 32), "shards": (96, 64), "compressors": [GzipCodec(level=1)]},
        SHARDED | {"serializer": BytesCodec(endian="big")},
        {
            "chunks": (64, 64),
            "compressors": None,
            "serializer": ShardingCodec(
                chunk_shape=(32, 32), codecs=[BytesCodec(), BLOSC], index_codecs=[BytesCodec()], index_location="start"
            ),
        },
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "int64"])
def test_b14_common_layouts_are_decoded_here(tmp_path: Path, layout: dict[str, Any], dtype: str) -> None:
    """P-17, B14: as zarr-python writes them; no sooner is a window beyond a chunk than it is cut at its edge."""
    values = scene(dtype, SHAPE)
    source = open_zarr(written(tmp_path / "in.zarr", values, **layout))
    assert source.is_direct == (True,)
    assert_reads_like(source, values)


@pytest.mark.parametrize(
    "layout",
    [
        {"filters": [TransposeCodec(order=(1, 0))]},
        {
            "chunks": (64, 64),
            "compressors": None,
            "serializer": ShardingCodec(chunk_shape=(32, 32), codecs=[ShardingCodec(chunk_shape=(16, 16))]),
        },
    ],
    ids=str,
)
def test_other_layouts_are_left_to_xarray(tmp_path: Path, layout: dict[str, Any]) -> None:
    values = scene("int16", SHAPE)
    source = open_zarr(written(tmp_path / "in.zarr", values, **layout))
    assert source.is_direct == (False,)
    assert source.coverage() is None
    assert_reads_like(source, values)


def test_zarr_v2_is_left_to_xarray(tmp_path: Path) -> None:
    values = scene("int16", SHAPE)
    encoding = {"v": {"chunks": (32, 16), "grid_mapping": "spatial_ref"}}
    data_array(values).to_dataset().to_zarr(tmp_path / "x", zarr_format=2, consolidated=False, encoding=encoding)
    source = open_zarr(tmp_path / "x")
    assert (source.is_direct, source.block_shape, source.coverage()) == ((False,), (32, 16), None)
    assert_reads_like(source, values)


@pytest.mark.parametrize(
    "change",
    [
        {"storage_transformers": [{"name": "none"}]},
        {"chunk_grid": {"name": "rectangular", "configuration": {"chunk_shape": [[50, 50], [90]]}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [32]}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [32, 0]}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**40, 2**40]}}},
        {"chunk_key_encoding": {"name": "hashed"}},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "-"}}},
        {"codecs": [{"name": "lzma"}]},
        {"data_type": "int32"},
        {"shape": [100, 91]},
        {"fill_value": "nothing"},
        {"node_type": "group"},
    ],
    ids=str,
)
def test_what_this_module_does_not_know_is_left_to_xarray(tmp_path: Path, change: dict[str, Any]) -> None:
    """Whatever a document says, the pixels are never guessed at."""
    path = written(tmp_path / "in.zarr", scene("int16", SHAPE))
    variable = open_zarr(path).variables[0]
    document = path / "v" / "zarr.json"
    document.write_text(json.dumps(json.loads(document.read_text()) | change))
    assert zarr_chunks.open_chunks(path, variable, SHAPE) is None
    document.unlink()
    assert zarr_chunks.open_chunks(path, variable, SHAPE) is None


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("sharded", [False, True])
def test_leading_axes_may_share_a_chunk(tmp_path: Path, depth: int, sharded: bool) -> None:
    values = scene("float32", (5, *SHAPE))
    layout: dict[str, Any] = {"chunks": (depth, 32, 32)}
    if sharded:
        layout["shards"] = (2 * depth, 64, 64)
    source = open_zarr(written(tmp_path / "in.zarr", values, **layout))
    assert source.is_direct == (True,)
    assert_reads_like(source, values)
    twice = source.read(Window(32, 32, 32, 32), [Slice(0, 3), Slice(0, 3)])
    np.testing.assert_array_equal(twice.values, values[[3, 3], 32:64, 32:64])


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Note what each chunk is decoded into."""
    targets: list[np.ndarray] = []
    decode_into = codecs.CodecChain.decode_into

    def noting(chain: codecs.CodecChain, data: codecs.Data, values: np.ndarray) -> None:
        targets.append(values)
        decode_into(chain, data, values)

    monkeypatch.setattr(codecs.CodecChain, "decode_into", noting)
    return targets


def test_a_chunk_is_decoded_once_for_all_its_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_zarr(written(tmp_path / "in.zarr", scene("uint8", (5, *SHAPE)), chunks=(5, 32, 32)))
    targets = decoded(monkeypatch)
    source.read(Window(0, 0, 64, 64), [Slice(0, number) for number in range(5)])
    assert len(targets) == 4


def test_a_window_that_is_a_chunk_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_zarr(written(tmp_path / "in.zarr", scene("uint8", SHAPE)))
    targets = decoded(monkeypatch)
    pixels = source.read(Window(32, 64 - 32, 32, 32), [Slice(0, 0)])
    assert np.shares_memory(pixels.values, targets[0])
    pixels = source.read(Window(32, 32, 32, 33), [Slice(0, 0)])
    assert not any(np.shares_memory(pixels.values, target) for target in targets[1:])


def test_variables_of_all_kinds_are_read_together(tmp_path: Path) -> None:
    first, second = scene("int16", SHAPE), scene("int16", SHAPE, seed=2)
    written(tmp_path / "in.zarr", first, name="a", attributes={"_FillValue": 5})
    written(tmp_path / "in.zarr", second, name="b", filters=[TransposeCodec(order=(1, 0))], chunks=(20, 40))
    source = open_zarr(tmp_path / "in.zarr", variables=["b", "a"])
    assert source.is_direct == (False, True)
    assert source.block_shape == (32, 40)
    pixels = source.read(Window(0, 0, *SHAPE), [Slice(0, 0), Slice(1, 0), Slice(0, 0)])
    np.testing.assert_array_equal(pixels.values, [second, first, second])
    np.testing.assert_array_equal(pixels.valid[1], first != 5)


def test_many_threads_read_the_same(tmp_path: Path) -> None:
    values = scene("float32", SHAPE)
    source = open_zarr(written(tmp_path / "in.zarr", values, **SHARDED))
    windows = list(Window(0, 0, *SHAPE).split(height=13, width=17)) * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda window: source.read(window, [Slice(0, 0)]), windows))
    for window, pixels in zip(windows, found, strict=True):
        np.testing.assert_array_equal(pixels.values[0], values[window.slices])


def test_the_index_of_a_shard_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 shards, of which 2 indexes of 4 chunks (4 x 16 bytes and a checksum) fit into 140 bytes."""
    source = open_zarr(written(tmp_path / "in.zarr", scene("uint8", SHAPE), **SHARDED))
    read: list[str] = []
    decode = codecs.ShardIndex.decode

    def noting(index: codecs.ShardIndex, data: codecs.Data) -> Any:
        read.append("index")
        return decode(index, data)

    monkeypatch.setattr(codecs.ShardIndex, "decode", noting)
    for _ in range(3):
        source.read(Window(0, 0, *SHAPE), [Slice(0, 0)])
    assert len(read) == 4
    monkeypatch.setattr(zarr_chunks, "INDEX_CACHE", 140)
    other = open_zarr(tmp_path / "in.zarr")
    for _ in range(3):
        other.read(Window(0, 0, 64, 90), [Slice(0, 0)])
    assert len(read) == 4 + 2
    for _ in range(3):
        other.read(Window(0, 0, *SHAPE), [Slice(0, 0)])
    assert len(read) > 4 + 2 + 4


HELD = [(0, 0), (1, 2), (3, 0)]  # of 4 x 3 chunks of 32 x 32


def holed(dtype: str, fill: float) -> np.ndarray:
    """Pixels in some chunks only."""
    values = np.full(SHAPE, fill, dtype)
    for row, col in HELD:
        values[row * 32 : row * 32 + 32, col * 32 : col * 32 + 32] = 9
    return values


@pytest.mark.parametrize("layout", [{}, SHARDED, {"key_encoding": {"name": "v2", "separator": "."}}], ids=str)
@pytest.mark.parametrize(
    ("dtype", "fill", "attributes"),
    [("int16", -9999, {"_FillValue": -9999}), ("float32", np.nan, {}), ("uint8", 0, {"missing_value": 0})],
)
def test_chunks_that_are_not_stored_hold_no_data(
    tmp_path: Path, layout: dict[str, Any], dtype: str, fill: float, attributes: dict[str, Any]
) -> None:
    """P-28: told from names and indexes; they read as the fill value."""
    values = holed(dtype, fill)
    path = written(tmp_path / "in.zarr", values, fill_value=fill, attributes=attributes, **layout)
    source = open_zarr(path)
    covered = source.coverage()
    assert covered is not None
    assert covered.shape == (4, 3)
    assert np.argwhere(covered).tolist() == [list(place) for place in HELD]
    pixels = source.read(Window(0, 0, *SHAPE), [Slice(0, 0)])
    np.testing.assert_array_equal(pixels.values[0], values)
    np.testing.assert_array_equal(pixels.valid[0], values == 9)


def test_other_files_in_an_array_are_no_chunks(tmp_path: Path) -> None:
    path = written(tmp_path / "in.zarr", holed("uint8", 0), attributes={"_FillValue": 0})
    for name in ("c/0/1.part", "c/9/0", "c/0/7/0", "d/1/1", "c/-1/0", "c/1/x", "c/2"):
        target = path / "v" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"")
    covered = open_zarr(path).coverage()
    assert covered is not None
    assert np.argwhere(covered).tolist() == [list(place) for place in HELD]


def test_many_shards_are_covered_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their indexes are not read; 3 of the 2 x 2 shards, of 2 x 2 chunks each, are there."""
    path = written(tmp_path / "in.zarr", holed("uint8", 0), attributes={"_FillValue": 0}, **SHARDED)
    monkeypatch.setattr(zarr_chunks, "MOST_INDEXES", 2)
    covered = open_zarr(path).coverage()
    assert covered is not None
    assert covered.tolist() == [[True, True, True]] * 2 + [[True, True, False]] * 2


def test_a_shard_whose_index_is_damaged_is_covered(tmp_path: Path) -> None:
    """So that whoever reads there is told."""
    path = written(tmp_path / "in.zarr", holed("uint8", 0), attributes={"_FillValue": 0}, **SHARDED)
    shard = path / "v" / "c" / "1" / "0"
    shard.write_bytes(shard.read_bytes()[:-1])
    source = open_zarr(path)
    covered = source.coverage()
    assert covered is not None
    assert covered[2:4, 0:2].all()
    with pytest.raises(ChunkReadError):
        source.read(Window(64, 32, 1, 1), [Slice(0, 0)])


@pytest.mark.parametrize(
    ("dtype", "fill", "attributes"),
    [("int16", 0, {}), ("int16", 0, {"_FillValue": -1}), ("float32", 0.0, {}), ("float32", -1.0, {})],
)
def test_a_fill_value_that_is_data_tells_nothing(
    tmp_path: Path, dtype: str, fill: float, attributes: dict[str, Any]
) -> None:
    source = open_zarr(written(tmp_path / "in.zarr", holed(dtype, fill), fill_value=fill, attributes=attributes))
    assert source.coverage() is None
    assert source.read(Window(40, 0, 1, 1), [Slice(0, 0)]).valid.all()


def test_the_nodata_of_the_user_tells_which_chunks_are_empty(tmp_path: Path) -> None:
    source = open_zarr(written(tmp_path / "in.zarr", holed("int16", 0)), nodata=0)
    covered = source.coverage()
    assert covered is not None
    assert covered.sum() == len(HELD)


def test_a_block_is_covered_where_any_slice_or_variable_is(tmp_path: Path) -> None:
    """Slices are taken together; blocks of 64 x 48 that meet a chunk of 32 x 32 or 64 x 48 with data, by hand."""
    stack = np.full((2, *SHAPE), np.nan, np.float32)
    stack[0, 0, 0] = 1  # chunk 0, 0
    stack[1, 99, 40] = 1  # chunk 3, 1: columns 32-63, that is blocks 0 and 1
    written(tmp_path / "in.zarr", stack, name="a", fill_value=np.nan)
    other = np.full((2, *SHAPE), np.nan, np.float32)
    other[0, 5, 89] = 1  # chunk 0, 1 of 64 x 48
    written(tmp_path / "in.zarr", other, name="b", fill_value=np.nan, chunks=(1, 64, 48))
    covered = open_zarr(tmp_path / "in.zarr", variables=["a"]).coverage()
    assert covered is not None
    assert np.argwhere(covered).tolist() == [[0, 0], [3, 1]]
    both = open_zarr(tmp_path / "in.zarr")
    assert both.block_shape == (64, 48)
    covered = both.coverage()
    assert covered is not None
    assert covered.tolist() == [[True, True], [True, True]]
    stack[1, 99, 40] = np.nan
    written(tmp_path / "b.zarr", stack, name="a", fill_value=np.nan)
    written(tmp_path / "b.zarr", other, name="b", fill_value=np.nan, chunks=(1, 64, 48))
    covered = open_zarr(tmp_path / "b.zarr").coverage()
    assert covered is not None
    assert covered.tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize("seed", range(5))
def test_coverage_in_other_blocks_is_that_of_their_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chunk, block = (tuple(int(side) for side in rng.integers(1, 40, 2)) for _ in range(2))
    covered = rng.random((-(-SHAPE[0] // chunk[0]), -(-SHAPE[1] // chunk[1]))) < 0.1
    pixels = covered.repeat(chunk[0], axis=0).repeat(chunk[1], axis=1)[: SHAPE[0], : SHAPE[1]]
    found = zarr_source._in_blocks(covered, chunk, block, SHAPE)
    for row, col in np.ndindex(found.shape):
        part = pixels[row * block[0] : (row + 1) * block[0], col * block[1] : (col + 1) * block[1]]
        assert part.size
        assert part.any() == found[row, col]
    assert found.shape == (-(-SHAPE[0] // block[0]), -(-SHAPE[1] // block[1]))


def flip(data: bytes) -> bytes:
    """Change a bit in the middle."""
    middle = len(data) // 3
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def with_index(data: bytes, *entries: tuple[int, int]) -> bytes:
    """Put another index, with a right checksum, after the chunks of a shard of 2 x 2."""
    table = struct.pack("<8Q", *(number for entry in entries for number in entry))
    return data[: -(4 * 16 + 4)] + table + struct.pack("<I", google_crc32c.value(table))


def entries_of(data: bytes) -> list[tuple[int, int]]:
    """Offsets and lengths of the chunks of a shard of 2 x 2."""
    numbers = struct.unpack("<8Q", data[-(4 * 16 + 4) : -4])
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def replaced(data: bytes, number: int, entry: tuple[int, int]) -> bytes:
    """Put another entry into the index of a shard."""
    entries = entries_of(data)
    return with_index(data, *entries[:number], entry, *entries[number + 1 :])


DAMAGED_SHARDS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: data[:0],
    "index cut off": lambda data: data[:-1],
    "all but the index lost": lambda data: data[-(4 * 16 + 4) :],
    "first half lost": lambda data: data[len(data) // 2 :],
    "flipped byte in chunks": lambda data: flip(data[:-68]) + data[-68:],
    "flipped byte in the index": lambda data: data[:-68] + flip(data[-68:]),
    "rubbish": lambda data: bytes(len(data)),
    "entry beyond the end": lambda data: replaced(data, 0, (len(data) - 10, 20)),
    "entry far beyond the end": lambda data: replaced(data, 0, (2**63, 20)),
    "entry that wraps around": lambda data: replaced(data, 0, (2**64 - 8, 16)),
    "entry half absent": lambda data: replaced(data, 0, (codecs.ABSENT, 20)),
    "entry too long": lambda data: replaced(data, 0, (0, len(data))),
    "entry too short": lambda data: replaced(data, 0, (0, entries_of(data)[0][1] - 1)),
    "entry shifted": lambda data: replaced(data, 0, (1, entries_of(data)[0][1])),
    "entry of nothing": lambda data: replaced(data, 0, (0, 0)),
}


@pytest.mark.parametrize("damage", DAMAGED_SHARDS)
def test_b9_a_damaged_shard_is_told_by_array_and_chunk(tmp_path: Path, damage: str) -> None:
    """P-17, B9: never a wrong pixel, and never fill."""
    path = written(tmp_path / "in.zarr", scene("float32", SHAPE), **SHARDED)
    shard = path / "v" / "c" / "0" / "1"
    shard.write_bytes(DAMAGED_SHARDS[damage](shard.read_bytes()))
    source = open_zarr(path)
    with pytest.raises(ChunkReadError) as caught:
        source.read(Window(0, 64, 64, 26), [Slice(0, 0)])  # chunks 0.2 and 1.2, all that the shard's columns hold
    assert caught.value.array == f"{path} v"
    assert caught.value.chunk in ("0.2", "1.2")
    assert caught.value.__cause__ is not None
    source.read(Window(64, 0, 30, 60), [Slice(0, 0)])  # another shard


DAMAGED_CHUNKS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: data[:0],
    "short": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "long": lambda data: data + b"\0",
    "rubbish": lambda data: bytes(len(data)),
    "flipped byte": flip,
}


@pytest.mark.parametrize("damage", DAMAGED_CHUNKS)
@pytest.mark.parametrize("window", [Window(32, 0, 32, 32), Window(40, 10, 5, 5)])
def test_a_damaged_chunk_is_told_by_array_and_chunk(tmp_path: Path, damage: str, window: Window) -> None:
    path = written(tmp_path / "in.zarr", scene("float32", SHAPE), compressors=[BLOSC, CRC])
    chunk = path / "v" / "c" / "1" / "0"
    chunk.write_bytes(DAMAGED_CHUNKS[damage](chunk.read_bytes()))
    source = open_zarr(path)
    with pytest.raises(ChunkReadError) as caught:
        source.read(window, [Slice(0, 0)])
    assert (caught.value.array, caught.value.chunk) == (f"{path} v", "1.0")
    assert isinstance(caught.value.__cause__, codecs.DamagedChunkError)
    source.read(Window(0, 0, 32, 32), [Slice(0, 0)])


def test_a_bomb_is_told_by_array_and_chunk(tmp_path: Path) -> None:
    """T4: a chunk that unpacks to more than the array declares, or that is larger than any codec makes it."""
    path = written(tmp_path / "in.zarr", scene("float32", SHAPE))
    bomb = codecs.blosc.compress(bytes(2**24), b"zstd", 1, codecs.blosc.SHUFFLE)
    for data in (bomb, bytes(2**20)):
        (path / "v" / "c" / "1" / "0").write_bytes(data)
        with pytest.raises(ChunkReadError) as caught:
            open_zarr(path).read(Window(32, 0, 32, 32), [Slice(0, 0)])
        assert caught.value.chunk == "1.0"
        assert isinstance(caught.value.__cause__, LimitError)


def test_a_folder_in_place_of_a_chunk_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "in.zarr", scene("float32", SHAPE))
    chunk = path / "v" / "c" / "1" / "0"
    chunk.unlink()
    chunk.mkdir()
    with pytest.raises(ChunkReadError) as caught:
        open_zarr(path).read(Window(32, 0, 32, 32), [Slice(0, 0)])
    assert isinstance(caught.value.__cause__, OSError)


def test_a_shard_that_vanishes_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "in.zarr", scene("float32", SHAPE), **SHARDED)
    source = open_zarr(path)
    source.read(Window(0, 0, 1, 1), [Slice(0, 0)])
    (path / "v" / "c" / "0" / "0").unlink()
    with pytest.raises(ChunkReadError) as caught:
        source.read(Window(0, 0, 1, 1), [Slice(0, 0)])
    assert "gone" in caught.value.reason


def test_a_shard_that_is_cut_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "in.zarr", scene("float32", SHAPE), **SHARDED)
    source = open_zarr(path)
    source.read(Window(0, 0, 1, 1), [Slice(0, 0)])
    (path / "v" / "c" / "0" / "0").write_bytes(b"")
    with pytest.raises(ChunkReadError) as caught:
        source.read(Window(0, 0, 1, 1), [Slice(0, 0)])
    assert "c/0/0 gives 0 of" in caught.value.reason


def test_a_pyramid_of_ours_with_shards_is_read_directly(tmp_path: Path) -> None:
    values = scene("int16", (300, 280))
    values[:130] = -9999
    array = data_array(values, attrs={"_FillValue": -9999})
    pyramids.build(array, tmp_path / "a.zarr", tms="native", chunk=32, shard=128)
    source = open_zarr(tmp_path / "a.zarr" / "0")
    assert source.is_direct == (True,)
    assert source.block_shape == (32, 32)
    pixels = source.read(Window(0, 0, 300, 280), [Slice(0, 0)])
    np.testing.assert_array_equal(pixels.values[0], values)
    covered = source.coverage()
    assert covered is not None
    assert covered.any(axis=1).tolist() == [False] * 4 + [True] * 6  # row 130 lies in chunk 4


def test_it_is_described_as_xarray_describes_it(tmp_path: Path) -> None:
    array = data_array(scene("int16", SHAPE), attrs={"units": "m"})
    array.to_dataset().to_zarr(
        tmp_path / "x", zarr_format=3, consolidated=False, encoding={"v": {"grid_mapping": "spatial_ref"}}
    )
    source, plain = open_zarr(tmp_path / "x"), pyramids.ArraySource(array)
    assert isinstance(source, ZarrSource)
    assert (source.grid, source.variables) == (plain.grid, plain.variables)
    assert (source.name, source.has_alpha, source.resident_bytes) == (str(tmp_path / "x"), False, 0)
    assert source.fingerprint == plain.fingerprint
    assert xr.open_zarr(tmp_path / "x", consolidated=False).v.shape == source.grid.shape
