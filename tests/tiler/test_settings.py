from __future__ import annotations

from typing import Any

import pytest

from geozarr.errors import ParameterError
from tiler.settings import Dataset, Settings, from_environment

ONE = (Dataset("one", "one.zarr"),)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "-x", "x" * 65, "é", "a\n", "..", "a?b"])
def test_a_dataset_name_is_a_plain_word(name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Dataset(name, "x")
    assert caught.value.parameter == "dataset name"


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"datasets": ()}, "datasets"),
        ({"datasets": (*ONE, *ONE)}, "datasets"),
        ({"base_url": "tiles.example.org"}, "base_url"),
        ({"base_url": "ftp://example.org"}, "base_url"),
        ({"base_url": "https://example.org/"}, "base_url"),
        ({"base_url": "https://example.org/?x=1"}, "base_url"),
        ({"base_url": "https://example.org/\r\nX: 1"}, "base_url"),
        ({"chunk_cache_bytes": -1}, "chunk_cache_bytes"),
        ({"tile_cache_bytes": 1.5}, "tile_cache_bytes"),
        ({"chunks_per_read": 0}, "chunks_per_read"),
        ({"max_age": True}, "max_age"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Settings(**{"datasets": ONE, **change})
    assert caught.value.parameter == parameter


def test_the_environment_sets_what_it_names() -> None:
    environ = {
        "GEOZARR_SERVE_BASE_URL": "https://example.org/maps",
        "GEOZARR_SERVE_MAX_AGE": "10",
        "PATH": "/bin",
        "GEOZARR_TEST_DATA": "elsewhere",
    }
    found = from_environment(ONE, environ)
    assert found == Settings(ONE, base_url="https://example.org/maps", max_age=10)
    assert from_environment(ONE, {}) == Settings(ONE)


@pytest.mark.parametrize(("key", "value"), [("MAX_AGE", "x"), ("MAX_AGE", "-1"), ("MAX_AGES", "1"), ("DATASETS", "x")])
def test_a_wrong_variable_is_named(key: str, value: str) -> None:
    with pytest.raises(ParameterError) as caught:
        from_environment(ONE, {f"GEOZARR_SERVE_{key}": value})
    assert f"GEOZARR_SERVE_{key}" in str(caught.value)
