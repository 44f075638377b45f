from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import rasterize

from geozarr import crs
from geozarr.errors import ParameterError
from geozarr.grid import Bounds
from sphere import DEGREES, MERCATOR, TURN
from tiler import geometry, projection
from tiler.geometry import Part, bounds_of, carried, parts_of, repeated, to_document

POLAR = crs.from_code("EPSG:3413")
RING = [[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0], [0.0, 0.0]]
HOLE = [[1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 1.0]]


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def box(xmin: float, ymin: float, xmax: float, ymax: float) -> dict[str, Any]:
    return polygon([[xmin, ymin], [xmax, ymin], [xmax, ymax], [xmin, ymax], [xmin, ymin]])


GOOD = {
    "a point": ({"type": "Point", "coordinates": [1, 2]}, [("Point", 1)]),
    "a point with a height": ({"type": "Point", "coordinates": (1, 2, 3)}, [("Point", 1)]),
    "points": ({"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]}, [("Point", 1), ("Point", 1)]),
    "a line": ({"type": "LineString", "coordinates": [[1, 2], [3, 4]]}, [("LineString", 1)]),
    "lines": ({"type": "MultiLineString", "coordinates": [[[1, 2], [3, 4]]] * 3}, [("LineString", 1)] * 3),
    "a polygon": (polygon(RING, HOLE), [("Polygon", 2)]),
    "polygons": ({"type": "MultiPolygon", "coordinates": [[RING, HOLE], [RING]]}, [("Polygon", 2), ("Polygon", 1)]),
    "a collection": (
        {"type": "GeometryCollection", "geometries": [polygon(RING), {"type": "Point", "coordinates": [1, 2]}]},
        [("Polygon", 1), ("Point", 1)],
    ),
    "a feature": ({"type": "Feature", "geometry": polygon(RING), "properties": None}, [("Polygon", 1)]),
    "numbers of numpy": ({"type": "Point", "coordinates": (np.float64(1), np.int32(2))}, [("Point", 1)]),
}


@pytest.mark.parametrize("name", GOOD)
def test_geometries_are_read(name: str) -> None:
    document, expected = GOOD[name]
    found = parts_of(document)
    assert [(part.kind, len(part.lines)) for part in found] == expected
    assert all(line.shape[1] == 2 for part in found for line in part.lines)


def test_an_open_ring_is_closed() -> None:
    (part,) = parts_of(polygon(RING[:-1]))
    assert part.lines[0].tolist() == RING


def nested(depth: int) -> dict[str, Any]:
    return polygon(RING) if depth == 0 else {"type": "GeometryCollection", "geometries": [nested(depth - 1)]}


def test_collections_may_be_nested_a_little() -> None:
    assert len(parts_of(nested(geometry.MAX_DEPTH))) == 1
    with pytest.raises(ParameterError, match="collections"):
        parts_of(nested(geometry.MAX_DEPTH + 1))


@pytest.mark.parametrize(
    "document",
    [
        None,
        7,
        "Point",
        [],
        {},
        {"type": "Feature", "geometry": None},
        {"type": "FeatureCollection", "features": []},
        {"type": "Circle", "coordinates": [0, 0]},
        {"type": "Point"},
        {"type": "Point", "coordinates": [1]},
        {"type": "Point", "coordinates": [1, "2"]},
        {"type": "Point", "coordinates": [1, True]},
        {"type": "Point", "coordinates": [1, math.nan]},
        {"type": "Point", "coordinates": [1, math.inf]},
        {"type": "Point", "coordinates": [1, 10**400]},
        {"type": "Point", "coordinates": [1, 2, 3, 4, 5]},
        {"type": "Point", "coordinates": {"0": 1}},
        {"type": "MultiPoint", "coordinates": []},
        {"type": "LineString", "coordinates": [[1, 2]]},
        {"type": "LineString", "coordinates": [1, 2]},
        {"type": "MultiLineString", "coordinates": [[]]},
        {"type": "MultiLineString", "coordinates": 3},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [RING[:3]]},
        {"type": "Polygon", "coordinates": RING},
        {"type": "MultiPolygon", "coordinates": [RING]},
        {"type": "GeometryCollection", "geometries": []},
        {"type": "GeometryCollection", "geometries": {}},
        {"type": "GeometryCollection"},
        {"type": ["Point"], "coordinates": [0, 0]},
    ],
)
def test_what_is_no_geometry_is_refused(document: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        parts_of(document)
    assert caught.value.parameter == "geometry"


@pytest.mark.parametrize("kind", ["MultiPoint", "LineString", "MultiLineString", "MultiPolygon", "collection"])
def test_positions_are_counted_over_all_parts(kind: str) -> None:
    def made(count: int) -> dict[str, Any]:
        positions = [[float(index % 180), 1.0] for index in range(count)]
        if kind == "MultiLineString":
            return {"type": kind, "coordinates": [positions[: count // 2], positions[count // 2 :]]}
        if kind == "MultiPolygon":
            return {"type": kind, "coordinates": [[positions[: count // 2]], [positions[count // 2 :]]]}
        if kind == "collection":
            lines = [
                {"type": "LineString", "coordinates": positions[start : start + 2]} for start in range(0, count, 2)
            ]
            return {"type": "GeometryCollection", "geometries": lines}
        return {"type": kind, "coordinates": positions}

    parts_of(made(geometry.MAX_POSITIONS))
    with pytest.raises(ParameterError, match="20000 positions"):
        parts_of(made(geometry.MAX_POSITIONS + 2))


def test_the_box_of_parts_is_the_shortest_way_around() -> None:
    both = {
        "type": "MultiPolygon",
        "coordinates": [box(170, -5, 180, 5)["coordinates"], box(-180, -5, -160, 7)["coordinates"]],
    }
    assert bounds_of(parts_of(both), DEGREES) == (170, -5, 200, 7)
    assert bounds_of(parts_of(both), POLAR) == (-180, -5, 180, 7)
    assert bounds_of(parts_of(both), None) == (-180, -5, 180, 7)
    # One polygon is as wide as it says, and what is not cut in two stays where it is.
    assert bounds_of(parts_of(box(-170, -5, 170, 5)), DEGREES) == (-170, -5, 170, 5)
    near = {"type": "MultiPoint", "coordinates": [[-10, 0], [20, 1], [5, 2]]}
    assert bounds_of(parts_of(near), DEGREES) == (-10, 0, 20, 2)
    far = {"type": "MultiPoint", "coordinates": [[-170, 0], [20, 1], [150, 2]]}
    assert bounds_of(parts_of(far), DEGREES) == (20, 0, 190, 2)
    inner = {
        "type": "MultiPolygon",
        "coordinates": [box(160, 0, 200, 1)["coordinates"], box(-175, 0, -170, 1)["coordinates"]],
    }
    assert bounds_of(parts_of(inner), DEGREES) == (160, 0, 200, 1)


@given(
    lons=st.lists(st.integers(-180, 179), min_size=2, max_size=8),
)
def test_the_box_of_points_holds_each_in_some_turn_and_none_is_narrower(lons: list[int]) -> None:
    found = bounds_of(parts_of({"type": "MultiPoint", "coordinates": [[lon, 0] for lon in lons]}), DEGREES)
    assert all(any(found.xmin - 1e-9 <= lon + turn <= found.xmax + 1e-9 for turn in (-360, 0, 360)) for lon in lons)
    narrowest = min(max((lon - first) % 360 for lon in lons) for first in lons)
    assert found.xmax - found.xmin == pytest.approx(narrowest)


@pytest.mark.parametrize(
    ("code", "tolerance"), [("EPSG:3413", 1000.0), ("EPSG:3413", 10.0), ("EPSG:32633", 100.0), ("EPSG:3035", 500.0)]
)
def test_lines_are_followed_as_closely_as_asked(code: str, tolerance: float) -> None:
    target = crs.from_code(code)
    (part,) = carried(parts_of(box(5, 45, 25, 70)), DEGREES, target, tolerance=tolerance)
    ring = part.lines[0]
    assert np.array_equal(ring[0], ring[-1])
    # Points between those of the ring, asked of PROJ, lie nearly on its sides: at most 4/3 of what a middle may be
    # off, since a piece is nearly a parabola.
    along = np.linspace(0, 1, 5001)
    for (x0, y0), (x1, y1) in (((5, 45), (25, 45)), ((25, 45), (25, 70)), ((25, 70), (5, 70)), ((5, 70), (5, 45))):
        x, y = crs.transformer(DEGREES, target).transform(x0 + along * (x1 - x0), y0 + along * (y1 - y0))
        assert distances(np.column_stack([x, y]), ring).max() <= tolerance * 4 / 3
    assert len(ring) < 2000


def test_a_line_whose_middle_is_on_its_chord_is_followed_too() -> None:
    """Through the origin of UTM 33, which turns about it by half: an S."""
    target = crs.from_code("EPSG:32633")
    (part,) = carried(
        parts_of({"type": "LineString", "coordinates": [[-5, -30], [35, 30]]}), DEGREES, target, tolerance=1000.0
    )
    along = np.linspace(0, 1, 1001)
    x, y = crs.transformer(DEGREES, target).transform(-5 + 40 * along, -30 + 60 * along)
    points = np.column_stack([x, y])
    assert distances(points, points[[0, -1]]).max() > 50_000
    assert distances(points, part.lines[0]).max() <= 1000 * 4 / 3


def distances(points: np.ndarray, ring: np.ndarray) -> np.ndarray:
    start, step = ring[:-1], np.diff(ring, axis=0)
    share = np.clip(((points[:, None] - start) * step).sum(2) / (step**2).sum(1), 0, 1)
    return np.hypot(*np.moveaxis(points[:, None] - start - share[..., None] * step, 2, 0)).min(axis=1)


def test_the_same_place_is_not_carried() -> None:
    parts = parts_of(polygon(RING))
    assert carried(parts, DEGREES, crs.from_code("OGC:CRS84"), tolerance=1.0) == parts


def test_what_lies_across_the_antimeridian_counts_on() -> None:
    for west in (170, -190):
        (part,) = carried(parts_of(box(west, -20, west + 20, 0)), DEGREES, MERCATOR, tolerance=1000.0)
        assert part.bounds.xmax - part.bounds.xmin == pytest.approx(TURN / 18)
    (part,) = carried(parts_of(box(1e5, 7.8e6, 9e5, 8.2e6)), crs.from_code("EPSG:32760"), DEGREES, tolerance=0.01)
    assert 170 < part.bounds.xmin < 180 < part.bounds.xmax < 185


def test_parts_are_repeated_where_the_globe_brings_them() -> None:
    (part,) = parts_of(box(-175, 0, -170, 1))
    found = list(repeated([part], Bounds(170, -10, 200, 10), DEGREES))
    assert [one.bounds for one in found] == [(185, 0, 190, 1)]
    assert [one.bounds.xmin for one in repeated([part], Bounds(-180, -10, 540, 10), DEGREES)] == [-175, 185]
    assert list(repeated([part], Bounds(170, -10, 200, 10), POLAR)) == [part]
    assert list(repeated([part], Bounds(0, -10, 100, 10), DEGREES)) == []
    assert len(list(repeated([part], Bounds(-1e300, -10, 1e300, 10), DEGREES))) <= 8


def test_a_ring_around_a_pole_is_led_over_it() -> None:
    circle = [[1e6 * math.cos(angle), 1e6 * math.sin(angle)] for angle in np.linspace(0, 2 * math.pi, 200)]
    (part,) = carried(parts_of(polygon(circle)), POLAR, DEGREES, tolerance=0.01)
    assert part.bounds.xmax - part.bounds.xmin == pytest.approx(360)
    assert part.bounds.ymax == 90
    # The circle lies 1000 km of the map from the pole: true at 70 N, so about 9 degrees.
    assert 80 < part.bounds.ymin < 82


def test_little_is_asked_where_nothing_has_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    transform = projection.transform
    monkeypatch.setattr(projection, "transform", lambda x, *rest: asked.append(x.size) or transform(x, *rest))
    assert carried(parts_of(box(3, 91, 5, 95)), DEGREES, MERCATOR, tolerance=10.0) == ()
    assert sum(asked) < 100


def test_what_has_no_image_is_left_out() -> None:
    (part,) = carried(parts_of(box(-10, 80, 10, 90)), DEGREES, MERCATOR, tolerance=1000.0)
    assert np.isfinite(part.lines[0]).all()
    assert part.bounds.ymax > TURN / 2
    assert carried(parts_of(box(3, 66.5, 5, 67.5)), DEGREES, crs.from_code("EPSG:5514"), tolerance=10.0) == ()
    assert carried(parts_of({"type": "Point", "coordinates": [0, 91]}), DEGREES, MERCATOR, tolerance=1.0) == ()
    line = {"type": "LineString", "coordinates": [[0, 80], [0, 100]]}
    (part,) = carried(parts_of(line), DEGREES, MERCATOR, tolerance=1000.0)
    assert part.bounds.ymin == pytest.approx(6378137 * math.asinh(math.tan(math.radians(80))), rel=1e-9)


def test_points_do_not_multiply_without_end() -> None:
    generator = np.random.default_rng(3)
    positions = generator.uniform((-180, -90), (180, 90), (geometry.MAX_POSITIONS, 2)).tolist()
    (part,) = carried(
        parts_of({"type": "LineString", "coordinates": positions}), DEGREES, crs.from_code("EPSG:32633"), tolerance=1e-6
    )
    assert len(part.lines[0]) <= 100_000


IDENTITY = Affine(1.0, 0.0, 0.0, 0.0, -1.0, 64.0)


def burnt(document: dict[str, Any] | None) -> np.ndarray:
    assert document is not None
    return rasterize([document], out_shape=(64, 64), transform=IDENTITY, all_touched=True, dtype="uint8")


@pytest.mark.parametrize("far", [1e3, 1e9, 2.0**31, 1e11, 9e11])
@pytest.mark.parametrize(
    ("shape", "near"),
    [
        (lambda far: box(-far, -far, far, far), box(-100, -100, 164, 164)),
        (lambda far: box(10, 10, 20, far), box(10, 10, 20, 164)),
        (lambda far: box(-far, 30.5, far, 31.5), box(-100, 30.5, 164, 31.5)),
        (
            lambda far: polygon([[10, 10], [far, 10], [far, far], [10, 10]]),
            polygon([[10, 10], [164, 10], [164, 164], [10, 10]]),
        ),
        (
            lambda far: {"type": "LineString", "coordinates": [[-far, 10.5], [far, 10.5]]},
            {"type": "LineString", "coordinates": [[-100, 10.5], [164, 10.5]]},
        ),
        (
            lambda far: {"type": "LineString", "coordinates": [[5.5, 5.5], [5.5, far], [20.5, far], [20.5, 2.5]]},
            {"type": "MultiLineString", "coordinates": [[[5.5, 5.5], [5.5, 164]], [[20.5, 164], [20.5, 2.5]]]},
        ),
    ],
)
def test_what_reaches_far_beyond_a_grid_is_burnt_as_well(shape: Any, near: dict[str, Any], far: float) -> None:
    """GDAL alone burns nothing of a polygon that reaches over 2**31 cells."""
    (part,) = parts_of(shape(far))
    assert np.array_equal(burnt(to_document(part, IDENTITY)), burnt(near))


def test_what_is_far_away_altogether_is_nothing() -> None:
    for document in (
        {"type": "Point", "coordinates": [9e11, 0]},
        {"type": "LineString", "coordinates": [[9e11, 0], [9e11, 5]]},
    ):
        (part,) = parts_of(document)
        assert to_document(part, Affine.scale(0.5)) is None
    (part,) = parts_of(box(8e11, 0, 9e11, 1))
    document = to_document(part, IDENTITY)
    assert document is None or not burnt(document).any()


def test_a_part_knows_its_box() -> None:
    assert Part("Polygon", (np.array(RING), np.array(HOLE))).bounds == (0, 0, 4, 3)
