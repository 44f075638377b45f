"""A pyramid as a rio-tiler reader, for TiTiler and everything else that speaks rio-tiler.

Pixels come from `tiler.source`, as in the service: tiles of the pyramid's own TileMatrixSet are stored chunks, all
else is read from the level of the wanted resolution and warped by GDAL. The service does not import this module,
because rio-tiler loads xarray.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attr
import numpy as np
from rasterio.crs import CRS as RasterioCRS  # noqa: N811 - CRS is geozarr's everywhere else
from rio_tiler.constants import WGS84_CRS
from rio_tiler.errors import InvalidBounds, PointOutsideBounds, RioTilerError, TileOutsideBounds
from rio_tiler.io.base import BaseReader
from rio_tiler.models import BandStatistics, ImageData, Info, PointData
from rio_tiler.utils import CRS_to_uri, _validate_shape_input, cast_to_sequence

from geozarr import cf, store
from geozarr import crs as crs_module
from geozarr import tms as tms_module
from geozarr.errors import ParameterError, TileOutsideLimitsError, UnknownNameError
from geozarr.grid import Bounds, Grid
from tiler import extent, select
from tiler.block import Block
from tiler.chunks import chunk_cache
from tiler.colors import Intervals
from tiler.dimensions import parse_selectors
from tiler.pyramid import Band, open_pyramid
from tiler.resample import METHODS
from tiler.source import PyramidSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rio_tiler.types import BBox, Indexes, NoData

    from geozarr import CRS
    from geozarr.flags import Rgba
    from tiler.pyramid import Pyramid
    from tiler.select import Tileset

DEFAULT_CACHE = 64 * 2**20  # bytes of decoded chunks that one reader keeps
_STATISTICS_SIZE = 1024  # pixels a side, as rio-tiler's readers take them


@attr.s
class PyramidReader(BaseReader):
    """Read a GeoZarr pyramid.

    Parameters
    ----------
    input : str, Path or obstore store
        The store whose root is a multiscale group.
    tms : morecantile.TileMatrixSet
        Set that tile numbers count in; WebMercatorQuad by default.
    cache_bytes : int
        Memory for decoded chunks.

    Raises
    ------
    StoreError, MetadataError, GridMismatchError, UnsupportedError, LimitError
        If the store cannot be read as a pyramid.

    Notes
    -----
    All methods take `variables` (a name or several; the natural picture without it), `sel` (steps of leading
    dimensions, each as `dimension=value` or `dimension=method::value`) and `indexes` (1-based along the leading
    dimensions that `sel` leaves; all of them without it). Values are as stored: `scales` and `offsets` of the
    result unpack them.
    """

    cache_bytes: int = attr.ib(default=DEFAULT_CACHE, kw_only=True)
    source: PyramidSource = attr.ib(init=False)

    def __attrs_post_init__(self) -> None:
        opened = store.open_store(self.input)
        self.source = PyramidSource(opened, open_pyramid(opened), cache=chunk_cache(self.cache_bytes))
        grid = self.pyramid.levels.finest.grid
        self.bounds = (*grid.bounds,)
        self.crs = _to_rasterio(grid.crs)
        self.transform = grid.transform
        self.height, self.width = grid.shape

    @property
    def pyramid(self) -> Pyramid:
        """What the store holds."""
        return self.source.pyramid

    @cached_property
    def tileset(self) -> Tileset:
        """The reader's `tms` as this pyramid serves it."""
        document = self.tms.model_dump(mode="json", exclude_none=True)
        return select.Tileset(self.pyramid.levels, tms_module.from_document(document))

    @property
    def minzoom(self) -> int:
        """Zoom of the coarsest level."""
        return int(self.tileset.minzoom)

    @property
    def maxzoom(self) -> int:
        """Zoom of the finest level."""
        return int(self.tileset.maxzoom)

    @property
    def colormap(self) -> dict[int, Rgba] | list[tuple[tuple[int, int], Rgba]] | None:
        """Colours of a pyramid of one raster that has its own, in rio-tiler's form: by value, or by runs of values.

        None for pyramids of several rasters: whoever renders an image takes these colours whatever it shows.
        """
        variable = self.pyramid.data_variables[0]
        is_only = len(self.pyramid.data_variables) == variable.count == 1
        if variable.colors is None or not is_only or variable.dtype.kind not in "iu":
            return None
        if isinstance(variable.colors, Intervals):
            return [((run.first, run.last + 1), run.color) for run in variable.runs]
        return {int(flag.value): flag.color for flag in variable.flags if flag.color is not None}

    def info(self) -> Info:
        """Describe the data that `tile` shows without parameters, with all variables by name as an extra."""
        bands = self.pyramid.bands(())
        variable = bands[0].variable
        colormap = self.colormap
        has_nodata = variable.nodata is not None or variable.dtype.kind == "f"
        return Info.model_validate(
            {
                "bounds": self.bounds,
                "crs": CRS_to_uri(self.crs) or self.crs.to_wkt(),
                "band_metadata": [(f"b{index}", _band_metadata(band)) for index, band in enumerate(bands, 1)],
                "band_descriptions": [(f"b{index}", band.name) for index, band in enumerate(bands, 1)],
                "dtype": str(variable.dtype),
                "nodata_type": "Alpha" if variable.alpha else "Nodata" if has_nodata else "None",
                "colorinterp": [band.color or "undefined" for band in bands],
                "colormap": colormap if isinstance(colormap, dict) else None,
                "scales": [band.variable.scale_factor for band in bands],
                "offsets": [band.variable.add_offset for band in bands],
                "count": len(bands),
                "width": self.width,
                "height": self.height,
                "driver": "GeoZarr",
                "variables": [item.name for item in self.pyramid.data_variables],
                "overviews": [
                    round(level.grid.cell_size[0] / self.pyramid.levels.finest.grid.cell_size[0])
                    for level in self.pyramid.levels.levels[1:]
                ],
            }
        )

    def statistics(
        self,
        categorical: bool = False,
        categories: list[float] | None = None,
        percentiles: list[int] | None = None,
        hist_options: dict[str, Any] | None = None,
        max_size: int = _STATISTICS_SIZE,
        variables: Sequence[str] | str | None = None,
        indexes: Indexes | None = None,
        nodata: NoData | None = None,
        sel: Sequence[str] | str | None = None,
    ) -> dict[str, BandStatistics]:
        """Compute statistics of a preview of at most `max_size` pixels a side, by band name."""
        image = self.preview(max_size=max_size, variables=variables, indexes=indexes, nodata=nodata, sel=sel)
        return image.statistics(
            categorical=categorical, categories=categories, percentiles=percentiles, hist_options=hist_options
        )

    def tile(
        self,
        tile_x: int,
        tile_y: int,
        tile_z: int,
        tilesize: int | None = None,
        variables: Sequence[str] | str | None = None,
        indexes: Indexes | None = None,
        reproject_method: str | None = None,
        nodata: NoData | None = None,
        sel: Sequence[str] | str | None = None,
    ) -> ImageData:
        """Read a map tile.

        Parameters
        ----------
        tile_x, tile_y, tile_z : int
            Column, row and zoom, as `tms` counts them.
        tilesize : int, optional
            Pixels a side; that of the tile matrix by default.
        variables, indexes, sel : optional
            As the class says.
        reproject_method : str, optional
            One of `tiler.resample.METHODS`, for tiles that are not stored chunks.
        nodata : float, optional
            Takes the place of the stored nodata value.

        Raises
        ------
        rio_tiler.errors.TileOutsideBounds
            If the tile does not exist, or shows nothing of the pyramid.
        ChunkReadError, StoreError, LimitError
            If the data cannot be read.
        """
        bands = self._bands(variables, indexes, nodata, sel)
        try:
            matrix = self.tileset.tms.matrix(str(tile_z))
            target = self.tileset.tile_grid(matrix.id, row=tile_y, col=tile_x)
            block: Block | None
            if tilesize in (None, matrix.tileHeight) and matrix.tileHeight == matrix.tileWidth and not reproject_method:
                block = self.source.read_tile(self.tileset, matrix.id, row=tile_y, col=tile_x, bands=bands)
            else:
                height, width = tilesize or matrix.tileHeight, tilesize or matrix.tileWidth
                target = select.grid_of_bounds(target.bounds, target.crs, height=height, width=width)
                block = self._read_grid(target, bands, reproject_method)
        except (TileOutsideLimitsError, UnknownNameError) as error:
            raise TileOutsideBounds(f"Tile(x={tile_x}, y={tile_y}, z={tile_z}) is outside bounds") from error
        if block is None:
            raise TileOutsideBounds(f"Tile(x={tile_x}, y={tile_y}, z={tile_z}) is outside bounds")
        return _image(block, bands, target, self.tms.rasterio_crs)

    def part(
        self,
        bbox: BBox,
        dst_crs: RasterioCRS | None = None,
        bounds_crs: RasterioCRS = WGS84_CRS,
        max_size: int | None = None,
        height: int | None = None,
        width: int | None = None,
        variables: Sequence[str] | str | None = None,
        indexes: Indexes | None = None,
        reproject_method: str | None = None,
        nodata: NoData | None = None,
        sel: Sequence[str] | str | None = None,
    ) -> ImageData:
        """Read a box.

        Parameters
        ----------
        bbox : tuple of float
            Left, bottom, right, top in `bounds_crs`.
        dst_crs : rasterio.crs.CRS, optional
            CRS of the result; `bounds_crs` by default.
        bounds_crs : rasterio.crs.CRS
            CRS of `bbox`.
        max_size, height, width : int, optional
            Size of the result in pixels; by default that of the finest level over the box.
        variables, indexes, reproject_method, nodata, sel : optional
            As in `tile`.

        Raises
        ------
        rio_tiler.errors.InvalidBounds
            If the box is empty, or has no image in `dst_crs`.
        ChunkReadError, StoreError, LimitError
            If the data cannot be read, or are too many.
        """
        bands = self._bands(variables, indexes, nodata, sel)
        crs = _to_geozarr(dst_crs or bounds_crs)
        try:
            target = extent.part_grid(
                self.pyramid.levels,
                Bounds(*bbox),
                _to_geozarr(bounds_crs),
                crs,
                height=height or None,
                width=width or None,
                max_size=max_size or None,
            )
        except ParameterError as error:
            raise InvalidBounds(str(error)) from error
        block = self._read_grid(target, bands, reproject_method)
        if block is None:
            shape = (len(bands), *target.shape)
            block = Block(np.zeros(shape, bands[0].variable.dtype), np.zeros(shape, bool))
        return _image(block, bands, target, dst_crs or bounds_crs)

    def preview(
        self,
        max_size: int | None = 1024,
        height: int | None = None,
        width: int | None = None,
        dst_crs: RasterioCRS | None = None,
        variables: Sequence[str] | str | None = None,
        indexes: Indexes | None = None,
        reproject_method: str | None = None,
        nodata: NoData | None = None,
        sel: Sequence[str] | str | None = None,
    ) -> ImageData:
        """Read everything, at most `max_size` pixels a side where neither `height` nor `width` is given; as `part`."""
        return self.part(
            self.bounds,
            dst_crs=dst_crs,
            bounds_crs=self.crs,
            max_size=None if height or width else max_size,
            height=height,
            width=width,
            variables=variables,
            indexes=indexes,
            reproject_method=reproject_method,
            nodata=nodata,
            sel=sel,
        )

    def point(
        self,
        lon: float,
        lat: float,
        coord_crs: RasterioCRS = WGS84_CRS,
        variables: Sequence[str] | str | None = None,
        indexes: Indexes | None = None,
        nodata: NoData | None = None,
        sel: Sequence[str] | str | None = None,
    ) -> PointData:
        """Read the cell of the finest level that holds a point, exactly as stored.

        Parameters
        ----------
        lon, lat : float
            Coordinates in `coord_crs`, easting or longitude first.
        coord_crs : rasterio.crs.CRS
            Longitude and latitude by default.
        variables, indexes, nodata, sel : optional
            As in `tile`.

        Raises
        ------
        rio_tiler.errors.PointOutsideBounds
            If the point is outside the pyramid.
        ChunkReadError, StoreError
            If the chunk cannot be read.
        """
        bands = self._bands(variables, indexes, nodata, sel)
        crs = _to_geozarr(coord_crs)
        cell = self.source.cell_of(lon, lat, crs, bands)
        block = self.source.read_point(lon, lat, crs, bands)
        if cell is None or block is None:
            raise PointOutsideBounds("Point is outside dataset bounds")
        return PointData(
            np.ma.MaskedArray(block.values[:, 0, 0], mask=~block.mask[:, 0, 0]),
            band_descriptions=[band.name for band in bands],
            coordinates=(lon, lat),
            crs=coord_crs,
            pixel_location=(cell[2], cell[1]),
            nodata=_nodata(bands),
            scales=[band.variable.scale_factor for band in bands],
            offsets=[band.variable.add_offset for band in bands],
        )

    def feature(
        self,
        shape: dict[str, Any],
        dst_crs: RasterioCRS | None = None,
        shape_crs: RasterioCRS = WGS84_CRS,
        max_size: int | None = None,
        height: int | None = None,
        width: int | None = None,
        variables: Sequence[str] | str | None = None,
        indexes: Indexes | None = None,
        reproject_method: str | None = None,
        nodata: NoData | None = None,
        sel: Sequence[str] | str | None = None,
    ) -> ImageData:
        """Read what a GeoJSON feature or geometry covers; pixels that it does not touch are masked. Else as `part`."""
        geometry = _validate_shape_input(shape)
        crs = dst_crs or shape_crs
        try:
            box = extent.box_of(geometry, _to_geozarr(shape_crs))
        except ParameterError as error:
            raise RioTilerError(str(error)) from error
        image = self.part(
            box,
            dst_crs=crs,
            bounds_crs=shape_crs,
            max_size=max_size,
            height=height,
            width=width,
            variables=variables,
            indexes=indexes,
            reproject_method=reproject_method,
            nodata=nodata,
            sel=sel,
        )
        grid = Grid((image.height, image.width), image.transform, _to_geozarr(crs))
        outside = ~extent.geometry_mask(geometry, _to_geozarr(shape_crs), grid)
        image.cutline_mask = outside
        image.array.mask = image.array.mask | outside
        return image

    def _bands(
        self,
        variables: Sequence[str] | str | None,
        indexes: Indexes | None,
        nodata: NoData | None,
        sel: Sequence[str] | str | None,
    ) -> tuple[Band, ...]:
        names = tuple(cast_to_sequence(variables) or ())
        chosen = tuple(cast_to_sequence(indexes) or ())
        positions = self.source.positions(parse_selectors(tuple(cast_to_sequence(sel) or ())))
        if names and not chosen:
            bands = self.pyramid.all_bands(names, positions)
        else:
            bands = self.pyramid.bands(names, chosen, positions)
        bands = self.source.labelled(bands, positions)
        if nodata is None:
            return bands
        return tuple(_with_nodata(band, float(nodata)) for band in bands)

    def _read_grid(self, target: Grid, bands: tuple[Band, ...], method: str | None) -> Block | None:
        method = _method(method)
        return self.source.read_grid(target, bands, method=method, reproject_method=method)


def _image(block: Block, bands: tuple[Band, ...], target: Grid, crs: RasterioCRS) -> ImageData:
    statistics = [band.variable.statistics for band in bands]
    # A view of what is cached cannot be written to, as rio-tiler does to rescale an image or to apply a nodata value.
    values = block.values if block.values.flags.writeable else block.values.copy()
    return ImageData(
        np.ma.MaskedArray(values, mask=~block.mask),
        bounds=target.bounds,
        crs=crs,
        band_descriptions=[band.name for band in bands],
        nodata=_nodata(bands),
        scales=[band.variable.scale_factor for band in bands],
        offsets=[band.variable.add_offset for band in bands],
        dataset_statistics=[(item.minimum, item.maximum) for item in statistics if item is not None]
        if all(statistics)
        else None,
    )


def _nodata(bands: tuple[Band, ...]) -> float | int | None:
    """Nodata value that all bands share; rio-tiler has one for an image."""
    values = [band.variable.nodata for band in bands]
    if any(value is None for value in values) or not np.array_equal(values, values[:1] * len(values), equal_nan=True):
        return None
    number: float | int = values[0].item()
    return number


def _with_nodata(band: Band, nodata: float) -> Band:
    dtype = band.variable.dtype
    if not cf.holds(nodata, dtype):
        raise ParameterError("nodata", found=nodata, expected=f"a value of data type {dtype}")
    return replace(band, variable=replace(band.variable, nodata=dtype.type(nodata)))


def _band_metadata(band: Band) -> dict[str, Any]:
    variable = band.variable
    return {key: value for key, value in (("long_name", variable.long_name), ("units", variable.units)) if value}


def _method(name: str | None) -> str | None:
    if name is not None and name not in METHODS:
        raise ParameterError("reproject_method", found=name, expected=f"one of {', '.join(METHODS)}")
    return name


def _to_rasterio(crs: CRS) -> RasterioCRS:
    return RasterioCRS.from_user_input(crs.code) if crs.code else RasterioCRS.from_wkt(crs.wkt2)


def _to_geozarr(crs: RasterioCRS) -> CRS:
    return crs_module.from_wkt2(crs.to_wkt(), node="request", key="crs")
