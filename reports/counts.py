"""Whether a call does more than before: counts repeat exactly and are compared exactly, but for those that have a limit."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from reports.latency_thresholds import PYTHON_CALLS
from reports.timing import Timing
from reports.verdict import Finding, Kind


def findings(before: Timing, after: Timing, limits: Mapping[str, float], other_python: str = "") -> Iterator[Finding]:
    """What differs; a count that is in ``limits`` differs from that ratio on. What the baseline cannot say is said, and with an
    ``other_python``, which calls and counts functions otherwise, nothing is decided by their calls.
    """
    for finding in _all(before, after, limits):
        if other_python and finding.reason == PYTHON_CALLS and finding.kind in (Kind.REGRESSED, Kind.IMPROVED):
            yield replace(finding, kind=Kind.INCONCLUSIVE, reason="other_python", message=f"{finding.message}; {other_python}")
        else:
            yield finding


def _all(before: Timing, after: Timing, limits: Mapping[str, float]) -> Iterator[Finding]:
    before, after = (_steadied(each, limits) for each in (before, after))
    for name in (*after.counters, *after.unsteady):
        if name not in before.counters:
            values = ", ".join(map(str, before.unsteady.get(name, ())))
            why = f"differ between its processes: {values}" if values else "were not counted"
            yield Finding(kind=Kind.INCONCLUSIVE, reason=f"{name}_unknown_before",
                          message=f"{_COUNTS.get(name, name)} a call: in the baseline they {why}")  # fmt: skip
    for name, was in before.counters.items():
        now = after.counters.get(name)
        if name in after.unsteady:
            seen = after.unsteady[name]
            message = f"{_COUNTS.get(name, name)} a call: {was} before, now processes differ: {', '.join(map(str, seen))}"
            if min(seen) > was and ratio_of(was, min(seen)) >= limits.get(name, 1.0):
                sites = f": {_sites(before, after)}" if name == "synchronizations" else ""
                yield Finding(kind=Kind.REGRESSED, reason=name, size=ratio_of(was, min(seen)), message=f"{message}{sites}")
            else:
                yield Finding(kind=Kind.INCONCLUSIVE, reason=f"{name}_unsteady", message=message)
        elif now is None:
            yield Finding(
                kind=Kind.MISSING, reason=f"{name}_missing", message=f"the baseline counted {name}, the candidate did not"
            )
        elif now == was and name == "synchronizations" and (moved := _moved(before, after)):
            yield Finding(
                kind=Kind.INCONCLUSIVE, reason="synchronizations_moved",
                message=f"{_COUNTS[name]} a call: {was} before and now, but elsewhere: {moved}",
            )  # fmt: skip
        elif now != was and ratio_of(was, now) >= limits.get(name, 1.0):
            sites = f": {_sites(before, after)}" if name == "synchronizations" and now > was else ""
            yield Finding(
                kind=Kind.REGRESSED if now > was else Kind.IMPROVED, reason=name, size=ratio_of(was, now),
                message=f"{_COUNTS.get(name, name)} a call: {was} before, {now} now{sites}",
            )  # fmt: skip


_COUNTS: Final = {
    "synchronizations": "waits of the host for the device", "retained": "bytes that stay allocated after",
    "operators": "operators", "python_calls": "calls of Python functions", "casts": "casts between dtypes",
    "launches": "kernel launches",
}  # fmt: skip


def _steadied(timing: Timing, limits: Mapping[str, float]) -> Timing:
    """With the median of a count whose processes differ by less than its limit."""
    within = {
        name: statistics.median_low(values) for name, values in timing.unsteady.items()
        if ratio_of(min(values), max(values)) < limits.get(name, 0.0)
    }  # fmt: skip
    rest = {name: values for name, values in timing.unsteady.items() if name not in within}
    return replace(timing, counters={**timing.counters, **within}, unsteady=rest)


def ratio_of(was: int, now: int) -> float:
    """How many times the larger is the smaller."""
    low, high = sorted((abs(was), abs(now)))
    return high / low if low else float(high)


def _moved(before: Timing, after: Timing) -> str:
    """Where the host waits now and did not before, by file and function: lines move without a reason to look at them."""
    was, now = (_by_function(each.sites) for each in (before, after))
    return ", ".join(f"{count} at {site}" for site, count in sorted((now - was).items()))


def _by_function(sites: Mapping[str, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for site, count in sites.items():
        place, _, function = site.partition(" ")
        found[f"{place.rpartition(':')[0]} {function}"] += count
    return found


def _sites(before: Timing, after: Timing) -> str:
    """Functions that wait more often than before, by the lines in which they wait now."""
    grown = _by_function(after.sites) - _by_function(before.sites)
    lines = {function: [site for site in sorted(after.sites) if function in _by_function({site: 1})] for function in grown}
    told = [f"{count} more at {' and '.join(lines[function])}" for function, count in sorted(grown.items())]
    return ", ".join(told) or "no function waits more often than before"
