"""Documents that others publish, through the tolerant reader."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from geozarr import GeoZarrError, MetadataError, levels, store
from geozarr.conventions import multiscales, proj, registration, spatial

if TYPE_CHECKING:
    from pathlib import Path


def attributes_of(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))["attributes"]


@pytest.mark.parametrize("revision", ["v0.1", "v1-draft-2025-12"])
def test_the_examples_of_multiscales_are_read(spec_dir: Path, revision: str) -> None:
    paths = sorted((spec_dir / "examples" / "multiscales" / revision).glob("*.json"))
    assert len(paths) == 6
    for path in paths:
        attributes = attributes_of(path)
        assert registration.MULTISCALES in registration.from_attributes(attributes, node=path.name)
        read = multiscales.from_attributes(attributes, node=path.name)
        assert [item.asset for item in read.layout] == [item["asset"] for item in attributes["multiscales"]["layout"]]
        assert read.to_attributes()["multiscales"].keys() <= attributes["multiscales"].keys()
        for item, document in zip(read.layout, attributes["multiscales"]["layout"], strict=True):
            spatial.from_attributes(item.extra, node=path.name)
            again = item.to_document()
            assert {key: again[key] for key in document if key != "transform"} == {
                key: value for key, value in document.items() if key != "transform"
            }


@pytest.mark.parametrize("folder", ["proj/v0.1", "proj/v1-draft-geo-proj-2025-12", "spatial/v0.1"])
def test_the_examples_of_proj_and_spatial_are_read(spec_dir: Path, folder: str) -> None:
    paths = sorted((spec_dir / "examples" / folder).glob("*.json"))
    assert paths
    for path in paths:
        attributes = attributes_of(path)
        found = registration.from_attributes(attributes, node=path.name)
        assert {registration.PROJ, registration.SPATIAL} & set(found)
        assert proj.from_attributes(attributes, node=path.name) is not None
        spatial.from_attributes(attributes, node=path.name)


def test_the_pyramid_of_the_proj_example_is_read_and_its_levels_are_judged(spec_dir: Path) -> None:
    # SPEC D-17: its levels and its bbox disagree, which a checker reports; the levels themselves are well formed.
    attributes = attributes_of(spec_dir / "examples" / "proj" / "v0.1" / "multiscales.json")
    read = levels.from_attributes(attributes)
    assert read.assets[0] == attributes["multiscales"]["layout"][0]["asset"]
    assert all(level.grid.is_north_up for level in read.levels)


def test_the_valid_stores_of_the_draft_suite_are_read(spec_dir: Path) -> None:
    folder = spec_dir / "cases" / "geozarr-spec-pr127" / "valid"
    paths = sorted(folder.glob("*/*.zarr"))
    assert len(paths) > 8
    for path in paths:
        tree = store.read_tree(store.open_store(path))
        for node, document in tree.nodes.items():
            attributes = document.get("attributes", {})
            registration.from_attributes(attributes, node=node)
            proj.from_attributes(attributes, node=node)
            spatial.from_attributes(attributes, node=node)


def test_five_numbers_are_no_transform(spec_dir: Path) -> None:
    folder = spec_dir / "cases" / "geozarr-spec-pr127" / "invalid" / "invalid-bad-transform-length.zarr"
    tree = store.read_tree(store.open_store(folder))
    with pytest.raises(MetadataError) as caught:
        spatial.from_attributes(tree.attributes("ar"), node="/ar")
    assert caught.value.key == "spatial:transform"


@pytest.mark.parametrize(
    "name",
    [
        "projected_crs",
        "compound_crs",
        "bound_crs",
        "datum_ensemble",
        "explicit_prime_meridian",
        "implicit_prime_meridian",
    ],
)
def test_projjson_of_others_is_read(spec_dir: Path, name: str) -> None:
    path = spec_dir / "cases" / "eopf-projjson" / f"{name}.json"
    read = proj.from_attributes({"proj:projjson": json.loads(path.read_text(encoding="utf-8"))}, node="/")
    assert read is not None
    assert len(read.proj.axis_info) == 2


def test_an_operation_is_no_crs(spec_dir: Path) -> None:
    path = spec_dir / "cases" / "eopf-projjson" / "transformation.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    with pytest.raises(MetadataError):
        proj.from_attributes({"proj:projjson": document}, node="/")


def test_the_canonical_store_is_read_and_written_alike(data_dir: Path) -> None:
    tree = store.read_tree(store.open_store(data_dir / "zarr" / "conformance" / "base.zarr"))
    assert tree.is_consolidated
    read = levels.from_attributes(tree.attributes())
    assert read.assets == ("5", "4", "3")
    written, theirs = read.to_attributes(), tree.attributes()
    for key in ("zarr_conventions", "proj:code", "spatial:dimensions"):
        assert written[key] == theirs[key]
    # Their lower edge is 0; ours is worked out from the upper one, 1024 rounded cells away.
    assert written["spatial:bbox"] == pytest.approx(theirs["spatial:bbox"], abs=1e-6)
    assert written["multiscales"]["layout"] == theirs["multiscales"]["layout"]
    # They have the keys of GeoZarr 0.4, under which OpenLayers draws no tile of small chunks.
    limits = {item["tileMatrix"]: item for item in written["multiscales"]["tileMatrixSetLimits"]}
    assert limits == theirs["multiscales"]["tile_matrix_limits"]
    assert written["multiscales"]["tileMatrixSet"]["tileMatrices"] == sorted(
        theirs["multiscales"]["tile_matrix_set"]["tileMatrices"], key=lambda matrix: -matrix["cellSize"]
    )


def _edited(document: dict, edits: list[dict]) -> dict:
    """Apply the few operations of RFC 6902 that the cases use."""
    edited = json.loads(json.dumps(document))
    for edit in edits:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in edit["path"].split("/")[1:]]
        target = edited
        for part in parents:
            target = target[int(part) if isinstance(target, list) else part]
        place = int(last) if isinstance(target, list) else last
        if edit["op"] == "remove":
            del target[place]
        else:
            target[place] = edit["value"]
    return edited


# Faults of the group that reading its levels must meet, with what it must be called.
FATAL = {
    "no_zarr_conventions": "zarr_conventions",
    "layout_empty": "multiscales.layout",
    "asset_missing_key": "multiscales.layout[1].asset",
    "asset_absolute_path": "multiscales.layout[1].asset",
    "derived_from_unknown": "derived_from of 4",
    "tms_limits_outside_matrix": "is outside rows",
    "tms_limits_unknown_matrix": "unknown tile matrix",
    "tms_cellsize_not_level": "level",
    "tms_crs_other": "CRS of level",
}


def test_faults_of_the_group_are_met_and_named(data_dir: Path) -> None:
    folder = data_dir / "zarr" / "conformance"
    cases = json.loads((folder / "invalid.json").read_text(encoding="utf-8"))["cases"]
    root = store.read_tree(store.open_store(folder / "base.zarr")).root
    met = {}
    for case in cases:
        if case["node"] == "":
            try:
                levels.from_attributes(_edited(root, case["edits"])["attributes"])
            except GeoZarrError as error:
                met[case["id"]] = str(error)
    assert {name: words for name, words in FATAL.items() if words not in met.get(name, "")} == {}
