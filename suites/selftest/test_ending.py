"""What a dead process left becomes an outcome, a reason, a sentence and evidence."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.ending import FRAMES, ROOT, Ending, Traces, ending
from fixtures.note import SIZE, STARTING, Note, Slate, read_note
from reports.record import Outcome

NOTE = Note(state="running", nodeid="a.py::b[c]", phase="call", since=1.0, limit=20.0)
CRASH = f"""Fatal Python error: Segmentation fault

Current thread 0x00007f (most recent call first):
  File "/usr/lib/python3.12/ctypes/__init__.py", line 519 in string_at
  File "{ROOT}/fixtures/execution.py", line 20 in run
  File "/x/site-packages/_pytest/python.py", line 165 in pytest_pyfunc_call
  File "/x/site-packages/pluggy/_caller.py", line 121 in _multicall

Thread 0x00007e (most recent call first):
  File "/usr/lib/python3.12/threading.py", line 320 in wait
"""
HANG = f"""Timeout (0:00:21)!
Thread 0x00007e (most recent call first):
  File "/x/site-packages/execnet/gateway_base.py", line 534 in read
Thread 0x00007f (most recent call first):
  File "/x/site-packages/torch/cuda/__init__.py", line 1 in synchronize
  File "{ROOT}/suites/attention/test_dispatch.py", line 9 in test_a
  File "/x/site-packages/_pytest/python.py", line 165 in pytest_pyfunc_call
"""


def ended(note: Note = NOTE, **traces: object) -> Ending:
    return ending(note, Traces(**{"status": -signal.SIGSEGV, **traces}), 3.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("traces", "expected"),
    [
        ({}, ("crashed", "SIGSEGV")),
        ({"status": -signal.SIGABRT}, ("crashed", "SIGABRT")),
        ({"status": -signal.SIGKILL}, ("crashed", "SIGKILL")),
        ({"status": -99}, ("crashed", "signal 99")),
        ({"status": 3}, ("crashed", "exited")),
        ({"status": 0}, ("crashed", "exited")),
        ({"status": 1, "stack": HANG}, ("timed_out", "time-limit")),
        ({"status": -signal.SIGKILL, "killed": True}, ("timed_out", "time-limit")),
        ({"status": None, "killed": True}, ("timed_out", "cannot-be-killed")),
        ({"status": -signal.SIGKILL, "memory": True}, ("out_of_memory", "host-memory")),
        ({"status": -signal.SIGSEGV, "stack": CRASH}, ("crashed", "SIGSEGV")),
    ],
)
def test_the_way_a_process_ended_is_an_outcome_and_a_reason(traces: dict[str, object], expected: tuple[str, str]) -> None:
    actual = ended(**traces)

    assert expected == (actual.outcome, actual.reason)


def test_a_crash_names_signal_phase_and_line() -> None:
    actual = ended(stack=CRASH)

    assert (
        "its process was ended by SIGSEGV (Segmentation fault) in its call after 3.0 s, in ctypes/__init__.py:519 string_at"
    ) == actual.sentence
    assert ["ctypes/__init__.py:519 string_at", "fixtures/execution.py:20 run"] == actual.evidence["stack"]


def test_a_hang_names_its_limit_and_the_line_of_the_thread_that_runs_checks() -> None:
    actual = ended(status=1, stack=HANG)

    assert "did not end within its limit of 20 s" in actual.sentence
    assert "torch/cuda/__init__.py:1 synchronize" == actual.evidence["stack"][0]


def test_the_last_lines_that_say_something_are_kept() -> None:
    actual = ended(output="\n".join(f"line {number}\n" for number in range(100)))

    assert ("line 99", 12) == (actual.evidence["output"][-1], len(actual.evidence["output"]))


def test_a_process_that_left_nothing_has_only_its_status_as_evidence() -> None:
    assert {"exit": 3, "phase": "call"} == ended(status=3).evidence


@given(st.text(), st.text(), st.none() | st.integers(-200, 255), st.booleans(), st.booleans())
def test_whatever_is_left_has_an_outcome_that_records_know(
    stack: str, output: str, status: int | None, killed: bool, memory: bool
) -> None:
    actual = ended(stack=stack, output=output, status=status, killed=killed, memory=memory)

    assert Outcome(actual.outcome)
    assert "\n" not in actual.sentence
    assert len(actual.evidence.get("stack", [])) <= FRAMES


# notes


def test_a_note_can_be_read_while_its_process_lives_and_after(tmp_path: Path) -> None:
    slate = Slate(tmp_path / "note")
    slate.write(NOTE)

    assert NOTE == read_note(tmp_path / "note")


def test_a_shorter_note_replaces_a_longer_one(tmp_path: Path) -> None:
    slate = Slate(tmp_path / "note")
    slate.write(dataclasses.replace(NOTE, why="x" * 1000))
    slate.write(NOTE)

    assert (NOTE, SIZE) == (read_note(tmp_path / "note"), (tmp_path / "note").stat().st_size)


@given(st.binary(max_size=60))
def test_no_bytes_in_a_note_make_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("notes") / "note"
    path.write_bytes(content)

    assert STARTING == read_note(path)


def test_a_process_that_never_wrote_a_note_is_starting(tmp_path: Path) -> None:
    assert STARTING == read_note(tmp_path / "none")
