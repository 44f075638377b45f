"""The lease on a target: one builder at a time.

Leases are numbered. Whoever creates the next number, in a put that fails where there is an object already, has the
target: that needs nothing of a store but such puts, and two that try at once cannot both succeed. A lease is renewed
every minute and runs out ten minutes after; an expired one is superseded by the next number, and its owner notices
before it publishes. The random id tells one's own lease, whose put was answered by nobody, from another's.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import secrets
import threading
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from geozarr.errors import BuildConflictError, GeoZarrError, MetadataError, UnsupportedError
from geozarr.manifest import BUILDS
from geozarr.store import decode_document, encode_document, join
from geozarr.stores import Sweepable
from pyramids.writers import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable

    from geozarr.stores import Store

LASTS = 600.0  # seconds; FAULTS.md section 6
RENEWED = 60.0  # seconds between renewals
FOLDER = join(BUILDS, "lease")

# Leases that this process holds: one that names this process and is not among them was left by a run that died.
_held: set[str] = set()


@dataclass(frozen=True)
class Terms:
    """What a lease says.

    Parameters
    ----------
    owner : str
        Who, for people.
    host, boot, process
        Which process on which machine since which start of it.
    write_id : str
        Random.
    since : str
        When it was taken, ISO 8601.
    until : float
        When it runs out, seconds since the epoch.
    is_halted : bool
        Workers should stop: the build has failed or was interrupted.
    """

    owner: str
    host: str
    boot: str
    process: int
    write_id: str
    since: str
    until: float
    is_halted: bool = False

    def is_over(self, now: float) -> bool:
        """Tell whether nobody builds under it any more."""
        return now >= self.until or self.is_dead()

    def is_dead(self) -> bool:
        """Tell whether its owner was a process of this machine that has ended."""
        if (self.host, self.boot) != (platform.node(), _boot()):
            return False
        if self.process == os.getpid():
            return self.write_id not in _held
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


@dataclass(frozen=True)
class Ticket:
    """What a worker knows of the lease under which it works.

    Parameters
    ----------
    number : int
        Number of the lease.
    write_id : str
        Its random id.
    """

    number: int
    write_id: str

    def is_valid(self, store: Store) -> bool:
        """Tell whether the build goes on: its lease is there, and nobody has halted it or let it run out.

        Clocks of machines differ: a lease counts for as long again as it lasts.

        Raises
        ------
        StoreError
            If the store fails.
        """
        terms = _read(store, self.number)
        if terms is None or terms.write_id != self.write_id or terms.is_halted:
            return False
        return time.time() < terms.until + LASTS and not terms.is_dead()


def _boot() -> str:
    """Tell one start of a machine, or one container on it, from another."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - no path of ours
            boot = file.read().strip()
        return f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116 - no path of ours
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return str(os.getuid())


class Lease:
    """A lease that is held while the context is entered.

    Parameters
    ----------
    store : Store
        The target.
    clock : callable
        Tells seconds since the epoch.

    Raises
    ------
    BuildConflictError
        On entering, if somebody else holds the target.
    UnsupportedError
        On entering, if the store does not know puts that only create.
    StoreError
        If the store fails.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._number = 0
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._renewal = threading.Thread(target=self._keep, name="lease", daemon=True)
        since = datetime.fromtimestamp(clock(), UTC).isoformat(timespec="seconds")
        owner = f"{_user()}@{platform.node()} (process {os.getpid()})"
        self._terms = Terms(owner, platform.node(), _boot(), os.getpid(), secrets.token_hex(8), since, clock() + LASTS)

    def __enter__(self) -> Self:
        latest, terms = _latest(self._store)
        if terms is not None and not terms.is_over(self._clock()):
            raise BuildConflictError(self._store.location, owner=terms.owner, since=terms.since)
        number = latest + 1
        if self._store.put(_key(number), self._bytes(), create=True):
            self._require_exclusive(number)
        else:
            there = _read(self._store, number)
            # A put that was tried again, because nobody answered, finds what it has written itself.
            if there is None or there.write_id != self._terms.write_id:
                owner = "somebody" if there is None else there.owner
                raise BuildConflictError(self._store.location, owner=owner, since="" if there is None else there.since)
        self._number = number
        _held.add(self._terms.write_id)
        self._renewal.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the target back; a store that fails now keeps it until the lease runs out."""
        _held.discard(self._terms.write_id)
        self._ended.set()
        self._renewal.join()
        try:
            if self._is_mine():
                # Not those above: whoever has one took over from us since.
                for number in _numbers(self._store):
                    if number <= self._number:
                        self._store.delete(_key(number))
        except GeoZarrError:
            return

    @property
    def ticket(self) -> Ticket:
        """What workers know of it."""
        return Ticket(self._number, self._terms.write_id)

    def halt(self) -> None:
        """Tell workers on other machines to stop; a store that fails now lets them go on to their next unit."""
        with self._writing, contextlib.suppress(GeoZarrError):
            self._terms = replace(self._terms, is_halted=True)
            self._store.put(_key(self._number), self._bytes())

    def _require_exclusive(self, number: int) -> None:
        """Refuse a store that creates what it has already: one that passes over what it does not know."""
        if not is_remote(self._store) or not self._store.put(_key(number), self._bytes(), create=True):
            return
        with contextlib.suppress(GeoZarrError):
            self._store.delete(_key(number))
        reason = f"{self._store.location} replaces the object instead, and two builders could not be kept apart"
        raise UnsupportedError("a put that only creates (If-None-Match: *)", reason)

    def check(self) -> None:
        """Make sure that nobody has taken the target over.

        Raises
        ------
        BuildConflictError
            If somebody has.
        StoreError
            If the store fails.
        """
        if not self._is_mine():
            _, terms = _latest(self._store)
            owner, since = (terms.owner, terms.since) if terms else ("somebody", "")
            raise BuildConflictError(self._store.location, owner=owner, since=since)

    def _is_mine(self) -> bool:
        mine = _read(self._store, self._number)
        return (
            mine is not None and mine.write_id == self._terms.write_id and _read(self._store, self._number + 1) is None
        )

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED):
            try:
                if not self._is_mine():
                    return
                with self._writing:
                    self._terms = replace(self._terms, until=self._clock() + LASTS)
                    self._store.put(_key(self._number), self._bytes())
            except GeoZarrError:
                continue  # nine more times before it runs out; `check` speaks before anything is published

    def _bytes(self) -> bytes:
        return encode_document(asdict(self._terms))


def _numbers(store: Store) -> list[int]:
    return sorted(int(item.key.rpartition("/")[2].removesuffix(".json")) for item in store.listed(FOLDER))


def _latest(store: Store) -> tuple[int, Terms | None]:
    """Read the latest lease, with its number; 0 and None where there is none."""
    latest = max(_numbers(store), default=0)
    return latest, _read(store, latest)


def _read(store: Store, number: int) -> Terms | None:
    found = store.get(_key(number)) if number else None
    return None if found is None else _terms_of(found.data)


def _key(number: int) -> str:
    return join(FOLDER, f"{number:06d}.json")


def _terms_of(data: bytes) -> Terms | None:
    """Read a lease; None where it says nothing, as after the machine died with it half on the disk."""
    try:
        document: dict[str, Any] = decode_document(data, node=FOLDER, key="lease")
        return Terms(**document)
    except (MetadataError, TypeError):
        return None


def sweep(store: Store) -> None:
    """Delete what puts that died have left, where a store does not do so itself; for whoever holds the target.

    Raises
    ------
    StoreError
        If the store fails.
    """
    if isinstance(store, Sweepable):
        store.sweep(spare=FOLDER)  # somebody may be trying to get the lease


def holder(store: Store, *, now: float | None = None) -> Terms | None:
    """Tell who holds a target; None where nobody does."""
    _, terms = _latest(store)
    return None if terms is None or terms.is_over(time.time() if now is None else now) else terms
