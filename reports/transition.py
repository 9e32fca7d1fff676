"""What a change of outcome means."""

from __future__ import annotations

from reports.record import DISTURBED, FAILING, HOLDING, Outcome, Record
from reports.verdict import Finding, Kind

_TAKES_DOWN = frozenset({Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.IMPORT_FAILED})


def of_outcomes(before: Record, after: Record) -> Finding:
    """What it means that a check which ended one way now ends another; one that holds on both sides is unchanged."""
    if _disturbed(after) or (_disturbed(before) and after.outcome in HOLDING):
        return _undecided(before, after)
    if _disturbed(before) and after.outcome in FAILING:
        return Finding(kind=Kind.NEWLY_FAILING, reason=after.outcome, message=f"{_says(after)}; {_said(before)}")
    if after.outcome in HOLDING:
        return _now_holds(before)
    if after.outcome in FAILING:
        return _now_fails(before, after)
    if after.outcome is Outcome.SKIPPED:
        return _now_skipped(before, after)
    if after.outcome is Outcome.REFERENCE_BROKEN:
        return _now_without_reference(before, after)
    if after.outcome is Outcome.REFUSED:
        return _now_refused(before, after)
    return _now_expected(before, after)


def of_absence(before: Record, why: str) -> Finding:
    """The candidate has no record of a check; ``why`` says for which of the known reasons."""
    if before.outcome is Outcome.SKIPPED:
        return Finding(kind=Kind.UNCHANGED, reason="was_skipped", message=f"was skipped in the baseline, {why}")
    return Finding(kind=Kind.MISSING, reason="missing", message=f"the baseline has it ({before.outcome}), {why}")


def of_addition(after: Record) -> Finding:
    """The baseline has no record of a check: a new one that fails is a failure all the same."""
    if _disturbed(after):
        return Finding(kind=Kind.INCONCLUSIVE, reason=DISTURBED, message=f"not in the baseline, {_says(after)}: measure again")
    if after.outcome in FAILING or after.outcome is Outcome.REFUSED:
        return Finding(kind=Kind.NEWLY_FAILING, reason=after.outcome, message=f"not in the baseline, {_says(after)}")
    if after.outcome is Outcome.REFERENCE_BROKEN:
        return Finding(kind=Kind.INCONCLUSIVE, reason="reference_broken", message=f"not in the baseline, {_says(after)}")
    return Finding(kind=Kind.ADDED, reason=f"added_{after.outcome}", message=f"not in the baseline, {_says(after)}")


def _disturbed(record: Record) -> bool:
    return record.outcome is Outcome.FAILED and record.reason == DISTURBED


def _undecided(before: Record, after: Record) -> Finding:
    """A run in which nothing could be measured in peace says nothing of the library."""
    message = f"{_says(after)}; {_said(before)}" + (f": {before.message}" if before.reason == DISTURBED else "")
    return Finding(kind=Kind.INCONCLUSIVE, reason=DISTURBED, message=f"{message}: measure again")


def _now_holds(before: Record) -> Finding:
    if before.outcome in HOLDING:
        return Finding(kind=Kind.UNCHANGED, reason="", message="passes in both")
    if before.outcome is Outcome.SKIPPED:
        return Finding(kind=Kind.ADDED, reason="was_skipped", message=f"passes, {_said(before)}")
    return Finding(kind=Kind.NEWLY_PASSING, reason=f"was_{before.outcome}", message=f"passes, {_said(before)}")


def _now_fails(before: Record, after: Record) -> Finding:
    if before.outcome not in FAILING and before.outcome is not Outcome.EXPECTED_FAILURE:
        return Finding(kind=Kind.NEWLY_FAILING, reason=after.outcome, message=f"{_says(after)}; {_said(before)}")
    if before.outcome is after.outcome:
        return Finding(kind=Kind.UNCHANGED, reason="still_failing", message=f"still {_says(after)}")
    if after.outcome in _TAKES_DOWN and before.outcome not in _TAKES_DOWN:
        return Finding(kind=Kind.REGRESSED, reason=after.outcome, message=f"{_says(after)}; {_said(before)}")
    if before.outcome is Outcome.EXPECTED_FAILURE:
        return Finding(kind=Kind.NEWLY_FAILING, reason="no_longer_expected", message=f"{_says(after)}; {_said(before)}")
    return Finding(kind=Kind.UNCHANGED, reason="fails_otherwise", message=f"{_says(after)}; {_said(before)}")


def _now_skipped(before: Record, after: Record) -> Finding:
    if before.outcome is Outcome.SKIPPED:
        return Finding(kind=Kind.UNCHANGED, reason="still_skipped", message=f"still {_says(after)}")
    return Finding(kind=Kind.MISSING, reason="now_skipped", message=f"{_says(after)}; {_said(before)}")


def _now_without_reference(before: Record, after: Record) -> Finding:
    if before.outcome is Outcome.REFERENCE_BROKEN:
        return Finding(kind=Kind.UNCHANGED, reason="still_reference_broken", message=f"still {_says(after)}")
    return Finding(kind=Kind.INCONCLUSIVE, reason="reference_broken", message=f"{_says(after)}; {_said(before)}")


def _now_refused(before: Record, after: Record) -> Finding:
    if before.outcome in HOLDING:
        return Finding(kind=Kind.REGRESSED, reason="refused", message=f"{_says(after)}; {_said(before)}")
    if before.outcome is Outcome.REFUSED:
        return Finding(kind=Kind.UNCHANGED, reason="still_refused", message=f"still {_says(after)}")
    if before.outcome is Outcome.SKIPPED:
        return Finding(kind=Kind.ADDED, reason="was_skipped", message=f"{_says(after)}; {_said(before)}")
    if before.outcome is Outcome.REFERENCE_BROKEN:
        return Finding(kind=Kind.INCONCLUSIVE, reason="was_reference_broken", message=f"{_says(after)}; {_said(before)}")
    return Finding(kind=Kind.IMPROVED, reason="now_refused", message=f"{_says(after)}, which is clear; {_said(before)}")


def _now_expected(before: Record, after: Record) -> Finding:
    if before.outcome in FAILING or before.outcome is Outcome.EXPECTED_FAILURE:
        return Finding(kind=Kind.UNCHANGED, reason="expected_failure", message=f"still {_says(after)}")
    return Finding(kind=Kind.NEWLY_FAILING, reason="expected_failure", message=f"{_says(after)}; {_said(before)}")


def _says(record: Record) -> str:
    """How the candidate ended, in the present tense."""
    told = f": {record.message}" if record.message else f" ({record.reason})" if record.reason else ""
    known = f", known: {record.expectation}" if record.outcome is Outcome.EXPECTED_FAILURE and record.expectation else ""
    return _PRESENT[record.outcome] + told + known


def _said(record: Record) -> str:
    """How the baseline ended, in the past tense."""
    told = f" ({record.reason})" if record.reason else ""
    return _PAST[record.outcome] + told + " before"


_PRESENT = {
    Outcome.PASSED: "passes",
    Outcome.FAILED: "fails",
    Outcome.REFUSED: "is refused by the library",
    Outcome.CRASHED: "crashes the process",
    Outcome.TIMED_OUT: "runs out of time",
    Outcome.OUT_OF_MEMORY: "runs out of memory",
    Outcome.IMPORT_FAILED: "cannot import its library",
    Outcome.SKIPPED: "skipped",
    Outcome.REFERENCE_BROKEN: "cannot be judged, its reference is broken",
    Outcome.EXPECTED_FAILURE: "fails as expected",
    Outcome.UNEXPECTED_PASS: "passes against expectation",
}
_PAST = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "failed",
    Outcome.REFUSED: "was refused",
    Outcome.CRASHED: "crashed",
    Outcome.TIMED_OUT: "ran out of time",
    Outcome.OUT_OF_MEMORY: "ran out of memory",
    Outcome.IMPORT_FAILED: "could not import its library",
    Outcome.SKIPPED: "was skipped",
    Outcome.REFERENCE_BROKEN: "had a broken reference",
    Outcome.EXPECTED_FAILURE: "failed as expected",
    Outcome.UNEXPECTED_PASS: "passed",
}
