"""How the processes of our own pool begin and end: they are made to work and for nothing else."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import threading


def begin() -> None:
    """Make a process one that only works: Ctrl-C is for the one that builds, and when that dies this one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    multiprocessing.util.Finalize(None, _end, exitpriority=-(2**30))
    builder = multiprocessing.parent_process()
    if builder is not None:

        def ending() -> None:
            builder.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=ending, name="builder", daemon=True).start()


def _end() -> None:
    """End when all that was given is done, at once: to take itself apart would take the process 0.3 s."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
