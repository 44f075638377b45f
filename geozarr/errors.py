"""Every exception this project raises on purpose, one type for each thing a caller can do about it.

The fields are attributes, so that the tile service and the checker never match message texts. A message says
where, what was found and what was expected.
"""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_E = TypeVar("_E", bound="GeoZarrError")


class GeoZarrError(Exception):
    """Root of all errors raised on purpose."""

    def __str__(self) -> str:
        # Names and values that are quoted come from strangers: a message stays on its line, in a log as on a terminal.
        return _printable(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is unpickled as type(*args), which the keyword-only fields below would refuse; a worker process
        # that raises one would then break its pool instead of reporting it.
        return _restored, (type(self), self.args, self.__dict__.copy())


class MetadataError(GeoZarrError):
    """A document or a source states something that is missing, malformed or contradictory.

    The caller can mend that one field.

    Parameters
    ----------
    node : str
        Path of the node, or name of the source, that holds the field.
    key : str
        The field.
    found : object
        What stands there; None where it is missing.
    expected : str
        What should stand there.
    """

    def __init__(self, node: str, key: str, *, found: object, expected: str) -> None:
        self.node = node
        self.key = key
        self.found = found
        self.expected = expected
        super().__init__(f"{node}: {key}: found {_shown(found)}, expected {expected}")


class SeveralGridsError(MetadataError):
    """Variables of a source lie on several grids, and one is expected.

    The caller can choose variables of one grid, or take one grid after the other.

    Parameters
    ----------
    node : str
        Name of the source.
    grids : mapping of str to sequence of str
        Names of the variables of each grid, by its axes.
    quirks : sequence, optional
        What was put right on the way there.
    """

    def __init__(self, node: str, grids: Mapping[str, Sequence[str]], quirks: Sequence[Any] = ()) -> None:
        self.grids = tuple(map(tuple, grids.values()))
        self.quirks = tuple(quirks)
        found = {axes: list(names) for axes, names in grids.items()}
        super().__init__(node, "variables", found=found, expected="variables of one grid: choose some")


class UnsupportedError(GeoZarrError):
    """The input is legal but asks for something that is not built here.

    The caller can convert the input, or choose another option.

    Parameters
    ----------
    feature : str
        What is not supported.
    reason : str
        Why, and what is supported instead.
    """

    def __init__(self, feature: str, reason: str) -> None:
        self.feature = feature
        self.reason = reason
        super().__init__(f"{feature} is not supported: {reason}")


class GroomingError(GeoZarrError):
    """A source would have to be put right before a pyramid is built from it, and nothing may be.

    The caller can mend the source, or allow it.

    Parameters
    ----------
    source : str
        Its name.
    quirks : tuple of str
        What would have to be done, item by item.
    """

    def __init__(self, source: str, quirks: tuple[str, ...]) -> None:
        self.source = source
        self.quirks = quirks
        more = f" (and {len(quirks) - 1} more)" if len(quirks) > 1 else ""
        super().__init__(f"{source} needs grooming, which strict forbids: {quirks[0]}{more}")


class ParameterError(GeoZarrError):
    """An argument, option or request parameter is out of its range.

    The caller can correct the argument.

    Parameters
    ----------
    parameter : str
        Name of the argument as the caller wrote it.
    found : object
        The value given.
    expected : str
        The values allowed.
    """

    def __init__(self, parameter: str, *, found: object, expected: str) -> None:
        self.parameter = parameter
        self.found = found
        self.expected = expected
        super().__init__(f"{parameter}: found {_shown(found)}, expected {expected}")


class UnknownNameError(GeoZarrError):
    """A name is looked up that does not exist.

    The caller can pick one of the known names.

    Parameters
    ----------
    kind : str
        What was looked up: "TileMatrixSet", "variable", "dataset" ...
    name : str
        The name asked for.
    known : tuple of str
        The names that exist.
    """

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        self.kind = kind
        self.name = name
        self.known = known
        shown = ", ".join(known[:_NAMES_SHOWN]) or "none"
        more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
        super().__init__(f"unknown {kind} {_shown(name)}; known: {shown}{more}")


class GridMismatchError(GeoZarrError):
    """Two grids, or a grid and an array, that must agree do not.

    Parameters
    ----------
    what : str
        The property that differs.
    found, expected : object
        The two values.
    """

    def __init__(self, what: str, *, found: object, expected: object) -> None:
        self.what = what
        self.found = found
        self.expected = expected
        super().__init__(f"{what}: found {_clipped(str(found))}, expected {_clipped(str(expected))}")


class TileOutsideLimitsError(GeoZarrError):
    """A tile lies outside the tile matrix or outside the limits of a dataset.

    Parameters
    ----------
    tile : tuple of (str, int, int)
        Tile matrix id, tile row, tile column.
    limits : object
        The limits it was compared with (`geozarr.tms.TileLimits`), or None where the matrix is not served at all.
    """

    def __init__(self, tile: tuple[str, int, int], limits: object) -> None:
        self.tile = tile
        self.limits = limits
        matrix, row, col = tile
        super().__init__(f"tile {matrix}/{row}/{col} (matrix/row/column) is outside {limits or 'the matrices served'}")


class TargetExistsError(GeoZarrError):
    """The target of a build holds something already.

    The caller can choose another target or, if it is a pyramid of ours, allow it to be replaced.

    Parameters
    ----------
    target : str
        Where.
    found : str
        What is there.
    expected : str
        What would be accepted.
    """

    def __init__(self, target: str, *, found: str, expected: str) -> None:
        self.target = target
        self.found = found
        self.expected = expected
        super().__init__(f"{target}: found {found}, expected {expected}")


class ChunkReadError(GeoZarrError):
    """A block of a source, or a chunk of a store, cannot be read. Always raised `from` its cause.

    Parameters
    ----------
    array : str
        Path of the array, or name of the source.
    chunk : str
        The chunk's key, or the window.
    """

    def __init__(self, array: str, chunk: str, reason: str = "cannot be read or decoded") -> None:
        self.array = array
        self.chunk = chunk
        self.reason = reason
        super().__init__(f"{array}: chunk {chunk} {reason}")


class LimitError(GeoZarrError):
    """Something is larger than a limit that protects memory or time.

    The caller can raise the limit knowingly, or refuse the input.

    Parameters
    ----------
    limit : str
        Name of the limit and its unit.
    allowed, found : float
        The bound and what was met, in the limit's unit.
    """

    def __init__(self, limit: str, *, allowed: float, found: float) -> None:
        self.limit = limit
        self.allowed = allowed
        self.found = found
        super().__init__(f"{limit}: found {found:,}, allowed {allowed:,}")


class SourceChangedError(GeoZarrError):
    """A source is not what it was when the build was planned. Nothing has been published.

    The caller can start a new build.

    Parameters
    ----------
    source : str
        Name of the source.
    before, now : str
        Its fingerprints.
    """

    def __init__(self, source: str, *, before: str, now: str) -> None:
        super().__init__(f"{source} changed while it was read: it was {before}, and is {now}")
        self.source = source
        self.before = before
        self.now = now


class PlanChangedError(GeoZarrError):
    """A build was begun with other parameters. Nothing has been touched.

    The caller can resume with the old value, or start a new build.

    Parameters
    ----------
    field : str
        What differs.
    before, now : object
        The two values.
    """

    def __init__(self, field: str, *, before: object, now: object) -> None:
        self.field = field
        self.before = before
        self.now = now
        super().__init__(f"{field} was {_shown(before)} when the build was begun, and is {_shown(now)}")


class BuildConflictError(GeoZarrError):
    """Another builder is at work on the target. Nothing has been written.

    The caller can wait, or take over a lease that has expired.

    Parameters
    ----------
    target : str
        Where.
    owner : str
        Who is at work.
    since : str
        When that began, ISO 8601.
    """

    def __init__(self, target: str, *, owner: str, since: str) -> None:
        self.target = target
        self.owner = owner
        self.since = since
        super().__init__(f"{target}: {owner} is building here since {since}")


class CommitConflictError(BuildConflictError):
    """Somebody has committed to the branch while a build was under way. What they wrote stays as it is.

    The caller can build again, or put a branch on the snapshot that was kept.

    Parameters
    ----------
    target : str
        Where.
    branch : str
        Which branch.
    snapshot : str
        What was committed meanwhile.
    since : str
        When, ISO 8601.
    kept : str
        Snapshot that holds what was built; no branch leads to it.
    """

    def __init__(self, target: str, *, branch: str, snapshot: str, since: str, kept: str) -> None:
        super().__init__(target, owner=f"snapshot {snapshot} of branch {branch}", since=since)
        self.branch = branch
        self.snapshot = snapshot
        self.kept = kept
        self.args = (
            f"{target}: branch {branch} has got snapshot {snapshot} at {since} while this was built; "
            f"the build is kept as snapshot {kept}, which no branch leads to",
        )


class BuildIncompleteError(GeoZarrError):
    """A build has ended before all of its parts were done. What was done is kept.

    The caller can resume the build.

    Parameters
    ----------
    missing : str
        What is not done.
    """

    def __init__(self, missing: str) -> None:
        self.missing = missing
        super().__init__(f"the build is not complete: {missing}; resume it")


class StoreError(GeoZarrError):
    """A store refuses an operation. Always raised `from` its cause.

    The caller can free space or mend access, and try again.

    Parameters
    ----------
    operation : str
        "open", "get", "put", "list", "delete" or "sync".
    key : str
        Key of the object.
    attempts : int
        How often it was tried.
    reason : str
        What the store has answered, on one line; empty where the cause says it.
    """

    def __init__(self, operation: str, key: str, attempts: int = 1, *, reason: str = "") -> None:
        self.operation = operation
        self.key = key
        self.attempts = attempts
        self.reason = reason
        super().__init__(f"cannot {operation} {key!r} (tried {attempts} x)" + (f": {reason}" if reason else ""))


def cause_in_words(error: GeoZarrError) -> str:
    """Return what the library below an error said, where that adds something; else nothing."""
    cause: BaseException = error
    while cause.__cause__ is not None and not (isinstance(cause, StoreError) and cause.reason):
        cause = cause.__cause__
    is_told = cause is error or (isinstance(cause, GeoZarrError) and not isinstance(cause, StoreError))
    return "" if is_told else str(cause)


def in_one_line(error: GeoZarrError) -> str:
    """Return the type of an error and what it and the library below it say, on one line of bounded length."""
    cause = " ".join(cause_in_words(error)[:_CAUSE_SHOWN].split())
    return ": ".join(filter(None, (type(error).__name__, str(error), _printable(cause))))


_CAUSE_SHOWN = 300  # characters
_NAMES_SHOWN = 40  # more than any registry of tile matrix sets or usual scene has; a message stays readable
_TEXT_SHOWN = 120  # characters of a found value


def _shown(value: Any) -> str:
    """Render a found value on one line of bounded length."""
    if value is None:
        return "nothing"
    bounded = reprlib.Repr()  # bounds depth and cost as well: the value may be a hostile document of megabytes
    bounded.maxstring = bounded.maxother = bounded.maxlong = _TEXT_SHOWN
    bounded.maxlist = bounded.maxtuple = bounded.maxdict = 12
    bounded.maxlevel = 4
    return _clipped(bounded.repr(value))


def _printable(text: str) -> str:
    """Escape what is no visible character: line ends, the sequences that steer terminals, halves of UTF-16 pairs."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _clipped(text: str) -> str:
    return text if len(text) <= _TEXT_SHOWN else text[: _TEXT_SHOWN - 3] + "..."


def _restored(kind: type[_E], args: tuple[Any, ...], fields: dict[str, Any]) -> _E:
    """Unpickle an error without calling its constructor."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error
