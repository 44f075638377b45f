"""The command: its output and its exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from conformance.cli import main, main_files, wants_color
from conformance.readers import READERS
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


@pytest.mark.parametrize(
    ("form", "begins"),
    [("sarif", "{"), ("junit", "<?xml"), ("html", "<!doctype html>"), ("json", "{"), ("text", "")],
)
def test_every_format_goes_to_stdout_or_to_a_file(store, tmp_path: Path, form, begins) -> None:
    plain = run(store, "--format", form)
    path = tmp_path / "report"
    path.write_text("an old one")
    filed = run(store, "--format", form, "--output", path)
    assert plain.exit_code == filed.exit_code == 0
    assert plain.stdout.startswith(begins)
    assert path.read_text(encoding="utf-8") == plain.stdout
    assert "no fault found" in filed.stdout
    assert [item.name for item in tmp_path.iterdir() if "report" in item.name] == ["report"]


def test_a_file_that_cannot_be_written_exits_with_2(store, tmp_path: Path) -> None:
    result = run(store, "--format", "json", "--output", tmp_path / "absent" / "report")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("color", "environment", "is_colored"),
    [("always", {}, True), ("auto", {}, False), ("never", {}, False), ("always", {"NO_COLOR": "1"}, True)],
)
def test_colours_are_for_terminals_unless_asked_for(store, color, environment, is_colored) -> None:
    result = CliRunner().invoke(main, [str(store), "--color", color], env=environment, color=True)
    assert ("\x1b" in result.output) is is_colored


@pytest.mark.parametrize(
    ("environment", "is_colored"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_terminals_get_colours_unless_no_color_is_set(environment, is_colored) -> None:
    assert wants_color("auto", environment, is_terminal=True) is is_colored


def test_a_page_without_preview_has_no_picture(store) -> None:
    assert "<img" in run(store, "--format", "html").stdout
    assert "<img" not in run(store, "--format", "html", "--no-preview").stdout


def test_each_store_of_some_files_is_checked_once_and_the_worst_counts(store, tmp_path: Path) -> None:
    def of_files(*files: Path):
        return CliRunner().invoke(main_files, [str(file) for file in files])

    good = of_files(store / "1" / "height" / "c" / "0" / "0", store / "zarr.json")
    assert good.exit_code == 0
    assert good.output.count("no fault found") == 1
    empty = tmp_path / "empty.zarr" / "zarr.json"
    empty.parent.mkdir()
    empty.write_text(json.dumps(documents.group_document({})))
    broken = tmp_path / "broken.zarr" / "zarr.json"
    broken.parent.mkdir()
    broken.write_text("{")
    assert of_files(broken, store / "zarr.json").exit_code == 1
    assert of_files(broken, empty, store / "zarr.json").exit_code == 2
    assert of_files(tmp_path / "notes.txt").exit_code == of_files().exit_code == 0


def test_readers_are_told_as_text_and_as_json(stores, tmp_path: Path) -> None:
    for key, data in stores["native"].objects.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    told = CliRunner().invoke(main, [str(tmp_path), "--readers"])
    assert told.exit_code == 0
    assert "GDAL 3.12" in told.stdout
    data = json.loads(CliRunner().invoke(main, [str(tmp_path), "--readers", "--format", "json"]).stdout)
    assert {item["reader"] for item in data} == set(READERS)
    assert CliRunner().invoke(main, [str(tmp_path), "--readers", "--fix"]).exit_code == 2
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    assert CliRunner().invoke(main, [str(tmp_path / "empty"), "--readers"]).exit_code == 2
