"""What a maintainer is told: expected, seen, with which versions, and a script that shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reports.render.markdown import code, escaped
from reports.render.text import value
from reports.reproducer.case import Case
from reports.reproducer.script import EXPECTED, script, seen
from reports.versions import versions


def issue(case: Case) -> str:
    """Markdown for an issue tracker, the title in its first line."""
    return "".join(_lines(case))


def _lines(case: Case) -> Iterator[str]:
    record, cell = case.record, case.check.cell
    where = f"{cell.configuration.name} on {cell.model.architecture} in {cell.dtype}"
    yield f"# {escaped(where)}: {escaped(seen(record))}\n\n"
    yield f"**Expected**: {escaped(EXPECTED[record.check])}\n\n**Seen**: {escaped(seen(record))}\n\n"
    yield f"{escaped(cell.configuration.summary)}; check {code(record.id)}"
    yield f", known as {escaped(record.expectation)}\n\n" if record.expectation else "\n\n"
    yield "| with | version |\n|---|---|\n"
    yield from (f"| {code(name)} | {escaped(value(version))} |\n" for name, version in versions(case.run).items())
    text = script(case)
    fence = "`" * max(3, *(len(found) + 1 for found in re.findall("`+", text)))
    yield "\n**To reproduce**, with torch, transformers and NumPy alone (exits with 1 where it fails):\n"
    yield f"\n{fence}python\n{text}{fence}\n"
