"""The page put together: what is told at once, and the data of what is told when asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Final

from reports.compare import Comparison
from reports.fleet import Fleet, Member
from reports.render import grid
from reports.render.html import data, entry, facts, findings, plot, speed
from reports.render.html.entry import Entry, Standing
from reports.render.html.facts import Facts
from reports.render.html.findings import Section
from reports.render.html.template import rendered
from reports.render.text import seconds, title
from reports.run import Run
from reports.summary import gpus, judge, remarks, seconds_by_phase

NONE: Final[speed.Gaps] = {}


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
    facts: Facts
    sections: Sequence[Section]
    states: Sequence[Standing]
    tables: Sequence[grid.Grid]
    plots: Sequence[plot.Plot]
    speed: speed.Lines | None
    time: plot.Bars | None
    two: bool
    several: bool
    index: str
    chunks: Sequence[str]


def show(run: Run) -> str:
    """The page of one run. Raises UserError where jinja2 is not installed."""
    judgement = judge(run)
    return _page(
        entry.of_run(run), entry.outcomes(run), [("", run)],
        style="good" if judgement.good else "bad", sentence=judgement.sentence, remarks=remarks(run),
        troubles=run.expectation_troubles, facts=facts.of_run(run), sections=findings.of_run(run),
        speed=speed.of_run(run),
    )  # fmt: skip


def compared(comparison: Comparison) -> str:
    """The page of two runs. Raises UserError where jinja2 is not installed."""
    style = "bad" if comparison.worse else "open" if comparison.undecided else "good"
    entries = entry.of_comparison(comparison)
    gaps = speed.gaps(entries)
    return _page(
        entries, entry.verdicts(),
        [("baseline", comparison.baseline), ("candidate", comparison.candidate)], style=style, sentence=comparison.sentence,
        remarks=comparison.notes, troubles=comparison.troubles, facts=facts.of_changes(comparison.changes),
        sections=findings.of_comparison(comparison), speed=speed.of_comparison(entries, gaps), gaps=gaps, two=True,
    )  # fmt: skip


def together(found: Fleet) -> str:
    """The page of several runs, a column each. Raises UserError where jinja2 is not installed."""
    members = [member for member in found.members if member.run is not None]
    runs = {member.name: member.run for member in members if member.run is not None}
    lost = [f"{member.name}: {member.sentence}" for member in found.members if member.run is None or member.left_out]
    return _page(
        [item for member in members for item in _entries(member)],
        chain(entry.verdicts(), entry.outcomes(*runs.values())), list(runs.items()),
        style={0: "good", 1: "bad"}.get(found.exit, "open"), sentence=found.sentence,
        remarks=[*lost, *(f"{name}: {remark}" for name, run in runs.items() for remark in remarks(run))],
        troubles=[f"{name}: {trouble}" for name, run in runs.items() for trouble in run.expectation_troubles],
        facts=facts.of_runs(list(runs.values())),
        sections=sorted((section for member in members for section in _sections(member)), key=lambda section: not section.bad),
        several=True, two=any(member.comparison for member in members), speed=None,
    )  # fmt: skip


def _entries(member: Member) -> list[Entry]:
    if member.comparison:
        return entry.of_comparison(member.comparison, member.name)
    return entry.of_run(member.run, member.name) if member.run else []


def _sections(member: Member) -> list[Section]:
    if member.comparison:
        return findings.of_comparison(member.comparison, member.name)
    return findings.of_run(member.run, member.name) if member.run else []


def _page(
    entries: list[Entry], order: Iterable[str], runs: Sequence[tuple[str, Run]],
    *, two: bool = False, several: bool = False, gaps: speed.Gaps = NONE, **told: Any,
) -> str:  # fmt: skip
    squares = [(item.suite, item.configuration, item.column, item.state) for item in entries]
    tables = grid.grids(squares, list(dict.fromkeys(name for name, _ in runs)) if several else ())
    names = [name for table in tables for name, _ in table.rows]
    entries = data.ordered(entries, names)
    states = entry.standings(entries, iter(order))
    drawn = [draw(entries, names, two=two) for draw in (plot.errors, plot.memory, plot.placement)]
    page = Page(
        sides=[_side(name, run) for name, run in runs],
        states=states, tables=tables, two=two, several=several,
        plots=[picture for picture in drawn if picture], time=plot.time([(name, seconds_by_phase(run)) for name, run in runs]),
        index=data.index(entries, tables, states, two=two), chunks=data.packed(entries, gaps), **told,
    )  # fmt: skip
    return rendered({item.name: getattr(page, item.name) for item in fields(page)})


def _side(name: str, run: Run) -> Side:
    header = run.header
    wall = f"{seconds(header.finished - header.started)} wall" if header.finished is not None else "did not come to its end"
    parts = (title(header), ", ".join(gpus(run.environment)), wall)
    return Side(name=name, line=" · ".join(part for part in parts if part), wall=wall)
