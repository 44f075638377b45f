"""A store behind a network that fails, one request at a time (FAULTS.md section 3, B7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import S3Store

import s3
from geozarr import StoreError, UnsupportedError
from geozarr.stores import ObjectStoreAdapter, Retries

if TYPE_CHECKING:
    from collections.abc import Callable

    from fault_proxy import FaultProxy
    from geozarr.stores import Store
    from s3 import S3Server

pytestmark = pytest.mark.faults

DATA = bytes(range(256)) * 40
PASSING = ("429", "500", "503", "cut", "reset", "lost")
OPERATIONS: dict[str, tuple[Callable[[Store], Any], Any]] = {
    "get": (lambda store: store.get("k"), (DATA, len(DATA))),
    "range": (lambda store: store.get("k", first=100, length=50), (DATA[100:150], len(DATA))),
    "suffix": (lambda store: store.get("k", last=50), (DATA[-50:], len(DATA))),
    "put": (lambda store: store.put("new", DATA), True),
    "list": (lambda store: list(store.listed()), [("k", len(DATA))]),
    "children": (lambda store: store.children(), []),
    "delete": (lambda store: store.delete("other"), None),
}
NAMES = {"range": "get", "suffix": "get", "children": "list"}


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    name = s3_server.bucket()
    s3.opened(s3_server.endpoint, name).put("k", DATA)
    return name


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("name", OPERATIONS)
def test_b7_a_fault_that_passes_is_not_seen(proxy: FaultProxy, bucket: str, name: str, kind: str) -> None:
    act, expected = OPERATIONS[name]
    proxy.harm(kind)
    assert act(s3.opened(proxy.endpoint, bucket)) == expected
    assert [item.fault for item in proxy.requests] == [kind, ""]


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("name", OPERATIONS)
def test_b7_a_fault_that_stays_names_operation_key_and_attempts(
    proxy: FaultProxy, bucket: str, name: str, kind: str
) -> None:
    proxy.harm(kind, count=None)
    with pytest.raises(StoreError) as caught:
        OPERATIONS[name][0](s3.opened(proxy.endpoint, bucket, retries=s3.SHORT))
    key = {"put": "new", "delete": "other", "list": "", "children": ""}.get(name, "k")
    assert (caught.value.operation, caught.value.key, caught.value.attempts) == (NAMES.get(name, name), key, 3)
    assert len(proxy.requests) == 3
    assert caught.value.reason
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("kind", ["403", "501"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_b7_what_no_try_can_mend_ends_at_once(proxy: FaultProxy, bucket: str, name: str, kind: str) -> None:
    proxy.harm(kind, count=None)
    with pytest.raises(StoreError, match=kind) as caught:
        OPERATIONS[name][0](s3.opened(proxy.endpoint, bucket))
    assert (caught.value.operation, caught.value.attempts) == (NAMES.get(name, name), 1)
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_b7_a_bucket_that_is_not_there_is_said_at_once(proxy: FaultProxy, name: str) -> None:
    with pytest.raises(StoreError, match="bucket or container does not exist") as caught:
        OPERATIONS[name][0](s3.opened(proxy.endpoint, "no-such-bucket"))
    assert caught.value.attempts == 1
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("name", ["range", "suffix"])
def test_b7_a_range_that_is_short_is_asked_for_again(proxy: FaultProxy, bucket: str, name: str) -> None:
    """The answer's own length agrees with its body, but not with what was asked for."""
    act, expected = OPERATIONS[name]
    proxy.harm("short")
    assert act(s3.opened(proxy.endpoint, bucket)) == expected
    assert len(proxy.requests) == 2


@pytest.mark.parametrize("name", OPERATIONS)
def test_b7_a_stall_is_left_by_the_time_limit_and_tried_again(proxy: FaultProxy, bucket: str, name: str) -> None:
    act, expected = OPERATIONS[name]
    proxy.harm("stall")
    assert act(s3.opened(proxy.endpoint, bucket, timeout="500ms")) == expected


def test_b7_time_is_bounded_where_every_try_stalls(proxy: FaultProxy, bucket: str) -> None:
    """A try takes 0.2 s at least, and the sixth cannot begin within one second of the first."""
    proxy.harm("stall", count=None)
    retries = Retries(tries=1000, within=1.0, first=0.001, longest=0.001)
    with pytest.raises(StoreError) as caught:
        s3.opened(proxy.endpoint, bucket, retries=retries, timeout="200ms").get("k")
    assert 1 <= caught.value.attempts <= 5


def test_b7_a_list_goes_on_where_it_failed_and_gives_no_key_twice(proxy: FaultProxy, s3_server: S3Server) -> None:
    bucket = s3_server.bucket()
    store = s3.opened(s3_server.endpoint, bucket)
    keys = [f"a/{number:04d}" for number in range(1003)]
    for key in keys:
        store.put(key, b"")
    flaky = s3.opened(proxy.endpoint, bucket)
    fault = proxy.harm("cut", "list", at=1)
    assert [item.key for item in flaky.listed("a")] == keys
    assert fault.seen == 3, "two pages, and the second one again"


def test_b7_puts_that_meet_are_tried_again(proxy: FaultProxy, bucket: str) -> None:
    """A put that replaces must not take 409 for "there is one already": nothing would be written."""
    store = s3.opened(proxy.endpoint, bucket)
    proxy.harm("409")
    assert store.put("k", b"new")
    assert store.get("k") == (b"new", 3)
    proxy.harm("409")
    assert store.put("created", b"new", create=True)
    assert not store.put("created", b"newer", create=True)
    assert store.get("created") == (b"new", 3)


@pytest.mark.parametrize("kind", ["501", "plain"])
def test_a_store_without_puts_that_only_create(proxy: FaultProxy, bucket: str, kind: str) -> None:
    """One that says so is refused by the put, one that passes over the header by the lease (tests/pyramids)."""
    store = s3.opened(proxy.endpoint, bucket)
    proxy.harm(kind, "put", count=None)
    if kind == "501":
        with pytest.raises(UnsupportedError, match="If-None-Match"):
            store.put("k", b"", create=True)
        assert len(proxy.requests) == 1
    else:
        assert store.put("k", b"", create=True)


def test_a_store_that_is_told_not_to_use_them(s3_server: S3Server, bucket: str) -> None:
    store = S3Store(bucket, conditional_put="disabled", **s3.options(s3_server.endpoint))
    with pytest.raises(UnsupportedError, match="If-None-Match"):
        ObjectStoreAdapter(store).put("k", b"", create=True)


def test_plain_http_that_is_not_allowed_ends_at_once(s3_server: S3Server, bucket: str) -> None:
    options = s3.options(s3_server.endpoint) | {"client_options": {}}
    with pytest.raises(StoreError, match="AWS_ALLOW_HTTP") as caught:
        ObjectStoreAdapter(S3Store(bucket, **options)).get("k")
    assert caught.value.attempts == 1
