"""Crashes, hangs, exhausted memory and broken devices cost the check in which they happen, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from fixtures import worker
from fixtures.faults import process
from suites.selftest.nested import Nested, validate

CELLS = "gpt2-tiny and (fp32 or bf16) and (eager or sdpa)"
LIMIT = 10
# fault -> the check it strikes, and the outcome and reason that this check must have
STRUCK = {
    "segfault": ("eager/gpt2-tiny/fp32/cpu::correct[batch]", "crashed", "SIGSEGV"),
    "hang": ("eager/gpt2-tiny/bf16/cpu::correct[decode]", "timed_out", "time-limit"),
    "out-of-memory": ("sdpa/gpt2-tiny/fp32/cpu::invariant[batched:batch]", "out_of_memory", "device-memory"),
    "illegal-access": ("sdpa/gpt2-tiny/bf16/cpu::dispatch[prefill]", "crashed", "illegal-memory-access"),
    "unnoticed-illegal-access": ("eager/gpt2-tiny/fp32/cpu::invariant[cached:decode]", "crashed", "illegal-memory-access"),
}
# The others: (fault, outcome, reason); the slow test strikes with all of them.
KINDS = (
    ("segfault", "crashed", "SIGSEGV"), ("abort", "crashed", "SIGABRT"), ("exit", "crashed", "exited"),
    ("killed", "crashed", "SIGKILL"), ("segfault", "crashed", "SIGSEGV"),
    ("hang", "timed_out", "time-limit"), ("hang-in-python", "timed_out", "time-limit"), ("frozen", "timed_out", "time-limit"),
    ("hang-outside-python", "timed_out", "time-limit"), ("hang-in-python", "timed_out", "time-limit"),
    *[("out-of-memory", "out_of_memory", "device-memory")] * 5,
    ("illegal-access", "crashed", "illegal-memory-access"), ("device-assert", "crashed", "device-assert"),
    ("unnoticed-illegal-access", "crashed", "illegal-memory-access"), ("device-assert", "crashed", "device-assert"),
    ("illegal-access", "crashed", "illegal-memory-access"),
)  # fmt: skip


def struck(folder: Path, cells: str, faults: Mapping[str, str], *arguments: str, seconds: int = 300) -> Nested:
    """A run with workers, in which checks (the keys) are struck by faults."""
    injected = [f"--inject={fault}:{check}" for check, fault in faults.items()]
    return validate(folder, f"--cells={cells}", *injected, *arguments, workers=2, seconds=seconds)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Nested:
    """One run in which five checks of about a hundred are struck, each by another fault."""
    folder = tmp_path_factory.mktemp("struck")
    faults = {check: fault for fault, (check, _, _) in STRUCK.items()}
    return struck(folder, CELLS, faults, f"--timeout={LIMIT}", f"--junitxml={folder / 'pytest.xml'}")


def test_each_fault_has_its_own_outcome_and_every_other_check_passes(run: Nested) -> None:
    assert run.run is not None, run.output
    actual = {id: (record.outcome, record.reason) for id, record in run.run.records.items() if record.outcome != "passed"}

    assert {check: (outcome, reason) for check, outcome, reason in STRUCK.values()} == actual


def test_a_run_with_ended_processes_is_whole_and_red(run: Nested) -> None:
    assert run.run is not None
    assert (1, True, ()) == (run.exit_code, run.run.whole, run.run.missing)


def test_a_crash_names_the_python_line_it_happened_in_and_what_was_said_last(run: Nested) -> None:
    assert run.run is not None
    record = run.run.records[STRUCK["segfault"][0]]

    assert ("ctypes/__init__.py", "fixtures/faults/process.py") == tuple(line.partition(":")[0] for line in record.stack[:2])
    assert ("injected: segfault",) == record.output
    assert "Python stack: ctypes/__init__.py" in run.output
    assert "last output: injected: segfault" in run.output


def test_a_hang_names_the_line_it_hangs_in(run: Nested) -> None:
    assert run.run is not None
    record = run.run.records[STRUCK["hang"][0]]

    assert f"did not end within its limit of {LIMIT} s" in record.message
    assert "fixtures/faults/process.py" in record.stack[0]


def test_a_crash_keeps_the_reports_that_pytest_writes(run: Nested) -> None:
    """In plain pytest a segfault loses them."""
    assert run.run is not None
    cases = list(ElementTree.parse(run.run.folder.parent / "pytest.xml").iter("testcase"))

    assert len(run.run.records) == len(cases)
    assert len(STRUCK) == sum(case.find("failure") is not None or case.find("error") is not None for case in cases)


def test_without_pytest_xdist_a_broken_device_ends_the_run_before_the_next_check(tmp_path: Path) -> None:
    fault = "illegal-access:eager/gpt2-tiny/fp32/cpu::correct[batch]"
    alone = validate(tmp_path, "--cells=eager and gpt2-tiny and fp32", f"--inject={fault}")

    assert alone.run is not None
    assert (2, {"eager/gpt2-tiny/fp32/cpu::correct[batch]"}) == (alone.exit_code, alone.ended("crashed"))
    assert set() == alone.ended("failed")
    assert "go on with `pytest --resume=" in alone.output


@pytest.mark.slow
def test_a_device_that_answers_no_more_is_not_asked_to_give_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would raise what broke it once more, as an error of pytest itself."""

    def refused() -> None:
        raise RuntimeError("CUDA error: misaligned address")

    monkeypatch.setattr(worker.device, "empty", refused)
    process, session = worker.Process(), SimpleNamespace(shouldstop="")
    process.unclean = "its device answers no more (misaligned-address)"
    item: Any = SimpleNamespace(session=session, config=SimpleNamespace(stash=pytest.Stash()), nodeid="a check")
    process.clean(item, None)

    assert session.shouldstop.startswith("this process is of no more use since a check: its device answers no more")


def test_without_pytest_xdist_memory_and_time_that_ran_out_cost_their_checks(tmp_path: Path) -> None:
    cell = "eager/gpt2-tiny/fp32/cpu"
    faults = {f"{cell}::correct[batch]": "out-of-memory", f"{cell}::correct[decode]": "hang-in-python"}
    alone = validate(
        tmp_path,
        f"--cells={cell}",
        f"--timeout={LIMIT}",
        "-k",
        "batch or decode",
        *(f"--inject={fault}:{check}" for check, fault in faults.items()),
    )

    assert alone.run is not None
    assert (1, True) == (alone.exit_code, alone.run.whole)
    assert ({f"{cell}::correct[batch]"}, {f"{cell}::correct[decode]"}) == (
        alone.ended("out_of_memory"),
        alone.ended("timed_out"),
    )
    assert len(alone.run.records) - 2 == len(alone.ended("passed"))


def test_without_pytest_xdist_a_check_that_cannot_be_interrupted_ends_the_run_with_a_line(tmp_path: Path) -> None:
    check = "eager/gpt2-tiny/fp32/cpu::correct[batch]"
    fault = f"--inject=hang-outside-python:{check}"
    alone = validate(tmp_path, "--cells=eager and gpt2-tiny and fp32", "-k", "batch or decode", "--timeout=5", fault)

    assert alone.run is not None
    assert (2, False) == (alone.exit_code, alone.run.header.complete)
    assert check in alone.run.missing
    assert f"{check}: did not end within its limit of 5 s, and cannot be interrupted" in alone.output
    assert f"pytest --resume={tmp_path / 'run'}" in alone.output
    assert "fixtures/faults/process.py" in alone.output, "the stack of what hangs"


def test_every_fault_of_a_process_is_tried() -> None:
    tried = {*STRUCK, *(fault for fault, _, _ in KINDS), "leak-output", "leak-error"}

    assert {fault.name for fault in process.FAULTS} == tried


@pytest.mark.slow
def test_two_hundred_checks_with_twenty_faults_have_those_outcomes_and_no_others(tmp_path: Path) -> None:
    """In at most the clean time, plus the limits of what hangs, plus 3 seconds a fault."""
    cells, limit = "(llama-tiny or gpt2-tiny) and (fp32 or bf16) and (eager or sdpa or sdpa-math)", 10
    (tmp_path / "clean").mkdir()
    (tmp_path / "struck").mkdir()
    begun = time.monotonic()
    clean = struck(tmp_path / "clean", cells, {}, seconds=900)
    halfway = time.monotonic()
    assert clean.run is not None and not clean.exit_code, clean.output
    checks = [id for id in clean.run.records if not id.startswith("environment/")]
    expected = dict(zip(checks[:: len(checks) // len(KINDS)][: len(KINDS)], KINDS, strict=True))
    faults = {check: fault for check, (fault, _, _) in expected.items()}
    broken = struck(tmp_path / "struck", cells, faults, f"--timeout={limit}", seconds=900)
    took, allowed = time.monotonic() - halfway, halfway - begun + 5 * limit + 3 * len(KINDS)
    assert broken.run is not None
    actual = {id: (record.outcome, record.reason) for id, record in broken.run.records.items() if record.outcome != "passed"}
    print(f"{len(checks)} checks: {halfway - begun:.1f} s, with {len(KINDS)} faults {took:.1f} s of {allowed:.1f} s allowed")

    assert len(checks) >= 200
    assert {check: (outcome, reason) for check, (_, outcome, reason) in expected.items()} == actual
    assert set(clean.run.records) == set(broken.run.records)
    assert took <= allowed


@pytest.mark.slow
def test_a_cell_that_ends_every_process_is_given_up(tmp_path: Path) -> None:
    """Or a cell that hangs in each of its checks would take hours."""
    fault = {"eager/gpt2-tiny/fp32/cpu::*": "exit"}
    lost = struck(tmp_path, "gpt2-tiny and fp32 and eager", fault)

    assert lost.run is not None
    cell = [record for record in lost.run.records.values() if record.configuration == "eager"]
    assert {"exited": 5, "given-up": len(cell) - 5} == {
        reason: sum(record.reason == reason for record in cell) for reason in ("exited", "given-up")
    }
