"""Decide how a source becomes a pyramid, before the first pixel is read.

Target grid and levels, variables with dtype, nodata and chunks, resampling, shards, and how much is walked at once
within the memory given. The answer is a `Plan`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr import cf
from geozarr import levels as levels_module
from geozarr import tms as tms_module
from geozarr.conventions import multiscales
from geozarr.documents import ZARR_FORMATS
from geozarr.errors import GroomingError, MetadataError, ParameterError, UnsupportedError
from geozarr.grid import Bounds, Grid
from pyramids import chunking, fold, footprint, placement, shards, warp
from pyramids.mosaic import Mosaic
from pyramids.plan import ALPHA, Plan, PlannedSource, PlannedVariable, alphas_of, coarsened
from pyramids.sources import blocks, damaged, turned
from pyramids.stack import Stack, as_stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geozarr.levels import Levels
    from geozarr.tms import TileMatrixSet
    from geozarr.window import Window
    from pyramids.placement import AnyGrid
    from pyramids.sources.source import Source, SourceVariable

NATIVE = "native"
RESAMPLING = ("auto", *warp.METHODS)
AREA_FROM = math.sqrt(2)  # source pixels along a target pixel from which "auto" takes all of them
_MEANS = ("average", "bilinear", "cubic", "lanczos", "median", "sum")  # make values that were not there
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
        One of `RESAMPLING`. `bilinear`, `cubic` and `lanczos` warp the source to the finest level, of which coarser
        levels are means; all others are used for both. "auto" goes by the variable (CF 3.5): the mode for classes
        (`flag_values`, a colour table), the union of bits for flags (`flag_masks`), else the average. It warps by
        interpolation (by the nearest pixel for classes and flags) near the source's resolution, and by that same
        method where the source is finer.
    force : bool
        Allow a mean of classes or flags.
    nodata : float or "none", optional
        The value that means "no data", in the source and in the pyramid; "none": there is none.
    chunk : int, optional
        Pixels along a side of a chunk of a native pyramid. In a TileMatrixSet a chunk is a tile.
    shard : int or str
        Pixels along a side of a shard, "none", or "auto".
    workers : int, optional
        Threads of each process; by default 2, or 1 where there are several processes.
    processes : int
        Processes that share the work; they need a source and a target that each of them can open.
    memory : int
        Bytes that the build may use, all processes together.
    damaged : str
        What is done about a block of the source that cannot be read: "error" ends the build, "nodata" takes the block
        for missing and lists it in the report.
    strict : bool
        Refuse a source that has to be groomed.
    zarr_format : int
        Version of Zarr that is written: 3, or 2 for clients that read nothing newer, which has no shards.
    """

    tms: str = "WebMercatorQuad"
    min_zoom: str | int | None = None
    max_zoom: str | int | None = None
    levels: int | None = None
    resampling: str = "auto"
    force: bool = False
    nodata: float | str | None = None
    chunk: int | None = None
    shard: int | str = "auto"
    workers: int | None = None
    processes: int = 1
    memory: int = DEFAULT_MEMORY
    damaged: str = damaged.ERROR
    strict: bool = False
    zarr_format: int = 3


def make_plan(source: Source | Mosaic | Stack, options: Options | None = None) -> Plan:
    """Decide how a source becomes a pyramid. No pixel is read.

    Parameters
    ----------
    source : Source, Mosaic or Stack
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
    GroomingError
        If the source has to be groomed, and `options.strict`.
    LimitError
        If the build cannot fit the memory given, or has too many levels.
    """
    options = options or Options()
    if options.resampling not in RESAMPLING:
        raise ParameterError("resampling", found=options.resampling, expected=f"one of {', '.join(RESAMPLING)}")
    workers = (2 if options.processes == 1 else 1) if options.workers is None else options.workers
    for name, count in (("workers", workers), ("processes", options.processes)):
        if count < 1:
            raise ParameterError(name, found=count, expected="at least 1")
    memory = options.memory // options.processes
    if options.damaged not in damaged.CHOICES:
        raise ParameterError("damaged", found=options.damaged, expected=f"one of {', '.join(damaged.CHOICES)}")
    if options.strict and source.quirks:
        raise GroomingError(source.name, tuple(map(str, source.quirks)))
    shard = _shard_option(options)
    notes: list[str] = []
    ratio: float | None = None
    placed: tuple[tuple[str, ...], ...] = ()
    origins: tuple[_Origin, ...] = ()
    if isinstance(source, Mosaic | Stack):
        stack = as_stack(source)
        aligned, placed, begins = _stacked(stack, options, notes)
        levels, chunk, reach = aligned.levels, aligned.chunk, aligned.reach
        source = stack.on(levels, placed, begins)
        origins = _origins(stack, begins)
    elif options.tms == NATIVE:
        source = turned.north_up(source)
        levels, chunk, reach = _native(source, options)
    else:
        aligned = _align([source.grid], options, notes)
        levels, chunk, reach = aligned.levels, aligned.chunk, aligned.reach
        ratio = 1 / aligned.sizes[0]
    fold.check_depth(len(levels.levels))
    methods = [_methods(variable, options, ratio, source.name) for variable in source.variables]
    origins = origins or (_Origin(),) * len(source.variables)
    variables = _variables(source, methods, origins, dimensions=levels.dimensions, notes=notes)
    levels = replace(levels, resampling_method=_common_method(variables))
    reached = (coarsened(reach, 1 << step).align(height=chunk, width=chunk) for step in range(len(levels.levels)))
    chunk_count = sum(window.size for window in reached) // chunk**2 * sum(v.slice_count for v in variables)
    shards = chunking.shard_sides(shard, chunk=chunk, chunk_count=chunk_count)
    itemsize = max(variable.dtype.itemsize for variable in variables)
    work = chunking.Workload(
        reach=reach.shape,
        levels=len(levels.levels),
        itemsize=itemsize,
        slices=sum(variable.slice_count for variable in variables),
        workers=workers,
        fold_bytes=_fold_bytes(variables, len(levels.levels)),
        source=source.grid.shape,
        cell=blocks.cell_shape(source),
        ratio=min(2.0, ratio or 1.0),
        resident=source.resident_bytes + placement.resident_bytes(source.grid),
        processes=options.processes,
        first=max(variable.first for variable in variables),
    )
    choice = chunking.choose(work, chunk=chunk, shards=shards, memory=memory)
    plan = Plan(
        source=PlannedSource(source.name, source.fingerprint, source.grid, placed),
        levels=levels,
        variables=variables,
        chunk=chunk,
        shard=choice.shard,
        footprint=reach,
        block=choice.block,
        together=choice.together,
        cut=choice.cut,
        in_rows=work.in_rows,
        cache=choice.cache,
        workers=workers,
        memory=memory,
        peak=choice.peak,
        notes=tuple(notes),
        processes=options.processes,
        damaged=options.damaged,
        groomed=source.quirks,
        zarr_format=options.zarr_format,
    )
    _check_damage(plan)
    return plan


def _shard_option(options: Options) -> int | str:
    """Return what is asked of shards, which Zarr v2 does not have.

    Raises
    ------
    ParameterError
        If the version of Zarr is unknown, or is to have shards and has none.
    """
    if options.zarr_format not in ZARR_FORMATS:
        raise ParameterError("zarr_format", found=options.zarr_format, expected="2 or 3")
    if options.zarr_format == 3:
        return options.shard
    if options.shard not in ("auto", "none"):
        raise ParameterError("shard", found=options.shard, expected="auto or none: Zarr v2 has no shards")
    return "none"


def _check_damage(plan: Plan) -> None:
    """Refuse to take damaged blocks for missing where the pyramid cannot say that they are.

    Raises
    ------
    ParameterError
        If it cannot.
    """
    if plan.damaged == damaged.ERROR:
        return
    expected = "a value that means no data (nodata)"
    for variable in plan.data_variables:
        if variable.nodata is None and not variable.uses_alpha:
            raise ParameterError("damaged", found=f"nodata for {variable.name}, which has none", expected=expected)
    # One mask serves several of them, and only who reads them all at once can tell what is missing in any.
    for alpha in sorted(plan.alphas):
        masked = [group for group in plan.groups if plan.variables[group[0].variable].alpha == alpha]
        if len(masked) > 1:
            found = f"nodata for {sum(map(len, masked))} slices under one {alpha}, not read together"
            raise ParameterError("damaged", found=found, expected=f"{expected}, or more memory")


@dataclass(frozen=True)
class _Methods:
    """How a variable is resampled, and why; `warp` is None where the finest level is the source."""

    warp: str | None
    fold: str
    reason: str | None


def _methods(variable: SourceVariable, options: Options, ratio: float | None, node: str) -> _Methods:
    """Decide how a variable is resampled.

    Parameters
    ----------
    variable : SourceVariable
        As the source describes it.
    options : Options
        What the user chose.
    ratio : float or None
        Source pixels along a pixel of the finest level; None where that is the source itself.
    node : str
        For messages.
    """
    chosen = options.resampling
    if chosen != "auto":
        _check_sense(chosen, variable, node, force=options.force)
        folded = chosen if chosen in fold.METHODS else "average"
        return _Methods(None if ratio is None else chosen, folded, None)
    if variable.is_categorical:
        folded, near, why = "mode", "nearest", "class codes or palette indexes, which have no mean"
    elif variable.is_flags:
        folded, near, why = "bit-or", "nearest", "each bit is a flag of its own"
    else:
        folded, near, why = "average", "bilinear", "a quantity"
    if ratio is None:
        return _Methods(None, folded, f"coarsened by {folded}: {why}")
    warped = near if ratio <= AREA_FROM else folded
    reason = (
        f"warped by {warped} and coarsened by {folded}: {why}; a pixel of the finest level covers {ratio:.3g} source "
        "pixels along a side"
    )
    return _Methods(warped, folded, reason)


def _check_sense(method: str, variable: SourceVariable, node: str, *, force: bool) -> None:
    """Refuse a method that makes no sense for a variable.

    Raises
    ------
    ParameterError
        For the union of bits of floats; for what stored values would give another answer to than unpacked ones; for
        means of classes or flags, unless forced.
    """
    warp.check_method(method, variable.dtype)
    _check_packing(method, variable, node)
    if (variable.is_categorical or variable.is_flags) and method in _MEANS and not force:
        kind = "classes" if variable.is_categorical else "flags"
        raise ParameterError(
            "resampling",
            found=f"{method} of {kind} ({node} {variable.name})",
            expected=f"{'mode' if variable.is_categorical else 'bit-or'}, nearest or auto; or force",
        )


def _check_packing(method: str, variable: SourceVariable, node: str) -> None:
    """Refuse methods that do not commute with packing, since levels are made of stored values (CF 8.1)."""
    scale, offset = (variable.attributes.get(key) for key in ("scale_factor", "add_offset"))
    problem = ""
    if method in ("min", "max") and isinstance(scale, int | float) and scale < 0:
        problem = "which are in the opposite order when packed with a scale_factor below 0"
    elif method == "sum" and offset:
        problem = "which carry add_offset once each"
    if problem:
        raise ParameterError(
            "resampling",
            found=f"{method} of packed values ({node} {variable.name}), {problem}",
            expected="unpacked values, or another method",
        )


def _common_method(variables: tuple[PlannedVariable, ...]) -> str | None:
    """Name the method by which all variables but `alpha` are coarsened; None where they differ."""
    alphas = alphas_of(variables)
    methods = {variable.fold_method for variable in variables if variable.name not in alphas}
    return methods.pop() if len(methods) == 1 else None


def _fold_bytes(variables: tuple[PlannedVariable, ...], levels: int) -> tuple[int, ...]:
    """Bytes of a cell of an accumulator at each level, the most that any variable needs."""
    return tuple(
        max(
            fold.cell_bytes(
                variable.fold_method,
                variable.dtype,
                classes=chunking.CLASSES if variable.fold_method == "mode" else None,
                level=max(1, level),
            )
            for variable in variables
        )
        for level in range(levels + 1)
    )


def _native(source: Source, options: Options) -> tuple[Levels, int, Window]:
    for name in ("min_zoom", "max_zoom"):
        if getattr(options, name) is not None:
            raise ParameterError(name, found=getattr(options, name), expected="nothing with a native grid; see levels")
    if options.resampling not in ("auto", *fold.METHODS):
        expected = f"auto or one of {', '.join(fold.METHODS)}: a native pyramid is not warped"
        raise ParameterError("resampling", found=options.resampling, expected=expected)
    grid = source.grid
    if not isinstance(grid, Grid) or not grid.is_north_up:
        raise UnsupportedError(
            f"{source.name}: a native pyramid of pixels that no upright grid places",
            "choose a TileMatrixSet, which warps it",
        )
    chunk = chunking.NATIVE_CHUNK if options.chunk is None else options.chunk
    if chunk < 16 or chunk % 16:
        raise ParameterError("chunk", found=chunk, expected="a multiple of 16 pixels")
    longest = max(grid.shape)
    count = 1 + max(0, math.ceil(math.log2(longest / chunk))) if options.levels is None else options.levels
    most = 1 + math.ceil(math.log2(longest))
    if not 1 <= count <= most:
        raise ParameterError("levels", found=count, expected=f"from 1 to {most}, which is one pixel")
    levels = levels_module.from_halving(grid, count=count, dimensions=source.dimensions)
    return levels, chunk, grid.window


@dataclass(frozen=True)
class _Aligned:
    """Where sources lie in a TileMatrixSet.

    `sizes` are those of a pixel of each source, in cells of the finest level; `reach` is what they reach of it.
    """

    levels: Levels
    chunk: int
    reach: Window
    sizes: tuple[float, ...]


def _stacked(
    stack: Stack, options: Options, notes: list[str]
) -> tuple[_Aligned, tuple[tuple[str, ...], ...], tuple[int, ...]]:
    """Decide where several sources lie, how each variable of each is warped, and at which level each part begins."""
    if options.tms == NATIVE:
        raise UnsupportedError(f"{stack.name}: a native pyramid of several sources", "choose a TileMatrixSet")
    aligned = _align([source.grid for source in stack.sources], options, notes)
    rest = iter(aligned.sizes)
    sizes = [[next(rest) for _ in part.sources] for part in stack.parts]
    begins = _first_levels([min(of_part) for of_part in sizes], count=len(aligned.levels.levels))
    methods = tuple(
        tuple(_methods(variable, options, (1 << begin) / size, source.name).warp or "" for variable in source.variables)
        for part, begin, of_part in zip(stack.parts, begins, sizes, strict=True)
        for source, size in zip(part.sources, of_part, strict=True)
    )
    used = ", ".join(dict.fromkeys(method for of_source in methods for method in of_source))
    said = f"{len(stack.sources)} sources, warped by {used}"
    for overlap in dict.fromkeys(part.overlap for part in stack.parts if len(part.sources) > 1):
        counts = " of them counts" if overlap in ("first", "last") else " of them"
        said += f"; where several hold data, the {overlap}{counts}"
    notes.append(said)
    return aligned, methods, begins


def _first_levels(sizes: Sequence[float], *, count: int) -> tuple[int, ...]:
    """Level at which each of some parts begins: the nearest to its resolution, the finest of them at the finest level.

    Parameters
    ----------
    sizes : sequence of float
        Side of a pixel of each part, in cells of the finest level.
    count : int
        Number of levels.
    """
    nearest = [round(math.log2(size)) for size in sizes]
    finest = max(0, min(nearest))
    return tuple(min(max(0, one - finest), count - 1) for one in nearest)


def _align(grids: Sequence[AnyGrid], options: Options, notes: list[str]) -> _Aligned:
    for name in ("levels", "chunk"):
        if getattr(options, name) is not None:
            raise ParameterError(name, found=getattr(options, name), expected="nothing with a TileMatrixSet")
    tms = tms_module.load(options.tms)
    area = _area(tms)
    box = _around([footprint.extent(grid, tms.crs, area) for grid in grids])
    sizes = [footprint.resolution(grid, tms.crs, area) for grid in grids]
    finest = _matrix_id(tms, options.max_zoom) or tms_module.zoom_for_cell_size(tms, min(sizes))
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
    levels = levels_module.from_tms(tms, limits, count=count)
    reach = levels.finest.grid.window_of(box).intersect(levels.finest.grid.window)
    if any(footprint.is_clipped(grid, tms.crs, area) for grid in grids):
        notes.append(f"the source reaches beyond {tms.id} and is clipped to it")
    cell = levels.finest.grid.cell_size[0]
    return _Aligned(levels, matrix.tileWidth, reach, tuple(size / cell for size in sizes))


def _around(boxes: Sequence[Bounds]) -> Bounds:
    """Box around some boxes."""
    return Bounds(
        min(box.xmin for box in boxes),
        min(box.ymin for box in boxes),
        max(box.xmax for box in boxes),
        max(box.ymax for box in boxes),
    )


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


@dataclass(frozen=True)
class _Origin:
    """Where a variable comes from: level at which it begins, and what tells where its source has no data.

    Integers without a nodata value share an `alpha` where they have one `mask`.
    """

    first: int = 0
    mask: object = None


def _origins(stack: Stack, begins: Sequence[int]) -> tuple[_Origin, ...]:
    """Tell where the variables of a stack come from.

    Parts with pixels at the same places that are all data are missing together; others may not be.
    """
    found: list[_Origin] = []
    for number, (part, begin) in enumerate(zip(stack.parts, begins, strict=True)):
        grids = tuple(source.grid for source in part.sources)
        has_alpha = any(source.has_alpha for source in part.sources)
        is_alike = not has_alpha and all(isinstance(grid, Grid) for grid in grids)
        found += [_Origin(begin, grids if is_alike else number)] * len(part.sources[0].variables)
    return tuple(found)


def _variables(
    source: Source,
    methods: list[_Methods],
    origins: Sequence[_Origin],
    *,
    dimensions: tuple[str, str],
    notes: list[str],
) -> tuple[PlannedVariable, ...]:
    """Decide where variables begin, and where missing pixels are told: by NaN, by a nodata value, or by `alpha`."""
    planned = [
        _planned(variable, source, chosen, origin.first)
        for variable, chosen, origin in zip(source.variables, methods, origins, strict=True)
    ]
    reasons: dict[str, list[str]] = {}
    for variable, chosen in zip(source.variables, methods, strict=True):
        if chosen.reason:
            reasons.setdefault(chosen.reason, []).append(variable.name)
    notes += [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    masked: dict[object, list[int]] = {}
    for index, origin in enumerate(origins):
        if planned[index].uses_alpha:
            masked.setdefault(origin.mask, []).append(index)
    alphas: list[PlannedVariable] = []
    for indexes in masked.values():
        first = planned[indexes[0]]
        name = f"{ALPHA}_{first.name}" if alphas else ALPHA
        for index in indexes:
            planned[index] = replace(planned[index], alpha=name)
        reason = "the source's alpha or mask band" if source.has_alpha else "integers without a nodata value"
        notes.append(f"{name}: a variable tells which pixels hold data ({reason}); --nodata V would spare it")
        alphas.append(
            PlannedVariable(
                name,
                np.dtype("uint8"),
                nodata=None,
                fill_value=0,
                attributes={"long_name": "opacity: 255 holds data, 0 does not", "color_interpretation": "alpha"},
                warp_method=first.warp_method and _alpha_method(first.warp_method, "bilinear"),
                fold_method=_alpha_method(first.fold_method, "average"),
                first=first.first,
            )
        )
    of_pyramid = (*dimensions, cf.GRID_MAPPING, ALPHA, *(variable.name for variable in alphas))
    _check_names(planned, of_pyramid, source.name)
    return (*planned, *alphas)


def _named(variable: SourceVariable) -> dict[str, Any]:
    """Attributes of a variable, and its own name for people where its source gives none (CF 3)."""
    is_named = any(key in variable.attributes for key in ("long_name", "standard_name"))
    return {**({} if is_named else {"long_name": variable.name}), **variable.attributes}


def _alpha_method(method: str, otherwise: str) -> str:
    """How opacity is resampled beside data: likewise where that keeps to its range, so that both are valid together."""
    area = "average" if method in warp.AREA_METHODS else otherwise
    return method if method in ("nearest", "bilinear", "average") else area


def _check_names(variables: Sequence[PlannedVariable], of_pyramid: Sequence[str], node: str) -> None:
    """Refuse names of variables and leading axes that Zarr does not allow, or that stand for another array already."""
    names = [variable.name for variable in variables]
    axes = {axis.name for variable in variables for axis in variable.leading}
    for name in (*names, *sorted(axes)):
        if not multiscales.is_path(name) or "/" in name:
            raise MetadataError(node, "variables", found=name, expected="a name that Zarr allows")
    taken = [*of_pyramid]
    for name in (*names, *sorted(axes)):
        if name in taken:
            expected = "a name that the pyramid does not use itself, each name once"
            raise MetadataError(node, "variables", found=name, expected=expected)
        taken.append(name)


def _planned(variable: SourceVariable, source: Source, methods: _Methods, first: int) -> PlannedVariable:
    planned = PlannedVariable(
        variable.name,
        variable.dtype,
        nodata=variable.nodata,
        fill_value=0,
        leading=variable.leading,
        attributes=_named(variable),
        warp_method=methods.warp,
        fold_method=methods.fold,
        codec=shards.codec_for(variable.dtype, is_classes=variable.is_categorical or variable.is_flags),
        first=first,
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
    has_alpha = methods.warp is not None or source.has_alpha or variable.is_masked
    return replace(planned, fill_value=placeholder, alpha=ALPHA if has_alpha else None)
