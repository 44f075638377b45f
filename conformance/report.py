"""Rules, the faults they find, and the report: plain data. `formats` holds the ways to write it.

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

from conformance.formats import json_report, text
from conformance.formats.escaping import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from conformance.context import Context
    from conformance.drawing import Drawing

Pointer: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = tuple[str, Pointer]  # path of a node, and a pointer into its document

TOLERANCE = (
    "coordinates 1e-6 of a cell or 1e-9 of the value, whichever is larger; ratios of cells 1e-6; cellSize of tiles 1e-9"
)
_SHOWN = 160  # characters of a value in a finding; a document can hold megabytes in one string
_CLIPPED = 400  # characters of a message


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

    def to_text(self) -> str:
        """Say it in words."""
        what = "" if self.op == "remove" else f" = {shown(self.value)}"
        node = self.node if self.document == "zarr.json" else f"{self.node}/{self.document}".lstrip("/")
        return f"{self.op} {clipped(f'/{node}#{format_pointer(self.pointer)}')}{what}"


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
    patch: tuple[Change, ...] = field(default=(), compare=False)  # its values may be lists
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

    @property
    def key(self) -> str:
        """Key of the stored object that it is about: the node's document, or the object itself (rules GP)."""
        node = self.node.strip("/")
        if self.rule.startswith("GP-") and node and not self.pointer:
            return node
        return f"{node}/{self.document}".lstrip("/")

    def __str__(self) -> str:
        node = self.node if self.document == "zarr.json" else f"{self.node.rstrip('/')}/{self.document}"
        place = clipped(node + (self.pointer and f"#{self.pointer}"))
        return printable(f"{place}: {self.told}")

    @property
    def told(self) -> str:
        """What is wrong, what was found and what was expected, on one line."""
        tail = f": found {self.found}" + (f", expected {self.expected}" if self.expected else "")
        return printable(f"{self.message}{tail}")


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
    ran : tuple of Rule
        The rules that ran, in their order.
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
    drawing : Drawing or None
        What pictures of the pyramids are made of, where that was asked for. It is in no JSON.
    """

    store: str
    depth: Depth
    profile: str
    findings: tuple[Finding, ...]
    ran: tuple[Rule, ...]
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
    drawing: Drawing | None = None

    @property
    def rules(self) -> tuple[str, ...]:
        """Ids of the rules that ran."""
        return tuple(rule.id for rule in self.ran)

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

    def groups(self) -> list[tuple[Severity, str, tuple[Finding, ...]]]:
        """Put findings of one severity and one rule together, the worst first; the id of the rule in the middle."""
        found: dict[tuple[Severity, str], list[Finding]] = {}
        for finding in self.findings:
            found.setdefault((finding.severity, finding.rule), []).append(finding)
        order = sorted(found, key=lambda key: list(Severity).index(key[0]))
        return [(severity, rule, tuple(found[severity, rule])) for severity, rule in order]

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
        return json_report.write(self)

    def to_text(self) -> str:
        """Write the report for people: the worst first, grouped by rule, each group counted."""
        return text.write(self)


def shown(value: object) -> str:
    """Render a JSON value on one line of bounded length; None is "nothing"."""
    if value is None:
        return "nothing"
    try:
        text = json.dumps(_cut(value, 4), ensure_ascii=False, default=str)
    except ValueError:  # a whole number of more digits than Python prints
        text = "a number of more than 4000 digits"
    return printable(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


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
