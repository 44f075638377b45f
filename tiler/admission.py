"""Which work of requests runs, waits, or is refused: bounded lanes of threads behind an event loop.

Each dataset has a lane of its own with as many threads as renders may run at once, so that a store that answers slowly
holds up its own dataset alone. What cannot start waits, up to a bound; what exceeds it is refused at once, which a
client can act on, rather than late. Equal work that is under way is shared, whoever asked first. A waiter that leaves
takes its work along where that has not begun; work that has begun goes on to its end, into the caches.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from geozarr.errors import GeoZarrError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable

T = TypeVar("T")


class BusyError(GeoZarrError):
    """More work is waiting than may.

    Parameters
    ----------
    what : str
        Whose bound has been met.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what}: too many requests are waiting; try again")


class DeadlineError(GeoZarrError):
    """Work has not ended in time.

    Parameters
    ----------
    seconds : float
        The time it had.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"not ready after {seconds:g} s")


class ClientGoneError(GeoZarrError):
    """The client that asked has left; there is nobody to answer."""

    def __init__(self) -> None:
        super().__init__("the client has left")


@dataclass(frozen=True)
class Bounds:
    """How much may run and wait.

    Parameters
    ----------
    running : int
        Renders of a dataset at once; two a core by default.
    waiting : int
        Renders that wait, of all datasets. Where there are several, one of them may have half of it.
    client : int
        Renders of one client, running or waiting.
    seconds : float
        Time a render may take, waiting included, before the client is told.

    Raises
    ------
    ParameterError
        If one of them is below 1, or the time is not positive.
    """

    running: int = 2 * (os.cpu_count() or 1)
    waiting: int = 64
    client: int = 16
    seconds: float = 10.0

    def __post_init__(self) -> None:
        for name in ("running", "waiting", "client"):
            if getattr(self, name) < 1:
                raise ParameterError(f"Bounds.{name}", found=getattr(self, name), expected="at least 1")
        if not self.seconds > 0:
            raise ParameterError("Bounds.seconds", found=self.seconds, expected="more than 0")


@dataclass
class _Flight:
    """Work that waits or runs, and how many wait for it."""

    work: Future[Any]
    result: asyncio.Future[Any]
    users: int = 0


@dataclass
class _Lane:
    threads: ThreadPoolExecutor
    flights: int = field(default=0)


class Admission:
    """Runs the work of requests within bounds. Belongs to one event loop.

    Parameters
    ----------
    bounds : Bounds
        How much may run and wait.
    lanes : int
        Number of datasets.
    """

    def __init__(self, bounds: Bounds, *, lanes: int = 1) -> None:
        self.bounds = bounds
        self._lane_waiting = bounds.waiting if lanes == 1 else max(1, bounds.waiting // 2)
        self._lanes: dict[str, _Lane] = {}
        self._flights: dict[Hashable, _Flight] = {}
        self._clients: Counter[str] = Counter()
        self.refused = 0  # renders, since the beginning

    @property
    def running(self) -> int:
        """Number of renders that run."""
        return sum(min(lane.flights, self.bounds.running) for lane in self._lanes.values())

    @property
    def waiting(self) -> int:
        """Number of renders that wait for a thread."""
        return sum(max(0, lane.flights - self.bounds.running) for lane in self._lanes.values())

    def is_under_way(self, key: Hashable) -> bool:
        """Tell whether some work waits or runs."""
        return key in self._flights

    async def run(
        self,
        work: Callable[[], T],
        *,
        lane: str,
        key: Hashable,
        client: str,
        gone: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Do work in a thread, or wait for the same work that is under way.

        Parameters
        ----------
        work : callable
            Called without arguments in a thread of the lane.
        lane : str
            The dataset.
        key : hashable
            Everything that the result depends on.
        client : str
            Who asks.
        gone : callable, optional
            Returns when the client has left; awaited only while the work has to wait.

        Returns
        -------
        object
            What the work has returned.

        Raises
        ------
        BusyError
            If it may neither start nor wait.
        DeadlineError
            If it has not ended in time. It goes on.
        ClientGoneError
            If the client has left before.
        Exception
            Whatever the work raises, for each that waits for it.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._start(work, lane, key, client)
        flight.users += 1
        watch = None
        # Where a thread is free the work begins at once, and who leaves would take nothing along.
        if gone is not None and self._is_full(lane) and not flight.work.running():
            watch = asyncio.ensure_future(gone())
        try:
            async with asyncio.timeout(self.bounds.seconds):
                if watch is not None:
                    await asyncio.wait((flight.result, watch), return_when=asyncio.FIRST_COMPLETED)
                    if not flight.result.done():
                        raise ClientGoneError
                # Shielded: that one who waits gives up must not end what others wait for.
                return await asyncio.shield(flight.result)
        except TimeoutError:
            if flight.result.done() and not flight.result.cancelled() and flight.result.exception() is not None:
                raise  # the work's own
            raise DeadlineError(self.bounds.seconds) from None
        finally:
            if watch is not None:
                watch.cancel()
            flight.users -= 1
            if flight.users == 0:
                flight.work.cancel()  # does nothing once it has begun

    def _is_full(self, name: str) -> bool:
        """Tell whether what comes to a lane now has to wait; one that is let go of takes nothing more."""
        lane = self._lanes.get(name)
        return lane is None or lane.flights > self.bounds.running

    def _start(self, work: Callable[[], Any], name: str, key: Hashable, client: str) -> _Flight:
        lane = self._lanes.get(name)
        if lane is None:
            threads = ThreadPoolExecutor(self.bounds.running, thread_name_prefix=f"render-{name}")
            lane = self._lanes[name] = _Lane(threads)
        met = self._bound_met(lane, client)
        if met is not None:
            self.refused += 1
            raise BusyError(met)
        submitted = lane.threads.submit(work)
        flight = self._flights[key] = _Flight(submitted, asyncio.wrap_future(submitted))
        lane.flights += 1
        self._clients[client] += 1

        def finish(result: asyncio.Future[Any]) -> None:
            lane.flights -= 1
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
            del self._flights[key]
            if not result.cancelled():
                result.exception()  # seen: where all have left, nobody else asks for it

        flight.result.add_done_callback(finish)
        return flight

    def _bound_met(self, lane: _Lane, client: str) -> str | None:
        """Whose bound keeps new work from starting or waiting; None where there is room."""
        if self._clients[client] >= self.bounds.client:
            return "this client"
        if lane.flights >= self.bounds.running + self._lane_waiting:
            return "this dataset"
        if lane.flights >= self.bounds.running and self.waiting >= self.bounds.waiting:
            return "the service"
        return None

    def keep(self, names: Collection[str]) -> None:
        """Have lanes for these datasets from now on; the threads of others end with what they are at."""
        self._lane_waiting = self.bounds.waiting if len(names) == 1 else max(1, self.bounds.waiting // 2)
        for name in [name for name in self._lanes if name not in names]:
            self._lanes.pop(name).threads.shutdown(wait=False)

    def close(self) -> None:
        """Let go of the threads; what runs goes on to its end, what waits is dropped."""
        for lane in self._lanes.values():
            lane.threads.shutdown(wait=False, cancel_futures=True)
