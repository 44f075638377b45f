"""Profiles: which rules are judged, and how severely, for a store that is meant to follow one text or another.

A profile is data. It names the families of rules that it judges and, of single rules, a severity of its own; everything
else is as the rule says. The plain profile, `geozarr`, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from conformance.readers import READERS, rules
from conformance.report import Severity
from geozarr.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.report import Rule

_ORDER = tuple(Severity)  # the gravest first


@dataclass(frozen=True)
class Profile:
    """What a store is judged by.

    Parameters
    ----------
    name : str
        As users ask for it.
    about : str
        For which stores, in one line.
    families : frozenset of str
        Beginnings of the ids of the rules that it judges, such as "CF"; empty for all.
    severities : mapping of str to Severity
        Severity of single rules by id, where it is another than the rule's own. A fault that is less grave than the
        others of its rule stays so.
    judges_any_array : bool
        True where every array is checked, not only nodes that use the conventions: then a store without any of these
        has been checked all the same.
    rules : tuple of Rule
        The only rules that are run, at whatever depth; empty where the families decide. A profile of a reader has its
        own, which say what it fails on (errors) and what it loses (warnings).
    """

    name: str
    about: str
    families: frozenset[str] = frozenset()
    severities: Mapping[str, Severity] = field(default_factory=dict)
    judges_any_array: bool = False
    rules: tuple[Rule, ...] = ()

    def judges(self, rule: Rule) -> bool:
        """Tell whether a rule is run."""
        is_meant = not rule.profiles or self.name in rule.profiles
        return is_meant and (not self.families or rule.family in self.families)

    def severity(self, rule: Rule, stated: Severity | None = None) -> Severity:
        """Severity of a finding of a rule, for which the fault itself may have stated one."""
        own = self.severities.get(rule.id)
        if own is None:
            return stated or rule.severity
        return own if stated is None else max(own, stated, key=_ORDER.index)


# What drafts and tools before v0.1 wrote, and readers still take (SPEC.md section 1 and D-05, D-10, D-11).
_DRAFTS = ("ZC-03", "ZC-12", "ZC-15", "ZC-16", "MS-13", "PJ-05", "PJ-06", "PJ-09", "PJ-12", "SP-14", "ZARR-30")

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("geozarr", "the conventions at v0.1, CF, Zarr and TileMatrixSet 2.0"),
            Profile(
                "tolerant",
                "as geozarr; what drafts and the v1 revision wrote otherwise is only told",
                severities=dict.fromkeys(_DRAFTS, Severity.INFO),
            ),
            Profile(
                "cf",
                "CF in Zarr alone, for any store",
                families=frozenset({"CF", "ZARR", "GZ", "GP"}),
                judges_any_array=True,
            ),
            Profile(
                "eopf",
                "as geozarr, and what the EOPF data model asks beyond it",
                severities=dict.fromkeys(("SP-14", "MS-18"), Severity.ERROR),
            ),
            Profile(
                "legacy-0.4",
                "GeoZarr 0.4: Zarr v2, multiscales on data arrays by a tile matrix set",
                families=frozenset({"CF", "ZARR", "TMS", "GZ", "GP"}),
                judges_any_array=True,
            ),
        )
    }
)


_READERS = {name.lower().replace(" ", "-"): reader for name, reader in READERS.items()}
NAMES = (*PROFILES, *_READERS)


def of_name(name: str) -> Profile:
    """Look a profile up, of those above or of a reader; raises `ParameterError` where there is none of that name."""
    if name in _READERS:
        reader = _READERS[name]
        about = f"what {reader.name} {reader.version} fails on, or loses"
        return Profile(name, about, judges_any_array=True, rules=rules(reader))
    if name not in PROFILES:
        raise ParameterError("profile", found=name, expected=" or ".join(NAMES))
    return PROFILES[name]
