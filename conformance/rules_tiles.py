"""Rules on a pyramid beside its tile matrix set: cells, corners, chunks, limits, ids (SPEC TMS-20 to TMS-24, XC-11)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance import layouts, sites, tile_matrices, values
from conformance.report import Depth, Fault, Rule, Severity
from conformance.rules_codecs import inner_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.layouts import Level
    from conformance.report import Place
    from conformance.sites import Site
    from conformance.tile_matrices import Limits, Matrix, TileSet
    from conformance.tree import Node
    from conformance.values import Transform

_MAX_OFFSET = 2.0**53  # cells; beyond it a float cannot tell one from the next
_MAX_SLACK = 0.49  # cells; with more every place would be on a cell
_CELL = 1e-9  # relative, between a level's cell and its matrix's (SPEC TMS-20)


@dataclass(frozen=True)
class Tiled:
    """A level with the matrix of its name.

    Parameters
    ----------
    tile_set : TileSet
        The set of the pyramid.
    level : Level
        The level.
    site : Site
        Its rasters.
    matrix : Matrix
        The matrix whose id is the asset.
    transform : Transform
        Of the level, unrotated.
    shape : tuple of (int, int) or None
        Rows and columns of the level.
    supporters, doubtful : tuple of Place
        Statements of the transform, and the one that stands alone.
    """

    tile_set: TileSet
    level: Level
    site: Site
    matrix: Matrix
    transform: Transform
    shape: tuple[int, int] | None
    supporters: tuple[Place, ...]
    doubtful: tuple[Place, ...]

    @property
    def offset(self) -> tuple[float, float] | None:
        """Rows and columns from the matrix's top left corner to the level's, in cells."""
        top_left, cell = self.matrix.top_left, self.matrix.cell_size
        if top_left is None or cell is None:
            return None
        offset = (top_left[1] - self.transform[5]) / cell, (self.transform[2] - top_left[0]) / cell
        return offset if all(abs(value) < _MAX_OFFSET for value in offset) else None

    @property
    def slack(self) -> tuple[float, float]:
        """Tolerance of `offset`, in cells."""
        cell, origin = self.matrix.cell_size or 1.0, self.matrix.top_left or (0.0, 0.0)
        far = max(abs(self.transform[5]), abs(origin[1])), max(abs(self.transform[2]), abs(origin[0]))
        rows, cols = (sites.RELATIVE * value / cell for value in far)
        return min(max(sites.CELLS, rows), _MAX_SLACK), min(max(sites.CELLS, cols), _MAX_SLACK)


def check_ids(context: Context) -> Iterator[Fault]:
    """Find levels without a matrix of their name, and matrices without a level."""
    for pyramid in context.layouts:
        tile_set = tile_matrices.read(context, pyramid)
        if tile_set is None:
            continue
        node = pyramid.node.path
        listed = tile_set.document.get("tileMatrices")
        if (
            not pyramid.is_whole
            or not pyramid.items
            or not tile_set.matrices
            or len(tile_set.matrices) != len(listed or ())
        ):
            continue  # half of the comparison is missing, and reported
        ids = [matrix.id for matrix in tile_set.matrices]
        assets = [_matrix_name(layouts.asset_of(item)) for item in pyramid.items]
        relies = (*pyramid.graph, *(tile_set.place(matrix, "id") for matrix in tile_set.matrices))
        for item, asset in zip(pyramid.items, assets, strict=True):
            if asset is not None and asset not in ids:
                message = "no tile matrix has the name of the level"
                expected = f"one of {', '.join(str(name) for name in ids)}"
                yield Fault(node, item.pointer("asset"), message, asset, expected, relies=relies)
        for matrix in tile_set.matrices:
            if matrix.id is not None and matrix.id not in assets:
                message = "a tile matrix without a level"
                pointer, severity = matrix.pointer("id"), Severity.WARNING
                yield Fault(
                    node, pointer, message, matrix.id, "a level of each matrix", severity=severity, relies=relies
                )


def check_not_by_number(context: Context) -> Iterator[Fault]:
    """Find levels that bear the number of one matrix and have the cells of another."""
    swapped: dict[str, tuple[Tiled, Matrix]] = {}
    for item in _tiled(context):
        if not _has_cell(item, item.matrix):
            other = next((matrix for matrix in item.tile_set.matrices if _has_cell(item, matrix)), None)
            if other is not None:
                swapped.setdefault(item.tile_set.pyramid.node.path, (item, other))
    for node, (item, other) in swapped.items():
        message = "levels bear the numbers of other matrices: level 0 is the finest, matrix 0 the coarsest"
        pointer = item.level.item.pointer("asset")
        keys = ("cellSize", "matrixWidth", "matrixHeight")
        voids = tuple(item.tile_set.place(matrix, key) for matrix in item.tile_set.matrices for key in keys)
        yield Fault(node, pointer, message, item.level.asset, f"{other.id}, by its cells", voids=voids)


def check_cells(context: Context) -> Iterator[Fault]:
    """Find levels whose cells are not those of their matrix."""
    for item in _tiled(context):
        if item.matrix.cell_size is not None and not _has_cell(item, item.matrix):
            found = list(sites.cell_size(item.transform))
            pointer = item.matrix.pointer("cellSize")
            message = f"level {item.level.asset!r} has other cells than its matrix"
            voids = (*item.supporters, item.tile_set.place(item.matrix, "cellSize"))
            node = item.tile_set.pyramid.node.path
            expected = f"cells of {found}"
            yield Fault(node, pointer, message, item.matrix.cell_size, expected, relies=item.doubtful, voids=voids)


def check_corners(context: Context) -> Iterator[Fault]:
    """Find levels that do not begin on a cell of their matrix."""
    for item in _tiled(context):
        offset = item.offset
        if offset is None:
            continue
        rest = [abs(value - round(value)) for value in offset]
        if any(value > slack for value, slack in zip(rest, item.slack, strict=True)):
            pointer = item.matrix.pointer("pointOfOrigin")
            message = f"level {item.level.asset!r} does not begin on a cell of its matrix"
            found = f"{offset[0]:.6f} rows and {offset[1]:.6f} columns from its corner"
            node = item.tile_set.pyramid.node.path
            yield Fault(node, pointer, message, found, "whole numbers", relies=item.doubtful, voids=item.supporters)


def check_chunks(context: Context) -> Iterator[Fault]:
    """Find levels whose chunks are not tiles, or that do not begin on a tile."""
    for item in _tiled(context):
        tile, offset = item.matrix.tile, item.offset
        if tile is None:
            continue
        node = item.tile_set.pyramid.node.path
        sizes = (item.tile_set.place(item.matrix, "tileWidth"), item.tile_set.place(item.matrix, "tileHeight"))
        origin = item.tile_set.place(item.matrix, "pointOfOrigin")
        if offset is not None and any(round(value) % side for value, side in zip(offset, tile, strict=True)):
            message = f"level {item.level.asset!r} does not begin on a tile of its matrix"
            found = [round(value) for value in offset]
            pointer = item.matrix.pointer("pointOfOrigin")
            expected = f"multiples of {list(tile)} cells from the corner of the matrix"
            yield Fault(
                node, pointer, message, found, expected, relies=(*item.doubtful, *sizes), voids=(origin, *sizes)
            )
            continue
        for array in item.site.rasters:
            chunk = _spatial_chunk(context, array, item.site)
            if chunk is not None and any(side % part for side, part in zip(tile, chunk, strict=True)):
                message = "the chunk is no tile, nor a part of one"
                pointer = ("codecs",) if inner_chunk(array.document.get("codecs")) else ("chunk_grid",)
                expected = f"{list(tile)}, or a divisor"
                yield Fault(array.path, pointer, message, list(chunk), expected, relies=sizes, voids=sizes)


def check_limits(context: Context) -> Iterator[Fault]:
    """Find limits other than the tiles that the level's extent touches."""
    for item in _tiled(context):
        pyramid, offset, tile, shape = item.tile_set.pyramid, item.offset, item.matrix.tile, item.shape
        if offset is None or tile is None or shape is None or item.matrix.size is None:
            continue
        rows, cols = (_touched(*axis) for axis in zip(offset, shape, tile, item.slack, strict=True))
        if item.matrix.is_bottom_left:
            last = item.matrix.size[0] - 1
            rows = (last - rows[1], last - rows[0])
        stated = _limits_of(item)
        relies = tuple(item.tile_set.place(item.matrix, key) for key in ("tileWidth", "tileHeight", "pointOfOrigin"))
        relies += item.doubtful
        expected = f"rows {rows[0]} to {rows[1]}, columns {cols[0]} to {cols[1]}"
        if stated is None:
            relies += ((pyramid.node.path, tile_matrices.limits_pointer(pyramid)),)
            is_whole = (rows, cols) == ((0, item.matrix.size[0] - 1), (0, item.matrix.size[1] - 1))
            is_absent = tile_matrices.limits_key(pyramid) is None
            if not (is_absent and is_whole):
                message = "there are no limits" if is_absent else f"level {item.level.asset!r} has no limits"
                pointer = tile_matrices.limits_pointer(
                    pyramid, *(() if is_absent else (_matrix_name(item.level.asset),))
                )
                yield Fault(pyramid.node.path, pointer, message, None, expected, relies=relies)
        elif (stated.rows, stated.cols) != (rows, cols):
            pointer = tile_matrices.limits_pointer(pyramid, stated.key)
            found = f"rows {stated.rows[0]} to {stated.rows[1]}, columns {stated.cols[0]} to {stated.cols[1]}"
            message = "the limits are not the tiles that the level touches"
            yield Fault(pyramid.node.path, pointer, message, found, expected, relies=relies)


def _tiled(context: Context) -> Iterator[Tiled]:
    """Levels with a matrix, read anew for each, since findings void parts of them."""
    for pyramid in context.layouts:
        by_level = sites.of_levels(context, pyramid)
        for level in layouts.levels(context, pyramid):
            tile_set = tile_matrices.read(context, pyramid)
            site = by_level.get(level.item.index)
            matrix = tile_set.by_id().get(_matrix_name(level.asset)) if tile_set is not None else None
            consensus = sites.transform(context, site) if site is not None else None
            if tile_set is None or site is None or matrix is None or consensus is None:
                continue
            if consensus.value[1] == 0 and consensus.value[3] == 0 and consensus.value[4] < 0 < consensus.value[0]:
                shape = sites.shape(context, site)
                supporters, doubtful = consensus.supporters, consensus.doubtful
                yield Tiled(tile_set, level, site, matrix, consensus.value, shape, supporters, doubtful)


def _matrix_name(asset: str | None) -> Any:
    """Return the last part of a level's path, which is the id of its matrix: a rebuild puts levels below a folder."""
    return None if asset is None else asset.rpartition("/")[2]


def _has_cell(item: Tiled, matrix: Matrix) -> bool:
    if matrix.cell_size is None:
        return False
    sizes = sites.cell_size(item.transform)
    return all(math.isclose(size, matrix.cell_size, rel_tol=_CELL) for size in sizes)


def _spatial_chunk(context: Context, array: Node, site: Site) -> tuple[int, int] | None:
    """Rows and columns of a chunk, the inner one where there are shards."""
    outer = context.member(array, "chunk_grid", values.chunk_shape)
    inner = context.member(array, "codecs", inner_chunk)
    chunk, names = inner or outer, context.dimension_names(array)
    if chunk is None or names is None or len(chunk) != len(names) or site.dimensions is None:
        return None
    row, col = (names.index(name) for name in site.dimensions)
    return chunk[row], chunk[col]


def _limits_of(item: Tiled) -> Limits | None:
    for key, document in tile_matrices.limits_items(item.tile_set.pyramid):
        limits = tile_matrices.limits_of(key, document)
        if limits is not None and limits.matrix == _matrix_name(item.level.asset):
            return limits
    return None


def _touched(offset: float, size: int, tile: int, slack: float) -> tuple[int, int]:
    """First and last tile that cells from `offset` on touch with more than an edge."""
    return math.floor((offset + slack) / tile), math.ceil((offset + size - slack) / tile) - 1


_DERIVED = "derived; OGC 17-083r4 6.1"
_GEOMETRY = Depth.GEOMETRY
# Part of the metadata rules: transforms are documents too, and limits are judged after it.
FIRST_RULES = (
    Rule("TMS-24", _DERIVED, "Levels are matched with matrices by cell size, not by number", check_not_by_number),
)
RULES = (
    Rule("XC-11", "derived", "Levels and tile matrices have the same names", check_ids, depth=_GEOMETRY),
    Rule("TMS-20", _DERIVED, "A level has the cells of its matrix", check_cells, depth=_GEOMETRY),
    Rule("TMS-21", _DERIVED, "A level begins on a cell of its matrix", check_corners, depth=_GEOMETRY),
    Rule("TMS-22", _DERIVED, "A chunk is a tile, or a part of one", check_chunks, depth=_GEOMETRY),
    Rule("TMS-23", _DERIVED, "Limits are the tiles that the level touches", check_limits, depth=_GEOMETRY),
)
