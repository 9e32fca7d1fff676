"""How two sets of medians, one of each process, differ: an interval on their ratio, and how surely they differ at all."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from matrix.errors import UserError

# Standard deviation of logarithms below which no two processes are believed to agree: 0.05 %, some steps of a device's clock
# (half a microsecond: https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__EVENT.html) on the shortest workloads.
FLOOR: Final = 5e-4
# Of so many equally likely ways to deal the medians out to two sides, the exact test looks at all.
EXACT: Final = 10_000
SEED: Final = 0
POWER: Final = 0.95
MOST: Final = 999


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """After over before. ``low`` and ``high`` bound it with the confidence asked for; ``p`` is of Welch's test on logarithms;
    ``spread`` is the standard deviation of the logarithms of one side.
    """

    estimate: float
    low: float
    high: float
    p: float
    spread: float


def ratio(before: Sequence[float], after: Sequence[float], confidence: float) -> Ratio:
    """The ratio of two sets of at least two medians each.

    Raises:
        UserError: scipy is not installed.
    """
    stats, _ = _scipy()
    was, now = [math.log(each) for each in before], [math.log(each) for each in after]
    spreads = [max(FLOOR, statistics.stdev(each)) for each in (was, now)]
    gap = statistics.fmean(now) - statistics.fmean(was)
    errors = [spread**2 / len(each) for spread, each in zip(spreads, (was, now), strict=True)]
    error = math.sqrt(sum(errors))
    freedom = error**4 / sum(part**2 / (len(each) - 1) for part, each in zip(errors, (was, now), strict=True))
    reach = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    return Ratio(
        estimate=math.exp(gap), low=math.exp(gap - reach), high=math.exp(gap + reach),
        p=float(2 * stats.t.sf(abs(gap) / error, freedom)),
        spread=math.sqrt(statistics.fmean(spread**2 for spread in spreads)),
    )  # fmt: skip


def adjusted(ps: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's: the share of false discoveries if everything up to this p were one."""
    if not ps:
        return []
    stats, _ = _scipy()
    return [float(each) for each in stats.false_discovery_control(list(ps), method="bh")]


def needed(spread: float, gap: float, threshold: float, confidence: float) -> int:
    """Processes a side with which a gap this near to a threshold would be told from it; both are ratios."""
    stats, _ = _scipy()
    distance = max(abs(math.log(threshold) - abs(math.log(gap))), math.log(threshold) / 4)
    quantiles = float(stats.norm.ppf(0.5 + confidence / 2)) + float(stats.norm.ppf(POWER))
    return min(MOST, max(5, math.ceil(2 * (quantiles * spread / distance) ** 2) + 1))


def exact(before: Sequence[float], after: Sequence[float]) -> float:
    """The p of a permutation test on the means of logarithms, which assumes no distribution."""
    stats, numpy = _scipy()
    was, now = numpy.log(before), numpy.log(after)

    def gap(first: Any, second: Any, axis: int) -> Any:
        return numpy.mean(second, axis=axis) - numpy.mean(first, axis=axis)

    tested = stats.permutation_test((was, now), gap, n_resamples=EXACT, vectorized=True, rng=numpy.random.default_rng(SEED))
    return float(tested.pvalue)


def _scipy() -> tuple[Any, Any]:
    try:
        import numpy
        from scipy import stats
    except ImportError:
        raise UserError("latency cannot be compared: scipy is not installed: pip install scipy") from None
    return stats, numpy
