"""Rules at depth geometry that a single edit cannot break: they need other grids, other pixels, other sets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import obstore
import pytest
import zarr
import zarr.storage
from affine import Affine

from conformance import Severity, check
from geozarr import Grid, GridMismatchError, cf, crs, levels, tms
from pyramid_factory import Variable, write_pyramid

if TYPE_CHECKING:
    from pathlib import Path

    from obstore.store import MemoryStore

ATTRS = "attributes"


def found(report: Any) -> list[tuple[str, str]]:
    return [(finding.rule, finding.node) for finding in report.findings]


def without_coordinates(documents: dict[str, Any]) -> None:
    for path in [path for path in documents if path.rpartition("/")[2] in ("x", "y")]:
        del documents[path]


def set_level(documents: dict[str, Any], asset: str, *, shape: list[int], transform: list[float]) -> None:
    """State another grid at every place that states the grid of a level."""
    a, _, c, _, e, f = transform
    box = [c, f + e * shape[0], c + a * shape[1], f]
    items = {item["asset"]: item for item in documents[""][ATTRS]["multiscales"]["layout"]}
    for holder in (items[asset], documents[asset][ATTRS], documents[f"{asset}/data"][ATTRS]):
        holder.update({"spatial:shape": shape, "spatial:transform": transform})
    for path in (asset, f"{asset}/data"):
        documents[path][ATTRS]["spatial:bbox"] = box
    documents[f"{asset}/data"]["shape"][-2:] = shape
    documents[f"{asset}/spatial_ref"][ATTRS]["GeoTransform"] = cf.format_geotransform(Affine(*transform))


def test_coordinates_are_optional(stores) -> None:
    assert found(check(stores["native"].edited(without_coordinates))) == []


@pytest.mark.parametrize(
    ("shape", "rules"),
    [
        # Level 2 has 76 x 51 cells, so level 3 has 38 x 25.5 of them: 25 or 26 columns are within one cell.
        ([38, 26], []),
        ([38, 25], [("XC-05", "/")]),  # legal by itself, but the other levels are rounded up
        ([39, 26], [("XC-05", "/")]),
        ([38, 24], [("XC-05", "/")]),
        ([40, 26], [("XC-05", "/")]),
    ],
)
def test_size_is_that_of_the_source_divided_by_the_scale(stores, shape, rules) -> None:
    def edit(documents: dict[str, Any]) -> None:
        without_coordinates(documents)
        set_level(documents, "3", shape=shape, transform=[80.0, 0.0, 500_000.0, 0.0, -80.0, 5_000_000.0])

    report = check(stores["native"].edited(edit))
    assert found(report) == rules, report.to_text()


def test_rounding_up_and_down_in_one_pyramid_is_a_warning(stores) -> None:
    def edit(documents: dict[str, Any]) -> None:
        without_coordinates(documents)
        set_level(documents, "3", shape=[38, 25], transform=[80.0, 0.0, 500_000.0, 0.0, -80.0, 5_000_000.0])

    report = check(stores["native"].edited(edit))
    assert [finding.severity for finding in report.findings] == [Severity.WARNING]


@pytest.mark.parametrize("cells", [1.0, -0.5, 1e-3])
def test_corner_is_that_of_the_source(stores, cells) -> None:
    def edit(documents: dict[str, Any]) -> None:
        without_coordinates(documents)
        transform = [80.0, 0.0, 500_000.0 + 80 * cells, 0.0, -80.0, 5_000_000.0]
        set_level(documents, "3", shape=[38, 26], transform=transform)

    report = check(stores["native"].edited(edit))
    assert found(report) == [("XC-04", "/")], report.to_text()


def test_corner_within_the_tolerance_is_no_finding(stores) -> None:
    # 1e-9 of 500 000 m are 0.5 mm, more than 1e-6 of a cell of 80 m.
    def edit(documents: dict[str, Any]) -> None:
        without_coordinates(documents)
        transform = [80.0, 0.0, 500_000.0004, 0.0, -80.0, 5_000_000.0]
        set_level(documents, "3", shape=[38, 26], transform=transform)

    assert found(check(stores["native"].edited(edit))) == []


def test_two_levels_of_one_resolution(stores) -> None:
    def edit(documents: dict[str, Any]) -> None:
        for path in [path for path in documents if path == "3" or path.startswith("3/")]:
            documents[f"again{path[1:]}"] = documents[path]
        layout = documents[""][ATTRS]["multiscales"]["layout"]
        layout.append({**layout[3], "asset": "again"})

    base = stores["native"]
    copies = {f"again{key[1:]}": data for key, data in base.objects.items() if key.startswith("3/")}
    report = check(replace(base, objects={**copies, **base.objects}).edited(edit))
    assert found(report) == [("MS-22", "/")], report.to_text()


def written(store: MemoryStore, path: str, values: np.ndarray) -> MemoryStore:
    target: Any = zarr.storage.ObjectStore(store)
    zarr.open_array(target, path=path, mode="r+", zarr_format=3)[...] = values
    return store


@pytest.mark.parametrize("index", [0, 51, 101])
def test_coordinates_are_the_centres_of_the_cells(stores, index) -> None:
    centres = 500_000 + 20 * (np.arange(102) + 0.5)
    assert found(check(written(stores["native"].edited(), "1/x", centres))) == []
    centres[index] += 1
    report = check(written(stores["native"].edited(), "1/x", centres))
    assert found(report) == [("XC-06", "/1/x")], report.to_text()


def test_coordinates_at_the_corners_are_half_a_cell_off(stores) -> None:
    report = check(written(stores["native"].edited(), "1/y", 5_000_000 - 20.0 * np.arange(151)))
    assert found(report) == [("XC-06", "/1/y")]


def test_coordinates_that_cannot_be_decoded_are_one_finding(stores) -> None:
    store = stores["native"].edited()
    obstore.put(store, "1/x/c/0", b"no zstd")
    report = check(store)
    assert found(report) == [("XC-06", "/1/x")]
    assert "cannot be read" in report.findings[0].message


def test_coordinates_whose_chunk_is_lost_are_one_finding(stores) -> None:
    store = stores["native"].edited()
    obstore.delete(store, "1/x/c/0")
    assert found(check(store)) == [("XC-06", "/1/x")]


def test_chunks_too_large_to_decode_are_not_read(stores) -> None:
    def edit(documents: dict[str, Any]) -> None:
        documents["1/x"]["chunk_grid"]["configuration"]["chunk_shape"] = [2**40]

    assert found(check(stores["native"].edited(edit))) == []


def sharded(*, depth: int, index_endian: str = "little") -> list[dict[str, Any]]:
    """Codecs of shards in shards of 32, 16, 8 ... values."""
    codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": "little"}}]
    for level in range(depth):
        index = [{"name": "bytes", "configuration": {"endian": index_endian}}, {"name": "crc32c"}]
        inner = {"chunk_shape": [2 ** (5 - depth + level)], "codecs": codecs, "index_codecs": index}
        codecs = [{"name": "sharding_indexed", "configuration": inner | {"index_location": "end"}}]
    return codecs


@pytest.mark.parametrize(
    "codecs",
    [
        sharded(depth=2),
        sharded(depth=3),
        sharded(depth=1, index_endian="big"),
        [{"name": "bytes", "configuration": {"endian": "little"}}, *[{"name": "crc32c"}] * 40],
    ],
    ids=["shards in shards", "three deep", "big-endian index", "forty codecs"],
)
def test_coordinates_of_layouts_that_are_not_read_are_left_alone(stores, codecs) -> None:
    def edit(documents: dict[str, Any]) -> None:
        documents["1/x"]["chunk_grid"]["configuration"]["chunk_shape"] = [32]
        documents["1/x"]["codecs"] = codecs

    assert found(check(stores["native"].edited(edit))) == []


def test_other_coordinates_are_monotonic(stores) -> None:
    def edit(documents: dict[str, Any]) -> None:
        for level in "0123":
            document = dict(documents["0/x"])
            chunk = {"name": "regular", "configuration": {"chunk_shape": [2]}}
            documents[f"{level}/band"] = document | {
                "shape": [2],
                "dimension_names": ["band"],
                "attributes": {},
                "chunk_grid": chunk,
            }

    store = stores["native"].edited(edit)
    for level in "0123":
        written(store, f"{level}/band", np.array([1.0, 2.0]))
    assert found(check(store)) == []
    written(store, "2/band", np.array([2.0, 2.0]))
    assert found(check(store)) == [("CF-13", "/2/band")]
    assert found(check(store, depth="metadata")) == []


def _levels_of(name: str) -> levels.Levels | None:
    """Two or three levels somewhere in a set, as fine as it goes; None where its matrices do not nest by 2."""
    registered = tms.load(name)
    ids = registered.ids
    for count in (3, 2):
        for first in range(len(ids) - count, -1, -1):
            coarsest = registered.matrix(ids[first])
            if max(coarsest.tileWidth, coarsest.tileHeight) > 512:
                continue
            limits = tms.TileLimits(
                coarsest.id,
                coarsest.matrixHeight // 2,
                coarsest.matrixHeight // 2,
                coarsest.matrixWidth // 2,
                coarsest.matrixWidth // 2,
            )
            try:
                return levels.from_tms(registered, limits, count=count, resampling_method="average")
            except GridMismatchError:
                continue
    return None


@pytest.mark.parametrize("name", tms.known_ids())
def test_pyramids_on_registered_sets_have_no_findings(tmp_path: Path, name: str) -> None:
    layout = _levels_of(name)
    if layout is None:
        pytest.skip(f"no two matrices of {name} nest by 2")
    values = np.zeros(layout.finest.grid.shape, "uint8")
    tile = tms.load(name).matrix(layout.finest.asset).tileWidth
    path = write_pyramid(tmp_path / "set", layout, {"b1": Variable(values, nodata=255)}, chunk=tile)
    report = check(path)
    # CanadianNAD83_LCC, CDB1GlobalGrid and others have scales that do not follow from their cells.
    assert {finding.rule for finding in report.findings} <= {"TMS-05"}, report.to_text()
    assert report.exit_status == 0


@pytest.mark.parametrize(
    "code",
    [
        *("EPSG:3031", "EPSG:3035", "EPSG:32119", "EPSG:2056", "EPSG:3857", "EPSG:5070", "EPSG:6933", "ESRI:54009"),
        *("OGC:CRS84", "EPSG:4326", "EPSG:2193", "EPSG:27700", "EPSG:5514", "EPSG:2263", "EPSG:3413", "EPSG:28992"),
    ],
)
def test_native_pyramids_in_any_crs_have_no_findings(tmp_path: Path, code: str) -> None:
    cell = 1e-3 if crs.from_code(code).is_geographic else 10.0
    grid = Grid((37, 53), Affine(cell, 0, 12.0, 0, -cell, 48.0), crs.from_code(code))
    layout = levels.from_halving(grid, count=3, resampling_method="average")
    report = check(write_pyramid(tmp_path / "native", layout, {"a": Variable(np.ones((37, 53)), nodata=np.nan)}))
    assert found(report) == [], report.to_text()


@pytest.mark.parametrize(("chunk", "shard"), [(16, None), (16, 32)])
@pytest.mark.parametrize("bands", [(), (3,)])
def test_shards_and_leading_axes_have_no_findings(tmp_path: Path, chunk, shard, bands) -> None:
    grid = Grid((61, 45), Affine(30, 0, 0, 0, -30, 90), crs.from_code("EPSG:32633"))
    layout = levels.from_halving(grid, count=3, resampling_method="average")
    values = np.random.default_rng(1).normal(size=(*bands, 61, 45)).astype("float32")
    leading = ("band",) * len(bands)
    variable = Variable(values, nodata=np.nan, leading=leading)
    report = check(write_pyramid(tmp_path / "p", layout, {"a": variable}, chunk=chunk, shard=shard))
    assert found(report) == [], report.to_text()
