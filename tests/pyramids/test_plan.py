"""The plan as a value: printed, hashed, written as JSON and read back (DESIGN section 3, FAULTS section 2)."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

import builds
from builds import FakeSource
from geozarr import UnsupportedError, Window
from pyramids import Axis, Plan, plan
from pyramids.plan import coarsened

SOURCES: dict[str, dict[str, Any]] = {
    "bytes with alpha": {},
    "nodata 0": {"nodata": 0},
    "floats": {"dtype": "float32"},
    "floats with nodata": {"dtype": "float64", "nodata": -9999.0},
    "infinite nodata": {"dtype": "float32", "nodata": math.inf},
    "largest of uint32": {"dtype": "uint32", "nodata": 2**32 - 1},
    "with time": {
        "leading": (Axis("time", (0.5, 1.5), {"units": "days since 2000-01-01"}), Axis("band", (3, 1, 2))),
        "names": ("v",),
    },
}


def planned(name: str, **choices: Any) -> Plan:
    """A plan of a small source."""
    given = dict(SOURCES[name])
    dtype = given.pop("dtype", "uint8")
    count = math.prod(axis.size for axis in given.get("leading", ())) if "leading" in given else 2
    return builds.plan_for(FakeSource(np.zeros((count, 90, 80), dtype), **given), **choices)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("tms", ["native", "WebMercatorQuad", "WorldCRS84Quad"])
def test_json_and_back_gives_an_equal_plan(name: str, tms: str) -> None:
    before = planned(name, tms=tms)
    text = json.dumps(before.to_document(), allow_nan=False)
    after = plan.from_document(json.loads(text))
    assert after == before
    assert hash(after) == hash(before)
    assert after.identity == before.identity
    assert str(after) == str(before)
    assert json.dumps(after.to_document(), allow_nan=False) == text
    for one, other in zip(after.variables, before.variables, strict=True):
        assert (one.dtype, one.leading) == (other.dtype, other.leading)
        np.testing.assert_equal((one.nodata, one.fill_value), (other.nodata, other.fill_value))


def test_a_plan_read_back_builds_the_same_bytes() -> None:
    source = FakeSource(builds.scene("int16", (2, 300, 280)), nodata=-9999)
    before = builds.plan_for(source, max_zoom=11)
    after = plan.from_document(json.loads(json.dumps(before.to_document())))
    assert builds.objects(builds.run(after, source)[0]) == builds.objects(builds.run(before, source)[0])


def test_another_format_is_refused() -> None:
    document = planned("floats").to_document() | {"format": plan.FORMAT + 1}
    with pytest.raises(UnsupportedError) as caught:
        plan.from_document(document)
    assert str(plan.FORMAT + 1) in caught.value.feature


@pytest.mark.parametrize(
    "choices",
    [
        {"tms": "native"},
        {"max_zoom": 11},
        {"min_zoom": 9},
        {"resampling": "nearest"},
        {"resampling": "cubic"},
        {"resampling": "average"},
        {"shard": 512},
        {"tms": "WorldCRS84Quad"},
    ],
    ids=str,
)
def test_identity_changes_with_what_changes_bytes(choices: dict[str, Any]) -> None:
    assert planned("nodata 0", **choices).identity != planned("nodata 0").identity
    assert planned("nodata 0", **choices) != planned("nodata 0")


def test_identity_changes_with_each_field_of_the_source_and_the_variables() -> None:
    usual = planned("nodata 0")
    identities = {usual.identity}
    source = usual.source
    for changed in (
        dataclasses.replace(usual, source=dataclasses.replace(source, fingerprint="another")),
        dataclasses.replace(usual, source=dataclasses.replace(source, name="elsewhere")),
        dataclasses.replace(usual, source=dataclasses.replace(source, grid=source.grid.crop(Window(0, 0, 90, 79)))),
        dataclasses.replace(usual, footprint=Window(0, 0, 1, 1)),
        dataclasses.replace(usual, chunk=128),
        *(
            dataclasses.replace(
                usual, variables=(dataclasses.replace(usual.variables[0], **change), *usual.variables[1:])
            )
            for change in (
                {"name": "other"},
                {"dtype": np.dtype("uint16")},
                {"nodata": 1},
                {"fill_value": 1},
                {"alpha": "alpha"},
                {"leading": (Axis("t", (1,)),)},
                {"attributes": {"long_name": "else"}},
                {"fold_method": "nearest"},
                {"warp_method": "cubic"},
            )
        ),
    ):
        assert changed.identity not in identities
        assert changed != usual
        identities.add(changed.identity)


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 7},
        {"memory": 2**33},
        {"block": 4096},
        {"together": 1},
        {"peak": 1},
        {"cut": 1},
        {"in_rows": True},
        {"cache": 1},
        {"notes": ("read this",)},
    ],
    ids=str,
)
def test_identity_does_not_change_with_how_it_is_built(change: dict[str, Any]) -> None:
    """P-10: threads, memory, blocks and the order of the walk are no matter of the bytes."""
    usual = planned("nodata 0")
    other = dataclasses.replace(usual, **change)
    assert other.identity == usual.identity
    assert other != usual


def test_a_plan_is_not_equal_to_something_else() -> None:
    assert planned("floats") != "a plan"


def test_it_prints_what_will_be_built() -> None:
    """`--dry-run`: levels, shapes, chunks, objects, bytes, memory."""
    usual = planned("bytes with alpha", min_zoom=10)
    text = str(usual)
    for level in usual.levels.levels:
        assert any(
            line.split()[:4] == [level.asset, str(level.grid.height), "x", str(level.grid.width)]
            for line in text.splitlines()
        )
    assert f"at most    {usual.predicted['objects']:,} objects, {usual.predicted['bytes'] / 1e6:,.1f} MB" in text
    sizes = [f"{size / 2**20:,.0f} MiB" for size in (usual.peak, usual.cache, usual.memory)]
    assert f"{sizes[0]} predicted, {sizes[1]} of it source pixels; {sizes[2]} allowed" in text
    assert "finest level bilinear, coarser ones average" in text
    assert "finest level as it is, coarser ones nearest" in str(planned("floats", tms="native", resampling="nearest"))
    assert "in rows" not in text
    assert "px in rows" in str(dataclasses.replace(usual, in_rows=True))
    for note in usual.notes:
        assert f"note       {note}" in text
    assert "chunks of 256 x 256 px" in text
    assert "in shards of 512 px" in str(planned("floats", shard=512))
    assert "missing: nan" in str(planned("floats"))
    assert "time 2, band 3, missing: alpha" in str(planned("with time"))


@pytest.mark.parametrize("together", [1, 2, 3, 100])
def test_groups_hold_each_slice_once_in_order(together: int) -> None:
    usual = dataclasses.replace(planned("with time"), together=together)
    flat = [item for group in usual.groups for item in group]
    assert flat == [(0, number) for number in range(6)]
    assert all(len(group) <= together for group in usual.groups)
    assert len(usual.groups) == -(-6 // together)


def test_groups_do_not_mix_data_types() -> None:
    """A source reads slices of one dtype at once."""
    usual = planned("nodata 0")
    mixed = dataclasses.replace(
        usual,
        together=5,
        variables=(usual.variables[0], dataclasses.replace(usual.variables[1], dtype=np.dtype("int16"), name="w")),
    )
    assert [len(group) for group in mixed.groups] == [1, 1]


@pytest.mark.parametrize("change", [{"warp_method": "nearest"}, {"fold_method": "mode"}, {"alpha": "alpha"}])
def test_groups_do_not_mix_methods(change: dict[str, Any]) -> None:
    """One warp and one kind of accumulator serve a group."""
    usual = planned("nodata 0")
    second = dataclasses.replace(usual.variables[1], **change)
    mixed = dataclasses.replace(usual, together=5, variables=(usual.variables[0], second))
    assert [len(group) for group in usual.groups] == [2]
    assert [len(group) for group in mixed.groups] == [1, 1]


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_coarsened_holds_every_pixel(factor: int) -> None:
    for window in (Window(3, 5, 9, 2), Window(8, 8, 8, 8), Window(7, 0, 1, 1), Window(0, 15, 17, 1)):
        found = coarsened(window, factor)
        rows = {row // factor for row in range(window.row, window.row_stop)}
        cols = {col // factor for col in range(window.col, window.col_stop)}
        assert set(range(found.row, found.row_stop)) == rows
        assert set(range(found.col, found.col_stop)) == cols
