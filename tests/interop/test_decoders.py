"""Objects of our own encoder, decoded by everybody else's: zarr-python, zarrs, tensorstore and GDAL (P-24)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
import zarr

import pyramids
from builds import FakeSource, scene

if TYPE_CHECKING:
    from pathlib import Path

# dtype, classes or not, nodata: each codec of shards.codec_for.
KINDS = {
    "floats": ("float32", False, -9999.0),
    "imagery": ("uint8", False, 0),
    "wide": ("int32", False, -1),
    "reflectance": ("uint16", False, 0),
    "classes": ("uint8", True, 0),
}
SHARDS = ["none", 128, 512]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, object], tuple[Path, np.ndarray]]:
    """Native pyramids of 300 x 200 px in chunks of 64, a hole in each, and the values that were given."""
    folder = tmp_path_factory.mktemp("decoders")
    made = {}
    for name, (dtype, is_classes, nodata) in KINDS.items():
        values = scene(dtype, (1, 300, 200), span=(1, 9) if is_classes else None)
        values[:, 64:150, 60:140] = nodata
        for shard in SHARDS:
            target = folder / f"{name}-{shard}.zarr"
            source = FakeSource(values, nodata=nodata, is_categorical=is_classes)
            pyramids.build(source, target, tms="native", chunk=64, shard=shard)
            made[name, shard] = target, values[0]
    return made


def both(stores: dict[tuple[str, object], tuple[Path, np.ndarray]]) -> list[tuple[Path, np.ndarray]]:
    """All stores; the finest level is the source, cell for cell."""
    return list(stores.values())


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of all files below a folder, by their path in it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_zarr_python_decodes_every_codec(stores) -> None:
    for path, values in both(stores):
        np.testing.assert_array_equal(zarr.open_array(path / "0" / "v0", mode="r")[...], values)


def test_zarr_pythons_fused_pipeline_decodes_every_codec(stores) -> None:
    name = "zarr.core.codec_pipeline.FusedCodecPipeline"
    if not hasattr(__import__("zarr.core.codec_pipeline", fromlist=["_"]), "FusedCodecPipeline"):
        pytest.skip("zarr before 3.3 has no fused pipeline")
    with zarr.config.set({"codec_pipeline.path": name}):
        for path, values in both(stores):
            np.testing.assert_array_equal(zarr.open_array(path / "0" / "v0", mode="r")[...], values)


def test_zarrs_decodes_every_codec(stores) -> None:
    pytest.importorskip("zarrs", reason="zarrs is not installed")
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True}):
        for path, values in both(stores):
            for level in ("0", "1"):
                array = zarr.open_array(path / level / "v0", mode="r")
                assert type(array._async_array.codec_pipeline).__name__ == "ZarrsCodecPipeline"
                found = array[...]
                if level == "0":
                    np.testing.assert_array_equal(found, values)
                assert found.shape == array.shape


def test_tensorstore_decodes_every_codec(stores) -> None:
    tensorstore = pytest.importorskip("tensorstore", reason="tensorstore is not installed")
    for path, values in both(stores):
        for level in ("0", "1"):
            spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path / level / "v0")}}
            found = tensorstore.open(spec, open=True).result().read().result()
            expected = zarr.open_array(path / level / "v0", mode="r")[...]
            np.testing.assert_array_equal(np.asarray(found), expected)
            if level == "0":
                np.testing.assert_array_equal(np.asarray(found), values)


@pytest.mark.parametrize("shard", SHARDS)
@pytest.mark.parametrize("kind", KINDS)
def test_gdal_decodes_every_codec(stores, kind: str, shard: object) -> None:
    """GDAL's classic view of one array; shards need GDAL 3.13."""
    version = tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])
    if version < (3, 12):
        pytest.skip(f"GDAL {rasterio.__gdal_version__} cannot read these chunks (3.12 can)")
    if shard != "none" and version < (3, 13):
        pytest.skip(f"GDAL {rasterio.__gdal_version__} cannot read shards (3.13 can)")
    path, values = stores[kind, shard]
    codecs = json.loads((path / "0" / "v0" / "zarr.json").read_text())["codecs"]
    assert codecs
    with rasterio.open(f'ZARR:"{path}":/0/v0') as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)


def test_bytes_are_the_same_from_run_to_run(stores, tmp_path: Path) -> None:
    """Deterministic objects: what threads were quicker does not show."""
    for (kind, shard), (path, values) in stores.items():
        dtype, is_classes, nodata = KINDS[kind]
        again = tmp_path / f"{kind}-{shard}.zarr"
        source = FakeSource(values[None].astype(dtype), nodata=nodata, is_categorical=is_classes)
        pyramids.build(source, again, tms="native", chunk=64, shard=shard, workers=4)
        for level in ("0", "1"):
            assert contents(again / level) == contents(path / level)
