"""The grid in blocks, one a suite: a kind of check that only one suite has is a column there, and no empty one elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from reports.render import grid
from reports.render.html.entry import Entry

ORDER: Final = ("environment", "attention", "quantization", "placement", "onnxruntime", "guide", "latency")
"""Suites as a run takes them (``testpaths`` in pyproject.toml); others follow by name."""


OTHER: Final = "other"
"""What no test has recorded: what was planned and never run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The configurations of a suite; ``name`` is empty where there is only one block."""

    name: str
    table: grid.Grid

    @property
    def bad(self) -> bool:
        """Whether anything in it is bad."""
        return any(tally.bad for _, tallies in self.table.rows for tally in tallies)


def blocks(entries: Sequence[Entry], columns: Sequence[str] = ()) -> list[Block]:
    """The blocks of a page, those with something bad first; each has ``columns``, or the kinds of checks that it holds."""
    suites = _suites(entries)
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(suites[entry.configuration], []).append(entry)
    made = [Block(name=(name or OTHER) if len(found) > 1 else "", table=_table(some, columns)) for name, some in found.items()]
    return sorted(made, key=lambda block: (not block.bad, _place(block.name)))


def _suites(entries: Iterable[Entry]) -> dict[str, str]:
    """The suite in which most checks of each configuration are; what was never run says of none."""
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        counts.setdefault(entry.configuration, Counter())[entry.suite] += bool(entry.suite)
    return {name: min(found, key=lambda suite: (-found[suite], _place(suite))) for name, found in counts.items()}


def _place(suite: str) -> tuple[int, str]:
    return (ORDER.index(suite) if suite in ORDER else len(ORDER), suite)


def _table(entries: Iterable[Entry], columns: Sequence[str]) -> grid.Grid:
    return grid.of_states(((entry.configuration, entry.column, entry.state) for entry in entries), columns)
