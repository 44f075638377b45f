"""Which stores files belong to."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.roots import roots_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    documents = (
        "scene.zarr/zarr.json",
        "scene.zarr/9/red/zarr.json",  # 9 has lost its own
        "old/.zgroup",
        "old/a/.zarray",
        "plain/notes.txt",
    )
    for name in documents:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "roots"),
    [
        (["scene.zarr/zarr.json"], ["scene.zarr"]),
        (["scene.zarr/9/red/c/0/1"], ["scene.zarr"]),
        (["old/a/0.0", "scene.zarr/9/zarr.json", "old/.zattrs"], ["old", "scene.zarr"]),
        (["plain/notes.txt", "notes.txt"], []),
        (["data/scene.zarr.zip"], ["data/scene.zarr.zip"]),
        ([], []),
    ],
)
def test_the_root_is_the_highest_folder_with_a_document(folder, files, roots) -> None:
    assert roots_of(map(Path, files)) == list(map(Path, roots))
    assert roots_of(folder / file for file in files) == [folder / root for root in roots]


def test_a_store_may_be_the_current_folder(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "scene.zarr")
    assert roots_of([Path("9/red/c/0/1"), Path("zarr.json")]) == [Path()]
