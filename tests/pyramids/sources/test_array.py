"""xarray objects in memory and from Zarr as sources (P-7 in part, P-14, P-15; B13, B14, B18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr

import builds
import pyramids
from builds import data_array, scene
from geozarr import (
    ChunkReadError,
    MetadataError,
    ParameterError,
    StoreError,
    UnknownNameError,
    UnsupportedError,
    Window,
)
from pyramids import ArraySource, Slice

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def read(source: ArraySource, window: Window, *slices: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Values and mask of some slices."""
    pixels = source.read(window, [Slice(*chosen) for chosen in slices])
    assert pixels.alpha is None
    return pixels.values, pixels.valid


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_b14_each_dtype_and_byte_order_reads_as_it_is(dtype: str, order: str) -> None:
    """B14."""
    values = scene(dtype, (40, 50))
    source = ArraySource(data_array(values.astype(values.dtype.newbyteorder(order))))
    assert source.variables[0].dtype == np.dtype(dtype)
    assert source.variables[0].dtype.isnative
    found, valid = read(source, Window(3, 5, 20, 30), (0, 0))
    assert found.dtype.isnative
    np.testing.assert_array_equal(found[0], values[3:23, 5:35])
    assert valid.all()
    _, store = builds.build(data_array(values.astype(values.dtype.newbyteorder(order))), tms="native")
    np.testing.assert_array_equal(builds.read(store, "0/v"), values)


@pytest.mark.parametrize("dtype", ["complex64", "U3", "datetime64[s]", "object"])
def test_b14_unsupported_dtypes_are_refused(dtype: str) -> None:
    """B14: at plan."""
    values = np.zeros((40, 50)).astype(dtype) if dtype != "datetime64[s]" else np.zeros((40, 50), "M8[s]")
    with pytest.raises(UnsupportedError) as caught:
        ArraySource(data_array(values))
    assert "data type" in caught.value.feature


@pytest.mark.parametrize(("dtype", "taken"), [("bool", "uint8"), ("float16", "float32")])
def test_b14_booleans_and_half_floats_are_widened(dtype: str, taken: str) -> None:
    """B14: few readers know them."""
    values = scene("float32", (40, 50)).astype("float16") if dtype == "float16" else scene("uint8", (40, 50)) > 99
    source = ArraySource(data_array(values))
    found, _ = read(source, Window(0, 0, 40, 50), (0, 0))
    np.testing.assert_array_equal(found[0], values.astype(taken), strict=True)
    assert [quirk.kind for quirk in source.quirks] == ["bool" if dtype == "bool" else "half-float"]


@pytest.mark.parametrize("dims", [("y", "x"), ("lat", "lon"), ("latitude", "longitude")])
def test_the_grid_follows_from_the_pixel_centres(dims: tuple[str, str]) -> None:
    """P-14: corner = first centre less half a step; CF's names of the axes."""
    code = "EPSG:32631" if dims == ("y", "x") else "EPSG:4326"
    cell, corner = ((30, -30), (500000, 5000000)) if dims == ("y", "x") else ((0.25, -0.25), (-10, 60))
    array = data_array(scene("float32", (40, 50)), dims=dims, code=code, cell=cell, corner=corner)
    grid = ArraySource(array).grid
    assert grid.shape == (40, 50)
    assert tuple(grid.transform)[:6] == pytest.approx((cell[0], 0, corner[0], 0, cell[1], corner[1]))
    assert grid.crs.code == code


@pytest.mark.parametrize("cell", [(30.0, 30.0), (-30.0, -30.0), (-30.0, 30.0)])
def test_axes_may_run_either_way(cell: tuple[float, float]) -> None:
    """P-14: ascending y, descending x; the same picture comes out as from the north-up raster."""
    values = scene("float32", (200, 180))
    turned = values[:: -1 if cell[1] > 0 else 1, :: -1 if cell[0] < 0 else 1]
    corner = (500000 if cell[0] > 0 else 500000 + 180 * 30, 5000000 if cell[1] < 0 else 5000000 - 200 * 30)
    plan, store = builds.build(data_array(values), max_zoom=12, min_zoom=11)
    other, found = builds.build(data_array(turned, cell=cell, corner=corner), max_zoom=12, min_zoom=11)
    assert other.levels == plan.levels
    for asset in plan.levels.assets:
        np.testing.assert_allclose(builds.read(found, f"{asset}/v"), builds.read(store, f"{asset}/v"), rtol=1e-4)


def test_float32_coordinates_are_even_enough() -> None:
    """Degrees in float32 are off by 1e-4 of a cell; the step is taken from both ends."""
    lon, lat = np.arange(720, dtype=np.float32) * 0.1 + 0.05, 50 - np.arange(300, dtype=np.float32) * 0.1
    array = xr.DataArray(scene("float32", (300, 720)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon})
    grid = ArraySource(array.rio.write_crs(4326)).grid
    assert grid.transform.a == pytest.approx(0.1, rel=1e-6)
    assert grid.transform.c == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        ([0, 1, 2, 4], "cells off an even spacing"),
        ([0, 1, 4, 9], "cells off an even spacing"),
        ([0, 1, 2, 3.01], "cells off an even spacing"),
        ([3, 3, 3, 3], "do not go on"),
        ([0, 1, np.nan, 3], "not finite"),
        ([0, 1, 2, np.inf], "not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_irregular_coordinates_are_refused(x: list[float], said: str) -> None:
    """P-14: with a message; never taken as even."""
    array = data_array(scene("float32", (5, 4))).assign_coords(x=x)
    with pytest.raises(MetadataError) as caught:
        ArraySource(array)
    assert caught.value.key == "x"
    assert said in str(caught.value.found)


def test_a_missing_coordinate_is_refused() -> None:
    array = data_array(scene("float32", (5, 4))).drop_vars("y")
    with pytest.raises(MetadataError) as caught:
        ArraySource(array)
    assert (caught.value.key, caught.value.found) == ("y", None)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (0, 5), (5, 0)])
def test_b15_b18_a_side_of_less_than_two_centres_has_no_cell_size(shape: tuple[int, int]) -> None:
    """B15, B18: one centre does not tell how large its cell is; zero-size is refused."""
    with pytest.raises(MetadataError) as caught:
        ArraySource(data_array(np.zeros(shape, np.float32)))
    assert caught.value.key in ("x", "y")


def test_a_missing_crs_is_refused() -> None:
    """P-15: never EPSG:4326 by guess, also where the axes are named lat and lon."""
    for dims in (("y", "x"), ("lat", "lon")):
        with pytest.raises(MetadataError) as caught:
            ArraySource(data_array(scene("float32", (5, 4)), dims=dims, code=None))
        assert (caught.value.key, caught.value.found) == ("crs", None)


def test_the_crs_may_stand_in_proj_attributes() -> None:
    """PJ-02: on the array, or on the dataset."""
    bare = data_array(scene("float32", (5, 4)), code=None)
    assert ArraySource(bare.assign_attrs({"proj:code": "EPSG:32633"})).grid.crs.code == "EPSG:32633"
    dataset = bare.to_dataset().assign_attrs({"proj:code": "EPSG:3035"})
    assert ArraySource(dataset).grid.crs.code == "EPSG:3035"


@pytest.mark.parametrize("order", [("x", "y"), ("time", "x", "y"), ("y", "time", "x"), ("y", "x", "time")])
def test_rows_and_columns_are_put_last(order: tuple[str, ...]) -> None:
    array = data_array(scene("float32", (2, 5, 4)), dims=("time", "y", "x"))
    usual = array if "time" in order else array.isel(time=0, drop=True)
    source, expected = ArraySource(usual.transpose(*order)), ArraySource(usual)
    assert source.grid == expected.grid
    assert source.variables == expected.variables
    window = Window(1, 1, 3, 2)
    for number in range(source.variables[0].slice_count):
        found, _ = read(source, window, (0, number))
        np.testing.assert_array_equal(found, read(expected, window, (0, number))[0])
    assert [quirk.kind for quirk in source.quirks] == ["axis-order"]
    assert expected.quirks == ()


def test_an_object_without_spatial_axes_is_refused() -> None:
    with pytest.raises(MetadataError) as caught:
        ArraySource(xr.DataArray(np.zeros((3, 4)), dims=("a", "b")))
    assert caught.value.key == "dimensions"
    with pytest.raises(MetadataError) as caught:
        ArraySource(data_array(scene("float32", (5, 4))).to_dataset()[["x", "y", "spatial_ref"]])
    assert caught.value.key == "dimensions"


@pytest.mark.parametrize("wrong", [np.zeros((4, 4)), 3, None])
def test_what_is_no_xarray_object_is_refused(wrong: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        ArraySource(wrong)
    assert caught.value.parameter == "source"


def test_variables_are_chosen_by_name_and_order() -> None:
    first = data_array(scene("float32", (40, 50)))
    dataset = xr.Dataset({"a": first, "b": first + 1, "other": ("t", [1, 2])}).assign_coords(first.coords)
    assert [variable.name for variable in ArraySource(dataset).variables] == ["a", "b"]
    source = ArraySource(dataset, variables=["b", "a", "b"])
    assert [variable.name for variable in source.variables] == ["b", "a"]
    values, _ = read(source, Window(0, 0, 2, 2), (0, 0), (1, 0))
    np.testing.assert_allclose(values[0], values[1] + 1)
    with pytest.raises(UnknownNameError) as caught:
        ArraySource(dataset, variables=["c"])
    assert (caught.value.kind, caught.value.name, caught.value.known) == ("variable", "c", ("a", "b"))


@pytest.mark.parametrize("key", ["_FillValue", "missing_value", "nodata"])
def test_missing_values_are_those_of_the_attributes(key: str) -> None:
    """P-1."""
    values = scene("int16", (40, 50))
    values[3, 4] = -9999
    source = ArraySource(data_array(values, attrs={key: np.int16(-9999)}))
    assert source.variables[0].nodata == -9999
    _, valid = read(source, Window(0, 0, 40, 50), (0, 0))
    assert np.argwhere(~valid[0]).tolist() == [[3, 4]]
    assert ArraySource(data_array(values, attrs={key: -9999}), nodata=7).variables[0].nodata == 7


@pytest.mark.parametrize(("dtype", "value"), [("int64", 2**53 + 1), ("int64", -(2**63)), ("uint64", 2**64 - 1)])
@pytest.mark.parametrize("is_scalar", [True, False])
def test_missing_values_of_64_bits_are_exact(dtype: str, value: int, is_scalar: bool) -> None:
    """P-7: float64 holds none of their neighbours."""
    stated = np.dtype(dtype).type(value) if is_scalar else value
    nodata = ArraySource(data_array(scene(dtype, (5, 4)), attrs={"_FillValue": stated})).variables[0].nodata
    assert nodata == value
    assert isinstance(nodata, int)


def test_blocks_of_values_in_memory_are_of_a_handy_size() -> None:
    source = ArraySource(data_array(scene("uint8", (600, 100))))
    assert (source.block_shape, source.resident_bytes, source.coverage()) == ((512, 100), 0, None)


def test_blocks_are_those_of_dask() -> None:
    """The largest, where dask's last chunk is a rest or variables differ."""
    array = data_array(scene("uint8", (2, 100, 90)), dims=("band", "y", "x"))
    assert ArraySource(array.chunk({"band": 1, "y": 30, "x": 50})).block_shape == (30, 50)
    both = xr.Dataset({"a": array.chunk({"y": 30, "x": 50}), "b": array.chunk({"y": 40, "x": 20})})
    assert ArraySource(both).block_shape == (40, 50)


def test_blocks_are_those_of_the_file(tmp_path: Path) -> None:
    """As xarray's backends note them, here of a Zarr v2 array."""
    data_array(scene("uint8", (100, 90))).to_dataset().to_zarr(
        tmp_path / "in.zarr",
        zarr_format=2,
        consolidated=False,
        encoding={"v": {"chunks": (32, 16), "grid_mapping": "spatial_ref"}},
    )
    opened = xr.open_zarr(tmp_path / "in.zarr", chunks=None, consolidated=False, decode_coords="all")
    assert ArraySource(opened).block_shape == (32, 16)


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint16", -9999), ("uint8", 256), ("int16", np.nan), ("uint8", "none"), ("int16", [1, 2])]
)
def test_b13_missing_values_that_do_not_fit_are_refused(dtype: str, value: Any) -> None:
    """B13."""
    with pytest.raises(MetadataError) as caught:
        ArraySource(data_array(scene(dtype, (5, 4)), attrs={"_FillValue": value}))
    assert caught.value.key in ("nodata", "_FillValue")


def test_floats_that_were_masked_hold_nan() -> None:
    """xarray moves the fill value to the encoding, where it no longer stands in the data."""
    values = scene("float32", (40, 50))
    values[3, 4] = np.nan
    array = data_array(values)
    array.encoding["_FillValue"] = -9999.0
    source = ArraySource(array)
    assert source.variables[0].nodata is None
    _, valid = read(source, Window(0, 0, 40, 50), (0, 0))
    assert np.argwhere(~valid[0]).tolist() == [[3, 4]]


def test_flags_are_classes() -> None:
    """P-4, P-8."""
    array = data_array(scene("uint8", (5, 4)), attrs={"flag_values": np.array([1, 2], np.uint8)})
    assert ArraySource(array).variables[0].is_categorical


def test_leading_axes_keep_their_coordinates() -> None:
    values = scene("float32", (3, 2, 40, 50))
    array = data_array(values, dims=("time", "level", "y", "x")).assign_coords(
        time=np.array(["2020-01-01", "2020-01-02T12", "1960-01-01"], "M8[ns]"), level=("level", [10.5, 20])
    )
    array.level.attrs["units"] = "hPa"
    source = ArraySource(array)
    time, level = source.variables[0].leading
    assert time.coordinates == (1577836800, 1577966400, -315619200)
    assert time.attributes["units"] == "seconds since 1970-01-01T00:00:00"
    assert (level.coordinates, level.attributes["units"]) == ((10.5, 20), "hPa")
    assert source.variables[0].slice_count == 6
    found, _ = read(source, Window(5, 6, 7, 8), *((0, number) for number in range(6)))
    np.testing.assert_array_equal(found, values.reshape(6, 40, 50)[:, 5:12, 6:14])
    _, store = builds.build(array, tms="native")
    np.testing.assert_array_equal(builds.read(store, "0/v"), values)
    opened = xr.open_zarr(zarr.storage.ObjectStore(store, read_only=True), group="0", consolidated=False)
    np.testing.assert_array_equal(opened.time.values.astype("M8[s]"), array.time.values.astype("M8[s]"))


def test_the_retired_name_of_a_calendar_is_replaced() -> None:
    """CF 4.4.1: `gregorian` means `standard`; numbers that xarray has not decoded keep their calendar."""
    for stated, kept in (("gregorian", "standard"), ("standard", "standard"), ("noleap", "noleap")):
        array = data_array(scene("int16", (2, 40, 30)), dims=("time", "y", "x"))
        attributes = {"units": "days since 2000-01-01", "calendar": stated}
        array = array.assign_coords(time=("time", [0, 1], attributes))
        (axis,) = ArraySource(array).variables[0].leading
        assert axis.attributes == {"units": "days since 2000-01-01", "calendar": kept, "axis": "T"}


def test_an_axis_without_coordinates_is_counted() -> None:
    array = data_array(scene("float32", (3, 40, 50)), dims=("member", "y", "x"))
    assert ArraySource(array).variables[0].leading[0].coordinates == (0, 1, 2)


@pytest.mark.parametrize(
    ("coordinate", "error"),
    [
        (np.array(["a b", "a;b"]), UnsupportedError),
        (np.array(["2020-01-01T00:00:00.000000001", "2020-01-01T00:00:01"], "M8[ns]"), UnsupportedError),
        (np.array(["2020-01-01", "NaT"], "M8[ns]"), UnsupportedError),
        (np.array([1.0, np.nan]), MetadataError),
        (np.array([1.0, np.inf]), MetadataError),
    ],
    ids=["labels alike", "nanoseconds", "no time", "nan", "infinite"],
)
def test_coordinates_that_cannot_be_written_are_refused(coordinate: np.ndarray, error: type[Exception]) -> None:
    array = data_array(scene("float32", (2, 40, 50)), dims=("t", "y", "x")).assign_coords(t=coordinate)
    with pytest.raises(error):
        ArraySource(array)


def test_b15_an_axis_of_no_length_is_refused() -> None:
    """B15."""
    array = data_array(np.zeros((0, 40, 50), np.float32), dims=("t", "y", "x"))
    with pytest.raises(MetadataError) as caught:
        ArraySource(array)
    assert (caught.value.key, caught.value.found) == ("t", 0)


def test_attributes_are_kept() -> None:
    kept = {"long_name": "height", "units": "m", "scale_factor": np.float32(0.5), "add_offset": 1}
    found = ArraySource(data_array(scene("int16", (5, 4)), attrs=kept | {"history": "left behind"})).variables[0]
    assert found.attributes == {"long_name": "height", "units": "m", "scale_factor": 0.5, "add_offset": 1}
    assert ArraySource(data_array(scene("int16", (5, 4)))).variables[0].attributes["long_name"] == "v"


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
@pytest.mark.parametrize(
    ("dtype", "fill"), [("int16", -9999), ("float32", -9999.0), ("float32", None), ("uint8", None)]
)
def test_zarr_written_by_xarray_is_read_lazily_and_packed(
    tmp_path: Path, zarr_format: int, consolidated: bool, dtype: str, fill: float | None
) -> None:
    """P-7: CRS from the grid mapping; values as stored, with the fill value of the attributes."""
    values = scene(dtype, (90, 80))
    if fill is not None:
        values[10:20, 5:9] = fill
    array = data_array(values, attrs={"units": "m"})
    encoding: dict[str, Any] = {"v": {"chunks": (32, 32), "grid_mapping": "spatial_ref"}}
    if fill is not None:
        encoding["v"]["_FillValue"] = np.dtype(dtype).type(fill)
    array.to_dataset().to_zarr(
        tmp_path / "in.zarr", zarr_format=zarr_format, consolidated=consolidated, encoding=encoding
    )
    source = pyramids.open_source(tmp_path / "in.zarr")
    assert source.grid == ArraySource(array).grid
    (variable,) = source.variables
    assert variable.dtype == np.dtype(dtype)
    if fill is not None:
        assert variable.nodata == fill
    plan, store = builds.build(tmp_path / "in.zarr", tms="native", chunk=32)
    np.testing.assert_array_equal(builds.read(store, "0/v"), values)
    builds.assert_levels_follow(store, plan)


def test_packed_values_stay_packed(tmp_path: Path) -> None:
    """DESIGN section 4: integers with scale and offset; the mean of packed values is the packed mean."""
    physical = scene("float64", (90, 80))
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 5.0, "_FillValue": np.int16(-32768)}
    encoding = {"v": packing | {"grid_mapping": "spatial_ref"}}
    data_array(physical).to_dataset().to_zarr(
        tmp_path / "in.zarr", zarr_format=3, consolidated=False, encoding=encoding
    )
    plan, store = builds.build(tmp_path / "in.zarr", tms="native", levels=3)
    assert plan.variables[0].dtype == np.int16
    packed = builds.read(store, "0/v")
    np.testing.assert_array_equal(packed, np.rint((physical - 5) / 0.01))
    opened = xr.open_zarr(zarr.storage.ObjectStore(store, read_only=True), group="2", consolidated=False)
    expected = physical[:88, :80].reshape(22, 4, 20, 4).mean(axis=(1, 3))
    assert np.abs(opened.v.values[:22] - expected).max() <= 0.005 + 0.005 + 1e-9  # two roundings of half a step


def test_a_variable_of_a_zarr_store_is_chosen(tmp_path: Path) -> None:
    array = data_array(scene("float32", (40, 50)))
    xr.Dataset({"a": array, "b": array}).to_zarr(tmp_path / "in.zarr", zarr_format=3, consolidated=False)
    plan, _ = builds.build(tmp_path / "in.zarr", tms="native", variables=["b"])
    assert [variable.name for variable in plan.variables] == ["b"]
    with pytest.raises(UnknownNameError):
        builds.build(tmp_path / "in.zarr", tms="native", variables=["c"])


def test_b9_a_damaged_chunk_is_a_chunk_read_error(tmp_path: Path) -> None:
    """B9."""
    target = tmp_path / "in.zarr"
    data_array(scene("float32", (64, 64))).to_dataset().to_zarr(
        target, zarr_format=3, consolidated=False, encoding={"v": {"chunks": (32, 32), "grid_mapping": "spatial_ref"}}
    )
    (target / "v" / "c" / "1" / "0").write_bytes(b"rubbish")
    with pytest.raises(ChunkReadError) as caught:
        pyramids.build(target, tmp_path / "out.zarr", tms="native", chunk=32)
    assert "v" in caught.value.array
    assert caught.value.__cause__ is not None
    assert not (tmp_path / "out.zarr" / "zarr.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"zarr_format": 3, "node_type": "group"', "null"])
def test_a_damaged_document_is_an_error_of_ours(tmp_path: Path, text: str) -> None:
    (tmp_path / "in.zarr").mkdir()
    (tmp_path / "in.zarr" / "zarr.json").write_text(text)
    with pytest.raises((StoreError, MetadataError)):
        pyramids.open_source(tmp_path / "in.zarr")


def test_the_fingerprint_follows_the_metadata() -> None:
    array = data_array(scene("float32", (40, 50)))
    assert ArraySource(array).fingerprint == ArraySource(array.copy()).fingerprint
    assert ArraySource(array).fingerprint != ArraySource(array.rename("w")).fingerprint
    assert ArraySource(array).fingerprint != ArraySource(array.isel(x=slice(0, 49))).fingerprint
    assert ArraySource(array, fingerprint="mine").fingerprint == "mine"


def test_a_pyramid_of_ours_is_a_source_level_by_level(tmp_path: Path) -> None:
    """Written by us, read by xarray, built again: the same pixels."""
    array = data_array(scene("int16", (90, 80)), attrs={"_FillValue": -9999})
    pyramids.build(array, tmp_path / "a.zarr", tms="native", chunk=32)
    pyramids.build(tmp_path / "a.zarr" / "0", tmp_path / "b.zarr", tms="native", chunk=32)
    first, second = (zarr.open_group(tmp_path / f"{name}.zarr", mode="r") for name in "ab")
    for level in ("0", "1", "2"):
        np.testing.assert_array_equal(first[f"{level}/v"][...], second[f"{level}/v"][...])  # type: ignore[index]
