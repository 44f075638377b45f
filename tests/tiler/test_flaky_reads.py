"""A pyramid in a store that is far away and lies now and then (FAULTS.md section 3, B7; section 5, T19)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import pyramids
import s3
from builds import FakeSource, scene
from geozarr import ChunkReadError, StoreError, Window
from tiler.chunks import chunk_cache
from tiler.pyramid import open_pyramid
from tiler.source import PyramidSource

if TYPE_CHECKING:
    from fault_proxy import FaultProxy
    from geozarr.stores import Retries
    from s3 import S3Server
    from tiler.block import Block

pytestmark = pytest.mark.faults

VALUES = scene("int16", (1, 512, 512))


@pytest.fixture(params=["none", 128], ids=["chunks", "shards"])
def bucket(request: pytest.FixtureRequest, s3_server: S3Server) -> str:
    """A pyramid of chunks of 64 pixels."""
    name = s3_server.bucket()
    store = s3.opened(s3_server.endpoint, name)
    pyramids.build(FakeSource(VALUES), store, tms="native", chunk=64, shard=request.param, levels=2)
    return name


def read(proxy: FaultProxy, bucket: str, *, retries: Retries = s3.PATIENT) -> Block:
    """Read one chunk of the finest level, opened while all is well."""
    store = s3.opened(proxy.endpoint, bucket, retries=retries, timeout="500ms")
    faults, proxy.faults = proxy.faults, []
    source = PyramidSource(store, open_pyramid(store), cache=chunk_cache(0))
    proxy.faults = faults
    return source.read_window(0, Window(64, 64, 64, 64), source.pyramid.bands(()))


@pytest.mark.parametrize("kind", ["429", "500", "503", "cut", "stall", "reset", "lost"])
def test_b7_a_fault_that_passes_is_not_seen(proxy: FaultProxy, bucket: str, kind: str) -> None:
    fault = proxy.harm(kind, "get", "*/0/v0/c/*")
    assert np.array_equal(read(proxy, bucket).values[0], VALUES[0, 64:128, 64:128])
    assert fault.seen > 1


@pytest.mark.parametrize("kind", ["404", "flip", "short"])
def test_t19_a_chunk_that_is_lost_or_damaged_is_no_hole(proxy: FaultProxy, bucket: str, kind: str) -> None:
    fault = proxy.harm(kind, "get", "*/0/v0/c/*", count=None)
    with pytest.raises((ChunkReadError, StoreError)) as caught:
        read(proxy, bucket, retries=s3.SHORT)
    # A range that is short is seen at once and asked for again, which makes it the store's failure.
    is_short_range = fault.seen > 1
    assert isinstance(caught.value, StoreError if is_short_range else ChunkReadError)
    assert is_short_range <= (kind == "short")


@pytest.mark.parametrize("kind", ["503", "403", "reset"])
def test_b7_a_fault_that_stays_is_named(proxy: FaultProxy, bucket: str, kind: str) -> None:
    proxy.harm(kind, "get", "*/0/v0/c/*", count=None)
    with pytest.raises(StoreError) as caught:
        read(proxy, bucket, retries=s3.SHORT)
    assert (caught.value.operation, caught.value.attempts) == ("get", 1 if kind == "403" else 3)
    assert caught.value.key.startswith("0/v0/c/")
