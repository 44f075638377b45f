"""Repair: documents alone are changed, faults go, none come, and what cannot be told is left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import obstore
import pytest
import zarr
from click.testing import CliRunner
from test_mutations import MUTATIONS

import pyramids
from builds import data_array
from conformance import Severity, check, fixing
from conformance.cli import main
from conformance.repairs import REPAIRS
from geozarr import UnsupportedError
from geozarr.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from obstore.store import MemoryStore
    from test_mutations import Mutation

COPIES = ("ZARR-20", "ZARR-21", "ZARR-22", "MS-18")
MENDABLE = [mutation for mutation in MUTATIONS if mutation.rule in (*REPAIRS, *COPIES)]


def faults(report: Any) -> set[tuple[str, str, str]]:
    return {(found.rule, found.node, found.pointer) for found in report.findings}


def objects_of(store: MemoryStore) -> dict[str, bytes]:
    keys = [item["path"] for batch in obstore.list(store) for item in batch]
    return {key: bytes(obstore.get(store, key).bytes()) for key in keys}


@pytest.mark.parametrize("mutation", MENDABLE, ids=lambda mutation: f"{mutation.rule} {mutation.name}")
def test_repair_takes_faults_away_and_adds_none(stores, mutation: Mutation) -> None:
    store = stores[mutation.store].edited(mutation.edit, mutation.raw)
    before = objects_of(store)
    found = check(store).findings
    fix = fixing.plan(open_store(store))
    assert objects_of(store) == before
    assert all(key.endswith("zarr.json") for key in fix.documents)
    assert faults(fix.report) <= faults(check(store))
    is_suggested = bool(found[0].patch) or found[0].rule in COPIES
    assert bool(fix.mended) == is_suggested, fix.report.to_text()
    if is_suggested:
        assert fix.report.findings == (), fix.report.to_text()


def test_most_rules_that_can_be_mended_are(stores) -> None:
    mended = {
        mutation.rule
        for mutation in MENDABLE
        if check(stores[mutation.store].edited(mutation.edit, mutation.raw)).findings[0].patch
    }
    assert set(REPAIRS) - mended == set()


def drafted(found: dict[str, Any]) -> None:
    """Turn a good pyramid into what tools wrote before v0.1."""
    for path, document in found.items():
        attributes = document["attributes"]
        for entry in attributes.get("zarr_conventions", []):
            for key in ("schema_url", "spec_url"):
                entry[key] = entry[key].replace("v0.1", "v1")
        if "proj:wkt2" in attributes:
            del attributes["proj:wkt2"]
        if document["node_type"] == "array" and path.endswith("/x"):
            attributes["_FillValue"] = "AAAAAAAA+H8="
    for item in found[""]["attributes"]["multiscales"]["layout"]:
        del item["spatial:shape"], item["spatial:transform"]


def test_a_pyramid_of_a_draft_becomes_one_of_v0_1(stores) -> None:
    store = stores["native"].edited(drafted, raw=lambda found: found[""].pop("consolidated_metadata"))
    rules = {found.rule for found in check(store).findings}
    assert rules >= {"ZC-16", "PJ-06", "CF-13", "SP-14", "MS-18"}
    fix = fixing.plan(open_store(store))
    assert fix.report.findings == (), fix.report.to_text()
    fixing.write(open_store(store), fix)
    assert check(store).findings == ()
    good = stores["native"].documents()
    written = {key: json.loads(data) for key, data in objects_of(store).items() if key.endswith("zarr.json")}
    assert written["1/zarr.json"]["attributes"]["proj:wkt2"] == good["1"]["attributes"]["proj:wkt2"]
    assert written["zarr.json"]["attributes"]["multiscales"] == good[""]["attributes"]["multiscales"]
    assert fixing.plan(open_store(store)).documents == {}


def test_a_level_that_was_deleted_is_not_made_up(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        for path in [path for path in found if path.partition("/")[0] == "3"]:
            del found[path]

    store = stores["native"].edited(raw=edit)
    for key in [key for key in objects_of(store) if key.startswith("3/")]:
        obstore.delete(store, key)
    fix = fixing.plan(open_store(store))
    assert fix.documents == {}
    assert "ZARR-20" in {found.rule for found in fix.report.findings}


def test_the_difference_is_unified_and_names_documents(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        found["1"]["attributes"]["spatial:bbox"][0] += 7.0

    diff = fixing.plan(open_store(stores["native"].edited(edit))).to_diff().splitlines()
    assert diff[:2] == ["--- a/1/zarr.json", "+++ b/1/zarr.json"]
    assert "-      500007.0," in diff
    assert "+      500000.0," in diff
    assert "--- a/zarr.json" in diff  # the consolidated copy


def test_an_interrupted_repair_is_taken_up_again(stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores["native"].edited(drafted)
    fix = fixing.plan(open_store(store))
    put, count = fixing.geozarr_store.write_bytes, 0

    def broken(target: Any, key: str, data: bytes) -> None:
        nonlocal count
        count += 1
        if count > len(fix.documents) // 2:
            raise KeyboardInterrupt
        put(target, key, data)

    with monkeypatch.context() as patched:
        patched.setattr(fixing.geozarr_store, "write_bytes", broken)
        with pytest.raises(KeyboardInterrupt):
            fixing.write(open_store(store), fix)
    assert check(store).findings != ()
    again = fixing.plan(open_store(store))
    fixing.write(open_store(store), again)
    assert check(store).findings == ()


def test_a_document_that_states_a_key_twice_is_left_alone(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        found["1"]["attributes"]["spatial:bbox"][0] += 7.0
        text = json.dumps(found["1"])
        found["1"] = text.replace('"attributes": {', '"attributes": {"proj:code": "EPSG:4326", ', 1).encode()

    store = stores["native"].edited(raw=lambda found: (edit(found), found[""].pop("consolidated_metadata")))
    fix = fixing.plan(open_store(store))
    assert {found.rule for found in fix.report.findings} >= {"ZARR-02"}
    assert "1/zarr.json" not in fix.documents


def test_two_readings_without_a_majority_are_not_decided(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        attributes = found["1"]["attributes"]
        attributes["proj:code"] = "EPSG:32632"

    store = stores["native"].edited(edit)
    assert [found.patch for found in check(store).findings if found.rule == "PJ-07"] in ([], [()])


def test_a_pyramid_with_a_manifest_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "built.zarr"
    pyramids.build(data_array(np.arange(64 * 64, dtype="uint8").reshape(64, 64) % 200), path, tms="native", chunk=32)
    document = json.loads((path / "0/zarr.json").read_text())
    document["attributes"]["spatial:bbox"][0] += 7.0
    (path / "0/zarr.json").write_text(json.dumps(document))
    result = CliRunner().invoke(main, [str(path), "--fix", "--write"])
    assert result.exit_code == 2
    assert "manifest" in result.stderr
    with pytest.raises(UnsupportedError):
        fixing.write(open_store(path), fixing.plan(open_store(path)))


def test_zarr_v2_is_mended_in_its_own_documents(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path, mode="w", zarr_format=2)
    group.attrs["proj:code"] = "epsg:32633"
    group.attrs["spatial:dimensions"] = ["y", "x"]
    array = group.create_array("v", shape=(4, 4), dtype="u1", chunks=(2, 2))
    array.attrs.update({"_ARRAY_DIMENSIONS": ["y", "x"], "spatial:transform": [1.0, 0.0, 0.0, 0.0, -1.0, 4.0]})
    zarr.consolidate_metadata(tmp_path, zarr_format=2)
    assert check(tmp_path).exit_status == 1
    fix = fixing.plan(open_store(tmp_path))
    assert set(fix.documents) == {".zattrs", ".zmetadata", "v/.zattrs"}
    fixing.write(open_store(tmp_path), fix)
    report = check(tmp_path)
    assert not {found.rule for found in report.findings} & {"ZC-09", "PJ-02", "PJ-06", "ZARR-20", "ZARR-22"}
    assert json.loads((tmp_path / ".zattrs").read_text())["proj:code"] == "EPSG:32633"
    assert zarr.open_group(tmp_path, mode="r").attrs["proj:code"] == "EPSG:32633"


@pytest.fixture
def broken(stores, tmp_path: Path) -> Path:
    store = stores["degrees"].edited(drafted_degrees)
    for key, data in objects_of(store).items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    return tmp_path


def drafted_degrees(found: dict[str, Any]) -> None:
    found["1"]["attributes"]["spatial:bbox"][0] += 7.0


def test_the_command_shows_and_does_not_write(broken: Path) -> None:
    before = {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()}
    result = CliRunner().invoke(main, [str(broken), "--fix"])
    assert result.exit_code == 0
    assert "+++ b/1/zarr.json" in result.stdout
    assert "nothing was written" in result.stderr
    assert {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()} == before
    assert CliRunner().invoke(main, [str(broken)]).exit_code == 1


def test_the_command_writes_and_checks_again(broken: Path) -> None:
    result = CliRunner().invoke(main, [str(broken), "--fix", "--write"])
    assert result.exit_code == 0, result.output
    assert "no fault found" in result.stdout
    assert CliRunner().invoke(main, [str(broken)]).exit_code == 0


def test_writing_needs_a_fix(broken: Path) -> None:
    assert CliRunner().invoke(main, [str(broken), "--write"]).exit_code == 2


@pytest.mark.parametrize("edit", [lambda data: data[: len(data) // 2], lambda _: b"[]"], ids=["torn", "no object"])
@pytest.mark.parametrize("has_copy", [True, False])
def test_what_cannot_be_read_is_restored_from_its_copy_or_left(
    stores, tmp_path: Path, edit: Callable[[bytes], bytes], has_copy: bool
) -> None:
    good = stores["degrees"].objects
    root = json.loads(good["zarr.json"])
    if not has_copy:
        del root["consolidated_metadata"]
    for key, data in (good | {"zarr.json": json.dumps(root).encode()}).items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(edit(data) if key == "1/b1/zarr.json" else data)
    fix = fixing.plan(open_store(tmp_path))
    if has_copy:
        assert fix.documents == {"1/b1/zarr.json": json.loads(good["1/b1/zarr.json"])}
        assert fix.report.findings == ()
    else:
        assert "1/b1/zarr.json" not in fix.documents
        assert Severity.ERROR in {found.severity for found in fix.report.findings}


def test_what_is_restored_opens_in_zarr_python(stores, tmp_path: Path) -> None:
    """Consolidated metadata that get new entries have them beside those of the same group."""

    def edit(found: dict[str, Any]) -> None:
        for path in ("1/data", "2/x"):
            del found[""]["consolidated_metadata"]["metadata"][path]

    for key, data in objects_of(stores["native"].edited(raw=edit)).items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    fixing.write(open_store(tmp_path), fixing.plan(open_store(tmp_path)))
    assert check(tmp_path).findings == ()
    nodes = dict(zarr.open_group(tmp_path, mode="r").members(max_depth=None))
    assert set(nodes) == set(stores["native"].documents()) - {""}
