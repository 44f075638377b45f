"""The walk: which blocks are visited, what is read, and that each object is put once (DESIGN section 3)."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter

import numpy as np
import pytest
from affine import Affine
from obstore.store import MemoryStore

import builds
import pyramids
from builds import FakeSource, scene
from geozarr import Window
from geozarr import store as store_module
from pyramids import Plan, chunking, walk
from pyramids.walk import Subtree


def native(shape: tuple[int, int], *, block: int = 128, **choices: object) -> tuple[Plan, FakeSource]:
    """A native plan with blocks of a chosen size."""
    source = FakeSource(scene("int16", (1, *shape)), nodata=-9999)
    plan = builds.plan_for(source, tms="native", chunk=64, **choices)
    return dataclasses.replace(plan, block=block), source


class Silent:
    """Progress that keeps count."""

    def __init__(self) -> None:
        self.pixels = 0
        self.sizes: list[int] = []

    def computed(self, pixels: int) -> None:
        """Add pixels."""
        self.pixels += pixels

    def stored(self, size: int) -> None:
        """Add an object."""
        self.sizes.append(size)


@pytest.mark.parametrize("at_least", [1, 2, 5, 16, 10_000])
@pytest.mark.parametrize("shape", [(1, 1), (700, 500), (129, 1000), (64, 64)])
def test_subtrees_cover_each_finest_block_once(shape: tuple[int, int], at_least: int) -> None:
    plan, _ = native(shape)
    cut, units = walk.subtrees(plan, at_least=at_least)
    assert all(unit.level == cut for unit in units)
    assert len(units) >= min(at_least, plan.blocks(0).size) or cut == 0
    covered: Counter[tuple[int, int]] = Counter()
    for unit in units:
        waiting = [unit]
        while waiting:
            here = waiting.pop()
            if here.level == 0:
                covered[here.row, here.col] += 1
                continue
            waiting += [
                Subtree(here.level - 1, *place) for place in walk.children(plan, here.level, here.row, here.col)
            ]
    blocks = plan.blocks(0)
    assert set(covered.values()) == {1}
    assert len(covered) == blocks.size


def test_subtrees_come_in_the_order_of_the_walk() -> None:
    """Four children of one block follow each other, so that their parent is complete as early as can be."""
    plan, _ = native((1024, 1024))
    cut, units = walk.subtrees(plan, at_least=64)
    assert (cut, len(units)) == (0, 64)
    for start in range(0, 64, 4):
        parents = {(unit.row // 2, unit.col // 2) for unit in units[start : start + 4]}
        assert len(parents) == 1
    for start in range(0, 64, 16):
        assert len({(unit.row // 4, unit.col // 4) for unit in units[start : start + 16]}) == 1


def test_each_pixel_of_a_native_source_is_read_once() -> None:
    plan, source = native((700, 500))
    builds.run(plan, source)
    times = np.zeros((700, 500), int)
    for window, _ in source.reads:
        times[window.slices] += 1
    assert (times == 1).all()


def test_each_object_is_put_once_and_nothing_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    puts: Counter[str] = Counter()
    lock = threading.Lock()
    put = store_module.write_bytes

    def counting(store: object, key: str, data: bytes) -> None:
        with lock:
            puts[key] += 1
        put(store, key, data)  # type: ignore[arg-type]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing that was written is read again")

    monkeypatch.setattr(store_module, "write_bytes", counting)
    monkeypatch.setattr(store_module, "read_bytes", never)
    monkeypatch.setattr(store_module, "read_document", never)
    plan, source = native((700, 500))
    store, _ = builds.run(dataclasses.replace(plan, workers=4), source)
    assert set(puts.values()) == {1}
    assert set(builds.objects(store)) == {key for key in puts if not key.startswith(".build/")}


def test_blocks_that_the_source_cannot_reach_are_not_visited() -> None:
    """DESIGN section 3: a small raster in a wide tile range; what is warped lies about the footprint."""
    source = FakeSource(scene("uint8", (1, 200, 200)), nodata=0)
    plan = builds.plan_for(source, min_zoom=6, max_zoom=12)
    assert plan.levels.finest.grid.window.size >= 64**2 * 256**2
    assert plan.blocks(0).size <= 4
    store, report = builds.run(plan, source)
    assert report.work == report.computed <= 4 * plan.block**2
    assert len(source.reads) <= 4
    assert any(key.startswith("6/v0/c/") for key in builds.objects(store)), "the data reach the top all the same"


def test_a_block_without_data_hands_nothing_up() -> None:
    source = FakeSource(np.full((1, 256, 256), -1, np.int16), nodata=-1)
    plan = dataclasses.replace(builds.plan_for(source, tms="native", chunk=64), block=128)
    progress = Silent()
    outcome = walk.run(plan, plan.groups[0], Subtree(1, 0, 0), source=source, store=MemoryStore(), progress=progress)
    assert outcome.quarters == [None]
    assert outcome.summaries == [None]
    assert progress.sizes == []
    assert progress.pixels == 256 * 256


def test_a_subtree_can_be_walked_by_itself() -> None:
    """The unit of work: its objects are those of the whole build."""
    plan, source = native((512, 512), levels=3)
    whole, _ = builds.run(plan, source)
    expected = builds.objects(whole)
    for row in range(2):
        for col in range(2):
            store = MemoryStore()
            subtree = Subtree(1, row, col)
            walk.run(plan, plan.groups[0], subtree, source=source, store=store, progress=Silent())
            found = builds.objects(store)
            assert found
            assert all(expected[key] == data for key, data in found.items())
            assert {key.split("/")[0] for key in found} == {"0", "1"}


@pytest.mark.parametrize("method", ["bilinear", "average"])
def test_a_fine_source_is_read_in_pieces_of_bounded_size(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """B10, P-29: 16 source pixels along each target pixel; the same bytes as with a larger bound."""
    values = scene("float32", (1, 1600, 1500))
    source = FakeSource(values, transform=Affine(2, 0, 500000, 0, -2, 5000000))
    plan = builds.plan_for(source, max_zoom=12, min_zoom=11, resampling=method)
    whole, _ = builds.run(plan, source)
    source.reads.clear()
    monkeypatch.setattr(chunking, "WARP_TILE", 64)
    store, _ = builds.run(plan, source)
    assert builds.objects(store) == builds.objects(whole)
    bound = chunking.SOURCE_FACTOR * 64**2
    assert max(window.size for window, _ in source.reads) <= bound
    assert len(source.reads) > 16


def test_slices_of_one_group_are_read_together() -> None:
    source = FakeSource(np.stack([scene("uint8", (200, 200), seed=seed) for seed in range(5)]), nodata=0)
    plan = builds.plan_for(source, tms="native")
    builds.run(plan, source)
    assert [len(slices) for _, slices in source.reads] == [5]
    source.reads.clear()
    builds.run(dataclasses.replace(plan, together=2), source)
    assert [len(slices) for _, slices in source.reads] == [2, 2, 1]


def test_alpha_is_stored_once_whatever_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alpha goes up with the first group that speaks of it."""
    keys: list[str] = []
    put = store_module.write_bytes
    monkeypatch.setattr(store_module, "write_bytes", lambda store, key, data: keys.append(key) or put(store, key, data))
    alpha = np.full((200, 200), 255, np.uint8)
    source = FakeSource(np.zeros((3, 200, 200), np.uint8), has_alpha=True, alpha=alpha)
    plan = dataclasses.replace(builds.plan_for(source, tms="native"), together=1)
    builds.run(plan, source)
    assert sorted(key for key in keys if "/alpha/c/" in key) == ["0/alpha/c/0/0"]


def test_workers_stop_at_their_next_block_after_a_failure() -> None:
    """B22: the first error ends the build; the rest of the blocks is not read."""
    source = FakeSource(scene("uint8", (1, 2000, 2000)), nodata=0)

    def fail(window: Window) -> None:
        if window.row == 0 and window.col == 0:
            raise OSError("gone")

    source.before_read = fail
    plan = dataclasses.replace(builds.plan_for(source, tms="native", chunk=64), block=64, workers=2)
    with pytest.raises(OSError, match="gone"):
        pyramids.execute(plan, source, MemoryStore())
    assert len(source.reads) < plan.blocks(0).size / 4
