"""The commands on targets that are not on this machine; what they need comes from the environment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result
from obstore.store import AzureStore, GCSStore, S3Store

import s3
from conformance.cli import main as check
from geozarr import StoreError, targets
from pyramids.cli import main as build

if TYPE_CHECKING:
    from fault_proxy import FaultProxy
    from s3 import S3Server

PROJECT = Path(__file__).resolve().parents[2]
SERVE = [sys.executable, "-c", "from tiler.cli import main; main()"]

pytestmark = pytest.mark.usefixtures("keeps_handlers")


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    path = tmp_path / "scene.tif"
    values = (np.arange(600 * 500) % 251 + 1).astype(np.uint8).reshape(1, 600, 500)
    profile = {"driver": "GTiff", "count": 1, "height": 600, "width": 500, "dtype": "uint8", "nodata": 0}
    where = {"crs": "EPSG:32631", "transform": Affine(30, 0, 500000, 0, -30, 5000000)}
    with rasterio.open(path, "w", **profile, **where) as dataset:
        dataset.write(values)
    return path


def run(command: object, endpoint: str, *arguments: object, **environ: str | None) -> Result:
    environment = s3.environment(endpoint) | environ
    return CliRunner(env=environment).invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


@pytest.mark.faults
def test_every_command_works_on_s3(proxy: FaultProxy, s3_server: S3Server, raster: Path) -> None:
    """Stopped before it is published, shown, gone on with, checked, replaced and served."""
    endpoint = proxy.endpoint
    target = f"s3://{s3_server.bucket()}/deep/scene.zarr"
    proxy.harm("403", "put", "deep/scene.zarr/zarr.json")
    stopped = run(build, endpoint, raster, target)
    assert stopped.exit_code == 4
    assert stopped.stderr.splitlines()[-1].startswith(
        "geozarr-build: cannot put 'zarr.json' (tried 1 x): the store answered 403 AccessDenied"
    )
    assert "unfinished" in run(build, endpoint, "--status", target).output
    refused = run(build, endpoint, raster, target)
    assert refused.exit_code == 2
    assert "resume" in refused.stderr
    assert run(build, endpoint, raster, target, "--resume").exit_code == 0
    assert "published" in run(build, endpoint, "--status", target).output
    checked = run(check, endpoint, target)
    assert checked.exit_code == 0, checked.output
    assert run(build, endpoint, raster, target, "--tms", "native").exit_code == 2
    assert run(build, endpoint, raster, target, "--overwrite", "--resampling", "nearest").exit_code == 0
    assert run(check, endpoint, target).exit_code == 0
    environ = {**os.environ, **s3.environment(endpoint), "PYTHONPATH": str(PROJECT), "GEOZARR_SERVE_ACCESS_LOG": "off"}
    with subprocess.Popen(
        [*SERVE, "--port", "0", target], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        try:
            line = process.stdout.readline()
            found = re.match(r"scene  (http://[0-9.:]+)/", line)
            assert found is not None, line
            with urllib.request.urlopen(f"{found[1]}/scene/WebMercatorQuad/tilejson.json", timeout=30) as response:
                document = json.load(response)
            west, south, east, north = document["bounds"]
            zoom = document["maxzoom"]
            x = int(((west + east) / 2 + 180) / 360 * 2**zoom)
            lat = np.radians((south + north) / 2)
            y = int((1 - np.arcsinh(np.tan(lat)) / np.pi) / 2 * 2**zoom)
            with urllib.request.urlopen(document["tiles"][0].format(z=zoom, x=x, y=y), timeout=30) as response:
                assert response.headers["content-type"].startswith("image/")
        finally:
            process.send_signal(signal.SIGTERM)
            _, complaints = process.communicate(timeout=30)
    assert (process.returncode, complaints) == (0, "")


@pytest.mark.faults
def test_what_is_missing_is_said_on_one_line(s3_server: S3Server, raster: Path) -> None:
    for command, arguments, status in (
        (build, (raster, "s3://no-such-bucket/x.zarr"), 4),
        (check, ("s3://no-such-bucket/x",), 2),
    ):
        result = run(command, s3_server.endpoint, *arguments)
        assert result.exit_code == status
        line = result.stderr.splitlines()[-1]
        assert line.startswith("geozarr-")
        assert line.endswith("the bucket or container does not exist (NoSuchBucket)")
    allowed = run(check, s3_server.endpoint, "s3://b/x", AWS_ALLOW_HTTP=None)
    assert allowed.exit_code == 2
    assert "AWS_ALLOW_HTTP" in allowed.stderr


@pytest.mark.faults
def test_time_limits_come_from_the_environment(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (s3.environment(proxy.endpoint) | {"AWS_TIMEOUT": "300ms"}).items():
        monkeypatch.setenv(name, value)
    proxy.harm("stall")
    store = S3Store.from_url("s3://bucket/x", retry_config={"max_retries": 0})
    assert targets.open_url("s3://bucket/x") == store, "opened without settings that would replace the environment's"
    result = run(check, proxy.endpoint, "s3://no-such-bucket/x", AWS_TIMEOUT="300ms")
    assert "does not exist" in result.stderr, "the first try was left, the second one answered"


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("s3://bucket/a/b", {}, S3Store),
        ("s3a://bucket/a/b", {}, S3Store),
        ("gs://bucket/a/b", {}, GCSStore),
        ("az://container/a/b", {"AZURE_STORAGE_ACCOUNT_NAME": "account"}, AzureStore),
        ("az://container/a/b", {"AZURE_STORAGE_USE_EMULATOR": "true"}, AzureStore),
        ("abfss://container@account.dfs.core.windows.net/a/b", {}, AzureStore),
        ("https://account.blob.core.windows.net/container/a/b", {}, AzureStore),
    ],
)
def test_urls_of_all_clouds_are_opened(
    url: str, environ: dict[str, str], expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    store = targets.open_url(url)
    assert isinstance(store, expected)
    assert store.prefix == "a/b"


def test_a_container_without_an_account_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    monkeypatch.delenv("AZURE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StoreError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        targets.open_url("az://container/a")
