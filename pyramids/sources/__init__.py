"""Rasters that a pyramid can be built from: the Source protocol and one adapter a format family."""

from pyramids.sources.array import ArraySource
from pyramids.sources.raster import RasterSource
from pyramids.sources.source import Axis, Pixels, Slice, Source, SourceVariable
from pyramids.sources.zarr import ZarrSource, open_zarr

__all__ = [
    "ArraySource",
    "Axis",
    "Pixels",
    "RasterSource",
    "Slice",
    "Source",
    "SourceVariable",
    "ZarrSource",
    "open_zarr",
]
