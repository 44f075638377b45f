"""The vendored schemas: complete, local, and silent where a rule has spoken."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from referencing.exceptions import Unresolvable

from conformance import check, metadata, schema
from conformance.check import check as run_check
from geozarr import crs, tms

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(schema.__file__).parent / "schemas"
# First digits of the sha256 of each file as the standards' repositories have it.
SUMS = {
    "zarr-conventions/v1.json": "d9efa14c0893",
    "multiscales/v0.1.json": "716f2c6a7696",
    "spatial/v0.1.json": "4436913e3ebc",
    "proj/v0.1.json": "957e190e1a2b",
    "projjson/v0.7.json": "67f090556bae",
    "tms/2.0/2DBoundingBox.json": "e2a1c65a4d42",
    "tms/2.0/2DPoint.json": "4898b39f8c9e",
    "tms/2.0/crs.json": "c5a0d724c90b",
    "tms/2.0/projJSON.json": "7e0397706ae6",
    "tms/2.0/tileMatrix.json": "df3887b96d59",
    "tms/2.0/tileMatrixLimits.json": "b1ae65b7fe4b",
    "tms/2.0/tileMatrixSet.json": "0d5d9564e5aa",
    "tms/2.0/variableMatrixWidth.json": "d4d7634ea976",
}


def test_schemas_are_the_published_bytes() -> None:
    found = {
        str(path.relative_to(FOLDER)): hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in FOLDER.rglob("*.json")
    }
    assert found == SUMS


def test_readme_names_every_schema_and_its_licence() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in SUMS:
        assert (f"`{name}`" in text) or (name.startswith("tms/2.0/") and "`tms/2.0/*.json`" in text)
    assert text.count("Apache-2.0") == 4
    assert "CC0-1.0" in text
    assert "MIT" in text


@pytest.mark.parametrize("name", tms.known_ids())
def test_registered_sets_are_valid(name) -> None:
    assert schema.problem_of(schema.TMS, tms.load(name).to_document()) is None


@pytest.mark.parametrize("code", ["EPSG:4326", "EPSG:32633", "EPSG:3035", "OGC:CRS84"])
def test_projjson_of_proj_is_valid(code) -> None:
    assert schema.problem_of(schema.PROJJSON, crs.from_code(code).to_projjson()) is None


def test_problems_say_where() -> None:
    document = crs.from_code("EPSG:32633").to_projjson()
    document["coordinate_system"]["subtype"] = "curved"
    problem = schema.problem_of(schema.PROJJSON, document)
    assert problem is not None
    assert problem.pointer == ("coordinate_system", "subtype")


def test_an_operation_is_no_crs(spec_dir) -> None:
    text = (spec_dir / "cases" / "eopf-projjson" / "transformation.json").read_text(encoding="utf-8")
    problem = schema.problem_of(schema.PROJJSON, json.loads(text))
    assert problem == schema.Problem(("type",), "this type is no CRS", "Transformation")


def test_a_reference_to_elsewhere_cannot_be_resolved() -> None:
    registry = schema._registry()
    with pytest.raises(Unresolvable):
        registry.resolver().lookup("https://json-schema.org/draft/2020-12/schema#")
    assert registry.resolver().lookup("https://proj.org/schemas/v0.7/projjson.schema.json").contents


def test_giant_projjson_is_refused_before_it_is_validated() -> None:
    deep: Any = {"type": "GeographicCRS"}
    for _ in range(60):
        deep = {"type": "BoundCRS", "source_crs": deep}
    assert "more than" in schema.problem_of(schema.PROJJSON, deep).message
    wide = {"type": "CompoundCRS", "name": "wide", "components": [{"type": "VerticalCRS"}] * 5000}
    assert "more than" in schema.problem_of(schema.PROJJSON, wide).message


def test_the_schema_speaks_where_no_rule_does(stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: object) -> Iterator[Any]:
        yield from ()

    def edit(found: dict[str, Any]) -> None:
        found["1"]["attributes"]["spatial:bbox"] = [1, 2, 3]
        found["1/data"]["attributes"]["proj:code"] = 4326
        found["2"]["attributes"]["zarr_conventions"][0]["version"] = "1"
        found[""]["attributes"]["multiscales"]["layout"][1]["transform"]["scale"] = ["2"]

    mute = ("SP-09", "PJ-02", "ZC-03", "MS-10")
    rules = tuple(replace(rule, check=silent) if rule.id in mute else rule for rule in metadata.RULES)
    monkeypatch.setattr(metadata, "RULES", rules)
    findings = run_check(stores["native"].edited(edit), depth="metadata").findings
    assert {(finding.rule, finding.node) for finding in findings} >= {
        ("SP-09", "/1"),
        ("PJ-02", "/1/data"),
        ("ZC-01", "/2"),
        ("MS-01", "/"),
    }
    assert all("violates the schema" in f.message for f in findings if f.node in ("/1", "/1/data", "/2"))


def test_the_schema_is_silent_where_a_rule_speaks(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        found["1"]["attributes"]["spatial:bbox"] = [1, 2, 3]

    findings = check(stores["native"].edited(edit)).findings
    assert [finding.rule for finding in findings] == ["SP-09"]
    assert "schema" not in findings[0].message


def test_schemas_are_json() -> None:
    for name in SUMS:
        assert isinstance(json.loads((FOLDER / name).read_text(encoding="utf-8")), dict)
