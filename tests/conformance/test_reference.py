"""The slow resampler against sums done by hand."""

from __future__ import annotations

import functools
import math
import operator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.reference import aggregate
from geozarr import GridMismatchError, ParameterError


def test_mean_leaves_invalid_cells_out() -> None:
    values = np.array([[1, 2, 10], [3, 99, 20]])
    valid = np.array([[True, True, True], [True, False, False]])
    mean, has_data = aggregate(values, valid, 2, "average")
    assert mean.tolist() == [[(1 + 2 + 3) / 3, 10.0]]
    assert has_data.all()


def test_a_window_without_valid_cells_has_no_value() -> None:
    mean, has_data = aggregate(np.zeros((2, 4)), np.array([[False, False, True, True]] * 2), 2, "average")
    assert not has_data[0, 0]
    assert math.isnan(mean[0, 0])
    assert has_data[0, 1]


def test_partial_windows_are_averaged_over_what_they_hold() -> None:
    values = np.arange(15.0).reshape(3, 5)
    mean, _ = aggregate(values, np.ones((3, 5), bool), 2, "average")
    # The last window of the first rows holds column 4 of rows 0 and 1; the corner holds cell (2, 4) alone.
    assert mean.shape == (2, 3)
    assert mean[0, 2] == (4 + 9) / 2
    assert mean[1, 0] == (10 + 11) / 2
    assert mean[1, 2] == 14


def test_each_leading_axis_is_averaged_by_itself() -> None:
    values = np.stack([np.full((2, 2), band) for band in range(3)])
    mean, _ = aggregate(values, np.ones((2, 2), bool), 2, "average")
    assert mean[:, 0, 0].tolist() == [0, 1, 2]


def test_masks_may_differ_by_band() -> None:
    values = np.ones((2, 2, 2))
    valid = np.array([np.ones((2, 2), bool), np.zeros((2, 2), bool)])
    assert aggregate(values, valid, 2, "average")[1][:, 0, 0].tolist() == [True, False]


def test_infinities_are_values_but_not_of_both_signs() -> None:
    values = np.array([[np.inf, 1.0, np.inf, -np.inf]])
    mean, has_data = aggregate(values, np.ones((1, 4), bool), 2, "average")
    assert mean[0, 0] == np.inf
    assert has_data[0].tolist() == [True, False]


def test_nearest_takes_the_cell_at_the_centre() -> None:
    values = np.arange(64).reshape(8, 8)
    sample, _ = aggregate(values, np.ones((8, 8), bool), 4, "nearest")
    # Centres are rows and columns 2 and 6.
    assert sample.tolist() == [[2 * 8 + 2, 2 * 8 + 6], [6 * 8 + 2, 6 * 8 + 6]]


def test_nearest_takes_the_first_cell_where_the_centre_is_beyond_the_edge() -> None:
    values = np.arange(30).reshape(5, 6)
    sample, _ = aggregate(values, np.ones((5, 6), bool), 4, "nearest")
    # Row 6 is beyond the edge, so row 4 stands in; column 6 is beyond it too, so column 4 does.
    assert sample.tolist() == [[2 * 6 + 2, 2 * 6 + 4], [4 * 6 + 2, 4 * 6 + 4]]


def test_nearest_takes_the_validity_of_its_cell() -> None:
    valid = np.ones((4, 4), bool)
    valid[2, 2] = False
    sample, has_data = aggregate(np.ones((4, 4)), valid, 4, "nearest")
    assert not has_data[0, 0]
    assert math.isnan(sample[0, 0])


def test_factor_1_gives_the_values_back() -> None:
    values = np.arange(6, dtype="int16").reshape(2, 3)
    for method in ("average", "nearest"):
        result, has_data = aggregate(values, np.ones((2, 3), bool), 1, method)
        assert result.dtype == np.float64
        assert has_data.all()
        assert (result == values).all()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_mean_is_the_exact_mean(rows: int, cols: int, factor: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(-(2**20), 2**20, (rows, cols))
    valid = random.random((rows, cols)) < 0.7
    mean, has_data = aggregate(values, valid, factor, "average")
    for row in range(-(-rows // factor)):
        for col in range(-(-cols // factor)):
            window = [
                int(values[i, j])
                for i in range(row * factor, min(rows, (row + 1) * factor))
                for j in range(col * factor, min(cols, (col + 1) * factor))
                if valid[i, j]
            ]
            assert has_data[row, col] == bool(window)
            # Sums below 2**53 are exact in float64, and so the quotient is the nearest float64.
            assert not window or mean[row, col] == float(Fraction(sum(window), len(window)))


def _by_hand(method: str, window: list[int]) -> float:
    count = {value: window.count(value) for value in window}
    ordered = sorted(window)
    middle = ordered[(len(window) - 1) // 2], ordered[len(window) // 2]
    return {
        "sum": float(sum(window)),
        "min": float(min(window)),
        "max": float(max(window)),
        "mode": float(min(value for value in count if count[value] == max(count.values()))),
        "median": sum(middle) / 2,
        "bit-or": float(functools.reduce(operator.or_, window)),
    }[method]


@given(
    st.sampled_from(["sum", "min", "max", "mode", "median", "bit-or"]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(0, 2**32 - 1),
)
def test_each_method_is_what_its_name_says(method: str, shape: Any, factor: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(0, 7, shape)
    valid = random.random(shape) < 0.7
    found, has_data = aggregate(values, valid, factor, method)
    for row, col in np.ndindex(found.shape):
        place = np.s_[row * factor[0] : (row + 1) * factor[0], col * factor[1] : (col + 1) * factor[1]]
        window = [int(value) for value in values[place][valid[place]]]
        assert has_data[row, col] == bool(window)
        assert not window or found[row, col] == _by_hand(method, window)


def test_modes_of_signed_values_and_of_none() -> None:
    values = np.array([[-3, -3, 5, 5], [5, -3, 0, 0]])
    valid = np.array([[True, True, False, False]] * 2)
    mode, has_data = aggregate(values, valid, 2, "mode")
    assert mode[0, 0] == -3
    assert has_data.tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("factor", "method", "parameter"),
    [(0, "average", "factor"), ((2, 0), "average", "factor"), (2, "cubic", "method"), (2, "bit-or", "method")],
)
def test_unknown_arguments_are_refused(factor, method, parameter) -> None:
    with pytest.raises(ParameterError) as raised:
        aggregate(np.ones((2, 2)), np.ones((2, 2), bool), factor, method)
    assert raised.value.parameter == parameter


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(GridMismatchError) as raised:
        aggregate(np.ones((3, 2, 2)), np.ones((2, 3), bool), 2, "average")
    assert raised.value.found == (2, 3)
