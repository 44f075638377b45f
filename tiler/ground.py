"""How large a cell is on the ground, wherever it is and whatever the units of its CRS."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import pyproj

if TYPE_CHECKING:
    from geozarr import CRS, Grid


def cell_size_on_ground(grid: Grid) -> tuple[float, float]:
    """Measure the cell in the middle of a grid along its row and along its column, on the ellipsoid.

    Parameters
    ----------
    grid : Grid
        Any grid.

    Returns
    -------
    tuple of (float, float)
        Width and height, metres; 0 where the middle has no place on the ground.
    """
    row, col = grid.height / 2, grid.width / 2
    # Two cells centred on the middle: at a pole or at the end of the world one side alone may have no place.
    points = [grid.transform @ at for at in ((col - 1, row), (col + 1, row), (col, row - 1), (col, row + 1))]
    to_degrees, geod = _measure(grid.crs)
    lon, lat = to_degrees.transform([x for x, _ in points], [y for _, y in points])
    if not all(map(math.isfinite, (*lon, *lat))):
        return 0.0, 0.0
    _, _, distances = geod.inv(lon[::2], lat[::2], lon[1::2], lat[1::2])
    return distances[0] / 2, distances[1] / 2


@lru_cache(maxsize=64)
def _measure(crs: CRS) -> tuple[pyproj.Transformer, pyproj.Geod]:
    proj = crs.proj
    geodetic = proj.geodetic_crs
    assert geodetic is not None, "a CRS of a raster has one"
    geod = proj.get_geod()
    assert geod is not None, "and an ellipsoid"
    return pyproj.Transformer.from_crs(proj, geodetic, always_xy=True), geod
