from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from starlette.testclient import TestClient

from geozarr.errors import ParameterError
from tiler import page
from tiler.app import create_app
from tiler.settings import BOOLEAN, CHOICES, NAMES, RESERVED, WHOLE, Dataset, Settings

ONE = (Dataset("one", "one.zarr"),)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "-x", "x" * 65, "é", "a\n", "..", "a?b"])
def test_a_dataset_name_is_a_plain_word(name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Dataset(name, "x")
    assert caught.value.parameter == "dataset name"


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_dataset_has_none_of_the_names_of_the_service_itself(name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Dataset(name, "x")
    assert (caught.value.parameter, caught.value.found) == ("dataset name", name)


def test_no_address_of_the_service_begins_like_a_dataset() -> None:
    """Whoever adds an address that begins with a word of its own has to reserve that word."""
    settings = Settings(ONE, metrics=True, expose_zarr=True)
    paths = {route.path for route in create_app(settings).api.routes}  # type: ignore[attr-defined]
    firsts = {path.split("/")[1] for path in paths} - {"", "{dataset}"}
    assert {"metrics", "healthz", "readyz", "colorMaps", page.PREFIX} <= firsts <= RESERVED


@pytest.mark.parametrize("title", ["two\nlines", "x" * 201, 5])
def test_a_title_is_one_line(title: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        Dataset("one", "x", title)
    assert caught.value.parameter == "dataset title"


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
        ({"base_url": "https://user:secret@example.org"}, "base_url"),
        ({"base_url": "https://[example.org"}, "base_url"),
        ({"chunk_cache_bytes": -1}, "chunk_cache_bytes"),
        ({"tile_cache_bytes": 1.5}, "tile_cache_bytes"),
        ({"chunks_per_read": 0}, "chunks_per_read"),
        ({"max_age": True}, "max_age"),
        ({"port": 65536}, "port"),
        ({"workers": 0}, "workers"),
        ({"workers": 65}, "workers"),
        ({"host": ""}, "host"),
        ({"host": "a b"}, "host"),
        ({"metrics": 1}, "metrics"),
        ({"access_log": "some"}, "access_log"),
        ({"log_format": ["json"]}, "log_format"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Settings(**{"datasets": ONE, **change})
    assert caught.value.parameter == parameter


def test_each_setting_has_a_rule_and_the_defaults_keep_it() -> None:
    assert {*WHOLE, *BOOLEAN, *CHOICES, "base_url", "host"} == set(NAMES)
    Settings(ONE)


def test_the_defaults_are_those_of_the_limits_that_are_promised() -> None:
    promised = {
        "max_side": 1024,
        "max_body": 2**20,
        "max_target": 4096,
        "max_head": 16384,
        "chunks_per_read": 64,
        "decoded_bytes_per_read": 256 * 2**20,
        "head_seconds": 10,
        "keep_alive": 15,
        "deadline": 10,
        "shutdown": 10,
        "renders_waiting": 64,
        "renders_of_client": 16,
        "tile_cache_bytes": 256 * 2**20,
        "chunk_cache_bytes": 256 * 2**20,
        "open_datasets": 64,
        "refresh": 10,
        "expressions": False,
        "metrics": False,
        "expose_zarr": False,
    }
    settings = Settings(ONE)
    assert {name: getattr(settings, name) for name in promised} == promised


def test_settings_stay_as_they_are() -> None:
    settings = Settings(ONE)
    for item in fields(settings):
        with pytest.raises(FrozenInstanceError):
            setattr(settings, item.name, None)


def test_a_longer_address_is_refused_as_the_setting_says() -> None:
    client = TestClient(create_app(Settings(ONE, max_target=256)))
    assert client.get("/" + "x" * 255).status_code == 404
    assert client.get("/" + "x" * 256).status_code == 400
