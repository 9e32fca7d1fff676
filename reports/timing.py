"""The figures of a latency check, read out of its record."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from reports.record import Record

EVIDENCE: Final = "latency"
WAITED: Final = "waited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure: seconds and clock cycles, the median of each process that was not disturbed.

    ``clock`` is device, kernel (that of a call's kernels alone, traced), processor, host or launch; ``cycles`` are of the
    processes that know the clock of their device.
    ``disturbed`` says of the other processes why their samples are not believed. ``waited`` is what the host waited for the
    outcome of a call, the median of each process, and ``held`` whether the device could be held until all was launched, in most
    processes: where it could not, device time has the gaps in it in which the device waits for the host. ``settled`` says
    whether the warm-up of most processes ended because samples had settled.
    """

    name: str
    clock: str
    medians: tuple[float, ...]
    cycles: tuple[float, ...]
    disturbed: tuple[str, ...] = ()
    tokens_per_second: float | None = None
    waited: tuple[float, ...] = ()
    held: bool = True
    settled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What a latency check measured and counted; ``unsteady`` are the counts of each process where they do not agree,
    ``per_token`` the launches and the waits of the host for each token of a call, ``code`` is the hash of the code of its
    workload. ``flush`` are the seconds below which a call finds the cache empty, None where nobody says. ``gpus`` are the UUIDs
    of what it was measured on, none where that is not known.
    """

    figures: Mapping[str, Figure]
    counters: Mapping[str, int]
    unsteady: Mapping[str, tuple[int, ...]]
    sites: Mapping[str, int]
    code: str
    per_token: Mapping[str, float] = field(default_factory=dict)
    flush: float | None = None
    gpus: tuple[str, ...] = ()


def of(record: Record) -> Timing | None:
    """The timing of a record, None where it holds none that can be read."""
    kept = record.evidence.get(EVIDENCE)
    if not isinstance(kept, Mapping):
        return None
    try:
        return Timing(
            figures={name: _figure(name, entry) for name, entry in kept["figures"].items()},
            counters={name: int(count) for name, count in kept["counters"].items()},
            unsteady={name: tuple(map(int, each)) for name, each in kept.get("unsteady", {}).items()},
            sites={name: int(count) for name, count in kept["sites"].items()},
            code=str(kept["code"]),
            per_token={name: float(count) for name, count in kept.get("per_token", {}).items()},
            flush=kept.get("flush"),
            gpus=tuple(map(str, kept.get("gpus", ()))),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _figure(name: str, entry: Mapping[str, Any]) -> Figure:
    processes = entry["processes"]
    clean = [process for process in processes if process["median"] is not None]
    reasons = {reason for process in processes if process["median"] is None for _, reason in process["marked"]}
    if any(process["median"] <= 0 for process in clean):
        raise ValueError(f"{name} holds a median that is no time")
    cycles = [float(process["cycles"]) for process in clean if process["cycles"] is not None]
    return Figure(
        name=name,
        clock=str(entry["clock"]),
        medians=tuple(float(process["median"]) for process in clean),
        cycles=tuple(cycles),
        disturbed=tuple(sorted(reasons)),
        tokens_per_second=entry.get("tokens_per_second"),
        waited=tuple(statistics.median(process["waited"]) for process in clean if process.get("waited")),
        held=_most([2 * each["held"] > len(each["samples"]) for each in clean if each.get("held") is not None]),
        settled=_most([each["settled"] for each in clean if each.get("settled") is not None]),
    )


def _most(processes: Sequence[bool]) -> bool:
    """Whether it is true of more than half of those that say so."""
    return not processes or 2 * sum(processes) > len(processes)
