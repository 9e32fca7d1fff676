"""From numbers to places on a plot."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

DIGITS: Final = 1
"""Decimals of a place: a tenth of a pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A horizontal axis from ``low`` to ``high``, between two places in pixels; logarithmic where it is said so.

    What lies outside, and what is no number, is drawn at the nearer end; what is no number at the far one.
    """

    low: float
    high: float
    left: float
    right: float
    logarithmic: bool = True

    def at(self, value: float) -> float:
        """The place of a value, in pixels."""
        if math.isnan(value):
            return self.right
        inside = min(max(value, self.low), self.high)
        share = self._scaled(inside) / self._scaled(self.high)
        return round(self.left + share * (self.right - self.left), DIGITS)

    def _scaled(self, value: float) -> float:
        return math.log(value / self.low) if self.logarithmic else value - self.low


def decades(values: Iterable[float], *, least: float, most: float) -> tuple[float, float]:
    """Powers of ten around positive numbers, not below ``least`` and not above ``most``."""
    usable = [value for value in values if math.isfinite(value) and value > 0] or [1.0]
    low = 10.0 ** math.floor(math.log10(min(usable)))
    high = 10.0 ** math.ceil(math.log10(max(usable)))
    return max(low, least), min(max(high, low * 10), most)


def powers(low: float, high: float) -> list[float]:
    """The powers of ten from one to another."""
    return [10.0**exponent for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1)]


def doublings(values: Iterable[float], *, least: float, most: float) -> tuple[float, float]:
    """Powers of two around positive numbers, not below ``least`` and not above ``most``."""
    usable = [value for value in values if math.isfinite(value) and value > 0] or [1.0]
    low = max(2.0 ** math.floor(math.log2(min(usable))), least)
    high = min(2.0 ** math.ceil(math.log2(max(usable))), most)
    return low, max(high, low * 2)
