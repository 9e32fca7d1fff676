"""What is told of recorded latency: how well changes are found, and how much faster than eager attention a configuration is."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.latency.folders import Written, write
from matrix.errors import UserError
from reports.record import Record
from reports.render import speedup, trials
from reports.render.speedup import shape
from reports.store import read_run
from suites.selftest.samples import facts
from suites.selftest.test_latency_rule import entry, record, scaled

DRAWS = random.Random(3)


def quiet(factor: float) -> Record:
    """Processes 0.2 % apart."""
    medians: list[float | None] = [0.01 * factor * DRAWS.lognormvariate(0, 0.002) for _ in range(5)]
    return record({"prefill": entry(medians)})


def written(folder: Path, *records: Record, inject: tuple[str, ...] = ()) -> Path:
    said = Written(name=folder.name, facts=facts("cuda"), tier="full", cells="*", started=1.0, inject=inject)
    write(folder, said, records)
    return folder


KINDS = {"same": 1.0, "slower-3": 1.03, "slower-10": 1.1}


def tried(folder: Path, runs: int) -> Path:
    """As trials are recorded: every second run is slowed down too."""
    for number in range(1, runs + 1):
        for kind in KINDS if number % 2 == 0 else ("same",):
            inject = () if kind == "same" else (kind,)
            written(folder / f"{kind}-{number:02d}", quiet(KINDS[kind]), inject=inject)
    return folder


def test_trials_count_false_alarms_and_what_was_found(tmp_path: Path) -> None:
    told = trials.table([tried(tmp_path, 5)])

    cells = next(line.split(" | ") for line in told.splitlines() if "latency[" in line)
    assert ["0 of 2", "0", "2 of 2", "0", "2 of 2", "0"] == [*cells[2:6], *cells[7:9]]
    assert (0.03, 0.1) == tuple(round(float(cells[at].rstrip("%")) / 100, 2) for at in (6, 9))
    assert "The same: 0 of 2 (0.0%) judged changed. 3 % slower, above 1 ms: 2 of 2 (100.0%) found." in told
    assert told.rstrip().endswith("GPU")


def test_a_slowdown_that_was_really_a_larger_one_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "slower-3", 1.08)
    told = trials.table([tried(tmp_path, 5)])

    assert "3 % slower, above 1 ms: none of none found." in told
    assert "Left out, because the slowdown was really another one: " in told


def test_a_slowdown_that_shows_in_counts_alone_is_not_found_by_time(tmp_path: Path) -> None:
    """What slows down is a kernel that is launched, and launches are counted exactly."""
    for kind in KINDS:
        for number in range(1, 3 if kind == "same" else 2):
            counted = quiet(1.0)
            counted.evidence["latency"]["counters"] = {"launches": 8 + (kind != "same")}  # type: ignore[index]
            written(tmp_path / f"{kind}-{number:02d}", counted)

    cells = next(line.split(" | ") for line in trials.table([tmp_path]).splitlines() if "latency[" in line)
    assert ["0 of 1", "0 of 1", "0 of 1"] == [cells[2], cells[4], cells[7]]


def test_trials_of_several_gpus_are_judged_together(tmp_path: Path) -> None:
    told = trials.table([tried(tmp_path / "gpu0", 4), tried(tmp_path / "gpu1", 2)])

    assert "3 pairs of runs. The same: 0 of 3 (0.0%) judged changed." in told


def test_trials_need_a_run_that_is_slowed_down_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pair of runs"):
        trials.table([tried(tmp_path, 1)])


def test_the_runs_of_a_campaign_are_runs_as_any_other(tmp_path: Path) -> None:
    run = read_run(written(tmp_path / "a", quiet(1.0)))

    assert (True, (), 1) == (run.header.complete, run.damage, len(run.records))


def test_speed_up_is_told_against_eager_attention_with_its_interval(tmp_path: Path) -> None:
    fast = record({"prefill": entry(scaled(0.5), tokens_per_second=1600.0)}, check="prefill-4x512")
    slow = replace(record({"prefill": entry(scaled(1.0))}, check="prefill-4x512"), id="eager", configuration="eager")

    told = speedup.table(read_run(written(tmp_path / "a", slow, fast)))

    assert "| llama-1b | prefill-4x512 | sdpa | 5.000 ms | - | 1,600 | 2.00 | 2.00 to 2.00 | time | 5 | - | - | - | - |" in told
    assert "GPU, " in told


def test_launches_and_waits_for_each_token_are_told(tmp_path: Path) -> None:
    counted = record({"prefill": entry(scaled(1.0))}, check="decode-4x512")
    counted.evidence["latency"]["per_token"] = {"launches": 12.5, "synchronizations": 0.25}  # type: ignore[index]

    assert "| - | 5 | 12.5 | 0.25 | - | - |" in speedup.table(read_run(written(tmp_path / "a", counted)))


@pytest.mark.parametrize(
    ("held", "kernels", "expected"),
    [(0, None, ("waited", 1.5)), (0, 4.0, ("kernels", 4.0)), (9, 4.0, ("time", 0.5))],
    ids=["the host's wait", "kernels where they were traced", "the device's where it was held"],
)
def test_speed_up_is_of_a_time_without_gaps(
    held: int, kernels: float | None, expected: tuple[str, float], tmp_path: Path
) -> None:
    def told(factor: float, held: int, waited: float, traced: float) -> Record:
        each = entry(scaled(factor))
        for process in each["processes"]:
            process |= {"held": held, "waited": [waited, waited, 9.0]}
        figures = {"prefill": each} | ({"prefill_kernels": entry(scaled(traced), "kernel")} if kernels else {})
        return record(figures, check="padded-4x128")

    slow = replace(told(0.5, 9, 0.03, kernels or 0.0), id="eager", configuration="eager")
    point = speedup.points(read_run(written(tmp_path / "a", slow, told(1.0, held, 0.02, 1.0))))[1]

    assert (expected[0], pytest.approx(expected[1])) == (point.of, point.speedup)


def test_speed_up_is_drawn_and_a_run_without_any_is_told(tmp_path: Path) -> None:
    fast, slow = (record({"prefill": entry(scaled(factor))}, check="prefill-4x512") for factor in (0.5, 1.0))
    eager = replace(slow, id="eager", configuration="eager")
    written(tmp_path / "both", eager, fast)
    written(tmp_path / "one", fast)

    drawn = speedup.draw(read_run(tmp_path / "both"), tmp_path / "plots")

    assert [("speedup-llama-1b-prefill.png", b"PNG")] == [(path.name, path.read_bytes()[1:4]) for path in drawn]
    with pytest.raises(UserError, match="holds no latency beside eager attention's"):
        speedup.draw(read_run(tmp_path / "one"), tmp_path / "plots")


@pytest.mark.parametrize(
    ("subject", "expected"), [("prefill-4x512", (4, 512)), ("padded-4x512-7b", (4, 512)), ("load-warm", (0, 0))]
)
def test_rows_and_tokens_are_in_the_name_of_a_workload(subject: str, expected: tuple[int, int]) -> None:
    assert expected == shape(subject)
