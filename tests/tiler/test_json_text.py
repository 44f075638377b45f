from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr.errors import ParameterError
from tiler.json_text import parse_json

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_what_json_writes_is_read_back(value: object) -> None:
    assert parse_json("p", json.dumps(value), max_characters=10_000, max_depth=1000) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        "{'a': 1}",
        "[NaN]",
        "[Infinity]",
        "[-Infinity]",
        "[1e999]",
        '{"a": 1, "a": 2}',
        '[{"a": {"b": 1, "b": 1}}]',
        "[[[[1]]]]",
        "[" * 1000,
        "nul",
        "1 2",
        "\ufeff1",
    ],
)
def test_what_is_no_plain_json_is_refused(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_json("colormap", text, max_characters=2000, max_depth=3)
    assert caught.value.parameter == "colormap"


def test_depth_and_length_are_allowed_up_to_their_bounds() -> None:
    assert parse_json("p", "[[1]]", max_characters=5, max_depth=2) == [[1]]
    with pytest.raises(ParameterError, match="levels"):
        parse_json("p", "[[1]]", max_characters=5, max_depth=1)
    with pytest.raises(ParameterError, match="characters"):
        parse_json("p", "[[12]]", max_characters=5, max_depth=2)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 20_000, "9" * 100_000, '"' + "\\" * 100_000])
def test_long_texts_are_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ParameterError):
        parse_json("p", text, max_characters=4096, max_depth=3)
    assert time.perf_counter() - began < 0.01
