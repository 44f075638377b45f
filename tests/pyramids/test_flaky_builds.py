"""Builds to a store that is far away and fails now and then (FAULTS.md section 3, B5 and B7)."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import builds
import pyramids
import s3
from builds import FakeSource, scene
from faults import contents, lasting, memory, stops_after
from geozarr import BuildConflictError, StoreError, UnsupportedError
from pyramids import lease

if TYPE_CHECKING:
    from fault_proxy import FaultProxy
    from geozarr.stores import Store
    from s3 import S3Server

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("at_every_stage")]

PASSING = ("429", "500", "503", "cut", "stall", "reset", "lost")
# What a build asks of a store, by operation and key.
WHERE = {
    "chunk": ("put", "*/v0/c/*"),
    "document": ("put", "*/v0/zarr.json"),
    "journal": ("put", "*/journal/*"),
    "handover": ("put", "*/handover/*"),
    "plan": ("put", "*/plan.json"),
    "lease": ("put", "*/lease/*"),
    "manifest": ("put", "*/manifest.json"),
    "root": ("put", "p.zarr/zarr.json"),
    "get": ("get", "*"),
    "list": ("list", "*"),
    "delete": ("post", "*"),
}


def source() -> FakeSource:
    """Some blocks, one of them empty."""
    values = scene("int16", (1, 300, 260))
    values[0, :128, 128:] = -9999
    return FakeSource(values, nodata=-9999, block_shape=(64, 64))


def built(store: Store, **how: Any) -> pyramids.Report:
    """Build three levels in units of two levels, with shards that reach across units."""
    given = source()
    plan = builds.plan_for(given, tms="native", chunk=32, shard=64, levels=4, workers=2)
    return pyramids.execute(dataclasses.replace(plan, block=64, cut=1), given, store, **how)


@pytest.fixture
def expected() -> dict[str, bytes]:
    """What a build into memory leaves."""
    store = memory()
    built(store)
    return lasting(store)


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.bucket()


def stopped(store: Store, *, after: int = 5) -> None:
    """Stop a build after some units."""
    with pytest.raises(KeyboardInterrupt):
        built(store, listener=stops_after(after))


@pytest.mark.parametrize("kind", PASSING)
def test_b7_each_fault_once_leaves_the_bytes_of_a_build_into_memory(
    proxy: FaultProxy, s3_server: S3Server, bucket: str, expected: dict[str, bytes], kind: str
) -> None:
    """One fault for each thing that a build asks for, all in one build."""
    faults = [proxy.harm(kind, *where) for where in WHERE.values()]
    built(s3.opened(proxy.endpoint, bucket, timeout="500ms"))
    assert all(fault.seen > 1 for fault in faults), "each was hit, and asked for again"
    assert lasting(s3.opened(s3_server.endpoint, bucket)) == expected


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        *((kind, "chunk") for kind in (*PASSING, "403")),
        *((kind, where) for kind in ("503", "403") for where in WHERE if where not in ("chunk", "delete")),
    ],
)
def test_b7_each_fault_for_ever_names_what_failed_and_publishes_nothing(
    proxy: FaultProxy, s3_server: S3Server, bucket: str, expected: dict[str, bytes], kind: str, where: str
) -> None:
    operation, key = WHERE[where]
    proxy.harm(kind, operation, key, count=None)
    # What is refused is answered, however busy the machine; patience keeps that apart from what is asked again.
    timeout = "20s" if kind == "403" else "500ms"
    store = s3.opened(proxy.endpoint, bucket, retries=s3.SHORT, timeout=timeout)
    with pytest.raises(StoreError) as caught:
        built(store)
    error = caught.value
    asked = [item for item in proxy.requests if item.fault]
    assert error.operation == operation
    assert f"p.zarr/{error.key}" in {item.key.rstrip("/") for item in asked} | {"p.zarr/"}
    assert error.attempts == (1 if kind == "403" else 3)
    assert error.reason
    if kind == "403":
        assert len({item.key for item in asked}) == len(asked), "nothing was asked twice"
    well = s3.opened(s3_server.endpoint, bucket)
    assert (well.get("zarr.json") is None) or (kind, where) == ("lost", "root")
    proxy.heal()
    built(store, resume=True)
    assert lasting(well) == expected


@pytest.mark.parametrize("kind", ["503", "403"])
def test_b7_what_cannot_be_deleted_in_the_end_is_an_error_after_publication(
    proxy: FaultProxy, s3_server: S3Server, bucket: str, expected: dict[str, bytes], kind: str
) -> None:
    proxy.harm(kind, *WHERE["delete"], count=None)
    with pytest.raises(StoreError) as caught:
        built(s3.opened(proxy.endpoint, bucket, retries=s3.SHORT))
    assert caught.value.operation == "delete"
    well = s3.opened(s3_server.endpoint, bucket)
    assert lasting(well) == expected


@pytest.mark.parametrize("damage", ["404", "flip", "short"])
@pytest.mark.parametrize("where", ["chunk", "handover", "journal"])
def test_b7_what_reads_back_damaged_is_done_again(
    proxy: FaultProxy, s3_server: S3Server, bucket: str, expected: dict[str, bytes], damage: str, where: str
) -> None:
    """A stopped build goes on, and reads what it has stored: lost, flipped or cut with a length that agrees."""
    store = s3.opened(proxy.endpoint, bucket)
    stopped(store)
    proxy.heal()
    fault = proxy.harm(damage, "get", WHERE[where][1])
    report = built(store, resume=True)
    assert fault.seen >= 1
    assert lasting(s3.opened(s3_server.endpoint, bucket)) == expected
    if where == "chunk":
        assert report.mended == [key for item in proxy.requests if item.fault for key in [item.key[len("p.zarr/") :]]]


@pytest.mark.parametrize("damage", ["flip", "short"])
@pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "published"])
def test_b7_what_was_damaged_on_its_way_up_is_found_by_its_checksum(
    proxy: FaultProxy, s3_server: S3Server, bucket: str, expected: dict[str, bytes], damage: str, is_stopped: bool
) -> None:
    store = s3.opened(proxy.endpoint, bucket)
    proxy.harm(damage, "put", "*/v0/c/*")
    if is_stopped:
        stopped(store)
    else:
        built(store)
    (harmed,) = (item.key[len("p.zarr/") :] for item in proxy.requests if item.fault)
    assert built(store, resume=True).mended == [harmed]
    assert lasting(s3.opened(s3_server.endpoint, bucket)) == expected


def test_b7_a_bucket_that_is_not_there_ends_a_build_at_once(proxy: FaultProxy) -> None:
    with pytest.raises(StoreError, match="bucket or container does not exist") as caught:
        built(s3.opened(proxy.endpoint, "no-such-bucket"))
    assert caught.value.attempts == 1
    assert len(proxy.requests) == 1


def test_b5_the_lease_whose_reply_was_lost_is_ones_own(
    proxy: FaultProxy, s3_server: S3Server, bucket: str, expected: dict[str, bytes]
) -> None:
    fault = proxy.harm("lost", "put", "*/lease/*")
    built(s3.opened(proxy.endpoint, bucket))
    assert fault.seen >= 2
    assert lasting(s3.opened(s3_server.endpoint, bucket)) == expected


@pytest.mark.parametrize("kind", ["501", "plain"])
def test_b5_a_store_that_cannot_keep_two_builders_apart_is_refused(
    proxy: FaultProxy, s3_server: S3Server, bucket: str, kind: str
) -> None:
    proxy.harm(kind, "put", "*/lease/*", count=None)
    with pytest.raises(UnsupportedError, match="If-None-Match"):
        built(s3.opened(proxy.endpoint, bucket))
    assert contents(s3.opened(s3_server.endpoint, bucket)) == {}


_BUILDER = """
import json, sys, threading
sys.path[:0] = json.loads(sys.argv[1])
import s3
from pyramids import lease
store = s3.opened(*sys.argv[2:4])
print("ready", flush=True)
sys.stdin.readline()
try:
    with lease.Lease(store):
        print("won", flush=True)
        sys.stdin.readline()
except lease.BuildConflictError as error:
    print(f"lost to {error.owner}", flush=True)
"""


def test_b5_of_two_processes_exactly_one_gets_the_target(s3_server: S3Server, bucket: str) -> None:
    """They begin at the same word, so both may find the target free: then the put that only creates decides."""
    folders = json.dumps([str(Path(__file__).parents[1]), str(Path(pyramids.__file__).parents[1])])
    command = [sys.executable, "-W", "ignore", "-c", _BUILDER, folders, s3_server.endpoint, bucket]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        for process in (one, two):
            assert process.stdout.readline() == "ready\n"
        for process in (one, two):
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.stdout.readline().strip() for process in (one, two)]
        for process in (one, two):
            process.stdin.close()
    assert sorted(line.split()[0] for line in said) == ["lost", "won"]
    assert f"process {(one, two)[said.index('won')].pid}" in next(line for line in said if line != "won")


def test_b5_a_second_builder_on_a_remote_target_writes_nothing(
    proxy: FaultProxy, s3_server: S3Server, bucket: str
) -> None:
    with lease.Lease(s3.opened(s3_server.endpoint, bucket)):
        with pytest.raises(BuildConflictError):
            built(s3.opened(proxy.endpoint, bucket))
        assert {item.operation for item in proxy.requests} <= {"get", "list"}
