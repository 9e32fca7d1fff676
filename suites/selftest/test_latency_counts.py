"""Counts of a call are compared exactly, but for those with a limit; what differs between processes is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.compare import compare
from reports.record import Record
from reports.verdict import Kind
from suites.selftest.test_latency_rule import THRESHOLDS, judged, record, run, verdict


@pytest.mark.parametrize(
    ("unsteady", "said"), [({"launches": [8, 9]}, "differ between its processes: 8, 9"), ({}, "were not counted")]
)
def test_what_the_baseline_cannot_say_of_a_count_is_not_unchanged(unsteady: dict[str, list[int]], said: str) -> None:
    before, after = record({}, counters={}, unsteady=unsteady), record({}, counters={"launches": 8})
    finding = judged(before, after)[0]

    assert (Kind.INCONCLUSIVE, "launches_unknown_before") == (finding.kind, finding.reason)
    assert said in finding.message


def test_a_new_synchronization_is_a_regression_with_its_call_site() -> None:
    before = record({}, counters={"synchronizations": 1, "launches": 8}, sites={"a.py:1 f": 1})
    after = record({}, counters={"synchronizations": 2, "launches": 8}, sites={"a.py:1 f": 1, "b.py:7 g": 1})

    finding = judged(before, after)[0]

    assert (Kind.REGRESSED, "synchronizations") == (finding.kind, finding.reason)
    assert finding.message == "waits of the host for the device a call: 1 before, 2 now: 1 more at b.py:7 g"


def test_a_wait_whose_line_moved_is_not_told_as_a_new_one() -> None:
    """Between two releases most lines move: what grew is a function's count, told by the lines where it waits now."""
    before = record({}, counters={"synchronizations": 3}, sites={"a.py:1 f": 2, "a.py:3 f": 1})
    after = record({}, counters={"synchronizations": 5}, sites={"a.py:7 f": 3, "a.py:9 f": 1, "b.py:2 g": 1})

    assert judged(before, after)[0].message.endswith("3 before, 5 now: 1 more at a.py:7 f and a.py:9 f, 1 more at b.py:2 g")


@pytest.mark.parametrize(
    ("counter", "was", "now", "expected"),
    [
        ("synchronizations", 0, [1, 2], (Kind.REGRESSED, "synchronizations")),
        ("synchronizations", 1, [1, 2], (Kind.INCONCLUSIVE, "synchronizations_unsteady")),
        ("python_calls", 2000, [4000, 4300], (Kind.REGRESSED, "python_calls")),
    ],
)
def test_more_in_every_process_is_a_regression_however_they_differ(
    counter: str, was: int, now: list[int], expected: tuple[Kind, str]
) -> None:
    before = record({}, counters={counter: was, "operators": 1})
    after = record({}, counters={"operators": 1}, unsteady={counter: now}, sites={"b.py:7 g": 1})

    assert expected == verdict(before, after)
    assert (counter != "synchronizations" or was) or "1 more at b.py:7 g" in judged(before, after)[0].message


def test_counts_that_differ_between_processes_decide_nothing() -> None:
    before, after = record({}, counters={"launches": 8}), record({}, counters={}, unsteady={"launches": [8, 9]})

    assert (Kind.INCONCLUSIVE, "launches_unsteady") == verdict(before, after)


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ([2000], [2099], (None, "")),
        ([2000], [2100], (Kind.REGRESSED, "python_calls")),
        ([2100], [2000], (Kind.IMPROVED, "python_calls")),
        ([17_294, 17_302], [17_295], (None, "")),
        ([17_294, 17_302], [18_200, 18_201], (Kind.REGRESSED, "python_calls")),
        ([2000], [2000, 2200], (Kind.INCONCLUSIVE, "python_calls_unsteady")),
        ([2000, 2200], [2000], (Kind.INCONCLUSIVE, "python_calls_unknown_before")),
    ],
)
def test_calls_of_python_functions_differ_from_their_limit_on(
    was: list[int], now: list[int], expected: tuple[Kind | None, str]
) -> None:
    def of(values: list[int]) -> Record:
        steady = len(values) == 1
        return record({}, counters={"python_calls": values[0]} if steady else {"operators": 1},
                      unsteady={} if steady else {"python_calls": values})  # fmt: skip

    before, after = of(was), of(now)
    for each in (before, after):
        each.evidence["latency"]["counters"]["operators"] = 1

    assert expected == verdict(before, after)


@pytest.mark.parametrize(("release", "expected"), [("3.12.9", Kind.REGRESSED), ("3.13.0", Kind.INCONCLUSIVE)])
def test_calls_of_functions_of_another_python_decide_nothing(release: str, expected: Kind) -> None:
    """It inlines others, and counts other threads."""
    runs = [
        replace(run(record({}, counters={"python_calls": calls, "operators": 1})), environment={"host": {"python": python}})
        for calls, python in ((2000, "3.12.3"), (3000, release))
    ]
    (found,) = [each for each in compare(*runs, THRESHOLDS).verdicts if each.check == "latency"]

    assert expected is found.kind


def test_a_synchronization_that_moved_is_told_unless_its_line_alone_did() -> None:
    def of(site: str) -> Record:
        return record({}, counters={"synchronizations": 1}, sites={site: 1})

    assert (None, "") == verdict(of("a.py:1 f"), of("a.py:9 f"))
    finding = judged(of("a.py:1 f"), of("b.py:1 g"))[0]
    assert (Kind.INCONCLUSIVE, "synchronizations_moved") == (finding.kind, finding.reason)
    assert finding.message.endswith("1 before and now, but elsewhere: 1 at b.py g")
