"""Resampling against a slow oracle, against GDAL, and against fields whose values are known everywhere.

P-1, P-3 (validity and rounding), P-10, P-11 (windows and seams), P-12 (antimeridian); B11, B12.
"""

from __future__ import annotations

import math

import hypothesis.extra.numpy as arrays
import numpy as np
import pyproj
import pytest
import rasterio.warp
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling

import oracle
from geozarr import Grid, ParameterError, Window, crs
from pyramids import warp
from pyramids.control import Mapping

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
POINTWISE = ("nearest", "bilinear", "cubic")
GDAL_METHODS = {
    "nearest": Resampling.nearest,
    "bilinear": Resampling.bilinear,
    "cubic": Resampling.cubic,
    "average": Resampling.average,
}


def resample(
    values: np.ndarray,
    valid: np.ndarray | None,
    cols: np.ndarray,
    rows: np.ndarray,
    method: str,
    *,
    nodata: float = 0,
    is_nodata: bool = True,
    turn: tuple[float, float] = (0.0, 0.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Resample a whole raster; `cols` and `rows` are one axis each, or full positions."""
    if cols.ndim == 1:
        rows, cols = np.meshgrid(rows, cols, indexing="ij")
    return warp.resample(
        values,
        np.ones(values.shape, bool) if valid is None else valid,
        window=Window(0, 0, *values.shape),
        cols=np.ascontiguousarray(cols, np.float64),
        rows=np.ascontiguousarray(rows, np.float64),
        method=method,
        nodata=nodata,
        is_nodata=is_nodata,
        turn=turn,
    )


def by_oracle(values: np.ndarray, valid: np.ndarray, cols: np.ndarray, rows: np.ndarray, method: str) -> np.ndarray:
    """Exact results of a pointwise method, float64 and NaN for none."""
    found = [
        math.nan if math.isnan(col) else oracle.interpolate(values, valid, col, row, method)
        for col, row in zip(cols.flat, rows.flat, strict=True)
    ]
    return np.array(found).reshape(cols.shape)


def scene(dtype: str, shape: tuple[int, int] = (23, 31), *, holes: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """Noise over the whole range of the dtype, with random holes."""
    rng = np.random.default_rng(5)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = rng.normal(scale=100, size=shape).astype(dtype)
    else:
        info = np.iinfo(kind)
        values = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return values, rng.random(shape) >= holes


def anywhere(shape: tuple[int, int], size: tuple[int, int], *, seed: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Random positions in and somewhat around a raster, some of them on edges, centres and nowhere."""
    rng = np.random.default_rng(seed)
    cols, rows = rng.uniform(-2, shape[1] + 2, size), rng.uniform(-2, shape[0] + 2, size)
    for positions in (cols, rows):
        special = rng.random(size) < 0.2
        positions[special] = np.round(positions[special] * 2) / 2
    nowhere = rng.random(size) < 0.02
    cols[nowhere] = rows[nowhere] = np.nan
    return cols, rows


@pytest.mark.parametrize("method", POINTWISE)
@pytest.mark.parametrize("dtype", DTYPES)
def test_pointwise_methods_agree_with_the_oracle(dtype: str, method: str) -> None:
    """P-1, P-3: values, holes, edges, rounding and saturation, each dtype; half a unit of rounding apart at most."""
    values, valid = scene(dtype)
    cols, rows = anywhere(values.shape, (40, 37))
    nodata = math.nan if values.dtype.kind == "f" else 0
    found, found_valid = resample(values, valid, cols, rows, method, nodata=nodata, is_nodata=False)
    exact = by_oracle(values, valid, cols, rows, method)
    np.testing.assert_array_equal(found_valid, ~np.isnan(exact))
    expected = oracle.stored(exact, values.dtype, nodata=nodata, is_nodata=False)
    assert found.dtype == values.dtype
    if values.dtype.kind == "f":
        slack = np.spacing(np.abs(expected)) + 1e-12 * 100 * 16
        assert (np.abs(found - expected) <= slack)[found_valid].all()
        assert np.isnan(found[~found_valid]).all()
    else:
        # A sum of 16 products in another order may fall on the other side of a half.
        near_half = np.abs(exact - np.floor(exact) - 0.5) < 1e-6
        np.testing.assert_array_equal(found[~near_half], expected[~near_half])


@pytest.mark.parametrize("method", warp.METHODS)
def test_the_pixel_grid_itself_comes_out_unchanged(method: str) -> None:
    """Weights at pixel centres are exactly 1 and 0."""
    for dtype in ("uint8", "float32"):
        values, valid = scene(dtype)
        offset = 0.0 if method == "average" else 0.5
        extra = 1 if method == "average" else 0
        cols, rows = np.arange(31 + extra) + offset, np.arange(23 + extra) + offset
        found, found_valid = resample(values, valid, cols, rows, method, nodata=7, is_nodata=False)
        np.testing.assert_array_equal(found_valid, valid)
        np.testing.assert_array_equal(found[valid], values[valid])
        assert (found[~valid] == 7).all()


@pytest.mark.parametrize("method", POINTWISE)
def test_a_target_pixel_is_valid_exactly_where_the_pixel_under_its_centre_is(method: str) -> None:
    """P-1: interpolation neither grows nor erodes data, at holes and at the raster's edge."""
    values, valid = scene("float32", holes=0.4)
    cols, rows = anywhere(values.shape, (60, 60))
    _, found = resample(values, valid, cols, rows, method, nodata=math.nan)
    inside = (cols >= 0) & (cols < 31) & (rows >= 0) & (rows < 23)
    under = valid[np.where(inside, rows, 0).astype(int), np.where(inside, cols, 0).astype(int)]
    np.testing.assert_array_equal(found, inside & under)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32"])
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_average_weighs_by_shared_area(dtype: str, holes: float) -> None:
    """P-1: exact overlap of intervals, rows of unequal height as in Mercator, holes and edges left out."""
    values, valid = scene(dtype, holes=holes)
    rng = np.random.default_rng(1)
    cols = -3.3 + np.cumsum(rng.uniform(0.2, 4, 14))
    rows = -2.7 + np.cumsum(rng.uniform(0.2, 5, 12))
    nodata = math.nan if dtype == "float32" else 0
    found, found_valid = resample(values, valid, cols, rows, "average", nodata=nodata, is_nodata=False)
    exact = np.array(
        [
            [
                oracle.box_mean(values, valid, left=cols[j], right=cols[j + 1], top=rows[i], bottom=rows[i + 1])
                for j in range(13)
            ]
            for i in range(11)
        ]
    )
    np.testing.assert_array_equal(found_valid, ~np.isnan(exact))
    assert (~found_valid).any(), "some cells must lie outside"
    expected = oracle.stored(exact, values.dtype, nodata=nodata, is_nodata=False)
    if dtype == "float32":
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mirror", ["x", "y", "both"])
def test_average_reads_south_up_and_mirrored_rasters(mirror: str) -> None:
    """P-14: positions that fall with the column or the row."""
    values, valid = scene("float64")
    cols, rows = np.linspace(0.3, 30.1, 9), np.linspace(1.2, 22.4, 8)
    plain, plain_valid = resample(values, valid, cols, rows, "average", nodata=math.nan)
    turned_cols = cols[::-1] if mirror != "y" else cols
    turned_rows = rows[::-1] if mirror != "x" else rows
    found, found_valid = resample(values, valid, turned_cols, turned_rows, "average", nodata=math.nan)
    back = np.s_[:: -1 if mirror != "x" else 1, :: -1 if mirror != "y" else 1]
    np.testing.assert_array_equal(found_valid[back], plain_valid)
    np.testing.assert_allclose(found[back], plain, rtol=1e-12)


@pytest.mark.parametrize("turn", [0.0, 30.0, 45.0, 90.0, 137.0, 180.0])
def test_average_of_a_constant_is_the_constant_whatever_the_angle(turn: float) -> None:
    """P-14: cells askew."""
    cols, rows = askew(turn, scale=3.7, size=12)
    found, valid = resample(np.full((80, 80), 42.5), None, cols, rows, "average", nodata=math.nan)
    assert valid.all()
    np.testing.assert_allclose(found, 42.5, rtol=1e-14)


@pytest.mark.parametrize("turn", [0.0, 20.0, 45.0, 90.0, 170.0])
def test_average_of_a_plane_is_its_value_at_the_cells_centre(turn: float) -> None:
    """P-11: for upright cells of whole pixels exactly; askew within the half pixel at which pixels are steps."""
    row, col = np.mgrid[:80, :80] + 0.5
    plane = 2 * col - 3 * row + 7
    cols, rows = askew(turn, scale=4.0, size=10)
    found, _ = resample(plane, None, cols, rows, "average", nodata=math.nan)
    middle_cols, middle_rows = ((p[:-1, :-1] + p[1:, :-1] + p[:-1, 1:] + p[1:, 1:]) / 4 for p in (cols, rows))
    expected = 2 * middle_cols - 3 * middle_rows + 7
    # 16 pieces of about one pixel each, off by at most half a step of 2 or 3, that average out in part.
    slack = 1e-9 if turn % 90 == 0 else 0.5 * (2 + 3) / 4
    assert np.abs(found - expected).max() < slack


def askew(degrees: float, *, scale: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners of square cells about the middle of an 80 x 80 raster, turned."""
    row, col = np.mgrid[: size + 1, : size + 1] - size / 2
    angle = math.radians(degrees)
    cosine, sine = round(math.cos(angle), 15), round(math.sin(angle), 15)
    return 40 + scale * (cosine * col - sine * row), 40 + scale * (sine * col + cosine * row)


def test_average_of_an_askew_cell_is_near_its_true_mean() -> None:
    """Pieces stand for the turned square: compared with 400 samples a cell of a smooth field."""
    row, col = np.mgrid[:80, :80] + 0.5
    field = np.sin(col / 9) * np.cos(row / 7)
    cols, rows = askew(33.0, scale=4.0, size=10)
    found, _ = resample(field, None, cols, rows, "average", nodata=math.nan)
    share = (np.arange(20) + 0.5) / 20
    for i, j in ((0, 0), (3, 7), (9, 9)):
        u, v = np.meshgrid(share, share)
        x, y = (p[i, j] + u * (p[i, j + 1] - p[i, j]) + v * (p[i + 1, j] - p[i, j]) for p in (cols, rows))
        # Slopes are below 1/9 and 1/7 a pixel; pixels are steps of that height, averaged over 16 of them.
        assert abs(found[i, j] - np.mean(np.sin(x / 9) * np.cos(y / 7))) < 0.02


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([0, 1], 0), ([1, 2], 2), ([2, 3], 2), ([-1, 0], 0), ([-2, -1], -2), ([-3, -2], -2)],
)
def test_halves_are_rounded_to_even(numbers: list[int], expected: int) -> None:
    """P-3: midway between two pixels, for bilinear and for average."""
    values = np.array([numbers, numbers], np.int16)
    found, _ = resample(values, None, np.array([1.0]), np.array([0.5]), "bilinear", nodata=99)
    assert found[0, 0] == expected
    found, _ = resample(values, None, np.array([0.0, 2.0]), np.array([0.0, 1.0]), "average", nodata=99)
    assert found[0, 0] == expected


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_cubic_overshoot_saturates(dtype: str) -> None:
    """P-3: an edge from the lowest to the highest value overshoots by 1/16 of the range on both sides."""
    info = np.iinfo(dtype)
    values = np.full((8, 8), info.min, dtype)
    values[:, 4:] = info.max
    found, _ = resample(values, None, np.array([3.0, 4.0, 5.0]), np.array([4.0]), "cubic", is_nodata=False)
    assert found[0, 0] == info.min
    assert found[0, 2] == info.max
    assert found[0, 1] == round((int(info.min) + int(info.max)) / 2)


@pytest.mark.parametrize(
    ("values", "nodata", "expected"),
    [
        (np.array([[99, 101]], np.uint8), 100, 101),  # exactly nodata: up
        (np.array([[99, 100.5]], np.float32), 99.75, float(np.nextafter(np.float32(99.75), np.float32(100)))),
        (np.array([[254, 254]], np.uint8), 254, 255),
        (np.array([[255, 255]], np.uint8), 255, 254),
        (np.array([[0, 0]], np.uint8), 0, 1),
        (np.array([[-1, 0]], np.int16), 0, -1),  # -0.5 is rounded to 0 from below
    ],
)
def test_a_result_never_turns_into_nodata(values: np.ndarray, nodata: float, expected: float) -> None:
    """P-1: a valid result that equals nodata is moved by one step towards the exact result."""
    for method, cols, rows in (
        ("bilinear", np.array([1.0]), np.array([0.5])),
        ("average", np.array([0.0, 2.0]), np.array([0.0, 1.0])),
    ):
        found, valid = resample(values, None, cols, rows, method, nodata=nodata)
        assert (found[0, 0], valid[0, 0]) == (expected, True)
        found, _ = resample(values, None, cols, rows, method, nodata=nodata, is_nodata=False)
        assert found[0, 0] == nodata


@pytest.mark.parametrize("method", POINTWISE)
def test_an_infinity_next_door_does_not_leak(method: str) -> None:
    """B11: a neighbour of weight 0 does not count, even where it is infinite."""
    values = np.arange(64, dtype=np.float64).reshape(8, 8)
    values[:, 5:] = math.inf
    values[5:] = -math.inf
    found, valid = resample(values, None, np.array([4.5]), np.array([4.5]), method, nodata=math.nan)
    assert (found[0, 0], valid[0, 0]) == (36.0, True)


def test_infinities_of_both_signs_are_no_data() -> None:
    """B11."""
    values = np.array([[math.inf, -math.inf], [math.inf, math.inf]])
    cols, rows = np.array([1.0]), np.array([0.5])
    found, valid = resample(values, None, cols, rows, "bilinear", nodata=-1)
    assert (found[0, 0], valid[0, 0]) == (-1, False)
    found, valid = resample(values, None, np.array([0.0, 2.0]), np.array([0.0, 1.0]), "average", nodata=-1)
    assert (found[0, 0], valid[0, 0]) == (-1, False)
    found, valid = resample(values, None, np.array([0.0, 2.0]), np.array([1.0, 2.0]), "average", nodata=-1)
    assert (found[0, 0], valid[0, 0]) == (math.inf, True)


@pytest.mark.parametrize("method", warp.METHODS)
def test_what_stands_in_invalid_pixels_does_not_matter(method: str) -> None:
    """P-1: NaN, infinity or a large number under the mask never reaches a result."""
    values, valid = scene("float64", holes=0.3)
    cols, rows = np.linspace(-1, 32, 40), np.linspace(-1, 24, 40)
    found = []
    for hidden in (0.0, 1e300, math.nan, math.inf):
        values[~valid] = hidden
        found.append(resample(values, valid, cols, rows, method, nodata=-5))
    for other in found[1:]:
        np.testing.assert_array_equal(other[0], found[0][0])
        np.testing.assert_array_equal(other[1], found[0][1])


def test_cubic_falls_back_to_bilinear_where_a_neighbour_is_missing() -> None:
    """The docstring's rule: one of sixteen missing, or beyond the edge."""
    values, _ = scene("float64", (12, 12), holes=0)
    valid = np.ones((12, 12), bool)
    at = {"cols": np.array([5.7]), "rows": np.array([6.2])}
    cubic, _ = resample(values, valid, at["cols"], at["rows"], "cubic", nodata=math.nan)
    bilinear, _ = resample(values, valid, at["cols"], at["rows"], "bilinear", nodata=math.nan)
    assert cubic[0, 0] != bilinear[0, 0]
    for row in range(4, 8):
        for col in range(4, 8):
            holed = valid.copy()
            holed[row, col] = False
            found, found_valid = resample(values, holed, at["cols"], at["rows"], "cubic", nodata=math.nan)
            if (row, col) == (6, 5):
                assert not found_valid[0, 0]
                continue
            expected, _ = resample(values, holed, at["cols"], at["rows"], "bilinear", nodata=math.nan)
            assert found[0, 0] == expected[0, 0]


@pytest.mark.parametrize("method", warp.METHODS)
def test_unknown_methods_are_refused(method: str) -> None:
    with pytest.raises(ParameterError) as caught:
        resample(np.zeros((2, 2)), None, np.array([1.0]), np.array([1.0]), method.upper())
    assert (caught.value.parameter, caught.value.found) == ("resampling", method.upper())


@settings(max_examples=40)
@given(
    valid=arrays.arrays(np.bool_, (24, 30), elements=st.booleans(), fill=st.just(True)),
    left=st.integers(0, 25),
    top=st.integers(0, 20),
    method=st.sampled_from(warp.METHODS),
    dtype=st.sampled_from(["uint8", "float32"]),
)
def test_a_window_of_the_source_gives_the_same_bits(
    valid: np.ndarray, left: int, top: int, method: str, dtype: str
) -> None:
    """P-10: a target block read with its margin equals the same block of the whole raster's warp."""
    values, _ = scene(dtype, (24, 30), holes=0)
    extra = 1 if method == "average" else 0
    col, row = left + np.arange(5 + extra) * 0.93 + 0.21, top + np.arange(4 + extra) * 1.07 + 0.4
    rows, cols = np.meshgrid(row, col, indexing="ij")
    margin = warp.MARGIN[method]
    needed = Window.from_bounds(
        row_start=math.floor(row.min()) - margin,
        row_stop=math.floor(row.max()) + margin + 1,
        col_start=math.floor(col.min()) - margin,
        col_stop=math.floor(col.max()) + margin + 1,
    ).intersect(Window(0, 0, 24, 30))
    found = warp.resample(
        values[needed.slices],
        valid[needed.slices],
        window=needed,
        cols=cols,
        rows=rows,
        method=method,
        nodata=3,
        is_nodata=False,
    )
    whole = resample(values, valid, cols, rows, method, nodata=3, is_nodata=False)
    np.testing.assert_array_equal(found[0], whole[0])
    np.testing.assert_array_equal(found[1], whole[1])


@pytest.mark.parametrize("method", warp.METHODS)
@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_gdal_agrees_on_grids_of_one_crs(method: str, holes: float) -> None:
    """Shifted by a fraction and twice as fine (average: 2.5 times as coarse), where GDAL's kernels are the same.

    GDAL takes a pixel's validity from the pixel under its centre too. `average` is compared where both hold data:
    GDAL drops cells that only a sliver of a valid pixel touches.
    """
    values, valid = scene("float32", (60, 70), holes=holes)
    values[~valid] = -9999
    source = Affine(10, 0, 500000, 0, -10, 4000000)
    scale = 2.5 if method == "average" else 0.5
    size = 20 if method == "average" else 90
    target = source @ Affine.translation(7.3, 5.6) @ Affine.scale(scale)
    expected = np.full((size, size), -9999, np.float32)
    rasterio.warp.reproject(
        values,
        expected,
        src_transform=source,
        dst_transform=target,
        src_crs="EPSG:32618",
        dst_crs="EPSG:32618",
        src_nodata=-9999,
        dst_nodata=-9999,
        resampling=GDAL_METHODS[method],
        num_threads=1,
    )
    extra = 1 if method == "average" else 0
    steps = np.arange(size + extra) + (0 if extra else 0.5)
    found, found_valid = resample(values, valid, 7.3 + scale * steps, 5.6 + scale * steps, method, nodata=-9999)
    if method != "average":
        np.testing.assert_array_equal(found_valid, expected != -9999)
    both = found_valid & (expected != -9999)
    assert both.mean() > 0.8
    np.testing.assert_allclose(found[both], expected[both], rtol=1e-5, atol=1e-3)


def utm_to_mercator(size: int = 200) -> tuple[Mapping, np.ndarray, np.ndarray]:
    """A UTM raster, a Web Mercator grid well inside it, and pyproj's exact source coordinates of the target."""
    source = Grid((600, 600), Affine(30, 0, 400000, 0, -30, 5000000), crs.from_code("EPSG:32618"))
    x, y = oracle.carried(
        np.array([409000.0]),
        np.array([4991000.0]),
        crs=pyproj.CRS("EPSG:32618"),
        source=pyproj.CRS("EPSG:3857"),
    )
    cell = 45.0
    corner = (float(x[0]) - cell * size / 2, float(y[0]) + cell * size / 2)
    target = Grid((size, size), Affine(cell, 0, corner[0], 0, -cell, corner[1]), crs.from_code("EPSG:3857"))
    exact = oracle.centres(
        target.shape,
        tuple(target.transform)[:6],
        crs=pyproj.CRS("EPSG:3857"),
        source=pyproj.CRS("EPSG:32618"),
    )
    return Mapping(target, source), *exact


def curved(col: np.ndarray, row: np.ndarray) -> np.ndarray:
    """A paraboloid in source pixels: slopes up to 1.3 a pixel, second derivatives 0.002 and 0.001."""
    result: np.ndarray = 0.001 * col**2 + 0.0005 * row**2 + 0.1 * col + 0.1 * row + 3
    return result


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_a_known_field_comes_out_right_across_crs(method: str) -> None:
    """UTM to Web Mercator against the field itself at pyproj's exact positions.

    A position may be 0.01 px off, at a slope of at most 1.3 + 0.7 a pixel. Bilinear interpolation adds (fxx + fyy) / 8;
    Catmull-Rom reproduces a paraboloid exactly.
    """
    mapping, x, y = utm_to_mercator()
    row, col = np.mgrid[:600, :600] + 0.5
    cols, rows = mapping.centres(mapping.target.window)
    found, valid = resample(curved(col, row), None, cols, rows, method, nodata=math.nan)
    assert valid.all()
    expected = curved(*oracle.in_pixels(x, y, tuple(mapping.source.transform)[:6]))
    slack = 0.01 * (1.3 + 0.7) + ((0.002 + 0.001) / 8 if method == "bilinear" else 0)
    assert np.abs(found - expected).max() < slack


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_gdal_agrees_across_crs_on_a_smooth_field(method: str) -> None:
    """Independent of our transformation: GDAL may be 0.125 px off, we 0.01, both at a slope of at most 2 a pixel."""
    mapping, _, _ = utm_to_mercator()
    row, col = np.mgrid[:600, :600] + 0.5
    field = curved(col, row)
    cols, rows = mapping.centres(mapping.target.window)
    found, _ = resample(field, None, cols, rows, method, nodata=math.nan)
    expected = np.zeros(found.shape)
    rasterio.warp.reproject(
        field,
        expected,
        src_transform=mapping.source.transform,
        dst_transform=mapping.target.transform,
        src_crs="EPSG:32618",
        dst_crs="EPSG:3857",
        resampling=GDAL_METHODS[method],
        num_threads=1,
        XSCALE=1,
        YSCALE=1,
    )
    assert np.abs(found - expected).max() < (0.125 + 0.01) * 2 + 0.003 / 8


def test_average_across_crs_is_the_mean_of_the_field_over_the_cell() -> None:
    """Coarser cells, a little askew: compared with 64 exact samples a cell of a plane."""
    source = Grid((600, 600), Affine(30, 0, 400000, 0, -30, 5000000), crs.from_code("EPSG:32618"))
    fine, x, y = utm_to_mercator(size=200)
    target = fine.target.coarsen(8)
    mapping = Mapping(target, source)
    row, col = np.mgrid[:600, :600] + 0.5
    cols, rows = mapping.corners(target.window)
    found, valid = resample(2 * col - row, None, cols, rows, "average", nodata=math.nan)
    assert valid.all()
    exact_col, exact_row = oracle.in_pixels(x, y, tuple(source.transform)[:6])
    expected = (2 * exact_col - exact_row).reshape(25, 8, 25, 8).mean(axis=(1, 3))
    # Cells of about 8.5 pixels: an edge that cuts a pixel of step 2 counts for 1/8.5 of it at most, on both sides.
    assert np.abs(found - expected).max() < 2 * 2 / 8.5


@pytest.mark.parametrize("method", warp.METHODS)
def test_no_seam_between_blocks(method: str) -> None:
    """P-11: blocks of several sizes, each with its own positions and its own window of the source, equal one warp."""
    mapping, _, _ = utm_to_mercator()
    values, valid = scene("uint8", (600, 600), holes=0.05)
    whole = _block(mapping, values, valid, mapping.target.window, method)
    for side in (32, 50, 128):
        found = np.zeros_like(whole[0]), np.zeros_like(whole[1])
        for window in mapping.target.window.split(height=side, width=side):
            found[0][window.slices], found[1][window.slices] = _block(mapping, values, valid, window, method)
        np.testing.assert_array_equal(found[0], whole[0])
        np.testing.assert_array_equal(found[1], whole[1])


def _block(
    mapping: Mapping, values: np.ndarray, valid: np.ndarray, window: Window, method: str
) -> tuple[np.ndarray, np.ndarray]:
    cols, rows = mapping.corners(window) if method == "average" else mapping.centres(window)
    margin = warp.MARGIN[method]
    needed = Window.from_bounds(
        row_start=int(np.floor(rows.min())) - margin,
        row_stop=int(np.floor(rows.max())) + margin + 1,
        col_start=int(np.floor(cols.min())) - margin,
        col_stop=int(np.floor(cols.max())) + margin + 1,
    ).intersect(mapping.source.window)
    return warp.resample(
        values[needed.slices],
        valid[needed.slices],
        window=needed,
        cols=cols,
        rows=rows,
        method=method,
        nodata=0,
        is_nodata=False,
        turn=mapping.turn,
    )


@pytest.mark.parametrize("west", [-180.0, 0.0, -30.0, 7.3])
@pytest.mark.parametrize("size", [256, 300])
def test_average_does_not_smear_across_the_seam_of_longitudes(west: float, size: int) -> None:
    """P-12, B19: the column of the target that holds, or ends at, the seam averages its own pixels, not the globe."""
    half = math.pi * 6378137
    target = Grid(
        (4, size), Affine(2 * half / size, 0, -half, 0, -2 * half / size, half / 50), crs.from_code("EPSG:3857")
    )
    source = Grid((360, 720), Affine(0.5, 0, west, 0, -0.5, 90), crs.from_code("EPSG:4326"))
    mapping = Mapping(target, source)
    cols, rows = mapping.corners(target.window)
    # Far apart from each other on the two sides of the seam, alike elsewhere.
    values = np.tile(np.cos(np.radians(np.arange(720) / 2)), (360, 1))
    found, valid = resample(values, None, cols, rows, "average", nodata=math.nan, turn=mapping.turn)
    assert valid.all()
    edges = (-180 + 360 / size * np.arange(size + 1) - west) / 0.5
    thrice = np.tile(values[:1], (1, 3))
    for col in range(size):
        left = edges[col] % 720 + 720
        right = left + 720 / size
        expected = oracle.box_mean(thrice, np.ones(thrice.shape, bool), left=left, right=right, top=0, bottom=1)
        assert abs(found[1, col] - expected) < 0.01 * 0.01  # 0.01 px at slopes below 0.0088 a pixel


def test_average_leaves_the_edge_of_a_regional_raster_sharp() -> None:
    """P-12: degrees west of a regional raster wrap to the far end of the turn, its first column must not notice."""
    source = Grid((20, 20), Affine(1, 0, -10, 0, -1, 10), crs.from_code("EPSG:4326"))
    target = Grid((8, 12), Affine(2, 0, -13, 0, -2, 9), crs.from_code("EPSG:4326"))
    mapping = Mapping(target, source)
    cols, rows = mapping.corners(target.window)
    values = np.tile(np.arange(20.0), (20, 1))
    found, valid = resample(values, None, cols, rows, "average", nodata=math.nan, turn=mapping.turn)
    # Target columns span -13..-11 (outside), -11..-9 (half inside: column 0), -9..-7 (columns 1 and 2) ...
    assert valid[0].tolist() == [False] + [True] * 11
    assert found[0, 1:].tolist() == [0.0, *(1.5 + 2 * step for step in range(9)), 19.0]
