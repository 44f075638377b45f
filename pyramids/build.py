"""Build a pyramid: plan, claim the target, hand units of work to an executor, publish. The public entry.

Level data are written first and the root document last, in one put. Until then a reader sees the former pyramid or
none. What is there before is left alone: a target that holds anything but a pyramid of ours is refused, and one of ours
is replaced only when asked for. A build that was stopped goes on where its journal ends.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr import manifest
from geozarr import store as store_module
from geozarr.errors import TargetExistsError
from geozarr.manifest import Manifest
from pyramids import claim as claim_module
from pyramids import journal, publish, roots, transaction, walk, workshop
from pyramids import lease as lease_module
from pyramids.claim import State
from pyramids.coordinator import Coordinator
from pyramids.handover import LostHandoverError
from pyramids.journal import Journal, Ledger
from pyramids.lease import Lease
from pyramids.mosaic import Mosaic
from pyramids.objects import Record, array_at
from pyramids.opening import open_source
from pyramids.planner import Options, make_plan
from pyramids.reach import Reach
from pyramids.sources import turned
from pyramids.sources.damaged import Damage
from pyramids.stack import Stack, as_stack
from pyramids.sweep import Sweeper
from pyramids.workers import Workers
from pyramids.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor, Future

    from geozarr import CRS
    from geozarr.manifest import ArrayObjects
    from geozarr.store import StoreLike
    from pyramids.claim import Claim
    from pyramids.journal import Done
    from pyramids.opening import Opens
    from pyramids.plan import Plan
    from pyramids.sources import Source
    from pyramids.statistics import Summary
    from pyramids.walk import Subtree


_BATCH = 32  # objects that are compared with the journal by one call


@dataclass
class Report:
    """What a build has done so far, as its journal says.

    Parameters
    ----------
    work : int
        Pixels of the finest level to do, over all slices.
    computed : int
        Those that are done: computed in this run or before, or known to be empty.
    objects, size : int
        Objects and bytes stored in this run, data only.
    stages : dict
        CPU seconds of all threads by stage: decode, warp, fold, encode, store.
    mended : list of str
        Objects that an earlier run had stored and that were lost or damaged, by key.
    build : str
        Name of the build.
    damaged : list of Damage
        Blocks of the source that could not be read and were taken for missing, in this run or before.
    undefined : int
        Cells, over all levels, that are no data because infinities of both signs met there.
    """

    work: int
    computed: int = 0
    objects: int = 0
    size: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    mended: list[str] = field(default_factory=list)
    build: str = ""
    damaged: list[Damage] = field(default_factory=list)
    undefined: int = 0


def build(
    source: Opens,
    target: StoreLike,
    options: Options | None = None,
    *,
    bands: str = "variables",
    variables: Sequence[str] | None = None,
    group: str | None = None,
    crs: str | CRS | None = None,
    select: Mapping[str, str] | None = None,
    irregular: str = "refuse",
    limit: float | None = None,
    overlap: str = "first",
    overwrite: bool = False,
    resume: bool = False,
    executor: Executor | None = None,
    listener: Callable[[Report], None] | None = None,
    **choices: Any,
) -> Plan:
    """Build a pyramid from a raster.

    Parameters
    ----------
    source : str, Path, xarray.DataArray, xarray.Dataset, Source, or several
        See `open_source`.
    target : str, Path, obstore store or IcechunkTarget
        Where the pyramid goes; a folder is made, and so is an Icechunk repository (`icechunk://PATH`).
    options : Options, optional
        All choices as one value.
    bands, variables, group, crs, select, irregular, limit, overlap
        See `open_source`.
    overwrite : bool
        Replace a pyramid, or an unfinished build, of ours. Readers see the former pyramid until the new one is
        published, and what was replaced stays where it is. Anything else is never touched.
    resume : bool
        Go on with this build where it stopped; where it is published, compare all objects and mend what is damaged.
    executor : concurrent.futures.Executor, optional
        Does units of work: any pool of threads or processes, or `dask.distributed.Client(...).get_executor()`; it is
        left open. Source and target must be what its processes can open, by path or URL, and `options.memory` and
        `workers` are those of each of its processes. By default threads, or `options.processes` processes.
    listener : callable, optional
        Called with a `Report` after each unit of work.
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
    opened = open_source(
        source,
        nodata=options.nodata,
        bands=bands,
        variables=variables,
        group=group,
        crs=crs,
        select=select,
        irregular=irregular,
        limit=limit,
        overlap=overlap,
    )
    plan = make_plan(opened, options)
    execute(plan, opened, target, overwrite=overwrite, resume=resume, executor=executor, listener=listener)
    return plan


def execute(
    plan: Plan,
    source: Source | Mosaic | Stack,
    target: StoreLike,
    *,
    overwrite: bool = False,
    resume: bool = False,
    executor: Executor | None = None,
    listener: Callable[[Report], None] | None = None,
) -> Report:
    """Carry out a plan; parameters and errors as `build`."""
    if isinstance(target, str | Path) and Path(target).is_file():
        raise TargetExistsError(str(target), found="a file", expected="a folder, or nothing")
    files: tuple[str, ...] = ()
    if isinstance(source, Mosaic | Stack):
        files = tuple(one.name for one in source.sources)
        source = as_stack(source).as_planned(plan)
    elif plan.is_native:
        source = turned.north_up(source)
    store = store_module.open_store(target, create=True)
    transaction.require_format(store, plan)
    claim_module.require_ours(store)
    workshop.require_same(plan, source)
    report = Report(plan.work)
    with transaction.ended(store), Lease(store) as lease, Sweeper(store) as sweeper:
        claim = claim_module.claim(store, plan, overwrite=overwrite, resume=resume, files=files)
        report.build = claim.name
        shop = Workshop(claim.plan, source, store, folder=claim.folder, ticket=lease.ticket)
        with contextlib.closing(shop):
            workers = Workers(shop, executor)
            run = _Run(claim, shop, workers, report, lease, sweeper, listener)
            try:
                if claim.state is State.PUBLISHED:
                    run.mend()
                else:
                    run.build()
                    workshop.require_same(plan, source)
                    lease.check()
                    run.publish()
            finally:
                shop.stop()
                workers.close()
    return report


class _Run:
    """One run of a build, from its claim to its publication.

    Parameters
    ----------
    claim : Claim
        What to build, and how far it has come.
    shop : Workshop
        Source, store, and what units of work hand on.
    workers : Workers
        Do units of work.
    report : Report
        What is told.
    lease : Lease
        Under which it is built.
    sweeper : Sweeper
        Deletes what no unit of work will take any more.
    listener : callable, optional
        Is called with the report after each entry of the journal.
    """

    def __init__(
        self,
        claim: Claim,
        shop: Workshop,
        workers: Workers,
        report: Report,
        lease: Lease,
        sweeper: Sweeper,
        listener: Callable[[Report], None] | None,
    ) -> None:
        plan = self._plan = claim.plan
        self._name = claim.name
        self._folder = claim.folder
        self._shop = shop
        self._store = shop.store
        self._workers = workers
        self._report = report
        self._lease = lease
        self._listener = listener
        self._sweeper = sweeper
        self._journal = Journal(self._store, self._folder, written=self._sweep)
        self._unread: set[Damage] = set()
        self._undefined: dict[int, int] = {}
        self._coordinator = Coordinator(
            plan,
            workers.submit,
            may_hold=Reach(plan, shop.blocks).may_hold,
            journal=self._journal,
            told=self._told,
            ahead=workers.ahead,
            stop=self._stop,
            patience=workers.patience,
        )

    def build(self) -> None:
        """Do all that the journal does not have, and mend what it has and is not there."""
        before = ledger = self._ledger()
        self._remark(ledger.damaged, ledger.undefined)
        while True:
            try:
                self._coordinator.run(ledger)
                break
            except LostHandoverError as lost:
                self._coordinator.redo(lost.group, lost.block)
                ledger = self._ledger()
        self._report.damaged.sort()
        self._tell()
        if len(before):
            self._restore(self._damaged(self._journalled(before)))

    def mend(self) -> None:
        """Compare what is published with its manifest, and store anew what is lost or damaged."""
        reference = manifest.reference_of(store_module.read_tree(self._store).attributes())
        assert reference is not None, "the claim has found it"
        known = Manifest(self._store, reference)
        remarks = publish.remarks_of(self._store, self._name)
        self._remark((Damage(*pair) for pair in remarks.get("damaged", ())), {})
        undefined = remarks.get("undefined", 0)
        numbers = {array.path: place for place, array in enumerate(self._shop.arrays)}
        stored = (
            Record(numbers[path], number, *entry)
            for path, array in known.arrays.items()
            for number, entry in known.array_entries(array)
        )
        self._restore(self._damaged(stored))
        self._report.mended += roots.settle(self._store)
        damaged = [key for key, entry in known.others.items() if not workshop.is_whole(self._store, key, entry)]
        if damaged:
            self._report.mended += damaged
            publish.restore_beside(self._plan, self._store, damaged)
        publish.forget_work(self._store, self._name)  # where the build was killed before it had
        self._report.computed = self._plan.work
        self._report.undefined = undefined

    def publish(self) -> None:
        """Make the build visible."""
        self._sweeper.finish()
        if self._workers.are_elsewhere:
            lease_module.sweep(self._store)  # after workers that were killed
        summaries = self._summaries()
        with self._shop.writers.batch() as sink:
            others = publish.write_beside(self._plan, sink, summaries)
        reference = publish.write_manifest(
            self._plan, self._store, self._name, others, lambda: journal.segments(self._store, self._folder)
        )
        report = self._report
        remarks = {"damaged": [list(damage) for damage in report.damaged], "undefined": report.undefined}
        publish.write_root(self._plan, self._store, summaries, reference, remarks)
        publish.forget_work(self._store, self._name)

    def _ledger(self) -> Ledger:
        return Ledger.read(journal.segments(self._store, self._folder))

    def _stop(self) -> None:
        """Let units that are under way end, wherever they are."""
        self._shop.stop()
        if self._workers.are_elsewhere:
            self._lease.halt()

    def _sweep(self, written: Sequence[Done]) -> None:
        """Forget what was handed to blocks that are in the journal now."""
        above = (done for done in written if done.block.level > self._plan.cut)
        handovers = self._shop.handovers
        self._sweeper.forget(
            handovers.key(done.group, child) for done in above for child in walk.children(self._plan, done.block)
        )

    def _told(self, done: Done) -> None:
        self._report.objects += len(done.records)
        self._report.size += sum(record.length for record in done.records)
        for name, seconds in done.stages.items():
            self._report.stages[name] = self._report.stages.get(name, 0.0) + seconds
        self._remark(done.damaged, {journal.code(done.group, done.block): done.undefined})
        self._tell()

    def _remark(self, damaged: Iterable[Damage], undefined: dict[int, int]) -> None:
        """Take note of what the report says beside the count; a unit that is done twice counts once."""
        new = set(damaged) - self._unread
        self._unread |= new
        self._report.damaged += sorted(new)
        self._undefined |= {unit: count for unit, count in undefined.items() if count or unit in self._undefined}
        self._report.undefined = sum(self._undefined.values())

    def _tell(self) -> None:
        self._report.computed = self._journal.covered
        if self._listener is not None:
            self._listener(self._report)

    def _journalled(self, before: Ledger) -> Iterator[Record]:
        """List the objects that were journalled before this run."""
        segments = itertools.islice(journal.segments(self._store, self._folder), before.segments)
        for segment in segments:
            for array, number, length, crc32 in segment.objects.tolist():
                yield Record(array, number, length, crc32)

    def _damaged(self, records: Iterable[Record]) -> list[Record]:
        """Compare objects with what is known of them; return those that are not so."""
        damaged: list[Record] = []
        waiting: deque[Future[list[Record]]] = deque()
        rest = iter(records)
        while batch := tuple(itertools.islice(rest, _BATCH)):
            waiting.append(self._workers.compare(batch))
            if len(waiting) > 2 * self._workers.ahead:
                damaged += waiting.popleft().result()
        for future in waiting:
            damaged += future.result()
        return damaged

    def _restore(self, records: list[Record]) -> None:
        """Do again the units that store some objects."""
        units: set[tuple[int, Subtree]] = set()
        for record in records:
            array = self._shop.arrays[record.array]
            self._report.mended.append(array.key(record.number))
            units.add(self._unit_of(record, array))
        for group, block in units:
            # A block above does all below it again.
            if not any((group, above) in units for above in walk.above(self._plan, block)):
                self._coordinator.redo(group, block)

    def _unit_of(self, record: Record, array: ArrayObjects) -> tuple[int, Subtree]:
        """Tell which unit stores an object."""
        level, variable = array_at(self._plan, record.array)
        at = np.unravel_index(record.number, array.grid)
        row, col = int(at[-2]), int(at[-1])
        side = self._plan.layout(level, variable).object_shape[-1]
        lead = tuple(int(number) for number in at[:-2])
        group = next(
            number
            for number, slices in enumerate(self._plan.groups)
            if any(
                (track.variable.name, track.index) == (variable.name, lead)
                for track in walk.tracks_of(self._plan, slices)
            )
        )
        return group, walk.owner(self._plan, level, side=side, row=row, col=col)

    def _summaries(self) -> dict[str, Summary]:
        """Statistics of each variable, from what the apex has put together for each group."""
        ledger = self._ledger()
        summaries: dict[str, Summary] = {}
        for number, group in enumerate(self._plan.groups):
            try:
                outcome = self._of_the_whole(number, ledger)
            except LostHandoverError as lost:
                self._coordinator.redo(lost.group, lost.block)
                ledger = self._ledger()
                outcome = self._of_the_whole(number, ledger)
            if outcome is None:
                continue  # nothing holds data
            for track, summary in zip(walk.tracks_of(self._plan, group), walk.whole_summaries(outcome), strict=True):
                if summary is not None:
                    name = track.variable.name
                    summaries[name] = summaries[name].merge(summary) if name in summaries else summary
        return summaries

    def _of_the_whole(self, group: int, ledger: Ledger) -> walk.Outcome | None:
        top = walk.apex(self._plan)
        entry = ledger.handed(group, top)
        return None if entry is None else self._shop.handovers.take(group, top, entry)
