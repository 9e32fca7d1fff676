"""Several runs side by side, one an environment and machine: where their parts lie, and what they come to together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from matrix.errors import UserError
from reports.compare import Comparison, compare, exit_code
from reports.merge import Joined
from reports.run import Run
from reports.store import RUN, read_run
from reports.summary import judge
from reports.thresholds import Thresholds

NONE: Final[Mapping[str, Joined]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One run of a fleet; ``run`` is None where none of it came back, ``comparison`` where it had no baseline. ``notes`` say
    how it was joined, ``left_out`` which parts that executed something are not in it.
    """

    name: str
    run: Run | None = None
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def exit(self) -> int:
        """0 good, or nothing worse than the baseline; 1 not, or not all of it is there; 3 where nothing could be decided."""
        if self.run is None or self.left_out:
            return 1
        return exit_code(self.comparison) if self.comparison else int(not judge(self.run).good)

    @property
    def sentence(self) -> str:
        """Its verdict."""
        if self.run is None:
            return "MISSING: no part of it came back."
        sentence = self.comparison.sentence if self.comparison else judge(self.run).sentence
        if not self.left_out:
            return sentence
        count = f"{len(self.left_out)} part{'s' * (len(self.left_out) > 1)} left out"
        return f"NOT GOOD: {count}: {'; '.join(self.left_out)}. The others: {sentence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The runs of one validation, by name."""

    members: tuple[Member, ...]

    @property
    def exit(self) -> int:
        """1 where anything is bad or missing, else 3 where one could not be decided, else 0."""
        found = {member.exit for member in self.members}
        return 1 if 1 in found else max(found, default=1)

    @property
    def sentence(self) -> str:
        """The verdict of all."""
        names = ", ".join(member.name for member in self.members if member.exit)
        good = sum(not member.exit for member in self.members)
        count = f"{good} of {len(self.members)} runs {'is' if good == 1 else 'are'} good"
        if self.exit == 1:
            return f"NOT GOOD: {names or 'no run came back'}; {count}."
        return f"NOT ALL IS DECIDED: {names}; {count}." if self.exit else f"GOOD: {count}."


def parts(folder: Path) -> dict[str, list[Path]]:
    """The folders of runs below a folder, by the path of the folder that they lie in: those are parts of one run.

    Raises:
        UserError: it holds none.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder; name the one that holds the folders of the parts")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob(RUN)):
        found.setdefault(path.parent.parent.relative_to(folder).as_posix(), []).append(path.parent)
    return found


def fleet(
    runs: Mapping[str, Run], expected: Collection[str], baseline: Path | None, thresholds: Thresholds,
    joined: Mapping[str, Joined] = NONE,
) -> Fleet:  # fmt: skip
    """Each run compared with the baseline's of its name, judged alone where there is none. What is expected and did not come
    is missing; where nothing is said to be expected, that is what the baseline has. ``joined`` says how each run was joined.
    """
    earlier = _runs(baseline) if baseline else {}
    names = sorted({*runs, *(expected or earlier)})
    members = (_member(name, runs.get(name), earlier.get(name), thresholds) for name in names)
    return Fleet(members=tuple(_told(member, joined.get(member.name)) for member in members))


def _member(name: str, run: Run | None, before: Run | None, thresholds: Thresholds) -> Member:
    compared = compare(before, run, thresholds) if run and before else None
    return Member(name=name, run=run, comparison=compared)


def _told(member: Member, made: Joined | None) -> Member:
    return replace(member, notes=made.notes, left_out=made.left_out) if made else member


def _runs(folder: Path) -> dict[str, Run]:
    """The runs in the folders of a folder. Raises UserError where one cannot be read, or there is none."""
    found = {path.parent.relative_to(folder).as_posix(): read_run(path.parent) for path in sorted(folder.rglob(RUN))}
    if not found:
        raise UserError(f"--baseline {folder}: holds no folder of a run; name one that `python -m reports merge` wrote")
    return found
