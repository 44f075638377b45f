"""The ways to write a report, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from conformance.formats import html, json_report, junit, sarif, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conformance.report import Report

WRITERS: Mapping[str, Callable[[Report], str]] = MappingProxyType(
    {
        "text": text.write,
        "json": json_report.write,
        "sarif": sarif.write,
        "junit": junit.write,
        "html": html.write,
    }
)
