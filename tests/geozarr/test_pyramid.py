"""A pyramid opened for reading: its levels, and how rioxarray and xarray see them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import odc.geo.xr  # noqa: F401 - registers the `.odc` accessor
import pytest
import rioxarray  # noqa: F401 - registers the `.rio` accessor
import zarr
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore

import geozarr
import pyramids
from builds import FakeSource, attributes, build, data_array, objects, open_array, read, scene
from geozarr import (
    GridMismatchError,
    MetadataError,
    ParameterError,
    StoreError,
    UnknownNameError,
    levels,
    open_pyramid,
)
from geozarr.pyramid import RESOLUTION_TOLERANCE, Pyramid
from geozarr.store import Tree
from geozarr.stores import ObjectStoreAdapter
from store_requests import Requests
from strategies import aligned_levels, native_levels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr

    from geozarr import Levels

NODATA = -9999
DAYS = np.array(["2024-01-01", "2024-02-01", "2024-03-01"], "datetime64[ns]")


def heights() -> FakeSource:
    """Whole numbers in UTM with a hole."""
    values = scene("int16", (2, 700, 600))
    values[:, 100:300, 200:350] = NODATA
    return FakeSource(values, nodata=NODATA, names=("dtm", "dsm"))


def warmth() -> xr.DataArray:
    """Floats by day, in longitude and latitude."""
    values = scene("float32", (3, 40, 60))
    values[:, 5:9, 7:11] = np.nan
    array = data_array(values, code="EPSG:4326", cell=(0.1, -0.1), corner=(5.0, 52.0), dims=("time", "lat", "lon"))
    return array.assign_coords(time=DAYS).rename("t2m")


@pytest.fixture(scope="module")
def aligned() -> tuple[pyramids.Plan, MemoryStore]:
    return build(heights(), chunk=None)


@pytest.fixture(scope="module")
def native() -> tuple[pyramids.Plan, MemoryStore]:
    """In longitude and latitude, as dimensions of these names."""
    plan, store = build(warmth(), tms="native", chunk=32)
    renamed = MemoryStore()
    for key, data in objects(store).items():
        named = _by_angles(json.loads(data)) if key.endswith("zarr.json") else None
        renamed.put(_angle_of(key), data if named is None else json.dumps(named).encode())
    return plan, renamed


_NAMES = {"y": "lat", "x": "lon"}


def _angle_of(path: str) -> str:
    return "/".join(_NAMES.get(part, part) for part in path.split("/"))


def _by_angles(document: Any) -> Any:
    """Call the dimensions lat and lon, wherever documents name them."""
    if isinstance(document, list):
        return [_by_angles(item) for item in document]
    if isinstance(document, dict):
        return {_angle_of(key): _by_angles(value) for key, value in document.items()}
    return _NAMES.get(document, document) if isinstance(document, str) else document


def copied(store: MemoryStore, folder: Path) -> Path:
    for key, data in objects(store).items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(store: MemoryStore, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for key, data in objects(store).items():
            file.writestr(key, data)
    return path


PLACES: dict[str, Callable[[MemoryStore, Path], Any]] = {
    "memory": lambda store, _: store,
    "folder": lambda store, folder: copied(store, folder / "x.zarr"),
    "path as text": lambda store, folder: str(copied(store, folder / "x.zarr")),
    "zip": lambda store, folder: zipped(store, folder / "x.zip"),
    "file url": lambda store, folder: copied(store, folder / "x.zarr").as_uri(),
    "obstore": lambda store, folder: LocalStore(copied(store, folder / "x.zarr")),
}


def affine_of(store: MemoryStore, path: str) -> tuple[float, ...]:
    """The transform that the documents state, in rasterio's order."""
    return tuple(attributes(store, path)["spatial:transform"])


# --- what it says ---


def test_levels_are_those_that_were_built(aligned: tuple[pyramids.Plan, MemoryStore]) -> None:
    plan, store = aligned
    opened = open_pyramid(store)
    assert [(level.asset, level.grid) for level in opened.levels] == [
        (level.asset, level.grid) for level in plan.levels.levels
    ]
    assert opened.crs == plan.levels.crs
    assert opened.tms == plan.levels.tms
    assert opened.bounds == plan.levels.finest.grid.bounds
    assert opened.variables == ("dtm", "dsm")
    for level in opened.levels:
        assert level.variables == ("dtm", "dsm")
        assert level.cell_size == (level.grid.transform.a, -level.grid.transform.e)
    assert opened.attributes == attributes(store)


def test_a_native_pyramid_has_no_tile_matrices(native: tuple[pyramids.Plan, MemoryStore]) -> None:
    opened = open_pyramid(native[1])
    assert opened.tms is None
    assert opened.dimensions == ("lat", "lon")


def test_it_is_read_at_a_glance(aligned: tuple[pyramids.Plan, MemoryStore]) -> None:
    plan, store = aligned
    lines = repr(open_pyramid(store)).splitlines()
    assert "EPSG:3857" in lines[1]
    assert "WebMercatorQuad" in lines[1]
    assert len(lines) == 2 + len(plan.levels.levels)
    for line, level in zip(lines[2:], plan.levels.levels, strict=True):
        assert line.split()[0] == level.asset
        assert f"{level.grid.height} x {level.grid.width}" in line
        assert f"{level.grid.cell_size[0]:.6g} m" in line
        assert line.endswith("dtm, dsm")


def test_a_name_that_steers_terminals_is_escaped_when_shown(aligned: tuple[pyramids.Plan, MemoryStore]) -> None:
    nodes = changed(aligned[1], lambda nodes: renamed(nodes, "dtm", "d\x1b[2Jm"))
    shown = repr(Pyramid(geozarr.store.open_store(MemoryStore()), Tree(nodes, is_consolidated=True)))
    assert "\x1b" not in shown
    assert "\\x1b[2Jm" in shown


def renamed(nodes: dict[str, Any], before: str, after: str) -> None:
    for path in [path for path in nodes if path.endswith(f"/{before}")]:
        nodes[path[: -len(before)] + after] = nodes.pop(path)


def test_opening_reads_the_root_document_alone(
    aligned: tuple[pyramids.Plan, MemoryStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = Requests(monkeypatch)
    open_pyramid(aligned[1])
    assert requests.keys == ["zarr.json"]


def test_a_tree_reads_coordinates_and_no_pixel(
    native: tuple[pyramids.Plan, MemoryStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = native
    opened = open_pyramid(store)
    requests = Requests(monkeypatch)
    tree = opened.to_datatree()
    assert {key.split("/")[1] for key in requests.keys} <= {"lat", "lon", "time", "spatial_ref"}
    asset = plan.levels.assets[0]
    requests.clear()
    tree[asset]["t2m"][0, :5, :5].load()
    assert [key for key in requests.keys if "/t2m/" in key] == [f"{asset}/t2m/c/0/0/0"]


def test_without_consolidated_metadata_all_documents_are_read(aligned: tuple[pyramids.Plan, MemoryStore]) -> None:
    plan, store = aligned
    bare = MemoryStore()
    for key, data in objects(store).items():
        if key == "zarr.json":
            document = json.loads(data)
            del document["consolidated_metadata"]
            bare.put(key, json.dumps(document).encode())
        else:
            bare.put(key, data)
    opened = open_pyramid(bare)
    assert [level.grid for level in opened.levels] == [level.grid for level in plan.levels.levels]
    assert {frozenset(level.variables) for level in opened.levels} == {frozenset(("dtm", "dsm"))}
    asset = plan.levels.assets[-1]
    np.testing.assert_array_equal(opened.open_level(asset, mask_and_scale=False)["dtm"], read(store, f"{asset}/dtm"))


def test_importing_and_opening_leave_xarray_and_zarr_alone(
    aligned: tuple[pyramids.Plan, MemoryStore], tmp_path: Path
) -> None:
    folder = copied(aligned[1], tmp_path / "x.zarr")
    code = (
        "import sys, geozarr; opened = geozarr.open_pyramid(sys.argv[1]); repr(opened); opened.level_for(1); "
        "print([name for name in ('xarray', 'zarr', 'rioxarray', 'rasterio', 'dask') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# --- which level ---


def brute_force(sizes: list[tuple[float, float]], wanted: tuple[float, float]) -> int:
    """The rule in words: of all levels fine enough the one with the largest cells, else the one with the smallest."""
    enough = [
        (x * y, index)
        for index, (x, y) in enumerate(sizes)
        if x <= wanted[0] * (1 + RESOLUTION_TOLERANCE) and y <= wanted[1] * (1 + RESOLUTION_TOLERANCE)
    ]
    return max(enough)[1] if enough else min((x * y, index) for index, (x, y) in enumerate(sizes))[1]


def described(layout: Levels) -> Pyramid:
    """Open the documents of a pyramid that is nowhere."""
    nodes: dict[str, Any] = {"": {"attributes": layout.to_attributes()}}
    for level in layout.levels:
        nodes[level.asset] = {"node_type": "group"}
        nodes[f"{level.asset}/v"] = {
            "node_type": "array",
            "shape": list(level.grid.shape),
            "dimension_names": list(layout.dimensions),
        }
    return Pyramid(geozarr.store.open_store(MemoryStore()), Tree(nodes, is_consolidated=True))


@given(
    layout=st.one_of(native_levels(), aligned_levels()),
    level=st.integers(0, 40),
    factors=st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)),
    is_pair=st.booleans(),
)
def test_the_level_for_a_resolution_is_the_coarsest_that_is_fine_enough(
    layout: Levels, level: int, factors: tuple[float, float], is_pair: bool
) -> None:
    opened = described(layout)
    x, y = layout.levels[level % len(layout.levels)].grid.cell_size
    wanted = (x * factors[0], y * factors[1]) if is_pair else (x * factors[0],) * 2
    sizes = [level.grid.cell_size for level in layout.levels]
    found = opened.level_for(wanted if is_pair else wanted[0])
    assert found.asset == layout.assets[brute_force(sizes, wanted)]


@given(layout=st.one_of(native_levels(), aligned_levels()))
def test_each_level_is_the_one_for_its_own_cells(layout: Levels) -> None:
    opened = described(layout)
    for level in opened.levels:
        x, y = level.cell_size
        assert opened.level_for(level.cell_size) == level
        assert opened.level_for((float(f"{x:.9g}"), float(f"{y:.9g}"))) == level  # as people write it
        if level != opened.levels[0]:
            assert opened.level_for((x * 0.99, y)) != level


@pytest.mark.parametrize(
    "resolution",
    [0, -1, math.nan, math.inf, "10", None, True, (10, 0), (10, math.nan), (10,), (10, 10, 10), ("10", 10)],
)
def test_a_resolution_is_a_length(resolution: Any, aligned: tuple[pyramids.Plan, MemoryStore]) -> None:
    with pytest.raises(ParameterError) as caught:
        open_pyramid(aligned[1]).level_for(resolution)
    assert caught.value.parameter == "resolution"
    assert caught.value.found == resolution or resolution != resolution  # noqa: PLR0124 - NaN differs from itself


# --- as rioxarray and xarray see it ---


@pytest.mark.parametrize("place", PLACES)
def test_rioxarray_sees_crs_transform_and_nodata_of_the_documents(
    place: str, aligned: tuple[pyramids.Plan, MemoryStore], tmp_path: Path
) -> None:
    plan, store = aligned
    tree = open_pyramid(PLACES[place](store, tmp_path)).to_datatree()
    assert tree.attrs == attributes(store)
    assert list(tree.children) == list(plan.levels.assets)
    for asset in plan.levels.assets:
        for name in ("dtm", "dsm"):
            stated = attributes(store, f"{asset}/{name}")
            array = tree[asset].to_dataset()[name]
            assert array.rio.crs.to_epsg() == 3857
            assert tuple(array.rio.transform())[:6] == affine_of(store, f"{asset}/{name}")
            assert array.rio.encoded_nodata == stated["_FillValue"] == NODATA
            assert array.rio.shape == tuple(stated["spatial:shape"])
            assert np.isnan(array.rio.nodata)


@pytest.mark.parametrize("place", PLACES)
def test_values_are_those_that_zarr_python_reads(
    place: str, aligned: tuple[pyramids.Plan, MemoryStore], tmp_path: Path
) -> None:
    _, store = aligned
    opened = open_pyramid(PLACES[place](store, tmp_path))
    for level in opened.levels:
        expected = read(store, f"{level.asset}/dtm")
        packed = opened.open_level(level, mask_and_scale=False)["dtm"]
        assert packed.dtype == np.int16
        assert packed.rio.nodata == NODATA
        np.testing.assert_array_equal(packed, expected)
        shown = opened.open_level(level.name)["dtm"]
        np.testing.assert_array_equal(shown, np.where(expected == NODATA, np.nan, expected))
        assert np.isnan(shown).any()


def test_odc_geo_sees_the_same_boxes(
    aligned: tuple[pyramids.Plan, MemoryStore], native: tuple[pyramids.Plan, MemoryStore]
) -> None:
    for (plan, store), name in ((aligned, "dtm"), (native, "t2m")):
        tree = open_pyramid(store).to_datatree()
        for level in plan.levels.levels:
            box = tree[level.asset].to_dataset()[name].odc.geobox
            assert f"EPSG:{box.crs.to_epsg()}" == level.grid.crs.code
            assert box.shape == level.grid.shape
            assert tuple(box.affine)[:6] == pytest.approx(tuple(level.grid.transform)[:6], rel=1e-12)


def test_shards_are_read_by_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, store = build(FakeSource(scene("uint16", (1, 300, 300)), nodata=0), tms="native", chunk=64, shard=256)
    asset = plan.levels.assets[0]
    opened = open_pyramid(store)
    dataset = opened.open_level(asset, mask_and_scale=False)
    requests = Requests(monkeypatch)
    np.testing.assert_array_equal(dataset["v0"][:64, :64], read(store, f"{asset}/v0")[:64, :64])
    assert {tuple(parts) for key, parts in requests if key.startswith(f"{asset}/v0/c")} == {
        ("last",),
        ("first", "length"),
    }
    np.testing.assert_array_equal(dataset["v0"], read(store, f"{asset}/v0"))


def test_times_are_decoded_and_longitudes_are_found(native: tuple[pyramids.Plan, MemoryStore]) -> None:
    plan, store = native
    tree = open_pyramid(store).to_datatree()
    for asset in plan.levels.assets:
        array = tree[asset].to_dataset()["t2m"]
        np.testing.assert_array_equal(array["time"], DAYS)
        assert (array.rio.x_dim, array.rio.y_dim) == ("lon", "lat")
        assert array.rio.crs.to_epsg() == 4326
        # rioxarray takes north-up transforms from the coordinates: centres, of which differences are rounded.
        assert tuple(array.rio.transform())[:6] == pytest.approx(affine_of(store, f"{asset}/t2m"), rel=1e-12)
        np.testing.assert_array_equal(array, read(store, f"{asset}/t2m"))
    plain = open_pyramid(store).open_level(plan.levels.assets[0], decode_times=False)
    np.testing.assert_array_equal(plain["time"], read(store, f"{plan.levels.assets[0]}/time"))


def test_a_level_is_reprojected(aligned: tuple[pyramids.Plan, MemoryStore]) -> None:
    opened = open_pyramid(aligned[1])
    array = opened.open_level(opened.levels[0])["dtm"]
    back = array.rio.reproject("EPSG:32631", resolution=30)
    # The source is a raster of 30 m with its corner at 500 km east and 5000 km north; its 10th row and 20th column.
    found = back.sel(x=500000 + 20.5 * 30, y=5000000 - 10.5 * 30, method="nearest")
    values = heights().values[0]
    assert abs(float(found) - values[10, 20]) <= np.ptp(values[8:13, 18:23].astype(float))


def test_dask_is_used_where_chunks_are_asked_for(aligned: tuple[pyramids.Plan, MemoryStore]) -> None:
    pytest.importorskip("dask", reason="of the extra `dask`")
    plan, store = aligned
    opened = open_pyramid(store)
    array = opened.open_level(plan.levels.assets[0], chunks={})["dtm"]
    stored = open_array(store, f"{plan.levels.assets[0]}/dtm")
    assert array.chunks is not None
    assert tuple(sides[0] for sides in array.chunks) == stored.chunks
    assert opened.open_level(plan.levels.assets[0])["dtm"].chunks is None


def test_an_icechunk_repository_is_opened_by_its_address(tmp_path: Path) -> None:
    pytest.importorskip("icechunk", reason="of the extra `icechunk`")
    address = f"icechunk://{tmp_path}/r"
    source = FakeSource(scene("int16", (1, 100, 90)), nodata=NODATA)
    pyramids.build(source, address, tms="native", chunk=64)
    dataset = open_pyramid(address).open_level("0", mask_and_scale=False)
    np.testing.assert_array_equal(dataset["v0"], source.values[0])


def test_a_pyramid_below_the_root_is_opened_by_its_group(aligned: tuple[pyramids.Plan, MemoryStore]) -> None:
    plan, store = aligned
    nested = MemoryStore()
    for key, data in objects(store).items():
        nested.put(f"measurements/r10m/{key}", data)
    opened = open_pyramid(nested, group="measurements/r10m")
    assert opened.levels == open_pyramid(store).levels
    asset = plan.levels.assets[-1]
    array = opened.to_datatree(mask_and_scale=False)[asset]["dtm"]
    np.testing.assert_array_equal(array, read(store, f"{asset}/dtm"))


def test_a_level_is_known_by_its_name_where_it_lies_in_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "x.zarr"
    for chunk in (64, 32):  # the levels of a rebuild go below a folder with the name of the build
        pyramids.build(FakeSource(scene("uint8", (1, 100, 90))), target, tms="native", chunk=chunk, overwrite=True)
    opened = open_pyramid(target)
    first = opened.levels[0]
    assert first.asset.endswith("/0")
    assert opened.level("0") == opened.level(first.asset) == first
    assert opened.to_datatree()[first.asset].to_dataset()["v0"].rio.shape == first.grid.shape
    with pytest.raises(UnknownNameError) as caught:
        opened.open_level("7")
    assert (caught.value.kind, caught.value.name) == ("level", "7")


def test_a_store_that_fails_says_so_when_pixels_are_read(
    aligned: tuple[pyramids.Plan, MemoryStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = aligned
    dataset = open_pyramid(store).open_level(plan.levels.assets[0])

    def fails(_: ObjectStoreAdapter, key: str, **__: Any) -> None:
        raise StoreError("get", key) from OSError("out of reach")

    monkeypatch.setattr(ObjectStoreAdapter, "get", fails)
    with pytest.raises(StoreError) as caught:
        dataset["dtm"].variable.load()
    assert "/dtm/c/" in caught.value.key


# --- pyramids of others ---


@pytest.mark.parametrize(
    ("name", "epsg"), [("conformance/base.zarr", 3857), ("written_by/topozarr_elevation.zarr", 4326)]
)
def test_pyramids_of_other_writers_open(name: str, epsg: int, data_dir: Path) -> None:
    folder = data_dir / "zarr" / name
    opened = open_pyramid(folder)
    tree = opened.to_datatree()
    layout = json.loads((folder / "zarr.json").read_text())["attributes"]["multiscales"]["layout"]
    assert [level.asset for level in opened.levels] == [item["asset"] for item in layout]
    for item in layout:
        stored = zarr.open_array(folder / item["asset"] / "elevation", mode="r")
        array = tree[item["asset"]].to_dataset()["elevation"]
        assert array.rio.crs.to_epsg() == epsg
        assert tuple(array.rio.transform())[:6] == pytest.approx(item["spatial:transform"], rel=1e-12)
        assert array.rio.encoded_nodata == NODATA
        values = np.asarray(stored[...]).astype(array.dtype)
        np.testing.assert_array_equal(array, np.where(values == NODATA, np.nan, values))


def by_arrays(code: str = "EPSG:32631", **changes: Any) -> tuple[MemoryStore, dict[str, np.ndarray]]:
    """A pyramid whose levels are arrays side by side, with nothing of CF: no grid mapping, no coordinates."""
    source = data_array(scene("float32", (40, 60)), code=code)
    grid = geozarr.Grid((40, 60), source.rio.transform(), geozarr.crs.from_code(code))
    layout = levels.from_halving(grid, count=2)
    store = MemoryStore()
    root = zarr.create_group(
        zarr.storage.ObjectStore(store), attributes={**layout.to_attributes(), **changes}, zarr_format=3
    )
    values = {"0": source.values, "1": source.values[::2, ::2]}
    for name, array in values.items():
        root.create_array(name, data=array, dimension_names=("y", "x"), fill_value=math.nan)
    return store, values


def test_levels_that_are_arrays_side_by_side_are_told_apart() -> None:
    store, values = by_arrays()
    opened = open_pyramid(store)
    assert [level.variables for level in opened.levels] == [("0",), ("1",)]
    tree = opened.to_datatree()
    for name, expected in values.items():
        dataset = tree[name].to_dataset()
        assert list(dataset.data_vars) == [name]
        np.testing.assert_array_equal(dataset[name], expected)


def test_what_is_no_part_of_a_level_is_left_out() -> None:
    store, _ = by_arrays()
    root = zarr.open_group(zarr.storage.ObjectStore(store), mode="r+")
    root.create_array("ticks", data=np.arange(7), dimension_names=("x",))  # rows and columns are of another size
    root.create_array("table", data=np.arange(3))  # no dimensions
    root.create_array("thumbnail", data=np.zeros((40, 60), "uint8"), dimension_names=("y", "x"))  # not in the layout
    root.create_array("legend", data=np.arange(5), dimension_names=("class",))
    assert set(open_pyramid(store).open_level("0").variables) == {"0", "legend", "y", "x", "spatial_ref"}


def test_a_grid_mapping_of_any_name_is_a_coordinate() -> None:
    store, _ = by_arrays()
    root = zarr.open_group(zarr.storage.ObjectStore(store), mode="r+")
    wkt = geozarr.crs.from_code("EPSG:25832").wkt2  # another than the documents say, to tell which one is taken
    root.create_array("utm", data=np.array(0), attributes={"crs_wkt": wkt})
    root["0"].attrs["grid_mapping"] = "utm"
    dataset = open_pyramid(store).open_level("0")
    assert list(dataset.data_vars) == ["0"]
    assert dataset["0"].rio.crs.to_epsg() == 25832


def test_what_a_writer_left_out_follows_from_the_documents() -> None:
    store, _ = by_arrays()
    for level in open_pyramid(store).levels:
        array = open_pyramid(store).open_level(level)[level.asset]
        assert array.rio.crs.to_epsg() == 32631
        assert array.rio.transform() == level.grid.transform
        np.testing.assert_array_equal(array["x"], level.grid.x_centres())
        assert array.rio.reproject("EPSG:4326").rio.crs.to_epsg() == 4326


def changed(store: MemoryStore, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Documents of a pyramid with a change."""
    root = json.loads(objects(store)["zarr.json"])
    nodes = {"": root, **root["consolidated_metadata"]["metadata"]}
    change(nodes)
    return nodes


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda nodes: nodes[""]["attributes"].pop("multiscales"), MetadataError, "multiscales"),
        (lambda nodes: nodes[""]["attributes"].pop("zarr_conventions"), MetadataError, "multiscales among them"),
        (lambda nodes: nodes.pop("{asset}"), MetadataError, "expected a group or an array"),
        (
            lambda nodes: [node.update(dimension_names=["row", "col"]) for node in nodes.values() if "shape" in node],
            MetadataError,
            "expected an array over ('y', 'x')",
        ),
        (lambda nodes: nodes["{asset}/dtm"].update(shape=[5, 7]), GridMismatchError, "found (5, 7), expected"),
    ],
)
def test_what_is_no_pyramid_is_refused_with_what_was_found(
    change: Callable[[dict[str, Any]], Any],
    error: type[Exception],
    text: str,
    aligned: tuple[pyramids.Plan, MemoryStore],
) -> None:
    asset = aligned[0].levels.assets[0]

    class Nodes(dict[str, Any]):
        """Documents, of which those of the finest level are called {asset}."""

        def __getitem__(self, path: str) -> Any:
            return super().__getitem__(path.format(asset=asset))

        def pop(self, path: str) -> Any:  # type: ignore[override]
            return super().pop(path.format(asset=asset))

    nodes = Nodes(changed(aligned[1], lambda _: None))
    change(nodes)
    with pytest.raises(error) as caught:
        Pyramid(geozarr.store.open_store(MemoryStore()), Tree(dict(nodes), is_consolidated=True))
    assert text in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_a_pyramid_of_zarr_v2_opens_as_one_of_v3(tmp_path: Path) -> None:
    values = np.arange(2 * 70 * 90, dtype=np.float32).reshape(2, 70, 90)
    values[:, :9] = np.nan
    array = data_array(values, dims=("time", "y", "x"))
    array = array.assign_coords(time=("time", [0, 1], {"units": "days since 2001-01-01", "calendar": "standard"}))
    opened = {}
    for zarr_format in (2, 3):
        path = tmp_path / f"{zarr_format}.zarr"
        pyramids.build(array, path, tms="native", levels=2, zarr_format=zarr_format)
        opened[zarr_format] = open_pyramid(path)
    assert [level.grid for level in opened[2].levels] == [level.grid for level in opened[3].levels]
    for name in ("0", "1"):
        one, other = (opened[zarr_format].to_datatree()[name].to_dataset() for zarr_format in (2, 3))
        assert one.equals(other)  # attributes differ by what GDAL reads of v2
        assert one.v.rio.crs == other.v.rio.crs


def test_groups_without_the_convention_are_refused_with_what_was_expected(data_dir: Path) -> None:
    with pytest.raises(MetadataError, match="expected multiscales among them"):
        open_pyramid(data_dir / "zarr" / "titiler_pyramid_v2.zarr")


def test_there_has_to_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        open_pyramid(tmp_path / "none.zarr")


def test_what_zarr_python_cannot_decode_is_an_error_of_the_store() -> None:
    store, _ = by_arrays()
    document = json.loads(bytes(store.get("0/zarr.json").bytes()))
    document["codecs"] = [{"name": "no such codec"}]
    store.put("0/zarr.json", json.dumps(document).encode())
    with pytest.raises(StoreError) as caught:
        open_pyramid(store).open_level("0")
    assert caught.value.operation == "open"
