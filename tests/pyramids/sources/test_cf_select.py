"""Positions along leading axes are those that the user's words mean; held against xarray's own indexing."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from geozarr.errors import ParameterError
from pyramids.sources.cf_select import cut, positions, require_used
from pyramids.sources.source import Axis

DAYS = Axis("time", tuple(range(0, 720, 15)), {"units": "days since 2001-01-01", "calendar": "standard"})
LEVELS = Axis("level", (1000.0, 850.0, 500.0, 0.1), {"units": "hPa"})


def by_xarray(text: str) -> list[int]:
    """What xarray selects of `DAYS` by a partial date or a slice of two."""
    time = xr.decode_cf(xr.Dataset(coords={"time": ("time", list(DAYS.coordinates), dict(DAYS.attributes))})).time
    counted = xr.DataArray(np.arange(time.size), dims="time", coords={"time": time})
    first, is_range, last = text.partition("..")
    chosen = slice(first or None, last or None) if is_range else slice(first, first)
    return [int(value) for value in counted.sel(time=chosen).values]


@pytest.mark.parametrize(
    "text",
    [
        "2001",
        "2001-03",
        "2001-01-16",
        "2001-03..2001-06",
        "2001-03-02..2002",
        "..2001-02",
        "2002-06..",
        "2001-12..2002-01",
    ],
)
def test_times_are_chosen_as_by_xarray(text: str) -> None:
    assert list(positions(DAYS, {"time": text}, "f")) == by_xarray(text)


@given(st.integers(0, 47), st.integers(0, 47))
def test_ranges_of_dates_are_those_of_xarray(one: int, other: int) -> None:
    first, last = sorted((one, other))
    dates = [str(np.datetime64("2001-01-01") + np.timedelta64(int(DAYS.coordinates[at]), "D")) for at in (first, last)]
    assert list(positions(DAYS, {"time": "..".join(dates)}, "f")) == list(range(first, last + 1))


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_times_of_any_calendar_are_chosen_by_their_own_dates(calendar: str) -> None:
    pytest.importorskip("cftime")
    axis = Axis("time", (0, 31, 59, 60), {"units": "days since 2001-01-01", "calendar": calendar})
    in_march = {"noleap": (2, 3), "360_day": ()}[calendar]  # day 59 of a year of 360 days is the last of February
    if in_march:
        assert positions(axis, {"time": "2001-03"}, "f") == in_march
    assert positions(axis, {"time": "2001-01"}, "f") == (0,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500", (2,)),
        ("500,1000", (0, 2)),
        ("400..900", (1, 2)),
        ("..500", (2, 3)),
        ("850..", (0, 1)),
        ("0.1", (3,)),
        ("#0", (0,)),
        ("#-1", (3,)),
        ("#1,#1,850", (1,)),
        (" 500 , 850 ", (1, 2)),
    ],
)
def test_numbers_are_chosen_by_value_range_and_position(text: str, expected: tuple[int, ...]) -> None:
    assert positions(LEVELS, {"level": text}, "f") == expected


def test_nothing_chosen_is_everything() -> None:
    assert positions(LEVELS, {}, "f") == (0, 1, 2, 3)
    assert cut(LEVELS, (1, 3)).coordinates == (850.0, 0.1)


@pytest.mark.parametrize("text", ["700", "#4", "#-5", "#x", "", "warm", "900..800", "500,700", "1e400"])
def test_what_is_not_there_is_refused_and_what_is_there_is_named(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        positions(LEVELS, {"level": text}, "f")
    assert "1000.0" in caught.value.expected


@pytest.mark.parametrize("text", ["1999", "2001-01-02", "2003..", "soon"])
def test_dates_that_are_not_there_are_refused(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        positions(DAYS, {"time": text}, "f")
    assert "2001-01-01" in caught.value.expected


def test_an_axis_that_no_variable_has_is_refused() -> None:
    require_used({"level": "500"}, [[DAYS], [LEVELS]], "f")
    with pytest.raises(ParameterError) as caught:
        require_used({"height": "500"}, [[DAYS], [LEVELS]], "f")
    assert "level, time" in caught.value.expected
