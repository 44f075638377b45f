"""Rasters in awkward places, from the source to the stored pixels, against pyproj (B17, B19, B20)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyproj
import pytest
from affine import Affine

import builds
import oracle
from builds import FakeSource
from geozarr import Grid, GridMismatchError, crs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from obstore.store import MemoryStore

    from pyramids import Plan

EDGE = 0.05  # source pixels: nearer than this to an edge another pixel may be taken, since positions are 0.01 px off


def numbered(shape: tuple[int, int], *, code: str, transform: Affine) -> FakeSource:
    """A raster whose pixels say which they are: 1 + row * width + column."""
    values = 1 + np.arange(shape[0] * shape[1], dtype=np.float64).reshape(shape)
    return FakeSource(values[np.newaxis], nodata=-1.0, code=code, transform=transform)


def assert_each_pixel_is_the_one_under_its_centre(
    source: FakeSource, plan: Plan, store: MemoryStore, *, turns: bool = False
) -> NDArray[np.bool_]:
    """Compare the whole finest level with one evaluation of pyproj a pixel; return where the source is."""
    found = builds.read(store, f"{plan.levels.assets[0]}/v0")
    grid = plan.levels.finest.grid
    x, y = oracle.centres(
        grid.shape,
        tuple(grid.transform)[:6],
        crs=pyproj.CRS.from_wkt(grid.crs.wkt2),
        source=pyproj.CRS.from_user_input(source.code),
    )
    if turns:
        west = source.transform.c
        x = west + (x - west) % 360
    cols, rows = oracle.in_pixels(x, y, tuple(source.transform)[:6])
    height, width = source.values.shape[-2:]
    with np.errstate(invalid="ignore"):
        inside = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
        clear = (np.abs(cols - np.round(cols)) > EDGE) & (np.abs(rows - np.round(rows)) > EDGE)
    expected = np.full(found.shape, -1.0)
    expected[inside] = 1 + np.floor(rows[inside]) * width + np.floor(cols[inside])
    looked_at = clear | ~np.isfinite(cols)
    assert looked_at.mean() > 0.5
    np.testing.assert_array_equal(found[looked_at], expected[looked_at])
    return np.asarray(inside)


@pytest.mark.parametrize(
    ("code", "transform"),
    [
        ("EPSG:32631", Affine(20000, 0, 2500000, 0, -20000, 7000000)),  # 2000 km east of its zone of 600 km
        ("EPSG:27700", Affine(20000, 0, -1500000, 0, -20000, 3500000)),  # from the Azores to Novaya Zemlya
        ("EPSG:2056", Affine(20000, 0, 1500000, 0, -20000, 3000000)),
        ("EPSG:3035", Affine(50000, 0, 0, 0, -50000, 9000000)),
    ],
)
def test_b17_beyond_the_area_of_use_each_pixel_is_still_where_the_projection_has_it(
    code: str, transform: Affine
) -> None:
    source = numbered((100, 120), code=code, transform=transform)
    plan, store = builds.build(source, resampling="nearest", max_zoom=3, min_zoom=1)
    assert assert_each_pixel_is_the_one_under_its_centre(source, plan, store).any()


def test_b17_latitudes_beyond_web_mercator_are_left_out_and_said_to_be() -> None:
    source = numbered((180, 360), code="EPSG:4326", transform=Affine(1, 0, -180, 0, -1, 90))
    plan, store = builds.build(source, resampling="nearest", max_zoom=2, min_zoom=0)
    assert any("clipped" in note for note in plan.notes)
    assert assert_each_pixel_is_the_one_under_its_centre(source, plan, store, turns=True).all()
    found = builds.read(store, f"{plan.levels.assets[0]}/v0")
    assert found.min() > 4 * 360, "rows 0 to 3 are beyond 86 degrees"
    polar = FakeSource(np.ones((1, 10, 10)), code="EPSG:4326", transform=Affine(1, 0, 0, 0, -0.1, 89))
    with pytest.raises(GridMismatchError):
        builds.plan_for(polar)


@pytest.mark.parametrize("west", [170.0, -190.0])
@pytest.mark.parametrize("tms", ["WebMercatorQuad", "WorldCRS84Quad"])
def test_b19_a_raster_across_180_degrees_fills_two_strips_and_nothing_between(tms: str, west: float) -> None:
    source = numbered((200, 200), code="EPSG:4326", transform=Affine(0.1, 0, west, 0, -0.1, 10))
    plan, store = builds.build(source, tms=tms, resampling="nearest", max_zoom=3, min_zoom=2)
    inside = assert_each_pixel_is_the_one_under_its_centre(source, plan, store, turns=True)
    columns = np.flatnonzero(inside.any(axis=0))
    width = inside.shape[1]
    assert (columns[0], columns[-1]) == (0, width - 1)
    assert columns.size <= width * 20 / 360 + 2
    stored = {int(key.rpartition("/")[2]) for key in builds.objects(store) if key.startswith("3/v0/c/")}
    assert stored == {0, width // 256 - 1}


def test_b19_a_utm_raster_across_180_degrees_has_no_band_of_smeared_pixels() -> None:
    source = numbered((300, 400), code="EPSG:32660", transform=Affine(2000, 0, 400000, 0, -2000, 6500000))
    plan, store = builds.build(source, resampling="nearest", max_zoom=3, min_zoom=2)
    inside = assert_each_pixel_is_the_one_under_its_centre(source, plan, store)
    assert inside[:, 0].any()
    assert inside[:, -1].any()
    assert not inside[:, inside.shape[1] // 2].any()


@pytest.mark.parametrize(("tms", "north"), [("UPSArcticWGS84Quad", True), ("UPSAntarcticWGS84Quad", False)])
def test_b20_a_geographic_raster_that_holds_a_pole_has_no_hole_and_no_star(tms: str, north: bool) -> None:
    transform = Affine(1, 0, -180, 0, -1, 90 if north else -60)
    source = numbered((30, 360), code="EPSG:4326", transform=transform)
    plan, store = builds.build(source, tms=tms, resampling="nearest", max_zoom=3, min_zoom=1)
    inside = assert_each_pixel_is_the_one_under_its_centre(source, plan, store, turns=True)
    found = builds.read(store, f"{plan.levels.assets[0]}/v0")
    grid = plan.levels.finest.grid
    x, y = np.meshgrid(grid.x_centres(), grid.y_centres())
    near = np.hypot(x - 2_000_000, y - 2_000_000) < 3_000_000  # about 63 degrees: no pixel may be missing
    assert near.any()
    assert inside[near].all()
    assert (found[near] > 0).all()
    assert plan.levels.finest.grid.crs.code


@pytest.mark.parametrize(("code", "top"), [("EPSG:3413", True), ("EPSG:3031", False)])
def test_b20_a_polar_raster_reaches_round_the_whole_edge_of_web_mercator(code: str, top: bool) -> None:
    source = numbered((200, 200), code=code, transform=Affine(25000, 0, -2500000, 0, -25000, 2500000))
    plan, store = builds.build(source, resampling="nearest", max_zoom=3, min_zoom=1)
    inside = assert_each_pixel_is_the_one_under_its_centre(source, plan, store)
    edge = inside[0] if top else inside[-1]
    assert edge.all(), "a pole is a whole edge of the map"
    found = builds.read(store, f"{plan.levels.assets[0]}/v0")
    assert (found[0 if top else -1] > 0).all()


def test_b20_a_polar_raster_on_its_own_grid_is_kept_as_it_is() -> None:
    source = numbered((64, 64), code="EPSG:3031", transform=Affine(25000, 0, -800000, 0, -25000, 800000))
    plan, store = builds.build(source, tms="native")
    assert plan.levels.finest.grid == Grid((64, 64), source.transform, crs.from_code("EPSG:3031"))
    np.testing.assert_array_equal(builds.read(store, "0/v0"), source.values[0])
