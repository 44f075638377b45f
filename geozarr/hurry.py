"""Work that may not wait: an event loop does itself what is at hand, and leaves to a thread what is not.

To pass a millisecond's work to a thread and back costs as much again, since threads take turns at the interpreter. What
hurries is refused whatever would have to come from elsewhere: from the network, from a disk, from another thread.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")


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


def each(works: Iterable[Callable[[], T]]) -> list[T]:
    """Do some works, one after the other; in a hurry, tell at once of all that would have to be waited for.

    Raises
    ------
    NotAtHandError
        If this thread may not wait. Its `fetch` waits for what all of them lack.
    """
    if not is_hurrying():
        return [work() for work in works]
    done: list[T] = []
    missing: list[Callable[[], None]] = []
    for work in works:
        try:
            done.append(work())
        except NotAtHandError as error:
            if error.fetch is None:
                raise
            missing.append(error.fetch)
    if missing:
        raise NotAtHandError(partial(_do, missing))
    return done


def _do(works: Iterable[Callable[[], None]]) -> None:
    for work in works:
        work()


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
