"""Groups of a Zarr store as xarray datasets: the one that is asked for, or the finest level of a pyramid."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geozarr import documents
from geozarr import store as store_module
from geozarr.errors import GeoZarrError, MetadataError, UnsupportedError
from geozarr.store import decode_document, join
from pyramids.sources import files, references
from pyramids.sources.quirk import Quirk

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr


def open_dataset(path: str | Path, *, group: str = "") -> Found:
    """Open a group of a store as it is stored: packed, with times as numbers.

    Where the group is a pyramid, by whatever draft of `multiscales`, its finest level is opened.

    Parameters
    ----------
    path : str or Path
        A folder, a zip file, a URL, the address of an Icechunk repository, or a JSON document of kerchunk references.
    group : str
        Path of the group.

    Returns
    -------
    Found
        With the `proj:*` of the group above, where it has none (proj v0.1: one step).

    Raises
    ------
    StoreError
        If it cannot be opened.
    MetadataError
        If it holds groups alone, and none is said to be the finest.
    """
    is_references = "://" not in str(path) and references.is_references(Path(path))
    store = references.ReferenceStore(path) if is_references else store_module.open_store(path)
    folder = "" if any(store.get(key, length=1) is not None for key in _ROOTS) else _only(_groups(store, ""))
    if folder and group:
        group = group.removeprefix(folder).lstrip("/")
    where = f"{path}/{join(folder, group)}" if folder or group else str(path)
    _require_group(store, join(folder, group), where)
    dataset, quirks = _opened(store, folder, group, where)
    if folder:
        quirks = (Quirk("inner-group", str(path), f"a folder {folder}", "taken for the store"), *quirks)
    if any(variable.ndim > 1 for variable in dataset.variables.values()):
        return Found(dataset, join(folder, group), quirks)
    levels = _levels(dataset.attrs)
    if not levels:
        groups = _groups(store, join(folder, group))
        if not groups:
            return Found(dataset, join(folder, group), quirks)
        expected = "a group with rasters: choose one with group"
        raise MetadataError(where, "groups", found=groups, expected=expected)
    opened = []
    for name in levels:
        inner = join(group, name)
        level, more = _opened(store, folder, inner, f"{path}/{join(folder, inner)}")
        opened.append((max((variable.size for variable in level.variables.values()), default=0), level, inner, more))
    _, level, inner, more = max(opened, key=lambda item: item[0])
    for key, value in dataset.attrs.items():
        if key.startswith(("proj:", "spatial:dimensions")):
            level.attrs.setdefault(key, value)
    return Found(level, join(folder, inner), (*quirks, *more))


def _require_group(store: store_module.Store, path: str, where: str) -> None:
    """Refuse an array by itself, whose pixels nothing places; raises `MetadataError`."""
    found = store.get(join(path, documents.DOCUMENT), most=store_module.MAX_DOCUMENT)
    try:
        is_array = found is not None and decode_document(found.data, node=path).get("node_type") == "array"
    except GeoZarrError:
        return  # whoever opens it says what is wrong
    if is_array or store.get(join(path, ".zarray"), length=1) is not None:
        expected = "a group, whose arrays have coordinates"
        raise MetadataError(where, "node_type", found="an array by itself", expected=expected)


def _only(groups: tuple[str, ...]) -> str:
    return groups[0] if len(groups) == 1 else ""


def _opened(store: store_module.Store, folder: str, group: str, where: str) -> tuple[xr.Dataset, tuple[Quirk, ...]]:
    import xarray as xr  # noqa: PLC0415 - a quarter of a second, which builds from raster files need not pay

    from pyramids.sources.zarr_store import ReadableStore  # noqa: PLC0415 - imports zarr, which takes as long

    readable = ReadableStore(store, folder)
    with files.opening(where), warnings.catch_warnings():
        # Stores without consolidated metadata are read as well; that it takes longer is no news to the user.
        warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated", RuntimeWarning)
        warnings.filterwarnings("ignore", "Object at .* is not recognized as a component of a Zarr hierarchy")
        for consolidated in (None, False):
            # With "all" the grid mapping becomes a coordinate.
            found: xr.Dataset = xr.open_zarr(
                readable,
                group=group or None,
                chunks=None,
                mask_and_scale=False,
                decode_times=False,
                decode_coords="all",
                consolidated=consolidated,
            )
            if found.variables:
                break  # else the consolidated metadata may lack what is there
    return found, tuple(readable.quirks)


class Found(NamedTuple):
    """A group that was opened, its path, and what was put right in its documents."""

    dataset: xr.Dataset
    group: str
    quirks: tuple[Quirk, ...]


_ROOTS = (documents.DOCUMENT, ".zgroup", ".zarray", ".zmetadata")
_MOST_LEVELS = 40  # of a pyramid that are looked at for the finest


def _levels(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Name levels of `multiscales` of which one is the finest: of v0.1, of the drafts of 2025, or of ndpyramid's list.

    A level that is derived of another is not.
    """
    stated = attributes.get("multiscales")
    levels = stated.get("layout") if isinstance(stated, dict) else None
    if isinstance(stated, list) and stated and isinstance(stated[0], dict):
        levels = stated[0].get("datasets")
    known = [level for level in levels if isinstance(level, dict)] if isinstance(levels, list) else []
    found = [
        name
        for level in known
        for name in [next((level[key] for key in ("asset", "path", "id") if key in level), None)]
        if "derived_from" not in level and isinstance(name, str) and all(map(is_name, name.split("/")))
    ]
    return tuple(dict.fromkeys(found))[:_MOST_LEVELS]


def _groups(store: store_module.Store, group: str) -> tuple[str, ...]:
    """Names of the groups directly below one."""
    try:
        names = store.children(group)
    except UnsupportedError:
        return ()
    return tuple(name for name in names if is_name(name) and _is_group(store, join(group, name)))


def _is_group(store: store_module.Store, path: str) -> bool:
    if store.get(join(path, ".zgroup"), length=1) is not None:
        return True
    found = store.get(join(path, documents.DOCUMENT), most=store_module.MAX_DOCUMENT)
    try:
        return found is not None and decode_document(found.data, node=path).get("node_type") == "group"
    except GeoZarrError:
        return False


def is_name(name: str) -> bool:
    """Tell whether Zarr v3 allows a node of that name (core, "Node names")."""
    return bool(name) and set(name) != {"."} and name[:2] != "__" and name[:1] != "."
