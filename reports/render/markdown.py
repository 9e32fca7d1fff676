"""Markdown for a pull request or a job's summary: worst first, escaped, within GitHub's limits."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from reports.compare import Comparison
from reports.record import RED, Record
from reports.render import grid, group
from reports.render.placement import lost
from reports.render.text import address, last_words, plain, seconds, share, title, value
from reports.run import Run
from reports.summary import failures, judge, nearest, refusals, remarks, seconds_by_phase, skips, words
from reports.verdict import Kind, Verdict

LIMIT: Final = 65_000
"""Bytes of a comment, which holds 65,536 characters (https://github.com/orgs/community/discussions/41331)."""
SUMMARY: Final = 1_040_000
"""Bytes of a job's summary, which holds 1 MiB
(https://docs.github.com/actions/using-workflows/workflow-commands-for-github-actions#adding-a-job-summary)."""

_ACTIVE: Final = re.compile(r"[\\`*_{}\[\]()#+!|~]")
_REFERENCE: Final = re.compile(r"[@#](?=\w)|(?<=\bGH)-(?=\d)")
_JOINER: Final = "\u2060"
_WORSE: Final = (Kind.NEWLY_FAILING, Kind.MISSING, Kind.REGRESSED)
_OTHERS: Final = (Kind.INCONCLUSIVE, Kind.NOT_COMPARABLE, Kind.NEWLY_PASSING, Kind.IMPROVED)
_ALIKE: Final = 50
"""Ids of one group before the rest is only counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """How a page is written; ``link`` is the address of the HTML page that names of checks lead to, if there is one."""

    link: str = ""

    def name(self, id: str) -> str:
        """A check's id, as a link to its cell where there is a page."""
        return f'<a href="{html.escape(address(self.link, id))}">{code(id)}</a>' if self.link else code(id)

    def more(self) -> str:
        """The link to the page itself."""
        return f'\n<a href="{html.escape(self.link)}">The whole report</a>\n' if self.link else ""


def show(run: Run, limit: int = LIMIT, *, link: str = "") -> str:
    """One run, in at most ``limit`` bytes of UTF-8; ``link`` is the address of its HTML page."""
    return fitted(_show(run, Page(link=link)), limit)


def compared(comparison: Comparison, limit: int = LIMIT, *, link: str = "") -> str:
    """Two runs, in at most ``limit`` bytes of UTF-8; ``link`` is the address of their HTML page."""
    return fitted(_compared(comparison, Page(link=link)), limit)


def escaped(text: str) -> str:
    """Text that stays text: no markup, no mention of a person, no reference to an issue, no end of a table's cell."""
    return _literal(_REFERENCE.sub(lambda match: match.group() + _JOINER, plain(text, 400)))


def code(text: str) -> str:
    """Text as code; an HTML element, because a code span cannot hold every character."""
    return f"<code>{_literal(plain(text, 400))}</code>"


def _literal(text: str) -> str:
    return _ACTIVE.sub(lambda match: f"&#{ord(match.group())};", html.escape(text, quote=False))


def _show(run: Run, page: Page) -> Iterator[str]:
    judgement = judge(run)
    yield f"## {'✅' if judgement.good else '❌'} {escaped(judgement.sentence)}\n\n{escaped(title(run.header))}\n{page.more()}"
    yield from _list("Mind", map(escaped, remarks(run)))
    yield from _list("Expectations out of date", map(escaped, run.expectation_troubles))
    yield from _list("Not good", _records(failures(run), page))
    yield from _list("Planned and never run", map(page.name, run.missing))
    yield from tables(grid.of_records(run.records.values()))
    yield from _list("Refused or expected to fail", _records(refusals(run), page))
    yield from _list("Skipped", (f"{skip.count} times: {escaped(skip.message or skip.reason)}" for skip in skips(run)))
    near = (f"{share(item.share)} {escaped(item.metric)} {page.name(item.record.id)}" for item in nearest(run))
    yield from _list("Nearest to the tolerance", near)
    yield from _list("Lost to placement", (f"{escaped(said)} {page.name(record.id)}" for record, said in lost(run)))
    yield from _list("Time", (f"{escaped(name)} {seconds(spent)}" for name, spent in seconds_by_phase(run).items()))


def _compared(comparison: Comparison, page: Page) -> Iterator[str]:
    yield f"## {'❌' if comparison.worse else '⚠️' if comparison.undecided else '✅'} {escaped(comparison.sentence)}\n\n"
    yield f"baseline {escaped(title(comparison.baseline.header))}<br>\n"
    yield f"candidate {escaped(title(comparison.candidate.header))}\n{page.more()}"
    yield from _list("Mind", map(escaped, comparison.notes))
    yield from _list("Expectations out of date", map(escaped, comparison.troubles))
    for kind in _WORSE:
        yield from _of_kind(comparison, kind, page)
    yield from tables(grid.of_comparison(comparison))
    yield from _changes(comparison)
    for kind in _OTHERS:
        yield from _of_kind(comparison, kind, page)
    known = [verdict for verdict in comparison.verdicts if verdict.accepted]
    yield from _list("Known failures", _verdicts(known, page))


def _of_kind(comparison: Comparison, kind: Kind, page: Page) -> Iterator[str]:
    chosen = [item for item in comparison.verdicts if item.kind is kind and not item.accepted]
    yield from _list(words(kind).capitalize(), _verdicts(chosen, page))


def _verdicts(verdicts: Iterable[Verdict], page: Page) -> Iterator[str]:
    return (_verdict(found, page) for found in group.of_verdicts(verdicts))


def _verdict(found: group.Group[Verdict], page: Page) -> str:
    item = found.first
    lines = [page.name(item.id), escaped(item.message), *(escaped(finding.message) for finding in item.also)]
    if item.worse and item.command:
        lines.append(code(item.command))
    return "<br>".join(lines) + _alike([other.id for other in found.others], found.where, page)


def _records(records: Iterable[Record], page: Page) -> Iterator[str]:
    return (_record(found, page) for found in group.of_records(records))


def _record(found: group.Group[Record], page: Page) -> str:
    record = found.first
    known = f" ({escaped(record.expectation)})" if record.expectation else ""
    told = f"{words(record.outcome)}: {escaped(record.message or record.reason or 'no message')}{known}"
    lines = [
        page.name(record.id),
        told,
        *map(code, last_words(record, 6, 6)),
        *([code(record.command)] if record.command and record.outcome in RED else []),
    ]
    return "<br>".join(lines) + _alike([other.id for other in found.others], found.where, page)


def _alike(ids: list[str], where: str, page: Page) -> str:
    if not ids:
        return ""
    listed = [*map(page.name, ids[:_ALIKE]), *([f"and {len(ids) - _ALIKE} more"] if len(ids) > _ALIKE else [])]
    return f"<details><summary>and {len(ids)} more alike: {escaped(where)}</summary>{'<br>'.join(listed)}</details>"


def _changes(comparison: Comparison) -> Iterator[str]:
    if not comparison.changes:
        yield "\n**Changed in the environment**: nothing\n"
        return
    yield "\n**Changed in the environment**\n\n| what | baseline | candidate |\n|---|---|---|\n"
    for change in comparison.changes:
        yield f"| {code(change.path)} | {escaped(value(change.before))} | {escaped(value(change.after))} |\n"


def tables(checks: Iterable[grid.Grid]) -> Iterator[str]:
    """The tables of checks, nothing where there are none."""
    legend = f"\n**Checks** ({grid.LEGEND})\n"
    for table in checks:
        columns = " | ".join(map(escaped, table.columns))
        what = escaped(table.name or "configuration")
        yield f"{legend}\n| {what} | {columns} |\n|---{'|--:' * len(table.columns)}|\n"
        legend = ""
        for name, tallies in table.rows:
            cells = (f"**{tally.text}**" if tally.bad else tally.text for tally in tallies)
            yield f"| {code(name)} | {' | '.join(cells)} |\n"


def _list(name: str, entries: Iterable[str]) -> Iterator[str]:
    heading = f"\n**{name}**\n\n"
    for entry in entries:
        yield f"{heading}- {entry}\n"
        heading = ""


def fitted(parts: Iterable[str], limit: int) -> str:
    """Whole parts, as many as there is room for; then how many were left out."""
    kept: list[str] = []
    left, room = 0, limit - len(_left_out(10**9).encode())
    for part in parts:
        room -= len(part.encode())
        if left or room < 0:
            left += 1
        else:
            kept.append(part)
    return "".join(kept) + (_left_out(left) if left else "")


def _left_out(count: int) -> str:
    return f"\n\n_{count} more entries do not fit here; the run's folder has them._\n"
