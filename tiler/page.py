"""The files of the map page, as they lie in the package.

Scripts and styles are served under an address that holds a hash of all of them, so that they may be kept for ever: the
page names that address, and another release has another one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from geozarr.errors import UnknownNameError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

HTML = "text/html; charset=utf-8"
PREFIX = "_static"  # first part of the address of the files; no dataset's name begins so
_PAGE = "map.html"
_PLACE = b"{static}"  # stands in the page for the address of the files
_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class StaticFile:
    """A file beside the page.

    Parameters
    ----------
    data : bytes
        Its bytes.
    media_type : str
        Its type.
    """

    data: bytes
    media_type: str


@dataclass(frozen=True)
class Page:
    """The page and its files.

    Parameters
    ----------
    html : bytes
        The page; `{static}` in it stands for the address of the files.
    files : dict of str to StaticFile
        Files by their path.
    version : str
        Changes when any of them does; hexadecimal.
    """

    html: bytes
    files: dict[str, StaticFile]
    version: str

    def at(self, root: str) -> bytes:
        """Return the page, as it is served where `root` leads to the root of the service: `../` or `../../`."""
        return self.html.replace(_PLACE, f"{root}{PREFIX}/{self.version}".encode())

    def file(self, path: str) -> StaticFile:
        """Return a file.

        Raises
        ------
        UnknownNameError
            If there is none at that path.
        """
        if path not in self.files:
            raise UnknownNameError("file", path[:200], ())
        return self.files[path]


@cache
def load() -> Page:
    """Read all files from the package, once."""
    found = dict(_walk(files("tiler").joinpath("static"), ""))
    digest = hashlib.sha256()
    for path in sorted(found):
        digest.update(f"{path} {len(found[path])}\n".encode() + found[path])
    html = found.pop(_PAGE)
    known = {path: StaticFile(data, _MEDIA_TYPES[path.rpartition(".")[2]]) for path, data in found.items()}
    return Page(html, known, digest.hexdigest()[:16])


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _walk(item, f"{prefix}{item.name}/")
        elif item.name == _PAGE or item.name.rpartition(".")[2] in _MEDIA_TYPES:
            found.append((prefix + item.name, item.read_bytes()))
    return found
