"""The landing page as HTML: everything is escaped, and nothing is needed from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr.grid import Bounds
from tiler.pages import POLICY, Entry, index_page

DEM = Entry("dem", "Elevation", Bounds(-105.5, 39.25, -104.1, 40.0), "/m/dem/map", None, "/m/dem/W/tilejson.json")


class Page(HTMLParser):
    """Elements, links and texts of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: dict[str, str] = {}
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "a":
            self._href = dict(attrs)["href"] or ""

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.tags[-1:] == ["a"]:
            self.links.setdefault(data, self._href)


def page(*entries: Entry, **options: Any) -> Page:
    return Page(index_page(entries, **{"title": "Tiles", "base": "/m", **options}))


def test_a_dataset_has_its_addresses() -> None:
    found = page(DEM, base="https://e.org/m")
    text = " ".join(found.texts)
    assert "1 dataset " in f"{text} "
    assert "39.25° N to 40° N, 105.5° W to 104.1° W" in text
    address = "https://e.org/m/dem"
    assert found.links["Map"] == "/m/dem/map"
    assert found.links["TileJSON"] == "/m/dem/W/tilejson.json"
    assert found.links["Info"] == f"{address}/info"
    assert found.links["WMTS"] == f"{address}/WMTSCapabilities.xml"
    assert f"{address}/WMTSCapabilities.xml" in found.texts  # to be copied


def test_the_parts_of_the_service_are_linked() -> None:
    found = page(base="https://e.org/m")
    wanted = ("collections", "tileMatrixSets", "colorMaps", "algorithms", "conformance", "openapi.json")
    assert set(found.links.values()) == {f"https://e.org/m/{part}" for part in wanted}
    assert "There is no dataset." in found.texts


def test_a_dataset_that_cannot_be_read_hides_no_other() -> None:
    found = page(Entry("broken", "broken", None, "/m/broken/map", "it is damaged"), DEM)
    assert "it is damaged" in found.texts
    assert "/m/broken/map" not in found.links.values()
    assert found.links["Map"] == "/m/dem/map"


def test_a_box_across_the_antimeridian_runs_from_east_to_west() -> None:
    text = " ".join(page(Entry("fiji", "fiji", Bounds(176.0, -20.0, -178.0, 0.0), "/x")).texts)
    assert "20° S to 0°, 176° E to 178° W" in text


@given(st.text(), st.text(), st.text())
def test_texts_never_become_elements(title: str, name: str, error: str) -> None:
    plain = page(Entry("a", "b", None, "/x"), Entry("a", "b", None, "/x", "c"))
    odd = f"{title}<script>alert(1)</script><img src=x onerror=y>\"'>"
    found = page(Entry(odd, odd + name, None, "/x"), Entry(odd, odd, None, "/x", odd + error), title=odd)
    assert {"script", "img"}.isdisjoint(found.tags)
    assert set(found.tags) <= set(plain.tags) | {"small"}
    assert found.attributes == plain.attributes


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", " javascript:x", ""])
def test_only_web_addresses_are_linked(address: str) -> None:
    assert "Map" not in page(Entry("x", "x", None, address)).links


def test_a_lone_surrogate_does_not_stop_the_page() -> None:
    assert "?" in " ".join(page(Entry("x", "\ud800", None, "/x")).texts)


def test_the_page_needs_nothing_from_elsewhere_and_no_script() -> None:
    document = index_page([DEM], title="Tiles", base="/m").decode()
    assert not {"script", "link", "img", "iframe", "form"} & set(Page(document.encode()).tags)
    assert "url(" not in document
    assert "@import" not in document
    assert "script-src" not in POLICY
    assert POLICY.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert '<meta name="viewport"' in document
    assert "prefers-color-scheme: dark" in document
