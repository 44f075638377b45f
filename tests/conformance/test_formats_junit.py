"""The report as JUnit XML, read with a parser of XML."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from conformance import Severity
from conformance.formats import junit
from conformance.report import Change
from written_reports import RULES, finding, hostile_findings, report


def parsed(found) -> ET.Element:
    root = ET.fromstring(junit.write(found).encode("utf-8"))
    assert root.tag == "testsuites"
    for suite in root:
        assert int(suite.get("tests")) == len(suite.findall("testcase"))
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
    for key in ("tests", "failures", "errors", "skipped"):
        assert int(root.get(key)) == sum(int(suite.get(key)) for suite in root)
    return root


def test_each_family_is_a_suite_and_each_rule_a_case() -> None:
    root = parsed(report())
    assert [(suite.get("name"), suite.get("tests")) for suite in root] == [("SP", "2"), ("XC", "1"), ("GP", "1")]
    names = [case.get("name") for case in root.iter("testcase")]
    assert names == [f"{rule.id} {rule.title}" for rule in RULES]
    assert root.get("failures") == "0"


def test_errors_and_warnings_fail_and_information_is_output() -> None:
    patch = (Change("remove", "1", ("a",)),)
    root = parsed(
        report(
            finding(Severity.WARNING, patch=patch),
            finding(node="/2"),
            finding(Severity.INFO, rule="SP-07"),
            finding(Severity.WARNING, rule="XC-01"),
        )
    )
    failures = {case.get("name")[:5]: case.find("failure") for case in root.iter("testcase")}
    assert failures["SP-05"].get("type") == "error"
    assert failures["SP-05"].get("message").startswith("2 x error: ")
    assert len(failures["SP-05"].text.splitlines()) == 3
    assert "mended by: remove /1#/a" in failures["SP-05"].text
    assert failures["XC-01"].get("type") == "warning"
    assert failures["SP-07"] is None
    assert finding(rule="SP-07").id in root.find("testsuite/testcase/system-out").text
    assert root.get("failures") == "2"


def test_what_was_not_checked_is_skipped() -> None:
    root = parsed(report(geospatial=0))
    assert (root.get("skipped"), root.get("failures")) == ("4", "0")


def test_a_finding_of_no_rule_that_ran_is_a_case_too() -> None:
    assert parsed(report(finding(rule="ZZ-01"))).get("failures") == "1"


def test_what_was_read_is_told() -> None:
    values = [item.get("value") for item in parsed(report()).iter("property")]
    assert any("34,567 bytes" in value for value in values)


def test_documents_cannot_break_the_xml() -> None:
    written = junit.write(report(*hostile_findings() * 50, store="\0\ud800<"))
    root = ET.fromstring(written.encode("utf-8"))
    assert {element.tag for element in root.iter()} == {
        "testsuites",
        "testsuite",
        "properties",
        "property",
        "testcase",
        "failure",
    }
    assert len(written) < 1_000_000
