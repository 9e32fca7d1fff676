"""When warm-up is over, when there are samples enough, and what becomes of those that cannot be believed."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from fixtures import visibility
from fixtures.latency.campaign import one_device, order_of
from fixtures.latency.found import Asked
from fixtures.latency.sampling import Sample, enough, noise, series, settled
from fixtures.latency.telemetry import Latest, Reading, disturbance, summary, telemetry
from matrix.errors import UserError
from matrix.measuring import Measuring, load_measuring
from suites.selftest.samples import check

RULES = Measuring(processes=5, least=5, most=8, fewest=3, seconds=1.0, long=9.0, noise=0.01, warm_up=2.0, flush=0.0, counting=1)


class Machine:
    """Tells samples as they come, and a time that each of them takes."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.samples: Iterator[Sample] = iter(samples)
        self.time = 0.0

    def take(self) -> Sample:
        sample = next(self.samples)
        self.time += sample.seconds
        return sample

    def now(self) -> float:
        return self.time


def steady(seconds: float = 0.1) -> Iterator[Sample]:
    return itertools.repeat(Sample(seconds=seconds))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([1.0] * 5, False),  # too few to compare
        ([1.0] * 6, True),
        ([9.0, 5.0, 3.0, 2.0, 1.0, 1.0], False),
        ([9.0, 1.0, 1.0, 1.0, 1.02, 1.0, 1.0], True),
    ],
)
def test_warm_up_is_over_when_samples_settle(seconds: list[float], expected: bool) -> None:
    assert expected == settled(seconds)


def test_warm_up_has_an_end_where_nothing_settles() -> None:
    machine = Machine(Sample(seconds=0.1 * 1.1**index) for index in itertools.count())

    taken = series(machine.take, RULES, machine.now)

    assert (False, 5) == (taken.settled, len(taken.samples))


def test_a_quiet_series_ends_at_its_least() -> None:
    machine = Machine(steady())

    taken = series(machine.take, RULES, machine.now)

    assert (True, 5) == (taken.settled, len(taken.samples))


def test_a_noisy_series_ends_at_its_cap() -> None:
    noisy = (Sample(seconds=0.01 if index % 2 else 0.02) for index in itertools.count())
    machine = Machine(noisy)

    assert 8 == len(series(machine.take, RULES, machine.now).samples)


def test_time_ends_a_series_too() -> None:
    assert enough([0.1, 0.3, 0.1, 0.3, 0.1], elapsed=1.1, rules=RULES)
    assert not enough([0.1, 0.3, 0.1, 0.3], elapsed=1.1, rules=RULES)


def test_calls_of_seconds_are_few() -> None:
    machine = Machine(steady(5.0))

    taken = series(machine.take, RULES, machine.now)

    assert (2, True, 3) == (taken.warm_ups, taken.settled, len(taken.samples))


def test_a_disturbed_sample_is_put_aside_and_replaced() -> None:
    throttled = Sample(seconds=0.2, disturbed="throttled: power brake")
    machine = Machine(itertools.chain(itertools.repeat(Sample(seconds=0.1), 6), [throttled] * 2, steady()))

    taken = series(machine.take, RULES, machine.now)

    assert ([0.2, 0.2], [0.1] * 5) == ([each.seconds for each in taken.marked], [each.seconds for each in taken.samples])


def test_a_series_that_is_never_in_peace_is_given_up() -> None:
    machine = Machine(itertools.repeat(Sample(seconds=0.1, disturbed="shared with 1 other process")))

    taken = series(machine.take, RULES, machine.now)

    assert ([], True) == (taken.samples, len(taken.marked) > RULES.most)


def test_cycles_are_seconds_times_the_clock() -> None:
    machine = Machine(itertools.repeat(Sample(seconds=0.1, mhz=1980)))

    assert pytest.approx(0.1 * 1980e6) == series(machine.take, RULES, machine.now).cycles


def test_noise_is_a_share_of_the_median() -> None:
    assert pytest.approx(noise([1.0, 1.1, 0.9, 1.0, 1.2])) == noise([10.0, 11.0, 9.0, 10.0, 12.0])


@pytest.mark.parametrize(
    ("throttled", "others", "expected"),
    [
        ([], 0, ""),
        ([], None, ""),
        (["power brake"], 0, "throttled: power brake"),
        ([], 2, "shared with 2 other processes"),
    ],
)
def test_a_device_that_is_throttled_or_shared_is_not_believed(throttled: list[str], others: int | None, expected: str) -> None:
    assert expected == disturbance(throttled, others)


def test_what_the_device_says_of_itself_is_kept_of_every_sample() -> None:
    hot = Reading(mhz=1980, celsius=71, watts=650.0, reasons=("power cap",), others=0)
    cool = Reading(mhz=1200, celsius=60, watts=310.5, others=1)

    assert {"celsius": [60, 71], "watts": [310.5, 650.0], "reasons": ["power cap"], "others": 1} == summary([hot, None, cool])
    assert {} == summary([Reading(), None])


def test_the_cpu_says_that_it_knows_nothing_of_clocks() -> None:
    known = telemetry("cpu")

    assert ("none (the CPU has no device to ask)", 0, "") == (known.source, known.read().mhz, known.read().disturbed)


def test_the_driver_is_asked_again_only_when_its_latest_reading_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = (Reading(mhz=mhz) for mhz in itertools.count(1))
    latest = Latest(SimpleNamespace(source="fake", read=lambda: next(driver)))
    read: list[int] = []
    for moment in (5.0, 5.009, 5.011, 5.02, 5.03):
        monkeypatch.setattr("fixtures.latency.telemetry.time.perf_counter", lambda now=moment: now)
        read.append(latest.read().mhz)

    assert [1, 1, 2, 2, 3] == read


def test_every_process_meets_the_cells_in_another_order_and_keeps_each_together() -> None:
    names = ("eager", "sdpa", "sdpa-math")
    asked = [Asked(check=check("latency", subject, name=name)) for name in names for subject in ("a", "b")]
    orders = [[each.check.cell.configuration.name for each in order_of(asked, number, 5)] for number in range(5)]

    assert len({tuple(order) for order in orders}) > 2
    assert all([*order[::2]] == [*order[1::2]] and {*order} == {*names} for order in orders)


def test_rules_that_ask_for_less_than_the_least_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "measuring.toml"
    keys = ("milliseconds", "long_milliseconds", "noise_per_mille", "warm_up_milliseconds", "flush_microseconds", "counting")
    rest = "".join(f"{key} = 1\n" for key in keys)
    path.write_text(f"version = 1\n[measuring.cpu]\nprocesses = 5\nleast = 9\nmost = 8\nfewest = 3\n{rest}")

    with pytest.raises(UserError, match=r"measuring.toml: measuring.cpu.most is 8, at least 9 \(least\) is accepted"):
        load_measuring("cpu", path)


@pytest.mark.parametrize(
    ("environment", "first", "alone"),
    [
        ({}, "0", {"HIP_VISIBLE_DEVICES": "0"}),
        ({"HIP_VISIBLE_DEVICES": "2,3"}, "2", {"HIP_VISIBLE_DEVICES": "2"}),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "1", {"CUDA_VISIBLE_DEVICES": "1"}),
        ({"ROCR_VISIBLE_DEVICES": "4,5", "HIP_VISIBLE_DEVICES": "1"}, "5", {"HIP_VISIBLE_DEVICES": "1"}),
        ({"ROCR_VISIBLE_DEVICES": "6"}, "6", {"HIP_VISIBLE_DEVICES": "0"}),
    ],
)
def test_the_device_that_is_measured_is_the_one_whose_clock_is_read(
    environment: dict[str, str], first: str, alone: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert (first, alone) == (visibility.first("rocm"), one_device("rocm"))


def test_a_device_that_cannot_be_looked_up_is_not_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "GPU-1f")
    monkeypatch.setitem(sys.modules, "amdsmi", SimpleNamespace(amdsmi_init=lambda: None))

    assert "the visible GPU is named GPU-1f" in telemetry("rocm").source
