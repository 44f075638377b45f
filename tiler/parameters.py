"""Parameters of a request: from text to values, strictly.

Whatever is unknown, empty, repeated where one is meant, out of range or not written plainly is refused, so that a
mistyped parameter never silently gives another picture. Texts are capped in length before they are matched, and the
patterns are linear in it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from geozarr.errors import ParameterError
from geozarr.grid import Bounds
from tiler import algorithms, colormaps
from tiler import expression as expression_module
from tiler import formula as formula_module
from tiler.colors import Ramp, parse_color, parse_colormap
from tiler.dimensions import NUMBER, parse_selectors
from tiler.picture import GREY, MAX_BANDS, Wish
from tiler.place import Size
from tiler.render import MEDIA_TYPES
from tiler.resample import METHODS
from tiler.sampling import Sampling
from tiler.select import STRATEGIES
from tiler.statistics import StatisticsOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiler.algorithms import Algorithm
    from tiler.colors import Colors

MAX_QUERY = 4096  # bytes
MAX_PARAMETERS = 32
_QUERIES = 256  # of tiles, that are kept; each has some kilobytes at most
_WHOLE = re.compile(r"0|[1-9][0-9]{0,9}")  # ten digits hold every row of the 30 zoom levels that are served
_SCALES = ("1x", "2x", "3x", "4x")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
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


BANDS = (
    Parameter("variable", "Variable to show; repeated or separated by commas for red, green, blue", is_repeatable=True),
    Parameter("bidx", "Position along the leading dimension of a 3-D variable, from 1", is_repeatable=True),
    Parameter(
        "sel",
        "Step of a leading dimension: name=value, or name=method::value with nearest, pad, backfill or exact",
        is_repeatable=True,
    ),
    Parameter("nodata", "Value that is missing, in place of the stored one"),
    Parameter("unscale", "true: apply scale and offset to the values"),
    Parameter("expression", "Band arithmetic such as (b2-b1)/(b2+b1), where the service allows it"),
    Parameter("algorithm", "One of /algorithms, computed from the values"),
    Parameter("algorithm_params", "Its parameters, a JSON object"),
)
SAMPLING = (
    Parameter("resampling", "Method in the CRS of the data: nearest, bilinear, cubic, average, mode ..."),
    Parameter("reproject", "Method in any other CRS"),
    Parameter("level", "Level that a picture between two is made of: nearest, coarser or finer"),
)
LOOK = (
    Parameter("rescale", "min,max: values that become black and white; once, or once a band", is_repeatable=True),
    Parameter("colormap_name", "One of /colorMaps, for a single band"),
    Parameter("colormap", "JSON: an object of colours by value, or an array of [[min, max], colour]"),
    Parameter("belowmincolor", "Colour of values below the range: #rrggbb, #rrggbbaa or transparent"),
    Parameter("abovemaxcolor", "The same above it"),
    Parameter("color_formula", "Gamma, sigmoidal contrast and saturation of red, green and blue"),
    Parameter("return_mask", "false: show what is missing like any other value"),
)
PICTURE = (*BANDS, *SAMPLING, *LOOK)
TILE = (
    *PICTURE,
    Parameter("tilesize", "Pixels of a tile's longer side"),
    Parameter("buffer", "Pixels added on each side, in steps of 0.5"),
    Parameter("padding", "Accepted for TiTiler's sake: what a method needs around a tile is always read"),
)
OGC_TILE = (*TILE, Parameter("f", "Format: png, jpeg, webp, npy or tif; jpeg or png without it"))
SIZE = (
    Parameter("max_size", "Pixels of the longer side, where neither width nor height is given"),
    Parameter("width", "Pixels; the height follows where it is not given"),
    Parameter("height", "Pixels; the width follows where it is not given"),
)
_DST_CRS = Parameter("dst_crs", "CRS of the picture, as AUTHORITY:CODE; that of the coordinates without it")
_COORD_CRS = Parameter("coord_crs", "CRS of the coordinates, as AUTHORITY:CODE; longitude and latitude without it")
PREVIEW = (*PICTURE, *SIZE, _DST_CRS)
PART = (*PICTURE, *SIZE, _DST_CRS, _COORD_CRS)
COUNTS = (
    Parameter("categorical", "true: count single values"),
    Parameter("c", "A value to count, with categorical", is_repeatable=True),
    Parameter("p", "A percentile, 0 to 100", is_repeatable=True),
    Parameter("histogram_bins", "Number of bins, or their edges separated by commas"),
    Parameter("histogram_range", "min,max: first and last edge of the bins"),
)
STATISTICS = (*BANDS, *SAMPLING, *SIZE, _DST_CRS, *COUNTS)
STATISTICS_OF_FEATURES = (*STATISTICS, _COORD_CRS)
LEGEND = (
    *PICTURE,
    Parameter("width", "Pixels"),
    Parameter("height", "Pixels"),
    Parameter("orientation", "Of a ramp: horizontal or vertical"),
    Parameter("background", "white or transparent"),
)
FORM = (Parameter("f", "json, or html for people"),)
MAP_FORM = (Parameter("f", "json, or png for a picture"),)
POINT = (
    *BANDS[:6],
    _COORD_CRS,
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
    pairs = parse_pairs(query)
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


@lru_cache(maxsize=_QUERIES)
def parse_tile_query(query: bytes, *, most: int, scale: int, expressions: bool) -> tuple[Wish, Sampling]:
    """Read the query string of a tile; kept, since all tiles of a map have the same.

    Parameters
    ----------
    query : bytes
        As it came.
    most, scale, expressions : int, int, bool
        As `parse_sampling` and `parse_wish` have them.

    Raises
    ------
    ParameterError, UnknownNameError
        As these and `parse_query` do; what is refused is not kept.
    """
    values = parse_query(query, TILE)
    return parse_wish(values, expressions=expressions), parse_sampling(values, most=most, scale=scale)


def parse_pairs(query: bytes) -> list[tuple[str, str]]:
    """Split a query string into names and values, as they stand; raises `ParameterError` as `parse_query` does."""
    if len(query) > MAX_QUERY:
        raise ParameterError("query", found=f"{len(query)} bytes", expected=f"at most {MAX_QUERY} bytes")
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError as error:  # also UnicodeDecodeError
        expected = f"at most {MAX_PARAMETERS} parameters, in percent-encoded UTF-8"
        raise ParameterError("query", found="something else", expected=expected) from error


def parse_wish(values: Mapping[str, tuple[str, ...]], *, expressions: bool = False) -> Wish:
    """Read what is to be shown.

    Parameters
    ----------
    values : mapping of str to tuple of str
        From `parse_query`.
    expressions : bool
        True where the service computes expressions for its clients.

    Raises
    ------
    ParameterError, UnknownNameError
        For what is not one of a parameter's values.
    """
    nodata = _single(values, "nodata")
    expression = _single(values, "expression")
    if expression is not None and not expressions:
        raise ParameterError("expression", found=expression[:40], expected="none: expressions are turned off here")
    formula = _single(values, "color_formula")
    return Wish(
        variables=_names(values.get("variable", ())),
        indexes=tuple(parse_whole("bidx", text) for text in _split("bidx", values.get("bidx", ()))),
        ranges=tuple(_range(text) for text in values.get("rescale", ())),
        colors=_colors(values),
        selectors=parse_selectors(values.get("sel", ())),
        expression=None if expression is None else expression_module.parse(expression),
        algorithm=_algorithm(values),
        formula=None if formula is None else formula_module.parse_formula(formula),
        nodata=None if nodata is None else _number_or_nan("nodata", nodata),
        is_unscaled=_flag(values, "unscale", default=False),
        is_masked=_flag(values, "return_mask", default=True),
    )


def parse_sampling(values: Mapping[str, tuple[str, ...]], *, most: int, scale: int = 1) -> Sampling:
    """Read how a picture is sampled.

    Parameters
    ----------
    values : mapping of str to tuple of str
        From `parse_query`.
    most : int
        Largest side of a picture, pixels.
    scale : int
        Pixels of a side for each of a tile's, from its address.

    Raises
    ------
    ParameterError
        For what is not one of a parameter's values, or a picture that would be larger.
    """
    size = _single(values, "tilesize")
    if size is not None and scale != 1:
        raise ParameterError("tilesize", found=size, expected=f"nothing: the address says @{scale}x")
    side = None if size is None else _side("tilesize", size, most)
    text = _single(values, "level") or STRATEGIES[0]
    strategy = next((known for known in STRATEGIES if known == text), None)
    if strategy is None:
        raise ParameterError("level", found=text[:40], expected=f"one of {', '.join(STRATEGIES)}")
    _cells(values, "padding", most)
    return Sampling(
        method=_method(values, "resampling"),
        reproject_method=_method(values, "reproject"),
        strategy=strategy,
        side=side,
        scale=scale,
        buffer=_cells(values, "buffer", most),
    )


def parse_size(values: Mapping[str, tuple[str, ...]], *, most: int, size: str | None = None) -> Size:
    """Read how large a picture is to be; by default the longer side has at most as many pixels as it may.

    Parameters
    ----------
    values : mapping of str to tuple of str
        From `parse_query`.
    most : int
        Largest side, pixels.
    size : str, optional
        `{width}x{height}`, from the address.

    Raises
    ------
    ParameterError
        If a side is malformed, or larger.
    """
    sides = {name: _side(name, values[name][0], most) for name in ("width", "height", "max_size") if name in values}
    if size is not None:
        if sides:
            raise ParameterError("size", found=size[:40], expected="either in the address or in the query")
        width, x, height = size[:40].partition("x")
        if not x:
            raise ParameterError("size", found=size[:40], expected="{width}x{height}")
        return Size(_side("width", width, most), _side("height", height, most))
    if "max_size" in sides and len(sides) > 1:
        raise ParameterError("max_size", found=sides["max_size"], expected="nothing beside width and height")
    return Size(**sides) if sides else Size(max_size=most)


def parse_box(text: str) -> Bounds:
    """Read minx,miny,maxx,maxy; raises `ParameterError` for anything else. West may be above east in degrees."""
    parts = text[:200].split(",", 4)
    if len(parts) != 4:
        raise ParameterError("bbox", found=text[:80], expected="minx,miny,maxx,maxy")
    box = Bounds(*(parse_number("bbox", part) for part in parts))
    if box.ymin >= box.ymax or box.xmin == box.xmax:
        raise ParameterError("bbox", found=text[:80], expected="minx,miny,maxx,maxy that hold an area")
    return box


def parse_counts(values: Mapping[str, tuple[str, ...]]) -> StatisticsOptions:
    """Read what statistics are wanted; raises `ParameterError` for what is not one of a parameter's values."""
    bins: int | tuple[float, ...] = StatisticsOptions.bins
    text = _single(values, "histogram_bins")
    if text is not None:
        bins = (
            tuple(parse_number("histogram_bins", part) for part in text.split(","))
            if "," in text
            else int(parse_whole("histogram_bins", text))
        )
    ends = _single(values, "histogram_range")
    percentiles = tuple(parse_whole("p", text) for text in values.get("p", ()))
    return StatisticsOptions(
        percentiles=percentiles or StatisticsOptions.percentiles,
        bins=bins,
        histogram_range=None if ends is None else _range(ends, "histogram_range"),
        categorical=_flag(values, "categorical", default=False),
        categories=tuple(parse_number("c", text) for text in values.get("c", ())),
    )


def parse_codes(values: Mapping[str, tuple[str, ...]]) -> tuple[str | None, str | None]:
    """Read the codes of the coordinates' CRS and of the picture's; raises `ParameterError` for what is no code."""
    given, wanted = _single(values, "coord_crs"), _single(values, "dst_crs")
    return (
        None if given is None else parse_crs_code(given),
        None if wanted is None else parse_crs_code(wanted, "dst_crs"),
    )


def parse_form(values: Mapping[str, tuple[str, ...]], known: tuple[str, ...]) -> str | None:
    """Read the form that a document is wanted in; raises `ParameterError` for one that it does not have."""
    form = _single(values, "f")
    if form is not None and form not in known:
        raise ParameterError("f", found=form[:40], expected=f"one of {', '.join(known)}")
    return form


def parse_drawing(values: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Read the options of a legend's picture; raises `ParameterError` for a side that is no whole number."""
    sides = {name: parse_whole(name, values[name][0]) for name in ("width", "height") if name in values}
    return sides | {name: values[name][0][:20] for name in ("orientation", "background") if name in values}


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


def parse_row(text: str) -> tuple[int, int, str | None]:
    """Read the y of a tile, and what may follow it: the scale as `@2x`, and the format.

    Returns
    -------
    tuple of (int, int, str or None)
        Row, scale (1 where there is none) and format.

    Raises
    ------
    ParameterError
        If any is malformed.
    """
    number, dot, suffix = text.partition(".")
    if dot:
        parse_format(suffix)
    row, at, scale = number.partition("@")
    if at and scale not in _SCALES:
        raise ParameterError("scale", found=scale[:40], expected=f"one of {', '.join(_SCALES)}")
    return parse_whole("y", row), int(scale[0]) if at else 1, suffix or None


def parse_format(text: str) -> str:
    """Read the format of a picture; raises `ParameterError` for one that is not written."""
    if text not in MEDIA_TYPES:
        raise ParameterError("format", found=text[:40], expected=f"one of {', '.join(MEDIA_TYPES)}")
    return text


def parse_crs_code(text: str, name: str = "coord_crs") -> str:
    """Read an authority code such as EPSG:3857; definitions, files and URLs are refused by its form."""
    if not _CRS_CODE.fullmatch(text):
        raise ParameterError(name, found=text[:40], expected="AUTHORITY:CODE such as EPSG:3857")
    return text


def _single(values: Mapping[str, tuple[str, ...]], name: str) -> str | None:
    return values.get(name, (None,))[0]


def _flag(values: Mapping[str, tuple[str, ...]], name: str, *, default: bool) -> bool:
    text = _single(values, name)
    if text is not None and text.lower() not in _FLAGS:
        raise ParameterError(name, found=text[:40], expected="true or false")
    return default if text is None else _FLAGS[text.lower()]


def _number_or_nan(name: str, text: str) -> float:
    return math.nan if text.lower() == "nan" else parse_number(name, text)


def _side(name: str, text: str, most: int) -> int:
    side = parse_whole(name, text)
    if not 1 <= side <= most:
        raise ParameterError(name, found=side, expected=f"1 to {most} pixels")
    return side


def _cells(values: Mapping[str, tuple[str, ...]], name: str, most: int) -> float:
    text = _single(values, name)
    cells = 0.0 if text is None else parse_number(name, text)
    if not (0 <= cells <= most / 4 and (2 * cells).is_integer()):
        raise ParameterError(name, found=text, expected=f"0 to {most // 4} in steps of 0.5")
    return cells


def _method(values: Mapping[str, tuple[str, ...]], name: str) -> str | None:
    text = _single(values, name)
    if text is not None and text not in METHODS:
        raise ParameterError(name, found=text[:40], expected=f"one of {', '.join(METHODS)}")
    return text


def _algorithm(values: Mapping[str, tuple[str, ...]]) -> Algorithm | None:
    name, params = _single(values, "algorithm"), _single(values, "algorithm_params")
    if name is None and params is not None:
        raise ParameterError("algorithm_params", found=params[:40], expected="nothing, without an algorithm")
    if name is not None and name not in algorithms.names():
        raise ParameterError("algorithm", found=name[:40], expected=f"one of {', '.join(algorithms.names())}")
    return None if name is None else algorithms.parse_algorithm(name, params)


def _colors(values: Mapping[str, tuple[str, ...]]) -> Colors | None:
    """Colours from a name or from JSON, with those of values beyond the range."""
    name, text = _single(values, "colormap_name"), _single(values, "colormap")
    if name is not None and text is not None:
        raise ParameterError("colormap", found=text[:40], expected="nothing beside colormap_name")
    if name is not None and name not in colormaps.names():
        expected = "one of rio-tiler's colormaps, such as viridis"
        raise ParameterError("colormap_name", found=name[:40], expected=expected)
    colors: Colors | None = None if text is None else parse_colormap(text)
    if name is not None:
        colors = Ramp(name)
    ends = {key: _single(values, key) for key in ("belowmincolor", "abovemaxcolor")}
    given = {key: parse_color(key, color) for key, color in ends.items() if color is not None}
    if not given:
        return colors
    if not isinstance(colors, Ramp | None):
        raise ParameterError(next(iter(given)), found="classes", expected="a ramp of colours, which has a range")
    shades = GREY.shades if colors is None else colors.shades
    return Ramp(shades, given.get("belowmincolor"), given.get("abovemaxcolor"))


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


def _range(text: str, name: str = "rescale") -> tuple[float, float]:
    ends = tuple(parse_number(name, part) for part in text.split(",", 2))
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise ParameterError(name, found=text[:40], expected="min,max with min below max")
    return ends[0], ends[1]
