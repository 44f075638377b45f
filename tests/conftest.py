"""What every test shares: where real data are, and how hypothesis runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[1]

pytest_plugins = ["faults", "s3"]  # fixtures and servers that tests share

# The same examples on every run, on machines of every speed.
settings.register_profile("project", derandomize=True, deadline=None)
settings.load_profile("project")


def _data() -> Path:
    return Path(os.environ.get("GEOZARR_TEST_DATA") or PROJECT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real rasters, stores and reference results."""
    if not _data().is_dir():
        pytest.skip(f"no test data in {_data()}; set GEOZARR_TEST_DATA")
    return _data()


@pytest.fixture(scope="session")
def spec_dir() -> Path:
    """Folder of the specifications' schemas and examples, beside the data."""
    folder = _data().parent / "spec"
    if not folder.is_dir():
        pytest.skip(f"no specifications in {folder}; set GEOZARR_TEST_DATA to a folder beside them")
    return folder


@pytest.fixture
def keeps_handlers() -> Iterator[None]:
    """A command that runs within a test installs a handler of signals; the session of tests keeps its own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker is left alone with one at the end."""
    long = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in long)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many moments there were at which builds died, of tests that have passed."""
    passed = terminalreporter.stats.get("passed", [])
    points = [value for report in passed for name, value in report.user_properties if name == "crash points"]
    if points:
        terminalreporter.write_line(
            f"builds died at {sum(points):,} points of {len(points)} enumerations; all survived"
        )
