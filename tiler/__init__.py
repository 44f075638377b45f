"""Tile reading and HTTP.

`PyramidReader` is rio-tiler's reader of a pyramid; `tiler.app.create_app` is the service.

Layers, each importing only those before it: block, cache <- pyramid <- chunks; select <- resample;
chunks, resample <- source; png; colormaps <- picture <- render <- parameters; admission <- settings; describe,
source, render, settings <- service <- http <- desk; parameters, desk <- routes <- app; protocol, app <- cli; source
<- reader.
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
