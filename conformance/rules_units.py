"""Rules on what a variable is and in which unit: CF 3.1 to 3.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance import cell_methods, cf_variables, values
from conformance.report import Fault, Rule, Severity
from geozarr import vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.report import Pointer
    from conformance.tree import Node
    from geozarr.vocabulary import StandardNames

_UNITS: Pointer = ("attributes", "units")
_NAME: Pointer = ("attributes", "standard_name")
# Appendix C, with the unit of what they make of a quantity; None for the quantity's own.
_MODIFIERS = {"detection_minimum": None, "number_of_observations": "1", "standard_error": None, "status_flag": "1"}
_RETIRED_UNITS = ("level", "layer", "sigma_level")  # CF 3.1.1, kept for COARDS
# What people write of quantities that have no unit.
_DIMENSIONLESS = ("-", "--", "unitless", "dimensionless", "none", "n/a", "na", "nil", "dn", "count", "counts", "class")
_SQUARED = ("variance", "sum_of_squares")  # methods of Appendix E that change the unit


def check_names(context: Context) -> Iterator[Fault]:
    """Find data variables that do not say what they are, and standard names that are none or of other units."""
    data = {array.path for array in cf_variables.data_variables(context)}
    for array in cf_variables.all_of(context):
        if array.path in data and not any(key in array.attributes for key in ("long_name", "standard_name")):
            message = "the variable says neither by long_name nor by standard_name what it is"
            yield Fault(array.path, ("attributes", "long_name"), message, None, "a name for people")
        for key in ("long_name", "standard_name"):
            found = array.attributes.get(key)
            if key in array.attributes and not isinstance(found, str):
                message = f"{key} is no string"
                yield Fault(array.path, ("attributes", key), message, found, "a string", severity=Severity.ERROR)
        name = context.attribute(array, "standard_name", values.text)
        table = vocabulary.standard_names()
        if name is not None and table is not None:
            yield from _check_standard_name(context, array, name, table)


def check_units(context: Context) -> Iterator[Fault]:
    """Find units that UDUNITS does not know, and quantities without any."""
    for array in cf_variables.all_of(context):
        if cf_variables.is_time(array):
            continue
        found = array.attributes.get("units")
        text = context.attribute(array, "units", values.text)
        if found is not None and not isinstance(found, str):
            yield Fault(array.path, _UNITS, "units are no string", found, "a unit of UDUNITS")
        elif text is None:
            yield from _check_absent(context, array)
        elif not text.strip():
            message = "units are blank"
            yield Fault(array.path, _UNITS, message, text, '"1" where there is none', severity=Severity.WARNING)
        elif text.strip() in _RETIRED_UNITS:
            message = "a retired unit of dimensionless vertical coordinates"
            yield Fault(array.path, _UNITS, message, text, '"1"', severity=Severity.WARNING)
        elif vocabulary.is_unit(text) is False:
            expected = '"1"' if text.strip().lower() in _DIMENSIONLESS else "a unit of UDUNITS"
            yield Fault(array.path, _UNITS, "UDUNITS does not know the units", text, expected)


def _check_standard_name(context: Context, array: Node, name: str, table: StandardNames) -> Iterator[Fault]:
    base, _, modifier = name.strip().partition(" ")
    error = Severity.ERROR
    if modifier.strip() and modifier.strip() not in _MODIFIERS:
        expected = ", ".join(_MODIFIERS)
        yield Fault(array.path, _NAME, "unknown modifier of a standard name", name, expected, severity=error)
    elif base in table.aliases:
        message = "the standard name has been replaced"
        expected = table.aliases[base]
        yield Fault(array.path, _NAME, message, name, expected, severity=Severity.INFO, keeps=True)
    elif base not in table.units:
        expected = table.nearest(base) or "a name of the table"
        yield Fault(array.path, _NAME, "the standard name is not in the table of CF", name, expected, severity=error)
    else:
        yield from _check_convertible(context, array, _MODIFIERS.get(modifier.strip()) or table.units[base])


def _check_convertible(context: Context, array: Node, canonical: str) -> Iterator[Fault]:
    """Find units that do not convert to the canonical ones, but for times and for methods that change the unit."""
    units = context.attribute(array, "units", values.text)
    methods = context.attribute(array, "cell_methods", cell_methods.parse) or ()
    if units is None or not canonical or cf_variables.is_time(array):
        return
    if any(item.method in _SQUARED for item in methods):
        return
    if vocabulary.are_convertible(units, canonical) is False:
        message = "the units do not convert to those of the standard name"
        relies = ((array.path, _NAME),)
        severity = Severity.ERROR
        yield Fault(array.path, _UNITS, message, units, f"such as {canonical}", severity=severity, relies=relies)


def _check_absent(context: Context, array: Node) -> Iterator[Fault]:
    """Find variables without units whose standard name is that of a dimensional quantity."""
    table = vocabulary.standard_names()
    words = (context.attribute(array, "standard_name", values.text) or "").split()
    is_quantity = table is not None and len(words) == 1 and table.units.get(words[0], "1") not in ("", "1")
    if "units" not in array.attributes and is_quantity and table is not None:
        message = "a dimensional quantity has no units"
        yield Fault(
            array.path, _UNITS, message, None, f"such as {table.units[words[0]]}", relies=((array.path, _NAME),)
        )


RULES = (
    Rule(
        "CF-18",
        "CF 3.2, 3.3",
        "Data variables have a long_name or standard_name, and standard names are in the table, with units like theirs",
        check_names,
        Severity.WARNING,
        lacks=vocabulary.lacks_standard_names,
    ),
    Rule(
        "CF-19",
        "CF 3.1",
        "Units are those of UDUNITS, and quantities have them",
        check_units,
        lacks=vocabulary.lacks_units,
    ),
)
