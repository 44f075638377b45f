"""Every raster of the shared data becomes a pyramid that the checker passes and whose pixels are right, or is refused.

What is right is told by others: GDAL's transformation and pixels for what GDAL places by an affine transform or by
control points, xarray's decoded values at the nearest coordinates for the rest. Pyramids are made by `nearest`, so that
a pixel is one of the source's; pixels whose centre lies within 1/50 of a source pixel of an edge are left out, since
positions are promised to 1/100.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.warp
import xarray as xr
import zarr
from obstore.store import MemoryStore
from rasterio.transform import GCPTransformer

import pyramids
from conformance import Severity, check
from geozarr.errors import ChunkReadError, GroomingError, MetadataError, StoreError, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from geozarr import Grid
    from pyramids import Plan

MOST = 1100  # pixels along a side of the finest level: larger rasters are built coarser
CELLS = 400  # of the finest level, that are compared
EDGE = 0.02  # source pixels
DEGREES = {"crs": "OGC:CRS84"}


@dataclass(frozen=True)
class Builds:
    """A raster that becomes a pyramid.

    `options` are those of `open_source`; `quirks` are the kinds of what is groomed. Of a dataset, `crs` is what
    its coordinates are in, as pyproj reads it (None: as the grid mapping says); `x` and `y` name its coordinates, which
    are multiplied by `factor`.
    """

    quirks: set[str] = field(default_factory=set)
    options: dict[str, Any] = field(default_factory=dict)
    crs: str | None = None
    x: str = ""
    y: str = ""
    factor: float = 1.0
    group: str | None = None
    most: int = MOST


@dataclass(frozen=True)
class Refused:
    """A file of which no pyramid is built: the error, and a word of its message."""

    error: type[Exception]
    word: str
    options: dict[str, Any] = field(default_factory=dict)


def degrees(*quirks: str, x: str = "lon", y: str = "lat", **options: Any) -> Builds:
    """Longitudes and latitudes without a grid mapping: the user says what they are on."""
    return Builds({"crs-given", *quirks}, {**DEGREES, **options}, "OGC:CRS84", x, y)


NO_CRS = Refused(MetadataError, "crs: found nothing")
NO_TRANSFORM = Refused(MetadataError, "a geotransform")
NO_RASTER = Refused(MetadataError, "expected a variable with rows and columns")
LONE_ARRAY = Refused(MetadataError, "an array by itself")
MARS = Refused(UnsupportedError, "different bodies")
HEIGHT = 35786023.0  # metres of the GOES satellites above the equator
BY_GDAL = Builds()

SOURCES: dict[str, Builds | Refused] = {
    "raster/LF20_F40_220.csv": Refused(StoreError, "cannot open"),
    "raster/RGB.byte.gcp.vrt": Builds({"control-points"}),
    "raster/au-gcp.tif": Builds({"control-points"}),
    "raster/cog_gcps.tif": Builds({"control-points"}),
    "raster/cog_hirise_mars.tif": MARS,
    "raster/cog_nonearth.tif": MARS,
    "raster/de-bw-radar.tif": Builds({"south-up"}),
    "raster/float_nan.tif": NO_CRS,
    "raster/geoloc_latitude_including_pole.tif": NO_TRANSFORM,
    "raster/geoloc_longitude_including_pole.tif": NO_TRANSFORM,
    "raster/inverted_lat.tif": Builds({"south-up"}),
    "raster/mask_8bit.tif": NO_TRANSFORM,
    "raster/n43.dt0": BY_GDAL,
    "raster/rotated.tif": NO_CRS,
    "raster/south-up.tif": Builds({"south-up"}),
    "broken/complex64.tif": Refused(UnsupportedError, "complex64"),
    "broken/corrupt.tif": Refused(ChunkReadError, "cannot be read or decoded"),
    "broken/slc_complex_gcps.tif": Refused(UnsupportedError, "complex_int16"),
    "netcdf/SMALL_total_column_co2.nc": degrees(x="longitude", y="latitude"),
    "netcdf/basin_mask.nc": degrees("axis-names", "south-up", "units", "valid-range", x="X", y="Y"),
    "netcdf/cloud_top_height.nc": Builds(
        {"coordinates-packed", "scan-angles", "unsigned", "valid-range"}, x="x", y="y", factor=HEIGHT
    ),
    "netcdf/cmip5_pr_365day.nc": degrees("standard-name", "time-units"),
    "netcdf/coads_sst.nc": degrees("axis-names", "south-up", "time-units", "units", x="COADSX", y="COADSY"),
    "netcdf/dataset_2d.nc": degrees("south-up", "valid-range", x="x", y="y"),
    "netcdf/dataset_3d.nc": degrees("south-up", "valid-range", x="x", y="y"),
    "netcdf/eraint_uvz.nc": degrees(nodata="none", x="longitude", y="latitude"),
    "netcdf/etopo20.nc": degrees("axis-names", "south-up", x="ETOPO20X1_1081", y="ETOPO20Y"),
    "netcdf/find_crs.nc": Builds({"crs-elsewhere"}, x="x", y="y"),
    "netcdf/goes_lst_unicode.nc": Builds({"unsigned", "valid-range"}, x="x", y="y"),
    "netcdf/gridmet_tmmx_20190121.nc": Builds({"standard-name"}, x="lon", y="lat"),
    "netcdf/laea_air_temp.nc": Builds(
        {"axis-names", "south-up"}, x="projection_x_coordinate", y="projection_y_coordinate"
    ),
    "netcdf/lcc_tas_monthly.nc": Builds({"south-up", "time-units"}, x="x", y="y"),
    "netcdf/mercator_false_east_north.nc": Builds({"south-up", "time-units"}, x="x", y="y"),
    "netcdf/mercator_toa.nc": Builds(x="x", y="y"),
    "netcdf/olci_l2_curvilinear.nc": degrees("geolocation", "unsigned"),
    "netcdf/osgb_tmean_1910.nc": Builds({"calendar-name", "time-units"}, x="x", y="y"),
    "netcdf/polar_toa.nc": Builds(x="x", y="y"),
    "netcdf/regrid_template_global.nc": Builds({"south-up"}, x="longitude", y="latitude"),
    "netcdf/rotpole_land_fraction.nc": Builds({"axis-names", "south-up"}, x="rlon", y="rlat"),
    "netcdf/rotpole_precipitation.nc": Builds(
        {"axis-names", "calendar-name", "south-up", "time-units"}, x="rlon", y="rlat"
    ),
    "netcdf/rotpole_theta_levels.nc": Builds(
        {"axis-names", "calendar-name", "irregular-axis", "south-up", "time-units"},
        {"irregular": "resample"},
        x="grid_longitude",
        y="grid_latitude",
    ),
    "netcdf/s2_L1C_geographic.nc": Builds({"units"}, x="longitude", y="latitude"),
    "netcdf/sst_nonstandard_dim.nc": Builds({"south-up", "valid-range"}, x="lon", y="lat"),
    "netcdf/tm_projection_origin_attributes.nc": Builds({"calendar-name", "time-units"}, x="x", y="y"),
    "netcdf/tos_O1_2001-2002.nc": degrees("south-up", "time-units"),
    "netcdf/gdal/bug636.nc": degrees(
        "irregular-axis", "valid-range", irregular="resample", x="longitude", y="latitude"
    ),
    "netcdf/gdal/cf_aea2sp_invf.nc": Builds({"coordinates-units", "south-up", "time-units"}, x="x", y="y", factor=1e3),
    "netcdf/gdal/cf_dimsindiff_4326.nc": Refused(
        MetadataError, "'lon'), expected one that is the X axis", {"group": "data"}
    ),  # the standard name of its latitudes is longitude
    "netcdf/gdal/cf_lcc1sp.nc": Builds({"coordinates-units", "south-up", "time-units"}, x="x", y="y", factor=1e3),
    "netcdf/gdal/cf_no_sphere.nc": Builds({"coordinates-units", "south-up", "time-units"}, x="x", y="y", factor=1e3),
    "netcdf/gdal/cf_xy_latlon_crs_wkt.nc": Builds({"south-up"}, x="x", y="y"),
    "netcdf/gdal/expanded_form_of_grid_mapping.nc": Builds({"south-up"}, crs="EPSG:27700", x="x", y="y"),
    "netcdf/gdal/fake_EMIT_L2A.nc": Builds(
        {"axis-names", "axis-order", "coordinates-elsewhere", "crs-words", "geolocation", "units"}
    ),
    "netcdf/gdal/fake_Oa01_radiance.nc": NO_RASTER,
    "netcdf/gdal/float_valid_range.nc": Builds(
        {"crs-given", "south-up", "valid-range"}, {"crs": "EPSG:32631"}, "EPSG:32631", "x", "y"
    ),
    "netcdf/gdal/geos_rad.nc": Builds({"coordinates-packed", "scan-angles"}, x="x", y="y", factor=HEIGHT),
    "netcdf/gdal/ice_drift_nh_ease2-750_cdr-v1p0_24h-202012211200_simplified.nc": Builds(
        {"axis-names", "coordinates-units"}, x="xc", y="yc", factor=1e3
    ),
    "netcdf/gdal/nc_lonwrap.nc": degrees(
        "longitudes-unwrapped", "south-up", "unsigned", "valid-range", x="longitude", y="latitude"
    ),
    "netcdf/gdal/netcdf-4d.nc": degrees("time-units", x="longitude", y="latitude"),
    "netcdf/gdal/netcdf_crs_wkt.nc": Refused(MetadataError, "centres that do not go on"),
    "netcdf/gdal/no_scale_offset.nc": degrees("south-up", x="x", y="y"),
    "netcdf/gdal/orog_CRCM1.nc": Builds({"axis-names", "south-up"}, {"nodata": -2147483648}, x="xc", y="yc"),
    "netcdf/gdal/polar_stero_variant_a.nc": Builds({"south-up"}, x="x", y="y"),
    "netcdf/gdal/rotated_pole.nc": NO_CRS,  # its grid mapping has no grid_mapping_name
    "netcdf/gdal/scale_offset.nc": degrees("packed-floats", "south-up", x="x", y="y"),
    "netcdf/gdal/sentinel5p_fake.nc": degrees("axis-names", "geolocation"),
    "netcdf/gdal/short_as_unsigned.nc": NO_CRS,
    "netcdf/gdal/swapedxy.nc": degrees("axis-names", "axis-order", x="Longitude", y="Latitude"),
    "netcdf/gdal/test_coord_scale_offset.nc": Builds({"coordinates-packed"}, x="x", y="y"),
    "netcdf/gdal/trmm-nc2.nc": degrees("south-up", "time-units", x="longitude", y="latitude"),
    "netcdf/gdal/two_vars_scale_offset.nc": degrees("packed-floats", "south-up", x="x", y="y"),
    "netcdf/gdal/uint16_netcdf4_without_fill.nc": Builds({"south-up"}, x="x", y="y"),
    "netcdf/gdal/with_bounds.nc": NO_RASTER,
    "netcdf/gdal/y_x_other_dim_thanks_to_geolocation.nc": Refused(
        MetadataError, "expected a longitude and a latitude, or NaN", {**DEGREES, "group": "geophysical_data"}
    ),  # never written
    "zarr/gdal_cf_nasa_4326.zarr.zip": Refused(MetadataError, "science"),
    "zarr/rio-tiler_dataset_3d_v2.zarr": degrees("south-up", "valid-range", x="x", y="y"),
    "zarr/stars_sic_daily_sample.zarr.zip": degrees(
        *("calendar-name", "inner-group", "south-up", "time-units", "valid-range"), x="longitude", y="latitude"
    ),
    "zarr/titiler_pyramid_v2.zarr": Builds(
        {"crs-given", "south-up", "valid-range"}, {**DEGREES, "group": "0"}, "OGC:CRS84", "x", "y", group="0"
    ),
    "zarr/gdal/array_dimensions.zarr": Refused(MetadataError, "centres that do not go on", DEGREES),
    "zarr/gdal/blosc.zarr": LONE_ARRAY,
    "zarr/gdal/byte_cf1.zarr": Refused(StoreError, "_ARRAY_DIMENSIONS"),
    "zarr/gdal/byte_cf1.zr3": NO_RASTER,  # of a draft of Zarr v3: arrays without codecs
    "zarr/gdal/f2_le.zarr": LONE_ARRAY,
    "zarr/gdal/fixedscaleoffset_dtype_f8_astype_u2.zarr": LONE_ARRAY,
    "zarr/gdal/nczarr_v2.zarr": Refused(MetadataError, "MyGroup"),
    "zarr/gdal/poc_14543": LONE_ARRAY,
    "zarr/gdal/uint16_imagecodecs_tiff_invalid_tiff.zarr": Refused(StoreError, "imagecodecs_tiff"),
    "zarr/gdal/v3_gzip.zarr": NO_CRS,
    "zarr/gdal/v3_order_f_u2.zarr": NO_CRS,
    "zarr/gdal/v3_sharding_fill_value.zarr": LONE_ARRAY,
    "zarr/gdal/v3_sharing_too_small_data_file": Refused(StoreError, "dimension_names"),
    "zarr/gdal/v3_simple_sharding.zarr": LONE_ARRAY,
    "zarr/gdal/zarr_with_stac_proj_epsg.zarr": Builds({"axis-names"}, crs="EPSG:26711", x="X", y="Y"),
    "zarr/written_by/gdal312_v2_southup.zarr": Builds({"axis-names", "south-up"}, crs="EPSG:4326", x="X", y="Y"),
    "zarr/written_by/gdal312_v3_image_171px.zarr": NO_CRS,
    "zarr/written_by/ndpyramid_coarsen_elev.zarr": Builds({"crs-elsewhere"}, x="x", y="y", group="0"),
    "zarr/written_by/ndpyramid_reproject_au.zarr": Builds({"crs-elsewhere"}, x="x", y="y", group="1"),
    "zarr/written_by/topozarr_elevation.zarr": Builds({"fill-value"}),
    "zarr/conformance/base.zarr": Builds(x="x", y="y", group="5", most=2**14),
}
# Documents without arrays.
NO_STORES = ("zarr/eopf", "zarr/ome", "zarr/conformance/invalid.json")
FOLDERS = ("raster", "netcdf", "grib", "broken", "zarr")
NESTED = ("netcdf/gdal", "zarr/gdal", "zarr/written_by", "zarr/conformance")


def names(folder: Path) -> list[str]:
    """Every file and store of the shared data, without what only describes some."""
    found = [path for inner in (*FOLDERS, *NESTED) for path in (folder / inner).iterdir()]
    named = sorted(str(path.relative_to(folder)) for path in found)
    return [name for name in named if name not in (*NESTED, *NO_STORES) and not name.endswith(".aux.xml")]


def expected_of(name: str) -> Builds | Refused:
    """What is said of a file; what no line speaks of is a raster that GDAL places."""
    return SOURCES.get(name, BY_GDAL)


def test_every_line_is_of_a_file(data_dir: Path) -> None:
    assert not set(SOURCES) - set(names(data_dir))
    unnamed = [name for name in names(data_dir) if name not in SOURCES]
    assert all(name.startswith(("raster/", "grib/")) for name in unnamed), "each dataset and store has its line"
    rasters = importlib.import_module("tests.pyramids.sources.test_raster")
    of_rasters = {name.removeprefix("raster/") for name in unnamed if name.startswith("raster/")}
    assert of_rasters <= {*rasters.IN_SCOPE, *rasters.REFUSED}, "and each raster has one there or in test_raster.py"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a file, where the shared data are."""
    if "name" in metafunc.fixturenames:
        from conftest import _data  # noqa: PLC0415

        # Rasters that no line speaks of are built and compared by test_raster.py.
        found = names(_data()) if _data().is_dir() else []
        there = [name for name in found if name in SOURCES or not name.startswith("raster/")]
        metafunc.parametrize("name", there or ["raster/au-gcp.tif"])


def built(source: pyramids.Source, most: int = MOST) -> tuple[Plan, MemoryStore]:
    """Build by `nearest`, coarser where the finest level would be large."""
    plan = pyramids.make_plan(source, pyramids.Options(resampling="nearest"))
    assert plan.levels.tms is not None
    ids, side, finest = plan.levels.tms.ids, max(plan.footprint.shape), plan.levels.finest.asset
    at = ids.index(finest)
    while side > most and at > 0:
        side, at = side // 2, at - 1
    coarsest = min(at, ids.index(plan.levels.levels[-1].asset))
    options = pyramids.Options(resampling="nearest", max_zoom=ids[at], min_zoom=ids[coarsest])
    plan, store = pyramids.make_plan(source, options), MemoryStore()
    pyramids.execute(plan, source, store)
    return plan, store


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_source_becomes_a_pyramid_with_its_own_pixels_or_is_refused(data_dir: Path, name: str) -> None:
    expected = expected_of(name)
    if isinstance(expected, Refused):
        with pytest.raises(expected.error) as caught:
            built(pyramids.open_source(data_dir / name, **expected.options))
        assert expected.word in str(caught.value)
        return
    source = pyramids.open_source(data_dir / name, **expected.options)
    assert {quirk.kind for quirk in source.quirks} == expected.quirks
    if expected.quirks:
        with pytest.raises(GroomingError):
            pyramids.make_plan(source, pyramids.Options(strict=True))
    plan, store = built(source, expected.most)
    assert plan.groomed == source.quirks
    report = check(store, depth="pixels")
    assert [finding for finding in report.findings if finding.severity is not Severity.INFO] == []
    if "geolocation" in expected.quirks:
        return  # positions are held against an analytic field in tests/pyramids/test_geolocation.py
    cells = chosen(plan)
    others = by_xarray(data_dir / name, expected, plan, cells) if expected.x else by_gdal(data_dir / name, plan, cells)
    compare(stored(plan, store, cells), others)


def chosen(plan: Plan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of some pixels of the finest level."""
    lot = np.random.default_rng(7)
    window = plan.footprint.intersect(plan.levels.finest.grid.window)
    rows = lot.integers(window.row, window.row_stop, CELLS)
    return rows, lot.integers(window.col, window.col_stop, CELLS)


def stored(
    plan: Plan, store: MemoryStore, cells: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> dict[str, tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Unpacked values of the finest level, shape (slice, cell), and which of them are valid, by variable."""
    group = zarr.open_group(zarr.storage.ObjectStore(store, read_only=True), path=plan.levels.finest.asset, mode="r")
    found = {}
    for variable in plan.data_variables:
        array = group[variable.name]
        assert isinstance(array, zarr.Array)
        values = np.asarray(array[...])[(..., *cells)].reshape(-1, CELLS)
        if variable.uses_alpha:
            alpha = group["alpha"]
            assert isinstance(alpha, zarr.Array)
            valid = np.broadcast_to(np.asarray(alpha[...])[cells] > 0, values.shape)
        else:
            missing = variable.nodata
            valid = np.ones(values.shape, np.bool_) if missing is None else ~np.isclose(values, missing, equal_nan=True)
        scale, offset = variable.attributes.get("scale_factor", 1), variable.attributes.get("add_offset", 0)
        unpacked = values if (scale, offset) == (1, 0) else values * float(scale) + float(offset)
        found[variable.name] = (unpacked, valid)
    return found


@dataclass(frozen=True)
class Others:
    """What somebody else says of the pixels: values and validity by variable, and which pixels can be compared."""

    values: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]]
    is_clear: NDArray[np.bool_]


def compare(found: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]], others: Others) -> None:
    """Hold values and validity against those of somebody else."""
    assert others.is_clear.sum() > CELLS // 10, "there is something to compare"
    for name, (values, valid) in found.items():
        expected, known = others.values[name]
        clear = np.broadcast_to(others.is_clear, valid.shape)
        assert np.array_equal(valid[clear], known[clear]), f"{name}: another mask"
        both = valid & known & clear
        np.testing.assert_allclose(values[both], expected[both], rtol=2e-6, atol=1e-9, err_msg=name)


def ground(grid: Grid, cells: tuple[NDArray[np.int64], NDArray[np.int64]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Coordinates of the centres of pixels."""
    t = grid.transform
    return t.c + t.a * (cells[1] + 0.5), t.f + t.e * (cells[0] + 0.5)


def by_gdal(path: Path, plan: Plan, cells: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Others:
    """Pixels where GDAL's transformation puts the centres, read through rasterio."""
    if path.suffix == ".zarr":  # written from this raster
        path = path.parents[2] / "raster" / "elevation-i16.tif"
    grid = plan.levels.finest.grid
    x, y = ground(grid, cells)
    with rasterio.Env(), rasterio.open(path) as dataset:
        points, crs_of_points = dataset.gcps
        crs = crs_of_points if dataset.transform.is_identity else dataset.crs
        target = rasterio.crs.CRS.from_wkt(grid.crs.wkt2)
        x, y = transformed(target, crs, x, y)
        if dataset.transform.is_identity:
            rows, cols = GCPTransformer(points).rowcol(x, y, op=lambda positions: positions)
            cols, rows = np.asarray(cols), np.asarray(rows)
        else:
            if crs.is_geographic:
                west = dataset.bounds.left
                x = west + np.mod(x - west, 360)
            cols, rows = ~dataset.transform @ (x, y)
        height, width = dataset.shape
        with np.errstate(invalid="ignore"):
            inside = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
            edges = np.minimum(np.abs(cols - np.rint(cols)), np.abs(rows - np.rint(rows)))
        is_clear = ~np.isfinite(edges) | (edges > EDGE)
        at = np.where(inside, rows, 0).astype(int), np.where(inside, cols, 0).astype(int)
        bands = [band for band in dataset.indexes if dataset.colorinterp[band - 1].name != "alpha"]
        found = {}
        for band, variable in zip(bands, plan.data_variables, strict=True):
            values, mask = np.empty(CELLS, np.float64), np.zeros(CELLS, np.bool_)
            for number in np.flatnonzero(inside):
                window = rasterio.windows.Window(at[1][number], at[0][number], 1, 1)
                values[number] = dataset.read(band, window=window)[0, 0]
                mask[number] = dataset.read_masks(band, window=window)[0, 0] > 0
            scale, offset = dataset.scales[band - 1], dataset.offsets[band - 1]
            known = mask & inside & ~np.isnan(values)
            unpacked = values if (scale, offset) == (1.0, 0.0) else values * scale + offset
            found[variable.name] = (unpacked[np.newaxis], known[np.newaxis])
    return Others(found, is_clear)


def transformed(
    source: Any, target: Any, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform by GDAL, point by point where one of them lies outside of a projection: NaN there."""
    try:
        found_x, found_y = rasterio.warp.transform(source, target, x, y)
        return np.array(found_x), np.array(found_y)
    except Exception:  # noqa: BLE001 - of a private class of rasterio
        if x.size == 1:
            return np.full(1, np.nan), np.full(1, np.nan)
        pairs = [transformed(source, target, x[at : at + 1], y[at : at + 1]) for at in range(x.size)]
        return np.concatenate([one for one, _ in pairs]), np.concatenate([one for _, one in pairs])


def by_xarray(path: Path, expected: Builds, plan: Plan, cells: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Others:
    """Decoded values at the nearest coordinates, as xarray opens the file."""
    dataset = opened(path, expected.group)
    x, y = ground(plan.levels.finest.grid, cells)
    crs = pyproj.CRS.from_user_input(expected.crs) if expected.crs else _stated_crs(dataset, plan)
    to_source = pyproj.Transformer.from_crs(plan.levels.crs.proj, crs, always_xy=True)
    x, y = to_source.transform(x, y)
    cols, col_clear, col_inside = nearest(dataset[expected.x], x, expected.factor, is_longitude=crs.is_geographic)
    rows, row_clear, row_inside = nearest(dataset[expected.y], y, expected.factor, is_longitude=False)
    found = {}
    for variable in plan.data_variables:
        array = dataset[variable.name]
        y_name, x_name = (dataset[key].dims[0] for key in (expected.y, expected.x))
        values = array.transpose(..., y_name, x_name).values[..., rows, cols].reshape(-1, CELLS).astype(np.float64)
        nodata = expected.options.get("nodata")
        if isinstance(nodata, int):
            values[values == nodata] = np.nan
        low, high = _valid_range(array)
        with np.errstate(invalid="ignore"):
            values[(values < low) | (values > high)] = np.nan
        known = ~np.isnan(values) & (col_inside & row_inside)
        found[variable.name] = (values, known)
    return Others(found, col_clear & row_clear)


def opened(path: Path, group: str | None) -> xr.Dataset:
    """Open by another library than the builder does, and decoded."""
    if path.suffix == ".nc":
        return xr.open_dataset(path, engine="netcdf4", decode_coords="all", decode_times=False)
    if path.suffix == ".zip":
        store = zarr.storage.ZipStore(path, mode="r")
        return xr.open_zarr(store, group="sic_daily_sample.zarr", chunks=None, decode_times=False, consolidated=False)
    return xr.open_zarr(path, group=group, chunks=None, decode_times=False, decode_coords="all", consolidated=False)


def _stated_crs(dataset: xr.Dataset, plan: Plan) -> pyproj.CRS:
    """CRS of the one grid mapping of a dataset, as pyproj reads it."""
    mappings = [
        variable
        for variable in dataset.variables.values()
        if "grid_mapping_name" in variable.attrs or "spatial_ref" in variable.attrs or "crs_wkt" in variable.attrs
    ]
    assert len(mappings) == 1, [variable.name for variable in plan.variables]
    return pyproj.CRS.from_cf({key: _plain(value) for key, value in mappings[0].attrs.items()})


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value


def _valid_range(array: xr.DataArray) -> tuple[float, float]:
    """Ends of what is valid, unpacked; xarray leaves them to its users. Packed unless they are of the unpacked type."""
    low, high = array.attrs.get("valid_min", -np.inf), array.attrs.get("valid_max", np.inf)
    if "valid_range" in array.attrs:
        low, high = array.attrs["valid_range"]
    scale, offset = array.encoding.get("scale_factor", 1.0), array.encoding.get("add_offset", 0.0)
    if array.encoding.get("_Unsigned") == "true":
        mask = 2 ** (8 * array.encoding["dtype"].itemsize) - 1
        low, high = (int(end) & mask if np.isfinite(end) else end for end in (low, high))
    slack = 1e-6 * abs(float(scale))
    low, high = sorted(float(end) * float(scale) + float(offset) for end in (low, high))
    return low - slack, high + slack


def nearest(
    coordinate: xr.DataArray, wanted: NDArray[np.float64], factor: float, *, is_longitude: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Positions of the nearest centres, which are far enough from an edge, and which lie inside."""
    centres = np.asarray(coordinate.values, np.float64) * factor
    if is_longitude:
        centres = centres[0] + np.cumsum(np.concatenate([[0.0], (np.diff(centres) + 180) % 360 - 180]))
    order = np.argsort(centres)
    ordered = centres[order]
    middles = (ordered[1:] + ordered[:-1]) / 2
    edges = np.concatenate([[2 * ordered[0] - middles[0]], middles, [2 * ordered[-1] - middles[-1]]])
    if is_longitude:
        wanted = edges[0] + np.mod(wanted - edges[0], 360)
    with np.errstate(invalid="ignore"):
        at = np.clip(np.searchsorted(edges, wanted, side="right") - 1, 0, ordered.size - 1)
        share = (wanted - edges[at]) / (edges[at + 1] - edges[at])
        inside = (wanted >= edges[0]) & (wanted < edges[-1])
        clear = ~np.isfinite(share) | (np.minimum(np.abs(share), np.abs(1 - share)) > EDGE)
    return order[at], clear, inside
