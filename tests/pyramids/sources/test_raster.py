"""Raster files: real ones, and small ones written here for one trait each.

P-1, P-13, P-14, P-15 (georeference and nodata); B9, B13, B14, B15, B17, B18, B19, B20.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import shutil
import struct
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.env
import rasterio.shutil
import rasterio.warp
import rioxarray  # noqa: F401 - registers the `.rio` accessor
import xarray as xr
from affine import Affine
from obstore.store import MemoryStore
from rasterio.enums import ColorInterp, Resampling

import builds
import oracle
import pyramids
from geozarr import (
    ChunkReadError,
    GeoZarrError,
    MetadataError,
    ParameterError,
    StoreError,
    UnsupportedError,
    Window,
)
from pyramids import Plan, RasterSource, Slice
from pyramids.sources import raster

DESCRIPTORS = Path("/proc/self/fd")  # Linux: links to the files that the process has open

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
RGB = ("red", "green", "blue")
ONE = ("b1",)

# What each file of the folder is: names, dtype, nodata (None: alpha), or the error that refuses it and its key.
IN_SCOPE: dict[str, tuple[tuple[str, ...], str, float | None]] = {
    "RGB.byte.tif": (RGB, "uint8", 0),
    "RGBA.uint16.tif": (("blue", "green", "red"), "uint16", None),
    "above_landcover_31bands.tif": (tuple(f"b{number}" for number in range(1, 32)), "uint8", 255),
    "all-nodata.tif": (("blue", "green", "red", "nir"), "uint16", 0),
    "alpha.tif": (RGB, "uint8", None),
    "au-3577-rotated.tif": (ONE, "float32", math.nan),
    "au-3577.tif": (ONE, "uint8", 0),
    "bremen_sea_ice_conc_2022_9_9.tif": (ONE, "float32", math.nan),
    "ch-bw-rotated.tif": (ONE, "uint8", None),
    "cog_cmap.tif": (ONE, "uint8", 0),
    "cog_dateline.tif": (ONE, "uint16", None),
    "cog_fullearth.tif": (ONE, "float64", -1.2676506e30),
    "cog_gradient.tif": (("dataset",), "float32", math.nan),
    "cog_int16.tif": (ONE, "int16", -32768),
    "cog_nodata_nan.tif": (("gamma0_vv",), "float32", 0),
    "cog_rgb_mask.tif": (RGB, "uint8", None),
    "cog_scale.tif": (("b1", "b2"), "int16", 0),
    "cog_scale_epsg4326.tif": (("b1", "b2"), "int16", 0),
    "cog_with_nan.tif": (ONE, "float32", math.nan),
    "cog_world.tif": (ONE, "uint8", 0),
    "color_table_lcc.tif": (ONE, "uint8", None),
    "de-bw-radar.tif": (ONE, "uint32", 9999),
    "dem_epsg2056.tif": (ONE, "float32", -9999),
    "elevation-i16.tif": (ONE, "int16", -9999),
    "float64_nan.tif": (ONE, "float64", math.nan),
    "float_raster_with_nodata.tif": (ONE, "float32", float(np.float32(-3.4e38))),
    "gdal_small_world_pct.tif": (ONE, "uint8", None),
    "geolocation_lon180_lon360.tif": (("lyr_1", "lon", "lat", "alon"), "float32", math.nan),
    "geos_rgb.tif": (RGB, "uint8", None),  # it says nodata 0 too, but GDAL lets its mask overrule that
    "goes.tif": (RGB, "uint8", None),
    "gpm_1d.20240617.tif": (ONE, "uint16", None),
    "image_171px.tif": (RGB, "uint8", None),
    "int16_albers_nodata.tif": (ONE, "int16", -9999),
    "int64.tif": (ONE, "int64", None),
    "inverted_lat.tif": (ONE, "float32", -9999),
    "laea_colormap.tif": (ONE, "uint8", None),
    "landsat8_B4.tif": (ONE, "uint16", None),
    "landsat8_B5.tif": (ONE, "uint16", None),
    "masked.tif": (RGB, "uint8", None),
    "mosaic_cog1.tif": (("b1", "b2", "b3"), "uint16", 0),
    "mosaic_cog3.tif": (("b1", "b2", "b3"), "uint16", 0),
    "mt_hood_elev_utm10.tif": (ONE, "int16", 32767),
    "mt_hood_fuel_utm10.tif": (ONE, "int16", 32767),
    "naip_4band.tif": ((*RGB, "b4"), "uint8", None),
    "non-square-pixels.tif": (RGB, "uint8", None),
    "nsidc_S_20240101_concentration.tif": (ONE, "uint16", None),
    "nz_habitat_anticross_4326_1deg.tif": (ONE, "float32", -9999),
    "openlandmap_cropland_2016.tif": (ONE, "uint8", 255),
    "rgb1.tif": (RGB, "uint8", 0),
    "rgb1_fake_nir_epsg3857.tif": (ONE, "uint8", 0),
    "rgb2.tif": (RGB, "uint8", 0),
    "s2_B01.tif": (ONE, "uint16", 0),
    "s2_B09.tif": (ONE, "uint16", 0),
    "s2_TCI.tif": (RGB, "uint8", 0),
    "s2_b04_utm36.tif": (ONE, "uint16", 0),
    "s2_b08_utm36.tif": (ONE, "uint16", 0),
    "shade.tif": (ONE, "uint8", 255),
    "south-up.tif": (("rain_rate",), "float32", math.nan),
    "storml_sr_b4.tif": (ONE, "uint16", 0),
    "storml_sr_b5.tif": (ONE, "uint16", 0),
    "storml_sr_b6.tif": (ONE, "uint16", 0),
    "storml_treecover_palette.tif": (("layer_1",), "uint8", 255),
    "umbra_mount_yasur.tif": (ONE, "uint8", None),
    "web_z5_z11.tif": (RGB, "uint8", None),
    "world.byte.tif": (ONE, "uint8", None),
    "world.rgb.tif": (RGB, "uint8", None),
}
REFUSED: dict[str, tuple[type[GeoZarrError], str]] = {
    "cog_hirise_mars.tif": (UnsupportedError, "MARS"),
    "cog_nonearth.tif": (UnsupportedError, "EUROPA"),
    "float_nan.tif": (MetadataError, "crs"),
    "geoloc_latitude_including_pole.tif": (MetadataError, "transform"),
    "geoloc_longitude_including_pole.tif": (MetadataError, "transform"),
    "mask_8bit.tif": (MetadataError, "transform"),
    "rotated.tif": (MetadataError, "crs"),
    "LF20_F40_220.csv": (StoreError, "LF20_F40_220.csv"),
    "../broken/complex64.tif": (UnsupportedError, "complex64"),
    "../broken/slc_complex_gcps.tif": (UnsupportedError, "complex_int16"),
}
BY_POINTS = {"RGB.byte.gcp.vrt", "au-gcp.tif", "cog_gcps.tif"}  # see test_data_sources.py and test_placement.py
LARGE = {"cog_world.tif", "web_z5_z11.tif"}  # 648 and 214 Mpx: sampled at points instead of read whole
MOST = 1_500_000  # pixels of the finest level, all bands together: keeps these tests to seconds
EDGE = 0.02  # source pixels: nearer than this to an edge another pixel may be taken, since positions are 0.01 px off


@functools.cache
def built(path: Path) -> tuple[Plan, MemoryStore]:
    """Build a nearest pyramid whose finest level is no larger than `MOST`: the full zoom range where that allows."""
    source = RasterSource(path)
    plan = builds.plan_for(source, resampling="nearest")
    finest = int(plan.levels.assets[0])
    bands = len(source.variables)
    while plan.levels.finest.grid.window.size * bands > MOST and finest > 0:
        finest -= 1
        low = max(0, finest - 1)
        plan = builds.plan_for(source, resampling="nearest", max_zoom=finest, min_zoom=low)
    return plan, builds.run(plan, source)[0]


def looked_at(plan: Plan, most: int = 250) -> Window:
    """Part of the finest level about the middle of the data."""
    whole = plan.footprint
    height, width = min(whole.height, most), min(whole.width, most)
    return Window(whole.row + (whole.height - height) // 2, whole.col + (whole.width - width) // 2, height, width)


def exact_positions(dataset: Any, plan: Plan, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Source positions of a window's pixel centres, by one pyproj evaluation each, longitudes in the source's turn."""
    grid = plan.levels.finest.grid.crop(window)
    source = pyproj.CRS.from_wkt(dataset.crs.to_wkt())
    x, y = oracle.centres(grid.shape, tuple(grid.transform)[:6], crs=pyproj.CRS("EPSG:3857"), source=source)
    if source.is_geographic:
        west = dataset.bounds.left
        x = west + (x - west) % 360
    cols, rows = oracle.in_pixels(x, y, tuple(dataset.transform)[:6])
    if dataset.crs.to_epsg() == 3857:  # plain arithmetic: what is 1e-6 px off an edge is on it
        cols, rows = (np.where(np.abs(p - np.round(p)) < 1e-6, np.round(p), p) for p in (cols, rows))
    return cols, rows


def is_clear(cols: np.ndarray, rows: np.ndarray, *, edge: float) -> np.ndarray:
    """Which positions are finite and not next to an edge between two pixels."""
    with np.errstate(invalid="ignore"):
        across, along = (np.abs(positions - np.round(positions)) for positions in (cols, rows))
        across, along = (
            np.where(offset == 0, 1, offset) for offset in (across, along)
        )  # on an edge: its right or lower
        return np.isfinite(cols) & np.isfinite(rows) & (across > edge) & (along > edge)


def valid_pixels(dataset: Any, values: np.ndarray) -> np.ndarray:
    """Which pixels of band 1 hold data, as GDAL sees it, and not NaN."""
    mask = dataset.read_masks(1) > 0
    return mask & ~np.isnan(values) if values.dtype.kind == "f" else mask


def test_the_table_names_each_raster_of_the_folder(data_dir: Path) -> None:
    """A file that is added gets an expectation."""
    found = {path.name for path in (data_dir / "raster").iterdir()} - {"n43.dt0"}
    assert found == set(IN_SCOPE) | BY_POINTS | {name for name in REFUSED if not name.startswith("..")}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in IN_SCOPE]
)
def test_real_files_are_built_right(data_dir: Path, tmp_path: Path, name: str) -> None:
    """Names, dtype, nodata; CRS and transform in rioxarray; every pixel looked at is the one that pyproj names."""
    names, dtype, nodata = IN_SCOPE[name]
    plan, store = built(data_dir / "raster" / name)
    assert tuple(variable.name for variable in plan.data_variables) == names
    assert {variable.dtype.name for variable in plan.data_variables} == {dtype}
    for variable in plan.data_variables:
        np.testing.assert_equal(variable.nodata, nodata)
    assert plan.has_alpha == (nodata is None)
    builds.assert_levels_follow(store, dataclasses.replace(plan, variables=plan.variables[:1]))
    for key, data in builds.objects(store).items():
        target = tmp_path / "x.zarr" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    for level in plan.levels.levels:
        group = xr.open_zarr(tmp_path / "x.zarr", group=level.asset, consolidated=False)
        assert group.rio.crs.to_epsg() == 3857
        assert group[names[0]].rio.transform().almost_equals(Affine(*tuple(level.grid.transform)[:6]), 1e-6)
        assert group[names[0]].shape == level.grid.shape
        if nodata is not None:
            np.testing.assert_equal(float(group[names[0]].rio.encoded_nodata), nodata)
    _assert_nearest(data_dir / "raster" / name, plan, store, names[0])


def _assert_nearest(path: Path, plan: Plan, store: MemoryStore, name: str) -> None:
    """Compare the middle of band 1 with the pixels under pyproj's positions, but for those next to an edge."""
    window = looked_at(plan)
    asset = plan.levels.assets[0]
    found = builds.read(store, f"{asset}/{name}")[window.slices]
    found_valid = builds.validity(store, asset, name)[window.slices]
    with rasterio.open(path) as dataset:
        cols, rows = exact_positions(dataset, plan, window)
        clear = is_clear(cols, rows, edge=1e-5 if dataset.crs.to_epsg() == 3857 else EDGE)
        assert clear.any()
        inside = clear & (cols >= 0) & (rows >= 0) & (cols < dataset.width) & (rows < dataset.height)
        if path.name in LARGE:
            chosen = np.argwhere(inside)[:: max(1, int(inside.sum()) // 300)]
            for i, j in chosen:
                here = rasterio.windows.Window(int(cols[i, j]), int(rows[i, j]), 1, 1)
                value = dataset.read(1, window=here)[0, 0]
                valid = dataset.read_masks(1, window=here)[0, 0] > 0
                assert found_valid[i, j] == valid
                assert not valid or found[i, j] == value
            return
        values = dataset.read(1)
        valid = valid_pixels(dataset, values)
    at = rows[inside].astype(int), cols[inside].astype(int)
    expected_valid = np.zeros(found.shape, bool)
    expected_valid[inside] = valid[at]
    np.testing.assert_array_equal(found_valid[clear], expected_valid[clear])
    expected = np.zeros(found.shape, values.dtype)
    expected[inside] = values[at]
    both = expected_valid & inside
    np.testing.assert_array_equal(found[both], expected[both])


FAR_OFF = {"geolocation_lon180_lon360.tif"}  # transverse Mercator of the whole globe, where GDAL and PROJ part


@pytest.mark.parametrize("name", [name for name in IN_SCOPE if name not in LARGE | FAR_OFF])
def test_gdal_warps_real_files_alike(data_dir: Path, name: str) -> None:
    """At least 99 % equal to GDAL's nearest, where GDAL's 0.125 px of approximation cannot reach another pixel."""
    path = data_dir / "raster" / name
    plan, store = built(path)
    window = looked_at(plan)
    asset, variable = plan.levels.assets[0], plan.variables[0].name
    found = builds.read(store, f"{asset}/{variable}")[window.slices]
    found_valid = builds.validity(store, asset, variable)[window.slices]
    grid = plan.levels.finest.grid.crop(window)
    with rasterio.open(path) as dataset:
        cols, rows = exact_positions(dataset, plan, window)
        values = dataset.read(1)
        valid = valid_pixels(dataset, values).astype(np.uint8)
        warped, warped_valid = np.zeros(found.shape, values.dtype), np.zeros(found.shape, np.uint8)
        for before, after in ((values, warped), (valid, warped_valid)):
            rasterio.warp.reproject(
                before,
                after,
                src_transform=dataset.transform,
                src_crs=dataset.crs,
                dst_transform=Affine(*tuple(grid.transform)[:6]),
                dst_crs="EPSG:3857",
                resampling=Resampling.nearest,
                num_threads=1,
            )
        clear = is_clear(cols, rows, edge=1e-5 if dataset.crs.to_epsg() == 3857 else 0.15)
        clear &= (cols != np.round(cols)) & (rows != np.round(rows))
    if not clear.any():
        pytest.skip("every pixel's centre is a corner of four source pixels: GDAL takes any of them")
    assert (found_valid == (warped_valid > 0))[clear].mean() >= 0.99
    both = clear & found_valid & (warped_valid > 0)
    if both.any():
        assert (found == warped)[both].mean() >= 0.99


@pytest.mark.parametrize(
    "name",
    [
        "au-3577-rotated.tif",
        "cog_nodata_nan.tif",
        "cog_with_nan.tif",
        "dem_epsg2056.tif",
        "float64_nan.tif",
        "south-up.tif",
    ],
)
@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_floats_are_interpolated_at_pyprojs_positions(data_dir: Path, name: str, method: str) -> None:
    """A position may be 0.01 px off: the error is below 2 % (cubic: 4 %) of the spread of the pixels around."""
    path = data_dir / "raster" / name
    source = RasterSource(path)
    plan = builds.plan_for(source, resampling=method)
    store = MemoryStore()
    pyramids.execute(plan, source, store)
    window = looked_at(plan, 80)
    asset, variable = plan.levels.assets[0], plan.variables[0].name
    found = builds.read(store, f"{asset}/{variable}")[window.slices]
    found_valid = builds.validity(store, asset, variable)[window.slices]
    with rasterio.open(path) as dataset:
        cols, rows = exact_positions(dataset, plan, window)
        values = dataset.read(1)
        valid = valid_pixels(dataset, values)
    compared = 0
    for i, j in np.ndindex(found.shape):
        col, row = cols[i, j], rows[i, j]
        if min(abs(col * 2 - round(col * 2)), abs(row * 2 - round(row * 2))) < 0.04:
            continue  # within 0.02 px of where another pixel, or other neighbours, are taken
        expected = oracle.interpolate(values, valid, col, row, method)
        assert found_valid[i, j] == (not math.isnan(expected))
        if math.isnan(expected):
            continue
        near = np.s_[max(0, int(row) - 2) : int(row) + 3, max(0, int(col) - 2) : int(col) + 3]
        around = values[near][valid[near]].astype(np.float64)
        spread = float(around.max() - around.min())
        share = 0.02 if method == "bilinear" else 0.04
        assert abs(float(found[i, j]) - expected) <= share * spread + 1e-6 * float(np.abs(around).max())
        compared += 1
    assert compared > 100


@pytest.mark.parametrize("name", REFUSED)
def test_b13_b18_real_files_out_of_scope_are_refused(data_dir: Path, tmp_path: Path, name: str) -> None:
    """B13, B18: at plan, with a typed error that names the trait; nothing is made at the target."""
    error, said = REFUSED[name]
    target = tmp_path / "x.zarr"
    with pytest.raises(error, match=said):
        pyramids.build(data_dir / "raster" / name, target)
    assert not target.exists()


@pytest.mark.parametrize("name", ["cog_hirise_mars.tif", "cog_nonearth.tif"])
def test_b17_other_bodies_keep_their_own_grid(data_dir: Path, name: str) -> None:
    """B17: never EPSG:4326 by guess."""
    plan, store = builds.build(data_dir / "raster" / name, tms="native")
    with rasterio.open(data_dir / "raster" / name) as dataset:
        np.testing.assert_array_equal(builds.read(store, f"0/{plan.variables[0].name}"), dataset.read(1))
    assert not plan.levels.crs.is_earth
    assert pyproj.CRS.from_wkt(builds.attributes(store)["proj:wkt2"]).ellipsoid.semi_major_metre < 4e6


def test_b9_a_damaged_file_is_a_chunk_read_error_and_publishes_nothing(data_dir: Path, tmp_path: Path) -> None:
    """B9: the broken file of the shared data, and a good one cut short."""
    cut = write(tmp_path / "cut.tif", builds.scene("uint8", (1, 400, 300)), compress="deflate", tiled=True)
    data = cut.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    for path in (data_dir / "broken" / "corrupt.tif", cut):
        target = tmp_path / f"{path.stem}.zarr"
        with pytest.raises(ChunkReadError) as caught:
            pyramids.build(path, target)
        assert caught.value.array == str(path)
        assert "rows" in caught.value.chunk
        assert caught.value.__cause__ is not None
        assert not (target / "zarr.json").exists()


def write(path: Path, values: np.ndarray, **profile: Any) -> Path:
    """Write a GeoTIFF of shape (band, row, col)."""
    descriptions = profile.pop("descriptions", ())
    colours = profile.pop("colours", None)
    mask = profile.pop("mask", None)
    settings = {
        "driver": "GTiff",
        "count": len(values),
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype.name,
        "crs": "EPSG:32631",
        "transform": Affine(30, 0, 500000, 0, -30, 5000000),
    }
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **(settings | profile)) as dataset:
        dataset.write(values)
        for number, text in enumerate(descriptions, start=1):
            dataset.set_band_description(number, text)
        if colours is not None:
            dataset.colorinterp = colours
        if mask is not None:
            dataset.write_mask(mask)
    return path


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_b14_each_dtype_and_byte_order_reads_as_written(tmp_path: Path, dtype: str, endian: str) -> None:
    """B14."""
    values = builds.scene(dtype, (2, 90, 80))
    source = RasterSource(write(tmp_path / "x.tif", values, ENDIANNESS=endian))
    assert [variable.dtype for variable in source.variables] == [np.dtype(dtype)] * 2
    pixels = source.read(Window(10, 20, 50, 30), [Slice(1, 0), Slice(0, 0)])
    np.testing.assert_array_equal(pixels.values, values[::-1, 10:60, 20:50])
    assert pixels.valid.all()
    _, store = builds.build(tmp_path / "x.tif", tms="native")
    np.testing.assert_array_equal(builds.read(store, "0/b2"), values[1])


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "float16"])
def test_b14_unsupported_dtypes_are_refused_at_plan(tmp_path: Path, dtype: str) -> None:
    """B14."""
    kind = {"float16": "CFloat32"}.get(dtype)
    if kind is None:
        path = write(tmp_path / "x.tif", np.zeros((1, 8, 8), dtype))
    else:
        write(tmp_path / "plain.tif", np.zeros((1, 8, 8), np.float32))
        path = vrt(tmp_path, dtype="CInt16")
    with pytest.raises(UnsupportedError) as caught:
        RasterSource(path)
    assert "data type" in caught.value.feature


def vrt(
    folder: Path,
    *,
    dtype: str = "Float32",
    size: tuple[int, int] = (8, 8),
    transform: str | None = "500000, 30, 0, 5000000, 0, -30",
    crs: str | None = "EPSG:32631",
    bands: str | None = None,
) -> Path:
    """Write a VRT by hand, for what GeoTIFF writers refuse."""
    parts = [f'<VRTDataset rasterXSize="{size[1]}" rasterYSize="{size[0]}">']
    parts += [f"<SRS>{crs}</SRS>"] if crs else []
    parts += [f"<GeoTransform>{transform}</GeoTransform>"] if transform else []
    parts += [bands or f'<VRTRasterBand dataType="{dtype}" band="1"/>', "</VRTDataset>"]
    path = folder / "x.vrt"
    path.write_text("".join(parts))
    return path


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"crs": None}, "crs"),
        ({"transform": None}, "transform"),
        ({"transform": "5, 0, 0, 5, 0, 0"}, "transform"),
        ({"transform": "5, 1, 0, 5, 0, 0"}, "transform"),
        ({"transform": "5, 1, 1, 5, 1, 1"}, "transform"),
        ({"transform": "5, nan, 0, 5, 0, -1"}, "transform"),
        ({"transform": "inf, 1, 0, 5, 0, -1"}, "transform"),
    ],
    ids=str,
)
def test_b18_a_degenerate_georeference_is_refused(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    """B18: missing or singular; nothing is guessed, and the error names the file."""
    with pytest.raises(MetadataError) as caught:
        RasterSource(vrt(tmp_path, **changes))
    assert (caught.value.node, caught.value.key) == (str(tmp_path / "x.vrt"), key)


def test_b15_a_raster_of_no_size_is_refused(tmp_path: Path) -> None:
    """B15: GDAL itself does not open one."""
    with pytest.raises(GeoZarrError):
        RasterSource(vrt(tmp_path, size=(0, 8)))


@pytest.mark.parametrize("content", [b"", b"not a raster", b"II*\x00" + bytes(40)])
def test_what_is_no_raster_is_a_store_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(content)
    for wrong in (path, tmp_path / "missing.tif", tmp_path):
        with pytest.raises(StoreError) as caught:
            pyramids.open_source(wrong)
        assert (caught.value.operation, caught.value.key) == ("open", str(wrong))


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint16", -9999), ("uint8", 256), ("uint8", math.nan), ("int16", 1e10), ("int32", 0.5), ("uint32", -1)],
)
def test_b13_a_nodata_that_the_dtype_cannot_hold_is_refused(tmp_path: Path, dtype: str, nodata: float) -> None:
    """B13: given by the user, or declared by the file."""
    path = write(tmp_path / "x.tif", np.zeros((1, 8, 8), dtype))
    with pytest.raises(MetadataError) as caught:
        RasterSource(path, nodata=nodata)
    assert caught.value.key == "nodata"
    np.testing.assert_equal(caught.value.found, nodata)


def test_b13_a_declared_nodata_outside_the_dtype_hides_nothing(tmp_path: Path) -> None:
    """B13: a GeoTIFF's tag is text, any text. rasterio passes over what no pixel can equal; every pixel is data."""
    path = write(tmp_path / "x.tif", np.zeros((1, 8, 8), np.uint16), nodata=12345)
    data = path.read_bytes()
    assert data.count(b"12345\0") == 1
    path.write_bytes(data.replace(b"12345\0", b"-9999\0"))
    source = RasterSource(path)
    assert source.variables[0].nodata is None
    assert source.read(Window(0, 0, 8, 8), [Slice(0, 0)]).valid.all()


def test_b13_a_float_nodata_is_compared_in_the_dtype_of_the_data(tmp_path: Path) -> None:
    """B13: the float32 minimum written in decimal."""
    values = np.full((1, 8, 8), 3, np.float32)
    values[0, 0, 0] = np.finfo(np.float32).min
    source = RasterSource(write(tmp_path / "x.tif", values), nodata=-3.4028235e38)
    assert source.variables[0].nodata == float(np.finfo(np.float32).min)
    assert np.argwhere(~source.read(Window(0, 0, 8, 8), [Slice(0, 0)]).valid[0]).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("int64", 2**53 + 1), ("int64", -(2**63)), ("int64", 2**63 - 1), ("uint64", 2**64 - 1), ("int64", -9999)],
)
def test_a_nodata_of_64_bits_is_exact(tmp_path: Path, dtype: str, nodata: int) -> None:
    """P-3, P-7: rasterio hands on a float64, or nothing; its neighbours are data."""
    values = np.full((1, 8, 8), nodata, dtype)
    values[0, 0, 0] = nodata - 1 if nodata > 0 else nodata + 1
    write(tmp_path / "plain.tif", values)
    kind = "Int64" if dtype == "int64" else "UInt64"
    inner = "<SimpleSource><SourceFilename relativeToVRT='1'>plain.tif</SourceFilename></SimpleSource>"
    bands = f'<VRTRasterBand dataType="{kind}" band="1"><NoDataValue>{nodata}</NoDataValue>{inner}</VRTRasterBand>'
    rasterio.shutil.copy(vrt(tmp_path, bands=bands), tmp_path / "x.tif", driver="GTiff")
    source = RasterSource(tmp_path / "x.tif")
    assert source.variables[0].nodata == nodata
    assert isinstance(source.variables[0].nodata, int)
    found = source.read(Window(0, 0, 8, 8), [Slice(0, 0)])
    np.testing.assert_array_equal(found.values, values)
    assert np.argwhere(found.valid[0]).tolist() == [[0, 0]]


def test_64_bits_without_a_nodata_are_all_data(tmp_path: Path) -> None:
    values = np.arange(64, dtype=np.int64).reshape(1, 8, 8) << 50
    source = RasterSource(write(tmp_path / "x.tif", values))
    assert source.variables[0].nodata is None
    assert source.read(Window(0, 0, 8, 8), [Slice(0, 0)]).valid.all()


def test_b11_nan_is_missing_beside_a_nodata(tmp_path: Path) -> None:
    """B11, P-1: NaN and number in one band; in a native pyramid both come out as the number."""
    values = np.ones((1, 8, 8), np.float32)
    values[0, 1, 1], values[0, 2, 2], values[0, 3, 3] = math.nan, -9999, math.inf
    path = write(tmp_path / "x.tif", values, nodata=-9999)
    valid = RasterSource(path).read(Window(0, 0, 8, 8), [Slice(0, 0)]).valid[0]
    assert np.argwhere(~valid).tolist() == [[1, 1], [2, 2]]
    _, store = builds.build(path, tms="native")
    found = builds.read(store, "0/b1")
    assert found[1, 1] == found[2, 2] == -9999
    assert found[3, 3] == math.inf


def test_the_users_nodata_takes_the_place_of_the_files(tmp_path: Path) -> None:
    values = builds.scene("int16", (1, 30, 30), span=(1, 50))
    path = write(tmp_path / "x.tif", values, nodata=7)
    _, store = builds.build(path, tms="native", nodata=9)
    assert builds.attributes(store, "0/b1")["_FillValue"] == 9
    np.testing.assert_array_equal(builds.read(store, "0/b1"), values[0])


ALPHA_LAST = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_alpha_band_is_the_mask(tmp_path: Path, dtype: str) -> None:
    """Not a variable of its own; 16 bits are brought to 255."""
    values = builds.scene(dtype, (4, 90, 80))
    opaque = np.iinfo(dtype).max
    values[3] = opaque
    values[3, 20:40, 10:60] = 0
    path = write(tmp_path / "x.tif", values, colours=ALPHA_LAST)
    source = RasterSource(path)
    assert source.has_alpha
    assert [variable.name for variable in source.variables] == list(RGB)
    plan, store = builds.build(path, tms="native")
    assert [variable.name for variable in plan.variables] == [*RGB, "alpha"]
    np.testing.assert_array_equal(builds.read(store, "0/alpha"), np.where(values[3] > 0, 255, 0))
    found = builds.read(store, "0/green")
    np.testing.assert_array_equal(found, np.where(values[3] > 0, values[1], opaque))
    builds.assert_levels_follow(store, plan)


def test_an_internal_mask_is_the_mask(tmp_path: Path) -> None:
    values = builds.scene("uint8", (3, 90, 80))
    mask = np.full((90, 80), 255, np.uint8)
    mask[5:9] = 0
    plan, store = builds.build(write(tmp_path / "x.tif", values, mask=mask), tms="native", levels=3)
    assert plan.has_alpha
    np.testing.assert_array_equal(builds.read(store, "0/alpha"), mask)
    builds.assert_levels_follow(store, plan)


def test_a_mask_beside_floats_becomes_nan(tmp_path: Path) -> None:
    values = builds.scene("float32", (1, 90, 80))
    mask = np.full((90, 80), 255, np.uint8)
    mask[5:9] = 0
    plan, store = builds.build(write(tmp_path / "x.tif", values, mask=mask), tms="native")
    assert not plan.has_alpha
    np.testing.assert_array_equal(np.isnan(builds.read(store, "0/b1")), mask == 0)


def test_a_nodata_given_beside_a_mask_serves_both(tmp_path: Path) -> None:
    """`--nodata` spares the alpha variable; what the mask hides becomes nodata as well."""
    values = builds.scene("uint8", (1, 90, 80), span=(1, 200))
    mask = np.full((90, 80), 255, np.uint8)
    mask[5:9] = 0
    plan, store = builds.build(write(tmp_path / "x.tif", values, mask=mask), tms="native", nodata=0)
    assert not plan.has_alpha
    np.testing.assert_array_equal(builds.read(store, "0/b1"), np.where(mask > 0, values[0], 0))


@pytest.mark.parametrize(
    ("colours", "descriptions", "expected"),
    [
        (["red", "green", "blue"], [], ["red", "green", "blue"]),
        (["blue", "green", "red"], ["B02", "B03", "B04"], ["blue", "green", "red"]),
        (["gray", "undefined", "undefined"], [], ["b1", "b2", "b3"]),
        (["gray", "undefined", "undefined"], ["NDVI", "Surface temp. (K)", "2nd"], ["ndvi", "surface_temp_k", "b2nd"]),
        (["red", "red", "green"], ["one", "", ""], ["one", "b2", "green"]),
        (["gray", "undefined", "undefined"], ["same", "same", "other"], ["b1", "b2", "other"]),
        (["gray", "undefined", "undefined"], ["x", "alpha", "spatial_ref"], ["b1", "b2", "b3"]),
        (["gray", "undefined", "undefined"], ["b2", "dup", "dup"], ["b1", "b2", "b3"]),
        (["red", "undefined", "undefined"], ["", "red", "Red"], ["b1", "b2", "b3"]),
        (["gray", "undefined", "undefined"], ["//", "日本", "y" * 60], ["b1", "b2", "b3"]),
        (["gray", "undefined", "undefined"], ["../../up", "zarr.json", "__x"], ["up", "zarr_json", "x_"]),
    ],
    ids=str,
)
def test_bands_are_named_by_colour_description_or_number(
    tmp_path: Path, colours: list[str], descriptions: list[str], expected: list[str]
) -> None:
    """Names are made safe, and never two alike; what they were made from stays in the attributes."""
    path = write(
        tmp_path / "x.tif",
        np.zeros((3, 8, 8), np.uint8),
        photometric="MINISBLACK",
        descriptions=descriptions,
        colours=[ColorInterp[colour] for colour in colours],
    )
    source = RasterSource(path)
    found = [variable.name for variable in source.variables]
    if expected[2] == "x_":  # leading underscores are stripped, and x is a coordinate
        expected = [*expected[:2], "b3"]
    assert found == expected
    for number, (variable, description) in enumerate(zip(source.variables, descriptions, strict=False)):
        assert variable.attributes["long_name"] == (description or found[number])
    stated = [variable.attributes.get("color_interpretation", "undefined") for variable in source.variables]
    assert stated == colours
    builds.build(path, tms="native")


def test_units_scale_and_offset_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", np.zeros((2, 8, 8), np.int16))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets, dataset.units = (0.1, 1.0), (-5.0, 0.0), ("m", "")
    first, second = RasterSource(path).variables
    assert (first.attributes["scale_factor"], first.attributes["add_offset"], first.attributes["units"]) == (
        0.1,
        -5,
        "m",
    )
    assert not {"scale_factor", "add_offset", "units"} & set(second.attributes)


def test_palettes_are_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", np.ones((1, 8, 8), np.uint8), photometric="PALETTE")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (0, 0, 0), 1: (255, 0, 0)})
    assert RasterSource(path).variables[0].is_categorical


CATEGORIES = """<CategoryNames><Category/><Category>Open water</Category></CategoryNames>"""
ATTRIBUTE_TABLE = """<GDALRasterAttributeTable>
  <FieldDefn index="0"><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
  <FieldDefn index="1"><Name>Count</Name><Type>0</Type><Usage>1</Usage></FieldDefn>
  <FieldDefn index="2"><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
  <Row index="0"><F>1</F><F>9</F><F>Open water</F></Row>
  <Row index="1"><F>2</F><F>9</F><F></F></Row>
</GDALRasterAttributeTable>"""
NAMELESS_TABLE = ATTRIBUTE_TABLE.replace("<Usage>2</Usage>", "<Usage>0</Usage>")


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ("", "class_0 class_1 class_2"),
        (CATEGORIES, "Open_water class_2"),
        (ATTRIBUTE_TABLE, "Open_water class_2"),
        (NAMELESS_TABLE, "class_0 class_1 class_2"),
    ],
    ids=["none", "category names", "raster attribute table", "table without names"],
)
def test_classes_have_the_names_that_stand_beside_the_file(tmp_path: Path, beside: str, words: str) -> None:
    path = write(tmp_path / "x.tif", np.zeros((1, 4, 4), np.uint8), photometric="PALETTE")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {1: (0, 0, 255), 2: (255, 0, 0)})
    Path(f"{path}.aux.xml").write_text(f"<PAMDataset><PAMRasterBand band='1'>{beside}</PAMRasterBand></PAMDataset>")
    (variable,) = RasterSource(path).variables
    assert variable.attributes["flag_meanings"] == words
    colours = dict(zip(words.split(), variable.attributes["flag_colors"].split(), strict=True))
    assert colours["class_2"] == "#ff0000"


def test_bands_as_an_axis(tmp_path: Path) -> None:
    """`--bands axis`: one variable, chunked by 1; what differs between bands is listed."""
    values = builds.scene("uint8", (4, 90, 80))
    values[3] = 255
    path = write(tmp_path / "x.tif", values, colours=ALPHA_LAST, descriptions=["r", "g", "b", "a"])
    plan, store = builds.build(path, bands="axis", tms="native", levels=2)
    assert [variable.name for variable in plan.variables] == ["data", "alpha"]
    assert builds.read(store, "0/band").tolist() == [1, 2, 3]
    np.testing.assert_array_equal(builds.read(store, "0/data"), values[:3])
    assert builds.open_array(store, "0/data").chunks == (1, 512, 512)
    stated = builds.attributes(store, "0/data")
    assert stated["band_names"] == list(RGB)
    assert stated["band_descriptions"] == ["r", "g", "b"]
    assert stated["band_color_interpretations"] == list(RGB)
    assert "color_interpretation" not in stated
    builds.assert_levels_follow(store, plan)
    with pytest.raises(ParameterError) as caught:
        RasterSource(path, bands="stacked")
    assert caught.value.parameter == "bands"


@pytest.mark.parametrize("second", ['dataType="Int16"', 'dataType="Byte"><NoDataValue>7</NoDataValue'])
def test_bands_that_differ_are_no_axis(tmp_path: Path, second: str) -> None:
    """As variables each is itself."""
    kind = second.split('"')[1]
    rest = second.split(">", 1)[1] + ">" if ">" in second else ""
    bands = f'<VRTRasterBand dataType="Byte" band="1"/><VRTRasterBand dataType="{kind}" band="2">{rest}</VRTRasterBand>'
    path = vrt(tmp_path, bands=bands)
    with pytest.raises(UnsupportedError) as caught:
        RasterSource(path, bands="axis")
    assert "bands as one axis" in caught.value.feature
    plan, store = builds.build(path, tms="native")
    assert [variable.name for variable in plan.data_variables] == ["b1", "b2"]
    builds.assert_levels_follow(store, plan)


def test_variables_of_two_types_are_walked_apart(tmp_path: Path) -> None:
    """P-10: bytes with alpha and floats in one pyramid."""
    write(tmp_path / "bytes.tif", builds.scene("uint8", (1, 200, 180)))
    write(tmp_path / "floats.tif", builds.scene("float32", (1, 200, 180)))
    inner = (
        "<SimpleSource><SourceFilename relativeToVRT='1'>{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    )
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{number}">{inner.format(file)}</VRTRasterBand>'
        for number, (kind, file) in enumerate((("Byte", "bytes.tif"), ("Float32", "floats.tif")), start=1)
    )
    plan, store = builds.build(vrt(tmp_path, size=(200, 180), bands=bands), max_zoom=12, min_zoom=10)
    assert [variable.name for variable in plan.variables] == ["b1", "b2", "alpha"]
    builds.assert_levels_follow(store, plan)
    single, other = builds.build(tmp_path / "floats.tif", max_zoom=12, min_zoom=10)
    for asset in single.levels.assets:
        np.testing.assert_array_equal(builds.read(store, f"{asset}/b2"), builds.read(other, f"{asset}/b1"))


def test_an_alpha_band_alone_is_no_data(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", np.zeros((1, 8, 8), np.uint8), colours=[ColorInterp.alpha])
    with pytest.raises(MetadataError) as caught:
        RasterSource(path)
    assert caught.value.key == "bands"


def test_many_threads_read_the_same(tmp_path: Path) -> None:
    """A GDAL handle belongs to one thread."""
    values = builds.scene("int16", (2, 400, 300))
    source = RasterSource(
        write(tmp_path / "x.tif", values, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    )
    windows = list(Window(0, 0, 400, 300).split(height=37, width=41))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda window: source.read(window, [Slice(0, 0), Slice(1, 0)]), windows))
    for window, pixels in zip(windows, found, strict=True):
        np.testing.assert_array_equal(pixels.values, values[(slice(None), *window.slices)])


def test_threads_leave_the_filters_of_warnings_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the process's: what one thread restores is not what the other found."""
    source = RasterSource(write(tmp_path / "x.tif", builds.scene("int16", (1, 40, 30))))

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("filters are changed where many threads run")

    monkeypatch.setattr(warnings, "catch_warnings", forbidden)
    with ThreadPoolExecutor(1) as pool:
        pixels = pool.submit(source.read, Window(0, 0, 40, 30), [Slice(0, 0)]).result()
    assert pixels.values.shape == (1, 40, 30)


def open_files(path: Path) -> int:
    """How many file descriptors of this process are open on a file."""
    return sum(entry.resolve() == path.resolve() for entry in DESCRIPTORS.iterdir())


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="no list of open files on this system")
def test_a_source_that_is_dropped_closes_its_files(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", builds.scene("int16", (1, 40, 30)))
    barrier = threading.Barrier(3)

    def read(source: RasterSource) -> None:
        barrier.wait(timeout=60)  # so that each is another thread's
        source.read(Window(0, 0, 4, 3), [Slice(0, 0)])

    with ThreadPoolExecutor(3) as pool:
        source = RasterSource(path)
        for done in [pool.submit(read, source) for _ in range(3)]:
            done.result()
        assert open_files(path) == 3
        del source, done
        assert open_files(path) == 0


TILES = {"tiled": True, "blockxsize": 64, "blockysize": 32}


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (TILES, (32, 64)),
        ({"blockysize": 5}, (5, 70)),
        ({"blockysize": 2300, "compress": "deflate"}, (2300, 70)),  # one strip, which GDAL would show row by row
    ],
)
def test_blocks_are_tiles_or_strips(tmp_path: Path, profile: dict[str, Any], expected: tuple[int, int]) -> None:
    source = RasterSource(write(tmp_path / "x.tif", np.zeros((1, 2300, 70), np.uint8), **profile))
    assert (source.block_shape, source.resident_bytes) == (expected, 0)


def sparse(path: Path, held: dict[int, list[tuple[int, int]]], **profile: Any) -> RasterSource:
    """Write a GeoTIFF of 100 x 150 pixels in 4 x 3 blocks of 32 x 64, some of them for some bands."""
    options = profile.pop("options", {})
    colours = profile.pop("colours", None)
    settings = {"driver": "GTiff", "height": 100, "width": 150, "count": len(held), "dtype": "uint8", "nodata": 0}
    settings |= TILES | {"crs": "EPSG:32631", "transform": Affine(30, 0, 500000, 0, -30, 5000000), "SPARSE_OK": True}
    with rasterio.open(path, "w", **(settings | {"interleave": "band"} | profile)) as dataset:
        if colours is not None:
            dataset.colorinterp = colours
        for band, blocks in held.items():
            for row, col in blocks:
                part = rasterio.windows.Window(col * 64, row * 32, min(64, 150 - col * 64), min(32, 100 - row * 32))
                dataset.write(np.full((part.height, part.width), 9, settings["dtype"]), band, window=part)
    return RasterSource(path, **options)


@pytest.mark.parametrize(
    ("held", "profile"),
    [
        ({1: [(0, 0), (3, 2), (1, 1)]}, {}),
        ({1: [(0, 0)], 2: [(3, 2), (1, 1)]}, {}),
        ({1: [(0, 0), (3, 2), (1, 1)], 2: [(1, 1)]}, {"interleave": "pixel"}),
        ({1: [(0, 0), (3, 2), (1, 1)]}, {"nodata": 7}),
        ({1: [(0, 0), (3, 2), (1, 1)]}, {"dtype": "float32", "nodata": math.nan}),
        ({1: [(0, 0), (3, 2), (1, 1)]}, {"nodata": None, "options": {"nodata": 0}}),
        ({1: [(0, 0), (3, 2), (1, 1)]}, {"compress": "deflate"}),
        ({1: [(0, 0)], 2: [(3, 2), (1, 1)]}, {"options": {"bands": "axis"}}),
    ],
    ids=str,
)
def test_blocks_that_a_sparse_file_leaves_out_hold_no_data(
    tmp_path: Path, held: dict[int, list[tuple[int, int]]], profile: dict[str, Any]
) -> None:
    """P-28: a block is covered where any band holds it; the others read as nodata."""
    source = sparse(tmp_path / "x.tif", held, **profile)
    covered = source.coverage()
    assert covered is not None
    assert covered.shape == (4, 3)
    assert np.argwhere(covered).tolist() == [[0, 0], [1, 1], [3, 2]]
    slices = [Slice(index, n) for index, one in enumerate(source.variables) for n in range(one.slice_count)]
    valid = source.read(Window(0, 0, 100, 150), slices).valid.any(axis=0)
    for row, col in np.ndindex(4, 3):
        assert valid[row * 32 : row * 32 + 32, col * 64 : col * 64 + 64].any() == covered[row, col]


def test_an_alpha_band_alone_tells_which_blocks_hold_data(tmp_path: Path) -> None:
    colours = [ColorInterp.gray, ColorInterp.alpha]
    source = sparse(tmp_path / "x.tif", {1: [(0, 0), (2, 2)], 2: [(0, 0)]}, nodata=None, colours=colours)
    assert source.has_alpha
    covered = source.coverage()
    assert covered is not None
    assert np.argwhere(covered).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "profile",
    [
        {"nodata": None},  # an absent block is zeros, which are data
        {"nodata": 7, "options": {"nodata": 0}},  # an absent block is sevens, which are data here
    ],
)
def test_absent_blocks_that_read_as_data_tell_nothing(tmp_path: Path, profile: dict[str, Any]) -> None:
    source = sparse(tmp_path / "x.tif", {1: [(0, 0)]}, **profile)
    assert source.coverage() is None
    assert source.read(Window(40, 70, 1, 1), [Slice(0, 0)]).valid.all()


def test_coverage_is_for_geotiff_without_a_mask_and_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RasterSource(vrt(tmp_path)).coverage() is None
    mask = np.full((90, 80), 255, np.uint8)
    assert RasterSource(write(tmp_path / "m.tif", builds.scene("uint8", (1, 90, 80)), mask=mask)).coverage() is None
    source = sparse(tmp_path / "x.tif", {1: [(0, 0)], 2: []})
    monkeypatch.setattr(raster, "MOST_BLOCKS", 24)  # 4 x 3 blocks of 2 bands
    assert source.coverage() is not None
    monkeypatch.setattr(raster, "MOST_BLOCKS", 23)
    assert source.coverage() is None


def test_a_file_that_leaves_nothing_out_is_covered(tmp_path: Path) -> None:
    covered = RasterSource(write(tmp_path / "x.tif", builds.scene("uint8", (3, 100, 150)), **TILES)).coverage()
    assert covered is not None
    assert covered.shape == (4, 3)
    assert covered.all()


def test_a_large_block_is_decoded_once_for_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-29: the block is zeroed in the file, which looks as before: it stays in memory, and there is one handle."""
    monkeypatch.setattr(raster, "LARGE_BLOCK", 2300 * 70)
    path = tmp_path / "x.tif"
    values = builds.scene("uint8", (1, 2300, 70))
    source = RasterSource(write(path, values, blockysize=2300, compress="deflate"))
    source.read(Window(0, 0, 1, 1), [Slice(0, 0)])
    header, status = path.read_bytes()[:8], path.stat()
    path.write_bytes(header + bytes(status.st_size - 8))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    windows = list(Window(0, 0, 2300, 70).split(height=500, width=30))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda window: source.read(window, [Slice(0, 0)]), windows))
    for window, pixels in zip(windows, found, strict=True):
        np.testing.assert_array_equal(pixels.values[0], values[0][window.slices])


def strip_bytes(path: Path) -> int:
    """StripByteCounts of a little-endian TIFF of one strip (TIFF 6.0, section 2 and tag 279)."""
    data = path.read_bytes()
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    entries = [struct.unpack_from("<HHII", data, directory + 2 + 12 * number) for number in range(count)]
    return next(value for tag, _, _, value in entries if tag == 279)


def test_large_blocks_are_counted_and_gdal_gets_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded block, as it lies in the file, and 16 MiB; for as long as the source lives."""
    monkeypatch.setattr(raster, "LARGE_BLOCK", 2300 * 70)
    monkeypatch.setattr(raster, "BLOCK_CACHE", 2**20)
    path = write(tmp_path / "x.tif", builds.scene("uint8", (1, 2300, 70)), blockysize=2300, compress="deflate")
    source = RasterSource(path)
    assert source.resident_bytes == 2300 * 70 + strip_bytes(path) + 16 * 2**20
    assert rasterio.env.get_gdal_config("GDAL_CACHEMAX") == 2300 * 70 + 16 * 2**20
    other = RasterSource(write(tmp_path / "y.tif", np.zeros((1, 8, 8), np.uint8)))
    assert (other.resident_bytes, rasterio.env.get_gdal_config("GDAL_CACHEMAX")) == (0, 2300 * 70 + 16 * 2**20)
    del source
    assert rasterio.env.get_gdal_config("GDAL_CACHEMAX") == 2**20


@pytest.mark.parametrize(
    ("count", "dtype", "interleave", "rows", "expected"),
    [
        (1, "float32", "band", 2300, 4 * 2300 * 70),
        (3, "uint8", "pixel", 2300, 3 * 2300 * 70),
        (3, "uint8", "band", 2300, 3 * 2300 * 70),
        (1, "float32", "band", 1200, 2 * 4 * 1200 * 70),  # windows on the border need two
    ],
)
def test_gdal_keeps_what_windows_need(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    dtype: str,
    interleave: str,
    rows: int,
    expected: int,
) -> None:
    monkeypatch.setattr(raster, "LARGE_BLOCK", 1200 * 70)
    monkeypatch.setattr(raster, "BLOCK_CACHE", 0)
    values = np.zeros((count, 2300, 70), dtype)
    path = write(tmp_path / "x.tif", values, blockysize=rows, interleave=interleave, compress="deflate")
    source = RasterSource(path)
    assert rasterio.env.get_gdal_config("GDAL_CACHEMAX") == expected + 16 * 2**20
    assert source.block_shape == (rows, 70)


def test_b8_the_fingerprint_follows_the_file(tmp_path: Path) -> None:
    """B8: another size or time is another source."""
    path = write(tmp_path / "x.tif", np.zeros((1, 8, 8), np.uint8))
    source = RasterSource(path)
    before = source.fingerprint
    assert RasterSource(path).fingerprint == before
    shutil.copy(path, tmp_path / "y.tif")
    with path.open("ab") as file:
        file.write(b"more")
    assert source.fingerprint != before


def test_a_compound_crs_is_its_horizontal_part(tmp_path: Path) -> None:
    """P-15."""
    path = vrt(tmp_path, crs="EPSG:32631+5773")
    assert RasterSource(path).grid.crs.code == "EPSG:32631"
