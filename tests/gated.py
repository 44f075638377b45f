"""A folder served over plain HTTP on this machine, whose chunks can be held back for as long as a test likes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


@dataclass
class GatedStore:
    """A server that is open while its context is entered.

    Parameters
    ----------
    folder : Path
        What it serves.
    asked : list of str
        Paths that were asked for by GET, in their order.
    gate : Event
        Chunks are sent while it is set.
    sent : int
        Bytes of bodies that were sent, about.
    """

    folder: Path
    asked: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    sent: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def chunks(self) -> list[str]:
        """Chunks that were asked for."""
        return [path for path in list(self.asked) if not path.endswith("zarr.json")]

    def __enter__(self) -> Self:
        self.gate.set()
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                store.asked.append(self.path)
                if not self.path.endswith("zarr.json"):
                    store.gate.wait()
                self.answer()

            def do_HEAD(self) -> None:
                self.answer()

            def answer(self) -> None:
                path = store.folder / unquote(self.path).lstrip("/")
                is_there = path.is_file()
                data = path.read_bytes() if is_there else b""
                if self.path == "/asked":  # what was asked for so far
                    data = json.dumps({"asked": store.asked, "sent": store.sent}).encode()
                wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "") if is_there else None
                whole = len(data)
                if wanted is not None:
                    data = data[int(wanted[1]) : int(wanted[2]) + 1 if wanted[2] else whole]
                status = HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK
                with suppress(OSError):  # whoever has asked may be gone
                    self.send_response(status if is_there or data else HTTPStatus.NOT_FOUND)
                    self.send_header("Content-Length", str(len(data)))
                    self.send_header("Accept-Ranges", "bytes")
                    if wanted is not None:
                        start = int(wanted[1])
                        self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{whole}")
                    if is_there:
                        self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
                        self.send_header("ETag", f'"{path.stat().st_mtime_ns}-{whole}"')
                    self.end_headers()
                    if self.command == "GET":
                        self.wfile.write(data)
                        store.sent += len(data)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Apart:
    """A server in a process of its own, for clients that hold the interpreter's lock while they wait, as rasterio does.

    Parameters
    ----------
    folder : Path
        What it serves.
    url : str
        Its address.
    """

    folder: Path
    url: str

    def asked(self) -> list[str]:
        """Paths that were asked for by GET."""
        with urllib.request.urlopen(f"{self.url}/asked") as answer:
            return [str(path) for path in json.load(answer)["asked"] if path != "/asked"]

    def sent(self) -> int:
        """Bytes of bodies that were sent, about."""
        with urllib.request.urlopen(f"{self.url}/asked") as answer:
            return int(json.load(answer)["sent"])


@contextmanager
def apart(folder: Path) -> Iterator[Apart]:
    """Serve a folder until the context is left."""
    command = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Apart(folder, process.stdout.readline().strip())
        process.stdin.close()


if __name__ == "__main__":
    with GatedStore(Path(sys.argv[1])) as opened:
        sys.stdout.write(f"{opened.url}\n")
        sys.stdout.flush()
        sys.stdin.read()
