"""`<unit> since <date>` in the calendars of CF."""

from __future__ import annotations

import cftime
import pytest

from conformance import times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("days since 2000-01-01", ("days", 2000, 1, 1, (0, 0, 0), 0)),
        ("seconds since 1970-01-01T00:00:00", ("seconds", 1970, 1, 1, (0, 0, 0), 0)),
        ("Hours since 1-1-1 6:30", ("hours", 1, 1, 1, (6, 30, 0), 0)),
        ("s since -4713-01-01 12:00:00.5 UTC", ("s", -4713, 1, 1, (12, 0, 0.5), 0)),
        ("days since 2000-01-01 00:00:00Z", ("days", 2000, 1, 1, (0, 0, 0), 0)),
        ("days since 2000-01-01 00:00 +5:30", ("days", 2000, 1, 1, (0, 0, 0), 330)),
        ("days since 2000-01-01 00:00:00 -0600", ("days", 2000, 1, 1, (0, 0, 0), -360)),
    ],
)
def test_a_date_is_read(text, expected) -> None:
    found = times.parse(text)
    assert found is not None
    assert (found.unit, found.year, found.month, found.day, found.clock, found.zone) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "days",
            "days since",
            "since 2000-01-01",
            "days since yesterday",
            "days since 2000",
            "days since 2000-01",
        ),
        *("2 days since 2000-01-01", "days since 2000-01-01 noon", "days since 2000-01-01 " + " " * 500),
    ],
)
def test_other_texts_are_no_times(text) -> None:
    assert times.parse(text) is None


@pytest.mark.parametrize("calendar", [name for name in times.CALENDARS if name not in ("utc", "tai", "none")])
@pytest.mark.parametrize("year", [1, 4, 100, 1500, 1582, 1900, 2000, 2023, 2024])
@pytest.mark.parametrize(("month", "day"), [(1, 31), (2, 28), (2, 29), (2, 30), (4, 30), (4, 31), (12, 31), (13, 1)])
def test_dates_are_those_that_cftime_has(calendar, year, month, day) -> None:
    try:
        cftime.datetime(year, month, day, calendar=calendar)
        expected = True
    except ValueError:
        expected = False
    found = times.parse(f"days since {year}-{month}-{day}")
    assert found is not None
    assert found.is_date_of(calendar) is expected


@pytest.mark.parametrize(
    ("unit", "is_exact", "is_inexact"),
    [
        *(
            (unit, True, False)
            for unit in ("days", "day", "d", "hours", "hr", "hrs", "s", "ms", "nanoseconds", "weeks")
        ),
        *((unit, False, True) for unit in ("months", "month", "years", "yr", "common_years")),
        *((unit, False, False) for unit in ("fortnights", "metres", "x")),
    ],
)
def test_units_are_exact_or_not_or_none(unit, is_exact, is_inexact) -> None:
    found = times.parse(f"{unit} since 2000-01-01")
    assert found is not None
    assert (found.is_exact, found.is_inexact) == (is_exact, is_inexact)


def test_a_day_has_24_hours_and_a_minute_may_have_a_leap_second() -> None:
    for clock, expected in (("23:59:60", True), ("23:59:61", False), ("24:00", False), ("12:60", False)):
        found = times.parse(f"days since 2000-01-01 {clock}")
        assert found is not None
        assert found.is_date_of("standard") is expected
