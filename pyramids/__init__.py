"""Pyramid builders: rasters in, GeoZarr multiscale pyramids out.

Layers, each importing only those before it: sources, chunking <- plan; control <- points <- areas <- warp; warp, fold,
plan <- planner; shards, meter, scratch <- objects; warp, fold, statistics, objects <- walk; reach, metadata, planner,
walk, lease, journal, handover, writers <- workshop; processes, workshop <- workers, coordinator <- build <- cli.
"""

from geozarr.icechunk_store import IcechunkTarget
from pyramids.build import Report, build, execute, open_source
from pyramids.pack import Packed, pack
from pyramids.plan import Plan
from pyramids.planner import Options, make_plan
from pyramids.sources import ArraySource, Axis, Pixels, RasterSource, Slice, Source, SourceVariable
from pyramids.sources.damaged import Damage

__all__ = [
    "ArraySource",
    "Axis",
    "Damage",
    "IcechunkTarget",
    "Options",
    "Packed",
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
    "pack",
]
