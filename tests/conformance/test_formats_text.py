"""The report as text: grouped, counted, coloured where that is asked for."""

from __future__ import annotations

import click

from conformance import Severity
from conformance.formats import text
from conformance.report import Change
from written_reports import finding, hostile_findings, report

PATCH = (Change("add", "1", ("attributes", "a"), [1]), Change("remove", "1", ("attributes", "b")))


def test_the_worst_comes_first_whatever_was_found_first() -> None:
    found = report(finding(Severity.INFO, rule="SP-07"), finding(Severity.WARNING, rule="XC-01"), finding())
    heads = [line for line in text.write(found).splitlines() if " x 1 (" in line]
    assert [head.partition(" ")[0] for head in heads] == ["error", "warning", "info"]


def test_what_would_mend_a_finding_is_told() -> None:
    lines = text.write(report(finding(patch=PATCH))).splitlines()
    assert "    mended by: add /1#/attributes/a = [1]; remove /1#/attributes/b" in lines
    assert "mended by" not in text.write(report(finding()))


def test_long_patches_are_cut() -> None:
    patch = tuple(Change("add", "1", ("attributes", str(key)), "x" * 10_000) for key in range(1000))
    line = next(line for line in text.write(report(finding(patch=patch))).splitlines() if "mended by" in line)
    assert len(line) < 400
    assert text.mended_by(finding(patch=PATCH * 4)).endswith("; 5 more")


def test_what_is_inherited_is_told_when_asked() -> None:
    found = report(inherited={"/9/red": {"proj:wkt2": "/9", "spatial:transform": "/9"}})
    assert "  /9/red: proj:wkt2, spatial:transform of /9" in text.write(found, verbose=True).splitlines()
    assert "inherited" not in text.write(found)


def test_all_places_and_the_requirement_are_told_when_asked() -> None:
    found = report(*(finding(node=f"/{index}") for index in range(20)))
    lines = text.write(found, verbose=True).splitlines()
    assert "  spatial:transform can be inverted" in lines
    assert sum(line.startswith("  /") for line in lines) == 20
    assert sum(line.startswith("  /") for line in text.write(found).splitlines()) == 8


def test_colours_are_all_that_colour_adds() -> None:
    found = report(finding(patch=PATCH), finding(Severity.INFO, rule="SP-07"))
    colored = text.write(found, color=True)
    assert "\x1b[31m" in colored
    assert click.unstyle(colored) == text.write(found)
    assert "\x1b" not in text.write(found)


def test_documents_cannot_steer_the_terminal() -> None:
    for color in (False, True):
        written = text.write(report(*hostile_findings(), store="\x1b[2J"), color=color, verbose=True)
        rest = click.unstyle(written) if color else written
        assert all(character.isprintable() or character == "\n" for character in rest)
        assert max(map(len, rest.splitlines())) < 3000


def test_what_was_read_is_counted() -> None:
    assert "12 requests, 34,567 bytes read" in text.write(report())


def test_what_was_left_out_is_told() -> None:
    found = report(left_out={"SP-05": "there is no table"})
    assert "not all of SP-05 was checked: there is no table" in text.write(found).splitlines()
