"""The spatial convention v0.1: `spatial:dimensions`, `spatial:bbox`, `spatial:transform`, `spatial:shape`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from affine import Affine

from geozarr.errors import MetadataError
from geozarr.grid import Bounds, Grid

if TYPE_CHECKING:
    from geozarr.crs import CRS

DIMENSIONS = "spatial:dimensions"
BBOX = "spatial:bbox"
TRANSFORM = "spatial:transform"
TRANSFORM_TYPE = "spatial:transform_type"
SHAPE = "spatial:shape"
REGISTRATION = "spatial:registration"
_MOST = 2**63  # rows or columns, as many as arrays can have
KEYS = (DIMENSIONS, BBOX, TRANSFORM_TYPE, TRANSFORM, SHAPE, REGISTRATION)


@dataclass(frozen=True)
class Spatial:
    """What a node says by itself; None where it is silent.

    Parameters
    ----------
    dimensions : tuple of (str, str) or None
        Name of the row dimension, then of the column dimension, whatever the array's own order (SP-02).
    bbox : Bounds or None
        In CRS units.
    transform : Affine or None
        Pixel corner `(col, row)` to CRS `(x, y)`.
    shape : tuple of (int, int) or None
        `(height, width)`.
    registration : str
        "pixel" or "node".
    """

    dimensions: tuple[str, str] | None = None
    bbox: Bounds | None = None
    transform: Affine | None = None
    shape: tuple[int, int] | None = None
    registration: str = "pixel"

    def grid(self, crs: CRS, *, node: str) -> Grid:
        """Return the grid described; a `node` registration is restated for cell corners (SP-12).

        Raises
        ------
        MetadataError
            If the transform or the shape is missing.
        """
        if self.transform is None or self.shape is None:
            missing = TRANSFORM if self.transform is None else SHAPE
            raise MetadataError(node, missing, found=None, expected="a value at this node")
        transform = self.transform
        if self.registration == "node":
            transform = transform @ Affine.translation(-0.5, -0.5)
        return Grid(self.shape, transform, crs)


def group_attributes(*, dimensions: tuple[str, str], bbox: Bounds) -> dict[str, Any]:
    """Attributes of the multiscale group: no transform and no shape, which belong to the levels (SPEC section 6)."""
    return {DIMENSIONS: list(dimensions), BBOX: list(bbox)}


def grid_attributes(grid: Grid, *, dimensions: tuple[str, str]) -> dict[str, Any]:
    """Attributes of a level group or a data array.

    `spatial:registration` is left out on purpose: with an explicit "pixel" GDAL drops the overviews of arrays with
    more than two dimensions (RD-01e), and its absence means pixel.
    """
    return {DIMENSIONS: list(dimensions), **layout_attributes(grid), BBOX: list(grid.bounds)}


def layout_attributes(grid: Grid) -> dict[str, Any]:
    """Absolute keys of a level in `multiscales.layout` (MS-11)."""
    return {
        SHAPE: list(grid.shape),
        TRANSFORM: [float(number) for number in tuple(grid.transform)[:6]],
    }


def from_attributes(attributes: dict[str, Any], *, node: str) -> Spatial:
    """Read what a node says.

    Raises
    ------
    MetadataError
        If a key is there but has another form than the convention's.
    """
    dimensions = attributes.get(DIMENSIONS)
    if dimensions is not None and not (
        isinstance(dimensions, list)
        and len(dimensions) == 2
        and all(isinstance(name, str) for name in dimensions)
        and dimensions[0] != dimensions[1]
    ):
        raise MetadataError(node, DIMENSIONS, found=dimensions, expected="two different names, rows first")
    shape = attributes.get(SHAPE)
    if shape is not None and not (
        isinstance(shape, list)
        and len(shape) == 2
        and all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side < _MOST for side in shape)
    ):
        raise MetadataError(node, SHAPE, found=shape, expected="[height, width], whole numbers of at least 1")
    registration = attributes.get(REGISTRATION, "pixel")
    if registration not in ("pixel", "node"):
        raise MetadataError(node, REGISTRATION, found=registration, expected="'pixel' or 'node'")
    kind = attributes.get(TRANSFORM_TYPE, "affine")
    bbox = _numbers(attributes, BBOX, 4, node)
    transform = _numbers(attributes, TRANSFORM, 6, node) if kind == "affine" else None
    return Spatial(
        dimensions=(dimensions[0], dimensions[1]) if dimensions else None,
        bbox=Bounds(*bbox) if bbox else None,
        transform=Affine(*transform) if transform else None,
        shape=(shape[0], shape[1]) if shape else None,
        registration=registration,
    )


def _numbers(attributes: dict[str, Any], key: str, count: int, node: str) -> list[float] | None:
    values = attributes.get(key)
    if values is None:
        return None
    numbers: list[float] = []
    if isinstance(values, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        try:
            numbers = [float(value) for value in values]
        except OverflowError:  # an integer beyond the float64 range, as JSON can hold
            numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise MetadataError(node, key, found=values, expected=f"{count} finite numbers")
    return numbers
