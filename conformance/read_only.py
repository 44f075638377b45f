"""A store that is read through another, and never written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geozarr.stores import Found, Listed, Store


class ReadOnlyStore:
    """A store of which a check reads; writing to it is a mistake of the program.

    Parameters
    ----------
    base : Store
        What answers.
    """

    def __init__(self, base: Store) -> None:
        self.base = base

    @property
    def location(self) -> str:
        """Where it is, for people."""
        return self.base.location

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        """Read an object, as the store does."""
        return self.base.get(key, first=first, length=length, last=last, most=most)

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        """Never write: a check changes nothing."""
        raise AssertionError(f"a check writes nothing, {len(data)} bytes to {key} least of all (create={create})")

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        """List the objects below a prefix."""
        return self.base.listed(prefix)

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix."""
        return self.base.children(prefix)

    def delete(self, key: str) -> None:
        """Never delete: a check changes nothing."""
        raise AssertionError(f"a check deletes nothing, {key} least of all")

    def sync(self) -> None:
        """Do nothing: nothing has been written."""
