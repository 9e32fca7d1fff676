"""Runs of the suite inside the suite's own tests: each in a process of its own, forked from one with the libraries."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fixtures.forkserver import COMPILER, OURS
from fixtures.libraries import LIBRARIES
from fixtures.platform import IMPORTED, import_error
from fixtures.selection import installed_under_test
from matrix.availability import read_facts
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


@functools.cache
def facts() -> str:
    """The facts of this machine as the CPU platform, with what came of importing each package, as preflight would add it:
    measured once for all runs.
    """
    found = read_facts(subprocess.check_output([sys.executable, "-m", "fixtures.platform", "cpu"], text=True, cwd=ROOT))
    tried = {name: import_error(name, "cpu") for name in installed_under_test() if name not in IMPORTED}
    told = {name: {**package, "imported": "yes", "native": tried[name]} if name in tried else package
            for name, package in found.packages.items()}  # fmt: skip
    return dataclasses.replace(found, packages=told).to_json()


def facts_file(folder: Path) -> Path:
    """The same in a file of a folder, for ``--facts``."""
    path = folder / "facts.json"
    path.write_text(facts())
    return path


def validate(
    folder: Path, *arguments: str, facts: Path | None = None, workers: int = 0, seconds: int = SECONDS,
    environment: str = "cpu-tf5",
) -> Nested:  # fmt: skip
    """One run of the suite, recorded below ``folder``: in one process, or with workers of its own; ``facts`` are those of this
    machine where none are given.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, in the process that is forked
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    folder.mkdir(parents=True, exist_ok=True)
    run, output = folder / "run", folder / "output"
    common = [f"--facts={facts or facts_file(folder)}", f"--environment={environment}", f"--run-dir={run}", f"-n{workers}"]
    process = context.Process(target=_pytest, args=([*common, *arguments], output, dict(os.environ)))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"the nested run did not end within {seconds} s: {' '.join(arguments)}")
    recorded = read_run(run) if (run / "run.json").exists() else None
    return Nested(exit_code=process.exitcode or 0, output=output.read_text(), run=recorded)


def _pytest(arguments: list[str], output: Path, environment: dict[str, str]) -> None:
    """What the forked process does: pytest with its output in a file, in the caller's environment of now, but that it is no
    worker of pytest-xdist's, which the caller may be one of.
    """
    import pytest

    os.environ.clear()
    os.environ.update({name: value for name, value in environment.items() if not name.startswith("PYTEST_XDIST_")})
    os.chdir(ROOT)
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # the descriptor outlives the function
    sys.stderr = sys.stdout
    code = pytest.main(arguments)
    sys.stdout.flush()
    os._exit(int(code))
