"""The packaged stores: good ones, and the edits that break them, as data in `cases.json` beside this file.

A case is a good store, edits of its documents, consolidated metadata made anew, and edits that consolidated metadata
do not follow.
"""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from conformance import json_patch
from geozarr.documents import DOCUMENT, consolidate, reading_order


@dataclass(frozen=True)
class Case:
    """A store with one fault.

    Parameters
    ----------
    name : str
        What is wrong, in a few words; unlike that of any other case.
    store : str
        The good store that it is made of.
    rule : str
        Id of the rule that it breaks.
    severity : str
        "error", "warning" or "info".
    node : str
        Path of the node that is to blame; "/" is the root.
    pointer : str
        JSON pointer into its document.
    profile : str
        Under which it is a fault.
    edits, raw : dict
        By key of a document operations (RFC 6902), or the whole of it, bytes as `{"base64": ...}`, or None where it is
        gone; those before consolidated metadata are made, and those after.
    """

    name: str
    store: str
    rule: str
    severity: str
    node: str
    pointer: str
    profile: str
    edits: dict[str, Any]
    raw: dict[str, Any]

    def objects(self) -> dict[str, bytes]:
        """Return the objects of the store by key."""
        return objects_of(_data()["stores"][self.store], self.edits, self.raw)


def load() -> tuple[Case, ...]:
    """Return every case."""
    return tuple(Case(**case) for case in _data()["cases"])


def good_stores() -> dict[str, dict[str, bytes]]:
    """Return the objects of each good store, by key."""
    return {name: objects_of(good, {}, {}) for name, good in _data()["stores"].items()}


def documents_of(good: dict[str, Any], edits: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """Return the documents of a good store with edits, by key."""
    documents: dict[str, Any] = copy.deepcopy(good["documents"])
    _edit(documents, edits)
    _consolidate(documents, good["holders"])
    _edit(documents, raw)
    return documents


def objects_of(good: dict[str, Any], edits: dict[str, Any], raw: dict[str, Any]) -> dict[str, bytes]:
    """Return the objects of a good store with edits, by key."""
    found = {key: base64.b64decode(text) for key, text in good["others"].items()}
    for key, document in documents_of(good, edits, raw).items():
        is_raw = isinstance(document, dict) and set(document) == {"base64"}
        found[key] = base64.b64decode(document["base64"]) if is_raw else json.dumps(document).encode()
    return found


@cache
def _data() -> dict[str, Any]:
    text = (resources.files("conformance.cases") / "cases.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _edit(documents: dict[str, Any], edits: dict[str, Any]) -> None:
    for key, edit in edits.items():
        if edit is None:
            del documents[key]
        elif isinstance(edit, list):
            json_patch.apply(documents[key], edit)
        else:
            documents[key] = copy.deepcopy(edit)


def _consolidate(documents: dict[str, Any], holders: list[str]) -> None:
    """Give groups copies of the documents below them, grid mappings first, since GDAL looks for them in that order."""
    own = copy.deepcopy(documents)
    for holder in holders:
        prefix = f"{holder}/" if holder else ""
        group = documents.get(prefix + DOCUMENT)
        if not isinstance(group, dict) or "shape" in group:
            continue
        below = [key for key in own if key.startswith(prefix) and key != prefix + DOCUMENT]
        paths = reading_order(key[len(prefix) :].removesuffix(f"/{DOCUMENT}") for key in below)
        copies = {path: copy.deepcopy(own[f"{prefix}{path}/{DOCUMENT}"]) for path in paths}
        documents[prefix + DOCUMENT] = consolidate(group, copies)
