"""docs/interop.md is what the recorded runs make of it, and predictions of today are still what was observed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interop import cases, outcomes, report
from interop.roster import PROBES, ROSTER

if TYPE_CHECKING:
    from interop.outcomes import Record

PROJECT = Path(__file__).resolve().parents[2]
LEAST = 9  # readers that a full run has to have observed


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return outcomes.load()


def test_the_page_is_made_of_the_results(document: dict[str, Any]) -> None:
    assert (PROJECT / "docs" / "interop.md").read_text(encoding="utf-8") == report.render(document)


def test_every_prediction_came_true(document: dict[str, Any]) -> None:
    wrong = [record for record in document["records"] if not record.agrees]
    assert not wrong


def test_enough_readers_were_observed_on_every_store(document: dict[str, Any]) -> None:
    records: list[Record] = document["records"]
    assert len({record.reader for record in records}) >= LEAST
    everywhere = {record.reader for record in records} - {"zarr-layer"}
    for case in cases.everything():
        assert {record.reader for record in records if record.store == case.name} >= everywhere, case.name


def test_today_the_same_is_predicted(document: dict[str, Any]) -> None:
    made = {case.name: case for case in cases.everything()}
    predicted = {name: outcomes.predictions(case) for name, case in made.items()}
    for record in document["records"]:
        if record.store not in made:
            continue  # a demo pyramid
        verdict = predicted[record.store][record.reader]
        losses = [loss.value for loss in verdict.losses] if verdict.outcome.value == "degrades" else []
        found = (verdict.outcome.value, losses, list(verdict.rules))
        assert found == (record.predicted, record.predicted_losses, record.rules), (record.reader, record.store)


def test_the_demo_pyramids_open(document: dict[str, Any]) -> None:
    demos = [record for record in document["records"] if record.kind == "demo"]
    assert {record.reader for record in demos} >= {reader.name for reader in ROSTER if reader.name != "zarr-layer"}
    assert {(record.reader, record.observed) for record in demos if record.observed != "opens"} == set()


def test_each_reader_has_a_probe() -> None:
    assert all((PROBES / reader.probe).is_file() for reader in ROSTER)
