"""docs/deploy.md and the files of deploy/ speak of what there is, and agree with the service and with each other."""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import click
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.transform import from_origin

import pyramids
from served import serving, until
from tiler import admission, cli, metrics, processes
from tiler.config import Config, read_environment
from tiler.settings import NAMES, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[1]
DEPLOY = PROJECT / "deploy"
TEXT = (PROJECT / "docs" / "deploy.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
OPTIONS = {name for option in cli.main.params if isinstance(option, click.Option) for name in option.opts}
OPTIONS_IN_ORDER = [name for option in cli.main.params if isinstance(option, click.Option) for name in option.opts[:1]]
NGINX = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
CADDY = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
DEFAULTS = {item.name: item.default for item in fields(Settings)}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def rows(section: str) -> list[list[str]]:
    """Cells of the tables of a section."""
    part = re.split(rf"^## {section}\n", TEXT, flags=re.MULTILINE)[1].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# The document


def test_every_setting_has_its_row_and_default() -> None:
    found: dict[str, str] = {}
    for names, values, _ in rows("Settings")[1:]:
        if values == "two a core":
            assert admission.Bounds.running == 2 * (os.cpu_count() or 1)
            found[quoted(names)[0]] = str(admission.Bounds.running)
        else:
            found |= dict(zip(quoted(names), quoted(values), strict=True))
    assert set(found) == set(NAMES)
    for name, value in found.items():
        assert tomllib.loads(f"x = {value}")["x"] == DEFAULTS[name], name


def test_every_option_that_is_named_exists_and_those_of_an_export_are_named() -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("geozarr-serve")]
    named = {word.partition("=")[0] for line in commands for word in shlex.split(line) if word.startswith("--")}
    table = {name for cells in rows("Tiles as files")[1:] for name in quoted(cells[0])}
    assert len(commands) >= 6
    assert named | table <= OPTIONS
    first, last = OPTIONS_IN_ORDER.index("--export"), OPTIONS_IN_ORDER.index("--quiet")
    assert table == set(OPTIONS_IN_ORDER[first + 1 : last + 1])


@pytest.mark.parametrize(
    "text", [*blocks("toml"), (DEPLOY / "serve.toml").read_text(encoding="utf-8")], ids=["docs", "deploy"]
)
def test_the_files_of_settings_are_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text(text)
    settings = Config(tmp_path / "serve.toml").read()
    assert settings.base_url == "https://tiles.example.org"
    assert [dataset.name for dataset in settings.datasets] == ["heights", "scene"]


def test_behind_a_proxy_one_client_may_have_all_that_waits() -> None:
    settings = Config(DEPLOY / "serve.toml").read()
    assert settings.renders_of_client == settings.renders_waiting


def test_every_metric_has_its_row() -> None:
    names = {
        name for cells in rows("What to watch") for name in quoted(cells[0]) if re.match("(geozarr|process)_", name)
    }
    kinds = metrics.FAMILIES.items()
    assert names == {f"{name}_total" if family.kind == "counter" else name for name, family in kinds}


@pytest.mark.parametrize("line", [line for block in blocks("sh") for line in block.splitlines() if "--export" in line])
def test_exports_run_as_they_are_shown(line: str, tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("scene.zarr", "dem.zarr"):
        shutil.copytree(scene, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    command, *words = shlex.split(line)
    result = CliRunner().invoke(cli.main, words)
    assert (command, result.exit_code) == ("geozarr-serve", 0), result.output
    target = Path(words[words.index("--export") + 1])
    assert target.is_file() if target.suffix else (target / "tilejson.json").is_file()


def test_links_lead_to_files_and_headings() -> None:
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in TEXT.splitlines() if line.startswith("#")}
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(links) >= 6
    for link in links:
        path, _, anchor = link.partition("#")
        assert anchor in headings if not path else (PROJECT / "docs" / path).resolve().is_file(), link


# The image


class Instruction(NamedTuple):
    name: str
    words: list[str]


def dockerfile() -> list[Instruction]:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    found = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, _, rest = line.partition(" ")
        is_list = rest.startswith("[")
        found.append(Instruction(name, json.loads(rest) if is_list else shlex.split(rest)))
    return found


def of(name: str) -> list[list[str]]:
    return [words for found, words in dockerfile() if found == name]


def test_the_image_installs_extras_that_exist_on_a_python_that_is_supported() -> None:
    (pip,) = [words for words in of("RUN") if any(word.endswith("/pip") for word in words)]
    (wanted,) = [word for word in pip if word.startswith(".[")]
    extras = wanted[2:-1].split(",")
    assert extras[0] == "serve"
    assert set(extras) <= set(PYPROJECT["project"]["optional-dependencies"])
    (image,) = {words[0] for words in of("FROM")}
    version = image.partition(":")[2].removesuffix("-slim")
    assert f"Programming Language :: Python :: {version}" in PYPROJECT["project"]["classifiers"]


def test_the_image_is_built_from_all_that_the_package_is_made_of() -> None:
    copied = {word for words in of("COPY") if "--from=build" not in words for word in words[:-1]}
    assert all((PROJECT / name).exists() for name in copied)
    needed = {package.partition(".")[0] for package in PYPROJECT["tool"]["setuptools"]["packages"]}
    needed |= {"pyproject.toml", PYPROJECT["project"]["readme"], "LICENSE"}
    assert copied == needed
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert not any(fnmatch(name, line) for name in copied for line in ignored[1:] if not line.startswith("!"))


def test_the_image_runs_the_command_as_nobody_else() -> None:
    assert of("USER") == [["10001"]]
    assert [name for name, _ in dockerfile()].index("USER") > max(
        index for index, (name, _) in enumerate(dockerfile()) if name == "RUN"
    )
    assert of("ENTRYPOINT") == [["geozarr-serve"]]
    assert "geozarr-serve" in PYPROJECT["project"]["scripts"]
    assert set(of("CMD")[0][::2]) <= OPTIONS
    environ = dict(word.split("=", 1) for words in of("ENV") for word in words)
    settings = read_environment(environ)
    assert environ["NUMBA_CACHE_DIR"].startswith("/tmp/")  # the one place that is writable
    assert settings["host"] == "0.0.0.0"
    assert of("EXPOSE") == [[str(settings["port"])]]


def test_the_image_is_told_to_stop_as_long_as_the_service_may_take() -> None:
    commands = [*re.findall(r"--stop-timeout (\d+)", TEXT + (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))]
    assert len(commands) == 2
    assert all(int(seconds) > Settings.shutdown + processes._SPARE for seconds in commands)


@pytest.mark.faults
def test_the_health_check_of_the_image_tells_a_service_that_runs(scene: Path) -> None:
    (words,) = of("HEALTHCHECK")
    code = words[-1].removesuffix("]")
    with serving(scene) as served:
        here = code.replace(":8000", f":{served.port}")
        assert here != code
        assert subprocess.run([sys.executable, "-c", here], check=False).returncode == 0
    ended = subprocess.run([sys.executable, "-c", here], check=False, capture_output=True)
    assert ended.returncode != 0


# systemd


def unit() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for line in (DEPLOY / "geozarr-serve.service").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


def test_the_unit_starts_the_command_and_waits_for_its_end() -> None:
    service = unit()["Service"]
    command = shlex.split(service["ExecStart"][0])
    assert Path(command[0]).name in PYPROJECT["project"]["scripts"]
    assert {word for word in command if word.startswith("--")} <= OPTIONS
    assert int(service["TimeoutStopSec"][0]) > Settings.shutdown + processes._SPARE
    assert "-HUP" in service["ExecReload"][0]
    assert (
        dict([service["Environment"][0].split("=")])["NUMBA_CACHE_DIR"] == f"/var/cache/{service['CacheDirectory'][0]}"
    )
    assert "MemoryDenyWriteExecute" not in service  # compiled loops need it
    assert service["EnvironmentFile"][0].strip("-") in TEXT


@pytest.mark.faults
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "geozarr-serve.service"
    text = (DEPLOY / "geozarr-serve.service").read_text(encoding="utf-8")
    path.write_text(text.replace("/opt/geozarr/bin/geozarr-serve", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", path], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    path.write_text(path.read_text().replace("ProtectHome=yes", "ProtectHome=perhaps\nProtectNothing=yes"))
    done = subprocess.run(["systemd-analyze", "verify", path], check=False, capture_output=True, text=True)
    assert "ProtectNothing" in done.stderr


# The proxies


def seconds(pattern: str, text: str) -> int:
    (found,) = re.findall(rf"^\s*{pattern} (\d+)s", text, re.MULTILINE)
    return int(found)


@pytest.mark.parametrize(
    ("text", "idle", "answer"),
    [(NGINX, "keepalive_timeout", "proxy_read_timeout"), (CADDY, "keepalive", "response_header_timeout")],
    ids=["nginx", "caddy"],
)
def test_timeouts_of_proxies_lie_around_those_of_the_service(text: str, idle: str, answer: str) -> None:
    assert seconds(idle, text) < Settings.keep_alive
    assert seconds(answer, text) > Settings.deadline
    assert f"{Settings.host}:{Settings.port}" in text
    assert "/metrics" in text


def test_proxies_take_bodies_as_large_as_the_service_does() -> None:
    assert "client_max_body_size 1m;" in NGINX
    assert "max_size 1MiB" in CADDY
    assert Settings.max_body == 2**20


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy")
    values = np.arange(1, 40_001, dtype="uint16").reshape(1, 200, 200)
    place = from_origin(457_000, 4_490_000, 100, 100)  # near 105.5 W, 40.5 N
    profile = {"driver": "GTiff", "count": 1, "height": 200, "width": 200, "dtype": "uint16", "crs": "EPSG:32613"}
    with rasterio.open(folder / "scene.tif", "w", transform=place, **profile) as out:
        out.write(values)
        out.set_band_description(1, "height")
    pyramids.build(folder / "scene.tif", folder / "scene.zarr")
    return folder / "scene.zarr"


class Proxy(NamedTuple):
    """nginx before a service."""

    port: int
    plain_port: int

    def ask(self, path: str, *, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, Any, bytes]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20)
        try:
            connection.request(method, path, body or None, {"Host": "tiles.example.org", **headers})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def nginx(folder: Path, service_port: int) -> Iterator[Proxy]:
    """Run nginx with the configuration of deploy/, in a folder and on ports of its own."""
    proxy = Proxy(free_port(), free_port())
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=tiles.example.org", "-days", "1", "-nodes", "-newkey", "rsa:2048"]
    made = ["openssl", "req", "-x509", *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    text = NGINX
    for old, new in (
        ("listen 80;", f"listen 127.0.0.1:{proxy.plain_port};"),
        ("listen 443 ", f"listen 127.0.0.1:{proxy.port} "),
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{service_port};"),
        ("/etc/letsencrypt/live/tiles.example.org/fullchain.pem", str(certificate)),
        ("/etc/letsencrypt/live/tiles.example.org/privkey.pem", str(key)),
        ("/var/cache/nginx/geozarr", str(folder / "cache")),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "geozarr.conf").write_text(text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in kinds)
    user = "user root; " if os.geteuid() == 0 else ""
    whole = f"{user}pid {folder}/pid; events {{}} http {{ access_log off; {paths} include {folder}/geozarr.conf; }}"
    (folder / "nginx.conf").write_text(whole)
    command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    tested = subprocess.run([*command, "-t"], check=False, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
    with subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: answers(proxy.port))
            yield proxy
        finally:
            process.terminate()
            process.wait(20)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.faults
@pytest.mark.skipif(not (shutil.which("nginx") and shutil.which("openssl")), reason="needs nginx and openssl")
def test_nginx_caches_limits_and_hides(tmp_path: Path, scene: Path) -> None:
    text = (DEPLOY / "serve.toml").read_text(encoding="utf-8").partition("[datasets]")[0]
    (tmp_path / "serve.toml").write_text(f'{text}[datasets]\nscene = "{scene}"\n')
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    flags = ["--config", tmp_path / "serve.toml", "--expose-zarr", "--workers", "1", "--port", port, "--base-url", base]
    with serving(*flags) as served, nginx(tmp_path, port) as proxy:
        status, _, data = proxy.ask("/scene/WebMercatorQuad/tilejson.json", **{"X-Forwarded-Host": "other.org"})
        assert status == 200
        tilejson = json.loads(data)
        assert tilejson["tiles"][0].startswith(f"{base}/scene/tiles/")
        row = re.sub(r"\{z\}.*", "", urlsplit(tilejson["tiles"][0]).path)
        x, y, z = tile_of(tilejson)
        tile = f"{row}{z}/{x}/{y}.png"
        first, second = proxy.ask(tile), proxy.ask(tile)
        assert (first[0], first[1]["X-Cache-Status"]) == (200, "MISS")
        assert (second[0], second[1]["X-Cache-Status"]) == (200, "HIT")
        assert first[2] == second[2] == served.get(tile)[1]
        again = proxy.ask(tile, **{"If-None-Match": first[1]["ETag"]})
        assert (again[0], again[2]) == (304, b"")
        assert served.get("/metrics")[0] == 200
        assert proxy.ask("/metrics")[0] == 404
        assert proxy.ask("/scene/statistics", method="POST", body=bytes(2**20 + 1))[0] == 413
        stored = max(scene.glob("*/*/c/**/*"), key=lambda path: path.stat().st_size * path.is_file())
        part = proxy.ask(f"/scene/zarr/{stored.relative_to(scene).as_posix()}", Range="bytes=5-14")
        assert (part[0], part[2], part[1]["X-Cache-Status"]) == (206, stored.read_bytes()[5:15], None)
        request_ids = [record.get("request_id") for record in served.records() if record.get("path") == tile]
        assert re.fullmatch("[0-9a-f]{32}", str(request_ids[0])) is not None
        plain = http.client.HTTPConnection("127.0.0.1", proxy.plain_port, timeout=10)
        plain.request("GET", "/scene/map", headers={"Host": "other.org"})
        moved = plain.getresponse()
        assert (moved.status, moved.headers["Location"]) == (301, "https://tiles.example.org/scene/map")
        plain.close()


def tile_of(tilejson: dict[str, Any]) -> tuple[int, int, int]:
    """Column, row and zoom of the tile at the centre of a dataset, in Web Mercator."""
    longitude, latitude, zoom = tilejson["center"]
    count = 2 ** int(zoom)
    angle = math.radians(latitude)
    return (
        int((longitude + 180) / 360 * count),
        int((1 - math.asinh(math.tan(angle)) / math.pi) / 2 * count),
        int(zoom),
    )
