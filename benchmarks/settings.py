"""What one call of a benchmark does, as its command line says; the same words for all but the builders' own."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import __main__ as bench


@dataclass(frozen=True)
class Settings:
    """What one call does.

    Parameters
    ----------
    rounds : int
        How often what is compared takes turns.
    is_quick : bool
        True for small inputs.
    cache, outputs, results : Path
        Folders for inputs and environments, for what is built, and for the records.
    """

    rounds: int
    is_quick: bool
    cache: Path
    outputs: Path
    results: Path


def parser(name: str, description: str, *, quick: str, rounds: int) -> argparse.ArgumentParser:
    """Make a parser of the words that all know; `quick` says what a quick run is, `rounds` how many there are else."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--rounds", type=int, help=f"rounds of what is compared, {rounds} by default and 1 when quick")
    made.add_argument("--cache", type=Path, help="folder for inputs and environments; also BENCH_CACHE")
    made.add_argument("--outputs", type=Path, help="folder for outputs, as for the other benchmarks")
    made.add_argument("--results", type=Path, help="folder for the results; when quick, in the cache")
    return made


def common(chosen: argparse.Namespace, *, rounds: int) -> dict[str, Any]:
    """Return the fields of `Settings` that what was chosen makes."""
    cache = (chosen.cache or Path(os.environ.get("BENCH_CACHE", bench.HERE / ".cache"))).resolve()
    return {
        "rounds": chosen.rounds or (1 if chosen.quick else rounds),
        "is_quick": chosen.quick,
        "cache": cache,
        "outputs": (chosen.outputs or bench.default_outputs(cache)).resolve(),
        "results": chosen.results or (cache / "small" if chosen.quick else bench.HERE),
    }


def about(settings: Settings, name: str) -> dict[str, Any]:
    """Say where and by which command records were made."""
    place = "memory" if settings.outputs.is_relative_to("/dev/shm") else "disk"
    return {
        "machine": bench.machine() | {"outputs": place},
        "command": bench.command().replace("benchmarks", f"benchmarks.{name}", 1),
        "is_quick": settings.is_quick,
    }
