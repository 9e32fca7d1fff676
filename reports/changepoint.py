"""Where a series of numbers changed its level, told from noise.

Circular binary segmentation (Olshen, Venkatraman, Lucito and Wigler, Biostatistics 2004, https://doi.org/10.1093/biostatistics/kxh008)
with Student's t-test for the significance, as Hunter has it for nightly performance (Fleming and Kołaczkowski, ICPE 2023,
https://arxiv.org/abs/2301.03034): of all stretches of a series the one that differs most from the rest is another level if the
difference is significant, and each part is looked at again. Every stretch that is tried counts, by Bonferroni's correction. The
last value alone may be a stretch, so that a change of what varies little is seen on the first night.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

ALPHA: Final = 0.001
"""Share of series without a change in which one is seen: 1 in 1000 series of nights whose noise is normal."""
LEAST: Final = 5
"""Values below which nothing is said: four that agree and one that does not."""
EXACT: Final = 1e-12
"""Share of a sum of squares that rounding explains: below it nothing varies but the level."""
Differ = Callable[[float, float], bool]


def change_points(values: Sequence[float], differ: Differ) -> list[int]:
    """The places, in order, at which a new level begins: the index of its first value.

    ``differ`` says of two means whether their difference matters. Raises ValueError for a value that is not finite.
    """
    if not all(map(math.isfinite, values)):
        raise ValueError("a series of finite numbers has change points")
    if not values or not differ(min(values), max(values)):
        return []
    return sorted(_split(values, 0, differ))


def _split(values: Sequence[float], start: int, differ: Differ) -> set[int]:
    first, last, chance = _stretch(values)
    inside, outside = values[first:last], [*values[:first], *values[last:]]
    if chance >= ALPHA or not differ(_mean(outside), _mean(inside)):
        return set()
    ends = [0, first, last, len(values)]
    parts = [(begin, end) for begin, end in itertools.pairwise(ends) if begin < end]
    found = {start + begin for begin, _ in parts if begin}
    return found.union(*(_split(values[begin:end], start + begin, differ) for begin, end in parts))


def _stretch(values: Sequence[float]) -> tuple[int, int, float]:
    """The stretch that differs most from the rest, from its first value to the one after its last, and its chance by noise."""
    count = len(values)
    if count < LEAST:
        return 0, 0, 1.0
    centre = _mean(values)  # sums of squares lose less of numbers near zero
    sums = [0.0, *itertools.accumulate(value - centre for value in values)]
    total = math.fsum((value - centre) ** 2 for value in values)
    tried = list(_tried(sums, total))
    between, first, last = max(tried)
    return first, last, min(1.0, len(tried) * _chance(between, total - between, count - 2))


def _tried(sums: Sequence[float], total: float) -> Iterator[tuple[float, int, int]]:
    """Every stretch, after the sum of squares that two levels explain.

    A single value is one where it is the last, or where nothing else varies: otherwise noise with outliers is full of them.
    """
    count = len(sums) - 1
    for first in range(1, count):
        for last in range(first + 1, count + 1):
            inside = last - first
            between = (sums[last] - sums[first]) ** 2 * count / (inside * (count - inside))
            single = (inside == 1 and last < count) or inside == count - 1
            if not single or total - between <= EXACT * total:
                yield between, first, last


def _chance(between: float, within: float, freedom: int) -> float:
    """Two-sided chance of Student's t, whose square is the ratio of the sums of squares; nothing varies within exact levels."""
    if within <= EXACT * between:
        return 0.0 if between > 0 else 1.0
    from scipy import stats

    return float(2 * stats.t.sf(math.sqrt(between / (within / freedom)), freedom))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
