"""The engine: good stores pass, hostile ones are reported, nothing is written, nothing is fetched."""

from __future__ import annotations

import copy
import json
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from conformance import Depth, Severity, check, profiles
from conformance.check import rules_at
from conformance.metadata import NOT_CHECKED
from conformance.profiles import PROFILES, of_name
from conformance.reading import MAX_DEPTH_OF_GROUPS
from geozarr import GeoZarrError, LimitError, MetadataError, ParameterError, StoreError, documents

if TYPE_CHECKING:
    from conformance.report import Rule

# Rules on the builder's own objects, and on what single readers do.
_NOT_OF_THE_DIGEST = ("GP-",)  # the manifest of this project
NAMES = ("tms", "own", "native", "degrees", "nested", "packed")
REQUIREMENTS = {"ZC": 17, "MS": 23, "SP": 18, "PJ": 12, "CF": 29, "XC": 12, "RD": 8, "OT": 10, "NG": 3, "AC": 1}


def objects_of(store: MemoryStore) -> dict[str, bytes]:
    keys = [item["path"] for batch in obstore.list(store) for item in batch]
    return {key: bytes(obstore.get(store, key).bytes()) for key in keys}


def single(document: Any, *, key: str = "zarr.json") -> MemoryStore:
    """Open a store of one object."""
    store = MemoryStore()
    obstore.put(store, key, document if isinstance(document, bytes) else json.dumps(document).encode())
    return store


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("depth", ["metadata", "geometry"])
def test_good_stores_have_no_findings(stores, name, depth) -> None:
    report = check(stores[name].edited(), depth=depth)
    assert report.findings == (), report.to_text()
    assert report.exit_status == 0
    assert report.pyramids == 1
    assert report.nodes == len(stores[name].documents())


@pytest.mark.parametrize("name", NAMES)
def test_stores_on_disk_are_read_by_path(stores, name, tmp_path: Path) -> None:
    for key, data in stores[name].objects.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    report = check(str(tmp_path))
    assert report.findings == (), report.to_text()
    assert report.store == str(tmp_path)


def test_without_consolidated_metadata_only_that_is_said(stores) -> None:
    report = check(stores["tms"].edited(raw=lambda found: found[""].pop("consolidated_metadata")))
    assert [finding.rule for finding in report.findings] == ["MS-18"]


def test_metadata_depth_reads_documents_alone(stores) -> None:
    store = stores["native"].edited()
    for key in objects_of(store):
        if not key.endswith("zarr.json"):
            obstore.delete(store, key)
    assert check(store, depth="metadata").findings == ()


def test_every_requirement_has_a_rule_or_a_reason() -> None:
    ids = {f"{prefix}-{number:02d}" for prefix, last in REQUIREMENTS.items() for number in range(1, last + 1)}
    ids |= {f"ZARR-{number:02d}" for number in (*range(1, 17), 20, 21, 22, 30, 31, 32)}
    ids |= {f"TMS-{number:02d}" for number in (*range(1, 17), *range(20, 26))}
    ids |= {f"GZ-{number:02d}" for number in (1, 2, 3, 10, 11, *range(20, 26))}
    rules = {rule.id for rule in _rules() if not rule.id.startswith(_NOT_OF_THE_DIGEST)}
    assert rules | set(NOT_CHECKED) == ids
    assert rules & set(NOT_CHECKED) == set()
    assert all(NOT_CHECKED.values())


def test_requirements_are_those_of_the_digest(spec_dir: Path) -> None:
    text = (spec_dir / "SPEC.md").read_text(encoding="utf-8")
    stated = set(re.findall(r"\*\*([A-Z]+-[0-9]+)\*\*", text))
    rules = {rule.id for rule in _rules()} | set(NOT_CHECKED)
    known = {name for name in rules if not name.startswith(_NOT_OF_THE_DIGEST)}
    assert {name for name in stated if not name.startswith("D-")} == known  # D: what to write where texts disagree


def _rules() -> list[Rule]:
    """Rules of all profiles, and the constraints of readers, which are rules of theirs."""
    found = [rule for profile in PROFILES.values() for rule in rules_at(Depth.PIXELS, profile)]
    of_readers = [rule for name in profiles.NAMES[len(PROFILES) :] for rule in rules_at(Depth.PIXELS, of_name(name))]
    return [*found, *(rule for rule in of_readers if rule.family == "RD")]


def test_a_reason_that_names_a_test_names_one_that_is_there() -> None:
    named = [match for reason in NOT_CHECKED.values() for match in re.findall(r"(tests/\S+\.py)::(\w+)", reason)]
    assert len(named) > 8
    for path, test in named:
        text = (Path(__file__).parents[2] / path).read_text(encoding="utf-8")
        assert f"def {test}(" in text, (path, test)


def test_rules_are_numbered_once_and_geometry_comes_last() -> None:
    rules = rules_at(Depth.GEOMETRY)
    assert len({rule.id for rule in rules}) == len(rules)
    assert [rule.depth for rule in rules] == sorted((rule.depth for rule in rules), key=list(Depth).index)
    assert {rule.id for rule in rules_at(Depth.METADATA)} == {r.id for r in rules if r.depth is Depth.METADATA}


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (documents.group_document({}), 2),  # a group that uses none of the conventions
        (documents.group_document({"license": "CC0"}), 2),
        ({"zarr_format": 3, "node_type": "group"}, 2),
        ({"zarr_format": 3, "node_type": "group", "consolidated_metadata": 5}, 1),
        (documents.group_document({"proj:code": "EPSG:4326"}), 1),
    ],
)
def test_nothing_checked_is_no_pass(document, status) -> None:
    assert check(single(document)).exit_status == status


def test_a_store_without_root_cannot_be_read() -> None:
    with pytest.raises(MetadataError) as raised:
        check(MemoryStore())
    assert raised.value.key == "zarr.json"


def test_a_folder_that_does_not_exist_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        check(tmp_path / "absent")


@pytest.mark.parametrize(("parameter", "value"), [("depth", "all"), ("profile", "strict"), ("seed", -1)])
def test_unknown_options_are_refused(stores, parameter, value) -> None:
    with pytest.raises(ParameterError) as raised:
        check(stores["packed"].edited(), **{parameter: value})
    assert raised.value.parameter == parameter


def test_groups_nested_without_end_are_refused() -> None:
    store = MemoryStore()
    for depth in range(MAX_DEPTH_OF_GROUPS + 3):
        obstore.put(store, "a/" * depth + "zarr.json", json.dumps(documents.group_document({})).encode())
    with pytest.raises(LimitError):
        check(store)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"zarr_format": 3, "node_type": "group", "attributes": ' + b'{"a":' * 300 + b"1" + b"}" * 301,
        b'{"zarr_format": 1' + b"0" * 5_000 + b"}",
        b'{"zarr_format": Infinity}',
        b"null",
    ],
)
def test_a_root_that_cannot_be_parsed_is_one_finding(data) -> None:
    report = check(single(data))
    assert [(finding.rule, finding.node) for finding in report.findings] == [("ZARR-02", "/")]
    assert report.exit_status == 1


def test_numbers_beyond_floats_are_malformed_values(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        found["1"]["attributes"]["spatial:bbox"] = [10**400, 0, 1, 1]

    assert [finding.rule for finding in check(stores["native"].edited(edit)).findings] == ["SP-09"]


def test_half_a_surrogate_pair_does_not_break_the_report(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        found["1"]["attributes"]["proj:wkt2"] = "\ud800\x1b[31m"

    report = check(stores["native"].edited(edit))
    assert [finding.rule for finding in report.findings] == ["PJ-03"]
    assert report.to_text().encode("utf-8").isascii() or "\x1b" not in report.to_text()
    assert "\x1b" not in report.to_text()


def test_names_of_a_document_cannot_flood_or_steer_the_report(stores) -> None:
    name = "\x1b[31m" + "x" * 100_000

    def edit(found: dict[str, Any]) -> None:
        found["1"]["attributes"]["spatial:dimensions"] = [name, "x"]
        found["1/data"]["dimension_names"] = ["band", name, "x"]
        found["1/x"]["dimension_names"] = [name]

    report = check(stores["native"].edited(edit))
    assert report.findings
    assert "\x1b" not in report.to_text()
    assert max(len(line) for line in report.to_text().splitlines()) < 2000


def test_the_store_is_not_changed(stores) -> None:
    for name in NAMES:
        store = stores[name].edited(lambda found: found[""]["attributes"].pop("zarr_conventions", None))
        before = objects_of(store)
        check(store)
        assert objects_of(store) == before


def test_no_address_is_followed(stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"network: {args} {kwargs}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)

    def edit(found: dict[str, Any]) -> None:
        address = "http://127.0.0.1:9/schema.json"
        attributes = found["1"]["attributes"]
        attributes["zarr_conventions"][0] |= {"schema_url": address, "spec_url": address}
        attributes["proj:projjson"] = {"$schema": address, "$ref": address, "type": "GeographicCRS", "name": "x"}
        found[""]["attributes"]["multiscales"]["tileMatrixSet"] = {
            "crs": address,
            "tileMatrices": [{"$ref": address}],
        }

    assert check(stores["native"].edited(edit)).exit_status == 1


def test_findings_are_ordered_by_node(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        for path in ("2", "0", "1/data"):
            found[path]["attributes"]["spatial:bbox"] = "everywhere"

    assert [finding.node for finding in check(stores["native"].edited(edit)).findings] == ["/0", "/1/data", "/2"]


def test_independent_faults_are_independent_findings(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        found["1"]["attributes"]["spatial:shape"] = [0, 1]
        found["1/x"]["attributes"]["units"] = "km"
        found[""]["attributes"]["multiscales"]["layout"][2]["transform"]["scale"] = [7.0, 7.0]
        del found["2/data"]["attributes"]["zarr_conventions"]

    rules = {(finding.rule, finding.node) for finding in check(stores["native"].edited(edit)).findings}
    assert rules == {("SP-10", "/1"), ("CF-15", "/1/x"), ("XC-03", "/"), ("ZC-09", "/2/data")}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.sampled_from([0, 1, -1, 2, 10**400, 2**63, 1e308, -1e-320, 1e300])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["", "NaN", "0", "1/data", "..", "\ud800", "\0", "EPSG:4326", "x y", "spatial_ref: x", "float32"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


def pointers(value: Any, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [prefix, *(pointer for key, item in inner for pointer in pointers(item, (*prefix, key)))]


def holder_of(document: Any, pointer: tuple[str | int, ...]) -> Any:
    for part in pointer[:-1]:
        document = document[part]
    return document


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_corruption_of_documents_gives_a_report(stores, data) -> None:
    profile = data.draw(st.sampled_from(sorted(PROFILES)))
    name = data.draw(st.sampled_from(NAMES))

    def corrupt(found: dict[str, Any]) -> None:
        for _ in range(data.draw(st.integers(1, 4))):
            path = data.draw(st.sampled_from(sorted(found)))
            pointer = data.draw(st.sampled_from(pointers(found[path])))
            if not pointer:
                found[path] = copy.deepcopy(data.draw(JSON)) if path else found[path]
                continue
            holder = holder_of(found[path], pointer)
            if data.draw(st.booleans()):
                del holder[pointer[-1]]
            else:
                holder[pointer[-1]] = copy.deepcopy(data.draw(JSON))  # it is edited further

    store = stores[name].edited(raw=corrupt) if data.draw(st.booleans()) else stores[name].edited(corrupt)
    try:
        report = check(store, profile=profile)
    except GeoZarrError:
        return
    assert json.loads(report.to_json())["exit_status"] in (0, 1, 2)
    assert report.to_text().encode("utf-8")
    assert len(set(report.findings)) == len(report.findings)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_corruption_of_bytes_gives_a_report(stores, data) -> None:
    store = stores[data.draw(st.sampled_from(NAMES))].edited()
    objects = objects_of(store)
    key = data.draw(st.sampled_from(sorted(objects)))
    before = bytearray(objects[key])
    if data.draw(st.booleans()):
        before = before[: data.draw(st.integers(0, len(before)))]
    else:
        before[data.draw(st.integers(0, len(before) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    obstore.put(store, key, bytes(before))
    try:
        report = check(store)
    except GeoZarrError:
        return
    assert all(finding.severity in Severity for finding in report.findings)
    # A broken object is one finding; a digit that changes in the root is what it says there.
    assert len(report.findings) <= 4, report.to_text()
