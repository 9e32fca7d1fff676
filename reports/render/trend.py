"""The trend over many runs, as a page of text, as markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from reports.difference import Change
from reports.document import to_text
from reports.history import History, Night
from reports.render import group, markdown
from reports.render.terminal import Page
from reports.render.text import moment, plain, value
from reports.trend import OUTCOME, Event, Shift, Trends

SCHEMA: Final = 1
_EVENTS: Final = 6
_SHIFTS: Final = 4
_CHANGES: Final = 6


def show(trends: Trends, page: Page) -> str:
    """Text for a terminal: the latest change first, what was new in its run, and what changed."""
    return page.fitted(lambda fitted: _show(trends, fitted))


def _show(trends: Trends, page: Page) -> str:
    lines = [page.paint(page.wrap(sentence(trends), 0), "bad" if any(event.worse for event in trends.events) else "good")]
    lines += page.sentences("Left out", trends.history.left_out, 3)
    events = trends.events if page.all else trends.events[: max(1, _EVENTS >> page.tight)]
    for event in events:
        lines += ["", page.paint(f"{_title(event)}:", "head"), *(page.wrap(line) for line in _new(event))]
        lines += page.cut(_shifts(event.shifts, page), _SHIFTS)
    if left := len(trends.events) - len(events):
        lines += ["", page.paint(f"... and {left} more (--all shows them)", "quiet")]
    lines += page.section("Comes and goes", [f"  {plain(id)}: {times} times" for id, times in trends.restless.items()])
    return "\n".join(lines) + "\n"


def in_markdown(trends: Trends, limit: int = markdown.LIMIT) -> str:
    """Markdown, within a limit in bytes."""
    return markdown.fitted(_markdown(trends), limit)


def in_json(trends: Trends) -> str:
    """Every event with every shift, for other programs."""
    tree = {
        "schema": SCHEMA, "sentence": sentence(trends), "left_out": trends.history.left_out, "restless": trends.restless,
        "events": [_tree(event) for event in trends.events],
    }  # fmt: skip
    return to_text(tree, indent=1) + "\n"


def sentence(trends: Trends) -> str:
    """What was looked at and what was found."""
    lines = ", ".join(f"{len(line.nights)} of {line.name}" for line in trends.history.lines)
    worse = sum(event.worse for event in trends.events)
    series = sum(len(event.shifts) for event in trends.events)
    runs = len({(event.line.name, event.night) for event in trends.events})
    told = f"{_count(series, 'change')} in {_count(runs, 'run')}, {worse} for the worse"
    return f"{_count(_runs(trends.history), 'run')} ({lines}): {told}."


def _runs(history: History) -> int:
    return sum(len(line.nights) for line in history.lines)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _title(event: Event) -> str:
    night = event.line.nights[event.night]
    when = f"{moment(night.started)}, {event.line.name}"
    return plain(f"Since {night.id} ({when}) {_count(len(event.shifts), 'change')}, {event.worse} worse")


def _new(event: Event) -> Iterator[str]:
    """What was new in the run that first had it."""
    before = event.line.nights[event.before].id
    if not event.changes:
        yield f"nothing in the fingerprint changed since {before}"
        return
    yield f"changed since {before}: {', '.join(map(_change, event.changes[:_CHANGES]))}{_more(event.changes)}"


def _more(changes: Sequence[Change]) -> str:
    return f" and {len(changes) - _CHANGES} more" if len(changes) > _CHANGES else ""


def _change(change: Change) -> str:
    return f"{change.path} {value(change.before)} -> {value(change.after)}"


def _shifts(shifts: Sequence[Shift], page: Page) -> list[str]:
    if page.all:
        return [_shift(shift, page) for shift in shifts]
    return [
        _shift(found.first, page)
        + (f"\n{page.wrap(f'and {len(found.others)} more alike: {found.where}', 4)}" if found.others else "")
        for found in group.of_shifts(shifts)
    ]


def _shift(shift: Shift, page: Page) -> str:
    style = {True: "bad", None: "open", False: "good"}[shift.worse]
    return f"  {page.paint(plain(shift.id), style)}\n{page.wrap(told(shift), 4)}"


def told(shift: Shift) -> str:
    """What changed, in one line."""
    times = f", {shift.size:.3g} times" if shift.size else ""
    name = "" if shift.what == OUTCOME else f"{shift.what} "
    message = f": {shift.message}" if shift.message else ""
    return f"{name}{shift.before} -> {shift.after}{times}{message}"


def _markdown(trends: Trends) -> Iterator[str]:
    yield f"## {markdown.escaped(sentence(trends))}\n"
    for event in trends.events:
        yield f"\n**{markdown.escaped(_title(event))}**\n\n"
        yield from (f"{markdown.escaped(line)}\n\n" for line in _new(event))
        yield from map(_entry, group.of_shifts(event.shifts))


def _entry(found: group.Group[Shift]) -> str:
    also = f"<br>and {len(found.others)} more alike: {markdown.escaped(found.where)}" if found.others else ""
    return f"- {markdown.code(found.first.id)}<br>{markdown.escaped(told(found.first))}{also}\n"


def _tree(event: Event) -> dict[str, Any]:
    return {
        "platform": event.line.platform, "environment": event.line.environment,
        "run": _night(event.line.nights[event.night]), "before": _night(event.line.nights[event.before]),
        "changes": [{"path": item.path, "before": item.before, "after": item.after} for item in event.changes],
        "shifts": [_shift_tree(shift) for shift in event.shifts],
    }  # fmt: skip


def _night(night: Night) -> dict[str, Any]:
    return {"id": night.id, "started": night.started, "folder": str(night.folder)}


def _shift_tree(shift: Shift) -> dict[str, Any]:
    return {
        "id": shift.id, "what": shift.what, "before": shift.before, "after": shift.after, "worse": shift.worse,
        "size": shift.size, "message": shift.message,
    }  # fmt: skip
