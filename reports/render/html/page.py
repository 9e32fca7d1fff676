"""The page put together: what is told at once, and the data of what is told when asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Final

from reports.compare import Comparison
from reports.difference import Change, changes
from reports.render import grid
from reports.render.html import data, entry, findings, plot
from reports.render.html.entry import Entry, Standing
from reports.render.html.findings import Section
from reports.render.html.template import rendered
from reports.render.text import seconds, title
from reports.run import Run
from reports.summary import gpus, judge, remarks, seconds_by_phase

_PACKAGES: Final = "packages."
_MAIN: Final = re.compile(r"devices\[\d+\]\.name|runtime\.(cuda|hip|cudnn|driver\.driver_version)|libraries\..+\.version")
"""Of the fingerprint of one run, what is told before all else."""
_SECTIONS: Final = ("devices", "runtime", "libraries", "settings", "host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One run of the page: what it is called there, and the line that says what was run, where and when."""

    name: str
    line: str
    wall: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything that the template says."""

    style: str
    sentence: str
    sides: Sequence[Side]
    remarks: Sequence[str]
    troubles: Sequence[str]
    changes: Sequence[Change]
    others: Sequence[Change]
    packages: Sequence[Change]
    sections: Sequence[Section]
    states: Sequence[Standing]
    table: grid.Grid
    plots: Sequence[plot.Plot]
    time: plot.Bars | None
    two: bool
    index: str
    chunks: Sequence[str]


def show(run: Run) -> str:
    """The page of one run. Raises UserError where jinja2 is not installed."""
    judgement = judge(run)
    return _page(
        entry.of_run(run), grid.of_records(run.records.values()), entry.outcomes(run), [("", run)],
        style="good" if judgement.good else "bad", sentence=judgement.sentence, remarks=remarks(run),
        troubles=run.expectation_troubles, changes=changes({}, run.environment), sections=findings.of_run(run),
    )  # fmt: skip


def compared(comparison: Comparison) -> str:
    """The page of two runs. Raises UserError where jinja2 is not installed."""
    style = "bad" if comparison.worse else "open" if comparison.undecided else "good"
    return _page(
        entry.of_comparison(comparison), grid.of_verdicts(comparison.verdicts), entry.verdicts(),
        [("baseline", comparison.baseline), ("candidate", comparison.candidate)], style=style, sentence=comparison.sentence,
        remarks=comparison.notes, troubles=comparison.troubles, changes=comparison.changes,
        sections=findings.of_comparison(comparison),
    )  # fmt: skip


def _page(
    entries: list[Entry], table: grid.Grid, order: Iterable[str], runs: Sequence[tuple[str, Run]],
    *, changes: Sequence[Change], sections: list[Section], **told: Any,
) -> str:  # fmt: skip
    two = len(runs) > 1
    bad = {item.configuration for item in entries if item.state == "bad"}
    names = sorted({item.configuration for item in entries}, key=lambda name: (name not in bad, name))
    columns = list(dict.fromkeys(chain(table.columns, sorted({item.check for item in entries}))))
    entries = data.ordered(entries, names)
    listed = sorted((change for change in changes if not change.path.startswith(_PACKAGES)), key=_weight)
    states = entry.standings(entries, iter(order))
    drawn = (plot.errors(entries, names, two=two), plot.memory(entries, names, two=two))
    page = Page(
        sides=[_side(name, run) for name, run in runs],
        changes=[change for change in listed if two or _MAIN.fullmatch(change.path)],
        others=[change for change in listed if not two and not _MAIN.fullmatch(change.path)],
        packages=[change for change in changes if change.path.startswith(_PACKAGES)],
        sections=sections, states=states, table=table,
        plots=[picture for picture in drawn if picture], time=plot.time([(name, seconds_by_phase(run)) for name, run in runs]),
        two=two, index=data.index(entries, columns, states, two=two), chunks=data.packed(entries), **told,
    )  # fmt: skip
    return rendered({item.name: getattr(page, item.name) for item in fields(page)})


def _side(name: str, run: Run) -> Side:
    header = run.header
    wall = f"{seconds(header.finished - header.started)} wall" if header.finished is not None else "did not come to its end"
    parts = (title(header), ", ".join(gpus(run.environment)), wall)
    return Side(name=name, line=" · ".join(part for part in parts if part), wall=wall)


def _weight(change: Change) -> tuple[int, bool, str]:
    """Devices and drivers before libraries before settings; where a library lies comes last."""
    section = change.path.partition(".")[0].partition("[")[0]
    rank = _SECTIONS.index(section) if section in _SECTIONS else len(_SECTIONS)
    return rank, change.path.endswith(".location"), change.path
