"""Documents that the standards publish, and stores that others test with: what the checker says of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore

from conformance import Severity, check, references, schema
from geozarr import documents

ARRAY = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [8, 8],
    "data_type": "float32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [8, 8]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": "NaN",
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "attributes": {},
}


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def stored(nodes: dict[str, Any]) -> MemoryStore:
    """Store documents, with all of them consolidated in the root."""
    root = {key: value for key, value in nodes[""].items() if key != "consolidated_metadata"}
    below = {path: node for path, node in nodes.items() if path}
    store = MemoryStore()
    for path, node in {
        **below,
        "": documents.consolidate(root, below) if root["node_type"] == "group" else root,
    }.items():
        obstore.put(store, f"{path}/zarr.json".lstrip("/"), json.dumps(node).encode())
    return store


def completed(group: dict[str, Any]) -> dict[str, Any]:
    """Give an example of a multiscale group the levels it speaks of: one array each, of the shape that it states."""
    nodes = {"": group}
    attributes = group["attributes"]
    names = list(attributes.get("spatial:dimensions", ["y", "x"]))
    size: dict[str, float] = {}
    for index, item in enumerate(attributes["multiscales"]["layout"]):
        # Without a shape: 1024 cells at the base; then halves, or what the scale makes of the source of a placed level.
        scale = item["transform"]["scale"][0] if "derived_from" in item else 1
        side = math.ceil(size.get(item.get("derived_from"), 1024) / scale)
        side = side if "spatial:transform" in item else 1024 // 2**index
        size[item["asset"]] = side
        shape = item.get("spatial:shape", [side, side])
        chunk = {"name": "regular", "configuration": {"chunk_shape": shape}}
        array = {**ARRAY, "shape": shape, "chunk_grid": chunk, "dimension_names": names}
        group_path, _, name = item["asset"].rpartition("/")
        if not name or not group_path:
            group_path, name = item["asset"], "data"
        nodes[group_path] = documents.group_document({})
        nodes[f"{group_path}/{name}"] = array
    return nodes


def rules(report: Any, *severities: Severity) -> set[str]:
    return {finding.rule for finding in report.findings if finding.severity in (severities or tuple(Severity))}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("array-based-pyramid", {"MS-15"}),  # translation 0.5
        ("custom-pyramid-levels", {"MS-23"}),  # quarter derives from half by 4, eighth from quarter by 8
        # 0.333 is not 1/3, and the finest level is listed last.
        ("dem-multiresolution", {"PJ-06", "PJ-09", "SP-14", "MS-20", "XC-02", "XC-03", "XC-07"}),
        ("geospatial-pyramid", {"PJ-06", "PJ-09", "SP-14", "XC-07"}),
        ("power-of-2-pyramid", {"MS-23"}),  # the published slip: cumulative scale
        ("sentinel-2-multiresolution", {"PJ-06", "PJ-09", "XC-07"}),  # the box is not the extent
    ],
)
def test_examples_of_multiscales(spec_dir: Path, name, expected) -> None:
    group = load(spec_dir / "examples" / "multiscales" / "v0.1" / f"{name}.json")
    report = check(stored(completed(group)))
    assert rules(report) == expected, report.to_text()


@pytest.mark.parametrize(("convention", "expected"), [("spatial", set()), ("proj", {"XC-07"})])
def test_examples_of_composed_multiscales(spec_dir: Path, convention, expected) -> None:
    # That of proj has the box of the Sentinel-2 tile, 100 km, around levels of 12 km.
    group = load(spec_dir / "examples" / convention / "v0.1" / "multiscales.json")
    report = check(stored(completed(group)))
    assert rules(report) == {"PJ-06", "PJ-09"} | expected, report.to_text()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("spatial/v0.1/proj.json", {"PJ-06", "XC-01"}),  # the box of the world around 8 cells
        ("proj/v0.1/epsg26711.json", {"PJ-06", "SP-03"}),
        ("proj/v0.1/epsg3587.json", {"PJ-06", "SP-03", "XC-01"}),
        ("proj/v0.1/wkt2.json", {"SP-03"}),
    ],
)
def test_examples_of_arrays(spec_dir: Path, path, expected) -> None:
    report = check(stored({"": {**ARRAY, **load(spec_dir / "examples" / path)}}))
    assert rules(report) == expected, report.to_text()


def _cases(spec_dir: Path) -> Path:
    return spec_dir / "cases" / "geozarr-spec-pr127"


def _tree(path: Path) -> MemoryStore:
    store = MemoryStore()
    for file in path.rglob("zarr.json"):
        obstore.put(store, str(file.relative_to(path)), file.read_bytes())
    return store


def test_stores_of_the_conformance_suite(spec_dir: Path) -> None:
    datasets = load(_cases(spec_dir) / "manifest.json")["datasets"]
    assert len(datasets) == 18
    violations = {
        "invalid-bad-transform-length": "SP-05",
        "invalid-missing-required": "SP-01",
        "invalid-multiscales-no-transform": "MS-07",
    }
    for dataset in datasets:
        report = check(_tree(_cases(spec_dir) / dataset["path"]), depth="metadata")
        name = Path(dataset["path"]).stem
        if dataset["valid"] or name not in violations:
            # Written with the retired URLs, and mostly with a code alone. Since v0.1 several CRS keys and codes in
            # lower case are legal (SPEC D-18).
            assert rules(report, Severity.ERROR) == set(), report.to_text()
            assert "ZC-16" in rules(report)
        else:
            assert rules(report, Severity.ERROR) == {violations[name]}, report.to_text()


def test_stores_of_gdal(spec_dir: Path) -> None:
    for path in sorted((spec_dir / "cases" / "gdal-autotest").glob("*/zarr.json")):
        root = load(path)
        below = root.get("consolidated_metadata", {}).get("metadata", {})
        own = {name: {k: v for k, v in node.items() if k != "consolidated_metadata"} for name, node in below.items()}
        nodes = {"": root, **own}
        report = check(stored(nodes), depth="metadata")
        assert report.exit_status == 1, path
        assert rules(report) & {"ZC-16", "ZC-09"}, report.to_text()
        assert rules(report, Severity.ERROR) <= {"ZC-14", "ZC-09", "SP-01"}, f"{path}\n{report.to_text()}"


def test_documents_of_drafts_that_spatial_would_forbid(spec_dir: Path) -> None:
    for path in sorted((spec_dir / "cases" / "spatial-pr15-invalid").glob("*.json")):
        document = load(path)
        group = document if "attributes" in document else documents.group_document(document)
        report = check(stored(completed(group)))
        assert report.exit_status == 1, report.to_text()


def test_examples_of_the_toolkit_are_read_with_their_names_noted(spec_dir: Path) -> None:
    for path in sorted((spec_dir / "cases" / "geozarr-toolkit" / "multiscales_examples").glob("*.json")):
        report = check(stored(completed(documents.group_document(load(path)))), depth="metadata")
        assert rules(report, Severity.ERROR) == set(), report.to_text()
        assert rules(report) <= {"ZC-15", "PJ-06", "PJ-09", "SP-14"}, report.to_text()


def test_projjson_of_others(spec_dir: Path) -> None:
    for path in sorted((spec_dir / "cases" / "eopf-projjson").glob("*.json")):
        is_crs = path.stem != "transformation"
        assert (schema.problem_of(schema.PROJJSON, load(path)) is None) == is_crs
        assert (references.from_projjson(load(path)) is not None) == is_crs, path


def test_registered_sets_as_published(spec_dir: Path) -> None:
    for path in sorted((spec_dir / "examples" / "tms" / "2.0" / "tilematrixset").glob("*.json")):
        document = load(path)
        attributes = {"multiscales": {"layout": [{"asset": "a"}], "tileMatrixSet": document}}
        nodes = {"": documents.group_document(attributes), "a": documents.group_document({})}
        report = check(stored(nodes), depth="metadata")
        assert {rule for rule in rules(report) if rule.startswith("TMS")} <= {"TMS-05"}, report.to_text()
        assert rules(report, Severity.ERROR) == {"ZC-09"}, report.to_text()


def _first(attributes: dict[str, Any], key: str) -> dict[str, Any]:
    return attributes["multiscales"]["layout"][1] if key == "item" else attributes["zarr_conventions"][0]


# What is broken, and the rule that tells; an example that has not what is broken is passed over.
FAULTS = {
    "asset gone": ("MS-05", lambda a: _first(a, "item").update(asset="gone")),
    "asset absolute": ("MS-03", lambda a: _first(a, "item").update(asset="/x")),
    "scale a word": ("MS-10", lambda a: _first(a, "item")["transform"].update(scale="two")),
    "no transform": ("MS-07", lambda a: _first(a, "item").pop("transform")),
    "own source": ("MS-09", lambda a: _first(a, "item").update(derived_from=_first(a, "item")["asset"])),
    "source elsewhere": ("MS-08", lambda a: _first(a, "item").update(derived_from="nowhere")),
    "empty layout": ("MS-01", lambda a: a["multiscales"].update(layout=[])),
    "method a number": ("MS-16", lambda a: a["multiscales"].update(resampling_method=3)),
    "uuid in capitals": ("ZC-04", lambda a: _first(a, "entry").update(uuid=_first(a, "entry")["uuid"].upper())),
    "unknown member": ("ZC-03", lambda a: _first(a, "entry").update(version="0.1")),
    "no name": ("ZC-07", lambda a: _first(a, "entry").pop("name")),
    "box of three": ("SP-09", lambda a: a["spatial:bbox"].pop()),
    "one dimension": ("SP-02", lambda a: a["spatial:dimensions"].pop()),
    "code without authority": ("PJ-02", lambda a: a.update({"proj:code": a["proj:code"].replace(":", "")})),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_in_an_official_example_is_one_finding_more(spec_dir: Path, fault: str) -> None:
    rule, edit = FAULTS[fault]
    broken = 0
    for path in sorted((spec_dir / "examples").glob("*/v0.1/*.json")):
        group = load(path)
        if "layout" not in group.get("attributes", {}).get("multiscales", {}):
            continue
        nodes = completed(group)
        before = {(found.rule, found.node, found.pointer) for found in check(stored(nodes), depth="metadata").findings}
        nodes = completed(load(path))
        try:
            edit(nodes[""]["attributes"])
        except (KeyError, IndexError):
            continue
        found = check(stored(nodes), depth="metadata").findings
        new = [item for item in found if (item.rule, item.node, item.pointer) not in before]
        assert [item.rule for item in new] == [rule], f"{path.name}: {[str(item) for item in new]}"
        broken += 1
    assert broken >= 2
