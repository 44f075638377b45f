"""Settings come from a file, the environment and the command line, and each error says where it stands."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr.errors import ParameterError
from tiler.config import Config, differences, masked, parse_pair, read_environment, read_file, to_toml
from tiler.settings import BOOLEAN, CHOICES, NAMES, WHOLE, Dataset, Settings

ONE = (Dataset("one", "one.zarr"),)

FILE = """
base_url = "https://tiles.example.org/maps"
max_age = 60
metrics = true
access_log = "off"

[datasets]
near = "near.zarr"
absolute = "/data/a.zarr"
far = "s3://bucket/dem.zarr"

[datasets."with.dot"]
location = "sub/folder.zarr"
title = "Höhen"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "serve.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_a_file_names_settings_and_datasets(file: Path) -> None:
    found = Config(file).read()
    assert found == Settings(
        (
            Dataset("near", str(file.parent / "near.zarr")),
            Dataset("absolute", "/data/a.zarr"),
            Dataset("far", "s3://bucket/dem.zarr"),
            Dataset("with.dot", str(file.parent / "sub/folder.zarr"), "Höhen"),
        ),
        base_url="https://tiles.example.org/maps",
        max_age=60,
        metrics=True,
        access_log="off",
    )


def test_flags_come_before_the_environment_and_that_before_the_file(file: Path) -> None:
    environ = {"GEOZARR_SERVE_MAX_AGE": "70", "GEOZARR_SERVE_REFRESH": "71", "GEOZARR_SERVE_METRICS": "0", "PATH": "/"}
    given = {"refresh": 80, "port": 0}
    found = Config(file, environ, given, (Dataset("near", "elsewhere.zarr"), *ONE)).read()
    assert (found.max_age, found.refresh, found.port, found.metrics) == (70, 80, 0, False)
    assert found.base_url == "https://tiles.example.org/maps"
    places = {dataset.name: dataset.location for dataset in found.datasets}
    assert list(places) == ["near", "absolute", "far", "with.dot", "one"]
    assert places["near"] == "elsewhere.zarr"


def test_a_file_is_read_anew_each_time(file: Path) -> None:
    config = Config(file)
    before = config.read()
    file.write_text(FILE.replace("max_age = 60", "max_age = 61").replace("near =", "next ="), encoding="utf-8")
    after = config.read()
    assert differences(before, after) == ("max_age",)
    assert [dataset.name for dataset in after.datasets][:2] == ["next", "absolute"]


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("max_ages = 1", "serve.toml: unknown name", "'max_age'"),
        ("MAX_AGE = 1", "serve.toml: unknown name", "'max_age'"),
        ("zzzzzz = 1", "serve.toml: unknown name", "one of base_url"),
        ("max_age = '1'", "serve.toml: max_age", "whole number from 0"),
        ("max_age = 1.0", "serve.toml: max_age", "whole number"),
        ("max_age = true", "serve.toml: max_age", "whole number"),
        ("workers = 65", "serve.toml: workers", "1 to 64"),
        ("metrics = 1", "serve.toml: metrics", "true or false"),
        ("access_log = 'tiles'", "serve.toml: access_log", "off, documents, all"),
        ("base_url = 'example.org'", "serve.toml: base_url", "http(s)://"),
        ("host = 7", "serve.toml: host", "an address"),
        ("datasets = 'x'", "serve.toml: datasets", "a table"),
        ("[datasets]\nmetrics = 'x.zarr'", "serve.toml: datasets.metrics: dataset name", "another name"),
        ("[datasets]\n'a b' = 'x.zarr'", "serve.toml: datasets.a b: dataset name", "A-Z"),
        ("[datasets]\na = 5", "serve.toml: datasets.a", "a location"),
        ("[datasets]\na = ''", "serve.toml: datasets.a", "a location"),
        ("[datasets.a]\ntitle = 'x'", "serve.toml: datasets.a", "a location"),
        ("[datasets.a]\nlocation = 'x'\ntitel = 'y'", "serve.toml: datasets.a: unknown name", "'title'"),
        ("[datasets.a]\nlocation = 'x'\ntitle = 5", "serve.toml: datasets.a: dataset title", "one line"),
        ("max_age = ", "serve.toml", "TOML"),
        ("max_age = 1\nmax_age = 2", "serve.toml", "TOML"),
        ("# \udcff", "serve.toml", "UTF-8"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_place(tmp_path: Path, text: str, where: str, words: str) -> None:
    path = tmp_path / "serve.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ParameterError) as caught:
        Config(path, datasets=ONE).read()
    assert caught.value.parameter == f"{tmp_path}/{where}"
    assert words in caught.value.expected


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.toml", tmp_path):
        with pytest.raises(ParameterError) as caught:
            read_file(path)
        assert caught.value.parameter == str(path)


def test_without_a_dataset_there_is_nothing_to_serve(tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.touch()
    for config in (Config(), Config(empty), Config(empty, datasets=(*ONE, *ONE))):
        with pytest.raises(ParameterError) as caught:
            config.read()
        assert caught.value.parameter == "datasets"


def test_the_environment_sets_what_it_names() -> None:
    environ = {
        "GEOZARR_SERVE_BASE_URL": "https://example.org/maps",
        "GEOZARR_SERVE_MAX_AGE": "10",
        "GEOZARR_SERVE_EXPOSE_ZARR": "1",
        "GEOZARR_SERVE_METRICS": "False",
        "GEOZARR_SERVE_LOG_FORMAT": "json",
        "PATH": "/bin",
        "GEOZARR_TEST_DATA": "elsewhere",
    }
    expected = {"base_url": "https://example.org/maps", "max_age": 10, "expose_zarr": True, "metrics": False}
    assert read_environment(environ) == {**expected, "log_format": "json"}
    assert Config(environ=environ, datasets=ONE).read() == Settings(ONE, **expected, log_format="json")
    assert Config(datasets=ONE).read() == Settings(ONE)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MAX_AGE", "x"),
        ("MAX_AGE", "-1"),
        ("MAX_AGE", "\u0661"),
        ("MAX_AGE", "1" * 16),
        ("MAX_AGES", "1"),
        ("DATASETS", "x"),
        ("METRICS", "maybe"),
        ("METRICS", ""),
        ("LOG_FORMAT", "xml"),
        ("HOST", "a b"),
    ],
)
def test_a_wrong_variable_is_named(key: str, value: str) -> None:
    with pytest.raises(ParameterError) as caught:
        read_environment({f"GEOZARR_SERVE_{key}": value})
    assert f"GEOZARR_SERVE_{key}" in str(caught.value)


@pytest.mark.parametrize("text", ["max_age", "max_ages=1", "max_age=x", "=1", "datasets=x"])
def test_a_wrong_pair_is_named(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_pair(text, "--set")
    assert caught.value.parameter.startswith("--set")
    assert parse_pair("base_url=https://a.example/?x".partition("/?")[0], "--set") == ("base_url", "https://a.example")


VALUES: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.integers(*bounds) for name, bounds in WHOLE.items()},
    **{name: st.booleans() for name in BOOLEAN},
    **{name: st.sampled_from(choices) for name, choices in CHOICES.items()},
    "host": st.sampled_from(["::1", "0.0.0.0", "localhost"]),
    "base_url": st.sampled_from(["", "https://example.org/a"]),
}
LOCATIONS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).map(lambda text: f"/d/{text}")
TITLES = st.text(max_size=20).filter(str.isprintable)


@given(
    values=st.fixed_dictionaries({}, optional=VALUES),
    places=st.dictionaries(
        st.from_regex(r"[a-z][a-zA-Z0-9_.-]{3,9}x", fullmatch=True), st.tuples(LOCATIONS, TITLES), min_size=1
    ),
)
def test_printed_settings_are_read_back(tmp_path_factory: Any, values: dict[str, Any], places: dict[str, Any]) -> None:
    datasets = tuple(Dataset(name, *place) for name, place in places.items())
    settings = Settings(datasets, **values)
    text = to_toml(settings)
    assert set(tomllib.loads(text)) == {*NAMES, "datasets"}
    path = tmp_path_factory.getbasetemp() / "printed.toml"
    path.write_text(text, encoding="utf-8", newline="")
    found = Config(path).read()
    as_read = tuple(replace(item, location=str(Path(str(item.location)))) for item in datasets)
    assert found == replace(settings, datasets=as_read)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/data/a.zarr?b@c", "/data/a.zarr?b@c"),
        ("s3://bucket/a.zarr", "s3://bucket/a.zarr"),
        ("s3://key:secret@bucket/a.zarr", "s3://***@bucket/a.zarr"),
        ("https://u:p@q@host/a.zarr?sig=secret#f", "https://***@host/a.zarr?***"),
        ("https://[secret", "***"),
    ],
)
def test_what_may_be_a_secret_is_not_printed(location: str, shown: str) -> None:
    assert masked(location) == shown
    text = to_toml(Settings((Dataset("a", location),)))
    assert tomllib.loads(text)["datasets"]["a"]["location"] == shown
    assert "secret" not in text
