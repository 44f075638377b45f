"""The report as SARIF, held against the schema of the standard."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from conformance import Severity, check
from conformance.formats import sarif
from conformance.report import Change
from written_reports import RULES, finding, hostile_findings, report

SCHEMA = json.loads((Path(__file__).parent / "data/sarif-2.1.0/sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)


def run_of(found) -> dict:
    written = sarif.write(found)
    assert written.isascii()
    document = json.loads(written)
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    assert document["$schema"] == SCHEMA["id"]
    assert len(document["runs"]) == 1
    return document["runs"][0]


def test_the_schema_finds_fault() -> None:
    document = sarif.to_document(report(finding()))
    document["runs"][0]["results"][0]["level"] = "fatal"
    assert not VALIDATOR.is_valid(document)


def test_the_rules_that_ran_are_described() -> None:
    rules = run_of(report())["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.id for rule in RULES]
    assert [rule["defaultConfiguration"]["level"] for rule in rules] == ["error", "note", "error", "error"]
    assert rules[0]["shortDescription"]["text"] == "spatial:transform can be inverted"
    assert rules[0]["name"] == "SpatialTransformCanBeInverted"
    assert "spatial v0.1" in rules[0]["help"]["text"]


def test_a_result_tells_rule_level_and_place() -> None:
    patch = (Change("remove", "1", ("attributes", "b")),)
    found = finding(Severity.WARNING, relies=("/zarr.json#/attributes/a~1b", "/1/.zarray#/shape"), patch=patch)
    run = run_of(report(found))
    result = run["results"][0]
    assert (result["ruleId"], result["level"]) == ("SP-05", "warning")
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "SP-05"
    assert result["message"]["text"] == "the transform is malformed: found [1], expected six numbers"
    place = result["locations"][0]
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "1/zarr.json", "uriBaseId": "STORE"}
    assert place["logicalLocations"] == [{"fullyQualifiedName": "/attributes/spatial:transform"}]
    assert result["partialFingerprints"] == {"geozarrCheck/v1": found.id}
    assert result["properties"]["patch"] == [change.to_document() for change in patch]
    related = [item["physicalLocation"]["artifactLocation"]["uri"] for item in result["relatedLocations"]]
    assert related == ["zarr.json", "1/.zarray"]


@pytest.mark.parametrize(
    ("changes", "uri"),
    [
        ({"node": "/"}, "zarr.json"),
        ({"node": "/1/a b#c%"}, "1/a%20b%23c%25/zarr.json"),
        ({"node": "/1", "document": ".zattrs"}, "1/.zattrs"),
        ({"node": "/10/red/c/0/1", "pointer": "", "rule": "GP-03"}, "10/red/c/0/1"),
        ({"node": "/", "pointer": "/attributes", "rule": "GP-03"}, "zarr.json"),
    ],
)
def test_artifacts_are_keys_of_stored_objects(changes, uri) -> None:
    location = run_of(report(finding(**changes)))["results"][0]["locations"][0]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == uri


@pytest.mark.parametrize(
    ("store", "base"),
    [
        ("/data/my scene.zarr", {"STORE": {"uri": "file:///data/my%20scene.zarr/"}}),
        ("s3://bucket/scene.zarr", {"STORE": {"uri": "s3://bucket/scene.zarr/"}}),
        ("../scene.zarr", {"STORE": {"description": {"text": "../scene.zarr"}}}),
    ],
)
def test_the_store_is_the_base_of_all_addresses(store, base) -> None:
    assert run_of(report(store=store))["originalUriBaseIds"] == base


def test_a_relative_store_lies_below_the_sources() -> None:
    base = run_of(report(store="data/scene.zarr"))["originalUriBaseIds"]
    assert base["STORE"] == {"uri": "data/scene.zarr/", "uriBaseId": "%SRCROOT%"}
    assert "uri" not in base["%SRCROOT%"]


@pytest.mark.parametrize(("changes", "status"), [({}, 0), ({"geospatial": 0}, 2)])
def test_the_invocation_tells_the_exit_status(changes, status) -> None:
    run = run_of(report(**changes))
    assert run["invocations"][0]["exitCode"] == status
    assert ("toolExecutionNotifications" in run["invocations"][0]) is (status == 2)
    assert run["properties"]["checked"]["bytes"] == 34_567


def test_documents_make_neither_links_nor_placeholders() -> None:
    for result in run_of(report(*hostile_findings()))["results"]:
        text = result["message"]["text"]
        assert "](" not in text
        assert "{" not in text.replace("{{", "")
        assert text.isprintable()
        assert len(text) <= 2 * 2000


def test_reports_of_broken_stores_are_valid(stores) -> None:
    def edit(found) -> None:
        found[""]["attributes"]["multiscales"]["layout"][1]["asset"] = "nope"
        found["0"]["attributes"]["spatial:bbox"] = "everywhere"

    found = check(stores["native"].edited(edit), depth="objects")
    assert len(run_of(found)["results"]) == len(found.findings) > 0
