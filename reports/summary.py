"""What one run comes to: its judgement, failures, skips, time, and how near its errors are to their limits."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reports.record import RED, Outcome, Record
from reports.run import PREFLIGHT, Run
from reports.statistics import shares

_RANK: Final = {
    outcome: rank
    for rank, outcome in enumerate(
        (
            Outcome.CRASHED,
            Outcome.TIMED_OUT,
            Outcome.OUT_OF_MEMORY,
            Outcome.IMPORT_FAILED,
            Outcome.FAILED,
            Outcome.UNEXPECTED_PASS,
            Outcome.REFERENCE_BROKEN,
            Outcome.REFUSED,
            Outcome.EXPECTED_FAILURE,
            Outcome.SKIPPED,
            Outcome.PASSED,
        )
    )
}
TOTAL: Final = "total"
OTHER: Final = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a run is good by itself, and why, in one sentence."""

    good: bool
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skips:
    """Checks that were skipped for the same reason."""

    reason: str
    message: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """What is wrong with a run as a whole, whatever its checks say: a name within the run, a reason code, one sentence."""

    name: str
    reason: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """How near an error came to its tolerance; ``share`` is error over tolerance, 1 at the limit."""

    record: Record
    metric: str
    share: float


def judge(run: Run) -> Judgement:
    """A run is good when it executed something, came to its end, nothing is red and expectations describe it."""
    found = counts(run)
    if empty(run):
        checks = sum(record.check != PREFLIGHT for record in run.records.values())
        what = f"all {checks} checks were skipped" if checks else "there is no record of any check"
        return Judgement(good=False, sentence=f"NOT GOOD: nothing was executed, {what}.")
    problems = [f"{count} {words(outcome)}" for outcome, count in found.items() if outcome in RED] + _not_whole(run)
    if run.expectation_troubles:
        problems.append(f"{_plural(len(run.expectation_troubles), 'expectation')} out of date")
    total = len(run.records) + len(run.missing)
    passed = f"{found.get(Outcome.PASSED, 0)} of {total} checks passed"
    if problems:
        return Judgement(good=False, sentence=f"NOT GOOD: {', '.join(problems)}; {passed}.")
    others = [f"{count} {words(outcome)}" for outcome, count in found.items() if outcome is not Outcome.PASSED]
    return Judgement(good=True, sentence=f"GOOD: {', '.join([passed, *others])}.")


def empty(run: Run) -> bool:
    """Whether a run executed nothing, and nothing red says why, as preflight does on a machine that is not ready."""
    return not run.executed and not any(record.outcome in RED for record in run.records.values())


def _not_whole(run: Run) -> list[str]:
    problems = [f"{len(run.missing)} planned and never run"] if run.missing else []
    if not run.header.complete:
        problems.append("ended before its end")
    if run.hidden_failures:
        problems.append(f"{len(run.hidden_failures)} passed only when run again")
    if run.damage:
        problems.append(f"{_plural(len(run.damage), 'damaged place')} in its folder")
    return problems


def flaws(run: Run) -> Iterator[Flaw]:
    """Everything beside its checks that makes a run not good."""
    if empty(run):
        yield Flaw(name="executed", reason="empty", sentence="nothing was executed")
    if not run.header.complete:
        yield Flaw(name="complete", reason="incomplete", sentence="the run ended before its end")
    for id in run.hidden_failures:
        yield Flaw(name=f"again {id}", reason="passed-again", sentence=f"passed only when run again: {id}")
    for number, damage in enumerate(run.damage, 1):
        yield Flaw(name=f"damage {number}", reason="damage", sentence=damage)
    for number, trouble in enumerate(run.expectation_troubles, 1):
        yield Flaw(name=f"expectation {number}", reason="expectation", sentence=trouble)


def remarks(run: Run) -> tuple[str, ...]:
    """What a reader must know before believing anything else about a run, one sentence each."""
    header, found = run.header, []
    if header.injected:
        found.append(f"faults were injected on purpose: {', '.join(header.injected)}")
    planned = len(header.planned)
    if not header.complete:
        found.append(f"it is incomplete: it ended early, {planned - len(run.missing)} of {planned} planned checks recorded")
    elif run.missing:
        found.append(f"it is incomplete: {len(run.missing)} of {planned} planned checks left no record")
    if header.cells not in ("", "*"):
        found.append(f"it was narrowed to {header.cells!r}")
    elif header.narrowed:
        found.append("it was narrowed to a part of its tier")
    if header.shard:
        found.append(f"it is shard {header.shard.name}, with {planned} of {len(header.shard.plan)} planned checks")
    found += run.damage
    if run.superseded:
        found.append(f"replaced by a later record of the same check: {len(run.superseded)}{_hidden(run)}")
    found += sorted({str(record.evidence["remark"]) for record in run.records.values() if record.evidence.get("remark")})
    return (*found, *header.notes)


def _hidden(run: Run) -> str:
    return f"; first not good, then good: {', '.join(run.hidden_failures)}" if run.hidden_failures else ""


def counts(run: Run) -> Mapping[Outcome, int]:
    """How many checks ended in which way, worst first."""
    found = Counter(record.outcome for record in run.records.values())
    return {outcome: found[outcome] for outcome in _RANK if found[outcome]}


def worst_first(record: Record) -> tuple[int, str]:
    """Sorting key of records."""
    return (_RANK[record.outcome], record.id)


def failures(run: Run) -> list[Record]:
    """The records that make a run not good, worst first."""
    return sorted(
        (record for record in run.records.values() if record.outcome in RED),
        key=worst_first,
    )


def refusals(run: Run) -> list[Record]:
    """The records that neither pass nor fail but are no skips: refused, expected to fail."""
    odd = (Outcome.REFUSED, Outcome.EXPECTED_FAILURE)
    return sorted(
        (record for record in run.records.values() if record.outcome in odd),
        key=worst_first,
    )


def skips(run: Run) -> list[Skips]:
    """Skipped checks grouped by reason, the most frequent first."""
    found = Counter((record.reason, record.message) for record in run.records.values() if record.outcome is Outcome.SKIPPED)
    groups = [
        Skips(reason=reason, message=message or reason or "no reason given", count=count)
        for (reason, message), count in found.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.reason, group.message))


def seconds_by_phase(run: Run) -> dict[str, float]:
    """Seconds per phase over all checks, the longest first; what no phase accounts for is ``other``."""
    spent: defaultdict[str, float] = defaultdict(float)
    for record in run.records.values():
        phases = {name: value for name, value in record.durations.items() if name != TOTAL and math.isfinite(value)}
        for name, value in phases.items():
            spent[name] += value
        rest = record.durations.get(TOTAL, 0.0) - math.fsum(phases.values())
        spent[OTHER] += rest if math.isfinite(rest) and rest > 0 else 0.0
    return {name: value for name, value in sorted(spent.items(), key=lambda item: (-item[1], item[0])) if value > 0}


def nearest(run: Run, count: int = 5) -> list[Nearness]:
    """The checks that hold with the largest error against tolerance; an error that is no number comes first."""
    found = [
        Nearness(record=record, metric=metric, share=share)
        for record in run.records.values()
        if record.outcome is Outcome.PASSED
        for metric, share in shares(record).items()
    ]
    worst: dict[str, Nearness] = {}
    for item in sorted(found, key=lambda item: (not math.isnan(item.share), -item.share, item.record.id)):
        worst.setdefault(item.record.id, item)
    return list(worst.values())[:count]


def gpus(environment: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the GPUs in a fingerprint, from its list ``devices``; empty where it has none."""
    listed = environment.get("devices")
    entries = listed if isinstance(listed, list) else []
    return tuple(str(entry["name"]) for entry in entries if isinstance(entry, Mapping) and "name" in entry)


def words(name: str) -> str:
    """An outcome's or a verdict's name as it stands in a sentence."""
    return name.replace("_", " ")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
