"""A store of kerchunk references is the file that they are made of, and obeys nothing else that they may say."""

from __future__ import annotations

import base64
import json
import pickle
from typing import TYPE_CHECKING, Any

import h5py
import pytest
from numpy.testing import assert_array_equal

import builds
import pyramids
from builds import data_array, scene
from geozarr import Window
from geozarr.errors import LimitError, MetadataError, StoreError, UnsupportedError
from pyramids import Slice
from pyramids.sources import references
from pyramids.sources.references import ReferenceStore

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

SHAPE = (40, 50)


def values() -> np.ndarray:
    return scene("int16", SHAPE)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """References into a NetCDF file, chunk by chunk, as kerchunk writes them."""
    like = data_array(values())
    path = tmp_path / "in" / "file.nc"
    path.parent.mkdir()
    encoding = {"data": {"chunksizes": (16, 25), "zlib": False, "shuffle": False}}
    array = like.to_dataset(name="data")
    array.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    refs: dict[str, Any] = {".zgroup": {"zarr_format": 2}, ".zattrs": {"proj:code": "EPSG:32631"}}
    with h5py.File(path) as file:
        data = file["data"]
        for number in range(data.id.get_num_chunks()):
            chunk = data.id.get_chunk_info(number)
            name = ".".join(str(start // side) for start, side in zip(chunk.chunk_offset, (16, 25), strict=True))
            refs[f"data/{name}"] = ["{{folder}}/file.nc", chunk.byte_offset, chunk.size]
    base = {"zarr_format": 2, "order": "C", "filters": None, "compressor": None, "fill_value": None}
    refs["data/.zarray"] = {**base, "shape": SHAPE, "chunks": [16, 25], "dtype": "<i2"}
    refs["data/.zattrs"] = json.dumps({"_ARRAY_DIMENSIONS": ["y", "x"]})
    for name in ("y", "x"):
        centres = like[name].values.astype("<f8")
        refs[f"{name}/.zarray"] = {**base, "shape": [centres.size], "chunks": [centres.size], "dtype": "<f8"}
        refs[f"{name}/.zattrs"] = {"_ARRAY_DIMENSIONS": [name]}
        refs[f"{name}/0"] = "base64:" + base64.b64encode(centres.tobytes()).decode()
    return tmp_path / "refs.json", {"version": 1, "templates": {"folder": "in"}, "refs": refs}


def write(made: tuple[Path, dict[str, Any]], **changes: Any) -> Path:
    path, document = made
    path.write_text(json.dumps({**document, **changes}))
    return path


def test_references_are_read_as_the_file_that_they_are_made_of(made: tuple[Path, dict[str, Any]]) -> None:
    source = pyramids.open_source(write(made))
    found = source.read(Window(5, 7, 30, 40), [Slice(0, 0)])
    assert_array_equal(found.values[0], values()[5:35, 7:47], strict=True)
    assert source.grid == pyramids.ArraySource(data_array(values())).grid
    again = pickle.loads(pickle.dumps(source))
    assert_array_equal(again.read(Window(5, 7, 30, 40), [Slice(0, 0)]).values, found.values)


def test_a_pyramid_is_built_of_references(made: tuple[Path, dict[str, Any]]) -> None:
    _, store = builds.build(pyramids.open_source(write(made)), tms="native")
    assert_array_equal(builds.read(store, "0/data"), values())


def test_the_plain_form_and_absolute_places_are_read(made: tuple[Path, dict[str, Any]]) -> None:
    path, document = made
    refs = {
        key: [str(path.parent / "in" / "file.nc"), *value[1:]] if isinstance(value, list) else value
        for key, value in document["refs"].items()
    }
    path.write_text(json.dumps(refs))
    found = pyramids.open_source(path).read(Window(0, 0, *SHAPE), [Slice(0, 0)])
    assert_array_equal(found.values[0], values())


@pytest.mark.parametrize(
    ("options", "start", "stop"),
    [
        ({}, 0, 10),
        ({"first": 3}, 3, 10),
        ({"first": 3, "length": 4}, 3, 7),
        ({"last": 4}, 6, 10),
        ({"length": 99}, 0, 10),
    ],
)
def test_parts_of_objects_are_parts_of_what_they_refer_to(
    tmp_path: Path, options: dict[str, int], start: int, stop: int
) -> None:
    (tmp_path / "bytes").write_bytes(bytes(range(40)))
    refs = {".zgroup": {}, "whole": ["bytes"], "part": ["bytes", 20, 10], "text": "0123456789"}
    (tmp_path / "r.json").write_text(json.dumps(refs))
    store = ReferenceStore(tmp_path / "r.json")
    part, text = store.get("part", **options), store.get("text", **options)
    assert part is not None
    assert text is not None
    assert (part.data, part.size) == (bytes(range(20, 30))[start:stop], 10)
    assert (text.data, text.size) == (b"0123456789"[start:stop], 10)
    whole = store.get("whole", first=38)
    assert whole is not None
    assert whole.data == bytes([38, 39])
    assert store.get("none") is None
    assert store.children() == []
    assert {item.key for item in store.listed()} == set(refs)
    with pytest.raises(LimitError):
        store.get("part", most=9)
    with pytest.raises(LimitError):
        store.get("text", most=9)


@pytest.mark.parametrize(
    ("refs", "error"),
    [
        ({"a": "b"}, MetadataError),
        ({".zgroup": {}, "a": ["f", -1, 3]}, MetadataError),
        ({".zgroup": {}, "a": ["f", 1]}, MetadataError),
        ({".zgroup": {}, "a": ["f", 1.5, 3]}, MetadataError),
        ({".zgroup": {}, "a": [["f"], 1, 3]}, MetadataError),
        ({".zgroup": {}, "a": 3}, MetadataError),
        ({".zgroup": {}, "a": "base64:%%"}, MetadataError),
        ({".zgroup": {}, "a": ["{{lost}}/f"]}, MetadataError),
    ],
)
def test_entries_that_are_malformed_are_refused(tmp_path: Path, refs: dict[str, Any], error: type[Exception]) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"version": 1, "refs": refs}))
    with pytest.raises(error):
        ReferenceStore(tmp_path / "r.json")


@pytest.mark.parametrize("text", ["{", "[]", "{}", "null"])
def test_what_are_no_references_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(MetadataError):
        ReferenceStore(tmp_path / "r.json")


def test_entries_that_would_be_computed_are_refused(made: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(UnsupportedError):
        ReferenceStore(write(made, gen=[{"key": "a", "url": "b"}]))


def test_a_document_beyond_the_limit_is_not_read(made: tuple[Path, dict[str, Any]], monkeypatch: Any) -> None:
    monkeypatch.setattr(references, "MAX_DOCUMENT", 99)
    with pytest.raises(LimitError):
        ReferenceStore(write(made))


def test_a_file_that_is_gone_or_too_short_is_an_error(made: tuple[Path, dict[str, Any]]) -> None:
    store = ReferenceStore(write(made))
    file = made[0].parent / "in" / "file.nc"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(StoreError):
        [store.get(item.key) for item in store.listed()]
    file.unlink()
    with pytest.raises(StoreError):
        store.get("data/0.0")


def test_nothing_is_written_through_references(made: tuple[Path, dict[str, Any]]) -> None:
    store = ReferenceStore(write(made))
    with pytest.raises(UnsupportedError):
        store.put("a", b"")
    with pytest.raises(UnsupportedError):
        store.delete("a")
    store.sync()
