"""A proxy on this machine that stands before an HTTP server and does harm to chosen requests (FAULTS.md section 3, B7).

It takes one request after the other from each connection, asks the server behind it, and answers; rules say what goes
wrong with which of them. What was asked, and what went wrong with it, is recorded.
"""

from __future__ import annotations

import contextlib
import fnmatch
import http.client
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from types import TracebackType

# What an S3 server answers.
STATUSES = {
    "403": (403, "Forbidden", "AccessDenied", "Access Denied"),
    "404": (404, "Not Found", "NoSuchKey", "The specified key does not exist."),
    "409": (409, "Conflict", "ConditionalRequestConflict", "Conflict while performing conditional operation."),
    "429": (429, "Too Many Requests", "TooManyRequests", "Please reduce your request rate."),
    "500": (500, "Internal Server Error", "InternalError", "We encountered an internal error. Please try again."),
    "501": (501, "Not Implemented", "NotImplemented", "A header you provided implies functionality that is missing."),
    "503": (503, "Slow Down", "SlowDown", "Please reduce your request rate."),
}


@dataclass
class Fault:
    """A rule: what goes wrong with which requests.

    Parameters
    ----------
    kind : str
        One of `STATUSES`: that answer, and the server is not asked. "cut": half of the body, announced whole. "short":
        half of the body, announced as half; of a put, the server gets half of it and calls that done. "flip": a byte
        in the middle of the body is another one; of a put, of the body that the server gets. "stall": no answer as
        long as the proxy is open. "reset": the connection is reset and the server is not asked. "lost": the server
        does as it is asked, and the connection is reset instead of an answer. "plain": the header `If-None-Match` is
        left out, as a server does that does not know it.
    operation : str
        Which: get, put, delete, list, or a pattern.
    key : str
        Pattern of their keys, bucket left out; for a list of its prefix.
    at : int
        The first one that it hits, among those that match.
    count : int, optional
        So many of them; None: for ever.
    """

    kind: str
    operation: str = "*"
    key: str = "*"
    at: int = 0
    count: int | None = 1
    seen: int = 0

    def hits(self, operation: str, key: str) -> bool:
        """Count a request, and tell whether it is hit."""
        if not (fnmatch.fnmatchcase(operation, self.operation) and fnmatch.fnmatchcase(key, self.key)):
            return False
        number = self.seen - self.at
        self.seen += 1
        return number >= 0 and (self.count is None or number < self.count)


@dataclass(frozen=True)
class Request:
    """What was asked, and what went wrong with it."""

    operation: str
    key: str
    fault: str = ""


@dataclass
class FaultProxy:
    """A proxy that is open while its context is entered.

    Parameters
    ----------
    port : int
        Port of the server, on 127.0.0.1.
    has_buckets : bool
        The first part of a path is a bucket, and no part of the key.
    """

    port: int
    has_buckets: bool = True
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)
    _sockets: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._sockets:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def harm(self, kind: str, operation: str = "*", key: str = "*", *, at: int = 0, count: int | None = 1) -> Fault:
        """Add a rule."""
        fault = Fault(kind, operation, key, at, count)
        with self._lock:
            self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget all rules, and what was recorded."""
        with self._lock:
            self.faults.clear()
            self.requests.clear()

    def asked(self, operation: str = "*", key: str = "*") -> list[Request]:
        """Those of the recorded requests that match."""
        with self._lock:
            return [
                item
                for item in self.requests
                if fnmatch.fnmatchcase(item.operation, operation) and fnmatch.fnmatchcase(item.key, key)
            ]

    def _start(self, act: object, *args: object) -> None:
        thread = threading.Thread(target=act, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        behind = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            with connection, connection.makefile("rb") as incoming:
                while self._answer(connection, incoming, behind):  # type: ignore[arg-type]
                    pass
        except OSError:
            pass  # the client is gone, or the proxy is closed
        finally:
            behind.close()
            with self._lock:
                self._sockets.discard(connection)

    def _answer(self, connection: socket.socket, incoming: socket.SocketIO, behind: http.client.HTTPConnection) -> bool:
        """Take one request and answer it; tell whether there may be another one."""
        line = incoming.readline().decode("latin-1").split()
        if len(line) != 3:
            return False
        method, target, _ = line
        headers = http.client.parse_headers(incoming)  # type: ignore[arg-type]
        body = incoming.read(int(headers.get("Content-Length", 0))) or b""
        operation, key = self._what(method, target)
        with self._lock:
            kind = next((fault.kind for fault in self.faults if fault.hits(operation, key)), "")
            self.requests.append(Request(operation, key, kind))
        if kind in STATUSES:
            status, phrase, code, message = STATUSES[kind]
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            connection.sendall(_head(status, phrase, {"Content-Length": str(len(text))}) + text)
            return True
        if kind == "stall":
            self._closed.wait()
            return False
        if kind == "reset":
            return _reset(connection)
        if kind == "plain":
            del headers["If-None-Match"]
        if operation == "put":
            if kind == "cut":
                return _reset(connection)  # no server keeps half of what was announced
            body = _harmed(body, kind)
            if kind == "short":
                headers.replace_header("Content-Length", str(len(body)))
        status, phrase, given, data = _asked(behind, method, target, dict(headers.items()), body)
        if kind == "lost":
            return _reset(connection)
        if operation != "put":
            if kind == "short":
                data = _harmed(data, kind)
                given["Content-Length"] = str(len(data))
            if kind == "flip":
                data = _harmed(data, kind)
        connection.sendall(_head(status, phrase, given))
        if kind == "cut":
            connection.sendall(data[: len(data) // 2])
            return False
        connection.sendall(data)
        return True

    def _what(self, method: str, target: str) -> tuple[str, str]:
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        if "list-type" in query:
            return "list", query.get("prefix", [""])[0]
        path = unquote(parts.path).lstrip("/")
        return method.lower(), path.partition("/")[2] if self.has_buckets else path


def _asked(
    behind: http.client.HTTPConnection, method: str, target: str, headers: dict[str, str], body: bytes
) -> tuple[int, str, dict[str, str], bytes]:
    """Ask the server; an idle connection that it has closed is opened again."""
    for is_last in (False, True):
        try:
            behind.request(method, target, body=body or None, headers=headers)
            response = behind.getresponse()
            break
        except (ConnectionError, http.client.HTTPException):
            behind.close()
            if is_last:
                raise
    data = response.read()
    hop_by_hop = ("connection", "transfer-encoding", "keep-alive")
    given = {name: value for name, value in response.getheaders() if name.lower() not in hop_by_hop}
    if "content-length" not in {name.lower() for name in given} and response.status not in (204, 304):
        given["Content-Length"] = str(len(data))
    return response.status, response.reason, {name.title(): value for name, value in given.items()}, data


def _harmed(data: bytes, kind: str) -> bytes:
    if kind == "short":
        return data[: len(data) // 2]
    if kind == "flip" and data:
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    return data


def _head(status: int, phrase: str, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _reset(connection: socket.socket) -> bool:
    """Close a connection so that the other side sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False
