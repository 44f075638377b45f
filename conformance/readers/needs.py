"""Needs that several readers share: each is a function that finds what in the documents leaves one unmet."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import grid_mappings, sites, values
from conformance.readers import subject as subjects
from conformance.report import Fault
from geozarr.conventions import proj, spatial
from geozarr.conventions.registration import PROJ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from conformance.context import Context
    from conformance.readers.subject import Subject
    from conformance.report import Pointer
    from conformance.tree import Node

    Check = Callable[[Context, Subject], Iterator[Fault]]

SHARDS = "sharding_indexed"
_STRETCH = 0.02  # of a cell; halving an odd side is off by half a cell
_DEPTH = 4  # levels of shards in shards that are looked into
_REGISTERED = ("attributes", "zarr_conventions")
_FILL: Pointer = ("attributes", "_FillValue")


# Codecs


def codecs(context: Context, array: Node) -> set[str]:
    """Names of an array's codecs, those inside shards among them."""
    found: set[str] = set()
    chain = context.member(array, "codecs", lambda value: value if isinstance(value, list) else None)
    waiting: list[tuple[Any, int]] = [(codec, 0) for codec in chain or ()]
    while waiting:
        codec, depth = waiting.pop()
        named = values.extension(codec)
        if named is None:
            continue
        found.add(named[0])
        inner = named[1].get("codecs")
        if named[0] == SHARDS and isinstance(inner, list) and depth < _DEPTH:
            waiting += [(item, depth + 1) for item in inner]
    return found


def outer_codecs(context: Context, array: Node) -> set[str]:
    """Names of an array's codecs without those inside shards."""
    chain = context.member(array, "codecs", lambda value: value if isinstance(value, list) else None)
    return {named[0] for codec in chain or () if (named := values.extension(codec)) is not None}


def unknown(context: Context, array: Node, known: frozenset[str]) -> set[str]:
    """Names of an array's codecs that are not among those known, of which `numcodecs.*` is a family."""
    found = codecs(context, array) - known
    return {name for name in found if "numcodecs.*" not in known or not name.startswith("numcodecs.")}


def decodes(known: frozenset[str], *, shards: bool = False) -> Check:
    """Make a check for codecs that a reader does not know; for shards alone where `shards`."""

    def check(context: Context, subject: Subject) -> Iterator[Fault]:
        for array in subject.arrays:
            names = unknown(context, array, known)
            if SHARDS in outer_codecs(context, array) and SHARDS in names:
                names = {SHARDS}  # it gets no further
            lacking = sorted(name for name in names if (name == SHARDS) is shards)
            if lacking:
                message = "the reader does not decode it"
                yield Fault(array.path, ("codecs",), message, lacking, " ".join(sorted(known)))
                return

    return check


# Missing values


def fill_values(context: Context, subject: Subject, *, whole_tree: bool = False) -> Iterator[Fault]:
    """Find fill values that zarr-python refuses in an array that is opened along with the variable."""
    yield from _first(context, subject, _refused, whole_tree=whole_tree or is_consolidated(context))


def missing_values(context: Context, subject: Subject, *, whole_tree: bool = False) -> Iterator[Fault]:
    """Find `_FillValue` attributes that xarray cannot decode, in an array that is opened along with the variable."""
    yield from _first(context, subject, _undecoded, whole_tree=whole_tree)


def missing_attribute(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a variable without `_FillValue` whose fill value other readers take for nodata."""
    array = subject.finest(context)
    dtype = values.dtype(array.document.get("data_type"))
    if dtype is None or dtype.kind == "b" or "_FillValue" in array.attributes or has_mask(array):
        return
    fill = values.fill_value(array.document.get("fill_value"), dtype)
    if fill is None or (dtype.kind == "f" and np.isnan(fill)) or _is_placeholder(fill, dtype):
        return
    yield Fault(array.path, _FILL, "xarray masks nothing without it", None, f"{fill}, if it means nodata")


def fill_is_nodata(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a variable whose missing value is not its fill value, which the reader takes for nodata."""
    array = subject.finest(context)
    dtype = values.dtype(array.document.get("data_type"))
    if dtype is None or "_FillValue" not in array.attributes:
        return
    missing = _missing(array.attributes["_FillValue"], dtype)
    fill = values.fill_value(array.document.get("fill_value"), dtype)
    if missing is not None and (fill is None or not values.same_scalar(missing, fill)):
        found = array.document.get("fill_value")
        message = "the reader takes the fill value for nodata"
        yield Fault(array.path, ("fill_value",), message, "null" if found is None else found, f"{missing}")


def has_mask(array: Node) -> bool:
    """Tell whether validity is stated elsewhere: by a mask beside the array, or because it is one."""
    is_mask = array.attributes.get("color_interpretation") == "alpha"
    return is_mask or isinstance(array.attributes.get("ancillary_variables"), str)


# Placement


def coordinates(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels without coordinate variables for rows and columns."""
    for array in subject.arrays:
        if subjects.coordinates(context, array) is None:
            names = subjects.axes(context, array)
            message = "there are no coordinate variables of its rows and columns"
            yield Fault(array.path, ("dimension_names",), message, list(names or ()) or None, "a variable each")
            return


def stretched(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find coarser levels that cover another box than the finest, over which the reader stretches them."""
    finest = subject.finest(context)
    base = subjects.extent(context, subject, finest)
    for array in subject.arrays:
        own, transform = subjects.extent(context, subject, array), subjects.placed(context, subject, array)
        if array is finest or base is None or own is None or transform is None:
            continue
        cells = sites.cell_size(transform)
        off = max(abs(a - b) / cells[index % 2] for index, (a, b) in enumerate(zip(own, base, strict=True)))
        if off > _STRETCH:
            size = sites.spatial_shape(context, array, context.spatial_dimensions(array))
            message = f"the level covers another box than the finest, by {off:.2f} of its cells"
            yield Fault(array.path, ("shape",), message, list(size or ()), "a box that all levels share")
            return


def south_up(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find rows that go from south to north."""
    array = subject.finest(context)
    transform = subjects.placed(context, subject, array)
    if transform is not None and transform[4] > 0:
        holder = next((h for h in subjects.holders(context, array) if spatial.TRANSFORM in h.attributes), array)
        message = "the first row is the southernmost"
        yield Fault(holder.path, ("attributes", spatial.TRANSFORM), message, list(transform), "e below 0")


def node_registration(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a transform that speaks of the centres of cells."""
    array = subject.finest(context)
    for holder in subjects.holders(context, array):
        if spatial.REGISTRATION in holder.attributes:
            found = holder.attributes[spatial.REGISTRATION]
            if found not in ("pixel", None):
                yield Fault(holder.path, ("attributes", spatial.REGISTRATION), "not pixel", found, "pixel")
            return


# CRS


def mapping(context: Context, array: Node) -> Node | None:
    """Grid mapping variable beside an array that it names, or that is called `spatial_ref`; with a CRS in it."""
    named = context.attribute(array, "grid_mapping", grid_mappings.parse) or {"spatial_ref": ()}
    found = siblings_named(context, array, named)
    keys = ("crs_wkt", "spatial_ref", "grid_mapping_name")
    return next((node for node in found if any(isinstance(node.attributes.get(key), str) for key in keys)), None)


def siblings_named(context: Context, array: Node, names: Iterable[str]) -> list[Node]:
    """Arrays of these names beside an array."""
    beside = subjects.siblings(context, array)
    return [beside[name] for name in names if name in beside]


def coordinate_mapping(context: Context, array: Node) -> Node | None:
    """Grid mapping variable that `coordinates` of the array, or of one beside it, lists: those are read."""
    found = mapping(context, array)
    if found is None:
        return None
    listed = context.once("readers coordinates", array.parent, lambda: _listed(context, array))
    return found if found.name in listed else None


def _listed(context: Context, array: Node) -> frozenset[str]:
    """Names in `coordinates` of the arrays of a group, and of the group."""
    group = subjects.parent(context, array)
    beside = [*subjects.siblings(context, array).values(), *([group] if group is not None else [])]
    texts = (node.attributes.get("coordinates") for node in beside)
    return frozenset(name for text in texts if isinstance(text, str) for name in text.split())


def states_crs(node: Node | None, keys: Iterable[str] = tuple(proj.KEYS)) -> bool:
    """Tell whether a node has a key of proj with something in it."""
    return node is not None and any(node.attributes.get(key) for key in keys)


def group_crs(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels whose group does not state a CRS that it registers by uuid, or by the former name."""
    for array in subject.arrays:
        group = subjects.parent(context, array)
        is_registered = subjects.has_uuid(group, PROJ) or subjects.has_name(group, "proj:")
        if group is not None and not (is_registered and states_crs(group)):
            message = "the group that holds the level does not state and register a CRS"
            where = _REGISTERED if states_crs(group) else ("attributes", "proj:code")
            yield Fault(group.path, where, message, group.attributes.get(where[-1]), "proj, by its uuid")
            return


def listed_mapping(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels without a grid mapping that a plain open makes a coordinate, and without proj by its former name."""
    for array in subject.arrays:
        by_name = subjects.has_name(array, "proj:") and states_crs(array)
        if coordinate_mapping(context, array) is None and not by_name:
            found = mapping(context, array)
            message = "no coordinate of the array is a grid mapping"
            key = "grid_mapping" if found is None else "coordinates"
            expected = "a grid mapping, listed in coordinates"
            yield Fault(array.path, ("attributes", key), message, array.attributes.get(key), expected)
            return


def _first(
    context: Context, subject: Subject, judge: Callable[[Node], Fault | None], *, whole_tree: bool
) -> Iterator[Fault]:
    """Yield the first fault among the arrays whose documents are read when the variable is opened.

    Each group is looked at once, whatever number of variables and readers ask.
    """
    if whole_tree:
        scopes = {"": context.tree.arrays}
    else:
        groups = dict.fromkeys(array.parent for array in subject.arrays)
        scopes = {f"/{group}": tuple(context.tree.child_arrays(group).values()) for group in groups}
    for scope, arrays in scopes.items():

        def look(arrays: Iterable[Node] = arrays) -> Fault | None:
            return next((fault for array in arrays if (fault := judge(array)) is not None), None)

        found = context.once(f"readers {judge.__name__}", scope, look)
        if found is not None:
            yield found
            return


def _refused(array: Node) -> Fault | None:
    dtype = values.dtype(array.document.get("data_type"))
    found = array.document.get("fill_value")
    if dtype is None or values.fill_value(found, dtype) is not None:
        return None
    stated = "null" if found is None else found
    return Fault(array.path, ("fill_value",), "zarr-python refuses the fill value", stated, f"a {dtype}")


def _undecoded(array: Node) -> Fault | None:
    dtype = values.dtype(array.document.get("data_type"))
    if dtype is None or "_FillValue" not in array.attributes:
        return None
    found = array.attributes["_FillValue"]
    if values.missing_value(found, dtype) is not None if dtype.kind == "f" else _is_decoded(found, dtype):
        return None
    expected = "base64 of a little-endian float64" if dtype.kind == "f" else "a number"
    return Fault(array.path, _FILL, "xarray cannot decode it, and opens nothing", found, expected)


def is_consolidated(context: Context) -> bool:
    """Tell whether the root has consolidated metadata."""
    root = context.tree.nodes.get("")
    return root is not None and isinstance(root.document.get("consolidated_metadata"), dict)


def _is_decoded(found: Any, dtype: np.dtype[Any]) -> bool:
    return dtype.kind not in "iu" or isinstance(found, int | float)


def _missing(found: Any, dtype: np.dtype[Any]) -> Any:
    """Read a missing value in xarray's form, or as a plain number."""
    read = partial(values.missing_value, of=dtype)
    return read(found) if read(found) is not None else values.fill_value(found, dtype)


def _is_placeholder(fill: Any, dtype: np.dtype[Any]) -> bool:
    """Tell whether writers put such a value where every cell is valid: the largest or smallest integer."""
    if dtype.kind not in "iu":
        return False
    info = np.iinfo(dtype)
    return bool(fill == info.max or (dtype.kind == "i" and fill == info.min))
