"""The pyramids that `make demo` builds, where it has run."""

from __future__ import annotations

from pathlib import Path

from interop import truth
from interop.cases import Case

DEMO = Path("demo")
SHOWN = {"rmnp-rgb": "red", "rmnp-dem": "b1", "landsat": "b1"}  # store: the variable that is looked at


def stores(folder: Path = DEMO) -> list[Case]:
    """List the demo pyramids that are there."""
    found = []
    for name, variable in SHOWN.items():
        place = folder / f"{name}.zarr"
        if not (place / "zarr.json").exists():
            continue
        files = (path for path in sorted(place.rglob("*")) if path.is_file())
        objects = {str(path.relative_to(place)): path.read_bytes() for path in files}
        title = "a pyramid that `make demo` builds"
        found.append(Case(f"demo-{name}", "demo", title, objects, truth.read(objects, variable)))
    return found
