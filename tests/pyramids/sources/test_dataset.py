"""NetCDF and HDF5 files are told by their first bytes, read lazily, and looked after while they are read."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_array_equal

import builds
import pyramids
from builds import data_array, scene
from geozarr import Window
from geozarr.errors import MetadataError, ParameterError, SourceChangedError, StoreError, UnsupportedError
from pyramids import DatasetSource, Slice
from pyramids.sources import dataset as dataset_module

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (2, 30, 40)
FORMATS = {"NETCDF3_64BIT": ("scipy", "NetCDF3"), "NETCDF4": ("h5netcdf", "HDF5")}


def values() -> np.ndarray:
    return scene("int16", SHAPE)


@pytest.fixture(params=FORMATS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A series on a grid, in one of the formats."""
    like = data_array(values(), dims=("time", "y", "x"))
    found = xr.Dataset(
        {"t": (like.dims, values(), {"_FillValue": np.int16(0), "units": "K", "grid_mapping": "crs"})},
        {"time": ("time", [1.5, 2.5], {"units": "days since 2001-01-01"}), "y": like.y, "x": like.x},
    ).drop_vars("spatial_ref", errors="ignore")
    found["crs"] = ((), np.int32(0), {"crs_wkt": like.rio.crs.to_wkt()})
    engine, _ = FORMATS[request.param]
    found.to_netcdf(tmp_path / "t.data", format=request.param, engine=engine)
    return tmp_path / "t.data"


def read(source: Any, number: int) -> Any:
    return source.read(Window(3, 4, 10, 20), [Slice(0, number)])


def test_a_file_is_told_by_its_first_bytes_and_not_by_its_name(path: Path) -> None:
    assert dataset_module.format_of(path) in ("NetCDF3", "HDF5")
    source = pyramids.open_source(path)
    assert isinstance(source, DatasetSource)
    for number in range(2):
        found = read(source, number)
        assert_array_equal(found.values[0], values()[number, 3:13, 4:24], strict=True)
        assert_array_equal(found.valid[0], values()[number, 3:13, 4:24] != 0)
    (time,) = source.variables[0].leading
    assert (time.coordinates, time.attributes["units"]) == ((36, 60), "hours since 2001-01-01")


def test_a_user_block_before_hdf5_is_passed_over(tmp_path: Path) -> None:
    found = tmp_path / "u.h5"
    found.write_bytes(bytes(512) + b"\x89HDF\r\n\x1a\n")
    assert dataset_module.format_of(found) == "HDF5"
    found.write_bytes(bytes(512) + b"CDF\x01")
    assert dataset_module.format_of(found) is None


def test_other_processes_open_the_file_themselves(path: Path) -> None:
    source = pyramids.open_source(path, select={"time": "#1"})
    again = pickle.loads(pickle.dumps(source))
    assert (again.name, again.grid, again.variables, again.fingerprint) == (
        source.name,
        source.grid,
        source.variables,
        source.fingerprint,
    )
    assert_array_equal(read(again, 0).values, read(source, 0).values)


def test_a_file_that_changes_while_it_is_read_is_noticed(path: Path) -> None:
    source = pyramids.open_source(path)
    read(source, 0)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    with pytest.raises(SourceChangedError):
        read(source, 0)


def test_processes_build_what_threads_build(path: Path) -> None:
    plan, store = builds.build(pyramids.open_source(path), tms="native")
    assert plan.variables[0].leading[0].size == 2
    assert_array_equal(builds.read(store, "0/t"), values())


def test_a_group_of_a_file_is_a_source(tmp_path: Path) -> None:
    array = data_array(scene("float32", (5, 4)))
    array.to_dataset(name="v").to_netcdf(tmp_path / "g.nc", group="a/b", engine="h5netcdf")
    with pytest.raises(MetadataError):
        pyramids.open_source(tmp_path / "g.nc")
    source = pyramids.open_source(tmp_path / "g.nc", group="a/b")
    assert source.name.endswith("g.nc:a/b")
    with pytest.raises(StoreError):
        pyramids.open_source(tmp_path / "g.nc", group="c")


@pytest.mark.parametrize("data", [b"CDF\x01", b"CDF\x02" + bytes(50), b"\x89HDF\r\n\x1a\n" + bytes(99)])
def test_a_damaged_file_is_an_error_of_ours(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "d.nc").write_bytes(data)
    with pytest.raises((StoreError, MetadataError)):  # zeros after the head of NetCDF3 are a file without variables
        pyramids.open_source(tmp_path / "d.nc")


def test_without_a_library_for_its_format_a_file_is_refused_by_name(path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(dataset_module, "find_spec", lambda _: None)
    with pytest.raises(UnsupportedError) as caught:
        pyramids.open_source(path)
    assert "netCDF4" in caught.value.reason


@pytest.mark.parametrize("options", [{"bands": "axis"}])
def test_options_of_other_sources_are_refused(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        pyramids.open_source(path, **options)


def test_an_array_in_memory_or_in_dask_is_read_by_blocks() -> None:
    """Never computed whole: each read asks for its window alone."""
    dask = pytest.importorskip("dask.array")
    asked: list[tuple[int, ...]] = []

    def block(block_info: Any = None) -> np.ndarray:
        place = block_info[None]["array-location"]
        asked.append(tuple(start for start, _ in place))
        return np.full([stop - start for start, stop in place], sum(asked[-1]), np.float32)

    lazy = dask.map_blocks(block, chunks=((16,) * 4, (16,) * 4), dtype=np.float32, meta=np.empty((0, 0), np.float32))
    like = data_array(np.zeros((64, 64), np.float32))
    source = pyramids.open_source(xr.DataArray(lazy, coords=like.coords, dims=like.dims, attrs=like.attrs, name="v"))
    assert source.block_shape == (16, 16)
    found = source.read(Window(16, 32, 16, 16), [Slice(0, 0)])
    assert (found.values == 48).all()
    assert asked == [(16, 32)]
