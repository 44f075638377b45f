"""Pictures and statistics of boxes, of everything, and of geometries."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rio_tiler.io import Reader
from starlette.testclient import TestClient

from tiler import body as body_module
from tiler.app import create_app
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORLD = 20037508.342789244
CELL = 2 * WORLD / 2**18  # of zoom 10, metres of the projection
LEFT, TOP = -WORLD + 214 * 256 * CELL, WORLD - 390 * 256 * CELL  # of the pyramids, see conftest.py
CODE = "coord_crs=EPSG:3857"


def box(row: int, col: int, height: int, width: int) -> str:
    """Sides of a window of the finest level, in units of Web Mercator."""
    left, top = LEFT + col * CELL, TOP - row * CELL
    return f"{left!r},{top - height * CELL!r},{left + width * CELL!r},{top!r}"


def polygon(row: int, col: int, height: int, width: int) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = map(float, box(row, col, height, width).split(","))
    ring = [[xmin, ymin], [xmax, ymin], [xmax, ymax], [xmin, ymax], [xmin, ymin]]
    return {"type": "Polygon", "coordinates": [ring]}


@pytest.fixture(scope="module")
def client(stores: dict[str, Any]) -> Iterator[TestClient]:
    datasets = tuple(Dataset(name, stored.path) for name, stored in stores.items())
    with TestClient(create_app(Settings(datasets)), raise_server_exceptions=False) as client:
        yield client


def npy(response: Any) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content))


@pytest.mark.parametrize("name", ["bbox", "part"])
def test_an_aligned_box_has_the_stored_cells(client: TestClient, stores: dict[str, Any], name: str) -> None:
    found = npy(client.get(f"/count/{name}/{box(40, 300, 100, 150)}.npy?{CODE}"))
    expected = stores["count"].array("10", "count")[40:140, 300:450]
    assert np.array_equal(found[0], expected)
    assert np.array_equal(found[1] > 0, expected > 0)


def test_a_box_has_the_size_that_is_asked_for(client: TestClient) -> None:
    place = f"/height/bbox/{box(0, 0, 100, 200)}"
    for tail, shape in (
        ("/64x32.npy?", (32, 64)),
        (".npy?width=64&height=32&", (32, 64)),
        (".npy?width=50&", (25, 50)),
        (".npy?height=50&", (50, 100)),
        (".npy?max_size=20&", (10, 20)),
        (".npy?", (100, 200)),
    ):
        assert npy(client.get(f"{place}{tail}{CODE}")).shape == (2, *shape)


def test_a_box_in_degrees_is_drawn_in_degrees(client: TestClient, tmp_path: Path) -> None:
    """Beside rio-tiler, which reads the same level from a GeoTIFF."""
    answer = client.get(f"/count/bbox/{box(0, 0, 512, 512)}.tif?{CODE}")
    path = tmp_path / "level.tif"
    path.write_bytes(answer.content)
    bounds = (-104.7, 39.4, -104.3, 39.7)
    found = npy(client.get(f"/count/bbox/{','.join(map(str, bounds))}/120x90.npy"))
    with Reader(str(path)) as reader:
        expected = reader.part(bounds, dst_crs="EPSG:4326", bounds_crs="EPSG:4326", width=120, height=90)
    same = (found[0] == expected.array.data[0]) & ((found[1] > 0) == ~expected.array.mask[0])
    assert same.mean() > 0.97  # nearest neighbours differ where GDAL approximates the warp
    assert found.shape == (2, 90, 120)


def test_a_geotiff_says_where_it_is(client: TestClient, stores: dict[str, Any]) -> None:
    answer = client.get(f"/height/bbox/{box(40, 300, 100, 150)}.tif?{CODE}")
    assert answer.headers["content-type"].startswith("image/tiff")
    with rasterio.MemoryFile(answer.content) as file, file.open() as dataset:
        assert dataset.crs.to_epsg() == 3857
        assert dataset.transform.c == pytest.approx(LEFT + 300 * CELL)
        assert dataset.transform.a == pytest.approx(CELL)
        assert np.array_equal(dataset.read(1), stores["height"].array("10", "height")[40:140, 300:450], equal_nan=True)


def test_a_preview_shows_everything_in_at_most_the_largest_size(client: TestClient, stores: dict[str, Any]) -> None:
    whole = npy(client.get("/count/preview.npy"))
    assert np.array_equal(whole[0], stores["count"].array("10", "count"))
    assert npy(client.get("/count/preview.npy?max_size=100")).shape == (2, 100, 100)
    image = Image.open(io.BytesIO(client.get("/count/preview/40x30.png").content))
    assert image.size == (40, 30)
    assert client.get("/colour/preview").headers["content-type"] == "image/png"
    answer = client.get("/native/preview.tif?dst_crs=EPSG:4326")
    with rasterio.MemoryFile(answer.content) as file, file.open() as dataset:
        assert dataset.crs.to_epsg() == 4326


def test_what_lies_outside_a_geometry_is_not_shown(client: TestClient, stores: dict[str, Any]) -> None:
    triangle = {"type": "Polygon", "coordinates": [[*polygon(0, 256, 200, 200)["coordinates"][0][:3]]]}
    triangle["coordinates"][0].append(triangle["coordinates"][0][0])
    found = npy(
        client.post(f"/height/feature.npy?{CODE}", json={"type": "Feature", "geometry": triangle, "properties": None})
    )
    rows, cols = np.mgrid[0:200, 0:200]
    inside, outside = rows - 2 > 200 - cols, rows + 2 < 200 - cols
    assert (found[1][inside] > 0).all()
    assert (found[1][outside] <= 0).all()
    expected = stores["height"].array("10", "height")[:200, 256:456]
    assert np.array_equal(found[0][inside], expected[inside])
    assert client.post(f"/height/feature/30x20.png?{CODE}", json=triangle).headers["content-type"] == "image/png"
    assert client.post(f"/height/feature?{CODE}", json=triangle).headers["cache-control"] == "no-store"


def test_statistics_are_those_of_the_values(client: TestClient, stores: dict[str, Any]) -> None:
    values = stores["count"].array("10", "count")
    found = client.get("/count/statistics").json()["b1"]
    valid = values[values > 0].astype(float)
    assert (found["min"], found["max"], found["count"]) == (valid.min(), valid.max(), valid.size)
    assert found["mean"] == pytest.approx(valid.mean())
    assert found["std"] == pytest.approx(valid.std())
    assert found["valid_percent"] == pytest.approx(100 * valid.size / values.size, abs=0.01)
    assert found["description"] == "count"
    more = client.get("/count/statistics?p=50&histogram_bins=4&histogram_range=0,4000").json()["b1"]
    assert more["percentile_50"] == pytest.approx(np.median(valid), abs=1)
    assert more["histogram"][1] == [0, 1000, 2000, 3000, 4000]


def test_statistics_are_added_to_the_features(client: TestClient, stores: dict[str, Any]) -> None:
    features = [
        {"type": "Feature", "id": 7, "geometry": polygon(0, 300, 50, 80), "properties": {"name": "first"}},
        {"type": "Feature", "geometry": polygon(256, 0, 64, 64), "properties": None},
    ]
    document = {"type": "FeatureCollection", "features": features}
    found = client.post(f"/count/statistics?{CODE}", json=document).json()
    values = stores["count"].array("10", "count").astype(float)
    parts = values[:50, 300:380], values[256:320, :64]
    assert found["features"][0]["id"] == 7
    assert found["features"][0]["properties"]["name"] == "first"
    for feature, part in zip(found["features"], parts, strict=True):
        statistics = feature["properties"]["statistics"]["b1"]
        assert statistics["mean"] == pytest.approx(part[part > 0].mean())
        assert statistics["max"] == part.max()
    alone = client.post(f"/count/statistics?{CODE}", json=polygon(0, 300, 50, 80)).json()
    assert alone["type"] == "Feature"
    assert alone["properties"]["statistics"] == found["features"][0]["properties"]["statistics"]


@pytest.mark.parametrize(
    "path",
    [
        "bbox/1,2,3.png",
        "bbox/1,2,3,nan.png",
        "bbox/3,4,1,2.png",
        "bbox/1,2,1,4.png",
        "bbox/1,2,3,4.gif",
        "bbox/1,2,3,4/10x.png",
        "bbox/1,2,3,4/0x10.png",
        "bbox/1,2,3,4/1025x10.png",
        "bbox/1,2,3,4/99999999999x1.png",
        "bbox/1,2,3,4/10x10.png?width=3",
        "bbox/1,2,3,4.png?max_size=2000",
        "bbox/1,2,3,4.png?max_size=20&width=3",
        "bbox/1,2,3,4.png?coord_crs=4326",
        "bbox/1,2,3,4.png?coord_crs=EPSG:999999",
        "bbox/1,2,3,4.png?dst_crs=%2Bproj%3Dlonglat",
        "preview.png?coord_crs=EPSG:4326",
        "preview/10x10",
        "statistics?p=101",
        "statistics?p=-1",
        "statistics?histogram_bins=0",
        "statistics?histogram_bins=100000",
        "statistics?histogram_range=5,1",
        "statistics?rescale=0,1",
    ],
)
def test_what_is_malformed_is_400(client: TestClient, path: str) -> None:
    assert client.get(f"/count/{path}").status_code in (400, 404)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"type": "Feature"}',
        b'{"type": "Feature", "geometry": null}',
        b'{"type": "Polygon"}',
        b'{"type": "Polygon", "coordinates": []}',
        b'{"type": "Polygon", "coordinates": [[[0, 0], [1, "a"], [1, 1], [0, 0]]]}',
        b'{"type": "Polygon", "coordinates": [[[0, 0], [1e999, 0], [1, 1], [0, 0]]]}',
        b'{"type": "Circle", "coordinates": [0, 0]}',
        b'{"type": "FeatureCollection", "features": []}',
        b'{"type": "FeatureCollection", "features": [1]}',
        json.dumps({"type": "FeatureCollection", "features": [polygon(0, 0, 1, 1)] * 101}).encode(),
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("path", ["statistics", "feature.png"])
def test_a_body_that_is_no_geojson_is_400(client: TestClient, path: str, body: bytes) -> None:
    assert client.post(f"/count/{path}", content=body).status_code == 400


def test_t10_a_body_that_is_too_large_is_not_read(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = client.post("/count/statistics", content=b" " * (2**20 + 1))
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 2**16

    assert client.post("/count/statistics", content=endless()).status_code == 413
    monkeypatch.setattr(body_module, "SECONDS", 0.0)
    assert client.post("/count/statistics", content=json.dumps(polygon(0, 0, 9, 9))).status_code in (200, 408)


def test_only_what_takes_a_body_is_posted_to(client: TestClient) -> None:
    for path in ("/", "/count/info", "/count/preview", "/count/tiles/WebMercatorQuad/1/1/1", "/count/bbox/1,2,3,4.png"):
        assert client.post(path, json={}).status_code == 405
    allowed = client.options("/count/statistics").headers
    assert allowed["access-control-allow-methods"] == "GET, HEAD, OPTIONS, POST"
