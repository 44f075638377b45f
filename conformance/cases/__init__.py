"""Stores with one fault each, and what a validator should say of them: for other validators too.

python -m conformance.cases FOLDER      writes every store as a folder, and `cases.json` with what is wrong
"""

from conformance.cases.catalogue import Case, good_stores, load

__all__ = ["Case", "good_stores", "load"]
