"""A dataset is read as CF has it, whatever it looks like; what it leaves open or says twice is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import builds
import pyramids
from geozarr import Grid, Window, crs
from geozarr.errors import MetadataError, ParameterError, UnknownNameError, UnsupportedError
from pyramids import ArraySource, Slice
from pyramids.placement import Rectilinear
from pyramids.sources.array import Reading

SHAPE = (6, 8)
UTM = crs.from_code("EPSG:32633")
DEGREES = crs.from_code("OGC:CRS84")
GRID = Grid(SHAPE, Affine(30, 0, 500_000, 0, -30, 5_000_000), UTM)
MAPPING = {"crs_wkt": pyproj.CRS("EPSG:32633").to_wkt(), "grid_mapping_name": "transverse_mercator"}


def dataset(
    dims: tuple[str, str] = ("y", "x"),
    *,
    x: dict[str, Any] | None = None,
    y: dict[str, Any] | None = None,
    attrs: dict[str, Any] | None = None,
    mapping: dict[str, Any] | None = None,
    values: Any = None,
    coordinates: dict[str, Any] | None = None,
) -> xr.Dataset:
    """A raster on `GRID`, told by what a test wants."""
    values = np.arange(48.0).reshape(SHAPE) if values is None else np.asarray(values)
    given = {dims[0]: (dims[0], GRID.y_centres(), y or {}), dims[1]: (dims[1], GRID.x_centres(), x or {})}
    found = xr.Dataset(
        {"v": (dims, values, {"grid_mapping": "crs", **(attrs or {})})}, {**given, **(coordinates or {})}
    )
    found["crs"] = ((), 0, MAPPING if mapping is None else mapping)
    return found


def read(source: ArraySource, number: int = 0) -> tuple[Any, Any]:
    pixels = source.read(Window(0, 0, *source.grid.shape), [Slice(0, number)])
    return pixels.values[0], pixels.valid[0]


# Axes


@pytest.mark.parametrize(
    ("dims", "x", "y"),
    [
        (("y", "x"), {}, {}),
        (("lat", "lon"), {}, {}),
        (("Latitude", "LONGITUDE"), {}, {}),
        (("yc", "xc"), {}, {}),
        (("northing", "easting"), {}, {}),
        (("row", "col"), {"axis": "X"}, {"axis": "Y"}),
        (("x", "y"), {"axis": "Y"}, {"axis": "X"}),
        (("row", "col"), {"standard_name": "projection_x_coordinate"}, {"standard_name": "projection_y_coordinate"}),
        (("row", "col"), {"_CoordinateAxisType": "GeoX"}, {"_CoordinateAxisType": "GeoY"}),
    ],
)
def test_rows_and_columns_are_what_their_coordinates_or_else_their_names_say(
    dims: tuple[str, str], x: dict[str, Any], y: dict[str, Any]
) -> None:
    turned = dims == ("x", "y")
    found = dataset(dims, x=y if turned else x, y=x if turned else y)
    if turned:  # the dimension called x has rows
        found["x"].attrs, found["y"].attrs = {"axis": "Y"}, {"axis": "X"}
    assert ArraySource(found).grid == GRID


def test_attributes_count_more_than_names() -> None:
    found = dataset(("x", "band"), x={"axis": "X"}, y={"axis": "Y"})
    assert ArraySource(found).grid == GRID


@pytest.mark.parametrize("dims", [("a", "b"), ("y", "b"), ("a", "x")])
def test_axes_that_nothing_tells_are_refused(dims: tuple[str, str]) -> None:
    with pytest.raises(MetadataError) as caught:
        ArraySource(dataset(dims))
    assert caught.value.key == "dimensions"


def test_two_axes_that_both_say_to_be_x_are_refused() -> None:
    found = dataset().expand_dims(z=[1.0, 2.0])
    found["z"].attrs["axis"] = found["x"].attrs["axis"] = "X"
    with pytest.raises(MetadataError) as caught:
        ArraySource(found)
    assert caught.value.found == ("z", "x")


def test_the_convention_says_which_dimensions_are_spatial() -> None:
    found = dataset(("a", "b"), attrs={"spatial:dimensions": ["a", "b"]})
    assert ArraySource(found).grid == GRID


def test_a_transform_places_axes_without_coordinates() -> None:
    bare = dataset().drop_vars(["x", "y"])
    bare["crs"].attrs["GeoTransform"] = " ".join(map(str, GRID.transform.to_gdal()))
    assert ArraySource(bare).grid == GRID
    del bare["crs"].attrs["GeoTransform"]
    bare["v"].attrs["spatial:transform"] = list(GRID.transform)[:6]
    assert ArraySource(bare).grid == GRID


def test_of_variables_on_several_grids_some_must_be_chosen() -> None:
    found = dataset()
    found["w"] = (("lat", "lon"), np.zeros((2, 3)), {"grid_mapping": "crs"})
    with pytest.raises(MetadataError) as caught:
        ArraySource(found)
    assert caught.value.found == {"y x": ["v"], "lat lon": ["w"]}
    assert ArraySource(found, variables=["v"]).grid == GRID


def test_what_describes_other_variables_is_no_raster() -> None:
    found = dataset(attrs={"ancillary_variables": "q"}, y={"bounds": "y_bnds"})
    found["y_bnds"] = (("y", "nv"), np.zeros((6, 2)))
    found["lon"] = (("y", "x"), np.zeros(SHAPE), {"standard_name": "longitude", "units": "degrees_east"})
    found["q"] = (("y", "x"), np.zeros(SHAPE, np.uint8), {"grid_mapping": "crs"})
    assert [variable.name for variable in ArraySource(found).variables] == ["v", "q"]


def test_what_holds_no_numbers_is_left_out_and_said() -> None:
    found = dataset()
    found["name"] = (("y", "x"), np.full(SHAPE, "a"), {"grid_mapping": "crs"})
    source = ArraySource(found)
    assert [variable.name for variable in source.variables] == ["v"]
    assert [quirk.kind for quirk in source.quirks] == ["left-out"]
    with pytest.raises(UnsupportedError):
        ArraySource(found, variables=["name"])


# CRS


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"crs_wkt": pyproj.CRS("EPSG:3035").to_wkt()}, "EPSG:3035"),
        ({"spatial_ref": pyproj.CRS("EPSG:32633").to_wkt("WKT1_GDAL")}, "EPSG:32633"),
        (pyproj.CRS("EPSG:32633").to_cf(), "EPSG:32633"),
        ({k: v for k, v in pyproj.CRS("EPSG:3413").to_cf().items() if k != "crs_wkt"}, "EPSG:3413"),
        ({"proj:code": "EPSG:32633"}, "EPSG:32633"),
    ],
)
def test_a_grid_mapping_is_read_by_its_text_or_its_parameters(mapping: dict[str, Any], expected: str) -> None:
    found = ArraySource(
        dataset(mapping={key: np.array([value]) if key == "x" else value for key, value in mapping.items()})
    )
    target = pyproj.CRS(expected)
    there = pyproj.Transformer.from_crs(found.grid.crs.proj, target, always_xy=True)
    assert_allclose(there.transform(500_100, 4_999_900), (500_100, 4_999_900), atol=1e-3)


def test_of_an_extended_grid_mapping_that_of_the_axes_counts() -> None:
    found = dataset(attrs={"grid_mapping": "crs: x y wgs: lat lon"})
    found["wgs"] = ((), 0, pyproj.CRS(4326).to_cf())
    assert ArraySource(found).grid == GRID
    found["v"].attrs["grid_mapping"] = "wgs: lat lon crs: x y"
    assert ArraySource(found).grid == GRID


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"proj:code": "EPSG:32633"}, None),
        ({"proj:epsg": 32633}, None),
        ({"_CRS": {"wkt": pyproj.CRS(32633).to_wkt()}}, None),
        ({"_CRS": {"projjson": pyproj.CRS(32633).to_json_dict()}}, None),
        ({"_CRS": {"url": "http://www.opengis.net/def/crs/EPSG/0/32633"}}, None),
        ({"crs": "EPSG:32633"}, "crs-words"),
        ({"crs": "+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs"}, "crs-words"),
        ({"coordinates": "crs"}, "crs-elsewhere"),
    ],
)
@pytest.mark.parametrize("is_global", [True, False])
def test_other_ways_to_state_a_crs_are_read(attributes: dict[str, Any], kind: str | None, is_global: bool) -> None:
    found = dataset()
    del found["v"].attrs["grid_mapping"]
    if kind != "crs-elsewhere":
        found = found.drop_vars("crs")
    elif is_global:
        found = found.set_coords("crs")
        attributes = {}
    (found if is_global else found["v"]).attrs.update(attributes)
    source = ArraySource(found)
    assert source.grid.crs.is_same_place(UTM)
    assert [quirk.kind for quirk in source.quirks] == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    ("attributes", "mapping", "key"),
    [
        ({"grid_mapping": "lost"}, {}, "grid_mapping"),
        ({}, {"grid_mapping_name": "flat_earth"}, "grid_mapping_name"),
        ({}, {"crs_wkt": "PROJCRS[nonsense"}, "crs_wkt"),
        ({}, {}, "crs"),
        ({"grid_mapping": "", "crs": "+proj=utm +zone=33 +nadgrids=/etc/passwd"}, {}, "crs"),
        ({"grid_mapping": "", "crs": "somewhere"}, {}, None),
    ],
)
def test_a_crs_that_is_missing_or_cannot_be_read_is_refused(
    attributes: dict[str, Any], mapping: dict[str, Any], key: str | None
) -> None:
    with pytest.raises(MetadataError) as caught:
        ArraySource(dataset(attrs=attributes, mapping=mapping))
    assert key is None or caught.value.key == key


def test_latitudes_and_longitudes_alone_are_on_no_figure_of_the_earth() -> None:
    """CF 5.6: without a grid mapping none is stated, and none is guessed."""
    found = xr.Dataset(
        {"v": (("lat", "lon"), np.zeros((3, 4)))},
        {
            "lat": ("lat", [2.0, 1, 0], {"units": "degrees_north"}),
            "lon": ("lon", [0.0, 1, 2, 3], {"units": "degrees_east"}),
        },
    )
    with pytest.raises(MetadataError) as caught:
        ArraySource(found)
    assert caught.value.key == "crs"
    source = pyramids.open_source(found, crs="OGC:CRS84")
    assert source.grid == Grid((3, 4), Affine(1, 0, -0.5, 0, -1, 2.5), DEGREES)
    assert [quirk.kind for quirk in source.quirks] == ["crs-given"]


def test_what_the_user_says_of_the_crs_counts_and_is_no_quirk_where_it_is_the_same() -> None:
    assert ArraySource(dataset(), reading=Reading(crs=UTM)).quirks == ()
    other = ArraySource(dataset(), reading=Reading(crs=crs.from_code("EPSG:32634")))
    assert other.grid.crs == crs.from_code("EPSG:32634")
    assert [quirk.kind for quirk in other.quirks] == ["crs-given"]
    assert "EPSG:32633" in other.quirks[0].found
    broken = ArraySource(dataset(mapping={"crs_wkt": "nonsense"}), reading=Reading(crs=UTM))
    assert broken.grid == GRID


@pytest.mark.parametrize("text", ["EPSG:0", "here", "+proj=utm +zone=33", "PROJCRS[x"])
def test_a_crs_of_the_user_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(MetadataError):
        pyramids.open_source(dataset(), crs=text)


# Coordinates


@pytest.mark.parametrize(("unit", "size"), [("km", 1000.0), ("m", 1.0), ("feet", 0.3048), ("metre", 1.0)])
def test_coordinates_come_in_the_unit_of_the_crs(unit: str, size: float) -> None:
    found = dataset(x={"units": unit}, y={"units": unit})
    found = found.assign_coords({name: (name, found[name].values / size, found[name].attrs) for name in ("x", "y")})
    source = ArraySource(found)
    assert_allclose(tuple(source.grid.transform)[:6], tuple(GRID.transform)[:6], rtol=1e-9)
    assert [quirk.kind for quirk in source.quirks] == ([] if size == 1.0 else ["coordinates-units"] * 2)


@pytest.mark.parametrize("units", ["degrees_east", "K", "rad"])
def test_coordinates_of_another_kind_of_unit_than_the_crs_are_refused(units: str) -> None:
    with pytest.raises(MetadataError) as caught:
        ArraySource(dataset(x={"units": units}))
    assert caught.value.key == "units"


def test_packed_coordinates_are_unpacked() -> None:
    found = dataset()
    packed = {"x": ("x", np.arange(8, dtype=np.int16), {"scale_factor": 30.0, "add_offset": 500_015.0})}
    source = ArraySource(found.assign_coords(packed))
    assert source.grid == GRID
    assert [quirk.kind for quirk in source.quirks] == ["coordinates-packed"]


@given(st.integers(1, 7), st.sampled_from([0.0, 90.0, 178.0, 350.0]))
def test_longitudes_that_jump_go_on(jump: int, first: float) -> None:
    usual = first + np.arange(8.0)
    stored = np.where(np.arange(8) >= jump, usual - 360, usual)
    found = xr.Dataset(
        {"v": (("lat", "lon"), np.zeros((2, 8)))}, {"lat": [1.0, 0.0], "lon": stored}, {"proj:code": "OGC:CRS84"}
    )
    source = ArraySource(found)
    assert source.grid == Grid((2, 8), Affine(1, 0, first - 0.5, 0, -1, 1.5), DEGREES)
    assert [quirk.kind for quirk in source.quirks] == ["longitudes-unwrapped"]


@pytest.mark.parametrize(("size", "kinds"), [(1.0, []), (-1.0, ["west-positive"])])
def test_a_single_row_or_column_has_the_width_of_its_bounds(size: float, kinds: list[str]) -> None:
    found = xr.Dataset(
        {"v": (("y", "x"), np.zeros((1, 1))), "xb": (("x", "nv"), [[10.0, 10.0 + size]])},
        {
            "y": ("y", [5.0], {"bounds": "yb"}),
            "x": ("x", [10 + size / 2], {"bounds": "xb"}),
            "yb": (("y", "nv"), [[6.0, 4.0]]),
        },
        {"proj:code": "EPSG:32633"},
    )
    source = ArraySource(found)
    assert source.grid == Grid((1, 1), Affine(size, 0, 10, 0, -2, 6), UTM)
    assert [quirk.kind for quirk in source.quirks] == kinds


def test_uneven_coordinates_are_refused_or_read_from_where_they_say() -> None:
    found = dataset().assign_coords(x=500_015 + 30 * np.array([0.0, 1, 2, 3, 4, 5, 6, 9]))
    with pytest.raises(MetadataError) as caught:
        ArraySource(found)
    assert "cells off" in str(caught.value.found)
    source = ArraySource(found, reading=Reading(irregular="resample"))
    assert isinstance(source.grid, Rectilinear)
    assert [quirk.kind for quirk in source.quirks] == ["irregular-axis"]
    with pytest.raises(UnsupportedError):
        pyramids.make_plan(source, pyramids.Options(tms="native"))
    with pytest.raises(ParameterError):
        ArraySource(found, reading=Reading(irregular="perhaps"))


# Values


@pytest.mark.parametrize(
    ("dtype", "attrs", "missing", "nodata"),
    [
        ("int16", {"_FillValue": -1}, {-1}, -1),
        ("int16", {"missing_value": -1}, {-1}, -1),
        ("int16", {"_FillValue": -1, "missing_value": -2}, {-1, -2}, -1),
        ("int16", {"missing_value": [3, 4, 5]}, {3, 4, 5}, 3),
        ("int16", {"valid_range": [2, 40]}, {0, 1, *range(41, 48), -1, -2}, -(2**15)),
        ("int16", {"valid_min": 2}, {0, 1, -1, -2}, -(2**15)),
        ("int16", {"valid_max": 40}, {*range(41, 48)}, 2**15 - 1),
        ("uint16", {"valid_range": [2, 40]}, {0, 1, *range(41, 48), 2**16 - 1, 2**16 - 2}, 2**16 - 1),
        ("uint16", {"valid_min": 2}, {0, 1}, 0),
        ("int16", {"valid_min": 2, "valid_max": 40, "_FillValue": 7}, {0, 1, 7, *range(41, 48), -1, -2}, 7),
        ("uint8", {"valid_range": [0, 255]}, set(), None),
        ("float32", {"valid_min": 2.5}, {0, 1, 2, -1, -2}, None),
        ("float32", {"_FillValue": np.float32(1e20), "missing_value": 3.0}, {3}, 1.0000000200408773e20),
    ],
)
def test_values_are_missing_by_whatever_says_so(
    dtype: str, attrs: dict[str, Any], missing: set[int], nodata: Any
) -> None:
    values = np.arange(48).reshape(SHAPE).astype(dtype)
    if dtype != "uint8":
        values[0, :2] = np.array([-1, -2]).astype(dtype)
    source = ArraySource(dataset(values=values, attrs=attrs))
    found, valid = read(source)
    assert_array_equal(found, values)
    assert_array_equal(valid, ~np.isin(values, list(missing)))
    assert source.variables[0].nodata == nodata
    stated = [np.atleast_1d(attrs.get(key, [])) for key in ("_FillValue", "missing_value")]
    several = np.concatenate(stated).size > 1
    assert ("missing-values" in [quirk.kind for quirk in source.quirks]) == several


def test_bits_that_are_meant_unsigned_are() -> None:
    values = np.arange(48).reshape(SHAPE).astype("uint16") * 1365
    attrs = {"_Unsigned": "true", "_FillValue": np.int16(-1), "valid_range": np.array([0, -2], "int16")}
    flags = {"flag_masks": np.array([1, -32768], "int16"), "flag_meanings": "low high"}
    source = ArraySource(dataset(values=values.view("int16"), attrs={**attrs, **flags}))
    found, valid = read(source)
    assert_array_equal(found, values, strict=True)
    assert valid.all()
    assert source.variables[0].nodata == 65535
    assert source.variables[0].attributes["flag_masks"] == [1, 32768]


def test_packed_integers_stay_packed_and_packed_floats_do_not() -> None:
    packing = {"scale_factor": 0.5, "add_offset": 10.0, "_FillValue": 7}
    whole = ArraySource(dataset(values=np.arange(48, dtype="int16").reshape(SHAPE), attrs=packing))
    assert whole.variables[0].attributes["scale_factor"] == 0.5
    values = np.arange(48, dtype="float32").reshape(SHAPE)
    source = ArraySource(dataset(values=values, attrs={**packing, "_FillValue": 7.0, "valid_max": 40.0}))
    found, valid = read(source)
    assert_array_equal(valid, (values != 7) & (values <= 40))
    assert_array_equal(found[valid], (values * 0.5 + 10)[valid])
    assert "scale_factor" not in source.variables[0].attributes
    assert {quirk.kind for quirk in source.quirks} == {"packed-floats", "valid-range"}


def test_the_user_may_say_that_nothing_is_missing_or_what_is() -> None:
    values = np.arange(48, dtype="int16").reshape(SHAPE)
    found = dataset(values=values, attrs={"_FillValue": np.nan, "valid_range": [3, 4]})
    with pytest.raises(MetadataError):
        ArraySource(found)
    none = ArraySource(found, nodata="none")
    assert read(none)[1].all()
    assert none.variables[0].nodata is None
    assert (~read(ArraySource(found, nodata=5))[1]).sum() == 1
    with pytest.raises(ParameterError):
        ArraySource(found, nodata="nothing")


def test_what_is_missing_has_a_place_in_a_native_pyramid() -> None:
    """Integers of which a range is valid and that have no other value for missing ones get one outside of it."""
    values = np.arange(48, dtype="int16").reshape(SHAPE)
    source = ArraySource(dataset(values=values, attrs={"valid_range": [2, 40]}))
    built, store = builds.build(source, tms="native")
    assert not built.has_alpha
    is_valid = (values >= 2) & (values <= 40)
    assert_array_equal(builds.read(store, "0/v"), np.where(is_valid, values, -(2**15)))


def test_words_that_cf_does_not_know_are_kept_elsewhere() -> None:
    pytest.importorskip("cf_units")
    pytest.importorskip("compliance_checker")
    attrs = {"units": "sparkles", "standard_name": "my_name"}
    source = ArraySource(dataset(attrs=attrs))
    kept = source.variables[0].attributes
    assert (kept["source_units"], kept["source_standard_name"]) == ("sparkles", "my_name")
    assert "units" not in kept
    assert {quirk.kind for quirk in source.quirks} == {"units", "standard-name"}
    assert ArraySource(dataset(attrs={"units": "Deg C"})).variables[0].attributes["units"] == "degree_Celsius"
    usual = ArraySource(dataset(attrs={"units": "K", "standard_name": "air_temperature"}))
    assert usual.quirks == ()


# Slices


def series() -> xr.Dataset:
    values = np.arange(2 * 3 * 48.0).reshape(2, 3, *SHAPE)
    time = ("time", [0, 31, 59], {"units": "days since 2001-01-01"})
    found = dataset().drop_vars("v")
    found["v"] = (("level", "time", "y", "x"), values, {"grid_mapping": "crs"})
    return found.assign_coords(time=time, level=[500.0, 850.0])


def test_slices_are_chosen_by_what_their_axes_say() -> None:
    source = pyramids.open_source(series(), select={"time": "2001-02..2001-03", "level": "850"})
    assert isinstance(source, ArraySource)
    assert [(axis.name, axis.coordinates) for axis in source.variables[0].leading] == [
        ("level", (850.0,)),
        ("time", (31, 59)),
    ]
    for number, at in enumerate((1, 2)):
        assert_array_equal(read(source, number)[0], series()["v"].values[1, at])


def test_an_axis_that_is_not_there_is_no_choice() -> None:
    with pytest.raises(ParameterError):
        pyramids.open_source(series(), select={"depth": "0"})
    with pytest.raises(UnknownNameError):
        pyramids.open_source(series(), variables=["w"])
