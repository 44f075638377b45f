"""What signals ask of a process that answers requests.

SIGTERM and SIGINT: readiness ends at once, requests under way are finished, then the process ends; the same again, and
it ends at once. SIGHUP: the datasets of the settings file are taken into use; where the file is wrong, those of before
stay. A process that has a parent leaves SIGINT and SIGHUP to it, who gets them too.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from geozarr.errors import GeoZarrError
from tiler import processes
from tiler.config import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess
    from types import FrameType

    from tiler.desk import Desk
    from tiler.settings import Settings

_LOG = logging.getLogger(__name__)


@contextmanager
def minded(desk: Desk, read: Callable[[], Settings] | None) -> Iterator[None]:
    """Mind signals within; does nothing outside of the main thread, which alone gets them.

    Parameters
    ----------
    desk : Desk
        Answers requests on the running event loop, whose server has its handlers in place.
    read : callable, optional
        Reads the settings again, on SIGHUP; without it that signal does what it does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    parent = multiprocessing.parent_process()
    is_worker = parent is not None
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        if desk.is_stopping:
            processes.end(128 + number)
        desk.is_stopping = True
        follow = before[signal.Signals(number)]
        if callable(follow):
            follow(number, frame)

    for number in before:
        signal.signal(number, signal.SIG_IGN if is_worker and number == signal.SIGINT else stop)
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    loop, hup = asyncio.get_running_loop(), getattr(signal, "SIGHUP", None)
    tasks: set[asyncio.Task[None]] = set()
    if hup is not None and is_worker:
        signal.signal(hup, signal.SIG_IGN)
    elif hup is not None and read is not None:

        def reload() -> None:
            task = loop.create_task(take_anew(desk, read))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        loop.add_signal_handler(hup, reload)
    yield


def _end_with(parent: BaseProcess) -> None:
    """Stop when the parent is gone, however it went: nobody else would tell this process to."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


async def take_anew(desk: Desk, read: Callable[[], Settings]) -> None:
    """Read settings again and take their datasets into use; where they are wrong, log that and change nothing."""
    try:
        settings = await asyncio.to_thread(read)
    except GeoZarrError as error:
        _LOG.error("the settings stay as they were: %s", error)
        return
    needing = differences(desk.settings, settings)
    added, removed = desk.take(settings)
    _LOG.info("datasets are taken anew: added %s; removed %s", ", ".join(added) or "none", ", ".join(removed) or "none")
    if needing:
        _LOG.warning("these settings have changed too, and need a restart: %s", ", ".join(needing))
    for name in added:
        try:
            await asyncio.to_thread(desk.service.catalog.open, name)
        except GeoZarrError as error:
            _LOG.warning("dataset %s cannot be opened: %s", name, error)
