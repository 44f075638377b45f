"""Single faults, drawn by a seed and put into a copy of a pyramid: what the checker must find, each by itself.

A fault of an object (a bit flipped, an end cut off, lost, swapped with another, one too many) is to be found by the
manifest. A fault of a document is to be found by a rule or the manifest. A fault of pixels is put into a pyramid from
which the manifest has been taken, as if another builder had written it, so that nothing but the pixels tells.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from geozarr import manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.random import Generator

DOCUMENT = "zarr.json"
# Members of the root's attributes that state what the store is, so that a rule can tell a wrong value.
_STRUCTURE = ("multiscales", "proj:wkt2", "spatial:bbox", "spatial:dimensions", "zarr_conventions")
_NAMES = ("id", "title", "uri", "keywords")  # of a tile matrix set of one's own, which may be any


@dataclass(frozen=True)
class Fault:
    """What has been done to a pyramid.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    key : str
        The object or document, or the array whose pixels are wrong.
    what : str
        In words.
    """

    kind: str
    key: str
    what: str


def put(source: Path, target: Path, seed: int, *, kinds: tuple[str, ...] = ()) -> Fault:
    """Copy a pyramid and put one fault into it.

    Parameters
    ----------
    source, target : Path
        Folders; `target` is made anew.
    seed : int
        Decides the kind and the place.
    kinds : tuple of str
        Kinds to draw from; by default all that the pyramid has a place for.
    """
    lot = np.random.default_rng(seed)
    names = list(kinds or KINDS)
    for name in (names[index] for index in lot.permutation(len(names))):
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(source, target)
        fault = KINDS[name](target, lot)
        if fault is not None:
            return Fault(name, *fault)
    raise ValueError(f"{source} has no place for any of {', '.join(names)}")


def _objects(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name != DOCUMENT and ".build" not in path.parts
    )


def _key(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder))


def _flip(folder: Path, lot: Generator) -> tuple[str, str]:
    path = _one(lot, _objects(folder))
    data = bytearray(path.read_bytes())
    at, bit = int(lot.integers(len(data))), int(lot.integers(8))
    data[at] ^= 1 << bit
    path.write_bytes(bytes(data))
    return _key(folder, path), f"bit {bit} of byte {at} is flipped"


def _cut(folder: Path, lot: Generator) -> tuple[str, str]:
    path = _one(lot, _objects(folder))
    data = path.read_bytes()
    kept = int(lot.integers(len(data)))
    path.write_bytes(data[:kept])
    return _key(folder, path), f"{kept} of {len(data)} bytes are left"


def _lose(folder: Path, lot: Generator) -> tuple[str, str]:
    path = _one(lot, _objects(folder))
    path.unlink()
    return _key(folder, path), "the object is lost"


def _swap(folder: Path, lot: Generator) -> tuple[str, str] | None:
    objects = _objects(folder)
    one, other = (objects[index] for index in lot.choice(len(objects), 2, replace=False))
    data = one.read_bytes(), other.read_bytes()
    if data[0] == data[1]:
        return None
    one.write_bytes(data[1])
    other.write_bytes(data[0])
    return _key(folder, one), f"swapped with {_key(folder, other)}"


def _add(folder: Path, lot: Generator) -> tuple[str, str]:
    path = _one(lot, _objects(folder))
    numbers = [part for part in path.relative_to(folder).parts if part.isdigit()]
    extra = path.with_name(str(int(numbers[-1]) + 1_000))
    extra.write_bytes(path.read_bytes())
    return _key(folder, extra), "an object too many"


def _edit(folder: Path, lot: Generator) -> tuple[str, str]:
    """Change a value anywhere in the document of a node below the root."""
    path = _one(lot, sorted(path for path in folder.rglob(DOCUMENT) if path.parent != folder))
    document = json.loads(path.read_text())
    where, what = _change(document, _one(lot, list(_leaves(document, ()))), lot)
    path.write_text(json.dumps(document))
    return _key(folder, path), f"{where}: {what}"


def _edit_root(folder: Path, lot: Generator) -> tuple[str, str]:
    """Change a value of the root, which no manifest lists, among those that state what the store is."""
    path = folder / DOCUMENT
    document = json.loads(path.read_text())
    found = [
        leaf
        for leaf in _leaves(document, ())
        if (leaf[0] == "attributes" and leaf[1] in _STRUCTURE and "resampling_method" not in leaf)
        or leaf[0] == "consolidated_metadata"
    ]
    found = [leaf for leaf in found if leaf[-1] not in _NAMES]
    where, what = _change(document, _one(lot, found), lot)
    path.write_text(json.dumps(document))
    return _key(folder, path), f"{where}: {what}"


def _lose_document(folder: Path, lot: Generator) -> tuple[str, str]:
    path = _one(lot, sorted(path for path in folder.rglob(DOCUMENT) if path.parent != folder))
    path.unlink()
    return _key(folder, path), "the document is lost"


def _pixel(folder: Path, lot: Generator) -> tuple[str, str] | None:
    """Change one cell of a coarser level by more than rounding explains."""

    def change(cells: np.ndarray, valid: np.ndarray) -> str | None:
        places = np.argwhere(valid)
        if not len(places):
            return None
        place = tuple(places[lot.integers(len(places))])
        before = cells[place]
        cells[place] = _other(before, cells, lot)
        return f"cell {tuple(map(int, place))} is {cells[place]}, not {before}"

    return _pixels(folder, lot, change)


def _hole(folder: Path, lot: Generator) -> tuple[str, str] | None:
    """Take one cell of a coarser level away."""

    def change(cells: np.ndarray, valid: np.ndarray) -> str | None:
        places = np.argwhere(valid)
        missing = cells[~valid]
        if not len(places) or not len(missing):
            return None
        place = tuple(places[lot.integers(len(places))])
        cells[place] = missing.flat[0]
        return f"cell {tuple(map(int, place))} holds no data"

    return _pixels(folder, lot, change)


def _shift(folder: Path, lot: Generator) -> tuple[str, str] | None:
    """Move a coarser level by a cell."""

    def change(cells: np.ndarray, _: np.ndarray) -> str | None:
        axis = int(lot.integers(2))
        moved = np.roll(cells, 1, axis=cells.ndim - 1 - axis)
        if np.array_equal(moved, cells, equal_nan=cells.dtype.kind == "f"):
            return None
        cells[...] = moved
        return f"all cells are one {'column' if axis == 0 else 'row'} off"

    return _pixels(folder, lot, change)


def _pixels(
    folder: Path, lot: Generator, change: Callable[[np.ndarray, np.ndarray], str | None]
) -> tuple[str, str] | None:
    """Change the pixels of an array of a coarser level, of a pyramid without its manifest."""
    _forget_manifest(folder)
    root = zarr.open_group(folder, mode="r+")
    layout = root.attrs["multiscales"]["layout"]
    arrays = []
    for item in layout:
        group = root[item["asset"]]
        if "derived_from" in item and isinstance(group, zarr.Group):
            arrays += [array for _, array in group.arrays() if array.ndim >= 2]
    for index in lot.permutation(len(arrays)):
        array = arrays[index]
        cells = np.asarray(array[...])
        what = change(cells, _valid(folder, array, cells))
        if what is not None:
            array[...] = cells
            return array.path, what
    return None


def _valid(folder: Path, array: Any, cells: np.ndarray) -> np.ndarray:
    """Tell which cells hold data: not the fill value where the array names it missing, and by alpha."""
    valid = ~np.isnan(cells) if cells.dtype.kind == "f" else np.ones(cells.shape, bool)
    if "_FillValue" in array.attrs:
        valid &= cells != array.fill_value
    if "ancillary_variables" in array.attrs:
        group = zarr.open_group(folder, mode="r")[array.path.rpartition("/")[0]]
        valid &= np.asarray(group[array.attrs["ancillary_variables"]][...]) != 0
    return valid


def _forget_manifest(folder: Path) -> None:
    path = folder / DOCUMENT
    document = json.loads(path.read_text())
    document["attributes"].pop(manifest.ATTRIBUTE, None)
    path.write_text(json.dumps(document))
    shutil.rmtree(folder / ".build", ignore_errors=True)


def _other(value: Any, cells: np.ndarray, lot: Generator) -> Any:
    """Draw another value of the type, further away than any rounding."""
    if cells.dtype.kind == "f":
        return value + np.float64(np.nanmax(np.abs(cells)) + 1) * (0.25 + lot.random())
    info = np.iinfo(cells.dtype)
    away = int(lot.integers(3, 40))
    return value + away if int(value) + away < info.max else value - away


def _leaves(value: Any, place: tuple[Any, ...]) -> Any:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*place, index))
    else:
        yield place


def _change(document: Any, place: tuple[Any, ...], lot: Generator) -> tuple[str, str]:
    """Change a value to another of its type."""
    holder = document
    for part in place[:-1]:
        holder = holder[part]
    before = holder[place[-1]]
    if isinstance(before, bool) or before is None:
        after: Any = not before
    elif isinstance(before, int):
        after = before + int(lot.integers(1, 5))
    elif isinstance(before, float):
        after = before + float(lot.uniform(0.5, 2.0)) * max(abs(before), 1.0)
    else:
        at = int(lot.integers(len(before))) if before else 0
        after = (
            f"{before[:at]}x{before[at + 1 :]}" if before[at : at + 1] != "x" else f"{before[:at]}y{before[at + 1 :]}"
        )
    holder[place[-1]] = after
    return "/".join(map(str, place)), f"{str(before)[:60]!r} is {str(after)[:60]!r}"


def _one(lot: Generator, choices: list[Any]) -> Any:
    return choices[int(lot.integers(len(choices)))]


KINDS: dict[str, Callable[[Path, Generator], tuple[str, str] | None]] = {
    "flip": _flip,
    "cut": _cut,
    "lose": _lose,
    "swap": _swap,
    "add": _add,
    "edit": _edit,
    "edit root": _edit_root,
    "lose document": _lose_document,
    "pixel": _pixel,
    "hole": _hole,
    "shift": _shift,
}
