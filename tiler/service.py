"""What the service does, without HTTP: datasets by name, their tiles, documents and points, each read and made once.

An `Answer` is known to exist before it is made: names, limits and parameters have been checked, and its tag tells a
client whether it has it already. Making it reads chunks and draws.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from geozarr import tms as tms_module
from geozarr.errors import GeoZarrError, LimitError, ParameterError, UnknownNameError, UnsupportedError, in_one_line
from geozarr.store import DocumentLimits, read_tree
from tiler import describe
from tiler import page as page_module
from tiler import picture as picture_module
from tiler import statistics as statistics_module
from tiler.block import Block
from tiler.body import with_statistics
from tiler.cache import BoundedCache
from tiler.catalog import Catalog
from tiler.chunks import chunk_cache
from tiler.compute import compute
from tiler.extent import grown
from tiler.ground import cell_size_on_ground
from tiler.place import Outline, crs_of
from tiler.pyramid import read_pyramid
from tiler.raw import RawStore
from tiler.render import render
from tiler.select import Tileset, Warp, own_tms
from tiler.source import PyramidSource, ReadLimits, available_levels, empty_block

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from geozarr import CRS, Grid
    from geozarr.stores import Store
    from geozarr.tms import TileMatrixSet
    from tiler.picture import Picture, Wish
    from tiler.place import Place
    from tiler.sampling import Sampling
    from tiler.settings import Settings
    from tiler.statistics import StatisticsOptions

_LOG = logging.getLogger(__name__)
DEFAULT_TMS = "WebMercatorQuad"  # in which native pyramids are shown
MAX_GROUPS = 16  # groups of a store inside each other
DRAWING = "2"  # part of every tag: raised when the same request comes to draw other bytes
NUMBERS = ("npy", "tif")  # formats of values, which need no colours
_QUICK = ("png", "npy")  # formats that a tile is written in within a millisecond
NOWHERE = (0.0, 0.0)  # size on the ground of cells where it does not matter
_ENTRY_BYTES = 256  # what an entry of the tile cache costs beside its bytes


class PointOutsideError(GeoZarrError):
    """A point lies outside a dataset.

    Parameters
    ----------
    x, y : float
        The point, as asked for.
    """

    def __init__(self, x: float, y: float) -> None:
        self.x = x
        self.y = y
        super().__init__(f"point {x:g},{y:g} is outside the dataset")


@dataclass(frozen=True)
class Answer:
    """A response that exists.

    Parameters
    ----------
    tag : str
        Changes whenever the bytes do; hexadecimal.
    make : callable
        Returns the bytes and their media type; raises as reading does.
    made : callable
        Returns them where they are at hand, else None; takes no time.
    is_quick : callable
        Tells whether making them takes a millisecond or two, where all that it needs is at hand.
    """

    tag: str
    make: Callable[[], tuple[bytes, str]]
    made: Callable[[], tuple[bytes, str] | None] = lambda: None
    is_quick: Callable[[], bool] = lambda: False


class Opened:
    """A dataset that has been opened.

    Parameters
    ----------
    name : str
        Its name in the service.
    source : PyramidSource
        Reads it.
    version : str
        Changes when what is read does.
    raw : RawStore, optional
        Its stored objects, where they are exposed.
    """

    def __init__(self, name: str, source: PyramidSource, version: str, raw: RawStore | None = None) -> None:
        self.name = name
        self.source = source
        self.version = version
        self.raw = raw

    @cached_property
    def own(self) -> TileMatrixSet | None:
        """The set that the pyramid is aligned with."""
        return own_tms(self.source.pyramid.levels)

    @property
    def map_tms(self) -> str:
        """Name of the set that a map of the dataset uses."""
        is_numbered = self.own is not None and all(matrix_id.isdecimal() for matrix_id in self.own.ids)
        return self.own.id if self.own is not None and is_numbered else DEFAULT_TMS


class Service:
    """Datasets and what is made of them. Safe to share among threads.

    Parameters
    ----------
    settings : Settings
        Datasets, links and limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._limits = ReadLimits(settings.chunks_per_read, settings.decoded_bytes_per_read)
        self._chunks = chunk_cache(settings.chunk_cache_bytes)
        self._tiles: BoundedCache[tuple[bytes, str]] = BoundedCache(
            settings.tile_cache_bytes, lambda tile: len(tile[0]) + _ENTRY_BYTES
        )
        self._documents = DocumentLimits(
            settings.document_bytes, settings.document_depth, settings.document_nodes, MAX_GROUPS
        )
        self.catalog = Catalog(settings.datasets, self._make, refresh=settings.refresh, most=settings.open_datasets)
        self._tilesets: BoundedCache[Tileset] = BoundedCache(settings.open_datasets * 4, lambda _: 1)

    def _make(self, name: str, store: Store, stamp: str | None) -> Opened:
        tree = read_tree(store, limits=self._documents)
        pyramid = read_pyramid(tree)
        listed = 0 if pyramid.manifest is None else pyramid.manifest.entry.length
        if listed > self._documents.size:
            raise LimitError("manifest in bytes", allowed=self._documents.size, found=listed)
        # Documents that name a manifest name a build. Others may stay the same over other chunks: their time tells.
        version = pyramid.version if pyramid.manifest is not None else f"{pyramid.version} {stamp}"
        source = PyramidSource(store, pyramid, cache=self._chunks, limits=self._limits)
        try:
            source.prepare()
        except GeoZarrError as error:
            _LOG.warning("dataset %s: its manifest cannot be read: %s", name, in_one_line(error))
        raw = RawStore(store, tree, version=version) if self.settings.expose_zarr else None
        return Opened(name, source, version, raw)

    @property
    def caches(self) -> dict[str, BoundedCache[Any]]:
        """Caches that are bounded in bytes, by name."""
        return {"tiles": self._tiles, "chunks": self._chunks}

    def document(self, key: tuple[Any, ...], make: Callable[[], tuple[bytes, str]]) -> Answer:
        """Find a document that is made once for all that ask for it, and kept as tiles are.

        Parameters
        ----------
        key : tuple
            Everything that its bytes depend on.
        make : callable
            Returns the bytes and their media type.
        """
        return Answer(tag_of(key), lambda: self._tiles.get(key, make), lambda: self._tiles.peek(key))

    def known_tileset(self, opened: Opened, tms_id: str) -> Tileset | None:
        """Return a set that has been asked for before, None where it has to be made."""
        return self._tilesets.peek((opened.name, opened.version, tms_id))

    def tileset(self, opened: Opened, tms_id: str) -> Tileset:
        """Return a set by its name: the pyramid's own, or a registered one.

        Raises
        ------
        UnknownNameError
            If there is no such set, or it cannot hold this pyramid.
        """
        own = opened.own
        if not (own is not None and tms_id == own.id) and tms_id not in tms_module.known_ids():
            raise UnknownNameError("TileMatrixSet", tms_id, tms_module.known_ids())
        return self._tilesets.get((opened.name, opened.version, tms_id), lambda: _tileset(opened, tms_id))

    def tile(
        self,
        opened: Opened,
        tileset: Tileset,
        *,
        matrix_id: str,
        row: int,
        col: int,
        image_format: str | None,
        wish: Wish,
        positions: Mapping[str, int],
        sampling: Sampling,
    ) -> Answer:
        """Find a tile.

        Parameters
        ----------
        opened : Opened
            The dataset.
        tileset : Tileset
            One of its sets.
        matrix_id : str
            Tile matrix.
        row, col : int
            The tile, as the set counts it.
        image_format : str or None
            As in `tiler.render.render`.
        wish : Wish
            What to show.
        positions : mapping of str to int
            What its selectors choose, from `PyramidSource.positions`.
        sampling : Sampling
            How to sample it.

        Raises
        ------
        UnknownNameError, TileOutsideLimitsError
            If the matrix, a variable or the tile does not exist.
        ParameterError
            If the wish does not fit the dataset, or the picture would be too large.
        LimitError
            If tiles of the set are larger than pictures may be.
        """
        picture = _composed(opened, wish, positions, image_format)
        matrix = tileset.tms.matrix(matrix_id)
        side = max(matrix.tileWidth, matrix.tileHeight)
        if side > self.settings.max_side:  # a set of the store's own may have tiles of any size
            raise LimitError("pixels of a tile's side", allowed=self.settings.max_side, found=side)
        choice = tileset.choose(matrix_id, row=row, col=col, available=available_levels(picture.bands))
        key = ("tile", opened.name, opened.version, tileset.tms.id, matrix_id, row, col, image_format, wish, sampling)

        def target() -> Grid:
            tms = tileset.tms
            return sampling.target(tms.matrix_grid(matrix_id).crop(tms.tile_window(matrix_id, row=row, col=col)))

        def is_quick() -> bool:
            if not (sampling.is_plain and image_format in _QUICK) or picture.is_computed or isinstance(choice, Warp):
                return False
            return opened.source.is_small(choice, picture.bands)

        if sampling.is_plain and picture.algorithm is None:

            def draw() -> tuple[bytes, str]:
                return _drawn(opened.source.read(choice, picture.bands), picture, image_format, target)
        else:
            grid = target()
            self._require_side(grid)

            def draw() -> tuple[bytes, str]:
                block = _computed_on(opened.source, picture, sampling, grid)
                return render(block, picture, image_format, lambda: grid)

        return Answer(tag_of(key), lambda: self._tiles.get(key, draw), lambda: self._tiles.peek(key), is_quick)

    def picture(
        self,
        opened: Opened,
        place: Place,
        *,
        image_format: str | None,
        wish: Wish,
        positions: Mapping[str, int],
        sampling: Sampling,
    ) -> Answer:
        """Find a picture of any place.

        Parameters
        ----------
        opened : Opened
            The dataset.
        place : Place
            What it is of. Making the picture raises `ParameterError` where that has no image, or too large a one.
        image_format, wish, positions, sampling : str or None, Wish, mapping, Sampling
            As for a tile.

        Raises
        ------
        UnknownNameError, ParameterError
            As for a tile.
        """
        picture = _composed(opened, wish, positions, image_format)

        def draw() -> tuple[bytes, str]:
            grid = self._grid(opened, place)
            block = _computed_on(opened.source, picture, sampling, grid, place)
            return render(block, picture, image_format, lambda: grid)

        return Answer(tag_of(("picture", opened.name, opened.version, place, image_format, wish, sampling)), draw)

    def statistics(
        self,
        opened: Opened,
        places: tuple[Place, ...],
        *,
        wish: Wish,
        positions: Mapping[str, int],
        sampling: Sampling,
        options: StatisticsOptions,
        document: dict[str, Any] | None = None,
    ) -> Answer:
        """Find statistics of some places; cells that lie partly within a geometry count partly.

        Parameters
        ----------
        opened, wish, positions, sampling : Opened, Wish, mapping, Sampling
            As for a picture.
        places : tuple of Place
            As for a picture, each.
        options : StatisticsOptions
            What is computed.
        document : dict, optional
            GeoJSON whose features the places are: the statistics are added to their properties.

        Raises
        ------
        UnknownNameError, ParameterError
            As for a tile.
        """
        picture = picture_module.values_of(opened.source.pyramid, wish, positions)

        def count(place: Place) -> dict[str, Any]:
            grid = self._grid(opened, place)
            block = _computed_on(opened.source, picture, sampling, grid, place)
            weights = place.coverage(grid) if isinstance(place, Outline) else None
            found = statistics_module.statistics(block, options, weights=weights)
            bands = () if picture.is_computed else opened.source.labelled(picture.bands, positions)
            names = [band.name for band in bands] or [f"b{number}" for number in range(1, len(found) + 1)]
            return {
                f"b{number}": {**one, "description": name}
                for number, (one, name) in enumerate(zip(found, names, strict=True), 1)
            }

        def make() -> tuple[bytes, str]:
            found = [count(place) for place in places]
            return encode(found[0] if document is None else with_statistics(document, found))

        key = ("statistics", opened.name, opened.version, places, wish, sampling, options, json.dumps(document))
        return Answer(tag_of(key), make)

    def _grid(self, opened: Opened, place: Place) -> Grid:
        grid = place.grid(opened.source.pyramid.levels)
        self._require_side(grid)
        return grid

    def _require_side(self, grid: Grid) -> None:
        most = self.settings.max_side
        if max(grid.shape) > most:
            found = f"{grid.width} x {grid.height}"
            raise ParameterError("size", found=found, expected=f"at most {most} pixels a side")

    def tilejson(
        self, opened: Opened, tileset: Tileset, *, wish: Wish, positions: Mapping[str, int], query: str
    ) -> Answer:
        """Find the TileJSON of a dataset.

        Parameters
        ----------
        opened : Opened
            The dataset.
        tileset : Tileset
            One of its sets.
        wish : Wish
            What the tiles are to show.
        positions : mapping of str to int
            What its selectors choose, from `PyramidSource.positions`.
        query : str
            The same as text, appended to the address of the tiles.

        Raises
        ------
        UnknownNameError, ParameterError
            As `tile` does.
        """
        pyramid, name, tms_id = opened.source.pyramid, opened.name, tileset.tms.id
        picture_module.compose(pyramid, wish, positions)
        url = f"{self.settings.base_url}/{name}/tiles/{quote(tms_id)}/{{z}}/{{x}}/{{y}}{query}"

        def make() -> tuple[bytes, str]:
            try:
                return encode(describe.tilejson(pyramid, tileset, name=name, tile_url=url))
            except UnsupportedError as error:
                raise UnknownNameError("TileMatrixSet with numbered matrices", tms_id, (DEFAULT_TMS,)) from error

        return self.document(("tilejson", name, opened.version, tms_id, query, self.settings.base_url), make)

    def info(self, opened: Opened) -> Answer:
        """Find the description of a dataset."""
        key = ("info", opened.name, opened.version, self.settings.base_url, opened.raw is not None)
        return self.document(key, lambda: encode(self.description(opened)))

    def description(self, opened: Opened) -> dict[str, Any]:
        """Describe a dataset; reads the values of its dimensions."""
        name, source = opened.name, opened.source
        tms_id = opened.own.id if opened.own else None
        document = describe.info(source.pyramid, source.dimensions, name=name, tms_id=tms_id)
        document |= {"map": self.map_url(opened), "mapTileMatrixSet": opened.map_tms}
        if opened.raw is not None:
            document["zarr"] = f"{self.settings.base_url}/{name}/zarr"
        return document

    def dimensions(self, opened: Opened) -> Answer:
        """Find the dimensions of a dataset before rows and columns, with a label for each step."""
        key = ("dimensions", opened.name, opened.version)
        return self.document(key, lambda: encode(describe.dimensions(opened.source.dimensions)))

    def point(
        self, opened: Opened, *, x: float, y: float, crs_code: str | None, wish: Wish, positions: Mapping[str, int]
    ) -> Answer:
        """Find the values at a point, of the natural picture's bands where the wish names none.

        Raises
        ------
        ParameterError
            If the CRS is not known, the coordinates are no longitude and latitude, or the wish does not fit.
        UnknownNameError
            If a variable does not exist.
        PointOutsideError
            If the point is outside the dataset.
        """
        source = opened.source
        crs = _coordinate_crs(crs_code, x=x, y=y)
        bands = picture_module.values_of(source.pyramid, wish, positions).bands
        try:
            cell = source.cell_of(x, y, crs, bands)
        except UnsupportedError as error:
            raise ParameterError(
                "coord_crs", found=crs_code, expected="a CRS that the dataset's can be told in"
            ) from error
        if cell is None:
            raise PointOutsideError(x, y)

        def make() -> tuple[bytes, str]:
            block = source.read_point(x, y, crs, bands)
            assert block is not None, "the cell has been found"
            return encode(describe.point(block, source.labelled(bands, positions), x=x, y=y))

        return Answer(tag_of(("point", opened.name, opened.version, x, y, crs_code, wish)), make)

    def map_page(self, root: str) -> Answer:
        """Find the map page; it is the same for all datasets and sets, and reads its own address.

        Parameters
        ----------
        root : str
            The way from the page's address to the root of the service: `../` or `../../`.
        """
        html = page_module.load().at(root)
        made = (html, page_module.HTML)
        return Answer(hashlib.sha256(html).hexdigest()[:32], lambda: made, lambda: made)

    def map_url(self, opened: Opened) -> str:
        """Address of a dataset's map page."""
        return f"{self.settings.base_url}/{opened.name}/map"


def _composed(opened: Opened, wish: Wish, positions: Mapping[str, int], image_format: str | None) -> Picture:
    """Settle what is shown: numbers need neither ranges nor colours."""
    compose = picture_module.values_of if image_format in NUMBERS else picture_module.compose
    return compose(opened.source.pyramid, wish, positions)


def _drawn(block: Block, picture: Picture, image_format: str | None, grid: Callable[[], Grid]) -> tuple[bytes, str]:
    """Draw what has been read; where it lies matters to some formats alone."""
    return render(compute(block, picture, NOWHERE), picture, image_format, grid)


def _computed_on(
    source: PyramidSource, picture: Picture, sampling: Sampling, grid: Grid, place: Place | None = None
) -> Block:
    """Read the pixels of a grid and compute what a picture shows of them, within an outline where there is one."""
    around = 0 if picture.algorithm is None else picture.algorithm.buffer
    target = grown(grid, around)
    block = source.read_grid(
        target,
        picture.bands,
        method=sampling.method,
        reproject_method=sampling.reproject_method,
        strategy=sampling.strategy,
    )
    if block is None:
        block = empty_block(target.shape, picture.bands)
    block = compute(block, picture, NOWHERE if picture.algorithm is None else cell_size_on_ground(grid))
    return Block(block.values, block.mask & place.mask(grid)) if isinstance(place, Outline) else block


def _tileset(opened: Opened, tms_id: str) -> Tileset:
    own = opened.own
    tms = own if own is not None and tms_id == own.id else tms_module.load(tms_id)
    try:
        return Tileset(opened.source.pyramid.levels, tms)
    except UnsupportedError as error:
        raise UnknownNameError("TileMatrixSet that can hold this dataset", tms_id, (DEFAULT_TMS,)) from error


def _coordinate_crs(code: str | None, *, x: float, y: float) -> CRS:
    if code is not None:
        return crs_of(code)
    if not (-180 <= x <= 180 and -90 <= y <= 90):
        raise ParameterError("lon,lat", found=(x, y), expected="-180 to 180 and -90 to 90 degrees")
    return describe.longitude_latitude()


def encode(document: dict[str, Any]) -> tuple[bytes, str]:
    """Write JSON, and name its media type."""
    # Texts of a store's documents may hold halves of surrogate pairs, which UTF-8 has not.
    return json.dumps(document, allow_nan=False, ensure_ascii=False).encode(errors="replace"), "application/json"


def tag_of(key: tuple[Any, ...]) -> str:
    """Return the tag of an answer, from everything that its bytes depend on; hexadecimal."""
    return hashlib.sha256(f"{DRAWING} {key!r}".encode()).hexdigest()[:32]
