"""Shards of one plan, joined to the run that one machine would have recorded. Pure but for ``write``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reports.difference import changes
from reports.record import Outcome, Record
from reports.render import junit
from reports.run import PREFLIGHT, Header, Run
from reports.shard import Shard
from reports.store import JUNIT, RunWriter, read_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A run that was never one execution: ``records`` in the order they were recorded. ``notes`` say how it was joined, and
    ``left_out`` which parts were not, though they executed something, and why.
    """

    header: Header
    environment: Mapping[str, Any]
    records: tuple[Record, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def joined(parts: Sequence[Run]) -> Joined:
    """One run of at least one part. A whole run counts as the only shard of its plan.

    A part of another plan or of another environment than most is left out and said to be: its checks are then missing, as
    are those of a shard that never came back. One that ran on a machine which was not ready has no plan, and is kept for
    what its preflight found.
    """
    parts = sorted(parts, key=lambda run: (run.header.started, run.header.id))
    first = _usual(parts)
    taken = [run for run in parts if not _stranger(run, first)]
    left_out = [(_left_out(run, first), run.executed) for run in parts if run not in taken]
    notes = (*_notes(taken, first), *(f"left out {sentence}" for sentence, _ in left_out))
    plan = dict.fromkeys(id for run in taken for id in (*_beyond(run), *_shard(run).plan))
    return Joined(
        header=replace(
            first.header,
            id=f"{taken[0].header.id}+{len(taken) - 1}" if len(taken) > 1 else taken[0].header.id,
            started=taken[0].header.started,
            finished=max(run.header.finished or run.header.started for run in taken),
            complete=all(map(_ended, _attempts(taken).values())),
            planned=tuple(plan),
            narrowed=any(run.header.narrowed for run in taken),
            shard=None,
            notes=(*notes, *dict.fromkeys(note for run in taken for note in run.header.notes)),
            expectations=tuple(dict.fromkeys(entry for run in taken for entry in run.header.expectations)),
        ),
        environment=first.environment,
        records=tuple(_records(taken)),
        notes=notes,
        left_out=tuple(sentence for sentence, executed in left_out if executed),
    )


def write(run: Joined, folder: Path) -> Run:
    """The run in a folder of its own, read back. Raises UserError when it cannot be written."""
    writer = RunWriter(folder)
    writer.begin(replace(run.header, finished=None, complete=False), run.environment)
    for record in run.records:
        writer.append(record)
    writer.finish(finished=run.header.finished or run.header.started, complete=run.header.complete)
    recorded = read_run(folder)
    writer.attach(JUNIT, junit.of_run(recorded))
    return recorded


def _shard(run: Run) -> Shard:
    return run.header.shard or Shard(number=1, of=1, plan=run.header.planned)


def _beyond(run: Run) -> Iterator[str]:
    """What a part planned beyond the plan that is divided: its preflight."""
    divided = frozenset(_shard(run).plan)
    yield from (id for id in run.header.planned if id not in divided)


def _usual(parts: Sequence[Run]) -> Run:
    """The first of those parts that most agree with; one that planned something where any did."""
    able = [run for run in parts if _shard(run).plan] or parts
    return max(able, key=lambda run: sum(not _stranger(other, run) for other in able))


def _stranger(run: Run, first: Run) -> str:
    """Why a part is none of the same run, empty where it is one."""
    own, others = _shard(run), _shard(first)
    for name in ("platform", "tier", "cells", "environment", "injected"):
        if (was := getattr(run.header, name)) != (usual := getattr(first.header, name)):
            return f"its {name} is {was!r}, that of the others {usual!r}"
    if own.of != others.of:
        return f"it is one of {own.of} shards, the others are of {others.of}"
    if not own.plan:
        return ""
    if own.plan != others.plan:
        return f"it was planned with other checks ({len(own.plan)}, the others with {len(others.plan)})"
    different = [each for each in changes(first.environment, run.environment) if not each.of_the_machine]
    return f"its {different[0].path} is {different[0].after}, that of the others {different[0].before}" if different else ""


def _attempts(parts: Sequence[Run]) -> dict[int, list[Run]]:
    """The parts by the number of their shard; a shard that was run again has several."""
    found: dict[int, list[Run]] = {}
    for run in parts:
        found.setdefault(_shard(run).number, []).append(run)
    return found


def _ended(attempts: Iterable[Run]) -> bool:
    return any(run.header.complete for run in attempts)


def _absent(parts: Sequence[Run]) -> list[int]:
    return [number for number in range(1, _shard(parts[0]).of + 1) if number not in _attempts(parts)]


def _records(parts: Sequence[Run]) -> Iterator[Record]:
    """All records, those that a part superseded too; every machine has a preflight, of which the worst counts."""
    looks = [record for run in parts for record in run.records.values() if record.check == PREFLIGHT]
    yield from sorted(looks, key=lambda record: record.outcome is Outcome.PASSED)[:1]
    for run in parts:
        for record in (*run.superseded, *run.records.values()):
            if record.check != PREFLIGHT:
                yield replace(record, worker=f"{_shard(run).name} {record.worker}".strip())


def _left_out(run: Run, first: Run) -> str:
    return f"shard {_shard(run).name} ({run.header.id}): {_stranger(run, first)}"


def _notes(taken: Sequence[Run], first: Run) -> Iterator[str]:
    of = _shard(first).of
    if of > 1 or len(taken) > 1:
        yield f"joined from {len(taken)} parts: {', '.join(f'{_shard(run).name} {run.header.id}' for run in taken)}"
    if absent := _absent(taken):
        yield f"of {of} shards {', '.join(map(str, absent))} never came back"
    yield from (f"shard {_shard(run).name} ({run.header.id}) ended early" for run in taken if not run.header.complete)
    yield from (f"shard {_shard(run).name}: {damage}" for run in taken for damage in run.damage)
    different = Counter(each.path for run in taken for each in changes(first.environment, run.environment))
    if different:
        yield f"its machines differ in {', '.join(sorted(different))}"
