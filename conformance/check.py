"""Check a store: read its documents once, run the rules in order, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from conformance import geometry, metadata, rules_objects, rules_pixels, schema, tree
from conformance.context import Context, Sample
from conformance.report import Depth, Fault, Finding, Report, Rule, Severity, clipped, format_pointer, shown
from geozarr import store as geozarr_store
from geozarr.errors import ParameterError

if TYPE_CHECKING:
    from geozarr.store import StoreLike

PROFILES = ("geozarr",)


def check(
    store: StoreLike,
    *,
    depth: str = Depth.GEOMETRY,
    profile: str = "geozarr",
    seed: int = 0,
    all_pixels: bool = False,
) -> Report:
    """Check a store against the conventions, CF, Zarr v3 and TMS 2.0.

    Nothing is written, and nothing is read but the store: no address inside a document is followed.

    Parameters
    ----------
    store : str, Path or obstore store
        Where it is.
    depth : str
        "metadata" judges the documents; "geometry" also grids across levels and the values of coordinate variables;
        "objects" also reads every stored object, and compares it with the manifest of a pyramid that has one.
    profile : str
        How severely findings are judged; only "geozarr" so far.
    seed : int
        Of the lot that draws blocks of pixels, at least 0.
    all_pixels : bool
        True to look at all pixels instead.

    Returns
    -------
    Report
        Findings, each fault once, and what was checked.

    Raises
    ------
    StoreError
        If the store cannot be opened or read.
    MetadataError
        If it has no Zarr v3 root document.
    LimitError
        If it has more nodes, or deeper groups, than any pyramid.
    ParameterError
        If the depth or the profile is unknown, or the seed is below 0.
    """
    if depth not in tuple(Depth):
        raise ParameterError("depth", found=depth, expected=" or ".join(Depth))
    if profile not in PROFILES:
        raise ParameterError("profile", found=profile, expected=" or ".join(PROFILES))
    if seed < 0:
        raise ParameterError("seed", found=seed, expected="at least 0")
    opened = geozarr_store.open_store(store)
    documents = tree.read(opened)
    context = Context(documents, opened, Depth(depth), Sample(seed, all_pixels))
    geospatial = sum(
        bool(context.uses(node) or context.registered(node).conventions) for node in documents.nodes.values()
    )
    findings = _run(context, profile)
    return Report(
        store=str(store) if isinstance(store, str | Path) else type(store).__name__,
        depth=Depth(depth),
        profile=profile,
        findings=tuple(sorted(findings, key=lambda finding: finding.node)),
        rules=tuple(rule.id for rule in rules_at(context.depth)),
        nodes=len(documents.nodes),
        documents=documents.documents,
        pyramids=len(context.pyramids),
        geospatial=geospatial,
        has_lists=documents.has_lists,
        cells=context.counts["cells"],
        ties=context.counts["ties"],
    )


def rules_at(depth: Depth) -> tuple[Rule, ...]:
    """Rules that run at a depth, in their order."""
    if depth is Depth.METADATA:
        return metadata.RULES
    objects = rules_objects.RULES if depth.reads_objects else ()
    cells = rules_pixels.RULES if depth is Depth.PIXELS else ()
    return (*metadata.RULES, *objects, *geometry.RULES, *cells)


def _run(context: Context, profile: str) -> list[Finding]:
    """Run the rules in their order; the schemas speak after those on metadata, where these were silent."""
    findings = _run_rules(context, metadata.RULES, profile)
    by_id = {rule.id: rule for rule in metadata.RULES}
    for rule, fault in schema.check_net(context):
        findings += _judge(context, by_id[rule], fault, profile)
    if context.depth.reads_objects:
        # Before coordinates are judged: what is wrong with the values of a damaged one is no news.
        findings += _run_rules(context, rules_objects.RULES, profile)
    if context.depth is not Depth.METADATA:
        findings += _run_rules(context, geometry.RULES, profile)
    if context.depth is Depth.PIXELS:
        findings += _run_rules(context, rules_pixels.RULES, profile)
    return findings


def _run_rules(context: Context, rules: tuple[Rule, ...], profile: str) -> list[Finding]:
    """Run some rules. Each fault is judged before the rule goes on, since it may void what comes next."""
    return [
        finding for rule in rules for fault in rule.check(context) for finding in _judge(context, rule, fault, profile)
    ]


def _judge(context: Context, rule: Rule, fault: Fault, profile: str) -> list[Finding]:
    """Turn a fault into a finding, unless it follows from one that has been reported."""
    if context.is_moot(fault):
        return []
    severity = fault.severity or rule.by_profile.get(profile, rule.severity)
    context.note(rule.id, fault.node)
    if severity is not Severity.INFO:
        places = fault.voids if fault.keeps else ((fault.node, fault.pointer), *fault.voids)
        for node, pointer in places:
            context.void(node, pointer)
    return [
        Finding(
            rule=rule.id,
            clause=rule.clause,
            severity=severity,
            node=f"/{fault.node}",
            pointer=format_pointer(fault.pointer),
            message=clipped(fault.message),
            found=shown(fault.found),
            expected=clipped(fault.expected),
        )
    ]
