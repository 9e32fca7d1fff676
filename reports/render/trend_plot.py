"""The trend as a picture: what does not hold, run by run, and the numbers that changed most, change points marked."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, Final

from matrix.errors import UserError
from reports.document import reason
from reports.history import Line
from reports.record import HOLDING, Outcome
from reports.render.text import moment, plain, value
from reports.summary import words
from reports.thresholds import Thresholds
from reports.trend import KERNELS, OUTCOME, Event, Shift, Trends, levels, threshold_of

PANELS: Final = 8
"""Series that are drawn: those that got worse most, then the others."""
# Okabe and Ito's colours, which colour-blind people can tell apart: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, RED, GREY = "#0072B2", "#E69F00", "#D55E00", "#999999"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#F0E442", "#000000", RED)


def draw(trends: Trends, thresholds: Thresholds, path: Path) -> None:
    """Draws into a file; its suffix says the format (svg, png, pdf).

    Raises UserError where matplotlib is missing or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(f"--plot {path}: needs matplotlib, which cannot be imported ({error}); install it") from None
    lines, chosen = trends.history.lines, _chosen(trends)
    rows = len(lines) + len(chosen)
    figure = Figure(figsize=(11, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for panel, line in zip(panels, lines, strict=False):
        _overview(panel, line, [event for event in trends.events if event.line is line])
    for panel, (event, shift) in zip(panels[len(lines) :], chosen, strict=True):
        _series(panel, event.line, shift, thresholds)
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as error:
        raise UserError(f"--plot {path}: cannot be written: {reason(error)}") from None


def _chosen(trends: Trends) -> list[tuple[Event, Shift]]:
    """One shift a series, the worst first; a night that changed a hundred series alike is not drawn a hundred times."""
    numbers = [(event, shift) for event in trends.events for shift in event.shifts if shift.what not in (OUTCOME, KERNELS)]
    ordered = sorted(numbers, key=lambda item: (item[1].worse is not True, -item[1].size, item[1].id))
    found: dict[tuple[str, str, str], tuple[Event, Shift]] = {}
    for event, shift in ordered:
        found.setdefault((event.line.name, shift.id.partition("/")[0], shift.what), (event, shift))
    return list(found.values())[:PANELS]


def _overview(panel: Any, line: Line, events: list[Event]) -> None:
    """How many checks do not hold, by outcome."""
    outcomes = [outcome for outcome in Outcome if outcome not in HOLDING | {Outcome.SKIPPED}]
    styles = zip("osv^DPX*", COLOURS, strict=True)
    for outcome in outcomes:
        numbers = [night.outcomes.get(outcome, 0) for night in line.nights]
        if any(numbers) and (style := next(styles, None)):
            panel.plot(range(len(numbers)), numbers, marker=style[0], color=style[1], linewidth=1.2, label=words(outcome))
    panel.set_title(_text(f"{line.name}: checks that do not hold"), loc="left", fontsize=9)
    panel.set_ylim(bottom=0)
    panel.yaxis.get_major_locator().set_params(integer=True)
    if panel.lines:
        panel.legend(fontsize=7, ncols=4, frameon=False)
    _nights(panel, line)
    for event in events:
        if event.worse:
            panel.axvline(event.night - 0.5, color=RED, linestyle="--", linewidth=1)
    for event in [event for event in events if event.worse and event.changes][:PANELS]:
        change = event.changes[0]
        told = _text(f"{change.path.removesuffix('.version')} {value(change.before)} → {value(change.after)}")
        panel.annotate(
            told, (event.night - 0.5, 1), xycoords=("data", "axes fraction"), rotation=90, va="top", ha="right", fontsize=6
        )


def _series(panel: Any, line: Line, shift: Shift, thresholds: Thresholds) -> None:
    """Every value, the median of each level, and where one ends."""
    points = [point for point in line.checks[shift.id] if point.definition == line.checks[shift.id][-1].definition]
    nights, values, places = levels(points, shift.what, lambda item: threshold_of(item, shift.id, thresholds))
    panel.plot(nights, values, "o", color=BLUE, markersize=4)
    for start, end in zip([0, *places], [*places, len(values)], strict=True):
        panel.hlines(
            statistics.median(values[start:end]), nights[start] - 0.4, nights[end - 1] + 0.4, color=ORANGE, linewidth=2
        )
    for place in places:
        panel.axvline((nights[place - 1] + nights[place]) / 2, color=RED, linestyle="--", linewidth=1)
    if min(values) > 0 and max(values) > 3 * min(values):
        panel.set_yscale("log")
    unit = next(point.metrics[shift.what] for point in points if shift.what in point.metrics)
    panel.yaxis.set_major_formatter(lambda value, _: unit.written(value))
    panel.yaxis.set_minor_formatter("")
    panel.set_title(_text(f"{shift.id}: {shift.what}"), loc="left", fontsize=9)
    _nights(panel, line)


def _nights(panel: Any, line: Line) -> None:
    """Runs stand evenly apart, with their dates; at most nine of them are named."""
    step = max(1, -(-len(line.nights) // 9))
    at = range(0, len(line.nights), step)
    panel.set_xticks(at, [moment(line.nights[index].started)[:16] for index in at], fontsize=7, rotation=20)
    panel.set_xlim(-0.6, len(line.nights) - 0.4)
    panel.tick_params(axis="y", labelsize=7)
    panel.grid(axis="y", color=GREY, alpha=0.3)


def _text(text: str) -> str:
    """matplotlib takes what stands between dollars for mathematics."""
    return plain(text, 120).replace("$", r"\$")
