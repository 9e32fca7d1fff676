"""One check of two runs gets the verdict that its records bear out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import UserError
from reports.record import Outcome
from reports.statistics import Trend, growth, trend
from reports.thresholds import FILE, Threshold, load_thresholds
from reports.verdict import Kind, Verdict, worst_first
from suites.selftest.examples import ERRORS, MEMORY, outcomes, record, verdict

FAILING = ["failed", "crashed", "timed_out", "out_of_memory", "import_failed"]


def drifted(**changes: float) -> Verdict:
    return verdict(record(), record(errors=ERRORS | changes))


def rewritten(folder: Path, old: str, new: str) -> Path:
    path = folder / "thresholds.toml"
    text = FILE.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize("outcome", FAILING)
def test_a_check_that_passed_and_fails_now_newly_fails(outcome: str) -> None:
    actual = outcomes("passed", outcome)

    assert (Kind.NEWLY_FAILING, outcome, True) == (actual.kind, actual.reason, actual.worse)


@pytest.mark.parametrize("outcome", ["refused", "skipped", "unexpected_pass"])
def test_a_check_that_fails_now_and_never_failed_before_newly_fails(outcome: str) -> None:
    assert outcomes(outcome, "failed").kind == Kind.NEWLY_FAILING


def test_a_check_that_passed_and_is_refused_now_is_a_loss() -> None:
    assert (outcomes("passed", "refused").kind, outcomes("passed", "refused").worse) == (Kind.REGRESSED, True)


def test_a_check_that_failed_and_is_refused_clearly_now_is_better() -> None:
    assert outcomes("failed", "refused").kind == Kind.IMPROVED


@pytest.mark.parametrize("outcome", ["passed", "failed", "refused", "expected_failure", "reference_broken"])
def test_a_check_that_ran_and_is_skipped_now_is_missing(outcome: str) -> None:
    assert (outcomes(outcome, "skipped").kind, outcomes(outcome, "skipped").worse) == (Kind.MISSING, True)


@pytest.mark.parametrize("outcome", [*FAILING, "expected_failure", "reference_broken", "refused"])
def test_a_check_that_passes_now_and_did_not_before_newly_passes(outcome: str) -> None:
    assert outcomes(outcome, "passed").kind == Kind.NEWLY_PASSING


def test_a_check_that_was_skipped_and_passes_is_added() -> None:
    assert outcomes("skipped", "passed").kind == Kind.ADDED


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_same_outcome_twice_is_unchanged(outcome: Outcome) -> None:
    assert outcomes(outcome, outcome).kind == Kind.UNCHANGED


def test_a_failure_that_takes_the_process_down_now_is_worse_than_it_was() -> None:
    assert (outcomes("failed", "crashed").kind, outcomes("failed", "crashed").reason) == (Kind.REGRESSED, "crashed")


def test_a_known_failure_is_shown_as_a_loss_that_does_not_count() -> None:
    known = record(outcome=Outcome.EXPECTED_FAILURE, expectation="https://example.org/1")
    actual = verdict(record(), known)

    assert (actual.kind, actual.accepted, actual.worse) == (Kind.NEWLY_FAILING, "https://example.org/1", False)


def test_a_known_failure_without_an_address_does_not_count_either() -> None:
    assert not verdict(record(), record(outcome=Outcome.EXPECTED_FAILURE)).worse


def test_a_failure_that_is_no_longer_expected_counts() -> None:
    assert outcomes("expected_failure", "failed").worse


def test_an_unexpected_pass_is_judged_as_a_pass() -> None:
    assert outcomes("passed", "unexpected_pass").kind == Kind.UNCHANGED


@given(st.sampled_from(Outcome), st.sampled_from(Outcome))
def test_no_red_candidate_looks_better_or_even_unless_it_was_red_before(before: Outcome, after: Outcome) -> None:
    actual = outcomes(before, after)
    bad = after in FAILING or after is Outcome.REFERENCE_BROKEN
    was_bad = before in FAILING or before is Outcome.REFERENCE_BROKEN

    assert not bad or was_bad or actual.worse


def test_an_error_that_grows_inside_its_tolerance_regresses_with_its_numbers() -> None:
    actual = drifted(rms=9e-3)

    expected = "rms error went from 4.00e-03 to 9.00e-03, 2.25 times as large (tolerance 2.00e-02)"
    assert (Kind.REGRESSED, "rms_error", expected) == (actual.kind, actual.reason, actual.message)


def test_an_error_that_shrinks_improves() -> None:
    before = record(errors=ERRORS | {"rms": 9e-3})

    assert verdict(before, record()).kind == Kind.IMPROVED


def test_an_error_that_grows_by_less_than_the_threshold_is_unchanged() -> None:
    assert drifted(rms=5.9e-3).kind == Kind.UNCHANGED


def test_an_error_below_the_unit_roundoff_of_its_dtype_is_unchanged() -> None:
    small = record(errors={"rms": 1e-5})

    assert verdict(small, record(errors={"rms": 3.9e-3})).kind == Kind.UNCHANGED


def test_an_error_that_is_no_number_now_regresses() -> None:
    assert (drifted(worst=math.nan).kind, drifted(worst=math.nan).reason) == (Kind.REGRESSED, "error_not_finite")


def test_an_error_that_was_exactly_zero_and_is_large_regresses() -> None:
    assert verdict(record(errors={"rms": 0.0}), record(errors={"rms": 0.01})).kind == Kind.REGRESSED


def test_an_error_that_is_no_longer_measured_is_missing() -> None:
    actual = verdict(record(), record(errors={"rms": 4e-3}))

    assert (actual.kind, actual.reason) == (Kind.MISSING, "error_missing")


def test_a_tolerance_that_grew_regresses() -> None:
    assert (Kind.REGRESSED, "tolerance_grew") == (drifted(rms_tolerance=0.5).kind, drifted(rms_tolerance=0.5).reason)


def test_a_pass_beyond_its_own_tolerance_fails() -> None:
    assert drifted(rms=1.0).reason == "beyond_tolerance"


def test_other_direct_calls_are_not_comparable() -> None:
    actual = verdict(record(evidence={"calls": "a"}), record(evidence={"calls": "b"}))

    assert (actual.kind, actual.reason) == (Kind.NOT_COMPARABLE, "other_calls")


def test_of_the_same_direct_calls_as_many_must_be_computed() -> None:
    actual = verdict(record(evidence={"executed": 9}), record(evidence={"executed": 8}))

    assert (actual.kind, actual.reason) == (Kind.REGRESSED, "more_declined")


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (["sdpa-flash"], ["sdpa-math"], Kind.REGRESSED),
        (["sdpa-flash"], ["sdpa-flash", "sdpa-math"], Kind.REGRESSED),
        (["sdpa-flash"], ["sdpa-cudnn"], Kind.REGRESSED),
        (["sdpa-flash"], [], Kind.REGRESSED),
        (["sdpa-math"], ["sdpa-flash"], Kind.IMPROVED),
        (["sdpa-flash", "sdpa-math"], ["sdpa-math", "sdpa-flash"], Kind.UNCHANGED),
    ],
)
def test_other_kernels_are_seen_though_the_check_passes(before: list[str], after: list[str], kind: Kind) -> None:
    actual = verdict(record(evidence={"families": before}), record(evidence={"families": after}))

    assert kind == actual.kind


def test_evidence_that_is_no_longer_recorded_is_inconclusive() -> None:
    assert verdict(record(), record(evidence={})).reason == "dispatch_missing"


def test_memory_that_grows_regresses_with_its_numbers() -> None:
    actual = verdict(record(), record(memory=MEMORY | {"peak": 60_000_000}))

    expected = "peak memory grew by 50.0 %, from 38.15 MiB to 57.22 MiB"
    assert (Kind.REGRESSED, "peak", expected) == (actual.kind, actual.reason, actual.message)


def test_memory_that_grows_by_the_rounding_of_an_allocator_is_unchanged() -> None:
    assert verdict(record(), record(memory=MEMORY | {"footprint": 5_004_096})).kind == Kind.UNCHANGED


def test_the_worst_finding_is_the_verdict_and_the_others_stay_with_it() -> None:
    worse = record(errors=ERRORS | {"rms": 9e-3}, evidence={"families": ["sdpa-math"]}, memory=MEMORY | {"peak": 1})
    actual = verdict(record(), worse)

    assert actual.reason == "dispatch"
    assert [finding.kind for finding in actual.also] == [Kind.REGRESSED, Kind.IMPROVED]


def test_two_definitions_are_not_comparable() -> None:
    assert verdict(record(), record(definition="d2", errors={"rms": 1.0})).kind == Kind.NOT_COMPARABLE


def test_a_failure_counts_though_the_definition_changed() -> None:
    actual = verdict(record(), record(definition="d2", outcome=Outcome.FAILED))

    assert (actual.kind, "what is checked changed as well" in actual.message) == (Kind.NEWLY_FAILING, True)


def test_what_crashes_comes_before_what_fails_and_both_before_what_drifts() -> None:
    found = [drifted(rms=9e-3), outcomes("passed", "failed"), outcomes("failed", "passed"), outcomes("passed", "crashed")]

    expected = ["crashed", "failed", "rms_error", "was_failed"]
    assert expected == [item.reason for item in sorted(found, key=worst_first)]


@given(st.floats(), st.floats())
def test_a_trend_turns_around_when_time_does(before: float, after: float) -> None:
    threshold = Threshold(ratio=1.5, floor=1e-3)
    turned = {Trend.GREW: Trend.SHRANK, Trend.SHRANK: Trend.GREW, Trend.BROKE: Trend.MENDED, Trend.MENDED: Trend.BROKE}
    there = trend(before, after, threshold)

    assert turned.get(there, Trend.STEADY) == trend(after, before, threshold)


@given(st.integers(), st.integers())
def test_an_amount_within_the_floor_is_steady(before: int, difference: int) -> None:
    threshold = Threshold(ratio=1.01, floor=abs(difference))

    assert growth(before, before + difference, threshold) == Trend.STEADY


def test_every_threshold_has_a_source(tmp_path: Path) -> None:
    path = rewritten(tmp_path, 'source = "As bf16', 'source = " " # "As bf16')

    with pytest.raises(UserError, match=r"errors.fp16: source is empty"):
        load_thresholds(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1", "version = 2", "version is 2"),
        ("ratio = 3.0", "ratio = 0.5", "ratio: expected a number above 1, got 0.5"),
        ("ratio = 3.0", "ratio = nan", "ratio: expected a number above 1, got nan"),
        ("ratio = 3.0", "ratio = '3'", "ratio: expected a number, got '3'"),
        ("ratio = 3.0", "ratios = 3.0", "ratio is missing"),
        ("ratio = 3.0", "ratio = 3.0\nslack = 1", "unknown key 'slack'"),
        ("[memory.peak]", "[memory.reserved]", "peak is missing"),
        ('changed = "regressed"', 'changed = "fine"', "changed: expected one of"),
        ('changed = "regressed"', 'changed = "improved"', "changed: expected one of regressed, inconclusive"),
        ("version = 1", "version = ", "is not valid TOML"),
    ],
)
def test_an_unusable_threshold_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_thresholds(rewritten(tmp_path, old, new))

    assert message in str(caught.value)
