"""docs/metadata.md names every field that a pyramid carries, and its examples are true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import pyramids
from geozarr import TileLimits, levels, store, tms

if TYPE_CHECKING:
    from collections.abc import Iterator

METADATA = (Path(__file__).resolve().parents[1] / "docs" / "metadata.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^#+ ", METADATA, flags=re.MULTILINE)}
PYTHON = re.findall(r"^```python\n(.*?)^```", METADATA, re.MULTILINE | re.DOTALL)
JSON = re.findall(r"^```json\n(.*?)^```", METADATA, re.MULTILINE | re.DOTALL)
# Rows that no raster below brings about: other sources do.
FROM_OTHER_SOURCES = {"standard_name", "units", "scale_factor", "add_offset"}

TABLES = {
    "classes": {1: (0, 0, 255), 2: (0, 128, 0)},
    "shades": {value: (value // 100, 0, 0) for value in range(1000)},
}


def rows(section: str) -> set[str]:
    """Fields that have a row in a table of a section."""
    return set(re.findall(r"^\| `([^`]+)` \|", SECTIONS[section], re.MULTILINE))


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> list[store.Tree]:
    """Pyramids of rasters that between them bring about every field."""
    folder = tmp_path_factory.mktemp("docs")
    made = []
    for name, count, dtype, options in (
        ("rgb", 3, "uint8", {"nodata": 0}),
        ("integers", 1, "int16", {}),
        ("bands", 2, "float32", {"bands": "axis", "tms": "native", "levels": 2}),
        ("classes", 1, "uint8", {}),
        ("shades", 1, "uint16", {}),
    ):
        path = folder / f"{name}.tif"
        profile = {"driver": "GTiff", "height": 40, "width": 50, "count": count, "dtype": dtype, "crs": "EPSG:32632"}
        values = np.arange(1, count * 2000 + 1).reshape(count, 40, 50) % 200 + 1
        with rasterio.open(path, "w", transform=from_origin(5e5, 5e6, 3000, 3000), **profile) as out:
            out.write(values.astype(dtype))
            if name in TABLES:
                out.write_colormap(1, TABLES[name])
        pyramids.build(path, folder / f"{name}.zarr", **options)
        made.append(store.read_tree(store.open_store(folder / f"{name}.zarr")))
    return made


def _keys(value: Any) -> Iterator[str]:
    """All keys of nested objects, but for those that are ids of tile matrices."""
    if isinstance(value, dict):
        for key, below in value.items():
            if not key.isdigit():
                yield key
            yield from _keys(below)
    if isinstance(value, list):
        for below in value:
            yield from _keys(below)


def _arrays(trees: list[store.Tree]) -> Iterator[tuple[str, dict[str, Any]]]:
    for tree in trees:
        for path, document in tree.nodes.items():
            if document["node_type"] == "array":
                yield path.rpartition("/")[2], document


GROUP = "The multiscale group"
LEVEL = "A level group, and each data array in it"


def test_every_field_of_the_group_has_its_row(trees: list[store.Tree]) -> None:
    found = {key for tree in trees for key in tree.attributes()}
    assert found == rows(GROUP)


def test_every_field_of_multiscales_has_its_row(trees: list[store.Tree]) -> None:
    found = {key for tree in trees for key in _keys(tree.attributes()["multiscales"])}
    assert found == rows("`multiscales`")


def test_every_field_of_a_level_has_its_row(trees: list[store.Tree]) -> None:
    groups = [item for tree in trees for path, item in tree.nodes.items() if path and item["node_type"] == "group"]
    assert {key for item in groups for key in item["attributes"]} == rows(LEVEL)


def test_every_field_of_a_data_array_has_its_row(trees: list[store.Tree]) -> None:
    small = {"spatial_ref", "x", "y", "band"}
    found = {key for name, item in _arrays(trees) if name not in small for key in item["attributes"]}
    assert found - rows(LEVEL) == rows("A data array") - FROM_OTHER_SOURCES


def test_every_statistic_is_named(trees: list[store.Tree]) -> None:
    found = {key for _, item in _arrays(trees) for key in item["attributes"].get("statistics", {})}
    sentence = re.search(r"^In `statistics`:.*", SECTIONS["A data array"], re.MULTILINE)
    assert sentence is not None
    assert found | {"statistics"} == set(re.findall(r"`(\w+)`", sentence[0]))


def test_every_field_of_the_grid_mapping_has_its_row(trees: list[store.Tree]) -> None:
    found = {key for name, item in _arrays(trees) if name == "spatial_ref" for key in item["attributes"]}
    assert found == rows("`spatial_ref`")


def test_every_field_of_the_coordinates_has_its_row(trees: list[store.Tree]) -> None:
    found = {key for name, item in _arrays(trees) if name in ("x", "y") for key in item["attributes"]}
    assert found == rows("`y` and `x`")


def test_every_field_of_a_document_has_its_row(trees: list[store.Tree]) -> None:
    found = {key for tree in trees for item in tree.nodes.values() for key in item}
    assert found == rows("`zarr.json`")


def test_the_group_of_the_example_is_what_is_written() -> None:
    (text,) = JSON
    limits = TileLimits("4", 5, 5, 8, 8)
    made = levels.from_tms(tms.load("WebMercatorQuad"), limits, count=2, resampling_method="average")
    left_out = ("zarr_conventions", "proj:wkt2")
    assert json.loads(text) == {key: value for key, value in made.to_attributes().items() if key not in left_out}


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_the_python_examples_run(code: str) -> None:
    exec(compile(code, "docs/metadata.md", "exec"), {})


def test_there_are_examples() -> None:
    assert len(PYTHON) == 3
