"""Files are read as obstore reads them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore

from geozarr import files
from geozarr.answers import CutBodyError
from geozarr.errors import LimitError, StoreError
from geozarr.hurry import hurrying
from geozarr.stores import Found, ObjectStoreAdapter

DATA = bytes(range(100))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("folder")
    (path / "object").write_bytes(DATA)
    (path / "empty").write_bytes(b"")
    (path / "inner").mkdir()
    return path


ranges = st.one_of(
    st.builds(dict, first=st.integers(0, 120), length=st.integers(1, 120)),
    st.builds(dict, first=st.integers(0, 120)),
    st.builds(dict, last=st.integers(1, 120)),
)


@given(wanted=ranges)
def test_a_range_is_what_obstore_gives(folder: Path, wanted: dict[str, int]) -> None:
    first = wanted.get("first", 0)
    option = (first, first + wanted["length"]) if "length" in wanted else {"offset": first}
    option = {"suffix": wanted["last"]} if "last" in wanted else option
    try:
        expected = bytes(obstore.get(LocalStore(folder), "object", options={"range": option}).bytes())
    except obstore.exceptions.GenericError:
        with pytest.raises(StoreError) as caught:
            ObjectStoreAdapter(LocalStore(folder)).get("object", **wanted)
        assert isinstance(caught.value.__cause__, CutBodyError)
        return
    assert ObjectStoreAdapter(LocalStore(folder)).get("object", **wanted) == Found(expected, len(DATA))


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="no file system of memory")
def test_a_file_system_of_memory_has_all_at_hand() -> None:
    """It does not tell so itself: tmpfs knows no RWF_NOWAIT."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name, hurrying():
        (Path(name) / "object").write_bytes(DATA)
        assert ObjectStoreAdapter(LocalStore(name)).get("object", first=3, length=5) == Found(DATA[3:8], 100)


def test_other_file_systems_are_not_taken_for_memory() -> None:
    assert not files._is_of_memory(os.stat("/proc").st_dev)  # noqa: PTH116
    assert not files._is_of_memory(os.makedev(4000, 4000))


def test_an_empty_file_is_an_empty_object(folder: Path) -> None:
    opened = ObjectStoreAdapter(LocalStore(folder))
    assert opened.get("empty") == opened.get("empty", last=8) == Found(b"", 0)
    assert obstore.get(LocalStore(folder), "empty").bytes() == b""


def test_no_more_is_read_than_may_be(folder: Path) -> None:
    opened = ObjectStoreAdapter(LocalStore(folder))
    assert opened.get("object", most=100) == Found(DATA, 100)
    assert opened.get("object", last=9, most=9) == Found(DATA[-9:], 100)
    with pytest.raises(LimitError):
        opened.get("object", most=99)


def test_what_is_no_file_is_not_there(folder: Path) -> None:
    os.mkfifo(folder / "pipe")  # to open it would wait for ever
    try:
        opened = ObjectStoreAdapter(LocalStore(folder))
        assert [opened.get(key) for key in ("nothing", "inner", "inner/nothing", "pipe")] == [None] * 4
    finally:
        (folder / "pipe").unlink()


def test_a_file_where_a_folder_should_be_is_damage_as_it_is_to_obstore(folder: Path) -> None:
    with pytest.raises(obstore.exceptions.GenericError, match="Not a directory"):
        obstore.get(LocalStore(folder), "object/below")
    with pytest.raises(StoreError):
        ObjectStoreAdapter(LocalStore(folder)).get("object/below")


def test_a_file_that_becomes_shorter_while_it_is_read_is_no_shorter_object(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "read", lambda *_: b"")
    with pytest.raises(CutBodyError, match="0 of 100 bytes"):
        files.read(f"{folder}/object", first=0, length=None, last=None, most=None, beneath=None)


@pytest.mark.parametrize("has_proc", [True, False])
def test_a_link_is_followed_within_the_folder_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_proc: bool
) -> None:
    def unknown(path: str) -> str:
        raise FileNotFoundError(path)

    if not has_proc:
        monkeypatch.setattr(os, "readlink", unknown)
        monkeypatch.setattr(os.path, "realpath", _resolved)
    root = tmp_path / "root"
    root.mkdir()
    (root / "object").write_bytes(b"in")
    (root / "within").symlink_to(root / "object")
    (root / "outside").symlink_to(folder / "object")
    (root / "above").symlink_to(folder)
    (tmp_path / "root-beside").write_bytes(b"out")
    (root / "beside").symlink_to(tmp_path / "root-beside")
    (root / "nowhere").symlink_to(tmp_path / "nothing")
    (root / "nothing").symlink_to(root / "not there")
    opened = ObjectStoreAdapter(LocalStore(root)).confined()
    assert opened.get("object") == opened.get("within") == Found(b"in", 2)
    assert opened.get("nothing") is None
    for key in ("outside", "above/object", "beside", "nowhere"):
        assert (ObjectStoreAdapter(LocalStore(root)).get(key) is None) == (key == "nowhere")
        with pytest.raises(StoreError) as caught:
            opened.get(key)
        assert isinstance(caught.value.__cause__, PermissionError)


def _resolved(path: str) -> str:
    """Return a path without links by asking the system for the folder, as `os.path.realpath` needs `os.readlink`."""
    import pathlib  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    return subprocess.run(
        ["readlink", "-f", str(pathlib.Path(path))], capture_output=True, text=True, check=True
    ).stdout.rstrip("\n") + ("/" if path.endswith("/") else "")
