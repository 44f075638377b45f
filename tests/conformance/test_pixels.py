"""Pixel truth: good pyramids of every method pass, and one wrong cell anywhere is one finding."""

from __future__ import annotations

import itertools
import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr
from affine import Affine

import pyramids
from builds import data_array
from conformance import Severity, check, reference
from conformance.pixels import Cells
from conformance.rederive import compare
from conformance.relations import relation_of
from conformance.report import Depth
from geozarr import Grid, crs, levels
from pyramid_factory import Variable, write_pyramid

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from conformance import Report

SHAPE = (205, 167)
UTM = crs.from_code("EPSG:32633")


def grid(shape: tuple[int, int] = SHAPE, cell: float = 10) -> Grid:
    return Grid(shape, Affine(cell, 0, 500_000, 0, -cell, 5_000_000), UTM)


def noise(dtype: str = "int16", shape: tuple[int, ...] = SHAPE, *, low: int = -500, high: int = 500) -> NDArray[Any]:
    return np.random.default_rng(3).integers(low, high, shape).astype(dtype)


def wholly(path: Any) -> Report:
    return check(path, depth="pixels", all_pixels=True)


def native(path: Path, values: NDArray[Any], *, count: int = 4, method: str | None = "average", **options: Any) -> Path:
    """A pyramid on its own grid whose levels are means of the finest."""
    layout = levels.from_halving(grid(values.shape[-2:]), count=count, resampling_method=method)
    leading = ("band",) * (values.ndim - 2)
    return write_pyramid(path, layout, {"v": Variable(values, leading=leading, **options)}, chunk=32)


def cells(path: Path, level: int, name: str = "v") -> zarr.Array[Any]:
    found = zarr.open_group(path, mode="r+")[f"{level}/{name}"]
    assert isinstance(found, zarr.Array)
    return found


def restate(path: Path, change: Any) -> None:
    """Edit the layout of the root, which no consolidated copy repeats."""
    document = json.loads((path / "zarr.json").read_text())
    change(document["attributes"])
    (path / "zarr.json").write_text(json.dumps(document))


def assert_wrong(report: Report, node: str, text: str, severity: Severity = Severity.ERROR) -> None:
    assert [(f.rule, f.node, f.severity) for f in report.findings] == [("XC-12", node, severity)], report.to_text()
    assert text in str(report.findings[0])


# What is right passes.


@pytest.mark.parametrize("method", ["average", "nearest", "mode", "min", "max", "sum", "median", "bit-or"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_what_the_builder_makes_is_true(tmp_path: Path, method: str, dtype: str) -> None:
    if method in ("bit-or", "mode") and dtype == "float32":
        pytest.skip("no method for floats")
    values = np.random.default_rng(5).integers(1, 6 if method == "sum" else 60, SHAPE).astype(dtype)
    values[40:90, 30:60] = 0
    out = tmp_path / "out.zarr"
    pyramids.build(data_array(values), out, tms="native", resampling=method, nodata=0, chunk=32)
    report = wholly(out)
    assert {finding.rule for finding in report.findings} <= {"MS-17"}, report.to_text()  # not of the suggested names
    assert report.cells >= SHAPE[0] * SHAPE[1] // 4


def test_levels_from_rounded_levels_are_as_true_as_those_from_the_finest(tmp_path: Path) -> None:
    values = noise()
    path = native(tmp_path / "x", values)
    finer, valid = values, np.ones(SHAPE, bool)
    for level in range(1, 4):
        mean, valid = reference.aggregate(finer, valid, 2, "average")
        finer = np.rint(mean).astype("int16")
        cells(path, level)[...] = finer
    assert not np.array_equal(finer, np.rint(reference.aggregate(values, np.ones(SHAPE, bool), 8, "average")[0]))
    assert wholly(path).findings == ()


def test_of_equally_frequent_values_any_is_right_and_they_are_counted(tmp_path: Path) -> None:
    values = noise("uint8", (64, 64), low=0, high=3)
    path = native(tmp_path / "x", values, count=2, method="mode")
    found, _ = reference.windows(values, np.ones(values.shape, bool), 2)
    tied, chosen = 0, np.zeros((32, 32), "uint8")
    for place in np.ndindex(32, 32):
        window = found[place].tolist()
        most = max(map(window.count, window))
        best = sorted(value for value in set(window) if window.count(value) == most)
        tied += len(best) > 1
        chosen[place] = best[-1]
    cells(path, 1)[...] = chosen
    report = wholly(path)
    assert report.findings == ()
    assert report.ties == tied > 100


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_fill_values_are_missing_or_not_where_nothing_is_said(tmp_path: Path, dtype: str) -> None:
    values = noise(dtype, low=0, high=4)
    with_zeros = native(tmp_path / "a", values)
    assert wholly(with_zeros).findings == ()
    without = native(tmp_path / "b", values, nodata=0)
    for level in range(4):
        array = cells(without, level)
        del array.attrs["_FillValue"]
    report = wholly(without)
    assert {finding.rule for finding in report.findings} <= {"ZARR-12", "ZARR-20", "ZARR-22"}


def test_packed_values_masks_and_leading_axes_are_looked_at(stores: Any) -> None:
    for name in ("tms", "own", "native", "degrees", "nested", "packed"):
        report = wholly(stores[name].edited())
        assert report.findings == (), (name, report.to_text())
        assert report.cells > 0


def test_cells_that_a_mask_leaves_out_do_not_count(tmp_path: Path) -> None:
    values, alpha = noise(shape=(64, 64)), np.full((64, 64), 255, "uint8")
    alpha[:5, :7] = 0
    alpha[20, 21] = 0
    values[alpha == 0] = 9999
    layout = levels.from_halving(grid((64, 64)), count=2, resampling_method="average")
    masked = Variable(values, attributes={"ancillary_variables": "alpha"})
    mask = Variable(alpha, attributes={"color_interpretation": "alpha"})
    path = write_pyramid(tmp_path / "x", layout, {"gray": masked, "alpha": mask}, chunk=32)
    right, valid = reference.aggregate(values, alpha != 0, 2, "average")
    cells(path, 1, "gray")[...] = np.where(valid, np.rint(right), 0).astype("int16")
    report = wholly(path)
    assert report.findings == (), report.to_text()
    cells(path, 1, "gray")[10, 10] += 100  # the window of the one cell that is left out
    assert_wrong(wholly(path), "/1/gray", "row 10, column 10")


# What is wrong is found, once, where it is.


@pytest.mark.parametrize("seed", range(12))
def test_one_wrong_cell_is_one_finding(tmp_path: Path, seed: int) -> None:
    lot = random.Random(seed)
    path = native(tmp_path / "x", noise("int16", (2, *SHAPE)), nodata=-9999)
    level = lot.randrange(1, 4)
    array = cells(path, level)
    place = tuple(lot.randrange(size) for size in array.shape)
    former = int(array[place])  # type: ignore[arg-type]
    array[place] = former + lot.choice([-3, 3])
    row, col = place[1:]
    assert_wrong(wholly(path), f"/{level}/v", f"at row {row}, column {col}: {int(array[place])}")  # type: ignore[arg-type]


def test_data_where_there_are_none_and_none_where_there_are(tmp_path: Path) -> None:
    values = noise(low=0)
    values[:64, :64] = -1
    for place, found, shown in (((2, 3), 7, "7"), ((45, 20), -1, "no data")):
        path = native(tmp_path / shown, values, count=2, nodata=-1)
        cells(path, 1)[place] = found
        assert_wrong(wholly(path), "/1/v", f"at row {place[0]}, column {place[1]}: {shown}")


def test_missing_values_that_were_averaged_are_found(tmp_path: Path) -> None:
    values = noise("float32", low=0)
    values[40:81, 40:81] = -9999
    path = native(tmp_path / "x", values, count=2, nodata=-9999)
    mean, _ = reference.aggregate(values, np.ones(SHAPE, bool), 2, "average")
    cells(path, 1)[...] = mean.astype("float32")
    assert_wrong(wholly(path), "/1/v", "cells are not the average of their footprint in '0'")


def test_partial_cells_that_were_padded_with_zeros_are_found(tmp_path: Path) -> None:
    values = noise(low=100)
    path = native(tmp_path / "x", values, count=2)
    padded = np.zeros((206, 168))
    padded[: SHAPE[0], : SHAPE[1]] = values
    cells(path, 1)[...] = np.rint(padded.reshape(103, 2, 84, 2).mean(axis=(1, 3))).astype("int16")
    assert_wrong(wholly(path), "/1/v", "column 83")


@pytest.mark.parametrize(("method", "by"), [("average", 1), ("nearest", 1), ("max", 1)])
def test_a_level_shifted_by_half_a_cell_is_told_as_such(tmp_path: Path, method: str, by: int) -> None:
    values = noise("int16", (128, 128))
    path = native(tmp_path / "x", values, count=2, method=method)
    moved = np.zeros_like(values)
    moved[by:, :] = values[:-by, :]
    made, has_data = reference.aggregate(moved, np.pad(np.ones((127, 128), bool), ((1, 0), (0, 0))), 2, method)
    cells(path, 1)[...] = np.rint(made).astype("int16")
    del has_data
    text = "0.5 of a cell up" if method != "nearest" else "is not the centre"
    report = wholly(path)
    if method == "nearest":  # the other cell beside the centre is as near to it
        assert report.findings == ()
    else:
        assert_wrong(report, "/1/v", text)


def test_another_method_than_the_one_that_is_stated_is_found(tmp_path: Path) -> None:
    path = native(tmp_path / "x", noise(), count=3)
    restate(path, lambda attributes: attributes["multiscales"].__setitem__("resampling_method", "max"))
    report = wholly(path)
    assert [(f.rule, f.node) for f in report.findings] == [("XC-12", "/1/v"), ("XC-12", "/2/v")]


def test_a_method_that_nobody_states_is_found_out(tmp_path: Path) -> None:
    path = native(tmp_path / "x", noise(), count=3, method=None)
    assert wholly(path).findings == ()
    cells(path, 2)[5, 5] = 3000
    assert_wrong(wholly(path), "/2/v", "none that is known gives these cells", Severity.INFO)


def test_variables_of_several_methods_in_one_build_are_all_true(tmp_path: Path) -> None:
    """No field of the layout says the method of each variable; their `cell_methods` do."""
    codes = {"flag_values": np.array([1, 2, 3], "int16"), "flag_meanings": "wood water ice"}
    bits = {"flag_masks": np.array([1, 2, 4], "int16"), "flag_meanings": "cloud snow smoke"}
    common = {"_FillValue": np.int16(-1), "long_name": "made for a test"}
    data = xr.Dataset(
        {
            "height": data_array(noise(low=0), attrs=common),
            "cover": data_array(noise(low=1, high=4), attrs={**common, **codes}),
            "quality": data_array(noise(low=0, high=8), attrs={**common, **bits}),
        }
    )
    pyramids.build(data, tmp_path / "x.zarr", tms="native", chunk=32)
    document = json.loads((tmp_path / "x.zarr" / "zarr.json").read_text())
    assert "resampling_method" not in document["attributes"]["multiscales"]
    report = wholly(tmp_path / "x.zarr")
    assert report.findings == (), report.to_text()
    assert report.cells


def test_of_several_methods_over_the_area_the_last_counts(tmp_path: Path) -> None:
    path = native(tmp_path / "x", noise(), count=2, attributes={"cell_methods": "area: maximum time: sum area: mean"})
    assert wholly(path).findings == ()


def test_a_method_of_the_array_itself_counts(tmp_path: Path) -> None:
    attributes = {"cell_methods": "time: mean area: maximum"}
    path = native(tmp_path / "x", noise(), count=2, method=None, attributes=attributes)
    assert_wrong(wholly(path), "/1/v", "the max of their footprint")


def test_without_spatial_dimensions_the_last_two_axes_are_rows_and_columns(tmp_path: Path) -> None:
    path = native(tmp_path / "x", noise("int16", (2, *SHAPE)), count=2, method="mean")
    cells(path, 1)[1, 7, 9] = 9999
    for file in [*path.glob("*/zarr.json"), *path.glob("*/v/zarr.json")]:
        document = json.loads(file.read_text())
        document["attributes"].pop("spatial:dimensions", None)
        file.write_text(json.dumps(document))
    root = json.loads((path / "zarr.json").read_text())
    del root["consolidated_metadata"]
    (path / "zarr.json").write_text(json.dumps(root))
    report = wholly(path)
    (found,) = (finding for finding in report.findings if finding.rule == "XC-12")
    assert "at row 7, column 9: 9999" in found.found


def test_arrays_that_are_not_read_are_told(tmp_path: Path) -> None:
    layout = levels.from_halving(grid((4100, 4100)), count=2, resampling_method="average")
    path = write_pyramid(tmp_path / "x", layout, {"v": Variable(np.zeros((4100, 4100)))}, chunk=4100)
    report = check(path, depth="pixels")
    assert [(f.rule, f.node, f.severity) for f in report.findings] == [("XC-12", "/1/v", Severity.INFO)]


def test_methods_that_are_not_derived_anew_are_told(tmp_path: Path) -> None:
    path = native(tmp_path / "x", noise(), count=2, method="cubic")
    assert_wrong(wholly(path), "/1/v", "no rule knows 'cubic'", Severity.INFO)


def test_a_chunk_that_cannot_be_decoded_is_one_finding(tmp_path: Path) -> None:
    path = native(tmp_path / "x", noise(), count=4)
    (path / "1" / "v" / "c" / "0" / "1").write_bytes(b"rubbish")
    report = wholly(path)
    assert [(f.rule, f.node) for f in report.findings] == [("XC-12", "/1/v/c/0/1")]
    assert "cannot be decoded" in str(report.findings[0])


def test_objects_that_differ_from_the_manifest_are_judged_by_that_alone(tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    pyramids.build(data_array(noise()), out, tms="native", chunk=32)
    chunks = sorted(path for path in (out / "1").rglob("*") if path.is_file() and "/v/c/" in str(path))
    one, other = chunks[0].read_bytes(), chunks[1].read_bytes()
    chunks[0].write_bytes(other)
    chunks[1].write_bytes(one)
    report = wholly(out)
    assert {finding.rule for finding in report.findings} == {"GP-03"}
    assert len(report.findings) == 2


def test_values_outside_the_actual_range_are_found(tmp_path: Path) -> None:
    values = np.clip(noise(), -400, 400)
    for stated, text in (
        ([-400, 400], None),
        ([-400, 399], "outside actual_range"),
        ([-400, 401], "as large as actual_range says"),
        ([400, -400], "malformed"),
        ("-400 400", "malformed"),
    ):
        path = native(tmp_path / "x", values, count=1, attributes={"actual_range": stated})
        found = [finding for finding in wholly(path).findings if finding.rule == "CF-24"]
        assert [finding.node for finding in found] == ([] if text is None else ["/0/v"])
        assert text is None or text in found[0].message


def test_the_actual_range_is_of_unpacked_values_with_data(tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    values = noise(low=0)
    values[3:30, 5:90] = -32768
    packed = {"scale_factor": -0.01, "add_offset": 270.0}
    pyramids.build(data_array(values, attrs=packed), out, tms="native", nodata=-32768, chunk=32)
    assert wholly(out).findings == ()
    stated = json.loads((out / "0" / "v" / "zarr.json").read_text())["attributes"]["actual_range"]
    data = values[values != -32768] * -0.01 + 270
    assert stated == pytest.approx([data.min(), data.max()])


# What is drawn by lot.


def test_the_seed_draws_what_is_looked_at(tmp_path: Path) -> None:
    path = native(tmp_path / "x", noise(shape=(400, 400)), count=2)
    cells(path, 1)[100, 100] = 9999
    reports = [check(path, depth="pixels", seed=seed) for seed in range(24)]
    assert reports[3].to_json() == check(path, depth="pixels", seed=3).to_json()
    found = sum(bool(report.findings) for report in reports)
    assert 0 < found < 24  # a tenth of the level is looked at
    assert all(32 * 32 < report.cells <= 5 * 32 * 32 for report in reports)


def test_the_last_corner_is_always_looked_at(tmp_path: Path) -> None:
    path = native(tmp_path / "x", noise(shape=(900, 900)), count=2)
    cells(path, 1)[-1, -1] = 9999
    for seed in range(3):
        assert_wrong(check(path, depth="pixels", seed=seed), "/1/v", "row 449, column 449")
    wide = native(tmp_path / "wide", noise(shape=(200, 900)), count=2)
    cells(wide, 1)[-1, -1] = 9999
    for seed in range(3):
        assert_wrong(check(wide, depth="pixels", seed=seed), "/1/v", "row 99, column 449")


# The parts.


def test_relations_of_grids() -> None:
    fine = (10.0, 0.0, 0.0, 0.0, -10.0, 100.0)
    found = relation_of((30.0, 0.0, -20.0, 0.0, -20.0, 120.0), fine, "0")
    assert found is not None
    assert (found.factor, found.offset) == ((2, 3), (-2, -2))
    assert relation_of((25.0, 0.0, 0.0, 0.0, -20.0, 100.0), fine, "0") is None
    assert relation_of((20.0, 0.0, 5.0, 0.0, -20.0, 100.0), fine, "0") is None
    assert relation_of((20.0, 1.0, 0.0, 0.0, -20.0, 100.0), fine, "0") is None
    assert relation_of((5.0, 0.0, 0.0, 0.0, -5.0, 100.0), fine, "0") is None
    turned = (6.0, 8.0, 0.0, 8.0, -6.0, 0.0)
    twice = (12.0, 16.0, 0.0, 16.0, -12.0, 0.0)
    found = relation_of(twice, turned, "0")
    assert found is not None
    assert found.factor == (2, 2)


@pytest.mark.parametrize(("method", "folded"), [("min", np.max), ("max", np.min)])
def test_the_least_of_values_packed_with_a_negative_scale_is_the_greatest_stored(tmp_path, method, folded) -> None:
    values = noise(shape=(64, 64))
    path = native(tmp_path / "x", values, count=2, method=method, attributes={"scale_factor": -0.1})
    assert wholly(path).exit_status == 1
    cells(path, 1)[...] = folded(values.reshape(32, 2, 32, 2), axis=(1, 3))
    assert wholly(path).findings == ()


def test_sums_of_values_packed_with_an_offset_are_not_judged(tmp_path: Path) -> None:
    attributes = {"scale_factor": 0.1, "add_offset": 3.0}
    path = native(tmp_path / "x", noise(shape=(64, 64)), count=2, method="sum", attributes=attributes)
    assert_wrong(wholly(path), "/1/v", "packed with an offset", Severity.INFO)


def window(values: list[list[float]], dtype: str = "int16") -> Cells:
    stored = np.array(values, dtype)
    return Cells(stored, np.ones(stored.shape, bool), np.ones(stored.shape, bool))


@pytest.mark.parametrize(
    ("found", "missing", "is_right"),
    [(2, (), True), (3, (), True), (1, (), False), (4, (), False), (1, (2,), True), (4, (3,), True), (0, (2,), False)],
)
def test_a_mean_may_be_rounded_either_way_and_leaves_the_nodata_value(found: int, missing: Any, is_right: bool) -> None:
    verdict = compare(window([[found]]), window([[2, 3], [2, 3]]), (2, 2), "average", missing=missing)
    assert bool(verdict.wrong[0, 0]) is not is_right


def test_floats_may_be_off_by_roundings_and_no_more() -> None:
    fine = window([[0.1, 0.2], [0.3, 0.7]], "float32")
    exact = float(np.float32(fine.values.astype("float64").mean()))
    for off, is_right in ((0, True), (1e-7, True), (1e-5, False)):
        assert bool(compare(window([[exact + off]], "float32"), fine, (2, 2), "average").wrong[0, 0]) is not is_right


def test_depths_go_as_far_as_those_before_them(tmp_path: Path) -> None:
    path = native(tmp_path / "x", noise(), count=2)
    rules = [set(check(path, depth=depth).rules) for depth in Depth]
    assert all(fewer < more for fewer, more in itertools.pairwise(rules))
