"""Which arrays of a store are CF's, and what part each of them plays (CF chapters 1.3, 5 and 7)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from conformance import grid_mappings, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.tree import Node

_CF = re.compile(r"(?:^|[\s,])CF-[0-9]")
_SINCE = re.compile(r"\bsince\b", re.IGNORECASE)
BOUNDS = ("bounds", "climatology")
_OF_MAPPINGS = ("grid_mapping_name", "crs_wkt", "spatial_ref")


def all_of(context: Context) -> tuple[Node, ...]:
    """Arrays that are meant to follow CF: their data set says so, or they name a grid mapping."""
    return context.once("CF", "", lambda: tuple(_find(context)))


def data_variables(context: Context) -> list[Node]:
    """Those that hold data: no coordinates, bounds or grid mappings."""
    return context.once("CF data", "", lambda: _find_data(context))


def mappings(context: Context) -> set[str]:
    """Paths of grid mapping variables; one whose users have lost their attributes is one all the same."""
    named = set(grid_mappings.all_of(context))
    return named | {array.path for array in context.tree.arrays if any(key in array.attributes for key in _OF_MAPPINGS)}


def is_time(array: Node) -> bool:
    """Tell whether a variable counts time from a date, or says that it does (CF 4.4)."""
    attributes = array.attributes
    units = attributes.get("units")
    return (
        (isinstance(units, str) and _SINCE.search(units) is not None)
        or attributes.get("standard_name") == "time"
        or attributes.get("axis") == "T"
        or "calendar" in attributes
    )


def is_coordinate_variable(context: Context, array: Node) -> bool:
    """Tell whether an array is one-dimensional and named like its axis."""
    return list(context.sizes(array)) == [array.name]


def _find(context: Context) -> Iterator[Node]:
    for array in context.tree.arrays:
        above = (array, *context.tree.ancestors(array.path))
        if "grid_mapping" in array.attributes or any(_names_cf(node.attributes.get("Conventions")) for node in above):
            yield array


def _names_cf(conventions: Any) -> bool:
    return isinstance(conventions, str) and _CF.search(conventions) is not None


def _find_data(context: Context) -> list[Node]:
    served = {path for array in context.tree.arrays for path in _named(context, array)}
    served |= mappings(context)
    return [
        array
        for array in all_of(context)
        if array.path not in served and not is_coordinate_variable(context, array) and array.name not in _axes(context)
    ]


def _axes(context: Context) -> set[str]:
    """Names of all axes: an array of such a name is meant for a coordinate variable, be it a good one or not."""
    return context.once("axes", "", lambda: {name for array in context.tree.arrays for name in context.sizes(array)})


def _named(context: Context, array: Node) -> Iterator[str]:
    """Paths of the variables that serve an array: its coordinates and bounds."""
    names = [name for key in ("coordinates", *BOUNDS) for name in (_text(array, key) or "").split()]
    mapping = grid_mappings.parse(array.attributes.get("grid_mapping")) or {}
    for name in {*names, *mapping, *(name for coordinates in mapping.values() for name in coordinates)}:
        variable = grid_mappings.resolve(context, array, name)
        if variable is not None:
            yield variable.path


def _text(array: Node, key: str) -> str | None:
    found = values.text(array.attributes.get(key))
    return found if found is not None and len(found) <= 10_000 else None
