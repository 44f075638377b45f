"""Writes a zip file whose bytes depend on its entries alone: stored, in the order given, all of one date.

`zipfile` keeps an object for each entry until the end, about a kilobyte; here an entry costs the bytes of its line in
the list at the end, and these go to the disk when there are many.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zlib
from typing import IO, Self

from geozarr import zip_store
from geozarr.zip_store import END, END64, ENTRY, LOCAL, LOCATOR64, STORED

_DATE = 0x21  # 1 January 1980, the first that a zip file can have
_PLAIN, _LARGE = 20, 45  # versions of the format that a reader must know: 2.0, and 4.5 for ZIP64
_BY_UNIX = 3 << 8
_FILE = 0o100644 << 16  # what it becomes when it is unpacked
_UTF8 = 0x0800
_KEPT = 16 * 2**20  # bytes of the list that stay in memory
_MOST16, _MOST32 = 0xFFFF, 0xFFFFFFFF


class ZipWriter:
    """Puts entries into a file, one after the other.

    Parameters
    ----------
    file : binary file
        Where; written from where it stands, which `tell` must know.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lines = tempfile.SpooledTemporaryFile(max_size=_KEPT)  # noqa: SIM115 - closed by `__exit__`
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Forget the list; the file is the caller's."""
        self._lines.close()

    def add(self, key: str, data: bytes) -> None:
        """Put an entry; raises `OSError` if the file fails."""
        name = key.encode()
        flags = 0 if key.isascii() else _UTF8
        offset, size, crc = self._file.tell(), len(data), zlib.crc32(data)
        is_large = size >= _MOST32
        known = _MOST32 if is_large else size
        extra = _wide(size, size) if is_large else b""
        needs = _LARGE if is_large else _PLAIN
        self._file.write(
            LOCAL.pack(zip_store.LOCAL_MARK, needs, flags, STORED, 0, _DATE, crc, known, known, len(name), len(extra))
        )
        self._file.write(name + extra)
        self._file.write(data)
        if offset >= _MOST32:
            extra = _wide(*((size, size) if is_large else ()), offset)
            needs, offset = _LARGE, _MOST32
        mark = zip_store.ENTRY_MARK
        lengths = (len(name), len(extra), 0)
        self._lines.write(
            ENTRY.pack(
                mark, _BY_UNIX | needs, needs, flags, STORED, 0, _DATE, crc, known, known, *lengths, 0, 0, _FILE, offset
            )
        )
        self._lines.write(name + extra)
        self.count += 1

    def finish(self) -> None:
        """Put the list of all entries; raises `OSError` if the file fails."""
        start, size = self._file.tell(), self._lines.tell()
        self._lines.seek(0)
        shutil.copyfileobj(self._lines, self._file, 2**20)
        if self.count >= _MOST16 or size >= _MOST32 or start >= _MOST32:
            end = start + size
            length = END64.size - 12
            versions = (_BY_UNIX | _LARGE, _LARGE)
            record = (zip_store.END64_MARK, length, *versions, 0, 0, self.count, self.count, size, start)
            self._file.write(END64.pack(*record))
            self._file.write(LOCATOR64.pack(zip_store.LOCATOR64_MARK, 0, end, 1))
        count = min(self.count, _MOST16)
        self._file.write(END.pack(zip_store.END_MARK, 0, 0, count, count, min(size, _MOST32), min(start, _MOST32), 0))


def _wide(*numbers: int) -> bytes:
    """Numbers that have no room in a header, as an extra field."""
    return struct.pack(f"<2H{len(numbers)}Q", 0x0001, 8 * len(numbers), *numbers)
