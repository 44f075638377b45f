"""What GeoZarr 0.4 says of Zarr v2, in documents as the tree has them: like those of v3, with their format kept."""

from __future__ import annotations

from typing import Any

import pytest
from obstore.store import MemoryStore

from conformance import Depth, legacy, rules_geozarr, rules_legacy
from conformance.context import Context
from conformance.drafts import list_of
from conformance.layouts import is_draft
from conformance.tree import Node, Tree


def array(path: str, *, shape: tuple[int, ...] = (256, 256), names: Any = ("y", "x"), **attributes: Any) -> Node:
    """An array of Zarr v2."""
    stated = {} if names is None else {"_ARRAY_DIMENSIONS": list(names) if isinstance(names, tuple) else names}
    document = {
        "zarr_format": 2,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shape)}},
        "codecs": [{"name": "bytes"}],
        "fill_value": 0,
        "attributes": {**stated, **attributes},
    }
    if isinstance(names, tuple) and len(names) == len(shape):
        document["dimension_names"] = list(names)
    return Node(path, document)


def group(path: str, **attributes: Any) -> Node:
    return Node(path, {"zarr_format": 2, "node_type": "group", "attributes": attributes})


def context(*nodes: Node) -> Context:
    found = {node.path: node for node in (group(""), *nodes)}
    return Context(Tree(dict(sorted(found.items())), len(found)), MemoryStore(), Depth.METADATA)


@pytest.mark.parametrize(
    ("names", "shape", "is_fault"),
    [
        (("y", "x"), (256, 256), False),
        ((), (), False),
        ((), (1,), False),  # as 0.4 has it of auxiliary variables
        (None, (), False),
        (None, (256, 256), True),
        (("y",), (256, 256), True),
        ("y x", (256, 256), True),
        ([1, 2], (256, 256), True),
    ],
)
def test_axes_of_zarr_v2_have_names(names, shape, is_fault) -> None:
    found = list(rules_legacy.check_dimensions(context(array("v", shape=shape, names=names))))
    assert [fault.pointer for fault in found] == [("attributes", "_ARRAY_DIMENSIONS")] * is_fault


def test_a_store_of_zarr_v2_is_none_of_eopf() -> None:
    faults = list(rules_geozarr.check_eopf(context()))
    assert ("", ("zarr_format",)) in [(fault.node, fault.pointer) for fault in faults]


def test_levels_are_sought_above_the_array() -> None:
    stated = {"tile_matrix_set": "WebMercatorQuad", "resampling_method": "nearest"}
    nodes = (group("a"), group("a/3"), array("a/3/v", multiscales=stated), array("a/v", multiscales=stated))
    found = list(legacy.statements(context(*nodes)))
    assert [(statement.home, statement.node.path) for statement in found] == [("a", "a/3/v")]  # equal ones are one
    assert list(rules_legacy.check_levels(context(*nodes))) == []


def test_a_registered_set_without_any_level_is_a_fault() -> None:
    stated = {"tile_matrix_set": "WebMercatorQuad", "resampling_method": "nearest"}
    (fault,) = rules_legacy.check_levels(context(array("v", multiscales=stated)))
    assert fault.pointer == ("attributes", "multiscales", "tile_matrix_set")


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("WebMercatorQuad", 25),
        ("http://www.opengis.net/def/tilematrixset/OGC/1.0/WebMercatorQuad", 25),
        ("https://schemas.opengis.net/tms/2.0/json/examples/tilematrixset/WebMercatorQuad.json.json", 25),
        ({"tileMatrices": [{"id": "0"}]}, 1),
    ],
)
def test_sets_are_read_by_name_address_and_inline(value, count) -> None:
    found = legacy.read_set(value)
    assert found is not None
    assert len(found) == count


@pytest.mark.parametrize(
    "value", ["", "MyQuad", "../etc", 5, None, [], {}, {"tileMatrices": []}, {"tileMatrices": [{"id": 1}]}]
)
def test_what_is_no_set_is_none(value) -> None:
    assert legacy.read_set(value) is None


@pytest.mark.parametrize(
    ("multiscales", "expected"),
    [
        ({"version": "1.0", "layout": [{"id": "0"}]}, True),
        ({"version": "1.0", "layout": [{"id": "0", "path": "a/0"}, {"path": "a/1"}]}, True),
        ({"tile_matrix_ref": "WebMercatorQuad", "layout": []}, False),
        ({"layout": [{"asset": "0"}, {"id": "1"}]}, False),
        ({"layout": [{}]}, False),
        ({"layout": {"id": 1}}, False),
        ({"tile_matrix_set": "WebMercatorQuad"}, False),
        ([], False),
        (None, False),
    ],
)
def test_the_draft_of_2025_is_told_by_its_levels(multiscales, expected) -> None:
    assert is_draft({"multiscales": multiscales}) is expected


@pytest.mark.parametrize(
    ("multiscales", "expected"),
    [
        ([{"datasets": [{"path": "0", "level": 0}]}], "ndpyramid"),
        ([{"datasets": [{"path": "0", "coordinateTransformations": []}]}], "OME-NGFF before 0.5"),
        ([{"axes": [], "datasets": []}], "OME-NGFF before 0.5"),
        ([5, {"datasets": 5}], "nothing known"),
        ([], "nothing known"),
        ({}, None),
    ],
)
def test_lists_are_told_apart(multiscales, expected) -> None:
    assert list_of({"multiscales": multiscales}) == expected
