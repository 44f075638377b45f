"""A zip file is read as a store, whatever it says of itself (FAULTS.md C1, T4, T8)."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from faults import contents
from geozarr import GeoZarrError, LimitError, MetadataError, StoreError, UnsupportedError, store, zip_store
from geozarr.stores import Store
from geozarr.zip_store import END, END64, ENTRY, LOCAL, LOCATOR64, ZipStore
from pyramids.zip_writer import ZipWriter

if TYPE_CHECKING:
    from pathlib import Path

OBJECTS = {
    "zarr.json": b'{"zarr_format": 3, "node_type": "group"}',
    "0/zarr.json": b"{}",
    "0/v/zarr.json": b"[]" * 50,
    "0/v/c/0/0": bytes(range(256)) * 4,
    "0/v/c/0/1": b"",
    "0/v/c/10/1": b"\0\xff" * 33,
    ".build/ab/manifest.json": b"{}",
    "größe/zarr.json": "ü".encode(),
}


def zipped(path: Path, objects: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip file with the standard library."""
    with zipfile.ZipFile(path, "w", method) as file:
        for key, data in objects.items():
            file.writestr(key, data)
    return path


def raw(path: Path, entries: list[dict[str, Any]], *, end: dict[str, Any] | None = None) -> Path:
    """Write a zip file field by field; an entry may say something else in the list than before its bytes."""
    body, lines = io.BytesIO(), io.BytesIO()
    for entry in entries:
        name, data = entry.get("name", b"a"), entry.get("data", b"x")
        offset = body.tell()
        crc, size = zlib.crc32(entry.get("plain", data)), len(entry.get("plain", data))
        flags, method = entry.get("flags", 0), entry.get("method", 0)
        local = entry.get("local_name", name)
        body.write(LOCAL.pack(b"PK\3\4", 20, flags, method, 0, 33, crc, len(data), size, len(local), 0) + local + data)
        packed, size = entry.get("packed", len(data)), entry.get("size", size)
        extra = entry.get("extra", b"")
        offset = entry.get("offset", offset)
        head = (b"PK\1\2", 20, 20, flags, method, 0, 33, entry.get("crc", crc), packed, size, len(name), len(extra))
        lines.write(ENTRY.pack(*head, 0, entry.get("disk", 0), 0, 0, offset) + name + extra)
    stated = {"disk": 0, "first": 0, "here": None, "count": len(entries), "size": lines.tell(), "offset": body.tell()}
    stated |= end or {}
    here = stated["count"] if stated["here"] is None else stated["here"]
    comment = stated.pop("comment", b"")
    last = (stated["disk"], stated["first"], here, stated["count"], stated["size"], stated["offset"])
    path.write_bytes(body.getvalue() + lines.getvalue() + END.pack(b"PK\5\6", *last, len(comment)) + comment)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_it_reads_as_a_store_in_memory_does(tmp_path: Path, method: int) -> None:
    memory = store.open_store(MemoryStore())
    for key, data in OBJECTS.items():
        memory.put(key, data)
    found = store.open_store(zipped(tmp_path / "x.zip", OBJECTS, method=method))
    assert isinstance(found, ZipStore)
    assert isinstance(found, Store)
    assert contents(found) == OBJECTS
    parts: list[dict[str, int]] = [
        {},
        {"first": 2},
        {"first": 2, "length": 5},
        {"first": 2, "length": 9999},
        {"last": 3},
    ]
    for key in (*OBJECTS, "0", "0/v/c", "nope", "0/v/c/0", "zarr.json/x", ""):
        for part in parts:
            # obstore has no range that begins at the end of an object, and no object without a name.
            if key and len(OBJECTS.get(key, b"...")) > part.get("first", -1):
                assert found.get(key, **part) == memory.get(key, **part), (key, part)
    assert found.get("") is None
    empty = found.get("0/v/c/0/1", first=2, length=5)
    assert empty is not None
    assert empty == (b"", 0)
    for prefix in ("", "0", "0/", "0/v", "0/v/c", "0/v/c/1", ".build", "nope"):
        assert found.children(prefix) == memory.children(prefix)
        assert sorted(found.listed(prefix)) == sorted(memory.listed(prefix))
    with pytest.raises(LimitError):
        found.get("0/v/c/0/0", most=1023)
    assert found.get("0/v/c/0/0", most=4, last=4) == memory.get("0/v/c/0/0", last=4)


def test_a_range_reads_no_more_than_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ZipStore(zipped(tmp_path / "x.zip", {"big": bytes(10**6)}))
    read = 0
    part = ZipStore._part

    def counted(self: ZipStore, start: int, length: int) -> bytes:
        nonlocal read
        read += length
        return part(self, start, length)

    monkeypatch.setattr(ZipStore, "_part", counted)
    assert found.get("big", first=500_000, length=100) == (bytes(100), 10**6)
    assert read < 200


def test_nothing_is_written_to_it(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", OBJECTS)
    before = path.read_bytes()
    found = store.open_store(path)
    for refused in (lambda: found.put("a", b"x"), lambda: found.put("a", b"x", create=True), lambda: found.delete("0")):
        with pytest.raises(StoreError) as caught:
            refused()
        assert isinstance(caught.value.__cause__, OSError)
    found.sync()
    with pytest.raises(UnsupportedError, match="pack"):
        store.open_store(tmp_path / "new.zip", create=True)
    with pytest.raises(UnsupportedError, match="pack"):
        store.open_store(path, create=True)
    assert path.read_bytes() == before
    assert not (tmp_path / "new.zip").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.zip"):
        store.open_store(tmp_path / "none.zip")


def test_without_pread_it_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pread", raising=False)
    assert contents(ZipStore(zipped(tmp_path / "x.zip", OBJECTS))) == OBJECTS


def test_folders_of_their_own_and_a_comment_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/", b"")
        file.writestr("a/b", b"x")
        file.comment = b"PK\5\6" + bytes(30) + b"handed over"
    assert contents(ZipStore(path)) == {"a/b": b"x"}
    assert ZipStore(path).children() == ["a"]


def test_an_empty_one_is_an_empty_store(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w"):
        pass
    assert contents(ZipStore(tmp_path / "x.zip")) == {}


KERNEL = zlib.compress(bytes(2**20), 9)[2:-4]
BOMB = zlib.compress(bytes(2**25), 9)[2:-4]  # 32 KB that unpack to 32 MiB
HOSTILE: dict[str, tuple[list[dict[str, Any]], dict[str, Any], type[GeoZarrError]]] = {
    "two of a name": ([{"name": b"a"}, {"name": b"b"}, {"name": b"a"}], {}, MetadataError),
    "above": ([{"name": b"../a"}], {}, MetadataError),
    "above, inside": ([{"name": b"a/../../b"}], {}, MetadataError),
    "dot": ([{"name": b"a/./b"}], {}, MetadataError),
    "absolute": ([{"name": b"/etc/passwd"}], {}, MetadataError),
    "empty part": ([{"name": b"a//b"}], {}, MetadataError),
    "no name": ([{"name": b""}], {}, MetadataError),
    "backslash": ([{"name": b"..\\a"}], {}, MetadataError),
    "nul": ([{"name": b"a\0b"}], {}, MetadataError),
    "newline": ([{"name": b"a\nb"}], {}, MetadataError),
    "no ascii": ([{"name": b"\xff"}], {}, MetadataError),
    "no utf-8": ([{"name": b"\xff", "flags": 0x800}], {}, MetadataError),
    "surrogate": ([{"name": b"\xed\xa0\x80", "flags": 0x800}], {}, MetadataError),
    "long": ([{"name": b"a" * 2000}], {}, LimitError),
    "deep": ([{"name": b"a/" * 200 + b"b"}], {}, LimitError),
    "encrypted": ([{"flags": 1}], {}, UnsupportedError),
    "list encrypted": ([{"flags": 0x2000}], {}, UnsupportedError),
    "method": ([{"method": 12}], {}, UnsupportedError),
    "other disk": ([{"disk": 1}], {}, UnsupportedError),
    "several disks": ([{}], {"disk": 1}, UnsupportedError),
    "fewer here": ([{}], {"here": 0}, UnsupportedError),
    "stored, other sizes": ([{"size": 5}], {}, MetadataError),
    "beyond the list": ([{"packed": 10**6, "size": 10**6}], {}, MetadataError),
    "placed in the list": ([{"offset": 32}], {}, MetadataError),
    "overlapping": ([{"name": b"%d" % at, "data": bytes(99), "offset": 0} for at in range(2)], {}, MetadataError),
    "more than stated": ([{}, {"name": b"b"}], {"count": 1}, MetadataError),
    "fewer than stated": ([{}], {"count": 2}, MetadataError),
    "far fewer": ([{}], {"count": 65534}, MetadataError),
    "list elsewhere": ([{}], {"offset": 3}, MetadataError),
    "list after the end": ([{}], {"offset": 2**31}, MetadataError),
    "list of another size": ([{}], {"size": 2**31}, MetadataError),
    "large, nowhere": ([{}], {"offset": 2**32 - 1}, MetadataError),
    "large entry, no field": ([{"size": 2**32 - 1}], {}, MetadataError),
    "large entry, short field": ([{"size": 2**32 - 1, "extra": struct.pack("<2HL", 1, 4, 1)}], {}, MetadataError),
    "large entry, field cut": ([{"size": 2**32 - 1, "extra": struct.pack("<2HL", 1, 8, 1)}], {}, MetadataError),
    "large entry, huge": ([{"size": 2**32 - 1, "extra": struct.pack("<2HQ", 1, 8, 2**63)}], {}, MetadataError),
    "another entry there": ([{"local_name": b"b"}], {}, MetadataError),
    "other bytes": ([{"crc": 1}], {}, StoreError),
    "bomb, and says so": ([{"data": BOMB, "method": 8, "plain": b"", "size": 2**31}], {}, LimitError),
    "bomb, and does not": ([{"data": BOMB, "method": 8, "plain": b"", "size": 10}], {}, StoreError),
    "no deflate": ([{"data": b"\xff" * 20, "method": 8, "size": 10}], {}, StoreError),
    "padding": ([{"data": bytes(10**6), "method": 8, "size": 10}], {}, LimitError),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_one_is_a_typed_error(tmp_path: Path, name: str) -> None:
    entries, end, error = HOSTILE[name]
    path = raw(tmp_path / "x.zip", entries, end=end)
    tracemalloc.start()
    try:
        with pytest.raises(error):
            contents(store.open_store(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20


def test_what_the_raw_writer_writes_is_sound_when_nothing_is_changed(tmp_path: Path) -> None:
    deflated = zlib.compress(b"text" * 9, 9)[2:-4]
    entries = [{"name": b"a/b"}, {"name": b"c", "data": deflated, "plain": b"text" * 9, "method": 8}]
    path = raw(tmp_path / "x.zip", entries, end={"comment": b"hello"})
    assert contents(store.open_store(path)) == {"a/b": b"x", "c": b"text" * 9}
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None


def test_entries_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """The quoted-overlap bomb: many entries over one packed kernel."""
    kernel = {"data": KERNEL, "method": 8, "plain": bytes(2**20)}
    path = raw(tmp_path / "one.zip", [{**kernel, "name": b"0"}])
    assert contents(ZipStore(path)) == {"0": bytes(2**20)}
    line = path.read_bytes()[LOCAL.size + 1 + len(KERNEL) : -END.size]
    lines = b"".join(line[:-1] + b"%x" % at for at in range(16))
    body = path.read_bytes()[: LOCAL.size + 1 + len(KERNEL)]
    end = END.pack(b"PK\5\6", 0, 0, 16, 16, len(lines), len(body), 0)
    (tmp_path / "many.zip").write_bytes(body + lines + end)
    with pytest.raises(MetadataError, match="bytes in entries"):
        ZipStore(tmp_path / "many.zip")


@pytest.mark.parametrize("length", [0, 1, 21, 22, 1000])
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / "x.zip").write_bytes(b"P" * length)
    with pytest.raises(MetadataError, match="end of central directory"):
        store.open_store(tmp_path / "x.zip")


def test_a_file_that_was_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = zipped(tmp_path / "x.zip", OBJECTS).read_bytes()
    for length in range(len(data)):
        (tmp_path / "y.zip").write_bytes(data[:length])
        with pytest.raises(GeoZarrError):
            contents(store.open_store(tmp_path / "y.zip"))


def test_a_file_cut_while_it_is_open_is_a_typed_error(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", OBJECTS)
    found = ZipStore(path)
    os.truncate(path, 10)
    with pytest.raises(StoreError) as caught:
        found.get("0/v/c/0/0")
    assert isinstance(caught.value.__cause__, EOFError)


@given(st.data())
def test_any_byte_may_be_another(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Each object is as it was, or gone under its name, or a typed error; nothing else is raised."""
    folder = tmp_path_factory.mktemp("zip", numbered=True)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = zipped(folder / "x.zip", {"a/b": b"text" * 50, "c": b"y" * 9}, method=method)
        whole = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(whole)
        try:
            found = contents(store.open_store(path))
        except GeoZarrError:
            continue
        assert set(found.values()) <= {b"text" * 50, b"y" * 9}
        path.unlink()


# Large ones


def test_more_entries_than_two_bytes_count(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with path.open("wb") as file, ZipWriter(file) as writer:
        for number in range(70_000):
            writer.add(f"v/c/{number // 300}/{number % 300}", b"%d" % number)
        writer.finish()
    found = ZipStore(path)
    assert sum(1 for _ in found.listed()) == 70_000
    for number in (0, 1, 65_535, 69_999):
        assert found.get(f"v/c/{number // 300}/{number % 300}") == (b"%d" % number, len(str(number)))
    assert len(found.children("v/c")) == 234
    with zipfile.ZipFile(path) as file:
        assert len(file.namelist()) == 70_000
        assert file.read("v/c/233/99") == b"69999"


def test_entries_beyond_four_gigabytes(tmp_path: Path) -> None:
    """The gap is a hole of the file: nothing of it is on the disk."""
    path = tmp_path / "x.zip"
    with path.open("wb") as file, ZipWriter(file) as writer:
        writer.add("near", b"one")
        file.seek(2**32 + 7)
        writer.add("far", b"two")
        writer.finish()
    assert contents(ZipStore(path)) == {"near": b"one", "far": b"two"}
    with zipfile.ZipFile(path) as file:
        assert (file.read("near"), file.read("far")) == (b"one", b"two")
    assert path.stat().st_blocks * 512 < 10**6


@pytest.mark.parametrize("field", ["mark", "length", "offset", "count", "disks"])
def test_a_lie_in_the_large_records_is_refused(tmp_path: Path, field: str) -> None:
    path = tmp_path / "x.zip"
    with path.open("wb") as file, ZipWriter(file) as writer:
        file.seek(2**32 + 7)
        writer.add("far", b"two")
        writer.finish()
    size = path.stat().st_size
    record = size - END.size - LOCATOR64.size - END64.size
    at, value = {
        "mark": (record, b"XXXX"),
        "length": (record + 4, b"\xff" * 8),
        "count": (record + 24, b"\xff" * 16),
        "offset": (record + 48, b"\xff" * 8),
        "disks": (record + END64.size + 16, b"\xff" * 4),
    }[field]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(value)
    with pytest.raises((MetadataError, LimitError, UnsupportedError)):
        ZipStore(path)


@pytest.mark.parametrize(("limit", "value"), [("MOST_DIRECTORY", 100), ("MOST_ENTRIES", 7), ("MOST_FOLDERS", 3)])
def test_limits_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    path = zipped(tmp_path / "x.zip", OBJECTS)
    ZipStore(path)
    monkeypatch.setattr(zip_store, limit, value)
    with pytest.raises(LimitError) as caught:
        ZipStore(path)
    assert caught.value.allowed == value


def test_names_that_share_a_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_store, "hash", lambda _: 7, raising=False)
    assert contents(ZipStore(zipped(tmp_path / "x.zip", OBJECTS))) == OBJECTS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "y.zip", "w") as file:
            for name in ("a", "b", "c", "b"):
                file.writestr(name, b"x")
    with pytest.raises(MetadataError, match="two entries"):
        ZipStore(tmp_path / "y.zip")
