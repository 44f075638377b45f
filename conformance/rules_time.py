"""Rules on variables of time (CF 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance import cf_variables, times, values
from conformance.report import Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.report import Pointer
    from conformance.tree import Node

_UNITS: Pointer = ("attributes", "units")
_CALENDAR: Pointer = ("attributes", "calendar")
_FORM = "such as days since 2000-01-01"


def check_time(context: Context) -> Iterator[Fault]:
    """Find variables of time whose units, calendar or axis are not CF's."""
    for array in cf_variables.all_of(context):
        dtype = context.member(array, "data_type", values.dtype)
        if not cf_variables.is_time(array) or dtype is None or dtype.kind not in "iuf":
            continue
        yield from _check_calendar(array)
        yield from _check_units(context, array)
        yield from _check_identified(context, array)


def _check_calendar(array: Node) -> Iterator[Fault]:
    found = array.attributes.get("calendar")
    if found is None or "month_lengths" in array.attributes:  # a calendar of one's own, CF 4.4.1
        return
    name = found.lower() if isinstance(found, str) else ""
    if name == times.RETIRED_CALENDAR:
        message = "a retired name of a calendar"
        yield Fault(array.path, _CALENDAR, message, found, '"standard"', severity=Severity.WARNING, keeps=True)
    elif name not in times.CALENDARS:
        yield Fault(array.path, _CALENDAR, "no calendar of CF", found, f"one of {', '.join(times.CALENDARS)}")


def _check_units(context: Context, array: Node) -> Iterator[Fault]:
    found = array.attributes.get("units")
    calendar = (context.attribute(array, "calendar", values.text) or "standard").lower()
    if found is None or calendar == "none":
        if calendar != "none":
            yield Fault(array.path, _UNITS, "a variable of time has no units", None, _FORM)
        return
    epoch = times.parse(found) if isinstance(found, str) else None
    if epoch is None or not (epoch.is_exact or epoch.is_inexact):
        yield Fault(array.path, _UNITS, "the units do not count time from a date", found, _FORM)
    elif not context.is_void(array.path, *_CALENDAR) and not epoch.is_date_of(calendar):
        message = "the calendar has no such date"
        yield Fault(array.path, _UNITS, message, found, f"a date of {calendar}", relies=((array.path, _CALENDAR),))
    elif epoch.is_inexact:
        message = "months and years are no exact units: UDUNITS takes a year for 365.242198781 days"
        yield Fault(array.path, _UNITS, message, found, "days or shorter", severity=Severity.WARNING)
    elif epoch.zone:
        severity = Severity.ERROR if calendar in ("utc", "tai") else Severity.WARNING
        yield Fault(array.path, _UNITS, "the time zone is not zero", found, "a date in UTC", severity=severity)


def _check_identified(context: Context, array: Node) -> Iterator[Fault]:
    """Find coordinate variables of time that name another axis, or nothing but units."""
    if not cf_variables.is_coordinate_variable(context, array):
        return
    axis = context.attribute(array, "axis", values.text)
    if axis is not None and axis != "T":
        yield Fault(array.path, ("attributes", "axis"), "the axis of time is T", axis, '"T"')
    elif "axis" not in array.attributes and "standard_name" not in array.attributes:
        message = "nothing but the units says that this is time"
        expected = "standard_name time, axis T"
        yield Fault(array.path, ("attributes", "standard_name"), message, None, expected, severity=Severity.INFO)


RULES = (Rule("CF-25", "CF 4.4", "Time is counted from a date, in a calendar of CF, and named as time", check_time),)
