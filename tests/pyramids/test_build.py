"""Whole builds, read back by zarr-python.

P-1, P-2, P-3, P-5, P-6 (levels and edges), P-10, P-11 (nothing but the plan changes a byte; no seams), P-18 (target and
publication), P-23 (absent chunks); B11 to B16, B22, B23.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from affine import Affine
from obstore.store import MemoryStore

import builds
import pyramids
from builds import FakeSource, data_array, scene
from geozarr import (
    ChunkReadError,
    ParameterError,
    SourceChangedError,
    StoreError,
    TargetExistsError,
    Window,
)
from geozarr import store as store_module
from pyramids import Axis, Plan, warp
from pyramids.control import Mapping

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
HALF = math.pi * 6378137  # metres from the middle of Web Mercator to its edges


def holed(dtype: str, *, nodata: float | None, shape: tuple[int, int] = (300, 280)) -> FakeSource:
    """A scene with a slanted border and scattered holes, told by a nodata value, NaN, or a mask band."""
    values = scene(dtype, shape)
    row, col = np.mgrid[: shape[0], : shape[1]]
    valid = (row > col / 7) & (np.random.default_rng(2).random(shape) > 0.1)
    if nodata is None and np.dtype(dtype).kind != "f":
        alpha = np.where(valid, 255, 0).astype(np.uint8)
        return FakeSource(values[None], has_alpha=True, alpha=alpha)
    hidden = math.nan if nodata is None else nodata
    if nodata is not None and not math.isnan(nodata):
        values[values == nodata] += 1
    values[~valid] = hidden
    return FakeSource(values[None], nodata=nodata)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("missing", ["number", "zero", "mask or NaN"])
@pytest.mark.parametrize("grid", ["WebMercatorQuad", "native"])
def test_every_stored_level_is_the_mean_of_the_stored_finest_one(dtype: str, missing: str, grid: str) -> None:
    """P-1, P-2, B12: each dtype, each way to tell what is missing."""
    number = {"number": -7.0 if np.dtype(dtype).kind == "f" else 101, "zero": 0, "mask or NaN": None}[missing]
    source = holed(dtype, nodata=number)
    choices: dict[str, Any] = {"levels": 6, "chunk": 64} if grid == "native" else {"min_zoom": 10}
    plan, store = builds.build(source, tms=grid, **choices)
    assert len(plan.levels.levels) >= 3
    builds.assert_levels_follow(store, plan)
    for asset in plan.levels.assets:
        share = builds.validity(store, asset, "v0").mean()
        assert 0 < share < 1


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic", "average"])
def test_levels_follow_whatever_the_warp(method: str) -> None:
    """P-5: with nearest, levels are centre samples of the finest."""
    plan, store = builds.build(holed("int16", nodata=-9999), resampling=method, min_zoom=10)
    assert (plan.warp_method, plan.fold_method) == (method, "nearest" if method == "nearest" else "average")
    builds.assert_levels_follow(store, plan)


@pytest.mark.parametrize(
    "shape",
    [(1, 1), (1, 40), (37, 1), (2, 3), (97, 89), (64, 64), (65, 63), (500, 3), (1023, 5), (1, 1031), (128, 130)],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_native_pyramid_keeps_every_row_and_column(shape: tuple[int, int], dtype: str) -> None:
    """P-6, B15: level 0 cell for cell; sizes rounded up; the last row and column count at every level."""
    values = scene(dtype, shape)
    values[-1, -1] = 100
    deep = 1 + math.ceil(math.log2(max(shape)))
    source = FakeSource(values[None])
    plan, store = builds.build(source, tms="native", chunk=32, levels=deep)
    assert plan.levels.assets == tuple(str(level) for level in range(deep))
    np.testing.assert_array_equal(builds.read(store, "0/v0"), values)
    for step, level in enumerate(plan.levels.levels):
        side = 2**step
        expected = (-(-shape[0] // side), -(-shape[1] // side))
        assert level.grid.shape == expected == builds.read(store, f"{step}/v0").shape
        x, y = builds.read(store, f"{step}/x"), builds.read(store, f"{step}/y")
        np.testing.assert_allclose(x, 500000 + 30 * side * (np.arange(expected[1]) + 0.5))
        np.testing.assert_allclose(y, 5000000 - 30 * side * (np.arange(expected[0]) + 0.5))
    builds.assert_levels_follow(store, plan)


def test_partial_edge_cells_hold_the_mean_of_what_they_cover() -> None:
    """P-6: 3 x 3 cells at level 1 of 5 x 5: the far corner is one pixel, the far edges two."""
    values = np.arange(25, dtype=np.int16).reshape(5, 5) * 2
    _, store = builds.build(FakeSource(values[None]), tms="native", levels=4)
    assert builds.read(store, "1/v0").tolist() == [[6, 10, 13], [26, 30, 33], [41, 45, 48]]
    assert builds.read(store, "2/v0").tolist() == [[18, 23], [43, 48]]
    assert builds.read(store, "3/v0").tolist() == [[24]]


def test_an_isolated_pixel_reaches_the_top_level() -> None:
    """P-2: one valid pixel of a raster of 600 x 600, ten levels, blocks that are mostly empty."""
    values = np.full((600, 600), -9999, np.int16)
    values[417, 333] = 1234
    plan, store = builds.build(FakeSource(values[None], nodata=-9999), tms="native", chunk=64, levels=10)
    for step, asset in enumerate(plan.levels.assets):
        found = builds.read(store, f"{asset}/v0")
        assert np.argwhere(found != -9999).tolist() == [[417 >> step, 333 >> step]]
        assert found.max() == 1234
        chunks = [key for key in builds.objects(store) if key.startswith(f"{asset}/v0/c/")]
        assert chunks == [f"{asset}/v0/c/{(417 >> step) // 64}/{(333 >> step) // 64}"]


def rich_source() -> FakeSource:
    """Five bands of bytes without nodata and with a mask: alpha and several groups of slices."""
    values = np.stack([scene("uint8", (700, 620), seed=seed) for seed in range(5)])
    row, col = np.mgrid[:700, :620]
    alpha = np.where((row - 350) ** 2 + (col - 310) ** 2 < 300**2, 255, 0).astype(np.uint8)
    alpha[100:110] = 90
    return FakeSource(values, has_alpha=True, alpha=alpha)


@functools.cache
def reference(tms: str) -> tuple[Plan, FakeSource, dict[str, bytes]]:
    """A plan and the objects that it gives."""
    source = rich_source()
    choices: dict[str, Any] = {"chunk": 64, "levels": 5} if tms == "native" else {"max_zoom": 12, "min_zoom": 8}
    plan = builds.plan_for(source, tms=tms, workers=1, **choices)
    store, _ = builds.run(plan, source)
    return plan, source, builds.objects(store)


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
@pytest.mark.parametrize(
    "changes",
    [
        {"block": 1},
        {"block": 2},
        {"block": 8},
        {"block": 32},
        {"workers": 2},
        {"workers": 4},
        {"together": 1},
        {"together": 2, "workers": 2},
        {"block": 1, "together": 3, "workers": 4},
        {"memory": 480 * 2**20},
    ],
    ids=str,
)
def test_nothing_but_the_plan_changes_a_byte(tms: str, changes: dict[str, int]) -> None:
    """P-10: block size, threads, slices walked together, memory; chunks and documents alike."""
    plan, source, expected = reference(tms)
    if "block" in changes:
        changes = changes | {"block": changes["block"] * plan.chunk}
    if "memory" in changes:
        choices: dict[str, Any] = {"chunk": 64, "levels": 5} if tms == "native" else {"max_zoom": 12, "min_zoom": 8}
        other = builds.plan_for(source, tms=tms, workers=1, memory=changes["memory"], **choices)
    else:
        other = dataclasses.replace(plan, **changes)
    assert other.identity == plan.identity
    store, _ = builds.run(other, source)
    found = builds.objects(store)
    assert found.keys() == expected.keys()
    assert [key for key in found if found[key] != expected[key]] == []


def test_building_twice_gives_the_same_bytes() -> None:
    """FAULTS section 2: a task's bytes depend on the plan alone."""
    plan, source, expected = reference("native")
    store, _ = builds.run(plan, source)
    assert builds.objects(store) == expected


def test_an_executor_of_the_caller_is_used_and_left_open() -> None:
    plan, source, expected = reference("native")
    store = MemoryStore()
    with ThreadPoolExecutor(3, thread_name_prefix="mine") as pool:
        pyramids.execute(plan, source, store, executor=pool)
        assert pool.submit(lambda: 1).result() == 1
    assert builds.objects(store) == expected


@pytest.mark.parametrize("method", warp.METHODS)
@pytest.mark.parametrize("block", [256, 512, 1024])
def test_no_seam_between_blocks(method: str, block: int) -> None:
    """P-11: the stored finest level equals one warp of the whole array in one piece."""
    source = holed("uint8", nodata=255, shape=(420, 380))
    plan = builds.plan_for(source, resampling=method, max_zoom=13, min_zoom=11)
    store, _ = builds.run(dataclasses.replace(plan, block=block, workers=2), source)
    grid = plan.levels.finest.grid
    mapping = Mapping(grid, source.grid)
    cols, rows = mapping.corners(grid.window) if method == "average" else mapping.centres(grid.window)
    expected, valid = warp.resample(
        source.values[0],
        source.mask(0),
        window=source.grid.window,
        cols=cols,
        rows=rows,
        method=method,
        nodata=255,
        turn=mapping.turn,
    )
    assert valid.any()
    np.testing.assert_array_equal(builds.read(store, f"{plan.levels.assets[0]}/v0"), expected)


def tms_document(path: Path, *, tile: int, cells: tuple[float, ...]) -> str:
    """Write a TMS 2.0 document over 40 km about the sources of these tests, with tiles of any size."""
    origin = 320000, 5660000  # metres of Web Mercator
    matrices = []
    for number, cell in enumerate(cells):
        across = math.ceil(41000 / cells[0] / tile) * 2**number
        matrices.append(
            {
                "id": str(number),
                "scaleDenominator": cell / 0.28e-3,
                "cellSize": cell,
                "pointOfOrigin": list(origin),
                "tileWidth": tile,
                "tileHeight": tile,
                "matrixWidth": across,
                "matrixHeight": across,
            }
        )
    document = {"id": f"tiles{tile}", "crs": "http://www.opengis.net/def/crs/EPSG/0/3857", "tileMatrices": matrices}
    path.write_text(json.dumps(document))
    return str(path)


def placed(store: MemoryStore, plan: Plan, level: int, nodata: float) -> dict[tuple[int, int], np.ndarray]:
    """Pixels of a level by blocks of 64, keyed by their place on the matrix; blocks without data left out."""
    grid = plan.levels.levels[level].grid
    assert plan.levels.tms is not None
    x, y = plan.levels.tms.matrix(plan.levels.assets[level]).top_left
    left, top = round((grid.transform.c - x) / grid.transform.a), round((y - grid.transform.f) / grid.transform.a)
    values = builds.read(store, f"{plan.levels.assets[level]}/v0")
    whole = np.full((values.shape[0] + 128, values.shape[1] + 128), nodata, values.dtype)
    shift = top % 64, left % 64
    whole[shift[0] : shift[0] + values.shape[0], shift[1] : shift[1] + values.shape[1]] = values
    found = {}
    for row in range(0, whole.shape[0] - 63, 64):
        for col in range(0, whole.shape[1] - 63, 64):
            block = whole[row : row + 64, col : col + 64]
            if (block != nodata).any():
                found[top // 64 + row // 64, left // 64 + col // 64] = block
    return found


def test_tile_size_does_not_change_a_pixel(tmp_path: Path) -> None:
    """P-10: the same cells cut into tiles of 128, 256 and 512 pixels, and of 25, which blocks do not divide."""
    source = holed("uint8", nodata=0, shape=(400, 500))
    cells = (160.0, 80.0, 40.0)
    found = []
    for tile in (128, 256, 512):
        document = tms_document(tmp_path / f"{tile}.json", tile=tile, cells=cells)
        plan, store = builds.build(source, tms=document, min_zoom="0", max_zoom="2", resampling="bilinear")
        assert plan.chunk == tile
        builds.assert_levels_follow(store, plan)
        found.append([placed(store, plan, level, 0) for level in range(3)])
    for other in found[1:]:
        for blocks, expected in zip(other, found[0], strict=True):
            assert blocks.keys() == expected.keys()
            for key in expected:
                np.testing.assert_array_equal(blocks[key], expected[key])


@pytest.mark.parametrize("tile", [25, 33, 100, 129])
def test_tiles_of_odd_size_fold_right(tmp_path: Path, tile: int) -> None:
    """P-6: half a block must be a whole number of cells, whatever a tile is; also in the smallest blocks."""
    source = holed("int16", nodata=-1, shape=(300, 260))
    document = tms_document(tmp_path / "odd.json", tile=tile, cells=(160.0, 80.0, 40.0))
    plan = builds.plan_for(source, tms=document, min_zoom="0", max_zoom="2")
    store, _ = builds.run(plan, source)
    builds.assert_levels_follow(store, plan)
    small = dataclasses.replace(plan, block=2 * tile)
    other, _ = builds.run(small, source)
    assert builds.objects(other) == builds.objects(store)


@pytest.mark.parametrize("shard", [64, 128, 256, 512])
def test_shards_hold_the_same_pixels(shard: int) -> None:
    """P-24: read whole and in part by zarr-python's own pipeline; objects fewer, values equal."""
    plan, source, expected = reference("native")
    sharded = builds.plan_for(source, tms="native", chunk=64, levels=5, shard=shard)
    assert sharded.identity != plan.identity
    store, report = builds.run(sharded, source)
    plain = MemoryStore()
    for key, data in expected.items():
        plain.put(key, data)
    for asset in plan.levels.assets:
        for variable in plan.variables:
            path = f"{asset}/{variable.name}"
            found, other = builds.open_array(store, path), builds.open_array(plain, path)
            assert found.shards is not None
            assert found.chunks == other.chunks == (64, 64)
            np.testing.assert_array_equal(found[...], other[...])
            rows, cols = found.shape
            for part in (np.s_[rows // 3 : rows // 2 + 1, cols // 2 :], np.s_[-1:, -1:], np.s_[:1, : cols // 3 + 1]):
                np.testing.assert_array_equal(found[part], other[part])
    if shard > 64:
        assert report.objects < sum("/c/" in key and "/v" in key for key in expected)
    builds.assert_levels_follow(store, sharded)


def test_a_raster_without_data_stores_no_chunk_and_reads_as_nodata() -> None:
    """B16: for a number, NaN and a mask."""
    empty = np.full((1, 300, 300), 7, np.uint8)
    for source in (
        FakeSource(empty, nodata=7),
        FakeSource(np.full((1, 300, 300), math.nan, np.float32)),
        FakeSource(empty, has_alpha=True, alpha=np.zeros((300, 300), np.uint8)),
    ):
        for tms in ("native", "WebMercatorQuad"):
            plan, store = builds.build(source, tms=tms)
            keys = builds.objects(store)
            names = [variable.name for variable in plan.variables]
            assert [key for key in keys if any(f"/{name}/c/" in key for name in names)] == []
            for asset in plan.levels.assets:
                values = builds.read(store, f"{asset}/v0")
                np.testing.assert_array_equal(values, np.full(values.shape, plan.variables[0].fill_value))
                assert not builds.validity(store, asset, "v0").any()
            assert "statistics" not in builds.attributes(store, f"{plan.levels.assets[0]}/v0")


def test_chunks_of_a_hole_are_absent_and_all_others_there() -> None:
    """P-23: chunk by chunk, at every level: stored exactly if a pixel in it is valid."""
    values = scene("uint16", (700, 800), span=(1, 60000))
    values[130:450, 60:720] = 0
    for shard in ("none", 128):
        plan, store = builds.build(FakeSource(values[None], nodata=0), tms="native", chunk=64, levels=5, shard=shard)
        for number, asset in enumerate(plan.levels.assets):
            found = builds.read(store, f"{asset}/v0")
            side = plan.layout(number, plan.variables[0]).object_shape[-1]
            for row in range(0, found.shape[0], side):
                for col in range(0, found.shape[1], side):
                    block = found[row : row + side, col : col + side]
                    key = f"{asset}/v0/c/{row // side}/{col // side}"
                    assert (key in builds.objects(store)) == bool((block != 0).any()), key
        builds.assert_levels_follow(store, plan)


def test_values_that_are_common_are_no_nodata_where_alpha_tells() -> None:
    """P-23: 0 and the placeholder stay data; alpha alone says what is missing."""
    values = np.zeros((1, 300, 300), np.uint8)
    values[:, :, 150:] = 255
    plan, store = builds.build(FakeSource(values), max_zoom=12, min_zoom=10)
    (variable, alpha) = plan.variables
    assert (variable.fill_value, variable.nodata, variable.uses_alpha) == (255, None, True)
    assert (alpha.name, alpha.fill_value) == ("alpha", 0)
    for asset in plan.levels.assets:
        valid = builds.read(store, f"{asset}/alpha") == 255
        found = builds.read(store, f"{asset}/v0")
        assert 0 < valid.mean() < 1
        assert (found[valid] == 0).any()
        assert (found[valid] == 255).any()
        assert (found[~valid] == 255).all(), "the placeholder"
    builds.assert_levels_follow(store, plan)


def test_opacity_between_0_and_255_is_kept() -> None:
    """What is partly opaque is data; a coarse opacity is the mean of the opacities that are not 0."""
    values = np.full((1, 64, 64), 9, np.uint8)
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:32] = 90
    alpha[32:48] = 1
    _, store = builds.build(FakeSource(values, has_alpha=True, alpha=alpha), tms="native", levels=3)
    np.testing.assert_array_equal(builds.read(store, "0/alpha"), alpha)
    assert builds.read(store, "2/alpha")[:, 0].tolist() == [90] * 8 + [1] * 4 + [0] * 4


def test_slices_of_leading_axes_are_pyramids_of_their_own() -> None:
    """P-10: each slice of an axis equals a build of that slice alone."""
    values = np.stack([scene("float32", (300, 280), seed=seed) for seed in range(3)])
    values[1, 50:80] = math.nan
    time = Axis("time", (0, 10, 20), {"units": "days since 2000-01-01"})
    plan, store = builds.build(FakeSource(values, leading=(time,), names=("v",)), min_zoom=10)
    for number in range(3):
        single, other = builds.build(FakeSource(values[number : number + 1], names=("v",)), min_zoom=10)
        assert single.levels == plan.levels
        for asset in plan.levels.assets:
            np.testing.assert_array_equal(builds.read(store, f"{asset}/v")[number], builds.read(other, f"{asset}/v"))
    assert builds.open_array(store, f"{plan.levels.assets[0]}/v").chunks == (1, 256, 256)
    assert builds.read(store, f"{plan.levels.assets[0]}/time").tolist() == [0, 10, 20]
    builds.assert_levels_follow(store, plan)


def test_a_global_raster_meets_itself_at_the_antimeridian() -> None:
    """P-12, B19: from -180 and from 0, every method, no band of wrong pixels at either seam."""
    row, col = np.mgrid[:180, :360] + 0.5
    for method in warp.METHODS:
        found = []
        for west in (-180, 0):
            field = np.cos(np.radians(col + west)) + np.radians(row)
            source = FakeSource(field[None], code="EPSG:4326", transform=Affine(1, 0, west, 0, -1, 90))
            plan, store = builds.build(source, max_zoom=1, min_zoom=0, resampling=method)
            found.append(builds.read(store, "1/v0"))
            assert not np.isnan(found[-1]).any()
            builds.assert_levels_follow(store, plan)
        x = (np.arange(512) + 0.5) / 512 * 360 - 180
        y = np.degrees(np.arctan(np.sinh(math.pi * (1 - (np.arange(512) + 0.5) / 256))))
        expected = np.cos(np.radians(x)) + np.radians(90 - y)[:, None]
        for values in found:
            # Half a source pixel at slopes of 1 a radian, in x and in y; at the seam one pixel, where none is beyond.
            assert np.abs(values - expected).max() < 2 * math.radians(1)


@pytest.mark.parametrize("tms", ["WorldCRS84Quad", "WGS1984Quad"])
def test_longitudes_from_0_to_360_fill_a_set_of_degrees(tms: str) -> None:
    """P-12: the western hemisphere is found one turn on."""
    col = np.tile(np.arange(360.0), (180, 1))
    source = FakeSource(col[None], code="EPSG:4326", transform=Affine(1, 0, 0, 0, -1, 90))
    plan, store = builds.build(source, tms=tms, max_zoom=1, resampling="nearest")
    grid = plan.levels.finest.grid
    assert grid.bounds[:3:2] == (-180, 180)
    longitudes = grid.x_centres()
    found = builds.read(store, f"{plan.levels.assets[0]}/v0")
    np.testing.assert_array_equal(found[100], np.floor(longitudes % 360))


def test_statistics_are_those_of_the_finest_level() -> None:
    """DESIGN section 2: count, extremes, mean, deviation; percentiles within the bins' stated width of 1/128."""
    source = holed("int16", nodata=-9999)
    plan, store = builds.build(source, min_zoom=10)
    finest = plan.levels.assets[0]
    values = builds.read(store, f"{finest}/v0")
    chosen = values[values != -9999].astype(np.float64)
    stated = builds.attributes(store, f"{finest}/v0")
    found = stated["statistics"]
    assert found["count"] == chosen.size
    assert [found["min"], found["max"]] == stated["actual_range"] == [chosen.min(), chosen.max()]
    assert found["mean"] == pytest.approx(chosen.mean(), rel=1e-9)
    assert found["std"] == pytest.approx(chosen.std(), rel=1e-9)
    for name, share in (("p2", 2), ("p98", 98)):
        exact = np.percentile(chosen, share)
        assert abs(found[name] - exact) <= abs(exact) / 64 + 1
    for asset in plan.levels.assets[1:]:
        assert "statistics" not in builds.attributes(store, f"{asset}/v0")


def test_statistics_do_not_depend_on_the_blocks() -> None:
    """P-10: of a constant and of values about zero, whose sums are noise."""
    field = np.random.default_rng(3).normal(size=(700, 900))
    for values in (np.full((700, 900), 0.1), field - field.mean()):
        source = FakeSource(values[None])
        plan = builds.plan_for(source, tms="native", chunk=128)
        found = []
        for block in (128, 256, 512, 1024):
            store, _ = builds.run(dataclasses.replace(plan, block=block), source)
            found.append(builds.objects(store))
        assert all(other == found[0] for other in found)


@pytest.mark.parametrize("shard", ["none", 256])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_predictions_are_upper_bounds(shard: str | int, dtype: str) -> None:
    """DESIGN section 3: objects and bytes, of noise that no codec makes smaller."""
    rng = np.random.default_rng(6)
    shape = (2, 512, 512)
    noise = rng.integers(0, 256, shape, dtype=np.uint8) if dtype == "uint8" else rng.normal(size=shape)
    for choices in ({"tms": "native", "chunk": 128}, {"tms": "WebMercatorQuad", "resampling": "nearest"}):
        source = FakeSource(noise)
        plan = builds.plan_for(source, shard=shard, **choices)
        _, report = builds.run(plan, source)
        assert report.objects <= plan.predicted["objects"]
        assert report.size <= plan.predicted["bytes"]
        if choices["tms"] == "native":  # where every chunk is full of noise the bounds are met
            assert report.objects == plan.predicted["objects"]
            assert report.size > 0.8 * plan.predicted["bytes"]


def test_the_report_counts_what_was_stored() -> None:
    plan, source, expected = reference("WebMercatorQuad")
    _, report = builds.run(plan, source)
    names = {f"/{variable.name}/c/" for variable in plan.variables}
    data = [value for key, value in expected.items() if any(name in key for name in names)]
    assert (report.objects, report.size) == (len(data), sum(map(len, data)))
    assert report.computed == report.work == plan.work


def test_progress_grows_to_the_work() -> None:
    plan, source, _ = reference("native")
    seen: list[int] = []
    pyramids.execute(plan, source, MemoryStore(), listener=lambda report: seen.append(report.computed))
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == plan.work


# Targets and publication.


def small() -> FakeSource:
    """A source that is built in a moment."""
    return FakeSource(scene("uint8", (1, 90, 80), span=(1, 255)), nodata=0)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below a place."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_a_new_folder_is_made_and_opens(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "new.zarr"
    pyramids.build(small(), target, tms="native")
    group = zarr.open_group(target, mode="r")
    assert dict(group.attrs)["multiscales"]["layout"][0]["asset"] == "0"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_refused_and_left_alone(tmp_path: Path, overwrite: bool) -> None:
    """B23."""
    target = tmp_path / "precious"
    target.write_bytes(b"do not touch")
    with pytest.raises(TargetExistsError) as caught:
        pyramids.build(small(), target, tms="native", overwrite=overwrite)
    assert (caught.value.target, caught.value.found) == (str(target), "a file")
    assert tree(tmp_path) == {"precious": b"do not touch"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["notes", "zarr", "nested"])
def test_a_folder_of_another_origin_is_left_byte_for_byte(tmp_path: Path, overwrite: bool, kind: str) -> None:
    """B23, P-18: also with permission to overwrite, also another's Zarr."""
    target = tmp_path / "theirs"
    if kind == "notes":
        target.mkdir()
        (target / "notes.txt").write_text("mine")
    elif kind == "nested":
        (target / "a" / "b").mkdir(parents=True)
        (target / "a" / "b" / "c.bin").write_bytes(bytes(range(256)))
    else:
        zarr.create_group(target).create_array("v", data=np.arange(4))
    before = tree(target)
    with pytest.raises(TargetExistsError) as caught:
        pyramids.build(small(), target, tms="native", overwrite=overwrite)
    assert "another origin" in caught.value.found
    assert tree(target) == before


def test_ours_is_replaced_only_when_asked_for(tmp_path: Path) -> None:
    """B23: nothing of the former pyramid stays behind."""
    target = tmp_path / "ours.zarr"
    pyramids.build(FakeSource(scene("int16", (3, 900, 800))), target, tms="native", chunk=128)
    before = tree(target)
    with pytest.raises(TargetExistsError) as caught:
        pyramids.build(small(), target, tms="native")
    assert caught.value.found == "a pyramid"
    assert tree(target) == before
    plan = pyramids.build(small(), target, tms="native", overwrite=True)
    fresh = tmp_path / "fresh.zarr"
    pyramids.build(small(), fresh, tms="native")
    assert {k: v for k, v in tree(target).items() if v is not None} == {
        k: v for k, v in tree(fresh).items() if v is not None
    }
    assert plan.levels.assets == ("0",)


def test_an_unfinished_build_is_recognised(tmp_path: Path) -> None:
    """P-18: it is not ours to resume yet, it is refused, and replaced when asked for."""
    target = tmp_path / "half.zarr"

    def broken(_: Window) -> None:
        raise ChunkReadError("array", "chunk") from OSError("disk")

    source = small()
    source.before_read = broken
    with pytest.raises(ChunkReadError):
        pyramids.build(source, target, tms="native")
    assert not (target / "zarr.json").exists()
    with pytest.raises(TargetExistsError) as caught:
        pyramids.build(small(), target, tms="native")
    assert caught.value.found == "an unfinished build"
    pyramids.build(small(), target, tms="native", overwrite=True)
    assert (target / "zarr.json").exists()


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        pyramids.build(small(), tmp_path / "file" / "below", tms="native")
    assert (tmp_path / "file").read_text() == "x"


def test_a_target_that_holds_the_source_is_never_cleared(tmp_path: Path) -> None:
    """B23: a pyramid's own level as the source of a new one at the same place."""
    target = tmp_path / "x.zarr"
    pyramids.build(small(), target, tms="native", chunk=16)
    before = tree(target)
    with pytest.raises(TargetExistsError) as caught:
        pyramids.build(target / "1", target, tms="native", overwrite=True)
    assert "source" in caught.value.found
    assert tree(target) == before
    pyramids.build(target / "1", tmp_path / "y.zarr", tms="native")


class Recorder:
    """Stands for `geozarr.store.write_bytes`: keeps the order of puts, may fail at one of them."""

    def __init__(self, *, fail_at: int = -1, error: BaseException | None = None) -> None:
        self.keys: list[str] = []
        self.fail_at = fail_at
        self.error = error
        self.put = store_module.write_bytes

    def __call__(self, store: Any, key: str, data: bytes) -> None:
        """Record, then put or fail."""
        self.keys.append(key)
        if len(self.keys) - 1 == self.fail_at and self.error is not None:
            raise self.error
        self.put(store, key, data)


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_the_root_document_is_put_last_and_once(monkeypatch: pytest.MonkeyPatch, tms: str) -> None:
    """P-18: data first, then the documents of levels and arrays, then the root; each key once."""
    recorder = Recorder()
    monkeypatch.setattr(store_module, "write_bytes", recorder)
    builds.build(small(), tms=tms)
    assert recorder.keys[0] == ".build/plan.json"
    assert recorder.keys[-1] == "zarr.json"
    assert len(recorder.keys) == len(set(recorder.keys))
    first_document = next(index for index, key in enumerate(recorder.keys) if key.endswith("zarr.json"))
    assert not [key for key in recorder.keys[first_document:] if "/c/" in key]


def test_replacing_takes_the_root_document_away_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-18: a reader sees no pyramid rather than one whose chunks are going; ownership is the last to go."""
    store = MemoryStore()
    pyramids.build(small(), store, tms="native")
    removed: list[str] = []
    delete = store_module.delete
    monkeypatch.setattr(store_module, "delete", lambda place, keys: removed.extend(keys) or delete(place, keys))
    pyramids.build(small(), store, tms="native", overwrite=True)
    assert removed[0] == "zarr.json"
    assert removed[-1] == ".build/plan.json"


@pytest.mark.parametrize("error", [StoreError("put", "k"), OSError("no space"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failure_at_any_put_publishes_nothing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """P-18, B22: every put of a small build in turn; the root document is there only after the last one."""
    counting = Recorder()
    monkeypatch.setattr(store_module, "write_bytes", counting)
    builds.build(small(), tms="native", chunk=32, workers=2)
    total = len(counting.keys)
    for fail_at in range(0, total, 1 if isinstance(error, StoreError) else 5):
        monkeypatch.setattr(store_module, "write_bytes", counting.put)
        store = MemoryStore()
        monkeypatch.setattr(store_module, "write_bytes", Recorder(fail_at=fail_at, error=error))
        with pytest.raises(type(error)):
            pyramids.build(small(), store, tms="native", chunk=32, workers=2)
        assert "zarr.json" not in builds.objects(store)


@pytest.mark.parametrize("error", [ChunkReadError("a", "c"), KeyboardInterrupt(), ValueError("a bug")])
def test_a_failure_while_reading_publishes_nothing(error: BaseException) -> None:
    """P-18, B22: in the middle of the walk, from a thread; the error is the source's own."""
    source = FakeSource(scene("uint8", (1, 900, 900), span=(1, 255)), nodata=0)
    store = MemoryStore()

    def sometimes(window: Window) -> None:
        if window.row >= 256 and window.col >= 256:
            raise error

    source.before_read = sometimes
    plan = dataclasses.replace(builds.plan_for(source, tms="native", chunk=128), block=128, workers=2)
    with pytest.raises(type(error)) as caught:
        pyramids.execute(plan, source, store)
    assert caught.value is error
    assert "zarr.json" not in builds.objects(store)


def test_a_listener_that_interrupts_publishes_nothing() -> None:
    """B22."""
    store = MemoryStore()

    def stop(_: pyramids.Report) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pyramids.build(small(), store, tms="native", listener=stop)
    assert "zarr.json" not in builds.objects(store)


def test_a_source_that_changed_while_it_was_read_is_not_published() -> None:
    """B8: the fingerprint is looked at once more before the root document is put."""
    source = small()
    store = MemoryStore()

    def touch(_: Window) -> None:
        source.fingerprint = "another"

    source.before_read = touch
    with pytest.raises(SourceChangedError) as caught:
        pyramids.build(source, store, tms="native")
    assert (caught.value.source, caught.value.now) == ("<fake>", "another")
    assert "zarr.json" not in builds.objects(store)


@pytest.mark.skipif(os.name != "posix", reason="folders are opened by their POSIX path")
def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    target = tmp_path / "empty"
    target.mkdir()
    pyramids.build(small(), str(target), tms="native")
    assert (target / "zarr.json").exists()
    shutil.rmtree(target)


# What is opened.


def test_what_is_given_decides_the_source(tmp_path: Path) -> None:
    array = data_array(scene("float32", (40, 50)))
    assert isinstance(pyramids.open_source(array), pyramids.ArraySource)
    assert isinstance(pyramids.open_source(array.to_dataset()), pyramids.ArraySource)
    array.to_dataset().to_zarr(tmp_path / "z.zarr", zarr_format=3, consolidated=False)
    assert isinstance(pyramids.open_source(tmp_path / "z.zarr"), pyramids.ArraySource)
    source = small()
    assert pyramids.open_source(source) is source


@pytest.mark.parametrize(
    ("given", "choices"),
    [
        ("source", {"nodata": 3}),
        ("source", {"variables": ["v"]}),
        ("source", {"bands": "axis"}),
        ("array", {"bands": "axis"}),
    ],
)
def test_options_that_a_source_has_no_use_for_are_refused(given: str, choices: dict[str, Any]) -> None:
    """STYLE section 6: an option that is passed over in silence is a guess."""
    source = small() if given == "source" else data_array(scene("float32", (40, 50)))
    with pytest.raises(ParameterError) as caught:
        pyramids.open_source(source, **choices)
    assert caught.value.parameter == next(iter(choices))
