"""The numbers of a record that other programs follow from run to run; all of them are better small."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from reports import timing
from reports.drift import in_bytes
from reports.record import Record
from reports.statistics import metrics
from reports.timing import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number; ``kind`` is error (without unit), memory (in bytes) or latency (in seconds), ``limit`` what it may be.

    ``figure`` is what a latency was taken from: the median of each process.
    """

    kind: str
    name: str
    unit: str
    value: float
    limit: float | None = None
    figure: Figure | None = None

    @property
    def label(self) -> str:
        """``rms error``, ``peak memory``."""
        return f"{self.name} {self.kind}"

    def written(self, value: float) -> str:
        """A value of this metric as people read it."""
        if self.unit == "seconds":
            return f"{1000 * value:.4g} ms"
        return in_bytes(round(value)) if self.unit == "bytes" and math.isfinite(value) else f"{value:.2e}"


def of_record(record: Record) -> Iterator[Metric]:
    """Every number of a record, finite or not, but for the errors of eager attention, which have records of their own."""
    for name, value in metrics(record).items():
        if name.endswith("_eager"):
            continue
        yield Metric(kind="error", name=name, unit="ratio", value=value, limit=record.errors.get(f"{name}_tolerance"))
    for name, size in record.memory.items():
        yield Metric(kind="memory", name=name, unit="bytes", value=float(size))
    timed = timing.of(record)
    for figure in timed.figures.values() if timed else ():
        if figure.medians:
            middle = statistics.median(figure.medians)
            yield Metric(kind="latency", name=figure.name, unit="seconds", value=middle, figure=figure)
