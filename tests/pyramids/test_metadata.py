"""What the documents of a pyramid say (docs/metadata.md), read from the store as JSON and by xarray."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import pytest
import xarray as xr
import zarr.storage
from affine import Affine

import builds
import pyramids
from builds import FakeSource, scene
from conformance import check
from geozarr.errors import MetadataError
from pyramids import Axis, Plan
from pyramids import plan as plan_module

if TYPE_CHECKING:
    from obstore.store import MemoryStore

SPATIAL = "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4"
PROJ = "f17cb550-5864-4468-aeb7-f3180cfb622f"
MULTISCALES = "d35379db-88df-4056-af3a-620245f8e347"


def built(
    dtype: str = "int16", *, tms: str = "WebMercatorQuad", resampling: str = "auto", **changes: Any
) -> tuple[Plan, MemoryStore]:
    """A small pyramid of at least two levels."""
    source = FakeSource(scene(dtype, (1, 300, 280)), **changes)
    choices: dict[str, Any] = {"chunk": 64} if tms == "native" else {"min_zoom": 10}
    return builds.build(source, tms=tms, resampling=resampling, **choices)


def document(store: MemoryStore, path: str = "") -> dict[str, Any]:
    """A node's own `zarr.json`."""
    found: dict[str, Any] = json.loads(bytes(store.get(f"{path}/zarr.json" if path else "zarr.json").bytes()))
    return found


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_every_node_is_consolidated_as_it_stands(tms: str) -> None:
    """ZARR-20; `spatial_ref` before the data arrays, for GDAL."""
    plan, store = built(tms=tms)
    nodes = document(store)["consolidated_metadata"]["metadata"]
    stored = [key[: -len("/zarr.json")] for key in builds.objects(store) if key.endswith("/zarr.json")]
    assert sorted(nodes) == sorted(stored)
    for path, stated in nodes.items():
        assert stated == document(store, path)
    order = list(nodes)
    for asset in plan.levels.assets:
        assert order.index(f"{asset}/spatial_ref") < order.index(f"{asset}/v0")
        assert order.index(asset) < order.index(f"{asset}/spatial_ref")


def test_the_root_names_the_levels_finest_first() -> None:
    plan, store = built()
    root = document(store)["attributes"]
    layout = root["multiscales"]["layout"]
    assert [item["asset"] for item in layout] == list(plan.levels.assets) == ["12", "11", "10"]
    assert [item.get("derived_from") for item in layout] == [None, "12", "11"]
    assert [item["transform"]["scale"] for item in layout[1:]] == [[2.0, 2.0]] * 2
    assert root["multiscales"]["resampling_method"] == "average"
    assert {item["uuid"] for item in root["zarr_conventions"]} == {MULTISCALES, PROJ, SPATIAL}
    assert (root["proj:code"], root["spatial:dimensions"]) == ("EPSG:3857", ["y", "x"])
    assert "spatial:transform" not in root
    assert "spatial:shape" not in root
    assert root["multiscales"]["tileMatrixSet"]["id"] == "WebMercatorQuad"
    assert [matrix["id"] for matrix in root["multiscales"]["tileMatrixSet"]["tileMatrices"]] == ["10", "11", "12"]


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
@pytest.mark.parametrize("method", ["nearest", "mode", "max", "sum"])
def test_the_resampling_method_is_that_of_the_levels(tms: str, method: str) -> None:
    """Multiscales convention: how a level is derived from the one it names."""
    _, store = built(tms=tms, resampling=method, nodata=-9999)
    assert document(store)["attributes"]["multiscales"]["resampling_method"] == method


def test_variables_that_are_coarsened_differently_name_no_common_method() -> None:
    """A quantity, classes and flags in one pyramid: one field cannot say three methods."""
    kinds = {
        "height": {},
        "cover": {"flag_values": np.array([1, 2], np.int16), "flag_meanings": "wood water"},
        "quality": {"flag_masks": np.array([1, 2], np.int16), "flag_meanings": "cloud snow"},
    }
    values = scene("int16", (200, 180), span=(1, 2))
    arrays = {name: builds.data_array(values, name=name, attrs=attrs) for name, attrs in kinds.items()}
    plan, store = builds.build(xr.Dataset(arrays), tms="native", chunk=64, nodata=-1)
    methods = {variable.name: variable.fold_method for variable in plan.variables}
    assert methods == {"height": "average", "cover": "mode", "quality": "bit-or"}
    assert "resampling_method" not in document(store)["attributes"]["multiscales"]
    builds.assert_levels_follow(store, plan)


@pytest.mark.parametrize(
    ("method", "stated"),
    [
        ("average", "mean"),
        ("nearest", "point"),
        ("min", "minimum"),
        ("max", "maximum"),
        ("sum", "sum"),
        ("mode", "mode"),
        ("median", "median"),
    ],
)
def test_coarser_levels_say_how_their_cells_were_made(method: str, stated: str) -> None:
    """CF 7.3, Appendix E; the finest level says what the source says."""
    plan, store = built(tms="native", resampling=method, nodata=-9999)
    finest, *coarser = plan.levels.assets
    assert "cell_methods" not in document(store, f"{finest}/v0")["attributes"]
    for asset in coarser:
        assert document(store, f"{asset}/v0")["attributes"]["cell_methods"] == f"area: {stated}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("time: maximum", "time: maximum area: mean"),
        ("time: maximum area: mean", "time: maximum area: mean"),  # a mean of means of equal cells is their mean
        ("area: mean time: maximum", "area: mean time: maximum area: mean"),
        (" ", "area: mean"),
    ],
)
def test_methods_stand_in_the_order_in_which_they_were_applied(before: str, after: str) -> None:
    plan, store = built(tms="native", nodata=-9999, attributes={"cell_methods": before})
    stated = [document(store, f"{asset}/v0")["attributes"]["cell_methods"] for asset in plan.levels.assets]
    assert stated == [before, *[after] * (len(stated) - 1)]


def test_the_union_of_bits_is_no_method_of_cf() -> None:
    plan, store = built(tms="native", resampling="bit-or", nodata=-9999)
    assert all("cell_methods" not in document(store, f"{asset}/v0")["attributes"] for asset in plan.levels.assets)


def test_tile_limits_are_those_of_the_arrays() -> None:
    """P-16: chunk (0, 0) is tile (minTileRow, minTileCol), by arithmetic of OGC's own numbers."""
    plan, store = built()
    limits = document(store)["attributes"]["multiscales"]["tileMatrixSetLimits"]
    by_matrix = {item["tileMatrix"]: item for item in limits}
    half = math.pi * 6378137
    for asset in plan.levels.assets:
        tile = 2 * half / 2 ** int(asset)
        x, y = builds.read(store, f"{asset}/x"), builds.read(store, f"{asset}/y")
        cell = tile / 256
        assert by_matrix[asset]["minTileCol"] == round((x[0] - cell / 2 + half) / tile)
        assert by_matrix[asset]["maxTileCol"] == round((x[-1] + cell / 2 + half) / tile) - 1
        assert by_matrix[asset]["minTileRow"] == round((half - y[0] - cell / 2) / tile)
        assert by_matrix[asset]["maxTileRow"] == round((half - y[-1] + cell / 2) / tile) - 1


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
def test_group_and_arrays_of_a_level_repeat_where_it_lies(tms: str) -> None:
    """The one-step rule of the conventions: no node serves another but its own children."""
    plan, store = built(tms=tms)
    for level in plan.levels.levels:
        a, b, c, d, e, f = tuple(level.grid.transform)[:6]
        for path in (level.asset, f"{level.asset}/v0"):
            stated = document(store, path)["attributes"]
            assert stated["spatial:transform"] == [a, b, c, d, e, f]
            assert stated["spatial:shape"] == list(level.grid.shape)
            assert stated["spatial:bbox"] == pytest.approx(list(level.grid.bounds))
            assert pyproj.CRS.from_wkt(stated["proj:wkt2"]) == level.grid.crs.proj
            assert {item["uuid"] for item in stated["zarr_conventions"]} == {PROJ, SPATIAL}
        array = document(store, f"{level.asset}/v0")
        assert array["shape"] == list(level.grid.shape)
        assert array["dimension_names"] == ["y", "x"]
        assert array["attributes"]["grid_mapping"] == array["attributes"]["coordinates"] == "spatial_ref"
        reference = document(store, f"{level.asset}/spatial_ref")["attributes"]
        assert [float(part) for part in reference["GeoTransform"].split()] == [c, a, b, f, d, e]
        assert pyproj.CRS.from_wkt(reference["crs_wkt"]) == level.grid.crs.proj


@pytest.mark.parametrize(
    ("dtype", "nodata", "fill", "missing"),
    [
        ("float32", None, "NaN", math.nan),
        ("float64", -9999.0, -9999.0, -9999.0),
        ("float32", -3.4028235e38, float(np.float32(-3.4028235e38)), float(np.float32(-3.4028235e38))),
        ("uint8", 0, 0, 0),
        ("int16", -32768, -32768, -32768),
        ("uint32", 2**32 - 1, 2**32 - 1, 2**32 - 1),
    ],
)
def test_fill_value_is_zarrs_and_the_missing_value_is_cfs(
    dtype: str, nodata: float | None, fill: Any, missing: float
) -> None:
    """P-23: floats as base64 of a little-endian float64, which xarray needs (ZARR-13); integers as they are."""
    _, store = built(dtype, nodata=nodata)
    stated = document(store, "12/v0")
    assert stated["fill_value"] == fill
    found = stated["attributes"]["_FillValue"]
    if np.dtype(dtype).kind == "f":
        assert isinstance(found, str)
        (found,) = struct.unpack("<d", base64.b64decode(found))
    np.testing.assert_equal(found, missing)


def test_alpha_is_named_by_what_it_masks() -> None:
    _, store = built("uint8")
    stated = document(store, "12/v0")
    assert stated["attributes"]["ancillary_variables"] == "alpha"
    assert "_FillValue" not in stated["attributes"]
    assert stated["fill_value"] == 255
    alpha = document(store, "12/alpha")
    assert (alpha["data_type"], alpha["fill_value"]) == ("uint8", 0)
    assert alpha["attributes"]["color_interpretation"] == "alpha"
    assert "_FillValue" not in alpha["attributes"]


def test_native_integers_that_are_valid_everywhere_have_neither() -> None:
    """Nothing is missing: nothing says how."""
    plan, store = built("uint8", tms="native")
    stated = document(store, "0/v0")["attributes"]
    assert not plan.has_alpha
    assert "_FillValue" not in stated
    assert "ancillary_variables" not in stated


def test_attributes_of_the_source_are_kept() -> None:
    kept = {"long_name": "height", "units": "m", "scale_factor": 0.1, "add_offset": 5.0}
    plan, store = built(nodata=-9999, attributes=kept)
    for asset in plan.levels.assets:
        stated = document(store, f"{asset}/v0")["attributes"]
        assert {name: stated[name] for name in kept} == kept


def test_the_actual_range_is_unpacked_and_ordered() -> None:
    """CF 2.5.1: in the unit of the unpacked data; a negative scale turns the ends."""
    for scale, offset in ((0.5, 10.0), (-2.0, 1.0)):
        _, store = built(nodata=-9999, attributes={"scale_factor": scale, "add_offset": offset})
        stated = document(store, "12/v0")["attributes"]
        values = builds.read(store, "12/v0")
        ends = sorted(float(end) * scale + offset for end in (values[values != -9999].min(), values.max()))
        assert stated["actual_range"] == ends
        assert stated["statistics"]["min"] == values[values != -9999].min(), "statistics are of the stored values"


def test_the_extent_is_that_of_the_data_in_degrees() -> None:
    """ACDD: levels reach to the edges of the coarsest tiles, the data do not. Two pixels of 30 m are 0.0008 degrees."""
    _, store = built(nodata=-9999)
    stated = document(store)["attributes"]
    corners = pyproj.Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True)
    xs, ys = corners.transform([500000, 500000 + 280 * 30] * 2, [5000000, 5000000, 4991000, 4991000])
    assert stated["geospatial_lon_min"] == pytest.approx(min(xs), abs=0.002)
    assert stated["geospatial_lon_max"] == pytest.approx(max(xs), abs=0.002)
    assert stated["geospatial_lat_min"] == pytest.approx(min(ys), abs=0.002)
    assert stated["geospatial_lat_max"] == pytest.approx(max(ys), abs=0.002)
    assert "ACDD-1.3" in stated["Conventions"]


def test_axes_become_coordinate_variables() -> None:
    values = np.stack([scene("float32", (90, 80), seed=seed) for seed in range(6)])
    axes = (
        Axis("time", (0, 86400), {"units": "seconds since 2020-01-01", "standard_name": "time"}),
        Axis("height", (2.5, 10.0, 99.0), {"units": "m"}),
    )
    _, store = builds.build(FakeSource(values, leading=axes, names=("t",)), tms="native")
    assert document(store, "0/t")["dimension_names"] == ["time", "height", "y", "x"]
    assert document(store, "0/t")["chunk_grid"]["configuration"]["chunk_shape"] == [1, 1, 512, 512]
    time, height = (builds.open_array(store, f"0/{name}") for name in ("time", "height"))
    assert (time.dtype, time[...].tolist()) == (np.int64, [0, 86400])  # type: ignore[union-attr]
    assert (height.dtype, height[...].tolist()) == (np.float64, [2.5, 10, 99])  # type: ignore[union-attr]
    assert time.attrs["units"] == "seconds since 2020-01-01"
    np.testing.assert_array_equal(builds.read(store, "0/t").reshape(6, 90, 80), values)


@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
@pytest.mark.parametrize(("dtype", "nodata"), [("int16", -9999), ("float32", None), ("float64", -9999.0)])
def test_xarray_and_rioxarray_see_crs_transform_and_missing_pixels(tms: str, dtype: str, nodata: float | None) -> None:
    """P-24: masked and scaled as anyone opens it, at every level."""
    values = scene(dtype, (1, 300, 280))
    values[:, 40:90, 50:70] = math.nan if nodata is None else nodata
    source = FakeSource(values, nodata=nodata)
    plan, store = builds.build(source, tms=tms, **({"chunk": 64} if tms == "native" else {"min_zoom": 10}))
    for level in plan.levels.levels:
        dataset = xr.open_zarr(
            zarr.storage.ObjectStore(store, read_only=True), group=level.asset, consolidated=False, decode_coords="all"
        )
        assert dataset.rio.crs.to_epsg() == (32631 if tms == "native" else 3857)
        assert dataset.v0.rio.transform().almost_equals(Affine(*tuple(level.grid.transform)[:6]), 1e-6)
        assert set(dataset.data_vars) == {"v0"}
        np.testing.assert_array_equal(np.isnan(dataset.v0.values), ~builds.validity(store, level.asset, "v0"))
        np.testing.assert_allclose(dataset.x.values, level.grid.x_centres())
        np.testing.assert_allclose(dataset.y.values, level.grid.y_centres())


@pytest.mark.parametrize(
    ("names", "code", "tms", "kept"),
    [
        (("lat", "lon"), "OGC:CRS84", "native", ("lat", "lon")),
        (("latitude", "longitude"), "EPSG:4326", "native", ("latitude", "longitude")),
        (("y", "x"), "OGC:CRS84", "native", ("y", "x")),
        (("northing", "easting"), builds.UTM, "native", ("y", "x")),
        (("lat", "lon"), builds.UTM, "native", ("y", "x")),
        (("lat", "lon"), "OGC:CRS84", "WebMercatorQuad", ("y", "x")),
    ],
)
@pytest.mark.parametrize("is_south_up", [False, True])
def test_a_native_pyramid_keeps_the_names_of_latitudes_and_longitudes(
    names: tuple[str, str], code: str, tms: str, kept: tuple[str, str], is_south_up: bool
) -> None:
    size = (0.1, -0.1) if code != builds.UTM else (30.0, -30.0)
    array = builds.data_array(scene("int16", (300, 280)), code=code, cell=size, corner=(0.0, 60.0), dims=names)
    array = array.isel({names[0]: slice(None, None, -1)}) if is_south_up else array
    plan, store = builds.build(array, tms=tms, nodata=-9999, **({"chunk": 64} if tms == "native" else {}))
    assert plan_module.from_document(json.loads(json.dumps(plan.to_document()))).levels == plan.levels
    for path in plan.levels.assets:
        assert document(store, path)["attributes"]["spatial:dimensions"] == list(kept)
        assert document(store, f"{path}/v")["dimension_names"] == list(kept)
        for name, standard_name in zip(kept, ("latitude", "longitude"), strict=True):
            attributes = document(store, f"{path}/{name}")["attributes"]
            assert (attributes["standard_name"] == standard_name) == (tms == "native" and code != builds.UTM)
    assert not check(store, depth="pixels").findings


def test_names_that_a_native_pyramid_keeps_are_taken() -> None:
    shape, size, corner = (30, 28), (0.1, -0.1), (0.0, 60.0)
    array = builds.data_array(scene("int16", shape), code="OGC:CRS84", cell=size, corner=corner, dims=("lat", "lon"))
    plan = builds.plan_for(pyramids.open_source(array.rename("x")), tms="native")
    assert [variable.name for variable in plan.variables] == ["x"]
    with pytest.raises(MetadataError, match="that the pyramid does not use itself"):
        builds.plan_for(pyramids.open_source(array.rename("x")))


def test_documents_are_json_without_extensions() -> None:
    """No NaN outside strings, no object of Python: a strict parser reads them."""
    _, store = built("float32")

    def refuse(token: str) -> None:
        raise AssertionError(token)

    for key, data in builds.objects(store).items():
        if key.endswith("zarr.json"):
            json.loads(data.decode(), parse_constant=refuse)
