"""The table of configurations against checks, the same in every format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from matrix.cell import CHECKS
from reports.record import HOLDING, RED, Record
from reports.verdict import UNDECIDED, Verdict

LEGEND: Final = "open: neither good nor bad (skipped, refused, expected to fail; in a comparison undecided or known)"


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
    """Rows are configurations, those with something bad first, then by name; columns are kinds of checks."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tally, ...]], ...]

    @property
    def open(self) -> bool:
        """Some check neither passed nor failed."""
        return any(tally.open and not tally.bad for _, tallies in self.rows for tally in tallies)


def of_records(records: Iterable[Record]) -> Grid:
    """The table of one run; a check that was skipped, refused or expected to fail is open."""
    return _grid(
        (record.configuration, record.check, record.outcome in RED, record.outcome not in RED | HOLDING) for record in records
    )


def of_verdicts(verdicts: Iterable[Verdict]) -> Grid:
    """The table of a comparison; a verdict that cannot be given is open, and so is a known loss."""
    return _grid(
        (item.configuration, item.check, item.worse, item.kind in UNDECIDED or bool(item.accepted)) for item in verdicts
    )


def of_runs(runs: Mapping[str, Iterable[Record]]) -> Grid:
    """The table of several runs, a column a run by its name."""
    return _grid(
        (record.configuration, name, record.outcome in RED, record.outcome not in RED | HOLDING)
        for name, records in runs.items()
        for record in records
    )


def of_states(entries: Iterable[tuple[str, str, str]], columns: Sequence[str] = ()) -> Grid:
    """The table of what has a configuration, a column and a state (``good``, ``bad``, ``open``), of the columns that are given
    or else of those that occur.
    """
    return _grid(((name, column, state == "bad", state == "open") for name, column, state in entries), columns)


def _grid(entries: Iterable[tuple[str, str, bool, bool]], columns: Sequence[str] = ()) -> Grid:
    found: dict[str, dict[str, Tally]] = {}
    for configuration, check, bad, open_ in entries:
        row = found.setdefault(configuration, {})
        row[check] = row.get(check, Tally()).plus(bad=bad, open=open_)
    columns = tuple(columns or sorted({check for row in found.values() for check in row}, key=_column))
    rows = ((name, tuple(row.get(check, Tally()) for check in columns)) for name, row in found.items())
    return Grid(columns=columns, rows=tuple(sorted(rows, key=_row)))


def _column(check: str) -> tuple[int, str]:
    return (CHECKS.index(check) if check in CHECKS else len(CHECKS), check)


def _row(row: tuple[str, tuple[Tally, ...]]) -> tuple[bool, str]:
    return (not any(tally.bad for tally in row[1]), row[0])
