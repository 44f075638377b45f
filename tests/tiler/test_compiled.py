"""Compiled loops change nothing but the pace, and a request never waits for a compiler."""

from __future__ import annotations

import importlib
import logging
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest
from starlette.testclient import TestClient

from tiler import compiled, kernels
from tiler.app import create_app
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

TILE = "/{}/tiles/WebMercatorQuad/10/214/391.png{}"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing has been loaded, and other tests keep what they have."""
    monkeypatch.setattr(compiled._STATE, "kernels", None)
    monkeypatch.setattr(compiled._STATE, "thread", None)
    yield
    if compiled._STATE.thread is not None:
        compiled._STATE.thread.join()


@pytest.mark.parametrize(
    ("name", "query"),
    [("count", "?rescale=0,900"), ("height", "?rescale=0,3000&colormap_name=viridis"), ("colour", "?rescale=0,200")],
)
def test_tiles_are_the_same_before_and_after(stores: dict[str, Any], name: str, query: str) -> None:
    def drawn() -> bytes:
        with TestClient(create_app(Settings((Dataset(name, stores[name].path),)))) as client:
            return client.get(TILE.format(name, query)).content

    compiled._STATE.thread = threading.current_thread()  # so that nothing is loaded
    plain = drawn()
    assert compiled.kernels() is None
    compiled._STATE.thread = None
    assert compiled.load() is kernels
    assert drawn() == plain
    assert plain[1:4] == b"PNG"


def test_a_service_loads_them_once_beside_its_work(stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_go_on, loaded = threading.Event(), threading.Event(), []

    def slow(name: str) -> Any:
        loaded.append(name)
        begun.set()
        may_go_on.wait(10)
        return kernels

    monkeypatch.setattr(importlib, "import_module", slow)
    for _ in range(2):
        with TestClient(create_app(Settings((Dataset("count", stores["count"].path),)))) as client:
            begun.wait(10)
            assert client.get(TILE.format("count", "")).status_code == 200  # does not wait
            assert compiled.kernels() is None
    may_go_on.set()
    assert compiled._STATE.thread is not None
    compiled._STATE.thread.join()
    assert compiled.kernels() is kernels
    assert loaded == ["tiler.kernels"]


def test_where_they_cannot_be_had_tiles_are_drawn_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(name: str) -> NoReturn:
        raise RuntimeError(f"cannot cache function of {name}")

    monkeypatch.setattr(importlib, "import_module", broken)
    with caplog.at_level(logging.WARNING):
        assert compiled.load() is None
    assert "RuntimeError: cannot cache function of tiler.kernels" in caplog.text


def test_nothing_is_compiled_for_a_request() -> None:
    """The loops take the types that they have been compiled for, and no other."""
    out = np.empty(4, np.uint8)
    for dtype in (np.int32, np.float16, np.complex64):
        with pytest.raises(TypeError):
            kernels.stretch(np.zeros(4, dtype), 0.0, 1.0, 255.0, out)
    with pytest.raises(TypeError):
        kernels.look_up(np.zeros(256, np.uint8), np.zeros(4, np.int64), out)
    with pytest.raises(TypeError):
        kernels.filter_up(np.zeros((3, 4, 8), np.uint8)[..., ::2], np.zeros((4, 13), np.uint8))
    assert [len(loop.signatures) for loop in (kernels.stretch, kernels.look_up, kernels.filter_up)] == [2, 2, 1]
