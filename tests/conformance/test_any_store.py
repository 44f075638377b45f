"""Stores of any kind: across a network, and levels listed as multiscales v0.1 does not."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import obstore
import pytest
import zarr
from obstore.store import MemoryStore

from conformance import check, reference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def __init__(self, *args: Any, asked: list[str], **kwargs: Any) -> None:
        self.asked = asked
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """URL of a folder, and what has been asked for."""
    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path), asked=asked)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def put(folder: Path, objects: dict[str, bytes]) -> None:
    for key, data in objects.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)


def test_metadata_across_a_network_take_one_request(stores, served, tmp_path: Path) -> None:
    url, asked = served
    put(tmp_path, stores["tms"].objects)
    report = check(url, depth="metadata")
    assert report.findings == ()
    assert asked == ["/zarr.json"]
    assert report.requests == 1
    assert report.is_consolidated
    assert report.nodes == len(stores["tms"].documents())
    assert "consolidated metadata of the root alone" in report.to_text()


def test_own_documents_are_read_across_a_network_where_that_is_asked_for(stores, served, tmp_path: Path) -> None:
    url, asked = served
    put(tmp_path, stores["packed"].objects)
    group = json.loads((tmp_path / "1/zarr.json").read_text())
    group["attributes"]["title"] = "another"
    (tmp_path / "1/zarr.json").write_text(json.dumps(group))
    assert check(url, depth="metadata").findings == ()
    report = check(url, depth="metadata", own_documents=True)
    assert [found.rule for found in report.findings] == ["ZARR-22"]
    assert len(asked) - 1 >= report.nodes


def test_values_are_looked_at_across_a_network(stores, served, tmp_path: Path) -> None:
    url, _ = served
    put(tmp_path, stores["degrees"].objects)
    report = check(url, depth="geometry")
    assert report.findings == ()
    assert not report.is_consolidated
    assert not report.has_lists


def test_zarr_v2_across_a_network_takes_two_requests(served, tmp_path: Path) -> None:
    url, asked = served
    group = zarr.open_group(tmp_path, mode="w", zarr_format=2)
    group.create_group("a").create_array("b", shape=(4,), dtype="u1")
    zarr.consolidate_metadata(tmp_path, zarr_format=2)
    assert check(url, depth="metadata").nodes == 3
    assert asked == ["/zarr.json", "/.zmetadata"]


def test_without_consolidated_metadata_the_nodes_are_read(stores, tmp_path: Path) -> None:
    put(tmp_path, stores["packed"].objects)
    root = json.loads((tmp_path / "zarr.json").read_text())
    del root["consolidated_metadata"]
    (tmp_path / "zarr.json").write_text(json.dumps(root))
    report = check(tmp_path, depth="metadata", own_documents=False)
    assert [found.rule for found in report.findings] == ["MS-18"]
    assert not report.is_consolidated


def test_a_group_that_consolidated_metadata_lack_is_found_without_reading_it(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        del found[""]["consolidated_metadata"]["metadata"]["1"]

    report = check(stores["packed"].edited(raw=edit), depth="metadata", own_documents=False)
    assert "ZARR-03" in {found.rule for found in report.findings}


def listed(multiscales: Any, sides: dict[str, int], *, method: str = "average", **attributes: Any) -> MemoryStore:
    """Levels of one variable, each derived from the first."""
    store = zarr.storage.MemoryStore()
    root = zarr.open_group(store, mode="w", attributes={"multiscales": multiscales, **attributes})
    base = np.random.default_rng(2).integers(0, 200, (64, 64)).astype("float64")
    for path, side in sides.items():
        values, _ = reference.aggregate(base, np.ones(base.shape, bool), 64 // side, method)
        array = root.create_array(
            f"{path}/v", shape=values.shape, dtype="f8", chunks=(32, 32), dimension_names=("y", "x"), fill_value=np.nan
        )
        array[...] = values
    found = MemoryStore()
    for key, value in store._store_dict.items():
        obstore.put(found, key, value.to_bytes())
    return found


NDPYRAMID = [{"datasets": [{"path": "0"}, {"path": "1"}, {"path": "2"}], "type": "reduce"}]
DRAFT = {
    "version": "1.0",
    "resampling_method": "average",
    "layout": [
        {"id": "a", "path": "0"},
        {"id": "b", "path": "1", "derived_from": "a"},
        {"id": "c", "path": "2", "derived_from": "a"},
    ],
}
SIDES = {"0": 64, "1": 32, "2": 16}


@pytest.mark.parametrize("multiscales", [NDPYRAMID, DRAFT], ids=["ndpyramid", "draft"])
def test_levels_that_are_listed_otherwise_are_judged(multiscales: Any) -> None:
    store = listed(multiscales, SIDES)
    report = check(store, depth="pixels", all_pixels=True)
    assert report.pyramids == 1
    assert report.cells == 32 * 32 + 16 * 16
    assert {found.rule for found in report.findings} <= {"GZ-24", "GZ-25"}, report.to_text()


def test_a_level_of_another_form_without_a_variable_is_found() -> None:
    store = listed(NDPYRAMID, SIDES)
    array = json.loads(bytes(obstore.get(store, "0/v/zarr.json").bytes()))
    for level in ("0", "1"):
        obstore.put(store, f"{level}/w/zarr.json", json.dumps({**array, "shape": [SIDES[level]] * 2}).encode())
    report = check(store)
    assert [(found.rule, found.node) for found in report.findings if found.rule == "XC-10"] == [("XC-10", "/2")]


def test_lists_that_are_of_another_convention_make_no_pyramid() -> None:
    ngff = [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0/v"}]}]
    for multiscales in (ngff, [], [5], [{"datasets": [{"path": "."}]}], [{"datasets": {"path": "0"}}], "0"):
        assert check(listed(multiscales, SIDES)).pyramids == 0


def test_the_layout_of_gdal_with_arrays_and_groups_is_judged() -> None:
    """Base array beside groups `ovr_2x`, scales with one number an axis, and no transform (CLIENTS.md section 1)."""
    store = zarr.storage.MemoryStore()
    root = zarr.open_group(store, mode="w")
    base = np.random.default_rng(4).integers(0, 200, (64, 64)).astype("float64")
    levels = [{"asset": "w1"}]
    for factor in (1, 2, 4):
        values, _ = reference.aggregate(base, np.ones(base.shape, bool), factor, "average")
        path = "w1" if factor == 1 else f"ovr_{factor}x/w1"
        array = root.create_array(path, shape=values.shape, dtype="f8", dimension_names=("y", "x"), fill_value=np.nan)
        array[...] = values
        if factor > 1:
            levels.append(
                {
                    "asset": f"ovr_{factor}x",
                    "derived_from": "w1",
                    "transform": {"scale": [factor, factor], "translation": [0.0, 0.0]},
                }
            )
    root.attrs["multiscales"] = {"layout": levels, "resampling_method": "average"}
    found = MemoryStore()
    for key, value in store._store_dict.items():
        obstore.put(found, key, value.to_bytes())
    report = check(found, depth="pixels", all_pixels=True)
    assert report.cells == 32 * 32 + 16 * 16
    assert not {item.rule for item in report.findings} & {"XC-12", "XC-10", "XC-03", "MS-05"}, report.to_text()
