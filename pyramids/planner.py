"""Decide how a source becomes a pyramid, before the first pixel is read.

Target grid and levels, variables with dtype, nodata and chunks, resampling, shards, and how much is walked at once
within the memory given. The answer is a `Plan`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geozarr import cf
from geozarr import levels as levels_module
from geozarr import tms as tms_module
from geozarr.conventions import multiscales
from geozarr.errors import MetadataError, ParameterError, UnsupportedError
from pyramids import chunking, fold, footprint, warp
from pyramids.plan import ALPHA, Plan, PlannedSource, PlannedVariable, coarsened

if TYPE_CHECKING:
    from geozarr.grid import Bounds
    from geozarr.levels import Levels
    from geozarr.tms import TileMatrixSet
    from geozarr.window import Window
    from pyramids.sources.source import Source, SourceVariable

NATIVE = "native"
RESAMPLING = ("auto", *warp.METHODS)
AVERAGE_FROM = math.sqrt(2)  # source pixels along a target pixel from which "auto" averages instead of interpolating
DEFAULT_MEMORY = 2**30  # bytes
COARSEST_TILES = 2  # the default coarsest level is the last in which the data still needs at most 2 x 2 tiles


@dataclass(frozen=True)
class Options:
    """What a user may choose; every field has a default.

    Parameters
    ----------
    tms : str
        Name of a registered TileMatrixSet, path of a TMS 2.0 JSON document, or "native" for the source's own grid.
    min_zoom, max_zoom : str or int, optional
        Tile matrix ids of the coarsest and the finest level. By default the finest is the matrix whose cells are
        nearest to the source's, and the coarsest the last in which the data still needs at most 2 x 2 tiles.
    levels : int, optional
        Number of levels of a native pyramid; by default until one chunk holds everything.
    resampling : str
        How the source is warped: "nearest", "bilinear", "cubic", "average", or "auto": nearest for classes, bilinear
        near the source's resolution, average where the source is finer. Coarser levels are means of the finest, or with
        nearest its centre samples.
    nodata : float, optional
        The value that means "no data", in the source and in the pyramid.
    chunk : int, optional
        Pixels along a side of a chunk of a native pyramid. In a TileMatrixSet a chunk is a tile.
    shard : int or str
        Pixels along a side of a shard, "none", or "auto".
    workers : int
        Threads.
    memory : int
        Bytes that the process may use.
    """

    tms: str = "WebMercatorQuad"
    min_zoom: str | int | None = None
    max_zoom: str | int | None = None
    levels: int | None = None
    resampling: str = "auto"
    nodata: float | None = None
    chunk: int | None = None
    shard: int | str = "auto"
    workers: int = 2
    memory: int = DEFAULT_MEMORY


def make_plan(source: Source, options: Options | None = None) -> Plan:
    """Decide how a source becomes a pyramid. No pixel is read.

    Parameters
    ----------
    source : Source
        What is built from.
    options : Options, optional
        What the user chose.

    Raises
    ------
    ParameterError
        If an option is out of range, contradicts another, or the zoom range runs backwards.
    UnknownNameError
        If the TileMatrixSet or one of its matrices is not known.
    UnsupportedError
        If matrices do not nest by 2, or the source is on another body than the set.
    GridMismatchError
        If the source lies outside the set.
    MetadataError
        If a nodata does not fit its dtype.
    LimitError
        If the build cannot fit the memory given, or has too many levels.
    """
    options = options or Options()
    if options.resampling not in RESAMPLING:
        raise ParameterError("resampling", found=options.resampling, expected=f"one of {', '.join(RESAMPLING)}")
    if options.workers < 1:
        raise ParameterError("workers", found=options.workers, expected="at least 1")
    categorical = any(variable.is_categorical for variable in source.variables)
    fold_method = (
        "nearest" if options.resampling == "nearest" or (options.resampling == "auto" and categorical) else "average"
    )
    notes: list[str] = []
    if options.tms == NATIVE:
        levels, chunk, reach, warp_method = _native(source, options, fold_method)
    else:
        levels, chunk, reach, warp_method = _aligned(source, options, fold_method, notes)
    fold.check_depth(len(levels.levels))
    variables = _variables(source, warped=warp_method is not None, notes=notes)
    if categorical and options.resampling == "auto":
        notes.append("nearest: the source holds class codes or palette indexes, which have no mean")
    reached = (coarsened(reach, 1 << step).align(height=chunk, width=chunk) for step in range(len(levels.levels)))
    chunk_count = sum(window.size for window in reached) // chunk**2 * sum(v.slice_count for v in variables)
    shards = chunking.shard_sides(options.shard, chunk=chunk, chunk_count=chunk_count)
    work = chunking.Workload(
        reach=reach.shape,
        levels=len(levels.levels),
        itemsize=max(variable.dtype.itemsize for variable in variables),
        slices=sum(variable.slice_count for variable in variables),
        workers=options.workers,
    )
    choice = chunking.choose(work, chunk=chunk, shards=shards, memory=options.memory)
    return Plan(
        source=PlannedSource(source.name, source.fingerprint, source.grid),
        levels=levels,
        variables=variables,
        warp_method=warp_method,
        fold_method=fold_method,
        chunk=chunk,
        shard=choice.shard,
        footprint=reach,
        block=choice.block,
        together=choice.together,
        workers=options.workers,
        memory=options.memory,
        peak=choice.peak,
        notes=tuple(notes),
    )


def _native(source: Source, options: Options, method: str) -> tuple[Levels, int, Window, None]:
    for name in ("min_zoom", "max_zoom"):
        if getattr(options, name) is not None:
            raise ParameterError(name, found=getattr(options, name), expected="nothing with a native grid; see levels")
    if options.resampling not in ("auto", "average", "nearest"):
        raise ParameterError(
            "resampling", found=options.resampling, expected="average or nearest: a native pyramid is not warped"
        )
    grid = source.grid
    if not grid.is_north_up:
        raise UnsupportedError(
            f"{source.name}: a native pyramid of a grid that is not north-up", "choose a TileMatrixSet, which warps it"
        )
    chunk = chunking.NATIVE_CHUNK if options.chunk is None else options.chunk
    if chunk < 16 or chunk % 16:
        raise ParameterError("chunk", found=chunk, expected="a multiple of 16 pixels")
    longest = max(grid.shape)
    count = 1 + max(0, math.ceil(math.log2(longest / chunk))) if options.levels is None else options.levels
    most = 1 + math.ceil(math.log2(longest))
    if not 1 <= count <= most:
        raise ParameterError("levels", found=count, expected=f"from 1 to {most}, which is one pixel")
    return levels_module.from_halving(grid, count=count, resampling_method=method), chunk, grid.window, None


def _aligned(source: Source, options: Options, method: str, notes: list[str]) -> tuple[Levels, int, Window, str]:
    for name in ("levels", "chunk"):
        if getattr(options, name) is not None:
            raise ParameterError(name, found=getattr(options, name), expected="nothing with a TileMatrixSet")
    tms = tms_module.load(options.tms)
    area = _area(tms)
    box = footprint.extent(source.grid, tms.crs, area)
    size = footprint.resolution(source.grid, tms.crs, area)
    finest = _matrix_id(tms, options.max_zoom) or tms_module.zoom_for_cell_size(tms, size)
    coarsest = _matrix_id(tms, options.min_zoom) or _default_coarsest(tms, finest, box)
    if tms.index_of(coarsest) > tms.index_of(finest):
        raise ParameterError(
            "zoom range", found=f"{coarsest} to {finest}", expected="the coarsest tile matrix first, the finest last"
        )
    count = tms.index_of(finest) - tms.index_of(coarsest) + 1
    matrix = tms.matrix(finest)
    if matrix.tileWidth != matrix.tileHeight:
        raise UnsupportedError(f"tile matrix {finest} of {tms.id}", "tiles that are not square have no square chunks")
    limits = tms.limits_of(coarsest, box)
    levels = levels_module.from_tms(tms, limits, count=count, resampling_method=method)
    reach = levels.finest.grid.window_of(box).intersect(levels.finest.grid.window)
    warp_method = options.resampling
    ratio = matrix.cellSize / size
    if warp_method == "auto":
        smooth = "bilinear" if ratio <= AVERAGE_FROM else "average"
        warp_method = "nearest" if method == "nearest" else smooth
        notes.append(f"{warp_method}: a pixel of the finest level covers {ratio:.3g} source pixels along a side")
    if footprint.is_clipped(source.grid, tms.crs, area):
        notes.append(f"the source reaches beyond {tms.id} and is clipped to it")
    return levels, matrix.tileWidth, reach, warp_method


def _area(tms: TileMatrixSet) -> Bounds:
    """Box of the matrix that covers most; in a well-made set they all cover the same."""
    boxes = [tms.matrix_grid(matrix_id).bounds for matrix_id in tms.ids]
    return max(boxes, key=lambda box: (box.xmax - box.xmin) * (box.ymax - box.ymin))


def _matrix_id(tms: TileMatrixSet, zoom: str | int | None) -> str | None:
    if zoom is None:
        return None
    return tms.matrix(str(zoom)).id


def _default_coarsest(tms: TileMatrixSet, finest: str, box: Bounds) -> str:
    """Go coarser from the finest matrix until the data needs at most 2 x 2 tiles, as far as matrices nest."""
    index = tms.index_of(finest)
    while index > 0:
        limits = tms.limits_of(tms.ids[index], box)
        if limits.width <= COARSEST_TILES and limits.height <= COARSEST_TILES:
            break
        if tms.why_not_nested(finer=tms.ids[index], coarser=tms.ids[index - 1]):
            break
        index -= 1
    return tms.ids[index]


def _variables(source: Source, *, warped: bool, notes: list[str]) -> tuple[PlannedVariable, ...]:
    """Decide where missing pixels are told: by NaN, by a nodata value, or by `alpha`."""
    planned = [_planned(variable, source, warped=warped) for variable in source.variables]
    _check_names(planned, source.name)
    if any(variable.uses_alpha for variable in planned):
        reason = (
            "the source's alpha or mask band" if source.has_alpha else "integers without a nodata value, reprojected"
        )
        notes.append(f"alpha: a variable tells which pixels hold data ({reason}); --nodata V would spare it")
        planned.append(
            PlannedVariable(
                ALPHA,
                np.dtype("uint8"),
                nodata=None,
                fill_value=0,
                attributes={"long_name": "opacity: 255 holds data, 0 does not", "color_interpretation": "alpha"},
            )
        )
    return tuple(planned)


def _check_names(variables: list[PlannedVariable], node: str) -> None:
    """Refuse names of variables and leading axes that Zarr does not allow, or that stand for another array already."""
    names = [variable.name for variable in variables]
    axes = {axis.name for variable in variables for axis in variable.leading}
    for name in (*names, *sorted(axes)):
        if not multiscales.is_path(name) or "/" in name:
            raise MetadataError(node, "variables", found=name, expected="a name that Zarr allows")
    taken = ["x", "y", cf.GRID_MAPPING, ALPHA]
    for name in (*names, *sorted(axes)):
        if name in taken:
            expected = "a name that the pyramid does not use itself, each name once"
            raise MetadataError(node, "variables", found=name, expected=expected)
        taken.append(name)


def _planned(variable: SourceVariable, source: Source, *, warped: bool) -> PlannedVariable:
    planned = PlannedVariable(
        variable.name,
        variable.dtype,
        nodata=variable.nodata,
        fill_value=0,
        leading=variable.leading,
        attributes=dict(variable.attributes),
    )
    if variable.dtype.kind == "f":
        nodata = math.nan if variable.nodata is None else variable.nodata
        return replace(planned, nodata=nodata, fill_value=nodata)
    if variable.nodata is not None:
        return replace(planned, fill_value=variable.nodata)
    # A value for absent chunks is needed all the same. Never 0, which is common in the data: readers that do not know
    # `alpha` take it for missing.
    info = np.iinfo(variable.dtype)
    placeholder = info.max if variable.dtype.kind == "u" else info.min
    return replace(planned, fill_value=placeholder, uses_alpha=warped or source.has_alpha)
