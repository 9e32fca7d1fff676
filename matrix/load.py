"""The matrix files as records: strict, versioned, standard library only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from matrix.cell import (
    CACHES,
    CALLS,
    CHECKS,
    CORRECTNESS,
    DERIVED_CHECKS,
    DTYPES,
    FEATURES,
    INVARIANTS,
    PADDINGS,
    PHASES,
    PLATFORMS,
    PURPOSES,
    SCHEDULES,
    TASKS,
    TIERS,
    TIMED,
    Condition,
    Configuration,
    Model,
    Promise,
    Refusal,
    Requirement,
    Since,
    Workload,
)
from matrix.combination import combine
from matrix.environment import Environment, load_environments
from matrix.errors import UserError
from matrix.expectation import Expectation, load_expectation
from matrix.kernels import family_names
from matrix.table import Table, read

Record = TypeVar("Record")
FOLDER = Path(__file__).parent
COMMAND_LINE = ("checkpoint", "trust_remote_code")
NAME = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")
PLANNED_CHECKS = tuple(check for check in CHECKS if check not in DERIVED_CHECKS)


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
    models, workloads = load_models(folder / "models.toml"), load_workloads(folder / "workloads.toml")
    architectures = tuple(sorted({model.architecture for model in models.values()}))
    families = family_names(folder / "kernels.toml")
    configurations = load_configurations(folder / "configurations.toml", architectures, families)
    for configuration in configurations.values():
        _refers(configuration, "models", configuration.models, tuple(models))
        _refers(configuration, "quick", configuration.quick, tuple(models), file="models.toml")
        _refers(configuration, "workloads", configuration.workloads, tuple(workloads))
    for key, asked in (*_asked("model", models), *_asked("workload", workloads)):
        _asks(f"{key}.configurations", asked, tuple(configurations), "configurations.toml")
    for name, workload in workloads.items():
        _asks(f"workloads.toml: workload.{name}.models", workload.models, tuple(models), "models.toml")
    return Matrix(
        configurations=configurations,
        models=models,
        workloads=workloads,
        environments=load_environments_of(folder / "environments.toml"),
        expectations=load_expectations(folder / "expectations.toml"),
    )


def load_models(path: Path = FOLDER / "models.toml") -> dict[str, Model]:
    """The models by name."""
    return _named(path, "model", _model)


def load_workloads(path: Path = FOLDER / "workloads.toml") -> dict[str, Workload]:
    """The workloads by name."""
    return _named(path, "workload", _workload)


def load_configurations(path: Path, architectures: tuple[str, ...], families: tuple[str, ...]) -> dict[str, Configuration]:
    """The configurations by name; ``architectures`` and ``families`` are the names that may be referred to."""
    table = read(path)
    promises = _entries(table, "promise", lambda name, entry: _promise(entry, architectures, families))
    refusals = _entries(table, "refusal", lambda name, entry: _refusal(entry, architectures))
    written = _entries(table, "configuration", lambda name, entry: _configuration(name, entry, promises, refusals))
    configurations = combine(written)
    brought = [_since(entry, tuple(configurations)) for entry in table.tables("since")]
    table.done()
    return {name: _asking(configuration, brought) for name, configuration in configurations.items()}


def load_environments_of(path: Path = FOLDER / "environments.toml") -> dict[str, Environment]:
    """The environments by name, those that vary another after it."""
    table = read(path)
    environments = load_environments(table)
    table.done()
    for name in environments:
        if not NAME.fullmatch(name):
            raise table.error("environment", f"holds the name {name!r}, lower-case letters, digits, '-' and '.' are accepted")
    return environments


def load_expectations(path: Path = FOLDER / "expectations.toml") -> tuple[Expectation, ...]:
    """The known failures in the order of the file."""
    table = read(path)
    entries = tuple(load_expectation(entry) for entry in table.tables("expectation"))
    table.done()
    return entries


def _refers(
    configuration: Configuration, key: str, patterns: tuple[str, ...], known: tuple[str, ...], *, file: str = ""
) -> None:
    """A glob that matches nothing would leave its cells out in silence."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UserError(f"configurations.toml: configuration.{configuration.name}.{key} holds {pattern!r}, which matches "
                            f"nothing in {file or f'{key}.toml'}, accepted: globs of {', '.join(known)}")  # fmt: skip


def _asked(kind: str, records: Mapping[str, Model] | Mapping[str, Workload]) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield from ((f"{kind}s.toml: {kind}.{name}", record.configurations) for name, record in records.items())


def _asks(where: str, patterns: tuple[str, ...], known: tuple[str, ...], file: str) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UserError(
                f"{where} holds {pattern!r}, which matches nothing in {file}, accepted: globs of {', '.join(known)}"
            )


def _named(path: Path, key: str, build: Callable[[str, Table], Record]) -> dict[str, Record]:
    table = read(path)
    records = _entries(table, key, build)
    table.done()
    return records


def _entries(table: Table, key: str, build: Callable[[str, Table], Record]) -> dict[str, Record]:
    records = {}
    for name, entry in table.named(key):
        if not NAME.fullmatch(name):
            raise table.error(key, f"holds the name {name!r}, lower-case letters, digits, '-' and '.' are accepted")
        records[name] = build(name, entry)
        entry.done()
    return records


def _model(name: str, table: Table) -> Model:
    model = Model(
        name=name,
        architecture=table.text("architecture"),
        task=table.text("task", accepted=TASKS),
        tier=table.text("tier", "quick", accepted=TIERS),
        seed=table.integer("seed", 0),
        features=table.texts("features", (), accepted=FEATURES),
        config=table.mapping("config"),
        configurations=table.texts("configurations", ("*",)),
        package=table.text("package", ""),
        purpose=table.text("purpose", CORRECTNESS, accepted=PURPOSES),
        platforms=table.texts("platforms", PLATFORMS, accepted=PLATFORMS),
    )
    for key in COMMAND_LINE:
        if key in model.config:
            raise table.error("config", f"holds {key}, which only the command line gives: take it out")
    if model.task == "call" and model.architecture not in CALLS:
        raise table.error("architecture", f"is {model.architecture!r}, accepted with task 'call': {', '.join(CALLS)}")
    if "sliding-window" in model.features and not _positive(model.config.get("sliding_window")):
        raise table.error("config", "needs sliding_window with feature 'sliding-window': a whole number of at least 1")
    if model.task != "call" and not _positive(model.config.get("vocab_size")):
        raise table.error("config", f"needs vocab_size with task {model.task!r}: a whole number of at least 1")
    return model


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _workload(name: str, table: Table) -> Workload:
    timed = bool(table.flag("timed"))
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
        tasks=table.texts("tasks", ("causal-lm",), accepted=tuple(task for task in TASKS if task != "call")),
        dtypes=table.texts("dtypes", DTYPES, accepted=DTYPES),
        invariant="" if timed else table.text("invariant", accepted=INVARIANTS),
        configurations=table.texts("configurations", ("*",)),
        timed=timed,
        models=table.texts("models", ("*",)),
    )
    if workload.schedule == "load" and not timed:
        raise table.error("schedule", "is 'load', which is for timed = true")
    if timed and workload.schedule not in TIMED:
        raise table.error("schedule", f"is {workload.schedule!r}, accepted with timed = true: {', '.join(TIMED)}")
    if timed and workload.schedule == "decode" and workload.padding != "none":
        raise table.error("padding", f"is {workload.padding!r}, 'none' is accepted with timed = true and schedule = 'decode'")
    for key, problem in _contradictions(workload):
        raise table.error(key, problem)
    return workload


def _contradictions(workload: Workload) -> Iterator[tuple[str, str]]:
    """Keys that ask for what the schedule would ignore, with what is accepted."""
    schedule, uneven = workload.schedule, len(set(workload.lengths)) > 1
    if schedule == "alone" and workload.padding != "none":
        yield "padding", f"is {workload.padding!r}, 'none' is accepted with schedule = 'alone': each row is a batch of its own"
    if schedule.startswith("packed") and workload.padding != "none":
        yield "padding", f"is {workload.padding!r}, 'none' is accepted with schedule = {schedule!r}: packing leaves none"
    if schedule not in ("alone", "packed", "packed-lengths") and uneven and workload.padding == "none":
        yield "padding", "is 'none' though the rows differ in length: use left or right, or schedule = 'alone'"
    if (schedule == "chunked") != bool(workload.chunks):
        yield "chunks", "is for schedule = 'chunked', and required there"
    if schedule == "chunked" and workload.lengths != (sum(workload.chunks),):
        yield "chunks", f"adds up to {sum(workload.chunks)}, the length of the one row of schedule = 'chunked' is accepted"
    if (schedule in ("decode", "generate")) != bool(workload.steps):
        yield "steps", "is for schedules decode and generate, and at least 1 there"
    caches = {"decode": ("dynamic", "static"), "chunked": ("dynamic",), "generate": ("dynamic",)}.get(schedule, ("none",))
    if workload.cache not in caches:
        yield "cache", f"is {workload.cache!r}, accepted with schedule = {schedule!r}: {', '.join(caches)}"
    if schedule not in ("prefill", "alone") and workload.tasks != ("causal-lm",):
        yield "tasks", f"is {list(workload.tasks)!r}, ['causal-lm'] is accepted with schedule = {schedule!r}: it needs a cache"


def _configuration(name: str, table: Table, promises: dict[str, Promise], refusals: dict[str, Refusal]) -> Configuration:
    configuration = _read_configuration(name, table, promises, refusals)
    snippets = configuration.options.get("snippets")
    if "guide" in configuration.checks and not (isinstance(snippets, list) and snippets):
        raise table.error("options", "needs snippets with check 'guide': a list of their names")
    return configuration


def _read_configuration(name: str, table: Table, promises: dict[str, Promise], refusals: dict[str, Refusal]) -> Configuration:
    return Configuration(
        name=name,
        summary=table.text("summary"),
        suite=table.text("suite"),
        builder=table.text("builder"),
        options=table.mapping("options"),
        platforms=table.texts("platforms", PLATFORMS, accepted=PLATFORMS),
        dtypes=table.choices("dtypes", keys=DTYPES, values=TIERS),
        models=table.texts("models", ("*",)),
        checks=table.texts("checks", accepted=PLANNED_CHECKS),
        workloads=table.texts("workloads", ("*",)),
        requires=_requirement(table.table("requires")),
        promises=tuple(promises[promise] for promise in table.texts("promises", (), accepted=promises)),
        refusals=tuple(refusals[refusal] for refusal in table.texts("refuses", (), accepted=refusals)),
        quick=table.texts("quick", ("*",)),
        combined=table.texts("with", ()),
        quick_with=table.texts("quick_with", ("*",)),
    )


def _requirement(table: Table) -> Requirement:
    requirement = Requirement(
        packages=table.texts("packages", ()), capability=table.text("capability", ""), gpus=table.integer("gpus", 0),
        variables=table.mapping("variables"),
    )  # fmt: skip
    for name, value in requirement.variables.items():
        if not isinstance(value, str):
            raise table.error("variables", f"holds {name} = {value!r}, a string is accepted")
    if requirement.capability and not re.fullmatch(r"\d+\.\d", requirement.capability):
        raise table.error("capability", f"is {requirement.capability!r}, a compute capability such as '8.0' is accepted")
    table.done()
    return requirement


def _since(table: Table, known: tuple[str, ...]) -> Since:
    since = Since(
        package=table.text("package"),
        release=table.text("release"),
        configurations=table.texts("configurations"),
        platforms=table.texts("platforms", PLATFORMS, accepted=PLATFORMS),
        what=table.text("what"),
        source=table.text("source"),
    )
    table.done()
    if not re.fullmatch(r"\d+(\.\d+)*", since.release):
        raise table.error("release", f"is {since.release!r}, a release such as '4.53' is accepted")
    _asks(f"configurations.toml: {table.where}.configurations", since.configurations, known, "configurations.toml")
    return since


def _asking(configuration: Configuration, brought: list[Since]) -> Configuration:
    """A configuration with the releases that brought what it asks for."""
    since = tuple(entry for entry in brought if any(fnmatchcase(configuration.name, glob) for glob in entry.configurations))
    return replace(configuration, requires=replace(configuration.requires, since=since)) if since else configuration


def _condition(table: Table, architectures: tuple[str, ...]) -> Condition:
    return Condition(
        platforms=table.texts("platforms", (), accepted=PLATFORMS),
        dtypes=table.texts("dtypes", (), accepted=DTYPES),
        features=table.texts("features", (), accepted=FEATURES),
        architectures=table.texts("architectures", (), accepted=architectures),
        phases=table.texts("phases", (), accepted=PHASES),
        mask=table.flag("mask"),
    )


def _promise(table: Table, architectures: tuple[str, ...], families: tuple[str, ...]) -> Promise:
    return Promise(
        where=_condition(table, architectures),
        families=table.texts("families", accepted=families),
        source=table.text("source", ""),
        advice=table.text("advice", ""),
    )


def _refusal(table: Table, architectures: tuple[str, ...]) -> Refusal:
    refusal = Refusal(
        where=_condition(table, architectures),
        at=table.text("at", accepted=("build", "run")),
        error=table.pattern("error"),
        source=table.text("source"),
    )
    table.done()
    if refusal.where.phases:
        raise table.error("phases", "is for promises alone: say mask = true or false")
    if refusal.at == "build" and refusal.where.mask is not None:
        raise table.error("mask", "is for at = 'run': nothing is fed while a model is built")
    return refusal
