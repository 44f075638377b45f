"""docs/interop.md and what a run prints, made of the records alone."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.readers import READERS
from conformance.readers.verdict import Loss
from interop.roster import NOT_RUN, ROSTER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interop.outcomes import Record

PAGE = Path(__file__).parent.parent / "docs" / "interop.md"
_HEAD = """\
# Which readers open what

Made by `make interop` of real runs: each reader is installed into an environment of its own, opens the stores below,
and is compared with what `conformance.readers` predicts from the documents alone. Do not edit;
`python -m interop --render` makes this page anew of `interop/results.json`.

- **opens**: CRS, placement, pixels, nodata and coarser levels are right, as far as the reader has these at all.
- **degrades**: it opens, and what is named is lost.
- **fails**: an error, a crash, wrong pixels, or the wrong place.

In brackets stand the requirements that decide it; those of the checker are in [conformance.md](conformance.md), and
`RD-` are constraints of readers.
"""
_RUN = """\
## How to run it

    make interop                                     # everything; the environments go to build/interop
    make interop INTEROP_ARGS="--quick"              # three good pyramids and the regressions
    make interop INTEROP_ARGS="--readers gdal,xarray --stores utm"

It needs Python 3.12 or 3.13 beside the project's (`INTEROP_PYTHON` names it), npm and node, and Chromium (Debian:
`chromium`). A reader that cannot be installed, or does not start, is skipped by name. The demo pyramids take part where
`make demo` has run. Facts that readers gave are kept in `build/interop/facts` while neither store nor probe changes;
`--fresh` asks again.
"""


def write(document: dict[str, Any], page: Path = PAGE) -> None:
    """Write docs/interop.md."""
    page.write_text(render(document), encoding="utf-8")


def render(document: dict[str, Any]) -> str:
    """Make the page."""
    records: list[Record] = document["records"]
    parts = [
        _HEAD,
        _counts(records),
        _readers(records),
        _matrix(records),
        _cases(
            records, "regression", "Regressions", "One thing is broken in a good pyramid, on which some reader fails."
        ),
        _cases(records, "variant", "What readers need", "One thing is left out or written otherwise, legal or not."),
        _skips(document),
        _RUN,
    ]
    return "\n".join(part.rstrip() + "\n" for part in parts if part)


def summary(reader: str, records: list[Record]) -> str:
    """Say in a line how a reader fared."""
    counts = [f"{sum(r.observed == name for r in records)} {name}" for name in ("opens", "degrades", "fails")]
    wrong = sum(not record.agrees for record in records)
    return f"{reader}: {', '.join(counts)}; {wrong} not as predicted"


def mismatch(record: Record) -> str:
    """Say what was not as predicted."""
    predicted = " ".join([record.predicted, *record.predicted_losses, *record.rules])
    observed = " ".join([record.observed, *record.observed_losses])
    return f"  {record.reader}, {record.store}: predicted {predicted}; observed {observed}: {record.detail}"


def _counts(records: list[Record]) -> str:
    agree = sum(record.agrees for record in records)
    readers, stores = _unique(r.reader for r in records), _unique(r.store for r in records)
    return f"{len(readers)} readers, {len(stores)} stores, {len(records)} observations; {agree} were as predicted.\n"


def _readers(records: list[Record]) -> str:
    lines = ["## Readers", "", "| reader | version | never has | decodes | remark |", "| --- | --- | --- | --- | --- |"]
    for name in _unique(record.reader for record in records):
        reader = READERS[name]
        version = next(record.version for record in records if record.reader == name)
        lacks = ", ".join(loss.value for loss in Loss if loss in reader.lacks) or "-"
        lines.append(f"| {name} | {version} | {lacks} | {_codecs(reader.codecs)} | {reader.remark or '-'} |")
    lines += ["", "Where overviews are lacking, each level opens by itself, named by hand."]
    return "\n".join(lines)


def _codecs(names: frozenset[str]) -> str:
    """Name codecs shortly: those that GeoZarr stores have."""
    usual = ("blosc", "zstd", "gzip", "crc32c", "sharding_indexed", "numcodecs.*")
    has_some = any(name.startswith("numcodecs.") for name in names)
    shown = [name for name in usual if name in names]
    if has_some and "numcodecs.*" not in names:
        shown.append("some `numcodecs.*`")
    return ", ".join(shown)


def _matrix(records: list[Record]) -> str:
    """Good pyramids: a row a reader, a column for each kind of data, place and layout."""
    chosen = [record for record in records if record.kind in ("matrix", "demo")]
    lines = [
        "## Good pyramids",
        "",
        "Three levels in UTM, EPSG:4326 and EPSG:3857; uint16 with nodata 0, float32 with nodata -9999 and a time",
        "axis, float32 with NaN; plain and sharded; at the root and two groups below; with consolidated metadata and",
        "without. And three of `make demo`.",
        "",
    ]
    groups = ("plain", "sharded", "unconsolidated", "demo")
    lines += ["| reader | plain | sharded | no consolidated metadata | demo |", "| --- | --- | --- | --- | --- |"]
    for name in _unique(record.reader for record in chosen):
        own = [record for record in chosen if record.reader == name]
        lines.append(f"| {name} | " + " | ".join(_tally(_part(own, group)) for group in groups) + " |")
    lines += ["", "Of those that are not all opened:", ""]
    for name in _unique(record.reader for record in chosen):
        short = [record for record in chosen if record.reader == name and record.observed != "opens"]
        for key, items in groupby(sorted(short, key=_what), key=_what):
            names = [item.store for item in items]
            lines.append(f"- {name} {key} on {len(names)}: {_common(names)}.")
    return "\n".join(lines)


def _part(records: list[Record], group: str) -> list[Record]:
    if group == "demo":
        return [record for record in records if record.kind == "demo"]
    found = [record for record in records if record.kind == "matrix"]
    if group == "unconsolidated":
        return [record for record in found if record.store.endswith("-unconsolidated")]
    return [record for record in found if f"-{group}-" in record.store and record.store.endswith("-consolidated")]


def _tally(records: list[Record]) -> str:
    counts = [(sum(r.observed == name for r in records), name) for name in ("opens", "degrades", "fails")]
    found = [f"{count} {name}" for count, name in counts if count]
    return found[0].split()[1] + f" {len(records)}" if len(found) == 1 else ", ".join(found) or "-"


def _what(record: Record) -> str:
    losses = f" ({', '.join(record.observed_losses)})" if record.observed_losses else ""
    return f"{record.observed}{losses}, {' '.join(record.rules)}"


def _common(names: list[str]) -> str:
    """Name what stores have in common; all of them where that is nothing."""
    parts = [set(name.split("-")) for name in names]
    shared = set.intersection(*parts)
    order = [part for part in names[0].split("-") if part in shared]
    return " ".join(part for part in order if part) or ", ".join(names)


def _cases(records: list[Record], kind: str, title: str, introduction: str) -> str:
    """Broken pyramids: a row a store, the readers by what they do."""
    chosen = [record for record in records if record.kind == kind]
    lines = [f"## {title}", "", introduction, "", "| store | opens | degrades | fails |", "| --- | --- | --- | --- |"]
    for store in _unique(record.store for record in chosen):
        own = [record for record in chosen if record.store == store]
        opens = [record.reader for record in own if record.observed == "opens"]
        told = [
            "; ".join(_reader(record) for record in own if record.observed == name) or "-"
            for name in ("degrades", "fails")
        ]
        whole = "all" if len(opens) == len(own) else ", ".join(opens) or "-"
        lines.append(f"| `{store}`: {own[0].title} | {whole} | {told[0]} | {told[1]} |")
    return "\n".join(lines)


def _reader(record: Record) -> str:
    losses = f": {', '.join(record.observed_losses)}" if record.observed_losses else ""
    return f"{record.reader}{losses} ({' '.join(record.rules)})"


def _skips(document: dict[str, Any]) -> str:
    skipped: dict[str, str] = document["skipped"]
    seen = {record.reader for record in document["records"]}
    lines = ["## Not run", ""]
    lines += [f"- {name}: {skipped.get(name, 'not asked')}" for name in (r.name for r in ROSTER) if name not in seen]
    lines += [f"- {name}: {reason}" for name, reason in NOT_RUN.items()]
    return "\n".join(lines)


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
