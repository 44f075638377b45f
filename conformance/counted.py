"""A store that counts what is asked of it, so that a report can say how much it has read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.read_only import ReadOnlyStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geozarr.stores import Found, Listed, Store


class CountedStore(ReadOnlyStore):
    """A store to read from, which counts requests and bytes.

    Parameters
    ----------
    base : Store
        What answers.

    Attributes
    ----------
    requests : int
        Objects, ranges of them and lists asked for, also those that are not there. A list that comes in several pages
        counts once, and so does what the store itself tries again.
    bytes_read : int
        Of objects.
    """

    def __init__(self, base: Store) -> None:
        super().__init__(base)
        self.requests = 0
        self.bytes_read = 0

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        """Read an object, as the store does."""
        self.requests += 1
        found = super().get(key, first=first, length=length, last=last, most=most)
        self.bytes_read += 0 if found is None else len(found.data)
        return found

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        """List the objects below a prefix."""
        self.requests += 1
        return super().listed(prefix)

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix."""
        self.requests += 1
        return super().children(prefix)
