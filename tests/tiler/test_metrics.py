"""What the service counts, alone and with several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from served import PROJECT, serving, until
from tiler import metrics
from tiler.app import create_app
from tiler.metrics import BUCKETS, FAMILIES, Numbers
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

TILES = "tiles/WebMercatorQuad"
TILE = f"/count/{TILES}/10/215/391.png"
OTHER = f"/count/{TILES}/10/214/391.png"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    """Read as Prometheus does."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def total(samples: Samples, name: str) -> float:
    return sum(number for (found, _), number in samples.items() if found == name)


@pytest.fixture
def client(stores: dict[str, Any]) -> Iterator[TestClient]:
    datasets = tuple(Dataset(name, stores[name].path) for name in ("count", "sharded", "native"))
    with TestClient(create_app(Settings(datasets, metrics=True)), raise_server_exceptions=False) as client:
        yield client


def scrape(client: TestClient) -> Samples:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    return samples_of(response.text)


def test_there_are_no_metrics_unless_they_are_asked_for(stores: dict[str, Any]) -> None:
    client = TestClient(create_app(Settings((Dataset("count", stores["count"].path),))))
    assert client.get("/metrics").status_code == 404


def test_requests_are_counted_by_endpoint_and_status(client: TestClient) -> None:
    asked = {
        ("tile", "200"): [TILE, OTHER, TILE],
        ("tile", "404"): [f"/count/{TILES}/10/0/0.png", f"/nothing/{TILES}/0/0/0.png"],
        ("tile", "400"): [f"/count/{TILES}/x/0/0.png"],
        ("/{dataset}/info", "200"): ["/count/info", "/native/info"],
        ("/{dataset}/info", "404"): ["/nothing/info", "/other/info"],
        ("/{dataset}/{tms}/tilejson.json", "200"): ["/count/WebMercatorQuad/tilejson.json"],
        ("none", "404"): ["/count", "/a/b/c/d/e", "/%00"],
        ("none", "400"): ["/" + "x" * 5000],
        ("/", "200"): ["/"],
    }
    for (_, status), paths in asked.items():
        for path in paths:
            assert client.get(path).status_code == int(status), path
    assert client.get(TILE, headers={"If-None-Match": "*"}).status_code == 304
    found = scrape(client)
    for (endpoint, status), paths in asked.items():
        assert value(found, "geozarr_requests_total", endpoint=endpoint, status=status) == len(paths)
    assert value(found, "geozarr_requests_total", endpoint="tile", status="304") == 1
    assert total(found, "geozarr_requests_total") == sum(map(len, asked.values())) + 1
    assert value(scrape(client), "geozarr_requests_total", endpoint="/metrics", status="200") == 1


def test_no_text_of_a_request_becomes_a_label(client: TestClient) -> None:
    before = {key for key in scrape(client) if key[0] == "geozarr_requests_total"}
    for number in range(30):
        client.get(f"/name{number}/info")
        client.get(f"/{number}")
        client.get(f"/name{number}/{TILES}/{number}/0/0")
        client.request("DELETE", f"/{number}/info")
    after = {key for key in scrape(client) if key[0] == "geozarr_requests_total"}
    assert len(after - before) == 5  # info 404, none 404, none 405, tile 404; and /metrics 200 itself


def test_tiles_are_counted_by_where_they_came_from(client: TestClient) -> None:
    paths = [TILE, TILE, TILE, TILE.replace(".png", ".webp"), OTHER, f"/sharded/{TILES}/10/215/391.png"]
    origins = [client.get(path).headers["server-timing"].partition(",")[0] for path in paths]
    assert origins == ["cache;desc=miss", "cache;desc=hit", "cache;desc=hit", *["cache;desc=miss"] * 3]
    found = scrape(client)
    tiles = {source: value(found, "geozarr_tiles_total", source=source) for source in ("cache", "chunks", "store")}
    assert tiles == {"cache": 2, "chunks": 1, "store": 3}  # the WebP of a chunk that the PNG has brought


def test_server_timing_says_how_long_reading_and_drawing_took(client: TestClient) -> None:
    cache, read, draw = client.get(TILE).headers["server-timing"].split(", ")
    assert cache == "cache;desc=miss"
    for part, name in ((read, "read"), (draw, "draw")):
        key, _, number = part.partition(";dur=")
        assert (key, float(number) > 0) == (name, True)


def test_reading_is_told_from_drawing(stores: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    render = sys.modules["tiler.service"].render
    held = threading.Event()

    def slow(*arguments: Any) -> Any:
        held.wait(0.2)
        return render(*arguments)

    monkeypatch.setattr("tiler.service.render", slow)
    with TestClient(create_app(Settings((Dataset("count", stores["count"].path),)))) as client:
        _, read, draw = client.get(TILE).headers["server-timing"].split(", ")
    assert float(draw.partition("=")[2]) >= 200
    assert float(read.partition("=")[2]) < 200


def test_stores_and_caches_are_counted(client: TestClient, stores: dict[str, Any]) -> None:
    assert value(scrape(client), "geozarr_store_requests_total", dataset="count") == 0
    client.get("/count/info")
    opened = scrape(client)
    document = len((stores["count"].path / "zarr.json").read_bytes())
    assert value(opened, "geozarr_store_bytes_total", dataset="count") == document
    client.get(TILE)
    found = scrape(client)
    chunk = len((stores["count"].path / "10/count/c/1/1").read_bytes())
    assert value(found, "geozarr_store_bytes_total", dataset="count") == document + chunk
    asked = value(found, "geozarr_store_requests_total", dataset="count")
    assert asked - value(opened, "geozarr_store_requests_total", dataset="count") == 1
    assert value(found, "geozarr_store_requests_total", dataset="native") == 0
    # The description of the dataset is kept there too.
    entries, size = (
        value(found, name, cache="tiles") - value(opened, name, cache="tiles")
        for name in ("geozarr_cache_entries", "geozarr_cache_bytes")
    )
    assert (entries, size) == (1, len(client.get(TILE).content) + 256)
    assert value(found, "geozarr_cache_bytes", cache="chunks") == 256 * 256 * 2 + 256  # uint16
    assert value(found, "geozarr_datasets_open") == 1
    assert value(found, "geozarr_datasets") == 3
    assert value(found, "geozarr_build_info", version=version("geozarr-pyramids")) == 1


def test_memory_and_descriptors_are_those_of_the_process(client: TestClient) -> None:
    found = scrape(client)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    resident = int(status["VmRSS"].split()[0]) * 1024
    assert value(found, "process_resident_memory_bytes") == pytest.approx(resident, rel=0.05)
    assert value(found, "process_open_fds") == pytest.approx(len(list(Path("/proc/self/fd").iterdir())), abs=4)
    assert 0 < value(found, "process_cpu_seconds_total") < 10_000


def test_seconds_fall_into_buckets_that_add_up() -> None:
    counted = metrics.Metrics()
    seconds = [0.0001, 0.0005, 0.0006, 0.3, 9.9, 10.0, 10.1, 700.0]
    for number in seconds:
        counted.count("tile", 200, number)
    found = samples_of(metrics.write(Numbers(histograms=counted._histograms())).decode())
    for bound in BUCKETS:
        expected = sum(number <= bound for number in seconds)
        assert value(found, "geozarr_request_seconds_bucket", endpoint="tile", le=str(bound)) == expected
    assert value(found, "geozarr_request_seconds_bucket", endpoint="tile", le="+Inf") == 8
    assert value(found, "geozarr_request_seconds_count", endpoint="tile") == 8
    assert value(found, "geozarr_request_seconds_sum", endpoint="tile") == pytest.approx(sum(seconds))


COUNTERS = [name for name, family in FAMILIES.items() if family.kind == "counter"]
NUMBERS = st.builds(
    Numbers,
    st.dictionaries(st.tuples(st.sampled_from(COUNTERS), st.tuples(st.sampled_from("ab"))), st.integers(0, 2**40)),
    st.dictionaries(
        st.tuples(st.just("geozarr_request_seconds"), st.tuples(st.sampled_from("ab"))),
        st.lists(st.integers(0, 2**40), min_size=len(BUCKETS) + 2, max_size=len(BUCKETS) + 2),
    ),
)


@given(st.lists(NUMBERS, max_size=4))
def test_counts_of_processes_add_up_in_any_order(several: list[Numbers]) -> None:
    sums = []
    for order in (several, several[::-1]):
        numbers = Numbers()
        for item in order:
            numbers.add(Numbers.from_json(item.to_json()))
        sums.append(numbers)
    assert sums[0] == sums[1]
    expected: Counter[Any] = Counter()
    for item in several:
        expected.update(item.values)
    assert sums[0].values == dict(expected)


def test_what_all_processes_say_alike_is_not_added_up() -> None:
    numbers, open_, running = Numbers(), ("geozarr_datasets_open", ()), ("geozarr_renders_running", ())
    numbers.add(Numbers({open_: 3, running: 3}))
    numbers.add(Numbers({open_: 5, running: 5}))
    numbers.add(Numbers({open_: 7, running: 7}), is_alive=False)
    assert numbers.values == {open_: 5, running: 8}


def test_a_process_counts_on_where_one_that_has_ended_has_stopped(tmp_path: Path) -> None:
    requests, running = ("geozarr_tiles", ("store",)), ("geozarr_renders_running", ())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"{ended.pid}.json"
    left.write_text(Numbers({requests: 7, running: 1}).to_json())
    alive = tmp_path / f"{os.getppid()}.json"
    alive.write_text(Numbers({requests: 5, running: 1}).to_json())
    ledger = metrics._Ledger(tmp_path)
    assert ledger.taken_over == Numbers({requests: 7})
    assert not left.exists()
    assert ledger.others() == [(Numbers({requests: 5, running: 1}), True)]
    ledger.write(Numbers({requests: 9}))
    assert {path.name for path in tmp_path.iterdir()} == {alive.name, f"{os.getpid()}.json"}
    assert metrics._Ledger(tmp_path).taken_over == Numbers({requests: 9})  # its own number, which another one had


@pytest.mark.faults
def test_several_processes_tell_the_same_sums_and_a_restart_loses_nothing(
    stores: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(f"[datasets]\ncount = '{stores['count'].path}'\n")
    (tmp_path / "tmp").mkdir()
    environ = {"TMPDIR": str(tmp_path / "tmp")}

    def found() -> Samples:
        return samples_of(served.get("/metrics")[1].decode())

    def tiles(expected: int) -> bool:
        return {value(found(), "geozarr_requests_total", endpoint="tile", status="200") for _ in range(6)} == {expected}

    with serving("--config", file, "--workers", "2", "--metrics", environ=environ) as served:
        until(lambda: value(found(), "geozarr_workers") == 2)
        for _ in range(40):
            assert served.get(TILE)[0] == 200
        until(lambda: tiles(40))
        memory = sum(memory_of(number) for number in served.workers())
        assert value(found(), "process_resident_memory_bytes") == pytest.approx(memory, rel=0.1)
        first = served.workers()
        served.tell(signal.SIGHUP)
        until(lambda: served.logged("taken anew"), 60)
        assert not set(first) & set(served.workers())
        until(lambda: tiles(40))
        for _ in range(10):
            served.get(TILE)
        os.kill(served.workers()[0], signal.SIGKILL)
        until(lambda: len(served.workers()) == 2)
        until(lambda: value(found(), "geozarr_workers") == 2)
        assert 40 <= value(found(), "geozarr_requests_total", endpoint="tile", status="200") <= 50
        (folder,) = (tmp_path / "tmp").glob("geozarr-serve-*")
        assert len(list(folder.glob("*.json"))) <= 4
        served.tell(signal.SIGTERM)
        assert served.process.wait(20) == 0
    assert not list((tmp_path / "tmp").iterdir())


def memory_of(number: int) -> int:
    return int(Path(f"/proc/{number}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_client_library_is_loaded_when_it_is_asked_for() -> None:
    code = "import sys, tiler.app, tiler.cli, tiler.metrics; print('prometheus_client' in sys.modules)"
    environ = {**os.environ, "PYTHONPATH": str(PROJECT)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert found.stdout.strip() == "False"


def test_numbers_are_json() -> None:
    assert json.loads(Numbers().to_json()) == {"values": [], "histograms": []}
