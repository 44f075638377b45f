"""What the tiler has to know of two CRS: whether x counts around the globe, where poles lie, which axes go together.

Everything here follows from the definitions and is found once for a pair. Coordinates are `(x, y)` everywhere, as
`geozarr.crs` has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pyproj.exceptions import ProjError

from geozarr import crs as crs_module
from geozarr.crs import CRS, transformer
from geozarr.errors import MetadataError, UnsupportedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAR = 1e12  # CRS units; farther than any map reaches: images near a singularity of a projection
_KEPT = 256  # pairs of CRS whose properties are remembered
_LONGITUDE_OF_ORIGIN = 8802  # EPSG parameter "Longitude of natural origin", which every cylindrical method has
_LINEAR = 1e-9  # share of a turn; farther from a straight line than PROJ's rounding is no cylinder
_SAME = 1e-6  # share of the coordinates; images of one point agree to PROJ's own 1e-10, others are far apart
_NEAR = 1000.0  # metres; there and back, datums of different regions may leave hundreds, another place thousands
_MERIDIANS = 25  # on which poles are looked for: 15 degrees apart
_FRAMES = 16  # central meridians that `around` chooses among: 22.5 degrees apart


@dataclass(frozen=True)
class Cylinder:
    """A CRS whose x counts around the globe: longitudes and latitudes, or a cylindrical projection of them.

    Parameters
    ----------
    turn : float
        CRS units of a whole turn.
    centre : float
        PROJ answers with x from `centre - turn / 2` to `centre + turn / 2`.
    south, north : float
        The y of the poles; `FAR` (with its sign) where that is infinite.
    """

    turn: float
    centre: float
    south: float
    north: float


@dataclass(frozen=True)
class Pole:
    """A pole of the globe on a map: a point, or a line (of one meridian after the other) at its rim.

    Parameters
    ----------
    places : tuple of (float, float)
        x and y of points along the line; one where the pole is a point.
    is_north : bool
        Which of the two it is.
    """

    places: tuple[tuple[float, float], ...]
    is_north: bool

    @property
    def is_point(self) -> bool:
        """True where all longitudes meet."""
        return len(self.places) == 1


def is_same_place(one: CRS, other: CRS) -> bool:
    """Tell whether coordinates of one CRS are those of the other, as `CRS.is_same_place`; found once for a pair."""
    return one.wkt2 == other.wkt2 or _is_same_place(one.wkt2, other.wkt2)


@lru_cache(maxsize=_KEPT)
def _is_same_place(one: str, other: str) -> bool:
    return CRS(one).is_same_place(CRS(other))


def cylinder_of(crs: CRS) -> Cylinder | None:
    """Tell how x counts around the globe; None where it does not.

    Longitudes in degrees do; in grads they belong to maps of countries, of which none reaches around. A projection
    does where x grows with the longitude alone and in proportion, and y depends on the latitude alone.
    """
    return _cylinder_of(crs.wkt2)


@lru_cache(maxsize=_KEPT)
def _cylinder_of(wkt2: str) -> Cylinder | None:
    crs = CRS(wkt2)
    if crs.is_geographic:
        return Cylinder(360.0, 0.0, -90.0, 90.0) if _is_in_degrees(crs) else None
    longitude, geodetic = _longitude_of_origin(crs.to_projjson()), _geodetic(crs)
    if longitude is None or geodetic is None or not _is_in_degrees(geodetic):
        return None
    steps, latitudes = np.arange(-3, 4), np.array([-90.0, -50.0, 0.0, 50.0, 90.0])
    lon, lat = np.meshgrid(longitude + 45.0 * steps, latitudes)
    x, y = (values.reshape(lon.shape) for values in _transform(lon.ravel(), lat.ravel(), geodetic, crs))
    if not np.isfinite([x[1:4], y[1:4]]).all():
        return None
    centre, turn = float(x[2, 3]), float(8 * (x[2, 4] - x[2, 3]))
    is_even = turn > 0 and np.allclose(x[1:4], centre + turn / 8 * steps, rtol=0, atol=_LINEAR * turn)
    is_level = np.allclose(y[1:4], y[1:4, :1], rtol=0, atol=_LINEAR * turn) and y[1, 0] < y[3, 0]
    south, north = (float(end) if math.isfinite(end) else sign * FAR for end, sign in ((y[0, 3], -1), (y[4, 3], 1)))
    return Cylinder(turn, centre, south, north) if is_even and is_level else None


def around(crs: CRS, x: float) -> tuple[CRS, float]:
    """Turn a cylindrical CRS so that its edge, where x begins again, is on the other side of the globe than `x`.

    Parameters
    ----------
    crs : CRS
        Projected, and a cylinder.
    x : float
        In units of `crs`; it may be beyond the edge.

    Returns
    -------
    tuple of (CRS, float)
        The same projection about another meridian, and what has to be added to an x of `crs` to make it one of it.
    """
    cylinder = cylinder_of(crs)
    assert cylinder is not None, "only a cylinder can be turned"
    step = round((x - cylinder.centre) / cylinder.turn * _FRAMES)
    return (crs, 0.0) if step == 0 else (_turned(crs.wkt2, step % _FRAMES), -step / _FRAMES * cylinder.turn)


@lru_cache(maxsize=_KEPT)
def _turned(wkt2: str, step: int) -> CRS:
    document = CRS(wkt2).to_projjson()
    document.pop("id", None)
    # GDAL knows some systems by their names, and takes these for what they are not.
    document["name"] = f"turned by {step} / {_FRAMES}"
    for parameter in document["conversion"]["parameters"]:
        if _is_longitude_of_origin(parameter):
            radians = math.remainder(_radians(parameter) + step / _FRAMES * math.tau, math.tau)
            parameter |= {"value": math.degrees(radians), "unit": "degree"}
    return crs_module.from_projjson(document)


def _longitude_of_origin(document: dict[str, Any]) -> float | None:
    """Longitude of the origin of a projection, in degrees; None where it has none by that name."""
    parameters = document.get("conversion", {}).get("parameters", ())
    return next((math.degrees(_radians(one)) for one in parameters if _is_longitude_of_origin(one)), None)


def _is_longitude_of_origin(parameter: dict[str, Any]) -> bool:
    number = parameter.get("id", {}).get("code")
    return bool(number == _LONGITUDE_OF_ORIGIN or parameter.get("name") == "Longitude of natural origin")


def _radians(parameter: dict[str, Any]) -> float:
    unit = parameter.get("unit", "degree")
    factor = unit["conversion_factor"] if isinstance(unit, dict) else math.radians(1.0)
    return float(parameter["value"]) * float(factor)


def _is_in_degrees(crs: CRS) -> bool:
    return math.isclose(crs.proj.axis_info[0].unit_conversion_factor, math.radians(1.0), rel_tol=1e-9)


def _geodetic(crs: CRS) -> CRS | None:
    """Longitude and latitude that a CRS is made of; itself where it is geographic."""
    if crs.is_geographic:
        return None if crs.is_rotated_pole else crs
    base = crs.proj.geodetic_crs
    try:
        return None if base is None else crs_module.from_pyproj(base)
    except MetadataError:
        return None


def is_separable(source: CRS, target: CRS) -> bool:
    """Tell whether x of one CRS depends on x of the other alone, and y on y, as in longitudes and Mercator."""
    return _is_separable(source.wkt2, target.wkt2)


@lru_cache(maxsize=_KEPT)
def _is_separable(source: str, target: str) -> bool:
    one, other = CRS(source), CRS(target)
    if cylinder_of(one) is None or cylinder_of(other) is None:
        return False
    if is_same_place(one, other):
        return True
    bases = _geodetic(one), _geodetic(other)
    # A change of the datum moves points in both directions.
    return bases[0] is not None and bases[1] is not None and is_same_place(bases[0], bases[1])


def poles(source: CRS, target: CRS) -> tuple[Pole, ...]:
    """Poles that are on the map of `source`, of the longitudes of `target`; none where that is no cylinder."""
    return _poles(source.wkt2, target.wkt2)


@lru_cache(maxsize=_KEPT)
def _poles(source: str, target: str) -> tuple[Pole, ...]:
    one, other = CRS(source), CRS(target)
    base = other if other.is_geographic else _geodetic(other)
    if cylinder_of(other) is None or base is None or is_separable(one, other):
        return ()
    found = []
    for latitude in (90.0, -90.0):
        longitudes = np.linspace(-180.0, 180.0, _MERIDIANS)
        x, y = _transform(longitudes, np.full(_MERIDIANS, latitude), base, one)
        x, y = x[np.isfinite(x)], y[np.isfinite(x)]
        if not x.size:
            continue
        is_point = np.ptp(x) + np.ptp(y) <= _SAME * (abs(x[0]) + abs(y[0]) + 1)
        places = zip(x.tolist(), y.tolist(), strict=True)
        found.append(Pole((next(places),) if is_point else tuple(places), latitude > 0))
    return tuple(found)


def transform(
    x: NDArray[np.float64], y: NDArray[np.float64], source: CRS, target: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform points; those that have no image come back as infinities.

    Parameters
    ----------
    x, y : ndarray of float64, any one shape
        Coordinates in `source`.
    source, target : CRS
        Any two.

    Returns
    -------
    tuple of (ndarray, ndarray)
        x and y in `target`.

    Raises
    ------
    UnsupportedError
        If there is no transformation between the two.
    """
    xs, ys = _transform(x, y, source, target)
    if is_separable(source, target) or is_same_place(source, target):
        return xs, ys
    back = _transform(xs, ys, target, source)
    return _masked(xs, ys, _is_near(*back, x, y, source))


def _transform(
    x: NDArray[np.float64], y: NDArray[np.float64], source: CRS, target: CRS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform points without asking whether their images lead back to them."""
    if is_same_place(source, target):
        return x, y
    try:
        xs, ys = (np.asarray(values) for values in transformer(source, target).transform(x, y))
    except ProjError as error:
        raise UnsupportedError(
            f"{target} for data in {source}", "there is no transformation between the two"
        ) from error
    return _masked(xs, ys, (np.abs(xs) < FAR) & (np.abs(ys) < FAR))


def _masked(
    xs: NDArray[np.float64], ys: NDArray[np.float64], has_image: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (xs, ys) if has_image.all() else (np.where(has_image, xs, np.inf), np.where(has_image, ys, np.inf))


def _is_near(
    xs: NDArray[np.float64], ys: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], crs: CRS
) -> NDArray[np.bool_]:
    """Tell which points are the same. Far outside a projection's domain, images are those of other points."""
    cylinder = cylinder_of(crs)
    with np.errstate(invalid="ignore"):
        off_x, off_y = xs - x, ys - y
        if cylinder is not None:
            off_x = off_x - np.round(off_x / cylinder.turn) * cylinder.turn
        if crs.is_geographic:
            off_x = off_x * np.cos(y * crs.proj.axis_info[0].unit_conversion_factor)  # a pole has all longitudes
        near: NDArray[np.bool_] = np.hypot(off_x, off_y) * crs.metres_per_unit <= _NEAR
    return near
