"""Whether latency got worse: over all checks of two runs at once, because chance finds something in a large matrix.

It starts from not knowing. A change is reported where four things hold together: the medians of processes lie apart by an
exact test; Benjamini and Hochberg's share of false discoveries over the matrix is below its limit; the ratio is beyond what
matters in practice; and clock cycles, where the device tells its clock, differ as time does. Unchanged is what an interval says
that rules out a change of the size that is to be found, twice that threshold.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from reports import counts, ratio, timing
from reports.latency_thresholds import HOST, LatencyThresholds, Limit
from reports.ratio import Ratio
from reports.record import HOLDING, Record
from reports.timing import Figure, Timing
from reports.verdict import Finding, Kind

Findings = dict[str, tuple[Finding, ...]]
CHECK: Final = "latency"
# What is 0.0 % where it is told.
_NOTHING: Final = 5e-4
_OF_THE_DEVICE: Final = ("device", "kernel")
_UNKNOWN: Final = Finding(
    kind=Kind.INCONCLUSIVE, reason="latency_unknown_before",
    message="the baseline holds no latency that can be read: measure it again",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One figure of one check in both runs, and how it differs; None where there are too few processes to say. ``waits`` is
    whether most of a time of the device is its waiting for the host, ``other_gpu`` names the GPUs where they are two.
    """

    id: str
    before: Figure
    after: Figure
    limit: Limit
    gap: Ratio | None
    cycles: Ratio | None
    waits: bool = False
    other_gpu: str = ""
    false: float = 1.0


def findings(
    before: Mapping[str, Record], after: Mapping[str, Record], thresholds: LatencyThresholds, other_host: str = "",
    other_python: str = "",
) -> tuple[Findings, str]:  # fmt: skip
    """What differs, by check id, and what is far apart and yet unchanged, empty where nothing is. What the host's time tells
    decides nothing where the processors are others, as ``other_host`` says, nor do calls of Python functions with an
    ``other_python``. Raises UserError where scipy, which judges, is missing.
    """
    found: dict[str, list[Finding]] = {}
    pairs: list[Pair] = []
    for id, was in before.items():
        now = after.get(id)
        if now is None or not {was.outcome, now.outcome} <= HOLDING or was.definition != now.definition:
            continue
        earlier, later = timing.of(was), timing.of(now)
        if earlier is None:
            found[id] = [_UNKNOWN] if CHECK in (was.check, now.check) or later is not None else []
            continue
        found[id] = list(_uncompared(earlier, later))
        if later is not None and not found[id]:
            found[id] += [*_unknown_before(earlier, later), *counts.findings(earlier, later, thresholds.counts, other_python)]
            pairs += _pairs(was, earlier, later, thresholds, other_host)
    unchanged = []
    for pair in _over_the_matrix(pairs):
        if (finding := judged(pair, thresholds)) is None:
            unchanged.append(pair)
        else:
            found[pair.id].append(_of_this_gpu(_of_this_host(finding, pair, other_host), pair, thresholds.other_gpu))
    note = _far_apart(unchanged, thresholds.limits[HOST].ratio, other_host)
    return {id: tuple(each) for id, each in found.items() if each}, note


def _far_apart(unchanged: Iterable[Pair], differ: float, other_host: str) -> str:
    """What a wide limit leaves unchanged, though all of its interval lies beyond what is a change of the host's time."""
    far = [(pair, pair.gap) for pair in unchanged if pair.gap and (pair.gap.low > differ or pair.gap.high < 1 / differ)]
    if not far:
        return ""
    pair, gap = max(far, key=lambda each: (each[1].estimate > 1, _size(each[1])))
    others = f" and {len(far) - 1} more: their" if len(far) > 1 else ": its"
    limits = sorted({each.limit for each, _ in far}, key=lambda limit: (limit.found, limit.name))
    finds = " and ".join(f"{limit.found:g} times, {limit.name}" for limit in limits)
    host = f"; the processors are others: {other_host}" if other_host else ""
    return (
        f"unchanged by a wide limit, and yet more than {differ - 1:.0%} apart: {pair.id}: {_sentence(pair, gap)}{others} limit "
        f"finds {finds}{host}"
    )


def _of_this_gpu(finding: Finding, pair: Pair, differ: float) -> Finding:
    """Of a change of the device's own time that was measured on another GPU: two of one kind differ, too."""
    if not pair.other_gpu or not _of_the_device(pair) or finding.kind not in (Kind.REGRESSED, Kind.IMPROVED):
        return finding
    message = f"{finding.message}; the GPU is another one ({pair.other_gpu})"
    if finding.size > differ:
        return replace(finding, message=message)
    message += f", and two of one kind differ by up to {differ - 1:.0%}: measure both on one GPU"
    return replace(finding, kind=Kind.INCONCLUSIVE, reason="other_gpu", message=message)


def _of_the_device(pair: Pair) -> bool:
    return pair.before.clock in _OF_THE_DEVICE and not pair.waits


def _of_this_host(finding: Finding, pair: Pair, other_host: str) -> Finding:
    if not other_host or _of_the_device(pair) or finding.kind not in (Kind.REGRESSED, Kind.IMPROVED):
        return finding
    message = f"{finding.message}; the processors are others: {other_host}"
    return replace(finding, kind=Kind.INCONCLUSIVE, reason="other_host", message=message)


def judged(pair: Pair, thresholds: LatencyThresholds) -> Finding | None:
    """What one figure says; None where it did not change."""
    limit, gap = pair.limit, pair.gap
    if gap is None:
        return _too_few(pair, thresholds)
    beyond = pair.false <= thresholds.false_discoveries and not 1 / limit.ratio <= gap.estimate <= limit.ratio
    if beyond and ratio.exact(pair.before.medians, pair.after.medians) <= thresholds.exact:
        return _changed(pair, gap) if pair.before.settled and pair.after.settled else _unsettled(pair, gap)
    if 1 / limit.found <= gap.low and gap.high <= limit.found:
        return None
    more = ratio.needed(gap.spread, gap.estimate, limit.found, thresholds.confidence)
    return Finding(
        kind=Kind.INCONCLUSIVE, reason="noisy", size=_size(gap),
        message=f"{_sentence(pair, gap)}: a change of {limit.found - 1:.0%} ({limit.name}) cannot be ruled out with "
        f"{_sides(pair)} processes, {more} a side would",
    )  # fmt: skip


def _changed(pair: Pair, gap: Ratio) -> Finding:
    slower = gap.estimate > 1
    if pair.cycles is not None and not _alike(pair.cycles.estimate, pair.limit.ratio, slower=slower):
        return Finding(
            kind=Kind.INCONCLUSIVE, reason="clock", size=_size(gap),
            message=f"{_sentence(pair, gap)}, but in clock cycles {pair.cycles.estimate - 1:+.1%}: the clock differed",
        )  # fmt: skip
    cycles = f", in clock cycles {pair.cycles.estimate - 1:+.1%}" if pair.cycles is not None else _CLOCK[pair.before.clock]
    if pair.waits:
        cycles = "; the device waited for the host in it, so that this is the host's time as well"
    kind = Kind.REGRESSED if slower else Kind.IMPROVED
    return Finding(kind=kind, reason="latency", message=f"{_sentence(pair, gap)}{cycles}", size=_size(gap))


# What is said of a change where no clock is known: of what has one.
_CLOCK: Final = defaultdict(str, dict.fromkeys(_OF_THE_DEVICE, "; the device's clock is not known"))


def _unsettled(pair: Pair, gap: Ratio) -> Finding:
    """The change may be one of the warm-up."""
    return Finding(
        kind=Kind.INCONCLUSIVE, reason="unsettled", size=_size(gap),
        message=f"{_sentence(pair, gap)}, but samples of most processes had not settled: raise warm_up_milliseconds in "
        "matrix/measuring.toml",
    )  # fmt: skip


def _alike(cycles: float, threshold: float, *, slower: bool) -> bool:
    """Cycles went the same way, by at least half of what matters."""
    half = 1 + (threshold - 1) / 2
    return cycles >= half if slower else cycles <= 1 / half


def _sentence(pair: Pair, gap: Ratio) -> str:
    away = abs(gap.estimate - 1)
    way = "as fast" if away < _NOTHING else f"{away:.1%} {'slower' if gap.estimate > 1 else 'faster'}"
    rate = f" ({pair.after.tokens_per_second:,.0f} tokens a second)" if pair.after.tokens_per_second else ""
    return (f"{pair.before.name.replace('_', ' ')} ({_clock(pair.before)}) {way} "
            f"[{gap.low - 1:+.1%}, {gap.high - 1:+.1%}], from {_time(pair.before)} to {_time(pair.after)}{rate}")  # fmt: skip


def _clock(figure: Figure) -> str:
    return "what the host waited for" if figure.clock == timing.WAITED else f"{figure.clock} time"


def _too_few(pair: Pair, thresholds: LatencyThresholds) -> Finding:
    reasons = (*pair.before.disturbed, *pair.after.disturbed)
    why = f"; the others were disturbed: {', '.join(sorted(set(reasons)))}" if reasons else ""
    return Finding(
        kind=Kind.INCONCLUSIVE, reason="disturbed" if reasons else "too_few",
        message=f"{pair.before.name.replace('_', ' ')}: {_sides(pair)} processes can be compared, {thresholds.processes} "
        f"a side are needed{why}",
    )  # fmt: skip


def _uncompared(before: Timing, after: Timing | None) -> Iterator[Finding]:
    if after is None:
        yield Finding(
            kind=Kind.MISSING, reason="latency_missing", message="the baseline recorded latency, the candidate did not"
        )
    elif before.code != after.code:
        yield Finding(kind=Kind.NOT_COMPARABLE, reason="workload_code", message="the code of the workload changed")
    elif None not in (before.flush, after.flush) and before.flush != after.flush:
        yield Finding(
            kind=Kind.NOT_COMPARABLE, reason="workload_cache",
            message=f"the cache was flushed for calls below {before.flush} s before, below {after.flush} s now",
        )  # fmt: skip
    else:
        for name in before.figures:
            if name not in after.figures:
                yield Finding(kind=Kind.MISSING, reason="figure_missing",
                              message=f"the baseline recorded {name.replace('_', ' ')}, the candidate did not")  # fmt: skip
            elif before.figures[name].waited and not after.figures[name].waited:
                yield Finding(kind=Kind.MISSING, reason="waited_missing",
                              message=f"the baseline recorded what the host waited for {name.replace('_', ' ')}, the "
                                      "candidate did not")  # fmt: skip


def _unknown_before(before: Timing, after: Timing) -> Iterator[Finding]:
    """What the candidate alone has measured."""
    for name in after.figures:
        if name not in before.figures:
            yield Finding(kind=Kind.INCONCLUSIVE, reason="figure_unknown_before",
                          message=f"{name.replace('_', ' ')}: the baseline did not measure it")  # fmt: skip
    if not any((before.figures, after.figures, before.counters, after.counters)):
        yield _UNKNOWN


def _pairs(record: Record, before: Timing, after: Timing, thresholds: LatencyThresholds, other_host: str) -> Iterator[Pair]:
    other = other_gpu(before, after, other_host)
    for was, now in _judged_figures(before, after):
        limit = thresholds.limit(record.platform, replace(was, held=was.held and now.held))
        fewest = min(len(was.medians), len(now.medians))
        gap = ratio.ratio(was.medians, now.medians, thresholds.confidence) if fewest >= thresholds.processes else None
        waits = any(_waits(figure, timing) for figure, timing in ((was, before), (now, after)))
        known = gap is not None and min(len(was.cycles), len(now.cycles)) > 1 and not waits
        cycles = ratio.ratio(was.cycles, now.cycles, thresholds.confidence) if known else None
        yield Pair(id=record.id, before=was, after=now, limit=limit, gap=gap, cycles=cycles, waits=waits, other_gpu=other)


def other_gpus(before: Mapping[str, Record], after: Mapping[str, Record], other_host: str = "") -> tuple[str, ...]:
    """Where two runs measured latency on GPUs that are two, as far as anybody knows: which."""
    pairs = [(timing.of(was), timing.of(after[id])) for id, was in before.items() if id in after]
    return tuple(sorted({other_gpu(was, now, other_host) for was, now in pairs if was is not None and now is not None} - {""}))


def other_gpu(before: Timing, after: Timing, other_host: str = "") -> str:
    """The GPUs that two measurements are of, where they are two or only one of them is known; else empty. Where none is known,
    those of two hosts are two.
    """
    was, now = (" and ".join(each.gpus) for each in (before, after))
    on_gpus = any(figure.clock in _OF_THE_DEVICE for each in (before, after) for figure in each.figures.values())
    apart = was != now or (not was and other_host and on_gpus)
    return f"{was or 'unknown'} -> {now or 'unknown'}" if apart else ""


def _waits(figure: Figure, timing: Timing) -> bool:
    """Whether the device could not be held, and its kernels take less than half of its time."""
    kernels = timing.figures.get(f"{figure.name}_kernels")
    if figure.clock != "device" or figure.held or kernels is None or not (kernels.medians and figure.medians):
        return False
    return 2 * statistics.median(kernels.medians) < statistics.median(figure.medians)


def _judged_figures(before: Timing, after: Timing) -> Iterator[tuple[Figure, Figure]]:
    """Each figure in both runs, and beside device time what the host waited for."""
    for name, was in before.figures.items():
        now = after.figures[name]
        yield was, now
        if was.waited and now.waited:
            yield _waited(was), _waited(now)


def _waited(figure: Figure) -> Figure:
    return Figure(name=figure.name, clock=timing.WAITED, medians=figure.waited, cycles=())


def _over_the_matrix(pairs: list[Pair]) -> list[Pair]:
    tested = [pair for pair in pairs if pair.gap is not None]
    false = ratio.adjusted([pair.gap.p for pair in tested if pair.gap is not None])
    shares = {id(pair): share for pair, share in zip(tested, false, strict=True)}
    return [replace(pair, false=shares.get(id(pair), 1.0)) for pair in pairs]


def _sides(pair: Pair) -> str:
    before, after = len(pair.before.medians), len(pair.after.medians)
    return str(before) if before == after else f"{before} and {after}"


def _size(gap: Ratio) -> float:
    return max(gap.estimate, 1 / gap.estimate)


def _time(figure: Figure) -> str:
    """The mean that the ratio is of."""
    middle = statistics.geometric_mean(figure.medians)
    return f"{middle * 1e3:.3f} ms" if middle >= 1e-3 else f"{middle * 1e6:.1f} us"
