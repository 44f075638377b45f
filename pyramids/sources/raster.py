"""Source over a raster file that rasterio opens: GeoTIFF, COG and their like."""

from __future__ import annotations

import re
import threading
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from geozarr import crs as crs_module
from geozarr.errors import ChunkReadError, MetadataError, ParameterError, StoreError, UnsupportedError
from geozarr.grid import Grid
from pyramids.sources.source import Axis, Pixels, Slice, SourceVariable, check_dtype, check_nodata, valid_where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geozarr import CRS, Window

BLOCK_CACHE = 64 * 2**20  # bytes of GDAL's own block cache; its default is 5 % of the machine
BAND_LAYOUTS = ("variables", "axis")
AXIS_VARIABLE = "data"  # name of the one variable when bands are an axis


@dataclass(frozen=True)
class _Description:
    """What the file says of itself, read once."""

    grid: Grid
    variables: tuple[SourceVariable, ...]
    bands: tuple[tuple[int, ...], ...]  # GDAL band numbers of each variable's slices
    has_alpha: bool


class RasterSource:
    """A raster file.

    Parameters
    ----------
    path : str or Path
        What rasterio opens.
    nodata : float, optional
        The value that means "no data", in place of what the file says.
    bands : str
        "variables": each band is a variable, named by its colour, else its description, else `b1`, `b2` ...
        "axis": one variable `data` with a `band` axis.

    Raises
    ------
    StoreError
        If the file cannot be opened.
    MetadataError
        If it has no CRS, no or a singular transform, no pixels, or a nodata that its dtype cannot hold.
    UnsupportedError
        If its dtype is not supported, or it is placed by ground control points.
    ParameterError
        If `bands` is neither of the two.
    """

    def __init__(self, path: str | Path, *, nodata: float | None = None, bands: str = "variables") -> None:
        if bands not in BAND_LAYOUTS:
            raise ParameterError("bands", found=bands, expected=f"one of {', '.join(BAND_LAYOUTS)}")
        self._path = str(path)
        self._local = threading.local()
        self._nodata = nodata
        self._described = self._describe(bands)

    @property
    def name(self) -> str:
        """Path of the file."""
        return self._path

    @property
    def grid(self) -> Grid:
        """Grid of the file."""
        return self._described.grid

    @property
    def variables(self) -> tuple[SourceVariable, ...]:
        """Bands, but for an alpha band."""
        return self._described.variables

    @property
    def has_alpha(self) -> bool:
        """True where the file has an alpha band or an internal mask."""
        return self._described.has_alpha

    @property
    def fingerprint(self) -> str:
        """Size and time of the file as they are now."""
        return _fingerprint(self._path)

    def read(self, window: Window, slices: Sequence[Slice]) -> Pixels:
        """Read slices, all bands in one call; see `Source.read`."""
        target = RasterioWindow(window.col, window.row, window.width, window.height)
        numbers = [self._described.bands[variable][number] for variable, number in slices]
        try:
            with rasterio.Env(GDAL_CACHEMAX=BLOCK_CACHE):
                values = self._dataset.read(numbers, window=target)
                alpha = self._dataset.read_masks(self._mask_band, window=target) if self.has_alpha else None
        except RasterioError as error:
            where = f"bands {numbers}, rows {window.row}-{window.row_stop}, columns {window.col}-{window.col_stop}"
            raise ChunkReadError(self._path, where) from error
        valid = np.empty(values.shape, np.bool_)
        for index, (variable, _) in enumerate(slices):
            valid[index] = valid_where(values[index], self.variables[variable].nodata)
        if alpha is not None:
            valid &= alpha > 0
        return Pixels(values, valid, alpha)

    @property
    def _dataset(self) -> Any:
        """A handle of this thread: GDAL's are not to be shared."""
        if not hasattr(self._local, "dataset"):
            self._local.dataset = self._open()
        return self._local.dataset

    @cached_property
    def _mask_band(self) -> int:
        """A band whose mask is the alpha or mask band (all bands share it)."""
        return self._described.bands[0][0]

    def _open(self) -> Any:
        try:
            with rasterio.Env(GDAL_CACHEMAX=BLOCK_CACHE), warnings.catch_warnings():
                # A raster without a georeference is refused with an error of its own.
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                return rasterio.open(self._path)
        except RasterioError as error:
            raise StoreError("open", self._path) from error

    def _describe(self, layout: str) -> _Description:
        with rasterio.Env(), self._open() as dataset:
            grid = _grid_of(dataset, self._path)
            colours = dataset.colorinterp
            data_bands = [band for band in dataset.indexes if colours[band - 1] != ColorInterp.alpha]
            if not data_bands:
                raise MetadataError(self._path, "bands", found=dataset.count, expected="at least one band of data")
            flags = dataset.mask_flag_enums[data_bands[0] - 1]
            has_mask = MaskFlags.per_dataset in flags and MaskFlags.nodata not in flags
            names = _names(dataset, data_bands)
            variables = tuple(self._variable(dataset, band, name, has_mask=has_mask) for band, name in names.items())
            bands: tuple[tuple[int, ...], ...] = tuple((band,) for band in data_bands)
            if layout == "axis":
                variables = (_as_axis(variables, data_bands, self._path),)
                bands = (tuple(data_bands),)
        return _Description(grid, variables, bands, has_mask)

    def _variable(self, dataset: Any, band: int, name: str, *, has_mask: bool) -> SourceVariable:
        index = band - 1
        node = f"{self._path} band {band}"
        dtype = check_dtype(dataset.dtypes[index], node=node)
        # As GDAL has it: where a mask band tells what is missing, a nodata value beside it does not count.
        of_file = None if has_mask else dataset.nodatavals[index]
        declared = of_file if self._nodata is None else self._nodata
        colour = dataset.colorinterp[index]
        attributes: dict[str, Any] = {"long_name": dataset.descriptions[index] or name}
        if colour != ColorInterp.undefined:
            attributes["color_interpretation"] = colour.name
        if dataset.units[index]:
            attributes["units"] = dataset.units[index]
        scale, offset = dataset.scales[index], dataset.offsets[index]
        if (scale, offset) != (1.0, 0.0):
            attributes |= {"scale_factor": float(scale), "add_offset": float(offset)}
        return SourceVariable(
            name,
            dtype,
            check_nodata(declared, dtype, node=node),
            attributes=attributes,
            is_categorical=colour == ColorInterp.palette,
        )


def _grid_of(dataset: Any, path: str) -> Grid:
    if dataset.height < 1 or dataset.width < 1:
        raise MetadataError(path, "shape", found=dataset.shape, expected="at least 1 x 1 pixel")
    points, _ = dataset.gcps
    if dataset.transform.is_identity:
        if points:
            raise UnsupportedError(
                f"{path}: georeference by {len(points)} ground control points", "warp it with gdalwarp first"
            )
        raise MetadataError(path, "transform", found=None, expected="a geotransform")
    if dataset.crs is None:
        raise MetadataError(path, "crs", found=None, expected="a coordinate reference system; it is never guessed")
    crs = _crs_of(dataset.crs, path)
    try:
        return Grid(dataset.shape, dataset.transform, crs)
    except MetadataError as error:
        raise MetadataError(path, error.key, found=error.found, expected=error.expected) from error


def _crs_of(declared: rasterio.crs.CRS, path: str) -> CRS:
    """Take over the CRS of a file, by its EPSG code where it is that one's.

    Old files name neither the CRS nor its datum. GDAL knows more of them than PROJ; its answer is taken only where both
    hold the code's definition for equal.
    """
    parsed = crs_module.from_wkt2(declared.to_wkt(), node=path, key="crs")
    code = declared.to_epsg()
    if parsed.code is None and code is not None and rasterio.crs.CRS.from_epsg(code) == declared:
        known = crs_module.from_code(f"EPSG:{code}", node=path)
        if known.is_same_place(parsed):
            return known
    return parsed


def _names(dataset: Any, bands: list[int]) -> dict[int, str]:
    """Name each band by its colour, else its description, else its number; never two alike."""
    colours = Counter(dataset.colorinterp[band - 1] for band in bands)
    plain = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    wanted = {}
    for band in bands:
        colour = dataset.colorinterp[band - 1]
        described = re.sub(r"[^0-9A-Za-z]+", "_", dataset.descriptions[band - 1] or "").strip("_").lower()
        if colour in plain and colours[colour] == 1:
            wanted[band] = colour.name
        elif described and len(described) <= 40 and described not in _RESERVED:
            wanted[band] = described if not described[0].isdigit() else f"b{described}"
        else:
            wanted[band] = f"b{band}"
    counts = Counter(wanted.values())
    names = {band: name if counts[name] == 1 else f"b{band}" for band, name in wanted.items()}
    if len(set(names.values())) < len(names):  # a description such as "b2" is another band's number
        names = {band: f"b{band}" for band in bands}
    return names


_RESERVED = frozenset({"x", "y", "band", "time", "alpha", "spatial_ref"})


def _as_axis(variables: tuple[SourceVariable, ...], bands: list[int], path: str) -> SourceVariable:
    """Make one variable of all bands.

    Raises
    ------
    UnsupportedError
        If the bands differ in dtype or nodata.
    """
    first = variables[0]
    for variable in variables[1:]:
        same_nodata = np.array_equal([first.nodata or 0], [variable.nodata or 0], equal_nan=True)
        if variable.dtype != first.dtype or not same_nodata or (variable.nodata is None) != (first.nodata is None):
            raise UnsupportedError(f"{path}: bands as one axis", "they differ in data type or nodata")
    shared = {k: v for k, v in first.attributes.items() if all(other.attributes.get(k) == v for other in variables)}
    colours = [variable.attributes.get("color_interpretation", "undefined") for variable in variables]
    shared.pop("color_interpretation", None)
    attributes = shared | {
        "long_name": "bands",
        "band_names": [variable.name for variable in variables],
        "band_descriptions": [variable.attributes["long_name"] for variable in variables],
        "band_color_interpretations": colours,
    }
    axis = Axis("band", tuple(bands), {"long_name": "band number", "units": "1"})
    return SourceVariable(
        AXIS_VARIABLE, first.dtype, first.nodata, (axis,), attributes, any(v.is_categorical for v in variables)
    )


def _fingerprint(path: str) -> str:
    file = Path(path)
    if not file.exists():
        return path  # a virtual or remote path: named, but not watched
    status = file.stat()
    return f"{file.name} {status.st_size} {status.st_mtime_ns}"
