"""`multiscales` as GeoZarr 0.4 has them: on data arrays, by a tile matrix set whose ids are the names of level groups.

The document is CC BY 4.0, `geozarr-spec.md` of zarr-developers/geozarr-spec before 2423a51. What its example spells
otherwise than its text is read both ways (SPEC GZ-20).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance import values
from conformance.tree import is_legal_name
from geozarr import tms as geozarr_tms
from geozarr.conventions.multiscales import KEY, LIMITS_KEYS
from geozarr.conventions.multiscales import TILE_MATRIX_SET_0_4 as TILE_MATRIX_SET
from geozarr.errors import GeoZarrError
from geozarr.store import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.report import Pointer
    from conformance.tree import Node

PLACE: Pointer = ("attributes", KEY)
SET: Pointer = (*PLACE, TILE_MATRIX_SET)
METHODS = (
    *("nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "mode", "gauss"),
    *("max", "min", "med", "q1", "q3", "sum", "rms"),
)


@dataclass(frozen=True)
class Matrix:
    """One tile matrix, as far as 0.4 goes by it.

    Parameters
    ----------
    id : str
        Also the path of the level's group.
    tile : tuple of (int, int) or None
        Rows and columns of a tile, in cells; None where they are not stated.
    scale : float or None
        `scaleDenominator`, else `cellSize`: the larger, the coarser.
    """

    id: str
    tile: tuple[int, int] | None
    scale: float | None


@dataclass(frozen=True)
class Statement:
    """`multiscales` of an array, or of several that say the same.

    Parameters
    ----------
    node : Node
        The first array that carries it.
    document : dict
        The object.
    matrices : tuple of Matrix or None
        Of its set, in the order of the set; None where the set cannot be read.
    limits : dict or None
        By matrix id, as written; None where there are none of this form.
    home : str
        Path of the group in which the levels are.
    """

    node: Node
    document: dict[str, Any]
    matrices: tuple[Matrix, ...] | None
    limits: dict[str, Any] | None
    home: str

    @property
    def is_inline(self) -> bool:
        """True where the set itself stands here, not its name."""
        return isinstance(self.document.get(TILE_MATRIX_SET), dict)

    @property
    def limits_key(self) -> str | None:
        """Key under which it states limits."""
        return limits_key(self.document)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the levels that it says there are: those with limits, else all of the set."""
        if self.limits is not None:
            return tuple(self.limits)
        return tuple(matrix.id for matrix in self.matrices or ())


def statements(context: Context) -> Iterator[Statement]:
    """Read the statements of all arrays, equal ones below one home once.

    What has been reported of the first of equal ones holds for all of them, so that it is read all the same.
    """
    seen: set[tuple[str, str]] = set()
    for array in context.tree.arrays:
        document = array.attributes.get(KEY)
        if not isinstance(document, dict):
            continue
        matrices = read_set(document.get(TILE_MATRIX_SET))
        limits = document.get(limits_key(document) or "")
        limits = limits if isinstance(limits, dict) else None
        ids = tuple(limits or ()) + tuple(matrix.id for matrix in matrices or ())
        home = _home(context, array, ids)
        key = (home, json.dumps(document, sort_keys=True))
        if key not in seen:
            seen.add(key)
            yield Statement(array, document, matrices, limits, home)


def limits_key(document: dict[str, Any]) -> str | None:
    """Name the key of the limits: the text of 0.4 and its example differ."""
    return next((key for key in LIMITS_KEYS if key in document), None)


def read_set(value: Any) -> tuple[Matrix, ...] | None:
    """Read a tile matrix set: an inline one, or a registered one by its name or URI; None where it is neither."""
    if isinstance(value, str):
        known = _registered(value)
        return None if known is None else tuple(map(_matrix, known))
    listed = value.get("tileMatrices") if isinstance(value, dict) else None
    if not isinstance(listed, list) or not listed:
        return None
    found = [_matrix(item) for item in listed if isinstance(item, dict) and isinstance(item.get("id"), str)]
    return tuple(found) if len(found) == len(listed) else None


def is_address(text: str) -> bool:
    """Tell whether a text is the URI of a document, which is not fetched."""
    return "://" in text


def _registered(name: str) -> list[dict[str, Any]] | None:
    """Matrices of a registered set, by its id, its URI, or the address of OGC's example."""
    stem = name.rpartition("/")[2].removesuffix(".json").removesuffix(".json")
    if stem not in geozarr_tms.known_ids():
        return None
    try:
        found: list[dict[str, Any]] = geozarr_tms.load(stem).to_document()["tileMatrices"]
    except GeoZarrError:
        return None
    return found


def _matrix(item: dict[str, Any]) -> Matrix:
    height, width = (values.whole(item.get(key), least=1) for key in ("tileHeight", "tileWidth"))
    tile = (height, width) if height is not None and width is not None else None
    scale = values.positive(item.get("scaleDenominator")) or values.positive(item.get("cellSize"))
    return Matrix(item["id"], tile, scale)


def _home(context: Context, array: Node, ids: tuple[str, ...]) -> str:
    """Find the nearest group above an array that has one of the levels below it; else the group of the array."""
    legal = [name for name in ids if all(map(is_legal_name, name.split("/")))]
    for group in context.tree.ancestors(array.path):
        if any(join(group.path, name) in context.tree.nodes for name in legal):
            return group.path
    return array.parent
