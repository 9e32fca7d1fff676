"""What became of one check between two runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reports.record import Outcome


class Kind(StrEnum):
    """The outcome of comparing one check of two runs, worst first."""

    NEWLY_FAILING = "newly_failing"
    MISSING = "missing"
    REGRESSED = "regressed"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARABLE = "not_comparable"
    NEWLY_PASSING = "newly_passing"
    IMPROVED = "improved"
    ADDED = "added"
    UNCHANGED = "unchanged"


WORSE: Final = frozenset({Kind.NEWLY_FAILING, Kind.MISSING, Kind.REGRESSED})
UNDECIDED: Final = frozenset({Kind.INCONCLUSIVE, Kind.NOT_COMPARABLE})
_RANK: Final = {kind: rank for rank, kind in enumerate(reversed(Kind))}

# Within a kind, what takes a process down or changes what users get comes before what costs memory.
_WEIGHT: Final = {
    "crashed": 9, "timed_out": 8, "out_of_memory": 7, "import_failed": 6, "failed": 5, "refused": 4, "dispatch": 3,
    "error_not_finite": 3, "synchronizations": 4, "latency": 3, "footprint": 1, "peak": 1, "operators": 1, "casts": 1,
}  # fmt: skip
_USUAL: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that differs between two records of a check: kind, reason code, one sentence.

    ``size`` says how many times larger or smaller a number became, 0 where no number is compared.
    """

    kind: Kind
    reason: str
    message: str
    size: float = 0.0

    @property
    def severity(self) -> int:
        """Larger is worse; orders a report."""
        return 10 * _RANK[self.kind] + _WEIGHT.get(self.reason, _USUAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The worst finding about a check, with the others in ``also``.

    ``accepted`` is the URL of the expectation under which a loss is known: it is shown and does not count. ``before``
    and ``after`` are the outcomes, ``None`` where a run has no record; ``command`` reproduces the check.
    """

    id: str
    configuration: str
    check: str
    kind: Kind
    reason: str
    message: str
    severity: int
    size: float = 0.0
    before: Outcome | None = None
    after: Outcome | None = None
    also: tuple[Finding, ...] = ()
    accepted: str = ""
    command: str = ""

    @property
    def worse(self) -> bool:
        """This verdict alone makes the comparison exit with 1."""
        return self.kind in WORSE and not self.accepted


def worst_first(verdict: Verdict) -> tuple[bool, int, float, str]:
    """Sorting key of a report: what counts, then by severity and size, then by id so that two reports read alike."""
    return (not verdict.worse, -verdict.severity, -verdict.size, verdict.id)
