"""Chunks, shards and blocks, decided from sizes alone."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr import LimitError, ParameterError
from pyramids import chunking
from pyramids.chunking import Workload

MANY = chunking.MAX_PLAIN_CHUNKS + 1


def workload(**changes: object) -> Workload:
    """Two threads on one band of 16-bit integers, 8192 x 8192 pixels in 6 levels."""
    usual = Workload(reach=(8192, 8192), levels=6, itemsize=2, slices=1, workers=2)
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


def test_auto_takes_no_shards_while_gdal_can_read_the_pyramid() -> None:
    assert chunking.shard_sides("auto", chunk=256, chunk_count=chunking.MAX_PLAIN_CHUNKS) == (None,)
    assert chunking.shard_sides("auto", chunk=256, chunk_count=MANY)[0] == 2048
    assert chunking.shard_sides("none", chunk=256, chunk_count=MANY) == (None,)
    assert chunking.shard_sides(512, chunk=256, chunk_count=1) == (512,)


@pytest.mark.parametrize("requested", [0, -256, 100, 384, 768, 257])
def test_shards_that_do_not_nest_are_refused(requested: int) -> None:
    with pytest.raises(ParameterError) as caught:
        chunking.shard_sides(requested, chunk=256, chunk_count=1)
    assert (caught.value.parameter, caught.value.found) == ("shard", requested)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ParameterError) as caught:
        chunking.shard_sides("large", chunk=256, chunk_count=1)
    assert caught.value.found == "large"


@given(chunk=st.integers(1, 5000))
def test_auto_shards_are_chunks_times_powers_of_two(chunk: int) -> None:
    sides = chunking.shard_sides("auto", chunk=chunk, chunk_count=MANY)
    assert sides == tuple(sorted((side for side in sides if side is not None), reverse=True))
    for side in sides:
        assert side is not None
        factor, rest = divmod(side, chunk)
        assert rest == 0
        assert factor.bit_count() == 1
        assert side <= max(chunk, chunking.SHARD)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5000, 5000), 2048),
        ((2048, 2048), 2048),
        ((1024, 1024), 1024),
        ((1025, 3), 2048),
        ((256, 256), 256),
        ((1, 1), 256),
    ],
)
def test_shards_shrink_with_the_level(shape: tuple[int, int], expected: int) -> None:
    assert chunking.level_shard(2048, chunk=256, shape=shape) == expected
    assert chunking.level_shard(None, chunk=256, shape=shape) is None


@given(
    chunk=st.sampled_from([16, 25, 128, 256, 512, 2049]),
    power=st.none() | st.integers(0, 4),
    reach=st.tuples(st.integers(1, 40000), st.integers(1, 40000)),
    levels=st.integers(1, 10),
    slices=st.integers(1, 30),
    workers=st.integers(1, 8),
    memory=st.integers(400, 8000),
)
def test_blocks_hold_whole_chunks_and_halve(
    chunk: int,
    power: int | None,
    reach: tuple[int, int],
    levels: int,
    slices: int,
    workers: int,
    memory: int,
) -> None:
    """The walk's premises: a block is a whole number of chunks, its half a whole number of cells; it fits."""
    work = workload(reach=reach, levels=levels, slices=slices, workers=workers, source=reach)
    shard = None if power is None else chunk << power
    try:
        choice = chunking.choose(work, chunk=chunk, shards=(shard,), memory=memory * 2**20)
    except LimitError as error:
        assert error.found > error.allowed == memory * 2**20  # noqa: PT017 - one generated case of two
        return
    assert choice.shard == shard
    assert choice.block % chunk == 0
    assert choice.block % 2 == 0 or levels == 1
    assert (choice.block // chunk).bit_count() == 1, "blocks and shards nest in each other"
    assert 1 <= choice.together <= slices
    assert 0 <= choice.cut < levels
    assert choice.peak <= memory * 2**20
    assert choice.cache >= work.cells_needed(choice.together)
    assert choice.peak == work.peak(choice.block, choice.together, shard=shard, cut=choice.cut) + choice.cache


def test_b10_less_memory_means_smaller_blocks_or_fewer_slices_and_then_refusal() -> None:
    """B10: refused before anything is read."""
    work = workload(slices=40, itemsize=8)
    peaks = []
    for memory in (16, 4, 2, 1, 0.6):
        choice = chunking.choose(work, chunk=256, shards=(None,), memory=int(memory * 2**30))
        peaks.append(choice.peak)
        assert choice.peak <= memory * 2**30
    assert peaks == sorted(peaks, reverse=True)
    with pytest.raises(LimitError) as caught:
        chunking.choose(work, chunk=256, shards=(None,), memory=100 * 2**20)
    assert caught.value.limit == "memory in bytes"
    assert caught.value.found > caught.value.allowed == 100 * 2**20


@given(st.integers(1, 8), st.integers(0, 3), st.integers(1, 64))
def test_peak_grows_with_all_that_is_held(workers: int, power: int, slices: int) -> None:
    block = 256 << power
    usual = workload(workers=workers).peak(block, slices)
    assert workload(workers=workers).peak(block, slices + 1) > usual
    assert workload(workers=workers, itemsize=4).peak(block, slices) > usual
    assert workload(workers=workers).peak(block * 2, slices) > usual


@given(
    cell=st.tuples(st.integers(1, 2048), st.integers(1, 20000)),
    source=st.tuples(st.integers(1, 20000), st.integers(1, 20000)),
)
def test_the_walk_goes_in_rows_where_cells_are_as_wide_as_the_source(
    cell: tuple[int, int], source: tuple[int, int]
) -> None:
    """P-29: strips, which a walk along a curve would decode again and again."""
    work = workload(source=source, cell=cell)
    assert work.in_rows == (cell[1] >= source[1] and cell[1] > 2 * cell[0])


@pytest.mark.parametrize("in_rows", [False, True])
def test_a_memory_that_keeps_fewer_cells_than_wanted_is_used_all_the_same(in_rows: bool) -> None:
    """P-29: cells that are wanted but do not fit are decoded again; those without which nothing works are there."""
    cell, source = ((26, 20000), (20000, 20000)) if in_rows else ((2048, 2048), (2**15, 2**15))
    work = workload(reach=source, source=source, cell=cell, itemsize=8)
    ample = chunking.choose(work, chunk=256, shards=(None,), memory=2**36)
    assert ample.cache == work.cells_wanted(ample.block, ample.together, cut=ample.cut)
    with pytest.raises(LimitError) as caught:
        chunking.choose(work, chunk=256, shards=(None,), memory=401 * 2**20)
    needed = caught.value.found
    assert isinstance(needed, int)
    assert needed > caught.value.allowed == 401 * 2**20
    scarce = chunking.choose(work, chunk=256, shards=(None,), memory=needed)
    assert scarce.peak <= needed < ample.peak, "the number that the error names is enough"
    assert work.cells_needed(scarce.together) <= scarce.cache < ample.cache


@given(st.integers(1, 8), st.integers(0, 5), st.integers(1, 8))
def test_cells_wanted_cover_what_workers_read_at_once(workers: int, cut: int, slices: int) -> None:
    """Each worker's subtree with the cells about it, twice: what it works on, and what its neighbour wants again.

    Of a larger subtree, the square that is walked.
    """
    work = workload(workers=workers, source=(2**20, 2**20), cell=(512, 512))
    side = min(256 << cut, chunking.SUBTREE)
    around = (-(-side // 512) + 1) * 512  # pixels of the whole cells that a window of that side may touch
    wanted = work.cells_wanted(256, slices, cut=cut)
    assert wanted >= workers * around**2 * work.itemsize * slices
    # A mask a slice, one opacity for all, and what a cell costs beside its pixels: less than a byte a pixel.
    assert wanted <= 2 * workers * (side + 2 * 512) ** 2 * ((work.itemsize + 1) * slices + 2)


@pytest.mark.parametrize("side", [16384, 65536, 2**20])
def test_memory_grows_by_accumulators_alone(side: int) -> None:
    """P-26: four times the pixels add one level, which is one accumulator and its quarters, whatever the size."""
    levels = side.bit_length() - 8
    usual = workload(reach=(side, side), levels=levels, source=(side, side))
    larger = workload(reach=(2 * side, 2 * side), levels=levels + 1, source=(2 * side, 2 * side))
    accumulator = 1024**2 * usual.fold_bytes[0]
    for cut in (0, 1, 2):
        grown = larger.peak(1024, 1, cut=cut) - usual.peak(1024, 1, cut=cut)
        # One accumulator above the subtrees, and three quarters of a block more that wait for the fourth.
        assert 0 <= grown <= accumulator + 3 * (accumulator // 4 + chunking.HISTOGRAM)
        assert larger.cells_wanted(1024, 1, cut=cut) == usual.cells_wanted(1024, 1, cut=cut)


def test_processes_take_larger_subtrees_for_no_more_memory() -> None:
    """Seconds of work, but for sources in strips, which each process has to decode for each row of subtrees."""
    wide = {"reach": (2**17, 2**17), "levels": 10, "source": (2**17, 2**17), "workers": 1}
    here, apart = workload(**wide), workload(**wide, processes=4)
    assert 512 << here.cut(512) == chunking.SUBTREE
    assert 512 << apart.cut(512) == chunking.SUBTREE_APART
    assert apart.cells_wanted(512, 1, cut=apart.cut(512)) == here.cells_wanted(512, 1, cut=here.cut(512))
    strips = workload(**wide, processes=4, cell=(16, 2**17))
    assert 512 << strips.cut(512) == chunking.SUBTREE
    crowd = workload(**wide, processes=256)
    assert crowd.blocks(crowd.cut(512), 512) >= 256 * chunking.SUBTREES_A_WORKER
