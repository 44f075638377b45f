"""Rules on flags and on what the cells of a level are of finer ones (CF 3.5, 7.1, 7.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from conformance import cell_methods, cf_variables, grid_mappings, layouts, methods, rules_ratios, values
from conformance.report import Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from conformance.context import Context
    from conformance.layouts import Level
    from conformance.methods import Stated
    from conformance.report import Place
    from conformance.tree import Node

_VALUES, _MASKS, _MEANINGS = "flag_values", "flag_masks", "flag_meanings"
_WORD = re.compile(r"[A-Za-z0-9_\-.+@]+")  # CF 3.5
# Methods that make values which were not there; a mean of classes 1 and 3 is no class 2.
_MIXING = ("average", "bilinear", "cubic", "cubic_spline", "lanczos", "gauss", "rms", "sum", "median")


def check_flags(context: Context) -> Iterator[Fault]:
    """Find flags that are not of the data type, not as many as their meanings, or averaged."""
    for array in context.tree.arrays:
        if any(key in array.attributes for key in (_VALUES, _MASKS, _MEANINGS)):
            yield from _check_one(context, array)
    yield from _check_mixed(context)


def check_cell_methods(context: Context) -> Iterator[Fault]:
    """Find `cell_methods` of no form of CF, and levels whose layout says another method than their arrays."""
    for array in cf_variables.all_of(context):
        found = array.attributes.get("cell_methods")
        parsed = cell_methods.parse(found)
        pointer = ("attributes", "cell_methods")
        if "cell_methods" in array.attributes and parsed is None:
            expected = "name: method, such as area: mean"
            message = "cell_methods are malformed"
            yield Fault(array.path, pointer, message, found, expected, severity=Severity.ERROR)
            continue
        unknown = [item.method for item in parsed or () if item.method not in cell_methods.METHODS]
        if unknown:
            message = "a cell method that CF does not know"
            expected = "one of Appendix E"
            yield Fault(array.path, pointer, message, unknown[0], expected, severity=Severity.WARNING, keeps=True)
    told: set[tuple[str, str]] = set()
    for level, array in _derived(context):
        if array.attributes.get("color_interpretation") == "alpha":
            continue  # an opacity is a mean, also of cells whose data are the mode: the layout speaks of data
        own, common = methods.of_array(context, array), methods.of_layout(context, level)
        key = (level.pyramid.node.path, array.name)
        if own is not None and common is not None and own.method != common.method and key not in told:
            told.add(key)  # a builder that leaves it out of account does so at every level
            message = f"cell_methods name another method than the layout, which says {common.method!r}"
            yield Fault(*own.place, message, own.method, common.method, relies=(common.place,), keeps=True)


def check_bounds(context: Context) -> Iterator[Fault]:
    """Find bounds that do not exist, or have another shape than their coordinate and a corner axis."""
    for array in cf_variables.all_of(context):
        for key in cf_variables.BOUNDS:
            if key not in array.attributes:
                continue
            found, pointer = array.attributes[key], ("attributes", key)
            name = context.attribute(array, key, values.text)
            variable = grid_mappings.resolve(context, array, name) if name else None
            if variable is None or not variable.is_known or not variable.is_array:
                yield Fault(array.path, pointer, f"{key} names no variable", found, "the name of a variable")
                continue
            shape, theirs = context.shape(array), context.shape(variable)
            if shape is None or theirs is None:
                continue
            corners = theirs[-1] if theirs else 0
            if theirs[:-1] != shape or corners < 2 or (len(shape) == 1 and corners != 2):
                expected = f"{[*shape, 2 if len(shape) == 1 else 'corners']}"
                message = f"{key} have another shape than the coordinate and its corners"
                relies = ((array.path, ("shape",)),)
                yield Fault(variable.path, ("shape",), message, list(theirs), expected, relies=relies, keeps=True)


def _check_one(context: Context, array: Node) -> Iterator[Fault]:
    """Judge the flags of one array by themselves."""
    attributes = array.attributes
    meanings = attributes.get(_MEANINGS)
    words = meanings.split() if isinstance(meanings, str) else []
    stated = [key for key in (_VALUES, _MASKS) if key in attributes]
    if not stated:
        expected = f"{_VALUES} or {_MASKS}"
        yield Fault(array.path, ("attributes", _VALUES), "flag_meanings without values or masks", None, expected)
        return
    if not words:
        expected = "words with blanks between"
        yield Fault(array.path, ("attributes", _MEANINGS), "flags without meanings", meanings, expected)
        return
    strange = next((word for word in words if not _WORD.fullmatch(word)), None)
    if strange is not None:
        expected = "words of letters, digits and _ - . + @"
        yield Fault(array.path, ("attributes", _MEANINGS), "a meaning is no word of CF", strange, expected)
    dtype = context.member(array, "data_type", values.dtype)
    read = {key: _numbers(attributes[key], dtype) for key in stated}
    for key, numbers in read.items():
        pointer, found = ("attributes", key), attributes[key]
        if numbers is None:
            expected = f"numbers of {dtype}" if dtype is not None else "numbers"
            yield Fault(array.path, pointer, f"{key} are not of the data type", found, expected)
        elif key == _MASKS and (0 in numbers or any(number != int(number) for number in numbers)):
            yield Fault(
                array.path, pointer, "a mask without a bit, or of no whole number", found, "whole numbers but 0"
            )
    usable = {key: numbers for key, numbers in read.items() if numbers is not None}
    yield from _check_counts(array, len(words), usable)
    yield from _check_exclusive(array, usable)


def _check_counts(array: Node, count: int, numbers: dict[str, tuple[float, ...]]) -> Iterator[Fault]:
    odd = {key: len(found) for key, found in numbers.items() if len(found) != count}
    if not odd:
        return
    # Where all of them differ from the meanings, and agree, the meanings are the odd ones out.
    is_common = len(odd) == len(numbers) and len(set(odd.values())) == 1
    key = _MEANINGS if is_common else next(iter(odd))
    voids = tuple((array.path, ("attributes", other)) for other in (_VALUES, _MASKS))
    found = {_MEANINGS: count, **{other: len(found) for other, found in numbers.items()}}
    message = "flags and meanings differ in number"
    yield Fault(array.path, ("attributes", key), message, found, "one meaning for each flag", voids=voids)


def _check_exclusive(array: Node, numbers: dict[str, tuple[float, ...]]) -> Iterator[Fault]:
    """Find values that stand twice, and values with bits that their mask has not."""
    found = numbers.get(_VALUES)
    if found is None:
        return
    pointer = ("attributes", _VALUES)
    if _MASKS not in array.attributes:
        if len(set(found)) < len(found):
            yield Fault(array.path, pointer, "a flag value stands twice", array.attributes[_VALUES], "each value once")
    elif len(masks := numbers.get(_MASKS, ())) == len(found):
        pairs = zip(found, masks, strict=True)
        odd = next((value for value, mask in pairs if int(value) & int(mask) != value), None)
        if odd is not None:
            relies = ((array.path, ("attributes", _MASKS)),)
            message = "a flag value has bits that its mask has not"
            yield Fault(array.path, pointer, message, odd, "values within their masks", relies=relies)


def _check_mixed(context: Context) -> Iterator[Fault]:
    """Find methods that average flags, each statement of one once."""
    users: dict[Place, tuple[Stated, list[str]]] = {}
    for level, array in _derived(context):
        if not any(context.attribute(array, key, _sequence) for key in (_VALUES, _MASKS)):
            continue
        stated = methods.effective(context, level, array)
        if stated is not None and stated.method in _MIXING:
            users.setdefault(stated.place, (stated, []))[1].append(array.name)
    for (node, pointer), (stated, names) in users.items():
        message = f"{', '.join(sorted(set(names)))}: flags are coarsened by a method that makes values of its own"
        expected = "mode or nearest; the union of bits for masks"
        yield Fault(node, pointer, message, stated.method, expected, severity=Severity.WARNING, keeps=True)


def _derived(context: Context) -> Iterator[tuple[Level, Node]]:
    """Rasters of levels that derive from others."""
    for pyramid in context.pyramids:
        for level in layouts.levels(context, pyramid):
            if rules_ratios.source_of(context, level) is not None:
                for array in context.rasters(level.arrays.values()):
                    yield level, array


def _numbers(value: Any, dtype: np.dtype[Any] | None) -> tuple[float, ...] | None:
    """Read the numbers of an attribute, which may be one alone; None where one does not fit the data type."""
    items = value if isinstance(value, list) else [value]
    if dtype is not None and dtype.kind in "iu":
        whole = [values.whole_in(item, dtype) for item in items]
        return None if None in whole else tuple(item for item in whole if item is not None)
    return values.numbers(items)


def _sequence(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else [value]


RULES = (
    Rule("CF-26", "CF 3.5", "Flags are of the data type, one to a meaning, and not averaged", check_flags),
    Rule(
        "CF-27",
        "CF 7.3, Appendix E; derived",
        "cell_methods have their form and agree with the layout",
        check_cell_methods,
        Severity.INFO,
    ),
    Rule("CF-28", "CF 7.1", "Bounds exist and have a corner axis", check_bounds, Severity.INFO),
)
