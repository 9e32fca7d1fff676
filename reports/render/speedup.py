"""The guide's figures out of a recorded run: speed-up over eager attention by batch and length, decoding, and memory."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matrix.errors import UserError
from reports import ratio, timing
from reports.drift import in_bytes
from reports.record import HOLDING, Record
from reports.render.suite import nothing
from reports.run import Run
from reports.summary import gpus

SUITE: Final = "suites/latency"
EAGER: Final = "eager"
CONFIDENCE: Final = 0.95
HEAD: Final = ("model", "workload", "configuration", "time", "waited", "tokens a second", "speed-up over eager",
               "95 % interval", "of", "processes", "launches a token", "waits a token", "weights",
               "peak above them")  # fmt: skip
# Counts for each token, as they are recorded, in the order of the table.
COUNTED: Final = ("launches", "synchronizations")
DEVICE: Final = "time"
KERNELS: Final = "kernels"
WAITED: Final = "waited"
OF: Final = {DEVICE: "device time", KERNELS: "time of kernels", WAITED: "time waited for"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One configuration on one workload: the first figure's medians, and how many times faster than eager attention.

    ``of`` says of which time: that of the device, or where it has gaps in one of the two, because a call of it waits for the
    device, that of the kernels of both, or where these were not traced the time that the host waited for both.
    """

    record: Record
    figure: timing.Figure
    of: str = DEVICE
    speedup: float = math.nan
    low: float = math.nan
    high: float = math.nan


def points(run: Run) -> list[Point]:
    """Every check of latency that holds, with its speed-up where eager attention ran the same workload.

    Raises:
        UserError: scipy is not installed.
    """
    found = [(record, figure) for record in run.records.values() if (figure := _first(record)) is not None]
    eager = {_asked(record): (record, figure) for record, figure in found if record.configuration == EAGER}
    return [_point(record, figure, *eager.get(_asked(record), (record, None))) for record, figure in found]


def table(run: Run) -> str:
    """One line a check of latency, in markdown, with the machine's name under it.

    Raises:
        UserError: the run has none, or scipy is not installed.
    """
    found = points(run)
    if not found:
        raise nothing(run, SUITE, "latency")
    lines = [HEAD, ("---",) * len(HEAD), *map(_line, found)]
    machine = ", ".join(gpus(run.environment)) or run.header.platform
    told = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{told}\n\n{machine}, {run.header.id}; times are medians of the processes' medians.\n"


def draw(run: Run, folder: Path) -> list[Path]:
    """One picture a model and kind of workload: speed-up over eager attention against batch, a panel a length.

    Raises:
        UserError: matplotlib is not installed, the run has nothing to draw, or the folder cannot be written.
    """
    groups: dict[str, list[Point]] = defaultdict(list)
    for point in points(run):
        if point.record.configuration != EAGER and math.isfinite(point.speedup):
            groups[f"{point.record.model}-{point.record.subject.partition('-')[0]}"].append(point)
    if not groups:
        raise UserError(f"{run.folder}: holds no latency beside eager attention's: run `pytest --tier=headline suites/latency`")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_drawn(name, group, run, folder / f"speedup-{name}.png") for name, group in sorted(groups.items())]
    except ImportError:
        raise UserError("--to: matplotlib is not installed: pip install matplotlib") from None
    except OSError as error:
        raise UserError(f"--to {folder}: cannot be written: {error.strerror}") from None


def _drawn(name: str, group: Sequence[Point], run: Run, path: Path) -> Path:
    """A panel a length; in it a colour a configuration, intervals beside each other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    panels: dict[int, dict[str, dict[int, Point]]] = defaultdict(lambda: defaultdict(dict))
    for point in group:
        rows, tokens = shape(point.record.subject)
        panels[tokens][point.record.configuration][rows] = point
    configurations = sorted({configuration for lines in panels.values() for configuration in lines})
    figure, row = pyplot.subplots(1, len(panels), figsize=(2.2 + 2.6 * len(panels), 4.2), sharey=True, squeeze=False)
    for axes, (tokens, lines) in zip(row[0], sorted(panels.items()), strict=True):
        batches = sorted({rows for line in lines.values() for rows in line})
        for index, configuration in enumerate(configurations):
            dodge = DODGE * (index - (len(configurations) - 1) / 2)
            entries = [(batches.index(rows) + dodge, point) for rows, point in sorted(lines[configuration].items())]
            _line_of(axes, configuration, entries, f"C{index}")
        axes.axhline(1.0, color="grey", linewidth=0.8)
        axes.set_xticks(range(len(batches)), [str(rows) for rows in batches])
        axes.set_xlim(-0.5, len(batches) - 0.5)
        axes.set(xlabel="rows of the batch", title=f"{tokens} tokens")
        axes.grid(axis="y", linewidth=0.3)
        axes.set_yscale("log", base=2)
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(FixedLocator(FINE if high < NARROW * low else TICKS))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    of = " and ".join(OF[each] for each in sorted({point.of for point in group}))
    row[0][0].set_ylabel(f"times as fast as eager attention\n({of})")
    row[0][-1].legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0)
    figure.suptitle(f"{name.rpartition('-')[0]}, {name.rpartition('-')[2]}: {', '.join(gpus(run.environment))}", y=1.0)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)
    return path


# How far apart configurations stand at one batch, and where the axis is labelled.
DODGE: Final = 0.12
# Marks of the ratio, and those of plots in which all ratios lie near each other.
FINE: Final = tuple(each / 100 for each in range(50, 205, 5))
NARROW: Final = 1.5
TICKS: Final = (0.125, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0)


def _line_of(axes: Any, label: str, entries: list[tuple[float, Point]], colour: str) -> None:
    middle = [point.speedup for _, point in entries]
    below = [point.speedup - point.low for _, point in entries]
    above = [point.high - point.speedup for _, point in entries]
    at = [place for place, _ in entries]
    axes.errorbar(
        at, middle, yerr=(below, above), marker="o", markersize=4, capsize=3, linewidth=1.2, label=label, color=colour
    )


def shape(subject: str) -> tuple[int, int]:
    """Rows and tokens out of a workload's name, ``prefill-4x512``; 0 where it names none."""
    part = next((part for part in subject.split("-") if part.replace("x", "", 1).isdigit() and "x" in part), "0x0")
    rows, _, tokens = part.partition("x")
    return int(rows), int(tokens)


def _first(record: Record) -> timing.Figure | None:
    kept = timing.of(record) if record.outcome in HOLDING else None
    return next((figure for figure in kept.figures.values() if figure.medians), None) if kept else None


def _asked(record: Record) -> tuple[str, str, str]:
    return record.model, record.dtype, record.subject


def _kernels(record: Record, figure: timing.Figure) -> tuple[float, ...]:
    kept = timing.of(record)
    traced = kept.figures.get(f"{figure.name}_kernels") if kept else None
    return traced.medians if traced else ()


def _compared(
    slow: tuple[Record, timing.Figure], fast: tuple[Record, timing.Figure]
) -> tuple[str, tuple[float, ...], tuple[float, ...]]:
    """Of which time both are compared, and theirs."""
    if not (slow[1].held and fast[1].held):
        if (traced := _kernels(*slow)) and (of_both := _kernels(*fast)):
            return KERNELS, traced, of_both
        if slow[1].waited and fast[1].waited:
            return WAITED, slow[1].waited, fast[1].waited
    return DEVICE, slow[1].medians, fast[1].medians


def _point(record: Record, figure: timing.Figure, beside: Record, eager: timing.Figure | None) -> Point:
    if eager is None:
        return Point(record=record, figure=figure)
    of, slow, fast = _compared((beside, eager), (record, figure))
    if min(len(slow), len(fast)) < 2:
        speedup = statistics.median(slow) / statistics.median(fast)
        return Point(record=record, figure=figure, of=of, speedup=speedup)
    gap = ratio.ratio(fast, slow, CONFIDENCE)
    return Point(record=record, figure=figure, of=of, speedup=gap.estimate, low=gap.low, high=gap.high)


def _line(point: Point) -> tuple[str, ...]:
    record, figure = point.record, point.figure
    known = math.isfinite(point.speedup)
    sizes = [in_bytes(record.memory[name]) if name in record.memory else "-" for name in ("footprint", "peak")]
    rate = f"{figure.tokens_per_second:,.0f}" if figure.tokens_per_second else "-"
    interval = f"{point.low:.2f} to {point.high:.2f}" if math.isfinite(point.low) else "-"
    kept = timing.of(record)
    counts = [f"{kept.per_token[name]:.4g}" if kept and name in kept.per_token else "-" for name in COUNTED]
    times = (f"{statistics.median(each) * 1e3:.3f} ms" if each else "-" for each in (figure.medians, figure.waited))
    return (record.model, record.subject, record.configuration, *times, rate, f"{point.speedup:.2f}" if known else "-",
            interval, point.of if known else "-", str(len(figure.medians)), *counts, *sizes)  # fmt: skip
