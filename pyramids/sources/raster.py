"""Source over a raster file that rasterio opens: GeoTIFF, COG and their like.

Each thread reads through a handle of its own, since GDAL's are not to be shared. A file whose blocks are very large
(one strip or tile that is the whole image) is the exception: decoding it costs seconds and hundreds of megabytes, so
all threads share one handle under a lock, and GDAL's cache is made large enough to keep the block until the last
window has been read from it.

Size and time of the file are looked at after each read, so that pixels of two states of it never meet in a pyramid. Of
a file across a network they are looked at before and after the build.
"""

from __future__ import annotations

import math
import re
import threading
import warnings
import weakref
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import rasterio.env
import rasterio.shutil
from rasterio.enums import ColorInterp, Interleaving, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window as RasterioWindow

from geozarr import crs as crs_module
from geozarr import flags
from geozarr.errors import (
    ChunkReadError,
    MetadataError,
    ParameterError,
    StoreError,
    UnsupportedError,
)
from geozarr.grid import Grid
from geozarr.levels import USUAL_DIMENSIONS
from geozarr.window import Window
from pyramids.placement import ControlPoints
from pyramids.sources import files
from pyramids.sources.quirk import Quirk
from pyramids.sources.source import (
    Axis,
    Pixels,
    Slice,
    SourceVariable,
    check_dtype,
    check_nodata,
    largest_block,
    stated_nodata,
    valid_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from geozarr import CRS
    from pyramids.placement import AnyGrid

# Bytes of GDAL's own block cache, whose default is 5 % of the machine. Callers read whole blocks and keep them, so that
# it only has to hold the bands that are decoded together.
BLOCK_CACHE = 32 * 2**20
LARGE_BLOCK = 16 * 2**20  # bytes; from here on a block is decoded by one thread and kept for the others
MOST_BLOCKS = 2**20  # blocks over all bands whose place in the file is looked up: half a second
_SLACK = 16 * 2**20  # bytes of cache beside a large block, for masks and for what borders it
BAND_LAYOUTS = ("variables", "axis")
AXIS_VARIABLE = "data"  # name of the one variable when bands are an axis


@dataclass(frozen=True)
class _Description:
    """What the file says of itself, read once."""

    grid: AnyGrid
    variables: tuple[SourceVariable, ...]
    bands: tuple[tuple[int, ...], ...]  # GDAL band numbers of each variable's slices
    has_alpha: bool
    alpha_band: int | None  # of a mask that is a band of bytes and can be read like the others
    storage: _Storage


@dataclass(frozen=True)
class _Storage:
    """How the file keeps its pixels."""

    shape: tuple[int, int]  # rows and columns of the file
    block: tuple[int, int]  # rows and columns
    block_bytes: int  # of all bands, decoded
    stored_bytes: int  # of one block as it lies in the file, where that is known
    is_large: bool  # decoded once for all threads
    is_tiff: bool
    bands_apart: bool  # each band has blocks of its own

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        (height, width), (rows, cols) = self.shape, self.block
        return -(-height // rows), -(-width // cols)

    @property
    def kept_bytes(self) -> int:
        """What GDAL's cache must hold so that no large block is decoded again for the next window."""
        if not self.is_large:
            return 0
        count = min(2, math.prod(self.blocks))  # a window can lie on the border between two
        return count * self.block_bytes + _SLACK


class RasterSource:
    """A raster file.

    Parameters
    ----------
    path : str or Path
        What rasterio opens.
    nodata : float or "none", optional
        The value that means "no data", in place of what the file says; "none": there is none.
    bands : str
        "variables": each band is a variable, named by its colour, else its description, else `b1`, `b2` ...
        "axis": one variable `data` with a `band` axis.
    crs : CRS, optional
        What the coordinates mean, in place of what the file says.
    name : str, optional
        What it is called in plans; by default its path.

    Raises
    ------
    StoreError
        If the file cannot be opened.
    MetadataError
        If it has no CRS, neither a transform nor ground control points, a singular transform, no pixels, or a nodata
        that its dtype cannot hold.
    UnsupportedError
        If its dtype is not supported.
    ParameterError
        If `bands` is neither of the two.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        nodata: float | str | None = None,
        bands: str = "variables",
        crs: CRS | None = None,
        name: str | None = None,
    ) -> None:
        if bands not in BAND_LAYOUTS:
            raise ParameterError("bands", found=bands, expected=f"one of {', '.join(BAND_LAYOUTS)}")
        self._path = str(path)
        self._name = name or self._path
        self._bands = bands
        self._local = threading.local()
        self._lock = threading.Lock()
        self._shared: Any = None
        self._nodata = nodata
        self._crs = crs
        self._files = (self._path,)
        before = files.state_of(self._files)
        self._described = self._describe(bands)
        self._states = before if len(self._files) == 1 else files.state_of(self._files)
        _GDAL_CACHE.serve(self, self._described.storage.kept_bytes)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the file itself, and may be at home in another folder.
        path = str(Path(self._path).absolute()) if Path(self._path).exists() else self._path
        opened_again = partial(RasterSource, nodata=self._nodata, bands=self._bands, crs=self._crs, name=self._name)
        return opened_again, (path,)

    @property
    def name(self) -> str:
        """Path of the file, as it was given."""
        return self._name

    @property
    def grid(self) -> AnyGrid:
        """Grid of the file."""
        return self._described.grid

    @property
    def variables(self) -> tuple[SourceVariable, ...]:
        """Bands, but for an alpha band."""
        return self._described.variables

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """What was groomed."""
        return (*self._quirks, *_quirks_of(self.grid, self._path))

    @property
    def dimensions(self) -> tuple[str, str]:
        """Rows and columns have no names of their own."""
        return USUAL_DIMENSIONS

    @property
    def has_alpha(self) -> bool:
        """True where the file has an alpha band or an internal mask."""
        return self._described.has_alpha

    @property
    def fingerprint(self) -> str:
        """Size and time of the file, and of those that a virtual one is made of, as they are now."""
        return files.fingerprint_of(self._files, files.state_of(self._files))

    @property
    def block_shape(self) -> tuple[int, int]:
        """A tile or strip of the file."""
        return self._described.storage.block

    @property
    def resident_bytes(self) -> int:
        """A large block in GDAL's cache, and as it lies in the file; 0 where blocks are not kept here."""
        storage = self._described.storage
        return storage.kept_bytes + storage.stored_bytes if storage.is_large else 0

    def coverage(self) -> NDArray[np.bool_] | None:
        """Look up which blocks a sparse GeoTIFF leaves out; see `Source.coverage`.

        None for other formats, where an absent block reads as data, and where bands and blocks are too many.
        """
        storage = self._described.storage
        bands = self._bands_that_tell()
        if not storage.is_tiff or not bands or math.prod(storage.blocks) * len(bands) > MOST_BLOCKS:
            return None
        covered = np.zeros(storage.blocks, np.bool_)
        with self._handle() as dataset:
            for row, col in np.ndindex(storage.blocks):
                covered[row, col] = any(
                    dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band) not in (None, "0")
                    for band in bands
                )
        return covered if self._is_absence_no_data(covered) else None

    def _bands_that_tell(self) -> list[int]:
        """Bands of which each has to lack a block before the block is known to hold no data."""
        described = self._described
        if described.alpha_band is not None:
            return [described.alpha_band]
        if described.has_alpha:
            return []  # a mask, which has blocks of its own
        bands = [band for variable in described.bands for band in variable]
        return bands if described.storage.bands_apart else bands[:1]

    def _is_absence_no_data(self, covered: NDArray[np.bool_]) -> bool:
        """Ask the file for a pixel of an absent block: GDAL gives the file's nodata value there, else 0."""
        if covered.all():
            return True
        row, col = np.unravel_index(int(np.argmin(covered)), covered.shape)
        height, width = self.block_shape
        pixel = Window(int(row) * height, int(col) * width, 1, 1)
        return not any(
            self.read(pixel, [Slice(index, number)]).valid.any()
            for index, variable in enumerate(self.variables)
            for number in range(variable.slice_count)
        )

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:
        """Read slices, all bands in one call; see `Source.read`."""
        target = RasterioWindow(window.col, window.row, window.width, window.height)
        numbers = [self._described.bands[variable][number] for variable, number in slices]
        dtype = self.variables[slices[0].variable].dtype
        # An alpha band of bytes beside bytes comes along, so that its blocks are decoded with theirs.
        with_alpha = self._described.alpha_band if dtype == np.uint8 else None
        alpha = None
        error: RasterioError | None = None
        try:
            # An Env, 17 us, sends GDAL's warnings to the log.
            with rasterio.Env(session=self._session), self._handle() as dataset:
                if with_alpha is not None:
                    values = dataset.read([*numbers, with_alpha], window=target)
                    values, alpha = values[:-1], values[-1]
                else:
                    values = dataset.read(numbers, window=target, out=out)
                    if self.has_alpha:
                        alpha = dataset.read_masks(self._mask_band, window=target)
        except RasterioError as caught:
            error = caught
        files.require_same(self._files, self._states)  # first of all: a file that is being written anew looks damaged
        if error is not None:
            where = f"bands {numbers}, rows {window.row}-{window.row_stop}, columns {window.col}-{window.col_stop}"
            raise ChunkReadError(self._path, where) from error
        return Pixels(values, self._valid(values, alpha, slices), alpha)

    def _valid(
        self, values: NDArray[Any], alpha: NDArray[np.uint8] | None, slices: Sequence[Slice]
    ) -> NDArray[np.bool_]:
        if alpha is None:
            return valid_of(values, slices, self.variables)
        opaque: NDArray[np.bool_] = (alpha > 0)[np.newaxis]
        if values.dtype.kind != "f" and all(self.variables[variable].nodata is None for variable, _ in slices):
            return opaque
        return valid_of(values, slices, self.variables) & opaque

    @contextmanager
    def _handle(self) -> Iterator[Any]:
        """Give a handle of this thread; that of all threads, and the lock on it, where blocks are large."""
        if self._described.storage.is_large:
            with self._lock:
                if self._shared is None:
                    self._shared = self._open()
                yield self._shared
            return
        if not hasattr(self._local, "dataset"):
            self._local.dataset = self._open()
        yield self._local.dataset

    @cached_property
    def _session(self) -> Any:
        """Credentials as an `Env` finds them: 10 ms for each one where those of AWS are in the environment."""
        return rasterio.Env().session

    @cached_property
    def _mask_band(self) -> int:
        """A band whose mask is the alpha or mask band (all bands share it)."""
        return self._described.bands[0][0]

    def _open(self) -> Any:
        try:
            try:
                # GDAL shows a single strip row by row, and decodes from the top again for each row above the last.
                with rasterio.Env(GDAL_ENABLE_TIFF_SPLIT="NO", **self._unlisted):
                    return rasterio.open(self._path)
            except RasterioError:  # a strip above 2 GiB can be had in no other way
                with rasterio.Env(**self._unlisted):
                    return rasterio.open(self._path)
        except RasterioError as error:
            raise StoreError("open", self._path) from error

    @property
    def _unlisted(self) -> dict[str, str]:
        """Have GDAL ask for files beside a remote one by their names: servers are slow to list a folder, or refuse."""
        return {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"} if "://" in self._path else {}

    def _describe(self, layout: str) -> _Description:
        with _WARNINGS, warnings.catch_warnings(), rasterio.Env():
            # A raster without a georeference is refused with an error of its own. Threads open what has passed here.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            opened = self._open()
        with rasterio.Env(), opened as dataset:
            grid, self._quirks = _grid_of(dataset, self._path, self._crs)
            colours = dataset.colorinterp
            if dataset.driver == "VRT":
                self._files = (self._path, *(name for name in dataset.files if name != self._path))
            data_bands = [band for band in dataset.indexes if colours[band - 1] != ColorInterp.alpha]
            if not data_bands:
                raise MetadataError(self._path, "bands", found=dataset.count, expected="at least one band of data")
            flags = dataset.mask_flag_enums[data_bands[0] - 1]
            has_mask = MaskFlags.per_dataset in flags and MaskFlags.nodata not in flags
            names = _names(dataset, data_bands)
            alpha = _alpha_band(dataset) if has_mask else None
            variables = tuple(self._variable(dataset, band, name, has_mask=has_mask) for band, name in names.items())
            storage = _storage_of(dataset, has_mask=has_mask)
            bands: tuple[tuple[int, ...], ...] = tuple((band,) for band in data_bands)
            if layout == "axis":
                variables = (_as_axis(variables, data_bands, self._path),)
                bands = (tuple(data_bands),)
        return _Description(grid, variables, bands, has_mask, alpha, storage)

    def _variable(self, dataset: Any, band: int, name: str, *, has_mask: bool) -> SourceVariable:
        index = band - 1
        node = f"{self._path} band {band}"
        dtype = check_dtype(dataset.dtypes[index], node=node)
        # As GDAL has it: where a mask band tells what is missing, a nodata value beside it does not count.
        of_file = None if has_mask else _declared_nodata(dataset, band, dtype)
        declared = of_file if self._nodata is None else stated_nodata(self._nodata)
        colour = dataset.colorinterp[index]
        attributes: dict[str, Any] = {"long_name": dataset.descriptions[index] or name}
        if colour != ColorInterp.undefined:
            attributes["color_interpretation"] = colour.name
        if dataset.units[index]:
            attributes["units"] = dataset.units[index]
        scale, offset = dataset.scales[index], dataset.offsets[index]
        if (scale, offset) != (1.0, 0.0):
            attributes |= {"scale_factor": float(scale), "add_offset": float(offset)}
        nodata = check_nodata(declared, dtype, node=node)
        if colour == ColorInterp.palette:
            table, names = dataset.colormap(band), _class_names(dataset, band)
            attributes |= flags.attributes_of_table(table, dtype=dtype, nodata=nodata, names=names)
        return SourceVariable(
            name,
            dtype,
            nodata,
            attributes=attributes,
            is_categorical=colour == ColorInterp.palette,
        )


class _BlockCache:
    """GDAL's block cache, which is one for the process: as large as the neediest of the open files asks for."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # garbage may be collected, and so a need dropped, while it is held
        self._needs: dict[int, int] = {}

    def serve(self, source: RasterSource, size: int) -> None:
        """Have room for so many bytes for as long as the source lives."""
        with self._lock:
            if size:
                self._needs[id(source)] = size
                weakref.finalize(source, self._drop, id(source)).atexit = False
            self._resize()

    def _drop(self, key: int) -> None:
        with self._lock:
            del self._needs[key]
            self._resize()

    def _resize(self) -> None:
        with rasterio.Env():
            # Given to `Env` itself it would last until that is left, and then be 5 % of the machine for all threads.
            rasterio.env.setenv(GDAL_CACHEMAX=max((BLOCK_CACHE, *self._needs.values())))


_GDAL_CACHE = _BlockCache()
_WARNINGS = threading.Lock()  # filters of warnings are the process's: two threads that set them would mix them up


def _storage_of(dataset: Any, *, has_mask: bool) -> _Storage:
    block = largest_block(dataset.block_shapes)
    pixel_bytes = sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes) + has_mask
    widest = max(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    stored = dataset.get_tag_item("BLOCK_SIZE_0_0", "TIFF", bidx=1)
    return _Storage(
        shape=dataset.shape,
        block=block,
        block_bytes=math.prod(block) * pixel_bytes,
        stored_bytes=int(stored) if stored else 0,
        is_large=math.prod(block) * widest >= LARGE_BLOCK,
        is_tiff=dataset.driver == "GTiff",
        bands_apart=dataset.interleaving != Interleaving.pixel,
    )


def _alpha_band(dataset: Any) -> int | None:
    """Return the number of the alpha band where that, as it is, is the mask of all bands."""
    for band, colour in zip(dataset.indexes, dataset.colorinterp, strict=True):
        if colour == ColorInterp.alpha and MaskFlags.alpha in dataset.mask_flag_enums[0]:
            return int(band) if dataset.dtypes[band - 1] == "uint8" else None
    return None


def _declared_nodata(dataset: Any, band: int, dtype: np.dtype[Any]) -> float | None:
    """Nodata value of a band, exact for 64-bit integers.

    rasterio hands on a float64, which rounds integers beyond 2**53, and None for the largest ones. GDAL knows better:
    the description of the file as a VRT holds the digits.
    """
    if dtype.kind not in "iu" or dtype.itemsize < 8:
        nodata: float | None = dataset.nodatavals[band - 1]
        return nodata
    text = _as_vrt(dataset).findtext(f"VRTRasterBand[@band='{band}']/NoDataValue")
    return int(text) if text is not None else None


def _class_names(dataset: Any, band: int) -> dict[int, str]:
    """Names of values, from the band's category names or else its raster attribute table, which rasterio hides."""
    described = _as_vrt(dataset).find(f"VRTRasterBand[@band='{band}']")
    categories = [] if described is None else described.findall("CategoryNames/Category")
    if categories:
        return {value: item.text for value, item in enumerate(categories) if item.text}
    table = None if described is None else described.find("GDALRasterAttributeTable")
    if table is None:
        return {}
    usages = [field.findtext("Usage") for field in table.findall("FieldDefn")]
    if _RAT_VALUE not in usages or _RAT_NAME not in usages:
        return {}
    rows = [[cell.text or "" for cell in row.findall("F")] for row in table.findall("Row")]
    pairs = [(row[usages.index(_RAT_VALUE)], row[usages.index(_RAT_NAME)]) for row in rows if len(row) == len(usages)]
    return {int(float(value)): name for value, name in pairs if name and _WHOLE.fullmatch(value)}


_RAT_NAME, _RAT_VALUE = "2", "5"  # GFU_Name and GFU_MinMax of GDAL
_WHOLE = re.compile(r"[0-9]{1,9}(?:\.0*)?")


def _as_vrt(dataset: Any) -> ET.Element:
    """Describe a file as GDAL does in a VRT, which says more than rasterio hands on."""
    with MemoryFile(ext=".vrt") as memory:
        rasterio.shutil.copy(dataset, memory.name, driver="VRT")
        memory.seek(0)
        return ET.fromstring(memory.read())


def _grid_of(dataset: Any, path: str, given: CRS | None) -> tuple[AnyGrid, tuple[Quirk, ...]]:
    if dataset.height < 1 or dataset.width < 1:
        raise MetadataError(path, "shape", found=dataset.shape, expected="at least 1 x 1 pixel")
    points, crs_of_points = dataset.gcps
    is_placed = not dataset.transform.is_identity
    declared = dataset.crs if is_placed else crs_of_points or dataset.crs
    if not is_placed and not points:
        raise MetadataError(path, "transform", found=None, expected="a geotransform")
    crs, quirks = _crs_from(declared, path, given)
    try:
        if not is_placed:
            known = [(point.col, point.row, point.x, point.y) for point in points]
            return ControlPoints(dataset.shape, known, crs), quirks
        return Grid(dataset.shape, dataset.transform, crs), quirks
    except MetadataError as error:
        raise MetadataError(path, error.key, found=error.found, expected=error.expected) from error


def _crs_from(declared: Any, path: str, given: CRS | None) -> tuple[CRS, tuple[Quirk, ...]]:
    """Take the CRS of a file, or what the user says in its place."""
    if given is None:
        if declared is None:
            expected = "a coordinate reference system; it is never guessed, state it with crs"
            raise MetadataError(path, "crs", found=None, expected=expected)
        return _crs_of(declared, path), ()
    stated = None if declared is None else _crs_of(declared, path)
    if stated is not None and stated.is_same_place(given):
        return stated, ()
    found = "no CRS" if stated is None else str(stated)
    return given, (Quirk("crs-given", path, found, f"{given} is taken, as the user says"),)


def _quirks_of(grid: AnyGrid, path: str) -> tuple[Quirk, ...]:
    if isinstance(grid, ControlPoints):
        found = f"{grid.count} ground control points"
        done = f"pixels are read where GDAL's polynomial through them says, {grid.residual:.2g} pixels off them"
        return (Quirk("control-points", path, found, done),)
    if not isinstance(grid, Grid) or not grid.is_rectilinear:
        return ()
    found_quirks = []
    if grid.transform.e > 0:
        found_quirks.append(Quirk("south-up", path, "rows from south to north", "rows are turned around"))
    if grid.transform.a < 0:
        found_quirks.append(Quirk("west-positive", path, "columns from east to west", "columns are turned around"))
    return tuple(found_quirks)


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
