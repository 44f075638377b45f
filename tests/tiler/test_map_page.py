"""The map page in a real browser, against a real server. Nothing but loopback is reachable or needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[2]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=10000",
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome on the PATH")


@pytest.fixture(scope="module")
def maps(stores: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Addresses of the map pages of a running server."""
    names = ("colour", "height", "native", "stack")
    command = [sys.executable, "-c", "from tiler.cli import main; main()", "--port", "0"]
    command += [f"{name}={stores[name].path}" for name in names]
    environ = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            yield dict(process.stdout.readline().split() for _ in names)
        finally:
            process.terminate()


def browse(url: str, folder: Path, *options: str) -> str:
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", *options, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def screenshot(url: str, folder: Path, *, width: int, height: int) -> np.ndarray:
    file = folder / "map.png"
    browse(url, folder, f"--window-size={width},{height}", f"--screenshot={file}")
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def test_the_page_lists_what_can_be_shown(maps: dict[str, str], tmp_path: Path) -> None:
    page = browse(maps["colour"], tmp_path, "--dump-dom")
    assert '<h1 id="title">colour</h1>' in page
    for name in ("natural colours", "red", "green", "blue"):
        assert f">{name}</option>" in page
    assert ">alpha</option>" not in page


def test_the_picture_is_where_it_belongs(maps: dict[str, str], tmp_path: Path) -> None:
    found = screenshot(maps["colour"], tmp_path, width=800, height=600)
    background = found[-3, -3]
    # All of the pyramid is shown in the middle: a square, opaque in the north-west, as high as the window nearly.
    left = int((found[300] != background).any(axis=-1).argmax())
    side = 2 * (400 - left)
    top = 300 - side / 2
    assert 400 < side < 600
    for row, col in ((0.3, 0.3), (0.5, 0.2), (0.1, 0.8)):
        # The factory's colours at the cell of the finest level, which is 512 cells wide.
        cell_row, cell_col = row * 512, col * 512
        expected = ((cell_row + cell_col) / 4 % 256, cell_col / 2 % 256, cell_row / 2 % 256)
        got = found[round(top + row * side), round(left + col * side)]
        assert np.abs(got - expected).max() < 8  # JPEG, and a shift of a pixel
    assert (found[round(top + 0.9 * side), round(left + 0.9 * side)] == background).all()


def test_a_link_chooses_variable_index_and_colours(maps: dict[str, str], tmp_path: Path) -> None:
    page = browse(f"{maps['stack']}?variable=data&bidx=2&colormap_name=viridis", tmp_path, "--dump-dom")
    assert "variable=data&amp;bidx=2&amp;colormap_name=viridis" in page  # the address of a tile


def test_a_native_pyramid_shows_on_a_phone(maps: dict[str, str], tmp_path: Path) -> None:
    found = screenshot(maps["native"], tmp_path, width=500, height=800)
    background = found[-3, -3]
    shown = (found[250:550, 150:350] != background).any(axis=-1)
    assert shown.mean() > 0.8


def test_a_set_that_does_not_exist_is_no_page(maps: dict[str, str], tmp_path: Path) -> None:
    page = browse(maps["height"].replace("WebMercatorQuad", "NothingQuad"), tmp_path, "--dump-dom")
    assert "unknown TileMatrixSet" in page
