"""Several sources become one pyramid in which a stated rule decides each pixel, held against GDAL source by source."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import builds
import pyramids
from builds import FakeSource, scene
from conformance import check
from geozarr import Window
from geozarr.errors import ChunkReadError, MetadataError, ParameterError, TargetExistsError, UnsupportedError
from pyramids import Options, Slice, chunking
from pyramids.cli import main
from pyramids.mosaic import OVERLAPS, Mosaic, PlacedMosaic
from pyramids.sources import blocks
from pyramids.stack import PlacedStack, of_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from geozarr import Grid

SIDE = 40  # pixels of a tile
CELL = 100.0  # metres
ZONES = {32: (740_000.0, 5_600_000.0), 33: (310_000.0, 5_600_000.0)}  # around the border of the zones, 12 degrees east


def tile(folder: Path, zone: int, row: int, col: int, *, dtype: str = "int16", nodata: float | None = -1) -> Path:
    """A tile whose neighbours overlap it by a quarter, with a hole."""
    left, top = ZONES[zone]
    step = CELL * SIDE * 3 / 4
    transform = Affine(CELL, 0, left + col * step, 0, -CELL, top - row * step)
    values = np.random.default_rng([zone, row, col]).integers(0, 1000, (SIDE, SIDE)).astype(dtype)
    if nodata is not None:
        values[5:12, 20:30] = nodata
    path = folder / f"{zone}-{row}-{col}.tif"
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": dtype, "nodata": nodata}
    with rasterio.open(path, "w", **profile, crs=f"EPSG:{32600 + zone}", transform=transform) as dataset:
        dataset.write(values, 1)
    return path


def tiles(folder: Path, rows: int, cols: int, **options: Any) -> list[Path]:
    return [tile(folder, zone, row, col, **options) for zone in ZONES for row, col in np.ndindex(rows, cols)]


def by_gdal(path: Path, grid: Grid) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels of one tile where GDAL's exact transformation puts the centres of a grid.

    Returns their values, whether there is data, and whether that is clear: not at an edge of a pixel.
    """
    with rasterio.open(path) as dataset:
        cols, rows = np.meshgrid(grid.x_centres(), grid.y_centres())
        target = rasterio.crs.CRS.from_wkt(grid.crs.wkt2)
        x, y = rasterio.warp.transform(target, dataset.crs, cols.ravel(), rows.ravel())
        at = np.array(~dataset.transform @ (np.array(x), np.array(y))).reshape(2, *grid.shape)
        stored, mask = dataset.read(1), dataset.read_masks(1) > 0
    inside = ((at >= 0) & (at < SIDE)).all(axis=0)
    col, row = np.where(inside, at, 0).astype(int)
    return stored[row, col], inside & mask[row, col], (np.abs(at - np.rint(at)) > 0.02).all(axis=0)


@dataclass(frozen=True)
class Scene:
    """A hundred tiles, the grid of their pyramid, and what GDAL makes of each."""

    paths: list[Path]
    grid: Grid
    tiles: list[tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]]


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    paths = tiles(tmp_path_factory.mktemp("tiles"), 5, 10)
    grid = pyramids.make_plan(pyramids.open_source(paths)).levels.finest.grid
    return Scene(paths, grid, [by_gdal(path, grid) for path in paths])


def expected_of(scene: Scene, overlap: str) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
    """Put tiles together in float64, one after the other."""
    stack, masks, clears = zip(*scene.tiles, strict=True)
    values = np.where(np.stack(masks), np.stack(stack).astype(np.float64), np.nan)
    held = ~np.isnan(values)
    order = values if overlap == "first" else values[::-1]
    found = {
        "first": lambda: np.take_along_axis(order, (~np.isnan(order)).argmax(axis=0)[None], axis=0)[0],
        "last": lambda: np.take_along_axis(order, (~np.isnan(order)).argmax(axis=0)[None], axis=0)[0],
        "min": lambda: np.nanmin(values, axis=0),
        "max": lambda: np.nanmax(values, axis=0),
        "mean": lambda: np.rint(np.nanmean(values, axis=0)),
    }[overlap]()
    return found, held.any(axis=0), np.stack(clears).all(axis=0)


@pytest.mark.filterwarnings("ignore:All-NaN", "ignore:Mean of empty")
@pytest.mark.slow
@pytest.mark.parametrize("overlap", OVERLAPS)
def test_a_mosaic_of_a_hundred_tiles_in_two_zones_is_what_gdal_makes_of_each(hundred: Scene, overlap: str) -> None:
    assert len(hundred.paths) == 100
    plan, store = builds.build(pyramids.open_source(hundred.paths, overlap=overlap), resampling="nearest")
    assert plan.levels.finest.grid == hundred.grid
    found = builds.read(store, f"{plan.levels.finest.asset}/{plan.variables[0].name}")
    expected, held, clear = expected_of(hundred, overlap)
    assert (held & clear).sum() > 50_000
    assert_array_equal((found != -1)[clear], held[clear])
    assert_array_equal(found[held & clear], expected[held & clear])
    assert not check(store, depth="pixels").findings


def test_each_source_is_resampled_by_its_own_resolution() -> None:
    """Auto: a source much finer than the finest level is averaged, one that is as coarse is interpolated."""
    fine = FakeSource(scene("int16", (1, 400, 400)), nodata=0, transform=Affine(5, 0, 500_000, 0, -5, 5_000_000))
    coarse = FakeSource(scene("int16", (1, 40, 40)), nodata=0, transform=Affine(50, 0, 501_000, 0, -50, 5_000_500))
    plan = pyramids.make_plan(Mosaic([fine, coarse]), Options(max_zoom=12))
    assert plan.source.methods == (("average",), ("bilinear",))
    assert pyramids.make_plan(Mosaic([coarse, fine]), Options(max_zoom=12)).source.methods == (
        ("bilinear",),
        ("average",),
    )
    finest = pyramids.make_plan(Mosaic([coarse, fine]))
    assert finest.levels.finest.grid.cell_size[0] < 10, "the finest of the sources decides"


@settings(max_examples=8)
@given(st.permutations(range(4)), st.sampled_from(["min", "max", "mean"]))
def test_rules_that_ask_for_no_order_give_the_same_in_any(order: list[int], overlap: str) -> None:
    sources = [
        FakeSource(
            scene("float32", (1, 30, 30), seed=number),
            transform=Affine(30, 0, 500_000 + 300 * number, 0, -30, 5_000_000 - 200 * number),
        )
        for number in range(4)
    ]
    _, expected = builds.build(Mosaic(sources, overlap))
    plan, found = builds.build(Mosaic([sources[number] for number in order], overlap))
    name = f"{plan.levels.finest.asset}/{plan.variables[0].name}"
    np.testing.assert_allclose(builds.read(found, name), builds.read(expected, name), rtol=1e-6)


def test_a_mosaic_of_one_is_that_one(tmp_path: Path) -> None:
    (path, *_) = tiles(tmp_path, 1, 1)
    plan, found = builds.build(Mosaic([pyramids.open_source(path)]))
    other, expected = builds.build(pyramids.open_source(path))
    assert plan.levels == other.levels
    for level in plan.levels.levels:
        name = f"{level.asset}/{plan.variables[0].name}"
        assert_array_equal(builds.read(found, name), builds.read(expected, name))


def test_integers_without_a_value_for_missing_ones_have_a_mask(tmp_path: Path) -> None:
    paths = tiles(tmp_path, 1, 2, dtype="uint8", nodata=None)
    plan, store = builds.build(pyramids.open_source(paths), resampling="nearest")
    assert plan.has_alpha
    grid = plan.levels.finest.grid
    _, held, clear = expected_of(Scene(paths, grid, [by_gdal(path, grid) for path in paths]), "first")
    alpha = builds.read(store, f"{plan.levels.finest.asset}/alpha")
    assert_array_equal((alpha == 255)[clear], held[clear])
    assert not check(store, depth="pixels").findings


def test_a_value_that_means_missing_elsewhere_is_data_where_it_is_valid() -> None:
    one = FakeSource(np.full((1, 20, 20), 7, np.int16), nodata=0)
    two = FakeSource(np.zeros((1, 20, 20), np.int16), nodata=-5, transform=Affine(30, 0, 500_600, 0, -30, 5_000_000))
    plan, store = builds.build(Mosaic([one, two]), resampling="nearest")
    found = builds.read(store, f"{plan.levels.finest.asset}/{plan.variables[0].name}")
    assert plan.variables[0].nodata == 0
    assert set(np.unique(found)) == {0, 1, 7}, "a zero that is data is moved by the smallest step"


def test_no_source_is_read_where_it_does_not_reach() -> None:
    far = [Affine(30, 0, 500_000 + 300_000 * number, 0, -30, 5_000_000) for number in range(2)]
    sources = [FakeSource(scene("uint8", (1, 50, 50)), nodata=0, transform=transform) for transform in far]
    plan, _ = builds.build(Mosaic(sources))
    placed = Mosaic(sources).on(plan.levels.finest.grid, plan.source.methods)
    covered = placed.coverage()
    assert covered.mean() < 0.05
    for source in sources:
        assert sum(window.size for window, _ in source.reads) < 3 * 50 * 50


def test_windows_of_a_placed_mosaic_are_parts_of_the_whole(tmp_path: Path) -> None:
    paths = tiles(tmp_path, 2, 2)
    mosaic = pyramids.open_source(paths)
    plan = pyramids.make_plan(mosaic, Options(resampling="nearest"))
    assert isinstance(mosaic, Mosaic)
    placed = pickle.loads(pickle.dumps(mosaic.on(plan.levels.finest.grid, plan.source.methods)))
    assert isinstance(placed, PlacedMosaic)
    around = plan.footprint
    whole = placed.read(around, [Slice(0, 0)])
    middle = (around.row + around.height // 2, around.col + around.width // 2)
    for row, col in itertools.product((around.row, middle[0]), (around.col, middle[1])):
        part = Window(row, col, around.height // 2, around.width // 2)
        found, here = placed.read(part, [Slice(0, 0)]), part.relative_to(around).slices
        assert_array_equal(found.values[0], whole.values[0][here])
        assert_array_equal(found.valid[0], whole.valid[0][here])


def test_processes_and_a_resumed_build_give_the_same_bytes(tmp_path: Path) -> None:
    paths = tiles(tmp_path, 2, 3)
    _, expected = builds.build(pyramids.open_source(paths))
    target = tmp_path / "out.zarr"
    plan = pyramids.build(paths, target, processes=2)
    pyramids.build(paths, target, resume=True, processes=2)
    for level in plan.levels.levels:
        name = f"{level.asset}/{plan.variables[0].name}"
        import zarr  # noqa: PLC0415

        found = zarr.open_array(target / name, mode="r")
        assert_array_equal(np.asarray(found[...]), builds.read(expected, name))


def test_b23_no_source_of_a_mosaic_is_deleted_with_what_it_replaces(tmp_path: Path) -> None:
    target = tmp_path / "out.zarr"
    (first, _) = tiles(tmp_path, 1, 1)
    pyramids.build(first, target)
    inside = tile(target, 33, 5, 5)
    with pytest.raises(TargetExistsError, match="the source of this build"):
        pyramids.build([first, inside], target, overwrite=True)
    assert inside.exists()


def test_the_command_takes_several_sources(tmp_path: Path) -> None:
    paths = [str(path) for path in tiles(tmp_path, 1, 2)]
    target = str(tmp_path / "out.zarr")
    dry = CliRunner().invoke(main, [*paths, target, "--dry-run", "--overlap", "mean"])
    assert dry.exit_code == 0, dry.output
    assert "4 sources" in dry.output
    assert "the mean of them" in dry.output
    done = CliRunner().invoke(main, [*paths, target, "--quiet"])
    assert done.exit_code == 0, done.output
    wrong = CliRunner().invoke(main, [paths[0], target, "--overlap", "mean"])
    assert wrong.exit_code == 2


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"names": ("other",)}, "variables"),
        ({"values": scene("float32", (1, 20, 20))}, "data type"),
        ({"attributes": {"scale_factor": 2.0}}, "scale_factor"),
        ({"attributes": {"units": "m"}}, "units"),
    ],
)
def test_sources_that_hold_something_else_are_refused(changes: dict[str, Any], key: str) -> None:
    values = {"values": scene("int16", (1, 20, 20)), **changes}
    with pytest.raises(MetadataError) as caught:
        Mosaic([FakeSource(scene("int16", (1, 20, 20))), FakeSource(**values)])
    assert caught.value.key == key


def test_a_rule_that_does_not_exist_and_no_source_at_all_are_refused() -> None:
    source = FakeSource(scene("int16", (1, 20, 20)))
    with pytest.raises(ParameterError):
        Mosaic([source], "best")
    with pytest.raises(ParameterError):
        Mosaic([])
    with pytest.raises(ParameterError):
        pyramids.open_source(source, overlap="mean")
    with pytest.raises(UnsupportedError):
        pyramids.make_plan(Mosaic([source, source]), Options(tms="native"))


def test_a_window_that_needs_much_of_a_source_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource(scene("int16", (1, 400, 400)), nodata=0, transform=Affine(5, 0, 5e5, 0, -5, 5e6))
    plan = pyramids.make_plan(Mosaic([source]), Options(max_zoom=11))
    placed = Mosaic([source]).on(plan.levels.finest.grid, plan.source.methods)
    expected = placed.read(plan.footprint, [Slice(0, 0)])
    monkeypatch.setattr("pyramids.mosaic._MOST", 5000)
    source.reads.clear()
    found = placed.read(plan.footprint, [Slice(0, 0)])
    assert_array_equal(found.values, expected.values)
    assert_array_equal(found.valid, expected.valid)
    assert len(source.reads) > 10
    assert all(window.size <= 5000 for window, _ in source.reads)


def two_sources(side: int = 300) -> tuple[FakeSource, FakeSource]:
    """Two that overlap, askew to the finest level, in blocks of 64."""
    corners = (500_000, 503_000)
    first, second = (
        FakeSource(
            scene("int16", (1, side, side), seed=seed), nodata=0, transform=Affine(30, 0, x, 0, -30, 5_000_000 + x)
        )
        for seed, x in enumerate(corners)
    )
    return first, second


@pytest.mark.parametrize("of_one_variable", [True, False], ids=["mosaic", "stack"])
def test_each_block_of_a_source_is_decoded_once(monkeypatch: pytest.MonkeyPatch, of_one_variable: bool) -> None:
    """DESIGN section 4, though four target blocks need a block of a source at their common corner."""
    monkeypatch.setattr(blocks, "CELL_PIXELS", 1)
    sources = two_sources(900)
    several = Mosaic(sources, "mean") if of_one_variable else of_named({"a": [sources[0]], "b": [sources[1]]}, "first")
    plan, store = builds.build(several, resampling="cubic")
    assert plan.footprint.size > 4 * plan.block**2, "several blocks"
    for source in sources:
        counts = builds.cells_read(source)
        assert len(counts) == 15 * 15
        assert set(counts.values()) == {1}
    monkeypatch.setattr("pyramids.stack.PlacedStack.keep", lambda *_: None)
    sources[0].reads.clear()
    again, others = builds.build(several, resampling="cubic")
    assert again == plan
    assert sum(window.size for window, _ in sources[0].reads) > sources[0].grid.window.size, "else nothing is shown"
    assert builds.objects(others) == builds.objects(store)


def test_cells_of_all_sources_share_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CELL_PIXELS", 1)
    sources = two_sources()
    plan = pyramids.make_plan(Mosaic(sources))
    placed = Mosaic(sources).on(plan.levels.finest.grid, plan.source.methods)
    expected = placed.read(plan.footprint, [Slice(0, 0)])
    most = 4 * chunking.cell_bytes((64, 64), 2, 1)
    cache = blocks.CellCache(most)
    placed.keep(cache)
    for part in plan.footprint.split(height=100, width=100):
        found, here = placed.read(part, [Slice(0, 0)]), part.relative_to(plan.footprint).slices
        assert_array_equal(found.values[0], expected.values[0][here])
        assert_array_equal(found.valid[0], expected.valid[0][here])
        assert cache.size <= most
    assert cache.size > most // 2


@pytest.mark.parametrize("cell_pixels", [1, 300 * 300])
def test_b9_damage_is_no_wider_than_what_is_needed_of_a_source(
    monkeypatch: pytest.MonkeyPatch, cell_pixels: int
) -> None:
    """A damaged block spoils what is made of it, and not what is made of others of its cell."""
    sources = two_sources()
    spoiled = Window(130, 130, 1, 1)

    def damage(window: Window) -> None:
        if not window.intersect(spoiled).is_empty:
            raise ChunkReadError("v0", "2/2")

    def built(keep: Callable[..., None]) -> dict[str, bytes]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pyramids.stack.PlacedStack.keep", keep)
            _, store = builds.build(Mosaic(sources), damaged="nodata")
        return builds.objects(store)

    monkeypatch.setattr(blocks, "CELL_PIXELS", cell_pixels)
    sources[0].before_read = damage
    assert built(PlacedStack.keep) == built(lambda *_: None)
