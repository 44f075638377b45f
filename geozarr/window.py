"""Window: a half-open rectangle of pixels, and the arithmetic on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geozarr.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, order=True)
class Window:
    """Pixels `row <= r < row + height`, `col <= c < col + width`. It may lie outside any array, and may be empty.

    Parameters
    ----------
    row, col : int
        First row and column, in pixels of the grid it belongs to.
    height, width : int
        Rows and columns, at least 0.

    Raises
    ------
    ParameterError
        If `height` or `width` is negative.
    """

    row: int
    col: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            name = "height" if self.height < 0 else "width"
            raise ParameterError(f"Window.{name}", found=getattr(self, name), expected="at least 0 pixels")

    @classmethod
    def from_bounds(cls, *, row_start: int, row_stop: int, col_start: int, col_stop: int) -> Window:
        """Make a window from half-open ranges; a range that runs backwards is empty."""
        return cls(row_start, col_start, max(0, row_stop - row_start), max(0, col_stop - col_start))

    @property
    def row_stop(self) -> int:
        """First row after the window."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """First column after the window."""
        return self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """`(height, width)`."""
        return self.height, self.width

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def is_empty(self) -> bool:
        """True where the window holds no pixel."""
        return self.size == 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices into an array whose pixel (0, 0) is the grid's."""
        return slice(self.row, self.row_stop), slice(self.col, self.col_stop)

    def intersect(self, other: Window) -> Window:
        """Pixels in both windows; empty where they do not meet."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.row + self.height, other.row + other.height) - row
        width = min(self.col + self.width, other.col + other.width) - col
        return Window(row, col, max(0, height), max(0, width))

    def contains(self, other: Window) -> bool:
        """Tell whether every pixel of `other` is in this window."""
        return other.is_empty or self.intersect(other) == other

    def shift(self, *, rows: int, cols: int) -> Window:
        """Move by whole pixels."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def relative_to(self, other: Window) -> Window:
        """Restate this window in pixels counted from the corner of `other`."""
        return self.shift(rows=-other.row, cols=-other.col)

    def grow(self, pixels: int) -> Window:
        """Add `pixels` on every side (a negative number takes them away)."""
        return Window.from_bounds(
            row_start=self.row - pixels,
            row_stop=self.row_stop + pixels,
            col_start=self.col - pixels,
            col_stop=self.col_stop + pixels,
        )

    def align(self, *, height: int, width: int) -> Window:
        """Smallest window around this one whose edges are multiples of `height` and `width`.

        Raises
        ------
        ParameterError
            If `height` or `width` is below 1.
        """
        for name, side in (("height", height), ("width", width)):
            if side < 1:
                raise ParameterError(name, found=side, expected="at least 1 pixel")
        row, col = self.row // height * height, self.col // width * width
        return Window.from_bounds(
            row_start=row,
            row_stop=-(-self.row_stop // height) * height,
            col_start=col,
            col_stop=-(-self.col_stop // width) * width,
        )

    def split(self, *, height: int, width: int) -> Iterator[Window]:
        """Cut along the multiples of `height` and `width`, in row-major order; the pieces cover each pixel once.

        Raises
        ------
        ParameterError
            If `height` or `width` is below 1 and there is something to cut.
        """
        if self.is_empty:
            return
        around = self.align(height=height, width=width)
        for row in range(around.row, around.row_stop, height):
            for col in range(around.col, around.col_stop, width):
                yield self.intersect(Window(row, col, height, width))
