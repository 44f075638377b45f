"""The inline tile matrix set of a pyramid, and its limits, read leniently (OGC 17-083r4, TMS 2.0).

It rides in the `multiscales` object under the names of GeoZarr 0.4. Positions follow from `cellSize` alone;
`pointOfOrigin` stands in the axis order of the CRS and is `(x, y)` from here on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from conformance import references, values
from geozarr import tms as geozarr_tms
from geozarr.conventions.multiscales import KEY, LIMITS_KEYS, TILE_MATRIX_LIMITS, set_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.layouts import Pyramid
    from conformance.report import Place, Pointer
    from conformance.values import BBox
    from geozarr.crs import CRS
    from geozarr.tms import TileMatrixSet

_SNAKE = {
    "minTileRow": "min_tile_row",
    "maxTileRow": "max_tile_row",
    "minTileCol": "min_tile_col",
    "maxTileCol": "max_tile_col",
}


@dataclass(frozen=True)
class Matrix:
    """One tile matrix as written, with what of it can be used; None for what is absent, malformed or reported.

    Lengths are in CRS units.
    """

    index: int
    document: dict[str, Any]
    id: str | None
    scale_denominator: float | None
    cell_size: float | None
    origin: tuple[float, float] | None
    tile: tuple[int, int] | None
    """Rows and columns of a tile, in cells."""
    size: tuple[int, int] | None
    """Rows and columns of the matrix, in tiles."""
    is_bottom_left: bool
    place: Pointer
    """Where the matrix stands in the document of the multiscale group."""

    def pointer(self, *keys: str | int) -> Pointer:
        """Point at a value of the matrix."""
        return (*self.place, *keys)

    @property
    def extent(self) -> BBox | None:
        """Box of the whole matrix."""
        return extent_at(self, self.origin) if self.origin is not None else None

    @property
    def top_left(self) -> tuple[float, float] | None:
        """Top left corner of the whole matrix."""
        extent = self.extent
        return (extent[0], extent[3]) if extent is not None else None


@dataclass(frozen=True)
class TileSet:
    """The set of a pyramid.

    Parameters
    ----------
    pyramid : Pyramid
        That carries it.
    document : dict
        As written.
    crs : CRS or None
        None where it cannot be used.
    matrices : tuple of Matrix
        Those that are objects, in the order of the document.
    registered : TileMatrixSet or None
        The registered set that it claims to be.
    """

    pyramid: Pyramid
    document: dict[str, Any]
    crs: CRS | None
    matrices: tuple[Matrix, ...]
    registered: TileMatrixSet | None

    def pointer(self, *keys: str | int) -> Pointer:
        """Point at the set, or at something in it."""
        return set_pointer(self.pyramid, *keys)

    def place(self, matrix: Matrix, *keys: str | int) -> Place:
        """Name a value of a matrix."""
        return self.pyramid.node.path, matrix.pointer(*keys)

    def by_id(self) -> dict[str, Matrix]:
        """Matrices by id."""
        return {matrix.id: matrix for matrix in self.matrices if matrix.id is not None}


@dataclass(frozen=True)
class Limits:
    """Tiles of one matrix: first and last row and column, both included."""

    key: str | int
    matrix: str
    rows: tuple[int, int]
    cols: tuple[int, int]


def extent_at(matrix: Matrix, origin: tuple[float, float]) -> BBox | None:
    """Box of a matrix if its origin were there; None where a size is not known."""
    if matrix.tile is None or matrix.size is None or matrix.cell_size is None:
        return None
    height = matrix.tile[0] * matrix.size[0] * matrix.cell_size
    width = matrix.tile[1] * matrix.size[1] * matrix.cell_size
    x, y = origin
    return (x, y, x + width, y + height) if matrix.is_bottom_left else (x, y - height, x + width, y)


def read(context: Context, pyramid: Pyramid) -> TileSet | None:
    """Read the set of a pyramid; None where it has none inline."""
    document = stated(pyramid)
    if not isinstance(document, dict):
        return None
    is_void = context.is_void(pyramid.node.path, *set_pointer(pyramid, "crs"))
    crs = None if is_void else crs_of(document.get("crs"))
    listed = document.get("tileMatrices")
    matrices = tuple(
        _matrix(context, pyramid, index, item, crs)
        for index, item in enumerate(listed if isinstance(listed, list) else ())
        if isinstance(item, dict)
    )
    return TileSet(pyramid, document, crs, matrices, _registered(document))


def read_all(context: Context) -> Iterator[TileSet]:
    """Read the sets of all pyramids: anew for each rule, since findings void parts of them."""
    for pyramid in context.layouts:
        tile_set = read(context, pyramid)
        if tile_set is not None:
            yield tile_set


def matrices(context: Context) -> Iterator[tuple[TileSet, Matrix]]:
    """Read the matrices of all pyramids, each with its set."""
    for tile_set in read_all(context):
        for matrix in tile_set.matrices:
            yield tile_set, matrix


def crs_of(value: Any) -> CRS | None:
    """Read the `crs` of a set: a URI, `{"uri": ...}` or `{"wkt": PROJJSON}`; None where it gives no CRS."""
    if isinstance(value, dict) and "wkt" in value:
        return references.from_projjson(value["wkt"])
    text = value.get("uri") if isinstance(value, dict) else value
    return references.from_uri(text) if isinstance(text, str) else None


def stated(pyramid: Pyramid) -> Any:
    """Return the tile matrix set that a pyramid states, whatever it is; None where it states none."""
    return pyramid.multiscales.get(set_key(pyramid.multiscales))


def set_pointer(pyramid: Pyramid, *keys: str | int) -> Pointer:
    """Point at the tile matrix set of a pyramid, or at something in it."""
    return ("attributes", KEY, set_key(pyramid.multiscales), *keys)


def limits_key(pyramid: Pyramid) -> str | None:
    """Name of the key under which a pyramid states limits."""
    return next((key for key in LIMITS_KEYS if key in pyramid.multiscales), None)


def limits_pointer(pyramid: Pyramid, *keys: str | int) -> Pointer:
    """Point at the limits of a pyramid, or at one of them."""
    return ("attributes", KEY, limits_key(pyramid) or TILE_MATRIX_LIMITS, *keys)


def limits_items(pyramid: Pyramid) -> list[tuple[str | int, Any]]:
    """Limits as written, by matrix id, or by position where they are an array as in TMS 2.0."""
    document = pyramid.multiscales.get(limits_key(pyramid) or "")
    if isinstance(document, dict):
        return list(document.items())
    return list(enumerate(document)) if isinstance(document, list) else []


def limits_of(key: str | int, item: Any) -> Limits | None:
    """Read limits of one matrix; None where they have not the form."""
    if not isinstance(item, dict):
        return None
    matrix = item.get("tileMatrix", key)
    numbers = [values.whole(item.get(camel, item.get(snake))) for camel, snake in _SNAKE.items()]
    if not isinstance(matrix, str) or None in numbers:
        return None
    row, last_row, col, last_col = (number for number in numbers if number is not None)
    return Limits(key, matrix, (row, last_row), (col, last_col)) if row <= last_row and col <= last_col else None


def _matrix(context: Context, pyramid: Pyramid, index: int, item: dict[str, Any], crs: CRS | None) -> Matrix:
    place = set_pointer(pyramid, "tileMatrices", index)

    def usable(key: str) -> Any:
        return None if context.is_void(pyramid.node.path, *place, key) else item.get(key)

    def pair(first: str, second: str) -> tuple[int, int] | None:
        a, b = values.whole(usable(first), least=1), values.whole(usable(second), least=1)
        return (a, b) if a is not None and b is not None else None

    origin = values.numbers(usable("pointOfOrigin"), count=2)
    if origin is not None and crs is not None and crs.is_northing_first:
        origin = (origin[1], origin[0])
    return Matrix(
        index=index,
        document=item,
        id=values.text(usable("id")),
        scale_denominator=values.positive(usable("scaleDenominator")),
        cell_size=values.positive(usable("cellSize")),
        origin=(origin[0], origin[1]) if origin is not None and crs is not None else None,
        tile=pair("tileHeight", "tileWidth"),
        size=pair("matrixHeight", "matrixWidth"),
        is_bottom_left=usable("cornerOfOrigin") == "bottomLeft",
        place=place,
    )


def _registered(document: dict[str, Any]) -> TileMatrixSet | None:
    """Find the registered set whose URI a document states; two sets of one URI are told apart by id."""
    uri = document.get("uri")
    known = [item for item in _known() if item.uri is not None and item.uri == uri]
    return next((item for item in known if item.id == document.get("id")), known[0] if known else None)


@lru_cache(maxsize=1)
def _known() -> tuple[TileMatrixSet, ...]:
    return tuple(geozarr_tms.load(name) for name in geozarr_tms.known_ids())
