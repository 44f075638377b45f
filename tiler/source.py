"""An opened pyramid that reads: windows, tiles, any grid, points. This is where choosing, fetching and warping meet.

`tiler.select` says which cells, `tiler.chunks` brings them, `tiler.resample` warps what is not aligned. The service and
the rio-tiler reader both stand on `PyramidSource`, so they return the same pixels.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr import hurry
from geozarr.errors import LimitError, ParameterError, UnknownNameError
from geozarr.window import Window
from tiler import dimensions, footprint, projection, resample, select
from tiler.block import Block
from tiler.cache import BoundedCache
from tiler.chunks import ChunkReader, chunks_of
from tiler.pyramid import Band
from tiler.select import Copy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from geozarr import CRS, Grid, Levels
    from geozarr.store import StoreLike
    from geozarr.stored_array import StoredArray
    from tiler.chunks import Cached
    from tiler.dimensions import Dimension, Selector
    from tiler.footprint import Patch
    from tiler.pyramid import Pyramid
    from tiler.select import Strategy, Tileset, Warp

_COORDINATE_READERS = 8  # threads for a coordinate of many chunks, which are small and far from each other
_KEPT_DIMENSIONS = 64
_RESAMPLED = 1.5  # target cells this much larger than the level's are made of many cells, not of the nearest one


@dataclass(frozen=True)
class ReadLimits:
    """What one read may cost.

    Parameters
    ----------
    chunks : int
        Chunks fetched.
    decoded_bytes : int
        Bytes of these chunks, decoded.
    cells : int
        Cells returned, over all bands.
    """

    chunks: int = 64
    decoded_bytes: int = 256 * 2**20
    cells: int = 2**26

    def __post_init__(self) -> None:
        for name in ("chunks", "decoded_bytes", "cells"):
            if getattr(self, name) < 1:
                raise ParameterError(f"ReadLimits.{name}", found=getattr(self, name), expected="at least 1")


_SMALL = ReadLimits(chunks=8, decoded_bytes=2**22, cells=2**18)  # a tile of 256 px and four bands, or of 512 and one


class PyramidSource:
    """Reads one version of one pyramid. Safe to share among threads.

    Parameters
    ----------
    store : obstore store
        Where it is.
    pyramid : Pyramid
        What it holds.
    cache : BoundedCache
        From `tiler.chunks.chunk_cache`; may be shared among sources.
    limits : ReadLimits
        What one read may cost.
    """

    def __init__(
        self, store: StoreLike, pyramid: Pyramid, *, cache: BoundedCache[Cached], limits: ReadLimits | None = None
    ) -> None:
        self.pyramid = pyramid
        self._limits = limits or ReadLimits()
        # Stores may hold equal documents over other chunks, so the documents' hash is no key: each source has its own.
        self._chunks = ChunkReader(store, cache, object(), pyramid.manifest)
        self._dimensions: BoundedCache[Dimension] = BoundedCache(_KEPT_DIMENSIONS, lambda _: 1)

    def prepare(self) -> None:
        """Read what the first picture would have to wait for, and no picture needs by itself.

        Raises
        ------
        GeoZarrError
            If it cannot be read. Pictures are tried all the same.
        """
        self._chunks.prepare()

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """Dimensions before rows and columns of the data; raises as `dimension` does."""
        return tuple(map(self.dimension, self.pyramid.dimensions))

    def dimension(self, name: str) -> Dimension:
        """Return a dimension with its values, which are read once.

        Raises
        ------
        UnknownNameError
            If the data have no such dimension.
        ChunkReadError, StoreError, LimitError
            If its coordinate is damaged or cannot be read.
        """
        sizes = self.pyramid.dimensions
        if name not in sizes:
            raise UnknownNameError("dimension", name, tuple(sizes))
        return self._dimensions.get(name, lambda: self._read_dimension(name, sizes[name]))

    def has_read(self, names: Iterable[str]) -> bool:
        """Tell whether the values of some dimensions are at hand; those that do not exist need no reading."""
        return all(name not in self.pyramid.dimensions or self._dimensions.peek(name) is not None for name in names)

    def positions(self, selectors: Sequence[Selector]) -> dict[str, int]:
        """Choose a step along each of some dimensions.

        Parameters
        ----------
        selectors : sequence of Selector
            One for a dimension.

        Returns
        -------
        dict
            Index from 0 by name of the dimension, for `Pyramid.bands`.

        Raises
        ------
        ParameterError
            If the data have no such dimension, or it has no such step.
        ChunkReadError, StoreError, LimitError
            As `dimension` does.
        """
        return {selector.dimension: self._position(selector) for selector in selectors}

    def labelled(self, bands: Sequence[Band], positions: Mapping[str, int]) -> tuple[Band, ...]:
        """Label the bands of which steps were chosen, so that their names tell which; raises as `dimension` does."""
        return tuple(
            replace(band, label=self._label(band))
            if any(name in positions for name, _ in band.variable.leading)
            else band
            for band in bands
        )

    def read_window(self, level: int, window: Window, bands: Sequence[Band]) -> Block:
        """Read cells of one level.

        Parameters
        ----------
        level : int
            Position of the level, 0 being the finest.
        window : Window
            Rows and columns; cells outside the level come back as not valid.
        bands : sequence of Band
            Rasters of variables that the level has; at least one.

        Returns
        -------
        Block
            Shape (band, *window.shape), in the data type that holds those of all bands.

        Raises
        ------
        ChunkReadError, StoreError
            If a chunk is damaged or cannot be read.
        LimitError
            If the window costs more than the limits allow; nothing has been read then.
        """
        inside = window.intersect(Window(0, 0, *self.pyramid.levels.levels[level].grid.shape))
        masks = [self._mask_band(band) for band in bands]
        self._require_cells(window.shape, len(bands))
        self._require_affordable(level, [inside], bands, masks)
        if inside.is_empty:
            return empty_block(window.shape, bands)
        read = hurry.each(
            partial(self._read_valid, level, inside, band, partner) for band, partner in zip(bands, masks, strict=True)
        )
        if inside == window:
            values = [cells.astype(_common_dtype(bands), copy=False) for cells, _ in read]
            return Block(_stacked(values), _stacked([valid for _, valid in read]))
        block = empty_block(window.shape, bands)
        place = inside.relative_to(window).slices
        for index, (cells, valid) in enumerate(read):
            block.values[(index, *place)] = cells
            block.mask[(index, *place)] = valid
        return block

    def read_tile(self, tileset: Tileset, matrix_id: str, *, row: int, col: int, bands: Sequence[Band]) -> Block:
        """Read a tile.

        Parameters
        ----------
        tileset : Tileset
            The set as this pyramid serves it.
        matrix_id : str
            The matrix.
        row, col : int
            The tile, as the set counts it.
        bands : sequence of Band
            What to read.

        Returns
        -------
        Block
            Shape (band, tileHeight, tileWidth).

        Raises
        ------
        UnknownNameError
            If the set has no such matrix.
        TileOutsideLimitsError
            If the tile is outside the matrix, or holds nothing of the pyramid; no chunk has been read then.
        ChunkReadError, StoreError, LimitError
            As `read_window` does.
        """
        choice = tileset.choose(matrix_id, row=row, col=col, available=available_levels(bands))
        return self.read(choice, bands)

    def read_grid(
        self,
        target: Grid,
        bands: Sequence[Band],
        *,
        method: str | None = None,
        reproject_method: str | None = None,
        strategy: Strategy = "nearest",
    ) -> Block | None:
        """Read any grid in any CRS.

        Parameters
        ----------
        target : Grid
            Where values are wanted.
        bands : sequence of Band
            What to read.
        method, reproject_method : str, optional
            As in `read`.
        strategy : str
            How the level is chosen, as in `tiler.select.choose`.

        Returns
        -------
        Block or None
            Shape (band, *target.shape); None where the grid does not touch the pyramid.

        Raises
        ------
        ParameterError
            If there is no such strategy or method.
        UnsupportedError
            If there is no transformation between the two CRS.
        ChunkReadError, StoreError, LimitError
            As `read_window` does.
        """
        self._require_cells(target.shape, len(bands))
        choice = select.choose(self.pyramid.levels, target, available=available_levels(bands), strategy=strategy)
        return None if choice is None else self.read(choice, bands, method=method, reproject_method=reproject_method)

    def read(
        self,
        choice: Copy | Warp,
        bands: Sequence[Band],
        *,
        method: str | None = None,
        reproject_method: str | None = None,
    ) -> Block:
        """Read what has been chosen by `tiler.select`.

        Where the cells of a level are too many to read, as the ring that a polar target takes of a geographic
        pyramid, those of the next coarser level are read that can be.

        Parameters
        ----------
        choice : Copy or Warp
            Cells are copied as they are; methods are for what is warped.
        bands : sequence of Band
            What to read.
        method, reproject_method : str, optional
            One of `tiler.resample.METHODS`, where the target is in the pyramid's CRS and where it is in another; the
            default is nearest, and where target cells are much larger than those of the coarsest level, the method
            by which the pyramid was made.

        Returns
        -------
        Block
            Shape (band, row, col) of the target.

        Raises
        ------
        ParameterError
            If there is no such method.
        ChunkReadError, StoreError, LimitError
            As `read_window` does.
        """
        if isinstance(choice, Copy):
            block = self.read_window(choice.level, choice.window, bands)
            if choice.rows is None or choice.cols is None:
                return block
            cells = np.ix_(range(len(bands)), choice.rows, choice.cols)
            return Block(block.values[cells], block.mask[cells])
        self._require_cells(choice.target.shape, len(bands))
        levels, masks = self.pyramid.levels, [self._mask_band(band) for band in bands]
        choice = select.affordable(
            levels,
            choice,
            available=available_levels(bands),
            is_affordable=lambda warp: self._excess(warp.level, _windows(warp), bands, masks) is None,
        )
        self._require_affordable(choice.level, _windows(choice), bands, masks)
        is_same = projection.is_same_place(choice.target.crs, levels.crs)
        chosen = (method if is_same else reproject_method) or _default_method(choice, levels)
        return self._warped(choice, bands, chosen)

    def _warped(self, choice: Warp, bands: Sequence[Band], method: str) -> Block:
        """Read the pieces of a target, and warp and lay them over each other."""
        grid = self.pyramid.levels.levels[choice.level].grid
        target, is_whole = choice.target, choice.part == choice.target.window
        part = target if is_whole else target.crop(choice.part)
        made: Block | None = None
        for patch in footprint.patches(grid, choice.pieces):
            source = self._read_patch(choice.level, patch, bands)
            warped = resample.resample(source, patch.grid, part, method=method)
            made = warped if made is None else _over(made, warped)
        if made is None:
            return empty_block(target.shape, bands)
        if is_whole:
            return made
        whole = empty_block(target.shape, bands)
        _lay(made, choice.part, whole)
        return whole

    def _read_patch(self, level: int, patch: Patch, bands: Sequence[Band]) -> Block:
        if len(patch.parts) == 1:
            return self.read_window(level, patch.parts[0][0], bands)
        whole = empty_block(patch.grid.shape, bands)
        for window, place in patch.parts:
            _lay(self.read_window(level, window, bands), place, whole)
        return whole

    def read_point(self, x: float, y: float, crs: CRS, bands: Sequence[Band]) -> Block | None:
        """Read the cell of the finest level that holds a point.

        Parameters
        ----------
        x, y : float
            Coordinates, easting or longitude first.
        crs : CRS
            What they mean.
        bands : sequence of Band
            What to read.

        Returns
        -------
        Block or None
            Shape (band, 1, 1), exactly as stored; None where the point is outside the pyramid.

        Raises
        ------
        ChunkReadError, StoreError, LimitError
            As `read_window` does.
        """
        cell = self.cell_of(x, y, crs, bands)
        return None if cell is None else self.read_window(cell[0], Window(cell[1], cell[2], 1, 1), bands)

    def cell_of(self, x: float, y: float, crs: CRS, bands: Sequence[Band]) -> tuple[int, int, int] | None:
        """Finest level that has the bands, and row and column of a point in it; None where it is outside."""
        levels = self.pyramid.levels
        level = min(available_levels(bands))
        place = select.transform_point(x, y, crs, levels.crs)
        cell = None if place is None else select.cell_at(levels.levels[level].grid, *place)
        return None if cell is None else (level, *cell)

    def _position(self, selector: Selector) -> int:
        known = self.pyramid.dimensions
        if selector.dimension not in known:
            expected = f"a dimension of the data: {dimensions.listed(known)}"
            raise ParameterError("sel", found=selector.dimension, expected=expected)
        return dimensions.choose(self.dimension(selector.dimension), selector)

    def _label(self, band: Band) -> str:
        """Join the labels of a band's steps along all dimensions; a step without one has its number, from 1."""
        steps = zip(band.variable.leading, band.lead, strict=True)
        labels = (self.dimension(name).label(step) or str(step + 1) for (name, _), step in steps)
        return "_".join(labels)

    def _read_dimension(self, name: str, size: int) -> Dimension:
        coordinate = self.pyramid.coordinate(name)
        if coordinate is None:
            return dimensions.index(name, size, self.pyramid.step_names(name))
        return dimensions.from_coordinate(name, self._read_line(coordinate.array), coordinate.attributes)

    def _read_line(self, array: StoredArray) -> NDArray[Any]:
        """Read an array of one axis whole; where no chunk is stored it holds its fill value."""
        (size,), (side,) = array.shape, array.storage.chunk_shape
        starts = range(0, size, side)
        values = np.full(size, array.fill_value, array.storage.chain.dtype.newbyteorder("="))

        def read(start: int) -> None:
            chunk = self._chunks.read(array, (start // side,))
            if chunk is not None:
                values[start : start + side] = chunk[: size - start]

        if len(starts) == 1:
            read(0)
        else:
            with ThreadPoolExecutor(_COORDINATE_READERS) as pool:
                list(pool.map(read, starts))
        return values

    def _mask_band(self, band: Band) -> Band | None:
        """Return the raster that masks a band, where it has one."""
        if band.variable.alpha is None or band.variable.is_alpha:
            return None
        variable = self.pyramid.variable(band.variable.alpha)
        return Band(variable, band.index if variable.count > 1 else 0)

    def _read_valid(
        self, level: int, window: Window, band: Band, partner: Band | None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read cells within a level, and tell which of them are valid."""
        cells, stored = self._read_band(level, window, band)
        if partner is not None:
            # The mask alone tells: a chunk of valid cells that all equal the placeholder need not be stored.
            stored = self._read_band(level, window, partner)[0] != 0
        valid = _is_value(cells, band.variable.nodata)
        if stored is not None:
            valid &= stored
        return cells, valid

    def _read_band(
        self, level: int, window: Window, band: Band
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | np.bool_ | None]:
        """Read cells within a level, and tell which of them a stored chunk holds; None where all are.

        The cells may be a read-only view.
        """
        array = band.variable.array(level)
        sides = array.storage.chunk_shape[:-2]
        lead = tuple(position // side for position, side in zip(band.lead, sides, strict=True))
        inner = tuple(position % side for position, side in zip(band.lead, sides, strict=True))
        parts = list(chunks_of(array, window))
        if len(parts) == 1:  # as for each tile of the pyramid's own set: nothing is copied
            position, cells = parts[0]
            chunk = self._chunks.read(array, (*lead, *position))
            place = window.relative_to(cells).slices
            if chunk is None:
                return np.broadcast_to(array.fill_value, window.shape), np.False_
            return chunk[inner][place], None
        values = np.full(window.shape, array.fill_value, band.variable.dtype)
        stored = np.zeros(window.shape, bool)
        for position, cells in parts:
            chunk = self._chunks.read(array, (*lead, *position))
            if chunk is None:
                continue
            part = cells.intersect(window)
            place = part.relative_to(window).slices
            values[place] = chunk[inner][part.relative_to(cells).slices]
            stored[place] = True
        return values, stored

    def _require_cells(self, shape: tuple[int, int], count: int) -> None:
        cells = shape[0] * shape[1] * count
        if cells > self._limits.cells:
            raise LimitError("cells of a read", allowed=self._limits.cells, found=cells)

    def _require_affordable(
        self, level: int, windows: Sequence[Window], bands: Sequence[Band], masks: Sequence[Band | None]
    ) -> None:
        excess = self._excess(level, windows, bands, masks)
        if excess is not None:
            raise excess

    def is_small(self, choice: Copy, bands: Sequence[Band]) -> bool:
        """Tell whether cells that are copied are read within a millisecond or two, where they are at hand."""
        masks = [self._mask_band(band) for band in bands]
        return self._excess(choice.level, [choice.window], bands, masks, _SMALL) is None

    def _excess(
        self,
        level: int,
        windows: Sequence[Window],
        bands: Sequence[Band],
        masks: Sequence[Band | None],
        limits: ReadLimits | None = None,
    ) -> LimitError | None:
        """Tell what is too much in reading some windows within a level, of bands and of what masks them."""
        cells = sum(window.size for window in windows) * len(bands)
        chunks = decoded = 0
        for band in (*bands, *filter(None, masks)):
            array = band.variable.array(level)
            count = _chunk_count(windows, array.storage.chunk_shape[-2:])
            chunks += count
            decoded += count * array.storage.chain.decoded_bytes
        limits = limits or self._limits
        costs = (
            ("cells of a read", limits.cells, cells),
            ("chunks of a read", limits.chunks, chunks),
            ("decoded bytes of a read", limits.decoded_bytes, decoded),
        )
        return next(
            (LimitError(name, allowed=allowed, found=found) for name, allowed, found in costs if found > allowed), None
        )


def _windows(choice: Warp) -> list[Window]:
    return [piece.window for piece in choice.pieces]


def _chunk_count(windows: Sequence[Window], shape: tuple[int, ...]) -> int:
    """Chunks that some windows of the same rows touch, each counted once."""
    height, width = shape
    if len(windows) == 1 and not windows[0].is_empty:  # as of each tile of the pyramid's own set
        window = windows[0]
        rows = -(-window.row_stop // height) - window.row // height
        return rows * (-(-window.col_stop // width) - window.col // width)
    around = sorted((window.align(height=height, width=width) for window in windows), key=lambda window: window.col)
    cols, reached = 0, around[0].col if around else 0
    for window in around:
        cols += max(0, window.col_stop - max(window.col, reached))
        reached = max(reached, window.col_stop)
    return max((window.height for window in around), default=0) // height * (cols // width)


def _default_method(choice: Warp, levels: Levels) -> str:
    """Nearest, and where one target cell is made of many, the method by which the pyramid was made."""
    return resample.shrinking_method(levels.resampling_method) if choice.shrink > _RESAMPLED else "nearest"


def _lay(block: Block, place: Window, whole: Block) -> None:
    """Write the valid cells of a block to their place in a block of our own."""
    slices = (slice(None), *place.slices)
    np.copyto(whole.values[slices], block.values, where=block.mask)
    whole.mask[slices] |= block.mask


def _over(upper: Block, lower: Block) -> Block:
    """Lay a block over another one."""
    return Block(np.where(upper.mask, upper.values, lower.values), upper.mask | lower.mask)


def empty_block(shape: tuple[int, int], bands: Sequence[Band]) -> Block:
    """Make a block that holds nothing valid."""
    values = np.zeros((len(bands), *shape), _common_dtype(bands))
    return Block(values, np.zeros(values.shape, bool))


def _stacked(bands: list[NDArray[Any]]) -> NDArray[Any]:
    """Stack bands; a single one is not copied."""
    return bands[0][np.newaxis] if len(bands) == 1 else np.stack(bands)


def _common_dtype(bands: Sequence[Band]) -> np.dtype[Any]:
    """Return the data type that holds the values of all bands; booleans are served as 0 and 1."""
    dtype = np.result_type(*(band.variable.dtype for band in bands))
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def available_levels(bands: Sequence[Band]) -> frozenset[int]:
    """Levels that have all of some bands.

    Raises
    ------
    ParameterError
        If no level has them all.
    """
    levels = frozenset.intersection(*(band.variable.available for band in bands))
    if not levels:
        names = tuple(band.variable.name for band in bands)
        raise ParameterError("variable", found=names, expected="variables that have a level in common")
    return levels


def _is_value(values: NDArray[Any], nodata: Any) -> NDArray[np.bool_]:
    """Tell which stored values are valid by themselves: not NaN, and not the nodata value."""
    if values.dtype.kind != "f":
        return np.ones(values.shape, bool) if nodata is None else np.asarray(values != nodata)
    valid: NDArray[np.bool_] = values == values  # noqa: PLR0124 - False where not a number, a quarter quicker than isnan
    if nodata is not None and not math.isnan(nodata):
        valid &= values != nodata
    return valid
