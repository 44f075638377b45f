"""By which method an array of a level follows from finer cells, and which statement says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from conformance import cell_methods

if TYPE_CHECKING:
    from conformance.context import Context
    from conformance.layouts import Level
    from conformance.report import Place
    from conformance.tree import Node

# CF 7.3 and GDAL's names of what `reference.py` derives.
_CELL_METHODS = {"mean": "average", "maximum": "max", "minimum": "min", "point": "nearest", "root_mean_square": "rms"}
_NAMES = {"med": "median", "mean": "average"}


@dataclass(frozen=True)
class Stated:
    """A method as one value of a document states it.

    Parameters
    ----------
    method : str
        GDAL's name where there is one, else as written.
    place : Place
        The value.
    """

    method: str
    place: Place


def of_array(context: Context, array: Node) -> Stated | None:
    """Read the method that an array itself states over the area of its cells."""
    found = context.attribute(array, "cell_methods", cell_methods.of_area)
    if found is None:
        return None
    return Stated(_CELL_METHODS.get(found, found), (array.path, ("attributes", "cell_methods")))


def of_layout(context: Context, level: Level) -> Stated | None:
    """Read the method that the layout states for a level: the level's own, else that of all (MS-16)."""
    pyramid = level.pyramid
    for holder, pointer in (
        (level.item.document, level.item.pointer("resampling_method")),
        (pyramid.multiscales, ("attributes", "multiscales", "resampling_method")),
    ):
        name = holder.get("resampling_method")
        if isinstance(name, str) and not context.is_void(pyramid.node.path, *pointer):
            return Stated(_NAMES.get(name, name), (pyramid.node.path, pointer))
    return None


def effective(context: Context, level: Level, array: Node) -> Stated | None:
    """Read the method of an array of a level: its own where it states one, else the layout's."""
    return of_array(context, array) or of_layout(context, level)
