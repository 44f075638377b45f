"""The report as JSON, which holds all that there is to tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.report import Report


def write(report: Report) -> str:
    """Write the report as JSON, in ASCII, so that a hostile name cannot break the output."""
    return json.dumps(report.to_document(), indent=2)
