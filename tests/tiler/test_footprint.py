from __future__ import annotations

import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

import sphere
from geozarr import crs
from geozarr.grid import Bounds, Grid
from geozarr.window import Window
from sphere import DEGREES, MERCATOR, TURN
from tiler.footprint import Piece, bring_into, footprint, patches, pieces, poles_in

WORLD = Grid((180, 360), Affine(1, 0, -180, 0, -1, 90), DEGREES)
POLAR = crs.from_code("EPSG:3413")


@given(
    west=st.floats(-200, 200),
    width=st.floats(1e-3, 350),
    south=st.floats(-80, 79),
    height=st.floats(1e-3, 5),
)
def test_a_box_between_cylinders_is_the_image_of_its_corners(
    west: float, width: float, south: float, height: float
) -> None:
    box = footprint(Bounds(west, south, west + width, south + height), DEGREES, MERCATOR)
    assert box is not None
    # y of Mercator is R asinh(tan(latitude)); x counts on beyond the edge.
    assert box.xmax - box.xmin == pytest.approx(width / 360 * TURN, rel=1e-9)
    assert math.remainder(box.xmin - west / 360 * TURN, TURN) == pytest.approx(0, abs=1e-4)
    ys = [6378137.0 * math.asinh(math.tan(math.radians(latitude))) for latitude in (south, south + height)]
    assert (box.ymin, box.ymax) == pytest.approx(ys, abs=1e-4)


@pytest.mark.parametrize("code", ["EPSG:32660", "EPSG:32601", "EPSG:3413", "EPSG:3031", "EPSG:3035", "EPSG:8857"])
@pytest.mark.parametrize("seed", range(8))
def test_a_footprint_covers_every_point_and_is_no_wider_than_they_are(code: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    source = crs.from_code(code)
    middle = generator.uniform(-2e6, 2e6, 2) + ((500_000, 4e6) if code.startswith("EPSG:326") else (0, 0))
    half = 10 ** generator.uniform(4, 6)
    bounds = Bounds(*(middle - half), *(middle + half))
    x, y = generator.uniform(middle - half, middle + half, (2000, 2)).T
    lon, lat = (np.asarray(values) for values in crs.transformer(source, DEGREES).transform(x, y))
    box = footprint(bounds, source, DEGREES)
    assert box is not None
    # Between points of its sides, an edge may be off by 1/1000 of its extent, around a pole by a 1/32 of the box.
    near = poles_in(bounds, source, DEGREES)
    slack = (box.ymax - box.ymin) / 1000 + 1e-6
    assert (lat >= box.ymin - slack).all()
    assert (lat <= box.ymax + slack).all()
    turned = box.xmin + np.mod(lon - box.xmin + slack, 360) - slack
    assert (turned <= box.xmax + slack + (box.xmax - box.xmin) / 1000).all()
    if near:
        assert (box.xmin, box.xmax) == (-180, 180)
        assert {90.0 if pole.is_north else -90.0 for pole in near} <= {box.ymin, box.ymax}
    else:
        gaps = np.diff(np.sort(np.mod(lon, 360)), append=np.mod(lon, 360).min() + 360)
        assert box.xmax - box.xmin <= (360 - gaps.max()) * 1.2 + 1e-3


def test_a_box_beside_a_pole_is_read_all_around() -> None:
    # A frame around the pole, which is not in it, but close.
    box = footprint(Bounds(-1e6, 10_000, 1e6, 2e6), POLAR, DEGREES)
    assert box is not None
    assert (box.xmin, box.xmax, box.ymax) == (-180, 180, 90)
    # Half of the globe is no ring.
    box = footprint(Bounds(-1e6, 200_000, 1e6, 2e6), POLAR, DEGREES)
    assert box is not None
    assert box.xmax - box.xmin < 180


def test_points_without_an_image_are_left_out() -> None:
    square = footprint(Bounds(-180, -90, 180, 90), DEGREES, MERCATOR)
    assert square is not None
    assert (square.xmin, square.xmax) == pytest.approx((-TURN / 2, TURN / 2))
    assert all(map(math.isfinite, square))
    assert footprint(Bounds(10, 91, 20, 95), DEGREES, MERCATOR) is None
    assert footprint(Bounds(10, 91, 20, 95), DEGREES, POLAR) is None
    capped = footprint(Bounds(10, 60, 20, 120), DEGREES, POLAR)
    assert capped is not None
    assert capped.ymax == pytest.approx(0, abs=1e-6)  # the pole, south of which 10 to 20 E lie on this map
    # Norway is in no Czech grid, whatever the formulas say.
    assert footprint(Bounds(3, 66.5, 5, 67.5), DEGREES, crs.from_code("EPSG:5514")) is None


def test_the_same_place_needs_no_image() -> None:
    bounds = Bounds(-500, -100, 700, 100)
    assert footprint(bounds, DEGREES, crs.from_code("OGC:CRS84")) == bounds


@given(xmin=st.integers(-900, 900), width=st.integers(1, 400), margin=st.integers(0, 5))
def test_pieces_are_the_columns_of_a_footprint_turn_by_turn(xmin: int, width: int, margin: int) -> None:
    found = pieces(WORLD, Bounds(xmin, -10, xmin + width, 10), margin=margin)
    shown = [col + 360 * piece.turns - 180 for piece in found for col in range(piece.window.col, piece.window.col_stop)]
    assert shown == list(range(xmin - margin, xmin + width + margin))
    assert all(piece.window.row == 80 - margin for piece in found)
    (patch,) = patches(WORLD, found)
    assert patch.grid.bounds == (xmin - margin, -10 - margin, xmin + width + margin, 10 + margin)
    covered = sorted(col for _, place in patch.parts for col in range(place.col, place.col_stop))
    assert covered == list(range(width + 2 * margin))


def test_a_grid_that_counts_otherwise_is_found() -> None:
    across = Grid((10, 20), Affine(1, 0, 170, 0, -1, 10), DEGREES)
    for xmin, turns, col in ((175, 0, 5), (-185, -1, 5), (-175, -1, 15), (545, 1, 15)):
        (piece,) = pieces(across, Bounds(xmin, 0, xmin + 2, 1))
        assert piece == Piece(Window(9, col, 1, 2), turns)
    assert pieces(across, Bounds(0, 0, 100, 1)) == ()
    assert [piece.turns for piece in pieces(across, Bounds(-180, 0, 180, 1))] == [-1, 0]


def test_pieces_apart_are_not_joined() -> None:
    across = Grid((10, 20), Affine(1, 0, 170, 0, -1, 10), DEGREES)
    west, east = patches(across, pieces(across, Bounds(-180, 0, 180, 1)))
    assert (west.grid.bounds, east.grid.bounds) == ((-180, 0, -170, 1), (170, 0, 180, 1))


def test_pieces_are_not_joined_where_a_turn_is_no_whole_number_of_cells() -> None:
    odd = Grid((100, 113), Affine(3.2, 0, -180, 0, -1.6, 80), DEGREES)  # 112.5 cells are a turn
    found = pieces(odd, Bounds(170, 0, 190, 10))
    east, west = patches(odd, found)
    assert [piece.turns for piece in found] == [0, 1]
    assert east.grid.bounds.xmax == pytest.approx(-180 + 113 * 3.2)
    assert west.grid.bounds.xmin == 180.0
    # A grid turned against the axes has its cells elsewhere a turn later, too.
    turned = Grid((100, 400), WORLD.transform @ Affine.rotation(1), DEGREES)
    found = pieces(turned, Bounds(170, 0, 190, 10))
    assert len(found) == 2
    assert len(patches(turned, found)) == 2


def test_a_grid_from_east_to_west_is_joined_too() -> None:
    mirrored = Grid((180, 360), Affine(-1, 0, 180, 0, -1, 90), DEGREES)
    found = pieces(mirrored, Bounds(175, 0, 190, 10))
    (patch,) = patches(mirrored, found)
    assert patch.grid.bounds == (175, 0, 190, 10)
    assert patch.grid.transform.a == -1


@pytest.mark.parametrize(
    "grid",
    [
        Grid((1, 10**9), Affine(360, 0, 0, 0, -1, 1), DEGREES),
        Grid((1, 10**9), Affine(1e300, 0, 0, 0, -1, 1), DEGREES),
        Grid((1, 10), Affine(1, 0, 1e300, 0, -1, 1), DEGREES),
    ],
)
def test_absurd_grids_and_boxes_cost_nothing(grid: Grid) -> None:
    for box in (Bounds(0, 0, 10, 1), Bounds(-1e300, 0, 1e300, 1), Bounds(1e300, 0, 1e300, 1)):
        assert len(pieces(grid, box)) <= 8
    assert len(pieces(WORLD, Bounds(-1e300, 0, 1e300, 1))) <= 8


@given(x=st.floats(-1000, 1000))
def test_a_point_is_brought_into_a_grid(x: float) -> None:
    across = Grid((10, 20), Affine(1, 0, 170, 0, -1, 10), DEGREES)
    found = bring_into(across, x)
    assert math.remainder(found - x, 360) == pytest.approx(0, abs=1e-9)
    inside = 170 <= x + 360 * math.ceil((170 - x) / 360) <= 190
    assert (170 <= found <= 190) is inside
    assert inside or found == x


def test_points_of_maps_without_a_turn_stay() -> None:
    assert bring_into(Grid((10, 10), Affine(1, 0, 0, 0, -1, 10), POLAR), 1e9) == 1e9


def test_longitudes_near_the_pole_count_on() -> None:
    """A square near the pole takes the longitudes that its cells have, across 180 degrees."""
    tile = Grid((192, 192), Affine(5000, 0, -1.9e6, 0, -5000, 1.9e6), POLAR)
    lon, lat = sphere.degrees_at(tile)
    box = footprint(tile.bounds, tile.crs, DEGREES)
    assert box is not None
    east = np.where(lon < 0, lon + 360, lon)
    off = 0 if box.xmin > 0 else 360
    # The outermost centres are half a cell, of 1/192 of the square, within its sides.
    assert (box.xmin + off, box.xmax + off) == pytest.approx((east.min(), east.max()), abs=np.ptp(east) / 96)
    assert (box.ymin, box.ymax) == pytest.approx((lat.min(), lat.max()), abs=np.ptp(lat) / 96)
    assert east.min() < 180 < east.max()
