"""Rules on `proj:*`: one CRS, stated so that it can be read, at every place that needs it (proj convention v0.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from conformance import layouts, references, schema
from conformance.report import Fault, Rule, Severity
from conformance.rules_registration import serves_below
from conformance.sites import majority
from geozarr.conventions.proj import KEYS
from geozarr.conventions.registration import PROJ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conformance.context import Context
    from conformance.layouts import Pyramid
    from conformance.report import Place
    from conformance.tree import Node
    from geozarr.crs import CRS

CODE, WKT2, PROJJSON = KEYS
_CODE = re.compile(r"[^:]+:[^:]+")
_RETIRED = {
    "proj:transform": "spatial:transform",
    "proj:bbox": "spatial:bbox",
    "proj:shape": "spatial:shape",
    "proj:spatial_dimensions": "spatial:dimensions",
    "proj:epsg": "proj:code",
    "geo": "proj:wkt2",
}


def check_retired(context: Context) -> Iterator[Fault]:
    """Find keys that earlier drafts had."""
    for node in context.tree.nodes.values():
        for key, successor in _RETIRED.items():
            found = node.attributes.get(key)
            if key not in node.attributes or (key == "geo" and not (isinstance(found, dict) and "proj" in found)):
                continue
            voids = tuple((node.path, ("attributes", other)) for other in KEYS if other not in node.attributes)
            yield Fault(node.path, ("attributes", key), "a retired key", found, successor, voids=voids)


def check_null(context: Context) -> Iterator[Fault]:
    """Find keys that are null rather than left out."""
    for node in context.tree.nodes.values():
        for key in KEYS:
            if key in node.attributes and node.attributes[key] is None:
                yield Fault(node.path, ("attributes", key), f"{key} is null", "null", "a value, or no such key")


def check_present(context: Context) -> Iterator[Fault]:
    """Find nodes that register proj without stating a CRS, nor having one from their group."""
    for node in context.tree.nodes.values():
        registered = context.registered(node)
        if PROJ not in registered.conventions or registered.is_doubtful:
            continue
        parent = context.tree.nodes.get(node.parent) if node.is_array and node.path else None
        stated = any(key in holder.attributes for holder in (node, parent) if holder is not None for key in KEYS)
        if not stated and not serves_below(context, node, PROJ):
            relies = tuple((node.path, ("attributes", key)) for key in KEYS)
            message = "proj is registered, but there is no CRS"
            yield Fault(node.path, ("attributes", WKT2), message, None, " or ".join(KEYS), relies=relies)


def check_code(context: Context) -> Iterator[Fault]:
    """Find codes of another form, unknown ones, and authorities in lower case, which some readers refuse."""
    for node, found in _values(context, CODE):
        pointer = ("attributes", CODE)
        if not isinstance(found, str) or not _CODE.fullmatch(found):
            yield Fault(node.path, pointer, "the code is malformed", found, "AUTHORITY:CODE")
        elif references.from_code(found) is None:
            yield Fault(
                node.path, pointer, "PROJ knows no horizontal CRS of this code", found, "a code such as EPSG:3857"
            )
        elif found.partition(":")[0] != found.partition(":")[0].upper():
            expected = found.partition(":")[0].upper() + ":" + found.partition(":")[2]
            message = "the authority is in lower case"
            severity = Severity.WARNING
            yield Fault(node.path, pointer, message, found, expected, severity=severity, keeps=True)


def check_wkt2(context: Context) -> Iterator[Fault]:
    """Find `proj:wkt2` that is no WKT2 of a horizontal CRS."""
    for node, found in _values(context, WKT2):
        if not isinstance(found, str):
            message = "proj:wkt2 is no string"
        elif references.is_wkt1(found):
            message = "proj:wkt2 is WKT 1"
        elif references.from_wkt(found) is None:
            message = "proj:wkt2 describes no horizontal CRS"
        else:
            continue
        yield Fault(node.path, ("attributes", WKT2), message, found, "a CRS as WKT2:2019")


def check_projjson(context: Context) -> Iterator[Fault]:
    """Find `proj:projjson` that is not PROJJSON v0.7, or no CRS."""
    for node, found in _values(context, PROJJSON):
        pointer = ("attributes", PROJJSON)
        problem = schema.problem_of(schema.PROJJSON, found)
        if problem is not None:
            yield Fault(node.path, (*pointer, *problem.pointer), problem.message, problem.found, "PROJJSON v0.7")
        elif references.from_projjson(found) is None:
            kind = found.get("type") if isinstance(found, dict) else found
            yield Fault(node.path, pointer, "proj:projjson describes no horizontal CRS", kind, "a CRS")


def check_not_code_alone(context: Context) -> Iterator[Fault]:
    """Find nodes whose CRS is a code alone, which a reader without the registry cannot use."""
    for node in context.tree.nodes.values():
        parent = context.tree.nodes.get(node.parent) if node.is_array and node.path else None
        holders = [node] if parent is None else [node, parent]
        if CODE in node.attributes and not any(
            key in holder.attributes for holder in holders for key in (WKT2, PROJJSON)
        ):
            relies: tuple[Place, ...] = ((node.path, ("attributes", CODE)),)
            message = "the code stands alone"
            yield Fault(node.path, ("attributes", WKT2), message, None, "proj:wkt2 beside it", relies=relies)


def check_one_crs_at_node(context: Context) -> Iterator[Fault]:
    """Find nodes whose code, WKT and PROJJSON describe different CRS."""
    parsers: tuple[tuple[str, Callable[[Any], CRS | None]], ...] = (
        (WKT2, lambda value: references.from_wkt(value) if isinstance(value, str) else None),
        (CODE, lambda value: references.from_code(value) if isinstance(value, str) else None),
        (PROJJSON, references.from_projjson),
    )
    for node in context.tree.nodes.values():
        votes: list[tuple[Place, CRS]] = [
            ((node.path, ("attributes", key)), crs)
            for key, parse in parsers
            if (crs := context.attribute(node, key, parse)) is not None
        ]
        if len(votes) < 2:
            continue
        # The CRS of a group above breaks the tie between two keys that differ.
        above = (context.own_crs(group) for group in context.tree.ancestors(node.path))
        votes += [((node.path, ()), crs) for crs in above if crs is not None][:1]
        consensus = majority(votes, references.are_same)
        for place, crs in consensus.dissenters if consensus else ():
            if place[1]:
                voids = tuple(support for support in (consensus.doubtful if consensus else ()) if support[1])
                expected = f"{consensus.value if consensus else crs}"
                yield Fault(*place, "the node states two CRS", str(crs), expected, voids=voids)


def check_inherited_one_step(context: Context) -> Iterator[Fault]:
    """Find level groups that leave the CRS to the multiscale group: it holds for direct child arrays only (D-05)."""
    for pyramid in context.layouts:
        if context.own_crs(pyramid.node) is None:
            continue
        for level in layouts.levels(context, pyramid):
            if level.node.parent == pyramid.node.path and level.node.is_array:
                continue
            bare = [array for array in context.rasters(level.arrays.values()) if not _states_crs(context, array)]
            if bare:
                parent = bare[0].parent
                holders = (parent, *(array.path for array in bare))
                relies = tuple((holder, ("attributes", key)) for holder in holders for key in KEYS)
                message = "the level relies on the CRS of the multiscale group, which does not reach its arrays"
                yield Fault(parent, ("attributes", WKT2), message, None, "the CRS at the level", relies=relies)


def check_whole_override(context: Context) -> Iterator[Fault]:
    """Find arrays that replace some keys of their group's CRS and inherit others of another CRS."""
    for array in context.tree.arrays:
        parent = context.tree.nodes.get(array.parent) if array.path else None
        own = context.own_crs(array)
        theirs = context.own_crs(parent) if parent is not None else None
        if parent is None or own is None or theirs is None or references.are_same(own, theirs):
            continue
        inherited = [key for key in KEYS if key in parent.attributes and key not in array.attributes]
        if inherited:
            stated = next(key for key in KEYS if key in array.attributes)
            message = f"the array overrides the CRS of its group, but inherits its {inherited[0]}"
            expected = f"{inherited[0]} of its own, or the CRS of the group, {theirs}"
            yield Fault(array.path, ("attributes", stated), message, str(own), expected)


def check_one_crs_in_pyramid(context: Context) -> Iterator[Fault]:
    """Find levels whose CRS is not that of the pyramid."""
    for pyramid in context.pyramids:
        votes = list(_crs_of(context, pyramid))
        consensus = majority(votes, references.are_same)
        if consensus is None:
            continue
        for place, found, nodes in _merged(context, list(consensus.dissenters)):
            voids = tuple((node, ("attributes", key)) for node in nodes for key in KEYS)
            message = "the CRS is not that of the rest of the pyramid"
            yield Fault(*place, message, str(found), str(consensus.value), voids=voids)


def _crs_of(context: Context, pyramid: Pyramid) -> Iterator[tuple[Place, CRS]]:
    """CRS that the multiscale group, the levels and their arrays state by themselves."""
    nodes = [pyramid.node]
    for level in layouts.levels(context, pyramid):
        nodes += [level.node] if not level.node.is_array else []
        nodes += context.rasters(level.arrays.values())
    for node in nodes:
        if (crs := context.own_crs(node)) is not None:
            key = next(
                key for key in KEYS if key in node.attributes and not context.is_void(node.path, "attributes", key)
            )
            yield (node.path, ("attributes", key)), crs


def _merged(context: Context, dissenters: list[tuple[Place, CRS]]) -> list[tuple[Place, CRS, list[str]]]:
    """Put arrays to their group where it dissents in the same way: it is one level with another CRS."""
    stated = {place[0]: crs for place, crs in dissenters}
    covered: dict[str, list[str]] = {}
    for path, crs in stated.items():
        parent = path.rpartition("/")[0]
        is_below = context.tree.nodes[path].is_array and parent in stated
        holder = parent if is_below and references.are_same(stated[parent], crs) else path
        covered.setdefault(holder, []).append(path)
    return [(place, crs, covered[place[0]]) for place, crs in dissenters if place[0] in covered]


def _states_crs(context: Context, array: Node) -> bool:
    parent = context.tree.nodes.get(array.parent)
    return any(key in holder.attributes for holder in (array, parent) if holder is not None for key in KEYS)


def _values(context: Context, key: str) -> Iterator[tuple[Node, Any]]:
    for node in context.tree.nodes.values():
        if node.attributes.get(key) is not None:
            yield node, node.attributes[key]


_SCHEMA, _TEXT = "proj v0.1 schema", "proj v0.1"
_WARNING = Severity.WARNING
RULES = (
    Rule("PJ-12", "drafts of proj before v0.1", "No retired keys", check_retired, _WARNING),
    Rule("PJ-05", _TEXT, "No key is null", check_null, _WARNING),
    Rule("PJ-01", _SCHEMA, "A node that registers proj has a CRS", check_present),
    Rule("PJ-02", _SCHEMA, "proj:code is AUTHORITY:CODE and known", check_code),
    Rule("PJ-03", _SCHEMA, "proj:wkt2 is WKT2:2019", check_wkt2),
    Rule("PJ-04", _SCHEMA, "proj:projjson is PROJJSON v0.7 of a CRS", check_projjson),
    Rule("PJ-07", f"{_TEXT}, Writers", "All representations at a node are one CRS", check_one_crs_at_node),
    Rule("PJ-09", f"{_TEXT}, Inheritance", "Levels restate the CRS", check_inherited_one_step, _WARNING),
    Rule("PJ-10", f"{_TEXT}, Inheritance", "An array overrides a CRS as a whole", check_whole_override),
    Rule("PJ-11", "derived", "All levels of a pyramid share one CRS", check_one_crs_in_pyramid),
    # After the rest: what stands alone may be the wrong CRS, which says more.
    Rule("PJ-06", f"{_TEXT}, Writers", "proj:code does not stand alone", check_not_code_alone, _WARNING),
)
