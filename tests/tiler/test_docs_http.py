"""Each request that docs/http.md shows is answered, and each endpoint is shown."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import rasterio
from fastapi.routing import APIRoute
from PIL import Image
from starlette.testclient import TestClient

from tiler.app import create_app
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text(encoding="utf-8")


class Request(NamedTuple):
    method: str
    path: str
    body: str


def requests() -> list[Request]:
    found = []
    for block in re.findall(r"```http\n(.*?)```", TEXT, re.DOTALL):
        head, _, body = block.partition("\n\n")
        for line in head.splitlines():
            method, path, version = line.split(" ")
            assert version == "HTTP/1.1"
            found.append(Request(method, path, body.strip()))
    return found


@pytest.fixture(scope="module")
def client(stores: dict[str, Any]) -> Iterator[TestClient]:
    names = {"scene": "colour", "heights": "height", "series": "series"}
    datasets = tuple(Dataset(name, stores[store].path) for name, store in names.items())
    settings = Settings(datasets, base_url="https://tiles.example.org", expose_zarr=True)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def require_readable(media_type: str, data: bytes) -> None:
    """Open an answer as what it says it is."""
    if media_type.startswith("image/tiff"):
        with rasterio.MemoryFile(data) as file, file.open() as dataset:
            assert dataset.count
    elif media_type.startswith("image/"):
        assert Image.open(io.BytesIO(data)).size
    elif "json" in media_type:
        assert json.loads(data)
    elif media_type == "application/x-binary":
        assert np.load(io.BytesIO(data)).ndim == 3
    else:
        assert media_type.startswith(("text/html", "application/xml"))
        assert data.startswith((b"<!doctype html>", b"<?xml"))


@pytest.mark.parametrize("request_", requests(), ids=lambda item: f"{item.method} {item.path}")
def test_a_request_that_is_shown_is_answered(client: TestClient, request_: Request) -> None:
    content = request_.body or None
    response = client.request(request_.method, request_.path, content=content)
    assert response.status_code == 200, response.text
    require_readable(response.headers["content-type"], response.content)


def test_every_endpoint_is_shown(client: TestClient) -> None:
    routes = [route for route in client.app.api.routes if isinstance(route, APIRoute) and route.include_in_schema]
    shown = [(item.method, item.path.partition("?")[0]) for item in requests()]
    missing = [
        route.path
        for route in routes
        if not any(method in route.methods and route.path_regex.fullmatch(path) for method, path in shown)
    ]
    assert missing == []


def test_every_parameter_is_explained(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    names = {
        item["name"]
        for path in document["paths"].values()
        for operation in path.values()
        for item in operation.get("parameters", [])
        if item["in"] == "query"
    }
    assert [name for name in sorted(names) if f"`{name}`" not in TEXT and f"{name}=" not in TEXT] == []
