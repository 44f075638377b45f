"""Compiled loops, from when they are there: until then, and where they cannot be had, NumPy does the same.

A service answers its first tile before the compiler's library would have been imported.
"""

from __future__ import annotations

import importlib
import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

_LOG = logging.getLogger(__name__)


@dataclass
class _State:
    kernels: Any = None
    thread: threading.Thread | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_STATE = _State()


def kernels() -> Any:
    """Return the module `tiler.kernels`; None where it has not been loaded."""
    return _STATE.kernels


def load() -> ModuleType | None:
    """Load the loops, now; returns None where that fails, which costs nothing but pace."""
    try:
        _STATE.kernels = importlib.import_module("tiler.kernels")
    except Exception as error:  # noqa: BLE001 - whatever keeps numba or its cache from working here
        _LOG.warning("loops are not compiled, and tiles take longer: %s: %s", type(error).__name__, error)
    return _STATE.kernels  # type: ignore[no-any-return]


def load_soon() -> threading.Thread:
    """Have a thread load the loops, once in a process; returns it."""
    with _STATE.lock:
        if _STATE.thread is None:
            _STATE.thread = threading.Thread(target=load, name="compiled")
            _STATE.thread.start()
        return _STATE.thread
