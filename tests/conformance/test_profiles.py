"""Profiles: which rules are judged, how severely, and who gave a value."""

from __future__ import annotations

import pytest

from conformance import Depth, Severity, check
from conformance.check import rules_at
from conformance.profiles import NAMES, PROFILES, of_name
from conformance.readers import READERS
from conformance.report import Rule
from geozarr import ParameterError


def rule(name: str = "ZC-16", severity: Severity = Severity.WARNING, **changes: object) -> Rule:
    return Rule(name, "a clause", "a title", lambda _: iter(()), severity, **changes)


@pytest.mark.parametrize(
    ("profile", "own", "stated", "severity"),
    [
        ("geozarr", Severity.WARNING, None, Severity.WARNING),
        ("geozarr", Severity.WARNING, Severity.ERROR, Severity.ERROR),
        ("tolerant", Severity.WARNING, None, Severity.INFO),
        ("tolerant", Severity.WARNING, Severity.ERROR, Severity.INFO),
    ],
)
def test_a_profile_lowers_what_a_fault_states(profile, own, stated, severity) -> None:
    assert of_name(profile).severity(rule(severity=own), stated) == severity


def test_a_profile_raises_the_rule_but_not_its_lesser_faults() -> None:
    eopf = of_name("eopf")
    assert eopf.severity(rule("SP-14")) is Severity.ERROR
    assert eopf.severity(rule("SP-14"), Severity.INFO) is Severity.INFO


def test_a_rule_of_one_profile_runs_under_no_other() -> None:
    mine = rule("GZ-03", profiles=frozenset({"eopf"}))
    assert [name for name, profile in PROFILES.items() if profile.judges(mine)] == ["eopf"]


def test_the_cf_profile_judges_cf_and_zarr_alone() -> None:
    rules = rules_at(Depth.PIXELS, PROFILES["cf"])
    assert {found.family for found in rules} == {"CF", "ZARR", "GZ", "GP"}
    # Of GeoZarr's own only what tells the drafts apart, and what nothing may claim.
    assert {found.id for found in rules if found.family == "GZ"} == {"GZ-01", "GZ-24", "GZ-25"}


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ParameterError) as raised:
        of_name("strict")
    assert "tolerant" in raised.value.expected


def test_a_retired_revision_is_only_told_to_the_tolerant(stores) -> None:
    def edit(found) -> None:
        entry = found["9"]["attributes"]["zarr_conventions"][0]
        entry["schema_url"] = entry["schema_url"].replace("v0.1", "v1")
        entry["spec_url"] = entry["spec_url"].replace("v0.1", "v1")

    strict, tolerant = (check(stores["tms"].edited(edit), profile=name) for name in ("geozarr", "tolerant"))
    assert [(found.rule, found.severity) for found in strict.findings] == [("ZC-16", Severity.WARNING)]
    assert [(found.rule, found.severity) for found in tolerant.findings] == [("ZC-16", Severity.INFO)]
    assert (strict.exit_status, tolerant.exit_status) == (1, 0)


def test_every_severity_of_a_profile_is_of_a_rule() -> None:
    known = {found.id for found in rules_at(Depth.PIXELS)}
    for profile in PROFILES.values():
        known |= {found.id for found in rules_at(Depth.PIXELS, profile)}
        assert set(profile.severities) <= known


def test_the_report_names_the_group_that_gives_a_value(stores) -> None:
    def edit(found) -> None:
        for key in ("proj:code", "proj:wkt2"):
            found["9/red"]["attributes"].pop(key, None)
        found["9/red"]["attributes"].pop("spatial:transform", None)

    inherited = check(stores["tms"].edited(edit)).inherited
    assert inherited["/9/red"]["proj:wkt2"] == "/9"
    assert inherited["/9/red"]["spatial:transform"] == "/9"
    assert "spatial:shape" not in inherited["/9/red"]


def test_the_report_counts_requests_and_bytes(stores) -> None:
    store = stores["packed"].edited()
    report = check(store, depth="metadata")
    documents = stores["packed"].documents()
    assert report.bytes_read >= sum(len(store.get(f"{path}/zarr.json".lstrip("/")).bytes()) for path in documents)
    assert report.requests >= len(documents)


def test_a_profile_of_a_reader_tells_what_it_fails_on_and_nothing_else(stores) -> None:
    def edit(found) -> None:
        found["9/dem"]["attributes"]["_FillValue"] = -9999  # ZARR-13: no float of xarray's
        found["9"]["attributes"]["spatial:bbox"][0] += 5.0  # wrong, and nothing to xarray

    report = check(stores["tms"].edited(edit), profile="xarray", depth="metadata")
    assert [(found.rule, found.node, found.severity) for found in report.findings] == [
        ("ZARR-13", "/9/dem", Severity.ERROR)
    ]
    assert report.exit_status == 1
    assert check(stores["tms"].edited(), profile="xarray").exit_status == 0
    assert check(stores["tms"].edited(), profile="gdal-3.13").exit_status == 0


def test_every_reader_has_a_profile() -> None:
    assert len(NAMES) == len(PROFILES) + len(READERS)
    for name in NAMES:
        assert of_name(name).name == name
        assert rules_at(Depth.METADATA, of_name(name))
