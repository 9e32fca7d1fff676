"""A workflow of GitHub Actions.

Syntax: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
"""

from __future__ import annotations

import re
from typing import Any, Final

from matrix.ci.task import PAGE, Order, Task, report, shard
from matrix.ci.yaml import dumped

START: Final = "tox run -e {environment} --"
PYTHON: Final = "3.12"


def written(order: Order) -> str:
    """The workflow."""
    jobs = {_id(task): _shards(order, task) for task in order.tasks}
    tree = {
        "name": "validate",
        "on": _events(order),
        "permissions": {"contents": "read"},
        "concurrency": {"group": "validate-${{ github.ref }}"},
        "jobs": jobs | {"report": _report(order, list(jobs))},
    }
    return order.notice + dumped(tree)


def _events(order: Order) -> dict[str, Any]:
    """A pull request runs whatever it brings, which is for GitHub's machines only
    (https://docs.github.com/actions/reference/security/secure-use#hardening-for-self-hosted-runners).
    """
    hosted = all(task.runner.hosted for task in order.tasks)
    events: dict[str, Any] = {"push": {"branches": ["main"]}}
    return events | ({"pull_request": {}} if hosted else {}) | {"workflow_dispatch": {}}


def _id(task: Task) -> str:
    """Job ids have no dots."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", task.name)


def _shards(order: Order, task: Task) -> dict[str, Any]:
    labels = [f"{name}-{value}" for name, value in task.runner.labels.items()]
    return {
        "name": f"{task.name} (${{{{ matrix.shard }}}}/{task.shards})",
        "runs-on": task.runner.hosted or ["self-hosted", "linux", *labels],
        "timeout-minutes": task.runner.minutes,
        "strategy": {"fail-fast": False, "matrix": {"shard": list(range(1, task.shards + 1))}},
        "steps": [
            *_checkout(),
            {"run": "python -m pip install tox"},
            {"name": "Run the shard", "env": {"SHARD": "${{ matrix.shard }}"}, "run": shard(order, task, "$SHARD")},
            {
                "if": "always()",
                "uses": "actions/upload-artifact@v6",
                "with": {
                    "name": f"part-{task.name}-${{{{ matrix.shard }}}}", "path": "runs/parts", "overwrite": True,
                    "if-no-files-found": "ignore",
                },
            },
        ],
    }  # fmt: skip


def _report(order: Order, jobs: list[str]) -> dict[str, Any]:
    """Runs whatever became of the others: what never came back must be missed."""
    return {
        "needs": jobs,
        "if": "always()",
        "runs-on": "ubuntu-24.04",
        "timeout-minutes": 10,
        "steps": [
            *_checkout(),
            {
                "uses": "actions/download-artifact@v7",
                "with": {"pattern": "part-*", "path": "runs/parts", "merge-multiple": True},
            },
            {"run": f"python -m pip install {PAGE}"},
            {"name": "Join and judge", "run": report(order, '--markdown "$GITHUB_STEP_SUMMARY"', "--html runs/report.html")},
            {
                "if": "always()",
                "uses": "actions/upload-artifact@v6",
                "with": {"name": "runs", "path": "runs/joined\nruns/report.html\n", "overwrite": True},
            },
        ],
    }


def _checkout() -> list[dict[str, Any]]:
    return [{"uses": "actions/checkout@v6"}, {"uses": "actions/setup-python@v6", "with": {"python-version": PYTHON}}]
