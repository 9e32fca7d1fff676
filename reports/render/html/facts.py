"""The environment as the page tells it: of one run what matters most, of several what differs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reports.difference import Change, changes
from reports.run import Run

_PACKAGES: Final = "packages."
_SECTIONS: Final = ("devices", "runtime", "libraries", "settings", "host")
_MAIN: Final = re.compile(r"devices\[\d+\]\.name|runtime\.(cuda|hip|cudnn|driver\.driver_version)|libraries\..+\.version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One leaf of the fingerprint, in each run of the page."""

    path: str
    values: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is told at once, what when asked, and the versions of packages."""

    main: Sequence[Fact]
    others: Sequence[Fact]
    packages: Sequence[Fact]


def of_run(run: Run) -> Facts:
    """Devices, driver and libraries of one run; everything else where it is asked for."""
    facts = [Fact(path=leaf.path, values=(leaf.after,)) for leaf in changes({}, run.environment)]
    return _told(facts, [fact for fact in facts if _MAIN.fullmatch(fact.path)])


def of_changes(found: Iterable[Change]) -> Facts:
    """Everything that differs between two runs."""
    facts = [Fact(path=change.path, values=(change.before, change.after)) for change in found]
    return _told(facts, facts)


def of_runs(runs: Sequence[Run]) -> Facts:
    """Everything that is not the same in several runs."""
    leaves = [{leaf.path: leaf.after for leaf in changes({}, run.environment)} for run in runs]
    paths = dict.fromkeys(path for tree in leaves for path in tree)
    facts = [Fact(path=path, values=[tree.get(path) for tree in leaves]) for path in paths]
    differing = [fact for fact in facts if len({repr(value) for value in fact.values}) > 1]
    return _told(differing, differing)


def _told(facts: Sequence[Fact], main: Sequence[Fact]) -> Facts:
    paths = {fact.path for fact in main}
    packages = [fact for fact in facts if fact.path.startswith(_PACKAGES)]
    others = sorted((fact for fact in facts if not fact.path.startswith(_PACKAGES)), key=_weight)
    return Facts(
        main=[fact for fact in others if fact.path in paths],
        others=[fact for fact in others if fact.path not in paths],
        packages=packages,
    )


def _weight(fact: Fact) -> tuple[int, bool, str]:
    """Devices and drivers before libraries before settings; where a library lies comes last."""
    section = fact.path.partition(".")[0].partition("[")[0]
    rank = _SECTIONS.index(section) if section in _SECTIONS else len(_SECTIONS)
    return rank, fact.path.endswith(".location"), fact.path
