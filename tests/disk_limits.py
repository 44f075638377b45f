"""Builds on a disk that is really full; `test_damage.py` starts this in a process of its own.

disk_limits.py size FOLDER     with a limit on the size of files (RLIMIT_FSIZE): writes beyond fail with EFBIG
disk_limits.py tmpfs FOLDER    on a file system of 192 KiB, mounted at FOLDER; ends with 77 where none can be mounted
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from obstore.store import MemoryStore

import builds
import pyramids
from geozarr import StoreError
from geozarr import store as store_module

if TYPE_CHECKING:
    from collections.abc import Callable

CANNOT = 77


def main(kind: str, folder: str) -> int:
    """Build without room, then with room; complain by an assertion."""
    values = np.random.default_rng(1).integers(0, 2**16, (1, 700, 600)).astype(np.uint16)  # 0.8 MB that do not shrink
    source = builds.FakeSource(values, nodata=0)
    plan = builds.plan_for(source, tms="native", chunk=256, workers=2)
    whole = MemoryStore()
    pyramids.execute(plan, source, whole)  # compiles all kernels too, whose caches are files
    if kind == "size":
        give_room = _limit_size()
    else:
        if not _mounted(folder, "size=192k"):
            return CANNOT
        give_room = lambda: _mounted(folder, "remount,size=64m")  # noqa: E731
    target = Path(folder) / "x.zarr"
    _build_without_room(plan, source, target)
    assert give_room()
    pyramids.execute(plan, source, target, resume=True)
    stored = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert {key: data for key, data in stored.items() if not key.startswith(".build/")} == builds.objects(whole)
    return 0


def _build_without_room(plan: pyramids.Plan, source: builds.FakeSource, target: Path) -> None:
    with pytest.raises(StoreError) as caught:
        pyramids.execute(plan, source, target)
    error = caught.value
    assert error.operation in ("put", "sync"), error
    assert error.attempts == 1, error
    assert isinstance(error.__cause__, OSError), error
    assert not (target / "zarr.json").exists()
    left = [path for path in target.rglob("*") if "#" in path.name]
    assert not left, left
    assert store_module.read_document(store_module.open_store(target)) is None


def _limit_size() -> Callable[[], bool]:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # Python ignores SIGXFSZ, so that EFBIG is raised

    def give_room() -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        return True

    return give_room


def _mounted(folder: str, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
