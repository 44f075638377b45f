"""`geozarr-build`: exit statuses, one line an error, nothing left behind (issue "Bad input"; B22, B23)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
import zarr
from affine import Affine
from click.testing import CliRunner, Result

import builds
import conformance
from geozarr import BuildConflictError, ChunkReadError, PlanChangedError, StoreError, TargetExistsError
from processes import build_command
from pyramids.cli import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("keeps_handlers")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A raster of 120 x 90 bytes, nodata 0, in UTM."""
    return raster(tmp_path / "scene.tif")


def raster(path: Path, *, dtype: str = "uint8", **changes: object) -> Path:
    """Write a small GeoTIFF."""
    profile: dict[str, object] = {
        "driver": "GTiff",
        "count": 1,
        "height": 120,
        "width": 90,
        "dtype": dtype,
        "crs": "EPSG:32631",
        "transform": Affine(30, 0, 500000, 0, -30, 5000000),
        "nodata": 0,
    }
    with rasterio.open(path, "w", **(profile | changes)) as dataset:
        dataset.write(np.full((1, 120, 90), 5, dtype))
    return path


def run(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_raster_becomes_a_pyramid(scene: Path, tmp_path: Path) -> None:
    result = run(scene, tmp_path / "x.zarr")
    assert result.exit_code == 0, result.output
    assert "built" in result.stdout
    assert "WebMercatorQuad" in result.stdout
    group = zarr.open_group(tmp_path / "x.zarr", mode="r")
    finest = dict(group.attrs)["multiscales"]["layout"][0]["asset"]
    assert (group[f"{finest}/b1"][...] == 5).any()  # type: ignore[index]


def test_a_dry_run_prints_the_plan_and_writes_nothing(scene: Path, tmp_path: Path) -> None:
    """Issue: levels, shapes, chunks, objects, bytes, memory; a target is not needed."""
    for arguments in ((scene,), (scene, tmp_path / "x.zarr")):
        result = run(*arguments, "--dry-run")
        assert result.exit_code == 0
        for word in ("level", "rows x columns", "chunks of", "objects", "MB", "MiB", "Mpx"):
            assert word in result.stdout
        assert list(tmp_path.iterdir()) == [scene]


def test_quiet_prints_nothing(scene: Path, tmp_path: Path) -> None:
    result = run(scene, tmp_path / "x.zarr", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_options_reach_the_plan(scene: Path, tmp_path: Path) -> None:
    """Each of them, by what is stored."""
    target = tmp_path / "x.zarr"
    result = run(
        *(scene, target, "--tms", "native", "--levels", 3, "--chunk", 32, "--shard", 64, "--nodata", 7),
        *("--bands", "axis", "--resampling", "nearest", "--threads", 3, "--memory", "700M"),
    )
    assert result.exit_code == 0, result.output
    (left,) = (target / ".build").glob("*/plan.json")
    plan = json.loads(left.read_text())
    assert (plan["workers"], plan["memory"], plan["chunk"], plan["shard"]) == (3, 700 * 2**20, 32, 64)
    (variable,) = plan["variables"]
    assert (variable["warp_method"], variable["fold_method"], variable["nodata"]) == (None, "nearest", 7)
    assert [item["asset"] for item in plan["levels"]["multiscales"]["layout"]] == ["0", "1", "2"]
    assert zarr.open_array(target / "0" / "data", mode="r").shape == (1, 120, 90)
    target = tmp_path / "y.zarr"
    assert run(scene, target, "--min-zoom", 9, "--max-zoom", 11).exit_code == 0
    assert {path.name for path in target.iterdir()} == {"9", "10", "11", "zarr.json", ".build"}


def test_a_negative_nodata_is_no_option(tmp_path: Path) -> None:
    """`--nodata -9999` is how people write it."""
    source = raster(tmp_path / "s.tif", dtype="int16", nodata=None)
    for number, arguments in enumerate((["--nodata", "-9999"], ["--nodata=-9999"])):
        assert run(source, tmp_path / f"{number}.zarr", *arguments).exit_code == 0


@pytest.mark.parametrize(
    ("text", "size"), [("512M", 2**29), ("2G", 2**31), ("1.5GiB", 3 * 2**29), ("900000KB", 900000 * 1024)]
)
def test_memory_is_read_with_its_unit(scene: Path, text: str, size: int) -> None:
    result = run(scene, "--dry-run", "--memory", text)
    assert result.exit_code == 0
    assert f"{size / 2**20:,.0f} MiB allowed" in result.stdout


def test_a_variable_of_a_zarr_store_is_chosen(tmp_path: Path) -> None:
    array = builds.data_array(builds.scene("float32", (60, 50)))
    array.to_dataset(name="v").assign(w=array).to_zarr(tmp_path / "in.zarr", zarr_format=3, consolidated=False)
    assert run(tmp_path / "in.zarr", tmp_path / "x.zarr", "--variable", "w", "--tms", "native").exit_code == 0
    assert (tmp_path / "x.zarr" / "0" / "w").is_dir()
    assert not (tmp_path / "x.zarr" / "0" / "v").exists()
    result = run(tmp_path / "in.zarr", tmp_path / "y.zarr", "--variable", "none")
    assert_refused(result, "unknown variable 'none'")
    assert not (tmp_path / "y.zarr").exists()


def assert_refused(result: Result, said: str) -> None:
    """Exit status 2, one clear line on stderr, nothing on stdout, no traceback."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    assert line.startswith("geozarr-build: ")
    assert said in line
    assert "Traceback" not in result.output
    assert result.stdout == ""


BAD = {  # arguments after the source; what the line says
    "unknown TMS": (["--tms", "NoSuchQuad"], "unknown TileMatrixSet 'NoSuchQuad'"),
    "missing TMS file": (["--tms", "none.json"], "unknown TileMatrixSet 'none.json'"),
    "zoom backwards": (["--min-zoom", "12", "--max-zoom", "9"], "zoom range: found '12 to 9'"),
    "unknown zoom": (["--max-zoom", "77"], "unknown tile matrix"),
    "zoom that is a word": (["--min-zoom", "deep"], "unknown tile matrix"),
    "zoom of a native pyramid": (["--tms", "native", "--max-zoom", "3"], "max_zoom"),
    "levels of a tile matrix set": (["--levels", "3"], "levels"),
    "no levels": (["--tms", "native", "--levels", "0"], "levels: found 0"),
    "too many levels": (["--tms", "native", "--levels", "40"], "levels: found 40"),
    "chunk of 0": (["--tms", "native", "--chunk", "0"], "chunk: found 0"),
    "odd chunk": (["--tms", "native", "--chunk", "100"], "chunk: found 100"),
    "odd shard": (["--shard", "300"], "shard: found 300"),
    "nodata outside": (["--nodata", "-9999"], "nodata: found -9999,"),
    "nodata nan": (["--nodata", "nan"], "nodata: found nan"),
    "variable of a raster": (["--variable", "b1"], "variables"),
    "too little memory": (["--memory", "10M"], "memory in bytes"),
    "outside the set": (["--tms", "NZTM2000Quad"], "expected a part of"),
    "cubic on a native grid": (["--tms", "native", "--resampling", "cubic"], "resampling"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_option_is_one_line_and_status_2(scene: Path, tmp_path: Path, name: str) -> None:
    arguments, said = BAD[name]
    target = tmp_path / "x.zarr"
    assert_refused(run(scene, target, *arguments), said)
    assert not target.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crs": None}, "crs: found nothing"),
        ({"dtype": "complex128", "nodata": None}, "data type complex128 is not supported"),
        ({"dtype": "complex64", "nodata": None}, "data type complex64 is not supported"),
    ],
)
def test_a_bad_source_is_one_line_and_status_2(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    dtype = str(changes.pop("dtype", "uint8"))
    source = raster(tmp_path / "bad.tif", dtype=dtype, **changes)
    assert_refused(run(source, tmp_path / "x.zarr"), said)
    assert not (tmp_path / "x.zarr").exists()


def test_a_singular_transform_is_one_line_and_status_2(tmp_path: Path) -> None:
    band = '<VRTRasterBand dataType="Byte" band="1"/>'
    text = f"<SRS>EPSG:32631</SRS><GeoTransform>5, 1, 1, 5, 1, 1</GeoTransform>{band}"
    (tmp_path / "s.vrt").write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{text}</VRTDataset>')
    assert_refused(run(tmp_path / "s.vrt", tmp_path / "x.zarr"), "transform: found")
    (tmp_path / "z.vrt").write_text(f'<VRTDataset rasterXSize="0" rasterYSize="8">{text}</VRTDataset>')
    assert_refused(run(tmp_path / "z.vrt", tmp_path / "x.zarr"), "z.vrt")
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.parametrize("content", [None, b"", b"no raster"])
def test_what_cannot_be_opened_is_one_line_with_its_cause(tmp_path: Path, content: bytes | None) -> None:
    source = tmp_path / "s.tif"
    if content is not None:
        source.write_bytes(content)
    assert_refused(run(source, tmp_path / "x.zarr"), "cannot open")
    assert not (tmp_path / "x.zarr").exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"id": "x", "crs": "EPSG:99999999", "tileMatrices": []}'])
def test_a_bad_tms_document_is_one_line_and_status_2(scene: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    assert_refused(run(scene, tmp_path / "x.zarr", "--tms", tmp_path / "mine.json"), "found")


def test_a_target_of_another_origin_is_left_alone(scene: Path, tmp_path: Path) -> None:
    """B23."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    for arguments in ([], ["--overwrite"]):
        assert_refused_after_plan(run(scene, folder, *arguments), "another origin")
        assert_refused_after_plan(run(scene, folder / "notes.txt", *arguments), "a file")
        assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("notes.txt", "mine")]


def assert_refused_after_plan(result: Result, said: str, status: int = 2) -> None:
    """As `assert_refused`, when the plan has been printed already."""
    assert result.exit_code == status
    (line,) = [line for line in result.stderr.splitlines() if line.strip() and "building" not in line]
    assert line.startswith("geozarr-build: ")
    assert said in line
    assert "Traceback" not in result.output


def test_a_pyramid_is_replaced_only_when_asked_for(scene: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.zarr"
    assert run(scene, target, "--tms", "native").exit_code == 0
    before = (target / "zarr.json").read_bytes()
    assert_refused_after_plan(run(scene, target), "a pyramid")
    assert (target / "zarr.json").read_bytes() == before
    assert run(scene, target, "--overwrite").exit_code == 0
    assert (target / "zarr.json").read_bytes() != before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["scene.tif"],
        ["scene.tif", "x.zarr", "--tile-size", "3"],
        ["scene.tif", "x.zarr", "--resampling", "gauss"],
        ["scene.tif", "x.zarr", "--bands", "stacked"],
        ["scene.tif", "x.zarr", "--threads", "0"],
        ["scene.tif", "x.zarr", "--threads", "many"],
        ["scene.tif", "x.zarr", "--memory", "lots"],
        ["scene.tif", "x.zarr", "--memory", "-1G"],
        ["scene.tif", "x.zarr", "--memory", "inf"],
        ["scene.tif", "x.zarr", "--memory", "nan"],
        ["scene.tif", "x.zarr", "--shard", "big"],
        ["scene.tif", "x.zarr", "--levels", "x"],
        ["scene.tif", "x.zarr", "--nodata", "nothing"],
        ["scene.tif", "x.zarr", "--sel", "time"],
        ["scene.tif", "x.zarr", "--overlap", "best"],
    ],
    ids=" ".join,
)
def test_misuse_is_said_with_the_usage(arguments: list[str]) -> None:
    """Click's own form: usage, a hint, one line of error; status 2."""
    result = run(*arguments)
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert lines[0].startswith("Usage: ")
    assert lines[-1].startswith("Error: ")
    assert "Traceback" not in result.output


def test_help_and_version_are_printed() -> None:
    for flag in ("-h", "--help"):
        result = run(flag)
        assert result.exit_code == 0
        for option in ("--tms", "--min-zoom", "--max-zoom", "--resampling", "--nodata", "--bands", "--dry-run"):
            assert option in result.stdout
    assert re.search(r"\d+\.\d+", run("--version").stdout)


def test_b9_a_damaged_source_publishes_nothing(data_dir: Path, tmp_path: Path) -> None:
    """B9: the plan is printed, then the error; no root document."""
    result = run(data_dir / "broken" / "corrupt.tif", tmp_path / "x.zarr")
    assert_refused_after_plan(result, "cannot be read or decoded", 4)
    assert not (tmp_path / "x.zarr" / "zarr.json").exists()


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch, scene: Path, tmp_path: Path) -> None:
    """B22."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyramids.cli.execute", interrupted)
    result = run(scene, tmp_path / "x.zarr")
    assert result.exit_code == 130
    assert "nothing was published" in result.stderr


def test_a_process_ends_as_the_function_does(scene: Path, tmp_path: Path) -> None:
    """Statuses and streams of the real thing: nothing but the plan on stdout, nothing but one line on stderr."""
    done = subprocess.run(
        build_command(scene, tmp_path / "x.zarr", "--tms", "native"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.zarr" / "zarr.json").is_file()
    failed = subprocess.run(
        build_command(scene, tmp_path / "y.zarr", "--nodata=-9999"), capture_output=True, text=True, check=False
    )
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("geozarr-build: ")
    assert not (tmp_path / "y.zarr").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_process_without_a_pyramid(tmp_path: Path, number: int, status: int) -> None:
    """B22: in the middle of a large build."""
    source = tmp_path / "large.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 8192, "width": 8192, "dtype": "float64", "crs": "EPSG:32631"}
    transform = Affine(30, 0, 400000, 0, -30, 5000000)
    with rasterio.open(source, "w", **profile, transform=transform, sparse_ok=True, tiled=True):
        pass
    target = tmp_path / "x.zarr"
    arguments = build_command(
        source, target, "--nodata", "1", "--threads", "1", "--resampling", "cubic", "--max-zoom", "14"
    )
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not any(target.glob("*/b1/c/*")) and time.monotonic() < deadline:
            time.sleep(0.05)
            assert process.poll() is None, "the build must be long enough to be stopped"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert "nothing was published" in said
    assert "Traceback" not in said
    assert not (target / "zarr.json").exists()


def test_status_tells_what_is_there(scene: Path, tmp_path: Path) -> None:
    """B24: of a target that is published, and of none."""
    target = tmp_path / "x.zarr"
    assert run(scene, target, "--tms", "native").exit_code == 0
    result = run("--status", target)
    assert result.exit_code == 0, result.output
    assert "builder    none at work" in result.output
    assert f"from {scene}" in result.output
    assert "published  " in result.output
    result = run("--status", tmp_path / "missing")
    assert result.exit_code == 2


def test_resume_goes_on_and_mends(scene: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.zarr"
    assert run(scene, target, "--tms", "native").exit_code == 0
    first = next(path for path in sorted(target.rglob("c/*")) if path.is_dir())
    damaged = next(path for path in sorted(first.rglob("*")) if path.is_file())
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])
    assert run(scene, target, "--tms", "native").exit_code == 2
    assert run(scene, target, "--tms", "native", "--resume").exit_code == 0
    assert damaged.read_bytes() == whole


def test_clean_tells_what_it_deletes(scene: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.zarr"
    assert run(scene, target, "--tms", "native").exit_code == 0
    assert run("clean", target).output == "nothing to clean\n"
    assert run(scene, target, "--tms", "native", "--chunk", "64", "--overwrite").exit_code == 0
    kept = run("clean", target)
    assert kept.exit_code == 0
    assert re.fullmatch(r"former     [0-9a-f]{16}: \d+ objects, \d+\.\d MB, stays for 2[34]:[0-9:]+\n", kept.output)
    assert run("clean", target, "--grace", "0", "--dry-run").output.endswith("would go\n")
    assert run("clean", target, "--grace", "0s").output.endswith("deleted\n")
    assert run("clean", target, "--grace", "0").output == "nothing to clean\n"
    assert not (target / "0").exists()
    assert run("clean", target, "--grace", "soon").exit_code == 2
    assert run("clean", tmp_path / "missing").exit_code == 4
    assert "--grace" in run("clean", "--help").output
    assert "geozarr-build clean" in run("--help").output


def test_pack_makes_one_file_of_it(scene: Path, tmp_path: Path) -> None:
    target, file = tmp_path / "x.zarr", tmp_path / "x.zarr.zip"
    assert run(scene, target, "--tms", "native").exit_code == 0
    packed = run("pack", target, file)
    assert packed.exit_code == 0, packed.output
    assert packed.output.startswith(f"packed     {file}: ")
    assert conformance.check(file).exit_status == 0
    assert run("pack", target, file).exit_code == 2
    assert run("pack", target, file, "--overwrite", "--quiet").output == ""
    next(path for path in target.glob("0/*/c/*/*") if path.is_file()).unlink()
    assert run("pack", target, tmp_path / "y.zip").exit_code == 4
    assert not (tmp_path / "y.zip").exists()


def test_each_kind_of_failure_has_its_status(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, status in (
        (BuildConflictError("x", owner="somebody", since="now"), 5),
        (StoreError("put", "0/b1/c/0/0"), 4),
        (ChunkReadError("b1", "0/0", "cannot be read"), 4),
        (TargetExistsError("x", found="a pyramid", expected="nothing"), 2),
        (PlanChangedError("chunk", before=64, now=32), 2),
    ):

        def failing(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr("pyramids.cli.execute", failing)
        assert run(scene, tmp_path / "x.zarr").exit_code == status
