"""A pyramid as one zip file: whole or not there, the same bytes each time, and read by others."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from obstore.store import MemoryStore

import builds
import conformance
import pyramids
from builds import FakeSource, scene
from faults import Death, FaultStore, contents
from geozarr import (
    BuildIncompleteError,
    ChunkReadError,
    MetadataError,
    ParameterError,
    StoreError,
    TargetExistsError,
    UnsupportedError,
    Window,
)
from geozarr import store as store_module
from tiler.chunks import chunk_cache
from tiler.pyramid import open_pyramid
from tiler.source import PyramidSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geozarr.stores import Store

GDAL = tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])


def source(seed: int = 1) -> FakeSource:
    """Some blocks, one of them empty."""
    values = scene("int16", (1, 300, 260), seed=seed)
    values[0, :128, 128:] = -9999
    given = FakeSource(values, nodata=-9999, block_shape=(64, 64))
    given.fingerprint = f"scene {seed}"
    return given


def built(store: Any, seed: int = 1, **how: Any) -> Store:
    """A pyramid with several chunks on each level."""
    given = source(seed)
    plan = builds.plan_for(given, tms="native", chunk=32, shard="none", levels=3, workers=1)
    pyramids.execute(dataclasses.replace(plan, block=64, cut=1), given, store, **how)
    return store_module.open_store(store)


@pytest.fixture
def store() -> Store:
    """A pyramid in memory."""
    return built(MemoryStore())


def test_a_zip_file_holds_what_readers_need_and_no_more(store: Store, tmp_path: Path) -> None:
    store.put(".build/lease/000001.json", b"{}")
    store.put("letter.txt", b"dear")
    packed = pyramids.pack(store, tmp_path / "p.zarr.zip")
    found = contents(store_module.open_store(tmp_path / "p.zarr.zip"))
    everything = contents(store)
    assert all(everything[key] == data for key, data in found.items())
    left_out = everything.keys() - found.keys()
    names = {f".build/{packed.build}/plan.json", f".build/{packed.build}/published.json"}
    assert left_out == names | {".build/lease/000001.json", "letter.txt"}
    assert packed.objects == len(found) > 50
    assert packed.size == (tmp_path / "p.zarr.zip").stat().st_size
    assert list(tmp_path.iterdir()) == [tmp_path / "p.zarr.zip"]


def test_levels_of_former_builds_stay_behind(tmp_path: Path) -> None:
    folder = tmp_path / "p.zarr"
    built(folder)
    built(folder, 2, overwrite=True)
    packed = pyramids.pack(folder, tmp_path / "p.zip")
    keys = set(contents(store_module.open_store(tmp_path / "p.zip")))
    roots = {key.partition("/")[0] for key in keys}
    assert roots == {"zarr.json", ".build", packed.build[:8]}
    assert {key.split("/")[1] for key in keys if key.startswith(".build/")} == {packed.build}
    assert conformance.check(tmp_path / "p.zip").exit_status == 0


def test_entries_are_stored_and_documents_come_first(store: Store, tmp_path: Path) -> None:
    pyramids.pack(store, tmp_path / "p.zip")
    with zipfile.ZipFile(tmp_path / "p.zip") as file:
        assert file.testzip() is None
        entries = file.infolist()
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    names = [entry.filename for entry in entries]
    assert names[0] == "zarr.json"
    documents = [name for name in names if name.endswith("zarr.json")]
    assert names[: len(documents)] == documents
    depths = [name.count("/") for name in documents]
    assert depths == sorted(depths)
    assert len(set(names)) == len(names)


def test_the_same_pyramid_gives_the_same_bytes(store: Store, tmp_path: Path) -> None:
    """Built again, from a folder or memory, and packed from its own zip file."""
    pyramids.pack(store, tmp_path / "1.zip")
    pyramids.pack(built(tmp_path / "p.zarr"), tmp_path / "2.zip")
    pyramids.pack(tmp_path / "2.zip", tmp_path / "3.zip")
    first = (tmp_path / "1.zip").read_bytes()
    assert (tmp_path / "2.zip").read_bytes() == first
    assert (tmp_path / "3.zip").read_bytes() == first
    pyramids.pack(built(MemoryStore(), 2), tmp_path / "4.zip")
    assert (tmp_path / "4.zip").read_bytes() != first


def test_zarr_python_and_xarray_read_it(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "p.zarr.zip"
    pyramids.pack(store, path)
    values = source().values[0]
    with zarr.storage.ZipStore(path, mode="r") as opened:
        group = zarr.open_group(opened, mode="r", zarr_format=3)
        array = group["0/v0"]
        assert isinstance(array, zarr.Array)
        np.testing.assert_array_equal(array[...], values)
    with (
        zarr.storage.ZipStore(path, mode="r") as opened,
        xr.open_zarr(opened, group="1", consolidated=False, zarr_format=3, mask_and_scale=False) as level,
    ):
        assert level["v0"].shape == (150, 130)
        assert (level["v0"].values != -9999).any()


@pytest.mark.skipif(GDAL < (3, 12), reason="GDAL before 3.12 does not read the final form of Zarr v3 codecs")
def test_gdal_reads_it(tmp_path: Path) -> None:
    raster = tmp_path / "r.tif"
    values = scene("int16", (300, 260))
    builds.data_array(values).rio.to_raster(raster)
    pyramids.build(raster, tmp_path / "p.zarr", tms="native", chunk=64, levels=2, shard="none")
    pyramids.pack(tmp_path / "p.zarr", tmp_path / "p.zarr.zip")
    shutil.rmtree(tmp_path / "p.zarr")
    with rasterio.open(f'ZARR:"/vsizip/{tmp_path}/p.zarr.zip":/0/v') as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)


def test_the_checker_and_the_reader_read_it(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "p.zarr.zip"
    pyramids.pack(store, path)
    report = conformance.check(str(path))
    assert report.exit_status == 0, report.to_text()
    assert report.pyramids == 1
    opened = store_module.open_store(path)
    pyramid = open_pyramid(opened)
    assert pyramid.manifest is not None
    window = Window(20, 30, 200, 200)
    block = PyramidSource(opened, pyramid, cache=chunk_cache(2**24)).read_window(0, window, pyramid.bands(("v0",)))
    valid = source().mask(0)[window.slices]
    np.testing.assert_array_equal(block.mask[0], valid)
    np.testing.assert_array_equal(block.values[0][valid], source().values[0][window.slices][valid])


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "lost": lambda _: None,
    "cut": lambda data: data[:-1],
    "grown": lambda data: data + b"x",
    "flipped": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "emptied": lambda _: b"",
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("part", ["0/v0/c/3/2", "1/x/c/0", "0/v0/zarr.json", "/manifest.json", "/manifest/0/v0/0"])
def test_a_damaged_object_is_named_and_nothing_is_left_behind(
    store: Store, tmp_path: Path, how: str, part: str
) -> None:
    (key,) = (key for key in contents(store) if key == part or (part[0] == "/" and key.endswith(part)))
    data = DAMAGE[how](contents(store)[key])
    store.delete(key)
    if data is not None:
        store.put(key, data)
    (tmp_path / "other.zip").write_bytes(b"mine")
    for path, overwrite in ((tmp_path / "p.zip", False), (tmp_path / "other.zip", True)):
        with pytest.raises(ChunkReadError) as caught:
            pyramids.pack(store, path, overwrite=overwrite)
        assert key.rpartition("/")[2] in str(caught.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "other.zip"]
    assert (tmp_path / "other.zip").read_bytes() == b"mine"


def test_death_at_any_moment_leaves_no_half_zip_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """A process that is gone tidies nothing; what it leaves does not look like a zip file, and does not matter."""
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
    counted = FaultStore(store)
    pyramids.pack(counted, tmp_path / "whole.zip")
    for at in range(len(counted.operations)):
        with pytest.raises(Death):
            pyramids.pack(FaultStore(store, at=at), tmp_path / "p.zip")
        assert [path.name for path in tmp_path.glob("*.zip")] == ["whole.zip"]
    record_property("crash points", len(counted.operations))
    assert len(counted.operations) > 50
    assert len(list(tmp_path.glob(".p.zip.*.part"))) > 50
    pyramids.pack(store, tmp_path / "p.zip")
    assert (tmp_path / "p.zip").read_bytes() == (tmp_path / "whole.zip").read_bytes()


def test_it_is_on_the_disk_before_it_has_its_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.zip"
    seen: list[tuple[bool, int]] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        seen.append((path.exists(), os.fstat(handle).st_size))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    packed = pyramids.pack(store, path)
    assert seen[0] == (False, packed.size)
    assert [exists for exists, _ in seen] == [False, True]  # the file, then its folder


def test_a_file_that_is_there_is_kept_unless_told_otherwise(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    path.write_bytes(b"mine")
    with pytest.raises(TargetExistsError, match="a file"):
        pyramids.pack(store, path)
    assert path.read_bytes() == b"mine"
    pyramids.pack(store, path, overwrite=True)
    assert zipfile.is_zipfile(path)
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(TargetExistsError, match="a folder"):
        pyramids.pack(store, tmp_path / "folder.zip", overwrite=True)


def test_a_file_that_appears_meanwhile_is_kept(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "p.zip"

    class Meddled(FaultStore):
        def get(self, key: str, **part: Any) -> Any:
            path.write_bytes(b"theirs")
            return super().get(key, **part)

    with pytest.raises(TargetExistsError):
        pyramids.pack(Meddled(store), path)
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_packed_is_refused(tmp_path: Path, store: Store) -> None:
    unfinished = tmp_path / "u.zarr"
    built(unfinished)
    (unfinished / "zarr.json").unlink()
    with pytest.raises(BuildIncompleteError, match="nothing is published"):
        pyramids.pack(unfinished, tmp_path / "u.zip")
    with pytest.raises(MetadataError, match="no pyramid"):
        pyramids.pack(MemoryStore(), tmp_path / "u.zip")
    foreign = store_module.open_store(MemoryStore())
    foreign.put("zarr.json", b'{"zarr_format": 3, "node_type": "group"}')
    with pytest.raises(MetadataError, match="its manifest"):
        pyramids.pack(foreign, tmp_path / "u.zip")
    with pytest.raises(ParameterError, match=r"ends in \.zip"):
        pyramids.pack(store, tmp_path / "u.zarr")
    folder = tmp_path / "p.zarr"
    built(folder)
    with pytest.raises(ParameterError, match="outside of"):
        pyramids.pack(folder, folder / "0" / "p.zip")
    with pytest.raises(StoreError) as caught:
        pyramids.pack(folder, tmp_path / "nowhere" / "p.zip")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.zarr", "u.zarr"]


def test_a_full_disk_is_a_store_error_and_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError) as caught:
        pyramids.pack(store, tmp_path / "p.zip")
    assert caught.value.operation == "put"
    assert not list(tmp_path.iterdir())


def test_a_zip_file_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="pack"):
        built(tmp_path / "p.zarr.zip")
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_pyramid(tmp_path: Path) -> None:
    """Sixteen times the pixels, the same peak but for the lines of the list."""
    peaks = []
    for side in (256, 1024):
        values = np.random.default_rng(1).integers(1, 2**16, (1, side, side)).astype("uint16")
        given = FakeSource(values, nodata=0, block_shape=(256, 256))
        folder = tmp_path / str(side)
        pyramids.build(given, folder, tms="native", chunk=128, levels=2, shard="none")
        tracemalloc.start()
        try:
            packed = pyramids.pack(folder, tmp_path / f"{side}.zip")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        shutil.rmtree(folder)
    assert packed.size > 2 * 2**20
    assert peaks[1] < peaks[0] + 2**18
