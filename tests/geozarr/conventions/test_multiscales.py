from __future__ import annotations

import json
import math

import pytest

from geozarr import MetadataError
from geozarr.conventions import multiscales
from geozarr.conventions.multiscales import LayoutItem, Multiscales

FINE = LayoutItem("0", scale=(1.0, 1.0), translation=(0.0, 0.0))
COARSE = LayoutItem("1", derived_from="0", scale=(2.0, 2.0), translation=(0.0, 0.0), resampling_method="mode")


def read(document: object) -> Multiscales:
    return multiscales.from_attributes({"multiscales": document}, node="/a")


def layout(**change: object) -> dict:
    return {"layout": [{"asset": "0"}, {"asset": "1", "derived_from": "0", "transform": {"scale": [2, 2]}, **change}]}


def test_the_object_is_that_of_v0_1() -> None:
    made = Multiscales((FINE, COARSE), resampling_method="average")
    assert made.to_attributes() == {
        "multiscales": {
            "resampling_method": "average",
            "layout": [
                {"asset": "0", "transform": {"scale": [1.0, 1.0], "translation": [0.0, 0.0]}},
                {
                    "asset": "1",
                    "derived_from": "0",
                    "transform": {"scale": [2.0, 2.0], "translation": [0.0, 0.0]},
                    "resampling_method": "mode",
                },
            ],
        }
    }


@pytest.mark.parametrize(
    "made",
    [
        Multiscales((FINE,)),
        Multiscales((FINE, COARSE), "average"),
        Multiscales((COARSE, FINE)),
        Multiscales((LayoutItem("r10m/b02", extra={"spatial:shape": [1, 2], "own": {"x": None}}),)),
        Multiscales(
            (FINE,), tile_matrix_set={"id": "x"}, tile_matrix_limits={"0": {"tileMatrix": "0", "minTileRow": 0}}
        ),
    ],
)
def test_the_object_survives_json(made: Multiscales) -> None:
    written = json.loads(json.dumps(made.to_attributes(), allow_nan=False))
    assert multiscales.from_attributes(written, node="/") == made


def test_a_derived_level_has_a_transform_even_if_it_says_nothing() -> None:
    assert LayoutItem("1", derived_from="0").to_document() == {
        "asset": "1",
        "derived_from": "0",
        "transform": {},
    }  # MS-07
    assert LayoutItem("1").to_document() == {"asset": "1"}
    assert LayoutItem("1", scale=(2.0,)).to_document() == {"asset": "1", "transform": {"scale": [2.0]}}


@pytest.mark.parametrize("key", ["tileMatrixSetLimits", "tile_matrix_limits", "tile_matrix_set_limits"])
def test_limits_are_read_under_every_name_and_in_both_forms(key: str) -> None:
    limits = {"tileMatrix": "0", "minTileRow": 0}
    for given in ({"0": limits}, [limits]):
        for of_set in ("tileMatrixSet", "tile_matrix_set"):
            found = read({**layout(), of_set: {"id": "x"}, key: given})
            assert (found.tile_matrix_set, found.tile_matrix_limits) == ({"id": "x"}, {"0": limits})


@pytest.mark.parametrize("value", ["WebMercatorQuad", "http://www.opengis.net/def/tilematrixset/OGC/1.0/x", None])
def test_a_set_that_is_not_inline_is_passed_over(value: object) -> None:
    assert read({**layout(), "tile_matrix_set": value, "tile_matrix_limits": 5}).tile_matrix_set is None


@pytest.mark.parametrize("value", [5, "x", True])
def test_limits_of_another_form_are_refused(value: object) -> None:
    with pytest.raises(MetadataError) as caught:
        read({**layout(), "tile_matrix_set": {"id": "x"}, "tile_matrix_limits": value})
    assert caught.value.key == "multiscales.tileMatrixSetLimits"


def test_limits_of_one_matrix_are_given_once() -> None:
    with pytest.raises(MetadataError):
        read({**layout(), "tile_matrix_set": {"id": "x"}, "tile_matrix_limits": [{"tileMatrix": "0"}] * 2})


@pytest.mark.parametrize("value", [None, 5, "x", [], [{"datasets": [{"path": "0"}]}]])
def test_a_list_or_a_text_is_another_convention_s(value: object) -> None:
    with pytest.raises(MetadataError) as caught:
        read(value)
    assert (caught.value.node, caught.value.key) == ("/a", "multiscales")


def test_a_group_without_the_object_is_refused() -> None:
    with pytest.raises(MetadataError) as caught:
        multiscales.from_attributes({}, node="/a")
    assert caught.value.key == "multiscales"


@pytest.mark.parametrize("value", [None, [], {}, "0", 5])
def test_a_layout_holds_at_least_one_level(value: object) -> None:
    with pytest.raises(MetadataError) as caught:
        read({"layout": value})
    assert caught.value.key == "multiscales.layout"


# MS-03: the pattern of the schema; ZARR-06: names of nodes.
BAD_PATHS = ["", "/", "/0", "0/", "a//b", "..", "../0", "a/../b", "a..b", ".", "./0", "0/.", "__x", "0/__x"]
BAD_PATHS += ["zarr.json", "0/zarr.json", "0\n", "a\0b", "\ud800"]


@pytest.mark.parametrize("path", [*BAD_PATHS, 5, [], {}, True])
@pytest.mark.parametrize("name", ["asset", "derived_from"])
def test_a_path_that_leaves_the_group_is_refused(name: str, path: object) -> None:
    with pytest.raises(MetadataError) as caught:
        read(layout(**{name: path}))
    assert (caught.value.node, caught.value.key) == ("/a", f"multiscales.layout[1].{name}")
    with pytest.raises(MetadataError):
        LayoutItem(**{"asset": "1", name: path})


@pytest.mark.parametrize("path", ["0", "12", "r10m", "0/data", "a/b/c", "a b", "ünï", "EPSG:3857:0", "0.5", "-10"])
def test_a_path_below_the_group_is_read(path: str) -> None:
    assert read(layout(asset=path)).layout[1].asset == path


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"transform": None}, "transform"),
        ({"transform": [2, 2]}, "transform"),
        *[({"transform": {"scale": value}}, "transform.scale") for value in (2, "2", [None], ["2"], [True], {"x": 2})],
        *[({"transform": {"scale": [value]}}, "transform.scale") for value in (math.nan, math.inf, 10**400)],
        ({"transform": {"translation": 0}}, "transform.translation"),
        ({"resampling_method": 5}, "resampling_method"),
        ({"resampling_method": ["average"]}, "resampling_method"),
    ],
)
def test_a_malformed_level_is_refused_by_its_key(change: dict, key: str) -> None:
    with pytest.raises(MetadataError) as caught:
        read(layout(**change))
    assert (caught.value.node, caught.value.key) == ("/a", f"multiscales.layout[1].{key}")


@pytest.mark.parametrize("item", [None, "0", 5, ["0"]])
def test_a_level_that_is_no_object_is_refused(item: object) -> None:
    with pytest.raises(MetadataError) as caught:
        read({"layout": [item]})
    assert caught.value.key == "multiscales.layout[0]"


def test_a_level_without_an_asset_is_refused() -> None:
    with pytest.raises(MetadataError) as caught:
        read({"layout": [{}]})
    assert (caught.value.key, caught.value.found) == ("multiscales.layout[0].asset", None)


def test_a_resampling_method_is_a_text() -> None:
    with pytest.raises(MetadataError) as caught:
        read({**layout(), "resampling_method": 5})
    assert caught.value.key == "multiscales.resampling_method"
    assert read({**layout(), "resampling_method": "bicubic_of_mine"}).resampling_method == "bicubic_of_mine"  # MS-17
