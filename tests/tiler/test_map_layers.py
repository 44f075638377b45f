"""Layers that documents offer, and the tiles in which they are offered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyproj import Transformer

from geozarr import TileLimits, TileMatrix, crs, levels, tms
from geozarr.errors import TileOutsideLimitsError
from geozarr.grid import Bounds
from offered import STATISTICS, Steps, native, pyramid, variable
from strategies import PLAIN_SETS, known_tms
from tiler import layers
from tiler.select import Tileset

QUAD = tms.load("WebMercatorQuad")
UTM = native("EPSG:32613", left=440_000, top=4_430_000, width=200_000, height=300_000)
ALIGNED = levels.from_tms(QUAD, TileLimits("8", 100, 101, 50, 50), count=3)
ALL = frozenset(range(3))


def test_the_natural_picture_comes_first_and_variables_follow() -> None:
    made = pyramid(
        UTM,
        variable("count", long_name="Number of birds", units="1"),
        variable("height", "float32", statistics=STATISTICS),
    )
    found = layers.layers_of(made, (), name="birds")
    assert [(layer.variable, layer.title, layer.units) for layer in found] == [
        (None, "birds", None),
        ("count", "Number of birds", "1"),
        ("height", "height", None),
    ]


def test_variables_that_nothing_stretches_are_no_layers() -> None:
    made = pyramid(UTM, variable("count"), variable("depth", "float32"))
    assert [layer.variable for layer in layers.layers_of(made, (), name="x")] == [None, "count"]
    assert layers.layers_of(pyramid(UTM, variable("depth", "float32")), (), name="x") == ()


@pytest.mark.parametrize("name", ["a,b", "a\ud800", "a\u2028b"])
def test_variables_that_no_request_can_name_are_no_layers(name: str) -> None:
    made = pyramid(UTM, variable("count"), variable(name))
    assert [layer.variable for layer in layers.layers_of(made, (), name="x")] == [None, "count"]


def test_there_are_at_most_64_variables() -> None:
    made = pyramid(UTM, *(variable(f"v{index}") for index in range(100)))
    found = layers.layers_of(made, (), name="x")
    assert [layer.variable for layer in found] == [None, *(f"v{index}" for index in range(64))]


def test_axes_of_a_layer_are_those_of_its_variable_by_name_and_size() -> None:
    time, level = Steps("time", "time", ("2024-01-01", "2024-01-02")), Steps("level", "number", ("1", "2", "3"))
    other = Steps("time", "time", ("2024-01-01",) * 5)
    made = pyramid(UTM, variable("a", "uint8", ("time", 2), ("level", 3)), variable("b", "uint8", ("time", 5)))
    found = layers.layers_of(made, (other, level, time), name="x")
    assert [layer.axes for layer in found] == [
        ((time, 0), (level, 0)),
        ((time, 0), (level, 0)),
        ((other, 0),),
    ]


def test_the_axis_of_colours_is_none_to_choose_along() -> None:
    time, band = Steps("time", "time", ("2024-01-01", "2024-01-02")), Steps("band", "text", ("blue", "green", "red"))
    colors = ("blue", "green", "red")
    made = pyramid(UTM, variable("rgb", "uint8", ("time", 2), ("band", 3), color_interpretation=colors))
    picture, single = layers.layers_of(made, (time, band), name="x")
    assert picture.axes == ((time, 0),)
    assert single.axes == ((time, 0), (band, 0))


@pytest.mark.parametrize("name", PLAIN_SETS)
@pytest.mark.parametrize("layout", [UTM, ALIGNED], ids=["native", "aligned"])
def test_each_tile_that_holds_data_is_within_the_limits(name: str, layout: levels.Levels) -> None:
    tileset = Tileset(layout, known_tms(name))
    found = {limits.tileMatrix: limits for limits in layers.limits_of(pyramid(layout), tileset)}
    for matrix in layers.matrices_of(tileset):
        holding = tiles_with_data(tileset, matrix)
        inside = tiles_within(found[matrix.id]) if matrix.id in found else set()
        assert holding <= inside
        assert holding or not inside
        # A box around a turned image is less than twice as wide.
        assert len(inside) <= 4 * len(holding) + 4


def tiles_with_data(tileset: Tileset, matrix: TileMatrix) -> set[tuple[int, int]]:
    """Tiles in which points of the data lie, (row, col)."""
    bounds, source, target = tileset.levels.finest.grid.bounds, tileset.levels.crs, tileset.tms.crs
    x, y = np.meshgrid(*(np.linspace(bounds[i] + 1e-3, bounds[i + 2] - 1e-3, 250) for i in (0, 1)))
    xs, ys = Transformer.from_crs(source.proj, target.proj, always_xy=True).transform(x.ravel(), y.ravel())
    left, top = matrix.top_left
    if matrix.cornerOfOrigin != "topLeft":
        raise NotImplementedError
    cols = np.floor((xs - left) / (matrix.cellSize * matrix.tileWidth))
    rows = np.floor((top - ys) / (matrix.cellSize * matrix.tileHeight))
    there = np.isfinite(xs) & (cols >= 0) & (cols < matrix.matrixWidth) & (rows >= 0) & (rows < matrix.matrixHeight)
    return set(zip(rows[there].astype(int).tolist(), cols[there].astype(int).tolist(), strict=True))


def tiles_within(limits: TileLimits) -> set[tuple[int, int]]:
    rows, cols = (range(limits.minTileRow, limits.maxTileRow + 1), range(limits.minTileCol, limits.maxTileCol + 1))
    return {(row, col) for row in rows for col in cols}


def test_each_tile_within_the_limits_of_an_aligned_pyramid_is_served() -> None:
    tileset = Tileset(ALIGNED, QUAD)
    for limits in layers.limits_of(pyramid(ALIGNED), tileset):
        for row in range(limits.minTileRow - 1, limits.maxTileRow + 2):
            for col in range(limits.minTileCol - 1, limits.maxTileCol + 2):
                if (row, col) in tiles_within(limits):
                    assert tileset.choose(limits.tileMatrix, row=row, col=col, available=ALL)
                else:
                    with pytest.raises(TileOutsideLimitsError):
                        tileset.choose(limits.tileMatrix, row=row, col=col, available=ALL)


def test_stored_levels_have_their_stored_limits() -> None:
    # Also where the data fill a part of them: the tiles around it exist.
    west, north = -109.6, 37.0
    found = layers.limits_of(
        pyramid(ALIGNED, data_bounds=Bounds(west, north - 0.01, west + 0.01, north)), Tileset(ALIGNED, QUAD)
    )
    assert found == (
        TileLimits("8", 100, 101, 50, 50),
        TileLimits("9", 200, 203, 100, 101),
        TileLimits("10", 400, 407, 200, 203),
    )


def test_a_set_that_does_not_reach_the_data_has_no_limits() -> None:
    made = pyramid(UTM)
    tileset = Tileset(UTM, tms.load("NZTM2000Quad"))
    assert layers.limits_of(made, tileset) == ()
    assert layers.bounds_within(made, tileset) is None


def test_the_stated_extent_narrows_the_box() -> None:
    stated = Bounds(-105.0, 39.0, -104.0, 40.0)
    box = layers.bounds_in(pyramid(UTM, data_bounds=stated), crs.from_code("EPSG:4326"))
    assert box == stated
    mars = native("IAU_2015:49910", left=0, top=10, width=10, height=10)
    assert layers.bounds_in(pyramid(mars, data_bounds=stated), mars.crs) == mars.finest.grid.bounds


def test_the_box_ends_where_the_set_does() -> None:
    earth = native("EPSG:4326", left=-180, top=90, width=360, height=180)
    found = layers.bounds_within(pyramid(earth), Tileset(earth, QUAD))
    assert found == pytest.approx((-20037508.3427892, -20037508.3427892, 20037508.3427892, 20037508.3427892))


# 07-092r3, table 1, and 19-014r3: versions of EPSG are left out, CRS84 is of version 1.3.
@pytest.mark.parametrize(
    ("code", "urn", "uri"),
    [
        ("EPSG:4326", "urn:ogc:def:crs:EPSG::4326", "http://www.opengis.net/def/crs/EPSG/0/4326"),
        ("OGC:CRS84", "urn:ogc:def:crs:OGC:1.3:CRS84", "http://www.opengis.net/def/crs/OGC/1.3/CRS84"),
        ("EPSG:32631", "urn:ogc:def:crs:EPSG::32631", "http://www.opengis.net/def/crs/EPSG/0/32631"),
        ("IAU_2015:49910", "urn:ogc:def:crs:IAU:2015:49910", "http://www.opengis.net/def/crs/IAU/2015/49910"),
    ],
)
def test_names_of_crs(code: str, urn: str, uri: str) -> None:
    assert layers.crs_urn(crs.from_code(code)) == urn
    assert layers.crs_uri(crs.from_code(code)) == uri
    assert tms.from_document({**QUAD.to_document(), "crs": uri}).crs == crs.from_code(code)


def test_a_crs_without_a_code_is_told_by_its_definition() -> None:
    document = crs.from_code("EPSG:32631").to_projjson()
    document.pop("id")
    document["conversion"]["parameters"][1]["value"] = 4.5
    own = crs.from_projjson(document)
    assert layers.crs_urn(own) is None
    assert crs.from_projjson(layers.crs_uri(own)["wkt"]) == own


def test_coordinates_have_the_order_of_the_crs() -> None:
    assert layers.in_axis_order(crs.from_code("EPSG:4326"), 7.0, 51.0) == [51.0, 7.0]
    assert layers.in_axis_order(crs.from_code("OGC:CRS84"), 7.0, 51.0) == [7.0, 51.0]
    assert layers.in_axis_order(crs.from_code("EPSG:3035"), 4321000.0, 3210000.0) == [3210000.0, 4321000.0]


def test_matrices_are_those_from_the_coarsest_to_the_finest_level() -> None:
    assert [matrix.id for matrix in layers.matrices_of(Tileset(ALIGNED, QUAD))] == ["8", "9", "10"]
    renamed = replace(QUAD, id="x", tileMatrices=tuple(replace(m, id=f"z{m.id}") for m in QUAD.tileMatrices))
    assert [matrix.id for matrix in layers.matrices_of(Tileset(ALIGNED, renamed))] == ["z8", "z9", "z10"]


@pytest.mark.parametrize(
    ("text", "expected"), [("2024-01-01T06:00:00Z", True), ("a b", False), ("a&b", False), ("", False)]
)
def test_what_stands_in_an_address_as_it_is(text: str, expected: bool) -> None:
    assert layers.is_plain(text) is expected
