"""Coordinates of rows and columns into a grid: decoded, in the unit of the CRS, evenly spaced or not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from affine import Affine

from geozarr.crs import full_turn
from geozarr.errors import MetadataError, ParameterError
from geozarr.grid import Grid
from pyramids.geolocation import Geolocation
from pyramids.placement import Rectilinear
from pyramids.sources.cf_attributes import numbers, text
from pyramids.sources.quirk import Quirk

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from geozarr import CRS
    from pyramids.placement import AnyGrid
    from pyramids.sources.cf_axes import SpatialAxes

REGULAR = 1e-3  # of a cell: how far coordinates may be from evenly spaced; float32 degrees are off by 1e-4
IRREGULAR = ("refuse", "resample")
_METRES = {
    "m": 1.0,
    "metre": 1.0,
    "metres": 1.0,
    "meter": 1.0,
    "meters": 1.0,
    "km": 1000.0,
    "kilometre": 1000.0,
    "kilometres": 1000.0,
    "kilometer": 1000.0,
    "kilometers": 1000.0,
    "ft": 0.3048,
    "foot": 0.3048,
    "feet": 0.3048,
    "us_survey_foot": 1200 / 3937,
}
_RADIANS = {"rad": 1.0, "radian": 1.0, "radians": 1.0, "microradian": 1e-6, "microradians": 1e-6}
_MOST_SIZE = 2**22  # coordinates along an axis


class Placed(NamedTuple):
    """A grid, and what was done to come to it."""

    grid: AnyGrid
    quirks: tuple[Quirk, ...]


def place(
    dataset: xr.Dataset,
    axes: SpatialAxes,
    crs: CRS,
    *,
    mapping: Mapping[str, Any],
    transform: Affine | None = None,
    node: str,
    irregular: str = "refuse",
) -> Placed:
    """Make the grid of rows and columns.

    Parameters
    ----------
    dataset : Dataset
        That holds the coordinates.
    axes : SpatialAxes
        Which they are.
    crs : CRS
        What they mean.
    mapping : mapping
        Attributes of the grid mapping, of which `perspective_point_height` is used.
    transform : Affine, optional
        What is stated, for axes without coordinates or with a single one.
    node : str
        For messages.
    irregular : str
        "refuse" coordinates that are not evenly spaced, or "resample" from where they say.

    Returns
    -------
    Placed
        A Grid, or a Rectilinear placement.

    Raises
    ------
    MetadataError
        If coordinates are missing, malformed, or not evenly spaced.
    ParameterError
        If `irregular` is none of the two.
    """
    if irregular not in IRREGULAR:
        raise ParameterError("irregular", found=irregular, expected=f"one of {', '.join(IRREGULAR)}")
    shape = (dataset.sizes[axes.y], dataset.sizes[axes.x])
    if transform is not None and (axes.rows is None or axes.cols is None or 1 in shape):
        return Placed(_grid(shape, transform, crs, node), ())
    quirks: list[Quirk] = []
    lines = []
    for dimension, name in ((axes.x, axes.cols), (axes.y, axes.rows)):
        if name is None:
            raise MetadataError(node, dimension, found=None, expected="a coordinate variable with the pixel centres")
        lines.append(_centres(dataset, name, crs, mapping, node, quirks))
    x, y = lines
    if crs.is_geographic:
        x = _unwrapped(x, crs, f"{node} {axes.cols}", quirks)
    steps = [
        _step(dataset, name, values, node, factor=factor)
        for name, values, factor in ((axes.cols, x.centres, x.factor), (axes.rows, y.centres, y.factor))
    ]
    off = [_unevenness(values, step) for values, step in zip((x.centres, y.centres), steps, strict=True)]
    for name, worst in zip((axes.cols, axes.rows), off, strict=True):
        if worst <= REGULAR:
            continue
        found = f"{worst:.3g} cells off an even spacing" if math.isfinite(worst) else "centres that do not go on"
        if irregular == "refuse":
            expected = f"at most {REGULAR} cells, or irregular='resample'"
            raise MetadataError(node, str(name), found=found, expected=expected)
        quirks.append(Quirk("irregular-axis", f"{node} {name}", found, "pixels are read where it says"))
    quirks += _runs(axes, steps, node)
    if max(off) > REGULAR:
        try:
            return Placed(Rectilinear(x.centres, y.centres, crs), tuple(quirks))
        except MetadataError as error:
            raise MetadataError(node, error.key, found=error.found, expected=error.expected) from error
    first_x, first_y = float(x.centres[0]), float(y.centres[0])
    step_x, step_y = steps
    transform = Affine(step_x, 0.0, first_x - step_x / 2, 0.0, step_y, first_y - step_y / 2)
    return Placed(_grid(shape, transform, crs, node), tuple(quirks))


def geolocate(dataset: xr.Dataset, names: tuple[str, str], crs: CRS, *, node: str, limit: float | None) -> Placed:
    """Place pixels by a longitude and a latitude each; raises as `Geolocation`."""
    longitudes, latitudes = (_masked(dataset[name]) for name in names)
    try:
        placed = Geolocation(longitudes, latitudes, crs, limit=limit)
    except MetadataError as error:
        raise MetadataError(node, error.key, found=error.found, expected=error.expected) from error
    found = f"a longitude and a latitude for each of {placed.height} x {placed.width} pixels"
    done = f"pixels are read where they say, up to {placed.limit:,.0f} m from the nearest centre"
    return Placed(placed, (Quirk("geolocation", f"{node} {' '.join(names)}", found, done),))


class _Centres(NamedTuple):
    """Centres along an axis in the unit of the CRS, and by what those of the file were multiplied."""

    centres: NDArray[np.float64]
    factor: float


def _centres(
    dataset: xr.Dataset, name: str, crs: CRS, mapping: Mapping[str, Any], node: str, quirks: list[Quirk]
) -> _Centres:
    variable = dataset[name]
    if variable.size > _MOST_SIZE:
        raise MetadataError(node, name, found=variable.size, expected=f"at most {_MOST_SIZE} coordinates")
    if variable.dtype.kind not in "iuf":
        raise MetadataError(node, name, found=f"values of type {variable.dtype}", expected="numbers")
    values = _unpacked(variable, variable.values)
    if variable.attrs.get("scale_factor") is not None or variable.attrs.get("add_offset") is not None:
        found = f"scale_factor {variable.attrs.get('scale_factor')}, add_offset {variable.attrs.get('add_offset')}"
        quirks.append(Quirk("coordinates-packed", f"{node} {name}", found, "unpacked"))
    if not np.isfinite(values).all():
        raise MetadataError(node, name, found="a value that is not finite", expected="finite pixel centres")
    factor = _factor(variable, crs, mapping, f"{node} {name}", quirks)
    return _Centres(values * factor, factor)


def _unpacked(variable: xr.DataArray, raw: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(raw, np.float64)
    for key, apply in (("scale_factor", np.multiply), ("add_offset", np.add)):
        found = numbers(variable, key) if key in variable.attrs else []
        if found:
            values = apply(values, float(found[0]))
    return values


def _masked(variable: xr.DataArray) -> NDArray[np.float64]:
    """Values of a 2-D coordinate, NaN where they are missing; axes of length one are left out."""
    raw = variable.variable[...].values  # of the variable itself xarray would keep them for good
    values = _unpacked(variable, raw)
    for key in ("_FillValue", "missing_value"):
        for missing in numbers(variable, key) if key in variable.attrs else []:
            values = np.where(raw == missing, np.nan, values)  # never in place: they may be the user's
    return values.reshape([size for size in values.shape if size > 1] or [1, 1])


def _factor(variable: xr.DataArray, crs: CRS, mapping: Mapping[str, Any], where: str, quirks: list[Quirk]) -> float:
    """By what coordinates are multiplied to be in the unit of the CRS.

    Raises
    ------
    MetadataError
        If their unit cannot be one of that CRS.
    """
    units = text(variable, "units")
    known = units.lower()
    if not units or known in ("1", "unknown"):
        return 1.0
    if crs.is_geographic:
        if known.startswith("degree"):
            factor = full_turn(crs) / 360
        elif known in _RADIANS:
            factor = full_turn(crs) / math.tau * _RADIANS[known]
        else:
            raise MetadataError(where, "units", found=units, expected=f"degrees or radians: the CRS is {crs}")
    elif known in _METRES:
        factor = _METRES[known] / crs.metres_per_unit
    elif known in _RADIANS or known.startswith("degree"):
        height = mapping.get("perspective_point_height")
        if not isinstance(height, int | float) or "geostationary" not in str(mapping.get("grid_mapping_name")):
            raise MetadataError(where, "units", found=units, expected=f"{crs.unit}: the CRS is {crs}")
        angle = _RADIANS.get(known, math.tau / 360)
        done = f"times {height:g} m, the height of the satellite"
        quirks.append(Quirk("scan-angles", where, units, done))
        return angle * float(height) / crs.metres_per_unit
    else:
        raise MetadataError(where, "units", found=units, expected=f"{crs.unit}: the CRS is {crs}")
    if abs(factor - 1.0) > 1e-9:
        quirks.append(Quirk("coordinates-units", where, units, f"in {crs.unit}, the unit of {crs}"))
        return factor
    return 1.0


def _unwrapped(x: _Centres, crs: CRS, where: str, quirks: list[Quirk]) -> _Centres:
    """Let longitudes go on where they jump back by a turn: 358, 359, 0, 1 or 178, 179, -180."""
    turn = full_turn(crs)
    steps = np.diff(x.centres)
    if steps.size == 0:
        return x
    turns = np.rint(steps / turn)  # from one column to the next it is never half a turn
    if not turns.any():
        return x
    centres = x.centres - turn * np.concatenate([[0.0], np.cumsum(turns)])
    at = int(np.flatnonzero(turns)[0])
    found = f"{x.centres[at]:g} beside {x.centres[at + 1]:g}"
    quirks.append(Quirk("longitudes-unwrapped", where, found, f"counted on to {centres[-1]:g}"))
    return _Centres(centres, x.factor)


def _step(dataset: xr.Dataset, name: str | None, centres: NDArray[np.float64], node: str, *, factor: float) -> float:
    """Mean step from one centre to the next; of a single one, the width that its bounds tell (CF 7.1)."""
    if centres.size > 1:
        return float(centres[-1] - centres[0]) / (centres.size - 1)
    bounds = text(dataset[name], "bounds") if name is not None else ""
    if bounds in dataset.variables and dataset[bounds].size == 2:
        low, high = np.asarray(dataset[bounds].values, np.float64).ravel() * factor
        if math.isfinite(high - low) and high != low:
            return float(high - low)
    expected = "at least 2 pixel centres or their bounds, to tell the cell size"
    raise MetadataError(node, str(name), found=centres.tolist(), expected=expected)


def _unevenness(centres: NDArray[np.float64], step: float) -> float:
    """How many cells a centre is off an even spacing from the first to the last, at most."""
    if centres.size < 3:
        return 0.0 if step else math.inf
    even = centres[0] + step * np.arange(centres.size)
    return float(np.abs(centres - even).max() / abs(step)) if step else math.inf


def _runs(axes: SpatialAxes, steps: list[float], node: str) -> list[Quirk]:
    quirks = []
    if steps[1] > 0:
        quirks.append(Quirk("south-up", f"{node} {axes.rows}", "values that grow", "rows are turned around"))
    if steps[0] < 0:
        quirks.append(Quirk("west-positive", f"{node} {axes.cols}", "values that fall", "columns are turned around"))
    return quirks


def _grid(shape: tuple[int, int], transform: Affine, crs: CRS, node: str) -> Grid:
    try:
        return Grid(shape, transform, crs)
    except MetadataError as error:
        raise MetadataError(node, error.key, found=error.found, expected=error.expected) from error
