"""What would mend a fault, where that follows from the document: a patch for each, and never a guess.

A patch restates what the store says elsewhere, or says in another form what it says already. Of two statements that
contradict each other the one is changed that the majority of all statements is against; where there is no majority,
there is no patch. Pixels are never touched, and neither is what would give them another meaning.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from conformance import layouts, references, rules_ratios, sites, values
from conformance.context import claims
from conformance.report import Change
from geozarr import cf
from geozarr.conventions import proj, registration, spatial
from geozarr.conventions.registration import PROJ

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conformance.context import Context
    from conformance.report import Fault, Pointer
    from conformance.sites import Site
    from conformance.tree import Node
    from geozarr.conventions.registration import Convention

    Repair = Callable[[Context, Node, Fault], tuple[Change, ...]]

CODE, WKT2, PROJJSON = proj.KEYS
_KEY: Pointer = ("attributes", registration.KEY)


def of(context: Context, rule: str, fault: Fault) -> tuple[Change, ...]:
    """Tell what would mend a fault; nothing where that cannot be told.

    Parameters
    ----------
    context : Context
        The store, before the fault takes anything out of judgement.
    rule : str
        Id of the rule that found the fault.
    fault : Fault
        It.
    """
    repair, node = REPAIRS.get(rule), context.tree.nodes.get(fault.node)
    if repair is None or node is None or node.fault:
        return ()
    changes = repair(context, node, fault)
    places = (context.tree.nodes[change.node].place(change.pointer) for change in changes)
    return tuple(
        replace(change, document=document, pointer=pointer)
        for change, (document, pointer) in zip(changes, places, strict=True)
    )


def _put(node: Node, pointer: Pointer, value: object) -> tuple[Change, ...]:
    """Write a value, over the one that is there."""
    holder: Any = node.document
    for part in pointer[:-1]:
        holder = holder[part]
    is_there = isinstance(pointer[-1], int) or (isinstance(holder, dict) and pointer[-1] in holder)
    return (Change("replace" if is_there else "add", node.path, pointer, value),)


def _remove(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    return (Change("remove", node.path, fault.pointer),)


# Registrations


def _restate_registration(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write the registration of the one convention that is meant as v0.1 has it."""
    where = fault.pointer[: len(_KEY) + 1]
    entry = node.attributes[registration.KEY][where[-1]]
    meant = claims(entry)
    return _put(node, where, next(iter(meant)).to_document()) if len(meant) == 1 else ()


def _move_properties(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Move what stands in a registration to the root of the attributes, if nothing is there."""
    where = fault.pointer[: len(_KEY) + 1]
    entry = node.attributes[registration.KEY][where[-1]]
    moved = [key for key in entry if key.startswith(("proj:", "spatial:")) or key == "multiscales"]
    if any(key in node.attributes for key in moved) or not moved:
        return ()
    rest = {key: value for key, value in entry.items() if key not in moved}
    changes = (Change("add", node.path, ("attributes", key), entry[key]) for key in moved)
    return (*changes, *_put(node, where, rest))


def _register(context: Context, node: Node, _: Fault) -> tuple[Change, ...]:
    """Register the conventions that a node uses."""
    registered = context.registered(node)
    missing = sorted(context.uses(node) - registered.conventions, key=lambda known: known.name)
    return () if registered.is_doubtful else _registrations(node, missing)


def _registrations(node: Node, missing: list[Convention]) -> tuple[Change, ...]:
    documents = [known.to_document() for known in missing]
    if not isinstance(node.attributes.get(registration.KEY), list):
        return _put(node, _KEY, documents) if documents else ()
    return tuple(Change("add", node.path, (*_KEY, "-"), document) for document in documents)


# CRS


def _restate_wkt(context: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write `proj:wkt2` as WKT2 of the CRS that the node states, in WKT 1 or by its code."""
    found = node.attributes.get(WKT2)
    stated = references.from_wkt(found) if isinstance(found, str) else None
    code = context.attribute(node, CODE, values.text)
    crs = stated or (references.from_code(code) if code is not None else None)
    return _put(node, fault.pointer, crs.wkt2) if crs is not None else ()


def _raise_authority(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    authority, colon, code = str(fault.found).partition(":")
    text = authority.upper() + colon + code
    return _put(node, fault.pointer, text) if colon and references.from_code(text) is not None else ()


def _replace_retired(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write what a retired key says under the key that has come after it; drop it where that is there already."""
    key = str(fault.pointer[-1])
    if key not in _SUCCESSORS:
        return ()
    name, parse = _SUCCESSORS[key]
    translated = parse(node.attributes.get(key))
    if translated is None:
        return ()
    is_there = name in node.attributes
    added = () if is_there else _put(node, ("attributes", name), translated)
    return (*added, Change("remove", node.path, fault.pointer))


def _list_of(count: int) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, list) and len(value) == count else None


_SUCCESSORS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "proj:epsg": (CODE, lambda value: f"EPSG:{value}" if values.whole(value) is not None else None),
    "proj:bbox": (spatial.BBOX, _list_of(4)),
    "proj:shape": (spatial.SHAPE, _list_of(2)),
    # Nine numbers are a matrix whose last row says nothing (the STAC extension whence the key came).
    "proj:transform": (
        spatial.TRANSFORM,
        lambda value: value[:6] if isinstance(value, list) and len(value) in (6, 9) else None,
    ),
    "proj:spatial_dimensions": (spatial.DIMENSIONS, _list_of(2)),
}


def _restate_crs(context: Context, node: Node, _: Fault) -> tuple[Change, ...]:
    """Give a level the CRS of its pyramid, which does not reach its arrays."""
    above = next((group for group in context.tree.ancestors(node.path) if context.own_crs(group) is not None), None)
    if above is None:
        return ()
    stated = [
        key for key in proj.KEYS if key in above.attributes and not context.is_void(above.path, "attributes", key)
    ]
    changes = tuple(change for key in stated for change in _put(node, ("attributes", key), above.attributes[key]))
    is_registered = PROJ in context.registered(node).conventions
    return (*changes, *(() if is_registered else _registrations(node, [PROJ])))


# Grids


def _restate_shape(context: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write the shape that the arrays have."""
    if node.is_array:
        site = _site_of(context, node)
        size = sites.spatial_shape(context, node, site.dimensions if site else context.spatial_dimensions(node))
    else:
        site = _site_at(context, node, fault.pointer)
        size = sites.shape(context, site) if site is not None and site.rasters else None
    return _put(node, fault.pointer, list(size)) if size is not None else ()


def _restate_transform(context: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write the transform that most statements of a level have."""
    site = _site_of(context, node) if node.is_array else _site_at(context, node, fault.pointer)
    consensus = sites.transform(context, site) if site is not None else None
    # A tie goes to the pixels, which is enough to blame somebody, and not to rewrite anything.
    is_certain = consensus is not None and not (consensus.doubtful and consensus.dissenters)
    return _put(node, fault.pointer, list(consensus.value)) if consensus is not None and is_certain else ()


def _restate_statement(context: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    repair = _restate_shape if fault.pointer[-1] == spatial.SHAPE else _restate_transform
    return repair(context, node, fault)


def _complete_level(context: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write the shape and the transform of a level into its layout."""
    site = _site_at(context, node, fault.pointer)
    item = site.level.item if site is not None and site.level is not None else None
    if site is None or item is None:
        return ()
    size, consensus = sites.shape(context, site), sites.transform(context, site)
    known = {spatial.SHAPE: size and list(size), spatial.TRANSFORM: consensus and list(consensus.value)}
    missing = [key for key in known if key not in item.document]
    if any(known[key] is None for key in missing):
        return ()
    return tuple(Change("add", node.path, item.pointer(key), known[key]) for key in missing)


def _restate_box(context: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write the box that the transform and the shape span; of a pyramid those of its finest level."""
    pyramid = next((found for found in context.layouts if found.node is node), None)
    if pyramid is not None:
        by_size = [
            (max(sites.cell_size(consensus.value)), index, site)
            for index, site in sites.of_levels(context, pyramid).items()
            if (consensus := sites.transform(context, site)) is not None
        ]
        site = min(by_size, key=lambda found: found[:2])[2] if by_size else None
    else:
        site = _site_of(context, node) if node.is_array else _site_at(context, node, ())
    consensus = sites.transform(context, site) if site is not None else None
    size = sites.shape(context, site) if site is not None else None
    if site is None or consensus is None or size is None or (consensus.doubtful and consensus.dissenters):
        return ()
    holder = site.rasters[0] if site.rasters else node
    box = sites.extent(consensus.value, size, registration=context.registration(holder))
    return _put(node, fault.pointer, list(box))


def _restate_geotransform(context: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write `GeoTransform` as the rasters have it, where all that use it have one transform."""
    found = set()
    for site in sites.sites(context):
        consensus = sites.transform(context, site)
        if consensus is not None and any(place == (node.path, fault.pointer) for place, _ in consensus.dissenters):
            found.add(None if consensus.doubtful else consensus.value)
    if len(found) != 1 or None in found:
        return ()
    a, b, c, d, e, f = next(iter(found)) or (0.0,) * 6
    return _put(node, fault.pointer, " ".join(repr(float(number)) for number in (c, a, b, f, d, e)))


def _restate_scale(context: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write the ratio of the cell sizes."""
    for step in rules_ratios.steps(context):
        place = step.level.pyramid.place(step.level.item, "transform", "scale")
        if place == (node.path, fault.pointer) and step.ratio is not None and not step.doubtful:
            written = fault.found if isinstance(fault.found, list) else []
            return _put(node, fault.pointer, list(step.ratio)) if len(written) == 2 else ()
    return ()


def _zero_translation(context: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write zeros where a level has the corner of its source."""
    for step in rules_ratios.steps(context):
        place = step.level.pyramid.place(step.level.item, "transform", "translation")
        if place == (node.path, fault.pointer) and step.transform is not None and step.source_transform is not None:
            corner, other = (t[2::3] for t in (step.transform, step.source_transform))
            if sites.are_near(corner, other, min(sites.cell_size(step.transform))):
                return _put(node, fault.pointer, [0.0] * len(fault.found if isinstance(fault.found, list) else ()))
    return ()


def _move_keys(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Move absolute keys of a level out of its relative transform."""
    at_level = fault.pointer[: len(layouts.LAYOUT) + 1]
    item = node.attributes["multiscales"]["layout"][at_level[-1]]
    moved = [key for key in item["transform"] if key.startswith(("spatial:", "proj:"))]
    if not moved or any(key in item for key in moved):
        return ()
    added = (Change("add", node.path, (*at_level, key), item["transform"][key]) for key in moved)
    removed = (Change("remove", node.path, (*at_level, "transform", key)) for key in moved)
    return (*added, *removed)


def _state_dimensions(context: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Write the dimensions that an array has from its group."""
    found = context.spatial_dimensions(node)
    return _put(node, fault.pointer, list(found)) if found is not None else ()


# CF and Zarr


def _encode_missing(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Encode the `_FillValue` of floats as xarray does on Zarr v3: base64 of a little-endian float64."""
    found = fault.found
    dtype = values.dtype(node.document.get("data_type"))
    if node.version != 3 or dtype is None or dtype.kind != "f" or isinstance(found, list):
        return ()
    number = values.fill_value(found, dtype)
    text = "" if number is None else base64.b64encode(struct.pack("<d", float(number))).decode()
    return _put(node, fault.pointer, text) if text else ()


def _move_dimensions(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Drop the names of axes of Zarr v2; they become those of v3 where there are none."""
    names, stated = values.dimension_names(fault.found), node.document.get("dimension_names")
    removed = Change("remove", node.path, fault.pointer)
    if stated == fault.found:
        return (removed,)
    rank = len(values.wholes(node.document.get("shape")) or ())
    if stated is not None or names is None or len(names) != rank:
        return ()
    return (*_put(node, ("dimension_names",), list(names)), removed)


def _remove_missing(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    """Drop the missing value of a coordinate, which has none."""
    is_attribute = fault.pointer[:1] == ("attributes",) and fault.pointer[-1] in ("_FillValue", "missing_value")
    return (Change("remove", node.path, fault.pointer),) if is_attribute else ()


def _name_conventions(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    is_absent = fault.found is None and fault.pointer == ("attributes", "Conventions")
    return _put(node, fault.pointer, cf.CONVENTIONS) if is_absent and "attributes" in node.document else ()


def _repeat_wkt(_: Context, node: Node, fault: Fault) -> tuple[Change, ...]:
    text = node.attributes.get("crs_wkt")
    is_there = fault.pointer == ("attributes", "spatial_ref") and isinstance(text, str)
    return _put(node, fault.pointer, text) if is_there else ()


def _site_of(context: Context, array: Node) -> Site | None:
    return next((site for site in sites.sites(context) if array in site.rasters), None)


def _site_at(context: Context, group: Node, pointer: Pointer) -> Site | None:
    """Find the site that a group is, or the level that a place in its layout speaks of."""
    depth = len(layouts.LAYOUT)
    if pointer[:depth] == layouts.LAYOUT and len(pointer) > depth:
        pyramid = next((found for found in context.layouts if found.node is group), None)
        return sites.of_levels(context, pyramid).get(int(pointer[depth])) if pyramid is not None else None
    found = [site for site in sites.sites(context) if site.group is group and site.rasters]
    return found[0] if len(found) == 1 else None


REPAIRS: Mapping[str, Repair] = {
    **dict.fromkeys(("ZC-03", "ZC-04", "ZC-07", "ZC-12", "ZC-14", "ZC-15", "ZC-16"), _restate_registration),
    "ZC-08": _move_properties,
    "ZC-09": _register,
    "ZC-13": _remove,
    "ZC-17": _register,
    "MS-11": _move_keys,
    "MS-12": _restate_scale,
    "MS-15": _zero_translation,
    "MS-23": _restate_scale,
    "SP-01": _state_dimensions,
    "SP-10": _restate_shape,
    "SP-14": _complete_level,
    "PJ-02": _raise_authority,
    "PJ-03": _restate_wkt,
    "PJ-05": _remove,
    "PJ-06": _restate_wkt,
    "PJ-09": _restate_crs,
    "PJ-12": _replace_retired,
    "XC-01": _restate_box,
    "XC-02": _restate_statement,
    "XC-03": _restate_scale,
    "XC-07": _restate_box,
    "XC-09": _restate_geotransform,
    "CF-01": _name_conventions,
    "CF-09": _repeat_wkt,
    "CF-13": _remove_missing,
    "ZARR-13": _encode_missing,
    "ZARR-30": _move_dimensions,
}
