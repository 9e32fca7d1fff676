"""Runners: the machines that environments run on, and what a CI system or a cluster chooses them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matrix.cell import PLATFORMS
from matrix.table import Table, read

RUNNERS: Final = Path(__file__).parent / "runners.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One kind of machine. ``environments`` are globs of those of its platform that run on it, ``shards`` the parts that a
    plan is run in, ``minutes`` what one part may take at most; the others are what machines are chosen by.
    """

    name: str
    summary: str
    platform: str
    environments: tuple[str, ...]
    shards: int
    minutes: int
    gpu: str
    driver: str
    gpus: int
    hosted: str
    nodes: Mapping[str, str]
    slurm: tuple[str, ...]

    @property
    def labels(self) -> dict[str, str]:
        """What it has, by name: ``{"gpu": "h200", "driver": "580"}``."""
        return {name: value for name, value in (("gpu", self.gpu), ("driver", self.driver)) if value}


def load_runners(path: Path = RUNNERS) -> dict[str, Runner]:
    """The runners of a TOML file, by name.

    Raises:
        UserError: it cannot be read, or holds something unknown.
    """
    table = read(path)
    runners = {name: _runner(name, entry) for name, entry in table.named("runner")}
    table.done()
    return runners


def _runner(name: str, table: Table) -> Runner:
    runner = Runner(
        name=name,
        summary=table.text("summary"),
        platform=table.text("platform", accepted=PLATFORMS),
        environments=table.texts("environments", ("*",)),
        shards=_at_least_one("shards", table),
        minutes=_at_least_one("minutes", table),
        gpu=table.text("gpu", ""),
        driver=table.text("driver", ""),
        gpus=table.integer("gpus", 0),
        hosted=table.text("hosted", ""),
        nodes=table.words("nodes"),
        slurm=table.texts("slurm", ()),
    )
    table.done()
    if (runner.platform == "cpu") != (runner.gpus == 0):
        wanted = "none is accepted on the CPU" if runner.gpus else f"at least 1 is accepted on {runner.platform}"
        raise table.error("gpus", f"is {runner.gpus}, {wanted}")
    return runner


def _at_least_one(key: str, table: Table) -> int:
    value = table.integer(key)
    if value < 1:
        raise table.error(key, f"is {value}, a whole number of at least 1 is accepted")
    return value
