"""Attributes of which CF says what words they may hold: units of UDUNITS (CF 3.1), names of the standard table (3.3).

A word that no reader of CF understands does not stay where readers look for one; it is kept beside, as `source_units`
or `source_standard_name`. What a few spellings in wide use mean is known, and they are written as UDUNITS has them.
Both lists come with the extra `cf`; without it nothing is changed here.
"""

from __future__ import annotations

from typing import Any

from geozarr import vocabulary
from pyramids.sources.quirk import Quirk

# Spellings that UDUNITS does not know, in lower case, and what they mean.
_UNITS = {
    "deg c": "degree_Celsius",
    "degc": "degree_Celsius",
    "degrees c": "degree_Celsius",
    "deg f": "degree_Fahrenheit",
    "deg k": "K",
    "m/s": "m s-1",
    "m/sec": "m s-1",
    "mm/day": "mm day-1",
    "meters": "m",
    "metres": "m",
    "unitless": "1",
    "dimensionless": "1",
    "none": "1",
    "dn": "1",  # digital numbers
    "counts": "1",
}


def in_words_of_cf(attributes: dict[str, Any], where: str) -> tuple[dict[str, Any], tuple[Quirk, ...]]:
    """Return attributes in words that CF knows, and what was changed.

    Parameters
    ----------
    attributes : dict
        Of a variable.
    where : str
        For messages.
    """
    found = dict(attributes)
    quirks = []
    table = vocabulary.standard_names()
    name = found.get("standard_name")
    known = isinstance(name, str) and bool(name.split()) and table is not None
    if known and table is not None and str(name).split()[0] not in (*table.units, *table.aliases):
        found["source_standard_name"] = found.pop("standard_name")
        quirks.append(Quirk("standard-name", where, str(name), "kept as source_standard_name: no name of CF's table"))
    units = found.get("units")
    if isinstance(units, str) and " since " not in units and vocabulary.is_unit(units) is False:
        meant = _UNITS.get(" ".join(units.lower().split()))
        if meant is not None:
            found["units"] = meant
            quirks.append(Quirk("units", where, units, f"written as {meant}"))
        else:
            found["source_units"] = found.pop("units")
            quirks.append(Quirk("units", where, units, "kept as source_units: no unit of UDUNITS"))
    return found, tuple(quirks)
