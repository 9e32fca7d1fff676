"""How much faster several workers run the same checks than one: two recorded runs of one host."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from reports.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Of the ``checks`` that both runs recorded: ``seconds`` from the beginning of the first to the end of the last, in the run
    of few workers and in that of many, and ``workers`` of each. ``whole`` are the seconds of the whole runs, which hold besides
    what nobody divides: preflight, and the start of processes.
    """

    checks: int
    workers: tuple[int, int]
    seconds: tuple[float, float]
    whole: tuple[float, float] | None

    @property
    def ratio(self) -> float:
        """How many times faster."""
        return self.seconds[0] / self.seconds[1]

    @property
    def sentence(self) -> str:
        """What was found, in a line."""
        few, many = (f"{count} worker{'' if count == 1 else 's'}" for count in self.workers)
        whole = f"; the whole runs took {self.whole[0]:.1f} s and {self.whole[1]:.1f} s" if self.whole else ""
        return (
            f"{self.checks} checks took {self.seconds[0]:.1f} s with {few} and {self.seconds[1]:.1f} s with {many}, "
            f"{self.ratio:.2f} times faster{whole}"
        )


def scaling(few: Run, many: Run) -> Scaling | None:
    """Of the checks of models that both runs recorded; ``None`` where there is none, or their times were not recorded."""
    common = {
        name for name in few.records.keys() & many.records.keys() if few.records[name].started and many.records[name].started
    } - {name for name in few.records if name.startswith("environment/")}
    if not common:
        return None
    ended = few.header.finished, many.header.finished
    whole = (ended[0] - few.header.started, ended[1] - many.header.started) if ended[0] and ended[1] else None
    return Scaling(
        checks=len(common), workers=(_workers(few, common), _workers(many, common)),
        seconds=(_span(few, common), _span(many, common)), whole=whole,
    )  # fmt: skip


def _workers(run: Run, names: Collection[str]) -> int:
    """How many worked at the same time: one that took the place of a dead one is none more."""
    spans: dict[str, list[float]] = {}
    for record in (run.records[name] for name in names):
        first, last = spans.setdefault(record.worker, [record.started, record.started])
        spans[record.worker] = [min(first, record.started), max(last, record.started + record.seconds)]
    return max(sum(first <= moment < last for first, last in spans.values()) for moment, _ in spans.values())


def _span(run: Run, names: Collection[str]) -> float:
    records = [run.records[name] for name in names]
    return max(record.started + record.seconds for record in records) - min(record.started for record in records)
