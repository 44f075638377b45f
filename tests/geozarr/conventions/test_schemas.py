"""What the writer writes, held against the JSON schemas that the conventions and OGC publish."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest
from affine import Affine
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7, DRAFT201909

from geozarr import Grid, Levels, TileLimits, crs, documents, levels, tms
from geozarr.documents import ArrayLayout
from strategies import CODES, known_crs, known_tms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROJJSON = "https://proj.org/schemas/v0.7/projjson.schema.json"
NATIVE = levels.from_halving(
    Grid((997, 13), Affine(10, 0, 500, 0, -20, 1000), known_crs("EPSG:32618")), count=4, resampling_method="average"
)
ALIGNED = levels.from_tms(known_tms("WebMercatorQuad"), TileLimits("3", 2, 3, 4, 4), count=3)
LAT_LON = levels.from_tms(known_tms("WGS1984Quad"), TileLimits("3", 2, 3, 4, 4), count=3, resampling_method="mode")
PYRAMIDS = {"native": NATIVE, "aligned": ALIGNED, "lat lon": LAT_LON}


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def errors(spec_dir: Path) -> Callable[[str, Any], list[str]]:
    """Validate against a schema named by its path below `schemas`; the messages of what is wrong."""
    folder = spec_dir / "schemas"
    projjson = _json(folder / "projjson" / "v0.7" / "projjson.schema.json")
    registry = Registry().with_resource(PROJJSON, Resource.from_contents(projjson, default_specification=DRAFT7))
    for path in (folder / "tms" / "2.0").glob("*.json"):
        resource = Resource.from_contents(_json(path), default_specification=DRAFT201909)
        registry = registry.with_resource(path.name, resource)

    def check(name: str, document: Any) -> list[str]:
        schema = _json(folder / name)
        if name.startswith("tms/"):  # its references are relative to the file
            schema["$id"] = name.rpartition("/")[2]
        validator = jsonschema.validators.validator_for(schema)(schema, registry=registry)
        return [error.message for error in validator.iter_errors(json.loads(json.dumps(document)))]

    return check


def group(made: Levels) -> dict[str, Any]:
    return documents.group_document(made.to_attributes())


def array(made: Levels) -> dict[str, Any]:
    grid = made.finest.grid
    layout = ArrayLayout(grid.shape, np.dtype("uint8"), made.dimensions, (256, 256), None, 0)
    attributes = levels.level_attributes(grid, dimensions=made.dimensions)
    return documents.array_document(layout, codecs=[{"name": "bytes"}], attributes=attributes)


V0_1 = ("zarr-conventions-spec/v1/zarr-conventions-schema.json", "proj/v0.1/schema.json", "spatial/v0.1/schema.json")


@pytest.mark.parametrize("made", PYRAMIDS.values(), ids=PYRAMIDS)
@pytest.mark.parametrize("name", [*V0_1, "multiscales/v0.1/schema.json"])
def test_a_multiscale_group_is_valid(errors: Callable, made: Levels, name: str) -> None:
    assert errors(name, group(made)) == []


@pytest.mark.parametrize("made", PYRAMIDS.values(), ids=PYRAMIDS)
@pytest.mark.parametrize("name", V0_1)
def test_a_level_group_and_its_arrays_are_valid(errors: Callable, made: Levels, name: str) -> None:
    attributes = levels.level_attributes(made.finest.grid, dimensions=made.dimensions)
    assert errors(name, documents.group_document(attributes)) == []
    assert errors(name, array(made)) == []


@pytest.mark.parametrize("code", CODES)
def test_the_crs_of_a_level_is_valid(errors: Callable, code: str) -> None:
    grid = replace(NATIVE.finest.grid, crs=known_crs(code))
    attributes = levels.level_attributes(grid, dimensions=("y", "x"))
    attributes["proj:projjson"] = grid.crs.to_projjson()
    assert errors("proj/v0.1/schema.json", documents.group_document(attributes)) == []


BREAKS: list[tuple[str, Callable[[dict], object]]] = [
    ("multiscales/v0.1/schema.json", lambda a: a.pop("multiscales")),
    ("multiscales/v0.1/schema.json", lambda a: a["multiscales"].update(layout=[])),
    ("multiscales/v0.1/schema.json", lambda a: a["multiscales"]["layout"][0].update(asset="/0")),
    ("multiscales/v0.1/schema.json", lambda a: a["multiscales"]["layout"][1].pop("transform")),
    ("multiscales/v0.1/schema.json", lambda a: a["zarr_conventions"][0].update(uuid="x")),
    ("zarr-conventions-spec/v1/zarr-conventions-schema.json", lambda a: a["zarr_conventions"][1].update(extra="x")),
    ("proj/v0.1/schema.json", lambda a: a.update({"proj:code": "EPSG"})),
    ("spatial/v0.1/schema.json", lambda a: a.update({"spatial:bbox": [0, 0, 1]})),
]


@pytest.mark.parametrize(("name", "break_it"), BREAKS)
def test_the_schemas_see_what_is_broken(errors: Callable, name: str, break_it: Callable[[dict], object]) -> None:
    document = copy.deepcopy(group(ALIGNED))
    break_it(document["attributes"])
    assert errors(name, document)


@pytest.mark.parametrize("name", tms.known_ids())
def test_a_written_set_is_valid(errors: Callable, name: str) -> None:
    assert errors("tms/2.0/tileMatrixSet.json", known_tms(name).to_document()) == []


def test_a_set_whose_crs_has_no_code_is_valid(errors: Callable) -> None:
    own = crs.from_wkt2(known_crs("EPSG:32618").wkt2.replace('"False easting",500000', '"False easting",500001'))
    written = replace(known_tms("UTM31WGS84Quad"), crs=own).to_document()
    assert written["crs"]["wkt"]
    # The schema of OGC holds PROJJSON 0.2, which 0.7 has outgrown; what counts is that PROJJSON of today is valid.
    assert errors("projjson/v0.7/projjson.schema.json", written["crs"]["wkt"]) == []
    assert errors("tms/2.0/tileMatrixSet.json", {**written, "crs": "x"}) == []


def test_limits_are_valid(errors: Callable) -> None:
    for item in ALIGNED.levels:
        assert item.limits is not None
        assert errors("tms/2.0/tileMatrixLimits.json", item.limits.to_document()) == []
    assert errors("tms/2.0/tileMatrixLimits.json", {"tileMatrix": "0"})


def test_the_set_inside_a_pyramid_is_valid(errors: Callable) -> None:
    inline = group(LAT_LON)["attributes"]["multiscales"]["tileMatrixSet"]
    assert errors("tms/2.0/tileMatrixSet.json", inline) == []
    assert errors("tms/2.0/tileMatrixSet.json", {**inline, "tileMatrices": [{}]})
