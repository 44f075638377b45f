"""Which CRS a variable of an xarray object is in: what the file states, and never a guess (CF 5.6, proj v0.1).

Latitudes and longitudes that no grid mapping belongs to are on a figure of the Earth that the file does not tell
(CF 5.6); such a file is read once the user states the CRS.
"""

from __future__ import annotations

import math
import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import pyproj
import pyproj.exceptions
from affine import Affine

from geozarr import crs as crs_module
from geozarr.conventions import proj
from geozarr.errors import MetadataError
from pyramids.sources.cf_attributes import plain, text
from pyramids.sources.quirk import Quirk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import xarray as xr

    from geozarr import CRS

_WKT = ("crs_wkt", "spatial_ref", "esri_pe_string")
# Attributes that hold a PROJ string, a code or WKT.
_WORDS = ("crs", "spatial_ref", "proj4", "proj4_string", "proj4text", "proj_string")
_FILE = re.compile(r"\+(?:init|nadgrids|geoidgrids|grids|file|catalog|datumgrid|xy_grids|z_grids|t_grids)\s*=", re.I)
_LONGEST = 2**16  # characters of a text that is parsed


class Stated(NamedTuple):
    """What a file says of the CRS of a variable.

    Parameters
    ----------
    crs : CRS
        The horizontal part.
    mapping : dict
        Attributes of the grid mapping variable; empty where there is none.
    quirks : tuple of Quirk
        Where it was found, if not where CF has it.
    """

    crs: CRS
    mapping: Mapping[str, Any] = {}
    quirks: tuple[Quirk, ...] = ()


def crs_of(
    dataset: xr.Dataset, array: xr.DataArray, *, node: str, coordinates: tuple[str, ...], given: CRS | None = None
) -> Stated:
    """Find the CRS of a variable.

    Parameters
    ----------
    dataset : Dataset
        That holds it.
    array : DataArray
        The variable.
    node : str
        For messages.
    coordinates : tuple of str
        Dimensions or coordinate variables of its rows and columns, for an extended `grid_mapping`.
    given : CRS, optional
        What the user states, which counts.

    Raises
    ------
    MetadataError
        If there is none, or what is there cannot be understood.
    """
    mapping = _mapping(dataset, array, coordinates, node)
    attributes = {} if mapping is None else {key: plain(value) for key, value in mapping.attrs.items()}
    if given is not None:
        said = _first(dataset, array, mapping, attributes, node, is_given=True)
        if said is not None and said.crs.is_same_place(given):
            return Stated(said.crs, attributes, said.quirks)
        found = "no CRS" if said is None else str(said.crs)
        return Stated(given, attributes, (Quirk("crs-given", node, found, f"{given} is taken, as the user says"),))
    said = _first(dataset, array, mapping, attributes, node, is_given=False)
    if said is not None:
        return said
    expected = "a coordinate reference system; it is never guessed, state it with crs"
    raise MetadataError(node, "crs", found=None, expected=expected)


def _first(
    dataset: xr.Dataset,
    array: xr.DataArray,
    mapping: xr.DataArray | None,
    attributes: dict[str, Any],
    node: str,
    *,
    is_given: bool,
) -> Stated | None:
    """Take the first of all ways to state a CRS that is used; where one is given, what cannot be read is passed by."""
    try:
        for found in _ways(dataset, array, mapping, attributes, node):
            return found
    except MetadataError:
        if not is_given:
            raise
    return None


def _ways(
    dataset: xr.Dataset, array: xr.DataArray, mapping: xr.DataArray | None, attributes: dict[str, Any], node: str
) -> Iterator[Stated]:
    if mapping is not None:
        found = _of_mapping(attributes, f"{node} {mapping.name}")
        if found is not None:
            is_named = bool(text(array, "grid_mapping"))
            where = f"the variable {mapping.name!r}, which is among the coordinates and no grid_mapping"
            quirk = Quirk("crs-elsewhere", node, where, f"{found} is taken from it")
            yield Stated(found, attributes, () if is_named else (quirk,))
    for holder in (array.attrs, dataset.attrs):
        known = {key: plain(value) for key, value in holder.items()}
        found = proj.from_attributes(known, node=node) or _of_epsg(known, node) or _of_gdal(known, node)
        if found is not None:
            yield Stated(found, attributes)
    for holder in (array.attrs, dataset.attrs):
        for key in _WORDS:
            value = plain(holder.get(key))
            if isinstance(value, str) and value.strip():
                found = _of_words(value.strip(), node, key)
                quirk = Quirk("crs-words", f"{node} {key}", value.strip()[:60], f"{found} is taken from it")
                yield Stated(found, attributes, (quirk,))


def _mapping(dataset: xr.Dataset, array: xr.DataArray, coordinates: tuple[str, ...], node: str) -> xr.DataArray | None:
    """Find the grid mapping variable: named by `grid_mapping`, else one among the coordinates of the variable.

    Raises
    ------
    MetadataError
        If it is named and is not there, or several are among the coordinates.
    """
    named = text(array, "grid_mapping")
    if named:
        name = _chosen(named, coordinates)
        if name not in dataset.variables:
            raise MetadataError(node, "grid_mapping", found=named, expected="a variable of the dataset")
        return dataset[name]
    listed = [name for name in text(array, "coordinates").split() if name in dataset.variables]
    listed += [str(name) for name, held in array.coords.items() if held.ndim == 0]
    found = [name for name in dict.fromkeys(listed) if _is_mapping(dataset[name])]
    if len(found) > 1:
        raise MetadataError(node, "grid_mapping", found=tuple(found), expected="one grid mapping")
    return dataset[found[0]] if found else None


def _chosen(named: str, coordinates: tuple[str, ...]) -> str:
    """Choose of an extended `grid_mapping`, such as `crsOSGB: x y crsWGS84: lat lon`, that of rows and columns."""
    if ":" not in named:
        return named
    chosen, mappings = "", re.findall(r"([^\s:]+):\s*((?:[^\s:]+(?!\S*:)\s*)*)", named)
    for name, variables in mappings:
        if set(coordinates) <= set(variables.split()):
            chosen = name
    return chosen or (mappings[0][0] if len(mappings) == 1 else named)


def _is_mapping(variable: xr.DataArray) -> bool:
    return any(key in variable.attrs for key in ("grid_mapping_name", *_WKT))


def _of_mapping(attributes: dict[str, Any], node: str) -> CRS | None:
    """Read a grid mapping: its WKT, which is complete, else the parameters of CF Appendix F."""
    found = proj.from_attributes(attributes, node=node)
    if found is not None:
        return found
    for key in _WKT:
        value = attributes.get(key)
        if isinstance(value, str) and value.strip():
            return crs_module.from_wkt2(value, node=node, key=key)
    if "grid_mapping_name" not in attributes:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pyproj has to say of parameters that it does not know
            parsed = pyproj.CRS.from_cf(attributes)
    except (pyproj.exceptions.CRSError, KeyError, TypeError, ValueError, AttributeError) as error:
        found_name = attributes["grid_mapping_name"]
        expected = "a grid mapping of CF Appendix F with its parameters"
        raise MetadataError(node, "grid_mapping_name", found=found_name, expected=expected) from error
    return crs_module.from_pyproj(parsed, node=node, key="grid_mapping_name")


def _of_epsg(attributes: dict[str, Any], node: str) -> CRS | None:
    """Read `proj:epsg` of STAC's projection extension 1."""
    code = attributes.get("proj:epsg")
    return crs_module.from_code(f"EPSG:{code}", node=node, key="proj:epsg") if isinstance(code, int) else None


def _of_gdal(attributes: dict[str, Any], node: str) -> CRS | None:
    """Read `_CRS`, in which GDAL's Zarr driver keeps a CRS as WKT, PROJJSON or URL."""
    stated = attributes.get("_CRS")
    if not isinstance(stated, dict):
        return None
    if isinstance(stated.get("wkt"), str):
        return crs_module.from_wkt2(stated["wkt"], node=node, key="_CRS")
    if isinstance(stated.get("projjson"), dict):
        return crs_module.from_projjson(stated["projjson"], node=node, key="_CRS")
    match = re.fullmatch(r"https?://www\.opengis\.net/def/crs/(\w+)/[^/]+/(\w+)", str(stated.get("url")))
    return crs_module.from_code(f"{match[1]}:{match[2]}", node=node, key="_CRS") if match else None


def _of_words(value: str, node: str, key: str) -> CRS:
    """Read a code, WKT or a PROJ string; one that names a file is refused.

    Raises
    ------
    MetadataError
        If it is none of these.
    """
    expected = "a code, WKT, or a PROJ string that names no file"
    if len(value) > _LONGEST or _FILE.search(value):
        raise MetadataError(node, key, found=value[:80], expected=expected)
    if "+proj" not in value and "+type" not in value:
        return parse(value, node=node, key=key)
    try:
        parsed = pyproj.CRS.from_proj4(value)
    except pyproj.exceptions.CRSError as error:
        raise MetadataError(node, key, found=value[:80], expected=expected) from error
    return crs_module.from_pyproj(parsed, node=node, key=key)


def parse(value: str, *, node: str = "crs", key: str = "crs") -> CRS:
    """Read a CRS that a user states: `AUTHORITY:CODE`, or WKT.

    Raises
    ------
    MetadataError
        If it is neither.
    """
    return crs_module.from_wkt2(value, node=node, key=key) if "[" in value else crs_module.from_code(value, node=node)


def geotransform(dataset: xr.Dataset, array: xr.DataArray, mapping: Mapping[str, Any]) -> Affine | None:
    """Read the affine transform that is stated: `spatial:transform` of spatial v0.1, else the mapping's `GeoTransform`.

    None where there is none, or none of six numbers.
    """
    for holder in (array.attrs, dataset.attrs):
        six = _six(plain(holder.get("spatial:transform")))
        if six is not None and holder.get("spatial:transform_type", "affine") == "affine":
            return Affine(*six)
    value = mapping.get("GeoTransform")
    six = _six(value.split() if isinstance(value, str) else value)
    return None if six is None else Affine.from_gdal(*six)


def _six(value: Any) -> tuple[float, ...] | None:
    if not isinstance(value, list) or len(value) != 6:
        return None
    try:
        found = tuple(float(part) for part in value)
    except (TypeError, ValueError):
        return None
    return found if all(map(math.isfinite, found)) else None
