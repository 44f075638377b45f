"""One landscape in every form in which rasters come, and the map that each becomes: the pictures of docs/guide.md.

    python examples/families.py                     all of them, into docs/images/families
    python examples/families.py FOLDER swath gcps   some of them, into a folder

A picture shows the pixels as the file has them, row by row, and beside them the map that the tile reader makes of the
pyramid. The landscape is a sum of waves on the sphere, so that its height is known exactly at any longitude and
latitude, whatever grid it is sampled on: the tests hold every pyramid against that.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import rasterio
import xarray as xr
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rio_tiler.colormap import cmap

import pyramids
from tiler import PyramidReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PANEL = 240  # pixels along a side
WAVES = 600
RADIUS = 6371.0  # kilometres
SPAN = (-1500.0, 2500.0)  # metres that the colours reach over
MISSING = -9999


def height(longitude: Floats, latitude: Floats, *, finest: float) -> Floats:
    """Height of the landscape in metres, of the waves that are longer than `finest` kilometres."""
    rng = np.random.default_rng(7)
    number = np.exp(rng.uniform(np.log(2), np.log(200_000), WAVES))  # waves along a great circle
    direction = rng.normal(size=(WAVES, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    phase = rng.uniform(0, 2 * np.pi, WAVES)
    lam, phi = np.radians(longitude), np.radians(latitude)
    points = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    found = np.zeros(np.shape(points)[1:])
    for k, vector, shift in zip(number, direction, phase, strict=True):
        if 2 * np.pi * RADIUS / k > finest:
            found += 900 * k**-0.45 * np.cos(k * np.tensordot(vector, points, 1) + shift)
    return found


@dataclass(frozen=True)
class Made:
    """A source, and what is known of it.

    Parameters
    ----------
    source : object
        As `pyramids.build` takes it.
    stored : ndarray, shape (row, col) or list of these
        Its pixels as they lie in the file, in metres; NaN where there is none.
    finest : float or dict
        Kilometres: length of the shortest waves in it; by variable where these differ.
    options : dict
        For `pyramids.build`.
    shown : tuple of dict
        What is asked of the tile reader, one picture each; with a `bbox` in degrees of that alone.
    """

    source: Any
    stored: Any
    finest: float | dict[str, float]
    options: dict[str, Any] = field(default_factory=dict)
    shown: tuple[dict[str, Any], ...] = ({},)


def _sampled(crs: str, transform: Affine, shape: tuple[int, int], finest: float) -> Floats:
    """Heights at the centres of the pixels of a grid; NaN beyond the Earth."""
    cols, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    x, y = transform @ (cols, rows)
    longitude, latitude = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform(x, y)
    heights = height(longitude, latitude, finest=finest)
    return np.where(np.isfinite(longitude) & np.isfinite(latitude), heights, np.nan)


def _tif(path: Path, values: Floats, **profile: Any) -> Path:
    kept = np.where(np.isnan(values), MISSING, np.rint(values)).astype("int16")
    given = {"driver": "GTiff", "count": 1, "dtype": "int16", "nodata": MISSING, **profile}
    with rasterio.open(path, "w", height=kept.shape[0], width=kept.shape[1], **given) as out:
        out.write(kept, 1)
    return path


def _upright(
    folder: Path, name: str, crs: str, corner: tuple[float, float], cell: float, shape: tuple[int, int]
) -> Made:
    finest = 4 * cell / 1000
    transform = Affine(cell, 0, corner[0], 0, -cell, corner[1])
    values = _sampled(crs, transform, shape, finest)
    return Made(_tif(folder / f"{name}.tif", values, crs=crs, transform=transform), values, finest)


def rotated(folder: Path) -> Made:
    """Let rows and columns run askew."""
    transform = (
        Affine.translation(430_000, 5_200_000) @ Affine.rotation(-25) @ Affine.shear(8, 0) @ Affine.scale(300, -300)
    )
    values = _sampled("EPSG:32632", transform, (220, 260), 1.2)
    return Made(_tif(folder / "rotated.tif", values, crs="EPSG:32632", transform=transform), values, 1.2)


def upside_down(folder: Path) -> Made:
    """Count rows from the south, columns from the east."""
    transform = Affine(-300, 0, 500_000, 0, 300, 5_100_000)
    values = _sampled("EPSG:32632", transform, (220, 240), 1.2)
    return Made(_tif(folder / "upside_down.tif", values, crs="EPSG:32632", transform=transform), values, 1.2)


def control_points(folder: Path) -> Made:
    """Give no transform, but points whose place is known: the pixels lie on a curve of the second order."""

    def place(col: Any, row: Any) -> tuple[Any, Any]:
        # Columns and rows are polynomials of degrees east and south, which is what GDAL fits; solved step by step.
        east = south = np.zeros(np.shape(col))
        for _ in range(60):
            east = (col + 40 * south - 25 * east**2) / 230
            south = (row + 60 * east - 60 * east * south) / 300
        return 10 + east, 47 - south

    points = [GroundControlPoint(row, col, *place(col, row)) for row in range(0, 221, 44) for col in range(0, 241, 48)]
    cols, rows = np.meshgrid(np.arange(240) + 0.5, np.arange(220) + 0.5)
    values = height(*place(cols, rows), finest=3)
    return Made(_tif(folder / "control_points.tif", values, gcps=points, crs="EPSG:4326"), values, 3)


def swath(folder: Path) -> Made:
    """Give a longitude and a latitude for each pixel, as an instrument saw them from its orbit."""
    along, across = np.meshgrid(np.linspace(0, 1, 200), np.linspace(-1, 1, 240), indexing="ij")
    stretched = np.tan(across * 0.9) / np.tan(0.9)  # pixels grow towards the edges
    latitude = 42 + 6 * along + 1.2 * stretched * 0.5 - 0.3 * stretched**2
    longitude = 12 - 1.5 * along + 4 * stretched / np.cos(np.radians(latitude)) * 0.7
    values = height(longitude, latitude, finest=12)
    found = xr.Dataset(
        {"height": (("row", "col"), values.astype("f4"), {"units": "m", "coordinates": "lon lat"})},
        coords={
            "lon": (("row", "col"), longitude, {"standard_name": "longitude", "units": "degrees_east"}),
            "lat": (("row", "col"), latitude, {"standard_name": "latitude", "units": "degrees_north"}),
        },
    )
    found.to_netcdf(folder / "swath.nc")
    return Made(folder / "swath.nc", values, 12, {"crs": "OGC:CRS84"})


def uneven(folder: Path) -> Made:
    """Make rows that are narrow in the middle and wide at the ends."""
    latitude = 46 + 3 * np.sinh(np.linspace(-1.6, 1.6, 200))[::-1] / np.sinh(1.6)
    longitude = np.linspace(8, 14, 240)
    values = height(*np.meshgrid(longitude, latitude), finest=20)
    path = folder / "uneven.nc"
    _geographic(values, longitude, latitude).to_netcdf(path)
    return Made(path, values, 20, {"crs": "OGC:CRS84", "irregular": "resample"})


def _geographic(values: Floats, longitude: Floats, latitude: Floats) -> xr.Dataset:
    return xr.Dataset(
        {"height": (("lat", "lon"), values.astype("f4"), {"units": "m"})},
        coords={
            "lat": ("lat", latitude, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", longitude, {"standard_name": "longitude", "units": "degrees_east"}),
        },
    )


def longitudes_to_360(folder: Path) -> Made:
    """Show the globe from Greenwich eastwards all around."""
    longitude, latitude = np.arange(0.75, 360, 1.5), np.arange(89.25, -90, -1.5)
    values = height(*np.meshgrid(longitude, latitude), finest=700)
    _geographic(values, longitude, latitude).to_netcdf(folder / "longitudes.nc")
    return Made(folder / "longitudes.nc", values, 700, {"crs": "OGC:CRS84"})


def across_180(folder: Path) -> Made:
    """Show a place that the map cuts in two, at 180 degrees."""
    made = _upright(folder, "across_180", "EPSG:32701", (50_000, 8_300_000), 4000, (75, 90))
    return replace(made, shown=({"bbox": (178, -18.5, 180, -15)}, {"bbox": (-180, -18.5, -178, -15)}))


def geostationary(folder: Path) -> Made:
    """Show the disk of the Earth in scan angles, as a weather satellite at 36 000 km sees it."""
    stated = {
        "grid_mapping_name": "geostationary",
        "perspective_point_height": 35_786_023.0,
        "semi_major_axis": 6_378_137.0,
        "semi_minor_axis": 6_356_752.31414,
        "longitude_of_projection_origin": 10.0,
        "latitude_of_projection_origin": 0.0,
        "sweep_angle_axis": "x",
    }
    angles = np.linspace(-0.151, 0.151, 240)
    x, y = np.meshgrid(angles * 35_786_023.0, -angles * 35_786_023.0)
    crs = pyproj.CRS.from_cf(stated)
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    seen = np.isfinite(longitude) & np.isfinite(latitude) & (np.hypot(x, y) < 0.146 * 35_786_023.0)
    values = np.full(x.shape, np.nan)
    values[seen] = height(longitude[seen], latitude[seen], finest=500)
    found = xr.Dataset(
        {"height": (("y", "x"), values.astype("f4"), {"units": "m", "grid_mapping": "goes"})},
        coords={
            "y": ("y", -angles, {"standard_name": "projection_y_coordinate", "units": "rad"}),
            "x": ("x", angles, {"standard_name": "projection_x_coordinate", "units": "rad"}),
        },
    )
    found["goes"] = ((), 0, stated)
    found.to_netcdf(folder / "geostationary.nc")
    return Made(folder / "geostationary.nc", values, 500)


def polar(folder: Path) -> Made:
    """Show the Arctic around the pole, of which a Mercator map has what lies south of 85 degrees."""
    return _upright(folder, "polar", "EPSG:3413", (-4_000_000, 4_000_000), 32_000, (250, 250))


def sinusoidal(folder: Path) -> Made:
    """Use the projection of MODIS, on a sphere and without a code."""
    crs = "+proj=sinu +lon_0=0 +R=6371007.181 +units=m +no_defs"
    return _upright(folder, "sinusoidal", crs, (2_000_000, 6_800_000), 6000, (220, 240))


def rotated_pole(folder: Path) -> Made:
    """Show a regional model with a pole of its own."""
    stated = {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
    }
    rlon, rlat = np.arange(-24, 24, 0.2), np.arange(-22, 22, 0.2)
    crs = pyproj.CRS.from_cf(stated)
    values_at = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform(*np.meshgrid(rlon, rlat))
    values = height(*values_at, finest=90)
    found = xr.Dataset(
        {"height": (("rlat", "rlon"), values.astype("f4"), {"units": "m", "grid_mapping": "pole"})},
        coords={
            "rlat": ("rlat", rlat, {"standard_name": "grid_latitude", "units": "degrees"}),
            "rlon": ("rlon", rlon, {"standard_name": "grid_longitude", "units": "degrees"}),
        },
    )
    found["pole"] = ((), 0, stated)
    found.to_netcdf(folder / "rotated_pole.nc")
    return Made(folder / "rotated_pole.nc", values, 90)


CLASSES = {
    1: (30, 60, 130),
    2: (80, 140, 190),
    3: (200, 190, 140),
    4: (90, 140, 70),
    5: (130, 110, 90),
    6: (245, 245, 245),
}


def classes(folder: Path) -> Made:
    """Give codes with a colour table: coarser levels hold the most frequent code, and no means of codes."""
    transform = Affine(200, 0, 430_000, 0, -200, 5_200_000)
    values = _sampled("EPSG:32632", transform, (440, 480), 3)
    codes = np.digitize(values, np.quantile(values, [0.2, 0.35, 0.5, 0.7, 0.9])).astype("uint8") + 1
    path = folder / "classes.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 0, "crs": "EPSG:32632"}
    with rasterio.open(path, "w", height=440, width=480, transform=transform, **profile) as out:
        out.write(codes, 1)
        out.write_colormap(1, CLASSES)
    colours = np.array([(0, 0, 0), *CLASSES.values()], "uint8")
    return Made(path, colours[codes], 3, {"min_zoom": 6})


def missing(folder: Path) -> Made:
    """Give packed values with holes, of which the file says in three ways that they are missing."""
    longitude, latitude = np.arange(8, 12, 1 / 60), np.arange(48, 44.5, -1 / 60)
    values = height(*np.meshgrid(longitude, latitude), finest=8)
    rows, cols = np.mgrid[: len(latitude), : len(longitude)]
    packed = np.rint(values / 0.5).astype("int16")
    holes = [
        np.hypot(rows - 60, cols - 60) < 22,
        np.hypot(rows - 130, cols - 110) < 30,
        np.hypot(rows - 70, cols - 180) < 26,
    ]
    for hole, value in zip(holes, (-32768, -32767, 32000), strict=True):
        packed[hole] = value
    stated = {"_FillValue": np.int16(-32768), "missing_value": np.int16(-32767), "valid_max": np.int16(31000)}
    found = _geographic(values, longitude, latitude)
    found["height"] = (("lat", "lon"), packed, {"units": "m", "scale_factor": 0.5, **stated})
    found.to_netcdf(folder / "missing.nc")
    values[np.logical_or.reduce(holes)] = np.nan
    return Made(folder / "missing.nc", values, 8, {"crs": "OGC:CRS84"})


def times(folder: Path) -> Made:
    """Give four steps of a year, one warp for all of them."""
    longitude, latitude = np.arange(5, 15, 1 / 20), np.arange(50, 41, -1 / 20)
    base = height(*np.meshgrid(longitude, latitude), finest=22)
    steps = [
        base + 4000 * np.cos(np.radians(30) * month) * np.sin(np.radians(latitude * 12))[:, None]
        for month in range(0, 12, 3)
    ]
    found = xr.Dataset(
        {"height": (("time", "lat", "lon"), np.stack(steps).astype("f4"), {"units": "m"})},
        coords={
            **_geographic(base, longitude, latitude).coords,
            "time": ("time", [0, 90, 180, 270], {"units": "days since 2025-01-01", "calendar": "360_day"}),
        },
    )
    found.to_netcdf(folder / "times.nc")
    asked = tuple({"sel": [f"time=2025-{month:02}-01"]} for month in (1, 4, 7, 10))
    return Made(folder / "times.nc", steps[0], 22, {"crs": "OGC:CRS84"}, asked)


def mosaic(folder: Path) -> Made:
    """Cut overlapping tiles in two UTM zones."""
    paths, values = [], []
    for zone, left in ((32, 700_000), (33, 250_000)):
        for row in range(2):
            for col in range(2):
                corner = (left + col * 36_000, 5_230_000 - row * 36_000)
                made = _upright(folder, f"tile-{zone}-{row}-{col}", f"EPSG:{32600 + zone}", corner, 400, (100, 100))
                paths.append(made.source)
                values.append(made.stored)
    return Made(paths, values, 1.6)


def resolutions(folder: Path) -> Made:
    """Give bands of 10, 20 and 60 m, each from the level that fits it."""
    sources, values, finest = {}, [], {}
    for name, cell in (("red", 10), ("green", 20), ("blue", 60)):
        made = _upright(folder, name, "EPSG:32632", (430_000, 5_200_000), cell, (6_000 // cell, 6_000 // cell))
        sources[name], finest[name] = made.source, made.finest
        values.append(made.stored)
    asked = {"bbox": (8.115, 46.92, 8.125, 46.9268), "reproject_method": "nearest"}  # a small part of them
    return Made(sources, values, finest, {"min_zoom": 11}, tuple({"variables": [name], **asked} for name in sources))


FAMILIES: dict[str, Callable[[Path], Made]] = {
    make.__name__: make
    for make in (
        rotated,
        upside_down,
        control_points,
        swath,
        uneven,
        longitudes_to_360,
        across_180,
        geostationary,
        polar,
        sinusoidal,
        rotated_pole,
        classes,
        missing,
        times,
        mosaic,
        resolutions,
    )
}


def main(folder: Path, names: list[str]) -> None:
    """Make pictures, one a family."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in names or FAMILIES:
            made = FAMILIES[name](Path(scratch))
            store = Path(scratch) / f"{name}.zarr"
            plan = pyramids.build(made.source, store, **made.options)
            print(f"{name}: levels {', '.join(plan.levels.assets)}; {len(plan.groomed)} things groomed", flush=True)
            draw(made, store).save(folder / f"{name}.png", optimize=True)


def draw(made: Made, store: Path) -> Image.Image:
    """Draw what is stored beside what is served, each as large as a panel, in as few colours as do."""
    stored = made.stored if isinstance(made.stored, list) else [made.stored]
    low, high = np.nanpercentile(np.concatenate([values.ravel() for values in stored]), (1, 99))
    left = [_panel(_coloured(values, low, high)) for values in stored]
    right = [_panel(_served(store, asked, low, high)) for asked in made.shown]
    panels = [_together(left), *right] if len(left) > 1 else [*left, *right]
    if len(right) > 1:
        panels = [panels[0], _together(right)]
    picture = Image.new("RGB", (2 * PANEL + 12, PANEL), "white")
    for number, panel in enumerate(panels):
        picture.paste(panel, (number * (PANEL + 12), 0))
    return picture.quantize(96)


def _coloured(values: Any, low: float, high: float) -> Image.Image:
    """Colour an array as the tile service does; what is no number is left open."""
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    table = np.array([cmap.get("terrain")[index] for index in range(256)], np.uint8)
    is_known = np.isfinite(values)
    index = np.clip((np.where(is_known, values, low) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    pixels = table[index]
    pixels[~is_known, 3] = 0
    return Image.fromarray(pixels)


def _served(store: Path, asked: dict[str, Any], low: float, high: float) -> Image.Image:
    """Ask the tile reader for a picture, coloured; cut to where there is data."""
    with PyramidReader(str(store)) as reader:
        names = asked.get("variables") or [variable.name for variable in reader.pyramid.data_variables]
        asked = {"max_size": 4 * PANEL, **asked, "variables": names}
        image = reader.part(**asked) if "bbox" in asked else reader.preview(**asked)
        colours = reader.colormap or (cmap.get("terrain") if len(names) == 1 else None)
        scale = {variable.name: variable.scale_factor for variable in reader.pyramid.data_variables}
    if not reader.colormap:
        image.rescale(in_range=tuple((low / scale[name], high / scale[name]) for name in names))
    drawn = Image.open(BytesIO(image.render(img_format="PNG", colormap=colours)))
    return drawn.crop(drawn.getchannel("A").getbbox())


def _panel(image: Image.Image) -> Image.Image:
    """Fit an image into a panel, on light grey where it is transparent."""
    panel = Image.new("RGB", (PANEL, PANEL), (236, 236, 236))
    drawn = image.convert("RGBA")
    scale = PANEL / max(drawn.size)
    drawn = drawn.resize(
        (max(1, round(drawn.width * scale)), max(1, round(drawn.height * scale))), Image.Resampling.BOX
    )
    panel.paste(drawn, ((PANEL - drawn.width) // 2, (PANEL - drawn.height) // 2), drawn)
    return panel


def _together(panels: list[Image.Image]) -> Image.Image:
    """Put several panels on one, in rows that are centred."""
    along = int(np.ceil(np.sqrt(len(panels))))
    side = PANEL // along
    top = (PANEL - -(-len(panels) // along) * side) // 2
    whole = Image.new("RGB", (PANEL, PANEL), "white")
    for number, panel in enumerate(panels):
        small = panel.resize((side - 4, side - 4), Image.Resampling.LANCZOS)
        whole.paste(small, (number % along * side + 2, top + number // along * side + 2))
    return whole


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/images/families"), sys.argv[2:])
