from __future__ import annotations

import numpy as np
import pytest

from geozarr.errors import UnknownNameError
from tiler import colormaps


def test_every_colormap_of_rio_tiler_is_there_and_equal() -> None:
    from rio_tiler.colormap import cmap  # noqa: PLC0415 - the service must not need it; this test compares with it

    tables = {name: cmap.get(name) for name in cmap.list()}
    continuous = {name for name, table in tables.items() if isinstance(table, dict) and len(table) == 256}
    assert set(colormaps.names()) == continuous
    assert len(continuous) > 100
    for name in ("viridis", "gray", "terrain_r", "cfastie"):
        assert np.array_equal(colormaps.table(name), [tables[name][index] for index in range(256)])


def test_grey_shows_each_value_as_itself() -> None:
    expected = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], 3, axis=1)
    assert np.array_equal(colormaps.grey()[:, :3], expected)
    assert (colormaps.grey()[:, 3] == 255).all()


def test_an_unknown_colormap_is_an_error() -> None:
    with pytest.raises(UnknownNameError) as caught:
        colormaps.table("../viridis")
    assert (caught.value.kind, caught.value.name) == ("colormap", "../viridis")


def test_a_table_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        colormaps.table("viridis")[0] = 0
