"""Make the rasters that the benchmarks read.

Every pixel is a pure function of (seed, row, column), so that the same case gives the same pixels on any machine,
with any number of threads and any order of work. Memory is a few windows, whatever the raster's size.

The pixels behave like published rasters where it matters to codecs and resampling: terrain is a sum of noise octaves
with a power-law spectrum, its last digits are noise, water is flat, the edge of the data is askew to the grid, class
codes come in patches of all sizes, and bands of one scene are correlated.
"""

from __future__ import annotations

import base64
import math
import os
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import zarr
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.windows import Window as RasterioWindow

from geozarr import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

VERSION = 1  # raised when the pixels or their encoding change, so that cached inputs are made again
BLOCK = 512  # pixels along a side of a TIFF block and of a Zarr chunk
SHARD = 2048  # pixels along a side of a Zarr shard, and of the windows that are computed at once
BORDER = 0.04  # width of the empty border, as a share of the raster's side
TILT = math.radians(5)  # of the edge of the data against the grid: a scene along an orbit
LONGEST = 4096  # pixels: the longest wave of the terrain
ISLANDS = 24  # patches of data in a raster that is empty otherwise
ISLAND_SHARE = 0.02  # of the pixels that hold data there


@dataclass(frozen=True)
class Recipe:
    """What is painted, and where it lies.

    Parameters
    ----------
    kind : str
        "elevation", "rgb", "reflectance", "landcover" or "islands".
    shape : tuple of int
        Rows and columns.
    crs : str
        As `EPSG:code`.
    cell : float
        Side of a pixel in units of the CRS.
    origin : tuple of float
        x and y of the upper left corner.
    seed : int
        Another seed, another landscape.
    """

    kind: str
    shape: tuple[int, int]
    crs: str
    cell: float
    origin: tuple[float, float]
    seed: int = 1

    @property
    def transform(self) -> Affine:
        """Pixel corner (col, row) to CRS (x, y)."""
        return Affine(self.cell, 0, self.origin[0], 0, -self.cell, self.origin[1])

    @property
    def name(self) -> str:
        """A file name that tells one recipe from another."""
        rows, cols = self.shape
        place = self.crs.replace(":", "").lower()
        return f"{self.kind}-{rows}x{cols}-{place}-{self.cell:g}-s{self.seed}-v{VERSION}"


@dataclass(frozen=True)
class Kind:
    """What all rasters of a kind have in common."""

    dtype: str
    nodata: float
    bands: tuple[str, ...]
    predictor: int
    paint: Callable[[Recipe, Window], Floats]


# ---------------------------------------------------------------------------------------------------------------- noise
def uniform(seed: int, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> Floats:
    """Give each (row, column) an independent value in [0, 1): an integer hash with the constants of MurmurHash3.

    Rows and columns broadcast against each other.
    """
    with np.errstate(over="ignore"):
        mixed = rows.astype(np.uint32) * np.uint32(0x9E3779B1) + cols.astype(np.uint32) * np.uint32(0x85EBCA77)
        mixed ^= np.uint32(seed * 0x27D4EB2F & 0xFFFFFFFF)
        mixed ^= mixed >> np.uint32(16)
        mixed *= np.uint32(0x85EBCA6B)
        mixed ^= mixed >> np.uint32(13)
        mixed *= np.uint32(0xC2B2AE35)
        mixed ^= mixed >> np.uint32(16)
    mixed >>= np.uint32(8)  # float32 holds 24 bits
    return mixed.astype(np.float32) * np.float32(2.0**-24)


def waves(seed: int, window: Window, length: int) -> Floats:
    """Smooth noise in [0, 1) of one wavelength in pixels: a random lattice, interpolated with smoothstep."""
    rows, row_step = _lattice(window.row, window.height, length)
    cols, col_step = _lattice(window.col, window.width, length)
    lattice = uniform(seed, np.arange(rows[0], rows[-1] + 2)[:, None], np.arange(cols[0], cols[-1] + 2))
    top = lattice[rows - rows[0]]
    across = top + (lattice[rows - rows[0] + 1] - top) * row_step[:, None]
    left = across[:, cols - cols[0]]
    return left + (across[:, cols - cols[0] + 1] - left) * col_step


def _lattice(start: int, size: int, length: int) -> tuple[NDArray[np.int64], Floats]:
    """Lattice index and smoothed fraction of each pixel along one axis."""
    index, rest = np.divmod(np.arange(start, start + size), length)
    share = (rest.astype(np.float32) + np.float32(0.5)) / np.float32(length)
    return index, share * share * (np.float32(3) - np.float32(2) * share)


def fractal(seed: int, window: Window, *, longest: int, shortest: int, roughness: float = 0.5) -> Floats:
    """Sum octaves of noise, each half as long and `roughness` as high as the one before; in [0, 1)."""
    total = np.zeros(window.shape, np.float32)
    height, sum_of_heights, length = np.float32(1), np.float32(0), longest
    while length >= shortest:
        total += waves(seed * 31 + length, window, length) * height
        sum_of_heights += height
        height *= np.float32(roughness)
        length //= 2
    return total / sum_of_heights


def _grain(seed: int, window: Window) -> Floats:
    """Noise of a sensor: independent pixels, mean 0, standard deviation about 0.4."""
    rows = np.arange(window.row, window.row_stop)[:, None]
    cols = np.arange(window.col, window.col_stop)
    return uniform(seed, rows, cols) + uniform(seed + 1, rows, cols) - np.float32(1)


# ------------------------------------------------------------------------------------------------------------- painting
def _terrain(seed: int, window: Window, shortest: int = 4) -> Floats:
    """Metres above the sea: plains, ridges, and water that is flat at 0."""
    base = fractal(seed, window, longest=LONGEST, shortest=64)
    folds = np.abs(fractal(seed + 1, window, longest=1024, shortest=shortest, roughness=0.48) * 2 - 1)
    lift = np.clip((base - np.float32(0.4)) * np.float32(3), 0, 1)
    height = (base - np.float32(0.38)) * np.float32(800) + lift * lift * (1 - folds) * np.float32(2600)
    return np.maximum(height, 0)


def _elevation(recipe: Recipe, window: Window) -> Floats:
    height = _terrain(recipe.seed, window)
    height += np.where(height > 0, _grain(recipe.seed + 7, window) * np.float32(0.3), np.float32(0))
    return height[None]


def _shade(seed: int, window: Window) -> tuple[Floats, Floats]:
    """Light on the terrain, about 1 on flat ground, and the terrain itself."""
    around = Window(window.row, window.col, window.height + 1, window.width + 1)
    height = _terrain(seed, around)
    down, right = np.diff(height, axis=0)[:, :-1], np.diff(height, axis=1)[:-1]
    return np.clip(1 + (down + right) * np.float32(0.012), 0.3, 1.5), height[:-1, :-1]


def _greenness(seed: int, window: Window) -> Floats:
    """Share of vegetation: slow climate, and fields with straight edges."""
    climate = fractal(seed + 2, window, longest=1024, shortest=8, roughness=0.6)
    down, right = (np.rint(waves(seed + part, window, 300) * 140).astype(np.int64) for part in (3, 4))
    rows = (np.arange(window.row, window.row_stop)[:, None] + down) // 24
    cols = (np.arange(window.col, window.col_stop)[None, :] + right) // 38
    field = uniform(seed + 9, rows, cols)
    return np.float32(0.5) * climate + np.float32(0.5) * field


def _rgb(recipe: Recipe, window: Window) -> Floats:
    light, height = _shade(recipe.seed, window)
    green = _greenness(recipe.seed, window)
    grain = _grain(recipe.seed + 11, window) * np.float32(4)
    soil, plant, water = (160, 140, 110), (45, 85, 40), (20, 50, 85)
    bands = [
        np.where(height > 0, (s + (p - s) * green) * light, np.float32(w)) + grain
        for s, p, w in zip(soil, plant, water, strict=True)
    ]
    return np.stack(bands)


def _reflectance(recipe: Recipe, window: Window) -> Floats:
    light, height = _shade(recipe.seed, window)
    green = _greenness(recipe.seed, window)
    haze = np.clip(fractal(recipe.seed + 5, window, longest=2048, shortest=32) - np.float32(0.6), 0, 1) * 9000
    spectra = ((900, 350, 500), (1100, 650, 400), (1500, 400, 250), (2300, 3600, 150))  # soil, plant, water
    bands = [
        1000 + haze + np.where(height > 0, (s + (p - s) * green) * light, np.float32(w))
        + _grain(recipe.seed + 20 + 2 * number, window) * np.float32(25)
        for number, (s, p, w) in enumerate(spectra)
    ]  # fmt: skip
    return np.stack(bands)


CLASSES = {
    10: (0, 100, 0), 20: (255, 187, 34), 30: (255, 255, 76), 40: (240, 150, 255), 50: (250, 0, 0),
    60: (180, 180, 180), 70: (240, 240, 240), 80: (0, 100, 200), 90: (0, 150, 160),
}  # fmt: skip


def _landcover(recipe: Recipe, window: Window) -> Floats:
    height = _terrain(recipe.seed, window, shortest=16)
    green = _greenness(recipe.seed, window)
    fine = fractal(recipe.seed + 6, window, longest=16, shortest=2, roughness=0.7) - np.float32(0.5)
    town = fractal(recipe.seed + 8, window, longest=512, shortest=8, roughness=0.6)
    mixed = green + fine * np.float32(0.4)
    codes = np.select(
        [height <= 0, height < 8, height > 1500, town > 0.64, mixed > 0.62, mixed > 0.5, mixed > 0.36, mixed > 0.25],
        [80, 90, 70, 50, 10, 20, 40, 30],
        60,
    )
    return codes.astype(np.float32)[None]


def has_data(recipe: Recipe, window: Window) -> NDArray[np.bool_]:
    """Tell which pixels hold data."""
    rows = np.arange(window.row, window.row_stop, dtype=np.float64)[:, None] + 0.5
    cols = np.arange(window.col, window.col_stop, dtype=np.float64)[None, :] + 0.5
    height, width = recipe.shape
    if recipe.kind != "islands":
        down, right = rows / height - 0.5, cols / width - 0.5
        along = right * math.cos(TILT) - down * math.sin(TILT)
        across = right * math.sin(TILT) + down * math.cos(TILT)
        return (np.abs(along) < 0.5 - BORDER) & (np.abs(across) < 0.5 - BORDER)
    radius = math.sqrt(ISLAND_SHARE * height * width / ISLANDS / math.pi)
    inside = np.zeros(window.shape, np.bool_)
    for row, col in _island_centres(recipe, radius):
        near = abs(row - window.row - window.height / 2) < radius + window.height
        if near and abs(col - window.col - window.width / 2) < radius + window.width:
            inside |= (rows - row) ** 2 + (cols - col) ** 2 < radius**2
    return inside


def _island_centres(recipe: Recipe, radius: float) -> list[tuple[float, float]]:
    """One island somewhere in each cell of a grid, so that they don't overlap."""
    down, across = 4, ISLANDS // 4
    height, width = recipe.shape[0] / down, recipe.shape[1] / across
    place = uniform(recipe.seed + 40, np.arange(2 * ISLANDS), np.zeros(1, np.int64)).astype(np.float64)
    return [
        (
            height * (index // across) + radius + float(place[2 * index]) * max(0.0, height - 2 * radius),
            width * (index % across) + radius + float(place[2 * index + 1]) * max(0.0, width - 2 * radius),
        )
        for index in range(ISLANDS)
    ]


KINDS = {
    "elevation": Kind("float32", -9999.0, ("elevation",), 3, _elevation),
    "islands": Kind("float32", -9999.0, ("elevation",), 3, _elevation),
    "rgb": Kind("uint8", 0, ("red", "green", "blue"), 2, _rgb),
    "reflectance": Kind("uint16", 0, ("B02", "B03", "B04", "B08"), 2, _reflectance),
    "landcover": Kind("uint8", 0, ("class",), 1, _landcover),
}


def paint(recipe: Recipe, window: Window) -> NDArray[Any] | None:
    """Compute the pixels of a window.

    Returns
    -------
    ndarray, shape (band, row, col), or None
        In the kind's dtype, nodata where there is no data; None where nothing holds data.
    """
    valid = has_data(recipe, window)
    if not valid.any():
        return None
    kind = KINDS[recipe.kind]
    values = kind.paint(recipe, window)
    dtype = np.dtype(kind.dtype)
    if dtype.kind in "iu":  # nodata is 0 in all integer kinds, so data start at 1
        values = np.clip(np.rint(values), 1, np.iinfo(dtype).max)
    pixels = values.astype(dtype)
    pixels[:, ~valid] = kind.nodata
    return pixels


# -------------------------------------------------------------------------------------------------------------- writing
def _painted(recipe: Recipe, side: int) -> Iterator[tuple[Window, NDArray[Any]]]:
    """Paint windows on all cores, a few ahead, and give those with data in order."""
    height, width = recipe.shape
    windows = [
        Window(row, col, min(side, height - row), min(side, width - col))
        for row in range(0, height, side)
        for col in range(0, width, side)
    ]
    ahead = 2 * (os.cpu_count() or 1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(windows), ahead):
            batch = windows[start : start + ahead]
            for window, pixels in zip(batch, pool.map(lambda item: paint(recipe, item), batch), strict=True):
                if pixels is not None:
                    yield window, pixels


def make_geotiff(recipe: Recipe, folder: Path) -> Path:
    """Write a tiled, deflated GeoTIFF as published rasters are, unless it is there; blocks without data are absent."""
    path = folder / f"{recipe.name}.tif"
    if path.exists():
        return path
    kind = KINDS[recipe.kind]
    profile = {"driver": "GTiff", "height": recipe.shape[0], "width": recipe.shape[1], "count": len(kind.bands)}
    profile |= {"dtype": kind.dtype, "nodata": kind.nodata, "crs": recipe.crs, "transform": recipe.transform}
    profile |= {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "pixel"}
    profile |= {"compress": "deflate", "zlevel": 6, "predictor": kind.predictor}
    profile |= {"sparse_ok": True, "bigtiff": "if_safer", "num_threads": "all_cpus"}
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with rasterio.open(partial, "w", **profile) as out:
        _describe(out, recipe)
        for window, pixels in _painted(recipe, SHARD):
            out.write(pixels, window=RasterioWindow(window.col, window.row, window.width, window.height))
    partial.rename(path)
    return path


def _describe(out: Any, recipe: Recipe) -> None:
    for number, name in enumerate(KINDS[recipe.kind].bands, start=1):
        out.set_band_description(number, name)
    if recipe.kind == "rgb":
        out.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if recipe.kind == "landcover":
        out.write_colormap(1, {0: (0, 0, 0, 0)} | {code: (*colour, 255) for code, colour in CLASSES.items()})
    if recipe.kind == "reflectance":
        out.scales, out.offsets = (1e-4,) * out.count, (-0.1,) * out.count


def make_zarr(recipe: Recipe, folder: Path) -> Path:
    """Write a sharded Zarr v3 store with one variable a band, unless it is there; shards without data are absent."""
    path = folder / f"{recipe.name}.zarr"
    if (path / "zarr.json").exists():
        return path
    kind = KINDS[recipe.kind]
    group = zarr.open_group(path, mode="w", zarr_format=3)
    # CF coordinates and grid mapping: what every reader of Zarr rasters understands.
    for name, size, sign, start in (
        ("y", recipe.shape[0], -1, recipe.origin[1]),
        ("x", recipe.shape[1], 1, recipe.origin[0]),
    ):
        centres = start + sign * recipe.cell * (np.arange(size) + 0.5)
        attributes = {"standard_name": f"projection_{name}_coordinate", "units": "m", "axis": name.upper()}
        array = group.create_array(name, shape=(size,), dtype="float64", chunks=(size,), dimension_names=(name,))
        array[:] = centres
        array.attrs.update(attributes)
    mapping = group.create_array("spatial_ref", shape=(), dtype="int64", dimension_names=())
    wkt = rasterio.crs.CRS.from_user_input(recipe.crs).to_wkt()
    six = " ".join(repr(float(value)) for value in recipe.transform.to_gdal())
    mapping.attrs.update({"crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": six})
    # xarray writes and expects a float's `_FillValue` in Zarr attributes as its eight bytes in base64.
    packed = base64.standard_b64encode(struct.pack("<d", kind.nodata)).decode()
    declared = packed if np.dtype(kind.dtype).kind == "f" else kind.nodata
    blosc = zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")
    arrays = []
    for name in kind.bands:
        array = group.create_array(
            name, shape=recipe.shape, dtype=kind.dtype, chunks=(BLOCK, BLOCK), shards=(SHARD, SHARD),
            compressors=[blosc], fill_value=kind.nodata, dimension_names=("y", "x"),
        )  # fmt: skip
        array.attrs.update({"grid_mapping": "spatial_ref", "_FillValue": declared, "long_name": name})
        arrays.append(array)
    for window, pixels in _painted(recipe, SHARD):
        for array, band in zip(arrays, pixels, strict=True):
            array[window.slices] = band
    group.attrs["Conventions"] = "CF-1.10"
    with warnings.catch_warnings():
        # Peers look for consolidated metadata; that format 3 does not standardise it is no news here.
        warnings.filterwarnings("ignore", "Consolidated metadata")
        zarr.consolidate_metadata(path)
    return path
