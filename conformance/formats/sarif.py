"""The report as SARIF 2.1.0 (OASIS, errata 01), which code hosts and editors show beside the documents.

A document of a store is an artifact, the place in it a logical location: the JSON pointer. Lines and columns are not
told, since the reader of documents does not keep them; neither are `fixes`, which replace regions of bytes. What would
mend a finding is in its `properties.patch`, as a JSON patch.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from conformance.formats.escaping import cut, printable
from conformance.formats.text import VERDICTS

if TYPE_CHECKING:
    from conformance.report import Finding, Report, Rule

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_BASE = "STORE"  # the folder that the addresses of artifacts are relative to (3.4.4)
_SOURCES = "%SRCROOT%"  # where the user's files are, if the store is given by a relative path (3.14.14)
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_TEXT = 2000  # characters of a message
_NAME = 1000  # characters of a pointer


def write(report: Report) -> str:
    """Write the report as one SARIF log of one run, in ASCII."""
    return json.dumps(to_document(report), indent=2)


def to_document(report: Report) -> dict[str, Any]:
    """Return the SARIF log as JSON values."""
    index = {rule.id: place for place, rule in enumerate(report.ran)}
    run = {
        "tool": {"driver": _driver(report)},
        "automationDetails": {"id": f"geozarr-check/{report.profile}/{report.depth}/"},
        "originalUriBaseIds": base_of(report.store),
        "invocations": [_invocation(report)],
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, index) for finding in report.findings],
        "properties": {key: report.to_document()[key] for key in ("depth", "profile", "tolerance", "checked")},
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def base_of(store: str) -> dict[str, Any]:
    """Say where a store is: absolutely, or relative to the user's files (SARIF 3.14.14)."""
    if "://" in store:
        return {_BASE: {"uri": _quoted(store, safe="/:@?&=%+~,").rstrip("/") + "/"}}
    path = _quoted(Path(store).as_posix()).strip("/") + "/"
    if Path(store).is_absolute():
        return {_BASE: {"uri": f"file:///{path}".replace("////", "///")}}
    if path.startswith("../"):  # SARIF allows no ".." here: what it is relative to is left open
        return {_BASE: {"description": {"text": _message(store)}}}
    return {
        _BASE: {"uri": path, "uriBaseId": _SOURCES},
        _SOURCES: {"description": {"text": "The folder in which the check was run."}},
    }


def _driver(report: Report) -> dict[str, Any]:
    driver = {
        "name": "geozarr-check",
        "fullName": "geozarr-check, conformance of GeoZarr pyramids",
        "rules": [_rule(rule) for rule in report.ran],
    }
    try:
        return {**driver, "version": metadata.version("geozarr-pyramids")}
    except metadata.PackageNotFoundError:  # run from a folder of sources
        return driver


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word[:1].upper() + word[1:] for word in "".join(map(_letter, rule.title)).split()),
        "shortDescription": {"text": _message(rule.title)},
        "fullDescription": {"text": _message(f"{rule.title} ({rule.clause}).")},
        "help": {"text": _message(f"Clause: {rule.clause}. docs/conformance.md lists the rule with an example.")},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"clause": rule.clause, "depth": str(rule.depth), "tags": [rule.family]},
    }


def _letter(character: str) -> str:
    return character if character.isascii() and character.isalnum() else " "


def _invocation(report: Report) -> dict[str, Any]:
    status = report.exit_status
    invocation: dict[str, Any] = {
        "executionSuccessful": True,
        "exitCode": status,
        "exitCodeDescription": VERDICTS[status],
    }
    if status == 2:
        told = [{"level": "warning", "message": {"text": VERDICTS[status]}}]
        invocation["toolExecutionNotifications"] = told
    return invocation


def _result(finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": _message(finding.told)},
        "locations": [_location(finding.key, finding.pointer)],
        "partialFingerprints": {"geozarrCheck/v1": finding.id},
        "properties": {
            "node": printable(finding.node),
            "clause": finding.clause,
            "patch": [change.to_document() for change in finding.patch],
        },
    }
    if finding.rule in index:
        result["ruleIndex"] = index[finding.rule]
    if finding.relies:
        # 3.27.22: places that the judgement leans on.
        result["relatedLocations"] = [_relied(place) for place in dict.fromkeys(finding.relies)]
    return result


def _relied(place: str) -> dict[str, Any]:
    key, _, pointer = place.partition("#")
    location = _location(key.lstrip("/"), pointer)
    return {**location, "message": {"text": "The judgement leans on this value."}}


def _location(key: str, pointer: str) -> dict[str, Any]:
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": _quoted(key), "uriBaseId": _BASE}}}
    if pointer:
        location["logicalLocations"] = [{"fullyQualifiedName": cut(pointer, _NAME)}]
    return location


def _quoted(text: str, *, safe: str = "/") -> str:
    return quote(text, safe=safe, errors="backslashreplace")


def _message(text: str) -> str:
    """Keep a text from being taken for a placeholder (3.11.5) or a link (3.11.6), which a document may have made up."""
    return cut(text, _TEXT).replace("{", "{{").replace("}", "}}").replace("](", "] (")
