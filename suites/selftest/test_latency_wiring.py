"""What the parts of measuring hand to each other: which clock, whether the cache is flushed, whose turn it is, which peak."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.latency import campaign, measuring
from fixtures.latency.evidence import peak
from fixtures.latency.found import Found
from fixtures.latency.measuring import Process
from fixtures.latency.sampling import Sample
from fixtures.latency.tasks import Task
from fixtures.latency.telemetry import Nvidia
from matrix.measuring import load_measuring


class Clock:
    """Tells that every call takes as long as it is told, and how it was asked for."""

    name = "device"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.flushed: list[bool] = []

    def fresh(self) -> None:
        """Another call."""

    def sample(self, run: Any, *, flush: bool = False) -> Sample:
        """One call."""
        self.flushed.append(flush)
        return Sample(seconds=self.seconds, launch=0.0, held=True)


def timed(monkeypatch: pytest.MonkeyPatch, clock: str, seconds: float) -> tuple[Clock, Clock]:
    """The device's clock and the host's of a process on a GPU, after it timed one task."""
    process, device, host = Process("cpu", load_measuring("cpu"), lambda found: None), Clock(seconds), Clock(seconds)
    process.rules, process.device = load_measuring("cuda"), "cuda"
    process.clock, process.host = device, host  # type: ignore[assignment]
    monkeypatch.setattr(process, "_allocated", lambda: 0)
    monkeypatch.setattr(process, "_peak", lambda before: {})
    process._timed([Task(figure="prefill", run=lambda: None, clock=clock, tokens=8)])
    return device, host


@pytest.mark.parametrize(("seconds", "flushed"), [(1e-3, True), (0.2, False)])
def test_short_workloads_find_the_cache_empty(seconds: float, flushed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that tells how long they are does not."""
    device, host = timed(monkeypatch, "device", seconds)

    assert (False, {flushed}) == (device.flushed[0], set(device.flushed[1:]))
    assert {False} == set(host.flushed)


def test_what_a_user_waits_for_is_timed_by_the_clock_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    device, host = timed(monkeypatch, "host", 0.2)

    assert ([], True) == (device.flushed, len(host.flushed) > load_measuring("cuda").fewest)


def test_two_environments_change_places_from_process_to_process() -> None:
    """What comes second finds a warmer machine."""
    asked: list[str] = []
    servers: list[Any] = [
        SimpleNamespace(measure=lambda number, order, name=name, **how: asked.append(f"{name}{number}")) for name in "ab"
    ]
    campaign.measure(servers, [], 2, 1)

    assert ["a0", "b0", "b1", "a1", "a2", "b2"] == asked


def test_a_peak_is_the_largest_of_all_processes() -> None:
    results: list[dict[str, Any]] = [{"memory": {"peak": size, "footprint": 7}} for size in (3, 9, 5)]
    found = [Found(process=0, result=result, start="", context=0.0, telemetry="") for result in results]

    assert {"footprint": 7, "peak": 9} == peak(found)


def test_a_peak_is_above_what_was_held_before_and_a_footprint_above_an_idle_device(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process("cpu", load_measuring("cpu"), lambda found: None)
    process.device, process._idle = "cuda", 100
    monkeypatch.setattr(measuring.device_memory, "peak", lambda: 1500)

    assert {"peak": 500, "footprint": 900} == process._peak(1000)


@pytest.mark.parametrize(
    ("bit", "reasons", "disturbed"),
    [
        (0x8, ("hardware slowdown",), True), (0x20, ("software thermal slowdown",), True),
        (0x40, ("hardware thermal slowdown",), True), (0x80, ("power brake",), True),
        (0x4, ("power cap",), False), (0x1, (), False), (0x2, (), False), (0x10, (), False),
    ],
)  # fmt: skip
def test_why_a_clock_was_lowered_is_read_off_nvidia_s_bits(bit: int, reasons: tuple[str, ...], disturbed: bool) -> None:
    """https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html: an idle device and one whose clocks its owner
    has set are not slowed down.
    """
    calls = {"GetClockInfo": 1980, "GetTemperature": 40, "GetPowerUsage": 200_000, "GetCurrentClocksThrottleReasons": bit}
    nvml: Any = SimpleNamespace(
        NVMLError=RuntimeError, NVML_CLOCK_SM=0, NVML_TEMPERATURE_GPU=0, nvmlDeviceGetComputeRunningProcesses=lambda device: [],
        **{f"nvmlDevice{name}": lambda *_, value=value: value for name, value in calls.items()},
    )  # fmt: skip
    telemetry = Nvidia.__new__(Nvidia)
    telemetry._nvml, telemetry._device, telemetry._own = nvml, None, 0
    read = telemetry.read()

    assert (reasons, disturbed) == (read.reasons, bool(read.disturbed))
    assert (1980, 40, 200.0) == (read.mhz, read.celsius, read.watts)
