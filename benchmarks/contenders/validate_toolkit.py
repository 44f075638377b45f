"""geozarr-toolkit and zarr-cm: what they say of each store, node by node.

The toolkit's command looks at the root alone. Here its checks, and those of zarr-cm, are given the attributes of every
group and array, so that whatever they can find at a node counts for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import child
import zarr
import zarr_cm
from geozarr_toolkit.helpers import validate_attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def attributes(folder: Path) -> Iterator[dict[str, Any]]:
    """Attributes of every node, as zarr-python reads them."""
    group = zarr.open_group(folder, mode="r")
    yield dict(group.attrs)
    for _, node in group.members(max_depth=None):
        yield dict(node.attrs)


def of_toolkit(folder: Path) -> list[str]:
    """List what geozarr-toolkit finds."""
    return [error for found in attributes(folder) for errors in validate_attrs(found).values() for error in errors]


def of_zarr_cm(folder: Path) -> list[str]:
    """List what zarr-cm finds."""
    problems = []
    for found in attributes(folder):
        if "zarr_conventions" in found:
            try:
                zarr_cm.validate_convention_metadata_objects(found["zarr_conventions"])
                zarr_cm.validate_all(found)
            except (ValueError, TypeError, KeyError) as error:
                problems.append(str(error))
    return problems


VALIDATORS: dict[str, Callable[[Path], list[str]]] = {"geozarr-toolkit": of_toolkit, "zarr-cm": of_zarr_cm}


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Judge every store."""
    verdicts: dict[str, dict[str, str]] = {name: {} for name in VALIDATORS}
    for path in job["stores"]:
        for name, validate in VALIDATORS.items():
            try:
                found = validate(Path(job["folder"]) / path)
            except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
                found = [f"{type(error).__name__}: {error}"]
            verdicts[name][path] = "; ".join(found)[:200]
    return {"verdicts": verdicts}


child.run(work, packages=("geozarr-toolkit", "zarr-cm", "zarr"))
