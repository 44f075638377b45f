"""Rules on where pixels lie: every statement of a transform, a shape or a box says the same (SPEC section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance import sites, values
from conformance.report import Depth, Fault, Rule, Severity
from geozarr.conventions import spatial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.layouts import Pyramid
    from conformance.report import Place
    from conformance.sites import Consensus, Site
    from conformance.tree import Node
    from conformance.values import Transform

_TRANSFORM = ("attributes", spatial.TRANSFORM)
_SHAPE = ("attributes", spatial.SHAPE)
_BBOX = ("attributes", spatial.BBOX)


def check_statements(context: Context) -> Iterator[Fault]:
    """Find levels whose transform or shape is stated in different ways."""
    for site in sites.sites(context):
        if site.level is None:
            continue
        consensus = sites.transform(context, site)
        for place, found in consensus.dissenters if consensus else ():
            if place[1][-1] != "GeoTransform" and consensus is not None:
                message = "the transform is not that of the rest of the level"
                yield Fault(*place, message, list(found), f"{list(consensus.value)}", voids=consensus.doubtful)
        yield from _shapes(context, site)
    for pyramid, finest in _finest(context):
        stated = context.attribute(pyramid.node, spatial.TRANSFORM, values.transform)
        consensus, size = sites.transform(context, finest), sites.shape(context, finest)
        if stated is None or consensus is None or size is None or sites.are_close(stated, consensus.value, size):
            continue
        message = "the transform of the multiscale group is not that of the finest level"
        yield Fault(
            pyramid.node.path,
            _TRANSFORM,
            message,
            list(stated),
            f"{list(consensus.value)}, or none",
            severity=Severity.WARNING,
            relies=consensus.doubtful,
        )


def check_box(context: Context) -> Iterator[Fault]:
    """Find boxes that the transform and the shape of the same node do not span."""
    for site in sites.sites(context):
        consensus = sites.transform(context, site)
        size = sites.shape(context, site)
        is_pyramid = site.group is not None and "multiscales" in site.group.attributes
        holders: list[tuple[Node, tuple[int, int] | None]] = [
            (array, sites.spatial_shape(context, array, site.dimensions)) for array in site.rasters
        ]
        holders += [(site.group, size)] if site.group is not None and not is_pyramid else []
        for node, shape in holders:
            own = context.attribute(node, spatial.TRANSFORM, values.transform)
            transform = own or (consensus.value if consensus is not None else None)
            box = context.attribute(node, spatial.BBOX, values.bbox)
            if transform is None or box is None or shape is None:
                continue
            expected = sites.extent(transform, shape, registration=context.registration(node))
            if not sites.are_near(box, expected, min(sites.cell_size(transform))):
                doubtful = consensus.doubtful if consensus is not None else ()
                message = "the box is not what transform and shape span"
                yield Fault(node.path, _BBOX, message, list(box), f"{list(expected)}", relies=doubtful, voids=doubtful)


def check_geotransform(context: Context) -> Iterator[Fault]:
    """Find `GeoTransform` attributes other than the transform of the rasters that use them."""
    reported: set[str] = set()
    for site in sites.sites(context):
        consensus = sites.transform(context, site)
        for place, found in consensus.dissenters if consensus else ():
            if place[1][-1] == "GeoTransform" and consensus is not None and place[0] not in reported:
                reported.add(place[0])
                a, b, c, d, e, f = consensus.value
                expected = f"{[c, a, b, f, d, e]} in GDAL's order"
                shown = [found[2], found[0], found[1], found[5], found[3], found[4]]
                message = "GeoTransform is not the transform of the rasters"
                yield Fault(*place, message, shown, expected, voids=consensus.doubtful)


def check_group_box(context: Context) -> Iterator[Fault]:
    """Find multiscale groups whose box is not that of the finest level, and levels that reach beyond it."""
    for pyramid, finest in _finest(context):
        box = context.attribute(pyramid.node, spatial.BBOX, values.bbox)
        extent = _extent(context, finest)
        if box is None or extent is None:
            continue
        expected, cell, relies = extent
        relies += pyramid.graph
        if not sites.are_near(box, expected, cell):
            message = "the box of the multiscale group is not that of the finest level"
            yield Fault(pyramid.node.path, _BBOX, message, list(box), f"{list(expected)}", relies=relies)
            continue
        for site in sites.of_levels(context, pyramid).values():
            level, found = site.level, _extent(context, site)
            if level is None or found is None:
                continue
            theirs, their_cell, their_relies = found
            over = max(box[0] - theirs[0], box[1] - theirs[1], theirs[2] - box[2], theirs[3] - box[3])
            if over >= their_cell * (1 - sites.CELLS):
                message = f"the level reaches {over / their_cell:.3g} cells beyond the box of the group"
                pointer = level.item.pointer(spatial.TRANSFORM)
                relied = (*their_relies, pyramid.place(level.item, spatial.SHAPE))
                bound = "less than one cell beyond"
                yield Fault(pyramid.node.path, pointer, message, list(theirs), bound, relies=relied)


def _shapes(context: Context, site: Site) -> Iterator[Fault]:
    """Compare the shape that layout and level group state with the arrays' own."""
    level, real = site.level, sites.shape(context, site)
    if level is None or real is None or not site.rasters:
        return
    stated: list[tuple[Place, tuple[int, int] | None]] = [
        (level.pyramid.place(level.item, spatial.SHAPE), sites.stated(context, level, spatial.SHAPE, values.shape2))
    ]
    if site.group is not None and "multiscales" not in site.group.attributes:
        stated.append(((site.group.path, _SHAPE), context.attribute(site.group, spatial.SHAPE, values.shape2)))
    for place, found in stated:
        if found is not None and found != real:
            relies = tuple((array.path, ("shape",)) for array in site.rasters)
            message = "the shape is not that of the arrays of the level; GDAL drops the level"
            yield Fault(*place, message, list(found), f"{list(real)}", relies=relies)


def _finest(context: Context) -> Iterator[tuple[Pyramid, Site]]:
    """Pair each pyramid with its level of the smallest cells."""
    for pyramid in context.layouts:
        if not pyramid.is_whole:
            continue
        found: list[tuple[float, int, Site]] = []
        for index, site in sites.of_levels(context, pyramid).items():
            consensus = sites.transform(context, site)
            if consensus is not None:
                found.append((max(sites.cell_size(consensus.value)), index, site))
        if found:
            yield pyramid, min(found, key=lambda item: item[:2])[2]


def _extent(context: Context, site: Site) -> tuple[values.BBox, float, tuple[Place, ...]] | None:
    """Box of a site, the side of its cells, and what that relies on."""
    consensus: Consensus[Transform] | None = sites.transform(context, site)
    shape = sites.shape(context, site)
    if consensus is None or shape is None:
        return None
    holder = site.rasters[0] if site.rasters else site.group
    registration = context.registration(holder) if holder is not None else "pixel"
    box = sites.extent(consensus.value, shape, registration=registration)
    return box, min(sites.cell_size(consensus.value)), consensus.doubtful


_XC = "derived"
RULES = (
    Rule("XC-02", _XC, "A level's transform and shape are those of its arrays", check_statements, depth=Depth.GEOMETRY),
    Rule("XC-01", _XC, "spatial:bbox is what spatial:transform and the shape span", check_box, depth=Depth.GEOMETRY),
    Rule("XC-09", _XC, "GeoTransform is spatial:transform in GDAL's order", check_geotransform, depth=Depth.GEOMETRY),
)
# After the rules on tiles and ratios, which know better what is wrong with a level.
LAST_RULES = (
    Rule(
        "XC-07",
        _XC,
        "The box of the multiscale group is that of the finest level and holds every level",
        check_group_box,
        depth=Depth.GEOMETRY,
    ),
)
