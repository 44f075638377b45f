"""Builds that are really killed: processes, signals, a folder on the disk (B1, B22)."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import conformance
from faults import files
from processes import build_command

KILLS = 30

pytestmark = [pytest.mark.faults, pytest.mark.slow]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster whose build takes about a second."""
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    values = np.random.default_rng(1).integers(0, 4000, (3000, 2500), dtype=np.uint16)
    profile = {"driver": "GTiff", "height": 3000, "width": 2500, "count": 1, "dtype": "uint16", "crs": "EPSG:32632"}
    with rasterio.open(path, "w", transform=from_origin(5e5, 5e6, 30, 30), tiled=True, **profile) as out:
        out.write(values, 1)
    return path


def started(scene: Path, target: Path, *choices: str) -> subprocess.Popen[bytes]:
    """Start a build, and wait until it is at work."""
    arguments = (scene, target, "--tms", "native", "--chunk", "64", "--resume", "--quiet", *choices)
    process = subprocess.Popen(build_command(*arguments), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while process.poll() is None and not list(target.glob(".build/*/plan.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def test_b1_thirty_kills_at_random_times(scene: Path, tmp_path: Path) -> None:
    """Each build is killed until it is done; its files are those of one that was left alone."""
    whole = tmp_path / "whole.zarr"
    assert started(scene, whole).wait(120) == 0
    expected = files(whole)
    rng = random.Random(1)
    kills = builds = 0
    while kills < KILLS:
        target = tmp_path / f"{builds}.zarr"
        builds += 1
        pause = 0.0  # the first build is waited for until it is at work; later ones take a second to begin
        while True:
            process = started(scene, target)
            time.sleep(pause + rng.uniform(0.0, 1.2))
            pause = 1.2
            if kills == KILLS or process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            kills += 1
            if (target / "zarr.json").exists():
                root = json.loads((target / "zarr.json").read_bytes())
                assert root == json.loads(expected["zarr.json"])
                assert all((target / key).exists() for key in expected)
        assert process.wait(120) == 0
        assert files(target) == expected
    assert conformance.check(whole).exit_status == 0


def children(process: int) -> list[int]:
    """Processes that one has started."""
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def are_gone(processes: list[int]) -> bool:
    """Wait until processes have ended, half a minute at most."""
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{number}").exists() for number in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(Path(f"/proc/{number}").exists() for number in processes)


@pytest.mark.parametrize("choices", [(), ("--processes", "2", "--memory", "2G")], ids=["threads", "processes"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_b22_a_signal_ends_a_build_that_can_be_resumed(
    scene: Path, tmp_path: Path, number: signal.Signals, status: int, choices: tuple[str, ...]
) -> None:
    target = tmp_path / "x.zarr"
    process = started(scene, target, *choices)
    if choices:
        time.sleep(1.0)
    workers = children(process.pid)
    assert bool(workers) == bool(choices)
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(60) == status
    assert time.monotonic() - began < 20.0  # 5 seconds are promised; test machines are shared
    assert not (target / "zarr.json").exists()
    assert not list((target / ".build" / "lease").glob("*"))
    assert are_gone(workers)
    assert started(scene, target).wait(120) == 0
    assert conformance.check(target).exit_status == 0


def test_b21_workers_end_when_their_builder_is_killed(scene: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.zarr"
    process = started(scene, target, "--processes", "2", "--memory", "2G")
    deadline = time.monotonic() + 60
    while len(children(process.pid)) < 3 and time.monotonic() < deadline:  # and what keeps account of shared memory
        time.sleep(0.01)
    workers = children(process.pid)
    assert len(workers) == 3
    process.kill()
    process.wait(30)
    assert are_gone(workers)
    assert started(scene, target).wait(120) == 0
    assert conformance.check(target).exit_status == 0
