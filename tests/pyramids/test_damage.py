"""Full disks, sources that change or are damaged, numbers without a mean (FAULTS.md section 3: B2, B8, B9, B11)."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from obstore.store import MemoryStore

import builds
import pyramids
from builds import FakeSource, scene
from faults import FullDisk
from geozarr import SourceChangedError, StoreError, Window, stores
from pyramids import Options, RasterSource, Slice, journal
from pyramids.sources import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HERE = Path(__file__).parent
_PASSING = ("/lease/", "/published.json", "/journal/", "/handover/")  # tell when or by whom something was built


@pytest.fixture
def at_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journal every unit at once, so that faults find builds at every stage though they are quick."""
    monkeypatch.setattr(journal, "INTERVAL", 0.0)
    monkeypatch.setattr(blocks, "CELL_PIXELS", 1)


def files(folder: Path) -> dict[str, bytes]:
    """All that a build leaves in a folder for good."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {key: path.read_bytes() for key, path in found.items() if not any(part in f"/{key}" for part in _PASSING)}


def small_source() -> FakeSource:
    return FakeSource(scene("int16", (1, 150, 130)), nodata=-9999, block_shape=(64, 64))


@pytest.mark.usefixtures("at_every_stage")
def test_b2_a_disk_that_is_full_at_any_put_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """Each put of a build in turn is the one that does not fit; with room, it goes on to the same bytes."""
    monkeypatch.setattr(stores, "_sync_folder", lambda _: None)  # waits for the disk of the whole machine
    given = small_source()
    plan = builds.plan_for(given, tms="native", chunk=32, shard=64, workers=1)
    counted = FullDisk(sys.maxsize)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", counted)
        pyramids.execute(plan, given, tmp_path / "whole")
    expected = files(tmp_path / "whole")
    for at in range(counted.calls):
        disk, target = FullDisk(at), tmp_path / str(at)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", disk)
            with pytest.raises(StoreError) as caught:
                pyramids.execute(plan, given, target)
            assert (caught.value.operation, caught.value.attempts) == ("put", 1)
            assert caught.value.key
            assert isinstance(caught.value.__cause__, OSError)
            assert caught.value.__cause__.errno == errno.ENOSPC
            assert not (target / "zarr.json").exists()
            assert not [path for path in target.rglob("*") if "#" in path.name], "a file that was staged stayed behind"
            disk.has_room = True
            pyramids.execute(plan, given, target, resume=True)
        assert files(target) == expected, f"put {at}"
        shutil.rmtree(target)
    record_property("puts", counted.calls)
    assert counted.calls > 40


@pytest.mark.faults
@pytest.mark.skipif(sys.platform == "win32", reason="limits and file systems of POSIX")
@pytest.mark.parametrize("kind", ["size", "tmpfs"])
def test_b2_a_disk_that_is_really_full_loses_nothing(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, str(_HERE / "disk_limits.py"), kind, str(tmp_path)]
    if kind == "tmpfs":
        if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
            pytest.skip("no way to mount a file system")
        command = ["unshare", "--user", "--map-root-user", "--mount", *command]
    path = os.pathsep.join([str(_HERE.parents[1]), str(_HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    if kind == "tmpfs" and (done.returncode == 77 or done.stderr.startswith("unshare:")):
        pytest.skip("no file system can be mounted here")
    assert done.returncode == 0, done.stderr


def write_tiff(path: Path, values: np.ndarray, **profile: Any) -> Path:
    """Write a GeoTIFF of shape (band, row, col) in deflated tiles of 64 pixels."""
    settings = {
        "driver": "GTiff",
        "count": len(values),
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype.name,
        "crs": builds.UTM,
        "transform": Affine(30, 0, 500000, 0, -30, 5000000),
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **(settings | profile)) as dataset:
        dataset.write(values)
    return path


def small_cells(source: RasterSource, **choices: Any) -> pyramids.Plan:
    """Units of one block of 64 pixels, so that even small rasters make many of them."""
    plan = pyramids.make_plan(source, Options(**({"tms": "native", "chunk": 64, "workers": 1} | choices)))
    return dataclasses.replace(plan, block=64, cut=0)


def rewritten(path: Path, values: np.ndarray) -> None:
    """Write the same raster with other pixels, in another file under its name, as most tools do."""
    write_tiff(path.with_suffix(".new"), values)
    path.with_suffix(".new").replace(path)


def appended(path: Path, _: np.ndarray) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def gone(path: Path, _: np.ndarray) -> None:
    path.unlink()


@pytest.mark.usefixtures("at_every_stage")
@pytest.mark.parametrize("change", [rewritten, appended, gone])
def test_b8_a_file_that_is_rewritten_between_two_units_ends_the_build_at_once(
    tmp_path: Path, change: Callable[[Path, np.ndarray], None]
) -> None:
    path = write_tiff(tmp_path / "x.tif", scene("int16", (1, 640, 64)))
    source = RasterSource(path)
    plan = small_cells(source)
    reads: list[Window] = []
    read = source.read
    changed_after = 0

    def counted(window: Window, slices: Sequence[Slice], out: np.ndarray | None = None) -> pyramids.Pixels:
        reads.append(window)
        return read(window, slices, out)

    source.read = counted  # type: ignore[method-assign]

    def listener(_: pyramids.Report) -> None:
        nonlocal changed_after
        if not changed_after:
            change(path, scene("int16", (1, 640, 64), seed=2))
            changed_after = len(reads)

    before = source.fingerprint
    store = MemoryStore()
    with pytest.raises(SourceChangedError) as caught:
        pyramids.execute(plan, source, store, listener=listener)
    assert (caught.value.source, caught.value.before) == (str(path), before)
    assert caught.value.now != before
    assert builds.objects(store).keys() & {"zarr.json"} == set()
    # The unit under way, and what is read ahead of it: not the seven or so that were left.
    assert changed_after > 0
    assert len(reads) - changed_after <= 3


def test_b8_a_file_that_changes_while_a_block_is_decoded_is_not_damaged_but_changed(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", scene("int16", (1, 640, 64)))
    source = RasterSource(path)
    source.read(Window(0, 0, 64, 64), [Slice(0, 0)])
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(SourceChangedError):
        source.read(Window(320, 0, 64, 64), [Slice(0, 0)])


def test_b8_a_file_behind_a_virtual_one_is_watched(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", scene("int16", (1, 128, 64)))
    rasterio.shutil.copy(path, tmp_path / "x.vrt", driver="VRT")
    source = RasterSource(tmp_path / "x.vrt")
    before = source.fingerprint
    assert RasterSource(tmp_path / "x.vrt").fingerprint == before
    source.read(Window(0, 0, 64, 64), [Slice(0, 0)])
    rewritten(path, scene("int16", (1, 128, 64), seed=2))
    assert source.fingerprint != before
    with pytest.raises(SourceChangedError):
        source.read(Window(64, 0, 64, 64), [Slice(0, 0)])


def test_b8_a_plan_of_another_state_of_the_source_is_refused_before_the_first_read(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", scene("int16", (1, 128, 64)))
    plan = pyramids.make_plan(RasterSource(path), Options(tms="native"))
    rewritten(path, scene("int16", (1, 128, 64), seed=2))
    with pytest.raises(SourceChangedError):
        pyramids.execute(plan, RasterSource(path), tmp_path / "x.zarr")
    assert not list((tmp_path / "x.zarr").rglob("*.json"))
