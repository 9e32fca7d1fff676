"""The numbers of a run for services that follow benchmarks: Bencher, and the action github-action-benchmark.

Neither can hold a number that is not finite; such a check fails, and a failure is not what these formats are for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from reports import metrics
from reports.document import to_text
from reports.metrics import Metric
from reports.record import Record
from reports.run import Run


def bencher(run: Run) -> str:
    """Bencher Metric Format: a benchmark is a check, a measure a kind of number (https://bencher.dev/docs/reference/bencher-metric-format)."""
    tree: dict[str, dict[str, Any]] = {}
    for record, item in _finite(run):
        tree.setdefault(record.id, {})[f"{item.name}-{item.kind}".replace("_", "-")] = _bounded(item)
    return to_text(tree, indent=1) + "\n"


def action(run: Run) -> str:
    """Entries of the tool ``customSmallerIsBetter`` (https://github.com/benchmark-action/github-action-benchmark#examples)."""
    return to_text([_entry(record, item) for record, item in _finite(run)], indent=1) + "\n"


def _bounded(item: Metric) -> dict[str, float]:
    """A latency lies between those of its processes. Bencher's own measure of that name is in nanoseconds."""
    found = {"value": item.value}
    if item.figure is not None:
        found |= {"lower_value": min(item.figure.medians), "upper_value": max(item.figure.medians)}
    return found


def _entry(record: Record, item: Metric) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": f"{record.id} {item.label}", "unit": item.unit, "value": item.value}
    if item.figure is not None:
        entry["range"] = (
            f"{min(item.figure.medians):.4g} to {max(item.figure.medians):.4g} in {len(item.figure.medians)} processes"
        )
    if item.limit is not None and math.isfinite(item.limit):
        entry["extra"] = f"tolerance {item.limit:.3g}"
    return entry


def _finite(run: Run) -> Iterator[tuple[Record, Metric]]:
    for record in run.records.values():
        yield from ((record, item) for item in metrics.of_record(record) if math.isfinite(item.value))
