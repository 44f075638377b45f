"""Rules on CF coordinate variables (CF conventions chapters 4 and 5)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from conformance import grid_mappings, samples, sites, values
from conformance.report import Depth, Fault, Rule, Severity
from conformance.rules_grid_mapping import missing_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.sites import Site
    from conformance.tree import Node
    from geozarr.crs import CRS

# Metres in a unit of length, by the spellings of UDUNITS that data sets have.
_LENGTHS = {
    **dict.fromkeys(("m", "metre", "meter", "metres", "meters"), 1.0),
    **dict.fromkeys(("km", "kilometre", "kilometer", "kilometres", "kilometers"), 1000.0),
    **dict.fromkeys(("foot", "feet", "ft", "international_foot"), 0.3048),
    **dict.fromkeys(("US_survey_foot", "US_survey_feet", "us_survey_foot"), 1200 / 3937),
    **dict.fromkeys(("cm", "centimetre", "centimeter"), 0.01),
}
_NORTH = ("degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN")
_EAST = ("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE")
_AXES = ("X", "Y", "Z", "T")
# Names that axes of latitude, longitude, height and time have by custom; CF goes by what they mean.
_NEED_COORDINATES = (
    *("lat", "latitude", "lon", "longitude", "time"),
    *("lev", "level", "plev", "depth", "height", "altitude", "pressure"),
)


def check_coordinate_variables(context: Context) -> Iterator[Fault]:
    """Find coordinate variables that are not one-dimensional, hold missing values, or are not monotonic."""
    spatial = {site.home: set(site.dimensions or ()) for site in sites.sites(context)}
    for variable in _coordinate_variables(context):
        shape = context.shape(variable)
        if shape is not None and len(shape) != 1:
            message = "a coordinate variable has another rank than one"
            yield Fault(variable.path, ("shape",), message, list(shape), "one axis")
            continue
        for key in ("_FillValue", "missing_value"):
            if key in variable.attributes:
                message = f"a coordinate variable has a {key}"
                found = variable.attributes[key]
                yield Fault(variable.path, ("attributes", key), message, found, "no missing values")
        # The values of x and y are compared with the transform by XC-06.
        if context.depth is not Depth.METADATA and variable.name not in spatial.get(variable.parent, set()):
            found = samples.ends_and_middle(context, variable)
            if found is not None and len(found) > 1 and not _is_monotonic(found):
                message = "a coordinate variable is not strictly monotonic"
                yield Fault(variable.path, (), message, list(found), "values that only grow, or only fall", keeps=True)


def check_axis(context: Context) -> Iterator[Fault]:
    """Find `axis` attributes of other values, on other variables, or twice in a group, and horizontal ones missing."""
    variables = {variable.path for variable in _coordinate_variables(context)}
    for array in context.tree.arrays:
        if "axis" not in array.attributes:
            continue
        found = array.attributes["axis"]
        pointer = ("attributes", "axis")
        if found not in _AXES:
            yield Fault(array.path, pointer, "unknown axis", found, "X, Y, Z or T")
        elif array.path not in variables:
            yield Fault(array.path, pointer, "axis stands on what is no coordinate variable", found, "no axis")
    for variable, role, _ in _horizontal(context):
        found = variable.attributes.get("axis")
        pointer = ("attributes", "axis")
        if not variable.attributes:
            message = "a horizontal coordinate has no attributes"
            expected = "axis, standard_name and units"
            yield Fault(variable.path, ("attributes",), message, None, expected, severity=Severity.WARNING)
        elif found is None:
            message = "a horizontal coordinate has no axis"
            yield Fault(variable.path, pointer, message, None, role, severity=Severity.WARNING)
        elif found != role:
            yield Fault(variable.path, pointer, "the axis is not that of spatial:dimensions", found, role)
    yield from _axis_twice(context)


def check_projected(context: Context) -> Iterator[Fault]:
    """Find coordinates of a projection without the standard name, or in another unit than the CRS."""
    for variable, role, crs in _horizontal(context):
        if crs is None or crs.is_geographic:
            continue
        expected = f"projection_{role.lower()}_coordinate"
        yield from _standard_name(variable, (expected,))
        found = variable.attributes.get("units")
        metres = _LENGTHS.get(found) if isinstance(found, str) else None
        is_that_of_crs = metres is not None and abs(metres / crs.metres_per_unit - 1) < 1e-6
        if found != crs.unit and not is_that_of_crs:
            message = "the units are not those of the CRS"
            severity = Severity.WARNING if found is None else Severity.ERROR
            yield Fault(variable.path, ("attributes", "units"), message, found, crs.unit, severity=severity)


def check_geographic(context: Context) -> Iterator[Fault]:
    """Find longitudes and latitudes without their standard name or units."""
    for variable, role, crs in _horizontal(context):
        if crs is None or not crs.is_geographic:
            continue
        name = "longitude" if role == "X" else "latitude"
        units: tuple[str, ...] = _EAST if role == "X" else _NORTH
        if crs.proj.is_derived:  # a rotated pole; both ways of naming are in use
            yield from _standard_name(variable, (f"grid_{name}", name))
            units = (*units, "degrees", "degree")
        else:
            yield from _standard_name(variable, (name,))
        found = variable.attributes.get("units")
        if found not in units:
            message = f"the units are not those of a {name}"
            severity = Severity.WARNING if found is None else Severity.ERROR
            yield Fault(variable.path, ("attributes", "units"), message, found, units[0], severity=severity)


def check_coordinates(context: Context) -> Iterator[Fault]:
    """Find `coordinates` that name what does not exist, or what has other dimensions than the data."""
    named: dict[str, tuple[str, ...]] = {}
    for array in context.tree.arrays:
        if "coordinates" not in array.attributes:
            continue
        found = array.attributes["coordinates"]
        if not isinstance(found, str):
            yield Fault(array.path, ("attributes", "coordinates"), "coordinates is no string", found, "names")
            continue
        names = (context.attribute(array, "coordinates", values.text) or "").split()
        named[array.path] = tuple(names)
    yield from missing_variables(context, "coordinates", named)
    for path, found_names in named.items():
        array = context.tree.nodes[path]
        own = context.dimension_names(array)
        for name in found_names:
            variable = grid_mappings.resolve(context, array, name)
            theirs = context.dimension_names(variable) if variable is not None and context.shape(variable) else ()
            if own is not None and theirs is not None and not set(theirs) <= set(own):
                message = f"the coordinate {name!r} has dimensions that the data have not"
                relies = tuple((node.path, ("dimension_names",)) for node in (array, variable) if node is not None)
                expected = f"dimensions among {list(own)}"
                yield Fault(path, ("attributes", "coordinates"), message, list(theirs), expected, relies=relies)


def check_present(context: Context) -> Iterator[Fault]:
    """Find axes of latitude, longitude, height and time without a coordinate variable."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for site in sites.sites(context):
        crs = sites.crs(context, site)
        is_geographic = crs is not None and crs.is_geographic
        for array in site.rasters:
            for name in context.sizes(array):
                is_horizontal = is_geographic and name in (site.dimensions or ())
                if (is_horizontal or name.lower() in _NEED_COORDINATES) and coordinate_of(context, site, name) is None:
                    lacking.setdefault((site.home, name), []).append(array.path)
    for (home, name), users in lacking.items():
        path = f"{home}/{name}" if home else name
        message = "there is no coordinate variable for the axis"
        relies = tuple((user, ("dimension_names",)) for user in users)
        yield Fault(path, (), message, None, f"a variable {name!r} along it", relies=relies, keeps=True)


def _coordinate_variables(context: Context) -> list[Node]:
    """Arrays named like an axis of their group, on which they lie themselves."""
    found = []
    for group in context.tree.groups:
        arrays = context.tree.child_arrays(group.path)
        axes = {name for array in arrays.values() for name in context.sizes(array)}
        found += [array for name, array in arrays.items() if name in axes]
    return found


def _horizontal(context: Context) -> list[tuple[Node, str, CRS | None]]:
    """Coordinate variables of rows and columns with their role, `Y` or `X`, and the CRS of their rasters."""
    found: dict[str, tuple[Node, str, CRS | None]] = {}
    for site in sites.sites(context):
        for name, role in zip(site.dimensions or (), ("Y", "X"), strict=False):
            variable = coordinate_of(context, site, name)
            if variable is not None and context.shape(variable) is not None:
                found.setdefault(variable.path, (variable, role, sites.crs(context, site)))
    return list(found.values())


def coordinate_of(context: Context, site: Site, name: str) -> Node | None:
    """Coordinate variable of an axis of a site: beside the rasters, one-dimensional, on that axis."""
    variable = context.tree.child_arrays(site.home).get(name)
    if variable is None or list(context.sizes(variable)) != [name]:
        return None
    return variable


def _axis_twice(context: Context) -> Iterator[Fault]:
    for group in context.tree.groups:
        seen: dict[str, str] = {}
        for name, array in context.tree.child_arrays(group.path).items():
            axis = context.attribute(array, "axis", values.text)
            if axis is None or axis not in _AXES or list(context.sizes(array)) != [name]:
                continue
            if axis in seen and _are_used_together(context, group.path, seen[axis], name):
                message = f"the axis is that of {seen[axis]!r} too"
                yield Fault(array.path, ("attributes", "axis"), message, axis, "each axis once for a data variable")
            seen.setdefault(axis, name)


def _are_used_together(context: Context, group: str, *names: str) -> bool:
    arrays = context.tree.child_arrays(group).values()
    return any(all(name in context.sizes(array) for name in names) for array in arrays)


def _standard_name(variable: Node, allowed: tuple[str, ...]) -> Iterator[Fault]:
    found = variable.attributes.get("standard_name")
    if found not in allowed:
        message = "the standard name is not that of the axis"
        severity = Severity.WARNING if found is None else Severity.ERROR
        yield Fault(variable.path, ("attributes", "standard_name"), message, found, allowed[0], severity=severity)


def _is_monotonic(found: tuple[float, ...]) -> bool:
    steps = [after - before for before, after in itertools.pairwise(found)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


RULES = (
    Rule(
        "CF-13",
        "CF 5",
        "Coordinate variables have one axis, no missing values and are monotonic",
        check_coordinate_variables,
    ),
    Rule("CF-14", "CF 4", "axis is X, Y, Z or T, on coordinate variables, each once", check_axis),
    Rule("CF-15", "CF 4, Appendix F", "Projected coordinates have their standard name and units", check_projected),
    Rule("CF-16", "CF 4.1, 4.2", "Longitudes and latitudes have their standard name and units", check_geographic),
    Rule(
        "CF-12",
        "CF 4",
        "Axes of latitude, longitude, height and time have coordinate variables",
        check_present,
        Severity.WARNING,
        profiles=frozenset({"cf", "legacy-0.4"}),
    ),
    Rule("CF-17", "CF 5", "What coordinates names exists and lies on the data's axes", check_coordinates),
)
