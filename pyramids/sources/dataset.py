"""Source over a NetCDF or HDF5 file, by way of xarray: lazily, packed, and opened anew by each process."""

from __future__ import annotations

import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geozarr.errors import UnsupportedError
from pyramids.sources import files, groups_beside
from pyramids.sources.array import ArraySource, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from geozarr import Window
    from pyramids.sources.quirk import Quirk
    from pyramids.sources.source import Pixels, Slice

_MAGIC = {b"\x89HDF\r\n\x1a\n": "HDF5", b"CDF\x01": "NetCDF3", b"CDF\x02": "NetCDF3", b"CDF\x05": "NetCDF5"}
_HDF5_STARTS = (0, 512, 1024, 2048, 4096)  # bytes that a user block before the file may have
# What reads each format: xarray's name of it, and the package that it needs.
_ENGINES = {
    "HDF5": (("h5netcdf", "h5netcdf"), ("netcdf4", "netCDF4")),
    "NetCDF3": (("scipy", "scipy"), ("netcdf4", "netCDF4")),
    "NetCDF5": (("netcdf4", "netCDF4"),),
}


def format_of(path: Path) -> str | None:
    """Tell from its first bytes whether a file is HDF5 or NetCDF; None where it is neither, or cannot be read."""
    try:
        with path.open("rb") as file:
            for start in _HDF5_STARTS:
                file.seek(start)
                head = file.read(8)
                for magic, name in _MAGIC.items():
                    if head.startswith(magic) and (start == 0 or name == "HDF5"):
                        return name
    except OSError:
        return None
    return None


class DatasetSource(ArraySource):
    """Variables of a NetCDF or HDF5 file that lie on one grid.

    Parameters
    ----------
    path : str or Path
        The file.
    group : str
        Path of a group in it; "" is the root.
    variables, reading, name
        As for `ArraySource`; by default the name is the path.

    Raises
    ------
    StoreError
        If it cannot be opened.
    UnsupportedError
        If nothing that is installed reads its format.
    MetadataError, UnknownNameError
        As `ArraySource`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        group: str = "",
        variables: Sequence[str] | None = None,
        reading: Reading | None = None,
        name: str | None = None,
    ) -> None:
        self._path = str(path)
        self._group, self._wanted, self._reading = group, variables, reading
        self._state = files.state_of((self._path,))
        called = name or (f"{path}:{group}" if group else str(path))
        dataset, self._found_beside = open_dataset(Path(path), group=group)
        super().__init__(
            dataset,
            variables=variables,
            reading=reading,
            name=called,
            fingerprint=files.fingerprint_of((self._path,), self._state),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the file itself, and may be at home in another folder.
        opened_again = partial(
            DatasetSource, group=self._group, variables=self._wanted, reading=self._reading, name=self.name
        )
        return opened_again, (str(Path(self._path).absolute()),)

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """What was groomed."""
        return (*self._found_beside, *super().quirks)

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:
        """Read slices; see `Source.read`.

        Raises
        ------
        SourceChangedError
            If the file is not as it was when it was opened.
        """
        try:
            return super().read(window, slices, out)
        finally:
            files.require_same((self._path,), self._state)


def open_dataset(path: Path, *, group: str = "") -> tuple[xr.Dataset, tuple[Quirk, ...]]:
    """Open a group of a file as it is stored: packed, with times as numbers, and with what it needs of other groups.

    Raises
    ------
    StoreError
        If it cannot be opened, or has no such group.
    MetadataError
        If it holds groups alone, or several of them have places for its pixels.
    UnsupportedError
        If nothing that is installed reads its format.
    """
    import xarray as xr  # noqa: PLC0415 - a quarter of a second, which builds from raster files need not pay

    known = format_of(path) or "HDF5"
    engines = _ENGINES[known]
    engine = next((engine for engine, package in engines if find_spec(package) is not None), None)
    if engine is None:
        raise UnsupportedError(f"{path}: {known}", f"install {' or '.join(package for _, package in engines)}")
    packed: dict[str, Any] = {"mask_and_scale": False, "decode_times": False}
    as_stored = {**packed, "engine": engine, "decode_coords": False}  # else xarray drops references to other groups
    where = f"{path}:{group}" if group else str(path)
    with files.opening(where), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of attributes that xarray finds strange; what matters is said as a quirk
        dataset = xr.open_dataset(path, group=group or None, **as_stored)
        quirks: tuple[Quirk, ...] = ()
        if known == "HDF5" and not groups_beside.is_complete(dataset, where):
            groups = xr.open_groups(path, **as_stored)
            dataset, quirks = groups_beside.completed(dataset, groups, group, where)
        return xr.decode_cf(dataset, decode_coords="all", **packed), quirks
