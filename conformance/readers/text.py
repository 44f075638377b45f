"""The report on readers, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance.report import Finding, Severity, clipped, format_pointer, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.readers.verdict import Reason, Verdict

_NAME = 22  # characters, of the longest name of a reader and a blank
_OUTCOME = 9


def to_text(verdicts: Iterable[Verdict]) -> str:
    """Write a block a variable: each reader with what comes of it, and below it why."""
    lines: list[str] = []
    subject = None
    for verdict in verdicts:
        if verdict.subject != subject:
            subject = verdict.subject
            lines += [*([""] if lines else []), _printable(f"/{subject}")]
        lost = ", ".join(loss.value for loss in verdict.losses)
        lacks = f"never has {', '.join(loss.value for loss in verdict.lacks)}" if verdict.lacks else ""
        tail = "; ".join(part for part in (f"without {lost}" if lost else "", lacks) if part)
        lines.append(f"  {verdict.reader:<{_NAME}}{verdict.outcome.value:<{_OUTCOME}}{tail}".rstrip())
        lines += [f"    {reason.rule}: {reason.title}. {_finding(verdict, reason)}" for reason in verdict.reasons]
    return "\n".join(lines) + ("\n" if lines else "")


def to_json(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Make plain data of verdicts."""
    return [
        {
            "reader": verdict.reader,
            "version": verdict.version,
            "subject": f"/{verdict.subject}",
            "outcome": verdict.outcome.value,
            "losses": [loss.value for loss in verdict.losses],
            "lacks": [loss.value for loss in verdict.lacks],
            "codecs": list(verdict.codecs),
            "reasons": [
                {"title": reason.title} | _finding(verdict, reason).to_document() for reason in verdict.reasons
            ],
        }
        for verdict in verdicts
    ]


def _printable(text: str) -> str:
    """Escape what a terminal would obey or refuse."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _finding(verdict: Verdict, reason: Reason) -> Finding:
    """Make a finding of a reason: it renders what documents hold safely."""
    fault = reason.fault
    return Finding(
        rule=reason.rule,
        clause=f"reader {verdict.reader}",
        severity=Severity.ERROR if reason.loses is None else Severity.WARNING,
        node=f"/{fault.node}",
        pointer=format_pointer(fault.pointer),
        message=clipped(fault.message),
        found=shown(fault.found),
        expected=clipped(fault.expected),
    )
