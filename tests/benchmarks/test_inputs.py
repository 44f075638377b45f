from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
import xarray as xr

from benchmarks import inputs
from benchmarks.inputs import KINDS, Recipe
from geozarr import Window

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 600


def recipe(kind: str, *, side: int = SIDE, seed: int = 1) -> Recipe:
    return Recipe(kind, (side, side), "EPSG:32633", 10.0, (400_000.0, 6_800_000.0), seed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pixel_depends_on_its_place_alone(kind: str) -> None:
    whole = inputs.paint(recipe(kind), Window(0, 0, SIDE, SIDE))
    part = inputs.paint(recipe(kind), Window(217, 33, 251, 190))
    assert whole is not None
    assert part is not None
    np.testing.assert_array_equal(part, whole[:, 217:468, 33:223])


def test_another_seed_paints_another_landscape() -> None:
    window = Window(200, 200, 100, 100)
    one, other = (inputs.paint(recipe("elevation", seed=seed), window) for seed in (1, 2))
    assert one is not None
    assert other is not None
    assert (one != other).mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_nodata_stands_exactly_where_there_is_no_data(kind: str) -> None:
    window = Window(0, 0, SIDE, SIDE)
    pixels = inputs.paint(recipe(kind), window)
    assert pixels is not None
    expected = np.broadcast_to(inputs.has_data(recipe(kind), window), pixels.shape)
    np.testing.assert_array_equal(pixels != KINDS[kind].nodata, expected)
    assert 0 < expected.mean() < 1


def test_islands_fill_two_percent() -> None:
    # 24 circles of a radius such that 24 pi r^2 is 2 % of the area; at 2000 px counting pixels is off by under 1 %.
    share = inputs.has_data(recipe("islands", side=2000), Window(0, 0, 2000, 2000)).mean()
    assert share == pytest.approx(0.02, rel=0.01)


def test_a_window_without_data_is_none() -> None:
    assert inputs.paint(recipe("elevation"), Window(0, 0, 5, 5)) is None


def test_the_geotiff_holds_what_was_painted(tmp_path: Path) -> None:
    path = inputs.make_geotiff(recipe("reflectance"), tmp_path)
    with rasterio.open(path) as dataset:
        assert dataset.nodata == 0
        assert dataset.block_shapes == [(512, 512)] * 4
        assert dataset.scales == (1e-4,) * 4
        np.testing.assert_array_equal(dataset.read(), inputs.paint(recipe("reflectance"), Window(0, 0, SIDE, SIDE)))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_blocks_without_data_are_absent_from_the_geotiff(tmp_path: Path) -> None:
    side = 4096
    with rasterio.open(inputs.make_geotiff(recipe("islands", side=side), tmp_path)) as dataset:
        offsets = [
            dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1)
            for row in range(side // 512)
            for col in range(side // 512)
        ]
    with_data = sum(
        bool(inputs.has_data(recipe("islands", side=side), Window(row, col, 512, 512)).any())
        for row in range(0, side, 512)
        for col in range(0, side, 512)
    )
    assert sum(offset is not None for offset in offsets) == with_data < len(offsets)


def test_the_zarr_store_opens_masked_in_xarray(tmp_path: Path) -> None:
    path = inputs.make_zarr(recipe("elevation"), tmp_path)
    with xr.open_zarr(path, chunks=None, decode_coords="all", consolidated=False) as dataset:
        valid = inputs.has_data(recipe("elevation"), Window(0, 0, SIDE, SIDE))
        np.testing.assert_array_equal(np.isnan(dataset["elevation"].values), ~valid)
        # Centres: half a cell in from the corner at (400000, 6800000).
        assert (dataset["x"].values[0], dataset["y"].values[0]) == (400_005.0, 6_799_995.0)
        assert "crs_wkt" in dataset["spatial_ref"].attrs
