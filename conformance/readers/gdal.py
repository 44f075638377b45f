"""GDAL, through 3.12 and from 3.13 on.

3.13 reads the three conventions by uuid (RD-01), each from the array, then its group. 3.12 knows none of them but
`proj:wkt2` and `proj:projjson` on the array, registered or not: that is how Sentinel products state their CRS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance import values
from conformance.readers import needs
from conformance.readers import subject as subjects
from conformance.readers.verdict import Condition, Loss, Reader
from conformance.report import Fault
from geozarr.conventions import spatial
from geozarr.conventions.registration import MULTISCALES, PROJ, SPATIAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.readers.subject import Subject
    from conformance.tree import Node

_OLD = frozenset({"bytes", "blosc", "zstd", "gzip", "transpose"})
_NEW = _OLD | {"crc32c", needs.SHARDS}
_UNREGISTERED = ("proj:wkt2", "proj:projjson", "proj:epsg")


def crs_of_3_12(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a variable without grid mapping, and without WKT or PROJJSON on the array itself."""
    array = subject.finest(context)
    if not _states_by_itself(array) and needs.mapping(context, array) is None:
        message = "the array states no CRS that is read"
        yield Fault(array.path, ("attributes", "grid_mapping"), message, None, "a grid mapping, or proj:wkt2")


def crs_of_3_13(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a variable that states no CRS, nor its group, and whose grid mapping is listed after it."""
    array = subject.finest(context)
    if _states_by_itself(array) or _registered_crs(context, array):
        return
    mapping = needs.mapping(context, array)
    where = ("attributes", "grid_mapping")
    if mapping is None:
        yield Fault(array.path, where, "neither array nor group states a CRS that is read", None, "proj, or CF")
        return
    for holder in context.tree.ancestors(array.path):
        block = holder.document.get("consolidated_metadata")
        listed = block.get("metadata") if isinstance(block, dict) else None
        if isinstance(listed, dict) and not holder.path:
            paths = list(listed)
            if array.path in paths and mapping.path in paths and paths.index(array.path) < paths.index(mapping.path):
                message = "consolidated metadata list the array before its grid mapping"
                yield Fault(array.path, where, message, array.attributes.get("grid_mapping"), "the mapping first")
            return


def place_of_3_13(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a variable that spatial does not place, nor regular coordinates."""
    array = subject.finest(context)
    is_registered = any(subjects.has_uuid(node, SPATIAL) for node in _registrars(context, array))
    has_transform = context.effective(array, spatial.TRANSFORM, values.transform) is not None
    if not (is_registered and has_transform) and subjects.coordinates(context, array) is None:
        message = "neither spatial, registered by its uuid, nor coordinates place the array"
        yield Fault(array.path, ("attributes", spatial.TRANSFORM), message, None, "a transform")


def auxiliary(context: Context, _: Subject) -> Iterator[Fault]:
    """Find an array of two or more axes that lacks those its group calls spatial.

    With consolidated metadata GDAL makes every array of the store when it opens one; without, only that one.
    """
    if needs.is_consolidated(context):
        found = context.once("readers auxiliary", "", lambda: _first_auxiliary(context))
        yield from (found,) if found is not None else ()


def explicit_registration(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a multiscale group that states the registration while scales do not count every axis of the array."""
    if subject.pyramid is None or spatial.REGISTRATION not in subject.pyramid.node.attributes:
        return
    rank = len(context.shape(subject.finest(context)) or ())
    for item in subject.items[1:]:
        transform = item.document.get("transform")
        scale = transform.get("scale") if isinstance(transform, dict) else None
        if isinstance(scale, list) and len(scale) != rank:
            where = ("attributes", spatial.REGISTRATION)
            found = subject.pyramid.node.attributes[spatial.REGISTRATION]
            message = f"an explicit registration asks for {rank} numbers in scale, and there are {len(scale)}"
            yield Fault(subject.pyramid.node.path, where, message, found, "no registration")
            return


def unregistered_levels(_: Context, subject: Subject) -> Iterator[Fault]:
    """Find a pyramid whose group does not register multiscales by its uuid."""
    if subject.pyramid is not None and not subjects.has_uuid(subject.pyramid.node, MULTISCALES):
        message = "multiscales is not registered by its uuid"
        yield Fault(subject.pyramid.node.path, ("attributes", "zarr_conventions"), message, None, MULTISCALES.uuid)


def unlike_levels(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels of another type or rank than the finest, or whose stated shape is not theirs.

    Shapes are compared where the multiscale group registers spatial, in the order of its `spatial:dimensions`; without
    these a stated shape has more numbers than expected, and the level is dropped too.
    """
    finest, pyramid = subject.finest(context), subject.pyramid
    if pyramid is None:
        return
    is_compared = subjects.has_uuid(pyramid.node, SPATIAL)
    for item, array in zip(subject.items, subject.arrays, strict=True):
        same_type = array.document.get("data_type") == finest.document.get("data_type")
        if not same_type or len(context.shape(array) or ()) != len(context.shape(finest) or ()):
            where = ("data_type",) if not same_type else ("shape",)
            message = "GDAL drops a level of another type or rank"
            yield Fault(array.path, where, message, array.document.get(where[0]), f"that of /{finest.path}")
            return
        if not is_compared or array is finest or item.document.get(spatial.SHAPE) is None:
            continue
        stated = item.document[spatial.SHAPE]
        axes, sizes = context.attribute(pyramid.node, spatial.DIMENSIONS, values.dimensions), context.sizes(array)
        real = [sizes.get(name) for name in axes or ()]
        if not values.same_json(stated, real):
            message = "GDAL drops a level whose stated shape is not that of its spatial:dimensions"
            yield Fault(pyramid.node.path, item.pointer(spatial.SHAPE), message, stated, f"{real}")
            return


def node(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find transforms of centres that GDAL reads as if they were of corners."""
    array = subject.finest(context)
    if context.effective(array, spatial.TRANSFORM, values.transform) is not None:
        yield from needs.node_registration(context, subject)


def _first_auxiliary(context: Context) -> Fault | None:
    for array in context.tree.arrays:
        stated = context.effective(array, spatial.DIMENSIONS, values.dimensions)
        is_registered = any(subjects.has_uuid(node, SPATIAL) for node in _registrars(context, array))
        is_plane = len(context.shape(array) or ()) >= 2
        if stated is not None and is_registered and is_plane and context.spatial_dimensions(array) is None:
            names = list(context.dimension_names(array) or ())
            message = "an array of several axes without rows and columns: GDAL crashes on the whole store"
            return Fault(array.path, ("dimension_names",), message, names, f"{stated[0]} and {stated[1]}")
    return None


def _states_by_itself(array: Node) -> bool:
    return bool(array.attributes.get("_CRS")) or needs.states_crs(array, _UNREGISTERED)


def _registered_crs(context: Context, array: Node) -> bool:
    is_registered = any(subjects.has_uuid(node, PROJ) for node in _registrars(context, array))
    return is_registered and any(needs.states_crs(holder) for holder in subjects.holders(context, array))


def _registrars(context: Context, array: Node) -> list[Node]:
    """Nodes whose list of conventions GDAL takes: the first of array, group and root that has one."""
    root = context.tree.nodes.get("")
    nodes = [*subjects.holders(context, array), *([root] if root is not None else [])]
    return [node for node in nodes if "zarr_conventions" in node.attributes][:1]


GDAL_3_12 = Reader(
    "GDAL 3.12",
    "3.12.2",
    (
        Condition("ZARR-09", "It does not read shards", needs.decodes(_OLD, shards=True)),
        Condition("ZARR-10", "It decodes blosc, zstd and gzip", needs.decodes(_OLD)),
        Condition("CF-03", "It takes the CRS of the grid mapping, or proj:wkt2 of the array", crs_of_3_12, Loss.CRS),
        Condition("CF-12", "It takes the place of regular x and y alone", needs.coordinates, Loss.PLACE),
        Condition("ZARR-14", "It takes fill_value for nodata", needs.fill_is_nodata, Loss.NODATA),
    ),
    _OLD,
    frozenset({Loss.LEVELS}),
    "Each level opens by itself. QGIS 4.0 stands on it.",
)

GDAL_3_13 = Reader(
    "GDAL 3.13",
    "3.13.3",
    (
        Condition("SP-03", "It crashes where an array of several axes lacks the spatial ones", auxiliary),
        Condition("ZARR-10", "It decodes blosc, zstd, gzip, crc32c and shards", needs.decodes(_NEW)),
        Condition("SP-12", "It reads the centres of node registration as corners", node),
        Condition(
            "RD-01", "It takes the CRS of array or group, or of a grid mapping read before", crs_of_3_13, Loss.CRS
        ),
        Condition("SP-04", "It takes the place of spatial, else of x and y", place_of_3_13, Loss.PLACE),
        Condition(
            "RD-01", "Registration, when stated, wants a scale for each axis", explicit_registration, Loss.LEVELS
        ),
        Condition("ZC-12", "It finds levels by the uuid of multiscales", unregistered_levels, Loss.LEVELS),
        Condition("XC-10", "It drops levels that are unlike the finest", unlike_levels, Loss.LEVELS),
        Condition("XC-05", "It stretches each level over the box of the finest", needs.stretched, Loss.ALIGNMENT),
        Condition("ZARR-14", "It takes fill_value for nodata", needs.fill_is_nodata, Loss.NODATA),
    ),
    _NEW,
    remark="Over HTTP it lists a store only with consolidated metadata.",
)

READERS = (GDAL_3_12, GDAL_3_13)
