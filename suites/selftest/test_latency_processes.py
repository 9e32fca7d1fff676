"""Measuring processes: what each fault of latency leaves in the evidence, and what becomes of one that ends them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fixtures.faults import latency as faults
from fixtures.findings import Finding
from fixtures.latency import counters
from fixtures.latency.campaign import Server
from fixtures.latency.evidence import of_processes, record, repeated
from fixtures.latency.found import Asked, Findings, Found, lose
from fixtures.latency.handover import REPLAY, hand_over
from fixtures.latency.measuring import Job, Process, _launch
from fixtures.latency.sampling import Sample
from fixtures.latency.server import _anew, known
from fixtures.latency.tasks import MAKERS, Task
from fixtures.latency.telemetry import Nvidia, Reading
from fixtures.measure import Measurement
from matrix.cell import TIMED
from matrix.measuring import load_measuring
from reports.record import Outcome, Record

PREFILL, ALTERNATING = (f"sdpa/llama-mini/bf16/cpu::latency[{name}]" for name in ("prefill-2x64", "alternating-shapes"))
DECODE = "sdpa/llama-mini/bf16/cpu::latency[decode-2x64]"
CHECKS = {id: Asked(check=check) for id, check in known("cpu").items() if id in (PREFILL, DECODE, ALTERNATING)}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One environment for all: its libraries are imported once."""
    with Server("cpu") as started:
        yield started


def measured(server: Server, id: str, *inject: str) -> Record:
    """The record of a check after one process that timed it and one that counted, with these faults in force."""
    server.inject = inject
    server.findings = type(server.findings)()
    for number, counting in enumerate((False, True)):
        server.measure(number, [CHECKS[id]], counting=counting)
    return record(CHECKS[id], server.findings)


@pytest.fixture(scope="module")
def clean(server: Server) -> dict[str, dict[str, Any]]:
    """What each check gives without a fault."""
    return {id: measured(server, id).evidence["latency"] for id in CHECKS}


def test_a_check_has_its_figures_counts_and_the_way_it_was_started(clean: dict[str, dict[str, Any]]) -> None:
    found = clean[DECODE]

    assert ["time_per_output_token"] == list(found["figures"])
    assert ("fork", 0, 0) == (found["start"], found["counters"]["synchronizations"], found["counters"]["retained"])
    assert found["figures"]["time_per_output_token"]["processes"][0]["median"] > 0


@pytest.mark.parametrize(
    ("fault", "id", "counter"),
    [
        ("host-sync", DECODE, "synchronizations"),
        ("memory-retained", PREFILL, "retained"),
        ("dtype-upcast", PREFILL, "casts"),
        ("layer-overhead", DECODE, "operators"),
        ("shapes-retuned", ALTERNATING, "operators"),
    ],
)
def test_a_fault_of_latency_is_counted(
    fault: str, id: str, counter: str, server: Server, clean: dict[str, dict[str, Any]]
) -> None:
    broken = measured(server, id, fault).evidence["latency"]

    assert broken["counters"][counter] > clean[id]["counters"][counter]


def test_a_wait_of_the_host_is_told_with_its_call_site(server: Server) -> None:
    sites = measured(server, DECODE, "host-sync").evidence["latency"]["sites"]

    assert [("change", 1)] == [(site.split()[-1], count) for site, count in sites.items()]
    assert next(iter(sites)).startswith("latency.py:")


def test_a_slowdown_is_as_large_as_was_asked_for(server: Server) -> None:
    """One process measures both, in turns, so that whoever else is on the machine slows down both."""
    asked = [CHECKS[PREFILL], Asked(check=CHECKS[PREFILL].check, inject=("slower:400",))]
    server.inject, server.findings = (), type(server.findings)()
    server.measure(0, asked, counting=False)
    was, now = (server.findings.of[each.key][0].result["figures"]["prefill"]["median"] for each in asked)

    assert now > 2 * was


def test_a_check_that_ends_its_process_costs_itself_alone(server: Server) -> None:
    server.inject, server.findings = (f"segfault:{PREFILL}",), type(server.findings)()
    server.measure(0, [CHECKS[PREFILL], CHECKS[DECODE]], counting=False)
    crashed, passed = (record(CHECKS[id], server.findings) for id in (PREFILL, DECODE))

    assert (Outcome.CRASHED, Outcome.PASSED) == (crashed.outcome, passed.outcome)
    assert "was ended by signal 11" in crashed.message


def test_what_a_process_found_is_kept_and_not_measured_again(tmp_path: Path, server: Server) -> None:
    (tmp_path / "timed-0-0.jsonl").write_text(kept(PREFILL) + '{"check": "sdpa/llama-mi')  # cut off
    with Server("cpu", keep=tmp_path, identity="here") as second:
        second.findings.go_on_from(tmp_path, "here", 5)
        second.measure(0, [CHECKS[PREFILL], CHECKS[DECODE]], counting=False)

    assert (1, 1) == (len(second.findings.of[PREFILL]), len(second.findings.of[DECODE]))
    assert [DECODE] == [json.loads(line)["check"] for line in (tmp_path / "timed-0-1.jsonl").open() if '"check"' in line]


def kept(check: str, identity: str = "here", **more: object) -> str:
    """What a measuring process wrote."""
    lines = [{"started": {"start": "fork", "identity": identity}}, {"check": check, "inject": [], "figures": {}, **more}]
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.mark.parametrize(
    ("name", "text", "processes"),
    [
        ("timed-0-0.jsonl", kept(PREFILL, "elsewhere"), 5),
        ("timed-0-0.jsonl", kept(PREFILL, error={"outcome": "failed", "code": "x", "sentence": "x"}), 5),
        ("timed-3-0.jsonl", kept(PREFILL), 3),
    ],
    ids=["another machine", "a check that failed", "fewer processes"],
)
def test_what_was_kept_of_another_measurement_is_left_out_and_counted(
    tmp_path: Path, name: str, text: str, processes: int
) -> None:
    (tmp_path / name).write_text(text)
    findings = Findings()
    findings.go_on_from(tmp_path, "here", processes)

    assert ({}, 1) == (dict(findings.of), findings.left_out)


def test_a_check_that_ended_its_process_is_lost_in_a_resumed_run_too(tmp_path: Path) -> None:
    file = tmp_path / "timed-0-0.jsonl"
    file.write_text(kept(DECODE) + '{"check": "cut')
    lose(file, CHECKS[PREFILL], ("crashed", "signal 11"))
    findings = Findings()
    findings.go_on_from(tmp_path, "here", 5)

    assert {PREFILL: ("crashed", "signal 11")} == findings.lost


def test_a_lost_device_costs_the_check_in_which_it_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process goes on with the others."""
    said: list[dict[str, Any]] = []
    process = Process("cpu", load_measuring("cpu"), lambda found: said.append(dict(found)))

    def measured(job: Job) -> dict[str, Any]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(process, "_measured", measured)
    process.run([Job(check=CHECKS[PREFILL].check), Job(check=CHECKS[DECODE].check)])

    assert [(PREFILL, "crashed")] == [(entry["check"], entry["error"]["outcome"]) for entry in said if "check" in entry]


def test_what_the_library_raises_is_the_outcome_of_the_check(server: Server) -> None:
    error = {"outcome": "refused", "code": "ValueError", "sentence": "does not support it"}
    findings = type(server.findings)()
    findings.of[PREFILL] = [Found(process=0, result={"error": error}, start="fork", context=0.0, telemetry="")]

    assert (Outcome.REFUSED, "does not support it") == (
        (found := record(CHECKS[PREFILL], findings)).outcome,
        found.message,
    )


def test_a_check_that_was_not_measured_fails(server: Server) -> None:
    assert "not-measured" == record(CHECKS[PREFILL], type(server.findings)()).reason


def test_disabled_benchmarks_are_a_failure(server: Server) -> None:
    measured(server, PREFILL)
    check = CHECKS[PREFILL].check

    with pytest.raises(Finding, match="pytest-benchmark is disabled"):
        hand_over(check, server.findings, Measurement(check), SimpleNamespace(enabled=False))


class Told:
    """Telemetry that says what it is told to, in turn, and then nothing."""

    source = "told"

    def __init__(self, *readings: Reading) -> None:
        self._readings = list(readings)

    def read(self) -> Reading:
        return self._readings.pop(0) if self._readings else Reading(mhz=1980)


class Activity:
    """What the profiler says of something that the device did."""

    def __init__(self, name: str, nanoseconds: int) -> None:
        self.name, self.duration_ns = (lambda: name), (lambda: nanoseconds)
        self.device_type, self.is_user_annotation = (lambda: SimpleNamespace(name="CUDA")), (lambda: False)


def traced(monkeypatch: pytest.MonkeyPatch, *readings: Reading, kernels: tuple[float, ...] = (2e-6, 3e-6)) -> dict[str, Any]:
    """What a process on a GPU says of the kernels of a call, of which these are recorded."""
    activities = (*(("gemm", round(each * 1e9)) for each in kernels), ("Memcpy HtoD", 9000))
    raws = [Activity(name, nanoseconds) for name, nanoseconds in activities]

    def events(run: Any, platform: str, *, kernels_alone: bool) -> list[Any]:
        run()
        return raws

    monkeypatch.setattr(counters.dispatch, "events", events)
    monkeypatch.setattr(counters, "_counting", lambda counts, on_device: nullcontext())
    process = Process("cpu", load_measuring("cpu"), lambda found: None)
    process.platform, process.device, process.telemetry = "cuda", "cuda", Told(*readings)
    return process._counted(Task(figure="prefill", run=lambda: None, clock="device", tokens=8, units=2))


def test_on_a_gpu_the_kernels_of_a_call_are_counted_and_timed_without_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    found = traced(monkeypatch)
    figure = found["figures"]["prefill_kernels"]

    assert [2] == [counts["launches"] for counts in found["counts"]]
    assert ("kernel", 2.5e-6, round(5e-6 * 1980e6 / 2)) == (figure["clock"], figure["median"], figure["cycles"])


def test_kernels_of_a_device_that_was_slowed_down_are_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    throttled = Reading(mhz=1200, disturbed="throttled: power brake")
    figure = traced(monkeypatch, Reading(), Reading(), Reading(), throttled)["figures"]["prefill_kernels"]

    assert ([[2.5e-6, throttled.disturbed]], 2) == (figure["marked"], len(figure["samples"]))


def test_what_the_host_waited_for_while_the_device_was_shared_is_put_aside() -> None:
    shared = "shared with 1 other process"
    process = Process("cpu", load_measuring("cpu"), lambda found: None)
    readings = [Sample(seconds=9.0, launch=1.0, disturbed=shared), *[Sample(seconds=0.02, launch=0.01)] * 9]
    process.host = SimpleNamespace(sample=lambda run, flush: readings.pop(0))  # type: ignore[assignment]
    task = Task(figure="prefill", run=lambda: None, clock="device", tokens=8)
    taken = process._waited(task)
    told = _launch(taken, task)

    assert ({0.02}, [[1.0, shared]], 0.01) == ({each.seconds for each in taken.samples}, told["marked"], told["median"])


def test_a_list_of_processes_on_which_nobody_is_says_nothing_of_others() -> None:
    """A container is told of none, not even of this one."""
    listed: list[object] = []
    calls = ("GetCurrentClocksThrottleReasons", "GetClockInfo", "GetTemperature", "GetPowerUsage")
    nvml: Any = SimpleNamespace(
        NVMLError=RuntimeError, NVML_CLOCK_SM=0, NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetComputeRunningProcesses=lambda device: listed,
        **{f"nvmlDevice{name}": lambda *_: 0 for name in calls},
    )  # fmt: skip
    telemetry = Nvidia.__new__(Nvidia)
    telemetry._nvml, telemetry._device, telemetry._own = nvml, None, 0

    assert (None, "") == (telemetry.read().others, telemetry.read().disturbed)
    listed += [1, 2]
    assert (1, "shared with 1 other process") == (telemetry.read().others, telemetry.read().disturbed)


def test_a_call_without_kernels_has_no_time_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "figures" not in traced(monkeypatch, kernels=())


def test_what_was_timed_stands_before_what_was_traced_whichever_was_read_first() -> None:
    """pytest-benchmark is handed the first figure."""
    entry = {"clock": "device", "tokens": 8, "units": 1, "samples": [1.0], "median": 1.0, "marked": []}
    results = [({"prefill_kernels": entry}, [{"launches": 1}]), ({"prefill": entry}, [])]
    found = [
        Found(process=0, result={"figures": figures, "counts": counts, "telemetry": {}}, start="", context=0.0, telemetry="")
        for figures, counts in results
    ]

    assert ["prefill", "prefill_kernels"] == list(of_processes(CHECKS[PREFILL].check, found)["figures"])


def test_where_calls_are_traced_a_slowdown_is_of_their_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere none is: a trace that was there costs what is timed after it."""
    slower, model = faults.Slower(), SimpleNamespace(device=SimpleNamespace(type="cuda"))
    monkeypatch.setattr(counters, "traced", lambda run, platform: [1e-3, 2e-3])
    monkeypatch.setattr(slower, "clock", SimpleNamespace(fresh=lambda: None, sample=lambda run, flush: Sample(seconds=9e-3)))

    with counters.tracing():
        assert 3e-3 == slower._measured(model, lambda: None)
    assert 9e-3 == slower._measured(model, lambda: None)


def test_a_model_that_is_slowed_down_generates_what_it_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a step takes is measured on the cache that generation uses."""
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

    torch.manual_seed(0)
    small = LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=64)
    model, prompt = AutoModelForCausalLM.from_config(small).eval(), torch.arange(1, 9)[None]
    expected = model.generate(prompt, max_new_tokens=6, do_sample=False)
    slower, taken = faults.Slower(), list[str]()
    monkeypatch.setattr(PreTrainedModel, "__call__", PreTrainedModel.__call__)
    monkeypatch.setattr(slower, "_measured", lambda model, run: [run() for _ in range(3)] and float(taken.append("") or 0))
    slower.set(50.0)

    assert expected.tolist() == model.generate(prompt, max_new_tokens=6, do_sample=False).tolist()
    assert 2 == len(taken), "the prompt and a step"


def test_counts_that_do_not_repeat_are_set_apart() -> None:
    assert ({"casts": 3}, {"operators": [1, 2]}) == repeated([{"operators": 1, "casts": 3}, {"operators": 2, "casts": 3}])


@pytest.mark.benchmark(timer=REPLAY)
def test_pytest_benchmark_tells_the_samples_that_were_measured_elsewhere(benchmark: Any) -> None:
    if not benchmark.enabled:
        pytest.skip("pytest-benchmark disables itself in the workers of pytest-xdist")

    benchmark.pedantic(REPLAY.step, setup=REPLAY.rewind, rounds=REPLAY.load([0.25, 0.5, 1.0]))

    assert [0.25, 0.5, 1.0] == benchmark.stats.stats.data


def test_every_schedule_that_may_be_timed_has_its_tasks() -> None:
    assert set(TIMED) == set(MAKERS)


def test_every_fault_of_latency_is_tried() -> None:
    assert {fault.name for fault in faults.FAULTS} == {
        "host-sync", "memory-retained", "dtype-upcast", "layer-overhead", "shapes-retuned", "slower"
    }  # fmt: skip


@pytest.mark.slow
def test_where_a_fork_is_not_safe_processes_are_started_anew(server: Server) -> None:
    """The measuring process imports for itself, and finds the same."""
    order = {"platform": "cpu", "inject": [], "own": 0, "jobs": [{"check": DECODE, "inject": [], "counting": False}]}
    out, words = (Path(server._folder.name) / name for name in ("anew", "anew-words"))

    assert 0 == _anew(order | {"out": str(out), "words": str(words)}), words.read_text()
    assert ["started", "check", "finished"] == [next(iter(json.loads(line))) for line in out.read_text().splitlines()]


def test_a_call_site_is_told_by_modules_wherever_they_are_installed() -> None:
    """Torch may lie in any folder, and others in a folder of that name."""
    found: list[str] = []
    theirs: dict[str, Any] = {"__name__": "torch.cuda", "look": lambda: found.append(counters.site(sys._getframe(1)))}
    exec(compile("def wait(): look()", "/anywhere/cuda.py", "exec"), theirs)
    ours: dict[str, Any] = {"__name__": "transformers.models", "wait": theirs["wait"]}
    exec(compile("def forward(): wait()", "/opt/torch/site-packages/transformers/models.py", "exec"), ours)
    ours["forward"]()

    assert ["models.py:1 forward"] == found
