"""Pictures over all checks: what there is to draw, in pixels; the template writes it down as SVG."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reports.drift import in_bytes
from reports.record import Record
from reports.render.html.axis import Axis, decades, doublings, powers
from reports.render.html.entry import Entry
from reports.render.placement import PHASES, costs
from reports.render.text import plain, seconds, share
from reports.statistics import shares

LABELS: Final = 230
WIDTH: Final = 760
LETTERS: Final = 36
"""Of a configuration's name, before it is cut."""
ROW: Final = 18
TOP: Final = 26
SIZES: Final = (("footprint", "hollow"), ("peak", "solid"))
NAMED: Final = 3
"""Dots of a row that name their check and lead to it: those farthest to the right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One value of one check."""

    x: float
    id: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The dots of one configuration: ``paths`` draws those of each series at once, ``named`` can be pointed at."""

    label: str
    y: float
    paths: Mapping[str, str]
    named: Sequence[Dot]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Rows of dots over one axis. ``series`` are names and the class that draws them, ``limit`` a line all read against."""

    title: str
    caption: str
    series: Sequence[tuple[str, str]]
    ticks: Sequence[tuple[float, str]]
    limit: float | None
    rows: Sequence[Row]

    @property
    def height(self) -> int:
        """Pixels."""
        return TOP + ROW * len(self.rows) + 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What is drawn: of which check, in which series, and how it is said in words."""

    entry: Entry
    series: str
    number: float
    said: str


def errors(entries: Sequence[Entry], rows: Sequence[str], *, two: bool) -> Plot | None:
    """Error over tolerance of every check that has both, by configuration; beyond the line is beyond the tolerance."""
    found = [
        Value(entry=entry, series=series, number=part, said=f"{metric} error {share(part)} of its tolerance")
        for series, entry, record in _records(entries, two=two)
        for metric, part in _judged(record).items()
    ]
    low, high = decades((value.number for value in found), least=1e-5, most=1e2)
    axis = Axis(low=low, high=max(high, 10.0), left=LABELS, right=WIDTH)
    ticks = [(axis.at(power), f"{power:g}") for power in powers(axis.low, axis.high)]
    return _plot(
        "Error against tolerance", "error over tolerance, each metric of each check; right of the line is beyond the tolerance",
        found, rows, axis, ticks, limit=axis.at(1.0), two=two,
    )  # fmt: skip


def memory(entries: Sequence[Entry], rows: Sequence[str], *, two: bool) -> Plot | None:
    """Memory of two runs against each other; of one run against eager's, or in bytes where eager was not run."""
    if two:
        return _ratios(
            "Memory", list(_of_two(entries)), rows, "bytes candidate over baseline; right of the line is more", SIZES
        )
    of_eager = list(_of_eager(entries))
    if of_eager:
        caption = "bytes over eager's, same model and dtype; right of the line is more"
        return _ratios("Memory", of_eager, rows, caption, SIZES)
    found = list(_of_bytes(entries))
    low, high = doublings((value.number for value in found), least=1.0, most=2.0**50)
    axis = Axis(low=low, high=high, left=LABELS, right=WIDTH)
    first, last = round(math.log2(low)), round(math.log2(high))
    ticks = [(axis.at(2.0**at), in_bytes(2**at)) for at in range(first, last + 1, max(1, (last - first) // 5))]
    return _plot("Memory", "of each check", found, rows, axis, ticks, series=SIZES)


def placement(entries: Sequence[Entry], rows: Sequence[str], *, two: bool) -> Plot | None:
    """Time of a pass of each model that is spread over devices, over that of the whole model on one."""
    found = [
        Value(entry=entry, series=series if two else phase, number=ratio, said=said)
        for series, entry, record in _records(entries, two=two)
        for phase, ratio, said in costs(record)
    ]
    phases = tuple(zip(PHASES, ("hollow", "solid"), strict=True))
    caption = "time of a pass over the whole model's on one device; right of the line is lost to copies and hooks"
    return _ratios("Lost to placement", found, rows, caption, () if two else phases, two=two)


def _ratios(
    title: str, found: Sequence[Value], rows: Sequence[str], caption: str, series: Sequence[tuple[str, str]], *,
    two: bool = False,
) -> Plot | None:  # fmt: skip
    low, high = doublings((*(value.number for value in found), 0.5, 2.0), least=2.0**-8, most=2.0**8)
    axis = Axis(low=low, high=high, left=LABELS, right=WIDTH)
    exponents = range(round(math.log2(low)), round(math.log2(high)) + 1)
    ticks = [(axis.at(2.0**at), f"{2**at}" if at >= 0 else f"1/{2**-at}") for at in exponents]
    return _plot(title, caption, found, rows, axis, ticks, limit=axis.at(1.0), two=two, series=series)


def _records(entries: Iterable[Entry], *, two: bool) -> Iterator[tuple[str, Entry, Record]]:
    for entry in entries:
        if two and entry.before:
            yield "baseline", entry, entry.before
        if entry.after:
            yield "candidate" if two else "error", entry, entry.after


def _judged(record: Record) -> dict[str, float]:
    return {name: part for name, part in shares(record).items() if part != 0}


def _of_two(entries: Iterable[Entry]) -> Iterator[Value]:
    for entry in entries:
        for name, _ in SIZES:
            was, now = (record.memory.get(name, 0) if record else 0 for record in (entry.before, entry.after))
            if was > 0 and now > 0:
                said = f"{name} {now / was:.3f} times the baseline's"
                yield Value(entry=entry, series=name, number=now / was, said=said)


def _of_bytes(entries: Iterable[Entry]) -> Iterator[Value]:
    for entry in entries:
        for name, _ in SIZES:
            if entry.after and (size := entry.after.memory.get(name, 0)) > 0:
                yield Value(entry=entry, series=name, number=float(size), said=f"{name} {in_bytes(size)}")


def _of_eager(entries: Sequence[Entry]) -> Iterator[Value]:
    """Records of one kind and subject are of one workload, so only they are set against each other."""
    eager = {_workload(entry): entry.after.memory for entry in entries if entry.configuration == "eager" and entry.after}
    for entry in entries:
        if entry.configuration == "eager" or entry.after is None:
            continue
        for name, _ in SIZES:
            was, now = eager.get(_workload(entry), {}).get(name, 0), entry.after.memory.get(name, 0)
            if was > 0 and now > 0:
                said = f"{name} {now / was:.3f} times eager's"
                yield Value(entry=entry, series=name, number=now / was, said=said)


def _workload(entry: Entry) -> tuple[str, ...]:
    footprint = entry.after is not None and "footprint" in entry.after.memory
    return (entry.environment, entry.model, entry.dtype, *(("footprint",) if footprint else (entry.check, entry.subject)))


def _plot(
    title: str, caption: str, found: Sequence[Value], rows: Sequence[str], axis: Axis, ticks: Sequence[tuple[float, str]],
    *, limit: float | None = None, two: bool = False, series: Sequence[tuple[str, str]] = (),
) -> Plot | None:  # fmt: skip
    if not found:
        return None
    by_row: defaultdict[str, list[Value]] = defaultdict(list)
    for value in found:
        by_row[value.entry.configuration].append(value)
    drawn = [name for name in rows if name in by_row]
    usual = [("baseline", "hollow"), ("candidate", "solid")] if two else [("error", "solid")]
    return Plot(
        title=title, caption=caption, series=series or usual, ticks=ticks, limit=limit,
        rows=[_row(name, by_row[name], axis, TOP + ROW * at + ROW / 2) for at, name in enumerate(drawn)],
    )  # fmt: skip


def _row(label: str, values: Sequence[Value], axis: Axis, y: float) -> Row:
    places: defaultdict[str, set[float]] = defaultdict(set)
    for value in values:
        places[value.series].add(round(axis.at(value.number) * 2) / 2)  # half a pixel: nobody sees more, and paths stay short
    paths = {series: "".join(f"M{x:g} {y:g}h0" for x in sorted(found)) for series, found in places.items()}
    farthest = sorted(values, key=lambda value: (not math.isnan(value.number), -value.number))[:NAMED]
    named = [Dot(x=axis.at(value.number), id=value.entry.id, said=f"{value.entry.id}: {value.said}") for value in farthest]
    return Row(label=plain(label, LETTERS), y=y, paths=paths, named=named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a bar."""

    name: str
    x: float
    width: float
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Where the time of each run went; ``phases`` are in the order of their colours."""

    phases: Sequence[str]
    rows: Sequence[tuple[str, float, Sequence[Piece]]]

    @property
    def height(self) -> int:
        """Pixels."""
        return 8 + 26 * len(self.rows)


def time(sides: Sequence[tuple[str, Mapping[str, float]]]) -> Bars | None:
    """Seconds by phase, summed over all checks, a bar a run; all bars have one scale."""
    longest = max(sum(spent.values()) for _, spent in sides)
    if not 0 < longest < math.inf:
        return None
    phases = list(dict.fromkeys(name for _, spent in sides for name in spent))
    axis = Axis(low=0, high=longest, left=LABELS, right=WIDTH, logarithmic=False)
    rows = [(label, 8.0 + 26 * at, _pieces(spent, phases, axis)) for at, (label, spent) in enumerate(sides)]
    return Bars(phases=phases, rows=rows)


def _pieces(spent: Mapping[str, float], phases: Sequence[str], axis: Axis) -> list[Piece]:
    pieces, so_far = [], 0.0
    for name in phases:
        taken = spent.get(name, 0.0)
        x, end = axis.at(so_far), axis.at(so_far + taken)
        pieces.append(Piece(name=name, x=x, width=round(end - x, 1), said=f"{name} {seconds(taken)}"))
        so_far += taken
    return pieces
