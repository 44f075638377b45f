"""What other readers do with a store, told from its documents alone."""

from conformance.readers.verdict import Condition, Loss, Outcome, Reader, Reason, Verdict

READERS = {}
__all__ = ["Condition", "Loss", "Outcome", "Reader", "Reason", "Verdict"]
