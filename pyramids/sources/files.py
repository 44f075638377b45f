"""Files that a source is read from: whether they are as they were, and what a library says of one that is damaged."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError, GenericError

from geozarr import answers, stores
from geozarr.errors import GeoZarrError, SourceChangedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_REASON = 200  # characters of what a library says of a damaged file
# What xarray, zarr-python and what is below them raise for a file that is damaged, or none of what it seems.
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, IndexError, NotImplementedError)

State = tuple[tuple[int, int] | None, ...]


def state_of(files: Sequence[str]) -> State:
    """Size and time of files; None for one that is virtual or remote, of which that is not looked up here."""
    found: list[tuple[int, int] | None] = []
    for name in files:
        try:
            status = os.stat(name)  # noqa: PTH116 - a plain string: this is called with each read
        except (OSError, ValueError):
            found.append(None)
        else:
            found.append((status.st_size, status.st_mtime_ns))
    return tuple(found)


def fingerprint_of(files: Sequence[str], state: State) -> str:
    """Name, size and time of a file, of a remote one as its server says; of several a hash of those of all.

    A remote file costs one request for its head. Where the server says nothing of it, its name is all there is.

    Raises
    ------
    StoreError
        If a server fails again and again.
    """
    texts = [
        f"{name} {_remote_state(name)}".strip() if known is None else f"{Path(name).name} {known[0]} {known[1]}"
        for name, known in zip(files, state, strict=True)
    ]
    if len(texts) == 1:
        return texts[0]
    return f"{Path(files[0]).name} and {len(files) - 1} more {hashlib.sha256(repr(texts).encode()).hexdigest()[:16]}"


def require_same(files: Sequence[str], state: State) -> None:
    """Refuse to go on with files that are not as they were when they were opened; costs a microsecond or two.

    Raises
    ------
    SourceChangedError
        If one of them differs in size or time, or is gone.
    """
    now = state_of(files)
    if now != state:
        raise SourceChangedError(files[0], before=fingerprint_of(files, state), now=fingerprint_of(files, now))


@contextlib.contextmanager
def opening(name: str) -> Iterator[None]:
    """Turn what libraries raise for a damaged file into a `StoreError` with the first line of what they say."""
    try:
        yield
    except GeoZarrError:
        raise
    except _DAMAGED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError("open", name, reason=reason[:_REASON]) from error


def _remote_state(name: str) -> str:
    """Ask a server for size and tag or time of a file; "" where it is no plain URL, or the server does not say."""
    parts = urlsplit(name)
    folder, _, last = parts.path.rpartition("/")
    if not parts.scheme or not parts.netloc or parts.query or not last:
        return ""
    try:
        store = stores.open_url(f"{parts.scheme}://{parts.netloc}{folder}")
    except (BaseError, GeoZarrError, OSError, ValueError):
        return ""
    try:
        head = store.head(unquote(last))
    except StoreError as error:
        if isinstance(error.__cause__, GenericError) and answers.is_passing(error.__cause__):
            raise  # it was tried again and again
        return ""
    return "" if head is None else f"{head.size} {head.tag or head.changed.isoformat()}"
