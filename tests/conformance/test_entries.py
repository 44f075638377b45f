"""Variables that begin at a coarser level are legal; those that have gaps are not."""

from __future__ import annotations

from typing import Any

import pytest

from conformance import Severity, check


def without(*paths: str) -> Any:
    def edit(documents: dict[str, Any]) -> None:
        for path in paths:
            del documents[path]

    return edit


def test_a_variable_may_begin_at_a_coarser_level(stores) -> None:
    store = stores["tms"].edited(without("10/dem"))
    report = check(store, depth="geometry")
    assert [(found.rule, found.node, found.severity) for found in report.findings] == [
        ("XC-10", "/9/dem", Severity.INFO)
    ], report.to_text()
    assert report.exit_status == 0
    # Level 8 is made of the finest level, not of 9: that something was lost shows in its pixels.
    assert "XC-12" in {found.rule for found in check(store, depth="pixels", all_pixels=True).findings}
    last = check(stores["tms"].edited(without("10/dem", "9/dem")), depth="pixels")
    assert [(found.node, found.severity) for found in last.findings] == [("/8/dem", Severity.INFO)]


def test_pixels_of_a_late_variable_are_derived_though_its_level_derives_from_an_earlier_one(stores) -> None:
    def edit(documents: dict[str, Any]) -> None:
        del documents["10/dem"]
        item = documents[""]["attributes"]["multiscales"]["layout"][2]
        item["derived_from"] = "10"
        item["transform"] = {"scale": [4.0, 4.0], "translation": [0.0, 0.0]}

    findings = check(stores["tms"].edited(edit), depth="pixels", all_pixels=True).findings
    assert ("XC-12", "/8/dem") in {(found.rule, found.node) for found in findings}


@pytest.mark.parametrize(
    ("paths", "node"), [(["9/dem"], "/9"), (["8/dem"], "/8"), (["10/dem", "8/dem"], "/9")], ids=["gap", "end", "island"]
)
def test_a_variable_that_ends_or_has_a_gap_is_an_error(stores, paths: list[str], node: str) -> None:
    report = check(stores["tms"].edited(without(*paths)))
    assert [(found.rule, found.node, found.severity) for found in report.findings if found.rule == "XC-10"] == [
        ("XC-10", node, Severity.ERROR)
    ]


@pytest.mark.parametrize("path", ["10/x", "10/spatial_ref"])
def test_coordinates_and_grid_mappings_of_the_finest_level_are_not_left_out(stores, path: str) -> None:
    report = check(stores["tms"].edited(without(path)))
    assert Severity.ERROR in {found.severity for found in report.findings}, report.to_text()


def test_a_coordinate_may_begin_with_the_variables_that_use_it(stores) -> None:
    def edit(documents: dict[str, Any]) -> None:
        for level in ("9", "8"):
            shape = documents[f"{level}/dem"]["shape"]
            documents[f"{level}/dem"]["shape"] = [2, *shape]
            documents[f"{level}/dem"]["dimension_names"] = ["time", "y", "x"]
            chunk = documents[f"{level}/dem"]["chunk_grid"]["configuration"]
            chunk["chunk_shape"] = [1, *chunk["chunk_shape"]]
            documents[f"{level}/time"] = {
                **documents[f"{level}/x"],
                "shape": [2],
                "dimension_names": ["time"],
                "attributes": {},
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
            }
        del documents["10/dem"]

    report = check(stores["tms"].edited(edit), depth="geometry")
    assert [(found.node, found.severity) for found in report.findings if found.rule == "XC-10"] == [
        ("/9/dem", Severity.INFO)
    ]


def test_the_eopf_profile_asks_for_the_same_variables_at_all_levels(stores) -> None:
    whole, late = (check(stores["tms"].edited(edit), profile="eopf") for edit in (None, without("10/dem")))
    more = {(found.rule, found.node) for found in late.findings} - {
        (found.rule, found.node) for found in whole.findings
    }
    assert ("GZ-03", "/9/dem") in more
