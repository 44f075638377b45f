"""The report for people at a terminal: the worst first, grouped by rule, each group counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from conformance.formats.escaping import cut, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.report import Finding, Report

_NODES_SHOWN = 8  # places listed for one rule; the JSON report and `verbose` list all
_CHANGES_SHOWN = 3  # operations of one patch
_PATCH_SHOWN = 300  # characters of one patch
_STYLES: dict[str, dict[str, str | bool]] = {
    "error": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow", "bold": True},
    "info": {"fg": "cyan", "bold": True},
}
_VERDICT_STYLES: tuple[dict[str, str | bool], ...] = (
    {"fg": "green", "bold": True},
    _STYLES["error"],
    _STYLES["warning"],
)
VERDICTS = ("no fault found", "faults found", "nothing was checked: no node uses the conventions")


def write(report: Report, *, color: bool = False, verbose: bool = False) -> str:
    """Write the report as lines of text.

    Parameters
    ----------
    report : Report
        What to write.
    color : bool
        True for escape sequences that terminals turn into colours. No other ones are ever written.
    verbose : bool
        True to list all places of a rule, what each rule asks, and what arrays inherit.
    """
    lines = [*_head(report), *_groups(report, verbose=verbose)]
    if verbose and report.inherited:
        lines += ["", *_inherited(report)]
    status = report.exit_status
    lines += ["", f"{counted(report)}: {click.style(VERDICTS[status], **_VERDICT_STYLES[status])}"]  # type: ignore[arg-type]
    text = "\n".join(lines)
    return text if color else click.unstyle(text)


def counted(report: Report) -> str:
    """Count the findings by severity, such as "1 error, 0 warning, 2 info"."""
    return ", ".join(f"{count} {severity}" for severity, count in report.counts.items())


def checked(report: Report) -> list[str]:
    """Say what was checked, how far, and what was read for it, a line each."""
    lines = [
        f"{report.nodes:,} nodes, {report.documents:,} documents, {report.pyramids:,} pyramids; "
        f"{len(report.ran)} rules at depth {report.depth}, profile {report.profile}",
        f"{report.requests:,} requests, {report.bytes_read:,} bytes read; tolerance: {report.tolerance}",
    ]
    if report.depth == "pixels":
        tied = f", {report.ties:,} of them with several right answers" if report.ties else ""
        lines.append(f"pixels: {report.cells:,} cells derived anew{tied}")
    if report.is_consolidated:
        lines.append("the consolidated metadata of the root alone were read, not the nodes' own documents")
    if not report.has_lists:
        lines.append("the store has no lists: nodes are those that the root's consolidated metadata names")
    lines += [f"not all of {rule} was checked: {reason}" for rule, reason in report.left_out.items()]
    return lines


def mended_by(finding: Finding, *, most: int = _CHANGES_SHOWN) -> str:
    """Say what would mend a finding on one line of bounded length; "" where that cannot be told."""
    if not finding.patch:
        return ""
    told = [change.to_text() for change in finding.patch[:most]]
    if len(finding.patch) > most:
        told.append(f"{len(finding.patch) - most} more")
    return cut("; ".join(told), _PATCH_SHOWN)


def _head(report: Report) -> Iterator[str]:
    first, *others = checked(report)
    yield f"{click.style(printable(report.store), bold=True)}: {first}"
    yield from others


def _groups(report: Report, *, verbose: bool) -> Iterator[str]:
    titles = {rule.id: rule.title for rule in report.ran}
    for severity, rule, findings in report.groups():
        head = click.style(f"{severity} {rule} x {len(findings)}", **_STYLES[severity])  # type: ignore[arg-type]
        yield ""
        yield f"{head} ({findings[0].clause})"
        if verbose and rule in titles:
            yield f"  {titles[rule]}"
        shown = findings if verbose else findings[:_NODES_SHOWN]
        for finding in shown:
            yield f"  {finding}"
            if finding.patch:
                yield "    mended by: " + click.style(mended_by(finding), fg="green")
        if len(findings) > len(shown):
            yield f"  ... and {len(findings) - len(shown)} more"


def _inherited(report: Report) -> Iterator[str]:
    yield "inherited:"
    for node, sources in report.inherited.items():
        groups: dict[str, list[str]] = {}
        for key, group in sources.items():
            groups.setdefault(group, []).append(key)
        for group, keys in groups.items():
            yield "  " + printable(f"{node}: {', '.join(keys)} of {group}")
