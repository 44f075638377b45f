"""Axes: spans unfold to the lists that they stand for."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offered import Steps
from tiler import axes

UNITS = {"D": timedelta(days=1), "H": timedelta(hours=1), "M": timedelta(minutes=1), "S": timedelta(seconds=1)}
MOMENTS = st.datetimes(datetime(1850, 1, 1), datetime(2150, 1, 1)).map(lambda moment: moment.replace(microsecond=0))


def label(moment: datetime) -> str:
    return f"{moment.isoformat()}Z"


def times(moments: list[datetime]) -> Steps:
    return Steps("time", "time", tuple(map(label, moments)))


def later(moment: datetime, step: str, count: int) -> datetime:
    """Moment after `count` steps of an ISO 8601 duration of one unit."""
    found = re.fullmatch(r"P(?:(\d+)([YMD])|T(\d+)([HM])|T(\d+(?:\.\d+)?)(S))", step)
    assert found is not None, step
    number, unit = [part for part in found.groups() if part]
    if step[1] != "T" and unit in "YM":
        months = moment.year * 12 + moment.month - 1 + count * int(number) * (12 if unit == "Y" else 1)
        return moment.replace(year=months // 12, month=months % 12 + 1)
    return moment + count * float(number) * UNITS[unit]


def unfolded(span: axes.Span) -> list[str]:
    """List what a client makes of a span: from the first value on by its step, until past the last one."""
    first, last = (datetime.fromisoformat(end.removesuffix("Z")) for end in span[:2])
    found = []
    while (moment := later(first, span.step, len(found))) <= last:
        found.append(label(moment))
    return found


@given(
    MOMENTS,
    st.sampled_from([1, 7, 60, 90, 3600, 3 * 3600, 36 * 3600, 86400, 10 * 86400]),
    st.integers(3, 60),
    st.booleans(),
)
def test_a_regular_axis_of_times_is_a_span(start: datetime, seconds: int, count: int, is_turned: bool) -> None:
    moments = [start + index * timedelta(seconds=seconds) for index in range(count)]
    span = axes.span_of(times(moments[::-1] if is_turned else moments))
    assert span is not None
    assert unfolded(span) == list(map(label, moments))


@given(MOMENTS.map(lambda moment: moment.replace(day=min(moment.day, 28))), st.integers(1, 24), st.integers(3, 40))
def test_whole_months_are_a_span(start: datetime, months: int, count: int) -> None:
    moments = [later(start, f"P{months}M", index) for index in range(count)]
    span = axes.span_of(times(moments))
    assert span is not None
    assert span.step == (f"P{months // 12}Y" if months % 12 == 0 else f"P{months}M")
    assert unfolded(span) == list(map(label, moments))


@given(st.lists(MOMENTS, min_size=1, max_size=6, unique=True))
def test_a_span_never_stands_for_other_times(moments: list[datetime]) -> None:
    span = axes.span_of(times(moments))
    assert span is None or unfolded(span) == sorted(map(label, moments))


@pytest.mark.parametrize(
    ("labels", "step"),
    [
        (("2024-01-01", "2024-01-02", "2024-01-03"), "P1D"),
        (("2024-01-01", "2024-02-01", "2024-03-01"), "P1M"),
        (("2024-07-01", "2024-08-01", "2024-09-01"), "P1M"),  # 31 days each as well
        (("2021-02-28", "2022-02-28", "2023-02-28"), "P1Y"),
        (("2024-01-01T00:00:00Z", "2024-01-01T12:00:00Z", "2024-01-02T00:00:00Z"), "PT12H"),
        (("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.500000Z", "2024-01-01T00:00:01Z"), "PT0.5S"),
        (("2024-01-01", "2024-01-02"), None),  # any two are regular
        (("2024-01-01", "2024-01-02", "2024-01-04"), None),
        (("2024-01-31", "2024-02-29", "2024-03-31"), None),
        (("2000-01-30", "2000-02-30", "2000-03-30"), None),  # of a calendar with 30 days a month
        (("2023-02-27", "2023-02-28", "2023-03-01"), "P1D"),  # of a calendar without leap years, but in none
        (("2024-02-28", "2024-03-01", "2024-03-02"), None),  # of the same, in one
        (("2024-01-01", "2024-01-01", "2024-01-02"), None),
        (("2024-01-01", None, "2024-01-02", "2024-01-03"), "P1D"),
        (("20240101", "20240102", "20240103"), None),
    ],
)
def test_steps_of_times(labels: tuple[str | None, ...], step: str | None) -> None:
    span = axes.span_of(Steps("time", "time", labels))
    assert (span and span.step) == step


def test_steps_of_numbers_are_those_of_their_decimals() -> None:
    assert axes.span_of(Steps("z", "number", ("0.3", "0.1", "0.2"))) == ("0.1", "0.3", "0.1")
    assert 0.3 - 0.2 != 0.2 - 0.1
    assert axes.span_of(Steps("z", "number", ("1", "10", "100"))) is None
    assert axes.span_of(Steps("z", "number", ("1", "nan", "3"))) is None
    assert axes.span_of(Steps("z", "text", ("1", "2", "3"))) is None


def test_an_index_without_labels_costs_nothing() -> None:
    index = Steps("row", "index", (), size=10**15)
    assert axes.values_of(index, most=1000) is None
    assert axes.span_of(index) == ("0", "999999999999999", "1")
    assert axes.interval_of(index) == ("0", "999999999999999")
    assert axes.label_of(index, 12) == "12"
    assert axes.values_of(Steps("row", "index", (), size=3), most=3) == ("0", "1", "2")


def test_values_are_listed_once_and_in_their_order() -> None:
    steps = Steps("member", "text", ("b", "a", None, "b"))
    assert axes.values_of(steps, most=2) == ("b", "a")
    assert axes.values_of(steps, most=1) is None
    assert axes.interval_of(steps) == ("b", "a")
    assert axes.label_of(steps, 2) is None


def test_ends_are_the_least_and_the_greatest_value() -> None:
    assert axes.interval_of(Steps("z", "number", ("1000", "850", "5"))) == ("5", "1000")
    assert axes.interval_of(Steps("time", "time", ("2024-01-03", "2024-01-01", "2024-01-02"))) == (
        "2024-01-01",
        "2024-01-03",
    )
    assert axes.interval_of(Steps("z", "number", (None, None))) is None


def test_an_irregular_axis_has_a_mean_step() -> None:
    # 40 days in 2 steps; 90 minutes in 2 steps.
    assert axes.rough_span_of(Steps("time", "time", ("2024-01-01", "2024-02-10", "2024-01-03"))) == (
        "2024-01-01",
        "2024-02-10",
        "P20D",
    )
    hours = ("2024-01-01T00:00:00Z", "2024-01-01T01:30:00Z", "2024-01-01T00:20:00Z")
    assert axes.rough_span_of(Steps("time", "time", hours)) == (hours[0], hours[1], "PT45M")
    assert axes.rough_span_of(Steps("z", "number", ("3", "1", "10"))) == ("1", "10", "0")
    assert axes.rough_span_of(Steps("z", "text", ("a", "b", "c"))) is None
    assert axes.rough_span_of(Steps("z", "number", ("3",))) is None


@pytest.mark.parametrize(
    "text",
    ["2024-02-30", "2024-1-1", "2024-01-01T00:00:00", "x" * 10**6, "\u0662\u0660\u0662\u0664-01-01", "-2024-01-01"],
)
def test_other_texts_are_no_times(text: str) -> None:
    assert axes.instant(text) is None
