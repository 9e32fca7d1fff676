"""The page put together: what is told at once, and the data of what is told when asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

from reports.compare import Comparison
from reports.render import grid
from reports.render.html import data, entry, facts, findings, plot
from reports.render.html.entry import Entry, Standing
from reports.render.html.facts import Facts
from reports.render.html.findings import Section
from reports.render.html.template import rendered
from reports.render.text import seconds, title
from reports.run import Run
from reports.summary import gpus, judge, remarks, seconds_by_phase


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
    table: grid.Grid
    plots: Sequence[plot.Plot]
    time: plot.Bars | None
    two: bool
    several: bool
    index: str
    chunks: Sequence[str]


def show(run: Run) -> str:
    """The page of one run. Raises UserError where jinja2 is not installed."""
    judgement = judge(run)
    return _page(
        entry.of_run(run), grid.of_records(run.records.values()), entry.outcomes(run), [("", run)],
        style="good" if judgement.good else "bad", sentence=judgement.sentence, remarks=remarks(run),
        troubles=run.expectation_troubles, facts=facts.of_run(run), sections=findings.of_run(run),
    )  # fmt: skip


def compared(comparison: Comparison) -> str:
    """The page of two runs. Raises UserError where jinja2 is not installed."""
    style = "bad" if comparison.worse else "open" if comparison.undecided else "good"
    return _page(
        entry.of_comparison(comparison), grid.of_verdicts(comparison.verdicts), entry.verdicts(),
        [("baseline", comparison.baseline), ("candidate", comparison.candidate)], style=style, sentence=comparison.sentence,
        remarks=comparison.notes, troubles=comparison.troubles, facts=facts.of_changes(comparison.changes),
        sections=findings.of_comparison(comparison), two=True,
    )  # fmt: skip


def environments(runs: Mapping[str, Run]) -> str:
    """The page of the runs of several environments, by their names: a column each. Raises UserError without jinja2."""
    entries = [item for name, run in runs.items() for item in entry.of_run(run, name)]
    bad = [name for name, run in runs.items() if not judge(run).good]
    sentence = f"NOT GOOD in {len(bad)} of {len(runs)} environments: {', '.join(bad)}." if bad else f"GOOD in all {len(runs)}."
    return _page(
        entries, grid.of_runs({name: run.records.values() for name, run in runs.items()}), entry.outcomes(*runs.values()),
        list(runs.items()), style="bad" if bad else "good", sentence=sentence,
        remarks=[f"{name}: {remark}" for name, run in runs.items() for remark in remarks(run)],
        troubles=[f"{name}: {trouble}" for name, run in runs.items() for trouble in run.expectation_troubles],
        facts=facts.of_runs(list(runs.values())),
        sections=[section for name, run in runs.items() for section in findings.of_run(run, name)],
    )  # fmt: skip


def _page(
    entries: list[Entry], table: grid.Grid, order: Iterable[str], runs: Sequence[tuple[str, Run]],
    *, two: bool = False, **told: Any,
) -> str:  # fmt: skip
    bad = {item.configuration for item in entries if item.state == "bad"}
    names = sorted({item.configuration for item in entries}, key=lambda name: (name not in bad, name))
    kinds = chain(table.columns, sorted({item.column for item in entries}))
    columns = list(dict.fromkeys(name for name, _ in runs) if len(runs) > 1 and not two else dict.fromkeys(kinds))
    entries = data.ordered(entries, names)
    states = entry.standings(entries, iter(order))
    drawn = (plot.errors(entries, names, two=two), plot.memory(entries, names, two=two))
    page = Page(
        sides=[_side(name, run) for name, run in runs],
        states=states, table=table, two=two, several=len(runs) > 1,
        plots=[picture for picture in drawn if picture], time=plot.time([(name, seconds_by_phase(run)) for name, run in runs]),
        index=data.index(entries, columns, states, two=two), chunks=data.packed(entries), **told,
    )  # fmt: skip
    return rendered({item.name: getattr(page, item.name) for item in fields(page)})


def _side(name: str, run: Run) -> Side:
    header = run.header
    wall = f"{seconds(header.finished - header.started)} wall" if header.finished is not None else "did not come to its end"
    parts = (title(header), ", ".join(gpus(run.environment)), wall)
    return Side(name=name, line=" · ".join(part for part in parts if part), wall=wall)
