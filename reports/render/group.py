"""Findings that say the same of several checks, told once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from reports.problems import Problem
from reports.record import Record
from reports.trend import Shift
from reports.verdict import Verdict

T = TypeVar("T", Record, Verdict, Problem, Shift)

_NAMED: Final = 6
"""Configurations that are named before the others are only counted."""
_NUMBER: Final = re.compile(r"\d[\d.,]*(?:e[+-]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Generic[T]):
    """The first of several alike, which is the worst where the items came worst first, and the others."""

    first: T
    others: Sequence[T]

    @property
    def where(self) -> str:
        """How many of the others each configuration has: ``sdpa 9, sdpa-switched 10``; empty where there are none."""
        found = Counter(item.configuration for item in self.others).most_common()
        rest = [f"{len(found) - _NAMED} other configurations"] if len(found) > _NAMED else []
        return ", ".join([f"{name} {count}" for name, count in found[:_NAMED]] + rest)


def of_records(records: Iterable[Record]) -> list[Group[Record]]:
    """Records with one outcome whose sentences differ in numbers only."""
    found: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        found.setdefault((record.outcome, record.reason, _shape(record.message or record.id)), []).append(record)
    return [Group(first=first, others=others) for first, *others in found.values()]


def of_verdicts(verdicts: Iterable[Verdict]) -> list[Group[Verdict]]:
    """Verdicts with one reason whose sentences differ in numbers only."""
    found: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault((verdict.kind, verdict.reason, _shape(verdict.message)), []).append(verdict)
    return [Group(first=first, others=others) for first, *others in found.values()]


def of_problems(problems: Iterable[Problem]) -> list[Group[Problem]]:
    """Problems with one reason whose sentences differ in numbers only."""
    found: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        found.setdefault((problem.severity, problem.reason, _shape(problem.sentence)), []).append(problem)
    return [Group(first=first, others=others) for first, *others in found.values()]


def of_shifts(shifts: Iterable[Shift]) -> list[Group[Shift]]:
    """Shifts of the same thing in the same direction whose words differ in numbers only."""
    found: dict[tuple[str, ...], list[Shift]] = {}
    for shift in shifts:
        shape = [_shape(text) for text in (shift.before, shift.after, shift.message)]
        found.setdefault((str(shift.worse), shift.what, *shape), []).append(shift)
    return [Group(first=first, others=others) for first, *others in found.values()]


def _shape(sentence: str) -> str:
    return _NUMBER.sub("#", sentence)
