"""The page: complete in itself, and nothing of a document becomes an element of it."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import pytest

from conformance import Severity, check
from conformance.drawing import Drawing, DrawnLevel, DrawnPyramid, Preview, Tiles
from conformance.formats import html, svg
from conformance.report import Change
from written_reports import HOSTILE, finding, hostile_findings, report

VOID = {"meta", "img"}
STYLE = resources.files("conformance.formats").joinpath("page.css").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Elements of a page with their attributes, its text, and whether elements are closed in order."""

    def __init__(self, written: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(written)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    @property
    def text(self) -> str:
        return " ".join(data for tag, data in self.texts if tag != "style")

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(found) -> Page:
    written = html.write(found)
    assert written.encode("utf-8")
    page = Page(written)
    assert page.named("script") == page.named("iframe") == page.named("link") == []
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
        assert "style" not in attributes
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in page.named("a"):
        assert attributes["href"][1:] in ids
    for attributes in page.named("svg"):
        assert {attributes["aria-labelledby"], attributes["aria-describedby"]} <= set(ids)
    assert len(page.named("table")) == len(page.named("caption"))
    assert all(attributes["alt"] for attributes in page.named("img"))
    return page


def level(asset: str = "0", **changes: Any) -> DrawnLevel:
    fields: dict[str, Any] = {
        "asset": asset,
        "node": f"/{asset}",
        "pointers": (f"/attributes/multiscales/layout/{asset}",),
        "exists": True,
        "shape": (512, 1024),
        "cell": (10.0, 10.0),
        "box": (0.0, 0.0, 10240.0, 5120.0),
        "chunk": (256, 256),
        "variables": ("red",),
    }
    return DrawnLevel(**{**fields, **changes})


def drawn(*levels: DrawnLevel, **changes: Any) -> Drawing:
    return Drawing((DrawnPyramid("/", "EPSG:32633", "m", levels, **changes),))


def test_the_page_asks_for_nothing_beside_itself() -> None:
    page = page_of(report(finding(), drawing=drawn(level())))
    policy = next(item["content"] for item in page.named("meta") if item.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not re.search(r"url\(|@import|https?:", html.write(report(finding(), drawing=drawn(level()))))


def test_verdict_and_counts_are_told() -> None:
    text = page_of(report(finding(), finding(Severity.INFO, rule="SP-07"))).text
    for told in ("Faults found", "scene.zarr", "34,567 bytes in 12 requests", "geometry", "geozarr", "1e-6 of a cell"):
        assert told in text
    assert "No fault found" in page_of(report()).text
    assert "Nothing was checked" in page_of(report(geospatial=0)).text


def test_findings_stand_by_rule_with_what_would_mend_them() -> None:
    change = Change("add", "1", ("a",), 5)
    page = page_of(
        report(finding(patch=(change,), relies=("/9/zarr.json#/b",)), *(finding(node=f"/{n}") for n in range(99)))
    )
    assert "error SP-05 x 100" in page.text
    assert "spatial:transform can be inverted" in page.text
    assert "... and 60 more" in page.text
    assert len(page.named("details")) == 40 + 1  # and the rules that ran
    for told in ("add /1#/a = 5", "/9/zarr.json#/b", "six numbers", finding().id, "/1#/attributes/spatial:transform"):
        assert told in page.text


def test_each_level_is_drawn_with_its_sizes() -> None:
    page = page_of(report(drawing=drawn(level("0", shard=(512, 512)), level("1", shape=(256, 512), cell=(20.0, 20.0)))))
    drawn_texts = [data for tag, data in page.texts if tag == "text"]
    for told in ("0", "512 x 1,024, cells 10", "chunks 256 x 256 in 512 x 512", "256 x 512, cells 20"):
        assert told in drawn_texts
    assert len(page.named("polygon")) == 2
    assert "EPSG:32633; 2 levels" in page.text


def test_findings_mark_the_level_they_are_about() -> None:
    found = (
        finding(node="/0/red"),
        finding(Severity.WARNING, node="/1", pointer=""),
        finding(Severity.INFO, node="/", pointer="/attributes/multiscales/layout/1/transform"),
        finding(node="/10"),  # begins like the node of level 1
        finding(node="/", pointer="/attributes/multiscales/layout/10"),
    )
    page = page_of(report(*found, drawing=drawn(level("0"), level("1"), level("2"))))
    classes = [attributes["class"] for attributes in page.named("polygon")]
    assert classes == ["plane", "plane has-warning", "plane has-error"]  # the coarsest is on top
    assert [data for tag, data in page.texts if tag == "text" and data in "0123456789" and len(data) == 1][-1:] == ["0"]
    titles = [data for tag, data in page.texts if tag == "title"]
    assert "2 findings, the worst: warning" in titles
    assert "1 finding, the worst: error" in titles


def test_levels_that_are_not_there_are_drawn_as_such() -> None:
    page = page_of(report(drawing=drawn(level("0"), DrawnLevel("nope", "/nope", ()))))
    assert "plane is-missing" in [attributes["class"] for attributes in page.named("polygon")]
    assert "does not exist" in page.text


def test_extents_are_drawn_to_scale_on_each_other() -> None:
    shifted = (5120.0, 0.0, 10240.0, 2560.0)
    page = page_of(report(drawing=drawn(level("0"), level("1"), level("2", box=shifted))))
    boxes = [item for item in page.named("rect") if str(item.get("class")).startswith("extent")]
    assert [item["class"] for item in boxes] == ["extent hue-0", "extent hue-1"]
    (x, y, width, height), part = ([float(item[key]) for key in ("x", "y", "width", "height")] for item in boxes)
    assert width / height == pytest.approx(2)
    assert part == pytest.approx([x + width / 2, y + height / 2, width / 2, height / 2])


def test_levels_of_almost_one_box_share_an_outline() -> None:
    groups = svg.same_boxes([level("0"), level("1", box=(0.0, 0.0, 10240.5, 5120.0)), level("2", box=None)])
    assert groups == [((0.0, 0.0, 10240.0, 5120.0), ["0", "1"])]


TILES = Tiles("9", size=(8, 8), tile=(256, 256), rows=(2, 3), cols=(4, 6), footprint=(4.5, 2.0, 6.5, 4.0))


@pytest.mark.parametrize("is_bottom_left", [False, True])
def test_tiles_within_the_limits_are_filled(is_bottom_left) -> None:
    """Rows 1 to 4 and columns 3 to 7 are drawn, a tile around the limits: 5 columns in a width of 150 make 30 each."""
    tiles = replace(TILES, is_bottom_left=is_bottom_left)
    page = page_of(report(drawing=drawn(level(tiles=tiles), tile_set="own")))
    rects = {item["class"]: item for item in page.named("rect") if item.get("class")}
    touched, footprint = rects["touched"], rects["footprint"]
    side = 150 / 5
    assert [float(touched[key]) for key in ("x", "y", "width", "height")] == [side, side, 3 * side, 2 * side]
    assert [float(footprint[key]) for key in ("x", "width", "height")] == [1.5 * side, 2 * side, 2 * side]
    assert "rows 2 to 3, columns 4 to 6: 6 tiles; the matrix has 8 x 8 tiles" in page.text


def test_rows_from_the_bottom_are_drawn_from_the_bottom() -> None:
    low = Tiles("9", size=(8, 8), tile=(1, 1), rows=(0, 0), cols=(0, 0), footprint=(0, 0, 1, 3), is_bottom_left=True)
    page = page_of(report(drawing=drawn(level(tiles=low))))
    rects = {item["class"]: item for item in page.named("rect") if item.get("class")}
    bottom = float(rects["matrix"]["height"])
    assert float(rects["touched"]["y"]) + float(rects["touched"]["height"]) == pytest.approx(bottom, abs=0.01)


def test_many_tiles_are_not_drawn_one_by_one() -> None:
    many = Tiles("30", size=(2**30, 2**30), tile=(256, 256), rows=(0, 2**30 - 1), cols=(0, 2**30 - 1), footprint=None)
    assert len(html.write(report(drawing=drawn(level(tiles=many))))) < 40_000


def test_a_preview_is_in_the_page() -> None:
    page = page_of(report(drawing=drawn(level(), preview=Preview(b"PNG", 3, 2, "red of level 0"))))
    assert page.named("img")[0]["src"] == "data:image/png;base64," + base64.b64encode(b"PNG").decode()
    assert (
        "There is no preview: so it is." in page_of(report(drawing=drawn(note="There is no preview: so it is."))).text
    )


def test_documents_make_no_element_and_no_attribute() -> None:
    levels = [level(text[:200], node=f"/{text}", variables=(text,), derived_from=text) for text in HOSTILE]
    changes = {"tile_set": HOSTILE[0], "note": HOSTILE[1], "preview": Preview(b"", 1, 1, HOSTILE[0])}
    inherited = {f"/{text}": {text: text} for text in HOSTILE}
    found = report(*hostile_findings(), store=HOSTILE[0], drawing=drawn(*levels, **changes), inherited=inherited)
    page = page_of(found)
    plain = page_of(report(finding(), drawing=drawn(level(), note="x", preview=Preview(b"", 1, 1, "x"))))
    assert {tag for tag, _ in page.elements} - {tag for tag, _ in plain.elements} <= {"ul", "li", "circle", "g", "a"}
    written = html.write(found)
    assert all(character.isprintable() or character == "\n" for character in written)
    assert len(written) < 400_000


def test_numbers_beyond_drawing_are_left_out() -> None:
    huge = level(box=(0.0, 0.0, 1e99, 1e99), cell=(1e99, 1e-99), shape=(2**62, 1))
    thin = level("1", box=(0.0, 0.0, 0.0, 0.0))
    assert "nan" not in html.write(report(drawing=drawn(huge, thin))).lower().replace("tenant", "")
    assert page_of(report(drawing=drawn(thin)))


def colours(style: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", style))


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("block", [":root {", "dark) {", "@media print {"])
def test_text_can_be_told_from_its_ground(block) -> None:
    found = colours(STYLE.partition(block)[2].partition("}")[0])
    inks = ("ink", "muted", "info", "error", "good", "warning")
    on_grounds = [(ink, ground) for ground in ("card", "paper") for ink in inks]
    on_grounds += [("on-sign", sign) for sign in ("good", "error", "warning", "info", "muted")]
    for name, ground in on_grounds:
        dark, light = sorted((luminance(found[name]), luminance(found[ground])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


def test_the_page_of_a_checked_store_is_whole(stores) -> None:
    for name in ("tms", "own", "native", "packed"):
        page = page_of(check(stores[name].edited(), picture=True))
        assert page.named("img"), name
        assert len(page.named("polygon")) in (3, 4)


def test_what_was_left_out_is_told() -> None:
    page = page_of(report(left_out={"SP-05": HOSTILE[0]}, is_consolidated=True))
    assert f"was checked: {HOSTILE[0]}" in page.text
    assert "the nodes' own documents" in page.text
