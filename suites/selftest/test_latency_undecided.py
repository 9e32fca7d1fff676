"""What two runs cannot decide: on another host or GPU, by a wide limit, and where nothing was measured in peace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.compare import compare
from reports.record import Outcome
from reports.run import Run
from reports.verdict import Kind
from suites.selftest.test_latency_rule import THRESHOLDS, entry, judged, record, run, scaled


@pytest.mark.parametrize(
    ("clock", "cores", "expected"),
    [
        ("host", 64, (Kind.REGRESSED, "latency")), ("host", 32, (Kind.INCONCLUSIVE, "other_host")),
        ("processor", 32, (Kind.INCONCLUSIVE, "other_host")),
        ("launch", 32, (Kind.INCONCLUSIVE, "other_host")), ("device", 32, (Kind.REGRESSED, "latency")),
        ("kernel", 32, (Kind.REGRESSED, "latency")),
    ],
)  # fmt: skip
def test_on_other_processors_the_time_of_the_host_decides_nothing(clock: str, cores: int, expected: tuple[Kind, str]) -> None:
    runs = [replace(run(record({"prefill": entry(scaled(factor), clock)})), environment={"host": {"cores": count}})
            for factor, count in ((1.0, 64), (4.0, cores))]  # fmt: skip
    worst = min(compare(*runs, THRESHOLDS).verdicts, key=lambda each: each.check != "latency")

    assert expected == (worst.kind, worst.reason)


@pytest.mark.parametrize(
    ("clock", "factor", "gpus", "expected"),
    [
        ("kernel", 1.02, "ab", (Kind.INCONCLUSIVE, "other_gpu")), ("device", 0.98, "ab", (Kind.INCONCLUSIVE, "other_gpu")),
        ("kernel", 1.05, "ab", (Kind.REGRESSED, "latency")), ("kernel", 1.02, "aa", (Kind.REGRESSED, "latency")),
        ("kernel", 1.02, "  ", (Kind.REGRESSED, "latency")), ("kernel", 1.0, "ab", (None, "")),
        ("kernel", 1.02, " b", (Kind.INCONCLUSIVE, "other_gpu")), ("kernel", 1.02, "a ", (Kind.INCONCLUSIVE, "other_gpu")),
    ],
)  # fmt: skip
def test_two_gpus_of_one_kind_differ_and_what_that_explains_is_no_change(
    clock: str, factor: float, gpus: str, expected: tuple[Kind | None, str]
) -> None:
    before, after = (record({"prefill": entry(scaled(each), clock)}, gpus=gpu.split())
                     for each, gpu in zip((1.0, factor), gpus, strict=True))  # fmt: skip
    found = judged(before, after)

    assert expected == ((found[0].kind, found[0].reason) if found else (None, ""))
    assert ("a -> b" in "".join(each.message for each in found)) == (gpus == "ab" and expected[0] is not None)


@pytest.mark.parametrize(("gpus", "expected"), [("ab", ["a -> b"]), (" b", ["unknown -> b"]), ("aa", []), ("  ", [])])
def test_a_reader_is_told_that_the_gpu_is_another_one_and_what_that_can_hide(gpus: str, expected: list[str]) -> None:
    runs = [run(record({"prefill": entry(scaled(1.0), "kernel")}, gpus=gpu.split())) for gpu in gpus]
    notes = [note for note in compare(*runs, THRESHOLDS).notes if "another GPU" in note]

    assert len(expected) == len(notes)
    assert all(f"({each}), and two of one kind differ by up to 3%" in note for each, note in zip(expected, notes, strict=True))
    assert all("may have changed by 3% more than its limit" in note for note in notes)


@pytest.mark.parametrize(
    ("clock", "cores", "factor", "expected", "notes"),
    [
        ("kernel", 32, 1.02, "other_gpu", 1), ("device", 32, 1.02, "other_gpu", 1), ("kernel", 32, 1.05, "latency", 1),
        ("kernel", 64, 1.02, "latency", 0), ("processor", 32, 4.0, "other_host", 0),
    ],
)  # fmt: skip
def test_unknown_gpus_of_two_hosts_are_two(clock: str, cores: int, factor: float, expected: str, notes: int) -> None:
    runs = [replace(run(record({"prefill": entry(scaled(each), clock)})), environment={"host": {"cores": count}})
            for each, count in ((1.0, 64), (factor, cores))]  # fmt: skip
    found = compare(*runs, THRESHOLDS)
    worst = min(found.verdicts, key=lambda each: each.check != "latency")

    assert (expected, notes) == (worst.reason, sum("another GPU (unknown -> unknown)" in note for note in found.notes))


def launches(*factors: float, cores: int = 64) -> Run:
    """A check for each factor, whose launches take so many times as long."""
    records = [record({"prefill_launch": entry(scaled(each), "launch")}, check=f"c{at}") for at, each in enumerate(factors)]
    return replace(run(), records={each.id: each for each in records}, environment={"host": {"cores": cores}})


@pytest.mark.parametrize(
    ("factors", "cores", "expected"),
    [
        ((1.57, 1.2, 1 / 1.8), 64, "sdpa/llama-1b/bf16/cuda::latency[c0]: prefill launch (launch time) 57.0% slower [+56.5%, "
         "+57.5%], from 10.000 ms to 15.700 ms and 2 more: their limit finds 3 times, launch"),
        ((1.0, 1 / 1.8), 64, "sdpa/llama-1b/bf16/cuda::latency[c1]: prefill launch (launch time) 44.4% faster [-44.6%, "
         "-44.3%], from 10.000 ms to 5.556 ms: its limit finds 3 times, launch"),
        ((1.57,), 32, "its limit finds 3 times, launch; the processors are others: cores 64 -> 32"),
        ((1.1, 1.0), 64, ""), ((4.0,), 64, ""),
    ],
)  # fmt: skip
def test_what_a_wide_limit_leaves_unchanged_is_told(factors: tuple[float, ...], cores: int, expected: str) -> None:
    found = compare(launches(*[1.0] * len(factors)), launches(*factors, cores=cores), THRESHOLDS)
    told = [note for note in found.notes if note.startswith("unchanged by a wide limit, and yet more than 10% apart: ")]

    assert bool(expected) == bool(told)
    assert all(note.endswith(expected) for note in told)
    assert {Kind.REGRESSED if 4.0 in factors else Kind.UNCHANGED} == {each.kind for each in found.verdicts}


@pytest.mark.parametrize(
    ("was", "now", "kind"),
    [
        ("passed", "disturbed", Kind.INCONCLUSIVE), ("disturbed", "passed", Kind.INCONCLUSIVE),
        ("disturbed", "disturbed", Kind.INCONCLUSIVE), ("passed", "not-measured", Kind.NEWLY_FAILING),
        ("disturbed", "not-measured", Kind.NEWLY_FAILING), ("not-measured", "disturbed", Kind.INCONCLUSIVE),
        ("", "disturbed", Kind.INCONCLUSIVE), ("", "not-measured", Kind.NEWLY_FAILING),
    ],
)  # fmt: skip
def test_what_could_not_be_measured_in_peace_decides_nothing(was: str, now: str, kind: Kind) -> None:
    def of(reason: str) -> Run:
        if not reason:
            return run()
        outcome = Outcome.PASSED if reason == "passed" else Outcome.FAILED
        held = replace(record({"prefill": entry(scaled(1.0))}), outcome=outcome)
        return run(held if reason == "passed" else replace(held, reason=reason, message="throttled: power brake"))

    found = next(each for each in compare(of(was), of(now), THRESHOLDS).verdicts if each.check == "latency")
    assert (kind, True) == (found.kind, "throttled: power brake" in found.message)
