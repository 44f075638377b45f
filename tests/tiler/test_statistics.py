from __future__ import annotations

import json
import math
import statistics as python_statistics
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rio_tiler.models import BandStatistics, ImageData
from rio_tiler.utils import get_array_statistics

from geozarr.errors import GridMismatchError, ParameterError
from tiler.block import Block
from tiler.statistics import StatisticsOptions, statistics

DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "float32", "float64")


def by_rio_tiler(block: Block, **options: Any) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_array_statistics(np.ma.MaskedArray(block.values.copy(), ~block.mask), **options)


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert set(ours) == set(theirs)
    for key, expected in theirs.items():
        if key == "histogram":
            assert ours[key][0] == expected[0]
            assert ours[key][1] == pytest.approx(expected[1], rel=1e-6, abs=1e-6)
        elif math.isnan(expected):
            assert ours[key] is None
        else:
            assert ours[key] == pytest.approx(expected, rel=1e-9, abs=1e-9), key


def example_block(dtype: str, *, valid: float = 0.7) -> Block:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 120, (2, 21, 34)).astype(dtype)
    if values.dtype.kind == "f":
        values += rng.random(values.shape).astype(dtype)
        values[:, 3, 4:9] = np.nan
        values[:, 5, 4:9] = np.inf
    return Block(values, rng.random(values.shape) < valid)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"percentiles": [5, 50, 95, 100, 0]},
        {"bins": 25},
        {"bins": 7, "range": (10.0, 60.0)},
        {"bins": [0.0, 10.0, 50.0, 51.0, 120.0]},
    ],
)
def test_statistics_are_rio_tilers(dtype: str, options: dict[str, Any]) -> None:
    block = example_block(dtype)
    bins = options.get("bins", 10)
    ours = StatisticsOptions(
        tuple(options.get("percentiles", (2, 98))), bins if isinstance(bins, int) else tuple(bins), options.get("range")
    )
    for found, expected in zip(statistics(block, ours), by_rio_tiler(block, **options), strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_statistics_are_rio_tilers(dtype: str) -> None:
    block = example_block(dtype)
    weights = np.random.default_rng(1).random((21, 34)) * (np.random.default_rng(2).random((21, 34)) < 0.6)
    for found, expected in zip(statistics(block, weights=weights), by_rio_tiler(block, coverage=weights), strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("categories", [None, [1, 5, 119, 7], [200.0, 3.0]])
def test_categories_are_counted_as_rio_tiler_counts_them(dtype: str, categories: list[float] | None) -> None:
    rng = np.random.default_rng(3)
    block = Block(rng.integers(0, 120, (1, 20, 30)).astype(dtype), rng.random((1, 20, 30)) < 0.8)
    ours = StatisticsOptions(categorical=True, categories=tuple(categories or ()))
    expected = by_rio_tiler(block, categorical=True, categories=categories)
    assert_same(statistics(block, ours)[0], expected[0])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_nothing_but_masked_cells_is_null_in_json(dtype: str) -> None:
    block = Block(np.ones((1, 3, 4), dtype), np.zeros((1, 3, 4), bool))
    found = statistics(block)
    assert_same(found[0], by_rio_tiler(block)[0])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found[0]["count"], found[0]["masked_pixels"], found[0]["valid_percent"]) == (0, 12, 0.0)


def test_rio_tilers_models_take_what_comes_out() -> None:
    block = example_block("int16")
    image = ImageData(np.ma.MaskedArray(block.values.copy(), ~block.mask))
    for found, expected in zip(statistics(block), image.statistics().values(), strict=True):
        assert_same(found, expected.model_dump(exclude={"description"}))
        assert BandStatistics(**found, description="b1")


@settings(deadline=None)
@given(
    values=arrays.arrays(st.sampled_from([*DTYPES, "uint64", "float16", "bool"]), (1, 3, 4)),
    mask=arrays.arrays(bool, (1, 3, 4)),
    bins=st.integers(1, 40),
)
@example(values=np.array([[[1.0, 1.0 + 2**-52]]]), mask=np.ones((1, 1, 2), bool), bins=10)
@example(values=np.array([[[1e20, 1e20]]]), mask=np.ones((1, 1, 2), bool), bins=10)
@example(values=np.array([[[-1.7e308, 1.7e308]]]), mask=np.ones((1, 1, 2), bool), bins=10)
@example(values=np.array([[[np.finfo(float).max] * 2]]), mask=np.ones((1, 1, 2), bool), bins=10)
@example(values=np.array([[[2**63 - 1, 2**63 - 2]]]), mask=np.ones((1, 1, 2), bool), bins=10)
@example(values=np.array([[[5e-324, 0.0]]]), mask=np.ones((1, 1, 2), bool), bins=10)
def test_any_values_give_json_whose_parts_agree(values: np.ndarray, mask: np.ndarray, bins: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = statistics(Block(values, mask), StatisticsOptions(bins=bins))[0]
    json.dumps(found, allow_nan=False)
    valid = [value for value in values[mask].tolist() if math.isfinite(value)]
    counts, edges = found["histogram"]
    assert sum(counts) == found["valid_pixels"] == found["count"] == len(valid)
    assert (len(counts), len(edges)) == (bins, bins + 1)
    assert edges == sorted(edges)
    assert found["masked_pixels"] == values.size - len(valid)
    if not valid:
        return
    assert (found["min"], found["max"]) == (min(valid), max(valid))
    assert found["unique"] == len(set(valid))
    exact = sum(map(Fraction, valid))
    if values.dtype.kind in "iub":
        assert found["sum"] == exact
        assert type(found["sum"]) is int
        assert found["mean"] == float(exact / len(valid))
    frequent = python_statistics.multimode(valid)
    assert found["majority"] == min(frequent)
    ordered = sorted(valid)
    assert found["median"] == ordered[math.ceil(len(valid) / 2) - 1]


@pytest.mark.parametrize(
    "values", [[1.0, 1.0 + 2**-52], [1e20, 1e20], [2.0**63, 2.0**63], [5e-324, 0.0], [-1.7e308, 1.7e308], [7.0]]
)
def test_bins_are_as_many_as_asked_and_none_is_empty_of_numbers(values: list[float]) -> None:
    found = statistics(Block(np.array([[values]]), np.ones((1, 1, len(values)), bool)))[0]
    counts, edges = found["histogram"]
    assert (np.diff(np.array(edges) / 16) > 0).all()
    assert sum(counts) == len(values)


def test_bins_of_a_constant_are_a_half_wide_on_either_side() -> None:
    block = Block(np.full((1, 2, 2), 5, np.int16), np.ones((1, 2, 2), bool))
    assert statistics(block)[0]["histogram"] == by_rio_tiler(block)[0]["histogram"]


def test_the_bins_of_the_greatest_numbers_are_numbers() -> None:
    for end in (-np.finfo(float).max, np.finfo(float).max):
        counts, edges = statistics(Block(np.full((1, 1, 3), end), np.ones((1, 1, 3), bool)))[0]["histogram"]
        assert sum(counts) == 3
        assert np.isfinite(edges).all()


def test_booleans_are_counted_as_0_and_1() -> None:
    found = statistics(Block(np.array([[[True, False, True]]]), np.ones((1, 1, 3), bool)))[0]
    assert json.dumps([found[key] for key in ("min", "max", "sum", "majority")]) == "[0, 1, 2, 1]"


@pytest.mark.parametrize(("dtype", "value"), [("int64", 2**63 - 1), ("uint64", 2**64 - 1), ("int64", -(2**63))])
def test_sums_and_values_of_64_bits_are_exact(dtype: str, value: int) -> None:
    block = Block(np.full((1, 50, 50), value, dtype), np.ones((1, 50, 50), bool))
    found = statistics(block)[0]
    assert found["sum"] == value * 2500
    assert found["mean"] == float(value)
    assert {found[key] for key in ("min", "max", "median", "majority", "minority", "percentile_2")} == {value}
    assert found["std"] == 0


@given(
    values=arrays.arrays(np.int16, (1, 4, 5)),
    shares=arrays.arrays(np.float64, (4, 5), elements=st.sampled_from([0, 0.25, 1])),
)
def test_weighted_moments_are_those_of_exact_fractions(values: np.ndarray, shares: np.ndarray) -> None:
    found = statistics(Block(values, np.ones(values.shape, bool)), weights=shares)[0]
    weights, numbers = [Fraction(share) for share in shares.flat], [Fraction(int(value)) for value in values.flat]
    count = sum(weights)
    assert found["count"] == count
    if count == 0:
        assert found["mean"] is found["std"] is found["median"] is found["percentile_98"] is None
        return
    mean = sum(w * v for w, v in zip(weights, numbers, strict=True)) / count
    variance = sum(w * (v - mean) ** 2 for w, v in zip(weights, numbers, strict=True)) / count
    assert found["mean"] == pytest.approx(float(mean), rel=1e-12, abs=1e-9)
    assert found["std"] == pytest.approx(math.sqrt(variance), rel=1e-9, abs=1e-6)


def test_a_sum_that_overflows_is_null() -> None:
    found = statistics(Block(np.full((1, 2, 2), 1.7e308), np.ones((1, 2, 2), bool)))[0]
    assert found["sum"] is found["mean"] is found["std"] is None
    assert found["max"] == 1.7e308


def test_a_class_of_floats_is_the_one_written_so() -> None:
    block = Block(np.array([[[0.1, 0.1, 0.2]]], np.float32), np.ones((1, 1, 3), bool))
    options = StatisticsOptions(categorical=True, categories=(0.1, 0.3))
    assert statistics(block, options)[0]["histogram"] == [[2, 0], [0.1, 0.3]]
    whole = Block(np.array([[[1, 2, 44]]], np.uint8), np.ones((1, 1, 3), bool))
    options = StatisticsOptions(categorical=True, categories=(1.0, 1.5, 300.0, -212.0))
    assert statistics(whole, options)[0]["histogram"][0] == [1, 0, 0, 0]


def test_more_different_values_than_can_be_listed_are_refused() -> None:
    block = Block(np.arange(1025, dtype=np.int32).reshape(1, 1, -1), np.ones((1, 1, 1025), bool))
    with pytest.raises(ParameterError) as caught:
        statistics(block, StatisticsOptions(categorical=True))
    assert caught.value.parameter == "categorical"
    listed = statistics(Block(block.values[..., 1:], block.mask[..., 1:]), StatisticsOptions(categorical=True))
    assert len(listed[0]["histogram"][0]) == 1024
    assert statistics(block, StatisticsOptions(categorical=True, categories=(5.0,)))[0]["histogram"] == [[1], [5.0]]


@pytest.mark.parametrize(
    ("parameter", "options"),
    [
        ("p", {"percentiles": (101,)}),
        ("p", {"percentiles": (-1,)}),
        ("p", {"percentiles": (2.5,)}),
        ("p", {"percentiles": (True,)}),
        ("p", {"percentiles": (2, 2)}),
        ("p", {"percentiles": tuple(range(33))}),
        ("histogram_bins", {"bins": 0}),
        ("histogram_bins", {"bins": -1}),
        ("histogram_bins", {"bins": 10**9}),
        ("histogram_bins", {"bins": (1.0,)}),
        ("histogram_bins", {"bins": (1.0, 1.0)}),
        ("histogram_bins", {"bins": (1.0, math.inf)}),
        ("histogram_bins", {"bins": tuple(map(float, range(1026)))}),
        ("histogram_range", {"histogram_range": (1.0, 1.0)}),
        ("histogram_range", {"histogram_range": (math.nan, 1.0)}),
        ("c", {"categories": (math.nan,)}),
        ("c", {"categories": tuple(map(float, range(1025)))}),
    ],
)
def test_options_out_of_range_are_refused(parameter: str, options: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        StatisticsOptions(**options)
    assert caught.value.parameter == parameter


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(GridMismatchError):
        statistics(example_block("uint8"), weights=np.ones((3, 3)))


def test_options_are_keys() -> None:
    assert hash(StatisticsOptions()) == hash(StatisticsOptions((2, 98)))
    assert repr(StatisticsOptions()) == repr(StatisticsOptions((2, 98), 10, None, False, ()))


def test_a_block_without_cells_has_no_numbers() -> None:
    found = statistics(Block(np.zeros((1, 0, 5)), np.zeros((1, 0, 5), bool)))[0]
    assert (found["count"], found["valid_percent"], found["mean"]) == (0, 0.0, None)
