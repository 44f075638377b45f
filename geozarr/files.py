"""Files of a folder as objects of a store, on the calling thread.

obstore has a thread of its own do this, which must be woken, and wake this one again, for each object.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import stat
import sys
import threading
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from geozarr import hurry
from geozarr.answers import CutBodyError
from geozarr.errors import LimitError
from geozarr.hurry import NotAtHandError

if TYPE_CHECKING:
    from collections.abc import Callable

CAN_TELL = hasattr(os, "preadv") and hasattr(os, "RWF_NOWAIT")  # what of a file is in memory
# Names of what a put that was cut off leaves in a folder; obstore's own puts number theirs alike.
_STAGED = re.compile(r".+#\d+")
_TRIES = 100
# Not to wait for a writer where somebody has put a pipe.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FETCHED = 2**20  # bytes at once


def require_at_most(length: int, most: int | None) -> None:
    """Refuse to read so many bytes; raises `LimitError` where they are more than `most`."""
    if most is not None and length > most:
        raise LimitError("stored object in bytes", allowed=most, found=length)


def read(
    path: str, *, first: int, length: int | None, last: int | None, most: int | None, beneath: str | None
) -> tuple[bytes, int]:
    """Read a file, or a range of it, as obstore does: 11 us for the chunk of a tile, where obstore takes 45.

    Parameters
    ----------
    path : str
        The file.
    first, length, last, most : int, optional
        As `geozarr.stores.Store.get` has them.
    beneath : str, optional
        Folder, without links and with a separator at its end, that the file has to be in.

    Returns
    -------
    bytes
        What was read.
    int
        Size of the whole.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    PermissionError
        If it is outside of the folder.
    CutBodyError
        If the range begins behind its end, or it has become shorter meanwhile.
    LimitError
        If there are more bytes than `most`.
    NotAtHandError
        If this thread may not wait, and the disk would have to be.
    """
    try:
        file = os.open(path, _READ)
    except FileNotFoundError:
        if beneath is not None and os.path.lexists(path):  # a link to nothing tells what there is not elsewhere
            require_beneath(os.path.realpath(path), beneath)
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, "no file", path)
        if beneath is not None:
            require_beneath(_place_of(file, path), beneath)
        start = first if last is None else max(0, status.st_size - last)
        stop = status.st_size if length is None else min(status.st_size, start + length)
        if start >= status.st_size and (first or length):
            raise CutBodyError(f"nothing from byte {start} on of {status.st_size}")
        require_at_most(stop - start, most)
        if hurry.is_hurrying():
            return _in_memory(file, path, start, stop - start, status.st_dev), status.st_size
        if start:
            os.lseek(file, start, os.SEEK_SET)
        data = os.read(file, stop - start)
        while len(data) < stop - start:  # Linux reads at most 2 GiB at once
            more = os.read(file, stop - start - len(data))
            if not more:
                raise CutBodyError(f"{len(data)} of {stop - start} bytes")
            data += more
        return data, status.st_size
    finally:
        os.close(file)


def _in_memory(file: int, path: str, start: int, length: int, device: int) -> bytes:
    """Read what the system has in its page cache."""
    buffer = bytearray(length)
    flags = 0 if _is_of_memory(device) else os.RWF_NOWAIT  # which tmpfs does not know
    try:
        count = os.preadv(file, [buffer], start, flags)
    except BlockingIOError:
        count = 0
    except OSError as error:  # file systems without it
        raise NotAtHandError(is_for_good=error.errno in (errno.EOPNOTSUPP, errno.EINVAL)) from error
    if count < length:
        raise NotAtHandError(partial(_fetch, path, start, length))
    return bytes(buffer)


@lru_cache(maxsize=64)
def _is_of_memory(device: int) -> bool:
    """Tell whether a device is a file system that has no disk, by `proc_pid_mountinfo(5)`."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = {line.partition(" - ")[2].split(" ", 1)[0] for line in lines if line.split(" ", 3)[2] == number}
    return bool(kinds) and kinds <= {"tmpfs", "ramfs"}


def _fetch(path: str, start: int, length: int) -> None:
    """Have the system read a part of a file; what fails does so again for who asks next."""
    with contextlib.suppress(OSError):
        file = os.open(path, _READ)
        try:
            while length > 0 and (count := os.preadv(file, [bytearray(min(length, _FETCHED))], start)):
                start, length = start + count, length - count
        finally:
            os.close(file)


def require_beneath(place: str, folder: str) -> None:
    """Refuse a path without links that is not within a folder; raises `PermissionError`."""
    if not place.startswith(folder):
        raise PermissionError("a link leads out of the folder")


def _place_of(file: int, path: str) -> str:
    """Return the path of an open file without links; of the file that is open, where the system tells."""
    try:
        return os.readlink(f"/proc/self/fd/{file}")  # noqa: PTH115 - a plain string: called often
    except OSError:
        return os.path.realpath(path)


def write(path: str, data: bytes, *, create: bool) -> bool:
    """Write a file as obstore does: beside its place, under a name that no list shows, then moved there."""
    staged = f"{path}#{os.getpid()}{threading.get_ident()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    for attempt in range(_TRIES):
        try:
            file = os.open(staged, flags, 0o666)
            break
        except FileNotFoundError:
            # Somebody who deletes the last file of the folder may take it away again.
            if attempt == _TRIES - 1:
                raise
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - plain strings: called often
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)
        if not create:
            os.replace(staged, path)  # noqa: PTH105
            return True
        try:
            os.link(staged, path)  # fails where there is a file, as one step; a rename would replace it
        except FileExistsError:
            return False
        finally:
            os.unlink(staged)  # noqa: PTH108
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)  # noqa: PTH108
        raise
    return True


def delete(root: str, key: str) -> None:
    """Delete a file as obstore does, with the folders that it leaves empty: 9 us, where obstore takes 49."""
    os.unlink(f"{root}/{key}")  # noqa: PTH108
    with contextlib.suppress(OSError):  # of the first that holds something
        while "/" in key:
            key = key.rpartition("/")[0]
            os.rmdir(f"{root}/{key}")  # noqa: PTH106


def sweep(root: str, spare: str) -> int:
    """Delete what puts that were cut off have left, but for a folder to be spared; returns how many files."""
    count = 0
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if os.path.join(folder, name) != spare]  # noqa: PTH118
        for name in names:
            if _STAGED.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, name))  # noqa: PTH108, PTH118
                    count += 1
    return count


def sync(root: str) -> None:
    """Bring all files of a folder to the disk.

    Where the system can (Linux's syncfs) all of its file system at once, which also tells of writes that failed after
    they were taken; else file by file.
    """
    syncfs = _syncfs()
    if syncfs is None:
        for folder, _, names in os.walk(root):
            for name in names:
                _sync_path(os.path.join(folder, name))  # noqa: PTH118
            _sync_path(folder)
        return
    handle = os.open(root, os.O_RDONLY)
    try:
        if syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), root)
    finally:
        os.close(handle)


def _syncfs() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    found: Callable[[int], int] | None = getattr(library, "syncfs", None)
    return found


def _sync_path(path: str) -> None:
    with contextlib.suppress(PermissionError):  # folders cannot be opened on every system
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
