"""What a worker did and where its time went, told in few calls."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGES = ("decode", "warp", "fold", "encode", "store")


class Progress(Protocol):
    """Is told what has been done; called from many threads."""

    def computed(self, pixels: int) -> None:
        """Take note that pixels of the finest level are done."""
        ...

    def stored(self, size: int) -> None:
        """Take note that one object of so many bytes was written."""
        ...

    def spent(self, stages: dict[str, float]) -> None:
        """Take note of CPU seconds, by stage."""
        ...


class Meter:
    """Counts for one worker.

    Parameters
    ----------
    progress : Progress
        Is told of objects and pixels at once, and of time by `report`.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stages = dict.fromkeys(STAGES, 0.0)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the CPU time of this thread for a stage."""
        started = time.thread_time()
        try:
            yield
        finally:
            self._stages[name] += time.thread_time() - started

    def computed(self, pixels: int) -> None:
        """Tell that pixels of the finest level are done."""
        self._progress.computed(pixels)

    def stored(self, size: int) -> None:
        """Tell that an object was written."""
        self._progress.stored(size)

    def report(self) -> None:
        """Tell what the stages took since the last report."""
        self._progress.spent(self._stages)
        self._stages = dict.fromkeys(STAGES, 0.0)
