"""Run one contender once, in a process of its own, and measure it from outside.

- Seconds are those of the build call, told by the child: importing libraries is not counted, for anybody.
- CPU seconds are user and system time of the whole process tree, less what the child had used before the call.
- Peak bytes are resident bytes, sampled, summed over the tree: with several processes what each has for itself, and
  once the files that they share.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SAMPLE = 0.02  # seconds between two looks at memory
SAMPLE_TREE = 0.2  # seconds between two looks which processes there are: through all of the machine, 2 ms
TAIL = 300  # characters of a failed child's last line that are kept


@dataclass(frozen=True)
class Failure(Exception):  # noqa: N818 - a value of the table first, an exception second
    """A contender that did not do its job, and its own words why."""

    reason: str


def run(python: Path, script: Path, job: Mapping[str, Any], *, timeout: float) -> dict[str, Any]:
    """Run a script and give its record.

    Parameters
    ----------
    python, script : Path
        The contender's interpreter and script.
    job : mapping
        What it must do; JSON.
    timeout : float
        Seconds after which it is ended.

    Returns
    -------
    dict
        seconds, cpu_seconds, process_seconds (imports included), peak_bytes, bytes, objects, versions, and whatever
        else the script told.

    Raises
    ------
    Failure
        If it ends otherwise than with a record.
    """
    remove(Path(job["target"]))
    os.sync()  # the bytes that the run before left to the disk are not this one's burden
    with tempfile.TemporaryDirectory() as folder:
        work, record, errors = (Path(folder) / name for name in ("job.json", "record.json", "errors.txt"))
        work.write_text(json.dumps(dict(job)))
        started = time.perf_counter()
        with errors.open("wb") as sink:
            child = subprocess.Popen([python, script, work, record], stdout=subprocess.DEVNULL, stderr=sink)
            watch = Watch(child.pid)
            late = threading.Timer(timeout, watch.end)
            late.start()
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            late.cancel()
            watch.stop()
        elapsed = time.perf_counter() - started
        if child.returncode or not record.exists():
            reason = f"ended after {timeout:.0f} s" if watch.ended else _last_line(errors)
            raise Failure(reason or f"exit status {child.returncode}")
        told: dict[str, Any] = json.loads(record.read_text())
    told.setdefault("cpu_seconds", usage.ru_utime + usage.ru_stime - told["cpu_before"])
    told["peak_bytes"] = max(watch.peak, told.pop("own_peak_bytes"))
    del told["cpu_before"]
    size, objects = weigh(Path(job["target"]))
    written = {"bytes": size, "objects": objects} if objects else {}
    return told | {"process_seconds": elapsed} | written


def _last_line(errors: Path) -> str:
    lines = [line.strip() for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:TAIL] if lines else ""


class Watch:
    """A thread that looks at the memory of a process tree until told to stop.

    Parameters
    ----------
    pid : int
        The first of the processes.
    sample : float
        Seconds between two looks.

    Attributes
    ----------
    peak : int
        Most bytes that were resident so far.
    ended : bool
        Whether `end` had to end the tree.
    """

    def __init__(self, pid: int, *, sample: float = SAMPLE) -> None:
        self.ended = False
        self.peak = 0
        self._root = psutil.Process(pid)
        self._sample = sample
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._done.set()
        self._thread.join()

    def end(self) -> None:
        """End the tree: its time is over."""
        self.ended = True
        for process in self._tree():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def _tree(self) -> list[psutil.Process]:
        try:
            return [*self._root.children(recursive=True), self._root]
        except psutil.NoSuchProcess:
            return []

    def _look(self) -> None:
        tree: list[psutil.Process] = []
        looked = -SAMPLE_TREE
        while not self._done.wait(self._sample):
            if time.monotonic() - looked >= SAMPLE_TREE:
                tree = self._tree()
                looked = time.monotonic()
            self.peak = max(self.peak, resident(tree))


def resident(processes: Iterable[psutil.Process]) -> int:
    """Bytes of processes that are resident; code and other files that they share are counted once.

    By counters that the kernel keeps. Exact shares (`smaps`) would make it go through all pages of a process, which
    waits meanwhile.
    """
    own, shared = 0, 0
    for process in processes:
        try:
            memory = process.memory_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        of_files = getattr(memory, "shared", 0)
        own += memory.rss - of_files
        shared = max(shared, of_files)
    return own + shared


def weigh(target: Path) -> tuple[int, int]:
    """Bytes and objects of an output: a file, or all files of a folder."""
    files = [target] if target.is_file() else [path for path in target.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files), len(files)


def remove(target: Path) -> None:
    """Remove an output, if it is there."""
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
