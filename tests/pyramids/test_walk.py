"""The walk: which blocks are visited, what is read, and that each object is put once (DESIGN section 3).

P-10, P-28, P-29; B10, B22.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from affine import Affine
from obstore.store import MemoryStore

import builds
import faults
import pyramids
from builds import FakeSource, scene
from geozarr import Window
from geozarr import store as store_module
from pyramids import Plan, chunking, handover, walk
from pyramids.scratch import Scratch
from pyramids.sources import blocks as source_blocks
from pyramids.sources.blocks import Blocks
from pyramids.walk import Closed, Skipped, Step, Subtree, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable


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

    def spent(self, stages: dict[str, float]) -> None:
        """Time is no matter."""


def surroundings(plan: Plan, source: FakeSource, store: MemoryStore, progress: Silent | None = None) -> Surroundings:
    """What a walk needs, for one that is walked by hand."""
    return Surroundings(Blocks(source, capacity=plan.cache), store_module.open_store(store), progress or Silent())


@pytest.fixture
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """One native block a cell, so that small rasters have many."""
    monkeypatch.setattr(source_blocks, "CELL_PIXELS", 1)


def finest_below(plan: Plan, units: list[Subtree]) -> Counter[tuple[int, int]]:
    """How often each finest block lies below some subtrees."""
    covered: Counter[tuple[int, int]] = Counter()
    waiting = list(units)
    while waiting:
        here = waiting.pop()
        if here.level == 0:
            covered[here.row, here.col] += 1
        else:
            waiting += walk.children(plan, here)
    return covered


def everywhere(_: Window) -> bool:
    """Data may be anywhere."""
    return True


def steps(
    plan: Plan, *, level: int, in_rows: bool = False, may_hold: Callable[[Window], bool] = everywhere
) -> list[Step]:
    """Cut the walk at a level."""
    return list(walk.itinerary(dataclasses.replace(plan, cut=level, in_rows=in_rows), may_hold=may_hold))


def subtrees(plan: Plan, *, level: int, in_rows: bool = False) -> list[Subtree]:
    """Subtrees alone."""
    return [step for step in steps(plan, level=level, in_rows=in_rows) if isinstance(step, Subtree)]


@pytest.mark.parametrize("in_rows", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (700, 500), (129, 1000), (64, 64)])
def test_subtrees_cover_each_finest_block_once(shape: tuple[int, int], in_rows: bool) -> None:
    plan, _ = native(shape)
    blocks = plan.blocks(0)
    for level in range(len(plan.levels.levels)):
        units = subtrees(plan, level=level, in_rows=in_rows)
        assert all(unit.level == level for unit in units)
        covered = finest_below(plan, units)
        assert set(covered.values()) == {1}
        assert len(covered) == blocks.size
        assert sum(walk.finest_window(plan, unit).size for unit in units) == shape[0] * shape[1]


def test_subtrees_come_in_the_order_of_the_walk() -> None:
    """Four children of one block follow each other, so that their parent is complete as early as can be."""
    plan, _ = native((1024, 1024))
    units = subtrees(plan, level=0)
    assert len(units) == 64
    for start in range(0, 64, 4):
        parents = {unit.parent for unit in units[start : start + 4]}
        assert len(parents) == 1
    for start in range(0, 64, 16):
        assert len({unit.parent.parent for unit in units[start : start + 16]}) == 1


def test_subtrees_in_rows_come_row_by_row() -> None:
    """P-29: a source in strips is read from its first row to its last."""
    plan, _ = native((1024, 1024))
    units = subtrees(plan, level=0, in_rows=True)
    assert [(unit.row, unit.col) for unit in units] == [(row, col) for row in range(8) for col in range(8)]


@pytest.mark.parametrize("in_rows", [False, True])
def test_subtrees_that_cannot_hold_data_are_left_out_with_all_below_them(in_rows: bool) -> None:
    """P-28: an empty block is asked about once, not its children; those that remain are as before, in order."""
    plan, _ = native((1024, 1024), levels=4)
    asked: list[Window] = []

    def may_hold(window: Window) -> bool:
        asked.append(window)
        return window.row < 200 and window.col < 200

    found = steps(plan, level=0, in_rows=in_rows, may_hold=may_hold)
    units = [step for step in found if isinstance(step, Subtree)]
    assert [(unit.row, unit.col) for unit in units] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    # The top block, its first child, four of that one's children with the first's own four between them, three more.
    order = [1024, 512, 256, *[128] * 4, *[256] * 3, *[512] * 3]
    heights = [window.height for window in asked]
    assert (sorted(heights) if in_rows else heights) == (sorted(order) if in_rows else order)
    assert sum(step.pixels for step in found if isinstance(step, Skipped)) == 1024**2 - 256**2
    corner = [Subtree(0, row, col) for row in range(2) for col in range(2)]
    assert [step for step in found if isinstance(step, Closed)] == [
        Closed(Subtree(1, 0, 0), tuple(corner)),
        Closed(Subtree(2, 0, 0), (Subtree(1, 0, 0),)),
        Closed(Subtree(3, 0, 0), (Subtree(2, 0, 0),)),
    ]


@pytest.mark.parametrize("in_rows", [False, True])
@pytest.mark.parametrize("cut", [0, 1, 2])
def test_blocks_above_are_closed_once_after_their_last_subtree(in_rows: bool, cut: int) -> None:
    """The coordinator holds a block no longer than it must, and none is closed before its children are there."""
    plan, _ = native((700, 500), levels=5)
    holes = {(0, 1), (3, 0), (4, 2), (5, 2)}  # blocks of the finest level, in 128 pixels

    def may_hold(window: Window) -> bool:
        rows, cols = (
            range(window.row // 128, -(-window.row_stop // 128)),
            range(window.col // 128, -(-window.col_stop // 128)),
        )
        return any((row, col) not in holes for row in rows for col in cols)

    found = steps(plan, level=cut, in_rows=in_rows, may_hold=may_hold)
    done: set[Subtree] = set()
    for step in found:
        if isinstance(step, Closed):
            assert step.block not in done
            assert tuple(child for child in walk.children(plan, step.block) if child in done) == step.children != ()
            done.add(step.block)
        elif isinstance(step, Subtree):
            done.add(step)
    assert {block.level for block in done} == set(range(cut, 5))
    wanted = {Subtree(0, row, col) for row in range(6) for col in range(4)} - {Subtree(0, *hole) for hole in holes}
    if cut == 0:
        assert {block for block in done if block.level == 0} == wanted
    assert (
        sum(step.pixels for step in found if isinstance(step, Skipped))
        + sum(walk.finest_window(plan, step).size for step in found if isinstance(step, Subtree))
        == 700 * 500
    )


@pytest.mark.parametrize("block_shape", [(64, 64), (32, 128), (1, 500), (8, 500), (700, 8)])
@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad"])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.usefixtures("small_cells")
def test_each_cell_of_the_source_is_decoded_once(tms: str, block_shape: tuple[int, int], workers: int) -> None:
    """P-29, DESIGN section 3: tiles, strips of one row, and a native pyramid or a warp; with the cache as planned."""
    source = FakeSource(scene("int16", (2, 700, 500)), nodata=-9999, block_shape=block_shape)
    choices = {"chunk": 64} if tms == "native" else {"max_zoom": 13, "min_zoom": 11}
    plan = builds.plan_for(source, tms=tms, workers=workers, **choices)
    assert plan.in_rows == (block_shape[1] == 500)
    plan = dataclasses.replace(plan, block=128 if tms == "native" else 256, cut=0)
    builds.run(plan, source)
    assert set(builds.cells_read(source).values()) == {1}
    times = np.zeros((700, 500), int)
    for window, slices in source.reads:
        assert len(slices) == 2
        times[window.slices] += 1
    assert (times == 1).all()


@pytest.mark.usefixtures("small_cells")
def test_a_cache_of_nothing_decodes_again_and_gives_the_same_bytes() -> None:
    """P-10, P-29: cells are forgotten as soon as they were used; only speed is lost."""
    source = FakeSource(scene("int16", (1, 700, 500)), nodata=-9999, block_shape=(64, 64))
    plan = dataclasses.replace(builds.plan_for(source, max_zoom=13, min_zoom=11), workers=2)
    expected = builds.objects(builds.run(plan, source)[0])
    source.reads.clear()
    found = builds.objects(builds.run(dataclasses.replace(plan, cache=1), source)[0])
    assert max(builds.cells_read(source).values()) > 1
    assert found == expected


def test_each_object_is_put_once_and_nothing_is_read_back() -> None:
    plan, source = native((700, 500))
    store = faults.FaultStore(store_module.open_store(MemoryStore()))
    pyramids.execute(dataclasses.replace(plan, workers=4), source, store)
    read = {item.key for item in store.operations if item.name == "get"}
    assert not [key for key in read if "/c/" in key]
    puts = Counter(key for key in store.keys if not key.startswith(".build/"))
    assert set(puts.values()) == {1}
    assert set(puts) == {key for key in faults.contents(store) if not key.startswith(".build/")}


@pytest.mark.parametrize("shard", [128, 256, 512])
@pytest.mark.parametrize(("block", "cut"), [(64, 0), (64, 2), (128, 1), (1024, 0)])
def test_each_shard_is_put_once_whatever_the_blocks(shard: int, block: int, cut: int) -> None:
    """P-17: shards larger than a block, larger than a subtree, and smaller; whole at their first put."""
    source = FakeSource(scene("int16", (1, 700, 500)), nodata=-9999)
    plan = builds.plan_for(source, tms="native", chunk=64, shard=shard, workers=3)
    expected = builds.objects(builds.run(plan, source)[0])
    store = faults.FaultStore(store_module.open_store(MemoryStore()))
    pyramids.execute(dataclasses.replace(plan, block=block, cut=cut), source, store)
    puts = Counter(key for key in store.keys if not key.startswith(".build/"))
    assert set(puts.values()) == {1}
    found = {key: data for key, data in faults.contents(store).items() if not key.startswith(".build/")}
    assert {k: v for k, v in found.items() if k != "zarr.json"} == {
        k: v for k, v in expected.items() if k != "zarr.json"
    }


def test_blocks_that_the_source_cannot_reach_are_not_visited() -> None:
    """DESIGN section 3: a small raster in a wide tile range; what is warped lies about the footprint."""
    source = FakeSource(scene("uint8", (1, 200, 200)), nodata=0)
    plan = builds.plan_for(source, min_zoom=6, max_zoom=12)
    assert plan.levels.finest.grid.window.size >= 64**2 * 256**2
    assert plan.blocks(0).size <= 4
    store, report = builds.run(plan, source)
    assert report.work == report.computed <= 4 * plan.block**2
    assert [window for window, _ in source.reads] == [source.grid.window]
    assert any(key.startswith("6/v0/c/") for key in builds.objects(store)), "the data reach the top all the same"


def test_a_block_without_data_hands_nothing_up() -> None:
    source = FakeSource(np.full((1, 256, 256), -1, np.int16), nodata=-1)
    plan = dataclasses.replace(builds.plan_for(source, tms="native", chunk=64), block=128)
    progress = Silent()
    around = surroundings(plan, source, MemoryStore(), progress)
    outcome = walk.run(plan, plan.groups[0], Subtree(1, 0, 0), surroundings=around, scratch=Scratch())
    assert outcome.quarters == [None]
    assert outcome.summaries == [None]
    assert outcome.pending == {}
    assert [bins.size for bins, _ in outcome.histograms] == [0]
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
            around = surroundings(plan, source, store)
            walk.run(plan, plan.groups[0], Subtree(1, row, col), surroundings=around, scratch=Scratch())
            found = builds.objects(store)
            assert found
            assert all(expected[key] == data for key, data in found.items())
            assert {key.split("/")[0] for key in found} == {"0", "1"}


@pytest.mark.parametrize("method", ["average", "nearest", "mode", "max", "median", "sum"])
@pytest.mark.parametrize("dtype", ["int16", "int64", "float32"])
def test_quarters_are_put_together_from_what_was_stored_of_them(method: str, dtype: str) -> None:
    """B21: units that know each other only by their bytes give the objects of a build, shards that reach across too."""
    source = FakeSource(scene("int16", (1, 700, 500), span=(1, 9)).astype(dtype), nodata=-9999)
    plan = builds.plan_for(source, tms="native", chunk=64, resampling=method, shard=256)
    plan = dataclasses.replace(plan, block=64, cut=1)
    group = plan.groups[0]
    store = store_module.open_store(MemoryStore())
    around = Surroundings(Blocks(source, capacity=plan.cache), store, Silent())
    handed: dict[Subtree, bytes] = {}
    for step in steps(plan, level=1):
        if isinstance(step, Closed):
            quarters = {child: handover.decode(handed.pop(child), plan, group) for child in step.children}
            outcome = walk.join(plan, group, step.block, quarters, store=store, progress=Silent(), scratch=Scratch())
            handed[step.block] = handover.encode(outcome)
        elif isinstance(step, Subtree):
            outcome = walk.run(plan, group, step, surroundings=around, scratch=Scratch())
            handed[step] = handover.encode(outcome)
    (top,) = handed.values()
    (summary,) = walk.whole_summaries(handover.decode(top, plan, group))
    assert summary is not None
    built, _ = builds.run(plan, source)
    found = {item.key: bytes(built.get(item.key).bytes()) for item in store.listed()}
    assert found == {key: data for key, data in builds.objects(built).items() if "/v0/c/" in key}
    assert summary.to_attributes() == builds.attributes(built, "0/v0")["statistics"]


@pytest.mark.parametrize("method", ["bilinear", "average", "mode", "sum"])
def test_b10_a_fine_source_is_read_in_pieces_of_bounded_size(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """B10, P-29: 13 source pixels along each target pixel; the same bytes as with a larger bound."""
    values = scene("int16", (1, 1600, 1500), span=(1, 40))
    source = FakeSource(values, transform=Affine(2, 0, 500000, 0, -2, 5000000), nodata=0)
    plan = builds.plan_for(source, max_zoom=12, min_zoom=11, resampling=method)
    plan = dataclasses.replace(plan, block=256)
    asked: list[Window] = []
    read = Blocks.read
    monkeypatch.setattr(Blocks, "read", lambda self, window, *rest: asked.append(window) or read(self, window, *rest))
    store, _ = builds.run(plan, source)
    assert max(window.size for window in asked) <= chunking.SOURCE_FACTOR * 256**2
    pieces = len(asked)
    monkeypatch.setattr(chunking, "SOURCE_FACTOR", 10**6)
    whole, _ = builds.run(plan, source)
    assert len(asked) - pieces < pieces, "without the bound it takes fewer reads"
    assert builds.objects(store) == builds.objects(whole)


def test_slices_of_one_group_are_read_together() -> None:
    source = FakeSource(np.stack([scene("uint8", (200, 200), seed=seed) for seed in range(5)]), nodata=0)
    plan = builds.plan_for(source, tms="native")
    builds.run(plan, source)
    assert [len(slices) for _, slices in source.reads] == [5]
    source.reads.clear()
    builds.run(dataclasses.replace(plan, together=2), source)
    assert [len(slices) for _, slices in source.reads] == [2, 2, 1]


def test_alpha_is_stored_once_whatever_the_groups() -> None:
    """Alpha goes up with the first group that speaks of it."""
    store = faults.FaultStore(store_module.open_store(MemoryStore()))
    alpha = np.full((200, 200), 255, np.uint8)
    source = FakeSource(np.zeros((3, 200, 200), np.uint8), has_alpha=True, alpha=alpha)
    plan = dataclasses.replace(builds.plan_for(source, tms="native"), together=1)
    pyramids.execute(plan, source, store)
    assert [key for key in store.keys if key.startswith("0/alpha/c/")] == ["0/alpha/c/0/0"]


@pytest.mark.usefixtures("small_cells")
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
    cells = (2000 // 64) ** 2
    assert len(source.reads) < cells / 4
