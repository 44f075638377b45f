"""A set of stores made elsewhere: one that is good, and 33 edits of it that each make it wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from obstore.store import MemoryStore

from conformance import check

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(data_dir: Path) -> Path:
    """Folder of the set."""
    found = data_dir / "zarr" / "conformance"
    if not found.is_dir():
        pytest.skip(f"no such stores in {found}")
    return found


def apply(document: Any, edits: list[dict[str, Any]]) -> None:
    """Apply the operations of RFC 6902 that the set uses."""
    for edit in edits:
        *where, last = [part.replace("~1", "/").replace("~0", "~") for part in edit["path"].split("/")[1:]]
        holder = document
        for part in where:
            holder = holder[int(part) if isinstance(holder, list) else part]
        key = int(last) if isinstance(holder, list) and last != "-" else last
        if edit["op"] == "remove":
            del holder[key]
        elif isinstance(holder, list) and edit["op"] == "add":
            holder.insert(len(holder) if key == "-" else key, edit["value"])
        else:
            holder[key] = edit["value"]


def opened(base: Path, case: dict[str, Any] | None = None) -> MemoryStore:
    """Open a copy of the good store, with one case applied."""
    store = MemoryStore()
    documents = {str(file.parent.relative_to(base)): json.loads(file.read_text()) for file in base.rglob("zarr.json")}
    documents[""] = documents.pop(".")
    if case is not None:
        apply(documents[case["node"]], case["edits"])
        copies = documents[""].get("consolidated_metadata", {}).get("metadata", {})
        if case["where"] == "both" and case["node"]:
            apply(copies[case["node"]], case["edits"])
    for file in base.rglob("*"):
        if file.is_file() and file.name != "zarr.json":
            obstore.put(store, str(file.relative_to(base)), file.read_bytes())
    for path, document in documents.items():
        obstore.put(store, f"{path}/zarr.json".lstrip("/"), json.dumps(document).encode())
    return store


def test_the_good_store_has_no_findings(folder: Path) -> None:
    assert check(opened(folder / "base.zarr")).findings == ()


def test_each_wrong_store_has_one_finding(folder: Path) -> None:
    cases = json.loads((folder / "invalid.json").read_text(encoding="utf-8"))["cases"]
    assert len(cases) == 33
    wrong = {}
    for case in cases:
        report = check(opened(folder / "base.zarr", case))
        # One edit, or a few of one fault; but this one breaks the WKT and, by itself, names another projection.
        faults = 2 if case["id"] == "crs_disagrees_with_proj" else 1
        if len(report.findings) != faults or report.exit_status != 1:
            wrong[case["id"]] = f"{case['wrong']}\n{report.to_text()}"
    assert not wrong, "\n\n".join(f"{name}: {text}" for name, text in wrong.items())
