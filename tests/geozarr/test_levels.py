from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from geozarr import (
    GeoZarrError,
    Grid,
    GridMismatchError,
    Level,
    Levels,
    MetadataError,
    ParameterError,
    TileLimits,
    TileOutsideLimitsError,
    UnknownNameError,
    levels,
)
from strategies import aligned_levels, grids, known_crs, known_tms, native_levels

if TYPE_CHECKING:
    import random

UTM = known_crs("EPSG:32618")
GRID = Grid((100, 60), Affine(10, 0, 500, 0, -20, 1000), UTM)
QUAD = known_tms("WebMercatorQuad")


def attributes(made: Levels) -> dict[str, Any]:
    """Group attributes as they come back from a store."""
    return json.loads(json.dumps(made.to_attributes(), allow_nan=False))


def aligned(*, count: int = 3) -> Levels:
    return levels.from_tms(QUAD, TileLimits("3", 2, 3, 4, 4), count=count, resampling_method="average")


def level(asset: str, factor: int = 1, derived_from: str | None = None) -> Level:
    return Level(asset, GRID.coarsen(factor), derived_from)


# From and to attributes


@given(native_levels() | aligned_levels())
def test_levels_survive_their_attributes(made: Levels) -> None:
    assert levels.from_attributes(attributes(made)) == made


@given(native_levels(), st.randoms(use_true_random=False))
def test_the_order_of_the_layout_does_not_matter(made: Levels, shuffle: random.Random) -> None:
    written = attributes(made)
    shuffle.shuffle(written["multiscales"]["layout"])
    assert levels.from_attributes(written) == made


@given(native_levels() | aligned_levels())
def test_scale_is_the_ratio_of_the_cell_sizes(made: Levels) -> None:
    by_asset = {item.asset: item.grid for item in made.levels}
    for item in attributes(made)["multiscales"]["layout"]:
        assert item["transform"]["translation"] == [0.0, 0.0]  # MS-15
        if "derived_from" not in item:
            assert item["transform"]["scale"] == [1.0, 1.0]
            continue
        (x, y), (source_x, source_y) = by_asset[item["asset"]].cell_size, by_asset[item["derived_from"]].cell_size
        assert item["transform"]["scale"] == pytest.approx([y / source_y, x / source_x], rel=1e-9)
        assert item["transform"]["scale"] == [2.0, 2.0]


def test_scale_is_written_rows_first() -> None:
    # Three times as wide and twice as high.
    coarse = Level("1", Grid((50, 20), Affine(30, 0, 500, 0, -40, 1000), UTM), "0")
    item = Levels((level("0"), coarse)).to_attributes()["multiscales"]["layout"][1]
    assert item["transform"]["scale"] == [2.0, 3.0]


def test_the_group_carries_what_the_digest_asks_for() -> None:
    written = attributes(levels.from_halving(GRID, count=2, resampling_method="average"))
    # SPEC section 6: no transform and no shape at the group.
    assert set(written) == {
        *("zarr_conventions", "multiscales", "proj:code", "proj:wkt2", "spatial:dimensions", "spatial:bbox")
    }
    assert [item["name"] for item in written["zarr_conventions"]] == ["multiscales", "proj", "spatial"]
    assert written["spatial:bbox"] == list(GRID.bounds)
    assert written["multiscales"]["resampling_method"] == "average"
    assert [item["asset"] for item in written["multiscales"]["layout"]] == ["0", "1"]


def test_a_level_restates_what_does_not_inherit() -> None:
    written = levels.level_attributes(GRID, dimensions=("lat", "lon"))
    assert set(written) == {
        *("zarr_conventions", "proj:code", "proj:wkt2"),
        *("spatial:dimensions", "spatial:shape", "spatial:transform", "spatial:bbox"),
    }
    assert [item["name"] for item in written["zarr_conventions"]] == ["proj", "spatial"]
    assert written["spatial:dimensions"] == ["lat", "lon"]


def test_the_tile_matrix_set_rides_along_inline_with_its_limits() -> None:
    written = attributes(aligned())["multiscales"]
    ids = [matrix["id"] for matrix in written["tileMatrixSet"]["tileMatrices"]]
    assert sorted(ids) == sorted(item["asset"] for item in written["layout"]) == ["3", "4", "5"]
    assert written["tileMatrixSetLimits"][0] == {
        # Each of the rows 2 to 3 and of the column 4 becomes two, twice.
        "tileMatrix": "5",
        "minTileRow": 8,
        "maxTileRow": 15,
        "minTileCol": 16,
        "maxTileCol": 19,
    }


def test_names_of_dimensions_are_written_and_read() -> None:
    made = levels.from_halving(GRID, count=2, dimensions=("latitude", "longitude"))
    assert made.dimensions == ("latitude", "longitude")
    assert levels.from_attributes(attributes(made)) == made


def test_dimensions_are_y_and_x_where_the_group_is_silent() -> None:
    written = attributes(levels.from_halving(GRID, count=1))
    del written["spatial:dimensions"]
    assert levels.from_attributes(written).dimensions == ("y", "x")


@pytest.mark.parametrize("name", ["multiscales", "proj", "spatial"])
def test_each_convention_must_be_registered(name: str) -> None:
    written = attributes(levels.from_halving(GRID, count=1))
    written["zarr_conventions"] = [item for item in written["zarr_conventions"] if item["name"] != name]
    with pytest.raises(MetadataError, match=name) as caught:
        levels.from_attributes(written, node="/pyramid")
    assert (caught.value.node, caught.value.key) == ("/pyramid", "zarr_conventions")


def test_older_registrations_are_read() -> None:
    written = attributes(levels.from_halving(GRID, count=2))
    for item in written["zarr_conventions"]:
        item["name"] += ":"
        item["schema_url"] = item["schema_url"].replace("v0.1", "v1")
        del item["spec_url"], item["uuid"]
    assert levels.from_attributes(written) == levels.from_halving(GRID, count=2)


@pytest.mark.parametrize("key", ["spatial:transform", "spatial:shape"])
def test_a_level_needs_its_own_place(key: str) -> None:
    written = attributes(levels.from_halving(GRID, count=2))
    written[key] = written["multiscales"]["layout"][1].pop(key)  # the group's does not stand in for it
    with pytest.raises(MetadataError) as caught:
        levels.from_attributes(written)
    assert caught.value.key == key
    assert "layout 1" in caught.value.node


def test_a_group_without_a_crs_is_refused() -> None:
    written = attributes(levels.from_halving(GRID, count=1))
    del written["proj:code"], written["proj:wkt2"]
    with pytest.raises(MetadataError) as caught:
        levels.from_attributes(written)
    assert caught.value.key == "proj:wkt2"


# Construction


def test_levels_are_asked_by_their_asset() -> None:
    made = aligned()
    assert made.assets == ("5", "4", "3")
    assert made.finest.asset == "5"
    assert made.crs == QUAD.crs
    assert made.level("4").limits == TileLimits("4", 4, 7, 8, 9)
    with pytest.raises(UnknownNameError) as caught:
        made.level("0")
    assert caught.value.known == ("5", "4", "3")


@pytest.mark.parametrize("given_levels", [(), (level("0"), level("0", 2))])
def test_levels_need_assets_that_differ(given_levels: tuple[Level, ...]) -> None:
    with pytest.raises(MetadataError) as caught:
        Levels(given_levels)
    assert caught.value.key == "layout[].asset"


@pytest.mark.parametrize("asset", ["", "../0", "a//b", ".", "__0", "0/zarr.json"])
def test_an_asset_is_a_path_below_the_group(asset: str) -> None:
    with pytest.raises(MetadataError) as caught:
        Levels((level(asset),))
    assert caught.value.found == asset


def test_levels_of_two_crs_are_refused() -> None:
    other = Level("1", replace(GRID.coarsen(2), crs=known_crs("EPSG:3857")))
    with pytest.raises(GridMismatchError, match="CRS of level 1"):
        Levels((level("0"), other))


def test_levels_from_coarse_to_fine_are_refused() -> None:
    with pytest.raises(GridMismatchError, match="cell size of level 0"):
        Levels((level("1", 2), level("0")))


def test_a_level_derives_from_one_that_exists() -> None:
    with pytest.raises(MetadataError) as caught:
        Levels((level("0"), level("1", 2, "9")))
    assert caught.value.found == "9"


@pytest.mark.parametrize("parents", [("0", None), ("1", "0"), ("2", "0", "1"), (None, "2", "1")])
def test_levels_do_not_derive_in_a_circle(parents: tuple[str | None, ...]) -> None:
    made = tuple(level(str(step), 2**step, parent) for step, parent in enumerate(parents))
    with pytest.raises(MetadataError, match="derived_from"):
        Levels(made)


def test_levels_may_derive_from_any_other() -> None:
    Levels((level("0"), level("1", 2, "0"), level("2", 4, "0")))
    Levels((level("0", 1, "1"), level("1", 2)))  # upsampled (MS-12)


# Contradictions between levels and tiles


def _edit_limits(change: dict[str, int]) -> dict[str, Any]:
    written = attributes(aligned())
    written["multiscales"]["tileMatrixSetLimits"][1].update(change)
    return written


def _edit_matrix(change: dict[str, Any]) -> dict[str, Any]:
    written = attributes(aligned())
    matrix = next(item for item in written["multiscales"]["tileMatrixSet"]["tileMatrices"] if item["id"] == "4")
    matrix.update(change)
    return written


def _edit_set(change: dict[str, Any]) -> dict[str, Any]:
    written = attributes(aligned())
    written["multiscales"]["tileMatrixSet"].update(change)
    return written


CONTRADICTIONS = [
    (_edit_limits({"maxTileRow": 6}), GridMismatchError),
    (_edit_limits({"minTileRow": 3, "maxTileRow": 6}), GridMismatchError),
    (_edit_limits({"minTileCol": 7, "maxTileCol": 8}), GridMismatchError),
    (_edit_limits({"maxTileRow": 16}), TileOutsideLimitsError),  # 2**4 rows: 0 to 15
    (_edit_limits({"minTileRow": 8}), MetadataError),
    (_edit_matrix({"cellSize": 10_000}), GridMismatchError),
    (_edit_matrix({"pointOfOrigin": [0, 0]}), GridMismatchError),
    (_edit_matrix({"pointOfOrigin": [20037508.34, -20037508.34]}), GridMismatchError),
    (_edit_matrix({"tileWidth": 512, "tileHeight": 512}), GridMismatchError),
    (_edit_matrix({"cornerOfOrigin": "bottomLeft"}), GridMismatchError),
    (_edit_matrix({"id": "9"}), UnknownNameError),
    (_edit_matrix({"cellSize": "x"}), MetadataError),
    (_edit_set({"crs": "http://www.opengis.net/def/crs/EPSG/0/3395"}), GridMismatchError),
    (_edit_set({"crs": "nonsense"}), MetadataError),
    (_edit_set({"tileMatrices": []}), MetadataError),
]


@pytest.mark.parametrize(("written", "kind"), CONTRADICTIONS)
def test_levels_that_are_not_where_their_tiles_are_are_refused(written: dict, kind: type[GeoZarrError]) -> None:
    with pytest.raises(GeoZarrError) as caught:
        levels.from_attributes(written)
    assert type(caught.value) is kind


def test_limits_without_a_set_mean_nothing_when_read() -> None:
    written = attributes(aligned())
    written["multiscales"]["tileMatrixSet"] = "WebMercatorQuad"
    read = levels.from_attributes(written)
    assert read.tms is None
    assert all(item.limits is None for item in read.levels)
    assert [item.grid for item in read.levels] == [item.grid for item in aligned().levels]


def test_limits_without_a_set_are_refused_when_built() -> None:
    with pytest.raises(GridMismatchError):
        Levels(aligned().levels)


def test_limits_of_another_matrix_are_refused() -> None:
    made = aligned()
    swapped = replace(made.levels[0], limits=made.levels[1].limits)
    with pytest.raises(GridMismatchError, match="tile matrix of level 5"):
        Levels((swapped, *made.levels[1:]), tms=made.tms)


def test_a_level_without_limits_is_not_compared() -> None:
    written = attributes(aligned())
    del written["multiscales"]["tileMatrixSetLimits"][1]
    assert levels.from_attributes(written).level("4").limits is None


def test_limits_in_the_spelling_of_geozarr_0_4_are_read() -> None:
    written = attributes(aligned())
    old = {item["tileMatrix"]: item for item in written["multiscales"].pop("tileMatrixSetLimits")}
    written["multiscales"]["tile_matrix_set"] = written["multiscales"].pop("tileMatrixSet")
    words = {"minTileRow": "min_tile_row", "maxTileRow": "max_tile_row"}
    words |= {"minTileCol": "min_tile_col", "maxTileCol": "max_tile_col"}
    written["multiscales"]["tile_matrix_set_limits"] = {
        matrix_id: {words.get(key, key): value for key, value in item.items()} for matrix_id, item in old.items()
    }
    assert levels.from_attributes(written) == aligned()


# Layouts


@given(aligned_levels())
def test_aligned_levels_nest_by_two_and_share_their_corners_bit_by_bit(made: Levels) -> None:
    for finer, coarser in itertools.pairwise(made.levels):
        assert finer.grid.shape == (2 * coarser.grid.height, 2 * coarser.grid.width)
        assert coarser.grid.cell_size == (2 * finer.grid.cell_size[0], 2 * finer.grid.cell_size[1])
        assert coarser.derived_from == finer.asset
        transforms = [item.grid.transform for item in (finer, coarser)]
        assert (transforms[0].c, transforms[0].f) == (transforms[1].c, transforms[1].f)
    assert {item.grid.bounds for item in made.levels} == {made.finest.grid.bounds}


@given(aligned_levels())
def test_aligned_levels_are_the_tiles_of_their_matrices(made: Levels) -> None:
    assert made.tms is not None
    assert set(made.assets) == set(made.tms.ids)
    for item in made.levels:
        assert item.limits is not None
        assert item.limits.tileMatrix == item.asset
        tiles = made.tms.grid(item.limits)
        assert item.grid.shape == tiles.shape
        # TMS-20 and TMS-21: the cell size of the matrix, and a whole number of cells from its corner.
        assert item.grid.cell_size[0] == pytest.approx(made.tms.matrix(item.asset).cellSize, rel=1e-9)
        off = max(abs(a - b) for a, b in zip(item.grid.bounds, tiles.bounds, strict=True))
        assert off <= levels.ALIGNMENT_TOLERANCE * item.grid.cell_size[0]


def test_the_finest_level_is_the_matrix_to_the_bit() -> None:
    made = aligned()
    assert made.finest.grid.transform.a == QUAD.matrix("5").cellSize


def test_levels_that_do_not_nest_are_refused_with_the_reason() -> None:
    canada = known_tms("CanadianNAD83_LCC")
    with pytest.raises(GridMismatchError, match=r"ratio 1\."):
        levels.from_tms(canada, TileLimits("5", 0, 0, 0, 0), count=2)
    single = levels.from_tms(canada, TileLimits("5", 0, 0, 0, 0), count=1)
    assert single.assets == ("5",)


def test_levels_outside_the_set_are_refused() -> None:
    with pytest.raises(TileOutsideLimitsError):
        levels.from_tms(QUAD, TileLimits("3", 8, 8, 0, 0), count=1)
    with pytest.raises(TileOutsideLimitsError):
        levels.from_tms(QUAD, TileLimits("3", 8, 8, 0, 0), count=3)
    with pytest.raises(UnknownNameError):
        levels.from_tms(QUAD, TileLimits("x", 0, 0, 0, 0), count=1)


@pytest.mark.parametrize("count", [0, -1, 3])
def test_a_count_that_the_set_cannot_give_is_refused(count: int) -> None:
    with pytest.raises(ParameterError) as caught:
        levels.from_tms(QUAD, TileLimits("23", 0, 0, 0, 0), count=count)  # 23 and 24 are the last
    assert (caught.value.parameter, caught.value.found) == ("count", count)


@pytest.mark.parametrize("count", [0, -1])
def test_a_native_pyramid_has_a_level(count: int) -> None:
    with pytest.raises(ParameterError) as caught:
        levels.from_halving(GRID, count=count)
    assert caught.value.parameter == "count"


@given(grids(is_north_up=True), st.integers(1, 11))
def test_halving_keeps_the_last_rows_and_columns(grid: Grid, count: int) -> None:
    made = levels.from_halving(grid, count=count)
    assert made.assets == tuple(str(step) for step in range(count))
    assert made.finest.grid == grid
    for finer, coarser in itertools.pairwise(made.levels):
        for size, half in zip(finer.grid.shape, coarser.grid.shape, strict=True):
            assert half == math.ceil(size / 2)
        assert (coarser.grid.transform.c, coarser.grid.transform.f) == (grid.transform.c, grid.transform.f)
    # Rounded up at each step or once: the same.
    assert made.levels[-1].grid.shape == tuple(math.ceil(size / 2 ** (count - 1)) for size in grid.shape)


def test_primes_are_halved_upwards() -> None:
    made = levels.from_halving(replace(GRID, shape=(997, 13)), count=5)
    # 997: 498.5, 249.5, 125, 62.5; 13: 6.5, 3.5, 2, 1.
    assert [item.grid.shape for item in made.levels] == [(997, 13), (499, 7), (250, 4), (125, 2), (63, 1)]
