"""Sources to build from, builds in memory, and what they stored, read back by zarr-python."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import rioxarray  # noqa: F401 - registers the `.rio` accessor
import xarray as xr
import zarr
import zarr.storage
from affine import Affine
from obstore.store import MemoryStore

import oracle
import pyramids
from geozarr import Grid, Window, crs
from geozarr.levels import USUAL_DIMENSIONS
from pyramids import Axis, Options, Pixels, Plan, Slice, SourceVariable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pyramids.plan import PlannedVariable
    from pyramids.sources.quirk import Quirk

UTM = "EPSG:32631"  # central meridian 3 degrees east, so that rasters at easting 500000 lie almost square in Mercator


def scene(dtype: str, shape: tuple[int, ...], *, seed: int = 1, span: tuple[int, int] | None = None) -> NDArray[Any]:
    """Smooth hills with noise, over a good part of the dtype's range or over `span`."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[: shape[-2], : shape[-1]]
    hills = np.sin(col / 17) + np.cos(row / 23) + 0.3 * rng.normal(size=shape)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (hills * 50).astype(dtype)
    info = np.iinfo(kind)
    low, high = span or (max(info.min, -30000) + 2, min(info.max, 60000) - 2)
    scaled = (hills + 3) / 6 * (high - low) + low
    return np.clip(np.rint(scaled), low, high).astype(dtype)


def data_array(
    values: NDArray[Any],
    *,
    code: str | None = UTM,
    cell: tuple[float, float] = (30.0, -30.0),
    corner: tuple[float, float] = (500000.0, 5000000.0),
    dims: tuple[str, ...] = ("y", "x"),
    name: str = "v",
    attrs: dict[str, Any] | None = None,
) -> xr.DataArray:
    """Wrap values, rows and columns last, as xarray has them: pixel centres as coordinates."""
    height, width = values.shape[-2:]
    y, x = dims[-2:]
    coords = {
        y: corner[1] + cell[1] * (np.arange(height) + 0.5),
        x: corner[0] + cell[0] * (np.arange(width) + 0.5),
    }
    array = xr.DataArray(values, dims=dims, coords=coords, name=name, attrs=attrs or {})
    return array if code is None else array.rio.set_spatial_dims(x_dim=x, y_dim=y).rio.write_crs(code)


@dataclass
class FakeSource:
    """A source in memory that says what a test wants, and counts what is asked of it.

    Parameters
    ----------
    values : ndarray, shape (variable, row, col)
        One 2-D variable each; `leading` makes one variable of all instead.
    valid : ndarray of bool, shape (row, col), optional
        Mask of all variables; by default where no value equals `nodata`.
    covered : ndarray of bool, shape (block row, block col), optional
        What the source's index says; by default it has none.
    block_shape : tuple of int
        Rows and columns that are decoded together.
    resident_bytes : int
        Bytes that the source says it keeps itself.
    before_read : callable, optional
        Is called with the window before each read; may raise.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_] | None = None
    nodata: float | None = None
    has_alpha: bool = False
    alpha: NDArray[np.uint8] | None = None
    is_categorical: bool = False
    is_flags: bool = False
    leading: tuple[Axis, ...] = ()
    code: str = UTM
    transform: Affine = field(default_factory=lambda: Affine(30, 0, 500000, 0, -30, 5000000))
    names: tuple[str, ...] = ()
    dimensions: tuple[str, str] = USUAL_DIMENSIONS
    quirks: tuple[Quirk, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = "made for a test"
    name: str = "<fake>"
    covered: NDArray[np.bool_] | None = None
    block_shape: tuple[int, int] = (64, 64)
    resident_bytes: int = 0
    before_read: Callable[[Window], None] | None = None
    reads: list[tuple[Window, tuple[Slice, ...]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def grid(self) -> Grid:
        """The grid of all variables."""
        return Grid(self.values.shape[-2:], self.transform, crs.from_code(self.code))

    @property
    def variables(self) -> tuple[SourceVariable, ...]:
        """One a slice, or one of all slices."""
        count = 1 if self.leading else len(self.values)
        names = self.names or tuple(f"v{number}" for number in range(count))
        return tuple(
            SourceVariable(
                name,
                self.values.dtype,
                self.nodata,
                self.leading,
                dict(self.attributes),
                is_categorical=self.is_categorical,
                is_flags=self.is_flags,
            )
            for name in names
        )

    def coverage(self) -> NDArray[np.bool_] | None:
        """Tell what the index says."""
        return self.covered

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:
        """Cut out a window, as sources do: into memory that is given, which serves again when nobody holds it."""
        if self.before_read is not None:
            self.before_read(window)
        with self.lock:
            self.reads.append((window, tuple(slices)))
        assert self.grid.window.contains(window), "a source is asked for its own pixels only"
        chosen = [number if self.leading else variable for variable, number in slices]
        values = np.stack([self.values[index][window.slices] for index in chosen], out=out)
        valid = np.stack([self.mask(index)[window.slices] for index in chosen])
        return Pixels(values, valid, None if self.alpha is None else self.alpha[window.slices])

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Which pixels of a slice hold data."""
        values = self.values[index]
        mask = np.ones(values.shape, bool) if self.valid is None else self.valid
        if values.dtype.kind == "f":
            mask = mask & ~np.isnan(values)
        if self.nodata is not None and not np.isnan(self.nodata):
            mask = mask & (values != self.nodata)
        if self.alpha is not None:
            mask = mask & (self.alpha > 0)
        return mask


def build(source: Any, **choices: Any) -> tuple[Plan, MemoryStore]:
    """Build into memory."""
    store = MemoryStore()
    return pyramids.build(source, store, **choices), store


def run(plan: Plan, source: Any) -> tuple[MemoryStore, pyramids.Report]:
    """Carry out a plan in memory."""
    store = MemoryStore()
    return store, pyramids.execute(plan, source, store)


def plan_for(source: Any, **choices: Any) -> Plan:
    """Plan without building."""
    return pyramids.make_plan(source, Options(**choices))


def cells_read(source: FakeSource) -> Counter[tuple[Window, tuple[Slice, ...]]]:
    """How often each window was read, for each choice of slices."""
    return Counter(source.reads)


def objects(store: MemoryStore) -> dict[str, bytes]:
    """Every object that readers may see, by key: chunks and documents, not the build's own notes."""
    keys = [str(item["path"]) for batch in store.list() for item in batch]
    return {key: bytes(store.get(key).bytes()) for key in sorted(keys) if not key.startswith(".build/")}


def read(store: MemoryStore, path: str) -> NDArray[Any]:
    """Read an array whole with zarr-python."""
    return np.asarray(open_array(store, path)[...])


def open_array(store: MemoryStore, path: str) -> zarr.Array[Any]:
    """Open an array with zarr-python."""
    return zarr.open_array(zarr.storage.ObjectStore(store, read_only=True), path=path, mode="r", zarr_format=3)


def attributes(store: MemoryStore, path: str = "") -> dict[str, Any]:
    """Attributes of a node, from its own document."""
    key = f"{path}/zarr.json" if path else "zarr.json"
    found: dict[str, Any] = json.loads(bytes(store.get(key).bytes()))["attributes"]
    return found


def validity(store: MemoryStore, asset: str, name: str) -> NDArray[np.bool_]:
    """Which stored values hold data, by the rule of the stored documents alone."""
    values = read(store, f"{asset}/{name}")
    stated = attributes(store, f"{asset}/{name}")
    if "ancillary_variables" in stated:
        mask = read(store, f"{asset}/{stated['ancillary_variables']}") > 0
        return np.broadcast_to(mask, values.shape)
    if stated.get("color_interpretation") == "alpha":
        return values > 0
    if "_FillValue" not in stated:
        return np.ones(values.shape, bool)
    fill = open_array(store, f"{asset}/{name}").metadata.fill_value
    return ~np.isnan(values) if fill != fill else values != fill  # noqa: PLR0124 - NaN differs from itself


def assert_levels_follow(store: MemoryStore, plan: Plan) -> None:
    """Every stored level is the oracle's fold of a variable's first one, integers to the bit, floats to rounding."""
    for variable in plan.variables:
        name = variable.name
        first, *coarser = plan.levels.assets[variable.first :]
        base, base_valid = read(store, f"{first}/{name}"), validity(store, first, name)
        for step, asset in enumerate(coarser, start=1):
            found = read(store, f"{asset}/{name}")
            for index in np.ndindex(base.shape[:-2]):
                assert_level_follows(found[index], base[index], base_valid[index], 2**step, variable)


def assert_level_follows(
    found: NDArray[Any], base: NDArray[Any], base_valid: NDArray[np.bool_], factor: int, variable: PlannedVariable
) -> None:
    """One stored level of one slice is the oracle's fold of finest values."""
    expected, _ = oracle.fold(
        base,
        base_valid,
        factor,
        variable.fold_method,
        nodata=variable.fill_value,
        is_nodata=not variable.uses_alpha,
    )
    if base.dtype.kind == "f" and variable.fold_method in ("average", "sum"):
        largest = np.abs(base[base_valid]).max(initial=0).astype(np.float64)
        terms = factor**2 if variable.fold_method == "sum" else 1
        np.testing.assert_allclose(found, expected, rtol=np.finfo(base.dtype).eps, atol=1e-14 * largest * terms)
    else:
        np.testing.assert_array_equal(found, expected)
