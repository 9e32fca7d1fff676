"""What to look at: findings worst first, those that say the same of several checks told once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from reports.compare import Comparison
from reports.record import RED, Outcome, Record
from reports.render import group
from reports.render.html import entry
from reports.render.text import last_words
from reports.run import Run
from reports.summary import failures, refusals, skips, words
from reports.verdict import Kind, Verdict


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
    def bad(self) -> bool:
        """Something there counts against the run."""
        return self.items[0].state == "bad"

    @property
    def total(self) -> int:
        """How many checks they are about."""
        return sum(item.count for item in self.items)


def of_run(run: Run, environment: str = "") -> list[Section]:
    """The findings of one run, those that make it not good first, under the name of its environment where there are several."""
    found = _filled(
        ("Not good", [_of_records(found) for found in group.of_records(failures(run))]),
        ("Planned and never run", _never_run(run)),
        ("Refused or expected to fail", [_of_records(found) for found in _odd(run)]),
        ("Skipped", _skipped(run)),
    )
    return _named(found, environment)


def of_comparison(comparison: Comparison, environment: str = "") -> list[Section]:
    """The findings of a comparison, a section a verdict, worst first."""
    known = [item for item in comparison.verdicts if item.accepted]
    kinds = ((_heading(kind), _of_kind(comparison, kind)) for kind in Kind)
    found = _filled(*kinds, ("Known failures", [_of_verdicts(found) for found in group.of_verdicts(known)]))
    return _named(found, environment)


def _named(sections: Iterator[Section], environment: str) -> list[Section]:
    return [replace(section, name=f"{section.name} in {environment}") if environment else section for section in sections]


def _filled(*sections: tuple[str, Sequence[Told]]) -> Iterator[Section]:
    return (Section(name=name, items=items) for name, items in sections if items)


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
