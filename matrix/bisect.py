"""Which requirement alone brings a regression back, and which of its releases first did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from matrix.errors import UserError
from matrix.requirement import Requirement, project
from matrix.resolution import Resolved, releases, resolve
from matrix.stack import Stack

# Cells that a step runs at most: those of the worst verdicts come first, and a defect shows in every step in the same ones.
MOST_CELLS = 60


class Runner(Protocol):
    """What builds a stack, runs the suite in it and returns the folder of the run, one below its own."""

    @property
    def folder(self) -> Path:
        """Where it records."""

    def build(self, name: str, stack: Stack) -> None:
        """See :class:`matrix.validate.Job`."""

    def run(self, name: str, stack: Stack, extra: Sequence[str] = ()) -> Path:
        """See :class:`matrix.validate.Job`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for: the checks that got worse, in runs of their cells alone against the same baseline run."""

    runner: Runner
    before: Path
    lost: tuple[str, ...]
    compared: Callable[[Path, Path, Path], dict[str, str]]

    def again(self, stack: Stack) -> list[str]:
        """Those of the checks that are worse in a stack as well."""
        name = f"bisect-{stack.name}"
        folder = self.runner.folder / name
        if not (folder / "run.json").is_file():
            self.runner.build(name, stack)
            self.runner.run(name, stack, (f"--cells={cells_of(self.lost)}",))
        found = self.compared(self.before, folder, folder)
        return [id for id in self.lost if id in found]


def findings(search: Search, baseline: Stack, candidate: Stack, given: Sequence[str]) -> Iterator[str]:
    """One line for each thing that is found; ``given`` are the releases to try in place of all in the index."""
    differing = differences(baseline, candidate)
    culprits = [*differing]
    if len(differing) > 1:
        culprits = []
        for name in differing:
            count = len(search.again(alone(name, baseline, candidate)))
            yield f"bisect: {_change(name, baseline, candidate)} alone brings {count} of {len(search.lost)} back"
            culprits += [name] if count else []
        if not culprits:
            yield "bisect: no requirement does it alone, they do it together"
    for name in culprits:
        yield from _release(search, name, alone(name, baseline, candidate), baseline, candidate, given)


def _release(search: Search, name: str, stack: Stack, baseline: Stack, candidate: Stack, given: Sequence[str]) -> Iterator[str]:
    first, last = _of(name, baseline), _of(name, candidate)
    if not first or not last or _content(name, candidate):
        return  # what is not of an index has no releases in between
    known = list(given) or releases(name, first, last, candidate.source)
    bad, unusable = first_bad(known, lambda version: search.again(_with(stack, name, version)))
    yield from (f"bisect: {name} {version} is left out: {why}" for version, why in unusable.items())
    before = [first, *known][known.index(bad)] if bad in known else first
    yield f"bisect: {name} {bad} is the first release that does it, {before} the last that does not"


def first_bad(versions: Sequence[str], bad: Callable[[str], object]) -> tuple[str, dict[str, str]]:
    """The first version that is bad, by halving, where the last is known to be; and those that could not be tried, with why."""
    unusable: dict[str, str] = {}
    tried = list(versions)
    low, high = 0, len(tried) - 1
    while low < high:
        middle = (low + high) // 2
        try:
            low, high = (low, middle) if bad(tried[middle]) else (middle + 1, high)
        except UserError as error:
            unusable[tried.pop(middle)] = str(error)
            high -= 1
    return tried[high], unusable


def differences(baseline: Stack, candidate: Stack) -> list[str]:
    """The projects that the two have in different releases."""
    names = dict.fromkeys(each.project for each in (*candidate.changed, *baseline.changed))
    return [name for name in names if _line(name, baseline) != _line(name, candidate)]


def alone(name: str, baseline: Stack, candidate: Stack) -> Stack:
    """The baseline with one project as the candidate has it."""
    taken = tuple(each for each in candidate.changed if each.project == name)
    kept = tuple(each for each in baseline.changed if each.project != name)
    return replace(candidate, changed=(*kept, *taken))


def cells_of(checks: Sequence[str]) -> str:
    """The ``--cells`` expression of the cells that checks are of."""
    cells = dict.fromkeys(check.partition("::")[0] for check in checks if not check.startswith("environment/"))
    return " or ".join(list(cells)[:MOST_CELLS]) or "*"


def _with(stack: Stack, name: str, version: str) -> Stack:
    requirement = Requirement(text=f"{name}=={version}", line=f"{name}=={version}", project=name, version=version)
    resolved = resolve(requirement, "--bisect", stack.source)
    own = resolved.line in stack.environment.packages
    kept = tuple(each for each in stack.changed if each.project != name)
    return replace(stack, changed=kept if own else (*kept, resolved))


def _changed(name: str, stack: Stack) -> Resolved | None:
    return next((each for each in stack.changed if each.project == name), None)


def _line(name: str, stack: Stack) -> str:
    own = next((package for package in stack.environment.packages if project(package) == name), "")
    changed = _changed(name, stack)
    return changed.line if changed else own


def _of(name: str, stack: Stack) -> str:
    changed = _changed(name, stack)
    return changed.version if changed else _line(name, stack).partition("==")[2]


def _content(name: str, stack: Stack) -> str:
    changed = _changed(name, stack)
    return changed.content if changed else ""


def _change(name: str, baseline: Stack, candidate: Stack) -> str:
    return f"{name} {_of(name, baseline) or 'none'} -> {_of(name, candidate) or 'none'}"
