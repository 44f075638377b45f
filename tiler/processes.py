"""How a process of the service ends, and how several of them answer from one socket.

uvicorn's supervisor starts processes and replaces those that die. Added here: that a signal is heeded at once and not
at the next look, that a second one ends everything, that whoever does not end in time is ended, and that settings are
taken anew by all processes or by none: wrong ones start nothing, and who answers stays until all new ones do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from geozarr.errors import GeoZarrError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from types import FrameType

    import uvicorn

_LOG = logging.getLogger(__name__)
_LOOK = 0.5  # seconds between two looks at the processes
_START = 60.0  # seconds within which new processes answer, on a machine that is busy with others
_SPARE = 5.0  # seconds for which a process may take longer to end than its requests may


def end(status: int) -> NoReturn:
    """End this process now, whatever its threads are at: a store that does not answer must not hold it up."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


class Workers(Multiprocess):
    """Processes that answer requests.

    Parameters
    ----------
    config : uvicorn.Config
        What each runs; its `app` is pickled for each process that starts.
    listener : socket
        Where they listen.
    renew : callable, optional
        On SIGHUP, makes the `app` that processes are started with from then on; raises `GeoZarrError` where they are
        to stay as they are. Without it SIGHUP does what it does.
    """

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, *, renew: Callable[[], Callable[[], object]] | None
    ) -> None:
        super().__init__(config, [listener])  # which installs handlers
        self._renew = renew
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_DFL if renew is None else self._hang_up)

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        if self.should_exit.is_set():
            for process in self.processes:
                process.process.kill()
            end(128 + number)
        self.should_exit.set()
        self._rouse()

    def _hang_up(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        self.signal_queue.append(number)
        self._rouse()

    def _rouse(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b"x")

    def run(self) -> None:
        """Start the processes, look after them, and end when a signal says so and all have ended."""
        self.init_processes()
        while not self.should_exit.is_set():
            if select.select([self._wake], [], [], _LOOK)[0]:
                os.read(self._wake, 100)
            self.handle_signals()
            self.keep_subprocess_alive()
        for listener in self.sockets:
            listener.close()  # else connections would wait there for nobody
        self.terminate_all()
        self.join_all()

    def handle_hup(self) -> None:
        """Read settings again, and replace the processes by others that have them."""
        assert self._renew is not None, "else nobody minds the signal"
        former = self.config.app
        try:
            self.config.app = self._renew()
        except GeoZarrError as error:
            _LOG.error("the settings stay as they were: %s", error)
            return
        if self._replaced():
            _LOG.info("the settings are taken anew")
            return
        self.config.app = former
        if not self.should_exit.is_set():
            _LOG.error("the settings stay as they were: no process answers with them within %g s", _START)

    def _replaced(self) -> bool:
        """Start new processes, and end the former ones when all of them answer; else end the new ones."""
        started = [Process(self.config, self.sockets) for _ in self.processes]
        for process in started:
            process.start()
        by = time.monotonic() + _START
        if not all(process.wait_until_ready(by - time.monotonic(), self.should_exit) for process in started):
            for process in started:
                process.kill()
                process.join()
            return False
        former, self.processes = self.processes, started
        for process in former:
            process.terminate()
        self._join(former)
        return True

    def join_all(self) -> None:
        """Wait for the processes to end, and end those that do not."""
        self._join(self.processes)

    def _join(self, processes: Sequence[Process]) -> None:
        by = time.monotonic() + (self.config.timeout_graceful_shutdown or 0) + _SPARE
        for process in processes:
            process.process.join(max(0.0, by - time.monotonic()))
            if process.process.is_alive():
                _LOG.error("process %s does not end; it is killed", process.pid)
                process.process.kill()
                process.process.join()
