"""Grid: a raster's shape, affine transform and CRS, and what follows from them.

The transform maps the corner of pixel `(col, row)` to CRS `(x, y)`, so that the grid's outer top-left corner is
`transform @ (0, 0)` and the centre of the first pixel `transform @ (0.5, 0.5)` (spatial convention v0.1, "Coordinate
convention"; registration is always `pixel` here).
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from affine import Affine

from geozarr.errors import MetadataError, ParameterError, UnsupportedError
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
        # Plain integers, since numpy's cannot be written to JSON.
        height, width = (operator.index(side) for side in self.shape)
        object.__setattr__(self, "shape", (height, width))
        if height < 1 or width < 1:
            raise MetadataError("grid", "shape", found=self.shape, expected="at least 1 x 1 pixel")
        numbers = tuple(self.transform)[:6]
        if not all(math.isfinite(number) for number in numbers):
            raise MetadataError("grid", "transform", found=numbers, expected="six finite numbers")
        a, b, _, d, e, _ = numbers
        # The sine of the angle between rows and columns, so that the size of the cells and its unit do not matter.
        if abs(a * e - b * d) <= 1e-12 * math.hypot(a, d) * math.hypot(b, e):
            raise MetadataError("grid", "transform", found=numbers, expected="an invertible transform")

    @property
    def height(self) -> int:
        """Rows."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.shape[1]

    @cached_property
    def window(self) -> Window:
        """All pixels."""
        return Window(0, 0, *self.shape)

    @property
    def is_rectilinear(self) -> bool:
        """True where rows and columns run along the axes of the CRS."""
        return bool(self.transform.b == 0 and self.transform.d == 0)

    @property
    def has_axes(self) -> bool:
        """True where x depends on the column alone, and y on the row."""
        return self.is_rectilinear

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

    def coordinates(
        self, cols: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where positions in pixels lie: x and y in CRS units."""
        t = self.transform
        return t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f

    def positions(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Which columns and rows coordinates fall on, in pixels; (0, 0) is the outer corner of the first."""
        inverse = ~self.transform
        return inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f

    def x_centres(self) -> NDArray[np.float64]:
        """Centres of the columns in CRS units, shape (width,); raises as `y_centres` does."""
        self._require_rectilinear()
        return self.transform.c + self.transform.a * (np.arange(self.width, dtype=np.float64) + 0.5)

    def y_centres(self) -> NDArray[np.float64]:
        """Centres of the rows in CRS units, shape (height,).

        Raises
        ------
        UnsupportedError
            If the grid is rotated or sheared: x then depends on the row and y on the column.
        """
        self._require_rectilinear()
        return self.transform.f + self.transform.e * (np.arange(self.height, dtype=np.float64) + 0.5)

    def _require_rectilinear(self) -> None:
        if not self.is_rectilinear:
            raise UnsupportedError(
                "a coordinate variable of a rotated grid", "x depends on the row and y on the column"
            )

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
        """Return the grid of a window of this one; the window may reach outside.

        Raises
        ------
        MetadataError
            If the window is empty.
        """
        return replace(
            self,
            shape=window.shape,
            transform=self.transform @ Affine.translation(window.col, window.row),
        )

    def bounds_of(self, window: Window) -> Bounds:
        """Box around a window, in CRS units.

        Raises
        ------
        MetadataError
            If the window is empty.
        """
        return self.crop(window).bounds

    def window_of(self, bounds: Bounds) -> Window:
        """Smallest window that covers a box in CRS units; it may reach outside the grid.

        Edges within `SNAP` pixels of a whole pixel are taken as that pixel's edge, so that rounding noise does not
        open another row. Where a pixel is so small that the coordinates themselves are noisier than that, their noise
        counts.

        Raises
        ------
        ParameterError
            If the box is not finite, or a maximum is below its minimum.
        """
        ordered = bounds.xmin <= bounds.xmax and bounds.ymin <= bounds.ymax
        if not (ordered and all(map(math.isfinite, bounds))):
            raise ParameterError("bounds", found=tuple(bounds), expected="four finite numbers, minimum <= maximum")
        slack = self._snap(bounds)
        inverse = ~self.transform
        corners = [inverse @ (x, y) for x in (bounds.xmin, bounds.xmax) for y in (bounds.ymin, bounds.ymax)]
        cols, rows = zip(*corners, strict=True)
        return Window.from_bounds(
            row_start=math.floor(min(rows) + slack),
            row_stop=math.ceil(max(rows) - slack),
            col_start=math.floor(min(cols) + slack),
            col_stop=math.ceil(max(cols) - slack),
        )

    def _snap(self, bounds: Bounds) -> float:
        """Pixels within which a box's edge is a pixel's edge."""
        largest = max(map(abs, (*bounds, self.transform.c, self.transform.f)))
        # The edge, the origin, the product and its inverse are each rounded: four half units, doubled for safety.
        noise = 4 * math.ulp(largest) / min(self.cell_size)
        return min(max(SNAP, noise), 0.25)
