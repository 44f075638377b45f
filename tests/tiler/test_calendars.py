from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tiler import calendars
from tiler.calendars import Span, TimeUnits, parse_time, parse_units

DAY = 86_400_000_000
NAMES = ("standard", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_leap(calendar: str, year: int) -> bool:
    if calendar in ("noleap", "all_leap"):
        return calendar == "all_leap"
    if calendar == "julian" or (calendar == "standard" and year < 1582):
        return year % 4 == 0
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def month_length(calendar: str, year: int, month: int) -> int:
    if calendar == "360_day":
        return 30
    return (31, 28 + is_leap(calendar, year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def walk(calendar: str, first: int, last: int) -> list[tuple[int, int, int]]:
    """All dates of some years, one after the other, as a calendar on the wall has them."""
    dates = [
        (year, month, day)
        for year in range(first, last + 1)
        for month in range(1, 13)
        for day in range(1, month_length(calendar, year, month) + 1)
    ]
    skipped = [(1582, 10, day) for day in range(5, 15)] if calendar == "standard" else []
    return [date for date in dates if date not in skipped]


@pytest.mark.parametrize("calendar", NAMES)
@pytest.mark.parametrize(("first", "last"), [(1570, 1610), (1890, 2010), (-9, 9)])
def test_days_follow_each_other_as_on_the_wall(calendar: str, first: int, last: int) -> None:
    dates = walk(calendar, first, last)
    start = parse_time(f"{first:04d}" if first >= 0 else f"{first:+05d}", calendar)
    assert start is not None
    found = calendars.labels([start.start + index * DAY for index in range(len(dates))], calendar)
    signed = (f"{year:04d}" if year >= 0 else f"{year:+05d}" for year, _, _ in dates)
    expected = tuple(f"{year}-{month:02d}-{day:02d}" for year, (_, month, day) in zip(signed, dates, strict=True))
    assert found == expected
    for index in range(0, len(dates), 97):
        instant = start.start + index * DAY
        assert parse_time(expected[index], calendar) == Span(instant, instant + DAY)


@pytest.mark.parametrize("calendar", NAMES)
def test_1970_begins_at_zero(calendar: str) -> None:
    assert parse_time("1970-01-01T00:00:00Z", calendar) == Span(0, 0)


def test_the_mixed_calendar_agrees_with_julian_day_numbers() -> None:
    # Julian day numbers: 1721424 of 0001-01-01 (Julian), 2299160 and 2299161 around the switch, 2440588 of 1970-01-01.
    for text, number in (("0001-01-01", 1721424), ("1582-10-04", 2299160), ("1582-10-15", 2299161)):
        span = parse_time(text, "standard")
        assert span is not None
        assert span.start == (number - 2440588) * DAY
    # The well-known two days: with "days since 1-1-1" the proleptic calendar is two days off.
    proleptic, mixed = (parse_units("days since 1-1-1", name) for name in ("proleptic_gregorian", "standard"))
    assert proleptic is not None
    assert mixed is not None
    assert proleptic.reference - mixed.reference == 2 * DAY


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)))
def test_the_proleptic_calendar_is_that_of_datetime(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    instant = (moment - EPOCH) // timedelta(microseconds=1)
    (text,) = calendars.labels([instant], "proleptic_gregorian")
    assert text is not None
    assert datetime.fromisoformat(text).replace(tzinfo=UTC) == moment
    written = moment.isoformat(timespec="microseconds")
    assert parse_time(written, "proleptic_gregorian") == Span(instant, instant)


@pytest.mark.filterwarnings("ignore:this date/calendar/year zero convention")  # of cftime, see below
@given(
    number=st.integers(-700_000, 700_000),
    calendar=st.sampled_from(NAMES),
    unit=st.sampled_from(("days", "hours", "minutes", "seconds")),
    reference=st.sampled_from(("1970-01-01", "0001-01-01", "1582-10-15 06:00", "1850-2-28 12:30:15", "2000-02-28")),
)
def test_times_are_those_of_cftime(number: int, calendar: str, unit: str, reference: str) -> None:
    cftime = pytest.importorskip("cftime")
    units = f"{unit} since {reference}"
    parsed = parse_units(units, calendar)
    assert parsed is not None
    instants = calendars.instants(np.array([number]), parsed)
    assert instants is not None
    # Year zero exists in ISO 8601, and so here; CF leaves it out of the Julian calendars unless told otherwise.
    expected = cftime.num2date(number, units, calendar, has_year_zero=True)
    (text,) = calendars.labels(instants, calendar)
    year = f"{expected.year:04d}" if expected.year >= 0 else f"{expected.year:+05d}"
    date, clock = f"{year}-{expected.month:02d}-{expected.day:02d}", expected.strftime("T%H:%M:%SZ")
    assert text == (date if instants[0] % DAY == 0 else date + clock)


@pytest.mark.parametrize("calendar", ["standard", "gregorian", "proleptic_gregorian"])
@pytest.mark.parametrize(
    ("values", "units"),
    [
        (np.array([0, 1, 366], "i4"), "days since 2000-01-01"),
        (np.array([0.25, 1.5, -1000.125]), "days since 1900-01-01 00:00:0.0"),
        (np.array([1, 2, 3], "u2"), "hours since 1990-3-1 12:30:15"),
        (np.array([1.5, -2], "f4"), "hours since 1990-03-01T12:30:15Z"),
        (np.array([-1, 59, 61]), "minutes since 1999-12-31 23:59"),
        (np.array([10**9, 1]), "seconds since 1970-01-01 00:00:00 +02:00"),
        (np.array([123456789012, 1]), "milliseconds since 1970-01-01"),
        (np.array([123456789012345, 1]), "microseconds since 1970-01-01"),
        (np.array([1_700_000_000_123_456_000, 0]), "nanoseconds since 1970-01-01"),
    ],
)
def test_times_are_those_of_xarray(values: np.ndarray, units: str, calendar: str) -> None:
    variable = xr.Variable(("time",), values, {"units": units, "calendar": calendar})
    expected = xr.conventions.decode_cf_variable("time", variable, decode_times=True).values
    parsed = parse_units(units, calendar)
    assert parsed is not None
    assert calendars.instants(values, parsed) == tuple(expected.astype("datetime64[us]").astype(int).tolist())


@pytest.mark.parametrize(
    ("units", "calendar", "expected"),
    [
        ("days since 1970-01-01", None, TimeUnits(DAY, 0, "standard")),
        ("days since 1970-01-01", "GREGORIAN", TimeUnits(DAY, 0, "standard")),
        ("day since 1970-1-1", "365_day", TimeUnits(DAY, 0, "noleap")),
        ("d since 1970-1-2", "366_day", TimeUnits(DAY, DAY, "all_leap")),
        ("hrs since 1970-01-01T06Z", "360_day", TimeUnits(DAY // 24, DAY // 4, "360_day")),
        ("h  since\t1970-01-01 01:30 -6", "julian", TimeUnits(DAY // 24, 7 * DAY // 24 + DAY // 48, "julian")),
        ("min since 1970-01-01 00:00:00.5 UTC", "standard", TimeUnits(60_000_000, 500_000, "standard")),
        ("Seconds since 1970-01-01 00:00:00 +0530", "standard", TimeUnits(10**6, -19_800 * 10**6, "standard")),
        ("msecs since 1970-01-01 00:00:00 -330", "standard", TimeUnits(1000, 12_600 * 10**6, "standard")),
        ("nanoseconds since 1970-01-01", "standard", TimeUnits(Fraction(1, 1000), 0, "standard")),
    ],
)
def test_units_are_read(units: str, calendar: str | None, expected: TimeUnits) -> None:
    assert parse_units(units, calendar) == expected


@pytest.mark.parametrize(
    ("units", "calendar"),
    [
        ("months since 1970-01-01", "standard"),
        ("years since 1970-01-01", "standard"),
        ("fortnights since 1970-01-01", "standard"),
        ("days since", "standard"),
        ("days after 1970-01-01", "standard"),
        ("days since 1970-02-30", "standard"),
        ("days since 1582-10-10", "standard"),
        ("days since 2001-02-29", "noleap"),
        ("days since 2000-01-31", "360_day"),
        ("days since 1970-13-01", "standard"),
        ("days since 1970-00-01", "standard"),
        ("days since 1970-01-01 25:00", "standard"),
        ("days since 1970-01-01 00:60", "standard"),
        ("days since 1970-01-01 00:00 +99:00", "standard"),
        ("days since 1970-01-01 00:00 EST", "standard"),
        ("days since 1970-01-01", "lunar"),
        ("days since 1970-01-01", 7),
        ("days since 1970-01-01" + " " * 128, "standard"),
        ("degrees_north", None),
        ("", None),
        (None, None),
        (["days since 1970-01-01"], None),
    ],
)
def test_other_units_are_no_times(units: object, calendar: object) -> None:
    assert parse_units(units, calendar) is None


def test_rounding_ends_where_the_precision_of_floats_does() -> None:
    # Minutes are no floats of days; near 738 000 days the distance of these is 10 microseconds.
    units = parse_units("days since 0001-01-01", "proleptic_gregorian")
    assert units is not None
    found = calendars.instants(738_000 + np.arange(1440) / 1440, units)
    assert found is not None
    midnight = datetime(1, 1, 1, tzinfo=UTC) + timedelta(738_000)
    expected = [midnight + timedelta(minutes=minute) for minute in range(1440)]
    assert calendars.labels(found, "proleptic_gregorian") == tuple(f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in expected)
    near = parse_units("days since 2020-01-01", "standard")
    assert near is not None
    assert calendars.instants(np.array([1e-9]), near) == (near.reference + 86,)


def test_what_is_not_finite_is_no_time_and_what_is_absurd_makes_none() -> None:
    units = TimeUnits(DAY, 0, "standard")
    assert calendars.instants(np.array([np.nan, np.inf, -np.inf, 1.0]), units) == (None, None, None, DAY)
    assert calendars.instants(np.array([1e300]), units) is None
    assert calendars.instants(np.array([2**62]), units) is None
    late = parse_units("days since 999999-01-01", "standard")
    assert late is not None
    assert calendars.instants(np.array([0.0]), late) is None
    assert calendars.instants(np.array([], "f8"), units) == ()


def test_labels_are_dates_or_times_of_one_precision() -> None:
    assert calendars.labels([0, None, DAY], "standard") == ("1970-01-01", None, "1970-01-02")
    assert calendars.labels([0, DAY // 4], "standard") == ("1970-01-01T00:00:00Z", "1970-01-01T06:00:00Z")
    assert calendars.labels([0, 500_000], "standard") == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.500Z")
    assert calendars.labels([1], "standard") == ("1970-01-01T00:00:00.000001Z",)
    assert calendars.labels([], "standard") == ()


@given(
    instants=st.lists(st.integers(-350_000_000 * DAY, 350_000_000 * DAY), min_size=1, max_size=4),
    grain=st.sampled_from((1, 1000, 10**6, DAY)),
    calendar=st.sampled_from(NAMES),
)
def test_every_label_is_read_back(instants: list[int], grain: int, calendar: str) -> None:
    instants = [instant // grain * grain for instant in instants]
    for instant, text in zip(instants, calendars.labels(instants, calendar), strict=True):
        assert text is not None
        span = parse_time(text, calendar)
        assert span is not None
        assert span.start == instant


@pytest.mark.parametrize(
    ("text", "calendar", "start", "stop"),
    [
        ("1970", "standard", 0, 365),
        ("1972", "noleap", 730, 1095),
        ("1971", "all_leap", 366, 732),
        ("1971", "360_day", 360, 720),
        ("1970-02", "standard", 31, 59),
        ("1970-02", "360_day", 30, 60),
        ("1970-12", "standard", 334, 365),
        ("1970-02-30", "360_day", 59, 60),
    ],
)
def test_years_months_and_days_are_spans(text: str, calendar: str, start: int, stop: int) -> None:
    assert parse_time(text, calendar) == Span(start * DAY, stop * DAY)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T06:00", 6 * 3600 * 10**6),
        ("1970-01-01 06:00:00", 6 * 3600 * 10**6),
        ("1970-01-01T06:00:00.25Z", (6 * 3600 * 4 + 1) * 10**6 // 4),
        ("1970-01-01T00:00:00.000000999", 0),
        ("1970-01-01T06:00:00+02:00", 4 * 3600 * 10**6),
        ("1970-01-01T06:00:00-0230", 17 * 1800 * 10**6),
        ("+1970-01-01T06:00Z", 6 * 3600 * 10**6),
    ],
)
def test_times_are_instants(text: str, microseconds: int) -> None:
    assert parse_time(text, "standard") == Span(microseconds, microseconds)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "70",
            "197",
            "19700",
            "+970",
            "1970-1",
            "1970-1-1",
            "1970/01/01",
            "19700101",
            "1970-01-01T",
            "1970-01-01T6",
        ),
        *("1970-01-01Z", "1970-01Z", "1970-01-01T06", "1970-01-01T24:00", "1970-01-01T06:60", "1970-01-01T06:00:60"),
        *("1970-02-29", "1970-00", "1970-13", "1970-01-00", "1582-10-10", "1970-01-01T06:00 +02:00", "1970-01-01\n"),
        *("\u0661\u0669\u0667\u0660", "now", "+1234567", "1970-01-01T06:00:00.1234567890", "1970-01-01T00:00+24:00"),
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    assert parse_time(text, "standard") is None
