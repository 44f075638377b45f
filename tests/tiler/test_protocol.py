"""Connections that trickle, boast or do not listen, against a real server on loopback."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from tiler import protocol
from tiler.protocol import BoundedProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = 0.5  # seconds that a head may take here
LARGE = 8 * 2**20  # more than the buffers between two sockets hold

pytestmark = pytest.mark.faults


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ARG001 - ASGI's signature
    assert scope["type"] == "http"
    body = b"x" * (LARGE if scope["path"] == "/large" else 2)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", HEAD)
    monkeypatch.setattr(protocol, "ANSWER_SECONDS", HEAD)
    with serving(keep_alive=60) as port:
        yield port


@contextmanager
def serving(*, keep_alive: int) -> Iterator[int]:
    config = uvicorn.Config(
        application,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_level="critical",
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
    assert not thread.is_alive()


@contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as opened:
        yield opened


def is_served(port: int) -> bool:
    with connection(port) as opened:
        opened.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        return opened.recv(1000).startswith(b"HTTP/1.1 200")


def is_closed(opened: socket.socket) -> bool:
    """Send one byte more, and tell whether anybody takes it."""
    opened.settimeout(0.01)
    try:
        opened.sendall(b"a")
        return not opened.recv(100)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def seconds_until_closed(opened: socket.socket) -> float:
    begun = time.monotonic()
    try:
        while opened.recv(2**16):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - begun


def test_t10_a_connection_without_a_request_is_closed(port: int) -> None:
    with connection(port) as opened:
        assert seconds_until_closed(opened) < 10 * HEAD


def test_t10_a_head_that_trickles_is_closed_in_time(port: int) -> None:
    with connection(port) as opened:
        opened.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        begun = time.monotonic()
        while not is_closed(opened):
            assert time.monotonic() - begun < 10 * HEAD
            time.sleep(0.05)


def test_t10_the_second_head_of_a_connection_has_its_own_time(port: int) -> None:
    with connection(port) as opened:
        for _ in range(3):
            opened.sendall(b"GET / HTTP/1.1\r\n")
            time.sleep(0.6 * HEAD)  # in all more than one head may take
            opened.sendall(b"Host: here\r\n\r\n")
            assert opened.recv(1000).startswith(b"HTTP/1.1 200")


def test_t10_two_hundred_trickling_connections_keep_nobody_else_waiting(port: int) -> None:
    trickling = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(200)]
    try:
        for step in range(6):
            for opened in trickling:
                try:
                    opened.sendall(b"GET / HTTP/1.1\r\n" if step == 0 else b"X")
                except OSError:
                    assert step > 0
            begun = time.monotonic()
            assert is_served(port)
            assert time.monotonic() - begun < 5
            time.sleep(HEAD / 4)
        for opened in trickling:
            assert seconds_until_closed(opened) < 10 * HEAD
    finally:
        for opened in trickling:
            opened.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * (protocol.HEAD_BYTES + 8192),
        b"GET / HTTP/1.1\r\nX: " + b"a" * (protocol.HEAD_BYTES + 8192),
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * (protocol.HEAD_BYTES // 6 + 2000),
    ],
    ids=["address", "header", "headers"],
)
def test_a_head_that_is_too_long_is_refused_before_it_ends(port: int, head: bytes) -> None:
    with connection(port) as opened:
        opened.sendall(head)
        answer = b""
        while part := opened.recv(2**16):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert str(protocol.HEAD_BYTES).encode() in answer


def test_many_requests_at_once_are_no_long_head(port: int) -> None:
    request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
    count = 2 * protocol.HEAD_BYTES // len(request)
    with connection(port) as opened:
        opened.sendall(request * count)
        answers = b""
        while answers.count(b"HTTP/1.1 200") < count:
            part = opened.recv(2**16)
            assert part, answers[-200:]
            answers += part


def received_after(seconds: float, port: int) -> int:
    """Ask for a large answer, do nothing for some time, and count what comes then until the connection is closed."""
    received = 0
    with connection(port) as opened:
        opened.sendall(b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n")
        time.sleep(seconds)
        opened.settimeout(2)
        try:
            while part := opened.recv(2**16):
                received += len(part)
        except (ConnectionResetError, TimeoutError):
            pass
    return received


def test_t10_an_answer_that_nobody_takes_is_given_up(port: int) -> None:
    assert received_after(6 * HEAD, port) < LARGE  # what was not in the buffers was not sent


def test_t10_an_answer_that_nobody_takes_does_not_outlive_an_idle_connection() -> None:
    with serving(keep_alive=1) as port:
        assert received_after(3, port) < LARGE


def test_t10_an_answer_that_is_taken_slowly_arrives_whole(port: int) -> None:
    with connection(port) as opened:
        opened.sendall(b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n")
        received = 0
        begun = time.monotonic()
        while received < LARGE:
            received += len(opened.recv(2**17))
            time.sleep(3 * HEAD / (LARGE / 2**17))  # in all three times as long as may pass without progress
        assert time.monotonic() - begun > 2 * HEAD
