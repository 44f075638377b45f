"""What is put right in a source before pixels are taken from it, said item by item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Quirk:
    """One thing about a source that was groomed.

    Parameters
    ----------
    kind : str
        What it is, one of `KINDS`.
    where : str
        File, variable, coordinate or attribute.
    found : str
        What stands there.
    done : str
        What is made of it.
    """

    kind: str
    where: str
    found: str
    done: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: found {self.found}, {self.done}"

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"kind": self.kind, "where": self.where, "found": self.found, "done": self.done}


# Each kind, and why it matters to readers of the raster as it is.
KINDS = {
    "axis-names": "readers look for x and y, lat and lon, or longitude and latitude",
    "axis-order": "readers expect rows and columns last",
    "bool": "few readers know booleans",
    "calendar-name": "CF 4.4.1 has retired the name",
    "control-points": "readers without a warper cannot place ground control points",
    "coordinates-elsewhere": "readers look for coordinates in the group of the raster, and in those above",
    "coordinates-packed": "readers take packed coordinates as they are",
    "coordinates-units": "coordinates in another unit than the CRS lie elsewhere",
    "crs-elsewhere": "the variable names no grid mapping, so that readers find no CRS",
    "crs-given": "the source states no CRS, or another one",
    "crs-words": "readers of CF do not parse it",
    "fill-value": "zarr-python and xarray refuse it so",
    "geolocation": "readers without a warper cannot place a longitude and a latitude for each pixel",
    "half-float": "few readers know float16",
    "inner-group": "the store has its group in a folder of its own",
    "irregular-axis": "an affine transform cannot place it",
    "left-out": "its values are no numbers",
    "longitudes-unwrapped": "longitudes jump between two columns",
    "missing-values": "readers know one missing value",
    "packed-floats": "CF 8.1 packs into integers, and few readers unpack floats",
    "scan-angles": "angles of a geostationary satellite are no coordinates of a CRS",
    "south-up": "many readers expect the first row in the north",
    "standard-name": "readers of CF look it up in a table that does not have it",
    "time-units": "readers round times that are not whole numbers",
    "units": "readers of CF parse it by UDUNITS, which does not know it",
    "unsigned": "readers that do not know _Unsigned take large values for negative ones",
    "valid-range": "readers that do not know valid_range take such values for data",
    "west-positive": "many readers expect the first column in the west",
}
