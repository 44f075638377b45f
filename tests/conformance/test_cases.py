"""The packaged cases: made of the mutations of these tests, and each gives just its finding.

REMAKE_CASES=1 python -m pytest tests/conformance/test_cases.py -k made_of      after a change of them
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest
import zarr
from case_maker import case_of, case_of_v2, is_document, opened, store_of, with_pointer
from click.testing import CliRunner
from test_mutations import MUTATIONS, TOLD
from test_zarr_v2 import EDITS as EDITS_OF_V2
from test_zarr_v2 import make as make_v2

from conformance import cases, check
from conformance.cases.__main__ import main
from conformance.check import rules_at
from conformance.profiles import PROFILES
from conformance.report import Depth

if TYPE_CHECKING:
    from conformance.cases import Case

FILE = Path(cases.__file__).with_name("cases.json")
LEAST = 300


@pytest.mark.parametrize("case", cases.load(), ids=lambda case: f"{case.rule} {case.store} {case.name}")
def test_a_case_gives_just_its_finding(case: Case) -> None:
    report = check(opened(case.objects()), profile=case.profile)
    found = [(item.rule, str(item.severity), item.node, item.pointer) for item in report.findings]
    assert found == [(case.rule, case.severity, case.node, case.pointer)], report.to_text()


@pytest.mark.parametrize("name", cases.good_stores())
def test_good_stores_have_no_findings(name: str) -> None:
    report = check(opened(cases.good_stores()[name]))
    assert report.findings == (), report.to_text()


def test_there_are_enough_cases_and_no_two_are_alike() -> None:
    found = cases.load()
    assert len(found) >= LEAST
    assert Counter((case.store, case.name) for case in found).most_common(1)[0][1] == 1
    assert (
        Counter(json.dumps([case.store, case.profile, case.edits, case.raw]) for case in found).most_common(1)[0][1]
        == 1
    )


def test_each_rule_on_documents_and_grids_has_a_case() -> None:
    elsewhere = {"MS-22", "XC-04", "XC-05", "XC-06", "GZ-22"}  # test_geometry.py; a store that is told more
    rules = {rule.id for profile in PROFILES.values() for rule in rules_at(Depth.GEOMETRY, profile)}
    assert rules - {case.rule for case in cases.load()} <= elsewhere


def test_stores_are_written_with_a_list(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert result.exit_code == 0
    listed = json.loads((tmp_path / "cases.json").read_text())
    assert len(listed) == len(cases.load()) + len(cases.good_stores())
    wrong = next(item for item in listed if not item["valid"])
    assert [found.rule for found in check(tmp_path / wrong["path"]).findings] == [wrong["rule"]]
    right = next(item for item in listed if item["valid"])
    assert check(tmp_path / right["path"]).findings == ()


def test_the_file_is_made_of_the_mutations(stores, tmp_path_factory: pytest.TempPathFactory) -> None:
    v2 = make_v2(tmp_path_factory.mktemp("v2"))
    good = {name: store_of(store.documents(), store.holders, store.objects) for name, store in stores.items()}
    good["v2"] = store_of({key: json.loads(data) for key, data in v2.items() if is_document(key)}, [], v2)
    # Of a store that is told something under a profile though it is good, another finding is not the only one.
    single = [mutation for mutation in MUTATIONS if (mutation.store, mutation.profile) not in TOLD]
    made = [case_of(mutation, stores[mutation.store]) for mutation in single]
    made += [case_of_v2(edit, v2) for edit in EDITS_OF_V2]
    if os.environ.get("REMAKE_CASES"):
        data = {"stores": good, "cases": [with_pointer(case, good) for case in made]}
        FILE.write_text(json.dumps(data, indent=1) + "\n")
        return
    stored = json.loads(FILE.read_text())
    known = {(case["store"], case["name"]): case for case in stored["cases"]}
    assert set(known) == {(case["store"], case["name"]) for case in made}
    for case in made:
        assert outline({**case, "pointer": ANY}) == outline(known[case["store"], case["name"]])
    for name, store in good.items():
        assert outline(store["documents"]) == outline(stored["stores"][name]["documents"]), name


def outline(value: Any) -> Any:
    """Leave out WKT and PROJJSON, which versions of PROJ write differently."""
    if isinstance(value, dict):
        return {key: outline(item) for key, item in value.items()} if "$schema" not in value else "PROJJSON"
    if isinstance(value, list):
        return [outline(item) for item in value]
    return value if not isinstance(value, str) or len(value) < 200 else "WKT"


@pytest.mark.parametrize("name", cases.good_stores())
def test_good_stores_open_in_zarr_python(name: str, tmp_path: Path) -> None:
    objects = cases.good_stores()[name]
    for key, data in objects.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    nodes = dict(zarr.open_group(tmp_path, mode="r").members(max_depth=None))
    documents = [key for key in objects if key.endswith(("/zarr.json", "/.zarray", "/.zgroup"))]
    assert set(nodes) == {key.rpartition("/")[0] for key in documents}
