"""A pipeline of GitLab CI. Syntax: https://docs.gitlab.com/ci/yaml/"""

from __future__ import annotations

from typing import Any, Final

from matrix.ci.task import PAGE, Order, Task, report, shard
from matrix.ci.yaml import dumped

START: Final = "tox run -e {environment} --"
IMAGE: Final = "python:3.12"


def written(order: Order) -> str:
    """The pipeline."""
    tree: dict[str, Any] = {"stages": ["validate", "report"]}
    tree |= {task.name: _shards(order, task) for task in order.tasks}
    return order.notice + dumped(tree | {"report": _report(order)})


def _shards(order: Order, task: Task) -> dict[str, Any]:
    """``parallel`` numbers its jobs from 1; alone, a job is not numbered."""
    labels = [f"{name}-{value}" for name, value in task.runner.labels.items()]
    return {
        "stage": "validate",
        "image": task.filled(order.image or IMAGE),
        **({"parallel": task.shards} if task.shards > 1 else {}),
        **({"tags": labels} if labels else {}),
        "timeout": f"{task.runner.minutes} minutes",
        "retry": {"max": 1, "when": ["runner_system_failure"]},
        "script": ["python -m pip install tox", shard(order, task, "${CI_NODE_INDEX:-1}")],
        "artifacts": {"when": "always", "paths": ["runs/parts/"], "reports": {"junit": "runs/parts/*/*/junit.xml"}},
    }


def _report(order: Order) -> dict[str, Any]:
    """Runs whatever became of the others: what never came back must be missed."""
    return {
        "stage": "report",
        "image": IMAGE,
        "when": "always",
        "script": [f"python -m pip install {PAGE}", report(order, "--markdown runs/report.md", "--html runs/report.html")],
        "artifacts": {"when": "always", "paths": ["runs/joined/", "runs/report.md", "runs/report.html"]},
    }
