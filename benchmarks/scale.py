"""Scale on paper and by simulation: plans of rasters too large to make here, and memory against the side of a raster.

    python -m benchmarks.scale

- A global mosaic of 10 m is planned to WebMercatorQuad 14 from its description alone; reading a pixel is an error.
- The same at 20 m and zoom 13 is a million shards.
- Squares from 16 k to 1 M pixels, all holding the same few blocks of data, are built for real. Peak memory must not
  depend on the side.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Failure

SCRIPT = Path(__file__).parent / "contenders" / "scale_job.py"
PLANS = (
    {"name": "global mosaic, 10 m, zoom 14", "width": 4_008_000, "max_zoom": 14},
    {"name": "a million shards: 20 m, zoom 13", "width": 2_004_000, "max_zoom": 13},
)
SIDES = (16_384, 65_536, 262_144, 1_048_576)  # pixels
QUICK_SIDES = (4_096, 65_536)
FILLED_BLOCKS = 64  # of 512 x 512 px: 67 MB of float32, whatever the side
MEMORY = 2**30  # bytes given to a build
LIMIT = 300.0  # seconds that one run may take


def run(*, is_quick: bool) -> dict[str, Any]:
    """Plan and build; give the records of `results.json`."""
    mosaic, million = (_run("plan", plan) for plan in PLANS)
    for plan in (mosaic, million):
        if "predicted_bytes" in plan:
            plan["bytes"] = plan.pop("predicted_bytes")
    sides = QUICK_SIDES if is_quick else SIDES
    sparse = [_run("sparse", {"side": side, "filled_blocks": FILLED_BLOCKS}) for side in sides]
    return {
        "mosaic": mosaic if "seconds" in mosaic else None,
        "million_shards": million if "seconds" in million else None,
        "sparse": sparse,
        "failed": [found["failed"] for found in (mosaic, million, *sparse) if "failed" in found],
    }


def _run(kind: str, choices: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.zarr"
        job = {"kind": kind, "target": str(target), "threads": os.cpu_count() or 1, "memory": MEMORY} | choices
        print(f"  {kind} {choices} ... ", end="", flush=True)
        try:
            found = measure.run(Path(sys.executable), SCRIPT, job, timeout=LIMIT)
        except Failure as failure:
            print(f"failed: {failure.reason}", flush=True)
            return choices | {"failed": failure.reason}
    # A plan tells the objects that it predicts; what lies in the folder counts for builds.
    print(f"{found['seconds']:.2f} s, {found['peak_bytes'] / 2**20:.0f} MiB", flush=True)
    return found


if __name__ == "__main__":
    run(is_quick="--quick" in sys.argv)
