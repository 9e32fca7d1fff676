"""From which difference latency is not the same: the part of thresholds.toml that speaks of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reports.fields import Fields
from reports.timing import WAITED, Figure

DEVICE: Final = "device"
KERNEL: Final = "kernel"
SHORT: Final = "device_short"
HOST: Final = "host"
LAUNCH: Final = "launch"
CPU: Final = "cpu"
PYTHON_CALLS: Final = "python_calls"
# Figures that have a limit of their own; the others have that of the clock that told them.
FIGURES: Final = ("time_to_first_token", "generation", "load")
LIMITS: Final = (DEVICE, SHORT, KERNEL, HOST, LAUNCH, CPU, *FIGURES)
COUNTS: Final = (PYTHON_CALLS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A ratio from which on a change is one, by the name of what it is for: half of what is to be found."""

    name: str
    ratio: float

    @property
    def found(self) -> float:
        """The ratio that is to be found: a figure is unchanged where its interval rules that out."""
        return 1 + 2 * (self.ratio - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyThresholds:
    """``short`` is in seconds: a workload of the device below it has a limit of its own. ``counts`` are the ratios from which
    on a count differs that is not compared exactly. ``other_gpu`` is the ratio up to which device time may differ because the
    GPU is another one of its kind.
    """

    confidence: float
    exact: float
    false_discoveries: float
    processes: int
    short: float
    other_gpu: float
    limits: Mapping[str, Limit]
    counts: Mapping[str, float]

    def limit(self, platform: str, figure: Figure) -> Limit:
        """The limit of a figure: its own, or by the clock that told it, and on the CPU one for all. Where the device was not
        held, its time has gaps in which it waits for the host, and is as noisy as the host's.
        """
        if platform == "cpu":
            return self.limits[CPU]
        if figure.name in FIGURES and figure.clock == HOST:
            return self.limits[figure.name]
        if figure.clock == KERNEL:
            return self.limits[KERNEL]
        if figure.clock != DEVICE or not figure.held:
            return self.limits[LAUNCH if figure.clock in (LAUNCH, WAITED) else HOST]
        brief = bool(figure.medians) and statistics.median(figure.medians) < self.short
        return self.limits[SHORT if brief else DEVICE]


def latency_thresholds(keys: Fields) -> LatencyThresholds:
    """The thresholds in the table ``latency``. Raises UserError naming the key when it is not usable."""
    limits = {name: keys.table(name) for name in LIMITS}
    thresholds = LatencyThresholds(
        confidence=_share(keys, "confidence"),
        exact=_share(keys, "exact"),
        false_discoveries=_share(keys, "false_discoveries"),
        processes=keys.whole("processes"),
        short=keys.number("short"),
        other_gpu=_ratio(keys.table("other_gpu")),
        limits={name: Limit(name=name.replace("_", " "), ratio=_ratio(entry)) for name, entry in limits.items()},
        counts={name: _ratio(keys.table(name)) for name in COUNTS},
    )
    keys.text("source")
    if thresholds.processes < 2:
        raise keys.wrong("processes", "a whole number of at least 2", thresholds.processes)
    return thresholds


def _share(keys: Fields, name: str) -> float:
    value = keys.number(name)
    if not 0.0 < value < 1.0:
        raise keys.wrong(name, "a number between 0 and 1", value)
    return value


def _ratio(keys: Fields) -> float:
    value = keys.number("ratio")
    if not 1.0 < value < float("inf"):
        raise keys.wrong("ratio", "a number above 1", value)
    keys.text("source")
    keys.close()
    return value
