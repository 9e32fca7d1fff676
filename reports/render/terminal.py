"""Pages of plain text that fit a screen: worst first, one sentence each; colour only where a terminal shows it."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TextIO

from reports.compare import Comparison
from reports.record import RED, Record
from reports.render import grid, group
from reports.render.placement import lost
from reports.render.text import last_words, plain, seconds, share, title, value
from reports.run import Run
from reports.summary import counts, failures, judge, nearest, refusals, remarks, seconds_by_phase, skips, words
from reports.verdict import UNDECIDED, WORSE, Kind, Verdict

_COLOURS: Final = {"bad": "31;1", "good": "32;1", "open": "33", "quiet": "2", "head": "1"}
_SCREEN: Final = 6
"""Entries of a section before the rest is only counted."""
_TIGHTEST: Final = 3
_LOWEST: Final = 20
"""Lines of a screen below which nothing is cut any more."""
_WIDTH: Final = 120
"""Columns of a page whose reader is not known."""
_NARROWEST: Final = 40
_ROWS: Final = 12
_BAD_ROWS: Final = 16
"""Rows of the table before those without a finding, and before all others, are only counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """How a page is written: whether in colour, whether without cuts, how many columns wide, for how many lines of a screen.

    Where there is a screen (``height`` is not 0), entries and sentences are cut harder (``tight``) until the page fits it.
    """

    colour: bool = False
    all: bool = False
    width: int = _WIDTH
    height: int = 0
    tight: int = 0

    def fitted(self, write: Callable[[Page], str]) -> str:
        """What ``write`` makes of this page, cut as little as fits the screen."""
        for tight in range(_TIGHTEST + 1):
            text = write(replace(self, tight=tight))
            if self.all or not self.height or text.count("\n") <= self.height:
                break
        return text

    def paint(self, text: str, style: str) -> str:
        """Text in a style, or as it is."""
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if self.colour else text

    def cut(self, entries: Sequence[str], limit: int) -> Iterator[str]:
        """The first entries, and how many more there are."""
        limit = max(1, limit >> self.tight)
        yield from entries if self.all else entries[:limit]
        if len(entries) > limit and not self.all:
            yield self.paint(f"  ... and {len(entries) - limit} more (--all shows them)", "quiet")

    def wrap(self, text: str, indent: int = 2) -> str:
        """One sentence on as many lines as it needs, at most three unless all is shown."""
        pad = " " * indent
        return textwrap.fill(
            plain(text), self.width, initial_indent=pad, subsequent_indent=pad + "  ", break_on_hyphens=False,
            break_long_words=False, max_lines=None if self.all else max(1, 3 - self.tight), placeholder=" ...",
        )  # fmt: skip

    def section(self, name: str, entries: Sequence[str], limit: int = _SCREEN) -> Iterator[str]:
        """A heading and its entries; nothing where there are none."""
        if entries:
            yield ""
            yield self.paint(f"{name}:", "head")
            yield from self.cut(entries, limit)

    def sentences(self, name: str, texts: Iterable[str], limit: int = _SCREEN) -> Iterator[str]:
        """A section of sentences."""
        yield from self.section(name, [self.wrap(text) for text in texts], limit)


def page_for(stream: TextIO, width: int, *, all: bool) -> Page:
    """Colour on a terminal only, and not where NO_COLOR asks for none (https://no-color.org); cut to its screen as well. What
    is no terminal has no ``width`` of its own, unless COLUMNS says one.
    """
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    shown = stream.isatty()
    height = max(shutil.get_terminal_size().lines - 2, _LOWEST) if shown else 0
    known = shown or os.environ.get("COLUMNS")
    return Page(colour=shown and wanted, all=all, width=max(width, _NARROWEST) if known else _WIDTH, height=height)


def show(run: Run, page: Page) -> str:
    """The page of one run."""
    return page.fitted(lambda fitted: _show(run, fitted))


def compared(comparison: Comparison, page: Page) -> str:
    """The page of two runs."""
    return page.fitted(lambda fitted: _compared(comparison, fitted))


def _show(run: Run, page: Page) -> str:
    judgement = judge(run)
    lines = (
        page.paint(page.wrap(judgement.sentence, 0), "good" if judgement.good else "bad"),
        page.paint(title(run.header), "quiet"),
        *page.sentences("Mind", (f"! {remark}" for remark in remarks(run))),
        *page.sentences("Expectations out of date", run.expectation_troubles),
        *page.section("Not good", _records(failures(run), page)),
        *page.section("Planned and never run", [f"  {plain(id)}" for id in run.missing]),
        *page.section("Refused or expected to fail", _records(refusals(run), page), 4),
        *page.sentences("Skipped", (f"{skip.count} x {skip.message or skip.reason}" for skip in skips(run))),
        *page.section("Nearest to the tolerance", _nearest(run)),
        *page.section("Lost to placement", [f"  {words}  {plain(record.id)}" for record, words in lost(run)], 4),
        *tables(grid.of_records(run.records.values()), page),
        "",
        page.wrap(f"Outcomes: {', '.join(f'{count} {words(outcome)}' for outcome, count in counts(run).items())}", 0),
        page.wrap(f"Time: {', '.join(_time(run)) or 'not recorded'}", 0),
    )
    return "\n".join(lines) + "\n"


def _compared(comparison: Comparison, page: Page) -> str:
    style = "bad" if comparison.worse else "open" if comparison.undecided else "good"
    changes = [f"{change.path}: {value(change.before)} -> {value(change.after)}" for change in comparison.changes]
    known = [verdict for verdict in comparison.verdicts if verdict.accepted]
    lines = (
        page.paint(page.wrap(comparison.sentence, 0), style),
        page.paint(f"baseline   {title(comparison.baseline.header)}", "quiet"),
        page.paint(f"candidate  {title(comparison.candidate.header)}", "quiet"),
        *page.sentences("Mind", (f"! {note}" for note in comparison.notes)),
        *page.sentences("Expectations out of date", comparison.troubles),
        *(line for kind in Kind for line in _of_kind(comparison, kind, page)),
        *page.section("Known failures", _verdicts(known, page), 4),
        *tables(grid.of_comparison(comparison), page),
        *page.sentences("Changed in the environment", changes or ["nothing"], 12),
    )
    return "\n".join(lines) + "\n"


def _of_kind(comparison: Comparison, kind: Kind, page: Page) -> Iterator[str]:
    """One section per verdict. What is unchanged is shown only when it is bad in both, or when all is asked for."""
    chosen = [item for item in comparison.verdicts if item.kind is kind and not item.accepted]
    if kind is Kind.UNCHANGED and not page.all:
        failing = [item for item in chosen if item.after in RED]
        yield from page.section("Unchanged, but not good in either run", _verdicts(failing, page), 4)
        return
    limit = _SCREEN if kind in WORSE | UNDECIDED else 3
    yield from page.section(words(kind).capitalize(), _verdicts(chosen, page), limit)


def _verdicts(verdicts: Sequence[Verdict], page: Page) -> list[str]:
    if page.all:
        return [_verdict(verdict, page) for verdict in verdicts]
    return [_verdict(item.first, page) + _alike(item, page) for item in group.of_verdicts(verdicts)]


def _verdict(item: Verdict, page: Page) -> str:
    also = f" (also: {_also(item)})" if item.also and not page.all else ""
    lines = [f"  {page.paint(plain(item.id), _style(item))}", page.wrap(item.message + also, 4)]
    if page.all:
        lines += [page.wrap(f"{finding.kind}: {finding.message}", 4) for finding in item.also]
    if item.worse and item.command:
        lines.append(page.paint(f"    $ {plain(item.command)}", "quiet"))
    return "\n".join(lines)


def _also(item: Verdict) -> str:
    """Reasons of the other findings, those of the verdict's kind first: ``latency (2), operators; improved: launches``."""
    told: dict[Kind, Counter[str]] = {item.kind: Counter()}
    for finding in item.also:
        told.setdefault(finding.kind, Counter())[finding.reason] += 1
    parts = []
    for kind, reasons in told.items():
        named = ", ".join(reason if number == 1 else f"{reason} ({number})" for reason, number in reasons.items())
        parts += [named if kind is item.kind else f"{words(kind)}: {named}"] if reasons else []
    return "; ".join(parts)


def _style(item: Verdict) -> str:
    if item.worse:
        return "bad"
    if item.kind is Kind.UNCHANGED:
        return "quiet"
    return "open" if item.kind in UNDECIDED or item.accepted else "good"


def _records(records: Sequence[Record], page: Page) -> list[str]:
    if page.all:
        return [_record(record, page) for record in records]
    return [_record(item.first, page) + _alike(item, page) for item in group.of_records(records)]


def _record(record: Record, page: Page) -> str:
    red = record.outcome in RED
    known = f" [{record.expectation}]" if record.expectation else ""
    sentence = f"{words(record.outcome)}: {record.message or record.reason or 'no message'}{known}"
    lines = [f"  {page.paint(plain(record.id), 'bad' if red else 'open')}", page.wrap(sentence, 4)]
    lines += [
        page.wrap(words, 4) for words in last_words(record, *((99, 99) if page.all else (4 >> page.tight, 3 >> page.tight)))
    ]
    if red and record.command:
        lines.append(page.paint(f"    $ {plain(record.command)}", "quiet"))
    return "\n".join(lines)


def _alike(found: group.Group[Record] | group.Group[Verdict], page: Page) -> str:
    return "\n" + page.wrap(f"and {len(found.others)} more alike: {found.where}", 4) if found.others else ""


def _nearest(run: Run) -> list[str]:
    return [f"  {share(item.share):>6}  {plain(item.metric):<6} {plain(item.record.id)}" for item in nearest(run)]


def _time(run: Run) -> list[str]:
    finished = run.header.finished
    wall = [f"wall {seconds(finished - run.header.started)}"] if finished is not None else []
    return wall + [f"{name} {seconds(spent)}" for name, spent in seconds_by_phase(run).items()]


def tables(checks: Sequence[grid.Grid], page: Page) -> Iterator[str]:
    """One below the other."""
    for number, each in enumerate(checks):
        yield from ("", *([] if number else [page.paint("Checks:", "head")]), *_table(each, page))
    if any(each.open for each in checks):
        yield page.paint(f"  {grid.LEGEND}", "quiet")


def _table(checks: grid.Grid, page: Page) -> Iterator[str]:
    """Rows without a finding are counted only, once the table is longer than a screen bears; columns that do not fit beside the
    others follow below them, for the rows that have something there.
    """
    named = [(plain(name, 40), row) for name, row in checks.rows]
    heads = [plain(column, 16) for column in checks.columns]
    widths = [max(len(head), *(len(row[index].text) for _, row in checks.rows)) for index, head in enumerate(heads)]
    what = checks.name or "configuration"
    first = max(map(len, (what, *(name for name, _ in named))))
    for number, columns in enumerate(_blocks(widths, page.width - first - 2)):
        rows = [(name, row) for name, row in named if any(row[each].total for each in columns)]
        lines = [(what, *(heads[each] for each in columns))]
        lines += [(name, *(row[each].text for each in columns)) for name, row in rows]
        head, *body = ["  ".join(map(_aligned, line, (first, *(widths[each] for each in columns)), range(len(line)))).rstrip()
                       for line in lines]  # fmt: skip
        bad = sum(any(row[each].bad for each in columns) for _, row in rows)
        yield from ([""] if number else []) + [page.paint(f"  {head}", "head")]
        yield from page.cut([f"  {line}" for line in body], max(_ROWS, min(_BAD_ROWS, bad)))


def _blocks(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Columns side by side, as many as there is room for, at least one."""
    block: list[int] = []
    for column, width in enumerate(widths):
        if block and sum(widths[each] + 2 for each in block) + width + 2 > room:
            yield block
            block = []
        block.append(column)
    if block:
        yield block


def _aligned(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column else text.ljust(width)
