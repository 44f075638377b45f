"""Check a store: read its documents once, run the rules in order, report."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import TYPE_CHECKING

from conformance import (
    draw,
    geometry,
    metadata,
    profiles,
    reading,
    repairs,
    rules_objects,
    rules_pixels,
    rules_ranges,
    schema,
)
from conformance.context import Context, Sample
from conformance.counted import CountedStore
from conformance.report import Depth, Finding, Report, Severity, clipped, format_pointer, shown
from geozarr import store as geozarr_store
from geozarr.conventions import proj, spatial
from geozarr.documents import DOCUMENT
from geozarr.errors import ParameterError
from geozarr.store import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.profiles import Profile
    from conformance.report import Fault, Place, Pointer, Rule
    from geozarr.store import StoreLike

_MOST_RELIED = 16  # places named in a finding; what leans on more leans on a whole layout


def check(
    store: StoreLike,
    *,
    depth: str = Depth.GEOMETRY,
    profile: str = "geozarr",
    seed: int = 0,
    all_pixels: bool = False,
    own_documents: bool | None = None,
    picture: bool = False,
    preview: bool = True,
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
        What the store is judged by: one of `profiles.NAMES`.
    seed : int
        Of the lot that draws blocks of pixels, at least 0.
    all_pixels : bool
        True to look at all pixels instead.
    own_documents : bool, optional
        Whether each node's own document is read where the root has consolidated metadata. By default it is, but at
        depth "metadata" across a network, where the root alone is asked for.
    picture : bool
        True to put what the HTML page draws into the report.
    preview : bool
        False to read no pixels for the picture.

    Returns
    -------
    Report
        Findings, each fault once, and what was checked.

    Raises
    ------
    StoreError
        If the store cannot be opened or read.
    MetadataError
        If it has no root document.
    LimitError
        If it has more nodes, or deeper groups, than any pyramid.
    ParameterError
        If the depth or the profile is unknown, or the seed is below 0.
    """
    if depth not in tuple(Depth):
        raise ParameterError("depth", found=depth, expected=" or ".join(Depth))
    judged_by = profiles.of_name(profile)
    if seed < 0:
        raise ParameterError("seed", found=seed, expected="at least 0")
    place = geozarr_store.open_store(store)
    if own_documents is None:
        own_documents = depth != Depth.METADATA or not getattr(place, "is_remote", False)
    opened = CountedStore(place)
    with _uncollected():
        documents = reading.read(opened, only_consolidated=not own_documents)
    context = Context(documents, opened, Depth(depth), Sample(seed, all_pixels))
    holders = {pyramid.node.path for pyramid in context.pyramids}  # also those that list their levels otherwise
    geospatial = sum(
        bool(context.uses(node) or context.registered(node).conventions)
        or node.path in holders
        or (judged_by.judges_any_array and node.is_array)
        for node in documents.nodes.values()
    )
    rules = rules_at(context.depth, judged_by)
    # What reads values makes garbage that has to go; rules on documents make none to speak of.
    with _uncollected() if context.depth is Depth.METADATA else contextlib.nullcontext():
        findings = _run(context, judged_by, rules)
    drawing = draw.draw(context, with_preview=preview) if picture else None
    return Report(
        store=str(store) if isinstance(store, str | Path) else type(store).__name__,
        depth=context.depth,
        profile=profile,
        findings=tuple(sorted(findings, key=lambda finding: finding.node)),
        ran=rules,
        nodes=len(documents.nodes),
        documents=documents.documents,
        pyramids=len(context.pyramids),
        geospatial=geospatial,
        has_lists=documents.has_lists,
        is_consolidated=documents.is_consolidated,
        cells=context.counts["cells"],
        ties=context.counts["ties"],
        requests=opened.requests,
        bytes_read=opened.bytes_read,
        inherited=_inherited(context),
        drawing=drawing,
        left_out=_left_out(rules),
    )


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Hold the collector back, which would look at thousands of documents that all stay again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def rules_at(depth: Depth, profile: Profile = profiles.PROFILES["geozarr"]) -> tuple[Rule, ...]:
    """Rules that run at a depth under a profile, in their order."""
    if profile.rules:
        return profile.rules
    objects = rules_objects.RULES if depth.reads_objects else ()
    grids = geometry.RULES if depth is not Depth.METADATA else ()
    cells = (*rules_pixels.RULES, *rules_ranges.RULES) if depth is Depth.PIXELS else ()
    # Objects before coordinates are judged: what is wrong with the values of a damaged one is no news.
    return tuple(filter(profile.judges, (*metadata.RULES, *objects, *grids, *cells)))


def _run(context: Context, profile: Profile, rules: tuple[Rule, ...]) -> list[Finding]:
    """Run the rules in their order; the schemas speak after those on metadata, where these were silent."""
    findings: list[Finding] = []
    first = [rule for rule in rules if rule.depth is Depth.METADATA]
    for rule in first:
        findings += _run_rule(context, rule, profile)
    by_id = {rule.id: rule for rule in first}
    for name, fault in schema.check_net(context) if not profile.rules else ():
        if name in by_id:
            findings += _judge(context, by_id[name], fault, profile)
    for rule in rules[len(first) :]:
        findings += _run_rule(context, rule, profile)
    return findings


def _run_rule(context: Context, rule: Rule, profile: Profile) -> Iterator[Finding]:
    """Run a rule. Each fault is judged before the rule goes on, since it may void what comes next."""
    for fault in rule.check(context):
        yield from _judge(context, rule, fault, profile)


def _judge(context: Context, rule: Rule, fault: Fault, profile: Profile) -> Iterator[Finding]:
    """Turn a fault into a finding, unless it follows from one that has been reported."""
    if context.is_moot(fault):
        return
    severity = profile.severity(rule, fault.severity)
    patch = repairs.of(context, rule.id, fault)
    context.note(rule.id, fault.node)
    if severity is not Severity.INFO:
        places = fault.voids if fault.keeps else ((fault.node, fault.pointer), *fault.voids)
        for node, pointer in places:
            context.void(node, pointer)
    document, pointer = _stored_at(context, (fault.node, fault.pointer))
    yield Finding(
        rule=rule.id,
        clause=rule.clause.replace("Zarr v3 core", "Zarr v2") if document.startswith(".") else rule.clause,
        severity=severity,
        node=f"/{fault.node}",
        document=document,
        pointer=format_pointer(pointer),
        message=clipped(fault.message),
        found=shown(fault.found),
        expected=clipped(fault.expected),
        relies=tuple(clipped(_named(context, place)) for place in fault.relies[:_MOST_RELIED]),
        patch=patch,
    )


def _left_out(rules: tuple[Rule, ...]) -> dict[str, str]:
    """Name the rules of which a part cannot be checked here, and say why."""
    reasons = {rule.id: rule.lacks() for rule in rules if rule.lacks is not None}
    return {rule: reason for rule, reason in reasons.items() if reason}


def _stored_at(context: Context, place: Place) -> tuple[str, Pointer]:
    """Name the document that holds a value, and where in it."""
    node = context.tree.nodes.get(place[0])
    return node.place(place[1]) if node is not None else (DOCUMENT, place[1])


def _named(context: Context, place: Place) -> str:
    """Write a place such as `/9/red/zarr.json#/attributes/units`."""
    document, pointer = _stored_at(context, place)
    return f"/{join(place[0], document)}#{format_pointer(pointer)}"


def _inherited(context: Context) -> dict[str, dict[str, str]]:
    """Name the group that gives each key which an array does not state itself."""
    found = {}
    for array in context.tree.arrays:
        group = context.tree.nodes.get(array.parent) if array.path else None
        if group is None or not context.rasters([array]):
            continue
        crs = () if any(key in array.attributes for key in proj.KEYS) else proj.KEYS
        keys = [key for key in (*spatial.KEYS, *crs) if key in group.attributes and key not in array.attributes]
        if keys:
            found[f"/{array.path}"] = dict.fromkeys(keys, f"/{group.path}")
    return found
