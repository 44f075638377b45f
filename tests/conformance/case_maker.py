"""The packaged cases as data: what the mutations of these tests change in the documents of their stores."""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING, Any

import obstore
from obstore.store import MemoryStore

from conformance import check, json_patch
from conformance.cases.catalogue import DOCUMENT, documents_of, objects_of
from geozarr import zarr_v2

if TYPE_CHECKING:
    from collections.abc import Iterable

Objects = dict[str, bytes]
_DOCUMENTS = (DOCUMENT, *zarr_v2.DOCUMENTS)
_COORDINATES = ("x", "y", "lat", "lon", "spatial_ref")


def opened(objects: Objects) -> MemoryStore:
    """Open objects as a store."""
    store = MemoryStore()
    for key, data in objects.items():
        obstore.put(store, key, data)
    return store


def store_of(documents: dict[str, Any], holders: Iterable[str], objects: Objects) -> dict[str, Any]:
    """Describe a good store by its documents and the chunks that a check of grids reads: those of coordinates."""
    others = {key: data for key, data in objects.items() if not is_document(key)}
    return {
        "documents": {_key(path): document for path, document in documents.items()},
        "holders": list(holders),
        "others": {key: base64.b64encode(data).decode() for key, data in others.items() if _is_coordinate(key)},
    }


def case_of(mutation: Any, store: Any) -> dict[str, Any]:
    """Describe a mutation of a good store by what it changes before and after consolidated metadata are made."""
    own = store.documents()
    edited = copy.deepcopy(own)
    if mutation.edit is not None:
        mutation.edit(edited)
    edits = changes(own, edited)
    stored = documents_of(store_of(own, store.holders, {}), edits, {})
    before = {_path(key): document for key, document in stored.items()}
    after = copy.deepcopy(before)
    if mutation.raw is not None:
        mutation.raw(after)
    return {
        "name": mutation.name,
        "store": mutation.store,
        "rule": mutation.rule,
        "severity": str(mutation.severity),
        "node": mutation.node,
        "profile": mutation.profile,
        "edits": edits,
        "raw": changes(before, after),
    }


def case_of_v2(edit: Any, objects: Objects) -> dict[str, Any]:
    """Describe an edit of a store of Zarr v2, whose consolidated metadata are a document like others."""
    before = {key: json.loads(data) for key, data in objects.items() if is_document(key)}
    after = {key: json.loads(data) for key, data in edit.applied(objects).items() if is_document(key)}
    return {
        "name": edit.name,
        "store": "v2",
        "rule": edit.rule,
        "severity": str(edit.severity),
        "node": edit.place.split(" ")[0],
        "profile": "geozarr",
        "edits": {},
        "raw": changes(before, after),
    }


def is_document(key: str) -> bool:
    """Tell documents from chunks."""
    return key.rpartition("/")[2] in _DOCUMENTS


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """List what makes some documents of others, by key."""
    found: dict[str, Any] = {_key(path): None for path in before if path not in after}
    for path, document in after.items():
        if isinstance(document, bytes):
            found[_key(path)] = {"base64": base64.b64encode(document).decode()}
        elif not isinstance(document, dict):
            found[_key(path)] = {"base64": base64.b64encode(json.dumps(document).encode()).decode()}
        elif path not in before:
            found[_key(path)] = document
        elif operations := json_patch.operations(before[path], document):
            found[_key(path)] = operations
    return found


def with_pointer(case: dict[str, Any], stores: dict[str, Any]) -> dict[str, Any]:
    """Note where the one finding of a case is; raises `ValueError` where there is not just one."""
    objects = objects_of(stores[case["store"]], case["edits"], case["raw"])
    (found,) = check(opened(objects), profile=case["profile"]).findings
    return {**case, "pointer": found.pointer}


def _key(path: str) -> str:
    return path if is_document(path) else f"{path}/{DOCUMENT}".lstrip("/")


def _path(key: str) -> str:
    return key.removesuffix(DOCUMENT).rstrip("/")


def _is_coordinate(key: str) -> bool:
    return any(part in _COORDINATES for part in key.split("/"))
