"""Many runs in the order in which they were made, each kept as what a trend looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from matrix.errors import UserError
from reports.document import reason
from reports.metrics import Metric, of_record
from reports.record import Outcome, Record
from reports.run import Run
from reports.store import RUN, read_header, read_run
from reports.summary import counts, empty

LAST: Final = 100
"""Runs that are looked at where nobody says how many: a quarter of a year of nights, some hundred MiB of 2,500 checks each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One run: when it was, its fingerprint, and how many checks ended in which way."""

    id: str
    started: float
    folder: Path
    environment: Mapping[str, Any]
    outcomes: Mapping[Outcome, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one run says of one check: ``night`` is its place among the runs of its line, ``metrics`` are by label."""

    night: int
    outcome: Outcome
    message: str
    families: frozenset[str] | None
    definition: str
    metrics: Mapping[str, Metric]


@dataclass(slots=True, kw_only=True)
class Line:
    """The runs of one platform in one environment, the oldest first, and the points of each check."""

    platform: str
    environment: str
    nights: list[Night] = field(default_factory=list)
    checks: dict[str, list[Point]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``cuda, environment cuda-tf5``."""
        return f"{self.platform}, environment {self.environment}" if self.environment else self.platform


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Every line of a store, and what was left out, one sentence each."""

    lines: tuple[Line, ...]
    left_out: tuple[str, ...]


def read_history(store: Path, last: int = LAST) -> History:
    """The ``last`` runs below a store.

    A run with injected faults says nothing of a library, one that cannot be read says nothing, and a shard is in the run
    that it was joined to: they are left out.
    Raises UserError where the store holds no run.
    """
    lines: dict[tuple[str, str], Line] = {}
    left_out: list[str] = []
    folders = _in_order(store, left_out)
    if len(folders) > last:
        left_out.append(f"{len(folders) - last} earlier runs: the last {last} are looked at")
    for folder in folders[-last:]:
        try:
            _add(read_run(folder), lines, left_out)
        except UserError as error:
            left_out.append(str(error))
    if not lines:
        why = "".join(f"; {sentence}" for sentence in left_out[:3])
        raise UserError(f"{store}: holds no run to look at{why}; name the folder below which runs were recorded")
    return History(lines=tuple(lines[key] for key in sorted(lines)), left_out=tuple(left_out))


def _in_order(store: Path, left_out: list[str]) -> list[Path]:
    """The folders of runs, however deep, the one that started first first."""
    started: dict[Path, tuple[float, str]] = {}
    try:
        below = [*store.iterdir(), *(path.parent for path in store.rglob(RUN))] if store.is_dir() else []
        folders = [path for path in dict.fromkeys(below) if path != store and (path / RUN).is_file()]
    except (OSError, ValueError) as error:
        raise UserError(f"{str(store)!r}: cannot be read: {reason(error)}") from None
    for folder in folders:
        try:
            started[folder] = (read_header(folder).started, folder.name)
        except UserError as error:
            left_out.append(str(error))
    return sorted(started, key=started.__getitem__)


def _add(run: Run, lines: dict[tuple[str, str], Line], left_out: list[str]) -> None:
    header = run.header
    if header.injected:
        left_out.append(f"{header.id}: faults were injected on purpose: {', '.join(header.injected)}")
        return
    if header.shard:
        left_out.append(f"{header.id}: is shard {header.shard.name}, and counts where it was joined")
        return
    if empty(run):
        left_out.append(f"{header.id}: executed nothing")
        return
    key = (header.platform, header.environment)
    line = lines.setdefault(key, Line(platform=header.platform, environment=header.environment))
    same = (night for night in line.nights if (night.id, night.started) == (header.id, header.started))
    if twice := next(same, None):
        left_out.append(f"{run.folder}: is the run of {twice.folder}, which counts")
        return
    line.nights.append(
        Night(id=header.id, started=header.started, folder=run.folder, environment=run.environment, outcomes=counts(run))
    )
    for record in run.records.values():
        line.checks.setdefault(record.id, []).append(_point(record, len(line.nights) - 1))


def _point(record: Record, night: int) -> Point:
    return Point(
        night=night,
        outcome=record.outcome,
        message=record.message,
        families=record.families,
        definition=record.definition,
        metrics={item.label: item for item in of_record(record)},
    )
