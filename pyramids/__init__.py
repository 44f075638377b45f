"""Pyramid builders: rasters in, GeoZarr multiscale pyramids out.

Layers, each importing only those before it: sources, chunking <- plan <- planner; control, warp, fold, shards,
statistics <- walk; metadata <- build <- cli.
"""

from pyramids.build import Report, build, execute, open_source
from pyramids.plan import Plan
from pyramids.planner import Options, make_plan
from pyramids.sources import ArraySource, Axis, Pixels, RasterSource, Slice, Source, SourceVariable

__all__ = [
    "ArraySource",
    "Axis",
    "Options",
    "Pixels",
    "Plan",
    "RasterSource",
    "Report",
    "Slice",
    "Source",
    "SourceVariable",
    "build",
    "execute",
    "make_plan",
    "open_source",
]
