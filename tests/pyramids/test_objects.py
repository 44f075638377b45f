"""Chunks and shards on their way to the store: what is put, when, and how often (P-17, P-23)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from obstore.store import MemoryStore

import builds
from builds import FakeSource, scene
from geozarr import Window
from geozarr.store import open_store
from pyramids import Plan, shards, walk
from pyramids.meter import Meter
from pyramids.objects import Objects, ShardPlace
from pyramids.scratch import Scratch

if TYPE_CHECKING:
    import pytest


class Puts:
    """Progress that keeps the sizes of objects."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def computed(self, pixels: int) -> None:
        """Pixels are no matter."""

    def stored(self, size: int) -> None:
        """Add an object."""
        self.sizes.append(size)

    def spent(self, stages: dict[str, float]) -> None:
        """Time is no matter."""


def made(*, shard: int | str = "none", shape: tuple[int, int] = (300, 260)) -> tuple[Plan, Objects, MemoryStore, Puts]:
    """Objects of one band of bytes in chunks of 32, blocks of 64, levels of 300 x 260, 150 x 130 ..."""
    source = FakeSource(scene("uint8", (1, *shape)), nodata=9)
    plan = dataclasses.replace(builds.plan_for(source, tms="native", chunk=32, shard=shard), block=64)
    store, puts = MemoryStore(), Puts()
    return plan, Objects(plan, walk.tracks_of(plan, plan.groups[0]), open_store(store), Meter(puts)), store, puts


def add(
    target: Objects, level: int, window: Window, *, valid: np.ndarray | None = None, value: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    """Add a block of one value."""
    values = np.full(window.shape, value, np.uint8)
    mask = np.ones(window.shape, bool) if valid is None else valid
    target.add(level, 0, window, values, mask, is_whole=valid is None, scratch=Scratch())
    return values, mask


def keys(store: MemoryStore) -> set[str]:
    """Keys of what was put."""
    return set(builds.objects(store))


def test_chunks_of_their_own_are_put_at_once() -> None:
    _, target, store, puts = made()
    add(target, 0, Window(64, 128, 64, 64))
    assert keys(store) == {f"0/v0/c/{row}/{col}" for row in (2, 3) for col in (4, 5)}
    assert target.pending == {}
    assert puts.sizes == [len(data) for data in builds.objects(store).values()]


def test_chunks_without_data_are_not_stored() -> None:
    """P-23: a mask decides, chunk by chunk; one valid pixel is enough."""
    _, target, store, _ = made()
    valid = np.zeros((64, 64), bool)
    valid[63, 0] = True
    add(target, 0, Window(0, 0, 64, 64), valid=valid)
    assert keys(store) == {"0/v0/c/1/0"}


def test_the_rest_of_a_chunk_at_the_edge_of_the_array_is_fill() -> None:
    """A chunk is stored whole: rows 288 to 299 of 288 to 319, columns 256 to 259 of 256 to 287."""
    _, target, store, _ = made()
    add(target, 0, Window(256, 256, 44, 4))
    assert keys(store) == {"0/v0/c/8/8", "0/v0/c/9/8"}
    expected = np.full((32, 32), 9, np.uint8)  # nodata
    expected[:12, :4] = 7
    assert builds.objects(store)["0/v0/c/9/8"] == shards.encode_chunk(expected)


def test_a_shard_waits_for_the_block_that_holds_it() -> None:
    """P-17: a shard of 128 pixels is four blocks of 64; level 1's is a block of level 2."""
    _, target, store, puts = made(shard=128)
    for row in (0, 64):
        for col in (0, 64):
            add(target, 0, Window(row, col, 64, 64))
            target.complete(0, row // 64, col // 64)
            assert keys(store) == set()
    add(target, 1, Window(0, 0, 64, 64))
    assert set(target.pending) == {ShardPlace(0, 0, 0, 0), ShardPlace(1, 0, 0, 0)}
    assert len(target.pending[ShardPlace(0, 0, 0, 0)]) == 16
    assert len(target.pending[ShardPlace(1, 0, 0, 0)]) == 4
    target.complete(0, 0, 0)  # a block of a finer level says nothing of a coarser one's shard
    target.complete(1, 0, 1)
    assert keys(store) == set()
    target.complete(1, 0, 0)
    assert keys(store) == {"0/v0/c/0/0"}
    target.complete(2, 0, 0)
    assert keys(store) == {"0/v0/c/0/0", "1/v0/c/0/0"}
    assert target.pending == {}
    assert len(puts.sizes) == 2


def test_a_shard_smaller_than_a_block_is_put_with_it() -> None:
    _, target, store, _ = made(shard=64)
    add(target, 0, Window(128, 64, 64, 64))
    assert keys(store) == set()
    target.complete(0, 2, 1)
    assert keys(store) == {"0/v0/c/2/1"}


def test_chunks_keep_their_places_in_the_shard() -> None:
    """C order of a shard's chunks, whatever the order in which they come; those without data are absent."""
    _, target, store, _ = made(shard=128)
    expected: list[bytes | None] = [None] * 16
    for number, (row, col) in enumerate(((64, 192), (0, 128), (64, 128))):  # in the shard from column 128 on
        values, _ = add(target, 0, Window(row, col, 64, 64), value=number + 1)
        for part, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            chunk = np.ascontiguousarray(values[:32, :32])
            assert part < 4
            expected[(row // 32 + down) * 4 + (col - 128) // 32 + right] = shards.encode_chunk(chunk)
    target.complete_all()
    assert builds.objects(store) == {"0/v0/c/0/1": shards.encode_shard(expected)}


def test_what_another_worker_could_not_complete_is_taken_over() -> None:
    """P-17: one writer a shard; the two halves of one come from two workers."""
    plan, target, store, _ = made(shard=128)
    whole, *_ = made(shard=128)[1:]
    workers = [Objects(plan, walk.tracks_of(plan, plan.groups[0]), open_store(store), Meter(Puts())) for _ in range(2)]
    for number, col in enumerate((0, 64)):
        for row in (0, 64):
            add(workers[number], 0, Window(row, col, 64, 64), value=col + 1)
            add(whole, 0, Window(row, col, 64, 64), value=col + 1)
        workers[number].complete(0, 1, number)
        target.take(workers[number].pending)
    assert keys(store) == set()
    assert target.pending == whole.pending
    target.complete(1, 0, 0)
    assert keys(store) == {"0/v0/c/0/0"}


def test_shards_of_several_slices_go_to_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each track has its own; leading axes come first in the key."""
    values = np.stack([scene("uint8", (100, 90), seed=seed) for seed in range(4)])
    axes: dict[str, Any] = {"leading": (builds.Axis("t", (0, 1)), builds.Axis("b", (1, 2))), "names": ("v",)}
    plan = builds.plan_for(FakeSource(values, **axes), tms="native", chunk=32, shard=64)
    store = open_store(MemoryStore())
    target = Objects(plan, walk.tracks_of(plan, plan.groups[0]), store, Meter(Puts()))
    put: list[str] = []
    write = store.put
    monkeypatch.setattr(store, "put", lambda key, data: put.append(key) or write(key, data))
    for number in (3, 0):
        block = np.ones((64, 64), np.uint8)
        target.add(0, number, Window(0, 0, 64, 64), block, block > 0, is_whole=True, scratch=Scratch())
    target.complete_all()
    assert sorted(put) == ["0/v/c/0/0/0/0", "0/v/c/1/1/0/0"]
