"""`geozarr-serve` in a process of its own, as a user starts it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROJECT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "from tiler.cli import main; main()"]


@dataclass
class Served:
    """A service that runs.

    Parameters
    ----------
    process : Popen
        The process that was started.
    maps : dict
        Address of the map of each dataset that was there at the start, by name.
    log : list of str
        Lines that it has written to standard error so far.
    """

    process: subprocess.Popen[str]
    maps: dict[str, str]
    log: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        """Start of all addresses."""
        parts = urlsplit(next(iter(self.maps.values())))
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def port(self) -> int:
        """Where it listens."""
        port = urlsplit(self.base).port
        assert port is not None
        return port

    def get(self, path: str, timeout: float = 30) -> tuple[int, bytes]:
        """Ask on a connection of its own; return status and body."""
        try:
            with urllib.request.urlopen(self.base + path, timeout=timeout) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def json(self, path: str) -> Any:
        """Ask for a document."""
        return json.loads(self.get(path)[1])

    def connection(self) -> http.client.HTTPConnection:
        """Open a connection that stays open."""
        opened = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        opened.connect()
        return opened

    def tell(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def records(self) -> list[dict[str, Any]]:
        """Records of the log, which is JSON where standard error is no terminal."""
        return [json.loads(line) for line in list(self.log)]

    def logged(self, text: str) -> bool:
        """Tell whether a message holds a text."""
        return any(text in record.get("message", "") for record in self.records())

    def workers(self) -> list[int]:
        """Processes that it has started and that run python."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                number, _, rest = path.read_text().partition(" (")
                parent = int(rest.rpartition(") ")[2].split()[1])
                command = (path.parent / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            if parent == self.process.pid and b"spawn_main" in command:
                found.append(int(number))
        return sorted(found)


def until(is_so: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so."""
    by = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < by, "it has not come about"
        time.sleep(0.02)


def _read(errors: IO[str], log: list[str]) -> None:
    for line in errors:
        log.append(line)  # noqa: PERF402 - each at once: others look meanwhile


@contextmanager
def serving(*arguments: object, count: int = 1, environ: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Run the service on a free port until the end of the context; `count` datasets are said at its start."""
    command = [*COMMAND, "--port", "0", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **(environ or {})}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        log: list[str] = []
        reader = threading.Thread(target=_read, args=(process.stderr, log), daemon=True)
        reader.start()
        try:
            lines = [process.stdout.readline().split() for _ in range(count)]
            assert all(lines), log
            served = Served(process, dict(lines), log)
            until(lambda: served.get("/healthz")[0] == 200)
            yield served
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
            reader.join(10)
