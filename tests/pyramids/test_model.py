"""Whatever happens to a target, in whatever order, a reader sees one whole pyramid or none (B1 to B8, B23).

Hypothesis invents histories: builds, deaths, resumes, other parameters, other sources, a second builder, damage,
clean-up. A model of a few lines says what must come of each step; after each step the target is read.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from obstore.store import MemoryStore

import builds
import conformance
import pyramids
from builds import FakeSource, scene
from faults import Death, FaultStore, contents
from geozarr import (
    BuildConflictError,
    ChunkReadError,
    PlanChangedError,
    SourceChangedError,
    TargetExistsError,
    Window,
)
from geozarr import store as store_module
from pyramids import lease
from pyramids.clean import clean
from tiler.chunks import chunk_cache
from tiler.pyramid import open_pyramid
from tiler.source import PyramidSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from geozarr.stores import Store

SEEDS = st.integers(0, 2)
CHUNKS = st.sampled_from([32, 64])


class Build(NamedTuple):
    """What is built: which source, and a parameter that changes the bytes."""

    seed: int
    chunk: int

    def source(self) -> FakeSource:
        values = scene("int16", (1, 100, 90), seed=self.seed)
        values[0, :48, 64:] = -9999
        given = FakeSource(values, nodata=-9999, block_shape=(32, 32))
        given.fingerprint = f"scene {self.seed}"
        return given

    def plan(self, given: FakeSource) -> pyramids.Plan:
        plan = builds.plan_for(given, tms="native", chunk=self.chunk, levels=2, workers=1)
        return dataclasses.replace(plan, cut=0)

    def run(self, store: Store, *, overwrite: bool = False, resume: bool = False) -> pyramids.Report:
        given = self.source()
        return pyramids.execute(self.plan(given), given, store, overwrite=overwrite, resume=resume)

    @property
    def name(self) -> str:
        return self.plan(self.source()).identity[:16]


def levels_of(store: Store) -> dict[str, bytes]:
    """All objects of the levels that readers see, wherever these lie: by level, array and key."""
    found = contents(store)
    layout = json.loads(found["zarr.json"])["attributes"]["multiscales"]["layout"]
    assets = {item["asset"]: item["asset"].rpartition("/")[2] for item in layout}
    return {
        name + key.removeprefix(asset): data
        for asset, name in assets.items()
        for key, data in found.items()
        if key.startswith(f"{asset}/") and "/c/" in key
    }


@cache
def undisturbed(build: Build) -> dict[str, bytes]:
    store = store_module.open_store(MemoryStore())
    build.run(store)
    return levels_of(store)


@cache
def operations(build: Build) -> int:
    """How many a first build takes, about."""
    store = FaultStore(store_module.open_store(MemoryStore()))
    build.run(store)
    return len(store.operations)


class Target(RuleBasedStateMachine):
    """A target, and what must be there."""

    @initialize()
    def empty(self) -> None:
        self.store = store_module.open_store(MemoryStore())
        self.published: Build | None = None
        self.left: set[Build] = set()  # builds whose plans are there: published, former and unfinished
        self.damaged: dict[str, str] = {}  # keys below the levels that readers see, and what was done to each

    def _may(self, build: Build, *, overwrite: bool, resume: bool) -> type[Exception] | None:
        """What must come of a build: None if it goes through."""
        if not self.left or overwrite or (resume and build == self.published):
            return None
        unfinished = self.left if self.published is None else self.left - {self.published}
        if resume and build in unfinished:
            return None
        if not resume:
            return TargetExistsError
        return (PlanChangedError, SourceChangedError, TargetExistsError)  # type: ignore[return-value]

    @rule(seed=SEEDS, chunk=CHUNKS, overwrite=st.booleans(), resume=st.booleans())
    def build(self, seed: int, chunk: int, *, overwrite: bool, resume: bool) -> None:
        build = Build(seed, chunk)
        refusal = self._may(build, overwrite=overwrite, resume=resume)
        before = contents(self.store)
        if refusal is not None:
            with pytest.raises(refusal):
                build.run(self.store, overwrite=overwrite, resume=resume)
            after = {key: data for key, data in contents(self.store).items() if "/lease/" not in key}
            assert after == {key: data for key, data in before.items() if "/lease/" not in key}
            return
        report = build.run(self.store, overwrite=overwrite, resume=resume)
        if build == self.published:
            assert {key.rpartition("/c/")[2] for key in report.mended} == {
                key.rpartition("/c/")[2] for key in self.damaged
            }
        self._now_published(build)

    def _now_published(self, build: Build) -> None:
        if self.published is None:
            self.left = set()  # what nobody saw made room
        self.left.add(build)
        self.published = build
        self.damaged = {}

    @rule(
        seed=SEEDS,
        chunk=CHUNKS,
        how=st.sampled_from(["before", "after", "torn"]),
        when=st.floats(0, 1),
        resume=st.booleans(),
    )
    def die(self, seed: int, chunk: int, how: str, when: float, *, resume: bool) -> None:
        """A build that may do all it wants dies at some operation."""
        build = Build(seed, chunk)
        at = int(when * operations(build))
        was_published, was_left, was_there = self.published, set(self.left), set(contents(self.store))
        dying = FaultStore(self.store, at=at, how=how)
        try:
            build.run(dying, overwrite=True, resume=resume)
        except Death:
            # What replaces an object does so in one step everywhere, and so does the put that publishes.
            assume(not (how == "torn" and dying.operations[at].key in was_there | {"zarr.json"}))
        else:
            self._now_published(build)
            return
        found = store_module.read_document(self.store)
        if found is None:
            assert was_published is None
        elif build == was_published:
            now, whole = levels_of(self.store), undisturbed(build)  # it died while it was mending
            self.damaged = {key: how for key, how in self.damaged.items() if now.get(key) != whole[key]}
        elif found["attributes"]["geozarr_pyramids"]["build"] == build.name:
            self._now_published(build)
        else:
            assert was_published is not None
            assert found["attributes"]["geozarr_pyramids"]["build"] == was_published.name
        # What it has cleared away or begun is told by the plans.
        names = {item.name: item for item in was_left | {build}}
        plans = [
            name
            for name in self.store.children(".build")
            if name != "lease" and self.store.get(f".build/{name}/plan.json") is not None
        ]
        self.left = {names[name] for name in plans}

    @rule(seed=SEEDS, chunk=CHUNKS)
    def second_builder(self, seed: int, chunk: int) -> None:
        """Somebody else is at work: nothing is touched."""
        before = contents(self.store)
        with lease.Lease(self.store):
            with pytest.raises((BuildConflictError, TargetExistsError)):
                Build(seed, chunk).run(self.store, overwrite=True, resume=True)
            with pytest.raises((BuildConflictError, TargetExistsError)):
                clean(self.store, grace=0, unfinished=True)
        after = {key: data for key, data in contents(self.store).items() if "/lease/" not in key}
        assert after == {key: data for key, data in before.items() if "/lease/" not in key}

    @precondition(lambda self: self.published is not None)
    @rule(number=st.integers(0, 1000), how=st.sampled_from(["lost", "cut", "flipped"]))
    def damage(self, number: int, how: str) -> None:
        keys = sorted(key for key in undisturbed(self.published) if "/v0/" in key) if self.published else []
        key = keys[number % len(keys)]
        where = self._stored(key)
        found = self.store.get(where)
        if found is None:
            return  # lost already
        data = found.data
        if how == "lost":
            self.store.delete(where)
        else:
            self.store.put(where, data[: len(data) // 2] if how == "cut" else data[:-1] + bytes([data[-1] ^ 255]))
        self.damaged[key] = how

    def _stored(self, key: str) -> str:
        """Where an object of a level is stored."""
        found = store_module.read_document(self.store)
        assert found is not None
        name, _, rest = key.partition("/")
        (asset,) = (
            item["asset"]
            for item in found["attributes"]["multiscales"]["layout"]
            if item["asset"].rpartition("/")[2] == name
        )
        return f"{asset}/{rest}"

    @rule(unfinished=st.booleans())
    def clean_up(self, *, unfinished: bool) -> None:
        clean(self.store, grace=0, unfinished=unfinished)
        names = {item.name: item for item in self.left}
        left = {name for name in self.store.children(".build") if name != "lease"}
        assert left <= set(names)
        assert self.published is None or self.published.name in left
        if unfinished:
            assert len(left) <= 1
            if self.published is None:
                assert contents(self.store) == {}
        self.left = {names[name] for name in left}

    @precondition(lambda self: self.published is not None)
    @rule()
    def request_tiles(self) -> None:
        """The finest level, chunk by chunk: the source's pixels, or an error where a chunk is damaged."""
        build = self.published
        assert build is not None
        source = PyramidSource(self.store, open_pyramid(self.store), cache=chunk_cache(0))
        bands = source.pyramid.bands((), ())
        values = build.source().values[0]
        for row in range(0, 100, build.chunk):
            for col in range(0, 90, build.chunk):
                window = Window(row, col, build.chunk, build.chunk).intersect(Window(0, 0, 100, 90))
                how = self.damaged.get(f"0/v0/c/{row // build.chunk}/{col // build.chunk}")
                if how in ("lost", "cut"):
                    with pytest.raises(ChunkReadError):
                        source.read_window(0, window, bands)
                elif how is None:  # a flipped bit of a plain chunk is noticed by --resume and by the checker
                    block = source.read_window(0, window, bands)
                    assert same(block.values[0], block.mask[0], values[window.slices])

    @invariant()
    def a_reader_sees_one_whole_pyramid_or_none(self) -> None:
        if self.published is None:
            assert self.store.get("zarr.json") is None
            return
        found = levels_of(self.store)
        expected = undisturbed(self.published)
        assert set(found) <= set(expected)
        assert {key for key, data in expected.items() if found.get(key) != data} <= set(self.damaged)
        assert conformance.check(self.store).exit_status == 0


def same(values: NDArray[np.int16], mask: NDArray[np.bool_], expected: NDArray[np.int16]) -> bool:
    return bool((mask == (expected != -9999)).all() and (values[mask] == expected[mask]).all())


TestTarget = pytest.mark.slow(Target.TestCase)
TestTarget.settings = settings(max_examples=40, stateful_step_count=15)
