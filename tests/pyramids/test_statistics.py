"""One-pass statistics against numpy's (DESIGN section 2; B11)."""

from __future__ import annotations

import functools
import math

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyramids import statistics
from pyramids.statistics import Summary

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


def noise(dtype: str, shape: tuple[int, int] = (97, 83)) -> np.ndarray:
    """Values over the whole range of an integer, or bell-shaped."""
    rng = np.random.default_rng(4)
    if np.dtype(dtype).kind == "f":
        return rng.normal(20, 7, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def summary(values: np.ndarray, valid: np.ndarray | None = None) -> Summary:
    """Summarise what must not be empty."""
    found = statistics.summarise(values, np.ones(values.shape, bool) if valid is None else valid)
    assert found is not None
    return found


def bin_width(value: float) -> float:
    """The stated width: 1/128 of the value at most (of the power of two below it)."""
    return abs(value) / 64 + 1e-30


@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_are_numpys(dtype: str) -> None:
    values = noise(dtype)
    valid = np.random.default_rng(8).random(values.shape) < 0.7
    chosen = values[valid].astype(np.float64)
    found = summary(values, valid).to_attributes()
    assert found["count"] == valid.sum()
    assert (found["min"], found["max"]) == (chosen.min(), chosen.max())
    assert isinstance(found["min"], int if np.dtype(dtype).kind in "iu" else float)
    assert found["mean"] == pytest.approx(chosen.mean(), rel=1e-9, abs=1e-9 * chosen.std())
    assert found["std"] == pytest.approx(chosen.std(), rel=1e-9)
    for name, share in (("p2", 2), ("p98", 98)):
        below, above = np.percentile(chosen, [max(0, share - 0.5), min(100, share + 0.5)])
        exact = np.percentile(chosen, share)
        width = max(bin_width(exact), bin_width(found[name]))
        assert below - width <= found[name] <= above + width


def test_percentiles_of_bytes_are_within_one_count() -> None:
    """8-bit integers have a bin each."""
    values = noise("uint8", (300, 300))
    found = summary(values)
    for share in (0.02, 0.25, 0.5, 0.75, 0.98):
        exact = np.percentile(values, share * 100)
        assert abs(found.percentile(share) - exact) <= 1


def test_percentiles_stay_within_the_data() -> None:
    assert summary(np.full((5, 5), 200, np.uint8)).percentile(0.98) == 200
    assert summary(np.full((5, 5), -0.1)).percentile(0.02) == -0.1
    two = summary(np.array([[-3.0, 1e30]]))
    assert two.percentile(0.0) == -3
    assert two.percentile(1.0) == 1e30


@pytest.mark.parametrize("value", [0.1, -273.15, 1e-300, 5e-324, 1e15 + 0.3, 1 / 3])
def test_a_constant_has_no_deviation(value: float) -> None:
    """P-10: the noise of a sum would depend on the size of the blocks."""
    constant = summary(np.full((701, 903), value))
    parts = functools.reduce(Summary.merge, (summary(np.full((rows, 903), value)) for rows in (128, 256, 317)))
    for found in (constant.to_attributes(), parts.to_attributes()):
        assert found["std"] == 0
        assert found["mean"] == pytest.approx(value, rel=1e-9, abs=0)
    assert constant.to_attributes() == parts.to_attributes()


def test_a_mean_of_zero_is_zero() -> None:
    """As above; and never minus zero, which JSON would show."""
    values = noise("float64", (400, 400))
    values = np.vstack([values, -values])
    found = summary(values).to_attributes()
    assert math.copysign(1, found["mean"]) == 1
    assert found["mean"] == 0


def test_b16_nothing_valid_has_no_statistics() -> None:
    """B16."""
    assert statistics.summarise(np.zeros((3, 3)), np.zeros((3, 3), bool)) is None
    one = summary(np.ones((2, 2)))
    assert statistics.merge(None, one) is one
    assert statistics.merge(one, None) is one
    assert statistics.merge(None, None) is None


def test_what_stands_under_the_mask_does_not_count() -> None:
    values = np.array([[1.0, math.nan, 1e300], [math.inf, 3.0, -1e300]])
    valid = np.array([[True, False, False], [False, True, False]])
    found = summary(values, valid).to_attributes()
    assert (found["count"], found["min"], found["max"], found["mean"], found["std"]) == (2, 1, 3, 2, 1)


def test_b11_infinities_leave_out_the_numbers_that_json_cannot_hold() -> None:
    """B11."""
    values = np.array([[math.inf, 1.0, 2.0, -math.inf]])
    found = summary(values).to_attributes()
    assert found["count"] == 4
    assert "max" not in found
    assert "min" not in found
    assert all(math.isfinite(number) for number in found.values())


@given(
    values=arrays.arrays(np.float32, (12, 17), elements=st.floats(-1e6, 1e6, width=32)),
    data=st.data(),
)
def test_merging_parts_is_summarising_the_whole(values: np.ndarray, data: st.DataObject) -> None:
    """P-10: whatever the blocks."""
    valid = data.draw(arrays.arrays(np.bool_, values.shape))
    cut = data.draw(st.integers(1, 11))
    whole = statistics.summarise(values, valid)
    parts = statistics.merge(
        statistics.summarise(values[:cut], valid[:cut]), statistics.summarise(values[cut:], valid[cut:])
    )
    if whole is None or parts is None:
        assert whole is parts
        return
    assert (parts.count, parts.minimum, parts.maximum) == (whole.count, whole.minimum, whole.maximum)
    np.testing.assert_array_equal(parts.histogram, whole.histogram)
    size = float(np.abs(values[valid]).max())
    assert parts.mean == pytest.approx(whole.mean, rel=1e-12, abs=1e-12 * size)
    assert parts.squares == pytest.approx(whole.squares, rel=1e-9, abs=1e-9 * size**2)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=40))
def test_bins_keep_the_order_of_values(numbers: list[float]) -> None:
    """A value is in a bin whose edges hold it, and a larger one is never in an earlier bin."""
    bins = []
    for number in sorted(number + 0.0 for number in numbers):  # -0.0 equals 0.0 and has a bin of its own
        histogram = summary(np.array([[number]], np.float32)).histogram
        (index,) = np.flatnonzero(histogram)
        bins.append(int(index))
        found = summary(np.array([[number]], np.float32)).percentile(0.5)
        assert found == np.float32(number)
    assert bins == sorted(bins)
