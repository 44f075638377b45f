"""How far the builds of a target have come, told by what they have left there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geozarr import store as store_module
from geozarr.errors import UnsupportedError
from geozarr.stores import Transaction
from pyramids import claim, journal, lease, plan, publish

if TYPE_CHECKING:
    from geozarr.store import StoreLike


@dataclass(frozen=True)
class BuildStatus:
    """One build of a target.

    Parameters
    ----------
    build : str
        Its name.
    state : str
        "published", "former" (readers see another) or "unfinished".
    source : str
        What it is built from.
    work, covered : int
        Pixels of the finest level to do, over all slices, and those that its journal says are done.
    objects, size : int
        Objects and bytes that the journal has.
    rate : float
        Pixels a second in its last run; 0 where nothing is known.
    """

    build: str
    state: str
    source: str
    work: int
    covered: int
    objects: int
    size: int
    rate: float

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at that rate; None where there is no rate."""
        return (self.work - self.covered) / self.rate if self.rate else None


@dataclass(frozen=True)
class Status:
    """The builds of a target.

    Parameters
    ----------
    builder : str or None
        Who is building now.
    builds : tuple of BuildStatus
        By name; those whose plan cannot be read are left out.
    """

    builder: str | None
    builds: tuple[BuildStatus, ...]


def status(target: StoreLike) -> Status:
    """Look at a target; nothing is written.

    Raises
    ------
    StoreError
        If it cannot be read.
    UnsupportedError
        If another version has left a build there, or the target shows nothing of a build before it is committed.
    """
    store = store_module.open_store(target)
    if isinstance(store, Transaction):
        raise UnsupportedError(f"the status of builds in {store.location}", "they show nothing before their one commit")
    found = claim.look(store)
    builds = []
    for name, document in sorted(found.begun.items()):
        if not document:
            continue
        planned = plan.from_document(document)
        ledger = journal.Ledger.read(journal.segments(store, publish.build_folder(name)))
        # A journal is left by what was not published, or by what was mended since.
        state = "published" if name == found.current else "unfinished" if ledger.segments else "former"
        covered = ledger.covered if state == "unfinished" else planned.work
        builds.append(
            BuildStatus(
                name,
                state,
                planned.source.name,
                planned.work,
                covered,
                ledger.objects,
                ledger.size,
                ledger.rate,
            )
        )
    holder = lease.holder(store)
    return Status(holder.owner if holder else None, tuple(builds))
