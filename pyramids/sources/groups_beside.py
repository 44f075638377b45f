"""What a group of a NetCDF or HDF5 file takes from others: grid mappings, coordinates, places of pixels (CF 2.7)."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from geozarr.errors import MetadataError
from pyramids.sources.cf_attributes import plain, text
from pyramids.sources.cf_axes import axes_of, geolocation_of, tells_latitude, tells_longitude
from pyramids.sources.cf_crs import geotransform
from pyramids.sources.quirk import Quirk

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    import xarray as xr

_REFERENCES = ("coordinates", "grid_mapping")  # attributes that name other variables


def is_complete(dataset: xr.Dataset, node: str) -> bool:
    """Tell whether a group has rasters, and all that its variables name, and says itself where the rasters lie."""
    if not _has_rasters(dataset):
        return False
    if any(word not in dataset.variables for variable in dataset.variables.values() for _, word in _words(variable)):
        return False
    return all(_is_placed(dataset, array, node) for array in dataset.data_vars.values() if array.ndim > 1)


def completed(
    dataset: xr.Dataset, groups: Mapping[str, xr.Dataset], group: str, node: str
) -> tuple[xr.Dataset, tuple[Quirk, ...]]:
    """Add to a group what other groups of the file hold of it.

    What its variables name by a path, or by a name that a group above has; and coordinate variables of its dimensions
    in groups above (CF 2.7.1, search by path and by proximity). Where none of its rasters has a place even so, the
    coordinate variables of their dimensions that any one group has, or its longitude and latitude of each pixel.

    Parameters
    ----------
    dataset : Dataset
        The group, as stored. Attributes that name variables by a path are rewritten.
    groups : mapping of str to Dataset
        All groups of the file by path, `/` the root.
    group : str
        Path of the group.
    node : str
        For messages.

    Returns
    -------
    dataset : Dataset
        With those variables as coordinates.
    quirks : tuple of Quirk
        What no reference leads to.

    Raises
    ------
    MetadataError
        If it holds groups alone, or several groups have places for the same pixels.
    """
    path = "/" + group.strip("/")
    if not _has_rasters(dataset):
        names = tuple(name for name in groups if path in _above(name) and _has_rasters(groups[name]))
        if names:
            raise MetadataError(node, "groups", found=names, expected="a group with rasters: choose one with group")
        return dataset, ()
    above = [place for place in _above(path) if place in groups]
    dataset = dataset.assign_coords(_referenced(dataset, groups, path))
    for place in above:
        dataset = dataset.assign_coords(_of_dimensions(dataset, groups[place]))
    if any(_is_placed(dataset, array, node) for array in dataset.data_vars.values() if array.ndim > 1):
        return dataset, ()
    return _beside(dataset, {key: value for key, value in groups.items() if key != path}, node)


def _referenced(dataset: xr.Dataset, groups: Mapping[str, xr.Dataset], path: str) -> dict[Hashable, xr.Variable]:
    """Find what variables of a group name and it does not hold; references by path become those by name."""
    found: dict[Hashable, xr.Variable] = {}
    for variable in dataset.variables.values():
        for key, word in _words(variable):
            if word in dataset.variables:
                continue
            holder, name = posixpath.split(posixpath.normpath(posixpath.join(path, word)))
            for place in [holder] if "/" in word else _above(path):
                referenced = groups[place].variables.get(name) if place in groups else None
                if referenced is None or not _fits(dataset, referenced):
                    continue
                if name in dataset.variables or found.get(name, referenced) is not referenced:
                    name = f"{holder}/{name}".strip("/").replace("/", "_")
                _rename(variable, key, word, name)
                found[name] = referenced
                break
    return found


def _beside(dataset: xr.Dataset, others: Mapping[str, xr.Dataset], node: str) -> tuple[xr.Dataset, tuple[Quirk, ...]]:
    """Take the places of pixels from the only group that has any: of dimensions of the same names and sizes."""
    offers = {}
    for path, other in others.items():
        offer = _of_dimensions(dataset, other) or {
            name: variable
            for name, variable in other.variables.items()
            if variable.ndim > 1
            and (tells_longitude(variable) or tells_latitude(variable))
            and _fits(dataset, variable)
        }
        if len(offer) > 1:
            offers[path] = offer
    if len(offers) > 1:
        expected = "one group that has places of the pixels"
        raise MetadataError(node, "coordinates", found=tuple(offers), expected=expected)
    if not offers:
        return dataset, ()
    ((path, offer),) = offers.items()
    done = f"{', '.join(map(str, offer))} of the group {path} taken, which lie on the same dimensions"
    return dataset.assign_coords(offer), (Quirk("coordinates-elsewhere", node, "no coordinates", done),)


def _has_rasters(dataset: xr.Dataset) -> bool:
    return any(variable.ndim > 1 for variable in dataset.variables.values())


def _words(variable: xr.Variable) -> Iterator[tuple[str, str]]:
    """Yield what a variable names, with the attribute that names it."""
    for key in _REFERENCES:
        for word in text(variable, key).replace(":", " ").split():
            yield key, word


def _rename(variable: xr.Variable, key: str, word: str, name: str) -> None:
    holder = variable.attrs if key in variable.attrs else variable.encoding
    holder[key] = " ".join(
        name + part[len(word) :] if part.rstrip(":") == word else part for part in str(holder[key]).split()
    )


def _above(path: str) -> Iterator[str]:
    """Paths of the groups above one, the nearest first."""
    while path != "/":
        path = posixpath.dirname(path)
        yield path


def _is_placed(dataset: xr.Dataset, array: xr.DataArray, node: str) -> bool:
    """Tell whether coordinates or a transform say where a raster lies, be it that they contradict each other."""
    mapping = dataset.variables.get(text(array, "grid_mapping"))
    attributes = {} if mapping is None else {key: plain(value) for key, value in mapping.attrs.items()}
    try:
        axes = axes_of(dataset, array, node)
        if axes is not None and (None not in axes or geotransform(dataset, array, attributes) is not None):
            return True
        return geolocation_of(dataset, array, node) is not None
    except MetadataError:
        return True


def _of_dimensions(dataset: xr.Dataset, other: xr.Dataset) -> dict[Hashable, xr.Variable]:
    """Coordinate variables that another group has of dimensions of this one, which lacks them."""
    return {
        name: other.variables[name]
        for name in dataset.sizes
        if name not in dataset.variables
        and name in other.variables
        and other.variables[name].dims == (name,)
        and _fits(dataset, other.variables[name])
    }


def _fits(dataset: xr.Dataset, variable: xr.Variable) -> bool:
    """Tell whether a variable lies on dimensions of a group, by name and size."""
    return all(dataset.sizes.get(name) == size for name, size in zip(variable.dims, variable.shape, strict=True))
