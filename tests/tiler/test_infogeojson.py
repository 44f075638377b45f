"""The place of a pyramid as GeoJSON, also across the antimeridian and about a pole."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from geozarr import tms
from geozarr.grid import Bounds
from offered import native, pyramid
from tiler import describe


def bounds_of(code: str, left: float, top: float, width: float, height: float) -> Bounds | None:
    return describe.geojson_bounds(pyramid(native(code, left=left, top=top, width=width, height=height)))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-180, 90, 360, 180), (-180, -90, 180, 90)),
        ((0, 90, 360, 180), (-180, -90, 180, 90)),
        ((170, 10, 20, 20), (170, -10, -170, 10)),
        ((-190, 10, 20, 20), (170, -10, -170, 10)),
        ((170, 10, 10, 20), (170, -10, 180, 10)),
        ((180, 10, 10, 20), (-180, -10, -170, 10)),
        ((-190, 10, 10, 20), (170, -10, 180, 10)),
        ((-5, 90.25, 10, 20), (-5, 70.25, 5, 90)),
        ((-180, 10, 10, 20), (-180, -10, -170, 10)),
        ((-180, 10, 350, 20), (-180, -10, 170, 10)),
        ((0, 10, 300, 20), (0, -10, -60, 10)),
        ((0, 10, 350, 20), (-180, -10, 180, 10)),
        ((200, 10, 20, 20), (-160, -10, -140, 10)),
    ],
)
def test_degrees_are_told_from_minus_180_to_180(box: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert bounds_of("EPSG:4326", *box) == pytest.approx(expected)


@given(st.floats(-180, 180), st.floats(1, 300))
def test_a_box_of_degrees_keeps_its_width(west: float, width: float) -> None:
    found = bounds_of("EPSG:4326", west, 10, width, 20)
    assert found is not None
    assert -180 <= found.xmin <= 180
    assert -180 <= found.xmax <= 180
    assert (found.xmax - found.xmin) % 360 == pytest.approx(width, abs=1e-6)
    assert math.cos(math.radians(found.xmin - west)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("code", "box"),
    [
        ("EPSG:32601", (100_000, 5_000_000, 400_000, 400_000)),
        ("EPSG:32760", (700_000, 8_300_000, 400_000, 400_000)),
        ("EPSG:3832", (2_000_000, 3_000_000, 4_000_000, 4_000_000)),
    ],
)
def test_projected_data_across_the_antimeridian_have_west_above_east(code: str, box: tuple[float, ...]) -> None:
    left, top, width, height = box
    # Longitudes are continuous across the antimeridian when counted from 0 to 360.
    transformer = Transformer.from_crs(code, "EPSG:4326", always_xy=True)
    edges = [
        (left + width * u / 200, top - height * v / 200)
        for u in range(201)
        for v in range(201)
        if u in (0, 200) or v in (0, 200)
    ]
    longitudes = [transformer.transform(x, y)[0] % 360 for x, y in edges]
    found = bounds_of(code, *box)
    assert found is not None
    assert found.xmin > found.xmax
    # Between samples an edge bends by at most a thousandth of the box.
    assert found.xmin == pytest.approx(min(longitudes), abs=width / 1e8)
    assert found.xmax == pytest.approx(max(longitudes) - 360, abs=width / 1e8)


def test_rounding_at_the_antimeridian_is_no_crossing() -> None:
    projected = Transformer.from_crs("EPSG:4326", "EPSG:3832", always_xy=True)
    back = Transformer.from_crs("EPSG:3832", "EPSG:4326", always_xy=True)
    left, _ = projected.transform(-180, 0)
    assert 179.999 < back.transform(left, 0)[0] < 180  # and not -180
    found = bounds_of("EPSG:3832", left, 1e6, 1e6, 2e6)
    assert found is not None
    assert found.xmin == -180
    assert found.xmax == pytest.approx(-180 + math.degrees(1e6 / 6378137))


def test_what_holds_a_pole_goes_all_around() -> None:
    for left in (-4e6, -1e5, -1e3):
        found = bounds_of("EPSG:3995", left, 4e6, 8e6, 8e6)
        assert found is not None
        assert (found.xmin, found.xmax, found.ymax) == (-180, 180, 90)
    south = bounds_of("EPSG:3031", -3e6, 1e3, 6e6, 3e6)
    assert south is not None
    assert (south.xmin, south.ymin, south.xmax) == (-180, -90, 180)
    # The quarter from 0 to 90 degrees east has the pole for its corner.
    assert bounds_of("EPSG:3031", 0, 3e6, 3e6, 3e6)[:3] == pytest.approx((0, -90, 90))


def test_the_whole_of_web_mercator_goes_all_around() -> None:
    quad = tms.load("WebMercatorQuad")
    side = 2 * 20037508.342789244
    found = bounds_of("EPSG:3857", -side / 2, side / 2, side, side)
    assert found == pytest.approx((-180, -85.0511287798, 180, 85.0511287798))
    half = bounds_of("EPSG:3857", *quad.matrix("0").top_left, side / 4, side)
    assert (half.xmin, half.xmax) == pytest.approx((-180, -90))
    other = bounds_of("EPSG:3857", side / 4, side / 2, side / 4, side)
    assert (other.xmin, other.xmax) == pytest.approx((90, 180))


def test_a_feature_holds_the_box_and_the_description() -> None:
    description = {"name": "x", "levels": []}
    made = pyramid(native("EPSG:4326", left=1, top=4, width=2, height=1))
    assert describe.infogeojson(made, description) == {
        "type": "Feature",
        "bbox": [1, 3, 3, 4],
        "geometry": {"type": "Polygon", "coordinates": [[[1, 3], [3, 3], [3, 4], [1, 4], [1, 3]]]},
        "properties": description,
    }


def test_a_box_across_the_antimeridian_is_cut_in_two() -> None:
    found = describe.infogeojson(pyramid(native("EPSG:4326", left=177, top=-16, width=5, height=2)), {})
    assert found["bbox"] == pytest.approx([177, -18, -178, -16])
    assert found["geometry"] == {
        "type": "MultiPolygon",
        "coordinates": [
            [[[177, -18], [180, -18], [180, -16], [177, -16], [177, -18]]],
            [[[-180, -18], [-178, -18], [-178, -16], [-180, -16], [-180, -18]]],
        ],
    }


@given(st.floats(-180, 180), st.floats(1, 300))
def test_rings_are_closed_counterclockwise_and_within_the_earth(west: float, width: float) -> None:
    made = pyramid(native("EPSG:4326", left=west, top=10, width=width, height=20))
    geometry = describe.infogeojson(made, {})["geometry"]
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    for (ring,) in polygons:
        assert ring[0] == ring[-1]
        assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in ring)
        area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in itertools.pairwise(ring)) / 2
        assert area >= 0
    total = sum(ring[1][0] - ring[0][0] for (ring,) in polygons)
    assert total == pytest.approx(width, abs=1e-6)


def test_the_stated_extent_of_the_data_comes_first() -> None:
    stated = Bounds(1.0, 2.0, 3.0, 4.0)
    made = pyramid(native("EPSG:3857", left=0, top=1e6, width=1e6, height=1e6), data_bounds=stated)
    assert describe.geojson_bounds(made) == stated


def test_another_body_has_no_place_on_the_earth() -> None:
    made = pyramid(native("IAU_2015:49910", left=0, top=10, width=10, height=10))
    assert describe.infogeojson(made, {"name": "mars"}) == {
        "type": "Feature",
        "geometry": None,
        "properties": {"name": "mars"},
    }
