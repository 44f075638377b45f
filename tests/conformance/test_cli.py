"""The command: its output and its exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from conformance.cli import main
from geozarr import documents

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(stores, tmp_path: Path) -> Path:
    """A good pyramid in a folder."""
    for key, data in stores["packed"].objects.items():
        path = tmp_path / "scene.zarr" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "scene.zarr"


def run(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_good_store_exits_with_0(store) -> None:
    result = run(store)
    assert result.exit_code == 0, result.output
    assert "no fault found" in result.output
    assert "depth geometry" in result.output
    assert "tolerance" in result.output


def test_a_broken_store_exits_with_1(store) -> None:
    path = store / "1" / "height" / "zarr.json"
    path.write_text(path.read_text().replace('"uint16"', '"uint99"').replace('"int16"', '"int99"'))
    result = run(store)
    assert result.exit_code == 1
    assert "ZARR-22" in result.output
    assert "/1/height" in result.output


def test_json_is_json(store) -> None:
    result = run(store, "--format", "json", "--depth", "metadata")
    document = json.loads(result.output)
    assert (result.exit_code, document["exit_status"], document["depth"]) == (0, 0, "metadata")


def test_nothing_checked_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text(json.dumps(documents.group_document({})))
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "nothing was checked" in result.output


@pytest.mark.parametrize("name", ["absent", "."])
def test_what_cannot_be_read_is_one_line_and_2(tmp_path: Path, name) -> None:
    result = run(tmp_path / name)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("geozarr-check: ")
    assert "Traceback" not in result.output


def test_a_url_that_nothing_opens_exits_with_2() -> None:
    result = run("gopher://example/scene.zarr")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_unknown_depth_is_a_usage_error(store) -> None:
    assert run(store, "--depth", "all").exit_code == 2


def test_pixels_are_drawn_by_a_seed_or_all_looked_at(store) -> None:
    drawn = run(store, "--depth", "pixels", "--seed", "4", "--format", "json")
    whole = run(store, "--depth", "pixels", "--all", "--format", "json")
    assert drawn.exit_code == whole.exit_code == 0
    cells = [json.loads(result.output)["checked"]["cells"] for result in (drawn, whole)]
    assert 0 < cells[0] < cells[1]
    assert "cells derived anew" in run(store, "--depth", "pixels").output
    assert run(store, "--depth", "pixels", "--seed", "-1").exit_code == 2
