"""Plan a raster that is described but not there, or build one that holds data in a few blocks only."""

from __future__ import annotations

import json
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from child import run
from simulation import BLOCK, MERCATOR_CELL, DescribedSource

import pyramids
from geozarr import Grid, Window
from geozarr import crs as crs_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOSAIC_WIDTH = 4_008_000  # pixels around the equator: 10 m each


class SparseSource(DescribedSource):
    """A square whose few blocks with data lie scattered; values are a formula of the place, so it takes no memory."""

    def __init__(self, side: int, filled: int, nodata: float) -> None:
        half = side * MERCATOR_CELL / 2
        grid = Grid((side, side), Affine(MERCATOR_CELL, 0, -half, 0, -MERCATOR_CELL, half), _crs("EPSG:3857"))
        variable = pyramids.SourceVariable("height", np.dtype("float32"), nodata=nodata)
        super().__init__(f"sparse {side}", grid, variable)
        self._nodata = nodata
        self._side = math.ceil(side / BLOCK)
        chosen = np.random.default_rng(side).choice(self._side**2, size=min(filled, self._side**2), replace=False)
        self._filled = frozenset(int(index) for index in chosen)

    @property
    def filled(self) -> int:
        """Pixels that hold data."""
        return len(self._filled) * BLOCK**2

    def coverage(self) -> NDArray[np.bool_] | None:
        """Tell which blocks hold data."""
        return self._coverage

    @cached_property
    def _coverage(self) -> NDArray[np.bool_]:
        flat = np.zeros(self._side**2, np.bool_)
        flat[list(self._filled)] = True
        return flat.reshape(self._side, self._side)

    def read(
        self,
        window: Window,
        slices: Sequence[pyramids.Slice],
        out: NDArray[Any] | None = None,  # noqa: ARG002
    ) -> pyramids.Pixels:
        """Compute a window."""
        values = np.full((len(slices), *window.shape), self._nodata, np.float32)
        around = window.align(height=BLOCK, width=BLOCK)
        for row in range(around.row, around.row_stop, BLOCK):
            for col in range(around.col, around.col_stop, BLOCK):
                if row // BLOCK * self._side + col // BLOCK in self._filled:
                    part = Window(row, col, BLOCK, BLOCK).intersect(window)
                    heights = np.sin(np.arange(part.row, part.row_stop) / 50.0)[:, None] * 100
                    down, right = (part.row - window.row, part.col - window.col)
                    inside = values[:, down : down + part.height, right : right + part.width]
                    inside[:] = heights + np.cos(np.arange(part.col, part.col_stop) / 70.0) * 50
        return pyramids.Pixels(values, values != np.float32(self._nodata))


def _crs(code: str) -> Any:
    return crs_module.from_code(code)


def mosaic(width: int) -> DescribedSource:
    """Describe a raster of the whole globe in longitude and latitude."""
    cell = 360 / width
    grid = Grid((width // 2, width), Affine(cell, 0, -180, 0, -cell, 90), _crs("EPSG:4326"))
    variable = pyramids.SourceVariable("reflectance", np.dtype("uint16"), nodata=0)
    return DescribedSource("global mosaic", grid, variable)


def plan_mosaic(job: dict[str, Any]) -> dict[str, Any]:
    """Plan, predict what will be stored, and write the plan down as JSON, as a build would before its first pixel."""
    source = mosaic(job["width"])
    options = pyramids.Options(tms="WebMercatorQuad", max_zoom=job["max_zoom"], workers=job["threads"])
    plan = pyramids.make_plan(source, options)
    predicted = plan.predicted
    document = json.dumps(plan.to_document())
    levels = len(plan.levels.levels)
    arrays = len(plan.variables) + 3  # x, y and the grid mapping
    # A document a group and array, a chunk each of x and y, and the root's document.
    puts = predicted["objects"] + levels * (1 + arrays + 2) + 1
    pixels = sum(level.grid.height * level.grid.width for level in plan.levels.levels)
    return {
        "name": job["name"],
        "levels": levels,
        "pixels": plan.levels.finest.grid.height * plan.levels.finest.grid.width,
        "pixels_of_all_levels": pixels,
        "objects": predicted["objects"],
        "predicted_bytes": predicted["bytes"],
        "puts": puts,
        "plan_characters": len(document),
        "predicted_peak_bytes": plan.peak,
    }


def build_sparse(job: dict[str, Any]) -> dict[str, Any]:
    """Build a pyramid of a mostly empty square."""
    source = SparseSource(job["side"], job["filled_blocks"], -9999.0)
    options = pyramids.Options(tms="WebMercatorQuad", max_zoom=14, workers=job["threads"], memory=job["memory"])
    plan = pyramids.make_plan(source, options)
    pyramids.execute(plan, source, job["target"])
    return {"side": job["side"], "filled": source.filled, "predicted_peak_bytes": plan.peak}


if __name__ == "__main__":
    run(lambda job: (plan_mosaic if job["kind"] == "plan" else build_sparse)(job), packages=("geozarr-pyramids",))
