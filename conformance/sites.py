"""Where pixels lie: for each set of rasters on one grid, every statement of its transform, shape and CRS.

A pyramid states the transform of a level in its layout, at the level group, at each array and as `GeoTransform`. They
vote: the value that most of them share stands for the level, the others are dissenters. A tie goes to the statement
nearest to the pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from conformance import grid_mappings, layouts, values
from geozarr.conventions import spatial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from conformance.context import Context
    from conformance.layouts import Level, Pyramid
    from conformance.report import Place
    from conformance.tree import Node
    from conformance.values import BBox, Transform
    from geozarr.crs import CRS

T = TypeVar("T")

CELLS = 1e-6  # of a cell size; SPEC section 5
RELATIVE = 1e-9  # of a coordinate; SPEC section 5


@dataclass(frozen=True)
class Site:
    """Rasters of one group that share their spatial dimensions, or a level without rasters.

    Parameters
    ----------
    group : Node or None
        Group whose own attributes hold for these rasters; None for a level that is an array, and a lone array.
    rasters : tuple of Node
        Arrays on this grid.
    dimensions : tuple of (str, str) or None
        Their row and column axis.
    level : Level or None
        The level they are, where they are one.
    """

    group: Node | None
    rasters: tuple[Node, ...]
    dimensions: tuple[str, str] | None
    level: Level | None

    @property
    def home(self) -> str:
        """Path of the group in which coordinate variables are sought."""
        if self.group is not None:
            return self.group.path
        return self.rasters[0].parent if self.rasters else ""


@dataclass(frozen=True)
class Consensus(Generic[T]):
    """What most statements of a fact say.

    Parameters
    ----------
    value : object
        The fact.
    supporters : tuple of Place
        Statements that agree with it.
    dissenters : tuple of (Place, object)
        Statements that do not.
    """

    value: T
    supporters: tuple[Place, ...]
    dissenters: tuple[tuple[Place, T], ...]

    @property
    def doubtful(self) -> tuple[Place, ...]:
        """The one supporter where it stands alone: then either side may be wrong."""
        return self.supporters if len(self.supporters) == 1 else ()


def majority(votes: Iterable[tuple[Place, T]], agree: Callable[[T, T], bool]) -> Consensus[T] | None:
    """Find the value that most votes share; in a tie the one that was named first."""
    camps: list[list[tuple[Place, T]]] = []
    for vote in votes:
        for camp in camps:
            if agree(camp[0][1], vote[1]):
                camp.append(vote)
                break
        else:
            camps.append([vote])
    if not camps:
        return None
    winner = max(camps, key=len)
    others = tuple(vote for camp in camps if camp is not winner for vote in camp)
    return Consensus(winner[0][1], tuple(place for place, _ in winner), others)


def sites(context: Context) -> list[Site]:
    """All sites of a tree, levels of pyramids among them."""
    return context.once("sites", "", lambda: _find(context))


def _find(context: Context) -> list[Site]:
    found = []
    by_node = {level.node.path: level for pyramid in context.pyramids for level in layouts.levels(context, pyramid)}
    for group in context.tree.groups:
        level = by_node.get(group.path)
        arrays = [array for array in context.tree.child_arrays(group.path).values() if array.path not in by_node]
        by_dimensions: dict[tuple[str, str] | None, list[Node]] = {}
        for array in context.rasters(arrays):
            by_dimensions.setdefault(context.spatial_dimensions(array), []).append(array)
        if level is not None and not by_dimensions:
            by_dimensions[None] = []
        for dimensions, rasters in by_dimensions.items():
            found.append(Site(group, tuple(rasters), dimensions, level))
    for array in context.tree.arrays:
        level = by_node.get(array.path)
        if level is not None or not array.path:
            found.append(Site(None, (array,), context.spatial_dimensions(array), level))
    return found


def of_levels(context: Context, pyramid: Pyramid) -> dict[int, Site]:
    """Sites of the levels of a pyramid by position in its layout; of an asset listed twice, the one with rasters."""
    return context.once("levels", "", lambda: _find_levels(context)).get(pyramid.node.path, {})


def _find_levels(context: Context) -> dict[str, dict[int, Site]]:
    found: dict[str, dict[int, Site]] = {}
    for site in sites(context):
        if site.level is not None:
            levels = found.setdefault(site.level.pyramid.node.path, {})
            index = site.level.item.index
            if index not in levels or len(site.rasters) > len(levels[index].rasters):
                levels[index] = site
    return found


def shape(context: Context, site: Site) -> tuple[int, int] | None:
    """Rows and columns of a site: what most of its rasters really have, else what its level states."""
    votes = [
        ((array.path, ("shape",)), found)
        for array in site.rasters
        if (found := spatial_shape(context, array, site.dimensions)) is not None
    ]
    consensus = majority(votes, lambda a, b: a == b)
    if consensus is not None:
        return consensus.value
    if site.level is not None and not site.rasters:
        return stated(context, site.level, spatial.SHAPE, values.shape2)
    return None


def spatial_shape(context: Context, array: Node, dimensions: tuple[str, str] | None) -> tuple[int, int] | None:
    """Rows and columns of an array; the last two axes where no dimensions are stated."""
    found = context.shape(array)
    if dimensions is not None:
        sizes = context.sizes(array)
        return (sizes[dimensions[0]], sizes[dimensions[1]]) if all(name in sizes for name in dimensions) else None
    return (found[-2], found[-1]) if found is not None and len(found) >= 2 else None


def stated(context: Context, level: Level, key: str, parse: Callable[[Any], T | None]) -> T | None:
    """Read a key of a level's layout item; None where it is absent, malformed or void."""
    value = level.item.document.get(key)
    path, pointer = level.pyramid.place(level.item, key)
    return None if value is None or context.is_void(path, *pointer) else parse(value)


def transform(context: Context, site: Site) -> Consensus[Transform] | None:
    """Find the transform of a site, as most of its statements have it."""
    where = site.level.item.pointer() if site.level is not None else site.dimensions
    home = site.rasters[0].path if site.rasters else site.home
    return context.once(f"transform {where}", home, lambda: _vote(context, site))


def _vote(context: Context, site: Site) -> Consensus[Transform] | None:
    key = spatial.TRANSFORM
    votes: list[tuple[Place, Transform]] = []
    is_pyramid = site.group is not None and isinstance(site.group.attributes.get("multiscales"), dict)
    holders = [*site.rasters, *([site.group] if site.group is not None and not is_pyramid else [])]
    votes += [
        ((holder.path, ("attributes", key)), found)
        for holder in holders
        if (found := context.attribute(holder, key, values.transform)) is not None
    ]
    if site.level is not None and (found := stated(context, site.level, key, values.transform)) is not None:
        votes.append((site.level.pyramid.place(site.level.item, key), found))
    is_node = any(context.registration(array) == "node" for array in site.rasters)
    # GeoTransform speaks of corners, a transform of node registration of centres (D-02).
    votes += [
        ((mapping.path, ("attributes", "GeoTransform")), found)
        for mapping in (grid_mappings.of_arrays(context, site.rasters) if not is_node else ())
        if (found := context.attribute(mapping, "GeoTransform", grid_mappings.geotransform)) is not None
    ]
    size = shape(context, site) or (1, 1)
    return majority(votes, lambda a, b: are_close(a, b, size))


def crs(context: Context, site: Site) -> CRS | None:
    """Find the CRS of a site: of its first raster that has one, else of its group, else of its pyramid."""
    for array in site.rasters:
        if (found := context.effective_crs(array)) is not None:
            return found
    if site.group is not None and (found := context.own_crs(site.group)) is not None:
        return found
    return context.own_crs(site.level.pyramid.node) if site.level is not None else None


def cell_size(t: Transform) -> tuple[float, float]:
    """`(x, y)` side lengths of a cell in CRS units, also where the grid is rotated."""
    a, b, _, d, e, _ = t
    return math.hypot(a, d), math.hypot(b, e)


def extent(t: Transform, size: tuple[int, int], *, registration: str = "pixel") -> BBox:
    """Box around the four corners; around the four corner cells' centres for `node` (SP-12)."""
    height, width = (side - 1 for side in size) if registration == "node" else size
    a, b, c, d, e, f = t
    corners = [(col, row) for col in (0, width) for row in (0, height)]
    xs = [a * col + b * row + c for col, row in corners]
    ys = [d * col + e * row + f for col, row in corners]
    return min(xs), min(ys), max(xs), max(ys)


def is_near(found: float, expected: float, cell: float) -> bool:
    """Compare two coordinates within the tolerance of SPEC section 5."""
    return abs(found - expected) <= max(CELLS * cell, RELATIVE * max(abs(found), abs(expected)))


def are_near(found: Iterable[float], expected: Iterable[float], cell: float) -> bool:
    """Compare two boxes or points."""
    return all(is_near(x, y, cell) for x, y in zip(found, expected, strict=True))


def are_close(a: Transform, b: Transform, size: tuple[int, int]) -> bool:
    """Compare two transforms by where they put the four corners of a raster."""
    cell = min(*cell_size(a), *cell_size(b))
    height, width = size
    return all(
        is_near(p[0] * col + p[1] * row + p[2], q[0] * col + q[1] * row + q[2], cell)
        for col in (0, width)
        for row in (0, height)
        for p, q in ((a[:3], b[:3]), (a[3:], b[3:]))
    )
