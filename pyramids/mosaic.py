"""Several sources as one: each is warped onto the finest level by itself, and a stated rule says what counts where.

Sources may differ in CRS, zone, resolution and in where their missing values stand; they agree in variables. Nothing is
loaded together: a window of the mosaic reads what each source has of it, by way of decoded cells that are kept while
the memory of the build allows. Once placed, a mosaic is a source on the grid of the finest level, so that planning,
folding and storing see nothing of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr.errors import ChunkReadError, MetadataError, ParameterError
from geozarr.levels import USUAL_DIMENSIONS
from pyramids import footprint, placement, warp
from pyramids.control import Mapping
from pyramids.fold_cells import off_integer
from pyramids.scratch import ScratchPool
from pyramids.sources.blocks import CellCache, Cells, Piece
from pyramids.sources.source import Pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from geozarr import Grid
    from geozarr.window import Window
    from pyramids.scratch import Scratch
    from pyramids.sources.quirk import Quirk
    from pyramids.sources.source import Slice, Source, SourceVariable

OVERLAPS = ("first", "last", "min", "max", "mean")
_BLOCK = 256  # pixels along a side of what `coverage` speaks of
_MOST = 2**24  # pixels of one source that are read at once
_KEPT = 2**21  # the same, by way of cells that are kept: of larger windows, few are needed by the next one


class Several:
    """Several sources under one name."""

    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        """Name of the first, and how many more."""
        first = self.sources[0].name
        return first if len(self.sources) == 1 else f"{first} and {len(self.sources) - 1} more"

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """What was groomed of any."""
        return tuple(dict.fromkeys(quirk for source in self.sources for quirk in source.quirks))


class Mosaic(Several):
    """Sources whose place is not decided yet.

    Parameters
    ----------
    sources : sequence of Source
        At least one; the order counts for "first" and "last".
    overlap : str
        What counts where several hold data: the "first" or the "last" of them, the "min", "max" or "mean" of all.

    Raises
    ------
    ParameterError
        If there is none, or no such rule.
    MetadataError
        If they differ in variables, data types, leading axes or packing.
    """

    def __init__(self, sources: Sequence[Source], overlap: str = "first") -> None:
        if overlap not in OVERLAPS:
            raise ParameterError("overlap", found=overlap, expected=f"one of {', '.join(OVERLAPS)}")
        if not sources:
            raise ParameterError("sources", found="none", expected="at least one")
        self.sources = tuple(sources)
        self.overlap = overlap
        first = self.sources[0]
        for other in self.sources[1:]:
            _require_alike(first, other)

    def on(self, grid: Grid, methods: Sequence[Sequence[str]]) -> PlacedMosaic:
        """Place it.

        Parameters
        ----------
        grid : Grid
            The finest level.
        methods : sequence of sequence of str
            How each variable of each source is resampled: one sequence a source.
        """
        return PlacedMosaic(self, grid, tuple(tuple(of_source) for of_source in methods))


class Placed:
    """What stands on the grid of a finest level already: what all such sources say of themselves.

    Parameters
    ----------
    several : Mosaic or Stack
        What was placed.
    grid : Grid
        The finest level.
    """

    def __init__(self, several: Several, grid: Grid) -> None:
        self._several = several
        self._grid = grid

    @property
    def name(self) -> str:
        """Name of the first source, and how many more."""
        return self._several.name

    @property
    def grid(self) -> Grid:
        """The finest level."""
        return self._grid

    @property
    def dimensions(self) -> tuple[str, str]:
        """Rows and columns of a TileMatrixSet."""
        return USUAL_DIMENSIONS

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """What was groomed of any."""
        return self._several.quirks

    @property
    def has_alpha(self) -> bool:
        """False: masks of sources go into the validity of pixels."""
        return False

    @property
    def block_shape(self) -> tuple[int, int]:
        """Blocks that `coverage` speaks of."""
        return _BLOCK, _BLOCK


class PlacedMosaic(Placed):
    """A mosaic on the grid of a finest level.

    Parameters
    ----------
    mosaic : Mosaic
        What is put together.
    grid : Grid
        Where.
    methods : tuple of tuple of str
        How each variable of each source is resampled.
    """

    def __init__(self, mosaic: Mosaic, grid: Grid, methods: tuple[tuple[str, ...], ...]) -> None:
        super().__init__(mosaic, grid)
        self._mosaic = mosaic
        self._methods = methods
        self._mappings = tuple(Mapping(grid, source.grid) for source in mosaic.sources)
        self._windows = tuple(self._window_of(source) for source in mosaic.sources)
        self._cells: tuple[Cells, ...] | None = None
        self._scratches = ScratchPool()

    def keep(self, cache: CellCache) -> None:
        """Read through decoded cells of the sources from now on, which are kept there."""
        self._cells = tuple(Cells(source, cache) for source in self._mosaic.sources)

    def __reduce__(self) -> tuple[Any, ...]:
        return PlacedMosaic, (self._mosaic, self._grid, self._methods)

    def _window_of(self, source: Source) -> Window:
        """Pixels of the grid that a source can reach."""
        box = footprint.extent(source.grid, self._grid.crs, self._grid.bounds)
        return self._grid.window_of(box).intersect(self._grid.window)

    @cached_property
    def variables(self) -> tuple[SourceVariable, ...]:
        """Those of the first, with the first missing value that any has; integers without one need a mask."""
        return tuple(
            replace(variable, nodata=nodata, is_masked=nodata is None)
            for index, variable in enumerate(self._mosaic.sources[0].variables)
            for nodata in [_first([source.variables[index].nodata for source in self._mosaic.sources])]
        )

    @property
    def fingerprint(self) -> str:
        """A hash of those of all sources as they are now, of the rule and the methods."""
        parts = (self._mosaic.overlap, self._methods, [source.fingerprint for source in self._mosaic.sources])
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @property
    def resident_bytes(self) -> int:
        """What sources keep themselves, and what places their pixels."""
        sources = self._mosaic.sources
        return sum(source.resident_bytes + placement.resident_bytes(source.grid) for source in sources)

    def coverage(self) -> NDArray[np.bool_]:
        """Tell which blocks any source can reach."""
        height, width = self._grid.shape
        covered = np.zeros((-(-height // _BLOCK), -(-width // _BLOCK)), np.bool_)
        for window in self._windows:
            if not window.is_empty:
                around = window.align(height=_BLOCK, width=_BLOCK)
                rows = slice(around.row // _BLOCK, around.row_stop // _BLOCK)
                covered[rows, around.col // _BLOCK : around.col_stop // _BLOCK] = True
        return covered

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:  # noqa: ARG002
        """Read and warp what each source has of a window, and put it together; see `Source.read`."""
        dtype = self.variables[slices[0].variable].dtype
        shape = (len(slices), *window.shape)
        choose = _CHOICES.get(self._mosaic.overlap)
        blank = np.zeros(shape, dtype)
        rule = _Mean(blank) if choose is None else _Picked(blank, np.zeros(shape, np.bool_), choose)
        for number in range(len(self._mosaic.sources)):
            part = window.intersect(self._windows[number])
            if part.is_empty:
                continue
            for place, values, valid in self._warped(number, part, slices):
                here = (slice(None), *place.relative_to(window).slices)
                rule.add(here, values, valid)
        values, valid = rule.result()
        for index, (variable, _) in enumerate(slices):
            nodata = self.variables[variable].nodata
            if nodata is not None:
                np.copyto(values[index], np.asarray(nodata, dtype), where=~valid[index])
        return Pixels(values, valid)

    def _warped(
        self, number: int, window: Window, slices: Sequence[Slice]
    ) -> Iterator[tuple[Window, NDArray[Any], NDArray[np.bool_]]]:
        """Warp a window of one source, in parts where it needs much of it."""
        source, mapping = self._mosaic.sources[number], self._mappings[number]
        methods = [self._methods[number][variable] for variable, _ in slices]
        places = {method: warp.positions(mapping, window, method) for method in dict.fromkeys(methods)}
        pixels_of = {
            method: warp.needed(where, method).intersect(source.grid.window) for method, where in places.items()
        }
        if max(needed.size for needed in pixels_of.values()) > _MOST and window.size > 1:
            side = -(-max(window.shape) // 2)
            for part in window.relative_to(window).split(height=side, width=side):
                yield from self._warped(number, part.shift(rows=window.row, cols=window.col), slices)
            return
        shape = (len(slices), *window.shape)
        values, valid = np.empty(shape, self.variables[slices[0].variable].dtype), np.zeros(shape, np.bool_)
        for method, where in places.items():
            chosen = [index for index, found in enumerate(methods) if found == method]
            needed = pixels_of[method]
            if needed.is_empty:
                continue
            nodata = [self.variables[slices[index].variable].nodata for index in chosen]
            with self._scratches.borrow() as scratch:
                piece = self._read(number, needed, tuple(slices[index] for index in chosen), scratch)
                if piece is None:
                    continue
                found, held = warp.resample(
                    piece.values,
                    piece.valid,
                    window=piece.window,
                    where=where,
                    method=method,
                    nodata=[0 if value is None or math.isnan(value) else value for value in nodata],
                    is_nodata=all(value is not None and not math.isnan(value) for value in nodata),
                    turn=mapping.turn,
                )
            for index, plane, mask, value in zip(chosen, found, held, nodata, strict=True):
                values[index], valid[index] = _beside(plane, mask, value), mask
        yield window, values, valid

    def _read(self, number: int, needed: Window, slices: tuple[Slice, ...], scratch: Scratch) -> Piece | None:
        """Read a window of a source, or one around it; None where nothing there is known to hold data."""
        if self._cells is not None and needed.size <= _KEPT:
            # What cannot be read of a cell may lie beside what is needed of it.
            with contextlib.suppress(ChunkReadError):
                return self._cells[number].read(needed, slices, scratch)
        pixels = self._mosaic.sources[number].read(needed, slices)
        return Piece(needed, np.ascontiguousarray(pixels.values), np.ascontiguousarray(pixels.valid), None)


class _Picked:
    """One of the sources counts, or a choice between two values."""

    def __init__(
        self,
        values: NDArray[Any],
        valid: NDArray[np.bool_],
        choose: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    ) -> None:
        self._values, self._valid, self._choose = values, valid, choose

    def add(self, here: tuple[slice, ...], values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Take what one source has of a part."""
        known, held = self._values[here], self._valid[here]
        known[...] = np.where(valid, np.where(held, self._choose(known, values), values), known)
        held |= valid

    def result(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return values, and where there are any."""
        return self._values, self._valid


class _Mean:
    """The mean of all that hold data, rounded once, half to even."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values
        self._sums = np.zeros(values.shape, np.float64)
        self._counts = np.zeros(values.shape, np.int32)

    def add(self, here: tuple[slice, ...], values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Take what one source has of a part."""
        np.add(self._sums[here], values, out=self._sums[here], where=valid)
        self._counts[here] += valid

    def result(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return values, and where there are any."""
        valid = self._counts > 0
        means = self._sums / np.maximum(self._counts, 1)
        if self._values.dtype.kind != "f":
            means = np.rint(means)
        return means.astype(self._values.dtype), valid


_CHOICES: dict[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]] = {
    "first": lambda known, _: known,
    "last": lambda _, values: values,
    "min": np.minimum,
    "max": np.maximum,
}


def _beside(values: NDArray[Any], valid: NDArray[np.bool_], nodata: float | None) -> NDArray[Any]:
    """Move data that equal the value for missing ones, which is another in their source, by the smallest step."""
    if nodata is None or math.isnan(nodata):
        return values
    meant = valid & (values == nodata)
    if meant.any():
        kind = values.dtype.type
        up = np.nextafter(kind(nodata), kind(np.inf)) if values.dtype.kind == "f" else None
        step = off_integer(kind(nodata), True, *_ends(values.dtype)) if up is None else up
        values[meant] = step
    return values


def _ends(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    info = np.iinfo(dtype)
    return dtype.type(info.min), dtype.type(info.max)


def _first(values: Sequence[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _require_alike(first: Source, other: Source) -> None:
    """Refuse sources that differ in what they hold; raises `MetadataError` naming the first difference."""
    names = [[variable.name for variable in source.variables] for source in (first, other)]
    if names[0] != names[1]:
        raise MetadataError(other.name, "variables", found=names[1], expected=f"{names[0]}, as in {first.name}")
    for one, two in zip(first.variables, other.variables, strict=True):
        node = f"{other.name} {two.name}"
        if one.dtype != two.dtype:
            raise MetadataError(
                node, "data type", found=two.dtype.name, expected=f"{one.dtype.name}, as in {first.name}"
            )
        if one.leading != two.leading:
            found = [(axis.name, axis.size) for axis in two.leading]
            raise MetadataError(node, "axes", found=found, expected=f"those of {first.name}")
        for key in ("scale_factor", "add_offset", "units"):
            if one.attributes.get(key) != two.attributes.get(key):
                expected = f"{one.attributes.get(key)}, as in {first.name}"
                raise MetadataError(node, key, found=two.attributes.get(key), expected=expected)
