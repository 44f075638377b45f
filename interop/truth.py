"""What a reader should find in a store, taken from it through zarr-python before anything in it is broken."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from affine import Affine
from pyproj import Transformer
from zarr.storage import MemoryStore

from geozarr import cf, levels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from geozarr import CRS

# Where the finest level is looked at, as parts of its height and width; the hole of the matrix covers the last two.
_PLACES = ((0.03, 0.04), (0.21, 0.93), (0.47, 0.5), (0.71, 0.17), (0.97, 0.96), (0.55, 0.78), (0.3, 0.3), (0.36, 0.42))


@dataclass(frozen=True)
class Point:
    """A pixel and what it holds: None where there is no data."""

    row: int
    col: int
    x: float
    y: float
    lon: float
    lat: float
    value: float | None


@dataclass(frozen=True)
class Level:
    """A level: its path relative to the pyramid, (rows, columns), and the transform `a b c d e f`."""

    asset: str
    shape: tuple[int, int]
    transform: tuple[float, ...]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Box of the outer edges, `xmin ymin xmax ymax`."""
        a, _, c, _, e, f = self.transform
        xs, ys = sorted((c, c + a * self.shape[1])), sorted((f, f + e * self.shape[0]))
        return xs[0], ys[0], xs[1], ys[1]


@dataclass(frozen=True)
class Truth:
    """What is in a store.

    Parameters
    ----------
    group, variable : str
        Path of the pyramid, "" for the root; the variable that is looked at.
    epsg : int
        Code of the CRS.
    proj4 : str
        The CRS for clients that take no other form.
    dimensions : tuple of str
        Row and column axis.
    leading : tuple of (str, int)
        The other axes, and the index that is looked at: the last.
    levels : tuple of Level
        Finest first.
    points : tuple of Point
        Pixels of the finest level, as stored.
    scale, offset : float
        Of packed values.
    """

    group: str
    variable: str
    epsg: int
    proj4: str
    dimensions: tuple[str, str]
    leading: tuple[tuple[str, int], ...]
    levels: tuple[Level, ...]
    points: tuple[Point, ...]
    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_packed(self) -> bool:
        """True where values are stored packed."""
        return (self.scale, self.offset) != (1.0, 0.0)

    def unpacked(self, value: float) -> float:
        """Value of a packed one."""
        return value * self.scale + self.offset


def read(objects: Mapping[str, bytes], variable: str) -> Truth:
    """Take the truth from the objects of a good pyramid at the root of a store."""
    root = zarr.open_group(stored(objects), mode="r", use_consolidated=False)
    model = levels.from_attributes(dict(root.attrs))
    found = tuple(Level(lvl.asset, lvl.grid.shape, tuple(lvl.grid.transform)[:6]) for lvl in model.levels)
    array = zarr.open_array(root.store, path=f"{found[0].asset}/{variable}", mode="r", zarr_format=3)
    values = np.asarray(array[...])
    leading = tuple(
        (str(name), size - 1)
        for name, size in zip(_names(array), array.shape, strict=True)
        if name not in model.dimensions
    )
    values = values[tuple(index for _, index in leading)]
    valid = _valid(values, dict(array.attrs))
    epsg = int((model.crs.code or "").split(":")[1])
    return Truth(
        group="",
        variable=variable,
        epsg=epsg,
        proj4=_proj4(model.crs) if epsg not in (4326, 3857) else "",
        dimensions=model.dimensions,
        leading=leading,
        levels=found,
        points=_points(values, valid, found[0], epsg),
    )


def flipped(truth: Truth) -> Truth:
    """Turn the rows of every level: the first one is the southernmost, and holds what it held."""
    turned = tuple(
        replace(level, transform=(a, b, c, d, -e, f + e * level.shape[0]))
        for level in truth.levels
        for a, b, c, d, e, f in [level.transform]
    )
    transform = Affine(*turned[0].transform)
    return replace(truth, levels=turned, points=tuple(_placed(point, transform, truth.epsg) for point in truth.points))


def shifted(truth: Truth) -> Truth:
    """Move every level by half of its cells up and left: its transform speaks of centres."""
    moved = tuple(
        replace(level, transform=(a, b, c - a / 2, d, e, f - e / 2))
        for level in truth.levels
        for a, b, c, d, e, f in [level.transform]
    )
    transform = Affine(*moved[0].transform)
    return replace(truth, levels=moved, points=tuple(_placed(point, transform, truth.epsg) for point in truth.points))


def _points(values: NDArray[Any], valid: NDArray[Any], level: Level, epsg: int) -> tuple[Point, ...]:
    transform = Affine(*level.transform)
    found = []
    for down, right in _PLACES:
        row, col = int(down * values.shape[0]), int(right * values.shape[1])
        value = float(values[row, col]) if valid[row, col] else None
        found.append(_placed(Point(row, col, 0.0, 0.0, 0.0, 0.0, value), transform, epsg))
    return tuple(found)


def _placed(point: Point, transform: Affine, epsg: int) -> Point:
    x, y = transform @ (point.col + 0.5, point.row + 0.5)
    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y)
    return replace(point, x=x, y=y, lon=lon, lat=lat)


def _names(array: zarr.Array[Any]) -> tuple[str | None, ...]:
    return tuple(getattr(array.metadata, "dimension_names", None) or ())


def _valid(values: NDArray[Any], attributes: dict[str, Any]) -> Any:
    if "_FillValue" not in attributes:
        return np.ones(values.shape, bool)
    missing = cf.decode_missing_value(attributes["_FillValue"], values.dtype, node="")
    return ~np.isnan(values) if np.isnan(missing) else values != missing


def _proj4(crs: CRS) -> str:
    with warnings.catch_warnings(category=UserWarning, action="ignore"):  # it names the datum, which is enough here
        return str(crs.proj.to_proj4())


def stored(objects: Mapping[str, bytes]) -> MemoryStore:
    """Open objects as a store for zarr-python."""
    from zarr.core.buffer import cpu  # noqa: PLC0415 - zarr-python has no public name for it

    return MemoryStore({key: cpu.Buffer.from_bytes(data) for key, data in objects.items()})
