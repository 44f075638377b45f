from __future__ import annotations

from typing import Any

import morecantile
import numpy as np
import pytest
import rioxarray  # noqa: F401 - gives xarray objects the `rio` that rio-tiler's reader asks for
import xarray as xr
from rasterio.crs import CRS
from rio_tiler.errors import InvalidBounds, PointOutsideBounds, TileOutsideBounds
from rio_tiler.io import XarrayReader
from rio_tiler.io.base import BaseReader

import tiler
from geozarr.errors import LimitError, MetadataError, ParameterError, StoreError, UnknownNameError
from tiler import PyramidReader

ROW, COL = 390, 214  # first tile of zoom 10, see conftest.py
MERCATOR = CRS.from_epsg(3857)


def same_in_xarray(stored: Any, name: str, *, nodata: float | None) -> XarrayReader:
    """rio-tiler's own reader of the finest level's values."""
    reader = PyramidReader(stored.path)
    level = reader.pyramid.levels.finest
    values = stored.array(level.asset, name)
    dims = (*(f"axis{index}" for index in range(values.ndim - 2)), "y", "x")
    coords = {"y": level.grid.y_centres(), "x": level.grid.x_centres()}
    coords |= {dim: np.arange(1, size + 1) for dim, size in zip(dims[:-2], values.shape[:-2], strict=True)}
    array = xr.DataArray(values, coords=coords, dims=dims, name=name).rio.write_crs(str(level.grid.crs))
    return XarrayReader(array if nodata is None else array.rio.write_nodata(nodata))


def test_it_is_a_rio_tiler_reader(stores: dict[str, Any]) -> None:
    assert tiler.PyramidReader is PyramidReader
    with PyramidReader(str(stores["count"].path)) as reader:
        assert isinstance(reader, BaseReader)
        assert (reader.minzoom, reader.maxzoom) == (9, 10)
        assert (reader.height, reader.width) == (512, 512)
        other = same_in_xarray(stores["count"], "count", nodata=0)
        assert reader.bounds == pytest.approx(other.bounds)
        assert reader.crs == other.crs
        assert reader.maxzoom == other.maxzoom


def test_tiles_are_stored_chunks_and_those_of_rio_tiler(stores: dict[str, Any]) -> None:
    reader = PyramidReader(stores["count"].path)
    other = same_in_xarray(stores["count"], "count", nodata=0)
    for x, y in ((COL, ROW), (COL + 1, ROW), (COL, ROW + 1), (COL + 1, ROW + 1)):
        image, expected = reader.tile(x, y, 10), other.tile(x, y, 10)
        assert image.array.shape == (1, 256, 256)
        assert image.data.dtype == np.uint16
        assert image.crs == expected.crs
        assert image.bounds == pytest.approx(expected.bounds)
        # The same grid, nearest: every pixel. (rio-tiler leaves the NW tile, which holds nothing, masked too.)
        assert np.array_equal(image.array.mask, expected.array.mask)
        assert np.array_equal(image.array.filled(0), expected.array.filled(0))
    assert image.band_descriptions == ["count"]
    assert image.nodata == 0


def test_larger_tiles_come_from_the_finer_level(stores: dict[str, Any]) -> None:
    reader = PyramidReader(stores["count"].path)
    image = reader.tile(COL // 2, ROW // 2, 9, tilesize=512)
    assert np.array_equal(image.data[0], stores["count"].array("10", "count"))


@pytest.mark.parametrize("name", ["count", "stack"])
def test_an_image_may_be_changed_and_the_next_one_is_as_stored(stores: dict[str, Any], name: str) -> None:
    reader = PyramidReader(stores[name].path)
    before = reader.tile(COL + 1, ROW, 10).array.copy()
    changed = reader.tile(COL + 1, ROW, 10)
    changed.rescale(in_range=((0, 1000),) * changed.count)
    changed.array[...] = 0
    assert np.array_equal(reader.tile(COL + 1, ROW, 10).data, before.data, equal_nan=True)


def test_all_rasters_of_an_axis_or_some(stores: dict[str, Any]) -> None:
    reader, values = PyramidReader(stores["stack"].path), stores["stack"].array("10", "data")[:, :256, 256:]
    assert np.array_equal(reader.tile(COL + 1, ROW, 10, variables="data").data, values, equal_nan=True)
    image = reader.tile(COL + 1, ROW, 10, variables=["data"], indexes=[3, 1])
    assert np.array_equal(image.data, values[[2, 0]], equal_nan=True)
    assert image.band_descriptions == ["data_3", "data_1"]
    assert reader.tile(COL + 1, ROW, 10).count == 1


def test_a_mask_beside_the_data_is_in_the_image(stores: dict[str, Any]) -> None:
    image = PyramidReader(stores["colour"].path).tile(COL + 1, ROW, 10)
    opaque = stores["colour"].array("10", "alpha")[:256, 256:] != 0
    assert image.band_descriptions == ["red", "green", "blue"]
    assert np.array_equal(~image.array.mask, np.broadcast_to(opaque, (3, 256, 256)))


@pytest.mark.parametrize("zxy", [(10, 0, 0), (10, COL, ROW + 2), (30, 0, 0), (2, 0, 0), (10, 2000, 0)])
def test_a_tile_outside_is_rio_tilers_error(stores: dict[str, Any], zxy: tuple[int, int, int]) -> None:
    z, x, y = zxy
    with pytest.raises(TileOutsideBounds):
        PyramidReader(stores["count"].path).tile(x, y, z)


@pytest.mark.parametrize("tms_id", ["WorldCRS84Quad", "WGS1984Quad"])
def test_tiles_of_other_sets_agree_with_rio_tiler(stores: dict[str, Any], tms_id: str) -> None:
    tms = morecantile.tms.get(tms_id)
    reader = PyramidReader(stores["count"].path, tms=tms)
    level = reader.pyramid.levels.finest.grid
    other = XarrayReader(same_in_xarray(stores["count"], "count", nodata=0).input, tms=tms)
    xmin, ymin, xmax, ymax = reader.get_geographic_bounds(CRS.from_epsg(4326))
    tile = tms.tile(xmin * 0.4 + xmax * 0.6, ymin * 0.4 + ymax * 0.6, reader.maxzoom)
    image, expected = reader.tile(tile.x, tile.y, tile.z), other.tile(tile.x, tile.y, tile.z)
    assert level.cell_size[0] > 0
    # Both are nearest by GDAL, approximated within 1/8 cell from other windows: pixels near the edge of a cell differ.
    both = ~image.array.mask & ~expected.array.mask
    assert (image.array.mask == expected.array.mask).mean() > 0.98
    assert both.mean() > 0.1
    assert (image.data[both] == expected.data[both]).mean() > 0.9


def test_a_part_agrees_with_rio_tiler(stores: dict[str, Any]) -> None:
    reader = PyramidReader(stores["height"].path)
    other = same_in_xarray(stores["height"], "height", nodata=np.nan)
    west, south, east, north = reader.get_geographic_bounds(CRS.from_epsg(4326))
    box = (west + (east - west) * 0.2, south + (north - south) * 0.55, west + (east - west) * 0.45, north)
    for options in ({}, {"dst_crs": MERCATOR}, {"dst_crs": CRS.from_epsg(32613)}):
        image, expected = reader.part(box, **options), other.part(box, **options)
        assert abs(image.height - expected.height) <= 1
        assert abs(image.width - expected.width) <= 1
        image = reader.part(box, height=expected.height, width=expected.width, **options)
        assert image.crs == expected.crs
        assert image.bounds == pytest.approx(expected.bounds, rel=1e-3)
        both = ~image.array.mask & ~expected.array.mask
        assert both.mean() > 0.9
        # Heights rise by 2 a row and 0.5 a column; positions that differ by less than a cell differ by less than 2.5.
        assert np.abs(image.data[both] - expected.data[both]).max() <= 2.5


def test_a_part_on_the_grid_of_a_level_is_that_window(stores: dict[str, Any]) -> None:
    reader = PyramidReader(stores["count"].path)
    grid = reader.pyramid.levels.finest.grid
    x, y = grid.transform @ (300, 100)
    cell = grid.cell_size[0]
    image = reader.part((x, y - 50 * cell, x + 70 * cell, y), bounds_crs=MERCATOR)
    assert np.array_equal(image.data[0], stores["count"].array("10", "count")[100:150, 300:370])


def test_a_part_beside_the_data_is_masked(stores: dict[str, Any]) -> None:
    image = PyramidReader(stores["count"].path).part((0, 0, 1, 1), width=10, height=10)
    assert image.array.shape == (1, 10, 10)
    assert image.array.mask.all()


def test_an_empty_box_is_refused(stores: dict[str, Any]) -> None:
    with pytest.raises(InvalidBounds):
        PyramidReader(stores["count"].path).part((1, 1, 1, 2))


def test_a_preview_shows_everything_and_agrees_with_rio_tiler(stores: dict[str, Any]) -> None:
    reader = PyramidReader(stores["height"].path)
    image = reader.preview(max_size=256)
    # Half the finest size is the next level, cell for cell.
    assert np.array_equal(image.data[0], stores["height"].array("9", "height"), equal_nan=True)
    assert reader.preview(width=100).array.shape == (1, 100, 100)
    assert reader.preview().array.shape == (1, 512, 512)
    expected = same_in_xarray(stores["height"], "height", nodata=np.nan).preview(max_size=256)
    both = ~image.array.mask & ~expected.array.mask
    assert both.mean() > 0.7
    # rio-tiler samples every second cell, the pyramid holds the mean of four: half a step in each direction.
    assert np.abs(image.data[both] - expected.data[both]).max() <= 1.25 + 1e-3


def test_a_point_is_the_stored_value(stores: dict[str, Any]) -> None:
    reader, values = PyramidReader(stores["stack"].path), stores["stack"].array("10", "data")
    other = same_in_xarray(stores["stack"], "data", nodata=np.nan)
    grid = reader.pyramid.levels.finest.grid
    for row, col in ((10, 400), (500, 3), (400, 400)):
        x, y = grid.transform @ (col + 0.5, row + 0.5)
        found = reader.point(x, y, coord_crs=MERCATOR, variables="data")
        expected = other.point(x, y, coord_crs=MERCATOR)
        assert np.array_equal(found.array.mask, np.isnan(values[:, row, col]))
        assert np.array_equal(found.data, values[:, row, col], equal_nan=True)
        assert np.array_equal(found.array.filled(-1), expected.array.filled(-1))
        assert found.pixel_location == (col, row)
    with pytest.raises(PointOutsideBounds):
        reader.point(0, 0)


def test_a_feature_masks_what_it_does_not_touch(stores: dict[str, Any]) -> None:
    reader = PyramidReader(stores["height"].path)
    west, south, east, north = reader.get_geographic_bounds(CRS.from_epsg(4326))
    ring = [[west, north], [east, north], [west, south], [west, north]]  # the north-west half of the box
    shape = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    image = reader.feature(shape, width=64, height=64)
    expected = same_in_xarray(stores["height"], "height", nodata=np.nan).feature(shape, width=64, height=64)
    assert np.array_equal(image.cutline_mask, expected.cutline_mask)
    assert (image.array.mask == expected.array.mask).mean() > 0.98
    assert 0.4 < image.array.mask.mean() < 0.6


def test_info_describes_the_natural_picture(stores: dict[str, Any]) -> None:
    info = PyramidReader(stores["colour"].path).info()
    assert info.band_descriptions == [("b1", "red"), ("b2", "green"), ("b3", "blue")]
    assert info.colorinterp == ["red", "green", "blue"]
    assert (info.dtype, info.nodata_type, info.width, info.height) == ("uint8", "Alpha", 512, 512)
    assert info.crs == "http://www.opengis.net/def/crs/EPSG/0/3857"
    assert info.variables == ["blue", "green", "red"]
    assert info.overviews == [2]
    assert PyramidReader(stores["count"].path).info().nodata_type == "Nodata"
    assert PyramidReader(stores["native"].path).info().nodata_type == "None"


def test_statistics_are_those_of_the_values(stores: dict[str, Any]) -> None:
    values = stores["height"].array("10", "height").astype(float)
    (found,) = PyramidReader(stores["height"].path).statistics().values()
    assert found.min == np.nanmin(values)
    assert found.max == np.nanmax(values)
    assert found.mean == pytest.approx(np.nanmean(values))
    assert found.valid_percent == pytest.approx(100 * (~np.isnan(values)).mean(), abs=0.01)
    assert found.description == "height"


def test_a_nodata_value_can_be_given(stores: dict[str, Any]) -> None:
    stored = stores["native"]
    values = stored.array("0", "count")
    reader = PyramidReader(stored.path)
    grid = reader.pyramid.levels.finest.grid
    image = reader.part(tuple(grid.bounds), bounds_crs=reader.crs, nodata=int(values[0, 0]))
    assert np.array_equal(image.array.mask[0], values == values[0, 0])
    assert image.nodata == values[0, 0]
    assert not reader.part(tuple(grid.bounds), bounds_crs=reader.crs).array.mask.any()
    for value in (-9999, float("nan"), 0.5):
        with pytest.raises(ParameterError) as caught:
            reader.preview(nodata=value)
        assert caught.value.parameter == "nodata"


def test_native_pyramids_have_zooms_by_resolution(stores: dict[str, Any]) -> None:
    reader = PyramidReader(stores["native"].path)
    # 1000 m at 38.6 N is 1280 m in Web Mercator; zoom 7 has 1223 m, and 2 halvings lie between the levels.
    assert (reader.minzoom, reader.maxzoom) == (5, 7)
    assert reader.maxzoom == same_in_xarray(stores["native"], "count", nodata=None).maxzoom


def test_names_and_methods_that_do_not_exist_are_errors(stores: dict[str, Any]) -> None:
    reader = PyramidReader(stores["count"].path)
    with pytest.raises(UnknownNameError):
        reader.preview(variables="nothing")
    with pytest.raises(ParameterError):
        reader.preview(reproject_method="sharpest")
    with pytest.raises(ParameterError):
        reader.preview(indexes=2)
    with pytest.raises(LimitError):
        reader.part(reader.bounds, bounds_crs=reader.crs, height=10_000, width=10_000)


def test_a_place_without_a_pyramid_is_an_error(tmp_path: Any) -> None:
    with pytest.raises(StoreError):
        PyramidReader(tmp_path / "nothing.zarr")
    with pytest.raises(MetadataError):
        PyramidReader(tmp_path)


def test_steps_are_chosen_as_in_xarray(stores: dict[str, Any]) -> None:
    reader = PyramidReader(stores["series"].path)
    opened = xr.open_zarr(stores["series"].path, group="10", consolidated=False, decode_times=True)
    sel = ["time=nearest::2024-01-02T06:00", "level=500"]
    array = opened.heat.sel(level=500).sel(time="2024-01-02T06:00", method="nearest")
    grid = reader.pyramid.levels.finest.grid
    array = array.assign_coords(y=grid.y_centres(), x=grid.x_centres()).rio.write_crs(str(grid.crs))
    other = XarrayReader(array.rio.write_nodata(-1))
    image, expected = reader.tile(COL, ROW, 10, variables="heat", sel=sel), other.tile(COL, ROW, 10)
    assert np.array_equal(image.array.filled(-1), expected.array.filled(-1))
    assert image.band_descriptions == ["heat_2024-01-01T18:00:00Z_500"]
    west, south, east, north = reader.get_geographic_bounds(CRS.from_epsg(4326))
    lon, lat = west * 0.7 + east * 0.3, south * 0.4 + north * 0.6
    assert reader.point(lon, lat, variables="heat", sel=sel).data.tolist() == other.point(lon, lat).data.tolist()
    box = (west, lat, lon, north)
    ring = [[west, north], [lon, north], [west, lat], [west, north]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    for read in (
        lambda **options: reader.part(box, width=20, height=20, **options),
        lambda **options: reader.feature(shape, width=20, height=20, **options),
        lambda **options: reader.preview(20, **options),
    ):
        found, first = read(variables="heat", sel=sel).array, read(variables="heat", indexes=1).array
        # Steps differ by 1 in time and 10 in level everywhere; means of cells are rounded.
        assert found.shape == (1, 20, 20)
        assert np.abs(found - first - 13).max() <= 1
    statistics = reader.statistics(variables="rain", sel="time=2024-01-03")
    assert [item.min for item in statistics.values()] == [5005]


def test_what_selectors_leave_are_all_bands(stores: dict[str, Any]) -> None:
    reader = PyramidReader(stores["series"].path)
    image = reader.tile(COL, ROW, 10, variables="heat", sel=["level=850"])
    assert image.data[:, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert image.band_descriptions[4] == "heat_2024-01-03T00:00:00Z_850"
    assert reader.tile(COL, ROW, 10, variables="heat", indexes=2, sel=["time=2024-01-03"]).data[0, 0, 0] == 15
    assert reader.tile(COL, ROW, 10, variables="heat").count == 10
    for sel in (["depth=1"], ["time=2024-02"], ["time=1", "time=2"], "time"):
        with pytest.raises(ParameterError) as caught:
            reader.tile(COL, ROW, 10, variables="heat", sel=sel)
        assert caught.value.parameter == "sel"
