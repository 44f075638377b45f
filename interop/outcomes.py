"""Records: what was predicted of a reader and a store, what was observed, and whether the two agree."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.store import MemoryStore

from conformance.readers import report_readers

if TYPE_CHECKING:
    from conformance.readers import Verdict
    from interop.cases import Case
    from interop.judge import Observation

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Record:
    """One reader on one store.

    Parameters
    ----------
    reader, version, store, kind, title : str
        Which reader, and which store.
    predicted, observed : str
        "opens", "degrades" or "fails".
    predicted_losses, observed_losses : list of str
        What is lost where it degrades.
    rules : list of str
        Requirements that decide the prediction.
    detail : str
        What was observed, in words.
    """

    reader: str
    version: str
    store: str
    kind: str
    title: str
    predicted: str
    observed: str
    predicted_losses: list[str]
    observed_losses: list[str]
    rules: list[str]
    detail: str

    @property
    def agrees(self) -> bool:
        """True where the prediction came true, losses included."""
        same = sorted(self.predicted_losses) == sorted(self.observed_losses)
        return self.predicted == self.observed and same


def record(case: Case, version: str, verdict: Verdict, observation: Observation) -> Record:
    """Put a prediction and an observation side by side."""
    return Record(
        reader=verdict.reader,
        version=version,
        store=case.name,
        kind=case.kind,
        title=case.title,
        predicted=verdict.outcome.value,
        observed=observation.outcome.value,
        predicted_losses=[loss.value for loss in verdict.losses if verdict.outcome.value == "degrades"],
        observed_losses=[loss.value for loss in observation.losses],
        rules=list(verdict.rules),
        detail=observation.detail,
    )


def predictions(case: Case) -> dict[str, Verdict]:
    """Verdict of every reader on the variable of a case."""
    store = MemoryStore()
    for key, data in case.objects.items():
        obstore.put(store, key, data)
    path = f"{case.truth.levels[0].asset}/{case.truth.variable}"
    path = f"{case.truth.group}/{path}" if case.truth.group else path
    return {verdict.reader: verdict for verdict in report_readers(store) if verdict.subject == path}


def load(path: Path = RESULTS) -> dict[str, Any]:
    """Read the results of the last full run."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document | {"records": [Record(**item) for item in document["records"]]}


def save(document: dict[str, Any], path: Path = RESULTS) -> None:
    """Write results: a line a record, so that a change shows."""
    head = {key: value for key, value in document.items() if key != "records"}
    lines = ",\n".join("  " + json.dumps(asdict(item)) for item in document["records"])
    text = json.dumps(head, indent=1)[:-2] + f',\n "records": [\n{lines}\n ]\n}}\n'
    path.write_text(text, encoding="utf-8")
