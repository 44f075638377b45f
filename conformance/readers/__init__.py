"""What other readers do with a store, told from its documents alone."""

from conformance.readers.predict import READERS, predict, report_readers, rules
from conformance.readers.text import to_json, to_text
from conformance.readers.verdict import Condition, Loss, Outcome, Reader, Reason, Verdict

__all__ = [
    "READERS",
    "Condition",
    "Loss",
    "Outcome",
    "Reader",
    "Reason",
    "Verdict",
    "predict",
    "report_readers",
    "rules",
    "to_json",
    "to_text",
]
