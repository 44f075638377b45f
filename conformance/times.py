"""Time as CF counts it: `<unit> since <date>` in a calendar (CF 4.4). Nothing is converted, only read."""

from __future__ import annotations

import re
from dataclasses import dataclass

CALENDARS = (  # CF 4.4.1
    "standard",
    "proleptic_gregorian",
    "julian",
    "noleap",
    "365_day",
    "all_leap",
    "366_day",
    "360_day",
    "utc",
    "tai",
    "none",
)
RETIRED_CALENDAR = "gregorian"
UNITS = (  # spellings of UDUNITS, in the singular or the plural
    *("second", "sec", "s", "minute", "min", "hour", "hr", "h", "day", "d", "week"),
    *("millisecond", "msec", "ms", "microsecond", "microsec", "us", "nanosecond", "ns"),
)
INEXACT_UNITS = ("month", "year", "yr", "a", "common_year", "leap_year", "julian_year", "gregorian_year")
_LONGEST = 200  # characters
_SINCE = re.compile(r"\s*([A-Za-z_]+)\s+since\s+(\S.*?)\s*", re.IGNORECASE)
_DATE = re.compile(
    r"([+-]?\d{1,6})-(\d{1,2})-(\d{1,2})"
    r"(?:(?:\s*T\s*|\s+)(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?)?\s*(\S.*)?)?",
    re.IGNORECASE,
)
_ZONE = re.compile(r"(?:UTC|GMT|Z)?\s*([+-]?\d{1,2})?(?::?(\d{2}))?", re.IGNORECASE)
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_REFORM = 1582  # the year in which the standard calendar changes from Julian to Gregorian


@dataclass(frozen=True)
class Epoch:
    """What a variable of time counts, and from when.

    Parameters
    ----------
    unit : str
        As written, in lower case.
    year, month, day : int
        Of the date.
    clock : tuple of float
        Hours, minutes and seconds.
    zone : int
        Minutes east of UTC.
    """

    unit: str
    year: int
    month: int
    day: int
    clock: tuple[float, float, float]
    zone: int

    @property
    def is_exact(self) -> bool:
        """True for a unit of a fixed length that does not stand for a month or year (CF 4.4)."""
        return self.unit in UNITS or self.unit.removesuffix("s") in UNITS

    @property
    def is_inexact(self) -> bool:
        """True for months and years, which CF advises against."""
        return not self.is_exact and (self.unit in INEXACT_UNITS or self.unit.removesuffix("s") in INEXACT_UNITS)

    def is_date_of(self, calendar: str) -> bool:
        """Tell whether a calendar has the date, and a day the time."""
        hours, minutes, seconds = self.clock
        is_time = hours < 24 and minutes < 60 and seconds < 61  # a leap second is one of UTC
        return is_time and 1 <= self.month <= 12 and 1 <= self.day <= _days_of(self.year, self.month, calendar)


def parse(text: str) -> Epoch | None:
    """Read the `units` of a variable of time; None where they are not `<unit> since <date>`."""
    since = _SINCE.fullmatch(text) if len(text) <= _LONGEST else None
    date = _DATE.fullmatch(since[2]) if since is not None else None
    zone = _ZONE.fullmatch(date[7] or "") if date is not None else None
    if since is None or date is None or zone is None:
        return None
    hours, minutes = int(zone[1] or 0), int(zone[2] or 0)
    return Epoch(
        unit=since[1].lower(),
        year=int(date[1]),
        month=int(date[2]),
        day=int(date[3]),
        clock=(float(date[4] or 0), float(date[5] or 0), float(date[6] or 0)),
        zone=hours * 60 + (-minutes if (zone[1] or "").startswith("-") else minutes),
    )


def _days_of(year: int, month: int, calendar: str) -> int:
    """Days of a month."""
    if calendar == "360_day":
        return 30
    if month != 2:
        return _DAYS[month - 1]
    return 29 if _is_leap(year, calendar) else 28


def _is_leap(year: int, calendar: str) -> bool:
    if calendar in ("noleap", "365_day"):
        return False
    if calendar in ("all_leap", "366_day"):
        return True
    is_julian = calendar == "julian" or (calendar in ("standard", RETIRED_CALENDAR) and year <= _REFORM)
    return year % 4 == 0 and (is_julian or year % 100 != 0 or year % 400 == 0)
