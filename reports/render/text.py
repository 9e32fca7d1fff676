"""How numbers, values and hostile text are written for people, in every format."""

from __future__ import annotations

import datetime
import math
import urllib.parse
from typing import Any

from reports.document import shown
from reports.record import Record
from reports.run import Header


def plain(text: str, limit: int = 2000) -> str:
    """One line that a terminal, a log or an XML file can hold: no control character, no lone surrogate, not endless."""
    clean = "".join(
        character if character.isprintable() else " " if character.isspace() else ascii(character)[1:-1] for character in text
    )
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def seconds(value: float) -> str:
    """A duration."""
    if not math.isfinite(value):
        return "unknown"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def moment(epoch: float) -> str:
    """A time in UTC, ``unknown`` where the number is none."""
    try:
        return datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "unknown"


def value(item: Any) -> str:
    """A value of the fingerprint."""
    if item is None:
        return "absent"
    return plain(item, 60) if isinstance(item, str) else shown(item)


def last_words(record: Record, frames: int, lines: int) -> list[str]:
    """Where a check was when its process ended, and what it said last: at most so many frames and lines, one sentence each."""
    told = [f"Python stack: {' < '.join(record.stack[:frames])}"] if record.stack else []
    return told + ([f"last output: {' | '.join(record.output[-lines:])}"] if record.output else [])


def share(item: float) -> str:
    """Error over tolerance."""
    return f"{100 * item:.0f} %" if math.isfinite(item) else str(item)


def title(header: Header) -> str:
    """What was run, where and when."""
    parts = [header.platform, f"tier {header.tier}" if header.tier else "", header.environment, moment(header.started)]
    return plain(f"{header.id}: " + ", ".join(part for part in parts if part))


def address(page: str, id: str) -> str:
    """Where a check stands in the HTML page at an address."""
    return f"{page}#{urllib.parse.quote(id, safe='/', errors='backslashreplace')}"
