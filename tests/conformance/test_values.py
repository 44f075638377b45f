"""JSON values into typed ones: what is malformed gives None, and nothing raises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import values

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize("value", [True, None, "1", [1], 10**400, math.nan, math.inf])
def test_what_is_no_finite_number(value) -> None:
    assert values.number(value) is None


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert values.whole(2.0) == 2
    assert values.whole(2.5) is None
    assert values.whole(-1) is None
    assert values.whole(0, least=1) is None
    assert values.whole(2**64) is None


@pytest.mark.parametrize(
    "value",
    [[1, 0, 0, 0, 0, 0], [1, 2, 0, 2, 4, 0], [1, 0, 0, 0, -1], [1e-9, 0, 0, 0, 1e-30, 0], [1e200, 0, 0, 0, 1, 0]],
)
def test_transforms_that_cannot_be_inverted(value) -> None:
    assert values.transform(value) is None


@pytest.mark.parametrize("cell", [1e-9, 1.0, 1e9])
def test_transforms_of_any_scale(cell) -> None:
    assert values.transform([cell, 0, 5, 0, -cell, 5]) == (cell, 0, 5, 0, -cell, 5)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (255, "uint8", 255),
        (256, "uint8", None),
        (-1, "uint8", None),
        (1.0, "uint8", 1),
        (1.5, "uint8", None),
        (2**63 - 1, "int64", 2**63 - 1),
        (10**400, "float32", None),
        ("-Infinity", "float32", -math.inf),
        ("0x7fc00000", "float32", math.nan),
        ("0x7fc0", "float32", None),
        (None, "float32", None),
        (True, "uint8", None),
        (True, "bool", True),
        (1, "bool", None),
    ],
)
def test_fill_values_by_data_type(value, dtype, expected) -> None:
    found = values.fill_value(value, np.dtype(dtype))
    assert (found is None) == (expected is None)
    assert expected is None or values.same_scalar(found, np.dtype(dtype).type(expected))


@pytest.mark.parametrize(
    ("value", "expected"),
    # The first two are the examples of xarray's encoding: NaN and -9999 as little-endian float64.
    [
        ("AAAAAAAA+H8=", math.nan),
        ("AAAAAICHw8A=", -9999.0),
        (-9999.0, None),
        ("NaN", None),
        ("AAAA", None),
        ("é", None),
    ],
)
def test_missing_values_of_floats_are_base64(value, expected) -> None:
    found = values.missing_value(value, np.dtype("float32"))
    assert (found is None) == (expected is None)
    assert expected is None or values.same_scalar(found, np.float32(expected))


def test_differences_are_the_deepest_that_tell_apart() -> None:
    one = {"a": [1, {"b": 2}], "c": 3, "d": True}
    other = {"a": [1.0, {"b": 5}], "e": 3, "d": 1}
    assert set(values.differences(one, other)) == {("a", 1, "b"), ("c",), ("e",), ("d",)}
    assert set(values.differences([1, 2], [1])) == {()}


@given(JSON)
def test_a_value_does_not_differ_from_itself(value) -> None:
    finite = not any(isinstance(item, float) and math.isnan(item) for item in _leaves(value))
    assert values.same_json(value, value) == finite


@given(JSON, JSON)
def test_differences_are_symmetric(one, other) -> None:
    assert set(values.differences(one, other)) == set(values.differences(other, one))


@given(JSON)
def test_nothing_raises(value) -> None:
    for parse in (
        *(values.number, values.positive, values.whole, values.numbers, values.wholes, values.text, values.names),
        *(values.dimension_names, values.dimensions, values.transform, values.bbox, values.shape2, values.dtype),
        *(values.extension, values.chunk_shape),
    ):
        parse(value)
    for name in values.CORE_DTYPES:
        values.fill_value(value, np.dtype(name))
        values.missing_value(value, np.dtype(name))


def _leaves(value: object) -> list[object]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if inner is None else [leaf for item in inner for leaf in _leaves(item)]
