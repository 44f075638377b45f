"""Grid: a raster's shape, affine transform and CRS, and what follows from them.

The transform maps the corner of pixel `(col, row)` to CRS `(x, y)`, so that the grid's outer top-left corner is
`transform @ (0, 0)` and the centre of the first pixel `transform @ (0.5, 0.5)` (spatial convention v0.1, "Coordinate
convention"; registration is always `pixel` here).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from affine import Affine

from geozarr.errors import MetadataError, ParameterError
from geozarr.window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geozarr.crs import CRS

SNAP = 1e-6  # pixels; closer than this to a whole pixel is rounding noise of the transform (SPEC section 5)


class Bounds(NamedTuple):
    """A box in CRS units, x before y, minimum before maximum."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float


@dataclass(frozen=True)
class Grid:
    """Pixels on the ground.

    Parameters
    ----------
    shape : tuple of (int, int)
        `(height, width)` in pixels, each at least 1.
    transform : Affine
        Pixel corner `(col, row)` to CRS `(x, y)`, in CRS units.
    crs : CRS
        What the coordinates mean.

    Raises
    ------
    MetadataError
        If a side is zero, or the transform is singular or not finite.
    """

    shape: tuple[int, int]
    transform: Affine
    crs: CRS

    def __post_init__(self) -> None:
        height, width = self.shape
        if height < 1 or width < 1:
            raise MetadataError("grid", "shape", found=self.shape, expected="at least 1 x 1 pixel")
        numbers = tuple(self.transform)[:6]
        if not all(math.isfinite(number) for number in numbers):
            raise MetadataError("grid", "transform", found=numbers, expected="six finite numbers")
        a, b, _, d, e, _ = numbers
        # Relative, so that cells of 1e-9 degrees are as legal as cells of 1e9 metres.
        if abs(a * e - b * d) <= 1e-12 * max(a * a + d * d, b * b + e * e):
            raise MetadataError("grid", "transform", found=numbers, expected="an invertible transform")

    @property
    def height(self) -> int:
        """Rows."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.shape[1]

    @property
    def window(self) -> Window:
        """All pixels."""
        return Window(0, 0, *self.shape)

    @property
    def is_rectilinear(self) -> bool:
        """True where rows and columns run along the axes of the CRS."""
        return bool(self.transform.b == 0 and self.transform.d == 0)

    @property
    def is_north_up(self) -> bool:
        """True where x grows with the column, y falls with the row, and nothing is rotated."""
        return self.is_rectilinear and bool(self.transform.a > 0 and self.transform.e < 0)

    @property
    def cell_size(self) -> tuple[float, float]:
        """`(x, y)` side lengths of a cell in CRS units, positive, also where the grid is rotated."""
        t = self.transform
        return math.hypot(t.a, t.d), math.hypot(t.b, t.e)

    @property
    def bounds(self) -> Bounds:
        """Box around the outer edges of the four corner cells, in CRS units."""
        corners = [
            self.transform @ (col, row)
            for col, row in ((0, 0), (self.width, 0), (0, self.height), (self.width, self.height))
        ]
        xs, ys = zip(*corners, strict=True)
        return Bounds(min(xs), min(ys), max(xs), max(ys))

    def x_centres(self) -> NDArray[np.float64]:
        """Centres of the columns in CRS units, shape (width,). Meaningful for a rectilinear grid only."""
        return self.transform.c + self.transform.a * (np.arange(self.width, dtype=np.float64) + 0.5)

    def y_centres(self) -> NDArray[np.float64]:
        """Centres of the rows in CRS units, shape (height,). Meaningful for a rectilinear grid only."""
        return self.transform.f + self.transform.e * (np.arange(self.height, dtype=np.float64) + 0.5)

    def coarsen(self, factor: int) -> Grid:
        """Merge `factor` x `factor` cells, keeping the top-left corner; sizes are rounded up.

        Parameters
        ----------
        factor : int
            At least 1.

        Returns
        -------
        Grid
            Shape `(ceil(height / factor), ceil(width / factor))`. The last row and column may reach beyond this
            grid by less than one coarse cell.

        Raises
        ------
        ParameterError
            If `factor` is below 1.
        """
        if factor < 1:
            raise ParameterError("factor", found=factor, expected="a whole number of at least 1")
        shape = (-(-self.height // factor), -(-self.width // factor))
        return replace(self, shape=shape, transform=self.transform @ Affine.scale(factor))

    def crop(self, window: Window) -> Grid:
        """Return the grid of a window of this one; the window may reach outside."""
        return replace(
            self,
            shape=window.shape,
            transform=self.transform @ Affine.translation(window.col, window.row),
        )

    def bounds_of(self, window: Window) -> Bounds:
        """Box around a window, in CRS units."""
        return self.crop(window).bounds

    def window_of(self, bounds: Bounds) -> Window:
        """Smallest window that covers a box in CRS units; it may reach outside the grid.

        Edges within `SNAP` pixels of a whole pixel are taken as that pixel's edge, so that rounding noise does not
        open another row.
        """
        inverse = ~self.transform
        corners = [inverse @ (x, y) for x in (bounds.xmin, bounds.xmax) for y in (bounds.ymin, bounds.ymax)]
        cols, rows = zip(*corners, strict=True)
        return Window.from_bounds(
            row_start=math.floor(min(rows) + SNAP),
            row_stop=math.ceil(max(rows) - SNAP),
            col_start=math.floor(min(cols) + SNAP),
            col_stop=math.ceil(max(cols) - SNAP),
        )
