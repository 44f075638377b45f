"""Which stores some files belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_DOCUMENTS = ("zarr.json", ".zgroup", ".zarray")


def roots_of(files: Iterable[Path]) -> list[Path]:
    """Find the stores that files lie in, each once, in the order in which they are first met.

    The root of a store is the highest folder on the path of a file, as given, that has the document of a node: a node
    in the middle may have lost its own, which is for the check to say. A file `*.zarr.zip` is a store itself. Files in
    no store are left out.

    Parameters
    ----------
    files : iterable of Path
        Paths of files, such as those that a commit changes; they need not exist.
    """
    found = (_root_of(file) for file in files)
    return list(dict.fromkeys(root for root in found if root is not None))


def _root_of(file: Path) -> Path | None:
    if file.name.endswith(".zarr.zip"):
        return file
    above = (folder for folder in reversed(file.parents) if any((folder / name).is_file() for name in _DOCUMENTS))
    return next(above, None)
