"""The three root documents of Zarr v2 show a whole pyramid to every kind of reader, whenever a build dies (B1)."""

from __future__ import annotations

import dataclasses
import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
import zarr.storage
from obstore.store import MemoryStore

import builds
import conformance
import pyramids
from builds import FakeSource, scene
from faults import Death, FaultStore, VolatileStore, contents, copied, lasting
from geozarr import MetadataError, TargetExistsError, manifest
from geozarr import store as store_module
from pyramids import roots
from pyramids.clean import clean
from pyramids.pack import pack
from pyramids.status import status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from geozarr.stores import Store

pytestmark = pytest.mark.usefixtures("at_every_stage")
Seen = tuple[bytes, ...] | None  # cells of all levels, finest first; None: no pyramid
# What a build replaces, and what it is: versions of Zarr.
KINDS = {"first": (None, 2), "rebuild": (2, 2), "v3 to v2": (3, 2), "v2 to v3": (2, 3)}


def built(store: Store, version: int, *, seed: int = 1, resume: bool = False) -> pyramids.Report:
    """Build a small scene of a few units, in place of what is there."""
    values = scene("int16", (1, 60, 60), seed=seed)
    values[0, :32, 32:] = -9999
    given = FakeSource(values, nodata=-9999, block_shape=(32, 32))
    given.fingerprint = f"scene {seed}"
    plan = builds.plan_for(given, tms="native", chunk=32, levels=2, workers=1, zarr_format=version)
    plan = dataclasses.replace(plan, block=32, cut=0)
    return pyramids.execute(plan, given, store, overwrite=True, resume=resume)


def with_zarr(found: dict[str, bytes], **how: Any) -> Seen:
    """What zarr-python reads of the levels that the root names."""
    memory = MemoryStore()
    for key, data in found.items():
        memory.put(key, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two roots, and of `.build`
        try:
            root = zarr.open_group(zarr.storage.ObjectStore(memory, read_only=True), mode="r", **how)
        except FileNotFoundError:
            return None
        layout = root.attrs["multiscales"]["layout"]
        return tuple(np.asarray(root[f"{item['asset']}/v0"][...]).tobytes() for item in layout)


def with_metadata(found: dict[str, bytes]) -> Seen:
    """What is read by `.zmetadata` alone, as GDAL and zarr-python 2 do; they look at the rest only where it is lacking.

    zarr-python 3 can be made to: by giving it the root that `.zmetadata` has.
    """
    if ".zmetadata" not in found:
        return with_zarr(found, zarr_format=2, use_consolidated=False)
    entries = json.loads(found[".zmetadata"])["metadata"]
    chunks = {key: data for key, data in found.items() if not key.rpartition("/")[2].startswith(".z")}
    chunks.pop("zarr.json", None)
    documents = {key: json.dumps(entry).encode() for key, entry in entries.items()}
    return with_zarr(chunks | documents, zarr_format=2, use_consolidated=False)


READERS: dict[str, Callable[[dict[str, bytes]], Seen]] = {
    "of .zmetadata": with_metadata,
    "of .zattrs and .zmetadata": lambda found: with_zarr(found, zarr_format=2),
    "of .zgroup and .zattrs": lambda found: with_zarr(found, zarr_format=2, use_consolidated=False),
    "of either version": with_zarr,
}


def seen(store: Store) -> dict[str, Seen]:
    found = contents(store)
    return {name: read(found) for name, read in READERS.items()}


def store_of(version: int | None) -> Store:
    store = store_module.open_store(MemoryStore())
    if version is not None:
        built(store, version)
    return store


def deaths(before: int | None, version: int) -> Iterator[tuple[str, Store]]:
    """A store for each operation of a publication, at which the build has died; `test_crash_points.py` has all."""
    counted = FaultStore(store_of(before))
    built(counted, version, seed=2)
    first = next(at for at, item in enumerate(counted.operations) if item.key.endswith("/published.json"))
    for at, operation in enumerate(counted.operations):
        if at < first:
            continue
        store = store_of(before)
        with pytest.raises(Death):
            built(FaultStore(store, at=at), version, seed=2)
        yield f"{at} {operation}", store


def expected(before: int | None, version: int) -> tuple[dict[str, set[Seen]], Store]:
    """What each reader may see, and the store as it is at last."""
    former, new = store_of(before), store_of(before)
    built(new, version, seed=2)
    return {name: {seen(former)[name], seen(new)[name]} for name in READERS}, new


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_sees_a_whole_pyramid_at_every_death(kind: str) -> None:
    allowed, final = expected(*KINDS[kind])
    assert all(len(states) == 2 for states in allowed.values()), "the build changes something for each reader"
    for place, store in deaths(*KINDS[kind]):
        for name, pyramid in seen(store).items():
            assert pyramid in allowed[name], (place, name)
        built(store, KINDS[kind][1], seed=2, resume=True)
        assert lasting(store) == lasting(final), place
        assert seen(store) == seen(final), place


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_committed_is_taken_back_before_it_is_deleted(kind: str) -> None:
    before, after = seen(store_of(KINDS[kind][0])), seen(expected(*KINDS[kind])[1])
    states = set()
    for place, store in deaths(*KINDS[kind]):
        clean(store, grace=0, unfinished=True)
        found = seen(store)
        assert found in (before, after), place
        states.add(found == after)
        found = conformance.check(store, depth="objects") if any(found.values()) else None
        assert found is None or found.findings == (), (place, found.to_text())
    assert False in states, "before the commit the former pyramid is left, or nothing"
    assert True in states, "after it the new one"


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
def test_a_build_that_begins_anew_is_not_seen_half_done(kind: str) -> None:
    """The second run writes over what the first has put, which the root documents of v2 may name already."""
    allowed, final = expected(*KINDS[kind])
    (name,) = (build.build for build in status(final).builds if build.state == "published")
    for place, store in deaths(*KINDS[kind]):
        if any(build.build == name and build.state == "published" for build in status(store).builds):
            continue  # it would be mended
        operations = FaultStore(copied(contents(store)))
        built(operations, KINDS[kind][1], seed=2)
        chunk = next(number for number, item in enumerate(operations.operations) if is_chunk(item.key))
        with pytest.raises(Death):
            built(FaultStore(store, at=chunk + 1), KINDS[kind][1], seed=2)
        for reader, pyramid in seen(store).items():
            assert pyramid in allowed[reader], (place, reader)


def is_chunk(key: str) -> bool:
    return "/v0/" in key and not key.startswith(".build") and key.rpartition("/")[2][0].isdigit()


@pytest.mark.faults
def test_what_is_packed_beside_a_build_that_died_is_whole(tmp_path: Path) -> None:
    for number, (place, store) in enumerate(deaths(2, 2)):
        pack(store, tmp_path / f"{number}.zip")
        report = conformance.check(tmp_path / f"{number}.zip", depth="objects")
        assert report.findings == (), (place, report.to_text())


@pytest.mark.faults
def test_another_build_takes_the_place_of_one_that_died_at_its_commit() -> None:
    for place, store in deaths(2, 2):
        built(store, 2, seed=3)
        alone = store_of(2)
        built(alone, 2, seed=3)
        assert seen(store) == seen(alone), place
        names = {name for name in contents(store) if "/" not in name}
        assert names == {".zgroup", ".zattrs", ".zmetadata"}
        assert contents(store)[".zmetadata"] == contents(alone)[".zmetadata"], "of no other build"


class Unsynced(VolatileStore):
    """Memory that knows what a loss of power may leave: what was synced, and any part of what was not."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[tuple[str, bytes | None]] = []
        self.left: list[dict[str, bytes]] = []

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        done = super().put(key, data, create=create)
        self.pending.append((key, data))
        return done

    def delete(self, key: str) -> None:
        super().delete(key)
        self.pending.append((key, None))

    def sync(self) -> None:
        durable = dict(self._durable)
        roots_changed = [item for item in self.pending if "/" not in item[0]]
        others = [item for item in self.pending if "/" in item[0]] if not roots_changed else []
        assert len(roots_changed) <= 4
        for mask in range(2 ** len(roots_changed)):
            chosen = [item for at, item in enumerate(roots_changed) if mask >> at & 1]
            self.left.append(applied(durable, [*others, *chosen]))
        super().sync()
        self.pending.clear()


def applied(objects: dict[str, bytes], changes: list[tuple[str, bytes | None]]) -> dict[str, bytes]:
    found = objects | {key: data for key, data in changes if data is not None}
    return {key: data for key, data in found.items() if (key, None) not in changes}


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_of_power_leaves_every_reader_a_whole_pyramid(kind: str) -> None:
    allowed, _ = expected(*KINDS[kind])
    store = Unsynced()
    if KINDS[kind][0] is not None:
        built(store, KINDS[kind][0])
        store.left.clear()
    built(store, KINDS[kind][1], seed=2)
    store.sync()
    assert len(store.left) >= 4
    for number, found in enumerate(store.left):
        for name, read in READERS.items():
            assert read(found) in allowed[name], (number, name)


def test_nothing_of_another_origin_is_taken_back() -> None:
    for name in (".zgroup", ".zattrs"):
        store = store_of(None)
        store.put(name, b'{"zarr_format": 2}')
        store.put(".build/x/plan.json", b"{}")
        assert roots.settle(store) == []
        with pytest.raises(TargetExistsError, match="another origin"):
            built(store, 2)
        assert contents(store)[name] == b'{"zarr_format": 2}'
    store = store_of(None)
    foreign = {".zgroup": {"zarr_format": 2}, ".zattrs": {"title": "old"}}
    store.put(".zmetadata", json.dumps({"zarr_consolidated_format": 1, "metadata": foreign}).encode())
    store.put(".zattrs", b'{"title": "new"}')
    assert roots.settle(store) == []


@pytest.mark.parametrize(
    "metadata", [b"{", b"[]", b"{}", b'{"metadata": []}', b'{"metadata": {".zgroup": {}, ".zattrs": 1}}']
)
def test_a_malformed_root_is_refused_and_kept(metadata: bytes) -> None:
    store = store_of(2)
    store.put(".zmetadata", metadata)
    before = contents(store)
    for act in (lambda: roots.settle(store), lambda: roots.root_documents(store), lambda: built(store, 2, seed=2)):
        with pytest.raises(MetadataError):
            act()
    assert {key: data for key, data in contents(store).items() if "/lease/" not in key} == before


@pytest.mark.parametrize("version", [2, 3])
def test_root_documents_are_what_is_stored(version: int) -> None:
    store = store_of(version)
    found = roots.root_documents(store)
    assert found == {key: data for key, data in contents(store).items() if "/" not in key}
    assert manifest.reference_of(roots.attributes_of(found)) is not None
    assert roots.root_documents(store_of(None)) == {}
    assert roots.attributes_of({}) == {}
    stored = roots.node_documents(store)
    assert {key: json.loads(contents(store)[key]) for key in stored} == stored
