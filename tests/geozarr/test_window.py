from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr import ParameterError, Window
from strategies import windows

SIDES = st.integers(1, 64)


def pixels(window: Window) -> set[tuple[int, int]]:
    return {(row, col) for row in range(window.row, window.row_stop) for col in range(window.col, window.col_stop)}


def test_a_window_is_half_open() -> None:
    window = Window(2, 3, 4, 5)
    assert (window.row_stop, window.col_stop) == (2 + 4, 3 + 5)
    assert window.shape == (4, 5)
    assert window.size == 4 * 5
    assert not window.is_empty
    assert np.arange(100).reshape(10, 10)[window.slices].shape == (4, 5)


@pytest.mark.parametrize("name", ["height", "width"])
def test_a_negative_side_is_refused(name: str) -> None:
    sides = {"height": 1, "width": 1} | {name: -1}
    with pytest.raises(ParameterError) as caught:
        Window(0, 0, **sides)
    assert (caught.value.parameter, caught.value.found) == (f"Window.{name}", -1)


def test_a_range_that_runs_backwards_is_empty() -> None:
    window = Window.from_bounds(row_start=5, row_stop=2, col_start=0, col_stop=4)
    assert window.is_empty
    assert window.shape == (0, 4)


@given(windows(within=12), windows(within=12))
def test_intersect_holds_the_common_pixels(one: Window, other: Window) -> None:
    assert pixels(one.intersect(other)) == pixels(one) & pixels(other)


@given(windows(), windows())
def test_intersect_is_commutative(one: Window, other: Window) -> None:
    assert one.intersect(other) == other.intersect(one)


@given(windows(), windows(), windows())
def test_intersect_is_associative(one: Window, other: Window, third: Window) -> None:
    assert one.intersect(other).intersect(third) == one.intersect(other.intersect(third))


@given(windows())
def test_a_window_is_its_own_intersection(window: Window) -> None:
    assert window.intersect(window) == window


@given(windows(within=12), windows(within=12))
def test_contains_means_every_pixel(one: Window, other: Window) -> None:
    assert one.contains(other) == (pixels(other) <= pixels(one))


@given(windows(within=40), SIDES, SIDES)
def test_split_covers_each_pixel_once(window: Window, height: int, width: int) -> None:
    pieces = list(window.split(height=height, width=width))
    assert all(window.contains(piece) and not piece.is_empty for piece in pieces)
    assert sum(piece.size for piece in pieces) == window.size
    assert set().union(*map(pixels, pieces)) == pixels(window)


@given(windows(), SIDES, SIDES)
def test_split_cuts_along_multiples_in_row_major_order(window: Window, height: int, width: int) -> None:
    pieces = list(window.split(height=height, width=width))
    assert pieces == sorted(pieces)
    for piece in pieces:
        assert piece.row // height == (piece.row_stop - 1) // height
        assert piece.col // width == (piece.col_stop - 1) // width


@given(windows(), SIDES, SIDES)
def test_align_is_the_smallest_aligned_window_around(window: Window, height: int, width: int) -> None:
    around = window.align(height=height, width=width)
    assert around.contains(window)
    assert all(edge % height == 0 for edge in (around.row, around.row_stop))
    assert all(edge % width == 0 for edge in (around.col, around.col_stop))
    if not window.is_empty:
        assert window.row - around.row < height
        assert around.row_stop - window.row_stop < height
        assert window.col - around.col < width
        assert around.col_stop - window.col_stop < width
    assert around.align(height=height, width=width) == around


@pytest.mark.parametrize(("height", "width", "name"), [(0, 4, "height"), (4, 0, "width"), (-2, 4, "height")])
def test_blocks_without_pixels_are_refused(height: int, width: int, name: str) -> None:
    window = Window(0, 0, 8, 8)
    for cut in (window.align, lambda **sides: list(window.split(**sides))):
        with pytest.raises(ParameterError) as caught:
            cut(height=height, width=width)
        assert caught.value.parameter == name


@given(windows(), windows())
def test_relative_to_is_undone_by_shift(one: Window, other: Window) -> None:
    assert one.relative_to(other).shift(rows=other.row, cols=other.col) == one


@given(windows(), st.integers(0, 50))
def test_grow_is_undone_by_shrinking(window: Window, amount: int) -> None:
    grown = window.grow(amount)
    assert grown.shape == (window.height + 2 * amount, window.width + 2 * amount)
    assert grown.grow(-amount) == window
