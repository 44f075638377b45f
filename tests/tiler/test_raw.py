from __future__ import annotations

import asyncio
import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pytest
import uvicorn
import zarr
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import HTTPStore, LocalStore
from starlette.testclient import TestClient
from zarr.storage import ObjectStore

import pyramids
from builds import FakeSource, scene
from geozarr import store as store_module
from geozarr.errors import ParameterError, UnknownNameError
from tiler import cli
from tiler import raw as raw_module
from tiler.app import create_app
from tiler.config import read_environment
from tiler.raw import RawStore, parse_range
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("count", "sharded", "stack", "native")
CHUNK = "10/count/c/1/1"
HOSTILE = [
    "",
    "zarr.json/",
    "/zarr.json",
    "10",
    "10/",
    "10/count",
    "10/count/",
    "10/count/c",
    "10/count/c/",
    "10/count/c/1",
    "10/count/c/1/1/",
    "10/count/c/1/1/1",
    "10/count/c/1/2",
    "10/count/c/01/1",
    "10/count/c/-1/1",
    "10/count/c/+1/1",
    "10/count/c/1.0/1",
    "10/count/c/1e0/1",
    "10/count/c/%D9%A1/1",
    "10/count/c/1/1%00",
    f"10/count/c/{10**30}/1",
    "10/count/c.1.1",
    "10/count/1.1",
    "10/count/d/1/1",
    "9/../10/count/c/1/1",
    "9/%2e%2e/10/count/c/1/1",
    "../count/zarr.json",
    "%2e%2e/count/zarr.json",
    "10%2Fcount%2Fc%2F1%2F1",
    "10/count%2Fc/1/1",
    "10/count/c%2f1%2f1",
    "10%252Fcount/c/1/1",
    "10%5Ccount/c/1/1",
    "10//count/c/1/1",
    ".build/zarr.json",
    ".zattrs",
    ".zmetadata",
    "10/count/.zarray",
    "nothing/zarr.json",
    "//etc/hosts",
    "%2Fetc%2Fhosts",
    "C:/count/zarr.json",
]


def client_of(*, expose: bool = True, **stores: Path) -> TestClient:
    datasets = tuple(Dataset(name, path) for name, path in stores.items())
    settings = Settings(datasets, expose_zarr=expose)
    return TestClient(create_app(settings), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(stores: dict[str, Any]) -> TestClient:
    return client_of(**{name: stores[name].path for name in NAMES})


@pytest.fixture(scope="module")
def chunk(stores: dict[str, Any]) -> bytes:
    data: bytes = (stores["count"].path / CHUNK).read_bytes()
    return data


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A pyramid with a manifest, in which the first chunk is empty."""
    values = scene("int16", (1, 256, 256))
    values[:, :128, :128] = -1
    path = tmp_path / "built.zarr"
    pyramids.build(FakeSource(values, nodata=-1), path, tms="native", chunk=128, levels=2)
    return path


def files_of(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def ask(app: Any, target: str) -> tuple[int, bytes]:
    """Send an address as it is: HTTP clients take `..` out of it before."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": [(b"host", b"here")],
    }
    sent: list[Any] = []

    parts = [{"type": "http.request"}]

    async def receive() -> dict[str, Any]:
        return parts.pop() if parts else await asyncio.Future()  # the client stays

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Address of a server on loopback."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("name", NAMES)
def test_every_object_is_served_as_it_is_stored(client: TestClient, stores: dict[str, Any], name: str) -> None:
    found = files_of(stores[name].path)
    assert len(found) > 10
    for key, data in found.items():
        response = client.get(f"/{name}/zarr/{key}")
        assert (response.status_code, response.content) == (200, data), key
        kind = "application/json" if key.endswith("zarr.json") else "application/octet-stream"
        assert response.headers["content-type"] == kind
        assert response.headers["content-length"] == str(len(data))


def test_zarr_python_reads_a_store_through_it(stores: dict[str, Any]) -> None:
    datasets = tuple(Dataset(name, stores[name].path) for name in ("count", "sharded"))
    with served(create_app(Settings(datasets, expose_zarr=True))) as address:
        for name in ("count", "sharded"):
            remote = HTTPStore.from_url(f"{address}/{name}/zarr", client_options={"allow_http": True})
            group = zarr.open_group(ObjectStore(remote, read_only=True), mode="r", zarr_format=3, use_consolidated=True)
            for level in ("9", "10"):
                assert np.array_equal(group[f"{level}/count"][...], stores[name].array(level, "count"))


def test_it_is_there_only_where_it_is_switched_on(stores: dict[str, Any], client: TestClient) -> None:
    closed = client_of(expose=False, count=stores["count"].path)
    assert closed.get("/count/zarr/zarr.json").status_code == 404
    assert "zarr" not in closed.get("/count/info").json()
    assert client.get("/count/info").json()["zarr"] == "/count/zarr"
    assert Settings((Dataset("one", "one.zarr"),)).expose_zarr is False


def test_a_flag_and_the_environment_switch_it_on(monkeypatch: pytest.MonkeyPatch, stores: dict[str, Any]) -> None:
    one = (Dataset("one", "one.zarr"),)
    for text, expected in (("1", True), ("0", False)):
        assert read_environment({"GEOZARR_SERVE_EXPOSE_ZARR": text}) == {"expose_zarr": expected}
    for wrong in ("yes", "", "2"):
        with pytest.raises(ParameterError) as caught:
            read_environment({"GEOZARR_SERVE_EXPOSE_ZARR": wrong})
        assert caught.value.parameter == "GEOZARR_SERVE_EXPOSE_ZARR"
    with pytest.raises(ParameterError):
        Settings(one, expose_zarr=1)  # type: ignore[arg-type]  # what is refused
    found: list[bool] = []
    monkeypatch.setattr(cli, "_serve", lambda source, *_: found.append(source.read().expose_zarr))
    for flags in ([], ["--expose-zarr"]):
        result = CliRunner().invoke(cli.main, ["--port", "0", *flags, str(stores["count"].path)])
        assert result.exit_code == 0, result.output
    assert found == [False, True]


@pytest.mark.parametrize("key", HOSTILE)
def test_t8_any_other_key_is_404_without_a_look_at_the_store(
    stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    client = client_of(count=stores["count"].path)
    assert client.get("/count/info").status_code == 200  # opened: what follows is asked for by the key alone
    monkeypatch.setattr(RawStore, "_get", lambda *_: pytest.fail("the store was asked"))
    status, body = ask(client.app, f"/count/zarr/{key}")
    assert status == 404
    assert not re.search(rb"/tmp|pytest|\.zarr/", body)


def test_t8_what_a_build_leaves_beside_is_not_served(built: Path) -> None:
    client = client_of(built=built)
    found = files_of(built)
    hidden = [key for key in found if key.startswith(".build/")]
    assert hidden
    for key, data in found.items():
        response = client.get(f"/built/zarr/{key}")
        assert response.status_code == (404 if key in hidden else 200)
        assert key in hidden or response.content == data


def test_t8_documents_cannot_name_a_way_out(tmp_path: Path) -> None:
    names = ("..", "../other", ".build", "a/../b", "a\\b", "a\x00b", "/etc", "a//b")
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    tree = store_module.Tree({"": group, "a": group} | dict.fromkeys(names, group), is_consolidated=True)
    raw = RawStore(LocalStore(tmp_path), tree, version="1")
    assert raw.find("a/zarr.json").key == "a/zarr.json"
    for name in names:
        with pytest.raises(UnknownNameError):
            raw.find(f"{name}/zarr.json")


def test_t8_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, stores: dict[str, Any]) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes(b"secret")
    path = tmp_path / "linked.zarr"
    for key, data in files_of(stores["count"].path).items():
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).write_bytes(data)
    (path / CHUNK).unlink()
    (path / CHUNK).symlink_to(outside)
    client = client_of(linked=path)
    response = client.get(f"/linked/zarr/{CHUNK}")
    assert (response.status_code, b"secret" in response.content) == (404, False)
    # A link to the store itself is its operator's way to name it.
    (tmp_path / "alias.zarr").symlink_to(path)
    assert client_of(alias=tmp_path / "alias.zarr").get("/alias/zarr/10/count/c/1/0").status_code == 200


@pytest.mark.parametrize("encoding", [("default", "/"), ("default", "."), ("v2", "."), ("v2", "/")])
@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (2, 3, 4)])
def test_keys_are_those_that_zarr_python_writes(
    tmp_path: Path, encoding: tuple[str, str], shape: tuple[int, ...]
) -> None:
    array = zarr.create_array(
        tmp_path / "g" / "data",
        shape=shape,
        chunks=(2,) * len(shape) or "auto",
        dtype="int16",
        fill_value=-1,
        chunk_key_encoding={"name": encoding[0], "separator": encoding[1]},
    )
    array[...] = 1
    zarr.open_group(tmp_path / "g", mode="a", zarr_format=3)
    opened = store_module.open_store(tmp_path / "g")
    raw = RawStore(opened, store_module.read_tree(opened), version="1")
    found = files_of(tmp_path / "g")
    chunks = {key for key in found if not key.endswith("zarr.json")}
    assert len(chunks) == int(np.prod([-(-side // 2) for side in shape]))
    for key, data in found.items():
        assert raw.read(raw.find(key)).data == data
    for key in chunks:
        with pytest.raises(UnknownNameError):
            raw.find(key[:-1] + "9" if shape else f"{key}9")


@given(first=st.integers(0, 40), last=st.integers(0, 40))
def test_a_range_is_the_bytes_that_it_names(client: TestClient, chunk: bytes, first: int, last: int) -> None:
    size = len(chunk)
    cases = {
        f"bytes={first}-{last}": chunk[first : last + 1] if first <= last else None,
        f"bytes={first}-": chunk[first:],
        f"bytes={size - 1 - first}-{size + last}": chunk[size - 1 - first :],
        f"bytes=-{last + 1}": chunk[-last - 1 :],
        f"bytes=-{size + last}": chunk,
    }
    for header, expected in cases.items():
        response = client.get(f"/count/zarr/{CHUNK}", headers={"Range": header})
        assert response.content == (chunk if expected is None else expected), header
        assert response.status_code == (200 if expected is None else 206)
        if expected is not None:
            start = chunk.index(expected) if len(expected) > 40 else None
            begin, end, whole = map(int, re.findall(r"[0-9]+", response.headers["content-range"]))
            assert (end - begin + 1, whole) == (len(expected), size)
            assert chunk[begin : end + 1] == expected
            assert start is None or start <= begin


@pytest.mark.parametrize("name", ["count", "sharded"])
def test_a_range_beyond_the_end_is_416(client: TestClient, stores: dict[str, Any], name: str) -> None:
    key = "10/count/c/1/1"
    size = len((stores[name].path / key).read_bytes())
    for header in (f"bytes={size}-", f"bytes={size}-{size}", f"bytes={10**17}-", "bytes=-0"):
        response = client.get(f"/{name}/zarr/{key}", headers={"Range": header})
        assert response.status_code == 416, header
        assert response.headers["content-range"] == f"bytes */{size}"
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,4-5",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "items=0-1",
        "bytes=0x1-2",
        "0-1",
        f"bytes=0-{'9' * 40}",
        f"bytes={'9' * 5000}-",
    ],
)
def test_other_ranges_are_passed_over(client: TestClient, chunk: bytes, header: str) -> None:
    response = client.get(f"/count/zarr/{CHUNK}", headers={"Range": header})
    assert (response.status_code, response.content) == (200, chunk)


def test_head_says_the_size_without_the_bytes(client: TestClient, chunk: bytes) -> None:
    response = client.head(f"/count/zarr/{CHUNK}", headers={"Range": "bytes=0-1"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(chunk))
    assert response.headers["accept-ranges"] == "bytes"
    assert client.head("/count/zarr/10/count/c/0/9").status_code == 404


def test_a_client_that_has_it_is_told_so(client: TestClient, chunk: bytes) -> None:
    for key in ("zarr.json", "10/zarr.json", CHUNK):
        tag = client.get(f"/count/zarr/{key}").headers["etag"]
        again = client.get(f"/count/zarr/{key}", headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert client.get(f"/count/zarr/{key}", headers={"If-None-Match": '"other"'}).status_code == 200
    tag = client.get(f"/count/zarr/{CHUNK}").headers["etag"]
    for condition, status in ((tag, 206), ('"other"', 200), ("Sat, 21 Nov 2026 00:00:00 GMT", 200)):
        found = client.get(f"/count/zarr/{CHUNK}", headers={"Range": "bytes=0-3", "If-Range": condition})
        assert (found.status_code, found.content) == (status, chunk[:4] if status == 206 else chunk)
        assert found.headers["etag"] == tag
    tags = {client.get(f"/count/zarr/{key}").headers["etag"] for key in ("zarr.json", CHUNK, "10/count/c/1/0")}
    assert len(tags) == 3


def test_a_document_that_is_replaced_is_seen_at_once(tmp_path: Path, stores: dict[str, Any]) -> None:
    path = tmp_path / "changed.zarr"
    for key, data in files_of(stores["count"].path).items():
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).write_bytes(data)
    client = client_of(changed=path)
    before = client.get("/changed/zarr/zarr.json")
    assert before.headers["cache-control"] == "no-cache"
    (path / "zarr.json").write_bytes(before.content + b"\n")
    after = client.get("/changed/zarr/zarr.json", headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.content) == (200, before.content + b"\n")


def test_pages_of_other_origins_may_read_and_see_ranges(client: TestClient) -> None:
    headers = {"Origin": "https://example.org", "Range": "bytes=-8"}
    response = client.get(f"/count/zarr/{CHUNK}", headers=headers)
    assert response.status_code == 206
    assert response.headers["access-control-allow-origin"] == "*"
    exposed = {name.strip() for name in response.headers["access-control-expose-headers"].split(",")}
    assert {"Content-Range", "ETag"} <= exposed
    asked = {**headers, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    preflight = client.options(f"/count/zarr/{CHUNK}", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "*"


def test_t19_a_chunk_that_was_stored_is_lost_and_an_empty_one_is_missing(built: Path) -> None:
    client = client_of(built=built)
    (empty,) = {f"0/v0/c/{row}/{col}" for row in range(2) for col in range(2)} - set(files_of(built))
    assert empty == "0/v0/c/0/0"
    assert client.get(f"/built/zarr/{empty}").status_code == 404
    stored = built / "0/v0/c/1/1"
    data = stored.read_bytes()
    stored.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for damage in ("flipped", "lost"):
        response = client.get("/built/zarr/0/v0/c/1/1")
        assert response.status_code == 502, damage
        assert response.headers["cache-control"] == "no-store"
        assert "built.zarr" not in response.text
        stored.unlink(missing_ok=True)
    assert client.head("/built/zarr/0/v0/c/1/1").status_code == 502
    stored.write_bytes(data)
    assert client.get("/built/zarr/0/v0/c/1/1").content == data


def test_more_than_the_limit_is_502_and_not_read(
    client: TestClient, chunk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_module, "MOST", len(chunk) - 1)
    assert client.get(f"/count/zarr/{CHUNK}").status_code == 502
    assert client.get(f"/count/zarr/{CHUNK}", headers={"Range": "bytes=0-"}).status_code == 502
    part = client.get(f"/count/zarr/{CHUNK}", headers={"Range": "bytes=1-"})
    assert (part.status_code, part.content) == (206, chunk[1:])
    assert client.head(f"/count/zarr/{CHUNK}").headers["content-length"] == str(len(chunk))


def test_t16_long_keys_and_ranges_take_no_time(stores: dict[str, Any]) -> None:
    opened = store_module.open_store(stores["count"].path)
    raw = RawStore(opened, store_module.read_tree(opened), version="1")
    started = time.perf_counter()
    for text in ("1/" * 50_000, "10/count/c/" + "1" * 100_000, "/" * 100_000):
        with pytest.raises(UnknownNameError):
            raw.find(text)
    for text in ("bytes=" + "1" * 100_000, "bytes=" + "1-" * 50_000):
        assert parse_range(text) is None
    assert time.perf_counter() - started < 0.05
