"""Where a picture is of: everything, a box, or a geometry; each gives a grid once a pyramid is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from geozarr import crs as crs_module
from geozarr.errors import MetadataError, ParameterError, UnsupportedError
from tiler import describe, extent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geozarr import CRS, Levels
    from geozarr.grid import Bounds, Grid


@dataclass(frozen=True)
class Size:
    """How large a picture is to be; what is not given is chosen.

    Parameters
    ----------
    width, height : int or None
        Pixels.
    max_size : int or None
        Pixels of the longer side, where neither is given.
    """

    width: int | None = None
    height: int | None = None
    max_size: int | None = None


class Place(Protocol):
    """Where a picture is of. Implementations are frozen, hashable and have a stable `repr`."""

    def grid(self, levels: Levels) -> Grid:
        """Pixels of the picture; raises `ParameterError` where a pyramid has none for it."""


@dataclass(frozen=True)
class Everything:
    """All of a pyramid.

    Parameters
    ----------
    crs : str or None
        Code of the picture's CRS; that of the pyramid without.
    size : Size
        Size of the picture.
    """

    crs: str | None
    size: Size

    def grid(self, levels: Levels) -> Grid:
        """Pixels of the picture."""
        crs = levels.crs if self.crs is None else crs_of(self.crs, "dst_crs")
        return _grid(levels, levels.finest.grid.bounds, levels.crs, crs, self.size)


@dataclass(frozen=True)
class Box:
    """A box.

    Parameters
    ----------
    bounds : Bounds
        Its sides.
    given : str or None
        Code of their CRS; longitude and latitude without.
    crs : str or None
        Code of the picture's CRS; that of the sides without.
    size : Size
        Size of the picture.
    """

    bounds: Bounds
    given: str | None
    crs: str | None
    size: Size

    def grid(self, levels: Levels) -> Grid:
        """Pixels of the picture."""
        given = _given(self.given)
        return _grid(levels, self.bounds, given, given if self.crs is None else crs_of(self.crs, "dst_crs"), self.size)


@dataclass(frozen=True)
class Outline:
    """A geometry; what lies outside is not shown.

    Parameters
    ----------
    text : str
        The geometry as GeoJSON.
    given : str or None
        Code of its CRS; longitude and latitude without.
    crs : str or None
        Code of the picture's CRS; that of the geometry without.
    size : Size
        Size of the picture.
    """

    text: str
    given: str | None
    crs: str | None
    size: Size

    @property
    def geometry(self) -> dict[str, Any]:
        """The geometry."""
        geometry: dict[str, Any] = json.loads(self.text)
        return geometry

    def grid(self, levels: Levels) -> Grid:
        """Pixels of the picture."""
        given = _given(self.given)
        crs = given if self.crs is None else crs_of(self.crs, "dst_crs")
        return _grid(levels, extent.box_of(self.geometry), given, crs, self.size)

    def mask(self, grid: Grid) -> NDArray[np.bool_]:
        """Tell which cells of a grid it touches."""
        return extent.geometry_mask(self.geometry, _given(self.given), grid)

    def coverage(self, grid: Grid) -> NDArray[np.floating[Any]]:
        """Tell which part of each cell lies within it."""
        return extent.coverage(self.geometry, _given(self.given), grid)


def crs_of(code: str, name: str = "coord_crs") -> CRS:
    """Look a CRS up by the code of a request.

    Raises
    ------
    ParameterError
        If PROJ does not know it.
    """
    try:
        return crs_module.from_code(code)
    except MetadataError as error:
        raise ParameterError(name, found=code, expected="a code that PROJ knows") from error


def _given(code: str | None) -> CRS:
    return describe.longitude_latitude() if code is None else crs_of(code)


def _grid(levels: Levels, bounds: Bounds, given: CRS, crs: CRS, size: Size) -> Grid:
    try:
        return extent.part_grid(
            levels, bounds, given, crs, height=size.height, width=size.width, max_size=size.max_size
        )
    except UnsupportedError as error:
        expected = f"CRS that {levels.crs} can be told in"
        raise ParameterError("coord_crs, dst_crs", found=f"{given}, {crs}", expected=expected) from error
