"""The page put together: what is told at once, and the data of what is told when asked."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any, Final

from matrix.errors import UserError
from reports.compare import Comparison
from reports.difference import Change, changes
from reports.record import RED, Outcome, Record
from reports.render import grid, group
from reports.render.html import data, entry, plot
from reports.render.html.entry import Entry, Standing
from reports.render.html.link import fragment
from reports.render.text import last_words, plain, seconds, title, value
from reports.run import Run
from reports.summary import failures, gpus, judge, refusals, remarks, seconds_by_phase, skips, words
from reports.verdict import Kind, Verdict

FOLDER: Final = Path(__file__).parent
SCRIPTS: Final = ("dom", "data", "filter", "grid", "picture", "check", "panel", "main")
"""Files of ``script/`` in the order in which they are run, as one script."""
_PACKAGES: Final = "packages."
_MAIN: Final = re.compile(r"devices\[\d+\]\.name|runtime\.(cuda|hip|cudnn|driver\.driver_version)|libraries\..+\.version")
"""Of the fingerprint of one run, what is told before all else."""
_SECTIONS: Final = ("devices", "runtime", "libraries", "settings", "host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Checks of which the same is said, once: ``state`` is bad, open or good."""

    id: str
    state: str
    sign: str
    sentence: str
    others: Sequence[str] = ()
    where: str = ""
    more: Sequence[str] = ()
    command: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading over findings."""

    name: str
    items: Sequence[Told]

    @property
    def total(self) -> int:
        """How many checks they are about."""
        return sum(item.count for item in self.items)


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
    sections = (
        Section(name="Not good", items=[_of_records(found) for found in group.of_records(failures(run))]),
        Section(name="Planned and never run", items=_never_run(run)),
        Section(name="Refused or expected to fail", items=[_of_records(found) for found in _odd(run)]),
        Section(name="Skipped", items=_skipped(run)),
    )
    return _page(
        entry.of_run(run), grid.of_records(run.records.values()), entry.outcomes(run), [("", run)],
        style="good" if judgement.good else "bad", sentence=judgement.sentence, remarks=remarks(run),
        troubles=run.expectation_troubles, changes=changes({}, run.environment), sections=sections,
    )  # fmt: skip


def compared(comparison: Comparison) -> str:
    """The page of two runs. Raises UserError where jinja2 is not installed."""
    known = [item for item in comparison.verdicts if item.accepted]
    style = "bad" if comparison.worse else "open" if comparison.undecided else "good"
    sections = (
        *(Section(name=_heading(kind), items=_of_kind(comparison, kind)) for kind in Kind),
        Section(name="Known failures", items=[_of_verdicts(found) for found in group.of_verdicts(known)]),
    )
    return _page(
        entry.of_comparison(comparison), grid.of_verdicts(comparison.verdicts), entry.verdicts(),
        [("baseline", comparison.baseline), ("candidate", comparison.candidate)], style=style, sentence=comparison.sentence,
        remarks=comparison.notes, troubles=comparison.troubles, changes=comparison.changes, sections=sections,
    )  # fmt: skip


def _page(
    entries: list[Entry], table: grid.Grid, order: Iterable[str], runs: Sequence[tuple[str, Run]],
    *, changes: Sequence[Change], sections: Iterable[Section], **told: Any,
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
        sections=[section for section in sections if section.items], states=states, table=table,
        plots=[picture for picture in drawn if picture], time=plot.time([(name, seconds_by_phase(run)) for name, run in runs]),
        two=two, index=data.index(entries, columns, states, two=two), chunks=data.packed(entries), **told,
    )  # fmt: skip
    return _rendered(page)


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


def _odd(run: Run) -> list[group.Group[Record]]:
    """What neither passes nor fails and is not among the failures."""
    return group.of_records(record for record in refusals(run) if record.outcome not in RED)


def _never_run(run: Run) -> list[Told]:
    missing = run.missing
    if not missing:
        return []
    sentence = "planned, and there is no record of it"
    sign = entry.sign(entry.NEVER_RUN)
    return [Told(id=missing[0], state="bad", sign=sign, sentence=sentence, others=missing[1:], count=len(missing))]


def _skipped(run: Run) -> list[Told]:
    sign = entry.sign(Outcome.SKIPPED)
    return [
        Told(id="", state="open", sign=sign, sentence=f"{skip.count} times: {skip.message}", count=skip.count)
        for skip in skips(run)
    ]


def _of_kind(comparison: Comparison, kind: Kind) -> list[Told]:
    """As on the terminal: of what is unchanged, what is bad in both runs."""
    chosen = [item for item in comparison.verdicts if item.kind is kind and not item.accepted]
    if kind is Kind.UNCHANGED:
        chosen = [item for item in chosen if item.after in RED]
    return [_of_verdicts(found) for found in group.of_verdicts(chosen)]


def _heading(kind: Kind) -> str:
    return "Unchanged, but not good in either run" if kind is Kind.UNCHANGED else words(kind).capitalize()


def _of_records(found: group.Group[Record]) -> Told:
    record = found.first
    sentence = f"{words(record.outcome)}: {record.message or record.reason or 'no message'}"
    return Told(
        id=record.id, state="bad" if record.outcome in RED else "open", sign=entry.sign(record.outcome), sentence=sentence,
        more=[*last_words(record, 6, 6), *([record.expectation] if record.expectation else [])],
        command=record.command if record.outcome in RED else "", others=[item.id for item in found.others], where=found.where,
        count=1 + len(found.others),
    )  # fmt: skip


def _of_verdicts(found: group.Group[Verdict]) -> Told:
    item = found.first
    name, state = entry.standing(item)
    return Told(
        id=item.id, state=state, sign=entry.sign(name), sentence=item.message,
        more=[*(finding.message for finding in item.also), *([item.accepted] if item.accepted else [])],
        command=item.command if item.worse else "", others=[other.id for other in found.others], where=found.where,
        count=1 + len(found.others),
    )  # fmt: skip


def _rendered(page: Page) -> str:
    """The template filled in. What is not markup by name is escaped, and no control character gets through."""
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError:
        raise UserError("--html: needs the package jinja2, which is not installed: pip install jinja2") from None

    loader = jinja2.FileSystemLoader(FOLDER / "templates")
    templates = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=lambda item: plain(item) if isinstance(item, str) and not isinstance(item, Markup) else item,
    )  # fmt: skip
    templates.filters |= {"fragment": fragment, "value": value, "words": words}
    style = _read("page.css")
    script = "\n".join(_read(f"script/{name}.js") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    known: Mapping[str, Any] = {item.name: getattr(page, item.name) for item in fields(page)}
    inlined: dict[str, Any] = {
        "css": Markup(style),
        "js": Markup(script),
        "index": Markup(page.index),
        "chunks": [Markup(c) for c in page.chunks],
    }
    policy = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    told = {"legend": grid.LEGEND, "policy": f"default-src 'none'; {policy}"}
    return templates.get_template("page.html").render(known | inlined | told)


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a content security policy names an inlined text by: https://www.w3.org/TR/CSP3/#grammardef-hash-source."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
