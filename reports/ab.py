"""``python -m reports ab``: two Python environments of one machine against each other, in turns, and the verdicts."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from matrix.errors import UserError

ROOT: Final = Path(__file__).parent.parent
INTERRUPTED: Final = 130
"""Exit status of what measures where it was interrupted, as shells have it."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], epilog: str) -> argparse.ArgumentParser:
    """The command's own options; those of ``compare`` come on top."""
    parser = commands.add_parser("ab", help="latency of two Python environments, measured in turns", epilog=epilog)
    parser.add_argument("--a", required=True, metavar="PYTHON", help="interpreter of the trusted environment")
    parser.add_argument("--b", required=True, metavar="PYTHON", help="interpreter of the environment to judge")
    parser.add_argument("--run-dir", type=Path, default=None, metavar="DIR", help="where to record (default: runs/TIME-ab)")
    parser.add_argument("--platform", default="auto", help="platform to measure (default: %(default)s)")
    parser.add_argument("--tier", default="quick", help="how much to measure (default: %(default)s)")
    parser.add_argument("--cells", default="*", metavar="EXPRESSION", help="cells to measure (default: all)")
    parser.add_argument("--processes", type=int, default=0, metavar="N", help="processes of each environment")
    parser.add_argument("--inject", action="append", default=[], metavar="FAULT", help="break B on purpose")
    return parser


def measured(options: argparse.Namespace) -> tuple[str, str]:
    """Measure both, in a process that may import what measures; the folders of the two runs.

    Raises:
        UserError: it could not be measured; the process has said why.
    """
    folder = options.run_dir or ROOT / "runs" / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-ab"
    given = {"--a": options.a, "--b": options.b, "--run-dir": folder.resolve(), "--platform": options.platform,
             "--tier": options.tier, "--cells": options.cells, "--processes": options.processes}  # fmt: skip
    command = [sys.executable, "-m", "fixtures.latency.alternating", *(f"{name}={value}" for name, value in given.items())]
    command += [f"--inject={fault}" for fault in options.inject]
    if done := _run(command):
        what = "were not measured to the end" if done == INTERRUPTED else "could not be measured"
        raise UserError(f"{folder}: the two environments {what}")
    return str(folder / "a"), str(folder / "b")


def _run(command: list[str]) -> int:
    """Its exit status; told to end, it is told as well, and says what it has kept."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        return process.wait()
