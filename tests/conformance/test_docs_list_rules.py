"""docs/conformance.md lists every rule as the registry has it, and every requirement that is none with its reason."""

from __future__ import annotations

from pathlib import Path

from conformance import Depth, metadata
from conformance.check import rules_at
from conformance.profiles import NAMES, PROFILES

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
RULES = tuple({rule.id: rule for profile in PROFILES.values() for rule in rules_at(Depth.PIXELS, profile)}.values())


def test_the_page_lists_every_rule_with_clause_and_severity() -> None:
    rows = {
        f"| {rule.id} | {rule.clause} | {rule.title} | {rule.severity.value} | {rule.depth.value} |".replace("||", "|")
        for rule in RULES
    }
    assert {row for row in rows if row not in PAGE} == set()


def test_the_page_lists_what_is_not_checked() -> None:
    assert [key for key, reason in metadata.NOT_CHECKED.items() if f"| {key} | {reason} |" not in PAGE] == []


def test_the_page_lists_no_rule_that_is_gone() -> None:
    listed = {line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("|")}
    known = {rule.id for rule in RULES} | set(metadata.NOT_CHECKED) | {"rule", "requirement", "profile", "---"}
    known |= {f"`{profile}`" for profile in PROFILES} | {", ".join(f"`{name}`" for name in NAMES[len(PROFILES) :])}
    assert listed - known == set()


def test_the_page_lists_every_profile() -> None:
    rows = {f"| `{profile.name}` | {profile.about} |" for profile in PROFILES.values()}
    assert {row for row in rows if row not in PAGE} == set()
