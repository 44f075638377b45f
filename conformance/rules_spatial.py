"""Rules on `spatial:*`: dimensions, transform, box, shape, registration (spatial convention v0.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance import layouts, sites, values
from conformance.report import Fault, Rule, Severity
from geozarr.conventions import spatial
from geozarr.conventions.multiscales import set_key
from geozarr.conventions.registration import SPATIAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.report import Place
    from conformance.tree import Node

_X_NAMES = frozenset(("x", "lon", "long", "longitude", "easting", "projection_x_coordinate", "col", "cols", "column"))
_Y_NAMES = frozenset(("y", "lat", "latitude", "northing", "projection_y_coordinate", "row", "rows"))


def check_has_dimensions(context: Context) -> Iterator[Fault]:
    """Find arrays that register spatial without `spatial:dimensions`; inherited ones are a warning (D-06)."""
    for array in context.tree.arrays:
        registered = context.registered(array)
        if SPATIAL not in registered.conventions or spatial.DIMENSIONS in array.attributes:
            continue
        inherited = context.effective(array, spatial.DIMENSIONS, values.dimensions)
        yield Fault(
            array.path,
            ("attributes", spatial.DIMENSIONS),
            "the array states no dimensions" + (", only its group does" if inherited else ""),
            None,
            f"{list(inherited)}" if inherited else "the names of the row and the column axis",
            severity=Severity.WARNING if inherited else Severity.ERROR,
        )


def check_dimensions(context: Context) -> Iterator[Fault]:
    """Find `spatial:dimensions` that are not two names, or name the columns first."""
    for node in context.tree.nodes.values():
        if spatial.DIMENSIONS not in node.attributes:
            continue
        found = node.attributes[spatial.DIMENSIONS]
        names = values.dimensions(found)
        pointer = ("attributes", spatial.DIMENSIONS)
        if names is None:
            yield Fault(node.path, pointer, "the dimensions are malformed", found, "two names, rows first")
        elif _is_swapped(context, node, *names):
            message = "the column axis is named first"
            yield Fault(node.path, pointer, message, found, f"{[names[1], names[0]]}", severity=Severity.WARNING)


def check_named(context: Context) -> Iterator[Fault]:
    """Find arrays whose axes are not named as `spatial:dimensions` says, and groups in which none are."""
    pointer = ("attributes", spatial.DIMENSIONS)
    for array in context.tree.arrays:
        names = context.attribute(array, spatial.DIMENSIONS, values.dimensions)
        if names is None:
            continue
        axes = array.document.get("dimension_names")
        relies: tuple[Place, ...] = ((array.path, ("dimension_names",)), (array.path, ("shape",)))
        if names[0] == names[1]:
            yield Fault(array.path, pointer, "rows and columns have one name", list(names), "two different names")
        elif not isinstance(axes, list) or any(name not in axes for name in names):
            # Where the group names the same axes, it is the array's own names that are odd.
            parent = context.tree.nodes.get(array.parent) if array.path else None
            is_shared = parent is not None and parent.attributes.get(spatial.DIMENSIONS) == list(names)
            message = "spatial:dimensions are not among dimension_names"
            if is_shared or axes is None:
                voids: tuple[Place, ...] = ((array.path, pointer),)
                expected = f"{list(names)} among them"
                yield Fault(array.path, ("dimension_names",), message, axes, expected, relies=relies, voids=voids)
            else:
                expected = f"two of {axes}"
                voids = ((array.path, ("dimension_names",)),)
                yield Fault(array.path, pointer, message, list(names), expected, relies=relies, voids=voids)
    yield from _unused(context)


def check_transform(context: Context) -> Iterator[Fault]:
    """Find transforms that are not six finite numbers, cannot be inverted, or stand in GDAL's order."""
    for (node, pointer), found in _stated(context, spatial.TRANSFORM):
        numbers = values.numbers(found, count=6)
        expected = "six finite numbers a b c d e f with a*e != b*d"
        if numbers is None or (values.transform(found) is None and not _is_gdal_order(numbers)):
            yield Fault(node, pointer, "the transform is malformed", found, expected)
        elif _is_gdal_order(numbers):
            c, a, b, f, d, e = numbers
            message = "the transform stands in GDAL's order"
            yield Fault(node, pointer, message, found, f"{[a, b, c, d, e, f]}")


def check_transform_type(context: Context) -> Iterator[Fault]:
    """Find transform types that readers do not know."""
    for node in context.tree.nodes.values():
        found = node.attributes.get(spatial.TRANSFORM_TYPE, "affine")
        pointer = ("attributes", spatial.TRANSFORM_TYPE)
        voids = ((node.path, ("attributes", spatial.TRANSFORM)),)
        if not isinstance(found, str):
            yield Fault(node.path, pointer, "the transform type is no string", found, '"affine"', voids=voids)
        elif found != "affine":
            message = "unknown transform type: readers cannot place the pixels"
            severity = Severity.WARNING
            yield Fault(node.path, pointer, message, found, '"affine"', severity=severity, voids=voids)


def check_bbox(context: Context) -> Iterator[Fault]:
    """Find boxes that are not four numbers with minimum before maximum."""
    for node in context.tree.nodes.values():
        if spatial.BBOX in node.attributes and values.bbox(node.attributes[spatial.BBOX]) is None:
            found = node.attributes[spatial.BBOX]
            expected = "xmin ymin xmax ymax with xmin <= xmax and ymin <= ymax"
            yield Fault(node.path, ("attributes", spatial.BBOX), "the box is malformed", found, expected)


def check_registration(context: Context) -> Iterator[Fault]:
    """Find registrations that are neither pixel nor node."""
    for node in context.tree.nodes.values():
        found = node.attributes.get(spatial.REGISTRATION, "pixel")
        if found not in ("pixel", "node"):
            voids: tuple[Place, ...] = ((node.path, ("attributes", spatial.BBOX)),)
            pointer = ("attributes", spatial.REGISTRATION)
            yield Fault(node.path, pointer, "unknown registration", found, '"pixel" or "node"', voids=voids)


def check_shape(context: Context) -> Iterator[Fault]:
    """Find `spatial:shape` of another form, or other than the array's own sizes."""
    for (node, pointer), found in _stated(context, spatial.SHAPE):
        shape = values.shape2(found)
        array = context.tree.nodes[node]
        if shape is None:
            yield Fault(node, pointer, "the shape is malformed", found, "height and width, whole numbers from 1 on")
        elif array.is_array and (dimensions := context.spatial_dimensions(array)) is not None:
            real = sites.spatial_shape(context, array, dimensions)
            if real is not None and real != shape:
                relies = ((node, ("shape",)),)
                message = "spatial:shape is not that of the array"
                yield Fault(node, pointer, message, found, f"{list(real)}", relies=relies)


def check_has_transform(context: Context) -> Iterator[Fault]:
    """Find rasters of the spatial convention without a transform, their own or their group's."""
    for site in sites.sites(context):
        bare = [array for array in site.rasters if _lacks_transform(context, array)]
        shared = [array for array in bare if SPATIAL not in context.registered(array).conventions]
        if len(shared) > 1 and site.group is not None:
            message = f"{len(shared)} arrays have no transform, nor has their group"
            yield Fault(site.group.path, ("attributes", spatial.TRANSFORM), message, None, "six numbers a b c d e f")
            bare = [array for array in bare if array not in shared]
        for array in bare:
            message = "the array has no transform, nor has its group"
            yield Fault(array.path, ("attributes", spatial.TRANSFORM), message, None, "six numbers a b c d e f")


def check_level_keys(context: Context) -> Iterator[Fault]:
    """Find levels without their transform and shape in the layout, where readers look first."""
    for pyramid in context.layouts:
        if SPATIAL not in context.registered(pyramid.node).conventions | context.uses(pyramid.node):
            continue
        for item in pyramid.items:
            missing = [key for key in (spatial.SHAPE, spatial.TRANSFORM) if key not in item.document]
            if missing:
                relies = (pyramid.place(item, "asset"),)
                message = f"the level has no {' and no '.join(missing)}"
                pointer = item.pointer(missing[0])
                yield Fault(pyramid.node.path, pointer, message, None, "both at each level", relies=relies)


def check_south_up(context: Context) -> Iterator[Fault]:
    """Report rasters whose rows go north: legal, but OpenLayers draws them upside down."""
    for site in sites.sites(context):
        consensus = sites.transform(context, site)
        if consensus is not None and consensus.value[4] > 0:
            node, pointer = consensus.supporters[0]
            yield Fault(node, pointer, "rows go from south to north", list(consensus.value), "e below 0 for north-up")


def check_node_registration(context: Context) -> Iterator[Fault]:
    """Report node registration: readers differ by half a cell over it (D-02)."""
    for node in context.tree.nodes.values():
        if node.attributes.get(spatial.REGISTRATION) == "node":
            message = "node registration: readers place the pixels half a cell apart"
            yield Fault(node.path, ("attributes", spatial.REGISTRATION), message, "node", "pixel, or nothing")


def check_plausible(context: Context) -> Iterator[Fault]:
    """Find boxes in degrees that lie beyond the poles: mostly latitude and longitude are swapped."""
    in_levels = {level.node.path for pyramid in context.pyramids for level in layouts.levels(context, pyramid)}
    for node in context.tree.nodes.values():
        if node.path in in_levels or node.parent in in_levels or _is_tiled(node):
            continue
        box = context.attribute(node, spatial.BBOX, values.bbox)
        crs = context.effective_crs(node) if node.is_array else context.own_crs(node)
        if box is None or crs is None or not crs.is_geographic:
            continue
        # A padded grid or a node registration may pass the pole a little; half the box may not.
        if max(abs(box[1]), abs(box[3])) > 90 + (box[3] - box[1]) / 10 or max(abs(box[0]), abs(box[2])) > 540:
            relies: tuple[Place, ...] = tuple((node.path, ("attributes", key)) for key in ("proj:wkt2", "proj:code"))
            voids: tuple[Place, ...] = ((node.path, ("attributes", spatial.TRANSFORM)),)
            message = "the box lies beyond the poles"
            expected = "longitudes first: xmin ymin xmax ymax"
            pointer = ("attributes", spatial.BBOX)
            yield Fault(node.path, pointer, message, list(box), expected, relies=relies, voids=voids)


def _stated(context: Context, key: str) -> Iterator[tuple[Place, Any]]:
    """Every statement of a key: at nodes and in layouts."""
    for node in context.tree.nodes.values():
        if key in node.attributes:
            yield (node.path, ("attributes", key)), node.attributes[key]
    for pyramid in context.layouts:
        for item in pyramid.items:
            if key in item.document:
                yield pyramid.place(item, key), item.document[key]


def _unused(context: Context) -> Iterator[Fault]:
    """Find groups whose dimensions no array below them has."""
    below: dict[str, list[dict[str, int]]] = {}
    for array in context.tree.arrays:
        sizes = context.sizes(array)
        if len(sizes) >= 2:
            for group in context.tree.ancestors(array.path):
                below.setdefault(group.path, []).append(sizes)
    for group in context.tree.groups:
        names = context.attribute(group, spatial.DIMENSIONS, values.dimensions)
        axes = below.get(group.path, [])
        if names is not None and axes and not any(all(name in sizes for name in names) for sizes in axes):
            message = "no array below the group has these dimensions"
            expected = f"two of {list(axes[0])}"
            yield Fault(group.path, ("attributes", spatial.DIMENSIONS), message, list(names), expected)


def _is_swapped(context: Context, node: Node, first: str, second: str) -> bool:
    """Guess by the axes' names, and by the `axis` of their coordinate variables."""
    group = node.parent if node.is_array else node.path
    arrays = context.tree.child_arrays(group)
    axes = [
        context.attribute(arrays[name], "axis", values.text) if name in arrays else None for name in (first, second)
    ]
    if axes[0] in ("X", "Y") and axes[1] in ("X", "Y"):
        return axes == ["X", "Y"]
    return first.lower() in _X_NAMES and second.lower() in _Y_NAMES


def _is_gdal_order(numbers: tuple[float, ...]) -> bool:
    """Tell whether six numbers make a plain north-up grid in GDAL's order `c a b f d e`, and none in ours."""
    c, a, b, f, d, e = numbers
    is_plain = b == 0 and d == 0 and a > 0 and e < 0
    return is_plain and abs(c) >= a and abs(f) >= -e


def _lacks_transform(context: Context, array: Node) -> bool:
    parent = context.tree.nodes.get(array.parent) if array.path else None
    holders = [array] if parent is None else [array, parent]
    uses = any(SPATIAL in context.uses(holder) for holder in holders)
    keys = (spatial.TRANSFORM, spatial.TRANSFORM_TYPE)  # another type than affine has parameters of its own
    return uses and not any(key in holder.attributes for holder in holders for key in keys)


def _is_tiled(node: Node) -> bool:
    """Tell whether a group states a tile matrix set: whole tiles may lie beyond the poles, and TMS rules judge them."""
    document = node.attributes.get("multiscales")
    return isinstance(document, dict) and isinstance(document.get(set_key(document)), dict)


_SCHEMA, _TEXT = "spatial v0.1 schema", "spatial v0.1"
_INFO = Severity.INFO
RULES = (
    Rule("SP-01", _SCHEMA, "An array that registers spatial states its dimensions", check_has_dimensions),
    Rule("SP-02", _TEXT, "spatial:dimensions are two names, rows first", check_dimensions),
    Rule("SP-03", _TEXT, "spatial:dimensions are among the array's dimension_names", check_named),
    Rule("SP-05", _TEXT, "spatial:transform is six numbers a b c d e f that can be inverted", check_transform),
    Rule("SP-08", _TEXT, "spatial:transform_type is affine", check_transform_type),
    Rule("SP-09", _SCHEMA, "spatial:bbox is four numbers, minimum before maximum", check_bbox),
    Rule("SP-11", _TEXT, "spatial:registration is pixel or node", check_registration),
    Rule("SP-10", _SCHEMA, "spatial:shape is the size of the array along spatial:dimensions", check_shape),
    Rule("SP-04", _TEXT, "Every raster has a transform", check_has_transform),
    Rule(
        "SP-14",
        f"{_TEXT}, multiscales",
        "Each level states its transform and shape",
        check_level_keys,
        Severity.WARNING,
    ),
    Rule("SP-07", _TEXT, "Rows go from north to south", check_south_up, _INFO),
    Rule("SP-12", _TEXT, "Cells are areas, not points", check_node_registration, _INFO),
    Rule("SP-18", f"{_TEXT} FAQ", "Boxes in degrees lie on the globe", check_plausible),
)
