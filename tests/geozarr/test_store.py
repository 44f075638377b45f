from __future__ import annotations

import errno
import json
import math
import os
import struct
import tempfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore

from geozarr import LimitError, MetadataError, StoreError, documents, levels, store, stores
from pyramid_factory import Variable, web_mercator_levels, write_pyramid

GROUP = documents.group_document({"title": "t"})
ARRAY = {"zarr_format": 3, "node_type": "array", "shape": [2]}
KEYS = ["1/a", "1/b/c", "10/a", "1x", "zarr.json"]


@pytest.fixture(params=["memory", "local"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> store.Store:
    return store.open_store("memory://" if request.param == "memory" else tmp_path)


def filled(target: store.Store) -> store.Store:
    """A group with two groups in it, one of them nested, and an array with chunks."""
    nodes = {"": GROUP, "1": GROUP, "1/red": ARRAY, "deep": GROUP, "deep/er": GROUP, "deep/er/blue": ARRAY}
    for path, node in nodes.items():
        store.write_document(target, path, node)
    store.write_bytes(target, "1/red/c/0", b"chunk")
    store.write_bytes(target, ".build/journal", b"stray")
    return target


# Objects


def test_an_object_is_written_and_read_whole(opened: store.Store) -> None:
    for data in (b"", b"\0\xff" * 1000):
        store.write_bytes(opened, "a/b", data)
        assert store.read_bytes(opened, "a/b") == data


def test_an_object_that_does_not_exist_is_none(opened: store.Store) -> None:
    store.write_bytes(opened, "a/b", b"x")
    for key in ("nope", "a", "a/nope", "/a/nope"):
        assert store.read_bytes(opened, key) is None


def test_keys_are_listed_by_whole_names(opened: store.Store) -> None:
    for key in KEYS:
        store.write_bytes(opened, key, b"")
    assert store.list_keys(opened) == sorted(KEYS)
    assert store.list_keys(opened, "1") == ["1/a", "1/b/c"]  # neither 10 nor 1x
    assert store.list_children(opened) == ["1", "10"]
    assert store.list_children(opened, "1") == ["b"]
    assert store.list_keys(opened, "nope") == store.list_children(opened, "nope") == []


def test_deleting_what_is_gone_does_not_matter(opened: store.Store) -> None:
    for key in KEYS:
        store.write_bytes(opened, key, b"")
    store.delete(opened, ["1/a", "nope", "1/a", "zarr.json"])
    assert store.list_keys(opened) == ["1/b/c", "10/a", "1x"]
    store.delete(opened, [])


@pytest.mark.parametrize("key", ["../x", "a/../../x", "./x", "a//b", "a\0b", "\ud800"])
def test_a_key_that_no_store_can_have_is_a_store_error(opened: store.Store, key: str) -> None:
    for operation, act in (
        ("get", lambda: store.read_bytes(opened, key)),
        ("put", lambda: store.write_bytes(opened, key, b"")),
        ("delete", lambda: store.delete(opened, [key])),
    ):
        with pytest.raises(StoreError) as caught:
            act()
        assert (caught.value.operation, caught.value.key) == (operation, key)
        assert caught.value.__cause__ is not None


@given(parts=st.lists(st.text("abcXYZ019_.- #%~+@é", min_size=1, max_size=6), min_size=1, max_size=3))
def test_obstore_reads_what_was_written_on_local_disk(parts: list[str]) -> None:
    """Whichever way an object is put, it lies where obstore looks for it, and nothing lies beside it."""
    key = "/".join(parts)
    with tempfile.TemporaryDirectory() as folder:
        opened = store.open_store(folder)
        try:
            store.write_bytes(opened, key, b"first")
        except StoreError:
            assert {".", ".."} & set(parts), "only keys of dots are refused"
            return
        store.write_bytes(opened, key, b"second")
        assert bytes(obstore.get(LocalStore(folder), key).bytes()) == b"second"
        assert store.list_keys(opened) == [key]
        assert len([path for path in Path(folder).rglob("*") if path.is_file()]) == 1


def test_a_put_that_fails_leaves_the_former_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full in the middle of an object."""
    opened = store.open_store(tmp_path)
    store.write_bytes(opened, "1/red/c/0/0", b"before")
    write = os.write

    def few_then_none(file: int, data: memoryview) -> int:
        if len(data) <= 90:
            raise OSError(errno.ENOSPC, "no space left on device")
        return write(file, data[:5])  # the rest is asked for again

    monkeypatch.setattr(os, "write", few_then_none)
    with pytest.raises(StoreError) as caught:
        store.write_bytes(opened, "1/red/c/0/0", bytes(100))
    assert isinstance(caught.value.__cause__, OSError)
    monkeypatch.undo()
    assert store.read_bytes(opened, "1/red/c/0/0") == b"before"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["0"]


def test_an_object_that_is_written_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write(2) may take a part: 2 GiB at most on Linux."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    opened = store.open_store(tmp_path)
    data = bytes(range(100))
    store.write_bytes(opened, "a", data)
    assert (tmp_path / "a").read_bytes() == data


def test_a_file_in_the_way_is_a_store_error(tmp_path: Path) -> None:
    opened = store.open_store(tmp_path)
    (tmp_path / "taken" / "zarr.json").mkdir(parents=True)
    with pytest.raises(StoreError) as caught:
        store.write_document(opened, "taken", GROUP)
    assert (caught.value.operation, caught.value.key) == ("put", "taken/zarr.json")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [], "nothing is left beside its place"


def test_an_object_beyond_the_limit_is_not_read(opened: store.Store) -> None:
    store.write_bytes(opened, "big", b"x" * 11)
    assert store.read_bytes(opened, "big", most=11) == b"x" * 11
    with pytest.raises(LimitError) as caught:
        store.read_bytes(opened, "big", most=10)
    assert (caught.value.allowed, caught.value.found) == (10, 11)


@pytest.mark.parametrize(
    ("parts", "key"),
    [(("", "zarr.json"), "zarr.json"), (("a", "", "b"), "a/b"), (("/a/", "b/c/"), "a/b/c"), ((), ""), (("/",), "")],
)
def test_join_drops_what_is_empty(parts: tuple[str, ...], key: str) -> None:
    assert store.join(*parts) == key


# Opening


def test_a_folder_is_made_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.zarr"
    with pytest.raises(StoreError) as caught:
        store.open_store(path)
    assert (caught.value.operation, caught.value.key) == ("open", str(path))
    assert not path.exists()
    store.write_document(store.open_store(path, create=True), "", GROUP)
    assert (path / "zarr.json").is_file()
    assert store.read_document(store.open_store(str(path))) == GROUP
    assert store.read_document(store.open_store(path.as_uri())) == GROUP


@pytest.mark.parametrize("create", [True, False])
def test_a_file_is_no_store(tmp_path: Path, create: bool) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(b"II*\0")
    with pytest.raises(StoreError):
        store.open_store(path, create=create)
    assert path.read_bytes() == b"II*\0"


def test_a_scheme_that_nobody_knows_is_a_store_error() -> None:
    with pytest.raises(StoreError):
        store.open_store("gopher://example.com/x")


def test_an_open_store_is_taken_as_it_is() -> None:
    opened = store.open_store("memory://")
    assert store.open_store(opened) is opened


# Documents


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False, allow_infinity=False))
)
def test_numbers_come_back_bit_by_bit(numbers: dict[str, float]) -> None:
    read = store.decode_document(store.encode_document(numbers), node="/")
    assert list(read) == list(numbers)
    assert [struct.pack("<d", value) for value in read.values()] == [struct.pack("<d", v) for v in numbers.values()]


def test_numbers_are_written_the_shortest_way() -> None:
    numbers = ["0.1", "0.3333333333333333", "1e+22", "5e-324", "-0.0", "20037508.342789244"]
    text = store.encode_document({"a": [float(number) for number in numbers]}).decode()
    assert text.replace("\n", "").replace(" ", "") == f'{{"a":[{",".join(numbers)}]}}'


def test_text_is_written_as_utf_8() -> None:
    assert "Größe 大小".encode() in store.encode_document({"long_name": "Größe 大小"})


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, {1, 2}, np.float32(1), np.int64(1), b"x", "\ud800", object()]
)
def test_what_json_lacks_is_refused_before_anything_is_written(opened: store.Store, value: object) -> None:
    with pytest.raises(MetadataError) as caught:
        store.write_document(opened, "0", {"attributes": {"x": value}})
    assert (caught.value.node, caught.value.key) == ("/0", "zarr.json")
    assert store.list_keys(opened) == []


MALFORMED = {
    "empty": b"",
    "cut off": b'{"zarr_format": 3',
    "no object": b"[]",
    "text": b'"zarr"',
    "null": b"null",
    "latin 1": '{"a": "ü"}'.encode("latin-1"),
    "utf 16": '{"a": 1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "two documents": b"{}{}",
    "key twice": b'{"a": 1, "b": {"c": 1, "c": 1}}',
    "long number": b'{"a": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_document_is_refused(opened: store.Store, data: bytes) -> None:
    store.write_bytes(opened, "0/zarr.json", data)
    with pytest.raises(MetadataError) as caught:
        store.read_document(opened, "0")
    assert (caught.value.node, caught.value.key) == ("/0", "zarr.json")


def test_a_huge_document_is_neither_read_nor_parsed(opened: store.Store) -> None:
    data = b" " * (store.MAX_DOCUMENT + 1)
    store.write_bytes(opened, "0/zarr.json", data)
    with pytest.raises(LimitError) as caught:
        store.read_document(opened, "0")
    assert (caught.value.allowed, caught.value.found) == (store.MAX_DOCUMENT, len(data))
    with pytest.raises(LimitError):
        store.decode_document(data, node="/0")


def test_a_deep_document_is_not_parsed(opened: store.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * (depth - 1) + b'["[[[[ {{{{ \\" [ \\\\"]' + b"}" * (depth - 1)

    assert store.decode_document(nested(store.MAX_DEPTH), node="/0")
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    for data in (nested(store.MAX_DEPTH + 1), b"[" * 200_000, b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"):
        store.write_bytes(opened, "0/zarr.json", data)
        with pytest.raises(LimitError) as caught:
            store.read_document(opened, "0")
        assert (caught.value.limit, caught.value.allowed) == ("depth of a document", store.MAX_DEPTH)


def test_limits_may_be_lower(opened: store.Store) -> None:
    filled(opened)
    size = len(store.read_bytes(opened, "zarr.json") or b"")
    for limits in (
        store.DocumentLimits(size=size - 1),
        store.DocumentLimits(depth=1),
        store.DocumentLimits(nodes=5),
        store.DocumentLimits(groups=2),
    ):
        with pytest.raises(LimitError):
            store.read_tree(opened, limits=limits)
    assert len(store.read_tree(opened, limits=store.DocumentLimits(nodes=6, groups=3)).nodes) == 6


def test_a_document_that_does_not_exist_is_none(opened: store.Store) -> None:
    assert store.read_document(opened, "nope") is None


# Trees


def test_a_walk_finds_every_node_and_nothing_else(opened: store.Store) -> None:
    tree = store.read_tree(filled(opened))
    assert not tree.is_consolidated
    assert set(tree.nodes) == {"", "1", "1/red", "deep", "deep/er", "deep/er/blue"}
    assert tree.root == GROUP
    assert tree.attributes() == {"title": "t"}
    assert tree.attributes("1/red") == tree.attributes("nope") == {}
    assert set(tree.arrays("1")) == {"red"}
    assert tree.arrays("") == tree.arrays("deep") == {}


def test_consolidated_metadata_give_the_same_tree(opened: store.Store) -> None:
    walked = store.read_tree(filled(opened))
    below = {path: node for path, node in walked.nodes.items() if path}
    store.write_document(opened, "", documents.consolidate(GROUP, below))
    read = store.read_tree(opened)
    assert read.is_consolidated
    assert {path: node for path, node in read.nodes.items() if path} == below
    assert read.attributes() == walked.attributes()
    assert next(iter(read.nodes)) == ""
    assert store.walk(opened)[""] == read.root


def test_a_nested_group_is_read_by_itself(opened: store.Store) -> None:
    tree = store.read_tree(filled(opened), "deep")
    assert set(tree.nodes) == {"", "er", "er/blue"}
    assert set(tree.arrays("er")) == {"blue"}


def test_a_real_pyramid_reads_the_same_both_ways(tmp_path: Path) -> None:
    layout = web_mercator_levels(zoom=4, count=2, row=3, col=4)
    values = np.zeros(layout.finest.grid.shape, "float32")
    path = write_pyramid(tmp_path / "p.zarr", layout, {"red": Variable(values, nodata=math.nan)})
    opened = store.open_store(path)
    read = store.read_tree(opened)
    walked = store.walk(opened)
    assert read.is_consolidated
    assert {**read.nodes} == {**walked}
    assert levels.from_attributes(read.attributes()) == layout
    assert set(read.arrays("4")) == {"red", "x", "y", "spatial_ref"}


@pytest.mark.parametrize("block", [None, {"kind": "other"}, {"kind": "inline", "metadata": {"1": "no document"}}])
def test_consolidated_metadata_that_are_no_use_are_walked_past(opened: store.Store, block: object) -> None:
    filled(opened)
    store.write_document(opened, "", {**GROUP, "consolidated_metadata": block})
    tree = store.read_tree(opened)
    assert not tree.is_consolidated
    assert "1/red" in tree.nodes


def test_no_entry_of_the_metadata_stands_in_for_the_group(opened: store.Store) -> None:
    false = documents.group_document({"title": "false"})
    store.write_document(opened, "", documents.consolidate(GROUP, {"a": GROUP, "": false}))
    assert store.read_tree(opened).attributes() == {"title": "t"}


def test_attributes_of_another_form_are_empty(opened: store.Store) -> None:
    store.write_document(opened, "", {**GROUP, "attributes": ["x"]})
    assert store.read_tree(opened).attributes() == {}


@pytest.mark.parametrize(
    "root",
    [
        None,
        ARRAY,
        {},
        {"zarr_format": 2},
        {"zarr_format": 2, "node_type": "group"},
        {"zarr_format": "3", "node_type": "group"},
    ],
)
def test_what_is_no_group_is_refused(opened: store.Store, root: dict | None) -> None:
    if root is not None:
        store.write_document(opened, "", root)
    with pytest.raises(MetadataError) as caught:
        store.read_tree(opened)
    assert (caught.value.node, caught.value.key) == ("/", "zarr.json")


def test_a_malformed_node_stops_the_walk_and_is_named(opened: store.Store) -> None:
    store.write_bytes(filled(opened), "deep/er/zarr.json", b"{")
    with pytest.raises(MetadataError) as caught:
        store.read_tree(opened)
    assert caught.value.node == "/deep/er"


def test_a_group_without_a_document_hides_what_is_below(opened: store.Store) -> None:
    # ZARR-03: there are no implicit groups.
    store.delete(filled(opened), ["deep/er/zarr.json"])
    assert set(store.read_tree(opened).nodes) == {"", "1", "1/red", "deep"}


def test_too_many_nodes_are_refused(opened: store.Store) -> None:
    filled(opened)
    few = store.DocumentLimits(nodes=5)
    with pytest.raises(LimitError) as caught:
        store.read_tree(opened, limits=few)
    assert (caught.value.limit, caught.value.allowed) == ("nodes", 5)
    many = {str(number): GROUP for number in range(6)}
    store.write_document(opened, "", documents.consolidate(GROUP, many))
    with pytest.raises(LimitError):
        store.read_tree(opened, limits=few)


def test_a_document_is_written_in_one_put(tmp_path: Path) -> None:
    opened = store.open_store(tmp_path)
    store.write_document(opened, "", GROUP)
    store.write_document(opened, "", documents.group_document({"title": "new"}))
    assert json.loads((tmp_path / "zarr.json").read_text(encoding="utf-8"))["attributes"] == {"title": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["zarr.json"]  # no temporary file stays


def test_what_dead_puts_have_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    """Names that no list shows; those below a prefix where others may be putting now stay."""
    opened = store.open_store(tmp_path)
    kept = ["a/b", "a/c", "lease/1"]
    for key in kept:
        opened.put(key, b"x")
    for name in ("a/b#12", "a/new/d#7", "lease/2#1", "a/note#x"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"half")
    assert isinstance(opened, stores.Sweepable)
    assert opened.sweep(spare="lease") == 2
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        [*kept, "lease/2#1", "a/note#x"]
    )


@pytest.mark.parametrize("key", ["a/b/c", "a/b/c~"], ids=["plain", "that obstore spells"])
def test_folders_that_are_emptied_go_and_others_stay(tmp_path: Path, key: str) -> None:
    opened = store.open_store(tmp_path)
    opened.put(key, b"x")
    opened.put("a/d", b"x")
    opened.delete(key)
    opened.delete(key)
    opened.delete("a/d/e")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["a", "a/d"]
    opened.delete("a/d")
    assert tmp_path.is_dir()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_others_empty_can_be_written_to(tmp_path: Path) -> None:
    """Deleting the last file of a folder takes the folder away, just when another file is to go there."""
    opened = store.open_store(tmp_path)
    failures: list[BaseException] = []

    def busy(name: str) -> None:
        try:
            for _ in range(300):
                opened.put(f"a/b/{name}", b"x")
                opened.delete(f"a/b/{name}")
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            failures.append(error)

    threads = [threading.Thread(target=busy, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_stamp_changes_with_the_object_and_is_none_without_one(tmp_path: Path) -> None:
    opened = store.open_store(tmp_path)
    assert isinstance(opened, stores.Stamped)
    assert opened.stamp("zarr.json") is None
    store.write_bytes(opened, "zarr.json", b"one")
    first = opened.stamp("zarr.json")
    assert first == opened.stamp("zarr.json")
    store.write_bytes(opened, "zarr.json", b"two")
    assert opened.stamp("zarr.json") not in (None, first)


def test_a_stamp_of_a_zip_file_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "store.zip"

    def write(text: str) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("zarr.json", text)

    write("one")
    opened = store.open_store(path)
    assert isinstance(opened, stores.Stamped)
    first = opened.stamp("zarr.json")
    assert first is not None
    assert opened.stamp("other") is None
    path.unlink()
    write("another")
    assert opened.stamp("zarr.json") not in (None, first)
    path.unlink()
    with pytest.raises(StoreError):
        opened.stamp("zarr.json")
