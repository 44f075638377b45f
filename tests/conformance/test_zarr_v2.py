"""Zarr v2: stores that zarr-python writes are judged by the same rules, and findings name the documents of v2."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import obstore
import pytest
import zarr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import Blosc
from obstore.store import MemoryStore

from conformance import Severity, check
from geozarr import Grid, MetadataError, crs, levels, zarr_v2
from pyramid_factory import Variable, write_pyramid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Objects = dict[str, bytes]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    return make(tmp_path_factory.mktemp("v2"))


def make(folder: Path) -> Objects:
    """Copy a pyramid of floats and whole numbers array by array into a store of Zarr v2."""
    grid = Grid((101, 67), Affine(10, 0, 500_000, 0, -10, 5_000_000), crs.from_code("EPSG:32633"))
    layout = levels.from_halving(grid, count=3, resampling_method="average")
    values = np.random.default_rng(1).integers(0, 200, grid.shape)
    variables = {
        "red": Variable(values.astype("uint8"), nodata=255),
        "dem": Variable(values.astype("float32"), nodata=-9999),
    }
    source = zarr.open_group(write_pyramid(folder / "v3", layout, variables, chunk=32), mode="r")
    target = zarr.open_group(folder / "v2", mode="w", zarr_format=2)
    target.attrs.update(dict(source.attrs))
    for path, node in sorted(source.members(max_depth=None)):
        attributes = dict(node.attrs)
        if isinstance(node, zarr.Group):
            target.create_group(path).attrs.update(attributes)
            continue
        if "_FillValue" in attributes:
            attributes["_FillValue"] = np.asarray(node.fill_value).item()
        copy = target.create_array(
            path,
            shape=node.shape,
            chunks=node.chunks,
            dtype=node.dtype,
            fill_value=node.fill_value,
            compressors=Blosc("zstd"),
        )
        copy.attrs.update(attributes | {"_ARRAY_DIMENSIONS": list(node.metadata.dimension_names or ())})
        copy[...] = node[...]
    zarr.consolidate_metadata(folder / "v2", zarr_format=2)
    found = {str(file.relative_to(folder / "v2")): file for file in sorted((folder / "v2").rglob("*"))}
    return {key: file.read_bytes() for key, file in found.items() if file.is_file()}


def opened(objects: Objects) -> MemoryStore:
    store = MemoryStore()
    for key, data in objects.items():
        obstore.put(store, key, data)
    return store


def edited(objects: Objects, key: str, edit: Callable[[Any], object], *, is_copied: bool = True) -> Objects:
    """Edit a document, and its copy in the consolidated metadata."""
    document, consolidated = (json.loads(objects[name]) for name in (key, ".zmetadata"))
    edit(document)
    if is_copied and key in consolidated["metadata"]:
        consolidated["metadata"][key] = document
    return {**objects, ".zmetadata": json.dumps(consolidated).encode(), key: json.dumps(document).encode()}


@pytest.mark.parametrize("depth", ["metadata", "geometry", "objects", "pixels"])
def test_a_good_store_has_no_findings(objects: Objects, depth: str) -> None:
    report = check(opened(objects), depth=depth, all_pixels=True)
    assert report.findings == (), report.to_text()
    assert (report.exit_status, report.pyramids) == (0, 1)
    assert (report.cells > 0) == (depth == "pixels")


def test_one_wrong_pixel_is_found(objects: Objects, tmp_path: Path) -> None:
    for key, data in objects.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    array = zarr.open_group(tmp_path, mode="r+", zarr_format=2)["1/dem"]
    array[3, 4] += 1
    report = check(tmp_path, depth="pixels", all_pixels=True)
    assert [(found.rule, found.node) for found in report.findings] == [("XC-12", "/1/dem")]


def test_pixels_that_fill_value_masks_are_no_data(objects: Objects, tmp_path: Path) -> None:
    """Of Zarr v2 xarray masks by `fill_value` where `_FillValue` says nothing (ZARR-12)."""
    for key, data in objects.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    group = zarr.open_group(tmp_path, mode="r+", zarr_format=2)
    for level in range(3):
        del group[f"{level}/red"].attrs["_FillValue"]
    group["0/red"][:2, :2] = [[255, 10], [20, 33]]
    group["1/red"][0, 0] = 21  # the mean of three
    valid = group["1/red"][:2, :2].astype(float)
    group["2/red"][0, 0] = np.rint((valid.sum() * 4 - 21 * 4 + 63) / 15)  # of the finest level
    zarr.consolidate_metadata(tmp_path, zarr_format=2)
    report = check(tmp_path, depth="pixels", all_pixels=True)
    assert report.findings == (), report.to_text()


def drop(*keys: Any) -> Callable[[Any], object]:
    *where, last = keys

    def edit(document: Any) -> None:
        for key in where:
            document = document[key]
        del document[last]

    return edit


def put(*keys: Any) -> Callable[[Any], object]:
    *where, last, value = keys

    def edit(document: Any) -> None:
        for key in where:
            document = document[key]
        document[last] = value

    return edit


@dataclass(frozen=True)
class Edit:
    """One fault, and the place where it is found."""

    name: str
    key: str
    edit: Callable[[Any], object]
    rule: str
    place: str
    severity: Severity = Severity.ERROR
    is_copied: bool = True
    also: str = ""

    def applied(self, objects: Objects) -> Objects:
        """Put the fault into a store."""
        changed = edited(objects, self.key, self.edit, is_copied=self.is_copied)
        return edited(changed, self.key, drop("metadata", self.also)) if self.also else changed


EDITS = (
    Edit("order", "0/red/.zarray", put("order", "K"), "ZARR-01", "/0/red .zarray /order"),
    Edit("no order", "0/red/.zarray", drop("order"), "ZARR-01", "/0/red .zarray /order"),
    Edit("no compressor", "0/red/.zarray", drop("compressor"), "ZARR-01", "/0/red .zarray /compressor"),
    Edit("compressor", "0/red/.zarray", put("compressor", 5), "ZARR-01", "/0/red .zarray /compressor"),
    Edit("filters", "0/red/.zarray", put("filters", "delta"), "ZARR-01", "/0/red .zarray /filters"),
    Edit("no dtype", "1/dem/.zarray", drop("dtype"), "ZARR-01", "/1/dem .zarray /dtype"),
    Edit("dtype", "1/dem/.zarray", put("dtype", "float"), "ZARR-01", "/1/dem .zarray /dtype"),
    Edit("array of v3", "1/dem/.zarray", put("zarr_format", 3), "ZARR-01", "/1/dem .zarray /zarr_format"),
    Edit("no shape", "1/x/.zarray", drop("shape"), "ZARR-01", "/1/x .zarray /shape"),
    Edit("group of v3", "1/.zgroup", put("zarr_format", 3), "ZARR-02", "/1 .zgroup /zarr_format"),
    Edit("chunk of 0", "1/dem/.zarray", put("chunks", [0, 8]), "ZARR-08", "/1/dem .zarray /chunks"),
    Edit("chunks of another rank", "1/dem/.zarray", put("chunks", [8]), "ZARR-08", "/1/dem .zarray /chunks"),
    Edit(
        "separator", "1/dem/.zarray", put("dimension_separator", ":"), "ZARR-08", "/1/dem .zarray /dimension_separator"
    ),
    Edit("level of blosc", "1/dem/.zarray", put("compressor", "clevel", 12), "ZARR-10", "/1/dem .zarray /compressor"),
    Edit("shuffle", "1/dem/.zarray", put("compressor", "shuffle", 7), "ZARR-10", "/1/dem .zarray /compressor"),
    Edit("fill value", "1/red/.zarray", put("fill_value", 300), "ZARR-07", "/1/red .zarray /fill_value"),
    Edit("axes", "1/dem/.zattrs", put("_ARRAY_DIMENSIONS", ["y"]), "ZARR-05", "/1/dem .zattrs /_ARRAY_DIMENSIONS"),
    Edit("axes no list", "1/dem/.zattrs", put("_ARRAY_DIMENSIONS", 7), "ZARR-05", "/1/dem .zattrs /_ARRAY_DIMENSIONS"),
    Edit("missing value", "1/dem/.zattrs", put("_FillValue", "AAAAAICHw8A="), "ZARR-13", "/1/dem .zattrs /_FillValue"),
    Edit(
        "missing and fill value",
        "1/dem/.zattrs",
        put("_FillValue", -1),
        "ZARR-11",
        "/1/dem .zarray /fill_value",
        Severity.WARNING,
    ),
    Edit("transform", "1/dem/.zattrs", put("spatial:transform", [1]), "SP-05", "/1/dem .zattrs /spatial:transform"),
    Edit("bbox", "1/.zattrs", put("spatial:bbox", 0, 3.0), "XC-01", "/1 .zattrs /spatial:bbox"),
    Edit(
        "asset",
        ".zattrs",
        put("multiscales", "layout", 2, "asset", "9"),
        "MS-05",
        "/ .zattrs /multiscales/layout/2/asset",
    ),
    Edit(
        "stale copy",
        "1/dem/.zattrs",
        put("units", "m"),
        "ZARR-22",
        "/1/dem .zattrs /units",
        is_copied=False,
    ),
    Edit("stale copy of the root", ".zattrs", put("title", "x"), "ZARR-22", "/ .zattrs /title", is_copied=False),
    Edit("form", ".zmetadata", put("zarr_consolidated_format", 2), "ZARR-20", "/ .zmetadata "),
    Edit(
        "not consolidated", ".zmetadata", drop("metadata", "1/dem/.zarray"), "ZARR-20", "/ .zmetadata /metadata/1~1dem"
    ),
    Edit(
        "consolidated only",
        ".zmetadata",
        put("metadata", "gone/.zgroup", {"zarr_format": 2}),
        "ZARR-20",
        "/gone .zgroup ",
    ),
)


@pytest.mark.parametrize("case", EDITS, ids=lambda case: case.name)
def test_one_fault_is_one_finding_in_its_document(objects: Objects, case: Edit) -> None:
    report = check(opened(case.applied(objects)))
    found = [(f.rule, f"{f.node} {f.document} {f.pointer}", f.severity) for f in report.findings]
    assert found == [(case.rule, case.place, case.severity)], report.to_text()


def test_what_has_no_pointer_in_v3_is_named_by_its_document(objects: Objects) -> None:
    (found,) = check(opened(edited(objects, "1/dem/.zarray", put("dtype", "float")))).findings
    assert str(found).startswith("/1/dem/.zarray#/dtype: dtype is malformed")
    assert found.clause == "Zarr v2, array metadata"


@pytest.mark.parametrize(
    ("key", "rule", "node"), [("1/dem/.zattrs", "ZARR-01", "/1/dem"), ("1/.zattrs", "ZARR-02", "/1")]
)
def test_attributes_that_cannot_be_read_are_one_finding(objects: Objects, key: str, rule: str, node: str) -> None:
    report = check(opened({**objects, key: b"{"}))
    assert [(found.rule, found.node) for found in report.findings] == [(rule, node)], report.to_text()


def test_a_group_without_a_document_is_found(objects: Objects) -> None:
    del (changed := dict(objects))["1/.zgroup"]
    consolidated = json.loads(changed[".zmetadata"])
    del consolidated["metadata"]["1/.zgroup"], consolidated["metadata"]["1/.zattrs"]
    changed[".zmetadata"] = json.dumps(consolidated).encode()
    report = check(opened(changed), depth="metadata")
    first = report.findings[0]
    assert (first.rule, first.node, first.document) == ("ZARR-03", "/1", ".zgroup")


def test_consolidated_metadata_alone_are_no_store() -> None:
    with pytest.raises(MetadataError) as raised:
        check(opened({".zmetadata": b"{}"}))
    assert raised.value.found == ".zmetadata"


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("|u1", "uint8"),
        ("<f4", "float32"),
        (">i2", "int16"),
        ("|b1", "bool"),
        ("<f2", "float16"),
        ("<c8", "complex64"),
        ("<M8[ns]", "numpy.datetime64"),
        ("|S10", "null_terminated_bytes"),
        ("<U5", "fixed_length_utf32"),
        ("|O", "string"),
        ([["a", "<f4"]], "struct"),
    ],
)
def test_type_strings_become_data_types(dtype: Any, name: str) -> None:
    found = zarr_v2.data_type(dtype)
    assert (found if isinstance(found, str) else found["name"]) == name


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from(
        ["dtype", "chunks", "compressor", "filters", "order", "fill_value", "shape", "dimension_separator"]
    ),
)
def test_whatever_stands_in_a_document_is_a_report(value: Any, key: str) -> None:
    array = {
        "zarr_format": 2,
        "shape": [4, 4],
        "chunks": [2, 2],
        "dtype": "<f4",
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1},
        "filters": None,
        "order": "C",
        "fill_value": None,
        key: value,
    }
    store = opened({".zarray": json.dumps(array).encode(), ".zattrs": b'{"_ARRAY_DIMENSIONS": ["y", "x"]}'})
    assert check(store).exit_status in (1, 2)


def test_levels_are_drawn_and_marked_by_what_is_found_in_their_documents(objects: Objects) -> None:
    def edit(document: Any) -> None:
        document["multiscales"]["layout"][1]["transform"]["scale"] = [3.0, 3.0]

    report = check(opened(edited(objects, ".zattrs", edit)), picture=True)
    assert [(finding.key, finding.pointer) for finding in report.findings] == [
        (".zattrs", "/multiscales/layout/1/transform/scale")
    ]
    assert report.drawing is not None
    (pyramid,) = report.drawing.pyramids
    assert [level.shape for level in pyramid.levels] == [(101, 67), (51, 34), (26, 17)]
    assert [level.is_about(report.findings[0], "/") for level in pyramid.levels] == [False, True, False]
    assert pyramid.preview is not None
    assert (pyramid.preview.height, pyramid.preview.width) == (101, 67)


@pytest.mark.parametrize("is_stored", [True, False])
def test_coordinates_without_a_fill_value_are_judged_where_they_are_stored(
    objects: Objects, *, is_stored: bool
) -> None:
    """What absent chunks hold is not defined then, so nothing is said of them."""
    halves = np.full(67, 500_005.0)
    changed = edited(objects, "0/x/.zarray", lambda document: document.update(fill_value=None, compressor=None))
    chunks = {key for key in changed if key.startswith("0/x/") and not key.rpartition("/")[2].startswith(".")}
    changed = {key: data for key, data in changed.items() if key not in chunks}
    if is_stored:
        side = json.loads(changed["0/x/.zarray"])["chunks"][0]
        padded = np.pad(halves, (0, -len(halves) % side), mode="edge")
        changed |= {f"0/x/{at}": padded[at * side :][:side].tobytes() for at in range(len(padded) // side)}
    rules = {found.rule for found in check(opened(changed), depth="geometry").findings}
    assert rules == ({"XC-06"} if is_stored else set())


def test_pixels_without_a_fill_value_are_derived_anew(objects: Objects, tmp_path: Path) -> None:
    changed = objects
    for level in range(3):
        for edit in (drop("fill_value"), lambda document: document.update(fill_value=None)):
            changed = edited(changed, f"{level}/red/.zarray", edit)
        changed = edited(changed, f"{level}/red/.zattrs", drop("_FillValue"))
    report = check(opened(changed), depth="pixels", all_pixels=True)
    assert report.findings == (), report.to_text()
    assert report.cells == check(opened(objects), depth="pixels", all_pixels=True).cells
    for key, data in changed.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    array = zarr.open_group(tmp_path, mode="r+", zarr_format=2)["1/red"]
    array[3, 4] += 1
    report = check(tmp_path, depth="pixels", all_pixels=True)
    assert [(found.rule, found.node) for found in report.findings] == [("XC-12", "/1/red")]
