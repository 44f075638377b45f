from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import measure

CHILD = Path(measure.__file__).parent / "contenders"
HEAD = f"import sys; sys.path.insert(0, {str(CHILD)!r})\nfrom child import run\nfrom pathlib import Path\n"


def script(folder: Path, body: str) -> Path:
    path = folder / "script.py"
    path.write_text(HEAD + body)
    return path


def run(folder: Path, body: str, *, timeout: float = 300.0) -> dict[str, object]:
    job = {"target": str(folder / "out")}
    return measure.run(Path(sys.executable), script(folder, body), job, timeout=timeout)


def test_a_record_tells_bytes_objects_and_versions(tmp_path: Path) -> None:
    body = (
        "def work(job):\n"
        "    target = Path(job['target']); (target / 'a').mkdir(parents=True)\n"
        "    (target / 'a' / 'x').write_bytes(bytes(10)); (target / 'y').write_bytes(bytes(5))\n"
        "    print('noise')\n"
        "    return {'stages': {'warp': 1.0}, 'versions': {'gdal': '9'}}\n"
        "run(work, packages=('numpy', 'no-such-package'))\n"
    )
    found = run(tmp_path, body)
    assert (found["bytes"], found["objects"], found["stages"]) == (15, 2, {"warp": 1.0})
    versions = found["versions"]
    assert isinstance(versions, dict)
    assert versions["gdal"] == "9"
    assert versions["no-such-package"] == "missing"
    assert {"seconds", "cpu_seconds", "process_seconds", "peak_bytes"} <= set(found)


def test_peak_memory_holds_what_the_child_touched(tmp_path: Path) -> None:
    found = run(tmp_path, "run(lambda job: {'n': len(b'x' * 200_000_000)}, packages=())\n")
    peak = found["peak_bytes"]
    assert isinstance(peak, int)
    assert 200_000_000 <= peak < 300_000_000  # and a bare interpreter, which is far below 100 MB


def test_peak_memory_of_two_processes_is_that_of_both(tmp_path: Path) -> None:
    body = (
        "import subprocess\n"
        "def work(job):\n"
        "    held = b'x' * 150_000_000\n"
        "    code = 'import time; held = b\\'x\\' * 150_000_000; time.sleep(1)'\n"
        "    subprocess.run([sys.executable, '-c', code], check=True)\n"
        "    return {'n': len(held)}\n"
        "run(work, packages=())\n"
    )
    peak = run(tmp_path, body)["peak_bytes"]
    assert isinstance(peak, int)
    assert 300_000_000 <= peak < 400_000_000


def test_an_old_output_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_bytes(bytes(99))
    found = run(tmp_path, "run(lambda job: Path(job['target']).write_bytes(b'abc') and {}, packages=())\n")
    assert (found["bytes"], found["objects"]) == (3, 1)


def test_a_failure_carries_the_last_words(tmp_path: Path) -> None:
    with pytest.raises(measure.Failure, match="KeyError: 'not there'") as caught:
        run(tmp_path, "run(lambda job: job['not there'], packages=())\n")
    assert "Traceback" not in caught.value.reason


def test_a_child_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(measure.Failure, match="ended after 1 s"):
        run(tmp_path, "import threading\nrun(lambda job: threading.Event().wait(), packages=())\n", timeout=1.0)
