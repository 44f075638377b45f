"""Rasters that a pyramid can be built from: the Source protocol and one adapter a format family."""

from pyramids.sources.array import ArraySource, Reading
from pyramids.sources.dataset import DatasetSource
from pyramids.sources.quirk import Quirk
from pyramids.sources.raster import RasterSource
from pyramids.sources.source import Axis, Pixels, Slice, Source, SourceVariable
from pyramids.sources.zarr import ZarrSource, open_zarr

__all__ = [
    "ArraySource",
    "Axis",
    "DatasetSource",
    "Pixels",
    "Quirk",
    "RasterSource",
    "Reading",
    "Slice",
    "Source",
    "SourceVariable",
    "ZarrSource",
    "open_zarr",
]
