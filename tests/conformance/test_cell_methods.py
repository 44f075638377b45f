"""`cell_methods` as CF 7.3 writes them."""

from __future__ import annotations

import pytest

from conformance.cell_methods import CellMethod, of_area, parse


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("area: mean", [("area", "mean")]),
        ("time: maximum area: mean", [("time", "maximum"), ("area", "mean")]),
        ("lat: lon: standard_deviation", [("lat lon", "standard_deviation")]),
        ("time: mean (interval: 1 hr comment: sampled) area: mode", [("time", "mean"), ("area", "mode")]),
        ("area: mean where land over all_area_types", [("area", "mean")]),
        ("time: minimum within days time: mean over days", [("time", "minimum"), ("time", "mean")]),
    ],
)
def test_methods_are_read_in_their_order(text, found) -> None:
    assert parse(text) == tuple(CellMethod(tuple(names.split()), method) for names, method in found)


@pytest.mark.parametrize(
    "value",
    [
        *("", "mean", "area:", ": mean", "area: mean where", "area: where land", "area: mean mode", "area: mean time:"),
        *(None, 5, ["area: mean"], "area: mean " * 10_000),
    ],
)
def test_what_has_another_form_is_none(value) -> None:
    assert parse(value) is None
    assert of_area(value) is None


def test_the_last_method_over_the_area_counts() -> None:
    assert of_area("area: mean time: sum area: mode") == "mode"
    assert of_area("time: sum") is None
