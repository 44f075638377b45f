"""Rules of GeoZarr 0.4, which profile `legacy-0.4` judges; Zarr v2 in its text, Zarr v3 in practice too."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from conformance import cf_variables, grid_mappings, legacy, references, tile_matrices, values
from conformance.report import Fault, Rule, Severity
from conformance.rules_codecs import inner_chunk
from conformance.tree import is_legal_name
from geozarr.conventions.multiscales import KEY
from geozarr.conventions.multiscales import TILE_MATRIX_SET_0_4 as TILE_MATRIX_SET
from geozarr.store import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.legacy import Statement
    from conformance.tree import Node
    from geozarr.crs import CRS

_DIMENSIONS = "_ARRAY_DIMENSIONS"
_CORNERS = ("min_tile_col", "max_tile_col", "min_tile_row", "max_tile_row")
_COMMON_SIDES = (256, 512)  # cells along a side of a tile that 0.4 recommends


def check_dimensions(context: Context) -> Iterator[Fault]:
    """Find arrays whose axes have no names: `_ARRAY_DIMENSIONS` in Zarr v2, `dimension_names` in Zarr v3."""
    for array in context.tree.arrays:
        shape = context.shape(array)
        found = array.attributes.get(_DIMENSIONS)
        if shape is None or (found is None and (not shape or context.dimension_names(array) is not None)):
            continue
        names = values.names(found)
        # 0.4 has empty auxiliary variables state an empty list, whatever their rank.
        if names is None or (names and len(names) != len(shape)):
            expected = f"a name for each of {len(shape)} axes"
            yield Fault(array.path, ("attributes", _DIMENSIONS), "the axes have no names", found, expected)


def check_names(context: Context) -> Iterator[Fault]:
    """Find variables without a standard name, and data without a grid mapping."""
    # Of grid mappings CF has no standard name, so that one there would break CF 3.3.
    mappings = cf_variables.mappings(context)
    for array in context.tree.arrays:
        if array.path not in mappings and "standard_name" not in array.attributes:
            message = "the variable has no standard_name"
            yield Fault(array.path, ("attributes", "standard_name"), message, None, "a name of the table of CF")
    for array in context.rasters(context.tree.arrays):
        if array.path not in mappings and "grid_mapping" not in array.attributes:
            message = "the data have no grid_mapping"
            yield Fault(array.path, ("attributes", "grid_mapping"), message, None, "the name of a variable")


def check_form(context: Context) -> Iterator[Fault]:
    """Find `multiscales` of arrays that lack a set or a method, or have them of another form."""
    for array in context.tree.arrays:
        found = array.attributes.get(KEY, {})
        if not isinstance(found, dict):
            yield Fault(array.path, legacy.PLACE, "multiscales are no object", found, f"{TILE_MATRIX_SET} and a method")
    for statement in legacy.statements(context):
        yield from _check_set(statement)
        yield from _check_method(statement)
        yield from _check_limits(statement)


def check_levels(context: Context) -> Iterator[Fault]:
    """Find matrices without a level group, and sets that do not go from coarse to fine."""
    for statement in legacy.statements(context):
        path = statement.node.path
        ids = [name for name in statement.ids if _is_path(name)]
        there = [name for name in ids if _is_group(context, statement, name)]
        is_partial = statement.limits is None and not statement.is_inline  # a registered set has more than is used
        lost = [name for name in statement.ids if name not in there]
        if lost and not (is_partial and there):
            key = statement.limits_key if statement.limits is not None else TILE_MATRIX_SET
            pointer = (*legacy.PLACE, str(key), *([lost[0]] if statement.limits is not None else []))
            message = "a tile matrix has no level group of its name"
            yield Fault(path, pointer, message, lost, f"groups in /{statement.home}", keeps=True)
        scales = [matrix.scale for matrix in statement.matrices or () if matrix.scale is not None]
        if statement.is_inline and any(after >= before for before, after in itertools.pairwise(scales)):
            pointer = (*legacy.SET, "tileMatrices")
            message = "tile matrices do not go from coarse to fine"
            yield Fault(path, pointer, message, scales, "descending scale denominators", keeps=True)


def check_crs(context: Context) -> Iterator[Fault]:
    """Find inline sets without a CRS, or with another than the grid mapping of the data."""
    for statement in legacy.statements(context):
        document = statement.document.get(TILE_MATRIX_SET)
        if not isinstance(document, dict):
            continue
        key = "supportedCRS" if "supportedCRS" in document else "crs"
        found, path, pointer = document.get(key), statement.node.path, (*legacy.SET, key)
        stated, expected = _set_crs(found), _mapped_crs(context, statement.node)
        if found is None:
            yield Fault(path, pointer, "the tile matrix set has no CRS", None, "supportedCRS, or crs as in TMS 2.0")
        elif stated is None:
            yield Fault(path, pointer, "the CRS of the tile matrix set cannot be told", found, "the URI of a CRS")
        elif expected is not None and not references.are_same_place(stated, expected):
            message = "the CRS of the tile matrix set is not that of the grid mapping"
            yield Fault(path, pointer, message, str(stated), str(expected))


def check_chunks(context: Context) -> Iterator[Fault]:
    """Find levels whose chunks are not the tiles of their matrix, and tiles of uncommon sizes."""
    seen: set[str] = set()
    for statement in legacy.statements(context):
        by_id = {matrix.id: matrix for matrix in statement.matrices or ()}
        for name in statement.ids:
            tile = by_id[name].tile if name in by_id else None
            group = join(statement.home, name)
            if tile is None or not _is_path(name) or group in seen:
                continue
            seen.add(group)
            for array in context.rasters(context.tree.child_arrays(group).values()):
                chunk = _chunk(context, array)
                if chunk is not None and chunk != tile:
                    message = f"chunks are not the tiles of matrix {name!r}"
                    pointer = ("chunk_grid", "configuration", "chunk_shape")
                    relies = ((statement.node.path, legacy.SET),)
                    yield Fault(array.path, pointer, message, list(chunk), f"{list(tile)}", relies=relies)
        yield from _check_sides(statement)


def _check_set(statement: Statement) -> Iterator[Fault]:
    found, path = statement.document.get(TILE_MATRIX_SET), statement.node.path
    if statement.matrices is not None:
        return
    if isinstance(found, str) and legacy.is_address(found):
        message = "the tile matrix set is a document elsewhere, which is not read"
        yield Fault(path, legacy.SET, message, found, "", severity=Severity.INFO, keeps=True)
        return
    message = "there is no tile matrix set" if found is None else "the tile matrix set is none"
    yield Fault(path, legacy.SET, message, found, "the name of a registered set, a URI, or a set with tileMatrices")


def _check_method(statement: Statement) -> Iterator[Fault]:
    found = statement.document.get("resampling_method")
    if found not in legacy.METHODS:
        message = "there is no resampling method" if found is None else "an unknown resampling method"
        pointer = (*legacy.PLACE, "resampling_method")
        yield Fault(statement.node.path, pointer, message, found, f"one of {', '.join(legacy.METHODS)}")


def _check_limits(statement: Statement) -> Iterator[Fault]:
    key = statement.limits_key
    if key is None:
        return
    path, pointer = statement.node.path, (*legacy.PLACE, key)
    if statement.limits is None:
        yield Fault(path, pointer, "limits are no object", statement.document[key], "an object by matrix id")
        return
    known = {matrix.id for matrix in statement.matrices or ()}
    for name, item in statement.limits.items():
        if known and name not in known:
            yield Fault(path, (*pointer, name), "limits of a matrix that the set has not", name, "the id of a matrix")
        elif not _are_limits(item):
            expected = f"whole numbers {', '.join(_CORNERS)}, all or none"
            yield Fault(path, (*pointer, name), "limits are malformed", item, expected)


def _check_sides(statement: Statement) -> Iterator[Fault]:
    odd = next(
        (m for m in statement.matrices or () if m.tile is not None and not set(m.tile) <= {*_COMMON_SIDES}), None
    )
    if statement.is_inline and odd is not None and odd.tile is not None:
        expected = f"{' or '.join(map(str, _COMMON_SIDES))} cells, which is recommended"
        pointer = (*legacy.SET, "tileMatrices")
        message = "tiles of an uncommon size"
        found = list(odd.tile)
        yield Fault(statement.node.path, pointer, message, found, expected, severity=Severity.INFO, keeps=True)


def _are_limits(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    if not item:
        return True  # the whole matrix
    numbers = [values.whole(item.get(key)) for key in _CORNERS]
    col, last_col, row, last_row = (-1 if number is None else number for number in numbers)
    return None not in numbers and col <= last_col and row <= last_row


def _is_path(name: str) -> bool:
    return all(map(is_legal_name, name.split("/")))


def _is_group(context: Context, statement: Statement, name: str) -> bool:
    node = context.tree.nodes.get(join(statement.home, name))
    return node is not None and not (node.is_known and node.is_array)


def _set_crs(value: Any) -> CRS | None:
    found = tile_matrices.crs_of(value)
    return found if found is not None or not isinstance(value, str) else references.from_code(value)


def _mapped_crs(context: Context, array: Node) -> CRS | None:
    """CRS of the grid mapping of an array, as its text has it."""
    for mapping in grid_mappings.of_array(context, array):
        for key in ("crs_wkt", "spatial_ref"):
            text = context.attribute(mapping, key, values.text)
            if text and (found := references.from_wkt(text)) is not None:
                return found
    return None


def _chunk(context: Context, array: Node) -> tuple[int, int] | None:
    """Rows and columns of a chunk: the last two axes, where nothing else is said of them."""
    chunk = context.member(array, "codecs", inner_chunk) or context.member(array, "chunk_grid", values.chunk_shape)
    dimensions, names = context.spatial_dimensions(array), context.dimension_names(array)
    if chunk is None or len(chunk) < 2:
        return None
    if dimensions is None or names is None or len(names) != len(chunk):
        return chunk[-2], chunk[-1]
    return chunk[names.index(dimensions[0])], chunk[names.index(dimensions[1])]


_LEGACY = frozenset({"legacy-0.4"})
RULES = (
    Rule("GZ-10", "GeoZarr 0.4, DataArray", "Axes have names", check_dimensions, profiles=_LEGACY),
    Rule(
        "GZ-11",
        "GeoZarr 0.4, Metadata",
        "Variables have a standard_name, data a grid_mapping",
        check_names,
        profiles=_LEGACY,
    ),
    Rule(
        "GZ-20",
        "GeoZarr 0.4, Multiscales Metadata",
        "multiscales of an array have a set and a method",
        check_form,
        profiles=_LEGACY,
    ),
    Rule(
        "GZ-21",
        "GeoZarr 0.4, Tile Matrix Set",
        "Matrices are level groups, from coarse to fine",
        check_levels,
        profiles=_LEGACY,
    ),
    Rule(
        "GZ-22", "GeoZarr 0.4, Tile Matrix Set", "The set has the CRS of the grid mapping", check_crs, profiles=_LEGACY
    ),
    Rule("GZ-23", "GeoZarr 0.4, Multiscales Encoding", "Chunks are tiles", check_chunks, profiles=_LEGACY),
)
