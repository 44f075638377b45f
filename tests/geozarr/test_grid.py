from __future__ import annotations

import json
import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st

from geozarr import Bounds, Grid, MetadataError, ParameterError, UnsupportedError, Window
from geozarr.grid import SNAP
from strategies import grids, known_crs, sizes

UTM = "EPSG:32618"


def grid(shape: tuple[int, int] = (3, 4), transform: Affine | None = None) -> Grid:
    return Grid(shape, transform or Affine(10, 0, 500, 0, -20, 1000), known_crs(UTM))


def test_bounds_go_round_the_outer_edges() -> None:
    # Three rows of 20 downwards from 1000, four columns of 10 eastwards from 500.
    assert grid().bounds == Bounds(500, 1000 - 3 * 20, 500 + 4 * 10, 1000)


def test_centres_lie_half_a_cell_inside() -> None:
    assert grid().x_centres().tolist() == [505, 515, 525, 535]
    assert grid().y_centres().tolist() == [990, 970, 950]
    assert grid().x_centres().dtype == np.float64


def test_bounds_of_a_rotated_grid_hold_all_its_corners() -> None:
    # A square of 10 cells of 1, turned by 45 degrees about its corner: half a diagonal to each side, one down or up.
    turned = grid((10, 10), Affine.rotation(45))
    half = 10 / math.sqrt(2)
    assert turned.bounds == pytest.approx((-half, 0, half, 2 * half))
    assert not turned.is_rectilinear
    assert turned.cell_size == pytest.approx((1, 1))


def test_a_rotated_grid_has_no_coordinate_vectors() -> None:
    turned = grid(transform=Affine.rotation(30))
    for centres in (turned.x_centres, turned.y_centres):
        with pytest.raises(UnsupportedError, match="rotated"):
            centres()


@pytest.mark.parametrize(
    ("transform", "is_rectilinear", "is_north_up"),
    [
        (Affine(1, 0, 0, 0, -1, 0), True, True),
        (Affine(1, 0, 0, 0, 1, 0), True, False),
        (Affine(-1, 0, 0, 0, -1, 0), True, False),
        (Affine(0, 1, 0, -1, 0, 0), False, False),
        (Affine(1, 0.1, 0, 0, -1, 0), False, False),
    ],
    ids=["north-up", "south-up", "mirrored", "quarter turn", "sheared"],
)
def test_orientation_is_told(transform: Affine, is_rectilinear: bool, is_north_up: bool) -> None:
    made = grid(transform=transform)
    assert (made.is_rectilinear, made.is_north_up) == (is_rectilinear, is_north_up)


@pytest.mark.parametrize(
    "numbers",
    [
        (0, 0, 0, 0, -1, 0),
        (1, 0, 0, 0, 0, 0),
        (1, 1, 0, 1, 1, 0),
        (0, 0, 0, 0, 0, 0),
        (1, 2, 0, 3, 6.0000000000001, 0),
        (math.nan, 0, 0, 0, -1, 0),
        (1, 0, math.nan, 0, -1, 0),
        (1, 0, math.inf, 0, -1, 0),
        (1e300, 0, 0, 0, -math.inf, 0),
    ],
)
def test_a_transform_that_places_nothing_is_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(MetadataError) as caught:
        grid(transform=Affine(*numbers))
    assert caught.value.key == "transform"


@pytest.mark.parametrize(("a", "e"), [(1e-9, -1e-9), (1e9, -1e9), (1e-9, -1e9), (1e9, 1e-9)])
def test_the_size_of_a_cell_does_not_make_it_singular(a: float, e: float) -> None:
    assert grid(transform=Affine(a, 0, 0, 0, e, 0)).cell_size == (a, abs(e))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (-1, 4)])
def test_a_grid_without_pixels_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(MetadataError) as caught:
        grid(shape)
    assert (caught.value.key, caught.value.found) == ("shape", shape)


def test_numpy_sizes_become_integers_that_json_can_write() -> None:
    made = grid((np.int64(3), np.uint16(4)))
    assert json.dumps(made.shape) == "[3, 4]"


@pytest.mark.parametrize(
    ("size", "factor", "coarse"), [(7, 2, 4), (8, 2, 4), (1, 2, 1), (997, 256, 4), (1024, 256, 4), (1025, 256, 5)]
)
def test_coarsen_keeps_partial_edge(size: int, factor: int, coarse: int) -> None:
    before = grid((size, size))
    after = before.coarsen(factor)
    assert after.shape == (coarse, coarse)
    assert after.cell_size == (10 * factor, 20 * factor)
    assert (after.bounds.xmin, after.bounds.ymax) == (before.bounds.xmin, before.bounds.ymax)
    # The last cell reaches beyond, by less than itself.
    assert 0 <= after.bounds.xmax - before.bounds.xmax < after.cell_size[0]
    assert 0 <= before.bounds.ymin - after.bounds.ymin < after.cell_size[1]


@given(grids(), st.integers(0, 5), st.integers(0, 5))
def test_coarsened_in_two_steps_is_coarsened_in_one(made: Grid, first: int, second: int) -> None:
    assert made.coarsen(2**first).coarsen(2**second) == made.coarsen(2 ** (first + second))


@given(sizes(), st.integers(1, 12), st.integers(1, 12))
def test_sizes_coarsened_in_two_steps_are_those_of_one(shape: tuple[int, int], first: int, second: int) -> None:
    assert grid(shape).coarsen(first).coarsen(second).shape == grid(shape).coarsen(first * second).shape


@given(grids(), st.integers(1, 9))
def test_coarsen_keeps_the_corner_bit_by_bit(made: Grid, factor: int) -> None:
    after = made.coarsen(factor)
    assert (after.transform.c, after.transform.f) == (made.transform.c, made.transform.f)


@pytest.mark.parametrize("factor", [0, -1])
def test_coarsen_by_less_than_one_is_refused(factor: int) -> None:
    with pytest.raises(ParameterError) as caught:
        grid().coarsen(factor)
    assert (caught.value.parameter, caught.value.found) == ("factor", factor)


def test_crop_is_the_grid_of_a_window() -> None:
    # From row 1, column 2: 20 down, 2 x 10 right.
    part = grid().crop(Window(1, 2, 2, 1))
    assert part.bounds == Bounds(520, 940, 530, 980)
    assert part.shape == (2, 1)


def test_an_empty_window_has_no_box() -> None:
    with pytest.raises(MetadataError):
        grid().bounds_of(Window(0, 0, 0, 3))


@given(grids(is_north_up=True), st.data())
def test_window_of_the_bounds_of_a_window_is_that_window(made: Grid, data: st.DataObject) -> None:
    # Cells that are smaller than the last digit of their coordinates have no bounds to tell them by.
    assume(math.ulp(2e7) / min(made.cell_size) < 1e-3)
    row, col = (data.draw(st.integers(0, size - 1)) for size in made.shape)
    window = Window(row, col, made.height - row, made.width - col)
    assert made.window_of(made.bounds_of(window)) == window


@given(grids())
def test_window_of_its_own_bounds_covers_a_grid_however_it_lies(made: Grid) -> None:
    assume(math.ulp(2e7) / min(made.cell_size) < 1e-3)
    covered = made.window_of(made.bounds)
    # A sheared or turned box is larger than the grid; it never misses a pixel.
    assert covered.contains(made.window)


def test_window_of_snaps_noise() -> None:
    noise = SNAP / 2 * 10  # half the tolerance, in CRS units along x
    wide = Bounds(510 - noise, 960, 530 + noise, 1000)
    narrow = Bounds(510 + noise, 960, 530 - noise, 1000)
    assert grid().window_of(wide) == grid().window_of(narrow) == Window(0, 1, 2, 2)


def test_window_of_takes_what_is_more_than_noise() -> None:
    much = SNAP * 10 * 10
    assert grid().window_of(Bounds(510 - much, 960, 530 + much, 1000)) == Window(0, 0, 2, 4)


def test_window_of_may_reach_outside() -> None:
    assert grid().window_of(Bounds(480, 900, 600, 1040)) == Window(-2, -2, 7, 12)


def test_window_of_reads_a_rotated_box_in_the_pixels_of_the_grid() -> None:
    # A quarter turn: columns run north, rows run east.
    turned = grid((10, 10), Affine(0, 1, 0, 1, 0, 0))
    assert turned.window_of(Bounds(2, 5, 4, 9)) == Window(row=2, col=5, height=2, width=4)


@given(st.integers(0, 2**38 - 256), st.integers(0, 2**38 - 256))
def test_window_of_coordinates_noisier_than_the_tolerance_is_no_larger_than_it_must(row: int, col: int) -> None:
    # Web Mercator cells of zoom 30 are 40 000 units in the last place at the edge of the world: 2.5e-5 cells a unit.
    edge = 20037508.342789244
    cell = 2 * edge / 2**38
    assert math.ulp(edge) / cell > SNAP
    deep = Grid((2**38, 2**38), Affine(cell, 0, -edge, 0, -cell, edge), known_crs("EPSG:3857"))
    window = Window(row, col, 256, 256)
    assert deep.window_of(deep.bounds_of(window)) == window


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(math.nan, 0, 1, 1),
        Bounds(-math.inf, 0, math.inf, 1),
        Bounds(2, 0, 1, 1),
        Bounds(0, 2, 1, 1),
    ],
)
def test_window_of_something_that_is_no_box_is_refused(bounds: Bounds) -> None:
    with pytest.raises(ParameterError) as caught:
        grid().window_of(bounds)
    assert caught.value.parameter == "bounds"
