"""Where the pixels of a raster lie that no affine transform places: the Placement of a source.

`Rectilinear` has a coordinate for each row and each column, evenly spaced or not; `ControlPoints` a polynomial through
points of known position; `Geolocation` (pyramids/geolocation.py) a longitude and a latitude for each pixel. Each gives
both directions, in pixels of the raster, (0, 0) being the outer corner of the first pixel, so that warping reads the
raster's own pixels: nothing is resampled twice.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from rasterio.control import GroundControlPoint
from rasterio.transform import GCPTransformer

from geozarr.crs import full_turn
from geozarr.errors import MetadataError
from geozarr.grid import Bounds, Grid
from geozarr.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geozarr.crs import CRS

_OUTLINE = 129  # points along each side, and along each edge, that tell the bounds
_LEAST_POINTS = 3  # control points that an affine polynomial needs
_ASTRAY = 0.1  # of the raster's extent: polynomials of both directions through real points differ by some pixels


class Placement(ABC):
    """Pixels on the ground, without an affine transform.

    Parameters
    ----------
    shape : tuple of (int, int)
        Rows and columns.
    crs : CRS
        What the coordinates mean.
    """

    is_north_up = False
    is_rectilinear = False

    def __init__(self, shape: tuple[int, int], crs: CRS) -> None:
        self.shape = (int(shape[0]), int(shape[1]))
        self.crs = crs

    def __eq__(self, other: object) -> bool:
        return self.to_document() == other.to_document() if isinstance(other, Placement) else NotImplemented

    def __hash__(self) -> int:
        return hash(repr(self.to_document()))

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

    @cached_property
    def bounds(self) -> Bounds:
        """Box around points of the outline and inside, in CRS units."""
        cols, rows = _spread(self.shape)
        x, y = self.coordinates(cols, rows)
        usable = np.isfinite(x) & np.isfinite(y)
        if not usable.any():
            raise MetadataError("placement", "coordinates", found="no finite one", expected="some")
        return Bounds(*(float(found) for found in (x[usable].min(), y[usable].min(), x[usable].max(), y[usable].max())))

    @cached_property
    def cell_size(self) -> tuple[float, float]:
        """Median side lengths of a pixel in CRS units, positive: along rows, and along columns."""
        cols, rows = _spread((self.height - 1, self.width - 1))
        x, y = self.coordinates(cols, rows)
        sides = []
        for right, down in ((1, 0), (0, 1)):
            to_x, to_y = self.coordinates(cols + right, rows + down)
            with np.errstate(invalid="ignore"):
                length = np.hypot(to_x - x, to_y - y)
            usable = length[np.isfinite(length)]
            sides.append(float(np.median(usable)) if usable.size else math.nan)
        return sides[0], sides[1]

    @property
    def turn(self) -> tuple[float, float]:
        """Columns and rows that one turn around the globe makes; zeros where that cannot be said."""
        return 0.0, 0.0

    @property
    def resident_bytes(self) -> int:
        """Bytes that it keeps in memory, where these are worth counting."""
        return 0

    @property
    def has_axes(self) -> bool:
        """True where x depends on the column alone, and y on the row."""
        return False

    @property
    @abstractmethod
    def kind(self) -> str:
        """What it is called."""

    @abstractmethod
    def coordinates(
        self, cols: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where positions in pixels lie: x and y in CRS units; NaN where that is not known."""

    @abstractmethod
    def positions(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Which columns and rows coordinates fall on, in pixels; NaN where on none."""

    @abstractmethod
    def to_document(self) -> dict[str, Any]:
        """Return what tells it from others, as JSON."""


AnyGrid: TypeAlias = Grid | Placement


def resident_bytes(grid: AnyGrid) -> int:
    """Bytes that a grid, or what else places pixels, keeps in memory."""
    return grid.resident_bytes if isinstance(grid, Placement) else 0


class Rectilinear(Placement):
    """A coordinate for each column and each row, as CF's 1-D coordinate variables have them.

    Between the centres of two pixels positions are linear, so that the edge between them lies in the middle; beyond the
    first and the last centre half a pixel follows of the size of the nearest one.

    Parameters
    ----------
    x, y : ndarray, shape (col,) and (row,)
        Centres of columns and rows, each strictly growing or falling.
    crs : CRS
        What they mean.

    Raises
    ------
    MetadataError
        If there are less than two of one, or they do not grow or fall.
    """

    kind = "rectilinear"

    def __init__(self, x: NDArray[np.float64], y: NDArray[np.float64], crs: CRS) -> None:
        super().__init__((y.size, x.size), crs)
        self._x, self._y = _Line.of(x, "x"), _Line.of(y, "y")

    @property
    def has_axes(self) -> bool:
        """True: each axis has coordinates of its own."""
        return True

    @cached_property
    def turn(self) -> tuple[float, float]:
        """Columns of one turn, where longitudes are evenly spaced."""
        if not self.crs.is_geographic or not self._x.is_even:
            return 0.0, 0.0
        return full_turn(self.crs) / self._x.step, 0.0

    def coordinates(
        self, cols: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Placement.coordinates`."""
        return self._x.at(cols), self._y.at(rows)

    def positions(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Placement.positions`."""
        if self.crs.is_geographic:
            west = min(self._x.at(np.array([0.0, float(self.width)])))
            with np.errstate(invalid="ignore"):
                x = west + np.mod(x - west, full_turn(self.crs))
        return self._x.position(x), self._y.position(y)

    def to_document(self) -> dict[str, Any]:
        """Return it whole."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "wkt2": self.crs.wkt2,
            "x": self._x.centres.tolist(),
            "y": self._y.centres.tolist(),
        }


class _Line(NamedTuple):
    """Centres along an axis, and the numbers of the pixels in growing order of coordinates."""

    centres: NDArray[np.float64]
    growing: NDArray[np.float64]
    numbers: NDArray[np.float64]

    @classmethod
    def of(cls, centres: NDArray[np.float64], name: str) -> _Line:
        """Take the centres of an axis."""
        centres = np.asarray(centres, np.float64)
        steps = np.diff(centres)
        if centres.size < 2 or not np.isfinite(centres).all() or not ((steps > 0).all() or (steps < 0).all()):
            expected = "at least 2 finite centres that only grow, or only fall"
            found = ", ".join(f"{centre:g}" for centre in centres[:6]) + (", ..." if centres.size > 6 else "")
            raise MetadataError("placement", name, found=found, expected=expected)
        numbers = np.arange(centres.size) + 0.5
        order = slice(None) if steps[0] > 0 else slice(None, None, -1)
        return cls(centres, np.ascontiguousarray(centres[order]), np.ascontiguousarray(numbers[order]))

    @property
    def step(self) -> float:
        """Mean distance of two centres, positive."""
        return float(self.growing[-1] - self.growing[0]) / (self.growing.size - 1)

    @property
    def is_even(self) -> bool:
        """True where all centres are a step apart, but for rounding."""
        return bool(np.allclose(np.diff(self.growing), self.step, rtol=1e-3, atol=0))

    def at(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates of positions; linear beyond both ends."""
        return _interpolated(positions, np.arange(0.5, self.centres.size), self.centres)

    def position(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions of coordinates; linear beyond both ends."""
        return _interpolated(coordinates, self.growing, self.numbers)


def _interpolated(
    at: NDArray[np.float64], known: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate linearly, and go on beyond both ends as between the last two; NaN stays NaN."""
    at = np.asarray(at, np.float64)
    with np.errstate(invalid="ignore"):
        left = np.clip(np.searchsorted(known, at, side="right") - 1, 0, known.size - 2)
        share = (at - known[left]) / (known[left + 1] - known[left])
        return np.asarray(values[left] + share * (values[left + 1] - values[left]))


class ControlPoints(Placement):
    """Points of known position, and GDAL's polynomial through them (`GDALCreateGCPTransformer`, order by their number).

    A polynomial of the second order or more comes back to the same pixels elsewhere, as a parabola does. GDAL has one
    for each direction, and what the one leads to and the other does not lead back from is such a ghost.

    Parameters
    ----------
    shape : tuple of (int, int)
        Rows and columns.
    points : sequence of (float, float, float, float)
        Column, row, x and y of each.
    crs : CRS
        What x and y mean.

    Raises
    ------
    MetadataError
        If they are less than three, or lie on one line.
    """

    kind = "control points"

    def __init__(self, shape: tuple[int, int], points: Sequence[Sequence[float]], crs: CRS) -> None:
        super().__init__(shape, crs)
        self._points = tuple((float(col), float(row), float(x), float(y)) for col, row, x, y in points)
        if len(self._points) < _LEAST_POINTS:
            raise MetadataError("placement", "control points", found=len(self._points), expected="at least 3")
        if not np.isfinite(self._points).all():
            raise MetadataError("placement", "control points", found="one that is not finite", expected="finite ones")
        # Of all around the globe, those on the other side of the antimeridian would pull the polynomial apart.
        self._turned = _unwrapped(np.array(self._points)[:, 2], crs)
        try:
            found = self._solved(self._turned, np.array(self._points)[:, 3])
        except Exception as error:  # GDAL's error is of a private class of rasterio
            raise self._unsolvable() from error
        if not np.isfinite(found).all():
            raise self._unsolvable()

    def _unsolvable(self) -> MetadataError:
        expected = "points that do not lie on one line or two, so that a polynomial goes through them"
        return MetadataError("placement", "control points", found=f"{len(self._points)} points", expected=expected)

    def __reduce__(self) -> tuple[Any, ...]:
        return ControlPoints, (self.shape, self._points, self.crs)

    @property
    def count(self) -> int:
        """Number of points."""
        return len(self._points)

    @cached_property
    def residual(self) -> float:
        """Root of the mean square distance of the points from where the polynomial puts them, in pixels."""
        known = np.array(self._points)
        cols, rows = self._solved(self._turned, known[:, 3])
        return float(np.sqrt(np.mean((cols - known[:, 0]) ** 2 + (rows - known[:, 1]) ** 2)))

    @cached_property
    def _polynomial(self) -> GCPTransformer:
        return GCPTransformer(
            [
                GroundControlPoint(row=row, col=col, x=x, y=y, z=0.0)
                for (col, row, _, y), x in zip(self._points, self._turned, strict=True)
            ]
        )

    def coordinates(
        self, cols: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Placement.coordinates`."""
        x, y = self._polynomial.xy(np.ravel(rows), np.ravel(cols), offset="ul")
        return np.reshape(x, np.shape(cols)).astype(np.float64), np.reshape(y, np.shape(cols)).astype(np.float64)

    def positions(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Placement.positions`."""
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if self.crs.is_geographic:
            middle = (float(self._turned.min()) + float(self._turned.max())) / 2
            half = full_turn(self.crs) / 2
            with np.errstate(invalid="ignore"):
                x = middle + np.mod(x - middle + half, 2 * half) - half
        cols, rows = self._solved(x, y)
        back_x, back_y = self.coordinates(cols, rows)
        box = self.bounds
        width, height = box.xmax - box.xmin, box.ymax - box.ymin
        with np.errstate(invalid="ignore"):
            is_ghost = (np.abs(back_x - x) > _ASTRAY * width) | (np.abs(back_y - y) > _ASTRAY * height)
        return np.where(is_ghost, np.nan, cols), np.where(is_ghost, np.nan, rows)

    def _solved(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Columns and rows by the polynomial, ghosts among them."""
        usable = np.isfinite(x) & np.isfinite(y)
        cols, rows = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
        if usable.any():
            found_rows, found_cols = self._polynomial.rowcol(x[usable], y[usable], op=_unrounded)
            cols[usable], rows[usable] = found_cols, found_rows
        return cols, rows

    def to_document(self) -> dict[str, Any]:
        """Return it whole."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "wkt2": self.crs.wkt2,
            "points": [list(point) for point in self._points],
        }


def _unrounded(positions: Any) -> Any:
    return positions


def _unwrapped(longitudes: NDArray[np.float64], crs: CRS) -> NDArray[np.float64]:
    """Bring longitudes to one side where they lie on both sides of the antimeridian: the narrower way round."""
    if not crs.is_geographic:
        return longitudes
    turn = full_turn(crs)
    shifted = np.mod(longitudes, turn)
    return shifted if np.ptp(shifted) < np.ptp(longitudes) else longitudes


def digest(*arrays: NDArray[Any]) -> str:
    """Hash the values of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(repr((array.shape, array.dtype.str)).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:32]


def from_document(document: dict[str, Any], crs: CRS) -> Placement:
    """Read a placement back from JSON.

    One whose positions are too many for a document is described by it and no more: it equals the one that was written,
    and knows no positions.
    """
    rows, cols = document["shape"]
    if document["kind"] == Rectilinear.kind:
        return Rectilinear(np.array(document["x"]), np.array(document["y"]), crs)
    if document["kind"] == ControlPoints.kind:
        return ControlPoints((rows, cols), document["points"], crs)
    return _Described(document, crs)


class _Described(Placement):
    """A placement of which only the description is at hand."""

    def __init__(self, document: dict[str, Any], crs: CRS) -> None:
        rows, cols = document["shape"]
        super().__init__((rows, cols), crs)
        self._document = document

    @property
    def kind(self) -> str:
        return str(self._document["kind"])

    def coordinates(
        self, cols: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Placement.coordinates`."""
        raise NotImplementedError("the positions are the source's")

    def positions(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Placement.positions`."""
        raise NotImplementedError("the positions are the source's")

    def to_document(self) -> dict[str, Any]:
        """Return it whole."""
        return self._document


def _spread(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions all over a raster, its edges included."""
    rows, cols = np.meshgrid(
        np.linspace(0, max(0, shape[0]), _OUTLINE), np.linspace(0, max(0, shape[1]), _OUTLINE), indexing="ij"
    )
    return cols.ravel(), rows.ravel()
