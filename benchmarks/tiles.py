"""Tiles a second of servers, side by side: `python -m benchmarks.tiles`, or `make bench-tiles`.

    elevation   float32 from an aligned pyramid, one band, stretched and coloured
    rgb         uint8, three bands

Each server is started alone, warmed up with tiles of its own, and asked for the same tiles by the same client over the
same number of connections, in three passes: *cold*, each tile for the first time; *warm*, the same tiles in other
colours, so that their data may be at hand and their pictures are not; *again*, just the same once more. Servers take
turns, round after round, forwards and backwards; medians count. Pictures are compared with ours.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import pyramids
from benchmarks import __main__ as bench
from benchmarks import environments, measure, servers
from benchmarks import settings as settings_module
from benchmarks.cases import CASES, shrink
from benchmarks.measure import Failure
from benchmarks.settings import Settings
from geozarr import Bounds
from tiler import describe, select
from tiler.pyramid import open_pyramid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from geozarr import Levels
    from tiler.pyramid import Pyramid

HERE = Path(__file__).parent
CLIENT = HERE / "contenders" / "tile_client.py"
RESULTS = "results-tiles.json"
PASSES = ("cold", "warm", "again")
CONNECTIONS = 4
SIDE, QUICK_SIDE = 16_384, 2_048  # rows of the inputs
SECONDS, QUICK_SECONDS = 10.0, 2.0  # that a pass lasts, unless all tiles have been asked for before
WARM_UP = 40  # requests before the clock: libraries load, kernels compile
PAUSE = 2.0  # seconds after these, for what a server loads in the background
VERIFIED = 12  # pictures that are compared
WARMING = 120.0  # seconds that these may take
SAMPLE = 0.5  # seconds between two looks at the memory of a server
ROUNDS = 3


@dataclass(frozen=True)
class Data:
    """What is served.

    Parameters
    ----------
    name : str
        Name of the case.
    pyramid, cog : Path
        Our pyramid, and a web-optimised COG of the same source.
    levels : Levels
        Of the pyramid.
    box : Bounds
        The middle of the data, in units of its CRS: there are no corners without data.
    variables : tuple of str
        One, or red, green and blue.
    low, high : float
        What the picture is stretched over.
    """

    name: str
    pyramid: Path
    cog: Path
    levels: Levels
    box: Bounds
    variables: tuple[str, ...]
    low: float
    high: float

    @property
    def is_coloured(self) -> bool:
        """True for three bands."""
        return len(self.variables) == 3


@dataclass(frozen=True)
class Server:
    """A program that answers tiles.

    Parameters
    ----------
    name : str
        In tables.
    environment : str
        See `environments.python_of`.
    command : callable
        Arguments after the interpreter, from the data, the port and the number of processes.
    path : callable
        Path and query of a tile, from the data, (z, x, y) and the name of a colormap.
    environ : callable
        Variables of its environment, from the data.
    cases : tuple of str
        What it serves.
    """

    name: str
    environment: str
    command: Callable[[Data, int, int], list[str]]
    path: Callable[[Data, tuple[int, int, int], str], str]
    environ: Callable[[Data], dict[str, str]] = lambda _: {}
    cases: tuple[str, ...] = ("elevation", "rgb")


def _ours(data: Data, tile: tuple[int, int, int], colormap: str) -> str:
    z, x, y = tile
    return f"/{data.name}/tiles/WebMercatorQuad/{z}/{x}/{y}.png?{_look(data, colormap)}"


def _titiler_xarray(data: Data, tile: tuple[int, int, int], colormap: str) -> str:
    z, x, y = tile
    variable = f"variable={data.variables[0]}" if not data.is_coloured else "variable=data&bidx=1&bidx=2&bidx=3"
    # The group is given by hand: it does not choose one.
    where = f"url={data.pyramid}&group={z}&{variable}&tilesize=256"
    return f"/md/tiles/WebMercatorQuad/{z}/{x}/{y}.png?{where}&{_look(data, colormap)}"


def _titiler_cog(data: Data, tile: tuple[int, int, int], colormap: str) -> str:
    z, x, y = tile
    return f"/cog/tiles/WebMercatorQuad/{z}/{x}/{y}.png?url={data.cog}&tilesize=256&{_look(data, colormap)}"


def _xpublish(data: Data, tile: tuple[int, int, int], colormap: str) -> str:
    z, x, y = tile
    look = f"style=raster/{colormap}&colorscalerange={data.low:g},{data.high:g}&width=256&height=256&f=png"
    return f"/tiles/WebMercatorQuad/{z}/{y}/{x}?variables={data.variables[0]}&{look}"


def _look(data: Data, colormap: str) -> str:
    if data.is_coloured:  # it has no colormap: another range makes other pictures
        return f"rescale={data.low:g},{data.high - COLORMAPS.index(colormap):g}"
    return f"rescale={data.low:g},{data.high:g}&colormap_name={colormap}"


def _uvicorn(application: str) -> Callable[[Data, int, int], list[str]]:
    def command(_: Data, port: int, workers: int) -> list[str]:
        folder = str(HERE / "contenders")
        words = ["-m", "uvicorn", application, "--app-dir", folder, "--port", str(port)]
        words += ["--workers", str(workers)]
        return [*words, "--log-level", "warning", "--no-access-log"]

    return command


def _serve(data: Data, port: int, workers: int) -> list[str]:
    return ["-m", "tiler.cli", f"{data.name}={data.pyramid}", "--port", str(port), "--workers", str(workers)]


# What GDAL's documentation of its virtual file systems and TiTiler's of its settings ask for.
_GDAL = {"GDAL_CACHEMAX": "256", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "VSI_CACHE": "TRUE"}
COLORMAPS = ("viridis", "magma")
SERVERS = (
    Server("ours", "main", _serve, _ours),
    Server("titiler-xarray", "titiler", _uvicorn("titiler_app:app"), _titiler_xarray, lambda _: _GDAL),
    Server("titiler-cog", "titiler", _uvicorn("titiler_app:app"), _titiler_cog, lambda _: _GDAL),
    Server(
        "xpublish-tiles", "xpublish-tiles", _uvicorn("xpublish_app:app"), _xpublish,
        lambda data: {"STORE": str(data.pyramid)}, ("elevation",),
    ),
)  # fmt: skip


def tiles_of(data: Data, *, seed: int) -> list[tuple[int, int, int]]:
    """List the tiles in the middle of the data, z, x, y, in no order; three of four are of the finest level."""
    levels = data.levels
    assert levels.tms is not None, "it is aligned"
    tiles = []
    for level in levels.levels:
        limits = levels.tms.limits_of(level.name, data.box)
        rows = range(limits.minTileRow, limits.maxTileRow + 1)
        cols = range(limits.minTileCol, limits.maxTileCol + 1)
        tiles += [(int(level.name), col, row) for row, col in itertools.product(rows, cols)]
    random.Random(seed).shuffle(tiles)
    return tiles


def make_data(name: str, settings: Settings) -> Data:
    """Build the pyramid and the COG of a case."""
    case = next(case for case in CASES if case.name == name)
    side = QUICK_SIDE if settings.is_quick else min(SIDE, case.recipe.shape[0])
    case = shrink(case, side)
    source = bench.make_input(case, settings.cache / "inputs")
    pyramid, cog = (settings.outputs / f"{name}.{ending}" for ending in ("zarr", "tif"))
    bands = "axis" if name == "rgb" else "variables"
    plan = pyramids.build(source, pyramid, bands=bands, max_zoom=case.max_zoom, overwrite=True)
    job = {"source": str(source), "target": str(cog), "tms": True, "max_zoom": case.max_zoom, "resampling": "bilinear"}
    job |= {"method": "average", "threads": os.cpu_count() or 1, "settings": {"BLOCKSIZE": 256, "COMPRESS": "DEFLATE"}}
    measure.run(Path(sys.executable), HERE / "contenders" / "gdal_cog.py", job, timeout=3600)
    opened = open_pyramid(pyramid)
    assert opened.data_bounds is not None, "our builder tells"
    bounds = select.transform_bounds(opened.data_bounds, describe.longitude_latitude(), opened.levels.crs)
    assert bounds is not None, "they have met"
    margin = (bounds.xmax - bounds.xmin) / 8, (bounds.ymax - bounds.ymin) / 8
    box = Bounds(bounds.xmin + margin[0], bounds.ymin + margin[1], bounds.xmax - margin[0], bounds.ymax - margin[1])
    variables = ("red", "green", "blue") if name == "rgb" else (plan.variables[0].name,)
    low, high = (0.0, 255.0) if name == "rgb" else _stretch(opened)
    return Data(name, pyramid, cog, opened.levels, box, variables, low, high)


def _stretch(pyramid: Pyramid) -> tuple[float, float]:
    """Range of most values, in round numbers: a picture of one colour would be no test of anything."""
    statistics = pyramid.data_variables[0].statistics
    assert statistics is not None, "our builder stores them"
    return 100.0 * math.floor(statistics.low / 100), 100.0 * math.ceil(statistics.high / 100)


def ask(port: int, paths: Sequence[str], seconds: float) -> dict[str, Any]:
    """Have the client ask, in a process of its own."""
    job = {"port": port, "paths": list(paths), "connections": CONNECTIONS, "seconds": seconds}
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "job.json", Path(folder) / "found.json"
        given.write_text(json.dumps(job))
        subprocess.run([sys.executable, CLIENT, given, found], check=True)
        answer: dict[str, Any] = json.loads(found.read_text())
    return answer


def serve_once(server: Server, data: Data, settings: Settings, number: int, workers: int) -> dict[str, Any]:
    """Start a server, and ask it in three passes.

    Raises
    ------
    Failure
        If it is not installed or does not come up.
    """
    seconds = QUICK_SECONDS if settings.is_quick else SECONDS
    tiles = tiles_of(data, seed=number)
    spare, tiles = tiles[:WARM_UP], tiles[WARM_UP:]
    found: dict[str, Any] = {"passes": {}}
    python = environments.python_of(server.environment, settings.cache / "environments")
    port = servers.free_port()
    command = [str(python), *server.command(data, port, workers)]
    url = f"http://127.0.0.1:{port}{server.path(data, spare[0], COLORMAPS[0])}"
    begun = time.perf_counter()
    with servers.up(command, url, server.environ(data)) as pid:
        found["start_seconds"] = time.perf_counter() - begun  # until it has answered the first tile
        watch = measure.Watch(pid, sample=SAMPLE)
        ask(port, [server.path(data, tile, colormap) for tile in spare for colormap in COLORMAPS], WARMING)
        time.sleep(PAUSE)
        for name, colormap in zip(PASSES, (COLORMAPS[0], COLORMAPS[1], COLORMAPS[1]), strict=True):
            answer = ask(port, [server.path(data, tile, colormap) for tile in tiles], seconds)
            times = sorted(answer.pop("times"))
            answer["tiles_a_second"] = len(times) / answer["seconds"]
            answer["p50"], answer["p99"] = (1000 * times[int(len(times) * part)] for part in (0.5, 0.99))
            found["passes"][name] = answer | {"count": len(times)}
            tiles = tiles[: len(times)]  # the same again, and no others
        found["pictures"] = [_picture(port, server.path(data, tile, COLORMAPS[0])) for tile in tiles[:VERIFIED]]
        watch.stop()
    return found | {"peak_bytes": watch.peak}


def _picture(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGBA"), np.int16)


def run_case(name: str, settings: Settings, workers: int) -> list[dict[str, Any]]:
    """Ask all servers of a case, round after round."""
    print(f"\n{name}: making the data", flush=True)
    data = make_data(name, settings)
    runs: dict[str, list[dict[str, Any]]] = {server.name: [] for server in SERVERS if name in server.cases}
    failed: dict[str, str] = {}
    for number in range(settings.rounds):
        for server in SERVERS[:: -1 if number % 2 else 1]:
            if server.name not in runs or server.name in failed:
                continue
            print(f"  round {number + 1}, {server.name} ... ", end="", flush=True)
            try:
                found = serve_once(server, data, settings, number, workers)
            except Failure as failure:
                failed[server.name] = failure.reason
                print(f"failed: {failure.reason}", flush=True)
                continue
            runs[server.name].append(found)
            print(", ".join(f"{it} {found['passes'][it]['tiles_a_second']:.0f}/s" for it in PASSES), flush=True)
    for path in (data.pyramid, data.cog):
        measure.remove(path)
    ours = runs["ours"]
    return [
        {"case": name, "server": server, **({"failed": failed[server]} if server in failed else _summary(found, ours))}
        for server, found in runs.items()
    ]


def _summary(runs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, Any]:
    passes = {name: _medians([run["passes"][name] for run in runs]) for name in PASSES}
    pairs = [
        pair
        for run, other in zip(runs, ours, strict=False)
        for pair in zip(run["pictures"], other["pictures"], strict=False)
        if (pair[0][..., 3] == 255).any() or (pair[1][..., 3] == 255).any()
    ]
    return {
        "passes": passes,
        "peak_bytes": max(run["peak_bytes"] for run in runs),
        "start_seconds": statistics.median(run["start_seconds"] for run in runs),
        "difference": float(np.mean([_difference(*pair) for pair in pairs])),
    }


def _medians(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up one pass of all rounds."""
    middle = {name: statistics.median(one[name] for one in found) for name in ("tiles_a_second", "p50", "p99", "count")}
    statuses = [item for one in found for item in one["statuses"].items()]
    return middle | {
        "rounds": [one["tiles_a_second"] for one in found],
        "bytes_a_tile": sum(one["bytes"] for one in found) / sum(one["count"] for one in found),
        "not_200": sum(count for status, count in statuses if status != "200"),
    }


def _difference(one: Any, other: Any) -> float:
    """Mean difference of two pictures, in counts of a colour, where both are opaque."""
    if one.shape != other.shape:
        return 255.0
    both = (one[..., 3] == 255) & (other[..., 3] == 255)
    return float(np.abs(one - other)[both][:, :3].mean()) if both.any() else 255.0


def aims(records: list[dict[str, Any]]) -> list[str]:
    """Compare what was found with what is to be reached."""
    lines = []
    found = {(record["case"], record["server"]): record for record in records if "failed" not in record}
    for (case, name), record in found.items():
        own = found.get((case, "ours"))
        if own is None or name == "ours":
            continue
        least = 12 if name == "titiler-cog" else 30
        for when in ("cold", "warm"):
            ratio = own["passes"][when]["tiles_a_second"] / record["passes"][when]["tiles_a_second"]
            verdict = "met" if ratio >= least else "missed"
            lines.append(f"{case}, {when}: beside {name:<16} {ratio:6.1f} x, at least {least}: {verdict}")
    for (case, name), record in found.items():
        if name == "ours":
            for when in ("cold", "warm"):
                for key, most in (("p50", 6.0), ("p99", 25.0)):
                    value = record["passes"][when][key]
                    verdict = "met" if value <= most else "missed"
                    lines.append(f"{case}, {when}: {key} {value:6.2f} ms, at most {most:g}: {verdict}")
            start = record["start_seconds"]
            lines.append(f"{case}: first tile after {start:.2f} s, at most 2: {'met' if start <= 2 else 'missed'}")
    return lines


def table(records: list[dict[str, Any]]) -> str:
    """Show records and aims as text."""
    head = ("tiles/s", "p50 ms", "p99 ms", "bytes", "not 200")
    lines = [f"{'case':<10} {'server':<15} {'pass':<6} " + " ".join(f"{word:>8}" for word in head)]
    for record in records:
        if "failed" in record:
            lines.append(f"{record['case']:<10} {record['server']:<15} failed: {record['failed']}")
            continue
        for name, one in record["passes"].items():
            numbers = f"{one['tiles_a_second']:8.1f} {one['p50']:8.2f} {one['p99']:8.2f}"
            numbers += f" {one['bytes_a_tile']:8.0f} {one['not_200']:8d}"
            lines.append(f"{record['case']:<10} {record['server']:<15} {name:<6} {numbers}")
        start = f"first tile after {record['start_seconds']:.1f} s"
        memory = f"{record['peak_bytes'] / 2**20:.0f} MiB"
        lines.append(f"{'':<26} {start}, {memory}, {record['difference']:.2f} counts from ours")
    return "\n".join([*lines, "", *aims(records)])


def main() -> None:
    """Run, print and write the results."""
    quick = "small inputs, two seconds a pass, one round"
    parser = settings_module.parser("tiles", "Measure servers of tiles.", quick=quick, rounds=ROUNDS)
    parser.add_argument("case", nargs="*", choices=[[], "elevation", "rgb"], help="only these; by default all")
    parser.add_argument("--workers", type=int, default=1, help="processes of each server; by default one, as they have")
    chosen = parser.parse_args()
    settings = Settings(**settings_module.common(chosen, rounds=ROUNDS))
    settings.outputs.mkdir(parents=True, exist_ok=True)
    records = [
        record for name in chosen.case or ("elevation", "rgb") for record in run_case(name, settings, chosen.workers)
    ]
    print("\n" + table(records))
    if chosen.case or chosen.workers > 1:
        print("\nnot written: a part, or another number of processes")
        return
    settings.results.mkdir(parents=True, exist_ok=True)
    path = settings.results / RESULTS
    document = settings_module.about(settings, "tiles") | {"records": records}
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
