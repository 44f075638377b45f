"""Classes and their colours, as attributes and back."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr import flags
from geozarr.flags import Flag, Run

BYTE, WORD = np.dtype("uint8"), np.dtype("uint16")
BLACK, CLEAR = (0, 0, 0, 255), (0, 0, 0, 0)

colors = st.tuples(*[st.integers(0, 255)] * 4)
words = st.text("abcXYZ019_-.+@", min_size=1, max_size=8)


def table_of(size: int, **entries: tuple[int, int, int, int]) -> dict[int, tuple[int, int, int, int]]:
    """A table as files have it: an entry for every value, black where nobody has set one."""
    return {value: entries.get(f"c{value}", BLACK) for value in range(size)}


def described(table: Any, **options: Any) -> dict[str, Any]:
    return flags.attributes_of_table(table, **{"dtype": BYTE, "nodata": None, "names": {}, **options})


@given(
    st.dictionaries(st.integers(-128, 127), st.tuples(words, colors), min_size=1, max_size=40),
    st.booleans(),
)
def test_classes_come_back(classes: dict[int, Any], is_colored: bool) -> None:
    made = tuple(Flag(value, word, color if is_colored else None) for value, (word, color) in classes.items())
    attributes = json.loads(json.dumps(flags.to_attributes(made)))
    assert flags.from_attributes(attributes, np.dtype("int8")) == made


@given(st.dictionaries(st.integers(0, 60), st.sampled_from([BLACK, CLEAR, (1, 2, 3, 255), (9, 9, 9, 40)])))
def test_runs_hold_each_value_of_a_table_once_with_its_colour(table: dict[int, Any]) -> None:
    runs = flags.runs_of(table)
    assert {value: run.color for run in runs for value in range(run.first, run.last + 1)} == table
    assert sum(run.last - run.first + 1 for run in runs) == len(table)
    for before, after in itertools.pairwise(runs):
        assert before.last < after.first
        assert before.last + 1 < after.first or before.color != after.color


def test_what_follows_the_last_colour_of_a_table_is_left_out() -> None:
    found = described(table_of(256, c1=(255, 0, 0, 255), c3=(0, 128, 0, 64)))
    assert found == {
        "flag_values": [0, 1, 2, 3],  # black ones before it are classes, for all that is known
        "flag_meanings": "class_0 class_1 class_2 class_3",
        "flag_colors": "#000000 #ff0000 #000000 #00800040",
    }


def test_the_nodata_value_is_no_class_and_does_not_hold_up_the_rest() -> None:
    found = described(table_of(256, c1=(255, 0, 0, 255), c255=(1, 1, 1, 255)), nodata=255)
    assert found["flag_values"] == [0, 1]


def test_transparent_entries_at_the_end_are_left_out_as_well() -> None:
    table = {0: (1, 2, 3, 255), 1: BLACK, 2: CLEAR, 3: BLACK, 4: CLEAR}
    assert described(table)["flag_values"] == [0]


def test_a_table_that_nobody_has_set_says_nothing() -> None:
    assert described(table_of(256)) == {}
    assert described({}) == {}


def test_black_entries_without_a_name_are_left_out_where_others_have_one() -> None:
    names = {1: "Open water", 11: "Wood, mixed", 12: "Night"}
    found = described(table_of(256, c1=(0, 0, 255, 255), c11=(0, 99, 0, 255), c20=(7, 7, 7, 255)), names=names)
    assert found["flag_values"] == [1, 11, 12, 20]  # 12 is black and has a name, 20 has a colour
    assert found["flag_meanings"] == "Open_water Wood_mixed Night class_20"


def test_a_black_class_with_a_name_may_be_the_last() -> None:
    found = described(table_of(256, c1=(0, 0, 255, 255)), names={1: "day", 2: "night"})
    assert found["flag_meanings"] == "day night"


def test_meanings_are_words_of_cf_and_tell_classes_apart() -> None:
    names = {1: "Forêt", 2: " forest (dense) ", 3: "???", 4: "forest/dense", 5: "a-b.c+d@e_f"}
    table = {value: (value, 0, 0, 255) for value in names}
    words = described(table, names=names)["flag_meanings"].split(" ")
    assert words == ["Foret", "forest_dense_2", "class_3", "forest_dense_4", "a-b.c+d@e_f"]


@pytest.mark.parametrize(
    ("count", "dtype", "is_classes"), [(255, WORD, True), (256, WORD, False), (256, BYTE, True), (1, WORD, True)]
)
def test_as_many_are_classes_as_a_palette_holds(count: int, dtype: np.dtype[Any], is_classes: bool) -> None:
    found = described({value: (value % 256, 1, 2, 255) for value in range(count)}, dtype=dtype)
    assert set(found) == ({"flag_values", "flag_meanings", "flag_colors"} if is_classes else set())


def test_a_long_table_of_few_colours_is_kept_as_runs() -> None:
    table = {value: (value // 100, 0, 0, 255) for value in range(2000)} | dict.fromkeys(range(2000, 65536), BLACK)
    found = described(table, dtype=WORD, nodata=250)
    assert list(found) == ["color_table"]
    # 20 hundreds, of which one is parted by the nodata value.
    assert [item[:2] for item in found["color_table"]][:4] == [[0, 99], [100, 199], [200, 249], [251, 299]]
    assert found["color_table"][-1] == [1900, 1999, "#130000"]
    assert len(found["color_table"]) == 21
    assert flags.table_from_attributes(found)[3] == Run(251, 299, (2, 0, 0, 255))


def test_a_document_stays_small_whatever_a_table_holds() -> None:
    noise = {value: (value % 256, value // 256, 0, 255) for value in range(65536)}
    assert described(noise, dtype=WORD) == {}
    largest = described({value: (value, 255 - value, 7, 9) for value in range(256)})
    assert len(json.dumps(largest)) < 8192


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"flag_values": [1, 2]},
        {"flag_values": [1, 2], "flag_meanings": "one"},
        {"flag_values": [1, 1], "flag_meanings": "one two"},
        {"flag_values": [1, 256], "flag_meanings": "one two"},
        {"flag_values": [1, True], "flag_meanings": "one two"},
        {"flag_values": [1, "2"], "flag_meanings": "one two"},
        {"flag_values": [1, [2]], "flag_meanings": "one two"},
        {"flag_values": "1 2", "flag_meanings": "one two"},
        {"flag_values": [1, 2], "flag_meanings": ["one", "two"]},
        {"flag_masks": [1, 2], "flag_values": [1, 2], "flag_meanings": "one two"},
    ],
)
def test_malformed_classes_are_none(attributes: dict[str, Any]) -> None:
    assert flags.from_attributes(attributes, BYTE) == ()


@pytest.mark.parametrize(
    ("count", "length", "is_read"), [(256, 9, True), (257, 9, False), (2, 32767, True), (2, 32768, False)]
)
def test_classes_of_another_hand_are_few_and_short(count: int, length: int, is_read: bool) -> None:
    attributes = {"flag_values": list(range(count)), "flag_meanings": " ".join(["x" * length] * count)}
    assert bool(flags.from_attributes(attributes, WORD)) is is_read


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300])
def test_a_class_is_a_number_of_the_data_type(value: float) -> None:
    assert flags.from_attributes({"flag_values": [value], "flag_meanings": "odd"}, np.dtype("float32")) == ()


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("#ff0000 #00ff0080", [(255, 0, 0, 255), (0, 255, 0, 128)]),
        (["#ff0000", "#00FF00"], [(255, 0, 0, 255), (0, 255, 0, 255)]),
        ("#ff0000", [None, None]),
        ("#ff0000 green", [None, None]),
        ("#ff0000 #00ff0", [None, None]),
        ([1, 2], [None, None]),
        (None, [None, None]),
    ],
)
def test_colours_are_read_where_each_class_has_one(stated: Any, expected: list[Any]) -> None:
    attributes = {"flag_values": [1, 2], "flag_meanings": "one two", "flag_colors": stated}
    assert [flag.color for flag in flags.from_attributes(attributes, BYTE)] == expected


def test_one_class_may_stand_without_an_array() -> None:
    assert flags.from_attributes({"flag_values": 3, "flag_meanings": "wood"}, BYTE) == (Flag(3, "wood"),)


@pytest.mark.parametrize(
    "stated",
    [
        None,
        "x",
        [[0, 1]],
        [[0, 1, "red"]],
        [[1, 0, "#000000"]],
        [[0.0, 1, "#000000"]],
        [[0, 2**64, "#000000"]],
        [[0, 1, "#000000"], 7],
        [[value, value, "#000000"] for value in range(256)],
    ],
)
def test_a_malformed_table_is_none(stated: Any) -> None:
    assert flags.table_from_attributes({"color_table": stated}) == ()
