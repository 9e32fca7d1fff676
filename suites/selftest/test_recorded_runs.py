"""What README says was measured on a GPU is what the recorded runs say."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.availability import ROOT
from reports.render import placement, speedup, trials
from reports.store import read_run
from reports.summary import judge

RECORDED = ROOT / "reports" / "recorded"
README = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
RUNS = sorted(path.name for path in RECORDED.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_run_is_whole_and_good(name: str) -> None:
    run = read_run(RECORDED / name)

    assert ((), True, True) == (run.damage, run.whole, judge(run).good)


def lines(*begin: str) -> set[str]:
    return {line for line in README if line.startswith(begin)}


@pytest.mark.parametrize(
    ("names", "begin", "table"),
    [
        (("h200-headline-llama-7b", "h200-headline-falcon-7b"), ("| llama-7b |", "| falcon-7b |"), speedup.table),
        (("h200-placement",), ("| max-memory-", "| device-map-"), placement.table),
    ],
)
def test_the_lines_of_a_table_are_those_of_its_runs(
    names: tuple[str, ...], begin: tuple[str, ...], table: Callable[..., str]
) -> None:
    told = {line for name in names for line in table(read_run(RECORDED / name)).splitlines()}

    assert lines(*begin)
    assert set() == lines(*begin) - told


def test_trials_are_those_that_were_recorded(tmp_path: Path) -> None:
    with tarfile.open(RECORDED / "h200-trials.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    told = trials.table(sorted((tmp_path / "h200-trials").iterdir())).splitlines()
    rows = lines("| sdpa/llama-1b", "| sdpa/llama-mini")

    assert 4 == len(rows)
    assert set() == rows - set(told)
