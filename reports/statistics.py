"""Whether two numbers of two runs differ by more than they may."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

from reports.record import Record
from reports.thresholds import Threshold

_TOLERANCE: Final = "_tolerance"


class Trend(StrEnum):
    """Which way a number went that is better small."""

    STEADY = "steady"
    GREW = "grew"
    SHRANK = "shrank"
    BROKE = "broke"
    MENDED = "mended"


def trend(before: float, after: float, threshold: Threshold) -> Trend:
    """Which way a number went; ``floor`` is compared with the larger one. Not finite is worse than any number."""
    if not (math.isfinite(before) and math.isfinite(after)):
        return _trend_of_unbounded(math.isfinite(before), math.isfinite(after))
    low, high = sorted((abs(before), abs(after)))
    if high <= threshold.floor or high <= low * threshold.ratio:
        return Trend.STEADY
    return Trend.GREW if abs(after) == high else Trend.SHRANK


def growth(before: int, after: int, threshold: Threshold) -> Trend:
    """Which way an amount went; ``floor`` is compared with the difference."""
    if abs(after - before) <= threshold.floor:
        return Trend.STEADY
    return trend(before, after, Threshold(ratio=threshold.ratio, floor=0))


def size(before: float, after: float) -> float:
    """How many times the larger of two amounts is the smaller; infinite where that is none or no number."""
    low, high = sorted((abs(before), abs(after)))
    return high / low if math.isfinite(high) and low > 0 else math.inf


def metrics(record: Record) -> dict[str, float]:
    """The recorded errors without their tolerances."""
    return {name: value for name, value in record.errors.items() if not name.endswith(_TOLERANCE)}


def shares(record: Record) -> dict[str, float]:
    """Error over tolerance per metric that has a tolerance: 1 is the limit; not a number where the error is none."""
    pairs = {
        name: (value, record.errors[name + _TOLERANCE])
        for name, value in metrics(record).items()
        if name + _TOLERANCE in record.errors
    }
    return {name: _share(error, tolerance) for name, (error, tolerance) in pairs.items()}


def _share(error: float, tolerance: float) -> float:
    if tolerance == 0:
        return 0.0 if error == 0 else math.nan if math.isnan(error) else math.inf
    return error / tolerance


def _trend_of_unbounded(before_finite: bool, after_finite: bool) -> Trend:
    if before_finite == after_finite:
        return Trend.STEADY
    return Trend.BROKE if before_finite else Trend.MENDED
