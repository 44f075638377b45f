"""A published pyramid as one zip file, to hand over.

Whatever readers of the pyramid need goes in, stored as it is, and nothing else: documents, chunks and the manifest, but
no journal, no lease and nothing of former builds. Each object is compared with the manifest on its way. The same
pyramid gives the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geozarr import manifest, zarr_v2
from geozarr import store as store_module
from geozarr.documents import DOCUMENT
from geozarr.errors import (
    BuildIncompleteError,
    MetadataError,
    ParameterError,
    StoreError,
    TargetExistsError,
)
from geozarr.manifest import BUILDS, Manifest
from pyramids import roots
from pyramids.zip_writer import ZipWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geozarr.manifest import Entry
    from geozarr.store import StoreLike
    from geozarr.stores import Store

SUFFIX = ".zip"
_DOCUMENTS = (DOCUMENT, *zarr_v2.DOCUMENTS)


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Parameters
    ----------
    build : str
        Name of the build.
    objects : int
        Entries of the zip file.
    size : int
        Its bytes.
    """

    build: str
    objects: int
    size: int


def pack(target: StoreLike, path: str | Path, *, overwrite: bool = False) -> Packed:
    """Put a published pyramid into one zip file, which appears when it is whole and durable.

    Parameters
    ----------
    target : str, Path, obstore store or Store
        Where the pyramid is.
    path : str or Path
        The zip file; its name ends in `.zip`.
    overwrite : bool
        Replace a file that is there, in one step.

    Raises
    ------
    ParameterError
        If the zip file would lie inside of the pyramid, or has another name.
    TargetExistsError
        If there is a file and no permission, or a folder.
    BuildIncompleteError
        If the pyramid is not published.
    MetadataError
        If there is no pyramid of this tool, or it has no manifest to compare it with.
    ChunkReadError
        If an object is lost or damaged. Nothing is left behind then.
    StoreError
        If the pyramid cannot be read, or the zip file cannot be written.
    """
    place = Path(path).expanduser()
    store = store_module.open_store(target)
    _require_free(place, overwrite=overwrite)
    _require_outside(place, store)
    root, known = _published(store)
    # The name begins with a dot and does not end in .zip, so that nobody takes it for a zip file.
    staged = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    try:
        with _removed(staged):
            with staged.open("xb") as file, ZipWriter(file) as writer:
                for key, data in root.items():
                    writer.add(key, data)
                for key, entry in _objects(known):
                    writer.add(key, _checked(store, key, entry))
                writer.finish()
                size = file.tell()
                file.flush()
                os.fsync(file.fileno())
            _move(staged, place, overwrite=overwrite)
    except OSError as error:
        raise StoreError("put", str(place)) from error
    return Packed(known.reference.build, writer.count, size)


def _require_free(place: Path, *, overwrite: bool) -> None:
    if place.suffix.lower() != SUFFIX:
        raise ParameterError("path", found=str(place), expected=f"a name that ends in {SUFFIX}")
    if place.is_dir():
        raise TargetExistsError(str(place), found="a folder", expected="nothing")
    if place.exists() and not overwrite:
        raise TargetExistsError(str(place), found="a file", expected="nothing, or permission to overwrite it")


def _require_outside(place: Path, store: Store) -> None:
    folder = getattr(store, "folder", None)
    if folder is not None and place.resolve().is_relative_to(Path(folder).resolve()):
        raise ParameterError("path", found=str(place), expected=f"a place outside of {folder}")


def _published(store: Store) -> tuple[dict[str, bytes], Manifest]:
    """Read what readers see first: the root documents by key, and the manifest that they name."""
    root = roots.root_documents(store)
    if not root and store.children(BUILDS):
        raise BuildIncompleteError(f"nothing is published in {store.location}")
    reference = manifest.reference_of(roots.attributes_of(root))
    if reference is None:
        found = "none" if root else "no pyramid"
        raise MetadataError(store.location, manifest.ATTRIBUTE, found=found, expected="a build and its manifest")
    return root, Manifest(store, reference)


def _objects(known: Manifest) -> Iterator[tuple[str, Entry]]:
    """List all objects but the root document: documents from the root down, then the others by their keys."""
    others = known.others
    documents = [key for key in others if key.rpartition("/")[2] in _DOCUMENTS]
    for key in sorted(documents, key=lambda key: (key.count("/"), key)):
        yield key, others[key]
    yield from sorted(known.own())
    for key in sorted(others.keys() - set(documents)):
        yield key, others[key]
    for path in sorted(known.arrays):
        array = known.arrays[path]
        for number, entry in known.array_entries(array):
            yield array.key(number), entry


def _checked(store: Store, key: str, entry: Entry) -> bytes:
    """Read an object that is as the manifest says."""
    array, _, chunk = key.partition("/c/") if "/c/" in key else key.rpartition("/")
    return manifest.read_object(store, key, entry, array=array, chunk=chunk)


def _move(staged: Path, place: Path, *, overwrite: bool) -> None:
    if overwrite:
        staged.replace(place)
    else:
        try:
            place.hardlink_to(staged)  # fails where there is a file by now, as one step; a rename would replace it
        except FileExistsError:
            raise TargetExistsError(
                str(place), found="a file", expected="nothing, or permission to overwrite it"
            ) from None
    with contextlib.suppress(PermissionError):  # folders cannot be opened on every system
        handle = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _removed(staged: Path) -> Iterator[None]:
    """Take a file away on leaving, whatever happens, where it is still there."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)
