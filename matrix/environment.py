"""Environments: a stack of library versions on a platform, what it promises to provide, and the versions it varies in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from matrix.cell import PLATFORMS
from matrix.part import apart
from matrix.requirement import PINNED, project
from matrix.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One tox environment. ``packages`` are the pinned requirements it is installed from; ``promises`` are the importable
    packages that must work in it: one that does not is a failure, never a skip.

    ``python`` is the oldest Python it runs on, ``index`` where besides the package index it is installed from, ``runtime``
    the CUDA or ROCm that torch must be built for, empty where any is right. ``constraints`` is a file below ``matrix``
    with versions of what its packages need in turn. ``stack`` is the environment that it varies, its own name otherwise.
    """

    name: str
    summary: str
    platform: str
    packages: tuple[str, ...]
    promises: tuple[str, ...]
    python: str = ""
    index: str = ""
    runtime: str = ""
    constraints: str = ""
    axes: tuple[str, ...] = ()
    stack: str = ""

    @property
    def varied(self) -> bool:
        """Whether it is a stack in other releases than its own."""
        return self.stack not in ("", self.name)

    def instead(self, requirements: tuple[str, ...]) -> tuple[str, ...]:
        """Its packages with some requirements in the place of its own for the same project; others are added, and what
        an older release holds itself is left out.
        """
        given = {project(requirement): requirement for requirement in requirements}
        kept = tuple(given.pop(project(package), package) for package in self.packages)
        return apart((*kept, *given.values()))


def load_environments(table: Table) -> dict[str, Environment]:
    """Every ``[environment.NAME]`` of environments.toml, each followed by the environments that vary it.

    Raises:
        UserError: a key is unknown, missing or not usable.
    """
    axes = {name: _releases(entry) for name, entry in table.optionally_named("axis")}
    found: dict[str, Environment] = {}
    for name, entry in table.named("environment"):
        environment = _environment(name, entry, tuple(axes))
        entry.done()
        found |= {each.name: each for each in _varied(environment, axes)}
    return found


def _environment(name: str, table: Table, axes: tuple[str, ...]) -> Environment:
    environment = Environment(
        name=name,
        summary=table.text("summary"),
        platform=table.text("platform", accepted=PLATFORMS),
        packages=table.texts("packages"),
        promises=table.texts("promises"),
        python=table.text("python", ""),
        index=table.text("index", ""),
        runtime=table.text("runtime", ""),
        constraints=table.text("constraints", ""),
        axes=table.texts("axes", (), accepted=axes or ("none: there is no [axis.NAME]",)),
        stack=name,
    )
    for package in environment.packages:
        if not PINNED.fullmatch(package):
            raise table.error("packages", f"holds {package!r}, pinned requirements such as 'torch==2.13.0' are accepted")
    for axis in environment.axes:
        if axis not in map(project, environment.packages):
            raise table.error("axes", f"holds {axis!r}, which is none of its packages")
    if environment.constraints and not (table.path.parent / environment.constraints).is_file():
        raise table.error("constraints", f"is {environment.constraints!r}, a file beside {table.path.name} is accepted")
    return environment


def _releases(table: Table) -> tuple[str, ...]:
    releases = table.texts("releases")
    table.done()
    return releases


def _varied(environment: Environment, axes: Mapping[str, tuple[str, ...]]) -> Iterator[Environment]:
    """The environment itself, and one for each choice of releases along its axes."""
    choices = [("", *(f"{axis}=={release}" for release in axes[axis])) for axis in environment.axes]
    for choice in product(*choices):
        chosen = tuple(requirement for requirement in choice if requirement)
        yield replace(environment, name=varied_name(environment.name, chosen), packages=environment.instead(chosen))


def varied_name(name: str, requirements: tuple[str, ...]) -> str:
    """``cpu-tf5-torch2.11`` for ``cpu-tf5`` with ``torch==2.11.0``: a factor of tox is a project and its minor release."""
    factors = [f"{project(each)}{'.'.join(each.partition('==')[2].split('.')[:2])}" for each in requirements]
    return "-".join((name, *factors))
