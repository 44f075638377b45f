"""What pictures of pyramids are made of: plain data, read off the documents, from which `formats` draw.

All lengths of text and numbers of things are bounded here, so that whoever draws need not care.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from conformance.report import Finding

Box: TypeAlias = tuple[float, float, float, float]
Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Preview:
    """A small picture of a level.

    Parameters
    ----------
    png : bytes
        The picture; transparent where there is no data.
    width, height : int
        In pixels.
    about : str
        What it shows.
    """

    png: bytes
    width: int
    height: int
    about: str


@dataclass(frozen=True)
class Tiles:
    """The tile matrix of a level, and which of its tiles the level touches.

    Parameters
    ----------
    matrix : str
        Id of the matrix.
    size : (int, int)
        Rows and columns of the matrix, in tiles.
    tile : (int, int)
        Rows and columns of a tile, in cells.
    rows, cols : (int, int) or None
        First and last row and column of the limits as stated, both included; None where there are none.
    footprint : (float, float, float, float) or None
        The level in tiles from the corner where rows and columns begin: first column, first row, last column, last row.
    is_bottom_left : bool
        True where rows are counted from the bottom.
    """

    matrix: str
    size: Pair
    tile: Pair
    rows: Pair | None
    cols: Pair | None
    footprint: Box | None
    is_bottom_left: bool = False


@dataclass(frozen=True)
class DrawnLevel:
    """One level; None for what is not known.

    Parameters
    ----------
    asset : str
        Path relative to the multiscale group; "" where the layout has none that can be used.
    node : str
        Path of its node, such as "/9".
    pointers : tuple of str
        Beginnings of JSON pointers into the document of the multiscale group that are about this level.
    exists : bool
        False where there is no such node.
    derived_from : str
        The level it is made of.
    shape : (int, int) or None
        Rows and columns.
    cell : (float, float) or None
        `(x, y)` sides of a cell, in units of the CRS.
    box : (float, float, float, float) or None
        xmin, ymin, xmax, ymax in the CRS.
    chunk, shard : (int, int) or None
        Rows and columns; no shard where chunks are objects of their own.
    variables : tuple of str
        Names of its rasters.
    tiles : Tiles or None
        None where no matrix has its name.
    """

    asset: str
    node: str
    pointers: tuple[str, ...]
    exists: bool = False
    derived_from: str = ""
    shape: Pair | None = None
    cell: tuple[float, float] | None = None
    box: Box | None = None
    chunk: Pair | None = None
    shard: Pair | None = None
    variables: tuple[str, ...] = ()
    tiles: Tiles | None = None

    def is_about(self, finding: Finding, group: str) -> bool:
        """Tell whether a finding is about this level of the multiscale group at path `group`."""
        if self.exists and (finding.node == self.node or finding.node.startswith(f"{self.node}/")):
            return True
        pointer = f"{finding.pointer}/"
        return finding.node == group and any(pointer.startswith(f"{begin}/") for begin in self.pointers)


@dataclass(frozen=True)
class DrawnPyramid:
    """One multiscale group.

    Parameters
    ----------
    node : str
        Path of the group; "/" is the root.
    crs, unit : str
        Name of the CRS and of its unit; "" where there is none that can be used.
    levels : tuple of DrawnLevel
        In the order of the layout.
    more : int
        Levels that are left out.
    tile_set : str
        Name of the tile matrix set; "" where there is none.
    preview : Preview or None
        A picture of its pixels.
    note : str
        Why there is none, or what is missing in it.
    """

    node: str
    crs: str
    unit: str
    levels: tuple[DrawnLevel, ...]
    more: int = 0
    tile_set: str = ""
    preview: Preview | None = None
    note: str = ""


@dataclass(frozen=True)
class Drawing:
    """The multiscale groups of a store; `more` counts those that are left out."""

    pyramids: tuple[DrawnPyramid, ...]
    more: int = 0
