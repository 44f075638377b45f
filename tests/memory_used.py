"""Builds a raster of any size that takes no memory, and prints the most that the process ever held, in bytes.

memory_used.py SIDE MEMORY FOLDER     `test_memory.py` starts this in a process of its own
"""

from __future__ import annotations

import re
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

import builds
import pyramids
from geozarr import Grid, Window, crs
from geozarr.levels import USUAL_DIMENSIONS
from pyramids import Pixels, Slice, SourceVariable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass
class Hills:
    """Float32 pixels that are computed when they are read."""

    side: int
    name: str = "hills"
    fingerprint: str = "hills"
    has_alpha: bool = False
    dimensions: tuple[str, str] = USUAL_DIMENSIONS
    block_shape: tuple[int, int] = (512, 512)
    resident_bytes: int = 0
    quirks: tuple[Any, ...] = ()
    variables: tuple[SourceVariable, ...] = field(default=(SourceVariable("v", np.dtype("float32"), -9999.0),))

    @property
    def grid(self) -> Grid:
        """Cells of 10 m in UTM."""
        return Grid((self.side, self.side), Affine(10, 0, 300000, 0, -10, 6000000), crs.from_code(builds.UTM))

    def coverage(self) -> None:
        """No index."""

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:
        """Waves, with a bit of noise so that chunks do not shrink to nothing."""
        values = np.empty((len(slices), *window.shape), np.float32) if out is None else out
        row, col = np.ogrid[window.row : window.row_stop, window.col : window.col_stop]
        values[0] = (np.sin(row / 500.0) * np.cos(col / 700.0)).astype(np.float32)
        values[0] += ((row * 7919 + col * 104729) % 257).astype(np.float32) * np.float32(1e-4)
        return Pixels(values, np.ones((1, *window.shape), np.bool_))


def main(side: int, memory: int, folder: str) -> None:
    """Build, and print the peak."""
    source = Hills(side)
    plan = builds.plan_for(source, memory=memory, workers=2)
    pyramids.execute(plan, source, folder)
    print(_peak(), plan.peak)  # noqa: T201 - what it is for


def _peak() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` would count what the process that started this one held
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1])  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
