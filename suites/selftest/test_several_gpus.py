"""A run with checks that need several GPUs, on a machine that has none: the workers' part of it is the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from reports.run import Run
from reports.store import read_run
from suites.selftest.nested import ROOT, facts, validate

# Has one configuration need several GPUs where there is none, in every process of the run.
PLUGIN = """\
from matrix.cell import Check

Check.needs_several_gpus = property(lambda self: self.cell.configuration.name == "copies")
"""
GPU = {"name": "a GPU", "capability": "9.0", "memory": 2**40}
CELLS = "(device-map-one-sdpa and llama*) or copies"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The same checks with a worker for each of two GPUs and one for both, and in one process."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "several_gpus.py").write_text(PLUGIN)
    told = folder / "told.json"
    told.write_text(json.dumps(json.loads(facts()) | {"devices": [GPU, GPU]}))
    command = [sys.executable, "-m", "pytest", "-p", "several_gpus", "--platform=cpu", f"--facts={told}",
               "--environment=cpu-tf5", "--cells", CELLS, "suites/placement"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run([*command, f"--run-dir={folder / 'workers'}"], cwd=ROOT, env=environment, capture_output=True, timeout=300)
    alone = validate(folder, "--cells", CELLS, str(ROOT / "suites" / "placement"), facts=told)
    assert alone.run is not None
    return {"workers": read_run(folder / "workers"), "alone": alone.run}


@pytest.mark.slow
def test_what_needs_several_gpus_runs_in_one_worker_after_the_others(run: dict[str, Run]) -> None:
    records = run["workers"].records.values()
    several = [record for record in records if record.configuration == "copies"]
    others = [record for record in records if record.configuration == "device-map-one-sdpa"]

    assert {"gw2"} == {record.worker for record in several}
    assert "gw2" not in {record.worker for record in others}
    assert max(record.started for record in others) < min(record.started for record in several)


@pytest.mark.slow
def test_several_workers_find_what_one_process_finds(run: dict[str, Run]) -> None:
    def found(of: Run) -> dict[str, tuple[object, ...]]:
        return {id: (record.outcome, record.errors, record.memory) for id, record in of.records.items()}

    assert found(run["alone"]) == found(run["workers"])
