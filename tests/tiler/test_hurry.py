"""What is at hand is drawn on the event loop, and nothing there ever waits."""

from __future__ import annotations

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from gated import GatedStore
from geozarr import files, hurry
from geozarr.errors import StoreError
from geozarr.hurry import NotAtHandError, hurrying
from geozarr.stores import Found, ObjectStoreAdapter
from tiler import service as service_module
from tiler.admission import Admission
from tiler.app import create_app
from tiler.cache import BoundedCache
from tiler.meter import Tally, metered
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tiler.app import Application

TILE = "/{}/tiles/WebMercatorQuad/10/215/391"
TILES = [f"/count/tiles/WebMercatorQuad/10/{col}/{row}.png" for col, row in ((215, 390), (214, 391), (215, 391))]

needs_nowait = pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="this system does not tell what is in memory")


@pytest.fixture(autouse=True)
def resident(monkeypatch: pytest.MonkeyPatch) -> None:
    """All files are in memory, whatever this machine does with them and wherever its temporary folder is."""
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, buffers, offset, _=0: preadv(file, buffers, offset))
    monkeypatch.setattr(files, "_is_of_memory", lambda _: False)


@pytest.fixture
def drawers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the threads that have drawn tiles."""
    names: list[str] = []
    render = service_module.render

    def noted(*arguments: Any) -> tuple[bytes, str]:
        names.append("loop" if hurry.is_hurrying() else threading.current_thread().name.partition("_")[0])
        return render(*arguments)

    monkeypatch.setattr(service_module, "render", noted)
    return names


@contextmanager
def serving(path: Any, name: str = "count", **settings: Any) -> Iterator[TestClient]:
    with TestClient(app_of(path, name, **settings)) as client:
        assert client.get(f"/{name}/info").status_code == 200  # opens it
        yield client


def app_of(path: Any, name: str = "count", **settings: Any) -> Application:
    return create_app(Settings((Dataset(name, path),), **settings))


def absent(monkeypatch: pytest.MonkeyPatch, error: Callable[[], OSError], most: int = 10**9) -> list[int]:
    """Have files not be in memory until they are read otherwise, so many times; return who has."""
    preadv, left, fetched = os.preadv, [most], []

    def reads(file: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT:
            if left[0] > len(fetched):
                raise error()
            return preadv(file, buffers, offset)
        assert not hurry.is_hurrying()
        fetched.append(threading.get_ident())
        return preadv(file, buffers, offset)

    monkeypatch.setattr(os, "preadv", reads)
    return fetched


def eagain() -> OSError:
    return BlockingIOError(errno.EAGAIN, "try again")


@needs_nowait
def test_a_small_tile_of_the_own_set_is_drawn_on_the_event_loop(stores: dict[str, Any], drawers: list[str]) -> None:
    with serving(stores["count"].path) as client:
        timing = client.get(TILES[0]).headers["server-timing"]
        assert timing.startswith("cache;desc=miss, read;dur=")
        assert client.get(TILES[0].replace(".png", ".npy")).status_code == 200
    assert drawers == ["loop", "loop"]


@needs_nowait
@pytest.mark.parametrize(
    "tail",
    [".webp", ".jpg", "", "@2x.png", ".png?tilesize=128", ".png?algorithm=hillshade", ".png?buffer=2"],
)
def test_what_takes_longer_is_drawn_by_a_thread(stores: dict[str, Any], drawers: list[str], tail: str) -> None:
    with serving(stores["count"].path) as client:
        assert client.get(TILES[0].removesuffix(".png") + tail).status_code == 200
    assert drawers == ["render-count"]


@needs_nowait
def test_so_is_a_tile_of_another_grid(stores: dict[str, Any], drawers: list[str]) -> None:
    with serving(stores["native"].path, "native") as client:
        assert client.get("/native/tiles/WebMercatorQuad/8/53/97.png").status_code == 200
    assert drawers == ["render-native"]


@needs_nowait
def test_so_is_a_tile_of_large_chunks(
    stores: dict[str, Any], drawers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiler import source  # noqa: PLC0415

    monkeypatch.setattr(source, "_SMALL", source.ReadLimits(chunks=8, decoded_bytes=100, cells=2**18))
    with serving(stores["count"].path) as client:
        assert client.get(TILES[0]).status_code == 200
    assert drawers == ["render-count"]


@needs_nowait
def test_a_file_that_is_not_in_memory_is_awaited_by_a_thread_and_drawn_on_the_loop(
    stores: dict[str, Any], drawers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(stores["count"].path) as client:
        plain = client.get(TILES[0]).content
    with serving(stores["count"].path) as client:
        fetched = absent(monkeypatch, eagain, most=1)
        assert client.get(TILES[0]).content == plain
    assert drawers == ["loop", "loop"]
    assert len(fetched) == 1


@needs_nowait
def test_a_file_that_never_stays_in_memory_is_read_by_a_thread(
    stores: dict[str, Any], drawers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(stores["count"].path) as client:
        fetched = absent(monkeypatch, eagain)
        assert client.get(TILES[0]).status_code == 200
    assert drawers == ["render-count"]
    assert 1 < len(fetched) < 20


@needs_nowait
def test_a_file_system_that_cannot_tell_is_asked_once(
    stores: dict[str, Any], drawers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def refused() -> OSError:
        asked.append(1)
        return OSError(errno.EOPNOTSUPP, "operation not supported")

    with serving(stores["count"].path) as client:
        absent(monkeypatch, refused)
        for path in TILES:
            assert client.get(path).status_code == 200
    assert asked == [1]
    assert drawers == ["render-count"] * 3


@needs_nowait
def test_a_part_of_a_file_in_memory_is_not_all_of_it(stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv

    def half(file: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT:
            return preadv(file, [memoryview(buffers[0])[: len(buffers[0]) // 2]], offset)
        return preadv(file, buffers, offset)

    with serving(stores["count"].path) as client:
        plain = client.get(TILES[0]).content
    monkeypatch.setattr(os, "preadv", half)
    with serving(stores["count"].path) as client:
        assert client.get(TILES[0]).content == plain


def test_a_remote_store_is_read_by_threads_and_what_came_of_it_drawn_on_the_loop(
    stores: dict[str, Any], drawers: list[str]
) -> None:
    with GatedStore(stores["count"].path) as store, serving(store.url) as client:
        store.gate.set()
        assert client.get(TILES[0]).status_code == 200
        assert client.get(TILES[0] + "?colormap_name=viridis").status_code == 200
    assert drawers == ["render-count", "loop"]


def test_t12_a_store_that_stalls_holds_up_no_tile_that_is_at_hand(stores: dict[str, Any]) -> None:
    with GatedStore(stores["count"].path) as store, serving(store.url) as client, ThreadPoolExecutor(1) as pool:
        store.gate.set()
        assert client.get(TILES[0]).status_code == 200
        store.gate.clear()
        late = pool.submit(client.get, TILES[1])
        while len([path for path in store.asked if "/c/" in path]) < 2:
            time.sleep(0.01)
        assert client.get(TILES[0] + "?rescale=0,1").status_code == 200
        assert not late.done()
        store.gate.set()
        assert late.result().status_code == 200


@needs_nowait
def test_what_is_damaged_is_told_from_the_loop_too(stores: dict[str, Any], tmp_path: Path) -> None:
    import shutil  # noqa: PLC0415

    path = shutil.copytree(stores["count"].path, tmp_path / "damaged.zarr")
    (path / "10/count/c/0/1").write_bytes(b"damaged")
    with serving(path) as client:
        response = client.get(TILES[0])
        assert response.status_code == 502
        assert "damaged" in response.json()["detail"]


def test_the_cache_does_not_wait_for_another_thread_in_a_hurry() -> None:
    cache: BoundedCache[int] = BoundedCache(10, lambda _: 1)
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        may_end.wait(10)
        return 1

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, "a", slow)
        assert begun.wait(10)
        with hurrying(), pytest.raises(NotAtHandError):
            cache.get("a", lambda: 2)
        may_end.set()
        assert first.result() == 1
    with hurrying():
        assert cache.get("a", lambda: 2) == 1


def test_who_waits_for_one_in_a_hurry_does_the_work_where_that_one_cannot() -> None:
    cache: BoundedCache[int] = BoundedCache(10, lambda _: 1)
    begun, may_end = threading.Event(), threading.Event()

    def hasty() -> int:
        begun.set()
        may_end.wait(10)
        raise NotAtHandError

    def first() -> str:
        with hurrying(), pytest.raises(NotAtHandError):
            cache.get("a", hasty)
        return "left"

    with ThreadPoolExecutor(2) as pool:
        left = pool.submit(first)
        assert begun.wait(10)
        waiting = pool.submit(cache.get, "a", lambda: 7)
        while not cache._under_way:
            time.sleep(0.001)
        time.sleep(0.05)
        may_end.set()
        assert left.result() == "left"
        assert waiting.result() == 7
    assert cache.peek("a") == 7


class Other:
    """A store that knows of no hurry."""

    location = "other"

    def get(self, key: str, **_: Any) -> Found:
        assert not hurry.is_hurrying()
        return Found(key.encode(), len(key))


def test_only_stores_that_know_of_it_are_asked_in_a_hurry_and_requests_are_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    other, tally = Other(), Tally()
    with hurrying(), pytest.raises(NotAtHandError):
        metered(other, tally).get("a")  # type: ignore[arg-type]
    assert tally.requests == 0
    assert metered(other, tally).get("a") == Found(b"a", 1)  # type: ignore[arg-type]
    assert (tally.requests, tally.failures, tally.bytes) == (1, 0, 1)
    from obstore.store import LocalStore, MemoryStore  # noqa: PLC0415

    with hurrying(), pytest.raises(NotAtHandError):
        ObjectStoreAdapter(MemoryStore()).get("a")
    local = metered(ObjectStoreAdapter(LocalStore(tmp_path)), tally)
    if hasattr(os, "RWF_NOWAIT"):
        with hurrying():
            assert local.get("a") == Found(b"abc", 3)
            assert local.get("b") is None
            with pytest.raises(StoreError):
                local.get("a/b")
        assert (tally.requests, tally.failures, tally.bytes) == (4, 1, 4)


def test_works_in_a_hurry_tell_at_once_what_all_of_them_wait_for() -> None:
    fetched: list[int] = []

    def absent(number: int) -> int:
        if hurry.is_hurrying() and number not in fetched:
            raise NotAtHandError(lambda: fetched.append(number))
        return number

    def works(*numbers: int) -> list[Callable[[], int]]:
        return [partial(absent, number) for number in numbers]

    assert hurry.each(works(1, 2)) == [1, 2]
    with hurrying():
        with pytest.raises(NotAtHandError) as caught:
            hurry.each(works(1, 2, 3))
        assert caught.value.fetch is not None
        assert fetched == []
        caught.value.fetch()
        assert fetched == [1, 2, 3]
        assert hurry.each(works(1, 2, 3)) == [1, 2, 3]

        def remote() -> int:
            raise NotAtHandError

        with pytest.raises(NotAtHandError) as caught:
            hurry.each([*works(4), remote])
        assert caught.value.fetch is None  # nothing can be fetched that would suffice


@needs_nowait
def test_all_bands_that_are_not_in_memory_are_fetched_at_once(
    stores: dict[str, Any], drawers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(stores["colour"].path, "colour") as client:
        plain = client.get(TILE.format("colour") + ".png").content
    jobs: list[Any] = []
    run = Admission.run

    async def counted(self: Admission, work: Any, **options: Any) -> Any:
        jobs.append(options["key"][1][0])
        return await run(self, work, **options)

    with serving(stores["colour"].path, "colour") as client:
        monkeypatch.setattr(Admission, "run", counted)
        fetched = absent(monkeypatch, eagain, most=3)
        assert client.get(TILE.format("colour") + ".png").content == plain
    assert len(fetched) == 3
    assert jobs.count("fetch") == 1
    assert drawers == ["loop", "loop"]


def test_hurry_is_of_one_thread_and_ends() -> None:
    with ThreadPoolExecutor(1) as pool:
        with hurrying():
            assert hurry.is_hurrying()
            assert not pool.submit(hurry.is_hurrying).result()
        assert not hurry.is_hurrying()
        with pytest.raises(KeyError), hurrying():
            raise KeyError
        assert not hurry.is_hurrying()
