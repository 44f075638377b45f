"""Parameters of a request: from text to values, strictly.

Whatever is unknown, empty, repeated where one is meant, out of range or not written plainly is refused, so that a
mistyped parameter never silently gives another picture. Texts are capped in length before they are matched, and the
patterns are linear in it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from geozarr.errors import ParameterError
from tiler.dimensions import NUMBER, parse_selectors
from tiler.picture import MAX_BANDS, Wish
from tiler.render import MEDIA_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_QUERY = 4096  # bytes
MAX_PARAMETERS = 32
_WHOLE = re.compile(r"0|[1-9][0-9]{0,9}")  # ten digits hold every row of the 30 zoom levels that are served
_CRS_CODE = re.compile(r"[A-Za-z]{1,16}:[0-9A-Za-z]{1,16}")


@dataclass(frozen=True)
class Parameter:
    """A query parameter, as documented.

    Parameters
    ----------
    name : str
        Its name.
    description : str
        For people.
    is_repeatable : bool
        True where it may be given more than once.
    """

    name: str
    description: str
    is_repeatable: bool = False


PICTURE = (
    Parameter("variable", "Variable to show; repeated or separated by commas for red, green, blue", is_repeatable=True),
    Parameter("bidx", "Position along the leading dimensions that sel leaves, from 1", is_repeatable=True),
    Parameter(
        "sel",
        "dimension=value or dimension=method::value, with nearest, pad (ffill), backfill (bfill) or exact: "
        "the step of a leading dimension; once a dimension",
        is_repeatable=True,
    ),
    Parameter("rescale", "min,max: values that become black and white; once, or once a band", is_repeatable=True),
    Parameter("colormap_name", "One of rio-tiler's colormaps, for a single band"),
)
POINT = (
    *PICTURE[:3],
    Parameter("coord_crs", "CRS of the coordinates, as AUTHORITY:CODE; longitude and latitude without it"),
)


def parse_query(query: bytes, allowed: tuple[Parameter, ...] = ()) -> dict[str, tuple[str, ...]]:
    """Split a query string.

    Parameters
    ----------
    query : bytes
        As it came, without the question mark.
    allowed : tuple of Parameter
        What the endpoint knows.

    Returns
    -------
    dict
        Values by name, each name at least one value, no value empty.

    Raises
    ------
    ParameterError
        If the query is too long or not UTF-8, or a parameter is unknown, empty or repeated.
    """
    if len(query) > MAX_QUERY:
        raise ParameterError("query", found=f"{len(query)} bytes", expected=f"at most {MAX_QUERY} bytes")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError as error:  # also UnicodeDecodeError
        expected = f"at most {MAX_PARAMETERS} parameters, in percent-encoded UTF-8"
        raise ParameterError("query", found="something else", expected=expected) from error
    known = {parameter.name: parameter for parameter in allowed}
    values: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        if name not in known:
            raise ParameterError("query", found=name, expected=f"one of {', '.join(known) or 'no parameters'}")
        if not value:
            raise ParameterError(name, found="", expected="a value")
        if name in values and not known[name].is_repeatable:
            raise ParameterError(name, found="more than one value", expected="one value")
        values[name] = (*values.get(name, ()), value)
    return values


def parse_wish(values: Mapping[str, tuple[str, ...]]) -> Wish:
    """Read the parameters of `PICTURE`; raises `ParameterError` for what is not one of their values."""
    return Wish(
        variables=_names(values.get("variable", ())),
        indexes=tuple(parse_whole("bidx", text) for text in _split("bidx", values.get("bidx", ()))),
        ranges=tuple(_range(text) for text in values.get("rescale", ())),
        colormap=values.get("colormap_name", (None,))[0],
        selectors=parse_selectors(values.get("sel", ())),
    )


def parse_whole(name: str, text: str) -> int:
    """Read a whole number that is not negative, written in plain decimal digits.

    Raises
    ------
    ParameterError
        For signs, blanks, leading zeros, other digits, exponents, and more than ten digits.
    """
    if not _WHOLE.fullmatch(text):
        raise ParameterError(name, found=text[:40], expected="a whole number of at most ten digits")
    return int(text)


def parse_number(name: str, text: str) -> float:
    """Read a finite number in decimal notation; raises `ParameterError` for anything else."""
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ParameterError(name, found=text[:40], expected="a finite number")
    return value


def parse_matrix_id(text: str, known: tuple[str, ...]) -> str:
    """Read the z of a tile: an id of the set, or a number, which may be of no matrix."""
    return text if text in known else str(parse_whole("z", text))


def parse_row(text: str) -> tuple[int, str | None]:
    """Read the y of a tile and the format that may follow it.

    Raises
    ------
    ParameterError
        If either is malformed.
    """
    number, dot, suffix = text.partition(".")
    if dot and suffix not in MEDIA_TYPES:
        raise ParameterError("format", found=suffix[:40], expected=f"one of {', '.join(MEDIA_TYPES)}")
    return parse_whole("y", number), suffix or None


def parse_crs_code(text: str) -> str:
    """Read an authority code such as EPSG:3857; definitions, files and URLs are refused by its form."""
    if not _CRS_CODE.fullmatch(text):
        raise ParameterError("coord_crs", found=text[:40], expected="AUTHORITY:CODE such as EPSG:3857")
    return text


def _names(texts: tuple[str, ...]) -> tuple[str, ...]:
    names = _split("variable", texts)
    if len(set(names)) != len(names):
        raise ParameterError("variable", found=names, expected="each variable once")
    return names


def _split(name: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    parts = tuple(part for text in texts for part in text.split(","))
    if not all(parts) or len(parts) > MAX_BANDS:
        raise ParameterError(name, found=parts[: MAX_BANDS + 1], expected=f"1 to {MAX_BANDS} values, none empty")
    return parts


def _range(text: str) -> tuple[float, float]:
    ends = tuple(parse_number("rescale", part) for part in text.split(",", 2))
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise ParameterError("rescale", found=text[:40], expected="min,max with min below max")
    return ends[0], ends[1]
