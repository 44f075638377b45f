"""Stores that mean harm: documents of any size and geometry, made by hand, and chunks of any bytes, all in memory.

Nothing here comes from the code under test, and nothing is as large as it says.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from geozarr.errors import LimitError
from geozarr.stores import Found, Listed
from tiler.app import create_app
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONVENTIONS = [  # which conventions there are, by their UUIDs (geozarr.conventions.registration)
    {"uuid": "d35379db-88df-4056-af3a-620245f8e347", "name": "multiscales"},
    {"uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f", "name": "proj"},
    {"uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "name": "spatial"},
]
CELL = 1000.0  # metres, of the finest level of a forged pyramid
LEFT, TOP = 440_000.0, 4_430_000.0  # its corner, in UTM zone 13N
CRS = "EPSG:32613"
RAW = [{"name": "bytes", "configuration": {"endian": "little"}}]


@dataclass
class Objects:
    """A store in memory that counts what is asked of it.

    Parameters
    ----------
    objects : dict of str to bytes
        By key.
    asked : list of str
        Keys, in the order in which they were asked for.
    """

    objects: dict[str, bytes]
    location: str = "memory"
    asked: list[str] = field(default_factory=list)

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        self.asked.append(key)
        data = self.objects.get(key)
        if data is None:
            return None
        start, stop = (first, len(data)) if length is None else (first, first + length)
        part = data[max(0, len(data) - last) :] if last is not None else data[start:stop]
        if most is not None and len(part) > most:
            raise LimitError("stored object in bytes", allowed=most, found=len(part))
        return Found(part, len(data))

    def stamp(self, key: str) -> str | None:
        data = self.objects.get(key)
        return None if data is None else str(hash(data))

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        if create and key in self.objects:
            return False
        self.objects[key] = data
        return True

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        return (Listed(key, len(data)) for key, data in self.objects.items() if key.startswith(prefix))

    def children(self, prefix: str = "") -> list[str]:
        start = f"{prefix}/" if prefix else ""
        inside = (key[len(start) :] for key in self.objects if key.startswith(start))
        return sorted({key.partition("/")[0] for key in inside if "/" in key})

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def sync(self) -> None:
        pass


def array(
    shape: Iterable[int],
    *,
    chunk: Iterable[int] | None = None,
    codecs: Any = None,
    dtype: str = "uint8",
    names: Iterable[str | None] = ("y", "x"),
    attributes: dict[str, Any] | None = None,
    fill_value: Any = 0,
) -> dict[str, Any]:
    """Document of an array, uncompressed unless codecs are given."""
    shape = list(shape)
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": dtype,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(chunk) if chunk is not None else [64] * len(shape)},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill_value,
        "codecs": RAW if codecs is None else codecs,
        "dimension_names": list(names),
        "attributes": attributes or {},
    }


def group(attributes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Document of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes or {}}


def sharded(*, chunk: Iterable[int], codecs: Any = None, **changed: Any) -> list[dict[str, Any]]:
    """Codecs of an array whose chunks lie in shards."""
    configuration = {
        "chunk_shape": list(chunk),
        "codecs": RAW if codecs is None else codecs,
        "index_codecs": [*RAW, {"name": "crc32c"}],
        "index_location": "end",
    }
    return [{"name": "sharding_indexed", "configuration": configuration | changed}]


def halved(side: int, step: int) -> int:
    """Cells of a level: half as many as of the finer one, rounded up."""
    return -(-side // 2**step)


def pyramid(
    *,
    shape: tuple[int, int] = (128, 128),
    transform: tuple[float, ...] = (CELL, 0.0, LEFT, 0.0, -CELL, TOP),
    levels: int = 2,
    crs: dict[str, Any] | None = None,
    arrays: dict[str, dict[str, Any]] | None = None,
    attributes: dict[str, Any] | None = None,
    multiscales: dict[str, Any] | None = None,
    beside: dict[str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Root document of a native pyramid that agrees with itself, consolidated.

    Parameters
    ----------
    shape, transform : tuple
        Cells and place of the finest level; others follow by halving.
    levels : int
        How many.
    crs : dict, optional
        Attributes that tell the CRS.
    arrays : dict, optional
        Options of `array` for each variable, `leading` being the shape before rows and columns; by default one of
        bytes.
    attributes, multiscales : dict, optional
        More of the root's attributes, and of its multiscales.
    beside : dict, optional
        Documents by path, beside those of the levels.
    """
    a, b, c, d, e, f = transform
    layout, nodes = [], {}
    for step in range(levels):
        sides = (halved(shape[0], step), halved(shape[1], step))
        scale = 2.0**step
        item: dict[str, Any] = {"asset": str(step)}
        if step:
            item |= {"derived_from": str(step - 1), "transform": {"scale": [2.0, 2.0], "translation": [0.0, 0.0]}}
        item |= {
            "spatial:shape": list(sides),
            "spatial:transform": [a * scale, b * scale, c, d * scale, e * scale, f],
        }
        layout.append(item)
        nodes[str(step)] = group()
        for name, options in (arrays or {"v": {}}).items():
            rest = dict(options)
            leading = tuple(rest.pop("leading", ()))
            nodes[f"{step}/{name}"] = array((*leading, *sides), **rest)
    stated = {
        "zarr_conventions": CONVENTIONS,
        "multiscales": {"layout": layout, "resampling_method": "average", **(multiscales or {})},
        "spatial:dimensions": ["y", "x"],
        **({"proj:code": CRS} if crs is None else crs),
        **(attributes or {}),
    }
    block = {"kind": "inline", "must_understand": False, "metadata": nodes | (beside or {})}
    return {**group(stated), "consolidated_metadata": block}


def store(document: dict[str, Any] | bytes, **objects: bytes) -> Objects:
    """Put a root document, and other objects, into a store."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Objects({"zarr.json": data, **objects})


def loaded(folder: Path) -> Objects:
    """Take a store from a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return Objects({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})


@contextmanager
def serving(**stores: Any) -> Iterator[TestClient]:
    """Serve stores by name; what begins with `set_` are settings."""
    settings = {name.removeprefix("set_"): stores.pop(name) for name in list(stores) if name.startswith("set_")}
    datasets = tuple(Dataset(name, place) for name, place in stores.items())
    app = create_app(Settings(datasets, **{"expose_zarr": True, **settings}))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@dataclass
class Growth:
    """Memory that a process has taken at most, above what it had, in bytes."""

    peak: int = 0


@contextmanager
def growing() -> Iterator[Growth]:
    """Measure how much more memory this process has at any time within: all of it, not Python's alone."""
    clear = Path("/proc/self/clear_refs")  # of Linux: 5 sets the peak to what there is
    try:
        clear.write_text("5", encoding="ascii")
    except OSError:
        pytest.skip("this system does not tell how much memory a process has had at most")
    before = _peak()
    growth = Growth()
    yield growth
    growth.peak = _peak() - before


def _peak() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return 1024 * int(found[1])


# What stands for the parameters in the paths of the OpenAPI document: a tile of zone 13N, where forged pyramids are,
# and of the small ones of `tests/tiler/conftest.py`, which lie there too.
PLACES = {
    "tms": "WebMercatorQuad",
    "z": "10",
    "x": "214",
    "y": "391",
    "row": "391",
    "col": "214",
    "lon": "-104.6",
    "lat": "39.5",
    "suffix": "npy",
    "size": "64x32",
    "box": "-104.9,39.3,-104.5,39.7",
    "key": "zarr.json",
}
ITEMS = {"/colorMaps/{name}": "viridis", "/algorithms/{name}": "hillshade"}
SQUARE = {"type": "Polygon", "coordinates": [[[-104.9, 39.3], [-104.5, 39.3], [-104.5, 39.7], [-104.9, 39.3]]]}


def address(path: str, dataset: str, **changed: str) -> str:
    """Fill the parameters of a documented path."""
    filling = {**PLACES, "name": ITEMS.get(path, ""), "dataset": dataset, **changed}
    return path.format(**filling)


def documented(client: TestClient, method: str = "get") -> list[str]:
    """Paths of the OpenAPI document that have a method."""
    paths = client.get("/openapi.json").json()["paths"]
    return [path for path, operations in paths.items() if method in operations]
