"""Run the readers over the stores: `python -m interop`, or `make interop`.

Each reader's facts are kept in `build/interop/facts`, and taken from there as long as the stores, the probe and what is
installed are the same; so a run that was stopped goes on, and a change to a prediction needs no reader.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from interop import cases, demos, environments, outcomes, report, run
from interop.environments import Missing
from interop.judge import judge
from interop.roster import PROBES, ROSTER

if TYPE_CHECKING:
    from pathlib import Path

    from interop.cases import Case
    from interop.outcomes import Record
    from interop.roster import Reader

STORES = environments.FOLDER / "stores"
FACTS = environments.FOLDER / "facts"


def main() -> int:
    """Run, print and, after a full run, write the results and the page; 1 where a prediction did not come true."""
    arguments = parse(sys.argv[1:])
    if arguments.render:
        report.write(outcomes.load())
        return 0
    stores = choose(arguments)
    lay_out(stores)
    predicted = {case.name: outcomes.predictions(case) for case in stores}
    records: list[Record] = []
    skipped: dict[str, str] = {}
    for reader in chosen_readers(arguments):
        asked = [case for case in stores if reader.kinds is None or case.kind in reader.kinds]
        try:
            facts = ask(reader, asked, is_fresh=arguments.fresh)
        except Missing as reason:
            skipped[reader.name] = str(reason)
            print(f"{reader.name}: skipped: {reason}", flush=True)
            continue
        found = [
            outcomes.record(case, reader.version, predicted[case.name][reader.name], observed)
            for case in asked
            for observed in [judge(reader.name, facts[case.name], case.truth)]
        ]
        print(report.summary(reader.name, found), flush=True)
        records += found
    for record in records:
        if not record.agrees:
            print(report.mismatch(record), flush=True)
    is_full = not (arguments.quick or arguments.readers or arguments.stores)
    if is_full:
        about = {"python": platform.python_version(), "machine": platform.machine()}
        document = {"about": about, "skipped": skipped, "records": records}
        outcomes.save(document)
        report.write(document)
        print(f"written: {outcomes.RESULTS} and {report.PAGE}")
    wrong = sum(not record.agrees for record in records)
    print(f"{len(records)} observations of {len({r.reader for r in records})} readers, {wrong} not as predicted")
    return 1 if wrong else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    options = argparse.ArgumentParser(prog="interop", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    options.add_argument("--quick", action="store_true", help="one store of each kind of data, and the regressions")
    options.add_argument("--readers", default="", metavar="A,B", help="only these; part of a name is enough")
    options.add_argument("--stores", default="", metavar="A,B", help="only these; part of a name is enough")
    options.add_argument("--fresh", action="store_true", help="ask again, though nothing has changed")
    options.add_argument("--render", action="store_true", help="make docs/interop.md of the results that are there")
    return options.parse_args(arguments)


def choose(arguments: argparse.Namespace) -> list[Case]:
    """List the stores of this run."""
    if arguments.quick:
        plain = [case for case in cases.matrix() if case.name.endswith("plain-root-consolidated")]
        found = [*(case for case in plain if case.name.startswith("utm")), *cases.regressions()]
    else:
        found = [*cases.everything(), *demos.stores()]
    wanted = [part for part in arguments.stores.split(",") if part]
    return [case for case in found if not wanted or any(part in case.name for part in wanted)]


def chosen_readers(arguments: argparse.Namespace) -> list[Reader]:
    """List the readers of this run."""
    wanted = [part.lower() for part in arguments.readers.split(",") if part]
    return [reader for reader in ROSTER if not wanted or any(part in reader.name.lower() for part in wanted)]


def lay_out(stores: list[Case]) -> None:
    """Write the stores to disk, where readers find them."""
    for case in stores:
        place = place_of(case)
        stamp = place.with_suffix(".sha256")
        if stamp.exists() and stamp.read_text() == digest(case):
            continue
        shutil.rmtree(place, ignore_errors=True)
        for key, data in case.objects.items():
            path = place / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        stamp.write_text(digest(case))


def place_of(case: Case) -> Path:
    """Folder of a store."""
    return STORES / f"{case.name}.zarr"


def digest(case: Case) -> str:
    """Text that changes when a store does; the name of the build in it does each time."""
    objects = ((key, data) for key, data in sorted(case.objects.items()) if ".build" not in key)
    return hashlib.sha256(repr([*objects, case.truth]).encode()).hexdigest()


def ask(reader: Reader, stores: list[Case], *, is_fresh: bool) -> dict[str, dict[str, Any]]:
    """Ask a reader about each store of which no facts are kept."""
    FACTS.mkdir(parents=True, exist_ok=True)
    kept = FACTS / f"{reader.name.replace(' ', '-')}.json"
    facts: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else {}
    probe = hashlib.sha256(repr((asdict(reader), _sources(reader))).encode()).hexdigest()
    keys = {case.name: f"{probe[:16]} {digest(case)[:16]}" for case in stores}
    waiting = [case for case in stores if is_fresh or facts.get(case.name, {}).get("key") != keys[case.name]]
    environments.install(reader.environment)  # a reader that has gone is skipped, whatever is kept
    started, count = time.monotonic(), 0

    def heard(name: str, found: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        facts[name] = {"key": keys[name], "facts": found}
        if count % 10 == 0 or count == len(waiting):
            print(f"  {reader.name}: {count} of {len(waiting)}, {time.monotonic() - started:.0f} s", flush=True)
            kept.write_text(json.dumps(facts))

    if waiting:
        run.ask(reader, [run.job(reader, case, place_of(case).absolute()) for case in waiting], heard)
    return {case.name: facts[case.name]["facts"] for case in stores}


def _sources(reader: Reader) -> list[bytes]:
    """Contents of the scripts that a probe consists of."""
    names = [reader.probe, "loop.py"]
    if reader.environment.is_npm:
        names = [reader.probe, "browser.mjs", f"pages/{reader.probe.removesuffix('.mjs')}.js"]
    return [(PROBES / name).read_bytes() for name in names]


if __name__ == "__main__":
    sys.exit(main())
