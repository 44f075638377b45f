"""Rules on levels beside each other: one style, finest first, no two alike (multiscales convention v0.1)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from conformance import layouts, sites
from conformance.report import Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.layouts import Level, Pyramid


def check_one_style(context: Context) -> Iterator[Fault]:
    """Find layouts that mix group and array assets."""
    for pyramid in context.layouts:
        levels = layouts.levels(context, pyramid)
        odd = next((level for level in levels if level.node.is_array != levels[0].node.is_array), None)
        if odd is not None:
            found = {level.asset: "array" if level.node.is_array else "group" for level in levels}
            message = "the layout mixes groups and arrays"
            expected = "groups only, which more readers open"
            yield Fault(pyramid.node.path, odd.item.pointer("asset"), message, found, expected, keeps=True)


def check_finest_first(context: Context) -> Iterator[Fault]:
    """Find layouts whose levels do not go from fine to coarse."""
    for pyramid, found in _resolutions(context):
        pairs = itertools.pairwise(found)
        odd = next((level for (_, before), (level, size) in pairs if size < before * (1 - sites.CELLS)), None)
        if odd is not None:
            message = "levels do not go from fine to coarse; readers take the first for the finest"
            assets = [level.asset for level, _ in found]
            expected = "ascending cell sizes"
            yield Fault(pyramid.node.path, odd.item.pointer("asset"), message, assets, expected, keeps=True)


def check_no_twins(context: Context) -> Iterator[Fault]:
    """Find levels of one resolution, between which no rule decides."""
    for pyramid, found in _resolutions(context):
        for index, (level, size) in enumerate(found):
            twin = next((other for other, theirs in found[:index] if abs(theirs - size) <= sites.CELLS * size), None)
            if twin is not None:
                message = f"the level has the resolution of {twin.asset!r}"
                expected = "one level a resolution"
                yield Fault(pyramid.node.path, level.item.pointer("asset"), message, level.asset, expected, keeps=True)


def _resolutions(context: Context) -> Iterator[tuple[Pyramid, list[tuple[Level, float]]]]:
    """Levels of each pyramid with the larger side of their cells; without transforms, the inverse of their size."""
    for pyramid in context.layouts:
        by_level = sites.of_levels(context, pyramid)
        found = []
        transforms, shapes = {}, {}
        for level in layouts.levels(context, pyramid):
            site = by_level.get(level.item.index)
            if site is None:
                continue
            found.append(level)
            if (consensus := sites.transform(context, site)) is not None:
                transforms[level.item.index] = max(sites.cell_size(consensus.value))
            if (shape := sites.shape(context, site)) is not None:
                shapes[level.item.index] = 1 / max(*shape, 1)
        sizes = transforms if len(transforms) == len(found) else shapes
        if len(sizes) == len(found):
            yield pyramid, [(level, sizes[level.item.index]) for level in found]


RULES = (
    Rule("MS-06", "multiscales v0.1", "All assets are groups, or all are arrays", check_one_style, Severity.WARNING),
    Rule(
        "MS-20", "readers; multiscales issue 31", "Levels go from fine to coarse", check_finest_first, Severity.WARNING
    ),
    Rule("MS-22", "multiscales issue 32", "No two levels have one resolution", check_no_twins, Severity.WARNING),
)
