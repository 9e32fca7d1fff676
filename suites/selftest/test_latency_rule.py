"""What two runs' latency is judged to be, and how often rightly: a simulation of the whole rule."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports import latency
from reports.compare import compare
from reports.ratio import adjusted, ratio
from reports.record import Outcome, Record
from reports.run import Header, Run
from reports.thresholds import load_thresholds
from reports.verdict import Finding, Kind

THRESHOLDS = load_thresholds()
LEAD = [1.000, 1.001, 0.999, 1.002, 0.998]  # medians of five processes of a quiet device, in some unit


def entry(medians: list[float | None], clock: str = "device", mhz: int = 1980, **changes: Any) -> dict[str, Any]:
    processes = [
        {"median": median, "cycles": median and median * mhz * 1e6, "samples": [median] if median else [], "marked": []}
        for median in medians
    ]
    return {"clock": clock, "tokens": 8, "units": 1, "processes": processes} | changes


def record(figures: dict[str, Any], platform: str = "cuda", check: str = "prefill", **changes: Any) -> Record:
    evidence = {"figures": figures, "counters": {}, "sites": {}, "code": "1"} | changes
    id = f"sdpa/llama-1b/bf16/{platform}::latency[{check}]"
    return Record(
        id=id, configuration="sdpa", model="llama-1b", dtype="bf16", platform=platform, check="latency", subject=check,
        outcome=Outcome.PASSED, evidence={"latency": evidence}, definition="d",
    )  # fmt: skip


def scaled(factor: float, unit: float = 0.01) -> list[float | None]:
    return [factor * unit * each for each in LEAD]


def judged(before: Record, after: Record) -> tuple[Finding, ...]:
    return latency.findings({before.id: before}, {after.id: after}, THRESHOLDS.latency)[0].get(before.id, ())


def verdict(before: Record, after: Record) -> tuple[Kind | None, str]:
    found = judged(before, after)
    return (found[0].kind, found[0].reason) if found else (None, "")


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1.000, (None, "")),
        (1.004, (None, "")),
        (1.030, (Kind.REGRESSED, "latency")),
        (1.100, (Kind.REGRESSED, "latency")),
        (0.950, (Kind.IMPROVED, "latency")),
    ],
)
def test_a_change_of_device_time_is_judged_by_its_size(factor: float, expected: tuple[Kind | None, str]) -> None:
    before, after = record({"prefill": entry(scaled(1.0))}), record({"prefill": entry(scaled(factor))})

    assert expected == verdict(before, after)


def test_a_device_that_was_not_held_waits_for_the_host_and_has_its_limit() -> None:
    """What the device does is told by its kernels."""

    def of(factor: float, kernels: float, *, held: int = 0) -> Record:
        span, alone = entry(scaled(factor)), entry(scaled(kernels), "kernel")
        for process in span["processes"]:
            process["held"] = held
        return record({"prefill": span, "prefill_kernels": alone})

    assert (None, "") == verdict(of(1.0, 1.0), of(1.05, 1.0))
    assert (Kind.REGRESSED, "latency") == verdict(of(1.0, 1.0, held=1), of(1.05, 1.0, held=1))
    assert (None, "") == verdict(of(1.0, 1.0, held=1), of(1.05, 1.0)), "of two runs, one"
    finding = judged(of(1.0, 1.0), of(1.0, 1.03))[0]
    assert (Kind.REGRESSED, True) == (finding.kind, finding.message.startswith("prefill kernels (kernel time) 3.0% slower"))


def test_a_short_workload_has_a_wider_limit() -> None:
    before = record({"prefill": entry(scaled(1.0, 1e-4))})

    assert (None, "") == verdict(before, record({"prefill": entry(scaled(1.03, 1e-4))}))
    assert (Kind.REGRESSED, "latency") == verdict(before, record({"prefill": entry(scaled(1.1, 1e-4))}))


def test_the_cpu_has_the_widest_limit() -> None:
    before = record({"prefill": entry(scaled(1.0), "host")}, "cpu")

    assert (None, "") == verdict(before, record({"prefill": entry(scaled(1.15), "host")}, "cpu"))
    assert (Kind.REGRESSED, "latency") == verdict(before, record({"prefill": entry(scaled(1.4), "host")}, "cpu"))


def test_a_gap_that_does_not_show_in_clock_cycles_is_of_the_clock() -> None:
    before, after = record({"prefill": entry(scaled(1.0))}), record({"prefill": entry(scaled(1.1), mhz=1800)})

    assert (Kind.INCONCLUSIVE, "clock") == verdict(before, after)


def test_with_too_few_processes_nothing_is_decided() -> None:
    before, after = record({"prefill": entry(scaled(1.0))}), record({"prefill": entry(scaled(1.5)[:4])})

    assert (Kind.INCONCLUSIVE, "too_few") == verdict(before, after)


def test_processes_that_were_disturbed_are_not_compared_and_their_reason_is_said() -> None:
    slow = entry([*scaled(1.0)[:4], None])
    slow["processes"][4]["marked"] = [[0.02, "throttled: power brake"]]

    finding = judged(record({"prefill": entry(scaled(1.0))}), record({"prefill": slow}))[0]

    assert (Kind.INCONCLUSIVE, "disturbed") == (finding.kind, finding.reason)
    assert "throttled: power brake" in finding.message


def test_noise_says_how_many_processes_would_tell() -> None:
    """More, the noisier they are."""
    said = []
    for spread in (0.5, 1.0):
        noisy: list[float | None] = [0.010 + spread * each for each in (0.0, 0.001, -0.001, 0.0005, -0.0005)]
        finding = judged(record({"prefill": entry(noisy)}), record({"prefill": entry(noisy)}))[0]
        assert (Kind.INCONCLUSIVE, "noisy") == (finding.kind, finding.reason)
        said.append(int(finding.message.removesuffix(" a side would").rpartition(" ")[2]))

    assert 5 < said[0] < said[1] / 3


def test_another_code_of_the_workload_is_not_comparable() -> None:
    before, after = record({"prefill": entry(scaled(1.0))}), record({"prefill": entry(scaled(2.0))}, code="2")

    assert (Kind.NOT_COMPARABLE, "workload_code") == verdict(before, after)


def test_a_figure_that_is_no_longer_measured_is_missing() -> None:
    before = record({"prefill": entry(scaled(1.0)), "prefill_launch": entry(scaled(1.0), "launch")})

    assert (Kind.MISSING, "figure_missing") == verdict(before, record({"prefill": entry(scaled(1.0))}))
    assert (Kind.MISSING, "latency_missing") == verdict(before, replace(before, evidence={}))


def test_a_baseline_that_cannot_be_read_is_not_unchanged() -> None:
    """Nor is what it did not measure."""
    whole = record({"prefill": entry(scaled(1.0)), "prefill_kernels": entry(scaled(1.0), "kernel")})
    spoilt = replace(whole, evidence={"latency": {"figures": {"prefill": {"clock": "device"}}}})

    assert (Kind.INCONCLUSIVE, "latency_unknown_before") == verdict(spoilt, whole)
    assert (Kind.INCONCLUSIVE, "latency_unknown_before") == verdict(replace(whole, evidence={}), whole)
    assert (Kind.INCONCLUSIVE, "figure_unknown_before") == verdict(record({"prefill": entry(scaled(1.0))}), whole)


def test_what_the_host_waited_for_is_missing_where_it_is_no_longer_measured() -> None:
    waited = entry(scaled(1.0))
    for process in waited["processes"]:
        process["waited"] = [0.02]

    assert (Kind.MISSING, "waited_missing") == verdict(record({"prefill": waited}), record({"prefill": entry(scaled(1.0))}))


def test_one_process_without_a_clock_does_not_take_the_clock_from_the_others() -> None:
    before, after = entry(scaled(1.0)), entry(scaled(1.1), mhz=1800)
    after["processes"][0]["cycles"] = None

    assert (Kind.INCONCLUSIVE, "clock") == verdict(record({"prefill": before}), record({"prefill": after}))
    for process in after["processes"]:
        process["cycles"] = None
    finding = judged(record({"prefill": before}), record({"prefill": after}))[0]
    assert (Kind.REGRESSED, True) == (finding.kind, finding.message.endswith("the device's clock is not known"))


def test_one_process_of_five_that_was_not_held_does_not_widen_the_limit() -> None:
    def of(factor: float, *unheld: int) -> Record:
        told = entry(scaled(factor))
        for index, process in enumerate(told["processes"]):
            process |= {"samples": [0.01] * 6, "held": 0 if index in unheld else 6}
        return record({"prefill": told})

    assert (Kind.REGRESSED, "latency") == verdict(of(1.0), of(1.05, 4))
    assert (None, "") == verdict(of(1.0), of(1.05, 0, 1, 2))


def test_time_in_which_the_device_waits_is_told_to_be_the_host_s() -> None:
    """Where kernels take less than half of it, cycles are those of the waiting, and bear nothing out."""

    def of(factor: float, mhz: int = 1980, kernels: float = 0.1) -> Record:
        told = entry(scaled(factor), mhz=mhz)
        for process in told["processes"]:
            process |= {"samples": [0.01] * 6, "held": 0}
        return record({"prefill": told, "prefill_kernels": entry(scaled(kernels), "kernel", mhz)})

    (finding,) = judged(of(1.0), of(3.0))
    lowered = judged(of(1.0, kernels=0.9), of(3.0, mhz=660, kernels=2.7))

    assert [(Kind.INCONCLUSIVE, "clock")] * 2 == [(each.kind, each.reason) for each in lowered]

    assert (Kind.REGRESSED, "latency") == (finding.kind, finding.reason)
    assert finding.message.endswith("; the device waited for the host in it, so that this is the host's time as well")
    assert "cycles" not in finding.message


def test_of_many_figures_that_chance_sets_apart_none_is_a_change() -> None:
    """One in a hundred lies apart as far as this by chance: alone it counts, among a hundred it does not."""
    apart = [1.0, 1.003, 1.006, 1.009, 1.012], [1.02, 1.03, 1.04, 1.05, 1.06]
    before, after = ({"odd": replace(record({"prefill": entry([0.01 * each for each in side])}), id="odd")} for side in apart)
    many = {f"even-{index}": replace(record({"prefill": entry(scaled(1.0))}), id=f"even-{index}") for index in range(400)}

    assert [Kind.REGRESSED] == [each.kind for each in latency.findings(before, after, THRESHOLDS.latency)[0]["odd"]]
    assert [Kind.INCONCLUSIVE] == [
        each.kind for each in latency.findings(before | many, after | many, THRESHOLDS.latency)[0]["odd"]
    ]


def test_a_median_that_is_no_time_cannot_be_read() -> None:
    before = record({"prefill": entry([0.0, *scaled(1.0)[1:]])})

    assert (Kind.INCONCLUSIVE, "latency_unknown_before") == verdict(before, record({"prefill": entry(scaled(1.0))}))


def test_samples_that_had_not_settled_decide_nothing() -> None:
    def of(factor: float, *unsettled: int) -> Record:
        told = entry(scaled(factor))
        for index, process in enumerate(told["processes"]):
            process["settled"] = index not in unsettled
        return record({"prefill": told})

    assert (Kind.REGRESSED, "latency") == verdict(of(1.0), of(1.05, 0))
    assert (Kind.INCONCLUSIVE, "unsettled") == verdict(of(1.0), of(1.05, 0, 1, 2))


def test_what_is_loaded_has_a_limit_of_its_own_and_so_has_the_first_token() -> None:
    def of(name: str, factor: float) -> Record:
        return record({name: entry(scaled(factor), "host")})

    assert (None, "") == verdict(of("load", 1.0), of("load", 1.2))
    assert (Kind.REGRESSED, "latency") == verdict(of("load", 1.0), of("load", 1.3))
    assert (Kind.REGRESSED, "latency") == verdict(of("time_to_first_token", 1.0), of("time_to_first_token", 1.2))


def test_a_missing_benchmark_and_a_regression_make_a_comparison_worse() -> None:
    before = record({"prefill": entry(scaled(1.0))})
    gone = compare(run(before), run(), THRESHOLDS)
    slow = compare(run(before), run(record({"prefill": entry(scaled(1.1))})), THRESHOLDS)

    assert [(True, Kind.MISSING), (True, Kind.REGRESSED)] == [(each.worse, each.verdicts[0].kind) for each in (gone, slow)]


def run(*records: Record) -> Run:
    kept = {each.id: each for each in records} | {"other": replace(record({}), id="other", check="builds")}
    header = Header(id="r", started=0.0, platform="cuda", complete=True, finished=1.0)
    return Run(folder=Path("r"), header=header, records=kept)


@pytest.mark.parametrize(
    ("after", "way", "time"),
    [
        ([10.0, 10.0, 10.0, 10.0, 10.0], "as fast", "10.000 ms"),
        ([10.0, 10.0, 10.0, 10.0, 10.1], "0.2% slower", "10.020 ms"),
        ([9.9, 9.9, 9.9, 9.9, 9.9], "1.0% faster", "9.900 ms"),
    ],
)
def test_a_sentence_names_the_times_that_its_percents_are_of(after: list[float], way: str, time: str) -> None:
    """Their geometric means: the median of the five before is 9 ms."""
    before = record({"prefill": entry([each * 1e-3 for each in (9.0, 9.0, 9.0, 9.0, 1e5 / 9**4)])})
    (finding,) = judged(before, record({"prefill": entry([each * 1e-3 for each in after])}))

    assert finding.message.startswith(f"prefill (device time) {way} [")
    assert f"], from 10.000 ms to {time}: a change of 3% (device)" in finding.message


def test_false_discoveries_are_controlled_over_the_matrix() -> None:
    """A gap that would count alone does not where there are many others without one."""
    assert [0.02, 0.02] == adjusted([0.01, 0.02])
    assert adjusted([0.005, *[0.5] * 99])[0] > 0.01


def test_what_the_host_waited_for_is_judged_beside_device_time() -> None:
    """By the limit of launches: both are pure time of the host's interpreter."""

    def of(factor: float) -> Record:
        device = entry(scaled(1.0))
        for process, each in zip(device["processes"], LEAD, strict=True):
            process["waited"] = [0.02 * factor * each]
        return record({"prefill": device})

    assert (None, "") == verdict(of(1.0), of(1.5))
    finding = judged(of(1.0), of(2.5))[0]
    assert (Kind.REGRESSED, True) == (
        finding.kind,
        finding.message.startswith("prefill (what the host waited for) 150.0% slower"),
    )


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    draws = random.Random(1)
    sides = [[[draws.gauss(1, 0.01) for _ in range(5)] for _ in range(2)] for _ in range(400)]
    covered = sum(gap.low <= 1.0 <= gap.high for gap in (ratio(*each, confidence=0.9) for each in sides))

    assert 0.85 < covered / 400 < 0.95


@pytest.mark.parametrize(
    ("slower", "least", "most"), [(1.0, 0.0, 0.01), (1.03, 0.95, 1.0), (1.1, 0.99, 1.0)], ids=["same", "3 %", "10 %"]
)
def test_the_whole_rule_in_a_simulation(slower: float, least: float, most: float) -> None:
    """Processes 0.4 % apart: false alarms in at most 1 %, 3 % found in at least 95 %; 20 matrices of 20 checks."""
    draws, found, checks = random.Random(7), 0, 20

    def side(factor: float) -> dict[str, Record]:
        made = [
            record({"prefill": entry([0.01 * factor * draws.lognormvariate(0, 0.004) for _ in range(5)])}, check=str(number))
            for number in range(checks)
        ]
        return {each.id: each for each in made}

    for _ in range(20):
        findings, _ = latency.findings(side(1.0), side(slower), THRESHOLDS.latency)
        found += sum(each[0].kind in (Kind.REGRESSED, Kind.IMPROVED) for each in findings.values())

    assert least <= found / (20 * checks) <= most
