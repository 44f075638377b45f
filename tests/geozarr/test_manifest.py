"""The manifest: what was written is found again, by arithmetic, and what is not so is noticed."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from geozarr import ChunkReadError, MetadataError, manifest, store
from geozarr.manifest import ATTRIBUTE, PIECE, ArrayObjects, Entry, Manifest, Reference

if TYPE_CHECKING:
    from geozarr.stores import Store

BUILD = "0123456789abcdef"
FOLDER = f".build/{BUILD}/manifest"


def write(
    arrays: dict[ArrayObjects, dict[int, Entry]], others: dict[str, Entry] | None = None
) -> tuple[Store, Reference]:
    """Write a manifest the plain way."""
    target = store.open_store(MemoryStore())
    pieces = {}
    for array, objects in arrays.items():
        for piece in range(array.pieces):
            size = min(PIECE, array.count - piece * PIECE)
            table = np.zeros((2, size), np.uint32)
            for number, entry in objects.items():
                if number // PIECE == piece:
                    table[:, number % PIECE] = entry
            if table.any():
                data = manifest.encode_piece(*table)
                target.put(manifest.piece_key(FOLDER, array, piece), data)
                pieces[array.path, piece] = manifest.checksum(data)
    data = store.encode_document(manifest.document(list(arrays), pieces, others or {}))
    key = manifest.manifest_key(BUILD)
    target.put(key, data)
    return target, Reference(BUILD, key, manifest.checksum(data))


@given(
    grid=st.lists(st.integers(1, 600), min_size=2, max_size=3).map(tuple),
    data=st.data(),
)
def test_what_was_written_is_found_and_nothing_else(grid: tuple[int, ...], data: st.DataObject) -> None:
    array = ArrayObjects("9/band", grid)
    numbers = data.draw(st.sets(st.integers(0, array.count - 1), max_size=8))
    objects = {number: Entry(number + 1, (number * 2654435761) % 2**32) for number in numbers}
    target, reference = write({array: objects}, {"9/zarr.json": Entry(5, 6)})
    found = Manifest(target, reference)
    for number in {*numbers, 0, array.count - 1}:
        index = np.unravel_index(number, grid)
        assert array.number(index) == number
        assert found.entry("9/band", index) == objects.get(number)
        assert array.key(number) == "9/band/c/" + "/".join(map(str, index))
    expected = {array.key(number): entry for number, entry in objects.items()} | {"9/zarr.json": Entry(5, 6)}
    assert dict(found.entries()) == expected
    assert found.entry("8/band", (0, 0)) is None


def test_a_lookup_reads_one_piece_once() -> None:
    array = ArrayObjects("9/band", (PIECE // 256 * 3, 256))
    target, reference = write({array: {0: Entry(1, 2), 2 * PIECE: Entry(3, 4)}})
    found = Manifest(target, reference)
    read: list[str] = []
    get = target.get
    target.get = lambda key, **rest: read.append(key) or get(key, **rest)  # type: ignore[method-assign]
    assert found.entry("9/band", (0, 0)) == Entry(1, 2)
    assert found.entry("9/band", (0, 1)) is None
    assert found.entry("9/band", (PIECE // 256, 7)) is None, "a piece without objects is not stored"
    assert read == [f"{FOLDER}/9/band/0"]


@pytest.mark.parametrize("size", [0, 1, 5 * 1024, 5 * 1024 + 1, 100_000, 2**19, 2**19 + 1])
def test_the_checksum_is_the_crc32_of_zip_files_whatever_the_size(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert manifest.checksum(data) == (size, zlib.crc32(data))


def test_objects_that_end_with_their_own_crc32c_are_told_apart() -> None:
    """As chunks in shards do: CRC-32C of a message and its CRC-32C is one constant, whatever the message."""
    messages = [bytes([number]) * 100 for number in range(4)]
    ended = [data + struct.pack("<I", google_crc32c.value(data)) for data in messages]
    assert len({google_crc32c.value(one + other) for one in ended for other in ended}) == 1
    assert len({manifest.checksum(one + other) for one in ended for other in ended}) == 16


@pytest.mark.parametrize("damage", ["cut", "flip", "lose"])
@pytest.mark.parametrize("where", ["manifest.json", "manifest/9/band/0"])
def test_damage_to_the_manifest_itself_is_noticed(damage: str, where: str) -> None:
    target, reference = write({ArrayObjects("9/band", (4, 4)): {3: Entry(1, 2)}})
    key = f".build/{BUILD}/{where}"
    whole = target.get(key)
    assert whole is not None
    if damage == "lose":
        target.delete(key)
    else:
        target.put(key, whole.data[:-3] if damage == "cut" else whole.data[:-1] + bytes([whole.data[-1] ^ 4]))
    with pytest.raises(ChunkReadError):
        Manifest(target, reference).entry("9/band", (0, 3))


@given(st.binary(max_size=200), st.integers(1, 100))
def test_a_piece_of_whatever_bytes_is_refused_or_has_its_size(data: bytes, count: int) -> None:
    try:
        lengths, checksums = manifest.decode_piece(data, count, node="x")
    except ChunkReadError:
        return
    assert len(lengths) == len(checksums) == count


def test_a_piece_is_not_unpacked_beyond_its_size() -> None:
    """A megabyte that would unpack to a gigabyte."""
    bomb = manifest.encode_piece(np.zeros(2**27, np.uint32), np.zeros(2**20, np.uint32))
    with pytest.raises(ChunkReadError, match="another size"):
        manifest.decode_piece(bomb, 1000, node="x")


def test_a_reference_survives_the_root_document() -> None:
    reference = Reference(BUILD, manifest.manifest_key(BUILD), Entry(10, 20))
    assert manifest.reference_of({ATTRIBUTE: reference.to_attribute()}) == reference
    assert manifest.reference_of({}) is None


def test_a_store_may_have_no_manifest_and_says_so() -> None:
    attributes = {ATTRIBUTE: manifest.without_manifest(BUILD)}
    assert manifest.reference_of(attributes) is None
    assert manifest.build_without_manifest(attributes) == BUILD
    reference = Reference(BUILD, manifest.manifest_key(BUILD), Entry(10, 20))
    for other in ({}, {ATTRIBUTE: reference.to_attribute()}, {ATTRIBUTE: {"build": "../x", "manifest": None}}):
        assert manifest.build_without_manifest(other) is None


@pytest.mark.parametrize(
    "stated",
    [
        5,
        {},
        {"build": BUILD},
        {"build": BUILD, "manifest": {"key": "../../etc/passwd", "length": 1, "crc32": 1}},
        {"build": "../x", "manifest": {"key": ".build/../x/manifest.json", "length": 1, "crc32": 1}},
        {"build": BUILD, "manifest": {"key": manifest.manifest_key(BUILD), "length": -1, "crc32": 1}},
        {"build": BUILD, "manifest": {"key": manifest.manifest_key(BUILD), "length": True, "crc32": 1}},
    ],
)
def test_a_malformed_reference_is_refused(stated: object) -> None:
    with pytest.raises(MetadataError):
        manifest.reference_of({ATTRIBUTE: stated})


def test_thirty_five_million_objects_stay_far_below_two_gigabytes() -> None:
    """Checksums are as good as random and lengths vary by a tenth: a piece times the number of pieces."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(90_000, 110_000, PIECE).astype(np.uint32)
    checksums = rng.integers(0, 2**32, PIECE, dtype=np.uint32)
    assert len(manifest.encode_piece(lengths, checksums)) * 35e6 / PIECE < 0.3e9
