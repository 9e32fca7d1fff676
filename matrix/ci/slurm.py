"""A script that submits to Slurm: an array of shards an environment, and a job after them that joins and judges.

Options: https://slurm.schedmd.com/sbatch.html
"""

from __future__ import annotations

import shlex
from typing import Final

from matrix.ci.task import Order, Task, report, shard

START: Final = "tox run --skip-env-install -e {environment} --"
BUILD: Final = "tox run --notest -e {environment}"
ROOT: Final = "$VALIDATION"

_HEAD: Final = """\
# Run it where the suite is checked out, on a file system that all nodes share; it ends with the verdict.
#
#   bash THIS_FILE [FOLDER]    FOLDER: where to record (default: runs/TIME)
set -euo pipefail
export VALIDATION="${1:-runs/$(date -u +%Y%m%dT%H%M%SZ)}"
mkdir -p "$VALIDATION"
"""


def written(order: Order) -> str:
    """The script. Environments are built once, before any job: jobs that build one at the same time would spoil it."""
    builds = dict.fromkeys(task.filled(BUILD) for task in order.tasks)
    parts = [
        f"#!/usr/bin/env bash\n{order.notice}{_HEAD}",
        "".join(f"{build}\n" for build in builds) if order.start == START else "",
        "jobs=()\n",
        *(_array(order, task) for task in order.tasks),
        _report(order),
    ]
    return "\n".join(part for part in parts if part)


def _array(order: Order, task: Task) -> str:
    """A task whose node dies is put back into the queue, and goes on with what it has not recorded."""
    runner = task.runner
    options = [f"--job-name={task.name}", f"--array=1-{task.shards}", "--requeue", "--open-mode=append"]
    options += [f"--time={runner.minutes}"]
    options += [f"--gres=gpu:{runner.gpu}:{runner.gpus}" if runner.gpu else f"--gres=gpu:{runner.gpus}"] if runner.gpus else []
    options += [f"--constraint=driver-{runner.driver}"] if runner.driver else []
    script = f"#!/bin/sh\nset -eu\n{shard(order, task, '$SLURM_ARRAY_TASK_ID', ROOT)}"
    submit = f'sbatch --parsable --output="$VALIDATION/%x-%a.log" {shlex.join([*options, *runner.slurm])}'
    return f"jobs+=(\"$({submit} <<'SHARD'\n{script}SHARD\n)\")\n"


def _report(order: Order) -> str:
    """Runs whatever became of the others: what never came back must be missed."""
    judge = report(order, f'--markdown "{ROOT}/report.md"', root=ROOT, python="python3")
    after = '--dependency="afterany$(printf \':%s\' "${jobs[@]}")"'
    submit = f'sbatch --wait --job-name=report {after} --output="$VALIDATION/report.log" --time=10'
    return (
        f"verdict=0\n{submit} <<'REPORT' || verdict=$?\n#!/bin/sh\nset -eu\n{judge}REPORT\n"
        'cat "$VALIDATION/report.log" || true\nexit "$verdict"\n'
    )
