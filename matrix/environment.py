"""Environments: a stack of library versions on a platform, and what it promises to provide."""

from __future__ import annotations

from dataclasses import dataclass

from matrix.cell import PLATFORMS
from matrix.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One tox environment. ``packages`` are the requirements it is installed from; ``promises`` are the importable
    packages that must work in it: one that does not is a failure, never a skip.
    """

    name: str
    summary: str
    platform: str
    packages: tuple[str, ...]
    promises: tuple[str, ...]


def load_environment(name: str, table: Table) -> Environment:
    """One ``[environment.NAME]`` of environments.toml."""
    return Environment(
        name=name,
        summary=table.text("summary"),
        platform=table.text("platform", accepted=PLATFORMS),
        packages=table.texts("packages"),
        promises=table.texts("promises"),
    )
