"""Geometries that requests bring: GeoJSON read within bounds, carried to another CRS, and cut to what can be burnt.

A straight line of one CRS is a curve in another, so lines get more points before they are carried over, each half of a
piece where its middle would be off by more than is asked for. Around the globe, lines are followed: what goes beyond
the edge of a CRS counts on, as in `tiler.footprint`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr.errors import ParameterError
from geozarr.grid import Bounds
from tiler import projection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from affine import Affine
    from numpy.typing import NDArray

    from geozarr import CRS
    from tiler.projection import Cylinder

MAX_POSITIONS = 20_000
MAX_DEPTH = 4  # collections in collections
_MOST_POINTS = 100_000  # that a geometry has once its lines have been followed
_MOST_HALVINGS = 16  # of a piece of a line
_FIRST_CUTS = 8  # pieces of each line to begin with, since the middle of an S is on its chord
_FAR = 2.0**30  # cells; beyond twice as many, GDAL's polygon filler overflows and burns nothing
_NAME = "geometry"

# How deep positions are nested, what the innermost lists make, and how many positions they have at least (RFC 7946,
# section 3.1; a ring that is not closed is closed).
_KINDS = {
    "Point": (0, "Point", 1),
    "MultiPoint": (0, "Point", 1),
    "LineString": (1, "LineString", 2),
    "MultiLineString": (1, "LineString", 2),
    "Polygon": (2, "Polygon", 4),
    "MultiPolygon": (2, "Polygon", 4),
}


@dataclass(frozen=True, eq=False)
class Part:
    """A point, a line or a polygon.

    Parameters
    ----------
    kind : str
        "Point", "LineString" or "Polygon".
    lines : tuple of ndarray of float64, shape (position, 2)
        x and y: of the point, of the line, of the polygon's outer ring and its holes.
    """

    kind: str
    lines: tuple[NDArray[np.float64], ...]

    @property
    def bounds(self) -> Bounds:
        """Box around it."""
        outer = self.lines[0]
        return Bounds(*map(float, (*outer.min(axis=0), *outer.max(axis=0))))


def parts_of(document: Any) -> tuple[Part, ...]:
    """Read a GeoJSON geometry or feature.

    Parameters
    ----------
    document : object
        Parsed JSON.

    Returns
    -------
    tuple of Part
        At least one.

    Raises
    ------
    ParameterError
        If it is something else (RFC 7946), has more than `MAX_POSITIONS` positions, numbers that are not finite, or
        collections nested deeper than `MAX_DEPTH`.
    """
    geometry = document.get("geometry") if isinstance(document, Mapping) and "geometry" in document else document
    budget = MAX_POSITIONS
    found = []
    for kind, coordinates in _geometries(geometry, MAX_DEPTH):
        part, budget = _part(kind, coordinates, budget)
        found.append(part)
    return tuple(found)


def _geometries(geometry: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Points, lines and polygons with their coordinates, out of all that hold several."""
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if kind == "GeometryCollection":
        geometries = geometry.get("geometries")
        if depth == 0 or not _is_list(geometries, 1):
            expected = f"1 or more geometries, in at most {MAX_DEPTH} collections"
            raise ParameterError(_NAME, found=geometries, expected=expected)
        for part in geometries:
            yield from _geometries(part, depth - 1)
        return
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ParameterError(_NAME, found=geometry, expected=f"GeoJSON of type {', '.join(_KINDS)}")
    coordinates = geometry.get("coordinates")
    if not kind.startswith("Multi"):
        yield kind, coordinates
        return
    if not _is_list(coordinates, 1):
        raise ParameterError(_NAME, found=coordinates, expected=f"coordinates of a {kind}")
    for part in coordinates:
        yield kind, part


def _part(kind: str, coordinates: Any, budget: int) -> tuple[Part, int]:
    """Read one part; return how many positions are left of those that a geometry may have."""
    depth, simple, least = _KINDS[kind]
    if depth == 2 and not _is_list(coordinates, 1):
        raise ParameterError(_NAME, found=coordinates, expected=f"coordinates of a {kind}")
    lines = []
    for positions in ([[coordinates]], [coordinates], coordinates)[depth]:
        if not _is_list(positions, least):
            raise ParameterError(_NAME, found=positions, expected=f"coordinates of a {kind}: {least} or more positions")
        budget -= len(positions)
        if budget < 0:
            raise _too_many()
        lines.append(np.array([_position(position) for position in positions]))
    if simple == "Polygon":
        lines = [line if (line[0] == line[-1]).all() else np.vstack([line, line[:1]]) for line in lines]
    return Part(simple, tuple(lines)), budget


def _position(value: Any) -> tuple[float, float]:
    is_position = _is_list(value, 2) and len(value) <= 4 and all(map(_is_number, value))
    if not is_position:
        raise ParameterError(_NAME, found=value, expected=f"2 to 4 numbers within {projection.FAR:g}")
    return float(value[0]), float(value[1])


def _is_list(value: Any, least: int) -> bool:
    return isinstance(value, list | tuple) and len(value) >= least


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return is_real and bool(abs(value) < projection.FAR)


def _too_many() -> ParameterError:
    return ParameterError(_NAME, found="more", expected=f"at most {MAX_POSITIONS} positions")


def bounds_of(parts: Sequence[Part], crs: CRS | None) -> Bounds:
    """Box around parts; around the globe the shortest one, since RFC 7946 has them cut at the antimeridian."""
    boxes = np.array([part.bounds for part in parts])
    plain = Bounds(*map(float, (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))))
    cylinder = None if crs is None else projection.cylinder_of(crs)
    widths = boxes[:, 2] - boxes[:, 0]
    if cylinder is None or len(parts) == 1 or widths.max() >= cylinder.turn:
        return plain
    turn, west = cylinder.turn, cylinder.centre - cylinder.turn / 2
    starts = np.mod(boxes[:, 0] - west, turn)
    order = np.argsort(starts)
    starts, ends = starts[order], np.maximum.accumulate((starts + widths)[order])
    ends = np.maximum(ends, ends[-1] - turn)  # what ends in the next turn covers the beginning of this one
    gaps = np.append(starts[1:], starts[0] + turn) - ends
    after = int(np.argmax(gaps))
    width = turn - float(gaps[after])
    if width >= (plain.xmax - plain.xmin) * (1 - 1e-9):
        return plain
    first = west + float(starts[(after + 1) % len(starts)])
    return Bounds(first, plain.ymin, first + width, plain.ymax)


def carried(parts: Sequence[Part], source: CRS, target: CRS, *, tolerance: float) -> tuple[Part, ...]:
    """Carry parts to another CRS.

    Parameters
    ----------
    parts : sequence of Part
        In `source`.
    source, target : CRS
        Any two.
    tolerance : float
        Units of `target` that the middle of a piece of a line may be off.

    Returns
    -------
    tuple of Part
        In `target`, x counting on beyond its edge; positions that have no image are left out, and parts of which
        nothing is left.

    Raises
    ------
    ParameterError
        If a ring goes around the globe in `target` and holds no pole.
    UnsupportedError
        If there is no transformation between the two CRS.
    """
    if projection.is_same_place(source, target):
        return tuple(parts)
    cylinder = projection.cylinder_of(target)
    lines = [line for part in parts for line in part.lines]
    dense = _followed(lines, source, target, cylinder, tolerance)
    poles = projection.poles(source, target)
    made = []
    for part in parts:
        own = [next(dense) for _ in part.lines]
        rings = [_with_pole(*line, poles, cylinder) if part.kind == "Polygon" else line[1] for line in own]
        least = {"Point": 1, "LineString": 2, "Polygon": 4}[part.kind]
        if len(rings[0]) >= least:
            made.append(replace(part, lines=tuple(ring for ring in rings if len(ring) >= least)))
    return tuple(made)


def _followed(
    lines: Sequence[NDArray[np.float64]], source: CRS, target: CRS, cylinder: Cylinder | None, tolerance: float
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Points of lines and their images, shape (point, 2) each, as many as it takes."""
    number = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    points = np.concatenate(lines)
    cuts = max(1, min(_FIRST_CUTS, _MOST_POINTS // 2 // len(points)))
    points, number = _cut(points, number, cuts)
    images = _images(points, source, target)
    for _ in range(_MOST_HALVINGS):
        middles = (points[:-1] + points[1:]) / 2
        between = _images(middles, source, target)
        with np.errstate(invalid="ignore"):
            before, behind = _steps(images[:-1], between, cylinder), _steps(between, images[1:], cylinder)
            off = np.abs(before - behind).max(axis=1) / 2  # NaN where an end has no image
        start, middle, end = (np.isfinite(one[:, 0]) for one in (images[:-1], between, images[1:]))
        at = np.flatnonzero(~(off <= tolerance) & (start | middle | end) & (number[:-1] == number[1:]))
        if not at.size or len(points) + at.size > _MOST_POINTS:
            break
        points = np.insert(points, at + 1, middles[at], axis=0)
        images = np.insert(images, at + 1, between[at], axis=0)
        number = np.insert(number, at + 1, number[at])
    has_image = np.isfinite(images).all(axis=1)
    points, images, number = points[has_image], images[has_image], number[has_image]
    ends = np.searchsorted(number, np.arange(len(lines) + 1))
    for start, stop in pairwise(ends):
        image = images[start:stop]
        if cylinder is not None and len(image):
            image = np.column_stack([np.unwrap(image[:, 0], period=cylinder.turn), image[:, 1]])
        yield points[start:stop], image


def _cut(
    points: NDArray[np.float64], number: NDArray[np.intp], count: int
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Cut each piece of each line into so many."""
    if len(points) < 2:
        return points, number
    share = np.arange(count) / count
    steps = np.where((number[1:] == number[:-1])[:, np.newaxis], np.diff(points, axis=0), 0.0)
    cut = (points[:-1, np.newaxis] + share[:, np.newaxis] * steps[:, np.newaxis]).reshape(-1, 2)
    keep = np.append(np.repeat(number[1:] == number[:-1], count) | (np.arange(len(cut)) % count == 0), True)
    return np.vstack([cut, points[-1:]])[keep], np.append(np.repeat(number[:-1], count), number[-1])[keep]


def _images(points: NDArray[np.float64], source: CRS, target: CRS) -> NDArray[np.float64]:
    return np.column_stack(projection.transform(points[:, 0].copy(), points[:, 1].copy(), source, target))


def _steps(start: NDArray[np.float64], stop: NDArray[np.float64], cylinder: Cylinder | None) -> NDArray[np.float64]:
    """Differences of points, the short way around the globe."""
    step = stop - start
    if cylinder is not None:
        step[:, 0] -= np.round(step[:, 0] / cylinder.turn) * cylinder.turn
    return step


def _with_pole(
    ring: NDArray[np.float64],
    image: NDArray[np.float64],
    poles: Sequence[projection.Pole],
    cylinder: Cylinder | None,
) -> NDArray[np.float64]:
    """Lead a ring that has gone around the globe back over the pole that it holds."""
    if cylinder is None or not len(image) or abs(image[-1, 0] - image[0, 0]) < cylinder.turn / 2:
        return image
    for pole in poles:
        if pole.is_point and _is_inside(*pole.places[0], ring):
            end = cylinder.north if pole.is_north else cylinder.south
            return np.vstack([image, [(image[-1, 0], end), (image[0, 0], end), image[0]]])
    raise ParameterError(_NAME, found="a ring around the globe", expected="one that holds a pole")


def _is_inside(x: float, y: float, ring: NDArray[np.float64]) -> bool:
    """Tell whether a point is in a closed ring: a ray from it crosses an odd number of sides."""
    (x0, y0), (x1, y1) = ring[:-1].T, ring[1:].T
    crosses = (y0 > y) != (y1 > y)
    at = x0[crosses] + (y - y0[crosses]) * (x1[crosses] - x0[crosses]) / (y1[crosses] - y0[crosses])
    return bool((at > x).sum() % 2)


def repeated(parts: Sequence[Part], box: Bounds, crs: CRS) -> Iterator[Part]:
    """Parts as often as the globe brings them into a box."""
    cylinder = projection.cylinder_of(crs)
    for part in parts:
        if cylinder is None:
            yield part
            continue
        bounds, turn = part.bounds, cylinder.turn
        first, last = math.ceil((box.xmin - bounds.xmax) / turn), math.floor((box.xmax - bounds.xmin) / turn)
        for turns in range(first, min(last, first + 4) + 1):
            shift = np.array([turns * turn, 0.0])
            yield part if turns == 0 else replace(part, lines=tuple(line + shift for line in part.lines))


def to_document(part: Part, transform: Affine) -> dict[str, Any] | None:
    """Write a part as GeoJSON that GDAL can burn.

    Parameters
    ----------
    part : Part
        A part.
    transform : Affine
        Of the grid that it is burnt into. What lies farther from its corner than GDAL counts is cut off.

    Returns
    -------
    dict or None
        None where nothing is left.
    """
    cells = [_applied(~transform, line) for line in part.lines]
    if all((np.abs(line) < _FAR).all() for line in cells):
        lines = [line.tolist() for line in part.lines]
        coordinates = {"Point": lines[0][0], "LineString": lines[0], "Polygon": lines}[part.kind]
        return {"type": part.kind, "coordinates": coordinates}
    if part.kind == "Polygon":
        rings = [_applied(transform, ring).tolist() for ring in map(_cut_ring, cells) if len(ring)]
        return {"type": "Polygon", "coordinates": rings} if rings else None
    pieces = _cut_line(cells[0])
    if not len(pieces):
        return None
    return {"type": "MultiLineString", "coordinates": [_applied(transform, piece).tolist() for piece in pieces]}


def _applied(transform: Affine, points: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, c, d, e, f = tuple(transform)[:6]
    return np.column_stack([a * points[:, 0] + b * points[:, 1] + c, d * points[:, 0] + e * points[:, 1] + f])


def _cut_ring(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut a closed ring at the four sides of a square of twice `_FAR`.

    References
    ----------
    Sutherland and Hodgman, Reentrant Polygon Clipping, CACM 17 (1974).
    """
    ring = ring[:-1]
    for axis, sign in ((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)):
        following = np.roll(ring, -1, axis=0)
        out, out_next = sign * ring[:, axis] - _FAR, sign * following[:, axis] - _FAR
        crosses = (out <= 0) != (out_next <= 0)
        share = np.where(crosses, out / np.where(crosses, out - out_next, 1.0), 0.0)[:, np.newaxis]
        both = np.stack([ring, ring + share * (following - ring)], axis=1)
        ring = both[np.stack([out <= 0, crosses], axis=1)]
    return np.vstack([ring, ring[:1]])


def _cut_line(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut a line at the same sides; its pieces that are left, shape (piece, 2, 2).

    References
    ----------
    Liang and Barsky, A New Concept and Method for Line Clipping, ACM TOG 3 (1984).
    """
    start, step = line[:-1], np.diff(line, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = np.stack([(-_FAR - start) / step, (_FAR - start) / step])
    still = step == 0
    low = np.where(still, np.where(np.abs(start) <= _FAR, 0.0, 2.0), sides.min(axis=0)).max(axis=1)
    high = np.where(still, 1.0, sides.max(axis=0)).min(axis=1)
    low, high = np.maximum(low, 0.0)[:, np.newaxis], np.minimum(high, 1.0)[:, np.newaxis]
    kept = (low < high)[:, 0]
    cut: NDArray[np.float64] = np.stack([start + low * step, start + high * step], axis=1)[kept]
    return cut
