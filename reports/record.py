"""What one check of one run left behind: a line of records.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from reports.document import from_text, to_text
from reports.fields import Fields

SCHEMA: Final = 1


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    REFUSED = "refused"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    IMPORT_FAILED = "import_failed"
    SKIPPED = "skipped"
    REFERENCE_BROKEN = "reference_broken"
    EXPECTED_FAILURE = "expected_failure"
    UNEXPECTED_PASS = "unexpected_pass"


FAILING: Final = frozenset({Outcome.FAILED, Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.IMPORT_FAILED})
"""The check itself does not hold."""

HOLDING: Final = frozenset({Outcome.PASSED, Outcome.UNEXPECTED_PASS})
"""The check holds, whatever was expected."""

DISTURBED: Final = "disturbed"
"""The reason of a check that failed because nothing could be measured in peace: it says nothing of the libraries."""

RED: Final = FAILING | {Outcome.REFUSED, Outcome.REFERENCE_BROKEN, Outcome.UNEXPECTED_PASS}
"""A run that has one of these is not good. A refusal that the matrix expects is a check of its own, which passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One check of one run.

    ``errors`` holds metrics (``rms``, ``worst``) and, under ``<metric>_tolerance``, what was allowed; both are relative
    and without unit. ``memory`` is in bytes (``footprint``, ``peak``), ``durations`` in seconds per phase, ``started``
    in seconds since the epoch. ``evidence`` is free JSON, of which a comparison reads ``families``, a list of kernel
    families. ``definition`` is the hash of what was checked: records with different ones measure different things.
    ``command`` reproduces exactly this check.
    """

    id: str
    configuration: str
    model: str
    dtype: str
    platform: str
    check: str
    outcome: Outcome
    subject: str = ""
    reason: str = ""
    message: str = ""
    errors: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)
    durations: Mapping[str, float] = field(default_factory=dict)
    definition: str = ""
    nodeid: str = ""
    command: str = ""
    worker: str = ""
    started: float = 0.0
    expectation: str = ""
    schema: int = SCHEMA

    @property
    def cell(self) -> str:
        """The id of the cell, the row of the report."""
        return f"{self.configuration}/{self.model}/{self.dtype}/{self.platform}"

    @property
    def suite(self) -> str:
        """The folder below ``suites`` of the test that recorded it, empty where no test did (preflight)."""
        below = self.nodeid.partition("::")[0].split("/")
        return below[1] if below[0] == "suites" and len(below) > 2 else ""

    @property
    def families(self) -> frozenset[str] | None:
        """The kernel families that were seen to execute, ``None`` where the check recorded none."""
        seen = self.evidence.get("families")
        if not isinstance(seen, list | tuple) or not all(isinstance(name, str) for name in seen):
            return None
        return frozenset(seen)

    @property
    def stack(self) -> tuple[str, ...]:
        """Frames of a check that ended its process or was interrupted, innermost first, ``file:line function``."""
        return self._lines("stack")

    @property
    def output(self) -> tuple[str, ...]:
        """The last lines that a process said which ended in this check."""
        return self._lines("output")

    def _lines(self, name: str) -> tuple[str, ...]:
        kept = self.evidence.get(name)
        return tuple(line for line in kept if isinstance(line, str)) if isinstance(kept, list | tuple) else ()

    @property
    def seconds(self) -> float:
        """How long the check took: ``total``, or the sum of the phases where there is no total."""
        return self.durations["total"] if "total" in self.durations else sum(self.durations.values())

    def to_json(self) -> str:
        """One line of JSON without a line break at its end. Raises TypeError for evidence that JSON cannot hold."""
        return to_text(self.to_tree())

    def to_tree(self) -> dict[str, Any]:
        """The record as plain values, the schema first."""
        return {"schema": self.schema} | {item.name: getattr(self, item.name) for item in fields(self) if item.name != "schema"}

    @classmethod
    def from_json(cls, line: str | bytes, where: str = "record") -> Record:
        """The record in one line. Raises UserError, beginning with ``where`` (file and line), when it is none."""
        return cls.from_tree(from_text(line, where), where)

    @classmethod
    def from_tree(cls, tree: object, where: str = "record") -> Record:
        """The record in a parsed document. Raises UserError for an unknown key, a wrong type or a newer schema."""
        keys = Fields(tree, where)
        record = cls(
            schema=keys.schema(SCHEMA),
            id=keys.text("id"),
            configuration=keys.text("configuration"),
            model=keys.text("model"),
            dtype=keys.text("dtype"),
            platform=keys.text("platform"),
            check=keys.text("check"),
            subject=keys.text("subject", ""),
            outcome=keys.choice("outcome", Outcome),
            reason=keys.text("reason", ""),
            message=keys.text("message", ""),
            errors=keys.numbers("errors", {}),
            evidence=keys.tree("evidence", {}),
            memory=keys.wholes("memory", {}),
            durations=keys.numbers("durations", {}),
            definition=keys.text("definition", ""),
            nodeid=keys.text("nodeid", ""),
            command=keys.text("command", ""),
            worker=keys.text("worker", ""),
            started=keys.number("started", 0.0),
            expectation=keys.text("expectation", ""),
        )
        keys.close()
        return record
