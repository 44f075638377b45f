"""Each record is a line of its own, whatever a client sends (T18)."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from served import serving, until
from tiler import logs
from tiler.logs import Access, JsonFormatter, TextFormatter, is_logged, request_ids, shown

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = st.text(st.characters(), max_size=300) | st.sampled_from(
    ["\n", "\r\n", "\x1b[2J", "\u2028", "\x85", "\ud800", '"']
)
TILE = "/count/tiles/WebMercatorQuad/10/215/391.png"


def record(message: str = "", *args: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("tiler.http", logging.ERROR, __file__, 1, message, args, extra.pop("exc_info", None))
    made.__dict__.update(extra)
    return made


def access(**change: Any) -> Access:
    values = {
        "method": "GET",
        "path": "/a",
        "query": "",
        "status": 200,
        "size": 5,
        "seconds": 0.0123456,
        "client": "::1",
    }
    return Access(**{**values, "dataset": "a", **change})


def error_of(text: str) -> Any:
    try:
        raise ValueError(text)  # noqa: TRY301 - to have been raised is all it is for
    except ValueError:
        return sys.exc_info()


@given(text=HOSTILE)
def test_t18_nothing_breaks_a_line(text: str) -> None:
    for made in (record("%s: %s", text, text), record(access=access(path=text, query=text, method=text))):
        for formatter in (JsonFormatter(), TextFormatter()):
            line = formatter.format(made)
            assert len(line.splitlines()) == 1
            assert line.isprintable()
        assert isinstance(json.loads(JsonFormatter().format(made)), dict)


@given(text=HOSTILE)
def test_t18_a_trace_is_part_of_its_record(text: str) -> None:
    made = record("failed", exc_info=error_of(text))
    found = JsonFormatter().format(made)
    assert len(found.splitlines()) == 1
    assert "ValueError" in json.loads(found)["trace"]
    first, *others = TextFormatter().format(made).split("\n")
    assert first.endswith(" error   failed")
    assert all(line.startswith("    ") and line.isprintable() for line in others)


def test_a_line_says_what_was_asked_and_what_came_of_it() -> None:
    found = json.loads(JsonFormatter().format(record(access=access(query="x=1"))))
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "error",
        "logger": "tiler.http",
        "method": "GET",
        "path": "/a?x=1",
        "status": 200,
        "bytes": 5,
        "ms": 12.35,
        "client": "::1",
        "dataset": "a",
    }
    text = TextFormatter().format(record(access=access(query="x=1")))
    assert text.partition("Z ")[2] == "::1 GET /a?x=1 200 5 B 12.35 ms"


def test_long_texts_are_cut() -> None:
    found = json.loads(JsonFormatter().format(record(access=access(path="/" + "x" * 5000, query="y" * 5000))))
    assert found["path"] == "/" + "x" * 199 + "\u2026"
    assert len(TextFormatter().format(record("y" * 100_000))) < 5000
    assert shown("abc", 3) == "abc"
    assert shown("a\x00\u2028\ud800\U000e0001", 9) == "a\\x00\\u2028\\ud800\\U000e0001"


def test_time_is_that_of_the_record_in_utc() -> None:
    made = record("x")
    made.created = 1_700_000_000.0625  # 2023-11-14, 22:13:20 o'clock
    assert json.loads(JsonFormatter().format(made))["time"] == "2023-11-14T22:13:20.062Z"


@pytest.mark.parametrize("sent", ["", "a b", "a\n", "é", "x" * 65, '"', "a;b"])
def test_an_id_that_is_no_plain_word_is_not_taken(sent: str) -> None:
    name = request_ids()
    made = [name(sent), name(sent)]
    assert sent not in made
    assert len(set(made)) == 2
    assert request_ids()(sent) not in made


def test_the_id_of_a_proxy_is_taken() -> None:
    assert request_ids()("7b2f-A_1.0") == "7b2f-A_1.0"


@pytest.mark.parametrize(
    ("path", "is_tile", "choices"),
    [
        ("/a/info", False, {"documents", "all"}),
        ("/", False, {"documents", "all"}),
        ("/a/tiles/x/1/2/3", True, {"all"}),
        ("/healthz", False, {"all"}),
        ("/readyz", False, {"all"}),
        ("/metrics", False, {"all"}),
        ("/_static/1/map.js", False, {"all"}),
    ],
)
def test_which_requests_have_a_line(path: str, is_tile: bool, choices: set[str]) -> None:
    assert {choice for choice in ("off", "documents", "all") if is_logged(choice, path, is_tile=is_tile)} == choices


@pytest.mark.parametrize(("log_format", "is_terminal", "kind"), [
    ("auto", True, TextFormatter), ("auto", False, JsonFormatter),
    ("json", True, JsonFormatter), ("text", False, TextFormatter),
])  # fmt: skip
def test_the_format_follows_the_terminal_unless_it_is_said(
    monkeypatch: pytest.MonkeyPatch, log_format: str, is_terminal: bool, kind: type[logging.Formatter]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal, raising=False)
    logs.configure(log_format)
    (handler,) = root.handlers
    assert type(handler.formatter) is kind


@pytest.mark.faults
def test_t18_what_a_client_sends_stays_within_its_line(stores: dict[str, Any], tmp_path: Path) -> None:
    store = tmp_path / "secret.zarr"
    store.symlink_to(stores["count"].path)
    with serving(f"count={store}", "--access-log") as served:
        heads = [
            f"GET {TILE}?rescale=%0A%7B HTTP/1.1\r\nHost: a\r\nX-Request-ID: own-id-7",
            "GET /%0d%0a%7B%22level%22:%22error%22%7D/%1b%5b2J HTTP/1.1\r\nHost: a\r\nX-Request-ID: bad id",
            "GET /" + "y" * 3000 + " HTTP/1.1\r\nHost: a",
            f"HEAD {TILE} HTTP/1.1\r\nHost: a",
        ]
        for head in heads:
            with socket.create_connection(("127.0.0.1", served.port), timeout=20) as opened:
                opened.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
                while opened.recv(2**16):
                    pass
        served.get(TILE)
        until(lambda: len([item for item in served.records() if "ms" in item and item["path"] != "/healthz"]) == 5)
        lines = [item for item in served.records() if "ms" in item and item["path"] != "/healthz"]
        assert [item["status"] for item in lines] == [400, 404, 404, 200, 200]
        assert [item["dataset"] for item in lines] == ["count", "", "", "count", "count"]
        assert lines[0]["request_id"] == "own-id-7"
        assert len({item["request_id"] for item in lines}) == 5
        assert lines[1]["path"] == '/\\x0d\\x0a{"level":"error"}/\\x1b[2J'
        assert len(lines[2]["path"]) == logs.MAX_PATH + 1
        assert lines[3]["bytes"] == 0
        assert lines[4]["bytes"] == len(served.get(TILE)[1])


@pytest.mark.faults
def test_an_error_of_a_store_is_logged_on_one_line_with_the_id_of_its_request(
    stores: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "count.zarr"
    shutil.copytree(stores["count"].path, path)
    (path / "10/count/c/1/1").write_bytes(b"damaged")
    with serving(path) as served:
        assert served.get(TILE)[0] == 502
        until(lambda: any(item["level"] == "error" for item in served.records()))
        (error,) = [item for item in served.records() if item["level"] == "error"]
        assert error["logger"] == "tiler.http"
        assert "ChunkReadError: /10/count" in error["message"]
        assert error["request_id"]
        assert "trace" not in error  # the store is at fault, and no code of ours
