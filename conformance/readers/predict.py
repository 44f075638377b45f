"""From conditions to verdicts: each reader on each variable of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance import reading
from conformance.context import Context
from conformance.readers import browsers, gdal, needs, rio_tiler, xarrays
from conformance.readers import subject as subjects
from conformance.readers.verdict import Loss, Outcome, Reason, Verdict
from conformance.report import Depth
from geozarr import store as geozarr_store

if TYPE_CHECKING:
    from conformance.readers.subject import Subject
    from conformance.readers.verdict import Reader
    from conformance.report import Rule
    from conformance.tree import Node
    from geozarr.store import StoreLike

READERS: dict[str, Reader] = {
    reader.name: reader for reader in (*gdal.READERS, *xarrays.READERS, *rio_tiler.READERS, *browsers.READERS)
}


def report_readers(store: StoreLike) -> tuple[Verdict, ...]:
    """Tell what every reader does with every variable of a store, from its documents alone.

    Stores of Zarr v2 have other rules of missing values, and were not tried on readers: they get no verdict.

    Parameters
    ----------
    store : str, Path or obstore store
        Where it is.

    Returns
    -------
    tuple of Verdict
        By variable, then by reader.

    Raises
    ------
    StoreError
        If the store cannot be opened or read.
    MetadataError
        If it has no root document.
    LimitError
        If it has more nodes, or deeper groups, than any pyramid.
    """
    opened = geozarr_store.open_store(store)
    context = Context(reading.read(opened), opened, Depth.METADATA)
    found = subjects.find(context)
    return tuple(judge(context, subject, reader) for subject in found for reader in READERS.values())


def predict(context: Context, reader: Reader) -> tuple[Verdict, ...]:
    """Tell what one reader does with every variable of a store.

    Parameters
    ----------
    context : Context
        Of the store; values that have been reported are taken as they stand.
    reader : Reader
        Which.

    Returns
    -------
    tuple of Verdict
        One a variable.
    """
    return tuple(judge(context, subject, reader) for subject in subjects.find(context))


def judge(context: Context, subject: Subject, reader: Reader) -> Verdict:
    """Tell what one reader does with one variable; where it fails, what it would lose besides is left out."""
    reasons = []
    for condition in reader.conditions:
        fault = next(condition.check(context, subject), None)
        if fault is not None and condition.loses not in reader.lacks:
            reasons.append(Reason(condition.rule, condition.title, fault, condition.loses))
    fatal = [reason for reason in reasons if reason.loses is None]
    finest = subject.finest(context)
    return Verdict(
        reader=reader.name,
        version=reader.version,
        subject=finest.path,
        outcome=Outcome.FAILS if fatal else Outcome.DEGRADES if reasons else Outcome.OPENS,
        reasons=tuple(fatal or reasons),
        codecs=tuple(sorted(needs.unknown(context, finest, reader.codecs))),
        lacks=tuple(loss for loss in Loss if loss in reader.lacks and _has(loss, finest, subject)),
    )


def rules(reader: Reader) -> tuple[Rule, ...]:
    """Make rules of a reader's conditions, for a profile of the checker."""
    return tuple(condition.to_rule(reader.name, subjects.find) for condition in reader.conditions)


def _has(loss: Loss, finest: Node, subject: Subject) -> bool:
    """Tell whether a variable has what a reader lacks."""
    if loss is Loss.LEVELS:
        return len(subject.arrays) > 1
    if loss is Loss.PACKING:
        return any(key in finest.attributes for key in ("scale_factor", "add_offset"))
    return True
