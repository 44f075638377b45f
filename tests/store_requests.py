"""What is asked of stores, whatever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from geozarr.stores import ObjectStoreAdapter

if TYPE_CHECKING:
    from geozarr.stores import Found


class Requests(list[tuple[str, dict[str, int]]]):
    """Key and range of each object that is read from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        get = ObjectStoreAdapter.get

        def counted(store: ObjectStoreAdapter, key: str, **options: Any) -> Found | None:
            parts = {name: value for name, value in options.items() if name != "most" and value is not None}
            self.append((key, parts))
            return get(store, key, **options)

        monkeypatch.setattr(ObjectStoreAdapter, "get", counted)

    @property
    def keys(self) -> list[str]:
        """The keys alone."""
        return [key for key, _ in self]


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a store is asked for an object."""
    monkeypatch.setattr(ObjectStoreAdapter, "get", lambda *_, **__: pytest.fail("the store was asked"))
