"""examples/families.py: every form in which rasters come becomes the same landscape, and docs/guide.md shows each."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from PIL import Image

import geozarr
import pyramids
from conformance import Severity, check

PROJECT = Path(__file__).resolve().parents[1]


def _families() -> Any:
    spec = importlib.util.spec_from_file_location("families", PROJECT / "examples" / "families.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["families"] = module
    spec.loader.exec_module(module)
    return module


FAMILIES = _families()
OF_HEIGHTS = [name for name in FAMILIES.FAMILIES if name not in ("classes", "times")]


@pytest.mark.parametrize("name", OF_HEIGHTS)
def test_the_map_is_the_landscape(tmp_path: Path, name: str) -> None:
    """Held against the landscape where PROJ puts each pixel, and not against what half a pixel away would be."""
    made = FAMILIES.FAMILIES[name](tmp_path)
    plan = pyramids.build(made.source, tmp_path / "out.zarr", **made.options)
    opened = geozarr.open_pyramid(tmp_path / "out.zarr")
    for variable in plan.data_variables:
        level = plan.levels.levels[variable.first]
        found = opened.open_level(level.asset)[variable.name].to_numpy().astype("f8")
        to_degrees = pyproj.Transformer.from_crs(level.grid.crs.wkt2, "OGC:CRS84", always_xy=True)
        x, y = np.meshgrid(level.grid.x_centres(), level.grid.y_centres())
        valid = np.isfinite(found)
        assert valid.sum() > 1000

        errors = []
        for cells in (0, -0.5, 0.5):
            shift = cells * level.grid.cell_size[0]
            finest = made.finest[variable.name] if isinstance(made.finest, dict) else made.finest
            lands = FAMILIES.height(*to_degrees.transform(x[valid] + shift, y[valid] - shift), finest=finest)
            errors.append(float(np.median(np.abs(found[valid] - lands))))
        assert errors[0] < 0.08 * np.std(found[valid]), variable.name
        assert errors[0] < 0.6 * min(errors[1:]), variable.name
    worst = {finding.severity for finding in check(tmp_path / "out.zarr", depth="pixels").findings}
    assert worst <= {Severity.INFO}


def test_classes_stay_classes(tmp_path: Path) -> None:
    made = FAMILIES.classes(tmp_path)
    plan = pyramids.build(made.source, tmp_path / "out.zarr", **made.options)
    opened = geozarr.open_pyramid(tmp_path / "out.zarr")
    for asset in plan.levels.assets:
        codes = opened.open_level(asset, mask_and_scale=False)[plan.variables[0].name].to_numpy()
        assert set(np.unique(codes)) <= {0, *FAMILIES.CLASSES}
    assert plan.variables[0].fold_method == "mode"


def test_each_step_of_the_series_is_its_own(tmp_path: Path) -> None:
    made = FAMILIES.times(tmp_path)
    plan = pyramids.build(made.source, tmp_path / "out.zarr", **made.options)
    level = geozarr.open_pyramid(tmp_path / "out.zarr").open_level(plan.levels.assets[0])
    steps = level["height"].to_numpy()
    to_degrees = pyproj.Transformer.from_crs("EPSG:3857", "OGC:CRS84", always_xy=True)
    _, latitude = to_degrees.transform(np.zeros(level.sizes["y"]), level["y"].to_numpy())
    wave = np.sin(np.radians(latitude * 12))[:, None]
    for month, step in zip((0, 3, 6, 9), steps, strict=True):
        expected = 4000 * (np.cos(np.radians(30) * month) - np.cos(0)) * wave
        inside = (np.abs(latitude - 45.5) < 4.4)[:, None] & np.isfinite(step)
        # A sine of 12 waves around the globe, interpolated between rows a 20th of a degree apart, is off by 0.11 m.
        assert np.abs(np.where(inside, step - steps[0] - expected, 0)).max() < 0.5


def test_the_guide_shows_a_picture_of_each_family() -> None:
    guide = (PROJECT / "docs" / "guide.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]{20,}\]\(images/families/(\w+)\.png\)", guide)
    assert sorted(shown) == sorted(FAMILIES.FAMILIES)
    for name in shown:
        with Image.open(PROJECT / "docs" / "images" / "families" / f"{name}.png") as picture:
            assert picture.size == (2 * FAMILIES.PANEL + 12, FAMILIES.PANEL)


def test_a_picture_is_made_as_the_guide_says(tmp_path: Path) -> None:
    FAMILIES.main(tmp_path, ["swath", "resolutions"])
    for name in ("swath", "resolutions"):
        made = Image.open(tmp_path / f"{name}.png").convert("RGB").resize((63, 30))
        kept = Image.open(PROJECT / "docs" / "images" / "families" / f"{name}.png").convert("RGB").resize((63, 30))
        off = np.abs(np.asarray(made, "i4") - np.asarray(kept, "i4"))
        assert off.mean() < 8, f"{name} does not look as docs/images/families has it"
