"""What a reader is asked for: one variable of a pyramid, or an array that is in none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance import layouts, sites, values
from geozarr.conventions import spatial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.layouts import Item, Pyramid
    from conformance.tree import Node
    from conformance.values import BBox, Transform
    from geozarr.conventions.registration import Convention
    from geozarr.crs import CRS


_ZARR = 3  # version of the stores that readers were tried on


@dataclass(frozen=True)
class Subject:
    """A variable.

    Parameters
    ----------
    name : str
        Of the array.
    arrays : tuple of Node
        One a level, in the order of the layout.
    items : tuple of Item
        Their places in the layout; empty without a pyramid.
    pyramid : Pyramid or None
        That it belongs to.
    """

    name: str
    arrays: tuple[Node, ...]
    items: tuple[Item, ...] = ()
    pyramid: Pyramid | None = None

    def finest(self, context: Context) -> Node:
        """Array of most cells; of the first such level."""
        return max(self.arrays, key=lambda array: math.prod(context.shape(array) or (0,)))


def find(context: Context) -> tuple[Subject, ...]:
    """List the variables of all pyramids, then the rasters that are in none; of Zarr v3 alone."""
    found: list[Subject] = []
    seen: set[str] = set()
    for pyramid in context.pyramids:
        by_name: dict[str, list[tuple[Item, Node]]] = {}
        for level in layouts.levels(context, pyramid):
            for array in context.rasters(level.arrays.values()):
                seen.add(array.path)
                if array.version != _ZARR:
                    continue
                # An array that is a level by itself has no name that the levels share.
                name = "" if level.node.is_array else array.name
                by_name.setdefault(name, []).append((level.item, array))
        for name, pairs in by_name.items():
            arrays = tuple(array for _, array in pairs)
            found.append(Subject(name or arrays[0].name, arrays, tuple(item for item, _ in pairs), pyramid))
    alone = (
        array for array in context.rasters(context.tree.arrays) if array.path not in seen and array.version == _ZARR
    )
    return (*found, *(Subject(array.name, (array,)) for array in alone))


# What documents say of a subject; each answers None or nothing where they say it in another form.


def parent(context: Context, array: Node) -> Node | None:
    """Group that holds an array."""
    return context.tree.nodes.get(array.parent) if array.path else None


def siblings(context: Context, array: Node) -> dict[str, Node]:
    """Arrays of the same group by name, the array among them."""
    return context.tree.child_arrays(array.parent)


def axes(context: Context, array: Node) -> tuple[str, str] | None:
    """Names of the row and the column axis: those stated, else the last two."""
    stated = context.spatial_dimensions(array)
    names = context.dimension_names(array)
    if stated is not None or names is None or len(names) < 2:
        return stated
    row, col = names[-2:]
    return (row, col) if row is not None and col is not None else None


def coordinates(context: Context, array: Node) -> tuple[Node, Node] | None:
    """Coordinate variables of the row and the column axis, where it has both."""
    names = axes(context, array)
    beside = siblings(context, array)
    if names is None or any(name not in beside for name in names):
        return None
    rows, cols = (beside[name] for name in names)
    is_one = all(len(context.shape(node) or ()) == 1 for node in (rows, cols))
    return (rows, cols) if is_one else None


def entries(node: Node) -> list[Any]:
    """Entries of `zarr_conventions`."""
    found = node.attributes.get("zarr_conventions")
    return found if isinstance(found, list) else []


def has_uuid(node: Node | None, convention: Convention) -> bool:
    """Tell whether a node registers a convention by its uuid, to the letter."""
    found = entries(node) if node is not None else []
    return any(isinstance(entry, dict) and entry.get("uuid") == convention.uuid for entry in found)


def has_name(node: Node | None, name: str) -> bool:
    """Tell whether a node registers something by a name."""
    found = entries(node) if node is not None else []
    return any(isinstance(entry, dict) and entry.get("name") == name for entry in found)


def holders(context: Context, array: Node) -> Iterator[Node]:
    """Yield the array and its group."""
    yield array
    group = parent(context, array)
    if group is not None:
        yield group


def placed(context: Context, subject: Subject, array: Node) -> Transform | None:
    """Transform of an array: its own, its group's, or that of its layout item."""
    found = context.effective(array, spatial.TRANSFORM, values.transform)
    if found is not None or array not in subject.arrays or not subject.items or subject.pyramid is None:
        return found
    item = subject.items[subject.arrays.index(array)]
    return values.transform(item.document.get(spatial.TRANSFORM))


def extent(context: Context, subject: Subject, array: Node) -> BBox | None:
    """Box of an array's cells under its transform."""
    transform = placed(context, subject, array)
    size = sites.spatial_shape(context, array, context.spatial_dimensions(array))
    return sites.extent(transform, size) if transform is not None and size is not None else None


def crs(context: Context, subject: Subject) -> CRS | None:
    """CRS that the finest array has by the conventions; else what the multiscale group states."""
    found = context.effective_crs(subject.finest(context))
    if found is None and subject.pyramid is not None:
        found = context.own_crs(subject.pyramid.node)
    return found
