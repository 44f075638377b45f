"""Facts that a reader gives are held against the truth, and a reader that dies takes one store with it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from conformance.readers import Loss, Outcome
from interop import cases, environments, run
from interop.judge import judge
from interop.roster import BROWSER, GDAL_3_13, Reader

if TYPE_CHECKING:
    from pathlib import Path

    from interop.truth import Truth

PROBE = """
import json, os, sys
print(json.dumps({"ready": True}), flush=True)
print("a library says something")
for line in open(sys.argv[1]):
    name = json.loads(line)["name"]
    if name == "deadly":
        os.abort()
    print(json.dumps({"store": name, "facts": {"values": []}}), flush=True)
"""


@pytest.fixture(scope="module")
def truth() -> Truth:
    return cases.good("utm", "uint16-0", "plain").truth


def facts(truth: Truth, **changes: Any) -> dict[str, Any]:
    """Facts of a reader that finds everything, but for some changes."""
    levels = [{"shape": list(level.shape), "bounds": list(level.bounds)} for level in truth.levels]
    return {"crs": truth.epsg, "levels": levels, "values": [point.value for point in truth.points]} | changes


def test_all_right_opens(truth: Truth) -> None:
    assert judge("GDAL 3.13", facts(truth), truth).outcome is Outcome.OPENS


def test_each_loss_is_named(truth: Truth) -> None:
    good = facts(truth)
    nowhere = [level | {"bounds": None} for level in good["levels"]]
    stretched = [good["levels"][0], good["levels"][1], good["levels"][2] | {"bounds": [500020.0, 0, 0, 0]}]
    shown = [0.0 if value is None else value for value in good["values"]]
    for changes, loss in (
        ({"crs": None}, Loss.CRS),
        ({"levels": nowhere}, Loss.PLACE),
        ({"levels": good["levels"][:1]}, Loss.LEVELS),
        ({"levels": stretched}, Loss.ALIGNMENT),
        ({"values": shown}, Loss.NODATA),
    ):
        found = judge("GDAL 3.13", good | changes, truth)
        assert (found.outcome, found.losses) == (Outcome.DEGRADES, (loss,))


def test_wrong_places_values_and_errors_fail(truth: Truth) -> None:
    good = facts(truth)
    shifted = [level | {"bounds": [value + 5 for value in level["bounds"]]} for level in good["levels"]]
    off_by_a_column = [value and value + 1 for value in good["values"]]
    for changes in ({"levels": shifted}, {"values": off_by_a_column}, {"values": []}, {"error": "ValueError: no"}):
        assert judge("GDAL 3.13", good | changes, truth).outcome is Outcome.FAILS


def test_a_reader_is_not_blamed_for_what_it_never_has(truth: Truth) -> None:
    found = judge("rioxarray", facts(truth, levels=facts(truth)["levels"][:1]), truth)
    assert found.outcome is Outcome.OPENS


def test_a_process_that_dies_costs_one_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    monkeypatch.setattr(environments, "install", lambda _: [sys.executable])
    monkeypatch.setattr(environments, "variables", lambda _: {})
    monkeypatch.setattr(run, "PROBES", tmp_path)
    reader = Reader("GDAL 3.13", "0", GDAL_3_13, "probe.py", limit=20.0)
    heard: list[str] = []
    found = run.ask(reader, [{"name": name} for name in ("one", "deadly", "two")], lambda name, _: heard.append(name))
    assert heard == ["one", "deadly", "two"]
    assert found["one"] == found["two"] == {"values": []}
    assert "ended with status -6" in found["deadly"]["error"]


def test_a_reader_that_does_not_start_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text("raise SystemExit('no such library')")
    monkeypatch.setattr(environments, "install", lambda _: [sys.executable])
    monkeypatch.setattr(environments, "variables", lambda _: {})
    monkeypatch.setattr(run, "PROBES", tmp_path)
    reader = Reader("GDAL 3.13", "0", GDAL_3_13, "probe.py", limit=20.0)
    with pytest.raises(environments.Missing, match="does not start: no such library"):
        run.ask(reader, [{"name": "one"}], lambda *_: None)


def test_a_program_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environments.shutil, "which", lambda _: None)
    with pytest.raises(environments.Missing, match="no Chromium on this machine"):
        environments.install(BROWSER, tmp_path)
    monkeypatch.setattr(environments, "_version", lambda _: None)
    with pytest.raises(environments.Missing, match=r"no Python 3\.12 to 3\.13 on this machine"):
        environments.install(GDAL_3_13, tmp_path)
