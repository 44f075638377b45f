"""Makes a finished build visible: documents, manifest, and last the root document, in one put.

Until that put a reader sees the former pyramid or none. What the build replaced stays where it is. Zarr v2 has three
root documents, see `roots`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr import levels as levels_module
from geozarr import manifest
from geozarr import store as store_module
from geozarr.errors import MetadataError
from geozarr.manifest import BUILDS, PIECE, Entry, Reference
from geozarr.store import join
from geozarr.stores import Transaction
from pyramids import metadata, roots, transaction, writers
from pyramids.objects import array_at, arrays_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from geozarr.manifest import ArrayObjects
    from geozarr.stores import Store
    from pyramids.journal import Segment
    from pyramids.plan import Plan
    from pyramids.statistics import Summary
    from pyramids.writers import Sink

PUBLISHED = "published.json"
OPEN_PIECES = 128  # pieces of the manifest that are put together in one pass over the journal: 64 MB


def build_name(plan: Plan) -> str:
    """Name a build by its plan."""
    return plan.identity[:16]


def build_folder(name: str) -> str:
    """Folder of a build's own objects."""
    return join(BUILDS, name)


def placed(plan: Plan, folder: str) -> Plan:
    """Put the levels of a plan below a folder, where their plain names are taken; the same bytes else."""
    return replace(plan, levels=levels_module.moved(plan.levels, folder))


def write_beside(plan: Plan, store: Sink, summaries: Mapping[str, Summary | None]) -> dict[str, Entry]:
    """Write coordinates and documents of the levels; return what was written, by key.

    Raises
    ------
    StoreError
        If the store fails.
    """
    written: dict[str, Entry] = {}

    def put(key: str, data: bytes) -> None:
        store.put(key, data)
        written[key] = manifest.checksum(data)

    _, nodes = metadata.node_documents(plan, summaries)
    for number, level in enumerate(plan.levels.levels):
        for name, array in metadata.small_arrays(plan, number).items():
            key, data = array.to_object()
            put(join(level.asset, name, key), data)
    for path, document in nodes.items():
        for key, stored in roots.stored_documents(path, document).items():
            put(key, store_module.encode_document(stored, node=f"/{path}"))
    return written


def restore_beside(plan: Plan, store: Store, keys: Iterable[str]) -> None:
    """Write coordinates and documents of a published pyramid again: documents as the root consolidates them.

    Raises
    ------
    StoreError
        If the store fails.
    """
    documents = roots.node_documents(store)
    coordinates = {}
    for number, level in enumerate(plan.levels.levels):
        for name, array in metadata.small_arrays(plan, number).items():
            key, data = array.to_object()
            coordinates[join(level.asset, name, key)] = data
    for key in keys:
        store.put(key, coordinates.get(key) or store_module.encode_document(documents[key], node=f"/{key}"))


def write_manifest(
    plan: Plan, store: Store, name: str, others: Mapping[str, Entry], segments: Callable[[], Iterable[Segment]]
) -> Reference:
    """Fold the journal into the manifest, some pieces at a time so that memory is bounded.

    Parameters
    ----------
    plan : Plan
        What was built, with its levels where they are.
    store : Store
        Where.
    name : str
        Name of the build.
    others : mapping of key to Entry
        Objects beside the data.
    segments : callable
        Reads the journal; called once for each `OPEN_PIECES` pieces.

    Raises
    ------
    StoreError
        If the store fails.
    """
    key = manifest.manifest_key(name)
    folder = key.removesuffix(".json")
    arrays = arrays_of(plan)
    pieces: dict[tuple[str, int], Entry] = {}
    places = [(place, piece) for place, array in enumerate(arrays) for piece in range(array.pieces)]
    for start in range(0, len(places), OPEN_PIECES):
        for place, piece, lengths, checksums in _gathered(arrays, places[start : start + OPEN_PIECES], segments()):
            data = manifest.encode_piece(lengths, checksums)
            store.put(manifest.piece_key(folder, arrays[place], piece), data)
            pieces[arrays[place].path, piece] = manifest.checksum(data)
    # Arrays of levels that are finer than a variable's first one do not exist.
    at = [array_at(plan, place) for place in range(len(arrays))]
    held = [array for array, (level, variable) in zip(arrays, at, strict=True) if variable.first <= level]
    data = store_module.encode_document(manifest.document(held, pieces, others), node=key)
    store.put(key, data)
    return Reference(name, key, manifest.checksum(data))


def _gathered(
    arrays: Sequence[ArrayObjects], places: list[tuple[int, int]], segments: Iterable[Segment]
) -> Iterator[tuple[int, int, Any, Any]]:
    """Put some pieces together; those without any object are left out."""
    tables: dict[tuple[int, int], Any] = {}
    wanted = set(places)
    for segment in segments:
        objects = segment.objects
        piece = objects["number"] // PIECE
        both = objects["array"].astype(np.uint64) << np.uint64(32) | piece
        for code in np.unique(both):
            place = int(code) >> 32, int(code) & 0xFFFFFFFF
            if place not in wanted:
                continue
            if place not in tables:
                size = min(PIECE, arrays[place[0]].count - place[1] * PIECE)
                tables[place] = np.zeros((2, size), np.uint32)
            mine = objects[both == code]
            at = (mine["number"] % PIECE).astype(np.intp)
            tables[place][0, at] = mine["length"]
            tables[place][1, at] = mine["crc32"]
    for place, (lengths, checksums) in sorted(tables.items()):
        yield *place, lengths, checksums


def write_root(
    plan: Plan,
    store: Store,
    summaries: Mapping[str, Summary | None],
    reference: Reference,
    remarks: Mapping[str, Any] | None = None,
) -> None:
    """Publish: make all durable, then put the root document, and make that durable.

    Parameters
    ----------
    plan, store, summaries
        As for `write_beside`.
    reference : Reference
        Of the manifest.
    remarks : mapping, optional
        What else is left beside the time of publication: JSON values.

    A store with transactions gets its one commit instead; it has no manifest.

    Raises
    ------
    BuildConflictError
        If somebody else has published there meanwhile, and the store can tell.
    StoreError
        If the store fails.
    """
    root, _ = metadata.node_documents(plan, summaries)
    if isinstance(store, Transaction):
        root["attributes"][manifest.ATTRIBUTE] = manifest.without_manifest(reference.build)
        store_module.write_document(store, "", root)
        said, parts = transaction.message(plan, reference.build)
        store.commit(said, metadata=parts)
        return
    root["attributes"][manifest.ATTRIBUTE] = reference.to_attribute()
    stamp = {"published": time.time(), **(remarks or {})}
    store.put(_stamp_key(reference.build), store_module.encode_document(stamp))
    store.sync()
    roots.publish(store, root)


def remarks_of(store: Store, name: str) -> dict[str, Any]:
    """Read what was left with the time of publication; nothing where that is lost or malformed.

    Raises
    ------
    StoreError
        If the store fails.
    """
    key = _stamp_key(name)
    data = store_module.read_bytes(store, key, most=store_module.MAX_DOCUMENT)
    try:
        return {} if data is None else store_module.decode_document(data, node=key)
    except MetadataError:
        return {}


def _stamp_key(name: str) -> str:
    return join(build_folder(name), PUBLISHED)


def forget_work(store: Store, name: str) -> None:
    """Delete what a published build needs no more: its journal, and what its blocks handed on."""
    for folder in work_folders(name):
        delete_below(store, folder)


def work_folders(name: str) -> list[str]:
    """Folders of what a build needs until it is published."""
    return [join(build_folder(name), part) for part in ("journal", "handover")]


def delete_in_order(store: Store, keys: Iterable[str], *, last: Sequence[str]) -> None:
    """Delete objects, those of `last` when all others are gone, and in their order."""
    found = set(keys)
    writers.each(store, store.delete, sorted(found.difference(last)))
    for key in last:
        if key in found:
            store.delete(key)


def delete_below(store: Store, folder: str, *, spare: str | None = None) -> None:
    """Delete all objects of a folder, but for one."""
    writers.each(store, store.delete, [item.key for item in store.listed(folder) if item.key != spare])
