"""Where in this repository a problem belongs: viewers of CI want a file and a line for everything."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

from reports.problems import Problem

ROOT: Final = Path(__file__).parents[2]
CONFIGURATIONS: Final = "matrix/configurations.toml"


def of(problem: Problem) -> tuple[str, int]:
    """Path from the root of the repository, and line: the configuration's own table, else the test, else the file of tables."""
    if table := _table(problem.configuration):
        return CONFIGURATIONS, _tables()[table]
    test, _, _ = problem.nodeid.partition("::")
    return (test, 1) if test else (CONFIGURATIONS, 1)


def _table(configuration: str) -> str:
    """The table of a configuration, or of what it is combined with another: ``device-map-auto`` of ``device-map-auto-sdpa``."""
    return max((name for name in _tables() if f"{configuration}-".startswith(f"{name}-")), key=len, default="")


@cache
def _tables() -> dict[str, int]:
    """The line of each configuration's table."""
    found: dict[str, int] = {}
    for number, line in enumerate((ROOT / CONFIGURATIONS).read_text(encoding="utf-8").splitlines(), 1):
        if match := re.fullmatch(r"\[configuration\.([^.\]]+)\]", line.strip()):
            found[match[1]] = number
    return found
