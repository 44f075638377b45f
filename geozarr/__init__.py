"""The metadata model of GeoZarr pyramids: values and documents. It reads no pixel; xarray does, of what it opens.

Layers, each importing only those before it: errors, window, crs <- grid <- tms, cf, conventions <- levels, documents,
flags <- zarr_v2 <- files <- stores <- store <- manifest, zarr_view <- datasets <- pyramid. Beside them, needing errors
at most: codecs, which undo what stored chunks went through, heap, the allocator of the C library, and hurry, which
keeps work on an event loop from waiting. zarr_view and datasets import zarr-python and xarray: they are imported to
open a level.
"""

from geozarr import cf, conventions, crs, documents, levels, store, tms
from geozarr.crs import CRS
from geozarr.errors import (
    BuildConflictError,
    BuildIncompleteError,
    ChunkReadError,
    CommitConflictError,
    GeoZarrError,
    GridMismatchError,
    GroomingError,
    LimitError,
    MetadataError,
    ParameterError,
    PlanChangedError,
    SeveralGridsError,
    SourceChangedError,
    StoreError,
    TargetExistsError,
    TileOutsideLimitsError,
    UnknownNameError,
    UnsupportedError,
)
from geozarr.grid import Bounds, Grid
from geozarr.levels import Level, Levels
from geozarr.pyramid import Pyramid, PyramidLevel, open_pyramid
from geozarr.tms import TileLimits, TileMatrix, TileMatrixSet
from geozarr.window import Window

__all__ = [
    "CRS",
    "Bounds",
    "BuildConflictError",
    "BuildIncompleteError",
    "ChunkReadError",
    "CommitConflictError",
    "GeoZarrError",
    "Grid",
    "GridMismatchError",
    "GroomingError",
    "Level",
    "Levels",
    "LimitError",
    "MetadataError",
    "ParameterError",
    "PlanChangedError",
    "Pyramid",
    "PyramidLevel",
    "SeveralGridsError",
    "SourceChangedError",
    "StoreError",
    "TargetExistsError",
    "TileLimits",
    "TileMatrix",
    "TileMatrixSet",
    "TileOutsideLimitsError",
    "UnknownNameError",
    "UnsupportedError",
    "Window",
    "cf",
    "conventions",
    "crs",
    "documents",
    "levels",
    "open_pyramid",
    "store",
    "tms",
]
