"""Processes: who shares one, who gets which GPU, and what a worker is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import isolation
from fixtures.isolation import (
    ALL,
    FACTS,
    attached,
    pytest_cmdline_main,
    pytest_configure_node,
    workers,
)
from fixtures.readiness import Readiness
from matrix.availability import read_facts
from suites.selftest.samples import facts


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("cuda", {}, [("CUDA", "0"), ("CUDA", "1")]),
        ("cuda", {"CUDA": "4,5,7"}, [("CUDA", "4"), ("CUDA", "5")]),
        ("cuda", {"CUDA": " 4 , 5,7 "}, [("CUDA", "4"), ("CUDA", "5")]),
        ("cuda", {"CUDA": "GPU-8932f937,GPU-d8d1a0b1"}, [("CUDA", "GPU-8932f937"), ("CUDA", "GPU-d8d1a0b1")]),
        ("rocm", {}, [("HIP", "0"), ("HIP", "1")]),
        ("rocm", {"CUDA": "4,5"}, [("CUDA", "4"), ("CUDA", "5")]),
        ("rocm", {"HIP": "2,3", "CUDA": "4,5"}, [("HIP", "2"), ("HIP", "3")]),
        ("rocm", {"ROCR": "6,7"}, [("HIP", "0"), ("HIP", "1")]),
        ("rocm", {"ROCR": "5,6,7", "HIP": "2,1"}, [("HIP", "2"), ("HIP", "1")]),
        ("rocm", {"ROCR": "5,6,7", "CUDA": "1,2"}, [("CUDA", "1"), ("CUDA", "2")]),
    ],
)
def test_each_worker_has_a_gpu_of_its_own_out_of_those_that_the_caller_allows(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    """On ROCm what ROCR_VISIBLE_DEVICES lets through is numbered from 0; it is left as it is."""
    for name in ("CUDA", "HIP", "ROCR"):
        monkeypatch.delenv(f"{name}_VISIBLE_DEVICES", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"{name}_VISIBLE_DEVICES", value)
    told = facts(platform, devices=("9.0",) * 2)

    assert [{f"{name}_VISIBLE_DEVICES": entry} for name, entry in expected] == [
        isolation.environment(told, gpu) for gpu in range(2)
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--run-dir", "here", "-q"], ["--run-dir=here", "-q"]),
        (["--baseline=a", "--baseline", "b", "suites"], ["--baseline=a", "--baseline=b", "suites"]),
        (["--cells", "sdpa", "-n", "2"], ["--cells", "sdpa", "-n", "2"]),
        (["--run-dir"], ["--run-dir"]),
    ],
)
def test_a_folder_that_an_option_names_is_no_test_path_for_a_worker(given: list[str], expected: list[str]) -> None:
    """By the time that workers start, the folder of the run exists."""
    assert expected == attached(given)


def node(session: Any, worker: str, gpu: int = 1) -> Any:
    spec = SimpleNamespace(gpu=str(gpu))
    return SimpleNamespace(config=session, gateway=SimpleNamespace(id=worker, spec=spec), workerinput={"workercount": 3})


@pytest.mark.parametrize(
    ("devices", "workers", "several", "expected"),
    [
        (3, 3, False, [0, 1, 2]),
        (2, 3, True, [0, 1, ALL]),
        (2, 5, False, [0, 1, 0, 1, 0]),
        (2, 1, True, [ALL]),
        (2, 1, False, [0]),
        (0, 2, False, [0, 0]),
    ],
)
def test_each_worker_has_a_gpu_and_the_last_all_where_checks_need_several(
    devices: int, workers: int, several: bool, expected: list[int]
) -> None:
    assert expected == isolation.roles(devices, workers, several=several)


def test_a_worker_is_told_the_gpu_of_its_specification() -> None:
    """pytest-xdist starts what replaces a dead worker by the same specification."""
    session = SimpleNamespace(stash=pytest.Stash())
    session.stash[FACTS] = facts("cuda", devices=("9.0",) * 3)
    worker = node(session, "gw3", gpu=2)
    pytest_configure_node(worker)

    assert 2 == worker.workerinput["gpu"]


def test_workers_with_one_gpu_each_are_forked_by_servers_that_see_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, str]] = []

    def server(platform: str, environment: dict[str, str], *, quantizing: bool) -> Any:
        begun.append(environment)
        number = len(begun)
        return SimpleNamespace(command=lambda: f"fork {number}")

    monkeypatch.setattr(isolation, "Forkserver", server)
    monkeypatch.setattr(isolation.sys, "platform", "linux")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,7")
    session = SimpleNamespace(stash=pytest.Stash(), option=SimpleNamespace(tx=["popen"] * 4))
    session.stash[FACTS] = facts("cuda", devices=("9.0",) * 2)
    isolation.begin(session, 4, several=True, quantizing=False)  # type: ignore[arg-type]

    assert [{"CUDA_VISIBLE_DEVICES": "6"}, {"CUDA_VISIBLE_DEVICES": "7"}, {}] == begun
    assert ["gpu=0//python=fork 1", "gpu=1//python=fork 2", "gpu=0//python=fork 1", "gpu=-1//python=fork 3"] == [
        spec.removeprefix("popen//") for spec in session.option.tx
    ]


@pytest.mark.parametrize(
    ("listed", "seen", "cells", "begun", "ended"),
    [
        (["0"], 1, "copies", [{}], []),
        (["6", "7"], 2, "eager", [{"CUDA_VISIBLE_DEVICES": "6"}, {"CUDA_VISIBLE_DEVICES": "7"}], []),
        (["6", "7"], 2, "copies", [{"CUDA_VISIBLE_DEVICES": "6"}, {"CUDA_VISIBLE_DEVICES": "7"}, {}], []),
        (["0", "1", "2"], 2, "eager", [{"CUDA_VISIBLE_DEVICES": str(index)} for index in range(3)], [0, 1, 2]),
    ],
)
def test_servers_that_begin_while_preflight_looks_are_ended_where_torch_sees_other_gpus(
    monkeypatch: pytest.MonkeyPatch, listed: list[str], seen: int, cells: str, begun: list[dict[str, str]], ended: list[int]
) -> None:
    started: list[dict[str, str]] = []
    stopped: list[int] = []
    threads: list[str | None] = []

    def server(platform: str, environment: dict[str, str], *, quantizing: bool) -> Any:
        started.append(environment)
        threads.append(os.environ.get("OMP_NUM_THREADS"))
        number = len(started) - 1
        return SimpleNamespace(stop=lambda: stopped.append(number))

    monkeypatch.setattr(isolation, "Forkserver", server)
    monkeypatch.setattr(isolation.sys, "platform", "linux")
    monkeypatch.setattr(isolation, "expected_platform", lambda asked: "cuda")
    monkeypatch.setattr(isolation.os, "cpu_count", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(listed))
    session = named("suites")
    session.stash[FACTS] = facts("cuda", devices=("9.0",) * seen)
    settings: Any = SimpleNamespace(platform="auto", tier="quick", cells=cells)
    isolation._begin_early(session, settings)
    several = {} in begun[1:]
    left = isolation._as_begun(session, isolation.roles(seen, seen + several, several=several))

    assert (begun, ended, [] if ended else [*range(seen), *[isolation.ALL] * several]) == (started, stopped, list(left))
    assert [str(6 // len(listed))] * len(begun) == threads, "torch is imported there, and reads it then"


def named(*arguments: str) -> Any:
    """What pytest makes of a command line that names these paths."""
    return SimpleNamespace(stash=pytest.Stash(), args=arguments, invocation_params=SimpleNamespace(dir=isolation.ROOT))


def test_a_checkout_behind_a_link_has_its_suites_where_they_are(tmp_path: Path) -> None:
    """As what the command line names is: one that is not followed would be beside all of them."""
    link = tmp_path / "link"
    link.symlink_to(isolation.ROOT)
    asked = [sys.executable, "-c", "from fixtures import isolation; print(isolation.ROOT, isolation.SUITES)"]
    told = subprocess.run(asked, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(link)}, stdout=-1, text=True, check=True)

    assert [str(link), str((isolation.ROOT / "suites").resolve())] == told.stdout.split()


@pytest.mark.parametrize(
    ("arguments", "suite", "within"),
    [
        ((".",), "placement", True), (("suites/placement",), "placement", True),
        (("suites/placement/test_placed.py::test_x",), "placement", True), (("suites/attention",), "placement", False),
        (("suites/attention", "suites/guide"), "guide-bitsandbytes", True), (("suites/attention",), "guide-optimum", False),
    ],
)  # fmt: skip
def test_no_process_for_several_gpus_is_begun_for_suites_that_were_not_named(
    arguments: tuple[str, ...], suite: str, within: bool
) -> None:
    assert within is isolation.within_reach(named(*arguments), suite)


def test_there_is_one_worker_a_gpu() -> None:
    assert [1, 3] == [workers(facts("cuda", devices=("9.0",) * count)) for count in (1, 3)]


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 2), (64, 2), (None, 1)])
def test_a_cpu_has_two_workers_where_it_has_two_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, expected: int
) -> None:
    monkeypatch.setattr(isolation.os, "cpu_count", lambda: cores)

    assert (expected, expected) == (workers(facts("cpu")), workers(None))


# configuration of the processes


def config(**changes: Any) -> Any:
    """As pytest hands it over, with xdist installed and the suite's own tests named."""
    options = {"numprocesses": None, "usepdb": False, "collectonly": False, "maxworkerrestart": None} | changes.pop(
        "options", {}
    )
    given = {"run_dir": "", "cache": "", "inject": [], "override": [], "ignore_expectations": False, "platform": "auto",
             "tier": "quick", "cells": "*", "baseline": "", "checkpoint": "", "environment": "", "facts": "", "resume": "",
             "trust_remote_code": False, "shard": "", "durations_from": ""}  # fmt: skip
    return SimpleNamespace(
        option=SimpleNamespace(**options), stash=pytest.Stash(), getoption=given.__getitem__,
        args=changes.pop("args", [str(isolation.__file__)]),
        invocation_params=SimpleNamespace(dir=Path.cwd(), args=(), plugins=None), InvocationParams=SimpleNamespace,
        pluginmanager=SimpleNamespace(hasplugin=lambda name: changes.get("xdist", True)),
        **{key: value for key, value in changes.items() if key != "xdist"},
    )  # fmt: skip


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine with three GPUs; lists what the probe was asked for."""
    asked: list[str] = []

    def probe(platform: str) -> Any:
        asked.append(platform)
        return facts("cuda", devices=("9.0",) * 3)

    def measured(platform: str, *_: object) -> Readiness:
        return Readiness(facts=probe(platform), looks=(), seconds=0.0)

    monkeypatch.setattr(isolation, "probe", probe)
    monkeypatch.setattr(isolation, "measured", measured)
    for name in ("CUBLAS_WORKSPACE_CONFIG", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
                 "ROCR_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "TORCH_WARM_POOL", "PYTHONDONTWRITEBYTECODE",
                 "PYTHONPYCACHEPREFIX"):  # fmt: skip
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return asked


def test_the_collecting_process_probes_once_and_asks_for_a_worker_a_gpu(probed: list[str]) -> None:
    session = config()
    pytest_cmdline_main(session)

    assert (["auto"], 3) == (probed, session.option.numprocesses)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"options": {"numprocesses": 0}}, 0),
        ({"options": {"numprocesses": 7}}, 7),
        ({"options": {"usepdb": True}}, None),
        ({"options": {"collectonly": True}}, None),
        ({"xdist": False}, None),
    ],
)
def test_what_the_user_said_about_processes_holds(probed: list[str], changes: dict[str, Any], expected: int | None) -> None:
    session = config(**changes)
    pytest_cmdline_main(session)

    assert expected == session.option.numprocesses


def test_what_starts_measuring_processes_begins_while_preflight_looks_where_only_latency_was_asked_for(
    probed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[Any] = []

    class Server:
        def __init__(self, platform: str) -> None:
            self.platform = platform

        def start(self, *, quantizing: bool) -> None:
            did.append((self.platform, list(probed), os.environ["OMP_NUM_THREADS"]))

        def stop(self) -> None:
            did.append("stopped")

    monkeypatch.setattr(isolation, "Server", Server)
    monkeypatch.setattr(isolation, "expected_platform", lambda asked: "cuda")
    monkeypatch.setattr(isolation.os, "cpu_count", lambda: 4)
    session = config(args=[str(isolation.SUITE)])
    pytest_cmdline_main(session)
    isolation.pytest_unconfigure(session)

    assert [("cuda", [], "4"), "stopped"] == did, "before the probe, with the threads that a single process has"


def test_a_worker_is_told_the_facts_and_does_not_probe(probed: list[str]) -> None:
    machine = facts("cuda", devices=("9.0",) * 3)
    collecting = SimpleNamespace(stash=pytest.Stash())
    collecting.stash[FACTS] = machine
    told = node(collecting, "gw1")
    pytest_configure_node(told)
    session = config(workerinput=told.workerinput)
    pytest_cmdline_main(session)

    assert ([], machine) == (probed, session.stash[FACTS])
    assert machine == read_facts(told.workerinput["facts"])


@pytest.mark.parametrize(("platform", "variable"), [("cuda", "CUDA_VISIBLE_DEVICES"), ("rocm", "HIP_VISIBLE_DEVICES")])
def test_a_worker_sees_its_own_gpu_before_torch_is_imported(probed: list[str], platform: str, variable: str) -> None:
    told = facts(platform, devices=("9.0",) * 3).to_json()
    pytest_cmdline_main(config(workerinput={"gpu": 2, "workercount": 3, "facts": told}))

    assert "2" == os.environ[variable]


def test_what_the_caller_chose_on_rocm_holds_with_either_variable(probed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    told = facts("rocm", devices=("gfx942",) * 3).to_json()
    pytest_cmdline_main(config(workerinput={"gpu": 1, "workercount": 3, "facts": told}))

    assert ("5", None) == (os.environ["CUDA_VISIBLE_DEVICES"], os.environ.get("HIP_VISIBLE_DEVICES"))


def test_workers_share_the_cores(probed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation.os, "cpu_count", lambda: 16)
    pytest_cmdline_main(config(workerinput={"gpu": 0, "workercount": 3, "facts": facts().to_json()}))

    assert "5" == os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize(("asked", "expected"), [("1", "bytecode"), ("", "")])
def test_what_is_compiled_is_kept_in_the_cache_where_it_may_not_lie_beside_its_source(
    probed: list[str], monkeypatch: pytest.MonkeyPatch, asked: str, expected: str
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", asked)
    monkeypatch.setattr(isolation.sys, "pycache_prefix", None)
    pytest_cmdline_main(config())

    assert (None, expected) == (os.environ.get("PYTHONDONTWRITEBYTECODE"), Path(os.environ.get("PYTHONPYCACHEPREFIX", "")).name)


@pytest.mark.parametrize("options", [{}, {"numprocesses": 0}])
def test_cublas_may_be_deterministic_with_and_without_workers(probed: list[str], options: dict[str, Any]) -> None:
    """The baseline is run twice and must give the same bits; https://docs.nvidia.com/cuda/cublas/#results-reproducibility."""
    pytest_cmdline_main(config(options=options))

    assert ":4096:8" == os.environ["CUBLAS_WORKSPACE_CONFIG"]
