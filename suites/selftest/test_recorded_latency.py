"""What README says of latency on GPUs is what the recorded runs say."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Mapping
from dataclasses import replace

import pytest

from reports import timing
from reports.compare import compare
from reports.latency_thresholds import FIGURES
from reports.run import Run
from reports.store import read_run
from reports.summary import judge
from reports.thresholds import load_thresholds
from reports.verdict import Kind
from suites.selftest.test_recorded_runs import README, RECORDED, unpacked

THRESHOLDS = load_thresholds()
SAID = " ".join(README)
SHARED = ("second", "third", "beside-llama-7b", "full")  # hosts on which a process could be slow for seconds


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """One full tier on H200s of several hosts."""
    folder = unpacked("h200-latency-runs", tmp_path_factory.mktemp("recorded"))
    found = {path.name: read_run(path) for path in folder.iterdir()}
    return found | {"full": read_run(RECORDED / "h200-latency-full")}


def apart(run: Run, clock: str) -> list[float]:
    """How far the medians of processes lie apart, of each figure that this clock told."""
    figures = [figure for record in run.records.values() if (told := timing.of(record)) for figure in told.figures.values()]
    return [max(each.medians) / min(each.medians) - 1 for each in figures if each.clock == clock]


def longer(run: Run, times: float) -> Run:
    """The run with all that a user waits for so many times as long."""
    records = {}
    for id, record in run.records.items():
        evidence = copy.deepcopy(dict(record.evidence))
        for name, figure in evidence.get("latency", {}).get("figures", {}).items():
            for process in figure["processes"] if name in FIGURES and figure["clock"] == "host" else ():
                process["median"] *= times
        records[id] = replace(record, evidence=evidence)
    return replace(run, records=records)


def count(before: Run, after: Run, kind: Kind) -> int:
    return sum(each.kind is kind for each in compare(before, after, THRESHOLDS).verdicts)


def test_every_run_of_the_full_tier_was_good(runs: Mapping[str, Run]) -> None:
    assert dict.fromkeys(("first", *SHARED), True) == {name: judge(run).good and run.whole for name, run in runs.items()}


def test_the_time_of_kernels_repeats_where_that_of_the_device_does_not(runs: Mapping[str, Run]) -> None:
    kernels, device = apart(runs["full"], "kernel"), apart(runs["full"], "device")

    assert (f"medians of device time of five processes lay up to {max(device):.0%} apart on an H200, those of kernels lay at "
            f"most {max(kernels):.1%} apart, and less than 1 % for {sum(each < 0.01 for each in kernels)} of {len(kernels)}."
            ).replace("%", " %").replace("  ", " ") in SAID  # fmt: skip


def test_gpus_of_one_kind_differ_by_less_than_what_decides_nothing_on_another_one(runs: Mapping[str, Run]) -> None:
    medians: dict[tuple[str, str], list[float]] = {}
    for run in runs.values():
        for record in run.records.values():
            for name, figure in told.figures.items() if (told := timing.of(record)) else ():
                if figure.clock == "kernel":
                    medians.setdefault((record.id, name), []).append(statistics.median(figure.medians))
    most = max(max(each) / min(each) - 1 for each in medians.values())

    assert f"medians of the time of kernels lay up to {most:.1%} apart.".replace("%", " %") in SAID
    assert 1 + most < THRESHOLDS.latency.other_gpu


def test_gpus_of_two_hosts_that_nobody_named_are_not_told_apart_from_a_change(runs: Mapping[str, Run]) -> None:
    found = compare(runs["second"], runs["third"], THRESHOLDS)

    assert not found.worse
    assert any("on another GPU (unknown -> unknown)" in note for note in found.notes)


def test_readme_says_from_which_factor_on_launch_time_is_found() -> None:
    limits = THRESHOLDS.latency.limits

    assert f"Launch time, and what the host waited for a call, is found from {limits['launch'].found:g} times on" in SAID
    assert f"more than {limits['host'].ratio - 1:.0%} apart".replace("%", " %") in SAID


@pytest.mark.parametrize(("times", "first", "shared"), [(1.3, 6, None), (2.0, 7, (3, 5)), (3.0, 7, (7, 7))])
def test_what_a_user_waits_for_is_told_as_well_as_readme_says(
    times: float, first: int, shared: tuple[int, int] | None, runs: Mapping[str, Run]
) -> None:
    found = {name: count(run, longer(run, times), Kind.REGRESSED) for name, run in runs.items()}
    others = sorted(found[name] for name in SHARED)

    assert first == found["first"]
    assert shared in (None, (others[0], others[-1]))


def test_what_a_machine_leaves_undecided_is_as_much_as_readme_says(runs: Mapping[str, Run]) -> None:
    undecided = {name: count(run, run, Kind.INCONCLUSIVE) for name, run in runs.items()}
    others = sorted(undecided[name] for name in SHARED)
    host = {name: (max(each), statistics.median(each)) for name, run in runs.items() if (each := apart(run, "host"))}
    most, middle = ([f"{host[name][index]:.0%}".rstrip("%") for name in SHARED] for index in (0, 1))

    assert f"lay up to {host['first'][0]:.0%} apart, {host['first'][1]:.0%} in the middle".replace("%", " %") in SAID
    assert f"and {undecided['first']} of the 43 checks" in SAID
    assert f"lay {min(most, key=int)} to {max(most, key=int)} % apart, {min(middle)} to {max(middle)} % in the middle" in SAID
    assert f"and {others[0]} to {others[-1]} of the 43 are inconclusive" in SAID
