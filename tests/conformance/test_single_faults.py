"""Single faults of every kind, drawn by a seed: each is found, by itself and at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import pyramids
from benchmarks import single_faults
from builds import data_array
from conformance import check

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(33)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pyramids with their manifests: bytes with nodata, and floats in shards."""
    folder = tmp_path_factory.mktemp("sources")
    lot = np.random.default_rng(8)
    codes = lot.integers(1, 200, (200, 150)).astype("uint8")
    codes[20:60, 30:90] = 0
    heights = lot.normal(100, 30, (150, 170)).astype("float32")
    heights[100:, 120:] = np.nan
    pyramids.build(data_array(codes), folder / "codes.zarr", tms="native", nodata=0, chunk=32)
    pyramids.build(data_array(heights), folder / "heights.zarr", tms="native", chunk=16, shard=64)
    return [folder / "codes.zarr", folder / "heights.zarr"]


def test_the_sources_have_no_findings(sources: list[Path]) -> None:
    for source in sources:
        assert check(source, depth="pixels", all_pixels=True).findings == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_single_fault_is_found_at_its_place(sources: list[Path], tmp_path: Path, seed: int) -> None:
    kinds = list(single_faults.KINDS)
    kind = kinds[seed % len(kinds)]
    target = tmp_path / "faulty.zarr"
    fault = single_faults.put(sources[seed % 2], target, seed, kinds=(kind,))
    report = check(target, depth="pixels", all_pixels=True)
    assert report.exit_status == 1, fault
    assert len(report.findings) == (2 if kind == "swap" else 1), f"{fault}\n{report.to_text()}"
    node = fault.key.removesuffix("/zarr.json").removesuffix("zarr.json")
    # A value of a copy in the root is a fault of the node that it is a copy of.
    if kind != "edit root":
        assert f"/{node}" in {found.node for found in report.findings}, f"{fault}\n{report.to_text()}"


def test_every_kind_is_drawn() -> None:
    kinds = list(single_faults.KINDS)
    assert {kinds[seed % len(kinds)] for seed in SEEDS} == set(kinds)


def test_the_source_stays_as_it_is(sources: list[Path], tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in sources[0].rglob("*") if path.is_file()}
    for seed in range(11):
        single_faults.put(sources[0], tmp_path / "faulty.zarr", seed, kinds=(list(single_faults.KINDS)[seed],))
    assert {path: path.read_bytes() for path in sources[0].rglob("*") if path.is_file()} == before
