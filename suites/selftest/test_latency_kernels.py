"""The time of kernels, which is traced, and what the host waits for beside it: GPUs are stood in for."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fixtures.faults import latency as faults
from fixtures.latency import counters
from fixtures.latency.campaign import measure
from fixtures.latency.evidence import of_processes
from fixtures.latency.found import Found
from fixtures.latency.measuring import Process, _launch
from fixtures.latency.sampling import Sample
from fixtures.latency.tasks import Task
from fixtures.latency.telemetry import Nvidia, Reading
from matrix.measuring import load_measuring
from suites.selftest.samples import check


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


def traced(
    monkeypatch: pytest.MonkeyPatch, *readings: Reading, kernels: tuple[float, ...] = (2e-6, 3e-6), counts: bool = True
) -> dict[str, Any]:
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
    return process._counted(Task(figure="prefill", run=lambda: None, clock="device", tokens=8, units=2), counts=counts)


def test_on_a_gpu_the_kernels_of_a_call_are_counted_and_timed_without_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    found = traced(monkeypatch)
    figure = found["figures"]["prefill_kernels"]

    assert [2] == [counts["launches"] for counts in found["counts"]]
    assert ("kernel", 2.5e-6, round(5e-6 * 1980e6 / 2)) == (figure["clock"], figure["median"], figure["cycles"])


def test_of_many_processes_most_trace_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = traced(monkeypatch, counts=False)

    assert (["figures"], 2) == (list(found), len(found["figures"]["prefill_kernels"]["samples"]))
    assert {} == traced(monkeypatch, counts=False, kernels=())


def test_the_first_two_that_trace_count_as_well() -> None:
    done: list[tuple[int, bool, bool]] = []
    server: Any = SimpleNamespace(measure=lambda number, order, **how: done.append((number, how["counting"], how["counts"])))
    measure([server], [], 1, 4)

    assert [(0, False, True), (1, True, True), (2, True, True), (3, True, False), (4, True, False)] == done


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
    entry: dict[str, Any] = {"clock": "device", "tokens": 8, "units": 1, "samples": [1.0], "median": 1.0, "marked": []}
    kernels = entry | {"clock": "kernel"}
    results = [({"prefill_kernels": kernels}, [{"launches": 1}]), ({"prefill_kernels": kernels}, []), ({"prefill": entry}, [])]
    found = [
        Found(process=0, result={"figures": figures, "counts": counts, "telemetry": {}}, start="", context=0.0, telemetry="")
        for figures, counts in results
    ]

    assert ["prefill", "prefill_kernels"] == list(of_processes(check("latency", "prefill-2x64"), found)["figures"])


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
