"""One virtual environment a peer, made on demand from `peers/<name>.txt`; no peer shares a library with another."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Failure

PEERS = Path(__file__).parent / "peers"
PROJECT = Path(__file__).parent.parent
NEWEST_FIRST = ("python3.14", "python3.13", "python3.12", "python3.11", "python3")
INSTALL_LIMIT = 900  # seconds


def python_of(name: str, folder: Path) -> Path:
    """Return the interpreter of an environment, made if it is not there or its requirements have changed.

    Parameters
    ----------
    name : str
        "main" is the environment that runs this; any other has a file in `peers`.
    folder : Path
        Where environments are kept.

    Raises
    ------
    Failure
        If it cannot be installed; the reason is the installer's.
    """
    if name == "main":
        return Path(sys.executable)
    requirements = PEERS / f"{name}.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    place = folder / name
    python, stamp = place / "bin" / "python", place / "requirements.sha256"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    for command in (
        [_interpreter(), "-m", "venv", "--clear", place],
        [python, "-m", "pip", "install", "--quiet", "--requirement", requirements],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"not installed after {INSTALL_LIMIT} s") from None
        if done.returncode:
            raise Failure(f"not installed: {_last_line(done.stderr)}")
    stamp.write_text(wanted)
    return python


def _last_line(text: str) -> str:
    """Last line of an installer's errors, without the addresses it may name."""
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(r"\S+://\S+", "(address)", lines[-1]) if lines else "no reason given"


def _interpreter() -> str:
    """Newest Python at hand: peers ask for newer ones than this project does.

    `BENCH_PYTHON` overrides. The project's own environments and pyenv's versions are looked at beside the path, since a
    version manager's command may be there without a Python behind it.
    """
    chosen = os.environ.get("BENCH_PYTHON")
    if chosen:
        return chosen
    ours = sorted((str(path) for path in PROJECT.glob(".venv*/bin/python")), reverse=True)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    managed = [str(path) for path in root.glob("versions/3.*/bin/python3")]
    candidates = (sys.executable, *ours, *managed, *NEWEST_FIRST)
    found = {version: python for python in candidates if (version := _version(python))}
    return found[max(found)]


def _version(python: str) -> tuple[int, ...] | None:
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(int(part) for part in done.stdout.split())
