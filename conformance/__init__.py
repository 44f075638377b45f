"""The conformance checker: it trusts nothing that a builder computed."""

from conformance.check import check
from conformance.report import Depth, Finding, Report, Rule, Severity

__all__ = ["Depth", "Finding", "Report", "Rule", "Severity", "check"]
