"""A published pyramid behind a plain HTTP server, which has no lists."""

from __future__ import annotations

import functools
import http.server
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

import pyramids
from builds import FakeSource, scene
from conformance.cli import main as check
from geozarr import UnsupportedError, Window
from geozarr import open_pyramid as open_levels
from geozarr import store as store_module
from tiler.chunks import chunk_cache
from tiler.pyramid import open_pyramid
from tiler.source import PyramidSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.faults


class _Files(http.server.SimpleHTTPRequestHandler):
    """Files and nothing else; what was asked is recorded."""

    asked: list[tuple[str, str]]

    def log_message(self, *_: object) -> None:
        self.asked.append((self.command, self.path))

    def list_directory(self, _: Any) -> None:
        self.send_error(403)


@pytest.fixture
def asked() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def url(tmp_path: Path, asked: list[tuple[str, str]]) -> Iterator[str]:
    """A pyramid, and what a rebuild has left beside it."""
    values = scene("int16", (1, 700, 600))
    target = tmp_path / "x.zarr"
    pyramids.build(FakeSource(values, nodata=-9999), target, tms="native", chunk=128, shard="none")
    pyramids.build(FakeSource(values, nodata=-9999), target, tms="native", chunk=64, shard="none", overwrite=True)
    handler = type("Files", (_Files,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/x.zarr"
        server.shutdown()
        thread.join()


def test_it_is_checked_without_a_list(url: str, asked: list[tuple[str, str]], tmp_path: Path) -> None:
    result = CliRunner().invoke(check, [url])
    assert result.exit_code == 0, result.output
    assert "the store has no lists" in result.output
    assert {command for command, _ in asked} == {"GET"}
    # Each node's own document was read, not only the consolidated copy.
    known = store_module.read_tree(tmp_path / "x.zarr").nodes
    assert {path for _, path in asked} >= {f"/x.zarr/{path}/zarr.json" for path in known if path}


def test_a_fault_of_one_document_is_found(url: str, tmp_path: Path) -> None:
    (document,) = (tmp_path / "x.zarr").glob("*/0/v0/zarr.json")
    document.write_text(document.read_text().replace('"node_type": "array"', '"node_type": "group"'))
    result = CliRunner().invoke(check, [url])
    assert result.exit_code == 1
    assert "v0" in result.output


def test_its_pixels_are_read_without_a_list(url: str, asked: list[tuple[str, str]]) -> None:
    opened = store_module.open_store(url)
    source = PyramidSource(opened, open_pyramid(opened), cache=chunk_cache(0))
    block = source.read_window(0, Window(100, 50, 300, 400), source.pyramid.bands(()))
    assert np.array_equal(block.values[0], scene("int16", (1, 700, 600))[0, 100:400, 50:450])
    assert {command for command, _ in asked} == {"GET"}


def test_a_list_is_refused_without_asking(url: str, asked: list[tuple[str, str]]) -> None:
    opened = store_module.open_store(url)
    with pytest.raises(UnsupportedError, match="plain HTTP server"):
        opened.children()
    with pytest.raises(UnsupportedError, match="plain HTTP server"):
        next(opened.listed())
    assert not asked


def test_it_is_no_target(url: str, asked: list[tuple[str, str]]) -> None:
    with pytest.raises(UnsupportedError, match="plain HTTP server"):
        pyramids.build(FakeSource(scene("int16", (1, 70, 60))), url, tms="native")
    assert not asked


def test_its_levels_open_without_a_list(url: str, asked: list[tuple[str, str]], tmp_path: Path) -> None:
    there, here = open_levels(url), open_levels(tmp_path / "x.zarr")
    assert {path for _, path in asked} == {"/x.zarr/zarr.json"}
    tree = there.to_datatree(mask_and_scale=False)
    for level in here.levels:
        expected = here.open_level(level, mask_and_scale=False)
        np.testing.assert_array_equal(tree[level.asset]["v0"], expected["v0"])
