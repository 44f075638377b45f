"""Rows from the south and columns from the east are read as if they came from the north and the west."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

import builds
from builds import FakeSource, scene
from geozarr import Window
from pyramids import Slice
from pyramids.sources.turned import TurnedSource, north_up

SHAPE = (7, 5)


def turned(rows: bool, cols: bool, **options: object) -> tuple[FakeSource, FakeSource]:
    """A source, and one that holds the same pixels on the same ground from the other ends."""
    values = scene("int16", (2, *SHAPE))
    upright = FakeSource(values, nodata=0, **options)
    order = (slice(None), slice(None, None, -1 if rows else 1), slice(None, None, -1 if cols else 1))
    t = upright.transform
    if rows:
        t = t @ Affine(1, 0, 0, 0, -1, SHAPE[0])
    if cols:
        t = t @ Affine(-1, 0, SHAPE[1], 0, 1, 0)
    return upright, FakeSource(values[order], nodata=0, transform=t, **options)


@given(rows=st.booleans(), cols=st.booleans(), data=st.data())
def test_any_window_is_that_of_the_upright_raster(rows: bool, cols: bool, data: st.DataObject) -> None:
    upright, odd = turned(rows, cols)
    row, col = data.draw(st.integers(0, SHAPE[0] - 1)), data.draw(st.integers(0, SHAPE[1] - 1))
    window = Window(row, col, data.draw(st.integers(1, SHAPE[0] - row)), data.draw(st.integers(1, SHAPE[1] - col)))
    found = north_up(odd)
    assert isinstance(found, TurnedSource) == (rows or cols)
    assert found.grid == upright.grid
    slices = [Slice(0, 0), Slice(1, 0)]
    one, other = found.read(window, slices), upright.read(window, slices)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.valid, other.valid)


def test_what_cannot_be_turned_upright_stays_as_it_is() -> None:
    rotated = FakeSource(scene("uint8", (1, *SHAPE)), transform=Affine(20, 10, 5e5, 10, -20, 5e6))
    assert north_up(rotated) is rotated


@pytest.mark.parametrize("block", [(7, 5), (1, 5), (2, 5), (7, 2)])
def test_the_index_is_turned_where_blocks_stay_blocks(block: tuple[int, int]) -> None:
    counts = tuple(-(-size // side) for size, side in zip(SHAPE, block, strict=True))
    covered = np.arange(counts[0] * counts[1]).reshape(counts) % 2 == 0
    _, odd = turned(rows=True, cols=True, covered=covered, block_shape=block)
    found = north_up(odd).coverage()
    if SHAPE[0] % block[0] or SHAPE[1] % block[1]:
        assert found is None
    else:
        np.testing.assert_array_equal(found, covered[::-1, ::-1])


@pytest.mark.parametrize(("rows", "cols"), [(True, False), (False, True), (True, True)])
def test_a_native_pyramid_is_that_of_the_upright_raster(rows: bool, cols: bool) -> None:
    upright, odd = turned(rows, cols)
    plan, store = builds.build(odd, tms="native")
    expected, other = builds.build(upright, tms="native")
    assert plan.levels == expected.levels
    for level in plan.levels.levels:
        for variable in plan.variables:
            name = f"{level.asset}/{variable.name}"
            np.testing.assert_array_equal(builds.read(store, name), builds.read(other, name))
