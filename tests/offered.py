"""Pyramids and axes made in memory, for tests of the documents that describe the service: no store, no pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine

from geozarr import crs, levels
from geozarr.documents import KEYS
from geozarr.grid import Grid
from geozarr.stored_array import StoredArray
from tiler.pyramid import Pyramid, Statistics, Variable

if TYPE_CHECKING:
    from geozarr import Levels


@dataclass(frozen=True)
class Steps:
    """An axis with a text for each position."""

    name: str
    kind: str
    labels: tuple[str | None, ...]
    units: str | None = None
    long_name: str | None = None
    size: int = field(default=-1)

    def __post_init__(self) -> None:
        if self.size < 0:
            object.__setattr__(self, "size", len(self.labels))


def native(code: str, *, left: float, top: float, width: float, height: float, cells: int = 64) -> Levels:
    """Levels of a raster of `cells` x `cells` cells over a box of a CRS."""
    transform = Affine(width / cells, 0.0, left, 0.0, -height / cells, top)
    grid = Grid((cells, cells), transform, crs.from_code(code))
    return levels.from_halving(grid, count=2, resampling_method="average")


def variable(name: str, dtype: str = "uint8", *leading: tuple[str, int], **options: object) -> Variable:
    """Describe a variable whose array is nowhere."""
    return Variable(name, np.dtype(dtype), leading, (StoredArray(name, (), None, KEYS[3], 0),), **options)


def pyramid(layout: Levels, *variables: Variable, **options: object) -> Pyramid:
    """Describe a pyramid, of one variable of bytes where none is given."""
    return Pyramid(layout, variables or (variable("count"),), "0123456789abcdef", **options)


STATISTICS = Statistics(0.0, 10.0, 1.0, 9.0)
