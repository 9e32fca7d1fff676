"""What a CI system or a cluster is to run: tasks, and the lines of shell that each of them is, wherever it runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from matrix.environment import Environment
from matrix.errors import UserError
from matrix.runner import Runner

PAGE: Final = "jinja2"
"""What the last job installs to write the page for browsers; it needs nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An environment on a runner, in as many shards as the runner says."""

    environment: Environment
    runner: Runner

    @property
    def name(self) -> str:
        """The name of its run: ``cuda-tf5-h200``."""
        return f"{self.environment.name}-{self.runner.name}"

    def filled(self, template: str) -> str:
        """A template with ``{environment}`` and ``{platform}`` put in.

        Raises:
            UserError: it has something else in braces.
        """
        try:
            return template.format(environment=self.environment.name, platform=self.environment.platform)
        except (KeyError, IndexError, ValueError, AttributeError):
            raise UserError(f"{template!r} is no template, accepted in braces: {{environment}}, {{platform}}") from None

    @property
    def shards(self) -> int:
        """In how many parts its plan is run."""
        return self.runner.shards


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked of every task.

    ``baseline`` is the folder of trusted runs as the machines see it, ``start`` the command that starts the suite, with
    ``{environment}`` and ``{platform}`` in it, ``image`` that of containers, ``name`` tells one validation from another
    where they share a volume, ``command`` is what writes the file again.
    """

    tasks: tuple[Task, ...]
    tier: str
    cells: str
    baseline: str
    start: str
    image: str
    name: str
    command: str

    @property
    def notice(self) -> str:
        """The first lines of a generated file."""
        return f"# Written by `{' '.join(self.command.split())}`: write it again rather than edit it.\n"


def tasks(
    environments: Iterable[Environment], runners: Iterable[Runner], named: Sequence[str], on: Sequence[str]
) -> tuple[Task, ...]:
    """Every stack on every runner of its platform; ``named`` and ``on`` are globs of those that are wanted, where ``named``
    reaches the environments that vary a stack as well.

    Raises:
        UserError: a glob matches nothing, or no environment has a runner.
    """
    listed, machines = list(environments), list(runners)
    _match("--environment", named, [environment.name for environment in listed])
    _match("--runner", on, [runner.name for runner in machines])
    found = tuple(
        Task(environment=environment, runner=runner)
        for environment in listed
        for runner in machines
        if environment.platform == runner.platform
        and (_any(environment.name, named) if named else not environment.varied)
        and _any(runner.name, on or ("*",))
        and _any(environment.name, runner.environments)
    )
    if not found:
        raise UserError("no environment that was chosen has a runner: see matrix/environments.toml and matrix/runners.toml")
    return found


def _match(option: str, globs: Sequence[str], names: Sequence[str]) -> None:
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in names):
            raise UserError(f"{option} is {glob!r}, which matches none of: {', '.join(names)}")


def _any(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def shard(order: Order, task: Task, number: str, root: str = "runs") -> str:
    """The script of one shard; ``number`` is its number counted from 1, and ``root`` the folder to record in, both as the
    shell has them.

    A shard that begins again where its folder is still there goes on. Checks that fail are no failure of the job: the last
    one judges. Anything else, such as libraries that cannot be installed, is.
    """
    lines = [
        f'part="{root}/parts/{task.name}/{number}-of-{task.shards}"',
        f'set -- --tier={order.tier} --shard="{number}/{task.shards}"',
    ]
    lines += [f'set -- "$@" {shlex.quote(f"--cells={order.cells}")}'] if order.cells != "*" else []
    if order.baseline:
        recorded = f"{order.baseline}/{task.name}"
        lines.append(f'if [ -e "{recorded}/run.json" ]; then set -- "$@" --durations-from="{recorded}"; fi')
    lines += [
        'if [ -e "$part/run.json" ]; then set -- "$@" --resume="$part"; else set -- "$@" --run-dir="$part"; fi',
        f'{task.filled(order.start)} "$@" || {{ [ $? -eq 1 ] && [ -e "$part/run.json" ]; }}',
    ]
    return "".join(f"{line}\n" for line in lines)


def report(order: Order, *options: str, root: str = "runs", python: str = "python") -> str:
    """The script of the last job: what came back is joined and judged, what did not is missing."""
    merge = [f'{python} -m reports merge "{root}/parts"', f'--into "{root}/joined"']
    merge += ["--expect", *(task.name for task in order.tasks)]
    merge += [f'--baseline "{order.baseline}"'] if order.baseline else []
    return f'mkdir -p "{root}/parts"\n{" ".join([*merge, *options])}\n'
