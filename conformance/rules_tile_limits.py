"""Rules on rows of coalesced tiles and on tile limits: they lie in their matrix (OGC 17-083r4, TMS 2.0)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from conformance import layouts, tile_matrices, values
from conformance.report import Fault, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.tile_matrices import Matrix, TileSet


def check_coalesced(context: Context) -> Iterator[Fault]:
    """Find rows of coalesced tiles that overlap, lie outside, or do not divide the matrix."""
    for tile_set, matrix in tile_matrices.matrices(context):
        rows = matrix.document.get("variableMatrixWidths", [])
        node, base = tile_set.pyramid.node.path, matrix.pointer("variableMatrixWidths")
        if not isinstance(rows, list):
            yield Fault(node, base, "variableMatrixWidths is no array", rows, "an array")
            continue
        taken: list[tuple[int, int]] = []
        for index, item in enumerate(rows):
            problem = _coalesce_problem(item, matrix, taken)
            if problem is not None:
                yield Fault(node, (*base, index), "coalesced rows do not fit the matrix", item, problem)


def check_limits(context: Context) -> Iterator[Fault]:
    """Find limits of another form, outside their matrix, or of a matrix that there is not."""
    for tile_set in tile_matrices.read_all(context):
        pyramid = tile_set.pyramid
        node = pyramid.node.path
        key = tile_matrices.limits_key(pyramid)
        stated = pyramid.multiscales.get(key) if key is not None else {}
        if not isinstance(stated, dict | list):
            yield Fault(
                node,
                tile_matrices.limits_pointer(pyramid),
                "the limits are no object",
                stated,
                "an object by matrix id",
            )
            continue
        by_id = tile_set.by_id()
        all_ids = tuple(tile_set.place(matrix, "id") for matrix in tile_set.matrices)
        assets = {(layouts.asset_of(item) or "").rpartition("/")[2] for item in pyramid.items}
        seen: set[str] = set()
        items = tile_matrices.limits_items(pyramid)
        parsed = [tile_matrices.limits_of(name, item) for name, item in items]
        often = Counter(limits.matrix for limits in parsed if limits is not None)
        for (name, item), limits in zip(items, parsed, strict=True):
            pointer = tile_matrices.limits_pointer(pyramid, name)
            if limits is None:
                expected = "tileMatrix and whole numbers minTileRow <= maxTileRow, minTileCol <= maxTileCol"
                yield Fault(node, pointer, "limits are malformed", item, expected)
            elif isinstance(name, str) and limits.matrix != name:
                yield Fault(
                    node, (*pointer, "tileMatrix"), "limits name another matrix than their key", limits.matrix, name
                )
            elif isinstance(name, int) and limits.matrix in seen:
                voids = ((node, tile_matrices.limits_pointer(pyramid)),)
                message = "limits of one matrix are stated twice"
                yield Fault(node, pointer, message, limits.matrix, "each once", voids=voids)
            elif isinstance(name, int) and often[limits.matrix] > 1:
                pass  # which of them is wrong cannot be told: the next one is reported
            elif limits.matrix not in by_id and limits.matrix in assets:
                message = "there are limits and a level, but no matrix of this id"
                found = [matrix.id for matrix in tile_set.matrices]
                where = tile_set.pointer("tileMatrices")
                yield Fault(node, where, message, found, f"a matrix {limits.matrix}", relies=all_ids, voids=all_ids)
            elif limits.matrix not in by_id:
                message = "limits of a matrix that the set has not"
                yield Fault(node, pointer, message, limits.matrix, f"one of {', '.join(by_id)}", relies=all_ids)
            else:
                yield from _outside(tile_set, by_id[limits.matrix], limits)
            if isinstance(name, int) and limits is not None:
                seen.add(limits.matrix)


def _outside(tile_set: TileSet, matrix: Matrix, limits: tile_matrices.Limits) -> Iterator[Fault]:
    if matrix.size is not None and (limits.rows[1] >= matrix.size[0] or limits.cols[1] >= matrix.size[1]):
        pointer = tile_matrices.limits_pointer(tile_set.pyramid, limits.key)
        found = [limits.rows[1], limits.cols[1]]
        expected = f"maxTileRow and maxTileCol of at most {matrix.size[0] - 1} and {matrix.size[1] - 1}"
        yield Fault(tile_set.pyramid.node.path, pointer, "limits reach outside the matrix", found, expected)


def _coalesce_problem(item: Any, matrix: Matrix, taken: list[tuple[int, int]]) -> str | None:
    """Say what is expected where rows of coalesced tiles are wrong; notes the rows that are taken."""
    if not isinstance(item, dict):
        return "an object with coalesce, minTileRow, maxTileRow"
    coalesce = values.whole(item.get("coalesce"), least=2)
    first, last = values.whole(item.get("minTileRow")), values.whole(item.get("maxTileRow"))
    if coalesce is None or first is None or last is None or first > last:
        return "coalesce of at least 2, minTileRow not above maxTileRow"
    if matrix.size is not None and last >= matrix.size[0]:
        return f"rows up to {matrix.size[0] - 1}"
    if matrix.size is not None and matrix.size[1] % coalesce:
        return f"coalesce a divisor of matrixWidth {matrix.size[1]}"
    if any(first <= other[1] and other[0] <= last for other in taken):
        return "rows that no other entry has"
    taken.append((first, last))
    return None


_TMS = "OGC 17-083r4"
RULES = (
    Rule("TMS-10", f"{_TMS} 6.3", "Coalesced rows fit their matrix", check_coalesced),
    Rule("TMS-12", f"{_TMS} 6.4", "Limits lie in their matrix", check_limits),
)
