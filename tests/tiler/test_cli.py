from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
import tomllib
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from served import serving
from tiler import cli
from tiler.settings import Dataset

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("scene.zarr", Dataset("scene", "scene.zarr")),
        ("folder/my scene (1).zarr/", Dataset("my-scene-1", "folder/my scene (1).zarr/")),
        ("s3://bucket/dem.zarr", Dataset("dem", "s3://bucket/dem.zarr")),
        ("dem=folder/a=b.zarr", Dataset("dem", "folder/a=b.zarr")),
        ("./a=b.zarr", Dataset("a-b", "./a=b.zarr")),
        ("plain", Dataset("plain", "plain")),
    ],
)
def test_a_store_has_its_name_or_that_of_its_folder(store: str, expected: Dataset) -> None:
    assert cli._dataset(store) == expected


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing.zarr"], "nothing: cannot open"),
        (["{empty}"], "expected a Zarr v3 group"),
        (["{count}", "{count}"], "each name once"),
        (["é/"], "name=folder"),
        (["--base-url", "ftp://x", "{count}"], "--base-url: "),
        (["--port", "65536", "{count}"], "--port: "),
        (["--workers", "0", "{count}"], "--workers: "),
        (["--set", "max_ages=1", "{count}"], "'max_age', which is the nearest name"),
        (["--set", "max_age=soon", "{count}"], "--set max_age: "),
        (["--config", "{empty}/nothing.toml", "{count}"], "a file that can be read"),
        ([], "at least one"),
        (["--host", "203.0.113.1", "{count}"], "an address to listen on"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    stores: dict[str, Any], tmp_path: Path, arguments: list[str], text: str
) -> None:
    filled = [item.format(count=stores["count"].path, empty=tmp_path) for item in arguments]
    result = CliRunner().invoke(cli.main, ["--port", "0", *filled])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("geozarr-serve: ")
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


def test_a_port_in_use_is_told(stores: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(cli.main, ["--port", str(port), str(stores["count"].path)])
    assert result.exit_code == 2
    assert str(port) in result.stderr


def test_a_missing_extra_is_named(stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(cli.main, ["--port", "0", str(stores["count"].path)])
    assert result.exit_code == 2
    assert "geozarr-pyramids[serve]" in result.stderr
    assert "uvicorn" in result.stderr


def test_a_wrong_environment_variable_is_told(stores: dict[str, Any]) -> None:
    result = CliRunner(env={"GEOZARR_SERVE_MAX_AGE": "soon"}).invoke(cli.main, [str(stores["count"].path)])
    assert result.exit_code == 2
    assert "GEOZARR_SERVE_MAX_AGE" in result.stderr


def test_it_serves_on_a_free_port_and_ends_well_on_sigterm(stores: dict[str, Any]) -> None:
    with serving(f"counts={stores['count'].path}", stores["colour"].path, "--no-access-log", count=2) as served:
        assert list(served.maps) == ["counts", "colour"]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/counts/map", served.maps["counts"])
        (tiles,) = served.json("/counts/WebMercatorQuad/tilejson.json")["tiles"]
        assert tiles.startswith(f"{served.base}/counts/tiles/WebMercatorQuad/")
        with urllib.request.urlopen(tiles.format(z=10, x=215, y=391), timeout=30) as response:
            assert response.headers["content-type"] == "image/png"
        with urllib.request.urlopen(served.maps["colour"], timeout=30) as response:
            assert b"<!doctype html>" in response.read()
        served.tell(signal.SIGTERM)
        assert served.process.wait(30) == 0
    assert served.log == []


def test_the_settings_in_effect_are_printed(stores: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("max_age = 7\nrefresh = 8\nport = 9\n[datasets]\nfar = 's3://key:secret@bucket/a.zarr'\n")
    arguments = ["--config", file, "--print-config", "--port", "0", "--set", "max_side=99", stores["count"].path]
    result = CliRunner(env={"GEOZARR_SERVE_REFRESH": "10"}).invoke(cli.main, list(map(str, arguments)))
    assert (result.exit_code, result.stderr) == (0, "")
    found = tomllib.loads(result.stdout)
    assert [found[name] for name in ("max_age", "refresh", "port", "max_side")] == [7, 10, 0, 99]
    assert found["datasets"]["far"] == {"location": "s3://***@bucket/a.zarr"}
    assert found["datasets"]["count"] == {"location": str(stores["count"].path)}


@pytest.mark.parametrize(
    ("flags", "choice"),
    [([], "documents"), (["--access-log"], "all"), (["--no-access-log"], "off"), (["--set", "access_log=all"], "all")],
)
def test_what_is_logged_is_chosen_by_a_flag(flags: list[str], choice: str) -> None:
    result = CliRunner().invoke(cli.main, ["a.zarr", "--print-config", *flags])
    assert tomllib.loads(result.stdout)["access_log"] == choice


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_answers_are_sent_at_once(host: str) -> None:
    """Else the kernel keeps the end of an answer back until its beginning is confirmed, which takes it 40 ms."""

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.set_result(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    async def connect() -> int:
        nonlocal seen
        seen = asyncio.get_running_loop().create_future()
        server = await asyncio.get_running_loop().create_server(Accepted, sock=listener)
        async with server:
            _, writer = await asyncio.open_connection(host, listener.getsockname()[1])
            writer.close()
            return await seen

    seen: asyncio.Future[int]
    with cli._listen(host, 0) as listener:
        assert asyncio.run(connect()) == 1
