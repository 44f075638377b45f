"""The same bytes from whoever does the work, and a worker that dies costs its units only (B21)."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner
from obstore.store import MemoryStore
from rasterio.transform import from_origin

import builds
import conformance
import pyramids
from faults import files
from geozarr import BuildIncompleteError, ChunkReadError, LimitError, ParameterError, SourceChangedError, Window
from geozarr import store as store_module
from pyramids import cli, cluster, lease, workers, workshop
from pyramids.sources import open_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TWO = ("--processes", "2", "--memory", "2G")
CHOICES: dict[str, Any] = {"tms": "native", "chunk": 64, "shard": 256}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bands and some units of work, one part of them empty."""
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    values = np.random.default_rng(1).integers(1, 4000, (2, 2300, 2100), dtype=np.uint16)
    values[:, :1024, 1024:] = 0
    profile = {"driver": "GTiff", "height": 2300, "width": 2100, "count": 2, "dtype": "uint16", "nodata": 0}
    with rasterio.open(
        path, "w", transform=from_origin(5e5, 5e6, 30, 30), crs="EPSG:32632", tiled=True, **profile
    ) as out:
        out.write(values)
    return path


@pytest.fixture(scope="module")
def expected(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one thread builds."""
    target = tmp_path_factory.mktemp("expected") / "x.zarr"
    pyramids.build(scene, target, workers=1, **CHOICES)
    assert conformance.check(str(target)).exit_status == 0
    return lasting(target)


def lasting(target: Path) -> dict[str, bytes]:
    """All files of a finished build, but for those that tell when, by whom and in how many threads."""
    return {key: data for key, data in files(target).items() if not key.endswith("/plan.json")}


@pytest.fixture(scope="module")
def two_processes() -> Iterator[ProcessPoolExecutor]:
    """A caller's own."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


class Serial(Executor):
    """Does what it is given at once, on the calling thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as executors do
            future.set_exception(error)
        return future


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["serial", "threads", "processes", "own processes"])
def test_b21_the_same_bytes_from_every_executor(
    kind: str, scene: Path, expected: dict[str, bytes], tmp_path: Path, two_processes: ProcessPoolExecutor
) -> None:
    executors: dict[str, Executor | None] = {
        "serial": Serial(),
        "threads": ThreadPoolExecutor(3),
        "processes": two_processes,
        "own processes": None,
    }
    processes = 2 if kind == "own processes" else 1
    reports: list[pyramids.Report] = []
    pyramids.build(
        scene,
        tmp_path / "x.zarr",
        executor=executors[kind],
        options=pyramids.Options(processes=processes, memory=2**31, **CHOICES),
        listener=reports.append,
    )
    assert lasting(tmp_path / "x.zarr") == expected
    last = reports[-1]
    assert last.computed == last.work
    assert last.objects == sum(1 for key in expected if "/c/" in key and ("b1/" in key or "b2/" in key)) > 10
    assert last.stages["decode"] > 0
    assert last.stages["encode"] > 0


@pytest.mark.faults
def test_b21_a_killed_worker_costs_its_units_only(
    scene: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own pool is made anew; the build does not even stop."""
    pools: list[Any] = []
    make = workers.Workers._made

    def made(self: workers.Workers) -> Executor:
        pools.append(make(self))
        return pools[-1]  # type: ignore[no-any-return]

    monkeypatch.setattr(workers.Workers, "_made", made)
    killed: list[int] = []

    def listener(_: pyramids.Report) -> None:
        victim = next(iter(pools[-1]._processes), None)
        if len(killed) < 2 and victim is not None:
            with contextlib.suppress(ProcessLookupError):  # it died with the one before
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    options = pyramids.Options(processes=2, memory=2**31, **CHOICES)
    pyramids.build(scene, tmp_path / "x.zarr", options, listener=listener)
    assert len(killed) == 2
    assert len(pools) >= 2
    assert lasting(tmp_path / "x.zarr") == expected


def test_b21_what_a_killed_worker_was_writing_goes(
    scene: Path, expected: dict[str, bytes], tmp_path: Path, two_processes: ProcessPoolExecutor
) -> None:
    """A file that is not yet in its place, among the objects and among what is handed on."""
    target = tmp_path / "x.zarr"

    def listener(_: pyramids.Report) -> None:
        for folder in (target / "0", next(target.glob(".build/*/plan.json")).parent / "handover"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "0#12345").write_bytes(b"half of it")

    options = pyramids.Options(memory=2**31, **CHOICES)
    pyramids.build(scene, target, options, executor=two_processes, listener=listener)
    assert lasting(target) == expected


class Deadly(builds.FakeSource):
    """A source that kills who reads it, unless it is where it was made."""

    def read(self, *args: Any, **kwargs: Any) -> Any:
        if os.getpid() != int(self.name):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(*args, **kwargs)

    def __reduce__(self) -> Any:
        return _deadly, (self.name,)


def _deadly(name: str) -> Deadly:
    values = np.ones((1, 300, 260), np.int16)
    return Deadly(values, nodata=-9999, block_shape=(64, 64), name=name)


@pytest.mark.faults
def test_b21_a_unit_that_kills_its_workers_is_named(tmp_path: Path) -> None:
    given = _deadly(str(os.getpid()))
    plan = builds.plan_for(given, tms="native", chunk=32, processes=2, memory=2**31)
    with pytest.raises(BuildIncompleteError, match=r"block 0/0 of level .* has lost its worker 3 times"):
        pyramids.execute(plan, given, tmp_path / "x.zarr")
    assert not (tmp_path / "x.zarr" / "zarr.json").exists()
    pyramids.execute(builds.plan_for(given, tms="native", chunk=32), given, tmp_path / "x.zarr", resume=True)
    assert conformance.check(str(tmp_path / "x.zarr")).exit_status == 0


@pytest.mark.faults
def test_b21_a_broken_executor_of_the_caller_ends_the_build(
    scene: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        killed: list[int] = []

        def listener(_: pyramids.Report) -> None:
            if not killed:
                killed.extend(pool._processes)
                os.kill(killed[0], signal.SIGKILL)

        with pytest.raises(BuildIncompleteError, match="executor"):
            pyramids.build(scene, tmp_path / "x.zarr", executor=pool, listener=listener, **CHOICES)
    pyramids.build(scene, tmp_path / "x.zarr", resume=True, **CHOICES)
    assert lasting(tmp_path / "x.zarr") == expected


@pytest.mark.faults
@pytest.mark.slow
def test_b21_a_dask_cluster_with_a_killed_worker(scene: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs="CRITICAL"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        killed: list[int] = []

        def listener(_: pyramids.Report) -> None:
            if not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        pyramids.build(
            scene, tmp_path / "x.zarr", executor=client.get_executor(), listener=listener, memory=2**31, **CHOICES
        )
    assert killed
    assert lasting(tmp_path / "x.zarr") == expected


@pytest.mark.faults
def test_what_a_worker_finds_is_told_here(
    scene: Path, tmp_path: Path, two_processes: ProcessPoolExecutor, data_dir: Path
) -> None:
    """Errors keep their type, their fields and their cause in words."""
    broken = data_dir / "broken" / "corrupt.tif"
    with pytest.raises(ChunkReadError) as caught:
        pyramids.build(broken, tmp_path / "x.zarr", executor=two_processes)
    assert caught.value.array == str(broken)
    assert any("corrupt" in note or "Read" in note for note in caught.value.__notes__)
    assert not (tmp_path / "x.zarr" / "zarr.json").exists()
    with pytest.raises(ParameterError, match=r"target.*ObjectStoreAdapter"):
        pyramids.build(scene, MemoryStore(), executor=two_processes, **CHOICES)
    large = builds.data_array(np.zeros((3000, 3000), np.float64))
    with pytest.raises(LimitError, match="save it"):
        pyramids.build(large, tmp_path / "y.zarr", executor=two_processes, **CHOICES)
    with pytest.raises(ParameterError, match="workers"):
        pyramids.build(scene, tmp_path / "z.zarr", processes=2, workers=2, **CHOICES)


def test_a_pool_that_forks_is_refused(scene: Path, tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool, pytest.raises(ParameterError, match="spawn"):
        pyramids.build(scene, tmp_path / "x.zarr", executor=pool, **CHOICES)
    assert not (tmp_path / "x.zarr" / "zarr.json").exists()


def test_sources_open_again_elsewhere(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their paths, also where another process is at home in another folder; under the name they were given."""
    monkeypatch.chdir(scene.parent)
    raster = pyramids.RasterSource(scene.name, nodata=7, bands="axis")
    builds.data_array(np.arange(12.0).reshape(3, 4)).to_dataset(name="v").to_zarr(
        "s.zarr", zarr_format=3, consolidated=False
    )
    stored = open_zarr("s.zarr", variables=["v"], nodata=3.0)
    held = pyramids.ArraySource(xr.open_zarr("s.zarr", consolidated=False, decode_coords="all", chunks=None))
    part, slices = Window(0, 0, 3, 4), [pyramids.Slice(0, 0)]
    sources = (raster, stored, held)
    packed = [(pickle.dumps(source), source.fingerprint, source.read(part, slices).values) for source in sources]
    monkeypatch.chdir(tmp_path)
    for source, (data, fingerprint, values) in zip(sources, packed, strict=True):
        again = pickle.loads(data)
        assert again.name == source.name
        assert again.fingerprint == fingerprint
        assert [item.nodata for item in again.variables] == [item.nodata for item in source.variables]
        np.testing.assert_array_equal(again.read(part, slices).values, values)


def test_a_worker_that_finds_another_source_says_so() -> None:
    """As on a machine where the path holds something else."""
    given = builds.FakeSource(np.ones((1, 64, 64), np.int16), nodata=0)
    plan = builds.plan_for(given, tms="native")
    given.fingerprint = "another"
    with pytest.raises(SourceChangedError):
        workshop.Workshop(plan, given, store_module.open_store("memory://"), folder="", ticket=lease.Ticket(1, "x"))


@pytest.mark.faults
def test_workers_stop_soon_when_the_build_does(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever works under a lease that is halted, gone or another's lets go at the next block and forgets the build."""
    monkeypatch.setattr(workshop, "LOOKS", 0.02)
    source = pyramids.RasterSource(scene)
    plan = builds.plan_for(source, **CHOICES)
    store = store_module.open_store(tmp_path / "x.zarr", create=True)
    for ending in ("halted", "gone", "another"):
        held = lease.Lease(store)
        with held:
            shop = workshop.Workshop(plan, source, store, folder=".build/x", ticket=held.ticket)
            away = pickle.loads(pickle.dumps(shop)).open()
            assert away is not shop
            assert pickle.loads(pickle.dumps(shop)).open() is away
            away.go_on()
            if ending == "halted":
                held.halt()
            elif ending == "another":
                monkeypatch.setattr(held, "_terms", lease.replace(held._terms, write_id="another"))
                store.put(".build/lease/000001.json", held._bytes())
        deadline = time.monotonic() + 30
        while away.plan is not None and not away._is_stopped and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(workshop.CancelledError):
            away.go_on()
        assert held.ticket.write_id not in workshop._SHOPS
        shop.close()


def test_a_cluster_that_is_not_there_is_refused() -> None:
    pytest.importorskip("distributed")
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(ParameterError, match="scheduler"), cluster.connected(address, timeout=0.5):
            pass


@pytest.mark.faults
@pytest.mark.slow
def test_b21_the_command_works_with_processes_and_with_a_cluster(
    scene: Path, expected: dict[str, bytes], tmp_path: Path, data_dir: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    choices = [part for name, value in CHOICES.items() for part in (f"--{name}", str(value))]
    run = CliRunner().invoke
    result = run(cli.main, [str(scene), str(tmp_path / "p.zarr"), *TWO, *choices])
    assert result.exit_code == 0, result.output
    assert "2 processes of 1 thread" in result.output
    assert lasting(tmp_path / "p.zarr") == expected
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None, silence_logs="CRITICAL"
    ) as started:
        address = started.scheduler_address
        result = run(cli.main, [str(scene), str(tmp_path / "d.zarr"), "--dask", address, *choices])
    assert result.exit_code == 0, result.output
    assert lasting(tmp_path / "d.zarr") == expected
    assert run(cli.main, [str(scene), "y.zarr", "--processes", "2", "--threads", "2"]).exit_code == 2
    broken = str(data_dir / "broken" / "corrupt.tif")
    failed = [run(cli.main, [broken, str(tmp_path / f"{more}.zarr"), "--quiet", *more]) for more in ((), TWO)]
    assert [result.exit_code for result in failed] == [4, 4]
    assert failed[0].stderr == failed[1].stderr
    assert len(failed[0].stderr.splitlines()) == 1


def test_a_process_starts_without_what_only_some_sources_need() -> None:
    """Each process of a build imports this; xarray and the registry of tile matrix sets take as long as the rest."""
    heavy = ("xarray", "pandas", "zarr", "morecantile", "pydantic", "rioxarray", "distributed", "rich")
    code = f"import sys, pyramids.workshop; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
