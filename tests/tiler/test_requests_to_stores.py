"""What a tile costs at the store: at most two requests when nothing is known of its chunk, one afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import rioxarray  # noqa: F401 - gives arrays their `rio`
import xarray as xr
from starlette.testclient import TestClient

import pyramids
from store_requests import Requests
from tiler.app import create_app
from tiler.pyramid import open_pyramid
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from pathlib import Path


def field() -> xr.DataArray:
    x, y = 12 + 0.001 * np.arange(700), 47 - 0.001 * np.arange(500)
    values = np.hypot(*np.meshgrid(x - 14, y - 45)).astype(np.float32)
    return xr.DataArray(values, {"y": y, "x": x}, name="distance").rio.write_crs(4326)


@pytest.mark.parametrize("shard", ["none", 512])
def test_a_cold_tile_takes_two_requests_and_its_neighbours_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard: int | str
) -> None:
    path = tmp_path / "distance.zarr"
    pyramids.build(field(), path, shard=shard)
    finest = open_pyramid(path).levels.finest
    assert finest.limits is not None
    row, col = finest.limits.minTileRow + 1, finest.limits.minTileCol + 1
    with TestClient(create_app(Settings((Dataset("distance", path),)))) as client:
        assert client.get("/distance/info").status_code == 200  # opens the dataset
        asked = Requests(monkeypatch)
        address = f"/distance/tiles/WebMercatorQuad/{finest.name}"
        assert client.get(f"{address}/{col}/{row}.png").status_code == 200
        assert len(asked) <= 2, asked
        asked.clear()
        assert client.get(f"{address}/{col}/{row}.png?colormap_name=viridis").status_code == 200
        assert asked == []
        beside = col ^ 1  # of the same shard, where there are shards
        assert client.get(f"{address}/{beside}/{row}.png").status_code == 200
        assert len(asked) == 1, asked
