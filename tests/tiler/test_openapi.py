"""The OpenAPI document tells the truth: requests made from it by schemathesis get statuses and types that it states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from schemathesis import openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import hostile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import Case
    from starlette.testclient import TestClient

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
LIMITS = hypothesis.settings(
    max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
NAMES = ("count", "colour", "series", "native", "unknown")

# Values that are right for some dataset, beside those that are made of nothing but "a text".
RIGHT: dict[str, list[str]] = {
    "variable": ["count", "red", "heat", "land"],
    "sel": ["time=nearest::2024-01-02", "level=850", "time=0"],
    "bidx": ["1", "1,1"],
    "rescale": ["0,5000", "-1.5,1e3"],
    "colormap_name": ["viridis", "terrain"],
    "algorithm": ["hillshade", "contours"],
    "tilesize": ["64", "512"],
    "buffer": ["0.5", "3"],
    "resampling": ["bilinear", "average"],
    "f": ["json", "html", "png", "npy"],
    "return_mask": ["false"],
    "coord_crs": ["EPSG:4326", "EPSG:32613"],
    "max_size": ["50"],
}


@pytest.fixture(scope="module")
def client(stores: dict[str, Any]) -> Iterator[TestClient]:
    places = {name: stores[name].path for name in NAMES if name in stores}
    with hostile.serving(set_expressions=True, **places) as client:
        yield client


@pytest.fixture(scope="module")
def operations(client: TestClient) -> dict[str, Any]:
    schema = openapi.from_dict(client.get("/openapi.json").json())
    found = (item.ok() for item in schema.get_all_operations())
    return {operation.label: operation for operation in found}


def address(draw: Any, case: Case) -> str:
    """Path of a request: mostly right, else some of its parts made of nothing but "a text"."""
    is_right = draw(st.sampled_from([True, True, False]))
    right = hostile.PLACES | {
        "lat": "39.0",
        "name": hostile.ITEMS.get(case.path, ""),
        "dataset": draw(st.sampled_from(NAMES)),
    }
    for name in case.path_parameters:
        if is_right or draw(st.booleans()):
            case.path_parameters[name] = right[name]
    return str(case.formatted_path)


def parameters(draw: Any, case: Case) -> list[tuple[str, str]]:
    """Query parameters: as schemathesis has made them, or right ones."""
    if draw(st.sampled_from([False, False, True])):
        made = dict(case.query or {}).items()
        return [(name, str(text)) for name, value in made for text in (value if isinstance(value, list) else [value])]
    known = [item.name for item in case.operation.query if item.name in RIGHT]
    names = draw(st.lists(st.sampled_from(known), max_size=2, unique=True)) if known else []
    return [(name, draw(st.sampled_from(RIGHT[name]))) for name in names]


def ask(client: TestClient, operation: Any) -> set[int]:
    """Make requests of an operation and hold the answers against what is documented; return their statuses."""
    seen = set()

    @LIMITS
    @given(st.data())
    def require(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy())
        path, query = address(data.draw, case), parameters(data.draw, case)
        body = {}
        if case.method.upper() == "POST":
            made = case.body if isinstance(case.body, dict | list | str | int | float | bool | None) else {}
            body = {"json": data.draw(st.sampled_from([hostile.SQUARE, made]))}
        response = client.request(case.method, path, params=query, **body)
        case.validate_response(response, checks=CHECKS)
        seen.add(response.status_code)

    require()
    return seen


def test_every_operation_answers_as_it_is_documented(client: TestClient, operations: dict[str, Any]) -> None:
    seen = {label: ask(client, operation) for label, operation in operations.items()}
    assert len(seen) > 30
    assert {status for statuses in seen.values() for status in statuses} <= {200, 400, 404}
    assert [label for label, statuses in seen.items() if 200 not in statuses] == []
