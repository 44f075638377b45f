"""Open what a pyramid can be built from: files, stores, xarray objects, and several of them at once."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from geozarr.documents import DOCUMENT
from geozarr.errors import ParameterError, SeveralGridsError, UnknownNameError
from geozarr.icechunk_store import is_address
from pyramids import stack
from pyramids.mosaic import OVERLAPS
from pyramids.sources import (
    ArraySource,
    DatasetSource,
    RasterSource,
    Reading,
    cf_crs,
    cf_select,
    dataset,
    open_zarr,
    references,
)
from pyramids.sources.array import is_xarray
from pyramids.sources.cf_placing import IRREGULAR
from pyramids.sources.raster import BAND_LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from geozarr import CRS
    from pyramids.mosaic import Mosaic
    from pyramids.sources import Source
    from pyramids.stack import Stack

    One: TypeAlias = str | Path | xr.DataArray | xr.Dataset | Source
    Opens: TypeAlias = One | list[One] | tuple[One, ...] | dict[str, One | list[One] | tuple[One, ...]]


def open_source(
    source: Opens,
    *,
    nodata: float | str | None = None,
    bands: str = "variables",
    variables: Sequence[str] | None = None,
    group: str | None = None,
    crs: str | CRS | None = None,
    select: Mapping[str, str] | None = None,
    irregular: str = "refuse",
    limit: float | None = None,
    overlap: str = "first",
) -> Source | Mosaic | Stack:
    """Open what a pyramid can be built from.

    Parameters
    ----------
    source : str, Path, xarray.DataArray, xarray.Dataset, Source, or several
        A raster file, a NetCDF or HDF5 file, a Zarr store (a folder with `zarr.json` or `.zgroup`), an xarray object,
        or a source already. A sequence of these becomes a mosaic where all have the same variables, a stack where each
        has its own. A dict becomes a stack: of each source (or of several, a mosaic) the one variable, or that of
        the name, by that name. A dataset with variables on several grids becomes a stack of them.
    nodata : float or "none", optional
        The value that means "no data", in place of what the source says; "none": there is none.
    bands : str
        For raster files: "variables" or "axis".
    variables : sequence of str, optional
        For xarray, NetCDF and Zarr: which variables.
    group : str, optional
        For NetCDF, HDF5 and Zarr: which group.
    crs : str or CRS, optional
        What the coordinates mean, where the source does not say it: a code such as `OGC:CRS84`, or WKT.
    select : mapping of str to str, optional
        For xarray, NetCDF and Zarr: positions along leading axes, as `pyramids.sources.cf_select` has them.
    irregular : str
        For xarray, NetCDF and Zarr: "refuse" coordinates that are not evenly spaced, or "resample" from where they say.
    limit : float, optional
        For pixels that are placed by a longitude and a latitude each: metres from the nearest pixel beyond which there
        is no data.
    overlap : str
        Of a mosaic: what counts where several sources hold data, one of `pyramids.mosaic.OVERLAPS`.

    Raises
    ------
    ParameterError
        If one of these is given for a source that has no use for it.
    StoreError, MetadataError, UnsupportedError, UnknownNameError
        As the adapters do.
    """
    reading = Reading(
        nodata=nodata,
        crs=cf_crs.parse(crs) if isinstance(crs, str) else crs,
        select=dict(select or {}),
        irregular=irregular,
        limit=limit,
    )
    options: dict[str, Any] = {"bands": bands, "group": group}
    part = replace(reading, is_part=True)
    if isinstance(source, dict):
        _refuse("with named sources: each name is that of a variable", variables=variables)
        named = {
            name: [_of_name(one, name, part, options) for one in _several(several)] for name, several in source.items()
        }
        _require_used(reading.select, [one for several in named.values() for one in several])
        return stack.of_named(named, overlap)
    if isinstance(source, list | tuple):
        sources = [found for one in source for found in _opened(one, variables, part, options)]
        _require_used(reading.select, sources)
        return stack.of_sources(sources, overlap)
    if overlap != OVERLAPS[0]:
        raise ParameterError("overlap", found=overlap, expected="nothing with one source")
    found = _opened(source, variables, reading, options)
    if len(found) == 1:
        return found[0]
    _require_used(reading.select, found)
    return stack.of_sources(found, overlap)


def _several(source: One | list[One] | tuple[One, ...]) -> Sequence[One]:
    return source if isinstance(source, list | tuple) else (source,)


def _require_used(select: Mapping[str, str], sources: Sequence[Source]) -> None:
    """Refuse a choice along an axis that none of several sources has."""
    leading = [variable.leading for source in sources for variable in source.variables]
    cf_select.require_used(select, leading, "all sources")


def _opened(
    source: One, variables: Sequence[str] | None, reading: Reading, options: Mapping[str, Any]
) -> tuple[Source, ...]:
    """Open a source; where its variables lie on several grids, one for each grid."""
    try:
        return (_open(source, variables, reading, **options),)
    except SeveralGridsError as several:
        part = replace(reading, is_part=True)
        readings = (replace(part, quirks=several.quirks), *[part] * (len(several.grids) - 1))
        return tuple(
            _open(source, names, found, **options) for names, found in zip(several.grids, readings, strict=True)
        )


def _of_name(source: One, name: str, reading: Reading, options: Mapping[str, Any]) -> Source:
    """Open the variable of a name, where a source has it, else all of the source."""
    if is_xarray(source) or (isinstance(source, str | Path) and _kind_of(source) != _RASTER):
        with contextlib.suppress(UnknownNameError):
            return _open(source, [name], reading, **options)
    return _open(source, None, reading, **options)


_ZARR, _DATASET, _RASTER = "a Zarr store", "a dataset", "a raster file"


def _kind_of(source: str | Path) -> str:
    if _is_zarr(str(source)):
        return _ZARR
    return _RASTER if dataset.format_of(Path(source)) is None else _DATASET


def _open(
    source: One,
    variables: Sequence[str] | None,
    reading: Reading,
    *,
    bands: str,
    group: str | None,
) -> Source:
    own_bands = None if bands == BAND_LAYOUTS[0] else bands
    of_arrays = {
        "select": reading.select or None,
        "irregular": None if reading.irregular == IRREGULAR[0] else reading.irregular,
        "limit": reading.limit,
    }
    if isinstance(source, str | Path):
        kind = _kind_of(source)
        if kind == _RASTER:
            _refuse("with a raster file: all bands are taken", variables=variables, group=group, **of_arrays)
            return RasterSource(source, nodata=reading.nodata, bands=bands, crs=reading.crs)
        _refuse(f"with {kind}", bands=own_bands)
        opens = open_zarr if kind == _ZARR else DatasetSource
        return opens(source, group=group or "", variables=variables, reading=reading)
    _refuse("with an array or a source", bands=own_bands, group=group)
    if is_xarray(source):
        return ArraySource(source, variables=variables, reading=reading)
    _refuse(
        "with a source that is open already", nodata=reading.nodata, variables=variables, crs=reading.crs, **of_arrays
    )
    return cast("Source", source)


def _is_zarr(source: str) -> bool:
    """Tell whether a source is a Zarr store: by its documents where it is at hand, else by its name."""
    if is_address(source):
        return True
    if "://" in source:
        return source.partition("?")[0].rstrip("/").lower().endswith((".zarr", ".zarr.zip", ".zr3"))
    path = Path(source)
    documents = (DOCUMENT, ".zgroup", ".zmetadata", ".zarray")
    return (
        references.is_references(path)
        or any((path / name).exists() for name in documents)
        or source.lower().endswith(".zarr.zip")
    )


def _refuse(where: str, **unused: object) -> None:
    """Refuse options that would be passed over in silence."""
    for name, value in unused.items():
        if value is not None:
            raise ParameterError(name, found=value, expected=f"nothing {where}")
