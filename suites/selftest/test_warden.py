"""The process that records knows what its workers died of, kills what hangs, and gives up what cannot go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import warden
from fixtures.ending import Ending
from fixtures.note import Note, Slate
from fixtures.options import SETTINGS
from fixtures.selection import PLAN, Plan
from fixtures.warden import ENOUGH, PATIENCE, STARTING, Ward, Warden
from matrix.expectation import Expectation
from suites.selftest.samples import check, facts, matrix
from suites.selftest.test_measure import URL, entry

NODE = f"a.py::b[{check().cell.id}:correct:short]"
RUNNING = Note(state="running", nodeid=NODE, phase="call", since=0.0, limit=5.0)


class Process:
    """A process that has ended with a status, or (None) never does."""

    pid = os.getpid()

    def __init__(self, status: int | None = -signal.SIGSEGV) -> None:
        self.ends, self.killed = status, False

    def wait(self, timeout: float) -> int:
        if self.ends is None:
            raise subprocess.TimeoutExpired("worker", timeout)
        return self.ends

    def kill(self) -> None:
        self.killed = True


def watching(folder: Path, *entries: Expectation) -> Warden:
    """A warden of a run that plans one check."""
    said: list[str] = []
    session = SimpleNamespace(shouldstop=False)
    plugins = {"dsession": session, "terminalreporter": SimpleNamespace(write_line=said.append)}
    config = SimpleNamespace(
        stash=pytest.Stash(), pluginmanager=SimpleNamespace(getplugin=plugins.get), option=SimpleNamespace(verbose=0)
    )
    config.stash[PLAN] = Plan(facts=facts(), matrix=matrix(expectations=entries), checks=(check(),), unavailable={})
    config.stash[SETTINGS] = SimpleNamespace(checkpoint="", ignore_expectations=False)  # type: ignore[assignment]
    watcher = Warden(config, folder)  # type: ignore[arg-type]
    watcher.session, watcher.said = session, said  # type: ignore[attr-defined]
    return watcher


class Node:
    """A worker as pytest-xdist hands it over."""

    def __init__(self, name: str, process: Process | None = None) -> None:
        started = process or Process()
        self.gateway = SimpleNamespace(id=name, _io=SimpleNamespace(popen=started), _rinfo=lambda: started)
        self.workerinput: dict[str, Any] = {}
        self.told: list[str] = []
        self._down = False

    def notify_inproc(self, event: str, **_: object) -> None:
        self.told.append(event)


def dead(watcher: Warden, name: str, note: Note, process: Process | None = None) -> Any:
    """A worker that left a note and died."""
    worker = Node(name, process)
    watcher.pytest_configure_node(worker)
    Slate(watcher.folder / f"{name}.note").write(note)
    watcher.pytest_testnodedown(worker, "Not properly terminated")
    return worker


def reported(watcher: Warden, worker: Any) -> Any:
    """The report that pytest-xdist makes for it, after the warden has seen it."""
    report = SimpleNamespace(node=worker, nodeid=NODE, when="???", failed=True, skipped=False, passed=False,
                             outcome="failed", longrepr="worker crashed", sections=[])  # fmt: skip
    watcher.pytest_handlecrashitem(NODE, report, None)
    return report


# what a dead worker's check is said to be


def test_a_check_whose_process_died_has_a_record_with_what_the_process_left(tmp_path: Path) -> None:
    watcher = watching(tmp_path)
    (tmp_path / "gw0.stack").write_text('Fatal Python error\n\nCurrent thread 0x1:\n  File "/a/b.py", line 3 in c\n')
    told = reported(watcher, dead(watcher, "gw0", RUNNING)).check

    assert (check().id, "crashed", "SIGSEGV", check().definition) == (
        told["id"], told["outcome"], told["reason"], told["definition"],
    )  # fmt: skip
    assert ["/a/b.py:3 c"] == told["evidence"]["stack"]


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (RUNNING, (NODE, True)),
        (Note(state="idle", nodeid=NODE), (NODE, True)),
        (Note(state="retired", nodeid=NODE), (NODE, False)),
        (Note(state="starting"), (None, False)),
    ],
)
def test_a_worker_died_in_what_it_ran_or_ran_last_unless_it_retired(
    tmp_path: Path, note: Note, expected: tuple[str | None, bool]
) -> None:
    watcher = watching(tmp_path)
    worker = dead(watcher, "gw0", note)

    assert expected == watcher.last(worker, {"scope": {NODE: False}})


@pytest.mark.parametrize("error", [None, "keyboard-interrupt"])
def test_a_worker_that_ended_as_it_should_or_was_interrupted_died_in_nothing(tmp_path: Path, error: str | None) -> None:
    watcher, worker = watching(tmp_path), Node("gw0")
    watcher.pytest_configure_node(worker)
    Slate(tmp_path / "gw0.note").write(RUNNING)
    watcher.pytest_testnodedown(worker, error)

    assert (None, False) == watcher.last(worker, {"scope": {NODE: False}})


def test_a_crash_that_is_known_is_no_failure(tmp_path: Path) -> None:
    watcher = watching(tmp_path, entry(outcome="crashed", message="SIGSEGV"))
    report = reported(watcher, dead(watcher, "gw0", RUNNING))

    assert ("skipped", "expected_failure", URL) == (report.outcome, report.check["outcome"], report.check["expectation"])


@pytest.mark.parametrize("changes", [{"outcome": "failed"}, {"outcome": "crashed", "message": "other"}, {"cells": "eager"}])
def test_a_crash_that_is_not_known_is_a_failure(tmp_path: Path, changes: dict[str, Any]) -> None:
    watcher = watching(tmp_path, entry(**{"outcome": "crashed", "message": "SIGSEGV"} | changes))
    report = reported(watcher, dead(watcher, "gw0", RUNNING))

    assert ("failed", "crashed") == (report.outcome, report.check["outcome"])


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (RUNNING, f"[gw0] {check().id}: its process was ended by SIGSEGV (Segmentation fault) in its call"),
        (Note(state="retired", nodeid=NODE, why="memory ran out in it"), f"[gw0] {check().id}: retires, memory ran out in it"),
        (Note(state="starting"), "[gw0] starting: its process was ended by SIGSEGV"),
        (Note(state="waiting"), "[gw0] waiting: its process was ended by SIGSEGV"),
    ],
)
def test_the_end_of_a_worker_is_said_as_it_happens(tmp_path: Path, note: Note, expected: str) -> None:
    """pytest-xdist calls every one of them a crash."""
    watcher = watching(tmp_path)
    dead(watcher, "gw0", note)

    assert watcher.said[0].strip().startswith(expected)  # type: ignore[attr-defined]


# giving up


def passed(outcome: str = "passed") -> Any:
    return SimpleNamespace(when="call", check={"id": check().id, "outcome": outcome})


def test_a_cell_that_ends_process_after_process_is_given_up(tmp_path: Path) -> None:
    watcher = watching(tmp_path)
    for number in range(ENOUGH):
        dead(watcher, f"gw{number}", RUNNING)
    replacement = Node("gw9")
    watcher.pytest_configure_node(replacement)

    assert {check().cell.id: "crashed"} == replacement.workerinput["given_up"]


def test_a_check_that_ends_as_checks_do_begins_the_count_again(tmp_path: Path) -> None:
    watcher = watching(tmp_path)
    for number in range(2 * ENOUGH):
        dead(watcher, f"gw{number}", RUNNING)
        if number % (ENOUGH - 1) == 0:
            watcher.pytest_runtest_logreport(passed())

    assert {} == watcher.given_up


def test_checks_after_which_the_process_retires_count_too(tmp_path: Path) -> None:
    watcher = watching(tmp_path)
    for _ in range(ENOUGH):
        watcher.pytest_runtest_logreport(passed("out_of_memory"))

    assert {check().cell.id: "out_of_memory"} == watcher.given_up


def test_workers_that_die_before_they_run_a_check_end_the_run(tmp_path: Path) -> None:
    """Each of them would be replaced for ever."""
    watcher = watching(tmp_path)
    for number in range(ENOUGH):
        dead(watcher, f"gw{number}", Note(state="starting"), Process(1))

    assert f"{ENOUGH} workers in a row ended before they ran a check" in watcher.session.shouldstop  # type: ignore[attr-defined]
    assert ENOUGH == len(watcher.notes)


# what hangs


def ward(folder: Path, note: Note, started: float = 0.0, process: Any = None) -> Ward:
    Slate(folder / "note").write(note)
    files = {"note": folder / "note", "stack": folder / "stack"}
    return Ward(process=process or Process(), pid=Process.pid, started=started, kills=0, **files)


@pytest.mark.parametrize(
    ("note", "now", "expected"),
    [
        (RUNNING, 5.0 + PATIENCE - 0.1, False),
        (RUNNING, 5.0 + PATIENCE + 0.1, True),
        (Note(state="running", nodeid=NODE, limit=0.0), 1e9, False),
        (Note(state="idle", nodeid=NODE), 1e9, False),
        (Note(state="waiting"), 1e9, False),
        (Note(state="starting"), STARTING - 1, False),
        (Note(state="starting"), STARTING + 1, True),
    ],
)
def test_what_runs_beyond_its_limit_and_some_patience_is_overdue(
    tmp_path: Path, note: Note, now: float, expected: bool
) -> None:
    assert expected == ward(tmp_path, note).overdue(now)


def test_a_process_that_can_be_killed_is_dead_and_one_that_cannot_is_said_to_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killable, hanging = ward(tmp_path, RUNNING), ward(tmp_path, RUNNING, process=Process(None))

    assert (True, False) == (killable.kill(), hanging.kill())
    assert (True, None) == (hanging.process.killed, hanging.traces().status)  # type: ignore[attr-defined]


def test_a_worker_that_cannot_be_killed_is_left_behind_and_said(tmp_path: Path) -> None:
    watcher = watching(tmp_path)
    worker = Node("gw0", Process(None))
    watcher.pytest_configure_node(worker)
    Slate(tmp_path / "gw0.note").write(RUNNING)  # since the machine started, so long overdue
    watcher.pytest_sessionstart()
    deadline = time.monotonic() + 5
    while not worker.told and time.monotonic() < deadline:
        time.sleep(0.05)
    watcher.over.set()
    watcher.pytest_testnodedown(worker, "cannot be killed")
    report = reported(watcher, worker)

    assert (["errordown"], True) == (worker.told, worker._down)
    assert ("timed_out", "cannot-be-killed") == (report.check["outcome"], report.check["reason"])
    assert ["the process of worker gw0 cannot be killed and keeps what it has of its GPU"] == watcher.notes


def test_an_interrupted_run_does_not_wait_for_its_workers(tmp_path: Path) -> None:
    watcher, process = watching(tmp_path), Process()
    watcher.pytest_configure_node(Node("gw0", process))
    watcher.pytest_sessionfinish(pytest.ExitCode.INTERRUPTED)

    assert process.killed


# what is left of a process


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc, this system has none")
def test_the_files_that_output_is_captured_in_can_be_read_after_the_process_died() -> None:
    program = (
        "import os, sys, tempfile\n"
        "file = tempfile.TemporaryFile()\n"
        "os.dup2(file.fileno(), 2)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "os.write(2, b'the last words')\n"
        "os.abort()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    files = list(warden._captures(process.pid))
    process.communicate("die\n")
    said = {warden._tail(file) for file in files}
    for file in files:
        os.close(file)

    assert (-signal.SIGABRT, {"the last words"}) == (process.returncode, said)


def test_the_files_of_a_process_that_is_gone_are_none() -> None:
    assert [] == list(warden._captures(2**22 + 1))


@pytest.mark.parametrize(
    ("content", "expected"), [("low 0\noom_kill 3\n", 3), ("oom_kill x\n", 0), ("", 0), ("one two three\n", 0), (None, 0)]
)
def test_the_kernels_count_of_processes_that_it_killed_is_read_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, expected: int
) -> None:
    monkeypatch.setattr(warden, "KILLS", tmp_path / "memory.events")
    if content is not None:
        (tmp_path / "memory.events").write_text(content)

    assert expected == warden._kills()


def test_what_pytest_prints_of_a_dead_process_holds_its_stack_and_its_last_words() -> None:
    how = Ending(outcome="crashed", reason="SIGSEGV", sentence="it died", evidence={"stack": ["a:1 b"], "output": ["last"]})

    assert "crashed: it died\nPython stack, innermost first:\na:1 b\nlast output:\nlast" == warden._told(how)
