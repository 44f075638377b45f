"""Memory that is used again: arrays of a worker by name, and workers' sets of them.

A fresh array of some megabytes costs more in page faults than the arithmetic done in it (measured: 5 of 17 CPU seconds
of a 16384 x 16384 px build). So each worker keeps its arrays from block to block.
"""

from __future__ import annotations

import contextlib
import math
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


class Scratch:
    """Arrays of one worker, by name. A name holds one array at a time: asking again gives the same memory."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}
        self._arrays: dict[str, NDArray[Any]] = {}  # what each name gave last, of whatever shape
        self._kept: dict[Any, tuple[Any, Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any] | type) -> NDArray[Any]:
        """Return an array of whatever values, C-contiguous."""
        last = self._arrays.get(name)
        if last is not None and last.shape == shape and last.dtype == dtype:
            return last
        wanted = np.dtype(dtype)
        size = math.prod(shape) * wanted.itemsize
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(size, np.uint8)
        found = self._arrays[name] = buffer[:size].view(wanted).reshape(shape)
        return found

    def kept(self, key: Any, kind: Any, make: Callable[[], Any]) -> Any:
        """Return what `make()` gave for a key before, as long as it is of the same kind; one thing a key is kept."""
        found = self._kept.get(key)
        if found is None or found[0] != kind:
            self._kept.pop(key, None)
            found = self._kept[key] = (kind, make())
        return found[1]


class BufferPool:
    """Arrays whose memory comes back when the last reference to them is gone, to serve the next one of that size."""

    def __init__(self) -> None:
        self._idle: dict[int, list[bytearray]] = {}

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array of whatever values, C-contiguous. Views keep its memory as it does itself."""
        size = math.prod(shape) * dtype.itemsize
        try:
            buffer = self._idle[size].pop()  # one step of the interpreter, so that no two threads get the same
        except (KeyError, IndexError):
            buffer = bytearray(size)
        # Views have this array for their base, and not the buffer: numpy looks behind arrays alone.
        owner: NDArray[Any] = np.frombuffer(buffer, dtype)
        weakref.finalize(owner, self._idle.setdefault(size, []).append, buffer).atexit = False
        return owner.reshape(shape)

    def clear(self) -> None:
        """Forget the memory that nobody uses."""
        self._idle.clear()


@dataclass
class ScratchPool:
    """Sets of arrays that workers take and bring back."""

    _idle: list[Scratch] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Scratch]:
        """Lend a set to one worker."""
        with self._lock:
            scratch = self._idle.pop() if self._idle else Scratch()
        try:
            yield scratch
        finally:
            with self._lock:
                self._idle.append(scratch)
