"""The device's clock, with a device that is not there: what it is asked, in which order, and what time counts."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.latency import campaign, clock
from fixtures.latency.clock import DeviceClock, HostClock
from fixtures.latency.telemetry import Reading

SPINNING = 2e9  # cycles of the device a second


class Device:
    """A device that does what it is asked one after the other, the host going on meanwhile; ``now`` is in seconds."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.time, self.host = 0.0, 0.0

    def do(self, name: str, seconds: float) -> None:
        self.asked.append(name)
        self.time = max(self.time, self.host) + seconds

    def launch(self, seconds: float) -> None:
        self.host += seconds

    def synchronize(self) -> None:
        self.host = max(self.host, self.time)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    import torch

    made = Device()

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            self.at = 0.0

        def record(self) -> None:
            self.at = max(made.time, made.host)

        def synchronize(self) -> None:
            made.synchronize()

        def query(self) -> bool:
            return self.at <= made.host

        def elapsed_time(self, end: Event) -> float:
            return (end.at - self.at) * 1e3

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: made.do("spin", cycles / SPINNING), raising=False)
    monkeypatch.setattr(torch.cuda, "synchronize", made.synchronize)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(L2_cache_size=2**20))
    monkeypatch.setattr(torch, "empty", lambda *size, **named: SimpleNamespace(zero_=lambda: made.do("flush", 1e-4)))
    monkeypatch.setattr(clock.time, "perf_counter", lambda: made.host)
    yield made


def telemetry(reading: Reading) -> Any:
    return SimpleNamespace(source="fake", read=lambda: reading)


def test_time_between_events_holds_no_wait_for_the_host(device: Device) -> None:
    """Two kernels of 1 ms that the host takes 3 ms each to launch: the device is held until both are there."""
    taken = DeviceClock(telemetry(Reading(mhz=1980)))

    def run() -> None:
        for _ in range(2):
            device.launch(3e-3)
            device.do("kernel", 1e-3)

    taken.fresh()
    taken.sample(run, flush=False)
    sample = taken.sample(run, flush=False)

    assert (pytest.approx(2e-3), pytest.approx(6e-3), 1980) == (sample.seconds, sample.launch, sample.mhz)


def test_the_cache_is_flushed_where_it_is_asked_for_and_before_the_clock_runs(device: Device) -> None:
    taken = DeviceClock(telemetry(Reading()))
    device.asked.clear()

    sample = taken.sample(lambda: device.do("kernel", 1e-3), flush=True)

    assert (["flush", "spin", "kernel"], pytest.approx(1e-3)) == (device.asked, sample.seconds)


def test_the_device_is_not_held_for_long_where_a_call_waits_for_it(device: Device) -> None:
    """A call that synchronizes takes as long as the device is held, which must not grow with each sample."""
    taken = DeviceClock(telemetry(Reading()))

    def run() -> None:
        device.do("kernel", 1e-3)
        device.synchronize()

    taken.fresh()
    launches = [taken.sample(run, flush=False).launch for _ in range(20)]

    assert max(launches) < 5e-3  # type: ignore[type-var]
    assert launches[-1] < 1.1e-3  # type: ignore[operator]  # it was held in vain, and is held no more


def test_a_call_in_which_the_host_fell_behind_is_marked_and_held_longer_the_next_time(device: Device) -> None:
    taken = DeviceClock(telemetry(Reading()))

    def sample(seconds: float) -> tuple[bool | None, str]:
        def run() -> None:
            device.launch(seconds)
            device.do("kernel", 1e-3)

        found = taken.sample(run, flush=False)
        return found.held, found.disturbed

    first, usual, late, longer = (sample(seconds) for seconds in (1e-3, 1e-3, 1.5e-3, 1.5e-3))

    assert ((False, ""), (True, ""), (False, clock.BEHIND), (True, "")) == (first, usual, late, longer)


def test_a_call_that_never_can_be_held_is_not_marked_for_it(device: Device) -> None:
    """It waits for the device itself, or launches more than the device takes ahead: there is no peace to wait for."""
    taken = DeviceClock(telemetry(Reading()))

    def run() -> None:
        device.do("kernel", 1e-3)
        device.synchronize()

    samples = [taken.sample(run, flush=False) for _ in range(6)]

    assert {(False, "")} == {(sample.held, sample.disturbed) for sample in samples}


def test_a_throttled_device_marks_its_samples(device: Device) -> None:
    taken = DeviceClock(telemetry(Reading(disturbed="throttled: power brake")))
    device.launch(1.0)

    assert "throttled: power brake" == taken.sample(lambda: device.do("kernel", 1e-3), flush=False).disturbed


def test_the_host_s_clock_waits_for_the_outcome() -> None:
    order: list[str] = []
    taken = HostClock(lambda: order.append("wait"), telemetry(Reading()))

    taken.sample(lambda: order.append("run"))

    assert ["wait", "run", "wait"] == order


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("cpu", {}, {}),
        ("cuda", {}, {"CUDA_VISIBLE_DEVICES": "0"}),
        ("cuda", {"CUDA_VISIBLE_DEVICES": "3,1"}, {"CUDA_VISIBLE_DEVICES": "3"}),
        ("rocm", {"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "2"}),
        ("rocm", {}, {"HIP_VISIBLE_DEVICES": "0"}),
    ],
)
def test_a_measuring_process_sees_the_first_of_the_caller_s_gpus(
    platform: str, variables: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert expected == campaign.one_device(platform)
