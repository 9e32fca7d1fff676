"""What is wrong with a run or a comparison, one entry each, worst first: for formats that hold problems and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from reports.compare import Comparison
from reports.record import Outcome, Record
from reports.run import Run
from reports.summary import failures, flaws, words
from reports.verdict import UNDECIDED, Kind, Verdict


class Severity(StrEnum):
    """How bad, worst first, in the words of GitLab (https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format)."""

    BLOCKER = "blocker"
    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong; ``id`` is the check's, or ``run`` for the run itself, ``nodeid`` the test that found it."""

    id: str
    configuration: str
    reason: str
    sentence: str
    severity: Severity
    nodeid: str = ""
    command: str = ""

    @property
    def bad(self) -> bool:
        """Whether this alone makes the run or the comparison a failure."""
        return self.severity is not Severity.MINOR


RUN = "run"


def of_run(run: Run) -> list[Problem]:
    """What makes a run not good."""
    missing = (
        Problem(
            id=id,
            configuration=id.partition("/")[0],
            reason="missing",
            sentence="planned and never run",
            severity=Severity.MAJOR,
        )
        for id in run.missing
    )
    return [*_of_the_whole(run), *map(_of_record, failures(run)), *missing]


def of_comparison(comparison: Comparison) -> list[Problem]:
    """What makes a comparison worse, then what it cannot decide."""
    odd = [item for item in comparison.verdicts if item.worse or (item.kind in UNDECIDED and not item.accepted)]
    records = comparison.candidate.records
    return [*_of_the_whole(comparison.candidate), *(_of_verdict(item, records.get(item.id)) for item in odd)]


def _of_the_whole(run: Run) -> Iterator[Problem]:
    for flaw in flaws(run):
        yield Problem(id=RUN, configuration="", reason=flaw.reason, sentence=flaw.sentence, severity=Severity.CRITICAL)


def _of_record(record: Record) -> Problem:
    died = record.outcome in (Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.IMPORT_FAILED)
    return Problem(
        id=record.id,
        configuration=record.configuration,
        reason=record.reason or record.outcome,
        sentence=f"{words(record.outcome)}: {record.message or record.reason or 'no message'}",
        severity=Severity.BLOCKER if died else Severity.CRITICAL if record.outcome is Outcome.FAILED else Severity.MAJOR,
        nodeid=record.nodeid,
        command=record.command,
    )


def _of_verdict(item: Verdict, record: Record | None) -> Problem:
    severity = {Kind.NEWLY_FAILING: Severity.CRITICAL, Kind.MISSING: Severity.MAJOR, Kind.REGRESSED: Severity.MAJOR}
    return Problem(
        id=item.id,
        configuration=item.configuration,
        reason=f"{item.kind}.{item.reason}".rstrip("."),
        sentence=f"{words(item.kind)}: {item.message}",
        severity=severity.get(item.kind, Severity.MINOR),
        nodeid=record.nodeid if record else "",
        command=item.command,
    )
