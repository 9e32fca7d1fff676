"""Latency over all checks with its interval: candidate over baseline, or in one run how many times faster than eager."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reports import ratio, timing
from reports.ratio import Ratio
from reports.render import speedup
from reports.render.html.axis import Axis, doublings
from reports.render.html.entry import Entry
from reports.render.html.plot import ROW, TOP, WIDTH
from reports.render.text import plain
from reports.run import Run
from reports.thresholds import load_thresholds

LEFT: Final = 330
LETTERS: Final = 52
MOST: Final = 40
"""Lines that are drawn: those farthest from 1."""

Gaps = Mapping[str, Mapping[str, Ratio]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure of one check: its ratio and the interval that it lies in, as places on the axis."""

    label: str
    y: float
    x: float
    low: float
    high: float
    id: str
    state: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Intervals below each other, those farthest from 1 first."""

    title: str
    caption: str
    ticks: Sequence[tuple[float, str]]
    limit: float
    lines: Sequence[Line]

    @property
    def height(self) -> int:
        """Pixels."""
        return TOP + ROW * len(self.lines) + 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What is drawn."""

    label: str
    id: str
    state: str
    estimate: float
    low: float
    high: float


def gaps(entries: Sequence[Entry]) -> dict[str, dict[str, Ratio]]:
    """Candidate over baseline of every figure that both measured in two processes at least, by check id."""
    confidence = load_thresholds().latency.confidence
    found: dict[str, dict[str, Ratio]] = {}
    for entry in entries:
        was, now = (timing.of(record) if record else None for record in (entry.before, entry.after))
        if was is None or now is None:
            continue
        for name, before in was.figures.items():
            after = now.figures.get(name)
            if after and min(len(before.medians), len(after.medians)) >= 2:
                found.setdefault(entry.id, {})[name] = ratio.ratio(before.medians, after.medians, confidence)
    return found


def of_comparison(entries: Sequence[Entry], found: Gaps) -> Lines | None:
    """Candidate over baseline; right of the line is slower."""
    drawn = [
        Gap(label=f"{_label(entry.configuration, entry.model, entry.subject)} {name}", id=entry.id,
            state="bad" if entry.state == "bad" and gap.low > 1 else "good",
            estimate=gap.estimate, low=gap.low, high=gap.high)
        for entry in entries
        for name, gap in found.get(entry.id, {}).items()
    ]  # fmt: skip
    return _lines("Latency", "candidate over baseline with its interval; right of the line is slower", drawn)


def of_run(run: Run) -> Lines | None:
    """Speed-up over eager attention on the same workload; right of the line is faster."""
    drawn = [
        Gap(label=_label(point.record.configuration, point.record.model, point.record.subject), id=point.record.id,
            state="good" if point.speedup >= 1 else "open", estimate=point.speedup, low=point.low, high=point.high)
        for point in speedup.points(run)
        if math.isfinite(point.speedup) and point.record.configuration != speedup.EAGER
    ]  # fmt: skip
    return _lines("Speed-up over eager attention", "with its interval; right of the line is faster", drawn)


def _label(configuration: str, model: str, subject: str) -> str:
    return f"{configuration} {model} {subject}"


def _lines(title: str, caption: str, found: Sequence[Gap]) -> Lines | None:
    if not found:
        return None
    farthest = sorted(found, key=lambda gap: -abs(math.log(gap.estimate)))[:MOST]
    left = f"; {len(found) - MOST} nearer to 1 are left out" if len(found) > MOST else ""
    axis, ticks = _axis([edge for gap in farthest for edge in (gap.low, gap.estimate, gap.high)])
    lines = [_line(gap, axis, TOP + ROW * at + ROW / 2) for at, gap in enumerate(farthest)]
    return Lines(title=title, caption=caption + left, ticks=ticks, limit=axis.at(1.0), lines=lines)


def _line(gap: Gap, axis: Axis, y: float) -> Line:
    low, high = (edge if math.isfinite(edge) else gap.estimate for edge in (gap.low, gap.high))
    said = f"{gap.id}: {gap.estimate:.3f} times, between {low:.3f} and {high:.3f}"
    return Line(label=plain(gap.label, LETTERS), y=y, x=axis.at(gap.estimate), low=axis.at(low), high=axis.at(high), id=gap.id,
                state=gap.state, said=said)  # fmt: skip


def _axis(values: Sequence[float]) -> tuple[Axis, list[tuple[float, str]]]:
    """Powers of two where ratios are large, else a few percent around 1."""
    finite = [value for value in values if math.isfinite(value) and value > 0]
    reach = max(max(finite), 1 / min(finite), 1.02)
    if reach > 1.5:
        low, high = doublings((*finite, 0.8, 1.25), least=2.0**-6, most=2.0**6)
        axis = Axis(low=low, high=high, left=LEFT, right=WIDTH)
        ticks = [2.0**at for at in range(round(math.log2(low)), round(math.log2(high)) + 1)]
    else:
        step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.25) if reach - 1 <= 2 * step or step == 0.25)
        axis = Axis(low=1 - 2 * step, high=1 + 2 * step, left=LEFT, right=WIDTH, logarithmic=False)
        ticks = [1 + step * at for at in range(-2, 3)]
    return axis, [(axis.at(tick), f"{tick:.4g}") for tick in ticks]
