from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks import report

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

MACHINE = {"cpu": "some", "cores": 2, "memory_bytes": 2**34, "system": "Linux"}


def record(contender: str, *, case: str = "elevation", **facts: Any) -> dict[str, Any]:
    base = {
        "case": case,
        "title": case,
        "contender": contender,
        "shape": (8, 8),
        "note": "n",
        "input": "i",
        "runs": [{}],
    }
    base |= {"seconds": 1.0, "cpu_seconds": 2.0, "peak_bytes": 2**28, "bytes": 10**6, "objects": 5, "levels": None}
    return base | {"versions": {"a": "1"}} | facts


def document(*records: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"machine": MACHINE, "command": "c", "is_quick": False, "records": list(records)} | facts


def claims(*records: dict[str, Any], **facts: Any) -> dict[str, report.Ratio]:
    return {f"{ratio.case}: {ratio.claim}": ratio for ratio in report.ratios(document(*records, **facts))}


def test_a_peer_s_ratio_is_its_seconds_over_ours() -> None:
    found = claims(record("ours", seconds=2.0), record("gdal-cog", seconds=9.0))
    ratio = found["elevation: seconds of GDAL's COG driver / ours"]
    assert (ratio.value, ratio.is_met) == (4.5, False)
    found = claims(record("ours", seconds=2.0), record("gdal-cog", seconds=10.0))
    assert found["elevation: seconds of GDAL's COG driver / ours"].is_met


def test_the_floor_s_ratio_is_ours_over_the_floor() -> None:
    ratio = claims(record("ours", seconds=2.8), record("floor", seconds=2.0))["elevation: seconds of ours / the floor"]
    assert ratio.value == 1.4
    assert ratio.is_met


def test_the_faster_native_builder_counts() -> None:
    found = claims(record("ours"), record("terrazarr", seconds=5.0), record("topozarr", seconds=1.9))
    ratio = found["elevation: seconds of topozarr, the faster native builder / ours"]
    assert (ratio.value, ratio.is_met) == (1.9, False)


def test_the_faster_settings_of_a_peer_count() -> None:
    found = claims(record("ours"), record("gdal-cog", seconds=8.0), record("gdal-cog-defaults", seconds=6.0))
    assert found["elevation: seconds of GDAL's COG driver / ours"].value == 6.0


def test_bytes_are_held_against_the_smallest_of_the_defaults() -> None:
    peers = [record("gdal-cog-defaults", bytes=3 * 10**6), record("topozarr-defaults", bytes=2 * 10**6)]
    ratio = claims(record("ours"), *peers)["elevation: bytes of ours / topozarr-defaults, the smallest of the peers"]
    assert ratio.value == 0.5


def test_memory_of_large_and_small_squares_is_compared() -> None:
    small = record("ours", peak_bytes=100, shape=(16384, 16384))
    found = claims(small, record("ours", case="islands", peak_bytes=112, shape=(65536, 65536)))
    ratio = found["islands: peak memory, 64 k square against 16 k square"]
    assert round(ratio.value, 6) == 12
    assert not ratio.is_met


def test_one_sample_beyond_rounding_is_a_miss() -> None:
    levels = [{"beyond": 0.0, "max_error": 0.5}, {"beyond": 1e-6, "max_error": 0.6}]
    found = claims(record("ours", levels=levels))
    ratio = found["elevation: samples of ours off by more than rounding (finest: and 1/100 source pixel)"]
    assert not ratio.is_met


def test_what_failed_stays_in_the_table_and_out_of_the_claims() -> None:
    broken = {"case": "elevation", "title": "t", "contender": "gdal-cog", "failed": "trace\nno memory", "runs": []}
    assert "gdal-cog failed: no memory" in report.case_table([record("ours"), broken])
    assert not any("GDAL" in claim for claim in claims(record("ours"), broken))


def test_stages_are_shown_with_what_they_leave() -> None:
    table = report.stage_table([record("ours", cpu_seconds=2.0, stages={"warp": 0.5, "decode": 1.0})])
    head, _, row = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert head == ["case", "decode", "warp", "rest", "CPU seconds"]
    assert row == ["elevation", "1.00", "0.50", "0.50", "2.00"]


def test_a_run_of_one_case_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document(record("ours", seconds=9.0), record("ours", case="rgb"), scale={"sparse": []})))
    merged = report.merged(path, document(record("ours", seconds=3.0)))
    assert [(one["case"], one["seconds"]) for one in merged["records"]] == [("elevation", 3.0), ("rgb", 1.0)]
    assert merged["scale"] == {"sparse": []}


def test_a_quick_run_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document(record("ours", case="rgb"))))
    merged = report.merged(path, document(record("ours"), is_quick=True))
    assert [one["case"] for one in merged["records"]] == ["elevation"]


def test_the_page_holds_claims_cases_and_versions() -> None:
    page = report.page(document(record("ours"), record("gdal-cog", seconds=7.0)), has_chart=False)
    assert "| elevation | seconds of GDAL's COG driver / ours | 7 x" in " ".join(page.split())
    assert "results.png" not in page
    assert "a 1" in page
