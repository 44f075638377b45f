"""Reports made by hand, to be written in one format or another, and text that means harm."""

from __future__ import annotations

from typing import Any

from conformance import Depth, Finding, Report, Rule, Severity
from conformance.report import Change, clipped, shown

HOSTILE = (
    "</style><script>alert(1)</script>",
    "\"' onload=alert(1) x='",
    "<!-- ]]> &amp; <![CDATA[",
    "\u202egnp.exe\u2066",  # turns the direction of what follows
    "\x1b]0;title\x07\x1b[2J\r\n\0",
    "\ud800 \ufffe \U0010ffff",
    "{0} [a link](javascript:alert)",
    "x" * 100_000,
)
RULES = (
    Rule("SP-05", "spatial v0.1", "spatial:transform can be inverted", lambda _: iter(())),
    Rule("SP-07", "spatial v0.1", "Rows go south", lambda _: iter(()), severity=Severity.INFO),
    Rule("XC-01", "derived", "A box is what the transform spans", lambda _: iter(()), depth=Depth.GEOMETRY),
    Rule("GP-03", "manifest", "Each object is as it was stored", lambda _: iter(()), depth=Depth.OBJECTS),
)


def finding(severity: Severity = Severity.ERROR, **changes: Any) -> Finding:
    fields = {
        "rule": "SP-05",
        "clause": "spatial v0.1",
        "node": "/1",
        "pointer": "/attributes/spatial:transform",
        "message": "the transform is malformed",
        "found": "[1]",
        "expected": "six numbers",
    }
    return Finding(severity=severity, **{**fields, **changes})


def hostile_findings() -> list[Finding]:
    """Findings every text of which means harm, also that in patches."""
    return [
        finding(
            node=f"/{text}",
            pointer=f"/{text}",
            message=clipped(text),  # as the engine does
            found=shown(text),
            expected=clipped(text),
            relies=(clipped(f"/{text}/zarr.json#/{text}"),),
            patch=(Change("add", text, (text,), {text: [text, 10**400]}),),
        )
        for text in HOSTILE
    ]


def report(*findings: Finding, **changes: Any) -> Report:
    fields: dict[str, Any] = {
        "store": "scene.zarr",
        "depth": Depth.GEOMETRY,
        "profile": "geozarr",
        "findings": findings,
        "ran": RULES,
        "nodes": 4,
        "documents": 8,
        "pyramids": 1,
        "geospatial": 3,
        "requests": 12,
        "bytes_read": 34_567,
    }
    return Report(**{**fields, **changes})
