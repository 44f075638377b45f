"""Zarr v2: the pyramid of v3 by the eyes of zarr-python, xarray, GDAL, the checker and the service."""

from __future__ import annotations

import json
import math
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from affine import Affine
from click.testing import CliRunner
from starlette.testclient import TestClient

import builds
import conformance
import pyramids
from builds import FakeSource, scene
from geozarr import (
    ChunkReadError,
    LimitError,
    MetadataError,
    ParameterError,
    TargetExistsError,
    UnsupportedError,
    Window,
    documents,
    zarr_v2,
)
from geozarr import store as store_module
from geozarr.documents import DATA_TYPES, ArrayLayout
from pyramids import Axis, cli, metadata, shards
from pyramids.clean import clean
from pyramids.pack import pack
from pyramids.plan import from_document
from pyramids.status import status
from tiler.app import create_app
from tiler.chunks import chunk_cache
from tiler.pyramid import open_pyramid
from tiler.service import Service
from tiler.settings import Dataset, Settings
from tiler.source import PyramidSource

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DAYS = {"long_name": "time", "standard_name": "time", "axis": "T", "units": "days since 2024-01-01"}
TIME = Axis("time", (0, 1, 31), {**DAYS, "calendar": "standard"})  # its first step is 0, which v3 has for a fill value
DEPTH = Axis("depth", (0.5, 10.0), {"long_name": "depth", "units": "m"})
ADDITIONS = {"_ARRAY_DIMENSIONS", "_CRS"}  # attributes that v2 has beside those of v3


def source(dtype: str, *, nodata: float | None = None, leading: tuple[Axis, ...] = (), side: int = 150) -> FakeSource:
    """A scene with a hole where it has a value for one, in some corner of which a chunk is empty."""
    count = math.prod(axis.size for axis in leading)
    values = scene(dtype, (count, side, side - 20), seed=3)
    if np.dtype(dtype).kind == "f" or nodata is not None:
        values[:, :70, :70] = math.nan if nodata is None else nodata
    if leading:
        values = values.reshape(*(axis.size for axis in leading), *values.shape[1:])
        given = FakeSource(values.reshape(-1, *values.shape[-2:]), nodata=nodata, leading=leading, names=("v",))
    else:
        given = FakeSource(values, nodata=nodata, names=("v",))
    return given


SOURCES = {
    "float32": lambda: source("float32"),
    "float64 with a number": lambda: source("float64", nodata=-9999.0),
    "float32 with an infinity": lambda: source("float32", nodata=-math.inf),
    "int8": lambda: source("int8", nodata=-128),
    "uint8": lambda: source("uint8", nodata=0),
    "uint8 over alpha": lambda: source("uint8"),
    "int16": lambda: source("int16", nodata=-9999),
    "uint16 over alpha": lambda: source("uint16"),
    "int32": lambda: source("int32", nodata=-1),
    "uint32": lambda: source("uint32", nodata=2**32 - 1),
    "int64": lambda: source("int64", nodata=-(2**63)),
    "uint64": lambda: source("uint64", nodata=2**64 - 1),
    "time": lambda: source("int16", nodata=-9999, leading=(TIME,)),
    "time and depth": lambda: source("float32", leading=(TIME, DEPTH)),
}
GRIDS = {"tiles": {"max_zoom": 13, "min_zoom": 12}, "native": {"tms": "native", "chunk": 64, "levels": 3}}


@pytest.fixture(scope="module", params=[(name, grid) for name in SOURCES for grid in GRIDS], ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The same pyramid in both versions."""
    name, grid = request.param
    folder = tmp_path_factory.mktemp("pair")
    for version in (2, 3):
        pyramids.build(SOURCES[name](), folder / str(version), zarr_format=version, **GRIDS[grid])
    return {version: folder / str(version) for version in (2, 3)}


@pytest.fixture
def native(tmp_path: Path) -> Path:
    """A pyramid of several levels and chunks."""
    pyramids.build(source("int16", nodata=-9999), tmp_path / "x.zarr", zarr_format=2, **GRIDS["native"])
    return tmp_path / "x.zarr"


def loaded(path: Path) -> Any:
    """Parse a document, which holds nothing that JSON has not."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def arrays_of(path: Path) -> dict[str, zarr.Array]:
    """All arrays that consolidated metadata name, as zarr-python finds them."""
    found = zarr.open_group(path, mode="r", use_consolidated=True).members(max_depth=None)
    return {name: node for name, node in found if isinstance(node, zarr.Array)}


def valid(array: zarr.Array, arrays: dict[str, zarr.Array], name: str) -> NDArray[np.bool_]:
    """Which cells are data, by the store of version 3."""
    alpha = array.attrs.get("ancillary_variables")
    if alpha is None:
        return np.ones(array.shape, bool)
    mask = arrays[f"{name.rpartition('/')[0]}/{alpha}"][...] > 0
    return np.broadcast_to(mask, array.shape)


@pytest.mark.parametrize("is_consolidated", [True, False])
def test_cells_are_those_of_version_3(pair: dict[int, Path], *, is_consolidated: bool) -> None:
    three = arrays_of(pair[3])
    root = zarr.open_group(pair[2], mode="r", zarr_format=2, use_consolidated=is_consolidated)
    assert not is_consolidated or arrays_of(pair[2]).keys() == three.keys()
    for name in three:
        array = root[name]
        other = three[name]
        assert (array.shape, array.chunks, array.dtype) == (other.shape, other.chunks, other.dtype)
        data = valid(other, three, name)
        np.testing.assert_array_equal(array[...][data], other[...][data], err_msg=name)
        assert array.order == "C"
        if array.ndim > 1:
            (coder,) = array.compressors
            assert coder.cname == "zstd"


def test_attributes_are_those_of_version_3(pair: dict[int, Path]) -> None:
    two, three = ({"": zarr.open_group(pair[v], mode="r"), **arrays_of(pair[v])} for v in (2, 3))
    for name, node in two.items():
        mine, other = dict(node.attrs), dict(three[name].attrs)
        for ours in (mine, other):
            ours.pop("geozarr_pyramids", None)
        assert set(mine) - ADDITIONS == set(other), name
        assert {key: mine[key] for key in other if key != "_FillValue"} == {
            key: value for key, value in other.items() if key != "_FillValue"
        }
        if isinstance(node, zarr.Array):
            assert mine["_ARRAY_DIMENSIONS"] == list(three[name].metadata.dimension_names)
        if "_FillValue" in mine:
            stated = float(mine["_FillValue"]) if node.dtype.kind == "f" else mine["_FillValue"]
            np.testing.assert_equal(stated, three[name].fill_value)
            np.testing.assert_equal(node.fill_value, three[name].fill_value)
        if "_CRS" in mine:
            assert mine["_CRS"] == {"wkt": other["proj:wkt2"]}
        assert ("_CRS" in mine) == ("grid_mapping" in mine)


def test_xarray_decodes_what_it_decodes_of_version_3(pair: dict[int, Path]) -> None:
    for level in zarr.open_group(pair[3], mode="r").group_keys():
        two = xr.open_dataset(pair[2], engine="zarr", consolidated=True, group=level)
        three = xr.open_dataset(pair[3], engine="zarr", consolidated=True, group=level)
        assert set(two.variables) == set(three.variables)
        assert set(two.coords) == set(three.coords)
        for name, other in three.variables.items():
            found = two[name]
            assert found.dims == other.dims
            if name == "alpha":  # the fill value of v2 masks, so that what is transparent is missing
                np.testing.assert_array_equal(found.fillna(0), other)
                continue
            assert found.dtype == other.dtype, name
            data = (three["alpha"] > 0).values if "ancillary_variables" in other.attrs else np.ones(other.shape, bool)
            np.testing.assert_array_equal(found.values[data], other.values[data], err_msg=str(name))


def test_the_checker_finds_nothing(pair: dict[int, Path]) -> None:
    report = conformance.check(pair[2], depth="pixels", all_pixels=True)
    assert report.findings == (), report.to_text()
    assert report.pyramids == 1
    other = conformance.check(pair[3], depth="pixels", all_pixels=True)
    assert report.cells == other.cells, "as many cells are derived anew"
    assert other.cells > 0


def test_gdal_reads_place_and_values(pair: dict[int, Path]) -> None:
    root = zarr.open_group(pair[3], mode="r")
    for item in root.attrs["multiscales"]["layout"]:
        array = root[f"{item['asset']}/v"]
        places = [f":{number}" for number in range(math.prod(array.shape[:-2]))] if array.ndim == 3 else [""]
        if array.ndim == 4:
            places = [f":{i}:{j}" for i in range(array.shape[0]) for j in range(array.shape[1])]
        for place, index in zip(places, np.ndindex(array.shape[:-2]), strict=True):
            with rasterio.open(f'ZARR:"{pair[2]}":/{item["asset"]}/v{place}') as opened:
                assert opened.crs == rasterio.CRS.from_wkt(root.attrs["proj:wkt2"])
                expected = Affine(*item["spatial:transform"])
                assert opened.transform.almost_equals(expected, precision=1e-9 * abs(expected.f))
                has_nodata = "_FillValue" in array.attrs
                # GDAL's nodata is a float64 for most types, which the ends of 64 bits are not.
                if has_nodata and array.dtype.itemsize < 8:
                    np.testing.assert_equal(opened.nodata, array.fill_value)
                assert has_nodata or opened.nodata is None, "a placeholder means nothing"
                data = valid(array, arrays_of(pair[3]), f"{item['asset']}/v")[index]
                if array.dtype == np.uint64:  # GDAL takes fill values above 2**63 for 2**63 - 1
                    data = data & (array[index] != array.fill_value)
                np.testing.assert_array_equal(opened.read(1)[data], array[index][data])


def test_the_consolidated_metadata_are_all_documents_there_are(pair: dict[int, Path]) -> None:
    stated = loaded(pair[2] / ".zmetadata")
    assert stated["zarr_consolidated_format"] == 1
    found = {
        str(path.relative_to(pair[2])): loaded(path)
        for name in (".zgroup", ".zattrs", ".zarray")
        for path in pair[2].rglob(name)
    }
    assert stated["metadata"] == found
    assert not list(pair[2].rglob("zarr.json"))
    order = list(stated["metadata"])
    for level in {key.partition("/")[0] for key in order if "/" in key}:
        assert order.index(f"{level}/spatial_ref/.zarray") < order.index(f"{level}/v/.zarray")


def test_only_data_that_state_nodata_have_a_fill_value(pair: dict[int, Path]) -> None:
    """In Zarr v2 xarray takes it for missing: a placeholder, and the 0 of times, would mask what is there."""
    for path in pair[2].rglob(".zarray"):
        attributes = loaded(path.parent / ".zattrs")
        stated = "_FillValue" in attributes or path.parent.name == "alpha"
        assert (loaded(path)["fill_value"] is not None) == stated, path


@pytest.mark.parametrize("dtype", DATA_TYPES)
@pytest.mark.parametrize("shape", [(), (5,), (2, 40, 30)])
def test_a_document_comes_back_from_its_stored_form(dtype: str, shape: tuple[int, ...]) -> None:
    kind = np.dtype(dtype)
    names = ("time", "y", "x")[3 - len(shape) :]
    layout = ArrayLayout(shape, kind, names, shape, None, 1, zarr_format=2)
    codecs = shards.chunk_codecs(kind, checksum=False, size=100)
    document = documents.array_document(layout, codecs=codecs, attributes={"units": "m"})
    stored = zarr_v2.stored_documents(document, node="/v")
    read = zarr_v2.array_document(stored[".zarray"], stored[".zattrs"])
    assert read["attributes"] == {"units": "m", "_ARRAY_DIMENSIONS": list(names)}
    for key in ("zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value"):
        assert read[key] == document[key]
    assert read["dimension_names"] == list(names)
    assert read["codecs"][1] == document["codecs"][1]
    assert documents.key_encoding_of(read, node="/v") == layout.keys
    assert np.dtype(stored[".zarray"]["dtype"]) == kind.newbyteorder("<")


def test_other_codecs_are_not_written() -> None:
    layout = ArrayLayout((4,), np.dtype("u1"), ("x",), (4,), None, 0, zarr_format=2)
    document = documents.array_document(layout, codecs=[{"name": "bytes"}, {"name": "gzip"}], attributes={})
    with pytest.raises(UnsupportedError, match="bytes, gzip of /v"):
        zarr_v2.stored_documents(document, node="/v")


def test_there_are_no_shards() -> None:
    with pytest.raises(UnsupportedError, match="a shard in Zarr v2"):
        ArrayLayout((8,), np.dtype("u1"), ("x",), (4,), (8,), 0, zarr_format=2)
    given = source("uint8", nodata=0)
    with pytest.raises(ParameterError) as caught:
        builds.plan_for(given, zarr_format=2, shard=2048)
    assert (caught.value.parameter, caught.value.found) == ("shard", 2048)
    for shard in ("auto", "none"):
        assert builds.plan_for(given, zarr_format=2, shard=shard).shard is None


def test_auto_takes_no_shards_where_version_3_has_them() -> None:
    given = source("uint8", nodata=0, side=2000)
    choices = {"tms": "native", "chunk": 16}
    assert builds.plan_for(given, **choices).shard is not None
    assert builds.plan_for(given, **choices, zarr_format=2).shard is None


@pytest.mark.parametrize("version", [1, 4, "2", None])
def test_other_versions_are_refused(version: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        builds.plan_for(source("uint8", nodata=0), zarr_format=version)
    assert (caught.value.parameter, caught.value.found) == ("zarr_format", version)


def test_the_version_is_part_of_the_plan() -> None:
    given = source("uint8", nodata=0)
    two, three = (builds.plan_for(given, zarr_format=version) for version in (2, 3))
    assert two.identity != three.identity
    assert from_document(json.loads(json.dumps(two.to_document()))) == two != three
    assert "Zarr v2" in str(two)
    assert builds.plan_for(given) == three


def test_the_command_writes_it(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": 90, "height": 80, "count": 1, "dtype": "uint8", "nodata": 0}
    profile |= {"crs": "EPSG:32631", "transform": Affine(30, 0, 500000, 0, -30, 5000000)}
    with rasterio.open(tmp_path / "scene.tif", "w", **profile) as file:
        file.write(scene("uint8", (80, 90)), 1)
    arguments = [str(tmp_path / "scene.tif"), str(tmp_path / "x.zarr"), "--zarr-format", "2"]
    dry = CliRunner().invoke(cli.main, [*arguments, "--dry-run"])
    assert (dry.exit_code, "storage    Zarr v2, chunks" in dry.output) == (0, True)
    assert not (tmp_path / "x.zarr").exists()
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    assert (tmp_path / "x.zarr/.zmetadata").exists()
    assert CliRunner().invoke(cli.main, [*arguments[:-1], "4"]).exit_code == 2
    sharded = CliRunner().invoke(cli.main, [*arguments, "--shard", "2048", "--overwrite"])
    assert sharded.exit_code == 2
    assert "Zarr v2 has no shards" in sharded.output


def test_icechunk_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("icechunk", reason="of the extra `icechunk`")
    with pytest.raises(UnsupportedError, match="Zarr v2 in"):
        pyramids.build(source("uint8", nodata=0), f"icechunk://{tmp_path}/repo", zarr_format=2)


def test_published_again_it_is_refused_and_with_permission_whole(native: Path) -> None:
    with pytest.raises(TargetExistsError, match="this very pyramid"):
        pyramids.build(source("int16", nodata=-9999), native, zarr_format=2, **GRIDS["native"])
    report = rebuilt(native)
    assert report.mended == []
    assert report.objects == 0


def rebuilt(path: Path, **how: Any) -> pyramids.Report:
    """Go on with, or mend, the pyramid of `native`."""
    given = source("int16", nodata=-9999)
    plan = builds.plan_for(given, zarr_format=2, **GRIDS["native"])
    return pyramids.execute(plan, given, path, **(how or {"resume": True}))


DAMAGED = ["0/v/0.1", "0/v/.zarray", "0/v/.zattrs", "1/.zgroup", "1/.zattrs", "2/x/0", ".zattrs", ".zgroup"]


@pytest.mark.parametrize("key", DAMAGED)
@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_what_is_damaged_is_mended(native: Path, key: str, damage: str) -> None:
    before = {path: path.read_bytes() for path in native.rglob("*") if path.is_file() and "lease" not in path.parts}
    if damage == "lost":
        (native / key).unlink()
    else:
        (native / key).write_bytes((native / key).read_bytes()[:-1])
    if key == ".zgroup" and damage == "lost":
        with pytest.raises(MetadataError, match=r"found '\.zmetadata'"):
            conformance.check(native, depth="objects")
    else:
        assert conformance.check(native, depth="objects").findings
    assert rebuilt(native).mended == [key]
    assert {path: path.read_bytes() for path in before} == before
    assert conformance.check(native, depth="objects").findings == ()
    assert rebuilt(native).mended == []


def test_objects_beside_are_found(native: Path) -> None:
    (native / "0/v/notes").write_bytes(b"x")
    (native / "0/v/1.0").write_bytes(b"x") if not (native / "0/v/1.0").exists() else None
    gone = next(key for key in ("0.0", "0.1", "1.0", "1.1") if not (native / "0/v" / key).exists())
    (native / "0/v" / gone).write_bytes((native / "1/v/1.0").read_bytes())
    found = {item.node: str(item.severity) for item in conformance.check(native, depth="objects").findings}
    assert {node.rpartition("/")[2] for node in found} == {"notes", gone}
    assert found["/0/v/notes"] != found[f"/0/v/{gone}"], "what hides where all is fill is worse"


def test_status_tells_of_it(native: Path) -> None:
    (build,) = status(native).builds
    assert build.state == "published"


def test_a_new_pyramid_takes_the_place_of_the_former(native: Path) -> None:
    given = source("int16", nodata=-9999, side=140)
    given.fingerprint = "another"
    pyramids.build(given, native, zarr_format=2, overwrite=True, **GRIDS["native"])
    assert conformance.check(native, depth="pixels", all_pixels=True).findings == ()
    layout = zarr.open_group(native, mode="r").attrs["multiscales"]["layout"]
    folder = layout[0]["asset"].partition("/")[0]
    assert [item["asset"] for item in layout] == [f"{folder}/{level}" for level in range(3)]
    (left,) = clean(native, grace=0)
    assert left.state == "former"
    assert {path.name for path in native.iterdir()} == {".build", ".zgroup", ".zattrs", ".zmetadata", folder}
    assert conformance.check(native, depth="objects").findings == ()
    with rasterio.open(f'ZARR:"{native}":/{folder}/0/v') as opened:
        assert opened.shape == (140, 120)


def test_one_version_takes_the_place_of_the_other(native: Path) -> None:
    given = source("int16", nodata=-9999)
    pyramids.build(given, native, overwrite=True, **GRIDS["native"])
    assert {path.name for path in native.iterdir() if path.is_file()} == {"zarr.json"}
    assert conformance.check(native, depth="objects").findings == ()
    clean(native, grace=0)
    pyramids.build(given, native, zarr_format=2, overwrite=True, **GRIDS["native"])
    assert {path.name for path in native.iterdir() if path.is_file()} == {".zgroup", ".zattrs", ".zmetadata"}
    assert conformance.check(native, depth="pixels", all_pixels=True).findings == ()
    clean(native, grace=0)
    assert not list(native.rglob("zarr.json"))


def test_it_is_packed_into_one_file(native: Path, tmp_path: Path) -> None:
    packed = pack(native, tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as file:
        names = file.namelist()
        assert names[:3] == [".zgroup", ".zattrs", ".zmetadata"]
        for name in names:
            assert file.read(name) == (native / name).read_bytes()
    assert packed.objects == len(names)
    assert conformance.check(tmp_path / "x.zip", depth="pixels", all_pixels=True).findings == ()
    (native / "0/v/0.1").write_bytes(b"")
    with pytest.raises(ChunkReadError) as caught:
        pack(native, tmp_path / "y.zip")
    assert (caught.value.array, caught.value.chunk) == ("0/v", "0.1")


def test_the_service_reads_what_it_reads_of_version_3(pair: dict[int, Path]) -> None:
    read = {}
    for version, path in pair.items():
        opened = store_module.open_store(path)
        pyramid = open_pyramid(opened)
        reader = PyramidSource(opened, pyramid, cache=chunk_cache(2**26))
        bands = pyramid.all_bands(("v",))
        read[version] = [
            reader.read_window(level, Window(0, 0, *item.grid.shape), bands)
            for level, item in enumerate(pyramid.levels.levels)
        ]
        names = [item.name for item in reader.dimensions]
        assert names == [name for name in ("time", "depth") if name in names]
    for two, three in zip(read[2], read[3], strict=True):
        np.testing.assert_array_equal(two.mask, three.mask)
        assert three.mask.any()
        np.testing.assert_array_equal(two.values[two.mask], three.values[three.mask])


def test_tiles_and_stored_objects_are_served(tmp_path: Path) -> None:
    for version in (2, 3):
        pyramids.build(source("int16", nodata=-9999), tmp_path / str(version), zarr_format=version, max_zoom=13)
    sets = tuple(Dataset(f"v{version}", str(tmp_path / str(version))) for version in (2, 3))
    with TestClient(create_app(Settings(datasets=sets, expose_zarr=True))) as client:
        level = zarr.open_group(tmp_path / "3", mode="r").attrs["multiscales"]["tileMatrixSetLimits"][0]
        tile = f"{level['tileMatrix']}/{level['minTileCol']}/{level['minTileRow']}.png?rescale=-30000,30000"
        answers = [client.get(f"/v{version}/tiles/WebMercatorQuad/{tile}") for version in (2, 3)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content
        for path in sorted((tmp_path / "2").rglob("*")):
            key = path.relative_to(tmp_path / "2").as_posix()
            if path.is_file():
                answer = client.get(f"/v2/zarr/{key}")
                assert answer.status_code == (404 if key.startswith(".build") else 200), key
                assert answer.status_code == 404 or answer.content == path.read_bytes()
        for key in ("zarr.json", "13/zarr.json", "13/v/c/0/0", "13/v/0/0", ".build/.zgroup", "13/v/.zarray/0"):
            assert client.get(f"/v2/zarr/{key}").status_code == 404, key


def test_the_service_sees_a_new_version(native: Path) -> None:
    catalog = Service(Settings(datasets=(Dataset("x", str(native)),))).catalog
    assert catalog.open("x").source.pyramid.levels.finest.grid.width == 130
    assert not catalog.look("x")
    given = source("int16", nodata=-9999, side=140)
    pyramids.build(given, native, zarr_format=2, overwrite=True, **GRIDS["native"])
    assert catalog.look("x")
    assert catalog.open("x").source.pyramid.levels.finest.grid.width == 120


def test_fill_value_alone_masks_as_xarray_has_it(native: Path) -> None:
    """ZARR-12, for pyramids of others: `_FillValue` may be missing in Zarr v2."""
    document = loaded(native / ".zmetadata")
    for key, entry in document["metadata"].items():
        if key.endswith("v/.zattrs"):
            del entry["_FillValue"]
    (native / ".zmetadata").write_text(json.dumps(document))
    assert open_pyramid(store_module.open_store(native)).variable("v").nodata == -9999


HOSTILE: dict[str, tuple[bytes, type[Exception]]] = {
    "no JSON": (b"{", MetadataError),
    "another format": (b'{"zarr_consolidated_format": 2, "metadata": {}}', MetadataError),
    "no entries": (b'{"zarr_consolidated_format": 1, "metadata": {}}', MetadataError),
    "entries of another kind": (b'{"zarr_consolidated_format": 1, "metadata": []}', MetadataError),
    "an array": (b'{"zarr_consolidated_format": 1, "metadata": {".zarray": {"zarr_format": 2}}}', MetadataError),
    "version 3": (b'{"zarr_consolidated_format": 1, "metadata": {".zgroup": {"zarr_format": 3}}}', MetadataError),
    "too deep": (b"[" * 200 + b"]" * 200, LimitError),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_root_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    data, error = HOSTILE[name]
    (tmp_path / ".zmetadata").write_bytes(data)
    with pytest.raises(error):
        store_module.read_tree(tmp_path)


def test_a_v3_root_that_says_2_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text('{"zarr_format": 2, "node_type": "group", "attributes": {}}')
    with pytest.raises(MetadataError, match="Zarr v3 group"):
        store_module.read_tree(tmp_path)


def test_processes_write_the_same(tmp_path: Path) -> None:
    """The version goes to workers with the plan."""
    values = xr.Dataset({"v": builds.data_array(scene("int16", (150, 130)))})
    values.to_zarr(tmp_path / "source.zarr", zarr_format=3, consolidated=False)
    for count in (1, 2):
        target = tmp_path / str(count)
        pyramids.build(tmp_path / "source.zarr", target, zarr_format=2, processes=count, **GRIDS["native"])
    one, two = (
        {path.relative_to(tmp_path / n): path.read_bytes() for path in (tmp_path / n).rglob("0/v/*")} for n in "12"
    )
    assert one == two
    assert len(one) > 4


def test_small_arrays_say_their_version() -> None:
    plan = builds.plan_for(source("int16", nodata=-9999, leading=(TIME,)), zarr_format=2)
    for array in metadata.small_arrays(plan, 0).values():
        assert array.to_document()["fill_value"] is None
        assert array.to_object()[0] == "0"
