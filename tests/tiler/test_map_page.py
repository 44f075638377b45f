"""The map page in a real browser, against a real server. Nothing but loopback is reachable or needed.

Colours are derived from the data: blocks of cells with one value each, looked up in rio-tiler's own table of colours.
Where a cell is on the screen follows from the centre and zoom that the address names.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib.util
import io
import itertools
import json
import re
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import numpy as np
import pyproj
import pytest
import uvicorn
from affine import Affine
from numcodecs import Blosc
from PIL import Image
from rio_tiler.colormap import cmap
from starlette.testclient import TestClient

from geozarr import crs, levels, tms
from geozarr.grid import Bounds, Grid
from pyramid_factory import Variable, web_mercator_levels, write_pyramid
from tiler import page as page_module
from tiler.app import create_app
from tiler.settings import Dataset, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from geozarr import Levels

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
MISSING = [
    name
    for name, found in (
        ("chromium", BROWSER),
        ("chromedriver", DRIVER),
        ("selenium", importlib.util.find_spec("selenium")),
    )
    if not found
]
# rasterio silences it while it wraps an array, but not when another thread does so meanwhile; `geozarr-serve` does.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
needs_browser = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
SIZE = 1000, 700  # of the window in CSS pixels
BLOCK = 64  # cells a side that have one value
STEPS = 4
WHITE = 3 * BLOCK, 0  # first row and column of a white block
MINUS = "\N{MINUS SIGN}"
LABELS = ["2024-01-01", None, "2024-03-01", "2024-04-01T12:00:00Z"]  # a step may have no coordinate
VIRIDIS = np.array([cmap.get("viridis")[value][:3] for value in range(256)])
GREY = np.repeat(np.arange(256)[:, np.newaxis], 3, axis=1)


def blocks(shape: tuple[int, int], step: int = 0) -> np.ndarray:
    """Whole numbers from 1 to 250, the same in each block, and different in neighbouring ones and in other steps."""
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]] // BLOCK
    return 1 + (37 * rows + 71 * cols + 60 * step) % 250


def plane(shape: tuple[int, int], step: int) -> np.ndarray:
    """A colour; one block of all three is white, and as the mask there: the fill value of bytes without a nodata."""
    values = blocks(shape, step).astype(np.uint8)
    values[WHITE[0] : WHITE[0] + BLOCK, WHITE[1] : WHITE[1] + BLOCK] = 255
    return values


def statistics(low: float, high: float) -> dict[str, Any]:
    return {"statistics": {"min": low, "max": high, "p2": low, "p98": high, "mean": low, "std": 1.0, "count": 1}}


def levels_of(name: str, *, zoom: int, bounds: Bounds) -> Levels:
    """Two levels of a registered TileMatrixSet."""
    quad = tms.load(name)
    return levels.from_tms(quad, quad.limits_of(str(zoom - 1), bounds), count=2, resampling_method="average")


@dataclass(frozen=True)
class Scene:
    """A pyramid of blocks."""

    path: Path
    grid: Grid

    def place(self, row: int, col: int) -> tuple[float, float]:
        """Coordinates of the centre of a cell of the finest level."""
        x, y = self.grid.transform @ (col + 0.5, row + 0.5)
        return float(x), float(y)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    folder = tmp_path_factory.mktemp("maps")
    mercator = web_mercator_levels(zoom=10, count=2, row=195, col=107)
    world = levels_of("WorldCRS84Quad", zoom=3, bounds=Bounds(1.0, 1.0, 80.0, 80.0))
    utm = levels_of("UTM31WGS84Quad", zoom=8, bounds=Bounds(400_000.0, 5_000_000.0, 410_000.0, 5_010_000.0))
    utm13 = Grid((512, 512), Affine(200.0, 0.0, 440_000.0, 0.0, -200.0, 4_430_000.0), crs.from_code("EPSG:32613"))
    native = levels.from_halving(utm13, count=2, resampling_method="average")
    whole = {"units": "m", **statistics(0, 255)}

    def one(layout: Levels, dtype: str, nodata: float | None, **attributes: Any) -> dict[str, Variable]:
        values = blocks(layout.finest.grid.shape).astype(dtype)
        return {"height": Variable(values, nodata, attributes=whole | attributes)}

    shape = mercator.finest.grid.shape
    series = np.stack([blocks(shape, step) for step in range(STEPS)]).astype(np.float32)
    series[:, :BLOCK, :BLOCK] = np.nan
    timed = {
        "warmth": Variable(series, float("nan"), ("time",), whole | {"long_name": "Warmth", "units": "K"}),
        "rain": Variable(series[:, ::-1], float("nan"), ("time",), whole | {"units": "1"}),
        "packed": Variable(
            blocks(shape).astype(np.int16), -1, attributes=whole | {"scale_factor": 0.5, "add_offset": 10.0}
        ),
    }
    masked = {"ancillary_variables": "alpha"}
    bands = {
        name: Variable(plane(shape, step), attributes=masked | {"color_interpretation": name})
        for step, name in enumerate(("red", "green", "blue"))
    }
    opaque = np.full(shape, 255, np.uint8)
    opaque[-BLOCK:, :BLOCK] = 0
    bands["alpha"] = Variable(opaque, nodata=None, attributes={"color_interpretation": "alpha"})
    bare = {"height": Variable(blocks(shape).astype(np.float32), float("nan"))}
    made = {
        "time": (mercator, timed),
        "world": (world, one(world, "int16", -1)),
        "utm": (utm, one(utm, "uint16", 0)),
        "native": (native, one(native, "uint16", 0)),
        "colour": (mercator, bands),
        "bare": (mercator, bare),
        "void": (mercator, {"height": Variable(np.full(shape, np.nan, np.float32), float("nan"))}),
    }
    found = {
        name: Scene(write_pyramid(folder / f"{name}.zarr", layout, variables), layout.finest.grid)
        for name, (layout, variables) in made.items()
    }
    broken = folder / "broken.zarr"
    shutil.copytree(found["utm"].path, broken)
    chunk = next(path for path in sorted((broken / "8" / "height" / "c").rglob("*")) if path.is_file())
    chunk.write_bytes(b"damage")
    return {**found, "broken": Scene(broken, utm.finest.grid), "labelled": found["time"], "slow": found["time"]}


def with_more(app: Any) -> Any:
    """Documents of dimensions and legends, and `sel`, for the dataset `labelled`; tiles of `slow` take their time."""
    legends = {
        "warmth": {
            "type": "ramp",
            "min": -5.0,
            "max": 5.0,
            "units": "degC",
            "stops": [{"value": -5.0, "color": "#ff0000ff"}, {"value": 5.0, "color": [0, 0, 255, 255]}],
        },
        "packed": {
            "type": "classes",
            "entries": [
                {"value": 1, "label": "water", "color": "#0000ff"},
                {"value": 2, "label": "forest", "color": "#00800080"},
            ],
        },
    }
    documents = {
        "/labelled/dimensions": {
            "dimensions": [
                {"name": "time", "size": STEPS, "kind": "time", "units": None, "long_name": "Day", "labels": LABELS}
            ]
        },
    }

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        pairs = parse_qsl(scope.get("query_string", b"").decode())
        document = documents.get(scope.get("path"))
        if scope.get("path") == "/labelled/legend.json":
            document = legends[dict(pairs)["variable"]]
        if document is not None:
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(document).encode()})
            return
        if scope.get("path", "").startswith("/slow/tiles/"):
            x, y = (int(part.partition(".")[0]) for part in scope["path"].split("/")[-2:])
            await asyncio.sleep(0.1 + 0.15 * ((x + 2 * y) % 4))  # one after the other
        if scope.get("path", "").startswith("/labelled/"):
            steps = {f"time=exact::{label}": str(index + 1) for index, label in enumerate(LABELS)}
            query = urlencode([("bidx", steps[value]) if name == "sel" else (name, value) for name, value in pairs])
            scope = {**scope, "query_string": query.encode()}
        await app(scope, receive, send)

    return answer


@contextmanager
def served(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address(scenes: dict[str, Scene]) -> Iterator[str]:
    datasets = tuple(Dataset(name, scene.path) for name, scene in scenes.items())
    with served(with_more(create_app(Settings(datasets, expose_zarr=True)))) as found:
        yield found


class Browser:
    """A browser that shows map pages of one server."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.address = address
        self.size = SIZE
        self.requested: list[str] = []
        self.complaints: list[str] = []

    def open(self, path: str, *, size: tuple[int, int] = SIZE, dark: bool = False) -> None:
        """Open a page in a fresh tab's state and wait until it shows its map."""
        self.size = size
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get("about:blank")
        self.collect()
        self.requested.clear()
        self.complaints.clear()
        self.driver.get(f"{self.address}{path}")
        self.settle()

    def settle(self) -> None:
        """Wait until the map has loaded what it shows."""
        self.wait("return document.querySelector('#map')?.getAttribute('aria-busy') === 'false'")

    def wait(self, script: str, *arguments: Any) -> Any:
        """Wait until a script returns something true."""
        deadline = time.monotonic() + 20
        while not (found := self.driver.execute_script(script, *arguments)):
            assert time.monotonic() < deadline, f"{script}: {self.text('#status')} {self.text('#failures')}"
            time.sleep(0.03)
        return found

    def wait_for_text(self, selector: str, pattern: str) -> str:
        script = "return document.querySelector(arguments[0])?.textContent.match(arguments[1])?.[0]"
        found: str = self.wait(script, selector, pattern)
        return found

    def text(self, selector: str) -> str:
        found: str = self.driver.execute_script(
            "return document.querySelector(arguments[0])?.textContent ?? ''", selector
        )
        return found

    def choose(self, selector: str, value: str) -> None:
        """Set a control as a person does, and wait for what follows."""
        self.driver.execute_script(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
            "for (const type of ['input', 'change']) e.dispatchEvent(new Event(type, {bubbles: true}));",
            selector,
            value,
        )
        self.settle()

    def click(self, selector: str) -> None:
        self.driver.execute_script("document.querySelector(arguments[0]).click()", selector)
        self.settle()

    def press(self, key: str, *, modifiers: int = 0) -> None:
        """Press a key, wherever the focus is."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40}
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        event = {"key": key, "modifiers": modifiers, "windowsVirtualKeyCode": codes.get(key, ord(key[0]))}
        down = "keyDown" if text else "rawKeyDown"
        self.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": down, "text": text, **event})
        self.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", **event})

    def click_at(self, pixel: tuple[float, float]) -> None:
        self.mouse("mousePressed", pixel)
        self.mouse("mouseReleased", pixel)

    def mouse(self, kind: str, pixel: tuple[float, float]) -> None:
        x, y = (round(value) for value in pixel)
        event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def picture(self) -> np.ndarray:
        """Red, green and blue of each pixel."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB")).astype(int)

    def ground(self) -> np.ndarray:
        """Colour where the map shows nothing."""
        script = "return getComputedStyle(document.querySelector('#map')).backgroundColor"
        return np.array([int(text) for text in re.findall(r"[0-9]+", self.driver.execute_script(script))])

    def collect(self) -> None:
        """Take over what the browser has noted of requests and complaints."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
        self.complaints += [f"{entry['level']} {entry['message']}" for entry in self.driver.get_log("browser")]

    def forgive(self, pattern: str) -> int:
        """Drop complaints that a test has provoked; return how many there were."""
        self.collect()
        before = len(self.complaints)
        self.complaints = [text for text in self.complaints if not re.search(pattern, text)]
        return before - len(self.complaints)

    def requests(self) -> list[str]:
        self.collect()
        return self.requested


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    from selenium import webdriver  # noqa: PLC0415 - where there is none, these tests are skipped
    from selenium.webdriver.chrome.options import Options  # noqa: PLC0415 - the same
    from selenium.webdriver.chrome.service import Service  # noqa: PLC0415 - the same

    options = Options()
    options.binary_location = BROWSER
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Named, so that selenium looks for no driver to download.
    found = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield found
    finally:
        found.quit()


@pytest.fixture
def browser(driver: Any, address: str) -> Iterator[Browser]:
    """A browser; after each test: nothing has left loopback, and nothing was complained of."""
    found = Browser(driver, address)
    yield found
    elsewhere = [url for url in found.requests() if not url.startswith((address, "about:blank"))]
    assert not elsewhere
    # A service without these is asked for them once; the browser notes each 404.
    known = re.compile(r"/(dimensions|legend\.json\S*) - Failed to load resource: the server responded with .* 404")
    assert not [text for text in found.complaints if not known.search(text)]


@dataclass(frozen=True)
class Shown:
    """Where a page shows a scene."""

    scene: Scene
    path: str
    pixel: Callable[[int, int], tuple[float, float]]  # of the centre of a cell


def shown(
    scenes: dict[str, Scene],
    name: str,
    *,
    query: str = "",
    size: tuple[int, int] = SIZE,
    tms_id: str = "",
) -> Shown:
    """Address that shows the middle of a scene, with cells of 1.4 pixels, right of the controls."""
    scene = scenes[name]
    quad = tms.load(tms_id or {"world": "WorldCRS84Quad", "utm": "UTM31WGS84Quad"}.get(name, "WebMercatorQuad"))
    middle = scene.grid.shape[0] // 2, scene.grid.shape[1] // 2
    project: Callable[[float, float], tuple[float, float]] = lambda x, y: (x, y)  # noqa: E731 - one of two
    cell = scene.grid.transform.a
    if scene.grid.crs.code != quad.crs.code and quad.crs.code == "EPSG:3857":
        project = pyproj.Transformer.from_crs(scene.grid.crs.code, "EPSG:3857", always_xy=True).transform
        cell = abs(project(*scene.place(middle[0], middle[1] + 1))[0] - project(*scene.place(*middle))[0])
    resolution = cell / 1.4
    x, y = project(*scene.place(*middle))
    x -= (170 if size[0] > 600 else 0) * resolution  # the controls are at the left
    zoom = round(float(np.log2(quad.tileMatrices[0].cellSize / resolution)), 4)
    resolution = quad.tileMatrices[0].cellSize / 2**zoom

    def pixel(row: int, col: int) -> tuple[float, float]:
        place = project(*scene.place(row, col))
        return size[0] / 2 + (place[0] - x) / resolution, size[1] / 2 + (y - place[1]) / resolution

    more = f"&{query}" if query else ""
    own = f"/{name}/{tms_id}/map.html" if tms_id else f"/{name}/map"
    return Shown(scene, f"{own}#center={x!r},{y!r}&zoom={zoom}{more}", pixel)


def cells(scene: Scene) -> list[tuple[int, int]]:
    """Centres of blocks around the middle, and one at the edge of the tiles there."""
    row, col = (side // 2 // BLOCK * BLOCK + BLOCK // 2 for side in scene.grid.shape)
    return [(row + dy * BLOCK, col + dx * BLOCK) for dy, dx in ((0, 0), (-1, -1), (-1, 1), (1, -2), (2, 0), (0, 2))]


def assert_colours(picture: np.ndarray, at: Shown, expected: Callable[[int, int], Any], *, tolerance: int = 1) -> None:
    for row, col in cells(at.scene):
        x, y = at.pixel(row, col)
        assert np.abs(picture[round(y), round(x)] - expected(row, col)).max() <= tolerance, (row, col)


# ---- without a browser


@pytest.fixture(scope="module")
def client(scenes: dict[str, Scene]) -> TestClient:
    datasets = tuple(Dataset(name, scene.path) for name, scene in scenes.items())
    return TestClient(create_app(Settings(datasets)), raise_server_exceptions=False)


@pytest.mark.parametrize("path", ["/time/map", "/time/WebMercatorQuad/map.html", "/time/WGS1984Quad/map.html"])
def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    response = client.get(path, params={"variable": "warmth", "colormap_name": "viridis"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
    html = response.text
    assert not re.search(r"https?:|//[a-z]|@import|\sstyle=|\son[a-z]+=|<style|javascript:", html)
    assert not re.search(r"<script[^>]*>[^<]", html)
    linked = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(linked) == 5
    for link in linked:
        assert link.startswith("../" * path.count("/", 1) + "_static/"), link
        found = client.get(f"{path.rpartition('/')[0]}/{link}")
        assert found.status_code == 200
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.headers["x-content-type-options"] == "nosniff"


def test_every_file_of_the_page_is_there_and_imports_only_such(client: TestClient) -> None:
    page = page_module.load()
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "txt": "text/plain"}
    assert {"map.js", "map.css", "vendor/ol.js", "vendor/geozarr.js", "vendor/LICENSES.txt"} <= set(page.files)
    for path, file in page.files.items():
        response = client.get(f"/_static/{page.version}/{path}")
        assert response.content == file.data
        assert response.headers["content-type"].startswith(kinds[path.rpartition(".")[2]])
        if path.endswith(".js"):
            folder = path.rpartition("/")[0]
            for name in re.findall(r"""(?:from|import)\s*\(?["'](\.[^"']+)["']""", file.data.decode()):
                joined = f"{folder}/{name.removeprefix('./')}" if folder else name.removeprefix("./")
                assert joined in page.files, (path, name)
            assert b"new Function(" not in file.data
            assert not re.search(rb"\beval\(", file.data)
    licences = page.files["vendor/LICENSES.txt"].data.decode()
    for name in ("ol 10.11.0 (BSD-2-Clause)", "zarrita", "rbush", "quickselect", "fzstd"):
        assert name in licences


def test_a_page_of_another_release_gets_files_that_it_may_not_keep(client: TestClient) -> None:
    assert client.get("/_static/0123456789abcdef/map.js").headers["cache-control"] == "no-cache"
    for path in ("nothing.js", "map.html", "../app.py", "..%2Fapp.py", "vendor", "vendor/", "", "%2e%2e/app.py"):
        assert client.get(f"/_static/{page_module.load().version}/{path}").status_code == 404


def test_a_set_that_does_not_exist_is_no_page(client: TestClient) -> None:
    assert client.get("/time/NothingQuad/map.html").status_code == 404
    assert client.get("/nothing/map").status_code == 404
    assert client.get("/time/map?nothing=1").status_code == 400


def test_colormaps_are_those_of_rio_tiler(client: TestClient) -> None:
    assert client.get("/colorMaps").json()["colorMaps"] == sorted(cmap.list())
    for name in ("viridis", "rdbu_r"):
        found = client.get(f"/colorMaps/{name}").json()
        assert {int(value): tuple(color) for value, color in found.items()} == cmap.get(name)
    assert client.get("/colorMaps/nothing").status_code == 404
    assert client.get("/colorMaps/viridis?x=1").status_code == 400


# ---- in the browser


@needs_browser
@pytest.mark.parametrize("name", ["time", "world", "utm", "native"])
def test_cells_have_their_colours_where_they_belong(browser: Browser, scenes: dict[str, Scene], name: str) -> None:
    at = shown(scenes, name, query="colormap_name=viridis&rescale=0,255")
    browser.open(at.path)
    values = blocks(at.scene.grid.shape)
    assert_colours(browser.picture(), at, lambda row, col: VIRIDIS[values[row, col]])
    assert browser.text("#title") == name
    assert browser.text("#status") == browser.text("#failures") == ""
    used = [url for url in browser.requests() if "/tiles/" in url]
    expected = {"world": "WorldCRS84Quad", "utm": "UTM31WGS84Quad"}.get(name, "WebMercatorQuad")
    assert used
    assert all(f"/{name}/tiles/{expected}/" in url for url in used)


@needs_browser
def test_another_set_may_be_named(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "utm", query="rescale=0,255", tms_id="WebMercatorQuad")
    browser.open(at.path)
    values = blocks(at.scene.grid.shape)
    assert_colours(browser.picture(), at, lambda row, col: GREY[values[row, col]])


@needs_browser
def test_all_of_the_data_is_shown_at_first(browser: Browser, scenes: dict[str, Scene]) -> None:
    for name, size in (("time", SIZE), ("utm", (360, 640))):
        browser.open(f"/{name}/map", size=size)
        picture = browser.picture()
        link = dict(parse_qsl(urlsplit(browser.driver.current_url).fragment))
        quad = tms.load("WebMercatorQuad" if name == "time" else "UTM31WGS84Quad")
        resolution = quad.tileMatrices[0].cellSize / 2 ** float(link["zoom"])
        x, y = map(float, link["center"].split(","))
        box = scenes[name].grid.bounds
        left, right = (size[0] / 2 + (edge - x) / resolution for edge in (box.xmin, box.xmax))
        top, bottom = (size[1] / 2 + (y - edge) / resolution for edge in (box.ymax, box.ymin))
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert max((right - left) / size[0], (bottom - top) / size[1]) > 0.5
        covered = browser.driver.execute_script(
            "return ['#panel', '#foot'].map((id) => document.querySelector(id).getBoundingClientRect().toJSON())"
        )
        for card in covered:  # no card lies over the data
            assert card["right"] <= left + 1 or card["bottom"] <= top + 1 or card["top"] >= bottom - 1
        inside = picture[round(top + 0.7 * (bottom - top)), round((left + right) / 2)]
        assert (inside != picture[round(bottom) + 4 if bottom + 5 < size[1] else 0, 2]).any()


@needs_browser
def test_the_slider_moves_through_time(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "time", query="colormap_name=viridis&rescale=0,255&variable=warmth")
    browser.open(at.path)
    assert browser.text("#steps output") == "1 of 4"
    browser.driver.execute_script("document.querySelector('#steps input').focus()")
    for step in (1, 2):
        browser.press("ArrowRight")
        browser.settle()
        values = blocks(at.scene.grid.shape, step)
        assert_colours(browser.picture(), at, lambda row, col, values=values: VIRIDIS[values[row, col]])
        assert browser.text("#steps output") == f"{step + 1} of 4"
        assert f"bidx={step + 1}" in browser.driver.current_url
    browser.click("#steps .previous")
    assert browser.text("#steps output") == "2 of 4"
    missing = at.pixel(BLOCK // 2, BLOCK // 2)
    ground = browser.ground()
    assert (browser.picture()[round(missing[1]), round(missing[0])] == ground).all()


@needs_browser
def test_an_animation_runs_without_a_blank(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "slow", query="rescale=0,255&variable=warmth")
    browser.open(at.path)
    places = cells(at.scene)
    pixels = [tuple(round(value) for value in at.pixel(row, col)) for row, col in places]
    known = [[int(blocks(at.scene.grid.shape, step)[place]) for place in places] for step in range(STEPS)]
    browser.driver.execute_script("document.querySelector('#steps input').focus()")
    browser.press(" ")
    seen: list[int] = []
    deadline = time.monotonic() + 20
    while len(set(seen)) < STEPS:
        assert time.monotonic() < deadline
        picture = browser.picture()
        found = [int(picture[y, x].max()) for x, y in pixels]
        assert found in known  # a step, whole: neither the ground nor tiles of two steps
        seen.append(known.index(found))
    assert browser.driver.execute_script("return document.querySelector('.play').ariaPressed") == "true"
    browser.press(" ")
    browser.settle()
    still = browser.text("#steps output")
    time.sleep(0.8)
    assert browser.text("#steps output") == still
    asked = [int(found[1]) for url in browser.requests() if (found := re.search(r"/tiles/.*bidx=([0-9]+)", url))]
    order = [step for step, _ in itertools.groupby(asked)]
    assert order[: STEPS + 1] == [1, 2, 3, 4, 1][: len(order)]  # each step once, one after the other
    assert len(order) >= STEPS


@needs_browser
def test_a_click_counts_though_the_picture_changes_meanwhile(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "time", query="rescale=0,255")
    browser.open(at.path)
    gone = "({target}) => setTimeout(() => target.remove(), 20)"
    gone = f"addEventListener('pointerup', {gone}, {{once: true, capture: true}})"
    browser.driver.execute_script(gone)  # as when the next step takes the place of the one that was clicked
    row, col = cells(at.scene)[1]
    browser.click_at(at.pixel(row, col))
    browser.wait_for_text("#reading b", f"^{int(blocks(at.scene.grid.shape)[row, col])} K$")


@needs_browser
def test_a_click_counts_though_the_picture_changes_under_it(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "labelled", query=f"variable=warmth&rescale=0,255&sel=time=exact::{LABELS[2]}")
    browser.open(at.path)
    row, col = cells(at.scene)[0]
    browser.mouse("mousePressed", at.pixel(row, col))
    browser.click("#steps .next")
    browser.wait_for_text("#steps output", LABELS[3])
    browser.driver.execute_script(
        "document.querySelectorAll('#map canvas').forEach((e) => e.replaceWith(e.cloneNode()))"
    )
    browser.mouse("mouseReleased", at.pixel(row, col))
    browser.wait_for_text("#reading b", f"^{blocks(at.scene.grid.shape, 3)[row, col]} K$")


@needs_browser
def test_a_drag_moves_the_map_and_reads_nothing(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "utm")
    browser.open(at.path)
    x, y = at.pixel(*cells(at.scene)[0])
    browser.mouse("mousePressed", (x, y))
    for step in range(1, 5):
        browser.mouse("mouseMoved", (x + 10 * step, y))
    browser.mouse("mouseReleased", (x + 40, y))
    browser.settle()
    time.sleep(0.4)  # longer than a click waits for a second one
    assert not browser.driver.execute_script("return document.querySelector('#reading').checkVisibility()")


@needs_browser
def test_a_double_click_zooms_and_reads_nothing(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "time", query="rescale=0,255")
    browser.open(at.path)
    zoom = re.compile(r"zoom=([0-9.]+)")
    before = zoom.search(browser.driver.current_url)
    for _ in range(2):
        browser.click_at(at.pixel(*cells(at.scene)[1]))
    browser.wait(f"return Number(location.hash.match(/{zoom.pattern}/)[1]) > {float(before[1]) if before else 0} + 0.9")
    assert browser.driver.execute_script("return document.querySelector('#reading').hidden")
    assert not [url for url in browser.requests() if "/point/" in url]


@needs_browser
def test_a_click_reads_the_value(browser: Browser, scenes: dict[str, Scene]) -> None:
    for name in ("time", "world", "utm"):
        at = shown(scenes, name, query="rescale=0,255")
        browser.open(at.path)
        row, col = cells(at.scene)[1]
        browser.click_at(at.pixel(row, col))
        unit = "K" if name == "time" else "m"
        value = int(blocks(at.scene.grid.shape)[row, col])
        browser.wait_for_text("#reading b", f"^{value} {unit}$")
        where = browser.text("#reading .where")
        x, y = at.scene.place(row, col)
        if name == "utm":
            numbers = [float(text) for text in re.findall(r"-?[0-9.]+", where.replace(MINUS, "-"))]
            assert np.abs(np.array(numbers) - (x, y)).max() < at.scene.grid.transform.a
        else:
            lon, lat = (
                (x, y) if name == "world" else pyproj.Transformer.from_crs(3857, 4326, always_xy=True).transform(x, y)
            )
            found = re.match(r"([0-9.]+)° N, ([0-9.]+)° ([EW])", where)
            assert found is not None
            shown_lon = float(found[2]) * (1 if found[3] == "E" else -1)
            assert abs(shown_lon - lon) + abs(float(found[1]) - lat) < (0.3 if name == "world" else 0.01)
        dot = browser.driver.execute_script("return document.querySelector('.mark').getBoundingClientRect().toJSON()")
        middle = np.array([dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2])
        assert np.abs(middle - at.pixel(row, col)).max() < 2
        assert any("/point/" in url and "coord_crs=" in url for url in browser.requests())


@needs_browser
def test_values_are_told_as_they_are_meant(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "time", query="variable=packed")
    browser.open(at.path)
    # CF 8.1: stored values times 0.5, plus 10; the stored range is 0 to 255.
    assert browser.driver.execute_script("return [low.value, high.value]") == ["10", "137.5"]
    assert (browser.text("#legend-low"), browser.text("#legend-high")) == ("10", "137.5")
    row, col = cells(at.scene)[0]
    browser.click_at(at.pixel(row, col))
    meant = int(blocks(at.scene.grid.shape)[row, col]) * 0.5 + 10
    browser.wait_for_text("#reading b", f"^{meant:g} m$")
    browser.choose("#high", "60")
    assert "rescale=0,100" in browser.driver.current_url
    browser.choose("#variable", "warmth")
    browser.wait_for_text("#reading b", "^[0-9]+ K$")
    browser.driver.execute_script("map.focus()")
    browser.press("Escape")
    assert browser.driver.execute_script("return reading.hidden")
    browser.open("/time/map#variable=warmth&point=0,0")
    browser.wait_for_text("#reading", "^Outside the data")
    browser.forgive("/point/")


@needs_browser
def test_a_link_shows_the_same_picture(browser: Browser, scenes: dict[str, Scene]) -> None:
    browser.open(shown(scenes, "time").path)
    browser.choose("#variable", "rain")
    browser.choose("#colormap", "turbo")
    browser.click("#reverse")
    browser.choose("#low", "20")
    browser.choose("#high", "180.5")
    browser.choose("#opacity", "70")
    browser.choose("#steps input", "2")
    browser.driver.execute_script("map.focus()")
    for key in ("ArrowRight", "ArrowDown", "+"):
        browser.press(key)
        time.sleep(0.4)  # the animation of a move
    browser.press("Enter")
    browser.wait_for_text("#reading", "°")
    browser.settle()
    browser.driver.execute_script("document.activeElement.blur()")
    before, link = browser.picture(), browser.driver.current_url
    for part in ("variable=rain", "bidx=3", "colormap_name=turbo_r", "rescale=20,180.5", "opacity=0.7", "point="):
        assert part in link
    browser.open(link.removeprefix(browser.address))
    browser.wait_for_text("#reading", "°")
    assert browser.driver.current_url == link
    assert (np.abs(browser.picture() - before).max(axis=-1) > 2).mean() < 1e-3
    # In a page that is open already.
    browser.open(shown(scenes, "time").path)
    browser.driver.execute_script("location.hash = arguments[0]", urlsplit(link).fragment)
    browser.wait_for_text("#reading", "°")
    browser.settle()
    assert (np.abs(browser.picture() - before).max(axis=-1) > 2).mean() < 1e-3
    # And parameters before the #, as TiTiler's pages have them.
    browser.open("/time/map?variable=rain&bidx=3&colormap_name=turbo_r&rescale=20,180.5")
    shown_now = browser.driver.execute_script("return [variable.value, colormap.value, reverse.checked, low.value]")
    assert shown_now == ["rain", "turbo", True, "20"]
    assert browser.text("#steps output") == "3 of 4"


@needs_browser
def test_a_link_that_is_wrong_is_told_and_something_is_shown(browser: Browser) -> None:
    browser.open("/time/map#variable=nothing&colormap_name=none&rescale=5,1&opacity=7&center=x,1&bidx=77")
    assert "there is no variable nothing" in browser.text("#status")
    assert "no colours called none" in browser.text("#status")
    assert browser.driver.execute_script("return [variable.value, opacity.value]") == ["warmth", "100"]
    assert browser.picture()[300, 700].tolist() != browser.ground().tolist()
    browser.open("/time/map#variable=warmth&bidx=1,2,77")
    assert browser.forgive("400") == 1
    assert "bidx: found 77" in browser.text("#status")
    assert browser.picture()[300, 700].tolist() != browser.ground().tolist()


@needs_browser
def test_ranges_start_from_statistics_and_go_back_to_them(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "time", query="variable=warmth")
    browser.open(at.path)
    values = blocks(at.scene.grid.shape)
    assert browser.driver.execute_script("return [low.value, high.value, reset.disabled]") == ["0", "255", True]
    browser.choose("#high", "127.5")
    stretched = GREY[np.floor(np.clip(values * 2, 0, 255) + 0.5).astype(int)]
    assert_colours(browser.picture(), at, lambda row, col: stretched[row, col])
    assert browser.text("#legend-high") == "127.5"
    browser.choose("#low", "500")
    assert "greater" in browser.text("#status")
    assert browser.driver.execute_script("return low.getAttribute('aria-invalid')") == "true"
    browser.click("#reset")
    assert_colours(browser.picture(), at, lambda row, col: GREY[values[row, col]])
    assert browser.text("#status") == ""


@needs_browser
def test_ranges_start_from_a_look_where_the_store_has_no_statistics(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "bare")
    browser.open(at.path)
    values = blocks(at.scene.grid.shape).astype(float)
    low, high = np.percentile(values, (2, 98))
    assert [float(end) for end in browser.driver.execute_script("return [low.value, high.value]")] == [low, high]
    stretched = GREY[np.floor(np.clip((values - low) * 255 / (high - low), 0, 255) + 0.5).astype(int)]
    assert_colours(browser.picture(), at, lambda row, col: stretched[row, col])
    assert browser.text("#status") == ""
    assert f"rescale={low:g},{high:g}" in browser.driver.current_url  # a link shows the same picture
    browser.open("/void/map")
    assert "no statistics" in browser.text("#status")
    browser.choose("#high", "255")
    assert browser.text("#status") == ""
    assert "rescale=0,255" in browser.driver.current_url


@needs_browser
def test_three_variables_make_a_picture(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "colour")
    browser.open(at.path)
    planes = [plane(at.scene.grid.shape, step) for step in range(3)]
    # JPEG where all of a tile is valid: colours are right within its loss.
    assert_colours(browser.picture(), at, lambda row, col: [p[row, col] for p in planes], tolerance=8)
    browser.choose("#variable", "*")
    browser.choose("#red", "blue")
    assert browser.driver.execute_script("return [red.value, green.value, blue.value]") == ["blue", "green", "red"]
    assert_colours(browser.picture(), at, lambda row, col: [p[row, col] for p in planes[::-1]], tolerance=8)
    assert "variable=blue&variable=green&variable=red" in browser.driver.current_url
    assert browser.driver.execute_script("return legend.hidden")
    row, col = cells(at.scene)[0]
    browser.click_at(at.pixel(row, col))
    browser.wait_for_text("#reading", f"blue {planes[2][row, col]}green {planes[1][row, col]}red {planes[0][row, col]}")
    masked = at.pixel(at.scene.grid.height - BLOCK // 2, BLOCK // 2)
    picture = browser.picture()
    assert (picture[round(masked[1]), round(masked[0])] == browser.ground()).all()


@needs_browser
@pytest.mark.parametrize("name", ["time", "world", "utm", "colour"])
def test_the_browser_reads_the_store_as_the_service_does(browser: Browser, scenes: dict[str, Scene], name: str) -> None:
    query = "" if name == "colour" else "rescale=0,255&colormap_name=viridis"
    at = shown(scenes, name, query=f"{query}&direct=1")
    browser.open(at.path)
    shape = at.scene.grid.shape

    def expected(step: int) -> Callable[[int, int], Any]:
        if name == "colour":
            return lambda row, col: [plane(shape, band)[row, col] for band in range(3)]
        return lambda row, col: VIRIDIS[blocks(shape, step)[row, col]]

    assert browser.text("#failures") == ""
    assert browser.driver.execute_script("return direct.checked")
    picture = browser.picture()
    assert_colours(picture, at, expected(0), tolerance=3)
    hole = {"time": (BLOCK // 2, BLOCK // 2), "colour": (shape[0] - BLOCK // 2, BLOCK // 2)}.get(name)
    if hole is not None:
        x, y = at.pixel(*hole)
        assert (picture[round(y), round(x)] == browser.ground()).all()
    if name == "colour":
        x, y = at.pixel(WHITE[0] + BLOCK // 2, WHITE[1] + BLOCK // 2)
        assert (picture[round(y), round(x)] == 255).all()
    asked = browser.requests()
    assert not [url for url in asked if "/tiles/" in url]
    assert [url for url in asked if f"/{name}/zarr/" in url and "/c/" in url]
    if name == "time":
        documents = len([url for url in asked if url.endswith("/zarr/zarr.json")])
        for step in (1, 2, 3, 1):
            browser.choose("#steps input", str(step))
            assert_colours(browser.picture(), at, expected(step), tolerance=3)
        # Two layers take turns, and neither is opened anew for another step.
        assert len([url for url in browser.requests() if url.endswith("/zarr/zarr.json")]) <= documents + 1
        browser.click("#direct")
        assert_colours(browser.picture(), at, expected(1))


@needs_browser
def test_direct_reading_is_offered_only_where_it_can_be(browser: Browser) -> None:
    browser.open("/native/map")
    assert browser.driver.execute_script("return [direct.disabled, direct.closest('label').title]") == [
        True,
        "The map is in another CRS than the store",
    ]


@needs_browser
@pytest.mark.parametrize("cname", ["zstd", "lz4", "lz4hc", "zlib"])
def test_chunks_are_unpacked_as_blosc_packs_them(browser: Browser, cname: str) -> None:
    browser.open("/utm/map")
    name = next(path for path in page_module.load().files if re.match(r"vendor/blosc-\w+\.js", path))
    rng = np.random.default_rng(7)
    cases = []
    for shuffle in (Blosc.NOSHUFFLE, Blosc.SHUFFLE, Blosc.BITSHUFFLE):
        for dtype in ("u1", "i2", "f4", "f8", "V3"):
            for count in (1, 8, 9, 1000, 40_001):
                size = count * np.dtype(dtype).itemsize
                for data in (rng.integers(0, 256, size), np.cumsum(rng.integers(0, 2, size))):
                    values = np.frombuffer(data.astype(np.uint8).tobytes(), dtype)
                    packed = Blosc(cname=cname, clevel=5, shuffle=shuffle, blocksize=4096).encode(values)
                    cases.append((packed, values.tobytes()))
    script = """
        const [url, packed, done] = arguments;
        const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        import(url).then(async ({default: Blosc}) => {
          const codec = Blosc.fromConfig({});
          const sums = [];
          for (const text of packed) {
            const digest = await crypto.subtle.digest('SHA-256', await codec.decode(bytes(text)));
            sums.push(Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, '0')).join(''));
          }
          done(sums);
        }).catch((error) => done(String(error)));
    """
    url = f"{browser.address}/_static/{page_module.load().version}/{name}"
    packed = [base64.b64encode(data).decode() for data, _ in cases]
    found = browser.driver.execute_async_script(script, url, packed)
    assert found == [hashlib.sha256(values).hexdigest() for _, values in cases]


@needs_browser
def test_steps_have_the_labels_that_the_service_knows(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "labelled", query=f"variable=warmth&rescale=0,255&sel=time=exact::{LABELS[2]}")
    browser.open(at.path)
    values = blocks(at.scene.grid.shape, 2)
    assert_colours(browser.picture(), at, lambda row, col: GREY[values[row, col]])
    assert browser.text("#steps .name") == "Day"
    assert browser.text("#steps output") == LABELS[2]
    browser.click("#steps .next")
    assert browser.text("#steps output") == LABELS[3]
    assert f"sel=time=exact::{LABELS[3]}" in browser.driver.current_url
    row, col = cells(at.scene)[0]
    browser.click_at(at.pixel(row, col))
    browser.wait_for_text("#reading b", f"^{blocks(at.scene.grid.shape, 3)[row, col]} K$")
    assert not [url for url in browser.requests() if "bidx" in url]
    browser.choose("#steps input", "1")
    assert browser.text("#steps output") == "2 of 4"
    assert "bidx=2" in browser.driver.current_url
    assert "sel=" not in browser.driver.current_url
    values = blocks(at.scene.grid.shape, 1)
    assert_colours(browser.picture(), at, lambda row, col: GREY[values[row, col]])
    assert browser.text("#legend-name") == "Warmth (degC)"
    assert (browser.text("#legend-low"), browser.text("#legend-high")) == (f"{MINUS}5", "5")
    ends = browser.driver.execute_script(
        "const {data} = ramp.getContext('2d').getImageData(0, 0, 256, 1); return [data.slice(0, 4), data.slice(-4)]"
    )
    assert ends == [[255, 0, 0, 255], [0, 0, 255, 255]]
    browser.choose("#variable", "packed")
    browser.wait_for_text("#classes", "^waterforest$")
    assert browser.driver.execute_script("return [ramp.checkVisibility(), classes.checkVisibility()]") == [False, True]
    colours = browser.driver.execute_script(
        "return [...document.querySelectorAll('.swatch')].map((e) => getComputedStyle(e).backgroundColor)"
    )
    assert colours == ["rgb(0, 0, 255)", "rgba(0, 128, 0, 0.5)"]


@needs_browser
def test_tiles_that_fail_are_told(browser: Browser, scenes: dict[str, Scene]) -> None:
    at = shown(scenes, "utm", query="rescale=0,255")
    browser.open(
        at.path.replace("/utm/", "/broken/")
        .replace(at.path.split("center=")[1].split("&")[0], "{}")
        .format(",".join(map(str, at.scene.place(100, 100))))
    )
    browser.wait_for_text("#failures", "^1 tile could not be loaded: the dataset is damaged or cannot be read")
    assert browser.driver.execute_script("return again.hidden") is False
    assert browser.forgive("502") == 1
    browser.click("#again")
    browser.wait_for_text("#failures", "^1 tile could not be loaded")
    assert browser.forgive("502") == 1


INTERACTIVE = "button, input, select, a[href], summary, [tabindex='0']"


@needs_browser
def test_the_keyboard_reaches_every_control_by_name(browser: Browser, scenes: dict[str, Scene]) -> None:
    browser.open(shown(scenes, "time", query="rescale=0,255").path)
    script = f"""
        const shown = [...document.querySelectorAll("{INTERACTIVE}")].filter((e) => e.checkVisibility() && !e.disabled);
        shown.forEach((e, index) => (e.dataset.number = index));
        return shown.length;
    """
    count = browser.driver.execute_script(script)
    assert count > 12
    reached = []
    outlined = []
    for _ in range(count + 2):
        browser.press("Tab")
        number, style = browser.driver.execute_script(
            "const e = document.activeElement; return [e.dataset.number, getComputedStyle(e).outlineStyle]"
        )
        reached.append(number)
        outlined.append((number, style))
    assert {str(number) for number in range(count)} <= set(reached)
    assert all(style != "none" for number, style in outlined if number is not None)
    browser.driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {"button", "slider", "textbox", "combobox", "checkbox", "link", "application"}
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored") and node.get("role", {}).get("value") in roles
    ]
    assert len(named) >= 12
    assert all(name for _, name in named), named
    browser.driver.execute_script("map.focus()")
    browser.press("Enter")
    browser.wait_for_text("#reading b", "^[0-9]+ K$|no data")
    zoom = float(dict(parse_qsl(urlsplit(browser.driver.current_url).fragment))["zoom"])
    browser.press("+")
    browser.wait(f"return Number(new URLSearchParams(location.hash.slice(1)).get('zoom')) > {zoom} + 0.5")
    browser.press("0")
    browser.wait(f"return Number(new URLSearchParams(location.hash.slice(1)).get('zoom')) < {zoom} + 0.2")


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_overflows_on_a_phone(browser: Browser, dark: bool) -> None:
    browser.open("/time/map#variable=warmth&point=-11623320.8,4735426.9", size=(360, 640), dark=dark)
    browser.wait_for_text("#reading", "°")
    script = f"""
        const shown = [...document.querySelectorAll(".card, #line > *, #controls > *, {INTERACTIVE}, .step *")]
          .filter((e) => e.checkVisibility() && !e.closest('svg, option') && !e.matches('.name'));
        const outside = shown.filter((e) => {{
          const box = e.getBoundingClientRect();
          const inner = e.closest('#controls');
          const limit = inner ? inner.getBoundingClientRect() : {{left: 0, right: innerWidth}};
          return box.left < limit.left - 0.5 || box.right > limit.right + 0.5;
        }});
        return [document.documentElement.scrollWidth, outside.map((e) => e.outerHTML.slice(0, 80)), shown.length];
    """
    for is_folded in (True, False):
        assert browser.driver.execute_script("return controls.hidden") is is_folded
        width, outside, count = browser.driver.execute_script(script)
        assert (width, outside) == (360, [])
        assert count > 12
        cards = browser.driver.execute_script(
            "return ['#panel', '#foot'].map((id) => document.querySelector(id).getBoundingClientRect().toJSON())"
        )
        assert cards[0]["bottom"] <= cards[1]["top"]
        assert cards[1]["bottom"] <= 640
        browser.click("#fold")
    # Text against its card: at least 4.5 : 1 (WCAG 2.2, 1.4.3).
    inks = browser.driver.execute_script(
        "return ['#title', '#controls .field', '#steps output', '#reading .where', '#credits a'].map((selector) => {"
        " const e = document.querySelector(selector); const card = e.closest('.card, #line > *');"
        " return [getComputedStyle(e).color, getComputedStyle(card).backgroundColor]; })"
    )
    for ink, paper in inks:
        assert contrast(ink, paper) >= 4.5, (ink, paper)
    assert (luminance(inks[0][0]) > luminance(inks[0][1])) is dark


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = np.array([float(text) for text in re.findall(r"[0-9.]+", color)[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
