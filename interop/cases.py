"""The stores that readers are tried on: a matrix of good pyramids, and good ones with one thing broken.

Everything is made in memory, from the builder's own output, in a few milliseconds each; so the tests make the same
stores anew and compare what is predicted for them with what was observed.
"""

from __future__ import annotations

import copy
import json
import struct
import zlib
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import obstore
import rioxarray  # noqa: F401 - registers the `.rio` accessor
import xarray as xr
import zarr
from obstore.store import MemoryStore

import pyramids
from geozarr import documents
from interop import truth as truths

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from interop.truth import Truth

Documents = dict[str, dict[str, Any]]
SHAPE = (256, 320)  # halved twice without remainder, higher than wide to tell rows from columns
ODD = (250, 318)  # 250, 125, 63: the last level overshoots by half a cell
CHUNK = 64
SPOT = "level"  # the variable
CRS: dict[str, tuple[int, float, tuple[float, float]]] = {  # EPSG code, cell, upper left corner
    "utm": (32633, 10.0, (500_000.0, 5_000_000.0)),
    "degrees": (4326, 0.001, (12.0, 45.0)),
    "mercator": (3857, 20.0, (1_500_000.0, 5_600_000.0)),
}
DATA: dict[str, tuple[str, float | None, int]] = {  # dtype, nodata (None: NaN), axes
    "uint16-0": ("uint16", 0.0, 2),
    "float32--9999-time": ("float32", -9999.0, 3),
    "float32-nan": ("float32", None, 2),
}
GROUP = "data/scene"
KEYS = ("zarr_conventions", "proj:", "spatial:")  # what the conventions add to a node's attributes


@dataclass(frozen=True)
class Case:
    """A store.

    Parameters
    ----------
    name : str
        Of the store, such as "utm-uint16-0-plain-root-consolidated".
    kind : str
        "matrix", "regression", "variant", "demo" or "foreign".
    title : str
        What is special about it, in one line.
    objects : dict of str to bytes
        By key.
    truth : Truth
        What a reader should find.
    """

    name: str
    kind: str
    title: str
    objects: dict[str, bytes]
    truth: Truth


def matrix() -> list[Case]:
    """{three CRS} x {three kinds of data} x {plain, sharded} x {root, nested} x {consolidated, not}."""
    found = []
    for crs in CRS:
        for data in DATA:
            for layout in ("plain", "sharded"):
                base = good(crs, data, layout)
                for place in ("root", "nested"):
                    for consolidated in (True, False):
                        tail = "consolidated" if consolidated else "unconsolidated"
                        case = replace(base, name=f"{base.name}-{place}-{tail}", title="a good pyramid")
                        case = nested(case) if place == "nested" else case
                        found.append(case if consolidated else unconsolidated(case))
    return found


@cache
def good(crs: str, data: str, layout: str, shape: tuple[int, int] = SHAPE) -> Case:
    """Build a good pyramid of three levels at the root of a store."""
    target = MemoryStore()
    shard = 2 * CHUNK if layout == "sharded" else "none"
    nodata = DATA[data][1]
    pyramids.build(_source(crs, data, shape), target, tms="native", chunk=CHUNK, levels=3, nodata=nodata, shard=shard)
    objects = _objects(target)
    return Case(f"{crs}-{data}-{layout}", "matrix", "a good pyramid", objects, truths.read(objects, SPOT))


def _source(crs: str, data: str, shape: tuple[int, int]) -> xr.DataArray:
    epsg, cell, (left, top) = CRS[crs]
    dtype, nodata, rank = DATA[data]
    values = field(shape, dtype, nodata)
    coords: dict[str, Any] = {
        "y": top - cell * (np.arange(shape[0]) + 0.5),
        "x": left + cell * (np.arange(shape[1]) + 0.5),
    }
    dims: tuple[str, ...] = ("y", "x")
    if rank == 3:
        values = np.stack([np.where(values == nodata, values, values + 1000), values])
        dims = ("time", *dims)
        coords["time"] = np.array(["2024-01-01", "2024-07-01"], dtype="datetime64[ns]")
    attributes = {} if nodata is None else {"_FillValue": nodata}
    source: xr.DataArray = xr.DataArray(values, coords, dims, name=SPOT, attrs=attributes).rio.write_crs(epsg)
    return source


def _objects(store: MemoryStore) -> dict[str, bytes]:
    return {key: bytes(obstore.get(store, key).bytes()) for key in _keys(store)}


def aligned(layout: str) -> Case:
    """Build a pyramid in Web Mercator whose chunks are the tiles of WebMercatorQuad."""
    target = MemoryStore()
    shard = 512 if layout == "sharded" else "none"
    pyramids.build(_source("mercator", "uint16-0", SHAPE), target, tms="WebMercatorQuad", shard=shard)
    objects = _objects(target)
    title = f"aligned with WebMercatorQuad, in chunks of a tile, {layout}"
    return Case(f"aligned-{layout}", "variant", title, objects, truths.read(objects, SPOT))


def of_0_4(case: Case) -> Case:
    """Write the tile matrix set and its limits under the keys that they had in GeoZarr 0.4."""
    document = json.loads(case.objects["zarr.json"])
    multiscales = document["attributes"]["multiscales"]
    multiscales["tile_matrix_set"] = multiscales.pop("tileMatrixSet")
    multiscales["tile_matrix_limits"] = {item["tileMatrix"]: item for item in multiscales.pop("tileMatrixSetLimits")}
    title = f"{case.title}, the tile matrix set under the key of GeoZarr 0.4"
    return replace(
        case, name=f"{case.name}-key-of-0.4", title=title, objects=case.objects | {"zarr.json": _encode(document)}
    )


def field(shape: tuple[int, int], dtype: str, nodata: float | None) -> NDArray[Any]:
    """Values that differ between neighbours, the next row by more than the next column; a hole without data."""
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]]
    values = (2.0 + 100 * rows + cols).astype(dtype)
    hole = np.s_[int(0.28 * shape[0]) : int(0.4 * shape[0]), int(0.28 * shape[1]) : int(0.45 * shape[1])]
    values[hole] = np.nan if nodata is None else nodata
    filled: NDArray[Any] = values
    return filled


def nested(case: Case) -> Case:
    """Put the pyramid of a case below two groups, with consolidated metadata in the root and in the pyramid."""
    objects = {f"{GROUP}/{key}": data for key, data in case.objects.items()}
    inner = {path: json.loads(objects[f"{path}/zarr.json"]) for path in _paths(objects)}
    outer = copy.deepcopy(inner)
    outer[GROUP].pop("consolidated_metadata", None)
    outer["data"] = documents.group_document({})
    below = dict(sorted(outer.items(), key=lambda item: (item[0].count("/"), "spatial_ref" not in item[0], item[0])))
    root = documents.consolidate(documents.group_document({}), below)
    objects["data/zarr.json"] = _encode(outer["data"])
    objects["zarr.json"] = _encode(root)
    return replace(case, objects=objects, truth=replace(case.truth, group=GROUP))


def unconsolidated(case: Case) -> Case:
    """Take all consolidated metadata out."""
    objects = dict(case.objects)
    for path in _paths(objects):
        key = f"{path}/zarr.json".lstrip("/")
        document = json.loads(objects[key])
        if document.pop("consolidated_metadata", None) is not None:
            objects[key] = _encode(document)
    return replace(case, objects=objects)


@dataclass(frozen=True)
class Edit:
    """One thing that is broken in a good pyramid.

    Parameters
    ----------
    name, title : str
        Of the case that comes of it.
    kind : str
        "regression" or "variant".
    change : callable
        Takes the documents by path, without consolidated metadata, and the objects; changes either.
    base : (str, str)
        CRS and data of the good pyramid.
    order : callable
        Sorts the paths of consolidated metadata; by default grid mappings come first, as the builder has them.
    layout : str
        "plain" or "sharded".
    expected : callable
        What a reader should find, from what it should find in the good pyramid.
    """

    name: str
    title: str
    kind: str
    change: Callable[[Documents, dict[str, bytes]], None]
    base: tuple[str, str] = ("utm", "uint16-0")
    order: Callable[[str], Any] = lambda path: (path.count("/"), "spatial_ref" not in path, path)
    layout: str = "plain"
    expected: Callable[[Truth], Truth] = lambda truth: truth

    def case(self) -> Case:
        """Apply it."""
        start = good(*self.base, self.layout)
        objects = dict(start.objects)
        found = {path: json.loads(objects[f"{path}/zarr.json".lstrip("/")]) for path in _paths(objects)}
        found[""].pop("consolidated_metadata", None)
        self.change(found, objects)
        below = {path: found[path] for path in sorted(found, key=self.order) if path}
        for path, document in below.items():
            objects[f"{path}/zarr.json"] = _encode(document)
        objects["zarr.json"] = _encode(documents.consolidate(found[""], copy.deepcopy(below)))
        return Case(self.name, self.kind, self.title, objects, self.expected(start.truth))


def regressions() -> list[Case]:
    """List stores on each of which some reader is known to fail or to lose something."""
    odd = good("utm", "uint16-0", "plain", ODD)
    title = "sizes that halving leaves a remainder of (250, 125, 63 rows)"
    found = [edit.case() for edit in EDITS if edit.kind == "regression"]
    found.append(replace(odd, name="5-indivisible", kind="regression", title=title))
    return sorted(found, key=lambda case: (int(case.name.partition("-")[0].rstrip("b")), case.name))


def variants() -> list[Case]:
    """Further stores that show what a reader needs, some of them without consolidated metadata too."""
    found = [edit.case() for edit in EDITS if edit.kind == "variant"]
    found += [aligned("plain"), aligned("sharded"), of_0_4(aligned("plain"))]
    for edit in EDITS:
        if edit.name in UNCONSOLIDATED_TOO:
            title = f"{edit.title}; no consolidated metadata"
            found.append(
                unconsolidated(replace(edit.case(), name=f"{edit.name}-unconsolidated", title=title, kind="variant"))
            )
    return found


def everything() -> list[Case]:
    """All stores that are made here."""
    return [*matrix(), *regressions(), *variants()]


# Edits


def _levels(found: Documents) -> list[str]:
    return [item["asset"] for item in found[""]["attributes"]["multiscales"]["layout"]]


def _arrays(found: Documents) -> list[dict[str, Any]]:
    """Documents of the variable, one a level."""
    return [found[f"{level}/{SPOT}"] for level in _levels(found)]


def _forget(document: dict[str, Any], *prefixes: str) -> None:
    attributes = document["attributes"]
    for key in [key for key in attributes if key.startswith(prefixes)]:
        del attributes[key]


def add_bounds(found: Documents, objects: dict[str, bytes]) -> None:
    """Give each level a variable `time_bnds` with axes of its own."""
    for level in _levels(found):
        document = copy.deepcopy(found[f"{level}/time"])
        document |= {"shape": [2, 2], "dimension_names": ["time", "bnds"], "attributes": {}}
        document["chunk_grid"]["configuration"]["chunk_shape"] = [2, 2]
        document["codecs"] = [{"name": "bytes", "configuration": {"endian": "little"}}]
        found[f"{level}/time_bnds"] = document
        objects[f"{level}/time_bnds/c/0/0"] = struct.pack("<4q", 0, 1, 1, 2)


def say_pixel(found: Documents, _: dict[str, bytes]) -> None:
    """State the default registration."""
    found[""]["attributes"]["spatial:registration"] = "pixel"


def plain_missing(found: Documents, _: dict[str, bytes]) -> None:
    """Write `_FillValue` as a JSON number."""
    for document in _arrays(found):
        document["attributes"]["_FillValue"] = document["fill_value"]


def only_cf(found: Documents, _: dict[str, bytes]) -> None:
    """Leave CF alone to place the arrays."""
    for level in _levels(found):
        _forget(found[level], *KEYS)
        _forget(found[f"{level}/{SPOT}"], *KEYS)


def turn(found: Documents, objects: dict[str, bytes]) -> None:
    """Say that the first row is the southernmost."""
    layout = found[""]["attributes"]["multiscales"]["layout"]
    for item in layout:
        level, height = item["asset"], item["spatial:shape"][0]
        a, b, c, d, e, f = item["spatial:transform"]
        transform = [a, b, c, d, -e, f + e * height]
        for place in (item, found[level]["attributes"], found[f"{level}/{SPOT}"]["attributes"]):
            place["spatial:transform"] = transform
        mapping = found[f"{level}/spatial_ref"]["attributes"]
        mapping["GeoTransform"] = f"{c} {a} {b} {transform[5]} {d} {-e}"
        rows = found[f"{level}/y"]
        rows["codecs"] = [{"name": "bytes", "configuration": {"endian": "little"}}]
        objects[f"{level}/y/c/0"] = (transform[5] - e * (np.arange(height) + 0.5)).astype("<f8").tobytes()


def legacy_tms(found: Documents, _: dict[str, bytes]) -> None:
    """Name a tile matrix set inside `multiscales`, as former drafts had it."""
    found[""]["attributes"]["multiscales"]["tile_matrix_set"] = "WebMercatorQuad"


def bare_levels(found: Documents, objects: dict[str, bytes]) -> None:
    """Leave the placement of the levels to the multiscale group."""
    for level in _levels(found):
        found[level]["attributes"] = {}
        _forget(found[f"{level}/{SPOT}"], *KEYS, "grid_mapping", "coordinates")
        del found[f"{level}/spatial_ref"]
        for key in [key for key in objects if key.startswith(f"{level}/spatial_ref/")]:
            del objects[key]


def coarse_first(found: Documents, _: dict[str, bytes]) -> None:
    """List the coarsest level first."""
    found[""]["attributes"]["multiscales"]["layout"].reverse()


def foreign_entry(found: Documents, _: dict[str, bytes]) -> None:
    """Register a further convention by its address alone."""
    entry = {"name": "other", "spec_url": "https://example.org/other"}
    found[""]["attributes"]["zarr_conventions"].insert(0, entry)


def proj_by_address(found: Documents, _: dict[str, bytes]) -> None:
    """Register proj by its addresses alone, at every node."""
    for document in found.values():
        for entry in document.get("attributes", {}).get("zarr_conventions", ()):
            if entry["name"] == "proj":
                del entry["uuid"]


def no_coordinates(found: Documents, _: dict[str, bytes]) -> None:
    """Leave `coordinates` out, so that a plain open leaves the grid mapping among the data."""
    for document in _arrays(found):
        del document["attributes"]["coordinates"]


def no_missing(found: Documents, _: dict[str, bytes]) -> None:
    """Leave `_FillValue` out: `fill_value` alone says what is missing."""
    for document in _arrays(found):
        del document["attributes"]["_FillValue"]


def no_axes(found: Documents, objects: dict[str, bytes]) -> None:
    """Leave x and y out: the transform alone places the cells."""
    for level in _levels(found):
        for axis in ("x", "y"):
            del found[f"{level}/{axis}"]
            for key in [key for key in objects if key.startswith(f"{level}/{axis}/")]:
                del objects[key]


def only_conventions(found: Documents, objects: dict[str, bytes]) -> None:
    """Leave CF out: no grid mapping, no x and y."""
    no_axes(found, objects)
    for level in _levels(found):
        _forget(found[f"{level}/{SPOT}"], "grid_mapping", "coordinates")
        del found[f"{level}/spatial_ref"]
        for key in [key for key in objects if key.startswith(f"{level}/spatial_ref/")]:
            del objects[key]


def add_named_bounds(found: Documents, objects: dict[str, bytes]) -> None:
    """Give each level a variable `time_bnds` that `time` names as its bounds."""
    add_bounds(found, objects)
    for level in _levels(found):
        found[f"{level}/time"]["attributes"]["bounds"] = "time_bnds"


def code_alone(found: Documents, objects: dict[str, bytes]) -> None:
    """Leave WKT out, and CF."""
    only_conventions(found, objects)
    for document in found.values():
        document["attributes"].pop("proj:wkt2", None)


def groups_alone(found: Documents, objects: dict[str, bytes]) -> None:
    """Leave the arrays to what their group says."""
    only_conventions(found, objects)
    for document in _arrays(found):
        _forget(document, *KEYS)


def arrays_alone(found: Documents, objects: dict[str, bytes]) -> None:
    """Leave placement and CRS to the arrays."""
    only_conventions(found, objects)
    for level in _levels(found):
        found[level]["attributes"] = {}


def rename_axes(found: Documents, objects: dict[str, bytes]) -> None:
    """Call rows and columns otherwise, everywhere."""
    new = {"y": "northing", "x": "easting"}
    for level in _levels(found):
        for old, name in new.items():
            found[f"{level}/{name}"] = found.pop(f"{level}/{old}")
            objects[f"{level}/{name}/c/0"] = objects.pop(f"{level}/{old}/c/0")
            del objects[f"{level}/{old}/zarr.json"]
    for document in found.values():
        if "dimension_names" in document:
            document["dimension_names"] = [new.get(name, name) for name in document["dimension_names"]]
        if "spatial:dimensions" in document["attributes"]:
            document["attributes"]["spatial:dimensions"] = [new["y"], new["x"]]


def misstate_shape(found: Documents, _: dict[str, bytes]) -> None:
    """State another shape of the second level in the layout."""
    found[""]["attributes"]["multiscales"]["layout"][1]["spatial:shape"] = [100, 100]


def add_bounds_coarsest(found: Documents, objects: dict[str, bytes]) -> None:
    """Give the coarsest level a variable `time_bnds` with axes of its own."""
    add_bounds(found, objects)
    for level in _levels(found)[:-1]:
        del found[f"{level}/time_bnds"]
        del objects[f"{level}/time_bnds/c/0/0"]


def rename_bare_axes(found: Documents, objects: dict[str, bytes]) -> None:
    """Call rows and columns otherwise, and leave out what else tells them."""
    rename_axes(found, objects)
    for level in _levels(found):
        for name in ("northing", "easting"):
            found[f"{level}/{name}"]["attributes"] = {}


def unknown_codec(found: Documents, _: dict[str, bytes]) -> None:
    """Name a codec that no reader decodes."""
    for document in _arrays(found):
        document["codecs"].append({"name": "example.none"})


def unlike_level(found: Documents, _: dict[str, bytes]) -> None:
    """Give the second level another type of the same width."""
    _arrays(found)[1]["data_type"] = "int16"


def unplaced_layout(found: Documents, objects: dict[str, bytes]) -> None:
    """Let the groups of the levels alone say where they are."""
    groups_alone(found, objects)
    for item in found[""]["attributes"]["multiscales"]["layout"]:
        del item["spatial:transform"]
        del item["spatial:shape"]


def no_group_dimensions(found: Documents, _: dict[str, bytes]) -> None:
    """Leave the names of the axes to arrays and levels."""
    del found[""]["attributes"]["spatial:dimensions"]


def no_group_crs(found: Documents, _: dict[str, bytes]) -> None:
    """Leave the CRS to arrays and levels, registration included."""
    attributes = found[""]["attributes"]
    _forget(found[""], "proj:")
    attributes["zarr_conventions"] = [entry for entry in attributes["zarr_conventions"] if entry["name"] != "proj"]


def zlib_chunks(found: Documents, objects: dict[str, bytes]) -> None:
    """Code chunks by a codec that few readers know."""
    for level, document in zip(_levels(found), _arrays(found), strict=True):
        array = zarr.open_array(truths.stored(objects), path=f"{level}/{SPOT}", mode="r", zarr_format=3)
        document["codecs"][1] = {"name": "numcodecs.zlib", "configuration": {"level": 1}}
        for key in [key for key in objects if key.startswith(f"{level}/{SPOT}/c/")]:
            row, col = (int(part) for part in key.split("/")[-2:])
            block = np.asarray(array.blocks[row, col])
            padded = np.zeros((CHUNK, CHUNK), block.dtype)
            padded[: block.shape[0], : block.shape[1]] = block
            objects[key] = zlib.compress(padded.tobytes(), 1)


def unregistered_code(found: Documents, objects: dict[str, bytes]) -> None:
    """Leave WKT, CF and the registration out."""
    code_alone(found, objects)
    unregistered(found, objects)


def other_fill(found: Documents, _: dict[str, bytes]) -> None:
    """Let `fill_value` be another value than the one that marks missing pixels."""
    for document in _arrays(found):
        document["fill_value"] = 65535


def unregistered(found: Documents, objects: dict[str, bytes]) -> None:
    """Use the conventions without registering them."""
    if "0/x" in found:
        only_conventions(found, objects)
    for document in found.values():
        document["attributes"].pop("zarr_conventions", None)


def node_registration(found: Documents, objects: dict[str, bytes]) -> None:
    """Say that transforms speak of the centres of cells: with the same numbers, the raster lies half a cell off."""
    only_conventions(found, objects)
    for document in found.values():
        if "spatial:dimensions" in document["attributes"]:
            document["attributes"]["spatial:registration"] = "node"
            document["attributes"].pop("spatial:bbox", None)


def checksum(found: Documents, objects: dict[str, bytes]) -> None:
    """Put a crc32c behind each chunk."""
    names = {f"{level}/{SPOT}" for level in _levels(found)}
    for document in _arrays(found):
        document["codecs"].append({"name": "crc32c"})
    for key, data in objects.items():
        if key.rpartition("/c/")[0] in names:
            objects[key] = data + struct.pack("<I", google_crc32c.value(data))


def four_axes(found: Documents, objects: dict[str, bytes]) -> None:
    """Put an axis of one step before the others."""
    for level, document in zip(_levels(found), _arrays(found), strict=True):
        document["shape"].insert(0, 1)
        document["dimension_names"].insert(0, "run")
        document["chunk_grid"]["configuration"]["chunk_shape"].insert(0, 1)
        prefix = f"{level}/{SPOT}/c/"
        for key in [key for key in objects if key.startswith(prefix)]:
            objects[f"{prefix}0/{key.removeprefix(prefix)}"] = objects.pop(key)


def null_fill(found: Documents, _: dict[str, bytes]) -> None:
    """Write a fill value of null, as some writers do."""
    for document in _arrays(found):
        document["fill_value"] = None


def no_bbox(found: Documents, _: dict[str, bytes]) -> None:
    """Leave `spatial:bbox` of the multiscale group out."""
    del found[""]["attributes"]["spatial:bbox"]


def packed(found: Documents, _: dict[str, bytes]) -> None:
    """Pack the values: 0.5 a step from -100 on."""
    for document in _arrays(found):
        document["attributes"] |= {"scale_factor": 0.5, "add_offset": -100.0}
        document["attributes"].pop("actual_range", None)
        document["attributes"].pop("statistics", None)


EDITS = (
    Edit(
        "1-aux-array",
        "a two-dimensional array without rows and columns (`time_bnds`) in each level group",
        "regression",
        add_bounds,
        base=("utm", "float32--9999-time"),
    ),
    Edit(
        "2-explicit-pixel",
        "`spatial:registration: pixel` on the multiscale group, and an array of three axes",
        "regression",
        say_pixel,
        base=("utm", "float32--9999-time"),
    ),
    Edit(
        "3-plain-fillvalue",
        "`_FillValue` of floats as a JSON number",
        "regression",
        plain_missing,
        base=("utm", "float32--9999-time"),
    ),
    Edit(
        "4-order",
        "CF alone, and the data before `spatial_ref` in consolidated metadata",
        "regression",
        only_cf,
        order=lambda path: (path.count("/"), path),
    ),
    Edit("6-south-up", "the first row is the southernmost", "regression", turn, expected=truths.flipped),
    Edit("7-tms-name", "`multiscales.tile_matrix_set` is a name", "regression", legacy_tms),
    Edit("8-bare-levels", "only the multiscale group says where and in which CRS", "regression", bare_levels),
    Edit("9-coarse-first", "the layout goes from coarse to fine", "regression", coarse_first),
    Edit("10-entry-without-uuid", "a further convention registered without uuid", "regression", foreign_entry),
    Edit("10b-proj-without-uuid", "proj registered by its addresses alone", "regression", proj_by_address),
    Edit("cf-only", "CF alone, `spatial_ref` first", "variant", only_cf),
    Edit("cf-only-degrees", "CF alone, in EPSG:4326", "variant", only_cf, base=("degrees", "uint16-0")),
    Edit("bare-levels-degrees", "case 8 in EPSG:4326", "variant", bare_levels, base=("degrees", "uint16-0")),
    Edit("bare-levels-mercator", "case 8 in EPSG:3857", "variant", bare_levels, base=("mercator", "uint16-0")),
    Edit(
        "aux-array-bounds",
        "`time_bnds`, named by the `bounds` of `time`",
        "variant",
        add_named_bounds,
        base=("utm", "float32--9999-time"),
    ),
    Edit("proj-code-alone", "`proj:code` alone, and no CF", "variant", code_alone),
    Edit("groups-alone", "conventions at the groups, none at the arrays, and no CF", "variant", groups_alone),
    Edit("arrays-alone", "conventions at the arrays, none at the level groups, and no CF", "variant", arrays_alone),
    Edit(
        "axis-names",
        "axes named northing and easting",
        "variant",
        rename_axes,
        expected=lambda truth: replace(truth, dimensions=("northing", "easting")),
    ),
    Edit(
        "bare-axis-names",
        "axes named northing and easting, their coordinates without attributes",
        "variant",
        rename_bare_axes,
        expected=lambda truth: replace(truth, dimensions=("northing", "easting")),
    ),
    Edit("unknown-codec", "a codec that nobody has", "variant", unknown_codec),
    Edit("misstated-shape", "a level of another shape than the layout states", "variant", misstate_shape),
    Edit(
        "aux-array-coarsest",
        "case 1 in the coarsest level alone",
        "variant",
        add_bounds_coarsest,
        base=("utm", "float32--9999-time"),
    ),
    Edit("unlike-level", "a coarser level of another type", "variant", unlike_level),
    Edit("unplaced-layout", "placement at the level groups alone", "variant", unplaced_layout),
    Edit("no-group-dimensions", "no `spatial:dimensions` on the multiscale group", "variant", no_group_dimensions),
    Edit("no-group-crs", "no CRS on the multiscale group", "variant", no_group_crs),
    Edit("zlib", "chunks in `numcodecs.zlib`", "variant", zlib_chunks),
    Edit("unregistered-code", "`proj:code` alone, nothing registered, and no CF", "variant", unregistered_code),
    Edit("fill-differs", "`fill_value` is not `_FillValue`", "variant", other_fill),
    Edit("unregistered", "no `zarr_conventions` at any node, and no CF", "variant", unregistered),
    Edit(
        "node",
        "`spatial:registration: node` at every node, and no CF",
        "variant",
        node_registration,
        expected=truths.shifted,
    ),
    Edit("crc32c", "each chunk with a crc32c", "variant", checksum, layout="plain"),
    Edit(
        "four-axes",
        "an array of four axes",
        "variant",
        four_axes,
        base=("utm", "float32--9999-time"),
        expected=lambda truth: replace(truth, leading=(("run", 0), *truth.leading)),
    ),
    Edit("tms-name-sharded", "case 7, sharded", "variant", legacy_tms, layout="sharded"),
    Edit("conventions-only", "no CF: neither grid mapping nor x and y", "variant", only_conventions),
    Edit("no-axes", "no x and y", "variant", no_axes),
    Edit("no-coordinates-attribute", "no `coordinates` attribute", "variant", no_coordinates),
    Edit("fill-value-alone", "no `_FillValue`", "variant", no_missing),
    Edit("null-fill-value", "`fill_value: null`", "variant", null_fill),
    Edit("no-bbox", "no `spatial:bbox` on the multiscale group", "variant", no_bbox),
    Edit(
        "packed",
        "`scale_factor` and `add_offset`",
        "variant",
        packed,
        expected=lambda truth: replace(truth, scale=0.5, offset=-100.0),
    ),
)

UNCONSOLIDATED_TOO = ("4-order", "cf-only", "conventions-only", "1-aux-array", "7-tms-name", "6-south-up", "no-bbox")


def _keys(store: MemoryStore) -> list[str]:
    return sorted(item["path"] for batch in obstore.list(store) for item in batch)


def _paths(objects: dict[str, bytes]) -> list[str]:
    return [key.rpartition("/")[0] for key in objects if key.rpartition("/")[2] == "zarr.json"]


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
