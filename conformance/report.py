"""Rules, the faults they find, and the report: plain data, written as text and as JSON.

A rule is one numbered requirement together with the function that checks it. The function yields `Fault`s: what is
wrong, where, and which further values the judgement leaned on. The engine in `check.py` turns the faults into
`Finding`s, so that rules know nothing of severities by profile or of each other.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from conformance.context import Context

Pointer: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = tuple[str, Pointer]  # path of a node, and a pointer into its document

TOLERANCE = (
    "coordinates 1e-6 of a cell or 1e-9 of the value, whichever is larger; ratios of cells 1e-6; cellSize of tiles 1e-9"
)
_SHOWN = 160  # characters of a value in a finding; a document can hold megabytes in one string
_CLIPPED = 400  # characters of a message
_NODES_SHOWN = 8  # places listed for one rule in the text report; the JSON report lists all


class Severity(StrEnum):
    """How much a finding matters: an error breaks a MUST, a warning a SHOULD; an info breaks nothing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Depth(StrEnum):
    """How far a check goes; each one goes as far as those before it.

    Documents only; grids and coordinate values; each stored object, against the manifest; cells of coarser levels,
    derived anew.
    """

    METADATA = "metadata"
    GEOMETRY = "geometry"
    OBJECTS = "objects"
    PIXELS = "pixels"

    @property
    def reads_objects(self) -> bool:
        """True from `OBJECTS` on."""
        return self in (Depth.OBJECTS, Depth.PIXELS)


@dataclass(frozen=True)
class Change:
    """One operation that mends a document, as in a JSON patch (RFC 6902).

    Parameters
    ----------
    op : str
        "add", "replace" or "remove".
    node : str
        Path of the node whose document it changes.
    pointer : Pointer
        Where in it. What holds the place must be there; "-" is the end of an array.
    value : object
        What is added.
    document : str
        Name of the document, as in `Finding`.
    """

    op: str
    node: str
    pointer: Pointer
    value: object = None
    document: str = "zarr.json"

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        value = {} if self.op == "remove" else {"value": self.value}
        place = {"node": f"/{self.node}", "document": self.document}
        return {**place, "op": self.op, "path": format_pointer(self.pointer), **value}


@dataclass(frozen=True)
class Fault:
    """What a rule found.

    Parameters
    ----------
    node : str
        Path of the node, relative to the root of the store; "" is the root.
    pointer : Pointer
        Where in its `zarr.json`.
    message : str
        What is wrong, in words, without the values.
    found : object
        What stands there; None where nothing does.
    expected : str
        What should.
    severity : Severity or None
        Where it differs from the rule's.
    relies : tuple of Place
        Further values this judgement leans on. Where one of them has been reported already, the fault is that one's
        and is not reported again.
    voids : tuple of Place
        Further values that nothing else should be concluded from, now that this has been reported.
    keeps : bool
        True where the value at `pointer` itself is still good to judge by.
    is_of_cells : bool
        True where what the node holds is wrong, not its document: parts of that may have been reported.
    patch : tuple of Change
        What would mend it, where that follows from the document.
    """

    node: str
    pointer: Pointer
    message: str
    found: object = None
    expected: str = ""
    severity: Severity | None = None
    relies: tuple[Place, ...] = ()
    voids: tuple[Place, ...] = ()
    keeps: bool = False
    is_of_cells: bool = False
    patch: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One requirement and the function that checks it.

    Parameters
    ----------
    id : str
        Number of the requirement, such as "MS-03".
    clause : str
        The document and the clause that ask for it; "derived" where it follows from two of them together.
    title : str
        The requirement in one line.
    check : callable
        Takes the `Context` of a store and yields `Fault`s.
    severity : Severity
        Of its findings, unless a fault or the profile says otherwise.
    depth : Depth
        From which depth on it runs.
    profiles : frozenset of str
        Names of the profiles that it is meant for; empty for all (`profiles.py` says what each judges).
    lacks : callable or None
        Says which part of it cannot be checked here for want of an optional library; "" where that is installed.
    """

    id: str
    clause: str
    title: str
    check: Callable[[Context], Iterator[Fault]] = field(repr=False)
    severity: Severity = Severity.ERROR
    depth: Depth = Depth.METADATA
    profiles: frozenset[str] = frozenset()
    lacks: Callable[[], str] | None = field(default=None, repr=False)

    @property
    def family(self) -> str:
        """Letters of its id, such as "MS"."""
        return self.id.partition("-")[0]


@dataclass(frozen=True)
class Finding:
    """One fault at one place, judged.

    Parameters
    ----------
    rule, clause : str
        Of the rule broken.
    severity : Severity
        As judged under the profile.
    node : str
        Path of the node; "/" is the root of the store.
    pointer : str
        JSON pointer (RFC 6901) into the document; "" is the document as a whole.
    message, found, expected : str
        In words. `found` is JSON of bounded length, "nothing" where the value is absent.
    relies : tuple of str
        The other values that the judgement leans on, as node and JSON pointer: which node gave each of them.
    patch : tuple of Change
        What would mend it; empty where that cannot be told.
    document : str
        Name of the node's document: `zarr.json`, or of Zarr v2 `.zarray`, `.zgroup`, `.zattrs` or `.zmetadata`.
    """

    rule: str
    clause: str
    severity: Severity
    node: str
    pointer: str
    message: str
    found: str
    expected: str
    relies: tuple[str, ...] = ()
    patch: tuple[Change, ...] = ()
    document: str = "zarr.json"

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that stay the same from check to check, whatever the value found there."""
        return hashlib.sha256(f"{self.rule}\n{self.node}\n{self.pointer}".encode("utf-8", "replace")).hexdigest()[:12]

    def to_document(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {
            "id": self.id,
            "rule": self.rule,
            "clause": self.clause,
            "severity": str(self.severity),
            "node": self.node,
            "document": self.document,
            "pointer": self.pointer,
            "message": self.message,
            "found": self.found,
            "expected": self.expected,
            "relies": list(self.relies),
            "patch": [change.to_document() for change in self.patch],
        }

    def __str__(self) -> str:
        node = self.node if self.document == "zarr.json" else f"{self.node.rstrip('/')}/{self.document}"
        place = clipped(node + (self.pointer and f"#{self.pointer}"))
        tail = f": found {self.found}" + (f", expected {self.expected}" if self.expected else "")
        return _printable(f"{place}: {self.message}{tail}")


@dataclass(frozen=True)
class Report:
    """What was checked and what was found.

    Parameters
    ----------
    store : str
        Name of the store.
    depth : Depth
        How far the check went.
    profile : str
        Under which findings were judged.
    findings : tuple of Finding
        In the order of the nodes and rules.
    rules : tuple of str
        Ids of the rules that ran.
    nodes, documents : int
        Nodes of the tree; documents parsed, consolidated copies included.
    pyramids : int
        Multiscale groups.
    geospatial : int
        Nodes that register or use the multiscales, proj or spatial convention. None means that nothing was checked.
    tolerance : str
        Of comparisons of coordinates.
    has_lists : bool
        False where the store cannot list its objects: nodes that consolidated metadata do not name were not seen.
    is_consolidated : bool
        True where only the consolidated metadata of the root were read, not the nodes' own documents.
    cells, ties : int
        Cells that were derived anew; those among them of which several values would have been right, as of a mode.
    requests, bytes_read : int
        What was asked of the store, and the bytes of the objects that it gave.
    inherited : mapping of str to mapping of str to str
        Of each array the keys that it does not state itself and the group that gives them (SP-13, PJ-09).
    left_out : mapping of str to str
        Rules by id of which a part was not checked, and why.
    """

    store: str
    depth: Depth
    profile: str
    findings: tuple[Finding, ...]
    rules: tuple[str, ...]
    nodes: int
    documents: int
    pyramids: int
    geospatial: int
    tolerance: str = TOLERANCE
    has_lists: bool = True
    cells: int = 0
    ties: int = 0
    requests: int = 0
    bytes_read: int = 0
    is_consolidated: bool = False
    inherited: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[Severity, int]:
        """Findings by severity."""
        counter = Counter(finding.severity for finding in self.findings)
        return {severity: counter[severity] for severity in Severity}

    @property
    def exit_status(self) -> int:
        """0: checked, and neither error nor warning. 1: at least one of them. 2: there was nothing to check.

        Information never makes it 1. A store in which no node uses any of the conventions was not checked, which must
        not pass for "without findings".
        """
        counts = self.counts
        if counts[Severity.ERROR] or counts[Severity.WARNING]:
            return 1
        return 0 if self.geospatial else 2

    def to_document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "store": self.store,
            "depth": str(self.depth),
            "profile": self.profile,
            "tolerance": self.tolerance,
            "exit_status": self.exit_status,
            "checked": {
                "rules": len(self.rules),
                "nodes": self.nodes,
                "documents": self.documents,
                "pyramids": self.pyramids,
                "geospatial_nodes": self.geospatial,
                "listed": self.has_lists,
                "only_consolidated": self.is_consolidated,
                "cells": self.cells,
                "ties": self.ties,
                "requests": self.requests,
                "bytes": self.bytes_read,
            },
            "counts": {str(severity): count for severity, count in self.counts.items()},
            "rules": list(self.rules),
            "left_out": dict(self.left_out),
            "inherited": {node: dict(sources) for node, sources in self.inherited.items()},
            "findings": [finding.to_document() for finding in self.findings],
        }

    def to_json(self) -> str:
        """Write the report as JSON, in ASCII, so that a hostile name cannot break the output."""
        return json.dumps(self.to_document(), indent=2)

    def to_text(self) -> str:
        """Write the report for people: the worst first, grouped by rule, each group counted."""
        lines = [
            f"{_printable(self.store)}: {self.nodes} nodes, {self.documents} documents, {self.pyramids} pyramids; "
            f"{len(self.rules)} rules at depth {self.depth}, profile {self.profile}",
            f"{self.requests:,} requests, {self.bytes_read:,} bytes read; tolerance: {self.tolerance}",
        ]
        if self.depth is Depth.PIXELS:
            tied = f", {self.ties:,} of them with several right answers" if self.ties else ""
            lines.append(f"pixels: {self.cells:,} cells derived anew{tied}")
        if self.is_consolidated:
            lines.append("the consolidated metadata of the root alone were read, not the nodes' own documents")
        if not self.has_lists:
            lines.append("the store has no lists: nodes are those that the root's consolidated metadata names")
        lines += [f"not all of {rule} was checked: {reason}" for rule, reason in self.left_out.items()]
        for severity in Severity:
            groups: dict[str, list[Finding]] = {}
            for finding in self.findings:
                if finding.severity == severity:
                    groups.setdefault(finding.rule, []).append(finding)
            for rule, findings in groups.items():
                lines += ["", f"{severity} {rule} x {len(findings)} ({findings[0].clause})"]
                lines += [f"  {finding}" for finding in findings[:_NODES_SHOWN]]
                if len(findings) > _NODES_SHOWN:
                    lines.append(f"  ... and {len(findings) - _NODES_SHOWN} more")
        counts = ", ".join(f"{count} {severity}" for severity, count in self.counts.items())
        verdict = {0: "no fault found", 1: "faults found", 2: "nothing was checked: no node uses the conventions"}
        lines += ["", f"{counts}: {verdict[self.exit_status]}"]
        return "\n".join(lines)


def shown(value: object) -> str:
    """Render a JSON value on one line of bounded length; None is "nothing"."""
    if value is None:
        return "nothing"
    try:
        text = json.dumps(_cut(value, 4), ensure_ascii=False, default=str)
    except ValueError:  # a whole number of more digits than Python prints
        text = "a number of more than 4000 digits"
    return _printable(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def clipped(text: str) -> str:
    """Bound the length of a message, which may quote names of a document."""
    return text if len(text) <= _CLIPPED else text[: _CLIPPED - 3] + "..."


def format_pointer(pointer: Pointer) -> str:
    """Write a JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in pointer)


def _cut(value: object, depth: int) -> object:
    """Leave out what would not be shown anyway, before it is rendered."""
    if isinstance(value, str):
        return value[:_SHOWN]
    if isinstance(value, dict):
        return {k: _cut(v, depth - 1) if depth else "..." for k, v in list(value.items())[:12]}
    if isinstance(value, list | tuple):
        return [_cut(item, depth - 1) if depth else "..." for item in value[:24]]
    return value


def _printable(text: str) -> str:
    """Escape control characters and lone surrogates, which a terminal would obey or refuse."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
