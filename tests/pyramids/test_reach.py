"""Which blocks can hold data: never too few (P-12, P-28)."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

import builds
from builds import FakeSource
from geozarr import Window
from pyramids import Plan, warp
from pyramids.reach import Reach
from pyramids.sources.blocks import Blocks

# Source CRS, transform and shape; set and finest matrix.
CASES = {
    "utm": ("EPSG:32618", (30, 0, 400000, 0, -30, 5000000), (900, 700), "WebMercatorQuad", "12"),
    "rotated": ("EPSG:32759", (8, 6, 330000, 6, -8, 7850000), (800, 900), "WebMercatorQuad", "13"),
    "degrees": ("EPSG:4326", (0.01, 0, -10, 0, -0.01, 60), (900, 800), "WebMercatorQuad", "7"),
    "globe": ("EPSG:4326", (0.5, 0, -180, 0, -0.5, 90), (360, 720), "WebMercatorQuad", "2"),
    "globe from 0": ("EPSG:4326", (0.5, 0, 0, 0, -0.5, 90), (360, 720), "WebMercatorQuad", "2"),
    "over the antimeridian": ("EPSG:32660", (400, 0, 300000, 0, -400, 6400000), (1000, 1500), "WebMercatorQuad", "8"),
    "antarctic": ("EPSG:3031", (6250, 0, -3950000, 0, -6250, 4350000), (1400, 1264), "WebMercatorQuad", "4"),
    "laea in degrees": ("EPSG:3035", (1000, 0, 2500000, 0, -1000, 5500000), (1500, 1400), "WGS1984Quad", "6"),
}


@functools.cache
def case(name: str) -> tuple[Plan, FakeSource]:
    """A plan of a raster without pixels."""
    code, transform, shape, tms, finest = CASES[name]
    values = np.broadcast_to(np.ones(1, np.uint8), (1, *shape))
    source = FakeSource(values, code=code, transform=Affine(*transform))
    return builds.plan_for(source, tms=tms, max_zoom=finest), source


@settings(max_examples=150)
@given(
    name=st.sampled_from(sorted(CASES)),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    side=st.sampled_from([1, 7, 64, 256, 1000]),
    method=st.sampled_from(warp.METHODS),
)
def test_what_a_window_needs_lies_in_what_it_may_reach(
    name: str, place: tuple[float, float], side: int, method: str
) -> None:
    """P-28: by the positions of all its pixels, for every method, about poles and across the antimeridian."""
    plan, source = case(name)
    around = plan.footprint
    row, col = around.row + int(place[0] * around.height), around.col + int(place[1] * around.width)
    window = Window(row, col, side, side).intersect(plan.levels.finest.grid.window)
    if window.is_empty:
        return
    with Blocks(source, capacity=0) as blocks:
        reached = Reach(plan, blocks).needed(window)
    if reached is None:
        return
    needed = warp.needed(warp.positions(plan.mapping, window, method), method)
    assert reached.contains(needed.intersect(source.grid.window))


@pytest.mark.parametrize("name", ["utm", "rotated", "degrees", "laea in degrees"])
def test_most_blocks_of_a_plain_raster_are_told(name: str) -> None:
    """P-28: an estimate that gives up, or that covers everything, would leave nothing out."""
    plan, source = case(name)
    with Blocks(source, capacity=0) as blocks:
        reach = Reach(plan, blocks)
        told = 0
        for window in plan.footprint.split(height=128, width=128):
            needed = warp.needed(warp.positions(plan.mapping, window, "average"), "average")
            if not source.grid.window.contains(needed):
                continue  # west of a raster in degrees, longitudes begin anew
            told += 1
            reached = reach.needed(window)
            assert reached is not None
            # Twice the margin of 8 pixels, and a cell or so of the estimate's own.
            assert reached.height <= needed.height + 32
            assert reached.width <= needed.width + 32
    assert told > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_window_may_hold_data_where_any_covered_block_is_needed(name: str) -> None:
    """P-28, P-12: asked with one covered block after the other; the answer is never no where pixels come from it."""
    plan, source = case(name)
    shape = source.grid.shape
    rows, cols = -(-shape[0] // 64), -(-shape[1] // 64)
    side = max(64, max(plan.footprint.shape) // 6)
    windows = list(plan.footprint.split(height=side, width=side))
    needed = [
        warp.needed(warp.positions(plan.mapping, window, "nearest"), "nearest").intersect(source.grid.window)
        for window in windows
    ]
    exact = [plan.mapping.centres(window).to_arrays() for window in windows]
    said_no = 0
    for row, col in ((0, 0), (rows // 2, cols // 2), (rows - 1, cols - 1), (rows // 3, 2 * cols // 3)):
        covered = np.zeros((rows, cols), bool)
        covered[row, col] = True
        marked = FakeSource(source.values, code=source.code, transform=source.transform, covered=covered)
        with Blocks(marked, capacity=0) as blocks:
            reach = Reach(plan, blocks)
            for window, part, (found_cols, found_rows) in zip(windows, needed, exact, strict=True):
                if reach.may_hold(window):
                    continue
                said_no += 1
                inside = (found_rows // 64 == row) & (found_cols // 64 == col)
                inside &= (found_rows < shape[0]) & (found_cols < shape[1])  # the last blocks reach beyond the source
                assert not inside.any()
                assert part.intersect(Window(64 * row, 64 * col, 64, 64)).is_empty or name in ("globe", "globe from 0")
    assert said_no > 0


def test_a_native_block_is_itself() -> None:
    covered = np.zeros((2, 2), bool)
    covered[1, 0] = True
    source = FakeSource(np.ones((1, 100, 100), np.uint8), covered=covered)
    plan = builds.plan_for(source, tms="native")
    with Blocks(source, capacity=0) as blocks:
        reach = Reach(plan, blocks)
        assert reach.may_hold(Window(60, 0, 10, 10))
        assert not reach.may_hold(Window(60, 64, 10, 10))
        assert not reach.may_hold(Window(0, 0, 0, 0))
