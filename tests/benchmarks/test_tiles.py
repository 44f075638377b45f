from __future__ import annotations

import http.server
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import pyramids
from benchmarks import tiles
from builds import FakeSource, scene
from geozarr import Bounds
from tiler.pyramid import open_pyramid

if TYPE_CHECKING:
    from collections.abc import Iterator


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers with the path; a path with `bad` is 404."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.path.encode() * 1000
        self.send_response(404 if "bad" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_each_path_is_asked_for_once(port: int) -> None:
    paths = [f"/{'bad' if number % 3 == 0 else 'good'}/{number}" for number in range(30)]
    found = tiles.ask(port, paths, 60.0)
    assert len(found["times"]) == 30
    assert found["statuses"] == {"200": 20, "404": 10}
    assert found["bytes"] == 1000 * sum(map(len, paths))


def test_time_ends_a_pass(port: int) -> None:
    found = tiles.ask(port, [f"/{number}" for number in range(100_000)], 0.3)
    assert 0 < len(found["times"]) < 100_000


def data(folder: Path) -> tiles.Data:
    given = FakeSource(scene("float32", (1, 3000, 3000)), nodata=None)
    pyramids.build(given, folder, tms="WebMercatorQuad", workers=1)
    opened = open_pyramid(folder)
    box = opened.levels.finest.grid.bounds
    width, height = (box.xmax - box.xmin) / 4, (box.ymax - box.ymin) / 4
    middle = Bounds(box.xmin + width, box.ymin + height, box.xmax - width, box.ymax - height)
    return tiles.Data("elevation", folder, Path("x.tif"), opened.levels, middle, ("v",), 0.0, 1.0)


def test_tiles_are_distinct_and_mostly_of_the_finest_levels(tmp_path: Path) -> None:
    given = data(tmp_path / "x.zarr")
    chosen = tiles.tiles_of(given, seed=1)
    assert len(set(chosen)) == len(chosen) > 20
    counts = Counter(z for z, _, _ in chosen)
    assert max(counts, key=counts.__getitem__) == int(given.levels.finest.name)
    assert tiles.tiles_of(given, seed=1) == chosen != tiles.tiles_of(given, seed=2)
    assert {str(z) for z, _, _ in chosen} == {level.name for level in given.levels.levels}


def test_pictures_are_compared_where_both_show_something() -> None:
    one = np.full((2, 2, 4), 255, np.int16)
    other = one.copy()
    other[0, 0] = 0, 0, 0, 0
    other[1, 1, :3] = 249
    assert tiles._difference(one, other) == pytest.approx(2.0)
    assert tiles._difference(one, np.zeros_like(one)) == 255.0
    assert tiles._difference(one, one[:1]) == 255.0


@pytest.mark.parametrize(("ours", "verdict"), [(1000.0, "met"), (100.0, "missed")])
def test_aims_follow_from_the_ratio(ours: float, verdict: str) -> None:
    def record(name: str, rate: float) -> dict[str, Any]:
        one = {"tiles_a_second": rate, "p50": 1.0, "p99": 30.0}
        return {"case": "elevation", "server": name, "passes": {"cold": one, "warm": one}, "start_seconds": 1.0}

    failed = {"case": "x", "server": "y", "failed": "z"}
    lines = tiles.aims([record("ours", ours), record("titiler-xarray", 30.0), failed])
    assert [line.rpartition(" ")[2] for line in lines if "beside" in line] == [verdict] * 2
    assert [line.rpartition(" ")[2] for line in lines if "p50" in line] == ["met"] * 2
    assert [line.rpartition(" ")[2] for line in lines if "p99" in line] == ["missed"] * 2
