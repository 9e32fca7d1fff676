"""One check as the page shows it, the same for a run and for a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from reports.compare import Comparison
from reports.record import HOLDING, RED, Outcome, Record
from reports.run import Run
from reports.summary import counts
from reports.verdict import UNDECIDED, Kind, Verdict

NEVER_RUN: Final = "never_run"
KNOWN: Final = "known"
STILL: Final = "unchanged_and_not_good"

# Colour is never alone: every state has a sign as well. All are in the fonts that browsers bring along.
SIGNS: Final[Mapping[str, str]] = {
    Kind.NEWLY_FAILING: "✗", Kind.MISSING: "∅", Kind.REGRESSED: "▼", Kind.INCONCLUSIVE: "?", Kind.NOT_COMPARABLE: "≠",
    Kind.NEWLY_PASSING: "✓", Kind.IMPROVED: "▲", Kind.ADDED: "+", Kind.UNCHANGED: "=", STILL: "≡", KNOWN: "○", NEVER_RUN: "∅",
    Outcome.PASSED: "✓", Outcome.SKIPPED: "\u2013", Outcome.EXPECTED_FAILURE: "○",
}  # fmt: skip
BAD: Final = "✗"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One check: what it is called, how it stands, and the records behind it.

    ``name`` is its outcome or its verdict; ``state`` is ``bad``, ``open`` or ``good``, as in the table of every other
    format. ``before`` is the baseline's record in a comparison, ``after`` that of the run or of the candidate.
    """

    id: str
    configuration: str
    model: str
    dtype: str
    platform: str
    check: str
    subject: str
    name: str
    state: str
    message: str
    before: Record | None = None
    after: Record | None = None
    verdict: Verdict | None = None
    environment: str = ""

    @property
    def column(self) -> str:
        """Where it stands in the grid: under its kind, or under its environment where a page has several."""
        return self.environment or self.check

    @property
    def suite(self) -> str:
        """The suite of the test that recorded it, empty where nothing says."""
        return next((record.suite for record in (self.after, self.before) if record), "")

    @property
    def cell(self) -> str:
        """The id of its cell."""
        return f"{self.configuration}/{self.model}/{self.dtype}/{self.platform}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One outcome or verdict, and how many checks have it."""

    name: str
    state: str
    sign: str
    count: int


def of_run(run: Run, environment: str = "") -> list[Entry]:
    """Every check of a run, what was planned and never run included."""
    recorded = (_of_record(record, environment) for record in run.records.values())
    told: dict[str, Any] = {
        "name": NEVER_RUN,
        "state": "bad",
        "message": "planned, and there is no record of it",
        "environment": environment,
    }
    return [*recorded, *(Entry(**_names(id, None), **told) for id in run.missing)]


def of_comparison(comparison: Comparison, environment: str = "") -> list[Entry]:
    """Every check of either run."""
    before, after = comparison.baseline.records, comparison.candidate.records
    return [_of_verdict(item, before.get(item.id), after.get(item.id), environment) for item in comparison.verdicts]


def standings(entries: list[Entry], order: Iterator[str]) -> list[Standing]:
    """The states that occur, worst first."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.name, []).append(entry)
    return [
        Standing(name=name, state=found[name][0].state, sign=sign(name), count=len(found[name]))
        for name in order
        if name in found
    ]


def outcomes(*runs: Run) -> Iterator[str]:
    """The states of runs, worst first."""
    yield NEVER_RUN
    all_records = {f"{at} {id}": record for at, run in enumerate(runs) for id, record in run.records.items()}
    if runs:
        yield from counts(replace(runs[0], records=all_records))


def verdicts() -> Iterator[str]:
    """The states of a comparison, worst first."""
    for kind in Kind:
        if kind is Kind.NEWLY_PASSING:
            yield from (STILL, KNOWN)
        yield kind


def sign(name: str) -> str:
    """What stands beside the colour of a state."""
    return SIGNS.get(name, BAD)


def standing(item: Verdict) -> tuple[str, str]:
    """Name and state of a verdict. What is bad in both runs is no loss, but nothing to be shown as good either."""
    if item.accepted:
        return KNOWN, "open"
    if item.kind is Kind.UNCHANGED and item.after in RED:
        return STILL, "open"
    return item.kind, "bad" if item.worse else "open" if item.kind in UNDECIDED else "good"


def _of_record(record: Record, environment: str) -> Entry:
    state = "bad" if record.outcome in RED else "good" if record.outcome in HOLDING else "open"
    message = record.message or record.reason
    return Entry(
        **_names(record.id, record), name=record.outcome, state=state, message=message, after=record, environment=environment
    )


def _of_verdict(item: Verdict, before: Record | None, after: Record | None, environment: str) -> Entry:
    name, state = standing(item)
    names = _names(item.id, after or before)
    return Entry(
        **names, name=name, state=state, message=item.message, before=before, after=after, verdict=item, environment=environment
    )


def _names(id: str, record: Record | None) -> dict[str, Any]:
    """What the check is called; out of its id where there is no record."""
    if record:
        names = ("configuration", "model", "dtype", "platform", "check", "subject")
        return {"id": id} | {name: getattr(record, name) for name in names}
    cell, _, check = id.partition("::")
    kind, _, subject = check.partition("[")
    configuration, model, dtype, platform = (*cell.split("/", 3), "", "", "")[:4]
    return {
        "id": id, "configuration": configuration, "model": model, "dtype": dtype, "platform": platform,
        "check": kind, "subject": subject.removesuffix("]"),
    }  # fmt: skip
