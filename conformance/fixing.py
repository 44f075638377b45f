"""Mend the documents of a store: apply what findings suggest, check again, and show what changes.

Patches are applied to a copy in memory, round after round, since what has been mended lets further rules speak, until
none is left. Consolidated metadata are made anew from the nodes' own documents, of which they are copies; a document
that is lost, or cannot be read, from its copy, if there are objects that it is of. Where a document and its copy
differ the one is taken that leaves fewer faults, else the document. Chunks are neither read nor written.
"""

from __future__ import annotations

import copy
import difflib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from conformance import json_patch, reading
from conformance.check import check
from conformance.parsing import parse
from conformance.read_only import ReadOnlyStore
from conformance.report import Depth
from conformance.tree import blocks
from geozarr import manifest, zarr_v2
from geozarr import store as geozarr_store
from geozarr.documents import DOCUMENT, consolidate, reading_order
from geozarr.errors import GeoZarrError, MetadataError, UnsupportedError
from geozarr.store import encode_document, join
from geozarr.stores import Found

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.report import Finding, Report
    from conformance.tree import Node, Tree
    from geozarr.stores import Store

_ROUNDS = 12  # no store known takes more than four
_BLOCK = "consolidated_metadata"
_COPIES = ("ZARR-20", "ZARR-21", "ZARR-22", "MS-18")  # mended by making consolidated metadata anew


@dataclass(frozen=True)
class Fix:
    """What mending a store comes to.

    Parameters
    ----------
    documents : dict of str to dict
        Each document that changes, by key, as it shall be.
    before : dict of str to dict
        The same documents as they are; empty where there is none.
    mended : tuple of Finding
        What is mended.
    report : Report
        Of the store as it shall be.
    """

    documents: dict[str, dict[str, Any]]
    before: dict[str, dict[str, Any]]
    mended: tuple[Finding, ...]
    report: Report

    def to_diff(self) -> str:
        """Write what changes as a unified diff of the documents, indented by two."""
        parts: list[str] = []
        for key in sorted(self.documents):
            old, new = (_lines(side.get(key)) for side in (self.before, self.documents))
            parts += difflib.unified_diff(old, new, f"a/{key}", f"b/{key}", lineterm="")
        return "\n".join(parts)


def plan(store: Store, *, profile: str = "geozarr") -> Fix:
    """Find out what would mend the documents of a store. Nothing is written.

    Parameters
    ----------
    store : Store
        Where.
    profile : str
        What it is judged by.

    Raises
    ------
    StoreError, MetadataError, LimitError
        As `check` does.
    """
    overlay = Overlay(store)
    first = check(overlay, depth=Depth.GEOMETRY, profile=profile, own_documents=True)
    fix = _rounds(overlay, first, profile)
    if any(finding.rule == "ZARR-22" for finding in first.findings):
        other = Overlay(store)
        _take_copies(other, reading.read(other), [finding.node[1:] for finding in first.findings])
        found = check(other, depth=Depth.GEOMETRY, profile=profile, own_documents=True)
        of_copies = _rounds(other, found, profile)
        if _weight(of_copies.report) < _weight(fix.report):
            told = {finding.id for finding in of_copies.report.findings}
            return replace(of_copies, mended=tuple(finding for finding in first.findings if finding.id not in told))
    return fix


def _weight(report: Report) -> tuple[int, ...]:
    return tuple(report.counts.values())  # errors first


def _rounds(overlay: Overlay, report: Report, profile: str) -> Fix:
    """Mend what can be mended of an overlay, of which there is a report."""
    mended: list[Finding] = []
    for _ in range(_ROUNDS):
        tree = reading.read(overlay)
        applied = [finding for finding in report.findings if _apply(overlay, tree, finding)]
        stale = [finding for finding in report.findings if finding.rule in _COPIES]
        has_lost = _restore(overlay, tree)
        if not applied and not stale and not has_lost:
            break
        holders = {finding.node[1:] for finding in report.findings if finding.rule == "MS-18"}
        if not _consolidate(overlay, reading.read(overlay), holders) and not applied and not has_lost:
            break
        mended += [finding for finding in report.findings if finding in applied or finding in stale or has_lost]
        report = check(overlay, depth=Depth.GEOMETRY, profile=profile, own_documents=True)
    known = {finding.id for finding in report.findings}
    documents = {key: document for key, document in overlay.changed.items() if document != overlay.stored(key)}
    before = {key: overlay.stored(key) for key in documents}
    gone = {finding.id: finding for finding in mended if finding.id not in known}
    return Fix(documents, before, tuple(gone.values()), report)


def _take_copies(overlay: Overlay, tree: Tree, paths: Iterable[str]) -> None:
    """Take the outermost consolidated copy of some nodes for their own documents."""
    for path in paths:
        for group in reversed(tree.ancestors(path)):
            copied = blocks(group).get(path[len(group.path) :].lstrip("/"))
            if copied is not None and group.version == 3:
                own = {key: value for key, value in tree.nodes[path].document.items() if key == _BLOCK}
                overlay.changed[join(path, DOCUMENT)] = copy.deepcopy({**_plain(copied), **own})
                break


def _restore(overlay: Overlay, tree: Tree) -> bool:
    """Write documents that are lost, or cannot be read, from their copies; returns whether there were any."""
    found = False
    for node in tree.nodes.values():
        if node.is_copy and node.version == 3 and not (node.is_missing and _is_bare(overlay, tree, node)):
            overlay.changed[join(node.path, DOCUMENT)] = copy.deepcopy(_plain(node.document))
            found = True
    return found


def _is_bare(overlay: Overlay, tree: Tree, node: Node) -> bool:
    """Tell whether nothing is stored of a lost node, nor of what is lost above it: it may have been deleted.

    A scalar, such as a grid mapping, is all in its document.
    """
    lost = [node, *(group for group in tree.ancestors(node.path) if group.is_missing)]
    if len(lost) == 1 and node.document.get("shape") == []:
        return False
    try:
        return not overlay.base.children(lost[-1].path)
    except UnsupportedError:
        return True


def write(store: Store, fix: Fix) -> None:
    """Write the documents of a fix, those of groups after those below them, the root last.

    Whoever is interrupted has whole documents, old or new, and mends the rest the next time.

    Raises
    ------
    UnsupportedError
        If the store has a manifest, which lists its documents by length and checksum.
    StoreError
        If the store fails.
    """
    root, _, _ = _stored(store, DOCUMENT)
    attributes = root.get("attributes")
    try:
        has_manifest = manifest.reference_of(attributes if isinstance(attributes, dict) else {}) is not None
    except MetadataError:
        has_manifest = True
    if has_manifest:
        reason = "its manifest lists them by length and checksum; build it again instead"
        raise UnsupportedError("rewriting documents of a pyramid of geozarr-build", reason)
    for key in sorted(fix.documents, key=lambda key: (-key.count("/"), key.endswith(zarr_v2.CONSOLIDATED), key)):
        geozarr_store.write_bytes(store, key, encode_document(fix.documents[key], node=key))


class Overlay(ReadOnlyStore):
    """A store with some documents changed in memory.

    Parameters
    ----------
    base : Store
        What answers for the rest.

    Attributes
    ----------
    changed : dict of str to dict
        Documents by key.
    """

    def __init__(self, base: Store) -> None:
        super().__init__(base)
        self.changed: dict[str, dict[str, Any]] = {}

    def document(self, key: str) -> dict[str, Any]:
        """Return a copy of a document, as it has been changed so far; empty where there is none."""
        return copy.deepcopy(self.changed[key] if key in self.changed else self.stored(key))

    def stored(self, key: str) -> dict[str, Any]:
        """Return a document as it is stored; empty where there is none, or none that can be read."""
        return _stored(self.base, key)[0]

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        """Read an object; a changed document whole."""
        if key not in self.changed:
            return super().get(key, first=first, length=length, last=last, most=most)
        data = encode_document(self.changed[key], node=key)
        return Found(data, len(data)) if self.changed[key] else None

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix, those of new documents among them."""
        start = f"{prefix}/" if prefix else ""
        below = (key[len(start) :] for key in self.changed if key.startswith(start))
        return sorted({*super().children(prefix), *(key.partition("/")[0] for key in below if "/" in key)})


def _apply(overlay: Overlay, tree: Tree, finding: Finding) -> bool:
    """Apply the patch of a finding, all of it or nothing; returns whether it was."""
    if not finding.patch:
        return False
    touched: dict[str, dict[str, Any]] = {}
    try:
        for change in finding.patch:
            if tree.nodes[change.node].duplicates:
                return False  # writing it anew would decide between two values of one key
            key = join(change.node, change.document)
            document = touched[key] if key in touched else touched.setdefault(key, overlay.document(key))
            json_patch.change(document, change.op, change.pointer, change.value)
    except (KeyError, IndexError, TypeError, ValueError):
        return False  # another patch of this round has been there
    overlay.changed.update(touched)
    return True


def _consolidate(overlay: Overlay, tree: Tree, holders: Iterable[str]) -> bool:
    """Make consolidated metadata anew, and that of `holders` which have none; returns whether anything changed."""
    is_changed = False
    for group in tree.groups:
        if group.fault or group.duplicates or (_BLOCK not in group.document and group.path not in holders):
            continue
        name, make = (zarr_v2.CONSOLIDATED, _metadata_v2) if group.version == 2 else (DOCUMENT, _with_copies)
        key = join(group.path, name)
        former, made = overlay.document(key), make(overlay, tree, group)
        if made != former:
            overlay.changed[key] = made
            is_changed = True
    return is_changed


def _with_copies(overlay: Overlay, tree: Tree, group: Node) -> dict[str, Any]:
    """Give the document of a group copies of all those below it, in the order in which they were."""
    prefix = f"{group.path}/" if group.path else ""
    document = overlay.document(join(group.path, DOCUMENT))
    former = document.get(_BLOCK)
    found = former.get("metadata") if isinstance(former, dict) else None
    copies = found if isinstance(found, dict) else {}
    entries: dict[str, Any] = {}
    for node in tree.below(group.path):
        relative = node.path[len(prefix) :]
        if not node.fault:
            entries[relative] = _plain(overlay.document(join(node.path, DOCUMENT)))
        elif relative in copies:
            entries[relative] = copies[relative]  # all that is left of it
    is_known = set(entries) <= set(copies)
    order = [path for path in copies if path in entries] if is_known else reading_order(entries)
    return consolidate(document, {path: entries[path] for path in order})


def _metadata_v2(overlay: Overlay, tree: Tree, group: Node) -> dict[str, Any]:
    """Collect the documents of a group and of what is below it into a `.zmetadata`."""
    prefix = f"{group.path}/" if group.path else ""
    found = {}
    for node in (group, *tree.below(group.path)):
        for name in (zarr_v2.ARRAY if node.is_array else zarr_v2.GROUP, zarr_v2.ATTRIBUTES):
            document = overlay.document(join(node.path, name))
            if document:
                found[join(node.path[len(prefix) :], name)] = document
    return {"zarr_consolidated_format": 1, "metadata": found}


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != _BLOCK}


def _stored(store: Store, key: str) -> tuple[dict[str, Any], tuple[str, ...], str]:
    try:
        data = geozarr_store.read_bytes(store, key, most=geozarr_store.MAX_DOCUMENT)
    except GeoZarrError as error:
        return {}, (), str(error)
    return ({}, (), "") if data is None else parse(data)


def _lines(document: dict[str, Any] | None) -> list[str]:
    return json.dumps(document, indent=2, ensure_ascii=True).splitlines() if document else []
