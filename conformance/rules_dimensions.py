"""Rules on the names and sizes of axes (Zarr v3 core `dimension_names`, and what xarray makes of them)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance import layouts, values
from conformance.report import Fault, Rule, Severity
from conformance.sites import majority
from geozarr.conventions import spatial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.report import Place
    from conformance.tree import Node


def check_names(context: Context) -> Iterator[Fault]:
    """Find `dimension_names` of another form, of another length than the shape, or with a name twice."""
    pointer = ("dimension_names",)
    for array in context.tree.arrays:
        found = array.document.get("dimension_names")
        if found is None:
            continue
        names, shape = values.dimension_names(found), context.shape(array)
        if names is None:
            yield Fault(array.path, pointer, "dimension_names are malformed", found, "an array of strings or nulls")
        elif shape is not None and len(names) != len(shape):
            message = "array and dimension_names differ in rank"
            yield Fault(array.path, pointer, message, found, f"{len(shape)} names", relies=((array.path, ("shape",)),))
        elif len({name for name in names if name is not None}) < len([name for name in names if name is not None]):
            message = "two axes have one name"
            yield Fault(array.path, pointer, message, found, "distinct names", severity=Severity.WARNING)


def check_array_dimensions(context: Context) -> Iterator[Fault]:
    """Find the Zarr v2 attribute `_ARRAY_DIMENSIONS`; it is an error where it contradicts `dimension_names`."""
    for array in context.tree.arrays:
        if "_ARRAY_DIMENSIONS" in array.attributes and array.version == 3:
            found = array.attributes["_ARRAY_DIMENSIONS"]
            agrees = found == array.document.get("dimension_names")
            yield Fault(
                array.path,
                ("attributes", "_ARRAY_DIMENSIONS"),
                "an attribute of Zarr v2" + ("" if agrees else ", and it differs from dimension_names"),
                found,
                "dimension_names alone",
                severity=Severity.WARNING if agrees else Severity.ERROR,
                relies=((array.path, ("dimension_names",)),),
            )


def check_coordinate_names(context: Context) -> Iterator[Fault]:
    """Find one-dimensional arrays named like an axis of their neighbours, but with another axis."""
    for group in context.tree.groups:
        arrays = context.tree.child_arrays(group.path)
        used = {name for array in arrays.values() for name in context.sizes(array) if name != array.name} | set(
            context.attribute(group, spatial.DIMENSIONS, values.dimensions) or ()
        )
        for name in sorted(used & set(arrays)):
            array, shape = arrays[name], context.shape(arrays[name])
            found = array.document.get("dimension_names")
            if shape is not None and len(shape) == 1 and found != [name]:
                message = "the coordinate variable of an axis lies on another axis"
                yield Fault(array.path, ("dimension_names",), message, found, f'["{name}"]')


def check_sizes(context: Context) -> Iterator[Fault]:
    """Find arrays of one group that give one axis different sizes; the odd one is blamed."""
    levels = {level.node.path for pyramid in context.pyramids for level in layouts.levels(context, pyramid)}
    for group in context.tree.groups:
        arrays = list(context.tree.child_arrays(group.path).values())
        names = sorted({name for array in arrays for name in context.sizes(array)})
        if sum(array.path in levels for array in arrays) > 1:
            yield from _levels_side_by_side(context, group, arrays, names)
            continue
        for name in names:
            consensus = majority(_votes(context, group, arrays, name), lambda a, b: a == b)
            for (path, pointer), size in consensus.dissenters if consensus else ():
                if pointer == ("shape",):
                    message = f"axis {name!r} has another size than in the rest of the group"
                    expected = f"{consensus.value if consensus else size} along it"
                    found = context.tree.nodes[path].document["shape"]
                    yield Fault(path, pointer, message, found, expected)


def _votes(context: Context, group: Node, arrays: list[Node], name: str) -> list[tuple[Place, int]]:
    """Sizes of an axis: the coordinate variable first, then arrays, then what `spatial:shape` says of it."""
    votes: list[tuple[Place, int]] = []
    for array in sorted(arrays, key=lambda array: array.name != name):
        sizes = context.sizes(array)
        if name in sizes:
            votes.append(((array.path, ("shape",)), sizes[name]))
    for node in (group, *arrays):
        shape = context.attribute(node, spatial.SHAPE, values.shape2)
        dimensions = context.attribute(node, spatial.DIMENSIONS, values.dimensions)
        if shape is not None and dimensions is not None and name in dimensions:
            votes.append(((node.path, ("attributes", spatial.SHAPE)), shape[dimensions.index(name)]))
    return votes


def _levels_side_by_side(context: Context, group: Node, arrays: list[Node], names: list[str]) -> Iterator[Fault]:
    """Report levels that are sibling arrays: legal, but xarray refuses the group."""
    for name in names:
        found = sorted({context.sizes(array)[name] for array in arrays if name in context.sizes(array)})
        if len(found) > 1:
            message = f"sibling arrays give axis {name!r} different sizes, so xarray cannot open the group"
            yield Fault(group.path, (), message, found, "a group for each level", severity=Severity.WARNING, keeps=True)
            return


RULES = (
    Rule("ZARR-05", "Zarr v3 core, dimension_names", "Each axis has one name of its own", check_names),
    Rule("ZARR-30", "Zarr v3 core; Zarr v2 practice", "No _ARRAY_DIMENSIONS in Zarr v3", check_array_dimensions),
    Rule("ZARR-31", "derived", "A coordinate variable lies on the axis it is named after", check_coordinate_names),
    Rule("ZARR-32", "derived; reader xarray", "Within a group one axis name means one size", check_sizes),
)
