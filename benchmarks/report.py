"""Turn records into tables, ratios and a chart."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Record = dict[str, Any]
Document = dict[str, Any]

REMARKS = Path(__file__).parent / "REMARKS.md"  # what people say of a full run; the rest is made of its records
STAGES = ("decode", "warp", "fold", "encode", "store")
MEMORY_GIVEN = 2**30  # bytes
BASE = "elevation"  # the case that `islands` is compared with in memory
SIDES = (16_384, 65_536)  # rows of the two, in a full run
# Okabe and Ito's palette: told apart with any colour vision, and in grey by the order of the bars.
COLOURS = {
    "ours": "#0072B2", "floor": "#999999", "gdal-cog": "#E69F00", "terrazarr": "#009E73", "topozarr": "#D55E00",
    "eopf-geozarr": "#CC79A7", "ndpyramid": "#56B4E9",
}  # fmt: skip
STAGE_COLOURS = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#999999")


@dataclass(frozen=True)
class Ratio:
    """One claim: what was measured, what it must reach, and whether it does.

    Parameters
    ----------
    case, claim : str
        Where, and what is compared.
    value : float
        As measured.
    target : float
        What it must reach.
    at_least : bool
        True where more is better.
    unit : str
        "x", "s", "MiB", "%" ...
    """

    case: str
    claim: str
    value: float
    target: float
    at_least: bool
    unit: str = "x"

    @property
    def is_met(self) -> bool:
        """True where the target is reached."""
        return self.value >= self.target if self.at_least else self.value <= self.target


# --------------------------------------------------------------------------------------------------------------- ratios
def ratios(document: Document) -> list[Ratio]:
    """Derive all claims that the records allow."""
    found: list[Ratio] = []
    by_case: dict[str, dict[str, Record]] = {}
    for record in document["records"]:
        if "failed" not in record:
            by_case.setdefault(record["case"], {})[record["contender"]] = record
    for case, present in by_case.items():
        if "ours" in present:
            found += _of_case(case, present)
    found += _across(by_case)
    found += _of_scale(document.get("scale") or {})
    return found


def _of_case(case: str, present: dict[str, Record]) -> Iterable[Ratio]:
    ours = present["ours"]

    def slower(name: str) -> float:
        return float(present[name]["seconds"]) / float(ours["seconds"])

    # Whichever settings of a peer are the faster count, ours being held against its best.
    gdal = [slower(name) for name in present if name.startswith("gdal-cog")]
    if gdal:
        yield Ratio(case, "seconds of GDAL's COG driver / ours", min(gdal), 5, at_least=True)
    if "ndpyramid" in present:
        yield Ratio(case, "seconds of ndpyramid / ours", slower("ndpyramid"), 20, at_least=True)
    native = [name for name in present if name.startswith(("terrazarr", "topozarr"))]
    if native:
        best = min(native, key=slower)
        yield Ratio(case, f"seconds of {best}, the faster native builder / ours", slower(best), 2, at_least=True)
    if "floor" in present:
        yield Ratio(case, "seconds of ours / the floor", 1 / slower("floor"), 1.4, at_least=False)
    peers = [name for name in present if name.endswith("-defaults") or name in ("ndpyramid", "eopf-geozarr")]
    if peers:
        least = min(peers, key=lambda name: int(present[name]["bytes"]))
        share = ours["bytes"] / present[least]["bytes"]
        yield Ratio(case, f"bytes of ours / {least}, the smallest of the peers", share, 1, at_least=False)
    yield Ratio(
        case, "peak memory of ours", ours["peak_bytes"] / 2**20, MEMORY_GIVEN / 2**20, at_least=False, unit="MiB"
    )
    if ours.get("levels"):
        beyond = 100 * max(level["beyond"] for level in ours["levels"])
        yield Ratio(
            case,
            "samples of ours off by more than rounding (finest: and 1/100 source pixel)",
            beyond,
            0,
            at_least=False,
            unit="%",
        )


def _across(by_case: dict[str, dict[str, Record]]) -> Iterable[Ratio]:
    pair = [by_case.get(case, {}).get("ours", {}) for case in (BASE, "islands")]
    peaks = [
        record["peak_bytes"] for record, side in zip(pair, SIDES, strict=True) if record.get("shape", [0])[0] == side
    ]
    if len(peaks) == len(SIDES):
        apart = 100 * abs(peaks[1] / peaks[0] - 1)
        yield Ratio(
            "islands", "peak memory, 64 k square against 16 k square", apart, 10, at_least=False, unit="% apart"
        )


def _of_scale(scale: dict[str, Any]) -> Iterable[Ratio]:
    plan = scale.get("million_shards")
    if plan:
        yield Ratio("scale", f"plan of {plan['objects']:,} objects", plan["seconds"], 10, at_least=False, unit="s")
        yield Ratio("scale", "memory of that plan", plan["peak_bytes"] / 2**20, 500, at_least=False, unit="MiB")
    sparse = [run["peak_bytes"] for run in scale.get("sparse", []) if "peak_bytes" in run]
    if len(sparse) > 1:
        apart = 100 * (max(sparse) / min(sparse) - 1)
        sides = f"{scale['sparse'][0]['side']:,} to {scale['sparse'][-1]['side']:,} px squares"
        yield Ratio("scale", f"peak memory of sparse builds, {sides}", apart, 10, at_least=False, unit="% apart")


# --------------------------------------------------------------------------------------------------------------- tables
def case_table(records: Sequence[Record]) -> str:
    """Lay out a case's records as a Markdown table, aligned to be read as plain text too."""
    ours = next(
        (float(record["seconds"]) for record in records if record["contender"] == "ours" and "seconds" in record), None
    )
    classes = any("mode" in record["title"] for record in records)
    head = ("contender", "seconds", "/ ours", "CPU s", "peak MiB", "MB", "objects", "finest", "coarser", "rounds")
    rows = []
    for record in records:
        if "failed" in record:
            rows.append((record["contender"], "-", "-", "-", "-", "-", "-", "-", "-", "0"))
            continue
        finest, coarser = _errors(record, classes=classes)
        rows.append(
            (
                record["contender"],
                f"{record['seconds']:.2f}",
                f"{record['seconds'] / ours:.2f}" if ours else "-",
                f"{record['cpu_seconds']:.2f}",
                "-" if record["contender"] == "floor" else f"{record['peak_bytes'] / 2**20:.0f}",
                f"{record['bytes'] / 1e6:.1f}",
                f"{record['objects']}",
                finest,
                coarser,
                f"{len(record['runs'])}",
            )
        )
    lines = _markdown(head, rows)
    lines += [
        f"\n{record['contender']} failed: {record['failed'].splitlines()[-1]}"
        for record in records
        if "failed" in record
    ]
    return "\n".join(lines)


def _errors(record: Record, *, classes: bool) -> tuple[str, str]:
    """Largest error of the finest level, and of all coarser ones; for classes the share of wrong cells."""
    levels = record.get("levels")
    if not levels:
        return "-", "-"
    shown = []
    for some in (levels[:1], levels[1:]):
        worst = max(some, key=lambda level: float(level["max_error"]), default=None)
        text = "-" if worst is None else f"{100 * worst['max_error']:.2f} %" if classes else f"{worst['max_error']:.3g}"
        shown.append(text)
    return shown[0], shown[1]


def ratio_table(document: Document) -> str:
    """Lay out all claims with their targets."""
    rows = [
        (
            ratio.case,
            ratio.claim,
            f"{ratio.value:.3g} {ratio.unit}",
            f"{'at least' if ratio.at_least else 'at most'} {ratio.target:g}",
            "met" if ratio.is_met else "**missed**",
        )
        for ratio in ratios(document)
    ]
    return "\n".join(_markdown(("case", "what", "measured", "target", ""), rows))


def level_table(records: Sequence[Record]) -> str:
    """Lay out the error of every level and contender."""
    head = ("contender", "level", "rows x columns", "samples", "largest error", "rounding", "beyond it", "mask differs")
    rows = [
        (
            record["contender"],
            f"{level['level']}",
            f"{level['shape'][0]} x {level['shape'][1]}",
            f"{level['samples']}",
            f"{level['max_error']:.3g}",
            f"{level['tolerance']:.2g}",
            f"{100 * level['beyond']:.3g} %",
            f"{100 * level['mask_differs']:.2g} %",
        )
        for record in records
        for level in record.get("levels") or ()
    ]
    return "\n".join(_markdown(head, rows))


def stage_table(records: Sequence[Record]) -> str:
    """Lay out where our own CPU seconds went, where the builder tells."""
    told = [record for record in records if record["contender"] == "ours" and record.get("stages")]
    if not told:
        return ""
    names = stage_names(told)
    rows = []
    for record in told:
        parts = [float(record["stages"].get(name, 0.0)) for name in names]
        rest = max(0.0, record["cpu_seconds"] - sum(parts))
        rows.append((record["case"], *(f"{part:.2f}" for part in parts), f"{rest:.2f}", f"{record['cpu_seconds']:.2f}"))
    return "\n".join(_markdown(("case", *names, "rest", "CPU seconds"), rows))


def stage_names(records: Sequence[Record]) -> list[str]:
    """Stages in the order of the work, then any other that the builder tells."""
    told = Counter(name for record in records for name in record["stages"])
    return [name for name in STAGES if name in told] + sorted(name for name in told if name not in STAGES)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]


# -------------------------------------------------------------------------------------------------------------- writing
def merged(path: Path, document: Document) -> Document:
    """Add records of earlier calls that this one did not make again; small runs stand alone."""
    if document.get("is_quick") or not path.exists():
        return document
    before: Document = json.loads(path.read_text())
    done = {(record["case"], record["contender"]) for record in document["records"]}
    kept = [record for record in before["records"] if (record["case"], record["contender"]) not in done]
    scale = document.get("scale") or before.get("scale")
    return document | {"records": _in_order(kept + document["records"])} | ({"scale": scale} if scale else {})


def _in_order(records: list[Record]) -> list[Record]:
    from benchmarks.cases import CASES  # noqa: PLC0415 - tables need the order alone
    from benchmarks.roster import ROSTER  # noqa: PLC0415

    cases = [case.name for case in CASES]
    names = [one.name for one in ROSTER]
    return sorted(records, key=lambda record: (cases.index(record["case"]), names.index(record["contender"])))


def write(document: Document, folder: Path) -> None:
    """Write RESULTS.md, and results.png where matplotlib is there."""
    has_chart = draw(document, folder / "results.png")
    (folder / "RESULTS.md").write_text(page(document, has_chart=has_chart))


def page(document: Document, *, has_chart: bool) -> str:
    """Return RESULTS.md."""
    machine = document["machine"]
    cases = list(dict.fromkeys(record["case"] for record in document["records"]))
    parts = [
        "# Results",
        "Made by `" + document["command"] + "`; how it is measured stands in [README.md](README.md). "
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"{machine['system']}.",
    ]
    if document.get("is_quick"):
        parts.append(
            "A run with small inputs: fixed costs weigh more than they do in earnest, and no claim rests on it."
        )
    if has_chart:
        parts.append("![Wall time of each contender in proportion to ours](results.png)")
    parts += ["## Claims", ratio_table(document)]
    if not document.get("is_quick"):
        parts.append(REMARKS.read_text().strip())
    for case in cases:
        records = [record for record in document["records"] if record["case"] == case]
        parts += [
            f"## {records[0]['title']}",
            f"Input `{records[0]['input']}`.",
            case_table(records),
        ]
        parts.append(
            "\n".join(f"- *{record['contender']}*: {record['note']}. {_versions(record)}" for record in records)
        )
        errors = level_table(records)
        parts.append(f"<details><summary>Error of every level</summary>\n\n{errors}\n\n</details>")
    stages = stage_table(document["records"])
    if stages:
        parts += ["## Where our own time goes", "CPU seconds, summed over threads.", stages]
    if document.get("scale"):
        parts += ["## Scale", _scale_text(document["scale"])]
    return "\n\n".join(parts) + "\n"


def _versions(record: Record) -> str:
    return ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())


def _scale_text(scale: dict[str, Any]) -> str:
    plan_head = ("plan", "levels", "pixels", "objects", "GB before compression", "put requests", "seconds", "peak MiB")
    plans = [
        (
            plan["name"],
            f"{plan['levels']}",
            f"{plan['pixels']:.3g}",
            f"{plan['objects']:,}",
            f"{plan['bytes'] / 1e9:,.0f}",
            f"{plan['puts']:,}",
            f"{plan['seconds']:.2f}",
            f"{plan['peak_bytes'] / 2**20:.0f}",
        )
        for plan in (scale.get("mosaic"), scale.get("million_shards"))
        if plan
    ]
    sparse_head = ("side px", "pixels with data", "seconds", "objects", "peak MiB", "predicted MiB")
    sparse = [
        (
            f"{run['side']:,}",
            f"{run['filled']:,}",
            f"{run['seconds']:.2f}",
            f"{run['objects']}",
            f"{run['peak_bytes'] / 2**20:.0f}",
            f"{run['predicted_peak_bytes'] / 2**20:.0f}",
        )
        if "peak_bytes" in run
        else (f"{run['side']:,}", "-", "-", "-", "-", run.get("failed", "-"))
        for run in scale.get("sparse", [])
    ]
    return "\n\n".join(
        (
            "Plans made from metadata alone; reading a pixel would be an error.",
            "\n".join(_markdown(plan_head, plans)),
            "Builds from a source in memory that holds data in a few blocks only, each in a process of its own.",
            "\n".join(_markdown(sparse_head, sparse)),
        )
    )


# ---------------------------------------------------------------------------------------------------------------- chart
def draw(document: Document, path: Path) -> bool:
    """Draw seconds in proportion to ours, a panel a case, and where our CPU seconds go; False without matplotlib."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an optional dependency

        mpl.use("Agg")
        import matplotlib.pyplot as plt  # noqa: PLC0415
    except ImportError:
        return False
    # The "-defaults" are there for their bytes; the tables have their seconds.
    done = [
        record
        for record in document["records"]
        if "failed" not in record and not record["contender"].endswith("-defaults")
    ]
    ours = {record["case"]: float(record["seconds"]) for record in done if record["contender"] == "ours"}
    cases = [case for case in dict.fromkeys(record["case"] for record in done) if case in ours]
    if not cases:
        return False
    told = [record for record in done if record["contender"] == "ours" and record.get("stages")]
    bars = [[record for record in done if record["case"] == case] for case in cases]
    heights = [len(records) + 1.2 for records in bars] + ([len(told) + 1.6] if told else [])
    figure, axes = plt.subplots(
        len(heights),
        1,
        figsize=(8, 0.28 * sum(heights)),
        dpi=150,
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )
    for axis, records in zip(axes[:, 0], bars, strict=False):
        _bars(axis, records, ours[records[0]["case"]])
    if told:
        _stacks(axes[-1, 0], told)
    figure.savefig(path)
    plt.close(figure)
    return True


def _bars(axis: Any, records: list[Record], ours: float) -> None:
    ratios_ = [float(record["seconds"]) / ours for record in records]
    names = [record["contender"] for record in records]
    axis.barh(names, ratios_, color=[COLOURS.get(name, "#000000") for name in names], height=0.7)
    for place, (ratio, record) in enumerate(zip(ratios_, records, strict=True)):
        text = f"{ratio:.2g} x, {record['seconds']:.3g} s"
        axis.annotate(text, (ratio, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
    axis.axvline(1, color="#0072B2", linewidth=0.8, zorder=0)
    axis.invert_yaxis()
    axis.set_xlim(0, max(ratios_) * 1.25)
    axis.set_title(records[0]["title"], fontsize=9, loc="left")
    _plain(axis)


def _stacks(axis: Any, told: list[Record]) -> None:
    names = [*stage_names(told), "rest"]
    left = [0.0] * len(told)
    for number, name in enumerate(names):
        parts = [
            float(record["stages"].get(name, 0.0)) if name != "rest"
            else max(0.0, record["cpu_seconds"] - sum(map(float, record["stages"].values())))
            for record in told
        ]  # fmt: skip
        shares = [100 * part / max(1e-9, record["cpu_seconds"]) for part, record in zip(parts, told, strict=True)]
        colour = STAGE_COLOURS[number % len(STAGE_COLOURS)]
        axis.barh([record["case"] for record in told], shares, left=left, label=name, color=colour, height=0.7)
        left = [start + share for start, share in zip(left, shares, strict=True)]
    axis.invert_yaxis()
    axis.set_title("Where our CPU seconds go, in %", fontsize=9, loc="left")
    axis.legend(fontsize=7, ncols=len(names), loc="upper center", bbox_to_anchor=(0.5, 0.0), frameon=False)
    _plain(axis)


def _plain(axis: Any) -> None:
    axis.tick_params(labelsize=8, length=0)
    axis.xaxis.set_visible(False)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
