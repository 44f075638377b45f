"""Sources across a network: read in parts, and watched as the server lets one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.transform import from_origin

import builds
import pyramids
from gated import Apart, apart
from geozarr import Window
from geozarr.errors import SourceChangedError, StoreError, UnsupportedError
from pyramids.sources import files
from s3 import environment, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fault_proxy import FaultProxy
    from s3 import S3Server

SIDE = 2000


def write(path: Path, seed: int = 1) -> Path:
    """A Cloud Optimized GeoTIFF of noise, which does not compress."""
    values = np.random.default_rng(seed).integers(1, 60_000, (SIDE, SIDE)).astype("uint16")
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint16", "nodata": 0}
    plain = path.with_suffix(".plain.tif")
    with rasterio.open(plain, "w", crs="EPSG:32632", transform=from_origin(5e5, 5e6, 30, 30), **profile) as out:
        out.write(values, 1)
    rasterio.shutil.copy(plain, path, driver="COG", blocksize=256, overviews="NONE")
    plain.unlink()
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Apart]:
    (tmp_path / "public").mkdir()
    with apart(tmp_path / "public") as opened_server:
        yield opened_server


def test_a_cog_behind_a_web_server_is_read_as_the_file_is(server: Apart) -> None:
    path = write(server.folder / "scene.tif")
    _, expected = builds.build(path)
    _, found = builds.build(f"{server.url}/scene.tif")
    one, other = builds.objects(found), builds.objects(expected)
    assert {key: data for key, data in one.items() if not key.endswith("zarr.json")} == {
        key: data for key, data in other.items() if not key.endswith("zarr.json")
    }
    assert "/" not in server.asked(), "no folder is listed"


def test_of_a_cog_only_the_parts_that_are_needed_are_fetched(server: Apart) -> None:
    size = write(server.folder / "scene.tif").stat().st_size
    source: Any = pyramids.open_source(f"{server.url}/scene.tif")
    source.read(Window(0, 0, 200, 200), [pyramids.Slice(0, 0)])
    assert server.sent() < size / 4


def test_b8_a_remote_file_that_has_changed_is_another_source(server: Apart, tmp_path: Path) -> None:
    url = f"{server.url}/scene.tif"
    write(server.folder / "scene.tif")
    source = pyramids.open_source(url)
    plan = pyramids.make_plan(source)
    write(server.folder / "scene.tif", seed=2)
    os.utime(server.folder / "scene.tif", (1, 1))
    with pytest.raises(SourceChangedError):
        pyramids.execute(plan, source, tmp_path / "out.zarr")


def test_b8_a_remote_file_that_changes_while_it_is_read_is_not_published(server: Apart, tmp_path: Path) -> None:
    path = write(server.folder / "scene.tif")

    def change(_: pyramids.Report) -> None:
        os.utime(path, (1, 1))

    with pytest.raises(SourceChangedError):
        pyramids.build(f"{server.url}/scene.tif", tmp_path / "out.zarr", listener=change)
    assert not (tmp_path / "out.zarr" / "zarr.json").exists()
    with pytest.raises(SourceChangedError):
        pyramids.build(f"{server.url}/scene.tif", tmp_path / "out.zarr", resume=True)


def test_b8_so_is_one_of_a_mosaic(server: Apart, tmp_path: Path) -> None:
    path = write(server.folder / "my scene.tif")

    def change(_: pyramids.Report) -> None:
        os.utime(path, (1, 1))

    with pytest.raises(SourceChangedError):
        pyramids.build([f"{server.url}/my%20scene.tif"], tmp_path / "out.zarr", listener=change)
    assert not (tmp_path / "out.zarr" / "zarr.json").exists()


def test_a_mask_beside_a_remote_file_counts(server: Apart) -> None:
    path = write(server.folder / "scene.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as out:
        out.nodata = None
        mask = np.full((SIDE, SIDE), 255, np.uint8)
        mask[:700] = 0
        out.write_mask(mask)
    assert path.with_suffix(".tif.msk").exists()
    near, far = pyramids.open_source(path), pyramids.open_source(f"{server.url}/scene.tif")
    window = Window(600, 600, 200, 200)
    np.testing.assert_array_equal(
        far.read(window, [pyramids.Slice(0, 0)]).valid, near.read(window, [pyramids.Slice(0, 0)]).valid
    )
    assert not near.read(window, [pyramids.Slice(0, 0)]).valid.all()


def test_a_file_that_is_not_there_is_an_error(server: Apart) -> None:
    with pytest.raises(StoreError):
        pyramids.open_source(f"{server.url}/nothing.tif")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_a_zarr_store_behind_a_web_server(server: Apart, zarr_format: int, consolidated: bool) -> None:
    values = np.arange(60.0 * 80).reshape(60, 80)
    found = builds.data_array(values, name="v").drop_encoding().to_dataset()
    found.to_zarr(server.folder / "in.zarr", zarr_format=zarr_format, consolidated=consolidated)
    _, expected = builds.build(server.folder / "in.zarr")
    if not consolidated:
        with pytest.raises(
            UnsupportedError, match="a list of objects"
        ):  # a web server lists nothing, so that nobody can tell what there is
            pyramids.open_source(f"{server.url}/in.zarr")
        return
    plan, store = builds.build(f"{server.url}/in.zarr")
    key = f"{plan.levels.assets[0]}/v"
    np.testing.assert_array_equal(builds.read(store, key), builds.read(expected, key))


@pytest.mark.parametrize(
    "name",
    ["nothing.tif", "ftp://nowhere.example/a.tif", "http://e/a.tif?signed=1", "http://e/"],
)
def test_of_what_no_server_tells_the_name_is_all_there_is(name: str) -> None:
    assert files.fingerprint_of((name,), (None,)) == name


def test_damage_is_said_in_one_line() -> None:
    with pytest.raises(StoreError, match="no such thing") as caught, files.opening("a.nc"):
        raise ValueError("no such thing\nfor many reasons")
    assert "reasons" not in str(caught.value)
    with pytest.raises(KeyboardInterrupt), files.opening("a.nc"):
        raise KeyboardInterrupt


def test_a_cog_in_a_bucket(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "scene.tif")
    bucket = s3_server.bucket()
    for name, value in environment(s3_server.endpoint).items():
        monkeypatch.setenv(name, value)
    # GDAL has names of its own for where S3 is.
    monkeypatch.setenv("AWS_S3_ENDPOINT", s3_server.endpoint.removeprefix("http://"))
    monkeypatch.setenv("AWS_HTTPS", "NO")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTING", "FALSE")
    store = opened(s3_server.endpoint, bucket, "in")
    store.put("scene.tif", path.read_bytes())
    source = pyramids.open_source(f"s3://{bucket}/in/scene.tif")
    assert str(path.stat().st_size) in source.fingerprint
    _, found = builds.build(source)
    _, expected = builds.build(path)
    documents = {key for key in builds.objects(found) if key.endswith("zarr.json")}
    for key, data in builds.objects(expected).items():
        assert key in documents or builds.objects(found)[key] == data


@pytest.mark.parametrize(("kind", "passes"), [("503", True), ("reset", True), ("403", False)])
def test_a_passing_failure_of_a_server_is_no_change_of_the_file(
    proxy: FaultProxy, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, kind: str, passes: bool
) -> None:
    bucket = s3_server.bucket()
    opened(s3_server.endpoint, bucket, "in").put("scene.tif", b"1234")
    for name, value in environment(proxy.endpoint).items():
        monkeypatch.setenv(name, value)
    url = f"s3://{bucket}/in/scene.tif"
    before = files.fingerprint_of((url,), (None,))
    assert before.startswith(f"{url} 4 ")
    fault = proxy.harm(kind, count=2)
    assert files.fingerprint_of((url,), (None,)) == (before if passes else url)
    assert fault.seen == (3 if passes else 1)


def test_a_server_that_fails_again_and_again_is_an_error(
    proxy: FaultProxy, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geozarr.stores.Retries.pause", lambda *_: 0.0)
    bucket = s3_server.bucket()
    for name, value in environment(proxy.endpoint).items():
        monkeypatch.setenv(name, value)
    proxy.harm("503", count=None)
    with pytest.raises(StoreError, match="503"):
        files.fingerprint_of((f"s3://{bucket}/scene.tif",), (None,))
