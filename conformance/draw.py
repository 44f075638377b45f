"""Read off the documents what pictures of pyramids are made of.

A picture shows what is written, faults and all, and so looks at the tree anew: to a `Context` that has been through the
rules, what was reported is unknown. Pixels are read through the one that has, since what it reported cannot be trusted.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from conformance import layouts, preview, sites, tile_matrices, values
from conformance.context import Context
from conformance.drawing import Drawing, DrawnLevel, DrawnPyramid, Tiles
from conformance.formats.escaping import cut
from conformance.report import format_pointer
from conformance.rules_codecs import inner_chunk
from geozarr.store import join

if TYPE_CHECKING:
    from conformance.drawing import Box, Pair
    from conformance.layouts import Item, Pyramid
    from conformance.sites import Site
    from conformance.tile_matrices import Matrix, TileSet
    from conformance.tree import Node

_PYRAMIDS = 12  # a catalogue in one store shows its first ones
_LEVELS = 24  # a pyramid of the whole Earth in cells of 1 cm has 23
_NAMES = 12  # variables
_NAME = 80  # characters of a name


def draw(context: Context, *, with_preview: bool = True) -> Drawing:
    """Draw the pyramids of a store that has been checked.

    Parameters
    ----------
    context : Context
        As the rules have left it.
    with_preview : bool
        False to read no pixels.
    """
    fresh = Context(context.tree, context.store, context.depth)
    drawn = []
    for pyramid in fresh.pyramids[:_PYRAMIDS]:
        found = _pyramid(fresh, pyramid)
        if with_preview:
            picture, note = preview.of_pyramid(context, layouts.levels(fresh, pyramid))
            found = replace(found, preview=picture, note=note)
        drawn.append(found)
    return Drawing(tuple(drawn), more=len(fresh.pyramids) - len(drawn))


def _pyramid(context: Context, pyramid: Pyramid) -> DrawnPyramid:
    by_level = sites.of_levels(context, pyramid)
    tile_set = tile_matrices.read(context, pyramid)
    levels = tuple(
        _level(context, pyramid, item, by_level.get(item.index), tile_set) for item in pyramid.items[:_LEVELS]
    )
    systems = (sites.crs(context, site) for site in by_level.values())
    crs = context.own_crs(pyramid.node) or next((found for found in systems if found is not None), None)
    return DrawnPyramid(
        node=f"/{pyramid.node.path}",
        crs="" if crs is None else cut(crs.code or str(crs.proj.name), _NAME),
        unit="" if crs is None else cut(crs.unit, _NAME),
        levels=levels,
        more=len(pyramid.items) - len(levels),
        tile_set="" if tile_set is None else cut(values.text(tile_set.document.get("id")) or "unnamed", _NAME),
    )


def _level(context: Context, pyramid: Pyramid, item: Item, site: Site | None, tile_set: TileSet | None) -> DrawnLevel:
    asset = layouts.asset_of(item) or ""
    matrix = None if tile_set is None else tile_set.by_id().get(asset.rpartition("/")[2])
    drawn = DrawnLevel(
        asset=cut(asset, _NAME),
        node=f"/{join(pyramid.node.path, asset)}" if asset else "",
        pointers=_pointers(pyramid, item, matrix),
        derived_from=cut(layouts.asset_of(item, "derived_from") or "", _NAME),
    )
    if site is None or site.level is None:
        return drawn
    shape, consensus = sites.shape(context, site), sites.transform(context, site)
    transform = consensus.value if consensus is not None else None
    is_node = any(context.registration(array) == "node" for array in site.rasters)
    box = (
        _finite(sites.extent(transform, shape, registration="node" if is_node else "pixel"))
        if transform is not None and shape is not None
        else None
    )
    chunk, shard = _chunks(context, site)
    return replace(
        drawn,
        node=f"/{site.level.node.path}",
        exists=True,
        shape=shape,
        cell=sites.cell_size(transform) if transform is not None else None,
        box=box,
        chunk=chunk,
        shard=shard,
        variables=tuple(cut(array.name, _NAME) for array in site.rasters[:_NAMES]),
        tiles=_tiles(pyramid, matrix, box),
    )


def _pointers(pyramid: Pyramid, item: Item, matrix: Matrix | None) -> tuple[str, ...]:
    found = [item.pointer()]
    if matrix is not None and matrix.id is not None:
        found += [matrix.pointer(), tile_matrices.limits_pointer(pyramid, matrix.id)]
    return tuple(format_pointer(pyramid.node.place(pointer)[1]) for pointer in found)


def _chunks(context: Context, site: Site) -> tuple[Pair | None, Pair | None]:
    """Rows and columns of the chunks and of the shards of a level's first raster."""
    for array in site.rasters[:1]:
        outer = context.member(array, "chunk_grid", values.chunk_shape)
        inner = context.member(array, "codecs", inner_chunk)
        stored = _spatial(context, array, site, outer)
        return (_spatial(context, array, site, inner), stored) if inner is not None else (stored, None)
    return None, None


def _spatial(context: Context, array: Node, site: Site, sides: tuple[int, ...] | None) -> Pair | None:
    rank = len(context.shape(array) or ())
    if sides is None or len(sides) != rank or rank < 2:
        return None
    names = context.dimension_names(array)
    if site.dimensions is None or names is None or not set(site.dimensions) <= set(names):
        return sides[-2], sides[-1]
    row, col = (names.index(name) for name in site.dimensions)
    return sides[row], sides[col]


def _tiles(pyramid: Pyramid, matrix: Matrix | None, box: Box | None) -> Tiles | None:
    if matrix is None or matrix.tile is None or matrix.size is None:
        return None
    parsed = (tile_matrices.limits_of(key, document) for key, document in tile_matrices.limits_items(pyramid))
    limits = next((found for found in parsed if found is not None and found.matrix == matrix.id), None)
    return Tiles(
        matrix=cut(matrix.id or "", _NAME),
        size=matrix.size,
        tile=matrix.tile,
        rows=limits.rows if limits is not None else None,
        cols=limits.cols if limits is not None else None,
        footprint=_footprint(matrix, box),
        is_bottom_left=matrix.is_bottom_left,
    )


def _footprint(matrix: Matrix, box: Box | None) -> Box | None:
    """Where a box lies in a matrix, in tiles from its first row and column."""
    whole, cell, tile = matrix.extent, matrix.cell_size, matrix.tile
    if whole is None or cell is None or tile is None or box is None:
        return None
    height, width = tile[0] * cell, tile[1] * cell
    left, right = (box[0] - whole[0]) / width, (box[2] - whole[0]) / width
    rows = (box[1] - whole[1], box[3] - whole[1]) if matrix.is_bottom_left else (whole[3] - box[3], whole[3] - box[1])
    return _finite((left, rows[0] / height, right, rows[1] / height))


def _finite(box: Box) -> Box | None:
    return box if all(math.isfinite(side) and abs(side) < 1e100 for side in box) else None
