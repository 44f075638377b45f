from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rio_tiler.models import ImageData
from starlette.testclient import TestClient

import store_requests
from geozarr import crs, errors
from geozarr.errors import GeoZarrError
from tiler import colormaps, parameters
from tiler.app import create_app
from tiler.http import STATUS
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[2]
ROW, COL = 390, 214  # first tile of zoom 10, see conftest.py
TILES = "tiles/WebMercatorQuad"


def client_of(**stores: Path) -> TestClient:
    datasets = tuple(Dataset(name, path) for name, path in stores.items())
    return TestClient(create_app(Settings(datasets)), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(stores: dict[str, Any]) -> Iterator[TestClient]:
    with client_of(**{name: stored.path for name, stored in stores.items()}) as client:  # on one event loop
        yield client


def npy(client: TestClient, path: str) -> np.ndarray:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content))


def pixels(client: TestClient, path: str) -> np.ndarray:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGBA"))


def test_an_npy_tile_is_the_stored_chunk_and_its_mask(client: TestClient, stores: dict[str, Any]) -> None:
    for name in ("count", "sharded"):
        found = npy(client, f"/{name}/{TILES}/10/{COL}/{ROW + 1}.npy")
        expected = stores[name].array("10", "count")[256:, :256]
        assert (found.dtype, found.shape) == (np.uint16, (2, 256, 256))
        assert np.array_equal(found[0], expected)
        # rio-tiler's mask band: the dtype's greatest number where valid, its least where not.
        assert np.array_equal(found[1], np.where(expected != 0, 65535, 0))


def test_a_finer_tile_repeats_cells(client: TestClient, stores: dict[str, Any]) -> None:
    found = npy(client, f"/count/{TILES}/12/{4 * COL + 1}/{4 * ROW + 6}.npy")
    part = stores["count"].array("10", "count")[6 * 64 : 7 * 64, 64:128]
    assert np.array_equal(found[0], part.repeat(4, 0).repeat(4, 1))


def test_a_coarser_tile_is_a_quarter_of_the_picture(client: TestClient, stores: dict[str, Any]) -> None:
    found = npy(client, f"/count/{TILES}/8/{COL // 4}/{ROW // 4}.npy")
    level = stores["count"].array("9", "count").astype(float)
    blocks, weights = (
        np.where(level > 0, array, 0).reshape(128, 2, 128, 2).sum((1, 3)) for array in (level, np.ones_like(level))
    )
    expected = np.rint(blocks / np.maximum(weights, 1))
    # Tile (97, 53) of zoom 8 holds tile (195, 107) of zoom 9 as its south-east quarter.
    assert (found[1, :128] == 0).all()
    assert (found[1, :, :128] == 0).all()
    assert np.array_equal(found[0, 128:, 128:], expected)
    assert np.array_equal(found[1, 128:, 128:] > 0, weights > 0)


def test_a_tile_without_data_is_transparent(client: TestClient) -> None:
    response = client.get(f"/count/{TILES}/10/{COL}/{ROW}")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    assert (pixels(client, f"/count/{TILES}/10/{COL}/{ROW}.png")[..., 3] == 0).all()


def test_the_natural_picture_shows_red_green_and_blue(client: TestClient, stores: dict[str, Any]) -> None:
    found = pixels(client, f"/colour/{TILES}/10/{COL + 1}/{ROW}.png")
    row, col = 40, 300  # in the pyramid; (40, 44) in the tile; opaque, since 40 + 300 < 700
    values = [int(stores["colour"].array("10", name)[row, col]) for name in ("red", "green", "blue")]
    assert values == [(40 + 300) // 4 % 256, 300 // 2 % 256, 40 // 2 % 256]
    assert found[row, col - 256].tolist() == [*values, 255]
    opaque = stores["colour"].array("10", "alpha")[:256, 256:] != 0
    assert np.array_equal(found[..., 3] == 255, opaque)


def test_a_full_tile_without_format_is_jpeg(client: TestClient) -> None:
    response = client.get(f"/colour/{TILES}/10/{COL}/{ROW}")
    assert response.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(response.content)).format == "JPEG"
    assert client.get(f"/colour/{TILES}/10/{COL + 1}/{ROW}").headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("suffix", "kind", "media_type"),
    [
        ("png", "PNG", "image/png"),
        ("jpg", "JPEG", "image/jpeg"),
        ("jpeg", "JPEG", "image/jpeg"),
        ("webp", "WEBP", "image/webp"),
    ],
)
def test_each_format_is_written(client: TestClient, suffix: str, kind: str, media_type: str) -> None:
    response = client.get(f"/colour/{TILES}/10/{COL}/{ROW}.{suffix}")
    assert response.headers["content-type"] == media_type
    image = Image.open(io.BytesIO(response.content))
    assert (image.format, image.size) == (kind, (256, 256))


def test_a_colormap_and_a_range_colour_a_single_band(client: TestClient, stores: dict[str, Any]) -> None:
    path = f"/count/{TILES}/10/{COL + 1}/{ROW}.png?variable=count&rescale=0,5100&colormap_name=viridis"
    values = stores["count"].array("10", "count")[:256, 256:].astype(float)
    indexes = np.floor(np.clip(values / 5100 * 255, 0, 255) + 0.5).astype(int)
    assert np.array_equal(pixels(client, path), colormaps.table("viridis")[indexes])
    assert Image.open(io.BytesIO(client.get(path).content)).mode == "P"


def test_the_stored_stretch_is_used_without_a_range(client: TestClient, stores: dict[str, Any]) -> None:
    values = stores["height"].array("10", "height").astype(float)
    low, high = np.percentile(values[~np.isnan(values)], (2, 98))
    part = values[:256, 256:]
    grey = np.floor(np.clip((part - low) / (high - low) * 255, 0, 255) + 0.5)
    found = pixels(client, f"/height/{TILES}/10/{COL + 1}/{ROW}.png")
    assert np.array_equal(found[..., 0], grey)
    assert np.array_equal(found[..., 0], found[..., 2])


def test_an_index_selects_a_raster_of_an_axis(client: TestClient, stores: dict[str, Any]) -> None:
    values = stores["stack"].array("10", "data")[:, :256, 256:]
    for index in (1, 3):
        found = npy(client, f"/stack/{TILES}/10/{COL + 1}/{ROW}.npy?variable=data&bidx={index}")
        assert np.array_equal(found[0], values[index - 1])
    assert npy(client, f"/stack/{TILES}/10/{COL + 1}/{ROW}.npy?variable=data&bidx=3,1").shape == (3, 256, 256)


def test_native_pyramids_are_served_in_web_mercator(client: TestClient) -> None:
    tilejson = client.get("/native/WebMercatorQuad/tilejson.json").json()
    assert (tilejson["minzoom"], tilejson["maxzoom"]) == (5, 7)
    x, y = ((tilejson["bbox"][i] + tilejson["bbox"][i + 2]) / 2 for i in (0, 1))
    side = 2 * 20037508.342789244 / 2**7
    col, row = int((x + 20037508.342789244) // side), int((20037508.342789244 - y) // side)
    assert (pixels(client, f"/native/{TILES}/7/{col}/{row}.png")[..., 3] == 255).mean() > 0.3


def test_tilejson_describes_the_tiles(client: TestClient) -> None:
    found = client.get("/count/WebMercatorQuad/tilejson.json?variable=count&rescale=0,10").json()
    assert found["tilejson"] == "3.0.0"
    assert (found["minzoom"], found["maxzoom"], found["scheme"]) == (9, 10, "xyz")
    assert found["tiles"] == ["/count/tiles/WebMercatorQuad/{z}/{x}/{y}?variable=count&rescale=0,10"]
    side = 360 / 2**9  # degrees of longitude in a tile of zoom 9
    assert found["bounds"][0] == pytest.approx(107 * side - 180)
    assert found["bounds"][2] == pytest.approx(108 * side - 180)
    assert found["center"][:2] == pytest.approx([(found["bounds"][i] + found["bounds"][i + 2]) / 2 for i in (0, 1)])
    url = found["tiles"][0].format(z=10, x=COL + 1, y=ROW + 1)
    assert client.get(url).status_code == 200


def test_links_start_with_the_configured_address_whatever_the_host_header_says(stores: dict[str, Any]) -> None:
    settings = Settings((Dataset("count", stores["count"].path),), base_url="https://tiles.example.org/maps")
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    with TestClient(create_app(settings)) as client:
        for path in ("/", "/count/info", "/count/WebMercatorQuad/tilejson.json"):
            text = client.get(path, headers=headers).text
            assert "https://tiles.example.org/maps/count/" in text
            assert "evil" not in text


def test_info_describes_levels_and_variables(client: TestClient) -> None:
    found = client.get("/height/info").json()
    assert (found["name"], found["crs"], found["tileMatrixSet"]) == ("height", "EPSG:3857", "WebMercatorQuad")
    assert [(level["id"], level["shape"]) for level in found["levels"]] == [("10", [512, 512]), ("9", [256, 256])]
    (variable,) = found["variables"]
    assert (variable["name"], variable["dtype"], variable["units"], variable["nodata"]) == (
        "height",
        "float32",
        "m",
        "NaN",
    )
    assert variable["statistics"]["min"] == 1000
    assert found["map"] == "/height/map"
    colour = client.get("/colour/info").json()
    assert [item["name"] for item in colour["variables"]] == ["blue", "green", "red"]
    assert colour["picture"] == ["red", "green", "blue"]


def test_a_point_has_the_stored_values(client: TestClient, stores: dict[str, Any]) -> None:
    tilejson = client.get("/stack/WebMercatorQuad/tilejson.json").json()
    left, _, _, top = tilejson["bbox"]
    cell = tilejson["tileMatrices"][10]["cellSize"]
    for row, col in ((7, 400), (400, 400)):
        x, y = left + (col + 0.5) * cell, top - (row + 0.5) * cell
        lon, lat = crs.transformer(crs.from_code("EPSG:3857"), crs.from_code("EPSG:4326")).transform(x, y)
        values = [float(value) for value in stores["stack"].array("10", "data")[:, row, col]]
        expected = [None if np.isnan(value) else value for value in values]
        for path in (f"{lon!r},{lat!r}?", f"{x!r},{y!r}?coord_crs=EPSG:3857&"):
            found = client.get(f"/stack/point/{path}variable=data&bidx=1,2,3").json()
            assert found["values"] == expected
            assert found["band_descriptions"] == ["data_1", "data_2", "data_3"]


def test_the_index_lists_datasets_and_maps(client: TestClient, stores: dict[str, Any]) -> None:
    found = client.get("/").json()["datasets"]
    assert {item["name"]: item["map"] for item in found} == {name: f"/{name}/map" for name in stores}
    assert client.get("/healthz").json() == {"status": "ok"}


def test_the_map_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    response = client.get("/count/WebMercatorQuad/map.html?variable=count&colormap_name=viridis")
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    for text in ("http:", "https:", "//cdn", "@import", "<script src", '<link rel="stylesheet'):
        assert text not in response.text


BAD = [
    f"/count/{TILES}/-1/0/0",
    f"/count/{TILES}/+1/0/0",
    f"/count/{TILES}/1.0/0/0",
    f"/count/{TILES}/1e1/0/0",
    f"/count/{TILES}/0x1/0/0",
    f"/count/{TILES}/%201/0/0",
    f"/count/{TILES}/10/ 1/1",
    f"/count/{TILES}/10/1/%D9%A1",
    f"/count/{TILES}/10/{10**30}/1",
    f"/count/{TILES}/{10**30}/1/1",
    f"/count/{TILES}/10/1/{10**30}.png",
    f"/count/{TILES}/10//1",
    f"/count/{TILES}/10/1/",
    f"/count/{TILES}/10/1",
    f"/count/{TILES}/10/1/2/3",
    f"/count/{TILES}/10/1%2F2/3",
    f"/count/{TILES}/01/0/0",
    f"/count/{TILES}/10/{COL}/{ROW}.gif",
    f"/count/{TILES}/10/{COL}/{ROW}.",
    f"/count/{TILES}/10/{COL}/{ROW}?url=http://127.0.0.1/",
    f"/count/{TILES}/10/{COL}/{ROW}?variable=",
    f"/count/{TILES}/10/{COL}/{ROW}?bidx=2",
    f"/count/{TILES}/10/{COL}/{ROW}?bidx=0",
    f"/count/{TILES}/10/{COL}/{ROW}?sel=time=0",
    f"/count/{TILES}/10/{COL}/{ROW}?sel=time",
    f"/count/{TILES}/10/{COL}/{ROW}?rescale=nan,1",
    f"/count/{TILES}/10/{COL}/{ROW}?rescale=1,0",
    f"/count/{TILES}/10/{COL}/{ROW}?colormap_name=nothing",
    f"/count/{TILES}/10/{COL}/{ROW}?colormap_name=viridis&colormap_name=viridis",
    f"/colour/{TILES}/10/{COL}/{ROW}?colormap_name=viridis",
    f"/colour/{TILES}/10/{COL}/{ROW}?variable=red,green",
    "/count/WebMercatorQuad/tilejson.json?nothing=1",
    "/count/WebMercatorQuad/map.html?nothing=1",
    "/count/info?x",
    "/?x=1",
    "/healthz?x=1",
    "/count/point/1",
    "/count/point/1,2,3",
    "/count/point/nan,1",
    "/count/point/181,1",
    "/count/point/1,91",
    "/count/point/1,1?coord_crs=+proj=merc",
    "/count/point/1,1?coord_crs=EPSG:999999",
    "/count/point/1,1?rescale=0,1",
    "/count/info?" + "x" * 5000,
    "/" + "x" * 5000,
]
MISSING = [
    "/nothing/info",
    f"/nothing/{TILES}/0/0/0",
    "/count/tiles/NothingQuad/0/0/0",
    "/count/tiles/GNOSISGlobalGrid/0/0/0",
    f"/count/{TILES}/10/0/0",
    f"/count/{TILES}/9/{COL}/{ROW}",
    f"/count/{TILES}/25/0/0",
    f"/count/{TILES}/2/9/9",
    f"/count/{TILES}/5/0/0",
    f"/count/{TILES}/10/{COL}/{ROW}?variable=nothing",
    f"/colour/{TILES}/10/{COL}/{ROW}?variable=red,green,nothing",
    "/count/NothingQuad/tilejson.json",
    "/count/NothingQuad/map.html",
    "/count/point/0,0",
    "/count",
    "/count/",
    "/count/info/",
    "/favicon.ico",
    "/..%2F..%2Fetc%2Fhosts/info",
    "/%2e%2e/info",
    "/count%00/info",
    "/C:%5Ccount/info",
]


@pytest.mark.parametrize("path", BAD)
def test_a_malformed_request_is_400(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 400, response.text
    assert response.headers["cache-control"] == "no-store"
    assert list(response.json()) == ["detail"]


@pytest.mark.parametrize("path", MISSING)
def test_what_does_not_exist_is_404_for_a_minute(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404, response.text
    assert response.headers["cache-control"] == "public, max-age=60"


def test_neither_asks_the_store(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("count", "colour"):
        client.get(f"/{name}/info")  # opened before: what follows reads no document either
    store_requests.forbid(monkeypatch)
    for path in [*BAD, *MISSING]:
        assert client.get(path).status_code in (400, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused(client: TestClient, method: str) -> None:
    response = client.request(method, "/count/info")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_head_is_get_without_a_body(client: TestClient) -> None:
    path = f"/count/{TILES}/10/{COL + 1}/{ROW}.png"
    head, get = client.head(path), client.get(path)
    assert head.status_code == 200
    for name in ("etag", "content-type", "content-length", "cache-control"):
        assert head.headers[name] == get.headers[name]


def test_any_origin_may_read(client: TestClient) -> None:
    for path in ("/count/info", "/nothing/info", "/count/info?x"):
        headers = client.get(path, headers={"Origin": "https://example.org"}).headers
        assert headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in headers
        assert headers["x-content-type-options"] == "nosniff"
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    response = client.options("/count/info", headers=asked)
    assert response.status_code == 204
    assert response.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "path",
    [
        f"/count/{TILES}/10/{COL + 1}/{ROW}.png",
        "/count/info",
        "/count/WebMercatorQuad/tilejson.json",
        "/count/WebMercatorQuad/map.html",
    ],
)
def test_a_client_that_has_it_is_told_so(client: TestClient, path: str) -> None:
    first = client.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "public, max-age=3600"
    for value in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": value})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_tag_follows_everything_that_changes_the_bytes(client: TestClient) -> None:
    base = f"/count/{TILES}/10/{COL + 1}/{ROW}"
    paths = [
        base,
        f"{base}.png",
        f"{base}.npy",
        f"/count/{TILES}/10/{COL + 1}/{ROW + 1}",
        f"/sharded/{TILES}/10/{COL + 1}/{ROW}",
        f"{base}.png?rescale=0,1",
        f"{base}.png?rescale=0,2",
        f"{base}.png?colormap_name=viridis",
    ]
    tags = [client.get(path).headers["etag"] for path in paths]
    assert len(set(tags)) == len(tags)
    assert client.get(paths[0]).headers["etag"] == tags[0]


def test_a_tag_follows_the_documents_of_the_store(stores: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "copy.zarr"
    shutil.copytree(stores["count"].path, path)
    tile = f"/copy/{TILES}/10/{COL + 1}/{ROW}.png"
    before = client_of(copy=path).get(tile).headers["etag"]
    assert client_of(copy=path).get(tile).headers["etag"] == before
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"]["title"] = "rebuilt"
    (path / "zarr.json").write_text(json.dumps(root))
    assert client_of(copy=path).get(tile).headers["etag"] != before


def assert_damaged(response: Any, *secrets: str) -> None:
    assert response.status_code == 502
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {"detail": "the dataset is damaged or cannot be read"}
    for secret in secrets:
        assert secret not in response.text
        assert secret not in str(response.headers)


@pytest.mark.parametrize("name", ["count", "sharded"])
@pytest.mark.parametrize("damage", ["empty", "cut", "zeros", "large"])
def test_a_damaged_chunk_or_shard_is_502_and_the_rest_is_served(
    stores: dict[str, Any], tmp_path: Path, name: str, damage: str
) -> None:
    path = tmp_path / "secret.zarr"
    shutil.copytree(stores[name].path, path)
    file = path / "10/count/c/1/1"
    data = file.read_bytes()
    file.write_bytes({"empty": b"", "cut": data[:-20], "zeros": bytes(len(data)), "large": data + bytes(10**6)}[damage])
    client = client_of(shown=path)
    assert_damaged(client.get(f"/shown/{TILES}/10/{COL + 1}/{ROW + 1}.png"), "secret", "count")
    assert client.get(f"/shown/{TILES}/10/{COL}/{ROW + 1}.png").status_code == 200
    file.write_bytes(data)
    assert client.get(f"/shown/{TILES}/10/{COL + 1}/{ROW + 1}.png").status_code == 200


@pytest.mark.parametrize("root", [None, b"", b"{", b"\xff", b"[]", b"{}", b'{"zarr_format": 3, "node_type": "group"}'])
def test_a_store_that_is_none_is_502_and_hides_no_other(
    stores: dict[str, Any], tmp_path: Path, root: bytes | None
) -> None:
    path = tmp_path / "secret.zarr"
    path.mkdir()
    if root is not None:
        (path / "zarr.json").write_bytes(root)
    client = client_of(broken=path, count=stores["count"].path)
    for tail in ("info", f"{TILES}/1/1/1", "WebMercatorQuad/tilejson.json", "WebMercatorQuad/map.html", "point/1,1"):
        assert_damaged(client.get(f"/broken/{tail}"), "secret", "zarr.json")
    listed = client.get("/").json()["datasets"]
    assert listed[0] == {"name": "broken", "error": "the dataset is damaged or cannot be read"}
    assert listed[1]["name"] == "count"


def test_a_store_that_disappears_is_502(tmp_path: Path) -> None:
    assert_damaged(client_of(gone=tmp_path / "gone.zarr").get("/gone/info"), "gone.zarr")


def test_a_bug_is_500_without_a_trace(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("tiler.parameters.parse_tile_query", fail)
    response = client.get(f"/count/{TILES}/10/{COL}/{ROW}")
    assert response.status_code == 500
    assert response.headers["cache-control"] == "no-store"
    assert "secret" not in response.text


def test_every_error_type_has_a_status() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GeoZarrError)}
    statuses = {kind: next(STATUS[base] for base in kind.__mro__ if base in STATUS) for kind in kinds}
    asked_wrongly = {errors.ParameterError: 400, errors.UnknownNameError: 404, errors.TileOutsideLimitsError: 404}
    assert statuses == {kind: asked_wrongly.get(kind, 502) for kind in kinds}


def test_equal_requests_at_once_are_read_and_drawn_once(
    stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(Settings((Dataset("count", stores["count"].path),)))
    with TestClient(app) as client:
        client.get("/count/info")
        draws: list[int] = []
        render = sys.modules["tiler.service"].render
        started = threading.Event()

        def counted(*arguments: Any) -> Any:
            draws.append(1)
            started.wait(0.5)  # long enough for the others to come; the count does not depend on it
            return render(*arguments)

        monkeypatch.setattr("tiler.service.render", counted)
        path = f"/count/{TILES}/10/{COL + 1}/{ROW + 1}.png"
        with ThreadPoolExecutor(8) as pool:
            bodies = list(pool.map(lambda _: client.get(path).content, range(16)))
    assert len(set(bodies)) == 1
    assert len(draws) == 1


def test_without_caches_tiles_are_served_all_the_same(stores: dict[str, Any]) -> None:
    path = f"/count/{TILES}/10/{COL + 1}/{ROW + 1}.png"
    settings = Settings((Dataset("count", stores["count"].path),), chunk_cache_bytes=0, tile_cache_bytes=0)
    with TestClient(create_app(settings)) as client:
        assert client.get(path).content == client.get(path).content


def test_a_read_that_costs_too_much_is_refused(stores: dict[str, Any]) -> None:
    settings = Settings((Dataset("native", stores["native"].path),), chunks_per_read=1)
    with TestClient(create_app(settings)) as client:
        tilejson = client.get("/native/WebMercatorQuad/tilejson.json").json()
        x, y = ((tilejson["bbox"][i] + tilejson["bbox"][i + 2]) / 2 for i in (0, 1))
        side = 2 * 20037508.342789244 / 2**7
        col, row = int((x + 20037508.342789244) // side), int((20037508.342789244 - y) // side)
        assert_damaged(client.get(f"/native/{TILES}/7/{col}/{row}.png"))


PARTS = st.one_of(
    st.text(max_size=12),
    st.integers(-(10**12), 10**32).map(str),
    st.floats().map(repr),
    st.sampled_from(["0", "10", str(COL), str(ROW), f"{ROW}.png", "", ".", "..", "%2F", "\\", "1.npy", "0x1", "1e3"]),
)


@given(z=PARTS, x=PARTS, y=PARTS)
def test_any_tile_address_is_answered_and_never_500(client: TestClient, z: str, x: str, y: str) -> None:
    path = "/".join(quote(part, safe="") for part in (z, x, y))
    response = client.get(f"/count/{TILES}/{path}")
    assert response.status_code in (200, 400, 404)
    if response.status_code == 200:
        # Dots may lead elsewhere, to the description of the tileset: then it is JSON.
        assert response.headers["content-type"].startswith(("image/", "application/x-binary", "application/json"))


@given(
    query=st.text(max_size=80), names=st.lists(st.sampled_from(["variable", "bidx", "sel", "rescale", "colormap_name"]))
)
def test_any_query_is_answered_and_never_500(client: TestClient, query: str, names: list[str]) -> None:
    text = "&".join(f"{name}={quote(query)}" for name in names) or quote(query, safe="=&,")
    assert client.get(f"/stack/{TILES}/10/{COL}/{ROW}.png?{text}").status_code in (200, 400, 404)


@given(lon=PARTS, lat=PARTS)
def test_any_point_is_answered_and_never_500(client: TestClient, lon: str, lat: str) -> None:
    response = client.get(f"/count/point/{quote(lon, safe='')},{quote(lat, safe='')}")
    assert response.status_code in (200, 400, 404)


def test_openapi_documents_every_endpoint_and_parameter(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    served = {route.path for route in client.app.api.routes if isinstance(route, APIRoute) and route.include_in_schema}
    assert set(document["paths"]) == served
    assert len(served) > 25
    tile = document["paths"]["/{dataset}/tiles/{tms}/{z}/{x}/{y}"]["get"]["parameters"]
    assert {item["name"] for item in tile if item["in"] == "query"} == {item.name for item in parameters.TILE}
    point = document["paths"]["/{dataset}/point/{lon},{lat}"]["get"]["parameters"]
    assert {item["name"] for item in point if item["in"] == "query"} == {item.name for item in parameters.POINT}


def test_importing_the_service_loads_no_heavy_package() -> None:
    heavy = ("numba", "xarray", "rioxarray", "titiler", "rio_tiler", "zarr", "dask", "pandas")
    code = f"import sys, tiler.app, tiler.cli; print([name for name in {heavy!r} if name in sys.modules])"
    environ = {**os.environ, "PYTHONPATH": str(PROJECT)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert found.stdout.strip() == "[]"


def value(time: int, level: int, row: int, col: int) -> int:
    """A cell of the variable "heat" of the series, as its formula in conftest.py has it."""
    return time + 10 * level + 100 * (row + col) + 1


@pytest.mark.parametrize(
    ("query", "time", "level"),
    [
        ("", 0, 0),
        ("sel=time=2024-01-03", 4, 0),
        ("sel=time=2024-01-01T18:00:00Z", 3, 0),
        ("sel=time=nearest::2024-01-02T06:00", 3, 0),
        ("sel=time=pad::2024-01-02T23:59&sel=level=500", 3, 1),
        ("sel=time%3Dbfill%3A%3A2024-01-02&sel=level%3Dnearest%3A%3A1", 4, 1),
        ("sel=level=5e2&bidx=4", 3, 1),
        ("sel=time=2024-01-01T06:00&bidx=2", 1, 1),
        ("bidx=8", 3, 1),
    ],
)
def test_a_step_is_chosen_by_its_value(client: TestClient, query: str, time: int, level: int) -> None:
    tile = npy(client, f"/series/{TILES}/10/{COL + 1}/{ROW}.npy?variable=heat&{query}")
    assert tile[0, 3, 5] == value(time, level, 3, 256 + 5)
    coarse = npy(client, f"/series/{TILES}/9/{COL // 2}/{ROW // 2}.npy?variable=heat&{query}")
    # The mean of rows 6 and 7, columns 10 and 11: the sums 16, 17, 17 and 18 of row and column have the mean 17.
    assert coarse[0, 3, 5] == value(time, level, 6, 11)


def test_a_step_holds_for_all_variables_that_have_it(client: TestClient) -> None:
    base = f"/series/{TILES}/10/{COL}/{ROW + 1}.npy"
    tile = npy(client, f"{base}?variable=heat,rain&sel=time=2024-01-01T12:00&sel=level=500")
    assert tile[:2, 0, 0].tolist() == [value(2, 1, 256, 0), value(2, 0, 256, 0) + 5000]
    other = npy(client, f"{base}?variable=heat,land&sel=time=2024-01-01T12:00")
    assert other[0, 0, 0] == value(2, 0, 256, 0)


def test_a_point_is_named_by_its_step(client: TestClient, stores: dict[str, Any]) -> None:
    grid = stores["series"].source().pyramid.levels.finest.grid
    x, y = grid.transform @ (40.5, 30.5)
    path = f"/series/point/{x!r},{y!r}?coord_crs=EPSG:3857&variable=heat,rain"
    found = client.get(f"{path}&sel=time=2024-01-03&bidx=1").json()
    assert found["values"] == [value(4, 0, 30, 40), value(4, 0, 30, 40) + 5000]
    assert found["band_descriptions"] == ["heat_2024-01-03T00:00:00Z_850", "rain_2024-01-03T00:00:00Z"]
    assert client.get(path).json()["band_descriptions"] == ["heat_1", "rain_1"]
    months = client.get(f"/months/point/{x!r},{y!r}?coord_crs=EPSG:3857&sel=time=nearest::2000-02-30").json()
    assert (months["values"], months["band_descriptions"]) == ([value(2, 0, 30, 40)], ["heat_2000-02-16"])


def test_tilejson_carries_the_step_on(client: TestClient) -> None:
    query = "variable=heat&rescale=0,9&sel=time=nearest::2024-01-02T06:00&sel=level=500"
    (url,) = client.get(f"/series/WebMercatorQuad/tilejson.json?{query}").json()["tiles"]
    found = npy(client, url.format(z=10, x=COL, y=f"{ROW}.npy").replace("&rescale=0,9", ""))
    assert found[0, 0, 0] == value(3, 1, 0, 0)


def test_a_tag_follows_the_step_and_not_how_it_is_written(client: TestClient) -> None:
    base = f"/series/{TILES}/10/{COL}/{ROW}.png?variable=heat"
    queries = ["", "&sel=time=2024-01-03", "&sel=level=500", "&sel=time=2024-01-03&sel=level=500"]
    tags = [client.get(base + query).headers["etag"] for query in queries]
    assert len(set(tags)) == len(tags)
    for query in ("&sel=level=500&sel=time=2024-01-03", "&sel=time=exact::2024-01-03&sel=level=500"):
        assert client.get(base + query).headers["etag"] == tags[3]
    bodies = {client.get(f"{base}&rescale=0,200&sel=time=nearest::2024-01-0{day}").content for day in (1, 3)}
    assert len(bodies) == 2


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sel=", "a value"),
        ("sel=time", "dimension=value"),
        ("sel=time=", "dimension=value"),
        ("sel=time=closest::2024-01-01", "nearest, pad"),
        ("sel=" + "t" * 300 + "=1", "dimension=value"),
        ("sel=time=2024-01-01T00:00&sel=time=2024-01-03", "one selector"),
        ("&".join(f"sel=d{index}=1" for index in range(9)), "at most 8"),
        ("sel=depth=1", "a dimension of the data: time, level"),
        ("sel=level=500&variable=rain", "a dimension of what is shown: time"),
        ("sel=time=2024-01-03&variable=land", "a dimension of what is shown: none"),
        ("sel=time=2024-01-02", "such as 2024-01-01T18:00:00Z or 2024-01-03T00:00:00Z"),
        ("sel=time=2024-01-01", "not 4: 2024-01-01T00:00:00Z to 2024-01-01T18:00:00Z"),
        ("sel=time=2024-02-30", "ISO 8601"),
        ("sel=time=bfill::2024-01-04", "such as 2024-01-03T00:00:00Z"),
        ("sel=time=pad::2023", "such as 2024-01-01T00:00:00Z"),
        ("sel=time=2024-01-03T00:00+00:00", "ISO 8601"),  # a plus sign that is not percent-encoded is a blank
        ("sel=level=nan", "finite number"),
        ("sel=level=501", "such as 500 or 850"),
        ("sel=time=2024-01-03&bidx=3", "1 to 2"),
    ],
)
def test_a_step_that_does_not_exist_is_400_and_told(client: TestClient, query: str, words: str) -> None:
    variable = "" if "variable=" in query else "&variable=heat"
    for path in (f"{TILES}/10/{COL}/{ROW}.npy", "WebMercatorQuad/tilejson.json", "point/-105,40"):
        response = client.get(f"/series/{path}?{query}{variable}")
        assert (response.status_code, response.headers["cache-control"]) == (400, "no-store")
        assert words in response.json()["detail"]


def test_dimensions_have_a_label_for_each_step(client: TestClient) -> None:
    found = client.get("/series/dimensions")
    assert found.headers["content-type"] == "application/json"
    time = {"name": "time", "size": 5, "kind": "time", "units": "hours since 2024-01-01", "long_name": "valid time"}
    level = {"name": "level", "size": 2, "kind": "number", "units": "hPa", "long_name": None}
    hours = ["2024-01-01T00", "2024-01-01T06", "2024-01-01T12", "2024-01-01T18", "2024-01-03T00"]
    labels = [f"{hour}:00:00Z" for hour in hours]
    assert found.json() == {"dimensions": [{**time, "labels": labels}, {**level, "labels": ["850", "500"]}]}
    for position, label in enumerate(labels):
        tile = npy(client, f"/series/{TILES}/10/{COL}/{ROW}.npy?variable=rain&sel=time={label}")
        assert tile[0, 0, 0] == value(position, 0, 0, 0) + 5000
    assert client.get("/count/dimensions").json() == {"dimensions": []}
    assert client.get("/stack/dimensions").json()["dimensions"][0]["labels"] == ["0", "1", "2"]
    info = {item["name"]: item["dimensions"] for item in client.get("/series/info").json()["variables"]}
    ends = {"first": labels[0], "last": labels[-1]}
    expected = {**level, "first": "850", "last": "500"}
    assert info == {"heat": [{**time, **ends}, expected], "rain": [{**time, **ends}], "land": []}
    again = client.get("/series/dimensions", headers={"If-None-Match": found.headers["etag"]})
    assert again.status_code == 304


def test_a_damaged_coordinate_is_502_where_it_matters(stores: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "secret.zarr"
    shutil.copytree(stores["series"].path, path)
    (path / "10/time/c/1").write_bytes(b"damaged")
    client = client_of(shown=path)
    for tail in ("dimensions", "info", f"{TILES}/10/{COL}/{ROW}.npy?variable=heat&sel=time=2024-01-03"):
        assert_damaged(client.get(f"/shown/{tail}"), "secret", "10/time")
    for query in ("", "&sel=level=500", "&bidx=7"):
        assert client.get(f"/shown/{TILES}/10/{COL}/{ROW}.npy?variable=heat{query}").status_code == 200


@pytest.mark.parametrize(
    "attributes",
    [
        {"units": "months since 2024-01-01"},
        {"units": "hours since then"},
        {"units": "hours since 2024-01-01", "calendar": "lunar"},
        {"units": "hours since 2024-01-01", "calendar": {}},
        {"units": 7, "long_name": [], "scale_factor": "x", "_FillValue": "x"},
        {"units": "hours since 999999-12-31"},
        {"units": "\ud800 since \udfff", "long_name": "\ud800"},
    ],
)
def test_malformed_time_metadata_are_served_as_numbers(
    stores: dict[str, Any], tmp_path: Path, attributes: dict[str, Any]
) -> None:
    path = tmp_path / "copy.zarr"
    shutil.copytree(stores["series"].path, path)
    root = json.loads((path / "zarr.json").read_text())
    root["consolidated_metadata"]["metadata"]["10/time"]["attributes"] = attributes
    (path / "zarr.json").write_text(json.dumps(root))
    client = client_of(copy=path)
    (time, _) = client.get("/copy/dimensions").json()["dimensions"]
    assert (time["kind"], time["labels"]) == ("number", ["0", "6", "12", "18", "48"])
    assert client.get("/copy/info").status_code == 200
    tile = npy(client, f"/copy/{TILES}/10/{COL}/{ROW}.npy?variable=rain&sel=time=12")
    assert tile[0, 0, 0] == 5000 + value(2, 0, 0, 0)


def test_names_that_no_text_can_hold_make_no_500(stores: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "copy.zarr"
    shutil.copytree(stores["series"].path, path)
    root = json.loads((path / "zarr.json").read_text())
    for level in ("9", "10"):
        root["consolidated_metadata"]["metadata"][f"{level}/rain"]["dimension_names"][0] = "\ud800" * 300
    (path / "zarr.json").write_text(json.dumps(root))
    client = client_of(copy=path)
    for tail in ("info", "dimensions"):
        assert client.get(f"/copy/{tail}").status_code == 200
    response = client.get(f"/copy/{TILES}/10/{COL}/{ROW}.png?variable=rain&sel=time=1")
    assert (response.status_code, len(response.content) < 300) == (400, True)


@given(
    dimension=st.sampled_from(("time", "level", "band", "", "\u0661")),
    method=st.sampled_from(("", "nearest::", "pad::", "bfill::", "exact::", "::")),
    text=st.text(max_size=40) | st.floats().map(repr) | st.datetimes().map(str) | st.dates().map(str),
)
def test_any_step_is_answered_and_never_500(client: TestClient, dimension: str, method: str, text: str) -> None:
    query = quote(f"{dimension}={method}{text}", safe="")
    for name in ("series", "months"):
        assert client.get(f"/{name}/{TILES}/10/{COL}/{ROW}.npy?sel={query}").status_code in (200, 400)


def test_a_formula_changes_colours_as_rio_tiler_does(client: TestClient) -> None:
    plain = pixels(client, f"/colour/{TILES}/10/{COL}/{ROW}.png")
    changed = pixels(client, f"/colour/{TILES}/10/{COL}/{ROW}.png?color_formula=gamma%20RGB%201.5")
    expected = ImageData(np.ma.MaskedArray(np.moveaxis(plain[..., :3], -1, 0).copy()))
    expected.apply_color_formula("gamma RGB 1.5")
    assert np.array_equal(np.moveaxis(changed[..., :3], -1, 0), expected.array.data)


def test_colours_of_classes_and_below_and_above_a_range(client: TestClient, stores: dict[str, Any]) -> None:
    values = stores["count"].array("10", "count")[:256, 256:].astype(int)
    wanted = int(values[100, 100])
    found = pixels(client, f"/count/{TILES}/10/{COL + 1}/{ROW}.png?colormap=" + quote(json.dumps({wanted: "#ff8000"})))
    assert np.array_equal(found[..., 3] > 0, values == wanted)
    assert found[100, 100].tolist() == [255, 128, 0, 255]
    ends = "rescale=1000,4000&belowmincolor=transparent&abovemaxcolor=%23ff0000"
    found = pixels(client, f"/count/{TILES}/10/{COL + 1}/{ROW}.png?{ends}")
    assert np.array_equal(found[..., 3] == 0, values < 1000)
    assert np.array_equal((found == [255, 0, 0, 255]).all(axis=-1), values > 4000)


def test_a_nodata_value_of_the_request_takes_the_place_of_the_stored_one(
    client: TestClient, stores: dict[str, Any]
) -> None:
    values = stores["count"].array("10", "count")[:256, 256:]
    wanted = int(values[5, 5])
    found = npy(client, f"/count/{TILES}/10/{COL + 1}/{ROW}.npy?nodata={wanted}")
    assert np.array_equal(found[1] == 0, values == wanted)
    assert client.get(f"/count/{TILES}/10/{COL + 1}/{ROW}.npy?nodata=0.5").status_code == 400


def test_a_tile_may_be_larger_and_have_a_border(client: TestClient, stores: dict[str, Any]) -> None:
    values = stores["count"].array("10", "count")
    double = npy(client, f"/count/{TILES}/10/{COL + 1}/{ROW}@2x.npy")
    assert np.array_equal(double[0], values[:256, 256:].repeat(2, 0).repeat(2, 1))
    assert np.array_equal(double, npy(client, f"/count/{TILES}/10/{COL + 1}/{ROW}.npy?tilesize=512"))
    bordered = npy(client, f"/count/{TILES}/10/{COL + 1}/{ROW + 1}.npy?buffer=2")
    assert bordered.shape == (2, 260, 260)
    assert np.array_equal(bordered[0, :258, :258], values[254:, 254:])
    assert (bordered[1, 258:] == 0).all()
    assert npy(client, f"/count/{TILES}/10/{COL + 1}/{ROW}.npy?buffer=0.5").shape == (2, 257, 257)


def test_a_hillshade_has_no_seam_between_tiles(client: TestClient) -> None:
    west, east = (
        npy(client, f"/height/{TILES}/10/{COL + column}/{ROW}.npy?algorithm=hillshade")[0] for column in (0, 1)
    )
    # The heights are a plane, whose shade is the same everywhere but at the edges of the data.
    assert len(np.unique(np.concatenate((west[1:-1, 1:], east[1:-1, :-1]), axis=1))) == 1


def test_expressions_are_off_and_where_they_are_on_they_are_computed(
    client: TestClient, stores: dict[str, Any]
) -> None:
    path = f"/colour/{TILES}/10/{COL}/{ROW}.npy?expression=" + quote("(red-b2)/(red+b2)")
    assert client.get(path).status_code == 400
    settings = Settings((Dataset("colour", stores["colour"].path),), expressions=True)
    with TestClient(create_app(settings)) as open_client:
        found = npy(open_client, f"{path}&variable=red,green")
        red, green = (stores["colour"].array("10", name)[:256, :256].astype(float) for name in ("red", "green"))
        valid = red + green > 0
        assert np.array_equal(found[1] > 0, valid)
        expected = (red - green) / np.where(valid, red + green, 1)
        assert np.allclose(found[0][valid], expected[valid], atol=1e-6)
        assert open_client.get(f"{path}&variable=red,green".replace("npy", "png")).status_code == 400  # no range
        assert open_client.get(f"{path}&variable=red,green&rescale=-1,1".replace("npy", "png")).status_code == 200


def test_a_picture_without_a_mask_is_opaque(client: TestClient) -> None:
    found = pixels(client, f"/height/{TILES}/10/{COL + 1}/{ROW + 1}.png?return_mask=false")
    assert (found[..., 3] == 255).all()


def test_addresses_of_titiler_xarray_lead_to_registered_datasets(client: TestClient, stores: dict[str, Any]) -> None:
    asked = "url=height&variable=height&group=10&decode_times=true&rescale=0,2000&colormap_name=viridis"
    document = client.get(f"/md/WebMercatorQuad/tilejson.json?{asked}").json()
    assert document["tiles"] == [
        "/height/tiles/WebMercatorQuad/{z}/{x}/{y}?variable=height&rescale=0,2000&colormap_name=viridis"
    ]
    assert client.get("/md/info?url=height").json() == client.get("/height/info").json()
    place = quote(str(stores["height"].path), safe="")
    tile = client.get(f"/md/tiles/WebMercatorQuad/10/{COL}/{ROW}.png?url={place}&variable=height")
    assert tile.content == client.get(f"/height/{TILES}/10/{COL}/{ROW}.png?variable=height").content


@pytest.mark.parametrize(
    "query",
    [
        "",
        "url=",
        "url=nothing",
        "url=http://127.0.0.1:1/",
        "url=file:///etc/passwd",
        "url=height&url=height",
        "url=height&decode_times=false",
        "url=height&group=../..",
        "url=height&other=1",
    ],
)
def test_t9_nothing_but_registered_datasets_is_opened(
    client: TestClient, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("somebody was called"))
    assert client.get(f"/md/info?{query}").status_code == 400
