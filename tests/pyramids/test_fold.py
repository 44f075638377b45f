"""Levels folded from the finest one, by every method, against slow and exact results.

Pitfalls P-1 to P-6, P-8 and P-9; faults B11, B12, B15. What is expected comes from Python's integers and fractions,
from `oracle`, or from numpy over the finest values under a cell: never from the level below.
"""

from __future__ import annotations

import itertools
import math
import pickle
import tracemalloc
from collections import Counter
from fractions import Fraction
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from geozarr.errors import GridMismatchError, LimitError, ParameterError
from pyramids import fold
from pyramids.fold import METHODS
from pyramids.fold_runs import Runs
from pyramids.fold_sums import Sums, WideSums

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
INTEGERS = DTYPES[:8]
NARROW = (*DTYPES[:6], "float32", "float64")  # whose sums fit numpy's int64, as `oracle.mean` needs
SHAPES = ((1, 1), (1, 13), (17, 1), (2, 2), (3, 5), (31, 37), (64, 64), (127, 2), (96, 41))
SMALL_SHAPES = ((1, 1), (1, 9), (9, 1), (2, 2), (3, 3), (4, 7), (5, 2), (7, 7), (8, 8), (9, 6))
ROUNDED = ("average", "sum", "median")  # methods that can result in a value that is not under the cell
PAIRS = [
    (method, dtype) for method in METHODS for dtype in DTYPES if not (method == "bit-or" and dtype.startswith("float"))
]

Level = tuple[np.ndarray, np.ndarray]


def half(shape: tuple[int, ...]) -> tuple[int, int]:
    return -(-shape[0] // 2), -(-shape[1] // 2)


def stored(accumulator: Any, dtype: np.dtype, *, nodata: float, is_nodata: bool = True) -> Level:
    """What is stored of an accumulator; the number it returns is that of the valid cells."""
    values, valid = np.empty(accumulator.shape, dtype), np.empty(accumulator.shape, bool)
    assert accumulator.rounded(values, valid, nodata=nodata, is_nodata=is_nodata) == np.count_nonzero(valid)
    return values, valid


def levels(
    values: np.ndarray,
    valid: np.ndarray,
    *,
    count: int,
    nodata: float,
    method: str = "average",
    is_nodata: bool = True,
) -> list[Level]:
    """All levels above the finest, folded one from the other as the walk does."""
    accumulator = fold.make(method, values.dtype, half(values.shape))
    accumulator.add_finest(values, valid, row=0, col=0)
    found = []
    for _ in range(count):
        found.append(stored(accumulator, values.dtype, nodata=nodata, is_nodata=is_nodata))
        parent = fold.make(method, values.dtype, half(accumulator.shape))
        parent.add(accumulator, row=0, col=0)
        accumulator = parent
    return found


def first_cell(
    numbers: list[Any], dtype: str, *, method: str, nodata: float, is_nodata: bool = True, unused: float = 0
) -> tuple[Any, bool]:
    """The one cell above at most four valid values; the rest of the four is `unused` and not valid."""
    values, valid = np.full((2, 2), unused, dtype), np.zeros((2, 2), bool)
    values.flat[: len(numbers)] = numbers
    valid.flat[: len(numbers)] = True
    ((found, found_valid),) = levels(values, valid, count=1, nodata=nodata, method=method, is_nodata=is_nodata)
    return found[0, 0].item(), bool(found_valid[0, 0])


def aggregate(under: list[Any], method: str, dtype: np.dtype) -> Any:
    """What a method makes of all valid finest values under a cell, by definition, in Python's own numbers."""
    ordered = sorted(under)
    if method == "min":
        return ordered[0]
    if method == "max":
        return ordered[-1]
    if method == "bit-or":
        united = 0
        for value in under:
            united |= value
        return united
    if method == "mode":
        counts = Counter(under)
        most = max(counts.values())
        return min(value for value in counts if counts[value] == most)
    if method == "sum":
        exact = sum((Fraction(value) for value in under), Fraction(0))
    elif method == "average":
        exact = oracle.exact_mean(under)
    else:
        exact = (Fraction(ordered[(len(under) - 1) // 2]) + Fraction(ordered[len(under) // 2])) / 2
    if dtype.kind == "f":
        return float(exact)
    info = np.iinfo(dtype)
    return min(max(round(exact), int(info.min)), int(info.max))


def directly(values: np.ndarray, valid: np.ndarray, factor: int, *, method: str, nodata: Any) -> Level:
    """A level from the finest values themselves, cell by cell."""
    if method == "nearest":
        chosen = oracle.sample(valid, factor)
        return np.where(chosen, oracle.sample(values, factor), values.dtype.type(nodata)), chosen
    shape = (-(-values.shape[0] // factor), -(-values.shape[1] // factor))
    expected, expected_valid = np.full(shape, nodata, values.dtype), np.zeros(shape, bool)
    for row, col in np.ndindex(shape):
        cell = np.s_[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
        under = values[cell][valid[cell]].tolist()
        if under:
            expected[row, col] = aggregate(under, method, values.dtype)
            expected_valid[row, col] = True
    return expected, expected_valid


def random_values(dtype: str, shape: tuple[int, int], *, seed: int = 7) -> np.ndarray:
    """Values over the whole range of an integer, or over many magnitudes of a float."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7, shape)).astype(dtype)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def few_values(dtype: str, shape: tuple[int, int], *, seed: int) -> np.ndarray:
    """Classes that recur, the ends of an integer's range among them; floats have eighths, whose sums are exact."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (rng.integers(-40, 40, shape) / 8).astype(dtype)
    info = np.iinfo(kind)
    return rng.choice(np.array([info.min, 1, 6, 7, info.max - 1, info.max], dtype), shape)


def assert_close(found: np.ndarray, expected: np.ndarray, scale: np.ndarray) -> None:
    """Integers agree to the bit; floats to the rounding of float64 sums of values as large as `scale`, and one ulp."""
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    slack = np.spacing(np.abs(expected)) + 64 * np.finfo(np.float64).eps * scale
    assert (np.abs(found - expected) <= slack).all()


# All methods: what a level is, and that no way of putting it together changes it.


@pytest.mark.parametrize(("method", "dtype"), PAIRS)
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_b12_every_level_is_the_aggregate_of_the_finest_values_under_it(method: str, dtype: str, share: float) -> None:
    """P-2, P-4, P-6, P-8, B12: odd sizes, four levels, all values over the range and few that recur."""
    for number, shape in enumerate(SMALL_SHAPES):
        recurring = few_values(dtype, shape, seed=number)
        ranging = recurring if dtype.startswith("float") else random_values(dtype, shape, seed=number)
        for values in (recurring, ranging):
            valid = np.random.default_rng(number).random(shape) < share
            found = levels(values, valid, count=4, nodata=5, method=method, is_nodata=False)
            for step, (level, level_valid) in enumerate(found, start=1):
                expected, expected_valid = directly(values, valid, 2**step, method=method, nodata=5)
                np.testing.assert_array_equal(level_valid, expected_valid)
                np.testing.assert_array_equal(level, expected)


@given(
    values=arrays.arrays(np.int16, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(-9, 9)),
    side=st.sampled_from([2, 4, 6, 8, 16, 32]),
    method=st.sampled_from(METHODS),
    data=st.data(),
)
def test_folding_by_blocks_equals_folding_the_whole(
    values: np.ndarray, side: int, method: str, data: st.DataObject
) -> None:
    """P-10: blocks of any even side, folded at their place or pasted as quarters, in any order."""
    valid = data.draw(arrays.arrays(np.bool_, values.shape))
    rows, cols = values.shape
    blocks = data.draw(st.permutations(list(itertools.product(range(0, rows, side), range(0, cols, side)))))
    parts = fold.make(method, values.dtype, half(values.shape))
    for number, (row, col) in enumerate(blocks):
        block = np.s_[row : row + side, col : col + side]
        if number % 2 == 0:
            parts.add_finest(values[block], valid[block], row=row // 2, col=col // 2)
            continue
        quarter = fold.make(method, values.dtype, half(values[block].shape))
        quarter.add_finest(values[block], valid[block], row=0, col=0)
        parts.paste(quarter, row=row // 2, col=col // 2)
    whole = fold.make(method, values.dtype, half(values.shape))
    whole.add_finest(values, valid, row=0, col=0)
    for _ in range(3):
        for found, expected in zip(
            stored(parts, values.dtype, nodata=9), stored(whole, values.dtype, nodata=9), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
        above = [fold.make(method, values.dtype, half(whole.shape)) for _ in range(2)]
        above[0].add(parts, row=0, col=0)
        above[1].add(whole, row=0, col=0)
        parts, whole = above


@given(
    values=arrays.arrays(np.uint8, (16, 24), elements=st.integers(0, 6)),
    valid=arrays.arrays(np.bool_, (16, 24)),
    method=st.sampled_from(METHODS),
    order=st.permutations(range(6)),
)
def test_children_may_be_added_in_any_order(
    values: np.ndarray, valid: np.ndarray, method: str, order: list[int]
) -> None:
    """P-10: a block of 4 x 6 cells from six children of 4 x 4, and all at once."""
    expected = levels(values, valid, count=3, nodata=200, method=method)
    parent = fold.make(method, values.dtype, (4, 6))
    child = fold.make(method, values.dtype, (4, 4))
    for number in order:
        row, col = divmod(number, 3)
        block = np.s_[8 * row : 8 * row + 8, 8 * col : 8 * col + 8]
        child.clear()
        child.add_finest(values[block], valid[block], row=0, col=0)
        parent.add(child, row=2 * row, col=2 * col)
    for found, wanted in zip(stored(parent, values.dtype, nodata=200), expected[1], strict=True):
        np.testing.assert_array_equal(found, wanted)
    top = fold.make(method, values.dtype, (2, 3))
    top.add(parent, row=0, col=0)
    for found, wanted in zip(stored(top, values.dtype, nodata=200), expected[2], strict=True):
        np.testing.assert_array_equal(found, wanted)


@given(
    values=arrays.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(-9, 9)),
    garbage=st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -7.0, 3.4e38]),
    method=st.sampled_from([method for method in METHODS if method != "bit-or"]),
    data=st.data(),
)
def test_what_stands_in_invalid_cells_does_not_matter(
    values: np.ndarray, garbage: float, method: str, data: st.DataObject
) -> None:
    """P-1: NaN, infinities and numbers where nothing is valid."""
    valid = data.draw(arrays.arrays(np.bool_, values.shape))
    other = np.where(valid, values, np.float32(garbage))
    found = levels(other, valid, count=3, nodata=-7, method=method)
    for one, two in zip(found, levels(values, valid, count=3, nodata=-7, method=method), strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize(("method", "dtype"), PAIRS)
def test_an_isolated_valid_pixel_reaches_the_top(method: str, dtype: str) -> None:
    """P-2: one valid pixel of many is every level's value, wherever it lies: at the ends, on odd edges, inside."""
    for row, col in ((0, 0), (66, 40), (0, 40), (66, 0), (33, 17)):
        values = np.full((67, 41), 100, dtype)
        valid = np.zeros(values.shape, bool)
        values[row, col], valid[row, col] = 77, True
        found = levels(values, valid, count=7, nodata=100, method=method)
        assert found[6][0].shape == (1, 1)
        for step, (level, level_valid) in enumerate(found, start=1):
            where = np.argwhere(level_valid).tolist()
            if method == "nearest":  # shows it where the sample is it, and nowhere else
                assert where == np.argwhere(oracle.sample(valid, 2**step)).tolist()
            else:
                assert where == [[row >> step, col >> step]]
            assert (level[level_valid] == 77).all()
            assert (level[~level_valid] == 100).all()


@pytest.mark.parametrize(("method", "dtype"), PAIRS)
def test_a_cleared_accumulator_is_empty_and_keeps_its_memory(method: str, dtype: str) -> None:
    values, valid = few_values(dtype, (31, 18), seed=3), np.ones((31, 18), bool)
    accumulator = fold.make(method, np.dtype(dtype), (16, 9))
    assert not stored(accumulator, values.dtype, nodata=5)[1].any(), "new ones are empty"
    accumulator.add_finest(values, valid, row=0, col=0)
    before = accumulator.nbytes
    accumulator.clear()
    assert accumulator.nbytes == before
    level, level_valid = stored(accumulator, values.dtype, nodata=5)
    assert not level_valid.any()
    assert (level == 5).all()
    parent = fold.make(method, values.dtype, (8, 5))
    parent.add(accumulator, row=0, col=0)
    assert not stored(parent, values.dtype, nodata=5)[1].any(), "nothing is left that could go up"
    others = random_values(dtype, (2, 2))  # folded into one cell of the cleared block
    accumulator.add_finest(others, np.ones((2, 2), bool), row=15, col=8)
    level, level_valid = stored(accumulator, values.dtype, nodata=5, is_nodata=False)
    assert np.argwhere(level_valid).tolist() == [[15, 8]]
    expected = fold.make(method, values.dtype, (1, 1))
    expected.add_finest(others, np.ones((2, 2), bool), row=0, col=0)
    assert level[15, 8] == stored(expected, values.dtype, nodata=5, is_nodata=False)[0][0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_an_accumulator_survives_pickling(method: str) -> None:
    """Subtrees that other processes walk hand theirs on."""
    values, valid = few_values("int16", (9, 6), seed=2), np.random.default_rng(2).random((9, 6)) < 0.7
    accumulator = fold.make(method, values.dtype, (5, 3))
    accumulator.add_finest(values, valid, row=0, col=0)
    parent = fold.make(method, values.dtype, (3, 2))
    parent.add(pickle.loads(pickle.dumps(accumulator)), row=0, col=0)
    expected, expected_valid = directly(values, valid, 4, method=method, nodata=5)
    found, found_valid = stored(parent, values.dtype, nodata=5, is_nodata=False)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found_valid, expected_valid)


@pytest.mark.parametrize(("method", "dtype"), [(method, "int16") for method in METHODS] + [("average", "float32")])
def test_views_and_read_only_arrays_are_folded_alike(method: str, dtype: str) -> None:
    values, valid = few_values(dtype, (14, 20), seed=5), np.random.default_rng(5).random((14, 20)) < 0.6
    large, large_valid = np.zeros((28, 60), dtype), np.zeros((28, 60), bool)
    large[::2, 3:43:2], large_valid[::2, 3:43:2] = values, valid
    large.flags.writeable = large_valid.flags.writeable = False
    accumulator = fold.make(method, values.dtype, (7, 10))
    accumulator.add_finest(large[::2, 3:43:2], large_valid[::2, 3:43:2], row=0, col=0)
    out, out_valid = np.zeros((20, 30), dtype), np.zeros((20, 30), bool)
    accumulator.rounded(out[4:11, 6:26:2], out_valid[4:11, 6:26:2], nodata=5, is_nodata=False)
    expected, expected_valid = directly(values, valid, 2, method=method, nodata=5)
    np.testing.assert_array_equal(out[4:11, 6:26:2], expected)
    np.testing.assert_array_equal(out_valid[4:11, 6:26:2], expected_valid)
    out[4:11, 6:26:2] = 0
    assert not out.any(), "nothing is written beside the given cells"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["int16", "uint64"])
def test_no_call_makes_a_temporary_of_a_blocks_size(method: str, dtype: str) -> None:
    """Walks call these thousands of times: memory is made once."""
    side = 512
    values, valid = few_values(dtype, (side, side), seed=1), np.random.default_rng(1).random((side, side)) < 0.5
    block, parent = fold.make(method, values.dtype, (side // 2,) * 2), fold.make(method, values.dtype, (side // 2,) * 2)
    whole = fold.make(method, values.dtype, (side, side))
    out, out_valid = np.empty(block.shape, dtype), np.empty(block.shape, bool)

    def calls() -> None:
        for accumulator in (block, parent, whole):
            accumulator.clear()
        block.add_finest(values, valid, row=0, col=0)
        parent.add(block, row=0, col=0)
        whole.paste(block, row=0, col=side // 2)
        block.rounded(out, out_valid, nodata=5, is_nodata=True)

    calls()  # compiles kernels and grows pools
    tracemalloc.start()
    try:
        calls()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < block.shape[0] * block.shape[1], "not even a byte a cell"


@pytest.mark.parametrize(
    "bad", [{"row": -1, "col": 0}, {"row": 0, "col": -1}, {"row": 3, "col": 0}, {"row": 0, "col": 4}]
)
@pytest.mark.parametrize("method", METHODS)
def test_cells_outside_of_a_block_are_refused(method: str, bad: dict[str, int]) -> None:
    """Kernels check no index: this is what keeps them inside their memory."""
    accumulator = fold.make(method, np.dtype("uint8"), (4, 5))
    values, valid = np.ones((3, 4), np.uint8), np.ones((3, 4), bool)  # two rows and two columns of cells
    with pytest.raises(GridMismatchError) as caught:
        accumulator.add_finest(values, valid, **bad)
    assert (caught.value.found, caught.value.expected) == ((bad["row"], bad["col"], 2, 2), "within (4, 5)")
    child = fold.make(method, np.dtype("uint8"), (3, 4))
    with pytest.raises(GridMismatchError):
        accumulator.add(child, **bad)
    with pytest.raises(GridMismatchError):
        accumulator.paste(fold.make(method, np.dtype("uint8"), (2, 2)), **bad)
    accumulator.add_finest(values, valid, row=2, col=3)
    accumulator.add(child, row=2, col=3)
    accumulator.paste(fold.make(method, np.dtype("uint8"), (2, 2)), row=2, col=3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "uint64"])
def test_arrays_that_do_not_belong_together_are_refused(method: str, dtype: str) -> None:
    accumulator = fold.make(method, np.dtype(dtype), (2, 2))
    right, valid = np.ones((4, 4), dtype), np.ones((4, 4), bool)
    other = fold.make(method, np.dtype("int16"), (2, 2))
    with pytest.raises(GridMismatchError, match="dtype"):
        accumulator.add_finest(right.astype("int16"), valid, row=0, col=0)
    with pytest.raises(GridMismatchError, match="mask"):
        accumulator.add_finest(right, valid[:3], row=0, col=0)
    for put in (accumulator.add, accumulator.paste):
        with pytest.raises(GridMismatchError, match="dtype"):
            put(other, row=0, col=0)
    with pytest.raises(GridMismatchError, match="stored values"):
        accumulator.rounded(right, valid, nodata=0, is_nodata=True)
    with pytest.raises(GridMismatchError, match="dtype"):
        accumulator.rounded(np.ones((2, 2), "int16"), valid[:2, :2], nodata=0, is_nodata=True)


@pytest.mark.parametrize(
    ("method", "dtype", "parameter"),
    [
        ("cubic", "uint8", "method"),
        ("bit-or", "float32", "dtype"),
        ("average", "float16", "dtype"),
        ("mode", ">i2", "dtype"),
        ("min", "bool", "dtype"),
    ],
)
def test_methods_and_dtypes_that_are_not_there_are_refused(method: str, dtype: str, parameter: str) -> None:
    """P-7, P-8: bits of floats are not united; big-endian and half floats are for the source to convert."""
    with pytest.raises(ParameterError) as caught:
        fold.make(method, np.dtype(dtype), (1, 1))
    assert caught.value.parameter == parameter
    with pytest.raises(ParameterError):
        fold.cell_bytes(method, np.dtype(dtype))


@pytest.mark.parametrize(("method", "dtype"), [pair for pair in PAIRS if pair[0] not in {"mode", "median"}])
def test_the_bytes_of_a_cell_are_those_of_the_arrays(method: str, dtype: str) -> None:
    accumulator = fold.make(method, np.dtype(dtype), (7, 11))
    assert accumulator.nbytes == 77 * fold.cell_bytes(method, np.dtype(dtype))


# average


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("shape", SHAPES)
def test_b12_every_level_is_the_rounded_mean_of_the_finest_values_under_it(dtype: str, shape: tuple[int, int]) -> None:
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
def test_b12_integers_agree_with_fractions(dtype: str) -> None:
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


@pytest.mark.parametrize("dtype", DTYPES[:6])
def test_b12_extremes_of_integers_neither_overflow_nor_drift(dtype: str) -> None:
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


def test_b12_sums_of_the_largest_integers_fit_the_deepest_pyramid() -> None:
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
def test_b12_ten_levels_deep_nothing_drifts(shape: tuple[int, int], dtype: str) -> None:
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
def test_b11_infinities_are_values_and_both_signs_are_no_data(dtype: str) -> None:
    """B11."""
    inf = math.inf
    values = np.array([[inf, 1, inf, -inf], [1, 1, 1, 1], [-inf, 2, 5, 5], [2, 2, 5, 5]], dtype)
    first, top = levels(values, np.ones((4, 4), bool), count=2, nodata=math.nan)
    np.testing.assert_array_equal(first[0], np.array([[inf, math.nan], [-inf, 5]], dtype))
    assert first[1].tolist() == [[True, False], [True, True]]
    assert not top[1].any()
    assert np.isnan(top[0]).all()


def test_b11_denormals_survive() -> None:
    """B11: the smallest float of either width is its own mean."""
    for dtype in (np.float32, np.float64):
        tiny = np.finfo(dtype).smallest_subnormal
        for level, _ in levels(np.full((8, 8), tiny, dtype), np.ones((8, 8), bool), count=3, nodata=math.nan):
            assert (level == tiny).all()


def test_b11_the_largest_float32_does_not_overflow() -> None:
    """B11: sums are wider than the values."""
    largest = np.finfo(np.float32).max
    for sign in (1, -1):
        values = np.full((64, 64), sign * largest, np.float32)
        for level, valid in levels(values, np.ones((64, 64), bool), count=6, nodata=math.nan):
            assert valid.all()
            assert (level == sign * largest).all()


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


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([2**53, 2**53 + 1], 2**53),  # a half beside an even number
        ([2**53 + 1, 2**53 + 2], 2**53 + 2),  # a half beside an odd one
        ([2**62 + 1, 2**62 + 1, 2**62 + 2], 2**62 + 1),  # a third
        ([2**62 + 1, 2**62 + 2, 2**62 + 2], 2**62 + 2),  # two thirds
        ([2**63 - 1] * 4, 2**63 - 1),
        ([2**63 - 1] * 3 + [2**63 - 2], 2**63 - 1),
        ([2**63 - 1, 2**63 - 2, 2**63 - 2, 2**63 - 2], 2**63 - 2),
        ([2**32 - 1, 2**32], 2**32),  # a half beside an odd number, from both sides of a limb
        ([2**32, 2**32 + 1], 2**32),
    ],
)
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_means_of_64_bit_integers_keep_all_their_digits(numbers: list[int], expected: int, dtype: str) -> None:
    """P-3: float64 would lose them, and int64 sums would overflow."""
    assert first_cell(numbers, dtype, method="average", nodata=0) == (expected, True)
    if dtype == "int64":
        mirrored = [-value for value in numbers]
        assert first_cell(mirrored, dtype, method="average", nodata=0) == (-expected, True)
    else:
        shifted = [value + 2**63 for value in numbers]  # even, so that halves go the same way
        assert first_cell(shifted, dtype, method="average", nodata=0) == (expected + 2**63, True)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_b12_extremes_of_64_bit_integers_survive_ten_levels(dtype: str) -> None:
    """P-3, B12: each level's mean is the one value there is."""
    info = np.iinfo(dtype)
    for end in (info.min, info.max):
        values = np.full((1024, 3), end, dtype)
        for level, _ in levels(values, np.ones(values.shape, bool), count=10, nodata=5):
            assert (level == end).all()


@given(data=st.data(), dtype=st.sampled_from(["int64", "uint64"]), nodata=st.integers(0, 9))
def test_means_of_64_bit_integers_agree_with_fractions(data: st.DataObject, dtype: str, nodata: int) -> None:
    """P-3: two levels of any values, rounded half to even by Python's `round`; none becomes nodata."""
    info = np.iinfo(dtype)
    near = st.sampled_from([0, info.min, info.max, 2**32, 2**53]).flatmap(
        lambda middle: st.integers(max(info.min, middle - 5), min(info.max, middle + 5))
    )
    values = data.draw(arrays.arrays(dtype, (4, 4), elements=near | st.integers(info.min, info.max)))
    valid = data.draw(arrays.arrays(np.bool_, (4, 4))) & (values != nodata)
    for step, (found, found_valid) in enumerate(levels(values, valid, count=2, nodata=nodata), start=1):
        plain, plain_valid = directly(values, valid, 2**step, method="average", nodata=nodata)
        np.testing.assert_array_equal(found_valid, plain_valid)
        hit = plain_valid & (plain == nodata)
        np.testing.assert_array_equal(found[~hit], plain[~hit])
        assert (np.abs(found[hit].astype(object) - nodata) == 1).all()


def test_b12_sums_too_large_for_the_fast_division_are_divided_exactly() -> None:
    """P-3: 2**22 values of 32 bits make sums beyond 2**52; the mean is made a half, and just not a half.

    A tower of accumulators of one cell stands for the 4**11 values: four equal children a level.
    """
    for low, high, expected in ((2**32 - 2, 2**32 - 1, 2**32 - 2), (2**32 - 3, 2**32 - 2, 2**32 - 2)):
        for extra, wanted in ((0, expected), (-1, low), (1, high)):
            total = 4**11 * low + 4**11 // 2 + extra
            cell = Sums((1, 1), np.dtype("uint32"), is_mean=True)
            cell.total[0, 0], cell.weight[0, 0] = total, 4**11
            assert total > 2**52
            assert stored(cell, np.dtype("uint32"), nodata=0)[0][0, 0] == wanted


def test_division_is_exact_up_to_where_it_is_done_in_floats() -> None:
    """P-3: the sums just below 2**52 whose means are nearest to a half, by the largest weights there are."""
    for weight in (3, 4**11 - 1, 4**11, 2**30 - 1, 2**30):
        quotient = (2**52 - weight) // weight
        for whole in (quotient - 1, quotient - 2):
            for numerator in {weight // 2 - 1, weight // 2, weight // 2 + 1, (weight + 1) // 2}:
                total = whole * weight + numerator
                assert total < 2**52
                cell = WideSums((1, 1), np.dtype("int64"), is_mean=True)
                cell.low[0, 0], cell.weight[0, 0] = total, weight
                expected = round(Fraction(total, weight))
                assert stored(cell, np.dtype("int64"), nodata=0)[0][0, 0] == expected
                if expected < 2**32:
                    narrow = Sums((1, 1), np.dtype("uint32"), is_mean=True)
                    narrow.total[0, 0], narrow.weight[0, 0] = total, weight
                    assert stored(narrow, np.dtype("uint32"), nodata=0)[0][0, 0] == expected


# sum


@pytest.mark.parametrize(
    ("dtype", "numbers", "expected"),
    [
        ("uint8", [200, 50, 5], 255),
        ("uint8", [200, 50, 6], 255),  # 256
        ("int8", [-100, -28], -128),
        ("int8", [-100, -29], -128),
        ("int8", [100, 27, 1], 127),
        ("int16", [-32768] * 4, -32768),
        ("uint32", [2**32 - 1, 0, 1], 2**32 - 1),
        ("int32", [2**31 - 1, 1, -1], 2**31 - 1),  # the exact sum, since nothing is clipped on the way
        ("int64", [2**63 - 1, 1], 2**63 - 1),
        ("int64", [2**63 - 2, 1], 2**63 - 1),
        ("int64", [-(2**63), -1], -(2**63)),
        ("int64", [2**63 - 1, 2**63 - 1, -(2**63), -(2**63)], -2),
        ("int64", [2**53, 1], 2**53 + 1),
        ("uint64", [2**64 - 1, 1], 2**64 - 1),
        ("uint64", [2**64 - 1] * 4, 2**64 - 1),
        ("uint64", [2**63, 2**63 - 2, 1], 2**64 - 1),
    ],
)
def test_sums_of_integers_saturate_exactly(dtype: str, numbers: list[int], expected: int) -> None:
    """P-3: at the ends of the dtype, and not through float."""
    assert first_cell(numbers, dtype, method="sum", nodata=7) == (expected, True)


def test_saturation_does_not_leak_into_coarser_levels() -> None:
    """P-3: 4 x 127 and -4 x 128 are clipped where they are stored; the level above has their exact sum."""
    values = np.repeat(np.array([[127, -128]], np.int8), 2, axis=1).repeat(2, axis=0)
    first, top = levels(values, np.ones(values.shape, bool), count=2, nodata=7, method="sum")
    assert first[0].tolist() == [[127, -128]]
    assert top[0].tolist() == [[-4]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_conserved(dtype: str) -> None:
    """P-9: over all levels of an odd shape with holes, to 1e-12 of the sum of magnitudes; integers exactly."""
    values = random_values(dtype, (95, 61), seed=29)
    valid = np.random.default_rng(31).random(values.shape) < 0.8
    under = [Fraction(value) for value in values[valid].tolist()]
    exact, scale = sum(under), sum(abs(value) for value in under)
    accumulator = fold.make("sum", values.dtype, half(values.shape))
    accumulator.add_finest(values, valid, row=0, col=0)
    for _ in range(7):
        assert int(accumulator.weight.sum()) == valid.sum()
        if isinstance(accumulator, WideSums):
            found = Fraction(2**32 * sum(accumulator.high.ravel().tolist()) + sum(accumulator.low.ravel().tolist()))
        else:
            found = sum(Fraction(value) for value in accumulator.total.ravel().tolist())
        assert abs(found - exact) <= (Fraction(1, 10**12) * scale if values.dtype.kind == "f" else 0)
        parent = fold.make("sum", values.dtype, half(accumulator.shape))
        parent.add(accumulator, row=0, col=0)
        accumulator = parent
    if values.dtype == np.float64:
        (found_top,) = stored(accumulator, values.dtype, nodata=math.nan)[0].ravel()
        assert abs(Fraction(found_top.item()) - exact) <= Fraction(1, 10**12) * scale


# Results that would be taken for nodata


@pytest.mark.parametrize(
    ("method", "dtype", "numbers", "nodata", "expected"),
    [
        ("sum", "uint8", [40, 60], 100, 101),
        ("sum", "uint8", [200, 100], 255, 254),  # saturated, and nothing above
        ("sum", "int8", [-100, -100], -128, -127),
        ("sum", "int32", [5, -5], 0, 1),
        ("sum", "int64", [2**62, 2**62 - 1], 2**63 - 1, 2**63 - 2),
        ("sum", "uint64", [2**63, 2**63], 2**64 - 1, 2**64 - 2),
        ("average", "int64", [2**53, 2**53 + 2], 2**53 + 1, 2**53 + 2),  # nodata itself: one up
        ("average", "int64", [2**53 - 1, 2**53 + 2], 2**53, 2**53 + 1),  # 2**53 + 0.5, from above
        ("average", "int64", [2**53 - 3, 2**53 + 2], 2**53, 2**53 - 1),  # 2**53 - 0.5, from below
        ("average", "uint64", [2**64 - 1] * 2, 2**64 - 1, 2**64 - 2),
        ("average", "int64", [-(2**63)] * 2, -(2**63), -(2**63) + 1),
        ("median", "uint8", [99, 101], 100, 101),
        ("median", "uint8", [98, 101], 100, 99),  # 99.5
        ("median", "uint8", [99, 102], 100, 101),  # 100.5
        ("median", "int64", [-(2**63), 2**63 - 1], 0, -1),  # -0.5
        ("median", "uint64", [2**64 - 1, 2**64 - 3], 2**64 - 2, 2**64 - 1),
        ("median", "uint8", [254, 255], 254, 255),  # 254.5
        ("median", "float32", [-1, 1], 0, float(np.finfo(np.float32).smallest_subnormal)),
        ("sum", "float32", [2**24 + 2, 2**24 - 1], 2**25, 2**25 + 4),  # 2**25 + 1, from above; floats are 4 apart here
        ("sum", "float32", [2**24, 2**24 - 1], 2**25, 2**25 - 2),  # 2**25 - 1, from below, where they are 2 apart
        ("sum", "float64", [-1, 1], 0, float(np.finfo(np.float64).smallest_subnormal)),
    ],
)
def test_a_rounded_result_never_turns_into_nodata(
    method: str, dtype: str, numbers: list[Any], nodata: Any, expected: Any
) -> None:
    """P-1: moved by the smallest step, towards the exact result, inwards at the ends."""
    assert first_cell(numbers, dtype, method=method, nodata=nodata, unused=nodata) == (expected, True)
    kept, _ = first_cell(numbers, dtype, method=method, nodata=nodata, unused=nodata, is_nodata=False)
    assert kept == np.dtype(dtype).type(aggregate(numbers, method, np.dtype(dtype))), (
        "where alpha tells, nothing is moved"
    )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_float_at_the_end_of_its_range_is_moved_inwards(dtype: str, sign: int) -> None:
    """P-1: the largest float, a common nodata value, has only infinity beyond; infinity itself has nothing."""
    kind = np.dtype(dtype).type
    largest = kind(np.finfo(dtype).max)
    for nodata, expected in ((largest, np.nextafter(largest, kind(0))), (kind(np.inf), largest)):
        found = first_cell([sign * nodata], dtype, method="average", nodata=sign * nodata)
        assert found == (sign * expected.item(), True)


# min, max and bit-or


@pytest.mark.parametrize("dtype", DTYPES)
def test_extremes_are_exact_in_the_dtype(dtype: str) -> None:
    """P-3: neighbours at the end of the range, which float64 cannot tell apart; what lies beyond is not valid."""
    ends = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    kind = np.dtype(dtype).type
    inner = [np.nextafter(kind(ends.max), kind(0)), np.nextafter(kind(ends.min), kind(0))]
    low, high = (inner[1], inner[0]) if dtype.startswith("float") else (kind(ends.min + 1), kind(ends.max - 1))
    values = np.array([[low, ends.min], [high, ends.max]], dtype)
    valid = np.array([[True, False], [True, False]])
    for method, expected in (("min", low), ("max", high)):
        ((found, _),) = levels(values, valid, count=1, nodata=3, method=method)
        assert found[0, 0] == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_b11_infinities_are_extremes_like_others(dtype: str) -> None:
    """B11: they are also what invalid cells count as, and yet valid ones are kept."""
    for method, only in (("min", math.inf), ("max", -math.inf)):
        assert first_cell([only, only], dtype, method=method, nodata=math.nan) == (only, True)
    assert first_cell([1, -math.inf, math.inf], dtype, method="min", nodata=math.nan) == (-math.inf, True)
    assert first_cell([1, -math.inf, math.inf], dtype, method="max", nodata=math.nan) == (math.inf, True)


@pytest.mark.parametrize("method", ["min", "max"])
def test_an_extreme_may_equal_the_fill_value_where_alpha_tells(method: str) -> None:
    assert first_cell([9, 9], "uint8", method=method, nodata=9, is_nodata=False) == (9, True)


def test_flags_are_united() -> None:
    """P-8: bits of all valid cells, those of the sign too; the invalid one's flag 64 stays away."""
    assert first_cell([0b0001, 0b0100, 0b1000], "uint8", method="bit-or", nodata=64, unused=64) == (0b1101, True)
    assert first_cell([-128, 1], "int8", method="bit-or", nodata=64, unused=64) == (-127, True)
    assert first_cell([2**63, 1], "uint64", method="bit-or", nodata=64, unused=64) == (2**63 + 1, True)


def test_united_flags_that_equal_nodata_are_not_changed() -> None:
    """P-8: a flag is never invented, not even to keep a cell from being taken for missing."""
    assert first_cell([1, 2], "uint8", method="bit-or", nodata=3) == (3, True)


# mode and median


def test_the_mode_is_that_of_all_values_not_of_modes() -> None:
    """P-4: three quarters hold 5 twice, so 5 is the mode of their modes; of all sixteen, seven are 3 and six are 5."""
    quarter = np.array([[5, 5], [3, 4]], np.uint8)
    values = np.block([[quarter, quarter], [quarter, np.full((2, 2), 3, np.uint8)]])
    first, top = levels(values, np.ones((4, 4), bool), count=2, nodata=0, method="mode")
    assert first[0].tolist() == [[5, 5], [5, 3]]
    assert top[0].tolist() == [[3]]


def test_the_mode_weighs_valid_values_alone() -> None:
    """P-4: two of three valid values are 9; the fourth cell's class does not count, nor does its level."""
    values = np.array([[9, 2, 2, 2], [2, 9, 2, 2]], np.int16)
    valid = np.array([[True, False, False, False], [True, True, False, False]])
    first, top = levels(values, valid, count=2, nodata=-1, method="mode")
    assert first[0].tolist() == [[9, -1]]
    assert top[0].tolist() == [[9]]


@pytest.mark.parametrize("method", ["mode", "median"])
def test_one_quarter_of_another_class_is_counted_as_such(method: str) -> None:
    """P-4: four cells of one class each, any one of them another: its four 9 outweigh three single 5."""
    for row, col in np.ndindex(2, 2):
        values, valid = np.full((4, 4), 5, np.uint8), np.zeros((4, 4), bool)
        valid[::2, ::2] = True
        quarter = np.s_[2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
        values[quarter], valid[quarter] = 9, True
        top, _ = levels(values, valid, count=2, nodata=0, method=method)[1]
        assert top.tolist() == [[9]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_equally_frequent_classes_the_mode_is_the_smallest(dtype: str) -> None:
    """P-4: however they are arranged."""
    smallest = 1 if dtype.startswith("u") else -3
    for numbers in itertools.permutations([smallest, 5, smallest, 5]):
        assert first_cell(list(numbers), dtype, method="mode", nodata=0)[0] == smallest
    for numbers in itertools.permutations([7, 5, smallest, 6]):
        assert first_cell(list(numbers), dtype, method="mode", nodata=0)[0] == smallest


@given(
    values=arrays.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 12)),
    method=st.sampled_from(["mode", "median", "min", "max", "nearest"]),
    data=st.data(),
)
def test_what_is_chosen_lies_under_the_cell(values: np.ndarray, method: str, data: st.DataObject) -> None:
    """P-4: no class appears that is not among the valid ones; a median lies between two of them."""
    valid = data.draw(arrays.arrays(np.bool_, values.shape))
    for step, (found, found_valid) in enumerate(levels(values, valid, count=5, nodata=99, method=method), start=1):
        side = 2**step
        for row, col in np.argwhere(found_valid):
            cell = np.s_[row * side : (row + 1) * side, col * side : (col + 1) * side]
            under = values[cell][valid[cell]]
            if method == "median":
                assert under.min() <= found[row, col] <= under.max()
            else:
                assert found[row, col] in under


@pytest.mark.parametrize(
    ("dtype", "numbers", "expected"),
    [
        ("uint8", [0, 1], 0),  # 0.5
        ("uint8", [1, 2], 2),  # 1.5
        ("int8", [-1, 0], 0),  # -0.5
        ("int8", [-2, -1], -2),  # -1.5
        ("uint8", [1, 200, 3], 3),
        ("uint8", [1, 200, 3, 4], 4),  # 3.5
        ("uint8", [255, 255], 255),
        ("int8", [-128, -128, -127], -128),
        ("int8", [-128, 127], 0),  # -0.5
        ("int64", [2**63 - 1, 2**63 - 1, 0, 2**63 - 2], 2**63 - 2),  # a half beside an odd number
        ("int64", [-(2**63), -(2**63) + 1], -(2**63)),
        ("uint64", [2**64 - 1, 2**64 - 2], 2**64 - 2),
        ("uint64", [2**64 - 1, 2**64 - 3], 2**64 - 2),
        ("float32", [float(np.finfo(np.float32).max)] * 2, float(np.finfo(np.float32).max)),
        ("float64", [float(np.finfo(np.float64).max)] * 2, float(np.finfo(np.float64).max)),
        ("float64", [5e-324, 5e-324], 5e-324),
        ("float64", [math.inf, 1.0, 2.0], 2.0),
        ("float64", [-math.inf, 1.0], -math.inf),
    ],
)
def test_the_median_is_the_mean_of_the_two_in_the_middle(dtype: str, numbers: list[Any], expected: Any) -> None:
    """P-3: halves go to even, and no sum of the two overflows."""
    for order in itertools.permutations(numbers):
        assert first_cell(list(order), dtype, method="median", nodata=77, unused=77) == (expected, True)


def test_b11_infinities_of_both_signs_have_no_median() -> None:
    """B11: as for numpy, whose median is NaN."""
    found, is_valid = first_cell([math.inf, -math.inf], "float32", method="median", nodata=-1)
    assert (found, is_valid) == (-1, False)


@pytest.mark.parametrize("shape", [(31, 37), (64, 64), (127, 5)])
def test_the_median_of_floats_is_numpys(shape: tuple[int, int]) -> None:
    """Distinct values: every finest one goes up to the top."""
    values = random_values("float64", shape, seed=37)
    valid = np.random.default_rng(41).random(shape) < 0.7
    for step, (found, _) in enumerate(levels(values, valid, count=7, nodata=math.nan, method="median"), start=1):
        side = 2**step
        for row, col in np.ndindex(found.shape):
            cell = np.s_[row * side : (row + 1) * side, col * side : (col + 1) * side]
            expected = np.median(values[cell][valid[cell]]) if valid[cell].any() else math.nan
            np.testing.assert_array_equal(found[row, col], expected)


@pytest.mark.parametrize("most", [1, 2, 200])
@pytest.mark.parametrize("method", ["mode", "median"])
def test_counts_are_conserved(method: str, most: int) -> None:
    """P-9: of one class, of two and of many, with holes, the counts of all runs are the valid pixels at every level."""
    values = np.random.default_rng(43).integers(0, most, (45, 38), dtype=np.uint8)
    valid = np.random.default_rng(47).random(values.shape) < 0.6
    accumulator = fold.make(method, values.dtype, half(values.shape))
    accumulator.add_finest(values, valid, row=0, col=0)
    for _ in range(7):
        assert isinstance(accumulator, Runs)
        counts = np.zeros(most, np.int64)
        np.add.at(counts, accumulator.values[: accumulator.used], accumulator.counts[: accumulator.used])
        np.testing.assert_array_equal(counts, np.bincount(values[valid], minlength=most))
        parent = fold.make(method, values.dtype, half(accumulator.shape))
        parent.add(accumulator, row=0, col=0)
        accumulator = parent


def test_counts_go_up_exactly() -> None:
    """P-4: of 4**10 pixels, one more than half are of the larger class."""
    values = np.repeat(np.array([[4, 9]], np.uint8), 512, axis=1).repeat(1024, axis=0)
    values[700, 300] = 9
    top, _ = levels(values, np.ones(values.shape, bool), count=10, nodata=0, method="mode")[-1]
    assert top.tolist() == [[9]]
    values[700, 300] = 4
    top, _ = levels(values, np.ones(values.shape, bool), count=10, nodata=0, method="mode")[-1]
    assert top.tolist() == [[4]], "and of two halves the smaller class"


@pytest.mark.parametrize("method", ["mode", "median"])
def test_pairs_beyond_the_limit_are_refused(method: str) -> None:
    """Four values in one cell, two in another: six pairs, which merge into five above."""
    values = np.array([[1, 2, 3, 7], [3, 4, 3, 7]], np.uint8)
    valid = np.ones(values.shape, bool)
    whole = fold.make(method, values.dtype, (1, 2), most_pairs=6)
    whole.add_finest(values, valid, row=0, col=0)
    for allowed in (0, 1, 5):
        block = fold.make(method, values.dtype, (1, 2), most_pairs=allowed)
        with pytest.raises(LimitError) as caught:
            block.add_finest(values, valid, row=0, col=0)
        assert (caught.value.allowed, caught.value.found) == (allowed, 6)
        with pytest.raises(LimitError, match="distinct values under the cells of a block"):
            block.paste(whole, row=0, col=0)
        block.clear()
        block.add_finest(values[:, 2:], np.zeros((2, 2), bool), row=0, col=1)
        assert not stored(block, values.dtype, nodata=0)[1].any(), "it can be used again"
    fold.make(method, values.dtype, (1, 1), most_pairs=5).add(whole, row=0, col=0)
    parent = fold.make(method, values.dtype, (1, 1), most_pairs=4)
    with pytest.raises(LimitError) as caught:
        parent.add(whole, row=0, col=0)
    assert (caught.value.allowed, caught.value.found) == (4, 5)


def test_the_limit_bounds_what_a_pool_takes() -> None:
    """Room is doubled, but not beyond the limit; half-merged runs of one row of cells come on top."""
    dtype = np.dtype("uint16")
    values = np.arange(64 * 64, dtype=dtype).reshape(64, 64)
    valid = np.ones(values.shape, bool)
    block = fold.make("median", dtype, (32, 32), most_pairs=4096)
    block.add_finest(values, valid, row=0, col=0)
    assert block.nbytes == 32 * 32 * 8 + 4096 * 6
    parent = fold.make("median", dtype, (16, 16), most_pairs=4096)
    parent.add(block, row=0, col=0)
    assert parent.nbytes <= 16 * 16 * 8 + (4096 + 256) * 6  # a row of cells has 4096 / 16 pairs


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
@pytest.mark.parametrize("method", ["mode", "median"])
def test_no_block_holds_more_pairs_than_planned(method: str, dtype: str) -> None:
    """Bounds are reached by blocks in which as many values differ as can."""
    different = np.arange(32 * 32).reshape(32, 32)
    for classes in (None, 1, 3, 40):
        values = (different % (classes or 256)).astype(dtype)
        accumulator = fold.make(method, values.dtype, (16, 16))
        accumulator.add_finest(values, np.ones(values.shape, bool), row=0, col=0)
        for level in range(1, 6):
            assert isinstance(accumulator, Runs)
            at_most = fold.pairs_at_most(accumulator.shape, level, values.dtype, classes)
            assert accumulator.used <= at_most
            if level == 5 or classes == 1:
                assert accumulator.used == min(at_most, 256)
            needed = accumulator.used * fold.pair_bytes(values.dtype) + 8 * accumulator.length.size
            assert needed <= accumulator.length.size * fold.cell_bytes(
                method, values.dtype, classes=classes, level=level
            )
            parent = fold.make(method, values.dtype, half(accumulator.shape))
            parent.add(accumulator, row=0, col=0)
            accumulator = parent


def test_planned_pairs() -> None:
    """By hand: 4**level finest cells, or classes, or values of the dtype, whichever is least."""
    byte, real = np.dtype("uint8"), np.dtype("float64")
    assert fold.pairs_at_most((10, 20), 1, byte) == 200 * 4
    assert fold.pairs_at_most((10, 20), 4, byte) == 200 * 256
    assert fold.pairs_at_most((10, 20), 5, byte) == 200 * 256
    assert fold.pairs_at_most((10, 20), 5, byte, 11) == 200 * 11
    assert fold.pairs_at_most((1, 1), 5, real) == 1024
    assert fold.cell_bytes("mode", byte, classes=11) == 8 + 4 * 5
    assert fold.cell_bytes("mode", byte, classes=2) == 8 + 2 * 5
    assert fold.cell_bytes("median", real, level=3) == 8 + 64 * 12


# nearest


@pytest.mark.parametrize("shape", [*SHAPES, (1024, 3), (1000, 2), (1, 1025)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_nearest_takes_the_centre_sample_at_every_level(shape: tuple[int, int], dtype: str) -> None:
    """P-5: index `i * f + f // 2` of the finest level, however deep; the window's first where that lies outside."""
    values = random_values(dtype, shape, seed=17)
    valid = np.random.default_rng(19).random(shape) < 0.7
    count = max(1, math.ceil(math.log2(max(shape))))
    found = levels(values, valid, count=count, nodata=0, method="nearest")
    for step, (level, level_valid) in enumerate(found, start=1):
        expected_valid = oracle.sample(valid, 2**step)
        np.testing.assert_array_equal(level_valid, expected_valid)
        np.testing.assert_array_equal(level, np.where(expected_valid, oracle.sample(values, 2**step), 0))


def test_nearest_has_no_drift() -> None:
    """P-5: of column numbers, level k shows the column just right of its cell's centre: off by half a column always."""
    columns = np.tile(np.arange(1024, dtype=np.float64), (2, 1))
    found = levels(columns, np.ones(columns.shape, bool), count=10, nodata=math.nan, method="nearest")
    for step, (level, _) in enumerate(found, start=1):
        side = 2**step
        centres = (np.arange(1024 // side) + 0.5) * side - 0.5  # in column numbers
        np.testing.assert_array_equal(level[0] - centres, 0.5)


def test_nearest_never_shows_a_class_that_the_source_lacks() -> None:
    """P-4."""
    classes = np.random.default_rng(23).choice(np.array([1, 7, 200], np.uint8), (64, 64))
    for level, valid in levels(classes, np.ones((64, 64), bool), count=6, nodata=0, method="nearest"):
        assert set(np.unique(level[valid])) <= {1, 7, 200}
