"""What a reader told of a store, held against what is in it: opens, degrades or fails, and what got lost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.readers import READERS, Loss, Outcome

if TYPE_CHECKING:
    from interop.truth import Point, Truth

_CELLS = 0.02  # of a cell of the level: pictures and warps round, a shift of half a cell does not hide
_VALUES = 1e-4  # relative: float32 of browsers, and bounds given with few digits
_NOWHERE = "there is no placement"  # which loses less than a wrong one


@dataclass(frozen=True)
class Observation:
    """What happened.

    Parameters
    ----------
    outcome : Outcome
        Of the three.
    losses : tuple of Loss
        What a reader that opened the store lost; empty where it failed.
    detail : str
        In words, with numbers.
    """

    outcome: Outcome
    losses: tuple[Loss, ...]
    detail: str


def judge(reader: str, facts: dict[str, Any], truth: Truth) -> Observation:
    """Compare facts with the truth; a reader is not blamed for what it never has."""
    if "error" in facts:
        return Observation(Outcome.FAILS, (), str(facts["error"]))
    lacks = READERS[reader].lacks
    found: dict[Loss, str] = {}
    checks = ((Loss.CRS, _crs), (Loss.PLACE, _place), (Loss.VALUES, _values), (Loss.NODATA, _nodata))
    for loss, check in (*checks, (Loss.LEVELS, _levels), (Loss.ALIGNMENT, _alignment), (Loss.PACKING, _packing)):
        detail = check(facts, truth)
        if detail and loss not in lacks:
            found[loss] = detail
    detail = "; ".join(found.values())
    if Loss.VALUES in found or found.get(Loss.PLACE, _NOWHERE) != _NOWHERE:
        return Observation(Outcome.FAILS, (), detail)
    order = tuple(loss for loss in Loss if loss in found)
    return Observation(Outcome.DEGRADES if order else Outcome.OPENS, order, detail)


def _crs(facts: dict[str, Any], truth: Truth) -> str:
    if "crs" not in facts or facts["crs"] == truth.epsg:
        return ""
    return f"CRS is {facts['crs']}, not EPSG:{truth.epsg}"


def _place(facts: dict[str, Any], truth: Truth) -> str:
    """Compare the box of the finest level."""
    levels = facts.get("levels", [])
    bounds = levels[0].get("bounds") if levels else facts.get("bounds")
    if bounds is None and not levels:
        return ""
    if bounds is None:
        return _NOWHERE
    expected = _written(truth, 0)
    cell = abs(truth.levels[0].transform[0])
    return "" if _near(bounds, expected, cell) else f"the box is {_rounded(bounds)}, not {_rounded(expected)}"


def _values(facts: dict[str, Any], truth: Truth) -> str:
    """Compare pixels at coordinates; what is missing but read as a number is a matter of nodata."""
    wanted = len(facts.get("asked", truth.points))
    if len(facts.get("values", [])) != wanted:
        return f"{len(facts.get('values', []))} of {wanted} pixels could be read"
    near = facts.get("precision", 0.0)
    for value, point in _pairs(facts, truth):
        if point.value is None or any(_is_same(value, v, near) for v in (point.value, truth.unpacked(point.value))):
            continue
        return f"the pixel at row {point.row}, column {point.col} reads {value}, not {point.value}"
    return ""


def _nodata(facts: dict[str, Any], truth: Truth) -> str:
    read = [value for value, point in _pairs(facts, truth) if point.value is None]
    shown = [value for value in read if value is not None]
    return f"pixels without data read {shown[0]}" if shown else ""


def _packing(facts: dict[str, Any], truth: Truth) -> str:
    if not truth.is_packed:
        return ""
    near = facts.get("precision", 0.0)
    pairs = [(value, point.value) for value, point in _pairs(facts, truth) if point.value is not None]
    is_unpacked = all(_is_same(value, truth.unpacked(stored), near) for value, stored in pairs)
    return "" if is_unpacked else "values are not unpacked"


def _levels(facts: dict[str, Any], truth: Truth) -> str:
    if "levels" not in facts:
        return ""
    found = sorted((tuple(level["shape"]) for level in facts["levels"]), reverse=True)
    expected = [level.shape for level in truth.levels]
    zooms = facts.get("zooms")
    if zooms and zooms[0] > zooms[1]:
        return f"the zooms go from {zooms[0]} to {zooms[1]}"
    return "" if found == expected else f"levels of {found}, not {expected}"


def _alignment(facts: dict[str, Any], truth: Truth) -> str:
    """Compare the boxes of the coarser levels."""
    for found in facts.get("levels", [])[1:]:
        for index, level in enumerate(truth.levels):
            if tuple(found["shape"]) == level.shape and index and found.get("bounds") is not None:
                expected, cell = _written(truth, index), abs(level.transform[0])
                if not _near(found["bounds"], expected, cell):
                    off = max(abs(a - b) for a, b in zip(found["bounds"], expected, strict=True)) / cell
                    return f"level {level.asset} is stretched by {off:.2f} of its cells"
    return ""


def _written(truth: Truth, index: int) -> list[float]:
    """Box of a level, the last row's edge in the place of ymin: a raster that is upside down shows."""
    level = truth.levels[index]
    a, _, c, _, e, f = level.transform
    return [c, f + e * level.shape[0], c + a * level.shape[1], f]


def _near(found: list[float], expected: list[float], cell: float) -> bool:
    # Some readers sort the box; whether rows are right is then told by the pixels.
    turned = [expected[0], expected[3], expected[2], expected[1]]
    return any(
        all(math.isclose(a, b, rel_tol=0, abs_tol=_CELLS * cell) for a, b in zip(found, box, strict=True))
        for box in (expected, turned)
    )


def _pairs(facts: dict[str, Any], truth: Truth) -> list[tuple[float | None, Point]]:
    """Values with the pixels they were read at; a reader that is slow is asked for some of them only."""
    points = [truth.points[index] for index in facts.get("asked", range(len(truth.points)))]
    return list(zip(facts.get("values", []), points, strict=False))


def _is_same(found: float | None, expected: float, near: float = 0.0) -> bool:
    """Compare two values; `near` is how far shades of grey tell them apart."""
    return found is not None and math.isclose(found, expected, rel_tol=_VALUES, abs_tol=max(near, 1e-6))


def _rounded(box: list[float]) -> list[float]:
    return [round(value, 6) for value in box]
