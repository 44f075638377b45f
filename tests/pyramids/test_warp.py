"""Resampling against a slow oracle, against GDAL, and against fields whose values are known everywhere.

P-1, P-3 (validity and rounding), P-8 (flags), P-10, P-11 (windows and seams), P-12 (antimeridian); B11, B12.
"""

from __future__ import annotations

import functools
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
from pyramids.control import Mapping, Positions

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
WIDE = ("int64", "uint64")
POINTWISE = warp.POINT_METHODS
AREAS = warp.AREA_METHODS
PICKING = ("nearest", "min", "max", "mode", "bit-or")  # results are values of the source, or bits of them
GDAL_METHODS = {method: Resampling[method] for method in warp.METHODS if method not in ("median", "bit-or")}
GDAL_METHODS["median"] = Resampling.med


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
    found, found_valid = warp.resample(
        values[None],
        None if valid is None else valid[None],
        window=Window(0, 0, *values.shape),
        where=Positions.from_arrays(cols, rows),
        method=method,
        nodata=[nodata],
        is_nodata=is_nodata,
        turn=turn,
    )
    return found[0], found_valid[0]


def methods_of(*dtypes: str) -> list[tuple[str, str]]:
    """Pairs of a method and a dtype that go together."""
    return [(method, dtype) for method in warp.METHODS for dtype in dtypes if method != "bit-or" or dtype[0] != "f"]


def is_area(method: str) -> bool:
    """Tell whether a method takes corners of pixels, one more along each axis than there are pixels."""
    return method in AREAS


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
        near_half = np.abs(exact - np.floor(exact) - 0.5) < 1e-6 * max(1.0, float(np.abs(values).max()) * 1e-9)
        np.testing.assert_array_equal(found[~near_half], expected[~near_half])


@pytest.mark.parametrize("method", ["nearest", *AREAS])
@pytest.mark.parametrize("dtype", WIDE)
def test_64_bit_integers_that_are_picked_keep_all_their_digits(dtype: str, method: str) -> None:
    """P-3: beyond 2**53, where float64 has no odd numbers; what is averaged passes through float64."""
    values = np.array([[2**60 + 1, 2**60 + 3], [2**60 + 5, 2**60 + 5]], dtype)
    whole = np.array([0.0, 2.0]) if is_area(method) else np.array([1.5])
    found, _ = resample(values, None, whole, whole, method)
    expected = {
        "nearest": 2**60 + 5,
        "min": 2**60 + 1,
        "max": 2**60 + 5,
        "mode": 2**60 + 5,
        "bit-or": 2**60 + 7,
        # Of three values the middle one, which covers the area from a quarter to a half, meets half of it exactly:
        # the mean of two, within the spacing of float64 there.
        "median": 2**60 + 4,
        "average": 2**60 + 3.5,
        "sum": 2**62 + 14,
    }[method]
    slack = 0 if method in PICKING else 2 ** (62 - 52)
    assert abs(int(found[0, 0]) - expected) <= slack


@pytest.mark.parametrize(("method", "dtype"), methods_of("uint8", "int16", "float32", "uint64"))
def test_the_pixel_grid_itself_comes_out_unchanged(method: str, dtype: str) -> None:
    """Weights at pixel centres are exactly 1 and 0. Integers of 64 bits pass through float64 where they are weighed."""
    for high in (None, 2**50):
        values, valid = scene(dtype)
        if high is not None and values.dtype.itemsize == 8:
            values %= np.uint64(high)
        elif values.dtype.itemsize == 8 and method not in PICKING:
            continue
        offset, extra = (0.0, 1) if is_area(method) else (0.5, 0)
        cols, rows = np.arange(31 + extra) + offset, np.arange(23 + extra) + offset
        found, found_valid = resample(values, valid, cols, rows, method, nodata=7, is_nodata=False)
        np.testing.assert_array_equal(found_valid, valid)
        np.testing.assert_array_equal(found[valid], values[valid])
        assert (found[~valid] == 7).all()


@pytest.mark.parametrize("method", POINTWISE)
def test_a_target_pixel_is_valid_exactly_where_the_pixel_under_its_centre_is(method: str) -> None:
    """P-1: interpolation neither grows nor erodes data, at holes and at the raster's edge."""
    values, valid = scene("float32", holes=0.2)
    cols, rows = anywhere(values.shape, (60, 60))
    _, found = resample(values, valid, cols, rows, method, nodata=math.nan)
    inside = (cols >= 0) & (cols < 31) & (rows >= 0) & (rows < 23)
    under = valid[np.where(inside, rows, 0).astype(int), np.where(inside, cols, 0).astype(int)]
    np.testing.assert_array_equal(found, inside & under)


@pytest.mark.parametrize(("method", "dtype"), [pair for pair in methods_of(*DTYPES, *WIDE) if is_area(pair[0])])
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_area_methods_agree_with_the_oracle(dtype: str, method: str, holes: float) -> None:
    """P-1, P-3, P-8: exact overlap of intervals, rows of unequal height as in Mercator, holes and edges left out.

    Values are few, so that classes repeat under a cell; sums of the larger dtypes saturate.
    """
    values, valid = scene(dtype, holes=holes)
    values = np.random.default_rng(3).choice(values.ravel()[:7], values.shape)
    rng = np.random.default_rng(1)
    cols = -3.3 + np.cumsum(rng.uniform(0.2, 4, 14))
    rows = -2.7 + np.cumsum(rng.uniform(0.2, 5, 12))
    nodata = math.nan if values.dtype.kind == "f" else 0
    found, found_valid = resample(values, valid, cols, rows, method, nodata=nodata, is_nodata=False)
    exact = by_boxes(values, valid, cols, rows, method)
    has_data = np.array([[number == number for number in line] for line in exact])  # noqa: PLR0124 - NaN
    np.testing.assert_array_equal(found_valid, has_data)
    assert (~found_valid).any(), "some cells must lie outside"
    assert_stored(found, exact, nodata=nodata, is_picked=method in PICKING)


@pytest.mark.parametrize("method", AREAS)
def test_cells_within_a_pixel_and_cells_of_whole_pixels(method: str) -> None:
    """P-1: ties are exact there: half a cell is 7, half is 9; the mode is the smallest, the median the mean of both."""
    values = np.array([[7, 7, 9, 9], [9, 9, 7, 7]], np.uint8)
    cols, rows = np.array([0.0, 0.25, 1.0, 3.0, 4.0]), np.array([0.0, 1.0, 2.0])
    found, valid = resample(values, None, cols, rows, method, nodata=0)
    assert valid.all()
    both = {"average": 8, "sum": 16, "min": 7, "max": 9, "mode": 7, "median": 8, "bit-or": 15}[method]
    first = {"sum": [2, 5]}.get(method, [7, 7])  # 0.25 and 0.75 of 7: 1.75 and 5.25
    other = {"sum": [2, 7]}.get(method, [9, 9])  # 2.25 and 6.75
    ends = (9, 7)
    assert found.tolist() == [[*first, both, ends[0]], [*other, both, ends[1]]]


def by_boxes(
    values: np.ndarray, valid: np.ndarray, cols: np.ndarray, rows: np.ndarray, method: str
) -> list[list[float]]:
    """Exact results of an area method for upright cells between positions along each axis."""
    return [
        [
            oracle.box(values, valid, method, left=cols[j], right=cols[j + 1], top=rows[i], bottom=rows[i + 1])
            for j in range(len(cols) - 1)
        ]
        for i in range(len(rows) - 1)
    ]


def assert_stored(found: np.ndarray, exact: list[list[float]], *, nodata: float, is_picked: bool) -> None:
    """Results in a dtype are exact ones, rounded; picked values to the bit."""
    if is_picked:
        flat = [nodata if number != number else number for line in exact for number in line]  # noqa: PLR0124 - NaN
        np.testing.assert_array_equal(found.ravel(), np.array(flat, found.dtype))
        return
    numbers = np.array(exact, np.float64)
    expected = oracle.stored(numbers, found.dtype, nodata=nodata, is_nodata=False)
    if found.dtype.kind == "f":
        # float32 rounds; in float64 hundreds of terms are added in another order, after cancelling.
        np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(found.dtype).eps, atol=1e-11)
    elif found.dtype.itemsize == 8:
        np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=1e-13)
    else:
        near_half = np.abs(numbers - np.floor(numbers) - 0.5) < 1e-6
        np.testing.assert_array_equal(found[~near_half], expected[~near_half])


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


@pytest.mark.parametrize("dtype", [*DTYPES[:6], *WIDE])
def test_sums_saturate(dtype: str) -> None:
    """P-3: four times the highest and four times the lowest value. The highest int64 and uint64 are no float64."""
    info = np.iinfo(dtype)
    for end in (info.max, info.min):
        found, valid = resample(
            np.full((2, 2), end, dtype), None, np.array([0.0, 2.0]), np.array([0.0, 2.0]), "sum", is_nodata=False
        )
        slack = 2**11 if np.dtype(dtype).itemsize == 8 else 0  # the spacing of float64 below 2**64
        assert valid.all()
        assert abs(int(found[0, 0]) - int(end)) <= slack


@pytest.mark.parametrize("method", ["cubic", "lanczos"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_overshoot_saturates(dtype: str, method: str) -> None:
    """P-3: an edge from the lowest to the highest value overshoots on both sides, by 1/16 of the range for cubic."""
    info = np.iinfo(dtype)
    values = np.full((8, 8), info.min, dtype)
    values[:, 4:] = info.max
    found, _ = resample(values, None, np.array([3.0, 4.0, 5.0]), np.array([4.0]), method, is_nodata=False)
    assert found[0, 0] == info.min
    assert found[0, 2] == info.max
    # Halfway, which is half an integer: weights that add up to 1 but for the last bit may round it either way.
    assert abs(int(found[0, 1]) - (int(info.min) + int(info.max)) / 2) == 0.5


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
def test_b11_an_infinity_next_door_does_not_leak(method: str) -> None:
    """B11: a neighbour of weight 0 does not count, even where it is infinite."""
    values = np.arange(64, dtype=np.float64).reshape(8, 8)
    values[:, 5:] = math.inf
    values[5:] = -math.inf
    found, valid = resample(values, None, np.array([4.5]), np.array([4.5]), method, nodata=math.nan)
    assert (found[0, 0], valid[0, 0]) == (36.0, True)


def test_b11_infinities_of_both_signs_are_no_data() -> None:
    """B11."""
    values = np.array([[math.inf, -math.inf], [math.inf, math.inf]])
    cols, rows = np.array([1.0]), np.array([0.5])
    found, valid = resample(values, None, cols, rows, "bilinear", nodata=-1)
    assert (found[0, 0], valid[0, 0]) == (-1, False)
    found, valid = resample(values, None, np.array([0.0, 2.0]), np.array([0.0, 1.0]), "average", nodata=-1)
    assert (found[0, 0], valid[0, 0]) == (-1, False)
    found, valid = resample(values, None, np.array([0.0, 2.0]), np.array([1.0, 2.0]), "average", nodata=-1)
    assert (found[0, 0], valid[0, 0]) == (math.inf, True)


@pytest.mark.parametrize("method", [method for method in warp.METHODS if method != "bit-or"])
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


@pytest.mark.parametrize(("method", "first", "last"), [("cubic", 4, 8), ("lanczos", 3, 9)])
def test_wide_kernels_fall_back_to_bilinear_where_a_neighbour_is_missing(method: str, first: int, last: int) -> None:
    """The docstring's rule: one of sixteen or of thirty-six missing; one beyond those does not matter."""
    values, _ = scene("float64", (12, 12), holes=0)
    valid = np.ones((12, 12), bool)
    at = {"cols": np.array([5.7]), "rows": np.array([6.2])}
    wide, _ = resample(values, valid, at["cols"], at["rows"], method, nodata=math.nan)
    bilinear, _ = resample(values, valid, at["cols"], at["rows"], "bilinear", nodata=math.nan)
    assert wide[0, 0] != bilinear[0, 0]
    for row in range(first - 1, last + 1):
        for col in range(first - 1, last + 1):
            holed = valid.copy()
            holed[row, col] = False
            found, found_valid = resample(values, holed, at["cols"], at["rows"], method, nodata=math.nan)
            if not (first <= row < last and first <= col < last):
                assert found[0, 0] == wide[0, 0]
                continue
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_of_floats_are_not_united(dtype: str) -> None:
    """P-8."""
    with pytest.raises(ParameterError) as caught:
        resample(np.zeros((2, 2), dtype), None, np.array([0.0, 2.0]), np.array([0.0, 2.0]), "bit-or")
    assert (caught.value.parameter, caught.value.found) == ("resampling", f"bit-or of {dtype}")


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("method", "dtype"), methods_of("uint8", "float32"))
def test_slices_that_are_warped_together_are_those_warped_alone(method: str, dtype: str, shared: bool) -> None:
    """P-10: with a mask each or one for all, each its own nodata; written at a place of a larger array, no further."""
    slices = np.stack([scene(dtype)[0], scene(dtype)[0][::-1], scene(dtype)[0][:, ::-1]])
    masks = np.random.default_rng(4).random((1 if shared else 3, *slices.shape[1:])) < 0.8
    nodata = [3, 5, 250]
    offset, extra = (0.0, 1) if is_area(method) else (0.5, 0)
    cols, rows = 1.3 + 1.7 * (np.arange(12 + extra) + offset), 0.4 + 2.1 * (np.arange(9 + extra) + offset)
    full_rows, full_cols = np.meshgrid(rows, cols, indexing="ij")
    out = np.full((3, 20, 30), 77, dtype), np.full((3, 20, 30), True)
    warp.resample(
        np.ascontiguousarray(slices),
        masks,
        window=Window(0, 0, *slices.shape[1:]),
        where=Positions.from_arrays(full_cols, full_rows),
        method=method,
        nodata=nodata,
        out=out,
        place=(4, 7),
    )
    here = np.s_[4 : 4 + 9, 7 : 7 + 12]
    for number in range(3):
        mask = masks[0 if shared else number]
        alone = resample(np.ascontiguousarray(slices[number]), mask, cols, rows, method, nodata=nodata[number])
        np.testing.assert_array_equal(out[0][number][here], alone[0])
        np.testing.assert_array_equal(out[1][number][here], alone[1])
        out[0][number][here], out[1][number][here] = 77, True
    assert (out[0] == 77).all()
    assert out[1].all()


@settings(max_examples=60)
@given(
    valid=arrays.arrays(np.bool_, (24, 30), elements=st.booleans(), fill=st.just(True)),
    left=st.integers(0, 25),
    top=st.integers(0, 20),
    pair=st.sampled_from(methods_of("uint8", "float32")),
)
def test_a_window_of_the_source_gives_the_same_bits(
    valid: np.ndarray, left: int, top: int, pair: tuple[str, str]
) -> None:
    """P-10: a target block read with its margin equals the same block of the whole raster's warp."""
    method, dtype = pair
    values, _ = scene(dtype, (24, 30), holes=0)
    extra = 1 if is_area(method) else 0
    col, row = left + np.arange(5 + extra) * 0.93 + 0.21, top + np.arange(4 + extra) * 1.07 + 0.4
    rows, cols = np.meshgrid(row, col, indexing="ij")
    where = Positions.from_arrays(cols, rows)
    needed = warp.needed(where, method).intersect(Window(0, 0, 24, 30))
    found = warp.resample(
        np.ascontiguousarray(values[needed.slices])[None],
        np.ascontiguousarray(valid[needed.slices])[None],
        window=needed,
        where=where,
        method=method,
        nodata=[3],
        is_nodata=False,
    )
    whole = resample(values, valid, cols, rows, method, nodata=3, is_nodata=False)
    np.testing.assert_array_equal(found[0][0], whole[0])
    np.testing.assert_array_equal(found[1][0], whole[1])


def by_gdal(values: np.ndarray, target: Affine, size: int, method: str, *, source: Affine, nodata: float) -> np.ndarray:
    """GDAL's warp within one CRS."""
    expected = np.full((size, size), nodata, values.dtype)
    rasterio.warp.reproject(
        values,
        expected,
        src_transform=source,
        dst_transform=target,
        src_crs="EPSG:32618",
        dst_crs="EPSG:32618",
        src_nodata=nodata,
        dst_nodata=nodata,
        resampling=GDAL_METHODS[method],
        num_threads=1,
    )
    return expected


METRES = Affine(10, 0, 500000, 0, -10, 4000000)


@pytest.mark.parametrize("method", POINTWISE)
@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_gdal_agrees_where_kernels_are_the_same(method: str, holes: float) -> None:
    """Shifted by a fraction and twice as fine. GDAL takes a pixel's validity from the pixel under its centre too.

    Where one of 36 pixels is missing, GDAL's lanczos weighs the others, negative weights and all; ours is bilinear
    there. So lanczos is compared where all are present.
    """
    values, valid = scene("float32", (60, 70), holes=holes)
    values[~valid] = -9999
    target = METRES @ Affine.translation(7.3, 5.6) @ Affine.scale(0.5)
    expected = by_gdal(values, target, 90, method, source=METRES, nodata=-9999)
    cols, rows = 7.3 + 0.5 * (np.arange(90) + 0.5), 5.6 + 0.5 * (np.arange(90) + 0.5)
    found, found_valid = resample(values, valid, cols, rows, method, nodata=-9999)
    np.testing.assert_array_equal(found_valid, expected != -9999)
    compared = found_valid.copy()
    if method == "lanczos":
        for i, j in np.argwhere(compared):
            top, left = math.floor(rows[i] - 0.5) - 2, math.floor(cols[j] - 0.5) - 2
            compared[i, j] = valid[max(0, top) : top + 6, max(0, left) : left + 6].sum() == 36
    assert compared.sum() > 100
    np.testing.assert_allclose(found[compared], expected[compared], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("holes", [0.0, 0.1])
@pytest.mark.parametrize(("scale", "shift"), [(3.0, (0.0, 0.0)), (2.5, (0.0, 0.0)), (2.5, (7.3, 5.6))])
@pytest.mark.parametrize("method", ["average", "sum", "min", "max", "mode", "median"])
def test_gdal_agrees_on_areas(method: str, scale: float, shift: tuple[float, float], holes: float) -> None:
    """Whole pixels and parts of pixels, by factors of 3 and 2.5.

    GDAL's median counts pixels that are touched, whatever their share, and takes the lower of two in the middle: the
    same as ours for an odd number of whole pixels. Its mode counts them likewise before 3.12, and weighs them since;
    which one of equal ones it takes is not said. So these two are compared where there is one answer.
    """
    is_whole = scale == 3.0 and holes == 0.0
    if method == "median" and not is_whole:
        pytest.skip("GDAL gives each pixel that it touches the same weight")
    if method == "mode" and scale != 3.0 and tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) < (3, 12):
        pytest.skip("GDAL before 3.12 gives each pixel that it touches the same weight")
    rng = np.random.default_rng(8)
    few = method in ("mode", "median")
    values = rng.integers(1, 5, (60, 70)).astype(np.uint8) if few else rng.normal(scale=100, size=(60, 70))
    valid = rng.random((60, 70)) >= holes
    nodata = 0 if few else -9999
    values[~valid] = nodata
    target = METRES @ Affine.translation(*shift) @ Affine.scale(scale)
    expected = by_gdal(values, target, 16, method, source=METRES, nodata=nodata)
    cols, rows = shift[0] + scale * np.arange(17), shift[1] + scale * np.arange(17)
    found, found_valid = resample(values, valid, cols, rows, method, nodata=nodata)
    np.testing.assert_array_equal(found_valid, expected != nodata)
    compared = np.ones((16, 16), bool)
    if method == "mode":
        for i, j in np.ndindex(16, 16):
            box = {"left": cols[j], "right": cols[j + 1], "top": rows[i], "bottom": rows[i + 1]}
            areas = [oracle.box((values == kind).astype(float), valid, "sum", **box) for kind in range(1, 5)]
            compared[i, j] = np.ptp(sorted(areas)[-2:]) > 1e-6
        assert 0.5 < compared.mean() < 1
    # Sums of a cell's 16 pixels, whose corners GDAL computes from coordinates of millions of metres.
    np.testing.assert_allclose(found[compared], expected[compared], rtol=0, atol=1e-6)


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
    cols, rows = mapping.centres(mapping.target.window).to_arrays()
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
    cols, rows = mapping.centres(mapping.target.window).to_arrays()
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
    cols, rows = mapping.corners(target.window).to_arrays()
    found, valid = resample(2 * col - row, None, cols, rows, "average", nodata=math.nan)
    assert valid.all()
    exact_col, exact_row = oracle.in_pixels(x, y, tuple(source.transform)[:6])
    expected = (2 * exact_col - exact_row).reshape(25, 8, 25, 8).mean(axis=(1, 3))
    # Cells of about 8.5 pixels: an edge that cuts a pixel of step 2 counts for 1/8.5 of it at most, on both sides.
    assert np.abs(found - expected).max() < 2 * 2 / 8.5


# Source CRS, transform and shape; Web Mercator's cell and shape; whether columns and rows are two tables. The target is
# centred on the source's corner (0.2, 0.3), so that a part of it lies beyond, and is off the lattice of positions.
SEAMS = {
    "utm": ("EPSG:32618", (30, 0, 400000, 0, -30, 5000000), (400, 420), 47.0, (190, 210), False),
    "two tables": ("EPSG:4326", (0.01, 0, -10, 0, -0.01, 60), (300, 320), 1300.0, (190, 210), True),
    "rotated": ("EPSG:32759", (8, 6, 330000, 6, -8, 7850000), (300, 300), 11.0, (190, 210), False),
}


@functools.cache
def seam(name: str) -> Mapping:
    """One of the cases above."""
    code, transform, shape, cell, size, is_separable = SEAMS[name]
    source = Grid(shape, Affine(*transform), crs.from_code(code))
    corner = source.transform @ (0.2 * shape[1], 0.3 * shape[0])
    x, y = oracle.carried(
        *(np.array([value]) for value in corner), crs=pyproj.CRS(code), source=pyproj.CRS("EPSG:3857")
    )
    left, top = float(x[0]) - size[1] / 2 * cell, float(y[0]) + size[0] / 2 * cell
    mapping = Mapping(Grid(size, Affine(cell, 0, left, 0, -cell, top), crs.from_code("EPSG:3857")), source)
    assert mapping.is_separable == is_separable
    return mapping


def block(
    mapping: Mapping, values: np.ndarray, valid: np.ndarray | None, window: Window, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """One block of a warp, from no more of the source than it needs."""
    where = warp.positions(mapping, window, method)
    needed = warp.needed(where, method).intersect(mapping.source.window)
    if needed.is_empty:
        return np.full(window.shape, 200, values.dtype), np.zeros(window.shape, bool)
    found, found_valid = warp.resample(
        np.ascontiguousarray(values[needed.slices])[None],
        None if valid is None else np.ascontiguousarray(valid[needed.slices])[None],
        window=needed,
        where=where,
        method=method,
        nodata=[200],
        turn=mapping.turn,
    )
    return found[0], found_valid[0]


def seam_values(method: str, dtype: str, shape: tuple[int, int]) -> np.ndarray:
    """Noise; floats with infinities here and there."""
    values, _ = scene(dtype, shape, holes=0)
    if values.dtype.kind == "f":
        rng = np.random.default_rng(12)
        values[rng.random(shape) < 0.02] = math.inf
        values[rng.random(shape) < 0.02] = -math.inf
    if method in ("mode", "median"):
        values[::2] = values[1::2]
    return values


@pytest.mark.parametrize("name", SEAMS)
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize(("method", "dtype"), methods_of("uint8", "float32"))
def test_no_seam_between_blocks(name: str, method: str, dtype: str, is_masked: bool) -> None:
    """P-11: blocks of several sizes, each with its own positions and its own window of the source, equal one warp.

    The whole reaches beyond the source, most blocks do not: those are warped by kernels that look at no mask.
    """
    mapping = seam(name)
    values = seam_values(method, dtype, mapping.source.shape)
    valid = np.random.default_rng(2).random(values.shape) > 0.05 if is_masked else None
    whole = block(mapping, values, valid, mapping.target.window, method)
    assert 0.2 < whole[1].mean() < 1
    for side in (32, 50, 128):
        found = np.zeros_like(whole[0]), np.zeros_like(whole[1])
        for window in mapping.target.window.split(height=side, width=side):
            found[0][window.slices], found[1][window.slices] = block(mapping, values, valid, window, method)
        np.testing.assert_array_equal(found[0], whole[0])
        np.testing.assert_array_equal(found[1], whole[1])


@pytest.mark.parametrize("name", SEAMS)
@pytest.mark.parametrize(("method", "dtype"), methods_of("uint8", "int16", "float32", "float64"))
def test_a_mask_that_hides_nothing_changes_nothing(name: str, method: str, dtype: str) -> None:
    """P-11: kernels that look at a mask and kernels that do not give the same bits, infinities and nodata among them.

    A hole changes only what it touches: far from it, pixels of the kernel with a mask equal those of the one without.
    """
    mapping = seam(name)
    values = seam_values(method, dtype, mapping.source.shape)
    inside = Window(120, 120, 60, 70)  # of the target, within the source
    needed = warp.needed(warp.positions(mapping, inside, method), method)
    assert mapping.source.window.contains(needed)
    bare = block(mapping, values, None, inside, method)
    valid = np.ones(values.shape, bool)
    for found, expected in zip(block(mapping, values, valid, inside, method), bare, strict=True):
        np.testing.assert_array_equal(found, expected)
    middle = needed.row + needed.height // 2, needed.col + needed.width // 2
    valid[middle[0] - 4 : middle[0] + 5, middle[1] - 4 : middle[1] + 5] = False
    holed = block(mapping, values, valid, inside, method)
    cols, rows = mapping.centres(inside).to_arrays()
    far = np.maximum(np.abs(cols - middle[1] - 0.5), np.abs(rows - middle[0] - 0.5)) > 4.5 + 5
    assert far.any()
    assert not far.all()
    np.testing.assert_array_equal(holed[0][far], bare[0][far])
    np.testing.assert_array_equal(holed[1][far], bare[1][far])
    assert (~holed[1][~far]).any()


@pytest.mark.parametrize("west", [-180.0, 0.0, -30.0, 7.3])
@pytest.mark.parametrize("size", [256, 300])
def test_b19_average_does_not_smear_across_the_seam_of_longitudes(west: float, size: int) -> None:
    """P-12, B19: the column of the target that holds, or ends at, the seam averages its own pixels, not the globe."""
    half = math.pi * 6378137
    target = Grid(
        (4, size), Affine(2 * half / size, 0, -half, 0, -2 * half / size, half / 50), crs.from_code("EPSG:3857")
    )
    source = Grid((360, 720), Affine(0.5, 0, west, 0, -0.5, 90), crs.from_code("EPSG:4326"))
    mapping = Mapping(target, source)
    cols, rows = mapping.corners(target.window).to_arrays()
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
    cols, rows = mapping.corners(target.window).to_arrays()
    values = np.tile(np.arange(20.0), (20, 1))
    found, valid = resample(values, None, cols, rows, "average", nodata=math.nan, turn=mapping.turn)
    # Target columns span -13..-11 (outside), -11..-9 (half inside: column 0), -9..-7 (columns 1 and 2) ...
    assert valid[0].tolist() == [False] + [True] * 11
    assert found[0, 1:].tolist() == [0.0, *(1.5 + 2 * step for step in range(9)), 19.0]
