"""Whole builds, read back by zarr-python.

P-1 to P-6, P-8, P-9 (levels, classes, flags, sums and edges), P-10, P-11 (nothing but the plan changes a byte; no
seams), P-18 (target and publication), P-23 (absent chunks), P-28 to P-30 (empty rasters, awkward blocks, threads); B11
to B16, B22, B23.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import json
import math
import os
import pkgutil
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import pytest
import zarr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import blosc
from obstore.store import MemoryStore

import builds
import conformance
import faults
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
from pyramids import Axis, Plan, fold, shards, warp
from pyramids.control import Mapping
from pyramids.sources import blocks
from pyramids.sources.zarr import ZarrSource

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
def test_b12_every_stored_level_is_the_mean_of_the_stored_finest_one(dtype: str, missing: str, grid: str) -> None:
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


@pytest.mark.parametrize("missing", ["number", "alpha"])
@pytest.mark.parametrize("method", warp.METHODS)
def test_levels_follow_whatever_the_warp(method: str, missing: str) -> None:
    """P-4, P-5, P-8: interpolation is followed by means, each other method by itself; never a mode of modes."""
    source = holed("int16", nodata=-9999 if missing == "number" else None, shape=(150, 140))
    plan, store = builds.build(source, resampling=method, min_zoom=10)
    folded = "average" if method in ("bilinear", "cubic", "lanczos") else method
    assert (plan.variables[0].warp_method, plan.variables[0].fold_method) == (method, folded)
    assert plan.has_alpha == (missing == "alpha")
    builds.assert_levels_follow(store, plan)


@pytest.mark.parametrize(
    "shape",
    [(1, 1), (1, 40), (37, 1), (2, 3), (97, 89), (64, 64), (65, 63), (500, 3), (1023, 5), (1, 1031), (128, 130)],
)
@pytest.mark.parametrize(
    ("method", "dtype"),
    [("average", "float32"), *((method, "uint8") for method in fold.METHODS)],
)
def test_b15_a_native_pyramid_keeps_every_row_and_column(shape: tuple[int, int], method: str, dtype: str) -> None:
    """P-6, B15: level 0 cell for cell; sizes rounded up; the last row and column count at every level."""
    values = scene(dtype, shape, span=(1, 20))
    values[-1, -1] = 100
    deep = 1 + math.ceil(math.log2(max(shape)))
    source = FakeSource(values[None])
    plan, store = builds.build(source, tms="native", chunk=32, levels=deep, resampling=method)
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


@pytest.mark.parametrize("method", [method for method in fold.METHODS if method != "nearest"])
@pytest.mark.parametrize("chunk", [64, 32])
def test_an_isolated_pixel_reaches_the_top_level(method: str, chunk: int) -> None:
    """P-2: one valid pixel of a raster of 600 x 600, ten levels, blocks that are mostly empty."""
    values = np.full((600, 600), -9999, np.int16)
    values[417, 333] = 1234
    source = FakeSource(values[None], nodata=-9999)
    plan = builds.plan_for(source, tms="native", chunk=chunk, levels=10, resampling=method)
    store, _ = builds.run(dataclasses.replace(plan, block=2 * chunk, cut=1), source)
    for step, asset in enumerate(plan.levels.assets):
        found = builds.read(store, f"{asset}/v0")
        assert np.argwhere(found != -9999).tolist() == [[417 >> step, 333 >> step]]
        assert found.max() == 1234
        chunks = [key for key in builds.objects(store) if key.startswith(f"{asset}/v0/c/")]
        assert chunks == [f"{asset}/v0/c/{(417 >> step) // chunk}/{(333 >> step) // chunk}"]


def test_an_isolated_pixel_is_sampled_where_it_is_the_centre() -> None:
    """P-5: level k samples index i * 2**k + 2**(k - 1): 417 = 0b110100001 is odd, so it shows at level 1 alone."""
    values = np.full((600, 600), -9999, np.int16)
    values[417, 333] = 1234
    plan, store = builds.build(
        FakeSource(values[None], nodata=-9999), tms="native", chunk=64, levels=4, resampling="nearest"
    )
    shown = [bool((builds.read(store, f"{asset}/v0") == 1234).any()) for asset in plan.levels.assets]
    assert shown == [True, True, False, False]


def land_cover(shape: tuple[int, int], *, codes: tuple[int, ...] = (11, 40, 95, 200)) -> np.ndarray:
    """Patches of class codes with single pixels of others in them, and a corner without data (0)."""
    rng = np.random.default_rng(21)
    patches = rng.choice(codes, (-(-shape[0] // 13), -(-shape[1] // 17))).astype(np.uint8)
    values = np.kron(patches, np.ones((13, 17), np.uint8))[: shape[0], : shape[1]]
    stray = rng.random(shape) < 0.2
    values[stray] = rng.choice(codes, int(stray.sum()))
    values[: shape[0] // 5, : shape[1] // 3] = 0
    return values


@pytest.mark.parametrize("cell", [30.0, 8.0])
@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_no_class_appears_that_the_source_lacks(tms: str, cell: float) -> None:
    """P-4: warped near the source's resolution and far below it, and folded; codes only, and all of them."""
    values = land_cover((420, 380))
    source = FakeSource(values[None], nodata=0, is_categorical=True, transform=Affine(cell, 0, 5e5, 0, -cell, 5e6))
    choices: dict[str, Any] = {"chunk": 64} if tms == "native" else {"max_zoom": 12, "min_zoom": 9}
    plan, store = builds.build(source, tms=tms, **choices)
    expected = {"native": None, "WebMercatorQuad": "nearest" if cell == 30 else "mode"}[tms]
    assert (plan.variables[0].warp_method, plan.variables[0].fold_method) == (expected, "mode")
    for asset in plan.levels.assets:
        assert set(np.unique(builds.read(store, f"{asset}/v0"))) <= {0, 11, 40, 95, 200}
    assert set(np.unique(builds.read(store, f"{plan.levels.assets[0]}/v0"))) == {0, 11, 40, 95, 200}
    builds.assert_levels_follow(store, plan)


def test_the_mode_is_not_that_of_modes() -> None:
    """P-4: three quarters are mostly 1 (2, 1, 1), one is all 2: seven 2 against six 1 in all."""
    quarter = [[1, 1], [2, 3]]
    values = np.array(
        [[*quarter[0], *quarter[0]], [*quarter[1], *quarter[1]], [*quarter[0], 2, 2], [*quarter[1], 2, 2]], np.uint8
    )
    _, store = builds.build(FakeSource(values[None], is_categorical=True), tms="native", levels=3)
    assert builds.read(store, "1/v0").tolist() == [[1, 1], [1, 2]]
    assert builds.read(store, "2/v0").tolist() == [[2]]


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_flags_are_united_and_their_meanings_kept(tms: str) -> None:
    """P-8: bits from xarray to the top level; each level's flag is set exactly if one below it is."""
    rng = np.random.default_rng(4)
    values = np.where(rng.random((300, 280)) < 0.004, 1 << rng.integers(0, 7, (300, 280)), 0).astype(np.uint8)
    meanings = {
        "flag_masks": np.array([1, 2, 4, 8, 16, 32, 64], np.uint8),
        "flag_meanings": "cloud shadow water snow ice smoke dust",
    }
    array = data_array(values, attrs=meanings)
    choices: dict[str, Any] = {"chunk": 64} if tms == "native" else {"min_zoom": 9}
    plan, store = builds.build(array, tms=tms, nodata=128, **choices)
    assert len(plan.levels.assets) >= 3
    assert plan.variables[0].fold_method == "bit-or"
    assert builds.attributes(store)["multiscales"]["resampling_method"] == "bit-or"
    for asset in plan.levels.assets:
        stated = builds.attributes(store, f"{asset}/v")
        assert stated["flag_masks"] == [1, 2, 4, 8, 16, 32, 64]
        assert stated["flag_meanings"] == "cloud shadow water snow ice smoke dust"
    builds.assert_levels_follow(store, plan)
    finest = builds.read(store, f"{plan.levels.assets[0]}/v")
    coarsest = builds.read(store, f"{plan.levels.assets[-1]}/v")
    everything = np.bitwise_or.reduce(finest[finest != 128], axis=None)
    assert np.bitwise_or.reduce(coarsest[coarsest != 128], axis=None) == everything == 127


@pytest.mark.parametrize("shape", [(700, 500), (331, 257), (1, 900)])
def test_sums_are_conserved_at_every_level_of_a_native_pyramid(shape: tuple[int, int]) -> None:
    """P-9: to 1e-12 of the sum, holes and partial edge cells among them."""
    values = np.random.default_rng(8).gamma(0.5, 100, shape)
    values[np.random.default_rng(9).random(shape) < 0.1] = math.nan
    plan, store = builds.build(FakeSource(values[None]), tms="native", chunk=64, levels=5, resampling="sum")
    total = math.fsum(values[~np.isnan(values)])
    for asset in plan.levels.assets:
        found = builds.read(store, f"{asset}/v0")
        assert math.fsum(found[~np.isnan(found)]) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize(
    ("code", "transform", "tms"),
    [
        ("EPSG:3857", Affine(31.7, 0, 500003.3, 0, -29.1, 5000001.9), "WebMercatorQuad"),
        ("EPSG:4326", Affine(0.013, 0, 7.3, 0, -0.017, 51.9), "WebMercatorQuad"),
        ("EPSG:4326", Affine(0.013, 0, 7.3, 0, -0.017, 51.9), "WorldCRS84Quad"),
    ],
)
@pytest.mark.parametrize("coarser", [0, 2])
def test_sums_are_conserved_by_a_warp_that_keeps_rows_and_columns(
    code: str, transform: Affine, tms: str, coarser: int
) -> None:
    """P-9: a source pixel is shared out among the cells that it touches, whole, to cells larger and smaller than it."""
    values = np.random.default_rng(8).gamma(0.5, 100, (331, 257))
    values[100:120, 30:90] = math.nan
    source = FakeSource(values[None], code=code, transform=transform)
    usual = int(builds.plan_for(source, tms=tms).levels.assets[0])
    plan, store = builds.build(source, tms=tms, resampling="sum", max_zoom=usual - coarser, min_zoom=usual - 3)
    total = math.fsum(values[~np.isnan(values)])
    for asset in plan.levels.assets:
        found = builds.read(store, f"{asset}/v0")
        assert math.fsum(found[~np.isnan(found)]) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_64_bit_integers_keep_all_their_digits(dtype: str) -> None:
    """P-3: beyond 2**53, where float64 has even numbers only; the mean of 2**53 + 1, 3, 5 and 7 is 2**53 + 4."""
    values = np.full((40, 50), np.iinfo(dtype).max, dtype)
    values[:2, :2] = np.array([[1, 3], [5, 7]], dtype) + np.array(2**53, dtype)
    values[20:] = 2**62 + np.random.default_rng(1).integers(0, 2**40, (20, 50)).astype(dtype)
    plan, store = builds.build(FakeSource(values[None], nodata=2**53), tms="native", chunk=32, levels=7)
    np.testing.assert_array_equal(builds.read(store, "0/v0"), values)
    assert int(builds.read(store, "1/v0")[0, 0]) == 2**53 + 4
    assert int(builds.read(store, "1/v0")[0, 10]) == np.iinfo(dtype).max
    builds.assert_levels_follow(store, plan)


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
        {"cut": 0},
        {"cut": 2},
        {"cut": 0, "block": 1, "workers": 3},
        {"in_rows": True},
        {"cache": 1},
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


@pytest.fixture(scope="module")
def small_tiles(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A set whose tiles are small, so that small rasters have many blocks."""
    return tms_document(tmp_path_factory.mktemp("tms") / "32.json", tile=32, cells=(320.0, 160.0, 80.0, 40.0))


@st.composite
def small_sources(draw: st.DrawFn) -> FakeSource:
    """Rasters of up to 130 pixels a side with holes, in tiles or strips, of one or two variables.

    Most of it comes from a seed: drawn one by one, holes and masks would hardly ever meet.
    """
    dtype, has_alpha = draw(
        st.sampled_from([("uint8", True), ("int16", False), ("float32", False), ("int64", False), ("uint8", False)])
    )
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = tuple(rng.choice([1, 2, 17, 31, 32, 33, 64, 97, 130], 2).tolist())
    values = np.stack([scene(dtype, shape, seed=seed, span=(1, 9)) for seed in range(rng.integers(1, 3))])
    gone = rng.random(shape) < rng.choice([0.0, 0.1, 0.1, 0.9, 1.0])
    row, col, side = rng.integers(0, 130, 3)
    gone[row : row + side, col : col + side] = True
    block_shape = draw(st.sampled_from([(16, 16), (32, 16), (1, shape[1]), (16, shape[1]), (shape[0], 1)]))
    if has_alpha:
        alpha = np.where(gone, 0, rng.choice([255, 9])).astype(np.uint8)
        return FakeSource(values, has_alpha=True, alpha=alpha, block_shape=block_shape)
    values[:, gone] = 0
    return FakeSource(values, nodata=0, block_shape=block_shape)


@pytest.mark.slow
@settings(max_examples=60)
@given(source=small_sources(), is_native=st.booleans(), data=st.data())
def test_how_a_plan_is_carried_out_never_shows_in_a_byte(
    small_tiles: str, source: FakeSource, is_native: bool, data: st.DataObject
) -> None:
    """P-10: blocks, subtrees and their order, threads, slices walked together, cells kept: the same objects."""
    methods = fold.METHODS if is_native else warp.METHODS
    method = data.draw(
        st.sampled_from([name for name in methods if name != "bit-or" or source.values.dtype.kind != "f"])
    )
    grid: dict[str, Any] = {"tms": "native", "chunk": 16} if is_native else {"tms": small_tiles, "min_zoom": "0"}
    shard = data.draw(st.sampled_from(["none", 2, 4]))
    side = 16 if is_native else 32
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "CELL_PIXELS", 1)
        plan = builds.plan_for(
            source, resampling=method, workers=1, shard=shard if shard == "none" else shard * side, **grid
        )
        changed = dataclasses.replace(
            plan,
            block=plan.chunk << data.draw(st.integers(0, 4)),
            cut=data.draw(st.integers(0, len(plan.levels.levels) - 1)),
            in_rows=data.draw(st.booleans()),
            workers=data.draw(st.sampled_from([1, 2, 4])),
            together=data.draw(st.integers(1, 3)),
            cache=data.draw(st.sampled_from([1, 50_000, 2**30])),
        )
        assert changed.identity == plan.identity
        expected = builds.objects(builds.run(plan, source)[0])
        found = builds.objects(builds.run(changed, source)[0])
    assert found.keys() == expected.keys()
    assert [key for key in found if found[key] != expected[key]] == []


@settings(max_examples=30)
@given(source=small_sources(), method=st.sampled_from(fold.METHODS), data=st.data())
def test_chunks_and_shards_never_show_in_a_pixel(source: FakeSource, method: str, data: st.DataObject) -> None:
    """P-6, P-10: a native pyramid is the source, folded by the oracle, whatever it is cut into."""
    method = "average" if source.values.dtype.kind == "f" and method == "bit-or" else method
    usual = builds.plan_for(source, tms="native", chunk=16, resampling=method)
    store, _ = builds.run(usual, source)
    for number, variable in enumerate(usual.data_variables):
        mask = source.mask(number)
        kept = np.where(mask, source.values[number], np.asarray(variable.fill_value, variable.dtype))
        np.testing.assert_array_equal(builds.read(store, f"0/{variable.name}"), kept)
    builds.assert_levels_follow(store, usual)
    chunk = data.draw(st.sampled_from([16, 32, 64]))
    shard = data.draw(st.sampled_from(["none", 2 * chunk, 4 * chunk]))
    levels = len(usual.levels.levels)
    other = builds.plan_for(source, tms="native", chunk=chunk, shard=shard, levels=levels, resampling=method)
    other = dataclasses.replace(other, block=chunk << data.draw(st.integers(0, 2)), cut=0)
    cut, _ = builds.run(other, source)
    for asset in usual.levels.assets:
        for variable in usual.variables:
            path = f"{asset}/{variable.name}"
            np.testing.assert_array_equal(builds.read(cut, path), builds.read(store, path))


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
@pytest.mark.parametrize("block", [256, 512])
def test_no_seam_between_blocks(method: str, block: int) -> None:
    """P-11: the stored finest level equals one warp of the whole array in one piece."""
    source = holed("uint8", nodata=255, shape=(420, 380))
    plan = builds.plan_for(source, resampling=method, max_zoom=13, min_zoom=11)
    store, _ = builds.run(dataclasses.replace(plan, block=block, workers=2), source)
    grid = plan.levels.finest.grid
    mapping = Mapping(grid, source.grid)
    expected, valid = warp.resample(
        source.values[:1],
        source.mask(0)[None],
        window=source.grid.window,
        where=warp.positions(mapping, grid.window, method),
        method=method,
        nodata=[255],
        turn=mapping.turn,
    )
    assert valid.any()
    np.testing.assert_array_equal(builds.read(store, f"{plan.levels.assets[0]}/v0"), expected[0])


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
        for parts, expected in zip(other, found[0], strict=True):
            assert parts.keys() == expected.keys()
            for key in expected:
                np.testing.assert_array_equal(parts[key], expected[key])


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


def mostly_empty() -> tuple[np.ndarray, np.ndarray]:
    """A raster of 1600 x 1600 with data in one part of fifty, and which of its blocks of 64 hold any."""
    values = np.zeros((1600, 1600), np.uint8)
    values[300:420, 900:1100] = scene("uint8", (120, 200), span=(1, 255))
    values[1400:1440, 200:840] = 9
    covered = values.reshape(25, 64, 25, 64).any(axis=(1, 3))
    assert covered.mean() < 0.1
    return values, covered


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_what_an_index_says_is_empty_is_neither_read_nor_visited(monkeypatch: pytest.MonkeyPatch, tms: str) -> None:
    """P-28: reads meet covered blocks only, each cell once; the store is that of a build without an index."""
    monkeypatch.setattr(blocks, "CELL_PIXELS", 1)
    values, covered = mostly_empty()
    choices: dict[str, Any] = {"chunk": 64} if tms == "native" else {"max_zoom": 13, "min_zoom": 9}
    found = []
    reads = []
    for index in (covered, None):
        source = FakeSource(values[None], nodata=0, covered=index)
        plan = builds.plan_for(source, tms=tms, **choices)
        plan = dataclasses.replace(plan, block=64 if tms == "native" else 256, cut=0)
        store, report = builds.run(plan, source)
        found.append(builds.objects(store))
        reads.append(source.reads)
        assert report.computed == report.work
    assert found[0] == found[1]
    met = {(window.row // 64, window.col // 64) for window, _ in reads[0]}
    assert met == set(map(tuple, np.argwhere(covered).tolist()))
    assert len(reads[0]) == covered.sum() < len(reads[1]) / 10
    finest = plan.levels.assets[0]
    stored = sum(key.startswith(f"{finest}/v0/c/") for key in found[0])
    pixels = builds.read(store, f"{finest}/v0")
    rows, cols = -(-pixels.shape[0] // plan.chunk), -(-pixels.shape[1] // plan.chunk)
    padded = np.zeros((rows * plan.chunk, cols * plan.chunk), np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    assert stored == padded.reshape(rows, plan.chunk, cols, plan.chunk).any(axis=(1, 3)).sum()


@pytest.mark.parametrize("block_shape", [(1, 1500), (1500, 1), (700, 1500), (1500, 1500)])
def test_awkward_blocks_are_read_once_within_the_memory_planned(block_shape: tuple[int, int]) -> None:
    """P-29: strips of one row, columns, and one block that is the whole raster."""
    source = FakeSource(scene("int16", (1, 1500, 1500)), nodata=-9999, block_shape=block_shape)
    for choices in ({"tms": "native", "chunk": 128}, {"max_zoom": 12, "min_zoom": 11}):
        source.reads.clear()
        plan, _ = builds.build(source, workers=2, **choices)
        assert plan.peak <= plan.memory
        assert set(builds.cells_read(source).values()) == {1}
        times = np.zeros((1500, 1500), int)
        for window, _ in source.reads:
            assert window.row % block_shape[0] == window.col % block_shape[1] == 0
            times[window.slices] += 1
        assert (times == 1).all()


def test_chunks_are_compressed_on_the_thread_that_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-30: blosc's own threads are off while a build runs, so that two workers are two threads."""
    monkeypatch.setattr(blosc, "use_threads", True)
    seen: list[bool] = []
    encode = shards.encode_chunk
    monkeypatch.setattr(shards, "encode_chunk", lambda *given: seen.append(blosc.use_threads) or encode(*given))
    builds.build(small(), tms="native", chunk=32)
    assert seen
    assert not any(seen)


def test_kernels_and_gdal_start_no_threads_of_their_own() -> None:
    """P-30: no kernel is parallel, and nothing sets GDAL's number of threads; each releases the GIL."""
    kernels = {}
    for module in pkgutil.walk_packages(pyramids.__path__, "pyramids."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, numba.core.registry.CPUDispatcher):
                kernels[f"{module.name}.{name}"] = value
        text = inspect.getsource(importlib.import_module(module.name))
        assert "GDAL_NUM_THREADS" not in text
        assert "num_threads" not in text.lower()
    assert len(kernels) > 20
    for name, kernel in kernels.items():
        assert not kernel.targetoptions.get("parallel", False), name
        assert kernel.targetoptions["nogil"], name


def test_b16_a_raster_without_data_stores_no_chunk_and_reads_as_nodata() -> None:
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


@pytest.mark.parametrize("opacity", [255, 90, None])
@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_pixels_under_a_mask_are_stored_as_fill(tms: str, opacity: int | None) -> None:
    """P-1, P-23: what stands there in the source never reaches the store; nor does opacity, or a mask without any."""
    values = scene("uint8", (300, 280), span=(1, 100))
    valid = np.random.default_rng(7).random((300, 280)) > 0.3
    values[~valid] = 200
    alpha = None if opacity is None else np.where(valid, opacity, 0).astype(np.uint8)
    source = FakeSource(values[None], valid=valid, has_alpha=True, alpha=alpha)
    choices: dict[str, Any] = {"chunk": 64, "levels": 3} if tms == "native" else {"min_zoom": 10}
    plan, store = builds.build(source, tms=tms, **choices)
    assert plan.variables[0].fill_value == 255
    for asset in plan.levels.assets:
        found, shown = builds.read(store, f"{asset}/v0"), builds.read(store, f"{asset}/alpha")
        assert not (found == 200).any()
        np.testing.assert_array_equal(shown, np.where(found == 255, 0, opacity or 255))
    assert 0.2 < (builds.read(store, f"{plan.levels.assets[0]}/v0") == 255).mean() < 1
    if tms == "native":
        np.testing.assert_array_equal(builds.read(store, "0/v0"), np.where(valid, values, 255))
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


def test_b19_a_global_raster_meets_itself_at_the_antimeridian() -> None:
    """P-12, B19: from -180 and from 0, every method for floats but sums, no band of wrong pixels at either seam."""
    row, col = np.mgrid[:180, :360] + 0.5
    for method in warp.METHODS:
        if method in ("sum", "bit-or"):
            continue
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
    """B23."""
    target = tmp_path / "ours.zarr"
    pyramids.build(FakeSource(scene("int16", (3, 900, 800))), target, tms="native", chunk=128)
    before = tree(target)
    with pytest.raises(TargetExistsError) as caught:
        pyramids.build(small(), target, tms="native")
    assert caught.value.found == "a pyramid"
    assert tree(target) == before
    plan = pyramids.build(small(), target, tms="native", overwrite=True)
    assert plan.levels.assets == ("0",)
    (level,) = (path for path in target.glob("*/0") if path.parent.name != ".build")
    fresh = tmp_path / "fresh.zarr"
    pyramids.build(small(), fresh, tms="native")
    assert tree(level) == tree(fresh / "0")
    assert conformance.check(target).exit_status == 0


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


def test_b23_a_target_that_holds_the_source_is_never_cleared(tmp_path: Path) -> None:
    """B23: a pyramid's own level as the source of a new one at the same place."""
    target = tmp_path / "x.zarr"
    pyramids.build(small(), target, tms="native", chunk=16)
    before = tree(target)
    with pytest.raises(TargetExistsError) as caught:
        pyramids.build(target / "1", target, tms="native", overwrite=True)
    assert "source" in caught.value.found
    assert tree(target) == before
    pyramids.build(target / "1", tmp_path / "y.zarr", tms="native")


def recorded(**choices: Any) -> faults.FaultStore:
    """A store that was built into."""
    store = faults.FaultStore(store_module.open_store(MemoryStore()))
    pyramids.build(small(), store, **choices)
    return store


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_the_root_document_is_put_last_and_once(tms: str) -> None:
    """P-18: data first, then the documents of levels and arrays, then the root; each key once."""
    keys = recorded(tms=tms).keys
    assert keys[0] == ".build/lease/000001.json"
    assert keys[1].endswith("/plan.json")
    assert keys[-1] == "zarr.json"
    assert len(keys) == len(set(keys))
    first_document = next(index for index, key in enumerate(keys) if key.endswith("zarr.json"))
    assert not [key for key in keys[first_document:] if "/c/" in key]


def test_b23_replacing_leaves_the_former_pyramid_untouched() -> None:
    """P-18: readers go on with it, and the root document switches in one put."""
    store = faults.FaultStore(store_module.open_store(MemoryStore()))
    pyramids.build(small(), store, tms="native")
    before = {key: data for key, data in faults.contents(store).items() if not key.startswith(".build/")}
    store.operations.clear()
    plan = pyramids.build(small(), store, tms="native", chunk=32, overwrite=True)
    deleted = [item.key for item in store.operations if item.name == "delete"]
    assert not [key for key in deleted if not key.startswith(".build/")]
    assert store.keys[-1] == "zarr.json"
    after = faults.contents(store)
    assert {key: after[key] for key in before if key != "zarr.json"} == {
        key: data for key, data in before.items() if key != "zarr.json"
    }
    root = json.loads(after["zarr.json"])
    assets = [item["asset"] for item in root["attributes"]["multiscales"]["layout"]]
    assert [asset.rpartition("/")[2] for asset in assets] == list(plan.levels.assets)
    assert {asset.rpartition("/")[0] for asset in assets} == {root["attributes"]["geozarr_pyramids"]["build"][:8]}
    assert conformance.check(store).exit_status == 0


@pytest.mark.parametrize("error", [StoreError("put", "k"), OSError("no space"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failure_at_any_put_publishes_nothing(error: BaseException) -> None:
    """P-18, B22: every put of a small build in turn; the root document is there only after the last one."""
    choices: dict[str, Any] = {"tms": "native", "chunk": 32, "workers": 2}
    total = len(recorded(**choices).operations)
    for at in range(0, total, 1 if isinstance(error, StoreError) else 5):
        inner = store_module.open_store(MemoryStore())
        store = faults.FaultStore(inner, at=at, how="raise", error=error)
        try:
            pyramids.build(small(), store, **choices)
        except type(error):
            assert inner.get("zarr.json") is None or store.operations[-1].key != "zarr.json"


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


def test_what_a_build_left_that_died_once_published_goes_with_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    source, store = FakeSource(scene("int16", (1, 300, 300)), nodata=0), MemoryStore()
    with monkeypatch.context() as patch:
        patch.setattr("pyramids.publish.forget_work", lambda *_: None)
        pyramids.build(source, store, tms="native", chunk=64)

    def folders() -> set[str]:
        keys = [str(item["path"]) for batch in store.list() for item in batch]
        return {key.split("/")[2] for key in keys if key.startswith(".build/") and key.count("/") > 2}

    assert folders() >= {"journal", "handover"}
    pyramids.build(source, store, tms="native", chunk=64, resume=True)
    assert not folders() & {"journal", "handover"}


def test_b8_a_source_that_changed_while_it_was_read_is_not_published() -> None:
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
    assert isinstance(pyramids.open_source(tmp_path / "z.zarr"), ZarrSource)
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
