"""Which axes of a variable are rows and columns, and what tells their coordinates (CF 4 and 5).

Said by the coordinate variable: `axis`, `standard_name`, units of latitude and longitude; else by the name of the
dimension, where that is one in common use. Two axes that both say so are never chosen between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from geozarr.errors import MetadataError
from geozarr.levels import USUAL_DIMENSIONS
from pyramids.sources.cf_attributes import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import xarray as xr

EAST = frozenset({"degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese"})  # CF 4.2
NORTH = frozenset({"degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn"})  # CF 4.1
_X_NAMES = ("projection_x_coordinate", "projection_x_angular_coordinate", "longitude", "grid_longitude")
_Y_NAMES = ("projection_y_coordinate", "projection_y_angular_coordinate", "latitude", "grid_latitude")
_X_WORDS = frozenset(
    {"x", "lon", "longitude", "long", "easting", "eastings", "xc", "rlon", "nav_lon", "projection_x_coordinate", "lons"}
)
_Y_WORDS = frozenset(
    {"y", "lat", "latitude", "northing", "northings", "yc", "rlat", "nav_lat", "projection_y_coordinate", "lats"}
)
_USUAL = (USUAL_DIMENSIONS, ("lat", "lon"), ("latitude", "longitude"))  # names that a native pyramid keeps


class SpatialAxes(NamedTuple):
    """Rows and columns of a variable.

    Parameters
    ----------
    y, x : str
        Names of the dimensions.
    rows, cols : str or None
        Names of their 1-D coordinate variables; None where they have none.
    """

    y: str
    x: str
    rows: str | None
    cols: str | None

    @property
    def are_usual(self) -> bool:
        """True where most readers know the names."""
        return (self.y, self.x) in _USUAL


def axes_of(dataset: xr.Dataset, array: xr.DataArray, node: str) -> SpatialAxes | None:
    """Find rows and columns of a variable; None where it has not both.

    Raises
    ------
    MetadataError
        If more than one of its axes says that it is the one or the other.
    """
    dimensions = [str(dimension) for dimension in array.dims]
    chosen = _stated(dataset, array)
    if chosen is not None and set(chosen) <= set(dimensions):
        y, x = chosen
        return SpatialAxes(y, x, _coordinate(dataset, array, y), _coordinate(dataset, array, x))
    found: dict[str, tuple[str, str | None]] = {}
    for letter, says, words in (("X", _says_x, _X_WORDS), ("Y", _says_y, _Y_WORDS)):
        described: list[tuple[str, str | None]] = [
            (dimension, coordinate)
            for dimension in dimensions
            if (coordinate := _coordinate(dataset, array, dimension)) is not None and says(dataset[coordinate])
        ]
        if not described:
            named = [dimension for dimension in dimensions if dimension.lower() in words]
            described = [(dimension, _coordinate(dataset, array, dimension)) for dimension in named]
        if len(described) > 1:
            names = tuple(dimension for dimension, _ in described)
            raise MetadataError(node, "dimensions", found=names, expected=f"one that is the {letter} axis")
        if described:
            found[letter] = described[0]
    if len(found) < len("XY") or found["X"][0] == found["Y"][0]:
        return None
    (x, cols), (y, rows) = found["X"], found["Y"]
    return SpatialAxes(y, x, rows, cols)


def _stated(dataset: xr.Dataset, array: xr.DataArray) -> tuple[str, str] | None:
    """Read `spatial:dimensions` of an array, or of the group that holds it (spatial v0.1)."""
    for holder in (array.attrs, dataset.attrs):
        value = holder.get("spatial:dimensions")
        if isinstance(value, list) and len(value) == 2 and all(isinstance(name, str) for name in value):
            return value[0], value[1]
    return None


def _coordinate(dataset: xr.Dataset, array: xr.DataArray, dimension: str) -> str | None:
    """Name the 1-D coordinate variable of a dimension: of its own name, else one that the variable lists."""
    if dimension in dataset.variables and dataset[dimension].dims == (dimension,):
        return dimension
    for name in text(array, "coordinates").split():
        if name in dataset.variables and dataset[name].dims == (dimension,):
            return name
    return None


def _says_x(coordinate: xr.DataArray) -> bool:
    return _says(coordinate, "X", _X_NAMES, EAST)


def _says_y(coordinate: xr.DataArray) -> bool:
    return _says(coordinate, "Y", _Y_NAMES, NORTH)


def _says(coordinate: xr.DataArray, letter: str, names: tuple[str, ...], units: frozenset[str]) -> bool:
    kind = text(coordinate, "_CoordinateAxisType")  # of Unidata's Common Data Model
    return (
        text(coordinate, "axis").upper() == letter
        or text(coordinate, "standard_name") in names
        or _units(coordinate) in units
        or kind in {"X": ("GeoX", "Lon"), "Y": ("GeoY", "Lat")}[letter]
    )


def geolocation_of(dataset: xr.Dataset, array: xr.DataArray, node: str) -> tuple[str, str] | None:
    """Name the 2-D longitude and latitude of a variable's pixels, both over the same two of its axes.

    Those that its `coordinates` list, else the only ones of the dataset that lie on its axes.

    Raises
    ------
    MetadataError
        If there are several of one kind.
    """
    listed = [name for name in text(array, "coordinates").split() if name in dataset.variables]
    for names in (listed, [str(name) for name in dataset.variables]):
        longitudes = _two_dimensional(dataset, array, names, tells_longitude)
        latitudes = _two_dimensional(dataset, array, names, tells_latitude)
        if len(longitudes) > 1 or len(latitudes) > 1:
            expected = "one longitude and one latitude for each pixel"
            raise MetadataError(node, "coordinates", found=(*longitudes, *latitudes), expected=expected)
        if longitudes and latitudes and dataset[longitudes[0]].dims == dataset[latitudes[0]].dims:
            return longitudes[0], latitudes[0]
    return None


def tells_longitude(variable: xr.DataArray | xr.Variable) -> bool:
    """Tell whether a variable holds longitudes (CF 4.2)."""
    return text(variable, "standard_name") == "longitude" or _units(variable) in EAST


def tells_latitude(variable: xr.DataArray | xr.Variable) -> bool:
    """Tell whether a variable holds latitudes (CF 4.1)."""
    return text(variable, "standard_name") == "latitude" or _units(variable) in NORTH


def _units(variable: xr.DataArray | xr.Variable) -> str:
    """Units as they are compared: "degrees east", which EMIT writes, is meant like degrees_east."""
    return text(variable, "units").lower().replace(" ", "_")


def _two_dimensional(
    dataset: xr.Dataset, array: xr.DataArray, names: Iterable[str], tells: Callable[[xr.DataArray], bool]
) -> list[str]:
    found = []
    for name in names:
        variable = dataset[name]
        spans = [dimension for dimension in variable.dims if variable.sizes[dimension] > 1]
        if tells(variable) and len(spans) == 2 and set(variable.dims) <= set(array.dims) and name != array.name:
            found.append(name)
    return found
