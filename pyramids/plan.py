"""Plan: everything a build will do, as one frozen value.

It prints itself, goes to JSON and back, and its `identity` is a hash of all that determines the stored bytes. The
planner makes it; walking, storing and publishing carry it out.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from geozarr import cf
from geozarr import crs as crs_module
from geozarr import levels as levels_module
from geozarr.documents import ArrayLayout
from geozarr.errors import UnsupportedError
from geozarr.grid import Grid
from geozarr.window import Window
from pyramids import chunking, placement
from pyramids.control import Mapping
from pyramids.placement import Placement
from pyramids.shards import Codec
from pyramids.sources.damaged import ERROR, NODATA
from pyramids.sources.quirk import Quirk
from pyramids.sources.source import Axis, Slice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from geozarr.levels import Levels
    from pyramids.placement import AnyGrid
    from pyramids.sources.source import Source

FORMAT = 2  # raised when the same plan would give other bytes
# No matter for the bytes:
HOW = ("block", "together", "cut", "in_rows", "cache", "workers", "processes", "memory", "peak", "notes", "groomed")
ALPHA = "alpha"  # name of the variable that tells which pixels hold data; those of other sources have theirs behind it


@dataclass(frozen=True)
class PlannedSource:
    """The source as planned for."""

    name: str
    fingerprint: str
    grid: AnyGrid
    methods: tuple[tuple[str, ...], ...] = ()  # of several sources: how each variable of each is warped


@dataclass(frozen=True, eq=False)
class PlannedVariable:
    """One variable of the pyramid.

    Parameters
    ----------
    name : str
        Name of its arrays.
    dtype : numpy.dtype
        Stored type.
    nodata : float or None
        Value of missing pixels; None where `alpha` tells, or nothing is ever missing.
    fill_value : float
        Zarr fill value: `nodata`, else a placeholder.
    alpha : str or None
        Variable that tells what is missing, `alpha` for most.
    leading : tuple of Axis
        Axes before rows and columns.
    attributes : dict
        Attributes taken over from the source.
    warp_method : str or None
        How the finest level is made from the source; None where it is the source.
    fold_method : str
        How coarser levels are made of the finest.
    codec : Codec or None
        How chunks are compressed; None: as the dtype suggests.
    first : int
        Finest level in which it is stored: coarser than 0 where its source is coarser than others of the pyramid.
    """

    name: str
    dtype: np.dtype[Any]
    nodata: float | None
    fill_value: float
    alpha: str | None = None
    leading: tuple[Axis, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    warp_method: str | None = None
    fold_method: str = "average"
    codec: Codec | None = None
    first: int = 0

    @property
    def uses_alpha(self) -> bool:
        """True where another variable tells what is missing."""
        return self.alpha is not None

    @property
    def slice_count(self) -> int:
        """Number of 2-D slices."""
        return math.prod(axis.size for axis in self.leading)

    def slice_index(self, number: int) -> tuple[int, ...]:
        """Place of a slice along the leading axes."""
        sizes = tuple(axis.size for axis in self.leading)
        return tuple(int(index) for index in np.unravel_index(number, sizes)) if sizes else ()


@dataclass(frozen=True, eq=False)
class Plan:
    """What will be built.

    Parameters
    ----------
    source : PlannedSource
        What is read.
    levels : Levels
        Grids of all levels, finest first.
    variables : tuple of PlannedVariable
        In the source's order, with those last that tell what is missing of others, where there are any.
    chunk : int
        Side of a chunk in pixels.
    shard : int or None
        Side of a shard in pixels.
    footprint : Window
        Pixels of the finest level that the source can reach.
    block : int
        Side of a block in pixels.
    together : int
        Slices walked together, at most.
    cut : int
        Level of the subtrees that workers take.
    in_rows : bool
        True where subtrees are walked row by row, for sources in strips.
    cache : int
        Bytes of decoded source cells that are kept.
    workers : int
        Threads of each process.
    memory, peak : int
        Bytes allowed each process, and bytes predicted.
    notes : tuple of str
        What a user should know about the choices made.
    processes : int
        Processes that do units of work.
    damaged : str
        What is done about a block of the source that cannot be read: "error", or "nodata".
    groomed : tuple of Quirk
        What was put right in the source.
    zarr_format : int
        Version of Zarr that is written, 2 or 3.
    """

    source: PlannedSource
    levels: Levels
    variables: tuple[PlannedVariable, ...]
    chunk: int
    shard: int | None
    footprint: Window
    block: int
    together: int
    cut: int
    in_rows: bool
    cache: int
    workers: int
    memory: int
    peak: int
    notes: tuple[str, ...] = ()
    processes: int = 1
    damaged: str = ERROR
    groomed: tuple[Quirk, ...] = ()
    zarr_format: int = 3

    def __eq__(self, other: object) -> bool:
        return self.to_document() == other.to_document() if isinstance(other, Plan) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.identity)

    def placed_by(self, source: Source) -> Plan:
        """Return the plan with the grid of its source, whose positions may be too many for a document."""
        return replace(self, source=replace(self.source, grid=source.grid))

    @cached_property
    def alphas(self) -> frozenset[str]:
        """Names of variables that tell what is missing of others."""
        return alphas_of(self.variables)

    @property
    def data_variables(self) -> tuple[PlannedVariable, ...]:
        """Variables but for those that tell what is missing of others."""
        return tuple(variable for variable in self.variables if variable.name not in self.alphas)

    @property
    def has_alpha(self) -> bool:
        """True where a variable is stored that tells what is missing of others."""
        return bool(self.alphas)

    @property
    def is_native(self) -> bool:
        """True where the finest level is the source itself."""
        return self.variables[0].warp_method is None

    @cached_property
    def groups(self) -> tuple[tuple[Slice, ...], ...]:
        """Slices that are walked together, in the order of the walk: alike in dtype and methods, `together` at most."""
        groups: list[tuple[Slice, ...]] = []
        for index, variable in enumerate(self.data_variables):
            for number in range(variable.slice_count):
                last = groups[-1] if groups else ()
                fits = 0 < len(last) < self.together and _go_together(self.variables[last[0].variable], variable)
                if fits:
                    groups[-1] = (*last, Slice(index, number))
                else:
                    groups.append((Slice(index, number),))
        return tuple(groups)

    def stored(self, level: int) -> tuple[PlannedVariable, ...]:
        """Variables that a level has."""
        return tuple(variable for variable in self.variables if variable.first <= level)

    def layout(self, level: int, variable: PlannedVariable) -> ArrayLayout:
        """How a variable is stored at a level."""
        shape = self.levels.levels[level].grid.shape
        sizes = tuple(axis.size for axis in variable.leading)
        ones = (1,) * len(sizes)
        side = chunking.level_shard(self.shard, chunk=self.chunk, shape=shape)
        return ArrayLayout(
            shape=(*sizes, *shape),
            dtype=variable.dtype,
            dimensions=(*(axis.name for axis in variable.leading), *self.levels.dimensions),
            chunk=(*ones, self.chunk, self.chunk),
            shard=None if side is None else (*ones, side, side),
            fill_value=variable.fill_value,
            zarr_format=self.zarr_format,
        )

    def blocks(self, level: int) -> Window:
        """Blocks of a level that the source can reach, as a window of block indexes."""
        at_level = coarsened(self.footprint, 2**level)
        inside = at_level.intersect(self.levels.levels[level].grid.window)
        around = inside.align(height=self.block, width=self.block)
        side = self.block
        return Window(around.row // side, around.col // side, around.height // side, around.width // side)

    def block_window(self, level: int, row: int, col: int) -> Window:
        """Pixels of a block, cut to its level."""
        whole = Window(row * self.block, col * self.block, self.block, self.block)
        return whole.intersect(self.levels.levels[level].grid.window)

    @cached_property
    def mapping(self) -> Mapping:
        """From the pixels of the finest level to those of the source; shared by all threads, being dear to make."""
        return Mapping(self.levels.finest.grid, self.source.grid)

    @property
    def slice_count(self) -> int:
        """2-D slices of all data variables."""
        return sum(variable.slice_count for variable in self.data_variables)

    @property
    def work(self) -> int:
        """Pixels of the finest level that are visited, over all slices; a coarser first level counts as much."""
        return self.visited.size * self.slice_count

    @cached_property
    def visited(self) -> Window:
        """Pixels of the finest level that are visited: whole blocks around the footprint, cut to the level."""
        around = self.footprint.align(height=self.block, width=self.block)
        return around.intersect(self.levels.finest.grid.window)

    @cached_property
    def predicted(self) -> dict[str, int]:
        """Most objects and bytes that can be stored: if every chunk that the source reaches held noise."""
        objects = 0
        size = 0
        for number, level in enumerate(self.levels.levels):
            reach = coarsened(self.footprint, 2**number).intersect(level.grid.window)
            for variable in self.stored(number):
                layout = self.layout(number, variable)
                side = layout.object_shape[-1]
                touched = reach.align(height=side, width=side)
                slices = variable.slice_count
                objects += touched.size // side**2 * slices
                chunks = reach.align(height=self.chunk, width=self.chunk)
                size += chunks.size * variable.dtype.itemsize * slices
                size += chunks.size // self.chunk**2 * chunking.CHUNK_OVERHEAD * slices
                if layout.shard is not None:
                    size += touched.size // self.chunk**2 * chunking.INDEX_ENTRY * slices
        return {"objects": objects, "bytes": size}

    @cached_property
    def identity(self) -> str:
        """Hash of all that determines the stored bytes: source, parameters, format; not of threads and memory."""
        document = self.to_document()
        for name in HOW:
            del document[name]
        text = json.dumps(document, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_document(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return {
            "format": FORMAT,
            "source": {
                "name": self.source.name,
                "fingerprint": self.source.fingerprint,
                "grid": _grid_to_document(self.source.grid),
                "methods": [list(of_source) for of_source in self.source.methods],
            },
            "levels": self.levels.to_attributes(),
            "variables": [_variable_to_document(variable) for variable in self.variables],
            "chunk": self.chunk,
            "shard": self.shard,
            "footprint": asdict(self.footprint),
            "block": self.block,
            "together": self.together,
            "cut": self.cut,
            "in_rows": self.in_rows,
            "cache": self.cache,
            "workers": self.workers,
            "processes": self.processes,
            "memory": self.memory,
            "peak": self.peak,
            "notes": list(self.notes),
            "damaged": self.damaged,
            "groomed": [quirk.to_document() for quirk in self.groomed],
            "zarr_format": self.zarr_format,
        }

    def __str__(self) -> str:
        return "\n".join(_describe(self))


def from_document(document: dict[str, Any]) -> Plan:
    """Read a plan back from JSON.

    Raises
    ------
    UnsupportedError
        If another version of the format wrote it.
    """
    if document.get("format") != FORMAT:
        raise UnsupportedError(f"plan of format {document.get('format')}", f"format {FORMAT} is")
    source = document["source"]
    simple = ("chunk", "shard", "block", "together", "cut", "in_rows", "cache", "workers", "memory", "peak")
    return Plan(
        source=PlannedSource(
            source["name"],
            source["fingerprint"],
            _grid_from_document(source["grid"]),
            tuple(tuple(of_source) for of_source in source.get("methods", ())),
        ),
        levels=levels_module.from_attributes(document["levels"]),
        variables=tuple(_variable_from_document(item) for item in document["variables"]),
        footprint=Window(**document["footprint"]),
        notes=tuple(document["notes"]),
        processes=document.get("processes", 1),
        damaged=document.get("damaged", ERROR),
        groomed=tuple(Quirk(**item) for item in document.get("groomed", ())),
        zarr_format=document.get("zarr_format", 3),
        **{name: document[name] for name in simple},
    )


def alphas_of(variables: Iterable[PlannedVariable]) -> frozenset[str]:
    """Names of variables that tell what is missing of some variables."""
    return frozenset(variable.alpha for variable in variables if variable.alpha is not None)


def _go_together(first: PlannedVariable, second: PlannedVariable) -> bool:
    """Tell whether slices of two variables can be walked in one pass."""
    alike = ("dtype", "warp_method", "fold_method", "alpha", "first")
    return all(getattr(first, name) == getattr(second, name) for name in alike)


def coarsened(window: Window, factor: int) -> Window:
    """Cells of a coarser level that hold any pixel of a window."""
    return Window.from_bounds(
        row_start=window.row // factor,
        row_stop=-(-window.row_stop // factor),
        col_start=window.col // factor,
        col_stop=-(-window.col_stop // factor),
    )


def _grid_to_document(grid: AnyGrid) -> dict[str, Any]:
    if isinstance(grid, Placement):
        return grid.to_document()
    return {"shape": list(grid.shape), "transform": list(tuple(grid.transform)[:6]), "wkt2": grid.crs.wkt2}


def _grid_from_document(document: dict[str, Any]) -> AnyGrid:
    crs = crs_module.from_wkt2(document["wkt2"])
    if "kind" in document:
        return placement.from_document(document, crs)
    rows, cols = document["shape"]
    return Grid((rows, cols), Affine(*document["transform"]), crs)


def _variable_to_document(variable: PlannedVariable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "dtype": variable.dtype.name,
        "nodata": None if variable.nodata is None else cf.encode_fill_value(variable.nodata, variable.dtype),
        "fill_value": cf.encode_fill_value(variable.fill_value, variable.dtype),
        "uses_alpha": variable.uses_alpha,
        **({"alpha": variable.alpha} if variable.alpha not in (None, ALPHA) else {}),
        "leading": [
            {"name": axis.name, "coordinates": list(axis.coordinates), "attributes": axis.attributes}
            for axis in variable.leading
        ],
        "attributes": variable.attributes,
        "warp_method": variable.warp_method,
        "fold_method": variable.fold_method,
        "codec": None if variable.codec is None else asdict(variable.codec),
        **({"first": variable.first} if variable.first else {}),
    }


def _variable_from_document(document: dict[str, Any]) -> PlannedVariable:
    dtype = np.dtype(document["dtype"])
    nodata = document["nodata"]
    if nodata is not None:
        nodata = cf.decode_fill_value(nodata, dtype, node=document["name"]).item()
    fill = cf.decode_fill_value(document["fill_value"], dtype, node=document["name"]).item()
    axes = tuple(Axis(item["name"], tuple(item["coordinates"]), item["attributes"]) for item in document["leading"])
    return PlannedVariable(
        document["name"],
        dtype,
        nodata,
        fill,
        document.get("alpha", ALPHA) if document["uses_alpha"] else None,
        axes,
        document["attributes"],
        document["warp_method"],
        document["fold_method"],
        None if document["codec"] is None else Codec(**document["codec"]),
        document.get("first", 0),
    )


def _describe(plan: Plan) -> list[str]:
    grid = plan.source.grid
    lines = [
        f"source     {plan.source.name}",
        f"           {grid.height} x {grid.width} px, {grid.crs}, cells {_pair(grid.cell_size)} {grid.crs.unit}",
        f"target     {plan.levels.tms.id if plan.levels.tms else 'native grid'}, {plan.levels.crs}",
        "level      rows x columns        cell size        chunks  tiles (rows, columns)",
    ]
    for level in plan.levels.levels:
        shape = level.grid.shape
        chunks = f"{-(-shape[0] // plan.chunk)} x {-(-shape[1] // plan.chunk)}"
        tiles = ""
        if level.limits is not None:
            limit = level.limits
            tiles = f"{limit.minTileRow}-{limit.maxTileRow}, {limit.minTileCol}-{limit.maxTileCol}"
        size = f"{level.grid.cell_size[0]:.6g} {level.grid.crs.unit}"
        lines.append(f"  {level.asset:<8} {shape[0]:>8} x {shape[1]:<8} {size:>16}  {chunks:>12}  {tiles}".rstrip())
    own = "put together" if plan.source.methods else "as it is"
    for variable in plan.variables:
        leading = "".join(f"{axis.name} {axis.size}, " for axis in variable.leading)
        missing = variable.alpha or variable.nodata
        first = "finest level" if variable.first == 0 else f"from level {plan.levels.levels[variable.first].asset}"
        lines.append(
            f"variable   {variable.name}: {variable.dtype.name}, {leading}missing: "
            f"{'none' if missing is None else missing}, {first} {variable.warp_method or own}, "
            f"coarser ones {variable.fold_method}"
        )
    side = f"chunks of {plan.chunk} x {plan.chunk} px" + (f" in shards of {plan.shard} px" if plan.shard else "")
    most = plan.predicted
    if plan.damaged == NODATA:
        lines.append("damaged    blocks of the source that cannot be read are taken for missing")
    lines += [
        f"storage    Zarr v{plan.zarr_format}, {side}, blosc zstd",
        f"at most    {most['objects']:,} objects, {most['bytes'] / 1e6:,.1f} MB before compression",
        f"work       {plan.work / 1e6:,.1f} Mpx, {_hands(plan)}, blocks of {plan.block} px, subtrees of "
        f"{plan.block << plan.cut} px{' in rows' if plan.in_rows else ''}",
        f"memory     {plan.peak / 2**20:,.0f} MiB predicted, {plan.cache / 2**20:,.0f} MiB of it source pixels; "
        f"{plan.memory / 2**20:,.0f} MiB allowed{' each process' if plan.processes > 1 else ''}",
    ]
    lines += [f"groomed    {quirk}" for quirk in plan.groomed]
    return lines + [f"note       {note}" for note in plan.notes]


def _hands(plan: Plan) -> str:
    threads = f"{plan.workers} thread{'s' if plan.workers > 1 else ''}"
    return threads if plan.processes == 1 else f"{plan.processes} processes of {threads}"


def _pair(size: tuple[float, float]) -> str:
    return f"{size[0]:.6g} x {size[1]:.6g}"
