from __future__ import annotations

import time
from datetime import date
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from geozarr.errors import ParameterError
from tiler import dimensions
from tiler.dimensions import CoordinateAttributes, Dimension, Selector, choose, parse_selector, parse_selectors

DAILY = CoordinateAttributes(units="days since 2024-01-01", long_name="day")
SIX_HOURLY = CoordinateAttributes(units="hours since 2024-01-01")


def made(values: Any, attributes: CoordinateAttributes | None = None, dtype: str | None = None) -> Dimension:
    return dimensions.from_coordinate("d", np.array(values, dtype), attributes or CoordinateAttributes())


def chosen(dimension: Dimension, text: str) -> int:
    return choose(dimension, parse_selector(f"d={text}"))


def refused(dimension: Dimension, text: str) -> str:
    with pytest.raises(ParameterError) as caught:
        chosen(dimension, text)
    assert caught.value.parameter == "sel"
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("time=2024-01-02", Selector("time", "exact", "2024-01-02")),
        ("time=nearest::2024-01-02T06:00:00Z", Selector("time", "nearest", "2024-01-02T06:00:00Z")),
        ("level=pad::1e3", Selector("level", "pad", "1e3")),
        ("level=ffill::850", Selector("level", "pad", "850")),
        ("level=backfill::850", Selector("level", "backfill", "850")),
        ("level=bfill::850", Selector("level", "backfill", "850")),
        ("name=exact::a::b=c", Selector("name", "exact", "a::b=c")),
        ("été=ß", Selector("été", "exact", "ß")),
    ],
)
def test_a_selector_is_read(text: str, expected: Selector) -> None:
    assert parse_selector(text) == expected
    assert parse_selector(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "time", "=", "time=", "=1", "time=nearest::", "time=closest::1", "time=::1", "time=a::b"),
        *("time=Nearest::1", "a/b=1", "a\\b=1", "time\n=1", "time=1\n", "time=\x00", "\x7f=1"),
        *("x" * 201 + "=1", "time=" + "1" * 252),
    ],
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_selector(text)
    assert caught.value.parameter == "sel"


def test_selectors_of_a_request_are_few_and_of_different_dimensions() -> None:
    assert parse_selectors(["b=1", "a=2"]) == parse_selectors(["a=2", "b=1"])
    assert parse_selectors([]) == ()
    for texts in (["a=1", "a=2"], ["a=1", "a=nearest::1"], [f"d{index}=1" for index in range(9)]):
        with pytest.raises(ParameterError) as caught:
            parse_selectors(texts)
        assert caught.value.parameter == "sel"


@given(st.text(max_size=300))
def test_any_text_is_a_selector_or_an_error(text: str) -> None:
    for whole in (text, f"d={text}", f"d=nearest::{text}"):
        try:
            selector = parse_selector(whole)
        except ParameterError:
            continue
        for dimension in (made([3, 1]), made([0, 1], DAILY), made(["a", "b"]), dimensions.index("d", 2)):
            try:
                assert choose(dimension, selector) in (0, 1)
            except ParameterError:
                continue


def test_a_long_text_is_refused_at_once() -> None:
    started = time.perf_counter()
    for text in ("=" * 10**5, "d=" + "1" * 10**5, "d" * 10**5, "d=nearest::" + ":" * 10**5):
        with pytest.raises(ParameterError):
            parse_selector(text)
    assert time.perf_counter() - started < 0.04  # 10 ms each


def test_times_have_dates_or_times_as_labels() -> None:
    daily = made([0, 1, 31], DAILY)
    assert (daily.kind, daily.size, daily.units, daily.long_name) == ("time", 3, "days since 2024-01-01", "day")
    assert daily.labels == ("2024-01-01", "2024-01-02", "2024-02-01")
    assert made([0, 6], SIX_HOURLY).labels == ("2024-01-01T00:00:00Z", "2024-01-01T06:00:00Z")
    months = made([0, 30, 59], CoordinateAttributes(units="days since 2000-01-01", calendar="360_day"))
    assert (months.labels, months.calendar) == (("2000-01-01", "2000-02-01", "2000-02-30"), "360_day")
    assert chosen(months, "2000-02-30") == 2


@pytest.mark.parametrize(
    ("values", "dtype", "labels"),
    [
        ([850, 500], "i4", ("850", "500")),
        ([0.1, 1e-7, 850.0, 1e20], "f4", ("0.1", "1e-07", "850", "1e20")),
        ([0.1, -2.5, 1 / 3], "f8", ("0.1", "-2.5", "0.3333333333333333")),
        ([2**63 + 1, 2**64 - 1], "u8", ("9223372036854775809", "18446744073709551615")),
        ([False, True], "?", ("0", "1")),
    ],
)
def test_numbers_have_their_shortest_decimal_as_label(values: Any, dtype: str, labels: tuple[str, ...]) -> None:
    dimension = made(values, dtype=dtype)
    assert (dimension.kind, dimension.labels) == ("number", labels)
    assert [chosen(dimension, label) for label in labels] == list(range(len(labels)))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=6, unique=True))
def test_every_label_of_a_number_chooses_it(values: list[float]) -> None:
    for dtype in ("f4", "f8"):
        dimension = made(values, dtype=dtype)
        for position, label in enumerate(dimension.labels):
            assert label is not None
            assert float(label) == pytest.approx(values[position], rel=1e-7, abs=1e-45)
            assert values[chosen(dimension, label)] == values[position]


def test_a_number_is_compared_in_the_data_type_of_the_coordinate() -> None:
    dimension = made([0.1, 0.2], dtype="f4")
    # 0.1 in binary32 is 0.100000001490116: as a client that reads the array sees it.
    assert chosen(dimension, "0.10000000149011612") == 0
    assert chosen(dimension, "pad::0.1") == 0
    assert chosen(dimension, "backfill::0.2") == 1
    assert chosen(made([1.0, 2.0], dtype="f2"), "nearest::1e30") == 1
    assert chosen(made([2**53, 2**53 + 1], dtype="i8"), f"nearest::{2**53 + 1}") == 1


@pytest.mark.parametrize(
    "attributes",
    [
        CoordinateAttributes(units="months since 2000-01-01"),
        CoordinateAttributes(units="days since 2000-02-31"),
        CoordinateAttributes(units="days since then", calendar="standard"),
        CoordinateAttributes(units="days since 2000-01-01", calendar="martian"),
        CoordinateAttributes(units="days since 2000-01-01", calendar=["standard"]),
        CoordinateAttributes(units={"days": 1}, long_name=7),
    ],
)
def test_malformed_times_are_numbers(attributes: CoordinateAttributes) -> None:
    dimension = made([1, 2], attributes)
    assert (dimension.kind, dimension.labels, dimension.long_name) == ("number", ("1", "2"), None)
    assert chosen(dimension, "2") == 1


def test_times_that_are_absurdly_far_are_numbers() -> None:
    assert made([0.0, 1e200], DAILY).kind == "number"


def test_missing_values_have_no_label_and_cannot_be_chosen() -> None:
    dimension = made([1.0, np.nan, np.inf, -9.0, 4.0], CoordinateAttributes(nodata=np.float64(-9)))
    assert dimension.labels == ("1", None, None, None, "4")
    assert [chosen(dimension, f"nearest::{number}") for number in (-9, 2, 3, 1e300)] == [0, 0, 4, 4]
    assert "2 values" in refused(dimension, "-9")
    times = made([0, -1, 2], CoordinateAttributes(units="days since 2024-01-01", nodata=np.int64(-1)))
    assert times.labels == ("2024-01-01", None, "2024-01-03")
    assert chosen(times, "nearest::2023-12-31") == 0
    nothing = made([np.nan, np.nan])
    for method in ("exact", "nearest", "pad", "backfill"):
        assert "no values" in refused(nothing, f"{method}::1")


def test_packed_coordinates_are_unpacked() -> None:
    packed = CoordinateAttributes(nodata=np.int16(-1), scale_factor=0.5, add_offset=100.0)
    assert made([0, 3, -1], packed, "i2").labels == ("100", "101.5", None)
    hours = CoordinateAttributes(scale_factor=6.0, units="hours since 2024-01-01")
    assert made([0, 4, 8], hours, "i2").labels == ("2024-01-01", "2024-01-02", "2024-01-03")
    assert made([1e300], CoordinateAttributes(scale_factor=1e300)).labels == (None,)


def test_texts_are_their_own_labels() -> None:
    dimension = made(["red", "nir", "", "swir 1"])
    assert (dimension.kind, dimension.labels) == ("text", ("red", "nir", None, "swir 1"))
    assert chosen(dimension, "swir 1") == 3
    assert "the 3 values" in refused(dimension, "green")
    for method in ("nearest", "pad", "backfill"):
        assert "exact" in refused(dimension, f"{method}::red")


@pytest.mark.parametrize(
    "codes", [[[65] * 257, [66] * 257], [[65], [10]], [[65], [0x110000]], [[65], [2**32 - 1]], [[0xD83D], [65]]]
)
def test_texts_that_cannot_be_told_are_positions(codes: list[list[int]]) -> None:
    values = np.array(codes, np.uint32).view(f"U{len(codes[0])}")[:, 0]
    dimension = dimensions.from_coordinate("d", values, CoordinateAttributes())
    assert (dimension.kind, dimension.labels) == ("index", ("0", "1"))


def test_without_a_coordinate_positions_are_the_values() -> None:
    dimension = dimensions.index("d", 3)
    assert (dimension.kind, dimension.labels) == ("index", ("0", "1", "2"))
    assert [chosen(dimension, text) for text in ("2", "nearest::1.4", "pad::1.9", "backfill::0.1")] == [2, 1, 1, 1]
    assert "such as 2" in refused(dimension, "3")
    assert "position" in refused(dimension, "first")


def test_names_of_steps_stand_in_for_a_coordinate() -> None:
    assert chosen(dimensions.index("d", 2, ("red", "nir")), "nir") == 1
    assert dimensions.index("d", 3, ("red", "nir")).kind == "index"
    assert dimensions.index("d", 2, ("red", "")).kind == "index"


def test_a_long_dimension_costs_nothing() -> None:
    dimension = dimensions.index("d", 2**62)
    assert (dimension.labels, dimension.label(5)) == ((), "5")
    assert chosen(dimension, str(2**61)) == 2**61
    assert chosen(dimension, "nearest::1e30") == 2**62 - 1
    assert dimensions.index("d", dimensions.MAX_LABELS).labels[-1] == "65535"
    assert dimensions.index("d", dimensions.MAX_LABELS + 1).labels == ()


def test_a_part_of_a_time_is_exact_where_one_step_lies_within_it() -> None:
    steps = made([0, 31, 60, 61, 366], DAILY)  # 2024-01-01, 02-01, 03-01, 03-02, 2025-01-01
    assert chosen(steps, "2025") == 4
    assert chosen(steps, "2024-02") == 1
    assert chosen(steps, "2024-03-02") == 3
    assert "not 2: 2024-03-01 to 2024-03-02" in refused(steps, "2024-03")
    assert "not 4: 2024-01-01 to 2024-03-02" in refused(steps, "2024")
    assert "5 values of 'd', such as 2024-03-02 or 2025-01-01" in refused(steps, "2024-04")
    noons = made([12, 36], SIX_HOURLY)
    assert chosen(noons, "2024-01-02") == 1
    assert chosen(noons, "2024-01-02T12:00") == chosen(noons, "2024-01-02T14:00:00+02:00") == 1
    assert "such as" in refused(noons, "2024-01-02T00:00:00Z")


def test_other_methods_take_the_first_instant_of_a_part() -> None:
    steps = made([0, 31, 60, 61, 366], DAILY)
    assert chosen(steps, "nearest::2024-02") == chosen(steps, "nearest::2024-02-01") == 1
    assert chosen(steps, "pad::2024") == 0
    assert chosen(steps, "backfill::2024-03") == 2
    assert chosen(steps, "backfill::2024-04") == 4


@pytest.mark.parametrize(
    ("text", "label"),
    [("pad::2023-12-31", "2024-01-01"), ("backfill::2024-02-02", "2024-02-01"), ("2023-12-31", "2024-01-01")],
)
def test_a_value_out_of_range_is_told_the_nearest(text: str, label: str) -> None:
    assert f"of the 2 values of 'd', such as {label}" in refused(made([0, 31], DAILY), text)


@pytest.mark.parametrize("text", ["now", "5", "2024-02-30", "nan", "inf", "2024-01-01Z", "20240101"])
def test_what_is_no_time_is_refused(text: str) -> None:
    for method in ("exact", "nearest"):
        assert "ISO 8601" in refused(made([0, 1], DAILY), f"{method}::{text}")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "0x10", "1_0", " 1", "2024-01-01", "one", "1" * 60])
def test_what_is_no_number_is_refused(text: str) -> None:
    for method in ("exact", "nearest"):
        assert "finite number" in refused(made([0.0, 1.0]), f"{method}::{text}")
        assert "position" in refused(dimensions.index("d", 2), f"{method}::{text}")


def test_equal_values_are_not_exact_and_else_the_first() -> None:
    dimension = made([5, 7, 5, 7])
    assert "not 2" in refused(dimension, "5")
    assert [chosen(dimension, f"{method}::6") for method in ("nearest", "pad", "backfill")] == [1, 0, 1]


@given(
    values=st.lists(st.integers(-50, 50), min_size=1, max_size=8, unique=True).map(sorted),
    number=st.integers(-120, 120).map(lambda number: number / 2),
    method=st.sampled_from((None, "nearest", "pad", "backfill", "ffill", "bfill")),
    dtype=st.sampled_from(("i4", "f4", "f8")),
)
def test_choices_are_those_of_xarray(values: list[int], number: float, method: Any, dtype: str) -> None:
    array = xr.DataArray(np.arange(len(values)), {"d": np.array(values, dtype)}, "d")
    text = f"{method}::{number}" if method else str(number)
    try:
        expected = int(array.sel(d=number, method=method))
    except KeyError:
        refused(made(values, dtype=dtype), text)
    else:
        assert chosen(made(values, dtype=dtype), text) == expected


@given(
    days=st.lists(st.integers(-500, 500), min_size=1, max_size=8, unique=True).map(sorted),
    day=st.integers(-600, 600),
    method=st.sampled_from((None, "nearest", "pad", "backfill")),
)
def test_choices_of_times_are_those_of_xarray(days: list[int], day: int, method: Any) -> None:
    dates = (np.datetime64("2024-01-01") + np.array(days)).astype("datetime64[ns]")
    array = xr.DataArray(np.arange(len(days)), {"d": dates}, "d")
    written = date.fromordinal(date(2024, 1, 1).toordinal() + day).isoformat()
    try:
        expected = int(array.sel(d=np.datetime64(written, "ns"), method=method))
    except KeyError:
        refused(made(days, DAILY), f"{method or 'exact'}::{written}")
    else:
        assert chosen(made(days, DAILY), f"{method or 'exact'}::{written}") == expected


@given(
    values=st.lists(st.floats(-1e3, 1e3, width=16) | st.just(np.nan), min_size=1, max_size=8),
    number=st.floats(-2e3, 2e3, width=16),
)
def test_unsorted_values_are_chosen_as_if_each_were_looked_at(values: list[float], number: float) -> None:
    there = [(value, position) for position, value in enumerate(values) if not np.isnan(value)]
    wanted = {
        "nearest": sorted(there, key=lambda item: (abs(item[0] - number), -item[0], item[1])),
        "pad": sorted((item for item in there if item[0] <= number), key=lambda item: (-item[0], item[1])),
        "backfill": sorted(item for item in there if item[0] >= number),
    }
    for method, order in wanted.items():
        if order:
            assert chosen(made(values), f"{method}::{number}") == order[0][1]
        else:
            refused(made(values), f"{method}::{number}")
