"""Rules that hold CF metadata against the conventions: coordinate values, CRS, and variables of all levels."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from conformance import entries, grid_mappings, layouts, references, samples, sites, values
from conformance.report import Depth, Fault, Rule, Severity
from conformance.rules_coordinates import coordinate_of
from geozarr.errors import ChunkReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from conformance.context import Context
    from conformance.layouts import Level
    from conformance.report import Place
    from conformance.tree import Node
    from geozarr.crs import CRS

_COMPARED = ("_FillValue", "scale_factor", "add_offset", "units", "grid_mapping")


def check_coordinates(context: Context) -> Iterator[Fault]:
    """Find coordinate variables whose values are not the centres of the cells (of the nodes for node registration)."""
    seen: set[str] = set()
    for site in sites.sites(context):
        consensus = sites.transform(context, site)
        if consensus is None or site.dimensions is None or not site.rasters:
            continue
        a, b, c, d, e, f = consensus.value
        if b != 0 or d != 0:
            continue  # one-dimensional coordinates cannot describe a rotated grid
        shift = 0.0 if context.registration(site.rasters[0]) == "node" else 0.5
        for name, step, origin in ((site.dimensions[0], e, f), (site.dimensions[1], a, c)):
            variable = coordinate_of(context, site, name)
            if variable is None or variable.path in seen:
                continue
            seen.add(variable.path)
            relies: tuple[Place, ...] = (*consensus.doubtful, (variable.path, ("attributes", "units")))
            yield from _values(context, variable, step, origin + shift * step, relies)


def check_crs(context: Context) -> Iterator[Fault]:
    """Find grid mappings that describe another CRS than `proj:*` of the rasters that use them."""
    for path, users in grid_mappings.all_of(context).items():
        node = context.tree.nodes[path]
        crs = next((found for user in users if (found := context.effective_crs(user)) is not None), None)
        if crs is None:
            continue
        for key in ("crs_wkt", "spatial_ref"):
            text = context.attribute(node, key, values.text)
            stated = references.from_wkt(text) if text else None
            if stated is not None and not references.are_same_place(stated, crs):
                voids = tuple((path, ("attributes", other)) for other in node.attributes)
                message = f"{key} is not the CRS that proj states"
                yield Fault(path, ("attributes", key), message, str(stated), str(crs), voids=voids)
                break
        else:
            yield from _parameters(context, node, crs)


def check_variables(context: Context) -> Iterator[Fault]:
    """Find levels with other variables than the rest, or variables of another type, size or packing."""
    for pyramid in context.pyramids:
        levels = layouts.levels(context, pyramid)
        groups = [level for level in levels if not level.node.is_array]
        late = entries.late(context, pyramid)
        yield from _late(context, late)
        yield from _membership(groups, late)
        holders: dict[str, list[Node]] = {}
        for level in levels:
            for name, array in _rasters(context, level).items():
                holders.setdefault(name, []).append(array)
        for name in sorted(holders):
            yield from _differences(context, holders[name])


def _values(context: Context, variable: Node, step: float, first: float, relies: tuple[Place, ...]) -> Iterator[Fault]:
    try:
        found = samples.read(context, variable)
    except ChunkReadError as error:
        yield Fault(
            variable.path, (), f"the coordinates cannot be read: {error.reason}", None, "numbers", relies=relies
        )
        return
    size = (context.shape(variable) or (0,))[0]
    expected = tuple(first + index * step for index in samples.positions(size))
    if found is not None and not sites.are_near(found, expected, abs(step)):
        where = f"at {list(samples.positions(size))}"
        message = f"the coordinates are not the centres of the cells {where}"
        yield Fault(variable.path, (), message, list(found), f"{list(expected)}", relies=relies)


def _parameters(context: Context, node: Node, crs: CRS) -> Iterator[Fault]:
    """Compare the numbers of a grid mapping with those of a CRS."""
    for key, expected in references.cf_parameters(crs.wkt2).items():
        if key.endswith("_name") and key != "grid_mapping_name":
            continue
        found = context.attribute(node, key, lambda value: value)
        if found is not None and not _is_same_parameter(key, found, expected):
            message = f"{key} is not that of the CRS that proj states"
            voids = tuple((node.path, ("attributes", other)) for other in node.attributes)
            yield Fault(node.path, ("attributes", key), message, found, f"{expected}", voids=voids)
            return


def _is_same_parameter(key: str, found: Any, expected: Any) -> bool:
    if isinstance(expected, str):
        return bool(found == expected)
    ours = expected if isinstance(expected, list | tuple) else [expected]
    theirs = values.numbers(found if isinstance(found, list) else [found])
    if theirs is None or len(theirs) != len(ours):
        return False
    turn = 360.0 if key.startswith(("longitude", "straight_vertical")) else math.inf
    # The order of two standard parallels has no meaning.
    pairs = zip(sorted(theirs), sorted(ours), strict=True)
    return all(math.isclose(x % turn, y % turn, rel_tol=sites.RELATIVE, abs_tol=1e-9) for x, y in pairs)


def _late(context: Context, late: Mapping[str, Level]) -> Iterator[Fault]:
    """Tell of variables that begin at a coarser level, as bands of another resolution do: not all readers find them."""
    for name, level in late.items():
        if context.rasters([level.arrays[name]]):
            message = "the variable begins at a coarser level: readers of the finest one do not see it"
            yield Fault(level.arrays[name].path, (), message, level.asset, "", severity=Severity.INFO, keeps=True)


def _membership(levels: list[Level], late: Container[str]) -> Iterator[Fault]:
    """Compare the names of the arrays in each level; most levels, or the finest, say what belongs there."""
    for name in sorted({name for level in levels for name in level.names if name not in late}):
        votes = [((level.node.path, (name,)), name in level.names) for level in levels]
        consensus = sites.majority(votes, lambda a, b: a == b)
        for (path, _), is_there in consensus.dissenters if consensus else ():
            message = f"the level has a variable {name!r} that others have not"
            if not is_there:
                message = f"the level lacks the variable {name!r} of the others"
            found = "present" if is_there else None
            relies = ((f"{path}/{name}", ()), (path, ("node_type",)))
            expected = f"{name!r} at every level or at none"
            yield Fault(path, ("attributes",), message, found, expected, relies=relies, keeps=True)


def _rasters(context: Context, level: Level) -> dict[str, Node]:
    """Rasters of a level by name; an array that is a level by itself has none to tell it by."""
    rasters = context.rasters(level.arrays.values())
    return {"" if level.node.is_array else array.name: array for array in rasters}


def _differences(context: Context, holders: list[Node]) -> Iterator[Fault]:
    """Compare one variable over all levels: type, other axes, fill value, packing, units, grid mapping."""
    facts: list[tuple[tuple[str, ...], str, Callable[[Node], Any]]] = [
        (("attributes",), "presence of attributes", lambda node: bool(node.attributes)),
        (("data_type",), "data type", lambda node: node.document.get("data_type")),
        (("dimension_names",), "order of axes", lambda node: node.document.get("dimension_names")),
        (("shape",), "size of other axes", lambda node: _other_sizes(context, node)),
    ]
    facts += [(("attributes", key), key, partial(_stated, key=key)) for key in _COMPARED]
    for pointer, what, fact in facts:
        votes = [((array.path, pointer), fact(array)) for array in holders if not context.is_void(array.path, *pointer)]
        consensus = sites.majority(votes, values.same_json)
        for (path, _), found in consensus.dissenters if consensus else ():
            expected = consensus.value if consensus is not None else None
            message = f"the {what} is not that of the other levels"
            yield Fault(path, pointer, message, _single(found), f"{_single(expected)}")


def _other_sizes(context: Context, array: Node) -> Any:
    spatial, names = context.spatial_dimensions(array), context.dimension_names(array)
    shape = context.shape(array) or ()
    if spatial is None or names is None:
        return list(shape[:-2])
    return [size for name, size in zip(names, shape, strict=True) if name not in spatial]


def _stated(node: Node, key: str) -> list[Any]:
    """Value of an attribute in a list, which is empty where the attribute is absent."""
    return [node.attributes[key]] if key in node.attributes else []


def _single(found: Any) -> Any:
    """Take a value out of the list that tells absent from null."""
    if isinstance(found, list) and len(found) <= 1:
        return found[0] if found else None
    return found


_XC = "derived"
_GEOMETRY = Depth.GEOMETRY
RULES = (
    Rule("XC-06", _XC, "Coordinate variables hold the centres of the cells", check_coordinates, depth=_GEOMETRY),
    Rule("XC-08", _XC, "The CF grid mapping and proj describe one CRS", check_crs, depth=_GEOMETRY),
    Rule(
        "XC-10",
        _XC,
        "Levels hold the same variables from where each begins, alike but in size",
        check_variables,
        depth=_GEOMETRY,
    ),
)
