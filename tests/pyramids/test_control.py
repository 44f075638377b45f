"""The control grid against one exact pyproj evaluation a pixel (P-10, P-12, P-13, P-15; B19, B20)."""

from __future__ import annotations

import functools
import math

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from geozarr import Grid, Window, crs
from pyramids.control import CELL, Mapping, Positions

PROMISE = 0.01  # source pixels

# Source CRS, transform and shape; target CRS, cell size and shape.
CASES = {
    "utm": ("EPSG:32618", (30, 0, 300000, 0, -30, 4800000), (4000, 4000), "EPSG:3857", 40.0, (300, 280)),
    "laea": ("EPSG:3035", (1000, 0, 2500000, 0, -1000, 5500000), (4000, 4000), "EPSG:3857", 1500.0, (300, 300)),
    "albers": ("EPSG:5070", (300, 0, -2000000, 0, -300, 3000000), (8000, 8000), "EPSG:3857", 400.0, (300, 300)),
    "antarctic": ("EPSG:3031", (6250, 0, -3950000, 0, -6250, 4350000), (1400, 1264), "EPSG:3857", 9000.0, (320, 200)),
    "arctic": ("EPSG:3413", (500, 0, -1000000, 0, -500, -500000), (4000, 4000), "EPSG:3857", 2500.0, (260, 320)),
    "geographic": ("EPSG:4326", (0.01, 0, -10, 0, -0.01, 60), (3000, 3000), "EPSG:3857", 1200.0, (300, 300)),
    "rotated": ("EPSG:32759", (8, 6, 330000, 6, -8, 7850000), (2000, 2000), "EPSG:3857", 11.0, (300, 300)),
    "sheared": ("EPSG:32618", (30, 4, 300000, 0, -30, 4800000), (3000, 3000), "EPSG:3857", 40.0, (300, 280)),
    "oblique": ("EPSG:2056", (2.5, 0, 2600000, 0, -2.5, 1200000), (4000, 4000), "EPSG:3857", 4.0, (300, 300)),
    "datum": ("EPSG:27700", (25, 0, 300000, 0, -25, 700000), (6000, 6000), "EPSG:3857", 45.0, (300, 300)),
    "feet": ("EPSG:2263", (10, 0, 950000, 0, -10, 250000), (6000, 6000), "EPSG:3857", 5.0, (300, 300)),
    "to degrees": ("EPSG:32633", (10, 0, 400000, 0, -10, 5500000), (8000, 8000), "OGC:CRS84", 1e-4, (300, 300)),
    "to polar": ("EPSG:4326", (0.25, 0, -180, 0, -0.25, 90), (720, 1440), "EPSG:3031", 20000.0, (320, 320)),
    "south-up": ("EPSG:4326", (0.01, 0, -10, 0, 0.01, 30), (3000, 3000), "EPSG:3857", 1200.0, (300, 300)),
}


@functools.cache
def mapping(name: str) -> Mapping:
    """A case: the target's grid is centred on the source's middle, off the cells' corners by some odd pixels."""
    code, transform, shape, target_code, cell, size = CASES[name]
    source = Grid(shape, Affine(*transform), crs.from_code(code))
    middle = source.transform @ (shape[1] / 2, shape[0] / 2)
    x, y = oracle.carried(
        *(np.array([value]) for value in middle), crs=pyproj.CRS(code), source=pyproj.CRS(target_code)
    )
    left, top = float(x[0]) - 0.37 * size[1] * cell, float(y[0]) + 0.41 * size[0] * cell
    return Mapping(Grid(size, Affine(cell, 0, left, 0, -cell, top), crs.from_code(target_code)), source)


def exact_centres(case: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Source positions of all target centres, by pyproj alone."""
    codes = [pyproj.CRS.from_wkt(grid.crs.wkt2) for grid in (case.target, case.source)]
    x, y = oracle.centres(case.target.shape, tuple(case.target.transform)[:6], crs=codes[0], source=codes[1])
    return oracle.in_pixels(x, y, tuple(case.source.transform)[:6])


@pytest.mark.parametrize("name", CASES)
def test_positions_are_within_a_hundredth_of_a_pixel(name: str) -> None:
    """DESIGN section 5; P-15: projections, datums, feet, degrees, rotation and shear."""
    case = mapping(name)
    cols, rows = case.centres(case.target.window).to_arrays()
    exact_cols, exact_rows = exact_centres(case)
    error = np.hypot(cols - exact_cols, rows - exact_rows)
    assert np.isfinite(exact_cols).all(), "the case must lie within the projections"
    assert error.max() < PROMISE


@pytest.mark.parametrize("name", ["utm", "geographic", "antarctic"])
def test_corners_are_within_a_hundredth_of_a_pixel(name: str) -> None:
    case = mapping(name)
    cols, rows = case.corners(case.target.window).to_arrays()
    assert cols.shape == (case.target.height + 1, case.target.width + 1)
    a, b, c, d, e, f = tuple(case.target.transform)[:6]
    below, right = np.mgrid[: cols.shape[0], : cols.shape[1]].astype(np.float64)
    codes = [pyproj.CRS.from_wkt(grid.crs.wkt2) for grid in (case.target, case.source)]
    x, y = oracle.carried(a * right + b * below + c, d * right + e * below + f, crs=codes[0], source=codes[1])
    exact_cols, exact_rows = oracle.in_pixels(x, y, tuple(case.source.transform)[:6])
    assert np.hypot(cols - exact_cols, rows - exact_rows).max() < PROMISE


def test_one_evaluation_serves_many_pixels() -> None:
    """The grid is sparse: for a UTM scene no more than one pixel of fifty is evaluated."""
    case = mapping("utm")
    counted = []
    exact = case.exact
    object.__setattr__(case, "exact", lambda cols, rows: counted.append(cols.size) or exact(cols, rows))
    try:
        case.centres(case.target.window)
    finally:
        object.__delattr__(case, "exact")
    assert sum(counted) < case.target.window.size / 50


@settings(max_examples=60)
@given(
    name=st.sampled_from(["utm", "antarctic", "rotated", "to polar", "south-up"]),
    rows=st.tuples(st.integers(0, 260), st.integers(1, 60)),
    cols=st.tuples(st.integers(0, 200), st.integers(1, 80)),
)
def test_a_window_has_the_positions_of_the_whole(name: str, rows: tuple[int, int], cols: tuple[int, int]) -> None:
    """P-10: bit for bit, so that blocks of any size give the same pixels."""
    case = mapping(name)
    window = Window(rows[0], cols[0], rows[1], cols[1]).intersect(case.target.window)
    if window.is_empty:
        return
    for found, whole in zip(case.centres(window).to_arrays(), _whole(name), strict=True):
        np.testing.assert_array_equal(found, whole[window.slices])
    for found, whole in zip(case.corners(window).to_arrays(), _whole_corners(name), strict=True):
        around = Window(window.row, window.col, window.height + 1, window.width + 1)
        np.testing.assert_array_equal(found, whole[around.slices])


@functools.cache
def _whole(name: str) -> tuple[np.ndarray, np.ndarray]:
    return mapping(name).centres(mapping(name).target.window).to_arrays()


@functools.cache
def _whole_corners(name: str) -> tuple[np.ndarray, np.ndarray]:
    return mapping(name).corners(mapping(name).target.window).to_arrays()


def _global(west: float, *, cell: float = 0.5) -> Grid:
    return Grid((round(180 / cell), round(360 / cell)), Affine(cell, 0, west, 0, -cell, 90), crs.from_code("EPSG:4326"))


def _turns_apart(found: np.ndarray, exact: np.ndarray, *, width: int) -> np.ndarray:
    """Difference of columns of a raster around the globe, which meet again after `width`."""
    return np.abs((found - exact + width / 2) % width - width / 2)


@pytest.mark.parametrize("west", [-180.0, 0.0, -30.0, 170.0])
def test_longitudes_are_wrapped_into_the_turn_of_the_source(west: float) -> None:
    """P-12: 0-360 and other global rasters; each pixel of Web Mercator lies in exactly one of their columns."""
    half = math.pi * 6378137
    target = Grid((128, 512), Affine(half / 256, 0, -half, 0, -half / 256, half / 2), crs.from_code("EPSG:3857"))
    case = Mapping(target, _global(west))
    cols, _ = case.centres(target.window).to_arrays()
    longitudes = -180 + 360 * (np.arange(512) + 0.5) / 512
    exact = (longitudes - west) % 360 / 0.5
    assert ((cols >= 0) & (cols < 720)).all()
    assert np.abs(cols - exact).max() < PROMISE, "no pixel is interpolated across the seam"


def test_b19_cells_across_the_antimeridian_are_exact() -> None:
    """P-12, B19: UTM zone 60 to degrees; positions on either side of 180 degrees are those of pyproj."""
    source = Grid((1000, 1000), Affine(400, 0, 500000, 0, -400, 6400000), crs.from_code("EPSG:32660"))
    cell = 2 / 300
    for left in (178.0, -180.0, 179.0):
        target = Grid((300, 300), Affine(cell, 0, left, 0, -cell, 57), crs.from_code("OGC:CRS84"))
        case = Mapping(target, source)
        cols, rows = case.centres(target.window).to_arrays()
        exact_cols, exact_rows = exact_centres(case)
        assert np.hypot(cols - exact_cols, rows - exact_rows).max() < PROMISE


@pytest.mark.parametrize(("code", "latitude"), [("EPSG:3031", -90.0), ("EPSG:3413", 90.0)])
def test_b20_pixels_about_a_pole_are_exact(code: str, latitude: float) -> None:
    """P-12, B20: a geographic source on a polar grid; longitudes turn once around the pole, the seam is one ray."""
    cell = 0.5
    source = _global(-180.0, cell=cell)
    target = Grid((192, 192), Affine(20000, 0, -1930000, 0, -20000, 1910000), crs.from_code(code))
    case = Mapping(target, source)
    cols, rows = case.centres(target.window).to_arrays()
    exact_cols, exact_rows = exact_centres(case)
    assert np.isfinite(cols).all()
    assert np.abs(rows - exact_rows).max() < PROMISE
    away = np.abs(rows - (90 - latitude) / cell) > 1e-6  # at the pole itself every longitude is right
    assert _turns_apart(cols, exact_cols, width=720)[away].max() < PROMISE


def test_b20_a_polar_source_is_exact_up_to_the_edge_of_web_mercator() -> None:
    """B20: the antimeridian is a ray in the middle of a polar raster, with the two ends of the world beside it."""
    half = math.pi * 6378137
    source = Grid((1400, 1264), Affine(6250, 0, -3950000, 0, -6250, 4350000), crs.from_code("EPSG:3031"))
    target = Grid((128, 512), Affine(half / 256, 0, -half, 0, -half / 256, -half / 2), crs.from_code("EPSG:3857"))
    case = Mapping(target, source)
    cols, rows = case.centres(target.window).to_arrays()
    exact_cols, exact_rows = exact_centres(case)
    assert np.hypot(cols - exact_cols, rows - exact_rows).max() < PROMISE


def test_b17_positions_without_an_answer_are_nan() -> None:
    """P-13, B17: off the disk that a geostationary satellite sees, PROJ answers with infinity."""
    satellite = crs.from_pyproj(pyproj.CRS.from_proj4("+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=WGS84"))
    source = Grid((542, 542), Affine(20055, 0, -5434894, 0, -20055, 5434894), satellite)
    target = Grid((100, 360), Affine(1, 0, -180, 0, -1, 50), crs.from_code("EPSG:4326"))
    case = Mapping(target, source)
    cols, rows = case.centres(target.window).to_arrays()
    exact_cols, exact_rows = exact_centres(case)
    np.testing.assert_array_equal(np.isnan(cols), ~np.isfinite(exact_cols))
    np.testing.assert_array_equal(np.isnan(rows), np.isnan(cols))
    seen = np.isfinite(exact_cols)
    assert 0.2 < seen.mean() < 0.6
    assert np.hypot(cols - exact_cols, rows - exact_rows)[seen].max() < PROMISE


@pytest.mark.parametrize("scale", [1, 2, 0.5, 3])
def test_grids_of_one_crs_are_mapped_by_arithmetic_alone(scale: float) -> None:
    """Half and whole pixels come out as such: no neighbour gets a weight of 1e-12."""
    code = crs.from_code("EPSG:32618")
    source = Grid((200, 200), Affine(10, 0, 500000.1, 0, -10, 4e6 + 0.7), code)
    target = Grid((90, 90), source.transform @ Affine.translation(7, 3) @ Affine.scale(scale), code)
    cols, rows = Mapping(target, source).centres(target.window).to_arrays()
    steps = np.arange(90) + 0.5
    np.testing.assert_allclose(cols, np.broadcast_to(7 + steps * scale, (90, 90)), rtol=0, atol=1e-8)
    on_half = np.broadcast_to((7 + steps * scale) * 2 % 1 == 0, (90, 90))
    np.testing.assert_array_equal(cols[on_half], np.broadcast_to(7 + steps * scale, (90, 90))[on_half])
    np.testing.assert_allclose(rows, np.broadcast_to((3 + steps * scale)[:, None], (90, 90)), rtol=0, atol=1e-8)


def test_axis_order_of_an_authority_does_not_matter() -> None:
    """P-15: EPSG:4326 lists latitude first, OGC:CRS84 longitude; positions are the same."""
    target = mapping("geographic").target
    found = []
    for code in ("EPSG:4326", "OGC:CRS84"):
        source = Grid((3000, 3000), Affine(0.01, 0, -10, 0, -0.01, 60), crs.from_code(code))
        found.append(Mapping(target, source).centres(target.window).to_arrays())
    np.testing.assert_array_equal(found[0], found[1])


def test_a_window_may_start_anywhere_in_a_cell() -> None:
    """Cells are counted from the grid's corner; a window of one pixel lies in one of them."""
    case = mapping("utm")
    for row, col in ((0, 0), (CELL - 1, CELL), (CELL, CELL - 1), (299, 279)):
        cols, rows = case.centres(Window(row, col, 1, 1)).to_arrays()
        assert cols.shape == rows.shape == (1, 1)
        assert cols[0, 0] == _whole("utm")[0][row, col]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("EPSG:4326", "EPSG:3857", True),
        ("OGC:CRS84", "EPSG:3857", True),
        ("EPSG:3857", "EPSG:4326", True),
        ("EPSG:3395", "EPSG:3857", True),  # ellipsoidal to spherical Mercator
        ("EPSG:32618", "EPSG:32618", True),
        ("EPSG:32618", "EPSG:3857", False),
        ("EPSG:3035", "EPSG:4326", False),
        (
            "EPSG:4267",
            "EPSG:3857",
            False,
        ),  # NAD27: a longitude there depends on the latitude, by the shift of the datum
    ],
)
def test_two_tables_serve_grids_whose_axes_do_not_mix(source: str, target: str, expected: bool) -> None:
    """ENGINE section 1: by the names of the projections and by asking; positions are exact then, not interpolated."""
    place = {"EPSG:4326": (-75.0, 40.0), "EPSG:4267": (-75.0, 40.0)}
    corners = {}
    for code in {source, target}:
        x, y = oracle.carried(np.array([-75.0]), np.array([40.0]), crs=pyproj.CRS("OGC:CRS84"), source=pyproj.CRS(code))
        corners[code] = place.get(code, (float(x[0]), float(y[0])))
    steps = {code: 0.001 if crs.from_code(code).is_geographic else 100.0 for code in corners}

    def grid(code: str) -> Grid:
        step = steps[code]
        left, top = corners[code][0] - 200 * step, corners[code][1] + 200 * step
        return Grid((400, 400), Affine(step, 0, left, 0, -step, top), crs.from_code(code))

    case = Mapping(grid(target), grid(source))
    assert case.is_separable == expected
    cols, rows = case.centres(case.target.window).to_arrays()
    exact_cols, exact_rows = exact_centres(case)
    slack = 2e-6 if expected else PROMISE  # SNAP moves a position by less than 1e-6 along each axis
    assert np.hypot(cols - exact_cols, rows - exact_rows).max() < slack
    turned = Grid((400, 400), case.target.transform @ Affine.rotation(3), case.target.crs)
    assert not Mapping(turned, case.source).is_separable


@settings(max_examples=60)
@given(
    name=st.sampled_from(["utm", "antarctic", "rotated", "geographic", "to polar"]),
    rows=st.tuples(st.integers(0, 260), st.integers(1, 100)),
    cols=st.tuples(st.integers(0, 200), st.integers(1, 120)),
    margin=st.integers(0, 3),
)
def test_the_window_of_the_source_holds_all_positions(
    name: str, rows: tuple[int, int], cols: tuple[int, int], margin: int
) -> None:
    """P-11: a pixel that is needed is never cut off, and little more is read."""
    case = mapping(name)
    window = Window(rows[0], cols[0], rows[1], cols[1]).intersect(case.target.window)
    if window.is_empty:
        return
    for positions in (case.centres(window), case.corners(window)):
        found_cols, found_rows = positions.to_arrays()
        assert positions.shape == found_cols.shape
        assert positions.is_complete == bool(np.isfinite(found_cols).all() and np.isfinite(found_rows).all())
        needed = positions.source_window(margin=margin)
        assert needed.row <= math.floor(found_rows.min()) - margin
        assert needed.row_stop >= math.floor(found_rows.max()) + 1 + margin
        assert needed.col <= math.floor(found_cols.min()) - margin
        assert needed.col_stop >= math.floor(found_cols.max()) + 1 + margin
        assert needed.height <= found_rows.max() - found_rows.min() + 2 + 2 * margin + 1e-6
        assert needed.width <= found_cols.max() - found_cols.min() + 2 + 2 * margin + 1e-6


def test_positions_that_are_given_come_back() -> None:
    """With holes: bounds go by the finite ones; without any there is nothing to read."""
    cols, rows = np.array([[1.5, np.nan, 7.25], [2.0, 3.0, 4.0]]), np.array([[9.0, np.nan, 8.5], [7.0, 6.0, 5.5]])
    given_positions = Positions.from_arrays(cols, rows)
    for found, expected in zip(given_positions.to_arrays(), (cols, rows), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert given_positions.bounds == (5.5, 9.0, 1.5, 7.25)
    assert not given_positions.is_complete
    assert given_positions.source_window(margin=1) == Window(4, 0, 7, 9)  # rows 4 to 10, columns 0 to 8
    nowhere = Positions.from_arrays(np.full((2, 2), np.nan), np.full((2, 2), np.nan))
    assert nowhere.bounds is None
    assert nowhere.source_window(margin=3).is_empty
