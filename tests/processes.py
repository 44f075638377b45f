"""The commands in processes of their own."""

from __future__ import annotations

import sys


def build_command(*arguments: object) -> list[str]:
    """`geozarr-build` with arguments; it minds SIGINT though a shell's background, which these may run in, does not."""
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    return [sys.executable, "-c", f"{program}from pyramids.cli import main; main()", *map(str, arguments)]
