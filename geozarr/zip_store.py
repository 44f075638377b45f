"""A zip file as a store that is read only.

A zip file lists its entries at its end, with the place of each; an entry that is stored, not deflated, is read like a
range of a file. The list is kept as its bytes, beside a sorted hash of each name: a million entries take some 90 MB.

What a zip file says is not trusted. The list must end where the file's last record begins, its entries must lie before
it and cannot overlap beyond the size of the file, names must be plain relative paths and differ, and what stands before
an entry's bytes must name that entry. Nothing is unpacked beyond the size that the list states, and that is bounded.

References: PKWARE, .ZIP File Format Specification 6.3.10, sections 4.3 to 4.5.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import weakref
import zlib
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from geozarr.errors import LimitError, MetadataError, StoreError, UnsupportedError
from geozarr.stores import Found, Listed

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_DIRECTORY = 128 * 2**20  # bytes of the list of entries: 1.7 million chunks; larger pyramids have shards
MOST_ENTRIES = 2_000_000
MOST_FOLDERS = 500_000
MOST_KEY = 1_024  # bytes of a name
MOST_DEPTH = 64  # parts of a name
MOST_UNPACKED = 64 * 2**20  # bytes of a deflated entry; as much as a decoded chunk may have

STORED, DEFLATED = 0, 8
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_UTF8 = 0x0800
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF  # "see the extra field"
_ZIP64 = 0x0001  # id of that extra field

LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
ENTRY = struct.Struct("<4s6H3L5H2L")  # 4.3.12
END = struct.Struct("<4s4H2LH")  # 4.3.16
END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
LOCATOR64 = struct.Struct("<4sLQL")  # 4.3.15
LOCAL_MARK, ENTRY_MARK, END_MARK = b"PK\3\4", b"PK\1\2", b"PK\5\6"
END64_MARK, LOCATOR64_MARK = b"PK\6\6", b"PK\6\7"


class _Directory(NamedTuple):
    """Where the list of entries lies."""

    offset: int
    size: int
    entries: int


class _Entry(NamedTuple):
    """An entry, as the list has it."""

    name: bytes
    is_utf8: bool
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    after: int  # position of the next one


class ZipStore:
    """Objects of a zip file.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    StoreError
        If it cannot be opened or read.
    MetadataError
        If it is no zip file, or what it says of itself does not hold.
    LimitError
        If it has more entries than any pyramid, or larger ones.
    UnsupportedError
        If it is encrypted, packed by another method, or goes over several files.
    """

    def __init__(self, path: str | Path) -> None:
        self.location = str(path)
        self._lock = threading.Lock()
        try:
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            weakref.finalize(self, os.close, self._file)
            self._length = os.fstat(self._file).st_size
        except (OSError, ValueError) as error:
            raise StoreError("open", self.location) from error
        self._place = self._find_directory()
        self._directory = self._bytes(self._place.offset, self._place.size)
        self._hashes, self._positions, self._folders = self._index()

    def __repr__(self) -> str:
        return f"ZipStore({self.location!r})"

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        """Read an object, or a range of it."""
        entry = self._entry(key)
        if entry is None:
            return None
        start = max(0, entry.size - last) if last is not None else min(first, entry.size)
        stop = entry.size if last is not None or length is None else min(entry.size, start + length)
        if most is not None and stop - start > most:
            raise LimitError("stored object in bytes", allowed=most, found=stop - start)
        begin = self._begin(entry)
        if entry.method == DEFLATED:
            return Found(self._unpacked(key, entry, begin)[start:stop], entry.size)
        data = self._bytes(begin + start, stop - start)
        if stop - start == entry.size:
            self._require_same(key, entry, data)
        return Found(data, entry.size)

    def stamp(self, key: str) -> str | None:
        """Return what changes when the file is replaced or written to, whichever entry is meant."""
        try:
            found = Path(self.location).stat()
        except OSError as error:
            raise StoreError("head", key) from error
        return None if self._entry(key) is None else f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:  # noqa: ARG002 - the protocol's signature
        """Refuse to write."""
        self._refuse("put", key)

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        """List the objects below a prefix."""
        start = f"{prefix.strip('/')}/".encode() if prefix.strip("/") else b""
        for _, entry in self._entries():
            if entry.name.startswith(start) and not entry.name.endswith(b"/"):
                yield Listed(entry.name.decode(), entry.size)

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix, sorted."""
        return sorted(self._folders.get(prefix.strip("/"), ()))

    def delete(self, key: str) -> None:
        """Refuse to delete."""
        self._refuse("delete", key)

    def sync(self) -> None:
        """Do nothing: nothing was put."""

    def _refuse(self, operation: str, key: str) -> NoReturn:
        raise StoreError(operation, key) from OSError(errno.EROFS, "a zip file is read only", self.location)

    def _malformed(self, key: str, *, found: object, expected: str) -> MetadataError:
        return MetadataError(self.location, key, found=found, expected=expected)

    # The list of entries

    def _find_directory(self) -> _Directory:
        """Find the list of entries by the record at the end of the file, which a comment may follow."""
        start = max(0, self._length - END.size - _FULL16)
        tail = self._bytes(start, self._length - start)
        at = tail.rfind(END_MARK)
        while at >= 0:
            if len(tail) - at >= END.size:
                *_, comment = END.unpack_from(tail, at)
                if at + END.size + comment == len(tail):
                    break
            at = tail.rfind(END_MARK, 0, at)
        else:
            raise self._malformed("end of central directory", found=None, expected="a zip file, whole")
        _, disk, first_disk, here, count, size, offset, _ = END.unpack_from(tail, at)
        end = start + at
        if _FULL16 in (disk, first_disk, here, count) or _FULL32 in (size, offset):
            end, disk, first_disk, here, count, size, offset = self._large(end)
        if disk or first_disk or here != count:
            raise UnsupportedError(f"{self.location}: a zip file in several parts", "one file is")
        if offset + size != end or count * ENTRY.size > size:
            found = f"{count} entries in {size} bytes at {offset}"
            raise self._malformed("central directory", found=found, expected=f"to end at {end}")
        if size > MOST_DIRECTORY:
            raise LimitError("bytes of the list of a zip file", allowed=MOST_DIRECTORY, found=size)
        if count > MOST_ENTRIES:
            raise LimitError("entries of a zip file", allowed=MOST_ENTRIES, found=count)
        return _Directory(offset, size, count)

    def _large(self, end: int) -> tuple[int, int, int, int, int, int, int]:
        """Read the record that has room for large numbers (ZIP64)."""
        at = end - LOCATOR64.size
        mark, _, offset, disks = LOCATOR64.unpack(self._bytes(at, LOCATOR64.size)) if at >= 0 else (b"", 0, 0, 0)
        if mark != LOCATOR64_MARK or offset + END64.size > at or disks > 1:
            raise self._malformed("zip64 end of central directory", found=None, expected="its place, before the end")
        mark, length, _, _, disk, first_disk, here, count, size, start = END64.unpack(self._bytes(offset, END64.size))
        if mark != END64_MARK or offset + 12 + length != at:
            raise self._malformed("zip64 end of central directory", found=mark, expected=f"a record up to {at}")
        return offset, disk, first_disk, here, count, size, start

    def _entries(self) -> Iterator[tuple[int, _Entry]]:
        at = 0
        for _ in range(self._place.entries):
            entry = self._parse(at)
            yield at, entry
            at = entry.after

    def _parse(self, at: int) -> _Entry:
        """Read an entry of the list, whose numbers were checked when the file was opened."""
        data = self._directory
        if at + ENTRY.size > len(data):
            raise self._malformed("central directory", found=f"{at} bytes", expected=f"{self._place.entries} entries")
        fields = ENTRY.unpack_from(data, at)
        mark, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length = fields[:13]
        disk, _, _, offset = fields[13:]
        name_at = at + ENTRY.size
        extra_at = name_at + name_length
        after = extra_at + extra_length + comment_length
        if mark != ENTRY_MARK or after > len(data):
            raise self._malformed("central directory", found=mark, expected=f"{self._place.entries} entries")
        name = data[name_at:extra_at]
        if _FULL32 in (packed, size, offset):
            extra = data[extra_at : extra_at + extra_length]
            size, packed, offset = self._wide(name, extra, size, packed, offset)
        if flags & _ENCRYPTED:
            raise UnsupportedError(f"{self.location}: an encrypted entry {_shown(name)}", "plain ones are")
        if method not in (STORED, DEFLATED):
            raise UnsupportedError(f"{self.location}: method {method} of entry {_shown(name)}", "0 and 8 are")
        if disk:
            raise UnsupportedError(f"{self.location}: a zip file in several parts", "one file is")
        return _Entry(name, bool(flags & _UTF8), method, crc, packed, size, offset, after)

    def _wide(self, name: bytes, extra: bytes, *numbers: int) -> list[int]:
        """Replace numbers that have no room by those of the extra field, which are in the same order (4.5.3)."""
        at = 0
        while at + 4 <= len(extra):
            kind, length = struct.unpack_from("<2H", extra, at)
            if kind == _ZIP64:
                wide = iter(struct.unpack_from(f"<{length // 8}Q", extra.ljust(at + 4 + length, b"\0"), at + 4))
                found = [next(wide, -1) if number == _FULL32 else number for number in numbers]
                if -1 not in found and at + 4 + length <= len(extra):
                    return found
                break
            at += 4 + length
        raise self._malformed(_shown(name), found=None, expected="its size and place, in the extra field")

    def _index(self) -> tuple[Any, Any, dict[str, set[str]]]:
        """Check every entry; return sorted hashes of the names, where each stands, and the folders in each folder."""
        hashes, positions = array("q"), array("L")
        folders: dict[str, set[str]] = {"": set()}
        total = after = 0
        for at, entry in self._entries():
            after = entry.after
            key = self._checked_name(entry)
            self._check_sizes(entry)
            total += entry.packed
            if key.endswith("/"):
                continue
            hashes.append(hash(entry.name))
            positions.append(at)
            self._add_folder(folders, key.rpartition("/")[0])
        if after != len(self._directory):
            expected = f"{self._place.entries} entries and no more"
            raise self._malformed("central directory", found=f"{len(self._directory) - after} bytes", expected=expected)
        if total > self._place.offset:
            expected = f"at most the {self._place.offset} of the file before the list"
            raise self._malformed("central directory", found=f"{total} bytes in entries", expected=expected)
        numbers = np.frombuffer(hashes, np.int64) if hashes else np.empty(0, np.int64)
        order = np.argsort(numbers, kind="stable")
        numbers = numbers[order]
        places = np.array(positions, np.uint32)[order]
        for index in np.flatnonzero(numbers[1:] == numbers[:-1]):
            # All of a run of equal hashes: different names may share one.
            names = [self._parse(int(place)).name for place in places[numbers == numbers[index]]]
            if len(set(names)) < len(names):
                raise self._malformed(_shown(names[0]), found="two entries of that name", expected="one")
        return numbers, places, folders

    def _checked_name(self, entry: _Entry) -> str:
        name = entry.name
        if len(name) > MOST_KEY:
            raise LimitError("bytes of a name in a zip file", allowed=MOST_KEY, found=len(name))
        try:
            key = name.decode("utf-8" if entry.is_utf8 else "ascii")
        except UnicodeDecodeError as error:
            raise self._malformed(_shown(name), found=str(error), expected="a name in ASCII or UTF-8") from error
        parts = key.removesuffix("/").split("/")
        if len(parts) > MOST_DEPTH:
            raise LimitError("depth of folders in a zip file", allowed=MOST_DEPTH, found=len(parts))
        if "\\" in key or not key.isprintable() or any(part in ("", ".", "..") for part in parts):
            raise self._malformed("name of an entry", found=key, expected="a relative path without . and ..")
        return key

    def _check_sizes(self, entry: _Entry) -> None:
        expected = f"bytes before {self._place.offset}"
        if entry.offset + LOCAL.size + len(entry.name) + entry.packed > self._place.offset:
            found = f"{entry.packed} bytes at {entry.offset}"
            raise self._malformed(_shown(entry.name), found=found, expected=expected)
        if entry.method == STORED and entry.packed != entry.size:
            raise self._malformed(_shown(entry.name), found=entry.packed, expected=f"{entry.size} bytes, being stored")

    def _add_folder(self, folders: dict[str, set[str]], folder: str) -> None:
        while folder not in folders:
            if len(folders) >= MOST_FOLDERS:
                raise LimitError("folders in a zip file", allowed=MOST_FOLDERS, found=len(folders) + 1)
            folders[folder] = set()
            above, _, name = folder.rpartition("/")
            is_known = above in folders
            if not is_known:
                self._add_folder(folders, above)
            folders[above].add(name)

    # Entries

    def _entry(self, key: str) -> _Entry | None:
        try:
            name = key.encode()
        except UnicodeEncodeError as error:
            raise StoreError("get", key) from error
        wanted = np.int64(hash(name))
        first, last = (int(np.searchsorted(self._hashes, wanted, side)) for side in ("left", "right"))
        for index in range(first, last):
            entry = self._parse(int(self._positions[index]))
            if entry.name == name:
                return entry
        return None

    def _begin(self, entry: _Entry) -> int:
        """Find where the bytes of an entry begin: what stands before them has a length of its own."""
        header = self._bytes(entry.offset, LOCAL.size + len(entry.name))
        mark, *_, name_length, extra_length = LOCAL.unpack_from(header)
        begin: int = entry.offset + LOCAL.size + name_length + extra_length
        is_same = mark == LOCAL_MARK and name_length == len(entry.name) and header[LOCAL.size :] == entry.name
        if not is_same or begin + entry.packed > self._place.offset:
            raise self._malformed(_shown(entry.name), found="another entry at its place", expected="this one")
        return begin

    def _unpacked(self, key: str, entry: _Entry, begin: int) -> bytes:
        if entry.size > MOST_UNPACKED:
            raise LimitError("unpacked bytes of an entry of a zip file", allowed=MOST_UNPACKED, found=entry.size)
        most = entry.size + entry.size // 8 + 2**16
        if entry.packed > most:
            raise LimitError("packed bytes of an entry of a zip file", allowed=most, found=entry.packed)
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = unpacker.decompress(self._bytes(begin, entry.packed), entry.size + 1)
        except zlib.error as error:
            raise StoreError("get", key) from error
        self._require_same(key, entry, data)
        return data

    def _require_same(self, key: str, entry: _Entry, data: bytes) -> None:
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise StoreError("get", key) from ValueError("its bytes are not those that were put into the zip file")

    def _bytes(self, start: int, length: int) -> bytes:
        """Read a range of the file.

        Raises
        ------
        StoreError
            If the file ends before it, or cannot be read.
        """
        parts = []
        try:
            while length > 0:
                part = self._part(start, length)
                if not part:
                    raise StoreError("get", self.location) from EOFError(f"the file ends before byte {start + length}")
                parts.append(part)
                start += len(part)
                length -= len(part)
        except OSError as error:
            raise StoreError("get", self.location) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, start: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file, length, start)
        with self._lock:
            os.lseek(self._file, start, os.SEEK_SET)
            return os.read(self._file, length)


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
