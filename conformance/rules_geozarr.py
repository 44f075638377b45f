"""Rules of GeoZarr itself: what it must not claim, what EOPF asks beyond it, and drafts of other forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance import drafts, entries, layouts, sites
from conformance.report import Fault, Rule, Severity
from conformance.rules_coordinates import coordinate_of
from geozarr.conventions import proj, spatial
from geozarr.conventions.multiscales import KEY
from geozarr.conventions.registration import KEY as REGISTERED
from geozarr.conventions.registration import MULTISCALES, PROJ, SPATIAL
from geozarr.store import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.layouts import Pyramid
    from conformance.report import Place, Pointer
    from conformance.tree import Node
    from geozarr.conventions.registration import Convention

_UNAPPROVED = "www.opengis.net/spec/geozarr"
_MULTISCALES: Pointer = ("attributes", KEY)


def check_claims(context: Context) -> Iterator[Fault]:
    """Find claims of conformance classes that OGC has not approved."""
    for node in context.tree.nodes.values():
        for pointer, text in _texts(node.attributes):
            if _UNAPPROVED in text.lower():
                message = "a conformance class of GeoZarr that is not approved"
                yield Fault(node.path, ("attributes", *pointer), message, text, "no claim before there is a standard")
                break


def check_eopf(context: Context) -> Iterator[Fault]:
    """Find what the EOPF data model asks of a store, of its multiscale groups and of their levels, and lacks."""
    root = context.tree.nodes[""]
    if root.document.get("zarr_format") == 2:
        yield Fault("", ("zarr_format",), "the store is of Zarr v2", 2, "3")
    groups = {pyramid.node.path for pyramid in context.layouts}
    if "" not in groups:
        yield from _lacking(context, root, frozenset({PROJ, SPATIAL}), (spatial.BBOX,))
    for pyramid in context.layouts:
        keys = (spatial.BBOX, spatial.DIMENSIONS)
        yield from _lacking(context, pyramid.node, frozenset({MULTISCALES, PROJ, SPATIAL}), keys)
        declared = {(layouts.asset_of(item) or "").partition("/")[0] for item in pyramid.items}
        for child in context.tree.children(pyramid.node.path) if pyramid.is_whole else ():
            if child.name not in declared and child.is_known:
                relies = tuple(pyramid.place(item, "asset") for item in pyramid.items)
                message = "a member of the multiscale group that its layout does not declare"
                yield Fault(child.path, (), message, child.name, "levels alone", relies=relies, keeps=True)
        yield from _axes_without_coordinates(context, pyramid)
        for name, first in entries.late(context, pyramid).items():
            message = f"the variable {name!r} begins at {first.asset!r}"
            yield Fault(first.arrays[name].path, (), message, None, "the same variables at all levels", keeps=True)


def check_draft_of_2025(context: Context) -> Iterator[Fault]:
    """Recognise `multiscales` of GeoZarr's draft of 2025, which no rule of v0.1 fits."""
    for node in context.tree.nodes.values():
        if layouts.is_draft(node.attributes):
            message = "multiscales are of GeoZarr's draft of 2025 (levels by id and path), and not judged as v0.1"
            expected = "multiscales v0.1: levels by asset, registered in zarr_conventions"
            yield Fault(node.path, _MULTISCALES, message, node.attributes[KEY], expected)


def check_lists(context: Context) -> Iterator[Fault]:
    """Recognise `multiscales` that are a list, as ndpyramid and OME-NGFF have them; the outermost of several."""
    for node in context.tree.nodes.values():
        kind = drafts.list_of(node.attributes)
        is_inner = any(drafts.list_of(group.attributes) for group in context.tree.ancestors(node.path))
        if kind is not None and not is_inner and not context.claims_multiscales(node):
            message = f"multiscales are a list, as of {kind}, and not judged as v0.1"
            expected = "multiscales v0.1: an object with a layout, registered in zarr_conventions"
            yield Fault(node.path, _MULTISCALES, message, node.attributes[KEY], expected)


def _lacking(
    context: Context, node: Node, conventions: frozenset[Convention], keys: tuple[str, ...]
) -> Iterator[Fault]:
    """Name what a group lacks of registrations, keys and a CRS."""
    registered = context.registered(node)
    absent = sorted(known.name for known in conventions - registered.conventions)
    if absent and not registered.is_doubtful and not context.has_findings(node.path, "ZC"):
        message = f"the group does not register {', '.join(absent)}"
        yield Fault(node.path, ("attributes", REGISTERED), message, None, "all that EOPF asks for")
    for key in keys:
        if key not in node.attributes:
            yield Fault(node.path, ("attributes", key), f"the group has no {key}", None, f"{key}, as EOPF asks")
    if not any(key in node.attributes for key in proj.KEYS):
        yield Fault(node.path, ("attributes", "proj:wkt2"), "the group has no CRS", None, "a CRS, as EOPF asks")


def _axes_without_coordinates(context: Context, pyramid: Pyramid) -> Iterator[Fault]:
    """Find axes for which no level has a coordinate array; one that some levels have is for XC-10."""
    lacking: dict[str, list[Place]] = {}
    known: set[str] = set()
    for site in sites.of_levels(context, pyramid).values():
        for array in site.rasters:
            for name in context.sizes(array):
                if coordinate_of(context, site, name) is not None:
                    known.add(name)
                else:
                    lacking.setdefault(name, []).append((array.path, ("dimension_names",)))
    for name, users in lacking.items():
        if name not in known:
            path = join(users[0][0].rpartition("/")[0], name)
            message = "there is no coordinate array for an axis, at no level"
            yield Fault(path, (), message, None, f"an array {name!r} along it", relies=tuple(users), keeps=True)


def _texts(value: Any) -> Iterator[tuple[Pointer, str]]:
    """All texts of a JSON value, each with its place in it."""
    waiting: list[tuple[Pointer, Any]] = [((), value)]
    while waiting:
        pointer, item = waiting.pop()
        if isinstance(item, str):
            yield pointer, item
        elif isinstance(item, dict):
            waiting += [((*pointer, key), inner) for key, inner in item.items()]
        elif isinstance(item, list):
            waiting += [((*pointer, index), inner) for index, inner in enumerate(item)]


RULES = (
    Rule(
        "GZ-01",
        "GeoZarr issue 108",
        "No conformance class is claimed that is not approved",
        check_claims,
        Severity.WARNING,
    ),
    Rule(
        "GZ-24",
        "GeoZarr archives-2025, clause 7",
        "multiscales of the draft of 2025 are told apart",
        check_draft_of_2025,
        Severity.INFO,
    ),
    Rule(
        "GZ-25",
        "ndpyramid; OME-NGFF 0.4",
        "multiscales that are a list are told apart",
        check_lists,
        Severity.INFO,
    ),
    Rule(
        "GZ-03",
        "EOPF data model, GeoZarr mini spec",
        "Root, multiscale groups and levels have all that EOPF asks for",
        check_eopf,
        profiles=frozenset({"eopf"}),
    ),
)
