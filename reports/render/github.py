"""Annotations of a job on GitHub, as workflow commands that a step prints.

The commands and their escapes: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands and
https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from reports import problems
from reports.compare import Comparison
from reports.problems import Problem
from reports.render import group, place
from reports.render.text import plain
from reports.run import Run
from reports.summary import judge

MOST: Final = 10
"""Annotations of one level that GitHub keeps of a step (https://docs.github.com/rest/checks/runs, "Annotations per step")."""
_LONGEST: Final = 1000


def of_run(run: Run) -> str:
    """One run."""
    judgement = judge(run)
    return "".join(_commands(problems.of_run(run), judgement.sentence))


def of_comparison(comparison: Comparison) -> str:
    """Two runs."""
    return "".join(_commands(problems.of_comparison(comparison), comparison.sentence))


def _commands(found: Sequence[Problem], sentence: str) -> Iterator[str]:
    """The sentence as a notice, then what is bad as errors, and what is undecided as warnings: as many as are kept."""
    yield _command("notice", {"title": "GPU inference validation"}, sentence)
    for level, chosen in (
        ("error", [problem for problem in found if problem.bad]),
        ("warning", [problem for problem in found if not problem.bad]),
    ):
        told = group.of_problems(chosen)
        fits = told if len(told) <= MOST else told[: MOST - 1]
        yield from (_annotation(level, entry) for entry in fits)
        if left := sum(1 + len(entry.others) for entry in told[len(fits) :]):
            yield _command(level, {"title": "And more"}, f"{left} more do not fit here; the report has them.")


def _annotation(level: str, found: group.Group[Problem]) -> str:
    problem = found.first
    path, line = place.of(problem)
    also = f"\nand {len(found.others)} more alike: {found.where}" if found.others else ""
    reproduce = f"\nreproduce: {plain(problem.command)}" if problem.command else ""
    text = f"{plain(problem.sentence, _LONGEST)}{also}{reproduce}"
    return _command(level, {"file": path, "line": str(line), "title": problem.id}, text)


def _command(level: str, properties: dict[str, str], text: str) -> str:
    given = ",".join(f"{key}={_property(plain(value, _LONGEST))}" for key, value in properties.items())
    return f"::{level} {given}::{_data(text)}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
