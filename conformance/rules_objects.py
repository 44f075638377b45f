"""Rules that hold every stored object against the manifest of the builder that wrote the pyramid (GP).

A store by itself cannot tell a chunk that was lost from one that was never stored, nor a chunk that was cut or swapped
from a good one. Where the root group names a manifest (`geozarr.manifest`), each object in it is read and compared, and
each object beside it is named. Pyramids without a manifest have no such rules. The place of a finding is the key of the
object.
"""

from __future__ import annotations

import itertools
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from conformance.report import Depth, Fault, Rule, Severity
from geozarr import manifest, zarr_v2
from geozarr.documents import DOCUMENT
from geozarr.errors import ChunkReadError, LimitError, MetadataError, UnsupportedError
from geozarr.manifest import ArrayObjects, Entry, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conformance.context import Context
    from geozarr.stores import Store

_CLAUSE = "geozarr-pyramids, manifest"
_DOCUMENTS = (DOCUMENT, *zarr_v2.DOCUMENTS)
_READERS = 4  # threads that read objects
_BATCH = 64  # objects handed to them at a time
_PART = 16 * 2**20  # bytes of an object that are held at a time
_MANIFEST = 32 * 2**20  # bytes: parsed, about ten times as much; one of 10 000 arrays has some megabytes
_BROKEN = (ChunkReadError, MetadataError, UnsupportedError, LimitError)


def check_manifest(context: Context) -> Iterator[Fault]:
    """Find a manifest that is lost, damaged or no manifest."""
    pointer = ("attributes", manifest.ATTRIBUTE)
    try:
        reference = manifest.reference_of(context.tree.nodes[""].attributes)
    except MetadataError as error:
        yield Fault("", pointer, "the root names no manifest", error.found, error.expected)
        return
    if reference is None:
        return
    try:
        _open(context.store, reference)
    except _BROKEN as error:
        expected = f"{reference.entry.length} bytes of crc32 {reference.entry.crc32:#010x}"
        yield Fault(reference.key, (), "the manifest is not the one that the root names", str(error), expected)


def check_pieces(context: Context) -> Iterator[Fault]:
    """Find pieces of the manifest that are lost or damaged."""
    known = _manifest(context)
    if known is None:
        return
    for array in known.arrays.values():
        for piece in known.pieces_of(array):
            try:
                known.piece_entries(array, piece)
            except _BROKEN as error:
                key = known.piece_key(array, piece)
                yield Fault(key, (), "a piece of the manifest is not as it was stored", str(error), "its bytes")


def check_objects(context: Context) -> Iterator[Fault]:
    """Find objects of the manifest that are lost, or are not as they were stored."""
    known = _manifest(context)
    if known is None:
        return
    wanted = itertools.chain(known.others.items(), _data_objects(known))
    with ThreadPoolExecutor(_READERS, thread_name_prefix="check") as pool:
        while batch := tuple(itertools.islice(wanted, _BATCH)):
            for (key, entry), fault in zip(
                batch, pool.map(lambda item: _difference(context.store, *item), batch), strict=True
            ):
                if fault is not None and not _is_reported(context, key):
                    voids = ((_array_of(key), ()),) if key in known.others else ()
                    message, found = fault
                    expected = f"{entry.length} bytes of crc32 {entry.crc32:#010x}"
                    yield Fault(key, (), message, found, expected, voids=voids)


def check_nothing_beside(context: Context) -> Iterator[Fault]:
    """Find objects that the manifest does not have."""
    known = _manifest(context)
    if known is None:
        return
    former = manifest.former_groups(context.store, context.tree.nodes[""].attributes)
    root = (DOCUMENT,) if context.tree.nodes[""].version == 3 else zarr_v2.ROOT
    for item in context.store.listed():
        key = item.key
        if key in known.others or key in root or _is_below(key, former) or _is_known_to_builder(known, key):
            continue
        if _is_reported(context, key):
            continue
        array = known.arrays.get(_array_of(key))
        if array is None or not _is_like_chunk(array, key):
            message, severity = "an object that the manifest does not have", Severity.WARNING
        elif _is_stored(known, key, array):
            continue
        else:
            message, severity = "an object where the manifest says that all is fill", Severity.ERROR
        yield Fault(key, (), message, f"{item.size} bytes", "nothing", severity=severity)


def _open(store: Store, reference: manifest.Reference) -> Manifest:
    if reference.entry.length > _MANIFEST:
        raise LimitError("manifest in bytes", allowed=_MANIFEST, found=reference.entry.length)
    return Manifest(store, reference)


def _manifest(context: Context) -> Manifest | None:
    """Read the manifest; None where there is none, or it has been reported."""
    try:
        reference = manifest.reference_of(context.tree.nodes[""].attributes)
        return None if reference is None else _open(context.store, reference)
    except _BROKEN:
        return None


def _data_objects(known: Manifest) -> Iterator[tuple[str, Entry]]:
    """List the stored objects of all pieces that are whole."""
    for array in known.arrays.values():
        for piece in known.pieces_of(array):
            try:
                entries: Iterable[tuple[int, Entry]] = known.piece_entries(array, piece)
            except _BROKEN:
                continue
            for number, entry in entries:
                yield array.key(number), entry


def _difference(store: Store, key: str, entry: Entry) -> tuple[str, str] | None:
    """Tell how an object differs from what is known of it: a message, and what was found."""
    whole = entry.length <= _PART
    try:
        # The last byte alone tells the size of a large one.
        found = store.get(key, most=entry.length) if whole else store.get(key, last=1)
    except LimitError as error:
        return "the object is not as long as it was stored", f"{error.found:.0f} bytes"
    if found is None:
        return "the object is lost", "nothing"
    if found.size != entry.length:
        return "the object is not as long as it was stored", f"{found.size} bytes"
    crc32 = zlib.crc32(found.data) if whole else _crc32_in_parts(store, key, entry.length)
    if crc32 != entry.crc32:
        return "the object is not what was stored", f"crc32 {crc32:#010x}"
    return None


def _crc32_in_parts(store: Store, key: str, length: int) -> int:
    crc32 = 0
    for first in range(0, length, _PART):
        part = store.get(key, first=first, length=min(_PART, length - first))
        crc32 = zlib.crc32(b"" if part is None else part.data, crc32)
    return int(crc32)


def _is_stored(known: Manifest, key: str, array: ArrayObjects) -> bool:
    """Tell whether the manifest has an object of an array; where its piece is damaged nobody knows."""
    index = array.index_of(key)
    try:
        return index is not None and known.entry(array.path, index) is not None
    except ChunkReadError:
        return True


def _is_like_chunk(array: ArrayObjects, key: str) -> bool:
    """Tell whether a key below an array begins as those of its objects do."""
    below = key.removeprefix(f"{array.path}/")
    return below.startswith(array.keys.prefix) if array.keys.prefix else below[:1].isdigit()


def _is_reported(context: Context, key: str) -> bool:
    """Tell whether an object is a document of which something was found: that says more than its checksum."""
    path, _, name = key.rpartition("/")
    return name in _DOCUMENTS and context.has_findings(path, "")


def _array_of(key: str) -> str:
    """Path of the node that an object belongs to."""
    folder, _, name = key.rpartition("/")
    # An index is numbers alone, so that the last such part is the prefix of Zarr v3, whatever arrays are called.
    return folder if name in _DOCUMENTS or "/c/" not in f"{key}/" else f"{key}/".rpartition("/c/")[0]


def _is_below(key: str, groups: frozenset[str]) -> bool:
    return any(key.startswith(f"{group}/") for group in groups)


def _is_known_to_builder(known: Manifest, key: str) -> bool:
    """Tell whether an object belongs to what builders keep beside a pyramid; of the manifest only what it names."""
    if not key.startswith(f"{manifest.BUILDS}/"):
        return False
    if not key.startswith(f"{known.folder}/"):
        return True
    path, _, number = key.removeprefix(f"{known.folder}/").rpartition("/")
    array = known.arrays.get(path)
    return array is not None and number.isdecimal() and int(number) in known.pieces_of(array)


RULES = (
    Rule("GP-01", _CLAUSE, "The manifest is there and whole", check_manifest, depth=Depth.OBJECTS),
    Rule("GP-02", _CLAUSE, "Each piece of the manifest is there and whole", check_pieces, depth=Depth.OBJECTS),
    Rule("GP-03", _CLAUSE, "Each object of the manifest is as it was stored", check_objects, depth=Depth.OBJECTS),
    Rule("GP-04", _CLAUSE, "The manifest has each object", check_nothing_beside, depth=Depth.OBJECTS),
)
