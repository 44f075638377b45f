"""Tiles of a dataset as files: a tree of folders for any web server, or one PMTiles archive.

Tiles are those that the service answers, byte for byte, of WebMercatorQuad, which all that read such files expect; a
tile without data is left out. They are drawn by threads and written in PMTiles' order, a space-filling curve, on which
neighbours share chunks. A tree that is stopped goes on where it was; an archive appears when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

from geozarr.errors import (
    ParameterError,
    StoreError,
    TargetExistsError,
    TileOutsideLimitsError,
)
from geozarr.grid import Bounds
from geozarr.store import open_store
from tiler import compiled, describe, select
from tiler.chunks import chunk_cache
from tiler.picture import Wish
from tiler.sampling import Sampling
from tiler.service import DEFAULT_TMS, DRAWING, Opened, Service
from tiler.settings import EXPORTED
from tiler.source import PyramidSource, ReadLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from geozarr.tms import TileLimits
    from tiler.archive import Archive
    from tiler.block import Block
    from tiler.pyramid import Band
    from tiler.select import Copy, Tileset, Warp
    from tiler.settings import Settings

SUFFIX = ".pmtiles"
STAMP = ".geozarr-export.json"
_AHEAD = 4  # tiles a thread that are drawn before they can be written
_MERCATOR = 85.0511287798066  # degrees north and south where Web Mercator ends


@dataclass(frozen=True)
class Options:
    """What is exported.

    Parameters
    ----------
    wish : Wish
        What to show; the natural picture by default.
    sampling : Sampling
        How to sample it.
    image_format : str
        One of `tiler.settings.EXPORTED`.
    min_zoom, max_zoom : int, optional
        By default those of the coarsest and the finest level.
    bounds : Bounds, optional
        Box in degrees; west is greater than east where it crosses the antimeridian. All by default.
    attribution : str
        Whom maps have to name.
    threads : int
        That draw.
    is_overwriting : bool
        Replace what an export has left in the target; anything else is never touched.

    Raises
    ------
    ParameterError
        If one of them is out of its range.
    """

    wish: Wish = Wish()  # noqa: RUF009 - frozen
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    image_format: str = "png"
    min_zoom: int | None = None
    max_zoom: int | None = None
    bounds: Bounds | None = None
    attribution: str = ""
    threads: int = os.cpu_count() or 1
    is_overwriting: bool = False

    def __post_init__(self) -> None:
        if self.image_format not in EXPORTED:
            raise ParameterError("format", found=self.image_format, expected=f"one of {', '.join(EXPORTED)}")
        if self.threads < 1:
            raise ParameterError("threads", found=self.threads, expected="at least 1")
        box = self.bounds
        if box is not None and not (
            all(-180 <= x <= 180 for x in (box.xmin, box.xmax)) and -90 <= box.ymin < box.ymax <= 90
        ):
            expected = "west,south,east,north in degrees, south below north"
            raise ParameterError("bbox", found=tuple(box), expected=expected)


@dataclass
class Report:
    """What has come of an export so far.

    Parameters
    ----------
    total : int
        Tiles that are looked at in all.
    done : int
        Tiles that have been looked at.
    written, kept, empty : int
        Of these: tiles that were written, were there already, and hold no data.
    size : int
        Bytes written.
    """

    total: int
    done: int = 0
    written: int = 0
    kept: int = 0
    empty: int = 0
    size: int = 0


class Sink(Protocol):
    """Where tiles go."""

    def has(self, z: int, x: int, y: int) -> bool:
        """Tell whether a tile is there already; called by many threads."""
        ...

    def add(self, z: int, x: int, y: int, data: bytes) -> None:
        """Write a tile; called by one thread, in PMTiles' order."""
        ...


def export(
    settings: Settings, target: Path, options: Options, *, listener: Callable[[Report], None] = lambda _: None
) -> Report:
    """Write the tiles of a dataset.

    Parameters
    ----------
    settings : Settings
        With one dataset.
    target : Path
        A file that ends in `.pmtiles`, or a folder.
    options : Options
        What is exported.
    listener : callable, optional
        Told what has been done after each tile.

    Returns
    -------
    Report
        What was done.

    Raises
    ------
    ParameterError
        If there are several datasets, the wish does not fit, a zoom does not exist, or no tile has data.
    TargetExistsError
        If the target is there and is none of this export.
    StoreError, ChunkReadError, LimitError, MetadataError, UnsupportedError
        If the dataset cannot be read, or the target cannot be written.
    UnknownNameError
        If a variable does not exist, or the dataset cannot be shown in Web Mercator.
    """
    if len(settings.datasets) != 1:
        names = tuple(dataset.name for dataset in settings.datasets)
        raise ParameterError("datasets", found=names, expected="one, to be exported")
    dataset = settings.datasets[0]
    service = Service(replace(settings, tile_cache_bytes=0))
    opened = _watched(service, settings)
    source = opened.source
    assert isinstance(source, _WatchedSource), "it has just been made one"
    tileset = service.tileset(opened, DEFAULT_TMS)
    positions = source.positions(options.wish.selectors)
    service.tilejson(opened, tileset, wish=options.wish, positions=positions, query="")  # tells what does not fit
    limits = _limits(tileset, options)
    report = Report(sum(item.height * item.width for items in limits.values() for item in items))
    about = _about(opened, tileset, options, (min(limits), max(limits)), name=dataset.title or dataset.name)

    def draw(z: int, x: int, y: int, sink: Sink) -> bytes | bool | None:
        """Return a tile, None where it has no data, True where it is there already."""
        if sink.has(z, x, y):
            return True
        source.forget()
        try:
            answer = service.tile(
                opened,
                tileset,
                matrix_id=str(z),
                row=y,
                col=x,
                image_format=options.image_format,
                wish=options.wish,
                positions=positions,
                sampling=options.sampling,
            )
        except TileOutsideLimitsError:
            return None
        data, _ = answer.make()
        return data if source.has_seen else None

    tiles = (tile for zoom, boxes in limits.items() for tile in tiles_of(zoom, boxes))
    write = _write_archive if target.suffix.lower() == SUFFIX else _write_tree
    compiled.load_soon()
    with write(target, options, about, settings.base_url, report) as sink:
        with _threads(options.threads) as pool:
            waiting: deque[tuple[tuple[int, int, int], Any]] = deque()
            for tile in tiles:
                waiting.append((tile, pool.submit(draw, *tile, sink)))
                if len(waiting) > options.threads * _AHEAD:
                    _take(waiting, sink, report, listener)
            while waiting:
                _take(waiting, sink, report, listener)
        if not report.written + report.kept:
            expected = "a box and zooms in which the dataset has data"
            raise ParameterError("export", found="no tile with data", expected=expected)
    return report


def _take(waiting: deque[tuple[tuple[int, int, int], Any]], sink: Sink, report: Report, listener: Any) -> None:
    """Write the tile that has been waited for longest."""
    tile, future = waiting.popleft()
    drawn = future.result()
    report.done += 1
    if drawn is True:
        report.kept += 1
    elif drawn is None:
        report.empty += 1
    else:
        sink.add(*tile, drawn)
        report.written += 1
        report.size += len(drawn)
    listener(report)


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Run threads; whatever ends this early does not wait for the tiles that they are at."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="export")
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


class _WatchedSource(PyramidSource):
    """Knows whether what a thread has read since it was told to forget holds anything valid."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seen = threading.local()

    def forget(self) -> None:
        """Begin anew, in this thread."""
        self._seen.value = False

    @property
    def has_seen(self) -> bool:
        """True where this thread has read a valid cell."""
        return getattr(self._seen, "value", False)

    def read(
        self,
        choice: Copy | Warp,
        bands: Sequence[Band],
        *,
        method: str | None = None,
        reproject_method: str | None = None,
    ) -> Block:
        """Read what has been chosen."""
        block = super().read(choice, bands, method=method, reproject_method=reproject_method)
        self._seen.value = self.has_seen or bool(block.mask.any())
        return block


def _watched(service: Service, settings: Settings) -> Opened:
    """Open the dataset, with the patience of somebody who waits for a file and not for a picture."""
    dataset = settings.datasets[0]
    opened = service.catalog.open(dataset.name)
    limits = ReadLimits(settings.chunks_per_read, settings.decoded_bytes_per_read)
    cache = chunk_cache(settings.chunk_cache_bytes)
    source = _WatchedSource(open_store(dataset.location), opened.source.pyramid, cache=cache, limits=limits)
    return Opened(opened.name, source, opened.version)


def tiles_of(zoom: int, boxes: Sequence[TileLimits]) -> Iterator[tuple[int, int, int]]:
    """List the tiles of a zoom that lie in some boxes, in PMTiles' order.

    The order is a Hilbert curve, on which the four tiles of a tile lie one after the other: a tile that is in no box is
    left out with all below it.

    Parameters
    ----------
    zoom : int
        Zoom of WebMercatorQuad.
    boxes : sequence of TileLimits
        Boxes of tiles of that zoom.

    Yields
    ------
    tuple of (int, int, int)
        z, x and y.
    """
    stack = [(0, 0)]  # zoom, and position on the curve of that zoom
    while stack:
        level, position = stack.pop()
        x, y = _on_curve(level, position)
        shift = zoom - level
        if not any(_meets(box, x, y, shift) for box in boxes):
            continue
        if not shift:
            yield zoom, x, y
        else:
            stack += [(level + 1, 4 * position + quarter) for quarter in (3, 2, 1, 0)]


def _on_curve(zoom: int, position: int) -> tuple[int, int]:
    """Column and row of a position on the Hilbert curve of a zoom (PMTiles 3, section 4.1)."""
    x = y = 0
    side = 1
    for _ in range(zoom):
        rx = position // 2 & 1
        ry = (position ^ rx) & 1
        if not ry:
            if rx:
                x, y = side - 1 - x, side - 1 - y
            x, y = y, x
        x, y = x + side * rx, y + side * ry
        position //= 4
        side *= 2
    return x, y


def _meets(box: TileLimits, x: int, y: int, shift: int) -> bool:
    is_in_cols = x << shift <= box.maxTileCol and box.minTileCol < (x + 1) << shift
    return is_in_cols and y << shift <= box.maxTileRow and box.minTileRow < (y + 1) << shift


def _limits(tileset: Tileset, options: Options) -> dict[int, tuple[TileLimits, ...]]:
    """Tiles of each zoom that may have data."""
    tms = tileset.tms
    least = int(tileset.minzoom) if options.min_zoom is None else options.min_zoom
    most = max(least, int(tileset.maxzoom)) if options.max_zoom is None else options.max_zoom
    zooms = [int(matrix_id) for matrix_id in tms.ids]
    if least not in zooms or most not in zooms or least > most:
        expected = f"min-zoom to max-zoom within {zooms[0]} to {zooms[-1]}"
        raise ParameterError("zooms", found=(least, most), expected=expected)
    levels = tileset.levels
    extent = select.transform_bounds(levels.finest.grid.bounds, levels.crs, tms.crs)
    boxes = [] if extent is None else [box for part in _parts(tileset, options) if (box := _common(part, extent))]
    found = {}
    for zoom in range(least, most + 1):
        limits = []
        for box in boxes:
            try:
                limits.append(tms.limits_of(str(zoom), box))
            except TileOutsideLimitsError:
                continue
        found[zoom] = _joined(limits)
    return found


def _joined(limits: list[TileLimits]) -> tuple[TileLimits, ...]:
    """Make one box of two that share tiles, so that none is listed twice; their rows are the same."""
    if len(limits) < 2 or max(item.minTileCol for item in limits) > min(item.maxTileCol for item in limits):
        return tuple(limits)
    first, last = min(item.minTileCol for item in limits), max(item.maxTileCol for item in limits)
    return (replace(limits[0], minTileCol=first, maxTileCol=last),)


def _parts(tileset: Tileset, options: Options) -> list[Bounds]:
    """Parts of the box that was asked for, in units of the set; one that crosses the antimeridian has two."""
    box = options.bounds
    if box is None:
        return [tileset.tms.matrix_grid(tileset.tms.ids[0]).bounds]
    south, north = max(box.ymin, -_MERCATOR), min(box.ymax, _MERCATOR)
    spans = [(box.xmin, box.xmax)] if box.xmin < box.xmax else [(box.xmin, 180.0), (-180.0, box.xmax)]
    degrees = describe.longitude_latitude()
    parts = (Bounds(west, south, east, north) for west, east in spans if west < east)
    return [part for part in (select.transform_bounds(item, degrees, tileset.tms.crs) for item in parts) if part]


def _common(one: Bounds, other: Bounds) -> Bounds | None:
    """Box that two boxes have in common; None where it has no area."""
    low, high = map(max, one[:2], other[:2]), map(min, one[2:], other[2:])
    box = Bounds(*low, *high)
    return box if box.xmin < box.xmax and box.ymin < box.ymax else None


def _about(opened: Opened, tileset: Tileset, options: Options, zooms: tuple[int, int], *, name: str) -> dict[str, Any]:
    """Describe the export as TileJSON 3.0 does, without the address of the tiles."""
    pyramid = opened.source.pyramid
    described = describe.tilejson(pyramid, tileset, name=name, tile_url="")
    box = _clipped(Bounds(*described["bounds"]), options.bounds)
    about = {
        "tilejson": "3.0.0",
        "name": name,
        "version": "1.0.0",
        "scheme": "xyz",
        "minzoom": zooms[0],
        "maxzoom": zooms[1],
        "bounds": list(box),
        "center": [(box.xmin + box.xmax) / 2, (box.ymin + box.ymax) / 2, zooms[0]],
    }
    return about | ({"attribution": options.attribution} if options.attribution else {}) | {"build": opened.version}


def _clipped(data: Bounds, asked: Bounds | None) -> Bounds:
    """Bounds in degrees of what is exported."""
    south, north = max(data.ymin, -_MERCATOR), min(data.ymax, _MERCATOR)
    west, east = max(data.xmin, -180.0), min(data.xmax, 180.0)
    if asked is not None and asked.xmin < asked.xmax:
        west, east = max(west, asked.xmin), min(east, asked.xmax)
    if asked is not None:
        south, north = max(south, asked.ymin), min(north, asked.ymax)
    return Bounds(west, south, max(west, east), max(south, north))


def _metadata(about: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """Say what MBTiles and PMTiles say about tiles."""
    return {
        **{key: about[key] for key in ("name", "version", "attribution") if key in about},
        "build": about["build"].partition(" ")[0],  # without the stamp of a document that names no manifest
        "type": "overlay",
        "format": options.image_format,
        "generator": f"geozarr-pyramids {_version()}",
    }


@contextmanager
def _write_archive(
    target: Path,
    options: Options,
    about: Mapping[str, Any],
    _: str,
    __: Report,
) -> Iterator[Sink]:
    try:
        from tiler.archive import Archive  # noqa: PLC0415 - of the extra `export`: what is missing is told below
    except ModuleNotFoundError as error:
        expected = "it to be installed: pip install 'geozarr-pyramids[export]'"
        raise ParameterError("export", found=f"no package {error.name}", expected=expected) from error
    if target.exists() and not (options.is_overwriting and _is_archive(target)):
        expected = "no file there" if _is_archive(target) else "no file there, or a PMTiles archive to be overwritten"
        raise TargetExistsError(str(target), found="a file or folder", expected=expected)
    with Archive(target) as archive:
        yield _ArchiveSink(archive)
        if archive.count:
            west, south, east, north = about["bounds"]
            x, y, zoom = about["center"]
            archive.finish(
                image_format=options.image_format,
                bounds=Bounds(west, south, east, north),
                center=(x, y, zoom),
                metadata=_metadata(about, options),
            )


def _is_archive(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(7) == b"PMTiles"


class _ArchiveSink:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def has(self, z: int, x: int, y: int) -> bool:  # noqa: ARG002 - the protocol's signature
        return False

    def add(self, z: int, x: int, y: int, data: bytes) -> None:
        from pmtiles.tile import zxy_to_tileid  # noqa: PLC0415 - of the extra `export`

        self._archive.add(zxy_to_tileid(z, x, y), data)


@contextmanager
def _write_tree(
    target: Path, options: Options, about: Mapping[str, Any], base_url: str, report: Report
) -> Iterator[Sink]:
    picture = repr((options.wish, options.sampling))
    identity = hashlib.sha256(repr((DRAWING, about["build"], picture, options.image_format)).encode()).hexdigest()
    stamp = {"build": about["build"], "picture": picture, "format": options.image_format, "sha256": identity}
    try:
        _prepare(target, stamp, options)
        yield _TreeSink(target, options.image_format)
        if not report.written + report.kept:
            return
        document = {key: value for key, value in about.items() if key != "build"}
        prefix = f"{base_url}/" if base_url else ""
        document["tiles"] = [f"{prefix}{{z}}/{{x}}/{{y}}.{options.image_format}"]
        _write_whole(target / "tilejson.json", _json(document))
        _write_whole(target / "metadata.json", _json(_metadata(about, options)))
    except OSError as error:
        raise StoreError("put", str(target), reason=str(error)) from error


def _prepare(target: Path, stamp: Mapping[str, Any], options: Options) -> None:
    """Make the folder, or find it to be that of this export; clear it where another one may be overwritten."""
    found = _stamp_of(target)
    if found == stamp["sha256"]:
        return
    if target.exists() and (not target.is_dir() or (found is None and any(target.iterdir()))):
        raise TargetExistsError(str(target), found="something else", expected="a new or empty folder, or an export")
    if found is not None:
        if not options.is_overwriting:
            expected = "the export of this build and picture, or to be overwritten"
            raise TargetExistsError(str(target), found="the export of another build or picture", expected=expected)
        _clear(target)
    target.mkdir(parents=True, exist_ok=True)
    _write_whole(target / STAMP, _json(stamp))


def _stamp_of(target: Path) -> str | None:
    """Read what the tiles of a folder are; None where it is the folder of no export."""
    try:
        found = json.loads((target / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("sha256") if isinstance(found, dict) else None


def _clear(target: Path) -> None:
    """Delete what an export has written, and nothing else; its stamp goes last, so that this can be done again."""
    for name in ("tilejson.json", "metadata.json"):
        (target / name).unlink(missing_ok=True)
    for path in target.iterdir():
        if path.name.isdecimal() and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
    (target / STAMP).unlink()


class _TreeSink:
    def __init__(self, folder: Path, image_format: str) -> None:
        self._folder = folder
        self._format = image_format

    def has(self, z: int, x: int, y: int) -> bool:
        return self._path(z, x, y).is_file()

    def add(self, z: int, x: int, y: int, data: bytes) -> None:
        path = self._path(z, x, y)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(path, data)

    def _path(self, z: int, x: int, y: int) -> Path:
        return self._folder / str(z) / str(x) / f"{y}.{self._format}"


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file so that whoever finds it finds all of it."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def parse_box(text: str) -> Bounds:
    """Read `west,south,east,north`; raises `ParameterError` for what is not four finite numbers."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise ParameterError("--bbox", found=text, expected="west,south,east,north in degrees")
    return Bounds(*numbers)


def _version() -> str:
    try:
        return version("geozarr-pyramids")
    except PackageNotFoundError:
        return ""
