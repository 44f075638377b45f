"""Where a source lies and how large its pixels are in another CRS (P-12, P-13; B17, B19, B20)."""

from __future__ import annotations

import math

import numpy as np
import pyproj
import pytest
from affine import Affine

import oracle
from geozarr import Bounds, Grid, GridMismatchError, UnsupportedError, crs, tms
from pyramids import footprint

HALF = math.pi * 6378137
WORLD = Bounds(-HALF, -HALF, HALF, HALF)
DEGREES = Bounds(-180, -90, 180, 90)

SOURCES = {
    "utm": ("EPSG:32618", (300, 0, 101985, 0, -300, 2826915), (718, 791)),
    "far north": ("EPSG:32633", (500, 0, 300000, 0, -500, 9300000), (400, 700)),
    "antimeridian": ("EPSG:32660", (1000, 0, 400000, 0, -1000, 6500000), (500, 700)),
    "antarctic": ("EPSG:3031", (25000, 0, -3950000, 0, -25000, 4350000), (332, 316)),
    "arctic off the pole": ("EPSG:3413", (10000, 0, -1000000, 0, -10000, -500000), (200, 250)),
    "laea": ("EPSG:3035", (10000, 0, 2500000, 0, -10000, 5500000), (450, 500)),
    "albers": ("EPSG:3577", (30000, 0, -2000000, 0, -30000, -900000), (124, 133)),
    "whole world": ("EPSG:4326", (1, 0, -180, 0, -1, 90), (180, 360)),
    "from 0 to 360": ("EPSG:4326", (1, 0, 0, 0, -1, 60), (120, 360)),
    "across 180 in 0 to 360": ("EPSG:4326", (0.1, 0, 170, 0, -0.1, -10), (200, 250)),
    "beyond 180": ("EPSG:4326", (0.1, 0, 190, 0, -0.1, 20), (100, 100)),
    "rotated": ("EPSG:32633", (300, 200, 300000, 200, -300, 5500000), (500, 600)),
    "south-up": ("EPSG:4326", (0.1, 0, 10, 0, 0.1, 20), (100, 150)),
    "geographic of another datum": ("EPSG:4267", (0.1, 0, -100, 0, -0.1, 45), (100, 150)),
    "national": ("EPSG:27700", (1000, 0, 0, 0, -1000, 1300000), (1300, 700)),
}


def grid(name: str) -> Grid:
    """A source of the table."""
    code, transform, shape = SOURCES[name]
    return Grid(shape, Affine(*transform), crs.from_code(code))


def reached(source: Grid, code: str, area: Bounds, size: int = 700) -> tuple[np.ndarray, np.ndarray]:
    """Points all over an area that pyproj carries into a source: what its extent must hold."""
    x, y = np.meshgrid(np.linspace(area.xmin, area.xmax, size), np.linspace(area.ymin, area.ymax, size))
    source_x, source_y = oracle.carried(
        x.ravel(), y.ravel(), crs=pyproj.CRS(code), source=pyproj.CRS.from_wkt(source.crs.wkt2)
    )
    if source.crs.is_geographic:
        west = source.bounds.xmin
        source_x = west + (source_x - west) % 360
    col, row = oracle.in_pixels(source_x, source_y, tuple(source.transform)[:6])
    inside = (col >= 0) & (col <= source.width) & (row >= 0) & (row <= source.height)
    return x.ravel()[inside], y.ravel()[inside]


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(("code", "area"), [("EPSG:3857", WORLD), ("OGC:CRS84", DEGREES)])
def test_b19_b20_the_extent_holds_every_point_that_the_source_reaches(name: str, code: str, area: Bounds) -> None:
    """P-12, B19, B20: half a million points of the target carried back, whatever lies between source and target."""
    source = grid(name)
    box = footprint.extent(source, crs.from_code(code), area)
    x, y = reached(source, code, area)
    assert x.size > 10, "the case must be seen"
    slack = 1e-6
    assert box.xmin <= x.min() + slack
    assert box.xmax >= x.max() - slack
    assert box.ymin <= y.min() + slack
    assert box.ymax >= y.max() - slack


@pytest.mark.parametrize("name", ["utm", "laea", "albers", "south-up", "rotated", "national", "beyond 180"])
def test_the_extent_is_not_much_larger_than_needed(name: str) -> None:
    """At most two source pixels on each side."""
    source = grid(name)
    box = footprint.extent(source, crs.from_code("EPSG:3857"), WORLD)
    around = Bounds(box.xmin, box.ymin, box.xmax, box.ymax)
    x, y = reached(source, "EPSG:3857", around, size=900)
    cell_x, cell_y = footprint.cell_size(source, crs.from_code("EPSG:3857"))
    step_x, step_y = (box.xmax - box.xmin) / 899, (box.ymax - box.ymin) / 899
    assert x.min() - box.xmin < 3 * cell_x + step_x
    assert box.xmax - x.max() < 3 * cell_x + step_x
    assert y.min() - box.ymin < 3 * cell_y + step_y
    assert box.ymax - y.max() < 3 * cell_y + step_y


def test_the_extent_in_the_same_crs_is_exact() -> None:
    """No margin, so that a raster on a tile's edge takes no tile beyond."""
    source = Grid((256, 512), Affine(HALF / 1024, 0, 0, 0, -HALF / 1024, HALF / 2), crs.from_code("EPSG:3857"))
    box = footprint.extent(source, crs.from_code("EPSG:3857"), WORLD)
    assert box == pytest.approx((0, HALF / 4, HALF / 2, HALF / 2), abs=1e-6)


@pytest.mark.parametrize(
    ("west", "width", "expected"),
    [
        (0, 360, (-180, 180)),  # both halves of the world
        (190, 10, (-170, -160)),  # one turn on
        (-200, 10, (160, 170)),
        (170, 20, (-180, 180)),  # on both sides: the box around is the world
        (-180, 360, (-180, 180)),
        (20, 30, (20, 50)),
    ],
)
def test_longitudes_of_other_turns_are_found(west: float, width: float, expected: tuple[float, float]) -> None:
    """P-12: 190 degrees east lies in a set of degrees from -180 to 180."""
    source = Grid((20, int(width)), Affine(1, 0, west, 0, -1, 10), crs.from_code("EPSG:4326"))
    box = footprint.extent(source, crs.from_code("OGC:CRS84"), DEGREES)
    assert (box.xmin, box.xmax) == expected
    assert footprint.resolution(source, crs.from_code("OGC:CRS84"), DEGREES) == pytest.approx(1)
    assert not footprint.is_clipped(source, crs.from_code("OGC:CRS84"), DEGREES)


def test_b17_latitudes_beyond_web_mercator_are_clipped_and_said_to_be() -> None:
    """P-13, B17: the poles of Web Mercator are finite or infinite by the PROJ version, never in the extent."""
    mercator = crs.from_code("EPSG:3857")
    world = grid("whole world")
    assert footprint.extent(world, mercator, WORLD) == pytest.approx(tuple(WORLD))
    assert footprint.is_clipped(world, mercator, WORLD)
    for name in ("utm", "laea", "from 0 to 360", "south-up"):
        assert not footprint.is_clipped(grid(name), mercator, WORLD)
    assert footprint.is_clipped(grid("antarctic"), mercator, WORLD)


def test_b17_a_source_outside_the_area_is_refused() -> None:
    """B17: a raster south of Web Mercator, and Europe in a set of New Zealand."""
    pole = Grid((10, 10), Affine(1000, 0, -5000, 0, -1000, 5000), crs.from_code("EPSG:3031"))
    with pytest.raises(GridMismatchError) as caught:
        footprint.extent(pole, crs.from_code("EPSG:3857"), WORLD)
    assert "EPSG:3857" in caught.value.what
    zealand = tms.load("NZTM2000Quad")
    with pytest.raises(GridMismatchError):
        footprint.extent(
            Grid((10, 10), Affine(10, 0, 500000, 0, -10, 100000), crs.from_code("EPSG:27700")),
            zealand.crs,
            zealand.tile_bounds(zealand.ids[-1], row=0, col=0),
        )


def test_another_body_is_refused() -> None:
    mars = crs.from_pyproj(pyproj.CRS.from_proj4("+proj=eqc +R=3396190 +units=m +no_defs"))
    source = Grid((10, 10), Affine(5, 0, 0, 0, -5, 0), mars)
    with pytest.raises(UnsupportedError) as caught:
        footprint.extent(source, crs.from_code("EPSG:3857"), WORLD)
    assert "different bodies" in caught.value.reason


@pytest.mark.parametrize("latitude", [0.0, 45.0, 60.0, -60.0])
def test_resolution_keeps_the_area_of_a_pixel(latitude: float) -> None:
    """A metre is 1 / cos(latitude) metres of Web Mercator; 1.5e-2: scale of the spheroid and of UTM at its edge."""
    easting, northing = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform(15, latitude)
    shift = 10_000_000 if latitude < 0 else 0
    code = "EPSG:32733" if latitude < 0 else "EPSG:32633"
    corner = (easting - 1500, northing + shift + 1500)
    source = Grid((100, 100), Affine(30, 0, corner[0], 0, -30, corner[1]), crs.from_code(code))
    found = footprint.resolution(source, crs.from_code("EPSG:3857"), WORLD)
    assert found == pytest.approx(30 / math.cos(math.radians(latitude)), rel=1.5e-2)


def test_resolution_of_pixels_that_are_not_square_is_their_geometric_mean() -> None:
    source = Grid((100, 100), Affine(4, 0, 500000, 0, -9, 10), crs.from_code("EPSG:32631"))
    assert footprint.resolution(source, source.crs, source.bounds) == pytest.approx(6)
    assert footprint.cell_size(source, source.crs) == (4, 9)
