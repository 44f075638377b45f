"""Named colormaps: rio-tiler's, read as the tables they are.

Importing rio-tiler loads xarray and takes over half a second, which the service would pay at each start; its
colormaps are plain files in its package. `find_spec` locates the package without importing it.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geozarr.errors import UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def _files() -> dict[str, Path]:
    spec = find_spec("rio_tiler")
    assert spec is not None, "rio-tiler is a dependency"
    folders = spec.submodule_search_locations or []
    return {path.stem: path for folder in folders for path in sorted(Path(folder, "cmap_data").glob("*.npy"))}


def names() -> tuple[str, ...]:
    """Names of the colormaps, sorted."""
    return tuple(sorted(_files()))


@cache
def grey() -> NDArray[np.uint8]:
    """Return a table that shows each value as itself, shaped as `table` gives it; rio-tiler's "gray" is off by one."""
    colors = np.full((256, 4), 255, np.uint8)
    colors[:, :3] = np.arange(256, dtype=np.uint8)[:, np.newaxis]
    colors.flags.writeable = False
    return colors


@lru_cache(maxsize=32)
def table(name: str) -> NDArray[np.uint8]:
    """Return a colormap.

    Returns
    -------
    ndarray of uint8, shape (256, 4)
        Red, green, blue and alpha of each value.

    Raises
    ------
    UnknownNameError
        If there is no colormap of that name.
    """
    if name not in _files():
        raise UnknownNameError("colormap", name, names())
    colors: NDArray[np.uint8] = np.load(_files()[name])
    colors.flags.writeable = False
    return colors
