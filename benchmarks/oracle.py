"""What the values should be, computed slowly and plainly in float64, with no code of the project's builder.

- Finest level, reprojected: the exact position of a pixel's centre by pyproj, and bilinear interpolation between the
  four source pixels around it, where all four hold data.
- Finest level, native: the source's own value.
- Coarser levels: the mean of the contender's own finest values under a cell, those with data only. So an error there is
  the pyramid's, not the warp's.
- Classes: a cell is wrong if another class is more frequent under it; ties are free. On a reprojected finest level it
  is wrong if its class is neither that under its centre nor, within what 8 x 8 samples can tell, the most frequent one.

Windows are drawn at random, with a fixed seed: two thirds anywhere in the data, one third across its edge.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import zarr
from pyproj import Transformer
from rasterio.windows import Window as RasterioWindow

from benchmarks.inputs import KINDS
from benchmarks.layouts import Level, open_levels
from geozarr import Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from affine import Affine
    from numpy.typing import NDArray

    from benchmarks.cases import Case

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Reader = Callable[[Window], tuple[NDArray[Any], Mask]]

WINDOWS = 18  # a level
SIDE = 1024  # finest pixels along a window
GUIDE = 2048  # longest side of the level whose mask tells where to look
POSITION = 0.01  # source pixels: how far off a finest sample may be read, on top of rounding
SUBSAMPLES = 8  # along a side of a pixel, to tell the most frequent class under it
TARGET_CRS = {"WebMercatorQuad": "EPSG:3857"}


@dataclass(frozen=True)
class LevelError:
    """What was found on a level.

    Parameters
    ----------
    level : int
        0 is the finest.
    shape : tuple of int
        Rows and columns.
    samples : int
        Values compared.
    max_error : float
        Largest difference from the oracle, in stored units; for classes the share of wrong cells.
    tolerance : float
        Half a step of an integer, half the last place of the largest float seen, 0 for classes.
    beyond : float
        Share of samples off by more than that; on a reprojected finest level by more than that and 1/100 source pixel.
    mask_differs : float
        Share of cells that hold data where the oracle has none, or the other way round. Which pixels at the edge of the
        finest level hold data is a matter of taste, so it is told, not judged.
    """

    level: int
    shape: tuple[int, int]
    samples: int
    max_error: float
    tolerance: float
    beyond: float
    mask_differs: float


def verify(case: Case, source: Path, output: Path) -> list[dict[str, Any]]:
    """Compare an output with the oracle, level by level, finest first."""
    kind = KINDS[case.recipe.kind]
    levels = open_levels(output, bands=kind.bands, nodata=kind.nodata)
    finest = _finest(case, source, levels)
    return [asdict(found) for found in (finest, *(_coarser(case, levels, number) for number in range(1, len(levels))))]


# ------------------------------------------------------------------------------------------------------------- sampling
def windows(levels: list[Level], number: int) -> list[Window]:
    """Draw windows of a level: two thirds in the data, one third across its edge."""
    guide = next((i for i, level in enumerate(levels) if max(level.shape) <= GUIDE), len(levels) - 1)
    shape = levels[guide].shape
    _, valid = levels[guide].read(Window(0, 0, *shape), 0)
    padded = np.pad(valid, 1)
    inner = valid & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    generator = np.random.default_rng(number)
    cells = [
        cell
        for mask, count in ((inner, WINDOWS * 2 // 3), (valid & ~inner, WINDOWS // 3))
        for cell in _pick(mask, count, generator)
    ]
    rows, cols = levels[number].shape
    zoom = rows / shape[0]
    side = max(1, round(SIDE * rows / levels[0].shape[0])) if number else SIDE // 4
    return list(dict.fromkeys(_around(cell, zoom, side, (rows, cols)) for cell in cells))


def _pick(mask: Mask, count: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    found = np.argwhere(mask)
    if not len(found):
        return []
    chosen = generator.choice(len(found), size=min(count, len(found)), replace=False)
    return [(int(row), int(col)) for row, col in found[chosen]]


def _around(cell: tuple[int, int], zoom: float, side: int, shape: tuple[int, int]) -> Window:
    """Window of a side around a cell of the guide, pushed into the level."""
    height, width = min(side, shape[0]), min(side, shape[1])
    row, col = (int((place + 0.5) * zoom - side / 2 + 0.5) for place in cell)
    return Window(min(max(0, row), shape[0] - height), min(max(0, col), shape[1] - width), height, width)


# ------------------------------------------------------------------------------------------------------- coarser levels
def _coarser(case: Case, levels: list[Level], number: int) -> LevelError:
    level, finest = levels[number], levels[0]
    factor = 1 << round(np.log2(finest.shape[0] / level.shape[0]))
    tally = _Tally(number, level.shape, case)
    for window in windows(levels, number):
        reach = Window(window.row * factor, window.col * factor, window.height * factor, window.width * factor)
        held = reach.intersect(Window(0, 0, *finest.shape))
        for band in range(len(KINDS[case.recipe.kind].bands)):
            values, valid = level.read(window, band)
            fine, fine_valid = finest.read(held, band)
            missing = ((0, reach.height - held.height), (0, reach.width - held.width))
            fine, fine_valid = np.pad(fine, missing), np.pad(fine_valid, missing)
            compare = classes_of if case.method == "mode" else mean_of
            tally.add(values, valid, *compare(fine, fine_valid, factor, values))
    return tally.result()


def mean_of(fine: NDArray[Any], valid: Mask, factor: int, _: object = None) -> tuple[Floats, Mask]:
    """Mean of the valid values in each square window of `factor` pixels a side, and where there is one."""
    count = _windowed(valid, factor).sum(axis=(1, 3))
    total = _windowed(np.where(valid, fine, 0).astype(np.float64), factor).sum(axis=(1, 3))
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0), count > 0


def classes_of(fine: NDArray[Any], valid: Mask, factor: int, chosen: NDArray[Any]) -> tuple[Floats, Mask]:
    """Return the chosen class where none is more frequent under the cell, else NaN; and where any pixel holds data."""
    most = np.zeros(chosen.shape, np.int64)
    own = np.zeros(chosen.shape, np.int64)
    for code in np.unique(fine[valid]):
        count = _windowed(valid & (fine == code), factor).sum(axis=(1, 3))
        most = np.maximum(most, count)
        own = np.where(chosen == code, count, own)
    return np.where(own == most, chosen, np.nan).astype(np.float64), most > 0


def _windowed(values: NDArray[Any], factor: int) -> NDArray[Any]:
    rows, cols = values.shape
    return values.reshape(rows // factor, factor, cols // factor, factor)


# --------------------------------------------------------------------------------------------------------- finest level
def _finest(case: Case, source: Path, levels: list[Level]) -> LevelError:
    level = levels[0]
    tally = _Tally(0, level.shape, case)
    for window in windows(levels, 0):
        for band in range(len(KINDS[case.recipe.kind].bands)):
            read = partial(
                _read_source, source, KINDS[case.recipe.kind].bands[band], band, KINDS[case.recipe.kind].nodata
            )
            values, valid = level.read(window, band)
            if case.tms is None:
                tally.add(values, valid, *read(window))
            elif case.method == "mode":
                tally.add(values, valid, *_classes_under(case, level, window, read, values))
            else:
                col, row = _positions(case, level.transform, window, 1)
                tally.add(values, valid, *bilinear(read, row, col, case.recipe.shape))
    return tally.result()


def _read_source(path: Path, name: str, band: int, nodata: float, window: Window) -> tuple[NDArray[Any], Mask]:
    if path.is_dir():
        values = np.asarray(zarr.open_array(path / name, mode="r")[window.slices])
    else:
        with rasterio.open(path) as dataset:
            where = RasterioWindow(window.col, window.row, window.width, window.height)
            values = dataset.read(band + 1, window=where)
    return values, values != nodata


def _positions(case: Case, transform: Affine, window: Window, per_side: int) -> tuple[Floats, Floats]:
    """Where samples of a window lie in the source: fractional columns and rows, pixel corners at whole numbers."""
    offsets = (np.arange(per_side) + 0.5) / per_side
    rows = (np.arange(window.row, window.row_stop)[:, None] + offsets).ravel()
    cols = (np.arange(window.col, window.col_stop)[:, None] + offsets).ravel()
    x, y = transform @ np.broadcast_arrays(cols[None, :], rows[:, None])
    to_source = Transformer.from_crs(TARGET_CRS[case.tms or ""], case.recipe.crs, always_xy=True)
    col, row = ~case.recipe.transform @ to_source.transform(x, y)
    return np.asarray(col), np.asarray(row)


def bilinear(read: Reader, row: Floats, col: Floats, shape: tuple[int, int]) -> tuple[Floats, Mask, Floats, Mask]:
    """Interpolate between the four pixels around each position.

    Returns
    -------
    tuple
        Values; where the pixel under the position holds data; how far a value may be off when the position is off by
        `POSITION` pixels; and where all four pixels hold data, so that values can be compared.
    """
    top, left = np.floor(row - 0.5).astype(np.int64), np.floor(col - 0.5).astype(np.int64)
    inside = (top >= 0) & (left >= 0) & (top < shape[0] - 1) & (left < shape[1] - 1)
    if not inside.any():
        nothing = np.zeros(row.shape)
        return nothing, inside, nothing, inside
    box = Window.from_bounds(
        row_start=int(top[inside].min()),
        row_stop=int(top[inside].max()) + 2,
        col_start=int(left[inside].min()),
        col_stop=int(left[inside].max()) + 2,
    )
    pixels, valid = read(box)
    i, j = np.where(inside, top - box.row, 0), np.where(inside, left - box.col, 0)
    four = [pixels[i + a, j + b].astype(np.float64) for a in (0, 1) for b in (0, 1)]
    whole = inside & valid[i, j] & valid[i, j + 1] & valid[i + 1, j] & valid[i + 1, j + 1]
    down, right = row - 0.5 - top, col - 0.5 - left
    upper = four[0] + (four[1] - four[0]) * right
    lower = four[2] + (four[3] - four[2]) * right
    steepest = np.maximum(abs(four[1] - four[0]), abs(four[3] - four[2])) + np.maximum(
        abs(four[2] - four[0]), abs(four[3] - four[1])
    )
    centre = (
        inside & valid[np.clip(i + (down >= 0.5), 0, box.height - 1), np.clip(j + (right >= 0.5), 0, box.width - 1)]
    )
    return upper + (lower - upper) * down, centre, steepest * POSITION, whole


def _classes_under(case: Case, level: Level, window: Window, read: Reader, chosen: NDArray[Any]) -> tuple[Floats, Mask]:
    """Return the chosen class where it may stand, else NaN; and where the pixel under the centre holds data."""
    pixels, valid, centre, centre_valid = _samples(case, level, window, read)
    expected, _ = classes_of(pixels, valid, SUBSAMPLES, chosen)
    # Counts of samples stand for areas. An edge that runs along the cell's sides moves a count by half a row of samples
    # at most, up or down, so two counts that are less than a row apart may be either way round in truth.
    slack = SUBSAMPLES
    best = np.zeros(chosen.shape, np.int64)
    own = np.zeros(chosen.shape, np.int64)
    for code in np.unique(pixels[valid]):
        count = _windowed(valid & (pixels == code), SUBSAMPLES).sum(axis=(1, 3))
        best, own = np.maximum(best, count), np.where(chosen == code, count, own)
    allowed = ~np.isnan(expected) | (own + slack >= best) | (chosen == centre)
    return np.where(allowed, chosen, np.nan).astype(np.float64), centre_valid


def _samples(case: Case, level: Level, window: Window, read: Reader) -> tuple[NDArray[Any], Mask, NDArray[Any], Mask]:
    """Source pixels under 8 x 8 points of each cell, and those under the centres."""
    found = []
    for per_side in (SUBSAMPLES, 1):
        col, row = (np.floor(place).astype(np.int64) for place in _positions(case, level.transform, window, per_side))
        inside = (row >= 0) & (col >= 0) & (row < case.recipe.shape[0]) & (col < case.recipe.shape[1])
        row, col = np.where(inside, row, row[inside].min()), np.where(inside, col, col[inside].min())
        top, left = int(row.min()), int(col.min())
        pixels, valid = read(Window(top, left, int(row.max()) - top + 1, int(col.max()) - left + 1))
        found += [pixels[row - top, col - left], valid[row - top, col - left] & inside]
    return found[0], found[1], found[2], found[3]


class _Tally:
    """Gathers differences of one level over windows and bands."""

    def __init__(self, level: int, shape: tuple[int, int], case: Case) -> None:
        self._level, self._shape, self._classes = level, shape, case.method == "mode"
        self._samples = self._cells = self._mask = self._beyond = self._wrong = 0
        self._worst = self._largest = 0.0
        self._is_float = False

    def add(
        self,
        values: NDArray[Any],
        valid: Mask,
        expected: Floats,
        has_data: Mask,
        slack: Floats | float = 0.0,
        comparable: Mask | None = None,
    ) -> None:
        self._is_float = values.dtype.kind == "f"
        self._cells += valid.size
        self._mask += int(np.count_nonzero(valid != has_data))
        both = valid & has_data if comparable is None else valid & comparable
        self._samples += int(np.count_nonzero(both))
        if not both.any():
            return
        stored = values[both].astype(np.float64)
        difference = np.abs(stored - expected[both])
        if self._classes:
            self._wrong += int(np.count_nonzero(~(difference == 0)))
            return
        self._largest = max(self._largest, float(np.abs(stored).max()))
        self._worst = max(self._worst, float(difference.max()))
        allowed = self._tolerance() + np.broadcast_to(slack, valid.shape)[both]
        self._beyond += int(np.count_nonzero(difference > allowed * (1 + 1e-9)))

    def _tolerance(self) -> float:
        if self._classes:
            return 0.0
        return float(np.spacing(np.float32(self._largest))) / 2 if self._is_float else 0.5

    def result(self) -> LevelError:
        samples = max(1, self._samples)
        worst = self._wrong / samples if self._classes else self._worst
        beyond = worst if self._classes else self._beyond / samples
        mask = self._mask / max(1, self._cells)
        return LevelError(self._level, self._shape, self._samples, worst, self._tolerance(), beyond, mask)
