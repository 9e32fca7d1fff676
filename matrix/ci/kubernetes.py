"""Jobs of Kubernetes that share a volume: an indexed one an environment, and one that waits for them, joins and judges.

Reference: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/
"""

from __future__ import annotations

import re
from typing import Any, Final

from matrix.ci.task import Order, Task, report, shard
from matrix.ci.yaml import dumped
from matrix.errors import UserError

START: Final = "pytest --platform={platform} --environment={environment}"
IMAGE: Final = "gpu-inference-validation:{environment}"
VOLUME: Final = "validation"
RESOURCES: Final = {"cuda": "nvidia.com/gpu", "rocm": "amd.com/gpu"}
"""What device plugins call a GPU (https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/)."""
_LONGEST: Final = 57  # a pod's host name is a DNS label, and adds the index of its shard to that of the job


def written(order: Order) -> str:
    """The documents. Images hold the suite in their working directory, and the libraries of the environment."""
    documents = [*(_shards(order, task) for task in order.tasks), _report(order)]
    names = [document["metadata"]["name"] for document in documents]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"two jobs would be called {twice!r}: say a shorter --name, or choose with --environment and --runner")
    return order.notice + "---\n".join(map(dumped, documents))


def _shards(order: Order, task: Task) -> dict[str, Any]:
    """A pod that is lost is replaced, and goes on with what it has not recorded."""
    root = _root(order)
    number = 'shard="$((JOB_COMPLETION_INDEX + 1))"\n'
    script = number + shard(order, task, "$shard", root) + 'touch "$part.ended"\n'
    spec = {
        "completionMode": "Indexed", "completions": task.shards, "parallelism": task.shards, "backoffLimitPerIndex": 2,
        "activeDeadlineSeconds": 60 * task.runner.minutes,
    }  # fmt: skip
    return _job(f"{order.name}-{task.name}", spec, _pod(order, task, "shard", script))


def _report(order: Order) -> dict[str, Any]:
    """Waits until every shard has ended or its time is up: what never came back must be missed."""
    root, count = _root(order), sum(task.shards for task in order.tasks)
    minutes = max(task.runner.minutes for task in order.tasks)
    script = (
        f"deadline=$(($(date +%s) + {60 * minutes}))\n"
        f'until [ "$(find "{root}/parts" -name "*.ended" 2>/dev/null | wc -l)" -ge {count} ] '
        '|| [ "$(date +%s)" -ge "$deadline" ]; do sleep 10; done\n'
    )
    script += report(order, f'--markdown "{root}/report.md"', f'--html "{root}/report.html"', root=root)
    spec = {"backoffLimit": 0, "activeDeadlineSeconds": 60 * (minutes + 10)}
    return _job(f"{order.name}-report", spec, _pod(order, order.tasks[0], "report", script))


def _job(name: str, spec: dict[str, Any], pod: dict[str, Any]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "gpu-inference-validation"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": _name(name), "labels": labels},
        "spec": spec | {"template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def _pod(order: Order, task: Task, name: str, script: str) -> dict[str, Any]:
    runner = task.runner
    machine = name == "shard"
    gpus = {"resources": {"limits": {RESOURCES[runner.platform]: str(runner.gpus)}}} if machine and runner.gpus else {}
    return {
        "restartPolicy": "Never",
        **({"nodeSelector": dict(runner.nodes)} if machine and runner.nodes else {}),
        "containers": [
            {
                "name": name,
                "image": task.filled(order.image or IMAGE),
                "command": ["sh", "-euc"],
                "args": [script],
                **gpus,
                "volumeMounts": [{"name": VOLUME, "mountPath": f"/{VOLUME}"}],
            }
        ],
        "volumes": [{"name": VOLUME, "persistentVolumeClaim": {"claimName": VOLUME}}],
    }


def _root(order: Order) -> str:
    return f"/{VOLUME}/{order.name}"


def _name(text: str) -> str:
    """Names are DNS labels (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/)."""
    return re.sub(r"[^a-z0-9-]", "-", text.lower())[:_LONGEST].strip("-")
