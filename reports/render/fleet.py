"""The page of several runs: a line for each, a column for each, and the pages of those that are not good."""

from __future__ import annotations

from collections.abc import Iterator

from reports.fleet import Fleet, Member
from reports.record import Record
from reports.render import grid, markdown, terminal
from reports.render.text import plain

_MARKS = {0: "✅", 1: "❌", 3: "⚠️"}


def show(fleet: Fleet, page: terminal.Page) -> str:
    """As plain text."""
    width = max((len(member.name) for member in fleet.members), default=0)
    lines = (
        page.paint(page.wrap(fleet.sentence, 0), "bad" if fleet.exit else "good"),
        *(line for member in fleet.members for line in _lines(member, width, page)),
        *terminal.tables(grid.of_runs(_records(fleet)), page),
        *(text for member in fleet.members if member.exit for text in _page(member, page)),
    )
    return "\n".join(lines) + "\n"


def _lines(member: Member, width: int, page: terminal.Page) -> Iterator[str]:
    yield page.wrap(f"{plain(member.name):{width}}  {member.sentence}")
    yield from (page.wrap(f"! {note}", 6) for note in member.notes)


def _page(member: Member, page: terminal.Page) -> Iterator[str]:
    if member.run is not None:
        yield ""
        yield page.paint(f"{plain(member.name)}:", "head")
        yield terminal.compared(member.comparison, page) if member.comparison else terminal.show(member.run, page)


def in_markdown(fleet: Fleet, limit: int = markdown.LIMIT) -> str:
    """For a pull request or a job's summary, in at most ``limit`` bytes of UTF-8."""
    return markdown.fitted(_markdown(fleet, limit), limit)


def _markdown(fleet: Fleet, limit: int) -> Iterator[str]:
    yield f"## {_MARKS[fleet.exit]} {markdown.escaped(fleet.sentence)}\n\n| run | |\n|---|---|\n"
    for member in fleet.members:
        told = "<br>".join(map(markdown.escaped, (member.sentence, *member.notes)))
        yield f"| {markdown.code(member.name)} | {_MARKS[member.exit]} {told} |\n"
    yield from markdown.tables(grid.of_runs(_records(fleet)))
    shown = [(member, member.run) for member in fleet.members if member.run is not None and member.exit]
    for member, run in shown:
        room = limit // (2 * len(shown))
        page = markdown.compared(member.comparison, room) if member.comparison else markdown.show(run, room)
        yield f"\n# {markdown.escaped(member.name)}\n\n{page}"


def _records(fleet: Fleet) -> dict[str, tuple[Record, ...]]:
    return {member.name: tuple(member.run.records.values()) for member in fleet.members if member.run is not None}
