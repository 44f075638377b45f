"""Clean-up: deletes what builds have left that no reader sees, once nobody can be reading it any more.

A former build is what readers saw before the one that they see now. Somebody may have read the root document just
before it was replaced, so it stays for a time of grace. Unfinished builds stay unless they are asked for: they can be
gone on with.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geozarr import manifest
from geozarr import store as store_module
from geozarr.errors import TargetExistsError, UnsupportedError
from geozarr.manifest import BUILDS, PLAN
from geozarr.store import join
from geozarr.stores import Transaction
from pyramids import claim, lease, publish, roots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geozarr.store import StoreLike
    from geozarr.stores import Store

LEASES = lease.FOLDER.rpartition("/")[2]
GRACE = 24 * 3600.0  # seconds


@dataclass(frozen=True)
class Leftover:
    """What one build has left, or a published one needs no more.

    Parameters
    ----------
    build : str
        Name of the build.
    state : str
        "former", "unfinished", or "published": what the last one has of its work only.
    objects, size : int
        Objects and bytes.
    wait : float
        Seconds until it may go; 0 where it may now.
    """

    build: str
    state: str
    objects: int
    size: int
    wait: float


def clean(
    target: StoreLike,
    *,
    grace: float = GRACE,
    unfinished: bool = False,
    dry_run: bool = False,
    now: float | None = None,
) -> list[Leftover]:
    """Delete what readers do not see, and what a build that is published needs no more.

    Parameters
    ----------
    target : str, Path, obstore store or Store
        Where pyramids were built.
    grace : float
        Seconds for which a former build stays after it was replaced.
    unfinished : bool
        Unfinished builds go too, and cannot be resumed then.
    dry_run : bool
        Only tell.
    now : float, optional
        Seconds since the epoch; by default, now.

    Returns
    -------
    list of Leftover
        What there was; all of it with `wait` 0 is deleted, unless `dry_run`.

    Raises
    ------
    TargetExistsError
        If the target is none of ours.
    UnsupportedError
        If it keeps former states itself.
    BuildConflictError
        If somebody is building there.
    StoreError
        If the store fails.
    MetadataError
        If the root document is malformed.
    """
    store = store_module.open_store(target)
    if isinstance(store, Transaction):
        raise UnsupportedError(f"cleaning {store.location}", "its own tools expire snapshots that are not wanted")
    claim.require_ours(store)
    if dry_run:
        return [leftover for leftover, _ in _leftovers(store, grace, unfinished, now)]
    with lease.Lease(store) as held:
        lease.sweep(store)
        found = list(_leftovers(store, grace, unfinished, now))
        roots.settle(store)
        for leftover, keys in found:
            if leftover.wait <= 0:
                held.check()
                publish.delete_in_order(store, keys, last=_marks(leftover.build))
    return [leftover for leftover, _ in found]


def _leftovers(store: Store, grace: float, unfinished: bool, now: float | None) -> Iterator[tuple[Leftover, list[str]]]:
    """Find what is left, with its keys."""
    found = claim.look(store)
    if found.has_root and found.current is None:
        raise TargetExistsError(store.location, found="a pyramid without its build", expected="one of this tool")
    names = [name for name in store.children(BUILDS) if name != LEASES]
    moments = {name: _published(store, name, is_current=name == found.current) for name in names}
    groups = {name: manifest.groups_of(found.begun.get(name)) for name in names}
    mine = groups.get(found.current or "", frozenset())
    for name in names:
        folder = publish.build_folder(name)
        if name == found.current:
            parts, state, wait = publish.work_folders(name), "published", 0.0
        else:
            moment = moments[name]
            state = "unfinished" if moment is None else "former"
            if state == "unfinished" and not unfinished:
                continue
            # The build that readers see must never lose a group, whatever two plans say.
            parts = [*sorted(groups[name] - mine), folder]
            wait = 0.0 if moment is None else _replaced(moment, moments) + grace - (now or time.time())
        items = [item for part in parts for item in store.listed(part)]
        if items:
            size = sum(item.size for item in items)
            yield Leftover(name, state, len(items), size, max(0.0, wait)), [item.key for item in items]


def _marks(name: str) -> list[str]:
    """List what goes last, so that what is half deleted is still known for what it is."""
    return [join(publish.build_folder(name), part) for part in (PLAN, publish.PUBLISHED)]


def _published(store: Store, name: str, *, is_current: bool) -> float | None:
    """Tell when a build was published, in seconds since the epoch; None where it never was.

    The note of the time is stored just before the root document; a journal is left by what died in between.
    """
    if not is_current and any(True for part in publish.work_folders(name) for _ in store.listed(part)):
        return None
    try:
        return float(publish.remarks_of(store, name)["published"])
    except (KeyError, TypeError, ValueError):
        return None


def _replaced(moment: float, moments: dict[str, float | None]) -> float:
    """Tell when a build that was published at a moment was replaced: when the next one was."""
    return min((other for other in moments.values() if other is not None and other > moment), default=moment)
