"""Everything recorded by one execution in one environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from reports.fields import Fields
from reports.record import RED, Outcome, Record
from reports.shard import Shard, shard

SCHEMA: Final = 1
PREFLIGHT: Final = "preflight"
"""The check that looks at the machine before any other."""


class Status(StrEnum):
    """What became of one entry of expectations.toml in a run."""

    MATCHED = "matched"
    STALE = "stale"
    EXPIRED = "expired"
    UNMATCHED = "unmatched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One known failure as the run saw it."""

    cells: str
    url: str
    status: Status
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What run.json says: what was asked, what was planned, and whether it came to its end.

    ``started`` and ``finished`` are seconds since the epoch. ``cells`` is the selecting expression, ``narrowed`` says
    that less than the tier was asked for, ``planned`` holds check ids, ``injected`` the names of faults put in on
    purpose, ``shard`` which part of the plan this run is where it is one, ``notes`` what a reader must know.
    """

    id: str
    started: float
    platform: str
    finished: float | None = None
    complete: bool = False
    tier: str = ""
    cells: str = ""
    environment: str = ""
    injected: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()
    narrowed: bool = False
    shard: Shard | None = None
    notes: tuple[str, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    schema: int = SCHEMA

    def to_tree(self) -> dict[str, Any]:
        """The header as plain values, the schema first."""
        tree = {"schema": self.schema} | {item.name: getattr(self, item.name) for item in fields(self) if item.name != "schema"}
        shard = self.shard.to_tree() if self.shard else {}
        return tree | {"shard": shard, "expectations": [_plain(entry) for entry in self.expectations]}

    @classmethod
    def from_tree(cls, tree: object, where: str) -> Header:
        """The header in a parsed run.json. Raises UserError for an unknown key, a wrong type or a newer schema."""
        keys = Fields(tree, where)
        header = cls(
            schema=keys.schema(SCHEMA),
            id=keys.text("id"),
            started=keys.number("started"),
            finished=keys.number_or_none("finished"),
            complete=keys.truth("complete"),
            platform=keys.text("platform"),
            tier=keys.text("tier", ""),
            cells=keys.text("cells", ""),
            environment=keys.text("environment", ""),
            injected=keys.texts("injected", ()),
            planned=keys.texts("planned", ()),
            narrowed=keys.truth("narrowed", False),
            shard=_shard(keys),
            notes=keys.texts("notes", ()),
            expectations=tuple(_expectation(entry) for entry in keys.tables("expectations", ())),
        )
        keys.close()
        return header


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it was read back.

    ``records`` is by check id in the order they were written; ``superseded`` holds those whose check was recorded again
    later; ``damage`` says in sentences what could not be read.
    """

    folder: Path
    header: Header
    environment: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)
    superseded: tuple[Record, ...] = ()
    damage: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Checks that were planned and left no record."""
        return tuple(id for id in dict.fromkeys(self.header.planned) if id not in self.records)

    @property
    def hidden_failures(self) -> tuple[str, ...]:
        """Checks that were first not good and then good: a check that passes the second time is a finding."""
        red = {record.id for record in self.superseded if record.outcome in RED}
        return tuple(sorted(id for id in red if self.records[id].outcome not in RED))

    @property
    def executed(self) -> int:
        """How many checks did something; preflight, which looks at the machine, is none of them."""
        done = (record for record in self.records.values() if record.outcome is not Outcome.SKIPPED)
        return sum(record.check != PREFLIGHT for record in done)

    @property
    def whole(self) -> bool:
        """The run came to its end, and everything it planned can be read."""
        return self.header.complete and not self.missing and not self.damage

    @property
    def expectation_troubles(self) -> tuple[str, ...]:
        """One sentence for each expectation that does not describe this run: stale, expired or matching nothing."""
        listed = [entry for entry in self.header.expectations if entry.status is not Status.MATCHED]
        known = {entry.url for entry in listed}
        passed = [
            record
            for record in self.records.values()
            if record.outcome is Outcome.UNEXPECTED_PASS and record.expectation not in known
        ]
        return (
            *map(_trouble, listed),
            *(
                f"stale expectation: {record.id} passes, {record.expectation or 'its entry'} says that it fails"
                for record in passed
            ),
        )


def _plain(entry: Expectation) -> dict[str, str]:
    return {"cells": entry.cells, "url": entry.url, "status": entry.status.value, "message": entry.message}


def _shard(keys: Fields) -> Shard | None:
    tree = keys.tree("shard", {})
    return shard(Fields(tree, f"{keys.where}: shard")) if tree else None


def _expectation(keys: Fields) -> Expectation:
    entry = Expectation(
        cells=keys.text("cells"),
        url=keys.text("url"),
        status=keys.choice("status", Status),
        message=keys.text("message", ""),
    )
    keys.close()
    return entry


def _trouble(entry: Expectation) -> str:
    meaning = {
        Status.STALE: "what it expects to fail passes",
        Status.EXPIRED: "its date has passed",
        Status.UNMATCHED: "it matches no check",
    }
    return f"{entry.status} expectation for {entry.cells!r} ({entry.url}): {entry.message or meaning[entry.status]}"
