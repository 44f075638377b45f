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
def test_blocks_hold_whole_objects_and_halve(
    chunk: int,
    power: int | None,
    reach: tuple[int, int],
    levels: int,
    slices: int,
    workers: int,
    memory: int,
) -> None:
    """The walk's premises: a block is a whole number of objects, its half a whole number of cells; it fits."""
    work = workload(reach=reach, levels=levels, slices=slices, workers=workers)
    shard = None if power is None else chunk << power
    try:
        choice = chunking.choose(work, chunk=chunk, shards=(shard,), memory=memory * 2**20)
    except LimitError as error:
        assert error.found > error.allowed == memory * 2**20  # noqa: PT017 - one generated case of two
        return
    assert choice.block % (shard or chunk) == 0
    assert choice.block % 2 == 0 or levels == 1
    assert (choice.block // (shard or chunk)).bit_count() == 1
    assert 1 <= choice.together <= slices
    assert choice.peak <= memory * 2**20


def test_less_memory_means_smaller_blocks_or_fewer_slices_and_then_refusal() -> None:
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


@pytest.mark.parametrize("side", [16384, 65536, 2**20])
def test_memory_grows_by_accumulators_alone(side: int) -> None:
    """P-26: four times the pixels add one level, which is one accumulator a worker at most, whatever the size."""
    levels = side.bit_length() - 8
    usual = workload(reach=(side, side), levels=levels).peak(2048, 1)
    larger = workload(reach=(2 * side, 2 * side), levels=levels + 1).peak(2048, 1)
    accumulator = 2048**2 * chunking.SUM_BYTES * 5 // 4  # with the quarter handed on
    assert larger - usual <= 2 * accumulator
