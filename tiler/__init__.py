"""Tile reading and HTTP.

`PyramidReader` is rio-tiler's reader of a pyramid; `tiler.app.create_app` is the service.

Layers, each importing only those before it:

- kernels
- compiled
- json_text, stretch, png, formula, block, cache, colormaps, admission, calendars, page, meter, metrics, projection
- colors, dimensions, algorithms, expression, statistics, settings, footprint, positions, geometry
- pyramid, select, config, logs, catalog
- chunks, resample, picture, raw, ground, geotiff, extent, compute
- source, render, describe, sampling
- place
- parameters, body
- axes, layers, ogc, wmts, legend, pages
- archive, service, reader
- export
- http, papers, routing
- desk, alias
- routes, document_routes, data_routes, processes, signals
- app, protocol
- cli
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiler.reader import PyramidReader

__all__ = ["PyramidReader"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: rio-tiler loads xarray, which the service, a module of this package, must not.
    if name == "PyramidReader":
        from tiler.reader import PyramidReader  # noqa: PLC0415 - the reason stands above

        return PyramidReader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
