"""At which level each variable of a pyramid begins: levels finer than its resolution need not have it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from conformance import layouts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.context import Context
    from conformance.layouts import Level, Pyramid
    from conformance.tree import Node


def late(context: Context, pyramid: Pyramid) -> dict[str, Level]:
    """Find variables that the finest levels lack and all coarser ones have, with the level at which they begin.

    Coordinates of axes that only such variables have are among them.
    """
    return context.once("late", pyramid.node.path, lambda: _find(context, pyramid))


def _find(context: Context, pyramid: Pyramid) -> dict[str, Level]:
    groups = [level for level in layouts.levels(context, pyramid) if not level.node.is_array]
    levels = sorted(groups, key=lambda level: -_cells(context, level))
    found = {}
    for name in sorted({name for level in levels for name in level.names}):
        held = [name in level.names for level in levels]
        first = held.index(True)
        if first and all(held[first:]) and _may_be_late(context, levels, first, name):
            found[name] = levels[first]
    return found


def _cells(context: Context, level: Level) -> int:
    """Rows times columns of the largest raster."""
    rasters = context.rasters(level.arrays.values())
    return max((math.prod((context.shape(array) or (0,))[-2:]) for array in rasters), default=0)


def _may_be_late(context: Context, levels: Sequence[Level], first: int, name: str) -> bool:
    array = levels[first].arrays.get(name)
    if array is None:
        return False
    if context.rasters([array]):
        return True
    return name not in _axes(context, levels[:first]) and name in _axes(context, levels[first : first + 1])


def _axes(context: Context, levels: Sequence[Level]) -> set[str]:
    rasters: list[Node] = [array for level in levels for array in context.rasters(level.arrays.values())]
    return {name for array in rasters for name in context.dimension_names(array) or () if name is not None}
