"""The Python of docs/targets-icechunk-zip.md runs, in its order."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import conformance

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "targets-icechunk-zip.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_python_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("icechunk", reason="of the extra `icechunk`")
    monkeypatch.chdir(tmp_path)
    profile = {"driver": "GTiff", "height": 300, "width": 300, "count": 1, "dtype": "int16", "crs": "EPSG:32632"}
    with rasterio.open("scene.tif", "w", transform=from_origin(5e5, 5e6, 7, 7), nodata=0, **profile) as out:
        out.write(np.arange(1, 90_001).reshape(1, 300, 300).astype("int16") % 999 + 1)
    found: dict[str, object] = {}
    for code in PYTHON:
        exec(compile(code, "docs/targets-icechunk-zip.md", "exec"), found)
    assert len(PYTHON) == 4
    assert re.fullmatch(r"\d+ objects, \d+ bytes\n", capsys.readouterr().out)
    for target in ("icechunk://repo", f"icechunk://{tmp_path}/repo", "scene.zarr", "scene.zarr.zip"):
        assert conformance.check(target).exit_status == 0
