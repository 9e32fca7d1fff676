"""The scripts of every CI system run each shard once and judge what came back, here with a suite that only records."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.options import ROOT
from matrix.__main__ import main
from reports.store import read_run

NAME = "cpu-tf5-node"
RUNNER = 'version = 1\n[runner.node]\nsummary = "s"\nplatform = "cpu"\nshards = 2\nminutes = 5\nhosted = "ubuntu-24.04"\n'
SUITE = """\
import sys
from pathlib import Path
from reports.shard import Shard
from suites.selftest.examples import record, written
given = dict(each[2:].split("=", 1) for each in sys.argv[1:])
number, of = map(int, given["shard"].split("/"))
records = [record(subject=str(each)) for each in (1, 2)]
shard = Shard(number=number, of=of, plan=tuple(each.id for each in records))
written(Path(given["run-dir"]), records[number - 1], shard=shard, planned=(records[number - 1].id,))
"""
SBATCH = """\
import os, subprocess, sys
script = sys.stdin.read()
array = next((each[8:] for each in sys.argv if each.startswith("--array=")), "1-1")
first, last = map(int, array.split("-"))
for task in range(first, last + 1):
    done = subprocess.run(["sh", "-c", script], env=os.environ | {"SLURM_ARRAY_TASK_ID": str(task)}, stdout=sys.stderr)
print(7)
sys.exit(done.returncode if "--wait" in sys.argv else 0)
"""


def of_github(tree: Any) -> Iterator[tuple[str, dict[str, str]]]:
    job = tree["jobs"][NAME]
    script = next(step["run"] for step in job["steps"] if "env" in step)
    yield from ((script, {"SHARD": str(number)}) for number in job["strategy"]["matrix"]["shard"])
    yield tree["jobs"]["report"]["steps"][-2]["run"], {"GITHUB_STEP_SUMMARY": "summary.md"}


def of_gitlab(tree: Any) -> Iterator[tuple[str, dict[str, str]]]:
    for number in range(1, tree[NAME]["parallel"] + 1):
        yield tree[NAME]["script"][-1], {"CI_NODE_INDEX": str(number)}
    yield tree["report"]["script"][-1], {}


def of_buildkite(tree: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """As `buildkite-agent pipeline upload` leaves it, and without what needs the agent or a registry."""
    shard, _, judge = tree["steps"]
    scripts = [[line for line in step["command"].replace("$$", "$").splitlines() if "pip" not in line and "agent" not in line]
               for step in (shard, judge)]  # fmt: skip
    for number in range(shard["parallelism"]):
        yield "\n".join(scripts[0]), {"BUILDKITE_PARALLEL_JOB": str(number)}
    yield "\n".join(scripts[1]), {}


def of_kubernetes(*documents: Any) -> Iterator[tuple[str, dict[str, str]]]:
    shard, judge = (document["spec"]["template"]["spec"]["containers"][0]["args"][0] for document in documents)
    for number in range(documents[0]["spec"]["completions"]):
        yield shard.replace("/validation/validate", "runs"), {"JOB_COMPLETION_INDEX": str(number)}
    yield judge.replace("/validation/validate", "runs"), {}


@pytest.fixture
def ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """The text for a system, and a function that runs one script in an empty folder."""
    (tmp_path / "runners.toml").write_text(RUNNER)
    (tmp_path / "suite.py").write_text(SUITE)
    (tmp_path / "sbatch").write_text(f"#!{sys.executable}\n{SBATCH}")
    (tmp_path / "sbatch").chmod(0o755)
    for name in ("python", "python3"):
        (tmp_path / name).symlink_to(sys.executable)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def run(script: str, variables: dict[str, str], shell: str = "sh") -> int:
        command = [shell, "-euc", script]
        return subprocess.run(command, cwd=tmp_path, env=environment | variables, timeout=60).returncode

    def write(system: str) -> str:
        arguments = ["--environment=cpu-tf5", f"--runners={tmp_path / 'runners.toml'}", f"--start={sys.executable} suite.py"]
        assert 0 == main(["ci", system, *arguments])
        return capsys.readouterr().out

    return write, run


@pytest.mark.parametrize(
    ("system", "scripts"),
    [("github", of_github), ("gitlab", of_gitlab), ("buildkite", of_buildkite), ("kubernetes", of_kubernetes)],
)
def test_every_shard_is_run_once_and_the_last_job_finds_them_whole(ran: Any, tmp_path: Path, system: str, scripts: Any) -> None:
    write, run = ran
    codes = [run(*script) for script in scripts(*yaml.load_all(write(system), yaml.SafeLoader))]

    assert [0, 0, 0] == codes
    assert read_run(tmp_path / "runs" / "joined" / NAME).whole
    assert (tmp_path / "runs" / "report.html").exists()


def test_what_is_submitted_to_slurm_ends_with_the_verdict(ran: Any, tmp_path: Path) -> None:
    """Slurm itself is in test_slurm.py; here what takes its place runs a job at once."""
    write, run = ran

    assert 0 == run(write("slurm"), {}, "bash")
    (folder,) = (tmp_path / "runs").iterdir()
    assert read_run(folder / "joined" / NAME).whole
