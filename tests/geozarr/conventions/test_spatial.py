from __future__ import annotations

import json
import math

import pytest
from affine import Affine
from hypothesis import given

from geozarr import Bounds, Grid, MetadataError
from geozarr.conventions import spatial
from strategies import grids, known_crs

UTM = known_crs("EPSG:32618")
GRID = Grid((3, 4), Affine(10, 0, 500, 0, -20, 1000), UTM)


def test_a_level_says_where_its_pixels_are() -> None:
    assert spatial.grid_attributes(GRID, dimensions=("y", "x")) == {
        "spatial:dimensions": ["y", "x"],  # rows first, SP-02
        "spatial:shape": [3, 4],
        "spatial:transform": [10, 0, 500, 0, -20, 1000],  # SP-05
        "spatial:bbox": [500, 1000 - 3 * 20, 500 + 4 * 10, 1000],
    }


def test_the_group_has_no_transform_and_no_shape_and_nothing_names_the_registration() -> None:
    # SPEC section 6; RD-01e: an explicit "pixel" makes GDAL drop the overviews of arrays with a third axis.
    written = spatial.group_attributes(dimensions=("lat", "lon"), bbox=GRID.bounds)
    assert written == {"spatial:dimensions": ["lat", "lon"], "spatial:bbox": [500, 940, 540, 1000]}
    assert "spatial:registration" not in spatial.grid_attributes(GRID, dimensions=("y", "x"))


@given(grids())
def test_a_grid_survives_its_attributes_bit_by_bit(grid: Grid) -> None:
    written = json.loads(json.dumps(spatial.grid_attributes(grid, dimensions=("y", "x")), allow_nan=False))
    read = spatial.from_attributes(written, node="/")
    assert read.grid(grid.crs, node="/") == grid
    assert read.bbox == grid.bounds
    assert read.dimensions == ("y", "x")
    assert read.registration == "pixel"


def test_what_is_absent_is_none() -> None:
    assert spatial.from_attributes({}, node="/") == spatial.Spatial(None, None, None, None, "pixel")


def test_a_node_registration_is_restated_for_corners() -> None:
    # The centre of the first cell is at (500, 1000), so its corner is half a cell up and to the left.
    attributes = {**spatial.layout_attributes(GRID), "spatial:registration": "node"}
    read = spatial.from_attributes(attributes, node="/")
    assert read.grid(UTM, node="/").transform == Affine(10, 0, 495, 0, -20, 1010)


def test_a_rotated_node_registration_is_shifted_along_its_own_axes() -> None:
    turned = Grid((3, 4), Affine(0, 2, 0, 2, 0, 0), UTM)
    attributes = {**spatial.layout_attributes(turned), "spatial:registration": "node"}
    read = spatial.from_attributes(attributes, node="/").grid(UTM, node="/")
    assert read.transform @ (0.5, 0.5) == (0, 0)


@pytest.mark.parametrize("missing", ["spatial:transform", "spatial:shape"])
def test_a_grid_needs_transform_and_shape(missing: str) -> None:
    attributes = spatial.layout_attributes(GRID)
    del attributes[missing]
    with pytest.raises(MetadataError) as caught:
        spatial.from_attributes(attributes, node="/0").grid(UTM, node="/0")
    assert (caught.value.node, caught.value.key, caught.value.found) == ("/0", missing, None)


def test_an_unknown_kind_of_transform_is_passed_over() -> None:
    # SP-08: warn or skip, do not fail; what is skipped is then missing, never read as if it were affine.
    attributes = {**spatial.layout_attributes(GRID), "spatial:transform_type": "rpc", "spatial:transform": [1, 2]}
    read = spatial.from_attributes(attributes, node="/")
    assert read.transform is None
    assert read.shape == GRID.shape


def test_whole_numbers_are_numbers() -> None:
    read = spatial.from_attributes({"spatial:transform": [1, 0, 5, 0, -1, 7], "spatial:bbox": [0, 0, 1, 1]}, node="/")
    assert read.transform == Affine(1, 0, 5, 0, -1, 7)
    assert read.bbox == Bounds(0, 0, 1, 1)


MALFORMED = [
    *[("spatial:dimensions", value) for value in ("yx", [], ["y"], ["t", "y", "x"], ["y", 5], {"y": 1}, ["x", "x"])],
    *[("spatial:shape", value) for value in (5, [], [3], [3, 4, 5], [3, 0], [3, -4], [3, 4.5], [3, "4"], [True, 4])],
    *[
        ("spatial:transform", value)
        for value in (5, "1 0 0 0 1 0", [], [1] * 5, [1] * 7, ["1"] * 6, [1, 0, math.nan, 0, 1, 0], [None] * 6)
    ],
    ("spatial:transform", [1, 0, math.inf, 0, 1, 0]),
    ("spatial:transform", [10**400, 0, 0, 0, 1, 0]),
    ("spatial:transform", [True, 0, 0, 0, 1, 0]),
    *[("spatial:bbox", value) for value in (5, [], [1, 2, 3], [1, 2, 3, "4"], [1, 2, 3, math.nan], [0] * 6)],
    *[("spatial:registration", value) for value in ("corner", 5, None, [], {})],
]


@pytest.mark.parametrize(("key", "value"), MALFORMED)
def test_a_malformed_key_is_refused_by_its_name(key: str, value: object) -> None:
    with pytest.raises(MetadataError) as caught:
        spatial.from_attributes({key: value}, node="/0")
    assert (caught.value.node, caught.value.key) == ("/0", key)


def test_a_singular_transform_is_no_grid() -> None:
    attributes = {"spatial:transform": [1, 1, 0, 1, 1, 0], "spatial:shape": [2, 2]}
    with pytest.raises(MetadataError):
        spatial.from_attributes(attributes, node="/").grid(UTM, node="/")
