"""Variables of several grids in one pyramid: each begins at the level that fits its resolution.

Bands of 10, 20 and 60 m are warped to three different levels, and share all coarser ones. A part of a stack is a mosaic
(pyramids/mosaic.py), of one source in the simplest case. Once placed, windows of its pixels are counted on the grid of
the level at which their variables begin.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr.errors import MetadataError, ParameterError, SourceChangedError
from pyramids.mosaic import OVERLAPS, Mosaic, Placed, Several
from pyramids.sources.blocks import CellCache
from pyramids.sources.source import Pixels, Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from geozarr import Grid, Levels
    from geozarr.window import Window
    from pyramids.mosaic import PlacedMosaic
    from pyramids.plan import Plan
    from pyramids.sources.source import Axis, Source, SourceVariable


class Stack(Several):
    """Mosaics of different variables, whose place is not decided yet.

    Parameters
    ----------
    parts : sequence of Mosaic
        Each with variables of its own.
    names : sequence of (str or None), optional
        What the one variable of each part is to be called; None where its variables keep their names.

    Raises
    ------
    ParameterError
        If there is none, or a part that is given a name has several variables.
    MetadataError
        If a variable is in several parts.
    """

    def __init__(self, parts: Sequence[Mosaic], names: Sequence[str | None] | None = None) -> None:
        if not parts:
            raise ParameterError("sources", found="none", expected="at least one")
        self.parts = tuple(parts)
        self.sources = tuple(source for part in self.parts for source in part.sources)
        self.names = tuple(names or [None] * len(self.parts))
        self.variables = tuple(
            variable
            for part, name in zip(self.parts, self.names, strict=True)
            for variable in _named(part.sources[0].variables, name, part.name)
        )
        holders: dict[str, str] = {}
        for place, variable in zip(self.places, self.variables, strict=True):
            here = self.parts[place.variable].name
            if variable.name in holders:
                expected = f"each variable once, and it is in {holders[variable.name]}; or the same ones in all sources"
                raise MetadataError(here, "variables", found=variable.name, expected=expected)
            holders[variable.name] = here
        axes: dict[str, tuple[Axis, str]] = {}
        for variable in self.variables:
            for axis in variable.leading:
                known, holder = axes.setdefault(axis.name, (axis, variable.name))
                if axis != known:
                    found = f"{axis.size} positions" if axis.size != known.size else "others of the same number"
                    expected = f"those of {holder}: an axis of one name has one coordinate"
                    raise MetadataError(variable.name, axis.name, found=found, expected=expected)

    @property
    def places(self) -> tuple[Slice, ...]:
        """Part of each variable, and its number there."""
        return tuple(
            Slice(number, index)
            for number, part in enumerate(self.parts)
            for index in range(len(part.sources[0].variables))
        )

    def on(self, levels: Levels, methods: Sequence[Sequence[str]], firsts: Sequence[int]) -> PlacedStack:
        """Place it.

        Parameters
        ----------
        levels : Levels
            Of the pyramid.
        methods : sequence of sequence of str
            How each variable of each source is resampled: one sequence a source.
        firsts : sequence of int
            Level at which each part begins.
        """
        grids = tuple(levels.levels[first].grid for first in firsts)
        return PlacedStack(self, levels.finest.grid, grids, tuple(map(tuple, methods)))

    def as_planned(self, plan: Plan) -> PlacedStack:
        """Place it as a plan says, whose variables are in the order of the parts.

        Raises
        ------
        SourceChangedError
            If the plan is of other variables, or of another number of sources.
        """
        planned = [variable.name for variable in plan.data_variables]
        if planned != [variable.name for variable in self.variables] or len(plan.source.methods) != len(self.sources):
            before = f"{len(plan.source.methods)} sources with {', '.join(planned)}"
            now = f"{len(self.sources)} with {', '.join(variable.name for variable in self.variables)}"
            raise SourceChangedError(self.name, before=before, now=now)
        begins: dict[int, int] = {}
        for place, variable in zip(self.places, plan.data_variables, strict=True):
            begins.setdefault(place.variable, variable.first)
        return self.on(plan.levels, plan.source.methods, list(begins.values()))


class PlacedStack(Placed):
    """A stack on the grids of levels.

    Parameters
    ----------
    stack : Stack
        What is put together.
    grid : Grid
        The finest level.
    grids : tuple of Grid
        Level at which each part begins.
    methods : tuple of tuple of str
        How each variable of each source is resampled.
    """

    def __init__(self, stack: Stack, grid: Grid, grids: tuple[Grid, ...], methods: tuple[tuple[str, ...], ...]) -> None:
        super().__init__(stack, grid)
        self._stack, self._grids, self._methods = stack, grids, methods
        rest = iter(methods)
        self._parts: tuple[PlacedMosaic, ...] = tuple(
            part.on(level, [next(rest) for _ in part.sources]) for part, level in zip(stack.parts, grids, strict=True)
        )
        self._places = stack.places

    def keep(self, capacity: int) -> None:
        """Keep decoded cells of all sources from now on, so many bytes of them."""
        cache = CellCache(capacity)
        for part in self._parts:
            part.keep(cache)

    def __reduce__(self) -> tuple[Any, ...]:
        return PlacedStack, (self._stack, self._grid, self._grids, self._methods)

    @cached_property
    def variables(self) -> tuple[SourceVariable, ...]:
        """Those of all parts, by the names that they were given."""
        return tuple(
            variable
            for part, name in zip(self._parts, self._stack.names, strict=True)
            for variable in _named(part.variables, name, part.name)
        )

    @property
    def fingerprint(self) -> str:
        """A hash of those of all parts as they are now, of their names and of where they begin."""
        parts = [
            (name, level.shape, part.fingerprint)
            for name, level, part in zip(self._stack.names, self._grids, self._parts, strict=True)
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @property
    def resident_bytes(self) -> int:
        """What sources keep themselves."""
        return sum(part.resident_bytes for part in self._parts)

    def coverage(self) -> NDArray[np.bool_] | None:
        """Tell which blocks any part can reach; None where they are counted on several grids."""
        if any(grid != self._grid for grid in self._grids):
            return None
        covered: NDArray[np.bool_] = np.any([part.coverage() for part in self._parts], axis=0)
        return covered

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:  # noqa: ARG002
        """Read slices of variables that begin at one level, of whose grid the window is; see `Source.read`.

        The window may reach beyond that grid, where nothing holds data.
        """
        placed = [(self._places[variable], number) for variable, number in slices]
        found: list[Pixels] = [
            self._parts[part].read(window, [Slice(place.number, number) for place, number in chosen])
            for part, chosen in groupby(placed, key=lambda item: item[0].variable)
        ]
        if len(found) == 1:
            return found[0]
        return Pixels(np.concatenate([one.values for one in found]), np.concatenate([one.valid for one in found]))


def as_stack(several: Mosaic | Stack) -> Stack:
    """Return a stack; of a mosaic one of that part alone."""
    return several if isinstance(several, Stack) else Stack([several])


def of_sources(sources: Sequence[Source], overlap: str) -> Mosaic | Stack:
    """Put sources together: a mosaic where they have the same variables, a stack where each has its own.

    Parameters
    ----------
    sources : sequence of Source
        At least one.
    overlap : str
        Of a mosaic: what counts where several hold data.

    Raises
    ------
    MetadataError
        If they share some variables and not others.
    ParameterError
        If there is no such rule, or one for a stack.
    """
    names = [frozenset(variable.name for variable in source.variables) for source in sources]
    if len(set(names)) <= 1 or any(one & two for one in set(names) for two in set(names) - {one}):
        return Mosaic(sources, overlap)  # which refuses those that differ
    by_names: dict[frozenset[str], list[Source]] = {}
    for source, its_names in zip(sources, names, strict=True):
        by_names.setdefault(its_names, []).append(source)
    _require_use(overlap, by_names.values())
    return Stack([Mosaic(alike, overlap) for alike in by_names.values()])


def of_named(sources: Mapping[str, Sequence[Source]], overlap: str) -> Stack:
    """Put sources of one variable each together, by the names that these are to have; raises as `Stack` does."""
    _require_use(overlap, sources.values())
    return Stack([Mosaic(alike, overlap) for alike in sources.values()], tuple(sources))


def _require_use(overlap: str, parts: Iterable[Sequence[Source]]) -> None:
    """Refuse a rule for overlaps where no variable has several sources."""
    if overlap != OVERLAPS[0] and all(len(part) == 1 for part in parts):
        raise ParameterError("overlap", found=overlap, expected="nothing where each variable has one source")


def _named(variables: tuple[SourceVariable, ...], name: str | None, node: str) -> tuple[SourceVariable, ...]:
    """Give a part's only variable another name, and its long name where that only repeats the former one."""
    if name is None:
        return variables
    if len(variables) != 1:
        names = [variable.name for variable in variables]
        expected = "one variable, which gets the name"
        raise ParameterError(f"source {name}", found=f"variables {names} in {node}", expected=expected)
    variable = variables[0]
    attributes = dict(variable.attributes)
    if attributes.get("long_name") == variable.name:
        attributes["long_name"] = name
    return (replace(variable, name=name, attributes=attributes),)
