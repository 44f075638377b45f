"""eopf-geozarr's validator: what it says of each store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import child
from eopf_geozarr.data_api.geozarr.validation import validate_store


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Judge every store."""
    verdicts = {}
    for path in job["stores"]:
        try:
            report = validate_store(str(Path(job["folder"]) / path))
            found = [str(issue) for issue in report.issues]
        except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
            found = [f"{type(error).__name__}: {error}"]
        verdicts[path] = "; ".join(found)[:200]
    return {"verdicts": {"eopf-geozarr": verdicts}}


child.run(work, packages=("eopf-geozarr", "zarr"))
