"""How long a run will take yet, from how long its checks took before."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from matrix.errors import UserError
from reports.run import Run
from reports.store import RUN, read_header, read_run

LOOKED_AT: Final = 10
"""Recorded runs, the latest first, among which the one with most of the checks is looked for."""

ENOUGH: Final = 20
"""Checks that must be done before they say how long the others take."""


@dataclass(slots=True, kw_only=True)
class Estimate:
    """Seconds of each check in an earlier run, and how much slower or faster this one has been so far.

    ``source`` is that run's id, empty where there is none: then the checks that are done say how long the others take.
    """

    recorded: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    done: dict[str, float] = field(default_factory=dict)

    def took(self, check: str, seconds: float) -> None:
        """A check is done."""
        if math.isfinite(seconds) and seconds >= 0:
            self.done[check] = seconds

    def left(self, checks: Iterable[str], workers: int) -> float | None:
        """Seconds until ``checks`` are done by so many processes; None where nothing is known yet."""
        usual = self._usual()
        if usual is None:
            return None
        return self._pace() * math.fsum(self.recorded.get(check, usual) for check in checks) / max(workers, 1)

    def _usual(self) -> float | None:
        """Seconds of a check of which nothing is known."""
        if self.recorded:
            return statistics.fmean(self.recorded.values())
        return statistics.fmean(self.done.values()) if len(self.done) >= ENOUGH else None

    def _pace(self) -> float:
        """Seconds here for a second there."""
        both = [(seconds, self.recorded[check]) for check, seconds in self.done.items() if check in self.recorded]
        before = math.fsum(was for _, was in both)
        return math.fsum(now for now, _ in both) / before if before > 0 else 1.0


def estimate(root: Path, platform: str, checks: Iterable[str]) -> Estimate:
    """From the run below ``root`` that recorded most of the checks; nothing where none did, or none can be read."""
    asked, best, found = set(checks), 0, Estimate()
    for folder in _latest(root, platform):
        try:
            run = read_run(folder)
        except UserError:
            continue  # a run that cannot be read is no finding here: an estimate is a courtesy
        recorded = _seconds(run)
        if (known := len(asked & recorded.keys())) > best:
            best, found = known, Estimate(recorded=recorded, source=run.header.id)
    return found


def _latest(root: Path, platform: str) -> list[Path]:
    started: dict[Path, float] = {}
    for path in root.glob(f"*/{RUN}"):
        try:
            header = read_header(path.parent)
        except UserError:
            continue
        if header.platform == platform and header.complete and not header.injected:
            started[path.parent] = header.started
    return sorted(started, key=started.__getitem__, reverse=True)[:LOOKED_AT]


def _seconds(run: Run) -> dict[str, float]:
    found = {record.id: record.seconds for record in run.records.values()}
    return {id: seconds for id, seconds in found.items() if math.isfinite(seconds) and seconds >= 0}
