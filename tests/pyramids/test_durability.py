"""What a build promises when it dies, is disturbed or goes on (FAULTS.md section 3, B1 to B25)."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from affine import Affine

import builds
import conformance
import faults
import pyramids
from builds import FakeSource, scene
from faults import Death, FaultStore, VolatileStore, contents, copied, lasting, memory, stops_after, visible
from geozarr import BuildConflictError, PlanChangedError, SourceChangedError, TargetExistsError
from geozarr import store as store_module
from pyramids import journal, lease, status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geozarr import Window
    from geozarr.stores import Store


pytestmark = pytest.mark.usefixtures("at_every_stage")


@pytest.fixture(autouse=True)
def journals_are_merged_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MERGE", 3)


def source(seed: int = 1) -> FakeSource:
    """Some blocks, one of them empty."""
    values = scene("int16", (1, 300, 260), seed=seed)
    values[0, :128, 128:] = -9999
    given = FakeSource(values, nodata=-9999, block_shape=(64, 64))
    given.fingerprint = f"scene {seed}"
    return given


def plan_of(given: FakeSource, **choices: Any) -> pyramids.Plan:
    """Three levels, units of two levels, shards that reach across units."""
    plan = builds.plan_for(given, **({"tms": "native", "chunk": 32, "shard": 64, "levels": 4, "workers": 1} | choices))
    return dataclasses.replace(plan, block=64, cut=1)


def built(given: FakeSource, store: Store, **choices: Any) -> pyramids.Report:
    """Build, or go on."""
    how = {key: choices.pop(key) for key in ("resume", "overwrite", "listener") if key in choices}
    return pyramids.execute(plan_of(given, **choices), given, store, **how)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["before", "torn", "after"])
def test_b1_death_at_any_moment_of_a_first_build(how: str, record_property: Callable[[str, object], None]) -> None:
    """A reader sees nothing or all; what goes on gives the bytes of a build that nobody disturbed."""
    whole = memory()
    counted = FaultStore(whole)
    built(source(), counted)
    expected = lasting(whole)
    points = 0
    for at, operation in enumerate(counted.operations):
        if how == "torn" and (operation.name != "put" or operation.key == "zarr.json"):
            continue  # a put of the root is atomic wherever a reader may be
        store = memory()
        with pytest.raises(Death):
            built(source(), FaultStore(store, at=at, how=how))
        seen = visible(store)
        assert seen is None or seen == visible(whole), f"{how} {operation}"
        built(source(), store, resume=True)
        assert lasting(store) == expected, f"{how} {operation}"
        points += 1
    record_property("crash points", points)
    assert points > 50


@pytest.mark.slow
@pytest.mark.parametrize("how", ["before", "after"])
def test_b1_death_at_any_moment_of_a_rebuild(how: str, record_property: Callable[[str, object], None]) -> None:
    """A reader sees the former pyramid or the new one, never a mixture."""
    first = memory()
    built(source(), first)
    start = contents(first)
    whole = copied(start)
    counted = FaultStore(whole)
    built(source(2), counted, overwrite=True)
    expected = lasting(whole)
    former = visible(first)
    for at, operation in enumerate(counted.operations):
        store = copied(start)
        with pytest.raises(Death):
            built(source(2), FaultStore(store, at=at, how=how), overwrite=True)
        assert visible(store) in (former, visible(whole)), f"{how} {operation}"
        built(source(2), store, resume=True, overwrite=True)
        assert lasting(store) == expected, f"{how} {operation}"
    record_property("crash points", len(counted.operations))


@pytest.mark.slow
def test_b1_death_at_any_moment_of_going_back_to_a_former_build(
    record_property: Callable[[str, object], None],
) -> None:
    """Its levels are there already: they never look like somebody else's."""
    first = memory()
    for seed in (1, 2):
        built(source(seed), first, overwrite=True)
    start, former = contents(first), visible(first)
    whole = copied(start)
    counted = FaultStore(whole)
    built(source(1), counted, overwrite=True)
    new = visible(whole)
    for at, operation in enumerate(counted.operations):
        store = copied(start)
        with pytest.raises(Death):
            built(source(1), FaultStore(store, at=at), overwrite=True)
        assert visible(store) in (former, new), operation
        assert conformance.check(store).exit_status == 0, operation
    record_property("crash points", len(counted.operations))


def stopped(store: Store, *, after: int = 4, **choices: Any) -> int:
    """Stop a build after some units; return how many of them the journal has."""
    with pytest.raises(KeyboardInterrupt):
        built(source(), store, listener=stops_after(after), **choices)
    (folder,) = (name for name in store.children(".build") if name != "lease")
    return len(journal.Ledger.read(journal.segments(store, f".build/{folder}")))


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("damage", [_cut, _flip, lambda _: b"", None], ids=["cut", "flipped", "emptied", "lost"])
@pytest.mark.parametrize(
    "parts", [("/c/",), ("/handover/",), ("/c/", "/handover/")], ids=["objects", "quarters", "both"]
)
def test_b3_damage_in_a_stopped_build_is_mended(
    damage: Callable[[bytes], bytes] | None, parts: tuple[str, ...]
) -> None:
    whole = memory()
    built(source(), whole)
    store = memory()
    stopped(store)
    keys = sorted(key for key in contents(store) if any(part in key for part in parts))
    assert len(keys) >= 3
    for key in keys:
        found = store.get(key)
        assert found is not None
        if damage is None:
            store.delete(key)
        else:
            store.put(key, damage(found.data))
    report = built(source(), store, resume=True)
    assert lasting(store) == lasting(whole)
    if parts == ("/c/",):
        # All but those of the unit that was under way, which is done again without being asked.
        assert set() < set(report.mended) <= set(keys)


def test_b3_two_objects_in_each_others_place_are_mended() -> None:
    whole = memory()
    built(source(), whole)
    store = memory()
    stopped(store)
    first, second = sorted(key for key in contents(store) if key.startswith("0/v0/c/"))[:2]
    one, two = contents(store)[first], contents(store)[second]
    store.put(first, two)
    store.put(second, one)
    assert set(built(source(), store, resume=True).mended) == {first, second}
    assert lasting(store) == lasting(whole)


@pytest.mark.parametrize("damage", [_cut, _flip, None], ids=["cut", "flipped", "lost"])
def test_b3_what_the_last_unit_left_for_publication_is_made_again(damage: Callable[[bytes], bytes] | None) -> None:
    """The build has died when all was journalled and nothing published; then the sums of the whole are damaged."""
    whole = memory()
    listened: list[pyramids.Report] = []
    built(source(), whole, listener=listened.append)
    store = memory()
    stopped(store, after=len(listened))
    (key,) = (key for key in contents(store) if "/handover/" in key)
    if damage is None:
        store.delete(key)
    else:
        store.put(key, damage(contents(store)[key]))
    built(source(), store, resume=True)
    assert lasting(store) == lasting(whole)


@pytest.mark.parametrize("damage", [_cut, _flip, None], ids=["cut", "flipped", "lost"])
def test_b3_a_published_pyramid_is_mended(damage: Callable[[bytes], bytes] | None) -> None:
    """Every object of it, one after the other; the root document and the manifest are what tells."""
    store = memory()
    built(source(), store)
    expected = lasting(store)
    keys = [key for key in expected if not key.startswith(".build/") and key != "zarr.json"]
    for key in sorted(keys)[::4]:
        if damage is None:
            store.delete(key)
        else:
            store.put(key, damage(expected[key]))
        assert built(source(), store, resume=True).mended == [key]
        assert lasting(store) == expected


def test_b4_the_root_document_is_never_durable_before_the_data() -> None:
    """Power is lost at any moment: what was not synced is gone, and the root document was not there before the rest."""
    whole = memory()
    built(source(), whole)
    counted = VolatileStore()
    built(source(), counted)
    syncs = [at for at, item in enumerate(counted.operations) if item.name == "sync"]
    root = next(at for at, item in enumerate(counted.operations) if (item.name, item.key) == ("put", "zarr.json"))
    assert syncs[-2] < root < syncs[-1]
    assert not [item for item in counted.operations[syncs[-2] : root] if item.name == "put"]
    left = counted.after_power_loss()
    assert visible(left) == visible(whole)


def test_b5_the_second_builder_is_told_who_is_first() -> None:
    store = memory()

    def second(_: Window) -> None:
        given.before_read = None
        other = FaultStore(store)
        with pytest.raises(BuildConflictError) as caught:
            built(source(2), other, overwrite=True)
        assert "process" in caught.value.owner
        assert caught.value.since[:2] == "20"
        assert {item.name for item in other.operations} <= {"get", "list", "children"}, "nothing was written"

    given = source()
    given.before_read = second
    built(given, store)
    assert given.before_read is None
    assert conformance.check(store).exit_status == 0


def test_b5_a_put_whose_reply_was_lost_is_no_conflict() -> None:
    """The retry finds the lease that the first try has written."""
    inner = memory()

    class Lossy(FaultStore):
        def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
            written = super().put(key, data, create=create)
            return super().put(key, data, create=create) if create else written

    built(source(), Lossy(inner))
    assert conformance.check(inner).exit_status == 0


def test_b5_an_expired_lease_is_taken_over_and_its_owner_does_not_publish() -> None:
    store = memory()
    now = 1_000_000.0
    first = lease.Lease(store, clock=lambda: now)
    with first:
        with pytest.raises(BuildConflictError), lease.Lease(store, clock=lambda: now + lease.LASTS - 1):
            pass
        with lease.Lease(store, clock=lambda: now + lease.LASTS + 1) as second:
            second.check()
            with pytest.raises(BuildConflictError):
                first.check()
    with pytest.raises(BuildConflictError):
        first.check()


def test_b5_a_builder_that_has_lost_its_lease_does_not_publish() -> None:
    """It slept for longer than the lease lasts, and somebody else has begun meanwhile."""
    store = memory()
    other = lease.Lease(store, clock=lambda: time.time() + lease.LASTS + 1)
    once = threading.Lock()

    def asleep(_: Window) -> None:
        if once.acquire(blocking=False):  # several threads read
            other.__enter__()

    given = source()
    given.before_read = asleep
    with pytest.raises(BuildConflictError):
        built(given, store)
    assert visible(store) is None
    other.__exit__()
    given.before_read = None
    built(given, store, resume=True)
    assert conformance.check(store).exit_status == 0


def test_b5_a_lease_given_back_leaves_that_of_whoever_took_over_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look whether it is one's own and its deletion, after a sleep that was longer than it lasts."""
    store = memory()
    other = lease.Lease(store, clock=lambda: time.time() + lease.LASTS + 1)
    mine = lease.Lease(store)
    mine.__enter__()
    plain = lease._numbers

    def late(given: Store) -> list[int]:
        monkeypatch.setattr(lease, "_numbers", plain)
        other.__enter__()
        return plain(given)

    monkeypatch.setattr(lease, "_numbers", late)
    mine.__exit__()
    held = lease.holder(store)
    other.__exit__()
    assert held is not None
    assert held.write_id == other._terms.write_id
    assert lease.holder(store) is None


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"chunk": 64}, "chunk"),
    ({"shard": "none"}, "shard"),
    ({"levels": 3}, "levels"),
    ({"resampling": "max"}, "levels"),
    ({"tms": "WebMercatorQuad", "chunk": None, "levels": None, "shard": "none"}, "levels"),
]


@pytest.mark.parametrize(("change", "field"), CHANGES)
def test_b6_resume_with_another_parameter_names_it(change: dict[str, Any], field: str) -> None:
    store = memory()
    stopped(store)
    before = contents(store)
    with pytest.raises(PlanChangedError) as caught:
        built(source(), store, resume=True, **change)
    assert caught.value.field.startswith(field)
    assert caught.value.before != caught.value.now
    assert contents(store) == before


def test_b8_resume_with_a_source_that_changed_is_refused() -> None:
    store = memory()
    stopped(store)
    before = contents(store)
    given = source(2)
    given.fingerprint = "another"
    with pytest.raises(SourceChangedError) as caught:
        built(given, store, resume=True)
    assert caught.value.now == "another"
    assert contents(store) == before


def test_b24_progress_is_the_journals_count_and_resume_redoes_nothing() -> None:
    store = memory()
    seen: list[tuple[int, int]] = []
    given = source()

    def listener(report: pyramids.Report) -> None:
        (folder,) = (name for name in store.children(".build") if name != "lease")
        ledger = journal.Ledger.read(journal.segments(store, f".build/{folder}"))
        seen.append((report.computed, ledger.covered))
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(given, store, listener=listener)
    assert all(shown == counted for shown, counted in seen[:-1])
    done = seen[-1][0]
    assert done > 0
    first = {window for window, _ in given.reads}
    given.reads.clear()
    report = built(given, store, resume=True)
    again = {window for window, _ in given.reads} & first
    # One unit of 128 pixels, and what was read ahead, was under way when the build was stopped.
    assert len(again) <= 12
    assert report.computed == report.work
    given.reads.clear()
    assert built(given, store, resume=True).mended == []
    assert not given.reads


def test_b16_a_raster_without_data_leaves_a_manifest_that_says_so() -> None:
    store = memory()
    given = FakeSource(np.full((1, 300, 260), -9999, np.int16), nodata=-9999)
    built(given, store)
    assert not [key for key in contents(store) if key.startswith("0/v0/c/")]
    (key,) = (key for key in contents(store) if key.endswith("/manifest.json"))
    document = json.loads(contents(store)[key])
    assert document["arrays"]["0/v0"]["pieces"] == []
    assert conformance.check(store).exit_status == 0
    assert faults.contents(store)


def test_b24_the_status_is_the_journals() -> None:
    store = memory()
    stopped(store)
    (unfinished,) = status.status(store).builds
    (name,) = (name for name in store.children(".build") if name != "lease")
    ledger = journal.Ledger.read(journal.segments(store, f".build/{name}"))
    assert (unfinished.build, unfinished.state, unfinished.source) == (name, "unfinished", "<fake>")
    assert 0 < unfinished.covered == ledger.covered < unfinished.work == plan_of(source()).work
    assert unfinished.objects == ledger.objects > 0
    assert unfinished.seconds_left == pytest.approx((unfinished.work - unfinished.covered) / ledger.rate)
    built(source(), store, resume=True)
    built(source(2), store, overwrite=True)
    found = {item.build: item for item in status.status(store).builds}
    assert {item.state for item in found.values()} == {"published", "former"}
    assert found[name].state == "former"
    assert all(item.covered == item.work for item in found.values())
    assert status.status(store).builder is None


@pytest.mark.parametrize("block", [32, 128])
def test_b1_a_build_that_goes_on_with_other_blocks_gives_the_same_bytes(block: int) -> None:
    """Units of work of the journal are blocks of the plan that was begun, whatever fits the memory given now."""
    whole = memory()
    built(source(), whole)
    store = memory()
    stopped(store)
    given = source()
    now = dataclasses.replace(plan_of(given), block=block)
    pyramids.execute(now, given, store, resume=True)
    assert lasting(store) == lasting(whole)


def test_b6_a_build_that_goes_on_with_too_little_memory_for_its_blocks_is_refused() -> None:
    store = memory()
    stopped(store)
    before = contents(store)
    given = source()
    begun = plan_of(given)
    with pytest.raises(PlanChangedError) as caught:
        pyramids.execute(dataclasses.replace(begun, block=32, memory=begun.peak - 1), given, store, resume=True)
    assert (caught.value.field, caught.value.before, caught.value.now) == ("memory", begun.memory, begun.peak - 1)
    assert contents(store) == before


def test_b3_work_whose_plan_is_cut_off_is_done_again() -> None:
    """As after a loss of power: nobody knows in which blocks it was done."""
    whole = memory()
    built(source(), whole)
    store = memory()
    stopped(store)
    (key,) = (key for key in contents(store) if key.endswith("/plan.json"))
    store.put(key, _cut(contents(store)[key]))
    given = source()
    pyramids.execute(dataclasses.replace(plan_of(given), block=32), given, store, resume=True)
    expected, found = lasting(whole), lasting(store)
    assert {k: v for k, v in found.items() if k != key} == {k: v for k, v in expected.items() if k != key}


@pytest.mark.parametrize("how", ["resume", "overwrite"])
@pytest.mark.parametrize("stray", ["note.txt", "5/v0/c/0/0", "0x/c/0"])
def test_b23_what_lies_beside_an_unfinished_build_is_not_deleted(how: str, stray: str) -> None:
    """Somebody has put it there since, or its plan is lost."""
    store = memory()
    stopped(store)
    store.put(stray, b"precious")
    before = contents(store)
    with pytest.raises(TargetExistsError) as caught:
        built(source(2), store, **{how: True, "overwrite": True})
    assert stray in str(caught.value)
    assert {key: data for key, data in contents(store).items() if "/lease/" not in key} == before
    (plan,) = (key for key in before if key.endswith("/plan.json"))
    store.delete(stray)
    store.delete(plan)
    with pytest.raises(TargetExistsError, match="another origin"):
        built(source(), store, resume=True)


def test_b23_a_source_in_the_folder_of_an_unfinished_build_is_not_deleted(tmp_path: Path) -> None:
    store = store_module.open_store(tmp_path)
    stopped(store)
    scene_file = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "int16", "crs": "EPSG:32632"}
    with rasterio.open(scene_file, "w", transform=Affine(30, 0, 5e5, 0, -30, 5e6), **profile) as out:
        out.write(np.ones((1, 64, 64), np.int16))
    with pytest.raises(TargetExistsError, match="the source of this build"):
        pyramids.build(scene_file, tmp_path, tms="native", overwrite=True)
    assert scene_file.exists()
