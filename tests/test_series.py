"""A series of twenty steps in NetCDF becomes a pyramid that is checked, and of which each step is served."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import cftime
import numpy as np
import pytest
import xarray as xr
from fastapi.testclient import TestClient

import pyramids
from conformance import check
from geozarr import tms
from tiler.app import create_app
from tiler.config import Dataset
from tiler.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

STEPS = 20
SHAPE = (90, 180)
CALENDARS = ("noleap", *(pytest.param(name, marks=pytest.mark.slow) for name in ("standard", "360_day")))


def temperature(step: int) -> np.ndarray:
    """Packed as int16: hundredths of a degree, a ramp from north to south that grows by half a degree a step."""
    rows, cols = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
    return (10 * rows + cols + 50 * step).astype(np.int16)


@pytest.fixture(params=CALENDARS)
def series(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, list[str]]:
    """The file, its calendar, and the date of each step."""
    latitudes, longitudes = 89 - 2.0 * np.arange(SHAPE[0]), 1 + 2.0 * np.arange(SHAPE[1])
    days = 14.5 + 30.0 * np.arange(STEPS)
    found = xr.Dataset(
        {
            "tas": (
                ("time", "lat", "lon"),
                np.stack([temperature(step) for step in range(STEPS)]),
                {
                    "units": "K",
                    "standard_name": "air_temperature",
                    "grid_mapping": "crs",
                    "scale_factor": 0.01,
                    "add_offset": 250.0,
                    "_FillValue": np.int16(-1),
                },
            )
        },
        {
            "time": ("time", days, {"units": "days since 2001-01-01", "calendar": request.param, "axis": "T"}),
            "lat": ("lat", latitudes, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", longitudes, {"units": "degrees_east", "standard_name": "longitude"}),
        },
    )
    found["crs"] = ((), 0, {"grid_mapping_name": "latitude_longitude", "semi_major_axis": 6378137.0})
    found["crs"].attrs["inverse_flattening"] = 298.257223563
    found.to_netcdf(tmp_path / "tas.nc", engine="h5netcdf")
    dates = cftime.num2date(days, "days since 2001-01-01", calendar=request.param)
    return tmp_path / "tas.nc", request.param, [date.isoformat() for date in dates]


def test_each_step_of_a_series_is_built_checked_and_served(series: tuple[Path, str, list[str]], tmp_path: Path) -> None:
    path, calendar, dates = series
    target = tmp_path / "tas.zarr"
    plan = pyramids.build(path, target, resampling="nearest", max_zoom=2)
    (time,) = plan.variables[0].leading
    assert time.attributes["units"] == "hours since 2001-01-01"  # half days are whole hours
    assert time.attributes["calendar"] == calendar
    assert check(target, depth="pixels", all_pixels=True).findings == ()
    quad = tms.load("WebMercatorQuad")
    grid = quad.matrix_grid("2")
    x, y = grid.x_centres()[256:512], grid.y_centres()[256:512]  # column 1 and row 1 of zoom 2
    rows = np.floor((90 - np.degrees(np.arctan(np.sinh(y / 6378137)))) / 2).astype(int)
    cols = np.floor(np.mod(np.degrees(x / 6378137), 360) / 2).astype(int)
    with TestClient(create_app(Settings((Dataset("tas", target),)))) as client:
        for step, date in enumerate(dates):
            response = client.get(f"/tas/tiles/WebMercatorQuad/2/1/1.npy?variable=tas&sel=time={date}")
            assert response.status_code == 200, response.text
            tile = np.load(io.BytesIO(response.content))
            np.testing.assert_array_equal(tile[0], temperature(step)[np.ix_(rows, cols)])


def test_chosen_steps_of_a_series_are_built_alone(series: tuple[Path, str, list[str]], tmp_path: Path) -> None:
    path, _, dates = series
    plan = pyramids.build(path, tmp_path / "t.zarr", tms="native", select={"time": f"{dates[3][:7]}..{dates[5][:7]}"})
    assert plan.variables[0].slice_count == 3
    with xr.open_zarr(tmp_path / "t.zarr", group="0", mask_and_scale=False, decode_times=False) as opened:
        for at, step in enumerate((3, 4, 5)):
            np.testing.assert_array_equal(opened.tas.values[at], temperature(step))
