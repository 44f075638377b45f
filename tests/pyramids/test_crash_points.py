"""Death at every operation, on real stores: a folder and S3 (B1).

`test_durability.py` does so in memory, with torn puts, and `test_icechunk.py` for Icechunk. That a process dies before
an operation is the same as that it died after the one before.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

import builds
import pyramids
import s3
from builds import FakeSource, scene
from faults import Death, FaultStore, lasting, visible
from geozarr import store as store_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geozarr.stores import Store
    from s3 import S3Server


pytestmark = pytest.mark.usefixtures("at_every_stage")


def built(store: Store, *, seed: int = 1, resume: bool = False, version: int = 3) -> pyramids.Report:
    """Build a small scene of a few units, in place of what is there."""
    values = scene("int16", (1, 60, 60), seed=seed)
    values[0, :32, 32:] = -9999
    given = FakeSource(values, nodata=-9999, block_shape=(32, 32))
    given.fingerprint = f"scene {seed}"
    plan = builds.plan_for(given, tms="native", chunk=32, levels=2, workers=1, zarr_format=version)
    plan = dataclasses.replace(plan, block=32, cut=0)
    return pyramids.execute(plan, given, store, overwrite=True, resume=resume)


def enumerate_deaths(make: Callable[[], Store], *, replaced: bool, version: int = 3) -> int:
    """Die at each operation of a build, look, and go on; return how many points there were."""
    whole = make()
    former = None
    if replaced:
        built(whole, version=version)
        former = visible(whole)
    counted = FaultStore(whole)
    seed = 2 if replaced else 1
    built(counted, seed=seed, version=version)
    expected, new = lasting(whole), visible(whole)
    points = 0
    for at, operation in enumerate(counted.operations):
        store = make()
        if replaced:
            built(store, version=version)
        try:
            built(FaultStore(store, at=at), seed=seed, version=version)
        except Death:
            points += 1
        else:
            # Where puts go out many at a time, one run may need some operations less than another.
            assert visible(store) == new, operation
            continue
        assert visible(store) in (former, new), operation
        built(store, seed=seed, resume=True, version=version)
        assert lasting(store) == expected, operation
    assert points >= 0.9 * len(counted.operations)
    return points


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("replaced", [False, True], ids=["first", "rebuild"])
def test_b1_death_at_any_moment_in_a_folder(
    tmp_path: Path, record_property: Callable[[str, object], None], version: int, *, replaced: bool
) -> None:
    made: list[Path] = []

    def make() -> Store:
        made.append(tmp_path / str(len(made)))
        return store_module.open_store(made[-1], create=True)

    points = enumerate_deaths(make, replaced=replaced, version=version)
    record_property("crash points", points)
    assert points > 30


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("replaced", [False, True], ids=["first", "rebuild"])
def test_b1_death_at_any_moment_on_s3(
    s3_server: S3Server, record_property: Callable[[str, object], None], *, replaced: bool
) -> None:
    bucket = s3_server.bucket()
    made = iter(range(10**6))
    points = enumerate_deaths(lambda: s3.opened(s3_server.endpoint, bucket, f"{next(made)}.zarr"), replaced=replaced)
    record_property("crash points", points)
    assert points > 30
