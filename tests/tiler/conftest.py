"""Small pyramids that the tests of the tile reader share, and what zarr-python reads from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from affine import Affine

from geozarr import crs, levels, store
from geozarr.grid import Grid
from pyramid_factory import Coordinate, Variable, web_mercator_levels, write_pyramid
from tiler.chunks import chunk_cache
from tiler.pyramid import open_pyramid
from tiler.source import PyramidSource

if TYPE_CHECKING:
    from pathlib import Path

ROW, COL = 195, 107  # tile of zoom 9 over the Front Range: the whole of every aligned pyramid here
SIDE = 512  # cells of the finest level, zoom 10: tiles (390, 214) to (391, 215)


@dataclass(frozen=True)
class Stored:
    """A pyramid on disk."""

    path: Path

    def array(self, level: str, name: str) -> np.ndarray:
        """Values as zarr-python reads them."""
        return zarr.open_array(self.path / level / name, mode="r")[...]

    def source(self, **options: object) -> PyramidSource:
        opened = store.open_store(self.path)
        return PyramidSource(opened, open_pyramid(opened), cache=chunk_cache(2**26), **options)


def statistics_of(values: np.ndarray) -> dict[str, object]:
    valid = values[~np.isnan(values)].astype(float) if values.dtype.kind == "f" else values.astype(float)
    low, high = np.percentile(valid, (2, 98))
    keys = {"min": valid.min(), "max": valid.max(), "p2": low, "p98": high, "mean": valid.mean(), "std": valid.std()}
    return {"statistics": {"count": int(valid.size), **{key: float(value) for key, value in keys.items()}}}


def heights() -> np.ndarray:
    """Cells that all differ, NaN in the south-east quarter but for its first cell's neighbours in the other three."""
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    values = (1000 + rows * 2 + cols * 0.5).astype(np.float32)
    values[256:, 256:] = np.nan
    return values


def counts() -> np.ndarray:
    """Whole numbers above 0; 0 is missing: the north-west tile, and one cell of the south-east one."""
    values = np.random.default_rng(1).integers(1, 5000, (SIDE, SIDE)).astype(np.uint16)
    values[:256, :256] = 0
    values[300, 300] = 0
    return values


def colours() -> dict[str, Variable]:
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    planes = {"blue": rows // 2 % 256, "green": cols // 2 % 256, "red": (rows + cols) // 4 % 256}
    extra = {"ancillary_variables": "alpha"}
    bands = {
        name: Variable(plane.astype(np.uint8), attributes={"color_interpretation": name, **extra})
        for name, plane in planes.items()
    }
    opaque = np.where(rows + cols < 700, 255, 0).astype(np.uint8)
    return {**bands, "alpha": Variable(opaque, nodata=None, attributes={"color_interpretation": "alpha"})}


def stack() -> np.ndarray:
    return np.stack([heights(), heights() * 2, heights() * -3])


def series() -> np.ndarray:
    """Steps (time 5, level 2) of whole numbers that tell them apart: time + 10 x level + 100 x (row + column) + 1."""
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    steps = np.arange(5)[:, None] + 10 * np.arange(2)
    return (steps[..., None, None] + 100 * (rows + cols) + 1).astype(np.int32)


# Six-hourly but for a gap: 2024-01-01 00, 06, 12, 18 and 2024-01-03 00 o'clock.
TIME = Coordinate(np.array([0, 6, 12, 18, 48]), {"units": "hours since 2024-01-01", "long_name": "valid time"}, chunk=2)
LEVEL = Coordinate(np.array([850, 500], np.float32), {"units": "hPa"})
# The middles of December 1999, January and February 2000, of thirty days each.
MONTHS = Coordinate(np.array([15.0, 45.0, 75.0]), {"units": "days since 1999-12-01", "calendar": "360_day"})


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stored]:
    folder = tmp_path_factory.mktemp("stores")
    layout = web_mercator_levels(zoom=10, count=2, row=ROW, col=COL)
    height = {"height": Variable(heights(), float("nan"), attributes={"units": "m", **statistics_of(heights())})}
    count = {"count": Variable(counts(), 0)}
    axis = {"data": Variable(stack(), float("nan"), ("band",), attributes=statistics_of(stack()))}
    utm = Grid((300, 200), Affine(1000.0, 0.0, 440_000.0, 0.0, -1000.0, 4_430_000.0), crs.from_code("EPSG:32613"))
    native = levels.from_halving(utm, count=3, resampling_method="average")
    several = {
        "heat": Variable(series(), -1, ("time", "level")),
        "rain": Variable(series()[:, 0] + 5000, -1, ("time",)),
        "land": Variable(counts(), 0),
    }
    monthly = {"heat": Variable(series()[:3, 0], -1, ("time",))}
    plain = {"count": Variable(counts()[:300, :200] + np.uint16(1), None)}
    made = {
        "height": write_pyramid(folder / "height.zarr", layout, height),
        "count": write_pyramid(folder / "count.zarr", layout, count),
        "sharded": write_pyramid(folder / "sharded.zarr", layout, count, chunk=128, shard=256),
        "colour": write_pyramid(folder / "colour.zarr", layout, colours()),
        "stack": write_pyramid(folder / "stack.zarr", layout, axis),
        "series": write_pyramid(folder / "series.zarr", layout, several, coordinates={"time": TIME, "level": LEVEL}),
        "months": write_pyramid(folder / "months.zarr", layout, monthly, coordinates={"time": MONTHS}),
        "native": write_pyramid(folder / "native.zarr", native, plain, chunk=64),
    }
    return {name: Stored(path) for name, path in made.items()}
