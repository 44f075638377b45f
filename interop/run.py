"""Run one reader over many stores: a process for all of them, and another from where it died."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interop import environments
from interop.roster import PROBES

if TYPE_CHECKING:
    from collections.abc import Callable

    from interop.cases import Case
    from interop.roster import Reader

_SHOWN = 200  # characters of what a dying process said


def job(reader: Reader, case: Case, place: Path) -> dict[str, Any]:
    """Say what a probe is told of a store: where it is and what to look at, not what to find there."""
    truth = case.truth
    return {
        "name": case.name,
        "path": str(place),
        "group": truth.group,
        "variable": truth.variable,
        "levels": [level.asset for level in truth.levels],
        "dimensions": truth.dimensions,
        "leading": dict(truth.leading),
        "epsg": truth.epsg,
        "proj4": truth.proj4,
        "points": [{"x": p.x, "y": p.y, "lon": p.lon, "lat": p.lat, "row": p.row, "col": p.col} for p in truth.points],
    } | reader.given


def ask(
    reader: Reader, jobs: list[dict[str, Any]], listener: Callable[[str, dict[str, Any]], None]
) -> dict[str, dict[str, Any]]:
    """Ask a reader about stores.

    Returns
    -------
    dict of str to dict
        Facts by name of the store; `error` where it raised, died or took too long.

    Raises
    ------
    Missing
        If the reader cannot be installed, or does not start.
    """
    command = environments.install(reader.environment)
    variables = environments.variables(reader.environment)
    facts: dict[str, dict[str, Any]] = {}
    waiting = list(jobs)
    while waiting:
        died = _batch(command, variables, reader, waiting, facts, listener)
        waiting = [item for item in waiting if item["name"] not in facts]
        if waiting:
            facts[waiting[0]["name"]] = {"error": died}
            listener(waiting[0]["name"], facts[waiting[0]["name"]])
            waiting = waiting[1:]
    return facts


def _batch(
    command: list[str],
    variables: dict[str, str],
    reader: Reader,
    jobs: list[dict[str, Any]],
    facts: dict[str, dict[str, Any]],
    listener: Callable[[str, dict[str, Any]], None],
) -> str:
    """Run one process until it is through or dies; tell how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        names = Path(folder) / "jobs.jsonl"
        names.write_text("".join(json.dumps(item) + "\n" for item in jobs))
        errors = Path(folder) / "errors.txt"
        command = [*command, str(PROBES / reader.probe), str(names)]
        with (
            errors.open("w") as sink,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=sink, text=True, env=variables, cwd=folder
            ) as process,
        ):
            clock, has_started = _Clock(process, reader.limit), False
            for line in process.stdout or ():
                clock.wind()
                try:
                    answer = json.loads(line)
                except ValueError:
                    continue  # what a library prints
                has_started = has_started or (isinstance(answer, dict) and "ready" in answer)
                if isinstance(answer, dict) and "facts" in answer:
                    facts[answer["store"]] = answer["facts"]
                    listener(answer["store"], answer["facts"])
            status = process.wait()
            clock.stop()
        last = errors.read_text(errors="replace").strip().splitlines()[-1:]
        if not has_started:
            raise environments.Missing(f"it does not start: {last[0][:_SHOWN] if last else status}")
        if clock.has_struck:
            return f"no answer within {reader.limit:.0f} s"
        return f"the process ended with status {status}" + (f": {last[0][:_SHOWN]}" if last else "")


class _Clock:
    """Kills a process that is silent for too long."""

    def __init__(self, process: subprocess.Popen[str], limit: float) -> None:
        self.has_struck = False
        self._process, self._limit = process, limit
        self._timer = threading.Timer(0, lambda: None)
        self.wind()

    def wind(self) -> None:
        self._timer.cancel()
        self._timer = threading.Timer(self._limit, self._strike)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        self._timer.cancel()

    def _strike(self) -> None:
        self.has_struck = True
        self._process.kill()
