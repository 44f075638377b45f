"""What every contender's script shares: read the job, do it under the clock, print the record.

Runs in each contender's own environment, so it needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def run(work: Callable[[dict[str, Any]], dict[str, Any] | None], *, packages: Sequence[str]) -> None:
    """Do the job that the first argument names, and write its record to the file that the second one names.

    Parameters
    ----------
    work : callable
        Takes the job; what it returns is added to the record. Imports were done before: they are not timed.
    packages : sequence of str
        Distributions whose versions are recorded.
    """
    job = json.loads(Path(sys.argv[1]).read_text())
    cpu_before = _cpu_seconds()
    started = time.perf_counter()
    # What a contender prints is its own affair; it must neither mix with the record nor block on a full pipe.
    with contextlib.redirect_stdout(sys.stderr):
        extra = work(job) or {}
    seconds = time.perf_counter() - started
    record = {"seconds": seconds, "cpu_before": cpu_before, "own_peak_bytes": _own_peak()}
    versions = {"python": sys.version.split()[0]} | {name: _version(name) for name in packages}
    record |= extra | {"versions": versions | extra.get("versions", {})}
    Path(sys.argv[2]).write_text(json.dumps(record))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _own_peak() -> int:
    """Most bytes that this process has had resident, as the kernel counted them; 0 where it does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
