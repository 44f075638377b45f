"""Good stores to break: small pyramids in memory, and a way to edit their documents."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import obstore
import pytest
from affine import Affine
from obstore.store import MemoryStore

from geozarr import Grid, Levels, TileMatrix, TileMatrixSet, crs, documents, levels
from pyramid_factory import Variable, web_mercator_levels, write_pyramid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Documents = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Stored:
    """Objects of a store by key, and the paths of the groups that carry consolidated metadata."""

    objects: dict[str, bytes]
    holders: tuple[str, ...]

    def documents(self) -> Documents:
        """Own documents by path, without consolidated metadata; a fresh copy."""
        found = {}
        for key, data in self.objects.items():
            if key.rpartition("/")[2] == "zarr.json":
                document = json.loads(data)
                document.pop("consolidated_metadata", None)
                found[key.rpartition("/")[0]] = document
        return found

    def edited(
        self, edit: Callable[[Documents], object] | None = None, raw: Callable[[Documents], object] | None = None
    ) -> MemoryStore:
        """Edit the documents, consolidate them anew, edit what is then stored (`raw`), and open the result."""
        found = self.documents()
        if edit is not None:
            edit(found)
        for holder in self.holders:
            if isinstance(found.get(holder), dict) and "shape" not in found[holder]:
                found[holder] = consolidated(found, holder)
        if raw is not None:
            raw(found)
        store = MemoryStore()
        for key, data in self.objects.items():
            if key.rpartition("/")[2] != "zarr.json":
                obstore.put(store, key, data)
        for path, document in found.items():
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            obstore.put(store, f"{path}/zarr.json".lstrip("/"), data)
        return store


def consolidated(found: Documents, holder: str) -> dict[str, Any]:
    """Put the documents below a group into it, grid mappings first as the builder has them."""
    prefix = f"{holder}/" if holder else ""
    below = [path for path in found if path.startswith(prefix) and path != holder]
    order = documents.reading_order(path[len(prefix) :] for path in below)
    nodes = {path: copy.deepcopy(found[f"{prefix}{path}"]) for path in order}
    return documents.consolidate(found[holder], nodes)


def objects_of(store: MemoryStore) -> dict[str, bytes]:
    keys = sorted(item["path"] for batch in obstore.list(store) for item in batch)
    return {key: bytes(obstore.get(store, key).bytes()) for key in keys}


def _read(path: Path, *holders: str) -> Stored:
    objects = {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
    return Stored(objects, holders)


def _random(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 200, shape).astype(dtype)


def _custom_levels() -> Levels:
    """Three matrices of an own set in UTM, of 64 cells a tile, and the levels below tile (1, 2) of the coarsest."""
    cells = {"far": 40.0, "mid": 20.0, "near": 10.0}
    matrices = tuple(
        TileMatrix(
            id=name,
            scaleDenominator=cell / 0.28e-3,
            cellSize=cell,
            pointOfOrigin=(400_000.0, 5_100_000.0),
            tileWidth=64,
            tileHeight=64,
            matrixWidth=4 * round(40 / cell),
            matrixHeight=4 * round(40 / cell),
        )
        for name, cell in cells.items()
    )
    tms = TileMatrixSet("own", crs.from_code("EPSG:32633"), matrices)
    bounds = tms.tile_bounds("far", row=1, col=2)
    return levels.from_tms(tms, tms.limits_of("far", bounds), count=3, resampling_method="average")


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stored]:
    """Good stores by name.

    tms: WebMercatorQuad, uint8 with nodata and float32. own: a set that is not registered, in UTM, uint8 without nodata
    beside an alpha variable. native: odd sizes in UTM, 3-D in shards. degrees: native in EPSG:4326. nested: a
    pyramid below a group. packed: int16 with scale, offset and valid range.
    """
    folder = tmp_path_factory.mktemp("stores")
    found: dict[str, Stored] = {}

    layout = web_mercator_levels(zoom=10, count=3, row=45, col=60)
    shape = layout.finest.grid.shape
    dem = np.where(_random(shape, "float32") < 20, np.nan, _random(shape, "float32") / 7)
    variables = {"red": Variable(_random(shape, "uint8"), nodata=255), "dem": Variable(dem, nodata=np.nan)}
    found["tms"] = _read(write_pyramid(folder / "tms", layout, variables), "")

    layout = _custom_levels()
    shape = layout.finest.grid.shape
    alpha = np.full(shape, 255, "uint8")
    variables = {
        "gray": Variable(_random(shape, "uint8"), attributes={"ancillary_variables": "alpha"}),
        "alpha": Variable(alpha, attributes={"color_interpretation": "alpha"}),
    }
    found["own"] = _read(write_pyramid(folder / "own", layout, variables, chunk=64), "")

    utm = Grid((301, 203), Affine(10, 0, 500_000, 0, -10, 5_000_000), crs.from_code("EPSG:32633"))
    layout = levels.from_halving(utm, count=4, resampling_method="average")
    cube = Variable(_random((2, 301, 203), "float32"), nodata=-9999, leading=("band",))
    found["native"] = _read(write_pyramid(folder / "native", layout, {"data": cube}, chunk=64, shard=128), "")

    degrees = Grid((97, 131), Affine(0.1, 0, 10, 0, -0.1, 50), crs.from_code("EPSG:4326"))
    layout = replace(levels.from_halving(degrees, count=3), dimensions=("lat", "lon"))
    flat = {"b1": Variable(_random((97, 131), "int16"), nodata=-1)}
    found["degrees"] = _read(write_pyramid(folder / "degrees", layout, flat, chunk=64), "")

    inner = found["native"].objects
    group = json.dumps(documents.group_document({})).encode()
    found["nested"] = Stored({"zarr.json": group, **{f"a/b/{k}": v for k, v in inner.items()}}, ("a/b", ""))
    found["nested"].objects["a/zarr.json"] = group

    packed = Variable(
        _random((97, 131), "int16"),
        nodata=-1,
        attributes={"scale_factor": 0.01, "add_offset": 5.0, "valid_min": 0, "valid_max": 10_000, "units": "m"},
    )
    found["packed"] = _read(write_pyramid(folder / "packed", layout, {"height": packed}, chunk=64), "")
    return found
