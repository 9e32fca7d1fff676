"""How well changes of latency are told: false alarms and slowdowns found, over many pairs of runs, as a table of markdown."""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from matrix.errors import UserError
from reports import timing
from reports.compare import compare
from reports.run import Run
from reports.store import read_run
from reports.thresholds import Thresholds, load_thresholds
from reports.verdict import UNDECIDED, Kind

KINDS: Final = ("same", "slower-3", "slower-10")
RULE: Final = "mean:5%"
LONG: Final = 1e-3
SEED: Final = 0
HEAD: Final = ("check", "time", "the same: changed", "undecided", "3 % slower: found", "undecided", "really",
               "10 % slower: found", "undecided", "really", f"`{RULE}`: the same", "3 %", "10 %")  # fmt: skip
# What is injected, as a share, and how far from it the slowdown that was really there may lie, or finding it says nothing.
INJECTED: Final = {"slower-3": 0.03, "slower-10": 0.1}
OFF: Final = 1.5


@dataclass(slots=True, kw_only=True)
class Tally:
    """Of one check and one kind of candidate: in how many pairs it was judged how, and what pytest-benchmark's rule says."""

    pairs: int = 0
    changed: int = 0
    slower: int = 0
    undecided: int = 0
    rule: int = 0
    ratios: list[float] = field(default_factory=list)

    @property
    def really(self) -> float:
        """The slowdown that was really there, as a share: beside what the same processes measured as it is."""
        return statistics.median(self.ratios) - 1 if self.ratios else math.nan


@dataclass(slots=True, kw_only=True)
class Row:
    """One check."""

    seconds: float
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def as_injected(self, kind: str) -> bool:
        """Whether the slowdown was about as large as it was meant to be."""
        meant = INJECTED.get(kind)
        return meant is None or meant / OFF <= self.tallies[kind].really <= meant * OFF


def table(folders: Sequence[Path]) -> str:
    """Judge every pair. Raises UserError when a folder holds no trials, or scipy or pytest-benchmark is not installed."""
    rows: dict[str, Row] = {}
    thresholds, count = load_thresholds(), 0
    for folder in folders:
        runs = {kind: _runs(folder, kind) for kind in KINDS}
        pairs = _pairs(runs)
        if not pairs:
            raise UserError(f"{folder}: holds no pair of runs: record them with `python -m fixtures.latency.trials`")
        _judge(rows, runs, pairs, thresholds)
        count += len(pairs)
    lines = [HEAD, ("---",) * len(HEAD), *(_line(id, row) for id, row in sorted(rows.items()))]
    told = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{told}\n\n{_summary(rows, count)}\n\n{_machine(next(iter(runs['same'].values())))}\n"


def _runs(folder: Path, kind: str) -> dict[str, Run]:
    found = sorted(path for path in folder.glob(f"{kind}-*") if path.name.removeprefix(f"{kind}-").isdigit())
    return {path.name.removeprefix(f"{kind}-"): read_run(path) for path in found}


def _pairs(runs: Mapping[str, Mapping[str, Run]]) -> list[tuple[str, str]]:
    """A run as it is and one that is slowed down too, dealt by chance: neighbours in time are more alike than runs are."""
    slowed = sorted(set.intersection(*(set(found) for found in runs.values())))
    plain = sorted(set(runs["same"]) - set(slowed))
    random.Random(SEED).shuffle(slowed)
    return list(zip(plain, slowed, strict=False))


def _judge(
    rows: dict[str, Row], runs: Mapping[str, Mapping[str, Run]], pairs: list[tuple[str, str]], thresholds: Thresholds
) -> None:
    for first, second in pairs:
        before = _times_alone(runs["same"][first])
        for kind in KINDS:
            after = _times_alone(runs[kind][second])
            for verdict in compare(before, after, thresholds).verdicts:
                was, now = _samples(before, verdict.id), _samples(after, verdict.id)
                if not (was and now):
                    continue  # it failed in one of them, which is no matter of latency
                row = rows.setdefault(verdict.id, Row(seconds=statistics.median(was)))
                tally = row.tallies[kind]
                tally.pairs += 1
                tally.changed += verdict.kind not in UNDECIDED | {Kind.UNCHANGED}
                tally.slower += verdict.kind is Kind.REGRESSED
                tally.undecided += verdict.kind in UNDECIDED
                tally.rule += _rule(was, now)
                if kind in INJECTED and (beside := _samples(runs["same"][second], verdict.id)):
                    tally.ratios.append(statistics.median(now) / statistics.median(beside))


def _times_alone(run: Run) -> Run:
    """Without counts, which tell a fault by the kernel that it launches."""
    records = {}
    for id, record in run.records.items():
        kept = record.evidence.get(timing.EVIDENCE)
        counts: dict[str, Any] = {"counters": {}, "unsteady": {}, "sites": {}}
        evidence = {**record.evidence, timing.EVIDENCE: kept | counts} if isinstance(kept, dict) else record.evidence
        records[id] = replace(record, evidence=evidence)
    return replace(run, records=records)


def _samples(run: Run, id: str) -> list[float]:
    """What pytest-benchmark is handed: every sample of every process of the first figure."""
    record = run.records.get(id)
    if record is None or timing.of(record) is None:
        return []
    figures: Mapping[str, Any] = record.evidence[timing.EVIDENCE]["figures"]
    first = next(iter(figures.values()))
    return [sample for process in first["processes"] for sample in process["samples"]]


def _rule(before: list[float], after: list[float]) -> bool:
    """Whether ``--benchmark-compare-fail=mean:5%`` fails."""
    try:
        from pytest_benchmark.utils import parse_compare_fail
    except ImportError:
        raise UserError("trials: pytest-benchmark is not installed: pip install pytest-benchmark") from None
    return bool(parse_compare_fail(RULE).fails({"mean": statistics.fmean(after)}, {"mean": statistics.fmean(before)}))


def _line(id: str, row: Row) -> tuple[str, ...]:
    same, three, ten = (row.tallies[kind] for kind in KINDS)
    time = f"{row.seconds * 1e3:.3f} ms"
    judged = [f"{same.changed} of {same.pairs}", str(same.undecided)]
    for tally in (three, ten):
        judged += [f"{tally.slower} of {tally.pairs}", str(tally.undecided), f"{tally.really:.1%}"]
    return (id, time, *judged, *(f"{tally.rule} of {tally.pairs}" for tally in (same, three, ten)))


def _summary(rows: Mapping[str, Row], pairs: int) -> str:
    every = list(rows.values())
    long = [row for row in every if row.seconds >= LONG and row.as_injected("slower-3")]
    slow = [row for row in every if row.as_injected("slower-10")]
    left = sorted({f"{id}: {kind}" for id, row in rows.items() for kind in INJECTED if not row.as_injected(kind)})
    out = f" Left out, because the slowdown was really another one: {', '.join(left)}." if left else ""
    return (
        f"{pairs} pairs of runs. The same: {_share(every, 'same', 'changed')} judged changed. 3 % slower, above 1 ms: "
        f"{_share(long, 'slower-3', 'slower')} found. 10 % slower: {_share(slow, 'slower-10', 'slower')} found. "
        f"pytest-benchmark's {RULE}: {_share(every, 'same', 'rule')}, {_share(long, 'slower-3', 'rule')}, "
        f"{_share(slow, 'slower-10', 'rule')}.{out}"
    )


def _share(rows: list[Row], kind: str, what: str) -> str:
    pairs = sum(row.tallies[kind].pairs for row in rows)
    count = sum(int(getattr(row.tallies[kind], what)) for row in rows)
    return f"{count} of {pairs} ({count / pairs:.1%})" if pairs else "none of none"


def _machine(run: Run) -> str:
    from reports.summary import gpus

    return ", ".join(gpus(run.environment)) or f"the CPU ({run.header.id})"
