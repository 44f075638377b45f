"""One environment a reader, or a family of them, made on demand below `build/interop`."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interop.roster import Environment

FOLDER = Path("build/interop")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
LIMIT = 1200  # seconds that an installation may take


class Missing(Exception):  # noqa: N818 - a reader that is not there is no error
    """Why a reader cannot be run here."""


def install(environment: Environment, folder: Path = FOLDER) -> list[str]:
    """Return the command that runs a probe of an environment; make the environment where it is not there yet.

    Raises
    ------
    Missing
        If it cannot be installed, or a program it needs is not on the machine.
    """
    place = folder / environment.name
    if environment.is_npm:
        chromium()
        command = [_program("node")]
    else:
        command = [str((place / "bin" / "python").absolute())]
    wanted = hashlib.sha256(repr(environment).encode()).hexdigest()
    stamp = place / "installed.sha256"
    if not (stamp.exists() and stamp.read_text() == wanted):
        if place.exists():
            shutil.rmtree(place)
        place.mkdir(parents=True)
        for step in _steps(environment, place):
            _run(step, place if environment.is_npm else Path())
        stamp.write_text(wanted)
    return command


def variables(environment: Environment, folder: Path = FOLDER) -> dict[str, str]:
    """Environment variables that a probe needs."""
    result = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "GDAL_", "PROJ_"))}
    apart = (folder / environment.name / "apart").resolve()
    if environment.apart:
        data = apart / "pyramids" / "_data"
        result["PYTHONPATH"] = str(apart / "pyramids" / "_vendor")
        result["GDAL_DATA"], result["PROJ_DATA"] = str(data / "gdal_data"), str(data / "proj_data")
    if environment.is_npm:
        result["NODE_MODULES"] = str((folder / environment.name / "node_modules").resolve())
        result["CHROMIUM"] = chromium()
    return result


def chromium() -> str:
    """Find a Chromium."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        raise Missing("no Chromium on this machine (Debian: apt-get install chromium)")
    return found


def _steps(environment: Environment, place: Path) -> list[list[str]]:
    if environment.is_npm:
        flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]
        return [[_program("npm"), "install", "--prefix", ".", *flags, *environment.packages]]
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps = [[_interpreter(environment.python), "-m", "venv", str(place)], [*pip, *environment.packages]]
    if environment.apart:
        steps.append([*pip, "--no-deps", "--target", str(place / "apart"), *environment.apart])
    return steps


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise Missing(f"not installed after {LIMIT} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise Missing("not installed: " + re.sub(r"\S+://\S+", "(address)", lines[-1])[:200])


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Missing(f"no {name} on this machine")
    return found


def _interpreter(least: tuple[int, int]) -> str:
    """Newest Python at hand below 3.14, for which not every reader has a wheel yet. `INTEROP_PYTHON` overrides."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    managed = [str(path) for path in root.glob("versions/3.*/bin/python3")]
    chosen = os.environ.get("INTEROP_PYTHON")
    candidates = [chosen] if chosen else [sys.executable, *managed, "python3.13", "python3.12", "python3"]
    found = {version: python for python in candidates if (version := _version(python)) and least <= version < (3, 14)}
    if not found:
        raise Missing(f"no Python {'.'.join(map(str, least))} to 3.13 on this machine")
    return found[max(found)]


def _version(python: str) -> tuple[int, ...] | None:
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(int(part) for part in done.stdout.split())
