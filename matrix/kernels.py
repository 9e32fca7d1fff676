"""Which kernel family an operator or a device kernel belongs to: kernels.toml, read strictly, and its pure classification."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from matrix.cell import PLATFORMS
from matrix.table import Table, read

T = TypeVar("T")
PATH: Final = Path(__file__).parent / "kernels.toml"
COMPUTED: Final = ("attention", "quantized-linear")
NOTHING: Final = "(?!)"  # the pattern of what a file does not speak of


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRule:
    """Operators of a family: a regular expression on the profiler's name, and the least rank of the first input."""

    pattern: str
    platforms: tuple[str, ...]
    min_rank: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRule:
    """Device kernels of a family; ``needs_operator`` where the name alone does not tell that the family ran."""

    pattern: str
    platforms: tuple[str, ...]
    needs_operator: bool
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One implementation of attention, or of what else ``computes`` names, and the names it executes under."""

    name: str
    summary: str
    operators: tuple[OperatorRule, ...]
    kernels: tuple[KernelRule, ...]
    computes: str = "attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bystander:
    """A name that looks like attention and computes none, with the reason."""

    pattern: str
    reason: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """Everything of kernels.toml. ``attention`` is the pattern of names that compute attention, whoever claims them.

    ``others`` are such patterns of what else is looked for, by what it computes.
    """

    attention: str
    bystanders: tuple[Bystander, ...]
    families: tuple[Family, ...]
    others: Mapping[str, str] = field(default_factory=dict)
    _known: dict[tuple[object, ...], Any] = field(default_factory=dict, compare=False, repr=False)

    def about(self, computes: str) -> Kernels:
        """The table of one thing alone; in that of something else, ``attention`` is the pattern of that."""
        families = tuple(family for family in self.families if family.computes == computes)
        return Kernels(attention=self.others.get(computes, self.attention), bystanders=self.bystanders, families=families)

    def of_operator(self, name: str, rank: int, platform: str) -> tuple[str, ...]:
        """Families that an operator with a first input of this rank may belong to, in the order of the file."""
        return self._once(("operator", name, rank, platform), lambda: tuple(
            family.name for family in self.families
            if any(_holds(rule, name, platform) and rank >= rule.min_rank for rule in family.operators)
        ))  # fmt: skip

    def of_kernel(self, name: str, platform: str, *, alone: bool) -> tuple[str, ...]:
        """Families that claim a device kernel; ``alone`` where it was launched beneath none of their operators."""
        return self._once(("kernel", name, platform, alone), lambda: tuple(
            family.name for family in self.families
            if any(_holds(rule, name, platform) and not (alone and rule.needs_operator) for rule in family.kernels)
        ))  # fmt: skip

    def looks_like_attention(self, name: str) -> bool:
        """Whether a name speaks of attention and is no bystander."""
        return self._once(("attention", name), lambda: bool(_compiled(self.attention).search(name)) and not any(
            _compiled(bystander.pattern).search(name) for bystander in self.bystanders
        ))  # fmt: skip

    def _once(self, question: tuple[object, ...], answer: Callable[[], T]) -> T:
        """A model launches the same hundred names over and over, so each is put to the patterns once."""
        if question not in self._known:
            self._known[question] = answer()
        known: T = self._known[question]
        return known


@cache
def load_kernels(path: Path = PATH) -> Kernels:
    """kernels.toml.

    Raises:
        UserError: the file is malformed, a pattern is no regular expression, or a name or a claim is repeated.
    """
    table = read(path)
    kernels = Kernels(
        attention=table.pattern("attention"),
        bystanders=tuple(_bystander(entry) for entry in table.tables("bystander")),
        families=tuple(_family(entry) for entry in table.tables("family")),
        others={what: table.pattern(what, NOTHING) for what in COMPUTED if what != "attention"},
    )
    table.done()
    names = [family.name for family in kernels.families]
    for name in names:
        if names.count(name) > 1:
            raise table.error("family", f"{name!r} appears {names.count(name)} times, a name is accepted once: merge them")
    if not names:
        raise table.error("family", "is missing, at least one [[family]] is required")
    return kernels


def family_names(path: Path = PATH) -> tuple[str, ...]:
    """The names that a promise may refer to, in the order of the file."""
    return tuple(family.name for family in load_kernels(path).families)


def _family(table: Table) -> Family:
    family = Family(
        name=table.text("name"),
        summary=table.text("summary"),
        operators=tuple(_operator(entry) for entry in table.tables("operator")),
        kernels=tuple(_kernel(entry) for entry in table.tables("kernel")),
        computes=table.text("computes", "attention", accepted=COMPUTED),
    )
    table.done()
    if not family.operators and not family.kernels:
        raise table.error("operator", f"and kernel are both missing from {family.name!r}, at least one rule is required")
    return family


def _operator(table: Table) -> OperatorRule:
    rule = OperatorRule(
        pattern=table.pattern("pattern"),
        platforms=table.texts("platforms", PLATFORMS, accepted=PLATFORMS),
        min_rank=table.integer("min_rank", 0),
        source=_source(table),
    )
    table.done()
    return rule


def _kernel(table: Table) -> KernelRule:
    rule = KernelRule(
        pattern=table.pattern("pattern"),
        platforms=table.texts("platforms", accepted=tuple(platform for platform in PLATFORMS if platform != "cpu")),
        needs_operator=bool(table.flag("needs_operator")),
        source=_source(table),
    )
    table.done()
    return rule


def _bystander(table: Table) -> Bystander:
    bystander = Bystander(pattern=table.pattern("pattern"), reason=table.text("reason"), source=_source(table))
    table.done()
    return bystander


def _source(table: Table) -> str:
    source = table.text("source")
    if not source.startswith("https://"):
        raise table.error("source", f"is {source!r}, an https:// address is accepted: say where the name was seen")
    return source


def _holds(rule: OperatorRule | KernelRule, name: str, platform: str) -> bool:
    return platform in rule.platforms and bool(_compiled(rule.pattern).search(name))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
