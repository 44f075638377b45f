from __future__ import annotations

import json
import math
import time
import warnings
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rio_tiler.models import ImageData
from titiler.core.algorithm import algorithms as titiler_algorithms
from titiler.core.factory import AlgorithmFactory

from geozarr.errors import ParameterError, UnknownNameError
from tiler import algorithms
from tiler.algorithms import Contours, Hillshade, NormalizedIndex, Slope, TerrainRGB, Terrarium, parse_algorithm
from tiler.block import Block

EXAMPLES = [Hillshade(), Slope(), Contours(), TerrainRGB(), Terrarium(), NormalizedIndex()]
METRE = (1.0, 1.0)


def block_of(values: Any, mask: Any = True, dtype: str = "float64") -> Block:
    values = np.asarray(values, dtype)
    values = values if values.ndim == 3 else values[np.newaxis]
    return Block(values, np.broadcast_to(mask, values.shape).copy())


def plane(east: float, north: float, *, cell: tuple[float, float] = METRE, side: int = 6) -> Block:
    """Ground that rises by `east` and `north` metres in a metre."""
    rows, cols = np.mgrid[0:side, 0:side]
    return block_of(1000.0 + east * cols * cell[0] - north * rows * cell[1])


def by_gdal(block: Block, cell: tuple[float, float], z: float, azimuth: float, altitude: float) -> Any:
    """Slope and hillshade one cell at a time: the unoptimized formulas that stand in GDAL's gdaldem_lib.cpp.

    Windows are numbered 0 1 2 / 3 4 5 / 6 7 8. What is not valid becomes the centre, as `-compute_edges` has it.
    """
    values, mask = block.values[0].astype(float), block.mask[0]
    slopes, shades = {}, {}
    for row in range(1, values.shape[0] - 1):
        for col in range(1, values.shape[1] - 1):
            if not mask[row, col]:
                continue
            cells = [(row + down, col + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
            win = [values[place] if mask[place] else values[row, col] for place in cells]
            x = z * ((win[0] + 2 * win[3] + win[6]) - (win[2] + 2 * win[5] + win[8])) / (8 * cell[0])
            y = z * ((win[6] + 2 * win[7] + win[8]) - (win[0] + 2 * win[1] + win[2])) / (8 * -cell[1])
            slope, aspect = math.atan(math.hypot(x, y)), math.atan2(y, x)
            az, alt = math.radians(azimuth), math.radians(altitude)
            cang = math.sin(alt) * math.cos(slope) + math.cos(alt) * math.sin(slope) * math.cos(
                az - math.pi / 2 - aspect
            )
            slopes[row - 1, col - 1] = math.degrees(slope)
            shades[row - 1, col - 1] = 1 + 254 * max(cang, 0)
    return slopes, shades


# --- relief ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    heights=arrays.arrays(np.float64, (5, 6), elements=st.integers(-100, 100)),
    holes=arrays.arrays(bool, (5, 6)),
    cell=st.tuples(st.floats(0.5, 100), st.floats(0.5, 100)),
    z=st.floats(0.1, 10),
    azimuth=st.integers(0, 360),
    altitude=st.integers(-90, 90),
)
def test_relief_is_what_gdal_computes(
    heights: np.ndarray, holes: np.ndarray, cell: tuple[float, float], z: float, azimuth: int, altitude: int
) -> None:
    block = block_of(np.where(holes, np.nan, heights), ~holes)
    slopes, shades = by_gdal(block, cell, z, azimuth + 270, altitude)
    slope = Slope(z_exaggeration=z)(block, cell)
    shade = Hillshade(azimuth=azimuth, angle_altitude=float(altitude), z_exaggeration=z)(block, cell)
    assert (slope.values.shape, slope.values.dtype) == ((1, 3, 4), np.float32)
    assert (shade.values.shape, shade.values.dtype) == ((1, 3, 4), np.uint8)
    for found in (slope, shade):
        assert np.array_equal(found.mask[0], ~holes[1:-1, 1:-1])
    for place, expected in slopes.items():
        assert slope.values[0][place] == pytest.approx(expected, rel=1e-6, abs=1e-6)
    for place, expected in shades.items():
        assert abs(shade.values[0][place] - expected) <= 0.5 + 1e-9


@given(
    east=st.floats(-3, 3),
    north=st.floats(-3, 3),
    cell=st.tuples(st.floats(0.1, 50), st.floats(0.1, 50)),
    z=st.floats(1, 4),
)
def test_a_plane_has_its_own_slope(east: float, north: float, cell: tuple[float, float], z: float) -> None:
    slope = Slope(z_exaggeration=z)(plane(east, north, cell=cell), cell)
    assert slope.values == pytest.approx(math.degrees(math.atan(z * math.hypot(east, north))), abs=1e-4)
    assert slope.mask.all()


@given(compass=st.integers(0, 359), altitude=st.integers(5, 85))
def test_ground_that_faces_the_light_is_white_and_ground_behind_is_black(compass: int, altitude: int) -> None:
    rise = math.tan(math.radians(90 - altitude))  # as steep as the light's rays are perpendicular to
    towards = math.sin(math.radians(compass)), math.cos(math.radians(compass))
    shade = Hillshade(azimuth=(compass + 90) % 360, angle_altitude=float(altitude))
    facing = plane(-rise * towards[0], -rise * towards[1])
    assert (shade(facing, METRE).values == 255).all()
    if altitude <= 45:
        away = plane(rise * towards[0], rise * towards[1])
        assert (shade(away, METRE).values == 1).all()
    flat = shade(plane(0.0, 0.0), METRE).values
    assert (flat == math.floor(1 + 254 * math.sin(math.radians(altitude)) + 0.5)).all()


@given(east=st.floats(-2, 2), north=st.floats(-2, 2), azimuth=st.integers(0, 360), altitude=st.integers(0, 90))
def test_the_light_comes_from_where_titiler_has_it(east: float, north: float, azimuth: int, altitude: int) -> None:
    # TiTiler shows cosines of -1 to 1 as 0 to 255, cut down, of cells taken to be a metre wide.
    ground = plane(east, north, side=12)
    theirs = titiler_algorithms.get("hillshade")(azimuth=azimuth, angle_altitude=altitude)
    cosine = theirs(ImageData(np.ma.MaskedArray(ground.values))).array[0, 0, 0] / 255 * 2 - 1
    ours = Hillshade(azimuth=azimuth, angle_altitude=float(altitude))(ground, METRE).values[0, 0, 0]
    assert (ours - 1) / 254 == pytest.approx(max(cosine, 0.0), abs=2 / 255 + 1 / 254)


@pytest.mark.parametrize("algorithm", [Hillshade(), Slope()])
def test_tiles_with_their_buffer_join_without_a_seam(algorithm: Any) -> None:
    rng = np.random.default_rng(0)
    heights, mask = rng.normal(100, 20, (22, 22)), rng.random((22, 22)) < 0.9
    whole = algorithm(block_of(heights, mask), METRE)
    for row in (0, 10):
        for col in (0, 10):
            part = np.s_[row : row + 12, col : col + 12]
            tile = algorithm(block_of(heights[part], mask[part]), METRE)
            inside = np.s_[:, row : row + 10, col : col + 10]
            assert np.array_equal(tile.values, whole.values[inside])
            assert np.array_equal(tile.mask, whole.mask[inside])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float32"])
def test_relief_is_the_same_for_every_data_type(dtype: str) -> None:
    heights = np.random.default_rng(1).integers(0, 250, (9, 9))
    for algorithm in (Hillshade(), Slope()):
        expected = algorithm(block_of(heights), METRE)
        assert np.array_equal(algorithm(block_of(heights, dtype=dtype), METRE).values, expected.values)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e308])
def test_heights_that_are_no_ground_make_no_warning_and_no_relief(wrong: float) -> None:
    heights = np.zeros((5, 5))
    heights[0, 0] = wrong
    for algorithm in (Hillshade(), Slope()):
        found = algorithm(block_of(heights), METRE)
        assert found.mask[0, 1:, 1:].all()
        assert found.mask[0, 0, 0] == np.isnan(wrong)  # NaN is no value: the centre stands in for it


@pytest.mark.parametrize("size", [(0.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_a_cell_without_a_size_is_refused(size: tuple[float, float]) -> None:
    with pytest.raises(ParameterError) as caught:
        Slope()(plane(1, 1), size)
    assert caught.value.parameter == "cell_size"


@pytest.mark.parametrize("algorithm", [Hillshade(), Slope()])
def test_a_block_within_its_buffer_is_refused(algorithm: Any) -> None:
    with pytest.raises(ParameterError):
        algorithm(block_of(np.zeros((2, 5))), METRE)


# --- contours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"increment": 7, "thickness": 2, "minz": -50, "maxz": 300}])
def test_contours_are_drawn_as_titiler_draws_them(params: dict[str, int]) -> None:
    values = np.random.default_rng(2).uniform(-100, 400, (1, 40, 40))
    mask = np.random.default_rng(3).random(values.shape) < 0.8
    theirs = titiler_algorithms.get("contours")(**params)(ImageData(np.ma.MaskedArray(values, ~mask)))
    ours = Contours(**params)(Block(values, mask), METRE)
    assert ours.values.dtype == np.uint8
    assert np.array_equal(ours.mask, ~np.ma.getmaskarray(theirs.array))
    assert np.array_equal(ours.values[ours.mask], theirs.array.data[ours.mask])


def test_lines_lie_just_above_multiples_of_the_increment() -> None:
    heights = np.arange(-20, 20)
    found = Contours(increment=10, thickness=2)(block_of(heights[np.newaxis]), METRE)
    black = (found.values == 0).all(axis=0)[0]
    assert heights[black].tolist() == [-20, -19, -10, -9, 0, 1, 10, 11]
    assert (Contours(increment=0)(block_of(heights[np.newaxis]), METRE).values != 0).any(axis=0).all()


def test_infinite_heights_have_the_last_colours_and_no_line() -> None:
    found = Contours()(block_of([[-np.inf, np.inf]]), METRE)
    extremes = Contours()(block_of([[-15_480, 11_520]]), METRE)  # beyond both, on no line
    assert (extremes.values != 0).any()
    assert np.array_equal(found.values, extremes.values)


# --- heights in three bytes ------------------------------------------------------------------------------------------


@given(codes=arrays.arrays(np.int64, (3, 4), elements=st.integers(0, 2**24 - 1)))
def test_terrainrgb_is_undone_exactly(codes: np.ndarray) -> None:
    found = TerrainRGB()(block_of(codes * 0.1 - 10000.0), METRE)
    red, green, blue = found.values.astype(np.int64)
    assert np.array_equal(red * 65536 + green * 256 + blue, codes)
    assert found.mask.shape == (3, 3, 4)


@given(
    height=st.floats(-9000, 9000),
    interval=st.sampled_from([0.05, 0.1, 1.0]),
    baseval=st.sampled_from([-10000.0, -9500.5]),
)
def test_terrainrgb_is_within_half_a_step(height: float, interval: float, baseval: float) -> None:
    red, green, blue = TerrainRGB(interval, baseval)(block_of([[height]]), METRE).values[:, 0, 0].astype(int)
    decoded = baseval + interval * (red * 65536 + green * 256 + blue)
    assert abs(decoded - height) <= interval / 2 + 1e-9


@given(codes=arrays.arrays(np.int64, (3, 4), elements=st.integers(0, 2**24 - 1)))
def test_terrarium_is_undone_exactly(codes: np.ndarray) -> None:
    heights = codes / 256 - 32768  # exact in float64
    found = Terrarium()(block_of(heights), METRE)
    red, green, blue = found.values.astype(np.float64)
    assert np.array_equal(red * 256 + green + blue / 256 - 32768, heights)


@given(height=st.floats(-32768, 32767))
def test_terrarium_rounds_down(height: float) -> None:
    red, green, blue = Terrarium()(block_of([[height]]), METRE).values[:, 0, 0].astype(float)
    assert -1e-10 <= height - (red * 256 + green + blue / 256 - 32768) < 1 / 256  # float64 near 65536 has 1.5e-11


@pytest.mark.parametrize(("name", "ours"), [("terrainrgb", TerrainRGB()), ("terrarium", Terrarium())])
def test_heights_are_encoded_as_titiler_encodes_them(name: str, ours: Any) -> None:
    values = np.random.default_rng(4).uniform(-400, 8800, (1, 30, 30))
    values[0, 0, 0] = np.nan
    mask = np.isfinite(values)
    theirs = titiler_algorithms.get(name)()(ImageData(np.ma.MaskedArray(np.nan_to_num(values), ~mask)))
    found = ours(Block(values, mask), METRE)
    valid = found.mask[0]
    assert np.array_equal(valid, mask[0])
    assert np.array_equal(found.values[:, valid], theirs.array.data[:, valid])


@pytest.mark.parametrize(("make", "low", "high"), [(TerrainRGB, -10000.0, 1667721.5), (Terrarium, -32768.0, 32768.0)])
def test_heights_that_three_bytes_cannot_hold_become_the_nearest(make: Any, low: float, high: float) -> None:
    found = make()(block_of([[low - 1e9, -np.inf, high + 1e9, np.inf]]), METRE)
    assert found.values[:, 0].T.tolist() == [[0, 0, 0], [0, 0, 0], [255, 255, 255], [255, 255, 255]]


@pytest.mark.parametrize("make", [TerrainRGB, Terrarium])
def test_cells_without_data_get_a_height_or_none(make: Any) -> None:
    block = block_of([[100.0, np.nan, 7.0]], [[[True, True, False]]])
    assert make()(block, METRE).mask[:, 0].tolist() == [[True, False, False]] * 3
    found = make(nodata_height=-5.0)(block, METRE)
    expected = make()(block_of([[100.0, -5.0, -5.0]]), METRE)
    assert found.mask.all()
    assert np.array_equal(found.values, expected.values)


# --- normalized index ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_the_normalized_index_is_titilers(dtype: str) -> None:
    values = np.random.default_rng(5).integers(1, 120, (2, 20, 20)).astype(dtype)
    theirs = titiler_algorithms.get("normalizedIndex")()(ImageData(np.ma.MaskedArray(values)))
    ours = NormalizedIndex()(block_of(values, dtype=dtype), METRE)
    assert ours.values.dtype == np.float32
    assert ours.values == pytest.approx(theirs.array.data, rel=1e-6)
    assert ours.mask.all()


def test_an_index_that_is_no_number_is_not_valid() -> None:
    first, second = [0.0, 2.0, -3.0, np.nan, np.inf, 1.0], [0.0, 2.0, 3.0, 1.0, 1.0, 3.0]
    mask = np.ones((2, 1, 6), bool)
    mask[1, 0, 5] = False
    found = NormalizedIndex()(Block(np.array([[first], [second]]), mask), METRE)
    assert found.mask[0, 0].tolist() == [False, True, False, False, False, False]
    assert found.values[0, 0].tolist() == [0.0] * 6


# --- names and parameters --------------------------------------------------------------------------------------------


def test_the_names_are_titilers() -> None:
    assert set(algorithms.names()) <= set(titiler_algorithms.list())
    assert [type(parse_algorithm(name)) for name in algorithms.names()] == [type(each) for each in EXAMPLES]


@pytest.mark.parametrize("name", algorithms.names())
def test_parameters_defaults_and_bounds_are_titilers(name: str) -> None:
    theirs = AlgorithmFactory()._get_algo_metadata(titiler_algorithms.get(name)).model_dump()
    ours = algorithms.describe(name)
    assert set(ours) == set(theirs)
    assert (ours["inputs"], ours["outputs"]) == (theirs["inputs"], theirs["outputs"])
    if name == "terrainrgb":  # a step of 0 would divide by it
        ours["parameters"]["interval"]["minimum"] = ours["parameters"]["interval"].pop("exclusiveMinimum")
    for parameter in (*ours["parameters"].values(), *theirs["parameters"].values()):
        parameter.pop("description", None)
    assert ours["parameters"] == theirs["parameters"]


@pytest.mark.parametrize("name", algorithms.names())
def test_descriptions_are_json_schemas_that_agree_with_the_parser(name: str) -> None:
    parameters = json.loads(json.dumps(algorithms.describe(name)))["parameters"]
    for key, schema in parameters.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        bounds = schema if schema["default"] is not None else schema["anyOf"][0]
        least = bounds.get("minimum", bounds.get("exclusiveMinimum"))
        steps = [least - 1, least, bounds["maximum"], bounds["maximum"] + 1, schema["default"], "1", True, 0.5]
        for value in steps:
            is_valid = jsonschema.Draft202012Validator(schema).is_valid(value)
            if (key, value) in {("minz", 99999), ("maxz", -99999)}:
                is_valid = False  # minz must be below maxz, which a schema of one of them cannot say
            try:
                parse_algorithm(name, json.dumps({key: value}))
                is_read = True
            except ParameterError:
                is_read = False
            assert is_read == is_valid, (key, value)


def test_parameters_are_read() -> None:
    text = '{"azimuth": 90, "angle_altitude": 30, "buffer": 4, "z_exaggeration": 2}'
    assert parse_algorithm("hillshade", text) == Hillshade(90, 30.0, 2.0)
    assert parse_algorithm("terrainrgb", '{"nodata_height": 0, "interval": 0.5}') == TerrainRGB(0.5, -10000.0, 0.0)
    assert parse_algorithm("terrarium", '{"nodata_height": null}') == Terrarium(None)
    assert parse_algorithm("contours", "{}") == Contours()


def test_equal_parameters_make_equal_algorithms_with_equal_texts() -> None:
    one, other = (parse_algorithm("hillshade", text) for text in ('{"z_exaggeration": 1}', '{"azimuth": 45.0}'))
    assert one == other == Hillshade()
    assert hash(one) == hash(other)
    assert repr(one) == repr(other) == "Hillshade(azimuth=45, angle_altitude=45.0, z_exaggeration=1.0)"
    assert len({repr(algorithm) for algorithm in EXAMPLES}) == len(EXAMPLES)


@pytest.mark.parametrize("name", ["", "Hillshade", "cast", "__class__", "x" * 100_000])
def test_an_unknown_algorithm_is_an_error(name: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        parse_algorithm(name)
    assert (caught.value.kind, caught.value.known) == ("algorithm", algorithms.names())
    with pytest.raises(UnknownNameError):
        algorithms.describe(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        "null",
        '{"azimuth": 361}',
        '{"azimuth": 45.5}',
        '{"azimuth": "45"}',
        '{"azimuth": true}',
        '{"azimuth": null}',
        '{"azimuth": [45]}',
        '{"azimuth": 45, "azimuth": 45}',
        '{"angle_altitude": NaN}',
        '{"z_exaggeration": 0}',
        '{"z_exaggeration": 1e999}',
        '{"buffer": 100}',
        '{"interval": 1}',
        '{"__class__": 1}',
        '{"z_exaggeration": ' + "1" * 400 + "}",
        " " * 513,
    ],
)
def test_wrong_parameters_are_refused(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_algorithm("hillshade", text)
    assert caught.value.parameter == "algorithm_params"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("contours", '{"minz": 100, "maxz": 100}'),
        ("contours", '{"minz": 9000}'),
        ("terrainrgb", '{"interval": 0}'),
        ("normalizedIndex", '{"azimuth": 1}'),
    ],
)
def test_parameters_that_contradict_are_refused(name: str, text: str) -> None:
    with pytest.raises(ParameterError):
        parse_algorithm(name, text)


def test_long_parameters_are_refused_at_once() -> None:
    began = time.perf_counter()
    with pytest.raises(ParameterError):
        parse_algorithm("slope", '{"z_exaggeration": ' + "1" * 100_000 + "}")
    assert time.perf_counter() - began < 0.01


@pytest.mark.parametrize("algorithm", EXAMPLES)
def test_another_number_of_bands_is_refused(algorithm: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        algorithm(block_of(np.zeros((algorithm.bands + 1, 5, 5))), METRE)
    assert caught.value.parameter == "algorithm"


@pytest.mark.parametrize("algorithm", EXAMPLES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_results_lack_the_buffer_and_inputs_stay_as_they_are(algorithm: Any, dtype: str) -> None:
    side = 8 + 2 * algorithm.buffer
    values = np.random.default_rng(6).integers(0, 200, (algorithm.bands, side, side)).astype(dtype)
    mask = values > 20
    before = values.copy(), mask.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = algorithm(Block(values, mask), (30.0, 30.0))
    assert found.values.shape[1:] == (8, 8)
    assert np.array_equal(values, before[0])
    assert np.array_equal(mask, before[1])
    described = algorithms.describe(algorithms.names()[EXAMPLES.index(algorithm)])
    assert (len(found.values), found.values.dtype.name) == (
        described["outputs"]["nbands"],
        described["outputs"]["dtype"],
    )
