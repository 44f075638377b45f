"""The LRU of decoded source cells: what is decoded, when, by whom, and how much is kept (P-10, P-28, P-29)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import builds
from builds import FakeSource
from geozarr import ChunkReadError, Window
from pyramids import Slice, chunking
from pyramids.scratch import Scratch
from pyramids.sources import blocks
from pyramids.sources.blocks import Blocks, Piece

ONE = (Slice(0, 0),)
SHAPE = (200, 300)


@pytest.fixture(autouse=True)
def _small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """One native block a cell."""
    monkeypatch.setattr(blocks, "CELL_PIXELS", 1)


def source(*, seed: int = 1, holes: float = 0.1, **changes: object) -> FakeSource:
    """Noise of 16 bits with holes, in blocks of 64."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 30000, (1, *SHAPE)).astype(np.int16)
    values[:, rng.random(SHAPE) < holes] = 0
    return FakeSource(values, **({"nodata": 0} | changes))  # type: ignore[arg-type]


def size_of(rows: int, cols: int, *, itemsize: int = 2) -> int:
    """Bytes of one slice of a cell with its mask, and what an entry costs."""
    return rows * cols * (itemsize + 1) + chunking.CELL_OVERHEAD


def assert_piece(piece: Piece | None, window: Window, expected: FakeSource, slices: tuple[Slice, ...] = ONE) -> None:
    """A piece holds the source's pixels of a window, or of more around it."""
    assert piece is not None
    assert piece.window.contains(window)
    here = window.relative_to(piece.window).slices
    for number, (index, _) in enumerate(slices):
        mask = expected.mask(index)[window.slices]
        found = (
            np.ones(mask.shape, bool) if piece.valid is None else piece.valid[min(number, len(piece.valid) - 1)][here]
        )
        np.testing.assert_array_equal(found, mask)
        np.testing.assert_array_equal(piece.values[number][here][mask], expected.values[index][window.slices][mask])
    if expected.alpha is not None:
        assert piece.alpha is not None
        mask = expected.mask(slices[0].variable)[window.slices]
        np.testing.assert_array_equal(piece.alpha[here][mask], expected.alpha[window.slices][mask])


def windows() -> st.SearchStrategy[Window]:
    """Windows inside the source."""
    return st.builds(
        lambda row, col, height, width: Window(row, col, min(height, SHAPE[0] - row), min(width, SHAPE[1] - col)),
        st.integers(0, SHAPE[0] - 1),
        st.integers(0, SHAPE[1] - 1),
        st.integers(1, 150),
        st.integers(1, 150),
    )


@settings(max_examples=60)
@given(
    asked=st.lists(windows(), min_size=1, max_size=6),
    capacity=st.sampled_from([0, size_of(64, 64), 5 * size_of(64, 64), 2**30]),
    kind=st.sampled_from(["holes", "whole", "mostly empty", "alpha"]),
    block_shape=st.sampled_from([(64, 64), (1, 300), (200, 1), (33, 70), (200, 300)]),
)
def test_any_window_gives_the_sources_pixels(
    asked: list[Window], capacity: int, kind: str, block_shape: tuple[int, int]
) -> None:
    """P-10: whatever is kept and whatever the cells are; from one cell, from many, from cells without data."""
    made = source(holes={"holes": 0.1, "whole": 0.0, "mostly empty": 0.0, "alpha": 0.0}[kind], block_shape=block_shape)
    if kind == "mostly empty":
        made.values[:, 20:, 40:] = 0
    if kind == "alpha":
        made.nodata, made.has_alpha = None, True
        made.alpha = np.random.default_rng(3).integers(0, 3, SHAPE).astype(np.uint8) * 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "CELL_PIXELS", 1)
        with Blocks(made, capacity=capacity) as cells:
            for window in asked:
                piece = cells.read(window, ONE, Scratch())
                if made.mask(0)[window.slices].any():
                    assert_piece(piece, window, made)
                elif piece is not None:
                    assert piece.valid is not None
                    assert not piece.valid[:, *window.relative_to(piece.window).slices].any()


def test_a_cell_is_decoded_once_while_it_is_kept() -> None:
    made = source()
    with Blocks(made, capacity=2**30) as cells:
        for window in (Window(0, 0, 200, 300), Window(63, 63, 2, 2), Window(190, 290, 10, 10)):
            cells.read(window, ONE, Scratch())
        assert cells.decoded == len(made.reads) == 4 * 5
    assert set(builds.cells_read(made).values()) == {1}
    assert all(window.row % 64 == window.col % 64 == 0 for window, _ in made.reads)


def test_the_cell_that_was_used_longest_ago_is_forgotten() -> None:
    """Room for two: 0, 1, 0 again, then 2 drops 1; 0 is there, 1 is decoded anew."""
    made = source()
    cell = [Window(0, 64 * number, 64, 64) for number in range(3)]
    with Blocks(made, capacity=2 * size_of(64, 64)) as cells:
        for number in (0, 1, 0, 2, 0, 1):
            cells.read(cell[number], ONE, Scratch())
    assert [cell.index(window) for window, _ in made.reads] == [0, 1, 2, 1]


@pytest.mark.parametrize("block_shape", [(64, 64), (1, 300), (200, 300)])
@pytest.mark.parametrize("threads", [1, 4])
def test_b10_bytes_kept_stay_within_capacity_and_a_cell_a_thread(block_shape: tuple[int, int], threads: int) -> None:
    """P-29, B10: strips, tiles, and a block that is the whole raster, which is dropped at once if it is too large."""
    made = source(block_shape=block_shape)
    one = size_of(*block_shape)
    capacity = 3 * size_of(64, 64)
    most = 0
    lock = threading.Lock()
    with Blocks(made, capacity=capacity) as cells:

        def measure(_: Window) -> None:
            nonlocal most
            with lock:
                most = max(most, cells.cache.size)

        made.before_read = measure
        rng = np.random.default_rng(6)
        asked = [Window(int(row), int(col), 5, 5) for row, col in rng.integers(0, 195, (300, 2))]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda window: cells.read(window, ONE, Scratch()), asked))
        measure(asked[0])
        assert cells.cache.size <= capacity
        held = sum(blocks._size(entry.result().piece) for entry in cells.cache._cells.values())
        assert cells.cache.size == held
    assert most <= capacity + threads * one


def test_those_who_come_while_a_cell_is_decoded_wait_for_it() -> None:
    """One decodes, the others get the same pixels; nobody waits for another cell."""
    made = source()
    inside, others = threading.Event(), threading.Event()

    def wait(window: Window) -> None:
        if window.col == 0:
            inside.set()
            assert others.wait(30)

    made.before_read = wait
    with Blocks(made, capacity=2**30) as cells, ThreadPoolExecutor(4) as pool:
        first = pool.submit(cells.read, Window(0, 0, 10, 10), ONE, Scratch())
        assert inside.wait(30)
        waiting = [pool.submit(cells.read, Window(0, 0, 20, 20), ONE, Scratch()) for _ in range(2)]
        assert cells.read(Window(0, 64, 10, 10), ONE, Scratch()) is not None, "another cell is not held up"
        assert not any(item.done() for item in (first, *waiting))
        others.set()
        pieces = [item.result(30) for item in (first, *waiting)]
    assert pieces[0] is pieces[1] is pieces[2]
    assert [window.col for window, _ in made.reads].count(0) == 1


def test_b9_an_error_reaches_everybody_who_waits_and_is_not_kept() -> None:
    """P-29, B9: the next one tries again."""
    made = source()
    errors = [ChunkReadError("array", "chunk")]
    inside, go_on = threading.Event(), threading.Event()

    def fail(_: Window) -> None:
        inside.set()
        assert go_on.wait(30)
        if errors:
            raise errors.pop()

    made.before_read = fail
    with Blocks(made, capacity=2**30) as cells, ThreadPoolExecutor(2) as pool:
        first = pool.submit(cells.read, Window(0, 0, 10, 10), ONE, Scratch())
        assert inside.wait(30)
        second = pool.submit(cells.read, Window(0, 0, 10, 10), ONE, Scratch())
        while not second.running():
            pass
        go_on.set()
        with pytest.raises(ChunkReadError):
            first.result(30)
        try:
            piece = second.result(30)  # came after the entry was gone: it reads anew
        except ChunkReadError:
            piece = cells.read(Window(0, 0, 10, 10), ONE, Scratch())
        assert_piece(piece, Window(0, 0, 10, 10), made)
        assert cells.cache.size == size_of(64, 64)


@pytest.mark.parametrize("fails", [False, True])
def test_b9_leaving_while_a_cell_is_decoded_keeps_nobody_waiting(fails: bool) -> None:
    """B9, B22: a build that has failed forgets its cells; a decode that ends after that, well or not, ends its wait."""
    made = source()
    inside, go_on = threading.Event(), threading.Event()

    def wait(_: Window) -> None:
        inside.set()
        assert go_on.wait(30)
        if fails:
            raise ChunkReadError("array", "chunk")

    made.before_read = wait
    with ThreadPoolExecutor(1) as pool:
        with Blocks(made, capacity=2**30) as cells:
            first = pool.submit(cells.read, Window(0, 0, 10, 10), ONE, Scratch())
            assert inside.wait(30)
            (entry,) = cells.cache._cells.values()  # what another thread that wants the cell waits for
        go_on.set()
        for waiting in (entry, first):
            assert isinstance(waiting.exception(timeout=30), ChunkReadError) == fails


def test_what_is_read_ahead_is_there_when_it_is_wanted() -> None:
    """Cells that are there already, or empty by the index, are not asked for."""
    covered = np.ones((4, 5), bool)
    covered[0, 2] = False
    made = source(covered=covered)
    with Blocks(made, capacity=2**30, readers=2) as cells:
        cells.read(Window(0, 0, 64, 64), ONE, Scratch())
        cells.prefetch(Window(0, 0, 64, 192), ONE)
    assert {window for window, _ in made.reads} == {Window(0, 0, 64, 64), Window(0, 64, 64, 64)}
    assert len(made.reads) == 2


def test_an_error_while_reading_ahead_is_that_of_the_read_that_follows() -> None:
    made = source()

    def fail(_: Window) -> None:
        raise ChunkReadError("array", "chunk")

    made.before_read = fail
    with Blocks(made, capacity=2**30) as cells:
        cells.prefetch(Window(0, 0, 64, 64), ONE)
        with pytest.raises(ChunkReadError):
            cells.read(Window(0, 0, 64, 64), ONE, Scratch())


def test_pixels_that_somebody_holds_are_not_overwritten() -> None:
    """P-10: memory of a forgotten cell serves the next one, but not while a view of it is worked on."""
    made = source(holes=0.0)
    with Blocks(made, capacity=0) as cells:
        first = cells.read(Window(0, 0, 64, 64), ONE, Scratch())
        assert first is not None
        view = first.values[0][5:20, 7:30]
        del first
        for row, col in np.ndindex(3, 4):
            other = cells.read(Window(64 * row, 64 * col, 64, 64), ONE, Scratch())
            assert_piece(other, Window(64 * row, 64 * col, 64, 64), made)
            np.testing.assert_array_equal(view, made.values[0][5:20, 7:30])
    np.testing.assert_array_equal(view, made.values[0][5:20, 7:30])


def test_different_slices_are_different_cells() -> None:
    made = FakeSource(np.stack([np.full(SHAPE, number + 1, np.uint8) for number in range(3)]))
    groups = ((Slice(0, 0), Slice(1, 0)), (Slice(2, 0),))
    with Blocks(made, capacity=2**30) as cells:
        for group in groups:
            piece = cells.read(Window(10, 10, 100, 100), group, Scratch())
            assert_piece(piece, Window(10, 10, 100, 100), made, group)
            assert piece is not None
            assert piece.valid is None, "no mask where all is valid"
    assert [len(slices) for _, slices in made.reads] == [2] * 4 + [1] * 4


def test_the_index_is_asked_before_anything_is_read() -> None:
    """P-28: a window over empty blocks reads nothing; one beside them the covered blocks alone."""
    covered = np.zeros((4, 5), bool)
    covered[1, 2] = covered[3, 4] = True
    made = source(covered=covered)
    with Blocks(made, capacity=2**30) as cells:
        for row, col in np.ndindex(4, 5):
            assert cells.may_hold(Window(64 * row, 64 * col, 5, 5)) == covered[row, col]
        assert cells.may_hold(Window(60, 120, 5, 9))
        assert not cells.may_hold(Window(60, 120, 4, 9))
        assert not cells.may_hold(Window(200, 0, 50, 50)), "beside the source"
        assert not cells.may_hold(Window(0, 0, 0, 0))
        assert cells.read(Window(0, 0, 64, 300), ONE, Scratch()) is None
        assert made.reads == []
        whole = cells.read(Window(0, 0, 200, 300), ONE, Scratch())
        assert whole is not None
        assert whole.valid is not None
        assert not whole.valid[0, :64].any()
        assert_piece(whole, Window(64, 128, 64, 64), made)
    assert {window for window, _ in made.reads} == {Window(64, 128, 64, 64), Window(192, 256, 8, 44)}


def test_cells_without_data_are_remembered_not_kept() -> None:
    made = source(holes=1.0)
    with Blocks(made, capacity=10 * chunking.CELL_OVERHEAD) as cells:
        for _ in range(2):
            assert cells.read(Window(0, 0, 64, 64), ONE, Scratch()) is None
        assert cells.cache.size == chunking.CELL_OVERHEAD
    assert len(made.reads) == 1


@pytest.mark.parametrize(
    ("block_shape", "grid", "resident", "expected"),
    [
        ((512, 512), (10980, 10980), 0, (512, 512)),
        ((256, 256), (10980, 10980), 0, (512, 512)),
        ((256, 128), (10980, 10980), 0, (512, 512)),
        ((1024, 1024), (10980, 10980), 0, (1024, 1024)),
        ((1, 10980), (10980, 10980), 0, (32, 10980)),  # 24 rows would do; powers of two of the strip
        ((10980, 1), (10980, 10980), 0, (10980, 32)),
        ((10980, 10980), (10980, 10980), 10**9, (512, 512)),  # the source keeps the block: small windows are cheap
        ((10980, 10980), (10980, 10980), 0, (10980, 10980)),
        ((512, 512), (100, 90), 0, (100, 90)),
        ((16, 16), (1, 1), 0, (1, 1)),
    ],
)
def test_cells_are_whole_native_blocks(
    monkeypatch: pytest.MonkeyPatch,
    block_shape: tuple[int, int],
    grid: tuple[int, int],
    resident: int,
    expected: tuple[int, int],
) -> None:
    """P-29: as many as make 512 x 512 pixels, square where blocks are; never a part of a block."""
    monkeypatch.setattr(blocks, "CELL_PIXELS", 512 * 512)
    values = np.broadcast_to(np.zeros(1, np.uint8), (1, *grid))
    found = blocks.cell_shape(FakeSource(values, block_shape=block_shape, resident_bytes=resident))
    assert found == expected
