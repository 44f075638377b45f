"""Write every good store and every case as a folder, and a list of what is wrong with each."""

from __future__ import annotations

import json
from pathlib import Path

import click

from conformance import cases


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def main(folder: Path) -> None:
    """Write the stores below FOLDER: those under `valid` have no fault, those under `invalid` one each."""
    listed = []
    for name, objects in cases.good_stores().items():
        _write(folder / "valid" / name, objects)
        listed.append({"path": f"valid/{name}", "valid": True})
    for number, case in enumerate(cases.load()):
        path = f"invalid/{number:03d}-{case.rule}"
        _write(folder / path, case.objects())
        expected = {key: getattr(case, key) for key in ("name", "store", "rule", "severity", "node", "pointer")}
        listed.append({"path": path, "valid": False, **expected})
    (folder / "cases.json").write_text(json.dumps(listed, indent=1))
    click.echo(f"{len(listed)} stores in {folder}")


def _write(folder: Path, objects: dict[str, bytes]) -> None:
    for key, data in objects.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)


if __name__ == "__main__":
    main()
