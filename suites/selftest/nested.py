"""Runs of the suite inside the suite's own tests: each in a process of its own, forked from one with the libraries."""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from fixtures.forkserver import COMPILER, OURS
from fixtures.libraries import LIBRARIES
from reports.run import Run
from reports.store import read_run

ROOT = Path(__file__).parents[2]
# What most of the runs import: bitsandbytes itself is left to them, which some find broken.
PRELOADED = [*LIBRARIES, *OURS, COMPILER, "transformers.models.llama.modeling_llama", "conftest", "fixtures.reference"]
SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """How a nested run ended: pytest's exit code, what it printed, and what it recorded (None where nothing was)."""

    exit_code: int
    output: str
    run: Run | None

    def ended(self, outcome: str) -> set[str]:
        """The ids of the checks with an outcome."""
        return {record.id for record in self.run.records.values() if record.outcome == outcome} if self.run else set()


def validate(
    folder: Path, facts: Path, *arguments: str, workers: int = 0, seconds: int = SECONDS, environment: str = "cpu-tf5"
) -> Nested:
    """One run of the suite, recorded below ``folder``: in one process, or with workers of its own."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, in the process that is forked
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    run, output = folder / "run", folder / "output"
    common = [f"--facts={facts}", f"--environment={environment}", f"--run-dir={run}", f"-n{workers}"]
    process = context.Process(target=_pytest, args=([*common, *arguments], output, dict(os.environ)))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"the nested run did not end within {seconds} s: {' '.join(arguments)}")
    recorded = read_run(run) if (run / "run.json").exists() else None
    return Nested(exit_code=process.exitcode or 0, output=output.read_text(), run=recorded)


def _pytest(arguments: list[str], output: Path, environment: dict[str, str]) -> None:
    """What the forked process does: pytest with its output in a file, in the caller's environment of now."""
    import pytest

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # the descriptor outlives the function
    sys.stderr = sys.stdout
    code = pytest.main(arguments)
    sys.stdout.flush()
    os._exit(int(code))
