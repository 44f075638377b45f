"""Reading a store: own documents by listing, copies where these cannot be read."""

from __future__ import annotations

import json
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore

from conformance import reading
from geozarr import documents
from geozarr.store import Store, open_store

GROUP = documents.group_document({})
ARRAY = {"zarr_format": 3, "node_type": "array", "shape": [1]}


def opened(objects: dict[str, Any]) -> Store:
    store = MemoryStore()
    for key, value in objects.items():
        obstore.put(store, key, value if isinstance(value, bytes) else json.dumps(value).encode())
    return open_store(store)


def test_own_documents_are_read_and_chunks_are_not() -> None:
    found = reading.read(opened({"zarr.json": GROUP, "a/zarr.json": ARRAY, "a/c/0": b"", "a/c/zarr.json": b"{"}))
    assert list(found.nodes) == ["", "a"]
    assert not found.nodes["a"].fault
    assert found.nodes["a"].is_array
    assert found.documents == 2


def test_parents_come_before_children() -> None:
    found = reading.read(
        opened({"zarr.json": GROUP, "a/zarr.json": GROUP, "a/b/zarr.json": ARRAY, "a-b/zarr.json": ARRAY})
    )
    assert list(found.nodes) == ["", "a", "a/b", "a-b"]
    assert [node.path for node in found.ancestors("a/b")] == ["a", ""]
    assert list(found.child_arrays("a")) == ["b"]


def test_a_document_that_cannot_be_read_has_its_copy() -> None:
    root = documents.consolidate(GROUP, {"a": ARRAY, "b": ARRAY})
    found = reading.read(opened({"zarr.json": root, "a/zarr.json": b"{"}))
    assert found.nodes["a"].fault
    assert found.nodes["a"].is_copy
    assert not found.nodes["a"].is_missing
    assert found.nodes["b"].is_missing
    assert {node.name for node in found.arrays} == {"a", "b"}


def test_without_a_copy_it_is_known_to_be_there() -> None:
    found = reading.read(opened({"zarr.json": GROUP, "a/zarr.json": b"\x00"}))
    assert not found.nodes["a"].is_known
    assert found.arrays == ()


def test_a_folder_above_a_node_is_a_missing_group() -> None:
    found = reading.read(opened({"zarr.json": GROUP, "a/b/zarr.json": ARRAY}))
    assert found.nodes["a"].is_missing
    assert list(found.nodes) == ["", "a", "a/b"]


def test_folders_of_others_are_left_alone() -> None:
    objects = {"zarr.json": GROUP, ".build/journal/0": b"x", "readme/text": b"x", "__cache/a/zarr.json": ARRAY}
    assert list(reading.read(opened(objects)).nodes) == [""]


@pytest.mark.parametrize("key", ["/a", "a//b", "../a", "", "a/", "zarr.json"])
def test_consolidated_keys_that_are_no_paths_make_no_node(key) -> None:
    found = reading.read(opened({"zarr.json": documents.consolidate(GROUP, {key: ARRAY})}))
    assert list(found.nodes) == [""]


def test_keys_stated_twice_are_noted() -> None:
    found = reading.read(opened({"zarr.json": b'{"zarr_format": 3, "a": {"b": 1, "b": 2}, "node_type": "group"}'}))
    assert found.nodes[""].duplicates == ("b",)


def test_documents_beyond_the_limit_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_DOCUMENT", 100)
    found = reading.read(opened({"zarr.json": GROUP, "a/zarr.json": {**ARRAY, "attributes": {"text": "x" * 200}}}))
    assert "more than the 100 allowed" in found.nodes["a"].fault
