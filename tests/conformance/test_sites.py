"""Where pixels lie: majorities, extents, tolerances."""

from __future__ import annotations

import pytest

from conformance.sites import are_close, extent, is_near, majority


def same(one: int, other: int) -> bool:
    return one == other


def votes(*values: int) -> list[tuple[tuple[str, tuple[str, ...]], int]]:
    return [((str(index), ()), value) for index, value in enumerate(values)]


def test_the_majority_wins_and_names_the_others() -> None:
    consensus = majority(votes(1, 2, 1), same)
    assert consensus is not None
    assert consensus.value == 1
    assert [place[0] for place in consensus.supporters] == ["0", "2"]
    assert consensus.dissenters == ((("1", ()), 2),)
    assert consensus.doubtful == ()


def test_a_tie_goes_to_the_first_and_is_doubtful() -> None:
    consensus = majority(votes(2, 1), same)
    assert consensus is not None
    assert consensus.value == 2
    assert consensus.doubtful == (("0", ()),)


def test_nobody_votes_for_nothing() -> None:
    assert majority([], same) is None


def test_extents_span_the_corners_also_when_rotated() -> None:
    assert extent((10, 0, 100, 0, -10, 200), (3, 2)) == (100, 170, 120, 200)
    # Turned by a quarter: columns go down, rows go right.
    assert extent((0, 10, 100, -10, 0, 200), (3, 2)) == (100, 180, 130, 200)


def test_extents_of_nodes_span_the_centres() -> None:
    assert extent((10, 0, 100, 0, -10, 200), (3, 2), registration="node") == (100, 180, 110, 200)


@pytest.mark.parametrize(
    ("found", "cell", "is_good"),
    [
        (1000 + 0.9e-6, 1.0, True),  # 1e-6 of the cell, and 1e-9 of the value, are 1e-6
        (1000 + 1.1e-6, 1.0, False),
        (1000 + 0.9e-4, 100.0, True),  # the cell counts where it is larger
        (1000 + 1.1e-4, 100.0, False),
        (1000 + 0.9e-6, 0.001, True),  # the value counts where that is larger
    ],
)
def test_the_tolerance_is_that_of_the_cell_or_of_the_value(found, cell, is_good) -> None:
    assert is_near(found, 1000, cell) == is_good


def test_transforms_are_close_where_their_corners_are() -> None:
    one = (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)
    # A cell that is 1e-8 of itself too wide is 1e-5 cells too wide after 1000 columns, and 1e-7 after 10.
    other = (10.0 * (1 + 1e-8), 0.0, 0.0, 0.0, -10.0, 0.0)
    assert are_close(one, other, (10, 10))
    assert not are_close(one, other, (10, 1000))
