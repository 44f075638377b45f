from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr.errors import ParameterError
from tiler.cache import BoundedCache


@given(
    capacity=st.integers(0, 50),
    requests=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), max_size=60),
)
def test_the_sum_of_sizes_never_passes_the_bound(capacity: int, requests: list[tuple[int, int]]) -> None:
    cache: BoundedCache[int] = BoundedCache(capacity, lambda value: value)
    for key, size in requests:
        assert cache.get(key, lambda size=size: size) >= 1
        assert cache.total <= capacity
    assert cache.total <= capacity


def test_the_least_recently_used_leaves_first() -> None:
    cache: BoundedCache[str] = BoundedCache(2, lambda _: 1)
    loaded: list[str] = []

    def get(key: str) -> None:
        cache.get(key, lambda: loaded.append(key) or key)

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    # c pushed b out, because a had been asked for since; so b is loaded again and a is not.
    assert loaded == ["a", "b", "c", "b"]


def test_what_is_larger_than_the_cache_is_returned_and_not_kept() -> None:
    cache: BoundedCache[bytes] = BoundedCache(3, len)
    assert cache.get("key", lambda: b"long") == b"long"
    assert (len(cache), cache.total) == (0, 0)


def test_none_is_a_value_that_is_kept() -> None:
    cache: BoundedCache[None] = BoundedCache(1, lambda _: 1)
    loads: list[None] = []
    for _ in range(3):
        assert cache.get("absent", lambda: loads.append(None)) is None
    assert len(loads) == 1


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Counts the threads that wait for a load of another one."""
    count = threading.Semaphore(0)

    class Counting(Future):
        def result(self, timeout: float | None = None) -> object:
            count.release()
            return super().result(timeout)

    monkeypatch.setattr("tiler.cache.Future", Counting)
    return count


def test_many_threads_that_ask_for_one_key_cause_one_load(waiting: threading.Semaphore) -> None:
    cache: BoundedCache[int] = BoundedCache(0, lambda _: 1)  # keeps nothing: what is shared is the load under way
    threads = 16
    loads: list[int] = []

    def load() -> int:
        loads.append(1)
        for _ in range(threads - 1):
            assert waiting.acquire(timeout=30)
        return 7

    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(lambda _: cache.get("key", load), range(threads))) == [7] * threads
    assert len(loads) == 1


def test_an_error_reaches_everyone_who_waits_and_is_not_kept(waiting: threading.Semaphore) -> None:
    cache: BoundedCache[int] = BoundedCache(10, lambda _: 1)
    threads = 5
    loads: list[int] = []

    def fail() -> int:
        loads.append(1)
        for _ in range(threads - 1):
            assert waiting.acquire(timeout=30)
        raise OSError("once")

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(cache.get, "key", fail) for _ in range(threads)]:
            with pytest.raises(OSError, match="once"):
                future.result()
    assert len(loads) == 1
    assert cache.get("key", lambda: 5) == 5


def test_a_size_that_cannot_be_told_does_not_block_the_key() -> None:
    cache: BoundedCache[object] = BoundedCache(10, len)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        cache.get("key", lambda: 1)
    assert cache.get("key", lambda: b"1") == b"1"


def test_different_keys_are_loaded_at_the_same_time() -> None:
    cache: BoundedCache[str] = BoundedCache(10, lambda _: 1)
    both = threading.Barrier(2)

    def load() -> str:
        both.wait(10)  # passes only if the other load runs too
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda key: cache.get(key, load), "ab")) == ["done", "done"]


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(ParameterError) as caught:
        BoundedCache(-1, len)
    assert caught.value.parameter == "capacity"


def test_a_value_that_is_dropped_takes_no_room() -> None:
    cache: BoundedCache[int] = BoundedCache(10, lambda value: value)
    cache.put("a", 4)
    cache.put("b", 5)
    cache.drop("a")
    cache.drop("never")
    assert (cache.peek("a"), cache.peek("b"), cache.total, len(cache)) == (None, 5, 5, 1)
    assert cache.get("a", lambda: 3) == 3
