"""OGC TileMatrixSet 2.0 (17-083r4): matrices, limits, nesting, and tile <-> window <-> bounds.

The registered sets come from morecantile; any TMS 2.0 JSON document is read as well, also with ids that are not
numbers. Positions follow from `cellSize`, never from `scaleDenominator` (SPEC TMS-05), `pointOfOrigin` is in the
axis order of the CRS (TMS-06), and nothing is ever clamped: a tile outside its matrix is an error, and a point
outside has an index outside.

How a tile becomes pixels: a matrix is one large raster of `matrixHeight * tileHeight` rows whose row 0 is at the
top, whatever `cornerOfOrigin` says. Tile `(row, col)` is a window of that raster, and `TileLimits` cut out the part
that a pyramid level stores. Field names of the standard keep the standard's spelling.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affine import Affine

from geozarr import crs as crs_module
from geozarr.errors import (
    MetadataError,
    ParameterError,
    TileOutsideLimitsError,
    UnknownNameError,
    UnsupportedError,
)
from geozarr.grid import Bounds, Grid
from geozarr.window import Window

if TYPE_CHECKING:
    import morecantile

    from geozarr.crs import CRS

PIXEL_SIZE = 0.28e-3  # metres; OGC 17-083r4, 6.1.1: the standardised rendering pixel
NESTING_TOLERANCE = 0.01  # cells of the finer matrix, at the far corner; the warp's own error bound
_MOST = 2**63  # rows, columns or tiles; products of two are still float64
_CODE_URI = re.compile(r"^https?://www\.opengis\.net/def/crs/([^/\s]+)/([^/\s]+)/([^/\s]+)$")
_CODE_URN = re.compile(r"^urn:ogc:def:crs:([^:\s]+):([^:\s]*):([^:\s]+)$")


@dataclass(frozen=True)
class VariableMatrixWidth:
    """Rows whose tiles are `coalesce` times as wide (17-083r4, 6.3.2).

    Raises
    ------
    MetadataError
        If `coalesce` is below 2, or the rows run backwards.
    """

    coalesce: int
    minTileRow: int
    maxTileRow: int

    def __post_init__(self) -> None:
        if self.coalesce < 2:
            raise MetadataError("variableMatrixWidths", "coalesce", found=self.coalesce, expected="at least 2")
        if not 0 <= self.minTileRow <= self.maxTileRow:
            raise MetadataError(
                "variableMatrixWidths",
                "minTileRow, maxTileRow",
                found=(self.minTileRow, self.maxTileRow),
                expected="0 <= minimum <= maximum",
            )


@dataclass(frozen=True)
class TileMatrix:
    """One scale of a set. Lengths are in CRS units.

    Parameters
    ----------
    id : str
        Name of the matrix in the set.
    scaleDenominator, cellSize : float
        Scale and side of a cell; the side counts.
    pointOfOrigin : tuple of (float, float)
        Corner of tile (0, 0) as `(x, y)`, whatever the axis order of the document was.
    tileWidth, tileHeight : int
        Cells in a tile.
    matrixWidth, matrixHeight : int
        Tiles in the matrix.
    cornerOfOrigin : str
        "topLeft" or "bottomLeft".
    variableMatrixWidths : tuple of VariableMatrixWidth
        Rows with wider tiles.

    Raises
    ------
    MetadataError
        If a size is below 1, a length is not above 0, a corner is unknown, or the coalesced rows are not rows of the
        matrix, are named twice, or do not divide its width.
    """

    id: str
    scaleDenominator: float
    cellSize: float
    pointOfOrigin: tuple[float, float]
    tileWidth: int
    tileHeight: int
    matrixWidth: int
    matrixHeight: int
    cornerOfOrigin: str = "topLeft"
    variableMatrixWidths: tuple[VariableMatrixWidth, ...] = ()

    def __post_init__(self) -> None:
        node = f"tileMatrix {self.id!r}"
        for name in ("tileWidth", "tileHeight", "matrixWidth", "matrixHeight"):
            if getattr(self, name) < 1:
                raise MetadataError(node, name, found=getattr(self, name), expected="a whole number of at least 1")
        for name in ("cellSize", "scaleDenominator"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise MetadataError(node, name, found=value, expected="a number above 0")
        if not all(math.isfinite(value) for value in self.pointOfOrigin):
            raise MetadataError(node, "pointOfOrigin", found=self.pointOfOrigin, expected="two finite numbers")
        if self.cornerOfOrigin not in ("topLeft", "bottomLeft"):
            raise MetadataError(
                node,
                "cornerOfOrigin",
                found=self.cornerOfOrigin,
                expected="'topLeft' or 'bottomLeft'",
            )
        next_row = 0
        for rows in sorted(self.variableMatrixWidths, key=lambda rows: rows.minTileRow):
            fits = next_row <= rows.minTileRow and rows.maxTileRow < self.matrixHeight
            if not fits or self.matrixWidth % rows.coalesce:
                expected = f"rows of the matrix, each once, and a divisor of its width {self.matrixWidth}"
                raise MetadataError(node, "variableMatrixWidths", found=rows, expected=expected)
            next_row = rows.maxTileRow + 1

    @property
    def top_left(self) -> tuple[float, float]:
        """`(x, y)` of the top left corner of the whole matrix."""
        x, y = self.pointOfOrigin
        if self.cornerOfOrigin == "bottomLeft":
            y += self.matrixHeight * self.tileHeight * self.cellSize
        return x, y

    @property
    def limits(self) -> TileLimits:
        """Every tile of the matrix."""
        return TileLimits(self.id, 0, self.matrixHeight - 1, 0, self.matrixWidth - 1)

    def contains(self, row: int, col: int) -> bool:
        """Tell whether the matrix has that tile."""
        return 0 <= row < self.matrixHeight and 0 <= col < self.matrixWidth


@dataclass(frozen=True)
class TileLimits:
    """The tiles of one matrix that exist, both ends included (17-083r4, 6.4: tileMatrixSetLimits)."""

    tileMatrix: str
    minTileRow: int
    maxTileRow: int
    minTileCol: int
    maxTileCol: int

    def __post_init__(self) -> None:
        if not (0 <= self.minTileRow <= self.maxTileRow and 0 <= self.minTileCol <= self.maxTileCol):
            raise MetadataError(
                f"limits of tileMatrix {self.tileMatrix!r}",
                "minTileRow, maxTileRow, minTileCol, maxTileCol",
                found=(self.minTileRow, self.maxTileRow, self.minTileCol, self.maxTileCol),
                expected="0 <= minimum <= maximum",
            )

    @property
    def height(self) -> int:
        """Tiles from the first to the last row."""
        return self.maxTileRow - self.minTileRow + 1

    @property
    def width(self) -> int:
        """Tiles from the first to the last column."""
        return self.maxTileCol - self.minTileCol + 1

    def contains(self, row: int, col: int) -> bool:
        """Tell whether a tile is within the limits."""
        return self.minTileRow <= row <= self.maxTileRow and self.minTileCol <= col <= self.maxTileCol

    def __str__(self) -> str:
        return (
            f"rows {self.minTileRow} to {self.maxTileRow}, columns {self.minTileCol} to {self.maxTileCol} "
            f"of tile matrix {self.tileMatrix!r}"
        )

    def coarsen(self, matrix: TileMatrix) -> TileLimits:
        """Limits in the next coarser, nested matrix: the parents of these tiles."""
        return TileLimits(
            matrix.id,
            self.minTileRow // 2,
            self.maxTileRow // 2,
            self.minTileCol // 2,
            self.maxTileCol // 2,
        )

    def refine(self, matrix: TileMatrix) -> TileLimits:
        """Limits in the next finer, nested matrix: all children of these tiles."""
        return TileLimits(
            matrix.id,
            self.minTileRow * 2,
            self.maxTileRow * 2 + 1,
            self.minTileCol * 2,
            self.maxTileCol * 2 + 1,
        )

    def to_document(self) -> dict[str, Any]:
        """Return the object of tileMatrixLimits.json."""
        return {
            "tileMatrix": self.tileMatrix,
            "minTileRow": self.minTileRow,
            "maxTileRow": self.maxTileRow,
            "minTileCol": self.minTileCol,
            "maxTileCol": self.maxTileCol,
        }


@dataclass(frozen=True)
class TileMatrixSet:
    """A set of matrices in one CRS, coarsest first.

    Parameters
    ----------
    id : str
        Name; "custom" where the document gives none.
    crs : CRS
        Coordinate reference system of all matrices.
    tileMatrices : tuple of TileMatrix
        Sorted from the largest cell to the smallest.
    uri : str or None
        Identifier of a registered set.
    title : str or None
        For people.

    Raises
    ------
    MetadataError
        If there is no matrix, or an id or a scaleDenominator is used twice (17-083r4, requirement 1).
    """

    id: str
    crs: CRS
    tileMatrices: tuple[TileMatrix, ...]
    uri: str | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        node = f"tileMatrixSet {self.id!r}"
        if not self.tileMatrices:
            raise MetadataError(node, "tileMatrices", found=[], expected="at least one tile matrix")
        for name in ("id", "scaleDenominator"):
            counts = Counter(getattr(matrix, name) for matrix in self.tileMatrices)
            twice = sorted(value for value, count in counts.items() if count > 1)
            if twice:
                raise MetadataError(node, f"tileMatrices[].{name}", found=twice, expected="each value once")
        ordered = tuple(sorted(self.tileMatrices, key=lambda matrix: -matrix.cellSize))
        object.__setattr__(self, "tileMatrices", ordered)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {matrix.id: index for index, matrix in enumerate(self.tileMatrices)}

    @property
    def ids(self) -> tuple[str, ...]:
        """Matrix ids, coarsest first."""
        return tuple(self._index)

    def index_of(self, matrix_id: str) -> int:
        """Position of a matrix, 0 being the coarsest.

        Raises
        ------
        UnknownNameError
            If the set has no such matrix.
        """
        if matrix_id not in self._index:
            raise UnknownNameError(f"tile matrix of {self.id}", matrix_id, self.ids)
        return self._index[matrix_id]

    def matrix(self, matrix_id: str) -> TileMatrix:
        """Return the matrix with that id; raises `UnknownNameError` as `index_of` does."""
        return self.tileMatrices[self.index_of(matrix_id)]

    def tile_window(self, matrix_id: str, *, row: int, col: int) -> Window:
        """Window of a tile in the raster of its whole matrix, row 0 at the top.

        Raises
        ------
        TileOutsideLimitsError
            If the matrix has no such tile.
        UnsupportedError
            If the matrix has rows of coalesced tiles.
        """
        matrix = self.matrix(matrix_id)
        _require_plain(self, matrix)
        if not matrix.contains(row, col):
            raise TileOutsideLimitsError((matrix_id, row, col), matrix.limits)
        from_top = matrix.matrixHeight - 1 - row if matrix.cornerOfOrigin == "bottomLeft" else row
        return Window(
            from_top * matrix.tileHeight,
            col * matrix.tileWidth,
            matrix.tileHeight,
            matrix.tileWidth,
        )

    def limits_window(self, limits: TileLimits) -> Window:
        """Window of all tiles within limits, in the raster of their whole matrix."""
        ends = ((limits.minTileRow, limits.minTileCol), (limits.maxTileRow, limits.maxTileCol))
        first, last = (self.tile_window(limits.tileMatrix, row=row, col=col) for row, col in ends)
        return Window.from_bounds(
            row_start=min(first.row, last.row),
            row_stop=max(first.row_stop, last.row_stop),
            col_start=first.col,
            col_stop=last.col_stop,
        )

    def matrix_grid(self, matrix_id: str) -> Grid:
        """Grid of a whole matrix: `matrixHeight * tileHeight` rows, row 0 at the top."""
        matrix = self.matrix(matrix_id)
        x, y = matrix.top_left
        return Grid(
            (matrix.matrixHeight * matrix.tileHeight, matrix.matrixWidth * matrix.tileWidth),
            Affine(matrix.cellSize, 0.0, x, 0.0, -matrix.cellSize, y),
            self.crs,
        )

    def grid(self, limits: TileLimits) -> Grid:
        """Grid of the tiles within limits: what a level with one chunk a tile stores."""
        return self.matrix_grid(limits.tileMatrix).crop(self.limits_window(limits))

    def tile_bounds(self, matrix_id: str, *, row: int, col: int) -> Bounds:
        """Box of a tile in CRS units, `(x, y)` order; raises as `tile_window` does."""
        return self.matrix_grid(matrix_id).bounds_of(self.tile_window(matrix_id, row=row, col=col))

    def limits_of(self, matrix_id: str, bounds: Bounds) -> TileLimits:
        """Tiles of a matrix that a box touches with more than its edge.

        Parameters
        ----------
        matrix_id : str
            The matrix.
        bounds : Bounds
            Box in CRS units. The part outside the matrix is ignored.

        Raises
        ------
        TileOutsideLimitsError
            If the box touches no tile of the matrix; the tile named is the one its lower left corner would be in.
        UnsupportedError
            If the matrix has rows of coalesced tiles.
        """
        matrix = self.matrix(matrix_id)
        _require_plain(self, matrix)
        grid = self.matrix_grid(matrix_id)
        window = grid.window_of(bounds)
        inside = window.intersect(grid.window)
        if inside.is_empty:
            row, col = (window.row_stop - 1) // matrix.tileHeight, window.col // matrix.tileWidth
            if matrix.cornerOfOrigin == "bottomLeft":
                row = matrix.matrixHeight - 1 - row
            raise TileOutsideLimitsError((matrix_id, row, col), matrix.limits)
        tiles = inside.align(height=matrix.tileHeight, width=matrix.tileWidth)
        rows = tiles.row // matrix.tileHeight, tiles.row_stop // matrix.tileHeight - 1
        if matrix.cornerOfOrigin == "bottomLeft":
            rows = matrix.matrixHeight - 1 - rows[1], matrix.matrixHeight - 1 - rows[0]
        return TileLimits(matrix_id, *rows, tiles.col // matrix.tileWidth, tiles.col_stop // matrix.tileWidth - 1)

    def why_not_nested(self, *, finer: str, coarser: str) -> str | None:
        """Say why 2 x 2 tiles of one matrix are not exactly one tile of another; None where they are.

        Nesting is what lets one walk build all levels and what makes an aggregate of aggregates exact.
        """
        fine, coarse = self.matrix(finer), self.matrix(coarser)
        pair = f"tile matrices {finer!r} and {coarser!r} of {self.id}"
        if fine.variableMatrixWidths or coarse.variableMatrixWidths:
            return f"{pair} have rows of coalesced tiles"
        if (fine.tileWidth, fine.tileHeight) != (coarse.tileWidth, coarse.tileHeight):
            return f"{pair} differ in tile size"
        if fine.cornerOfOrigin != coarse.cornerOfOrigin:
            return f"{pair} differ in cornerOfOrigin"
        shift = max(abs(a - b) for a, b in zip(fine.pointOfOrigin, coarse.pointOfOrigin, strict=True))
        far = max(fine.matrixWidth * fine.tileWidth, fine.matrixHeight * fine.tileHeight)
        drift = abs(coarse.cellSize / fine.cellSize - 2) / 2 * far + shift / fine.cellSize
        if drift > NESTING_TOLERANCE:
            ratio = coarse.cellSize / fine.cellSize
            return f"{pair} have cells in the ratio {ratio:.12g}: {drift:.3g} cells apart at the far corner"
        if fine.matrixWidth < 2 * coarse.matrixWidth or fine.matrixHeight < 2 * coarse.matrixHeight:
            return f"{pair}: the finer one has fewer than 2 x 2 tiles for each tile of the coarser one"
        return None

    def subset(self, ids: tuple[str, ...]) -> TileMatrixSet:
        """Keep some of the matrices; raises `UnknownNameError` as `index_of` does."""
        return replace(self, tileMatrices=tuple(self.matrix(matrix_id) for matrix_id in ids))

    def to_document(self) -> dict[str, Any]:
        """Return the TMS 2.0 JSON document (schema tileMatrixSet.json), `pointOfOrigin` in CRS axis order.

        `orderedAxes` repeats that order in words, because morecantile and OpenLayers believe it rather than the CRS.
        """
        document: dict[str, Any] = {"id": self.id}
        if self.title:
            document["title"] = self.title
        if self.uri:
            document["uri"] = self.uri
        document["crs"] = _crs_to_document(self.crs)
        axes = ["Lon", "Lat"] if self.crs.is_geographic else ["E", "N"]
        document["orderedAxes"] = axes[::-1] if self.crs.is_northing_first else axes
        document["tileMatrices"] = [self._matrix_to_document(matrix) for matrix in self.tileMatrices]
        return document

    def _matrix_to_document(self, matrix: TileMatrix) -> dict[str, Any]:
        x, y = matrix.pointOfOrigin
        document: dict[str, Any] = {
            "id": matrix.id,
            "scaleDenominator": matrix.scaleDenominator,
            "cellSize": matrix.cellSize,
            "cornerOfOrigin": matrix.cornerOfOrigin,
            "pointOfOrigin": [y, x] if self.crs.is_northing_first else [x, y],
            "tileWidth": matrix.tileWidth,
            "tileHeight": matrix.tileHeight,
            "matrixWidth": matrix.matrixWidth,
            "matrixHeight": matrix.matrixHeight,
        }
        if matrix.variableMatrixWidths:
            document["variableMatrixWidths"] = [
                {
                    "coalesce": rows.coalesce,
                    "minTileRow": rows.minTileRow,
                    "maxTileRow": rows.maxTileRow,
                }
                for rows in matrix.variableMatrixWidths
            ]
        return document

    def to_morecantile(self) -> morecantile.TileMatrixSet:
        """Return morecantile's model, for rio-tiler.

        Raises
        ------
        UnsupportedError
            If an id is not a whole number, which morecantile asks for.
        """
        odd = [matrix_id for matrix_id in self.ids if not re.fullmatch(r"-?[0-9]+", matrix_id)]
        if odd:
            raise UnsupportedError(f"tile matrix id {odd[0]!r} in rio-tiler", "its ids are whole numbers")
        import morecantile  # noqa: PLC0415 - see `_registered`

        return morecantile.TileMatrixSet.model_validate(self.to_document())


def _registered() -> morecantile.defaults.TileMatrixSets:
    # A tenth of a second, which the processes of a build need not pay: they have the document.
    import morecantile  # noqa: PLC0415

    return morecantile.tms


def known_ids() -> tuple[str, ...]:
    """Names of the registered sets that `load` knows."""
    return tuple(sorted(_registered().list()))


def load(source: str | Path | dict[str, Any]) -> TileMatrixSet:
    """Get a set by its registered name, from a file, or from a parsed document.

    Parameters
    ----------
    source : str, Path or dict
        One of `known_ids()`; the path of a JSON file (it ends in `.json`); or the document itself.

    Raises
    ------
    UnknownNameError
        If a name is not known and is no file.
    MetadataError
        If the document is not a TMS 2.0 tileMatrixSet.
    UnsupportedError
        If its CRS is given by `referenceSystem`.
    """
    if isinstance(source, dict):
        return from_document(source)
    if source in known_ids():
        return from_document(_registered().get(str(source)).model_dump(mode="json", exclude_none=True))
    path = Path(source)
    if path.suffix == ".json" and path.is_file():
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, RecursionError, ValueError) as error:
            raise MetadataError(str(path), "document", found=str(error), expected="JSON in UTF-8") from error
        return from_document(document, node=str(path))
    raise UnknownNameError("TileMatrixSet", str(source), known_ids())


def from_document(document: Any, *, node: str = "tileMatrixSet") -> TileMatrixSet:
    """Parse a TMS 2.0 document; raises as `load` does."""
    if not isinstance(document, dict):
        raise MetadataError(node, "document", found=document, expected="a JSON object")
    # GeoZarr 0.4 kept the key that TMS 1.0 had (SPEC GZ-22).
    key = "supportedCRS" if "crs" not in document and "supportedCRS" in document else "crs"
    crs = _crs_from_document(_required(document, key, node), node=node)
    matrices = _required(document, "tileMatrices", node)
    if not isinstance(matrices, list):
        raise MetadataError(node, "tileMatrices", found=matrices, expected="an array")
    return TileMatrixSet(
        id=_text(document, "id", node) or "custom",
        crs=crs,
        tileMatrices=tuple(_matrix_from_document(matrix, crs, node) for matrix in matrices),
        uri=_text(document, "uri", node),
        title=_text(document, "title", node),
    )


def limits_from_documents(documents: Any, *, node: str = "tileMatrixSetLimits") -> dict[str, TileLimits]:
    """Parse limits, given as TMS 2.0 has them (an array) or keyed by matrix id (GeoZarr 0.4, either spelling).

    Raises
    ------
    MetadataError
        If they have another form, name a matrix twice, or an object's `tileMatrix` is not its key.
    """
    if isinstance(documents, list):
        items = [item if isinstance(item, dict) else {} for item in documents]
        given = [_text(item, "tileMatrix", node) for item in items]
        if None in given or len(set(given)) != len(given):
            raise MetadataError(node, "tileMatrix", found=given, expected="an id in each object, each id once")
        documents = dict(zip(given, items, strict=True))
    if not isinstance(documents, dict):
        raise MetadataError(
            node,
            "limits",
            found=documents,
            expected="an array, or an object keyed by tile matrix id",
        )
    names = {
        "minTileRow": "min_tile_row",
        "maxTileRow": "max_tile_row",
        "minTileCol": "min_tile_col",
        "maxTileCol": "max_tile_col",
    }
    limits = {}
    for matrix_id, item in documents.items():
        where = f"{node}/{matrix_id}"
        if not isinstance(item, dict):
            raise MetadataError(where, "limits", found=item, expected="an object")
        if item.get("tileMatrix", matrix_id) != matrix_id:
            raise MetadataError(where, "tileMatrix", found=item["tileMatrix"], expected=matrix_id)
        numbers = [_whole(item if new in item else {new: item.get(old)}, new, where) for new, old in names.items()]
        limits[str(matrix_id)] = TileLimits(str(matrix_id), *numbers)
    return limits


def _require_plain(tms: TileMatrixSet, matrix: TileMatrix) -> None:
    if matrix.variableMatrixWidths:
        raise UnsupportedError(
            f"tile matrix {matrix.id!r} of {tms.id}",
            "its rows of coalesced tiles have no single chunk grid",
        )


def _matrix_from_document(document: Any, crs: CRS, node: str) -> TileMatrix:
    if not isinstance(document, dict):
        raise MetadataError(node, "tileMatrices[]", found=document, expected="a JSON object")
    matrix_id = str(_required(document, "id", node))
    where = f"{node}/{matrix_id}"
    variable = document.get("variableMatrixWidths") or []
    if not (isinstance(variable, list) and all(isinstance(rows, dict) for rows in variable)):
        raise MetadataError(where, "variableMatrixWidths", found=variable, expected="an array of objects")
    origin = _required(document, "pointOfOrigin", where)
    if not (isinstance(origin, list | tuple) and len(origin) == 2):
        raise MetadataError(where, "pointOfOrigin", found=origin, expected="two numbers in CRS axis order")
    first, second = (_number({"pointOfOrigin": value}, "pointOfOrigin", where) for value in origin)
    return TileMatrix(
        id=matrix_id,
        scaleDenominator=_number(document, "scaleDenominator", where),
        cellSize=_number(document, "cellSize", where),
        pointOfOrigin=(second, first) if crs.is_northing_first else (first, second),
        tileWidth=_whole(document, "tileWidth", where),
        tileHeight=_whole(document, "tileHeight", where),
        matrixWidth=_whole(document, "matrixWidth", where),
        matrixHeight=_whole(document, "matrixHeight", where),
        cornerOfOrigin=document.get("cornerOfOrigin", "topLeft"),
        variableMatrixWidths=tuple(
            VariableMatrixWidth(
                _whole(rows, "coalesce", where),
                _whole(rows, "minTileRow", where),
                _whole(rows, "maxTileRow", where),
            )
            for rows in variable
        ),
    )


def _crs_to_document(crs: CRS) -> Any:
    if crs.code is None:
        return {"wkt": crs.to_projjson()}
    authority, number = crs.code.split(":")
    authority, _, edition = authority.partition("_")  # PROJ's IAU_2015 is version 2015 of IAU
    version = edition or ("1.3" if authority == "OGC" else "0")
    return f"http://www.opengis.net/def/crs/{authority}/{version}/{number}"


def _crs_from_document(value: Any, *, node: str) -> CRS:
    """Read the three forms of crs.json; an authority code or PROJJSON, never a PROJ string or a file name."""
    if isinstance(value, dict) and "wkt" in value:
        return crs_module.from_projjson(value["wkt"], node=node, key="crs")
    if isinstance(value, dict) and "referenceSystem" in value:
        raise UnsupportedError(
            "crs.referenceSystem",
            "MD_ReferenceSystem carries no definition; give a URI or PROJJSON",
        )
    text = value.get("uri") if isinstance(value, dict) else value
    match = (_CODE_URI.match(text) or _CODE_URN.match(text)) if isinstance(text, str) else None
    if match:
        authority = f"{match[1]}_{match[2]}" if match[1] == "IAU" else match[1]
        return crs_module.from_code(f"{authority}:{match[3]}", node=node, key="crs")
    if isinstance(text, str) and re.fullmatch(r"\[?[A-Za-z0-9_]+:[A-Za-z0-9_]+\]?", text):
        return crs_module.from_code(text.strip("[]"), node=node, key="crs")
    raise MetadataError(node, "crs", found=value, expected="an OGC CRS URI, {'uri': ...} or {'wkt': PROJJSON}")


def _required(document: dict[str, Any], key: str, node: str) -> Any:
    if document.get(key) is None:
        raise MetadataError(node, key, found=None, expected="a value")
    return document[key]


def _number(document: dict[str, Any], key: str, node: str) -> float:
    value = _required(document, key, node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MetadataError(node, key, found=value, expected="a number")
    try:
        return float(value)
    except OverflowError as error:
        raise MetadataError(node, key, found=value, expected="a number") from error


def _text(document: dict[str, Any], key: str, node: str) -> str | None:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise MetadataError(node, key, found=value, expected="a text")
    return value


def _whole(document: dict[str, Any], key: str, node: str) -> int:
    value = _number(document, key, node)
    if not value.is_integer() or abs(value) >= _MOST:
        raise MetadataError(node, key, found=value, expected="a whole number below 2**63")
    return int(value)


def zoom_for_cell_size(tms: TileMatrixSet, cell_size: float) -> str:
    """Matrix whose cells are nearest to a size in CRS units, by ratio.

    Raises
    ------
    ParameterError
        If the size is not a number above 0.
    """
    if not (math.isfinite(cell_size) and cell_size > 0):
        raise ParameterError("cell_size", found=cell_size, expected="a number above 0, in CRS units")
    nearest = min(tms.tileMatrices, key=lambda matrix: abs(math.log(matrix.cellSize / cell_size)))
    return nearest.id
