"""The manifest of a pyramid: length and crc32 of every stored object, so that "empty" and "lost" can be told apart.

    .build/<build>/manifest.json        which arrays there are, and their pieces; objects beside the data one by one
    .build/<build>/manifest/<array>/<n> a piece: `PIECE` objects of one array, numbered in C order of the object grid

The root document of the pyramid names the manifest with its length and checksum, the manifest names its pieces so, and
a piece its objects: whoever trusts the root document can check every byte below it. A piece that is not named holds
no object, and an entry of length 0 says that the object is not stored because all of its cells are fill. To look up an
object is arithmetic and, the first time, the read of one piece.

The checksum is zlib's CRC-32. CRC-32C would be blind: chunks in shards end with their own CRC-32C, and that of a
message with its CRC behind it is a constant, so that all shards whose chunks have the same lengths would be one.

A piece is 4-byte little-endian lengths, then checksums, packed by zlib: 35 million objects take about 200 MB.
"""

from __future__ import annotations

import math
import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geozarr.documents import KEYS, KeyEncoding
from geozarr.errors import ChunkReadError, LimitError, MetadataError, UnsupportedError
from geozarr.store import MAX_DOCUMENT, decode_document, join, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from geozarr.stores import Store

FORMAT = 2
BUILDS = ".build"  # the folder that holds what builds leave beside a pyramid
ATTRIBUTE = "geozarr_pyramids"  # of the root group: which build this is, and where its manifest lies
PLAN = "plan.json"  # in the folder of a build: what it builds
PIECE = 65_536  # objects; half a megabyte unpacked
KEPT = 64  # pieces that a manifest keeps unpacked
MOST = 2**28  # bytes of a manifest; one of 10 000 arrays has some megabytes
_MOST_PIECE = 9 * PIECE  # bytes of a packed piece: zlib adds little to what it cannot pack
# For no more than this zlib keeps the interpreter (`zlib.crc32` in CPython's zlibmodule.c). Where several threads work,
# to let go of it and to wait for it again costs more than the checksum of a chunk.
_SLICE = 5 * 1024  # bytes
_SLICED = 2**19  # bytes; a quarter of a millisecond


class Entry(NamedTuple):
    """What is known of a stored object."""

    length: int
    crc32: int


@dataclass(frozen=True)
class Reference:
    """Where the manifest of a pyramid lies.

    Parameters
    ----------
    build : str
        Name of the build.
    key : str
        Key of the manifest.
    entry : Entry
        Its length and checksum.
    """

    build: str
    key: str
    entry: Entry

    def to_attribute(self) -> dict[str, Any]:
        """Return what the root group says of it, under `ATTRIBUTE`."""
        manifest = {"key": self.key, "length": self.entry.length, "crc32": self.entry.crc32}
        return {"build": self.build, "manifest": manifest}


def reference_of(attributes: Mapping[str, Any]) -> Reference | None:
    """Read where the manifest lies from the attributes of the root group; None where they do not speak of one.

    A store that tells lost chunks from empty ones by itself has none, and says so: `manifest` is null.

    Raises
    ------
    MetadataError
        If what they say is malformed.
    """
    stated = attributes.get(ATTRIBUTE)
    if stated is None or build_without_manifest(attributes) is not None:
        return None
    try:
        manifest = stated["manifest"]
        found = Reference(stated["build"], manifest["key"], Entry(manifest["length"], manifest["crc32"]))
    except (KeyError, TypeError):
        raise MetadataError("/", ATTRIBUTE, found=stated, expected="a build and its manifest") from None
    is_sound = (
        isinstance(found.build, str)
        and found.build.isalnum()
        and found.key == manifest_key(found.build)
        and all(type(number) is int and number >= 0 for number in found.entry)
    )
    if not is_sound:
        raise MetadataError("/", ATTRIBUTE, found=stated, expected="a build and its manifest")
    return found


def without_manifest(build: str) -> dict[str, Any]:
    """Return what the root group says, under `ATTRIBUTE`, of a build that has no manifest."""
    return {"build": build, "manifest": None}


def build_without_manifest(attributes: Mapping[str, Any]) -> str | None:
    """Name the build where the root group says that it has no manifest; None where it does not say that."""
    stated = attributes.get(ATTRIBUTE)
    if not isinstance(stated, dict) or stated.get("manifest", ...) is not None:
        return None
    build = stated.get("build")
    return build if isinstance(build, str) and build.isalnum() else None


def former_groups(store: Store, attributes: Mapping[str, Any]) -> frozenset[str]:
    """List the groups that builds other than the published one have left, by path: readers see none of them.

    Parameters
    ----------
    store : Store
        Where the pyramid is.
    attributes : mapping
        Attributes of the root group.

    Raises
    ------
    StoreError
        If the store fails.
    """
    try:
        current = reference_of(attributes)
    except MetadataError:
        return frozenset()
    if current is None:
        return frozenset()
    try:
        names = store.children(BUILDS)
    except UnsupportedError:  # without lists nobody comes upon them
        return frozenset()
    groups = {name: _groups_left(store, name) for name in names}
    mine = groups.pop(current.build, frozenset())
    return frozenset().union(*groups.values()) - mine


def plan_of(store: Store, build: str) -> dict[str, Any] | None:
    """Read the plan that a build has left: empty where it cannot be read, None where there is none.

    Raises
    ------
    LimitError
        If it is larger than any plan.
    StoreError
        If the store fails.
    """
    key = join(BUILDS, build, PLAN)
    data = read_bytes(store, key, most=MAX_DOCUMENT)
    try:
        return None if data is None else decode_document(data, node=key)
    except MetadataError:
        return {}


def groups_of(plan: Mapping[str, Any] | None) -> frozenset[str]:
    """List the outermost groups that a build writes, from the plan that it has left; none where that says nothing."""
    try:
        if plan and plan.get("folder"):
            return frozenset({str(plan["folder"])})
        return frozenset(str(item["asset"]) for item in plan["levels"]["multiscales"]["layout"])  # type: ignore[index]
    except (KeyError, TypeError):
        return frozenset()


def _groups_left(store: Store, build: str) -> frozenset[str]:
    try:
        return groups_of(plan_of(store, build))
    except LimitError:
        return frozenset()


def manifest_key(build: str) -> str:
    """Key of the manifest of a build."""
    return join(BUILDS, build, "manifest.json")


def checksum(data: bytes) -> Entry:
    """Return what a manifest says of an object with these bytes."""
    if len(data) > _SLICED:
        return Entry(len(data), zlib.crc32(data))
    view = memoryview(data)
    crc32 = 0
    for start in range(0, len(data), _SLICE):
        crc32 = zlib.crc32(view[start : start + _SLICE], crc32)
    return Entry(len(data), crc32)


@dataclass(frozen=True)
class ArrayObjects:
    """The objects of one array.

    Parameters
    ----------
    path : str
        Path of the array in the store.
    grid : tuple of int
        Objects along each axis.
    keys : KeyEncoding
        How their keys are written.
    """

    path: str
    grid: tuple[int, ...]
    keys: KeyEncoding = KEYS[3]

    @property
    def count(self) -> int:
        """Objects, stored or not."""
        return math.prod(self.grid)

    @property
    def pieces(self) -> int:
        """Pieces, named or not."""
        return -(-self.count // PIECE)

    def number(self, index: Sequence[int]) -> int:
        """Return the number of an object, in C order."""
        number = 0
        for at, size in zip(index, self.grid, strict=True):
            number = number * size + at
        return number

    def key(self, number: int) -> str:
        """Key of an object."""
        index = []
        for size in reversed(self.grid):
            number, at = divmod(number, size)
            index.append(at)
        return f"{self.path}/{self.keys.key(index[::-1])}"

    def index_of(self, key: str) -> tuple[int, ...] | None:
        """Read a key as the position of an object; None where it is the key of none."""
        below = key.removeprefix(f"{self.path}/")
        return None if below == key else self.keys.index_of(below, self.grid)


def encode_piece(lengths: NDArray[np.uint32], checksums: NDArray[np.uint32]) -> bytes:
    """Pack a piece."""
    return zlib.compress(lengths.astype("<u4").tobytes() + checksums.astype("<u4").tobytes(), 1)


def decode_piece(data: bytes, count: int, *, node: str) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Unpack a piece of so many objects into lengths and checksums.

    Raises
    ------
    ChunkReadError
        If it holds anything else.
    """
    size = 8 * count
    try:
        unpacked = zlib.decompressobj().decompress(data, size + 1)
    except zlib.error as error:
        raise ChunkReadError(node, "piece", "cannot be unpacked") from error
    if len(unpacked) != size:
        cause = ValueError(f"{len(unpacked)} bytes, expected {size}")
        raise ChunkReadError(node, "piece", "has another size than its array") from cause
    both = np.frombuffer(unpacked, "<u4")
    return both[:count], both[count:]


class Manifest:
    """Looks up stored objects. Safe to use from many threads.

    Parameters
    ----------
    store : Store
        Where the pyramid is.
    reference : Reference
        From its root document.

    Raises
    ------
    ChunkReadError
        If the manifest is not what the root document says.
    MetadataError, LimitError
        If it is malformed.
    StoreError
        If the store fails.

    Attributes
    ----------
    reference : Reference
        As given.
    folder : str
        Folder of its pieces.
    arrays : dict of str to ArrayObjects
        Arrays of data, by path.
    others : dict of str to Entry
        Objects beside the data, by key.
    """

    def __init__(self, store: Store, reference: Reference) -> None:
        self._store = store
        self.reference = reference
        self.folder = reference.key.removesuffix(".json")
        document = decode_document(_read_manifest(store, reference.key, reference.entry), node=reference.key)
        if document.get("format") != FORMAT:
            raise UnsupportedError(f"manifest of format {document.get('format')}", f"format {FORMAT} is")
        try:
            self.arrays = {
                _plain_key(path): ArrayObjects(path, tuple(item["grid"]), _keys(item))
                for path, item in document["arrays"].items()
            }
            self._pieces = {
                path: {_number(piece): _entry(length, crc) for piece, length, crc in item["pieces"]}
                for path, item in document["arrays"].items()
            }
            self.others = {_plain_key(key): _entry(length, crc) for key, length, crc in document["objects"]}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MetadataError(reference.key, "arrays", found=str(error), expected="a manifest") from error
        for array in self.arrays.values():
            if not array.grid or any(type(size) is not int or size < 1 for size in array.grid):
                raise MetadataError(reference.key, array.path, found=array.grid, expected="objects along each axis")
        self._lock = threading.Lock()
        self._unpacked: OrderedDict[tuple[str, int], Any] = OrderedDict()

    def entry(self, path: str, index: Sequence[int]) -> Entry | None:
        """Look up an object of an array; None where it is not stored, being all fill.

        Raises
        ------
        ChunkReadError
            If the piece is lost or damaged.
        MetadataError
            If the manifest has another grid of objects for the array.
        StoreError
            If the store fails.
        """
        array = self.arrays.get(path)
        if array is None:
            return None
        if len(index) != len(array.grid) or any(at >= size for at, size in zip(index, array.grid, strict=True)):
            raise MetadataError(self.folder, path, found=array.grid, expected=f"objects up to {tuple(index)}")
        piece, at = divmod(array.number(index), PIECE)
        found = self._piece(array, piece)
        if found is None or found[0][at] == 0:
            return None
        return Entry(int(found[0][at]), int(found[1][at]))

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """List all objects that are stored, by key, piece by piece."""
        yield from self.others.items()
        for array in self.arrays.values():
            for key, entry in self.array_entries(array):
                yield array.key(key), entry

    def own(self) -> Iterator[tuple[str, Entry]]:
        """List what the manifest itself is stored as, by key."""
        yield self.reference.key, self.reference.entry
        for path, pieces in self._pieces.items():
            for piece, entry in pieces.items():
                yield self.piece_key(self.arrays[path], piece), entry

    def array_entries(self, array: ArrayObjects) -> Iterator[tuple[int, Entry]]:
        """List the stored objects of an array, by number."""
        for piece in self.pieces_of(array):
            yield from self.piece_entries(array, piece)

    def pieces_of(self, array: ArrayObjects) -> list[int]:
        """List the pieces of an array that hold any object, in their order."""
        return sorted(self._pieces[array.path])

    def piece_key(self, array: ArrayObjects, piece: int) -> str:
        """Key of a piece."""
        return piece_key(self.folder, array, piece)

    def piece_entries(self, array: ArrayObjects, piece: int) -> list[tuple[int, Entry]]:
        """List the stored objects of a piece, by number.

        Raises
        ------
        ChunkReadError
            If the piece is lost or damaged.
        StoreError
            If the store fails.
        """
        found = self._piece(array, piece)
        if found is None:
            return []
        first = piece * PIECE
        return [(first + int(at), Entry(int(found[0][at]), int(found[1][at]))) for at in np.flatnonzero(found[0])]

    def _piece(self, array: ArrayObjects, piece: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]] | None:
        place = (array.path, piece)
        entry = self._pieces[array.path].get(piece)
        if entry is None:
            return None
        with self._lock:
            found = self._unpacked.get(place)
            if found is not None:
                self._unpacked.move_to_end(place)
                return found  # type: ignore[no-any-return]
        key = self.piece_key(array, piece)
        count = max(0, min(PIECE, array.count - piece * PIECE))
        unpacked = decode_piece(_read_manifest(self._store, key, entry, most=_MOST_PIECE), count, node=key)
        with self._lock:
            self._unpacked[place] = unpacked
            while len(self._unpacked) > KEPT:
                self._unpacked.popitem(last=False)
        return unpacked


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _entry(length: Any, crc32: Any) -> Entry:
    return Entry(_number(length), _number(crc32))


def _keys(item: dict[str, Any]) -> KeyEncoding:
    """Read how the keys of an array are written: as in Zarr v2 where a separator is named."""
    if "separator" not in item:
        return KEYS[3]
    if item["separator"] not in ("/", "."):
        raise ValueError(f"{item['separator']!r} separates no numbers")
    return KeyEncoding(item["separator"], "")


def _plain_key(key: Any) -> str:
    """Return a key, or path, if it stays in the store, whatever that is."""
    if not isinstance(key, str) or any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"{key!r} is no key")
    return key


def piece_key(folder: str, array: ArrayObjects, piece: int) -> str:
    """Key of a piece, in the folder of its manifest."""
    return join(folder, array.path, str(piece))


def check(data: bytes, entry: Entry, *, array: str, chunk: str) -> None:
    """Compare an object with what is known of it.

    Raises
    ------
    ChunkReadError
        If it is another one.
    """
    if len(data) != entry.length:
        cause = ValueError(f"{len(data)} bytes, expected {entry.length}")
        raise ChunkReadError(array, chunk, "is not as long as it was stored") from cause
    if zlib.crc32(data) != entry.crc32:
        cause = ValueError(f"crc32 is not {entry.crc32:#010x}")
        raise ChunkReadError(array, chunk, "is not what was stored") from cause


def read_object(store: Store, key: str, entry: Entry, *, array: str, chunk: str) -> bytes:
    """Read an object that is as it was stored; one that is longer is not read.

    Raises
    ------
    ChunkReadError
        If it is lost, or another one.
    StoreError
        If the store fails.
    """
    try:
        return _read(store, key, entry, most=entry.length, array=array, chunk=chunk)
    except LimitError as error:
        raise ChunkReadError(array, chunk, "is longer than it was stored") from error


def _read_manifest(store: Store, key: str, entry: Entry, *, most: int = MOST) -> bytes:
    """Read the manifest or a piece of it."""
    return _read(store, key, entry, most=min(most, entry.length + 1), array=key, chunk="manifest")


def _read(store: Store, key: str, entry: Entry, *, most: int, array: str, chunk: str) -> bytes:
    found = store.get(key, most=most)
    if found is None:
        raise ChunkReadError(array, chunk, "is lost") from FileNotFoundError(key)
    check(found.data, entry, array=array, chunk=chunk)
    return found.data


def document(
    arrays: Sequence[ArrayObjects],
    pieces: Mapping[tuple[str, int], Entry],
    others: Mapping[str, Entry],
) -> dict[str, Any]:
    """Return the document of a manifest.

    Parameters
    ----------
    arrays : sequence of ArrayObjects
        Arrays of data.
    pieces : mapping of (path, piece) to Entry
        Their pieces that name any object.
    others : mapping of key to Entry
        Objects beside the data.
    """
    by_array: dict[str, list[list[int]]] = {array.path: [] for array in arrays}
    for (path, piece), entry in sorted(pieces.items()):
        by_array[path].append([piece, *entry])
    return {
        "format": FORMAT,
        "arrays": {
            array.path: {"grid": list(array.grid), **_stated_keys(array.keys), "pieces": by_array[array.path]}
            for array in arrays
        },
        "objects": [[key, *entry] for key, entry in sorted(others.items())],
    }


def _stated_keys(keys: KeyEncoding) -> dict[str, str]:
    return {} if keys == KEYS[3] else {"separator": keys.separator}
