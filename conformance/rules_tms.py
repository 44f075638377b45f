"""Rules on the inline tile matrix set: form, arithmetic, CRS, registered numbers (OGC 17-083r4, TMS 2.0)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from conformance import references, sites, tile_matrices, values
from conformance.report import Fault, Rule, Severity
from geozarr.conventions import spatial
from geozarr.tms import PIXEL_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.layouts import Pyramid
    from conformance.report import Place
    from conformance.tile_matrices import Matrix, TileSet
    from geozarr.crs import CRS

_SIZES = ("tileWidth", "tileHeight", "matrixWidth", "matrixHeight")
_EXACT = 1e-12  # registered numbers are compared to full double precision; 1e-14 is the noise of two printings
_ARITHMETIC = 1e-7  # between scaleDenominator and cellSize; 6 of the 10 registered sets agree to 1e-10
_ROUNDED = 1e-4  # up to here a scaleDenominator is merely rounded, as in CDB1GlobalGrid (8e-5)
# Scale denominator of the coarsest scale, each further one half of it (17-083r4, Annex C).
_SCALE_SETS = {
    "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible": 559082264.028717,
    "http://www.opengis.net/def/wkss/OGC/1.0/GoogleCRS84Quad": 559082264.028717,
}


def check_set(context: Context) -> Iterator[Fault]:
    """Find sets that are no object, or have no CRS or matrices."""
    for pyramid in context.layouts:
        found, pointer = tile_matrices.stated(pyramid), tile_matrices.set_pointer(pyramid)
        if isinstance(found, str):
            message = "the tile matrix set is a name, as in GeoZarr 0.4; OpenLayers fails on it"
            severity = Severity.WARNING
            yield Fault(pyramid.node.path, pointer, message, found, "the TMS 2.0 document inline", severity=severity)
        elif pointer[-1] in pyramid.multiscales and not isinstance(found, dict):
            yield Fault(pyramid.node.path, pointer, "the tile matrix set is no object", found, "a TMS 2.0 document")
        elif isinstance(found, dict):
            matrices = found.get("tileMatrices")
            if "crs" not in found and "tileMatrices" not in found:
                message = "the tile matrix set has neither crs nor matrices"
                yield Fault(pyramid.node.path, pointer, message, found, "a TMS 2.0 document")
                continue
            if "crs" not in found:
                yield Fault(pyramid.node.path, (*pointer, "crs"), "the tile matrix set has no crs", None, "a CRS")
            if not isinstance(matrices, list) or not matrices:
                expected = "an array of at least one"
                yield Fault(
                    pyramid.node.path, (*pointer, "tileMatrices"), "there are no tile matrices", matrices, expected
                )


def check_matrices(context: Context) -> Iterator[Fault]:
    """Find tile matrices that lack a member or have one of another form."""
    for tile_set in tile_matrices.read_all(context):
        node = tile_set.pyramid.node.path
        listed = tile_set.document.get("tileMatrices")
        for index, item in enumerate(listed if isinstance(listed, list) else ()):
            if not isinstance(item, dict):
                yield Fault(
                    node, tile_set.pointer("tileMatrices", index), "a tile matrix is no object", item, "an object"
                )
                continue
            malformed = list(_malformed(item))
            missing = [key for key, _ in malformed if key not in item]
            if len(missing) > 1:
                message = f"a tile matrix has no {', no '.join(missing)}"
                yield Fault(
                    node, tile_set.pointer("tileMatrices", index), message, item, "all members of a tile matrix"
                )
                continue
            for key, expected in malformed:
                message = f"{key} is missing" if key not in item else f"{key} is malformed"
                yield Fault(node, tile_set.pointer("tileMatrices", index, key), message, item.get(key), expected)


def check_corner(context: Context) -> Iterator[Fault]:
    """Find corners of origin other than the two that there are."""
    for tile_set, matrix in tile_matrices.matrices(context):
        found = matrix.document.get("cornerOfOrigin", "topLeft")
        if found not in ("topLeft", "bottomLeft"):
            voids = (tile_set.place(matrix, "pointOfOrigin"),)
            pointer = matrix.pointer("cornerOfOrigin")
            expected = '"topLeft" or "bottomLeft"'
            yield Fault(tile_set.pyramid.node.path, pointer, "unknown corner of origin", found, expected, voids=voids)


def check_crs(context: Context) -> Iterator[Fault]:
    """Find CRS of a set that are none of the three forms, or that PROJ does not know."""
    for tile_set in tile_matrices.read_all(context):
        found = tile_set.document.get("crs")
        if "crs" not in tile_set.document or tile_set.crs is not None:
            continue
        is_reference = isinstance(found, dict) and isinstance(found.get("referenceSystem"), dict)
        message = "a referenceSystem defines no CRS" if is_reference else "the crs gives no horizontal CRS"
        severity = Severity.WARNING if is_reference else Severity.ERROR
        expected = 'an OGC URI, {"uri": ...} or {"wkt": PROJJSON}'
        yield Fault(tile_set.pyramid.node.path, tile_set.pointer("crs"), message, found, expected, severity=severity)


def check_one_crs(context: Context) -> Iterator[Fault]:
    """Find sets in another CRS than their pyramid, and scale sets that a set names but does not follow."""
    for tile_set in tile_matrices.read_all(context):
        node = tile_set.pyramid.node.path
        crs = _crs_of(context, tile_set.pyramid)
        if crs is not None and tile_set.crs is not None and not references.are_same_place(crs, tile_set.crs):
            message = "the tile matrix set has another CRS than the pyramid"
            yield Fault(node, tile_set.pointer("crs"), message, str(tile_set.crs), str(crs))
        name = tile_set.document.get("wellKnownScaleSet")
        first = _SCALE_SETS.get(name) if isinstance(name, str) else None
        scales = [matrix.scale_denominator for matrix in tile_set.matrices if matrix.scale_denominator is not None]
        odd = [scale for scale in scales if first is not None and not _is_power_of_two(first / scale)]
        if odd:
            message = "scales are not of the well-known scale set"
            pointer = tile_set.pointer("wellKnownScaleSet")
            yield Fault(node, pointer, message, odd, f"{first} divided by powers of 2")


def check_origin_order(context: Context) -> Iterator[Fault]:
    """Find origins that only make sense with their two numbers exchanged."""
    for tile_set in tile_matrices.read_all(context):
        box = context.attribute(tile_set.pyramid.node, spatial.BBOX, values.bbox)
        swapped = [matrix for matrix in tile_set.matrices if _is_swapped(tile_set, matrix, box)]
        if swapped:
            message = f"pointOfOrigin is not in the axis order of the CRS (in {len(swapped)} matrices)"
            voids = tuple(tile_set.place(matrix, "pointOfOrigin") for matrix in swapped)
            found = swapped[0].document["pointOfOrigin"]
            pointer = swapped[0].pointer("pointOfOrigin")
            node = tile_set.pyramid.node.path
            yield Fault(
                node, pointer, message, found, f"{found[::-1]}", relies=((node, tile_set.pointer("crs")),), voids=voids
            )


def check_registered(context: Context) -> Iterator[Fault]:
    """Find sets that name a registered one but have other numbers."""
    for tile_set in tile_matrices.read_all(context):
        if tile_set.registered is None:
            continue
        official = {matrix.id: matrix for matrix in tile_set.registered.tileMatrices}
        for matrix in tile_set.matrices:
            if matrix.id is None:
                continue
            if matrix.id not in official:
                message = f"{tile_set.registered.id} has no such matrix"
                expected = f"one of {', '.join(official)}"
                yield Fault(tile_set.pyramid.node.path, matrix.pointer("id"), message, matrix.id, expected)
                continue
            registered = official[matrix.id]
            expected_numbers: dict[str, float] = {
                key: getattr(registered, key) for key in ("scaleDenominator", "cellSize", *_SIZES)
            }
            for key, expected_number in expected_numbers.items():
                found = values.number(matrix.document.get(key))
                if found is not None and not math.isclose(found, expected_number, rel_tol=_EXACT):
                    message = f"{key} is not that of {tile_set.registered.id}"
                    voids = (tile_set.place(matrix, "scaleDenominator"),) if key == "cellSize" else ()
                    pointer = matrix.pointer(key)
                    yield Fault(tile_set.pyramid.node.path, pointer, message, found, f"{expected_number}", voids=voids)


def check_unique(context: Context) -> Iterator[Fault]:
    """Find ids and scales that two matrices share."""
    for tile_set in tile_matrices.read_all(context):
        for key, values_of in (
            ("id", [(matrix, matrix.id) for matrix in tile_set.matrices]),
            ("scaleDenominator", [(matrix, matrix.scale_denominator) for matrix in tile_set.matrices]),
        ):
            seen: dict[Any, Matrix] = {}
            for matrix, value in values_of:
                if value in seen:
                    voids = (tile_set.place(seen[value], key),)
                    message = f"two matrices have one {key}"
                    pointer = matrix.pointer(key)
                    yield Fault(tile_set.pyramid.node.path, pointer, message, value, "each once", voids=voids)
                if value is not None:
                    seen.setdefault(value, matrix)


def check_scale(context: Context) -> Iterator[Fault]:
    """Find scale denominators that do not follow from the cell size (17-083r4, 6.1.1)."""
    for tile_set in tile_matrices.read_all(context):
        if tile_set.crs is None:
            continue
        off = [
            (matrix, error)
            for matrix in tile_set.matrices
            if (error := _scale_error(matrix, tile_set.crs)) > _ARITHMETIC
        ]
        if not off:
            continue
        worst = max(error for _, error in off)
        severity = Severity.WARNING if worst <= _ROUNDED else Severity.ERROR
        if tile_set.registered is not None:
            severity = Severity.INFO  # the standard's own sets are not all clean
        first = off[0][0]
        metres = tile_set.crs.metres_per_unit
        message = f"scaleDenominator and cellSize disagree (in {len(off)} matrices, by up to {worst:.2g})"
        # One odd matrix may have either wrong; in many it is the scale, from which no position follows.
        voids: tuple[Place, ...] = (tile_set.place(first, "cellSize"),) if len(off) == 1 else ()
        voids += tuple(tile_set.place(matrix, "scaleDenominator") for matrix, _ in off)
        expected = f"{(first.cell_size or 0) * metres / PIXEL_SIZE}, cellSize x {metres} m / 0.28 mm"
        pointer = first.pointer("scaleDenominator")
        node = tile_set.pyramid.node.path
        yield Fault(node, pointer, message, first.scale_denominator, expected, severity=severity, voids=voids)


def check_bounding_box(context: Context) -> Iterator[Fault]:
    """Find bounding boxes outside the matrices; they are informative and place nothing."""
    for tile_set in tile_matrices.read_all(context):
        stated = tile_set.document.get("boundingBox")
        extents = [matrix.extent for matrix in tile_set.matrices]
        if not isinstance(stated, dict) or tile_set.crs is None or not extents or None in extents:
            continue
        other = tile_matrices.crs_of(stated["crs"]) if "crs" in stated else tile_set.crs
        if other is None or not references.are_same(other, tile_set.crs):
            continue
        low, high = (values.numbers(stated.get(key), count=2) for key in ("lowerLeft", "upperRight"))
        if low is None or high is None:
            message = "the bounding box is malformed"
            pointer = tile_set.pointer("boundingBox")
            yield Fault(
                tile_set.pyramid.node.path, pointer, message, stated, "lowerLeft and upperRight, two numbers each"
            )
            continue
        order = slice(None, None, -1) if tile_set.crs.is_northing_first else slice(None)
        box = (*low[order], *high[order])
        known = [extent for extent in extents if extent is not None]
        outer = (*(min(e[i] for e in known) for i in (0, 1)), *(max(e[i] for e in known) for i in (2, 3)))
        slack = max(outer[2] - outer[0], outer[3] - outer[1]) * 1e-6
        is_inside = all(box[i] >= outer[i] - slack and box[i + 2] <= outer[i + 2] + slack for i in (0, 1))
        if not is_inside or box[0] > box[2] or box[1] > box[3]:
            message = "the bounding box does not lie in the matrices"
            expected = f"a box within {list(outer)}, x first"
            yield Fault(tile_set.pyramid.node.path, tile_set.pointer("boundingBox"), message, stated, expected)


def _malformed(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if values.text(item.get("id")) is None:
        yield "id", "a string"
    for key in ("scaleDenominator", "cellSize"):
        if values.positive(item.get(key)) is None:
            yield key, "a number above 0"
    if values.numbers(item.get("pointOfOrigin"), count=2) is None:
        yield "pointOfOrigin", "two numbers in the axis order of the CRS"
    for key in _SIZES:
        if values.whole(item.get(key), least=1) is None:
            yield key, "a whole number of at least 1"


def _scale_error(matrix: Matrix, crs: CRS) -> float:
    """Relative distance between the cell size and the one that the scale denominator means; 0 where unknown."""
    if matrix.cell_size is None or matrix.scale_denominator is None:
        return 0.0
    return abs(matrix.cell_size * crs.metres_per_unit / (matrix.scale_denominator * PIXEL_SIZE) - 1)


def _is_swapped(tile_set: TileSet, matrix: Matrix, box: values.BBox | None) -> bool:
    """Tell whether only the exchanged origin puts a matrix where the data are, or on the globe."""
    if matrix.origin is None or tile_set.crs is None:
        return False
    x, y = matrix.origin
    stated, exchanged = matrix.extent, tile_matrices.extent_at(matrix, (y, x))
    if stated is None or exchanged is None or x == y:
        return False
    if tile_set.crs.is_geographic and abs(y) > 90 >= abs(x):
        return True
    return box is not None and not _overlap(stated, box) and _overlap(exchanged, box)


def _overlap(a: values.BBox, b: values.BBox) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _is_power_of_two(ratio: float) -> bool:
    power = math.log2(ratio)
    return abs(power - round(power)) < 1e-9 and round(power) >= 0


def _crs_of(context: Context, pyramid: Pyramid) -> CRS | None:
    own = context.own_crs(pyramid.node)
    if own is not None:
        return own
    found = (
        sites.crs(context, site)
        for site in sites.sites(context)
        if site.level is not None and site.level.pyramid.node.path == pyramid.node.path
    )
    return next((crs for crs in found if crs is not None), None)


_TMS = "OGC 17-083r4"
RULES = (
    Rule("TMS-01", f"{_TMS} 6.2; GeoZarr 0.4 key", "A tile matrix set has a CRS and matrices", check_set),
    Rule("TMS-02", f"{_TMS} schema tileMatrix.json", "A tile matrix has all its members", check_matrices),
    Rule("TMS-04", f"{_TMS} 6.2", "cornerOfOrigin is topLeft or bottomLeft", check_corner),
    Rule("TMS-07", f"{_TMS} schema crs.json", "The crs is a URI or PROJJSON that PROJ knows", check_crs),
    Rule("TMS-11", f"{_TMS} 6.2", "The set and the pyramid have one CRS", check_one_crs),
    Rule("TMS-06", f"{_TMS} 6.2", "pointOfOrigin is in the axis order of the CRS", check_origin_order),
    Rule("TMS-16", f"{_TMS} Annex D", "A registered set has the registered numbers", check_registered),
    Rule("TMS-03", f"{_TMS} requirement 1", "Ids and scales are unique", check_unique),
    Rule("TMS-05", f"{_TMS} 6.1.1", "cellSize = scaleDenominator x 0.28 mm / metres per unit", check_scale),
    Rule("TMS-08", f"{_TMS} 6.2", "The bounding box lies in the matrices", check_bounding_box, Severity.WARNING),
)
