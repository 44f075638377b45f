"""A service that runs for long neither grows nor collects descriptors (T13)."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from served import Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.faults, pytest.mark.slow]

REQUESTS = 20_000
WARM_UP = 5_000
CONNECTIONS = 6
QUAD = "WebMercatorQuad"
NAMES = ("count", "sharded", "colour", "height", "native", "series")


def paths(seed: int) -> Iterator[str]:
    """Requests of all kinds, without end: cached and new tiles, documents, points, errors of ours and of clients."""
    chance = random.Random(seed)
    names = NAMES
    while True:
        kind, name = chance.random(), chance.choice(names)
        zoom = chance.choice((8, 9, 10, 11, 12))
        row, col = (390 << zoom >> 10) + chance.randrange(3), (214 << zoom >> 10) + chance.randrange(3)
        suffix = chance.choice(("", ".png", ".jpg", ".webp", ".npy"))
        if kind < 0.6:
            yield f"/{name}/tiles/{QUAD}/{zoom}/{col}/{row}{suffix}"
        elif kind < 0.72:  # pictures that nobody has asked for before, so that caches have to let others go
            low = chance.randrange(1, 10**9) / 1e6
            yield f"/height/tiles/{QUAD}/10/{214 + chance.randrange(2)}/390.png?rescale={low},{low + 900}"
        elif kind < 0.75:
            yield f"/native/tiles/WorldCRS84Quad/{chance.randrange(6, 9)}/{chance.randrange(60)}/{chance.randrange(60)}"
        elif kind < 0.79:
            yield f"/{name}/{chance.choice(('info', 'dimensions', f'{QUAD}/tilejson.json', 'map', f'{QUAD}/map.html'))}"
        elif kind < 0.83:
            yield f"/{name}/point/{-105 + chance.random()},{39.5 + chance.random()}"
        elif kind < 0.86:
            yield chance.choice(("/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/colorMaps/viridis"))
        else:
            number = chance.randrange(10**12)
            yield chance.choice(
                (
                    f"/{name}/tiles/{QUAD}/{number}/1/1",
                    f"/{name}/tiles/{QUAD}/10/{number % 900}/1",
                    f"/name{number}/info",
                    f"/{number}",
                    f"/{name}/tiles/Set{number}/1/1/1",
                    f"/{name}/tiles/{QUAD}/10/214/390?v{number}=1",
                    f"/{name}/point/{number},1",
                    f"/damaged/tiles/{QUAD}/10/215/391.png?rescale=0,{number + 1}",
                    f"/colorMaps/{number}",
                )
            )


async def ask(port: int, requests: Iterator[str], count: int) -> dict[int, int]:
    """Ask on one connection, one request after the other; now and then a client leaves before its answer."""
    statuses: dict[int, int] = {}
    reader = writer = None
    for number in range(count):
        if writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert reader is not None
        writer.write(f"GET {next(requests)} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        if number % 500 == 499:
            writer.close()
            writer = None
            continue
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        statuses[status] = statuses.get(status, 0) + 1
        lines = dict(line.split(": ", 1) for line in head.decode("latin-1").lower().split("\r\n")[1:] if line)
        await reader.readexactly(int(lines["content-length"]))
    if writer is not None:
        writer.close()
    return statuses


async def ask_all(port: int, seed: int, count: int) -> dict[int, int]:
    each = [ask(port, paths(seed * 100 + number), count // CONNECTIONS) for number in range(CONNECTIONS)]
    total: dict[int, int] = {}
    for statuses in await asyncio.gather(*each):
        for status, number in statuses.items():
            total[status] = total.get(status, 0) + number
    return total


def memory(served: Served) -> int:
    """Resident memory of the process, in bytes; its proportional share would follow what other processes do."""
    lines = Path(f"/proc/{served.process.pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def descriptors(served: Served) -> int:
    return len(list(Path(f"/proc/{served.process.pid}/fd").iterdir()))


def test_t13_memory_and_descriptors_stay_level_over_twenty_thousand_requests(
    stores: dict[str, Any], tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.zarr"
    damaged.mkdir()
    for path in stores["count"].path.rglob("*"):
        target = damaged / path.relative_to(stores["count"].path)
        if path.is_dir():
            target.mkdir()
        else:
            target.write_bytes(b"damaged" if target.name == "1" else path.read_bytes())
    places = [stores[name].path for name in NAMES]
    # Caches that are full long before the warm-up ends: else they would grow on, as they may.
    # Each thread has its own transformations of PROJ: with few threads all have them soon.
    limits = [
        "tile_cache_bytes=4000000",
        "chunk_cache_bytes=2000000",
        "refresh=1",
        "renders_of_client=64",
        "renders_running=1",
    ]
    flags = [flag for limit in limits for flag in ("--set", limit)]
    with serving(*places, damaged, "--metrics", *flags, count=len(places) + 1) as served:
        asyncio.run(ask_all(served.port, 1, WARM_UP))
        before, open_before = memory(served), descriptors(served)
        statuses = asyncio.run(ask_all(served.port, 2, REQUESTS))
        after, open_after = memory(served), descriptors(served)
        assert {200, 400, 404, 502} <= set(statuses)
        assert 500 not in statuses
        assert sum(statuses.values()) > REQUESTS * 0.99
        assert after < before * 1.05
        assert open_after <= open_before + 2
