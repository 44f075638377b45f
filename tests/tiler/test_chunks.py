from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import pytest
from obstore.store import MemoryStore

from geozarr import store
from geozarr.errors import ChunkReadError, LimitError, StoreError
from geozarr.window import Window
from store_requests import Requests
from tiler.chunks import ChunkReader, Shard, cached_bytes, chunk_cache, chunks_of
from tiler.pyramid import open_pyramid

if TYPE_CHECKING:
    from pathlib import Path

    from geozarr.stored_array import StoredArray

INDEX_BYTES = 2 * 2 * 16 + 4  # of the shards of 2 x 2 chunks that the `sharded` pyramid has


def array_of(path: Path, name: str = "count") -> StoredArray:
    return open_pyramid(store.open_store(path)).variable(name).array(0)


def reader_of(path: Path) -> ChunkReader:
    return ChunkReader(store.open_store(path), chunk_cache(2**24), "version")


def test_each_chunk_equals_what_zarr_reads(stores: dict[str, Any]) -> None:
    for name, side in (("count", 256), ("sharded", 128)):
        stored = stores[name]
        values, reader, array = stored.array("10", "count"), reader_of(stored.path), array_of(stored.path)
        for row in range(512 // side):
            for col in range(512 // side):
                part = values[row * side : (row + 1) * side, col * side : (col + 1) * side]
                chunk = reader.read(array, (row, col))
                assert np.array_equal(np.zeros_like(part) if chunk is None else chunk, part)


def test_a_chunk_that_is_not_stored_is_none(stores: dict[str, Any]) -> None:
    # The north-west tile holds no data: no object in one store, no shard in the other.
    for name in ("count", "sharded"):
        path = stores[name].path
        assert not (path / "10/count/c/0/0").exists()
        assert reader_of(path).read(array_of(path), (0, 0)) is None


def test_a_chunk_that_its_shard_lacks_is_none(stores: dict[str, Any], tmp_path: Path) -> None:
    path = copy_of(stores["sharded"].path, tmp_path)
    shard = path / "10/count/c/1/1"
    data = bytearray(shard.read_bytes())
    data[-INDEX_BYTES : -INDEX_BYTES + 16] = b"\xff" * 16
    shard.write_bytes(with_new_checksum(data))
    assert reader_of(path).read(array_of(path), (2, 2)) is None
    assert reader_of(path).read(array_of(path), (2, 3)) is not None


def copy_of(path: Path, folder: Path) -> Path:
    shutil.copytree(path, folder / "copy.zarr")
    return folder / "copy.zarr"


def with_new_checksum(data: bytearray) -> bytes:
    index = bytes(data[-INDEX_BYTES:-4])
    return bytes(data[:-4]) + google_crc32c.value(index).to_bytes(4, "little")


def test_an_unsharded_chunk_costs_one_request_and_then_none(
    stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stores["count"].path
    reader, array, requests = reader_of(path), array_of(path), Requests(monkeypatch)
    for index in ((0, 1), (0, 1), (0, 0), (0, 0)):
        reader.read(array, index)
    assert requests == [("10/count/c/0/1", {}), ("10/count/c/0/0", {})]


def test_a_shard_costs_its_index_once_and_one_range_a_chunk(
    stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stores["sharded"].path
    reader, array, requests = reader_of(path), array_of(path), Requests(monkeypatch)
    for index in ((2, 2), (3, 3), (2, 2), (0, 0), (0, 1)):
        reader.read(array, index)
    keys = requests.keys
    # Index, two chunks; the shard of the last two is absent, which is known after one request.
    assert keys == ["10/count/c/1/1"] * 3 + ["10/count/c/0/0"]
    assert requests[0][1] == {"last": INDEX_BYTES}
    assert all(part.keys() == {"first", "length"} for _, part in requests[1:3])


@pytest.mark.parametrize(("name", "key"), [("count", "10/count/c/1/1"), ("sharded", "10/count/c/1/1")])
@pytest.mark.parametrize("damage", ["empty", "half", "flipped end"])
def test_a_damaged_object_is_an_error_that_names_array_and_chunk(
    stores: dict[str, Any], tmp_path: Path, name: str, key: str, damage: str
) -> None:
    path = copy_of(stores[name].path, tmp_path)
    data = (path / key).read_bytes()
    broken = {"empty": b"", "half": data[: len(data) // 2], "flipped end": data[:-1] + bytes([data[-1] ^ 1])}[damage]
    if (name, damage) == ("count", "flipped end"):
        broken = data[:1] + b"\xff\xff\xff" + data[4:]  # blosc has no checksum; its header's flags are checked
    (path / key).write_bytes(broken)
    index = (1, 1) if name == "count" else (3, 3)
    with pytest.raises(ChunkReadError) as caught:
        reader_of(path).read(array_of(path), index)
    assert caught.value.array == "/10/count"
    assert caught.value.chunk == ".".join(map(str, index))
    assert caught.value.__cause__ is not None


def test_damage_in_one_chunk_of_a_shard_leaves_the_others_whole(stores: dict[str, Any], tmp_path: Path) -> None:
    path = copy_of(stores["sharded"].path, tmp_path)
    shard = path / "10/count/c/1/1"
    data = bytearray(shard.read_bytes())
    entries = np.frombuffer(bytes(data[-INDEX_BYTES:-4]), "<u8").reshape(2, 2, 2)
    offset, length = (int(number) for number in entries[1, 0])
    data[offset : offset + length] = bytes(length)
    shard.write_bytes(bytes(data))
    reader, array = reader_of(path), array_of(path)
    assert np.array_equal(reader.read(array, (2, 2)), stores["sharded"].array("10", "count")[256:384, 256:384])
    with pytest.raises(ChunkReadError) as caught:
        reader.read(array, (3, 2))
    assert caught.value.chunk == "3.2"


@pytest.mark.parametrize(
    ("entry", "error"),
    [((2**40, 10), ChunkReadError), ((0, 2**40), LimitError), ((2**63, 10), ChunkReadError)],
)
def test_an_index_that_lies_is_refused_without_a_read(
    stores: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: tuple[int, int], error: type
) -> None:
    path = copy_of(stores["sharded"].path, tmp_path)
    shard = path / "10/count/c/1/1"
    data = bytearray(shard.read_bytes())
    data[-INDEX_BYTES : -INDEX_BYTES + 16] = np.array(entry, "<u8").tobytes()
    shard.write_bytes(with_new_checksum(data))
    reader, array, requests = reader_of(path), array_of(path), Requests(monkeypatch)
    with pytest.raises(error):
        reader.read(array, (2, 2))
    assert len(requests) == 1  # the index alone


def test_an_object_larger_than_a_chunk_can_be_is_refused(stores: dict[str, Any], tmp_path: Path) -> None:
    path = copy_of(stores["count"].path, tmp_path)
    array = array_of(path)
    most = array.storage.chain.most_stored_bytes
    (path / "10/count/c/1/1").write_bytes(bytes(most + 1))
    with pytest.raises(LimitError) as caught:
        reader_of(path).read(array, (1, 1))
    assert (caught.value.allowed, caught.value.found) == (most, most + 1)
    assert caught.value.limit == "stored object in bytes"  # told by the store before the body is read


def test_a_store_that_fails_is_an_error_and_no_empty_chunk(stores: dict[str, Any], tmp_path: Path) -> None:
    path = copy_of(stores["count"].path, tmp_path)
    array = array_of(path)
    shutil.rmtree(path / "10/count/c/1")
    (path / "10/count/c/1").write_bytes(b"a file where a folder was")
    with pytest.raises(StoreError) as caught:
        reader_of(path).read(array, (1, 1))
    assert caught.value.key == "10/count/c/1/1"


def test_an_error_is_forgotten(stores: dict[str, Any], tmp_path: Path) -> None:
    path = copy_of(stores["count"].path, tmp_path)
    reader, array, file = reader_of(path), array_of(path), path / "10/count/c/1/1"
    data = file.read_bytes()
    file.write_bytes(b"")
    with pytest.raises(ChunkReadError):
        reader.read(array, (1, 1))
    file.write_bytes(data)
    assert reader.read(array, (1, 1)) is not None


def test_readers_of_other_versions_do_not_share_chunks(stores: dict[str, Any]) -> None:
    path = stores["count"].path
    cache, array = chunk_cache(2**24), array_of(path)
    assert ChunkReader(store.open_store(path), cache, "one").read(array, (1, 1)) is not None
    assert ChunkReader(MemoryStore(), cache, "other").read(array, (1, 1)) is None


def test_the_cache_counts_what_it_holds() -> None:
    empty = cached_bytes(None)
    assert empty > 0
    assert cached_bytes(np.zeros((4, 4), np.float64)) == empty + 128
    assert cached_bytes(Shard(np.zeros((2, 2, 2), np.uint64), 10)) == empty + 64


def test_a_window_meets_the_chunks_it_touches(stores: dict[str, Any]) -> None:
    array = array_of(stores["sharded"].path)
    found = dict(chunks_of(array, Window(127, 200, 2, 56)))
    # Rows 127 and 128 lie in chunk rows 0 and 1 of 128; columns 200 to 255 in chunk column 1.
    assert found == {(0, 1): Window(0, 128, 128, 128), (1, 1): Window(128, 128, 128, 128)}
