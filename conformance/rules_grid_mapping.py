"""Rules on CF grid mappings: the attribute, the variable, its parameters (CF conventions 5.6 and Appendix F)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from conformance import grid_mappings, references, values
from conformance.report import Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.tree import Node

_CONVENTIONS = re.compile(r"(?:^|[\s,])CF-1\.[0-9]+(?:$|[\s,])")
_ORIGIN = ("latitude_of_projection_origin", "longitude_of_projection_origin")
_SCALE = "scale_factor_at_projection_origin"
# Appendix F: the parameters that each grid mapping needs; alternatives in one entry, separated by "|". The false
# easting and northing are left out, since a missing one means 0 to every reader.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "albers_conical_equal_area": ("standard_parallel", "longitude_of_central_meridian", _ORIGIN[0]),
    "azimuthal_equidistant": _ORIGIN,
    "geostationary": (*_ORIGIN, "perspective_point_height", "sweep_angle_axis|fixed_angle_axis"),
    "healpix": (),
    "lambert_azimuthal_equal_area": _ORIGIN,
    "lambert_conformal_conic": ("standard_parallel", "longitude_of_central_meridian", _ORIGIN[0]),
    "lambert_cylindrical_equal_area": ("longitude_of_central_meridian", f"standard_parallel|{_SCALE}"),
    "latitude_longitude": (),
    "mercator": (_ORIGIN[1], f"standard_parallel|{_SCALE}"),
    "oblique_mercator": ("azimuth_of_central_line", *_ORIGIN, _SCALE),
    "orthographic": _ORIGIN,
    "polar_stereographic": (
        f"straight_vertical_longitude_from_pole|{_ORIGIN[1]}",
        _ORIGIN[0],
        f"standard_parallel|{_SCALE}",
    ),
    "reduced_gaussian": (),
    "rotated_latitude_longitude": ("grid_north_pole_latitude", "grid_north_pole_longitude"),
    "sinusoidal": (f"{_ORIGIN[1]}|longitude_of_central_meridian",),
    "stereographic": (*_ORIGIN, _SCALE),
    "transverse_mercator": ("scale_factor_at_central_meridian", "longitude_of_central_meridian", _ORIGIN[0]),
    "vertical_perspective": (*_ORIGIN, "perspective_point_height"),
}
# Table F.1: attributes of type S and of type N, with how many numbers they may hold.
_NAMES = ("reference_ellipsoid_name", "prime_meridian_name", "horizontal_datum_name", "geographic_crs_name")
_STRINGS = (
    *_NAMES,
    "projected_crs_name",
    "geoid_name",
    "geopotential_datum_name",
    "sweep_angle_axis",
    "fixed_angle_axis",
)
_NUMBERS = (
    *("azimuth_of_central_line", "earth_radius", "false_easting", "false_northing", "grid_north_pole_latitude"),
    *("grid_north_pole_longitude", "inverse_flattening", *_ORIGIN, "longitude_of_central_meridian"),
    *("longitude_of_prime_meridian", "north_pole_grid_longitude", "perspective_point_height"),
    *("scale_factor_at_central_meridian", _SCALE, "semi_major_axis", "semi_minor_axis"),
    "straight_vertical_longitude_from_pole",
)
_COUNTS = {"standard_parallel": (1, 2), "towgs84": (3, 6, 7)}


def check_conventions(context: Context) -> Iterator[Fault]:
    """Find data sets with CF grid mappings whose group does not say that it follows CF."""
    tops = {_top(context, array).path for array in context.tree.arrays if "grid_mapping" in array.attributes}
    for path in sorted(tops):
        node = context.tree.nodes[path]
        stated = [item for item in (node, *context.tree.ancestors(path)) if "Conventions" in item.attributes]
        if not stated:
            yield Fault(
                path, ("attributes", "Conventions"), "there is no Conventions attribute", None, "such as CF-1.12"
            )
            continue
        found = stated[0].attributes["Conventions"]
        if not isinstance(found, str) or not _CONVENTIONS.search(found):
            message = "Conventions does not name a version of CF"
            yield Fault(stated[0].path, ("attributes", "Conventions"), message, found, "such as CF-1.12")


def check_syntax(context: Context) -> Iterator[Fault]:
    """Find `grid_mapping` attributes of neither form."""
    for array in context.tree.arrays:
        if "grid_mapping" in array.attributes and grid_mappings.parse(array.attributes["grid_mapping"]) is None:
            found = array.attributes["grid_mapping"]
            expected = 'a name, or "name: coordinate coordinate ..."'
            yield Fault(array.path, ("attributes", "grid_mapping"), "grid_mapping is malformed", found, expected)


def check_exists(context: Context) -> Iterator[Fault]:
    """Find grid mappings that name no variable, or coordinates that do not exist."""
    named = {
        array.path: tuple(context.attribute(array, "grid_mapping", grid_mappings.parse) or ())
        for array in context.tree.arrays
    }
    yield from missing_variables(context, "grid_mapping", named)
    for array in context.tree.arrays:
        mapping = context.attribute(array, "grid_mapping", grid_mappings.parse) or {}
        listed = (context.attribute(array, "coordinates", values.text) or "").split()
        for name in (name for coordinates in mapping.values() for name in coordinates):
            variable = grid_mappings.resolve(context, array, name)
            pointer = ("attributes", "grid_mapping")
            if variable is None:
                yield Fault(array.path, pointer, "a coordinate of the grid mapping does not exist", name, "a variable")
            elif name not in listed and name not in context.sizes(array) and variable.is_known:
                message = "an auxiliary coordinate of the grid mapping is not in coordinates"
                yield Fault(array.path, pointer, message, name, "it in coordinates too")


def check_name(context: Context) -> Iterator[Fault]:
    """Find grid mapping variables without a `grid_mapping_name` of Appendix F, where CF has one for their CRS."""
    for node in _variables(context):
        found = node.attributes.get("grid_mapping_name")
        pointer = ("attributes", "grid_mapping_name")
        if found is not None and found not in tuple(PARAMETERS):
            yield Fault(node.path, pointer, "no grid mapping of CF", found, "a name of Appendix F")
        elif found is None:
            wkt = context.attribute(node, "crs_wkt", values.text)
            crs = references.from_wkt(wkt) if wkt else None
            expected = references.cf_parameters(crs.wkt2).get("grid_mapping_name") if crs else "a name of Appendix F"
            # CF cannot express every projection; then crs_wkt is all that there is to say.
            if expected is not None:
                relies = ((node.path, ("attributes", "crs_wkt")),)
                yield Fault(node.path, pointer, "there is no grid_mapping_name", None, str(expected), relies=relies)


def check_parameters(context: Context) -> Iterator[Fault]:
    """Find parameters of another type than Table F.1 has, and missing ones."""
    for node in _variables(context):
        for key, found in node.attributes.items():
            expected = _expected_type(key, found)
            if expected is not None:
                yield Fault(node.path, ("attributes", key), "a parameter of another type", found, expected)
        name = context.attribute(node, "grid_mapping_name", values.text) or ""
        missing = [
            parameter
            for parameter in PARAMETERS.get(name, ())
            if not any(key in node.attributes for key in parameter.split("|"))
        ]
        if missing:
            # Where several are missing, the name is as suspect as they are.
            pointer = ("attributes", missing[0].split("|")[0] if len(missing) == 1 else "grid_mapping_name")
            relies = ((node.path, ("attributes", "grid_mapping_name")),)
            expected = ", ".join(parameter.replace("|", " or ") for parameter in missing)
            found = None if len(missing) == 1 else name
            yield Fault(node.path, pointer, f"parameters of {name} are missing", found, expected, relies=relies)


def check_scalar(context: Context) -> Iterator[Fault]:
    """Find grid mapping variables with dimensions."""
    for node in _variables(context):
        shape = context.shape(node)
        if shape:
            message = "the grid mapping variable has dimensions"
            yield Fault(node.path, ("shape",), message, list(shape), "a scalar, []", keeps=True)


def check_wkt(context: Context) -> Iterator[Fault]:
    """Find `crs_wkt` that does not parse."""
    for node in _variables(context):
        found = node.attributes.get("crs_wkt", "")
        if "crs_wkt" in node.attributes and not (isinstance(found, str) and references.from_wkt(found) is not None):
            yield Fault(node.path, ("attributes", "crs_wkt"), "crs_wkt describes no horizontal CRS", found, "CRS WKT")


def check_names_together(context: Context) -> Iterator[Fault]:
    """Find grid mappings with some of the four names of the datum but not all."""
    for node in _variables(context):
        present = [key for key in _NAMES if key in node.attributes]
        missing = [key for key in _NAMES if key not in node.attributes]
        if present and missing:
            pointer = ("attributes", missing[0])
            yield Fault(
                node.path, pointer, "names of the datum are incomplete", present, f"{' and '.join(missing)} too"
            )
        elif "projected_crs_name" in node.attributes and "geographic_crs_name" in missing:
            pointer = ("attributes", "geographic_crs_name")
            yield Fault(node.path, pointer, "projected_crs_name stands without it", None, "geographic_crs_name")


def check_spatial_ref(context: Context) -> Iterator[Fault]:
    """Find a `spatial_ref` attribute other than `crs_wkt`, and names of the variable that tools do not look for."""
    for node, users in _used(context):
        found = node.attributes.get("spatial_ref")
        wkt = context.attribute(node, "crs_wkt", values.text)
        pointer = ("attributes", "spatial_ref")
        crs = references.from_wkt(found) if isinstance(found, str) else None
        reference = references.from_wkt(wkt) if wkt else None
        if found is not None and crs is None:
            yield Fault(node.path, pointer, "spatial_ref describes no horizontal CRS", found, "the text of crs_wkt")
        elif crs is not None and reference is not None and not references.are_same_place(crs, reference):
            # The CRS of the rasters tells which of the two is odd.
            stated = next((known for user in users if (known := context.effective_crs(user)) is not None), None)
            is_wkt_odd = stated is not None and references.are_same_place(stated, crs)
            pointer = ("attributes", "crs_wkt") if is_wkt_odd else pointer
            voids = () if stated is not None else ((node.path, ("attributes", "crs_wkt")),)
            odd, other = (reference, crs) if is_wkt_odd else (crs, reference)
            yield Fault(node.path, pointer, "spatial_ref and crs_wkt differ", str(odd), str(other), voids=voids)
        if node.name not in ("spatial_ref", "crs"):
            message = "a grid mapping variable of a name that tools do not look for"
            yield Fault(node.path, (), message, node.name, '"spatial_ref"', severity=Severity.INFO)


def check_geotransform(context: Context) -> Iterator[Fault]:
    """Find `GeoTransform` attributes that are not six numbers in a string."""
    for node in _variables(context):
        if "GeoTransform" in node.attributes and grid_mappings.geotransform(node.attributes["GeoTransform"]) is None:
            found = node.attributes["GeoTransform"]
            expected = "a string of six numbers c a b f d e"
            yield Fault(node.path, ("attributes", "GeoTransform"), "GeoTransform is malformed", found, expected)


def missing_variables(context: Context, key: str, named: dict[str, tuple[str, ...]]) -> Iterator[Fault]:
    """Report names without a variable: at the array that has it wrong, or once where all arrays of a group agree."""
    users: dict[tuple[str, str], list[Node]] = {}
    for path, names in named.items():
        array = context.tree.nodes[path]
        for name in names:
            variable = grid_mappings.resolve(context, array, name)
            if variable is None or (variable.is_known and not variable.is_array):
                users.setdefault((array.parent, name), []).append(array)
    for (group, name), arrays in users.items():
        voids = tuple(
            (array.path, ("attributes", other)) for array in arrays for other in ("grid_mapping", "coordinates")
        )
        if len(arrays) > 1:
            path = f"{group}/{name}" if group else name
            message = f"the variable that {len(arrays)} arrays name in {key} does not exist"
            yield Fault(path, (), message, None, "a variable of that name", voids=voids)
        else:
            message = f"{key} names a variable that does not exist"
            yield Fault(arrays[0].path, ("attributes", key), message, name, "the name of a variable", voids=voids)


def _top(context: Context, array: Node) -> Node:
    """Outermost multiscale group above an array, else the root: where a data set begins."""
    above = context.tree.ancestors(array.path)
    found = [group for group in above if "multiscales" in group.attributes]
    return (found or above or [array])[-1]


def _variables(context: Context) -> list[Node]:
    return [node for node, _ in _used(context)]


def _used(context: Context) -> list[tuple[Node, list[Node]]]:
    users = grid_mappings.all_of(context)
    return [(context.tree.nodes[path], arrays) for path, arrays in users.items()]


def _expected_type(key: str, found: Any) -> str | None:
    """Say what Table F.1 wants of an attribute; None where it is so."""
    if key in _STRINGS:
        return None if isinstance(found, str) else "a string"
    if key in _NUMBERS:
        return None if values.number(found) is not None else "a number"
    if key in _COUNTS:
        numbers = values.numbers(found if isinstance(found, list) else [found])
        return None if numbers is not None and len(numbers) in _COUNTS[key] else f"{_COUNTS[key]} numbers"
    return None


_CF = "CF 5.6"
RULES = (
    Rule("CF-01", "CF 2.6.1", "The data set says that it follows CF", check_conventions, Severity.WARNING),
    Rule("CF-02", _CF, "grid_mapping is a name, or names with coordinates", check_syntax),
    Rule("CF-03", f"{_CF}, 2.7", "What grid_mapping names exists", check_exists),
    Rule("CF-07", _CF, "crs_wkt is valid", check_wkt),
    Rule("CF-04", f"{_CF}, Appendix F", "The grid mapping has a name of Appendix F", check_name),
    Rule("CF-05", "CF Table F.1", "Parameters are of their type and complete", check_parameters),
    Rule("CF-06", _CF, "The grid mapping variable is a scalar", check_scalar, Severity.WARNING),
    Rule("CF-08", "CF Appendix F", "Names of the datum are given together", check_names_together),
    Rule(
        "CF-09",
        "practice of GDAL and rioxarray",
        "spatial_ref says what crs_wkt says",
        check_spatial_ref,
        Severity.WARNING,
    ),
    Rule("CF-11", "practice of GDAL", "GeoTransform is six numbers in a string", check_geotransform),
)
