"""What a whole process holds while it builds (B10)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from geozarr import LimitError
from memory_used import Hills
from pyramids import Options, make_plan

_HERE = Path(__file__).parent
MEMORY = 560 * 2**20  # bytes; the least that any plan of this raster asks for is some 450 MiB


def peak(side: int, folder: Path) -> int:
    """Most bytes that a build of a square ever held."""
    path = os.pathsep.join([str(_HERE.parents[1]), str(_HERE.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(_HERE.parent / "memory_used.py"), str(side), str(MEMORY), str(folder)]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True, env=environment)
    used, planned = map(int, done.stdout.split())
    assert planned <= MEMORY
    return used


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.skipif(sys.platform == "win32", reason="the peak is told by getrusage")
def test_b10_the_peak_of_a_process_stays_below_the_memory_given_and_does_not_grow(tmp_path: Path) -> None:
    """Four times the pixels once all that is kept is full; `test_planner.py` compares plans of far larger rasters."""
    small, large = peak(6000, tmp_path / "small"), peak(12000, tmp_path / "large")
    assert small <= MEMORY
    assert large <= MEMORY
    assert large < 1.1 * small


def test_b10_a_plan_that_cannot_fit_is_refused_before_the_first_read() -> None:
    source = Hills(12000)
    source.read = None  # type: ignore[method-assign, assignment] # whoever reads fails
    with pytest.raises(LimitError) as caught:
        make_plan(source, Options(memory=300 * 2**20))
    assert caught.value.limit == "memory in bytes"
    assert caught.value.found > caught.value.allowed == 300 * 2**20
