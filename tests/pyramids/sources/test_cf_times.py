"""Times are written as whole numbers that mean what the file says, in its calendar; held against cftime."""

from __future__ import annotations

from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

from geozarr.errors import MetadataError, UnsupportedError
from pyramids.sources.cf_times import axis_of

CALENDARS = ("standard", "proleptic_gregorian", "noleap", "365_day", "360_day", "all_leap", "julian")
SECONDS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}


def along(values: Any, **attributes: Any) -> xr.DataArray:
    coordinate = xr.Variable("time", values, attributes)
    return xr.DataArray(np.zeros((len(values), 2)), dims=("time", "x"), coords={"time": coordinate}, name="v")


def dates(values: Any, units: str, calendar: str) -> list[Any]:
    return list(cftime.num2date(values, units, calendar=calendar))


@given(
    unit=st.sampled_from(list(SECONDS)),
    calendar=st.sampled_from(CALENDARS),
    seconds=st.lists(st.integers(0, 10**9), min_size=1, max_size=5, unique=True),
    finest=st.sampled_from([1, 60, 3600, 86400]),
    is_float=st.booleans(),
)
def test_dates_are_those_of_the_file(unit: str, calendar: str, seconds: list[int], finest: int, is_float: bool) -> None:
    whole = sorted({second // finest * finest for second in seconds})
    units = f"{unit} since 1950-01-01 06:00:00"
    stored = np.array(whole) / SECONDS[unit]
    if not is_float:
        assume((stored == np.rint(stored)).all())
        stored = stored.astype(np.int32)
    axis, quirks = axis_of(along(stored, units=units, calendar=calendar), "time", "f v")
    assert all(isinstance(value, int) for value in axis.coordinates)
    assert axis.attributes["calendar"] == calendar
    expected = dates(np.array(whole), "seconds since 1950-01-01 06:00:00", calendar)
    assert dates(np.array(axis.coordinates), axis.attributes["units"], calendar) == expected
    assert [quirk.kind for quirk in quirks] == (["time-units"] if is_float else [])


@pytest.mark.parametrize("calendar", CALENDARS)
def test_times_that_xarray_has_decoded_are_counted_again(calendar: str) -> None:
    found = cftime.date2num(cftime.datetime(2001, 2, 28, 12, calendar=calendar), "days since 2000-01-01", calendar)
    decoded = xr.decode_cf(along([0.0, found], units="days since 2000-01-01", calendar=calendar).to_dataset())
    axis, _ = axis_of(decoded.v, "time", "f v")
    expected = dates([0.0, found], "days since 2000-01-01", calendar)
    again = dates(np.array(axis.coordinates), axis.attributes["units"], axis.attributes["calendar"])
    assert [date.timetuple()[:6] for date in again] == [date.timetuple()[:6] for date in expected]


@pytest.mark.parametrize(("value", "unit"), [("2020-01-01", "seconds"), ("2020-01-01T00:00:00.25", "milliseconds")])
def test_numpy_times_are_counted_in_the_coarsest_unit_from_seconds(value: str, unit: str) -> None:
    axis, _ = axis_of(along(np.array([value], "M8[ns]")), "time", "f v")
    assert axis.attributes["units"] == f"{unit} since 1970-01-01T00:00:00"
    scale = np.timedelta64(1, {"seconds": "s", "milliseconds": "ms"}[unit])
    assert axis.coordinates[0] == (np.datetime64(value) - np.datetime64("1970-01-01")) / scale


@pytest.mark.parametrize("units", ["months since 2000-01-01", "K", "days", 3])
def test_what_cannot_be_counted_on_stays_as_it_is(units: Any) -> None:
    axis, quirks = axis_of(along([0.5, 1.5], units=units), "time", "f v")
    assert axis.coordinates == (0.5, 1.5)
    assert axis.attributes == {"units": units}
    assert quirks == ()


def test_numbers_that_are_whole_in_no_unit_stay_as_they_are() -> None:
    axis, _ = axis_of(along([np.pi, np.e * 1e6], units="seconds since 2000-01-01"), "time", "f v")
    assert axis.coordinates == (np.pi, np.e * 1e6)


def test_labels_are_numbered_and_named() -> None:
    axis, _ = axis_of(along(np.array(["B04 red", "B08"])), "time", "f v")
    assert axis.coordinates == (1, 2)
    assert axis.attributes["flag_values"] == [1, 2]
    assert axis.attributes["flag_meanings"] == "B04_red B08"


def test_the_retired_name_of_a_calendar_is_a_quirk() -> None:
    axis, quirks = axis_of(along([1, 2], units="days since 2000-01-01", calendar="gregorian"), "time", "f v")
    assert axis.attributes["calendar"] == "standard"
    assert [quirk.kind for quirk in quirks] == ["calendar-name"]


def test_attributes_that_lose_their_meaning_are_dropped() -> None:
    axis, _ = axis_of(along([1, 2], units="m", bounds="time_bnds", _FillValue=-1, axis="Z"), "time", "f v")
    assert axis.attributes == {"units": "m", "axis": "Z"}


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ([], MetadataError),
        ([1.0, np.nan], MetadataError),
        ([1j, 2j], UnsupportedError),
        (np.array(["2020-01-01T00:00:00.000000001"], "M8[ns]"), UnsupportedError),
    ],
)
def test_what_no_axis_can_have_is_refused(values: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        axis_of(along(values), "time", "f v")
