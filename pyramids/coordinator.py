"""Hands units of work to an executor, keeps the journal, and knows which block can be put together when.

A unit is a subtree, or a block above that is put together from what its children handed on. Units are handed out a few
ahead, in the order of the walk, so that what the coordinator remembers grows with the depth of the tree and not with
the raster. Each is harmless to do twice. What a unit hands on goes through the store: only a few numbers come back.
"""

from __future__ import annotations

import contextlib
import queue
from collections import Counter, deque
from concurrent.futures import BrokenExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from geozarr.errors import BuildIncompleteError
from pyramids import walk
from pyramids.handover import LostHandoverError
from pyramids.walk import Closed, Passed, Skipped, Subtree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from geozarr.manifest import Entry
    from geozarr.window import Window
    from pyramids.journal import Done, Journal, Ledger
    from pyramids.plan import Plan
    from pyramids.walk import Step

TRIES = 3  # times that a unit may lose its worker
_POLL = 0.25  # seconds between looks at what waits to be journalled


@dataclass(frozen=True)
class Unit:
    """A unit of work.

    Parameters
    ----------
    group : int
        Number of the group of slices.
    block : Subtree
        Root of the subtree, or the block to put together.
    children : tuple of (Subtree, Entry)
        Of a block to put together: its children that hold data, and what they handed on. Empty for a subtree.
    """

    group: int
    block: Subtree
    children: tuple[tuple[Subtree, Entry], ...] = ()


@dataclass
class _Open:
    """What is known of the blocks that are not done, while one group is walked."""

    expected: dict[Subtree, tuple[Subtree, ...]] = field(default_factory=dict)
    arrived: dict[Subtree, dict[Subtree, Entry]] = field(default_factory=dict)
    ready: deque[Unit] = field(default_factory=deque)


class Coordinator:
    """Walks all groups of a plan.

    Parameters
    ----------
    plan : Plan
        What to build.
    submit : callable
        Has a unit done: returns a `concurrent.futures.Future` of `Done`.
    may_hold : callable
        Tells whether a window of the finest level may hold data.
    journal : Journal
        Where units that are done are written.
    told : callable
        Is called with the units that were taken into the journal or wait there, one at a time.
    ahead : int
        Units handed out at a time.
    stop : callable
        Is called when the walk ends by an error: units that are under way may end without being done.
    patience : float, optional
        Seconds for which such units are waited for; by default, until they end.
    """

    def __init__(
        self,
        plan: Plan,
        submit: Callable[[Unit], Future[Done]],
        *,
        may_hold: Callable[[Window], bool],
        journal: Journal,
        told: Callable[[Done], None],
        ahead: int,
        stop: Callable[[], None],
        patience: float | None = None,
    ) -> None:
        self._plan = plan
        self._submit = submit
        self._may_hold = may_hold
        self._journal = journal
        self._told = told
        self._ahead = ahead
        self._stop = stop
        self._patience = patience

    def run(self, ledger: Ledger) -> None:
        """Do all that the ledger does not know.

        Raises
        ------
        GeoZarrError
            As the units do; what was done until then is in the journal.
        BuildIncompleteError
            If a unit loses its worker again and again.
        """
        for number, group in enumerate(self._plan.groups):

            def is_done(block: Subtree, number: int = number) -> bool:
                return ledger.handed(number, block) is not None

            steps = walk.itinerary(self._plan, may_hold=self._may_hold, is_done=is_done)
            self._walk(number, len(group), steps, ledger)

    def redo(self, group: int, block: Subtree) -> None:
        """Do a block again, with everything below it; raises as `run` does."""
        steps = walk.itinerary(self._plan, may_hold=self._may_hold, root=block)
        self._walk(group, None, steps, None)

    def _walk(self, number: int, slices: int | None, steps: Iterator[Step], ledger: Ledger | None) -> None:
        """Go through steps; `slices` None counts nothing as covered, for what is done again."""
        at = _Open()
        flying: dict[Future[Done], Unit] = {}
        landed: queue.SimpleQueue[Future[Done]] = queue.SimpleQueue()
        lost: Counter[Unit] = Counter()
        patience: float | None = None

        def hand_out(unit: Unit) -> None:
            future = self._submit(unit)
            flying[future] = unit
            future.add_done_callback(landed.put)

        try:
            while True:
                while len(flying) < self._ahead and (unit := self._next(number, slices, steps, at, ledger)) is not None:
                    hand_out(unit)
                if not flying:
                    break
                try:
                    future = landed.get(timeout=_POLL)
                except queue.Empty:
                    self._journal.flush(force=False)
                    continue
                unit = flying.pop(future)
                try:
                    done = future.result()
                except BrokenExecutor as error:
                    lost[unit] += 1
                    if lost[unit] == TRIES:
                        raise BuildIncompleteError(f"{_named(unit)} has lost its worker {TRIES} times") from error
                    hand_out(unit)
                    continue
                self._note(done)
                self._arrive(number, unit.block, done.handed, at)
        except LostHandoverError:
            raise  # what is under way is not in vain: the caller mends that and goes on
        except BaseException:
            self._stop()
            patience = self._patience
            raise
        finally:
            self._settle(flying, patience)

    def _next(
        self, number: int, slices: int | None, steps: Iterator[Step], at: _Open, ledger: Ledger | None
    ) -> Unit | None:
        """Find the next unit that can be done; None where all wait for units that are under way."""
        while not at.ready:
            step = next(steps, None)
            if step is None:
                return None
            if isinstance(step, Subtree):
                return Unit(number, step)
            if isinstance(step, Closed):
                at.expected[step.block] = step.children
                self._open(number, step.block, at)
            elif isinstance(step, Skipped):
                self._journal.covered += step.pixels * (slices or 0)
            else:
                self._pass(number, step, at, ledger, slices or 0)
        return at.ready.popleft()

    def _pass(self, number: int, step: Passed, at: _Open, ledger: Ledger | None, slices: int) -> None:
        block = step.block
        handed = ledger.handed(number, block) if ledger is not None else None
        assert handed is not None, "only what the ledger knows is passed"
        if at.arrived.pop(block, None) is None:  # else its children were counted, as row by row
            self._journal.covered += walk.finest_window(self._plan, block).size * slices
        self._arrive(number, block, handed, at)

    def _arrive(self, number: int, block: Subtree, handed: Entry, at: _Open) -> None:
        at.arrived.setdefault(block.parent, {})[block] = handed
        self._open(number, block.parent, at)

    def _open(self, number: int, parent: Subtree, at: _Open) -> None:
        """Make a block ready to be put together if all its children are there."""
        expected = at.expected.get(parent)
        arrived = at.arrived.get(parent, {})
        if expected is not None and len(arrived) == len(expected):
            del at.expected[parent], at.arrived[parent]
            at.ready.append(Unit(number, parent, tuple(sorted(arrived.items(), key=_place))))

    def _note(self, done: Done) -> None:
        self._journal.add(done)
        self._told(done)

    def _settle(self, flying: dict[Future[Done], Unit], patience: float | None) -> None:
        """Let what is under way end, and put what was done into the journal."""
        for future in flying:
            future.cancel()
        for future in wait(flying, patience).done:
            if not future.cancelled():
                # The error that is on its way already says what is wrong.
                with contextlib.suppress(Exception):
                    self._note(future.result())
        self._journal.flush()


def _named(unit: Unit) -> str:
    block = unit.block
    return f"block {block.row}/{block.col} of level {block.level} (group {unit.group})"


def _place(item: tuple[Subtree, Entry]) -> tuple[int, int]:
    return item[0].row, item[0].col
