"""What is drawn of a store is what its documents say; nothing in them breaks it, nor makes it long."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from conformance import Depth, check, reading
from conformance.context import Context
from conformance.draw import draw
from conformance.formats.table import WRITERS
from geozarr import GeoZarrError
from geozarr.store import open_store
from written_reports import report

if TYPE_CHECKING:
    from conformance.drawing import Drawing

VALUES = (None, [], {}, "", "x" * 10_000, -1, 0, 10**400, 1e308, -1e-320, [0] * 6, [1e300] * 6, "\ud800", [[]], True)


def drawing_of(store: Any, **options: Any) -> Drawing:
    found = check(store, picture=True, **options).drawing
    assert found is not None
    return found


def test_nothing_is_drawn_unless_asked(stores) -> None:
    assert check(stores["packed"].edited()).drawing is None


def test_levels_are_drawn_as_they_are_written(stores) -> None:
    """301 x 203 cells of 10 m, halved three times with the partial cell kept: 151 x 102, 76 x 51, 38 x 26."""
    (pyramid,) = drawing_of(stores["native"].edited()).pyramids
    assert (pyramid.node, pyramid.crs, pyramid.unit, pyramid.more) == ("/", "EPSG:32633", "m", 0)
    assert [level.shape for level in pyramid.levels] == [(301, 203), (151, 102), (76, 51), (38, 26)]
    assert [level.cell for level in pyramid.levels] == [(side, side) for side in (10, 20, 40, 80)]
    finest = pyramid.levels[0]
    assert finest.box == (500_000, 5_000_000 - 3010, 500_000 + 2030, 5_000_000)
    assert (finest.chunk, finest.shard, finest.variables) == ((64, 64), (128, 128), ("data",))
    assert [level.derived_from for level in pyramid.levels] == ["", "0", "1", "2"]
    assert all(level.exists and level.tiles is None for level in pyramid.levels)


def test_tile_limits_are_drawn_with_the_level_on_them(stores) -> None:
    """The levels lie below tile (1, 2) of the coarsest matrix, of 4 x 4 tiles of 64 cells."""
    (pyramid,) = drawing_of(stores["own"].edited()).pyramids
    assert pyramid.tile_set == "own"
    tiles = {level.asset: level.tiles for level in pyramid.levels}
    far, near = tiles["far"], tiles["near"]
    assert far is not None
    assert near is not None
    assert (far.size, far.tile, far.rows, far.cols) == ((4, 4), (64, 64), (1, 1), (2, 2))
    assert far.footprint == pytest.approx((2, 1, 3, 2))
    assert (near.size, near.rows, near.cols) == ((16, 16), (4, 7), (8, 11))
    assert near.footprint == pytest.approx((8, 4, 12, 8))


def test_faults_are_drawn_and_not_left_out(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        found[""]["attributes"]["multiscales"]["layout"][1]["asset"] = "nope"
        for path in ("2", "2/data"):
            found[path]["attributes"]["spatial:transform"] = [10, 0, 0, 0, -10, 0]

    broken = check(stores["native"].edited(edit), picture=True)
    assert broken.drawing is not None
    (pyramid,) = broken.drawing.pyramids
    assert [level.exists for level in pyramid.levels] == [True, False, True, True]
    assert pyramid.levels[1].asset == "nope"
    assert pyramid.levels[2].box == (0, -760, 510, 0)
    assert any(pyramid.levels[1].is_about(finding, "/") for finding in broken.findings)


def test_nested_pyramids_are_drawn_where_they_are(stores) -> None:
    (pyramid,) = drawing_of(stores["nested"].edited()).pyramids
    assert pyramid.node == "/a/b"
    assert pyramid.levels[0].node == "/a/b/0"


def test_a_layout_of_thousands_is_drawn_in_part(stores) -> None:
    def edit(found: dict[str, Any]) -> None:
        layout = found[""]["attributes"]["multiscales"]["layout"]
        layout += [{"asset": f"nope-{index}", "derived_from": "0"} for index in range(5000)]

    opened = open_store(stores["native"].edited(edit))
    drawing = draw(Context(reading.read(opened), opened, Depth.METADATA))
    assert [(len(pyramid.levels), pyramid.more) for pyramid in drawing.pyramids] == [(24, 4980)]
    assert len(WRITERS["html"](report(drawing=drawing))) < 200_000


def _pointers(value: Any, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [
        *([prefix] if prefix else []),
        *(pointer for key, item in inner for pointer in _pointers(item, (*prefix, key))),
    ]


@pytest.mark.parametrize("seed", range(40))
def test_any_document_gives_a_page(stores, seed) -> None:
    lot = random.Random(seed)

    def corrupt(found: dict[str, Any]) -> None:
        for _ in range(3):
            path = lot.choice(["", *found])
            pointer = lot.choice(_pointers(found[path]))
            holder = found[path]
            for part in pointer[:-1]:
                holder = holder[part]
            holder[pointer[-1]] = lot.choice(VALUES)

    store = stores[lot.choice(["own", "tms", "native", "packed"])].edited(corrupt)
    try:
        found = check(store, picture=True)
    except GeoZarrError:
        return
    for name, write in WRITERS.items():
        assert write(found).encode("utf-8"), name
