"""A run or a comparison as one JSON document for other programs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from reports.compare import Comparison, exit_code
from reports.document import to_text
from reports.run import Run
from reports.summary import counts, judge, remarks, seconds_by_phase
from reports.verdict import Verdict

SCHEMA: Final = 1


def of_run(run: Run) -> str:
    """Header, judgement, remarks, environment and every record."""
    judgement = judge(run)
    return (
        to_text(
            {
                "schema": SCHEMA,
                "run": run.header.to_tree(),
                "good": judgement.good,
                "sentence": judgement.sentence,
                "remarks": remarks(run),
                "expectation_troubles": run.expectation_troubles,
                "outcomes": dict(counts(run)),
                "seconds": seconds_by_phase(run),
                "missing": run.missing,
                "environment": run.environment,
                "records": [record.to_tree() for record in run.records.values()],
            },
            indent=1,
        )
        + "\n"
    )


def of_comparison(comparison: Comparison) -> str:
    """Both headers, the sentence, the exit code, what changed in the environment and every verdict."""
    return (
        to_text(
            {
                "schema": SCHEMA,
                "baseline": comparison.baseline.header.to_tree(),
                "candidate": comparison.candidate.header.to_tree(),
                "sentence": comparison.sentence,
                "exit": exit_code(comparison),
                "worse": comparison.worse,
                "undecided": comparison.undecided,
                "counts": dict(comparison.counts),
                "notes": comparison.notes,
                "expectation_troubles": comparison.troubles,
                "changes": [{"path": item.path, "before": item.before, "after": item.after} for item in comparison.changes],
                "verdicts": [_verdict(item) for item in comparison.verdicts],
            },
            indent=1,
        )
        + "\n"
    )


def _verdict(item: Verdict) -> dict[str, Any]:
    tree = {entry.name: getattr(item, entry.name) for entry in fields(item)}
    also = [{"kind": finding.kind, "reason": finding.reason, "message": finding.message} for finding in item.also]
    return tree | {"also": also, "worse": item.worse}
