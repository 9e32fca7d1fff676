"""Two runs, check by check. Pure: reads nothing, prints nothing, decides everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from matrix.errors import UserError
from reports import drift, latency, transition
from reports.difference import Change, changes
from reports.record import FAILING, HOLDING, Outcome, Record
from reports.run import Run
from reports.summary import gpus, remarks, words
from reports.thresholds import Thresholds
from reports.verdict import UNDECIDED, WORSE, Finding, Kind, Verdict, worst_first

REFERENCE: Final = "eager"
"""The configuration whose checks guard the reference; the others of its model are judged by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs and what became of each check.

    ``verdicts`` come worst first, ``changes`` are those of the environment, ``notes`` what a reader must know,
    ``troubles`` the candidate's expectations that are out of date.
    """

    baseline: Run
    candidate: Run
    verdicts: tuple[Verdict, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    troubles: tuple[str, ...]

    @property
    def counts(self) -> Mapping[Kind, int]:
        """How many checks got which verdict, worst first; known losses are not among them."""
        found = Counter(verdict.kind for verdict in self.verdicts if not verdict.accepted)
        return {kind: found[kind] for kind in Kind if found[kind]}

    @property
    def accepted(self) -> int:
        """How many losses are known, by an expectation."""
        return sum(bool(verdict.accepted) for verdict in self.verdicts)

    @property
    def worse(self) -> bool:
        """Something regressed, newly fails, is missing, an expectation is out of date, or the candidate is not whole."""
        flawed = not self.candidate.header.complete or self.candidate.damage or self.candidate.hidden_failures
        return bool(self.troubles or flawed) or any(verdict.worse for verdict in self.verdicts)

    @property
    def decided(self) -> bool:
        """Whether any check was compared at all; a new one alone says nothing of what was there before."""
        return any(verdict.kind not in UNDECIDED | {Kind.ADDED} for verdict in self.verdicts)

    @property
    def undecided(self) -> int:
        """How many checks have too little evidence for a verdict."""
        return sum(verdict.kind in UNDECIDED for verdict in self.verdicts)

    @property
    def sentence(self) -> str:
        """The verdict of the whole comparison."""
        listed = [f"{count} {words(kind)}" for kind, count in self.counts.items()]
        listed += [f"{self.accepted} known to fail"] if self.accepted else []
        listed += [f"{len(self.troubles)} out-of-date expectation{'s' * (len(self.troubles) > 1)}"] if self.troubles else []
        what = "WORSE" if self.worse else "NOTHING GOT WORSE, BUT NOT ALL IS DECIDED" if self.undecided else "NOTHING GOT WORSE"
        return f"{what}: {', '.join(listed)}; {len(self.verdicts)} checks compared."


def compare(baseline: Run, candidate: Run, thresholds: Thresholds) -> Comparison:
    """Pairs two runs by check id.

    Raises UserError when they cannot be compared: they ran on two platforms, or the baseline executed nothing.
    """
    _refuse_unusable(baseline, candidate)
    unrun = frozenset(candidate.missing)
    absences = {planned: _absence(planned, candidate, baseline) for planned in (True, False)}
    processors, python = _other(baseline, candidate, "processor", "cores"), _other(baseline, candidate, "python")
    timed, far = latency.findings(baseline.records, candidate.records, thresholds.latency, processors, python)
    judged = [
        _judge(id, baseline, candidate, absences[id in unrun], thresholds, timed.get(id, ()))
        for id in _ids(baseline, candidate)
    ]
    return Comparison(
        baseline=baseline,
        candidate=candidate,
        verdicts=tuple(sorted(_explain(judged, candidate), key=worst_first)),
        changes=changes(baseline.environment, candidate.environment),
        notes=(
            *_notes(baseline, candidate),
            *_of_other_gpus(baseline, candidate, thresholds.latency.other_gpu, processors),
            *([far] if far else []),
        ),
        troubles=candidate.expectation_troubles,
    )


def _other(baseline: Run, candidate: Run, *names: str) -> str:
    """In which of these the hosts of two runs differ, empty where they do not or nobody knows; of Python its minor release."""
    told = [run.environment.get("host", {}) for run in (baseline, candidate)]
    pairs = {name: [_minor(each.get(name)) if name == "python" else each.get(name) for each in told] for name in names}
    return ", ".join(f"{name} {was} -> {now}" for name, (was, now) in pairs.items() if None not in (was, now) and was != now)


def _minor(release: str | None) -> str | None:
    return None if release is None else ".".join(release.split(".")[:2])


def exit_code(comparison: Comparison, *, fail_on_inconclusive: bool = False) -> int:
    """0 nothing worse, 1 something is, 3 evidence is insufficient: for some checks and that was asked to fail, or for all."""
    if comparison.worse:
        return 1
    return 3 if comparison.undecided and (fail_on_inconclusive or not comparison.decided) else 0


def _refuse_unusable(baseline: Run, candidate: Run) -> None:
    if baseline.header.platform != candidate.header.platform:
        raise UserError(
            f"{candidate.folder}: ran on {candidate.header.platform!r}, the baseline {baseline.folder} on "
            f"{baseline.header.platform!r}; compare two runs of one platform"
        )
    if baseline.header.injected:
        faults = ", ".join(baseline.header.injected)
        raise UserError(f"{baseline.folder}: ran with injected faults ({faults}), so it is no baseline; name a run without")
    if not baseline.executed:
        raise UserError(f"{baseline.folder}: executed nothing, so it is no baseline; name a run that did")


def _ids(baseline: Run, candidate: Run) -> Iterable[str]:
    """What the baseline recorded, what the candidate recorded, and what the candidate planned."""
    return dict.fromkeys((*baseline.records, *candidate.records, *candidate.header.planned))


def _judge(
    id: str, baseline: Run, candidate: Run, absence: Finding, thresholds: Thresholds, timed: tuple[Finding, ...]
) -> Verdict:
    before, after = baseline.records.get(id), candidate.records.get(id)
    worst, *also = sorted(_findings(before, after, absence, thresholds, timed), key=lambda finding: -finding.severity)
    configuration, check = _names(id, after or before)
    known = after is not None and after.outcome is Outcome.EXPECTED_FAILURE and worst.kind in WORSE
    return Verdict(
        id=id,
        configuration=configuration,
        check=check,
        kind=worst.kind,
        reason=worst.reason,
        message=worst.message,
        severity=worst.severity,
        size=worst.size,
        before=before.outcome if before else None,
        after=after.outcome if after else None,
        also=tuple(also),
        accepted=(after.expectation or "an expectation") if known and after else "",
        command=(after.command if after else "") or (before.command if before else ""),
    )


def _findings(
    before: Record | None, after: Record | None, absence: Finding, thresholds: Thresholds, timed: tuple[Finding, ...]
) -> list[Finding]:
    if after is None:
        return [transition.of_absence(before, absence.message) if before else absence]
    if before is None:
        return [transition.of_addition(after)]
    found = transition.of_outcomes(before, after)
    if before.definition != after.definition:
        return [_of_other_definitions(found, before, after)]
    if {before.outcome, after.outcome} <= HOLDING:
        return [*drift.findings(before, after, thresholds), *timed] or [found]
    return [found]


def _of_other_definitions(found: Finding, before: Record, after: Record) -> Finding:
    """A loss stays a loss; anything else says nothing, because two different things were measured."""
    if found.kind in WORSE:
        return replace(found, message=f"{found.message}; what is checked changed as well")
    if found.kind in (Kind.ADDED, Kind.INCONCLUSIVE) or after.outcome is Outcome.SKIPPED:
        return found
    return Finding(
        kind=Kind.NOT_COMPARABLE,
        reason="definition",
        message=f"what is checked changed (definition {before.definition or 'none'} to {after.definition or 'none'}); "
        f"{words(before.outcome)} before, {words(after.outcome)} now",
    )


def _absence(planned: bool, candidate: Run, baseline: Run) -> Finding:
    """Why the candidate has no record of a check that it ``planned`` or did not plan."""
    header = candidate.header
    if planned:
        why = "the candidate planned it and has no record of it"
    elif header.shard:
        why = f"the candidate is shard {header.shard.name}: join all of them with `python -m reports merge`"
    elif header.narrowed:
        why = "the candidate was narrowed and did not select it"
    elif header.cells != baseline.header.cells:
        why = f"the candidate ran {header.cells!r}, the baseline {baseline.header.cells!r}"
    elif header.tier != baseline.header.tier:
        why = f"the candidate ran tier {header.tier!r}, the baseline {baseline.header.tier!r}"
    else:
        why = "the candidate does not have it"
    return Finding(kind=Kind.MISSING, reason="missing", message=why)


def _names(id: str, record: Record | None) -> tuple[str, str]:
    """Configuration and kind of check; out of the id where there is no record."""
    if record:
        return record.configuration, record.check
    cell, _, check = id.partition("::")
    return cell.partition("/")[0], check.partition("[")[0]


def _explain(verdicts: list[Verdict], candidate: Run) -> Iterator[Verdict]:
    """A check whose reference broke is undecided where a check of that reference got worse, which then is the finding.

    Where none did, the broken reference would go unseen, so the check itself newly fails.
    """
    guarded = {
        candidate.records[verdict.id].model
        for verdict in verdicts
        if verdict.worse and verdict.configuration == REFERENCE and verdict.id in candidate.records
    }
    for verdict in verdicts:
        unseen = verdict.reason == "reference_broken" and candidate.records[verdict.id].model not in guarded
        if unseen and verdict.before not in FAILING:
            message = f"{verdict.message}; no check of the reference itself got worse"
            finding = Finding(kind=Kind.NEWLY_FAILING, reason=verdict.reason, message=message)
            yield replace(verdict, kind=finding.kind, message=message, severity=finding.severity)
        else:
            yield verdict


def _of_other_gpus(baseline: Run, candidate: Run, differ: float, other_host: str) -> Iterator[str]:
    """What can neither be found nor ruled out between two GPUs of one kind."""
    for apart in latency.other_gpus(baseline.records, candidate.records, other_host):
        yield (
            f"latency was measured on another GPU ({apart}), and two of one kind differ by up to {differ - 1:.0%}: a change of "
            f"the device's time below that decides nothing, and what is unchanged may have changed by {differ - 1:.0%} more "
            "than its limit"
        )


def _notes(baseline: Run, candidate: Run) -> Iterator[str]:
    for name, run in (("baseline", baseline), ("candidate", candidate)):
        yield from (f"{name}: {remark}" for remark in remarks(run))
    was, now = gpus(baseline.environment), gpus(candidate.environment)
    if was != now:
        before, after = ", ".join(was) or "none", ", ".join(now) or "none"
        yield f"other GPUs: {before} before, {after} now; errors, kernels and memory may differ for that reason"
    if not set(baseline.records) & set(candidate.records):
        yield "the two runs have no check in common"
