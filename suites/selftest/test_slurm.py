"""The script that is written for Slurm, run by Slurm: over two nodes, of which one dies in the middle."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from fixtures.options import ROOT
from reports.compare import compare, exit_code
from reports.run import Run
from reports.store import RECORDS, read_run
from reports.thresholds import load_thresholds
from suites.selftest.cluster import Cluster, cluster, missing

CELLS = "(gpt2-tiny or falcon-tiny or llama-tiny) and (fp32 or bf16) and (eager or sdpa)"
NAME = "cpu-tf5-node"
SHARDS = 3
NEEDS_SLURM = pytest.mark.skipif(bool(missing()), reason=missing())
START = f"{sys.executable} -m pytest --platform={{platform}} --environment={{environment}} -n0"
RUNNER = (
    f'version = 1\n[runner.node]\nsummary = "one core"\nplatform = "cpu"\nshards = {SHARDS}\nminutes = 20\nslurm = ["%s"]\n'
)


@pytest.mark.slow
@NEEDS_SLURM
def test_a_shard_whose_node_dies_goes_on_elsewhere_and_the_whole_is_what_one_machine_records(tmp_path: Path) -> None:
    alone = recorded_by_one_machine(tmp_path / "alone")
    script, folder = written(tmp_path), tmp_path / "validation"
    with cluster(tmp_path / "cluster", "first", "second") as slurm:
        submitted = started(slurm, script, folder)
        killed = kill_in_the_middle(slurm, "second", folder)
        output, _ = submitted.communicate(timeout=900)
        restarts = slurm.restarts(NAME)
    joined = read_run(folder / "joined" / NAME)
    comparison = compare(alone, joined, load_thresholds())

    assert (0, True) == (submitted.returncode, joined.whole), output
    assert {killed: 1} == {index: count for index, count in restarts.items() if count}
    assert any("resumed after it had ended early" in note for note in joined.header.notes)
    assert measured(alone) == measured(joined)
    assert (0, 0) == (exit_code(comparison), comparison.undecided)


@pytest.mark.slow
@NEEDS_SLURM
def test_a_shard_that_is_not_put_back_into_the_queue_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "validation"
    with cluster(tmp_path / "cluster", "first", "second") as slurm:
        submitted = started(slurm, written(tmp_path, slurm="--no-requeue"), folder)
        kill_in_the_middle(slurm, "second", folder)
        output, _ = submitted.communicate(timeout=900)
    joined = read_run(folder / "joined" / NAME)

    assert (1, False, False) == (submitted.returncode, joined.whole, joined.header.complete), output
    assert "planned and never run" in output
    assert len(joined.header.planned) == len(joined.records) + len(joined.missing)


def started(slurm: Cluster, script: Path, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", script, folder], cwd=ROOT, env=slurm.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def recorded_by_one_machine(folder: Path) -> Run:
    command = START.format(platform="cpu", environment="cpu-tf5").split()
    subprocess.run([*command, f"--cells={CELLS}", f"--run-dir={folder / NAME}"], cwd=ROOT, capture_output=True, timeout=600)
    return read_run(folder / NAME)


def written(folder: Path, slurm: str = "--cpus-per-task=1") -> Path:
    """The script as ``python -m matrix ci slurm`` writes it, balanced by and compared with what one machine recorded."""
    (folder / "runners.toml").write_text(RUNNER % slurm)
    options = {"--runners": folder / "runners.toml", "--environment": "cpu-tf5", "--cells": CELLS, "--start": START}
    options |= {"--baseline": folder / "alone"} if (folder / "alone").exists() else {}
    command = [sys.executable, "-m", "matrix", "ci", "slurm", *(f"{name}={value}" for name, value in options.items())]
    (folder / "submit.sh").write_text(subprocess.check_output(command, cwd=ROOT, text=True))
    return folder / "submit.sh"


def kill_in_the_middle(slurm: Cluster, node: str, folder: Path) -> str:
    """The index of the shard in the middle of which its node died."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        name, _, index = slurm.running(node).partition(" ")
        records = folder / "parts" / NAME / f"{index}-of-{SHARDS}" / RECORDS
        if name == NAME and records.exists() and len(records.read_bytes().splitlines()) > 10:
            slurm.kill(node)
            return index
        time.sleep(0.2)
    raise TimeoutError(f"no shard ran on {node}: {list(folder.iterdir())}")


def measured(run: Run) -> dict[str, tuple[object, ...]]:
    """What a check came to, whoever recorded it and when."""
    return {
        record.id: (record.outcome, record.definition, record.message, dict(record.errors), record.families)
        for record in run.records.values()
    }
