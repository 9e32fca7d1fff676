"""One stack to validate: an environment with some of its releases replaced, and where tox keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from matrix.environment import Environment
from matrix.load import FOLDER
from matrix.requirement import project
from matrix.resolution import Resolved, Source
from matrix.work_folder import work_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """``changed`` takes the place of the environment's own releases; what is not changed stays where its constraints are."""

    environment: Environment
    changed: tuple[Resolved, ...] = ()
    source: Source = field(default_factory=Source)

    @property
    def name(self) -> str:
        """``cpu-tf5-transformers5.20.0``: the environment, and every release that is not its own."""
        return "-".join((self.environment.name, *(each.factor for each in self.changed)))

    @property
    def folder(self) -> Path:
        """Where tox keeps it."""
        return work_folder() / self.name

    @property
    def overrides(self) -> tuple[str, ...]:
        """What it claims to be in the place of the environment's own requirements."""
        return tuple(each.pin for each in self.changed)

    @property
    def requirements(self) -> tuple[str, ...]:
        """What tox installs, besides what the suite itself needs."""
        lines = self.environment.instead(tuple(each.line for each in self.changed))
        source = (f"--extra-index-url {self.source.index}",) if self.source.index else ()
        return (*source, *(("--pre",) if self.source.pre else ()), *lines)

    def constraints(self) -> tuple[str, ...]:
        """The environment's constraints but for what is changed and what that needs in turn, which are free to move."""
        if not self.environment.constraints:
            return ()
        free = {each.project for each in self.changed} | {name for each in self.changed for name in each.needs}
        lines = (FOLDER / self.environment.constraints).read_text(encoding="utf-8").splitlines()
        return tuple(line for line in lines if line and not line.startswith("#") and project(line) not in free)
