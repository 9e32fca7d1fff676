"""From the matrix files to the list of checks: pure functions, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Final

from matrix.cell import (
    ALONE,
    CALLS,
    COMPUTE_DTYPE,
    LATENCY,
    ONE_ROW,
    PHASES,
    PIPELINES,
    RELOADS,
    RUNTIMES,
    TIERS,
    TRAINED,
    Cell,
    Check,
    Condition,
    Configuration,
    Model,
    Promise,
    Refusal,
    Requirement,
    Workload,
)
from matrix.errors import UserError
from matrix.expression import globs, matches, parse
from matrix.load import Matrix

QUANTIZATION: Final = "quantization"  # the suite whose layers have kernels for one row
ADVICE: Final = "run `python -m matrix list` for all of them"


def cells(matrix: Matrix, platform: str, tier: str) -> Iterator[Cell]:
    """The cells of a platform up to a tier: models outermost, so that neighbours share references."""
    for model in matrix.models.values():
        for dtype in ("fp32", "bf16", "fp16"):
            for configuration in matrix.configurations.values():
                cell = Cell(configuration=configuration, model=model, dtype=dtype, platform=platform)
                if _belongs(configuration, model, dtype, platform, tier) and any(checks_of(cell, matrix, tier)):
                    yield cell


def chosen(matrix: Matrix, platform: str, tier: str, expression: str) -> list[Cell]:
    """The cells that ``--cells`` asks for.

    Raises:
        UserError: the expression is malformed, matches no cell, or one of its globs matches none of any tier.
    """
    selected = parse(expression)
    listed = [cell for cell in cells(matrix, platform, tier) if selected(cell)]
    whole = list(cells(matrix, platform, TIERS[-1]))
    for glob in globs(expression):
        if not any(matches(glob, cell) for cell in whole):
            raise UserError(
                f"--cells {expression!r}: {glob!r} matches no cell of {platform}: run `python -m matrix list` for all of them"
            )
    if not listed:
        raise UserError(
            f"--cells {expression!r} matches no cell of {platform}, tier {tier}: run `python -m matrix list` for all of them"
        )
    return listed


def checks(matrix: Matrix, platform: str, tier: str) -> Iterator[Check]:
    """Every planned check of a platform up to a tier."""
    for cell in cells(matrix, platform, tier):
        yield from checks_of(cell, matrix, tier)


def checks_of(cell: Cell, matrix: Matrix, tier: str) -> Iterator[Check]:
    """The checks of one cell: what it must refuse, or all that must hold."""
    if refusal := refusal_of(cell, "build"):
        yield Check(cell=cell, kind="refuses", subject="build", refusal=refusal)
        return
    workloads = list(workloads_of(cell, matrix, tier))
    for kind in cell.configuration.checks:
        if (kind == "calls") != (cell.model.task == "call") or (kind == LATENCY) != (cell.model.purpose == LATENCY):
            continue
        yield from _EXPANSIONS.get(kind, _once)(cell, kind, workloads)


def workloads_of(cell: Cell, matrix: Matrix, tier: str) -> Iterator[Workload]:
    """The workloads that are asked of a cell."""
    for workload in matrix.workloads.values():
        asked = any(fnmatchcase(workload.name, pattern) for pattern in cell.configuration.workloads)
        fits = cell.model.task in workload.tasks and cell.dtype in workload.dtypes
        fits = fits and any(fnmatchcase(cell.configuration.name, pattern) for pattern in workload.configurations)
        fits = fits and workload.timed == (cell.model.purpose == LATENCY)
        fits = fits and any(fnmatchcase(cell.model.name, pattern) for pattern in workload.models)
        if asked and fits and _within(workload.tier, tier):
            yield workload


def refusal_of(cell: Cell, at: str, *, masks: frozenset[bool] = frozenset(), phase: str = "") -> Refusal | None:
    """The refusal that is expected of a cell when it is built (``build``) or fed (``run``)."""
    for refusal in cell.configuration.refusals:
        if refusal.at == at and holds(refusal.where, cell, masks=masks, phase=phase):
            return refusal
    return None


def promised(cell: Cell, phase: str, *, masks: frozenset[bool] = frozenset()) -> tuple[str, ...]:
    """The kernel families of which one must execute in a phase: the first promise whose condition holds."""
    promise = promise_of(cell, phase, masks=masks)
    return promise.families if promise else ()


def promise_of(cell: Cell, phase: str, *, masks: frozenset[bool] = frozenset()) -> Promise | None:
    """The first promise whose condition holds in a phase."""
    for promise in cell.configuration.promises:
        if holds(promise.where, cell, masks=masks, phase=phase):
            return promise
    return None


def holds(where: Condition, cell: Cell, *, masks: frozenset[bool], phase: str) -> bool:
    """Whether a condition is true of a cell."""
    return (
        (not where.platforms or cell.platform in where.platforms)
        and (not where.dtypes or cell.dtype in where.dtypes)
        and (not where.architectures or cell.model.architecture in where.architectures)
        and (not where.features or bool(set(where.features) & set(cell.model.features)))
        and (not where.phases or phase in where.phases)
        and (where.mask is None or where.mask in masks)
    )


def masks_of(phase: str) -> frozenset[bool]:
    """Whether a phase that dispatch looks at hands attention a mask; its prompts are shorter than any window."""
    return frozenset({phase == "padded-prefill"})


def _each_subject(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    if not refusal_of(cell, "run", masks=frozenset({False})):
        for subject in _calls_of(cell):
            yield Check(cell=cell, kind=kind, subject=subject)


def _calls_of(cell: Cell) -> tuple[str, ...]:
    """What a configuration names itself, or all that its function can be asked."""
    options = cell.configuration.options
    every = CALLS[cell.model.architecture]
    if cell.model.architecture == "linear-call" and options.get("load") == "4-bit":
        every = (*every, COMPUTE_DTYPE)
    return tuple(options.get("subjects", every))


def _each_snippet(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    for snippet in cell.configuration.options["snippets"]:
        yield Check(cell=cell, kind=kind, subject=snippet)


def _once(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    yield Check(cell=cell, kind=kind)


def _once_for_language_models(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    if cell.model.task == "causal-lm":
        yield Check(cell=cell, kind=kind)


def _each_workload(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    if cell.model.architecture == TRAINED:
        return  # random rows are nothing that it was trained on: what it says to them hangs on roundings
    for workload in workloads:
        refusal = refusal_of(cell, "run", masks=workload.masks(cell.model.window))
        yield Check(cell=cell, kind="refuses" if refusal else kind, subject=workload.name, workload=workload, refusal=refusal)


def _each_timed(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    for workload in workloads:
        if not refusal_of(cell, "run", masks=workload.masks(cell.model.window)):
            yield Check(cell=cell, kind=kind, subject=workload.name, workload=workload)


def _each_invariant(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    for workload in workloads:
        alone, own = _masks_alone(cell, workload), workload.masks(cell.model.window)
        if not refusal_of(cell, "run", masks=alone) and not refusal_of(cell, "run", masks=own):
            yield Check(cell=cell, kind=kind, subject=f"{workload.invariant}:{workload.name}", workload=workload)


def _masks_alone(cell: Cell, workload: Workload) -> frozenset[bool]:
    """Whether the rows of a workload take a mask when each is run whole and alone, as its law compares them."""
    window, generates = cell.model.window, workload.schedule == "generate"
    lengths = [length + workload.steps for length in workload.lengths] if generates else [ALONE]
    return frozenset(window is not None and length >= window for length in lengths)


def _each_phase(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    for phase in PHASES:
        if phase in ("decode", ONE_ROW) and cell.model.task != "causal-lm":
            continue
        if phase == ONE_ROW and cell.configuration.suite != QUANTIZATION:
            continue
        if not refusal_of(cell, "run", masks=masks_of(phase), phase=phase):
            yield Check(cell=cell, kind=kind, subject=phase)


def _each_reload(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    for subject in RELOADS:
        yield Check(cell=cell, kind=kind, subject=subject)


def _each_pipeline(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    for subject in PIPELINES:
        yield Check(cell=cell, kind=kind, subject=subject)


def _once_trained(cell: Cell, kind: str, workloads: list[Workload]) -> Iterator[Check]:
    if cell.model.architecture == TRAINED:
        yield Check(cell=cell, kind=kind)


_EXPANSIONS: dict[str, Callable[[Cell, str, list[Workload]], Iterator[Check]]] = {
    "correct": _each_workload, "invariant": _each_invariant, "dispatch": _each_phase,
    "calls": _each_subject, "guide": _each_snippet, "padding-cost": _once_for_language_models,
    "layers": _each_phase, "quality": _once_trained, "reloads": _each_reload,
    "same": _each_workload, "pipelines": _each_pipeline, LATENCY: _each_timed,
}  # fmt: skip


def _belongs(configuration: Configuration, model: Model, dtype: str, platform: str, tier: str) -> bool:
    return (
        platform in configuration.platforms
        and platform in model.platforms
        and dtype in configuration.dtypes
        and _within(configuration.dtypes[dtype], tier)
        and _within(model.tier, tier)
        and any(fnmatchcase(model.name, pattern) for pattern in configuration.models)
        and (tier != "quick" or any(fnmatchcase(model.name, pattern) for pattern in configuration.quick))
        and any(fnmatchcase(configuration.name, pattern) for pattern in model.configurations)
    )


def _within(own: str, asked: str) -> bool:
    return TIERS.index(own) <= TIERS.index(asked)


def environment_checks(promises: Iterable[str], platform: str) -> Iterator[Check]:
    """One check a promised package: it must import. The package stands where a cell has its model.

    ONNX Runtime must also make its sessions on the promised provider whether or not torch was imported before.
    """
    for package in promises:
        cell = Cell(configuration=_ENVIRONMENT, model=_package(package), dtype="any", platform=platform)
        yield Check(cell=cell, kind="imports")
        if package in RUNTIMES:
            yield Check(cell=cell, kind="import-order")


def _package(name: str) -> Model:
    return Model(name=name, architecture="package", task="call", tier="quick", seed=0, features=(), config={})


_ENVIRONMENT = Configuration(
    name="environment", summary="the libraries themselves", suite="environment", builder="", options={}, platforms=(),
    dtypes={}, models=(), checks=("imports",), workloads=(), requires=Requirement(), promises=(), refusals=(),
)  # fmt: skip
