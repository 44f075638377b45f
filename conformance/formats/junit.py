"""The report as JUnit XML, in the form that build servers read: a suite for each family of rules, a case for each rule.

A rule with errors or warnings is a failed case; what is only told is its output. Where nothing was checked all cases
are skipped, so that they do not pass for good ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from conformance.formats.escaping import cut, printable
from conformance.formats.text import VERDICTS, checked, mended_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.report import Finding, Report

_SHOWN = 100  # findings told of one rule
_NAME = 250  # characters of a name


def write(report: Report) -> str:
    """Write the report as XML; text of documents is escaped, so that there is nothing in it that XML forbids."""
    root = ET.Element("testsuites", name=cut(f"geozarr-check {report.store}", _NAME))
    by_rule: dict[str, list[Finding]] = {}
    for finding in report.findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    titles = dict.fromkeys(by_rule, "") | {rule.id: rule.title for rule in report.ran}
    families: dict[str, list[str]] = {}
    for rule in titles:
        families.setdefault(rule.partition("-")[0], []).append(rule)
    for family, rules in families.items():
        suite = _suite(report, family, len(rules))
        for rule in rules:
            _case(suite, f"{rule} {titles[rule]}".strip(), by_rule.get(rule, []), is_skipped=report.exit_status == 2)
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
        root.append(suite)
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode")


def _suite(report: Report, family: str, count: int) -> ET.Element:
    suite = ET.Element("testsuite", name=family, tests=str(count), failures="0", errors="0", skipped="0")
    properties = ET.SubElement(suite, "properties")
    told = {"store": cut(report.store, _NAME), "checked": ". ".join(checked(report)), "profile": report.profile}
    for name, value in told.items():
        ET.SubElement(properties, "property", name=name, value=printable(value))
    return suite


def _case(suite: ET.Element, name: str, findings: list[Finding], *, is_skipped: bool) -> None:
    case = ET.SubElement(suite, "testcase", classname=f"geozarr-check.{suite.get('name')}", name=cut(name, _NAME))
    faults = [finding for finding in findings if finding.severity != "info"]
    told = [finding for finding in findings if finding.severity == "info"]
    if faults:
        worst = "error" if any(finding.severity == "error" for finding in faults) else "warning"
        message = f"{len(faults)} x {worst}: {faults[0].told}"
        ET.SubElement(case, "failure", type=worst, message=cut(message, _NAME)).text = "\n".join(_lines(faults))
    elif is_skipped:
        ET.SubElement(case, "skipped", message=VERDICTS[2])
    if told:
        ET.SubElement(case, "system-out").text = "\n".join(_lines(told))


def _lines(findings: list[Finding]) -> Iterable[str]:
    for finding in findings[:_SHOWN]:
        yield f"{finding.severity} {finding.id} {finding}"
        if finding.patch:
            yield f"  mended by: {mended_by(finding)}"
    if len(findings) > _SHOWN:
        yield f"... and {len(findings) - _SHOWN} more"
