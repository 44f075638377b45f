"""Verdicts on readers: what one does with a store, which requirement decides it, and what is lost."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from conformance.report import Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conformance.context import Context
    from conformance.readers.subject import Subject
    from conformance.report import Fault


class Outcome(StrEnum):
    """What comes of opening a store: all a reader can do; less than that; an error, a crash, or the wrong place."""

    OPENS = "opens"
    DEGRADES = "degrades"
    FAILS = "fails"


class Loss(StrEnum):
    """What a reader may not get of a store though it opens it, or can never get of any."""

    CRS = "CRS"
    PLACE = "placement"
    VALUES = "values"
    NODATA = "nodata"
    LEVELS = "overviews"
    ALIGNMENT = "alignment of coarser levels"
    PACKING = "scale and offset"


@dataclass(frozen=True)
class Condition:
    """Something a reader needs, and what happens without it.

    Parameters
    ----------
    rule : str
        Number of the requirement that decides it, such as "RD-01".
    title : str
        What the reader does, in one line.
    check : callable
        Takes the `Context` of a store and a `Subject`; yields what in the documents makes it happen.
    loses : Loss or None
        What is lost; None where the reader fails.
    """

    rule: str
    title: str
    check: Callable[[Context, Subject], Iterator[Fault]]
    loses: Loss | None = None

    @property
    def outcome(self) -> Outcome:
        """What comes of it."""
        return Outcome.FAILS if self.loses is None else Outcome.DEGRADES

    def to_rule(self, reader: str, subjects: Callable[[Context], tuple[Subject, ...]]) -> Rule:
        """Make a rule of it that the checker runs: an error where the reader fails, a warning where it degrades."""

        def check(context: Context) -> Iterator[Fault]:
            for subject in subjects(context):
                yield from self.check(context, subject)

        severity = Severity.ERROR if self.outcome is Outcome.FAILS else Severity.WARNING
        return Rule(self.rule, f"reader {reader}", self.title, check, severity)


@dataclass(frozen=True)
class Reader:
    """What is known of a reader.

    Parameters
    ----------
    name, version : str
        As its users call it; the version that this was observed with.
    conditions : tuple of Condition
        All that decides what it does with a store.
    lacks : frozenset of Loss
        What it never gets of any store; no verdict holds that against a store.
    codecs : frozenset of str
        Codecs it decodes.
    remark : str
        What a user should know besides.
    """

    name: str
    version: str
    conditions: tuple[Condition, ...]
    codecs: frozenset[str]
    lacks: frozenset[Loss] = frozenset()
    remark: str = ""


@dataclass(frozen=True)
class Reason:
    """Why: the requirement, what the reader does, and the first place in the documents that makes it do so."""

    rule: str
    title: str
    fault: Fault
    loses: Loss | None


@dataclass(frozen=True)
class Verdict:
    """What a reader does with one variable of a store.

    Parameters
    ----------
    reader, version : str
        Which.
    subject : str
        Path of the variable: of a pyramid that at its finest level.
    outcome : Outcome
        What comes of opening it.
    reasons : tuple of Reason
        Of anything but `OPENS`, each rule once; where the reader fails, only those that make it fail.
    codecs : tuple of str
        Codecs of the variable that the reader does not decode.
    lacks : tuple of Loss
        What the variable has and the reader never gets of any store.
    """

    reader: str
    version: str
    subject: str
    outcome: Outcome
    reasons: tuple[Reason, ...]
    codecs: tuple[str, ...] = ()
    lacks: tuple[Loss, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """Requirements that decide it."""
        return tuple(dict.fromkeys(reason.rule for reason in self.reasons))

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What is lost of a store that opens."""
        lost = {reason.loses for reason in self.reasons}
        return tuple(loss for loss in Loss if loss in lost)
