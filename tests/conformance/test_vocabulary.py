"""Units of UDUNITS and the standard name table, with the libraries that carry them and without."""

from __future__ import annotations

import sys

import pytest

from conformance import check
from geozarr import vocabulary


@pytest.fixture
def without_libraries(monkeypatch: pytest.MonkeyPatch):
    caches = (
        vocabulary.is_unit,
        vocabulary.are_convertible,
        vocabulary.standard_names,
        vocabulary._udunits,
    )
    monkeypatch.setitem(sys.modules, "cf_units", None)
    monkeypatch.setattr(vocabulary, "find_spec", lambda _: None)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize(
    "text", ["m", "1", "W m-2 sr-1 um-1", "degrees_north", "°C", "percent", "%", "1e-3", "lg(re 1 mW)", "m²", "kg/m^3"]
)
def test_units_of_udunits_are_known(text) -> None:
    assert vocabulary.is_unit(text) is True


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?",
        "unknown",
        "no_unit",
        "unitless",
        "psu",
        "m\0",
        "m\n",
        "\ud800",
        "1e400",
        "m^99999",
        "m" * 201,
        "((((" * 40,
    ],
)
def test_what_udunits_does_not_know_is_no_unit(text, capfd: pytest.CaptureFixture[str]) -> None:
    assert vocabulary.is_unit(text) is False
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("km", "m", True), ("degC", "K", True), ("K", "m", False), ("m", "none", None), ("%", "1", True)],
)
def test_units_convert_where_they_measure_the_same(one, other, expected) -> None:
    assert vocabulary.are_convertible(one, other) is expected


def test_the_table_has_names_with_units_and_aliases() -> None:
    table = vocabulary.standard_names()
    assert table is not None
    assert table.units["air_temperature"] == "K"
    assert table.units["surface_albedo"] == "1"
    assert table.aliases["significant_height_of_swell_waves"] in table.units
    assert table.nearest("air_temprature") == "air_temperature"
    assert table.nearest("x" * 10_000) is None


def test_every_canonical_unit_is_one_of_udunits() -> None:
    table = vocabulary.standard_names()
    assert table is not None
    # Those that are not count time from a date, or have no unit at all.
    assert {unit for unit in table.units.values() if unit and not vocabulary.is_unit(unit)} == set()


@pytest.mark.usefixtures("without_libraries")
def test_without_the_libraries_nothing_is_known() -> None:
    assert vocabulary.is_unit("m") is None
    assert vocabulary.are_convertible("m", "km") is None
    assert vocabulary.standard_names() is None
    assert "cf-units" in vocabulary.lacks_units()
    assert "compliance-checker" in vocabulary.lacks_standard_names()


@pytest.mark.usefixtures("without_libraries")
def test_the_report_names_what_was_left_out(stores) -> None:
    def edit(found) -> None:
        for level in range(3):
            found[f"{level}/height"]["attributes"].update(units="furlongs per", standard_name="nonsense")
        found["0/height"]["attributes"]["units"] = 5

    report = check(stores["packed"].edited(edit))
    assert [(found.rule, found.node) for found in report.findings] == [("CF-19", "/0/height")]
    assert set(report.left_out) == set(report.to_document()["left_out"]) == {"CF-18", "CF-19"}
    assert "not all of CF-19 was checked: units are not parsed" in report.to_text()


def test_with_the_libraries_nothing_is_left_out(stores) -> None:
    report = check(stores["packed"].edited())
    assert report.left_out == {}
    assert "not all of" not in report.to_text()
