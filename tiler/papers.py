"""Documents about the service and its datasets, as answers: OGC API, WMTS, legends, colormaps, algorithms.

What they say is decided in `tiler.ogc`, `tiler.wmts` and `tiler.legend`; here it is found what they have to say it of.
They are made in threads: a list of sets, or of tiles that show something, takes its time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr import tms as tms_module
from geozarr.errors import UnknownNameError
from tiler import algorithms, colormaps, describe, legend, ogc, pages, png, wmts
from tiler import picture as picture_module
from tiler.cache import BoundedCache
from tiler.colors import Classes, Intervals, Ramp
from tiler.service import DEFAULT_TMS, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from geozarr.tms import TileMatrixSet
    from tiler.picture import Picture, Wish
    from tiler.pyramid import Variable
    from tiler.select import Tileset
    from tiler.service import Answer, Opened, Service

TITLE = "GeoZarr pyramids"
OFFERED = (DEFAULT_TMS, "WorldCRS84Quad")  # sets that each dataset on the Earth is offered in, beside its own
_ENTRIES = 1024  # of the landing page; small ones
_SWATCH = (24, 256)  # pixels of the picture of a colormap


class Papers:
    """Makes documents.

    Parameters
    ----------
    service : Service
        What they are about.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._base = service.settings.base_url
        self._entries: BoundedCache[pages.Entry] = BoundedCache(_ENTRIES, lambda _: 1)

    def known_entry(self, opened: Opened) -> pages.Entry | None:
        """Return what `entry` has told before; None where it has not."""
        return self._entries.peek((opened.name, opened.version))

    def entry(self, opened: Opened) -> pages.Entry:
        """Tell what the landing page says of a dataset."""

        def tell() -> pages.Entry:
            return pages.Entry(
                opened.name,
                opened.name,
                describe.geojson_bounds(opened.source.pyramid),
                self._service.map_url(opened),
                tilejson_url=f"{self._base}/{opened.name}/{opened.map_tms}/tilejson.json",
            )

        return self._entries.get((opened.name, opened.version), tell)

    def landing_page(self, entries: Sequence[pages.Entry], *, is_html: bool) -> Answer:
        """Find the landing page."""
        key = ("landing", tuple(entries), is_html, self._base)
        if is_html:
            html = pages.index_page(entries, title=TITLE, base=self._base)
            return self._service.document(key, lambda: (html, "text/html; charset=utf-8"))
        return self._json(key, lambda: ogc.landing_page(entries, title=TITLE, base=self._base))

    def conformance(self) -> Answer:
        """Find the conformance classes."""
        return self._json(("conformance",), ogc.conformance)

    def collections(self, told: Sequence[bytes]) -> Answer:
        """Find the list of collections, of what `collection` has said of each."""
        key = ("collections", tuple(told), self._base)
        return self._json(key, lambda: ogc.collections(map(json.loads, told), base=self._base))

    def collection(self, opened: Opened) -> Answer:
        """Find a dataset as a collection."""
        return self._json(self._key("collection", opened), lambda: self._collection(opened))

    def _collection(self, opened: Opened) -> dict[str, Any]:
        source = opened.source
        sets = self._tilesets(opened)
        return ogc.collection(source.pyramid, sets, source.dimensions, name=opened.name, base=self._base)

    def feature(self, opened: Opened) -> Answer:
        """Find the description of a dataset as a GeoJSON feature."""

        def make() -> tuple[bytes, str]:
            document = describe.infogeojson(opened.source.pyramid, self._service.description(opened))
            return encode(document)[0], "application/geo+json"

        return self._service.document((*self._key("feature", opened), opened.raw is not None), make)

    def tilesets(self, opened: Opened) -> Answer:
        """Find the list of a dataset's tilesets."""
        key = self._key("tilesets", opened)
        return self._json(key, lambda: ogc.tilesets(self._tilesets(opened), name=opened.name, base=self._base))

    def tileset(self, opened: Opened, tileset: Tileset) -> Answer:
        """Find the description of a tileset."""
        source = opened.source

        def make() -> dict[str, Any]:
            return ogc.tileset(source.pyramid, tileset, source.dimensions, name=opened.name, base=self._base)

        return self._json((*self._key("tileset", opened), tileset.tms.id), make)

    def capabilities(self, opened: Opened, tileset: Tileset | None = None) -> Answer:
        """Find the WMTS capabilities of a dataset, in all sets that it is offered in or in one."""

        def make() -> tuple[bytes, str]:
            source = opened.source
            asked = self._tilesets(opened) if tileset is None else (tileset,)
            told = [item for item in asked if wmts.why_not(source.pyramid, item) is None]
            if not told:
                names = ", ".join(item.tms.id for item in asked)
                raise UnknownNameError("TileMatrixSet that WMTS can tell", names, OFFERED)
            axes = source.dimensions
            return wmts.capabilities(source.pyramid, told, axes, name=opened.name, base=self._base), wmts.MEDIA_TYPE

        key = (*self._key("wmts", opened), None if tileset is None else tileset.tms.id)
        return self._service.document(key, make)

    def tile_matrix_sets(self, datasets: Sequence[Opened]) -> Answer:
        """Find the list of tile matrix sets: those that are registered, and those of datasets."""
        own = _own_sets(datasets)

        def make() -> dict[str, Any]:
            known = {set_id: tms_module.load(set_id) for set_id in tms_module.known_ids()}
            return ogc.tile_matrix_sets({**own, **known}.values(), base=self._base)

        told = tuple((item.id, item.title, item.uri, str(item.crs)) for item in own.values())
        return self._json(("sets", told, self._base), make)

    def tile_matrix_set(self, set_id: str, datasets: Sequence[Opened]) -> Answer:
        """Find the definition of a tile matrix set.

        Raises
        ------
        UnknownNameError
            If there is no such set.
        """
        own = _own_sets(datasets)
        if set_id not in own and set_id not in tms_module.known_ids():
            raise UnknownNameError("TileMatrixSet", set_id, tms_module.known_ids())

        def make() -> dict[str, Any]:
            is_known = set_id in tms_module.known_ids()
            return (tms_module.load(set_id) if is_known else own[set_id]).to_document()

        return self._json(("set", set_id, repr(own.get(set_id))), make)

    def colormap_names(self) -> Answer:
        """Find the names of the colormaps."""
        names = colormaps.names()
        return self._json(("colormaps", names), lambda: {"colorMaps": list(names)})

    def colormap(self, name: str, *, is_image: bool = False) -> Answer:
        """Find a colormap: red, green, blue and alpha of each of 256 values, or a picture of them.

        Raises
        ------
        UnknownNameError
            If there is no colormap of that name.
        """
        table = colormaps.table(name)
        key = ("colormap", name, is_image)
        if not is_image:
            return self._json(key, lambda: {str(value): color for value, color in enumerate(table.tolist())})
        row = np.broadcast_to(np.arange(256, dtype=np.uint8), _SWATCH)
        return self._service.document(key, lambda: (png.encode_palette(row, table), "image/png"))

    def algorithm(self, name: str | None = None) -> Answer:
        """Find the description of an algorithm, or of all by their names; raises `UnknownNameError`."""
        names = algorithms.names() if name is None else (name,)
        described = {item: algorithms.describe(item) for item in names}
        return self._json(("algorithms", name), lambda: described if name is None else described[name])

    def legend(
        self, opened: Opened, wish: Wish, positions: Mapping[str, int], drawing: Mapping[str, Any] | None
    ) -> Answer:
        """Find the legend of a picture.

        Parameters
        ----------
        opened : Opened
            The dataset.
        wish : Wish
            What is shown.
        positions : mapping of str to int
            What its selectors choose, from `PyramidSource.positions`.
        drawing : mapping, or None
            Options of `tiler.legend.image` for a picture; None for JSON.

        Raises
        ------
        ParameterError, UnknownNameError
            If the wish does not fit the dataset, or an option is none.
        """
        shown = legend_of(picture_module.compose(opened.source.pyramid, wish, positions), title=opened.name)
        key = (*self._key("legend", opened), wish, None if drawing is None else tuple(drawing.items()))
        if drawing is None:
            return self._json(key, lambda: legend.document(shown))
        return self._service.document(key, lambda: (legend.image(shown, **drawing), "image/png"))

    def _tilesets(self, opened: Opened) -> tuple[Tileset, ...]:
        """List the sets that a dataset is offered in, its own first."""
        own = () if opened.own is None else (opened.own.id,)
        ids = dict.fromkeys((*own, *OFFERED) if opened.source.pyramid.levels.crs.is_earth else own)
        return tuple(self._service.tileset(opened, set_id) for set_id in ids)

    def _key(self, what: str, opened: Opened) -> tuple[Any, ...]:
        return what, opened.name, opened.version, self._base

    def _json(self, key: tuple[Any, ...], make: Callable[[], dict[str, Any]]) -> Answer:
        return self._service.document(key, lambda: encode(make()))


def _own_sets(datasets: Sequence[Opened]) -> dict[str, TileMatrixSet]:
    return {opened.own.id: opened.own for opened in datasets if opened.own is not None}


def legend_of(picture: Picture, *, title: str) -> legend.Legend:
    """Tell which colour of a picture is which value; `title` where it is of no single variable."""
    if picture.count == 3:
        bands = [band.name for band in picture.bands] if not picture.is_computed else ["red", "green", "blue"]
        return legend.Rgb((bands[0], bands[1], bands[2]), title)
    variable = picture.bands[0].variable
    title = title if picture.is_computed else variable.long_name or variable.name
    colors = picture.colors or picture_module.GREY
    if colors == variable.colors and not picture.ranges:
        return _own_legend(variable, title)
    if isinstance(colors, Ramp):
        low, high = picture.ranges[0] if picture.ranges else (0.0, 255.0)
        table = Ramp(colors.shades).table
        if not picture.is_unscaled:  # a legend is read by people: it tells values as they are meant (CF 8.1)
            low, high = (end * variable.scale_factor + variable.add_offset for end in (low, high))
        if high < low:
            low, high, table = high, low, table[::-1]
        return legend.Ramp(table, low, high, None if picture.is_computed else variable.units, title)
    values = colors.values if isinstance(colors, Classes) else colors.bounds
    parts = zip(values, colors.table.tolist(), strict=False)
    return legend.Classes(tuple(legend.Entry(value, tuple(color)) for value, color in parts), title)


def _own_legend(variable: Variable, title: str) -> legend.Classes:
    """Name the classes that a variable has colours for, or its runs of values that share one."""
    if isinstance(variable.colors, Intervals):
        runs = ((run.first if run.first == run.last else (run.first, run.last), run.color) for run in variable.runs)
        return legend.Classes(tuple(legend.Entry(value, color) for value, color in runs), title)
    colors = [flag.color for flag in variable.flags if flag.color is not None]
    meanings = " ".join(flag.meaning for flag in variable.flags)
    return legend.from_flags([flag.value for flag in variable.flags], meanings, colors, title=title)
