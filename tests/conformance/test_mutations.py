"""Break one thing in a good store: exactly that finding, at that node, and no other."""

from __future__ import annotations

import base64
import copy
import json
import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conformance import Severity, cases, check
from conformance.geometry import RULES as GEOMETRY_RULES
from conformance.metadata import NOT_CHECKED
from conformance.metadata import RULES as METADATA_RULES
from conformance.profiles import PROFILES
from geozarr import crs
from geozarr.conventions import registration

if TYPE_CHECKING:
    from collections.abc import Callable

    Edit = Callable[[dict[str, Any]], object]

ATTRS, ZC = "attributes", "zarr_conventions"
MS = (ATTRS, "multiscales")
LAYOUT = (*MS, "layout")
TMS = (*MS, "tileMatrixSet")
MATRICES = (*TMS, "tileMatrices")
LIMITS = (*MS, "tileMatrixSetLimits")
PROJ_CMO = registration.PROJ.to_document()
MULTISCALES_CMO = registration.MULTISCALES.to_document()
UTM32 = crs.from_code("EPSG:32632")
UTM33 = crs.from_code("EPSG:32633")
ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


@dataclass(frozen=True)
class Mutation:
    """One fault: the store it is put into, the edit, and the finding it makes.

    `edit` changes documents that are then consolidated anew; `raw` changes what is stored, and nothing follows it.
    """

    name: str
    store: str
    rule: str
    node: str
    edit: Edit | None = None
    raw: Edit | None = None
    severity: Severity = ERROR
    pointer: str | None = None
    profile: str = "geozarr"


def _holder(documents: dict[str, Any], path: str, pointer: tuple[str | int, ...]) -> Any:
    value = documents[path]
    for part in pointer:
        value = value[part]
    return value


def put(path: str, *pointer: Any) -> Edit:
    """Write the last argument at the place that the others name."""
    *where, last, value = pointer
    return lambda documents: _holder(documents, path, tuple(where)).__setitem__(last, value)


def drop(path: str, *pointer: Any) -> Edit:
    """Remove a key or an element."""
    *where, last = pointer
    return lambda documents: _holder(documents, path, tuple(where)).__delitem__(last)


def change(path: str, *pointer: Any) -> Edit:
    """Replace a value by what a function, the last argument, makes of it."""
    *where, last, function = pointer

    def edit(documents: dict[str, Any]) -> None:
        holder = _holder(documents, path, tuple(where))
        holder[last] = function(holder[last])

    return edit


def together(*edits: Edit) -> Edit:
    return lambda documents: [edit(documents) for edit in edits]


def remove(path: str) -> Edit:
    """Take a node and all below it away."""

    def edit(documents: dict[str, Any]) -> None:
        for other in [other for other in documents if other == path or other.startswith(f"{path}/")]:
            del documents[other]

    return edit


def lose(path: str) -> Edit:
    """Take the document of a node away, and nothing below it."""
    return lambda documents: documents.__delitem__(path)


def float64(value: float) -> str:
    return base64.b64encode(struct.pack("<d", value)).decode()


def scaled(index: int, factor: float) -> Callable[[list[float]], list[float]]:
    return lambda numbers: [number * factor if i == index else number for i, number in enumerate(numbers)]


def shifted(index: int, by: float) -> Callable[[list[float]], list[float]]:
    return lambda numbers: [number + by if i == index else number for i, number in enumerate(numbers)]


def array(*, attributes: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A small array document, of a variable that says what it is."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [4],
        "data_type": "float64",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {"long_name": "made for a test", **(attributes or {})},
        **changes,
    }


def add(path: str, document: Any) -> Edit:
    return lambda documents: documents.__setitem__(path, document)


REGISTRATION = [
    Mutation("conventions no array", "tms", "ZC-01", "/10/red", put("10/red", ATTRS, ZC, {"a": 1})),
    Mutation("convention no object", "tms", "ZC-01", "/10/red", put("10/red", ATTRS, ZC, 0, "proj")),
    Mutation("no identifier", "tms", "ZC-02", "/10/red", put("10/red", ATTRS, ZC, 0, {"name": "proj"})),
    Mutation("unknown member", "tms", "ZC-03", "/9", put("9", ATTRS, ZC, 0, "version", "0.1")),
    Mutation("name no string", "tms", "ZC-03", "/9", put("9", ATTRS, ZC, 0, "name", 5)),
    Mutation("uuid in capitals", "tms", "ZC-04", "/9", change("9", ATTRS, ZC, 0, "uuid", str.upper)),
    Mutation("uuid nonsense", "tms", "ZC-04", "/9", put("9", ATTRS, ZC, 0, "uuid", "proj")),
    Mutation("url no uri", "tms", "ZC-04", "/9", put("9", ATTRS, ZC, 0, "spec_url", "read me")),
    Mutation("no name", "tms", "ZC-07", "/9", drop("9", ATTRS, ZC, 0, "name"), severity=WARNING),
    Mutation(
        "properties in the registration",
        "tms",
        "ZC-08",
        "/9",
        together(
            lambda d: d["9"][ATTRS][ZC][0].update({k: d["9"][ATTRS].pop(k) for k in ("proj:code", "proj:wkt2")}),
        ),
    ),
    Mutation("nothing registered", "tms", "ZC-09", "/", drop("", ATTRS, ZC)),
    Mutation("nothing registered at a level", "tms", "ZC-09", "/9", drop("9", ATTRS, ZC), severity=WARNING),
    Mutation(
        "spatial without a key",
        "tms",
        "ZC-10",
        "/x",
        add(
            "x",
            {
                "zarr_format": 3,
                "node_type": "group",
                "attributes": {ZC: [registration.SPATIAL.to_document()]},
            },
        ),
    ),
    Mutation("no uuid for multiscales", "tms", "ZC-12", "/", drop("", ATTRS, ZC, 0, "uuid")),
    Mutation("no uuid for proj", "tms", "ZC-12", "/9", drop("9", ATTRS, ZC, 0, "uuid"), severity=WARNING),
    Mutation("registered twice", "tms", "ZC-13", "/9", change("9", ATTRS, ZC, lambda found: [*found, PROJ_CMO])),
    Mutation(
        "identifiers of two conventions",
        "tms",
        "ZC-14",
        "/9",
        put("9", ATTRS, ZC, 0, "schema_url", registration.SPATIAL.schema_url),
    ),
    Mutation("uuid of nothing", "tms", "ZC-14", "/9", change("9", ATTRS, ZC, 0, "uuid", lambda u: u[:-1] + "0")),
    Mutation(
        "urls of two revisions",
        "tms",
        "ZC-14",
        "/9",
        change("9", ATTRS, ZC, 0, "spec_url", lambda url: url.replace("v0.1", "v1")),
    ),
    Mutation("another description", "tms", "ZC-15", "/", put("", ATTRS, ZC, 0, "description", "Pyramids")),
    Mutation("name of the drafts", "tms", "ZC-15", "/9", put("9", ATTRS, ZC, 0, "name", "proj:"), severity=WARNING),
    Mutation(
        "pinned commit",
        "tms",
        "ZC-15",
        "/9",
        change("9", ATTRS, ZC, 0, "schema_url", lambda url: url.replace("refs/tags/v0.1", "5ca5b2f92e5c")),
        severity=INFO,
    ),
    Mutation(
        "retired revision",
        "tms",
        "ZC-16",
        "/9",
        together(
            *(
                change("9", ATTRS, ZC, 0, key, lambda url: url.replace("v0.1", "v1"))
                for key in ("schema_url", "spec_url")
            )
        ),
        severity=WARNING,
    ),
    Mutation("only one of two registered", "tms", "ZC-17", "/9/red", drop("9/red", ATTRS, ZC, 0)),
]

MULTISCALES = [
    Mutation("no layout", "tms", "MS-01", "/", put("", *LAYOUT, [])),
    Mutation("no multiscales", "tms", "MS-01", "/", drop("", *MS)),
    Mutation("multiscales a list", "native", "MS-01", "/", change("", *MS, lambda found: [found])),
    Mutation("level no object", "native", "MS-01", "/", put("", *LAYOUT, 3, "3")),
    Mutation("multiscale array", "tms", "MS-02", "/9/red", change("9/red", ATTRS, ZC, lambda f: [*f, MULTISCALES_CMO])),
    Mutation("no asset", "tms", "MS-03", "/", drop("", *LAYOUT, 1, "asset")),
    Mutation("absolute asset", "tms", "MS-03", "/", put("", *LAYOUT, 1, "asset", "/9")),
    Mutation("asset upwards", "native", "MS-03", "/", put("", *LAYOUT, 3, "asset", "../3")),
    Mutation("asset from the root", "nested", "MS-04", "/a/b", put("a/b", *LAYOUT, 3, "asset", "a/b/3")),
    Mutation("asset missing", "tms", "MS-05", "/", put("", *LAYOUT, 1, "asset", "nine")),
    Mutation("level gone", "native", "MS-05", "/", remove("3")),
    Mutation(
        "group and array",
        "native",
        "MS-06",
        "/",
        put("", *LAYOUT, 3, "asset", "3/data"),
        severity=WARNING,
    ),
    Mutation("derived without transform", "native", "MS-07", "/", drop("", *LAYOUT, 1, "transform")),
    Mutation("source of another syntax", "native", "MS-07", "/", put("", *LAYOUT, 1, "derived_from", "0/")),
    Mutation("source no level", "native", "MS-08", "/", put("", *LAYOUT, 1, "derived_from", "0/data")),
    Mutation("derived from itself", "native", "MS-09", "/", put("", *LAYOUT, 2, "derived_from", "2")),
    Mutation("derived in a circle", "native", "MS-09", "/", put("", *LAYOUT, 1, "derived_from", "3")),
    Mutation("asset twice", "tms", "MS-09", "/", put("", *LAYOUT, 1, "asset", "8")),
    Mutation("scale no array", "native", "MS-10", "/", put("", *LAYOUT, 1, "transform", "scale", 2.0)),
    Mutation("scale zero", "native", "MS-10", "/", put("", *LAYOUT, 1, "transform", "scale", [0, 2])),
    Mutation("translation words", "native", "MS-10", "/", put("", *LAYOUT, 1, "transform", "translation", ["0", "0"])),
    Mutation("transform no object", "native", "MS-10", "/", put("", *LAYOUT, 1, "transform", [2, 2])),
    Mutation(
        "absolute key in the transform",
        "native",
        "MS-11",
        "/",
        lambda d: d[""][ATTRS]["multiscales"]["layout"][1]["transform"].update(
            {"spatial:shape": d[""][ATTRS]["multiscales"]["layout"][1].pop("spatial:shape")}
        ),
        severity=WARNING,
    ),
    Mutation("scale inverted", "native", "MS-12", "/", put("", *LAYOUT, 1, "transform", "scale", [0.5, 0.5])),
    Mutation(
        "scale of one number",
        "native",
        "MS-13",
        "/",
        put("", *LAYOUT, 1, "transform", "scale", [2.0]),
        severity=WARNING,
    ),
    Mutation(
        "scale of another length",
        "native",
        "MS-13",
        "/",
        put("", *LAYOUT, 1, "transform", "scale", [1.0, 2.0, 2.0]),
        severity=WARNING,
    ),
    Mutation(
        "translation not zero",
        "native",
        "MS-15",
        "/",
        put("", *LAYOUT, 1, "transform", "translation", [0.5, 0.5]),
        severity=WARNING,
    ),
    Mutation("method no string", "native", "MS-16", "/", put("", *MS, "resampling_method", 1)),
    Mutation(
        "uncommon method",
        "native",
        "MS-17",
        "/",
        put("", *LAYOUT, 1, "resampling_method", "conservative"),
        severity=INFO,
    ),
    Mutation("not consolidated", "native", "MS-18", "/", raw=drop("", "consolidated_metadata"), severity=WARNING),
    Mutation("coarse first", "tms", "MS-20", "/", change("", *LAYOUT, lambda found: found[::-1]), severity=WARNING),
    Mutation("scale from the base", "native", "MS-23", "/", put("", *LAYOUT, 2, "transform", "scale", [4.0, 4.0])),
]

SPATIAL = [
    Mutation(
        "no dimensions",
        "packed",
        "SP-01",
        "/1/height",
        together(drop("1/height", ATTRS, "spatial:dimensions"), drop("1", ATTRS, "spatial:dimensions")),
    ),
    Mutation(
        "dimensions of the group",
        "packed",
        "SP-01",
        "/1/height",
        drop("1/height", ATTRS, "spatial:dimensions"),
        severity=WARNING,
    ),
    Mutation(
        "three dimensions", "native", "SP-02", "/1/data", put("1/data", ATTRS, "spatial:dimensions", ["band", "y", "x"])
    ),
    Mutation(
        "columns first",
        "packed",
        "SP-02",
        "/1/height",
        put("1/height", ATTRS, "spatial:dimensions", ["lon", "lat"]),
        severity=WARNING,
    ),
    Mutation(
        "columns first in the group",
        "packed",
        "SP-02",
        "/",
        put("", ATTRS, "spatial:dimensions", ["lon", "lat"]),
        severity=WARNING,
    ),
    Mutation(
        "dimensions of no axis",
        "native",
        "SP-03",
        "/1/data",
        put("1/data", ATTRS, "spatial:dimensions", ["north", "east"]),
    ),
    Mutation(
        "axes of other names", "native", "SP-03", "/1/data", put("1/data", "dimension_names", ["band", "row", "col"])
    ),
    Mutation("axes without names", "native", "SP-03", "/1/data", drop("1/data", "dimension_names")),
    Mutation("one name for both", "native", "SP-03", "/1/data", put("1/data", ATTRS, "spatial:dimensions", ["y", "y"])),
    Mutation("dimensions of no array", "native", "SP-03", "/", put("", ATTRS, "spatial:dimensions", ["lat", "lon"])),
    Mutation(
        "no transform",
        "packed",
        "SP-04",
        "/1/height",
        together(drop("1/height", ATTRS, "spatial:transform"), drop("1", ATTRS, "spatial:transform")),
    ),
    Mutation(
        "five numbers", "native", "SP-05", "/1/data", change("1/data", ATTRS, "spatial:transform", lambda t: t[:5])
    ),
    Mutation("singular transform", "native", "SP-05", "/1", put("1", ATTRS, "spatial:transform", [0, 0, 5, 0, -10, 5])),
    Mutation(
        "GDAL's order",
        "native",
        "SP-05",
        "/",
        change("", *LAYOUT, 1, "spatial:transform", lambda t: [t[2], t[0], t[1], t[5], t[3], t[4]]),
    ),
    Mutation("transform of words", "native", "SP-05", "/1", put("1", ATTRS, "spatial:transform", ["a"] * 6)),
    Mutation(
        "south up",
        "degrees",
        "SP-07",
        "/photo",
        add(
            "photo",
            array(
                shape=[2, 2],
                dimension_names=["y", "x"],
                fill_value="NaN",
                chunk_grid={"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
                attributes={
                    ZC: [registration.SPATIAL.to_document()],
                    "spatial:dimensions": ["y", "x"],
                    "spatial:transform": [1, 0, 0, 0, 1, 0],
                },
            ),
        ),
        severity=INFO,
    ),
    Mutation("transform type no string", "native", "SP-08", "/1", put("1", ATTRS, "spatial:transform_type", 6)),
    Mutation(
        "unknown transform type",
        "native",
        "SP-08",
        "/1/data",
        put("1/data", ATTRS, "spatial:transform_type", "rpc"),
        severity=WARNING,
    ),
    Mutation("box of three numbers", "native", "SP-09", "/1", change("1", ATTRS, "spatial:bbox", lambda box: box[:3])),
    Mutation(
        "box inside out", "native", "SP-09", "/", change("", ATTRS, "spatial:bbox", lambda b: [b[2], b[1], b[0], b[3]])
    ),
    Mutation("shape of the array", "native", "SP-10", "/1/data", put("1/data", ATTRS, "spatial:shape", [151, 103])),
    Mutation("shape of broken numbers", "native", "SP-10", "/1", put("1", ATTRS, "spatial:shape", [150.5, 102])),
    Mutation("shape of zero", "native", "SP-10", "/", put("", *LAYOUT, 1, "spatial:shape", [0, 102])),
    Mutation(
        "unknown registration", "native", "SP-11", "/1/data", put("1/data", ATTRS, "spatial:registration", "corner")
    ),
    Mutation(
        "no transform in the layout",
        "native",
        "SP-14",
        "/",
        drop("", *LAYOUT, 1, "spatial:transform"),
        severity=WARNING,
    ),
    Mutation("no shape in the layout", "native", "SP-14", "/", drop("", *LAYOUT, 1, "spatial:shape"), severity=WARNING),
    Mutation(
        "box beyond the pole", "degrees", "SP-18", "/", put("", ATTRS, "spatial:bbox", [40.3, 110.0, 50.0, 123.1])
    ),
    Mutation(
        "node registration",
        "degrees",
        "SP-12",
        "/photo",
        add(
            "photo",
            array(
                shape=[2, 2],
                dimension_names=["y", "x"],
                fill_value="NaN",
                chunk_grid={"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
                attributes={
                    ZC: [registration.SPATIAL.to_document()],
                    "spatial:dimensions": ["y", "x"],
                    "spatial:transform": [1, 0, 0, 0, -1, 1],
                    "spatial:bbox": [0, 0, 1, 1],
                    "spatial:registration": "node",
                },
            ),
        ),
        severity=INFO,
    ),
]

PROJ = [
    Mutation("no CRS", "native", "PJ-01", "/1", together(drop("1", ATTRS, "proj:code"), drop("1", ATTRS, "proj:wkt2"))),
    Mutation("code without authority", "native", "PJ-02", "/1", put("1", ATTRS, "proj:code", "32633")),
    Mutation("code no string", "native", "PJ-02", "/1", put("1", ATTRS, "proj:code", 32633)),
    Mutation("unknown code", "native", "PJ-02", "/1", put("1", ATTRS, "proj:code", "EPSG:999999")),
    Mutation("lower case", "native", "PJ-02", "/1", put("1", ATTRS, "proj:code", "epsg:32633"), severity=WARNING),
    Mutation("vertical CRS", "native", "PJ-02", "/1", put("1", ATTRS, "proj:code", "EPSG:5773")),
    Mutation("WKT 1", "native", "PJ-03", "/1/data", put("1/data", ATTRS, "proj:wkt2", UTM33.proj.to_wkt("WKT1_GDAL"))),
    Mutation("broken WKT", "native", "PJ-03", "/1/data", change("1/data", ATTRS, "proj:wkt2", lambda wkt: wkt[:-40])),
    Mutation("WKT no string", "native", "PJ-03", "/1/data", put("1/data", ATTRS, "proj:wkt2", {"a": 1})),
    Mutation(
        "PROJJSON of an ellipsoid",
        "native",
        "PJ-04",
        "/1",
        put(
            "1",
            ATTRS,
            "proj:projjson",
            UTM33.to_projjson()["base_crs"]["datum_ensemble"]
            if "datum_ensemble" in UTM33.to_projjson()["base_crs"]
            else UTM33.to_projjson()["base_crs"]["datum"],
        ),
    ),
    Mutation(
        "PROJJSON without a name",
        "native",
        "PJ-04",
        "/1",
        put("1", ATTRS, "proj:projjson", {k: v for k, v in UTM33.to_projjson().items() if k != "name"}),
    ),
    Mutation("PROJJSON no object", "native", "PJ-04", "/1", put("1", ATTRS, "proj:projjson", "EPSG:32633")),
    Mutation("null", "native", "PJ-05", "/1", put("1", ATTRS, "proj:projjson", None), severity=WARNING),
    Mutation("code alone", "native", "PJ-06", "/1", drop("1", ATTRS, "proj:wkt2"), severity=WARNING),
    Mutation(
        "code of another CRS",
        "native",
        "PJ-07",
        "/1",
        put("1", ATTRS, "proj:code", "EPSG:32632"),
        pointer="/attributes/proj:code",
    ),
    Mutation(
        "WKT of another CRS",
        "native",
        "PJ-07",
        "/1/data",
        put("1/data", ATTRS, "proj:wkt2", UTM32.wkt2),
        pointer="/attributes/proj:wkt2",
    ),
    Mutation("WKT of another CRS at the top", "native", "PJ-07", "/", put("", ATTRS, "proj:wkt2", UTM32.wkt2)),
    Mutation(
        "CRS at the top alone",
        "native",
        "PJ-09",
        "/1",
        together(
            *(drop(path, ATTRS, key) for path in ("1", "1/data") for key in ("proj:code", "proj:wkt2")),
            drop("1", ATTRS, ZC, 0),
            drop("1/data", ATTRS, ZC, 0),
        ),
        severity=WARNING,
    ),
    Mutation(
        "half an override",
        "native",
        "PJ-10",
        "/1/data",
        together(drop("1/data", ATTRS, "proj:wkt2"), put("1/data", ATTRS, "proj:code", "EPSG:32632")),
    ),
    Mutation(
        "level of another CRS",
        "native",
        "PJ-11",
        "/2",
        together(
            *(
                edit
                for path in ("2", "2/data")
                for edit in (put(path, ATTRS, "proj:code", "EPSG:32632"), put(path, ATTRS, "proj:wkt2", UTM32.wkt2))
            )
        ),
    ),
    Mutation(
        "top of another CRS",
        "native",
        "PJ-11",
        "/",
        together(put("", ATTRS, "proj:code", "EPSG:32632"), put("", ATTRS, "proj:wkt2", UTM32.wkt2)),
    ),
    Mutation(
        "array of another CRS",
        "native",
        "PJ-11",
        "/2/data",
        together(put("2/data", ATTRS, "proj:code", "EPSG:32632"), put("2/data", ATTRS, "proj:wkt2", UTM32.wkt2)),
    ),
    Mutation("retired epsg", "native", "PJ-12", "/1", put("1", ATTRS, "proj:epsg", 32633), severity=WARNING),
    Mutation(
        "only retired epsg",
        "native",
        "PJ-12",
        "/1",
        together(drop("1", ATTRS, "proj:code"), drop("1", ATTRS, "proj:wkt2"), put("1", ATTRS, "proj:epsg", 32633)),
        severity=WARNING,
    ),
    Mutation("retired box", "native", "PJ-12", "/1", put("1", ATTRS, "proj:bbox", [0, 0, 1, 1]), severity=WARNING),
]

CF = [
    Mutation("no Conventions", "native", "CF-01", "/", drop("", ATTRS, "Conventions"), severity=WARNING),
    Mutation(
        "Conventions of another", "native", "CF-01", "/", put("", ATTRS, "Conventions", "ACDD-1.3"), severity=WARNING
    ),
    Mutation("grid_mapping of no form", "native", "CF-02", "/1/data", put("1/data", ATTRS, "grid_mapping", "crs: ")),
    Mutation(
        "grid_mapping no string", "native", "CF-02", "/1/data", put("1/data", ATTRS, "grid_mapping", ["spatial_ref"])
    ),
    Mutation("grid_mapping of nothing", "native", "CF-03", "/1/data", put("1/data", ATTRS, "grid_mapping", "crs")),
    Mutation("no grid mapping variable", "tms", "CF-03", "/9/spatial_ref", remove("9/spatial_ref")),
    Mutation(
        "grid_mapping coordinate of nothing",
        "native",
        "CF-03",
        "/1/data",
        put("1/data", ATTRS, "grid_mapping", "spatial_ref: x z"),
    ),
    Mutation(
        "unknown grid_mapping_name",
        "native",
        "CF-04",
        "/1/spatial_ref",
        put("1/spatial_ref", ATTRS, "grid_mapping_name", "utm"),
    ),
    Mutation(
        "no grid_mapping_name", "native", "CF-04", "/1/spatial_ref", drop("1/spatial_ref", ATTRS, "grid_mapping_name")
    ),
    Mutation(
        "parameter a word", "native", "CF-05", "/1/spatial_ref", put("1/spatial_ref", ATTRS, "false_easting", "500000")
    ),
    Mutation(
        "parameter missing",
        "native",
        "CF-05",
        "/1/spatial_ref",
        drop("1/spatial_ref", ATTRS, "longitude_of_central_meridian"),
    ),
    Mutation(
        "name a number", "native", "CF-05", "/1/spatial_ref", put("1/spatial_ref", ATTRS, "prime_meridian_name", 0)
    ),
    Mutation(
        "grid mapping with an axis",
        "native",
        "CF-06",
        "/1/spatial_ref",
        together(
            put("1/spatial_ref", "shape", [1]),
            put("1/spatial_ref", "chunk_grid", "configuration", "chunk_shape", [1]),
            drop("1/data", ATTRS, "coordinates"),
        ),
        severity=WARNING,
    ),
    Mutation("crs_wkt broken", "native", "CF-07", "/1/spatial_ref", put("1/spatial_ref", ATTRS, "crs_wkt", "PROJCRS[")),
    Mutation(
        "datum names incomplete",
        "native",
        "CF-08",
        "/1/spatial_ref",
        drop("1/spatial_ref", ATTRS, "prime_meridian_name"),
    ),
    Mutation(
        "projected name alone",
        "native",
        "CF-08",
        "/1/spatial_ref",
        together(
            *(
                drop("1/spatial_ref", ATTRS, f"{name}_name")
                for name in ("prime_meridian", "reference_ellipsoid", "horizontal_datum", "geographic_crs")
            )
        ),
    ),
    Mutation(
        "spatial_ref of another CRS",
        "native",
        "CF-09",
        "/1/spatial_ref",
        put("1/spatial_ref", ATTRS, "spatial_ref", UTM32.wkt2),
        severity=WARNING,
        pointer="/attributes/spatial_ref",
    ),
    Mutation(
        "crs_wkt of another CRS",
        "native",
        "CF-09",
        "/1/spatial_ref",
        put("1/spatial_ref", ATTRS, "crs_wkt", UTM32.wkt2),
        severity=WARNING,
        pointer="/attributes/crs_wkt",
    ),
    Mutation(
        "spatial_ref broken",
        "native",
        "CF-09",
        "/1/spatial_ref",
        put("1/spatial_ref", ATTRS, "spatial_ref", "here"),
        severity=WARNING,
    ),
    Mutation(
        "GeoTransform of five",
        "native",
        "CF-11",
        "/1/spatial_ref",
        put("1/spatial_ref", ATTRS, "GeoTransform", "1 2 3 4 5"),
    ),
    Mutation(
        "GeoTransform an array",
        "native",
        "CF-11",
        "/1/spatial_ref",
        change("1/spatial_ref", ATTRS, "GeoTransform", str.split),
    ),
    Mutation(
        "coordinate with a fill value",
        "native",
        "CF-13",
        "/1/x",
        put("1/x", ATTRS, "_FillValue", float64(float("nan"))),
    ),
    Mutation(
        "coordinate with missing value", "native", "CF-13", "/1/y", put("1/y", ATTRS, "missing_value", float64(-1.0))
    ),
    Mutation(
        "coordinate of rank 2",
        "native",
        "CF-13",
        "/1/x",
        together(
            put("1/x", "shape", [102, 1]),
            put("1/x", "dimension_names", ["x", "one"]),
            put("1/x", "chunk_grid", "configuration", "chunk_shape", [102, 1]),
        ),
    ),
    Mutation("axis unknown", "native", "CF-14", "/1/x", put("1/x", ATTRS, "axis", "E")),
    Mutation("axis of the other", "native", "CF-14", "/1/x", put("1/x", ATTRS, "axis", "Y")),
    Mutation("axis on data", "native", "CF-14", "/1/data", put("1/data", ATTRS, "axis", "Z")),
    Mutation("no axis", "native", "CF-14", "/1/x", drop("1/x", ATTRS, "axis"), severity=WARNING),
    Mutation("standard name of a degree", "native", "CF-15", "/1/x", put("1/x", ATTRS, "standard_name", "longitude")),
    Mutation("no standard name", "native", "CF-15", "/1/y", drop("1/y", ATTRS, "standard_name"), severity=WARNING),
    Mutation("kilometres", "native", "CF-15", "/1/y", put("1/y", ATTRS, "units", "km")),
    Mutation("degrees of a projection", "native", "CF-15", "/1/y", put("1/y", ATTRS, "units", "degrees")),
    Mutation("metres of a longitude", "degrees", "CF-16", "/1/lon", put("1/lon", ATTRS, "units", "m")),
    Mutation(
        "standard name of y",
        "degrees",
        "CF-16",
        "/1/lat",
        put("1/lat", ATTRS, "standard_name", "projection_y_coordinate"),
    ),
    Mutation("no units", "degrees", "CF-16", "/1/lat", drop("1/lat", ATTRS, "units"), severity=WARNING),
    Mutation(
        "coordinates of nothing", "native", "CF-17", "/1/data", put("1/data", ATTRS, "coordinates", "spatial_ref time")
    ),
    Mutation(
        "coordinates no string", "native", "CF-17", "/1/data", put("1/data", ATTRS, "coordinates", ["spatial_ref"])
    ),
    Mutation("coordinates of other axes", "native", "CF-17", "/1/x", put("1/x", ATTRS, "coordinates", "y")),
    Mutation("scale of zero", "packed", "CF-20", "/1/height", put("1/height", ATTRS, "scale_factor", 0)),
    Mutation("offset a word", "packed", "CF-20", "/1/height", put("1/height", ATTRS, "add_offset", "5")),
    Mutation("packed floats", "native", "CF-21", "/series", add("series", array(attributes={"scale_factor": 2.0}))),
    Mutation("missing value too large", "packed", "CF-22", "/1/height", put("1/height", ATTRS, "_FillValue", 70000)),
    Mutation("valid range too large", "packed", "CF-22", "/1/height", put("1/height", ATTRS, "valid_max", 70000)),
    Mutation(
        "fill inside the range",
        "packed",
        "CF-23",
        "/1/height",
        put("1/height", ATTRS, "valid_min", -5),
        severity=WARNING,
    ),
    Mutation(
        "missing value differs",
        "packed",
        "CF-23",
        "/1/height",
        put("1/height", ATTRS, "missing_value", -2),
        severity=WARNING,
    ),
    Mutation("two ranges", "packed", "CF-23", "/1/height", put("1/height", ATTRS, "valid_range", [0, 9])),
    Mutation("fill value a list", "packed", "CF-23", "/1/height", put("1/height", ATTRS, "_FillValue", [-1])),
]

UTC_DAYS = "days since 2000-01-01"


def time(path: str = "time", **attributes: Any) -> Edit:
    """Add a coordinate variable of time, with what it says changed; None takes a key away."""
    stated = {"standard_name": "time", "axis": "T", "units": UTC_DAYS, "calendar": "standard", **attributes}
    kept = {key: value for key, value in stated.items() if value is not None}
    one = {"name": "regular", "configuration": {"chunk_shape": [1]}}
    return add(path, array(shape=[1], chunk_grid=one, dimension_names=[path.rpartition("/")[2]], attributes=kept))


def flags(path: str, **attributes: Any) -> Edit:
    """Say of a variable that it holds flags."""
    stated = {"flag_values": [0, 1, 2], "flag_meanings": "none wood water", **attributes}
    kept = {key: value for key, value in stated.items() if value is not None}
    return lambda documents: documents[path][ATTRS].update(kept)


def level_names(documents: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Attributes of a variable at all levels."""
    return [found[ATTRS] for path, found in documents.items() if path.rpartition("/")[2] == name]


def at_levels(name: str, **attributes: Any) -> Edit:
    """Say something of a variable at all levels."""
    return lambda documents: [found.update(attributes) for found in level_names(documents, name)]


VARIABLES = [
    Mutation("no long name", "tms", "CF-18", "/9/red", drop("9/red", ATTRS, "long_name"), severity=WARNING),
    Mutation(
        "no long name of degrees", "degrees", "CF-18", "/0/b1", drop("0/b1", ATTRS, "long_name"), severity=WARNING
    ),
    Mutation("long name a number", "tms", "CF-18", "/9/red", put("9/red", ATTRS, "long_name", 5)),
    Mutation(
        "standard name misspelt",
        "packed",
        "CF-18",
        "/1/height",
        put("1/height", ATTRS, "standard_name", "air_temprature"),
    ),
    Mutation("standard name no string", "own", "CF-18", "/mid/gray", put("mid/gray", ATTRS, "standard_name", ["a"])),
    Mutation(
        "unknown modifier",
        "packed",
        "CF-18",
        "/1/height",
        put("1/height", ATTRS, "standard_name", "surface_altitude guess"),
    ),
    Mutation(
        "units of another quantity",
        "packed",
        "CF-18",
        "/1/height",
        put("1/height", ATTRS, "standard_name", "air_temperature"),
        pointer="/attributes/units",
    ),
    Mutation(
        "counted in metres",
        "packed",
        "CF-18",
        "/1/height",
        put("1/height", ATTRS, "standard_name", "surface_altitude number_of_observations"),
    ),
    Mutation(
        "standard name of old",
        "packed",
        "CF-18",
        "/1/height",
        put("1/height", ATTRS, "standard_name", "significant_height_of_swell_waves"),
        severity=INFO,
    ),
    Mutation("unknown units", "packed", "CF-19", "/1/height", put("1/height", ATTRS, "units", "meters above ground")),
    Mutation("units a number", "tms", "CF-19", "/9/dem", put("9/dem", ATTRS, "units", 1)),
    Mutation("units without a unit", "native", "CF-19", "/1/data", put("1/data", ATTRS, "units", "unitless")),
    Mutation("units of nonsense", "native", "CF-19", "/1/data", put("1/data", ATTRS, "units", "m^" + "9" * 5000)),
    Mutation("blank units", "degrees", "CF-19", "/1/b1", put("1/b1", ATTRS, "units", " "), severity=WARNING),
    Mutation("units of COARDS", "degrees", "CF-19", "/1/b1", put("1/b1", ATTRS, "units", "level"), severity=WARNING),
    Mutation(
        "quantity without units", "tms", "CF-19", "/9/dem", put("9/dem", ATTRS, "standard_name", "surface_altitude")
    ),
    Mutation("unknown calendar", "native", "CF-25", "/time", time(calendar="mayan")),
    Mutation("calendar a number", "tms", "CF-25", "/time", time(calendar=360)),
    Mutation("retired calendar", "degrees", "CF-25", "/time", time(calendar="gregorian"), severity=WARNING),
    Mutation("time without units", "native", "CF-25", "/time", time(units=None)),
    Mutation("time in seconds", "native", "CF-25", "/time", time(units="s")),
    Mutation("time in fortnights", "tms", "CF-25", "/time", time(units="fortnights since 2000-01-01")),
    Mutation("units of time a number", "tms", "CF-25", "/time", time(units=2000)),
    Mutation("no such date", "native", "CF-25", "/time", time(units="days since 2001-02-29")),
    Mutation(
        "no such date of a calendar",
        "native",
        "CF-25",
        "/time",
        time(units="days since 2000-01-31", calendar="360_day"),
    ),
    Mutation("months", "degrees", "CF-25", "/time", time(units="months since 2000-01-01"), severity=WARNING),
    Mutation("a zone", "tms", "CF-25", "/time", time(units=f"{UTC_DAYS} 00:00 +5:30"), severity=WARNING),
    Mutation("a zone of UTC", "tms", "CF-25", "/time", time(units=f"{UTC_DAYS} 00:00 -1", calendar="utc")),
    Mutation("time along X", "native", "CF-25", "/time", time(axis="X")),
    Mutation("time by its units alone", "own", "CF-25", "/time", time(axis=None, standard_name=None), severity=INFO),
    Mutation("too few meanings", "tms", "CF-26", "/10/red", flags("10/red", flag_meanings="none wood")),
    Mutation("flag values too large", "tms", "CF-26", "/10/red", flags("10/red", flag_values=[0, 1, 256])),
    Mutation("flag values as text", "degrees", "CF-26", "/0/b1", flags("0/b1", flag_values="0b, 1b, 2b")),
    Mutation("flag value twice", "tms", "CF-26", "/10/red", flags("10/red", flag_values=[0, 1, 1])),
    Mutation("flags without meanings", "own", "CF-26", "/near/gray", flags("near/gray", flag_meanings=None)),
    Mutation("meanings without flags", "own", "CF-26", "/near/gray", flags("near/gray", flag_values=None)),
    Mutation(
        "meanings a list", "own", "CF-26", "/near/gray", flags("near/gray", flag_meanings=["none", "wood", "water"])
    ),
    Mutation("meanings with commas", "tms", "CF-26", "/10/red", flags("10/red", flag_meanings="none, wood, water")),
    Mutation("a mask of no bit", "tms", "CF-26", "/10/red", flags("10/red", flag_values=None, flag_masks=[0, 1, 2])),
    Mutation(
        "too few masks",
        "tms",
        "CF-26",
        "/10/red",
        flags("10/red", flag_masks=[3, 3]),
        pointer="/attributes/flag_masks",
    ),
    Mutation("values beyond their masks", "tms", "CF-26", "/10/red", flags("10/red", flag_masks=[1, 1, 1])),
    Mutation(
        "flags averaged by the layout",
        "tms",
        "CF-26",
        "/",
        at_levels("red", flag_values=[0, 1], flag_meanings="none wood"),
        severity=WARNING,
        pointer="/attributes/multiscales/resampling_method",
    ),
    Mutation(
        "flags averaged by themselves",
        "tms",
        "CF-26",
        "/9/red",
        flags("9/red", cell_methods="area: mean"),
        severity=WARNING,
        pointer="/attributes/cell_methods",
    ),
    Mutation(
        "cell methods unlike the layout",
        "tms",
        "CF-27",
        "/9/red",
        put("9/red", ATTRS, "cell_methods", "area: maximum"),
        severity=INFO,
    ),
    Mutation(
        "cell methods unlike the layout at every level",
        "native",
        "CF-27",
        "/1/data",
        at_levels("data", cell_methods="area: mode"),
        severity=INFO,
    ),
    Mutation("cell methods without a name", "tms", "CF-27", "/9/red", put("9/red", ATTRS, "cell_methods", "mean")),
    Mutation("cell methods a list", "native", "CF-27", "/1/data", put("1/data", ATTRS, "cell_methods", ["area: mean"])),
    Mutation(
        "cell methods of no appendix",
        "native",
        "CF-27",
        "/0/data",
        put("0/data", ATTRS, "cell_methods", "area: blend"),
        severity=WARNING,
    ),
    Mutation("bounds of nothing", "native", "CF-28", "/1/x", put("1/x", ATTRS, "bounds", "x_bnds"), severity=INFO),
    Mutation("bounds no string", "degrees", "CF-28", "/1/lat", put("1/lat", ATTRS, "bounds", 5), severity=INFO),
    Mutation(
        "bounds of another shape",
        "tms",
        "CF-28",
        "/time_bnds",
        together(time(bounds="time_bnds"), add("time_bnds", array())),
        severity=INFO,
    ),
    Mutation(
        "no latitudes",
        "degrees",
        "CF-12",
        "/1/lat",
        remove("1/lat"),
        severity=WARNING,
        profile="cf",
    ),
    Mutation(
        "no times",
        "native",
        "CF-12",
        "/1/time",
        put("1/data", "dimension_names", ["time", "y", "x"]),
        severity=WARNING,
        profile="cf",
    ),
]

ZARR = [
    Mutation("array cut", "native", "ZARR-01", "/1/data", raw=add("1/data", b'{"zarr_format": 3, "node')),
    Mutation("array no object", "native", "ZARR-01", "/1/data", raw=add("1/data", b"[]")),
    Mutation("array not UTF-8", "native", "ZARR-01", "/1/data", raw=add("1/data", b'{"a": "\xff"}')),
    Mutation("array with NaN", "native", "ZARR-01", "/1/data", raw=add("1/data", b'{"zarr_format": NaN}')),
    Mutation(
        "key twice",
        "native",
        "ZARR-01",
        "/1/x",
        raw=lambda d: d.__setitem__("1/x", __import__("json").dumps(d["1/x"])[:-1].encode() + b', "shape": [102]}'),
    ),
    Mutation("no shape", "native", "ZARR-01", "/1/data", drop("1/data", "shape")),
    Mutation("no codecs", "native", "ZARR-01", "/1/data", drop("1/data", "codecs")),
    Mutation("unknown data type", "native", "ZARR-01", "/1/data", put("1/data", "data_type", "float33")),
    Mutation("format 2", "native", "ZARR-01", "/1/data", put("1/data", "zarr_format", 2)),
    Mutation("shape of another rank", "native", "ZARR-01", "/1/data", put("1/data", "shape", [151, 102])),
    Mutation("attributes no object", "native", "ZARR-01", "/1/data", put("1/data", ATTRS, "none")),
    Mutation("group cut", "native", "ZARR-02", "/1", raw=add("1", b'{"zarr_format": 3')),
    Mutation("root cut", "native", "ZARR-02", "/", raw=add("", b'{"zarr_format": 3')),
    Mutation("no node type", "native", "ZARR-02", "/1", drop("1", "node_type")),
    Mutation("group of format 2", "native", "ZARR-02", "/1", put("1", "zarr_format", 2)),
    Mutation("group attributes no object", "native", "ZARR-02", "/1", put("1", ATTRS, [])),
    Mutation("group document gone", "native", "ZARR-03", "/1", raw=lose("1")),
    Mutation("implicit group", "nested", "ZARR-03", "/a", lose("a")),
    Mutation("unknown key", "native", "ZARR-04", "/1/data", put("1/data", "colour", "red")),
    Mutation("names of another rank", "native", "ZARR-05", "/1/data", put("1/data", "dimension_names", ["y", "x"])),
    Mutation("names numbers", "native", "ZARR-05", "/1/data", put("1/data", "dimension_names", [1, 2, 3])),
    Mutation(
        "a name twice",
        "native",
        "ZARR-05",
        "/square",
        add(
            "square",
            array(
                shape=[4, 4],
                chunk_grid={"name": "regular", "configuration": {"chunk_shape": [4, 4]}},
                dimension_names=["a", "a"],
                fill_value="NaN",
            ),
        ),
        severity=WARNING,
    ),
    Mutation("reserved name", "native", "ZARR-06", "/__x", add("__x", array())),
    Mutation("asset of dots", "native", "ZARR-06", "/", put("", *LAYOUT, 3, "asset", "./3")),
    Mutation("fill value null", "native", "ZARR-07", "/1/data", put("1/data", "fill_value", None)),
    Mutation("fill value too large", "packed", "ZARR-07", "/1/height", put("1/height", "fill_value", 70000)),
    Mutation("fill value a word", "native", "ZARR-07", "/1/data", put("1/data", "fill_value", "nan")),
    Mutation(
        "chunk of zero",
        "native",
        "ZARR-08",
        "/1/data",
        put("1/data", "chunk_grid", "configuration", "chunk_shape", [1, 0, 128]),
    ),
    Mutation(
        "chunk of another rank",
        "native",
        "ZARR-08",
        "/1/data",
        put("1/data", "chunk_grid", "configuration", "chunk_shape", [128, 128]),
    ),
    Mutation(
        "irregular chunks",
        "native",
        "ZARR-08",
        "/1/data",
        put("1/data", "chunk_grid", "name", "rectilinear"),
        severity=WARNING,
    ),
    Mutation(
        "unknown separator",
        "native",
        "ZARR-08",
        "/1/data",
        put("1/data", "chunk_key_encoding", "configuration", "separator", "-"),
    ),
    Mutation(
        "unknown chunk keys", "native", "ZARR-08", "/1/data", put("1/data", "chunk_key_encoding", "name", "hilbert")
    ),
    Mutation(
        "chunks that do not divide",
        "native",
        "ZARR-09",
        "/1/data",
        put("1/data", "codecs", 0, "configuration", "chunk_shape", [1, 48, 64]),
    ),
    Mutation(
        "shard without index codecs",
        "native",
        "ZARR-09",
        "/1/data",
        drop("1/data", "codecs", 0, "configuration", "index_codecs"),
    ),
    Mutation(
        "index in the middle",
        "native",
        "ZARR-09",
        "/1/data",
        put("1/data", "codecs", 0, "configuration", "index_location", "middle"),
    ),
    Mutation("codecs out of order", "tms", "ZARR-10", "/9/red", change("9/red", "codecs", lambda codecs: codecs[::-1])),
    Mutation("no byte order", "tms", "ZARR-10", "/9/dem", drop("9/dem", "codecs", 0, "configuration")),
    Mutation("unknown codec", "tms", "ZARR-10", "/9/red", put("9/red", "codecs", 1, "name", "jpeg"), severity=WARNING),
    Mutation("fill values differ", "tms", "ZARR-11", "/9/red", put("9/red", "fill_value", 0), severity=WARNING),
    Mutation(
        "no missing value",
        "native",
        "ZARR-12",
        "/1/data",
        lambda d: (
            [d[f"{i}/data"][ATTRS].pop("_FillValue") for i in (1,)]
            and [d[f"{i}/data"][ATTRS].pop("_FillValue", None) for i in range(4)]
            and [d[f"{i}/data"].__setitem__("fill_value", "NaN") for i in (0, 2, 3)]
        ),
        severity=WARNING,
    ),
    Mutation("missing value a number", "native", "ZARR-13", "/1/data", put("1/data", ATTRS, "_FillValue", -9999.0)),
    Mutation("missing value broken", "packed", "ZARR-13", "/1/height", put("1/height", ATTRS, "_FillValue", -1.5)),
    Mutation("missing value a word", "packed", "ZARR-13", "/1/height", put("1/height", ATTRS, "_FillValue", "NaN")),
    Mutation(
        "node not consolidated", "native", "ZARR-20", "/", raw=drop("", "consolidated_metadata", "metadata", "1/data")
    ),
    Mutation(
        "level not consolidated",
        "native",
        "ZARR-20",
        "/",
        raw=lambda d: [
            d[""]["consolidated_metadata"]["metadata"].pop(k) for k in ("1", "1/x", "1/y", "1/data", "1/spatial_ref")
        ],
    ),
    Mutation("array document gone", "native", "ZARR-20", "/1/data", raw=lose("1/data")),
    Mutation("level gone in the store", "native", "ZARR-20", "/1", raw=remove("1")),
    Mutation(
        "consolidated must be understood",
        "native",
        "ZARR-20",
        "/",
        raw=put("", "consolidated_metadata", "must_understand", True),
    ),
    Mutation("consolidated no object", "native", "ZARR-20", "/", raw=put("", "consolidated_metadata", "all")),
    Mutation(
        "consolidated entry no object",
        "native",
        "ZARR-20",
        "/",
        raw=put("", "consolidated_metadata", "metadata", "1/data", 5),
    ),
    Mutation(
        "nested copy stale",
        "nested",
        "ZARR-21",
        "/a/b",
        raw=put("a/b", "consolidated_metadata", "metadata", "1/data", ATTRS, "long_name", "old"),
    ),
    Mutation(
        "nested copy incomplete",
        "nested",
        "ZARR-21",
        "/a/b",
        raw=drop("a/b", "consolidated_metadata", "metadata", "1/data"),
    ),
    Mutation(
        "copy stale",
        "native",
        "ZARR-22",
        "/1/data",
        raw=put("", "consolidated_metadata", "metadata", "1/data", ATTRS, "spatial:shape", [9, 9]),
    ),
    Mutation("own document changed", "native", "ZARR-22", "/1/data", raw=put("1/data", ATTRS, "spatial:shape", [9, 9])),
    Mutation(
        "own transform changed",
        "native",
        "ZARR-22",
        "/1/data",
        raw=change("1/data", ATTRS, "spatial:transform", scaled(0, 2)),
    ),
    Mutation("own document broken", "native", "ZARR-22", "/1/data", raw=put("1/data", "shape", "many")),
    Mutation("own registration changed", "native", "ZARR-22", "/1/data", raw=drop("1/data", ATTRS, ZC, 0)),
    Mutation(
        "own document changed below two copies",
        "nested",
        "ZARR-22",
        "/a/b/1/data",
        raw=put("a/b/1/data", ATTRS, "spatial:shape", [9, 9]),
    ),
    Mutation(
        "v2 names",
        "native",
        "ZARR-30",
        "/1/data",
        put("1/data", ATTRS, "_ARRAY_DIMENSIONS", ["band", "y", "x"]),
        severity=WARNING,
    ),
    Mutation(
        "v2 names that differ", "native", "ZARR-30", "/1/data", put("1/data", ATTRS, "_ARRAY_DIMENSIONS", ["y", "x"])
    ),
    Mutation("coordinate on another axis", "native", "ZARR-31", "/1/x", put("1/x", "dimension_names", ["col"])),
    Mutation("coordinate without axis", "native", "ZARR-31", "/1/x", drop("1/x", "dimension_names")),
    Mutation("coordinate of another size", "native", "ZARR-32", "/1/x", put("1/x", "shape", [103])),
    Mutation("array of another size", "native", "ZARR-32", "/1/data", put("1/data", "shape", [2, 151, 103])),
]

TILES = [
    Mutation("set a name", "own", "TMS-01", "/", put("", *TMS, "WebMercatorQuad"), severity=WARNING),
    Mutation("set an array", "own", "TMS-01", "/", put("", *TMS, [])),
    Mutation("set without crs", "own", "TMS-01", "/", drop("", *TMS, "crs")),
    Mutation("set without matrices", "own", "TMS-01", "/", drop("", *MATRICES)),
    Mutation("matrix without tileWidth", "own", "TMS-02", "/", drop("", *MATRICES, 1, "tileWidth")),
    Mutation("matrix of broken size", "own", "TMS-02", "/", put("", *MATRICES, 1, "matrixHeight", 2.5)),
    Mutation("matrix without cell", "own", "TMS-02", "/", put("", *MATRICES, 1, "cellSize", -20)),
    Mutation("matrix no object", "own", "TMS-02", "/", put("", *MATRICES, 0, "far")),
    Mutation("origin of three", "own", "TMS-02", "/", put("", *MATRICES, 1, "pointOfOrigin", [1, 2, 3])),
    Mutation("matrix id a number", "own", "TMS-02", "/", put("", *MATRICES, 1, "id", 5)),
    Mutation("id twice", "own", "TMS-03", "/", put("", *MATRICES, 1, "id", "far")),
    Mutation(
        "scale twice", "own", "TMS-03", "/", change("", *MATRICES, 1, "scaleDenominator", lambda scale: scale * 2)
    ),
    Mutation("unknown corner", "own", "TMS-04", "/", put("", *MATRICES, 1, "cornerOfOrigin", "bottomRight")),
    Mutation(
        "scale off", "own", "TMS-05", "/", change("", *MATRICES, 1, "scaleDenominator", lambda scale: scale * 1.5)
    ),
    Mutation(
        "scale rounded", "own", "TMS-05", "/", change("", *MATRICES, 1, "scaleDenominator", round), severity=WARNING
    ),
    Mutation("cell off", "own", "TMS-05", "/", put("", *MATRICES, 1, "cellSize", 21.0)),
    Mutation(
        "origins exchanged",
        "own",
        "TMS-06",
        "/",
        together(*(change("", *MATRICES, index, "pointOfOrigin", lambda pair: pair[::-1]) for index in range(3))),
    ),
    Mutation(
        "one origin exchanged", "own", "TMS-06", "/", change("", *MATRICES, 1, "pointOfOrigin", lambda pair: pair[::-1])
    ),
    Mutation(
        "origins exchanged in a registered set",
        "tms",
        "TMS-06",
        "/",
        together(*(change("", *MATRICES, index, "pointOfOrigin", lambda pair: pair[::-1]) for index in range(3))),
    ),
    Mutation("unknown crs", "own", "TMS-07", "/", put("", *TMS, "crs", "http://www.opengis.net/def/crs/EPSG/0/999999")),
    Mutation("crs as text", "own", "TMS-07", "/", put("", *TMS, "crs", {"wkt": UTM33.wkt2})),
    Mutation(
        "crs by reference", "own", "TMS-07", "/", put("", *TMS, "crs", {"referenceSystem": {"a": 1}}), severity=WARNING
    ),
    Mutation(
        "bounding box elsewhere",
        "own",
        "TMS-08",
        "/",
        put("", *TMS, "boundingBox", {"lowerLeft": [0, 0], "upperRight": [1, 1]}),
        severity=WARNING,
    ),
    Mutation(
        "coalesced rows beyond",
        "own",
        "TMS-10",
        "/",
        put("", *MATRICES, 0, "variableMatrixWidths", [{"coalesce": 2, "minTileRow": 0, "maxTileRow": 9}]),
    ),
    Mutation(
        "coalesce of one",
        "own",
        "TMS-10",
        "/",
        put("", *MATRICES, 0, "variableMatrixWidths", [{"coalesce": 1, "minTileRow": 0, "maxTileRow": 1}]),
    ),
    Mutation(
        "set of another crs", "own", "TMS-11", "/", put("", *TMS, "crs", "http://www.opengis.net/def/crs/EPSG/0/32632")
    ),
    Mutation(
        "set of another crs and unit",
        "tms",
        "TMS-11",
        "/",
        put("", *TMS, "crs", "http://www.opengis.net/def/crs/EPSG/0/4326"),
    ),
    Mutation(
        "not of the scale set",
        "own",
        "TMS-11",
        "/",
        put("", *TMS, "wellKnownScaleSet", "http://www.opengis.net/def/wkss/OGC/1.0/GoogleMapsCompatible"),
    ),
    Mutation("limits in reverse", "own", "TMS-12", "/", put("", *LIMITS, 1, "minTileRow", 9)),
    Mutation("limits beyond the matrix", "own", "TMS-12", "/", put("", *LIMITS, 1, "maxTileCol", 8)),
    Mutation(
        "limits of no matrix",
        "own",
        "TMS-12",
        "/",
        lambda d: d[""][ATTRS]["multiscales"]["tileMatrixSetLimits"][1].update(tileMatrix="middle"),
    ),
    Mutation("limits of one matrix twice", "own", "TMS-12", "/", put("", *LIMITS, 1, "tileMatrix", "far")),
    Mutation(
        "limits of another key",
        "own",
        "TMS-12",
        "/",
        change("", *LIMITS, lambda found: {"near": found[0], "mid": {**found[1], "tileMatrix": "x"}, "far": found[2]}),
    ),
    Mutation("limits no object", "own", "TMS-12", "/", put("", *LIMITS, "all")),
    Mutation("matrix id unlike level and limits", "own", "TMS-12", "/", put("", *MATRICES, 1, "id", "middle")),
    Mutation("limits incomplete", "own", "TMS-12", "/", drop("", *LIMITS, 1, "maxTileCol")),
    Mutation(
        "registered cell off", "tms", "TMS-16", "/", change("", *MATRICES, 1, "cellSize", lambda cell: cell * 1.001)
    ),
    Mutation(
        "registered scale rounded",
        "tms",
        "TMS-16",
        "/",
        change("", *MATRICES, 1, "scaleDenominator", lambda scale: round(scale, 3)),
    ),
    Mutation("registered tile size", "tms", "TMS-16", "/", put("", *MATRICES, 1, "tileWidth", 512)),
    Mutation("registered id", "tms", "TMS-16", "/", put("", *MATRICES, 1, "id", "nine")),
    Mutation(
        "cell and scale off",
        "own",
        "TMS-20",
        "/",
        together(put("", *MATRICES, 1, "cellSize", 21.0), put("", *MATRICES, 1, "scaleDenominator", 21 / 0.28e-3)),
    ),
    Mutation(
        "origin half a cell off", "own", "TMS-21", "/", change("", *MATRICES, 1, "pointOfOrigin", shifted(0, 10.0))
    ),
    Mutation(
        "origin some cells off", "own", "TMS-22", "/", change("", *MATRICES, 1, "pointOfOrigin", shifted(0, 200.0))
    ),
    Mutation(
        "chunk no tile",
        "own",
        "TMS-22",
        "/mid/gray",
        put("mid/gray", "chunk_grid", "configuration", "chunk_shape", [128, 128]),
    ),
    Mutation("limits one row off", "own", "TMS-23", "/", change("", *LIMITS, 1, "maxTileRow", lambda row: row + 1)),
    Mutation("no limits of a level", "own", "TMS-23", "/", drop("", *LIMITS, 1)),
    Mutation("no limits", "own", "TMS-23", "/", drop("", *LIMITS)),
    Mutation(
        "origin a tile off", "own", "TMS-23", "/", change("", *MATRICES, 1, "pointOfOrigin", shifted(0, 64 * 20.0))
    ),
    Mutation(
        "numbered from the finest",
        "own",
        "TMS-24",
        "/",
        lambda d: [
            m.update(id=i)
            for m, i in zip(
                d[""][ATTRS]["multiscales"]["tileMatrixSet"]["tileMatrices"], ("near", "mid", "far"), strict=True
            )
        ],
    ),
    Mutation(
        "matrix without a level",
        "own",
        "XC-11",
        "/",
        change(
            "",
            *MATRICES,
            lambda found: [*found, {**found[-1], "id": "nearest", "cellSize": 5.0, "scaleDenominator": 5 / 0.28e-3}],
        ),
        severity=WARNING,
    ),
    Mutation(
        "level without a matrix",
        "own",
        "XC-11",
        "/",
        lambda d: [
            d[""][ATTRS]["multiscales"]["tileMatrixSet"]["tileMatrices"].pop(0),
            d[""][ATTRS]["multiscales"]["tileMatrixSetLimits"].pop(2),
        ],
    ),
]

GEOMETRY = [
    Mutation(
        "box of an array", "native", "XC-01", "/1/data", change("1/data", ATTRS, "spatial:bbox", shifted(2, 20.0))
    ),
    Mutation("box of a level", "native", "XC-01", "/1", change("1", ATTRS, "spatial:bbox", shifted(1, -1.0))),
    Mutation(
        "transform of an array",
        "native",
        "XC-02",
        "/1/data",
        change("1/data", ATTRS, "spatial:transform", scaled(0, 1.01)),
    ),
    Mutation("transform of a level", "native", "XC-02", "/1", change("1", ATTRS, "spatial:transform", shifted(2, 5.0))),
    Mutation(
        "transform in the layout", "native", "XC-02", "/", change("", *LAYOUT, 1, "spatial:transform", scaled(4, 0.5))
    ),
    Mutation(
        "first transform in the layout",
        "tms",
        "XC-02",
        "/",
        change("", *LAYOUT, 0, "spatial:transform", shifted(2, 1000.0)),
    ),
    Mutation("shape in the layout", "native", "XC-02", "/", put("", *LAYOUT, 1, "spatial:shape", [150, 102])),
    Mutation("shape of a level", "native", "XC-02", "/1", put("1", ATTRS, "spatial:shape", [150, 102])),
    Mutation(
        "transform of the top",
        "native",
        "XC-02",
        "/",
        put("", ATTRS, "spatial:transform", [20.0, 0, 5e5, 0, -20.0, 5e6]),
        severity=WARNING,
    ),
    Mutation("scale off", "native", "XC-03", "/", put("", *LAYOUT, 1, "transform", "scale", [3.0, 2.0])),
    Mutation("box of the top", "native", "XC-07", "/", change("", ATTRS, "spatial:bbox", shifted(0, -10.0))),
    Mutation(
        "projection parameter",
        "native",
        "XC-08",
        "/1/spatial_ref",
        put("1/spatial_ref", ATTRS, "longitude_of_central_meridian", 9.0),
    ),
    Mutation(
        "grid mapping of another CRS",
        "native",
        "XC-08",
        "/1/spatial_ref",
        together(
            put("1/spatial_ref", ATTRS, "spatial_ref", UTM32.wkt2), put("1/spatial_ref", ATTRS, "crs_wkt", UTM32.wkt2)
        ),
    ),
    Mutation(
        "GeoTransform off",
        "native",
        "XC-09",
        "/1/spatial_ref",
        change("1/spatial_ref", ATTRS, "GeoTransform", lambda text: text.replace("500000.0", "500010.0")),
    ),
    Mutation("variable missing", "tms", "XC-10", "/9", remove("9/dem")),
    Mutation("variable too many", "tms", "XC-10", "/9", lambda d: d.__setitem__("9/extra", {**d["9/red"]})),
    Mutation("coordinate missing", "tms", "XC-10", "/9", remove("9/x")),
    Mutation("data type", "tms", "XC-10", "/9/dem", put("9/dem", "data_type", "float64")),
    Mutation("scale factor", "packed", "XC-10", "/1/height", put("1/height", ATTRS, "scale_factor", 0.02)),
    Mutation(
        "both fill values",
        "tms",
        "XC-10",
        "/9/red",
        together(put("9/red", ATTRS, "_FillValue", 254), put("9/red", "fill_value", 254)),
    ),
    Mutation("size of the other axis", "native", "XC-10", "/1/data", put("1/data", "shape", [3, 151, 102])),
]

EOPF, LEGACY = "eopf", "legacy-0.4"
# What a good store is told under a profile, without any fault: 0.4 recommends tiles of 256 or 512 cells.
TOLD = {("own", LEGACY): ["tiles of an uncommon size"]}


def unregistered(multiscales: Any) -> Edit:
    """Add a group whose `multiscales` no convention stands for."""
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"multiscales": multiscales}}
    return add("draft", group)


def of_0_4(documents: dict[str, Any]) -> None:
    """Make a good store of "tms" or "own" one of GeoZarr 0.4: standard names, and multiscales on each data array."""
    multiscales = documents[""][ATTRS]["multiscales"]
    is_own = "far" in documents
    inline = {**multiscales["tileMatrixSet"], "tileMatrices": multiscales["tileMatrixSet"]["tileMatrices"]}
    for path, document in documents.items():
        name = path.rpartition("/")[2]
        if name in ("red", "gray", "alpha", "dem"):
            stated = {"tile_matrix_set": inline if is_own else "WebMercatorQuad", "resampling_method": "average"}
            document[ATTRS]["multiscales"] = json.loads(json.dumps(stated))
            is_height = name == "dem"
            document[ATTRS]["standard_name"] = "surface_altitude" if is_height else "surface_albedo"
            document[ATTRS]["units"] = "m" if is_height else "1"


def legacy(*edits: Edit) -> Edit:
    return together(of_0_4, *edits)


def at_data(*pointer: Any) -> Edit:
    """Write the last argument into the multiscales of every data array of 0.4; None takes it away."""
    *where, last, value = pointer

    def edit(documents: dict[str, Any]) -> None:
        for path, document in documents.items():
            if path and "multiscales" in document[ATTRS]:
                holder = document[ATTRS]["multiscales"]
                for part in where:
                    holder = holder[part]
                if value is None:
                    del holder[last]
                else:
                    holder[last] = value(holder[last]) if callable(value) else value

    return edit


GEOZARR = [
    Mutation(
        "a class of GeoZarr",
        "tms",
        "GZ-01",
        "/",
        put("", ATTRS, "conformsTo", ["http://www.opengis.net/spec/geozarr/1.0/conf/core"]),
        severity=WARNING,
    ),
    Mutation(
        "a class of GeoZarr in Conventions",
        "native",
        "GZ-01",
        "/",
        change("", ATTRS, "Conventions", lambda text: f"{text} http://www.opengis.net/spec/geozarr/1.0"),
        severity=WARNING,
    ),
    Mutation("root without box", "tms", "GZ-03", "/", drop("", ATTRS, "spatial:bbox"), profile=EOPF),
    Mutation("dimensions on arrays alone", "tms", "GZ-03", "/", drop("", ATTRS, "spatial:dimensions"), profile=EOPF),
    Mutation("no rows", "degrees", "GZ-03", "/0/lat", lambda d: [d.pop(f"{i}/lat") for i in range(3)], profile=EOPF),
    Mutation(
        "a member beside the levels",
        "degrees",
        "GZ-03",
        "/quality",
        add("quality", {"zarr_format": 3, "node_type": "group", "attributes": {}}),
        profile=EOPF,
    ),
    Mutation("axes without names", "tms", "GZ-10", "/9/red", legacy(drop("9/red", "dimension_names")), profile=LEGACY),
    Mutation(
        "alpha without names",
        "own",
        "GZ-10",
        "/mid/alpha",
        legacy(drop("mid/alpha", "dimension_names")),
        profile=LEGACY,
    ),
    Mutation(
        "no standard name of data",
        "tms",
        "GZ-11",
        "/9/red",
        legacy(drop("9/red", ATTRS, "standard_name")),
        profile=LEGACY,
    ),
    Mutation(
        "no grid mapping of data",
        "own",
        "GZ-11",
        "/near/gray",
        legacy(drop("near/gray", ATTRS, "grid_mapping")),
        profile=LEGACY,
    ),
    Mutation(
        "no set",
        "tms",
        "GZ-20",
        "/9/red",
        legacy(drop("9/red", ATTRS, "multiscales", "tile_matrix_set")),
        profile=LEGACY,
    ),
    Mutation(
        "unknown set",
        "tms",
        "GZ-20",
        "/9/red",
        legacy(put("9/red", ATTRS, "multiscales", "tile_matrix_set", "MyQuad")),
        profile=LEGACY,
    ),
    Mutation(
        "a set elsewhere",
        "tms",
        "GZ-20",
        "/9/red",
        legacy(put("9/red", ATTRS, "multiscales", "tile_matrix_set", "https://example.org/mine")),
        severity=INFO,
        profile=LEGACY,
    ),
    Mutation(
        "unknown method of all",
        "own",
        "GZ-20",
        "/far/alpha",
        legacy(at_data("resampling_method", "mean")),
        profile=LEGACY,
    ),
    Mutation("no method", "own", "GZ-20", "/far/alpha", legacy(at_data("resampling_method", None)), profile=LEGACY),
    Mutation(
        "multiscales a text",
        "own",
        "GZ-20",
        "/near/gray",
        legacy(put("near/gray", ATTRS, "multiscales", "x")),
        profile=LEGACY,
    ),
    Mutation(
        "limits without numbers",
        "tms",
        "GZ-20",
        "/10/dem",
        legacy(
            lambda d: [
                item[ATTRS]["multiscales"].update(tile_matrix_limits={"8": {}, "9": {}, "10": {"min_tile_col": 1}})
                for path, item in d.items()
                if path and "multiscales" in item[ATTRS]
            ]
        ),
        profile=LEGACY,
    ),
    Mutation(
        "limits of no level",
        "tms",
        "GZ-21",
        "/9/red",
        legacy(put("9/red", ATTRS, "multiscales", "tile_matrix_set_limits", {"8": {}, "9": {}, "10": {}, "11": {}})),
        profile=LEGACY,
    ),
    Mutation(
        "fine first",
        "own",
        "GZ-21",
        "/far/alpha",
        legacy(at_data("tile_matrix_set", "tileMatrices", lambda found: found[::-1])),
        profile=LEGACY,
    ),
    Mutation(
        "no crs of a set",
        "own",
        "GZ-22",
        "/far/alpha",
        legacy(at_data("tile_matrix_set", "crs", None)),
        profile=LEGACY,
    ),
    Mutation(
        "another crs of a set",
        "own",
        "GZ-22",
        "/near/gray",
        legacy(
            put("near/gray", ATTRS, "multiscales", "tile_matrix_set", "supportedCRS", "EPSG:32632"),
        ),
        profile=LEGACY,
    ),
    Mutation(
        "chunks of half a tile",
        "tms",
        "GZ-23",
        "/9/red",
        legacy(put("9/red", "chunk_grid", "configuration", "chunk_shape", [128, 128])),
        profile=LEGACY,
    ),
    Mutation(
        "chunks of two tiles",
        "tms",
        "GZ-23",
        "/8/dem",
        legacy(put("8/dem", "chunk_grid", "configuration", "chunk_shape", [256, 512])),
        profile=LEGACY,
    ),
    Mutation(
        "multiscales of 2025",
        "native",
        "GZ-24",
        "/draft",
        unregistered(
            {
                "version": "1.0",
                "resampling_method": "average",
                "layout": [{"id": "L0", "path": "fine"}, {"id": "L1", "derived_from": "L0", "factors": [2, 2]}],
            }
        ),
        severity=INFO,
    ),
    Mutation(
        "multiscales of 2025 by a set",
        "tms",
        "GZ-24",
        "/draft",
        unregistered({"tile_matrix_ref": "WebMercatorQuad", "layout": [{"id": "10"}], "variables": ["red"]}),
        severity=INFO,
        profile="cf",
    ),
    Mutation(
        "multiscales of ndpyramid",
        "native",
        "GZ-25",
        "/draft",
        unregistered([{"datasets": [{"path": "0", "level": 0, "pixels_per_tile": 128, "crs": "EPSG:3857"}]}]),
        severity=INFO,
    ),
    Mutation(
        "multiscales of microscopes",
        "tms",
        "GZ-25",
        "/draft",
        legacy(unregistered([{"version": "0.4", "axes": [], "datasets": []}])),
        severity=INFO,
        profile=LEGACY,
    ),
]


def image(documents: dict[str, Any], *, variable: str, relative: bool = False, signed: bool = False) -> None:
    """Say of a good store in metres what OME-NGFF says of it; `relative` to the centre of the first cell."""
    layout = documents[""][ATTRS]["multiscales"]["layout"]
    names = documents[f"{layout[0]['asset']}/{variable}"]["dimension_names"]
    lead = [{"name": name, "type": "channel"} for name in names[:-2]]
    axes = [*lead, *({"name": name, "type": "space", "unit": "meter"} for name in names[-2:])]
    origin: list[float] = []
    datasets = []
    for item in layout:
        a, _, c, _, e, f = item["spatial:transform"]
        scale = [1.0] * len(lead) + [e if signed else abs(e), a]
        sign = 1.0 if signed or not relative else -1.0
        place = [0.0] * len(lead) + [sign * (f + e / 2) if relative else (f + e / 2) * (1 if signed else -1), c + a / 2]
        origin = origin or (place if relative else [0.0] * len(place))
        translation = [x - y for x, y in zip(place, origin, strict=True)]
        transforms = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
        datasets.append({"path": f"{item['asset']}/{variable}", "coordinateTransformations": transforms})
    documents[""][ATTRS]["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


def imaged(variable: str, *edits: Edit) -> Edit:
    return together(lambda documents: image(documents, variable=variable), *edits)


OME = (ATTRS, "ome")
IMAGE = (*OME, "multiscales", 0)
FIRST = (*IMAGE, "datasets", 1, "coordinateTransformations")
OTHERS = [
    Mutation("image without axes", "native", "NG-01", "/", imaged("data", drop("", *IMAGE, "axes"))),
    Mutation("ome a text", "native", "NG-01", "/", put("", *OME, "0.5")),
    Mutation("ome without version", "native", "NG-01", "/", imaged("data", drop("", *OME, "version"))),
    Mutation("images an object", "native", "NG-01", "/", imaged("data", put("", *OME, "multiscales", {}))),
    Mutation("axes out of order", "native", "NG-01", "/", imaged("data", put("", *IMAGE, "axes", 2, "type", "time"))),
    Mutation("axes of other names", "tms", "NG-01", "/", imaged("red", put("", *IMAGE, "axes", 0, "name", "row"))),
    Mutation("no datasets", "tms", "NG-01", "/", imaged("red", put("", *IMAGE, "datasets", []))),
    Mutation(
        "dataset of nothing", "tms", "NG-01", "/", imaged("red", put("", *IMAGE, "datasets", 1, "path", "9/blue"))
    ),
    Mutation("scale of one axis", "native", "NG-01", "/", imaged("data", put("", *FIRST, 0, "scale", [1.0, 20.0]))),
    Mutation("translation first", "tms", "NG-01", "/", imaged("red", change("", *FIRST, lambda found: found[::-1]))),
    Mutation(
        "datasets from coarse to fine",
        "native",
        "NG-01",
        "/",
        imaged("data", change("", *IMAGE, "datasets", lambda found: found[::-1])),
    ),
    Mutation(
        "scale as a ratio",
        "native",
        "NG-02",
        "/",
        imaged("data", put("", *FIRST, 0, "scale", [1.0, 12.0, 12.0])),
    ),
    Mutation(
        "translation to the corner",
        "tms",
        "NG-02",
        "/",
        imaged("red", change("", *FIRST, 1, "translation", shifted(1, -40.0))),
    ),
    Mutation(
        "one level elsewhere",
        "native",
        "NG-02",
        "/",
        imaged("data", change("", *FIRST, 1, "translation", shifted(2, 500.0))),
    ),
    Mutation(
        "a later version",
        "native",
        "NG-03",
        "/",
        put("", *OME, {"version": "0.6", "multiscales": [{"coordinateSystems": []}]}),
        severity=INFO,
    ),
    Mutation("a plate of before", "tms", "NG-03", "/9", put("9", *OME, {"version": "0.4", "plate": {}}), severity=INFO),
    Mutation(
        "sums of an axis",
        "native",
        "AC-01",
        "/1/data",
        put("1/data", ATTRS, "_ACCUMULATION_STRIDE", [0, 4, 4]),
        severity=INFO,
    ),
    Mutation(
        "a group of sums",
        "tms",
        "AC-01",
        "/red_accumulation_group",
        together(
            add(
                "red_accumulation_group",
                {"zarr_format": 3, "node_type": "group", "attributes": {"_ACCUMULATION_GROUP": {"x": {}}}},
            ),
            add("red_accumulation_group/sum", array(attributes={"_ACCUMULATION_STRIDE": [4]})),
        ),
        severity=INFO,
    ),
]

MUTATIONS = [*REGISTRATION, *MULTISCALES, *SPATIAL, *PROJ, *CF, *VARIABLES, *ZARR, *TILES, *GEOMETRY, *GEOZARR, *OTHERS]


TOLD_AS_WELL = [mutation for mutation in MUTATIONS if (mutation.store, mutation.profile) in TOLD]


@pytest.mark.parametrize("mutation", TOLD_AS_WELL, ids=lambda mutation: f"{mutation.rule} {mutation.name}")
def test_one_fault_makes_one_finding_beside_what_is_told(stores, mutation: Mutation) -> None:
    """All others are packaged, and judged by test_cases.py."""
    report = check(stores[mutation.store].edited(mutation.edit, mutation.raw), profile=mutation.profile)
    findings = [found for found in report.findings if found.message not in TOLD[mutation.store, mutation.profile]]
    found = [(finding.rule, finding.node, finding.severity) for finding in findings]
    assert found == [(mutation.rule, mutation.node, mutation.severity)], report.to_text()


def test_pointers_are_those_that_are_stated() -> None:
    known = {(case.store, case.name): case.pointer for case in cases.load()}
    for mutation in MUTATIONS:
        if mutation.pointer is not None:
            assert known[mutation.store, mutation.name] == mutation.pointer, mutation.name


@pytest.mark.parametrize(
    ("store", "profile", "edit"),
    [
        ("tms", EOPF, None),
        ("degrees", EOPF, None),
        ("tms", LEGACY, of_0_4),
        ("own", LEGACY, of_0_4),
        ("degrees", "cf", None),
        ("tms", "geozarr", of_0_4),
        ("tms", "geozarr", lambda found: image(found, variable="red")),
        ("native", "geozarr", lambda found: image(found, variable="data")),
        ("native", "geozarr", lambda found: image(found, variable="data", signed=True)),
        ("native", "geozarr", lambda found: image(found, variable="data", relative=True)),
        ("tms", "geozarr", flags("9/red", cell_methods="area: mean", flag_values=None, flag_meanings=None)),
        ("native", "geozarr", time(units="seconds since 1970-01-01T00:00:00", calendar="proleptic_gregorian")),
        ("native", "geozarr", time(units="hours since 0001-02-30 12:00:00.5 UTC", calendar="360_day")),
        ("packed", "geozarr", put("1/height", ATTRS, "standard_name", "surface_altitude standard_error")),
    ],
)
def test_what_is_right_has_no_findings(stores, store, profile, edit) -> None:
    report = check(stores[store].edited(edit), profile=profile)
    assert [finding.message for finding in report.findings] == TOLD.get((store, profile), []), report.to_text()


def _pointers(value: Any, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [prefix, *(pointer for key, item in inner for pointer in _pointers(item, (*prefix, key)))]


HOSTILE = [
    *(None, True, 0, -1, 2.5, 10**400, 2**63, 1e308, -1e-320, "", "\ud800", "\0", "../x", "far", "m" * 300, UTC_DAYS),
    *([], {}, [[]], [None], ["a"], [1e308] * 3, {"a": 1}, {"tileMatrices": [{"id": "0"}]}),
]


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize(
    ("store", "path", "edit"),
    [
        ("tms", "9/red", of_0_4),
        ("own", "near/gray", of_0_4),
        ("native", "", lambda found: image(found, variable="data")),
        ("packed", "1/height", flags("1/height", flag_masks=[3, 3, 3], cell_methods="area: mode")),
        ("native", "time", time(bounds="time")),
        ("native", "draft", unregistered({"tile_matrix_ref": "a", "layout": [{"id": "a"}], "variables": ["a"]})),
        ("native", "draft", unregistered([{"datasets": [{"path": "a"}]}])),
    ],
)
def test_nothing_in_these_documents_breaks_the_checker(stores, store, path, edit, profile) -> None:
    lot = random.Random(f"{store} {path} {profile}")  # the same examples on every run
    good = stores[store].documents()
    edit(good)
    keys = ("ome", "flag_", "cell_methods", "units", "calendar", "standard_name", "bounds", "axis")
    places = [
        place for place in _pointers(good[path]) if place[1:] and str(place[1]).startswith((*keys, "multiscales"))
    ]
    for place in lot.sample(places, min(12, len(places))):

        def broken(found: dict[str, Any], place: tuple[str | int, ...] = place) -> None:
            found.update(copy.deepcopy(good))
            put(path, *place, lot.choice(HOSTILE))(found)

        report = check(stores[store].edited(broken), profile=profile)
        assert json.loads(report.to_json())["exit_status"] in (0, 1, 2)


def test_every_rule_has_a_mutation() -> None:
    elsewhere = {"MS-22", "XC-04", "XC-05", "XC-06"}  # tests below, which need other pixels or grids
    rules = {rule.id for rule in (*METADATA_RULES, *GEOMETRY_RULES)}
    assert rules - {mutation.rule for mutation in MUTATIONS} <= elsewhere


def _documented() -> dict[str, list[str]]:
    """Rows of the tables of docs/conformance.md by their first cell."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in text.splitlines() if line[:2] == "| "]
    return {row[0]: row[1:] for row in rows}


def test_the_documentation_lists_every_rule_and_reason() -> None:
    rows = _documented()
    for rule in (*METADATA_RULES, *GEOMETRY_RULES):
        assert rows[rule.id][:4] == [rule.clause, rule.title, str(rule.severity), str(rule.depth)]
    for requirement, reason in NOT_CHECKED.items():
        assert rows[requirement] == [reason]


def test_the_documentation_shows_what_the_first_mutation_of_each_rule_gives(stores) -> None:
    rows = _documented()
    shown: set[str] = set()
    for mutation in MUTATIONS:
        if mutation.rule not in shown:
            shown.add(mutation.rule)
            store = stores[mutation.store].edited(mutation.edit, mutation.raw)
            found = check(store, profile=mutation.profile).findings[0]
            place = found.node + (f"#{found.pointer}" if found.pointer else "")
            assert rows[mutation.rule][4] == f"`{place}: {found.message}`"
