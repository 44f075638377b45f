"""What is built: the cases, and the sizes at which they run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from benchmarks.inputs import Recipe


@dataclass(frozen=True)
class Case:
    """One input and what becomes of it.

    Parameters
    ----------
    name, pattern : str
        For the command line, and for people; `title` is the pattern with the size filled in.
    recipe : Recipe
        The input.
    form : str
        "geotiff" or "zarr".
    tms : str or None
        Tile matrix set of the output; None for the source's own grid.
    max_zoom : int or None
        Finest tile matrix. Its cells are a little smaller than the source's pixels everywhere, so that plain bilinear
        is what all warpers do: GDAL widens the kernel as soon as cells are larger.
    resampling : str
        From the source to the finest level.
    method : str
        From the finest level to the coarser ones: "average" or "mode".
    quick_side : int or None
        Rows of the input in a quick run; None where the case is not part of it.
    is_global : bool
        True where a smaller input has larger cells, not less ground.
    """

    name: str
    pattern: str
    recipe: Recipe
    form: str
    tms: str | None
    max_zoom: int | None
    resampling: str = "bilinear"
    method: str = "average"
    quick_side: int | None = None
    is_global: bool = False

    @property
    def title(self) -> str:
        """What is built from what."""
        rows, cols = self.recipe.shape
        return self.pattern.format(size=f"{rows} x {cols}")


UTM = "EPSG:32633"
MERCATOR = "WebMercatorQuad"

CASES = (
    Case(
        "elevation",
        "float32 elevation, UTM, {size} px GeoTIFF to WebMercatorQuad",
        Recipe("elevation", (16384, 16384), UTM, 30.0, (254_240.0, 5_500_000.0)),
        "geotiff", MERCATOR, 12, quick_side=2048,
    ),
    Case(
        "elevation-native",
        "float32 elevation, {size} px sharded Zarr, native grid",
        Recipe("elevation", (16384, 16384), UTM, 30.0, (254_240.0, 5_500_000.0)),
        "zarr", None, None, quick_side=4096,
    ),
    Case(
        "rgb",
        "uint8 RGB, UTM, {size} px GeoTIFF to WebMercatorQuad",
        Recipe("rgb", (8192, 8192), UTM, 10.0, (400_000.0, 6_800_000.0)),
        "geotiff", MERCATOR, 13,
    ),
    Case(
        "reflectance",
        "uint16 reflectance of 4 bands, UTM, {size} px GeoTIFF to WebMercatorQuad",
        Recipe("reflectance", (10980, 10980), UTM, 10.0, (400_000.0, 6_800_000.0)),
        "geotiff", MERCATOR, 13,
    ),
    Case(
        "landcover",
        "uint8 land cover, UTM, {size} px GeoTIFF to WebMercatorQuad, mode",
        Recipe("landcover", (16384, 16384), UTM, 10.0, (400_000.0, 6_800_000.0)),
        "geotiff", MERCATOR, 13, resampling="mode", method="mode", quick_side=2048,
    ),
    Case(
        "islands",
        "float32 elevation, 98 % empty, UTM, {size} px GeoTIFF to WebMercatorQuad",
        Recipe("islands", (65536, 65536), UTM, 10.0, (172_320.0, 7_300_000.0)),
        "geotiff", MERCATOR, 13, quick_side=8192,
    ),
    Case(
        "globe",
        "float32 elevation, EPSG:4326, {size} px GeoTIFF to the whole of WebMercatorQuad",
        Recipe("elevation", (8192, 16384), "EPSG:4326", 360 / 16384, (-180.0, 90.0)),
        "geotiff", MERCATOR, 6, is_global=True,
    ),
)  # fmt: skip


def shrink(case: Case, side: int) -> Case:
    """Give a case a smaller input of the same proportions: a corner of the ground, or all of it with larger cells."""
    rows, cols = case.recipe.shape
    smaller = replace(case.recipe, shape=(side, side * cols // rows))
    if not case.is_global:
        return replace(case, recipe=smaller)
    zooms = round(math.log2(rows / side))
    zoom = None if case.max_zoom is None else case.max_zoom - zooms
    return replace(case, max_zoom=zoom, recipe=replace(smaller, cell=case.recipe.cell * rows / side))
