"""Ask a server for tiles, over a few connections that stay open, and time each answer.

Blocking sockets and threads: of all that Python offers this takes the least processor from the server beside it, and
every server is asked by the same client.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


class Connection:
    """A connection of HTTP/1.1 that is kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""

    def get(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        while (end := self._left.find(b"\r\n\r\n")) < 0:
            self._more()
        head, self._left = self._left[:end].lower(), self._left[end + 4 :]
        lines = head.split(b"\r\n")
        fields = dict(line.split(b": ", 1) for line in lines[1:])
        length = int(fields[b"content-length"])
        while len(self._left) < length:
            self._more()
        body, self._left = self._left[:length], self._left[length:]
        if fields.get(b"connection") == b"close":
            self._socket.close()
            self._open()
        return int(lines[0].split(b" ", 2)[1]), body

    def _more(self) -> None:
        data = self._socket.recv(2**18)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self._left += data


def ask(port: int, paths: list[str], *, connections: int, seconds: float) -> dict[str, Any]:
    """Ask for each path once, in order, until the time is over.

    Returns
    -------
    dict
        `seconds` from the first question to the last answer, `times` of each answer, `statuses` with their counts, and
        `bytes` in all.
    """
    lock = threading.Lock()
    rest = iter(paths)
    times: list[float] = []
    statuses: dict[int, int] = {}
    size = 0
    opened = [Connection(port) for _ in range(connections)]
    begun = time.perf_counter()
    over = begun + seconds

    def work(connection: Connection) -> None:
        nonlocal size
        while time.perf_counter() < over:
            with lock:
                path = next(rest, None)
            if path is None:
                return
            asked = time.perf_counter()
            status, body = connection.get(path)
            spent = time.perf_counter() - asked
            with lock:
                times.append(spent)
                statuses[status] = statuses.get(status, 0) + 1
                size += len(body)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, opened))  # raises what any of them has raised
    return {
        "seconds": time.perf_counter() - begun,
        "times": times,
        "statuses": statuses,
        "bytes": size,
    }


def main() -> None:
    """Read a job, do it, and write what was found."""
    job = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps(ask(**job)))


if __name__ == "__main__":
    main()
