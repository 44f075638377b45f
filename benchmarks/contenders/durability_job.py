"""What durability costs, and what a million units of work cost: one measurement, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import simulation
import zarr  # noqa: F401 - xarray imports it to open a store; libraries are imported before the clock for everybody
from child import run

import pyramids
import pyramids.build
from geozarr import manifest, stores
from geozarr import store as store_module
from geozarr.manifest import Entry, Manifest, Reference
from pyramids import Options, claim, handover, journal, publish, sweep
from pyramids.journal import Journal, Ledger, Segment
from pyramids.reach import Reach
from pyramids.sources.blocks import Blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from geozarr.stores import Store
    from pyramids.journal import Done
    from pyramids.plan import Plan

MOST_HELD = 10**9  # bytes of handovers that are kept in memory where none is written


def build(job: dict[str, Any]) -> dict[str, Any]:
    """Build a raster as a user does; `bare` without journal, handovers, checksums and manifest."""
    if job.get("cores"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job["cores"]])
    synced = _timed(stores.ObjectStoreAdapter, "sync")
    if job["bare"]:
        _take_out_what_lasts()
    options = Options(
        workers=job["threads"],
        processes=job.get("processes", 1),
        memory=job["memory"],
        max_zoom=job["max_zoom"],
        resampling="bilinear",
    )
    started = time.perf_counter()
    pyramids.build(job["source"], job.get("url") or job["target"], options)
    return {"seconds": time.perf_counter() - started, "sync_seconds": sum(synced)}


def _timed(owner: Any, name: str) -> list[float]:
    """Have the calls of a method timed."""
    spent: list[float] = []
    plain = getattr(owner, name)

    def timed(*arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return plain(*arguments)
        finally:
            spent.append(time.perf_counter() - started)

    setattr(owner, name, timed)
    return spent


def _take_out_what_lasts() -> None:
    """Take out what makes a build go on after its death; statistics still need what the units have handed on."""
    done: list[Done] = []

    def flush(self: Journal, *, force: bool = True) -> bool:  # noqa: ARG001 - as the real one
        done.extend(self._waiting)
        self.covered += sum(entry.pixels for entry in self._waiting)
        self._waiting = []
        return True

    def segments(*_: Any) -> Iterator[Segment]:
        units = np.array([(d.group, d.block.level, d.block.row, d.block.col, *d.handed) for d in done], journal.UNIT)
        header = {"pixels": 0, "covered": 0, "bytes": 0, "seconds": 0.0, "at": 0.0, "damaged": []}
        yield Segment(header, units, np.zeros(0, journal.OBJECT))

    def put(self: handover.Handovers, group: int, block: Any, outcome: Any, _: Any) -> Entry:
        outcome.records = []
        with self._lock:
            self._kept[group, block] = (0, outcome)
        return Entry(0, 0)

    Journal.flush = flush  # type: ignore[method-assign]
    journal.segments = segments
    handover.Handovers.put = put  # type: ignore[method-assign]
    sweep.Sweeper.forget = lambda *_: None  # type: ignore[method-assign]
    manifest.checksum = lambda data: Entry(len(data), 0)
    publish.write_manifest = lambda *given: Reference(given[2], manifest.manifest_key(given[2]), Entry(0, 0))
    publish.forget_work = lambda *_: None


def plan_of_a_million(job: dict[str, Any]) -> dict[str, Any]:
    """Plan a million shards."""
    started = time.perf_counter()
    plan, _ = simulation.globe(job["width"], options=Options(max_zoom=job["max_zoom"]))
    assert plan.identity
    return {"seconds": time.perf_counter() - started, "objects": plan.predicted["objects"]}


def tasks(job: dict[str, Any]) -> dict[str, Any]:
    """Coordinate as many units of work as a square, or the globe, has; they do nothing."""
    if job["side"]:
        plan, source = simulation.square(job["side"], chunk=512, shard=2048)
    else:
        plan, source = simulation.globe(job["width"], options=Options(max_zoom=job["max_zoom"]))
    store, folder = _store(job["target"], plan)
    with Blocks(source, capacity=plan.cache, readers=1) as blocks:
        simulated = simulation.Simulation(plan, store, folder, Reach(plan, blocks).may_hold)
        clock = None if job["a_segment"] is None else lambda: simulated.units / job["a_segment"]
        writing = Journal(store, folder, **({} if clock is None else {"clock": clock}))
        started = time.perf_counter()
        simulated.run(journal=writing)
        seconds = time.perf_counter() - started
    keys = list(store.listed(folder))
    return {
        "seconds": seconds,
        "units": simulated.units,
        "units_a_second": simulated.units / seconds,
        "journal_objects": len(keys),
        "journal_bytes": sum(item.size for item in keys),
    }


def leave(job: dict[str, Any]) -> dict[str, Any]:
    """Leave a build that is 99 % done, as `resume` finds it."""
    plan, _ = simulation.square(job["side"], chunk=512, shard=2048)
    store, folder = _store(job["folder"], plan)
    store.put(f"{folder}/plan.json", store_module.encode_document({"folder": "", **plan.to_document()}))
    made = simulation.done_share(plan, job["share"], a_segment=job["a_segment"])
    count = 0
    for count, segment in enumerate(made, start=1):
        data = journal.encode(segment.header, segment.units, segment.objects)
        store.put(f"{folder}/journal/{count:08d}", data)
    return {"segments": count}


def resume(job: dict[str, Any]) -> dict[str, Any]:
    """Go on with a build that is 99 % done, up to the first unit that is handed out."""
    plan, source = simulation.square(job["side"], chunk=512, shard=2048)
    store, folder = _store(job["folder"], plan)
    spent: dict[str, float] = {}
    started = time.perf_counter()
    with _spending(spent, "claim"):
        found = claim.claim(store, plan, overwrite=False, resume=True)
        assert found.state is claim.State.BEGUN
    with _spending(spent, "ledger"):
        ledger = Ledger.read(journal.segments(store, folder))
    with _spending(spent, "journal"):
        writing = Journal(store, folder)
    with _spending(spent, "walk"), Blocks(source, capacity=plan.cache, readers=1) as blocks:
        simulated = simulation.Simulation(plan, store, folder, Reach(plan, blocks).may_hold, most=0)
        with contextlib.suppress(simulation.Enough):
            simulated.run(ledger, writing)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "stages": spent,
        "units": len(ledger),
    }


def fold_manifest(job: dict[str, Any]) -> dict[str, Any]:
    """Fold a journal that holds all objects into the manifest, and look one object up."""
    plan, _ = simulation.square(job["side"], chunk=512, shard=job["shard"])
    store, _ = _store(job["target"], plan)
    passes: list[float] = []  # seconds that making up the journal takes, which are not the manifest's

    def segments() -> Iterator[Segment]:
        passes.append(0.0)
        made = simulation.all_objects(plan, a_segment=65_536)
        while True:
            started = time.perf_counter()
            segment = next(made, None)
            passes[-1] += time.perf_counter() - started
            if segment is None:
                return
            yield segment

    started = time.perf_counter()
    reference = publish.write_manifest(plan, store, "abc", {}, segments)
    seconds = time.perf_counter() - started - sum(passes)
    size = sum(item.size for item in store.listed(".build/abc"))
    started = time.perf_counter()
    known = Manifest(store, reference)
    opened = time.perf_counter() - started
    array = known.arrays[f"{plan.levels.assets[0]}/height"]
    started = time.perf_counter()
    assert known.entry(array.path, tuple(side // 2 for side in array.grid)) is not None
    return {
        "seconds": seconds,
        "objects": plan.predicted["objects"],
        "passes": len(passes),
        "manifest_bytes": size,
        "open_seconds": opened,
        "first_look_seconds": time.perf_counter() - started,
    }


@contextlib.contextmanager
def _spending(spent: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    spent[name] = time.perf_counter() - started


def _store(folder: str, plan: Plan) -> tuple[Store, str]:
    store = store_module.open_store(folder, create=True)
    return store, publish.build_folder(publish.build_name(plan))


KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "build": build,
    "plan": plan_of_a_million,
    "tasks": tasks,
    "leave": leave,
    "resume": resume,
    "manifest": fold_manifest,
}


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do one of them; what is not compared afterwards is removed."""
    try:
        return KINDS[job["kind"]](job)
    finally:
        if job["kind"] != "build":
            shutil.rmtree(job["target"], ignore_errors=True)


if __name__ == "__main__":
    run(work, packages=("geozarr-pyramids", "numpy", "numba", "rasterio", "zarr", "obstore", "numcodecs"))
