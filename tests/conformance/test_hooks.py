"""What others run in their repositories: the pre-commit hook and the GitHub Action."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
(HOOK,) = yaml.safe_load((PROJECT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
ACTION = yaml.safe_load((PROJECT / ".github/actions/geozarr-check/action.yml").read_text(encoding="utf-8"))
BASH = shutil.which("bash")


def test_the_hook_runs_a_command_of_the_package() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (HOOK["id"], HOOK["language"]) == ("geozarr-check", "python")
    assert HOOK["entry"] in project["scripts"]


@pytest.mark.parametrize(
    ("path", "is_meant"),
    [
        ("scene.zarr/zarr.json", True),
        ("data/scene.zarr/9/red/c/0/1", True),
        ("data/scene.zarr.zip", True),
        ("data/scene/zarr.json", True),
        ("old/.zattrs", True),
        ("src/zarr.json.py", False),
        ("docs/my.zarr.md", False),
    ],
)
def test_the_hook_looks_at_files_of_stores(path, is_meant) -> None:
    assert bool(re.search(HOOK["files"], path)) is is_meant


def test_inputs_reach_scripts_of_the_action_as_variables_only() -> None:
    steps = ACTION["runs"]["steps"]
    assert [step for step in steps if "${{" in step.get("run", "")] == []
    used = set(re.findall(r"inputs\.([a-z-]+)", str(ACTION)))
    assert used == set(ACTION["inputs"])


@pytest.mark.skipif(BASH is None, reason="there is no bash")
@pytest.mark.parametrize(("fails", "status"), [("true", 2), ("false", 0)])
def test_the_action_tells_the_status_and_obeys_no_name(tmp_path: Path, fails, status) -> None:
    (step,) = [step for step in ACTION["runs"]["steps"] if step.get("id") == "check"]
    command = tmp_path / "geozarr-check" / "bin" / "geozarr-check"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from conformance.cli import main; main()" "$@"\n')
    command.chmod(0o755)
    out = tmp_path / "out"
    inputs = {"STORE": "-$(touch pwned) no.zarr", "DEPTH": "metadata", "PROFILE": "geozarr", "FORM": "sarif"}
    places = {"OUTPUT": "x.sarif", "FAIL": fails, "RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(out)}
    ended = subprocess.run(
        [str(BASH), "-e", "-o", "pipefail", "-c", step["run"]],  # as GitHub runs steps
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **inputs, **places},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert out.read_text() == "status=2\n"
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "pwned").exists()
