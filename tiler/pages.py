"""The landing page as HTML: what is served, and the addresses that other programs want.

The page needs nothing from elsewhere and runs no script; its policy is `POLICY`. Every text that comes from a store or
a setting is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geozarr.grid import Bounds

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_SCHEMES = ("http://", "https://", "/")  # of links: a text such as javascript:... is none
_COPY = "WMTS address, for QGIS and others:"
_COPY_PATH = "WMTS address, for QGIS and others, after that of this host:"


@dataclass(frozen=True)
class Entry:
    """A dataset in a list of datasets.

    Parameters
    ----------
    name : str
        Its name in the service.
    title : str
        Name for people.
    bounds : Bounds or None
        Where its data are, in degrees; west is above east where they cross the antimeridian. None where unknown.
    map_url : str
        Address of its map.
    error : str or None
        Why it cannot be served; None where it can.
    tilejson_url : str or None
        Address of its TileJSON in the set that its map uses.
    """

    name: str
    title: str
    bounds: Bounds | None
    map_url: str
    error: str | None = None
    tilejson_url: str | None = None


def index_page(entries: Sequence[Entry], *, title: str, base: str) -> bytes:
    """Write the landing page.

    Parameters
    ----------
    entries : sequence of Entry
        The datasets, in the order in which they are listed.
    title : str
        Name of the service.
    base : str
        Start of addresses, without a slash at its end; may be empty.

    Returns
    -------
    bytes
        HTML 5 in UTF-8.
    """
    listed = "\n".join(_failed(entry) if entry.error is not None else _served(entry, base) for entry in entries)
    count = len(entries)
    page = _PAGE.format(
        title=escape(title),
        style=_STYLE,
        count=f"{count} dataset{'' if count == 1 else 's'}",
        listed=listed or "<p>There is no dataset.</p>",
        links=" · ".join(
            _anchor(f"{base}{path}", text)
            for path, text in (
                ("/collections", "Collections"),
                ("/tileMatrixSets", "Tile matrix sets"),
                ("/colorMaps", "Colormaps"),
                ("/algorithms", "Algorithms"),
                ("/conformance", "Conformance"),
                ("/openapi.json", "OpenAPI"),
            )
        ),
    )
    # A lone surrogate, which JSON can carry and UTF-8 cannot, is shown as a question mark.
    return page.encode("utf-8", errors="replace")


def _served(entry: Entry, base: str) -> str:
    address = f"{base}/{entry.name}"
    wmts = f"{address}/WMTSCapabilities.xml"
    place = "" if entry.bounds is None else f'<p class="place">{escape(_place(entry.bounds))}</p>'
    links = " · ".join(
        _anchor(href, text)
        for href, text in (
            (entry.map_url, "Map"),
            (f"{address}/info", "Info"),
            (entry.tilejson_url, "TileJSON"),
            (f"{address}/tiles", "Tilesets"),
            (f"{address}/legend.png", "Legend"),
            (wmts, "WMTS"),
        )
        if href is not None
    )
    return (
        f"<article>\n{_heading(entry)}\n{place}\n<p>{links}</p>\n"
        f'<p class="copy">{_COPY if base else _COPY_PATH}<code>{escape(wmts)}</code></p>\n</article>'
    )


def _failed(entry: Entry) -> str:
    return f'<article>\n{_heading(entry)}\n<p class="error">{escape(entry.error or "")}</p>\n</article>'


def _heading(entry: Entry) -> str:
    name = "" if entry.title == entry.name else f" <small>{escape(entry.name)}</small>"
    return f"<h2>{escape(entry.title)}{name}</h2>"


def _place(bounds: Bounds) -> str:
    """Write a box in degrees with hemispheres, to about 1 km."""
    west, south, east, north = bounds
    return f"{_degrees(south, 'NS')} to {_degrees(north, 'NS')}, {_degrees(west, 'EW')} to {_degrees(east, 'EW')}"


def _degrees(value: float, hemispheres: str) -> str:
    number = f"{abs(value):.2f}".rstrip("0").rstrip(".")
    return f"{number}°" if number == "0" else f"{number}° {hemispheres[value < 0]}"


def _anchor(href: str, text: str) -> str:
    return f'<a href="{escape(href)}">{escape(text)}</a>' if href.startswith(_SCHEMES) else escape(text)


_STYLE = """
:root { color-scheme: light dark; --line: #d0d7de; --soft: #57606a; --error: #b42318; --code: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3d444d; --soft: #9aa4af; --error: #ff9a8d; --code: #1d2228; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 0; overflow-wrap: anywhere; }
small, .place, header p, footer { color: var(--soft); font-weight: normal; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr));
  align-items: start; }
article { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; min-width: 0; }
p { margin: .4rem 0; }
a { display: inline-block; padding: .15rem 0; }
code { display: block; overflow-wrap: anywhere; background: var(--code); border-radius: .25rem;
  padding: .4rem .5rem; user-select: all; font-size: .875rem; }
.copy { color: var(--soft); font-size: .875rem; }
.error { color: var(--error); }
footer { margin-top: 1.5rem; border-top: 1px solid var(--line); padding-top: .5rem; }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{count}</p>
</header>
<main>
{listed}
</main>
<footer>{links}</footer>
</body>
</html>
"""
