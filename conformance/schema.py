"""The standards' own JSON schemas, vendored, as a safety net under the rules written in code.

A schema's message says less than a rule's, so a violation is reported only where no rule has found anything wrong
with that convention at that node. References between schemas are answered from the vendored files; there is no way
from here to the network.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.jsonschema import DRAFT7, DRAFT201909

from conformance.report import Fault
from geozarr.conventions import multiscales as multiscales_module
from geozarr.conventions.registration import MULTISCALES, PROJ, SPATIAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from referencing import Specification

    from conformance.context import Context
    from conformance.report import Pointer
    from geozarr.conventions.registration import Convention

FRAMEWORK = "zarr-conventions/v1.json"
PROJJSON = "projjson/v0.7.json"
TMS = "tms/2.0/tileMatrixSet.json"
_CONVENTIONS = {MULTISCALES: "multiscales/v0.1.json", SPATIAL: "spatial/v0.1.json", PROJ: "proj/v0.1.json"}
_TMS_FILES = (
    *("tileMatrixSet", "tileMatrix", "tileMatrixLimits", "crs", "projJSON", "2DPoint", "2DBoundingBox"),
    "variableMatrixWidth",
)
_LOCAL = "https://vendored.invalid/"  # names of the files here; the domain is reserved, and nothing fetches
_MAX_DEPTH = 40  # levels of nesting in a PROJJSON; the deepest real one has about 12
_MAX_VALUES = 4000  # values in a PROJJSON, each of which costs milliseconds; the largest real one has about 300
# Which rule speaks for a violation, by the first key of the pointer into what was validated.
_RULE_OF_KEY = {
    "spatial:dimensions": "SP-02",
    "spatial:bbox": "SP-09",
    "spatial:transform_type": "SP-08",
    "spatial:transform": "SP-05",
    "spatial:shape": "SP-10",
    "spatial:registration": "SP-11",
    "proj:code": "PJ-02",
    "proj:wkt2": "PJ-03",
    "proj:projjson": "PJ-04",
    "zarr_conventions": "ZC-01",
    "multiscales": "MS-01",
}
_RULE_OF_SCHEMA = {MULTISCALES: "MS-01", SPATIAL: "SP-01", PROJ: "PJ-01"}
_PREFIX = {MULTISCALES: "MS", SPATIAL: "SP", PROJ: "PJ"}


@dataclass(frozen=True)
class Problem:
    """The most telling violation of a schema: where in the instance, what, and the value there."""

    pointer: Pointer
    message: str
    found: Any


def problem_of(schema: str, instance: Any) -> Problem | None:
    """Validate a value; None where it is valid.

    Parameters
    ----------
    schema : str
        Name of a vendored file, relative to `schemas/`.
    instance : object
        The JSON value.
    """
    if schema == PROJJSON:
        if _is_larger(instance, _MAX_DEPTH, _MAX_VALUES):
            return Problem((), f"more than {_MAX_DEPTH} levels or {_MAX_VALUES} values", None)
        # The definition of its type says where the fault is; the schema as a whole, only that nothing fits.
        kind = instance.get("type") if isinstance(instance, dict) else None
        if isinstance(kind, str) and kind not in _crs_definitions():
            return Problem(("type",), "this type is no CRS", kind)
        schema += f"#/definitions/{_crs_definitions().get(str(kind), 'crs')}"
    error = best_match(_validator(schema).iter_errors(instance))
    if error is None:
        return None
    return Problem(tuple(error.absolute_path), f"violates the schema {schema}: {error.message[:200]}", error.instance)


def check_net(context: Context) -> Iterator[tuple[str, Fault]]:
    """Validate what no rule has complained of; yields the id of the rule that speaks for each violation."""
    for node in context.tree.nodes.values():
        if not node.is_known or context.has_findings(node.path, "ZARR-01", "ZARR-02", "ZARR-22"):
            continue
        if "zarr_conventions" in node.attributes and not context.has_findings(node.path, "ZC"):
            problem = _problem_at(FRAMEWORK, _relevant(node.document, None))
            if problem is not None:
                yield "ZC-01", _fault(node.path, (), problem)
                continue
        registered = context.registered(node)
        for convention, schema in _CONVENTIONS.items():
            known = convention in registered.conventions and not registered.is_doubtful
            if known and not context.has_findings(node.path, "ZC", _PREFIX[convention]):
                problem = _problem_at(schema, _relevant(node.document, convention))
                if problem is not None and not _is_inherited(convention, problem):
                    key = next((str(part) for part in problem.pointer if part in _RULE_OF_KEY), "")
                    yield _RULE_OF_KEY.get(key, _RULE_OF_SCHEMA[convention]), _fault(node.path, (), problem)
    for pyramid in context.layouts:
        key = multiscales_module.set_key(pyramid.multiscales)
        document = pyramid.multiscales.get(key)
        if isinstance(document, dict) and not context.has_findings(pyramid.node.path, "TMS"):
            problem = problem_of(TMS, document)
            if problem is not None:
                base = ("attributes", multiscales_module.KEY, key)
                yield (
                    "TMS-02" if "tileMatrices" in problem.pointer else "TMS-01",
                    _fault(pyramid.node.path, base, problem),
                )


@lru_cache(maxsize=1)
def _crs_definitions() -> dict[str, str]:
    """Names of the definitions of CRS in the PROJJSON schema, by the `type` they are for."""
    definitions = _document(PROJJSON)["definitions"]
    return {
        kind: name
        for name, definition in definitions.items()
        if name.endswith("_crs")
        for kind in definition["properties"]["type"]["enum"]
    }


def _document(name: str) -> dict[str, Any]:
    text = (resources.files("conformance") / "schemas" / name).read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@lru_cache(maxsize=4096)
def _problem_at(schema: str, text: str) -> Problem | None:
    """Validate what has been rendered: the nodes of a pyramid mostly say the same, and validation is slow."""
    return problem_of(schema, json.loads(text))


def _relevant(document: dict[str, Any], convention: Convention | None) -> str:
    """Render what a convention's schema looks at; the framework's where there is no convention."""
    prefix = f"{convention.name}:" if convention is not None else "zarr_conventions"
    keys = ("zarr_conventions", "multiscales") if convention is not None else ("zarr_conventions",)
    attributes = document.get("attributes")
    if isinstance(attributes, dict):
        attributes = {key: value for key, value in attributes.items() if key in keys or key.startswith(prefix)}
    head = {key: document[key] for key in ("zarr_format", "node_type") if key in document}
    return json.dumps({**head, "attributes": attributes}, sort_keys=True)


def _fault(node: str, base: Pointer, problem: Problem) -> Fault:
    return Fault(node, (*base, *problem.pointer), problem.message, problem.found, "what the schema asks for")


def _is_inherited(convention: object, problem: Problem) -> bool:
    """Tell whether keys are absent that an array may take from its group, as the convention's text allows."""
    return convention is PROJ and tuple(problem.pointer) == ("attributes",)


@lru_cache(maxsize=32)
def _validator(schema: str) -> Any:
    # The TMS schemas are of draft 2019-09 and use siblings of `$ref`, the others are of draft 07 (SPEC TMS-15).
    kind = jsonschema.Draft201909Validator if schema.startswith("tms/") else jsonschema.Draft7Validator
    return kind({"$ref": _LOCAL + schema}, registry=_registry())


@lru_cache(maxsize=1)
def _registry() -> Registry[Any]:
    """Every vendored schema under its file's name and under its own `$id`; nothing else can be resolved."""
    files: list[tuple[str, Specification[Any]]] = [
        (name, DRAFT7) for name in (FRAMEWORK, PROJJSON, *_CONVENTIONS.values())
    ]
    files += [(f"tms/2.0/{name}.json", DRAFT201909) for name in _TMS_FILES]
    registry: Registry[Any] = Registry()
    for name, specification in files:
        resource = specification.create_resource(_document(name))
        registry = registry.with_resource(_LOCAL + name, resource)
        if resource.id() is not None:
            registry = registry.with_resource(str(resource.id()), resource)
    return registry


def _is_larger(value: Any, levels: int, count: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            item
            for outer in layer
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        count -= len(layer)
        if not layer or count < 0:
            return count < 0
    return True
