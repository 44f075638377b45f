"""The service as a process: settings taken anew, readiness, stopping, clients that leave."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gated import GatedStore
from served import Served, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.faults

TILE = "tiles/WebMercatorQuad/10/215/391.png"  # the south-east one, see conftest.py
OTHER_TILE = "tiles/WebMercatorQuad/10/214/391.png"


@pytest.fixture
def slow(stores: dict[str, Any]) -> Iterator[GatedStore]:
    with GatedStore(stores["count"].path.parent) as store:
        yield store


def is_running(number: int) -> bool:
    try:
        return "spawn_main" in Path(f"/proc/{number}/cmdline").read_text()
    except OSError:
        return False


def names(served: Served) -> list[str]:
    return [item["name"] for item in served.json("/")["datasets"]]


def in_background(served: Served, path: str) -> tuple[threading.Thread, list[tuple[int, bytes]]]:
    """Ask on another thread; what is answered is put into the list, a status of 0 where nothing is."""
    answers: list[tuple[int, bytes]] = []

    def ask() -> None:
        try:
            answers.append(served.get(path))
        except OSError:
            answers.append((0, b""))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread, answers


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hang_up_takes_datasets_anew_and_drops_no_request(
    stores: dict[str, Any], tmp_path: Path, workers: int
) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(f"[datasets]\none = '{stores['count'].path}'\ntwo = '{stores['height'].path}'\n")
    with serving("--config", file, "--workers", workers, count=2) as served:
        assert names(served) == ["one", "two"]
        before = served.get(f"/one/{TILE}")
        is_over = threading.Event()

        def ask() -> list[int]:
            statuses = []
            while not is_over.is_set():
                statuses.append(served.get(f"/one/{TILE}")[0])
            return statuses

        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask) for _ in range(3)]
            try:
                file.write_text(f"[datasets]\none = '{stores['count'].path}'\nthree = '{stores['colour'].path}'\n")
                first = served.workers()
                served.tell(signal.SIGHUP)
                until(lambda: served.logged("taken anew"), 60)
                assert names(served) == ["one", "three"]
                assert served.get("/two/info")[0] == 404
                assert served.get(f"/three/{TILE}")[0] == 200
            finally:
                is_over.set()
            statuses = [status for result in asking for status in result.result()]
        assert len(statuses) > 10
        assert set(statuses) == {200}
        assert served.get(f"/one/{TILE}") == before
        assert len(served.workers()) == len(first)
        assert not set(served.workers()) & set(first)


@pytest.mark.parametrize("workers", [1, 2])
def test_settings_that_are_wrong_leave_the_former_ones_in_use(
    stores: dict[str, Any], tmp_path: Path, workers: int
) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(f"[datasets]\none = '{stores['count'].path}'\n")
    with serving("--config", file, "--workers", workers) as served:
        first = served.workers()
        file.write_text(f"max_ages = 1\n[datasets]\ntwo = '{stores['count'].path}'\n")
        served.tell(signal.SIGHUP)
        until(lambda: served.logged("the settings stay as they were"))
        (record,) = [item for item in served.records() if "stay as they were" in item.get("message", "")]
        assert record["level"] == "error"
        assert str(file) in record["message"]
        assert "max_ages" in record["message"]
        assert names(served) == ["one"]
        assert served.workers() == first


def test_what_needs_a_restart_is_told(stores: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    place = f"[datasets]\none = '{stores['count'].path}'\n"
    file.write_text(f"max_age = 1\n{place}")
    with serving("--config", file) as served:
        file.write_text(f"max_age = 2\n{place}gone = '{tmp_path / 'gone.zarr'}'\n")
        served.tell(signal.SIGHUP)
        until(lambda: served.logged("need a restart: max_age"))
        until(lambda: served.logged("dataset gone cannot be opened"))
        assert served.get(f"/one/{TILE}")[0] == 200
        assert served.get("/gone/info")[0] == 502
        assert served.get("/readyz")[0] == 200  # never open, and so not missed


def test_a_name_that_moves_is_read_from_its_new_place(stores: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(f"[datasets]\none = '{stores['count'].path}'\n")
    with serving("--config", file) as served:
        before = served.get(f"/one/{TILE}")
        file.write_text(f"[datasets]\none = '{stores['height'].path}'\n")
        served.tell(signal.SIGHUP)
        until(lambda: served.logged("taken anew"))
        assert served.json("/one/info")["variables"][0]["name"] == "height"
        assert served.get(f"/one/{TILE}") != before


def test_readiness_follows_the_datasets_that_have_been_open(stores: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "copy.zarr"
    shutil.copytree(stores["count"].path, path)
    with serving(path, stores["height"].path, "--set", "refresh=1", count=2) as served:
        assert served.get("/readyz") == (200, b'{"status":"ready"}')
        path.rename(tmp_path / "away.zarr")
        until(lambda: served.get("/readyz")[0] == 503)
        assert served.json("/readyz") == {"status": "not ready", "datasets": ["copy"]}
        assert served.get("/healthz")[0] == 200
        assert served.get(f"/height/{TILE}")[0] == 200
        (tmp_path / "away.zarr").rename(path)
        until(lambda: served.get("/readyz")[0] == 200)
        assert len([item for item in served.records() if "copy" in item.get("message", "")]) == 1


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_t21_a_service_that_is_told_to_stop_finishes_what_it_is_at(slow: GatedStore, workers: int) -> None:
    with serving(f"slow={slow.url}/count.zarr", "--workers", workers, "--access-log") as served:
        # Each of several processes has its own connections; enough of them that one is at the same as the slow request.
        idle = [served.connection() for _ in range(6)]
        for opened in idle:
            opened.request("GET", "/readyz")
            response = opened.getresponse()
            assert (response.status, response.read()) == (200, b'{"status":"ready"}')
        slow.gate.clear()
        thread, answers = in_background(served, f"/slow/{TILE}")
        until(slow.chunks)
        begun = time.monotonic()
        served.tell(signal.SIGTERM)
        statuses = []
        until(lambda: is_refused(served.port))  # the processes have been told, one after the other
        for opened in idle:
            try:
                opened.request("GET", "/readyz")
                response = opened.getresponse()
                statuses.append(
                    (response.status, json.loads(response.read())["status"], response.getheader("connection"))
                )
            except OSError:
                pass  # of a process that has nothing more to do
            opened.close()
        assert statuses
        assert set(statuses) == {(503, "stopping", "close")}
        assert served.process.poll() is None
        time.sleep(1)
        slow.gate.set()
        thread.join(20)
        assert answers[0][0] == 200
        assert served.process.wait(20) == 0
        assert time.monotonic() - begun < 20
        assert not served.workers()


@pytest.mark.parametrize("workers", [1, 2])
def test_t21_what_is_not_done_in_time_is_given_up(slow: GatedStore, workers: int) -> None:
    with serving(f"slow={slow.url}/count.zarr", "--workers", workers, "--set", "shutdown=1") as served:
        slow.gate.clear()
        thread, answers = in_background(served, f"/slow/{TILE}")
        until(slow.chunks)
        begun = time.monotonic()
        served.tell(signal.SIGTERM)
        assert served.process.wait(20) == 0
        assert 0.9 < time.monotonic() - begun < 3
        thread.join(20)
        assert answers == [(503, b'{"detail":"the service stops"}')]
        assert not served.workers()


@pytest.mark.parametrize(
    ("workers", "first", "second"),
    [
        (1, signal.SIGTERM, signal.SIGTERM),
        (1, signal.SIGINT, signal.SIGTERM),
        (2, signal.SIGTERM, signal.SIGINT),
    ],
)
def test_t21_a_second_signal_ends_everything_at_once(
    slow: GatedStore, workers: int, first: signal.Signals, second: signal.Signals
) -> None:
    with serving(f"slow={slow.url}/count.zarr", "--workers", workers) as served:
        slow.gate.clear()
        in_background(served, f"/slow/{TILE}")
        until(slow.chunks)
        workers_then = served.workers()
        served.tell(first)
        time.sleep(0.5)
        assert served.process.poll() is None
        begun = time.monotonic()
        served.tell(second)
        assert served.process.wait(20) == 128 + second
        assert time.monotonic() - begun < 1
        assert len(workers_then) == (workers if workers > 1 else 0)
        until(lambda: not served.workers())


def test_t21_an_interrupt_stops_as_well(stores: dict[str, Any]) -> None:
    with serving(stores["count"].path) as served:
        served.tell(signal.SIGINT)
        assert served.process.wait(20) == 130


def test_a_worker_that_dies_is_replaced_and_none_outlives_its_parent(stores: dict[str, Any]) -> None:
    with serving(stores["count"].path, "--workers", "2") as served:
        first = served.workers()
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(served.workers()) == 2 and first[0] not in served.workers())
        until(lambda: all(served.get(f"/count/{TILE}")[0] == 200 for _ in range(4)))
        last = served.workers()
        served.tell(signal.SIGKILL)
        served.process.wait(20)
        until(lambda: not any(is_running(number) for number in last))


def test_t14_work_that_waits_for_a_client_that_has_left_is_dropped(slow: GatedStore) -> None:
    with serving(f"slow={slow.url}/count.zarr", "--set", "renders_running=1", "--access-log") as served:
        slow.gate.clear()
        thread, answers = in_background(served, f"/slow/{TILE}")
        until(slow.chunks)
        with socket.create_connection(("127.0.0.1", served.port), timeout=20) as leaving:
            leaving.sendall(f"GET /slow/{OTHER_TILE} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
            time.sleep(0.3)
        until(lambda: any(record.get("status") == 499 for record in served.records()))
        slow.gate.set()
        thread.join(20)
        assert answers[0][0] == 200
        asked = len(slow.chunks())
        assert served.get("/slow/tiles/WebMercatorQuad/9/107/195.png")[0] == 200  # after it in the same lane
        read = [path for path in slow.chunks()[asked:] if "/10/" in path]
        assert asked == 1
        assert read == []
