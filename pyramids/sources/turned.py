"""A source whose rows run from south to north, or whose columns from east to west, turned around."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from geozarr.grid import Grid
from geozarr.window import Window
from pyramids.sources.source import Pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pyramids.sources.quirk import Quirk
    from pyramids.sources.source import Slice, Source, SourceVariable


def north_up(source: Source) -> Source:
    """Return a source whose first row is in the north and first column in the west: itself, where that is so.

    One that is rotated, or placed by no affine transform, cannot be turned so, and is returned as it is.
    """
    grid = source.grid
    if not isinstance(grid, Grid) or grid.is_north_up or not grid.is_rectilinear:
        return source
    return TurnedSource(source, grid)


class TurnedSource:
    """A source read from the other end of its rows, of its columns, or of both.

    Parameters
    ----------
    source : Source
        What is turned.
    grid : Grid
        Its grid: rows and columns along the axes of the CRS.
    """

    def __init__(self, source: Source, grid: Grid) -> None:
        self._source = source
        self._rows, self._cols = grid.transform.e > 0, grid.transform.a < 0
        turned = grid.transform
        if self._rows:
            turned = turned @ Affine(1, 0, 0, 0, -1, grid.height)
        if self._cols:
            turned = turned @ Affine(-1, 0, grid.width, 0, 1, 0)
        self._grid = Grid(grid.shape, turned, grid.crs)

    @property
    def name(self) -> str:
        """Where it comes from."""
        return self._source.name

    @property
    def grid(self) -> Grid:
        """The grid, north up."""
        return self._grid

    @property
    def dimensions(self) -> tuple[str, str]:
        """Names of rows and columns."""
        return self._source.dimensions

    @property
    def variables(self) -> tuple[SourceVariable, ...]:
        """What it holds."""
        return self._source.variables

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """What was groomed: the source has said that it is turned around."""
        return self._source.quirks

    @property
    def has_alpha(self) -> bool:
        """True where an alpha or mask band tells which pixels hold data."""
        return self._source.has_alpha

    @property
    def fingerprint(self) -> str:
        """Text that changes when the pixels may have changed."""
        return self._source.fingerprint

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns that are decoded together, though counted from the other end."""
        return self._source.block_shape

    @property
    def resident_bytes(self) -> int:
        """Bytes that the source keeps in memory between reads."""
        return self._source.resident_bytes

    def coverage(self) -> NDArray[np.bool_] | None:
        """Tell which native blocks may hold data; None where blocks counted from the other end are others."""
        sides = zip(self._grid.shape, self.block_shape, (self._rows, self._cols), strict=True)
        if any(is_turned and size % side for size, side, is_turned in sides):
            return None
        covered = self._source.coverage()
        return None if covered is None else np.ascontiguousarray(covered[self._order])

    @property
    def _order(self) -> tuple[slice, slice]:
        rows, cols = (slice(None, None, -1 if is_turned else 1) for is_turned in (self._rows, self._cols))
        return rows, cols

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:  # noqa: ARG002
        """Read slices; see `Source.read`."""
        height, width = self._grid.shape
        there = Window(
            height - window.row_stop if self._rows else window.row,
            width - window.col_stop if self._cols else window.col,
            window.height,
            window.width,
        )
        found = self._source.read(there, slices)
        turned = (slice(None), *self._order)
        alpha = None if found.alpha is None else np.ascontiguousarray(found.alpha[self._order])
        return Pixels(np.ascontiguousarray(found.values[turned]), np.ascontiguousarray(found.valid[turned]), alpha)
