"""What a check measured and how it ended: outcome, reason, sentence and times, and what a known failure makes of it."""

from __future__ import annotations

import datetime
import time
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import measure
from fixtures.findings import Finding, ReferenceBroken, Refused
from fixtures.measure import MEASUREMENT, Measurement, outcome_of, refuses
from fixtures.options import SETTINGS
from fixtures.selection import PLAN, Plan
from matrix.cell import Check
from matrix.errors import UserError
from matrix.expectation import Expectation
from reports.record import Outcome, Record
from suites.selftest.samples import check, facts, matrix
from suites.selftest.test_environments import settings

URL = "https://example.org/issues/1"


class OutOfMemoryError(RuntimeError):
    """As torch names it, and other libraries too."""


# what was said meanwhile


def test_of_a_line_that_comes_again_it_is_said_how_often_and_of_a_progress_bar_how_it_ended() -> None:
    cast = "WARNING  inputs will be cast"
    said = f"{cast}\n{cast}\n{cast}\nother\n{cast}\n\n\nLoading:   0%\rLoading:  50%\rLoading: 100%\nend\r\n"

    assert f"{cast}  [3 times]\nother\n{cast}\n\n\nLoading: 100%\nend\n" == measure.condensed(said)


# what an exception says


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (Finding("logits-differ", "rms 0.1, at most 0.01"), ("failed", "logits-differ", "rms 0.1, at most 0.01")),
        (ReferenceBroken("baseline-wrong", "not judged"), ("reference_broken", "baseline-wrong", "not judged")),
        (Refused("no-kernel", "declined"), ("refused", "no-kernel", "declined")),
        (Finding("no-backend", "fp32 is not supported"), ("failed", "no-backend", "fp32 is not supported")),
        (ImportError("libcudart.so.13"), ("import_failed", "ImportError", "libcudart.so.13")),
        (ModuleNotFoundError("No module named 'flash_attn'"), ("import_failed", "ModuleNotFoundError",
         "No module named 'flash_attn'")),
        (MemoryError(), ("out_of_memory", "host-memory", "MemoryError")),
        (OutOfMemoryError("CUDA out of memory"), ("out_of_memory", "device-memory", "CUDA out of memory")),
        (RuntimeError("No available kernel. Aborting execution."), ("refused", "RuntimeError",
         "No available kernel. Aborting execution.")),
        (ValueError("Gemma2 does not support sdpa yet"), ("refused", "ValueError", "Gemma2 does not support sdpa yet")),
        (NotImplementedError("rotary"), ("refused", "NotImplementedError", "rotary")),
        (RuntimeError("shape mismatch"), ("failed", "RuntimeError", "RuntimeError: shape mismatch")),
        (AssertionError(), ("failed", "AssertionError", "AssertionError: AssertionError")),
        (UserError("models.toml: bad"), ("failed", "UserError", "UserError: models.toml: bad")),
        (KeyError("a"), ("failed", "KeyError", "KeyError: 'a'")),
        (RuntimeError("\n\n  first line\nsecond line"), ("failed", "RuntimeError", "RuntimeError: first line")),
    ],
)  # fmt: skip
def test_an_exception_becomes_an_outcome_a_reason_and_one_sentence(
    raised: BaseException, expected: tuple[str, str, str]
) -> None:
    assert expected == outcome_of(raised)


def test_an_exception_without_words_says_who_raised_it() -> None:
    """A known failure of one is no other's then."""

    def reverse_op() -> None:
        raise NotImplementedError

    with pytest.raises(NotImplementedError) as raised:
        reverse_op()

    assert ("refused", "NotImplementedError", f"NotImplementedError of reverse_op in {__name__}") == outcome_of(raised.value)


def test_a_sentence_is_cut_short() -> None:
    _, _, sentence = outcome_of(RuntimeError("x" * 10_000))

    assert len(sentence) < 600


@pytest.mark.parametrize(
    "raised",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: operation not supported"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("HIP error: the operation is not supported on this device"),
    ],
)
def test_a_broken_device_is_no_library_that_declines(raised: BaseException) -> None:
    """A torch that was not built for this GPU is a failure of the environment, not a documented limit."""
    assert not refuses(raised)


@pytest.mark.parametrize("raised", [TypeError("unsupported operand type(s) for +"), KeyError("not supported")])
def test_words_alone_do_not_make_a_refusal(raised: BaseException) -> None:
    """Python's own errors use the same words."""
    assert not refuses(raised)


def test_what_pytest_timeout_raises_is_a_timeout() -> None:
    with pytest.raises(pytest.fail.Exception) as raised:
        pytest.fail("Timeout (>5.0s) from pytest-timeout.")

    assert ("timed_out", "time-limit", "Timeout (>5.0s) from pytest-timeout.") == outcome_of(raised.value)


def test_every_outcome_is_one_that_records_know() -> None:
    raised = [Finding("a", "b"), ReferenceBroken("a", "b"), Refused("a", "b"), ImportError(), MemoryError(), OSError()]

    assert all(Outcome(outcome_of(each)[0]) for each in raised)


# figures and times


def test_figures_evidence_and_sizes_add_up() -> None:
    measured = Measurement(check())
    measured.errors(rms=1)
    measured.errors(worst=2)
    measured.evidence(families=["sdpa-flash"])
    measured.memory(footprint=3)

    assert ({"rms": 1.0, "worst": 2.0}, {"families": ["sdpa-flash"]}, {"footprint": 3}) == (
        measured.figures,
        measured.seen,
        measured.bytes,
    )


def phases(monkeypatch: pytest.MonkeyPatch, *moments: float) -> Measurement:
    """A measurement on a clock that shows these moments, one a look."""
    clock = iter(moments)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    return Measurement(check())


def test_time_counts_for_the_innermost_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = phases(monkeypatch, 0, 1, 3, 4, 4.5, 10)
    with measured.phase("workload"):
        with measured.phase("reference"):
            pass
        with measured.phase("evidence"):
            pass

    assert {"workload": 1 + 1 + 5.5, "reference": 2, "evidence": 0.5} == measured.seconds


def test_a_phase_that_is_entered_again_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = phases(monkeypatch, 0, 1, 5, 7)
    for _ in range(2):
        with measured.phase("workload"):
            pass

    assert {"workload": 3} == measured.seconds


def test_a_phase_that_fails_is_counted_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = phases(monkeypatch, 0, 2, 5, 6)
    with pytest.raises(RuntimeError), measured.phase("build"):
        raise RuntimeError
    with measured.phase("workload"):
        pass

    assert {"build": 2, "workload": 1} == measured.seconds


# from a test's end to its record


def entry(**changes: Any) -> Expectation:
    usual: dict[str, Any] = {
        "cells": "sdpa", "checks": ("correct[short]",), "platforms": ("cpu",), "versions": {}, "outcome": "failed",
        "message": "logits", "url": URL, "expires": datetime.date(9999, 1, 1),
    }  # fmt: skip
    return Expectation(**usual | changes)


def ended(raised: BaseException | None = None, *entries: Expectation, when: str = "call", of: Check | None = None) -> Any:
    """The report of a check that ended so, after the plugin has seen it."""
    plan = Plan(facts=facts(), matrix=matrix(expectations=entries), checks=(), unavailable={})
    item = SimpleNamespace(
        callspec=SimpleNamespace(params={"check": of or check()}), stash=pytest.Stash(), nodeid="a.py::b[c]",
        config=SimpleNamespace(stash=pytest.Stash()),
    )  # fmt: skip
    item.config.stash[PLAN] = plan
    item.config.stash[SETTINGS] = settings()
    item.stash[MEASUREMENT] = Measurement(check())
    item.stash[MEASUREMENT].errors(rms=0.5)
    outcome = "passed" if raised is None else "skipped" if isinstance(raised, pytest.skip.Exception) else "failed"
    report = pytest.TestReport("a.py::b[c]", ("a.py", 0, "b"), {}, outcome, None, when, duration=2.0)  # type: ignore[arg-type]
    excinfo = None if raised is None else pytest.ExceptionInfo.from_exception(_thrown(raised))
    hook = measure.pytest_runtest_makereport(item, SimpleNamespace(excinfo=excinfo))  # type: ignore[arg-type]
    next(hook)
    with pytest.raises(StopIteration):
        hook.send(SimpleNamespace(get_result=lambda: report))
    return report


def _thrown(raised: BaseException) -> BaseException:
    try:
        raise raised
    except BaseException as thrown:
        return thrown


def told(report: Any) -> tuple[str, str, str]:
    """pytest's own outcome, the record's, and the record's reason."""
    return report.outcome, report.check["outcome"], report.check["reason"]


WRONG = Finding("logits-differ", "logits differ by 0.1")


@pytest.mark.parametrize(
    ("raised", "when", "expected"),
    [
        (None, "call", ("passed", "passed", "")),
        (WRONG, "call", ("failed", "failed", "logits-differ")),
        (ImportError("gone"), "setup", ("failed", "import_failed", "ImportError")),
        (WRONG, "teardown", ("failed", "failed", "logits-differ")),
        (pytest.skip.Exception("not-installed: flash-attn is not installed"), "setup", ("skipped", "skipped", "not-installed")),
        (pytest.skip.Exception("no reason code"), "setup", ("skipped", "skipped", "skipped")),
    ],
)
def test_the_end_of_a_check_is_told_in_its_report(
    raised: BaseException | None, when: str, expected: tuple[str, str, str]
) -> None:
    assert expected == told(ended(raised, when=when))


@pytest.mark.parametrize("when", ["setup", "teardown"])
def test_a_phase_that_passes_is_not_the_end_of_a_check(when: str) -> None:
    assert not hasattr(ended(when=when), "check")


def test_what_a_report_carries_is_a_record() -> None:
    carried = ended(WRONG).check
    actual = Record(**carried | {"outcome": Outcome(carried["outcome"])})

    assert (check().id, "correct", "short", {"rms": 0.5}, 2.0, check().definition) == (
        actual.id, actual.check, actual.subject, actual.errors, actual.seconds, actual.definition,
    )  # fmt: skip


# known failures


def test_a_known_failure_that_fails_as_described_is_no_failure() -> None:
    report = ended(WRONG, entry())

    assert ("skipped", "expected_failure", "logits-differ") == told(report)
    assert (f"known failure: {URL}", URL) == (report.wasxfail, report.check["expectation"])


def test_a_known_failure_that_passes_is_a_failure() -> None:
    report = ended(None, entry())

    assert ("failed", "unexpected_pass", "unexpected-pass") == told(report)
    assert report.longrepr == (f"unexpected pass: {check().id} passes, though {URL} says that it is failed: "
                               "take it out of matrix/expectations.toml")  # fmt: skip


@pytest.mark.parametrize("changes", [{"outcome": "refused"}, {"message": "out of range"}])
def test_a_known_failure_that_fails_in_another_way_is_a_failure(changes: dict[str, Any]) -> None:
    report = ended(WRONG, entry(**changes))

    assert ("failed", "failed", "logits-differ") == told(report)
    assert URL == report.check["expectation"]


def test_an_entry_of_another_check_changes_nothing() -> None:
    assert ("failed", "failed", "logits-differ") == told(ended(WRONG, entry(cells="eager")))


def test_a_known_failure_that_cannot_run_here_is_skipped() -> None:
    raised = pytest.skip.Exception("too-few-gpus: needs 2 GPUs")

    assert ("skipped", "skipped", "too-few-gpus") == told(ended(raised, entry(), when="setup"))


def test_a_clock_that_is_read_often_costs_little() -> None:
    """Thousands of phases are a fraction of a second."""
    measured, start = Measurement(check()), time.process_time()
    for _ in range(5000):
        with measured.phase("workload"):
            pass

    assert time.process_time() - start < 0.5
