"""The report: counts, exit status, text and JSON."""

from __future__ import annotations

import json

import pytest

from conformance import Depth, Finding, Report, Rule, Severity
from conformance.report import Change, format_pointer, shown
from written_reports import finding


def report(*findings: Finding, geospatial: int = 3) -> Report:
    return Report(
        store="scene.zarr",
        depth=Depth.GEOMETRY,
        profile="geozarr",
        findings=findings,
        ran=(
            Rule("SP-05", "spatial v0.1", "A transform can be inverted", lambda _: iter(())),
            Rule("XC-01", "derived", "A box is what the transform spans", lambda _: iter(())),
        ),
        nodes=4,
        documents=8,
        pyramids=1,
        geospatial=geospatial,
    )


@pytest.mark.parametrize(
    ("findings", "geospatial", "status"),
    [
        ((), 3, 0),
        ((finding(Severity.INFO),), 3, 0),
        ((finding(Severity.WARNING),), 3, 1),
        ((finding(Severity.ERROR), finding(Severity.INFO)), 3, 1),
        ((), 0, 2),
        ((finding(Severity.INFO),), 0, 2),
        ((finding(Severity.ERROR),), 0, 1),
    ],
)
def test_exit_status_is_1_for_faults_and_2_for_nothing_checked(findings, geospatial, status) -> None:
    assert report(*findings, geospatial=geospatial).exit_status == status


def test_counts_are_by_severity() -> None:
    found = report(finding(), finding(Severity.INFO), finding(Severity.INFO)).counts
    assert found == {Severity.ERROR: 1, Severity.WARNING: 0, Severity.INFO: 2}


def test_json_holds_every_finding_and_what_was_checked() -> None:
    document = json.loads(report(finding(), finding(Severity.WARNING, node="/2")).to_json())
    assert document["checked"] == {
        "rules": 2,
        "nodes": 4,
        "documents": 8,
        "pyramids": 1,
        "geospatial_nodes": 3,
        "listed": True,
        "only_consolidated": False,
        "cells": 0,
        "ties": 0,
        "requests": 0,
        "bytes": 0,
    }
    assert [item["node"] for item in document["findings"]] == ["/1", "/2"]
    assert document["findings"][0]["pointer"] == "/attributes/spatial:transform"
    assert document["exit_status"] == 1
    assert "1e-6 of a cell" in document["tolerance"]


def test_findings_keep_their_id_whatever_was_found() -> None:
    first, second = finding(), finding(found="[2]", message="six numbers are too many")
    assert first.id == second.id
    assert len({first.id, finding(node="/2").id, finding(rule="SP-04").id, finding(pointer="").id}) == 4


def test_a_change_is_an_operation_of_a_json_patch() -> None:
    place = ("9", ("attributes", "a/b"))
    assert Change("add", *place, [1]).to_document() == {
        "node": "/9",
        "document": "zarr.json",
        "op": "add",
        "path": "/attributes/a~1b",
        "value": [1],
    }
    removed = Change("remove", *place).to_document()
    assert removed == {"node": "/9", "document": "zarr.json", "op": "remove", "path": "/attributes/a~1b"}


def test_text_groups_by_rule_and_counts_the_rest() -> None:
    findings = tuple(finding(node=f"/{index}") for index in range(20))
    lines = report(*findings, finding(Severity.WARNING, rule="PJ-06")).to_text().splitlines()
    assert "error SP-05 x 20 (spatial v0.1)" in lines
    assert "warning PJ-06 x 1 (spatial v0.1)" in lines
    assert "  ... and 12 more" in lines
    assert lines[-1] == "20 error, 1 warning, 0 info: faults found"


def test_text_says_that_nothing_was_checked() -> None:
    assert "nothing was checked" in report(geospatial=0).to_text()


def test_names_cannot_steer_the_terminal() -> None:
    text = report(finding(node="/\x1b[2J\ud800", found=shown("\x07"))).to_text()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.encode("utf-8")


@pytest.mark.parametrize(
    ("pointer", "text"),
    [((), ""), (("attributes", "a/b", 0), "/attributes/a~1b/0"), (("a~b",), "/a~0b")],
)
def test_pointers_follow_rfc_6901(pointer, text) -> None:
    assert format_pointer(pointer) == text


def test_values_are_shown_on_one_line_of_bounded_length() -> None:
    assert shown(None) == "nothing"
    assert shown({"a": [1, "x"]}) == '{"a": [1, "x"]}'
    assert len(shown("x" * 10**6)) <= 160
    assert len(shown({str(key): [key] * 1000 for key in range(1000)})) <= 160
    assert "\n" not in shown("a\nb")
