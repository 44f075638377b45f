from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from geozarr import crs
from geozarr.grid import Grid
from sphere import DEGREES, MERCATOR, TURN, tile_at
from tiler import projection
from tiler.positions import positions

WORLD = Grid((18_000, 36_000), Affine(0.01, 0, -180, 0, -0.01, 90), DEGREES)
UTM = Grid((4000, 4000), Affine(100, 0, 3e5, 0, -100, 5.2e6), crs.from_code("EPSG:32631"))
SEA = Grid((512, 512), Affine(TURN / 512, 0, -TURN / 2, 0, -TURN / 512, TURN / 2), MERCATOR)
ACROSS = Grid((400, 800), Affine(0.025, 0, 170, 0, -0.025, -10), DEGREES)


def exact(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the centres, each asked of PROJ; longitudes as the source counts them."""
    rows, cols = np.mgrid[0 : target.height, 0 : target.width] + 0.5
    x, y = target.transform @ (cols, rows)
    to_source = crs.transformer(target.crs, source.crs)
    x, y = (np.asarray(values) for values in to_source.transform(x, y))
    cylinder = projection.cylinder_of(source.crs)
    with np.errstate(invalid="ignore"):
        if cylinder is not None:
            west = (source.bounds.xmin + source.bounds.xmax - cylinder.turn) / 2
            x = west + np.mod(x - west, cylinder.turn)
        return tuple(np.asarray(values) for values in reversed(~source.transform @ (x, y)))  # type: ignore[return-value]


def assembled(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray, int]:
    found, count, blocks = np.full((2, *target.shape), np.nan), np.zeros(target.shape, int), 0
    for part in positions(source, target):
        found[0][part.window.slices], found[1][part.window.slices] = part.rows, part.cols
        count[part.window.slices] += 1
        blocks += 1
    assert (count == 1).all()
    return found[0], found[1], blocks


TARGETS = {
    "Mercator": (WORLD, tile_at("WebMercatorQuad", 5, 10, 45)),
    "UTM 31, all of it": (WORLD, tile_at("UTM31WGS84Quad", 1, 3.2, 45)),
    "UTM 31": (WORLD, tile_at("UTM31WGS84Quad", 6, 3.2, 45)),
    "Europe, all of it": (WORLD, tile_at("EuropeanETRS89_LAEAQuad", 0, 10, 50)),
    "Europe": (WORLD, tile_at("EuropeanETRS89_LAEAQuad", 6, 10, 50)),
    "the Arctic": (WORLD, tile_at("UPSArcticWGS84Quad", 0, 0, 89.99)),
    "a corner at the pole": (WORLD, tile_at("UPSArcticWGS84Quad", 4, 10, 89.99)),
    "across 180": (WORLD, Grid((192, 192), Affine(5000, 0, -1.9e6, 0, -5000, 1.9e6), crs.from_code("EPSG:3413"))),
    "across 180, beyond it": (
        ACROSS,
        Grid((300, 280), Affine(3000, 0, 5e4, 0, -3000, 8.6e6), crs.from_code("EPSG:32701")),
    ),
    "a map of the world": (UTM, tile_at("WebMercatorQuad", 2, 3.2, 45)),
    "a tile": (UTM, tile_at("WebMercatorQuad", 9, 3.2, 45)),
    "the Arctic in Mercator": (SEA, tile_at("UPSArcticWGS84Quad", 2, 0, 89.99)),
    "longitudes": (SEA, Grid((90, 370), Affine(1, 0, -185, 0, -2, 90), DEGREES)),
    "turned": (WORLD, Grid((70, 300), Affine.rotation(20) @ Affine(0.05, 0, 10, 0, -0.05, 50), MERCATOR)),
    "a line": (WORLD, Grid((1, 700), Affine(1000, 0, 4e5, 0, -1000, 5e6), crs.from_code("EPSG:32631"))),
    "a cell": (WORLD, Grid((1, 1), Affine(1000, 0, 4e5, 0, -1000, 5e6), crs.from_code("EPSG:32631"))),
}


@pytest.mark.parametrize("name", TARGETS)
def test_positions_are_those_of_proj(name: str) -> None:
    source, target = TARGETS[name]
    rows, cols, _ = assembled(source, target)
    exact_rows, exact_cols = exact(source, target)
    has_image = np.isfinite(exact_rows) & np.isfinite(exact_cols)
    assert has_image.any()
    # Far away PROJ has images for which it has no way back; near the source, all are found.
    near = has_image & (np.abs(exact_rows) < 3 * source.height) & (np.abs(exact_cols) < 3 * source.width)
    assert np.isfinite(rows[near]).all()
    assert np.isfinite(cols[near]).all()
    assert not np.isfinite(rows[~has_image]).any()
    # A millionth where all is smooth, and the promise of 1/100 at the places where it is not.
    error = np.maximum(np.abs(rows - exact_rows), np.abs(cols - exact_cols))[near]
    assert np.percentile(error, 99) <= 1e-6
    assert error.max() <= 0.01


@pytest.mark.parametrize(
    ("name", "blocks"), [("Mercator", 1), ("longitudes", 1), ("UTM 31", 1), ("Europe", 1), ("a tile", 1), ("a line", 3)]
)
def test_smooth_positions_cost_few_points(name: str, blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    transform = projection.transform
    monkeypatch.setattr(projection, "transform", lambda x, *rest: asked.append(x.size) or transform(x, *rest))
    assert assembled(*TARGETS[name])[2] == blocks
    assert sum(asked) <= 700


def test_a_grid_of_the_same_place_needs_no_transformation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "transform", lambda *_: pytest.fail("PROJ was asked"))
    target = Grid((30, 40), Affine(0.02, 0, 185.0, 0, -0.01, 3.0), crs.from_code("OGC:CRS84"))
    rows, cols, _ = assembled(WORLD, target)
    assert rows[:, 0] == pytest.approx((90 - 3.0) / 0.01 + 0.5 + np.arange(30))
    assert cols[0] == pytest.approx((185.0 + 180) / 0.01 + 1 + 2 * np.arange(40))


def test_longitudes_are_found_however_often_they_have_gone_around() -> None:
    target = Grid((9, 37), Affine(10, 0, -185, 0, -20, 90), DEGREES)
    _, cols, _ = assembled(SEA, target)
    for turns in (-3, 1, 5):
        away = Grid(target.shape, Affine.translation(360 * turns, 0) @ target.transform, DEGREES)
        assert assembled(SEA, away)[1] == pytest.approx(cols)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 300), width=st.integers(1, 300), exponent=st.floats(-1, 4.5))
def test_any_target_near_the_source_is_within_a_hundredth(seed: int, height: int, width: int, exponent: float) -> None:
    generator = np.random.default_rng(seed)
    code = str(generator.choice(["EPSG:32631", "EPSG:3035", "EPSG:3413", "EPSG:27700", "EPSG:2056", "EPSG:8857"]))
    system = crs.from_code(code)
    area = system.proj.area_of_use
    lon, lat = generator.uniform(area.west, area.east), generator.uniform(max(area.south, -85), min(area.north, 88))
    size = 10**exponent
    x, y = crs.transformer(DEGREES, system).transform(lon, lat)
    target = Grid((height, width), Affine(size, 0, x, 0, -size, y), system)
    source = Grid((1000, 1000), Affine(size / 1e5, 0, lon - size / 200, 0, -size / 1e5, lat + size / 200), DEGREES)
    rows, cols, _ = assembled(source, target)
    exact_rows, exact_cols = exact(source, target)
    near = (np.abs(exact_rows) < 2000) & (np.abs(exact_cols) < 2000)
    assert np.abs(rows - exact_rows)[near].max(initial=0) <= 0.01
    assert np.abs(cols - exact_cols)[near].max(initial=0) <= 0.01
