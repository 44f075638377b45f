"""Herds, stalled and lying stores, pyramids that are rebuilt, and what the bytes of an answer depend on.

Promises T11, T12, T15, T19 and T20 at the level of HTTP.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest

import hostile
import pyramids
from builds import FakeSource, scene
from hostile import Objects
from tiler import parameters
from tiler.app import create_app
from tiler.catalog import Catalog
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.testclient import TestClient

TMS = "WebMercatorQuad"
ROW, COL = 390, 214  # first tile of zoom 10 of the stores of conftest.py; the one east of it has all of its data
TILE = f"/count/tiles/{TMS}/10/{COL + 1}/{ROW + 1}"


@pytest.fixture(scope="module")
def places(stores: dict[str, Any]) -> dict[str, Objects]:
    return {name: hostile.loaded(stores[name].path) for name in ("count", "colour", "series")}


def is_chunk(key: str) -> bool:
    return "/c/" in key


# Herds are what T11 is about.


async def herd(app: Any, path: str, count: int) -> list[httpx.Response]:
    """Send equal requests at once, on one event loop."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await asyncio.gather(*(client.get(path) for _ in range(count)))


@pytest.mark.parametrize("tail", [".png", ".npy", ".png?rescale=0,9", "?tilesize=128"])
def test_t11_two_hundred_cold_requests_cost_one_read_and_one_render(
    places: dict[str, Objects], monkeypatch: pytest.MonkeyPatch, tail: str
) -> None:
    place = Objects(places["count"].objects)
    drawn = counted(monkeypatch)
    app = create_app(Settings((Dataset("count", place),)))
    answers = asyncio.run(herd(app, f"{TILE}{tail}", 200))
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert len({answer.headers["etag"] for answer in answers}) == 1
    assert max(Counter(place.asked).values()) == 1
    assert any(map(is_chunk, place.asked))
    assert len(drawn) == 1


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note each render, and let it take long enough for others to come; what is counted does not depend on it."""
    from tiler import service  # noqa: PLC0415 - its own name for the function is what is replaced

    drawn: list[int] = []
    render = service.render

    def noted(*arguments: Any, **options: Any) -> Any:
        drawn.append(1)
        time.sleep(0.05)
        return render(*arguments, **options)

    monkeypatch.setattr(service, "render", noted)
    return drawn


@dataclass
class Late(Objects):
    """A store that takes long enough for others to come."""

    def get(self, key: str, **options: Any) -> Any:
        time.sleep(0.1)
        return super().get(key, **options)


def test_t11_an_error_reaches_the_herd_and_is_not_kept(places: dict[str, Objects]) -> None:
    place = Late(dict(places["count"].objects))
    chunk = "10/count/c/1/1"
    data = place.objects[chunk]
    place.objects[chunk] = data[:-20]
    app = create_app(Settings((Dataset("count", place),)))
    answers = asyncio.run(herd(app, f"{TILE}.png", 200))
    assert {(answer.status_code, answer.headers["cache-control"]) for answer in answers} == {(502, "no-store")}
    assert place.asked.count(chunk) == 1
    place.objects[chunk] = data
    assert [answer.status_code for answer in asyncio.run(herd(app, f"{TILE}.png", 2))] == [200, 200]


# A store that does not answer is what T12 is about.


@dataclass
class Stalled(Objects):
    """A store whose chunks come when the gate is open."""

    gate: threading.Event = field(default_factory=threading.Event)

    def get(self, key: str, **options: Any) -> Any:
        if is_chunk(key):
            self.gate.wait()
        return super().get(key, **options)


def test_t12_a_store_that_stalls_is_504_at_the_deadline_and_the_others_keep_their_pace(
    places: dict[str, Objects],
) -> None:
    slow = Stalled(places["count"].objects)
    deadline = 2

    def timed(path: str) -> tuple[int, float]:
        begun = time.monotonic()
        return client.get(path).status_code, time.monotonic() - begun

    with hostile.serving(count=slow, quick=places["count"], set_deadline=deadline) as client:
        tile = TILE.replace("/count/", "/quick/")
        assert timed(f"{tile}.png")[0] == 200
        assert timed("/count/info")[0] == 200
        with ThreadPoolExecutor(12) as pool:
            stalled = [pool.submit(timed, f"{TILE}.png?rescale=0,{number}") for number in range(1, 13)]
            quick = []
            while not all(result.done() for result in stalled):
                quick.append(timed(f"{tile}.png?rescale=0,{len(quick) + 1}"))
        slow.gate.set()
        assert [status for status, _ in (result.result() for result in stalled)] == [504] * 12
        assert all(deadline <= seconds < 2 * deadline for _, seconds in (result.result() for result in stalled))
        assert {status for status, _ in quick} == {200}
        # One that waited for a stalled one would wait for its deadline; the machine may be busy with something else.
        assert len(quick) > 5
        assert statistics.median(seconds for _, seconds in quick) < deadline / 4
        assert max(seconds for _, seconds in quick) < deadline
        assert timed(f"{TILE}.png?rescale=0,1")[0] == 200


# What the bytes of an answer depend on is what T15 is about.

FOREIGN = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-For": "10.0.0.1",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Server": "evil.example",
    "X-Forwarded-Scheme": "evil",
    "Forwarded": "host=evil.example;proto=evil",
    "X-Host": "evil.example",
    "X-HTTP-Host-Override": "evil.example",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-Script-Name": "/evil",
    "Referer": "https://evil.example",
    "Origin": "https://evil.example",
    "Cookie": "evil=1",
    "Authorization": "Basic evil",
    "User-Agent": "evil",
    "Accept-Encoding": "gzip, br",
    "Accept-Language": "eo",
    "Accept-Charset": "utf-7",
    "Range": "bytes=0-3",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "TE": "trailers",
    "Via": "1.1 evil.example",
    "X-Request-Id": "evil",
    "Accept": "text/html",
}


@pytest.mark.parametrize("base_url", ["", "https://tiles.example.org/maps"])
def test_t15_no_header_changes_bytes_or_key_but_those_that_vary_names(
    places: dict[str, Objects], base_url: str
) -> None:
    with hostile.serving(count=places["count"], set_base_url=base_url) as client:
        paths = [hostile.address(path, "count", lat="39.0") for path in hostile.documented(client)]
        for path in (*paths, f"{TILE}.png", TILE, f"/md/{TMS}/tilejson.json?url=count"):
            plain = client.get(path)
            assert plain.status_code == 200, path
            varies = plain.headers.get("vary", "").lower().split(", ")
            together = client.get(path, headers={name: text for name, text in FOREIGN.items() if name != "Accept"})
            assert_same(together, plain)
            for name in ("Accept", "Host", "X-Forwarded-Host", "Accept-Encoding"):
                if name.lower() not in varies:
                    assert_same(client.get(path, headers={name: FOREIGN[name]}), plain)
            assert varies in ([""], ["accept"])
            assert (varies == ["accept"]) == (path == "/")
            assert b"evil" not in together.content


def assert_same(answer: Any, plain: Any) -> None:
    assert (answer.status_code, answer.content) == (200, plain.content)
    for name in ("etag", "content-type", "cache-control", "vary", "content-encoding"):
        assert answer.headers.get(name) == plain.headers.get(name)


# Two values of each parameter, or one and its absence.
CHANGES: dict[str, list[str]] = {
    "variable": ["red", "green", "red,green,blue"],
    "bidx": ["1"],
    "rescale": ["0,100", "0,200", "50,200"],
    "nodata": ["100", "nan"],
    "sel": ["time=nearest::2024-01-02"],
    "unscale": ["true"],
    "expression": ["b1*2", "b1*3"],
    "algorithm": ["hillshade", "contours"],
    "algorithm_params": ['{"azimuth": 90}'],
    "resampling": ["nearest", "bilinear", "cubic"],
    "reproject": ["nearest", "bilinear"],
    "level": ["nearest", "coarser", "finer"],
    "colormap_name": ["viridis", "magma"],
    "colormap": ['{"100": "#ff0000"}', '[[[0, 99], "#00ff00"]]'],
    "belowmincolor": ["#ff0000"],
    "abovemaxcolor": ["#00ff00"],
    "color_formula": ["gamma RGB 2", "gamma RGB 3"],
    "return_mask": ["false"],
    "tilesize": ["64", "100"],
    "buffer": ["1", "2.5"],
    "padding": ["1"],
    "f": ["png", "npy", "jpeg"],
    "max_size": ["64", "65"],
    "width": ["300", "301"],
    "height": ["300", "301"],
    "dst_crs": ["EPSG:3857", "EPSG:32613"],
    "coord_crs": ["EPSG:3857"],
    "categorical": ["true"],
    "c": ["10"],
    "p": ["5", "95"],
    "histogram_bins": ["3", "4"],
    "histogram_range": ["0,10", "0,20"],
    "orientation": ["horizontal", "vertical"],
    "background": ["white", "transparent"],
}
BANDS = {"color_formula": "variable=red,green,blue", "algorithm_params": "variable=red&algorithm=hillshade"}


def changed(client: TestClient) -> Iterator[tuple[str, str]]:
    """Method and address of requests that differ in one parameter each."""
    for method in ("get", "post"):
        for path in hostile.documented(client, method):
            if "{dataset}" not in path or "{key}" in path:
                continue
            described = client.get("/openapi.json").json()["paths"][path][method].get("parameters", [])
            names = [item["name"] for item in described if item["in"] == "query"]
            filled = hostile.address(path, "colour", lat="39.0", x=str(COL), y=str(ROW), row=str(ROW), col=str(COL))
            yield method, filled
            for name in names:
                for value in CHANGES[name]:
                    bands = "" if name == "variable" else f"&{BANDS.get(name, 'variable=red')}"
                    yield method, f"{filled}?{name}={quote(value)}{bands}"


@pytest.mark.slow
def test_t15_bytes_that_differ_have_keys_that_differ(places: dict[str, Objects]) -> None:
    """Bytes by tag, over all requests of two services that share nothing."""
    seen: dict[str, tuple[str, bytes, str]] = {}
    for _ in range(2):
        with hostile.serving(colour=places["colour"], set_expressions=True) as client:
            for method, path in changed(client):
                answer = client.request(method, path, content=json.dumps(hostile.SQUARE) if method == "post" else None)
                if answer.status_code == 200:
                    found = (answer.headers["content-type"], answer.content)
                    known = seen.setdefault(answer.headers["etag"], (*found, path))
                    assert known[:2] == found, (path, known[2])
                else:
                    assert answer.status_code in (400, 404), (path, answer.text)
    asked = {name for *_, path in seen.values() for name in re.findall(r"[?&](\w+)=", path)}
    # Names of steps, of what is accepted and does nothing, and of a leading dimension: of other datasets.
    assert {item.name for item in parameters.TILE} - asked <= {"sel", "padding", "bidx", "unscale"}


def test_t15_another_build_has_other_keys(tmp_path: Path) -> None:
    places = {}
    for name, value in (("one", 100), ("two", 200)):
        pyramids.build(flat(value), tmp_path / name, tms="native", chunk=64, levels=2)
        places[name] = hostile.loaded(tmp_path / name)
    tags = set()
    for place in places.values():
        with hostile.serving(data=place) as client:
            for path in ("/data/info", *READS):
                answer = client.get(path)
                assert answer.status_code == 200, path
                tags.add(answer.headers["etag"])
    assert len(tags) == 2 * (1 + len(READS))


# A store that lies is what T19 is about.

SIDE = 256
LON, LAT = 3.04, 45.11  # within the squares of `flat` and `bumpy`: UTM zone 31N, 7.7 km from (500000, 5000000)
ZOOM = 12
X = math.floor((LON + 180) / 360 * 2**ZOOM)
Y = math.floor((1 - math.asinh(math.tan(math.radians(LAT))) / math.pi) / 2 * 2**ZOOM)
READS = (
    f"/data/tiles/{TMS}/{ZOOM}/{X}/{Y}.png",
    f"/data/tiles/{TMS}/{ZOOM}/{X}/{Y}.npy",
    f"/data/tiles/{TMS}/{ZOOM}/{X}/{Y}@2x.webp",
    f"/data/tiles/{TMS}/{ZOOM - 1}/{X // 2}/{Y // 2}.png",
    f"/data/point/{LON},{LAT}",
    "/data/preview.png?max_size=64",
    f"/data/bbox/{LON - 0.02},{LAT - 0.02},{LON + 0.02},{LAT + 0.02}.npy",
    "/data/statistics",
)


def flat(value: int) -> FakeSource:
    return FakeSource(np.full((1, SIDE, SIDE), value, "uint8"), fingerprint=str(value))


def turned(objects: dict[str, bytes], keys: list[str]) -> None:
    """Give each object the bytes of the next one."""
    first = [objects[key] for key in keys]
    objects.update(zip(keys, first[1:] + first[:1], strict=True))


def each(change: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes], list[str]], None]:
    def applied(objects: dict[str, bytes], keys: list[str]) -> None:
        for key in keys:
            objects[key] = change(objects[key])

    return applied


def lost(objects: dict[str, bytes], keys: list[str]) -> None:
    for key in keys:
        del objects[key]


def flipped(at: float) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        place = int(at * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]

    return flip


LIES: dict[str, Callable[[dict[str, bytes], list[str]], None]] = {
    "404": lost,
    "empty": each(lambda _: b""),
    "short": each(lambda data: data[:-1]),
    "half": each(lambda data: data[: len(data) // 2]),
    "first bit": each(flipped(0.0)),
    "middle bit": each(flipped(0.4)),
    "last bit": each(flipped(1.0)),
    "zeros": each(lambda data: bytes(len(data))),
    "ones": each(lambda data: b"\xff" * len(data)),
    "swapped": turned,
}


@dataclass(frozen=True)
class Built:
    """A pyramid, and what is answered from it."""

    objects: dict[str, bytes]
    truth: dict[str, bytes]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    found = {}
    for kind, shard in (("chunks", "none"), ("shards", 128)):
        folder = tmp_path_factory.mktemp("lying") / "p"
        source = FakeSource(scene("uint8", (1, SIDE, SIDE), span=(1, 250)))
        pyramids.build(source, folder, tms="native", chunk=64, shard=shard, levels=2)
        place = hostile.loaded(folder)
        with hostile.serving(data=place) as client:
            answers = {path: client.get(path) for path in READS}
        assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(READS, 200)
        found[kind] = Built(place.objects, {path: answer.content for path, answer in answers.items()})
    return found


# Tiles read parts of shards, which have checksums but no places: shards that have changed places are found by
# `geozarr-check`, which reads them whole.
@pytest.mark.parametrize(
    ("kind", "lie"),
    [(kind, lie) for kind in ("chunks", "shards") for lie in LIES if (kind, lie) != ("shards", "swapped")],
)
def test_t19_a_store_that_lies_is_502_and_never_a_hole_or_a_wrong_pixel(
    built: dict[str, Built], kind: str, lie: str
) -> None:
    objects, truth = dict(built[kind].objects), built[kind].truth
    LIES[lie](objects, sorted(key for key in objects if "/v0/c/" in key))
    told = 0
    with hostile.serving(data=Objects(objects)) as client:
        for path in READS:
            answer = client.get(path)
            if kind == "shards" and lie in ("first bit", "middle bit") and answer.status_code == 200:
                assert answer.content == truth[path], path  # the bit is of another chunk
                continue
            assert (answer.status_code, answer.headers["cache-control"]) == (502, "no-store"), path
            told += 1
        assert client.get("/data/info").status_code == 200
    assert told > 3


# A pyramid that is rebuilt is what T20 is about.


def test_t20_a_pyramid_that_is_rebuilt_is_served_within_the_refresh_time_and_never_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = Catalog.look
    monkeypatch.setattr(
        Catalog, "look", lambda *asked: (looks.append(threading.current_thread().name), look(*asked))[1]
    )
    refresh, place = 1, tmp_path / "p"
    pyramids.build(flat(100), place, tms="native", chunk=64, levels=2)
    tiles = [
        READS[1],
        f"/data/tiles/{TMS}/{ZOOM + 1}/{2 * X}/{2 * Y}.npy",
        f"/data/tiles/{TMS}/{ZOOM + 1}/{2 * X + 1}/{2 * Y}.npy",
    ]
    seen: list[tuple[float, int, set[int], str]] = []
    is_over = threading.Event()

    def ask(number: int) -> None:
        while not is_over.is_set():
            begun = time.monotonic()
            answer = client.get(f"{tiles[number % 3]}?tilesize={64 + len(seen) % 100}")
            values = set()
            if answer.status_code == 200:
                stored, mask = np.load(BytesIO(answer.content))
                values = set(stored[mask > 0].tolist())
            seen.append((begun, answer.status_code, values, answer.text[:200] if answer.status_code != 200 else ""))

    with hostile.serving(data=place, set_refresh=refresh) as client, ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, number) for number in range(3)]
        published = []
        try:
            for value in (200, 50):
                time.sleep(0.3)
                pyramids.build(flat(value), place, tms="native", chunk=64, levels=2, overwrite=True)
                published.append(time.monotonic())
                time.sleep(2 * refresh)
        finally:
            is_over.set()
        for result in asking:
            result.result()
    assert {status for _, status, _, _ in seen} == {200}, [words for *_, words in seen if words][:3]
    assert all(len(values) == 1 for _, _, values, _ in seen)
    assert {value for _, _, values, _ in seen for value in values} == {100, 200, 50}
    late = 1.25 * refresh + 0.5  # looks are a quarter of the refresh time apart, and the new version is opened
    first, second = published
    assert all(values == {200} for begun, _, values, _ in seen if first + late < begun < first + 2 * refresh)
    assert all(values == {50} for begun, _, values, _ in seen if begun > second + late)
    assert len(looks) >= 2  # one for each new version; how many more depends on what else the machine does
    assert not any(name.startswith("render-") for name in looks)  # no request has waited for one
