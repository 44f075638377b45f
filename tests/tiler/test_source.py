from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr
from affine import Affine
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

import pyramids
import store_requests
from builds import FakeSource
from geozarr import crs, store, tms
from geozarr.errors import ChunkReadError, LimitError, ParameterError, TileOutsideLimitsError, UnknownNameError
from geozarr.grid import Grid
from geozarr.window import Window
from pyramid_factory import Coordinate, Variable, web_mercator_levels, write_pyramid
from tiler.chunks import chunk_cache
from tiler.dimensions import parse_selectors
from tiler.pyramid import open_pyramid
from tiler.select import Tileset
from tiler.source import PyramidSource, ReadLimits

if TYPE_CHECKING:
    from pathlib import Path

ROW, COL = 390, 214  # first tile of zoom 10, see conftest.py
DEGREES = crs.from_code("EPSG:4326")


def tile(source: PyramidSource, zoom: int, row: int, col: int, *names: str, index: int = 1) -> Any:
    tileset = Tileset(source.pyramid.levels, tms.load("WebMercatorQuad"))
    bands = source.pyramid.bands(names, (index,) if names else ())
    return source.read_tile(tileset, str(zoom), row=row, col=col, bands=bands)


@pytest.mark.parametrize("name", ["count", "sharded"])
def test_tiles_equal_stored_chunks(stores: dict[str, Any], name: str) -> None:
    source, values = stores[name].source(), stores[name].array("10", "count")
    for row in range(2):
        for col in range(2):
            part = values[256 * row : 256 * row + 256, 256 * col : 256 * col + 256]
            block = tile(source, 10, ROW + row, COL + col, "count")
            assert block.values.dtype == np.uint16
            assert np.array_equal(block.values[0], part)
            assert np.array_equal(block.mask[0], part != 0)
    coarse = stores[name].array("9", "count")
    assert np.array_equal(tile(source, 9, ROW // 2, COL // 2, "count").values[0], coarse)


def test_a_tile_without_data_is_not_valid_anywhere(stores: dict[str, Any]) -> None:
    assert not tile(stores["count"].source(), 10, ROW, COL, "count").mask.any()


def test_nan_is_not_valid(stores: dict[str, Any]) -> None:
    block = tile(stores["height"].source(), 9, ROW // 2, COL // 2)
    expected = stores["height"].array("9", "height")
    assert np.array_equal(block.mask[0], ~np.isnan(expected))
    assert np.array_equal(block.values[0][block.mask[0]], expected[~np.isnan(expected)])


def test_a_number_of_a_float_array_may_mean_no_data(tmp_path: Path) -> None:
    values = np.arange(512 * 512, dtype=np.float32).reshape(512, 512)
    values[300:, 300:] = -9999
    layout = web_mercator_levels(zoom=10, count=1, row=ROW, col=COL)
    path = write_pyramid(tmp_path / "number.zarr", layout, {"height": Variable(values[:256, :256], -9999.0)})
    array = zarr.open_array(path / "10/height", mode="r+")
    array[...] = values[200:456, 200:456]
    array[3, 4] = np.nan
    opened = store.open_store(path)
    source = PyramidSource(opened, open_pyramid(opened), cache=chunk_cache(0))
    expected = values[200:456, 200:456] != -9999
    expected[3, 4] = False
    assert np.array_equal(tile(source, 10, ROW, COL).mask[0], expected)


def test_a_mask_beside_the_data_is_honoured(stores: dict[str, Any]) -> None:
    stored = stores["colour"]
    for zoom, level in ((10, "10"), (9, "9")):
        row, col = (ROW, COL + 1) if zoom == 10 else (ROW // 2, COL // 2)
        block = tile(stored.source(), zoom, row, col)
        window = np.s_[0:256, 256:512] if zoom == 10 else np.s_[:, :]
        opaque = stored.array(level, "alpha")[window] != 0
        assert 0 < opaque.sum() < opaque.size
        for index, name in enumerate(("red", "green", "blue")):
            assert np.array_equal(block.values[index][opaque], stored.array(level, name)[window][opaque])
            assert np.array_equal(block.mask[index], opaque)


@pytest.mark.parametrize(
    ("steps", "row", "col"), [(1, 1, 0), (1, 3, 1), (3, 5, 9), (6, 70, 65), (9, 700, 520), (12, 5000, 5)]
)
def test_finer_tiles_repeat_stored_cells(stores: dict[str, Any], steps: int, row: int, col: int) -> None:
    source, values = stores["count"].source(), stores["count"].array("10", "count")
    factor = 2**steps
    block = tile(source, 10 + steps, ROW * factor + row, COL * factor + col, "count")
    # Cells of the tile in cells of its zoom, from the pyramid's corner; the stored cell is the whole quotient.
    first_row, first_col = 256 * row, 256 * col
    near = values[first_row // factor :, first_col // factor :][: 256 // factor + 1, : 256 // factor + 1]
    repeated = near.repeat(factor, 0).repeat(factor, 1) if factor <= 256 else np.full((256, 256), near[0, 0])
    start_row, start_col = first_row % factor, first_col % factor
    if factor > 256:
        start_row = start_col = 0
    expected = repeated[start_row : start_row + 256, start_col : start_col + 256]
    assert np.array_equal(block.values[0], expected)
    assert np.array_equal(block.mask[0], expected != 0)


@pytest.mark.parametrize("zoom", [8, 7, 5])
def test_coarser_tiles_hold_means_of_the_coarsest_level(stores: dict[str, Any], zoom: int) -> None:
    source, coarse = stores["height"].source(), stores["height"].array("9", "height").astype(np.float64)
    factor = 2 ** (9 - zoom)
    row, col = ROW // 2, COL // 2  # the single tile of zoom 9
    block = tile(source, zoom, row // factor, col // factor)
    side = 256 // factor
    place = np.s_[(row % factor) * side :, (col % factor) * side :]
    found, mask = (array[0][place][:side, :side] for array in (block.values, block.mask))
    valid = ~np.isnan(coarse)
    shape = (side, factor, side, factor)
    weight = valid.reshape(shape).sum((1, 3))
    mean = np.where(valid, coarse, 0).reshape(shape).sum((1, 3)) / np.maximum(weight, 1)
    assert np.array_equal(mask, weight > 0)
    assert found[mask] == pytest.approx(mean[mask], rel=1e-6)
    assert block.mask.sum() == mask.sum()


def test_an_index_selects_along_the_leading_axis(stores: dict[str, Any]) -> None:
    stored = stores["stack"]
    expected = stored.array("10", "data")[:, 0:256, 256:512]
    for index in (1, 2, 3):
        block = tile(stored.source(), 10, ROW, COL + 1, "data", index=index)
        assert np.array_equal(block.values[0], expected[index - 1], equal_nan=True)


def test_windows_across_chunks_and_edges_are_assembled(stores: dict[str, Any]) -> None:
    stored = stores["sharded"]
    source = stored.source()
    block = source.read_window(0, Window(500, 100, 40, 300), source.pyramid.bands(("count",)))
    values = stored.array("10", "count")[500:512, 100:400]
    assert np.array_equal(block.values[0, :12], values)
    assert np.array_equal(block.mask[0, :12], values != 0)
    assert not block.mask[0, 12:].any()
    assert not source.read_window(0, Window(600, 0, 5, 5), source.pyramid.bands(())).mask.any()


def test_bands_of_several_dtypes_come_in_one_that_holds_them(stores: dict[str, Any]) -> None:
    count, height = stores["count"].source(), stores["height"].source()
    bands = (*count.pyramid.bands(()), *count.pyramid.bands(()))
    assert count.read_window(0, Window(0, 0, 4, 4), bands).values.shape == (2, 4, 4)
    assert height.read_window(0, Window(0, 0, 4, 4), height.pyramid.bands(())).values.dtype == np.float32


def test_a_point_has_the_stored_value_of_the_finest_level(stores: dict[str, Any]) -> None:
    stored = stores["count"]
    source, values = stored.source(), stored.array("10", "count")
    grid = source.pyramid.levels.finest.grid
    to_degrees = crs.transformer(grid.crs, DEGREES)
    for row, col in ((0, 300), (511, 511), (300, 301), (300, 300), (256, 255)):
        x, y = grid.transform @ (col + 0.25, row + 0.75)
        lon, lat = to_degrees.transform(x, y)
        block = source.read_point(lon, lat, DEGREES, source.pyramid.bands(()))
        assert block.values[0, 0, 0] == values[row, col]
        assert block.mask[0, 0, 0] == (values[row, col] != 0)
    assert source.read_point(0, 0, DEGREES, source.pyramid.bands(())) is None


def geotiff(values: np.ndarray, grid: Grid, nodata: float) -> bytes:
    with MemoryFile() as memory:
        profile = {"driver": "GTiff", "dtype": values.dtype, "count": 1, "nodata": nodata, "crs": str(grid.crs)}
        with memory.open(**profile, height=grid.height, width=grid.width, transform=grid.transform) as dataset:
            dataset.write(values, 1)
        return memory.read()


@pytest.mark.parametrize(
    ("name", "tms_id"), [("count", "WorldCRS84Quad"), ("count", "WGS1984Quad"), ("native", "WebMercatorQuad")]
)
def test_other_sets_agree_with_gdal_on_the_finest_level(stores: dict[str, Any], name: str, tms_id: str) -> None:
    stored = stores[name]
    source = stored.source()
    finest = source.pyramid.levels.finest
    nodata = 0 if name == "count" else 65535
    quad = tms.load(tms_id)
    tileset = Tileset(source.pyramid.levels, quad)
    bounds = finest.grid.bounds
    x, y = crs.transformer(finest.grid.crs, quad.crs).transform(
        bounds.xmin * 0.4 + bounds.xmax * 0.6, bounds.ymin * 0.4 + bounds.ymax * 0.6
    )
    zoom = tileset.maxzoom
    whole = quad.matrix_grid(zoom)
    col, row = (int(value // 256) for value in ~whole.transform @ (x, y))
    bands = source.pyramid.bands(())
    choice = tileset.choose(zoom, row=row, col=col, available=bands[0].variable.available)
    assert choice.level == 0
    block = source.read(choice, bands)
    target = whole.crop(quad.tile_window(zoom, row=row, col=col))
    with (
        MemoryFile(geotiff(stored.array(finest.asset, "count"), finest.grid, nodata)) as memory,
        memory.open() as raster,
    ):
        options = {"crs": str(quad.crs), "transform": target.transform, "height": 256, "width": 256, "nodata": nodata}
        with WarpedVRT(raster, **options) as warped:
            expected = warped.read(1)
    valid = expected != nodata
    assert valid.mean() > 0.1
    # Both are GDAL's, but its approximation (1/8 cell) depends on the piece that is warped: where the sampling point is
    # that close to the edge of a cell, the neighbour is right too.
    assert (block.mask[0] == valid).mean() > 0.98
    both = valid & block.mask[0]
    assert (block.values[0][both] == expected[both]).mean() > 0.9


def test_a_coarse_grid_of_a_native_pyramid_is_a_mean(stores: dict[str, Any]) -> None:
    stored = stores["native"]
    source = stored.source()
    grid = source.pyramid.levels.finest.grid
    target = Grid((3, 2), grid.transform @ Affine.scale(100), grid.crs)
    block = source.read_grid(target, source.pyramid.bands(()))
    means = stored.array("0", "count").astype(float).reshape(3, 100, 2, 100).mean((1, 3))
    # Levels are rounded once and then averaged again: half a count, and 100 is no multiple of the levels' 4 cells.
    assert block.values[0] == pytest.approx(means, abs=40)
    assert block.mask.all()


def test_a_far_tile_of_a_utm_pyramid_is_outside_and_the_world_shows_a_spot(stores: dict[str, Any]) -> None:
    source = stores["native"].source()
    tileset = Tileset(source.pyramid.levels, tms.load("WebMercatorQuad"))
    bands = source.pyramid.bands(())
    world = source.read_tile(tileset, "0", row=0, col=0, bands=bands)
    rows, cols = np.nonzero(world.mask[0])
    # 440 to 640 km east in zone 13 is 105.7 to 103.4 W: columns (180 - 105.7) / 360 * 256 = 52.8 to 54.5. The north is
    # at 40.0 N, the south at 37.3 N: rows 97.0 to 99.3. GDAL counts in what touches a cell.
    assert {97, 98} <= set(rows) <= {96, 97, 98, 99}
    assert {53} <= set(cols) <= {52, 53, 54}
    shown = [0, 0]
    for col in range(8):
        try:
            shown[0] += bool(source.read_tile(tileset, "3", row=3, col=col, bands=bands).mask.any())
        except TileOutsideLimitsError:
            shown[1] += 1
    assert shown[0] == 1


def test_a_target_that_touches_nothing_is_none(stores: dict[str, Any]) -> None:
    source = stores["count"].source()
    target = Grid((4, 4), Affine(1.0, 0.0, 20.0, 0.0, -1.0, 20.0), DEGREES)
    assert source.read_grid(target, source.pyramid.bands(())) is None


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (ReadLimits(chunks=3), "chunks of a read"),
        (ReadLimits(decoded_bytes=4 * 256 * 256 * 2 - 1), "decoded bytes of a read"),
        (ReadLimits(cells=512 * 512 - 1), "cells of a read"),
    ],
)
def test_a_read_that_costs_too_much_is_refused_unread(
    stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch, limits: ReadLimits, name: str
) -> None:
    source = stores["count"].source(limits=limits)
    store_requests.forbid(monkeypatch)
    with pytest.raises(LimitError) as caught:
        source.read_window(0, Window(0, 0, 512, 512), source.pyramid.bands(()))
    assert caught.value.limit == name


def test_limits_are_checked() -> None:
    with pytest.raises(ParameterError):
        ReadLimits(chunks=0)


def test_a_tile_outside_asks_the_store_for_nothing(stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    source = stores["count"].source()
    store_requests.forbid(monkeypatch)
    for zoom, row, col in ((10, 0, 0), (14, 1, 1), (3, 0, 0)):
        with pytest.raises(TileOutsideLimitsError):
            tile(source, zoom, row, col)


def test_a_damaged_chunk_is_an_error_and_its_neighbours_are_served(stores: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(stores["count"].path, tmp_path / "copy.zarr")
    (tmp_path / "copy.zarr/10/count/c/1/1").write_bytes(b"damaged")
    source = type(stores["count"])(tmp_path / "copy.zarr").source()
    with pytest.raises(ChunkReadError) as caught:
        tile(source, 10, ROW + 1, COL + 1)
    assert (caught.value.array, caught.value.chunk) == ("/10/count", "1.1")
    assert tile(source, 10, ROW + 1, COL).mask.all()


def test_where_a_mask_tells_an_absent_chunk_is_its_fill_value(stores: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(stores["colour"].path, tmp_path / "copy.zarr")
    copy = type(stores["colour"])(tmp_path / "copy.zarr")
    (copy.path / "10/red/c/0/1").unlink()
    block = tile(copy.source(), 10, ROW, COL + 1)
    opaque = stores["colour"].array("10", "alpha")[:256, 256:] != 0
    assert np.array_equal(block.mask[0], opaque)
    assert (block.values[0] == 255).all()  # the placeholder of unsigned bytes


def test_a_real_pyramid_is_served_chunk_by_chunk(data_dir: Path) -> None:
    path = data_dir / "zarr" / "conformance" / "base.zarr"
    if not path.is_dir():
        pytest.skip("no zarr/conformance/base.zarr among the test data")
    opened = store.open_store(path)
    source = PyramidSource(opened, open_pyramid(opened), cache=chunk_cache(2**24))
    tileset = Tileset(source.pyramid.levels, tms.load("WebMercatorQuad"))
    bands = source.pyramid.bands(("elevation",))
    for level in source.pyramid.levels.levels:
        values = zarr.open_array(path / level.asset / "elevation", mode="r")[...]
        found = np.zeros_like(values)
        mask = np.zeros(values.shape, bool)
        limits = level.limits
        for row in range(limits.height):
            for col in range(limits.width):
                place = np.s_[256 * row : 256 * row + 256, 256 * col : 256 * col + 256]
                tile_row, tile_col = limits.minTileRow + row, limits.minTileCol + col
                block = source.read_tile(tileset, level.asset, row=tile_row, col=tile_col, bands=bands)
                found[place], mask[place] = block.values[0], block.mask[0]
        assert np.array_equal(mask, values != -9999)
        assert np.array_equal(found[mask], values[mask])


@pytest.mark.parametrize("shard", ["none", 512])
def test_t19_a_lost_object_is_no_hole(tmp_path: Path, shard: int | str) -> None:
    """What the manifest has and the store has not is an error; what was never stored is not valid."""
    values = np.zeros((1, 700, 700), np.uint8)
    values[0, :300, :300] = 7
    path = tmp_path / "x.zarr"
    pyramids.build(FakeSource(values, nodata=0), path, tms="native", chunk=128, shard=shard)
    opened = store.open_store(path)
    source = PyramidSource(opened, open_pyramid(opened), cache=chunk_cache(0))
    bands = source.pyramid.bands((), ())
    whole = Window(0, 0, 700, 700)
    assert np.array_equal(source.read_window(0, whole, bands).mask[0], values[0] > 0)
    (path / "0/v0/c/0/0").unlink()
    with pytest.raises(ChunkReadError, match="is lost") as caught:
        source.read_window(0, whole, bands)
    assert caught.value.array == "/0/v0"


def line_of(tmp_path: Path, coordinate: Coordinate) -> PyramidSource:
    """A source whose one variable has a leading dimension "step" of some coordinate."""
    size = len(coordinate.values)
    layout = web_mercator_levels(zoom=10, count=1, row=ROW, col=COL)
    values = np.broadcast_to(np.arange(size, dtype=np.uint16)[:, None, None], (size, *layout.finest.grid.shape))
    variables = {"data": Variable(values, None, ("step",))}
    path = write_pyramid(tmp_path / "line.zarr", layout, variables, coordinates={"step": coordinate})
    opened = store.open_store(path)
    return PyramidSource(opened, open_pyramid(opened), cache=chunk_cache(0))


def positions(source: PyramidSource, *texts: str) -> dict[str, int]:
    return source.positions(parse_selectors(texts))


def test_dimensions_are_those_that_xarray_decodes(stores: dict[str, Any]) -> None:
    source = stores["series"].source()
    decoded = xr.open_zarr(stores["series"].path, group="10", consolidated=False, decode_times=True)
    time, level = source.dimensions
    assert (time.name, time.size, time.kind, time.units) == ("time", 5, "time", "hours since 2024-01-01")
    assert time.labels == tuple(f"{text}Z" for text in np.datetime_as_string(decoded.time.values, unit="s"))
    assert (level.name, level.kind, level.units, level.values) == ("level", "number", "hPa", (850.0, 500.0))
    for day in ("2024-01-01T07:00", "2024-01-02T12:00", "2023-01-01", "2030-01-01"):
        expected = decoded.heat.sel(time=day.replace("T", " "), level=600, method="nearest")
        found = positions(source, f"time=nearest::{day}", "level=nearest::600")
        (band,) = source.pyramid.bands(("heat",), (), found)
        assert band.lead == (found["time"], found["level"])
        assert np.array_equal(source.read_window(0, Window(0, 0, 512, 512), [band]).values[0], expected.values)


def test_other_calendars_have_their_own_days(stores: dict[str, Any]) -> None:
    source = stores["months"].source()
    # Days 15, 45 and 75 of months of thirty days, since the first of December.
    assert source.dimension("time").labels == ("1999-12-16", "2000-01-16", "2000-02-16")
    assert positions(source, "time=2000-02") == {"time": 2}
    assert positions(source, "time=pad::2000-02-15") == {"time": 1}
    with pytest.raises(ParameterError, match="of the calendar 360_day"):
        positions(source, "time=2000-01-31")


def test_a_coordinate_may_have_many_chunks_and_chunks_that_are_not_stored(tmp_path: Path) -> None:
    values = np.arange(50, dtype=np.int64)
    values[20:30] = 7  # chunks of nothing but the fill value, which zarr-python leaves out
    source = line_of(tmp_path, Coordinate(values, chunk=3, fill_value=7))
    assert not (tmp_path / "line.zarr/10/step/c/7").exists()
    assert source.dimension("step").values == tuple(values.tolist())


@pytest.mark.parametrize("dtype", [">f8", "<i2", "u1", "?", "f2"])
def test_coordinates_have_any_data_type(tmp_path: Path, dtype: str) -> None:
    values = np.array([0, 1, 1]).astype(dtype)
    source = line_of(tmp_path, Coordinate(values, chunk=2))
    assert source.dimension("step").values == (0, 1, 1)


def test_texts_are_read(tmp_path: Path) -> None:
    source = line_of(tmp_path, Coordinate(np.array(["red", "infra-red", "\U0001d11e"]), chunk=2))
    assert source.dimension("step").labels == ("red", "infra-red", "\U0001d11e")
    assert positions(source, "step=\U0001d11e") == {"step": 2}


def test_texts_of_any_length_are_positions(tmp_path: Path) -> None:
    source = line_of(tmp_path, Coordinate(np.array(["red", "nir"], np.dtypes.StringDType())))
    assert (source.dimension("step").kind, source.dimension("step").labels) == ("index", ("0", "1"))


def test_names_of_bands_choose_where_there_is_no_coordinate(stores: dict[str, Any]) -> None:
    source = stores["stack"].source()
    assert source.dimension("band").kind == "index"
    pyramid = source.pyramid
    named = replace(pyramid, variables=(replace(pyramid.variables[0], band_names=("a", "b", "c")),))
    source = PyramidSource(store.open_store(stores["stack"].path), named, cache=chunk_cache(0))
    assert positions(source, "band=b") == {"band": 1}


def test_a_coordinate_is_read_once_when_it_is_asked_for(
    stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    get = stores["series"].source()._chunks._store.get

    class Counting:
        location = "counted"

        def get(self, key: str, **options: Any) -> Any:
            counted.append(key)
            return get(key, **options)

    monkeypatch.setattr("tiler.chunks.open_store", lambda _: Counting())
    pyramid = stores["series"].source().pyramid
    source = PyramidSource(store.open_store(stores["series"].path), pyramid, cache=chunk_cache(0))
    source.pyramid.bands(("heat",), (3,))
    assert counted == []
    with ThreadPoolExecutor(8) as pool:
        hours = (f"time=pad::2024-01-01T{hour:02d}:00" for hour in range(24))
        found = list(pool.map(lambda text: positions(source, text)["time"], hours))
    assert found == [hour // 6 for hour in range(24)]
    assert sorted(counted) == ["10/time/c/0", "10/time/c/1", "10/time/c/2"]


def test_a_damaged_coordinate_is_an_error_and_data_are_served(stores: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(stores["series"].path, tmp_path / "copy.zarr")
    file = tmp_path / "copy.zarr/10/time/c/1"
    data = file.read_bytes()
    file.write_bytes(b"damaged")
    source = type(stores["series"])(tmp_path / "copy.zarr").source()
    for _ in range(2):
        with pytest.raises(ChunkReadError) as caught:
            positions(source, "time=2024-01-02")
        assert (caught.value.array, caught.value.chunk) == ("/10/time", "1")
    assert positions(source, "level=500") == {"level": 1}
    assert tile(source, 10, ROW, COL, "heat", index=3).mask.all()
    file.write_bytes(data)  # an error is not kept
    assert positions(source, "time=2024-01-01T18:00") == {"time": 3}


def test_bands_are_labelled_by_their_steps(stores: dict[str, Any]) -> None:
    source = stores["series"].source()
    chosen = positions(source, "time=2024-01-03")
    bands = source.labelled(source.pyramid.bands(("heat", "rain", "land"), (1,), chosen), chosen)
    assert [band.name for band in bands] == ["heat_2024-01-03T00:00:00Z_850", "rain_2024-01-03T00:00:00Z", "land"]
    bands = source.pyramid.bands(("heat",), (2,))
    assert source.labelled(bands, {}) == bands
    assert bands[0].name == "heat_2"


def test_a_step_without_a_value_is_named_by_its_number(tmp_path: Path) -> None:
    source = line_of(tmp_path, Coordinate(np.array([np.nan, 5.0])))
    (band,) = source.labelled(source.pyramid.bands(("data",), (), {"step": 0}), {"step": 0})
    assert band.name == "data_1"


def test_what_is_no_dimension_is_refused_unread(stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    source = stores["series"].source()
    store_requests.forbid(monkeypatch)
    with pytest.raises(ParameterError, match="a dimension of the data: time, level"):
        positions(source, "depth=1")
    with pytest.raises(UnknownNameError) as caught:
        source.dimension("depth")
    assert (caught.value.kind, caught.value.known) == ("dimension", ("time", "level"))
    assert source.positions(()) == {}
