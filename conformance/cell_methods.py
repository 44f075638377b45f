"""The `cell_methods` attribute of a variable: which statistic its cells are, over what (CF 7.3 and Appendix E)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

METHODS = (  # CF Appendix E
    "point",
    "sum",
    "maximum",
    "maximum_absolute_value",
    "median",
    "mid_range",
    "minimum",
    "minimum_absolute_value",
    "mean",
    "mean_absolute_value",
    "mean_of_upper_decile",
    "mode",
    "range",
    "root_mean_square",
    "standard_deviation",
    "sum_of_squares",
    "variance",
)
AREA = "area"  # stands for both horizontal axes, CF 7.3.1
_COMMENT = re.compile(r"\([^()]*\)")
_CLAUSES = ("where", "over", "within")  # each with one word, CF 7.3.3 and 7.4
_LONGEST = 10_000  # characters of a statement that is read


@dataclass(frozen=True)
class CellMethod:
    """One method and the axes that it was applied over.

    Parameters
    ----------
    names : tuple of str
        Dimensions, scalar coordinates, standard names, or `area`.
    method : str
        Such as "mean"; one of `METHODS` where CF knows it.
    """

    names: tuple[str, ...]
    method: str


def parse(value: Any) -> tuple[CellMethod, ...] | None:
    """Read `cell_methods`: the methods in the order in which they were applied; None where it has not the form."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    found: list[CellMethod] = []
    names: list[str] = []
    words = iter(_COMMENT.sub(" ", value).split())
    for word in words:
        if word.endswith(":") and len(word) > 1:
            names.append(word[:-1])
        elif names and word not in _CLAUSES:
            found.append(CellMethod(tuple(names), word))
            names = []
        elif names or not found or word not in _CLAUSES or next(words, ":").endswith(":"):
            return None
    return tuple(found) if found and not names else None


def of_area(value: Any) -> str | None:
    """Name the method that was applied last over the area of a cell; None where none is stated."""
    methods = [item.method for item in parse(value) or () if AREA in item.names]
    return methods[-1] if methods else None
