"""What would be groomed of a source is said before it is built, by name, place and reason; strict builds refuse it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from affine import Affine
from click.testing import CliRunner

import pyramids
from builds import UTM, FakeSource, data_array, scene
from conformance.cli import main as check_main
from geozarr.errors import GroomingError, MetadataError
from pyramids import survey
from pyramids.cli import main as build_main
from pyramids.sources.quirk import KINDS, Quirk

if TYPE_CHECKING:
    from pathlib import Path

SOUTH_UP = Affine(30, 0, 500_000, 0, 30, 5_000_000)


@pytest.fixture
def south_up(tmp_path: Path) -> Path:
    """A raster whose first row is in the south."""
    import rasterio  # noqa: PLC0415

    path = tmp_path / "s.tif"
    profile = {"driver": "GTiff", "width": 40, "height": 30, "count": 1, "dtype": "uint8", "crs": UTM, "nodata": 0}
    with rasterio.open(path, "w", **profile, transform=SOUTH_UP) as dataset:
        dataset.write(scene("uint8", (1, 30, 40)))
    return path


def test_each_quirk_has_a_kind_with_a_reason() -> None:
    assert all(reason and not reason.endswith(".") for reason in KINDS.values())
    assert list(KINDS) == sorted(KINDS)


def test_every_kind_is_found_in_some_source() -> None:
    """Each kind stands in the table of the shared data, or in a test that says which."""
    from pathlib import Path as Here  # noqa: PLC0415

    folder = Here(__file__).parent
    texts = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("test_*.py"))
    assert [kind for kind in KINDS if f'"{kind}"' not in texts] == []


def test_a_clean_source_has_nothing_to_groom() -> None:
    found = survey(data_array(scene("float32", (5, 4))))
    assert (found.quirks, found.refused, found.exit_status) == ((), None, 0)
    assert str(found).endswith("nothing to groom")


def test_a_survey_names_what_is_found_and_why_it_matters(south_up: Path) -> None:
    found = survey(south_up)
    assert found.exit_status == 1
    assert [quirk.kind for quirk in found.quirks] == ["south-up"]
    document = json.loads(json.dumps(found.to_document()))
    assert document["quirks"][0]["why"] == KINDS["south-up"]
    assert document["refused"] is None
    assert KINDS["south-up"] in str(found)


def test_a_survey_says_why_a_source_is_refused() -> None:
    array = data_array(scene("float32", (5, 4))).drop_vars("spatial_ref")
    array.encoding.pop("grid_mapping", None)
    array.attrs.pop("grid_mapping", None)
    found = survey(array)
    assert isinstance(found.refused, MetadataError)
    assert found.exit_status == 2
    assert found.to_document()["refused"]["key"] == "crs"
    assert "crs" in str(found)


def test_a_strict_plan_refuses_what_would_be_groomed_and_names_all_of_it() -> None:
    quirks = (Quirk("south-up", "f", "a", "b"), Quirk("units", "g", "c", "d"))
    source = FakeSource(scene("uint8", (1, 30, 40)), quirks=quirks)
    with pytest.raises(GroomingError) as caught:
        pyramids.make_plan(source, pyramids.Options(strict=True))
    assert caught.value.quirks == tuple(map(str, quirks))
    assert "1 more" in str(caught.value)
    assert pyramids.make_plan(source).groomed == quirks


def test_a_plan_says_what_it_grooms_and_another_source_with_the_same_pixels_has_the_same_identity() -> None:
    values = scene("uint8", (1, 30, 40))
    plan = pyramids.make_plan(FakeSource(values, quirks=(Quirk("units", "f", "a", "b"),)))
    assert "groomed    units: f: found a, b" in str(plan)
    assert plan.identity == pyramids.make_plan(FakeSource(values)).identity


def test_the_commands_say_it_too(south_up: Path) -> None:
    runner = CliRunner()
    dry = runner.invoke(build_main, [str(south_up), "--dry-run"])
    assert "groomed    south-up" in dry.output
    strict = runner.invoke(build_main, [str(south_up), "--dry-run", "--strict"])
    assert (strict.exit_code, "south-up" in strict.stderr) == (2, True)
    checked = runner.invoke(check_main, [str(south_up), "--source"])
    assert (checked.exit_code, "south-up" in checked.output) == (1, True)
    as_json = runner.invoke(check_main, [str(south_up), "--source", "--format", "json"])
    assert json.loads(as_json.output)["quirks"][0]["kind"] == "south-up"
    refused = runner.invoke(check_main, [str(south_up.with_name("none.tif")), "--source"])
    assert refused.exit_code == 2


@pytest.mark.parametrize(
    "options", [["--source", "--fix"], ["--source", "--format", "html"], ["--crs", "EPSG:4326"], ["--group", "a"]]
)
def test_options_that_do_not_go_together_are_refused(south_up: Path, options: list[str]) -> None:
    found = CliRunner().invoke(check_main, [str(south_up), *options])
    assert (found.exit_code, "--source" in found.stderr) == (2, True)


def test_a_check_of_a_store_does_not_import_the_builder() -> None:
    code = "import conformance.cli, sys; print([name for name in sys.modules if name.startswith('pyramids')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
