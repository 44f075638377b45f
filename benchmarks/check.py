"""What the checker finds, beside other validators, and what it takes: `make bench-check`.

    cases     precision and recall on the packaged cases and on good variants, beside geozarr-toolkit, zarr-cm and
              eopf-geozarr
    faults    a hundred single faults, drawn by seeds, in the demo pyramids, with all objects and pixels looked at
    scale     10 000 nodes at depth metadata: seconds and memory; the requests that a store across a network takes

The records go to `results-check.json`; a call with some parts replaces these and keeps the others.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import __main__ as bench
from benchmarks import environments, single_faults
from benchmarks import settings as settings_module
from benchmarks.measure import Failure
from conformance import cases, check
from geozarr.crs import from_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.settings import Settings

RESULTS = "results-check.json"
OURS = "geozarr-check"
CONTENDERS = Path(__file__).parent / "contenders"
PEERS = {"geozarr-toolkit": "validate_toolkit.py", "eopf-geozarr": "validate_eopf.py"}
DEMO = Path("demo")
FAULTS = 100
NODES = 10_000
LIMIT = 1800.0  # seconds that a peer may take
Objects = dict[str, bytes]


def main() -> None:
    """Run, print and write the results."""
    parser = settings_module.parser("check", "Measure the checker.", quick="a tenth of the faults, one round", rounds=3)
    parser.add_argument("part", nargs="*", choices=[[], *PARTS], help="only these; by default all")
    chosen = parser.parse_args()
    settings = settings_module.Settings(**settings_module.common(chosen, rounds=3))
    settings.results.mkdir(parents=True, exist_ok=True)
    path = settings.results / RESULTS
    records = json.loads(path.read_text())["records"] if path.exists() else {}
    for part in chosen.part or list(PARTS):
        print(f"\n{part}", flush=True)
        records[part] = PARTS[part](settings)
    path.write_text(json.dumps(settings_module.about(settings, "check") | {"records": records}, indent=1) + "\n")
    print(f"\nwritten: {path}")


# Cases


def good_variants() -> Iterator[tuple[str, Objects]]:
    """Give the good stores, and for each what the texts allow besides, one by one."""
    for name, objects in cases.good_stores().items():
        yield name, objects
        if name == "v2":
            continue
        documents = {key: json.loads(data) for key, data in objects.items() if key.endswith("zarr.json")}
        for what, change in VARIANTS.items():
            changed = copy.deepcopy(documents)
            nodes = [found for found in _all_nodes(changed) if change(found)]
            if nodes:
                yield f"{name}, {what}", objects | {key: json.dumps(found).encode() for key, found in changed.items()}


def _all_nodes(documents: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Attributes of every node, and of every consolidated copy."""
    for document in documents.values():
        yield document.setdefault("attributes", {})
        block = document.get("consolidated_metadata") or {}
        for copied in block.get("metadata", {}).values():
            yield copied.setdefault("attributes", {})


def _extra(attributes: dict[str, Any]) -> bool:
    attributes["institution"] = "somebody"
    return True


def _extra_in_layout(attributes: dict[str, Any]) -> bool:
    if "multiscales" not in attributes:
        return False
    attributes["multiscales"]["note"] = "MS-21"
    for item in attributes["multiscales"]["layout"]:
        item["note"] = {"any": ["thing"]}
    return True


def _with_projjson(attributes: dict[str, Any]) -> bool:
    if "proj:code" not in attributes:
        return False
    attributes["proj:projjson"] = json.loads(from_code(attributes["proj:code"]).proj.to_json())
    return True


def _without_code(attributes: dict[str, Any]) -> bool:
    return attributes.pop("proj:code", None) is not None and "proj:wkt2" in attributes


def _affine(attributes: dict[str, Any]) -> bool:
    if "spatial:transform" not in attributes:
        return False
    attributes["spatial:transform_type"] = "affine"
    return True


def _pixel(attributes: dict[str, Any]) -> bool:
    if "spatial:transform" not in attributes or "multiscales" in attributes:
        return False
    attributes["spatial:registration"] = "pixel"
    return True


def _licensed(attributes: dict[str, Any]) -> bool:
    if "multiscales" not in attributes:
        return False
    entry = {"uuid": "b77365e5-2b0c-4141-b917-c03b7c68e935", "name": "license", "description": "Licence of the data"}
    attributes["zarr_conventions"].append(entry)
    attributes["license"] = {"spdx": "CC0-1.0"}
    return True


def _without_method(attributes: dict[str, Any]) -> bool:
    return "multiscales" in attributes and attributes["multiscales"].pop("resampling_method", None) is not None


# What the requirements allow: MS-21, PJ-01, SP-08, SP-11, ZC-01, MS-16.
VARIANTS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "an attribute of nobody's": _extra,
    "other keys in the layout": _extra_in_layout,
    "PROJJSON as well": _with_projjson,
    "no code": _without_code,
    "affine by name": _affine,
    "pixel by name": _pixel,
    "another convention": _licensed,
    "no method": _without_method,
}


def judge_cases(settings: Settings) -> dict[str, Any]:
    """Have every validator judge every store, and count what it is right in."""
    folder = settings.outputs / "cases"
    shutil.rmtree(folder, ignore_errors=True)
    truth: dict[str, str] = {}
    for number, (name, objects) in enumerate(good_variants()):
        _write(folder / f"valid-{number:03d}", objects)
        truth[f"valid-{number:03d}"] = f"valid: {name}"
    # Warnings and information are matters of opinion: what breaks a MUST is what others should find as well.
    for number, case in enumerate(case for case in cases.load() if case.severity == "error"):
        if case.profile == "geozarr":
            _write(folder / f"invalid-{number:03d}", case.objects())
            truth[f"invalid-{number:03d}"] = f"{case.rule}: {case.name}"
    verdicts: dict[str, dict[str, str]] = {OURS: {}}
    started = time.perf_counter()
    for store in truth:
        report = check(folder / store)
        verdicts[OURS][store] = "; ".join(map(str, report.findings))[:200] if report.exit_status == 1 else ""
    took = {OURS: time.perf_counter() - started}
    versions: dict[str, Any] = {}
    for name, script in PEERS.items():
        try:
            python = environments.python_of(name, settings.cache / "environments")
            record = _asked(python, script, {"folder": str(folder), "stores": list(truth)}, settings.outputs)
        except Failure as failure:
            print(f"  {name}: {failure.reason}")
            continue
        verdicts |= record["verdicts"]
        took[name] = record["seconds"]
        versions |= record["versions"]
    shutil.rmtree(folder)
    scores = {name: score(found, truth) for name, found in verdicts.items()}
    for name, found in scores.items():
        print(f"  {name:16} precision {found['precision']:.3f}  recall {found['recall']:.3f}  {found['counts']}")
    missed = sorted(
        truth[store] for store, found in verdicts[OURS].items() if bool(found) != store.startswith("invalid")
    )
    return {"stores": len(truth), "scores": scores, "versions": versions, "seconds": took, "ours_wrong": missed}


def _asked(python: Path, script: str, job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Have a peer do a job in its own environment; raises `Failure` where it does not."""
    asked, answer = folder / "job.json", folder / "record.json"
    asked.write_text(json.dumps(job))
    answer.unlink(missing_ok=True)
    command = [str(python), str(CONTENDERS / script), str(asked), str(answer)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"no answer after {LIMIT:.0f} s") from None
    if done.returncode or not answer.exists():
        raise Failure((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def score(verdicts: dict[str, str], truth: dict[str, str]) -> dict[str, Any]:
    """Count: positive is a store with a fault, found is one that a validator says anything about."""
    counts = Counter((store.startswith("invalid"), bool(found)) for store, found in verdicts.items())
    right, alarm, missed = counts[True, True], counts[False, True], counts[True, False]
    families: dict[str, list[int]] = {}
    for store, found in verdicts.items():
        if store.startswith("invalid"):
            seen = families.setdefault(truth[store].partition("-")[0], [0, 0])
            seen[0] += bool(found)
            seen[1] += 1
    return {
        "precision": right / max(right + alarm, 1),
        "recall": right / max(right + missed, 1),
        "counts": f"{right} of {right + missed} faulty ones, {alarm} of {alarm + counts[False, False]} good ones",
        "by_family": {family: f"{seen} of {count}" for family, (seen, count) in sorted(families.items())},
    }


def _write(folder: Path, objects: Objects) -> None:
    for key, data in objects.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)


# Single faults


def find_faults(settings: Settings) -> dict[str, Any]:
    """Put one fault after the other into the demo pyramids, and look whether it is found, and by itself."""
    if not all((DEMO / f"{name}.zarr").is_dir() for name in ("rmnp-rgb", "rmnp-dem", "landsat")):
        subprocess.run([sys.executable, str(bench.HERE.parent / "examples" / "demo.py")], check=True)
    sources = sorted(DEMO.glob("*.zarr"))
    clean = {source.name: len(check(source, depth="pixels", all_pixels=True).findings) for source in sources}
    kinds: Counter[str] = Counter()
    found, alone, wrong = 0, 0, []
    count = FAULTS // 10 if settings.is_quick else FAULTS
    for seed in range(count):
        fault = single_faults.put(sources[seed % len(sources)], settings.outputs / "faulty.zarr", seed)
        report = check(settings.outputs / "faulty.zarr", depth="pixels", all_pixels=True)
        kinds[fault.kind] += 1
        found += report.exit_status == 1
        alone += len(report.findings) == (2 if fault.kind == "swap" else 1)
        if report.exit_status != 1 or len(report.findings) > 2:
            wrong.append([seed, str(fault), [str(finding) for finding in report.findings]])
    shutil.rmtree(settings.outputs / "faulty.zarr", ignore_errors=True)
    print(f"  {found} of {count} found, {alone} of them by just their finding; without a fault: {clean}")
    return {"faults": count, "found": found, "alone": alone, "kinds": kinds, "clean": clean, "wrong": wrong}


# Scale


def measure_scale(settings: Settings) -> dict[str, Any]:
    """Check a store of many nodes in processes of their own."""
    folder = settings.outputs / "nodes.zarr"
    count = _many_nodes(folder)
    # VmHWM begins anew with a program; ru_maxrss goes on from the process that has started it.
    script = (
        "import json, re, sys, time; from pathlib import Path; from conformance import check; "
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]); "
        "before = peak(); start = time.perf_counter(); report = check(sys.argv[1], depth='metadata'); "
        "took = time.perf_counter() - start; "
        "print(json.dumps([took, before, peak(), report.nodes, len(report.findings), report.requests]))"
    )
    rounds = []
    for _ in range(settings.rounds):
        done = subprocess.run([sys.executable, "-c", script, str(folder)], check=True, capture_output=True, text=True)
        rounds.append(json.loads(done.stdout))
    shutil.rmtree(folder)
    seconds, peak = median(found[0] for found in rounds), median(found[2] for found in rounds) / 1024
    of_libraries = rounds[0][1] / 1024
    print(f"  {count} nodes: {seconds:.1f} s, {peak:.0f} MiB, of which {of_libraries:.0f} for the libraries")
    return {
        "nodes": count,
        "seconds": seconds,
        "peak_mib": peak,
        "libraries_mib": of_libraries,
        "findings": rounds[0][4],
        "requests": rounds[0][5],
        "rounds": [found[0] for found in rounds],
    }


def _many_nodes(folder: Path) -> int:
    """Write copies of a good pyramid side by side until there are enough nodes."""
    shutil.rmtree(folder, ignore_errors=True)
    objects = {key: data for key, data in cases.good_stores()["native"].items() if key.endswith("zarr.json")}
    copies = NODES // len(objects)
    root = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    _write(folder, {"zarr.json": json.dumps(root).encode()})
    for number in range(copies):
        _write(folder / f"scene-{number:04d}", objects)
    return copies * len(objects) + 1


PARTS: dict[str, Callable[[Settings], dict[str, Any]]] = {
    "cases": judge_cases,
    "faults": find_faults,
    "scale": measure_scale,
}

if __name__ == "__main__":
    main()
