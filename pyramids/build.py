"""Build a pyramid: plan, hand subtrees to an executor, publish. The public entry.

Level data are written first and the root document last, in one put. Until then a reader sees no pyramid at all. What
is there before is left alone: a target that holds anything but a pyramid of ours is refused, and one of ours is
replaced only when asked for.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from geozarr import store as store_module
from geozarr.documents import DOCUMENT
from geozarr.errors import ParameterError, SourceChangedError, TargetExistsError
from pyramids import chunking, heap, metadata, shards, walk
from pyramids.planner import Options, make_plan
from pyramids.reach import Reach
from pyramids.scratch import ScratchPool
from pyramids.sources import ArraySource, RasterSource, open_zarr
from pyramids.sources.blocks import Blocks
from pyramids.sources.raster import BAND_LAYOUTS
from pyramids.walk import Ascent, Closed, Skipped, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from geozarr.store import Store, StoreLike
    from pyramids.plan import Plan
    from pyramids.sources import Slice, Source
    from pyramids.statistics import Summary
    from pyramids.walk import Outcome, Step, Subtree

PLAN_KEY = ".build/plan.json"  # what makes a target recognisable as ours, finished or not


@dataclass
class Report:
    """What a build has done so far.

    Parameters
    ----------
    computed : int
        Pixels of the finest level that are done, over all slices.
    work : int
        Pixels of the finest level to do.
    objects, size : int
        Objects and bytes stored, data only.
    stages : dict
        CPU seconds of all threads by stage: decode, warp, fold, encode, store.
    """

    work: int
    computed: int = 0
    objects: int = 0
    size: int = 0
    stages: dict[str, float] = field(default_factory=dict)


@dataclass
class _Tally:
    """Counts for `Progress` from many threads, and calls the listener."""

    report: Report
    listener: Callable[[Report], None] | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: bool = False

    def computed(self, pixels: int) -> None:
        if self.stopped:
            raise CancelledError  # the build has failed or was interrupted: let this worker go at its next block
        with self.lock:
            self.report.computed += pixels
            if self.listener is not None:
                self.listener(self.report)

    def stored(self, size: int) -> None:
        with self.lock:
            self.report.objects += 1
            self.report.size += size

    def spent(self, stages: dict[str, float]) -> None:
        with self.lock:
            for name, seconds in stages.items():
                self.report.stages[name] = self.report.stages.get(name, 0.0) + seconds


def open_source(
    source: str | Path | xr.DataArray | xr.Dataset | Source,
    *,
    nodata: float | None = None,
    bands: str = "variables",
    variables: Sequence[str] | None = None,
) -> Source:
    """Open what a pyramid can be built from.

    Parameters
    ----------
    source : str, Path, xarray.DataArray, xarray.Dataset or Source
        A raster file, a Zarr store (a folder with `zarr.json` or `.zgroup`), an xarray object, or a source already.
    nodata : float, optional
        The value that means "no data", in place of what the source says.
    bands : str
        For raster files: "variables" or "axis".
    variables : sequence of str, optional
        For xarray and Zarr: which variables.

    Raises
    ------
    ParameterError
        If one of these is given for a source that has no use for it.
    StoreError, MetadataError, UnsupportedError, UnknownNameError
        As the adapters do.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if any((path / name).exists() for name in (DOCUMENT, ".zgroup", ".zmetadata")):
            _refuse("with a Zarr store", bands=None if bands == BAND_LAYOUTS[0] else bands)
            return open_zarr(path, variables=variables, nodata=nodata)
        _refuse("with a raster file: all bands are taken", variables=variables)
        return RasterSource(source, nodata=nodata, bands=bands)
    _refuse("with an array or a source", bands=None if bands == BAND_LAYOUTS[0] else bands)
    if isinstance(source, xr.DataArray | xr.Dataset):
        return ArraySource(source, variables=variables, nodata=nodata)
    _refuse("with a source that is open already", nodata=nodata, variables=variables)
    return source


def _refuse(where: str, **unused: object) -> None:
    """Refuse options that would be passed over in silence."""
    for name, value in unused.items():
        if value is not None:
            raise ParameterError(name, found=value, expected=f"nothing {where}")


def build(
    source: str | Path | xr.DataArray | xr.Dataset | Source,
    target: StoreLike,
    options: Options | None = None,
    *,
    bands: str = "variables",
    variables: Sequence[str] | None = None,
    overwrite: bool = False,
    executor: Executor | None = None,
    listener: Callable[[Report], None] | None = None,
    **choices: Any,
) -> Plan:
    """Build a pyramid from a raster.

    Parameters
    ----------
    source : str, Path, xarray.DataArray, xarray.Dataset or Source
        See `open_source`.
    target : str, Path or obstore store
        Where the pyramid goes; a folder is made.
    options : Options, optional
        All choices as one value.
    bands, variables
        See `open_source`.
    overwrite : bool
        Replace a pyramid, or an unfinished build, of ours. Anything else is never touched.
    executor : concurrent.futures.Executor, optional
        Runs the subtrees; by default a pool of `options.workers` threads.
    listener : callable, optional
        Called with a `Report` after each finest block, from the threads.
    **choices
        Fields of `Options`, where `options` is not given: `tms="native"`, `max_zoom=12` ...

    Returns
    -------
    Plan
        What was built.

    Raises
    ------
    GeoZarrError
        One of its subclasses; then nothing has been published.
    """
    options = options or Options(**choices)
    opened = open_source(source, nodata=options.nodata, bands=bands, variables=variables)
    plan = make_plan(opened, options)
    execute(plan, opened, target, overwrite=overwrite, executor=executor, listener=listener)
    return plan


def execute(
    plan: Plan,
    source: Source,
    target: StoreLike,
    *,
    overwrite: bool = False,
    executor: Executor | None = None,
    listener: Callable[[Report], None] | None = None,
) -> Report:
    """Carry out a plan; parameters and errors as `build`."""
    store = claim(target, plan, overwrite=overwrite)
    shards.use_one_thread_a_chunk()
    tally = _Tally(Report(plan.work), listener)
    with heap.kept(), Blocks(source, capacity=plan.cache, readers=plan.workers) as blocks:
        pool = executor or ThreadPoolExecutor(plan.workers, thread_name_prefix="pyramid")
        try:
            summaries = _walk(plan, Surroundings(blocks, store, tally), pool, tally)
        finally:
            tally.stopped = True
            if executor is None:
                pool.shutdown(wait=True, cancel_futures=True)
        tally.spent({"decode": blocks.seconds})
    if source.fingerprint != plan.source.fingerprint:
        raise SourceChangedError(source.name, before=plan.source.fingerprint, now=source.fingerprint)
    publish(plan, store, summaries)
    return tally.report


def claim(target: StoreLike, plan: Plan, *, overwrite: bool) -> Store:
    """Open a target, make sure that it may be written, and leave the plan in it.

    Raises
    ------
    TargetExistsError
        If it holds something that is not ours, or a pyramid of ours and `overwrite` is not set.
    StoreError
        If it cannot be written.
    """
    if isinstance(target, str | Path) and Path(target).is_file():
        raise TargetExistsError(str(target), found="a file", expected="a folder, or nothing")
    store = store_module.open_store(target, create=True)
    keys = store_module.list_keys(store)
    if keys:
        is_ours = PLAN_KEY in keys
        if not is_ours:
            raise TargetExistsError(str(target), found=f"{len(keys)} objects of another origin", expected="nothing")
        if not overwrite:
            state = "a pyramid" if DOCUMENT in keys else "an unfinished build"
            raise TargetExistsError(str(target), found=state, expected="nothing, or permission to overwrite it")
        if _holds(target, plan.source.name):
            raise TargetExistsError(str(target), found="the source of this build", expected="another place")
        # The root document goes first and the mark of ownership last: whenever this stops, readers see no pyramid,
        # and the next attempt still knows that the rest is ours.
        inner = [key for key in keys if key not in (DOCUMENT, PLAN_KEY)]
        store_module.delete(store, [key for key in (DOCUMENT,) if key in keys] + inner + [PLAN_KEY])
    store_module.write_bytes(store, PLAN_KEY, store_module.encode_document(plan.to_document()))
    return store


def _holds(target: StoreLike, source: str) -> bool:
    """Tell whether a source lies in the folder that a build would clear."""
    if not isinstance(target, str | Path) or not Path(source).exists():
        return False
    return Path(source).resolve().is_relative_to(Path(target).resolve())


def publish(plan: Plan, store: Store, summaries: dict[str, Summary]) -> None:
    """Write coordinates and documents of the levels, and last the root document, in one put."""
    root, nodes = metadata.node_documents(plan, summaries)
    for number, level in enumerate(plan.levels.levels):
        for name, array in metadata.small_arrays(plan, number).items():
            key, data = array.to_object()
            store_module.write_bytes(store, store_module.join(level.asset, name, key), data)
    for path, document in nodes.items():
        store_module.write_document(store, path, document)
    store_module.write_document(store, "", root)


def _walk(plan: Plan, surroundings: Surroundings, pool: Executor, tally: _Tally) -> dict[str, Summary]:
    """Walk all groups; return the statistics of each variable."""
    summaries: dict[str, Summary] = {}
    reach = Reach(plan, surroundings.blocks)
    scratch = ScratchPool()
    for group in plan.groups:
        with scratch.borrow() as own:
            ascent = Ascent(plan, group, store=surroundings.store, progress=tally, scratch=own)
            steps = walk.itinerary(plan, may_hold=reach.may_hold)
            units = _units(steps, ascent, tally, len(group))
            for unit, outcome in _outcomes(plan, group, units, surroundings, scratch, pool):
                ascent.add(unit, outcome)
            for track, summary in zip(ascent.tracks, ascent.finish(), strict=True):
                if summary is not None:
                    name = track.variable.name
                    summaries[name] = summaries[name].merge(summary) if name in summaries else summary
    return summaries


def _units(steps: Iterator[Step], ascent: Ascent, tally: _Tally, slices: int) -> Iterator[Subtree]:
    """Give the subtrees among the steps of a walk, and tell the others to whom they concern."""
    for step in steps:
        if isinstance(step, Closed):
            ascent.close(step)
        elif isinstance(step, Skipped):
            tally.computed(step.pixels * slices)
        else:
            yield step


def _outcomes(
    plan: Plan,
    group: tuple[Slice, ...],
    units: Iterator[Subtree],
    surroundings: Surroundings,
    scratch: ScratchPool,
    pool: Executor,
) -> Iterator[tuple[Subtree, Outcome]]:
    """Run subtrees a few ahead of the coordinator, and give their outcomes in order."""
    waiting: deque[tuple[Subtree, Future[Outcome]]] = deque()
    try:
        while True:
            while len(waiting) < plan.workers + chunking.AHEAD and (unit := next(units, None)) is not None:
                waiting.append((unit, pool.submit(_run, plan, group, unit, surroundings, scratch)))
            if not waiting:
                return
            unit, future = waiting.popleft()
            yield unit, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _run(
    plan: Plan, group: tuple[Slice, ...], unit: Subtree, surroundings: Surroundings, scratch: ScratchPool
) -> Outcome:
    with scratch.borrow() as own:
        return walk.run(plan, group, unit, surroundings=surroundings, scratch=own)
