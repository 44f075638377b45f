"""Full disks, sources that change or are damaged, numbers without a mean (FAULTS.md section 3: B2, B8, B9, B11)."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from click.testing import CliRunner
from obstore.store import MemoryStore

import builds
import pyramids
from builds import FakeSource, scene
from faults import FullDisk, files, stops_after
from geozarr import ChunkReadError, ParameterError, SourceChangedError, StoreError, Window
from geozarr import files as object_files
from pyramids import Options, RasterSource, Slice
from pyramids import plan as plan_module
from pyramids.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HERE = Path(__file__).parent


def small_source() -> FakeSource:
    return FakeSource(scene("int16", (1, 150, 130)), nodata=-9999, block_shape=(64, 64))


@pytest.mark.usefixtures("at_every_stage")
def test_b2_a_disk_that_is_full_at_any_put_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """Each put of a build in turn is the one that does not fit; with room, it goes on to the same bytes."""
    monkeypatch.setattr(object_files, "sync", lambda _: None)  # waits for the disk of the whole machine
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
    command = [sys.executable, str(_HERE.parent / "disk_limits.py"), kind, str(tmp_path)]
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


def tile_bytes(path: Path, row: int, col: int, *, band: int = 1) -> tuple[int, int]:
    """Where a tile lies in a file: offset and length."""
    with rasterio.open(path) as dataset:
        tags = [dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=band) for what in ("OFFSET", "SIZE")]
    return int(tags[0]), int(tags[1])


def damage_tile(path: Path, row: int, col: int, *, band: int = 1) -> None:
    """Flip some bits at the beginning of a compressed tile.

    GDAL does not compare the checksum at its end: flips further in that still unpack are not noticed by it.
    """
    offset, _ = tile_bytes(path, row, col, band=band)
    data = bytearray(path.read_bytes())
    for at in range(offset, offset + 16):
        data[at] ^= 0x5A
    path.write_bytes(data)


def pixels_of(store: MemoryStore) -> dict[str, bytes]:
    """All that readers see but the root document, which names the build."""
    return {key: data for key, data in builds.objects(store).items() if key != "zarr.json"}


BLOCK = Window(128, 64, 64, 64)  # the tile that is damaged: row 2, column 1
NATIVE = {"tms": "native", "chunk": 64}
WARPED = {"tms": "WebMercatorQuad", "max_zoom": 12, "min_zoom": 10}
AREAS = {**WARPED, "resampling": "average"}


def test_b9_a_damaged_block_ends_the_build_and_is_named(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", scene("int16", (1, 300, 260)), nodata=-9999)
    damage_tile(path, 2, 1)
    store = MemoryStore()
    with pytest.raises(ChunkReadError) as caught:
        pyramids.build(path, store, tms="native")
    assert caught.value.array == str(path)
    assert "rows" in caught.value.chunk
    assert caught.value.__cause__ is not None
    assert "zarr.json" not in builds.objects(store)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("choices", [NATIVE, WARPED, AREAS], ids=["native", "bilinear", "area"])
def test_b9_a_damaged_block_is_no_data_and_costs_no_pixel_beside_it(
    tmp_path: Path, choices: dict[str, Any], dtype: str
) -> None:
    """The pyramid is that of a source in which the block is no data; beyond its reach it is that of a whole one."""
    values, nodata = scene(dtype, (2, 300, 260)), -9999
    for name in ("damaged", "whole", "hole"):
        holed = values.copy()
        if name == "hole":
            holed[(0, *BLOCK.slices)] = nodata
        write_tiff(tmp_path / f"{name}.tif", holed, nodata=nodata, interleave="band")
    damage_tile(tmp_path / "damaged.tif", 2, 1)
    found, report = MemoryStore(), None
    source = RasterSource(tmp_path / "damaged.tif")
    plan = pyramids.make_plan(source, Options(**choices, damaged="nodata"))
    report = pyramids.execute(plan, source, found)
    (damage,) = report.damaged
    assert damage == (str(tmp_path / "damaged.tif"), "bands [1], rows 128-192, columns 64-128")
    _, hole = builds.build(tmp_path / "hole.tif", **choices)
    assert pixels_of(found) == pixels_of(hole)
    _, whole = builds.build(tmp_path / "whole.tif", **choices)
    changed = {key for key, data in pixels_of(whole).items() if pixels_of(found).get(key) != data}
    assert changed
    assert not [key for key in changed if key.split("/")[1] == "b2" and "/c/" in key], "the other band"
    finest = plan.levels.assets[0]
    differ = builds.read(found, f"{finest}/b1") != builds.read(whole, f"{finest}/b1")
    assert differ.any()
    if choices is NATIVE:
        differ[BLOCK.slices] = False
        assert not differ.any()


def test_b9_all_bands_under_one_alpha_are_missing_where_one_is_damaged(tmp_path: Path) -> None:
    """Integers without a nodata value: only alpha can tell, and it tells for all of them."""
    values = scene("uint8", (3, 300, 260))
    path = write_tiff(tmp_path / "x.tif", values, interleave="band")
    whole = write_tiff(tmp_path / "whole.tif", values, interleave="band")
    damage_tile(path, 2, 1, band=2)
    mask = np.ones((300, 260), bool)
    mask[BLOCK.slices] = False
    _, found = builds.build(path, **WARPED, damaged="nodata")
    _, good = builds.build(whole, **WARPED)
    with rasterio.open(path) as dataset:
        grid = {"transform": dataset.transform, "code": builds.UTM}
    names = tuple(item.name for item in RasterSource(path).variables)
    attributes = [item.attributes for item in RasterSource(path).variables]
    assert len(attributes) == 3
    _, hole = builds.build(FakeSource(values, valid=mask, names=names, **grid), **WARPED)
    for level in ("12", "11", "10"):
        for name in (*names, "alpha"):
            np.testing.assert_array_equal(builds.read(found, f"{level}/{name}"), builds.read(hole, f"{level}/{name}"))
    lost = builds.read(good, "12/alpha") != builds.read(found, "12/alpha")
    assert lost.any()
    assert (builds.read(found, "12/alpha")[lost] == 0).all()


def test_b9_what_cannot_be_said_to_be_missing_is_refused_at_plan(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", scene("uint8", (3, 300, 260)))
    source = RasterSource(path)
    with pytest.raises(ParameterError) as caught:
        pyramids.make_plan(source, Options(tms="native", damaged="nodata"))
    assert caught.value.parameter == "damaged"
    assert "which has none" in str(caught.value)
    plan = pyramids.make_plan(source, Options(damaged="nodata"))
    assert plan.has_alpha
    mixed = FakeSource(scene("uint8", (200, 300, 260)), leading=(pyramids.Axis("time", tuple(range(200))),))
    with pytest.raises(ParameterError, match="200 slices under one alpha"):
        pyramids.make_plan(mixed, Options(damaged="nodata", memory=450 * 2**20))
    with pytest.raises(ParameterError):
        pyramids.make_plan(source, Options(damaged="guess"))
    assert pyramids.make_plan(RasterSource(path, nodata=0), Options(tms="native", damaged="nodata")).damaged == "nodata"


def test_b9_a_plan_says_what_is_done_about_damage(tmp_path: Path) -> None:
    source = RasterSource(write_tiff(tmp_path / "x.tif", scene("int16", (1, 300, 260)), nodata=-9999))
    stops, goes_on = (pyramids.make_plan(source, Options(damaged=damaged)) for damaged in ("error", "nodata"))
    assert stops.identity != goes_on.identity
    assert plan_module.from_document(goes_on.to_document()) == goes_on
    assert "cannot be read are taken for missing" in str(goes_on)


@pytest.mark.usefixtures("at_every_stage")
@pytest.mark.parametrize("after", [1, 3, 6, 12, 18])
def test_b9_a_build_that_goes_on_lists_the_damage_of_before(tmp_path: Path, after: int) -> None:
    path = write_tiff(tmp_path / "x.tif", scene("int16", (1, 300, 260)), nodata=-9999)
    damage_tile(path, 0, 0)
    damage_tile(path, 2, 1)
    damage_tile(path, 4, 3)
    source = RasterSource(path)
    plan = small_cells(source, damaged="nodata")
    whole, store = MemoryStore(), MemoryStore()
    expected = pyramids.execute(plan, source, whole).damaged
    assert [item.chunk.partition(" rows ")[2] for item in expected] == [
        "0-64, columns 0-64",
        "128-192, columns 64-128",
        "256-300, columns 192-256",
    ]
    with pytest.raises(KeyboardInterrupt):
        pyramids.execute(plan, source, store, listener=stops_after(after))
    again = pyramids.execute(plan, source, store, resume=True)
    assert again.damaged == expected
    assert pixels_of(store) == pixels_of(whole)
    assert pyramids.execute(plan, source, store, resume=True).damaged == expected, "published"


def test_b9_a_damaged_chunk_of_a_zarr_is_no_data(tmp_path: Path) -> None:
    array = builds.data_array(scene("int16", (300, 260)), attrs={"_FillValue": np.int16(-9999)})
    encoding = {"v": {"chunks": (64, 64)}}
    dataset = array.to_dataset().assign_attrs({"proj:code": builds.UTM}).drop_vars("spatial_ref")
    dataset.to_zarr(tmp_path / "x.zarr", zarr_format=3, encoding=encoding, consolidated=False)
    chunk = tmp_path / "x.zarr" / "v" / "c" / "2" / "1"
    chunk.write_bytes(chunk.read_bytes()[:100])
    with pytest.raises(ChunkReadError):
        builds.build(tmp_path / "x.zarr", tms="native")
    source = pyramids.open_source(tmp_path / "x.zarr")
    report = pyramids.execute(builds.plan_for(source, tms="native", damaged="nodata"), source, store := MemoryStore())
    assert [item.chunk for item in report.damaged] == ["2.1"]
    expected = array.values.copy()
    expected[BLOCK.slices] = -9999
    np.testing.assert_array_equal(builds.read(store, "0/v"), expected)


@pytest.mark.parametrize("options", [(), ("--damaged", "nodata")])
def test_b9_the_command_lists_damaged_blocks_and_ends_with_3(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = write_tiff(tmp_path / "x.tif", scene("int16", (1, 300, 260)), nodata=-9999)
    damage_tile(path, 2, 1)
    arguments = [str(path), str(tmp_path / "x.zarr"), "--tms", "native", "--quiet", *options]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == (3 if options else 4), result.output
    assert (tmp_path / "x.zarr" / "zarr.json").exists() == bool(options)
    if options:
        assert result.stderr.splitlines() == [
            f"geozarr-build: damaged: {path}: bands [1], rows 128-192, columns 64-128",
            "geozarr-build: published, with 1 damaged blocks of the source as no data",
        ]
        assert CliRunner().invoke(main, [*arguments, "--resume"]).exit_code == 3


def test_b9_a_real_broken_file_is_built_without_its_damaged_blocks(data_dir: Path) -> None:
    path = data_dir / "broken" / "corrupt.tif"
    with pytest.raises(ChunkReadError):
        builds.build(path)
    source = RasterSource(path)
    plan = pyramids.make_plan(source, Options(tms="native", nodata=None, damaged="nodata"))
    report = pyramids.execute(plan, source, MemoryStore())
    assert report.damaged
    assert {item.array for item in report.damaged} == {str(path)}


def awkward(dtype: str, shape: tuple[int, int], *, seed: int) -> np.ndarray:
    """Numbers of which a tenth are NaN, some infinite of either sign, some denormal; and corners of each kind alone."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1000, shape).astype(dtype)
    kind = rng.random(shape)
    values[kind < 0.1] = np.nan
    values[(kind > 0.1) & (kind < 0.104)] = np.inf
    values[(kind > 0.104) & (kind < 0.108)] = -np.inf
    values[:16, :16] = np.finfo(dtype).smallest_subnormal * rng.integers(1, 100, (16, 16))
    values[:16, 16:32] = np.inf
    values[:16, 32:48] = -np.inf
    values[:16, 48:64] = np.nan
    values[:16, 64:80] = np.finfo(dtype).max
    return values


def slow_means(values: np.ndarray, side: int) -> tuple[np.ndarray, int]:
    """Mean of each square, exact but for the last rounding, and how many have none because infinities met."""
    shape = tuple(-(-length // side) for length in values.shape)
    found, undefined = np.full(shape, np.nan), 0
    for row, col in np.ndindex(shape):
        under = values[row * side : (row + 1) * side, col * side : (col + 1) * side].astype(np.float64).ravel()
        under = under[~np.isnan(under)]
        infinite = set(under[np.isinf(under)].tolist())
        if len(infinite) == 2:
            undefined += 1
        elif infinite:
            found[row, col] = infinite.pop()
        elif under.size:
            found[row, col] = float(sum(map(Fraction, under.tolist())) / under.size)
    return found, undefined


@pytest.mark.parametrize("nodata", [None, -9999.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_b11_means_of_awkward_numbers_are_the_oracles_and_undefined_ones_are_counted(
    dtype: str, nodata: float | None
) -> None:
    values = awkward(dtype, (160, 141), seed=5)
    if dtype == "float64":
        values[:16, 64:80] = 1  # sums of the largest are infinite
    source = FakeSource(values[np.newaxis], nodata=nodata)
    plan = dataclasses.replace(builds.plan_for(source, tms="native", chunk=32, levels=5), block=64, cut=1)
    store, report = builds.run(plan, source)
    expected = 0
    for step in range(5):
        means, undefined = slow_means(values, 2**step)
        expected += undefined if step else 0
        found = builds.read(store, f"{step}/v0").astype(np.float64)
        if nodata is not None:
            assert not np.isnan(found).any()
            found[found == nodata] = np.nan
        # Float64 sums of numbers around 1000 that nearly cancel out.
        np.testing.assert_allclose(found, means.astype(dtype), rtol=np.finfo(dtype).eps, atol=1e-11)
        tiny = np.s_[: 16 >> step, : 16 >> step]
        np.testing.assert_array_equal(found[tiny], means.astype(dtype)[tiny])
        np.testing.assert_array_equal(np.isnan(found), np.isnan(means))
    assert expected > 20
    assert report.undefined == expected
    tiny = builds.read(store, "1/v0")[:8, :8]
    assert ((tiny > 0) & (tiny < np.finfo(dtype).tiny)).all(), "denormals survive"


@pytest.mark.parametrize("method", ["average", "sum", "median", "bilinear", "cubic"])
def test_b11_windows_of_the_warp_are_counted_too(method: str) -> None:
    """The source has two pixels for each of the finest level, and lies on its tiles: windows are squares of 2 x 2.

    In the middle of one interpolation weighs its four pixels alike, and `cubic` twelve more, which are finite here.
    """
    side = 20037508.342789244 * 2 / 256 / 2**11
    corner = 20037508.342789244
    values = np.ones((1, 512, 512), np.float32)
    for row, col in ((0, 0), (10, 300), (510, 510), (254, 256), (256, 128)):  # some beside edges of blocks
        values[0, row, col], values[0, row + 1, col + 1] = np.inf, -np.inf
        if method == "median":  # the mean of the two in the middle
            values[0, row, col + 1], values[0, row + 1, col] = np.inf, -np.inf
    values[0, 100, 100] = np.inf
    values[0, 40:60, 40:60] = np.nan
    transform = Affine(side, 0, -corner + 512 * side, 0, -side, corner - 512 * side)
    source = FakeSource(values, code="EPSG:3857", transform=transform)
    plan = builds.plan_for(source, max_zoom=10, min_zoom=10, resampling=method)
    _, report = builds.run(plan, source)
    assert report.undefined == 5


@pytest.mark.usefixtures("at_every_stage")
def test_b11_a_build_that_goes_on_counts_each_unit_once() -> None:
    values = awkward("float32", (300, 260), seed=6)
    source = FakeSource(values[np.newaxis], block_shape=(64, 64))
    plan = dataclasses.replace(builds.plan_for(source, tms="native", chunk=32, levels=5, workers=1), block=64, cut=1)
    whole, report = builds.run(plan, source)
    assert report.undefined > 20
    for after, loses in ((1, False), (5, False), (8, False), (5, True), (8, True)):
        store, told = MemoryStore(), 0

        def listener(_: pyramids.Report, after: int = after) -> None:
            nonlocal told
            told += 1
            if told == after:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pyramids.execute(plan, source, store, listener=listener)
        if loses:  # so that units are done twice
            for key in [key for key in builds.objects(store) if "/c/" in key][::2]:
                store.delete(key)
        again = pyramids.execute(plan, source, store, resume=True)
        assert again.undefined == report.undefined
        assert pixels_of(store) == pixels_of(whole)
        assert pyramids.execute(plan, source, store, resume=True).undefined == report.undefined
