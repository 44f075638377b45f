"""Geolocation: a longitude and a latitude for each pixel, as swaths, curvilinear models and orbits come.

A position on the Earth is looked up in two steps. The nearest pixel centre is found among all, by a table of small
cubes in space, so that neither a pole nor the antimeridian is anything special; one that is further away than `limit`
is none. Then the position is solved for in the quadrilateral of four neighbouring centres that holds it, whose sides
are straight in the gnomonic projection around it, by the inverse of the bilinear map. At the outer edge, half a pixel
beyond the outermost centres follows of the last quadrilateral.

Where neighbouring scans overlap or gape (the bow-tie of whiskbroom scanners) no quadrilateral need hold a position: it
is then that of the nearest centre, not interpolated.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geozarr.crs import full_turn
from geozarr.errors import MetadataError
from pyramids.kernels import jit
from pyramids.placement import Placement, digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geozarr.crs import CRS

RADIUS = 6_371_008.8  # metres: mean radius of the Earth (IUGG), to state distances
_SHARE = 0.999  # of the distances between neighbours that are no longer than the limit
_MOST_SIDE = 4.0  # limits that a side of a quadrilateral may have: more is a gap between two parts of a swath
_STEPS = 12  # of Newton's method
_ROWS = 256  # that are worked on at a time
# Bytes: two coordinates, a vector, at most a key, a start and a member, and one more for while these are being made.
_PIXEL = 2 * 8 + 3 * 8 + 3 * 8 + 8
_EDGE = 0.5  # pixels that the outermost pixels reach beyond their centres


class Geolocation(Placement):
    """A longitude and a latitude for the centre of each pixel.

    Parameters
    ----------
    longitudes, latitudes : ndarray, shape (row, col)
        In the unit of the CRS, at least 2 x 2; NaN where a pixel has none.
    crs : CRS
        Geographic: what they mean.
    limit : float, optional
        Metres from the nearest pixel centre beyond which there is no position. By default the distance of two
        neighbouring centres that only one pair in a thousand exceeds.

    Raises
    ------
    MetadataError
        If the two are not of one shape, too small, out of range, or nearly all missing; if the CRS is not geographic.
    """

    kind = "geolocation"

    def __init__(
        self,
        longitudes: NDArray[np.float64],
        latitudes: NDArray[np.float64],
        crs: CRS,
        *,
        limit: float | None = None,
    ) -> None:
        if longitudes.shape != latitudes.shape or longitudes.ndim != 2 or min(longitudes.shape) < 2:
            shapes = (longitudes.shape, latitudes.shape)
            raise MetadataError("placement", "shape", found=shapes, expected="two arrays of one shape, at least 2 x 2")
        if not crs.is_geographic:
            raise MetadataError("placement", "crs", found=str(crs), expected="one of longitudes and latitudes")
        super().__init__((longitudes.shape[0], longitudes.shape[1]), crs)
        self._longitudes = np.ascontiguousarray(longitudes, np.float64)
        self._latitudes = np.ascontiguousarray(latitudes, np.float64)
        with np.errstate(invalid="ignore"):
            outside = (np.abs(self._latitudes) > full_turn(crs) / 4) | (np.abs(self._longitudes) > full_turn(crs))
        if outside.any():
            row, col = (int(number) for number in np.argwhere(outside)[0])
            found = (float(self._longitudes[row, col]), float(self._latitudes[row, col]))
            expected = "a longitude and a latitude, or NaN"
            raise MetadataError("placement", f"geolocation[{row}, {col}]", found=found, expected=expected)
        self._given = limit
        if not math.isfinite(self.limit):
            raise MetadataError("placement", "geolocation", found="no two neighbours", expected="pixels with both")

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._longitudes, self._latitudes, self.crs, self._given)

    @property
    def resident_bytes(self) -> int:
        """Longitudes, latitudes, vectors, and the table of cubes."""
        return self.height * self.width * _PIXEL

    @cached_property
    def _vectors(self) -> NDArray[np.float64]:
        """Unit vectors of the centres, shape (row, col, 3)."""
        return _to_vectors(self._longitudes, self._latitudes, full_turn(self.crs))

    @cached_property
    def limit(self) -> float:
        """Metres from the nearest pixel centre beyond which there is no position."""
        if self._given is not None:
            return self._given
        lengths = np.empty(2 * self.height * self.width - self.height - self.width)
        done = 0
        for start in range(0, self.height, _ROWS):  # all at once would take four times the memory
            part = self._vectors[start : start + _ROWS + 1]
            for steps in (part[1:] - part[:-1], part[:_ROWS, 1:] - part[:_ROWS, :-1]):
                found = np.linalg.norm(steps, axis=2).ravel()
                found = found[np.isfinite(found)]
                lengths[done : done + found.size] = found
                done += found.size
        return float(np.quantile(lengths[:done], _SHARE, overwrite_input=True)) * RADIUS if done else math.nan

    @cached_property
    def _cubes(self) -> _Cubes:
        return _Cubes.of(self._vectors.reshape(-1, 3), self.limit / RADIUS)

    def coordinates(
        self, cols: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Placement.coordinates`; between centres along straight lines, beyond the outermost of the last two."""
        shape = np.shape(cols)
        at_col, at_row = np.ravel(cols).astype(np.float64) - 0.5, np.ravel(rows).astype(np.float64) - 0.5
        left = np.clip(np.floor(at_col).astype(np.intp), 0, self.width - 2)
        top = np.clip(np.floor(at_row).astype(np.intp), 0, self.height - 2)
        u, v = (at_col - left)[:, None], (at_row - top)[:, None]
        p = self._vectors
        found = (p[top, left] * (1 - u) + p[top, left + 1] * u) * (1 - v)
        found += (p[top + 1, left] * (1 - u) + p[top + 1, left + 1] * u) * v
        longitudes = np.arctan2(found[:, 1], found[:, 0])
        latitudes = np.arctan2(found[:, 2], np.hypot(found[:, 0], found[:, 1]))
        unit = full_turn(self.crs) / math.tau
        return (longitudes * unit).reshape(shape), (latitudes * unit).reshape(shape)

    def positions(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `Placement.positions`; NaN beyond the outer edge, and further than `limit` from every centre."""
        shape = np.shape(x)
        wanted = _to_vectors(np.ravel(x), np.ravel(y), full_turn(self.crs))
        cols, rows = np.empty(wanted.shape[0]), np.empty(wanted.shape[0])
        cubes = self._cubes
        side = self.limit / RADIUS
        _locate(wanted, self._vectors, side, cubes.keys, cubes.starts, cubes.members, cols, rows)
        return cols.reshape(shape), rows.reshape(shape)

    def to_document(self) -> dict[str, Any]:
        """Return a description: the values themselves are the source's."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "wkt2": self.crs.wkt2,
            "digest": digest(self._longitudes, self._latitudes),
            "limit": self.limit,
        }


def _again(
    longitudes: NDArray[np.float64], latitudes: NDArray[np.float64], crs: CRS, limit: float | None
) -> Geolocation:
    return Geolocation(longitudes, latitudes, crs, limit=limit)


def _to_vectors(longitudes: NDArray[np.float64], latitudes: NDArray[np.float64], turn: float) -> NDArray[np.float64]:
    """Turn longitudes and latitudes into unit vectors, one axis more; NaN in all three where one is missing."""
    unit = math.tau / turn
    along, up = np.asarray(longitudes, np.float64) * unit, np.asarray(latitudes, np.float64) * unit
    with np.errstate(invalid="ignore"):
        found = np.empty((*along.shape, 3))
        np.cos(up, out=found[..., 0])
        np.multiply(found[..., 0], np.sin(along), out=found[..., 1])
        found[..., 0] *= np.cos(along)
        np.sin(up, out=found[..., 2])
        found[~np.isfinite(along + up)] = np.nan
    return found


class _Cubes(NamedTuple):
    """Points by the cubes in space that they lie in, sorted.

    Parameters
    ----------
    keys : ndarray of int64, shape (cube,)
        Which cubes hold any, growing.
    starts : ndarray of int64, shape (cube + 1,)
        Where the members of each begin.
    members : ndarray of int64, shape (point,)
        Numbers of points.
    """

    keys: NDArray[np.int64]
    starts: NDArray[np.int64]
    members: NDArray[np.int64]

    @classmethod
    def of(cls, points: NDArray[np.float64], side: float) -> _Cubes:
        """Sort points on the unit sphere, those that are NaN left out."""
        known = np.flatnonzero(np.isfinite(points[:, 0]))
        keys = _keys(points if known.size == len(points) else points[known], side)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        members = known[order].astype(np.int64)
        del known, order  # all of these are as large as the points
        begins = np.flatnonzero(np.diff(keys)) + 1
        starts = np.concatenate([[0], begins, [members.size]]) if members.size else np.zeros(1, np.int64)
        return cls(keys[starts[:-1]], starts.astype(np.int64), members)


_AXIS = 2**21  # cubes along an axis, at most: three axes fill the 63 bits of a key


def _keys(points: NDArray[np.float64], side: float) -> NDArray[np.int64]:
    found = np.zeros(points.shape[0], np.int64)
    for axis in range(3):
        found *= _AXIS
        found += np.floor((points[:, axis] + 1.0) / max(side, 4.0 / _AXIS)).astype(np.int64) + 1
    return found


@jit
def _nearest(x, y, z, points, side, keys, starts, members):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba infers
    """Find the number of the nearest point within `side`, the first of equals; -1 where there is none."""
    cube = max(side, 4.0 / _AXIS)
    i0, j0, k0 = np.floor((x + 1.0) / cube), np.floor((y + 1.0) / cube), np.floor((z + 1.0) / cube)
    best, least = -1, side * side
    for i in range(int(i0), int(i0) + 3):
        for j in range(int(j0), int(j0) + 3):
            first = (i * _AXIS + j) * _AXIS + int(k0)
            at = np.searchsorted(keys, first)
            while at < keys.shape[0] and keys[at] <= first + 2:
                for n in range(starts[at], starts[at + 1]):
                    member = members[n]
                    dx, dy, dz = points[member, 0] - x, points[member, 1] - y, points[member, 2] - z
                    distance = dx * dx + dy * dy + dz * dz
                    if distance < least or (distance == least and (best < 0 or member < best)):
                        best, least = member, distance
                at += 1
    return best


@jit
def _solve(ax, ay, bx, by, cx, cy, dx, dy):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Find (u, v) at which the bilinear map of corners a (0, 0), b (1, 0), c (0, 1), d (1, 1) is the origin."""
    ex, ey = bx - ax, by - ay
    fx, fy = cx - ax, cy - ay
    gx, gy = dx - cx - ex, dy - cy - ey
    u, v = 0.5, 0.5
    for _ in range(_STEPS):
        px, py = ax + u * ex + v * fx + u * v * gx, ay + u * ey + v * fy + u * v * gy
        ux, uy = ex + v * gx, ey + v * gy
        vx, vy = fx + u * gx, fy + u * gy
        determinant = ux * vy - uy * vx
        if determinant == 0.0:
            return np.nan, np.nan
        du, dv = (px * vy - py * vx) / determinant, (ux * py - uy * px) / determinant
        u, v = u - du, v - dv
        if abs(du) + abs(dv) < 1e-12:
            break
    if not (abs(du) + abs(dv) < 1e-9):
        return np.nan, np.nan
    return u, v


@jit
def _locate(wanted, vectors, side, keys, starts, members, cols, rows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Write the position of each wanted vector; NaN where it has none."""
    height, width = vectors.shape[0], vectors.shape[1]
    points = vectors.reshape(-1, 3)
    flat = np.empty((3, 3, 2))  # the nearest centre and those around it, seen from the wanted position
    for n in range(wanted.shape[0]):
        x, y, z = wanted[n, 0], wanted[n, 1], wanted[n, 2]
        cols[n], rows[n] = np.nan, np.nan
        if not np.isfinite(x):
            continue
        found = _nearest(x, y, z, points, side, keys, starts, members)
        if found < 0:
            continue
        row, col = divmod(found, width)
        # Two directions across the wanted one; whichever, since only positions along them are compared.
        if abs(z) < 0.9:
            length = np.sqrt(x * x + y * y)
            ex, ey, ez = -y / length, x / length, 0.0
        else:
            length = np.sqrt(y * y + z * z)
            ex, ey, ez = 0.0, -z / length, y / length
        nx, ny, nz = y * ez - z * ey, z * ex - x * ez, x * ey - y * ex
        for i in range(3):
            for j in range(3):
                flat[i, j, 0] = flat[i, j, 1] = np.nan
                r, c = row + i - 1, col + j - 1
                if r < 0 or c < 0 or r >= height or c >= width:
                    continue
                px, py, pz = vectors[r, c, 0], vectors[r, c, 1], vectors[r, c, 2]
                towards = px * x + py * y + pz * z
                if towards > 0.0:
                    flat[i, j, 0] = (px * ex + py * ey + pz * ez) / towards
                    flat[i, j, 1] = (px * nx + py * ny + pz * nz) / towards
        least, u, v = np.inf, 0.0, 0.0
        for i in range(2):
            for j in range(2):
                a, b, c, d = flat[i, j], flat[i, j + 1], flat[i + 1, j], flat[i + 1, j + 1]
                longest = max(
                    np.hypot(b[0] - a[0], b[1] - a[1]),
                    np.hypot(d[0] - c[0], d[1] - c[1]),
                    np.hypot(c[0] - a[0], c[1] - a[1]),
                    np.hypot(d[0] - b[0], d[1] - b[1]),
                )
                if not longest <= _MOST_SIDE * side:  # also where a corner is missing
                    continue
                s, t = _solve(a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1])
                off = max(-s, s - 1.0, -t, t - 1.0)
                if off < least:
                    least, u, v = off, j - 1 + s, i - 1 + t
        if least <= 1e-9:
            cols[n], rows[n] = col + 0.5 + u, row + 0.5 + v
        elif least <= _EDGE:
            _beyond(flat, row, col, u, v, n, cols, rows)


@jit
def _beyond(flat, row, col, u, v, n, cols, rows):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Place what no quadrilateral holds: beyond the outer edge, or between scans that do not fit together."""
    if abs(u) > _EDGE or abs(v) > _EDGE:
        beyond_row = (v < -_EDGE and np.isnan(flat[0, 1, 0])) or (v > _EDGE and np.isnan(flat[2, 1, 0]))
        beyond_col = (u < -_EDGE and np.isnan(flat[1, 0, 0])) or (u > _EDGE and np.isnan(flat[1, 2, 0]))
        if beyond_row or beyond_col:
            return
        u, v = 0.0, 0.0
    cols[n], rows[n] = col + 0.5 + u, row + 0.5 + v
