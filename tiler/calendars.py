"""CF time: numbers since a reference date, as instants, and instants as ISO 8601 text and back.

An instant is a whole number of microseconds since 1970-01-01T00:00 UTC of its calendar. A date is told from, and
turned into, a day number by counting years that begin in March: whatever day a calendar adds in leap years is then
the last of its year, and months have the same lengths every year. Years are astronomical: 0 precedes 1, as in
ISO 8601. A date of another calendar than the Gregorian one is written in its own fields, so 360_day has 2000-02-30.

References: CF conventions 1.12, 4.4 "Time coordinate"; ISO 8601-1, 5.2 to 5.4; E. M. Reingold and N. Dershowitz,
Calendrical calculations.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from numpy.typing import NDArray

_SECOND = 1_000_000  # microseconds
_DAY = 86_400 * _SECOND
_MOST = 350_000_000 * _DAY  # from 1970, some 950 000 years: in every calendar a year of at most six digits

_CALENDARS = {
    "standard": "standard",
    "gregorian": "standard",
    "proleptic_gregorian": "proleptic_gregorian",
    "julian": "julian",
    "noleap": "noleap",
    "365_day": "noleap",
    "all_leap": "all_leap",
    "366_day": "all_leap",
    "360_day": "360_day",
}
_UNITS: dict[str, int | Fraction] = {
    **dict.fromkeys(("day", "days", "d"), _DAY),
    **dict.fromkeys(("hour", "hours", "hr", "hrs", "h"), 3_600 * _SECOND),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), 60 * _SECOND),
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), _SECOND),
    **dict.fromkeys(("millisecond", "milliseconds", "millisec", "millisecs", "msec", "msecs", "ms"), 1_000),
    **dict.fromkeys(("microsecond", "microseconds", "microsec", "microsecs"), 1),
    **dict.fromkeys(("nanosecond", "nanoseconds"), Fraction(1, 1_000)),
}
_MAX_TEXT = 128  # characters of `units`
_SINCE = re.compile(
    r"([A-Za-z]{1,16}) since ([+-]?[0-9]{1,6})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:[T ]([0-9]{1,2})(?::([0-9]{1,2})(?::([0-9]{1,2})(?:\.([0-9]{0,9}))?)?)?)?"
    r" ?(Z|UTC|GMT|[+-][0-9]{1,2}(?::?[0-9]{2})?)?"
)
_TIME = re.compile(
    r"([0-9]{4}|[+-][0-9]{4,6})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_SWITCH: Final = (1582, 10, 15)  # first Gregorian day of the mixed calendar; its yesterday is the Julian 1582-10-04


class _Years(NamedTuple):
    """Days before the March that opens a year, and the days of so many years on the mean."""

    before: Callable[[int], int]
    days: int
    years: int


_YEARS = {
    "proleptic_gregorian": _Years(lambda year: 365 * year + year // 4 - year // 100 + year // 400, 146_097, 400),
    "julian": _Years(lambda year: 365 * year + year // 4, 1_461, 4),
    "noleap": _Years(lambda year: 365 * year, 365, 1),
    "all_leap": _Years(lambda year: 366 * year, 366, 1),
}


class Span(NamedTuple):
    """Times that a text means, in microseconds since 1970.

    Parameters
    ----------
    start : int
        The first.
    stop : int
        What follows the last; equal to `start` for an instant.
    """

    start: int
    stop: int


@dataclass(frozen=True)
class TimeUnits:
    """How the numbers of a time coordinate are meant.

    Parameters
    ----------
    step : int or Fraction
        Microseconds in a unit.
    reference : int
        The instant that is 0.
    calendar : str
        CF's name, without its aliases.
    """

    step: int | Fraction
    reference: int
    calendar: str


def parse_units(units: Any, calendar: Any = None) -> TimeUnits | None:
    """Read the attributes `units` and `calendar` of a coordinate.

    Parameters
    ----------
    units : object
        Such as "hours since 1900-01-01 00:00:0.0 -6:00". Months and years are of no fixed length, and not read.
    calendar : object
        CF's name of a calendar; None means "standard", which is Julian before 1582-10-15.

    Returns
    -------
    TimeUnits or None
        None where these are no units of time, or not understood.
    """
    name = _CALENDARS.get(calendar.lower()) if isinstance(calendar, str) else "standard" if calendar is None else None
    text = " ".join(units.split()) if isinstance(units, str) and len(units) <= _MAX_TEXT else ""
    found = _SINCE.fullmatch(text)
    if name is None or found is None:
        return None
    unit, year, month, day, hour, minute, second, fraction, zone = found.groups()
    step = _UNITS.get(unit.lower())
    date = _day_number(name, int(year), int(month), int(day))
    clock = _clock(hour or "0", minute or "0", second or "0", fraction or "")
    offset = _offset(zone)
    if step is None or date is None or clock is None or offset is None:
        return None
    return TimeUnits(step, date * _DAY + clock - offset, name)


def instants(values: NDArray[Any], units: TimeUnits) -> tuple[int | None, ...] | None:
    """Turn numbers into instants.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Integers or floats; those that are not finite mean nothing.
    units : TimeUnits
        What they count, and since when.

    Returns
    -------
    tuple of (int or None), or None
        Microseconds since 1970. Floats are rounded to the microsecond, millisecond or second that their precision
        still tells: 1/3 day since year 1 is 08:00:00 and not 07:59:59.999995. None instead of the tuple if one is
        hundreds of thousands of years away.
    """
    grain = 1
    if values.dtype.kind == "f":
        largest = np.max(np.abs(values), initial=0, where=np.isfinite(values))
        noise = float(np.spacing(largest)) * float(units.step)
        grain = 1 if noise <= 1 else 1_000 if noise <= 1_000 else _SECOND
    found: list[int | None] = []
    for value in values.tolist():
        if not math.isfinite(value):
            found.append(None)
            continue
        elapsed = value * units.step
        if abs(elapsed) > 2 * _MOST:
            return None
        found.append(units.reference + (round(elapsed) if grain == 1 else round(elapsed / grain) * grain))
    return None if any(instant is not None and abs(instant) > _MOST for instant in found) else tuple(found)


def labels(found: Sequence[int | None], calendar: str) -> tuple[str | None, ...]:
    """Write instants as ISO 8601, in the fields of their calendar, all with the same precision.

    Returns
    -------
    tuple of (str or None)
        Dates where all are midnights, such as "2024-01-02"; else times of UTC, such as "2024-01-02T06:00:00Z", with
        the fractions of a second that are needed.
    """
    known = [instant for instant in found if instant is not None]
    if all(instant % _DAY == 0 for instant in known):
        digits = None
    else:
        digits = next((n for n, unit in ((0, _SECOND), (3, 1_000)) if all(i % unit == 0 for i in known)), 6)
    return tuple(None if instant is None else _label(instant, calendar, digits) for instant in found)


def _label(instant: int, calendar: str, digits: int | None) -> str:
    number, clock = divmod(instant, _DAY)
    year, month, day = _date(calendar, number)
    date = f"{year:04d}-{month:02d}-{day:02d}" if 0 <= year <= 9999 else f"{year:+05d}-{month:02d}-{day:02d}"
    if digits is None:
        return date
    seconds, micros = divmod(clock, _SECOND)
    fraction = f".{micros:06d}"[: digits + 1] if digits else ""
    return f"{date}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}Z"


def parse_time(text: str, calendar: str) -> Span | None:
    """Read a year, a month, a date or a time.

    Parameters
    ----------
    text : str
        ISO 8601 in its extended form, of at most a few dozen characters; "Z" or an offset may follow a time, and UTC
        is meant without. Years beyond four digits have a sign.
    calendar : str
        The calendar whose fields these are.

    Returns
    -------
    Span or None
        A year, month or day from its first instant on, a time as an instant; None where the text is none of them, or
        the calendar has no such day.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    date = _day_number(calendar, int(year), int(month or 1), int(day or 1))
    clock = _clock(hour or "0", minute or "0", second or "0", fraction or "")
    offset = _offset(zone)
    if date is None or clock is None or offset is None:
        return None
    start = date * _DAY + clock - offset
    if hour:
        return Span(start, start)
    return Span(start, _day_after(calendar, date, int(year), int(month or 0), int(day or 0)) * _DAY)


def _day_after(calendar: str, date: int, year: int, month: int, day: int) -> int:
    """Return the number of the first day after a day, a month (day 0), or a year (month 0) that begins at `date`."""
    if day:
        return date + 1
    following = (year + 1, 1) if month in (0, 12) else (year, month + 1)
    number = _day_number(calendar, *following, 1)
    assert number is not None, "every calendar here has a first day of each month"
    return number


def _clock(hour: str, minute: str, second: str, fraction: str) -> int | None:
    """Microseconds since midnight; what is finer is cut off."""
    h, m, s = int(hour), int(minute), int(second)
    if h > 23 or m > 59 or s > 59:
        return None
    return (h * 3600 + m * 60 + s) * _SECOND + int(fraction[:6].ljust(6, "0"))


def _offset(zone: str | None) -> int | None:
    """Microseconds by which a zone's clocks are ahead of UTC: "Z", "+02:00", "-0600", "-6"."""
    if zone is None or zone in ("Z", "UTC", "GMT"):
        return 0
    digits = zone[1:].replace(":", "")
    hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    clock = _clock(hours, minutes, "0", "")
    return None if clock is None else -clock if zone[0] == "-" else clock


def _day_number(calendar: str, year: int, month: int, day: int) -> int | None:
    """Days since 1970-01-01 of a calendar; None if it has no such day."""
    number = _count(calendar, year, month, day) - _EPOCH[calendar]
    return number if _date(calendar, number) == (year, month, day) else None


def _date(calendar: str, number: int) -> tuple[int, int, int]:
    """Year, month and day of a day number."""
    count = number + _EPOCH[calendar]
    if calendar == "360_day":
        months, day = divmod(count, 30)
        return months // 12, months % 12 + 1, day + 1
    if calendar == "standard":
        if count < _SWITCH_COUNT:
            calendar, count = "julian", count - _JULIAN_AHEAD
        else:
            calendar = "proleptic_gregorian"
    before, days, years = _YEARS[calendar]
    year = count * years // days  # the year or one beside it
    year += (before(year + 1) <= count) - (before(year) > count)
    rest = count - before(year)
    march = (5 * rest + 2) // 153
    month = (march + 2) % 12 + 1
    return year + (month <= 2), month, rest - (153 * march + 2) // 5 + 1


def _count(calendar: str, year: int, month: int, day: int) -> int:
    """Days since the calendar's own zero; of days that it does not have, the number of another one."""
    if calendar == "360_day":
        return (12 * year + month - 1) * 30 + day - 1
    if calendar == "standard":
        if (year, month, day) >= _SWITCH:
            return _count("proleptic_gregorian", year, month, day)
        return _count("julian", year, month, day) + _JULIAN_AHEAD
    march = (month + 9) % 12
    return _YEARS[calendar].before(year - (month <= 2)) + (153 * march + 2) // 5 + day - 1


_SWITCH_COUNT = _count("proleptic_gregorian", *_SWITCH)
_JULIAN_AHEAD = _SWITCH_COUNT - _count("julian", 1582, 10, 5)
_EPOCH = {calendar: _count(calendar, 1970, 1, 1) for calendar in set(_CALENDARS.values())}
