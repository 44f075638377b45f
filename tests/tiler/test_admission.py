"""Which work runs, waits, or is refused."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from geozarr.errors import ParameterError
from tiler.admission import Admission, Bounds, BusyError, ClientGoneError, DeadlineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LONG = 20.0  # seconds in which anything here has ended, unless it hangs


class Gate:
    """Work that waits to be let go, and counts how often it has begun."""

    def __init__(self, value: object = "done") -> None:
        self.value = value
        self.begun = 0
        self._open = threading.Event()
        self._lock = threading.Lock()

    def __call__(self) -> object:
        with self._lock:
            self.begun += 1
        assert self._open.wait(LONG), "nobody has opened the gate"
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    def open(self) -> None:
        self._open.set()


def run(test: Callable[[Admission], Awaitable[None]], *, lanes: int = 1, **bounds: Any) -> None:
    async def main() -> None:
        admission = Admission(
            Bounds(**{"running": 2, "waiting": 4, "client": 100, "seconds": LONG} | bounds), lanes=lanes
        )
        try:
            async with asyncio.timeout(LONG):
                await test(admission)
        finally:
            admission.close()

    asyncio.run(main())


def start(admission: Admission, work: Gate, key: object, **options: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(admission.run(work, **{"lane": "data", "client": "a", "key": key} | options))


async def begun(work: Gate, count: int = 1) -> None:
    while work.begun < count:
        await asyncio.sleep(0.001)


async def submitted() -> None:
    """Let tasks run up to where they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_t11_equal_requests_share_one_work_and_its_result() -> None:
    async def test(admission: Admission) -> None:
        gate = Gate()
        tasks = [start(admission, gate, "tile") for _ in range(200)]
        await begun(gate)
        gate.open()
        assert await asyncio.gather(*tasks) == ["done"] * 200
        assert gate.begun == 1
        assert (admission.running, admission.waiting) == (0, 0)

    run(test)


def test_t11_an_error_reaches_all_that_wait_and_is_not_kept() -> None:
    async def test(admission: Admission) -> None:
        gate = Gate(OSError("broken"))
        tasks = [start(admission, gate, "tile") for _ in range(5)]
        await begun(gate)
        gate.open()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(found, OSError)
        assert await start(admission, _opened(Gate("well")), "tile") == "well"

    run(test)


def _opened(gate: Gate) -> Gate:
    gate.open()
    return gate


def test_no_more_run_than_may_and_no_more_wait() -> None:
    async def test(admission: Admission) -> None:
        gates = [Gate(number) for number in range(6)]
        tasks = [start(admission, gate, number) for number, gate in enumerate(gates)]
        await begun(gates[1])
        await submitted()
        assert [gate.begun for gate in gates] == [1, 1, 0, 0, 0, 0]
        assert (admission.running, admission.waiting) == (2, 4)
        with pytest.raises(BusyError, match="this dataset"):
            await start(admission, Gate(), "one more")
        for gate in gates:
            gate.open()
        assert await asyncio.gather(*tasks) == list(range(6))

    run(test)


def test_one_client_cannot_take_all_places() -> None:
    async def test(admission: Admission) -> None:
        gate = Gate()
        tasks = [start(admission, gate, number, client="greedy") for number in range(3)]
        await submitted()
        with pytest.raises(BusyError, match="this client"):
            await start(admission, gate, "another", client="greedy")
        joined = start(admission, gate, 0, client="greedy")  # takes no place
        tasks.append(start(admission, gate, "another", client="modest"))
        gate.open()
        assert await asyncio.gather(joined, *tasks) == ["done"] * 5

    run(test, client=3)


def test_t12_a_stalled_dataset_leaves_threads_and_places_to_the_others() -> None:
    async def test(admission: Admission) -> None:
        stalled = Gate()
        tasks = [start(admission, stalled, number) for number in range(4)]  # two run, and half of four places are taken
        await submitted()
        with pytest.raises(BusyError, match="this dataset"):
            await start(admission, stalled, "one more")
        for number in range(20):
            assert await start(admission, _opened(Gate(number)), ("quick", number), lane="other") == number
        stalled.open()
        await asyncio.gather(*tasks)

    run(test, lanes=2)


def test_t12_whoever_waits_is_told_at_the_deadline_and_the_work_goes_on() -> None:
    async def test(admission: Admission) -> None:
        gate = Gate()
        with pytest.raises(DeadlineError, match=r"not ready after 0.3 s"):
            await start(admission, gate, "tile")
        assert admission.running == 1
        later = start(admission, Gate(), "tile")  # joins what is still under way
        await submitted()
        gate.open()
        assert await later == "done"
        assert gate.begun == 1

    run(test, seconds=0.3)


def test_a_timeout_of_the_work_itself_is_not_taken_for_the_deadline() -> None:
    async def test(admission: Admission) -> None:
        with pytest.raises(TimeoutError, match="the store's"):
            await start(admission, _opened(Gate(TimeoutError("the store's"))), "tile")

    run(test)


def test_t14_work_that_waits_is_dropped_with_its_client_and_work_that_runs_ends() -> None:
    async def test(admission: Admission) -> None:
        left = asyncio.Event()
        running, waiting = Gate("kept"), Gate()
        first = start(admission, running, "runs")
        await begun(running)
        dropped = start(admission, waiting, "waits", gone=left.wait)
        await submitted()
        assert admission.waiting == 1
        left.set()
        with pytest.raises(ClientGoneError):
            await dropped
        await submitted()
        assert (waiting.begun, admission.waiting) == (0, 0)
        first.cancel()  # its work has begun: whoever comes now takes its result
        again = start(admission, Gate("another"), "runs")
        await submitted()
        running.open()
        assert await again == "kept"

    run(test, running=1, waiting=8)


def test_nobody_is_watched_whose_work_begins_at_once() -> None:
    """It goes on to its end in any case, and to watch costs more than to find out too late."""

    async def test(admission: Admission) -> None:
        watched: list[str] = []

        async def gone() -> None:
            watched.append("watched")
            await asyncio.Event().wait()

        gates = [Gate(), Gate(), Gate()]
        tasks = [start(admission, gates[0], 0, gone=gone), start(admission, gates[1], 1, gone=gone)]
        await submitted()
        assert watched == []
        tasks.append(start(admission, gates[2], 2, gone=gone))  # of three, two run
        await submitted()
        assert watched == ["watched"]
        for gate in gates:
            gate.open()
        await asyncio.gather(*tasks)

    run(test, running=2)


def test_t14_work_stays_while_one_of_its_clients_does() -> None:
    async def test(admission: Admission) -> None:
        left = asyncio.Event()
        blocks, waits = Gate(), Gate()
        tasks = [start(admission, blocks, "blocks")]
        await begun(blocks)
        tasks.append(start(admission, waits, "waits"))
        leaver = start(admission, waits, "waits", gone=left.wait)
        await submitted()
        left.set()
        with pytest.raises(ClientGoneError):
            await leaver
        blocks.open()
        waits.open()
        assert await asyncio.gather(*tasks) == ["done", "done"]

    run(test, running=1)


def test_t14_places_of_clients_that_left_are_free_again() -> None:
    async def test(admission: Admission) -> None:
        blocks = Gate()
        first = start(admission, blocks, "blocks")
        await begun(blocks)
        for number in range(50):
            left = asyncio.Event()
            leaver = start(admission, Gate(), number, gone=left.wait)
            await submitted()
            left.set()
            with pytest.raises(ClientGoneError):
                await leaver
            await submitted()
        assert admission.waiting == 0
        blocks.open()
        await first

    run(test, running=1, waiting=1, client=2)


@pytest.mark.parametrize("wrong", [{"running": 0}, {"waiting": 0}, {"client": 0}, {"seconds": 0.0}])
def test_bounds_below_one_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        Bounds(**wrong)


def test_what_is_refused_is_counted() -> None:
    async def test(admission: Admission) -> None:
        gate = Gate()
        tasks = [start(admission, gate, 0)]
        await begun(gate)
        for key in range(1, 4):
            with pytest.raises(BusyError):
                await start(admission, gate, key)
        assert admission.refused == 3
        gate.open()
        await asyncio.gather(*tasks)

    run(test, client=1)


def test_lanes_that_are_needed_no_longer_end_with_what_they_are_at() -> None:
    async def test(admission: Admission) -> None:
        gate, other = Gate(), Gate("other")
        kept, removed = start(admission, gate, 0, lane="kept"), start(admission, other, 1, lane="removed")
        await begun(gate)
        await begun(other)
        admission.keep(("kept",))
        assert admission.running == 1
        gate.open()
        other.open()
        assert await asyncio.gather(kept, removed) == ["done", "other"]
        while any("render-removed" in thread.name for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
        assert any("render-kept" in thread.name for thread in threading.enumerate())

    run(test, lanes=2)
