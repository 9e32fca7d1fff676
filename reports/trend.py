"""What changed for good over many runs, which run first had it, and what else was new in that run."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reports.changepoint import change_points
from reports.difference import Change, changes
from reports.history import History, Line, Point
from reports.metrics import Metric
from reports.record import HOLDING, Outcome
from reports.statistics import Trend, growth, size, trend
from reports.summary import words
from reports.thresholds import Threshold, Thresholds

RESTLESS: Final = 4
"""Changes of one check's outcome from which on it is told as restless, and not run by run."""
OUTCOME: Final = "outcome"
KERNELS: Final = "kernels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One series with another level from a run on: which check, what of it (outcome, kernels or a metric), from what to what.

    ``worse`` is None where neither level is better; ``size`` is how many times one number is the other, 0 where none is.
    """

    id: str
    what: str
    before: str
    after: str
    worse: bool | None
    size: float = 0.0
    message: str = ""

    @property
    def configuration(self) -> str:
        """The first part of the check's id."""
        return self.id.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Everything that changed from one run of a line to a later one, worst first, and how their environments differ.

    Between them may be runs that did not have the check.
    """

    line: Line
    before: int
    night: int
    shifts: tuple[Shift, ...]
    changes: tuple[Change, ...]

    @property
    def worse(self) -> int:
        """How many series are worse from this run on."""
        return sum(shift.worse is True for shift in self.shifts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trends:
    """Events, the latest first; ``restless`` are checks whose outcome comes and goes, with how often it changed."""

    history: History
    events: tuple[Event, ...]
    restless: Mapping[str, int]


Shifted = tuple[tuple[int, int], Shift]
"""A shift between two runs, by their places in the line."""


def find(history: History, thresholds: Thresholds) -> Trends:
    """The change points of every series, by the run that first had them."""
    events: list[Event] = []
    restless: dict[str, int] = {}
    for line in history.lines:
        found: dict[tuple[int, int], list[Shift]] = {}
        for id, points in line.checks.items():
            for nights, shift in _of_check(id, points, thresholds, restless):
                found.setdefault(nights, []).append(shift)
        events += [_event(line, before, night, shifts) for (before, night), shifts in found.items()]
    latest_first = sorted(events, key=lambda event: -event.line.nights[event.night].started)
    return Trends(
        history=history, events=tuple(latest_first), restless=dict(sorted(restless.items(), key=lambda item: -item[1]))
    )


def levels(
    points: Sequence[Point], label: str, threshold: Callable[[Metric], Threshold | None]
) -> tuple[list[int], list[float], list[int]]:
    """One metric of a check: the nights that have it, its values, and the places at which a new level begins."""
    measured = [(point.night, point.metrics[label]) for point in points if label in point.metrics]
    finite = [(night, item) for night, item in measured if math.isfinite(item.value)]
    nights, values = [night for night, _ in finite], [item.value for _, item in finite]
    limit = threshold(finite[-1][1]) if finite else None
    return nights, values, _places(values, finite[-1][1], limit) if limit else []


def _of_check(id: str, points: Sequence[Point], thresholds: Thresholds, restless: dict[str, int]) -> Iterator[Shifted]:
    """A series ends where what is checked changes, and another one begins."""
    same = [list(group) for _, group in itertools.groupby(points, key=lambda point: point.definition)][-1]
    turns = list(_turns(id, same))
    if len(turns) >= RESTLESS:
        restless[id] = len(turns)
    else:
        yield from turns
    yield from _kernels(id, same, thresholds.unoptimized)
    for label in dict.fromkeys(label for point in same for label in point.metrics):
        yield from _numbers(id, same, label, lambda item: threshold_of(item, id, thresholds))


def threshold_of(item: Metric, id: str, thresholds: Thresholds) -> Threshold | None:
    """From which difference on two levels of a metric of a check are two; None for what is not judged."""
    *_, dtype, platform = ("", *id.partition("::")[0].split("/"))
    if item.figure is not None:
        return Threshold(ratio=thresholds.latency.limit(platform, item.figure).ratio, floor=0)
    if item.kind == "error":
        return thresholds.errors.get(dtype, thresholds.errors["fp32"])
    return thresholds.memory.get(item.name)


def _turns(id: str, points: Sequence[Point]) -> Iterator[Shifted]:
    for before, after in itertools.pairwise(points):
        was, now = _state(before.outcome), _state(after.outcome)
        if was != now:
            worse = True if was == "holds" else False if now == "holds" else None
            nights = (before.night, after.night)
            yield nights, Shift(id=id, what=OUTCOME, before=was, after=now, worse=worse, message=after.message)


def _state(outcome: Outcome) -> str:
    return "holds" if outcome in HOLDING else words(outcome)


def _kernels(id: str, points: Sequence[Point], unoptimized: frozenset[str]) -> Iterator[Shifted]:
    seen = [(point.night, point.families) for point in points if point.families is not None]
    for (earlier, was), (night, now) in itertools.pairwise(seen):
        if was != now:
            worse = True if (now - was) & unoptimized or not now else False if (was - now) & unoptimized else None
            yield (earlier, night), Shift(id=id, what=KERNELS, before=_families(was), after=_families(now), worse=worse)


def _families(families: frozenset[str]) -> str:
    return " + ".join(sorted(families)) or "no known kernel"


def _numbers(
    id: str, points: Sequence[Point], label: str, threshold: Callable[[Metric], Threshold | None]
) -> Iterator[Shifted]:
    nights, values, places = levels(points, label, threshold)
    items = {point.night: point.metrics[label] for point in points if label in point.metrics}
    for start, at, end in zip([0, *places], places, [*places[1:], len(values)], strict=False):
        was, now = statistics.median(values[start:at]), statistics.median(values[at:end])
        told = [items[nights[at]].written(value) for value in (was, now)]
        shift = Shift(id=id, what=label, before=told[0], after=told[1], worse=now > was, size=size(was, now))
        yield (nights[at - 1], nights[at]), shift


def _places(values: Sequence[float], item: Metric, threshold: Threshold) -> list[int]:
    """Numbers that are all positive are compared by their ratios."""
    if min(values) <= 0:
        return change_points(values, lambda was, now: _differ(was, now, item, threshold))
    logarithms = [math.log(value) for value in values]
    return change_points(logarithms, lambda was, now: _differ(math.exp(was), math.exp(now), item, threshold))


def _differ(was: float, now: float, item: Metric, threshold: Threshold) -> bool:
    way = growth(round(was), round(now), threshold) if item.kind == "memory" else trend(was, now, threshold)
    return way is not Trend.STEADY


def _event(line: Line, before: int, night: int, shifts: list[Shift]) -> Event:
    fingerprints = [line.nights[at].environment for at in (before, night)]
    ordered = sorted(shifts, key=lambda shift: (_RANK[shift.worse], shift.what != OUTCOME, -shift.size, shift.id))
    return Event(line=line, before=before, night=night, shifts=tuple(ordered), changes=_apart(changes(*fingerprints)))


_RANK: Final[Mapping[bool | None, int]] = {True: 0, None: 1, False: 2}


def _apart(found: Sequence[Change]) -> tuple[Change, ...]:
    """Libraries, runtimes and devices before the rest; a package that is told as a library is not told again."""
    libraries = {change.path.split(".")[1] for change in found if change.path.startswith("libraries.")}
    told = [change for change in found if not (change.path.startswith("packages.") and change.path.split(".")[1] in libraries)]
    first = ("libraries", "runtime", "devices")
    return tuple(sorted(told, key=lambda change: (not change.path.startswith(first), change.path)))
