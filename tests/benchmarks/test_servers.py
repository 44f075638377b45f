from __future__ import annotations

import sys
import urllib.request

import psutil
import pytest

from benchmarks import servers
from benchmarks.measure import Failure


def test_a_server_is_up_within_and_gone_after() -> None:
    port = servers.free_port()
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with servers.up(command, url) as pid:
        assert psutil.pid_exists(pid)
        with urllib.request.urlopen(url) as answer:
            assert answer.status == 200
    assert not psutil.pid_exists(pid)


def test_an_answer_that_is_an_error_is_a_failure_with_its_words() -> None:
    port = servers.free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with pytest.raises(Failure, match="404"), servers.up(command, f"http://127.0.0.1:{port}/no/such/file"):
        pass


def test_a_server_that_ends_is_a_failure_with_its_last_words() -> None:
    command = [sys.executable, "-c", "import os; raise SystemExit(os.environ['WORDS'])"]
    url = f"http://127.0.0.1:{servers.free_port()}/"
    with pytest.raises(Failure, match="so it is"), servers.up(command, url, {"WORDS": "so it is"}):
        pass
