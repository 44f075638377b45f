"""Pyramids drawn as SVG: the stack of levels, their extents on each other, and the tiles that they touch.

Colours are classes, which the page's style sheet sets for light and dark.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from conformance.formats.markup import Markup, join, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from conformance.drawing import Box, DrawnLevel, DrawnPyramid, Pair, Tiles

Marks = dict[int, tuple[str, int]]
"""Of levels by position: the worst severity found there, and how many findings there are."""

_WIDTH = 420.0  # user units of all figures; about as many pixels as a telephone has
_STEP = 52.0  # from level to level
_WIDEST, _NARROWEST = 150.0, 44.0  # sides of the lowest and the highest plane
_SLANT, _DEPTH = 34.0, 26.0  # of a plane, for the finest level
_MOST_LINES = 16  # lines of chunks in a plane; more would be a grey
_TALLEST = 300.0  # of the figure of extents
_MOST_TILES = 24  # tiles along an axis that are drawn one by one
_CELL_SIDE = 150.0  # of the figure of one matrix
HUES = 6  # classes hue-0 to hue-5


def number(value: float) -> str:
    """Write a number for people: whole ones with separators, others with ten digits."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.10g}"


def pair(sides: Pair | tuple[float, float] | None) -> str:
    """Write two sizes in the order in which they are given."""
    return "unknown" if sides is None else f"{number(sides[0])} x {number(sides[1])}"


def stack(pyramid: DrawnPyramid, marks: Mapping[int, tuple[str, int]], *, prefix: str) -> Markup:
    """Draw the levels above each other, the first of the layout lowest.

    Parameters
    ----------
    pyramid : DrawnPyramid
        What to draw.
    marks : mapping of int to (str, int)
        What was found at levels.
    prefix : str
        Begins the ids of the figure's title and description.
    """
    levels = list(enumerate(pyramid.levels))
    height = _STEP * max(1, len(levels)) + 16
    planes = [
        _plane(level, index, 10 + _STEP * (len(levels) - 1 - index), len(levels), marks.get(index))
        for index, level in reversed(levels)
    ]
    about = f"{len(levels)} levels, the first of the layout at the bottom; widths are not to scale"
    told = "; ".join(f"{level.asset or 'unnamed'}: {_told(level)}" for _, level in levels)
    return _figure(
        f"Levels of the pyramid at {pyramid.node}", f"{about}. {told}", planes, (0, 0, _WIDTH, height), prefix
    )


def _plane(level: DrawnLevel, index: int, top: float, count: int, mark: tuple[str, int] | None) -> Markup:
    share = 1 - index / max(count - 1, 1)
    width = _NARROWEST + (_WIDEST - _NARROWEST) * share
    scale = width / _WIDEST
    slant, depth = _SLANT * scale, max(14.0, _DEPTH * scale)
    middle, y = 10 + (_WIDEST + _SLANT) / 2, top + (_STEP - 12 - depth) / 2
    left = middle - (width + slant) / 2
    corners = ((left + slant, y), (left + slant + width, y), (left + width, y + depth), (left, y + depth))
    severity = f" has-{mark[0]}" if mark else ""
    missing = "" if level.exists else " is-missing"
    parts = [tag("polygon", points=_points(corners), class_=f"plane{severity}{missing}")]
    if level.exists:
        parts.append(_grid(level, corners))
    if mark:
        parts.append(_mark(mark, left + width + slant + 2, y + depth / 2))
    x = 10 + _WIDEST + _SLANT + 32
    parts += [
        tag("text", level.asset or f"layout item {index}", x=x, y=y + 9, class_="label"),
        tag("text", _told(level), x=x, y=y + 24, class_="small"),
        tag("text", _stored(level), x=x, y=y + 38, class_="small muted"),
    ]
    return tag("g", *parts)


def _told(level: DrawnLevel) -> str:
    if not level.exists:
        return "does not exist"
    cell = "" if level.cell is None else f", cells {_cells(level.cell)}"
    return f"{pair(level.shape)}{cell}"


def _cells(cell: tuple[float, float]) -> str:
    short = [f"{side:.6g}" for side in cell]
    return short[0] if short[0] == short[1] else " x ".join(short)


def _stored(level: DrawnLevel) -> str:
    if level.chunk is None:
        return ""
    return f"chunks {pair(level.chunk)}" + (f" in {pair(level.shard)}" if level.shard else "")


def _grid(level: DrawnLevel, corners: Sequence[tuple[float, float]]) -> Markup:
    """Draw the edges of chunks, or those of shards where there are too many chunks."""
    for sides in (level.chunk, level.shard):
        if level.shape is not None and sides is not None and all(level.shape):
            rows, cols = (size / side for size, side in zip(level.shape, sides, strict=True))
            if max(rows, cols) <= _MOST_LINES:
                break
    else:
        return Markup("")
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    lines = []
    for row in range(1, math.ceil(rows)):
        t = row / rows
        lines.append((ax + (dx - ax) * t, ay + (dy - ay) * t, bx + (cx - bx) * t, by + (cy - by) * t))
    for col in range(1, math.ceil(cols)):
        t = col / cols
        lines.append((ax + (bx - ax) * t, ay + (by - ay) * t, dx + (cx - dx) * t, dy + (cy - dy) * t))
    path = " ".join(f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for a, b, c, d in lines)
    return tag("path", d=path, class_="grid") if path else Markup("")


def _mark(mark: tuple[str, int], x: float, y: float) -> Markup:
    severity, count = mark
    told = str(count) if count < 100 else "99+"
    return tag(
        "g",
        tag("title", f"{count} finding{'s' if count > 1 else ''}, the worst: {severity}"),
        tag("circle", cx=x, cy=y, r=10, class_=f"mark fill-{severity}"),
        tag("text", told, x=x, y=y + 4, class_="count", text_anchor="middle"),
    )


def same_boxes(levels: Iterable[DrawnLevel]) -> list[tuple[Box, list[str]]]:
    """Group levels whose boxes cannot be told apart in a picture."""
    found = [(level.box, level.asset) for level in levels if level.box is not None]
    if not found:
        return []
    whole = _union([box for box, _ in found])
    fine = max(whole[2] - whole[0], whole[3] - whole[1]) / _WIDTH / 4
    groups: list[tuple[Box, list[str]]] = []
    for box, asset in found:
        for known, assets in groups:
            if all(abs(a - b) <= fine for a, b in zip(box, known, strict=True)):
                assets.append(asset)
                break
        else:
            groups.append((box, [asset]))
    return groups


def extents(pyramid: DrawnPyramid, groups: list[tuple[Box, list[str]]], *, prefix: str) -> Markup:
    """Draw the boxes of levels in their CRS on each other, to scale."""
    whole = _union([box for box, _ in groups])
    width, height = whole[2] - whole[0], whole[3] - whole[1]
    across = _WIDTH - 40
    scale = min(across / width if width > 0 else math.inf, _TALLEST / height if height > 0 else math.inf)
    if not 0 < scale < math.inf:
        return Markup("")
    drawn_height, top = max(height * scale, 4.0), 24.0
    parts = [
        tag(
            "rect",
            tag("title", f"levels {', '.join(assets)}"),
            x=20 + (box[0] - whole[0]) * scale,
            y=top + (whole[3] - box[3]) * scale,
            width=max((box[2] - box[0]) * scale, 1.0),
            height=max((box[3] - box[1]) * scale, 1.0),
            class_=f"extent hue-{index % HUES}",
        )
        for index, (box, assets) in enumerate(groups)
    ]
    right, bottom = max(20 + width * scale, _WIDTH / 2), top + drawn_height + 16
    high = f"{number(whole[2])}, {number(whole[3])}"
    parts += [
        tag("text", f"{number(whole[0])}, {number(whole[1])}", x=20, y=bottom, class_="small muted"),
        tag("text", high, x=right, y=top - 8, class_="small muted", text_anchor="end"),
    ]
    about = "; ".join(f"levels {', '.join(assets)}: {', '.join(map(number, box))}" for box, assets in groups)
    title = f"Extents of the levels at {pyramid.node}, to scale"
    return _figure(title, about, parts, (0, 0, _WIDTH, bottom + 8), prefix)


def tiles(level: DrawnLevel, matrix: Tiles, *, prefix: str) -> Markup:
    """Draw the tiles of a matrix about its limits: those within filled, the level's own edge around them."""
    window = _window(matrix)
    if window is None:
        return Markup("")
    first_col, first_row, last_col, last_row = window
    cols, rows = last_col - first_col, last_row - first_row
    scale = _CELL_SIDE / max(cols, rows)
    width, height = max(cols * scale, 2.0), max(rows * scale, 2.0)

    def place(box: Box, class_: str) -> Markup:
        left, right = ((side - first_col) * scale for side in (box[0], box[2]))
        top, bottom = ((side - first_row) * scale for side in (box[1], box[3]))
        if matrix.is_bottom_left:
            top, bottom = height - bottom, height - top
        return tag("rect", x=left, y=top, width=max(right - left, 1.0), height=max(bottom - top, 1.0), class_=class_)

    parts = [tag("rect", x=0, y=0, width=width, height=height, class_="matrix")]
    if matrix.rows is not None and matrix.cols is not None:
        limits = (matrix.cols[0], matrix.rows[0], matrix.cols[1] + 1, matrix.rows[1] + 1)
        parts.append(place((float(limits[0]), float(limits[1]), float(limits[2]), float(limits[3])), "touched"))
    if max(cols, rows) <= _MOST_TILES:
        lines = [f"M{(n * scale):.1f} 0V{height:.1f}" for n in range(1, math.ceil(cols))]
        lines += [f"M0 {(n * scale):.1f}H{width:.1f}" for n in range(1, math.ceil(rows))]
        parts.append(tag("path", d=" ".join(lines), class_="grid") if lines else Markup(""))
    if matrix.footprint is not None:
        parts.append(place(matrix.footprint, "footprint"))
    title = f"Tiles of matrix {matrix.matrix} that level {level.asset} touches"
    return _figure(title, limits_told(matrix), parts, (-3, -3, width + 6, height + 6), prefix, class_="tiles")


def limits_told(matrix: Tiles) -> str:
    """Say which tiles the limits name, of how many."""
    whole = f"the matrix has {pair(matrix.size)} tiles of {pair(matrix.tile)} cells"
    if matrix.rows is None or matrix.cols is None:
        return f"no limits; {whole}"
    rows, cols = (f"{number(first)} to {number(last)}" for first, last in (matrix.rows, matrix.cols))
    count = (matrix.rows[1] - matrix.rows[0] + 1) * (matrix.cols[1] - matrix.cols[0] + 1)
    return f"rows {rows}, columns {cols}: {number(count)} tiles; {whole}"


def _window(matrix: Tiles) -> tuple[int, int, int, int] | None:
    """Columns and rows that are drawn: limits and level, and a tile around them."""
    boxes = []
    if matrix.rows is not None and matrix.cols is not None:
        boxes.append((matrix.cols[0], matrix.rows[0], matrix.cols[1] + 1, matrix.rows[1] + 1))
    if matrix.footprint is not None:
        left, top, right, bottom = matrix.footprint
        boxes.append(
            (math.floor(left + 1e-6), math.floor(top + 1e-6), math.ceil(right - 1e-6), math.ceil(bottom - 1e-6))
        )
    if not boxes:
        return None
    columns = [min(box[0] for box in boxes) - 1, max(box[2] for box in boxes) + 1]
    rows = [min(box[1] for box in boxes) - 1, max(box[3] for box in boxes) + 1]
    # A tile beyond the edge of the matrix is not drawn, unless the level lies there.
    left, right = max(columns[0], min(0, columns[0] + 1)), min(columns[1], max(matrix.size[1], columns[1] - 1))
    top, bottom = max(rows[0], min(0, rows[0] + 1)), min(rows[1], max(matrix.size[0], rows[1] - 1))
    return left, top, right, bottom


def _figure(title: str, about: str, parts: Iterable[Markup], view: Box, prefix: str, *, class_: str = "wide") -> Markup:
    box = " ".join(f"{side:.6g}" for side in view)
    names = {"aria_labelledby": f"{prefix}-title", "aria_describedby": f"{prefix}-about"}
    head = join(tag("title", title, id=f"{prefix}-title"), tag("desc", about, id=f"{prefix}-about"))
    return tag("svg", head, *parts, viewBox=box, role="img", class_=class_, **names)


def _points(corners: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _union(boxes: list[Box]) -> Box:
    lefts, bottoms, rights, tops = zip(*boxes, strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)
