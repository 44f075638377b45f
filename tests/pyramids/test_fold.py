"""Levels folded from the finest one, against exact sums (pitfalls P-1, P-2, P-3, P-6; faults B11, B12, B15)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from geozarr.errors import LimitError
from pyramids import fold
from pyramids.fold import Samples, Sums

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
INTEGERS = DTYPES[:6]
SHAPES = ((1, 1), (1, 13), (17, 1), (2, 2), (3, 5), (31, 37), (64, 64), (127, 2), (96, 41))


def levels(
    values: np.ndarray, valid: np.ndarray, *, count: int, nodata: float, kind: Any = Sums, is_nodata: bool = True
) -> list[tuple[np.ndarray, np.ndarray]]:
    """All levels above the finest, folded one from the other as the walk does."""
    accumulator = kind.fold_finest(values, valid)
    found = []
    for _ in range(count):
        found.append(accumulator.rounded(values.dtype, nodata=nodata, is_nodata=is_nodata))
        accumulator = accumulator.halved()
    return found


def random_values(dtype: str, shape: tuple[int, int], *, seed: int = 7) -> np.ndarray:
    """Values over the whole range of an integer, or over many magnitudes of a float."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7, shape)).astype(dtype)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def assert_close(found: np.ndarray, expected: np.ndarray, scale: np.ndarray) -> None:
    """Integers agree to the bit; floats to the rounding of float64 sums of values as large as `scale`, and one ulp."""
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    slack = np.spacing(np.abs(expected)) + 64 * np.finfo(np.float64).eps * scale
    assert (np.abs(found - expected) <= slack).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_level_is_the_rounded_mean_of_the_finest_values_under_it(dtype: str, shape: tuple[int, int]) -> None:
    """P-2, P-6, B12: partial edges, random holes, each level against the finest one."""
    values = random_values(dtype, shape)
    nodata = -7.0 if values.dtype.kind == "f" else 3
    valid = (np.random.default_rng(3).random(shape) < 0.6) & (values != nodata)
    values[~valid] = nodata
    count = max(1, math.ceil(math.log2(max(shape))))
    for step, (found, found_valid) in enumerate(levels(values, valid, count=count, nodata=nodata), start=1):
        expected, expected_valid = oracle.mean(values, valid, 2**step, nodata=nodata)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found_valid, expected_valid)
        assert_close(found, expected, np.abs(values[valid]).max(initial=0).astype(np.float64))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_agree_with_fractions(dtype: str) -> None:
    """B12, P-3: Python's own exact means, rounded half to even by Python's `round`."""
    values = random_values(dtype, (9, 14))
    valid = np.random.default_rng(5).random(values.shape) < 0.7
    for step, (found, _) in enumerate(levels(values, valid, count=4, nodata=0, is_nodata=False), start=1):
        side = 2**step
        for row, col in np.ndindex(found.shape):
            cell = np.s_[row * side : (row + 1) * side, col * side : (col + 1) * side]
            under = [int(value) for value in values[cell][valid[cell]]]
            expected = round(oracle.exact_mean(under)) if under else 0
            assert int(found[row, col]) == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_a_cell_is_the_mean_of_its_valid_ones_of_four(dtype: str, count: int) -> None:
    """P-1: every choice of `count` valid cells of 4; the others do not count, whatever stands there."""
    numbers = np.array([[10, 20], [50, 100]], dtype)
    for chosen in range(16):
        valid = np.array([chosen >> bit & 1 for bit in range(4)], bool).reshape(2, 2)
        if valid.sum() != count:
            continue
        ((found, found_valid),) = levels(numbers, valid, count=1, nodata=7)
        assert found_valid.tolist() == [[count > 0]]
        if count == 0:
            assert found[0, 0] == 7
            continue
        exact = oracle.exact_mean([int(value) for value in numbers[valid]])
        expected = np.dtype(dtype).type(float(exact)) if dtype.startswith("f") else round(exact)
        assert found[0, 0] == expected


@pytest.mark.parametrize("nodata", [math.nan, -9999.0, 0.0, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_missing_floats_do_not_count_and_are_written_as_nodata(dtype: str, nodata: float) -> None:
    """P-1: NaN, a number, and 0 as nodata."""
    none = np.dtype(dtype).type(nodata)
    values = np.array([[1, none, none, none], [none, 2, none, none]], dtype)
    valid = np.array([[True, False, False, False], [False, True, False, False]])
    ((found, found_valid),) = levels(values, valid, count=1, nodata=nodata)
    assert found_valid.tolist() == [[True, False]]
    assert found[0, 0] == 1.5
    np.testing.assert_array_equal(found[0, 1], none)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1], 0),  # 0.5
        ([1, 2], 2),  # 1.5
        ([2, 3], 2),  # 2.5
        ([-1, 0], 0),  # -0.5
        ([-2, -1], -2),  # -1.5
        ([-3, -2], -2),  # -2.5
        ([0, 0, 0, 1], 0),  # 0.25
        ([0, 1, 1, 1], 1),  # 0.75
        ([-1, -1, -1, 0], -1),  # -0.75
        ([1, 1, 2], 1),  # 1.33
        ([-1, -1, -2], -1),  # -1.33
        ([-2, -2, -1], -2),  # -1.67
    ],
)
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
def test_halves_are_rounded_to_even(numbers: list[int], expected: int, dtype: str) -> None:
    """P-3."""
    values = np.full((2, 2), 99, dtype)
    valid = np.zeros((2, 2), bool)
    values.flat[: len(numbers)] = numbers
    valid.flat[: len(numbers)] = True
    ((found, _),) = levels(values, valid, count=1, nodata=99)
    assert found[0, 0] == expected


@pytest.mark.parametrize("dtype", INTEGERS)
def test_extremes_of_integers_neither_overflow_nor_drift(dtype: str) -> None:
    """B12: ten levels of the smallest, of the largest, and of both value in turn."""
    info = np.iinfo(dtype)
    ends = np.array([info.min, info.max], dtype)
    shape = (1024, 3)
    turn = ends[np.add.outer(np.arange(1024), np.arange(3)) % 2]
    for values in (np.full(shape, info.min, dtype), np.full(shape, info.max, dtype), turn):
        valid = np.ones(shape, bool)
        found = levels(values, valid, count=10, nodata=info.max // 2, is_nodata=False)
        for step, (level, level_valid) in enumerate(found, start=1):
            expected, _ = oracle.mean(values, valid, 2**step, nodata=0, is_nodata=False)
            np.testing.assert_array_equal(level, expected)
            assert level_valid.all()


def test_sums_of_the_largest_integers_fit_the_deepest_pyramid() -> None:
    """B12: the accumulators' own bound, 4**(MAX_LEVELS - 1) cells of 32-bit extremes, stays within int64 and uint32."""
    cells = 4 ** (fold.MAX_LEVELS - 1)
    assert cells < 2**32
    assert cells * (2**32 - 1) < 2**62  # doubled once more to find halves
    with pytest.raises(LimitError) as caught:
        fold.check_depth(fold.MAX_LEVELS + 1)
    assert (caught.value.allowed, caught.value.found) == (fold.MAX_LEVELS, fold.MAX_LEVELS + 1)
    fold.check_depth(fold.MAX_LEVELS)


@pytest.mark.parametrize("shape", [(1025, 1), (1, 1031), (1024, 5), (1023, 7), (1151, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_ten_levels_deep_nothing_drifts(shape: tuple[int, int], dtype: str) -> None:
    """B12, P-2, P-6: elongated, odd and prime shapes, ten levels, each against the finest values."""
    values = random_values(dtype, shape, seed=11)
    valid = np.random.default_rng(13).random(shape) < 0.9
    nodata = math.nan if dtype == "float32" else 1
    valid &= ~np.isnan(values) if dtype == "float32" else values != 1
    found = levels(values, valid, count=11, nodata=nodata)
    assert found[10][0].shape == (1, 1)
    for step, (level, level_valid) in enumerate(found, start=1):
        expected, expected_valid = oracle.mean(values, valid, 2**step, nodata=nodata)
        np.testing.assert_array_equal(level_valid, expected_valid)
        assert_close(level[level_valid], expected[level_valid], np.float64(np.abs(values).max()))


def test_an_isolated_valid_pixel_reaches_the_top() -> None:
    """P-2: one valid pixel of a million is every level's value, in each of the four corners and inside."""
    for row, col in ((0, 0), (1023, 1023), (0, 1023), (1023, 0), (517, 290)):
        values = np.full((1024, 1024), 200, np.uint8)
        valid = np.zeros(values.shape, bool)
        values[row, col], valid[row, col] = 77, True
        for step, (level, level_valid) in enumerate(levels(values, valid, count=10, nodata=200), start=1):
            assert np.argwhere(level_valid).tolist() == [[row >> step, col >> step]]
            assert level[row >> step, col >> step] == 77


def test_mean_of_means_is_not_what_is_stored() -> None:
    """DESIGN section 3: unequal weights tell the mean of all cells from the mean of means."""
    values = np.array([[100, 0, 0, 0], [0, 0, 0, 0], [10, 10, 0, 0], [10, 10, 0, 0]], np.int16)
    valid = values > 0  # one cell of 100 in the first quarter, four of 10 in the third
    top, _ = levels(values, valid, count=2, nodata=0)[1]
    assert top[0, 0] == round(Fraction(100 + 4 * 10, 5))  # 28; the mean of means would be 55


@pytest.mark.parametrize(
    ("dtype", "numbers", "nodata", "expected"),
    [
        ("uint8", [99, 101], 100, 101),  # the exact mean is nodata itself: one up
        ("uint8", [98, 101], 100, 99),  # 99.5 is rounded to 100, from below
        ("uint8", [99, 102], 100, 101),  # 100.5 is rounded to 100, from above
        ("int8", [-1, 1], 0, 1),
        ("int16", [-2, 1], 0, -1),  # -0.5
        ("uint8", [254, 254, 254], 254, 255),
        ("uint8", [255, 255], 255, 254),  # nothing above
        ("uint8", [0, 0], 0, 1),  # nothing below
        ("int8", [-128, -128], -128, -127),
        ("uint32", [2**32 - 1], 2**32 - 1, 2**32 - 2),
    ],
)
def test_a_mean_never_turns_into_nodata(dtype: str, numbers: list[int], nodata: int, expected: int) -> None:
    """P-1: valid data whose mean equals nodata is moved by one, towards the exact mean."""
    values = np.full((2, 2), nodata, dtype)
    valid = np.zeros((2, 2), bool)
    values.flat[: len(numbers)] = numbers
    valid.flat[: len(numbers)] = True
    ((found, found_valid),) = levels(values, valid, count=1, nodata=nodata)
    assert (found[0, 0], found_valid[0, 0]) == (expected, True)
    ((found, _),) = levels(values, valid, count=1, nodata=nodata, is_nodata=False)
    assert found[0, 0] == round(oracle.exact_mean(numbers)), "where alpha tells, nothing is moved"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_float_mean_is_moved_by_one_step_off_nodata(dtype: str) -> None:
    """P-1: the smallest step of the dtype itself, not of float64."""
    kind = np.dtype(dtype).type
    values, valid = np.array([[-1, 1]], dtype), np.ones((1, 2), bool)
    ((found, found_valid),) = levels(values, valid, count=1, nodata=0.0)
    assert found_valid[0, 0]
    assert found[0, 0] == np.nextafter(kind(0), kind(1))
    values = np.array([[99.5, 100.5]], dtype)
    ((found, _),) = levels(values, valid, count=1, nodata=100.0)
    assert found[0, 0] == np.nextafter(kind(100), kind(101))


def test_the_upward_move_does_not_leak_into_coarser_levels() -> None:
    """P-2: what is handed on is the exact sum, not the value that was moved."""
    values = np.array([[99, 101, 99, 101], [99, 101, 99, 101]], np.uint8)
    found = levels(np.vstack([values, values]), np.ones((4, 4), bool), count=2, nodata=100)
    assert found[0][0].tolist() == [[101, 101], [101, 101]]
    assert found[1][0].tolist() == [[101]]  # the exact mean is 100 once more, moved once


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinities_are_values_and_both_signs_are_no_data(dtype: str) -> None:
    """B11."""
    inf = math.inf
    values = np.array([[inf, 1, inf, -inf], [1, 1, 1, 1], [-inf, 2, 5, 5], [2, 2, 5, 5]], dtype)
    first, top = levels(values, np.ones((4, 4), bool), count=2, nodata=math.nan)
    np.testing.assert_array_equal(first[0], np.array([[inf, math.nan], [-inf, 5]], dtype))
    assert first[1].tolist() == [[True, False], [True, True]]
    assert not top[1].any()
    assert np.isnan(top[0]).all()


def test_denormals_survive() -> None:
    """B11: the smallest float of either width is its own mean."""
    for dtype in (np.float32, np.float64):
        tiny = np.finfo(dtype).smallest_subnormal
        for level, _ in levels(np.full((8, 8), tiny, dtype), np.ones((8, 8), bool), count=3, nodata=math.nan):
            assert (level == tiny).all()


def test_the_largest_float32_does_not_overflow() -> None:
    """B11: sums are wider than the values."""
    largest = np.finfo(np.float32).max
    for sign in (1, -1):
        values = np.full((64, 64), sign * largest, np.float32)
        for level, valid in levels(values, np.ones((64, 64), bool), count=6, nodata=math.nan):
            assert valid.all()
            assert (level == sign * largest).all()


@given(
    values=arrays.arrays(np.int16, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(-9, 9)),
    side=st.sampled_from([2, 4, 6, 8, 16, 32]),
    kind=st.sampled_from([Sums, Samples]),
    data=st.data(),
)
def test_folding_by_blocks_equals_folding_the_whole(
    values: np.ndarray, side: int, kind: type[Sums] | type[Samples], data: st.DataObject
) -> None:
    """P-10: the walk folds blocks of any even side into quarters of their parents."""
    valid = data.draw(arrays.arrays(np.bool_, values.shape))
    rows, cols = values.shape
    parts = kind.empty((-(-rows // 2), -(-cols // 2)), values.dtype)
    for row in range(0, rows, side):
        for col in range(0, cols, side):
            block = np.s_[row : row + side, col : col + side]
            parts.paste(kind.fold_finest(values[block], valid[block]), row=row // 2, col=col // 2)  # type: ignore[arg-type]
    whole = kind.fold_finest(values, valid)
    for _ in range(3):
        for found, expected in zip(
            parts.rounded(values.dtype, nodata=9, is_nodata=True),
            whole.rounded(values.dtype, nodata=9, is_nodata=True),
            strict=True,
        ):
            np.testing.assert_array_equal(found, expected)
        parts, whole = parts.halved(), whole.halved()


@given(
    values=arrays.arrays(np.uint8, st.tuples(st.integers(1, 33), st.integers(1, 33))),
    data=st.data(),
)
def test_a_coarse_value_lies_between_the_extremes_under_it(values: np.ndarray, data: st.DataObject) -> None:
    """P-4: whatever the mask and the nodata, means stay within what they are of, but for the step off nodata."""
    valid = data.draw(arrays.arrays(np.bool_, values.shape))
    nodata = data.draw(st.integers(0, 255))
    valid &= values != nodata
    for step, (found, found_valid) in enumerate(levels(values, valid, count=3, nodata=nodata), start=1):
        side = 2**step
        assert (found[~found_valid] == nodata).all()
        assert (found[found_valid] != nodata).all()
        for row, col in np.argwhere(found_valid):
            cell = np.s_[row * side : (row + 1) * side, col * side : (col + 1) * side]
            under = values[cell][valid[cell]]
            assert int(under.min()) - 1 <= int(found[row, col]) <= int(under.max()) + 1


@pytest.mark.parametrize("shape", [*SHAPES, (1024, 3), (1000, 2), (1, 1025)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_nearest_takes_the_centre_sample_at_every_level(shape: tuple[int, int], dtype: str) -> None:
    """P-5: index `i * f + f // 2` of the finest level, however deep; the window's first where that lies outside."""
    values = random_values(dtype, shape, seed=17)
    valid = np.random.default_rng(19).random(shape) < 0.7
    count = max(1, math.ceil(math.log2(max(shape))))
    found = levels(values, valid, count=count, nodata=0, kind=Samples)
    for step, (level, level_valid) in enumerate(found, start=1):
        expected_valid = oracle.sample(valid, 2**step)
        np.testing.assert_array_equal(level_valid, expected_valid)
        np.testing.assert_array_equal(level, np.where(expected_valid, oracle.sample(values, 2**step), 0))


def test_nearest_has_no_drift() -> None:
    """P-5: of column numbers, level k shows the column just right of its cell's centre: off by half a column always."""
    columns = np.tile(np.arange(1024, dtype=np.float64), (2, 1))
    found = levels(columns, np.ones(columns.shape, bool), count=10, nodata=math.nan, kind=Samples)
    for step, (level, _) in enumerate(found, start=1):
        side = 2**step
        centres = (np.arange(1024 // side) + 0.5) * side - 0.5  # in column numbers
        np.testing.assert_array_equal(level[0] - centres, 0.5)


def test_nearest_never_shows_a_class_that_the_source_lacks() -> None:
    """P-4."""
    classes = np.random.default_rng(23).choice(np.array([1, 7, 200], np.uint8), (64, 64))
    for level, valid in levels(classes, np.ones((64, 64), bool), count=6, nodata=0, kind=Samples):
        assert set(np.unique(level[valid])) <= {1, 7, 200}
