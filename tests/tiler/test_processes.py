"""Several processes take other settings into use together, or none of them does."""

from __future__ import annotations

import logging
import signal
import socket
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from tiler import processes
from tiler.processes import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event


@dataclass
class Stub:
    """A process that is told rather than started; what becomes of it is written down."""

    app: str
    is_ready: bool
    fate: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        quiet = {name: (lambda *_: None) for name in ("join", "kill")}
        self.process: Any = SimpleNamespace(**quiet, is_alive=lambda: False)

    def start(self) -> None:
        self.fate.append("started")

    def wait_until_ready(self, timeout: float, should_exit: Event) -> bool:
        assert 0 < timeout <= processes._START
        assert not should_exit.is_set()
        return self.is_ready

    def terminate(self) -> None:
        self.fate.append("ended")

    def kill(self) -> None:
        self.fate.append("killed")

    def join(self) -> None:
        self.fate.append("joined")


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[bool]], tuple[Workers, list[Stub]]]]:
    """Make a supervisor of two processes of the app `old`; each later one is ready or not, as it is said."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with socket.socket() as listener:

        def make(ready: list[bool]) -> tuple[Workers, list[Stub]]:
            found = Workers(uvicorn.Config("old", workers=2), listener, renew=lambda: "new")
            made: list[Stub] = []

            def process(config: uvicorn.Config, _: object) -> Stub:
                made.append(Stub(str(config.app), ready[len(made)]))
                return made[-1]

            monkeypatch.setattr(processes, "Process", process)
            found.processes = [process(found.config, None) for _ in range(2)]  # type: ignore[misc]
            return found, made

        yield make


def test_all_processes_are_replaced_once_all_new_ones_answer(workers: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found, made = workers([True] * 4)
    found.handle_hup()
    assert [(stub.app, stub.fate) for stub in made] == [
        *[("old", ["ended"])] * 2,
        *[("new", ["started"])] * 2,
    ]
    assert found.processes == made[2:]
    assert "the settings are taken anew" in caplog.text


@pytest.mark.parametrize("ready", [(False, True), (True, False)])
def test_no_process_is_replaced_where_a_new_one_does_not_answer(
    workers: Any, caplog: pytest.LogCaptureFixture, ready: tuple[bool, bool]
) -> None:
    found, made = workers([True, True, *ready])
    found.handle_hup()
    assert [(stub.app, stub.fate) for stub in made] == [
        *[("old", [])] * 2,
        *[("new", ["started", "killed", "joined"])] * 2,
    ]
    assert found.processes == made[:2]
    assert found.config.app == "old"  # a process that dies is replaced by its like
    assert "the settings stay as they were" in caplog.text
    assert "taken anew" not in caplog.text
