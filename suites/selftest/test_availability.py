"""Whether a cell can run on a machine is measured, and where it cannot, the reason says what was measured."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix import availability
from matrix.availability import PROBE_SECONDS, Facts, ended, probe, read_facts, reason
from matrix.cell import Requirement, Since
from matrix.errors import UserError
from suites.selftest.samples import VALUES, cell, facts, packages, toml


def why(machine: Facts, platform: str = "cuda", **needs: Any) -> tuple[str, str] | None:
    found = reason(cell(platform=platform, requires=Requirement(**needs)), machine)
    return (found.code, found.sentence) if found else None


@pytest.mark.parametrize(
    ("machine", "needs"),
    [
        (facts("cuda"), {}),
        (facts("cuda"), {"capability": "9.0", "gpus": 1, "packages": ("torch",)}),
        (facts("cuda", devices=("10.0",)), {"capability": "9.0"}),
        (facts("rocm"), {"capability": "8.0"}),
    ],
)
def test_a_machine_that_has_everything_runs_the_cell(machine: Facts, needs: dict[str, Any]) -> None:
    """Compute capabilities are numbers, not texts, and no property of AMD's GPUs."""
    assert why(machine, machine.platform, **needs) is None


@pytest.mark.parametrize(
    ("machine", "needs", "expected"),
    [
        (facts("cuda", devices=("7.5",)), {"capability": "8.0"},
         ("compute-capability", "needs compute capability >= 8.0, this device has 7.5")),
        (facts("cuda", devices=("9.0", "8.6")), {"capability": "9.0"},
         ("compute-capability", "needs compute capability >= 9.0, this device has 8.6")),
        (facts("cuda"), {"packages": ("flash-attn",)}, ("not-installed", "flash-attn is not installed in this environment")),
        (facts("cuda"), {"gpus": 2}, ("too-few-gpus", "needs 2 GPUs, this machine has 1")),
        (facts("cuda", devices=()), {}, ("no-gpu", "needs a GPU of platform cuda, this machine has none")),
        (facts("cuda", devices=(), problem="the driver is gone"), {"capability": "8.0"}, ("unusable-platform",
         "the driver is gone")),
    ],
)  # fmt: skip
def test_the_reason_says_what_is_needed_and_what_was_measured(
    machine: Facts, needs: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert expected == why(machine, **needs)


def test_a_package_that_is_known_and_absent_is_not_installed() -> None:
    """The probe names every package that it looked for, with an empty version where there is none."""
    machine = facts(packages=packages(**{"flash-attn": ""}))

    assert ("not-installed", "flash-attn is not installed in this environment") == why(machine, "cpu", packages=("flash-attn",))


def test_a_cpu_needs_no_gpu() -> None:
    assert why(facts("cpu"), "cpu", capability="8.0") is None


# facts on their way between processes


@pytest.mark.parametrize("machine", [facts("cpu"), facts("cuda"), facts("rocm", problem="broken")])
def test_facts_survive_the_way_to_another_process(machine: Facts) -> None:
    assert machine == read_facts(machine.to_json())


@given(st.text() | VALUES.map(lambda value: toml({"platform": value})))
def test_what_is_no_facts_is_one_line_that_says_what_to_run(text: str) -> None:
    with pytest.raises(
        UserError, match=r"^the facts of this machine are unreadable \(.*\): run `python -m fixtures\.platform`$"
    ):
        read_facts(text)


# the probe's process


def answered(monkeypatch: pytest.MonkeyPatch, *, status: int = 0, said: str = "", answer: str = "") -> list[dict[str, Any]]:
    """A probe that ended so; returns what it is called with."""
    called: list[dict[str, Any]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        called.append({"command": command} | options)
        return subprocess.CompletedProcess(command, status, answer, said)

    monkeypatch.setattr(availability.subprocess, "run", run)
    return called


def test_the_probe_has_a_process_and_a_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    called = answered(monkeypatch, answer=facts("rocm").to_json())
    actual = probe("rocm")

    assert facts("rocm") == actual
    assert (["-m", "fixtures.platform", "rocm"], PROBE_SECONDS) == (called[0]["command"][1:], called[0]["timeout"])


def test_what_a_library_prints_while_it_is_imported_is_no_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, answer=f"Welcome to bitsandbytes\n{{}}\n{facts().to_json()}\n")

    assert facts() == probe()


def test_a_probe_that_hangs_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(availability.subprocess, "run", run)

    with pytest.raises(
        UserError, match=r"^the probe of this machine did not answer within 120 s: run `python -m fixtures.platform cuda`$"
    ):
        probe("cuda")


def test_a_probe_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, status=1, said="Traceback ...\nOSError: libcuda.so.1: no such file\n")

    with pytest.raises(
        UserError, match=r"^the probe of this machine failed: OSError: libcuda.so.1: no such file: run `python -m"
    ):
        probe()


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (-11, "a warning that came before\n", "was killed by signal 11 (Segmentation fault)"),
        (-9, "", "was killed by signal 9 (Killed)"),
        (3, "", "failed with status 3"),
        (1, "first\nOSError: last\n", "failed: OSError: last"),
    ],
)
def test_how_a_process_ended_is_told_by_its_signal_or_its_last_words(status: int, said: str, expected: str) -> None:
    """A warning is not why a process was killed."""
    assert expected == ended(subprocess.CompletedProcess([], status, "", said))


# what a library can be asked only from a release on

SWITCH = Since(package="transformers", release="4.53", configurations=("sdpa*",), platforms=("cpu", "cuda", "rocm"),
               what="set_attn_implementation", source="")  # fmt: skip
KERNELS = Since(
    package="bitsandbytes", release="0.46", configurations=("bnb*",), platforms=("cpu",), what="its kernels", source=""
)


@pytest.mark.parametrize(
    ("since", "platform", "versions", "expected"),
    [
        (SWITCH, "cuda", {"transformers": "4.52.4"},
         "needs transformers >= 4.53, which brought set_attn_implementation: 4.52.4 is installed"),
        (KERNELS, "cpu", {"bitsandbytes": "0.45.0"},
         "needs bitsandbytes >= 0.46, which brought its kernels on cpu: 0.45.0 is installed"),
        (KERNELS, "cuda", {"bitsandbytes": "0.45.0"}, ""),
        (SWITCH, "cpu", {"transformers": "4.53.0.dev0"}, ""),
        (SWITCH, "cpu", {"transformers": "4.100.0"}, ""),
        (SWITCH, "cpu", {"transformers": ""}, ""),
    ],
)  # fmt: skip
def test_an_older_release_is_not_asked_for_what_it_does_not_have(
    since: Since, platform: str, versions: dict[str, str], expected: str
) -> None:
    asked = cell(platform=platform, requires=Requirement(since=(since,)))
    why = reason(asked, facts(platform, packages=packages(**versions)))

    assert expected == (why.sentence if why else "")
