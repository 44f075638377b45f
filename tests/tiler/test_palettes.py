"""Colour tables from the file to the tile: rasterio tells which colour a value of the file has."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.windows
from PIL import Image
from starlette.testclient import TestClient

import pyramids
from conformance import check
from geozarr import tms
from tiler import PyramidReader
from tiler.app import create_app
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TILES = "tiles/WebMercatorQuad"
RASTERS = (
    "cog_cmap.tif",
    "color_table_lcc.tif",
    "gdal_small_world_pct.tif",
    "laea_colormap.tif",
    "nsidc_S_20240101_concentration.tif",
    "storml_treecover_palette.tif",
)
MOST = 900  # pixels of a side that are taken of a raster
CENTRES = {"cog_cmap.tif": (6600, 6200)}  # row and column where classes meet; by default the middle of the raster


def part_of(path: Path, folder: Path) -> Path:
    """Part of a raster, with its colour table."""
    with rasterio.open(path) as source:
        height, width = min(source.height, MOST), min(source.width, MOST)
        row, col = CENTRES.get(path.name, (source.height // 2, source.width // 2))
        window = rasterio.windows.Window(col - width // 2, row - height // 2, width, height)
        profile = {key: source.profile[key] for key in ("dtype", "nodata", "crs", "count")}
        profile |= {"height": height, "width": width, "transform": source.window_transform(window), "driver": "GTiff"}
        with rasterio.open(folder / path.name, "w", **profile) as target:
            target.write(source.read(window=window))
            target.write_colormap(1, source.colormap(1))
    return folder / path.name


def client_of(path: Path) -> TestClient:
    return TestClient(create_app(Settings((Dataset("x", path),))), raise_server_exceptions=False)


def numbers(client: TestClient, path: str) -> np.ndarray:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content))


def pixels(client: TestClient, path: str) -> np.ndarray:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGBA"))


def colors_of(values: np.ndarray, table: Mapping[int, tuple[int, int, int, int]]) -> np.ndarray:
    """Look values up as rasterio's users do."""
    known = np.zeros((int(np.iinfo(values.dtype).max) + 1, 4), np.uint8)
    for value, color in table.items():
        known[value] = color
    return known[values]


def tile_of(client: TestClient, *, finer: int) -> tuple[int, int, int]:
    """A tile over the middle of the pyramid, some zooms finer than its finest level."""
    document = client.get(f"/x/{TILES.partition('/')[2]}/tilejson.json").json()
    west, south, east, north = document["bounds"]
    quad = tms.load("WebMercatorQuad")
    matrix = quad.matrix(str(document["maxzoom"] + finer))
    x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform((west + east) / 2, (south + north) / 2)
    left, top = matrix.top_left
    side = matrix.cellSize * matrix.tileWidth
    return int(matrix.id), int((x - left) // side), int((top - y) // side)


@pytest.mark.parametrize("name", RASTERS)
def test_a_tile_has_the_colours_of_the_source_pixels(name: str, data_dir: Path, tmp_path: Path) -> None:
    path = part_of(data_dir / "raster" / name, tmp_path)
    pyramids.build(path, tmp_path / "x.zarr", tms="native", levels=1)
    with client_of(tmp_path / "x.zarr") as client:
        z, column, row = tile_of(client, finer=1)
        found = pixels(client, f"/x/{TILES}/{z}/{column}/{row}.png")
    matrix = tms.load("WebMercatorQuad").matrix(str(z))
    left, top = matrix.top_left
    x = left + (256 * column + np.arange(256) + 0.5) * matrix.cellSize
    y = top - (256 * row + np.arange(256) + 0.5) * matrix.cellSize
    with rasterio.open(path) as source:
        to_source = pyproj.Transformer.from_crs(3857, pyproj.CRS.from_wkt(source.crs.to_wkt()), always_xy=True)
        cols, rows = ~source.transform @ to_source.transform(*np.meshgrid(x, y))
        values, table, nodata = source.read(1), source.colormap(1), source.nodata
    at = np.floor(rows).astype(int), np.floor(cols).astype(int)
    is_inside = (at[0] >= 0) & (at[0] < values.shape[0]) & (at[1] >= 0) & (at[1] < values.shape[1])
    # Where a pixel's centre lies on the edge of a source pixel, two of them are right.
    parts = np.stack([rows % 1, cols % 1])
    is_clear = is_inside & ((parts > 0.02) & (parts < 0.98)).all(0)
    assert is_clear.mean() > 0.2
    under = values[at[0].clip(0, values.shape[0] - 1), at[1].clip(0, values.shape[1] - 1)]
    expected = colors_of(under, table)
    if nodata is not None:
        expected[under == nodata] = 0
    shown = expected[..., 3] > 0
    np.testing.assert_array_equal(found[..., 3][is_clear], expected[..., 3][is_clear])
    np.testing.assert_array_equal(found[is_clear & shown], expected[is_clear & shown])
    assert len(np.unique(found[is_clear & shown], axis=0)) > 1


@pytest.mark.parametrize("name", RASTERS)
def test_every_level_keeps_the_palette_and_is_without_findings(name: str, data_dir: Path, tmp_path: Path) -> None:
    path = part_of(data_dir / "raster" / name, tmp_path)
    plan = pyramids.build(path, tmp_path / "x.zarr")
    with rasterio.open(path) as source:
        table = source.colormap(1)
    assert check(tmp_path / "x.zarr", depth="pixels").findings == ()
    variable = plan.variables[0].name
    with client_of(tmp_path / "x.zarr") as client:
        for level in plan.levels.levels:
            assert level.limits is not None
            place = f"{level.name}/{level.limits.minTileCol}/{level.limits.minTileRow}"
            values, mask = numbers(client, f"/x/{TILES}/{place}.npy?variable={variable}")
            found = pixels(client, f"/x/{TILES}/{place}.png")
            expected = np.where((mask > 0)[..., None], colors_of(values, table), 0)
            np.testing.assert_array_equal(found[..., 3], expected[..., 3])
            np.testing.assert_array_equal(found[expected[..., 3] > 0], expected[expected[..., 3] > 0])


@pytest.fixture(scope="module")
def cover(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyramid of land cover with the names that GDAL keeps beside a GeoTIFF."""
    folder = tmp_path_factory.mktemp("cover")
    values = (np.arange(64 * 64).reshape(64, 64) // 7 % 3 * 10).astype(np.uint8)  # 0, 10, 20
    values[:8] = 255
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint8", "nodata": 255}
    place = {"crs": "EPSG:32631", "transform": rasterio.transform.from_origin(5e5, 5e6, 30, 30)}
    with rasterio.open(folder / "cover.tif", "w", **profile, **place) as target:
        target.write(values, 1)
        target.write_colormap(1, {0: (0, 0, 255, 255), 10: (0, 100, 0, 255), 20: (250, 250, 250, 255)})
    names = "".join(
        f"<Category>{ {0: 'Open water', 10: 'Wood', 20: 'Ice'}.get(value, '') }</Category>" for value in range(21)
    )
    (folder / "cover.tif.aux.xml").write_text(
        f"<PAMDataset><PAMRasterBand band='1'><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>"
    )
    pyramids.build(folder / "cover.tif", folder / "cover.zarr", tms="native", levels=2)
    return folder / "cover.zarr"


def test_the_legend_names_the_classes(cover: Path) -> None:
    with client_of(cover) as client:
        found = client.get("/x/legend.json").json()
        picture = client.get("/x/legend.png")
    assert found["type"] == "classes"
    assert found["entries"] == [
        {"value": 0, "label": "Open water", "color": "#0000ffff"},
        {"value": 10, "label": "Wood", "color": "#006400ff"},
        {"value": 20, "label": "Ice", "color": "#fafafaff"},
    ]
    drawn = np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGB")).reshape(-1, 3)
    assert {(0, 0, 255), (0, 100, 0), (250, 250, 250)} <= {tuple(color) for color in drawn.tolist()}


def test_the_legend_of_a_long_table_shows_runs_of_values(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "raster" / "nsidc_S_20240101_concentration.tif"
    pyramids.build(path, tmp_path / "x.zarr", tms="native", levels=1)
    with client_of(tmp_path / "x.zarr") as client:
        entries = client.get("/x/legend.json").json()["entries"]
    with rasterio.open(path) as source:
        table = source.colormap(1)
    assert 1 < len(entries) <= 255
    for entry in entries:
        first, last = entry["value"]
        colors = {table[value] for value in range(first, last + 1)}
        assert [f"#{bytes(color).hex()}" for color in colors] == [entry["color"]]
    assert entries[0]["value"][0] == 0
    assert all(after["value"][0] == before["value"][1] + 1 for before, after in itertools.pairwise(entries))


@pytest.mark.parametrize(
    ("query", "is_own"),
    [
        ("", True),
        ("?variable=b1", True),
        ("?unscale=true", True),
        ("?colormap_name=viridis", False),
        ("?rescale=0,20", False),
        ("?colormap=%7B%2210%22%3A%22%23ff0000%22%7D", False),
        ("?expression=b1*2&rescale=0,40", False),
    ],
)
def test_the_palette_is_used_where_nothing_else_is_asked_for(query: str, is_own: bool, cover: Path) -> None:
    settings = Settings((Dataset("x", cover),), expressions=True)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        z, column, row = tile_of(client, finer=2)
        found = pixels(client, f"/x/{TILES}/{z}/{column}/{row}.png{query}")
    shown = {tuple(color) for color in found[found[..., 3] > 0].tolist()}
    own = {(0, 0, 255, 255), (0, 100, 0, 255), (250, 250, 250, 255)}
    assert shown
    assert (shown <= own) is is_own


def test_numbers_are_served_as_stored(cover: Path) -> None:
    with client_of(cover) as client:
        z, column, row = tile_of(client, finer=2)
        values, mask = numbers(client, f"/x/{TILES}/{z}/{column}/{row}.npy")
    assert set(np.unique(values[mask > 0])) <= {0, 10, 20}


@pytest.mark.parametrize("name", ["laea_colormap.tif", "nsidc_S_20240101_concentration.tif"])
def test_rio_tiler_renders_with_the_colours_of_the_reader(name: str, data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "raster" / name
    pyramids.build(path, tmp_path / "x.zarr", tms="native", levels=1)
    with rasterio.open(path) as source:
        table, values = source.colormap(1), source.read(1)
    with PyramidReader(tmp_path / "x.zarr") as reader:
        image = reader.preview(max_size=None, width=values.shape[1], height=values.shape[0])
        rendered = image.render(img_format="PNG", colormap=reader.colormap)
        stated = reader.info().colormap
    found = np.asarray(Image.open(io.BytesIO(rendered)).convert("RGBA"))
    np.testing.assert_array_equal(image.array[0], values)
    np.testing.assert_array_equal(found, colors_of(values, table))
    if name == "laea_colormap.tif":
        assert stated == {value: table[value] for value in range(20)}  # the rest of the table is black filler


def test_a_reader_of_several_rasters_has_no_colours_for_all(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    profile = {"driver": "GTiff", "height": 9, "width": 9, "count": 2, "dtype": "uint8", "crs": "EPSG:32631"}
    with rasterio.open(path, "w", transform=rasterio.transform.from_origin(5e5, 5e6, 30, 30), **profile) as target:
        target.write_colormap(1, {1: (255, 0, 0)})
        target.write(np.ones((2, 9, 9), np.uint8))
    pyramids.build(path, tmp_path / "x.zarr", tms="native", levels=1)
    with PyramidReader(tmp_path / "x.zarr") as reader:
        assert reader.pyramid.variables[0].colors is not None
        assert reader.colormap is None
