"""What a worker did and where its time went, told in few calls."""

from __future__ import annotations

import time
from typing import Protocol

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


class Stage:
    """CPU seconds of one thread, counted while the context is entered; not to be entered twice at a time.

    A class and no generator, for it is entered tens of thousands of times.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._seconds += time.thread_time() - self._started

    def take(self) -> float:
        """Return the seconds counted, and begin anew."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class Meter:
    """Counts for one worker.

    Parameters
    ----------
    progress : Progress
        Is told of objects and pixels at once, and of time by `report`.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stages = {name: Stage() for name in STAGES}

    def stage(self, name: str) -> Stage:
        """Count the CPU time of this thread for a stage, as long as its context lasts."""
        return self._stages[name]

    def computed(self, pixels: int) -> None:
        """Tell that pixels of the finest level are done."""
        self._progress.computed(pixels)

    def stored(self, size: int) -> None:
        """Tell that an object was written."""
        self._progress.stored(size)

    def report(self) -> None:
        """Tell what the stages took since the last report."""
        self._progress.spent({name: stage.take() for name, stage in self._stages.items()})
