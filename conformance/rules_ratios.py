"""Rules on a level and the level it derives from: scale, corner, size (SPEC section 5; multiscales v0.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from conformance import layouts, sites
from conformance.report import Depth, Fault, Rule, Severity
from conformance.rules_multiscales import numbers_of
from geozarr.conventions import spatial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.layouts import Level
    from conformance.report import Place
    from conformance.sites import Site
    from conformance.values import Transform

_RATIO = 1e-6  # relative; the tolerance of SPEC section 5 for one cell


@dataclass(frozen=True)
class Step:
    """A level, its source, and how much coarser its cells are; every pair is rows, then columns.

    Parameters
    ----------
    level : Level
        The level.
    transform, source_transform : Transform or None
        Of both, where they are known.
    shape, source_shape : tuple of (int, int) or None
        Of both, where they are known.
    scale : tuple of (float, float) or None
        As written.
    ratio : tuple of (float, float) or None
        Of the cell sizes.
    total : tuple of (float, float) or None
        Of the cell sizes of the level and of the level that derives from none.
    doubtful : tuple of Place
        Statements that stand alone for a transform used here.
    supporters : tuple of Place
        Statements of the transform of the level.
    """

    level: Level
    transform: Transform | None
    source_transform: Transform | None
    shape: tuple[int, int] | None
    source_shape: tuple[int, int] | None
    scale: tuple[float, float] | None
    ratio: tuple[float, float] | None
    total: tuple[float, float] | None
    is_pixel: bool
    doubtful: tuple[Place, ...]
    supporters: tuple[Place, ...]

    @property
    def fits_sizes(self) -> bool | None:
        """Without transforms: whether the sizes bear the scale out, rounded up or down; None where unknown."""
        if self.ratio is not None or self.scale is None or self.shape is None or self.source_shape is None:
            return None
        return fits(self.scale, self.shape, self.source_shape)

    def fault(self, message: str, expected: tuple[float, float]) -> Fault:
        """Say that the scale is wrong."""
        node, pointer = self.level.pyramid.place(self.level.item, "transform", "scale")
        found = list(self.scale or ())
        return Fault(node, pointer, message, found, f"{list(expected)}", relies=self.doubtful)


def check_inverted(context: Context) -> Iterator[Fault]:
    """Find scales that are the inverse of what they should be: 2 means coarser by 2."""
    for step in steps(context):
        expected = _expected(step)
        if expected is not None and _is_inverse(step, expected):
            yield step.fault("the scale is inverted", expected)


def check_cumulative(context: Context) -> Iterator[Fault]:
    """Find scales relative to the base level rather than to the source."""
    for step in steps(context):
        expected = _expected(step)
        if expected is not None and _is_cumulative(step, expected):
            yield step.fault("the scale is relative to the base, not to derived_from", expected)


def check_scale(context: Context) -> Iterator[Fault]:
    """Find scales other than the ratio of the cell sizes."""
    for step in steps(context):
        expected = _expected(step)
        if expected is not None and not _is_inverse(step, expected) and not _is_cumulative(step, expected):
            yield step.fault("the scale is not the ratio of the cell sizes", expected)


def check_corner(context: Context) -> Iterator[Fault]:
    """Find levels whose corner is not that of their source though their translation is zero."""
    for step in steps(context):
        level = step.level
        written = numbers_of(context, level.pyramid, level.item, "translation") or (0.0,)
        place = level.pyramid.place(level.item, "transform", "translation")
        if step.transform is None or step.source_transform is None or any(written) or not step.is_pixel:
            continue
        cell = max(sites.cell_size(step.transform))
        corner, other = (t[2::3] for t in (step.transform, step.source_transform))
        if not sites.are_near(corner, other, min(sites.cell_size(step.transform))):
            found = [(x - y) / cell for x, y in zip(corner, other, strict=True)]
            message = "the corner of the level is not that of its source"
            expected = "0 cells between them, as the translation says"
            relies = (*step.doubtful, level.pyramid.place(level.item, "transform", "scale"))
            yield Fault(*place, message, found, expected, relies=relies, voids=step.supporters)


def check_size(context: Context) -> Iterator[Fault]:
    """Find levels of another size than their source divided by the scale, and layouts that round now up, now down."""
    kinds: dict[tuple[str, str], Level] = {}
    for step in steps(context):
        level, ratio = step.level, step.ratio or (step.scale if step.fits_sizes is not None else None)
        if ratio is None or step.shape is None or step.source_shape is None:
            continue
        pointer = level.item.pointer(spatial.SHAPE)
        node = level.pyramid.node.path
        relies = (*step.doubtful, level.pyramid.place(level.item, "transform", "scale"))
        if not fits(ratio, step.shape, step.source_shape):
            expected = f"{[n / r for n, r in zip(step.source_shape, ratio, strict=True)]}, rounded up"
            message = "the size is not the source's divided by the scale; it is off by a cell or more"
            yield Fault(node, pointer, message, list(step.shape), expected, relies=relies)
            continue
        kind = _rounding(ratio, step.shape, step.source_shape)
        other = {"up": "down", "down": "up"}.get(kind, "")
        if (node, other) in kinds:
            message = f"sizes are rounded {kind} here and {other} at {kinds[node, other].asset!r}"
            severity = Severity.WARNING
            yield Fault(
                node, pointer, message, list(step.shape), "one rule for all levels", severity=severity, keeps=True
            )
        kinds.setdefault((node, kind), level)


def steps(context: Context) -> list[Step]:
    """Every level that derives from another level of its layout."""
    found = []
    for pyramid in context.pyramids:
        by_level = sites.of_levels(context, pyramid)
        levels = {level.asset: level for level in layouts.levels(context, pyramid)}
        sources = {asset: source_of(context, level) for asset, level in levels.items()}
        for asset, level in levels.items():
            site, source = _site(by_level, level), levels.get(sources[asset] or "")
            other = _site(by_level, source) if source is not None else None
            if site is None or other is None or source is level:
                continue
            base = asset
            for _ in levels:  # as many steps as there are levels: a circle ends too
                base = sources.get(base) or base
            found.append(_step(context, level, site, other, _site(by_level, levels[base]) if base in levels else None))
    return found


def fits(scale: tuple[float, float], shape: tuple[int, int], source: tuple[int, int]) -> bool:
    """Tell whether sizes are the source's divided by the scale, give or take less than one cell of the level."""
    return all(abs(n - m / s) < 1 - _RATIO for n, m, s in zip(shape, source, scale, strict=True))


def source_of(context: Context, level: Level) -> str | None:
    """Asset that a level derives from; None where it says none, or that has been reported."""
    is_void = context.is_void(level.pyramid.node.path, *level.item.pointer("derived_from"))
    return None if is_void else layouts.asset_of(level.item, "derived_from")


def _site(by_level: dict[int, Site], level: Level) -> Site | None:
    return by_level.get(level.item.index)


def _step(context: Context, level: Level, site: Site, source: Site, base: Site | None) -> Step:
    here, there = sites.transform(context, site), sites.transform(context, source)
    root = sites.transform(context, base) if base is not None else None
    return Step(
        level=level,
        transform=here.value if here else None,
        source_transform=there.value if there else None,
        shape=sites.shape(context, site),
        source_shape=sites.shape(context, source),
        scale=_scale(context, level, site),
        ratio=_ratio(here.value, there.value) if here and there else None,
        total=_ratio(here.value, root.value) if here and root else None,
        is_pixel=not any(context.registration(array) == "node" for array in (*site.rasters, *source.rasters)),
        doubtful=(*(here.doubtful if here else ()), *(there.doubtful if there else ())),
        supporters=here.supporters if here else (),
    )


def _scale(context: Context, level: Level, site: Site) -> tuple[float, float] | None:
    """Scale along rows and columns: two numbers in the order of the spatial dimensions, or one per array axis."""
    written = numbers_of(context, level.pyramid, level.item, "scale")
    if not written or len(written) == 1:
        return None
    if len(written) == 2:
        return written[0], written[1]
    names = next((context.dimension_names(array) for array in site.rasters), None)
    if names is None or len(names) != len(written):
        return None
    if site.dimensions is None:
        return written[-2], written[-1]
    row, col = (names.index(name) for name in site.dimensions)
    return written[row], written[col]


def _ratio(t: Transform, source: Transform) -> tuple[float, float]:
    (x, y), (source_x, source_y) = sites.cell_size(t), sites.cell_size(source)
    return y / source_y, x / source_x


def _expected(step: Step) -> tuple[float, float] | None:
    """Give the scale that should stand there, where it is known and another one stands there."""
    if step.scale is None:
        return None
    if step.ratio is not None:
        return None if _are_close(step.scale, step.ratio) else step.ratio
    if step.fits_sizes is False and step.shape is not None and step.source_shape is not None:
        rows, cols = step.source_shape[0] / max(step.shape[0], 1), step.source_shape[1] / max(step.shape[1], 1)
        # Sizes alone cannot tell a wrong scale from a wrong size, unless a usual slip explains the scale.
        guess = float(round(rows)), float(round(cols))
        return guess if _is_inverse(step, guess) or _is_cumulative(step, guess) else None
    return None


def _is_inverse(step: Step, expected: tuple[float, float]) -> bool:
    scale = step.scale or (1.0, 1.0)
    return all(expected) and _are_close(scale, (1 / expected[0], 1 / expected[1]))


def _is_cumulative(step: Step, expected: tuple[float, float]) -> bool:
    if step.scale is None or _is_inverse(step, expected):
        return False
    if step.total is not None:
        return _are_close(step.scale, step.total)
    return step.ratio is None and all(
        s > e and (s / e).is_integer() for s, e in zip(step.scale, expected, strict=True) if e
    )


def _are_close(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return all(math.isclose(x, y, rel_tol=_RATIO) for x, y in zip(a, b, strict=True))


def _rounding(ratio: tuple[float, float], shape: tuple[int, int], source: tuple[int, int]) -> str:
    over = [n * r - m for n, m, r in zip(shape, source, ratio, strict=True)]
    slack = [_RATIO * r for r in ratio]
    if any(o > s for o, s in zip(over, slack, strict=True)):
        return "up"
    return "down" if any(o < -s for o, s in zip(over, slack, strict=True)) else "exact"


_XC = "derived"
_GEOMETRY = Depth.GEOMETRY
RULES = (
    Rule("MS-12", "multiscales v0.1, Semantics", "A scale above 1 means coarser", check_inverted, depth=_GEOMETRY),
    Rule(
        "MS-23", "multiscales v0.1, Semantics", "A scale is relative to derived_from", check_cumulative, depth=_GEOMETRY
    ),
    Rule("XC-03", _XC, "A scale is the ratio of the cell sizes", check_scale, depth=_GEOMETRY),
    Rule("XC-04", _XC, "A level has the corner of its source", check_corner, depth=_GEOMETRY),
    Rule("XC-05", _XC, "A level has the size of its source divided by the scale", check_size, depth=_GEOMETRY),
)
