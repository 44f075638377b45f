"""Who does units of work: threads of this process, processes of this machine, or an executor of the caller's.

A worker that dies takes its units with it and nothing else: the coordinator hands them out again, and our own pool of
processes is made anew.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from geozarr.errors import BuildIncompleteError, ParameterError
from pyramids import chunking, processes, workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from pyramids.coordinator import Unit
    from pyramids.journal import Done
    from pyramids.objects import Record
    from pyramids.workshop import Workshop

T = TypeVar("T")
PATIENCE = 3.0  # seconds for which units of other processes are waited for when a build is stopped


class Workers:
    """Hands units of work to an executor.

    Parameters
    ----------
    shop : Workshop
        What they are done with.
    executor : Executor, optional
        The caller's; by default processes if the plan has several, else threads.

    Raises
    ------
    ParameterError
        If there are to be several processes, and the target, the source or the number of threads do not allow that; if
        the processes of the executor are forked.
    LimitError
        If the source holds too much to be sent to other processes.

    Attributes
    ----------
    ahead : int
        Units that should be handed out at a time.
    """

    def __init__(self, shop: Workshop, executor: Executor | None) -> None:
        self._shop = shop
        self._given = executor
        self._processes = shop.plan.processes
        self._threads = shop.plan.workers
        if executor is not None:
            _require_fresh(executor)
        self._pool: Executor = executor or self._made()
        self._numbers = iter(range(2**62))
        self.ahead = _slots(self._pool, self._processes * self._threads) + chunking.AHEAD
        if self.are_elsewhere:
            shop.recipe()  # raises now what would be raised by each unit

    @property
    def are_elsewhere(self) -> bool:
        """True where units are done in other processes."""
        return isinstance(self._pool, ProcessPoolExecutor) or hasattr(self._pool, "_client")

    @property
    def patience(self) -> float | None:
        """Seconds for which units are waited for when a build is stopped; None: until they end."""
        return PATIENCE if self.are_elsewhere else None

    def submit(self, unit: Unit) -> Future[Done]:
        """Have a unit done.

        Raises
        ------
        BuildIncompleteError
            If the executor of the caller does not work any more.
        """
        return self._submitted(workshop.do, unit, next(self._numbers))

    def compare(self, records: Sequence[Record]) -> Future[list[Record]]:
        """Have objects compared with what is known of them; raises as `submit`."""
        if not self.are_elsewhere and self._shop.writers.pool is not None:
            return self._shop.writers.pool.submit(workshop.damaged, self._shop, records)  # it waits for the network
        return self._submitted(workshop.damaged, records)

    def _submitted(self, work: Callable[..., T], *arguments: Any) -> Future[T]:
        try:
            return self._pool.submit(work, self._shop, *arguments)
        except BrokenExecutor as error:
            if self._given is not None:
                raise BuildIncompleteError("the workers of the executor have died") from error
        self._pool.shutdown(wait=False)
        self._pool = self._made()
        return self._pool.submit(work, self._shop, *arguments)

    def _made(self) -> Executor:
        if self._processes == 1:
            return ThreadPoolExecutor(self._threads + self._shop.writers.units, thread_name_prefix="pyramid")
        if self._threads > 1:
            expected = "1, where there are several processes: each does one unit of work at a time"
            raise ParameterError("workers", found=self._threads, expected=expected)
        # Fresh interpreters: a copy of this one would have locks that threads of this one hold.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._processes, mp_context=context, initializer=processes.begin)

    def close(self) -> None:
        """Let go of our own threads or processes."""
        if self._given is None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def _require_fresh(executor: Executor) -> None:
    """Refuse a pool of copies of this process: they have the locks of its threads, and not the threads; they hang.

    Raises
    ------
    ParameterError
        If it is one.
    """
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        expected = "fresh processes: ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))"
        raise ParameterError("executor", found="a pool whose processes are forked", expected=expected)


def _slots(executor: Executor, otherwise: int) -> int:
    """Tell how many units an executor does at a time."""
    known = getattr(executor, "_max_workers", None)
    if isinstance(known, int):
        return known
    client = getattr(executor, "_client", None)  # dask.distributed
    if client is not None:
        return max(1, int(sum(client.nthreads().values())))
    return otherwise
