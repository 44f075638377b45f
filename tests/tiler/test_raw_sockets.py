"""Whatever bytes a client sends, the process lives, fails at nothing, and serves the next one (T1, T3, T10, T18)."""

from __future__ import annotations

import random
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from served import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from served import Served

pytestmark = pytest.mark.faults

TILE = b"/count/tiles/WebMercatorQuad/10/215/391.png"  # see conftest.py
HEAD = b"Host: here\r\n\r\n"
GOOD = b"GET /count/info HTTP/1.1\r\n" + HEAD
SECOND = b"GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n"
SECONDS = 10.0  # of the bytes at random
PAUSE = 0.15  # seconds after which no more is expected on a connection


@pytest.fixture(scope="module")
def served(stores: dict[str, Any]) -> Iterator[Served]:
    with serving(f"count={stores['count'].path}") as served:
        yield served
        assert served.process.poll() is None
        records = served.records()
        assert [
            item for item in records if "traceback" in str(item).lower() or item["level"] in ("error", "critical")
        ] == []


def statuses(served: Served, *parts: bytes, pause: float = PAUSE) -> tuple[list[int], bool]:
    """Send bytes, and return what is answered, and whether the connection was closed then."""
    answer, is_closed = b"", True
    with socket.create_connection(("127.0.0.1", served.port), timeout=pause) as opened:
        try:
            for part in parts:
                opened.sendall(part)
            while part := opened.recv(2**16):
                answer += part
        except TimeoutError:
            is_closed = False
        except ConnectionError:
            pass
    assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:100]
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)], is_closed


def require_good(served: Served) -> None:
    begun = time.monotonic()
    assert statuses(served, GOOD.replace(b"Host", b"Connection: close\r\nHost"), pause=10) == ([200], True)
    assert time.monotonic() - begun < 2


def request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((line, b"Host: here", *headers, b"", body))


GET = b"GET /count/info HTTP/1.1"
REFUSED = {
    "no method": b" /count/info HTTP/1.1\r\n" + HEAD,
    "no path": b"GET HTTP/1.1\r\n" + HEAD,
    "unknown method": b"GETT /count/info HTTP/1.1\r\n" + HEAD,
    "small method": b"get /count/info HTTP/1.1\r\n" + HEAD,
    "version 2": b"GET /count/info HTTP/2.0\r\n" + HEAD,
    "version 9.9": b"GET /count/info HTTP/9.9\r\n" + HEAD,
    "version 0.9": b"GET /count/info HTTP/0.9\r\n" + HEAD,
    "no version": b"GET /count/info\r\n" + HEAD,
    "no protocol": b"GET /count/info FTP/1.1\r\n" + HEAD,
    "preface of 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
    "nul in path": request(b"GET /count\0/info HTTP/1.1"),
    "nul in name": request(GET, b"X\0: a"),
    "nul in value": request(GET, b"X: a\0"),
    "blank before colon": request(GET, b"X : a"),
    "no colon": request(GET, b"X"),
    "no name": request(GET, b": a"),
    "obs-fold": request(GET, b"X: a", b" b"),
    "cr in value": request(GET, b"X: a\rSet-Cookie: b"),
    "no host": GET + b"\r\n\r\n",
    "two hosts": request(GET, b"Host: other"),
    "raw byte in path": request("GET /é/info HTTP/1.1".encode()),
    "blank in path": request(b"GET /count /info HTTP/1.1"),
    "long path": request(b"GET /" + b"a" * 5000 + b" HTTP/1.1"),
    "long header": request(GET, b"X: " + b"a" * 30_000),
    "many headers": request(GET, *[b"X: a"] * 5000),
    "asterisk": request(b"GET * HTTP/1.1"),
    "authority": request(b"CONNECT here:443 HTTP/1.1"),
    "percent": request(b"GET /count/info?%=%zz HTTP/1.1"),
    "no utf-8": request(b"GET /count/info?%ff=1 HTTP/1.1"),
    "nul": request(b"GET /count/info?%00=%00 HTTP/1.1"),
    "upgrade without need": request(b"DELETE /count/info HTTP/1.1", b"Upgrade: websocket", b"Connection: Upgrade"),
    "expectation": request(GET, b"Expect: 100-continue", b"Content-Length: 5"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_is_refused_and_no_more(served: Served, name: str) -> None:
    found, _ = statuses(served, REFUSED[name])
    assert found == [] or set(found) <= {400, 404, 405}
    assert len(found) <= 1
    require_good(served)


LENGTH = str(len(SECOND)).encode()
SMUGGLING = {
    "two lengths": request(GET, b"Content-Length: 0", b"Content-Length: " + LENGTH, body=SECOND),
    "two lengths, turned": request(GET, b"Content-Length: " + LENGTH, b"Content-Length: 0", body=SECOND),
    "list of lengths": request(GET, b"Content-Length: 0, " + LENGTH, body=SECOND),
    "length and coding": request(
        GET, b"Content-Length: " + LENGTH, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND
    ),
    "coding and length": request(GET, b"Transfer-Encoding: chunked", b"Content-Length: 0", body=SECOND),
    "coding": request(GET, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND),
    "coding that is none": request(GET, b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + SECOND),
    "coding twice": request(GET, b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + SECOND),
    "coding with a tab": request(GET, b"Transfer-Encoding:\tchunked", body=b"0\r\n\r\n" + SECOND),
    "coding with a blank": request(GET, b"Transfer-Encoding : chunked", body=b"0\r\n\r\n" + SECOND),
    "negative length": request(GET, b"Content-Length: -1", body=SECOND),
    "length with a sign": request(GET, b"Content-Length: +" + LENGTH, body=SECOND),
    "length in hex": request(GET, b"Content-Length: 0x10", body=SECOND),
    "huge length": request(GET, b"Content-Length: " + b"9" * 30, body=SECOND),
    "length": request(GET, b"Content-Length: " + LENGTH, body=SECOND),
    "a chunk too large": request(GET, b"Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n" + SECOND),
    "bare lf": GET + b"\nHost: here\nContent-Length: 4\n\nabcd" + SECOND,
    "post, two lengths": request(
        b"POST /count/statistics HTTP/1.1", b"Content-Length: 2", b"Content-Length: 3", body=b"{}" + SECOND
    ),
    "post, both": request(
        b"POST /count/statistics HTTP/1.1",
        b"Content-Length: 4",
        b"Transfer-Encoding: chunked",
        body=b"0\r\n\r\n" + SECOND,
    ),
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_a_second_request_cannot_be_smuggled_in_the_body_of_one(served: Served, name: str) -> None:
    found, is_closed = statuses(served, SMUGGLING[name])
    assert (found, is_closed) == ([400], True)
    require_good(served)


def test_an_absolute_address_is_of_this_service_whatever_its_host_says(served: Served) -> None:
    for address in (b"http://evil.example/count/info", b"http://127.0.0.1:1/count/info"):
        assert statuses(served, request(b"GET " + address + b" HTTP/1.1")) == ([200], False)
    require_good(served)


def test_requests_that_come_together_are_answered_in_their_order(served: Served) -> None:
    bad = request(b"GET /nothing/info HTTP/1.1")
    assert statuses(served, GOOD + bad + GOOD, pause=1) == ([200, 404, 200], False)
    assert statuses(served, *[GOOD[at : at + 1] for at in range(len(GOOD))], pause=1) == ([200], False)


def test_whoever_closes_in_the_middle_harms_nobody(served: Served) -> None:
    for end in range(1, len(GOOD), 5):
        with socket.create_connection(("127.0.0.1", served.port)) as opened:
            opened.sendall(GOOD[:end])
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", served.port)) as opened:
            opened.sendall(b"GET " + TILE + b" HTTP/1.1\r\n" + HEAD)
    require_good(served)


PIECES = [
    *(b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"/count/info", TILE, b"/count/statistics", b" HTTP/1.1", b" HTTP/1.0"),
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b"%",
        b"%00",
        b"%ff",
        b"%0d%0a",
        b"..",
        b"//",
        b"?",
    ),
    *(b"Host: here", b"Content-Length: 5", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"0\r\n\r\n", b"5\r\n"),
    *(b"Connection: close", b"Connection: keep-alive", b"Range: bytes=0-", b"If-None-Match: *", b"X-Request-Id: a"),
    *(b"Accept: \xff", b"Expect: 100-continue", b"Upgrade: h2c", b"hello", b"{}", b"\xff\xfe", b"a" * 3000, b"&" * 50),
]


def mutated(chance: random.Random) -> bytes:
    """Make a request, and then some bytes of it others; or put pieces together."""
    if chance.random() < 0.5:
        return b"".join(chance.choices(PIECES, k=chance.randint(1, 12)))
    data = bytearray(request(chance.choice([GET, b"GET " + TILE + b" HTTP/1.1"]), b"Accept: */*", b"X-A: b"))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        kind = chance.randrange(3)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at : at + chance.randint(1, 5)]
        else:
            data[at:at] = chance.choice(PIECES)
    return bytes(data)


def test_bytes_at_random_are_answered_or_refused_and_never_500(served: Served) -> None:
    chance = random.Random(10)
    by, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < by and count < 1000:
        data = mutated(chance)
        found, _ = statuses(served, data, pause=0.03)
        assert all(status < 500 for status in found), data
        count += 1
        if count % 50 == 0:
            require_good(served)
    assert count > 50
    require_good(served)
