"""Requests that mean harm, and what holds for every request: T1 to T3, T8, T16 to T18, T22 and the limits."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import math
import os
import pkgutil
import random
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

import geozarr
import hostile
import tiler
from geozarr.errors import ParameterError
from tiler import algorithms, body, calendars, colors, dimensions, expression, formula, http, parameters, raw
from tiler.json_text import parse_json
from tiler.logs import TextFormatter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.testclient import TestClient

    from hostile import Objects

PROJECT = Path(__file__).resolve().parents[2]
ROW, COL = 390, 214  # first tile of zoom 10 of the stores of conftest.py
TMS = "WebMercatorQuad"
TILE = f"/count/tiles/{TMS}/10/{COL + 1}/{ROW}"
GROWTH = 8 * 2**20  # bytes that a refused request may cost: what any request costs
SECONDS = 2.0


@pytest.fixture(scope="module")
def places(stores: dict[str, Any]) -> dict[str, Objects]:
    return {name: hostile.loaded(stores[name].path) for name in ("count", "colour", "series", "height")}


@pytest.fixture(scope="module")
def client(places: dict[str, Objects]) -> Iterator[TestClient]:
    with hostile.serving(**places) as client:
        for name in places:  # opened, and their dimensions read: from here on what is refused reads nothing
            assert client.get(f"/{name}/dimensions").status_code == 200
            assert client.get(f"/{name}/tiles/{TMS}/10/{COL + 1}/{ROW}.npy").status_code == 200
        yield client


@pytest.fixture
def unread(places: dict[str, Objects]) -> Iterator[None]:
    """No store is asked for anything."""
    for place in places.values():
        place.asked.clear()
    yield
    assert {name: place.asked for name, place in places.items()} == {name: [] for name in places}


def require(client: TestClient, path: str, status: int) -> None:
    begun = time.monotonic()
    response = client.get(path)
    assert response.status_code == status, (path, response.text[:300])
    assert time.monotonic() - begun < SECONDS
    assert list(response.json()) == ["detail"]
    kept = {400: "no-store", 404: "public, max-age=60"}
    assert response.headers["cache-control"] == kept[status]


# Addresses of tiles are what T1 and T2 are about.

MALFORMED = [
    *("-1", "+1", "1.0", "1.", "1e1", "1E1", "0x1", "0b1", "01", "00", "1_0", "1,0", "inf", "nan", "null", "true"),
    *("%201", "1%20", "%09", "%00", "1%0A", "1%0D%0A", "%D9%A1", "%EF%BC%91", "%E2%85%A0", "%C2%B2", "½", "①", "%FF"),
    *("9" * 30, "9" * 300, "1" + "0" * 30, "-0", "--1", "1-", "~1", "*", "1;1", "%251", "a", "..%2F1", "1%2F1"),
]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("number", MALFORMED)
def test_t1_a_malformed_number_is_400_and_no_store_is_asked(client: TestClient, number: str) -> None:
    for z, x, y in (
        ("{}", "1", "1"),
        ("10", "{}", "1"),
        ("10", "1", "{}"),
        ("10", "1", "{}.png"),
        ("10", "1", "{}@2x"),
    ):
        path = "/".join((z, x, y)).format(number)
        require(client, f"/count/tiles/{TMS}/{path}", 400)
    for z, row, col in (("{}", "1", "1"), ("10", "{}", "1"), ("10", "1", "{}")):
        path = "/".join((z, row, col)).format(number)
        status = 404 if "%2F" in number else 400  # a slash makes it another address, of nothing
        assert client.get(f"/collections/count/map/tiles/{TMS}/{path}").status_code == status


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    "tail",
    [
        *("10//1", "10/1/", "//", "10/1", "10", "10/1/2/3", "10/1/1.", "10/1/1.gif", "10/1/1.PNG", "10/1/1.png.png"),
        *("10/1/1@5x", "10/1/1@x", "10/1/1@2X", "10/1/1@2x@2x", "10/1/1@@2x", "10/1/@2x", "10/1/.png", "10/1/1.png@2x"),
    ],
)
def test_t1_a_malformed_tile_is_400_and_no_store_is_asked(client: TestClient, tail: str) -> None:
    require(client, f"/count/tiles/{TMS}/{tail}", 400)


OUTSIDE = [
    *("10/0/0", f"10/{COL - 1}/{ROW}", f"10/{COL + 2}/{ROW}", f"10/{COL}/{ROW - 1}", f"10/{COL}/{ROW + 2}"),
    *("10/1024/0", "10/0/1024", "10/9999999999/9999999999", f"9/{COL}/{ROW}", "0/1/0", "0/0/1", "2/9/9", "25/0/0"),
    *("11/0/0", f"11/{2 * COL - 1}/{2 * ROW}", "24/16777215/16777215", "31/0/0", "99/0/0", "9999999999/0/0", "5/0/0"),
]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("tile", OUTSIDE)
def test_t2_a_tile_outside_is_404_and_no_store_is_asked(client: TestClient, tile: str) -> None:
    for suffix in ("", ".png", "@2x.npy", "?tilesize=64", "?buffer=2", "?algorithm=hillshade"):
        require(client, f"/count/tiles/{TMS}/{tile}{suffix}", 404)
    z, x, y = tile.split("/")
    require(client, f"/collections/count/map/tiles/{TMS}/{z}/{y}/{x}?f=png", 404)


# Parameters are what T3 is about.

NUMBERS = ["-1", "0", "1.5", "nan", "inf", "-inf", "1e400", "9" * 40, "0x10", "1_0", " 1", "\u0661", "1;1"]
BAD: dict[str, list[str]] = {
    "tilesize": [*NUMBERS, "1025", "9999999999"],
    "width": [*NUMBERS, "1025", "9999999999"],
    "height": [*NUMBERS, "1025", "9999999999"],
    "max_size": [*NUMBERS, "1025", "9999999999"],
    "buffer": ["-1", "0.3", "nan", "inf", "1e400", "9" * 40, "257", "1e9", "x"],
    "padding": ["-1", "0.3", "nan", "inf", "1e400", "9" * 40, "257", "1e9", "x"],
    "bidx": ["0", "-1", "2", "9" * 40, "1e3", "1,", ",", "1,1,1,1,1", "nan", "1.0"],
    "rescale": ["0", "1,0", "0,0", "nan,1", "0,inf", "0,1e400", "0,1,2", ",", "a,b", "0;1"],
    "nodata": ["inf", "-inf", "1e400", "x", "0x1", "--1", "0.5", "70000", "-1"],
    "variable": ["nothing", "count,count", ",", "count,", "a,b,c,d,e", "../count", "count/..", "x" * 500],
    "sel": ["time", "time=", "=1", "time=1=2", "x" * 300 + "=1", "time=\0", "band=0", "time=now::1", "/=1"],
    "colormap_name": ["nothing", "Viridis", "../viridis", "viridis,viridis", "x" * 500],
    "colormap": ["{", "[", "1", "[]", "{}", '{"a": 1}', '{"1": [1]}', '{"1": [1,2,999]}', "[" * 400, '{"1":NaN}'],
    "belowmincolor": ["red", "#ff", "#1234567890", "rgb(1,2,3)", "#gggggg", "x" * 300],
    "abovemaxcolor": ["red", "#ff", "#1234567890", "rgb(1,2,3)", "#gggggg", "x" * 300],
    "color_formula": ["gamma", "gamma RGB", "gamma RGB 0", "gamma RGB nan", "gamma X 1", "sigmoidal RGB 1", "x" * 600],
    "return_mask": ["yes", "2", "tru", "None", "x" * 500],
    "unscale": ["yes", "2", "tru", "None", "x" * 500],
    "resampling": ["Nearest", "nothing", "0", "x" * 500],
    "reproject": ["Nearest", "nothing", "0", "x" * 500],
    "level": ["Nearest", "up", "0", "x" * 500],
    "expression": ["b1", "b1+b1", "__import__('os')", "x" * 600],
    "algorithm": ["nothing", "Hillshade", "os.system", "x" * 500],
    "algorithm_params": ["{", "[]", "1", '{"nothing":1}', '{"azimuth":1e400}', '{"azimuth":NaN}', "[" * 300, "{}"],
    "coord_crs": ["4326", "EPSG:", ":4326", "EPSG:4326:1", "epsg 4326", "EPSG:999999", "EPSG:" + "9" * 100],
    "dst_crs": ["4326", "EPSG:", ":4326", "EPSG:4326:1", "epsg 4326", "EPSG:999999", "EPSG:" + "9" * 100],
    "orientation": ["up", "Horizontal", "x" * 100],
    "background": ["red", "White", "x" * 100],
    "f": ["JSON", "exe", "../json", "x" * 500],
    "categorical": ["yes", "2", "x" * 500],
    "c": ["nan", "inf", "x", "1e400", "9" * 50],
    "p": ["-1", "101", "nan", "1.5", "x", "9" * 40],
    "histogram_bins": ["0", "-1", "1025", "9999999999", "1,0", "1,1", "nan", "0,inf", "a,b"],
    "histogram_range": ["1,0", "0", "0,0", "nan,1", "0,inf", "0,1e400", "0,1,2"],
}
PAGES = ("/{dataset}/map", "/{dataset}/{tms}/map.html")  # the same for every value, which they pass on to the tiles


def queries(client: TestClient, *, pages: bool = False) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Method, an address and the query parameters of every documented operation but pages, which look at no value."""
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            found = [item for item in operation.get("parameters", []) if item["in"] == "query"]
            if path in PAGES and not pages:
                continue
            place = {"suffix": "png", "y": f"{ROW}.png", "x": str(COL + 1), "lon": "-105", "lat": "40"}
            yield method, hostile.address(path, "count", **place), found


def refused(client: TestClient, method: str, path: str, statuses: tuple[int, ...] = (400,)) -> None:
    content = json.dumps(hostile.SQUARE) if method == "post" else None
    begun = time.monotonic()
    response = client.request(method, path, content=content)
    assert response.status_code in statuses, (method, path[:200], response.text[:300])
    assert time.monotonic() - begun < SECONDS
    assert list(response.json()) == ["detail"]
    assert len(response.content) < 1500


def test_t3_every_parameter_has_values_that_are_refused(client: TestClient) -> None:
    names = {item["name"] for _, _, found in queries(client) for item in found}
    assert names == set(BAD)


def test_t3_a_bad_value_is_400_wherever_its_parameter_is(client: TestClient) -> None:
    chance = random.Random(3)
    with hostile.growing() as growth:
        for method, path, found in queries(client):
            for name in (item["name"] for item in found):
                values = BAD[name] if path == f"{TILE}.png" or len(found) < 10 else chance.sample(BAD[name], 3)
                statuses = (400, 404) if name == "variable" else (400,)  # 404: a name that is well-formed
                for value in values:
                    refused(client, method, f"{path}?{name}={quote(value)}", statuses)
    assert growth.peak < 4 * GROWTH  # thousands of requests, one after the other


def test_t3_what_is_unknown_empty_or_repeated_is_400(client: TestClient) -> None:
    for method, path, found in queries(client, pages=True):
        for query in ("nothing=1", "url=http://127.0.0.1/", "x", "=", "=1", "%00=1", "%FF=1", "&".join(["x=1"] * 33)):
            refused(client, method, f"{path}?{query}")
        for item in found:
            name = item["name"]
            for empty in (f"{name}", f"{name}="):
                refused(client, method, f"{path}?{empty}")
            refused(client, method, f"{path}?{name.upper()}=1")
            if item["schema"]["type"] != "array":
                refused(client, method, f"{path}?{name}=1&{name}=1")
            for text in ("%FF", "%ED%A0%80"):
                refused(client, method, f"{path}?{name}={text}")


@pytest.mark.usefixtures("unread")
def test_t3_what_is_refused_by_its_form_asks_no_store(client: TestClient) -> None:
    for name in ("tilesize", "buffer", "rescale", "colormap", "algorithm", "resampling", "level", "color_formula"):
        for value in BAD[name]:
            refused(client, "get", f"{TILE}.png?{name}={quote(value)}")


def test_t3_at_most_as_many_parameters_as_the_limit(client: TestClient) -> None:
    many = "&".join(["rescale=0,1"] * 32)
    assert "rescale" in client.get(f"{TILE}.png?{many}").json()["detail"]
    assert "at most 32 parameters" in client.get(f"{TILE}.png?{many}&rescale=0,1").json()["detail"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b"\xff",
        b"[" * 100_000,
        b'{"type": "Point"}',
        b'{"type": "Point", "coordinates": []}',
        b'{"type": "Point", "coordinates": [1]}',
        b'{"type": "Point", "coordinates": [1, NaN]}',
        b'{"type": "Point", "coordinates": [1, 1e400]}',
        b'{"type": "Point", "coordinates": [1, 1e300]}',
        b'{"type": "Point", "coordinates": ["1", "2"]}',
        b'{"type": "Point", "type": "Point", "coordinates": [1, 2]}',
        b'{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}',
        b'{"type": "Polygon", "coordinates": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"type": "GeometryCollection", "geometries": []}',
        b'{"type": "FeatureCollection", "features": []}',
        b'{"type": "FeatureCollection", "features": [' + b",".join([b"{}"] * 101) + b"]}",
        b'{"type": "Feature", "geometry": null}',
        b'{"type": "MultiPoint", "coordinates": [' + b",".join([b"[0,0]"] * 20_001) + b"]}",
    ],
    ids=lambda data: repr(data[:60]),
)
def test_t3_a_bad_body_is_400(client: TestClient, document: bytes) -> None:
    with hostile.growing() as growth:
        for path in ("/count/feature.png", "/count/statistics"):
            begun = time.monotonic()
            response = client.post(path, content=document)
            assert (response.status_code, response.headers["cache-control"]) == (400, "no-store"), response.text
            assert time.monotonic() - begun < SECONDS
    assert growth.peak < 4 * GROWTH


def test_t3_a_large_body_is_413(client: TestClient) -> None:
    for content in (bytes(2**20 + 1), (bytes(2**16) for _ in range(17))):  # with its length, and without
        response = client.post("/count/statistics", content=content)
        assert (response.status_code, response.headers["connection"]) == (413, "close")


# Names of requests are looked up, which is T8.

TRAVERSALS = [
    *("..", "%2e%2e", "%252e%252e", "..%2F..", "..%252F..", "%2e%2e%2fetc%2fpasswd", "..%5C..", "..%255C..", "%5C"),
    *("%00", "count%00", "count%00.png", "%2Fetc%2Fpasswd", "C:%5C", "file:%2F%2F%2Fetc%2Fpasswd", "count%2F..", "~"),
    *(".", "%2e", "count%0A", "count%0D%0A", "%C0%AE%C0%AE", "%EF%BC%8F", "%E2%80%A6", "count;", "count%3F", "*", "%"),
    *("count%2E", "COUNT", "count%20", "%20count", "zarr.json", "count%2Fzarr.json", "x" * 300, "http:%2F%2F127.0.0.1"),
]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("name", TRAVERSALS)
def test_t8_a_name_that_is_none_is_looked_up_and_not_joined_to_a_path(client: TestClient, name: str) -> None:
    for path in hostile.documented(client):
        fields = [field for field in ("dataset", "tms", "name", "key") if f"{{{field}}}" in path]
        if name == "zarr.json":
            fields = [field for field in fields if field != "key"]  # which is a key that there is
        for field in fields:
            filled = {"dataset": "count"} | {field: name}
            dataset = filled.pop("dataset")
            response = client.get(hostile.address(path, dataset, **filled))
            # `.` and `..` are taken away by clients, and lead to other addresses of the service.
            known = (200, 400, 404) if name in (".", "..", "%2e", "%2e%2e") else (400, 404)
            assert response.status_code in known, (path, field)
            assert "passwd" not in response.text or response.status_code in (400, 404)
    for query in (f"variable={name}", f"sel={name}=1", f"sel=time={name}", f"sel=level=nearest::{name}"):
        for path in (f"/series/tiles/{TMS}/10/{COL}/{ROW}.png", "/series/legend.json", "/series/point/-105,40"):
            assert client.get(f"{path}?{query}").status_code in (400, 404)
    assert client.get(f"/md/info?url={name}").status_code == 400


def test_t8_names_in_the_address_of_a_tile_are_looked_up_too(client: TestClient, places: dict[str, Objects]) -> None:
    for name in TRAVERSALS:
        for place in places.values():
            place.asked.clear()
        assert client.get(f"/{name}/tiles/{TMS}/10/{COL}/{ROW}.png").status_code in (400, 404)
        assert client.get(f"/count/tiles/{name}/10/{COL}/{ROW}.png").status_code in (400, 404)
        assert [place.asked for place in places.values()] == [[]] * len(places)


@pytest.mark.usefixtures("unread")
def test_unknown_names_cost_no_store_access(client: TestClient) -> None:
    """So there is no memory of unknown names, which could be filled."""
    for number in range(50):
        for path in (f"/unknown{number}/info", f"/count/tiles/Unknown{number}", f"{TILE}.png?variable=u{number}"):
            require(client, path, 404)


# Patterns are what T16 is about.

LONG = 100_000
PIECES = [
    "a",
    "1",
    " ",
    "-",
    ".",
    "/",
    "\\",
    '"',
    "(",
    "[",
    "{",
    ",",
    ":",
    "=",
    "+",
    "*",
    "e",
    "T",
    "Z",
    "é",
    "\0",
    "\n",
]


def patterns() -> dict[str, re.Pattern[Any]]:
    """All patterns of modules of the two packages that requests and stores reach."""
    found = {}
    for package in (geozarr, tiler):
        for item in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(item.name)
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern):
                    found[f"{item.name}.{name}"] = value
    return found


PATTERNS = patterns()


def milliseconds(work: Callable[[], object]) -> float:
    """Least time of the processor in three runs."""
    times = []
    for _ in range(3):
        begun = time.thread_time()
        work()
        times.append(time.thread_time() - begun)
        if times[-1] < 0.01:
            break
    return 1000 * min(times)


def texts_for(pattern: re.Pattern[Any]) -> list[str]:
    """Long texts that a pattern might go astray in: what it is made of, again and again, and then something else."""
    words = [*PIECES, *re.findall(r"[A-Za-z]{2,}", str(pattern.pattern))[:12]]
    chance = random.Random(str(pattern.pattern))
    pairs = ["".join(chance.sample(words, 2)) for _ in range(12)]
    whole = [(piece * (LONG // len(piece)))[: LONG - 1] for piece in (*words, *pairs)]
    return [text + end for text in whole for end in ("!", text[0])]


def ways_of(name: str) -> set[str]:
    """Methods that a pattern is used by."""
    module, _, own = name.rpartition(".")
    source = inspect.getsource(importlib.import_module(module))
    return set(re.findall(rf"\b{own}\.(\w+)\(", source)) - {"sub"} or {"fullmatch"}


@pytest.mark.parametrize("name", PATTERNS)
def test_t16_every_pattern_is_linear(name: str) -> None:
    pattern = PATTERNS[name]
    for text in texts_for(pattern):
        subject = text.encode() if isinstance(pattern.pattern, bytes) else text
        for way in ways_of(name):
            seek = getattr(pattern, way)
            took = milliseconds(partial(seek, subject))
            if took >= 10:  # a slow machine, or a pattern that goes astray: half the text tells
                half = milliseconds(partial(seek, subject[len(subject) // 2 :]))
                assert took < 3 * half, (text[:40], way, took, half)


PARSERS: dict[str, Callable[[str], object]] = {
    "bidx": lambda text: parameters.parse_whole("bidx", text),
    "lon": lambda text: parameters.parse_number("lon", text),
    "row": parameters.parse_row,
    "format": parameters.parse_format,
    "crs": parameters.parse_crs_code,
    "box": parameters.parse_box,
    "sel": dimensions.parse_selector,
    "color": lambda text: colors.parse_color("belowmincolor", text),
    "colormap": colors.parse_colormap,
    "formula": formula.parse_formula,
    "expression": expression.parse,
    "algorithm": lambda text: algorithms.parse_algorithm("hillshade", text),
    "query": lambda text: parameters.parse_query(text.encode(), parameters.TILE),
    "json": lambda text: parse_json("colormap", text, max_characters=1000, max_depth=4),
    "range": raw.parse_range,
    "tag": lambda text: http.has_it(text, '"tag"'),
    "units": lambda text: calendars.parse_units(text, "standard"),
    "since": lambda text: calendars.parse_units(f"days since {text}", "standard"),
    "time": lambda text: calendars.parse_time(text, "standard"),
}


@pytest.mark.parametrize("name", PARSERS)
def test_t16_every_parser_is_quick(name: str) -> None:
    parse, said = PARSERS[name], []
    for piece in (*PIECES, "gamma RGB ", "b1+", "((", "[[", '{"', "#ff", "1,", "::", "2024-", "bytes=", "W/", "%41"):
        text = (piece * (LONG // len(piece)))[:LONG]

        def run(text: str = text) -> None:
            try:
                parse(text)
            except ParameterError as error:
                said.append(str(error))

        assert milliseconds(run) < 10, piece
    assert all(len(words) < 1000 for words in said)


def test_t16_a_body_of_a_megabyte_is_read_in_its_time() -> None:
    for piece in (b"[", b'"', b"\\", b"{", b"1", b"[0,0],", b'{"a":', b"\xc3\xa9"):
        begun = time.monotonic()
        with pytest.raises(ParameterError):
            body.parse_geojson(piece * (2**20 // len(piece)))
        assert time.monotonic() - begun < SECONDS


# Expressions are what T17 is about.

EXPRESSIONS = [
    "9**9**9**9",
    "b1**9",
    "b1**4**4",
    "2**4",
    "b1**-1",
    "b1**0.5",
    "((" * 200 + "b1" + "))" * 200,
    "-" * 300 + "b1",
    "+".join(["b1"] * 200),
    "b1.__class__",
    "b1.real",
    "b1[0]",
    "().__class__.__bases__",
    "__import__('os')",
    "_b1",
    "os",
    "eval(b1)",
    "open('x')",
    "'b1'",
    '"b1"',
    "lambda: 1",
    "b1 if b1 else b1",
    "b1 and b1",
    "b1; b1; b1; b1; b1",
    ";",
    "1e999*b1",
    "1",
    "b9",
    "b1b1",
    "b1 b1",
    "b1=1",
    "b1:=1",
    "{b1}",
    "b1@b1",
    "b1//b1",
    "b1%b1",
    "b1<<b1",
    "~b1",
    "where(b1)",
    "min()",
    "sqrt(b1,b1)",
    "\u0430bs(b1)",
    "b1\0",
    "#",
    "b1\n",
]


@pytest.mark.parametrize("text", EXPRESSIONS, ids=lambda text: text[:30])
def test_t17_an_expression_is_of_our_grammar_or_400(places: dict[str, Objects], text: str) -> None:
    with hostile.serving(colour=places["colour"], set_expressions=True) as client, hostile.growing() as growth:
        for path in (f"tiles/{TMS}/10/{COL}/{ROW}.npy", "point/-105,40", "statistics", "legend.json"):
            begun = time.monotonic()
            response = client.get(f"/colour/{path}?expression={quote(text)}&variable=red")
            assert response.status_code in (400, 404), response.text[:300]
            assert time.monotonic() - begun < SECONDS
    assert growth.peak < 4 * GROWTH


def test_t17_there_are_no_expressions_unless_the_operator_wants_them(client: TestClient) -> None:
    for method, path, found in queries(client):
        if any(item["name"] == "expression" for item in found):
            for text in ("b1", "b1/2", "count*2", *EXPRESSIONS[:4]):
                refused(client, method, f"{path}?expression={quote(text)}")


def test_t17_what_is_computed_needs_memory_for_its_result_alone(places: dict[str, Objects]) -> None:
    """The largest expression of the grammar, on the largest picture, holds a few arrays of it at once."""
    terms = "*".join(["(b1+b2)"] * 16)
    path = f"/colour/tiles/{TMS}/10/{COL}/{ROW}.npy?variable=red,green&tilesize=1024&expression={quote(terms)}"
    with hostile.serving(colour=places["colour"], set_expressions=True) as client:
        assert client.get(path.replace(quote(terms), "b1")).status_code == 200
        with hostile.growing() as growth:
            assert client.get(path).status_code == 200
    assert growth.peak < 12 * 8 * 1024**2  # arrays of float64


# What comes back to clients is what T18 is about.

REFLECTED = "<script>alert(1)</script>\"'&\r\nSet-Cookie: a=b\r\n\r\n"


def test_t18_text_of_a_request_comes_back_in_json_and_nowhere_else(client: TestClient) -> None:
    text = quote(REFLECTED, safe="")
    for path in hostile.documented(client):
        fields = re.findall(r"{(\w+)}", path)
        asked = [f"{hostile.address(path, 'count')}?{text}={text}"]
        if path not in PAGES:
            asked.append(f"{hostile.address(path, 'count')}?variable={text}")
        for field in fields:
            filled = {"dataset": "count"} | {field: text}
            asked.append(hostile.address(path, filled.pop("dataset"), **filled))
        for one in asked:
            response = client.get(one, headers={"Accept": "text/html", "Origin": "https://evil.example"})
            assert response.status_code in (400, 404), one
            assert response.headers["content-type"] == "application/json"
            assert response.headers["x-content-type-options"] == "nosniff"
            for value in (*response.headers.keys(), *response.headers.values()):
                assert "alert" not in value
                assert "evil" not in value
                assert value.isprintable()
            assert response.json()["detail"].isprintable()


def test_t18_what_is_found_may_say_what_was_asked_but_never_as_html(client: TestClient) -> None:
    """Parameters go on into the addresses of TileJSON, percent-encoded; pages are the same for every query."""
    document = client.get(f"/series/{TMS}/tilejson.json?sel=time=nearest::2024-01-02&rescale=0,1&variable=heat").json()
    assert quote("sel=time=nearest::2024-01-02", safe="").replace("sel%3D", "sel=", 1) in document["tiles"][0]
    plain = client.get("/count/map").content
    assert client.get("/count/map?colormap_name=viridis&rescale=0,1").content == plain
    for path in ("/count/map", f"/count/{TMS}/map.html", "/?f=html"):
        policy = client.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe-eval" not in policy
        assert "script-src 'unsafe-inline'" not in policy


def test_t18_a_request_cannot_write_lines_of_the_log(
    places: dict[str, Objects], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tiler")
    text = quote(f"\x1b[2J{REFLECTED}2026-01-01 INFO forged", safe="")
    broken = hostile.store(b"{")
    headers = {"X-Request-Id": "a b", "User-Agent": "\x1b[2J", "Host": "evil.example/\tx", "X-Forwarded-For": "forged"}
    with hostile.serving(count=places["count"], broken=broken, set_access_log="all") as client:
        for path in (
            f"/{text}/info",
            f"/broken/zarr/{text}",
            f"/broken/info?{text}",
            f"/count/info?{text}",
            f"/md/{text}",
        ):
            assert client.get(path, headers=headers).status_code in (400, 404, 502)
    records = [record for record in caplog.records if record.name.startswith("tiler")]
    assert len(records) >= 5
    for record in records:
        line = TextFormatter().format(record)
        assert line.isprintable()
        assert not line.startswith("2026-01-01")
        assert "evil" not in line


# CRS of requests are what T22 is about.

SYSTEMS = [
    "+proj=merc",
    "+init=epsg:4326",
    "init=epsg:4326",
    "epsg:4326 +nadgrids=/etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:9/crs",
    "http://www.opengis.net/def/crs/EPSG/0/4326",
    "urn:ogc:def:crs:EPSG::4326",
    "EPSG:4326+5773",
    'GEOGCS["x"]',
    '{"$schema":"http://127.0.0.1:9/"}',
    "WGS84",
    "EPSG:4326\n",
    "EPSG:../../proj.db",
    "ESRI:' OR 1=1 --",
    "EPSG:" + "4" * 2000,
    "EPSG:5773",
    "EPSG:4978",
]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("text", SYSTEMS)
def test_t22_a_crs_of_a_request_is_a_code(client: TestClient, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("somebody was called"))
    for method, path, found in queries(client):
        for name in {"coord_crs", "dst_crs"} & {item["name"] for item in found}:
            refused(client, method, f"{path}?{name}={quote(text)}")


def test_t22_proj_stays_off_the_network_whatever_the_environment_says() -> None:
    code = """
import os, sys
from click.testing import CliRunner
from tiler.cli import main
assert CliRunner().invoke(main, ["nothing.zarr"]).exit_code == 2
import pyproj.network
print(os.environ["PROJ_NETWORK"], pyproj.network.is_network_enabled())
"""
    environ = {**os.environ, "PYTHONPATH": str(PROJECT), "PROJ_NETWORK": "ON"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert found.stdout.split() == ["OFF", "False"]
    before = subprocess.run(
        [sys.executable, "-c", "import pyproj.network; print(pyproj.network.is_network_enabled())"],
        capture_output=True,
        text=True,
        check=True,
        env=environ,
    )
    assert before.stdout.strip() == "True"  # which is what it would be


# What holds for every request: the limits of the design.


def test_an_address_has_at_most_4_kib(client: TestClient) -> None:
    for path in ("/count/info", f"{TILE}.png", "/nothing", "/"):
        just = f"{path}?{'x' * (4096 - len(path))}"
        assert "at most 4096" not in client.get(just).json()["detail"]
        response = client.get(f"{just}x")
        assert (response.status_code, response.headers["cache-control"]) == (400, "no-store")
        assert "at most 4096" in response.json()["detail"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "X" * 100])
def test_methods_are_get_head_options_and_post_where_there_is_a_body(client: TestClient, method: str) -> None:
    for path in (*hostile.documented(client), f"/count/tiles/{TMS}/10/1/1.png", "/nothing"):
        response = client.request(method, hostile.address(path, "count"))
        assert response.status_code == 405, path
        assert response.headers["allow"].startswith("GET, HEAD, OPTIONS")
        assert response.headers["cache-control"] == "no-store"


def test_a_body_is_refused_where_none_is_expected(client: TestClient) -> None:
    for path in hostile.documented(client):
        filled = hostile.address(path, "count")
        for method in ("GET", "HEAD"):
            response = client.request(method, filled, content=b"x")
            assert (response.status_code, response.headers["connection"]) == (400, "close")
        if path not in hostile.documented(client, "post"):
            assert client.post(filled, content=b"{}").status_code == 405
    for path in hostile.documented(client, "post"):
        if path not in hostile.documented(client):
            response = client.get(hostile.address(path, "count"))
            assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_a_method_cannot_be_smuggled_in_a_header(client: TestClient) -> None:
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        plain = client.get("/count/info")
        assert client.get("/count/info", headers={name: "DELETE"}).content == plain.content
        assert client.get("/count/info?_method=DELETE").status_code == 400


def test_any_origin_may_read_and_none_with_credentials(client: TestClient) -> None:
    asked = {"Origin": "https://evil.example", "Cookie": "a=b", "Authorization": "Basic eDp4"}
    paths = [hostile.address(path, "count") for path in hostile.documented(client)]
    for path in (*paths, f"{TILE}.png", "/nothing", f"{TILE}.png?nothing", "/count/zarr/nothing"):
        for method in ("GET", "HEAD", "OPTIONS", "PUT"):
            headers = client.request(method, path, headers=asked).headers
            assert headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in headers
            assert "set-cookie" not in headers
            assert headers["x-content-type-options"] == "nosniff"
        preflight = client.options(path, headers={**asked, "Access-Control-Request-Method": "GET"})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-methods"].startswith("GET, HEAD, OPTIONS")


def test_head_is_get_without_a_body_everywhere(client: TestClient) -> None:
    paths = [hostile.address(path, "count") for path in hostile.documented(client)]
    seen = set()
    others = [
        "/",
        "/?f=html",
        "/nothing",
        "/count/info?x=1",
        "/count/tiles/x/y",
        f"{TILE}.png",
        f"{TILE}.npy?x",
        "/openapi.json",
    ]
    for path in (
        *paths,
        *others,
        "/count/zarr/10/count/c/0/1",
        "/count/zarr/nothing",
        f"/md/{TMS}/tilejson.json?url=count",
    ):
        get, head = client.get(path), client.head(path)
        assert head.status_code == get.status_code, path
        for response in (get, head):
            response.headers.pop("server-timing", None)
        assert dict(head.headers) == dict(get.headers), path
        assert int(get.headers["content-length"]) == len(get.content)
        assert head.content == b""
        seen.add(get.status_code)
        tag = get.headers.get("etag")
        if tag is not None:
            again = client.head(path, headers={"If-None-Match": tag})
            assert (again.status_code, again.content) == (304, b"")
    assert seen == {200, 400, 404}


def test_what_is_not_there_may_be_kept_for_a_minute_and_other_failures_not_at_all(client: TestClient) -> None:
    for path, status in (("/nothing", 404), (f"/count/tiles/{TMS}/10/0/0", 404), ("/count/info?x", 400)):
        require(client, path, status)
    with hostile.serving(broken=hostile.store(b"{")) as other:
        response = other.get("/broken/info")
        assert (response.status_code, response.headers["cache-control"]) == (502, "no-store")


def test_the_numbers_that_are_refused_are_none_that_python_would_take() -> None:
    """So that the lists above are worth something: int() and float() take most of them."""
    assert [int(text) for text in ("+1", "01", "1_0", "\u0661", " 1")] == [1, 1, 10, 1, 1]
    assert math.isnan(float("nan"))
