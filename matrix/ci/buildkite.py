"""A pipeline of Buildkite. Syntax: https://buildkite.com/docs/pipelines/configure/defining-steps"""

from __future__ import annotations

from typing import Any, Final

from matrix.ci.task import PAGE, Order, Task, report, shard
from matrix.ci.yaml import dumped

START: Final = "tox run -e {environment} --"


def written(order: Order) -> str:
    """The pipeline. ``buildkite-agent pipeline upload`` replaces variables, unless their dollar is doubled
    (https://buildkite.com/docs/agent/v3/cli-pipeline#environment-variable-substitution).
    """
    steps = [*(_shards(order, task) for task in order.tasks), {"wait": None, "continue_on_failure": True}, _report(order)]
    return order.notice + dumped({"steps": steps})


def _shards(order: Order, task: Task) -> dict[str, Any]:
    """``BUILDKITE_PARALLEL_JOB`` counts from 0."""
    number = 'shard="$((${BUILDKITE_PARALLEL_JOB:-0} + 1))"\n'
    return {
        "label": f"{task.name} %N/%t" if task.shards > 1 else task.name,
        "key": task.name.replace(".", "_"),
        **({"parallelism": task.shards} if task.shards > 1 else {}),
        **({"agents": task.runner.labels} if task.runner.labels else {}),
        "timeout_in_minutes": task.runner.minutes,
        "retry": {"automatic": [{"exit_status": -1, "limit": 2}]},
        "command": _escaped("python3 -m pip install tox\n" + number + shard(order, task, "$shard")),
        "artifact_paths": ["runs/parts/**/*"],
    }


def _report(order: Order) -> dict[str, Any]:
    """Runs whatever became of the others: what never came back must be missed."""
    fetch = 'mkdir -p runs/parts\nbuildkite-agent artifact download "runs/parts/**/*" . || true\n'
    judge = report(order, "--markdown runs/report.md", "--html runs/report.html", python="python3")
    return {
        "label": "report",
        "key": "report",
        "timeout_in_minutes": 10,
        "command": _escaped(f"python3 -m pip install {PAGE}\n{fetch}{judge}"),
        "artifact_paths": ["runs/joined/**/*", "runs/report.md", "runs/report.html"],
    }


def _escaped(script: str) -> str:
    return f"set -eu\n{script}".replace("$", "$$")
