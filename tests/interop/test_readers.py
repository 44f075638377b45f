"""Pyramids open in independent readers with CRS, transform, nodata and values right on every level."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.geo.xr  # noqa: F401 - registers the `.odc` accessor
import pytest
import rasterio
import rasterio.shutil
import rioxarray
import xarray as xr
import zarr
from affine import Affine
from rasterio.transform import from_origin

import pyramids
from geozarr import cf, levels, store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = (700, 900)

# name: (dtype, nodata, CRS, pixel size, origin); three CRS families, three kinds of nodata
CASES: dict[str, tuple[str, float | None, str, float, tuple[float, float]]] = {
    "uint16-0-utm": ("uint16", 0, "EPSG:32633", 10.0, (500_000.0, 5_000_000.0)),
    "float32--9999-degrees": ("float32", -9999.0, "EPSG:4326", 0.001, (12.0, 45.0)),
    "float32-nan-mercator": ("float32", None, "EPSG:3857", 20.0, (1_500_000.0, 5_600_000.0)),
    "uint8-alpha-utm": ("uint8", None, "EPSG:32633", 10.0, (500_000.0, 5_000_000.0)),
}


def _gdal_version() -> tuple[int, ...]:
    return tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])


def _field(dtype: str, nodata: float | None) -> NDArray[Any]:
    """A smooth field with a hole of missing pixels."""
    rows, cols = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    values = (100 + 50 * np.sin(rows / 90) + 40 * np.cos(cols / 70)).astype(dtype)
    if nodata is not None or values.dtype.kind == "f":
        values[200:300, 100:400] = np.nan if nodata is None else nodata
    return values


LAYOUTS = (("WebMercatorQuad", "none"), ("WebMercatorQuad", 512), ("native", "none"))
MATRIX = [(case, *layout) for case in CASES for layout in LAYOUTS]
NAMES = {"lat": ("lat", "lon"), "latitude": ("latitude", "longitude")}  # of rows and columns, which a native one keeps
NAMED = [("float32--9999-degrees", f"native {names}", "none") for names in NAMES]


@pytest.fixture(scope="module", params=[*MATRIX, *NAMED], ids=lambda choice: "-".join(map(str, choice)))
def pyramid(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, levels.Levels]:
    """A built pyramid of each case, aligned and native, with and without shards."""
    case, layout, shard = request.param
    tms, _, names = layout.partition(" ")
    dtype, nodata, crs, size, origin = CASES[case]
    folder = tmp_path_factory.mktemp("pyramid")
    raster = folder / "source.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": dtype, "crs": crs, "nodata": nodata}
    height, width = SHAPE
    with rasterio.open(
        raster, "w", height=height, width=width, transform=from_origin(*origin, size, size), **profile
    ) as dataset:
        dataset.write(_field(dtype, nodata), 1)
        dataset.set_band_description(1, "Height")
    options: dict[str, Any] = {"tms": tms, "shard": shard}
    if tms == "native":
        options |= {"chunk": 256, "levels": 3}
    source: Any = raster
    if names:
        y, x = NAMES[names]
        source = rioxarray.open_rasterio(raster).squeeze("band", drop=True).rename({"y": y, "x": x}).rename("height")
    plan = pyramids.build(source, folder / "scene.zarr", **options)
    assert plan.levels.dimensions == NAMES.get(names, ("y", "x"))
    return folder / "scene.zarr", plan.levels


def _stored(path: Path, asset: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values and mask as zarr-python reads them, decided here from the attributes alone."""
    array = zarr.open_array(path / asset / "height", mode="r")
    values = np.asarray(array[...])
    if array.attrs.get("ancillary_variables") == "alpha":
        return values, np.asarray(zarr.open_array(path / asset / "alpha", mode="r")[...]) > 0
    if "_FillValue" not in array.attrs:
        return values, np.ones(values.shape, bool)
    missing = cf.decode_missing_value(array.attrs["_FillValue"], values.dtype, node="height")
    return values, ~np.isnan(values) if np.isnan(missing) else values != missing


def test_xarray_datatree_masks_and_places_every_level(pyramid: tuple[Path, levels.Levels]) -> None:
    path, expected = pyramid
    tree = xr.open_datatree(path, engine="zarr", chunks=None)
    assert cf.CONVENTIONS in tree.attrs["Conventions"].split()
    for level in expected.levels:
        node = tree[level.asset].to_dataset()
        values, valid = _stored(path, level.asset)
        assert "spatial_ref" in node.coords
        y, x = node["height"].dims
        assert (y, x) == expected.dimensions
        np.testing.assert_array_equal(node[x].values, level.grid.x_centres())
        np.testing.assert_array_equal(node[y].values, level.grid.y_centres())
        read = node["height"].values
        if "alpha" in node:
            np.testing.assert_array_equal(read, values)  # alpha tells; xarray must not mask a value on its own
        else:
            np.testing.assert_array_equal(np.isnan(read) if read.dtype.kind == "f" else ~valid, ~valid)
            np.testing.assert_array_equal(read[valid], values[valid])
    tree.close()


def test_rioxarray_finds_crs_and_transform_on_every_level(pyramid: tuple[Path, levels.Levels]) -> None:
    path, expected = pyramid
    for level in expected.levels:
        with xr.open_zarr(path, group=level.asset, chunks=None) as dataset:
            assert dataset["height"].rio.crs.to_epsg() == int((level.grid.crs.code or "").split(":")[1])
            assert dataset["height"].rio.transform() == level.grid.transform
            np.testing.assert_allclose(dataset["height"].rio.bounds(), level.grid.bounds, rtol=0, atol=1e-6)
            if "alpha" not in dataset and dataset["height"].dtype.kind == "f":
                # rioxarray reports what masks: the encoded nodata, and NaN in the opened data.
                assert np.isnan(dataset["height"].rio.nodata)


def test_odc_geo_finds_the_geobox_on_every_level(pyramid: tuple[Path, levels.Levels]) -> None:
    path, expected = pyramid
    for level in expected.levels:
        with xr.open_zarr(path, group=level.asset, chunks=None) as dataset:
            geobox = dataset["height"].odc.geobox
            assert geobox.crs.epsg == int((level.grid.crs.code or "").split(":")[1])
            assert tuple(geobox.shape) == level.grid.shape
            np.testing.assert_allclose(tuple(geobox.transform)[:6], tuple(level.grid.transform)[:6], rtol=1e-12)


@pytest.mark.skipif(_gdal_version() < (3, 12), reason="GDAL before 3.12 does not read the final form of Zarr v3 codecs")
def test_gdal_reads_every_level(pyramid: tuple[Path, levels.Levels]) -> None:
    path, expected = pyramid
    for level in expected.levels:
        document = store.read_document(store.open_store(path), f"{level.asset}/height")
        assert document is not None
        name = f'ZARR:"{path}":/{level.asset}/height'
        is_sharded = document["codecs"][0]["name"] == "sharding_indexed"
        if is_sharded and _gdal_version() < (3, 13):
            with pytest.raises(rasterio.errors.RasterioError):  # a clean error, not wrong pixels
                rasterio.open(name).read(1)
            continue
        with rasterio.open(name) as dataset:
            assert dataset.crs.to_epsg() == int((level.grid.crs.code or "").split(":")[1])
            np.testing.assert_allclose(tuple(dataset.transform)[:6], tuple(level.grid.transform)[:6], rtol=1e-9)
            values, _ = _stored(path, level.asset)
            np.testing.assert_array_equal(dataset.read(1), values)
            fill = cf.decode_fill_value(document["fill_value"], values.dtype, node="height")
            np.testing.assert_equal(dataset.nodata, float(fill))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="rio-tiler's Zarr reader needs a zarr-python that needs 3.12")
def test_rio_tiler_group_reader_reads_points_and_tiles(pyramid: tuple[Path, levels.Levels]) -> None:
    experimental = pytest.importorskip("rio_tiler.experimental.zarr")
    path, expected = pyramid
    with experimental.GroupReader(zarr.open_group(path, mode="r")) as reader:
        assert "height" in [variable["name"] for variable in reader.list_variables()]
        assert reader.crs.to_epsg() == int((expected.crs.code or "").split(":")[1])
        grid = expected.finest.grid
        values, valid = _stored(path, expected.finest.asset)
        row, col = (int(index) for index in np.argwhere(valid)[len(np.argwhere(valid)) // 3])
        x, y = grid.transform @ (col + 0.5, row + 0.5)
        point = reader.point(x, y, coord_crs=reader.crs, variables="height")
        np.testing.assert_allclose(float(point.data[0]), float(values[row, col]))
        if expected.tms is not None:
            # An aligned tile of any level is its stored chunk, row and column counted from the limits.
            for level in expected.levels:
                assert level.limits is not None
                tile_row, tile_col = level.limits.maxTileRow, level.limits.minTileCol
                image = reader.tile(tile_col, tile_row, int(level.asset), variables="height")
                values, valid = _stored(path, level.asset)
                cut = np.s_[-256:, :256]
                both = valid[cut] & ~image.array.mask[0]
                np.testing.assert_allclose(image.array.data[0][both], values[cut][both], rtol=1e-6)
                assert both.sum() >= 0.99 * valid[cut].sum()


def test_every_level_spans_the_finest(pyramid: tuple[Path, levels.Levels]) -> None:
    path, expected = pyramid
    read = levels.from_attributes(store.read_tree(store.open_store(path)).attributes())
    assert read == expected
    first = read.finest.grid
    for step, level in enumerate(read.levels):
        assert level.grid.transform == first.transform @ Affine.scale(2**step)
