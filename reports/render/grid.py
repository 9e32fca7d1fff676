"""The tables of configurations against checks, one a suite, the same in every format.

A kind of check that only one suite has is a column there, and no empty one elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from matrix.cell import CHECKS
from reports.compare import Comparison
from reports.record import HOLDING, RED, Record
from reports.verdict import UNDECIDED

LEGEND: Final = "open: neither good nor bad (skipped, refused, expected to fail; in a comparison undecided or known)"
ORDER: Final = ("environment", "attention", "quantization", "placement", "onnxruntime", "guide", "latency")
"""Suites as a run takes them (``testpaths`` in pyproject.toml); others follow by name."""
OTHER: Final = "other"
"""What no test has recorded: what was planned and never run."""

Square = tuple[str, str, str, str]
"""One check: its suite, empty where nothing says, its configuration, its column, and its state: good, bad or open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many checks one entry of the table stands for, how many of them are bad, and how many nobody can judge."""

    total: int = 0
    bad: int = 0
    open: int = 0

    def plus(self, *, bad: bool, open: bool) -> Tally:
        """With one check more."""
        return Tally(total=self.total + 1, bad=self.bad + bad, open=self.open + open)

    @property
    def text(self) -> str:
        """``12`` all good, ``3 of 12 bad``, ``2 of 12 open``, ``-`` none."""
        if not self.total:
            return "-"
        if self.bad:
            return f"{self.bad} of {self.total} bad"
        return f"{self.open} of {self.total} open" if self.open else f"{self.total}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rows are configurations, those with something bad first, then by name; columns are kinds of checks, or runs. ``name`` is
    the suite's, empty where there is one alone.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tally, ...]], ...]
    name: str = ""

    @property
    def bad(self) -> bool:
        """Some check is bad."""
        return any(tally.bad for _, tallies in self.rows for tally in tallies)

    @property
    def open(self) -> bool:
        """Some check neither passed nor failed."""
        return any(tally.open and not tally.bad for _, tallies in self.rows for tally in tallies)


def of_records(records: Iterable[Record]) -> list[Grid]:
    """The tables of one run; a check that was skipped, refused or expected to fail is open."""
    return grids([(record.suite, record.configuration, record.check, _state(record)) for record in records])


def of_comparison(comparison: Comparison) -> list[Grid]:
    """The tables of a comparison; a verdict that cannot be given is open, and so is a known loss."""
    sides = comparison.candidate.records, comparison.baseline.records
    return grids([
        (next((side[item.id].suite for side in sides if item.id in side), ""), item.configuration, item.check,
         "bad" if item.worse else "open" if item.kind in UNDECIDED or item.accepted else "good")
        for item in comparison.verdicts
    ])  # fmt: skip


def of_runs(runs: Mapping[str, Iterable[Record]]) -> list[Grid]:
    """The tables of several runs, a column a run by its name."""
    squares = [
        (record.suite, record.configuration, name, _state(record)) for name, records in runs.items() for record in records
    ]
    return grids(squares, sorted({name for _, _, name, _ in squares}))


def _state(record: Record) -> str:
    return "bad" if record.outcome in RED else "good" if record.outcome in HOLDING else "open"


def grids(squares: Sequence[Square], columns: Sequence[str] = ()) -> list[Grid]:
    """The tables of checks, those with something bad first; each has ``columns``, or those that occur in it."""
    suites = _suites(squares)
    found: dict[str, list[Square]] = {}
    for square in squares:
        found.setdefault(suites[square[1]], []).append(square)
    made = [_grid((name or OTHER) if len(found) > 1 else "", some, columns) for name, some in found.items()]
    return sorted(made, key=lambda grid: (not grid.bad, _place(grid.name)))


def _suites(squares: Iterable[Square]) -> dict[str, str]:
    """The suite in which most checks of each configuration are; what was never run says of none."""
    counts: dict[str, Counter[str]] = {}
    for suite, configuration, _, _ in squares:
        counts.setdefault(configuration, Counter())[suite] += bool(suite)
    return {name: min(found, key=lambda suite: (-found[suite], _place(suite))) for name, found in counts.items()}


def _place(suite: str) -> tuple[int, str]:
    return (ORDER.index(suite) if suite in ORDER else len(ORDER), suite)


def _grid(suite: str, squares: Iterable[Square], columns: Sequence[str]) -> Grid:
    found: dict[str, dict[str, Tally]] = {}
    for _, configuration, column, state in squares:
        row = found.setdefault(configuration, {})
        row[column] = row.get(column, Tally()).plus(bad=state == "bad", open=state == "open")
    columns = tuple(columns or sorted({column for row in found.values() for column in row}, key=_column))
    rows = ((name, tuple(row.get(column, Tally()) for column in columns)) for name, row in found.items())
    return Grid(name=suite, columns=columns, rows=tuple(sorted(rows, key=_row)))


def _column(check: str) -> tuple[int, str]:
    return (CHECKS.index(check) if check in CHECKS else len(CHECKS), check)


def _row(row: tuple[str, tuple[Tally, ...]]) -> tuple[bool, str]:
    return (not any(tally.bad for tally in row[1]), row[0])
