"""What a source becomes, decided before the first pixel is read (P-13, P-15, P-16, P-26; B10, B13, B17, B18)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import morecantile
import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

import builds
from builds import FakeSource
from geozarr import (
    GeoZarrError,
    GridMismatchError,
    LimitError,
    MetadataError,
    ParameterError,
    UnknownNameError,
    UnsupportedError,
    Window,
)
from pyramids import Axis, Options, make_plan
from pyramids.planner import AREA_FROM

if TYPE_CHECKING:
    from pathlib import Path

HALF = math.pi * 6378137


def never(_: Window) -> None:
    """Stand for a pixel that is read."""
    raise AssertionError("a plan reads no pixel")


def source(dtype: str = "uint8", shape: tuple[int, int] = (400, 300), **changes: Any) -> FakeSource:
    """A UTM scene of 30 m that refuses to be read."""
    return FakeSource(np.zeros((1, *shape), dtype), before_read=never, **changes)


def test_a_plan_reads_no_pixel() -> None:
    """DESIGN section 3: every kind of plan, of a source that raises when it is read."""
    for choices in (
        {"tms": "native"},
        {"tms": "WebMercatorQuad", "resampling": "average"},
        {"tms": "UTM31WGS84Quad"},
        {"max_zoom": 8},
    ):
        str(builds.plan_for(source(), **choices))


def test_the_finest_level_is_the_matrix_nearest_to_the_sources_resolution() -> None:
    """By ratio of cell sizes: 30 m at 45 degrees north are 42.4 m of Web Mercator; zoom 12 has 38.2 m."""
    plan = builds.plan_for(source())
    assert plan.levels.assets[0] == "12"
    sizes = {zoom: 2 * HALF / 256 / 2**zoom for zoom in range(25)}
    for cell in (0.3, 1, 7, 29, 100, 1111):
        scaled = source(transform=Affine(cell, 0, 500000, 0, -cell, 1000))  # on the equator, 0.9996 metres each
        expected = min(sizes, key=lambda zoom: abs(math.log(sizes[zoom] / cell)))
        assert builds.plan_for(scaled).levels.assets[0] == str(expected)


def test_the_coarsest_level_is_the_last_that_needs_at_most_two_by_two_tiles() -> None:
    """DESIGN section 2."""
    plan = builds.plan_for(source(shape=(3000, 4000)))
    tms = morecantile.tms.get("WebMercatorQuad")
    box = plan.levels.finest.grid.crop(plan.footprint).bounds
    for asset in plan.levels.assets:
        matrix = tms.matrix(int(asset))
        size = matrix.cellSize * 256
        cols = math.floor((box.xmax + HALF) / size - 1e-9) - math.floor((box.xmin + HALF) / size + 1e-9) + 1
        rows = math.floor((HALF - box.ymin) / size - 1e-9) - math.floor((HALF - box.ymax) / size + 1e-9) + 1
        if asset == plan.levels.assets[-1]:
            assert max(rows, cols) <= 2
        else:
            assert max(rows, cols) > 2, f"level {asset} would do as the coarsest"


def test_zooms_may_be_chosen() -> None:
    for low, high in ((8, 12), ("8", "12"), (12, 12), (0, 3)):
        plan = builds.plan_for(source(), min_zoom=low, max_zoom=high)
        assert plan.levels.assets == tuple(str(zoom) for zoom in range(int(high), int(low) - 1, -1))
    assert builds.plan_for(source(), min_zoom=0, max_zoom=0).levels.assets == ("0",)


def test_all_levels_span_the_tiles_of_the_coarsest() -> None:
    """DESIGN section 2: shape = tiles x tile size, corners equal to the bit."""
    plan = builds.plan_for(source(), min_zoom=7)
    coarsest = plan.levels.levels[-1]
    for step, level in enumerate(plan.levels.levels):
        assert level.limits is not None
        assert level.grid.shape == (256 * level.limits.height, 256 * level.limits.width)
        assert level.grid.bounds == coarsest.grid.bounds
        assert level.grid.height == coarsest.grid.height * 2 ** (len(plan.levels.levels) - 1 - step)


def test_native_levels_go_on_until_one_chunk_holds_all() -> None:
    for shape, chunk, count in (
        ((512, 512), None, 1),
        ((513, 1), None, 2),
        ((1, 1), None, 1),
        ((1024, 1000), None, 2),
        ((1025, 3), None, 3),
        ((100, 100), 32, 3),
    ):
        assert len(builds.plan_for(source(shape=shape), tms="native", chunk=chunk).levels.levels) == count


@pytest.mark.parametrize(
    ("choices", "error", "fields"),
    [
        ({"min_zoom": 12, "max_zoom": 5}, ParameterError, {"parameter": "zoom range", "found": "12 to 5"}),
        ({"tms": "NoSuchQuad"}, UnknownNameError, {"kind": "TileMatrixSet", "name": "NoSuchQuad"}),
        ({"tms": "missing.json"}, UnknownNameError, {"name": "missing.json"}),
        ({"max_zoom": 99}, UnknownNameError, {"name": "99"}),
        ({"min_zoom": "fine"}, UnknownNameError, {"name": "fine"}),
        ({"min_zoom": -1}, UnknownNameError, {"name": "-1"}),
        ({"tms": "NZTM2000Quad"}, GridMismatchError, {}),
        ({"tms": "WebMercatorQuad", "levels": 3}, ParameterError, {"parameter": "levels", "found": 3}),
        ({"tms": "WebMercatorQuad", "chunk": 256}, ParameterError, {"parameter": "chunk", "found": 256}),
        ({"tms": "native", "max_zoom": 3}, ParameterError, {"parameter": "max_zoom", "found": 3}),
        ({"tms": "native", "min_zoom": 0}, ParameterError, {"parameter": "min_zoom", "found": 0}),
        ({"tms": "native", "levels": 0}, ParameterError, {"parameter": "levels", "found": 0}),
        ({"tms": "native", "levels": -2}, ParameterError, {"parameter": "levels", "found": -2}),
        ({"tms": "native", "levels": 11}, ParameterError, {"parameter": "levels", "found": 11}),
        ({"tms": "native", "chunk": 0}, ParameterError, {"parameter": "chunk", "found": 0}),
        ({"tms": "native", "chunk": 100}, ParameterError, {"parameter": "chunk", "found": 100}),
        ({"tms": "native", "resampling": "cubic"}, ParameterError, {"parameter": "resampling", "found": "cubic"}),
        ({"tms": "native", "resampling": "lanczos"}, ParameterError, {"parameter": "resampling", "found": "lanczos"}),
        ({"resampling": "gauss"}, ParameterError, {"parameter": "resampling", "found": "gauss"}),
        ({"workers": 0}, ParameterError, {"parameter": "workers", "found": 0}),
        ({"shard": 300}, ParameterError, {"parameter": "shard", "found": 300}),
        ({"shard": "huge"}, ParameterError, {"parameter": "shard", "found": "huge"}),
        ({"memory": 1000}, LimitError, {"limit": "memory in bytes", "allowed": 1000}),
        ({"memory": -1}, LimitError, {"allowed": -1}),
    ],
    ids=str,
)
def test_what_cannot_be_planned_is_refused(
    choices: dict[str, Any], error: type[GeoZarrError], fields: dict[str, Any]
) -> None:
    """The errors of the API, by their fields."""
    with pytest.raises(error) as caught:
        builds.plan_for(source(), **choices)
    for name, value in fields.items():
        assert getattr(caught.value, name) == value


def test_levels_up_to_one_pixel_are_planned() -> None:
    """400 x 300 has nine halvings; the tenth level is one pixel."""
    plan = builds.plan_for(source(), tms="native", levels=10)
    assert plan.levels.levels[-1].grid.shape == (1, 1)


def test_b12_more_levels_than_sums_can_hold_are_refused() -> None:
    """B12."""
    with pytest.raises(LimitError) as caught:
        builds.plan_for(source(), min_zoom=0, max_zoom=17)
    assert caught.value.limit == "levels of a pyramid"


def document(**changes: Any) -> dict[str, Any]:
    """A TMS of two matrices over all of Web Mercator."""
    matrices = [
        {
            "id": str(zoom),
            "scaleDenominator": 2 * HALF / 256 / 2**zoom / 0.28e-3,
            "cellSize": 2 * HALF / 256 / 2**zoom,
            "pointOfOrigin": [-HALF, HALF],
            "tileWidth": 256,
            "tileHeight": 256,
            "matrixWidth": 2**zoom,
            "matrixHeight": 2**zoom,
        }
        for zoom in (6, 7)
    ]
    for name, value in changes.items():
        matrices[0][name] = value
    return {"id": "mine", "crs": "http://www.opengis.net/def/crs/EPSG/0/3857", "tileMatrices": matrices}


def test_sets_of_ones_own_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document()))
    plan = builds.plan_for(source(), tms=str(path), min_zoom="6", max_zoom="7")
    assert plan.levels.assets == ("7", "6")
    assert plan.levels.tms is not None
    assert plan.levels.tms.id == "mine"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"cellSize": 2 * HALF / 256 / 2**7 * 3, "matrixWidth": 43, "matrixHeight": 43}, GridMismatchError),
        ({"tileWidth": 512, "tileHeight": 512, "matrixWidth": 32, "matrixHeight": 32}, GridMismatchError),
        ({"pointOfOrigin": [-HALF + 5000, HALF]}, GridMismatchError),
    ],
)
def test_matrices_that_do_not_nest_are_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[GeoZarrError]
) -> None:
    """DESIGN section 2: with the reason; alone, each of them would do."""
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(document(**changes)))
    with pytest.raises(error):
        builds.plan_for(source(), tms=str(path), min_zoom="6", max_zoom="7")
    assert builds.plan_for(source(), tms=str(path), min_zoom="7", max_zoom="7").levels.assets == ("7",)


def test_tiles_that_are_not_square_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.json"
    path.write_text(json.dumps(document(tileWidth=512, matrixWidth=32)))
    with pytest.raises(UnsupportedError) as caught:
        builds.plan_for(source(), tms=str(path), min_zoom="6", max_zoom="6")
    assert "square" in caught.value.reason


def test_sets_with_coalesced_tiles_are_refused() -> None:
    """CDB1GlobalGrid and GNOSISGlobalGrid: rows of unequal width have no chunk grid."""
    degrees = source(code="EPSG:4326", transform=Affine(0.001, 0, 10, 0, -0.001, 60))
    with pytest.raises(GeoZarrError):
        builds.plan_for(degrees, tms="GNOSISGlobalGrid")


@pytest.mark.parametrize(
    "transform", [Affine(20, 10, 500000, 10, -20, 5000000), Affine(20, 5, 500000, 0, -20, 5000000)]
)
def test_b18_grids_that_are_rotated_are_warped_but_have_no_native_pyramid(transform: Affine) -> None:
    """B18, P-14: they work, or say what would."""
    odd = source(transform=transform, code="EPSG:32631")
    assert builds.plan_for(odd).variables[0].warp_method == "bilinear"
    with pytest.raises(UnsupportedError) as caught:
        builds.plan_for(odd, tms="native")
    assert "upright" in caught.value.feature


@pytest.mark.parametrize(
    "transform",
    [
        Affine(30, 0, 500000, 0, 30, 5000000),
        Affine(-30, 0, 500000, 0, -30, 5000000),
        Affine(-30, 0, 500000, 0, 30, 5000000),
    ],
    ids=["south-up", "mirrored", "both"],
)
def test_b18_rows_and_columns_that_run_the_other_way_are_turned_around(transform: Affine) -> None:
    odd = source(transform=transform, code="EPSG:32631")
    assert builds.plan_for(odd).variables[0].warp_method == "bilinear"
    grid = builds.plan_for(odd, tms="native").levels.finest.grid
    assert grid.is_north_up
    assert grid.bounds == odd.grid.bounds


@pytest.mark.parametrize(
    ("cell", "method"),
    [(30, "bilinear"), (60, "bilinear"), (20, "bilinear"), (18, "average"), (5, "average")],
)
def test_auto_averages_where_the_source_is_finer(cell: float, method: str) -> None:
    """Levels fixed at zoom 12, 38.2 m: from sqrt(2) source pixels along a target pixel on."""
    scene = source(transform=Affine(cell, 0, 500000, 0, -cell, 5000000))
    plan = builds.plan_for(scene, max_zoom=12)
    size = cell / math.cos(math.radians(45.15))
    assert (method == "average") == (2 * HALF / 256 / 2**12 / size > AREA_FROM)
    assert (plan.variables[0].warp_method, plan.variables[0].fold_method) == (method, "average")
    for kind, folded in (({"is_categorical": True}, "mode"), ({"is_flags": True}, "bit-or")):
        scene = source(transform=Affine(cell, 0, 500000, 0, -cell, 5000000), nodata=0, **kind)
        plan = builds.plan_for(scene, max_zoom=12)
        near = "nearest" if method == "bilinear" else folded
        assert (plan.variables[0].warp_method, plan.variables[0].fold_method) == (near, folded)
        assert plan.levels.resampling_method == folded
        assert any(f"warped by {near} and coarsened by {folded}" in note for note in plan.notes)


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
@pytest.mark.parametrize(
    ("kind", "folded"), [("is_categorical", "mode"), ("is_flags", "bit-or"), (None, "average")], ids=str
)
def test_auto_goes_by_the_variable(tms: str, kind: str | None, folded: str) -> None:
    """P-4, P-8: the mode of class codes and palette indexes, the union of flags, and the plan says why."""
    scene = source(**({} if kind is None else {kind: True}))
    plan = builds.plan_for(scene, tms=tms)
    near = "bilinear" if kind is None else "nearest"
    variable = plan.variables[0]
    assert (variable.warp_method, variable.fold_method) == (None if tms == "native" else near, folded)
    assert plan.is_native == (tms == "native")
    assert plan.levels.resampling_method == folded
    assert any(f"coarsened by {folded}: " in note for note in plan.notes)


@pytest.mark.parametrize("method", ["average", "bilinear", "cubic", "lanczos", "median", "sum"])
@pytest.mark.parametrize("kind", ["is_categorical", "is_flags"])
def test_means_of_classes_and_flags_are_refused_unless_forced(kind: str, method: str) -> None:
    """P-4, P-8: a code between two codes is another class."""
    for tms in ("native", "WebMercatorQuad"):
        if tms == "native" and method in ("bilinear", "cubic", "lanczos"):
            continue
        with pytest.raises(ParameterError) as caught:
            builds.plan_for(source(**{kind: True}), tms=tms, resampling=method)
        assert caught.value.parameter == "resampling"
        assert method in str(caught.value.found)
        forced = builds.plan_for(source(**{kind: True}), tms=tms, resampling=method, force=True)
        folded = method if method in ("average", "median", "sum") else "average"
        assert forced.variables[0].fold_method == folded


@pytest.mark.parametrize(
    ("method", "packing", "is_refused"),
    [
        ("min", {"scale_factor": -0.5}, True),
        ("max", {"scale_factor": -0.5, "add_offset": 2.0}, True),
        ("sum", {"scale_factor": 0.5, "add_offset": 2.0}, True),
        ("min", {"scale_factor": 0.5, "add_offset": -2.0}, False),
        ("sum", {"scale_factor": -0.5, "add_offset": 0.0}, False),
        ("average", {"scale_factor": -0.5, "add_offset": 2.0}, False),
    ],
)
def test_methods_that_do_not_commute_with_packing_are_refused(method, packing, is_refused) -> None:
    """CF 8.1: unpacked = packed x scale_factor + add_offset: min turns into max, and a sum has n offsets, not one."""
    packed = np.array([3, 5, 10])
    unpacked = packed * packing["scale_factor"] + packing.get("add_offset", 0)
    function = {"min": np.min, "max": np.max, "sum": np.sum, "average": np.mean}[method]
    packed_first = function(packed) * packing["scale_factor"] + packing.get("add_offset", 0)
    assert (packed_first == pytest.approx(function(unpacked))) is not is_refused
    if is_refused:
        with pytest.raises(ParameterError) as caught:
            builds.plan_for(source(attributes=packing), resampling=method, force=True)
        assert caught.value.parameter == "resampling"
    else:
        assert builds.plan_for(source(attributes=packing), resampling=method).variables[0].fold_method == method


@pytest.mark.parametrize("method", ["nearest", "min", "max", "mode", "bit-or"])
def test_what_invents_no_value_is_allowed_for_classes(method: str) -> None:
    """P-4."""
    for tms in ("native", "WebMercatorQuad"):
        variable = builds.plan_for(source(is_categorical=True), tms=tms, resampling=method).variables[0]
        assert variable.fold_method == method


def test_the_union_of_bits_of_floats_is_refused_even_if_forced() -> None:
    """P-8."""
    with pytest.raises(ParameterError) as caught:
        builds.plan_for(source("float32"), resampling="bit-or", force=True)
    assert caught.value.parameter == "resampling"


@pytest.mark.parametrize(
    ("chosen", "opacity"),
    [
        ("nearest", ("nearest", "nearest")),
        ("bilinear", ("bilinear", "average")),
        ("cubic", ("bilinear", "average")),
        ("lanczos", ("bilinear", "average")),
        ("mode", ("average", "average")),
        ("max", ("average", "average")),
        ("sum", ("average", "average")),
    ],
)
def test_opacity_is_resampled_beside_the_data(chosen: str, opacity: tuple[str, str]) -> None:
    """P-23: from the same pixels as the data, so that both hold data together, and never beyond 0 to 255."""
    alpha = builds.plan_for(source(has_alpha=True), resampling=chosen).variables[-1]
    assert alpha.name == "alpha"
    assert (alpha.warp_method, alpha.fold_method) == opacity


@pytest.mark.parametrize(
    ("dtype", "nodata", "has_alpha", "tms", "expected"),
    [
        ("float32", None, False, "native", (math.nan, math.nan, False)),
        ("float64", -9999.0, False, "native", (-9999.0, -9999.0, False)),
        ("float32", None, True, "WebMercatorQuad", (math.nan, math.nan, False)),
        ("uint8", 0, False, "native", (0, 0, False)),
        ("uint8", None, False, "native", (None, 255, False)),
        ("uint8", None, False, "WebMercatorQuad", (None, 255, True)),
        ("uint16", None, True, "native", (None, 65535, True)),
        ("int16", None, False, "WebMercatorQuad", (None, -32768, True)),
        ("int32", None, False, "WebMercatorQuad", (None, -(2**31), True)),
        ("uint32", None, False, "WebMercatorQuad", (None, 2**32 - 1, True)),
        ("int8", 5, True, "WebMercatorQuad", (5, 5, False)),
    ],
)
def test_where_missing_pixels_are_told(
    dtype: str, nodata: float | None, has_alpha: bool, tms: str, expected: tuple[Any, Any, bool]
) -> None:
    """DESIGN section 2, validity: NaN, the source's value, or alpha; the placeholder is never 0."""
    plan = builds.plan_for(source(dtype, nodata=nodata, has_alpha=has_alpha), tms=tms)
    variable = plan.variables[0]
    np.testing.assert_equal((variable.nodata, variable.fill_value, variable.uses_alpha), expected)
    assert plan.has_alpha == expected[2]
    assert [item.name for item in plan.variables] == ["v0"] + ["alpha"] * expected[2]


@pytest.mark.parametrize("name", ["x", "y", "alpha", "spatial_ref", "", "a/b", "..", ".", "../up", "__x", "zarr.json"])
def test_names_that_would_clash_or_that_zarr_forbids_are_refused(name: str) -> None:
    """ZARR-06; a variable's name becomes a key of the store."""
    with pytest.raises(MetadataError) as caught:
        builds.plan_for(source(names=(name,)))
    assert (caught.value.key, caught.value.found) == ("variables", name)
    axis = Axis(name, (1,))
    with pytest.raises(MetadataError):
        builds.plan_for(source(names=("v",), leading=(axis,)))


def test_a_name_is_used_once() -> None:
    twice = FakeSource(np.zeros((2, 10, 10), np.uint8), names=("v", "v"))
    with pytest.raises(MetadataError) as caught:
        builds.plan_for(twice, tms="native")
    assert caught.value.found == "v"
    with pytest.raises(MetadataError):
        builds.plan_for(source(names=("time",), leading=(Axis("time", (0,)),)), tms="native")


def test_b10_memory_decides_blocks_and_slices_not_bytes() -> None:
    """B10, P-10: the same identity, under the memory given."""
    many = FakeSource(np.zeros((6, 3000, 3000), np.float64), before_read=never)
    plans = [builds.plan_for(many, tms="native", memory=memory * 2**20) for memory in (8000, 1000, 600)]
    assert len({plan.identity for plan in plans}) == 1
    assert len({(plan.block, plan.together) for plan in plans}) > 1
    for plan in plans:
        assert plan.peak <= plan.memory
        assert sum(len(group) for group in plan.groups) == 6
        assert max(len(group) for group in plan.groups) <= plan.together


def test_b17_a_raster_beyond_the_set_is_clipped_with_a_note() -> None:
    """B17."""
    world = source(code="EPSG:4326", shape=(180, 360), transform=Affine(1, 0, -180, 0, -1, 90))
    plan = builds.plan_for(world)
    assert any("clipped" in note for note in plan.notes)
    assert plan.levels.finest.grid.bounds == pytest.approx((-HALF, -HALF, HALF, HALF))
    assert not any("clipped" in note for note in builds.plan_for(source()).notes)


def square(side: int, dtype: str = "float32", **changes: Any) -> FakeSource:
    """A raster of any size that takes no memory, in Web Mercator: 2**20 cells of 38 m are the world."""
    cell = 2 * HALF / 2**20
    left = -HALF if side == 2**20 else 100 * cell
    top = HALF if side == 2**20 else 200000 * cell
    values = np.broadcast_to(np.zeros(1, dtype), (1, side, side))
    transform = Affine(cell, 0, left, 0, -cell, top)
    options = {"code": "EPSG:3857", "transform": transform, "block_shape": (512, 512), "before_read": never}
    return FakeSource(values, **(options | changes))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("method", ["average", "nearest", "max", "mode"])
@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_b10_memory_is_flat_from_16_thousand_squares_to_a_million(tms: str, method: str, dtype: str) -> None:
    """P-26, B10: 16 and 64 thousand squares within 10 %, and so from there to a million; the work grows 4096 times.

    What grows is an accumulator a level, and quarters that wait for their siblings. Modes are planned for with so
    many classes that they take all that is allowed, in smaller blocks; never more.
    """
    sides = (2**14, 2**16, 2**18) if method == "mode" else (2**14, 2**16, 2**18, 2**20)
    plans = [builds.plan_for(square(side, dtype), tms=tms, resampling=method) for side in sides]
    for plan in plans:
        assert plan.peak <= plan.memory == 2**30
    if method == "mode":
        return
    assert plans[1].peak < 1.1 * plans[0].peak
    assert plans[-1].peak < 1.1 * plans[1].peak
    assert len({plan.block for plan in plans}) == 1
    assert plans[-1].work > 3500 * plans[0].work


def test_a_million_shards_are_planned_in_one_go() -> None:
    """P-27, B25: sizes only, nothing that is as long as the list of shards.

    2**21 pixels in shards of 2048 are 1024 x 1024 shards, then 512 x 512 ... down to one; shards of the levels of 1024
    and 512 pixels are as large as those levels. One object a shard.
    """
    huge = FakeSource(np.broadcast_to(np.zeros(1, np.uint8), (1, 2**21, 2**21)), before_read=never)
    plan = builds.plan_for(huge, tms="native", chunk=512)
    assert (plan.shard, len(plan.levels.levels)) == (2048, 13)
    assert plan.predicted["objects"] == sum(4**power for power in range(11)) + 2
    assert "objects" in str(plan)
    assert plan.work == 2**42
    assert plan.peak <= plan.memory


@pytest.mark.parametrize(
    ("block_shape", "resident", "fits"),
    [
        ((1, 10980), 0, True),
        ((10980, 10980), 10980**2 * 4, True),  # kept by the source, which is asked for windows of it
        ((10980, 10980), 0, False),
        ((10980, 1), 0, True),
    ],
)
@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_awkward_blocks_are_planned_for_or_refused(
    tms: str, block_shape: tuple[int, int], resident: int, fits: bool
) -> None:
    """P-29: strips of one row, one block of 482 MB; a refusal names what would do, and that does."""
    scene = square(10980, block_shape=block_shape, resident_bytes=resident)
    if fits:
        plan = builds.plan_for(scene, tms=tms)
        assert plan.peak <= plan.memory == 2**30
        assert plan.peak >= resident
        assert plan.in_rows == (block_shape == (1, 10980))
        return
    with pytest.raises(LimitError) as caught:
        builds.plan_for(scene, tms=tms)
    assert caught.value.limit == "memory in bytes"
    # Two threads with two blocks each, of float32 with their mask.
    assert caught.value.found > 2 * 10980**2 * 5
    assert builds.plan_for(scene, tms=tms, memory=caught.value.found).peak <= caught.value.found


@given(
    shape=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    corner=st.tuples(st.floats(200000, 800000), st.floats(1000, 9000000)),
    cell=st.floats(1, 500),
    count=st.integers(1, 4),
)
def test_the_footprint_lies_in_the_finest_level(
    shape: tuple[int, int], corner: tuple[float, float], cell: float, count: int
) -> None:
    """P-16: whatever the raster, the plan is consistent in itself."""
    scene = FakeSource(
        np.broadcast_to(np.zeros(1, np.uint8), (count, *shape)),
        before_read=never,
        transform=Affine(cell, 0, corner[0], 0, -cell, corner[1]),
    )
    plan = make_plan(scene, Options())
    assert plan.levels.finest.grid.window.contains(plan.footprint)
    assert not plan.footprint.is_empty
    assert plan.block % plan.chunk == 0
    for level in range(len(plan.levels.levels)):
        blocks = plan.blocks(level)
        assert not blocks.is_empty
        for row, col in ((blocks.row, blocks.col), (blocks.row_stop - 1, blocks.col_stop - 1)):
            assert not plan.block_window(level, row, col).is_empty
