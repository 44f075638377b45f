"""Work that may not wait: an event loop does itself what is at hand, and leaves to a thread what is not.

To pass a millisecond's work to a thread and back costs as much again, since threads take turns at the interpreter. What
hurries is refused whatever would have to come from elsewhere: from the network, from a disk, from another thread.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class NotAtHandError(Exception):
    """Something would have to be waited for. No failure: it is asked for again, or by who may wait.

    Parameters
    ----------
    fetch : callable, optional
        Waits for it, in any thread, after which it is at hand for a while; raises nothing. None where it can only be
        asked for anew, without hurry.
    is_for_good : bool
        True where the place can never tell what is at hand.
    """

    def __init__(self, fetch: Callable[[], None] | None = None, *, is_for_good: bool = False) -> None:
        self.fetch = fetch
        self.is_for_good = is_for_good
        super().__init__("not at hand")


class _Here(threading.local):
    is_hurrying = False


_HERE = _Here()


def is_hurrying() -> bool:
    """Tell whether this thread may not wait."""
    return _HERE.is_hurrying


@contextmanager
def hurrying() -> Iterator[None]:
    """Not wait within, in this thread: `NotAtHandError` instead."""
    _HERE.is_hurrying = True
    try:
        yield
    finally:
        _HERE.is_hurrying = False
