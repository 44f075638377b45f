"""What is computed from the values of a tile before it is drawn: TiTiler's algorithms that make sense for a pyramid.

An algorithm is a small frozen value that turns a `Block` into another one. Names, parameters and defaults are TiTiler's
(`titiler.core.algorithm`), so that its users' addresses keep working; what is computed is what GDAL computes where the
two differ, which the classes say.

Values are expected unpacked: heights in metres, reflectances as they are, not as they are stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from geozarr.errors import ParameterError, UnknownNameError
from tiler import colormaps
from tiler.block import Block
from tiler.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

Range = tuple[float, float]

_MAX_TEXT = 512  # characters of parameters; all of hillshade's take 100
_NEIGHBOURS = tuple((row, col) for row in (-1, 0, 1) for col in (-1, 0, 1) if (row, col) != (0, 0))
_LAST_CODE = 2**24 - 1  # of heights in three bytes
_TERRARIUM_OFFSET = 32768.0  # metres; https://github.com/tilezen/joerd/blob/master/docs/formats.md


class Algorithm(Protocol):
    """Computes a block from a block. Implementations are frozen, hashable and have a stable `repr`."""

    @property
    def buffer(self) -> int:
        """Cells around a tile that its result depends on."""

    @property
    def bands(self) -> int:
        """Bands it takes."""

    @property
    def output_bands(self) -> int:
        """Bands it makes."""

    @property
    def output_range(self) -> Range | None:
        """Values of the result that become black and white by default; None: they are bytes, shown as they are."""

    def __call__(self, block: Block, cell_size: tuple[float, float], /) -> Block:
        """Compute.

        Parameters
        ----------
        block : Block
            `bands` bands of unpacked values, with `buffer` cells around the tile on each side, rows from north to
            south. Cells outside the data are not valid.
        cell_size : tuple of (float, float)
            Width and height of a cell on the ground, metres; above 0. Degrees, and the stretched metres of Web
            Mercator, are the caller's to convert.

        Returns
        -------
        Block
            Without the buffer.

        Raises
        ------
        ParameterError
            If the block has another number of bands or no cell within its buffer, or a cell has no size.
        """


@dataclass(frozen=True)
class Hillshade:
    """Shaded relief, as `gdaldem hillshade` has it: Horn's gradient, and the cosine of the angle to the light.

    The result is 1 + 254 x the cosine, rounded; 1 where the light comes from behind. TiTiler's hillshade takes each
    cell to be a metre wide, and shows the cosines -1 to 1 as 0 to 255.

    A neighbour that is not valid counts as the cell itself, as with GDAL's `-compute_edges`.

    Parameters
    ----------
    azimuth : int
        Where the light comes from, degrees clockwise from west, as in TiTiler: 45 is the north-west, GDAL's 315.
    angle_altitude : float
        Height of the light above the horizon, degrees.
    z_exaggeration : float
        Factor of heights.

    References
    ----------
    Horn, B. K. P. (1981), Hill shading and the reflectance map, Proceedings of the IEEE 69 (1), 14-47.
    """

    azimuth: int = 45
    angle_altitude: float = 45.0
    z_exaggeration: float = 1.0
    buffer: ClassVar[int] = 1
    bands: ClassVar[int] = 1
    output_bands: ClassVar[int] = 1
    output_range: ClassVar[Range | None] = None

    def __call__(self, block: Block, cell_size: tuple[float, float], /) -> Block:
        """Compute; see `Algorithm`."""
        east, south, valid = _gradient(block, cell_size, self.z_exaggeration)
        compass, altitude = math.radians(self.azimuth + 270), math.radians(self.angle_altitude)
        # The normal of the ground is (-dz/deast, dz/dsouth, 1) eastwards, northwards and upwards.
        length = np.sqrt(1.0 + east * east + south * south)
        east *= -math.cos(altitude) * math.sin(compass)
        south *= math.cos(altitude) * math.cos(compass)
        cosine = (east + south + math.sin(altitude)) / length
        shade = np.where(valid, 1.0 + 254.0 * np.maximum(cosine, 0.0), 0.0)
        return Block(np.floor(shade + 0.5).astype(np.uint8)[np.newaxis], valid[np.newaxis])


@dataclass(frozen=True)
class Slope:
    """Slope in degrees, as `gdaldem slope` has it: Horn's gradient.

    A neighbour that is not valid counts as the cell itself, as with GDAL's `-compute_edges`.

    Parameters
    ----------
    z_exaggeration : float
        Factor of heights.
    """

    z_exaggeration: float = 1.0
    buffer: ClassVar[int] = 1
    bands: ClassVar[int] = 1
    output_bands: ClassVar[int] = 1
    output_range: ClassVar[Range | None] = (0.0, 90.0)

    def __call__(self, block: Block, cell_size: tuple[float, float], /) -> Block:
        """Compute; see `Algorithm`."""
        east, south, valid = _gradient(block, cell_size, self.z_exaggeration)
        degrees = np.degrees(np.arctan(np.hypot(east, south)))
        return Block(np.where(valid, degrees, 0.0).astype(np.float32)[np.newaxis], valid[np.newaxis])


@dataclass(frozen=True)
class Contours:
    """Black lines of equal height over the colours of "terrain".

    Parameters
    ----------
    increment : int
        Height from line to line; 0 draws none.
    thickness : int
        Heights above a line that belong to it.
    minz, maxz : int
        Heights of the second and the last colour.

    Raises
    ------
    ParameterError
        If `minz` is not below `maxz`.
    """

    increment: int = 35
    thickness: int = 1
    minz: int = -12000
    maxz: int = 8000
    buffer: ClassVar[int] = 0
    bands: ClassVar[int] = 1
    output_bands: ClassVar[int] = 3
    output_range: ClassVar[Range | None] = None

    def __post_init__(self) -> None:
        if not self.minz < self.maxz:
            raise ParameterError("algorithm_params", found=f"minz {self.minz}", expected=f"less than maxz {self.maxz}")

    def __call__(self, block: Block, _cell_size: tuple[float, float], /) -> Block:
        """Compute; see `Algorithm`. The size of a cell is not used."""
        heights, valid = _heights(block, self.bands)
        share = (np.clip(heights, self.minz, self.maxz) - self.minz) / (self.maxz - self.minz)
        colors = colormaps.table("terrain")[(1.0 + 254.0 * share).astype(np.uint8), :3]
        if self.increment:
            with np.errstate(invalid="ignore"):  # an infinite height is on no line
                colors[np.mod(heights, self.increment) < self.thickness] = 0
        return _rgb(np.moveaxis(colors, -1, 0), valid)


@dataclass(frozen=True)
class TerrainRGB:
    """Heights in three bytes, as Mapbox has them: height = baseval + interval x (65536 red + 256 green + blue).

    Heights are rounded to the nearest step, half to even. Those that three bytes cannot hold become the nearest that
    they can; TiTiler refuses or wraps them.

    Parameters
    ----------
    interval : float
        Metres of a step, above 0.
    baseval : float
        Metres of the first.
    nodata_height : float or None
        Height of cells that are not valid; None leaves them so.

    References
    ----------
    https://docs.mapbox.com/data/tilesets/reference/mapbox-terrain-rgb-v1/
    """

    interval: float = 0.1
    baseval: float = -10000.0
    nodata_height: float | None = None
    buffer: ClassVar[int] = 0
    bands: ClassVar[int] = 1
    output_bands: ClassVar[int] = 3
    output_range: ClassVar[Range | None] = None

    def __call__(self, block: Block, _cell_size: tuple[float, float], /) -> Block:
        """Compute; see `Algorithm`. The size of a cell is not used."""
        heights, valid = _heights(block, self.bands, self.nodata_height)
        heights -= self.baseval
        heights /= self.interval
        return _rgb(_three_bytes(np.rint(heights)), valid)


@dataclass(frozen=True)
class Terrarium:
    """Heights in three bytes, as Mapzen has them: height = 256 red + green + blue / 256 - 32768.

    Heights are rounded down to 1/256 m; those that three bytes cannot hold become the nearest that they can.

    Parameters
    ----------
    nodata_height : float or None
        Height of cells that are not valid; None leaves them so.

    References
    ----------
    https://github.com/tilezen/joerd/blob/master/docs/formats.md
    """

    nodata_height: float | None = None
    buffer: ClassVar[int] = 0
    bands: ClassVar[int] = 1
    output_bands: ClassVar[int] = 3
    output_range: ClassVar[Range | None] = None

    def __call__(self, block: Block, _cell_size: tuple[float, float], /) -> Block:
        """Compute; see `Algorithm`. The size of a cell is not used."""
        heights, valid = _heights(block, self.bands, self.nodata_height)
        heights += _TERRARIUM_OFFSET
        heights *= 256.0
        return _rgb(_three_bytes(np.floor(heights)), valid)


@dataclass(frozen=True)
class NormalizedIndex:
    """Normalized difference of two bands: (second - first) / (second + first), not valid where that is no number."""

    buffer: ClassVar[int] = 0
    bands: ClassVar[int] = 2
    output_bands: ClassVar[int] = 1
    output_range: ClassVar[Range | None] = (-1.0, 1.0)

    def __call__(self, block: Block, _cell_size: tuple[float, float], /) -> Block:
        """Compute; see `Algorithm`. The size of a cell is not used."""
        _check_bands(block, self.bands)
        first, second = block.values.astype(np.float64)
        with np.errstate(all="ignore"):  # what cells that are not valid hold, and sums of 0
            index = ((second - first) / (second + first)).astype(np.float32)
        valid = block.mask.all(axis=0) & np.isfinite(index)
        return Block(np.where(valid, index, np.float32(0))[np.newaxis], valid[np.newaxis])


def _gradient(
    block: Block, cell_size: tuple[float, float], z_factor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Rise of the ground eastwards and southwards, metres in a metre, by Horn's weights of 1, 2, 1.

    Returns
    -------
    east, south : ndarray of float64, shape (row, col)
        Without the buffer; 0 where a cell is not valid.
    valid : ndarray of bool, shape (row, col)
        True where a cell is valid, and its gradient a number.
    """
    if not all(math.isfinite(side) and side > 0 for side in cell_size):
        raise ParameterError("cell_size", found=cell_size, expected="two lengths above 0 m")
    if min(block.values.shape[1:]) < 3:
        raise ParameterError("block", found=block.values.shape, expected="at least 3 x 3 cells")
    heights, mask = _heights(block, 1)
    centre, valid = heights[1:-1, 1:-1], mask[1:-1, 1:-1]
    east, south = np.zeros(centre.shape), np.zeros(centre.shape)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite heights, and heights beyond any ground
        for row, col in _NEIGHBOURS:
            place = slice(1 + row, heights.shape[0] - 1 + row), slice(1 + col, heights.shape[1] - 1 + col)
            neighbour = np.where(mask[place], heights[place], centre)
            if row:
                south += row * (2 - abs(col)) * neighbour
            if col:
                east += col * (2 - abs(row)) * neighbour
        east *= z_factor / (8.0 * cell_size[0])
        south *= z_factor / (8.0 * cell_size[1])
        valid = valid & np.isfinite(east * east + south * south)
    return np.where(valid, east, 0.0), np.where(valid, south, 0.0), valid


def _heights(
    block: Block, bands: int, nodata_height: float | None = None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """First band in float64, and which cells of it have a number; the others are 0, or valid and `nodata_height`."""
    _check_bands(block, bands)
    valid = block.mask[0] & ~np.isnan(block.values[0])
    if nodata_height is None:
        return np.where(valid, block.values[0], 0).astype(np.float64), valid
    return np.where(valid, block.values[0].astype(np.float64), nodata_height), np.ones(valid.shape, bool)


def _check_bands(block: Block, bands: int) -> None:
    if len(block.values) != bands:
        raise ParameterError("algorithm", found=f"{len(block.values)} bands", expected=f"{bands} bands")


def _three_bytes(codes: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Bytes of whole numbers, the highest first, shape (3, row, col)."""
    whole = np.clip(codes, 0.0, _LAST_CODE).astype(">u4")
    return np.moveaxis(whole.view(np.uint8).reshape(*whole.shape, 4)[..., 1:], -1, 0)


def _rgb(colors: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Block:
    return Block(colors, np.repeat(valid[np.newaxis], 3, axis=0))


@dataclass(frozen=True)
class _Parameter:
    """A parameter, as checked and as documented."""

    name: str
    type: Literal["integer", "number"]
    default: float | None
    minimum: float
    maximum: float
    description: str
    above_minimum: bool = False

    def read(self, found: Any) -> float | None:
        """Check a value and bring it to its type, so that 1 and 1.0 make one algorithm."""
        if found is None and self.default is None:
            return None
        if type(found) not in (int, float) or not self._holds(found):
            raise ParameterError("algorithm_params", found={self.name: found}, expected=self._expected())
        return int(found) if self.type == "integer" else float(found)

    def _holds(self, number: float) -> bool:
        is_whole = self.type == "number" or number == math.floor(number)
        is_enough = number > self.minimum if self.above_minimum else number >= self.minimum
        return is_enough and number <= self.maximum and is_whole

    def _expected(self) -> str:
        noun = "a whole number" if self.type == "integer" else "a number"
        return f"{noun} {'above' if self.above_minimum else 'from'} {self.minimum:g} to {self.maximum:g}"

    def schema(self) -> dict[str, Any]:
        """Return its JSON schema."""
        lower = "exclusiveMinimum" if self.above_minimum else "minimum"
        numbers = {"maximum": self.maximum, lower: self.minimum, "type": self.type}
        about = {"default": self.default, "title": self.name.replace("_", " ").title(), "description": self.description}
        return {**about, **(numbers if self.default is not None else {"anyOf": [numbers, {"type": "null"}]})}


@dataclass(frozen=True)
class _Kind:
    """An algorithm, as made and as documented."""

    make: Callable[..., Algorithm]
    title: str
    description: str
    dtype: str
    parameters: tuple[_Parameter, ...] = ()


# TiTiler's users add cells around a tile by this; one is what is needed, and always read.
_BUFFER = _Parameter("buffer", "integer", 3, 0, 99, "Accepted for TiTiler's sake: the one cell needed is always read")
_EXAGGERATION = _Parameter("z_exaggeration", "number", 1.0, 1e-6, 1e6, "Factor of heights")
_NODATA_HEIGHT = _Parameter("nodata_height", "number", None, -99999.0, 99999.0, "Height of cells without data")
_KINDS: Mapping[str, _Kind] = {
    "hillshade": _Kind(
        Hillshade,
        "Hillshade",
        "Shaded relief of heights, by Horn's gradient, as GDAL has it.",
        "uint8",
        (
            _Parameter("azimuth", "integer", 45, 0, 360, "Direction of the light, degrees clockwise from west"),
            _Parameter("angle_altitude", "number", 45.0, -90.0, 90.0, "Light above the horizon, degrees"),
            _BUFFER,
            _EXAGGERATION,
        ),
    ),
    "slope": _Kind(
        Slope,
        "Slope",
        "Degrees of slope of heights, by Horn's gradient, as GDAL has it.",
        "float32",
        (_BUFFER, _EXAGGERATION),
    ),
    "contours": _Kind(
        Contours,
        "Contours",
        "Lines of equal height over terrain colours.",
        "uint8",
        (
            _Parameter("increment", "integer", 35, 0, 999, "Height from line to line; 0 draws none"),
            _Parameter("thickness", "integer", 1, 0, 10, "Heights above a line that belong to it"),
            _Parameter("minz", "integer", -12000, -99999, 99999, "Height of the second colour"),
            _Parameter("maxz", "integer", 8000, -99999, 99999, "Height of the last colour"),
        ),
    ),
    "terrainrgb": _Kind(
        TerrainRGB,
        "TerrainRGB",
        "Heights encoded in red, green and blue, as Mapbox has them.",
        "uint8",
        (
            _Parameter("interval", "number", 0.1, 0.0, 1.0, "Metres of a step", above_minimum=True),
            _Parameter("baseval", "number", -10000.0, -99999.0, 99999.0, "Metres of the first step"),
            _NODATA_HEIGHT,
        ),
    ),
    "terrarium": _Kind(
        Terrarium,
        "Terrarium",
        "Heights encoded in red, green and blue, as Mapzen has them.",
        "uint8",
        (_NODATA_HEIGHT,),
    ),
    "normalizedIndex": _Kind(
        NormalizedIndex,
        "Normalized Difference Index",
        "Normalized difference of two bands: (second - first) / (second + first).",
        "float32",
    ),
}


def names() -> tuple[str, ...]:
    """Names of the algorithms."""
    return tuple(_KINDS)


def parse_algorithm(name: str, params_json: str | None = None) -> Algorithm:
    """Read TiTiler's `algorithm` and `algorithm_params`.

    Parameters
    ----------
    name : str
        One of `names()`.
    params_json : str or None
        JSON object of parameters, at most 512 characters; what is not given has its default.

    Returns
    -------
    Algorithm
        Ready to compute.

    Raises
    ------
    UnknownNameError
        If there is no algorithm of that name.
    ParameterError
        If the text is no JSON object, or a parameter is unknown or out of its range.
    """
    kind = _kind(name)
    found = {}
    if params_json is not None:
        found = parse_json("algorithm_params", params_json, max_characters=_MAX_TEXT, max_depth=1)
    known = {parameter.name: parameter for parameter in kind.parameters}
    if not isinstance(found, dict):
        raise ParameterError("algorithm_params", found=params_json, expected="a JSON object")
    unknown = [key for key in found if key not in known]
    if unknown:
        raise ParameterError("algorithm_params", found=unknown[0], expected=f"one of {', '.join(known) or 'none'}")
    given = {key: known[key].read(value) for key, value in found.items()}
    given.pop(_BUFFER.name, None)
    return kind.make(**given)


def describe(name: str) -> dict[str, Any]:
    """Describe an algorithm as TiTiler's `/algorithms/{id}` does.

    Returns
    -------
    dict
        JSON: `title`, `description`, `inputs` and `outputs` (`nbands`; of outputs `dtype`, and `min` and `max` where
        they are known), `parameters` (a JSON schema each).

    Raises
    ------
    UnknownNameError
        If there is no algorithm of that name.
    """
    kind = _kind(name)
    algorithm = kind.make()
    low, high = ([end] for end in algorithm.output_range) if algorithm.output_range else (None, None)
    return {
        "title": kind.title,
        "description": kind.description,
        "inputs": {"nbands": algorithm.bands},
        "outputs": {"nbands": algorithm.output_bands, "dtype": kind.dtype, "min": low, "max": high},
        "parameters": {parameter.name: parameter.schema() for parameter in kind.parameters},
    }


def _kind(name: str) -> _Kind:
    if name not in _KINDS:
        raise UnknownNameError("algorithm", name, names())
    return _KINDS[name]
