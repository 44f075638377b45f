from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import zarr
import zarr.storage
from hypothesis import given
from hypothesis import strategies as st
from zarr.core.buffer import default_buffer_prototype

from geozarr import MetadataError, UnsupportedError, cf, documents, store
from geozarr.documents import ArrayLayout
from strategies import DTYPES

LAYOUT = ArrayLayout((3, 100, 70), np.dtype("int16"), ("band", "y", "x"), (1, 16, 32), None, -9999)
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
BLOSC = {
    "name": "blosc",
    "configuration": {"typesize": 2, "cname": "zstd", "clevel": 1, "shuffle": "bitshuffle", "blocksize": 0},
}


def document(layout: ArrayLayout = LAYOUT, attributes: dict | None = None) -> dict:
    # A single byte has no order.
    first = BYTES if layout.dtype.itemsize > 1 else {"name": "bytes"}
    return documents.array_document(layout, codecs=[first, BLOSC], attributes=attributes or {})


async def _put(target: zarr.storage.MemoryStore, key: str, data: bytes) -> None:
    await target.set(key, default_buffer_prototype().buffer.from_bytes(data))


def stored(nodes: dict[str, dict]) -> zarr.storage.MemoryStore:
    """Put documents as they are into a store of zarr-python."""
    target = zarr.storage.MemoryStore()
    for path, node in nodes.items():
        zarr.core.sync.sync(_put(target, store.join(path, documents.DOCUMENT), store.encode_document(node)))
    return target


@pytest.mark.parametrize("shard", [None, (1, 64, 64)], ids=["chunks", "shards"])
def test_zarr_python_opens_an_array_document(shard: tuple[int, ...] | None) -> None:
    layout = replace(LAYOUT, shard=shard)
    target = stored({"": document(layout, {"units": "m"})})
    array = zarr.open_array(target, mode="r+", zarr_format=3)
    assert array.shape == layout.shape
    assert array.dtype == layout.dtype
    assert array.chunks == layout.chunk
    assert array.shards == shard
    assert array.fill_value == -9999
    assert array.metadata.dimension_names == layout.dimensions
    assert dict(array.attrs) == {"units": "m"}
    values = np.arange(array.size, dtype="int16").reshape(array.shape)
    assert (array[...] == -9999).all()
    array[...] = values
    assert (zarr.open_array(target, mode="r")[...] == values).all()


@pytest.mark.parametrize("shard", [None, (1, 64, 64)], ids=["chunks", "shards"])
def test_objects_are_counted_and_named_as_zarr_python_does(shard: tuple[int, ...] | None) -> None:
    layout = replace(LAYOUT, shard=shard)
    target = stored({"": document(layout)})
    zarr.open_array(target, mode="r+")[...] = 1
    keys = {key for key in target._store_dict if key != documents.DOCUMENT}
    rows, cols = layout.object_shape[1:]
    assert keys == {
        layout.object_key(band, row, col)
        for band in range(3)
        for row in range(math.ceil(100 / rows))
        for col in range(math.ceil(70 / cols))
    }
    assert len(keys) == layout.object_count


@pytest.mark.parametrize("dtype", [*DTYPES, np.dtype(bool)], ids=str)
def test_zarr_python_reads_type_and_fill_value(dtype: np.dtype) -> None:
    fills = [0, 1]
    if dtype.kind in "iu":
        fills += [int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)]
    if dtype.kind == "f":
        fills += [math.nan, math.inf, -math.inf, float(np.finfo(dtype).max), float(np.finfo(dtype).smallest_subnormal)]
    for fill in fills:
        layout = replace(LAYOUT, dtype=dtype, fill_value=fill)
        written = json.loads(json.dumps(document(layout), allow_nan=False))
        array = zarr.open_array(stored({"": written}), mode="r")
        assert array.dtype == dtype
        np.testing.assert_array_equal(array.fill_value, dtype.type(fill))
        assert documents.dtype_of(written, node="/") == dtype
        np.testing.assert_array_equal(cf.decode_fill_value(written["fill_value"], dtype, node="/"), dtype.type(fill))


def test_the_index_of_a_shard_stands_at_its_end_with_a_checksum() -> None:
    (codec,) = document(replace(LAYOUT, shard=(1, 64, 64)))["codecs"]
    assert codec["name"] == "sharding_indexed"
    assert codec["configuration"]["index_location"] == "end"
    assert [inner["name"] for inner in codec["configuration"]["index_codecs"]] == ["bytes", "crc32c"]
    assert codec["configuration"]["chunk_shape"] == [1, 16, 32]


def test_a_big_endian_array_is_declared_by_its_type_alone() -> None:
    assert document(replace(LAYOUT, dtype=np.dtype(">i2")))["data_type"] == "int16"


def test_a_scalar_has_one_object() -> None:
    layout = ArrayLayout((), np.dtype("int64"), (), (), None, 0)
    assert layout.object_count == 1
    assert layout.object_key() == "c"
    target = stored({"": documents.array_document(layout, codecs=[BYTES], attributes={})})
    array = zarr.open_array(target, mode="r+")
    array[...] = 7
    assert "c" in target._store_dict


def test_an_array_without_pixels_has_no_object() -> None:
    assert replace(LAYOUT, shape=(3, 0, 70)).object_count == 0


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"dimensions": ("y", "x")}, "dimensions"),
        ({"dimensions": ("band", "y", "y")}, "dimensions"),
        ({"chunk": (16, 32)}, "chunk"),
        ({"chunk": (1, 0, 32)}, "chunk"),
        ({"shape": (3, -1, 70)}, "shape"),
        ({"shard": (1, 64)}, "shard"),
        ({"shard": (1, 40, 64)}, "shard"),
        ({"shard": (1, 0, 64)}, "shard"),
        ({"fill_value": 70_000}, "fill_value"),
        ({"fill_value": 0.5}, "fill_value"),
        ({"fill_value": math.nan}, "fill_value"),
    ],
)
def test_a_layout_that_cannot_be_stored_is_refused(change: dict, key: str) -> None:
    with pytest.raises(MetadataError) as caught:
        replace(LAYOUT, **change)
    assert caught.value.key == key


@pytest.mark.parametrize("name", ["complex64", "datetime64[ns]", "U4", "object", "V2"])
def test_a_type_of_another_kind_is_not_supported(name: str) -> None:
    with pytest.raises(UnsupportedError):
        replace(LAYOUT, dtype=np.dtype(name), fill_value=0)


@pytest.mark.parametrize("value", [None, 5, "complex64", "r16", "<i2", "string", {"name": "numpy.datetime64"}, []])
def test_a_data_type_of_another_kind_is_refused(value: object) -> None:
    with pytest.raises(MetadataError) as caught:
        documents.dtype_of({"data_type": value}, node="/0/red")
    assert (caught.value.node, caught.value.key, caught.value.found) == ("/0/red", "data_type", value)


def test_zarr_python_opens_consolidated_metadata() -> None:
    nodes = {"1": documents.group_document({"level": 1}), "1/red": document(attributes={"units": "m"})}
    root = documents.consolidate(documents.group_document({"title": "t"}), nodes)
    # Only the root is stored, so that whatever is found came from its consolidated metadata.
    group = zarr.open_group(stored({"": json.loads(json.dumps(root))}), mode="r", use_consolidated=True)
    assert dict(group.attrs) == {"title": "t"}
    assert dict(group["1"].attrs) == {"level": 1}
    assert group["1/red"].shape == LAYOUT.shape
    assert dict(group["1/red"].attrs) == {"units": "m"}


def test_consolidated_metadata_has_exactly_the_keys_of_the_specification() -> None:
    nodes = {"b": documents.group_document({}), "a": documents.group_document({})}
    block = documents.consolidate(documents.group_document({}), nodes)["consolidated_metadata"]
    assert block == {"kind": "inline", "must_understand": False, "metadata": nodes}
    assert list(block["metadata"]) == ["b", "a"]  # the order given, which GDAL depends on


def test_consolidating_again_replaces_what_was_there() -> None:
    once = documents.consolidate(documents.group_document({}), {"a": documents.group_document({})})
    assert documents.consolidated_nodes(documents.consolidate(once, {})) == {}


@pytest.mark.parametrize(
    "block",
    [None, 5, [], {}, {"kind": "inline"}, {"kind": "other", "metadata": {}}, {"kind": "inline", "metadata": []}],
)
def test_consolidated_metadata_of_another_form_are_none(block: object) -> None:
    assert documents.consolidated_nodes({"consolidated_metadata": block}) is None
    assert documents.consolidated_nodes({}) is None


@given(st.sampled_from([2, 3]), st.lists(st.integers(1, 9), max_size=4), st.data())
def test_a_key_reads_back_as_its_position_and_no_other(version: int, grid: list[int], data: st.DataObject) -> None:
    keys = documents.KEYS[version]
    index = tuple(data.draw(st.integers(0, count - 1)) for count in grid)
    key = keys.key(index)
    assert keys.index_of(key, grid) == index
    assert keys.index_of(f"{key}0" if not grid else f"{key}9", grid) is None
    assert keys.index_of(f"x{key}", grid) is None
