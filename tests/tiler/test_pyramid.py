from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr import cf, store
from geozarr.errors import (
    GeoZarrError,
    GridMismatchError,
    LimitError,
    MetadataError,
    ParameterError,
    UnknownNameError,
    UnsupportedError,
)
from geozarr.store import Tree
from tiler.pyramid import Band, Statistics, Variable, open_pyramid, read_pyramid


def tree_of(stored: Any) -> Tree:
    return copy.deepcopy(store.read_tree(store.open_store(stored.path)))


def test_variables_are_described_on_each_level(stores: dict[str, Any]) -> None:
    pyramid = open_pyramid(store.open_store(stores["height"].path))
    (height,) = pyramid.variables
    assert (height.name, height.dtype, height.units, height.leading, height.count) == ("height", "f4", "m", (), 1)
    assert np.isnan(height.nodata)
    assert [array.shape for array in height.arrays] == [(512, 512), (256, 256)]
    assert [array.path for array in height.arrays] == ["10/height", "9/height"]
    assert height.arrays[0].storage.chunk_shape == (256, 256)
    assert height.arrays[0].object_key((1, 0)) == "10/height/c/1/0"
    assert height.available == {0, 1}


def test_stored_statistics_are_read(stores: dict[str, Any]) -> None:
    pyramid = open_pyramid(store.open_store(stores["height"].path))
    values = stores["height"].array("10", "height")
    valid = values[~np.isnan(values)].astype(float)
    low, high = np.percentile(valid, (2, 98))
    assert pyramid.variable("height").statistics == Statistics(valid.min(), valid.max(), low, high)


@pytest.mark.parametrize("block", [None, [], {"minimum": 1}, {"min": 0, "max": 1, "p2": "low", "p98": 1}])
def test_statistics_of_another_form_are_passed_over(stores: dict[str, Any], block: Any) -> None:
    tree = tree_of(stores["height"])
    tree.nodes["10/height"]["attributes"]["statistics"] = block
    assert read_pyramid(tree).variable("height").statistics is None


def test_a_mask_is_no_data_variable(stores: dict[str, Any]) -> None:
    pyramid = open_pyramid(store.open_store(stores["colour"].path))
    assert [variable.name for variable in pyramid.data_variables] == ["blue", "green", "red"]
    assert pyramid.variable("red").alpha == "alpha"
    assert pyramid.variable("alpha").is_alpha


def test_the_natural_picture_is_red_green_blue_in_this_order(stores: dict[str, Any]) -> None:
    pyramid = open_pyramid(store.open_store(stores["colour"].path))
    assert [band.name for band in pyramid.bands(())] == ["red", "green", "blue"]


def test_names_stand_in_for_missing_colour_interpretation(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["colour"])
    for name in ("red", "green", "blue"):
        del tree.nodes[f"10/{name}"]["attributes"]["color_interpretation"]
    assert [band.name for band in read_pyramid(tree).bands(())] == ["red", "green", "blue"]


def test_the_natural_picture_of_an_axis_follows_its_colours(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["stack"])
    assert [band.name for band in read_pyramid(tree).bands(())] == ["data_1"]
    attributes = tree.nodes["10/data"]["attributes"]
    attributes["band_color_interpretations"] = ["blue", "Green", "red"]
    attributes["band_names"] = ["b", "g", "r"]
    assert [(band.index, band.name) for band in read_pyramid(tree).bands(())] == [(2, "r"), (1, "g"), (0, "b")]


def test_bands_are_chosen_by_name_and_index(stores: dict[str, Any]) -> None:
    pyramid = open_pyramid(store.open_store(stores["stack"].path))
    assert [band.lead for band in pyramid.bands(("data",), (3, 1))] == [(2,), (0,)]
    with pytest.raises(ParameterError) as caught:
        pyramid.bands(("data",), (4,))
    assert (caught.value.parameter, caught.value.found) == ("bidx", 4)
    with pytest.raises(UnknownNameError) as missing:
        pyramid.bands(("nothing",))
    assert (missing.value.kind, missing.value.known) == ("variable", ("data",))


def test_the_version_follows_the_documents(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["height"])
    before = read_pyramid(tree).version
    assert read_pyramid(tree_of(stores["height"])).version == before
    tree.root["attributes"]["title"] = "another"
    assert read_pyramid(tree).version != before


def test_a_store_without_consolidated_metadata_is_walked(stores: dict[str, Any]) -> None:
    opened = store.open_store(stores["count"].path)
    walked = Tree(store.walk(opened), is_consolidated=False)
    assert read_pyramid(walked).variable("count") == open_pyramid(opened).variable("count")


def test_a_level_may_lack_a_variable(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["colour"])
    del tree.nodes["9/blue"]
    assert read_pyramid(tree).variable("blue").available == {0}


def test_fill_value_null_stands_for_zero(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["count"])
    tree.nodes["10/count"]["fill_value"] = None
    assert read_pyramid(tree).variable("count").array(0).fill_value == 0


def test_chunk_keys_follow_their_encoding(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["count"])
    keys = []
    for encoding in (
        {"name": "default", "configuration": {"separator": "."}},
        {"name": "default"},
        {"name": "v2"},
        {"name": "v2", "configuration": {"separator": "/"}},
    ):
        tree.nodes["10/count"]["chunk_key_encoding"] = encoding
        keys.append(read_pyramid(tree).variable("count").array(0).object_key((1, 2)))
    # Zarr core v3, chunk key encoding: defaults are "/" and ".".
    assert keys == ["10/count/c.1.2", "10/count/c/1/2", "10/count/1.2", "10/count/1/2"]


CHUNK = {"name": "regular", "configuration": {"chunk_shape": [256, 256]}}


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("shape", [512, 511], GridMismatchError),
        ("shape", [2**62, 2**62], GridMismatchError),
        ("shape", [512], MetadataError),
        ("shape", [0, 512], MetadataError),
        ("shape", "512", MetadataError),
        ("shape", [1] * 9, LimitError),
        ("data_type", "complex64", MetadataError),
        ("data_type", "float32", MetadataError),
        ("dimension_names", ["x", "y"], UnsupportedError),
        ("dimension_names", [1, 2], MetadataError),
        ("chunk_grid", {"name": "rectilinear"}, UnsupportedError),
        ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [256]}}, MetadataError),
        ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [2**40, 2**40]}}, LimitError),
        ("chunk_key_encoding", {"name": "other"}, UnsupportedError),
        ("chunk_key_encoding", {"name": "default", "configuration": {"separator": ".."}}, MetadataError),
        ("fill_value", 70000, MetadataError),
        ("codecs", [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "lzma"}], UnsupportedError),
        ("storage_transformers", [{"name": "x"}], UnsupportedError),
    ],
)
def test_a_wrong_array_document_is_refused(
    stores: dict[str, Any], key: str, value: Any, error: type[GeoZarrError]
) -> None:
    tree = tree_of(stores["count"])
    tree.nodes["9/count"][key] = value
    if key == "shape" and value == [2**62, 2**62]:
        tree.nodes["9/count"]["chunk_grid"] = CHUNK
    with pytest.raises(error) as caught:
        read_pyramid(tree)
    if isinstance(caught.value, MetadataError):
        assert caught.value.node == "/9/count"


@pytest.mark.parametrize("name", ["..", ".", "a\\b", "a\nb", "x" * 201])
def test_names_that_could_be_paths_are_refused(stores: dict[str, Any], name: str) -> None:
    tree = tree_of(stores["count"])
    for level in ("10", "9"):
        tree.nodes[f"{level}/{name}"] = tree.nodes[f"{level}/count"]
    with pytest.raises(MetadataError) as caught:
        read_pyramid(tree)
    assert caught.value.found == name


def test_a_mask_that_is_named_but_missing_is_an_error(stores: dict[str, Any]) -> None:
    for missing in (("9/alpha",), ("9/alpha", "10/alpha")):
        tree = tree_of(stores["colour"])
        for path in missing:
            del tree.nodes[path]
        with pytest.raises(MetadataError) as caught:
            read_pyramid(tree)
        assert caught.value.key == "ancillary_variables"


def test_ancillary_variables_that_are_no_masks_mean_nothing(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["count"])
    tree.nodes["10/count"]["attributes"]["ancillary_variables"] = "quality status"
    assert read_pyramid(tree).variable("count").alpha is None


def test_a_group_without_data_is_refused(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["count"])
    for level in ("9", "10"):
        del tree.nodes[f"{level}/count"]
    with pytest.raises(MetadataError) as caught:
        read_pyramid(tree)
    assert caught.value.key == "variables"


def test_a_level_that_is_no_group_is_refused(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["count"])
    tree.nodes["9"]["node_type"] = "array"
    with pytest.raises(MetadataError) as caught:
        read_pyramid(tree)
    assert caught.value.node == "/9"


def test_too_many_levels_are_refused(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["native"])
    layout = tree.root["attributes"]["multiscales"]["layout"]
    item = layout[-1]
    layout += [{**item, "asset": f"level{number}", "derived_from": "0"} for number in range(40)]
    with pytest.raises(LimitError) as caught:
        read_pyramid(tree)
    assert (caught.value.limit, caught.value.allowed, caught.value.found) == ("levels", 40, 43)


def test_the_nodata_value_is_read_in_the_dtype_of_the_data(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["height"])
    tree.nodes["10/height"]["attributes"]["_FillValue"] = cf.encode_missing_value(-3.4028235e38, np.dtype("f4"))
    assert read_pyramid(tree).variable("height").nodata == np.finfo(np.float32).min


@pytest.mark.parametrize(
    "limits",
    [
        {"5": {"minTileRow": 0, "maxTileRow": 0, "minTileCol": 0, "maxTileCol": 0}},
        {"9": {"minTileRow": 0, "maxTileRow": 10**6, "minTileCol": 0, "maxTileCol": 0}},
        {"9": {"minTileRow": 5, "maxTileRow": 4, "minTileCol": 0, "maxTileCol": 0}},
    ],
)
def test_limits_that_contradict_the_matrices_are_an_error_of_the_document(stores: dict[str, Any], limits: Any) -> None:
    tree = tree_of(stores["count"])
    tree.root["attributes"]["multiscales"]["tileMatrixSetLimits"] = limits
    with pytest.raises(MetadataError):
        read_pyramid(tree)


def series_of(stores: dict[str, Any]) -> Any:
    return open_pyramid(store.open_store(stores["series"].path))


def test_positions_are_taken_along_the_dimensions_that_have_them(stores: dict[str, Any]) -> None:
    pyramid = series_of(stores)
    assert pyramid.dimensions == {"time": 5, "level": 2}
    places = itertools.product(range(5), range(2))
    for number, (time, level) in enumerate(places):  # in C order
        (band,) = pyramid.bands(("heat",), (), {"time": time, "level": level})
        assert (band.index, band.lead) == (number, (time, level))
    rain, heat = pyramid.bands(("rain", "heat"), (), {"level": 1, "time": 3})
    assert (rain.lead, heat.lead) == ((3,), (3, 1))


def test_indexes_count_what_positions_leave(stores: dict[str, Any]) -> None:
    pyramid = series_of(stores)
    assert [band.lead for band in pyramid.bands(("heat",), (1, 2), {"time": 4})] == [(4, 0), (4, 1)]
    assert [band.lead for band in pyramid.bands(("heat",), (5, 1), {"level": 1})] == [(4, 1), (0, 1)]
    assert [band.lead for band in pyramid.bands(("heat",), (10, 2))] == [(4, 1), (0, 1)]
    for indexes, positions, most in (((3,), {"time": 0}, 2), ((2,), {"time": 0, "level": 0}, 1), ((11,), {}, 10)):
        with pytest.raises(ParameterError) as caught:
            pyramid.bands(("heat",), indexes, positions)
        assert (caught.value.parameter, caught.value.expected) == ("bidx", f"1 to {most} for variable 'heat'")


@given(
    sizes=st.lists(st.integers(1, 4), min_size=0, max_size=4),
    data=st.data(),
)
def test_rasters_are_numbered_as_numpy_does(sizes: list[int], data: st.DataObject) -> None:
    cells = np.arange(math.prod(sizes)).reshape(sizes)
    names = [f"d{axis}" for axis in range(len(sizes))]
    chosen = data.draw(st.sets(st.sampled_from(names))) if names else set()
    positions = {name: data.draw(st.integers(0, size - 1)) for name, size in zip(names, sizes, strict=True)}
    positions = {name: position for name, position in positions.items() if name in chosen}
    variable = Variable("v", np.dtype("u1"), tuple(zip(names, sizes, strict=True)), ())
    left = cells[tuple(positions.get(name, slice(None)) for name in names)]
    assert variable.free_count(positions) == left.size
    assert [variable.raster(positions, index) for index in range(left.size)] == left.ravel().tolist()
    for number in left.ravel():
        assert cells[Band(variable, int(number)).lead] == number


def test_dimensions_of_any_size_are_counted(stores: dict[str, Any]) -> None:
    variable = Variable("v", np.dtype("u1"), (("a", 2**62), ("b", 2**62)), ())
    assert Band(variable, variable.raster({"a": 2**61, "b": 7})).lead == (2**61, 7)
    pyramid = replace(series_of(stores), variables=(variable,))
    with pytest.raises(LimitError) as caught:
        pyramid.all_bands(("v",))
    assert (caught.value.limit, caught.value.found) == ("rasters of a read", 2**124)
    assert len(pyramid.bands(())) == 1


def test_a_position_that_nothing_shown_has_is_refused(stores: dict[str, Any]) -> None:
    pyramid = series_of(stores)
    for names, positions in (
        (("land",), {"time": 0}),
        (("rain", "land"), {"level": 0}),
        (("heat",), {"band": 0}),
        ((), {"band": 0}),
        (("heat",), {"time": 5}),
        (("heat",), {"time": -1}),
    ):
        for choose in (pyramid.bands, pyramid.all_bands):
            with pytest.raises(ParameterError) as caught:
                choose(names, positions=positions)
            assert caught.value.parameter == "sel"
    assert [band.lead for band in pyramid.bands(("rain", "land"), (), {"time": 2})] == [(2,), ()]


def test_all_rasters_that_positions_leave(stores: dict[str, Any]) -> None:
    pyramid = series_of(stores)
    leads = [band.lead for band in pyramid.all_bands(("rain", "heat"), {"time": 1})]
    assert leads == [(1,), (1, 0), (1, 1)]
    assert [band.lead for band in pyramid.all_bands(("heat",))] == list(itertools.product(range(5), range(2)))


@pytest.mark.parametrize("order", [("time", "band"), ("band", "time")])
def test_the_natural_picture_keeps_its_colours_at_every_step(stores: dict[str, Any], order: tuple[str, str]) -> None:
    sizes = {"time": 100, "band": 3}
    colors = ("blue", "green", "red")
    leading = tuple((name, sizes[name]) for name in order)
    arrays = series_of(stores).variable("land").arrays
    variable = Variable("v", np.dtype("u1"), leading, arrays, color_interpretation=colors)
    pyramid = replace(series_of(stores), variables=(variable,))
    for positions in ({}, {"time": 70}):
        found = [dict(zip(order, band.lead, strict=True)) for band in pyramid.bands((), (), positions)]
        assert found == [{"time": positions.get("time", 0), "band": band} for band in (2, 1, 0)]
    square = replace(pyramid, variables=(replace(variable, leading=(("time", 3), ("band", 3))),))
    assert [band.lead for band in square.bands((), (), {"time": 1})] == [(1, 2), (1, 1), (1, 0)]
    (single,) = pyramid.bands((), (), {"band": 1})
    assert (dict(zip(order, single.lead, strict=True)), single.color) == ({"time": 0, "band": 1}, "green")


def test_names_follow_labels(stores: dict[str, Any]) -> None:
    (heat,) = series_of(stores).bands(("heat",), (4,))
    assert (heat.name, replace(heat, label="2024-01-02").name) == ("heat_4", "heat_2024-01-02")
    (land,) = series_of(stores).bands(("land",))
    assert replace(land, label="2024-01-02").name == "land"


def test_coordinates_are_found_in_the_group_of_the_level_or_around_it(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["series"])
    assert read_pyramid(tree).coordinate("time").array.path == "10/time"
    tree.nodes["time"] = copy.deepcopy(tree.nodes["10/time"])
    assert read_pyramid(tree).coordinate("time").array.path == "10/time"
    del tree.nodes["10/time"]
    pyramid = read_pyramid(tree)
    assert pyramid.coordinate("time").array.path == "time"
    assert pyramid.coordinate("time").attributes.units == "hours since 2024-01-01"
    assert pyramid.coordinate("level").array.shape == (2,)
    assert pyramid.coordinate("y") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("node_type", "group"),
        ("shape", [6]),
        ("shape", [5, 1]),
        ("shape", "5"),
        ("dimension_names", ["level"]),
        ("data_type", "string"),
        ("data_type", "complex64"),
        ("data_type", {"name": "fixed_length_utf32"}),
        ("data_type", {"name": "fixed_length_utf32", "configuration": {"length_bytes": 6}}),
        ("data_type", {"name": "fixed_length_utf32", "configuration": {"length_bytes": 2**40}}),
        ("codecs", [{"name": "vlen-utf8"}]),
        ("codecs", []),
        ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [2**40]}}),
        ("chunk_grid", None),
        ("fill_value", "none"),
        ("storage_transformers", [{"name": "x"}]),
    ],
)
def test_a_coordinate_that_cannot_be_read_is_as_good_as_none(stores: dict[str, Any], key: str, value: Any) -> None:
    tree = tree_of(stores["series"])
    tree.nodes["10/time"][key] = value
    assert [item.name for item in read_pyramid(tree).coordinates] == ["level"]


@pytest.mark.parametrize(("size", "chunk", "count"), [(65_536, 16, 1), (65_536, 15, 0), (65_537, 65_537, 0)])
def test_a_coordinate_is_bounded(stores: dict[str, Any], size: int, chunk: int, count: int) -> None:
    tree = tree_of(stores["series"])
    for level, side in (("10", 512), ("9", 256)):
        tree.nodes[f"{level}/rain"]["shape"] = [size, side, side]
        del tree.nodes[f"{level}/heat"]
    document = tree.nodes["10/time"]
    document["shape"] = [size]
    document["chunk_grid"]["configuration"]["chunk_shape"] = [chunk]
    assert len(read_pyramid(tree).coordinates) == count


def test_names_of_dimensions_are_no_paths(stores: dict[str, Any]) -> None:
    for name, known in (("..", ".."), ("a/b", "a/b"), ("", ""), (None, "dim_0")):
        tree = tree_of(stores["series"])
        for level in ("10", "9"):
            del tree.nodes[f"{level}/heat"]
            tree.nodes[f"{level}/rain"]["dimension_names"][0] = name
        pyramid = read_pyramid(tree)
        assert (pyramid.coordinates, pyramid.variable("rain").leading) == ((), ((known, 5),))


def test_names_of_bands_are_those_of_their_dimension(stores: dict[str, Any]) -> None:
    tree = tree_of(stores["stack"])
    assert read_pyramid(tree).step_names("band") == ()
    tree.nodes["10/data"]["attributes"]["band_names"] = ["a", "b", "c"]
    assert read_pyramid(tree).step_names("band") == ("a", "b", "c")
    other = copy.deepcopy(tree.nodes["10/data"])
    tree.nodes["10/other"] = other
    other["attributes"]["band_names"] = ["a", "b", "d"]
    assert read_pyramid(tree).step_names("band") == ()
    del other["attributes"]["band_names"]
    assert read_pyramid(tree).step_names("band") == ("a", "b", "c")
