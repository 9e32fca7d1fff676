"""Before any cell: what is broken is one outcome with its reason, whatever the way in which it is broken."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from fixtures import nvidia_smi, platform, preflight, preflight_gpu, readiness
from fixtures.child import Child
from fixtures.nvidia_smi import Row, Told
from fixtures.preflight import CLOCK, SECONDS, Look
from fixtures.preflight_gpu import copies, runs_on
from fixtures.readiness import READINESS, Readiness
from reports.recorder import NOTES
from reports.store import read_run
from suites.selftest.nested import ROOT
from suites.selftest.samples import facts

GIB = 2**30


def row(index: str = "0", **changes: Any) -> Row:
    usual = {"uuid": f"GPU-{index}aaaa", "name": "NVIDIA H200", "driver": "580.95", "used": 0, "total": 140 * GIB, "busy": 0,
             "clock": 1980}  # fmt: skip
    return Row(index=index, **usual | changes)


def looks(found: Any) -> list[tuple[bool | None, str]]:
    return [(look.ok, look.said) for look in found]


# the driver


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, []),
        (Told(problem="nvidia-smi: Failed to initialize NVML: Driver/library version mismatch"),
         [(False, "nvidia-smi: Failed to initialize NVML: Driver/library version mismatch")]),
        (Told(rows=(row(),)), [(True, "580.95, 0 NVIDIA H200"), (True, "nobody else computes here, 0.0 GiB are in use")]),
        (Told(rows=(row(),), processes=(("GPU-0aaaa", "process 7 (train, 900 MiB)"),)),
         [(True, "580.95, 0 NVIDIA H200"),
          (False, "GPU 0 (NVIDIA H200) is used by process 7 (train, 900 MiB): end it, or hide the GPU")]),
        (Told(rows=(row(used=30 * GIB, busy=97),)),
         [(True, "580.95, 0 NVIDIA H200"),
          (False, "GPU 0 (NVIDIA H200) is used by somebody: 30.0 of 140 GiB are taken and kernels run 97 % of the time: "
                  "end it, or hide the GPU")]),
    ],
)  # fmt: skip
def test_a_driver_that_does_not_answer_and_a_gpu_that_is_shared_are_broken(
    told: Told | None, expected: list[tuple[bool, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    assert expected == looks(preflight._of_driver(told))


@pytest.mark.parametrize(
    ("variable", "expected"),
    [(None, ["0", "1", "2"]), ("1", ["1"]), ("2,0", ["2", "0"]), ("GPU-1a", ["1"]), ("", []), ("7", [])],
)
def test_only_gpus_that_are_visible_are_looked_at(variable: str | None, expected: list[str]) -> None:
    """Whoever hides a GPU may share it."""
    assert expected == [each.index for each in nvidia_smi.visible([row("0"), row("1"), row("2")], variable)]


def test_a_driver_that_hangs_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(nvidia_smi.shutil, "which", lambda name: name)
    monkeypatch.setattr(nvidia_smi.subprocess, "run", run)

    assert Told(problem="nvidia-smi did not answer within 5 s: the driver hangs") == nvidia_smi.ask()


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (9, "Failed to initialize NVML: Driver/library version mismatch\n", "nvidia-smi: Failed to initialize NVML"),
        (9, "", "nvidia-smi: ended with status 9 and said nothing"),
        (0, "0, GPU-1\n", "nvidia-smi: not enough values to unpack"),
    ],
)
def test_whatever_nvidia_smi_says_is_one_line(monkeypatch: pytest.MonkeyPatch, status: int, output: str, expected: str) -> None:
    done = subprocess.CompletedProcess([], status, output, "")
    monkeypatch.setattr(nvidia_smi.shutil, "which", lambda name: name)
    monkeypatch.setattr(nvidia_smi.subprocess, "run", lambda *_, **__: done)
    told = nvidia_smi.ask()

    assert told is not None
    assert told.problem.startswith(expected) and "\n" not in told.problem


def test_nvidia_smi_is_read_as_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "gpu": "0, GPU-0aaaa, NVIDIA H200, 580.95, 512, 143771, 3, 1980\n1, GPU-1, NVIDIA H200, 580.95, [N/A], 1, 0, 1980\n",
        "compute-apps": "GPU-0aaaa, 77, /usr/bin/python, 400\n",
    }

    def run(command: list[str], **_: Any) -> Any:
        return subprocess.CompletedProcess(command, 0, said[command[1].partition("=")[0].removeprefix("--query-")], "")

    monkeypatch.setattr(nvidia_smi.shutil, "which", lambda name: name)
    monkeypatch.setattr(nvidia_smi.subprocess, "run", run)
    told = nvidia_smi.ask()

    assert told is not None
    assert (row(used=512 * 2**20, total=143771 * 2**20, busy=3), 0) == (told.rows[0], told.rows[1].used)
    assert (("GPU-0aaaa", "process 77 (python, 400 MiB)"),) == told.processes


# one GPU


@pytest.mark.parametrize(
    ("built", "capability", "expected"),
    [
        (["sm_80", "sm_90"], (9, 0), True),
        (["sm_80"], (8, 6), True),
        (["sm_86"], (8, 0), False),
        (["sm_80", "sm_90"], (10, 0), False),
        (["sm_90", "compute_90"], (10, 0), True),
        (["sm_100a"], (10, 0), True),
        (["sm_120"], (9, 0), False),
        ([], (9, 0), False),
        (["gfx942"], (9, 0), False),
    ],
)
def test_a_wheel_holds_code_for_a_device_of_its_major_version_or_ptx(
    built: list[str], capability: tuple[int, int], expected: bool
) -> None:
    assert expected == runs_on(built, *capability)


@pytest.mark.parametrize(
    ("mapped", "expected"),
    [
        (["/a/libcudart.so.13", "/a/libcudart.so.13", "/a/libcudnn.so.9", "/a/libcudnn_ops.so.9"], []),
        (["/a/libcudart.so.13", "/b/libcudart.so.12"],
         ["two copies of libcudart are loaded: /a/libcudart.so.13 and /b/libcudart.so.12"]),
        (["/a/libcudart-d0da41ae.so.11.0", "/b/libcudart.so.12"],
         ["two copies of libcudart are loaded: /a/libcudart-d0da41ae.so.11.0 and /b/libcudart.so.12"]),
        (["/a/libcublas.so.13", "/a/libcublasLt.so.13"], []),
        (["/a/libgomp.so.1", "/b/libgomp.so.1"], []),
    ],
)  # fmt: skip
def test_two_copies_of_a_cuda_library_in_one_process_are_found(mapped: list[str], expected: list[str]) -> None:
    assert expected == copies(mapped)


@pytest.mark.parametrize(("mhz", "expected"), [(1980, True), (1200, True), (345, False)])
def test_a_clock_that_is_pinned_low_is_broken(mhz: int, expected: bool) -> None:
    entry = {"name": "clock", "ok": True, "said": f"{mhz} MHz while busy", "seconds": 0.3}
    actual = preflight._of_gpu("gpu 0", entry, 1980)

    assert expected == actual.ok
    assert f"{mhz} MHz while busy, at most 1980" in actual.said
    assert 0 < CLOCK < 1


def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str) -> Child:
    """A process of a module that does what ``program`` does."""
    (tmp_path / "looked_at.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Child("looked_at")


BEGUN = "import json, os, sys, time\ndef say(**entry): print(json.dumps(entry), flush=True)\n"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("say(name='libraries', ok=True, said='', seconds=0.1)\nsys.stdin.readline()\n"
         "say(name='kernel', begun=True)\nos.abort()",
         ("gpu 0 kernel", "crashed", "the process was ended by SIGABRT: it said nothing")),
        ("say(name='libraries', begun=True)\nprint('terminate called', flush=True)\nos._exit(3)",
         ("gpu 0 libraries", "crashed", "the process ended with status 3: terminate called")),
        ("os._exit(1)", ("gpu 0 start", "crashed", "the process ended with status 1: it said nothing")),
    ],
)  # fmt: skip
def test_a_gpu_whose_process_dies_is_one_line_that_names_what_it_was_doing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, expected: tuple[str, str, str]
) -> None:
    gpus = {"gpu 0": child(monkeypatch, tmp_path, BEGUN + program)}
    *_, last = preflight._of_gpus(gpus, None)

    assert (*expected, False) == (last.name, last.outcome, last.said, last.ok)


def test_a_gpu_that_hangs_is_given_up_in_time_and_says_in_what(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight, "SECONDS", 1.0)
    monkeypatch.setattr(preflight, "GPU_SECONDS", 0.5)
    program = "say(name='libraries', ok=True, said='t', seconds=0.1)\nsay(name='memory', begun=True)\ntime.sleep(99)"
    gpus = {"gpu 0": child(monkeypatch, tmp_path, BEGUN + program)}
    start = time.monotonic()
    *_, last = preflight._of_gpus(gpus, None)

    assert ("gpu 0 memory", "timed_out", False) == (last.name, last.outcome, last.ok)
    assert time.monotonic() - start < 5


def test_the_looks_at_a_gpu_end_at_the_first_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> tuple[bool, str]:
        raise RuntimeError("CUDA error: no kernel image is available\nmore")

    found: dict[str, Callable[[], tuple[bool, str]]] = {"kernel": fail, "memory": lambda: (True, "fine")}
    monkeypatch.setattr(preflight_gpu, "LOOKS", found)
    monkeypatch.setattr(preflight_gpu, "_torch", lambda: (True, "torch"))
    monkeypatch.setattr(preflight_gpu.sys, "stdin", SimpleNamespace(readline=str))
    preflight_gpu.main()
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [("libraries", True), ("kernel", False)] == [(entry["name"], entry["ok"]) for entry in said if "ok" in entry]
    assert "CUDA error: no kernel image is available" == said[-1]["said"]


@pytest.mark.parametrize(
    ("asked", "present", "expected"),
    [("auto", [], "cpu"), ("auto", ["cuda"], "cuda"), ("cpu", ["cuda"], "cpu"), ("rocm", [], "rocm")],
)
def test_the_platform_is_known_before_torch_is(
    monkeypatch: pytest.MonkeyPatch, asked: str, present: list[str], expected: str
) -> None:
    monkeypatch.setattr(platform, "gpus_of_the_host", lambda: present)

    assert expected == preflight.expected_platform(asked)


@pytest.mark.parametrize(
    ("expected", "variables", "told", "entries"),
    [
        ("cpu", {}, None, []),
        ("cuda", {"CUDA": "3,5"}, Told(rows=(row(),)), [("CUDA", "3"), ("CUDA", "5")]),
        ("cuda", {}, Told(rows=(row("0"), row("1"))), [("CUDA", "0"), ("CUDA", "1")]),
        ("cuda", {}, None, [("CUDA", "0"), ("CUDA", "1"), ("CUDA", "2")]),
        ("cuda", {"CUDA": ""}, None, []),
        ("cuda", {"ROCR": "0", "HIP": "0"}, None, [("CUDA", "0"), ("CUDA", "1"), ("CUDA", "2")]),
        ("rocm", {}, None, [("HIP", "0"), ("HIP", "1"), ("HIP", "2")]),
        ("rocm", {"HIP": "2"}, None, [("HIP", "2")]),
        ("rocm", {"CUDA": "1,2"}, None, [("CUDA", "1"), ("CUDA", "2")]),
        ("rocm", {"HIP": "2,0", "CUDA": "1"}, None, [("HIP", "2"), ("HIP", "0")]),
        ("rocm", {"ROCR": "6,7"}, None, [("HIP", "0"), ("HIP", "1")]),
        ("rocm", {"ROCR": "GPU-4b2c1a9f,7", "HIP": "1"}, None, [("HIP", "1")]),
        ("rocm", {"ROCR": "5,6,7", "CUDA": "2,1"}, None, [("CUDA", "2"), ("CUDA", "1")]),
        ("rocm", {"ROCR": "6,7", "HIP": "1,2,0"}, None, [("HIP", "1")]),  # HIP stops at the first that is not there
        ("rocm", {"ROCR": ""}, None, []),
    ],
)  # fmt: skip
def test_each_visible_gpu_gets_a_process(
    monkeypatch: pytest.MonkeyPatch, expected: str, variables: dict[str, str], told: Told | None, entries: list[tuple[str, str]]
) -> None:
    monkeypatch.setattr(platform, "count_of_the_host", lambda name: 3)
    for name in ("CUDA", "HIP", "ROCR"):
        monkeypatch.delenv(f"{name}_VISIBLE_DEVICES", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"{name}_VISIBLE_DEVICES", value)

    assert [(f"{name}_VISIBLE_DEVICES", entry) for name, entry in entries] == list(preflight.entries(expected, told))


# what comes of it


def ready(*found: Look) -> Readiness:
    return Readiness(facts=facts("cuda"), looks=found, seconds=2.0)


def notes(found: Readiness) -> list[str]:
    session = SimpleNamespace(config=SimpleNamespace(stash=pytest.Stash()))
    session.config.stash[READINESS] = found
    readiness.pytest_sessionstart(cast(pytest.Session, session))
    return session.config.stash.get(NOTES, [])


GOOD = Look(name="driver", ok=True, said="580")
BAD = Look(name="gpu 0 kernel", ok=False, said="no kernel image", outcome="crashed", reason="gpu-kernel")
UNKNOWN = Look(name="memory", ok=None, said="unknown")


def test_a_machine_that_is_ready_is_one_record_that_passed() -> None:
    actual = ready(GOOD).record()

    assert ("environment/machine/any/cuda::preflight", "passed", "") == (actual["id"], actual["outcome"], actual["message"])
    assert "ready: 1 of 1 looks hold (2.0 s)" == ready(GOOD).sentence()


def test_what_could_not_be_told_is_named_in_the_sentence_in_the_record_and_in_the_notes_of_the_run() -> None:
    slow = Look(name="imports, torch first", ok=None, said="still going on after 10 s: a slow disk")
    told = "imports, torch first (still going on after 10 s: a slow disk); memory (unknown)"
    found = ready(GOOD, slow, UNKNOWN)

    assert f"ready: 1 of 3 looks hold, unknown: {told} (2.0 s)" == found.sentence()
    assert ("passed", f"unknown: {told}") == (found.record()["outcome"], found.record()["message"])
    assert ([f"preflight could not tell: {told}"], []) == (notes(found), notes(ready(GOOD)))


def test_a_machine_that_is_not_ready_is_one_record_with_every_reason() -> None:
    actual = ready(GOOD, BAD, Look(name="disk", ok=False, said="full")).record()

    assert ("crashed", "gpu-kernel", "gpu 0 kernel: no kernel image; disk: full") == (
        actual["outcome"], actual["reason"], actual["message"],
    )  # fmt: skip


def test_the_page_has_a_line_for_each_look() -> None:
    assert [
        "  ok       driver                 580",
        "  BROKEN   gpu 0 kernel           no kernel image",
        "  unknown  memory                 unknown",
        "  NOT READY: 1 of 3 looks found something broken, nothing is run (2.0 s)",
    ] == list(ready(GOOD, BAD, UNKNOWN).page())


def test_a_broken_environment_is_one_clear_outcome_everywhere(tmp_path: Path) -> None:
    """A GPU is asked for and this torch has none: one failure in every report, nothing on the CPU instead."""
    if platform.gpus_of_the_host():
        pytest.skip("needs a machine without GPU, this one has one")
    folder, reports = tmp_path / "run", tmp_path / "pytest.xml"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--platform=cuda", f"--run-dir={folder}", f"--junitxml={reports}"], cwd=ROOT,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    recorded = read_run(folder)
    (record,) = recorded.records.values()
    cases = [list(ElementTree.parse(path).iter("testcase")) for path in (reports, folder / "junit.xml")]

    assert pytest.ExitCode.TESTS_FAILED == done.returncode
    assert (("environment/machine/any/cuda::preflight",), ()) == (recorded.header.planned, recorded.missing)
    assert "platform cuda: " in record.message
    assert [1, 1] == [sum(case.find("failure") is not None for case in found) for found in cases]
    assert [1, 1] == list(map(len, cases))
    assert "Traceback" not in done.stdout + done.stderr
    assert record.durations["total"] < SECONDS + 15  # a loaded machine imports torch slowly
