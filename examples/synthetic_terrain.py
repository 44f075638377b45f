"""Make a mountain landscape out of noise, as a natural-colour GeoTIFF and its pyramid: the picture in the README.

python examples/synthetic_terrain.py terrain
geozarr-serve terrain/terrain.zarr
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

import pyramids

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 2048  # pixels
CELL = 30.0  # metres
SEA = 0.45  # share of the area that lies under water
# Colour of the land from the shore to the summits, red, green, blue.
LAND = np.array([(214, 205, 160), (120, 150, 80), (70, 110, 60), (120, 100, 80), (150, 145, 140), (250, 250, 252)])


def heights(seed: int = 11) -> NDArray[np.float64]:
    """Fractal heights from -1 to 1: noise whose amplitude falls with the wave number to the power of 2.1."""
    noise = np.fft.rfft2(np.random.default_rng(seed).normal(size=(SIZE, SIZE)))
    ky, kx = np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)
    waves = np.hypot(kx, ky)
    waves[0, 0] = np.inf
    surface = np.fft.irfft2(noise * waves**-2.1, s=(SIZE, SIZE))
    surface -= np.quantile(surface, SEA)
    return surface / np.abs(surface).max()


def coloured(surface: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour by height and shade from the north-west, shape (3, row, col)."""
    dy, dx = np.gradient(surface * SIZE / 6)
    light = np.clip((1 + dx + dy) / np.sqrt(2 + 2 * (dx**2 + dy**2)) * 1.25, 0.35, 1.25)
    step = np.clip(surface, 0, 1) ** 0.7 * (len(LAND) - 1)
    land = np.stack([np.interp(step, range(len(LAND)), LAND[:, band]) for band in range(3)]) * light
    depth = np.clip(-surface * 2, 0, 1)
    water = np.stack([40 - 25 * depth, 110 - 60 * depth, 150 - 50 * depth])
    return np.clip(np.where(surface > 0, land, water), 1, 255).astype("uint8")


def main(folder: Path) -> None:
    """Write the raster and build the pyramid; the corners of the raster are cut off as a satellite scene's are."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = coloured(heights())
    rows, cols = np.mgrid[0:SIZE, 0:SIZE]
    outside = (cols + 0.2 * rows < 0.2 * SIZE) | (cols + 0.2 * rows > 1.05 * SIZE)
    picture[:, outside] = 0
    profile = {"driver": "GTiff", "height": SIZE, "width": SIZE, "count": 3, "dtype": "uint8", "nodata": 0}
    transform = from_origin(430_000, 5_180_000, CELL, CELL)
    with rasterio.open(folder / "terrain.tif", "w", crs="EPSG:32632", transform=transform, **profile) as out:
        out.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        out.write(picture)
    print(pyramids.build(folder / "terrain.tif", folder / "terrain.zarr", overwrite=True))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "terrain"))
