"""What the page's script reads: an index that is small enough to parse at once, and the records, packed.

Records of 10,000 checks are some ten million characters. They are gzipped in chunks, which every current browser unpacks
(https://developer.mozilla.org/docs/Web/API/DecompressionStream) when a cell is opened, so that the page shows long before.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from matrix.cell import CHECKS, DTYPES
from reports.document import to_text
from reports.ratio import Ratio
from reports.record import Record
from reports.render.grid import Grid
from reports.render.html.entry import Entry, Standing
from reports.verdict import Verdict

T = TypeVar("T")

CHUNK: Final = 500
"""Checks that are unpacked together."""
_NAMES: Final = ("schema", "id", "configuration", "model", "dtype", "platform", "check", "subject")


class Told(Generic[T]):
    """What occurs often, told once and then by its number."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}

    def number(self, item: T) -> int:
        """The number of an item."""
        return self._numbers.setdefault(item, len(self._numbers))

    @property
    def items(self) -> list[T]:
        """The items in the order of their numbers."""
        return list(self._numbers)


def ordered(entries: Iterable[Entry], rows: Sequence[str]) -> list[Entry]:
    """Checks by cell, in the order of the configurations in ``rows``, and inside a cell by kind."""
    rank = {name: at for at, name in enumerate(rows)}

    def place(entry: Entry) -> tuple[Any, ...]:
        dtype = DTYPES.index(entry.dtype) if entry.dtype in DTYPES else len(DTYPES)
        kind = CHECKS.index(entry.check) if entry.check in CHECKS else len(CHECKS)
        return rank[entry.configuration], entry.model, dtype, entry.dtype, entry.platform, kind, entry.check

    return sorted(entries, key=place)


def index(entries: Sequence[Entry], tables: Sequence[Grid], states: Sequence[Standing], *, two: bool) -> str:
    """Which checks there are and how they stand: one list of numbers a property, texts told once. JSON for a script element."""
    cells: Told[tuple[str, ...]] = Told()
    subjects, messages = Told[str](), Told[str]()
    numbers = {state.name: at for at, state in enumerate(states)}
    columns, kinds = Told[str](), Told[str]()
    parts = [
        {
            "name": table.name,
            "columns": [columns.number(column) for column in table.columns],
            "configurations": [name for name, _ in table.rows],
        }
        for table in tables
    ]
    checks = {
        "cell": [cells.number((entry.configuration, entry.model, entry.dtype, entry.platform)) for entry in entries],
        "column": [columns.number(entry.column) for entry in entries],
        "kind": [kinds.number(entry.check) for entry in entries],
        "subject": [subjects.number(entry.subject) for entry in entries],
        "state": [numbers[entry.name] for entry in entries],
        "message": [messages.number(entry.message) for entry in entries],
    }
    return inert(
        to_text(
            {
                "two": two,
                "chunk": CHUNK,
                "states": [{"name": s.name, "state": s.state, "sign": s.sign} for s in states],
                "columns": columns.items,
                "blocks": parts,
                "kinds": kinds.items,
                "cells": cells.items,
                "subjects": subjects.items,
                "messages": messages.items,
                "checks": checks,
            }
        )
    )


def packed(entries: Sequence[Entry], gaps: Mapping[str, Mapping[str, Ratio]]) -> list[str]:
    """The records in the order of the index, gzipped and in base64, a text a chunk."""
    chunks = (entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK))
    texts = (to_text([_detail(entry, gaps.get(entry.id, {})) for entry in chunk]) for chunk in chunks)
    return [base64.b64encode(gzip.compress(text.encode(), compresslevel=6, mtime=0)).decode() for text in texts]


def inert(text: str) -> str:
    """JSON that ends no script element and begins no comment: https://html.spec.whatwg.org/#restrictions-for-contents-of-script-elements."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _detail(entry: Entry, gaps: Mapping[str, Ratio]) -> dict[str, Any]:
    ratios = {name: [gap.estimate, gap.low, gap.high] for name, gap in gaps.items()}
    parts = {
        "before": _record(entry.before),
        "after": _record(entry.after),
        "verdict": _verdict(entry.verdict),
        "ratios": ratios,
    }
    return {name: part for name, part in parts.items() if part}


def _record(record: Record | None) -> dict[str, Any]:
    """A record without what the index says, and without what is empty."""
    return {key: value for key, value in record.to_tree().items() if key not in _NAMES and value} if record else {}


def _verdict(item: Verdict | None) -> dict[str, Any]:
    if item is None:
        return {}
    also = [{"kind": finding.kind, "reason": finding.reason, "message": finding.message} for finding in item.also]
    return {"kind": item.kind, "reason": item.reason, "accepted": item.accepted, "command": item.command, "also": also}
