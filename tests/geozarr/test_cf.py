from __future__ import annotations

import base64
import json
import math
import struct
import warnings

import numpy as np
import pyproj
import pytest
import rioxarray  # noqa: F401 - it adds the accessor `rio`
import xarray as xr
import zarr
import zarr.storage
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj.enums import PJType

from geozarr import Grid, MetadataError, cf, crs
from strategies import CODES, DTYPES, fill_values, grids, known_crs

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ROTATED_POLE = pyproj.CRS.from_cf(
    {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
        "semi_major_axis": 6370000.0,
        "inverse_flattening": 0.0,
        "semi_minor_axis": 6370000.0,
    }
)


def attributes_of(code: str) -> dict:
    return cf.grid_mapping_attributes(Grid((3, 4), Affine(10, 0, 500, 0, -20, 1000), crs.from_code(code)))


def parameters_of(code: str) -> dict:
    return cf.parameters(crs.from_code(code))


def same(one: object, other: object) -> bool:
    """Equal bit by bit, but for the payload of NaN."""
    one, other = np.asarray(one), np.asarray(other)
    return one.dtype == other.dtype and (one.tobytes() == other.tobytes() or bool(np.isnan(one) and np.isnan(other)))


# Grid mapping


@pytest.mark.parametrize("code", CODES)
def test_the_grid_mapping_gives_the_crs_back(code: str) -> None:
    attributes = json.loads(json.dumps(attributes_of(code), allow_nan=False))
    assert cf.crs_from_grid_mapping(attributes) == known_crs(code)
    assert pyproj.CRS.from_cf(attributes) == known_crs(code).proj
    assert attributes["crs_wkt"] == attributes["spatial_ref"] == known_crs(code).wkt2


@pytest.mark.parametrize("code", CODES)
def test_rioxarray_reads_crs_and_transform(code: str) -> None:
    transform = Affine(0.1, 0, -7.3, 0, -1 / 3, 1e-3)
    grid = Grid((3, 4), transform, known_crs(code))
    data = xr.DataArray(
        np.zeros(grid.shape),
        dims=("y", "x"),
        coords={
            "y": ("y", grid.y_centres(), cf.y_attributes(grid.crs)),
            "x": ("x", grid.x_centres(), cf.x_attributes(grid.crs)),
            cf.GRID_MAPPING: ((), 0, cf.grid_mapping_attributes(grid)),
        },
        attrs={"grid_mapping": cf.GRID_MAPPING},
    )
    assert pyproj.CRS.from_user_input(data.rio.crs) == known_crs(code).proj
    # It works the origin out anew from the first two centres: exact but for the rounding of a few sums.
    assert tuple(data.rio.transform())[:6] == pytest.approx(tuple(transform)[:6], rel=1e-12, abs=1e-12)


def _codes_with_points() -> list[tuple[str, float, float]]:
    """Some of EPSG's projected CRS, and a place well inside the area of each."""
    infos = pyproj.database.query_crs_info(auth_name="EPSG", pj_types=[PJType.PROJECTED_CRS])
    made = []
    for info in infos[::29]:
        area = info.area_of_use
        if area is not None and area.west < area.east:
            lon = area.west + 0.4 * (area.east - area.west)
            made.append((f"EPSG:{info.code}", lon, area.south + 0.6 * (area.north - area.south)))
    return made


def test_cf_parameters_place_a_point_where_the_crs_does() -> None:
    checked = 0
    for code, lon, lat in [*_codes_with_points(), ("EPSG:3857", -73.9, 40.7), ("EPSG:2263", -73.9, 40.7)]:
        made, parameters = crs.from_code(code), parameters_of(code)
        if not parameters or {axis.direction for axis in made.proj.axis_info} != {"east", "north"}:
            continue
        read = cf.crs_from_grid_mapping(json.loads(json.dumps(parameters)))
        own, theirs = (_forward(one, lon, lat) for one in (made, read))
        # A false origin is counted in the unit of the axes (CF Table F.1), where pyproj counts metres.
        names = ("false_easting", "false_northing")
        for x, metres, name in zip(own, theirs, names, strict=True):
            false = parameters.get(name, 0.0)
            assert (x - false) * made.metres_per_unit == pytest.approx(metres - false, abs=1e-3), code
        checked += 1
    assert checked > 80


def _forward(made: crs.CRS, lon: float, lat: float) -> tuple[float, float]:
    """Project angles of the CRS's own datum, so that no datum shift comes between."""
    return pyproj.Transformer.from_crs(made.proj.geodetic_crs, made.proj, always_xy=True).transform(lon, lat)


def test_grid_mappings_of_the_register_are_json_of_cf_types_without_warnings() -> None:
    infos = pyproj.database.query_crs_info(pj_types=[PJType.PROJECTED_CRS, PJType.GEOGRAPHIC_2D_CRS])
    for info in infos[::31]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyproj's, on deprecated entries
            made = crs.from_code(f"{info.auth_name}:{info.code}")
        attributes = cf.grid_mapping_attributes(Grid((1, 1), Affine(1, 0, 0, 0, -1, 0), made))
        json.dumps(attributes, allow_nan=False)
        for key, value in attributes.items():
            numbers = value if isinstance(value, list) else [value]
            assert all(isinstance(number, str if key in _NAMES else float) for number in numbers), (
                info.code,
                key,
                value,
            )
        # CF 1.12, 5.6: these four come all or none, and a projected name needs a geographic one.
        four = [key in attributes for key in _NAMES[:4]]
        assert all(four) or not any(four) or attributes["grid_mapping_name"] == "mercator"
        assert "projected_crs_name" not in attributes or "geographic_crs_name" in attributes


_NAMES = (
    "reference_ellipsoid_name",
    "prime_meridian_name",
    "horizontal_datum_name",
    "geographic_crs_name",
    "projected_crs_name",
    "grid_mapping_name",
    "crs_wkt",
    "spatial_ref",
    "GeoTransform",
    "sweep_angle_axis",
)


# CF 1.12 Appendix F: what each mapping must have besides its name; alternatives are separated by a bar.
APPENDIX_F = {
    "albers_conical_equal_area": "standard_parallel longitude_of_central_meridian latitude_of_projection_origin",
    "azimuthal_equidistant": "longitude_of_projection_origin latitude_of_projection_origin",
    "lambert_azimuthal_equal_area": "longitude_of_projection_origin latitude_of_projection_origin",
    "lambert_conformal_conic": "standard_parallel longitude_of_central_meridian latitude_of_projection_origin",
    "lambert_cylindrical_equal_area": "longitude_of_central_meridian "
    "standard_parallel|scale_factor_at_projection_origin",
    "latitude_longitude": "",
    "mercator": "longitude_of_projection_origin standard_parallel|scale_factor_at_projection_origin",
    "orthographic": "longitude_of_projection_origin latitude_of_projection_origin",
    "polar_stereographic": "straight_vertical_longitude_from_pole latitude_of_projection_origin "
    "standard_parallel|scale_factor_at_projection_origin",
    "sinusoidal": "longitude_of_projection_origin",
    "transverse_mercator": "scale_factor_at_central_meridian longitude_of_central_meridian "
    "latitude_of_projection_origin",
}


@pytest.mark.parametrize(
    "code",
    [
        *("EPSG:3577", "EPSG:3035", "EPSG:2154", "EPSG:6933", "EPSG:4326", "EPSG:3857", "EPSG:3395"),
        *("EPSG:3994", "IAU_2015:30165", "EPSG:3031", "EPSG:3413", "EPSG:5041", "EPSG:5042", "ESRI:54008"),
        *("EPSG:32618", "EPSG:27700", "EPSG:31467", "EPSG:2263", "EPSG:4807"),
    ],
)
def test_every_parameter_that_appendix_f_asks_for_is_there(code: str) -> None:
    parameters = parameters_of(code)
    needed = APPENDIX_F[parameters["grid_mapping_name"]].split()
    assert [entry for entry in needed if not any(key in parameters for key in entry.split("|"))] == []


def test_a_polar_projection_says_its_pole() -> None:
    assert parameters_of("EPSG:3031")["latitude_of_projection_origin"] == -90  # from the standard parallel 71 S
    assert parameters_of("EPSG:3413")["latitude_of_projection_origin"] == 90  # from 70 N


def test_a_cone_that_touches_says_where() -> None:
    own = pyproj.CRS.from_user_input("+proj=lcc +lat_1=25 +lat_0=25 +lon_0=-95 +k_0=1 +R=6371200 +type=crs")
    grid = Grid((2, 2), Affine(1, 0, 0, 0, -1, 0), crs.from_pyproj(own))
    attributes = cf.grid_mapping_attributes(grid)
    assert attributes["grid_mapping_name"] == "lambert_conformal_conic"
    assert attributes["standard_parallel"] == attributes["latitude_of_projection_origin"] == 25


@pytest.mark.parametrize("code", ["EPSG:3857", "EPSG:2056", "EPSG:32618"])
def test_the_grid_mapping_is_parameters_wkt_and_transform(code: str) -> None:
    texts = {"crs_wkt", "spatial_ref", "GeoTransform"}
    assert {key: value for key, value in attributes_of(code).items() if key not in texts} == parameters_of(code)
    assert attributes_of(code).keys() >= texts


def test_web_mercator_is_a_mercator_of_a_sphere() -> None:
    parameters = parameters_of("EPSG:3857")
    assert parameters["grid_mapping_name"] == "mercator"
    assert parameters["earth_radius"] == 6378137.0
    assert "inverse_flattening" not in parameters


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("EPSG:2056", "an angle between rectified and skew grid"),
        ("EPSG:27572", "angles in grads, and a conic with a scale factor"),
        ("ESRI:54030", "Robinson"),
        ("EPSG:5513", "Krovak"),
        ("ESRI:54049", "pyproj lacks a parameter"),
    ],
)
def test_what_cf_cannot_say_is_left_to_the_wkt(code: str, why: str) -> None:
    assert parameters_of(code) == {}, why
    assert cf.crs_from_grid_mapping(attributes_of(code)).code == code


def test_a_prime_meridian_in_grads_is_written_in_degrees() -> None:
    # Paris: 2.5969213 grads east of Greenwich.
    assert parameters_of("EPSG:4807")["longitude_of_prime_meridian"] == pytest.approx(2.5969213 * 360 / 400)


def test_a_sphere_has_no_flattening() -> None:
    parameters = parameters_of("IAU_2015:30100")
    assert parameters["semi_major_axis"] == parameters["semi_minor_axis"] == 1737400.0
    assert "inverse_flattening" not in parameters


def test_the_wkt_wins_over_the_parameters() -> None:
    attributes = {**attributes_of("EPSG:32618"), "grid_mapping_name": "latitude_longitude"}
    assert cf.crs_from_grid_mapping(attributes).code == "EPSG:32618"
    del attributes["crs_wkt"]
    assert cf.crs_from_grid_mapping(attributes).code == "EPSG:32618"  # from spatial_ref


def test_parameters_alone_are_read() -> None:
    read = cf.crs_from_grid_mapping(parameters_of("EPSG:3031"))
    assert read.proj.coordinate_operation.method_name == "Polar Stereographic (variant B)"
    assert not read.is_geographic


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"grid_mapping_name": None},
        {"grid_mapping_name": 5},
        {"grid_mapping_name": []},
        {"grid_mapping_name": "healpix"},
        {"grid_mapping_name": "polar_stereographic"},
        {"grid_mapping_name": "transverse_mercator", "longitude_of_central_meridian": "x"},
        {"grid_mapping_name": "transverse_mercator", "longitude_of_central_meridian": [1, 2]},
        {"grid_mapping_name": "transverse_mercator", "longitude_of_central_meridian": math.nan},
        {"grid_mapping_name": "transverse_mercator", "longitude_of_central_meridian": 10**400},
        {"grid_mapping_name": "transverse_mercator", "towgs84": 5},
        {"grid_mapping_name": "albers_conical_equal_area", "standard_parallel": [1, 2, 3]},
        {"grid_mapping_name": "geostationary", "fixed_angle_axis": 7, "perspective_point_height": 1},
        {"grid_mapping_name": "latitude_longitude", "earth_radius": -5},
        {"grid_mapping_name": "latitude_longitude", "horizontal_datum_name": 5},
    ],
)
def test_a_malformed_grid_mapping_is_refused(attributes: dict) -> None:
    figure = {"earth_radius": 6371000.0}
    with pytest.raises(MetadataError) as caught:
        cf.crs_from_grid_mapping({**figure, **attributes}, node="/0/crs")
    assert (caught.value.node, caught.value.key) == ("/0/crs", "grid_mapping_name")


@pytest.mark.parametrize("key", ["crs_wkt", "spatial_ref"])
@pytest.mark.parametrize("text", ["EPSG:4326", "+proj=longlat", "nonsense", 4326, ["x"], {"type": "x"}])
def test_a_text_that_is_no_wkt_is_refused(key: str, text: object) -> None:
    with pytest.raises(MetadataError) as caught:
        cf.crs_from_grid_mapping({key: text})
    assert caught.value.key == key


@pytest.mark.parametrize("name", ["+proj=longlat +nadgrids=grid.gsb", "+init=epsg:4326", '{"proj": "longlat"}'])
def test_a_proj_string_for_a_name_is_refused(name: str) -> None:
    with pytest.raises(MetadataError) as caught:
        cf.crs_from_grid_mapping({"grid_mapping_name": "latitude_longitude", "geographic_crs_name": name})
    assert caught.value.key == "geographic_crs_name"


def test_no_figure_of_the_earth_is_guessed() -> None:
    attributes = {"grid_mapping_name": "latitude_longitude", "reference_ellipsoid_name": "unknown"}
    with pytest.raises(MetadataError) as caught:
        cf.crs_from_grid_mapping(attributes)
    assert caught.value.key == "semi_major_axis"
    assert (
        cf.crs_from_grid_mapping({**attributes, "earth_radius": 6371229.0}).proj.ellipsoid.semi_major_metre == 6371229
    )


# GeoTransform


@given(st.tuples(*[FINITE] * 6))
def test_geotransform_survives_bit_by_bit(numbers: tuple[float, ...]) -> None:
    transform = Affine(*numbers)
    again = cf.parse_geotransform(cf.format_geotransform(transform), node="/")
    assert [struct.pack("<d", number) for number in again] == [struct.pack("<d", number) for number in transform]


def test_geotransform_is_in_the_order_of_gdal() -> None:
    # Origin x, cell x, row rotation, origin y, column rotation, cell y.
    text = cf.format_geotransform(Affine(10, 1, 500, 2, -20, 1000))
    assert [float(part) for part in text.split(" ")] == [500, 10, 1, 1000, 2, -20]


@given(FINITE)
def test_numbers_of_the_geotransform_are_the_shortest(number: float) -> None:
    text = cf.format_geotransform(Affine(1, 0, number, 0, -1, 0)).split(" ")[0]
    assert float(text) == number
    assert text == json.dumps(number)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1 2 3 4 5", "1 2 3 4 5 6 7", "1 2 3 4 5 x", "1,2,3,4,5,6", "1 2 3 4 5 nan", "inf 1 0 0 0 1"),
        *(None, 5, {}, [1, 2], [1, 2, 3, 4, 5, None], [1, 2, 3, 4, 5, 10**400]),
    ],
)
def test_a_malformed_geotransform_is_refused(text: object) -> None:
    with pytest.raises(MetadataError) as caught:
        cf.parse_geotransform(text, node="/0/spatial_ref")
    assert (caught.value.node, caught.value.key, caught.value.found) == ("/0/spatial_ref", "GeoTransform", text)


def test_a_geotransform_as_an_array_is_read() -> None:
    assert cf.parse_geotransform([500, 10, 1, 1000, 2, -20], node="/") == Affine(10, 1, 500, 2, -20, 1000)


# Coordinate variables


@pytest.mark.parametrize(
    ("code", "x", "y"),
    [
        ("EPSG:4326", ("longitude", "degrees_east"), ("latitude", "degrees_north")),
        ("OGC:CRS84", ("longitude", "degrees_east"), ("latitude", "degrees_north")),
        ("EPSG:4807", ("longitude", "grade"), ("latitude", "grade")),
        ("EPSG:3857", ("projection_x_coordinate", "m"), ("projection_y_coordinate", "m")),
        ("EPSG:3035", ("projection_x_coordinate", "m"), ("projection_y_coordinate", "m")),
        ("EPSG:2263", ("projection_x_coordinate", "US_survey_foot"), ("projection_y_coordinate", "US_survey_foot")),
    ],
)
def test_coordinates_are_named_and_have_units(code: str, x: tuple[str, str], y: tuple[str, str]) -> None:
    made = crs.from_code(code)
    for attributes, axis, (name, units) in ((cf.x_attributes(made), "X", x), (cf.y_attributes(made), "Y", y)):
        assert attributes["axis"] == axis
        assert (attributes["standard_name"], attributes["units"]) == (name, units)
        assert "_FillValue" not in attributes


def test_coordinates_of_a_rotated_pole_are_grid_coordinates() -> None:
    made = crs.from_pyproj(ROTATED_POLE)
    assert (cf.x_attributes(made)["standard_name"], cf.x_attributes(made)["units"]) == ("grid_longitude", "degree")
    assert (cf.y_attributes(made)["standard_name"], cf.y_attributes(made)["units"]) == ("grid_latitude", "degree")
    grid = Grid((2, 2), Affine(1, 0, 0, 0, -1, 0), made)
    assert cf.grid_mapping_attributes(grid)["grid_mapping_name"] == "rotated_latitude_longitude"


@given(grids(is_north_up=True, most=300))
def test_coordinates_are_the_centres_that_the_transform_gives(grid: Grid) -> None:
    for index in {0, grid.width // 2, grid.width - 1}:
        x, _ = grid.transform @ (index + 0.5, 0)
        assert grid.x_centres()[index] == x
    for index in {0, grid.height // 2, grid.height - 1}:
        _, y = grid.transform @ (0, index + 0.5)
        assert grid.y_centres()[index] == y


# Missing values


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data())
def test_a_fill_value_survives_json(dtype: np.dtype, data: st.DataObject) -> None:
    value = data.draw(fill_values(dtype))
    written = json.loads(json.dumps(cf.encode_fill_value(value, dtype), allow_nan=False))
    assert same(cf.decode_fill_value(written, dtype, node="/"), dtype.type(value))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data())
def test_a_missing_value_survives_json(dtype: np.dtype, data: st.DataObject) -> None:
    value = data.draw(fill_values(dtype))
    written = json.loads(json.dumps(cf.encode_missing_value(value, dtype), allow_nan=False))
    assert same(cf.decode_missing_value(written, dtype, node="/"), dtype.type(value))


def test_booleans_survive() -> None:
    dtype = np.dtype(bool)
    for value in (True, False):
        for encode, decode in (
            (cf.encode_fill_value, cf.decode_fill_value),
            (cf.encode_missing_value, cf.decode_missing_value),
        ):
            assert encode(value, dtype) is value
            assert decode(value, dtype, node="/") == value


def test_float_missing_values_are_what_xarray_writes() -> None:
    # SPEC ZARR-13: NaN and -9999 as xarray encodes them, whatever the width of the array.
    for name in ("float16", "float32", "float64"):
        assert cf.encode_missing_value(math.nan, np.dtype(name)) == "AAAAAAAA+H8="
    for name in ("float32", "float64"):
        assert cf.encode_missing_value(-9999, np.dtype(name)) == "AAAAAICHw8A="
    assert cf.encode_missing_value(-9999, np.dtype("int16")) == -9999


def test_a_float_fill_value_is_stated_in_the_precision_of_the_array() -> None:
    # 0.1 in float32 is 0x3dcccccd, whose shortest double is 0.10000000149011612.
    assert cf.encode_fill_value(0.1, np.dtype("float32")) == 0.10000000149011612
    assert cf.encode_fill_value(0.1, np.dtype("float64")) == 0.1


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (-9999, "uint16"),
        (256, "uint8"),
        (-1, "uint8"),
        (128, "int8"),
        (2**63, "int64"),
        (2.0**63, "int64"),
        (2**64, "uint64"),
        (0.5, "int16"),
        (math.nan, "int16"),
        (math.inf, "uint8"),
        (1e300, "float32"),
        (-1e5, "float16"),
        (10**400, "float64"),
        (10**400, "int64"),
        (2, "bool"),
    ],
)
def test_a_value_that_a_dtype_does_not_hold_is_refused(value: float, name: str) -> None:
    dtype = np.dtype(name)
    assert not cf.holds(value, dtype)
    for encode, key in ((cf.encode_fill_value, "fill_value"), (cf.encode_missing_value, "_FillValue")):
        with pytest.raises(MetadataError) as caught:
            encode(value, dtype)
        assert (caught.value.key, caught.value.found) == (key, value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (2**63 - 1, "int64"),
        (-(2**63), "int64"),
        (-(2.0**63), "int64"),
        (2**64 - 1, "uint64"),
        (255.0, "uint8"),
        (np.uint64(2**64 - 1), "uint64"),
        (math.inf, "float16"),
        (math.nan, "float32"),
        (65504, "float16"),
        (3.4028234663852886e38, "float32"),
        (True, "bool"),
    ],
)
def test_a_value_that_a_dtype_holds_is_held(value: float, name: str) -> None:
    assert cf.holds(value, np.dtype(name))
    assert cf.encode_fill_value(value, np.dtype(name)) is not None


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ("NaN", "float32", math.nan),
        ("Infinity", "float16", math.inf),
        ("-Infinity", "float64", -math.inf),
        ("0x7fc00000", "float32", math.nan),
        ("0xC0C3880000000000", "float64", -10000.0),
        ("0x3c00", "float16", 1.0),
        (-9999, "float32", -9999.0),
        (255.0, "uint8", 255),
    ],
)
def test_each_form_of_a_fill_value_is_read(written: object, name: str, value: float) -> None:
    assert same(cf.decode_fill_value(written, np.dtype(name), node="/"), np.dtype(name).type(value))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        *[(None, name) for name in ("bool", "uint8", "float32")],
        *[([], name) for name in ("bool", "uint8", "float32")],
        *[({}, name) for name in ("uint8", "float32")],
        *[("", name) for name in ("bool", "uint8", "float32")],
        (True, "uint8"),
        (True, "float32"),
        (0, "bool"),
        ("0", "uint8"),
        ("NaN", "int16"),
        (256, "uint8"),
        (1.5, "uint8"),
        (math.nan, "uint8"),
        (1e300, "float32"),
        (10**400, "float64"),
        (10**400, "int64"),
        ("nan", "float32"),
        ("0x7fc0", "float32"),
        ("0x7fc0000g", "float32"),
        ("7fc00000", "float32"),
        ("0x7f c0 00", "float32"),
    ],
)
def test_a_malformed_fill_value_is_refused(written: object, name: str) -> None:
    with pytest.raises(MetadataError) as caught:
        cf.decode_fill_value(written, np.dtype(name), node="/0/red")
    assert (caught.value.node, caught.value.key, caught.value.found) == ("/0/red", "fill_value", written)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (None, "float32"),
        ("", "float64"),
        ("AAAAAAAA+H8", "float64"),
        ("AAAA", "float32"),
        ("not base64!!", "float32"),
        (base64.b64encode(struct.pack("<d", 1e300)).decode(), "float32"),
        ("AAAAAAAA+H8=", "int16"),
        (70000, "uint16"),
        ([0], "uint8"),
    ],
)
def test_a_malformed_missing_value_is_refused(written: object, name: str) -> None:
    with pytest.raises(MetadataError) as caught:
        cf.decode_missing_value(written, np.dtype(name), node="/0/red")
    assert (caught.value.node, caught.value.key, caught.value.found) == ("/0/red", "_FillValue", written)


@pytest.mark.parametrize("written", ["NaN", math.nan])
def test_the_plain_nan_of_the_drafts_is_read(written: object) -> None:
    assert math.isnan(cf.decode_missing_value(written, np.dtype("float32"), node="/"))


@pytest.mark.parametrize(
    ("name", "nodata"),
    [
        ("float32", math.nan),
        ("float32", -9999.0),
        ("float64", math.nan),
        ("float64", 1e300),
        ("int16", -9999),
        ("uint8", 0),
    ],
)
def test_xarray_masks_what_is_missing(name: str, nodata: float) -> None:
    dtype = np.dtype(name)
    store = zarr.storage.MemoryStore()
    group = zarr.create_group(store, zarr_format=3)
    fill = cf.decode_fill_value(cf.encode_fill_value(nodata, dtype), dtype, node="/")
    array = group.create_array(
        "red", shape=(2, 2), chunks=(1, 2), dtype=dtype, fill_value=fill, dimension_names=("y", "x")
    )
    array[0] = [7, fill]  # the other row is an absent chunk
    array.attrs["_FillValue"] = cf.encode_missing_value(nodata, dtype)
    opened = xr.open_zarr(store, consolidated=False)["red"]
    np.testing.assert_array_equal(opened.values, [[7, math.nan], [math.nan, math.nan]])
    assert same(dtype.type(opened.encoding["_FillValue"]), fill)
