"""The matrix files as records: strict, versioned, standard library only."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

from matrix.cell import (
    CACHES, CHECKS, DTYPES, FEATURES, PADDINGS, PHASES, PLATFORMS, SCHEDULES, TASKS, TIERS, Condition, Configuration,
    Model, Promise, Refusal, Requirement, Workload,
)  # fmt: skip
from matrix.environment import Environment, load_environment
from matrix.expectation import Expectation, load_expectation
from matrix.table import Table, read

FOLDER = Path(__file__).parent
NAME = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Everything that is validated, by name."""

    configurations: dict[str, Configuration]
    models: dict[str, Model]
    workloads: dict[str, Workload]
    environments: dict[str, Environment]
    expectations: tuple[Expectation, ...]


def load_matrix(folder: Path = FOLDER) -> Matrix:
    """Every file of a matrix folder, with the references between them checked.

    Raises:
        UserError: a file is malformed or refers to a name that does not exist.
    """
    from matrix.kernels import family_names

    models, workloads = load_models(folder / "models.toml"), load_workloads(folder / "workloads.toml")
    families = family_names(folder / "kernels.toml")
    return Matrix(
        configurations=load_configurations(folder / "configurations.toml", tuple(models), families),
        models=models,
        workloads=workloads,
        environments=_named(folder / "environments.toml", "environment", load_environment),
        expectations=load_expectations(folder / "expectations.toml"),
    )


def load_models(path: Path = FOLDER / "models.toml") -> dict[str, Model]:
    """The models by name."""
    return _named(path, "model", _model)


def load_workloads(path: Path = FOLDER / "workloads.toml") -> dict[str, Workload]:
    """The workloads by name."""
    return _named(path, "workload", _workload)


def load_configurations(path: Path, models: tuple[str, ...], families: tuple[str, ...]) -> dict[str, Configuration]:
    """The configurations by name; ``models`` and ``families`` are the names that may be referred to."""
    return _named(path, "configuration", lambda name, table: _configuration(name, table, models, families))


def load_expectations(path: Path = FOLDER / "expectations.toml") -> tuple[Expectation, ...]:
    """The known failures in the order of the file."""
    table = read(path)
    entries = tuple(load_expectation(entry) for entry in table.tables("expectation"))
    table.done()
    return entries


def _named(path, key, build):  # type: ignore[no-untyped-def]  # generic over the record that build makes
    table = read(path)
    records = {}
    for name, entry in table.named(key):
        if not NAME.fullmatch(name):
            raise entry.error("", f"is no usable name: lower-case letters, digits, '-' and '.' are accepted")
        records[name] = build(name, entry)
        entry.done()
    table.done()
    return records


def _model(name: str, table: Table) -> Model:
    return Model(
        name=name,
        architecture=table.text("architecture"),
        task=table.text("task", accepted=TASKS),
        tier=table.text("tier", "quick", accepted=TIERS),
        seed=table.integer("seed", 0),
        features=table.texts("features", (), accepted=FEATURES),
        config=table.mapping("config"),
    )


def _workload(name: str, table: Table) -> Workload:
    workload = Workload(
        name=name,
        summary=table.text("summary"),
        tier=table.text("tier", "quick", accepted=TIERS),
        schedule=table.text("schedule", accepted=SCHEDULES),
        lengths=table.integers("lengths"),
        padding=table.text("padding", "none", accepted=PADDINGS),
        steps=table.integer("steps", 0),
        chunks=table.integers("chunks", ()),
        cache=table.text("cache", "none", accepted=CACHES),
        tasks=table.texts("tasks", ("causal-lm",), accepted=TASKS),
        invariant=table.text("invariant"),
    )
    _consistent(workload, table)
    return workload


def _consistent(workload: Workload, table: Table) -> None:
    uneven = len(set(workload.lengths)) > 1
    if uneven and workload.padding == "none" and workload.schedule != "alone":
        raise table.error("padding", "is 'none' though the rows differ in length: use left or right, or schedule = 'alone'")
    if workload.chunks and (workload.schedule != "chunked" or sum(workload.chunks) != max(workload.lengths)):
        raise table.error("chunks", f"{list(workload.chunks)} must add up to the longest row, with schedule = 'chunked'")
    if (workload.schedule in ("decode", "generate")) != bool(workload.steps):
        raise table.error("steps", "is for schedules decode and generate, and at least 1 there")


def _configuration(name: str, table: Table, models: tuple[str, ...], families: tuple[str, ...]) -> Configuration:
    return Configuration(
        name=name,
        summary=table.text("summary"),
        suite=table.text("suite"),
        builder=table.text("builder"),
        options=table.mapping("options"),
        platforms=table.texts("platforms", PLATFORMS, accepted=PLATFORMS),
        dtypes=table.choices("dtypes", keys=DTYPES, values=TIERS),
        models=table.texts("models", ("*",)),
        checks=table.texts("checks", accepted=CHECKS),
        workloads=table.texts("workloads", ("*",)),
        requires=_requirement(table.table("requires")),
        promises=tuple(_promise(entry, models, families) for entry in table.tables("promises")),
        refusals=tuple(_refusal(entry, models) for entry in table.tables("refuses")),
    )


def _requirement(table: Table) -> Requirement:
    requirement = Requirement(
        packages=table.texts("packages", ()), capability=table.text("capability", ""), gpus=table.integer("gpus", 0)
    )
    if requirement.capability and not re.fullmatch(r"\d+\.\d", requirement.capability):
        raise table.error("capability", f"is {requirement.capability!r}, a compute capability such as '8.0' is accepted")
    table.done()
    return requirement


def _condition(table: Table, models: tuple[str, ...]) -> Condition:
    return Condition(
        platforms=table.texts("platforms", (), accepted=PLATFORMS),
        dtypes=table.texts("dtypes", (), accepted=DTYPES),
        features=table.texts("features", (), accepted=FEATURES),
        models=table.texts("models", (), accepted=models),
        phases=table.texts("phases", (), accepted=PHASES),
        mask=table.flag("mask"),
    )


def _promise(table: Table, models: tuple[str, ...], families: tuple[str, ...]) -> Promise:
    promise = Promise(
        where=_condition(table, models),
        families=table.texts("families", accepted=families),
        source=table.text("source", ""),
    )
    table.done()
    return promise


def _refusal(table: Table, models: tuple[str, ...]) -> Refusal:
    refusal = Refusal(
        where=_condition(table, models),
        at=table.text("at", accepted=("build", "run")),
        error=table.text("error"),
        source=table.text("source"),
    )
    table.done()
    try:
        re.compile(refusal.error)
    except re.error as error:
        raise table.error("error", f"is no regular expression: {error}") from None
    return refusal


def today() -> datetime.date:
    """The day that expiry is judged by (UTC)."""
    return datetime.datetime.now(datetime.UTC).date()
