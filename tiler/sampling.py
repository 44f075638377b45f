"""How a picture is sampled: size, cells around it, method, and the level it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiler import select
from tiler.extent import grown

if TYPE_CHECKING:
    from geozarr import Grid
    from tiler.select import Strategy


@dataclass(frozen=True)
class Sampling:
    """How a picture is sampled; what is not given is chosen.

    Parameters
    ----------
    method : str or None
        One of `tiler.resample.METHODS`, used where the picture is in the CRS of the pyramid.
    reproject_method : str or None
        The same where it is in another CRS.
    strategy : str
        One of `tiler.select.STRATEGIES`: which level a picture is made of that has cells of another size than any.
    side : int or None
        Pixels of the longer side of a tile.
    scale : int
        Pixels of a side for each that a tile has; 1 where `side` says it.
    buffer : float
        Pixels that are added on each side of a tile; whole or half.
    """

    method: str | None = None
    reproject_method: str | None = None
    strategy: Strategy = "nearest"
    side: int | None = None
    scale: int = 1
    buffer: float = 0.0

    @property
    def is_plain(self) -> bool:
        """True where a tile of the pyramid's own set is a stored chunk."""
        return self == _PLAIN

    def target(self, tile: Grid) -> Grid:
        """Grid of a picture of a tile."""
        ratio = self.scale if self.side is None else self.side / max(tile.shape)
        if ratio != 1:
            height, width = (max(1, round(side * ratio)) for side in tile.shape)
            tile = select.grid_of_bounds(tile.bounds, tile.crs, height=height, width=width)
        return grown(tile, self.buffer)


_PLAIN = Sampling()
