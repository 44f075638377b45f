from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr import crs
from geozarr.errors import UnsupportedError
from tiler import projection
from tiler.projection import Cylinder

DEGREES, MERCATOR = crs.from_code("EPSG:4326"), crs.from_code("EPSG:3857")
EQUATOR = 2 * math.pi * 6378137.0  # metres around WGS 84


@pytest.mark.parametrize(
    ("code", "turn", "centre"),
    [
        ("EPSG:4326", 360.0, 0.0),
        ("OGC:CRS84", 360.0, 0.0),
        ("EPSG:4267", 360.0, 0.0),
        ("EPSG:3857", EQUATOR, 0.0),
        ("EPSG:3395", EQUATOR, 0.0),
        ("EPSG:4087", EQUATOR, 0.0),
        ("EPSG:3832", EQUATOR, 0.0),  # Mercator about 150 E, which is its x = 0
        ("EPSG:5641", None, 5_000_000.0),  # Mercator about 43 W, true at 2 S, 5000 km east
        ("EPSG:6933", None, 0.0),  # equal area, true at 30 degrees
        ("ESRI:54003", None, 0.0),  # Miller
    ],
)
def test_cylinders_have_a_turn(code: str, turn: float | None, centre: float) -> None:
    system = crs.from_code(code)
    found = projection.cylinder_of(system)
    assert found is not None
    if turn is not None:
        assert found.turn == pytest.approx(turn, rel=1e-12)
    assert found.centre == pytest.approx(centre, abs=1e-6)
    if not system.is_geographic:
        # Half a turn east of the middle, and a little less, lies the edge.
        geodetic = crs.from_pyproj(system.proj.geodetic_crs)
        lon, _ = crs.transformer(system, geodetic).transform(found.centre, 0.0)
        x, _ = crs.transformer(geodetic, system).transform(lon + 180 - 1e-7, 0.0)
        assert x == pytest.approx(found.centre + found.turn / 2, rel=1e-8)


@pytest.mark.parametrize(
    "code",
    [
        "EPSG:32631",  # transverse
        "EPSG:3031",
        "EPSG:3035",
        "EPSG:2056",  # oblique
        "EPSG:8857",  # Equal Earth: x of a longitude depends on the latitude
        "ESRI:54009",
        "ESRI:54012",
        "EPSG:4807",  # grads of France
    ],
)
def test_others_have_none(code: str) -> None:
    assert projection.cylinder_of(crs.from_code(code)) is None


def test_poles_of_mercator_are_far_and_those_of_an_equal_area_map_near() -> None:
    mercator, equal = (projection.cylinder_of(crs.from_code(code)) for code in ("EPSG:3857", "EPSG:6933"))
    assert mercator is not None
    assert mercator.north == -mercator.south > 5 * EQUATOR
    assert equal is not None
    # Half of the area of the ellipsoid, divided by a turn.
    e = math.sqrt(2 / 298.257223563 - 1 / 298.257223563**2)
    half = math.pi * 6378137.0**2 * (1 + (1 - e * e) / e * math.atanh(e))
    assert equal.north == pytest.approx(half / equal.turn, rel=1e-9)


@given(x=st.floats(-3 * EQUATOR, 3 * EQUATOR))
def test_a_turned_map_has_its_edge_on_the_other_side(x: float) -> None:
    turned, shift = projection.around(MERCATOR, x)
    cylinder = projection.cylinder_of(turned)
    assert cylinder is not None
    assert abs(x + shift - cylinder.centre) <= EQUATOR / 32 * (1 + 1e-9)
    lon, lat = crs.transformer(turned, DEGREES).transform(x + shift, 5e6)
    assert math.remainder(lon - x / EQUATOR * 360, 360) == pytest.approx(0, abs=1e-9)
    assert lat == pytest.approx(crs.transformer(MERCATOR, DEGREES).transform(0.0, 5e6)[1], abs=1e-12)


def test_a_map_is_turned_about_its_own_meridian() -> None:
    system = crs.from_code("EPSG:5641")  # about 43 W
    cylinder = projection.cylinder_of(system)
    assert cylinder is not None
    turned, shift = projection.around(system, cylinder.centre + cylinder.turn / 2)
    lon, _ = crs.transformer(turned, DEGREES).transform(cylinder.centre + cylinder.turn / 2 + shift, 1e7)
    assert lon == pytest.approx(137.0, abs=1e-5)  # another datum, a metre away
    assert projection.around(system, cylinder.centre + 1.0) == (system, 0.0)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("EPSG:4326", "EPSG:3857", True),
        ("EPSG:4326", "OGC:CRS84", True),
        ("EPSG:3857", "EPSG:6933", True),
        ("EPSG:4326", "EPSG:4267", False),  # another datum: points move in both directions
        ("EPSG:3857", "EPSG:3832", True),
        ("EPSG:4326", "EPSG:32631", False),
        ("EPSG:32631", "EPSG:32631", False),
        ("EPSG:8857", "EPSG:4326", False),
    ],
)
def test_axes_go_together_between_cylinders_of_one_datum(one: str, other: str, expected: bool) -> None:
    first, second = crs.from_code(one), crs.from_code(other)
    assert projection.is_separable(first, second) is expected
    assert projection.is_separable(second, first) is expected
    if expected:
        x, y = np.meshgrid([-1.0, 0.5, 2.0], [-1.0, 0.0, 1.0])
        scale = 1.0 if first.is_geographic else 1e6
        xs, ys = projection.transform((x * scale).ravel(), (y * scale).ravel(), first, second)
        assert np.ptp(xs.reshape(3, 3), axis=0).max() <= 1e-9 * np.abs(xs).max()
        assert np.ptp(ys.reshape(3, 3), axis=1).max() <= 1e-9 * np.abs(ys).max()


def test_poles_are_points_of_polar_maps_and_lines_of_others() -> None:
    (north,) = projection.poles(crs.from_code("EPSG:5041"), DEGREES)
    assert (north.is_north, north.is_point) == (True, True)
    assert north.places[0] == pytest.approx((2e6, 2e6))
    (south,) = projection.poles(crs.from_code("EPSG:3031"), MERCATOR)
    assert (south.is_north, south.is_point) == (False, True)
    assert south.places[0] == pytest.approx((0, 0), abs=1e-6)
    # A quarter of the meridian of WGS 84 is 10 001 965.7 m, times the scale of UTM.
    found = projection.poles(crs.from_code("EPSG:32631"), DEGREES)
    assert [pole.places[0][1] for pole in found] == pytest.approx(
        [10_001_965.729 * 0.9996, -10_001_965.729 * 0.9996], abs=0.01
    )
    north, south = projection.poles(crs.from_code("EPSG:8857"), DEGREES)  # Equal Earth, whose poles are lines
    assert not north.is_point
    assert not south.is_point
    (west, top), (east, _) = north.places[0], north.places[-1]
    assert west == pytest.approx(-east)
    assert {y for _, y in north.places} == {top}
    assert projection.poles(crs.from_code("EPSG:4267"), DEGREES)[0].places[0] == pytest.approx((-180, 90), abs=1e-3)


def test_cylinders_need_no_poles() -> None:
    for code in ("EPSG:3857", "EPSG:4087"):
        assert projection.poles(crs.from_code(code), DEGREES) == ()
    assert projection.poles(DEGREES, crs.from_code("EPSG:3031")) == ()


def test_points_without_an_image_are_infinite() -> None:
    lon, lat = np.array([0.0, 0.0, 4.0]), np.array([50.0, 91.0, 67.0])
    xs, ys = projection.transform(lon, lat, DEGREES, MERCATOR)
    assert np.array_equal(np.isfinite(xs), [True, False, True])
    assert np.array_equal(np.isfinite(ys), [True, False, True])
    # PROJ puts 4 E 67 N into the Czech grid, whose place is another.
    xs, _ = projection.transform(lon, lat, DEGREES, crs.from_code("EPSG:5514"))
    assert np.array_equal(np.isfinite(xs), [True, False, False])
    # All longitudes of a pole are the same place.
    xs, _ = projection.transform(np.array([50.0, -170.0]), np.array([90.0, 90.0]), DEGREES, crs.from_code("EPSG:3413"))
    assert np.isfinite(xs).all()


def test_other_bodies_have_no_transformation() -> None:
    with pytest.raises(UnsupportedError):
        projection.transform(np.zeros(1), np.zeros(1), DEGREES, crs.from_code("IAU_2015:49900"))


def test_places_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    other = crs.from_code("OGC:CRS84")
    assert projection.is_same_place(DEGREES, other)
    monkeypatch.setattr(crs.CRS, "is_same_place", lambda *_: pytest.fail("compared again"))
    assert projection.is_same_place(crs.from_code("EPSG:4326"), crs.from_code("OGC:CRS84"))


def test_cylinders_are_values() -> None:
    assert projection.cylinder_of(DEGREES) == Cylinder(360.0, 0.0, -90.0, 90.0)
