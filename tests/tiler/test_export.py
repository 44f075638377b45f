"""Exported tiles are those of the service, in files that other programs read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import Compression, TileType, tileid_to_zxy, zxy_to_tileid
from starlette.testclient import TestClient

from gated import GatedStore
from geozarr.errors import ParameterError, StoreError, TargetExistsError, UnknownNameError
from geozarr.grid import Bounds
from geozarr.tms import TileLimits
from served import PROJECT
from tiler import archive, cli, parameters
from tiler.app import create_app
from tiler.archive import Archive
from tiler.export import STAMP, Options, Report, _on_curve, export, parse_box, tiles_of
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from pathlib import Path

ROW, COL = 390, 214  # first tile of zoom 10, see conftest.py
Tiles = dict[tuple[int, int, int], bytes]


def settings_of(stores: dict[str, Any], name: str) -> Settings:
    return Settings((Dataset(name, stores[name].path, "A title"),))


def wish_of(query: str) -> Any:
    return parameters.parse_wish(parameters.parse_query(query.encode(), parameters.PICTURE))


def tree_of(folder: Path) -> Tiles:
    return {
        (int(path.parts[-3]), int(path.parts[-2]), int(path.stem)): path.read_bytes()
        for path in folder.glob("[0-9]*/[0-9]*/*")
    }


def archive_of(path: Path) -> Tiles:
    with path.open("rb") as file:
        return dict(all_tiles(MmapSource(file)))


def answers(stores: dict[str, Any], name: str, tiles: list[tuple[int, int, int]], suffix: str) -> Tiles:
    with TestClient(create_app(settings_of(stores, name))) as client:
        found = {}
        for z, x, y in tiles:
            response = client.get(f"/{name}/tiles/WebMercatorQuad/{z}/{x}/{y}{suffix}")
            if response.status_code == 200:
                found[z, x, y] = response.content
        return found


def has_data(picture: bytes) -> bool:
    return bool(np.asarray(Image.open(BytesIO(picture)).convert("RGBA"))[..., 3].any())


CASES = [
    ("count", "", "png", {}),
    ("count", "colormap_name=viridis&rescale=0,5000", "png", {"min_zoom": 7, "max_zoom": 12}),
    ("colour", "", "webp", {"max_zoom": 11}),
    ("height", "colormap_name=terrain", "png", {}),
    ("series", "variable=heat&sel=time=2024-01-03&sel=level=500&rescale=0,90000", "png", {}),
    ("native", "", "png", {"max_zoom": 8}),
]


@pytest.mark.parametrize(("name", "query", "image_format", "zooms"), CASES)
@pytest.mark.parametrize("target", ["tiles", "tiles.pmtiles"])
def test_tiles_are_the_answers_of_the_service_and_none_without_data(
    stores: dict[str, Any], tmp_path: Path, name: str, query: str, image_format: str, zooms: Any, target: str
) -> None:
    path = tmp_path / target
    options = Options(wish_of(query), image_format=image_format, **zooms)
    report = export(settings_of(stores, name), path, options)
    found = tree_of(path) if target == "tiles" else archive_of(path)
    # All tiles around the pyramid, whatever the export thinks of its extent.
    reach = {z: 3 << max(0, z - 10) for z in range(13)}
    middle = {z: (COL << z >> 10, ROW << z >> 10) for z in range(13)}
    least, most = min(z for z, _, _ in found), max(z for z, _, _ in found)
    around = [
        (z, x, y)
        for z in range(least, most + 1)
        for x in range(max(0, middle[z][0] - 8), middle[z][0] + reach[z] + 3)
        for y in range(max(0, middle[z][1] - 3), middle[z][1] + reach[z] + 3)
    ]
    suffix = f".{image_format}" + (f"?{query}" if query else "")
    expected = {tile: data for tile, data in answers(stores, name, around, suffix).items() if has_data(data)}
    assert found == expected
    assert len(found) > 1
    assert (report.written, report.done) == (len(found), report.total)
    assert report.empty == report.total - report.written
    assert report.size == sum(map(len, found.values()))
    assert {(z, x, y) for z, x, y in found} <= set(around)
    if "min_zoom" in zooms:
        assert least == zooms["min_zoom"]
    if "max_zoom" in zooms:
        assert most == zooms["max_zoom"]


def test_jpeg_tiles_without_data_are_left_out_too(stores: dict[str, Any], tmp_path: Path) -> None:
    """JPEG has no transparency by which an empty tile could be told afterwards."""
    export(settings_of(stores, "count"), tmp_path / "tiles", Options(image_format="jpg"))
    found = tree_of(tmp_path / "tiles")
    assert set(found) == {(9, 107, 195), (10, COL + 1, ROW), (10, COL, ROW + 1), (10, COL + 1, ROW + 1)}
    assert all(Image.open(BytesIO(data)).format == "JPEG" for data in found.values())


def test_an_archive_says_what_it_holds(stores: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.pmtiles"
    export(settings_of(stores, "count"), path, Options(attribution="Somebody"))
    with path.open("rb") as file:
        reader = Reader(MmapSource(file))
        header, metadata = reader.header(), reader.metadata()
    assert (header["tile_type"], header["tile_compression"]) == (TileType.PNG, Compression.NONE)
    assert (header["min_zoom"], header["max_zoom"], header["clustered"]) == (9, 10, True)
    assert (header["addressed_tiles_count"], header["tile_entries_count"], header["tile_contents_count"]) == (4, 4, 4)
    # Tile 107 of 2**9 columns: the whole pyramid. Latitudes by the inverse of Web Mercator.
    west, east = (column * 360 / 2**9 - 180 for column in (107, 108))
    north, south = (np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * row / 2**9)))) for row in (195, 196))
    edges = [header[f"{edge}_e7"] / 1e7 for edge in ("min_lon", "min_lat", "max_lon", "max_lat")]
    assert edges == pytest.approx([west, south, east, north], abs=1e-6)
    assert header["center_lon_e7"] / 1e7 == pytest.approx((west + east) / 2, abs=1e-6)
    assert header["center_lat_e7"] / 1e7 == pytest.approx((north + south) / 2, abs=1e-6)
    assert header["center_zoom"] == 9
    build = metadata.pop("build")
    generator = metadata.pop("generator")
    expected = {"name": "A title", "version": "1.0.0", "attribution": "Somebody", "type": "overlay", "format": "png"}
    assert metadata == expected
    assert len(build) >= 16
    assert generator.startswith("geozarr-pyramids")
    assert os.listdir(tmp_path) == ["a.pmtiles"]  # noqa: PTH208


def test_a_tree_is_described(stores: dict[str, Any], tmp_path: Path) -> None:
    settings = replace(settings_of(stores, "count"), base_url="https://tiles.example.org/count")
    export(settings, tmp_path / "tiles", Options(max_zoom=11))
    found = json.loads((tmp_path / "tiles/tilejson.json").read_text())
    assert (found["tilejson"], found["minzoom"], found["maxzoom"]) == ("3.0.0", 9, 11)
    assert found["tiles"] == ["https://tiles.example.org/count/{z}/{x}/{y}.png"]
    assert found["bounds"][0] == pytest.approx(107 * 360 / 2**9 - 180)
    assert json.loads((tmp_path / "tiles/metadata.json").read_text())["format"] == "png"
    export(settings_of(stores, "count"), tmp_path / "beside", Options())
    assert json.loads((tmp_path / "beside/tilejson.json").read_text())["tiles"] == ["{z}/{x}/{y}.png"]


def test_a_box_is_exported_alone(stores: dict[str, Any], tmp_path: Path) -> None:
    width = 360 / 2**10
    west = (COL + 1) * width - 180
    box = Bounds(west + 0.1 * width, 38.0, west + 0.9 * width, 40.0)  # within the eastern column
    export(settings_of(stores, "height"), tmp_path / "tiles", Options(bounds=box))
    found = tree_of(tmp_path / "tiles")
    assert {tile[:2] for tile in found} == {(9, 107), (10, COL + 1)}
    tilejson = json.loads((tmp_path / "tiles/tilejson.json").read_text())
    assert tilejson["bounds"][0] == pytest.approx(box.xmin)
    assert tilejson["bounds"][2] == pytest.approx(box.xmax)
    assert 38 < tilejson["bounds"][1] < tilejson["bounds"][3] < 40


def test_a_box_across_the_antimeridian_has_two_sides(stores: dict[str, Any], tmp_path: Path) -> None:
    everything = export(settings_of(stores, "height"), tmp_path / "all", Options(max_zoom=11))
    around = Options(max_zoom=11, bounds=Bounds(170.0, -80.0, -100.0, 80.0))
    assert export(settings_of(stores, "height"), tmp_path / "tiles", around).written == everything.written
    assert tree_of(tmp_path / "tiles") == tree_of(tmp_path / "all")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"min_zoom": 25}, "within 0 to 24"),
        ({"min_zoom": 5, "max_zoom": 4}, "within 0 to 24"),
        ({"max_zoom": 25}, "within 0 to 24"),
        ({"bounds": Bounds(0.0, 0.0, 1.0, 1.0)}, "a box and zooms"),
        ({"wish": wish_of("rescale=0,1&rescale=0,1")}, "1 or 1 ranges"),
        ({"wish": wish_of("bidx=9")}, "1"),
        ({"wish": wish_of("sel=time=1")}, "a dimension of the data"),
    ],
)
@pytest.mark.parametrize("target", ["tiles", "tiles.pmtiles"])
def test_what_does_not_fit_is_refused(
    stores: dict[str, Any], tmp_path: Path, change: dict[str, Any], words: str, target: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        export(settings_of(stores, "count"), tmp_path / target, Options(**change))
    assert words in caught.value.expected
    assert not (tmp_path / "tiles.pmtiles").exists()
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(UnknownNameError):
        export(settings_of(stores, "count"), tmp_path / target, Options(wish_of("variable=nothing")))


@pytest.mark.parametrize(
    "change",
    [
        {"image_format": "npy"},
        {"threads": 0},
        {"bounds": Bounds(-181.0, 0.0, 1.0, 1.0)},
        {"bounds": Bounds(0.0, 2.0, 1.0, 1.0)},
    ],
)
def test_options_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        Options(**change)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,1,1", "0,0,inf,1"])
def test_a_box_is_four_numbers(text: str) -> None:
    with pytest.raises(ParameterError):
        parse_box(text)
    assert parse_box("-1.5,2,3,4") == Bounds(-1.5, 2.0, 3.0, 4.0)


def test_several_datasets_are_not_exported_at_once(stores: dict[str, Any], tmp_path: Path) -> None:
    settings = Settings(tuple(Dataset(name, stores[name].path) for name in ("count", "height")))
    with pytest.raises(ParameterError):
        export(settings, tmp_path / "tiles", Options())


def test_a_tree_that_was_stopped_goes_on_and_keeps_what_is_there(stores: dict[str, Any], tmp_path: Path) -> None:
    path, settings = tmp_path / "tiles", settings_of(stores, "count")

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(report: Report) -> None:
        if report.written == 5:
            raise Stopped

    options = Options(max_zoom=12)
    with pytest.raises(Stopped):
        export(settings, path, options, listener=stop)
    before = tree_of(path)
    assert len(before) == 5
    assert not (path / "tilejson.json").exists()
    times = {item: item.stat().st_mtime_ns for item in path.rglob("*.png")}
    report = export(settings, path, options)
    assert (report.kept, report.written + report.kept) == (5, len(tree_of(path)))
    assert all(item.stat().st_mtime_ns == time_of for item, time_of in times.items())
    export(settings, tmp_path / "whole", options)
    assert tree_of(path) == tree_of(tmp_path / "whole")
    assert not list(path.rglob("*.part"))


@pytest.mark.parametrize("other", [{"wish": wish_of("rescale=0,7")}, {"image_format": "webp"}, "another build"])
def test_the_tree_of_another_build_or_picture_is_refused_unless_it_may_be_replaced(
    stores: dict[str, Any], tmp_path: Path, other: Any
) -> None:
    place, path = tmp_path / "count.zarr", tmp_path / "tiles"
    shutil.copytree(stores["count"].path, place)
    settings = Settings((Dataset("count", place),))
    export(settings, path, Options(max_zoom=11))
    (path / "notes.txt").write_text("mine")
    before = tree_of(path)
    options = Options() if other == "another build" else Options(**other)
    if other == "another build":
        document = json.loads((place / "zarr.json").read_text())
        document["attributes"]["title"] = "rebuilt"
        (place / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(TargetExistsError) as caught:
        export(settings, path, options)
    assert caught.value.target == str(path)
    assert tree_of(path) == before
    export(settings, path, replace(options, is_overwriting=True))
    assert {tile[0] for tile in tree_of(path)} == {9, 10}
    assert (path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("target", ["tiles", "tiles.pmtiles"])
def test_what_no_export_has_left_is_never_touched(stores: dict[str, Any], tmp_path: Path, target: str) -> None:
    path = tmp_path / target
    for is_folder in (True, False):
        if is_folder:
            path.mkdir()
            (path / "mine").write_text("mine")
        else:
            path.write_text("mine")
        with pytest.raises(TargetExistsError):
            export(settings_of(stores, "count"), path, Options(is_overwriting=True))
        assert (path / "mine" if is_folder else path).read_text() == "mine"
        shutil.rmtree(path) if is_folder else path.unlink()


def test_an_archive_is_replaced_where_it_may_be(stores: dict[str, Any], tmp_path: Path) -> None:
    path, settings = tmp_path / "a.pmtiles", settings_of(stores, "count")
    export(settings, path, Options())
    before = path.read_bytes()
    with pytest.raises(TargetExistsError):
        export(settings, path, Options(image_format="webp"))
    assert path.read_bytes() == before
    export(settings, path, Options(image_format="webp", is_overwriting=True))
    assert path.read_bytes() != before
    export(settings, path, Options(is_overwriting=True))
    assert path.read_bytes() == before


@pytest.mark.parametrize("target", ["tiles", "tiles.pmtiles"])
def test_a_target_that_cannot_be_written_is_told(stores: dict[str, Any], tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        export(settings_of(stores, "count"), tmp_path / "file" / target, Options())
    assert (caught.value.operation, caught.value.key) == ("put", str(tmp_path / "file" / target))


def test_few_tiles_are_drawn_before_they_can_be_written(stores: dict[str, Any], tmp_path: Path) -> None:
    """Memory does not grow with the export: whoever writes slowly holds up those that draw."""
    drawn: list[int] = []
    ahead: list[int] = []
    render = sys.modules["tiler.service"].render

    def counted(*arguments: Any) -> Any:
        drawn.append(1)
        return render(*arguments)

    def slow(report: Report) -> None:
        time.sleep(0.005)
        ahead.append(len(drawn) - report.done)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiler.service.render", counted)
        export(settings_of(stores, "count"), tmp_path / "a.pmtiles", Options(max_zoom=13, threads=2), listener=slow)
    assert len(drawn) > 300
    assert max(ahead) <= 2 * 4 + 1


@given(st.integers(0, 12), st.integers(0, 4**12))
def test_positions_on_the_curve_are_those_of_pmtiles(zoom: int, position: int) -> None:
    position %= 4**zoom
    assert (zoom, *_on_curve(zoom, position)) == tileid_to_zxy(zxy_to_tileid(zoom, 0, 0) + position)


@given(st.integers(0, 9), st.lists(st.tuples(*[st.integers(0, 511)] * 4), max_size=2))
def test_the_tiles_of_boxes_are_listed_once_and_in_order(zoom: int, corners: list[tuple[int, int, int, int]]) -> None:
    side = 2**zoom
    boxes = []
    for a, b, c, d in corners:
        (row, last_row), (col, last_col) = (sorted((i % side, j % side)) for i, j in ((a, b), (c, d)))
        boxes.append(TileLimits(str(zoom), row, min(last_row, row + 20), col, min(last_col, col + 20)))
    found = list(tiles_of(zoom, boxes))
    expected = {
        (zoom, x, y)
        for box in boxes
        for x in range(box.minTileCol, box.maxTileCol + 1)
        for y in range(box.minTileRow, box.maxTileRow + 1)
    }
    assert found == sorted(expected, key=lambda tile: zxy_to_tileid(*tile))


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from([b"sea", b"land", b"", b"x" * 300])), max_size=60))
def test_an_archive_holds_each_tile_and_equal_ones_once(tmp_path_factory: Any, steps: list[tuple[int, bytes]]) -> None:
    path = tmp_path_factory.getbasetemp() / "law.pmtiles"
    tiles, tile_id = {}, 20
    for step, data in steps:
        tile_id += step
        tiles[tile_id] = data or b"empty"
    if not tiles:
        return
    write_archive(path, tiles)
    with path.open("rb") as file:
        reader = Reader(MmapSource(file))
        header = reader.header()
        for tile_id in range(max(tiles) + 3):
            assert reader.get(*tileid_to_zxy(tile_id)) == tiles.get(tile_id)
    assert header["addressed_tiles_count"] == len(tiles)
    assert header["tile_contents_count"] == len(set(tiles.values()))
    assert header["tile_data_length"] == sum(map(len, set(tiles.values())))


def write_archive(path: Path, tiles: dict[int, bytes]) -> None:
    with Archive(path) as made:
        for tile_id, data in tiles.items():
            made.add(tile_id, data)
        made.finish(image_format="png", bounds=Bounds(-1.0, -1.0, 1.0, 1.0), center=(0.0, 0.0, 0), metadata={})


def test_an_archive_of_many_tiles_has_leaves(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    tiles = {int(tile_id): bytes(chance.integers(0, 256, 8, np.uint8)) for tile_id in range(0, 90_000, 3)}
    write_archive(tmp_path / "a.pmtiles", tiles)
    with (tmp_path / "a.pmtiles").open("rb") as file:
        header = Reader(MmapSource(file)).header()
        assert header["leaf_directory_length"] > 0
        assert header["root_offset"] + header["root_length"] <= 16_384
        assert header["tile_entries_count"] == len(tiles)
        found = {zxy_to_tileid(*tile): data for tile, data in all_tiles(MmapSource(file))}
    assert found == tiles


def test_tiles_that_were_forgotten_are_stored_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_KNOWN", 2)
    tiles = {1: b"a", 2: b"b", 3: b"c", 4: b"a", 5: b"c"}
    write_archive(tmp_path / "a.pmtiles", tiles)
    with (tmp_path / "a.pmtiles").open("rb") as file:
        assert Reader(MmapSource(file)).header()["tile_contents_count"] == 4
        assert {zxy_to_tileid(*tile): data for tile, data in all_tiles(MmapSource(file))} == tiles


def test_the_command_exports(stores: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "a.pmtiles"
    flags = [
        "--export",
        target,
        "--colormap-name",
        "viridis",
        "--rescale",
        "0,5000",
        "--min-zoom",
        "10",
        "--threads",
        "2",
    ]
    arguments = list(map(str, [stores["count"].path, *flags, "--bbox", "-105,38,-104,40"]))
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 0, result.output
    assert "3 tiles" in result.stdout
    assert "1 without data left out" in result.stdout
    expected = answers(stores, "count", list(archive_of(target)), ".png?colormap_name=viridis&rescale=0,5000")
    assert archive_of(target) == expected
    assert len(expected) == 3
    again = CliRunner().invoke(cli.main, arguments)
    assert (again.exit_code, "a.pmtiles: found a file" in again.stderr) == (2, True)
    assert CliRunner().invoke(cli.main, [*arguments, "--overwrite", "--quiet"]).output == ""


def test_any_parameter_of_a_tile_can_be_given_to_an_export(stores: dict[str, Any], tmp_path: Path) -> None:
    flags = ["--parameter", "expression=b1/2", "--parameter", "tilesize=128", "--rescale", "0,2000", "--quiet"]
    arguments = [str(stores["count"].path), "--export", str(tmp_path / "tiles"), *flags]
    result = CliRunner().invoke(cli.main, arguments)
    assert (result.exit_code, result.output) == (0, "")
    found = tree_of(tmp_path / "tiles")
    assert len(found) == 4
    settings = replace(settings_of(stores, "count"), expressions=True)
    with TestClient(create_app(settings)) as client:
        for (z, x, y), data in found.items():
            path = f"/count/tiles/WebMercatorQuad/{z}/{x}/{y}.png?rescale=0,2000&expression=b1/2&tilesize=128"
            assert client.get(path).content == data
            assert Image.open(BytesIO(data)).size == (128, 128)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--bbox", "1,2"], "--bbox"),
        (["--parameter", "tilesize"], "NAME=VALUE"),
        (["--parameter", "tilesize=100000"], "tilesize"),
        (["--parameter", "nothing=1"], "nothing"),
        (["--rescale", "1"], "rescale"),
        (["--min-zoom", "30"], "within 0 to 24"),
        (["--variable", "nothing"], "unknown variable"),
    ],
)
def test_a_wrong_flag_of_an_export_is_one_line(
    stores: dict[str, Any], tmp_path: Path, flags: list[str], text: str
) -> None:
    arguments = [str(stores["count"].path), "--export", str(tmp_path / "a"), *flags]
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 2
    assert text in result.stderr


def test_a_missing_extra_is_named(stores: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tiler.archive")
    monkeypatch.setitem(sys.modules, "pmtiles.tile", None)
    result = CliRunner().invoke(cli.main, [str(stores["count"].path), "--export", str(tmp_path / "a.pmtiles")])
    assert result.exit_code == 2
    assert "geozarr-pyramids[export]" in result.stderr


@pytest.mark.faults
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("target", ["tiles", "tiles.pmtiles"])
def test_an_export_is_stopped_by_a_signal_though_a_store_is_slow(
    stores: dict[str, Any], tmp_path: Path, number: int, status: int, target: str
) -> None:
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from tiler.cli import main; main()"
    )
    with GatedStore(stores["count"].path.parent) as store:
        store.gate.clear()
        flags = ["--export", str(tmp_path / target), "--threads", "2"]
        command = [sys.executable, "-c", program, f"{store.url}/count.zarr", *flags]
        environ = {**os.environ, "PYTHONPATH": str(PROJECT)}
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        ) as process:
            try:
                by = time.monotonic() + 20
                while not store.chunks() and time.monotonic() < by:
                    time.sleep(0.02)
                assert store.chunks()
                process.send_signal(number)
                _, errors = process.communicate(timeout=10)
            finally:
                process.kill()
    assert process.returncode == status
    assert "Traceback" not in errors
    assert "goes on where it was" in errors
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ([STAMP] if target == "tiles" else [])
