"""Servers on this machine, each in a process of its own, for as long as they are asked."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROJECT = Path(__file__).parent.parent
PAUSE = 0.02  # seconds between looks whether a server is there
PATIENCE = 120.0  # seconds that it may take to come up
ENDING = 20.0  # seconds that it may take to end
REASON = 300  # characters of its last words that are kept


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def up(command: Sequence[str], url: str, environ: Mapping[str, str] | None = None) -> Iterator[int]:
    """Have a server up.

    Parameters
    ----------
    command : sequence of str
        What starts it.
    url : str
        What it must answer before it counts as up.
    environ : mapping, optional
        Variables beside those of this process.

    Yields
    ------
    int
        Number of its process.

    Raises
    ------
    Failure
        If it ends, answers with an error, or does not answer in time.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, env={**os.environ, **(environ or {})}, stdout=subprocess.DEVNULL, stderr=errors, cwd=PROJECT
        )
        try:
            reason = _why_not_up(process, url)
            if reason is not None:
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().splitlines()
                raise Failure(reason or (last or ["it has ended"])[-1][:REASON])
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(ENDING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _why_not_up(process: subprocess.Popen[bytes], url: str) -> str | None:
    """Wait for an answer; None when there is one, and no words where the process has ended."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=PATIENCE).close()
        except urllib.error.HTTPError as error:
            return f"{error.code}: {error.read(REASON).decode(errors='replace')}"
        except OSError:
            if time.monotonic() > until:
                return f"no answer after {PATIENCE:.0f} s"
            time.sleep(PAUSE)
        else:
            return None
    return ""
