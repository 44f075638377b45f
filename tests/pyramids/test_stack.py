"""Variables of several grids in one pyramid: each from the level that fits it, as if it had been built alone."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import pytest
import rasterio
import xarray as xr
from affine import Affine
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from obstore.store import MemoryStore

import builds
import geozarr
import pyramids
from builds import FakeSource
from conformance import Severity, check
from geozarr import Window, manifest
from geozarr.errors import (
    GroomingError,
    MetadataError,
    ParameterError,
    SourceChangedError,
    StoreError,
    UnsupportedError,
)
from pyramids import Axis, Options, Slice, plan
from pyramids.cli import main
from pyramids.mosaic import Mosaic
from pyramids.planner import _first_levels
from pyramids.stack import PlacedStack, Stack
from tiler import describe
from tiler.reader import PyramidReader

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CORNER = (500_000.0, 5_000_000.0)
SIDE = 12_000.0  # metres
BANDS = {"b02": 10, "b03": 10, "b05": 20, "b01": 60}  # metres


def linear(easting: Any, northing: Any) -> Any:
    """A field that interpolation between pixels keeps as it is."""
    return 1000 + 0.3 * (easting - CORNER[0]) + 0.2 * (CORNER[1] - northing)


def band(cell: float, dtype: str = "uint16") -> NDArray[Any]:
    """The field at the centres of pixels."""
    centres = (np.arange(round(SIDE / cell)) + 0.5) * cell
    values = linear(CORNER[0] + centres, (CORNER[1] - centres)[:, None])
    return np.rint(values).astype(dtype) if np.dtype(dtype).kind != "f" else values.astype(dtype)


def sources(*, nodata: float | None = 0, dtype: str = "uint16") -> list[FakeSource]:
    """One source a resolution, like the granules of Sentinel-2."""
    found = []
    for cell, group in itertools.groupby(BANDS.items(), key=lambda item: item[1]):
        names = tuple(name for name, _ in group)
        values = np.stack([band(cell, dtype)] * len(names))
        transform = Affine(cell, 0, CORNER[0], 0, -cell, CORNER[1])
        found.append(FakeSource(values, nodata=nodata, names=names, transform=transform, name=f"r{cell}m"))
    return found


def files(folder: Path, *, nodata: float | None = 0) -> dict[str, Path]:
    """One file a band."""
    found = {}
    for name, cell in BANDS.items():
        values = band(cell)
        path = found[name] = folder / f"{name}.tif"
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "nodata": nodata, "crs": builds.UTM}
        height, width = values.shape
        transform = Affine(cell, 0, CORNER[0], 0, -cell, CORNER[1])
        with rasterio.open(path, "w", height=height, width=width, transform=transform, **profile) as out:
            out.write(values, 1)
    return found


def first_levels(built: pyramids.Plan) -> dict[str, str]:
    return {variable.name: built.levels.assets[variable.first] for variable in built.variables}


def assert_no_fault(store: MemoryStore | Path, late: set[str]) -> None:
    """All is right, and variables that begin late are told of, in words and not as faults."""
    report = check(store, depth="pixels", all_pixels=True)
    assert {finding.severity for finding in report.findings} <= {Severity.INFO}, report.to_text()
    assert {(finding.rule, finding.node.rpartition("/")[2]) for finding in report.findings} == {
        ("XC-10", name) for name in late
    }, report.to_text()


@pytest.mark.parametrize("nodata", [0, None])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_each_band_begins_where_it_would_alone_and_shares_coarser_levels(dtype: str, nodata: float | None) -> None:
    parts = sources(nodata=nodata, dtype=dtype)
    built, store = builds.build(parts)
    firsts = first_levels(built)
    assert [int(firsts[name]) - int(firsts["b02"]) for name in BANDS] == [0, 0, -1, -2]
    coarsest = built.levels.assets[-1]
    for part in parts:
        _, alone = builds.build(part, min_zoom=coarsest, max_zoom=firsts[part.names[0]])
        for name, asset in itertools.product(part.names, built.levels.assets):
            if int(asset) > int(firsts[name]):
                with pytest.raises(FileNotFoundError):
                    builds.read(store, f"{asset}/{name}")
                continue
            valid = builds.validity(store, asset, name)
            assert_array_equal(valid, builds.validity(alone, asset, name))
            found = builds.read(store, f"{asset}/{name}")
            assert_array_equal(found[valid], builds.read(alone, f"{asset}/{name}")[valid])
            assert valid.any()
    builds.assert_levels_follow(store, built)
    assert_no_fault(store, {v.name for v in built.variables if v.first})


def test_pixels_are_the_field_where_proj_puts_them() -> None:
    built, store = builds.build(sources(dtype="float32"))
    back = pyproj.Transformer.from_crs("EPSG:3857", builds.UTM, always_xy=True)
    for variable in built.variables:
        level = built.levels.levels[variable.first]
        x, y = np.meshgrid(level.grid.x_centres(), level.grid.y_centres())
        easting, northing = back.transform(x, y)
        found = builds.read(store, f"{level.asset}/{variable.name}")
        margin = BANDS[variable.name]
        inside = (np.abs(easting - CORNER[0] - SIDE / 2) < SIDE / 2 - margin) & (
            np.abs(northing - CORNER[1] + SIDE / 2) < SIDE / 2 - margin
        )
        assert inside.sum() > 100
        most = 0.01 * BANDS[variable.name] * (0.3 + 0.2)  # positions are right to a hundredth of a source pixel
        assert_allclose(found[inside], linear(easting, northing)[inside], rtol=0, atol=most, err_msg=variable.name)


def test_integers_without_nodata_have_an_alpha_for_each_footprint() -> None:
    built, store = builds.build(sources(nodata=None))
    alphas = {variable.name: variable.alpha for variable in built.data_variables}
    assert alphas == {"b02": "alpha", "b03": "alpha", "b05": "alpha_b05", "b01": "alpha_b01"}
    assert first_levels(built)["alpha_b01"] == first_levels(built)["b01"]
    stated = builds.attributes(store, f"{built.levels.assets[-1]}/alpha_b05")
    assert stated["color_interpretation"] == "alpha"
    assert_no_fault(store, {"b05", "b01", "alpha_b05", "alpha_b01"})


def test_the_first_level_of_a_variable_states_its_statistics_and_no_aggregation() -> None:
    built, store = builds.build(sources())
    for variable, (number, level) in itertools.product(built.variables, enumerate(built.levels.levels)):
        if number >= variable.first:
            stated = builds.attributes(store, f"{level.asset}/{variable.name}")
            assert ("statistics" in stated) == ("actual_range" in stated) == (number == variable.first)
            assert stated.get("cell_methods") == ("area: mean" if number > variable.first else None)


def test_the_manifest_lists_the_arrays_that_there_are() -> None:
    _, store = builds.build(sources())
    reference = manifest.reference_of(builds.attributes(store))
    assert reference is not None
    known = manifest.Manifest(geozarr.store.open_store(store), reference)
    stored = {key.rpartition("/c/")[0] for key in builds.objects(store) if "/c/" in key}
    assert {path for path in known.arrays if path.rpartition("/")[2] in BANDS} == {
        path for path in stored if path.rpartition("/")[2] in BANDS
    }


def test_files_that_lie_on_one_grid_share_an_alpha_and_those_with_a_mask_have_their_own(tmp_path: Path) -> None:
    paths = files(tmp_path, nodata=None)
    shared = pyramids.make_plan(pyramids.open_source({"b02": paths["b02"], "b03": paths["b03"]}))
    assert [variable.alpha for variable in shared.data_variables] == ["alpha", "alpha"]
    masked = FakeSource(band(10)[None], names=("m",), transform=Affine(10, 0, CORNER[0], 0, -10, CORNER[1]))
    masked.alpha, masked.has_alpha = np.full(masked.values.shape[1:], 255, np.uint8), True
    masked.alpha[:100] = 0
    built, store = builds.build([pyramids.open_source({"b02": paths["b02"]}).sources[0], masked])
    assert [variable.alpha for variable in built.data_variables] == ["alpha", "alpha_m"]
    finest = built.levels.assets[0]
    _, alone = builds.build([masked], min_zoom=built.levels.assets[-1])
    assert_array_equal(builds.validity(store, finest, "m"), builds.validity(alone, finest, "m"))
    assert 0 < builds.validity(store, finest, "m").sum() < builds.validity(store, finest, "b1").sum()


def test_names_are_given_to_files(tmp_path: Path) -> None:
    paths = files(tmp_path)
    built = pyramids.build(paths, tmp_path / "out.zarr")
    assert [variable.name for variable in built.variables] == list(BANDS)
    assert [variable.attributes["long_name"] for variable in built.variables] == list(BANDS)
    assert built.notes[0] == "4 sources, warped by bilinear"
    opened = geozarr.open_pyramid(tmp_path / "out.zarr")
    assert [level.variables for level in opened.levels][:3] == [
        ("b02", "b03"),
        ("b02", "b03", "b05"),
        ("b02", "b03", "b05", "b01"),
    ]
    assert list(opened.to_datatree()[built.levels.assets[0]].data_vars) == ["b02", "b03"]
    assert_no_fault(tmp_path / "out.zarr", {"b05", "b01"})


def test_the_command_takes_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path)
    monkeypatch.chdir(tmp_path)
    places = [f"{name}={name}.tif" for name in BANDS]
    dry = CliRunner().invoke(main, [*places, "out.zarr", "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "variable   b05: uint16, missing: 0, from level " in dry.output
    one = CliRunner().invoke(main, ["b02=b02.tif", "--dry-run"])
    assert "variable   b02: uint16" in one.output
    wrong = CliRunner().invoke(main, [*places, "b01.tif", "out.zarr"])
    assert (wrong.exit_code, "b01.tif has no name" in wrong.output) == (2, True)
    (tmp_path / "b01.tif").rename(tmp_path / "year=2020.tif")  # a file's name, as in folders of partitions
    kept = CliRunner().invoke(main, ["year=2020.tif", "--dry-run"])
    assert "variable   b1: uint16" in kept.output


def test_a_variable_of_several_files_is_a_mosaic(tmp_path: Path) -> None:
    whole = band(10)
    paths = []
    for name, cols, left in (("west", slice(0, 600), 0), ("east", slice(600, 1200), 6000)):
        path = tmp_path / f"{name}.tif"
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "nodata": 0, "crs": builds.UTM}
        transform = Affine(10, 0, CORNER[0] + left, 0, -10, CORNER[1])
        with rasterio.open(path, "w", height=1200, width=600, transform=transform, **profile) as out:
            out.write(whole[:, cols], 1)
        paths.append(path)
    coarse = files(tmp_path)["b05"]
    built, store = builds.build({"b02": paths, "b05": [coarse]}, resampling="nearest")
    _, alone = builds.build({"b02": [files(tmp_path)["b02"]]}, resampling="nearest", min_zoom=built.levels.assets[-1])
    finest = built.levels.assets[0]
    assert_array_equal(builds.read(store, f"{finest}/b02"), builds.read(alone, f"{finest}/b02"))
    assert built.levels.levels[built.variables[1].first].asset == built.levels.assets[1]


def dataset() -> xr.Dataset:
    """Three grids in one dataset, each with axes of its own."""
    found = xr.Dataset()
    for name, cell in BANDS.items():
        y, x = f"y{cell}", f"x{cell}"
        values = band(cell).astype("int32")
        centres = (np.arange(len(values)) + 0.5) * cell
        found[name] = ((y, x), values, {"grid_mapping": "crs", "_FillValue": -1})
        found = found.assign_coords({y: (y, CORNER[1] - centres), x: (x, CORNER[0] + centres)})
        found[y].attrs |= {"standard_name": "projection_y_coordinate", "units": "m"}
        found[x].attrs |= {"standard_name": "projection_x_coordinate", "units": "m"}
    found["crs"] = ((), 0, pyproj.CRS(builds.UTM).to_cf())
    return found


def test_a_dataset_with_several_grids_is_a_stack_of_them(tmp_path: Path) -> None:
    path = tmp_path / "in.nc"
    dataset().to_netcdf(path)
    store = tmp_path / "in.zarr"
    dataset().to_zarr(store, zarr_format=3, consolidated=False)
    expected = None
    for source in (dataset(), path, store):
        built, found = builds.build(source)
        assert isinstance(pyramids.open_source(source), Stack)
        assert {variable.name: variable.first for variable in built.variables} == {
            "b02": 0,
            "b03": 0,
            "b05": 1,
            "b01": 2,
        }
        assert_no_fault(found, {"b05", "b01"})
        pixels = {name: builds.read(found, f"{built.levels.assets[-1]}/{name}") for name in BANDS}
        expected = expected or pixels
        for name in BANDS:
            assert_array_equal(pixels[name], expected[name])
    chosen = builds.plan_for(pyramids.open_source(path, variables=["b05"]))
    assert [variable.name for variable in chosen.variables] == ["b05"]
    named = builds.plan_for(pyramids.open_source({"b02": path, "b01": path}))
    assert [(variable.name, variable.first) for variable in named.variables] == [("b02", 0), ("b01", 2)]


def test_several_such_datasets_are_mosaics_of_each_grid() -> None:
    one, other = dataset(), dataset()
    for name in other.coords:
        if str(name).startswith("x"):
            other = other.assign_coords({name: (name, other[name].values + SIDE, other[name].attrs)})
    stack = pyramids.open_source([one, other])
    assert isinstance(stack, Stack)
    assert [len(part.sources) for part in stack.parts] == [2, 2, 2]
    built, _ = builds.build([one, other])
    assert [variable.first for variable in built.variables] == [0, 0, 1, 2]


def test_leading_axes_begin_with_their_variable() -> None:
    fine, coarse = sources()[0], sources()[2]
    coarse.values = np.stack([coarse.values[0], coarse.values[0] + 1])
    coarse.leading = (Axis("time", (0, 6), {"units": "hours since 2000-01-01", "standard_name": "time"}),)
    built, store = builds.build([fine, coarse])
    documents = {key.removesuffix("/zarr.json") for key in builds.objects(store) if key.endswith("zarr.json")}
    for number, asset in enumerate(built.levels.assets):
        assert (f"{asset}/time" in documents) == (f"{asset}/b01" in documents) == (number >= 2)
    assert_no_fault(store, {"b01"})


@pytest.mark.parametrize(
    "how", [{"processes": 2}, {"workers": 1}, {"memory": 560 * 2**20}, {"shard": 512}, {"zarr_format": 2}], ids=str
)
def test_how_it_is_built_never_shows_in_a_pixel(tmp_path: Path, how: dict[str, Any]) -> None:
    paths = files(tmp_path)
    usual = pyramids.build(paths, tmp_path / "usual.zarr")
    pyramids.build(paths, tmp_path / "other.zarr", **how)
    one, other = (geozarr.open_pyramid(tmp_path / f"{name}.zarr").to_datatree() for name in ("usual", "other"))
    for asset in usual.levels.assets:
        xr.testing.assert_identical(*(tree[asset].to_dataset().drop_attrs() for tree in (one, other)))


@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.99])
def test_a_build_that_failed_goes_on(share: float) -> None:
    parts = sources()
    built, expected = builds.build(parts)
    store, count = MemoryStore(), itertools.count()
    last = int(share * sum(len(part.reads) for part in parts))

    def failing(_: Window) -> None:
        if next(count) >= last:  # once alone would be made good by reading again
            raise StoreError("read", "somewhere", reason="gone")

    for part in parts:
        part.before_read = failing
    with pytest.raises(StoreError):
        pyramids.build(parts, store, workers=1)
    for part in parts:
        part.before_read = None
    pyramids.build(parts, store, workers=1, resume=True)
    assert builds.objects(store).keys() == builds.objects(expected).keys()
    for asset, variable in itertools.product(built.levels.assets, built.variables):
        key = f"{asset}/{variable.name}"
        if f"{key}/zarr.json" in builds.objects(expected):
            assert_array_equal(builds.read(store, key), builds.read(expected, key))


def test_what_is_lost_of_a_coarse_variable_is_mended() -> None:
    parts = sources()
    built, store = builds.build(parts)
    before = builds.objects(store)
    first = first_levels(built)["b01"]
    lost = next(key for key in before if key.startswith(f"{first}/b01/c/"))
    store.delete(lost)
    report = pyramids.execute(built, Stack([Mosaic([part]) for part in parts]), store, resume=True)
    assert report.mended == [lost]
    assert builds.objects(store) == before


def test_the_plan_goes_through_json_and_pickle() -> None:
    parts = sources(nodata=None)
    built = pyramids.make_plan(Stack([Mosaic([part]) for part in parts]))
    again = plan.from_document(built.to_document())
    assert (again, again.identity) == (built, built.identity)
    moved = dataclasses.replace(built.variables[2], first=0)
    assert dataclasses.replace(built, variables=(*built.variables[:2], moved, *built.variables[3:])) != built
    stack = pyramids.open_source({"b05": dataset(), "b01": dataset()})
    placed = stack.as_planned(builds.plan_for(stack))
    copy = pickle.loads(pickle.dumps(placed))
    assert isinstance(copy, PlacedStack)
    assert (copy.fingerprint, copy.variables) == (placed.fingerprint, placed.variables)
    window = Window(0, 0, 64, 64)
    assert_array_equal(copy.read(window, [Slice(1, 0)]).values, placed.read(window, [Slice(1, 0)]).values)


@given(sizes=st.lists(st.floats(0.01, 1000), min_size=1, max_size=6), count=st.integers(1, 12))
@settings(max_examples=200)
def test_the_finest_begins_at_the_finest_level_and_others_by_their_resolution(sizes: list[float], count: int) -> None:
    found = _first_levels(sizes, count=count)
    assert min(found) == 0
    assert max(found) < count
    order = np.argsort(sizes)
    assert (np.diff(np.array(found)[order]) >= 0).all()
    for one, other in itertools.combinations(range(len(sizes)), 2):
        if min(sizes) >= 1 and 0 < max(found[one], found[other]) < count - 1:
            assert abs(found[other] - found[one] - np.log2(sizes[other] / sizes[one])) <= 1


def test_zooms_that_are_asked_for_bound_where_variables_begin() -> None:
    built = pyramids.make_plan(Stack([Mosaic([part]) for part in sources()]))
    finest, coarsest = int(built.levels.assets[0]), int(built.levels.assets[-1])
    for low, high in itertools.product((coarsest, finest), (finest - 1, finest, finest + 2)):
        if low <= high:
            bounded = pyramids.make_plan(
                Stack([Mosaic([part]) for part in sources()]), Options(min_zoom=low, max_zoom=high)
            )
            firsts = [variable.first for variable in bounded.variables]
            whole = [max(0, first - max(0, finest - high)) for first in (0, 0, 1, 2)]
            assert firsts == [min(first, high - low) for first in whole]


def test_bands_of_several_resolutions_are_served_together(tmp_path: Path) -> None:
    built = pyramids.build(files(tmp_path), tmp_path / "out.zarr")
    finest = built.levels.levels[0]
    row, col = finest.limits.minTileRow + 1, finest.limits.minTileCol + 1
    with PyramidReader(str(tmp_path / "out.zarr")) as reader:
        image = reader.tile(col, row, int(finest.asset), variables=["b02", "b05", "b01"])
        assert image.array.shape == (3, 256, 256)
        values = np.ma.filled(image.array.astype("f8"), np.nan)
        for coarse, off in ((1, 20), (2, 60)):
            assert np.nanmax(np.abs(values[coarse] - values[0])) < off * 1.5
        centre = reader.info().bounds
        described = describe.info(reader.pyramid, name="s", tms_id="WebMercatorQuad")
        assert {item["name"]: item["levels"][0] for item in described["variables"]} == first_levels(built)
        point = reader.point((centre[0] + centre[2]) / 2 * 0 + 3.02, 45.13, variables=["b02", "b01"])
        assert np.abs(float(point.array[0]) - float(point.array[1])) < 60


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda *_: Stack([]), ParameterError, "sources"),
        (lambda one, _: Stack([Mosaic([one]), Mosaic([one])]), MetadataError, "b02"),
        (lambda one, _: Stack([Mosaic([one])], ["red"]), ParameterError, "one variable, which gets the name"),
        (lambda one, _: pyramids.open_source({"red": one}), ParameterError, "one variable, which gets the name"),
        (lambda _, two: pyramids.open_source({"b": two}, variables=["b"]), ParameterError, "variables"),
        (lambda _, two: pyramids.make_plan(Stack([Mosaic([two])]), Options(tms="native")), UnsupportedError, "native"),
    ],
)
def test_what_cannot_be_put_together_is_refused(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make(*sources()[:2])


def at_times(source: FakeSource, *hours: int) -> FakeSource:
    """The same values at several times."""
    axis = Axis("time", hours, {"units": "hours since 2000-01-01", "standard_name": "time"})
    return dataclasses.replace(source, values=np.stack([source.values[0]] * len(hours)), leading=(axis,))


@pytest.mark.parametrize("hours", [(0, 6, 12), (0, 7)])
def test_axes_of_one_name_have_one_coordinate(hours: tuple[int, ...]) -> None:
    _, fine, coarse = sources()
    with pytest.raises(MetadataError) as caught:
        pyramids.open_source([at_times(fine, 0, 6), at_times(coarse, *hours)])
    assert (caught.value.node, caught.value.key) == ("b01", "time")
    pyramids.open_source([at_times(fine, 0, 6), at_times(coarse, 0, 6)])


def test_a_plan_of_other_sources_is_refused(tmp_path: Path) -> None:
    parts = sources()
    planned = pyramids.make_plan(pyramids.open_source(parts))
    more = dataclasses.replace(parts[1], transform=parts[1].transform @ Affine.translation(100, 0))
    for other in (parts[:2], [*parts, more], [dataclasses.replace(parts[0], names=("x", "y")), *parts[1:]]):
        with pytest.raises(SourceChangedError):
            pyramids.execute(planned, pyramids.open_source(other), tmp_path / "out.zarr")


def test_what_is_left_out_of_a_dataset_with_several_grids_is_said() -> None:
    given = dataset()
    given["words"] = (("y20", "x20"), np.full(given["b05"].shape, "a"), {"grid_mapping": "crs"})
    source = pyramids.open_source(given)
    assert [quirk.kind for quirk in source.quirks].count("left-out") == 1
    with pytest.raises(GroomingError):
        builds.plan_for(source, strict=True)


def test_a_choice_along_an_axis_is_of_the_variables_that_have_it() -> None:
    given = dataset()
    given["b05"] = given["b05"].expand_dims(time=[0, 6]).assign_attrs(given["b05"].attrs)
    for source in (given, [given], {"b05": given, "b01": given}):
        stack = pyramids.open_source(source, select={"time": "#1"})
        assert isinstance(stack, Stack)
        assert {v.name: v.leading[0].coordinates for v in stack.variables if v.leading} == {"b05": (6,)}
        with pytest.raises(ParameterError, match="level"):
            pyramids.open_source(source, select={"level": "#1"})


@pytest.mark.parametrize(
    "source", [dataset(), {"b05": dataset(), "b01": dataset()}, sources()], ids=["one", "dict", "list"]
)
def test_a_rule_for_overlaps_is_of_several_sources_of_a_variable(source: Any) -> None:
    with pytest.raises(ParameterError, match="overlap"):
        pyramids.open_source(source, overlap="max")


def test_integers_of_one_file_that_are_missing_at_different_places_and_times_are_missing_there() -> None:
    whole, later = (builds.scene("int16", (120, 130), seed=seed, span=(0, 200)) for seed in (1, 2))
    dataset = builds.data_array(whole, name="whole").to_dataset()
    holed = xr.concat([builds.data_array(values, name="holed") for values in (whole, later)], "time")
    dataset["holed"] = holed.assign_attrs(valid_range=[0, 100])
    dataset["later"] = builds.data_array(later, name="later")
    built, store = builds.build(dataset, resampling="nearest")
    assert [(variable.alpha, variable.nodata) for variable in built.data_variables] == [
        ("alpha", None),
        (None, -(2**15)),
        ("alpha", None),
    ]
    finest = built.levels.assets[0]
    inside = builds.validity(store, finest, "whole")
    expected = np.stack([builds.read(store, f"{finest}/{name}") for name in ("whole", "later")])
    is_valid = inside & (expected <= 100)
    assert 0 < (is_valid[0] & is_valid[1]).sum() < is_valid[0].sum() < inside.sum()
    assert_array_equal(builds.read(store, f"{finest}/holed"), np.where(is_valid, expected, -(2**15)))
    assert not check(store, depth="pixels").findings


@pytest.mark.parametrize(("northing", "zooms"), [(50_000.0, (14, 13, 11)), (CORNER[1], (13, 12, 11))])
def test_bands_of_sentinel_2_begin_at_the_zooms_that_the_guide_names(northing: float, zooms: tuple[int, ...]) -> None:
    moved = [
        dataclasses.replace(part, transform=Affine.translation(0, northing - CORNER[1]) @ part.transform)
        for part in sources()
    ]
    built = pyramids.make_plan(pyramids.open_source(moved), Options(min_zoom=8))
    assert tuple(int(first_levels(built)[name]) for name in ("b02", "b05", "b01")) == zooms
