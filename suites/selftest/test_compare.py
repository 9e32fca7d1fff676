"""Two runs are paired by check, and whatever got worse is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given

from matrix.errors import UserError
from reports.compare import Comparison, compare, exit_code
from reports.difference import Change, changes
from reports.record import Outcome, Record
from reports.run import Expectation, Status
from reports.shard import Shard
from reports.thresholds import load_thresholds
from reports.verdict import Kind
from suites.selftest.examples import OBJECTS, PREFLIGHT, RUNS, compared, record, run

ONE, TWO = record(subject="one"), record(subject="two")
GUARD = record(configuration="eager", dtype="fp32", errors={})
STALE = Expectation(cells="sdpa", url="https://example.org/1", status=Status.STALE)


def kinds(found: Comparison) -> dict[str, Kind]:
    return {verdict.id: verdict.kind for verdict in found.verdicts}


def reason(found: Comparison, id: str) -> str:
    return next(verdict.message for verdict in found.verdicts if verdict.id == id)


@given(RUNS.filter(lambda records: any(item.outcome != "skipped" for item in records)))
def test_a_run_compared_with_itself_is_unchanged(records: list[Record]) -> None:
    found = compared(records, records)

    assert {Kind.UNCHANGED} == set(kinds(found).values())
    assert exit_code(found, fail_on_inconclusive=True) == 0 or found.troubles


@given(RUNS, RUNS)
def test_every_check_of_either_run_gets_one_verdict(before: list[Record], after: list[Record]) -> None:
    found = compared([ONE, *before], after)

    assert sorted({item.id for item in (ONE, *before, *after)}) == sorted(verdict.id for verdict in found.verdicts)


@given(RUNS, RUNS)
def test_verdicts_come_worst_first(before: list[Record], after: list[Record]) -> None:
    counted = [verdict.worse for verdict in compared([ONE, *before], after).verdicts]

    assert sorted(counted, reverse=True) == counted


def test_what_the_baseline_has_and_the_candidate_has_not_is_missing() -> None:
    found = compared([ONE, TWO], [ONE])

    assert (kinds(found)[TWO.id], exit_code(found)) == (Kind.MISSING, 1)
    assert reason(found, TWO.id) == "the baseline has it (passed), the candidate does not have it"


def test_the_rest_of_a_candidate_that_ended_early_is_missing() -> None:
    found = compared([ONE, TWO], [ONE], planned=(ONE.id, TWO.id), complete=False, finished=None)

    assert (kinds(found)[TWO.id], exit_code(found)) == (Kind.MISSING, 1)
    assert "candidate: it is incomplete: it ended early, 1 of 2 planned checks recorded" in found.notes


def test_what_the_candidate_planned_and_no_run_has_is_missing() -> None:
    found = compared([ONE], [ONE], planned=(ONE.id, TWO.id))

    assert (kinds(found)[TWO.id], exit_code(found)) == (Kind.MISSING, 1)


def test_a_narrowed_candidate_says_why_it_misses_something() -> None:
    found = compared([ONE, TWO], [ONE], narrowed=True)

    assert reason(found, TWO.id).endswith("the candidate was narrowed and did not select it")


def test_a_shard_says_that_the_others_are_not_there() -> None:
    found = compared([ONE, TWO], [ONE], shard=Shard(number=1, of=2, plan=(ONE.id, TWO.id)))

    assert reason(found, TWO.id).endswith("the candidate is shard 1/2: join all of them with `python -m reports merge`")


def test_another_tier_is_said_where_something_is_missing() -> None:
    found = compared([ONE, TWO], [ONE], tier="full")

    assert reason(found, TWO.id).endswith("the candidate ran tier 'full', the baseline 'quick'")


def test_other_cells_are_said_where_something_is_missing() -> None:
    found = compared([ONE, TWO], [ONE], tier="full", cells="sdpa-*")

    assert reason(found, TWO.id).endswith("the candidate ran 'sdpa-*', the baseline ''")


def test_an_empty_candidate_is_worse() -> None:
    assert exit_code(compared([ONE, TWO], [])) == 1


def test_a_candidate_that_skipped_everything_is_worse() -> None:
    assert exit_code(compared([ONE], [replace(ONE, outcome=Outcome.SKIPPED)])) == 1


@pytest.mark.parametrize("before", [[], [replace(ONE, outcome=Outcome.SKIPPED)], [PREFLIGHT]])
def test_a_baseline_that_executed_nothing_is_none(before: Sequence[Record]) -> None:
    with pytest.raises(UserError, match="executed nothing, so it is no baseline"):
        compared(list(before), [ONE])


def test_a_new_check_is_added() -> None:
    found = compared([ONE], [ONE, TWO])

    assert (kinds(found)[TWO.id], exit_code(found)) == (Kind.ADDED, 0)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CRASHED, Outcome.REFERENCE_BROKEN])
def test_a_new_check_that_is_not_good_counts(outcome: Outcome) -> None:
    assert exit_code(compared([ONE], [ONE, replace(TWO, outcome=outcome)])) == 1


def test_two_platforms_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="ran on 'rocm', the baseline runs/r1 on 'cuda'"):
        compared([ONE], [ONE], platform="rocm")


def test_another_gpu_is_a_note_and_nothing_more() -> None:
    was, now = ({"devices": [{"name": name}]} for name in ("NVIDIA H100", "NVIDIA H200"))
    found = compare(run(ONE, environment=was), run(ONE, environment=now), load_thresholds())

    assert any(note.startswith("other GPUs: NVIDIA H100 before, NVIDIA H200 now") for note in found.notes)
    assert exit_code(found) == 0


def test_injected_faults_are_said() -> None:
    found = compared([ONE], [ONE], injected=("mask-dropped",))

    assert found.notes == ("candidate: faults were injected on purpose: mask-dropped",)


def test_a_check_whose_reference_broke_is_inconclusive_beside_the_reference_that_newly_fails() -> None:
    found = compared([GUARD, ONE], [replace(GUARD, outcome=Outcome.FAILED), replace(ONE, outcome=Outcome.REFERENCE_BROKEN)])

    assert {GUARD.id: Kind.NEWLY_FAILING, ONE.id: Kind.INCONCLUSIVE} == kinds(found)
    assert exit_code(found) == 1


def test_a_broken_reference_that_no_check_of_its_own_shows_is_a_failure() -> None:
    found = compared([GUARD, ONE], [GUARD, replace(ONE, outcome=Outcome.REFERENCE_BROKEN)])

    assert (kinds(found)[ONE.id], exit_code(found)) == (Kind.NEWLY_FAILING, 1)


def test_the_reference_of_another_model_explains_nothing() -> None:
    other = record(configuration="eager", model="gpt2-tiny")
    found = compared([other, ONE], [replace(other, outcome=Outcome.FAILED), replace(ONE, outcome=Outcome.REFERENCE_BROKEN)])

    assert kinds(found)[ONE.id] == Kind.NEWLY_FAILING


@pytest.mark.parametrize("status", [Status.STALE, Status.EXPIRED, Status.UNMATCHED])
def test_an_expectation_that_is_out_of_date_counts(status: Status) -> None:
    assert exit_code(compared([ONE], [ONE], expectations=(replace(STALE, status=status),))) == 1


def test_an_expectation_that_matched_does_not_count() -> None:
    assert exit_code(compared([ONE], [ONE], expectations=(replace(STALE, status=Status.MATCHED),))) == 0


def test_an_unexpected_pass_counts_though_no_expectation_is_listed() -> None:
    passes = replace(ONE, outcome=Outcome.UNEXPECTED_PASS, expectation="https://example.org/2")
    found = compared([ONE], [passes])

    assert (f"stale expectation: {ONE.id} passes, https://example.org/2 says that it fails",) == found.troubles
    assert exit_code(found) == 1


def test_thin_evidence_is_3_only_where_that_was_asked_to_fail() -> None:
    found = compared([ONE, TWO], [replace(ONE, definition="d2"), TWO])

    assert (exit_code(found), exit_code(found, fail_on_inconclusive=True)) == (0, 3)


def test_evidence_for_no_check_at_all_is_3_whether_asked_or_not() -> None:
    assert exit_code(compared([ONE], [replace(ONE, definition="d2")])) == 3


def test_a_candidate_that_ended_early_counts_though_all_it_has_passes() -> None:
    found = compared([ONE], [ONE])
    cut = replace(found, candidate=replace(found.candidate, header=replace(found.candidate.header, complete=False)))

    assert exit_code(cut) == 1


def test_a_check_that_passes_only_when_run_again_counts() -> None:
    found = compared([ONE], [ONE])
    again = replace(found, candidate=replace(found.candidate, superseded=(replace(ONE, outcome=Outcome.FAILED),)))

    assert exit_code(again) == 1


def test_a_new_check_that_is_refused_counts() -> None:
    assert exit_code(compared([ONE], [ONE, replace(TWO, outcome=Outcome.REFUSED)])) == 1


def test_a_baseline_with_injected_faults_is_refused() -> None:
    found = compared([ONE], [ONE])
    injected = replace(found.baseline, header=replace(found.baseline.header, injected=("mask-dropped",)))

    with pytest.raises(UserError, match="ran with injected faults"):
        compare(injected, found.candidate, load_thresholds())


def test_something_worse_is_1_though_evidence_is_thin_as_well() -> None:
    found = compared([ONE, TWO], [replace(ONE, definition="d2")])

    assert exit_code(found, fail_on_inconclusive=True) == 1


def test_the_sentence_counts_every_verdict() -> None:
    found = compared([ONE, TWO], [ONE, record(subject="three")])

    assert found.sentence == "WORSE: 1 missing, 1 added, 1 unchanged; 3 checks compared."


def test_a_check_that_passed_only_the_second_time_is_named() -> None:
    again = replace(run(ONE), superseded=(replace(ONE, outcome=Outcome.FAILED),))
    found = compare(run(ONE), again, load_thresholds())

    expected = f"candidate: replaced by a later record of the same check: 1; first not good, then good: {ONE.id}"
    assert (expected,) == found.notes


def test_the_fingerprint_is_compared_leaf_by_leaf() -> None:
    before = {"driver": "580", "packages": {"torch": {"version": "2.11"}, "numpy": {"version": "2"}}, "gpus": [{"name": "A"}]}
    after = {"driver": "580", "packages": {"torch": {"version": "2.12"}}, "gpus": [{"name": "A"}, {"name": "B"}]}

    expected = (
        Change(path="gpus[1].name", before=None, after="B"),
        Change(path="packages.numpy.version", before="2", after=None),
        Change(path="packages.torch.version", before="2.11", after="2.12"),
    )
    assert expected == changes(before, after)


def test_what_differs_from_minute_to_minute_is_not_compared() -> None:
    assert changes({"momentary": {"free": 1}}, {"momentary": {"free": 2}}) == ()


def test_a_value_of_another_type_is_a_change() -> None:
    assert (Change(path="a", before=1, after=True),) == changes({"a": 1}, {"a": True})


@given(OBJECTS)
def test_a_fingerprint_does_not_differ_from_itself(tree: dict[str, object]) -> None:
    assert changes(tree, tree) == ()


def test_nan_does_not_differ_from_nan() -> None:
    assert changes({"a": math.nan}, {"a": float("nan")}) == ()
