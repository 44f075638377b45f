"""A group takes what it lacks from others as CF 2.7 has it, and never from one of several that might be meant."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import pytest
import xarray as xr

import builds
import pyramids
from builds import data_array, scene
from conformance import Severity, check
from geozarr.errors import GroomingError, MetadataError
from pyramids.sources import dataset as dataset_module

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (30, 40)
DEGREES: dict[str, Any] = {"crs": "OGC:CRS84"}
WGS84 = pyproj.CRS.from_epsg(4326).to_wkt()


def flat() -> xr.Dataset:
    """A raster with coordinates and grid mapping of its own."""
    like = data_array(scene("int16", SHAPE), name="v", attrs={"_FillValue": -1})
    found = like.drop_vars("spatial_ref", errors="ignore").to_dataset()
    found["crs"] = ((), np.int32(0), {"crs_wkt": like.rio.crs.to_wkt()})
    found["v"].attrs["grid_mapping"] = "crs"
    found["v"].encoding = {}
    return found


def swath() -> xr.Dataset:
    """A raster with a longitude and a latitude for each pixel."""
    row, col = np.mgrid[: SHAPE[0], : SHAPE[1]]
    lon, lat = 10 + 0.02 * col + 0.004 * row, 50 - 0.02 * row + 0.004 * col
    return xr.Dataset(
        {"v": (("line", "pixel"), scene("int16", SHAPE), {"_FillValue": np.int16(-1)})},
        {
            "lon": (("line", "pixel"), lon, {"units": "degrees_east"}),
            "lat": (("line", "pixel"), lat, {"units": "degrees_north"}),
        },
    )


def write(path: Path, **groups: xr.Dataset) -> Path:
    """Write groups of a file; `root` is the root, and `a_b` is a group in a group."""
    for number, (name, dataset) in enumerate(groups.items()):
        inner = None if name == "root" else name.replace("__", "/")
        dataset.to_netcdf(path, mode="a" if number else "w", group=inner, engine="h5netcdf")
    return path


def cut(dataset: xr.Dataset, *names: str) -> xr.Dataset:
    """Only some variables, none of which is made a coordinate of the others."""
    found = dataset.reset_coords()[list(names)]
    kept = found.drop_vars([name for name in found.coords if name not in names])
    for variable in kept.variables.values():
        variable.encoding.pop("coordinates", None)
    return kept


def same(found: pyramids.Source, expected: pyramids.Source) -> None:
    """Both become the same pyramid."""
    (_, one), (_, other) = (builds.build(source, resampling="nearest") for source in (found, expected))
    chunks = [{k: v for k, v in builds.objects(store).items() if "/c/" in k} for store in (one, other)]
    assert chunks[0]
    assert chunks[0] == chunks[1]
    assert [item for item in check(one, depth="pixels").findings if item.severity is not Severity.INFO] == []


def test_coordinates_and_grid_mapping_of_groups_above_are_those_of_a_group(tmp_path: Path) -> None:
    inner = cut(flat(), "v")
    path = write(tmp_path / "above.nc", root=cut(flat(), "y", "crs"), a=cut(flat(), "x"), a__b=inner)
    source = pyramids.open_source(path, group="a/b")
    assert [quirk.kind for quirk in source.quirks] == [quirk.kind for quirk in pyramids.open_source(flat()).quirks]
    same(source, pyramids.open_source(flat()))


@pytest.mark.parametrize("places", ["/nav/lon /nav/lat", "../nav/lon ../nav/lat"])
def test_references_by_path_are_followed(tmp_path: Path, places: str) -> None:
    pixels = cut(swath(), "v")
    pixels["v"].attrs |= {"coordinates": places, "grid_mapping": "/maps/crs"}
    mapping = xr.Dataset({"crs": ((), np.int32(0), {"grid_mapping_name": "latitude_longitude", "spatial_ref": WGS84})})
    others = cut(swath(), "lon", "lat") + 1  # of the same dimensions, elsewhere
    for name in ("lon", "lat"):
        others[name].attrs = swath()[name].attrs
    path = write(tmp_path / "paths.nc", data=pixels, nav=cut(swath(), "lon", "lat"), others=others, maps=mapping)
    source = pyramids.open_source(path, group="data")
    assert [quirk.kind for quirk in source.quirks] == ["axis-names", "geolocation"]
    same(source, pyramids.open_source(swath(), crs="EPSG:4326"))


def test_a_reference_by_path_goes_before_a_variable_of_that_name(tmp_path: Path) -> None:
    pixels = cut(flat(), "v", "y", "x", "crs")
    pixels["crs"].attrs = {"crs_wkt": "no CRS at all"}
    pixels["v"].attrs["grid_mapping"] = "/maps/crs"
    path = write(tmp_path / "names.nc", data=pixels, maps=cut(flat(), "crs"))
    same(pyramids.open_source(path, group="data"), pyramids.open_source(flat()))


def test_places_that_one_other_group_has_are_taken_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "ocean.nc", data=cut(swath(), "v"), nav=cut(swath(), "lon", "lat"))
    source = pyramids.open_source(path, group="data", **DEGREES)
    (quirk,) = (quirk for quirk in source.quirks if quirk.kind == "coordinates-elsewhere")
    assert "lon, lat of the group /nav" in quirk.done
    with pytest.raises(GroomingError, match="/nav"):
        builds.plan_for(source, strict=True)
    same(source, pyramids.open_source(swath(), **DEGREES))
    again = pickle.loads(pickle.dumps(source))
    assert (again.quirks, again.fingerprint) == (source.quirks, source.fingerprint)


def test_pixels_at_the_root_may_have_their_places_in_a_group(tmp_path: Path) -> None:
    """As EMIT writes them, units with a space and the CRS in words included."""
    places = cut(swath(), "lon", "lat")
    places["lon"].attrs, places["lat"].attrs = {"units": "degrees east"}, {"units": "degrees north"}
    path = write(tmp_path / "emit.nc", root=cut(swath(), "v").assign_attrs(spatial_ref=WGS84), location=places)
    source = pyramids.open_source(path)
    assert {quirk.kind for quirk in source.quirks} >= {"coordinates-elsewhere", "crs-words"}
    same(source, pyramids.open_source(swath(), crs="EPSG:4326"))


def test_coordinate_variables_of_one_other_group_are_taken_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "dims.nc", root=cut(flat(), "crs"), dims=cut(flat(), "y", "x"), data=cut(flat(), "v"))
    source = pyramids.open_source(path, group="data")
    assert "coordinates-elsewhere" in [quirk.kind for quirk in source.quirks]
    same(source, pyramids.open_source(flat()))


def test_places_that_several_groups_have_are_not_chosen_between(tmp_path: Path) -> None:
    places = cut(swath(), "lon", "lat")
    path = write(tmp_path / "two.nc", data=cut(swath(), "v"), nav=places, other=places)
    with pytest.raises(MetadataError, match=r"'/nav', '/other'.*one group that has places"):
        pyramids.open_source(path, group="data", **DEGREES)


@pytest.mark.parametrize(
    "others",
    [
        {"nav": cut(swath(), "lon", "lat").isel(line=slice(1, None))},
        {"nav": cut(swath(), "lon", "lat").rename(line="row")},
        {"nav": cut(swath(), "lon")},
        {"one": cut(swath(), "lon"), "two": cut(swath(), "lat")},
    ],
    ids=["size", "name", "longitude alone", "in two groups"],
)
def test_places_of_other_pixels_are_not_taken(tmp_path: Path, others: dict[str, Any]) -> None:
    path = write(tmp_path / "others.nc", data=cut(swath(), "v"), **others)
    with pytest.raises(MetadataError, match="expected a variable with rows and columns"):
        pyramids.open_source(path, group="data", **DEGREES)


def test_a_group_with_places_of_its_own_takes_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = cut(flat(), "y", "x")
    moved = moved.assign_coords(x=moved.x + 1000)
    path = write(tmp_path / "own.nc", root=moved, data=flat())
    monkeypatch.setattr(dataset_module.groups_beside, "completed", None)
    same(pyramids.open_source(path, group="data"), pyramids.open_source(flat()))


def test_a_transform_is_a_place(tmp_path: Path) -> None:
    """Though another group has coordinates for dimensions of these names."""
    pixels, elsewhere = flat(), cut(flat(), "y", "x")
    six = data_array(scene("int16", SHAPE)).rio.transform().to_gdal()
    pixels["crs"].attrs["GeoTransform"] = " ".join(map(str, six))
    path = write(
        tmp_path / "transform.nc", data=cut(pixels, "v", "crs"), other=elsewhere.assign_coords(x=elsewhere.x + 1000)
    )
    source = pyramids.open_source(path, group="data")
    assert source.quirks == ()
    same(source, pyramids.open_source(flat()))


def test_a_variable_without_a_place_moves_no_other(tmp_path: Path) -> None:
    """Bounds are no raster; nor is what other groups say of the dimensions of a raster with coordinates its own."""
    pixels = flat()
    pixels["y_bounds"] = (("y", "end"), np.stack([pixels.y + 15, pixels.y - 15], axis=-1))
    places = cut(swath(), "lon", "lat").rename(line="y", pixel="x")
    source = pyramids.open_source(
        write(tmp_path / "bounds.nc", data=pixels, other=places), group="data", variables=["v"]
    )
    assert source.quirks == ()
    same(source, pyramids.open_source(flat()))


def test_coordinates_that_contradict_each_other_are_not_put_right_by_others(tmp_path: Path) -> None:
    pixels = flat()
    pixels["y"].attrs = pixels["x"].attrs = {"axis": "X"}
    path = write(tmp_path / "contradiction.nc", data=pixels, dims=cut(flat(), "y", "x"))
    with pytest.raises(MetadataError, match="expected one that is the X axis"):
        pyramids.open_source(path, group="data")


def test_a_group_of_groups_names_those_with_rasters(tmp_path: Path) -> None:
    path = write(tmp_path / "groups.nc", root=xr.Dataset(), a__b=flat(), c=flat(), d=xr.Dataset({"n": 1}))
    with pytest.raises(MetadataError, match=r"groups: found \('/a/b', '/c'\), expected .* choose one with group"):
        pyramids.open_source(path)
    with pytest.raises(MetadataError, match=r"groups: found \('/a/b',\)"):
        pyramids.open_source(path, group="a")
    with pytest.raises(MetadataError, match="rows and columns"):
        pyramids.open_source(path, group="d")
