"""Pyramid builders: rasters in, GeoZarr multiscale pyramids out.

Layers, each importing only those before it: placement, geolocation <- sources, chunking <- plan; control <- points <-
areas <- warp <- mosaic <- stack <- opening; warp, fold, plan, stack <- planner; shards, meter, scratch <- objects;
warp, fold, statistics, objects <- walk; reach, metadata, planner, walk, lease, journal, handover, writers <- workshop;
processes, workshop <- workers, coordinator; opening, coordinator <- build <- cli; opening <- survey.
"""

from geozarr.icechunk_store import IcechunkTarget
from pyramids.build import Report, build, execute
from pyramids.mosaic import Mosaic
from pyramids.opening import open_source
from pyramids.pack import Packed, pack
from pyramids.plan import Plan
from pyramids.planner import Options, make_plan
from pyramids.sources import (
    ArraySource,
    Axis,
    DatasetSource,
    Pixels,
    Quirk,
    RasterSource,
    Slice,
    Source,
    SourceVariable,
)
from pyramids.sources.damaged import Damage
from pyramids.stack import Stack
from pyramids.survey import Survey, survey

__all__ = [
    "ArraySource",
    "Axis",
    "Damage",
    "DatasetSource",
    "IcechunkTarget",
    "Mosaic",
    "Options",
    "Packed",
    "Pixels",
    "Plan",
    "Quirk",
    "RasterSource",
    "Report",
    "Slice",
    "Source",
    "SourceVariable",
    "Stack",
    "Survey",
    "build",
    "execute",
    "make_plan",
    "open_source",
    "pack",
    "survey",
]
