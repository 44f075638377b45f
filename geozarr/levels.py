"""Levels of a pyramid: each level's grid, what it derives from, and the group attributes that say so.

Level 0 is the finest. A tile matrix id is not a level number: matrix "0" of a quad set is the coarsest (TMS-24), so
levels and matrices are matched by their ids alone.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from geozarr import tms as tms_module
from geozarr.conventions import multiscales, proj, registration, spatial
from geozarr.conventions.multiscales import LayoutItem, Multiscales
from geozarr.errors import (
    GridMismatchError,
    MetadataError,
    ParameterError,
    TileOutsideLimitsError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from geozarr.crs import CRS
    from geozarr.grid import Grid
    from geozarr.tms import TileLimits, TileMatrixSet

# Cells of a level; what nested matrices may be apart, summed over ever coarser pairs (1 + 1/2 + 1/4 ...).
ALIGNMENT_TOLERANCE = 2 * tms_module.NESTING_TOLERANCE
USUAL_DIMENSIONS = ("y", "x")  # names of rows and columns that every reader knows


@dataclass(frozen=True)
class Level:
    """One level.

    Parameters
    ----------
    asset : str
        Path of its group, relative to the multiscale group; its last part is the tile matrix id where there is one.
    grid : Grid
        Its pixels.
    derived_from : str or None
        Asset of the level that its pixels aggregate; None for the finest.
    limits : TileLimits or None
        Tiles it stores, where the pyramid is aligned with a TileMatrixSet.
    """

    asset: str
    grid: Grid
    derived_from: str | None = None
    limits: TileLimits | None = None

    @property
    def name(self) -> str:
        """The last part of its path: the tile matrix id where there is one."""
        return self.asset.rpartition("/")[2]


@dataclass(frozen=True)
class Levels:
    """All levels of one pyramid, finest first.

    Parameters
    ----------
    levels : tuple of Level
        At least one.
    dimensions : tuple of (str, str)
        Names of the row and the column dimension.
    resampling_method : str or None
        How coarser levels follow from finer ones.
    tms : TileMatrixSet or None
        The matrices of the levels (no others), where the pyramid is aligned with a set.

    Raises
    ------
    GridMismatchError
        If levels differ in CRS, are not ordered from fine to coarse, or do not lie where their tiles do.
    MetadataError
        If an asset is used twice or is no path, or `derived_from` names no level or leads in a circle.
    TileOutsideLimitsError, UnknownNameError
        If the limits of a level name a tile or a matrix that `tms` does not have.
    """

    levels: tuple[Level, ...]
    dimensions: tuple[str, str] = USUAL_DIMENSIONS
    resampling_method: str | None = None
    tms: TileMatrixSet | None = None

    def __post_init__(self) -> None:
        assets = [level.asset for level in self.levels]
        if not assets or len(set(assets)) != len(assets):
            raise MetadataError("multiscales", "layout[].asset", found=assets, expected="at least one, each once")
        for asset in assets:
            if not multiscales.is_path(asset):
                raise MetadataError("multiscales", "layout[].asset", found=asset, expected="a path of node names")
        for before, level in zip(self.levels, self.levels[1:], strict=False):
            if level.grid.crs != before.grid.crs:
                raise GridMismatchError(f"CRS of level {level.asset}", found=level.grid.crs, expected=before.grid.crs)
            if level.grid.cell_size[0] < before.grid.cell_size[0]:
                raise GridMismatchError(
                    f"cell size of level {level.asset}",
                    found=level.grid.cell_size,
                    expected=f"at least that of {before.asset}, {before.grid.cell_size}",
                )
        known = set(assets)
        for level in self.levels:
            if level.derived_from is not None and level.derived_from not in known:
                raise MetadataError(
                    "multiscales",
                    f"derived_from of {level.asset}",
                    found=level.derived_from,
                    expected=f"one of {assets}",
                )
        self._require_no_circle()
        for level in self.levels:
            _require_aligned(level, self.tms)

    def _require_no_circle(self) -> None:
        parents = {level.asset: level.derived_from for level in self.levels}
        ends: set[str] = set()  # levels from which the way is known to end, so that each is walked once
        for asset in parents:
            way: dict[str, None] = {}
            step: str | None = asset
            while step is not None and step not in ends:
                if step in way:
                    expected = "levels that lead back to one without it"
                    raise MetadataError(
                        "multiscales", f"derived_from of {asset}", found=[*way, step], expected=expected
                    )
                way[step] = None
                step = parents[step]
            ends.update(way)

    @property
    def finest(self) -> Level:
        """Level 0."""
        return self.levels[0]

    @property
    def crs(self) -> CRS:
        """The CRS of all levels."""
        return self.finest.grid.crs

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets, finest first."""
        return tuple(level.asset for level in self.levels)

    def level(self, asset: str) -> Level:
        """Return the level with that asset.

        Raises
        ------
        UnknownNameError
            If there is none.
        """
        for level in self.levels:
            if level.asset == asset:
                return level
        raise UnknownNameError("level", asset, self.assets)

    def to_attributes(self) -> dict[str, Any]:
        """Attributes of the multiscale group (SPEC section 6)."""
        by_asset = {level.asset: level for level in self.levels}
        items = [_layout_item(level, by_asset.get(level.derived_from or "")) for level in self.levels]
        limits = {level.name: level.limits.to_document() for level in self.levels if level.limits is not None}
        document = Multiscales(
            layout=tuple(items),
            resampling_method=self.resampling_method,
            tile_matrix_set=self.tms.to_document() if self.tms else None,
            tile_matrix_limits=limits if self.tms else None,
        )
        return {
            **registration.to_attributes(registration.MULTISCALES, registration.PROJ, registration.SPATIAL),
            **document.to_attributes(),
            **proj.to_attributes(self.crs),
            **spatial.group_attributes(dimensions=self.dimensions, bbox=self.finest.grid.bounds),
        }


def level_attributes(grid: Grid, *, dimensions: tuple[str, str]) -> dict[str, Any]:
    """Attributes that a level group and each of its data arrays carry: the one-step rule makes no other node serve."""
    return {
        **registration.to_attributes(registration.PROJ, registration.SPATIAL),
        **proj.to_attributes(grid.crs),
        **spatial.grid_attributes(grid, dimensions=dimensions),
    }


def from_attributes(attributes: dict[str, Any], *, node: str = "/") -> Levels:
    """Read the levels of a multiscale group from its own attributes; the tolerant inverse of `Levels.to_attributes`.

    The conventions are matched by UUID or by any of their URLs; levels may be listed in any order and come back
    finest first; a group-level `spatial:transform` does not stand in for a level's.

    Parameters
    ----------
    attributes : dict
        Attributes of the group.
    node : str
        Path of the group, for messages.

    Raises
    ------
    MetadataError
        If the conventions are not registered, or a level lacks its shape or transform.
    GridMismatchError, TileOutsideLimitsError, UnknownNameError
        If levels and tile matrices contradict each other.
    UnsupportedError
        If the tile matrices of a level have rows of coalesced tiles, or their CRS is given by `referenceSystem`.
    """
    known = registration.from_attributes(attributes, node=node)
    for needed in (registration.MULTISCALES, registration.PROJ, registration.SPATIAL):
        if needed not in known:
            raise MetadataError(
                node,
                registration.KEY,
                found=[item.name for item in known],
                expected=f"{needed.name} among them",
            )
    crs = proj.from_attributes(attributes, node=node)
    if crs is None:
        raise MetadataError(node, "proj:wkt2", found=None, expected="a CRS at the multiscale group")
    document = multiscales.from_attributes(attributes, node=node)
    tms, limits = _tile_matrices(document, node)
    levels = []
    for item in document.layout:
        keys = spatial.from_attributes(item.extra, node=f"{node} layout {item.asset}")
        grid = keys.grid(crs, node=f"{node} layout {item.asset}")
        levels.append(Level(item.asset, grid, item.derived_from, limits.get(item.asset.rpartition("/")[2])))
    levels.sort(key=lambda level: level.grid.cell_size)
    dimensions = spatial.from_attributes(attributes, node=node).dimensions or USUAL_DIMENSIONS
    return Levels(tuple(levels), dimensions, document.resampling_method, tms)


def from_tms(tms: TileMatrixSet, limits: TileLimits, *, count: int, resampling_method: str | None = None) -> Levels:
    """Lay out `count` levels on nested matrices from the limits of the coarsest one.

    All levels span the same box, so sizes double exactly and chunk offsets are zero.

    Parameters
    ----------
    tms : TileMatrixSet
        The set.
    limits : TileLimits
        Tiles of the coarsest level.
    count : int
        Number of levels, at least 1.
    resampling_method : str, optional
        Written to the layout.

    Raises
    ------
    GridMismatchError
        If two of the matrices do not nest by 2; the message says why.
    ParameterError
        If `count` is below 1, or above the number of matrices from the coarsest level on.
    TileOutsideLimitsError, UnknownNameError
        If the limits name tiles or a matrix that the set does not have.
    """
    first = tms.index_of(limits.tileMatrix)
    ids = tms.ids[first : first + max(count, 0)]
    if count < 1 or len(ids) < count:
        raise ParameterError("count", found=count, expected=f"1 to {len(tms.ids) - first} levels")
    chain = [limits]
    for coarser, finer in itertools.pairwise(ids):
        reason = tms.why_not_nested(finer=finer, coarser=coarser)
        if reason:
            raise GridMismatchError(reason, found="levels that do not nest", expected="2 x 2 tiles in each tile")
        chain.append(chain[-1].refine(tms.matrix(finer)))
    finest = tms.grid(chain[-1])
    levels: list[Level] = []
    for step, item in enumerate(reversed(chain)):
        # Coarsening the finest grid, rather than asking the set again, keeps the corners bit-equal on all levels.
        levels.append(
            Level(
                item.tileMatrix,
                finest.coarsen(2**step),
                levels[-1].asset if levels else None,
                item,
            )
        )
    return Levels(tuple(levels), resampling_method=resampling_method, tms=tms.subset(ids))


def from_halving(
    grid: Grid, *, count: int, dimensions: tuple[str, str] = USUAL_DIMENSIONS, resampling_method: str | None = None
) -> Levels:
    """Lay out a native pyramid: level 0 is the grid itself, each further one half as fine, sizes rounded up.

    `dimensions` are the names of rows and columns.

    Raises
    ------
    ParameterError
        If `count` is below 1.
    """
    if count < 1:
        raise ParameterError("count", found=count, expected="at least 1 level")
    levels: list[Level] = []
    for step in range(count):
        levels.append(Level(str(step), grid.coarsen(2**step), levels[-1].asset if levels else None))
    return Levels(tuple(levels), dimensions, resampling_method)


def moved(levels: Levels, folder: str) -> Levels:
    """Put the groups of all levels below a folder; the empty one leaves them where they are."""
    if not folder:
        return levels

    def path(asset: str | None) -> str | None:
        return None if asset is None else f"{folder}/{asset}"

    found = (
        replace(level, asset=f"{folder}/{level.asset}", derived_from=path(level.derived_from))
        for level in levels.levels
    )
    return replace(levels, levels=tuple(found))


def _layout_item(level: Level, source: Level | None) -> LayoutItem:
    scale = (1.0, 1.0)
    if source is not None:
        (x, y), (source_x, source_y) = level.grid.cell_size, source.grid.cell_size
        scale = (_ratio(y / source_y), _ratio(x / source_x))
    return LayoutItem(
        asset=level.asset,
        derived_from=level.derived_from,
        scale=scale,
        translation=(0.0, 0.0),
        extra=spatial.layout_attributes(level.grid),
    )


def _require_aligned(level: Level, tms: TileMatrixSet | None) -> None:
    """Refuse a level whose pixels are not those of its tiles: a reader would serve them in the wrong place."""
    if level.limits is None:
        return
    if tms is None or level.limits.tileMatrix != level.name:
        expected = level.name if tms is not None else "none, without a TileMatrixSet"
        raise GridMismatchError(f"tile matrix of level {level.asset}", found=level.limits.tileMatrix, expected=expected)
    tiles = tms.grid(level.limits)
    if not level.grid.crs.is_same_place(tiles.crs):
        raise GridMismatchError(f"CRS of level {level.asset}", found=level.grid.crs, expected=tiles.crs)
    if level.grid.shape != tiles.shape:
        raise GridMismatchError(f"shape of level {level.asset}", found=level.grid.shape, expected=tiles.shape)
    drift = max(
        math.dist(~tiles.transform @ (level.grid.transform @ corner), corner)
        for corner in ((0, 0), (tiles.width, 0), (0, tiles.height), (tiles.width, tiles.height))
    )
    if drift > ALIGNMENT_TOLERANCE:
        found = f"corners up to {drift:.3g} cells off"
        raise GridMismatchError(f"position of level {level.asset}", found=found, expected=f"that of {level.limits}")


def _ratio(value: float) -> float:
    """Take off the rounding noise of a quotient of two cell sizes."""
    return float(round(value)) if abs(value - round(value)) < 1e-9 else value


def _tile_matrices(document: Multiscales, node: str) -> tuple[TileMatrixSet | None, dict[str, TileLimits]]:
    if document.tile_matrix_set is None:
        return None, {}
    where = f"{node} multiscales.{multiscales.TILE_MATRIX_SET}"
    tms = tms_module.from_document(document.tile_matrix_set, node=where)
    limits = tms_module.limits_from_documents(document.tile_matrix_limits or {}, node=where)
    for matrix_id, item in limits.items():
        whole = tms.matrix(matrix_id).limits
        if not whole.contains(item.maxTileRow, item.maxTileCol):
            raise TileOutsideLimitsError((matrix_id, item.maxTileRow, item.maxTileCol), whole)
    return tms, limits
