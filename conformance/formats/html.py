"""The report as one HTML page, which needs nothing beside itself: no script, no font, no request of any kind.

A page is made of strings from documents that may mean harm. `markup.tag` escapes all of them, and the page's own policy
forbids every load but that of pictures in the page.
"""

from __future__ import annotations

import base64
from importlib import metadata, resources
from typing import TYPE_CHECKING

from conformance.formats import svg
from conformance.formats.markup import Markup, join, tag
from conformance.formats.text import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.drawing import DrawnLevel, DrawnPyramid, Preview
    from conformance.report import Finding, Report

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_SHOWN = 40  # findings of one rule; the JSON report lists all
_CHANGES_SHOWN = 8  # operations of one patch
_INHERITED_SHOWN = 200  # arrays
_STATES = ("good", "error", "warning")  # by exit status
_SIGNS = {"good": "✓", "error": "✗", "warning": "!", "info": "i"}
_NAMES = {"error": "errors", "warning": "warnings", "info": "infos"}


def write(report: Report) -> str:
    """Write the report as one HTML page."""
    style = resources.files("conformance.formats").joinpath("page.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Markup(_POLICY)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"geozarr-check: {report.store}"),
        tag("style", Markup(style)),
    )
    body = tag("body", tag("main", *_sections(report)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}"


def _sections(report: Report) -> Iterable[Markup]:
    yield _head(report)
    yield _checked(report)
    if report.drawing is not None:
        for index, pyramid in enumerate(report.drawing.pyramids):
            yield _pyramid(report, pyramid, f"pyramid-{index}")
        if report.drawing.more:
            yield tag("p", f"{svg.number(report.drawing.more)} more pyramids are not drawn.")
    yield _findings(report)
    yield _rules(report)
    if report.inherited:
        yield _inherited(report)
    yield tag("footer", tag("p", f"{_tool()}. Ids of findings stay the same from check to check."))


def _tool() -> str:
    try:
        return f"Written by geozarr-check {metadata.version('geozarr-pyramids')}"
    except metadata.PackageNotFoundError:  # run from a folder of sources
        return "Written by geozarr-check"


def _head(report: Report) -> Markup:
    state = _STATES[report.exit_status]
    verdict = VERDICTS[report.exit_status]
    counts = [
        tag(
            "li",
            tag("span", _SIGNS[severity], class_=f"sign fill-{severity if count else 'none'}", aria_hidden="true"),
            tag("strong", f"{count:,}"),
            f" {severity if count == 1 else _NAMES[severity]}",
        )
        for severity, count in report.counts.items()
    ]
    return tag(
        "header",
        tag("p", "geozarr-check", class_="muted"),
        tag("h1", report.store),
        tag(
            "p",
            tag("span", _SIGNS[state], class_=f"sign fill-{state}", aria_hidden="true"),
            verdict[:1].upper() + verdict[1:],
            class_=f"verdict is-{state}",
        ),
        tag("ul", *counts, class_="counts"),
    )


def _checked(report: Report) -> Markup:
    told = {
        "Nodes": f"{report.nodes:,}, of which {report.geospatial:,} use the conventions",
        "Documents": f"{report.documents:,}",
        "Pyramids": f"{report.pyramids:,}",
        "Rules": f"{len(report.ran):,}",
        "Depth": str(report.depth),
        "Profile": report.profile,
        "Read": f"{report.bytes_read:,} bytes in {report.requests:,} requests",
    }
    if report.cells:
        tied = f", {report.ties:,} of them with several right answers" if report.ties else ""
        told["Cells derived anew"] = f"{report.cells:,}{tied}"
    if not report.has_lists:
        told["Lists"] = "the store has none: nodes are those that the root's consolidated metadata names"
    if report.is_consolidated:
        told["Not read"] = "the nodes' own documents; the root's consolidated metadata stand for them"
    told |= {f"Not all of {rule}": f"was checked: {reason}" for rule, reason in report.left_out.items()}
    told["Tolerance"] = report.tolerance
    items = [tag("div", tag("dt", name), tag("dd", value)) for name, value in told.items()]
    return tag("section", tag("h2", "What was checked"), tag("dl", *items, class_="facts"))


def _pyramid(report: Report, pyramid: DrawnPyramid, prefix: str) -> Markup:
    found = {
        index: [finding for finding in report.findings if level.is_about(finding, pyramid.node)]
        for index, level in enumerate(pyramid.levels)
    }
    marks = {index: (_worst(findings), len(findings)) for index, findings in found.items() if findings}
    facts = [pyramid.crs or "no CRS that can be used", f"{len(pyramid.levels) + pyramid.more:,} levels"]
    if pyramid.tile_set:
        facts.append(f"tile matrix set {pyramid.tile_set}")
    more = tag("p", f"{pyramid.more:,} more levels are not drawn.") if pyramid.more else ""
    figures = [
        _captioned(
            svg.stack(pyramid, marks, prefix=f"{prefix}-stack"),
            "Levels; widths are not to scale. Lines: chunks, or shards.",
        )
    ]
    if pyramid.preview is not None:
        figures.append(_preview(pyramid.preview))
    figures += _extents(pyramid, prefix)
    note = tag("p", pyramid.note, class_="muted") if pyramid.note else ""
    return tag(
        "section",
        tag("h2", f"Pyramid {pyramid.node}"),
        tag("p", "; ".join(facts)),
        tag("div", *figures, class_="figures"),
        note,
        more,
        _tiles(pyramid, prefix),
        _levels(pyramid, found),
    )


def _worst(findings: list[Finding]) -> str:
    severities = {str(finding.severity) for finding in findings}
    return next(severity for severity in _NAMES if severity in severities)


def _captioned(figure: Markup, caption: str) -> Markup:
    return tag("figure", figure, tag("figcaption", caption))


def _extents(pyramid: DrawnPyramid, prefix: str) -> Iterable[Markup]:
    groups = svg.same_boxes(pyramid.levels)
    drawn = svg.extents(pyramid, groups, prefix=f"{prefix}-extents") if groups else Markup("")
    if not drawn:
        return
    legend = [
        tag("li", tag("span", class_=f"swatch hue-{index % svg.HUES}", aria_hidden="true"), ", ".join(assets))
        for index, (_, assets) in enumerate(groups)
    ]
    unit = f", in {pyramid.unit}" if pyramid.unit else ""
    yield tag(
        "figure",
        drawn,
        tag("figcaption", f"Extents, to scale{unit}. Levels of one outline:"),
        tag("ul", *legend, class_="legend"),
    )


def _preview(preview: Preview) -> Markup:
    data = Markup("data:image/png;base64," + base64.b64encode(preview.png).decode("ascii"))
    picture = tag(
        "img", src=data, alt=f"Preview: {preview.about}", width=preview.width, height=preview.height, class_="preview"
    )
    return _captioned(picture, f"Preview: {preview.about}")


def _tiles(pyramid: DrawnPyramid, prefix: str) -> Markup:
    figures = []
    for index, level in enumerate(pyramid.levels):
        drawn = svg.tiles(level, level.tiles, prefix=f"{prefix}-tiles-{index}") if level.tiles is not None else None
        if drawn and level.tiles is not None:
            caption = join(tag("strong", level.asset), f": {svg.limits_told(level.tiles)}")
            figures.append(tag("figure", drawn, tag("figcaption", caption)))
    if not figures:
        return Markup("")
    about = "Filled: tiles within the limits, as stated. Outlined: the level itself."
    return join(tag("h3", "Tile limits"), tag("p", about), tag("div", *figures, class_="matrices"))


def _levels(pyramid: DrawnPyramid, found: dict[int, list[Finding]]) -> Markup:
    heads = ("Level", "Derived from", "Rows, columns", "Cell (across, down)", "Chunk", "Shard", "Variables", "Findings")
    rows = [_level(level, found[index]) for index, level in enumerate(pyramid.levels)]
    table = tag(
        "table",
        tag("caption", f"Levels of the pyramid at {pyramid.node}, in the order of its layout"),
        tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))),
        tag("tbody", *rows),
    )
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=f"Levels at {pyramid.node}")


def _level(level: DrawnLevel, findings: list[Finding]) -> Markup:
    cells = (
        level.derived_from or "-",
        svg.pair(level.shape) if level.exists else "does not exist",
        svg.pair(level.cell),
        svg.pair(level.chunk),
        svg.pair(level.shard) if level.shard else "-",
        ", ".join(level.variables) or "-",
    )
    links = [tag("a", rule, href=f"#rule-{rule}") for rule in dict.fromkeys(finding.rule for finding in findings)]
    told = [part for link in links for part in (", ", link)][1:] or ["-"]
    return tag(
        "tr", tag("th", level.asset or "unnamed", scope="row"), *(tag("td", cell) for cell in cells), tag("td", *told)
    )


def _findings(report: Report) -> Markup:
    titles = {rule.id: rule.title for rule in report.ran}
    parts = [tag("h2", "Findings")]
    if not report.findings:
        parts.append(tag("p", "There are none."))
    linked: set[str] = set()
    for severity, rule, findings in report.groups():
        anchor = f"rule-{rule}" if rule not in linked else None
        linked.add(rule)
        shown = [_finding(finding, is_open=not index) for index, finding in enumerate(findings[:_SHOWN])]
        if len(findings) > _SHOWN:
            shown.append(tag("p", f"... and {len(findings) - _SHOWN:,} more; the JSON report lists all."))
        head = tag(
            "h3",
            tag("span", _SIGNS[severity], class_=f"sign fill-{severity}", aria_hidden="true"),
            f"{severity} {rule} x {len(findings):,}",
        )
        about = tag("p", titles.get(rule, ""), " ", tag("span", f"({findings[0].clause})", class_="muted"))
        parts.append(tag("article", head, about, *shown, id=anchor, class_=f"is-{severity}"))
    return tag("section", *parts)


def _finding(finding: Finding, *, is_open: bool) -> Markup:
    place = finding.node + (finding.pointer and f"#{finding.pointer}")
    told = [("Found", tag("code", finding.found))]
    if finding.expected:
        told.append(("Expected", join(finding.expected)))
    if finding.relies:
        told.append(("Leans on", _list(finding.relies)))
    if finding.patch:
        more = len(finding.patch) - _CHANGES_SHOWN
        changes = [change.to_text() for change in finding.patch[:_CHANGES_SHOWN]]
        told.append(("Mended by", _list([*changes, *([f"{more} more changes"] if more > 0 else [])])))
    told.append(("Id", tag("code", finding.id)))
    return tag(
        "details",
        tag("summary", tag("code", place), f": {finding.message}"),
        tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in told), class_="facts"),
        open="open" if is_open else None,
    )


def _list(lines: Iterable[str]) -> Markup:
    return tag("ul", *(tag("li", tag("code", line)) for line in lines))


def _rules(report: Report) -> Markup:
    counts: dict[str, int] = {}
    for finding in report.findings:
        counts[finding.rule] = counts.get(finding.rule, 0) + 1
    rows = [
        tag(
            "tr",
            tag("th", rule.id, scope="row"),
            tag("td", rule.title),
            tag("td", rule.clause),
            tag("td", str(counts.get(rule.id, "-"))),
        )
        for rule in report.ran
    ]
    table = tag(
        "table",
        tag("caption", f"Rules at depth {report.depth}, in the order in which they ran"),
        tag(
            "thead",
            tag("tr", *(tag("th", head, scope="col") for head in ("Rule", "What must hold", "Clause", "Findings"))),
        ),
        tag("tbody", *rows),
    )
    return _folded(f"{len(report.ran)} rules that ran", table)


def _inherited(report: Report) -> Markup:
    shown = list(report.inherited.items())[:_INHERITED_SHOWN]
    rows = [
        tag(
            "tr",
            tag("th", node, scope="row"),
            tag("td", ", ".join(sources)),
            tag("td", ", ".join(set(sources.values()))),
        )
        for node, sources in shown
    ]
    table = tag(
        "table",
        tag("caption", "Keys that arrays do not state themselves, and the group that gives them"),
        tag("thead", tag("tr", *(tag("th", head, scope="col") for head in ("Array", "Keys", "Group")))),
        tag("tbody", *rows),
    )
    more = len(report.inherited) - len(shown)
    told = tag("p", f"... and {more:,} more; the JSON report lists all.") if more else Markup("")
    return _folded(f"{len(report.inherited):,} arrays that inherit", table, told)


def _folded(title: str, *inner: Markup) -> Markup:
    body = tag("div", *inner, class_="scroll", tabindex="0", role="region", aria_label=title)
    return tag("section", tag("details", tag("summary", tag("h2", title)), body))
