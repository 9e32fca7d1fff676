"""What may run outside a promised execution provider: providers.toml as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from matrix.table import Table, read

FILE: Final = Path(__file__).parent / "providers.toml"
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Of one pass, outside the promised provider: at most these shares of all nodes and of their time, in percent, and
    copies between the host's memory and the provider's.
    """

    nodes: int
    time: int
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeArithmetic:
    """Nodes that may run on the CPU: one of these ``operators`` whose outputs have at most ``bytes``, or, where they are whole
    numbers or booleans, ``whole_bytes``.
    """

    operators: frozenset[str]
    bytes: int
    whole_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """The whole file."""

    shape_arithmetic: ShapeArithmetic
    budgets: Mapping[str, Budget]

    def budget(self, model: str) -> Budget:
        """The budget of a model."""
        return self.budgets.get(model, self.budgets[DEFAULT])


@cache
def load_providers(path: Path = FILE) -> Providers:
    """The file's records.

    Raises:
        UserError: it is malformed, or has no default budget.
    """
    table = read(path)
    arithmetic = table.table("shape-arithmetic")
    shapes = ShapeArithmetic(
        operators=frozenset(arithmetic.texts("operators")), bytes=arithmetic.integer("bytes"),
        whole_bytes=arithmetic.integer("whole_bytes"),
    )  # fmt: skip
    arithmetic.text("source")
    arithmetic.done()
    budgets = {name: _budget(entry) for name, entry in table.named("budget")}
    table.done()
    if DEFAULT not in budgets:
        raise table.error("budget", f"has no {DEFAULT!r}: write [budget.{DEFAULT}]")
    return Providers(shape_arithmetic=shapes, budgets=budgets)


def _budget(entry: Table) -> Budget:
    budget = Budget(nodes=_share(entry, "nodes"), time=_share(entry, "time"), copies=entry.integer("copies"))
    entry.text("source")
    entry.done()
    return budget


def _share(entry: Table, key: str) -> int:
    value = entry.integer(key)
    if value > 100:
        raise entry.error(key, f"is {value}, a share of at most 100 percent is accepted")
    return value
