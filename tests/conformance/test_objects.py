"""Depth `objects`: what the manifest of a builder says is held against every object, and against what else is there."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

import builds
import pyramids
from conformance import Severity, check, rules_objects
from faults import contents
from geozarr import manifest
from geozarr import store as store_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from geozarr.stores import Store

Objects = dict[str, bytes]


@pytest.fixture(scope="module")
def good() -> Objects:
    """A pyramid with shards, holes and two variables, and the lease and stamp of its builder."""
    values = builds.scene("int16", (2, 300, 260))
    values[0, :128, 128:] = -9999
    target = store_module.open_store(MemoryStore())
    pyramids.build(builds.FakeSource(values, nodata=-9999), target, tms="native", chunk=32, shard=64)
    return contents(target)


def stored(objects: Objects) -> Store:
    target = store_module.open_store(MemoryStore())
    for key, data in objects.items():
        target.put(key, data)
    return target


def findings(objects: Objects, **rest: Any) -> list[tuple[str, str]]:
    report = check(stored(objects), depth="objects", **rest)
    assert report.exit_status == bool(report.findings), report.to_text()
    return [(finding.rule, finding.node) for finding in report.findings]


def named(good: Objects) -> list[str]:
    """All that can be reached from the root document: what readers see, the manifest and its pieces."""
    return [key for key in good if not key.startswith(".build/") or "/manifest" in key]


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "flipped first": lambda data: flip(data, 0),
    "flipped in the middle": lambda data: flip(data, len(data) // 2),
    "flipped last": lambda data: flip(data, len(data) - 1),
    "cut": lambda data: data[: len(data) // 2],
    "emptied": lambda _: b"",
    "longer": lambda data: data + b"\0",
    "lost": lambda _: None,
}


def test_c2_a_good_pyramid_has_no_finding(good: Objects) -> None:
    assert findings(good) == []
    report = check(stored(good), depth="objects")
    assert {"GP-01", "GP-02", "GP-03", "GP-04"} <= set(report.rules)
    assert "GP-03" not in check(stored(good)).rules


@pytest.mark.parametrize("damage", DAMAGE)
def test_c2_each_damaged_object_makes_one_finding_at_its_place(
    good: Objects, damage: str, record_property: Callable[[str, object], None]
) -> None:
    """Documents may be found out by what they say, which names the node; all else is named by its key.

    Each kind of damage is done to every third object, beginning with another one.
    """
    seen = 0
    for key in named(good)[list(DAMAGE).index(damage) % 3 :: 3]:
        if key == "zarr.json":
            continue  # nothing above it knows its bytes: the rules on documents judge it
        changed = DAMAGE[damage](good[key])
        broken = {name: data for name, data in good.items() if name != key}
        if changed is not None:
            broken[key] = changed
        found = findings(broken)
        assert len(found) == 1, (key, check(stored(broken), depth="objects").to_text())
        rule, node = found[0]
        if key.endswith("/zarr.json"):
            assert node in (f"/{key}", f"/{key.removesuffix('/zarr.json')}")
            assert rule.startswith(("ZARR", "GP"))
        else:
            expected = "GP-01" if key.endswith("manifest.json") else "GP-02" if "/manifest/" in key else "GP-03"
            assert (rule, node) == (expected, f"/{key}")
        seen += 1
    record_property("objects", seen)
    assert seen > 40


def test_c2_swapped_objects_are_two_findings(good: Objects) -> None:
    chunks = [key for key in good if "/c/" in key and key.split("/")[1] in ("v0", "v1")]
    for one, other in itertools.pairwise(chunks):
        if good[one] == good[other]:
            continue
        broken = {**good, one: good[other], other: good[one]}
        assert sorted(findings(broken)) == [("GP-03", f"/{key}") for key in sorted((one, other))]


def test_c2_damage_in_several_places_is_named_one_by_one(good: Objects) -> None:
    chunks = [key for key in good if "/c/" in key and key.split("/")[1] in ("v0", "v1")][::3]
    broken = {key: data for key, data in good.items() if key not in chunks}
    assert sorted(findings(broken)) == [("GP-03", f"/{key}") for key in sorted(chunks)]


@pytest.mark.parametrize(
    ("key", "severity"),
    [
        ("0/v0/c/0/3", Severity.ERROR),  # all fill
        ("0/v0/c/0/99", Severity.ERROR),  # beyond the array
        ("0/v0/c/00/1", Severity.ERROR),  # another spelling
        ("0/v0/c/x", Severity.ERROR),
        ("0/v0/note.txt", Severity.WARNING),
        ("stray/c/0/0", Severity.WARNING),
        ("README.md", Severity.WARNING),
    ],
)
def test_c2_an_object_that_the_manifest_has_not_is_named(good: Objects, key: str, severity: Severity) -> None:
    assert key not in good
    report = check(stored({**good, key: b"12345"}), depth="objects")
    assert [(found.rule, found.node, found.severity) for found in report.findings] == [("GP-04", f"/{key}", severity)]


def test_a_stray_piece_of_the_manifest_is_named(good: Objects) -> None:
    folder = next(key for key in good if key.endswith("manifest.json")).removesuffix(".json")
    for name in ("0/v0/7", "0/v9/0", "x"):
        key = f"{folder}/{name}"
        assert findings({**good, key: b"1"}) == [("GP-04", f"/{key}")]


def test_what_builders_keep_and_former_pyramids_are_no_findings(good: Objects) -> None:
    """A pyramid that replaced another, and a rebuild that has only begun."""
    target = stored(good)
    source = builds.FakeSource(builds.scene("int16", (2, 300, 260), seed=2), nodata=-9999, fingerprint="another")
    pyramids.build(source, target, tms="native", chunk=32, shard=64, overwrite=True)
    assert findings(contents(target)) == []
    third = builds.FakeSource(builds.scene("int16", (2, 300, 260), seed=3), nodata=-9999, fingerprint="a third")

    def stop(_: pyramids.Report) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pyramids.build(third, target, tms="native", chunk=32, shard=64, overwrite=True, listener=stop)
    assert findings(contents(target)) == []


def test_a_pyramid_without_a_manifest_has_no_findings_of_it(good: Objects) -> None:
    root = json.loads(good["zarr.json"])
    del root["attributes"][manifest.ATTRIBUTE]
    assert findings({**good, "zarr.json": json.dumps(root).encode()}) == []


@pytest.mark.parametrize("stated", [5, {"build": "x"}, {"build": "x", "manifest": {"key": "../x", "length": 1}}])
def test_a_root_that_names_no_manifest_is_one_finding(good: Objects, stated: Any) -> None:
    root = json.loads(good["zarr.json"])
    root["attributes"][manifest.ATTRIBUTE] = stated
    (found,) = check(stored({**good, "zarr.json": json.dumps(root).encode()}), depth="objects").findings
    assert (found.rule, found.node, found.pointer) == ("GP-01", "/", f"/attributes/{manifest.ATTRIBUTE}")


def hostile(good: Objects, document: Any) -> Objects:
    """A pyramid whose root vouches for whatever manifest."""
    root = json.loads(good["zarr.json"])
    key = root["attributes"][manifest.ATTRIBUTE]["manifest"]["key"]
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    length, crc32 = manifest.checksum(data)
    root["attributes"][manifest.ATTRIBUTE]["manifest"] |= {"length": length, "crc32": crc32}
    return {**good, key: data, "zarr.json": json.dumps(root).encode()}


ARRAYS = {"0/v0": {"grid": [2**40, 2**40], "pieces": []}}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        {"format": 99},
        {"format": 2},
        {"format": 2, "arrays": [], "objects": []},
        {"format": 2, "arrays": {"0/v0": {"grid": [0], "pieces": []}}, "objects": []},
        {"format": 2, "arrays": {"0/v0": {"grid": ["x"], "pieces": []}}, "objects": []},
        {"format": 2, "arrays": {"../x": {"grid": [1, 1], "pieces": [[0, 1, 1]]}}, "objects": []},
        {"format": 2, "arrays": {"0/v0": {"grid": [1, 1], "pieces": [[0, "x", 1]]}}, "objects": []},
        {"format": 2, "arrays": {"0/v0": {"grid": [1, 1], "pieces": [[-1, 1, 1]]}}, "objects": []},
        {"format": 2, "arrays": {}, "objects": [["/etc/passwd", 1, 1]]},
        {"format": 2, "arrays": {}, "objects": [["a/../../b", 1, 1]]},
        {"format": 2, "arrays": {}, "objects": [["a", 1.5, 1]]},
        {"format": 2, "arrays": {}, "objects": [["a", True, 1]]},
        {"format": 2, "arrays": {}, "objects": [[5, 1, 1]]},
    ],
)
def test_c1_a_manifest_of_whatever_content_is_one_finding(good: Objects, document: Any) -> None:
    found = findings(hostile(good, document))
    assert found == [("GP-01", f"/{next(key for key in good if key.endswith('manifest.json'))}")]


def test_c1_a_manifest_of_absurd_sizes_costs_nothing(good: Objects) -> None:
    """2**80 objects in an array, a piece far beyond the last, an object of 2**62 bytes."""
    arrays = {
        "0/v0": {"grid": [2**40, 2**40], "pieces": []},
        "0/v1": {"grid": [2, 2], "pieces": [[2**60, 8, 1]]},
    }
    documents = [[key, 2**62, 1] for key in good if key.endswith("/x/c/0")]
    found = findings(hostile(good, {"format": 2, "arrays": arrays, "objects": documents}))
    assert {rule for rule, _ in found} == {"GP-02", "GP-03", "GP-04"}
    assert [node for rule, node in found if rule == "GP-03"] == [f"/{key}" for key, *_ in documents]


def test_c1_a_manifest_beyond_the_limit_is_not_read(good: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_objects, "_MANIFEST", 100)
    ((rule, _),) = findings(good)
    assert rule == "GP-01"


@pytest.mark.parametrize("part", [3, 100, 4096])
def test_large_objects_are_read_in_parts(good: Objects, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr(rules_objects, "_PART", part)
    assert findings(good) == []
    key = next(key for key in good if "/c/" in key and len(good[key]) > 2 * 100)
    assert findings({**good, key: flip(good[key], 150)}) == [("GP-03", f"/{key}")]
    assert findings({**good, key: b""}) == [("GP-03", f"/{key}")]


def test_c4_nothing_is_written(good: Objects) -> None:
    target = stored(good)
    check(target, depth="objects")
    assert contents(target) == good
